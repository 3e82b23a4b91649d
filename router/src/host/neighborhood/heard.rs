//! What is made of messages that are heard: neighbors learned, questions answered, conflicts noticed (`arp_process`,
//! `ndisc_rcv`).

use std::net::{IpAddr, Ipv6Addr};

use conntrack::Instant;
use fib::adjacency::{Mac, PortId};
use ipnet::IpNet;

use super::entry::{News, Replaces};
use super::outbox::Event;
use super::wire::{self, Advertisement, Arp, Message, Nonce, Received, Unreadable};
use super::{Interface, Key, Neighborhood, is_group};

/// A neighbor solicitation, without what it says of the link.
struct Solicitation {
    source: Ipv6Addr,
    to_group: bool,
    target: Ipv6Addr,
    link_address: Option<Mac>,
    nonce: Option<Nonce>,
}

impl Neighborhood {
    /// A port has received this frame. `routed_by` says by which port an address is reached, for answers in the place of
    /// others. Frames that are neither ARP nor neighbor discovery are passed over.
    pub fn heard(
        &mut self,
        port: PortId,
        frame: &[u8],
        now: Instant,
        routed_by: &dyn Fn(IpAddr) -> Option<PortId>,
    ) {
        let counters = &mut self.outbox.counters;
        counters.heard += 1;
        let Some(interface) = self.ports.get(&port).filter(|port| port.passes()).map(|port| port.interface)
        else {
            counters.ignored += 1;
            return;
        };
        let received = match wire::read(frame, interface.mac) {
            Ok(received) if received.link_source == interface.mac => {
                counters.looped += 1;
                return;
            }
            Ok(received) => received,
            Err(Unreadable::Malformed) => {
                counters.malformed += 1;
                return;
            }
            Err(Unreadable::Other) => {
                counters.ignored += 1;
                return;
            }
        };
        let ear = Ear { port, interface, now, routed_by };
        match received.message {
            Message::Arp(arp) => self.heard_arp(&ear, &received, &arp),
            Message::Solicitation { source, to_group, target, link_address, nonce } => {
                let solicitation = Solicitation { source, to_group, target, link_address, nonce };
                self.heard_solicitation(&ear, &received, &solicitation);
            }
            Message::Advertisement(advertisement) => {
                self.heard_advertisement(&ear, &received, &advertisement);
            }
            Message::RouterSolicitation { source, link_address } => {
                self.heard_router_message(&ear, source, link_address, false);
                self.solicited(&ear);
            }
            Message::RouterAdvertisement { source, link_address } => {
                self.heard_router_message(&ear, source, link_address, true);
            }
            Message::Redirect => self.outbox.counters.ignored += 1,
        }
    }

    fn heard_arp(&mut self, ear: &Ear<'_>, received: &Received, arp: &Arp) {
        let (sender, target) = (IpAddr::V4(arp.sender), IpAddr::V4(arp.target));
        let key = (ear.port, sender);
        if self.is_ours(key) {
            return self.conflict(key, arp.sender_mac, ear.now);
        }
        if arp.sender.is_unspecified() {
            return self.heard_arp_probe(ear, arp);
        }
        if is_group(sender) || arp.sender.is_loopback() || self.is_own_anywhere(sender) {
            // A martian to Linux (`ip_route_input_noref`).
            self.outbox.counters.malformed += 1;
            return;
        }
        let said = News::told(Some(arp.sender_mac));
        if arp.request && self.answers_arp_for(ear.port, target) {
            self.learn(key, said, true, ear.now);
            self.outbox.counters.answers += 1;
            let frame = arp_reply(ear.interface.mac, arp);
            return self.outbox.send(ear.port, frame);
        }
        let gratuitous = sender == target && (arp.request || arp.target_mac == arp.sender_mac);
        if arp.request && !gratuitous && self.proxies(ear.port, target, ear.routed_by) {
            self.learn(key, said, true, ear.now);
            let frame = arp_reply(ear.interface.mac, arp);
            return self.answer_for_another(ear.port, frame, received.to_port, ear.now);
        }
        let unasked = self.settings.accept_unasked && (gratuitous || !arp.request);
        let is_locked = !gratuitous
            && self.table.found(key).is_some_and(|entry| {
                // Of several answers the first counts: it came by the shortest way.
                ear.now <= entry.updated() + self.settings.lock_time
            });
        let news = News {
            mac: Some(arp.sender_mac),
            solicited: !arp.request && received.to_port,
            replaces: if is_locked { Replaces::No } else { Replaces::Yes },
            is_router: None,
        };
        self.learn(key, news, unasked, ear.now);
    }

