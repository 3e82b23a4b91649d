//! What is deleted, and what is still needed.

use std::collections::HashMap;

use super::super::chain::targets;
use super::super::set::Draft;
use super::super::statement;
use super::super::{Result, refuse};
use super::{Transaction, family, no_flowtables};
use crate::rules::model::{Data, DataType, Statement};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree;

impl Transaction<'_> {
    pub(super) fn delete(&mut self, target: &tree::Target, destroy: bool) -> Result<()> {
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
