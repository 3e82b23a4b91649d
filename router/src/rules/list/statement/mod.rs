//! Statements of rules.

mod implied;
mod matching;
mod nat;
mod state;

use std::fmt::Write as _;

pub(crate) use implied::{implies_tcp, shown};
use matching::match_text;
pub(crate) use matching::{Unaligned, unaligned};
use nat::nat_text;
pub(crate) use nat::{nat_flags, nat_word};
use state::last_text;
pub(crate) use state::{amount, period_word};
pub(super) use state::{quota_text, rate_text};

use super::Options;
use super::expression::{Writer, base_word, known_field, option_text};
use crate::rules::catalog::{keys, symbols};
use crate::rules::check::time;
use crate::rules::model::{
    Dynamic, DynamicOperation, Expression, Log, Queue, Reject, Rule, Selector, Statement, Table, TableFamily,
    Target, Verdict,
};
use crate::rules::syntax::tree::LogFlag;

/// The word of a log level (`man nft`, LOG STATEMENT).
pub(crate) fn level_word(level: u8) -> &'static str {
    const WORDS: [&str; 9] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"];
    WORDS[usize::from(level).min(WORDS.len() - 1)]
}

/// A rule's statements as nft lists them: matches that others imply are left out, what a statement implies without another
/// saying it is added.
pub(crate) fn listed_statements(table: &Table, rule: &Rule, options: &Options<'_>) -> Vec<String> {
    let added = implies_tcp(rule).then(|| "meta l4proto tcp".to_owned());
    let shown = rule.statements.iter().zip(shown(table.family, rule)).filter(|(_, shown)| *shown);
    added.into_iter().chain(shown.map(|(statement, _)| statement_text(table, statement, options))).collect()
}

/// One statement.
pub(super) fn statement_text(table: &Table, statement: &Statement, options: &Options<'_>) -> String {
    let writer = Writer { table: Some(table), options };
    match statement {
        Statement::Match(found) => match_text(writer, found),
        Statement::Verdict(verdict) => verdict_text(verdict),
        Statement::VerdictMap { key, map } => {
            format!("{} vmap {}", writer.expression(key), writer.set(map))
        }
        Statement::Counter(_) if options.stateless => "counter".to_owned(),
        Statement::Counter(counter) => {
            let (packets, bytes) = counter.read();
            format!("counter packets {packets} bytes {bytes}")
        }
        Statement::Object { words: "ct helper", name } => format!("ct helper set \"{name}\""),
        Statement::Object { words, name } => format!("{words} name \"{name}\""),
        Statement::ObjectMap { words, key, map } => {
            let words =
                if *words == "ct helper" { "ct helper set".to_owned() } else { format!("{words} name") };
            format!("{words} {} map {}", writer.expression(key), writer.set(map))
        }
        Statement::Quota(quota) => format!("quota {}", quota_text(quota, options)),
        Statement::Limit(limit) => format!("limit rate {}", rate_text(&limit.rate)),
        Statement::CtCount(count) => {
            format!("ct count {}{}", if count.over { "over " } else { "" }, count.count)
        }
        Statement::Last(last) => last_text(last.at_ns(), options),
        Statement::Log(log) => log_text(log),
        Statement::Reject(reject) => reject_text(table.family, reject),
        Statement::Queue(queue) => queue_text(writer, queue),
        Statement::Notrack => "notrack".to_owned(),
        Statement::Set { target, value } => set_text(writer, target, value),
        Statement::ResetOption(option) => format!("reset {}", option_text(option)),
        Statement::Nat(nat) => nat_text(writer, table.family, nat),
        Statement::Dynamic(dynamic) => dynamic_text(writer, table, dynamic),
    }
}

/// A verdict.
pub(super) fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Continue => "continue".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Queue(queue) => format!("queue to {}", queue.first),
    }
}

fn log_text(log: &Log) -> String {
    /// Flags that begin so are listed together, and this once.
    const TCP: &str = "tcp ";
    let mut text = "log".to_owned();
    if let Some(prefix) = &log.prefix {
        let _ = write!(text, " prefix \"{prefix}\"");
    }
    for (word, number) in [
        ("group", log.group.map(u32::from)),
        ("snaplen", log.snaplen.filter(|snaplen| *snaplen != 0)),
        ("queue-threshold", log.queue_threshold.filter(|threshold| *threshold != 0).map(u32::from)),
    ] {
        if let Some(number) = number {
            let _ = write!(text, " {word} {number}");
        }
    }
    if let Some(level) = log.level.filter(|level| *level != 4) {
        let _ = write!(text, " level {}", level_word(level));
    }
    let (tcp, others): (Vec<&str>, Vec<&str>) =
        LogFlag::words(log.flags).into_iter().partition(|words| words.starts_with(TCP));
    if !tcp.is_empty() {
        let words: Vec<&str> = tcp.into_iter().map(|words| &words[TCP.len()..]).collect();
        let _ = write!(text, " flags {TCP}{}", words.join(","));
    }
    for words in others {
        let _ = write!(text, " flags {words}");
    }
    text
}

