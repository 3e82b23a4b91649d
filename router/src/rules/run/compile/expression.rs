//! Expressions and comparisons.

use conntrack::Direction;

use super::{Compiler, Never};
use crate::chain::Family;
use crate::rules::lookup::number;
use crate::rules::model::{
    Base, Comparison, Expression, Match, MetaKey, NumberSource, Requires, Right as ModelRight, Selector, Type,
};
use crate::rules::run::hook::name_number;
use crate::rules::run::program::{
    Compare, Load, Lookedup, Member, Number, Operation, Payload, Right, Test, WideTest,
};
use crate::rules::run::tables::{KeyParts, Part};

/// EtherTypes of the families.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;

/// Bits that are compared, and what they must be.
struct Demand {
    mask: u128,
    low: u128,
    span: u128,
    negate: bool,
}

impl Compiler<'_> {
    /// A comparison.
    pub(super) fn compare(&mut self, matched: &Match) -> Result<(), Never> {
        let Match { left, comparison, right } = matched;
        if let ModelRight::Set(set) = right {
            let key = self.key(left)?;
            let set = self.set(set)?;
            let negate = *comparison == Comparison::NotEqual;
            self.emit(Operation::Member(Box::new(Member { key, set, negate })));
            return Ok(());
        }
        if self.compare_names(matched) {
            return Ok(());
        }
        if matches!(left, Expression::Concat(_)) {
            return self.compare_parts(matched);
        }
        let bits = left.types().first().map_or(0, |kind| width(*kind));
        let value = self.number(left)?;
        if let Some(demand) = demand(*comparison, right, bits) {
            return self.emit_demand(value, &demand, matched);
        }
        let right = match right {
            ModelRight::Value(value) => Right::Number(Number::Constant(number(value))),
            ModelRight::Range(from, to) => Right::Range(number(from), number(to)),
            ModelRight::Prefix(value, length) => {
                let mask = leading(*length, bits);
                Right::Masked(mask, number(value) & mask)
            }
            ModelRight::Expression(expression) => Right::Number(self.number(expression)?),
            ModelRight::Set(_) => unreachable!("looked up above"),
        };
        self.emit(Operation::Compare(Box::new(Compare { left: value, comparison: *comparison, right })));
        Ok(())
    }

    fn emit_demand(&mut self, value: Number, demand: &Demand, matched: &Match) -> Result<(), Never> {
        let Demand { mask, low, span, negate } = *demand;
        let (value, mask, low) = match value {
            Number::Bitwise { inner, mask: kept, flip } if span == 0 => {
                (*inner, mask & kept, low ^ flip & mask)
            }
            Number::Bitwise { inner, mask: kept, flip: 0 } => (*inner, mask & kept, low),
            other => (other, mask, low),
        };
        match value {
            Number::Narrow(slot) => {
                // What lies beyond eight bytes no value of eight bytes reaches.
                let low_wide = low > u128::from(u64::MAX);
                let test = if low_wide {
                    Test { mask: 0, low: 1, span: 0, slot, negate }
                } else {
                    Test {
                        mask: mask as u64,
                        low: low as u64,
                        span: u64::try_from(span).unwrap_or(u64::MAX - low as u64),
                        slot,
                        negate,
                    }
                };
                self.learn(matched);
                self.emit_test(test);
            }
            Number::Wide(slot) => self.emit_wide_test(WideTest { mask, low, span, slot, negate }),
            Number::Constant(known) => {
                if ((known & mask).wrapping_sub(low) <= span) == negate {
                    return Err(Never);
                }
            }
            value => {
                let left = Number::Bitwise { inner: Box::new(value), mask, flip: 0 };
                let right = Right::Range(low, low.saturating_add(span));
                let comparison = if negate { Comparison::NotEqual } else { Comparison::Equal };
                self.emit(Operation::Compare(Box::new(Compare { left, comparison, right })));
            }
        }
        Ok(())
    }

    /// A name of a port against a name or a prefix: which ports those are is known now.
    fn compare_names(&mut self, matched: &Match) -> bool {
        let Expression::Select(Selector::Meta(key)) = &matched.left else { return false };
        let load = match key {
            MetaKey::InputName => Load::InputBit,
            MetaKey::OutputName => Load::OutputBit,
            _ => return false,
        };
        let negate = match matched.comparison {
            Comparison::Equal => true,
            Comparison::NotEqual => false,
            _ => return false,
        };
        let (mask, wanted) = match &matched.right {
            ModelRight::Value(value) => (u128::MAX, number(value)),
            ModelRight::Prefix(value, length) => {
                let mask = leading(*length, 128);
                (mask, number(&padded(value)) & mask)
            }
            _ => return false,
        };
        let names = self.world.names();
        if names.len() > NO_PORT_BIT as usize {
            return false;
        }
        let nobody = (NO_PORT_BIT, name_number(""));
        let fits =
            (0_u32..).zip(names.iter().copied()).chain([nobody]).filter(|(_, name)| name & mask == wanted);
        let bits = fits.fold(0, |bits, (port, _)| bits | 1_u64 << port);
        let Number::Narrow(slot) = self.load(load, 64) else { return false };
        self.emit_test(Test { mask: bits, low: 0, span: 0, slot, negate });
        true
    }

    /// Concatenations compare part by part.
    fn compare_parts(&mut self, matched: &Match) -> Result<(), Never> {
        let Expression::Concat(parts) = &matched.left else { return Ok(()) };
        let ModelRight::Value(value) = &matched.right else { return Err(Never) };
        let negate = matched.comparison == Comparison::NotEqual;
        let mut at = 0;
        let mut wanted = Vec::new();
        for part in parts {
            let kind = part.types().first().copied().unwrap_or(Type::Boolean);
            wanted.push(number(&value[at..at + kind.bytes()]));
            at += kind.padded_bytes();
        }
        if negate {
            // Unlike as a whole means unlike in one part: a set of one says that in one step.
            let key = self.key(&matched.left)?;
            let place = self.set_of_one(&matched.left.types(), value);
            self.emit(Operation::Member(Box::new(Member { key, set: place, negate })));
            return Ok(());
        }
        for (part, wanted) in parts.iter().zip(wanted) {
            let value = self.number(part)?;
            let demand = Demand { mask: u128::MAX, low: wanted, span: 0, negate };
            self.emit_demand(value, &demand, matched)?;
        }
        Ok(())
    }

    /// What the comparison makes known of packets that pass it.
    fn learn(&mut self, matched: &Match) {
        let (Expression::Select(selector), Comparison::Equal, ModelRight::Value(value)) =
            (&matched.left, matched.comparison, &matched.right)
        else {
            return;
        };
        let is_protocol = match selector {
            Selector::Meta(MetaKey::TransportProtocol) => true,
            Selector::Field(field) => matches!((field.header, field.name), ("ip", "protocol")),
            _ => false,
        };
        if is_protocol {
            self.facts.protocol = value.first().copied();
        }
    }

    /// A key as sets have it.
    pub(super) fn key(&mut self, expression: &Expression) -> Result<KeyParts, Never> {
        let parts = match expression {
            Expression::Concat(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        let alone = parts.len() == 1;
        let mut offset = 0;
        let mut numbers = Vec::with_capacity(parts.len());
        for part in parts {
            let kind = part.types().first().copied().unwrap_or(Type::Boolean);
            let place = |bytes: usize| u8::try_from(bytes).expect("keys are short");
            let bytes = kind.bytes().min(16);
            numbers.push((self.number(part)?, Part { offset: place(offset), bytes: place(bytes) }));
            offset += if alone { bytes } else { bytes.next_multiple_of(4) };
        }
        Ok(KeyParts(numbers.into()))
    }

    /// An expression of one value.
    pub(super) fn number(&mut self, expression: &Expression) -> Result<Number, Never> {
        Ok(match expression {
            Expression::Select(selector) => self.select(selector)?,
            Expression::Value(_, value) => Number::Constant(number(value)),
            Expression::Bitwise { inner, mask, flip } => {
                let (mask, flip) = (number(mask), number(flip));
                match self.number(inner)? {
                    Number::Constant(known) => Number::Constant(known & mask ^ flip),
                    inner => Number::Bitwise { inner: Box::new(inner), mask, flip },
                }
            }
            Expression::Shift { inner, bits } => {
                let width = inner.types().first().map_or(32, |kind| kind.bits());
                let width = u8::try_from(width.min(128)).expect("at most 128");
                Number::Shift { inner: Box::new(self.number(inner)?), bits: *bits, width }
            }
            Expression::Join { operator, left, right } => Number::Join {
                operator: *operator,
                left: Box::new(self.number(left)?),
                right: Box::new(self.number(right)?),
            },
            Expression::Concat(parts) => match parts.as_slice() {
                [one] => self.number(one)?,
                _ => return Err(Never),
            },
            Expression::Map { key, map, .. } => {
                let key = self.key(key)?;
                Number::Map(Box::new(Lookedup { key, set: self.set(map)? }))
            }
            Expression::Number { source: NumberSource::Incremental(sequence), modulus, offset } => {
                Number::Incremental { sequence: sequence.clone(), modulus: *modulus, offset: *offset }
            }
            Expression::Number { source: NumberSource::Random, modulus, offset } => {
                Number::Random { modulus: *modulus, offset: *offset }
            }
            Expression::Hash(hash) => Number::Hash {
                key: hash.key.as_ref().map(|key| self.key(key)).transpose()?.map(Box::new),
                modulus: hash.modulus.max(1),
                seed: hash.seed,
                offset: hash.offset,
            },
        })
    }

    fn select(&mut self, selector: &Selector) -> Result<Number, Never> {
        let bits = width(selector.kind());
        Ok(match selector {
            Selector::Field(field) => {
                self.require(&field.requires)?;
                let payload = Payload { base: field.base, offset: field.offset, length: field.length };
                self.load(Load::Payload(payload), field.length)
            }
            Selector::Raw { base, offset, length } => {
                let payload = Payload { base: *base, offset: *offset, length: (*length).min(128) };
                self.load(Load::Payload(payload), payload.length)
            }
            Selector::Meta(MetaKey::NetfilterProtocol) => {
                Number::Constant(if self.family == Family::Ipv4 { 2 } else { 10 })
            }
            Selector::Meta(MetaKey::Protocol) => match network(self.family) {
                Some(network) => Number::Constant(u128::from(network)),
                None => self.load(Load::Meta(MetaKey::Protocol), bits),
            },
            Selector::Meta(key) => self.load(Load::Meta(*key), bits),
            Selector::Ct { key, direction } => self.load(Load::Ct(*key, direction.map(flow_direction)), bits),
            Selector::Fib { by, result } => self.load(Load::Fib(*by, *result), bits),
            Selector::Route(key) => self.load(Load::Route(*key), bits),
            Selector::Extension(field) => {
                self.require(&Requires { network: Some(IPV6), ..Requires::default() })?;
                self.load(Load::Extension(field.header, field.offset, field.length), bits)
            }
            Selector::Option(field) => {
                if !field.of_tcp {
                    self.require(&Requires { network: Some(IPV4), ..Requires::default() })?;
                }
                self.load(Load::Option(field.of_tcp, field.option, field.offset, field.length), bits)
            }
        })
    }

    /// Checks what a field needs of its packet, unless it is known already.
    pub(super) fn require(&mut self, requires: &Requires) -> Result<(), Never> {
        // In a bridge a match of the rule itself sees to that.
        if let (Some(wanted), Some(network)) = (requires.network, network(self.family))
            && wanted != network
        {
            return Err(Never);
        }
        let wanted = requires.transport;
        let known = match self.facts.protocol {
            Some(protocol) => wanted.is_empty() || wanted.contains(&protocol),
            None => wanted.is_empty() || self.facts.transport == Some(wanted),
        };
        if !known {
            let protocol = self.load(Load::Meta(MetaKey::TransportProtocol), 8);
            self.require_one_of(protocol, wanted);
            self.facts.transport = Some(wanted);
            if let [only] = wanted {
                self.facts.protocol = Some(*only);
            }
        }
        if !requires.icmp_types.is_empty() && self.facts.icmp_types != Some(requires.icmp_types) {
            let payload = Payload { base: Base::Transport, offset: 0, length: 8 };
            let kind = self.load(Load::Payload(payload), 8);
            self.require_one_of(kind, requires.icmp_types);
            self.facts.icmp_types = Some(requires.icmp_types);
        }
        Ok(())
    }

    fn require_one_of(&mut self, value: Number, wanted: &[u8]) {
        match (value, wanted) {
            (Number::Narrow(slot), [only]) => {
                let low = u64::from(*only);
                self.emit_test(Test { mask: u64::MAX, low, span: 0, slot, negate: false });
            }
            (value, wanted) => {
                let mut bits = [0_u128; 2];
                for wanted in wanted {
                    bits[usize::from(*wanted >> 7)] |= 1 << (*wanted & 127);
                }
                self.emit(Operation::OneOf(Box::new((value, bits))));
            }
        }
    }
}

/// The EtherType of all packets of a family, if they have one.
const fn network(family: Family) -> Option<u16> {
    match family {
        Family::Ipv4 => Some(IPV4),
        Family::Ipv6 => Some(IPV6),
        Family::Arp => Some(ARP),
        Family::Bridge => None,
    }
}

/// Bit that stands for no port at all.
pub(in crate::rules::run) const NO_PORT_BIT: u32 = 63;

/// Bits of a value as it is compared: names and texts are compared in sixteen bytes.
fn width(kind: Type) -> u16 {
    match kind {
        Type::Text(_) | Type::InterfaceName => 128,
        kind => kind.bits(),
    }
}

fn padded(value: &[u8]) -> [u8; 16] {
    let mut padded = [0; 16];
    let length = value.len().min(16);
    padded[..length].copy_from_slice(&value[..length]);
    padded
}

/// The mask of the leading `length` bits of `width`.
fn leading(length: u16, width: u16) -> u128 {
    let all = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
    let rest = width.saturating_sub(length);
    if rest >= 128 { 0 } else { all >> rest << rest }
}

/// The comparison as a mask and a span, if the right side is constant.
fn demand(comparison: Comparison, right: &ModelRight, bits: u16) -> Option<Demand> {
    const NEVER: Demand = Demand { mask: 0, low: 1, span: 0, negate: false };
    let all = u128::MAX;
    let negate = comparison == Comparison::NotEqual;
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    Some(match right {
        ModelRight::Range(from, to) if equality => {
            let (low, high) = (number(from), number(to));
            match high.checked_sub(low) {
                Some(span) => Demand { mask: all, low, span, negate },
                None => Demand { negate, ..NEVER },
            }
        }
        ModelRight::Prefix(value, length) if equality => {
            let mask = leading(*length, bits);
            let value = if bits == 128 { number(&padded(value)) } else { number(value) };
            Demand { mask, low: value & mask, span: 0, negate }
        }
        ModelRight::Value(value) => {
            let value = number(value);
            match comparison {
                Comparison::Equal | Comparison::NotEqual => Demand { mask: all, low: value, span: 0, negate },
                Comparison::Less => match value.checked_sub(1) {
                    Some(span) => Demand { mask: all, low: 0, span, negate },
                    None => NEVER,
                },
                Comparison::LessOrEqual => Demand { mask: all, low: 0, span: value, negate },
                Comparison::Greater => match value.checked_add(1) {
                    Some(low) => Demand { mask: all, low, span: all - low, negate },
                    None => NEVER,
                },
                Comparison::GreaterOrEqual => Demand { mask: all, low: value, span: all - value, negate },
                Comparison::AnyBit => Demand { mask: value, low: 0, span: 0, negate: true },
                Comparison::NoBit => Demand { mask: value, low: 0, span: 0, negate: false },
            }
        }
        _ => return None,
    })
}

pub(super) const fn flow_direction(direction: crate::rules::model::Direction) -> Direction {
    match direction {
        crate::rules::model::Direction::Original => Direction::Original,
        crate::rules::model::Direction::Reply => Direction::Reply,
    }
}
