//! Fields of headers (`proto.c` of nftables).

use crate::rules::model::{Base, Field, Requires, Type};
use crate::rules::syntax::tree;

const ANY: Requires = Requires { network: None, transport: &[], icmp_types: &[] };
const IPV4: Requires = Requires { network: Some(0x0800), ..ANY };
const IPV6: Requires = Requires { network: Some(0x86dd), ..ANY };
const ARP: Requires = Requires { network: Some(0x0806), ..ANY };

const fn transport(protocols: &'static [u8]) -> Requires {
    Requires { transport: protocols, ..ANY }
}

const fn icmp(protocols: &'static [u8], types: &'static [u8]) -> Requires {
    Requires { transport: protocols, icmp_types: types, ..ANY }
}

const fn at(
    header: &'static str,
    name: &'static str,
    base: Base,
    bits: (u16, u16),
    kind: Type,
    requires: Requires,
) -> Field {
    Field { header, name, base, offset: bits.0, length: bits.1, kind, requires }
}

const fn link(name: &'static str, bits: (u16, u16), kind: Type) -> Field {
    at("ether", name, Base::Link, bits, kind, ANY)
}

const fn vlan(name: &'static str, bits: (u16, u16), kind: Type) -> Field {
    at("vlan", name, Base::Link, bits, kind, ANY)
}

const fn ip(name: &'static str, bits: (u16, u16), kind: Type) -> Field {
    at("ip", name, Base::Network, bits, kind, IPV4)
}

const fn ip6(name: &'static str, bits: (u16, u16), kind: Type) -> Field {
    at("ip6", name, Base::Network, bits, kind, IPV6)
}

const fn arp(name: &'static str, bits: (u16, u16), kind: Type) -> Field {
    at("arp", name, Base::Network, bits, kind, ARP)
}

const fn over(
    header: &'static str,
    protocols: &'static [u8],
    name: &'static str,
    bits: (u16, u16),
    kind: Type,
) -> Field {
    at(header, name, Base::Transport, bits, kind, transport(protocols))
}

const fn icmp4(name: &'static str, bits: (u16, u16), kind: Type, types: &'static [u8]) -> Field {
    at("icmp", name, Base::Transport, bits, kind, icmp(&[1], types))
}

const fn icmp6(name: &'static str, bits: (u16, u16), kind: Type, types: &'static [u8]) -> Field {
    at("icmpv6", name, Base::Transport, bits, kind, icmp(&[58], types))
}

const fn number(bits: u16) -> Type {
    Type::Integer(bits)
}

