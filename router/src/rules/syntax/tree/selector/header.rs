//! Fields of headers.

use super::super::words::words;

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
