//! Matches, as nft lists them.

use super::super::expression::{Writer, base_word};
use crate::rules::catalog::types;
use crate::rules::model::{Base, Comparison, ElementKey, Expression, Match, Right, Selector, Type};

pub(super) fn match_text(writer: Writer<'_>, found: &Match) -> String {
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

fn unaligned_text(found: &Match) -> Option<String> {
    let Unaligned { base, begin, whole, mask, operator, value } = unaligned(found)?;
    Some(format!("@{},{begin},{whole} & {mask:#x} {operator} {value:#x}", base_word(base)))
}

/// What raw payload that is not whole bytes is compared with, as the kernel loads it: the bytes around it under a mask.
pub(crate) struct Unaligned {
    pub(crate) base: Base,
    /// Offset and length of the bytes around it, in bits.
    pub(crate) begin: u16,
    pub(crate) whole: u16,
    pub(crate) mask: u128,
    pub(crate) operator: &'static str,
    pub(crate) value: u128,
}

/// Takes such a comparison apart.
pub(crate) fn unaligned(found: &Match) -> Option<Unaligned> {
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
    Some(Unaligned { base: *base, begin, whole, mask, operator, value })
}

fn concatenation_text(writer: Writer<'_>, found: &Match) -> String {
    let not = if found.comparison == Comparison::NotEqual { "!= " } else { "" };
    let right = match &found.right {
        Right::Set(set) => writer.set(set),
        Right::Expression(expression) => writer.expression(expression),
        Right::Value(value) | Right::Prefix(value, _) => super::super::key_text(
            &found.left.types(),
            &ElementKey::Value(value.clone()),
            writer.options.environment,
        ),
        Right::Range(first, last) => super::super::key_text(
            &found.left.types(),
            &ElementKey::Range(first.clone(), last.clone()),
            writer.options.environment,
        ),
    };
    format!("{} {not}{right}", writer.expression(&found.left))
}
