//! What rules are compiled into.

use std::collections::HashMap;
use std::sync::Arc;

use conntrack::Direction;

use super::tables::{KeyParts, Lookup};
use crate::chain::Family;
use crate::rules::model::{self, Base, Ctype, FibBy, FibResult, MetaKey, OptionField, RouteKey, Statement};
use crate::rules::state::Sequence;

/// Values of up to eight bytes that are kept for a packet.
pub(super) const NARROW_SLOTS: usize = 16;
/// Values of up to sixteen bytes that are kept for a packet.
pub(super) const WIDE_SLOTS: usize = 8;

/// The chains of one table, compiled for one network family.
pub struct Code {
    pub(super) family: Family,
    pub(super) instructions: Vec<Instruction>,
    /// Where each chain of the table begins, in the table's order.
    pub(super) entries: Vec<u32>,
    /// Chains by name, for verdicts that packets have put into maps.
    pub(super) chains: HashMap<Arc<str>, u32>,
    /// Objects, for maps that name them.
    pub(super) objects: Vec<NamedObject>,
    pub(super) tests: Vec<Test>,
    pub(super) wide_tests: Vec<WideTest>,
    pub(super) narrow: Vec<Load>,
    pub(super) wide: Vec<Load>,
    pub(super) sets: Vec<Arc<Lookup>>,
}

/// An object of the table.
pub(super) struct NamedObject {
    pub(super) words: &'static str,
    pub(super) name: Arc<str>,
    pub(super) object: Object,
}

/// What an object does to a packet.
#[derive(Clone)]
pub(super) enum Object {
    /// A counter, quota or limit.
    State(Statement),
    /// Assigns a helper to flows of this protocol.
    Helper { helper: Arc<str>, protocol: u8 },
}

/// One step of a rule, and where the next rule begins.
pub(super) struct Instruction {
    pub(super) operation: Operation,
    /// Goes on here if the rule ends with this step.
    pub(super) next_rule: u32,
}

/// Long chains are walked in memory: what seldom occurs is elsewhere.
const _: () = assert!(size_of::<Instruction>() <= 24);

pub(super) enum Operation {
    /// All of these tests hold.
    Tests {
        first: u32,
        count: u32,
    },
    /// This test of a wide value holds.
    Wide(u32),
    /// A value of up to eight bits is one of these, by bit.
    OneOf(Box<(Number, [u128; 2])>),
    /// Two values compare so.
    Compare(Box<Compare>),
    /// A key is in a set, or not.
    Member(Box<Member>),
    /// The value cannot be had in this family: the rule ends.
    Never,
    /// A verdict.
    Verdict(Fate),
    /// The verdict found.
    VerdictMap(Box<Lookedup>),
    /// Counters, quotas, limits and their like.
    State(Box<Statement>),
    /// The object found.
    ObjectMap(Box<(Lookedup, &'static str)>),
    /// A named object that is no state.
    Helper(Box<(Arc<str>, u8)>),
    Log(Box<LogRule>),
    Reject(model::Reject),
    Notrack,
    Set(Box<(Target, Number)>),
    /// Bits are added to the flow's labels.
    SetLabel(Box<Number>),
    ResetOption(Box<OptionField>),
    Nat(Box<Nat>),
    Dynamic(Box<Dynamic>),
    /// To one of several queues, or to one that an expression chooses.
    Queue(Box<QueueRule>),
    /// A rule begins that a traced packet is told to have met.
    Trace(u64),
    /// The chain ends.
    End,
}

/// A comparison of a value of up to eight bytes that is kept for a packet: with the bits outside `mask` cleared it
/// lies `span` above `low` at most. Equality, ranges, order, prefixes and bits all come down to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub(super) mask: u64,
    pub(super) low: u64,
    pub(super) span: u64,
    pub(super) slot: u8,
    pub(super) negate: bool,
}

/// As [`Test`], of a value of up to sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WideTest {
    pub(super) mask: u128,
    pub(super) low: u128,
    pub(super) span: u128,
    pub(super) slot: u8,
    pub(super) negate: bool,
}

/// A comparison that is no [`Test`].
pub(super) struct Compare {
    pub(super) left: Number,
    pub(super) comparison: model::Comparison,
    pub(super) right: Right,
}

pub(super) enum Right {
    /// From, to.
    Range(u128, u128),
    /// As the left side under a mask.
    Masked(u128, u128),
    Number(Number),
}

pub(super) struct Member {
    pub(super) key: KeyParts,
    pub(super) set: u32,
    pub(super) negate: bool,
}

