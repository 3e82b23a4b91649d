//! What comes out of the neighborhood: frames to send, verdicts on addresses, events, and which neighbors have changed.
//! Each is bounded; what finds no room is counted.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use fib::adjacency::{LinkIndex, Mac, PortId};

/// Frames that wait to be taken at most.
const FRAMES_MAX: usize = 1024;
/// Events that wait to be taken at most.
const EVENTS_MAX: usize = 256;

/// A frame to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// By which port.
    pub port: PortId,
    /// From its Ethernet header on.
    pub frame: Vec<u8>,
}

/// What has become of one of the router's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The port it is on.
    pub port: PortId,
    /// The address.
    pub address: IpAddr,
    /// What has become of it.
    pub standing: Standing,
}

/// How one of the router's addresses stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is being tried, or waits for its port to come up: it is not to be used.
    Tentative,
    /// It may be used.
    Ready,
    /// Somebody else has it: this one. It is not to be used until it is added anew, or its port comes up anew.
    Duplicate(Mac),
}

/// Something that people may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody else uses one of the router's addresses, which is defended.
    Conflict {
        /// The port.
        port: PortId,
        /// The address.
        address: IpAddr,
        /// Who.
        mac: Mac,
    },
    /// A neighbor is to be found at another link address now.
    Moved {
        /// The port it is behind.
        port: PortId,
        /// Its address.
        address: IpAddr,
        /// Where it was.
        before: Mac,
        /// Where it is.
        after: Mac,
    },
    /// A neighbor does not answer.
    Failed {
        /// The port it is behind.
        port: PortId,
        /// Its address.
        address: IpAddr,
    },
    /// Somebody claims the address of a neighbor that was set by hand; it stays as it is.
    Claimed {
        /// The port.
        port: PortId,
        /// The address.
        address: IpAddr,
        /// Who.
        mac: Mac,
    },
    /// There is no room for more neighbors.
    TableFull {
        /// How many found none since this was told last.
        refused: u64,
    },
}

/// What has been counted, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames heard.
    pub heard: u64,
    /// Frames that break a rule of their protocol.
    pub malformed: u64,
    /// Frames that were none of ours: for others, redirects, on ports that are down.
    pub ignored: u64,
    /// Frames that came back to us.
    pub looped: u64,
    /// Questions of the datapath.
    pub asked: u64,
    /// Questions sent to neighbors.
    pub probes: u64,
    /// Neighbors that did not answer.
    pub failed: u64,
    /// Answers for the router's own addresses.
    pub answers: u64,
    /// Answers for others.
    pub proxied: u64,
    /// Answers for others that found too many waiting.
    pub proxy_overflows: u64,
    /// Neighbors that found no room.
    pub table_overflows: u64,
    /// Neighbors forgotten to make room, or because nobody used them.
    pub forgotten: u64,
    /// Messages that claimed one of the router's addresses.
    pub conflicts: u64,
    /// Claims that were answered.
    pub defences: u64,
    /// Addresses found to be somebody else's.
    pub duplicates: u64,
    /// Messages that claimed the address of a neighbor that was set by hand.
    pub claims: u64,
    /// Router advertisements sent.
    pub advertisements: u64,
    /// Frames that found too many waiting.
    pub frames_lost: u64,
    /// Events that found too many waiting.
    pub events_lost: u64,
}

/// What waits to be taken.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) frames: VecDeque<Outgoing>,
    /// By address, so that it is bounded by their number: the last word counts.
    pub(super) verdicts: BTreeMap<(PortId, IpAddr), Standing>,
    pub(super) events: VecDeque<Event>,
    /// Neighbors that are not what they were, and the link they were told on.
    pub(super) changed: BTreeMap<(PortId, IpAddr), LinkIndex>,
    pub(super) counters: Counters,
}

impl Outbox {
    pub(super) fn send(&mut self, port: PortId, frame: Vec<u8>) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push_back(Outgoing { port, frame });
        } else {
            self.counters.frames_lost += 1;
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.counters.events_lost += 1;
        }
    }
}

impl Counters {
    /// All counters with their names, as `show counters` has them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("neighbor_messages", self.heard),
            ("neighbor_messages_malformed", self.malformed),
            ("neighbor_messages_ignored", self.ignored),
            ("neighbor_messages_looped", self.looped),
            ("neighbor_questions", self.asked),
            ("neighbor_probes", self.probes),
            ("neighbor_failures", self.failed),
            ("neighbor_answers", self.answers),
            ("neighbor_proxied", self.proxied),
            ("neighbor_proxy_overflows", self.proxy_overflows),
            ("neighbor_table_overflows", self.table_overflows),
            ("neighbors_forgotten", self.forgotten),
            ("address_conflicts", self.conflicts),
            ("address_defences", self.defences),
            ("address_duplicates", self.duplicates),
            ("static_neighbor_claims", self.claims),
            ("router_advertisements", self.advertisements),
            ("neighbor_frames_lost", self.frames_lost),
            ("neighbor_events_lost", self.events_lost),
        ]
        .into_iter()
    }
}
