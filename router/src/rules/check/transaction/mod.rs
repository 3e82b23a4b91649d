//! Commands in their order on a copy of the rules: all of them take effect, or none.

mod commit;
mod declare;
mod delete;
mod element;
mod flush;
mod live;
mod reset;
mod rule;
mod summary;

use std::collections::HashMap;
use std::sync::Arc;

use commit::Change;
pub use commit::Loaded;
use live::LiveChanges;
pub use summary::Summary;
use summary::summary;

use super::chain;
use super::set::Draft;
use super::{Environment, Result, RuleError, refuse};
use crate::rules::model::{Chain, Rule, Ruleset, TableFamily};
use crate::rules::syntax::source::{Sources, Span};
use crate::rules::syntax::tree::{self, Command, CommandKind};

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
        live: HashMap::new(),
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
    live: LiveChanges,
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
