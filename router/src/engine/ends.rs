//! How packets end, and where they leave the straight way.

use fib::adjacency::PortId;

use super::Refusal;
use super::icmp::{Error4, Error6};
use super::queue::Queued;
use crate::drops::DropReason;
use crate::packet::parse::Unfit;
use crate::stats::Counters;

/// How a packet's way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Sent on by this port.
    Forwarded(PortId),
    /// Sent on by one or more ports of a bridge.
    Bridged,
    /// Waits for its next hop.
    Held,
    /// The kernel's, which has its own copy: for the router itself, multicast, broadcast.
    Local,
    /// For the router itself; handed to the kernel, which has no copy of its own.
    HandedOver,
    /// Came from a program of this host; sent on by this port.
    SentForHost(PortId),
    /// The kernel's: not IP, or not for this router's link address.
    Ignored,
    /// Ended here.
    Dropped(DropReason),
    /// A hook took it.
    Stolen,
    /// Waits for what a program says of it.
    Queued,
    /// A hook sent it on by this port, and saved it the rest of its walk.
    Offloaded(PortId),
}

/// Where a packet leaves the straight way.
#[derive(Debug)]
pub(super) enum Off {
    /// In silence.
    Drop(DropReason),
    /// With an ICMP error to its source.
    Answer4(DropReason, Error4),
    /// With an ICMPv6 error to its source.
    Answer6(DropReason, Error6),
    /// As a rule has asked.
    Refuse(DropReason, Refusal),
    /// For an address of this host.
    Local,
    /// For many: multicast, broadcast. The kernel has its own copy.
    Group,
    /// To a hook.
    Stolen,
    /// To a program.
    Queued(Box<Queued>),
}

impl Off {
    /// Whether routing knows of no way at all.
    pub(super) const fn is_no_route(&self) -> bool {
        use DropReason::NoRoute;
        matches!(self, Self::Drop(NoRoute) | Self::Answer4(NoRoute, _) | Self::Answer6(NoRoute, _))
    }
}

/// What becomes of a frame that holds no sound packet. What is not IP, or for a VLAN, is the kernel's.
pub(super) const fn unfit_disposition(unfit: Unfit) -> Disposition {
    match unfit {
        Unfit::Vlan | Unfit::NotIp => Disposition::Ignored,
        Unfit::LinkHeader | Unfit::HeaderTruncated | Unfit::Truncated => {
            Disposition::Dropped(DropReason::Truncated)
        }
        Unfit::Header => Disposition::Dropped(DropReason::HeaderMalformed),
        Unfit::HeaderChecksum => Disposition::Dropped(DropReason::HeaderChecksum),
        Unfit::Loopback | Unfit::MulticastScope | Unfit::MartianSource | Unfit::MartianDestination => {
            Disposition::Dropped(DropReason::Martian)
        }
    }
}

impl Disposition {
    /// Counts a packet that ended like this.
    pub(super) fn count(self, counters: &Counters) {
        match self {
            Self::Forwarded(_) => counters.forwarded.raise(),
            Self::Bridged => counters.bridged.raise(),
            Self::Held => counters.held.raise(),
            Self::Local => counters.local.raise(),
            Self::HandedOver => counters.handed_over.raise(),
            // Counted when it was taken.
            Self::SentForHost(_) => {}
            Self::Ignored => counters.ignored.raise(),
            Self::Dropped(reason) => counters.drop(reason),
            Self::Stolen => counters.stolen.raise(),
            // Counted when it was put there, with the other segments if it was a super-packet.
            Self::Queued => {}
            Self::Offloaded(_) => {
                counters.forwarded.raise();
                counters.offloaded.raise();
            }
        }
    }

    /// Counts a packet of the router's own: nothing was forwarded.
    pub(super) fn count_own(self, counters: &Counters) {
        match self {
            Self::Forwarded(_) => counters.icmp_sent.raise(),
            other => other.count(counters),
        }
    }
}
