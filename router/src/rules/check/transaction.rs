//! Commands in their order on a copy of the rules: all of them take effect, or none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use conntrack::Instant;

use super::chain::{self, retarget, targets};
use super::set::{self, Draft, arrange, bounds, comment, name};
use super::statement::{self, limit_of};
use super::{Environment, Result, RuleError, refuse};
use crate::rules::model::{
    Chain, Data, DataType, Element, ElementKey, Object, ObjectKind, Rule, Ruleset, Set, Statement, Table,
    TableFamily,
};
use crate::rules::state::{self, LiveSet};
use crate::rules::syntax::source::{Name, Sources, Span};
use crate::rules::syntax::tree::{self, Command, CommandKind, Declaration};

/// How many there are of something, and what a load did to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All there are now.
    pub total: usize,
    /// Those that are new.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
}

/// What a load did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tables.
    pub tables: Count,
    /// Chains.
    pub chains: Count,
    /// Rules.
    pub rules: Count,
    /// Named sets and maps.
    pub sets: Count,
    /// Named objects.
    pub objects: Count,
    /// Elements of named sets and maps, those that packets added not included.
    pub elements: usize,
}

/// Rules that may take effect.
#[derive(Debug)]
pub struct Loaded {
    /// The rules as they will be. What did not change is shared with those before.
    pub ruleset: Ruleset,
    /// What changed.
    pub summary: Summary,
    changes: Vec<Change>,
}

/// What a load does to state that packets share, at the very end.
#[derive(Debug)]
enum Change {
    Insert { set: Arc<LiveSet>, element: Element, timeout_ms: Option<u64>, expires_ms: Option<u64> },
    Remove { set: Arc<LiveSet>, key: ElementKey },
    Clear(Arc<LiveSet>),
    ResetStatement(Statement),
    ResetObject(ObjectKind),
}

impl Loaded {
    /// Makes the changes that live sets and counters see, and hands the rules over. Elements begin to age at `now`.
    pub fn commit(self, now: Instant) -> Ruleset {
        for change in self.changes {
            match change {
                Change::Insert { set, element, timeout_ms, expires_ms } => {
                    set.insert(&element, timeout_ms, expires_ms, now);
                }
                Change::Remove { set, key } => {
                    set.remove(&key, now);
                }
                Change::Clear(set) => set.clear(),
                Change::ResetStatement(statement) => reset(&statement),
                Change::ResetObject(ObjectKind::Counter(counter)) => {
                    counter.reset();
                }
                Change::ResetObject(ObjectKind::Quota(quota)) => {
                    quota.reset();
                }
                Change::ResetObject(_) => {}
            }
        }
        self.ruleset
    }
}

fn reset(statement: &Statement) {
    match statement {
        Statement::Counter(counter) => {
            counter.reset();
        }
        Statement::Quota(quota) => {
            quota.reset();
        }
        _ => {}
    }
}

/// Does what the commands say to the rules there are.
///
/// # Errors
/// The first thing that cannot be; the rules are as before.
pub fn load(
    current: &Ruleset,
    commands: &[Command],
    sources: &Sources,
    environment: &Environment,
) -> std::result::Result<Loaded, RuleError> {
    let drafts = current.tables.iter().map(|table| Draft::new(table.clone())).collect();
    let mut transaction = Transaction {
        environment,
        drafts,
        next_handle: current.next_handle.max(1),
        changes: Vec::new(),
        rule_places: HashMap::new(),
        fallback: Span::default(),
    };
    let done = transaction.run(commands).and_then(|()| transaction.validate(current));
    done.map_err(|refusal| RuleError::new(sources, refusal))?;
    let tables = transaction.drafts.into_iter().map(|draft| draft.table).collect();
    let ruleset = Ruleset { tables, next_handle: transaction.next_handle };
    let summary = summary(current, &ruleset);
    Ok(Loaded { ruleset, summary, changes: transaction.changes })
}

struct Transaction<'a> {
    environment: &'a Environment,
    drafts: Vec<Draft>,
    next_handle: u64,
    changes: Vec<Change>,
    /// Where rules of this load were written, by handles of table and rule.
    rule_places: HashMap<(u64, u64), Span>,
    /// Where the last command was written.
    fallback: Span,
}