    /// Somebody tries an address (RFC 5227 section 2.1.1).
    fn heard_arp_probe(&mut self, ear: &Ear<'_>, arp: &Arp) {
        let key = (ear.port, IpAddr::V4(arp.target));
        if !arp.request {
            return;
        }
        if self.own.get(&key).is_some_and(|own| !own.is_ready()) {
            return self.conflict(key, arp.sender_mac, ear.now);
        }
        if self.answers_arp_for(ear.port, key.1) {
            self.outbox.counters.answers += 1;
            self.outbox.send(ear.port, arp_reply(ear.interface.mac, arp));
        }
    }

    fn heard_solicitation(&mut self, ear: &Ear<'_>, received: &Received, asked: &Solicitation) {
        let is_trial = asked.source.is_unspecified();
        let key = (ear.port, IpAddr::V6(asked.target));
        let own = self.own.get(&key);
        if own.is_some_and(|own| own.has_asked(asked.nonce)) {
            // Our own question, which the link has brought back (RFC 7527).
            self.outbox.counters.looped += 1;
            return;
        }
        let is_ready = own.map(super::Own::is_ready);
        let is_anycast = self.is_anycast(ear.port, asked.target);
        match is_ready {
            Some(false) if is_trial => return self.conflict(key, received.link_source, ear.now),
            Some(false) => return,
            Some(true) => {}
            None if is_anycast || self.proxies(ear.port, key.1, ear.routed_by) => {}
            None => {
                self.outbox.counters.ignored += 1;
                return;
            }
        }
        let is_own = is_ready.is_some();
        let asker = (ear.port, IpAddr::V6(asked.source));
        if self.is_ours(asker) {
            return self.conflict(asker, received.link_source, ear.now);
        }
        let (destination, to) = if is_trial {
            (wire::ALL_NODES, wire::group_mac(wire::ALL_NODES))
        } else {
            let news = News::told(asked.link_address);
            self.learn(asker, news, asked.link_address.is_some(), ear.now);
            let known = self.table.get(asker).and_then(|(_, mac)| mac);
            if asked.to_group && asked.link_address.is_none() && !self.table.contains(asker) {
                // Who asks many has to say where it is (RFC 4861 section 4.3).
                self.outbox.counters.ignored += 1;
                return;
            }
            // Linux looks for one that asks only the router and does not say where it is; the frame says it.
            (asked.source, asked.link_address.or(known).unwrap_or(received.link_source))
        };
        let source = if is_own { Some(asked.target) } else { self.source_ipv6(ear.port, Some(destination)) };
        let Some(source) = source else { return };
        let answer = Advertisement {
            target: asked.target,
            link_address: (is_trial || asked.to_group).then_some(ear.interface.mac),
            router: is_own || is_anycast,
            solicited: !is_trial,
            replaces: is_own && asked.to_group,
        };
        let frame = wire::advertisement(ear.interface.mac, source, destination, to, &answer);
        if is_own {
            self.outbox.counters.answers += 1;
            self.outbox.send(ear.port, frame);
        } else {
            self.answer_for_another(ear.port, frame, received.to_port || !asked.to_group, ear.now);
        }
        if !is_trial && self.table.contains(asker) {
            // The answer is a packet to the asker, who is stale (`neigh_resolve_output`).
            self.ask(ear.port, asker.1, ear.now);
        }
    }

