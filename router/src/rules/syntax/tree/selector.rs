//! What of a packet, its flow or its surroundings is looked at.

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

words! {
/// `meta` keys.
MetaKey {
    /// Length of the packet in bytes.
    Length = "length",
    /// EtherType.
    Protocol = "protocol",
    /// Traffic class.
    Priority = "priority",
    /// A random number.
    Random = "random",
    /// Security mark.
    Secmark = "secmark",
    /// `ipv4` or `ipv6`.
    Nfproto = "nfproto",
    /// Protocol behind the network headers.
    L4proto = "l4proto",
    /// Kind of the input port.
    Iifkind = "iifkind",
    /// Kind of the output port.
    Oifkind = "oifkind",
    /// VLAN of the bridge port.
    Ibrpvid = "ibrpvid",
    /// VLAN protocol of the bridge port.
    Ibrvproto = "ibrvproto",
    /// Slave port of a VRF, by index.
    Sdif = "sdif",
    /// Slave port of a VRF, by name.
    Sdifname = "sdifname",
    /// Whether a bridge hands the packet up.
    Broute = "broute",
    /// MAC of the bridge.
    Ibrhwaddr = "ibrhwaddr",
    /// Packet mark.
    Mark = "mark",
    /// Input port by index.
    Iif = "iif",
    /// Input port by name.
    Iifname = "iifname",
    /// Link type of the input port.
    Iiftype = "iiftype",
    /// Output port by index.
    Oif = "oif",
    /// Output port by name.
    Oifname = "oifname",
    /// Link type of the output port.
    Oiftype = "oiftype",
    /// User of the sending socket.
    Skuid = "skuid",
    /// Group of the sending socket.
    Skgid = "skgid",
    /// Whether the packet is traced.
    Nftrace = "nftrace",
    /// Realm of the route.
    Rtclassid = "rtclassid",
    /// Input bridge by name.
    Ibrname = "ibrname" | "ibriport",
    /// Output bridge by name.
    Obrname = "obrname" | "obriport",
    /// To this host, broadcast, multicast or another host.
    Pkttype = "pkttype",
    /// Processor.
    Cpu = "cpu",
    /// Group of the input port.
    Iifgroup = "iifgroup",
    /// Group of the output port.
    Oifgroup = "oifgroup",
    /// Control group.
    Cgroup = "cgroup",
    /// Whether the packet came through IPsec (`meta ipsec`, formerly `meta secpath`).
    Ipsec = "ipsec" | "secpath",
    /// Moment.
    Time = "time",
    /// Day of the week.
    Day = "day",
    /// Time of the day.
    Hour = "hour",
}}

impl MetaKey {
    /// Whether nft reads the key without `meta` before it.
    #[must_use]
    pub const fn stands_alone(self) -> bool {
        !matches!(
            self,
            Self::Length
                | Self::Protocol
                | Self::Priority
                | Self::Random
                | Self::Secmark
                | Self::Nfproto
                | Self::L4proto
                | Self::Iifkind
                | Self::Oifkind
                | Self::Ibrpvid
                | Self::Ibrvproto
                | Self::Sdif
                | Self::Sdifname
                | Self::Broute
                | Self::Ibrhwaddr
        )
    }
}

words! {
/// Direction of a flow.
CtDirection {
    /// That of its first packet.
    Original = "original",
    /// The other one.
    Reply = "reply",
}}

words! {
/// `ct` keys.
CtKey {
    /// State of the packet in its flow.
    State = "state",
    /// Direction of the packet.
    Direction = "direction",
    /// Status bits of the flow.
    Status = "status",
    /// Mark of the flow.
    Mark = "mark",
    /// Security mark of the flow.
    Secmark = "secmark",
    /// How long the flow lives without a packet.
    Expiration = "expiration",
    /// Name of its helper.
    Helper = "helper",
    /// Labels.
    Label = "label",
    /// Network protocol.
    L3proto = "l3proto",
    /// Protocol behind the network header.
    Protocol = "protocol",
    /// Source address, of the family of the rule.
    Saddr = "saddr",
    /// Destination address, of the family of the rule.
    Daddr = "daddr",
    /// Source address, IPv4.
    SaddrIpv4 = "ip saddr",
    /// Destination address, IPv4.
    DaddrIpv4 = "ip daddr",
    /// Source address, IPv6.
    SaddrIpv6 = "ip6 saddr",
    /// Destination address, IPv6.
    DaddrIpv6 = "ip6 daddr",
    /// Source port or id.
    ProtoSrc = "proto-src",
    /// Destination port or id.
    ProtoDst = "proto-dst",
    /// Packets counted.
    Packets = "packets",
    /// Bytes counted.
    Bytes = "bytes",
    /// Bytes a packet on average.
    Avgpkt = "avgpkt",
    /// Zone.
    Zone = "zone",
    /// Which events are told; only to set.
    Event = "event",
    /// Number of the flow.
    Id = "id",
}}

