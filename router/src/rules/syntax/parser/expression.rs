//! Values, on the left of a comparison, on its right, and in statements: nft's grammar has one for each.

use std::net::IpAddr;

use winnow::Parser;
use winnow::combinator::{cut_err, opt};
use winnow::stream::Stream;

use super::primitive::{
    behind, duration, nested, newlines, next, next_word, number, second, since, skip, string, text, token,
    took, word,
};
use super::variables::variable;
use super::{Failure, Input, Parsed, selector, statement};
use crate::rules::syntax::CHAIN_MAX;
use crate::rules::syntax::error::Mistake;
use crate::rules::syntax::lexer::{self, Kind};
use crate::rules::syntax::source::{Span, Spanned};
use crate::rules::syntax::tree::{
    BinaryOperator, Element, ElementOptions, Expression, ExpressionKind, Lifetime, Relation, Selector,
};

/// Where an expression stands, which decides what it may be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// On the left of a comparison, as the key of a map: mostly what of the packet is looked at.
    Left,
    /// On the right of a comparison, in a set: values.
    Right,
    /// In a statement: either.
    Statement,
}

/// `LEFT [RELATION] RIGHT`, as a statement takes it apart.
pub(super) struct Comparison {
    pub(super) left: Expression,
    pub(super) relation: Spanned<Relation>,
    pub(super) right: Expression,
}

/// What is compared: `SELECTOR . SELECTOR …`, masked and shifted, or looked up in a map.
pub(super) fn left(input: &mut Input<'_>) -> Parsed<Expression> {
    let key = concatenation(input, Role::Left)?;
    if next_word(input) == "map" { mapped(input, key) } else { Ok(key) }
}

/// What stands behind the left side of a comparison.
pub(super) fn comparison(input: &mut Input<'_>, left: Expression) -> Parsed<Comparison> {
    let relation = relation(input);
    let first = match next(input).kind {
        Kind::LeftBrace | Kind::At => {
            return Ok(Comparison { left, relation, right: right(input)? });
        }
        _ => basic(input, Role::Right)?,
    };
    match next(input).kind {
        Kind::Comma => {
            let right = list(input, first)?;
            if took(input, Kind::Slash) {
                let mask = cut_err(mask).parse_next(input)?;
                let right = any_of(right)?;
                Ok(Comparison { left: masked(left, mask), relation, right })
            } else {
                Ok(Comparison { left, relation, right })
            }
        }
        Kind::Slash if !is_prefix(input) => {
            skip(input);
            let mask = cut_err(mask).parse_next(input)?;
            Ok(Comparison { left: masked(left, mask), relation, right: first })
        }
        _ => {
            let first = prefix_or_range(input, first, Role::Right)?;
            Ok(Comparison { left, relation, right: concatenated(input, first, right_part)? })
        }
    }
}

/// `==`, `!=`, …, or nothing.
fn relation(input: &mut Input<'_>) -> Spanned<Relation> {
    let relation = match (next(input).kind, next_word(input)) {
        (Kind::EqualTo, _) | (_, "eq") => Relation::Equal,
        (Kind::NotEqualTo, _) | (_, "ne") => Relation::NotEqual,
        (Kind::Less, _) | (_, "lt") => Relation::Less,
        (Kind::Greater, _) | (_, "gt") => Relation::Greater,
        (Kind::LessOrEqual, _) | (_, "le") => Relation::LessOrEqual,
        (Kind::GreaterOrEqual, _) | (_, "ge") => Relation::GreaterOrEqual,
        (Kind::Not, _) | (_, "not") => Relation::Not,
        _ => return Spanned::new(Relation::Implicit, Span { start: behind(input).end, ..behind(input) }),
    };
    Spanned::new(relation, skip(input))
}