    fn heard_advertisement(&mut self, ear: &Ear<'_>, received: &Received, said: &Advertisement) {
        let key = (ear.port, IpAddr::V6(said.target));
        if self.is_ours(key) {
            return self.conflict(key, said.link_address.unwrap_or(received.link_source), ear.now);
        }
        let proxied = self.ports.get(&ear.port).is_some_and(|port| port.proxy.covers(key.1));
        if proxied && said.link_address == Some(ear.interface.mac) {
            self.outbox.counters.looped += 1;
            return;
        }
        let known = self.table.get(key).map(|(state, _)| state);
        if known == Some(fib::change::NeighborState::Failed) {
            return;
        }
        let news = News {
            mac: said.link_address,
            solicited: said.solicited && known.is_some(),
            replaces: if said.replaces { Replaces::Yes } else { Replaces::Doubts },
            is_router: Some(said.router),
        };
        self.learn(key, news, self.settings.accept_unasked, ear.now);
    }

    /// A router, or a host that looks for one, says where it is.
    fn heard_router_message(
        &mut self,
        ear: &Ear<'_>,
        source: Ipv6Addr,
        link_address: Option<Mac>,
        is_router: bool,
    ) {
        let key = (ear.port, IpAddr::V6(source));
        if self.is_ours(key) {
            return self.conflict(key, link_address.unwrap_or_default(), ear.now);
        }
        if link_address.is_some() && !is_group(key.1) {
            let news = News { is_router: Some(is_router), ..News::told(link_address) };
            self.learn(key, news, true, ear.now);
        }
    }

    /// A host looks for routers.
    fn solicited(&mut self, ear: &Ear<'_>) {
        let Some(known) = self.ports.get_mut(&ear.port) else { return };
        if let Some(advertiser) = &mut known.advertiser {
            advertiser.solicited(ear.now, &mut self.random);
            self.timers.set(super::Timer::Advertise(ear.port), advertiser.due());
        }
    }

    /// Takes in what a message says of a neighbor; `make` makes one that is not known.
    fn learn(&mut self, key: Key, news: News, make: bool, now: Instant) {
        if let Some(mac) = self.table.static_mac(key) {
            if let Some(claimed) = news.mac.filter(|claimed| *claimed != mac) {
                self.outbox.counters.claims += 1;
                self.outbox.tell(Event::Claimed { port: key.0, address: key.1, mac: claimed });
            }
            return;
        }
        let has_room =
            self.table.contains(key) || make && news.mac.is_some() && self.make_room(key, false, now);
        if !has_room {
            return;
        }
        let reachable_time = self.reachable_time(key.0, now);
        let entry = self.table.found_or_new(key, now);
        let before = entry.mac();
        entry.update(news, now, reachable_time);
        if let (Some(before), Some(after)) = (before, entry.mac())
            && before != after
        {
            self.outbox.tell(Event::Moved { port: key.0, address: key.1, before, after });
        }
        self.settle(key);
    }

    /// Whether ARP on this port answers for an address of the router's.
    fn answers_arp_for(&self, port: PortId, target: IpAddr) -> bool {
        let is_ready = |port: PortId| self.own.get(&(port, target)).is_some_and(super::Own::is_ready);
        is_ready(port) || self.settings.answer_on_all_ports && self.ports.keys().any(|port| is_ready(*port))
    }

    /// Whether this is the address by which any router of a link is asked for (RFC 4291 section 2.6.1), of a prefix that
    /// has room for it (`addrconf_join_anycast`).
    fn is_anycast(&self, port: PortId, target: Ipv6Addr) -> bool {
        let is_it = |net: IpNet| match net {
            IpNet::V6(net) => net.prefix_len() < 127 && net.network() == target,
            IpNet::V4(_) => false,
        };
        self.own.iter().any(|(key, own)| key.0 == port && own.is_ready() && is_it(own.net()))
    }

    fn is_own_anywhere(&self, address: IpAddr) -> bool {
        self.ports.keys().any(|port| self.is_ours((*port, address)))
    }
}

/// Where and when something was heard.
struct Ear<'a> {
    port: PortId,
    interface: Interface,
    now: Instant,
    routed_by: &'a dyn Fn(IpAddr) -> Option<PortId>,
}

/// The answer to an ARP request: its target is at this link address.
fn arp_reply(mac: Mac, asked: &Arp) -> Vec<u8> {
    let reply = Arp {
        request: false,
        sender_mac: mac,
        sender: asked.target,
        target_mac: asked.sender_mac,
        target: asked.sender,
    };
    wire::arp(&reply, asked.sender_mac)
}
