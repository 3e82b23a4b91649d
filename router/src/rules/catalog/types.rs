//! Types: their names in declarations, how values are read from words and written as text (`datatype.c` of nftables).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::symbols;
use crate::rules::check::Environment;
use crate::rules::model::{Type, Value};

/// Types that `set … { type … }` can name.
const NAMES: &[(&str, Type)] = &[
    ("ipv4_addr", Type::Ipv4Address),
    ("ipv6_addr", Type::Ipv6Address),
    ("ether_addr", Type::EtherAddress),
    ("ether_type", Type::EtherType),
    ("inet_proto", Type::Protocol),
    ("inet_service", Type::Service),
    ("mark", Type::Mark),
    ("ifname", Type::InterfaceName),
    ("iface_index", Type::InterfaceIndex),
    ("nf_proto", Type::NetfilterProtocol),
    ("pkt_type", Type::PacketType),
    ("ct_state", Type::CtState),
    ("ct_dir", Type::CtDirection),
    ("ct_status", Type::CtStatus),
    ("ct_label", Type::CtLabel),
    ("ct_event", Type::CtEvent),
    ("icmp_type", Type::IcmpType),
    ("icmp_code", Type::IcmpCode),
    ("icmpv6_type", Type::Icmpv6Type),
    ("icmpv6_code", Type::Icmpv6Code),
    ("igmp_type", Type::IgmpType),
    ("iface_type", Type::LinkType),
    ("tcp_flag", Type::TcpFlag),
    ("dscp", Type::Dscp),
    ("ecn", Type::Ecn),
    ("arp_op", Type::ArpOperation),
    ("fib_addrtype", Type::FibAddressType),
    ("day", Type::Day),
    ("hour", Type::Hour),
    ("time", Type::Time),
    ("devgroup", Type::DeviceGroup),
    ("realm", Type::Realm),
    ("classid", Type::ClassId),
    ("boolean", Type::Boolean),
];

/// The type that a declaration names so.
#[must_use]
pub fn named(name: &str) -> Option<Type> {
    NAMES.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind)
}

/// The name of a type in declarations and messages.
#[must_use]
pub fn name(kind: Type) -> &'static str {
    match kind {
        Type::Integer(_) => "integer",
        Type::Text(_) => "string",
        Type::Verdict => "verdict",
        Type::Duration => "time",
        _ => NAMES.iter().find(|(_, other)| *other == kind).map_or("", |(word, _)| word),
    }
}

/// Whether the kernel holds values of this type in the host's byte order, so that nft sorts them by it.
#[must_use]
pub const fn is_host_order(kind: Type) -> bool {
    matches!(
        kind,
        Type::Mark
            | Type::LinkType
            | Type::InterfaceName
            | Type::InterfaceIndex
            | Type::CtState
            | Type::CtStatus
            | Type::CtLabel
            | Type::CtEvent
            | Type::FibAddressType
            | Type::DeviceGroup
            | Type::Realm
            | Type::ClassId
            | Type::Text(_)
            | Type::Time
            | Type::Hour
            | Type::Duration
    )
}

/// A number as a value of this many bits; `None` where it does not fit.
#[must_use]
pub fn value_of_number(number: u64, bits: u16) -> Option<Value> {
    if bits < 64 && number >> bits != 0 {
        return None;
    }
    let bytes = bits.div_ceil(8) as usize;
    let mut value: Value = smallvec::smallvec![0; bytes];
    for (byte, place) in number.to_be_bytes().iter().rev().zip(value.iter_mut().rev()) {
        *place = *byte;
    }
    Some(value)
}

