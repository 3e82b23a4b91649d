//! Network protocols: where the transport header starts and between whom a packet travels.

mod ipv4;
mod ipv6;

pub use self::ipv4::Ipv4;
pub use self::ipv6::Ipv6;
pub(crate) use self::ipv6::{Extensions, FRAGMENT_HEADER, HEADER as IPV6_HEADER, Step};

use crate::packet::Located;
use crate::stats::InvalidReason;
use crate::tuple::Family;

/// A network protocol (what `nf_conntrack_l3proto` was).
pub trait L3Tracker: Send + Sync + 'static {
    /// Name for listings.
    fn name(&self) -> &'static str;

    /// The family it reads.
    fn family(&self) -> Family;

    /// Finds addresses and transport header in `bytes`, which start with the network header and may be cut off at the
    /// end (a datagram quoted in an ICMP error).
    ///
    /// # Errors
    /// The packet cannot be tracked: [`InvalidReason::Fragment`] for any but the first piece of a fragmented datagram,
    /// [`InvalidReason::Network`] when the headers make no sense.
    fn locate(&self, bytes: &[u8]) -> Result<Located, InvalidReason>;
}
