//! What counts is set back.

use super::super::set;
use super::super::{Result, refuse};
use super::commit::Change;
use super::element::key_bounds;
use super::{Transaction, family};
use crate::rules::model::{Object, Rule};
use crate::rules::syntax::tree;

impl Transaction<'_> {
    pub(super) fn reset(&mut self, what: &tree::Reset) -> Result<()> {
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
            tree::Reset::Set(path) | tree::Reset::Map(path) => {
                let at = self.existing(&path.table)?;
                let position = self.named_set(at, &path.name)?;
                let set = &self.drafts[at].table.sets[position];
                if let Some(live) = &set.live {
                    self.changes.push(Change::ResetLive(live.clone(), None));
                }
                let statements = set.elements.iter().flat_map(|element| &element.state);
                self.changes.extend(statements.cloned().map(Change::ResetStatement));
            }
            tree::Reset::Elements(path, elements) => {
                let at = self.existing(&path.table)?;
                let position = self.named_set(at, &path.name)?;
                let set = self.drafts[at].table.sets[position].clone();
                for (span, named) in self.named_elements(at, &set, elements)? {
                    let key = key_bounds(&named.key);
                    let held = set.elements.iter().find(|element| key_bounds(&element.key) == key);
                    match (&set.live, held) {
                        (Some(live), _) if self.is_live(live, &named.key) => {
                            self.changes.push(Change::ResetLive(live.clone(), Some(named.key)));
                        }
                        (None, Some(held)) => {
                            self.changes.extend(held.state.iter().cloned().map(Change::ResetStatement));
                        }
                        _ => return refuse(span, format!("`{}` has no such element", set.name)),
                    }
                }
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
