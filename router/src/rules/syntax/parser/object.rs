//! Objects, in blocks and in commands, and what they share with statements.

use std::time::Duration;

use winnow::Parser;
use winnow::combinator::{cut_err, opt};

use super::primitive::{
    block, comment, duration, keyword, name, newlines, next, next_word, number, number_from, once, quoted,
    second_word, separator, skip, string, text, token, took, took_word, word,
};
use super::{Failure, Input, Parsed, statement};
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::{Name, Span, Spanned};
use crate::rules::syntax::tree::{
    Counter, CtExpectation, CtHelper, CtProtocol, CtTimeout, Family, Limit, LimitOf, Object, ObjectBlock,
    ObjectKind, Quota, Synproxy, TimeUnit,
};

/// Packets at once, if a limit says nothing (nft's default).
const BURST_PACKETS: u64 = 5;

/// The kind of object that the next words name, taken; nothing if they name none.
pub(super) fn kind(input: &mut Input<'_>) -> Option<ObjectKind> {
    let kind = match (next_word(input), second_word(input)) {
        ("counter", _) => ObjectKind::Counter,
        ("quota", _) => ObjectKind::Quota,
        ("limit", _) => ObjectKind::Limit,
        ("synproxy", _) => ObjectKind::Synproxy,
        ("secmark", _) => ObjectKind::Secmark,
        ("ct", "helper") => ObjectKind::CtHelper,
        ("ct", "timeout") => ObjectKind::CtTimeout,
        ("ct", "expectation") => ObjectKind::CtExpectation,
        _ => return None,
    };
    skip(input);
    if matches!(kind, ObjectKind::CtHelper | ObjectKind::CtTimeout | ObjectKind::CtExpectation) {
        skip(input);
    }
    Some(kind)
}

/// `{ … }`, or what a command may say without braces.
pub(super) fn body(input: &mut Input<'_>, kind: ObjectKind, name: Name) -> Parsed<ObjectBlock> {
    let mut draft = Draft::default();
    if next(input).kind == Kind::LeftBrace {
        block(input, |input| item(input, kind, &mut draft))?;
    } else if !matches!(next(input).kind, Kind::Newline | Kind::Semicolon | Kind::End) {
        item(input, kind, &mut draft)?;
    }
    let (body, comment) = draft.finish(kind, name.span)?;
    Ok(ObjectBlock { name, body, comment })
}

/// What was said of an object so far.
#[derive(Default)]
struct Draft {
    comment: Option<Spanned<String>>,
    counter: Option<Counter>,
    quota: Option<Quota>,
    limit: Option<Limit>,
    synproxy: Synproxy,
    secmark: Option<Spanned<String>>,
    helper: Option<Spanned<String>>,
    protocol: Option<Spanned<CtProtocol>>,
    family: Option<Spanned<Family>>,
    policy: Vec<(Name, Duration)>,
    destination_port: Option<Spanned<u16>>,
    timeout: Option<Spanned<Duration>>,
    size: Option<Spanned<u8>>,
}

impl Draft {
    /// All that the kind needs, or what is missing.
    fn finish(self, kind: ObjectKind, at: Span) -> Parsed<(Object, Option<Spanned<String>>)> {
        let missing = |what| move || Failure::mistake(at, Mistake::Missing(what));
        let protocol = self.protocol.ok_or_else(missing("`protocol tcp` or `protocol udp`"));
        let object = match kind {
            ObjectKind::Counter => Object::Counter(self.counter.unwrap_or_default()),
            ObjectKind::Quota => Object::Quota(self.quota.ok_or_else(missing("how many bytes"))?),
            ObjectKind::Limit => Object::Limit(self.limit.ok_or_else(missing("`rate`"))?),
            ObjectKind::Synproxy => Object::Synproxy(self.synproxy),
            ObjectKind::Secmark => Object::Secmark(self.secmark.ok_or_else(missing("the context"))?),
            ObjectKind::CtHelper => Object::CtHelper(CtHelper {
                helper: self.helper.ok_or_else(missing("`type \"…\" protocol …`"))?,
                protocol: protocol?,
                family: self.family,
            }),
            ObjectKind::CtTimeout => {
                Object::CtTimeout(CtTimeout { protocol: protocol?, family: self.family, policy: self.policy })
            }
            ObjectKind::CtExpectation => Object::CtExpectation(CtExpectation {
                protocol: protocol?,
                family: self.family,
                destination_port: self.destination_port.ok_or_else(missing("`dport`"))?,
                timeout: self.timeout.ok_or_else(missing("`timeout`"))?,
                size: self.size.ok_or_else(missing("`size`"))?,
            }),
        };
        Ok((object, self.comment))
    }
}

