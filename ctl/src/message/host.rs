//! What `monitor host` tells: what befalls the router as a host, its bridges, its queues, and last hops.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Mac;

/// Something that has happened. In JSON `what` is its name, and the rest stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum HostEvent {
    /// Nobody else has an own address: it is used from now on.
    AddressReady {
        /// Port or bridge it is on.
        port: String,
        /// The address.
        address: IpAddr,
    },
    /// Somebody else has an address that was to be an own one: it is not used.
    DuplicateAddress {
        /// Port or bridge it was to be on.
        port: String,
        /// The address.
        address: IpAddr,
        /// Who has it; null where that was not told.
        mac: Option<Mac>,
    },
    /// Somebody else says that it has an own address that is in use.
    AddressConflict {
        /// Port or bridge it is on.
        port: String,
        /// The address.
        address: IpAddr,
        /// Who says so; null where that was not told.
        mac: Option<Mac>,
        /// Whether it was answered by an announcement of our own (RFC 5227 section 2.4); not more often than every ten
        /// seconds.
        defended: bool,
    },
    /// A neighbor has another Ethernet address than before.
    NeighborMoved {
        /// Port or bridge it is on.
        port: String,
        /// Its address.
        address: IpAddr,
        /// Its Ethernet address before.
        before: Mac,
        /// Its Ethernet address now.
        mac: Mac,
    },
    /// A neighbor does not answer.
    NeighborFailed {
        /// Port or bridge it is on.
        port: String,
        /// Its address.
        address: IpAddr,
    },
    /// Somebody claims the address of a neighbor that is set by hand, which stays as it is.
    StaticNeighborClaimed {
        /// Port or bridge it is on.
        port: String,
        /// Its address.
        address: IpAddr,
        /// Who claims it.
        mac: Mac,
    },
    /// There was no room for neighbors.
    NeighborsFull {
        /// How many found none since this was told last.
        refused: u64,
    },
    /// Replies no longer go to a last hop; they are routed.
    LastHopDead {
        /// Port it is on.
        port: String,
        /// Its Ethernet address.
        mac: Option<Mac>,
        /// Address of the neighbor that has it.
        neighbor: Option<IpAddr>,
        /// Why: `port_down`, `neighbor_failed`, `unanswered` …
        reason: String,
        /// Flows that remember it.
        flows: u64,
    },
    /// A last hop that was dead has been heard of again: replies go there.
    LastHopAlive {
        /// Port it is on.
        port: String,
        /// Its Ethernet address.
        mac: Option<Mac>,
        /// Address of the neighbor that has it.
        neighbor: Option<IpAddr>,
        /// Flows that remember it.
        flows: u64,
    },
    /// A last hop has another Ethernet address or port than before, and its flows have followed it.
    LastHopFollowed {
        /// Port it is on now.
        port: String,
        /// Its Ethernet address before.
        before: Option<Mac>,
        /// Its Ethernet address now.
        mac: Option<Mac>,
        /// Address of the neighbor that has it.
        neighbor: Option<IpAddr>,
        /// Flows that remember it.
        flows: u64,
    },
    /// There was no room for last hops: these flows' replies are routed.
    LastHopsFull {
        /// How many flows found none since this was told last.
        refused: u64,
    },
    /// A program has bound a queue.
    QueueBound {
        /// Its number.
        queue: u16,
        /// Process id of the program.
        pid: u32,
        /// Its name, as `ps` shows it; null when it is not known.
        program: Option<String>,
    },
    /// A program has let go of a queue, or was let go.
    QueueGone {
        /// Its number.
        queue: u16,
        /// Process id of the program.
        pid: u32,
        /// Why: `hung_up`, `garbage` (too many messages could not be obeyed), `unread` (it does not read what it is sent),
        /// `unbound` (it said so).
        reason: String,
        /// Packets that waited for it and were treated as if nobody had bound the queue.
        waiting: u64,
    },
    /// A queue was full, or nobody had bound it, or nobody answered in time.
    QueueLost {
        /// Its number.
        queue: u16,
        /// Packets dropped since this was told last.
        dropped: u64,
        /// Packets that went on unjudged (`bypass`) since this was told last.
        bypassed: u64,
    },
    /// Frames of the router's own come back to a bridge.
    BridgeLoop {
        /// The bridge.
        bridge: String,
        /// Member they come back by.
        port: String,
        /// Ethernet address by which it was noticed.
        mac: Mac,
        /// What becomes of them: `dropped`.
        action: String,
    },
    /// An address is behind another member of a bridge than before.
    MacMoved {
        /// The bridge.
        bridge: String,
        /// The address.
        mac: Mac,
        /// Member it was behind.
        before: String,
        /// Member it is behind.
        port: String,
    },
    /// There was no room in a MAC table: frames to these addresses are flooded.
    MacsFull {
        /// The bridge.
        bridge: String,
        /// How many addresses found none since this was told last.
        refused: u64,
    },
    /// The TUN device to the kernel passes packets.
    DeviceReady {
        /// Its name.
        device: String,
    },
    /// The TUN device to the kernel is lost; it is made anew.
    DeviceLost {
        /// Its name.
        device: String,
        /// Why.
        reason: String,
    },
}

impl HostEvent {
    /// Whether people should see it who do not watch: it stands in the log, too.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        matches!(
            self,
            Self::DuplicateAddress { .. }
                | Self::AddressConflict { .. }
                | Self::LastHopDead { .. }
                | Self::QueueGone { .. }
                | Self::BridgeLoop { .. }
                | Self::DeviceLost { .. }
        )
    }
}
