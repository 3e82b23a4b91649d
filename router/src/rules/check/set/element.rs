//! Keys of elements, and the order in which a set keeps them.

use super::super::constant::{self, Part};
use super::super::expression::key_bytes;
use super::super::{Environment, Result, refuse};
use crate::rules::model::{Element, ElementKey, Set, Type, Value};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, ExpressionKind};

/// The key of an element: parts of a concatenation may be ranges each.
pub(in crate::rules::check) fn element_key(
    key: &tree::Expression,
    types: &[Type],
    environment: &Environment,
) -> Result<ElementKey> {
    let key = key.resolved();
    if let [kind] = types {
        return Ok(match constant::part(key, *kind, environment)? {
            Part::One(value) => ElementKey::Value(value),
            part => {
                let (first, last) = part.bounds();
                ElementKey::Range(first, last)
            }
        });
    }
    let parts = match &key.kind {
        ExpressionKind::Concatenation(parts) => flatten(parts),
        _ => vec![key],
    };
    if parts.len() != types.len() {
        return refuse(key.span, format!("a key has {} parts here, this has {}", types.len(), parts.len()));
    }
    let (mut first, mut last) = (Value::new(), Value::new());
    for (part, kind) in parts.into_iter().zip(types) {
        let (low, high) = constant::part(part, *kind, environment)?.bounds();
        for (whole, bytes) in [(&mut first, low), (&mut last, high)] {
            whole.extend_from_slice(&bytes);
            whole.resize(whole.len().next_multiple_of(4), 0);
        }
    }
    debug_assert_eq!(first.len(), key_bytes(types));
    Ok(if first == last { ElementKey::Value(first) } else { ElementKey::Range(first, last) })
}

pub(super) fn flatten(parts: &[tree::Expression]) -> Vec<&tree::Expression> {
    let mut flat = Vec::new();
    for part in parts {
        let part = part.resolved();
        match &part.kind {
            ExpressionKind::Concatenation(inner) => flat.extend(flatten(inner)),
            _ => flat.push(part),
        }
    }
    flat
}

/// First and last of a key.
pub(in crate::rules::check) fn bounds(key: &ElementKey) -> Option<(&Value, &Value)> {
    match key {
        ElementKey::Value(value) => Some((value, value)),
        ElementKey::Range(first, last) => Some((first, last)),
        ElementKey::CatchAll => None,
    }
}

/// New elements in the order in which a set keeps them, without doubles. `merge` joins what overlaps or touches; else
/// what overlaps is refused.
pub(in crate::rules::check) fn arrange(
    set: &Set,
    mut new: Vec<(Span, Element)>,
    merge: bool,
) -> Result<Vec<Element>> {
    if set.flags.interval && set.key.len() > 1 {
        return Ok(without_doubles(new));
    }
    new.sort_by(|(_, one), (_, other)| sort_key(one).cmp(&sort_key(other)));
    let mut arranged: Vec<Element> = Vec::with_capacity(new.len());
    for (span, element) in new {
        let Some(before) = arranged.last_mut() else {
            arranged.push(element);
            continue;
        };
        let (Some((first, last)), Some((begin, end))) = (bounds(&before.key), bounds(&element.key)) else {
            if before.key != element.key {
                arranged.push(element);
            }
            continue;
        };
        let touches = begin <= last || set.flags.interval && follows(last, begin);
        if (first, last) == (begin, end) {
            if before.data != element.data {
                return refuse(span, "another element with this key leads elsewhere");
            }
        } else if merge && touches {
            let key = ElementKey::Range(first.clone(), last.max(end).clone());
            before.key = key;
        } else if begin <= last {
            return refuse(
                span,
                "conflicting intervals: this overlaps another element; `auto-merge` joins them",
            );
        } else {
            arranged.push(element);
        }
    }
    Ok(arranged)
}

fn sort_key(element: &Element) -> (bool, Option<(&Value, &Value)>) {
    (element.key == ElementKey::CatchAll, bounds(&element.key))
}

fn without_doubles(new: Vec<(Span, Element)>) -> Vec<Element> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::with_capacity(new.len());
    for (_, element) in new {
        if seen.insert(bounds(&element.key).map(|(first, last)| (first.clone(), last.clone()))) {
            kept.push(element);
        }
    }
    kept
}

/// Whether `next` is the number behind `last`.
fn follows(last: &[u8], next: &[u8]) -> bool {
    let mut number = last.to_vec();
    for byte in number.iter_mut().rev() {
        let (sum, carried) = byte.overflowing_add(1);
        *byte = sum;
        if !carried {
            return number == next;
        }
    }
    false
}