/// One thing said of an object.
fn item(input: &mut Input<'_>, kind: ObjectKind, draft: &mut Draft) -> Parsed<()> {
    let start = next(input).span();
    if next_word(input) == "comment" {
        let said = comment(input)?;
        return once(&mut draft.comment, said, start, "the comment");
    }
    match kind {
        ObjectKind::Counter => {
            if !matches!(next_word(input), "packets" | "bytes") {
                return Err(Failure::expected(input, "`packets`"));
            }
            let counter = statement::counter(input)?;
            once(&mut draft.counter, counter, start, "what it begins with")
        }
        ObjectKind::Quota => {
            let quota = quota(input)?;
            once(&mut draft.quota, quota, start, "the quota")
        }
        ObjectKind::Limit => {
            let limit = limit(input)?;
            once(&mut draft.limit, limit, start, "the rate")
        }
        ObjectKind::Synproxy => {
            let before = next(input);
            synproxy_option(input, &mut draft.synproxy)?;
            if next(input) == before {
                return Err(Failure::words(input, "an option of `synproxy`", SYNPROXY_WORDS));
            }
            Ok(())
        }
        ObjectKind::Secmark => {
            let context = string(input)?;
            once(&mut draft.secmark, context, start, "the context")
        }
        ObjectKind::CtHelper | ObjectKind::CtTimeout | ObjectKind::CtExpectation => {
            ct_item(input, kind, draft)
        }
    }
}

fn ct_item(input: &mut Input<'_>, kind: ObjectKind, draft: &mut Draft) -> Parsed<()> {
    let start = next(input).span();
    match (next_word(input), kind) {
        ("l3proto", _) => {
            skip(input);
            let family = keyword!(Family, "a family").parse_next(input)?;
            once(&mut draft.family, family, start, "the family")?;
        }
        ("type", ObjectKind::CtHelper) => {
            skip(input);
            let helper = quoted(input)?;
            once(&mut draft.helper, helper, start, "the helper")?;
            word!("protocol").parse_next(input)?;
            draft.protocol = Some(keyword!(CtProtocol, "a protocol").parse_next(input)?);
        }
        ("protocol", ObjectKind::CtTimeout | ObjectKind::CtExpectation) => {
            skip(input);
            let protocol = keyword!(CtProtocol, "a protocol").parse_next(input)?;
            once(&mut draft.protocol, protocol, start, "the protocol")?;
        }
        ("policy", ObjectKind::CtTimeout) => {
            skip(input);
            token(Kind::Equals).parse_next(input)?;
            policy(input, &mut draft.policy)?;
        }
        ("dport", ObjectKind::CtExpectation) => {
            skip(input);
            let port = number(input)?;
            once(&mut draft.destination_port, port, start, "the port number")?;
        }
        ("timeout", ObjectKind::CtExpectation) => {
            skip(input);
            let timeout = duration(input)?;
            once(&mut draft.timeout, timeout, start, "the timeout")?;
        }
        ("size", ObjectKind::CtExpectation) => {
            skip(input);
            let size = number_from(1).parse_next(input)?;
            once(&mut draft.size, size, start, "the size")?;
        }
        (_, ObjectKind::CtHelper) => {
            return Err(Failure::words(input, "what to say of a helper", &["type", "l3proto", "comment"]));
        }
        (_, ObjectKind::CtTimeout) => {
            let words = &["protocol", "l3proto", "policy", "comment"];
            return Err(Failure::words(input, "what to say of timeouts", words));
        }
        _ => {
            let words = &["protocol", "l3proto", "dport", "timeout", "size", "comment"];
            return Err(Failure::words(input, "what to say of an expectation", words));
        }
    }
    separator(input)
}

/// `{ STATE : SECONDS, … }`.
fn policy(input: &mut Input<'_>, policy: &mut Vec<(Name, Duration)>) -> Parsed<()> {
    token(Kind::LeftBrace).parse_next(input)?;
    loop {
        newlines(input);
        let state = name("the name of a state").parse_next(input)?;
        token(Kind::Colon).parse_next(input)?;
        let lasts = match opt(duration).parse_next(input)? {
            Some(lasts) => lasts.value,
            None => Duration::from_secs(number::<u32>(input)?.value.into()),
        };
        policy.push((state, lasts));
        newlines(input);
        if !took(input, Kind::Comma) {
            break;
        }
        newlines(input);
        if next(input).kind == Kind::RightBrace {
            break;
        }
    }
    token(Kind::RightBrace).void().parse_next(input)
}

const SYNPROXY_WORDS: &[&str] = &["mss", "maxseg", "wscale", "timestamp", "sack-perm", "sack-permitted"];

/// `[mss N] [wscale N] [timestamp] [sack-perm]`.
pub(super) fn synproxy_options(input: &mut Input<'_>) -> Parsed<Synproxy> {
    let mut options = Synproxy::default();
    while SYNPROXY_WORDS.contains(&next_word(input)) {
        synproxy_option(input, &mut options)?;
    }
    Ok(options)
}

