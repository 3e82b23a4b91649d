//! What is emptied, and chains that get another name.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::chain::{retarget, targets};
use super::super::set::name;
use super::super::{Result, refuse};
use super::{Transaction, family};
use crate::rules::model::{Data, DataType, Statement};
use crate::rules::syntax::source::Name;
use crate::rules::syntax::tree;

impl Transaction<'_> {
    pub(super) fn flush(&mut self, flush: &tree::Flush) -> Result<()> {
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
                if let Some(live) = set.live.clone() {
                    self.clear_live(&live);
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

    pub(super) fn rename(&mut self, path: &tree::Path, to: &Name) -> Result<()> {
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
}
