//! Names of values, by type: in the order in which a value's name is looked for.

use crate::rules::model::Type;

/// Names and values.
pub type Symbols = &'static [(&'static str, u64)];

/// The names a type has; none for a type without.
#[must_use]
pub const fn of(kind: Type) -> Symbols {
    match kind {
        Type::EtherType => ETHER_TYPE,
        Type::IcmpType => ICMP_TYPE,
        Type::IcmpCode => ICMP_CODE,
        Type::Icmpv6Type => ICMPV6_TYPE,
        Type::Icmpv6Code => ICMPV6_CODE,
        Type::TcpFlag => TCP_FLAG,
        Type::Dscp => DSCP,
        Type::Ecn => ECN,
        Type::ArpOperation => ARP_OPERATION,
        Type::FibAddressType => FIB_ADDRESS_TYPE,
        Type::NetfilterProtocol => NETFILTER_PROTOCOL,
        Type::PacketType => PACKET_TYPE,
        Type::CtState => CT_STATE,
        Type::CtDirection => CT_DIRECTION,
        Type::CtStatus => CT_STATUS,
        Type::CtEvent => CT_EVENT,
        Type::Day => DAY,
        Type::Boolean => BOOLEAN,
        Type::Protocol => PROTOCOL,
        Type::IgmpType => IGMP_TYPE,
        Type::LinkType => LINK_TYPE,
        Type::ClassId => &[("none", 0), ("root", 0xffff_ffff)],
        _ => &[],
    }
}

/// The value of a name.
#[must_use]
pub fn value(symbols: Symbols, name: &str) -> Option<u64> {
    symbols.iter().find(|(word, _)| *word == name).map(|(_, value)| *value)
}

/// The first name of a value.
#[must_use]
pub fn name(symbols: Symbols, value: u64) -> Option<&'static str> {
    symbols.iter().find(|(_, other)| *other == value).map(|(word, _)| *word)
}

/// `ecn`.
pub const ECN: Symbols = &[("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)];

/// `ct_event`.
pub const CT_EVENT: Symbols = &[
    ("new", 1),
    ("related", 2),
    ("destroy", 4),
    ("reply", 8),
    ("assured", 0x10),
    ("protoinfo", 0x20),
    ("helper", 0x40),
    ("mark", 0x80),
    ("seqadj", 0x100),
    ("secmark", 0x200),
    ("label", 0x400),
];

/// `inet_proto`: what the router itself knows; an environment may know more.
pub const PROTOCOL: Symbols = &[
    ("ip", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ospf", 89),
    ("ipip", 94),
    ("pim", 103),
    ("ipcomp", 108),
    ("comp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("mobility-header", 135),
    ("udplite", 136),
];

/// `ether_type`.
pub const ETHER_TYPE: Symbols = &[
    ("ip", 0x800),
    ("arp", 0x806),
    ("ip6", 0x86dd),
    ("8021q", 0x8100),
    ("8021ad", 0x88a8),
    ("vlan", 0x8100),
];

/// `icmp_type`.
pub const ICMP_TYPE: Symbols = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

/// `icmp_code`.
pub const ICMP_CODE: Symbols = &[
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
    ("frag-needed", 4),
];

/// `icmpv6_type`.
pub const ICMPV6_TYPE: Symbols = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("mld-listener-reduction", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

/// `icmpv6_code`.
pub const ICMPV6_CODE: Symbols = &[
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];

/// `icmpx_code`.
pub const ICMPX_CODE: Symbols =
    &[("port-unreachable", 1), ("admin-prohibited", 3), ("no-route", 0), ("host-unreachable", 2)];

/// `tcp_flag`.
pub const TCP_FLAG: Symbols = &[
    ("fin", 0x1),
    ("syn", 0x2),
    ("rst", 0x4),
    ("psh", 0x8),
    ("ack", 0x10),
    ("urg", 0x20),
    ("ecn", 0x40),
    ("cwr", 0x80),
];

/// `dscp`.
pub const DSCP: Symbols = &[
    ("cs0", 0x0),
    ("cs1", 0x8),
    ("cs2", 0x10),
    ("cs3", 0x18),
    ("cs4", 0x20),
    ("cs5", 0x28),
    ("cs6", 0x30),
    ("cs7", 0x38),
    ("df", 0x0),
    ("be", 0x0),
    ("lephb", 0x1),
    ("af11", 0xa),
    ("af12", 0xc),
    ("af13", 0xe),
    ("af21", 0x12),
    ("af22", 0x14),
    ("af23", 0x16),
    ("af31", 0x1a),
    ("af32", 0x1c),
    ("af33", 0x1e),
    ("af41", 0x22),
    ("af42", 0x24),
    ("af43", 0x26),
    ("va", 0x2c),
    ("ef", 0x2e),
];

/// `arp_op`.
pub const ARP_OPERATION: Symbols = &[
    ("request", 0x1),
    ("reply", 0x2),
    ("rrequest", 0x3),
    ("rreply", 0x4),
    ("inrequest", 0x8),
    ("inreply", 0x9),
    ("nak", 0xa),
];

/// `fib_addrtype`.
pub const FIB_ADDRESS_TYPE: Symbols = &[
    ("unspec", 0),
    ("unicast", 1),
    ("local", 2),
    ("broadcast", 3),
    ("anycast", 4),
    ("multicast", 5),
    ("blackhole", 6),
    ("unreachable", 7),
    ("prohibit", 8),
];

/// `nf_proto`.
pub const NETFILTER_PROTOCOL: Symbols = &[("ipv4", 2), ("ipv6", 10)];

/// `pkt_type`.
pub const PACKET_TYPE: Symbols =
    &[("host", 0), ("unicast", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)];

/// `ct_state`.
pub const CT_STATE: Symbols =
    &[("invalid", 0x1), ("new", 0x8), ("established", 0x2), ("related", 0x4), ("untracked", 0x40)];

/// `ct_dir`.
pub const CT_DIRECTION: Symbols = &[("original", 0), ("reply", 1)];

/// `ct_status`.
pub const CT_STATUS: Symbols = &[
    ("expected", 0x1),
    ("seen-reply", 0x2),
    ("assured", 0x4),
    ("confirmed", 0x8),
    ("snat", 0x10),
    ("dnat", 0x20),
    ("dying", 0x200),
];

/// `day`.
pub const DAY: Symbols = &[
    ("Sunday", 0),
    ("Monday", 1),
    ("Tuesday", 2),
    ("Wednesday", 3),
    ("Thursday", 4),
    ("Friday", 5),
    ("Saturday", 6),
];

/// `igmp_type`.
pub const IGMP_TYPE: Symbols = &[
    ("membership-query", 17),
    ("membership-report-v1", 18),
    ("membership-report-v2", 22),
    ("membership-report-v3", 34),
    ("leave-group", 23),
];

/// `boolean`.
pub const BOOLEAN: Symbols = &[("exists", 1), ("missing", 0)];

/// `iface_type`.
pub const LINK_TYPE: Symbols = &[
    ("ether", 1),
    ("ppp", 512),
    ("ipip", 768),
    ("ipip6", 769),
    ("loopback", 772),
    ("sit", 776),
    ("ipgre", 778),
];
