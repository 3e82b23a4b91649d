//! ICMP errors and redirects: what may be answered at all, and the bytes of the answer.

mod redirect;
mod v4;
mod v6;

pub use redirect::redirect6;
pub use v4::{Answer4, Error4, Sender4};
pub use v6::{Answer6, Error6, Sender6};

/// Bytes of the longest ICMPv4 error, IP header included (RFC 1812 section 4.3.2.3).
pub const ANSWER4_MAX: usize = 576;
/// Bytes of the longest ICMPv6 error or redirect, IP header included (RFC 4443 section 2.4 c).
pub const ANSWER6_MAX: usize = 1280;

/// Protocol number of ICMP.
const ICMP: u8 = 1;
/// Bytes of an ICMP header.
const ICMP_HEADER_LEN: usize = 8;

/// Why a packet gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotAnswered {
    /// It came as a link-layer broadcast or multicast.
    #[error("came as a link-layer broadcast or multicast")]
    LinkBroadcast,
    /// It is for a group, or for everybody.
    #[error("is for a group or for everybody")]
    Group,
    /// Its source does not name one host.
    #[error("has a source that does not name one host")]
    Source,
    /// It is a fragment other than the first.
    #[error("is a fragment other than the first")]
    LaterFragment,
    /// It is an ICMP error itself, or ICMP of a kind that nobody knows, or too short to tell.
    #[error("is an ICMP error or unknown ICMP")]
    IcmpError,
    /// Its options cannot be turned round.
    #[error("has options that cannot be turned round")]
    Options,
    /// The way back has no room for a quote.
    #[error("has a way back without room for a quote")]
    NoRoom,
    /// A redirect towards something that is no neighbor.
    #[error("has a next hop that cannot be redirected to")]
    NoTarget,
}
