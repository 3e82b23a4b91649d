//! What a rule reads of a packet and its flow, and what it may make of it before it compares.

use std::sync::Arc;

use super::{SetRef, Type, Value};
use crate::rules::state::Sequence;

/// A value to be had of a packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// Read of the packet, its flow or its way.
    Select(Selector),
    /// Known beforehand.
    Value(Type, Value),
    /// `(inner & mask) ^ flip`, which `and`, `or`, `xor` and `not` with constants come down to.
    Bitwise {
        /// What is changed.
        inner: Box<Expression>,
        /// Bits kept.
        mask: Value,
        /// Bits flipped afterwards.
        flip: Value,
    },
    /// `inner << bits` (positive) or `inner >> bits` (negative).
    Shift {
        /// What is shifted.
        inner: Box<Expression>,
        /// How far, to the left.
        bits: i8,
    },
    /// Two expressions joined by `|`, `&` or `^`, neither of them constant.
    Join {
        /// Which: `b'|'`, `b'&'`, `b'^'`.
        operator: u8,
        /// Left.
        left: Box<Expression>,
        /// Right.
        right: Box<Expression>,
    },
    /// `a . b . c`
    Concat(Vec<Expression>),
    /// `key map @m`: no data for the key ends the rule.
    Map {
        /// What is looked up.
        key: Box<Expression>,
        /// Where.
        map: SetRef,
        /// Type of the data.
        data: Type,
    },
    /// `numgen`
    Number {
        /// How numbers come.
        source: NumberSource,
        /// They are below this.
        modulus: u32,
        /// Added afterwards.
        offset: u32,
    },
    /// `jhash` or `symhash`.
    Hash(Box<Hash>),
}

/// How `numgen` makes numbers.
#[derive(Clone, Debug)]
pub enum NumberSource {
    /// `inc`: one after another, for all packets of the rule.
    Incremental(Arc<Sequence>),
    /// `random`
    Random,
}

/// How they come is what counts, not how far they have come.
impl PartialEq for NumberSource {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Incremental(_), Self::Incremental(_)) | (Self::Random, Self::Random))
    }
}

/// A hash of a packet's fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Hash {
    /// What is hashed (`jhash`); `None` hashes the flow (`symhash`).
    pub key: Option<Expression>,
    /// Results are below this.
    pub modulus: u32,
    /// Seed; 0 lets the router choose one.
    pub seed: u32,
    /// Added afterwards.
    pub offset: u32,
}

/// What can be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// A field of a header with a name.
    Field(&'static Field),
    /// `@nh,offset,length`
    Raw {
        /// From where.
        base: Base,
        /// Offset in bits.
        offset: u16,
        /// Bits; at most 128.
        length: u16,
    },
    /// `meta`
    Meta(MetaKey),
    /// `ct`
    Ct {
        /// What of the flow.
        key: Ctype,
        /// `original` or `reply`.
        direction: Option<Direction>,
    },
    /// `fib`
    Fib {
        /// What is looked up.
        by: FibBy,
        /// What of the answer is read.
        result: FibResult,
    },
    /// `rt`
    Route(RouteKey),
    /// An IPv6 extension header, or a field of one.
    Extension(ExtensionField),
    /// `tcp option` or `ip option`.
    Option(OptionField),
}

/// Where a field's offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Link header (`@ll`).
    Link,
    /// Network header (`@nh`).
    Network,
    /// Transport header (`@th`).
    Transport,
    /// Behind the transport header (`@ih`).
    Inner,
}

/// A named field of a header. All there are stand in one table of the checker.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Header, as nft calls it, such as `ip`.
    pub header: &'static str,
    /// Field, such as `saddr`.
    pub name: &'static str,
    /// From where the offset counts.
    pub base: Base,
    /// Offset in bits.
    pub offset: u16,
    /// Length in bits.
    pub length: u16,
    /// Type.
    pub kind: Type,
    /// What the packet must be for the field to be there.
    pub requires: Requires,
}

/// What a packet must be, or the rule does not match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    /// EtherType of the network protocol (0x0800, 0x86dd, 0x0806); `None`: any.
    pub network: Option<u16>,
    /// Transport protocols of which it must be one; empty: any.
    pub transport: &'static [u8],
    /// ICMP or ICMPv6 types of which it must be one, for fields that only these have; empty: any.
    pub icmp_types: &'static [u8],
}

/// `meta` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in `man nft`, META EXPRESSIONS")]
pub enum MetaKey {
    Length,
    Protocol,
    NetfilterProtocol,
    TransportProtocol,
    Mark,
    Priority,
    InputIndex,
    OutputIndex,
    InputName,
    OutputName,
    InputType,
    OutputType,
    InputKind,
    OutputKind,
    InputGroup,
    OutputGroup,
    PacketType,
    Random,
    Cpu,
    Time,
    Day,
    Hour,
    /// `rtclassid`
    Realm,
    /// `ibrname`: the bridge that the port of entry is part of.
    InputBridge,
    /// `obrname`: the bridge that the port of exit is part of.
    OutputBridge,
    /// `ibrhwaddr`: the link address of that bridge.
    InputBridgeAddress,
}

/// `ct` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as in `man nft`, CONNTRACK EXPRESSIONS")]
pub enum Ctype {
    State,
    Direction,
    Status,
    Mark,
    Expiration,
    Helper,
    Label,
    Id,
    NetworkProtocol,
    Protocol,
    Zone,
    /// `ct original ip saddr` and, in tables of one family, `ct original saddr`.
    SourceIpv4,
    DestinationIpv4,
    SourceIpv6,
    DestinationIpv6,
    SourcePort,
    DestinationPort,
    Packets,
    Bytes,
    /// Bytes a packet on the average.
    AverageBytes,
}

