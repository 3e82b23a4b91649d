//! Statements of rules.

mod change;
mod reading;
mod state;

pub(super) use reading::{expressions, sets};
use state::state_of;
pub(super) use state::{element_state, fresh, limit_of};

use super::constant::{self, is_constant};
use super::expression::Scope;
use super::link::Tells;
use super::set::{Draft, SetWish, comment};
use super::{Environment, Result, refuse};
use crate::rules::catalog::{options, types};
use crate::rules::model::{
    DataType, Log, Queue, Reject, Rule, SetRef, Statement, TableFamily, Type, Verdict,
};
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
            K::CtCount { .. } => {
                self.only_routed("`ct count`", "counts what is tracked", span)?;
                state_of(statement, self.environment.now)?
            }
            K::Counter(_) | K::Quota(_) | K::Limit(_) | K::Last { .. } => {
                state_of(statement, self.environment.now)?
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
            K::Nat(nat) => {
                self.only_routed("translation", "changes what is tracked", span)?;
                Statement::Nat(self.nat(nat, span)?)
            }
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
            tree::ObjectKind::CtHelper if matches!(self.family(), TableFamily::Arp | TableFamily::Bridge) => {
                return refuse(name.span, "helpers are for what is tracked: frames are not");
            }
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
        match (self.family(), self.protocols.network) {
            (TableFamily::Arp, _) => return refuse(span, "nothing answers ARP frames but ARP: use `drop`"),
            (TableFamily::Bridge, Some(known)) if !matches!(known, 0x0800 | 0x86dd) => {
                return refuse(span, "only IP packets are answered: use `drop`");
            }
            _ => {}
        }
        Ok(match reject {
            tree::Reject::TcpReset => {
                self.protocols.transport(6, span)?;
                Reject::TcpReset
            }
            tree::Reject::Icmp(name) => {
                let code = code(name, symbols::ICMP_CODE, 255)?;
                self.need_network(0x0800, Tells::Meta, span)?;
                Reject::Icmp(code)
            }
            tree::Reject::Icmpv6(name) => {
                let code = code(name, symbols::ICMPV6_CODE, 255)?;
                self.need_network(0x86dd, Tells::Meta, span)?;
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
}

fn log_of(log: &tree::Log) -> Result<Log> {
    let prefix = match &log.prefix {
        Some(prefix) if prefix.value.len() > 127 => {
            return refuse(prefix.span, "a prefix has at most 127 bytes");
        }
        prefix => prefix.as_ref().map(|prefix| prefix.value.as_str().into()),
    };
    let flags = log.flags.iter().fold(0, |flags, flag| flags | flag.value.bits());
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
