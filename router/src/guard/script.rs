//! What the guard tells `nft`, and the same judgement of a packet in words of the datapath.

use std::fmt::Write as _;
use std::net::IpAddr;

use fib::adjacency::Mac;

use super::TABLE;
use crate::packet::ipv6;
use crate::packet::parse::Ip;
use crate::port::OWN_MARK;

/// What is handed over, and where.
#[derive(Clone, Debug)]
pub struct Handover<'a> {
    /// The device by which routerd hands packets to the kernel and takes them from it.
    pub device: &'a str,
    /// The ports whose packets are meant, and what is written over the source address on the link of what is sent
    /// there. TUN devices are none of them: to a program at the other end of one the kernel is a host beyond it.
    pub ports: Vec<(&'a str, Mac)>,
}

/// Protocols handed over, by nft's names: those that translation may change.
const PROTOCOLS: [(&str, u8); 8] = [
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("ipv6-icmp", ICMPV6),
    ("sctp", 132),
    ("udplite", 136),
    ("gre", 47),
    ("esp", 50),
];

/// ICMPv6 types that stay the kernel's: multicast listeners, neighbor discovery, and listeners of version 2. They
/// belong to a link.
const LINK_TYPES: [(u8, u8); 2] = [(130, 137), (143, 143)];

/// UDP ports whose programs ask by which device a datagram came: DHCP, RIP, BFD. What is for them stays the kernel's.
const LINK_PORTS: [u16; 6] = [67, 68, 520, 521, 3784, 3785];

const ICMPV6: u8 = 58;
const UDP: u8 = 17;

/// Whether the guard, in hand-over mode, keeps from the kernel a packet for an address of this host that came to the
/// link address of a port. `packet` begins with its network header and is read into `ip`.
///
/// The same as the rules of the chain `own` below.
#[must_use]
pub fn is_taken(ip: &Ip, packet: &[u8]) -> bool {
    if is_link_local(ip.source) || is_link_local(ip.destination) || is_authenticated(ip, packet) {
        return false;
    }
    let later_fragment = ip.fragment.is_some_and(|fragment| fragment.offset > 0);
    let belongs_to_link = !later_fragment
        && match (ip.protocol, packet.get(ip.transport)) {
            (ICMPV6, Some(kind)) if ip.source.is_ipv6() => {
                LINK_TYPES.iter().any(|(first, last)| (first..=last).contains(&kind))
            }
            (UDP, _) => LINK_PORTS.contains(&ip.destination_port),
            _ => false,
        };
    !belongs_to_link && PROTOCOLS.iter().any(|(_, number)| *number == ip.protocol)
}

/// Whether an authentication header stands before the transport in IPv6: there nft looks no further
/// (`nft_set_pktinfo_ipv6`).
fn is_authenticated(ip: &Ip, packet: &[u8]) -> bool {
    const AUTHENTICATION: u8 = 51;
    ip.source.is_ipv6()
        && ipv6::extension_headers(packet, ip.transport).any(|(kind, _)| kind == AUTHENTICATION)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// One transaction: whatever table of the name there was goes, the new one comes. Naming the table before deleting it
/// makes the deletion succeed when there was none.
pub(super) fn script<'a>(
    ports: impl IntoIterator<Item = &'a str>,
    handover: Option<&Handover<'_>>,
) -> String {
    let devices = devices(ports);
    if devices.is_empty() {
        return removal();
    }
    let mut text = format!(
        "{}table netdev {TABLE} {{\n\
         \tcomment \"set by routerd, removed when it ends\"\n\
         \tchain ingress {{\n\
         \t\ttype filter hook ingress devices = {{ {devices} }} priority -500; policy accept;\n\
         \t\tfib daddr type {{ unicast, blackhole, unreachable, prohibit }} drop\n\
         \t\tip6 daddr {{ ::, ::ffff:0.0.0.0/96 }} drop\n\
         \t\tip option lsrr exists drop\n\
         \t\tip option ssrr exists drop\n\
         \t\tvlan id 0 vlan type {{ 8021q, 8021ad }} drop\n\
         \t}}\n",
        removal(),
    );
    if let Some(handover) = handover.filter(|handover| !handover.ports.is_empty()) {
        hand_over(&mut text, handover);
    }
    text.push_str("}\n");
    text
}