/// All fields that rules can read.
pub static FIELDS: &[Field] = &[
    link("daddr", (0, 48), Type::EtherAddress),
    link("saddr", (48, 48), Type::EtherAddress),
    link("type", (96, 16), Type::EtherType),
    vlan("pcp", (112, 3), number(3)),
    vlan("dei", (115, 1), number(1)),
    vlan("id", (116, 12), number(12)),
    vlan("type", (128, 16), Type::EtherType),
    ip("version", (0, 4), number(4)),
    ip("hdrlength", (4, 4), number(4)),
    ip("dscp", (8, 6), Type::Dscp),
    ip("ecn", (14, 2), Type::Ecn),
    ip("length", (16, 16), number(16)),
    ip("id", (32, 16), number(16)),
    ip("frag-off", (48, 16), number(16)),
    ip("ttl", (64, 8), number(8)),
    ip("protocol", (72, 8), Type::Protocol),
    ip("checksum", (80, 16), number(16)),
    ip("saddr", (96, 32), Type::Ipv4Address),
    ip("daddr", (128, 32), Type::Ipv4Address),
    ip6("version", (0, 4), number(4)),
    ip6("dscp", (4, 6), Type::Dscp),
    ip6("ecn", (10, 2), Type::Ecn),
    ip6("flowlabel", (12, 20), number(20)),
    ip6("length", (32, 16), number(16)),
    ip6("nexthdr", (48, 8), Type::Protocol),
    ip6("hoplimit", (56, 8), number(8)),
    ip6("saddr", (64, 128), Type::Ipv6Address),
    ip6("daddr", (192, 128), Type::Ipv6Address),
    arp("htype", (0, 16), number(16)),
    arp("ptype", (16, 16), Type::EtherType),
    arp("hlen", (32, 8), number(8)),
    arp("plen", (40, 8), number(8)),
    arp("operation", (48, 16), Type::ArpOperation),
    arp("saddr ether", (64, 48), Type::EtherAddress),
    arp("saddr ip", (112, 32), Type::Ipv4Address),
    arp("daddr ether", (144, 48), Type::EtherAddress),
    arp("daddr ip", (192, 32), Type::Ipv4Address),
    over("tcp", &[6], "sport", (0, 16), Type::Service),
    over("tcp", &[6], "dport", (16, 16), Type::Service),
    over("tcp", &[6], "sequence", (32, 32), number(32)),
    over("tcp", &[6], "ackseq", (64, 32), number(32)),
    over("tcp", &[6], "doff", (96, 4), number(4)),
    over("tcp", &[6], "reserved", (100, 4), number(4)),
    over("tcp", &[6], "flags", (104, 8), Type::TcpFlag),
    over("tcp", &[6], "window", (112, 16), number(16)),
    over("tcp", &[6], "checksum", (128, 16), number(16)),
    over("tcp", &[6], "urgptr", (144, 16), number(16)),
    over("udp", &[17], "sport", (0, 16), Type::Service),
    over("udp", &[17], "dport", (16, 16), Type::Service),
    over("udp", &[17], "length", (32, 16), number(16)),
    over("udp", &[17], "checksum", (48, 16), number(16)),
    over("udplite", &[136], "sport", (0, 16), Type::Service),
    over("udplite", &[136], "dport", (16, 16), Type::Service),
    over("udplite", &[136], "csumcov", (32, 16), number(16)),
    over("udplite", &[136], "checksum", (48, 16), number(16)),
    over("sctp", &[132], "sport", (0, 16), Type::Service),
    over("sctp", &[132], "dport", (16, 16), Type::Service),
    over("sctp", &[132], "vtag", (32, 32), number(32)),
    over("sctp", &[132], "checksum", (64, 32), number(32)),
    over("dccp", &[33], "sport", (0, 16), Type::Service),
    over("dccp", &[33], "dport", (16, 16), Type::Service),
    over("th", &[], "sport", (0, 16), Type::Service),
    over("th", &[], "dport", (16, 16), Type::Service),
    over("esp", &[50], "spi", (0, 32), number(32)),
    over("esp", &[50], "sequence", (32, 32), number(32)),
    over("ah", &[51], "nexthdr", (0, 8), Type::Protocol),
    over("ah", &[51], "hdrlength", (8, 8), number(8)),
    over("ah", &[51], "reserved", (16, 16), number(16)),
    over("ah", &[51], "spi", (32, 32), number(32)),
    over("ah", &[51], "sequence", (64, 32), number(32)),
    over("comp", &[108], "nexthdr", (0, 8), Type::Protocol),
    over("comp", &[108], "flags", (8, 8), number(8)),
    over("comp", &[108], "cpi", (16, 16), number(16)),
    over("gre", &[47], "version", (13, 3), number(3)),
    over("gre", &[47], "flags", (0, 5), number(5)),
    over("gre", &[47], "protocol", (16, 16), Type::EtherType),
    over("igmp", &[2], "type", (0, 8), Type::IgmpType),
    over("igmp", &[2], "mrt", (8, 8), number(8)),
    over("igmp", &[2], "checksum", (16, 16), number(16)),
    over("igmp", &[2], "group", (32, 32), number(32)),
    icmp4("type", (0, 8), Type::IcmpType, &[]),
    icmp4("code", (8, 8), Type::IcmpCode, &[]),
    icmp4("checksum", (16, 16), number(16), &[]),
    icmp4("id", (32, 16), number(16), &[0, 8]),
    icmp4("sequence", (48, 16), number(16), &[0, 8]),
    icmp4("gateway", (32, 32), number(32), &[5]),
    icmp4("mtu", (48, 16), number(16), &[3]),
    icmp6("type", (0, 8), Type::Icmpv6Type, &[]),
    icmp6("code", (8, 8), Type::Icmpv6Code, &[]),
    icmp6("checksum", (16, 16), number(16), &[]),
    icmp6("param-problem", (32, 32), number(32), &[4]),
    icmp6("mtu", (32, 32), number(32), &[2]),
    icmp6("id", (32, 16), number(16), &[128, 129]),
    icmp6("sequence", (48, 16), number(16), &[128, 129]),
    icmp6("max-delay", (32, 16), number(16), &[130]),
    icmp6("taddr", (64, 128), Type::Ipv6Address, &[135, 136, 137]),
    icmp6("daddr", (192, 128), Type::Ipv6Address, &[137]),
];

