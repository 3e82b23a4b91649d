//! Rules that come, are replaced, and go.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::statement;
use super::super::{Result, refuse};
use super::Transaction;
use crate::rules::model::{Chain, Rule};
use crate::rules::syntax::source::Name;
use crate::rules::syntax::tree;

impl Transaction<'_> {
    pub(super) fn rules_of(&mut self, at: usize, block: &tree::ChainBlock) -> Result<()> {
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

    pub(super) fn chain_of(&mut self, at: usize, name: &Name) -> Result<usize> {
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

    pub(super) fn chain_mut(&mut self, at: usize, position: usize) -> &mut Chain {
        Arc::make_mut(&mut self.drafts[at].table_mut().chains[position])
    }

    pub(super) fn place_rule(
        &mut self,
        place: &tree::RulePlace,
        rule: &tree::Rule,
        insert: bool,
    ) -> Result<()> {
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

    pub(super) fn rule_of(&mut self, id: &tree::RuleId) -> Result<(usize, usize, usize)> {
        let at = self.existing(&id.chain.table)?;
        let position = self.chain_of(at, &id.chain.name)?;
        let rules = &self.drafts[at].table.chains[position].rules;
        match rules.iter().position(|rule| rule.handle == id.handle.value) {
            Some(number) => Ok((at, position, number)),
            None => refuse(id.handle.span, format!("no rule of this chain has handle {}", id.handle.value)),
        }
    }

    pub(super) fn replace_rule(&mut self, id: &tree::RuleId, rule: &tree::Rule) -> Result<()> {
        let (at, position, number) = self.rule_of(id)?;
        let checked = self.rule(at, rule)?;
        let old = std::mem::replace(&mut self.chain_mut(at, position).rules[number], checked);
        self.bury(at, &[old]);
        Ok(())
    }

    /// Takes away the anonymous sets of rules that are gone.
    pub(super) fn bury(&mut self, at: usize, rules: &[Arc<Rule>]) {
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
}
