//! Asking the kernel to find a neighbor: it does ARP and neighbor discovery, the answer arrives in the mirror.

use std::io;
use std::net::IpAddr;

use fib::adjacency::LinkIndex;

use super::request::{Requests, attribute};

/// `NTF_USE` (include/uapi/linux/neighbour.h): as if a packet had been sent to it.
const NTF_USE: u8 = 1;
/// `NDA_DST`.
const NDA_DST: u16 = 1;

/// Asks the kernel for neighbors. Each question is answered at once ("taken" or why not); what comes of it is
/// announced later: REACHABLE with its address, or FAILED after `mcast_solicit` tries `retrans_time_ms` apart (3 s by
/// default).
#[derive(Debug)]
pub struct Resolver(Requests);

/// A neighbor the kernel will not look for.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The link is gone or down, or has no neighbors.
    #[error("link {} does not take neighbors: {error}", link.0)]
    Link {
        /// The link.
        link: LinkIndex,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel's neighbor table is full (`net.ipv4.neigh.default.gc_thresh3`).
    #[error("the kernel's neighbor table is full (net.ipv4.neigh.default.gc_thresh3)")]
    TableFull,
    /// The socket failed, or the kernel refused for another reason.
    #[error("the kernel cannot be asked for a neighbor: {0}")]
    Socket(#[source] io::Error),
}

impl Resolver {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No socket.
    pub fn new() -> io::Result<Self> {
        Requests::open().map(Self)
    }

    /// Asks for `address` on `link`. What the kernel does depends on what it knows (neigh_event_send): nothing or
    /// FAILED, it starts asking on the wire; INCOMPLETE or PROBE, it goes on with what it does; STALE, it waits
    /// `delay_first_probe_time` (5 s) for a confirmation and then asks the neighbor itself; REACHABLE, nothing.
    /// Never blocks for an answer from the wire.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn resolve(&mut self, link: LinkIndex, address: IpAddr) -> Result<(), ResolveError> {
        let outcome = self.0.make(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE, &body(link, address));
        outcome.map_err(ResolveError::Socket)?.map_err(|error| explain(link, error))
    }
}

/// `struct ndmsg` and the address.
fn body(link: LinkIndex, address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let mut body = Vec::with_capacity(32);
    body.push(u8::try_from(family).expect("address families are small"));
    body.extend_from_slice(&[0; 3]);
    body.extend_from_slice(&link.0.to_ne_bytes());
    // State: none.
    body.extend_from_slice(&0_u16.to_ne_bytes());
    body.push(NTF_USE);
    // Type.
    body.push(0);
    attribute(&mut body, NDA_DST, &octets);
    body
}

fn explain(link: LinkIndex, error: io::Error) -> ResolveError {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENETDOWN | libc::EINVAL) => ResolveError::Link { link, error },
        Some(libc::ENOBUFS) => ResolveError::TableFull,
        _ => ResolveError::Socket(error),
    }
}