/// One of them, if one stands there.
fn synproxy_option(input: &mut Input<'_>, options: &mut Synproxy) -> Parsed<()> {
    if took_word(input, "mss") || took_word(input, "maxseg") {
        options.mss = Some(number(input)?.value);
    } else if took_word(input, "wscale") {
        options.wscale = Some(number(input)?.value);
    } else if took_word(input, "timestamp") {
        options.timestamp = true;
    } else if took_word(input, "sack-perm") || took_word(input, "sack-permitted") {
        options.sack_permitted = true;
    }
    Ok(())
}

/// `over`, `until` or nothing: whether it was `over`.
fn over(input: &mut Input<'_>) -> bool {
    if took_word(input, "over") {
        return true;
    }
    took_word(input, "until");
    false
}

/// `[over|until] N bytes [used N bytes]`.
pub(super) fn quota(input: &mut Input<'_>) -> Parsed<Quota> {
    let over = over(input);
    let bytes = amount(input)?;
    let used_bytes = if took_word(input, "used") { amount(input)? } else { 0 };
    Ok(Quota { bytes, used_bytes, over })
}

/// `N bytes|kbytes|mbytes`.
fn amount(input: &mut Input<'_>) -> Parsed<u64> {
    let number = cut_err(number::<u64>).parse_next(input)?;
    let Some(factor) = bytes_unit(next_word(input)) else {
        return Err(Failure::words(input, "a unit", BYTES_UNITS).cut());
    };
    skip(input);
    multiplied(number, factor)
}

const BYTES_UNITS: &[&str] = &["bytes", "kbytes", "mbytes"];

fn bytes_unit(word: &str) -> Option<u64> {
    match word {
        "bytes" => Some(1),
        "kbytes" => Some(1 << 10),
        "mbytes" => Some(1 << 20),
        _ => None,
    }
}

fn multiplied(number: Spanned<u64>, factor: u64) -> Parsed<u64> {
    number.value.checked_mul(factor).ok_or_else(|| {
        let mistake = Mistake::OutOfBounds { number: number.value, least: 0, most: u64::MAX / factor };
        Failure::mistake(number.span, mistake)
    })
}

/// `rate [over|until] N/second [burst N packets]`, `rate [over|until] N mbytes/second [burst N mbytes]`.
pub(super) fn limit(input: &mut Input<'_>) -> Parsed<Limit> {
    word!("rate").parse_next(input)?;
    let over = over(input);
    let number = cut_err(number::<u64>).parse_next(input)?;
    let (of, rate, unit) = cut_err(|input: &mut Input<'_>| rate(input, number.clone())).parse_next(input)?;
    let mut burst = if of == LimitOf::Packets { BURST_PACKETS } else { 0 };
    if took_word(input, "burst") {
        burst = cut_err(|input: &mut Input<'_>| self::burst(input, of)).parse_next(input)?;
    }
    Ok(Limit { rate, unit, of, burst, over })
}

fn burst(input: &mut Input<'_>, of: LimitOf) -> Parsed<u64> {
    match of {
        LimitOf::Packets => {
            let packets = number_from(1).parse_next(input)?.value;
            word!("packets").parse_next(input)?;
            Ok(packets)
        }
        LimitOf::Bytes => amount(input),
    }
}

/// What stands behind the number of a rate. `mbytes/second` without blanks is one word to nft's scanner.
fn rate(input: &mut Input<'_>, number: Spanned<u64>) -> Parsed<(LimitOf, u64, TimeUnit)> {
    if took(input, Kind::Slash) {
        let unit = keyword!(TimeUnit, "a unit of time").parse_next(input)?.value;
        return Ok((LimitOf::Packets, number.value, unit));
    }
    let word = next(input);
    let written = if word.kind == Kind::Word { text(input, word) } else { "" };
    let (bytes, time) = written.split_once('/').map_or((written, None), |(bytes, time)| (bytes, Some(time)));
    let Some(factor) = bytes_unit(bytes) else {
        return Err(Failure::expected(
            input,
            "`/second`, `/minute`, `/hour`, `/day`, `/week` or a unit of bytes",
        ));
    };
    let unit = match time {
        Some(time) => match TimeUnit::from_word(time) {
            Some(unit) => {
                skip(input);
                unit
            }
            None => return Err(Failure::words(input, "a unit of time", TimeUnit::WORDS)),
        },
        None => {
            skip(input);
            token(Kind::Slash).parse_next(input)?;
            keyword!(TimeUnit, "a unit of time").parse_next(input)?.value
        }
    };
    Ok((LimitOf::Bytes, multiplied(number, factor)?, unit))
}
