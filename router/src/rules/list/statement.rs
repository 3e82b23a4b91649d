//! Statements of rules.

use std::fmt::Write as _;

use super::Options;
use super::element::range_text;
use super::expression::{Writer, base_word, option_text};
use crate::rules::catalog::{keys, symbols, types};
use crate::rules::check::time;
use crate::rules::model::{
    Comparison, Dynamic, DynamicOperation, Expression, Field, IdRange, Limit, LimitUnit, Log, Match, MetaKey,
    Nat, NatAddress, NatKind, Queue, Reject, Right, Rule, Selector, Statement, Table, TableFamily, Target,
    Type, Verdict,
};
use crate::rules::state::Quota;

/// Words of log levels by number.
pub(crate) const LOG_LEVELS: [&str; 9] =
    ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"];

/// A rule's statements as nft lists them: matches that others imply are left out, what a statement implies without another
/// saying it is added.
pub(crate) fn listed_statements(table: &Table, rule: &Rule, options: &Options<'_>) -> Vec<String> {
    let added = implies_tcp(rule).then(|| "meta l4proto tcp".to_owned());
    let shown = rule.statements.iter().zip(shown(rule)).filter(|(_, shown)| *shown);
    added.into_iter().chain(shown.map(|(statement, _)| statement_text(table, statement, options))).collect()
}

/// Which of a rule's statements are listed: not those matches that others imply (`payload_dependency_kill`).
pub(crate) fn shown(rule: &Rule) -> Vec<bool> {
    let mut shown: Vec<bool> = Vec::with_capacity(rule.statements.len());
    let mut implied = Implied::default();
    for (at, statement) in rule.statements.iter().enumerate() {
        if let Statement::Match(found) = statement {
            implied.forget_read_by(&found.left, &mut shown);
            if let Right::Expression(right) = &found.right {
                implied.forget_read_by(right, &mut shown);
            }
            implied.remember(found, at);
        } else {
            match statement {
                Statement::VerdictMap { key, .. } => implied.forget_read_by(key, &mut shown),
                Statement::Set { target: Target::Field(field), .. } => {
                    let field = Expression::Select(Selector::Field(field));
                    implied.forget_read_by(&field, &mut shown);
                }
                Statement::Reject(Reject::Icmp(_)) => implied.forget_network(0x0800, &mut shown),
                Statement::Reject(Reject::Icmpv6(_)) => implied.forget_network(0x86dd, &mut shown),
                _ => {}
            }
            implied = Implied::default();
        }
        shown.push(true);
    }
    shown
}

/// Matches that may turn out to be implied by what comes behind them.
#[derive(Default)]
struct Implied {
    network: Option<(u16, usize)>,
    transport: Option<(u8, usize)>,
}

impl Implied {
    fn remember(&mut self, found: &Match, at: usize) {
        let (Expression::Select(selector), Comparison::Equal, Right::Value(value)) =
            (&found.left, found.comparison, &found.right)
        else {
            return;
        };
        let number = types::number_of_value(value);
        match selector {
            Selector::Meta(MetaKey::NetfilterProtocol) => {
                self.network = Some((if number == 2 { 0x0800 } else { 0x86dd }, at));
            }
            Selector::Field(field) if (field.header, field.name) == ("ether", "type") => {
                self.network = u16::try_from(number).ok().map(|network| (network, at));
            }
            Selector::Meta(MetaKey::TransportProtocol) => {
                self.transport = u8::try_from(number).ok().map(|transport| (transport, at));
            }
            _ => {}
        }
    }

    fn forget_network(&mut self, network: u16, shown: &mut [bool]) {
        if let Some((known, at)) = self.network
            && known == network
        {
            shown[at] = false;
            self.network = None;
        }
    }

    fn forget_read_by(&mut self, expression: &Expression, shown: &mut [bool]) {
        match expression {
            Expression::Select(Selector::Field(field)) => {
                let network = match field.header {
                    "icmp" => Some(0x0800),
                    "icmpv6" => Some(0x86dd),
                    _ => field.requires.network,
                };
                if let Some(network) = network {
                    self.forget_network(network, shown);
                }
                if let (Some((known, at)), [needed]) = (self.transport, field.requires.transport)
                    && known == *needed
                {
                    shown[at] = false;
                    self.transport = None;
                }
            }
            Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } => {
                self.forget_read_by(inner, shown)
            }
            Expression::Map { key, .. } => self.forget_read_by(key, shown),
            Expression::Concat(parts) => parts.iter().for_each(|part| self.forget_read_by(part, shown)),
            _ => {}
        }
    }
}

