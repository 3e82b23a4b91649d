//! What a checked statement reads.

use std::sync::Arc;

use crate::rules::model::{Expression, IdRange, NatAddress, Right, Statement};

/// Expressions that a statement reads.
pub(in crate::rules::check) fn expressions(statement: &Statement) -> Vec<&Expression> {
    match statement {
        Statement::Match(found) => match &found.right {
            Right::Expression(right) => vec![&found.left, right],
            _ => vec![&found.left],
        },
        Statement::VerdictMap { key, .. } | Statement::ObjectMap { key, .. } => vec![key],
        Statement::Set { value, .. } => vec![value],
        Statement::Queue(queue) => queue.choose.as_deref().into_iter().collect(),
        Statement::Dynamic(dynamic) => std::iter::once(&dynamic.key).chain(&dynamic.data).collect(),
        Statement::Nat(nat) => {
            let address = match &nat.address {
                Some(NatAddress::One(_, expression) | NatAddress::Mapped { expression, .. }) => {
                    Some(expression)
                }
                _ => None,
            };
            let ids = match &nat.ids {
                Some(IdRange::Computed(expression)) => Some(expression),
                _ => None,
            };
            address.into_iter().chain(ids).collect()
        }
        _ => Vec::new(),
    }
}

/// Names of the sets that a statement looks into.
pub(in crate::rules::check) fn sets(statement: &Statement, into: &mut Vec<Arc<str>>) {
    match statement {
        Statement::Match(found) => {
            if let Right::Set(set) = &found.right {
                into.push(set.0.clone());
            }
        }
        Statement::VerdictMap { map, .. } | Statement::ObjectMap { map, .. } => into.push(map.0.clone()),
        Statement::Dynamic(dynamic) => into.push(dynamic.set.0.clone()),
        _ => {}
    }
    for expression in expressions(statement) {
        sets_of_expression(expression, into);
    }
}

fn sets_of_expression(expression: &Expression, into: &mut Vec<Arc<str>>) {
    match expression {
        Expression::Map { key, map, .. } => {
            into.push(map.0.clone());
            sets_of_expression(key, into);
        }
        Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } => {
            sets_of_expression(inner, into)
        }
        Expression::Join { left, right, .. } => {
            sets_of_expression(left, into);
            sets_of_expression(right, into);
        }
        Expression::Concat(parts) => parts.iter().for_each(|part| sets_of_expression(part, into)),
        Expression::Hash(hash) => hash.key.iter().for_each(|key| sets_of_expression(key, into)),
        Expression::Select(_) | Expression::Value(..) | Expression::Number { .. } => {}
    }
}
