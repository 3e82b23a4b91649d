//! Statements of rules.

use std::sync::Arc;

use super::constant::{self, is_constant};
use super::expression::{Scope, raw_base};
use super::set::{Draft, SetWish, comment, is_state, milliseconds};
use super::{Environment, Result, refuse};
use crate::rules::catalog::{fields, keys, options, types};
use crate::rules::model::{
    DataType, Dynamic, DynamicOperation, Expression, Limit, LimitUnit, Log, Queue, Reject, Rule, SetRef,
    Statement, Target, Type, Verdict,
};
use crate::rules::state;
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, ExpressionKind, StatementKind};

/// Checks a rule. Its sets go into the draft; its handle comes last, as the kernel numbers them.
pub(super) fn rule(draft: &mut Draft, rule: &tree::Rule, environment: &Environment) -> Result<Rule> {
    let protocols = super::protocol::Protocols::of(draft.family());
    let mut scope = Scope { environment, draft, protocols, asked_icmp_type: false, implied: Vec::new() };
    let mut statements: Vec<Statement> = Vec::with_capacity(rule.statements.len());
    let mut ended: Option<Span> = None;
    for statement in &rule.statements {
        if ended.is_some() {
            return refuse(statement.span, "nothing behind a verdict is reached; put the verdict last");
        }
        let checked = scope.statement(statement)?;
        statements.append(&mut scope.implied);
        if is_terminal(&checked) {
            ended = Some(statement.span);
        }
        statements.push(checked);
    }
    let comment = comment(rule.comment.as_ref())?;
    Ok(Rule { handle: scope.draft.next_handle(), comment, statements })
}

/// Whether nothing can follow (`STMT_F_TERMINAL`).
const fn is_terminal(statement: &Statement) -> bool {
    match statement {
        Statement::Verdict(verdict) => !matches!(verdict, Verdict::Continue),
        Statement::Reject(_) | Statement::Queue(_) | Statement::Nat(_) => true,
        _ => false,
    }
}

