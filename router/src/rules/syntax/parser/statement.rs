//! Rules and their statements.

mod nat;
mod set;

use winnow::Parser;
use winnow::combinator::{alt, cut_err, opt};

use super::expression;
use super::object;
use super::primitive::{
    commas, comment, duration, keyword, nested, next, next_word, number, once, second, second_word, since,
    skip, string, text, took, took_word, word,
};
use super::selector;
use super::variables::{interpolated, name_or_variable};
use super::{Failure, Input, Parsed};
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::Spanned;
use crate::rules::syntax::tree::{
    Counter, CtKey, Expression, ExpressionKind, Log, LogFlag, LogLevel, MetaKey, ObjectKind, Queue,
    QueueFlag, Reject, Rule, Selector, Settable, Statement, StatementKind, Verdict, VerdictKind,
};

/// Words that begin a statement, those of selectors included.
const STATEMENTS: &[&str] = &[
    "accept",
    "drop",
    "continue",
    "return",
    "jump",
    "goto",
    "counter",
    "limit",
    "quota",
    "last",
    "log",
    "reject",
    "snat",
    "dnat",
    "masquerade",
    "redirect",
    "tproxy",
    "synproxy",
    "queue",
    "dup",
    "fwd",
    "notrack",
    "flow",
    "meter",
    "reset",
    "add",
    "update",
    "delete",
    "set",
    "comment",
    "meta",
    "ct",
    "ether",
    "vlan",
    "arp",
    "ip",
    "ip6",
    "icmp",
    "icmpv6",
    "igmp",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "th",
    "esp",
    "ah",
    "comp",
    "gre",
    "gretap",
    "vxlan",
    "geneve",
    "exthdr",
    "hbh",
    "dst",
    "rt",
    "rt0",
    "rt2",
    "srh",
    "frag",
    "mh",
    "fib",
    "socket",
    "osf",
    "ipsec",
    "tunnel",
    "numgen",
    "jhash",
    "symhash",
    "mark",
    "iif",
    "iifname",
    "iiftype",
    "iifgroup",
    "oif",
    "oifname",
    "oiftype",
    "oifgroup",
    "skuid",
    "skgid",
    "nftrace",
    "rtclassid",
    "ibrname",
    "ibriport",
    "obrname",
    "obriport",
    "pkttype",
    "cpu",
    "cgroup",
    "time",
    "day",
    "hour",
];

/// A rule: statements, and perhaps a comment. What ends it is not taken.
pub(super) fn rule(input: &mut Input<'_>) -> Parsed<Rule> {
    let start = next(input).span();
    let mut statements = vec![cut_err(statement).parse_next(input)?];
    let mut said = None;
    loop {
        match next(input).kind {
            Kind::Newline | Kind::Semicolon | Kind::RightBrace | Kind::End => break,
            _ if next_word(input) == "comment" => {
                said = Some(comment(input)?);
                break;
            }
            _ => statements.push(cut_err(statement).parse_next(input)?),
        }
    }
    Ok(Rule { span: since(input, start), statements, comment: said })
}

/// A piece of a rule.
fn statement(input: &mut Input<'_>) -> Parsed<Statement> {
    let start = next(input).span();
    let kind = kind(input)?;
    Ok(Statement { kind, span: since(input, start) })
}

