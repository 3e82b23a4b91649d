//! Rules taken at their word: the model walked statement by statement, values as bytes, sets element after element. It
//! is what compiled rules are held against.

use std::sync::Arc;

use crate::engine::Packet;
use crate::flow::Track;
use crate::rules::model::{
    Base, Comparison, Ctype, Data, Element, ElementKey, Expression, MetaKey, Requires, Right, Selector,
    SetRef, Statement, Table, Value, Verdict,
};

/// A packet before the rules of a table.
pub struct Oracle<'a> {
    pub table: &'a Table,
    pub packet: &'a Packet,
    pub input: &'a str,
    pub output: &'a str,
}

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Accept,
    Drop,
}

enum Went {
    On,
    NextRule,
    Return,
    End(End),
}

impl Oracle<'_> {
    /// From the beginning of a chain; `None` if it ends without a verdict.
    pub fn chain(&self, name: &str) -> Option<End> {
        for rule in &self.table.chain(name)?.rules {
            match self.rule(&rule.statements) {
                Went::On | Went::NextRule => {}
                Went::Return => return None,
                Went::End(end) => return Some(end),
            }
        }
        None
    }

    fn rule(&self, statements: &[Statement]) -> Went {
        for statement in statements {
            let went = match statement {
                Statement::Match(matched) => {
                    match self.holds(&matched.left, matched.comparison, &matched.right) {
                        Some(true) => Went::On,
                        _ => Went::NextRule,
                    }
                }
                Statement::Verdict(verdict) => self.verdict(verdict),
                Statement::VerdictMap { key, map } => {
                    match self.find(key, map).and_then(|element| element.data.clone()) {
                        Some(Data::Verdict(verdict)) => self.verdict(&verdict),
                        _ => Went::NextRule,
                    }
                }
                _ => Went::On,
            };
            if !matches!(went, Went::On) {
                return went;
            }
        }
        Went::On
    }

    fn verdict(&self, verdict: &Verdict) -> Went {
        match verdict {
            Verdict::Accept => Went::End(End::Accept),
            Verdict::Drop => Went::End(End::Drop),
            Verdict::Continue => Went::On,
            Verdict::Return => Went::Return,
            Verdict::Jump(chain) => self.chain(chain).map_or(Went::NextRule, Went::End),
            Verdict::Goto(chain) => self.chain(chain).map_or(Went::Return, Went::End),
            Verdict::Queue(_) => unreachable!("not asked of the oracle"),
        }
    }

    fn holds(&self, left: &Expression, comparison: Comparison, right: &Right) -> Option<bool> {
        let value = self.value(left)?;
        let (from, to) = match right {
            Right::Set(set) => {
                let found = self.find(left, set).is_some();
                return Some(found == (comparison == Comparison::Equal));
            }
            Right::Prefix(wanted, length) => {
                let same = (0..usize::from(*length)).all(|bit| bit_of(&value, bit) == bit_of(wanted, bit));
                return Some(same == (comparison == Comparison::Equal));
            }
            Right::Value(wanted) => (wanted.to_vec(), wanted.to_vec()),
            Right::Range(from, to) => (from.to_vec(), to.to_vec()),
            Right::Expression(expression) => {
                let wanted = self.value(expression)?;
                (wanted.clone(), wanted)
            }
        };
        let any_bit = || value.iter().zip(&from).any(|(one, other)| one & other != 0);
        Some(match comparison {
            Comparison::Equal => from <= value && value <= to,
            Comparison::NotEqual => value < from || value > to,
            Comparison::Less => value < from,
            Comparison::LessOrEqual => value <= from,
            Comparison::Greater => value > from,
            Comparison::GreaterOrEqual => value >= from,
            Comparison::AnyBit => any_bit(),
            Comparison::NoBit => !any_bit(),
        })
    }

    /// The element that a key belongs to.
    fn find(&self, key: &Expression, set: &SetRef) -> Option<&Element> {
        let key = self.value(key)?;
        let set: &Arc<_> = self.table.set(set)?;
        let has = |element: &&Element| match &element.key {
            ElementKey::Value(value) => value.as_slice() == key,
            ElementKey::CatchAll => false,
            ElementKey::Range(from, to) => {
                let mut at = 0;
                set.key.iter().all(|part| {
                    let bytes = at..at + part.bytes();
                    at += part.padded_bytes();
                    from[bytes.clone()] <= key[bytes.clone()] && key[bytes.clone()] <= to[bytes]
                })
            }
        };
        let catch_all = || set.elements.iter().find(|element| element.key == ElementKey::CatchAll);
        set.elements.iter().find(has).or_else(catch_all)
    }

    fn value(&self, expression: &Expression) -> Option<Vec<u8>> {
        match expression {
            Expression::Select(selector) => self.select(selector),
            Expression::Value(_, value) => Some(value.to_vec()),
            Expression::Bitwise { inner, mask, flip } => {
                let value = self.value(inner)?;
                Some(
                    value
                        .iter()
                        .zip(mask.iter().zip(flip))
                        .map(|(byte, (mask, flip))| byte & mask ^ flip)
                        .collect(),
                )
            }
            Expression::Concat(parts) => {
                let mut whole = Vec::new();
                for part in parts {
                    whole.extend(self.value(part)?);
                    whole.resize(whole.len().next_multiple_of(4), 0);
                }
                Some(whole)
            }
            Expression::Map { key, map, .. } => match &self.find(key, map)?.data {
                Some(Data::Value(value)) => Some(value.to_vec()),
                _ => None,
            },
            _ => unreachable!("not asked of the oracle"),
        }
    }

    fn select(&self, selector: &Selector) -> Option<Vec<u8>> {
        match selector {
            Selector::Field(field) => {
                self.is(&field.requires)?;
                self.bits(field.base, field.offset, field.length)
            }
            Selector::Raw { base, offset, length } => self.bits(*base, *offset, *length),
            Selector::Meta(key) => self.meta(*key),
            Selector::Ct { key, .. } => self.ct(*key),
            _ => unreachable!("not asked of the oracle"),
        }
    }

    fn meta(&self, key: MetaKey) -> Option<Vec<u8>> {
        let ipv4 = self.packet.source().is_ipv4();
        let padded = |name: &str| {
            let mut padded = name.as_bytes().to_vec();
            padded.resize(16, 0);
            padded
        };
        Some(match key {
            MetaKey::TransportProtocol => vec![self.packet.header.protocol],
            MetaKey::NetfilterProtocol => vec![if ipv4 { 2 } else { 10 }],
            MetaKey::Protocol => if ipv4 { [8, 0] } else { [0x86, 0xdd] }.to_vec(),
            MetaKey::Length => u32::try_from(self.packet.ip().len()).unwrap().to_be_bytes().to_vec(),
            MetaKey::InputName => padded(self.input),
            MetaKey::OutputName => padded(self.output),
            _ => unreachable!("not asked of the oracle"),
        })
    }

    fn ct(&self, key: Ctype) -> Option<Vec<u8>> {
        let (flow, direction) = match &self.packet.track {
            Track::Flow { flow, direction, .. } => (flow, direction),
            Track::Untracked if key == Ctype::State => return Some(vec![0, 0, 0, 64]),
            _ if key == Ctype::State => return Some(vec![0, 0, 0, 1]),
            _ => return None,
        };
        let original = flow.tuple(conntrack::Direction::Original);
        match key {
            Ctype::State => {
                let seen = flow.status().contains(conntrack::Status::SEEN_REPLY);
                Some(vec![0, 0, 0, if seen { 2 } else { 8 }])
            }
            Ctype::Direction => Some(vec![u8::from(*direction == conntrack::Direction::Reply)]),
            Ctype::DestinationPort => Some(original.ids().destination.to_be_bytes().to_vec()),
            _ => unreachable!("not asked of the oracle"),
        }
    }

    fn is(&self, requires: &Requires) -> Option<()> {
        let ether_type = if self.packet.source().is_ipv4() { 0x0800 } else { 0x86dd };
        let is_one = |wanted: &[u8], value: u8| wanted.is_empty() || wanted.contains(&value);
        let fits = requires.network.is_none_or(|network| network == ether_type)
            && is_one(requires.transport, self.packet.header.protocol)
            && (requires.icmp_types.is_empty()
                || requires.icmp_types.contains(self.packet.ip().get(self.packet.header.transport)?));
        fits.then_some(())
    }

    fn bits(&self, base: Base, offset: u16, length: u16) -> Option<Vec<u8>> {
        let start = match base {
            Base::Network => 0,
            Base::Transport => self.packet.header.transport,
            Base::Link | Base::Inner => unreachable!("not asked of the oracle"),
        };
        let bytes = &self.packet.ip()[start..];
        let (offset, length) = (usize::from(offset), usize::from(length));
        let mut value = vec![0; length.div_ceil(8)];
        let unused = value.len() * 8 - length;
        for bit in 0..length {
            let place = offset + bit;
            bytes.get(place / 8)?;
            if bit_of(bytes, place) {
                value[(unused + bit) / 8] |= 0x80 >> ((unused + bit) % 8);
            }
        }
        Some(value)
    }
}

fn bit_of(bytes: &[u8], bit: usize) -> bool {
    bytes.get(bit / 8).is_some_and(|byte| byte >> (7 - bit % 8) & 1 != 0)
}

/// Parts one after another, each padded to four bytes.
pub fn padded(parts: &[&[u8]]) -> Value {
    let mut whole = Value::new();
    for part in parts {
        whole.extend_from_slice(part);
        whole.resize(whole.len().next_multiple_of(4), 0);
    }
    whole
}
