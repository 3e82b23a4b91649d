//! What rules read, and the values they compare it with.

use std::fmt::Write as _;

use super::Options;
use super::element::anonymous_elements;
use crate::rules::catalog::{fields, keys, types};
use crate::rules::check::Environment;
use crate::rules::model::{
    Base, Expression, FibBy, FibResult, Field, NumberSource, RouteKey, Selector, SetRef, Table, TableFamily,
    Type, Value,
};

/// A value; bits of flags joined by `between`.
pub(crate) fn value_text(kind: Type, value: &[u8], between: &str, environment: &Environment) -> String {
    if kind.is_bitmask() && kind != Type::CtLabel {
        types::bits_text(kind, types::number_of_value(value), between)
    } else {
        types::text(kind, value, environment)
    }
}

/// An expression that looks into no anonymous set, such as one behind `typeof`.
pub(crate) fn expression_text(expression: &Expression, environment: &Environment) -> String {
    let options = Options::new(environment);
    Writer { table: None, options: &options }.expression(expression)
}

/// Writes expressions of a table.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    /// In which anonymous sets are.
    pub table: Option<&'a Table>,
    /// How.
    pub options: &'a Options<'a>,
}

impl Writer<'_> {
    /// An expression.
    pub(super) fn expression(&self, expression: &Expression) -> String {
        let environment = self.options.environment;
        match expression {
            Expression::Select(selector) => self.selector(selector),
            Expression::Value(kind, value) => value_text(*kind, value, ",", environment),
            Expression::Bitwise { inner, mask, flip } => self.bitwise(inner, mask, flip),
            Expression::Shift { inner, bits } => {
                let operator = if *bits < 0 { ">>" } else { "<<" };
                format!("{} {operator} {}", self.expression(inner), bits.unsigned_abs())
            }
            Expression::Join { operator, left, right } => {
                let right_text = match **right {
                    Expression::Join { .. } | Expression::Bitwise { .. } | Expression::Shift { .. } => {
                        format!("({})", self.expression(right))
                    }
                    _ => self.expression(right),
                };
                format!("{} {} {right_text}", self.expression(left), char::from(*operator))
            }
            Expression::Concat(parts) => {
                parts.iter().map(|part| self.expression(part)).collect::<Vec<_>>().join(" . ")
            }
            Expression::Map { key, map, .. } => format!("{} map {}", self.expression(key), self.set(map)),
            Expression::Number { source, modulus, offset } => {
                let source = match source {
                    NumberSource::Incremental(_) => "inc",
                    NumberSource::Random => "random",
                };
                format!("numgen {source} mod {modulus}{}", offset_text(*offset))
            }
            Expression::Hash(hash) => {
                let mut text = match &hash.key {
                    Some(key) => format!("jhash {}", self.expression(key)),
                    None => "symhash".to_owned(),
                };
                let _ = write!(text, " mod {}", hash.modulus);
                if hash.seed != 0 {
                    let _ = write!(text, " seed {:#x}", hash.seed);
                }
                text + &offset_text(hash.offset)
            }
        }
    }

    /// A set by its name, or with its elements if it has none.
    pub(super) fn set(&self, reference: &SetRef) -> String {
        match self.table.and_then(|table| table.set(reference).map(|set| (table, set))) {
            Some((table, set)) if set.anonymous => anonymous_elements(table, set, self.options),
            _ => format!("@{}", reference.0),
        }
    }

    fn bitwise(&self, inner: &Expression, mask: &Value, flip: &Value) -> String {
        let kind = inner.types().first().copied().unwrap_or(Type::Integer(32));
        let mut text = self.expression(inner);
        for (operator, value) in bit_operations(kind, mask, flip) {
            let shown = self.operand(inner, kind, &value);
            let _ = write!(text, " {operator} {shown}");
        }
        text
    }

    fn operand(&self, inner: &Expression, kind: Type, value: &[u8]) -> String {
        let text = self.compared(inner, kind, value, " | ");
        if text.contains(" | ") { format!("({text})") } else { text }
    }

    /// A value that something is compared with: of raw payload in hexadecimal.
    pub(super) fn compared(&self, left: &Expression, kind: Type, value: &[u8], between: &str) -> String {
        let mut left = left;
        while let Expression::Bitwise { inner, .. } | Expression::Shift { inner, .. } = left {
            left = inner;
        }
        let kind = match (left, self.known_field(left)) {
            (Expression::Select(Selector::Raw { .. }), None) => {
                return format!("{:#x}", types::wide_number(value));
            }
            (_, Some(field)) => field.kind,
            _ => kind,
        };
        value_text(kind, value, between, self.options.environment)
    }

    fn known_field(&self, left: &Expression) -> Option<&'static Field> {
        let Expression::Select(selector) = left else { return None };
        known_field(self.table.map(|table| table.family), selector)
    }

    fn selector(&self, selector: &Selector) -> String {
        match selector {
            Selector::Field(field) => format!("{} {}", field.header, field.name),
            Selector::Raw { base, offset, length } => self
                .known_field(&Expression::Select(selector.clone()))
                .map(|field| format!("{} {}", field.header, field.name))
                .unwrap_or_else(|| format!("@{},{offset},{length}", base_word(*base))),
            Selector::Meta(key) if keys::is_listed_alone(*key) => keys::meta_word(*key).to_owned(),
            Selector::Meta(key) => format!("meta {}", keys::meta_word(*key)),
            Selector::Ct { key, direction } => {
                let direction = direction.map_or("", keys::direction_word);
                let space = if direction.is_empty() { "" } else { " " };
                format!("ct {direction}{space}{}", keys::ct_word(*key))
            }
            Selector::Fib { by, result } => format!("fib {} {}", fib_text(*by), fib_result(*result)),
            Selector::Route(key) => match key {
                RouteKey::Realm => "rt classid".to_owned(),
                RouteKey::NextHopIpv4 => "rt ip nexthop".to_owned(),
                RouteKey::NextHopIpv6 => "rt ip6 nexthop".to_owned(),
                RouteKey::Mtu => "rt mtu".to_owned(),
            },
            Selector::Extension(field) => match field.names {
                (header, None) => format!("exthdr {header}"),
                (header, Some(name)) => format!("{header} {name}"),
            },
            Selector::Option(option) => option_text(option),
        }
    }
}