fn kind(input: &mut Input<'_>) -> Parsed<StatementKind> {
    if let Some(stateful) = opt(stateful).parse_next(input)? {
        return Ok(stateful.kind);
    }
    let first = next_word(input);
    let second_word = second_word(input);
    match first {
        "jump" | "goto" if second(input).kind == Kind::LeftBrace => inline_chain(input),
        "accept" | "drop" | "continue" | "return" | "jump" | "goto" => {
            verdict(input).map(StatementKind::Verdict)
        }
        "counter" => reference(input, ObjectKind::Counter),
        "limit" => reference(input, ObjectKind::Limit),
        "quota" => reference(input, ObjectKind::Quota),
        "synproxy" if second_word == "name" => reference(input, ObjectKind::Synproxy),
        "synproxy" => {
            skip(input);
            object::synproxy_options(input).map(StatementKind::Synproxy)
        }
        "ct" if second_word == "timeout" => ct_reference(input, ObjectKind::CtTimeout),
        "ct" if second_word == "expectation" => ct_reference(input, ObjectKind::CtExpectation),
        "log" => log(input).map(StatementKind::Log),
        "reject" => reject(input).map(StatementKind::Reject),
        "snat" | "dnat" | "masquerade" | "redirect" => nat::nat(input).map(StatementKind::Nat),
        "tproxy" => nat::tproxy(input),
        "dup" => nat::duplicate(input),
        "fwd" => nat::forward(input),
        "queue" => queue(input).map(StatementKind::Queue),
        "notrack" => {
            skip(input);
            Ok(StatementKind::Notrack)
        }
        "flow" => set::flow(input),
        "meter" => set::meter(input).map(StatementKind::Meter),
        "add" | "update" | "delete" => set::update(input).map(StatementKind::SetUpdate),
        "set" => set::update_reversed(input).map(StatementKind::SetUpdate),
        "reset" => {
            skip(input);
            (word!("tcp"), word!("option")).parse_next(input)?;
            selector::tcp_option_kind(input).map(StatementKind::StripTcpOption)
        }
        _ => match_or_assignment(input, first),
    }
}

/// `LEFT [RELATION] RIGHT`, `KEY vmap MAP`, `SELECTOR set VALUE`.
fn match_or_assignment(input: &mut Input<'_>, first: &str) -> Parsed<StatementKind> {
    match next(input).kind {
        Kind::Word if !STATEMENTS.contains(&first) => {
            return Err(Failure::words(input, "a statement", STATEMENTS));
        }
        Kind::Word
        | Kind::At
        | Kind::Dollar
        | Kind::LeftParenthesis
        | Kind::Number
        | Kind::Text
        | Kind::Ipv4
        | Kind::Ipv6
        | Kind::Mac => {}
        _ => return Err(Failure::expected(input, "a statement")),
    }
    let left = expression::left(input)?;
    match next_word(input) {
        "set" => assignment(input, left),
        "vmap" => {
            skip(input);
            let map = match next(input).kind {
                Kind::LeftBrace => expression::set(input)?,
                Kind::Dollar => super::variables::variable(input)?,
                Kind::At => expression::set_reference(input)?,
                _ => return Err(Failure::expected(input, "`{` or `@` and the name of a verdict map")),
            };
            Ok(StatementKind::VerdictMap { key: left, map })
        }
        _ => {
            let expression::Comparison { left, relation, right } = expression::comparison(input, left)?;
            Ok(StatementKind::Match { left, relation, right })
        }
    }
}

/// `set VALUE` behind what is set.
fn assignment(input: &mut Input<'_>, left: Expression) -> Parsed<StatementKind> {
    let ExpressionKind::Selector(selector) = left.kind else {
        return Err(Failure::mistake(left.span, Mistake::Wrong("this cannot be set")));
    };
    let set = skip(input);
    let value = cut_err(expression::in_statement).parse_next(input)?;
    match selector {
        Selector::Meta(MetaKey::Secmark) if !is_ct(&value) => {
            Ok(StatementKind::ObjectReference { kind: ObjectKind::Secmark, name: value })
        }
        Selector::Meta(key) => Ok(StatementKind::SetMeta { key, value }),
        Selector::Ct { direction: None, key: CtKey::Helper } => {
            Ok(StatementKind::ObjectReference { kind: ObjectKind::CtHelper, name: value })
        }
        Selector::Ct { direction, key } => Ok(StatementKind::SetCt { direction, key, value }),
        Selector::Field(field) => Ok(StatementKind::SetField { field: Settable::Field(field), value }),
        Selector::Raw(raw) => Ok(StatementKind::SetField { field: Settable::Raw(raw), value }),
        Selector::TcpOption { option, field: Some(field) } => {
            Ok(StatementKind::SetField { field: Settable::TcpOption(option, field), value })
        }
        _ => Err(Failure::mistake(left.span.to(set), Mistake::Wrong("this cannot be set"))),
    }
}

