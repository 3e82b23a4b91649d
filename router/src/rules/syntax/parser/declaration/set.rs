//! Sets and maps in blocks.

use winnow::Parser;
use winnow::combinator::{cut_err, opt};

use super::super::expression::{self, Role};
use super::super::primitive::{
    block, commas, comment, duration, keyword, next, next_word, number, once, second_word, separator, since,
    skip, text, took, took_word,
};
use super::super::statement::stateful;
use super::super::variables::variable;
use super::super::{Failure, Input, Parsed, object};
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::Kind;
use crate::rules::syntax::source::{Name, Span, Spanned};
use crate::rules::syntax::tree::{DataType, Expression, KeyType, SetBlock, SetFlag, SetPolicy};

/// What may stand in the block of a set.
const SET_ITEMS: &[&str] = &[
    "type",
    "typeof",
    "flags",
    "timeout",
    "gc-interval",
    "size",
    "policy",
    "auto-merge",
    "elements",
    "comment",
    "counter",
    "quota",
    "limit",
    "last",
    "define",
];

/// `{ … }` of a set or map.
pub(in super::super) fn set_body(input: &mut Input<'_>, name: Name, is_map: bool) -> Parsed<SetBlock> {
    let mut set = SetBlock {
        name,
        is_map,
        key: None,
        data: None,
        flags: Vec::new(),
        timeout: None,
        gc_interval: None,
        size: None,
        policy: None,
        auto_merge: None,
        statements: Vec::new(),
        elements: None,
        comment: None,
    };
    block(input, |input| set_item(input, &mut set))?;
    Ok(set)
}

fn set_item(input: &mut Input<'_>, set: &mut SetBlock) -> Parsed<()> {
    let start = next(input).span();
    match next_word(input) {
        "type" => {
            skip(input);
            let names = type_names(input)?;
            once(&mut set.key, KeyType::Named(names), start, "what keys are")?;
            if set.is_map {
                super::super::primitive::token(Kind::Colon).parse_next(input)?;
                set.data = Some(named_data(input)?);
            }
        }
        "typeof" => {
            skip(input);
            let like = expression::concatenation(input, Role::Left)?;
            once(&mut set.key, KeyType::Like(like), start, "what keys are")?;
            if set.is_map {
                super::super::primitive::token(Kind::Colon).parse_next(input)?;
                set.data = Some(like_data(input)?);
            }
        }
        "flags" => {
            skip(input);
            set.flags.extend(commas(keyword!(SetFlag, "a flag of a set")).parse_next(input)?);
        }
        "timeout" => {
            skip(input);
            let timeout = duration(input)?;
            once(&mut set.timeout, timeout, start, "the timeout")?;
        }
        "gc-interval" => {
            skip(input);
            let interval = duration(input)?;
            once(&mut set.gc_interval, interval, start, "the interval")?;
        }
        "size" => {
            skip(input);
            let size = number(input)?;
            once(&mut set.size, size, start, "the size")?;
        }
        "policy" => {
            skip(input);
            let policy = keyword!(SetPolicy, "what to build a set for").parse_next(input)?;
            once(&mut set.policy, policy, start, "the policy")?;
        }
        "auto-merge" => {
            skip(input);
            once(&mut set.auto_merge, since(input, start), start, "`auto-merge`")?;
            return Ok(());
        }
        "elements" => {
            skip(input);
            super::super::primitive::token(Kind::Equals).parse_next(input)?;
            let elements = cut_err(elements).parse_next(input)?;
            once(&mut set.elements, elements, start, "the elements")?;
            return Ok(());
        }
        "comment" => {
            let said = comment(input)?;
            once(&mut set.comment, said, start, "the comment")?;
        }
        _ => match opt(stateful).parse_next(input)? {
            // Several may stand on one line.
            Some(statement) => {
                set.statements.push(statement);
                return Ok(());
            }
            None => return Err(Failure::words(input, "something of a set", SET_ITEMS)),
        },
    }
    separator(input)
}

/// `{ … }`, or a variable in its place.
pub(super) fn elements(input: &mut Input<'_>) -> Parsed<Expression> {
    match next(input).kind {
        Kind::Dollar => variable(input),
        Kind::LeftBrace => expression::set(input),
        _ => Err(Failure::expected(input, Kind::LeftBrace.name())),
    }
}

/// `NAME . NAME …`.
fn type_names(input: &mut Input<'_>) -> Parsed<Vec<Name>> {
    let mut names = vec![type_name(input)?];
    while took(input, Kind::Dot) {
        if names.len() >= crate::rules::syntax::CHAIN_MAX {
            let mistake = Mistake::TooMany { max: crate::rules::syntax::CHAIN_MAX };
            return Err(Failure::mistake(next(input).span(), mistake));
        }
        names.push(type_name(input)?);
    }
    Ok(names)
}

/// A type: also `mark`, `ecn`, `time` and others that are words of the language.
fn type_name(input: &mut Input<'_>) -> Parsed<Name> {
    const NAMES: &[&str] = &[
        "ipv4_addr",
        "ipv6_addr",
        "ether_addr",
        "inet_proto",
        "inet_service",
        "mark",
        "ifname",
        "iface_index",
        "ct_state",
        "ct_status",
        "ct_dir",
        "ct_label",
        "ct_id",
        "ct_zone",
        "ct_event",
        "verdict",
        "icmp_type",
        "icmp_code",
        "icmpv6_type",
        "icmpv6_code",
        "icmpx_code",
        "ether_type",
        "dscp",
        "ecn",
        "pkt_type",
        "iface_type",
        "devgroup",
        "fib_addrtype",
        "nf_proto",
        "tcp_flag",
        "uid",
        "gid",
        "realm",
        "classid",
        "time",
        "day",
        "hour",
        "cpu",
        "boolean",
        "igmp_type",
        "mh_type",
        "dccp_pkttype",
        "arp_op",
        "integer",
        "string",
        "lladdr",
        "bitmask",
        "cgroupsv2",
        "tcpopt",
        "sctp_chunk",
    ];
    let token = next(input);
    let written = text(input, token);
    if token.kind != Kind::Word || !NAMES.contains(&written) {
        return Err(Failure::words(input, "a type", NAMES));
    }
    Ok(Spanned::new(written.to_owned(), skip(input)))
}

/// What stands behind the colon of `type`.
fn named_data(input: &mut Input<'_>) -> Parsed<DataType> {
    if let Some(object) = object_data(input) {
        return Ok(object);
    }
    if next_word(input) == "verdict" {
        return Ok(DataType::Verdict(skip(input)));
    }
    let interval = took_word(input, "interval");
    Ok(DataType::Named { interval, names: type_names(input)? })
}

/// What stands behind the colon of `typeof`.
fn like_data(input: &mut Input<'_>) -> Parsed<DataType> {
    if let Some(object) = object_data(input) {
        return Ok(object);
    }
    match next_word(input) {
        "verdict" => return Ok(DataType::Verdict(skip(input))),
        "queue" => return Ok(DataType::Queue(skip(input))),
        _ => {}
    }
    let interval = took_word(input, "interval");
    Ok(DataType::Like { interval, expression: expression::concatenation(input, Role::Left)? })
}

/// A kind of object, if one stands there.
fn object_data(input: &mut Input<'_>) -> Option<DataType> {
    let start: Span = next(input).span();
    // `ct mark` is data like a selector.
    if next_word(input) == "ct" && !matches!(second_word(input), "helper" | "timeout" | "expectation") {
        return None;
    }
    let kind = object::kind(input)?;
    Some(DataType::Object(Spanned::new(kind, since(input, start))))
}
