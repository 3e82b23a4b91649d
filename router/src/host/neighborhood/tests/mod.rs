//! The neighborhood in virtual time: a link of which the tests play the other end.

mod addresses;
mod advertisements;
mod answers;
mod bounds;
mod recorded;
mod states;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{LinkIndex, Mac, PortId};
use fib::change::{Change, NeighborState};

use super::wire::{self, Advertisement, Arp, Message, Received};
use super::*;

const PORT: PortId = PortId(0);
const OTHER_PORT: PortId = PortId(1);
const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const OWN4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn own6() -> Ipv6Addr {
    "fe80::1".parse().unwrap()
}

fn peer6() -> Ipv6Addr {
    "fe80::2".parse().unwrap()
}

/// The peer, in either family.
fn peers() -> [IpAddr; 2] {
    [PEER4.into(), peer6().into()]
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// One router at one link.
struct Link {
    hood: Neighborhood,
    now: Instant,
}

impl Link {
    /// With an address of each family, both in use since long, and nothing left to be taken.
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let mut link = Self::bare(settings);
        link.hood.add_address(PORT, format!("{OWN4}/24").parse().unwrap(), true, link.now);
        link.hood.add_address(PORT, format!("{}/64", own6()).parse().unwrap(), true, link.now);
        link.pass(Duration::from_secs(60));
        link.quiet();
        link
    }

    /// Without addresses.
    fn bare(settings: Settings) -> Self {
        let mut link = Self { hood: Neighborhood::new(settings, 7), now: Instant::from_secs(100) };
        link.up(true);
        link
    }

    fn up(&mut self, up: bool) {
        let interface = Interface { link: LinkIndex(5), mac: OWN, mtu: 1500, up };
        self.hood.set_interface(PORT, interface, self.now);
    }

    /// Lets time pass, and what is due happen when it is.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.hood.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.hood.turn(self.now);
        }
        self.now = end;
    }

    fn ask(&mut self, address: IpAddr) {
        self.hood.ask(PORT, address, self.now);
    }

    fn hear(&mut self, frame: &[u8]) {
        self.hood.heard(PORT, frame, self.now, &|_| None);
    }

    fn state(&self, address: IpAddr) -> NeighborState {
        self.hood.neighbor(PORT, address).map_or(NeighborState::None, |(state, _)| state)
    }

    fn mac(&self, address: IpAddr) -> Option<Mac> {
        self.hood.neighbor(PORT, address).and_then(|(_, mac)| mac)
    }

    /// What was sent: each with whom it was for, as the other end reads it.
    fn sent(&mut self) -> Vec<(Mac, Message)> {
        std::iter::from_fn(|| self.hood.take_frame())
            .map(|outgoing| {
                let Received { link_source, message, .. } =
                    wire::read(&outgoing.frame, A).expect("what is sent is sound");
                assert_eq!(link_source, OWN);
                (Mac(outgoing.frame[..6].try_into().unwrap()), message)
            })
            .collect()
    }

    fn verdicts(&mut self) -> Vec<(IpAddr, Standing)> {
        std::iter::from_fn(|| self.hood.take_verdict()).map(|told| (told.address, told.standing)).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.hood.take_event()).collect()
    }

    /// Takes out all there is.
    fn quiet(&mut self) {
        self.sent();
        self.verdicts();
        self.events();
        self.hood.take_changes();
    }

    /// Brings the peer into a state by what brings neighbors there, with the link address `A`.
    fn bring(&mut self, address: IpAddr, state: NeighborState) {
        match state {
            NeighborState::None => {}
            NeighborState::Incomplete => self.ask(address),
            NeighborState::Failed => {
                self.ask(address);
                self.pass(Duration::from_secs(3));
            }
            NeighborState::Reachable => {
                self.ask(address);
                self.hear(&answer(address, A));
            }
            NeighborState::Stale => {
                self.bring(address, NeighborState::Reachable);
                self.pass(Duration::from_secs(46));
            }
            NeighborState::Delay => {
                self.bring(address, NeighborState::Stale);
                self.ask(address);
            }
            NeighborState::Probe => {
                self.bring(address, NeighborState::Delay);
                self.pass(Duration::from_secs(5));
            }
            NeighborState::Permanent | NeighborState::NoArp => unreachable!("no way leads there"),
        }
        assert_eq!(self.state(address), state, "{address}");
        self.quiet();
    }
}

/// The peer's answer to a question, at a link address.
fn answer(address: IpAddr, mac: Mac) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp_reply(address, mac),
        IpAddr::V6(address) => advertisement(address, Some(mac), true, true),
    }
}

/// An ARP reply to this router alone.
fn arp_reply(sender: Ipv4Addr, mac: Mac) -> Vec<u8> {
    let arp = Arp { request: false, sender_mac: mac, sender, target_mac: OWN, target: OWN4 };
    wire::arp(&arp, OWN)
}

fn arp_request(sender: Ipv4Addr, mac: Mac, target: Ipv4Addr) -> Vec<u8> {
    wire::arp_request(mac, sender, target, wire::BROADCAST)
}

/// A neighbor advertisement: to this router alone if it is solicited, else to all nodes.
fn advertisement(target: Ipv6Addr, mac: Option<Mac>, solicited: bool, replaces: bool) -> Vec<u8> {
    let said = Advertisement { target, link_address: mac, router: false, solicited, replaces };
    let (destination, to) =
        if solicited { (own6(), OWN) } else { (wire::ALL_NODES, wire::group_mac(wire::ALL_NODES)) };
    wire::advertisement(mac.unwrap_or(A), target, destination, to, &said)
}

/// A neighbor solicitation for one of this router's addresses.
fn solicitation(source: Ipv6Addr, mac: Mac, target: Ipv6Addr, to: Option<Mac>) -> Vec<u8> {
    wire::solicitation(mac, source, target, to, None)
}