/// The same for a guard that keeps everything from the kernel, but what routerd sends itself.
pub(super) fn whole_script<'a>(ports: impl IntoIterator<Item = &'a str>) -> String {
    let devices = devices(ports);
    if devices.is_empty() {
        return removal();
    }
    format!(
        "{}table netdev {TABLE} {{\n\
         \tcomment \"set by routerd, removed when it ends\"\n\
         \tchain ingress {{\n\
         \t\ttype filter hook ingress devices = {{ {devices} }} priority -500; policy drop;\n\
         \t}}\n\
         \tchain egress {{\n\
         \t\ttype filter hook egress devices = {{ {devices} }} priority 500; policy drop;\n\
         \t\tmeta mark {OWN_MARK:#x} accept\n\
         \t}}\n\
         }}\n",
        removal()
    )
}

/// The chains of hand-over mode: what the kernel keeps (Linux reads ports in later fragments too, where there are none),
/// what is kept from it, that it takes nothing from routerd but what is its own, and for each port what is taken from it
/// on the way out.
fn hand_over(text: &mut String, handover: &Handover<'_>) {
    let protocols = PROTOCOLS.map(|(name, _)| name).join(", ");
    let types = LINK_TYPES.map(|(first, last)| format!("{first}-{last}")).join(", ");
    let link_ports = LINK_PORTS.map(|port| port.to_string()).join(", ");
    let device = handover.device;
    let written = write!(
        text,
        "\tchain kept {{\n\
         \t\tether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 accept\n\
         \t\tip6 saddr fe80::/10 accept\n\
         \t\tip6 daddr fe80::/10 accept\n\
         \t\tip frag-off & 0x1fff != 0 return\n\
         \t\tfrag frag-off != 0 return\n\
         \t\ticmpv6 type {{ {types} }} accept\n\
         \t\tudp dport {{ {link_ports} }} accept\n\
         \t}}\n\
         \tchain own {{\n\
         \t\ttype filter hook ingress devices = {{ {} }} priority -499; policy accept;\n\
         \t\tfib daddr type != {{ local, anycast }} accept\n\
         \t\tmeta pkttype != host accept\n\
         \t\tjump kept\n\
         \t\tmeta l4proto {{ {protocols} }} drop\n\
         \t}}\n\
         \tchain host {{\n\
         \t\ttype filter hook ingress device \"{device}\" priority -500; policy accept;\n\
         \t\tfib daddr type != {{ local, anycast }} drop\n\
         \t}}\n",
        devices(handover.ports.iter().map(|(port, _)| *port)),
    );
    written.expect("a string takes what is written");
    for (number, (port, tag)) in handover.ports.iter().enumerate() {
        let written = write!(
            text,
            "\tchain egress{number} {{\n\
             \t\ttype filter hook egress device \"{port}\" priority 500; policy accept;\n\
             \t\tmeta mark {OWN_MARK:#x} accept\n\
             \t\tjump kept\n\
             \t\tmeta l4proto {{ {protocols} }} ether saddr set {tag} fwd to \"{device}\"\n\
             \t}}\n",
        );
        written.expect("a string takes what is written");
    }
}

fn devices<'a>(ports: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = ports.into_iter().map(|port| format!("\"{port}\"")).collect();
    quoted.join(", ")
}

/// Takes the table away, if there is one.
pub(super) fn removal() -> String {
    format!("table netdev {TABLE}\ndelete table netdev {TABLE}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::tag_of;
    use fib::adjacency::PortId;

    #[test]
    fn the_script_replaces_what_was_there_in_one_transaction() {
        let script = script(["r0", "r1"], None);
        let lines: Vec<_> = script.lines().map(str::trim).collect();
        assert_eq!(
            lines[..3],
            [
                "table netdev routerd-guard",
                "delete table netdev routerd-guard",
                "table netdev routerd-guard {",
            ]
        );
        assert!(script.contains(r#"devices = { "r0", "r1" }"#), "{script}");
        assert!(!script.contains("fwd"), "{script}");
    }

    #[test]
    fn without_any_port_only_leftovers_go() {
        assert_eq!(script([], None), removal());
        assert_eq!(whole_script([]), removal());
    }

    #[test]
    fn handing_over_each_port_has_a_tag_of_its_own() {
        let ports = vec![("r0", tag_of(PortId(0))), ("r1", tag_of(PortId(1)))];
        let script = script(["r0", "r1", "tun0"], Some(&Handover { device: "routerd", ports }));
        for line in [
            r#"type filter hook egress device "r1" priority 500; policy accept;"#,
            r#"ether saddr set 02:72:74:64:00:01 fwd to "routerd""#,
            r#"type filter hook ingress devices = { "r0", "r1" } priority -499; policy accept;"#,
            "meta mark 0x726f7574 accept",
        ] {
            assert!(script.contains(line), "{line} in {script}");
        }
    }
}
