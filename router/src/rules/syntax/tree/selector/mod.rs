//! What of a packet, its flow or its surroundings is looked at.

mod header;
mod key;
mod option;
mod surroundings;

pub use header::*;
pub use key::*;
pub use option::*;
pub use surroundings::*;

use super::words::words;
use super::{Expression, Family};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `meta KEY`; many keys do without the word `meta`.
    Meta(MetaKey),
    /// `ct KEY`, `ct original|reply KEY`.
    Ct {
        /// Of which direction, if the text says so.
        direction: Option<CtDirection>,
        /// What of the flow.
        key: CtKey,
    },
    /// A field of a header.
    Field(Field),
    /// `@BASE,OFFSET,LENGTH`.
    Raw(RawPayload),
    /// `exthdr KIND`: whether there is such an IPv6 extension header.
    ExtensionHeader(ExtensionHeader),
    /// A field of an IPv6 extension header.
    ExtensionField(ExtensionField),
    /// `tcp option KIND [FIELD]`; without a field: whether there is such an option.
    TcpOption {
        /// Which option.
        option: TcpOption,
        /// What of it.
        field: Option<TcpOptionField>,
    },
    /// `tcp option @KIND,OFFSET,LENGTH`: offset and length in bits.
    TcpOptionRaw {
        /// Which option.
        option: TcpOption,
        /// From the beginning of the option.
        offset_bits: u32,
        /// From 1 to 520.
        length_bits: u32,
    },
    /// `ip option KIND [FIELD]`; without a field: whether there is such an option.
    IpOption {
        /// Which option.
        option: IpOption,
        /// What of it.
        field: Option<IpOptionField>,
    },
    /// `sctp chunk KIND [FIELD]`; without a field: whether there is such a chunk.
    SctpChunk {
        /// Which chunk.
        chunk: SctpChunk,
        /// What of it.
        field: Option<SctpChunkField>,
    },
    /// `dccp option TYPE`: whether there is such an option.
    DccpOption(u8),
    /// `fib KEY . KEY … RESULT`: what the routing tables say.
    Fib {
        /// What is asked with, in the order written, none twice.
        keys: Vec<FibKey>,
        /// What is asked for.
        result: FibResult,
    },
    /// `rt [ip|ip6] KEY`: of the route the packet takes.
    Route {
        /// `ip` or `ip6`, if the text says so.
        family: Option<Family>,
        /// What of the route.
        key: RouteKey,
    },
    /// `socket KEY`.
    Socket(SocketKey),
    /// `socket cgroupv2 level N`.
    SocketCgroup {
        /// How far up from the root.
        level: u8,
    },
    /// `osf [ttl loose|skip] name|version`.
    Fingerprint {
        /// How the time to live is compared; the fingerprint's own, if the text says nothing.
        ttl: Option<FingerprintTtl>,
        /// Whether the version is asked for along with the name.
        version: bool,
    },
    /// `ipsec in|out [spnum N] [ip|ip6] KEY`.
    Ipsec {
        /// Of packets that came in or go out.
        direction: IpsecDirection,
        /// Which of several transformations, 0 if the text says nothing.
        number: u8,
        /// `ip` or `ip6`, with addresses.
        family: Option<Family>,
        /// What of it.
        key: IpsecKey,
    },
    /// `tunnel id|path`.
    Tunnel(TunnelKey),
    /// `vxlan|geneve|gre|gretap` followed by a field of the packet inside.
    Inner {
        /// What the packet is wrapped in.
        tunnel: InnerTunnel,
        /// What of the packet inside.
        selector: Box<Selector>,
    },
    /// `numgen inc|random mod N [offset N]`.
    NumberGenerator {
        /// Counting up, or at random.
        mode: NumberMode,
        /// Results are below this, before the offset is added.
        modulus: u32,
        /// Added to each result.
        offset: u32,
    },
    /// `jhash EXPRESSION mod N [seed N] [offset N]`.
    JenkinsHash {
        /// What is hashed.
        expression: Box<Expression>,
        /// Results are below this, before the offset is added.
        modulus: u32,
        /// The hash's key; one at random, if the text says nothing.
        seed: Option<u32>,
        /// Added to each result.
        offset: u32,
    },
    /// `symhash mod N [offset N]`: both directions of a flow hash alike.
    SymmetricHash {
        /// Results are below this, before the offset is added.
        modulus: u32,
        /// Added to each result.
        offset: u32,
    },
}

/// A field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `ether`.
    Ether(EtherField),
    /// `vlan`.
    Vlan(VlanField),
    /// `arp`.
    Arp(ArpField),
    /// `ip`.
    Ipv4(Ipv4Field),
    /// `ip6`.
    Ipv6(Ipv6Field),
    /// `icmp`.
    Icmp(IcmpField),
    /// `icmpv6`.
    Icmpv6(Icmpv6Field),
    /// `igmp`.
    Igmp(IgmpField),
    /// `tcp`.
    Tcp(TcpField),
    /// `udp`.
    Udp(UdpField),
    /// `udplite`.
    UdpLite(UdpLiteField),
    /// `sctp`.
    Sctp(SctpField),
    /// `dccp`.
    Dccp(DccpField),
    /// `th`: of any protocol that has ports.
    Transport(TransportField),
    /// `esp`.
    Esp(EspField),
    /// `ah`.
    Ah(AhField),
    /// `comp`.
    Comp(CompField),
    /// `gre`.
    Gre(GreField),
    /// `vxlan`.
    Vxlan(VxlanField),
    /// `geneve`.
    Geneve(GeneveField),
}

/// `@BASE,OFFSET,LENGTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawPayload {
    /// Where the offset begins.
    pub base: RawBase,
    /// In bits.
    pub offset_bits: u32,
    /// In bits, from 1 to 520.
    pub length_bits: u32,
}

words! {
/// Where the offset of a raw payload begins.
RawBase {
    /// The link header.
    Link = "ll",
    /// The network header.
    Network = "nh",
    /// The transport header.
    Transport = "th",
    /// What the transport header carries.
    Inner = "ih",
}}
