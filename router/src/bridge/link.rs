//! A bridge as a link: what is announced of it follows from what is known of its members.

use fib::adjacency::{LinkIndex, Mac};
use fib::change::Link;

use super::Description;

/// The link index of the first bridge; the others follow. The kernel counts its own from 1, and does not come this far.
pub const FIRST_LINK: u32 = 0x4000_0000;

/// The link index of the bridge with this number, in the order of the configuration.
#[must_use]
pub const fn link_index(number: usize) -> LinkIndex {
    LinkIndex(FIRST_LINK + number as u32)
}

/// What is to be announced of a bridge while its members' devices are these, in any order; those that are missing are
/// left out. Its MTU is the smallest of theirs, its address, unless it is configured, the lowest of theirs
/// (`br_stp_recalculate_bridge_id`), and it is up if one of them is. Without devices it is down.
#[must_use]
pub fn link<'a>(
    description: &Description,
    number: usize,
    members: impl IntoIterator<Item = &'a Link>,
) -> Link {
    let mut link = Link {
        index: link_index(number),
        name: description.name.clone(),
        kind: "bridge".to_owned(),
        mac: Mac::default(),
        mtu: u32::MAX,
        admin_up: false,
        carrier: false,
        loopback: false,
        no_arp: false,
        master: None,
        vrf_table: None,
    };
    for member in members {
        if member.mac != Mac::default() && (link.mac == Mac::default() || member.mac.0 < link.mac.0) {
            link.mac = member.mac;
        }
        link.mtu = link.mtu.min(member.mtu);
        link.admin_up |= member.admin_up;
        link.carrier |= member.admin_up && member.carrier;
    }
    link.mac = description.mac.unwrap_or(link.mac);
    if link.mtu == u32::MAX {
        link.mtu = MTU_WITHOUT_MEMBERS;
    }
    link
}

/// What Ethernet has (`ETH_DATA_LEN`), as a bridge without ports has it in Linux.
const MTU_WITHOUT_MEMBERS: u32 = 1500;

#[cfg(test)]
mod tests {
    use fib::adjacency::PortId;

    use super::*;
    use crate::tabletop;

    fn member(index: usize, mtu: u32, admin_up: bool, carrier: bool) -> Link {
        Link { mtu, admin_up, carrier, ..tabletop::link(index, "a") }
    }

    fn described() -> Description {
        Description::plain("br0", PortId(2), &[PortId(0), PortId(1)])
    }

    #[test]
    fn a_bridge_is_as_low_as_its_lowest_member_and_up_with_any() {
        let members = [member(7, 9000, true, false), member(3, 1400, false, true)];
        let link = link(&described(), 1, &members);
        assert_eq!((link.index, link.name.as_str()), (LinkIndex(0x4000_0001), "br0"));
        assert_eq!((link.mac, link.mtu), (tabletop::port_mac(3), 1400));
        assert_eq!((link.admin_up, link.carrier), (true, false));
    }

    #[test]
    fn without_devices_it_is_down_and_a_configured_address_stays() {
        let mac = Mac([2, 0, 0, 0, 9, 9]);
        let link = link(&Description { mac: Some(mac), ..described() }, 0, []);
        assert_eq!((link.mac, link.mtu, link.admin_up), (mac, 1500, false));
    }

    #[test]
    fn a_member_without_an_address_does_not_count_for_the_lowest() {
        let members =
            [Link { mac: Mac::default(), ..member(0, 1500, true, true) }, member(5, 1500, true, true)];
        assert_eq!(link(&described(), 0, &members).mac, tabletop::port_mac(5));
    }
}