impl Transaction<'_> {
    fn run(&mut self, commands: &[Command]) -> Result<()> {
        for command in commands {
            self.fallback = command.span;
            match &command.kind {
                CommandKind::Add(declaration) => self.declare(declaration, false)?,
                CommandKind::Create(declaration) => self.declare(declaration, true)?,
                CommandKind::AddRule(place, rule) => self.place_rule(place, rule, false)?,
                CommandKind::InsertRule(place, rule) => self.place_rule(place, rule, true)?,
                CommandKind::ReplaceRule(id, rule) => self.replace_rule(id, rule)?,
                CommandKind::Delete(target) => self.delete(target, false)?,
                CommandKind::Destroy(target) => self.delete(target, true)?,
                CommandKind::Flush(flush) => self.flush(flush)?,
                CommandKind::RenameChain(path, to) => self.rename(path, to)?,
                CommandKind::Reset(what) => self.reset(what)?,
            }
        }
        Ok(())
    }

    fn validate(&self, current: &Ruleset) -> Result<()> {
        for draft in &self.drafts {
            let table = &draft.table;
            if current.tables.iter().any(|before| Arc::ptr_eq(before, table)) {
                continue;
            }
            let places = |_: &Chain, rule: Option<&Rule>| {
                let key = rule.map(|rule| (table.handle, rule.handle));
                key.and_then(|key| self.rule_places.get(&key)).copied().unwrap_or(self.fallback)
            };
            chain::validate(table, &places)?;
        }
        Ok(())
    }

    fn find(&self, family: TableFamily, name: &str) -> Option<usize> {
        self.drafts.iter().position(|draft| draft.table.family == family && *draft.table.name == *name)
    }

    fn existing(&mut self, path: &tree::TablePath) -> Result<usize> {
        let family = family(path.family, path.span)?;
        match self.find(family, &path.name.value) {
            Some(at) => Ok(at),
            None => refuse(path.span, format!("there is no table {} {}", family.name(), path.name.value)),
        }
    }

    fn declare(&mut self, declaration: &Declaration, create: bool) -> Result<()> {
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

    fn rules_of(&mut self, at: usize, block: &tree::ChainBlock) -> Result<()> {
        if block.rules.is_empty() {
            return Ok(());
        }
        let position = self.chain_of(at, &block.name)?;
        for rule in &block.rules {
            let checked = self.rule(at, rule)?;
            self.chain_mut(at, position).rules.push(checked);
        }
        Ok(())
    }

    fn rule(&mut self, at: usize, rule: &tree::Rule) -> Result<Arc<Rule>> {
        let checked = statement::rule(&mut self.drafts[at], rule, self.environment)?;
        self.rule_places.insert((self.drafts[at].table.handle, checked.handle), rule.span);
        Ok(Arc::new(checked))
    }

    fn chain_of(&mut self, at: usize, name: &Name) -> Result<usize> {
        match self.drafts[at].chain_position(&name.value) {
            Some(position) => Ok(position),
            None => {
                let table = &self.drafts[at].table;
                refuse(
                    name.span,
                    format!(
                        "there is no chain `{}` in table {} {}",
                        name.value,
                        table.family.name(),
                        table.name
                    ),
                )
            }
        }
    }

    fn chain_mut(&mut self, at: usize, position: usize) -> &mut Chain {
        Arc::make_mut(&mut self.drafts[at].table_mut().chains[position])
    }

    fn place_rule(&mut self, place: &tree::RulePlace, rule: &tree::Rule, insert: bool) -> Result<()> {
        let at = self.existing(&place.chain.table)?;
        let position = self.chain_of(at, &place.chain.name)?;
        let rules = &self.drafts[at].table.chains[position].rules;
        let beside = match &place.beside {
            None => None,
            Some(tree::Beside::Handle(handle)) => match rules
                .iter()
                .position(|rule| rule.handle == handle.value)
            {
                Some(number) => Some(number),
                None => {
                    return refuse(handle.span, format!("no rule of this chain has handle {}", handle.value));
                }
            },
            Some(tree::Beside::Index(index)) => match usize::try_from(index.value) {
                Ok(number) if number < rules.len() => Some(number),
                _ => {
                    return refuse(
                        index.span,
                        format!("this chain has {} rules, counted from 0", rules.len()),
                    );
                }
            },
        };
        let number = match (beside, insert) {
            (None, true) => 0,
            (None, false) => rules.len(),
            (Some(number), true) => number,
            (Some(number), false) => number + 1,
        };
        let checked = self.rule(at, rule)?;
        self.chain_mut(at, position).rules.insert(number, checked);
        Ok(())
    }

    fn rule_of(&mut self, id: &tree::RuleId) -> Result<(usize, usize, usize)> {
        let at = self.existing(&id.chain.table)?;
        let position = self.chain_of(at, &id.chain.name)?;
        let rules = &self.drafts[at].table.chains[position].rules;
        match rules.iter().position(|rule| rule.handle == id.handle.value) {
            Some(number) => Ok((at, position, number)),
            None => refuse(id.handle.span, format!("no rule of this chain has handle {}", id.handle.value)),
        }
    }

    fn replace_rule(&mut self, id: &tree::RuleId, rule: &tree::Rule) -> Result<()> {
        let (at, position, number) = self.rule_of(id)?;
        let checked = self.rule(at, rule)?;
        let old = std::mem::replace(&mut self.chain_mut(at, position).rules[number], checked);
        self.bury(at, &[old]);
        Ok(())
    }

    /// Takes away the anonymous sets of rules that are gone.
    fn bury(&mut self, at: usize, rules: &[Arc<Rule>]) {
        let mut gone = Vec::new();
        for statement in rules.iter().flat_map(|rule| &rule.statements) {
            statement::sets(statement, &mut gone);
        }
        let draft = &mut self.drafts[at];
        let gone: HashSet<Arc<str>> = gone.into_iter().filter(|name| name.starts_with("__")).collect();
        if !gone.is_empty() {
            draft.table_mut().sets.retain(|set| !(set.anonymous && gone.contains(&set.name)));
            draft.forget_positions();
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

    fn named_set(&mut self, at: usize, name: &Name) -> Result<usize> {
        let draft = &mut self.drafts[at];
        match draft.set_position(&name.value) {
            Some(position) if !draft.table.sets[position].anonymous => Ok(position),
            _ => refuse(name.span, format!("there is no set or map `{}` in this table", name.value)),
        }
    }

    fn add_elements(
        &mut self,
        at: usize,
        name: &Name,
        elements: &[tree::Element],
        create: bool,
    ) -> Result<()> {
        let position = self.named_set(at, name)?;
        let set = self.drafts[at].table.sets[position].clone();
        if set.flags.constant && !set.elements.is_empty() {
            return refuse(name.span, format!("set `{}` is constant", set.name));
        }
        let mut new = Vec::new();
        self.drafts[at].elements(&set, elements, self.environment, &mut new)?;
        for (span, element) in &new {
            if element.timeout_ms.is_some() && !set.flags.timeout {
                return refuse(
                    *span,
                    format!("elements of `{}` do not end: declare it with `flags timeout`", set.name),
                );
            }
            if matches!(element.key, ElementKey::Range(..)) && !set.flags.interval {
                return refuse(
                    *span,
                    format!("`{}` holds single values: declare it with `flags interval`", set.name),
                );
            }
        }
        if let Some(live) = &set.live {
            let expiry = expiries(elements);
            for (number, (span, element)) in new.into_iter().enumerate() {
                if set.size.is_some_and(|size| number >= size as usize) {
                    return refuse(span, format!("set `{}` is full", set.name));
                }
                let expires_ms = expiry.get(number).copied().flatten();
                self.changes.push(Change::Insert {
                    set: live.clone(),
                    element,
                    timeout_ms: set.timeout_ms,
                    expires_ms,
                });
            }
            return Ok(());
        }
        self.merge_elements(at, position, &set, new, create)
    }

    fn merge_elements(
        &mut self,
        at: usize,
        position: usize,
        set: &Set,
        new: Vec<(Span, Element)>,
        create: bool,
    ) -> Result<()> {
        let Some(first) = new.first().map(|(span, _)| *span) else { return Ok(()) };
        let held: HashSet<_> = set.elements.iter().map(|element| key_bounds(&element.key)).collect();
        let mut all: Vec<(Span, Element)> = Vec::with_capacity(held.len() + new.len());
        if create
            && let Some((span, _)) = new.iter().find(|(_, element)| held.contains(&key_bounds(&element.key)))
        {
            return refuse(*span, "this element exists already");
        }
        all.extend(set.elements.iter().map(|element| (first, element.clone())));
        all.extend(new);
        let elements = arrange(set, all, set.auto_merge && set.data.is_none())?;
        if set.size.is_some_and(|size| elements.len() > size as usize) {
            return refuse(
                first,
                format!("set `{}` is full: it holds {} elements at most", set.name, set.size.unwrap_or(0)),
            );
        }
        if elements.len() == set.elements.len() && !set.auto_merge {
            return Ok(());
        }
        let set = Arc::make_mut(&mut self.drafts[at].table_mut().sets[position]);
        set.elements = Arc::new(elements);
        Ok(())
    }

    fn delete_elements(&mut self, path: &tree::Path, elements: &tree::Elements, destroy: bool) -> Result<()> {
        let at = self.existing(&path.table)?;
        let position = self.named_set(at, &path.name)?;
        let held = self.drafts[at].table.sets[position].clone();
        // Data need not be said to take an element out of a map.
        let probe = Set { data: None, ..(*held).clone() };
        let mut bare = elements.elements.clone();
        bare.iter_mut().for_each(|element| element.data = None);
        let mut gone = Vec::new();
        self.drafts[at].elements(&probe, &bare, self.environment, &mut gone)?;
        if let Some(live) = &held.live {
            for (_, element) in gone {
                self.changes.push(Change::Remove { set: live.clone(), key: element.key });
            }
            return Ok(());
        }
        let there: HashSet<_> = held.elements.iter().map(|element| key_bounds(&element.key)).collect();
        if let Some((span, _)) = gone.iter().find(|(_, element)| !there.contains(&key_bounds(&element.key)))
            && !destroy
        {
            return refuse(*span, format!("`{}` has no such element", held.name));
        }
        let gone: HashSet<_> = gone.iter().map(|(_, element)| key_bounds(&element.key)).collect();
        let set = Arc::make_mut(&mut self.drafts[at].table_mut().sets[position]);
        let kept: Vec<Element> = held
            .elements
            .iter()
            .filter(|element| !gone.contains(&key_bounds(&element.key)))
            .cloned()
            .collect();
        set.elements = Arc::new(kept);
        Ok(())
    }

    fn delete(&mut self, target: &tree::Target, destroy: bool) -> Result<()> {
        match target {
            tree::Target::Table(path) => {
                let family = family(path.family, path.span)?;
                match self.find(family, &path.name.value) {
                    Some(at) => drop(self.drafts.remove(at)),
                    None if destroy => {}
                    None => {
                        return refuse(
                            path.span,
                            format!("there is no table {} {}", family.name(), path.name.value),
                        );
                    }
                }
                Ok(())
            }
            tree::Target::TableHandle(word, handle) => {
                let family = family(*word, handle.span)?;
                let mut drafts = self.drafts.iter();
                let is_it = |draft: &Draft| draft.family() == family && draft.table.handle == handle.value;
                match drafts.position(is_it) {
                    Some(at) => drop(self.drafts.remove(at)),
                    None if destroy => {}
                    None => return refuse(handle.span, format!("no table has handle {}", handle.value)),
                }
                Ok(())
            }
            tree::Target::Chain(_, Some(block)) => {
                refuse(block.name.span, "only chains of the kernel have devices to delete")
            }
            tree::Target::Chain(id, None) => self.delete_chain(id, destroy),
            tree::Target::Rule(id) => match self.rule_of(id) {
                Ok((at, position, number)) => {
                    let old = self.chain_mut(at, position).rules.remove(number);
                    self.bury(at, &[old]);
                    Ok(())
                }
                Err(_) if destroy => Ok(()),
                Err(refusal) => Err(refusal),
            },
            tree::Target::Set { id, .. } => self.delete_set(id, destroy),
            tree::Target::Elements(path, elements) => self.delete_elements(path, elements, destroy),
            tree::Target::Flowtable(id, _) => no_flowtables(span_of(id)),
            tree::Target::Object(kind, id) => self.delete_object(*kind, id, destroy),
        }
    }

    fn in_table(&mut self, id: &tree::Id, destroy: bool) -> Result<Option<usize>> {
        let path = match id {
            tree::Id::Name(path) => &path.table,
            tree::Id::Handle(path, _) => path,
        };
        match self.existing(path) {
            Ok(at) => Ok(Some(at)),
            Err(_) if destroy => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    fn delete_chain(&mut self, id: &tree::Id, destroy: bool) -> Result<()> {
        let Some(at) = self.in_table(id, destroy)? else { return Ok(()) };
        let table = &self.drafts[at].table;
        let found = table.chains.iter().position(|chain| is_named(id, &chain.name, chain.handle));
        let Some(position) = found else { return missing(id, "chain", destroy) };
        let chain = table.chains[position].clone();
        if self.is_jumped_to(at, &chain.name) {
            let message = format!("chain `{}` is in use: other rules or maps jump to it", chain.name);
            return refuse(span_of(id), message);
        }
        let draft = &mut self.drafts[at];
        draft.table_mut().chains.remove(position);
        draft.forget_positions();
        self.bury(at, &chain.rules);
        Ok(())
    }

    fn is_jumped_to(&self, at: usize, name: &str) -> bool {
        let table = &self.drafts[at].table;
        let mut found = false;
        let none = HashMap::new();
        for chain in table.chains.iter().filter(|chain| *chain.name != *name) {
            for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
                targets(statement, &none, &mut |target| found |= target == name);
            }
        }
        found
            || table.sets.iter().filter(|set| set.data == Some(DataType::Verdict)).any(|set| {
                set.elements.iter().any(|element| match &element.data {
                    Some(Data::Verdict(verdict)) => {
                        let mut found = false;
                        let verdict = Statement::Verdict(verdict.clone());
                        targets(&verdict, &none, &mut |target| found |= target == name);
                        found
                    }
                    _ => false,
                })
            })
    }

    fn delete_set(&mut self, id: &tree::Id, destroy: bool) -> Result<()> {
        let Some(at) = self.in_table(id, destroy)? else { return Ok(()) };
        let table = &self.drafts[at].table;
        let found = table.sets.iter().position(|set| !set.anonymous && is_named(id, &set.name, set.handle));
        let Some(position) = found else { return missing(id, "set or map", destroy) };
        let name = table.sets[position].name.clone();
        let mut used = Vec::new();
        for statement in table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements)
        {
            statement::sets(statement, &mut used);
        }
        if used.contains(&name) {
            return refuse(span_of(id), format!("`{name}` is in use: rules look into it"));
        }
        let draft = &mut self.drafts[at];
        draft.table_mut().sets.remove(position);
        draft.forget_positions();
        Ok(())
    }

    fn delete_object(&mut self, kind: tree::ObjectKind, id: &tree::Id, destroy: bool) -> Result<()> {
        let Some(at) = self.in_table(id, destroy)? else { return Ok(()) };
        let table = &self.drafts[at].table;
        let words = kind.word();
        let found = table
            .objects
            .iter()
            .position(|object| object.kind.words() == words && is_named(id, &object.name, object.handle));
        let Some(position) = found else { return missing(id, words, destroy) };
        let name = &table.objects[position].name;
        let in_rules = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements).any(
            |statement| matches!(statement, Statement::Object { words: used, name: other } if *used == words && other == name),
        );
        let in_maps = table.sets.iter().any(|set| {
            set.data == Some(DataType::Object(words))
                && set.elements.iter().any(|element| element.data == Some(Data::Object(name.clone())))
        });
        if in_rules || in_maps {
            return refuse(span_of(id), format!("{words} `{name}` is in use"));
        }
        self.drafts[at].table_mut().objects.remove(position);
        Ok(())
    }

    fn flush(&mut self, flush: &tree::Flush) -> Result<()> {
        match flush {
            tree::Flush::Ruleset(None) => self.drafts.clear(),
            tree::Flush::Ruleset(Some(tree::Family::Netdev)) => {}
            tree::Flush::Ruleset(Some(word)) => {
                let family = family(*word, self.fallback)?;
                self.drafts.retain(|draft| draft.family() != family);
            }
            tree::Flush::Table(path) => {
                let at = self.existing(path)?;
                for position in 0..self.drafts[at].table.chains.len() {
                    self.flush_chain(at, position);
                }
            }
            tree::Flush::Chain(path) => {
                let at = self.existing(&path.table)?;
                let position = self.chain_of(at, &path.name)?;
                self.flush_chain(at, position);
            }
            tree::Flush::Set(path) | tree::Flush::Map(path) | tree::Flush::Meter(path) => {
                let at = self.existing(&path.table)?;
                let position = self.named_set(at, &path.name)?;
                let set = &self.drafts[at].table.sets[position];
                if let Some(live) = &set.live {
                    self.changes.push(Change::Clear(live.clone()));
                } else if !set.elements.is_empty() {
                    let set = &mut self.drafts[at].table_mut().sets[position];
                    Arc::make_mut(set).elements = Arc::default();
                }
            }
        }
        Ok(())
    }

    fn flush_chain(&mut self, at: usize, position: usize) {
        if !self.drafts[at].table.chains[position].rules.is_empty() {
            let rules = std::mem::take(&mut self.chain_mut(at, position).rules);
            self.bury(at, &rules);
        }
    }

    fn rename(&mut self, path: &tree::Path, to: &Name) -> Result<()> {
        let at = self.existing(&path.table)?;
        let position = self.chain_of(at, &path.name)?;
        let new = name(to)?;
        if self.drafts[at].chain_position(&new).is_some() {
            return refuse(to.span, format!("chain `{new}` exists already"));
        }
        let old = self.drafts[at].table.chains[position].name.clone();
        let table = self.drafts[at].table_mut();
        Arc::make_mut(&mut table.chains[position]).name = new.clone();
        let none = HashMap::new();
        for chain in &mut table.chains {
            for number in 0..chain.rules.len() {
                let mut touched = false;
                for statement in &chain.rules[number].statements {
                    targets(statement, &none, &mut |target| touched |= *target == *old);
                }
                if !touched {
                    continue;
                }
                let rule = Arc::make_mut(&mut Arc::make_mut(chain).rules[number]);
                for statement in &mut rule.statements {
                    match statement {
                        Statement::Verdict(verdict) => retarget(verdict, &old, &new),
                        Statement::Dynamic(dynamic) => {
                            dynamic.verdict.as_mut().is_some_and(|verdict| retarget(verdict, &old, &new))
                        }
                        _ => false,
                    };
                }
            }
        }
        for set in table.sets.iter_mut().filter(|set| set.data == Some(DataType::Verdict)) {
            let mut elements = (*set.elements).clone();
            let mut touched = false;
            for element in &mut elements {
                if let Some(Data::Verdict(verdict)) = &mut element.data {
                    touched |= retarget(verdict, &old, &new);
                }
            }
            if touched {
                Arc::make_mut(set).elements = Arc::new(elements);
            }
        }
        self.drafts[at].forget_positions();
        Ok(())
    }

    fn reset(&mut self, what: &tree::Reset) -> Result<()> {
        match what {
            tree::Reset::Objects(kind, scope) => {
                for at in self.tables_of(scope)? {
                    self.reset_objects(at, |object| object.kind.words() == kind.word());
                }
            }
            tree::Reset::Object(kind, path) => {
                let at = self.existing(&path.table)?;
                let is_it =
                    |object: &Object| object.kind.words() == kind.word() && *object.name == *path.name.value;
                if !self.drafts[at].table.objects.iter().any(|object| is_it(object)) {
                    return refuse(
                        path.name.span,
                        format!("there is no {kind} `{}` in this table", path.name.value),
                    );
                }
                self.reset_objects(at, is_it);
            }
            tree::Reset::Rules(scope) => {
                for at in self.tables_of(scope)? {
                    for position in 0..self.drafts[at].table.chains.len() {
                        self.reset_rules(at, position, |_| true);
                    }
                }
            }
            tree::Reset::Chain(path) => {
                let at = self.existing(&path.table)?;
                let position = self.chain_of(at, &path.name)?;
                self.reset_rules(at, position, |_| true);
            }
            tree::Reset::Rule(id) => {
                let (at, position, _) = self.rule_of(id)?;
                self.reset_rules(at, position, |rule| rule.handle == id.handle.value);
            }
            tree::Reset::Set(path) | tree::Reset::Map(path) | tree::Reset::Elements(path, _) => {
                let at = self.existing(&path.table)?;
                let position = self.named_set(at, &path.name)?;
                let set = self.drafts[at].table.sets[position].clone();
                if set.live.is_some() {
                    return refuse(path.name.span, "what elements of this set count is reset by flushing it");
                }
                let statements = set.elements.iter().flat_map(|element| &element.state);
                self.changes.extend(statements.cloned().map(Change::ResetStatement));
            }
        }
        Ok(())
    }

    fn tables_of(&mut self, scope: &tree::Scope) -> Result<Vec<usize>> {
        Ok(match scope {
            tree::Scope::Family(None) => (0..self.drafts.len()).collect(),
            tree::Scope::Family(Some(word)) => {
                let family = family(*word, self.fallback)?;
                let mine = |at: &usize| self.drafts[*at].family() == family;
                (0..self.drafts.len()).filter(mine).collect()
            }
            tree::Scope::Table(path) => vec![self.existing(path)?],
        })
    }

    fn reset_objects(&mut self, at: usize, is_it: impl Fn(&Object) -> bool) {
        let objects = self.drafts[at].table.objects.iter().filter(|object| is_it(object));
        self.changes.extend(objects.map(|object| Change::ResetObject(object.kind.clone())));
    }

    fn reset_rules(&mut self, at: usize, position: usize, is_it: impl Fn(&Rule) -> bool) {
        let rules = self.drafts[at].table.chains[position].rules.iter().filter(|rule| is_it(rule));
        let statements = rules.flat_map(|rule| &rule.statements).filter(|statement| set::is_state(statement));
        self.changes.extend(statements.cloned().map(Change::ResetStatement));
    }
}

/// How long elements have left, as it was written, in the order of [`Draft::elements`].
fn expiries(elements: &[tree::Element]) -> Vec<Option<u64>> {
    let mut all = Vec::with_capacity(elements.len());
    for element in elements {
        if let tree::ExpressionKind::Set(inner) = &element.key.resolved().kind {
            all.extend(expiries(inner));
            continue;
        }
        let expires = element.options.as_ref().and_then(|options| options.expires.as_ref());
        all.push(expires.map(|expires| set::milliseconds(expires.value)));
    }
    all
}

fn key_bounds(key: &ElementKey) -> Option<(crate::rules::model::Value, crate::rules::model::Value)> {
    bounds(key).map(|(first, last)| (first.clone(), last.clone()))
}

fn family(word: tree::Family, span: Span) -> Result<TableFamily> {
    match TableFamily::by_name(word.word()) {
        Some(family) => Ok(family),
        None => refuse(span, "netdev tables are the kernel's: put this table into the kernel's nft"),
    }
}

fn no_flowtables(span: Span) -> Result<()> {
    refuse(span, "there are no flowtables: this router keeps each flow's route by itself; leave it out")
}

fn span_of(id: &tree::Id) -> Span {
    match id {
        tree::Id::Name(path) => path.name.span,
        tree::Id::Handle(_, handle) => handle.span,
    }
}

fn is_named(id: &tree::Id, name: &str, handle: u64) -> bool {
    match id {
        tree::Id::Name(path) => *path.name.value == *name,
        tree::Id::Handle(_, wanted) => wanted.value == handle,
    }
}

fn missing(id: &tree::Id, what: &str, destroy: bool) -> Result<()> {
    if destroy {
        return Ok(());
    }
    match id {
        tree::Id::Name(path) => {
            refuse(path.name.span, format!("there is no {what} `{}` in this table", path.name.value))
        }
        tree::Id::Handle(_, handle) => {
            refuse(handle.span, format!("no {what} of this table has handle {}", handle.value))
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

fn summary(before: &Ruleset, after: &Ruleset) -> Summary {
    fn count(before: &HashSet<(u64, u64)>, after: &HashSet<(u64, u64)>) -> Count {
        Count {
            total: after.len(),
            added: after.difference(before).count(),
            removed: before.difference(after).count(),
        }
    }
    fn of<'a, I: Iterator<Item = u64>>(
        ruleset: &'a Ruleset,
        handles: impl Fn(&'a Table) -> I,
    ) -> HashSet<(u64, u64)> {
        let tables = ruleset.tables.iter();
        tables.flat_map(|table| handles(table).map(|handle| (table.handle, handle))).collect()
    }
    macro_rules! counted {
        ($handles:expr) => {
            count(&of(before, $handles), &of(after, $handles))
        };
    }
    let named = |set: &&Arc<Set>| !set.anonymous;
    Summary {
        tables: counted!(|_: &Table| std::iter::once(0)),
        chains: counted!(|table: &Table| table.chains.iter().map(|chain| chain.handle)),
        rules: counted!(|table: &Table| table
            .chains
            .iter()
            .flat_map(|chain| &chain.rules)
            .map(|rule| rule.handle)),
        sets: counted!(|table: &Table| table.sets.iter().filter(named).map(|set| set.handle)),
        objects: counted!(|table: &Table| table.objects.iter().map(|object| object.handle)),
        elements: after
            .tables
            .iter()
            .flat_map(|table| table.sets.iter().filter(named))
            .map(|set| set.elements.len())
            .sum(),
    }
}
