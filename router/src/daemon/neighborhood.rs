//! The neighbors of a router that is its own host, between workers, routing state and clock: what workers ask and hear
//! goes in, what comes out is put where it belongs.

use std::future::pending;
use std::net::IpAddr;

use ctl::message::HostEvent;
use fib::adjacency::{Mac, PortId};

use super::Core;
use crate::control::Events;
use crate::engine::{Heard, routed_by};
use crate::host::neighborhood::{Event, Interface, Standing, Verdict};

impl Core {
    /// A packet waits for a neighbor, or is sent to it while it is stale.
    pub(super) fn find_neighbor(&self, port: PortId, address: IpAddr, events: &Events) {
        self.neighborhood.borrow_mut().ask(port, address, self.now());
        self.follow_neighborhood(events);
    }

    /// Takes messages that workers have heard.
    pub(super) fn hear(&self, messages: impl Iterator<Item = Heard>, events: &Events) {
        let now = self.now();
        for Heard { port, frame } in messages {
            let routed_by = |address| routed_by(&self.reader.load(), port, address);
            self.neighborhood.borrow_mut().heard(port, &frame, now, &routed_by);
        }
        self.follow_neighborhood(events);
    }

    /// Does what time brings.
    pub(super) fn tend_neighbors(&self, events: &Events) {
        self.neighborhood.borrow_mut().turn(self.now());
        self.follow_neighborhood(events);
    }

    /// The router ends: those who took it for theirs are told.
    pub(super) fn end_neighbors(&self) {
        self.neighborhood.borrow_mut().end(self.now());
        self.send_from_neighborhood();
    }

    /// Ends when something is due.
    pub(super) async fn neighbor_due(&self) {
        let deadline = self.neighborhood.borrow().deadline();
        match deadline {
            Some(deadline) => tokio::time::sleep(deadline - self.now()).await,
            None => pending().await,
        }
    }

    /// Tells of the devices behind the ports as they are now.
    pub(super) fn follow_interfaces(&self) {
        if !self.shared.host.is_owned() {
            return;
        }
        let now = self.now();
        let writer = self.writer.borrow();
        let mut neighborhood = self.neighborhood.borrow_mut();
        for port in self.port_ids() {
            let view = self.shared.ports.get(port);
            let Some(index) = view.link else {
                neighborhood.remove_interface(port, now);
                continue;
            };
            let has_carrier = writer.links().any(|row| row.link.index == index && row.link.carrier);
            let mac = if view.needs_resolution { view.mac } else { Mac::default() };
            let interface = Interface { link: index, mac, mtu: view.mtu, up: view.up && has_carrier };
            neighborhood.set_interface(port, interface, now);
        }
    }

    /// Puts what has come out of the neighborhood where it belongs.
    pub(super) fn follow_neighborhood(&self, events: &Events) {
        self.shared.discovery.set_answers_for_others(self.neighborhood.borrow().answers_for_others());
        let mut changes = self.neighborhood.borrow_mut().take_changes();
        loop {
            let Some(verdict) = self.neighborhood.borrow_mut().take_verdict() else { break };
            self.note_verdict(&verdict);
            changes.extend(self.take_verdict(&verdict));
        }
        if !changes.is_empty() {
            let applied = self.writer.borrow_mut().apply(changes);
            self.follow(&applied, events);
        }
        loop {
            let Some(event) = self.neighborhood.borrow_mut().take_event() else { break };
            self.news.note(self.told(event));
        }
        self.send_from_neighborhood();
    }

    /// Has the first worker send what waits; what it cannot take is lost, as on a wire.
    fn send_from_neighborhood(&self) {
        let workers = self.workers.borrow();
        let Some(worker) = workers.first() else { return };
        loop {
            let Some(outgoing) = self.neighborhood.borrow_mut().take_frame() else { break };
            if worker.handle.originate(outgoing.port, outgoing.frame).is_err() {
                self.neighborhood.borrow_mut().note_lost_frame();
            }
        }
    }

    fn note_verdict(&self, verdict: &Verdict) {
        let port = self.shared.ports.name(verdict.port).to_owned();
        let address = verdict.address;
        match verdict.standing {
            Standing::Tentative => {}
            Standing::Ready => self.news.note(HostEvent::AddressReady { port, address }),
            Standing::Duplicate(mac) => {
                self.news.note(HostEvent::DuplicateAddress { port, address, mac: Some(told_mac(mac)) });
            }
        }
    }

    fn told(&self, event: Event) -> HostEvent {
        let name = |port| self.shared.ports.name(port).to_owned();
        match event {
            Event::Conflict { port, address, mac } => HostEvent::AddressConflict {
                port: name(port),
                address,
                mac: Some(told_mac(mac)),
                defended: true,
            },
            Event::Moved { port, address, before, after } => HostEvent::NeighborMoved {
                port: name(port),
                address,
                before: told_mac(before),
                mac: told_mac(after),
            },
            Event::Failed { port, address } => HostEvent::NeighborFailed { port: name(port), address },
            Event::Claimed { port, address, mac } => {
                HostEvent::StaticNeighborClaimed { port: name(port), address, mac: told_mac(mac) }
            }
            Event::TableFull { refused } => HostEvent::NeighborsFull { refused },
        }
    }
}

const fn told_mac(mac: Mac) -> ctl::message::Mac {
    ctl::message::Mac(mac.0)
}