/// The named field that raw payload is, as far as nft can tell without looking at other statements.
pub(crate) fn known_field(family: Option<TableFamily>, selector: &Selector) -> Option<&'static Field> {
    let Selector::Raw { base, offset, length } = selector else { return None };
    let wanted = match (base, family) {
        (Base::Transport, _) => "th",
        (Base::Link, Some(TableFamily::Bridge)) => "ether",
        (Base::Network, Some(TableFamily::Arp)) => "arp",
        (Base::Network, Some(TableFamily::Ip)) => "ip",
        (Base::Network, Some(TableFamily::Ip6)) => "ip6",
        _ => return None,
    };
    let mut all = fields::FIELDS.iter();
    all.find(|field| field.header == wanted && field.offset == *offset && field.length == *length)
}

/// Masks and flips back to `&`, `^` and `|`, in the order nft has them (`netlink_parse_bitwise_bool`).
pub(crate) fn bit_operations(kind: Type, mask: &Value, flip: &Value) -> Vec<(&'static str, Value)> {
    let all = types::all_bits(kind);
    let (mask, flip) = (types::wide_number(mask), types::wide_number(flip));
    let or = flip & !mask;
    let flip = flip & mask;
    let mask = mask | or;
    [("&", mask, mask != all), ("^", flip, flip != 0), ("|", or, or != 0)]
        .into_iter()
        .filter(|(.., is_used)| *is_used)
        .map(|(operator, number, _)| {
            (operator, types::value_of_wide(number, kind.bits()).unwrap_or_default())
        })
        .collect()
}

/// An option, and what of it.
pub(super) fn option_text(option: &crate::rules::model::OptionField) -> String {
    let header = if option.of_tcp { "tcp" } else { "ip" };
    let number = option.option.to_string();
    let name = if option.names.0.is_empty() { &number } else { option.names.0 };
    match option.names.1 {
        None => format!("{header} option {name}"),
        Some(field) => format!("{header} option {name} {field}"),
    }
}

/// The word of a base of raw payload.
pub(crate) const fn base_word(base: Base) -> &'static str {
    match base {
        Base::Link => "ll",
        Base::Network => "nh",
        Base::Transport => "th",
        Base::Inner => "ih",
    }
}

fn offset_text(offset: u32) -> String {
    if offset == 0 { String::new() } else { format!(" offset {offset}") }
}

fn fib_text(by: FibBy) -> String {
    fib_words(by).join(" . ")
}

/// The words of what `fib` looks up.
pub(crate) fn fib_words(by: FibBy) -> Vec<&'static str> {
    [
        (by.source, "saddr"),
        (by.destination, "daddr"),
        (by.mark, "mark"),
        (by.input, "iif"),
        (by.output, "oif"),
    ]
    .into_iter()
    .filter_map(|(is, word)| is.then_some(word))
    .collect()
}

/// The word of what `fib` answers.
pub(crate) const fn fib_result(result: FibResult) -> &'static str {
    match result {
        FibResult::Index | FibResult::Present => "oif",
        FibResult::Name => "oifname",
        FibResult::AddressType => "type",
    }
}