/// Direction in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// `original`
    Original,
    /// `reply`
    Reply,
}

/// What `fib` looks up: `saddr . iif` and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FibBy {
    /// The source address is looked up.
    pub source: bool,
    /// The destination address is looked up.
    pub destination: bool,
    /// With the packet's mark.
    pub mark: bool,
    /// Restricted to the port of entry.
    pub input: bool,
    /// Restricted to the port of exit.
    pub output: bool,
}

/// What of the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FibResult {
    /// `oif`
    Index,
    /// `oifname`
    Name,
    /// `type`
    AddressType,
    /// `check`: whether there is one (`exists`, `missing`).
    Present,
}

/// `rt` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKey {
    /// `classid`
    Realm,
    /// `ip nexthop`
    NextHopIpv4,
    /// `ip6 nexthop`
    NextHopIpv6,
    /// `mtu`: the largest TCP segment of the way back (`tcp option maxseg size set rt mtu`).
    Mtu,
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionField {
    /// Its protocol number, such as 43.
    pub header: u8,
    /// For listing: header and field as nft calls them; no field asks whether the header is there.
    pub names: (&'static str, Option<&'static str>),
    /// Offset in bits from its start.
    pub offset: u16,
    /// Bits; 0 asks whether it is there.
    pub length: u16,
    /// Type.
    pub kind: Type,
}

/// An option of a TCP or IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionField {
    /// Of the TCP header; else of the IPv4 header.
    pub of_tcp: bool,
    /// Option kind.
    pub option: u8,
    /// For listing: option and field as nft calls them; no field asks whether the option is there.
    pub names: (&'static str, Option<&'static str>),
    /// Offset in bits from the option's start (its kind byte).
    pub offset: u16,
    /// Bits; 0 asks whether it is there.
    pub length: u16,
    /// Type.
    pub kind: Type,
}

impl Expression {
    /// The types of its parts: more than one for a concatenation.
    #[must_use]
    pub fn types(&self) -> Vec<Type> {
        match self {
            Self::Concat(parts) => parts.iter().flat_map(Self::types).collect(),
            Self::Select(selector) => vec![selector.kind()],
            Self::Value(kind, _) | Self::Map { data: kind, .. } => vec![*kind],
            Self::Bitwise { inner, .. } | Self::Shift { inner, .. } | Self::Join { left: inner, .. } => {
                inner.types()
            }
            Self::Number { .. } | Self::Hash(_) => vec![Type::Integer(32)],
        }
    }
}

impl Selector {
    /// Type of what is read.
    #[must_use]
    pub const fn kind(&self) -> Type {
        match self {
            Self::Field(field) => field.kind,
            Self::Raw { length, .. } => Type::Integer(*length),
            Self::Meta(key) => key.kind(),
            Self::Ct { key, .. } => key.kind(),
            Self::Fib { result, .. } => match result {
                FibResult::Index => Type::InterfaceIndex,
                FibResult::Name => Type::InterfaceName,
                FibResult::AddressType => Type::FibAddressType,
                FibResult::Present => Type::Boolean,
            },
            Self::Route(key) => match key {
                RouteKey::Realm => Type::Realm,
                RouteKey::NextHopIpv4 => Type::Ipv4Address,
                RouteKey::NextHopIpv6 => Type::Ipv6Address,
                RouteKey::Mtu => Type::Integer(16),
            },
            Self::Extension(field) => {
                if field.length == 0 {
                    Type::Boolean
                } else {
                    field.kind
                }
            }
            Self::Option(field) => {
                if field.length == 0 {
                    Type::Boolean
                } else {
                    field.kind
                }
            }
        }
    }
}

impl MetaKey {
    /// Type of its value.
    #[must_use]
    pub const fn kind(self) -> Type {
        match self {
            Self::Length | Self::Random | Self::Cpu => Type::Integer(32),
            Self::Protocol => Type::EtherType,
            Self::NetfilterProtocol => Type::NetfilterProtocol,
            Self::TransportProtocol => Type::Protocol,
            Self::Mark => Type::Mark,
            Self::Priority => Type::ClassId,
            Self::InputIndex | Self::OutputIndex => Type::InterfaceIndex,
            Self::InputName | Self::OutputName | Self::InputBridge | Self::OutputBridge => {
                Type::InterfaceName
            }
            Self::InputBridgeAddress => Type::EtherAddress,
            Self::InputType | Self::OutputType => Type::LinkType,
            Self::InputKind | Self::OutputKind => Type::Text(16),
            Self::InputGroup | Self::OutputGroup => Type::DeviceGroup,
            Self::PacketType => Type::PacketType,
            Self::Time => Type::Time,
            Self::Day => Type::Day,
            Self::Hour => Type::Hour,
            Self::Realm => Type::Realm,
        }
    }
}

impl Ctype {
    /// Type of its value.
    #[must_use]
    pub const fn kind(self) -> Type {
        match self {
            Self::State => Type::CtState,
            Self::Direction => Type::CtDirection,
            Self::Status => Type::CtStatus,
            Self::Mark => Type::Mark,
            Self::Expiration => Type::Duration,
            Self::Helper => Type::Text(16),
            Self::Label => Type::CtLabel,
            Self::Id => Type::Integer(32),
            Self::NetworkProtocol => Type::NetfilterProtocol,
            Self::Protocol => Type::Protocol,
            Self::Zone => Type::Integer(16),
            Self::SourceIpv4 | Self::DestinationIpv4 => Type::Ipv4Address,
            Self::SourceIpv6 | Self::DestinationIpv6 => Type::Ipv6Address,
            Self::SourcePort | Self::DestinationPort => Type::Service,
            Self::Packets | Self::Bytes | Self::AverageBytes => Type::Integer(64),
        }
    }
}
