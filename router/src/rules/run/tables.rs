//! Sets and maps as rules look into them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::program::{Fate, Number};
use crate::rules::lookup::Index;
use crate::rules::model::{Data, DataType, Set, Statement};
use crate::rules::state::LiveSet;

/// A set or a map, ready to be looked into.
pub(super) struct Lookup {
    pub(super) elements: Elements,
    /// What kind of objects elements lead to.
    pub(super) objects: Option<&'static str>,
    /// How long elements that packets add live.
    pub(super) default_timeout_ms: Option<u64>,
    /// Statements that each new element gets one of its own of.
    pub(super) element_state: Vec<Statement>,
}

pub(super) enum Elements {
    Fixed(Box<Fixed>),
    Live(Arc<LiveSet>),
}

/// Elements that only a command changes.
pub(super) struct Fixed {
    pub(super) index: Index,
    /// By element; empty for sets.
    pub(super) data: Box<[Datum]>,
    /// By element; empty if no element has any.
    pub(super) state: Box<[Box<[Statement]>]>,
}

/// What an element of a map leads to.
#[derive(Clone, Debug)]
pub(super) enum Datum {
    /// A value of up to sixteen bytes.
    Number(u128),
    /// A concatenation.
    Bytes(Box<[u8]>),
    /// From, to.
    Range(Box<[u8]>, Box<[u8]>),
    Verdict(Fate),
    /// By its place among the table's objects; none if it is gone.
    Object(Option<u32>),
}

/// A key to be made of a packet: one value, or several one after another.
pub(super) struct KeyParts(pub(super) Box<[(Number, Part)]>);

/// Where a part stands in a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) offset: u8,
    pub(super) bytes: u8,
}

impl Lookup {
    /// A set made ready. `fate` and `object` find what verdicts and names lead to.
    pub(super) fn new(
        set: &Set,
        fate: &dyn Fn(&crate::rules::model::Verdict) -> Fate,
        object: &dyn Fn(&str) -> Option<u32>,
    ) -> Self {
        let elements = match &set.live {
            Some(live) => Elements::Live(live.clone()),
            None => {
                let keys = set.elements.iter().map(|element| &element.key);
                let datum = |data: &Data| match data {
                    Data::Value(value) if value.len() <= 16 && !has_parts(set) => {
                        Datum::Number(crate::rules::lookup::number(value))
                    }
                    Data::Value(value) => Datum::Bytes(value.as_slice().into()),
                    Data::Range(from, to) => Datum::Range(from.as_slice().into(), to.as_slice().into()),
                    Data::Verdict(verdict) => Datum::Verdict(fate(verdict)),
                    Data::Object(name) => Datum::Object(object(name)),
                };
                let has_state = set.elements.iter().any(|element| !element.state.is_empty());
                let states = set.elements.iter().filter(|_| has_state);
                Elements::Fixed(Box::new(Fixed {
                    index: Index::new(&set.key, keys),
                    data: set
                        .elements
                        .iter()
                        .filter_map(|element| element.data.as_ref())
                        .map(datum)
                        .collect(),
                    state: states.map(|element| element.state.clone().into_boxed_slice()).collect(),
                }))
            }
        };
        let objects = match set.data {
            Some(DataType::Object(words)) => Some(words),
            _ => None,
        };
        Self {
            elements,
            objects,
            default_timeout_ms: set.timeout_ms,
            element_state: set.element_state.clone(),
        }
    }
}

fn has_parts(set: &Set) -> bool {
    matches!(&set.data, Some(DataType::Values { types, .. }) if types.len() > 1)
}

/// The address that `bytes` are.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}
