//! What a decision rested on that may be another for the flow's next packet.

use conntrack::CtState;
use fib::adjacency::PortId;
use fib::snapshot::Snapshot;

use crate::chain::Point;
use crate::engine::Packet;
use crate::flow::Track;

/// A set of things that rules may look at and that need not be the same for all packets of a flow and direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct What(u8);

impl What {
    /// `ct state`
    pub const STATE: Self = Self(1);
    /// Port of entry.
    pub const INPUT: Self = Self(1 << 1);
    /// Port of exit.
    pub const OUTPUT: Self = Self(1 << 2);
    /// The kernel's index of the port of entry.
    pub const INPUT_LINK: Self = Self(1 << 3);
    /// The kernel's index of the port of exit.
    pub const OUTPUT_LINK: Self = Self(1 << 4);
    /// `meta mark`
    pub const MARK: Self = Self(1 << 5);
    /// `ct mark`
    pub const FLOW_MARK: Self = Self(1 << 6);
    /// `meta priority`
    pub const PRIORITY: Self = Self(1 << 7);

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What was looked at, with the values found. What was not looked at is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// What was looked at.
    pub what: What,
    state: u8,
    input: u16,
    output: u16,
    input_link: u32,
    output_link: u32,
    mark: u32,
    flow_mark: u32,
    priority: u32,
}

impl Seen {
    /// Looks at a packet that is at `point` now.
    #[must_use]
    pub fn of(what: What, packet: &Packet, routing: &Snapshot, point: Point) -> Self {
        let mut seen = Self::of_ports(what, packet, output(packet, point), routing);
        if what.contains(What::STATE) {
            seen.state = state_number(&packet.track);
        }
        if what.contains(What::MARK) {
            seen.mark = packet.mark;
        }
        if what.contains(What::FLOW_MARK) {
            seen.flow_mark = flow_mark(&packet.track);
        }
        if what.contains(What::PRIORITY) {
            seen.priority = packet.priority;
        }
        seen
    }

    /// Whether a packet that is at `point` now looks the same.
    #[must_use]
    pub fn holds(&self, packet: &Packet, routing: &Snapshot, point: Point) -> bool {
        Self::of(self.what, packet, routing, point) == *self
    }

    /// Whether a packet that begins a flow looks the same where it has this mark and leaves by this port. Priorities differ
    /// on the way, so nobody knows if they were looked at.
    pub(super) fn holds_for_new(
        &self,
        packet: &Packet,
        mark: u32,
        output: Option<PortId>,
        routing: &Snapshot,
    ) -> bool {
        let mut seen = Self::of_ports(self.what, packet, output, routing);
        if self.what.contains(What::STATE) {
            seen.state = NEW;
        }
        if self.what.contains(What::MARK) {
            seen.mark = mark;
        }
        // The mark of a new flow is zero, as it stands.
        seen == *self && !self.what.contains(What::PRIORITY)
    }

    fn of_ports(what: What, packet: &Packet, output: Option<PortId>, routing: &Snapshot) -> Self {
        let mut seen = Self { what, ..Self::default() };
        if what.contains(What::INPUT) {
            seen.input = port_number(packet.input_port());
        }
        if what.contains(What::OUTPUT) {
            seen.output = port_number(output);
        }
        if what.contains(What::INPUT_LINK) {
            seen.input_link = link_number(packet.input_port(), routing);
        }
        if what.contains(What::OUTPUT_LINK) {
            seen.output_link = link_number(output, routing);
        }
        seen
    }

    /// Takes over what `more` has seen besides.
    pub(super) fn add(&mut self, more: Self) {
        debug_assert!(more.what.without(self.what) == more.what, "nothing is seen twice");
        self.what = self.what.with(more.what);
        self.state |= more.state;
        self.input |= more.input;
        self.output |= more.output;
        self.input_link |= more.input_link;
        self.output_link |= more.output_link;
        self.mark |= more.mark;
        self.flow_mark |= more.flow_mark;
        self.priority |= more.priority;
    }
}

/// The port of exit of a packet at `point`, where it is settled.
pub(crate) fn output(packet: &Packet, point: Point) -> Option<PortId> {
    match point {
        Point::Prerouting | Point::Input => None,
        Point::Forward | Point::Output | Point::Postrouting => packet.route.map(|routed| routed.hop.port),
    }
}

/// One more than the port, 0 for none.
fn port_number(port: Option<PortId>) -> u16 {
    port.map_or(0, |port| port.0 + 1)
}

/// The kernel's index of a port's device, 0 for none.
pub(crate) fn link_number(port: Option<PortId>, routing: &Snapshot) -> u32 {
    port.and_then(|port| routing.ports().get(port).link).map_or(0, |link| link.0)
}

/// As it stands for packets that begin a flow.
const NEW: u8 = 1;

fn state_number(track: &Track) -> u8 {
    match track {
        Track::Flow { state: CtState::New, .. } => NEW,
        Track::Flow { state: CtState::Established | CtState::EstablishedReply, .. } => 2,
        Track::Flow { state: CtState::Related | CtState::RelatedReply, .. } => 3,
        Track::Invalid => 4,
        Track::Untracked => 5,
        Track::Unseen => 6,
    }
}

/// The mark of a packet's flow.
fn flow_mark(track: &Track) -> u32 {
    match track {
        Track::Flow { flow, .. } => flow.mark(),
        _ => 0,
    }
}
