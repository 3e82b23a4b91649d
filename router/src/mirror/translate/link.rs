//! Links: `RTM_NEWLINK`, `RTM_DELLINK`.

use fib::adjacency::{LinkIndex, Mac};
use fib::change::{Change, Link};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoData, InfoPortKind, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::Announcement;

/// The link a message tells of. Messages of a bridge about its ports (`AF_BRIDGE`) and of IPv6 about its own state
/// (`AF_INET6`) carry only part of a link and are passed over.
pub(super) fn announced(message: &LinkMessage) -> Announcement {
    if message.header.interface_family != AddressFamily::Unspec || message.header.index == 0 {
        return Announcement::Ignored;
    }
    let flags = message.header.flags;
    let mut link = Link {
        index: LinkIndex(message.header.index),
        name: String::new(),
        kind: String::new(),
        mac: Mac::default(),
        mtu: 0,
        admin_up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        no_arp: flags.intersects(LinkFlags::Noarp | LinkFlags::Pointopoint),
        master: None,
        vrf_table: None,
    };
    let mut master = None;
    let mut master_is_vrf = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(octets) => {
                link.mac = octets.as_slice().try_into().map(Mac).unwrap_or_default();
            }
            LinkAttribute::Controller(index) => master = Some(LinkIndex(*index)),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = kind.to_string(),
                        LinkInfo::Data(InfoData::Vrf(data)) => link.vrf_table = table_of(data),
                        LinkInfo::PortKind(kind) => master_is_vrf = *kind == InfoPortKind::Vrf,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    link.master = master.filter(|_| master_is_vrf);
    Announcement::Change(Change::Link(link))
}

/// The link is gone. A port that leaves its bridge is announced as deleted too (`AF_BRIDGE`): it still exists.
pub(super) fn withdrawn(message: &LinkMessage) -> Announcement {
    if message.header.interface_family != AddressFamily::Unspec || message.header.index == 0 {
        return Announcement::Ignored;
    }
    Announcement::Change(Change::LinkGone(LinkIndex(message.header.index)))
}

fn table_of(vrf: &[InfoVrf]) -> Option<u32> {
    vrf.iter().find_map(|info| match info {
        InfoVrf::TableId(table) => Some(*table),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::InfoKind;

    use super::*;

    /// By hand, as the kernel of the recordings has no VRF.
    fn read(attributes: Vec<LinkAttribute>) -> Link {
        let mut message = LinkMessage::default();
        message.header.index = 20;
        message.attributes = attributes;
        match announced(&message) {
            Announcement::Change(Change::Link(link)) => link,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_vrf_tells_its_table() {
        let link = read(vec![LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vrf),
            LinkInfo::Data(InfoData::Vrf(vec![InfoVrf::TableId(1000)])),
        ])]);
        assert_eq!((link.kind.as_str(), link.vrf_table, link.master), ("vrf", Some(1000), None));
    }

    #[test]
    fn a_link_in_a_vrf_tells_which_and_one_in_a_bridge_does_not() {
        for (kind, expected) in [(InfoPortKind::Vrf, Some(LinkIndex(7))), (InfoPortKind::Bridge, None)] {
            let link = read(vec![
                LinkAttribute::Controller(7),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::PortKind(kind)]),
            ]);
            assert_eq!(link.master, expected);
        }
    }
}
