//! All that becomes of a packet of one direction of a flow, for those who forward it without walking it.

use std::net::IpAddr;

use conntrack::{CtState, Direction, Tuple};
use fib::adjacency::{NeighborId, PortId};

use super::Passed;

/// What the walk does to each packet of one direction of a flow: which packets that holds for, where they go, what is
/// written. The TTL or hop limit is lowered by one, checksums are mended, the link header is written anew; nothing else
/// changes.
///
/// It does not hold for, and these are to be walked: fragments, packets with options or extension headers, with a TTL of
/// 1 or less, larger than the MTU (of a super-packet: its segments), TCP with SYN, FIN or RST, packets whose next hop's
/// link address is unknown or stale, and frames that were not for the port's own link address.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// Which direction of the flow.
    pub direction: Direction,
    /// What its packets are to the flow (`ct state`).
    pub state: CtState,
    /// Which packets.
    pub matching: Matching,
    /// The source that is written, if it is translated.
    pub source: Option<Endpoint>,
    /// The destination that is written, if it is translated.
    pub destination: Option<Endpoint>,
    /// The port they leave by. It has to be up.
    pub output: PortId,
    /// Who gets them. Its link address is read for each packet, so that a new one holds at once; `None` on a port that
    /// needs none.
    pub neighbor: Option<NeighborId>,
    /// The next hop's address.
    pub next_hop: IpAddr,
    /// The route's MTU in bytes, 0 if it has none. The port's holds too, in IPv4 only if the route has none.
    pub route_mtu: u32,
    /// The flow's mark: rules may have looked at it.
    pub mark: u32,
    /// What rules make of its packets.
    pub passed: Passed,
}

/// Which packets a rewrite is for: those of zone 0 that arrive without a mark, as all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matching {
    /// The port they come in by.
    pub input: PortId,
    /// Addresses, protocol and ports as they arrive.
    pub tuple: Tuple,
    /// TOS or traffic class, if the way or what rules make of packets rests on it.
    pub tos: Option<u8>,
}

/// One end of a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port number of the transport protocol.
    pub port: u16,
}
