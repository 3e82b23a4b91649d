//! The neighbors of a router on the table that is its own host, kept in step with it by hand.

use std::net::IpAddr;
use std::time::Duration;

use fib::adjacency::{Mac, PortId};
use ipnet::IpNet;
use tokio::sync::mpsc::{Receiver, channel};

use super::Tabletop;
use crate::engine::{Heard, routed_by};
use crate::host::neighborhood::{Interface, Neighborhood, Settings};

/// Messages that wait to be read at most.
const HEARD_MAX: usize = 1024;

/// What the control thread is to a router's neighbors.
pub struct Neighbors {
    /// The neighbors.
    pub neighborhood: Neighborhood,
    heard: Receiver<Heard>,
}

impl Neighbors {
    /// The neighbors of a table, whose ports are those it has now.
    ///
    /// # Panics
    /// If the table's neighbors are kept already.
    #[must_use]
    pub fn of(table: &Tabletop, settings: Settings, seed: u64) -> Self {
        let (tell, heard) = channel(HEARD_MAX);
        let shared = table.shared();
        shared.discovery.listen(tell);
        let mut neighborhood = Neighborhood::new(settings, seed);
        for port in shared.ports.ids() {
            let view = shared.ports.get(port);
            let Some(link) = view.link else { continue };
            let mac = if view.needs_resolution { view.mac } else { Mac::default() };
            let interface = Interface { link, mac, mtu: view.mtu, up: view.up };
            neighborhood.set_interface(port, interface, table.now());
        }
        Self { neighborhood, heard }
    }

    /// Gives a port an address that is used at once, in the routing state too.
    ///
    /// # Panics
    /// If `net` is no address with a prefix length.
    pub fn address(&mut self, table: &mut Tabletop, port: usize, net: &str) {
        let address: IpNet = net.parse().expect("an address with a prefix length");
        self.neighborhood.add_address(PortId(port as u16), address, false, table.now());
        table.address(port, net);
    }

    /// Lets the router and its neighborhood do all there is to do now.
    pub fn settle(&mut self, table: &mut Tabletop) {
        loop {
            table.settle();
            let now = table.now();
            for (port, address) in table.questions() {
                self.neighborhood.ask(port, address, now);
            }
            while let Ok(Heard { port, frame }) = self.heard.try_recv() {
                let routing = table.assembly.writer.reader().load();
                let routed_by = |destination: IpAddr| routed_by(&routing, port, destination);
                self.neighborhood.heard(port, &frame, now, &routed_by);
            }
            self.neighborhood.turn(now);
            let changes = self.neighborhood.take_changes();
            let mut idle = changes.is_empty();
            table.apply(changes);
            while let Some(outgoing) = self.neighborhood.take_frame() {
                idle = false;
                table.handle().originate(outgoing.port, outgoing.frame).expect("the worker has room");
                table.settle();
            }
            if idle {
                return;
            }
        }
    }

    /// Lets time pass, with all that is due on the way.
    pub fn advance(&mut self, table: &mut Tabletop, time: Duration) {
        let end = table.now() + time;
        loop {
            let due = [self.neighborhood.deadline(), table.deadline()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            table.advance(due - table.now());
            self.settle(table);
        }
        table.advance(end - table.now());
        self.settle(table);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fib::change::NeighborState;

    use super::*;
    use crate::chain::{Family, Hook, Place, Point, Registration, Verdict, priority};
    use crate::drops::DropReason;
    use crate::engine::{Context, Packet};
    use crate::tabletop::frames::Ends;
    use crate::tabletop::port_mac;
    use smoltcp::wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    };

    const SERVER: Mac = Mac([2, 0, 0, 0, 2, 2]);

    /// 10.0.0.0/24 and fd00:0::/64 on r0, 10.0.1.0/24 and fd00:1::/64 on r1, where nobody is known yet.
    fn table() -> (Tabletop, Neighbors) {
        let mut table = Tabletop::owned(&["r0", "r1"], false);
        let mut neighbors = Neighbors::of(&table, Settings::default(), 1);
        for (port, net) in
            [(0, "10.0.0.1/24"), (1, "10.0.1.1/24"), (0, "fd00::1/64"), (1, "fd00:0:0:1::1/64")]
        {
            neighbors.address(&mut table, port, net);
        }
        neighbors.advance(&mut table, Duration::from_secs(10));
        (0..2).for_each(|port| drop(table.take(port)));
        (table, neighbors)
    }

    fn taken(table: &mut Tabletop, port: usize) -> Vec<Vec<u8>> {
        table.take(port).into_iter().map(|parcel| parcel.bytes).collect()
    }

    /// The server's answer to an ARP request for 10.0.1.2.
    fn arp_reply() -> Vec<u8> {
        let router = EthernetAddress(port_mac(1).0);
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(SERVER.0),
            source_protocol_addr: [10, 0, 1, 2].into(),
            target_hardware_addr: router,
            target_protocol_addr: [10, 0, 1, 1].into(),
        };
        let link = EthernetRepr {
            src_addr: EthernetAddress(SERVER.0),
            dst_addr: router,
            ethertype: EthernetProtocol::Arp,
        };
        let mut frame = vec![0; 42];
        link.emit(&mut EthernetFrame::new_unchecked(&mut frame));
        repr.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
        frame
    }

