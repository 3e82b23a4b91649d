//! `snat`, `dnat`, `masquerade`, `redirect` (`stmt_evaluate_nat` of nftables).

use super::constant::{self, Part, is_constant};
use super::expression::Scope;
use super::set::SetWish;
use super::{Result, refuse};
use crate::rules::catalog::types;
use crate::rules::model::{
    DataType, Expression, IdRange, MetaKey, Nat, NatAddress, NatKind, Selector, SetRef, TableFamily, Type,
};
use crate::rules::syntax::source::Span;
use crate::rules::syntax::tree::{self, ExpressionKind, NatForm};

impl Scope<'_> {
    /// A translation.
    pub(super) fn nat(&mut self, nat: &tree::Nat, span: Span) -> Result<Nat> {
        let kind = match nat.kind {
            tree::NatKind::Source => NatKind::Source,
            tree::NatKind::Destination => NatKind::Destination,
            tree::NatKind::Masquerade => NatKind::Masquerade,
            tree::NatKind::Redirect => NatKind::Redirect,
        };
        let has = |wanted| nat.flags.iter().any(|flag| flag.value == wanted);
        let mut checked = Nat {
            kind,
            address: None,
            ids: None,
            random: has(tree::NatFlag::Random),
            fully_random: has(tree::NatFlag::FullyRandom),
            persistent: has(tree::NatFlag::Persistent),
        };
        if let Some(address) = &nat.address {
            let family = self.nat_family(nat, address)?;
            checked.address = Some(self.nat_address(address, nat.form, family)?);
        } else if matches!(kind, NatKind::Source | NatKind::Destination) && nat.port.is_none() {
            return refuse(span, "to where? Say `to ADDRESS`");
        } else if let Some(family) = nat.family {
            self.take_family(family, span)?;
        }
        if let Some(port) = &nat.port {
            checked.ids = Some(self.nat_ids(port)?);
        }
        let names_id = checked.ids.is_some()
            || matches!(&checked.address, Some(NatAddress::Mapped { with_id: true, .. }));
        if names_id && !self.has_ports() {
            return refuse(
                span,
                "ports need a transport protocol: match one first, such as `meta l4proto { tcp, udp }`",
            );
        }
        Ok(checked)
    }

    /// Whether a statement before made sure that packets have ports or ids: one protocol, or several in a set.
    fn has_ports(&self) -> bool {
        self.protocols.transport.is_some_and(|protocol| matches!(protocol, 1 | 6 | 17 | 33 | 58 | 132 | 136))
            || self.protocols.several
    }

    fn take_family(&mut self, family: tree::Family, span: Span) -> Result<Type> {
        match family {
            tree::Family::Ip => self.protocols.network(0x0800, span).map(|()| Type::Ipv4Address),
            tree::Family::Ip6 => self.protocols.network(0x86dd, span).map(|()| Type::Ipv6Address),
            _ => refuse(span, "addresses are of `ip` or `ip6`"),
        }
    }

    fn nat_family(&mut self, nat: &tree::Nat, address: &tree::Expression) -> Result<Type> {
        let family = match (nat.family, self.family(), self.protocols.network) {
            (Some(family), ..) => family,
            (None, TableFamily::Ip, _) | (None, _, Some(0x0800)) => tree::Family::Ip,
            (None, TableFamily::Ip6, _) | (None, _, Some(0x86dd)) => tree::Family::Ip6,
            _ => match plain_family(address) {
                Some(family) => family,
                None => {
                    return refuse(address.span, "of which family? Say `snat ip to …` or `snat ip6 to …`");
                }
            },
        };
        self.take_family(family, address.span)
    }

    fn nat_address(&mut self, address: &tree::Expression, form: NatForm, kind: Type) -> Result<NatAddress> {
        let address = address.resolved();
        if let ExpressionKind::Map(key, map) = &address.kind {
            return self.nat_map(key, map, form, kind);
        }
        if !is_constant(address) {
            if form == NatForm::Prefix {
                return refuse(address.span, "a prefix belongs behind `prefix to`");
            }
            return Ok(NatAddress::One(kind, self.value(address, kind)?));
        }
        Ok(match constant::part(address, kind, self.environment)? {
            Part::One(value) if form == NatForm::Prefix => {
                NatAddress::Prefix(kind, value, u8::try_from(kind.bits()).expect("at most 128"))
            }
            Part::One(value) => NatAddress::One(kind, Expression::Value(kind, value)),
            Part::Range(first, last) => NatAddress::Range(kind, first, last),
            Part::Prefix(value, bits) if form == NatForm::Prefix => {
                NatAddress::Prefix(kind, value, u8::try_from(bits).expect("at most 128"))
            }
            part @ Part::Prefix(..) => {
                let (first, last) = part.bounds();
                NatAddress::Range(kind, first, last)
            }
        })
    }

    fn nat_map(
        &mut self,
        key: &tree::Expression,
        map: &tree::Expression,
        form: NatForm,
        kind: Type,
    ) -> Result<NatAddress> {
        let key = self.read(key)?;
        let map = map.resolved();
        let (reference, data) = match &map.kind {
            ExpressionKind::SetReference(name) => {
                let set = self.draft.referred(name, &key.types(), map.span)?;
                let Some(data @ DataType::Values { .. }) = &set.data else {
                    return refuse(map.span, format!("`{name}` does not lead to addresses"));
                };
                (SetRef(set.name.clone()), data.clone())
            }
            ExpressionKind::Set(elements) => {
                let (types, interval) = data_of(elements, form, kind);
                let data = DataType::Values { types, interval };
                let wish = SetWish { key: key.types(), data: Some(data.clone()) };
                (self.draft.anonymous(&wish, elements, map.span, self.environment)?, data)
            }
            _ => return refuse(map.span, "a map in braces, or the name of one as `@name`, belongs here"),
        };
        let DataType::Values { types: found, interval } = data else {
            return refuse(map.span, "this map does not lead to addresses");
        };
        let with_id = match found[..] {
            [one] if one == kind => false,
            [one, Type::Service] if one == kind => true,
            _ => {
                let found: Vec<_> = found.iter().map(|kind| types::name(*kind)).collect();
                return refuse(
                    map.span,
                    format!("this map leads to {}, not to {}", found.join(" . "), types::name(kind)),
                );
            }
        };
        let says_transport = |part: &Expression| {
            matches!(part, Expression::Select(Selector::Meta(MetaKey::TransportProtocol)))
                || matches!(part, Expression::Select(Selector::Field(field)) if field.kind == Type::Protocol)
        };
        if let Expression::Concat(parts) = &key {
            self.protocols.several |= parts.iter().any(says_transport);
        }
        let expression = Expression::Map { key: Box::new(key), map: reference, data: kind };
        Ok(NatAddress::Mapped {
            kind,
            expression,
            with_id,
            interval: interval || form != NatForm::Plain && !with_id,
            prefix: form == NatForm::Prefix,
        })
    }

    fn nat_ids(&mut self, port: &tree::Expression) -> Result<IdRange> {
        if !is_constant(port) {
            return Ok(IdRange::Computed(self.value(port, Type::Service)?));
        }
        let (first, last) = constant::part(port, Type::Service, self.environment)?.bounds();
        let of = |value: &[u8]| u16::try_from(types::number_of_value(value)).expect("16 bits");
        Ok(IdRange::Fixed(of(&first), of(&last)))
    }
}

/// What an anonymous map for addresses leads to, by its first element.
fn data_of(elements: &[tree::Element], form: NatForm, kind: Type) -> (Vec<Type>, bool) {
    let data = elements.first().and_then(|element| element.data.as_ref()).map(tree::Expression::resolved);
    let concatenated = data.is_some_and(|data| matches!(data.kind, ExpressionKind::Concatenation(_)));
    let is_range = |element: &tree::Element| {
        element.data.as_ref().is_some_and(|data| {
            matches!(data.resolved().kind, ExpressionKind::Range(..) | ExpressionKind::Prefix(..))
        })
    };
    let interval = matches!(form, NatForm::Prefix | NatForm::Interval) || elements.iter().any(is_range);
    let types = if concatenated { vec![kind, Type::Service] } else { vec![kind] };
    (types, interval && !concatenated)
}

fn plain_family(address: &tree::Expression) -> Option<tree::Family> {
    match &address.resolved().kind {
        ExpressionKind::Address(address) => {
            Some(if address.is_ipv4() { tree::Family::Ip } else { tree::Family::Ip6 })
        }
        ExpressionKind::Range(first, _) | ExpressionKind::Prefix(first, _) => plain_family(first),
        _ => None,
    }
}