/// The number that a value of up to 8 bytes is; of a longer one the last 8 bytes.
#[must_use]
pub fn number_of_value(value: &[u8]) -> u64 {
    value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A number of up to 128 bits as a value; `None` where it does not fit.
#[must_use]
pub fn value_of_wide(number: u128, bits: u16) -> Option<Value> {
    if bits < 128 && number >> bits != 0 {
        return None;
    }
    let bytes = usize::from(bits.div_ceil(8));
    Some(number.to_be_bytes()[16 - bytes..].into())
}

/// The number that a value of up to 16 bytes is.
#[must_use]
pub fn wide_number(value: &[u8]) -> u128 {
    value.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// All bits of a type.
#[must_use]
pub const fn all_bits(kind: Type) -> u128 {
    let bits = kind.bits();
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// A text as a value of this many bytes; `None` where it is too long (a zero must fit behind it).
#[must_use]
pub fn value_of_text(text: &str, bytes: usize) -> Option<Value> {
    if text.len() >= bytes {
        return None;
    }
    let mut value: Value = text.as_bytes().into();
    value.resize(bytes, 0);
    Some(value)
}

/// The text of a value that is one.
#[must_use]
pub fn text_of_value(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// The value of a name of this type, such as `ssh` or `established`.
#[must_use]
pub fn value_of_word(kind: Type, word: &str, environment: &Environment) -> Option<Value> {
    let number = |number: u64| value_of_number(number, kind.bits());
    match kind {
        Type::InterfaceName | Type::Text(_) => value_of_text(word, kind.bytes()),
        Type::InterfaceIndex => environment.interface_index(word).and_then(|index| number(index.into())),
        Type::Service => environment.service(word).and_then(|port| number(port.into())),
        Type::Protocol => {
            let known = symbols::value(symbols::of(kind), word);
            known.or_else(|| environment.protocol(word).map(u64::from)).and_then(number)
        }
        Type::DeviceGroup => environment.group(word).and_then(|group| number(group.into())),
        Type::Realm => environment.realm(word).and_then(|realm| number(realm.into())),
        Type::Mark => environment.mark(word).and_then(|mark| number(mark.into())),
        Type::ClassId => class_of_text(word).and_then(|class| number(class.into())),
        Type::Day => {
            let days = symbols::of(kind).iter();
            let mut days = days.filter(|(day, _)| {
                word.len() >= 3 && day.len() >= word.len() && day[..word.len()].eq_ignore_ascii_case(word)
            });
            days.next().and_then(|(_, day)| number(*day))
        }
        Type::Hour => super::super::check::time::hour(word, environment).and_then(number),
        Type::Time => super::super::check::time::moment(word, environment).and_then(number),
        _ => symbols::value(symbols::of(kind), word).and_then(number),
    }
}

fn class_of_text(word: &str) -> Option<u32> {
    if let Some(known) = symbols::value(symbols::of(Type::ClassId), word) {
        return u32::try_from(known).ok();
    }
    let (major, minor) = word.split_once(':')?;
    let part = |text: &str| {
        if text.is_empty() { Some(0) } else { u16::from_str_radix(text, 16).ok() }
    };
    Some(u32::from(part(major)?) << 16 | u32::from(part(minor)?))
}

/// A value as nft lists it.
#[must_use]
pub fn text(kind: Type, value: &[u8], environment: &Environment) -> String {
    let number = number_of_value(value);
    if let Some(known) = known_as(kind, value, number, environment) {
        return known;
    }
    match kind {
        Type::Mark => format!("0x{number:08x}"),
        Type::ClassId => format!("{:x}:{:x}", number >> 16, number & 0xffff),
        Type::Dscp => format!("0x{number:02x}"),
        Type::EtherType => format!("0x{number:04x}"),
        Type::Integer(bits) if bits > 64 => hexadecimal(value),
        _ => number.to_string(),
    }
}

fn known_as(kind: Type, value: &[u8], number: u64, environment: &Environment) -> Option<String> {
    let small = u32::try_from(number).ok();
    match kind {
        Type::Ipv4Address => <[u8; 4]>::try_from(value).ok().map(|bytes| Ipv4Addr::from(bytes).to_string()),
        Type::Ipv6Address => <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        Type::EtherAddress => {
            let bytes: Vec<_> = value.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(bytes.join(":"))
        }
        Type::InterfaceName | Type::Text(_) => Some(quoted_name(&text_of_value(value))),
        Type::InterfaceIndex => environment
            .interface_name(small?)
            .map(|name| format!("\"{name}\""))
            .or_else(|| small.map(|index| index.to_string())),
        Type::DeviceGroup => environment.group_name(small?).map(|name| format!("\"{name}\"")),
        Type::Realm => environment.realm_name(small?).map(|name| format!("\"{name}\"")),
        Type::Protocol => environment
            .protocol_name(u8::try_from(number).ok()?)
            .map(str::to_owned)
            .or_else(|| symbols::name(symbols::of(kind), number).map(str::to_owned)),
        Type::Day => symbols::name(symbols::of(kind), number).map(|day| format!("\"{day}\"")),
        Type::Hour => Some(super::super::check::time::hour_text(number, environment)),
        Type::Time => Some(super::super::check::time::moment_text(number, environment)),
        Type::Duration => Some(super::super::check::time::span_text(number)),
        Type::CtLabel => label_text(value),
        kind if kind.is_bitmask() => Some(bits_text(kind, number, ",")),
        kind => symbols::name(symbols::of(kind), number).map(str::to_owned),
    }
}

fn label_text(value: &[u8]) -> Option<String> {
    let number = u128::from_be_bytes(value.try_into().ok()?);
    Some(if number.count_ones() == 1 { number.trailing_zeros().to_string() } else { format!("{number:#x}") })
}

fn hexadecimal(value: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
    let digits = text[2..].trim_start_matches('0');
    if digits.is_empty() { "0x0".to_owned() } else { format!("0x{digits}") }
}

/// Names of the bits that are set, joined, in the order nft has them.
#[must_use]
pub fn bits_text(kind: Type, number: u64, between: &str) -> String {
    let names: Vec<&str> = (0..64)
        .filter(|bit| number >> bit & 1 == 1)
        .filter_map(|bit| symbols::name(symbols::of(kind), 1 << bit))
        .collect();
    if names.is_empty() || names.len() != number.count_ones() as usize {
        return format!("{number:#x}");
    }
    names.join(between)
}

/// A name in quotes, as `"eth0"`; an asterisk at its end is not a wildcard.
#[must_use]
pub fn quoted_name(name: &str) -> String {
    match name.strip_suffix('*') {
        Some(start) => format!("\"{start}\\*\""),
        None => format!("\"{name}\""),
    }
}
