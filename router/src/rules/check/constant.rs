//! Constants: words, numbers and addresses to values of the type that is expected (`symbol_parse` of nftables).

use std::net::IpAddr;

use super::{Environment, Result, refuse};
use crate::rules::catalog::types;
pub(super) use crate::rules::catalog::types::{value_of_wide as value_of, wide_number as number_of};
use crate::rules::model::{Type, Value};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{BinaryOperator, Expression, ExpressionKind};

/// A value, or several that lie side by side.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// One.
    One(Value),
    /// From, to.
    Range(Value, Value),
    /// The leading bits of this.
    Prefix(Value, u16),
}

impl Part {
    /// First and last.
    pub(super) fn bounds(self) -> (Value, Value) {
        match self {
            Self::One(value) => (value.clone(), value),
            Self::Range(first, last) => (first, last),
            Self::Prefix(value, bits) => {
                let last = prefix_end(&value, bits);
                (value, last)
            }
        }
    }
}

/// The last value that has the leading `bits` of `value`.
pub(crate) fn prefix_end(value: &[u8], bits: u16) -> Value {
    let mut last: Value = value.into();
    for (at, byte) in last.iter_mut().enumerate() {
        let kept = usize::from(bits).saturating_sub(at * 8).min(8);
        *byte |= (0xff_u16 >> kept) as u8;
    }
    last
}

/// All bits of a type of this width.
pub(super) fn ones(bits: u16) -> u128 {
    types::all_bits(Type::Integer(bits))
}

/// Whether an expression is known without a packet.
pub(super) fn is_constant(expression: &Expression) -> bool {
    use ExpressionKind as K;
    match &expression.resolved().kind {
        K::Selector(_) | K::Map(..) | K::SetReference(_) => false,
        K::Binary(_, left, right) | K::Range(left, right) => is_constant(left) && is_constant(right),
        K::Prefix(inner, _) => is_constant(inner),
        K::List(parts) | K::Concatenation(parts) => parts.iter().all(is_constant),
        _ => true,
    }
}

/// A single value of this type.
pub(super) fn single(expression: &Expression, kind: Type, environment: &Environment) -> Result<Value> {
    match part(expression, kind, environment)? {
        Part::One(value) => Ok(value),
        Part::Range(..) | Part::Prefix(..) => {
            refuse(expression.span, "one value is needed here, not several")
        }
    }
}

/// A value, range or prefix of this type.
pub(super) fn part(expression: &Expression, kind: Type, environment: &Environment) -> Result<Part> {
    let expression = expression.resolved();
    let span = expression.span;
    match &expression.kind {
        ExpressionKind::Range(first, last) => {
            let first = single(first, kind, environment)?;
            let last = single(last, kind, environment)?;
            if first > last && kind != Type::Hour {
                return refuse(span, "the range ends before it begins");
            }
            Ok(Part::Range(first, last))
        }
        ExpressionKind::Prefix(inner, length) => prefix(inner, length.value, span, kind, environment),
        ExpressionKind::Beginning(start) => {
            if !matches!(kind, Type::InterfaceName | Type::Text(_)) {
                return refuse(
                    span,
                    format!("`*` stands for the rest of a name; {} has none", types::name(kind)),
                );
            }
            if start.is_empty() {
                return refuse(span, "`*` alone fits every name; leave the match out");
            }
            let Some(value) = types::value_of_text(start, kind.bytes()) else {
                return refuse(span, too_long(kind));
            };
            let bits = u16::try_from(start.len() * 8).unwrap_or(u16::MAX);
            Ok(Part::Prefix(value, bits))
        }
        _ => plain(expression, kind, environment).map(Part::One),
    }
}

fn prefix(inner: &Expression, length: u8, span: Span, kind: Type, environment: &Environment) -> Result<Part> {
    if matches!(kind, Type::InterfaceName | Type::Text(_) | Type::Boolean) || kind.is_bitmask() {
        return refuse(span, format!("{} has no prefixes", types::name(kind)));
    }
    let value = single(inner, kind, environment)?;
    let bits = kind.bits();
    if u16::from(length) > bits {
        return refuse(span, format!("a prefix of {} has at most {bits} bits", types::name(kind)));
    }
    let length = u16::from(length);
    let kept = number_of(&value) & (ones(bits) ^ ones(bits - length));
    let value = value_of(kept, bits).expect("fewer bits than before");
    Ok(if length == bits { Part::One(value) } else { Part::Prefix(value, length) })
}