impl CtKey {
    /// Whether a direction may stand before it.
    #[must_use]
    pub const fn has_directions(self) -> bool {
        matches!(
            self,
            Self::Saddr
                | Self::Daddr
                | Self::SaddrIpv4
                | Self::DaddrIpv4
                | Self::SaddrIpv6
                | Self::DaddrIpv6
                | Self::L3proto
                | Self::Protocol
                | Self::ProtoSrc
                | Self::ProtoDst
                | Self::Bytes
                | Self::Packets
                | Self::Avgpkt
                | Self::Zone
        )
    }
}

words! {
/// `ether` fields.
EtherField {
    /// Source.
    Saddr = "saddr",
    /// Destination.
    Daddr = "daddr",
    /// EtherType.
    Type = "type",
}}

words! {
/// `vlan` fields.
VlanField {
    /// Number.
    Id = "id",
    /// Drop eligible, the old name.
    Cfi = "cfi",
    /// Drop eligible.
    Dei = "dei",
    /// Priority.
    Pcp = "pcp",
    /// EtherType behind the tag.
    Type = "type",
}}

words! {
/// `arp` fields.
ArpField {
    /// Kind of hardware.
    Htype = "htype",
    /// Kind of protocol.
    Ptype = "ptype",
    /// Length of hardware addresses.
    Hlen = "hlen",
    /// Length of protocol addresses.
    Plen = "plen",
    /// Request, reply and others.
    Operation = "operation",
    /// Sender's MAC.
    SaddrEther = "saddr ether",
    /// Target's MAC.
    DaddrEther = "daddr ether",
    /// Sender's address.
    SaddrIp = "saddr ip",
    /// Target's address.
    DaddrIp = "daddr ip",
}}

words! {
/// `ip` fields.
Ipv4Field {
    /// Version.
    Version = "version",
    /// Length of the header in 32-bit words.
    Hdrlength = "hdrlength",
    /// Class of service.
    Dscp = "dscp",
    /// Congestion bits.
    Ecn = "ecn",
    /// Length in bytes.
    Length = "length",
    /// Identification.
    Id = "id",
    /// Flags and fragment offset.
    FragOff = "frag-off",
    /// Time to live.
    Ttl = "ttl",
    /// Protocol.
    Protocol = "protocol",
    /// Header checksum.
    Checksum = "checksum",
    /// Source.
    Saddr = "saddr",
    /// Destination.
    Daddr = "daddr",
}}

words! {
/// `ip6` fields.
Ipv6Field {
    /// Version.
    Version = "version",
    /// Class of service.
    Dscp = "dscp",
    /// Congestion bits.
    Ecn = "ecn",
    /// Flow label.
    Flowlabel = "flowlabel",
    /// Payload length.
    Length = "length",
    /// Next header.
    Nexthdr = "nexthdr",
    /// Hop limit.
    Hoplimit = "hoplimit",
    /// Source.
    Saddr = "saddr",
    /// Destination.
    Daddr = "daddr",
}}

words! {
/// `icmp` fields.
IcmpField {
    /// Type.
    Type = "type",
    /// Code.
    Code = "code",
    /// Checksum.
    Checksum = "checksum",
    /// Identifier of an echo.
    Id = "id",
    /// Sequence number of an echo.
    Sequence = "sequence",
    /// Gateway of a redirect.
    Gateway = "gateway",
    /// MTU of a fragmentation needed.
    Mtu = "mtu",
}}

