//! Policy rules (`ip rule`) of both families: `RTM_NEWRULE`, `RTM_DELRULE`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fib::change::{Change, Rule, RuleAction};
use ipnet::IpNet;
use netlink_packet_core::Nla;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage};

use super::Announcement;

/// `FRA_DSCP` (include/uapi/linux/fib_rules.h), six bits. The netlink crate names none of these.
const FRA_DSCP: u16 = 25;
const FRA_FLOWLABEL: u16 = 26;
const FRA_FLOWLABEL_MASK: u16 = 27;
const FRA_SPORT_MASK: u16 = 28;
const FRA_DPORT_MASK: u16 = 29;
const FRA_DSCP_MASK: u16 = 30;

/// The rule a message tells of.
pub(super) fn read(message: &RuleMessage, change: fn(Rule) -> Change) -> Announcement {
    let header = &message.header;
    let (ipv6, unspecified) = match header.family {
        AddressFamily::Inet => (false, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        AddressFamily::Inet6 => (true, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        _ => return Announcement::Ignored,
    };
    let mut from = unspecified;
    let mut to = unspecified;
    let mut table = u32::from(header.table);
    let mut goto = 0;
    let mut mark = 0;
    let mut mask = None;
    let mut rule = Rule {
        ipv6,
        priority: 0,
        invert: header.flags.contains(RuleFlags::Invert),
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos: header.tos,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        suppress_prefix_length: None,
        l3mdev: false,
        uid_range: false,
        action: RuleAction::Nop,
        protocol_origin: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => from = *address,
            RuleAttribute::Destination(address) => to = *address,
            RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
            RuleAttribute::Oifname(name) => rule.oif = Some(name.clone()),
            RuleAttribute::Goto(priority) => goto = *priority,
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::FwMark(value) => mark = *value,
            RuleAttribute::FwMask(value) => mask = Some(*value),
            RuleAttribute::Table(number) => table = *number,
            // The kernel writes -1 for "does not suppress".
            RuleAttribute::SuppressPrefixLen(length) => {
                rule.suppress_prefix_length = u8::try_from(*length).ok();
            }
            RuleAttribute::L3MDev(on) => rule.l3mdev = *on,
            // Packets that are forwarded count as root's (flowi4_uid in ip_route_input_slow).
            RuleAttribute::UidRange(range) => rule.uid_range = range.start > 0,
            RuleAttribute::Protocol(origin) => rule.protocol_origin = (*origin).into(),
            RuleAttribute::IpProtocol(protocol) => {
                rule.protocol = Some(u8::from(*protocol)).filter(|number| *number != 0);
            }
            RuleAttribute::SourcePortRange(range) => rule.source_ports = Some((range.start, range.end)),
            RuleAttribute::DestinationPortRange(range) => {
                rule.destination_ports = Some((range.start, range.end));
            }
            RuleAttribute::TunId(id) if *id != 0 => {
                return Announcement::Unsupported("a policy rule that asks for a tunnel id");
            }
            RuleAttribute::SuppressIfGroup(group) if *group != u32::MAX => {
                return Announcement::Unsupported("a policy rule with suppress_ifgroup");
            }
            RuleAttribute::Other(other) => match (other.kind(), value(other).as_slice()) {
                (FRA_DSCP, [dscp]) => rule.tos = dscp << 2,
                // This is how the kernel writes that all bits are compared.
                (FRA_SPORT_MASK | FRA_DPORT_MASK, [0xff, 0xff]) | (FRA_DSCP_MASK, [0x3f]) => {}
                (FRA_DSCP_MASK | FRA_SPORT_MASK | FRA_DPORT_MASK, _) => {
                    return Announcement::Unsupported("a policy rule that compares part of a port or DSCP");
                }
                (FRA_FLOWLABEL | FRA_FLOWLABEL_MASK, _) => {
                    return Announcement::Unsupported("a policy rule that asks for a flow label");
                }
                _ => {}
            },
            _ => {}
        }
    }
    if mark != 0 || mask.is_some_and(|mask| mask != 0) {
        rule.mark = Some((mark, mask.unwrap_or(u32::MAX)));
    }
    rule.from = prefix(from, header.src_len);
    rule.to = prefix(to, header.dst_len);
    rule.action = match header.action {
        Action::ToTable => RuleAction::Lookup(table),
        Action::Goto => RuleAction::Goto(goto),
        Action::Nop => RuleAction::Nop,
        Action::Blackhole => RuleAction::Blackhole,
        Action::Unreachable => RuleAction::Unreachable,
        Action::Prohibit => RuleAction::Prohibit,
        _ => return Announcement::Unsupported("a policy rule with an action this program does not know"),
    };
    Announcement::Change(change(rule))
}

fn value(attribute: &impl Nla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}

fn prefix(address: IpAddr, length: u8) -> Option<IpNet> {
    if length == 0 { None } else { IpNet::new(address, length).ok().map(|net| net.trunc()) }
}
