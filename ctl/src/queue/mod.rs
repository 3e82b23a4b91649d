//! Programs that decide what becomes of packets: rules send packets to a queue, a program gives each a verdict.
//!
//! ```no_run
//! use ctl::address::Address;
//! use ctl::queue::{Queue, Verdict};
//!
//! // `queue num 3` in a rule sends packets here.
//! let mut queue = Queue::bind(&Address::default(), 3)?;
//! while let Some(packet) = queue.receive()? {
//!     let is_large = packet.head.length > 1000;
//!     queue.judge(&packet, if is_large { Verdict::Drop } else { Verdict::Accept })?;
//! }
//! # Ok::<(), ctl::queue::QueueError>(())
//! ```
//!
//! [`message`] is the protocol, for programs in other languages too (`docs/queue.md`); [`Queue`] speaks it; [`watch()`] is
//! `routerctl queue watch`.

mod client;
pub mod message;
mod summary;
mod watch;

pub use client::{Packet, Queue, QueueError};
pub use message::{Bind, Judged, PacketHead, Verdict};
pub use watch::{Watch, watch};

use crate::address::Address;

/// Where a routerd whose control socket is at `control` serves programs that judge packets.
#[must_use]
pub fn address_of(control: &Address) -> Address {
    control.beside("-queue")
}
