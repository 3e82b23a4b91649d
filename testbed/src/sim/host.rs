//! Hosts of the simulated ground: smoltcp's stack, with a network card for each of its links.

use std::collections::VecDeque;
use std::time::Duration;

use conntrack::Instant;
use router::port::memory::Parcel;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address};

use super::offload;

/// A host: one stack. It sends by its first link and takes packets on all of them; what it answers at once (ARP, ND,
/// echoes, some TCP acknowledgments) leaves by the link the question came by.
pub struct Host {
    /// Its sockets.
    pub sockets: SocketSet<'static>,
    links: Vec<(Interface, Card)>,
}

/// A network card: frames that arrived, frames to be sent.
#[derive(Debug, Default)]
struct Card {
    arrived: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    mtu: usize,
    /// Hands over and takes super-packets.
    offloads: bool,
}

impl Host {
    pub(super) fn new() -> Self {
        Self { sockets: SocketSet::new(Vec::new()), links: Vec::new() }
    }

    /// Adds a link; returns its number.
    pub(super) fn add_link(&mut self, mac: [u8; 6], offloads: bool, seed: u64) -> usize {
        let mut card = Card { mtu: 1500, offloads, ..Card::default() };
        let mut config = Config::new(EthernetAddress(mac).into());
        config.random_seed = seed;
        let interface = Interface::new(config, &mut card, StackInstant::ZERO);
        self.links.push((interface, card));
        self.links.len() - 1
    }

    /// Gives a link an address.
    ///
    /// # Panics
    /// If a link has more addresses than the stack has room for.
    pub(super) fn add_address(&mut self, link: usize, net: ipnet::IpNet) {
        let net = IpCidr::new(net.addr().into(), net.prefix_len());
        self.links[link].0.update_ip_addrs(|addresses| addresses.push(net).expect("room for the address"));
    }

    /// Gives an address to all links, as one on the loopback device is the whole host's.
    pub(super) fn add_address_everywhere(&mut self, net: ipnet::IpNet) {
        (0..self.links.len()).for_each(|link| self.add_address(link, net));
    }

    /// Sets a link's default route of the gateway's family.
    ///
    /// # Panics
    /// If the stack has no room for a route.
    pub(super) fn set_gateway(&mut self, link: usize, gateway: std::net::IpAddr) {
        let routes = self.links[link].0.routes_mut();
        let set = match IpAddress::from(gateway) {
            IpAddress::Ipv4(gateway) => routes.add_default_ipv4_route(Ipv4Address::from(gateway.octets())),
            IpAddress::Ipv6(gateway) => routes.add_default_ipv6_route(Ipv6Address::from(gateway.octets())),
        };
        set.expect("room for a default route");
    }

    /// The stack's context of the first link, as `connect` wants it, beside the sockets.
    pub(super) fn parts(&mut self) -> (&mut Interface, &mut SocketSet<'static>) {
        (&mut self.links[0].0, &mut self.sockets)
    }

    /// A frame has arrived on a link.
    pub(super) fn arrive(&mut self, link: usize, parcel: Parcel) {
        self.links[link].1.arrived.extend(offload::cut(parcel));
    }

    /// Lets the stack work at `now`; whether anything happened.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        let now = stack_time(now);
        let mut active = false;
        for (interface, card) in &mut self.links {
            while interface.poll_ingress_single(now, card, &mut self.sockets) != PollIngressSingleResult::None
            {
                active = true;
            }
        }
        let (interface, card) = &mut self.links[0];
        interface.poll_maintenance(now);
        while interface.poll_egress(now, card, &mut self.sockets) != PollResult::None {
            active = true;
        }
        active
    }

    /// Takes what a link is to carry.
    pub(super) fn take_sent(&mut self, link: usize) -> Vec<Parcel> {
        let card = &mut self.links[link].1;
        let frames = std::mem::take(&mut card.sent);
        if card.offloads {
            offload::glue(frames)
        } else {
            frames.into_iter().map(|bytes| Parcel { bytes, ..Parcel::default() }).collect()
        }
    }

    /// How long until the stack wants to work again, if it does.
    pub(super) fn due_in(&mut self, now: Instant) -> Option<Duration> {
        let (interface, _) = &mut self.links[0];
        interface.poll_delay(stack_time(now), &self.sockets).map(Into::into)
    }
}

fn stack_time(now: Instant) -> StackInstant {
    StackInstant::from_micros((now.nanos() / 1_000).cast_signed())
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Outlet<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(Received, Outlet<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Received(frame), Outlet(&mut self.sent)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Outlet<'_>> {
        Some(Outlet(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

/// A frame on its way into the stack.
struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_frame: F) -> R {
        use_frame(&self.0)
    }
}

/// The way out of the stack.
struct Outlet<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Outlet<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push(frame);
        result
    }
}