/// A key and where it is looked up.
pub(super) struct Lookedup {
    pub(super) key: KeyParts,
    pub(super) set: u32,
}

/// A value of up to sixteen bytes, as a number.
pub(super) enum Number {
    Constant(u128),
    Load(Load),
    /// A value kept for the packet.
    Narrow(u8),
    Wide(u8),
    Bitwise {
        inner: Box<Number>,
        mask: u128,
        flip: u128,
    },
    Shift {
        inner: Box<Number>,
        bits: i8,
        width: u8,
    },
    Join {
        operator: u8,
        left: Box<Number>,
        right: Box<Number>,
    },
    Map(Box<Lookedup>),
    Incremental {
        sequence: Arc<Sequence>,
        modulus: u32,
        offset: u32,
    },
    Random {
        modulus: u32,
        offset: u32,
    },
    Hash {
        key: Option<Box<KeyParts>>,
        modulus: u32,
        seed: u32,
        offset: u32,
    },
}

/// What can be read of a packet, its flow, or its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    Payload(Payload),
    /// Of a port a bit by its number, if there are at most 64 ports.
    InputBit,
    OutputBit,
    Meta(MetaKey),
    Ct(Ctype, Option<Direction>),
    Fib(FibBy, FibResult),
    Route(RouteKey),
    /// Bits of an IPv6 extension header: protocol number, first bit, bits; no bits ask whether it is there.
    Extension(u8, u16, u16),
    /// Bits of a TCP or IPv4 option: of TCP, kind, first bit, bits.
    Option(bool, u8, u16, u16),
}

/// Bits of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) base: Base,
    /// First bit.
    pub(super) offset: u16,
    /// Bits, at most 128.
    pub(super) length: u16,
}

/// A verdict with its chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Accept,
    Drop,
    Continue,
    Return,
    /// To a chain, by its place in the table.
    Jump(u32),
    Goto(u32),
    Queue {
        number: u16,
        bypass: bool,
    },
}

/// What a `set` statement changes.
pub(super) enum Target {
    Payload { payload: Payload, sums: Sums },
    Option(OptionField),
    MetaMark,
    MetaPriority,
    MetaPacketType,
    MetaBroute,
    MetaTrace,
    CtMark,
    CtZone(Option<Direction>),
}

/// Which checksums cover a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    /// Offset of the checksum of the header itself, in bytes from its start.
    pub(super) own: Option<u16>,
    /// The transport checksum covers the field as part of the pseudo header.
    pub(super) pseudo: bool,
    /// The field is covered by a CRC32c over all of the SCTP packet.
    pub(super) crc: bool,
}

/// A `log` statement.
pub(super) struct LogRule {
    pub(super) prefix: Arc<str>,
    pub(super) level: u8,
    pub(super) flags: u8,
    pub(super) group: Option<u16>,
    /// Bytes of the packet that are kept for it at most.
    pub(super) kept_max: usize,
}

/// A `queue` statement that leaves open which queue.
pub(super) struct QueueRule {
    /// Of several: the first, and how many there are.
    pub(super) first: u16,
    pub(super) count: u32,
    /// Chooses, if the statement has an expression.
    pub(super) choose: Option<Number>,
    pub(super) bypass: bool,
}

pub(super) struct Nat {
    pub(super) kind: model::NatKind,
    pub(super) address: Option<Address>,
    pub(super) ids: Option<Ids>,
    pub(super) flags: crate::nat::Flags,
}

pub(super) enum Address {
    One(Number),
    Range(std::net::IpAddr, std::net::IpAddr),
    /// From a map: the place of its data, with a port behind the address or not.
    Mapped {
        lookup: Lookedup,
        with_id: bool,
    },
}

pub(super) enum Ids {
    Fixed(u16, u16),
    Computed(Number),
}

pub(super) struct Dynamic {
    pub(super) operation: model::DynamicOperation,
    pub(super) set: u32,
    pub(super) key: KeyParts,
    pub(super) data: Option<KeyParts>,
    pub(super) verdict: Option<model::Verdict>,
    pub(super) timeout: Option<std::time::Duration>,
    pub(super) state: Vec<Statement>,
}

impl Code {
    /// The chain by its place in the table.
    pub(super) fn entry(&self, chain: u32) -> usize {
        self.entries[chain as usize] as usize
    }

    /// Instructions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instructions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instructions.is_empty()
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Code of {} instructions for {}", self.len(), self.family.name())
    }
}
