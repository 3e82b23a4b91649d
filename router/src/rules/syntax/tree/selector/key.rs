//! Keys of a packet and of its flow.

use super::super::words::words;

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
