//! Elements of named sets that come and go.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::set::{self, arrange, bounds};
use super::super::{Result, refuse};
use super::Transaction;
use crate::rules::model::{Element, ElementKey, Set, Value};
use crate::rules::syntax::source::{Name, Span};
use crate::rules::syntax::tree;

impl Transaction<'_> {
    pub(super) fn named_set(&mut self, at: usize, name: &Name) -> Result<usize> {
        let draft = &mut self.drafts[at];
        match draft.set_position(&name.value) {
            Some(position) if !draft.table.sets[position].anonymous => Ok(position),
            _ => refuse(name.span, format!("there is no set or map `{}` in this table", name.value)),
        }
    }

    pub(super) fn add_elements(
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
            if set.flags.interval && set.key.len() == 1 {
                self.no_overlap(live, &new)?;
            }
            let expiry = expiries(elements);
            for (number, element) in new.into_iter().enumerate() {
                self.add_live(&set, live, element, expiry.get(number).copied().flatten(), create)?;
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

    /// Elements by their keys; data need not be said to name an element of a map.
    pub(super) fn named_elements(
        &mut self,
        at: usize,
        set: &Set,
        elements: &tree::Elements,
    ) -> Result<Vec<(Span, Element)>> {
        let probe = Set { data: None, ..set.clone() };
        let mut bare = elements.elements.clone();
        bare.iter_mut().for_each(|element| element.data = None);
        let mut named = Vec::new();
        self.drafts[at].elements(&probe, &bare, self.environment, &mut named)?;
        Ok(named)
    }

    pub(super) fn delete_elements(
        &mut self,
        path: &tree::Path,
        elements: &tree::Elements,
        destroy: bool,
    ) -> Result<()> {
        let at = self.existing(&path.table)?;
        let position = self.named_set(at, &path.name)?;
        let held = self.drafts[at].table.sets[position].clone();
        let gone = self.named_elements(at, &held, elements)?;
        if let Some(live) = &held.live {
            for (span, element) in gone {
                if !self.remove_live(live, element.key) && !destroy {
                    return refuse(span, format!("`{}` has no such element", held.name));
                }
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
}

/// How long elements have left, as it was written, in the order of `Draft::elements`.
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

/// First and last of a key; `None` for the element for all other keys.
pub(super) type Bounds = Option<(Value, Value)>;

pub(super) fn key_bounds(key: &ElementKey) -> Bounds {
    bounds(key).map(|(first, last)| (first.clone(), last.clone()))
}