words! {
/// `icmpv6` fields.
Icmpv6Field {
    /// Type.
    Type = "type",
    /// Code.
    Code = "code",
    /// Checksum.
    Checksum = "checksum",
    /// Pointer of a parameter problem.
    ParamProblem = "param-problem" | "parameter-problem",
    /// MTU of a packet too big.
    Mtu = "mtu" | "packet-too-big",
    /// Identifier of an echo.
    Id = "id",
    /// Sequence number of an echo.
    Sequence = "sequence",
    /// Maximum response delay of a listener query.
    MaxDelay = "max-delay",
    /// Target of a neighbor message.
    Taddr = "taddr",
    /// Destination of a redirect.
    Daddr = "daddr",
}}

words! {
/// `igmp` fields.
IgmpField {
    /// Type.
    Type = "type",
    /// Checksum.
    Checksum = "checksum",
    /// Maximum response time.
    Mrt = "mrt",
    /// Group.
    Group = "group",
}}

words! {
/// `tcp` fields.
TcpField {
    /// Source port.
    Sport = "sport",
    /// Destination port.
    Dport = "dport",
    /// Sequence number.
    Sequence = "sequence",
    /// Acknowledged number.
    Ackseq = "ackseq",
    /// Length of the header in 32-bit words.
    Doff = "doff",
    /// Reserved bits.
    Reserved = "reserved",
    /// Flags.
    Flags = "flags",
    /// Window.
    Window = "window",
    /// Checksum.
    Checksum = "checksum",
    /// Urgent pointer.
    Urgptr = "urgptr",
}}

words! {
/// `udp` fields.
UdpField {
    /// Source port.
    Sport = "sport",
    /// Destination port.
    Dport = "dport",
    /// Length.
    Length = "length",
    /// Checksum.
    Checksum = "checksum",
}}

words! {
/// `udplite` fields.
UdpLiteField {
    /// Source port.
    Sport = "sport",
    /// Destination port.
    Dport = "dport",
    /// How much the checksum covers.
    Csumcov = "csumcov",
    /// Checksum.
    Checksum = "checksum",
}}

words! {
/// `sctp` fields.
SctpField {
    /// Source port.
    Sport = "sport",
    /// Destination port.
    Dport = "dport",
    /// Verification tag.
    Vtag = "vtag",
    /// Checksum.
    Checksum = "checksum",
}}

words! {
/// `dccp` fields.
DccpField {
    /// Source port.
    Sport = "sport",
    /// Destination port.
    Dport = "dport",
    /// Type.
    Type = "type",
}}

words! {
/// `th` fields.
TransportField {
    /// Source port.
    Sport = "sport",
    /// Destination port.
    Dport = "dport",
}}

words! {
/// `esp` fields.
EspField {
    /// Security parameters index.
    Spi = "spi",
    /// Sequence number.
    Sequence = "sequence",
}}

words! {
/// `ah` fields.
AhField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
    /// Reserved bits.
    Reserved = "reserved",
    /// Security parameters index.
    Spi = "spi",
    /// Sequence number.
    Sequence = "sequence",
}}

words! {
/// `comp` fields.
CompField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Flags.
    Flags = "flags",
    /// Compression parameter index.
    Cpi = "cpi",
}}

words! {
/// `gre` fields.
GreField {
    /// Version.
    Version = "version",
    /// Flags.
    Flags = "flags",
    /// EtherType inside.
    Protocol = "protocol",
}}

words! {
/// `vxlan` fields.
VxlanField {
    /// Network identifier.
    Vni = "vni",
    /// Flags.
    Flags = "flags",
}}

words! {
/// `geneve` fields.
GeneveField {
    /// Network identifier.
    Vni = "vni",
    /// EtherType inside.
    Type = "type",
}}

words! {
/// What a packet inside another is wrapped in.
InnerTunnel {
    /// VXLAN.
    Vxlan = "vxlan",
    /// Geneve.
    Geneve = "geneve",
    /// GRE around a network packet.
    Gre = "gre",
    /// GRE around an Ethernet frame.
    Gretap = "gretap",
}}

words! {
/// IPv6 extension headers that `exthdr` knows.
ExtensionHeader {
    /// Hop-by-hop options.
    HopByHop = "hbh",
    /// Routing.
    Routing = "rt",
    /// Fragment.
    Fragment = "frag",
    /// Destination options.
    Destination = "dst",
    /// Mobility.
    Mobility = "mh",
}}

