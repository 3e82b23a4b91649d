//! A stand-in for the kernel under the router: owns its addresses, answers ARP, ND and echoes for them, and finds
//! neighbors when the router asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use conntrack::Instant;
use fib::adjacency::{LinkIndex, Mac};
use fib::change::{Change, NeighborEntry, NeighborState};

use crate::frames::{
    Checksum, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Icmp, Link, Payload, V4, V6, arp,
};

/// Questions asked about one neighbor before it has failed (`mcast_solicit`), and the time between them.
const TRIES: u32 = 3;
const TRY_EVERY: Duration = Duration::from_secs(1);
const BROADCAST: [u8; 6] = [0xff; 6];

/// What the stand-in does about a frame or the passing of time.
#[derive(Debug, Default)]
pub(super) struct Doings {
    /// Frames to send, each by a port.
    pub(super) frames: Vec<(usize, Vec<u8>)>,
    /// News for the router.
    pub(super) changes: Vec<Change>,
}

/// The stand-in.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    ports: Vec<Port>,
    /// Neighbors that are being looked for.
    searches: BTreeMap<(usize, IpAddr), Search>,
    /// Neighbors that were found.
    found: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug)]
struct Port {
    mac: [u8; 6],
    addresses: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Search {
    tries_left: u32,
    next: Instant,
}

impl Kernel {
    pub(super) fn add_port(&mut self, mac: [u8; 6]) {
        self.ports.push(Port { mac, addresses: Vec::new() });
    }

    pub(super) fn add_address(&mut self, port: usize, address: IpAddr) {
        self.ports[port].addresses.push(address);
    }

    /// The router asks for a neighbor.
    pub(super) fn ask(&mut self, port: usize, address: IpAddr, now: Instant) {
        self.searches.entry((port, address)).or_insert(Search { tries_left: TRIES, next: now });
    }

    /// Sends questions that are due, and gives up those that were asked often enough.
    pub(super) fn work(&mut self, now: Instant) -> Doings {
        let mut doings = Doings::default();
        let due: Vec<_> = self.searches.iter().filter(|(_, search)| search.next <= now).collect();
        let due: Vec<_> = due.into_iter().map(|(key, search)| (*key, *search)).collect();
        for ((port, address), search) in due {
            if search.tries_left == 0 {
                self.searches.remove(&(port, address));
                doings.changes.push(neighbor(port, address, None));
                continue;
            }
            doings.frames.extend(self.question(port, address).map(|frame| (port, frame)));
            let next = Search { tries_left: search.tries_left - 1, next: search.next + TRY_EVERY };
            self.searches.insert((port, address), next);
        }
        doings
    }

    /// When [`Self::work`] has something to do next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.searches.values().map(|search| search.next).min()
    }

    /// Looks at a frame that has arrived at a port, as the kernel does beside the router.
    pub(super) fn look(&mut self, port: usize, frame: &[u8]) -> Doings {
        let mut doings = Doings::default();
        let answered = match frame.get(12..14).map(|kind| u16::from_be_bytes([kind[0], kind[1]])) {
            Some(ETHERTYPE_ARP) => self.look_at_arp(port, &frame[14..], &mut doings),
            Some(ETHERTYPE_IPV4) => self.look_at_ipv4(port, frame),
            Some(ETHERTYPE_IPV6) => self.look_at_ipv6(port, frame, &mut doings),
            _ => None,
        };
        doings.frames.extend(answered.map(|frame| (port, frame)));
        doings
    }

    /// A link was cut: the kernel forgets who was on it (`neigh_carrier_down`).
    pub(super) fn cut(&mut self, port: usize) -> Vec<Change> {
        let link = LinkIndex(port as u32 + 1);
        self.searches.retain(|(at, _), _| *at != port);
        let gone: Vec<_> = self.found.extract_if(.., |(at, _)| *at == port).collect();
        gone.into_iter().map(|(_, address)| Change::NeighborGone { link, address }).collect()
    }