/// Fields of a second tag, behind the first.
static INNER_TAG: &[Field] = &[
    vlan("pcp", (144, 3), number(3)),
    vlan("dei", (147, 1), number(1)),
    vlan("id", (148, 12), number(12)),
    vlan("type", (160, 16), Type::EtherType),
];

/// Tags of one frame that rules can read.
pub const TAGS_MAX: u8 = 2;

/// The field of this name of a frame's tag, the outer one being the first; `None` beyond [`TAGS_MAX`].
#[must_use]
pub fn of_tag(tag: u8, name: &str) -> Option<&'static Field> {
    match tag {
        1 => named("vlan", name),
        TAGS_MAX => INNER_TAG.iter().find(|field| field.name == name),
        _ => None,
    }
}

/// The field of this header and name.
#[must_use]
pub fn named(header: &str, name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.header == header && field.name == name)
}

/// Header and name of a field in the tree.
#[must_use]
pub const fn words(field: tree::Field) -> (&'static str, &'static str) {
    use tree::Field as F;
    match field {
        F::Ether(field) => ("ether", field.word()),
        F::Vlan(tree::VlanField::Cfi) => ("vlan", "dei"),
        F::Vlan(field) => ("vlan", field.word()),
        F::Arp(field) => ("arp", field.word()),
        F::Ipv4(field) => ("ip", field.word()),
        F::Ipv6(field) => ("ip6", field.word()),
        F::Icmp(field) => ("icmp", field.word()),
        F::Icmpv6(field) => ("icmpv6", field.word()),
        F::Igmp(field) => ("igmp", field.word()),
        F::Tcp(field) => ("tcp", field.word()),
        F::Udp(field) => ("udp", field.word()),
        F::UdpLite(field) => ("udplite", field.word()),
        F::Sctp(field) => ("sctp", field.word()),
        F::Dccp(field) => ("dccp", field.word()),
        F::Transport(field) => ("th", field.word()),
        F::Esp(field) => ("esp", field.word()),
        F::Ah(field) => ("ah", field.word()),
        F::Comp(field) => ("comp", field.word()),
        F::Gre(field) => ("gre", field.word()),
        F::Vxlan(field) => ("vxlan", field.word()),
        F::Geneve(field) => ("geneve", field.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn a_field_is_as_long_as_its_type_and_stands_once() {
        for (position, field) in FIELDS.iter().enumerate() {
            assert_eq!(field.length, field.kind.bits(), "{} {}", field.header, field.name);
            let same = |other: &super::Field| other.header == field.header && other.name == field.name;
            assert_eq!(FIELDS.iter().position(same), Some(position), "{} {}", field.header, field.name);
        }
    }
}
