//! Translation to the router's own addresses: masquerade and redirect, and what becomes of masqueraded flows when the
//! address they borrowed goes away (`nf_nat_masquerade.c`, `nf_nat_redirect.c`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conntrack::{Direction, Status};
use fib::adjacency::PortId;
use fib::change::Address;
use fib::snapshot::Snapshot;

use super::{Flags, Manip, Range, setup};
use crate::chain::{Point, Verdict};
use crate::drops::DropReason;
use crate::engine::{Context, Packet};
use crate::flow::{Flow, FlowTable, Track, masqueraded_by, set_masqueraded_by};

/// Gives a packet's flow a source address of the port it leaves by: the one the router itself would speak from. `ids` are
/// the ports to choose from. Nothing is decided for packets from the unspecified address; without an address the packet
/// is dropped.
pub fn masquerade(
    packet: &mut Packet,
    context: &Context<'_>,
    table: &FlowTable,
    ids: Option<(u16, u16)>,
    flags: Flags,
) -> Verdict {
    let Some(routed) = packet.route else { return Verdict::Drop(DropReason::NatNoAddress) };
    let Track::Flow { flow: Flow::Tentative(tentative), .. } = &packet.track else {
        return Verdict::Accept;
    };
    if tentative.tuple(Direction::Original).source() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        return Verdict::Accept;
    }
    let towards = match (packet.destination(), routed.hop.gateway) {
        (IpAddr::V4(_), Some(gateway @ IpAddr::V4(_))) => gateway,
        (destination, _) => destination,
    };
    let Some(source) = context.routing.port_source_address(routed.hop.port, towards) else {
        return Verdict::Drop(DropReason::NatNoAddress);
    };
    set_masqueraded_by(tentative, routed.hop.port);
    setup(packet, context, table, &Range { ids, flags, ..Range::to(source) }, Manip::Source)
}

/// Sends a packet's flow to the router itself: to the first address of the port it came by, or, at output, to the loopback
/// address. `ids` are the ports to choose from. Without an address the packet is dropped.
pub fn redirect(
    packet: &mut Packet,
    context: &Context<'_>,
    table: &FlowTable,
    point: Point,
    ids: Option<(u16, u16)>,
    flags: Flags,
) -> Verdict {
    let own = match (point, packet.destination()) {
        (Point::Output, IpAddr::V4(_)) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        // An owned host's packets come to the kernel by a device, where it takes none for the loopback address.
        (Point::Output, IpAddr::V6(_)) if context.host.is_owned() => Some(packet.source()),
        (Point::Output, IpAddr::V6(_)) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        (_, IpAddr::V4(_)) => {
            let addresses = context.routing.addresses(packet.input()).iter();
            addresses.map(|address| address.net.addr()).find(IpAddr::is_ipv4)
        }
        (_, IpAddr::V6(destination)) => {
            let addresses = context.routing.addresses(packet.input()).iter();
            addresses.filter(|address| is_redirected_to(address, destination)).map(|a| a.net.addr()).next()
        }
    };
    let Some(own) = own else { return Verdict::Drop(DropReason::NatNoAddress) };
    setup(packet, context, table, &Range { ids, flags, ..Range::to(own) }, Manip::Destination)
}

/// Where a flow seems to come from that a program of this host has begun and that a rule has turned back to this host: an
/// address that no host has (RFC 7600, RFC 6666). The kernel would keep the answers to an own address to itself, and nobody
/// would translate them back.
const TURNED_BACK: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 0, 8), Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8));

/// Whether an address is where flows seem to come from that were turned back.
#[must_use]
pub fn is_turned_back(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == TURNED_BACK.0,
        IpAddr::V6(address) => address == TURNED_BACK.1,
    }
}

/// Decides for a flow that a program of an owned host has begun and that a rule has turned back to this host that its
/// answers pass the router.
pub fn turn_back(packet: &mut Packet, context: &Context<'_>, table: &FlowTable) -> Verdict {
    let source = match packet.source() {
        IpAddr::V4(_) => IpAddr::V4(TURNED_BACK.0),
        IpAddr::V6(_) => IpAddr::V6(TURNED_BACK.1),
    };
    match &packet.track {
        Track::Flow { flow: Flow::Tentative(tentative), .. }
            if tentative.status().intersects(Status::DST_NAT) =>
        {
            setup(packet, context, table, &Range::to(source), Manip::Source)
        }
        _ => Verdict::Accept,
    }
}

/// Deletes the flows that are masqueraded by a port, or only those that borrowed this address of it; returns how many.
pub fn forget_masqueraded(table: &FlowTable, port: PortId, address: Option<IpAddr>) -> usize {
    table.delete(|conn| {
        masqueraded_by(conn) == Some(port)
            && address.is_none_or(|address| conn.tuple(Direction::Reply).destination() == address)
    })
}

/// Watches ports and their addresses on behalf of masqueraded flows, which end when theirs goes away: a new address or
/// another way would make them unintelligible to whom they talk to.
#[derive(Debug, Default)]
pub struct Masquerades {
    ports: Vec<Standing>,
}

/// A port as it was last seen.
#[derive(Debug, Default, PartialEq)]
struct Standing {
    up: bool,
    addresses: Vec<IpAddr>,
}

impl Masquerades {
    /// Compares the ports with how they were, deletes flows whose address or port is gone, and returns how many. To be
    /// called after every change of the routing state.
    pub fn follow(&mut self, routing: &Snapshot, table: &FlowTable) -> usize {
        let mut forgotten = 0;
        self.ports.resize_with(routing.ports().ids().count(), Standing::default);
        for (port, before) in routing.ports().ids().zip(&mut self.ports) {
            let now = Standing {
                up: routing.ports().get(port).up,
                addresses: routing.addresses(port).iter().map(|address| address.net.addr()).collect(),
            };
            if *before == now {
                continue;
            }
            if before.up && !now.up {
                forgotten += forget_masqueraded(table, port, None);
            }
            let gone = before.addresses.iter().filter(|address| !now.addresses.contains(address));
            forgotten += gone.map(|address| forget_masqueraded(table, port, Some(*address))).sum::<usize>();
            *before = now;
        }
        forgotten
    }
}

/// `nf_nat_redirect_ipv6_usable`: not mapped, not tentative, and of the scope of the destination if that is a narrow one.
fn is_redirected_to(address: &Address, destination: Ipv6Addr) -> bool {
    let IpAddr::V6(own) = address.net.addr() else { return false };
    if own.to_ipv4_mapped().is_some() || address.tentative {
        return false;
    }
    scope(destination) == Scope::Global || scope(own) == scope(destination)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Loopback,
    Link,
    Site,
    Global,
}

/// Scope of a unicast address.
const fn scope(address: Ipv6Addr) -> Scope {
    let [first, ..] = address.segments();
    if address.is_loopback() {
        Scope::Loopback
    } else if address.is_unicast_link_local() {
        Scope::Link
    } else if first & 0xffc0 == 0xfec0 {
        Scope::Site
    } else {
        Scope::Global
    }
}