    fn look_at_arp(&mut self, port: usize, packet: &[u8], doings: &mut Doings) -> Option<Vec<u8>> {
        let operation = *packet.get(7)?;
        let sender_mac: [u8; 6] = packet.get(8..14)?.try_into().ok()?;
        let sender = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(14..18)?).ok()?);
        let target = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(24..28)?).ok()?);
        self.learn(port, sender.into(), sender_mac, doings);
        if operation != 1 || !self.owns(port, target.into()) {
            return None;
        }
        let own = self.ports[port].mac;
        let answer = arp(2, (own, target), (sender_mac, sender));
        Some(self.link(port, sender_mac).around(ETHERTYPE_ARP, &answer))
    }

    fn look_at_ipv4(&self, port: usize, frame: &[u8]) -> Option<Vec<u8>> {
        let packet = &frame[14..];
        let source = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?);
        let destination = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?);
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let icmp = packet.get(20..length)?;
        if packet[9] != 1 || *icmp.first()? != 8 || !self.owns_anywhere(destination.into()) {
            return None;
        }
        let answer = V4 {
            version: 4,
            header_words: None,
            tos: 0,
            total_length: None,
            id: 0,
            reserved: false,
            dont_fragment: false,
            more_fragments: false,
            offset: 0,
            ttl: 64,
            protocol: None,
            checksum: Checksum::Right,
            source: destination,
            destination: source,
            options: Vec::new(),
            payload: echo_reply(0, icmp)?,
        };
        Some(self.answer(port, frame)?.around(ETHERTYPE_IPV4, &answer.bytes()))
    }

    fn look_at_ipv6(&mut self, port: usize, frame: &[u8], doings: &mut Doings) -> Option<Vec<u8>> {
        const ICMPV6: u8 = 58;
        let packet = &frame[14..];
        let source = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?);
        let destination = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?);
        let icmp = packet.get(40..)?;
        if packet[6] != ICMPV6 {
            return None;
        }
        let target = || Some(Ipv6Addr::from(<[u8; 16]>::try_from(icmp.get(8..24)?).ok()?));
        let option_mac = || <[u8; 6]>::try_from(icmp.get(26..32)?).ok();
        match *icmp.first()? {
            128 if self.owns_anywhere(destination.into()) => {
                let answer = ipv6(destination, source, 64, echo_reply(129, icmp)?);
                Some(self.answer(port, frame)?.around(ETHERTYPE_IPV6, &answer.bytes()))
            }
            135 => {
                let mac = option_mac()?;
                self.learn(port, source.into(), mac, doings);
                let target = target().filter(|target| self.owns(port, (*target).into()))?;
                // Router, solicited, override; then the target's link address as an option.
                let data = [target.octets().as_slice(), &[2, 1], &self.ports[port].mac].concat();
                let message = icmpv6(136, [0xe0, 0, 0, 0], data);
                let answer = ipv6(target, source, 255, message);
                Some(self.link(port, mac).around(ETHERTYPE_IPV6, &answer.bytes()))
            }
            136 => {
                self.learn(port, target()?.into(), option_mac()?, doings);
                None
            }
            _ => None,
        }
    }

    /// Takes note of a neighbor's link address, if it is being looked for.
    fn learn(&mut self, port: usize, address: IpAddr, mac: [u8; 6], doings: &mut Doings) {
        if self.searches.remove(&(port, address)).is_some() {
            self.found.insert((port, address));
            doings.changes.push(neighbor(port, address, Some(mac)));
        }
    }

    /// An ARP request or a neighbor solicitation.
    fn question(&self, port: usize, address: IpAddr) -> Option<Vec<u8>> {
        let own = self.ports[port].mac;
        let same_family = |own: &&IpAddr| own.is_ipv4() == address.is_ipv4();
        let source = *self.ports[port].addresses.iter().find(same_family)?;
        match (source, address) {
            (IpAddr::V4(source), IpAddr::V4(address)) => {
                let question = arp(1, (own, source), ([0; 6], address));
                Some(self.link(port, BROADCAST).around(ETHERTYPE_ARP, &question))
            }
            (IpAddr::V6(source), IpAddr::V6(address)) => {
                let last = &address.octets()[13..];
                let group_mac = [0x33, 0x33, 0xff, last[0], last[1], last[2]];
                let mut group = "ff02::1:ff00:0".parse::<Ipv6Addr>().expect("an address").octets();
                group[13..].copy_from_slice(last);
                let data = [address.octets().as_slice(), &[1, 1], &own].concat();
                let question = ipv6(source, group.into(), 255, icmpv6(135, [0; 4], data));
                Some(self.link(port, group_mac).around(ETHERTYPE_IPV6, &question.bytes()))
            }
            _ => None,
        }
    }

    fn link(&self, port: usize, destination: [u8; 6]) -> Link {
        Link { destination, source: self.ports[port].mac, tags: Vec::new(), trailer: Vec::new() }
    }

    /// Back to where a frame came from.
    fn answer(&self, port: usize, frame: &[u8]) -> Option<Link> {
        Some(self.link(port, frame.get(6..12)?.try_into().ok()?))
    }

    fn owns(&self, port: usize, address: IpAddr) -> bool {
        self.ports[port].addresses.contains(&address)
    }

    fn owns_anywhere(&self, address: IpAddr) -> bool {
        self.ports.iter().any(|port| port.addresses.contains(&address))
    }
}

fn neighbor(port: usize, address: IpAddr, mac: Option<[u8; 6]>) -> Change {
    let state = if mac.is_some() { NeighborState::Reachable } else { NeighborState::Failed };
    Change::Neighbor(NeighborEntry { link: LinkIndex(port as u32 + 1), address, state, mac: mac.map(Mac) })
}

fn echo_reply(kind: u8, request: &[u8]) -> Option<Payload> {
    let rest = request.get(4..8)?.try_into().ok()?;
    Some(Payload::Icmp(Icmp { kind, code: 0, checksum: Checksum::Right, rest, data: request[8..].to_vec() }))
}

fn icmpv6(kind: u8, rest: [u8; 4], data: Vec<u8>) -> Payload {
    Payload::Icmp(Icmp { kind, code: 0, checksum: Checksum::Right, rest, data })
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, payload: Payload) -> V6 {
    V6 {
        version: 6,
        traffic_class: 0,
        flow_label: 0,
        payload_length: None,
        next_header: None,
        hop_limit,
        source,
        destination,
        extensions: Vec::new(),
        payload,
    }
}
