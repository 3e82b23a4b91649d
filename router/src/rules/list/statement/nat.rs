//! Translations, as nft lists them.

use std::fmt::Write as _;

use super::super::element::range_text;
use super::super::expression::Writer;
use crate::rules::catalog::types;
use crate::rules::model::{Expression, IdRange, Nat, NatAddress, NatKind, TableFamily, Type};

pub(crate) const fn nat_word(kind: NatKind) -> &'static str {
    match kind {
        NatKind::Source => "snat",
        NatKind::Destination => "dnat",
        NatKind::Masquerade => "masquerade",
        NatKind::Redirect => "redirect",
    }
}

pub(super) fn nat_text(writer: Writer<'_>, family: TableFamily, nat: &Nat) -> String {
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
    let flags = nat_flags(nat);
    if !flags.is_empty() {
        let _ = write!(text, " {}", flags.join(","));
    }
    text
}

/// The flags that are set, in the order nft has them.
pub(crate) fn nat_flags(nat: &Nat) -> Vec<&'static str> {
    [(nat.random, "random"), (nat.fully_random, "fully-random"), (nat.persistent, "persistent")]
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word))
        .collect()
}

/// Whether an expression looks into a map without a name.
fn is_nameless(expression: &Expression) -> bool {
    matches!(expression, Expression::Map { map, .. } if map.0.starts_with("__"))
}