fn reject_text(family: TableFamily, reject: &Reject) -> String {
    let code = |names: symbols::Symbols, code: u8| {
        symbols::name(names, code.into()).map_or_else(|| code.to_string(), str::to_owned)
    };
    match reject {
        Reject::TcpReset => "reject with tcp reset".to_owned(),
        Reject::Icmpx(1) => "reject".to_owned(),
        Reject::Icmp(3) if family == TableFamily::Ip => "reject".to_owned(),
        Reject::Icmpv6(4) if family == TableFamily::Ip6 => "reject".to_owned(),
        Reject::Icmp(number) => format!("reject with icmp {}", code(symbols::ICMP_CODE, *number)),
        Reject::Icmpv6(number) => format!("reject with icmpv6 {}", code(symbols::ICMPV6_CODE, *number)),
        Reject::Icmpx(number) => format!("reject with icmpx {}", code(symbols::ICMPX_CODE, *number)),
    }
}

fn queue_text(writer: Writer<'_>, queue: &Queue) -> String {
    let flags: Vec<_> = [(queue.bypass, "bypass"), (queue.fanout, "fanout")]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
        .collect();
    let flags = if flags.is_empty() { String::new() } else { format!(" flags {}", flags.join(",")) };
    match &queue.choose {
        Some(expression) => format!("queue{flags} to {}", writer.expression(expression)),
        None if queue.first == queue.last => format!("queue{flags} to {}", queue.first),
        None => format!("queue{flags} to {}-{}", queue.first, queue.last),
    }
}

/// What is set, as nft calls it.
pub(crate) fn target_text(family: Option<TableFamily>, target: &Target) -> String {
    match target {
        Target::Field(field) => format!("{} {}", field.header, field.name),
        Target::Raw { base, offset, length } => {
            let raw = Selector::Raw { base: *base, offset: *offset, length: *length };
            match known_field(family, &raw) {
                Some(field) => format!("{} {}", field.header, field.name),
                None => format!("@{},{offset},{length}", base_word(*base)),
            }
        }
        Target::Option(option) => option_text(option),
        Target::MetaMark => "meta mark".to_owned(),
        Target::MetaPriority => "meta priority".to_owned(),
        Target::MetaPacketType => "meta pkttype".to_owned(),
        Target::MetaBroute => "meta broute".to_owned(),
        Target::MetaTrace => "meta nftrace".to_owned(),
        Target::CtMark => "ct mark".to_owned(),
        Target::CtLabel => "ct label".to_owned(),
        Target::CtZone(None) => "ct zone".to_owned(),
        Target::CtZone(Some(direction)) => format!("ct {} zone", keys::direction_word(*direction)),
    }
}

fn set_text(writer: Writer<'_>, target: &Target, value: &Expression) -> String {
    let value = match (target, value) {
        (Target::Raw { base, offset, length }, Expression::Value(kind, bytes)) => {
            let left = Expression::Select(Selector::Raw { base: *base, offset: *offset, length: *length });
            writer.compared(&left, *kind, bytes, " | ")
        }
        _ => writer.expression(value),
    };
    format!("{} set {value}", target_text(writer.table.map(|table| table.family), target))
}

fn dynamic_text(writer: Writer<'_>, table: &Table, dynamic: &Dynamic) -> String {
    let operation = match dynamic.operation {
        DynamicOperation::Add => "add",
        DynamicOperation::Update => "update",
        DynamicOperation::Delete => "delete",
    };
    let mut text = format!("{operation} @{} {{ {}", dynamic.set.0, writer.expression(&dynamic.key));
    if let Some(timeout) = dynamic.timeout_ms {
        let _ = write!(text, " timeout {}", time::span_text(timeout));
    }
    for statement in &dynamic.state {
        let _ = write!(
            text,
            " {}",
            statement_text(table, statement, &Options { stateless: true, ..*writer.options })
        );
    }
    if let Some(data) = &dynamic.data {
        let _ = write!(text, " : {}", writer.expression(data));
    }
    if let Some(verdict) = &dynamic.verdict {
        let _ = write!(text, " : {}", verdict_text(verdict));
    }
    text + " }"
}