/// Whether `reject with tcp reset` asks for TCP and no statement says so.
pub(crate) fn implies_tcp(rule: &Rule) -> bool {
    let resets = rule.statements.iter().any(|it| matches!(it, Statement::Reject(Reject::TcpReset)));
    let says_tcp = |statement: &Statement| match statement {
        Statement::Match(found) => match &found.left {
            Expression::Select(
                Selector::Meta(MetaKey::TransportProtocol)
                | Selector::Field(Field { kind: Type::Protocol, .. }),
            ) => found.comparison == Comparison::Equal && found.right == Right::Value(smallvec::smallvec![6]),
            left => reads_tcp(left),
        },
        Statement::VerdictMap { key, .. } => reads_tcp(key),
        _ => false,
    };
    resets && !rule.statements.iter().any(says_tcp)
}

fn reads_tcp(expression: &Expression) -> bool {
    match expression {
        Expression::Select(Selector::Field(field)) => field.header == "tcp",
        Expression::Select(Selector::Option(option)) => option.of_tcp,
        Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } => reads_tcp(inner),
        Expression::Map { key, .. } => reads_tcp(key),
        Expression::Concat(parts) => parts.iter().any(reads_tcp),
        _ => false,
    }
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

fn match_text(writer: Writer<'_>, found: &Match) -> String {
    let kind = match found.left.types()[..] {
        [one] => one,
        _ => return concatenation_text(writer, found),
    };
    if let Some(text) = unaligned_text(found) {
        return text;
    }
    let left = writer.expression(&found.left);
    let value = |value: &[u8], between: &str| writer.compared(&found.left, kind, value, between);
    let environment = writer.options.environment;
    // `tcp flags syn / fin,syn`: flags under a mask of several.
    if let (Expression::Bitwise { inner, mask, flip }, Right::Value(bits)) = (&found.left, &found.right)
        && kind.is_bitmask()
        && types::wide_number(mask).count_ones() > 1
        && types::wide_number(flip) == 0
        && matches!(found.comparison, Comparison::Equal | Comparison::NotEqual)
    {
        let not = if found.comparison == Comparison::NotEqual { "!= " } else { "" };
        return format!("{} {not}{} / {}", writer.expression(inner), value(bits, ","), value(mask, ","));
    }
    let is_binary =
        matches!(found.left, Expression::Bitwise { .. } | Expression::Shift { .. } | Expression::Join { .. });
    let operator = match found.comparison {
        Comparison::Equal if is_binary || kind.is_bitmask() && matches!(found.right, Right::Value(_)) => {
            "== "
        }
        Comparison::Equal | Comparison::AnyBit => "",
        Comparison::NotEqual => "!= ",
        Comparison::Less => "< ",
        Comparison::LessOrEqual => "<= ",
        Comparison::Greater => "> ",
        Comparison::GreaterOrEqual => ">= ",
        Comparison::NoBit => "! ",
    };
    let between =
        if matches!(found.comparison, Comparison::AnyBit | Comparison::NoBit) { "," } else { " | " };
    let right = match &found.right {
        Right::Value(bytes) => value(bytes, between),
        Right::Range(first, last) => format!("{}-{}", value(first, between), value(last, between)),
        Right::Prefix(bytes, bits) if matches!(kind, Type::InterfaceName | Type::Text(_)) => {
            let _ = bits;
            format!("\"{}*\"", types::text_of_value(bytes))
        }
        Right::Prefix(bytes, bits) => format!("{}/{bits}", types::text(kind, bytes, environment)),
        Right::Set(set) => writer.set(set),
        Right::Expression(expression) => writer.expression(expression),
    };
    format!("{left} {operator}{right}")
}

