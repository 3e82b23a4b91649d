//! Statements that remember what packets have done.

use std::sync::Arc;

use conntrack::Instant;

use super::super::set::is_state;
use super::super::{Result, refuse};
use crate::rules::model::{Limit, LimitUnit, Statement};
use crate::rules::state;
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, StatementKind};

/// A statement that an element may have one of its own of.
pub(in crate::rules::check) fn element_state(statement: &tree::Statement, now: Instant) -> Result<Statement> {
    let state = state_of(statement, now)?;
    debug_assert!(is_state(&state));
    Ok(state)
}

/// Another one of its kind, for another element.
pub(in crate::rules::check) fn fresh(statement: &Statement) -> Statement {
    match statement {
        Statement::Counter(_) => Statement::Counter(Arc::default()),
        Statement::Quota(quota) => Statement::Quota(Arc::new(state::Quota::new(quota.bytes, quota.over, 0))),
        Statement::Limit(limit) => Statement::Limit(Arc::new(state::Limit::new(limit.rate))),
        Statement::CtCount(count) => {
            Statement::CtCount(Arc::new(state::FlowCount::new(count.count, count.over)))
        }
        Statement::Last(_) => Statement::Last(Arc::default()),
        other => other.clone(),
    }
}

pub(super) fn state_of(statement: &tree::Statement, now: Instant) -> Result<Statement> {
    let span = statement.span;
    Ok(match &statement.kind {
        StatementKind::Counter(counter) => {
            Statement::Counter(Arc::new(state::Counter::new(counter.packets, counter.bytes)))
        }
        StatementKind::Quota(quota) => {
            let quota = state::Quota::new(quota.bytes, quota.over, quota.used_bytes);
            Statement::Quota(Arc::new(quota))
        }
        StatementKind::Limit(limit) => Statement::Limit(Arc::new(state::Limit::new(limit_of(limit, span)?))),
        StatementKind::CtCount { count, over } => {
            Statement::CtCount(Arc::new(state::FlowCount::new(*count, *over)))
        }
        StatementKind::Last { used } => {
            let before = |ago| now.nanos().saturating_sub((Instant::ZERO + ago).nanos());
            let used = used.map(|ago| state::Last::reached(before(ago)));
            Statement::Last(Arc::new(used.unwrap_or_default()))
        }
        _ => return refuse(span, "elements carry only counter, quota, limit, ct count and last"),
    })
}

/// A rate that the kernel's arithmetic can hold (`nft_limit_init`).
pub(in crate::rules::check) fn limit_of(limit: &tree::Limit, span: Span) -> Result<Limit> {
    let unit = match limit.of {
        tree::LimitOf::Packets => LimitUnit::Packets,
        tree::LimitOf::Bytes => LimitUnit::Bytes,
    };
    let period_s = u32::try_from(limit.unit.seconds()).expect("a week in seconds");
    let Ok(burst) = u32::try_from(limit.burst) else {
        return refuse(span, "a burst is at most 4,294,967,295");
    };
    if limit.rate == 0 {
        return refuse(span, "a rate of 0 lets nothing pass: use `drop`");
    }
    let period_ns = u64::from(period_s) * 1_000_000_000;
    let largest = match unit {
        LimitUnit::Packets => (period_ns / limit.rate).checked_mul(u64::from(burst)),
        LimitUnit::Bytes => {
            limit.rate.checked_add(u64::from(burst)).and_then(|sum| sum.checked_mul(period_ns))
        }
    };
    if largest.is_none() {
        return refuse(
            span,
            "the rate is too large for its unit of time; take a shorter one, such as `/second`",
        );
    }
    Ok(Limit { rate: limit.rate, period_s, burst, unit, over: limit.over })
}