fn plain(expression: &Expression, kind: Type, environment: &Environment) -> Result<Value> {
    use ExpressionKind as K;
    let span = expression.span;
    let wrong = |what: &str| refuse(span, format!("{what} where {} belongs", described(kind)));
    match &expression.kind {
        K::Number(number) => of_number(*number, kind, span),
        K::Word(word) | K::Text(word) => match types::value_of_word(kind, word, environment) {
            Some(value) => Ok(value),
            None => refuse(span, unknown(kind, word)),
        },
        K::Address(IpAddr::V4(address)) if kind == Type::Ipv4Address => Ok(address.octets()[..].into()),
        K::Address(IpAddr::V6(address)) if kind == Type::Ipv6Address => Ok(address.octets()[..].into()),
        K::Address(address) => wrong(if address.is_ipv4() { "an IPv4 address" } else { "an IPv6 address" }),
        K::Mac(address) if kind == Type::EtherAddress => Ok(address[..].into()),
        K::Mac(_) => wrong("an Ethernet address"),
        K::Duration(span_of) => match kind {
            Type::Duration => {
                let milliseconds = u64::try_from(span_of.as_millis()).unwrap_or(u64::MAX);
                Ok(types::value_of_number(milliseconds, 64).expect("64 bits"))
            }
            _ => wrong("a span of time"),
        },
        K::Exists(is) if kind == Type::Boolean => Ok(smallvec::smallvec![u8::from(*is)]),
        K::Exists(_) => wrong("`exists` or `missing`"),
        K::List(parts) if kind.is_bitmask() => {
            let mut bits = 0;
            for part in parts {
                bits |= number_of(&single(part, kind, environment)?);
            }
            Ok(value_of(bits, kind.bits()).expect("as many bits as each part"))
        }
        K::List(_) => {
            refuse(span, format!("{} is not made of flags: put the values into braces", types::name(kind)))
        }
        K::Binary(operator, left, right) => {
            let left_value = number_of(&single(left, kind, environment)?);
            let shift = matches!(operator, BinaryOperator::ShiftLeft | BinaryOperator::ShiftRight);
            let right_kind = if shift { Type::Integer(32) } else { kind };
            let right_value = number_of(&single(right, right_kind, environment)?);
            if shift && right_value >= u128::from(kind.bits()) {
                return refuse(
                    right.span,
                    format!("shifts beyond the {} bits of {}", kind.bits(), types::name(kind)),
                );
            }
            let result = match operator {
                BinaryOperator::And => left_value & right_value,
                BinaryOperator::Or => left_value | right_value,
                BinaryOperator::Xor => left_value ^ right_value,
                BinaryOperator::ShiftLeft => left_value << right_value & ones(kind.bits()),
                BinaryOperator::ShiftRight => left_value >> right_value,
            };
            Ok(value_of(result, kind.bits()).expect("no more bits than the type has"))
        }
        K::Set(_) => wrong("a set"),
        K::SetReference(_) => wrong("a reference to a set"),
        K::Concatenation(_) => wrong("a concatenation"),
        K::Verdict(_) => wrong("a verdict"),
        K::Otherwise => refuse(span, "`*` alone is only known as a key among elements"),
        K::Negative(_) => wrong("a negative number"),
        K::Selector(_) | K::Map(..) => {
            refuse(span, "this is read of each packet; a value known beforehand is needed")
        }
        K::Range(..) | K::Prefix(..) | K::Beginning(_) | K::Variable(_) => {
            refuse(span, "one value is needed here, not several")
        }
    }
}

fn of_number(number: u64, kind: Type, span: Span) -> Result<Value> {
    let value = match kind {
        Type::InterfaceName | Type::Text(_) => types::value_of_text(&number.to_string(), kind.bytes()),
        Type::CtLabel if number < 128 => value_of(1 << number, 128),
        Type::CtLabel => None,
        Type::Duration => number.checked_mul(1000).and_then(|ms| types::value_of_number(ms, 64)),
        Type::Hour if number >= 86_400 => None,
        Type::Day if number > 6 => None,
        Type::EtherAddress | Type::Ipv6Address | Type::Verdict => {
            return refuse(span, format!("a number where {} belongs", described(kind)));
        }
        Type::Boolean => types::value_of_number(number, 1),
        _ => types::value_of_number(number, kind.bits()),
    };
    match value {
        Some(value) => Ok(value),
        None => {
            refuse(span, format!("{number} does not fit: {} has {} bits", types::name(kind), kind.bits()))
        }
    }
}

/// A type as it is spoken of.
pub(super) fn described(kind: Type) -> String {
    match kind {
        Type::Integer(bits) => format!("a number of {bits} bits"),
        Type::Ipv4Address => "an IPv4 address".to_owned(),
        Type::Ipv6Address => "an IPv6 address".to_owned(),
        Type::Boolean => "`exists` or `missing`".to_owned(),
        Type::Verdict => "a verdict".to_owned(),
        _ => format!("a value of type {}", types::name(kind)),
    }
}

fn too_long(kind: Type) -> String {
    format!("a name has at most {} characters", kind.bytes() - 1)
}

fn unknown(kind: Type, word: &str) -> String {
    match kind {
        Type::InterfaceName | Type::Text(_) => too_long(kind),
        Type::InterfaceIndex => {
            format!(
                "there is no interface `{word}`; `iifname` and `oifname` compare names that may come later"
            )
        }
        Type::Ipv4Address | Type::Ipv6Address => {
            format!("`{word}` is no address; names of hosts are not looked up")
        }
        _ => format!("`{word}` is not known where {} belongs", described(kind)),
    }
}