/// Raw payload that is not whole bytes, as the kernel loads it: the bytes around it under a mask.
fn unaligned_text(found: &Match) -> Option<String> {
    let (Expression::Select(Selector::Raw { base, offset, length }), Right::Value(value)) =
        (&found.left, &found.right)
    else {
        return None;
    };
    if offset.is_multiple_of(8) && length.is_multiple_of(8) {
        return None;
    }
    let operator = match found.comparison {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        _ => return None,
    };
    let begin = offset / 8 * 8;
    let whole = (offset + length).next_multiple_of(8) - begin;
    let behind = whole - (offset - begin) - length;
    let mask = types::all_bits(Type::Integer(*length)) << behind;
    let value = types::wide_number(value) << behind;
    Some(format!("@{},{begin},{whole} & {mask:#x} {operator} {value:#x}", base_word(*base)))
}

fn concatenation_text(writer: Writer<'_>, found: &Match) -> String {
    let not = if found.comparison == Comparison::NotEqual { "!= " } else { "" };
    let right = match &found.right {
        Right::Set(set) => writer.set(set),
        Right::Expression(expression) => writer.expression(expression),
        Right::Value(value) | Right::Prefix(value, _) => super::key_text(
            &found.left.types(),
            &crate::rules::model::ElementKey::Value(value.clone()),
            writer.options.environment,
        ),
        Right::Range(first, last) => super::key_text(
            &found.left.types(),
            &crate::rules::model::ElementKey::Range(first.clone(), last.clone()),
            writer.options.environment,
        ),
    };
    format!("{} {not}{right}", writer.expression(&found.left))
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

/// Bytes in the largest unit that has no rest.
pub(crate) fn amount(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0 => (0, "bytes"),
        bytes if bytes.is_multiple_of(1 << 20) => (bytes >> 20, "mbytes"),
        bytes if bytes.is_multiple_of(1 << 10) => (bytes >> 10, "kbytes"),
        bytes => (bytes, "bytes"),
    }
}

/// A quota, without the word.
pub(super) fn quota_text(quota: &Quota, options: &Options<'_>) -> String {
    let (number, unit) = amount(quota.bytes);
    let mut text = format!("{}{number} {unit}", if quota.over { "over " } else { "" });
    if quota.used() > 0 && !options.stateless {
        let (number, unit) = amount(quota.used());
        let _ = write!(text, " used {number} {unit}");
    }
    text
}

/// The word of a period.
pub(crate) const fn period_word(period_s: u32) -> &'static str {
    match period_s {
        1 => "second",
        60 => "minute",
        3600 => "hour",
        86_400 => "day",
        _ => "week",
    }
}

/// A rate, without the word.
pub(super) fn rate_text(limit: &Limit) -> String {
    let over = if limit.over { "over " } else { "" };
    let period = period_word(limit.period_s);
    match limit.unit {
        LimitUnit::Packets if limit.burst == 5 || limit.burst == 0 => {
            format!("{over}{}/{period}", limit.rate)
        }
        LimitUnit::Packets => format!("{over}{}/{period} burst {} packets", limit.rate, limit.burst),
        LimitUnit::Bytes => {
            let (number, unit) = amount(limit.rate);
            let mut text = format!("{over}{number} {unit}/{period}");
            if limit.burst > 0 {
                let (number, unit) = amount(limit.burst.into());
                let _ = write!(text, " burst {number} {unit}");
            }
            text
        }
    }
}

fn last_text(at_ns: Option<u64>, options: &Options<'_>) -> String {
    match at_ns {
        _ if options.stateless => "last".to_owned(),
        None => "last used never".to_owned(),
        Some(at) => {
            let passed = options.now.nanos().saturating_sub(at) / 1_000_000;
            format!("last used {}", time::span_text(passed))
        }
    }
}