/// A field of an IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionField {
    /// `hbh`.
    HopByHop(OptionsField),
    /// `dst`.
    Destination(OptionsField),
    /// `rt`.
    Routing(RoutingField),
    /// `rt0 addr[N]`, counted from 1.
    Routing0Address(u8),
    /// `rt2 addr`.
    Routing2Address,
    /// `srh`.
    Segments(SegmentsField),
    /// `srh sid[N]`, counted from 1.
    SegmentId(u8),
    /// `frag`.
    Fragment(FragmentField),
    /// `mh`.
    Mobility(MobilityField),
}

words! {
/// Fields of `hbh` and `dst`.
OptionsField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
}}

words! {
/// Fields of `rt`.
RoutingField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
    /// Type.
    Type = "type",
    /// Segments left.
    SegLeft = "seg-left",
}}

words! {
/// Fields of `srh`.
SegmentsField {
    /// Last entry.
    LastEntry = "last-entry",
    /// Flags.
    Flags = "flags",
    /// Tag.
    Tag = "tag",
}}

words! {
/// Fields of `frag`.
FragmentField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Reserved bits.
    Reserved = "reserved",
    /// Fragment offset.
    FragOff = "frag-off",
    /// More reserved bits.
    Reserved2 = "reserved2",
    /// Whether more follow.
    MoreFragments = "more-fragments",
    /// Identification.
    Id = "id",
}}

words! {
/// Fields of `mh`.
MobilityField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
    /// Type.
    Type = "type",
    /// Reserved bits.
    Reserved = "reserved",
    /// Checksum.
    Checksum = "checksum",
}}

/// A TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpOption {
    /// One that has a name.
    Named(TcpOptionName),
    /// One by its kind.
    Kind(u8),
}

words! {
/// TCP options by name.
TcpOptionName {
    /// End of the list.
    Eol = "eol",
    /// No operation.
    Nop = "nop" | "noop",
    /// Maximum segment size.
    Maxseg = "maxseg" | "mss",
    /// Window scale.
    Window = "window",
    /// Selective acknowledgements permitted.
    SackPerm = "sack-perm" | "sack-permitted",
    /// Selective acknowledgements, the first block.
    Sack = "sack" | "sack0",
    /// The second block.
    Sack1 = "sack1",
    /// The third block.
    Sack2 = "sack2",
    /// The fourth block.
    Sack3 = "sack3",
    /// Echo.
    Echo = "echo",
    /// Timestamps.
    Timestamp = "timestamp",
    /// Signature.
    Md5sig = "md5sig",
    /// Multipath.
    Mptcp = "mptcp",
    /// Fast open.
    Fastopen = "fastopen",
}}

words! {
/// Fields of TCP options.
TcpOptionField {
    /// Length, of any option.
    Length = "length",
    /// `maxseg size`.
    Size = "size",
    /// `window count`.
    Count = "count",
    /// `sack left`.
    Left = "left",
    /// `sack right`.
    Right = "right",
    /// `timestamp tsval`.
    Tsval = "tsval",
    /// `timestamp tsecr`.
    Tsecr = "tsecr",
    /// `mptcp subtype`.
    Subtype = "subtype",
}}

words! {
/// IPv4 options.
IpOption {
    /// Loose source route.
    Lsrr = "lsrr",
    /// Record route.
    Rr = "rr",
    /// Strict source route.
    Ssrr = "ssrr",
    /// Router alert.
    Ra = "ra",
}}

words! {
/// Fields of IPv4 options.
IpOptionField {
    /// Type.
    Type = "type",
    /// Length.
    Length = "length",
    /// Value of a router alert.
    Value = "value",
    /// Pointer.
    Ptr = "ptr",
    /// First address.
    Addr = "addr",
}}

