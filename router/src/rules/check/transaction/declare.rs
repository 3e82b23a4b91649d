//! Tables, chains, sets and objects that are declared.

use std::sync::Arc;

use super::super::chain;
use super::super::set::{self, Draft, comment, name};
use super::super::statement::limit_of;
use super::super::{Result, refuse};
use super::{Transaction, family, no_flowtables};
use crate::rules::model::{Chain, Object, ObjectKind, Set, Table, TableFamily};
use crate::rules::state;
use crate::rules::syntax::tree::{self, Declaration};

impl Transaction<'_> {
    pub(super) fn declare(&mut self, declaration: &Declaration, create: bool) -> Result<()> {
        match declaration {
            Declaration::Table(block) => self.table(block, create),
            Declaration::Chain(path, block) => {
                let at = self.existing(path)?;
                self.chain(at, block, create)?;
                self.rules_of(at, block)
            }
            Declaration::Set(path, block) => {
                let at = self.existing(path)?;
                self.set(at, block, create)
            }
            Declaration::Elements(path, elements) => {
                let at = self.existing(&path.table)?;
                self.add_elements(at, &path.name, &elements.elements, create)
            }
            Declaration::Flowtable(_, block) => no_flowtables(block.name.span),
            Declaration::Object(path, block) => {
                let at = self.existing(path)?;
                self.object(at, block, create)
            }
        }
    }

    fn table(&mut self, block: &tree::TableBlock, create: bool) -> Result<()> {
        let path = &block.path;
        let family = family(path.family, path.span)?;
        let mut dormant = false;
        for flag in &block.flags {
            match flag.value {
                tree::TableFlag::Dormant => dormant = true,
                other => {
                    let message = format!(
                        "tables belong to this router's configuration, not to a program: leave out `{other}`"
                    );
                    return refuse(flag.span, message);
                }
            }
        }
        let at = match self.find(family, &path.name.value) {
            Some(_) if create => {
                return refuse(
                    path.span,
                    format!("table {} {} exists already", family.name(), path.name.value),
                );
            }
            Some(at) => {
                if !block.flags.is_empty() && self.drafts[at].table.dormant != dormant {
                    self.drafts[at].table_mut().dormant = dormant;
                }
                at
            }
            None => {
                let table = Table {
                    family,
                    name: name(&path.name)?,
                    handle: self.next_handle,
                    dormant,
                    comment: comment(block.comment.as_ref())?,
                    chains: Vec::new(),
                    sets: Vec::new(),
                    objects: Vec::new(),
                    next_handle: 1,
                };
                self.next_handle += 1;
                self.drafts.push(Draft::new(Arc::new(table)));
                self.drafts.len() - 1
            }
        };
        // In the kernel's order, so that handles are the kernel's too.
        for item in &block.items {
            match item {
                tree::TableItem::Chain(block) => self.chain(at, block, false)?,
                tree::TableItem::Flowtable(block) => return no_flowtables(block.name.span),
                tree::TableItem::Set(_) | tree::TableItem::Object(_) => {}
            }
        }
        for item in &block.items {
            if let tree::TableItem::Object(block) = item {
                self.object(at, block, false)?;
            }
        }
        for item in &block.items {
            if let tree::TableItem::Set(block) = item {
                self.set(at, block, false)?;
            }
        }
        for item in &block.items {
            if let tree::TableItem::Chain(block) = item {
                self.rules_of(at, block)?;
            }
        }
        Ok(())
    }

    fn chain(&mut self, at: usize, block: &tree::ChainBlock, create: bool) -> Result<()> {
        let draft = &mut self.drafts[at];
        let Some(position) = draft.chain_position(&block.name.value) else {
            let base = chain::base(draft.family(), block, self.environment)?;
            let handle = draft.next_handle();
            let comment = comment(block.comment.as_ref())?;
            draft.add_chain(Chain { name: name(&block.name)?, handle, comment, base, rules: Vec::new() });
            return Ok(());
        };
        if create {
            return refuse(block.name.span, format!("chain `{}` exists already", block.name.value));
        }
        let held = draft.table.chains[position].base;
        if block.base.is_none() {
            // `chain x { policy drop; }` changes the policy of one that is there.
            if let (Some(policy), Some(mut base)) = (&block.policy, held) {
                base.policy = match policy.value {
                    tree::Policy::Accept => crate::rules::model::Policy::Accept,
                    tree::Policy::Drop => crate::rules::model::Policy::Drop,
                };
                self.set_base(at, position, base);
            } else if let Some(policy) = &block.policy {
                return refuse(policy.span, "only a base chain has a policy");
            }
            return Ok(());
        }
        let Some(mut wanted) = chain::base(draft.family(), block, self.environment)? else { return Ok(()) };
        let same = held.is_some_and(|held| {
            held.kind == wanted.kind && held.point == wanted.point && held.priority == wanted.priority
        });
        if !same {
            let message = format!(
                "chain `{}` exists already with another type, hook or priority: delete it first",
                block.name.value
            );
            return refuse(block.name.span, message);
        }
        if let (None, Some(held)) = (&block.policy, held) {
            wanted.policy = held.policy;
        }
        self.set_base(at, position, wanted);
        Ok(())
    }

    fn set_base(&mut self, at: usize, position: usize, base: crate::rules::model::BaseChain) {
        if self.drafts[at].table.chains[position].base != Some(base) {
            let chain = &mut self.drafts[at].table_mut().chains[position];
            Arc::make_mut(chain).base = Some(base);
        }
    }

    fn object(&mut self, at: usize, block: &tree::ObjectBlock, create: bool) -> Result<()> {
        let span = block.name.span;
        let family = self.drafts[at].family();
        let kind = match &block.body {
            tree::Object::Counter(counter) => {
                ObjectKind::Counter(Arc::new(state::Counter::new(counter.packets, counter.bytes)))
            }
            tree::Object::Quota(quota) => {
                ObjectKind::Quota(Arc::new(state::Quota::new(quota.bytes, quota.over, quota.used_bytes)))
            }
            tree::Object::Limit(limit) => {
                ObjectKind::Limit(Arc::new(state::Limit::new(limit_of(limit, span)?)))
            }
            tree::Object::CtHelper(helper) => self.helper(helper, family)?,
            other => return refuse(span, format!("{} objects are not run by this router", other.kind())),
        };
        let draft = &mut self.drafts[at];
        let words = kind.words();
        let mut held = draft.table.objects.iter();
        if let Some(held) =
            held.find(|object| object.kind.words() == words && *object.name == *block.name.value)
        {
            if create {
                return refuse(span, format!("{words} `{}` exists already", block.name.value));
            }
            if !is_same(&held.kind, &kind) {
                return refuse(
                    span,
                    format!("{words} `{}` exists already and is another: delete it first", block.name.value),
                );
            }
            return Ok(());
        }
        let handle = draft.next_handle();
        let object =
            Object { name: name(&block.name)?, handle, comment: comment(block.comment.as_ref())?, kind };
        draft.table_mut().objects.push(Arc::new(object));
        Ok(())
    }

    fn helper(&self, helper: &tree::CtHelper, table: TableFamily) -> Result<ObjectKind> {
        let protocol = match helper.protocol.value {
            tree::CtProtocol::Tcp => 6,
            tree::CtProtocol::Udp => 17,
        };
        if !self.environment.has_helper(&helper.helper.value, protocol) {
            let known: Vec<_> = self.environment.helpers.iter().map(|helper| helper.name.as_str()).collect();
            let message = format!(
                "there is no helper \"{}\" for {}; there are: {}",
                helper.helper.value,
                helper.protocol.value,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
            return refuse(helper.helper.span, message);
        }
        let family = match &helper.family {
            None => table,
            Some(word) => family(word.value, word.span)?,
        };
        Ok(ObjectKind::Helper { helper: helper.helper.value.as_str().into(), protocol, family })
    }

    fn set(&mut self, at: usize, block: &tree::SetBlock, create: bool) -> Result<()> {
        let draft = &mut self.drafts[at];
        let wanted = set::declare(draft, block, self.environment)?;
        match draft.set_position(&wanted.name) {
            Some(_) if create => {
                return refuse(block.name.span, format!("set `{}` exists already", wanted.name));
            }
            Some(position) => {
                let held = &draft.table.sets[position];
                let same = held.key == wanted.key
                    && held.data == wanted.data
                    && held.flags == wanted.flags
                    && held.timeout_ms == wanted.timeout_ms;
                if !same {
                    let message = format!(
                        "set `{}` exists already with another type, flags or timeout: delete it first",
                        wanted.name
                    );
                    return refuse(block.name.span, message);
                }
            }
            None => {
                let handle = draft.next_handle();
                draft.add_set(Set { handle, ..wanted });
            }
        }
        let Some(elements) = &block.elements else { return Ok(()) };
        match &elements.resolved().kind {
            tree::ExpressionKind::Set(elements) => self.add_elements(at, &block.name, elements, false),
            _ => refuse(elements.span, "elements stand in braces"),
        }
    }
}

/// Whether an object that is there is what another asks for.
fn is_same(held: &ObjectKind, wanted: &ObjectKind) -> bool {
    match (held, wanted) {
        (ObjectKind::Counter(_), ObjectKind::Counter(_)) => true,
        (ObjectKind::Quota(held), ObjectKind::Quota(wanted)) => {
            held.bytes == wanted.bytes && held.over == wanted.over
        }
        (ObjectKind::Limit(held), ObjectKind::Limit(wanted)) => held.rate == wanted.rate,
        (
            ObjectKind::Helper { helper, protocol, family },
            ObjectKind::Helper { helper: name, protocol: number, family: wanted },
        ) => helper == name && protocol == number && family == wanted,
        _ => false,
    }
}