impl Scope<'_> {
    fn statement(&mut self, statement: &tree::Statement) -> Result<Statement> {
        use StatementKind as K;
        let span = statement.span;
        Ok(match &statement.kind {
            K::Match { left, relation, right } => Statement::Match(self.matching(left, relation, right)?),
            K::Verdict(verdict) => Statement::Verdict(self.draft.verdict(verdict)?),
            K::VerdictMap { key, map } => self.verdict_map(key, map)?,
            K::Counter(_) | K::Quota(_) | K::Limit(_) | K::CtCount { .. } | K::Last { .. } => {
                state_of(statement)?
            }
            K::ObjectReference { kind, name } => self.object_reference(*kind, name)?,
            K::Log(log) => Statement::Log(log_of(log)?),
            K::Reject(reject) => Statement::Reject(self.reject(reject, span)?),
            K::SetMeta { key, value } => self.set_meta(*key, value, span)?,
            K::SetCt { direction, key, value } => self.set_ct(*direction, *key, value, span)?,
            K::SetField { field, value } => self.set_field(*field, value, span)?,
            K::StripTcpOption(option) => {
                self.protocols.transport(6, span)?;
                match options::tcp(*option, None) {
                    Some(option) if option.option > 1 => Statement::ResetOption(option),
                    _ => {
                        return refuse(span, "end and no-operation are no options that could be overwritten");
                    }
                }
            }
            K::Notrack => Statement::Notrack,
            K::Nat(nat) => Statement::Nat(self.nat(nat, span)?),
            K::Queue(queue) => Statement::Queue(self.queue(queue, span)?),
            K::SetUpdate(update) => self.set_update(update)?,
            K::InlineChain { .. } => {
                return refuse(
                    span,
                    "chains without a name are not run by this router: name the chain and jump to it",
                );
            }
            K::Meter(_) => {
                return refuse(
                    span,
                    "meters are an old spelling: declare a set with `flags dynamic` and use `update @set { … }`",
                );
            }
            K::Tproxy { .. } => {
                return refuse(span, "tproxy hands packets to sockets, which are the kernel's");
            }
            K::Synproxy(_) => return refuse(span, "synproxy is not run by this router"),
            K::Duplicate { .. } => return refuse(span, "packets are not duplicated by this router"),
            K::Forward { .. } => {
                return refuse(span, "`fwd` belongs to netdev tables, which are the kernel's");
            }
            K::FlowAdd { .. } => {
                return refuse(
                    span,
                    "there are no flowtables: this router keeps each flow's route by itself; leave it out",
                );
            }
        })
    }

    fn verdict_map(&mut self, key: &tree::Expression, map: &tree::Expression) -> Result<Statement> {
        let key = self.read(key)?;
        let map = map.resolved();
        let reference = match &map.kind {
            ExpressionKind::SetReference(name) => {
                let set = self.draft.referred(name, &key.types(), map.span)?;
                if set.data != Some(DataType::Verdict) {
                    return refuse(map.span, format!("`{name}` does not lead to verdicts"));
                }
                SetRef(set.name.clone())
            }
            ExpressionKind::Set(elements) => {
                let wish = SetWish { key: key.types(), data: Some(DataType::Verdict) };
                self.draft.anonymous(&wish, elements, map.span, self.environment)?
            }
            _ => {
                return refuse(
                    map.span,
                    "a verdict map in braces, or the name of one as `@name`, belongs here",
                );
            }
        };
        Ok(Statement::VerdictMap { key, map: reference })
    }

    fn object_reference(&mut self, kind: tree::ObjectKind, name: &tree::Expression) -> Result<Statement> {
        let words = match kind {
            tree::ObjectKind::Counter
            | tree::ObjectKind::Quota
            | tree::ObjectKind::Limit
            | tree::ObjectKind::CtHelper => kind.word(),
            other => return refuse(name.span, format!("{other} objects are not run by this router")),
        };
        let name = name.resolved();
        match &name.kind {
            ExpressionKind::Text(text) | ExpressionKind::Word(text) => match self.draft.object(words, text) {
                Some(name) => Ok(Statement::Object { words, name }),
                None => refuse(name.span, format!("there is no {words} `{text}` in this table")),
            },
            ExpressionKind::Map(key, map) => {
                let key = self.read(key)?;
                let map = map.resolved();
                let wanted = DataType::Object(words);
                let reference = match &map.kind {
                    ExpressionKind::SetReference(name) => {
                        let set = self.draft.referred(name, &key.types(), map.span)?;
                        if set.data != Some(wanted) {
                            return refuse(map.span, format!("`{name}` does not lead to {words} objects"));
                        }
                        SetRef(set.name.clone())
                    }
                    ExpressionKind::Set(elements) => {
                        let wish = SetWish { key: key.types(), data: Some(wanted) };
                        self.draft.anonymous(&wish, elements, map.span, self.environment)?
                    }
                    _ => {
                        return refuse(
                            map.span,
                            "a map in braces, or the name of one as `@name`, belongs here",
                        );
                    }
                };
                Ok(Statement::ObjectMap { words, key, map: reference })
            }
            _ => refuse(name.span, format!("the name of a {words} belongs here")),
        }
    }

    fn reject(&mut self, reject: &tree::Reject, span: Span) -> Result<Reject> {
        use crate::rules::catalog::symbols;
        let code = |code: &tree::Expression, names: symbols::Symbols, most: u64| -> Result<u8> {
            let code = code.resolved();
            let found = match &code.kind {
                ExpressionKind::Word(word) | ExpressionKind::Text(word) => symbols::value(names, word),
                ExpressionKind::Number(number) => Some(*number).filter(|number| *number <= most),
                _ => None,
            };
            match found.and_then(|found| u8::try_from(found).ok()) {
                Some(found) => Ok(found),
                None => {
                    let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
                    refuse(code.span, format!("no such code; there are {}", names.join(", ")))
                }
            }
        };
        Ok(match reject {
            tree::Reject::TcpReset => {
                self.protocols.transport(6, span)?;
                Reject::TcpReset
            }
            tree::Reject::Icmp(name) => {
                let code = code(name, symbols::ICMP_CODE, 255)?;
                self.protocols.network(0x0800, span)?;
                Reject::Icmp(code)
            }
            tree::Reject::Icmpv6(name) => {
                let code = code(name, symbols::ICMPV6_CODE, 255)?;
                self.protocols.network(0x86dd, span)?;
                Reject::Icmpv6(code)
            }
            tree::Reject::Icmpx(name) => Reject::Icmpx(code(name, symbols::ICMPX_CODE, 3)?),
            tree::Reject::Default => match self.protocols.network {
                Some(0x0800) => Reject::Icmp(3),
                Some(0x86dd) => Reject::Icmpv6(4),
                _ => Reject::Icmpx(1),
            },
        })
    }

    fn set_meta(&mut self, key: tree::MetaKey, value: &tree::Expression, span: Span) -> Result<Statement> {
        use tree::MetaKey as K;
        let (target, kind) = match key {
            K::Mark => (Target::MetaMark, Type::Mark),
            K::Priority => (Target::MetaPriority, Type::ClassId),
            K::Pkttype => (Target::MetaPacketType, Type::PacketType),
            K::Nftrace => (Target::MetaTrace, Type::Integer(1)),
            other => return refuse(span, format!("`meta {other}` cannot be set by this router")),
        };
        Ok(Statement::Set { target, value: self.value(value, kind)? })
    }

    fn set_ct(
        &mut self,
        direction: Option<tree::CtDirection>,
        key: tree::CtKey,
        value: &tree::Expression,
        span: Span,
    ) -> Result<Statement> {
        use tree::CtKey as K;
        let direction = direction.map(keys::direction);
        let (target, kind) = match key {
            K::Zone => (Target::CtZone(direction), Type::Integer(16)),
            _ if direction.is_some() => {
                return refuse(span, format!("`ct {key}` is the same in both directions"));
            }
            K::Mark => (Target::CtMark, Type::Mark),
            K::Label => (Target::CtLabel, Type::CtLabel),
            K::Event => (Target::CtEvent, Type::CtEvent),
            other => return refuse(span, format!("`ct {other}` cannot be set")),
        };
        Ok(Statement::Set { target, value: self.value(value, kind)? })
    }

    fn set_field(
        &mut self,
        field: tree::Settable,
        value: &tree::Expression,
        span: Span,
    ) -> Result<Statement> {
        let (target, kind) = match field {
            tree::Settable::Field(field) => {
                let (header, name) = fields::words(field);
                let Some(field) = fields::named(header, name) else {
                    return refuse(span, format!("`{header} {name}` is not changed by this router"));
                };
                self.protocols.need(&field.requires, span)?;
                (Target::Field(field), field.kind)
            }
            tree::Settable::Raw(raw) => {
                let (Ok(offset), Ok(length)) =
                    (u16::try_from(raw.offset_bits), u16::try_from(raw.length_bits))
                else {
                    return refuse(span, "this lies beyond any header");
                };
                if length == 0 || length > 128 || offset > 8 * 1500 {
                    return refuse(span, "1 to 128 bits of a header can be changed at once");
                }
                let target = Target::Raw { base: raw_base(raw.base), offset, length };
                (target, Type::Integer(length))
            }
            tree::Settable::TcpOption(option, field) => {
                self.protocols.transport(6, span)?;
                match options::tcp(option, Some(field)) {
                    Some(field) if matches!(field.length, 8 | 16 | 32) => (Target::Option(field), field.kind),
                    _ => return refuse(span, "this field of a TCP option cannot be changed"),
                }
            }
        };
        Ok(Statement::Set { target, value: self.value(value, kind)? })
    }

    fn queue(&mut self, queue: &tree::Queue, span: Span) -> Result<Queue> {
        let has = |wanted| queue.flags.iter().any(|flag| flag.value == wanted);
        let (bypass, fanout) = (has(tree::QueueFlag::Bypass), has(tree::QueueFlag::Fanout));
        let mut checked = Queue { first: 0, last: 0, choose: None, bypass, fanout };
        let Some(number) = &queue.number else { return Ok(checked) };
        if is_constant(number) {
            let (first, last) = constant::part(number, Type::Integer(16), self.environment)?.bounds();
            let of = |value: &[u8]| u16::try_from(types::number_of_value(value)).expect("16 bits");
            (checked.first, checked.last) = (of(&first), of(&last));
        } else {
            checked.choose = Some(Box::new(self.value(number, Type::Integer(16))?));
        }
        if fanout && checked.first == checked.last {
            return refuse(span, "`fanout` needs a range of queues");
        }
        Ok(checked)
    }

    fn set_update(&mut self, update: &tree::SetUpdate) -> Result<Statement> {
        let key = self.read(&update.key)?;
        let span = update.set.span;
        let set = self.draft.referred(&update.set.value, &key.types(), span)?.clone();
        if set.live.is_none() {
            let message = format!("packets do not change `{}`: declare it with `flags dynamic`", set.name);
            return refuse(span, message);
        }
        let operation = match update.operation {
            tree::SetOperation::Add => DynamicOperation::Add,
            tree::SetOperation::Update => DynamicOperation::Update,
            tree::SetOperation::Delete => DynamicOperation::Delete,
        };
        if let Some(timeout) = &update.timeout
            && !set.flags.timeout
        {
            return refuse(
                timeout.span,
                format!("elements of `{}` do not end: declare it with `flags timeout`", set.name),
            );
        }
        if let Some(expires) = &update.expires {
            return refuse(
                expires.span,
                "`expires` belongs to elements that are restored, not to what packets add",
            );
        }
        let (mut data, mut verdict) = (None, None);
        match (&set.data, &update.data) {
            (None, None) => {}
            (Some(DataType::Values { types, interval: false }), Some(value)) if types.len() == 1 => {
                data = Some(self.value(value, types[0])?);
            }
            (Some(DataType::Values { types, interval: false }), Some(value)) => {
                let read = self.read(value)?;
                if read.types() != *types {
                    return refuse(value.span, "the data are of another type than the map's");
                }
                data = Some(read);
            }
            (Some(DataType::Verdict), Some(value)) => match &value.resolved().kind {
                ExpressionKind::Verdict(found) => verdict = Some(self.draft.verdict(found)?),
                _ => return refuse(value.span, "a verdict belongs here"),
            },
            (Some(_), Some(value)) => return refuse(value.span, "packets cannot add such data"),
            (Some(_), None) if operation == DynamicOperation::Delete => {}
            (Some(_), None) => return refuse(span, format!("`{}` is a map: say `: data` too", set.name)),
            (None, Some(value)) => {
                return refuse(value.span, format!("`{}` is a set and leads to nothing", set.name));
            }
        }
        let mut states = Vec::with_capacity(update.statements.len());
        for statement in &update.statements {
            states.push(element_state(statement)?);
        }
        Ok(Statement::Dynamic(Dynamic {
            operation,
            set: SetRef(set.name.clone()),
            key,
            data,
            verdict,
            timeout_ms: update.timeout.as_ref().map(|timeout| milliseconds(timeout.value)),
            state: states,
        }))
    }
}