fn is_ct(value: &Expression) -> bool {
    matches!(value.kind, ExpressionKind::Selector(Selector::Ct { .. }))
}

/// `accept`, `drop`, `continue`, `return`, `jump CHAIN`, `goto CHAIN`.
pub(super) fn verdict(input: &mut Input<'_>) -> Parsed<Verdict> {
    let start = next(input).span();
    let first = next_word(input);
    let plain = match first {
        "accept" => VerdictKind::Accept,
        "drop" => VerdictKind::Drop,
        "continue" => VerdictKind::Continue,
        "return" => VerdictKind::Return,
        "jump" | "goto" => {
            skip(input);
            let target = cut_err(|input: &mut Input<'_>| name_or_variable(input, "the name of a chain"));
            let chain = { target }.parse_next(input)?;
            let kind = if first == "jump" { VerdictKind::Jump(chain) } else { VerdictKind::Goto(chain) };
            return Ok(Verdict { kind, span: since(input, start) });
        }
        _ => return Err(Failure::expected(input, "a verdict")),
    };
    skip(input);
    Ok(Verdict { kind: plain, span: start })
}

/// `jump { … }`, `goto { … }`.
fn inline_chain(input: &mut Input<'_>) -> Parsed<StatementKind> {
    let goto = next_word(input) == "goto";
    skip(input);
    skip(input);
    let rules = nested(input, |input| {
        let mut rules = Vec::new();
        while !took(input, Kind::RightBrace) {
            if took(input, Kind::Newline) || took(input, Kind::Semicolon) {
                continue;
            }
            if next(input).kind == Kind::End {
                return Err(Failure::expected(input, Kind::RightBrace.name()));
            }
            rules.push(rule(input)?);
            super::primitive::separator(input)?;
        }
        Ok(rules)
    })?;
    Ok(StatementKind::InlineChain { goto, rules })
}

/// What keeps a state, and may be carried by elements: `counter`, `quota`, `limit`, `ct count`, `last`.
pub(super) fn stateful(input: &mut Input<'_>) -> Parsed<Statement> {
    let start = next(input).span();
    let kind = match (next_word(input), second_word(input)) {
        ("counter" | "limit" | "quota", "name") => return Err(Failure::expected(input, "a statement")),
        ("counter", _) => {
            skip(input);
            StatementKind::Counter(counter(input)?)
        }
        ("limit", _) => {
            skip(input);
            StatementKind::Limit(cut_err(object::limit).parse_next(input)?)
        }
        ("quota", _) => {
            skip(input);
            StatementKind::Quota(cut_err(object::quota).parse_next(input)?)
        }
        ("ct", "count") => {
            skip(input);
            skip(input);
            let over = took_word(input, "over");
            StatementKind::CtCount { count: cut_err(number).parse_next(input)?.value, over }
        }
        ("last", _) => {
            skip(input);
            StatementKind::Last { used: cut_err(last).parse_next(input)? }
        }
        _ => return Err(Failure::expected(input, "a statement")),
    };
    Ok(Statement { kind, span: since(input, start) })
}

/// `[packets N] [bytes N]`.
pub(super) fn counter(input: &mut Input<'_>) -> Parsed<Counter> {
    let mut counter = Counter::default();
    loop {
        if took_word(input, "packets") {
            counter.packets = cut_err(number).parse_next(input)?.value;
        } else if took_word(input, "bytes") {
            counter.bytes = cut_err(number).parse_next(input)?.value;
        } else {
            return Ok(counter);
        }
    }
}

/// `[used never|DURATION]`.
fn last(input: &mut Input<'_>) -> Parsed<Option<std::time::Duration>> {
    if !took_word(input, "used") || took_word(input, "never") {
        return Ok(None);
    }
    Ok(Some(duration(input)?.value))
}

/// `KIND name NAME`.
fn reference(input: &mut Input<'_>, kind: ObjectKind) -> Parsed<StatementKind> {
    skip(input);
    word!("name").parse_next(input)?;
    Ok(StatementKind::ObjectReference { kind, name: expression::in_statement(input)? })
}

/// `ct KIND set NAME`.
fn ct_reference(input: &mut Input<'_>, kind: ObjectKind) -> Parsed<StatementKind> {
    skip(input);
    skip(input);
    word!("set").parse_next(input)?;
    Ok(StatementKind::ObjectReference { kind, name: expression::in_statement(input)? })
}

fn log(input: &mut Input<'_>) -> Parsed<Log> {
    let mut log = Log::default();
    skip(input);
    loop {
        let start = next(input).span();
        match next_word(input) {
            "prefix" => {
                skip(input);
                let prefix = string(input)?;
                let prefix = interpolated(input, prefix)?;
                once(&mut log.prefix, prefix, start, "the prefix")?;
            }
            "group" => {
                skip(input);
                let group = number(input)?;
                once(&mut log.group, group, start, "the group")?;
            }
            "snaplen" => {
                skip(input);
                let snaplen = number(input)?;
                once(&mut log.snaplen, snaplen, start, "the length")?;
            }
            "queue-threshold" => {
                skip(input);
                let threshold = number(input)?;
                once(&mut log.queue_threshold, threshold, start, "the threshold")?;
            }
            "level" => {
                skip(input);
                let level = keyword!(LogLevel, "a level").parse_next(input)?;
                once(&mut log.level, level, start, "the level")?;
            }
            "flags" => {
                skip(input);
                log_flags(input, &mut log.flags)?;
            }
            _ => return Ok(log),
        }
    }
}

/// What stands behind `flags` of `log`.
fn log_flags(input: &mut Input<'_>, flags: &mut Vec<Spanned<LogFlag>>) -> Parsed<()> {
    match next_word(input) {
        "tcp" => {
            skip(input);
            let flag = alt((
                word!("sequence").map(|span| Spanned::new(LogFlag::TcpSequence, span)),
                word!("options").map(|span| Spanned::new(LogFlag::TcpOptions, span)),
            ));
            flags.extend(commas(flag).parse_next(input)?);
        }
        "ip" => {
            skip(input);
            flags.push(Spanned::new(LogFlag::IpOptions, word!("options").parse_next(input)?));
        }
        _ => {
            let flag = super::primitive::one_of("what to log", LogFlag::WORDS, |word| {
                LogFlag::from_word(word).filter(|_| !word.contains(' '))
            });
            flags.push({ flag }.parse_next(input)?);
        }
    }
    Ok(())
}

fn reject(input: &mut Input<'_>) -> Parsed<Reject> {
    skip(input);
    if !took_word(input, "with") {
        return Ok(Reject::Default);
    }
    let kinds: &'static [&'static str] = &["icmp", "icmpv6", "icmpx", "tcp"];
    let kind = next_word(input);
    if !kinds.contains(&kind) {
        return Err(Failure::words(input, "how to reject", kinds));
    }
    skip(input);
    if kind == "tcp" {
        return word!("reset").value(Reject::TcpReset).parse_next(input);
    }
    took_word(input, "type");
    let start = next(input);
    let code = match start.kind {
        Kind::Word if !super::primitive::is_reserved(text(input, start)) => {
            ExpressionKind::Word(string(input)?.value)
        }
        Kind::Number => ExpressionKind::Number(number(input)?.value),
        _ => return Err(Failure::expected(input, "a code of the error")),
    };
    let code = Expression::new(code, start.span());
    Ok(match kind {
        "icmp" => Reject::Icmp(code),
        "icmpv6" => Reject::Icmpv6(code),
        _ => Reject::Icmpx(code),
    })
}

fn queue(input: &mut Input<'_>) -> Parsed<Queue> {
    skip(input);
    let mut queue = Queue::default();
    loop {
        let start = next(input).span();
        match next_word(input) {
            "num" | "to" => {
                skip(input);
                let number = expression::in_statement(input)?;
                once(&mut queue.number, number, start, "the number")?;
            }
            "flags" | "bypass" | "fanout" => {
                took_word(input, "flags");
                queue.flags.extend(commas(keyword!(QueueFlag, "how to queue")).parse_next(input)?);
            }
            _ => return Ok(queue),
        }
    }
}
