//! Which flow a packet belongs to, and whether it fits: connection tracking without a kernel.
//!
//! A [`Table`] holds the flows. [`Table::track`] finds a packet's flow or starts a [`Tentative`] one, which
//! [`Table::confirm`] puts into the table when the packet has made its way. What belongs together is decided by trackers
//! in a [`Registry`]: one for each network protocol ([`L3Tracker`]) and each transport protocol over it ([`L4Tracker`]).
//! Bytes and time are handed in; nothing here reads a clock, opens a socket or starts a thread.
//!
//! ```
//! use conntrack::{Config, Datagram, Family, Instant, Registry, Table, Tracked};
//!
//! let table = Table::<()>::new(Config::default(), Registry::builtin().build());
//! let packet = [0_u8; 20];
//! let tracked = table.track(&Datagram::new(Family::Ipv4, &packet), Instant::ZERO);
//! assert!(matches!(tracked, Tracked::Invalid(_)));
//! ```

mod conn;
mod defrag;
mod events;
mod expect;
mod expiry;
mod extra;
mod helper;
mod index;
mod l3;
mod l4;
mod packet;
mod registry;
mod related;
mod shard;
mod sources;
mod stats;
mod sync;
mod table;
#[cfg(test)]
mod test_packets;
mod time;
mod tuple;
mod zone;

pub use crate::conn::{Conn, STATE_SIZE, Shared, Status, Tentative, TrafficCount};
pub use crate::defrag::{Assembled, FragmentDrop, Gather, GatherConfig, GatherStats, Gathered};
pub use crate::events::{Change, Changes, End, Event, EventKind, Listener, Picture, Subscription};
pub use crate::expect::{ExpectError, Expectation, ExpectationEvent, FollowMaster, Pattern, Wanted};
pub use crate::helper::{
    Advice, Announcement, Ftp, Helper, HelperTaken, Helpers, MEMORY_SIZE, Memory, Message, Policy,
};
pub use crate::l3::{Ipv4, Ipv6, L3Tracker};
pub use crate::l4::{
    Check, Generic, Gre, Icmp, Icmpv6, L4Tracker, Outcome, Sctp, SctpState, SctpTimeouts, Seen, Shift, Tcp,
    TcpState, TcpTimeouts, Timeout, Udp, UdpLite, zerocopy,
};
pub use crate::packet::{Checksum, Datagram, Located, Packet, PseudoHeader};
pub use crate::registry::{Builder, Builtin, FamilyName, RegisterError, Registry, TrackerRow, protocol};
pub use crate::stats::{InvalidReason, Stats};
pub use crate::table::{Config, Confirmed, CtState, Cursor, Flow, Foreseen, Page, Table, Tracked};
pub use crate::time::Instant;
pub use crate::tuple::{Addresses, Direction, Family, Ids, Tuple, TupleHasher};
pub use crate::zone::{Zone, ZoneScope};
