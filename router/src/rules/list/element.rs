//! Elements of sets and maps.

use super::expression::value_text;
use super::{Options, statement};
use crate::rules::catalog::types;
use crate::rules::check::{Environment, time};
use crate::rules::model::{Data, DataType, Element, ElementKey, Set, Table, Type, Value};

/// Elements of a named set, broken into lines as nft does (`calculate_delim`).
pub(super) fn named_elements(table: &Table, set: &Set, options: &Options<'_>) -> String {
    let per_line = per_line(&set.key);
    let mut text = String::new();
    let mut count = 0;
    let mut add = |element: &str| {
        if count == per_line {
            text.push_str(",\n\t\t\t     ");
            count = 0;
        } else if count > 0 {
            text.push_str(", ");
        }
        count += 1;
        text.push_str(element);
    };
    match &set.live {
        None => {
            for element in sorted(set, &set.elements) {
                add(&element_text(table, set, element, None, options));
            }
        }
        Some(live) => {
            let alive = live.elements(options.now);
            let mut listed: Vec<_> = alive.iter().map(|live| (&live.element, live.expires_ms)).collect();
            listed.sort_by_cached_key(|(element, _)| order(&set.key, &element.key));
            for (element, expires) in listed {
                add(&element_text(table, set, element, expires, options));
            }
        }
    }
    text
}

/// Elements of an anonymous set, on one line in braces.
pub(super) fn anonymous_elements(table: &Table, set: &Set, options: &Options<'_>) -> String {
    let elements: Vec<_> = sorted(set, &set.elements)
        .into_iter()
        .map(|element| element_text(table, set, element, None, options))
        .collect();
    format!("{{ {} }}", elements.join(", "))
}

/// How many elements stand on a line.
fn per_line(key: &[Type]) -> usize {
    match key {
        [Type::Ipv4Address] => 2,
        [
            Type::Service
            | Type::Mark
            | Type::Protocol
            | Type::Integer(_)
            | Type::IcmpType
            | Type::Icmpv6Type
            | Type::IcmpCode
            | Type::Icmpv6Code
            | Type::Dscp
            | Type::Ecn
            | Type::NetfilterProtocol
            | Type::CtState
            | Type::CtDirection
            | Type::CtStatus
            | Type::PacketType
            | Type::EtherType
            | Type::TcpFlag
            | Type::ArpOperation
            | Type::InterfaceIndex,
        ] => 5,
        _ => 1,
    }
}

/// Elements in the order nft lists them: intervals of concatenations as they were added, all others by value as the
/// kernel holds it.
pub(crate) fn sorted<'a>(set: &Set, elements: &'a [Element]) -> Vec<&'a Element> {
    let mut sorted: Vec<_> = elements.iter().collect();
    if !(set.flags.interval && set.key.len() > 1) {
        sorted.sort_by_cached_key(|element| order(&set.key, &element.key));
    }
    sorted
}

/// What an element is sorted by: its key as a number in the byte order that it has in the kernel.
fn order(types: &[Type], key: &ElementKey) -> (bool, Vec<u8>) {
    let (ElementKey::Value(value) | ElementKey::Range(value, _)) = key else { return (true, Vec::new()) };
    if let [kind] = types {
        let mut bytes = value.to_vec();
        if kind.is_bitmask() && types::number_of_value(value) != 0 {
            let number = types::number_of_value(value);
            // By its first flag, and those with more of them before.
            let first = (1_u64 << number.trailing_zeros()).to_be_bytes();
            return (false, [first, (!number).to_be_bytes()].concat());
        }
        if is_text(*kind) {
            bytes.reverse();
        }
        return (false, bytes);
    }
    // A concatenation is taken for one number in the host's order, however its parts are laid out.
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    for kind in types {
        let mut part = value[at..at + kind.bytes()].to_vec();
        if types::is_host_order(*kind) && !is_text(*kind) {
            part.reverse();
        }
        bytes.extend_from_slice(&part);
        at += kind.padded_bytes();
    }
    bytes.reverse();
    (false, bytes)
}

pub(crate) const fn is_text(kind: Type) -> bool {
    matches!(kind, Type::InterfaceName | Type::Text(_))
}

fn element_text(
    table: &Table,
    set: &Set,
    element: &Element,
    expires_ms: Option<u64>,
    options: &Options<'_>,
) -> String {
    let environment = options.environment;
    let mut text = key_text(&set.key, &element.key, environment);
    for statement in &element.state {
        text.push(' ');
        text.push_str(&statement::statement_text(table, statement, options));
    }
    match element.timeout_ms {
        Some(0) => text.push_str(" timeout never"),
        Some(timeout) if Some(timeout) != set.timeout_ms => {
            text.push_str(" timeout ");
            text.push_str(&time::span_text(timeout));
        }
        _ => {}
    }
    if let Some(expires) = expires_ms.filter(|_| !options.stateless) {
        text.push_str(" expires ");
        text.push_str(&time::span_text(expires));
    }
    if let Some(comment) = &element.comment {
        text.push_str(&format!(" comment \"{comment}\""));
    }
    if let Some(data) = &element.data {
        text.push_str(" : ");
        text.push_str(&data_text(set, data, environment));
    }
    text
}

fn data_text(set: &Set, data: &Data, environment: &Environment) -> String {
    let types: &[Type] = match &set.data {
        Some(DataType::Values { types, .. }) => types,
        _ => &[],
    };
    match data {
        Data::Value(value) => key_text(types, &ElementKey::Value(value.clone()), environment),
        Data::Range(first, last) => {
            key_text(types, &ElementKey::Range(first.clone(), last.clone()), environment)
        }
        Data::Verdict(verdict) => statement::verdict_text(verdict),
        Data::Object(name) => format!("\"{name}\""),
    }
}

/// A key, part by part.
pub(crate) fn key_text(types: &[Type], key: &ElementKey, environment: &Environment) -> String {
    let (first, last) = match key {
        ElementKey::CatchAll => return "*".to_owned(),
        ElementKey::Value(value) => (value, value),
        ElementKey::Range(first, last) => (first, last),
    };
    if let [kind] = types {
        return range_text(*kind, first, last, environment);
    }
    let mut parts = Vec::with_capacity(types.len());
    let mut at = 0;
    for kind in types {
        let part = at..at + kind.bytes();
        let (low, high): (Value, Value) = (first[part.clone()].into(), last[part].into());
        parts.push(range_text(*kind, &low, &high, environment));
        at += kind.padded_bytes();
    }
    parts.join(" . ")
}

/// A value, or an interval: a prefix where it is one of addresses, a beginning where it is one of names.
pub(super) fn range_text(kind: Type, first: &Value, last: &Value, environment: &Environment) -> String {
    if first == last {
        return value_text(kind, first, " | ", environment);
    }
    if is_text(kind) {
        return format!("\"{}*\"", types::text_of_value(first));
    }
    if let Some(bits) = prefix_of(kind, first, last) {
        return format!("{}/{bits}", value_text(kind, first, " | ", environment));
    }
    format!("{}-{}", value_text(kind, first, " | ", environment), value_text(kind, last, " | ", environment))
}

/// How many leading bits an interval of addresses has in common, if it is all that have them.
pub(crate) fn prefix_of(kind: Type, first: &[u8], last: &[u8]) -> Option<u32> {
    if !matches!(kind, Type::Ipv4Address | Type::Ipv6Address) {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let (low, high) = (number(first), number(last));
    let differing = low ^ high;
    let width = 128 - differing.leading_zeros();
    let full = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    (differing == full && low & full == 0).then(|| u32::from(kind.bits()) - width)
}