fn log_text(log: &Log) -> String {
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
        let _ = write!(text, " level {}", LOG_LEVELS[usize::from(level).min(8)]);
    }
    if log.flags == 47 {
        return text + " flags all";
    }
    let tcp: Vec<_> = [(1, "sequence"), (2, "options")]
        .into_iter()
        .filter_map(|(bit, word)| (log.flags & bit != 0).then_some(word))
        .collect();
    if !tcp.is_empty() {
        let _ = write!(text, " flags tcp {}", tcp.join(","));
    }
    for (bit, words) in [(4, "ip options"), (8, "skuid"), (32, "ether")] {
        if log.flags & bit != 0 {
            let _ = write!(text, " flags {words}");
        }
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
pub(crate) fn target_text(target: &Target) -> String {
    match target {
        Target::Field(field) => format!("{} {}", field.header, field.name),
        Target::Raw { base, offset, length } => match (base, offset, length) {
            (crate::rules::model::Base::Transport, 0, 16) => "th sport".to_owned(),
            (crate::rules::model::Base::Transport, 16, 16) => "th dport".to_owned(),
            _ => format!("@{},{offset},{length}", base_word(*base)),
        },
        Target::Option(option) => option_text(option),
        Target::MetaMark => "meta mark".to_owned(),
        Target::MetaPriority => "meta priority".to_owned(),
        Target::MetaPacketType => "meta pkttype".to_owned(),
        Target::MetaTrace => "meta nftrace".to_owned(),
        Target::CtMark => "ct mark".to_owned(),
        Target::CtLabel => "ct label".to_owned(),
        Target::CtZone(None) => "ct zone".to_owned(),
        Target::CtZone(Some(direction)) => format!("ct {} zone", keys::direction_word(*direction)),
        Target::CtEvent => "ct event".to_owned(),
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
    format!("{} set {value}", target_text(target))
}

pub(crate) const fn nat_word(kind: NatKind) -> &'static str {
    match kind {
        NatKind::Source => "snat",
        NatKind::Destination => "dnat",
        NatKind::Masquerade => "masquerade",
        NatKind::Redirect => "redirect",
    }
}

fn nat_text(writer: Writer<'_>, family: TableFamily, nat: &Nat) -> String {
    let environment = writer.options.environment;
    let mut text = nat_word(nat.kind).to_owned();
    if let Some(address) = &nat.address {
        let (NatAddress::One(kind, _)
        | NatAddress::Range(kind, ..)
        | NatAddress::Prefix(kind, ..)
        | NatAddress::Mapped { kind, .. }) = address;
        let is_v6 = *kind == Type::Ipv6Address;
        let says_family = match address {
            NatAddress::Mapped { expression, prefix, interval, with_id, .. } => {
                *prefix || *interval && !with_id || !is_nameless(expression)
            }
            _ => false,
        };
        if matches!(family, TableFamily::Inet | TableFamily::Bridge) || says_family {
            text.push_str(if is_v6 { " ip6" } else { " ip" });
        }
        match address {
            NatAddress::Prefix(..) => text.push_str(" prefix"),
            NatAddress::Mapped { prefix: true, .. } => text.push_str(" prefix"),
            NatAddress::Mapped { interval: true, with_id: false, expression, .. }
                if is_nameless(expression) =>
            {
                text.push_str(" interval");
            }
            _ => {}
        }
        text.push_str(" to ");
        let shown = match address {
            NatAddress::One(_, expression) | NatAddress::Mapped { expression, .. } => {
                writer.expression(expression)
            }
            NatAddress::Range(kind, first, last) => {
                format!(
                    "{}-{}",
                    types::text(*kind, first, environment),
                    types::text(*kind, last, environment)
                )
            }
            NatAddress::Prefix(kind, value, bits) => {
                let last = crate::rules::check::prefix_end(value, u16::from(*bits));
                range_text(*kind, value, &last, environment)
            }
        };
        if is_v6
            && nat.ids.is_some()
            && matches!(address, NatAddress::One(_, Expression::Value(..)) | NatAddress::Range(..))
        {
            let _ = write!(text, "[{}]", shown.replace('-', "]-["));
        } else {
            text.push_str(&shown);
        }
    }
    if let Some(ids) = &nat.ids {
        if nat.address.is_none() {
            text.push_str(" to ");
        }
        match ids {
            IdRange::Fixed(first, last) if first == last => {
                let _ = write!(text, ":{first}");
            }
            IdRange::Fixed(first, last) => {
                let _ = write!(text, ":{first}-{last}");
            }
            IdRange::Computed(expression) => {
                let _ = write!(text, ":{}", writer.expression(expression));
            }
        }
    }
    let flags: Vec<_> =
        [(nat.random, "random"), (nat.fully_random, "fully-random"), (nat.persistent, "persistent")]
            .into_iter()
            .filter_map(|(is, word)| is.then_some(word))
            .collect();
    if !flags.is_empty() {
        let _ = write!(text, " {}", flags.join(","));
    }
    text
}

/// Whether an expression looks into a map without a name.
fn is_nameless(expression: &Expression) -> bool {
    matches!(expression, Expression::Map { map, .. } if map.0.starts_with("__"))
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