words! {
/// SCTP chunks.
SctpChunk {
    /// Data.
    Data = "data",
    /// Begin.
    Init = "init",
    /// Begin, answered.
    InitAck = "init-ack",
    /// Selective acknowledgement.
    Sack = "sack",
    /// Heartbeat.
    Heartbeat = "heartbeat",
    /// Heartbeat, answered.
    HeartbeatAck = "heartbeat-ack",
    /// Abort.
    Abort = "abort",
    /// Shutdown.
    Shutdown = "shutdown",
    /// Shutdown, answered.
    ShutdownAck = "shutdown-ack",
    /// Error.
    Error = "error",
    /// Cookie.
    CookieEcho = "cookie-echo",
    /// Cookie, answered.
    CookieAck = "cookie-ack",
    /// Congestion.
    Ecne = "ecne",
    /// Congestion window reduced.
    Cwr = "cwr",
    /// Shutdown, complete.
    ShutdownComplete = "shutdown-complete",
    /// Addresses changed, answered.
    AsconfAck = "asconf-ack",
    /// Forward.
    ForwardTsn = "forward-tsn",
    /// Addresses changed.
    Asconf = "asconf",
}}

words! {
/// Fields of SCTP chunks.
SctpChunkField {
    /// Type, of any chunk.
    Type = "type",
    /// Flags, of any chunk.
    Flags = "flags",
    /// Length, of any chunk.
    Length = "length",
    /// `data tsn`.
    Tsn = "tsn",
    /// `data stream`.
    Stream = "stream",
    /// `data ssn`.
    Ssn = "ssn",
    /// `data ppid`.
    Ppid = "ppid",
    /// `init init-tag`.
    InitTag = "init-tag",
    /// `init a-rwnd`, `sack a-rwnd`.
    ARwnd = "a-rwnd",
    /// `init num-outbound-streams`.
    NumOutboundStreams = "num-outbound-streams",
    /// `init num-inbound-streams`.
    NumInboundStreams = "num-inbound-streams",
    /// `init initial-tsn`.
    InitialTsn = "initial-tsn",
    /// `sack cum-tsn-ack`, `shutdown cum-tsn-ack`.
    CumTsnAck = "cum-tsn-ack",
    /// `sack num-gap-ack-blocks`.
    NumGapAckBlocks = "num-gap-ack-blocks",
    /// `sack num-dup-tsns`.
    NumDupTsns = "num-dup-tsns",
    /// `ecne lowest-tsn`, `cwr lowest-tsn`.
    LowestTsn = "lowest-tsn",
    /// `asconf seqno`, `asconf-ack seqno`.
    Seqno = "seqno",
    /// `forward-tsn new-cum-tsn`.
    NewCumTsn = "new-cum-tsn",
}}

words! {
/// What the routing tables are asked with.
FibKey {
    /// Source address.
    Saddr = "saddr",
    /// Destination address.
    Daddr = "daddr",
    /// Packet mark.
    Mark = "mark",
    /// Input port.
    Iif = "iif",
    /// Output port.
    Oif = "oif",
}}

words! {
/// What the routing tables are asked for.
FibResult {
    /// Output port by index.
    Oif = "oif",
    /// Output port by name.
    Oifname = "oifname",
    /// Type of the address.
    Type = "type",
    /// Whether there is a route.
    Check = "check",
}}

words! {
/// What of the route.
RouteKey {
    /// Realm.
    Classid = "classid",
    /// Next hop.
    Nexthop = "nexthop",
    /// Path MTU less the headers: the largest TCP segment.
    Mtu = "mtu",
    /// Whether it goes through IPsec.
    Ipsec = "ipsec",
}}

words! {
/// What of the socket.
SocketKey {
    /// Whether it is transparent.
    Transparent = "transparent",
    /// Its mark.
    Mark = "mark",
    /// Whether it is bound to any address.
    Wildcard = "wildcard",
}}

words! {
/// How `osf` compares the time to live.
FingerprintTtl {
    /// At most the fingerprint's.
    Loose = "loose",
    /// Not at all.
    Skip = "skip",
}}

words! {
/// `ipsec` directions.
IpsecDirection {
    /// Received.
    In = "in",
    /// To be sent.
    Out = "out",
}}

words! {
/// `ipsec` keys.
IpsecKey {
    /// Request identifier.
    Reqid = "reqid",
    /// Security parameters index.
    Spi = "spi",
    /// Source of the tunnel.
    Saddr = "saddr",
    /// Destination of the tunnel.
    Daddr = "daddr",
}}

words! {
/// `tunnel` keys.
TunnelKey {
    /// Identifier.
    Id = "id",
    /// Direction.
    Path = "path",
}}

words! {
/// How `numgen` makes numbers.
NumberMode {
    /// Counting up.
    Incremental = "inc",
    /// At random.
    Random = "random",
}}