    #[test]
    fn a_ping_finds_its_way_to_a_host_that_nobody_knew() {
        let (mut table, mut neighbors) = table();
        let ping = Ends::to_port(0, "10.0.0.2:1", "10.0.1.2:1").echo(1);
        table.send(0, &ping[..]);
        neighbors.settle(&mut table);
        let asked = taken(&mut table, 1);
        assert_eq!(asked.len(), 1);
        assert_eq!((&asked[0][..6], &asked[0][12..14]), (&[0xff; 6][..], &[8, 6][..]), "an ARP request");
        table.send(1, &arp_reply()[..]);
        neighbors.settle(&mut table);
        let left = taken(&mut table, 1);
        assert_eq!(left.len(), 1);
        assert_eq!((&left[0][..6], &left[0][34..]), (&SERVER.0[..], &ping[34..]));
        assert_eq!(table.counters().held.get(), 1);
    }

    #[test]
    fn an_ipv6_ping_does_too_and_nobody_there_is_an_error() {
        let (mut table, mut neighbors) = table();
        let ping = Ends::to_port(0, "[fd00::2]:1", "[fd00:0:0:1::2]:1").echo(1);
        table.send(0, &ping[..]);
        neighbors.settle(&mut table);
        neighbors.advance(&mut table, Duration::from_millis(2_999));
        let asked = taken(&mut table, 1);
        assert_eq!(asked.len(), 3, "three solicitations");
        assert!(asked.iter().all(|frame| frame[54] == 135));
        neighbors.advance(&mut table, Duration::from_millis(1));
        assert_eq!(table.counters().drops(DropReason::NeighborFailed), 1);
        let told = taken(&mut table, 0);
        assert_eq!(told[0][54], 135, "who is to be told is to be found first");
    }

    #[test]
    fn questions_for_the_routers_addresses_are_answered() {
        let (mut table, mut neighbors) = table();
        let mut request = arp_reply();
        request[..6].fill(0xff);
        request[21] = 1;
        table.send(1, &request[..]);
        neighbors.settle(&mut table);
        let answers = taken(&mut table, 1);
        assert_eq!(answers.len(), 1);
        assert_eq!((&answers[0][..6], answers[0][21]), (&SERVER.0[..], 2));
        let known = neighbors.neighborhood.neighbor(PortId(1), "10.0.1.2".parse().unwrap());
        assert_eq!(known, Some((NeighborState::Stale, Some(SERVER))));
        assert_eq!(table.counters().discovery_heard.get(), 1);
    }

    /// Counts what it sees, and lets it pass or not.
    struct Judge(Verdict);

    impl Hook for Judge {
        fn handle(&self, packet: &mut Packet, _: &mut Context<'_>) -> Verdict {
            let is_arp = packet.family() == Family::Arp;
            assert!(!is_arp || packet.ip().len() >= 28, "behind the link header");
            self.0
        }
    }

    fn refuse(table: &Tabletop, family: Family, point: Point) {
        let place = Place::new(family, point, "judge");
        let hook = Arc::new(Judge(Verdict::Drop(DropReason::Rule)));
        let seat = Registration { place, priority: priority::FILTER, hook };
        table.hooks().register([seat]).unwrap();
    }

    #[test]
    fn hooks_of_arp_judge_what_comes_in_and_what_goes_out() {
        for point in [Point::Input, Point::Output] {
            let (mut table, mut neighbors) = table();
            refuse(&table, Family::Arp, point);
            let mut request = arp_reply();
            request[..6].fill(0xff);
            request[21] = 1;
            table.send(1, &request[..]);
            neighbors.settle(&mut table);
            assert!(taken(&mut table, 1).is_empty(), "{point:?}");
            assert_eq!(table.counters().drops(DropReason::Rule), 1);
            let heard = u64::from(point == Point::Output);
            assert_eq!(table.counters().discovery_heard.get(), heard);
        }
    }

    #[test]
    fn hooks_of_ipv6_judge_solicitations_that_go_out_and_leave_them_untracked() {
        for point in [Point::Output, Point::Postrouting] {
            let (mut table, mut neighbors) = table();
            refuse(&table, Family::Ipv6, point);
            neighbors.neighborhood.ask(PortId(1), "fd00:0:0:1::2".parse().unwrap(), table.now());
            neighbors.settle(&mut table);
            assert!(taken(&mut table, 1).is_empty());
            assert_eq!(table.counters().drops(DropReason::Rule), 1, "{point:?}");
            assert!(table.counters().untracked_packets.get() > 0);
            assert_eq!(table.shared().flows.len(), 0);
        }
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (mut table, _neighbors) = table();
        let frames = table.frames_available();
        for _ in 0..HEARD_MAX + 5 {
            table.pass(1, &arp_reply()[..]);
        }
        assert_eq!(table.counters().drops(DropReason::DiscoveryQueueFull), 5);
        assert_eq!(table.frames_available(), frames);
    }

    #[test]
    fn with_the_kernel_as_host_arp_is_the_kernels() {
        let mut table = Tabletop::new(&["r0", "r1"]);
        refuse(&table, Family::Arp, Point::Input);
        table.pass(1, &arp_reply()[..]);
        assert_eq!((table.counters().ignored.get(), table.counters().drops(DropReason::Rule)), (1, 0));
    }
}
