//! What a declared set is to hold.

use std::sync::Arc;

use super::super::constant::described;
use super::super::expression::{Scope, key_bytes};
use super::super::protocol::Protocols;
use super::super::statement::element_state;
use super::super::{Environment, Result, refuse};
use super::element::flatten;
use super::{Draft, comment, milliseconds, name};
use crate::rules::catalog::types;
use crate::rules::model::{DataType, Set, SetFlags, Type};
use crate::rules::state::{LiveSet, SIZE_MAX_IF_UNSAID};
use crate::rules::syntax::source::Name;
use crate::rules::syntax::tree::{self, ExpressionKind};

/// Types and options of a declared set; elements come later.
pub(in crate::rules::check) fn declare(
    draft: &mut Draft,
    block: &tree::SetBlock,
    environment: &Environment,
) -> Result<Set> {
    let span = block.name.span;
    let Some(key) = &block.key else {
        return refuse(span, "what the keys are is missing: `type …` or `typeof …`");
    };
    let mut typeof_key = None;
    let key = match key {
        tree::KeyType::Named(names) => named_types(names)?,
        tree::KeyType::Like(expression) => {
            let read = typed_like(draft, expression, environment)?;
            typeof_key = Some(crate::rules::list::expression_text(&read, environment));
            read.types()
        }
    };
    if key_bytes(&key) > 64 {
        return refuse(span, "a key has at most 64 bytes");
    }
    let mut typeof_data = None;
    let data = match &block.data {
        None if block.is_map => return refuse(span, "what the data are is missing: `type KEY : DATA`"),
        None => None,
        Some(tree::DataType::Named { interval, names }) => {
            Some(DataType::Values { types: named_types(names)?, interval: *interval })
        }
        Some(tree::DataType::Like { interval, expression }) => {
            let read = typed_like(draft, expression, environment)?;
            let text = crate::rules::list::expression_text(&read, environment);
            typeof_data = Some(if *interval { format!("interval {text}") } else { text });
            Some(DataType::Values { types: read.types(), interval: *interval })
        }
        Some(tree::DataType::Verdict(_)) => {
            typeof_data = Some("verdict".to_owned());
            Some(DataType::Verdict)
        }
        Some(tree::DataType::Queue(span)) => {
            return refuse(*span, "maps to queues are not run by this router");
        }
        Some(tree::DataType::Object(kind)) => match kind.value {
            tree::ObjectKind::Counter
            | tree::ObjectKind::Quota
            | tree::ObjectKind::Limit
            | tree::ObjectKind::CtHelper => Some(DataType::Object(kind.value.word())),
            other => return refuse(kind.span, format!("{other} objects are not run by this router")),
        },
    };
    let has = |wanted| block.flags.iter().any(|flag| flag.value == wanted);
    let flags = SetFlags {
        constant: has(tree::SetFlag::Constant),
        interval: has(tree::SetFlag::Interval),
        timeout: has(tree::SetFlag::Timeout) || block.timeout.is_some(),
        dynamic: has(tree::SetFlag::Dynamic),
    };
    if flags.dynamic && flags.interval && key.len() == 1 {
        return refuse(span, "packets cannot add to a set of intervals");
    }
    if flags.constant && flags.is_live() {
        return refuse(
            span,
            "a constant set does not change by itself: leave out `constant`, `timeout` or `dynamic`",
        );
    }
    let mut element_statements = Vec::new();
    for statement in &block.statements {
        element_statements.push(element_state(statement, environment.now)?);
    }
    let size = block.size.as_ref().map(|size| size.value);
    let size_max = size.unwrap_or(if flags.dynamic { SIZE_MAX_IF_UNSAID } else { ENDING_MAX_IF_UNSAID });
    let live = flags.is_live().then(|| Arc::new(LiveSet::new(&key, size_max)));
    Ok(Set {
        name: name(&block.name)?,
        handle: 0,
        anonymous: false,
        comment: comment(block.comment.as_ref())?,
        typeof_text: typeof_key.map(|key| (key.into(), typeof_data.map(Into::into))),
        key,
        data,
        flags,
        timeout_ms: block.timeout.as_ref().map(|timeout| milliseconds(timeout.value)),
        gc_interval_ms: block.gc_interval.as_ref().map(|interval| milliseconds(interval.value)),
        size,
        policy_memory: block.policy.as_ref().is_some_and(|policy| policy.value == tree::SetPolicy::Memory),
        auto_merge: block.auto_merge.is_some(),
        element_state: element_statements,
        elements: Arc::default(),
        live,
    })
}

/// Most elements of a set whose elements end and whose size nobody said; the kernel sets no bound.
const ENDING_MAX_IF_UNSAID: u32 = 1 << 20;

fn named_types(names: &[Name]) -> Result<Vec<Type>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match types::named(&name.value) {
            Some(kind) => found.push(kind),
            None => return refuse(name.span, format!("`{}` is no type that keys can have", name.value)),
        }
    }
    Ok(found)
}

fn typed_like(
    draft: &mut Draft,
    expression: &tree::Expression,
    environment: &Environment,
) -> Result<crate::rules::model::Expression> {
    let family = draft.family();
    let parts = match &expression.resolved().kind {
        ExpressionKind::Concatenation(parts) => flatten(parts),
        _ => vec![expression],
    };
    let mut read = Vec::with_capacity(parts.len());
    for part in parts {
        // Each part stands for itself: `typeof ip saddr . ip6 saddr` asks for no packet that is both.
        let protocols = Protocols::of(family);
        let mut scope = Scope { environment, draft, protocols, asked_icmp_type: true, implied: Vec::new() };
        let one = scope.read(part)?;
        if one.types().contains(&Type::Verdict) {
            return refuse(part.span, format!("{} cannot be a key", described(Type::Verdict)));
        }
        read.push(one);
    }
    Ok(if read.len() == 1 { read.remove(0) } else { crate::rules::model::Expression::Concat(read) })
}