/// `, VALUE, …` behind the first value.
fn list(input: &mut Input<'_>, first: Expression) -> Parsed<Expression> {
    let start = first.span;
    let mut values = vec![first];
    while took(input, Kind::Comma) {
        values.push(cut_err(|input: &mut Input<'_>| basic(input, Role::Right)).parse_next(input)?);
    }
    Ok(Expression::new(ExpressionKind::List(values), since(input, start)))
}

/// `FLAG,FLAG,…` behind a slash.
fn mask(input: &mut Input<'_>) -> Parsed<Expression> {
    let first = basic(input, Role::Right)?;
    if next(input).kind != Kind::Comma {
        return Err(Failure::expected(input, "a length, or `,` and more flags,").cut());
    }
    any_of(list(input, first)?)
}

/// `LEFT & MASK`.
fn masked(left: Expression, mask: Expression) -> Expression {
    let span = left.span;
    Expression::new(ExpressionKind::Binary(BinaryOperator::And, Box::new(left), Box::new(mask)), span)
}

/// `a | b | c` of `a,b,c`.
fn any_of(list: Expression) -> Parsed<Expression> {
    let span = list.span;
    let ExpressionKind::List(values) = list.kind else { return Ok(list) };
    if values.len() > CHAIN_MAX {
        return Err(Failure::mistake(span, Mistake::TooMany { max: CHAIN_MAX }));
    }
    let or = |left: Expression, right: Expression| {
        let span = left.span.to(right.span);
        Expression::new(ExpressionKind::Binary(BinaryOperator::Or, Box::new(left), Box::new(right)), span)
    };
    Ok(values.into_iter().reduce(or).expect("a list has parts"))
}

/// A value, a concatenation of values, a set, `@name`.
pub(super) fn right(input: &mut Input<'_>) -> Parsed<Expression> {
    match next(input).kind {
        Kind::LeftBrace => set(input),
        Kind::At => set_reference(input),
        _ => {
            let first = right_part(input)?;
            concatenated(input, first, right_part)
        }
    }
}

/// The value of a variable.
pub(super) fn initializer(input: &mut Input<'_>) -> Parsed<Expression> {
    let start = next(input).span();
    if took(input, Kind::Dash) {
        let number = cut_err(number::<u64>).parse_next(input)?;
        return Ok(Expression::new(ExpressionKind::Negative(number.value), since(input, start)));
    }
    if next(input).kind == Kind::LeftBrace && second(input).kind == Kind::RightBrace {
        skip(input);
        skip(input);
        return Ok(Expression::new(ExpressionKind::Set(Vec::new()), since(input, start)));
    }
    let value = right(input)?;
    if next(input).kind == Kind::Comma { list(input, value) } else { Ok(value) }
}

/// The value of a statement: an expression, a map, a prefix, a range or a list.
pub(super) fn in_statement(input: &mut Input<'_>) -> Parsed<Expression> {
    let value = concatenation(input, Role::Statement)?;
    match next(input).kind {
        Kind::Comma => list(input, value),
        Kind::Slash | Kind::Dash => prefix_or_range(input, value, Role::Statement),
        _ if next_word(input) == "map" => mapped(input, value),
        _ => Ok(value),
    }
}

/// `a . b . c`, or one of these alone.
pub(super) fn concatenation(input: &mut Input<'_>, role: Role) -> Parsed<Expression> {
    let first = basic(input, role)?;
    concatenated(input, first, move |input| basic(input, role))
}

/// `map { … }`, `map @name` behind the key.
fn mapped(input: &mut Input<'_>, key: Expression) -> Parsed<Expression> {
    let start = key.span;
    word!("map").parse_next(input)?;
    let map = cut_err(right).parse_next(input)?;
    Ok(Expression::new(ExpressionKind::Map(Box::new(key), Box::new(map)), since(input, start)))
}

/// `. PART . PART …` behind the first part.
fn concatenated<'s>(
    input: &mut Input<'s>,
    first: Expression,
    mut part: impl FnMut(&mut Input<'s>) -> Parsed<Expression>,
) -> Parsed<Expression> {
    if next(input).kind != Kind::Dot {
        return Ok(first);
    }
    let start = first.span;
    let mut parts = vec![first];
    while took(input, Kind::Dot) {
        parts.push(cut_err(part.by_ref()).parse_next(input)?);
        bound(parts.len(), start)?;
    }
    Ok(Expression::new(ExpressionKind::Concatenation(parts), since(input, start)))
}

/// A value, a prefix, a range.
fn right_part(input: &mut Input<'_>) -> Parsed<Expression> {
    let first = basic(input, Role::Right)?;
    prefix_or_range(input, first, Role::Right)
}

/// `/LENGTH` or `-LAST` behind a value, or nothing.
fn prefix_or_range(input: &mut Input<'_>, first: Expression, role: Role) -> Parsed<Expression> {
    let start = first.span;
    let kind = if took(input, Kind::Slash) {
        let length = cut_err(number::<u8>).parse_next(input)?;
        if length.value > PREFIX_LENGTH_MAX {
            let (number, most) = (length.value.into(), PREFIX_LENGTH_MAX.into());
            return Err(Failure::mistake(length.span, Mistake::OutOfBounds { number, least: 0, most }));
        }
        ExpressionKind::Prefix(Box::new(first), length)
    } else if took(input, Kind::Dash) {
        let last = cut_err(|input: &mut Input<'_>| basic(input, role)).parse_next(input)?;
        ExpressionKind::Range(Box::new(first), Box::new(last))
    } else {
        return Ok(first);
    };
    Ok(Expression::new(kind, since(input, start)))
}

/// Of an IPv6 address, in bits.
const PREFIX_LENGTH_MAX: u8 = 128;

/// Whether the slash ahead begins the length of a prefix, not a mask.
fn is_prefix(input: &Input<'_>) -> bool {
    let ahead = input.peek_slice(input.eof_offset().min(3));
    match ahead {
        [_, length] => length.kind == Kind::Number,
        [_, length, behind] => length.kind == Kind::Number && behind.kind != Kind::Comma,
        _ => false,
    }
}

/// Operators from the loosest to the tightest.
const LEVELS: [&[BinaryOperator]; 4] = [
    &[BinaryOperator::Or],
    &[BinaryOperator::Xor],
    &[BinaryOperator::And],
    &[BinaryOperator::ShiftLeft, BinaryOperator::ShiftRight],
];

/// An expression with operators.
fn basic(input: &mut Input<'_>, role: Role) -> Parsed<Expression> {
    binary(input, role, &LEVELS)
}

fn binary(input: &mut Input<'_>, role: Role, levels: &[&[BinaryOperator]]) -> Parsed<Expression> {
    let Some((operators, tighter)) = levels.split_first() else { return primary(input, role) };
    let mut left = binary(input, role, tighter)?;
    let mut length = 0;
    while let Some(operator) = operator(input).filter(|operator| operators.contains(operator)) {
        skip(input);
        length += 1;
        bound(length, left.span)?;
        // Behind an operator nft has values only, but in statements.
        let role = if role == Role::Left { Role::Right } else { role };
        let right = cut_err(|input: &mut Input<'_>| binary(input, role, tighter)).parse_next(input)?;
        let span = left.span.to(right.span);
        left = Expression::new(ExpressionKind::Binary(operator, Box::new(left), Box::new(right)), span);
    }
    Ok(left)
}

fn operator(input: &Input<'_>) -> Option<BinaryOperator> {
    match (next(input).kind, next_word(input)) {
        (Kind::Or, _) | (_, "or") => Some(BinaryOperator::Or),
        (Kind::Xor, _) | (_, "xor") => Some(BinaryOperator::Xor),
        (Kind::And, _) | (_, "and") => Some(BinaryOperator::And),
        (Kind::ShiftLeft, _) | (_, "lshift") => Some(BinaryOperator::ShiftLeft),
        (Kind::ShiftRight, _) | (_, "rshift") => Some(BinaryOperator::ShiftRight),
        _ => None,
    }
}

fn bound(length: usize, span: Span) -> Parsed<()> {
    if length > CHAIN_MAX {
        return Err(Failure::mistake(span, Mistake::TooMany { max: CHAIN_MAX }));
    }
    Ok(())
}

/// Reserved words that are values as well.
const VALUE_WORDS: &[&str] = &[
    "ether", "ip", "ip6", "vlan", "arp", "dnat", "snat", "ecn", "reset", "destroy", "original", "reply",
    "label", "last", "tcp", "udp", "udplite", "esp", "ah", "icmp", "igmp", "icmpv6", "gre", "comp", "dccp",
    "sctp", "redirect",
];

/// One value, one selector, or anything in parentheses.
fn primary(input: &mut Input<'_>, role: Role) -> Parsed<Expression> {
    let token = next(input);
    let written = text(input, token);
    let kind = match token.kind {
        Kind::Dollar => return variable(input),
        Kind::LeftParenthesis => {
            skip(input);
            let inside =
                nested(input, |input| cut_err(|input: &mut Input<'_>| basic(input, role)).parse_next(input))?;
            cut_err(super::primitive::token(Kind::RightParenthesis)).parse_next(input)?;
            return Ok(inside);
        }
        Kind::Word => return word_or_selector(input, role, written),
        Kind::At if role != Role::Right => {
            let start = skip(input);
            let payload = cut_err(selector::raw).parse_next(input)?;
            return Ok(Expression::new(
                ExpressionKind::Selector(Selector::Raw(payload)),
                since(input, start),
            ));
        }
        Kind::Text => unescaped(&written[1..written.len() - 1], ExpressionKind::Text),
        Kind::Asterisk => unescaped(written, ExpressionKind::Word),
        Kind::Number => ExpressionKind::Number(lexer::number(written).expect("the lexer has read it")),
        Kind::Duration => ExpressionKind::Duration(duration(input)?.value),
        Kind::Ipv4 | Kind::Ipv6 => {
            let address = written.trim_start_matches('[').trim_end_matches(']');
            ExpressionKind::Address(address.parse::<IpAddr>().expect("the lexer has read it"))
        }
        Kind::Mac => ExpressionKind::Mac(mac(written)),
        _ => return Err(Failure::expected(input, expected(role))),
    };
    if token.kind != Kind::Duration {
        skip(input);
    }
    Ok(Expression::new(kind, token.span()))
}

fn word_or_selector(input: &mut Input<'_>, role: Role, written: &str) -> Parsed<Expression> {
    let span = next(input).span();
    let is_value = VALUE_WORDS.contains(&written);
    let goes_on = matches!(second(input).kind, Kind::Word | Kind::At);
    let may_select = role == Role::Left || role == Role::Statement && (!is_value || goes_on);
    if may_select && let Some(selector) = selector::selector(input)? {
        return Ok(Expression::new(ExpressionKind::Selector(selector), since(input, span)));
    }
    let kind = match written {
        "exists" => ExpressionKind::Exists(true),
        "missing" => ExpressionKind::Exists(false),
        _ if is_value || !super::primitive::is_reserved(written) => ExpressionKind::Word(written.to_owned()),
        _ => return Err(Failure::expected(input, expected(role))),
    };
    skip(input);
    Ok(Expression::new(kind, span))
}

const fn expected(role: Role) -> &'static str {
    match role {
        Role::Left => "what to look at",
        Role::Right | Role::Statement => "a value",
    }
}

/// A word or text in which `\*` is an asterisk, and a final `*` anything.
fn unescaped(written: &str, plain: impl FnOnce(String) -> ExpressionKind) -> ExpressionKind {
    match written.strip_suffix('*') {
        Some(beginning) if !beginning.ends_with('\\') => {
            ExpressionKind::Beginning(beginning.replace("\\*", "*"))
        }
        _ => plain(written.replace("\\*", "*")),
    }
}

fn mac(written: &str) -> [u8; 6] {
    let mut bytes =
        written.split(':').map(|pair| u8::from_str_radix(pair, 16).expect("the lexer has read it"));
    std::array::from_fn(|_| bytes.next().expect("the lexer has read it"))
}

/// `@NAME`.
pub(super) fn set_reference(input: &mut Input<'_>) -> Parsed<Expression> {
    let start = token(Kind::At).parse_next(input)?;
    let name = cut_err(super::primitive::name("the name of a set")).parse_next(input)?;
    Ok(Expression::new(ExpressionKind::SetReference(name.value), since(input, start)))
}

/// `{ ELEMENT, … }`, at least one; newlines around elements mean nothing.
pub(super) fn set(input: &mut Input<'_>) -> Parsed<Expression> {
    let start = token(Kind::LeftBrace).parse_next(input)?;
    let elements = nested(input, |input| {
        let mut elements = Vec::new();
        newlines(input);
        loop {
            elements.push(cut_err(element).parse_next(input)?);
            newlines(input);
            if !took(input, Kind::Comma) {
                break;
            }
            newlines(input);
            while took(input, Kind::Comma) {
                newlines(input);
            }
            if next(input).kind == Kind::RightBrace {
                break;
            }
        }
        Ok(elements)
    })?;
    if next(input).kind != Kind::RightBrace {
        return Err(Failure::expected(input, "`,` or `}`").cut());
    }
    skip(input);
    Ok(Expression::new(ExpressionKind::Set(elements), since(input, start)))
}

/// `KEY [OPTIONS] [: DATA]`.
fn element(input: &mut Input<'_>) -> Parsed<Element> {
    let start = next(input).span();
    let key = match next(input).kind {
        Kind::LeftBrace => set(input)?,
        Kind::Star => Expression::new(ExpressionKind::Otherwise, skip(input)),
        _ => {
            let first = right_part(input)?;
            concatenated(input, first, right_part)?
        }
    };
    let options = element_options(input)?;
    let data = if took(input, Kind::Colon) { Some(cut_err(data).parse_next(input)?) } else { None };
    Ok(Element { span: since(input, start), key, data, options })
}

fn element_options(input: &mut Input<'_>) -> Parsed<Option<Box<ElementOptions>>> {
    let mut options: Option<Box<ElementOptions>> = None;
    loop {
        let span = next(input).span();
        match next_word(input) {
            "timeout" => {
                skip(input);
                let lifetime = cut_err(lifetime).parse_next(input)?;
                super::primitive::once(
                    &mut options.get_or_insert_default().timeout,
                    lifetime,
                    span,
                    "the timeout",
                )?;
            }
            "expires" => {
                skip(input);
                let left = cut_err(duration).parse_next(input)?;
                super::primitive::once(
                    &mut options.get_or_insert_default().expires,
                    left,
                    span,
                    "the expiry",
                )?;
            }
            "comment" => {
                let comment = super::primitive::comment(input)?;
                super::primitive::once(
                    &mut options.get_or_insert_default().comment,
                    comment,
                    span,
                    "the comment",
                )?;
            }
            _ => match opt(statement::stateful).parse_next(input)? {
                Some(statement) => options.get_or_insert_default().statements.push(statement),
                None => return Ok(options),
            },
        }
    }
}

/// `1h` or `never`.
fn lifetime(input: &mut Input<'_>) -> Parsed<Spanned<Lifetime>> {
    if next_word(input) == "never" {
        return Ok(Spanned::new(Lifetime::Never, skip(input)));
    }
    Ok(duration(input)?.map(Lifetime::For))
}

/// What stands behind the colon of an element: a verdict, or a value.
fn data(input: &mut Input<'_>) -> Parsed<Expression> {
    if let Some(verdict) = opt(statement::verdict).parse_next(input)? {
        let span = verdict.span;
        return Ok(Expression::new(ExpressionKind::Verdict(Box::new(verdict)), span));
    }
    let first = right_part(input)?;
    concatenated(input, first, right_part)
}

/// A device: a word, a text, or the beginning of one.
pub(super) fn device(input: &mut Input<'_>) -> Parsed<Expression> {
    if next(input).kind == Kind::Dollar {
        return variable(input);
    }
    let kind = next(input).kind;
    let device = string(input)?;
    let whole = if kind == Kind::Text { ExpressionKind::Text } else { ExpressionKind::Word };
    Ok(Expression::new(unescaped(&device.value, whole), device.span))
}