/// A statement that an element may have one of its own of.
pub(super) fn element_state(statement: &tree::Statement) -> Result<Statement> {
    let state = state_of(statement)?;
    debug_assert!(is_state(&state));
    Ok(state)
}

/// Another one of its kind, for another element.
pub(super) fn fresh(statement: &Statement) -> Statement {
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

fn state_of(statement: &tree::Statement) -> Result<Statement> {
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
            if used.is_some() {
                return refuse(span, "when a rule was last used is not restored: leave out `used`");
            }
            Statement::Last(Arc::default())
        }
        _ => return refuse(span, "elements carry only counter, quota, limit, ct count and last"),
    })
}

/// A rate that the kernel's arithmetic can hold (`nft_limit_init`).
pub(super) fn limit_of(limit: &tree::Limit, span: Span) -> Result<Limit> {
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

fn log_of(log: &tree::Log) -> Result<Log> {
    let prefix = match &log.prefix {
        Some(prefix) if prefix.value.len() > 127 => {
            return refuse(prefix.span, "a prefix has at most 127 bytes");
        }
        prefix => prefix.as_ref().map(|prefix| prefix.value.as_str().into()),
    };
    let mut flags = 0;
    for flag in &log.flags {
        flags |= match flag.value {
            tree::LogFlag::TcpSequence => 1,
            tree::LogFlag::TcpOptions => 2,
            tree::LogFlag::IpOptions => 4,
            tree::LogFlag::Skuid => 8,
            tree::LogFlag::Ether => 32,
            tree::LogFlag::All => 47,
        };
    }
    let level = log.level.as_ref().map(|level| level.value as u8);
    let group = log.group.as_ref().map(|group| group.value);
    if let Some(level_span) = log.level.as_ref().map(|level| level.span)
        && group.is_some()
    {
        return refuse(level_span, "with a group there is no level: whoever listens to the group decides");
    }
    if let Some(only) =
        log.snaplen.as_ref().map(|it| it.span).or(log.queue_threshold.as_ref().map(|it| it.span))
        && group.is_none()
    {
        return refuse(only, "this needs a group");
    }
    Ok(Log {
        prefix,
        group,
        snaplen: log.snaplen.as_ref().map(|snaplen| snaplen.value),
        queue_threshold: log.queue_threshold.as_ref().map(|threshold| threshold.value),
        level,
        flags,
    })
}

/// Expressions that a statement reads.
pub(super) fn expressions(statement: &Statement) -> Vec<&Expression> {
    use crate::rules::model::{IdRange, NatAddress, Right};
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
pub(super) fn sets(statement: &Statement, into: &mut Vec<Arc<str>>) {
    match statement {
        Statement::Match(found) => {
            if let crate::rules::model::Right::Set(set) = &found.right {
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
