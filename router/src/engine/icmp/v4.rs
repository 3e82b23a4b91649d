//! ICMPv4 errors and redirects, as `__icmp_send` makes them (`net/ipv4/icmp.c`).

use std::net::Ipv4Addr;

use super::{ANSWER4_MAX, ICMP, ICMP_HEADER_LEN, NotAnswered};
use crate::packet::checksum::checksum;
use crate::packet::ipv4::{self, HEADER_MIN, OFFSET_MASK};
use crate::packet::options::{Echo, Options};
use crate::packet::u16_at;

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error4 {
    /// Destination unreachable with this code (not 4, which is [`Self::FragmentationNeeded`]).
    Unreachable(u8),
    /// The packet does not fit and must not be fragmented.
    FragmentationNeeded {
        /// What would fit, in bytes.
        mtu: u16,
    },
    /// The TTL was used up.
    TimeExceeded,
    /// A header is broken.
    ParameterProblem {
        /// Offset of the offending byte.
        pointer: u8,
    },
    /// There is a shorter way for this host.
    Redirect {
        /// Whom to send to.
        gateway: Ipv4Addr,
    },
}

impl Error4 {
    /// Unreachable: network.
    pub const NETWORK: Self = Self::Unreachable(0);
    /// Unreachable: host.
    pub const HOST: Self = Self::Unreachable(1);
    /// Unreachable: protocol.
    pub const PROTOCOL: Self = Self::Unreachable(2);
    /// Unreachable: port.
    pub const PORT: Self = Self::Unreachable(3);
    /// Unreachable: source route failed.
    pub const SOURCE_ROUTE_FAILED: Self = Self::Unreachable(5);
    /// Unreachable: communication administratively prohibited.
    pub const PROHIBITED: Self = Self::Unreachable(13);

    /// ICMP type.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Unreachable(_) | Self::FragmentationNeeded { .. } => 3,
            Self::Redirect { .. } => 5,
            Self::TimeExceeded => 11,
            Self::ParameterProblem { .. } => 12,
        }
    }

    /// ICMP code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unreachable(code) => code,
            Self::FragmentationNeeded { .. } => 4,
            Self::Redirect { .. } => 1,
            Self::TimeExceeded | Self::ParameterProblem { .. } => 0,
        }
    }

    fn rest_of_header(self) -> [u8; 4] {
        match self {
            Self::Unreachable(_) | Self::TimeExceeded => [0; 4],
            Self::FragmentationNeeded { mtu } => u32::from(mtu).to_be_bytes(),
            Self::ParameterProblem { pointer } => [pointer, 0, 0, 0],
            Self::Redirect { gateway } => gateway.octets(),
        }
    }
}

/// An error that may be sent, as far as the packet it is about tells; rate limits come on top.
#[derive(Clone, Copy, Debug)]
pub struct Answer4<'a> {
    error: Error4,
    packet: &'a [u8],
    echo: Echo,
}

/// What the sender of an error puts into its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender4 {
    /// Source address: the preferred one of the way back.
    pub source: Ipv4Addr,
    /// TTL (`net.ipv4.ip_default_ttl` or the route's hop limit).
    pub ttl: u8,
    /// Identification; the kernel's is unpredictable.
    pub identification: u16,
    /// MTU of the way back, in bytes.
    pub mtu: usize,
    /// Milliseconds since midnight UTC, for a timestamp option that is sent back.
    pub time_of_day_ms: u32,
}

impl<'a> Answer4<'a> {
    /// An answer to `packet`, a sound packet from its network header on without padding. `options` are those read
    /// from it, as far as they have been; `to_this_host` says that the frame was addressed to the port itself.
    /// `is_foreign` is asked as [`crate::packet::options::Surroundings::is_foreign`].
    ///
    /// # Errors
    /// RFC 1812 section 4.3.2.7, and what the kernel adds.
    ///
    /// # Panics
    /// If the header is not there.
    pub fn to(
        error: Error4,
        packet: &'a [u8],
        options: &Options,
        to_this_host: bool,
        is_foreign: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<Self, NotAnswered> {
        if !to_this_host {
            return Err(NotAnswered::LinkBroadcast);
        }
        let destination = ipv4::destination(packet);
        if destination.is_broadcast() || destination.is_multicast() {
            return Err(NotAnswered::Group);
        }
        if u16_at(packet, 6) & OFFSET_MASK != 0 {
            return Err(NotAnswered::LaterFragment);
        }
        let source = ipv4::source(packet);
        if source.is_unspecified() || source.is_broadcast() || source.is_multicast() || source.is_loopback() {
            return Err(NotAnswered::Source);
        }
        if packet[9] == ICMP && packet.get(ipv4::header_len(packet)).is_none_or(|kind| is_error(*kind)) {
            return Err(NotAnswered::IcmpError);
        }
        let echo = Echo::of(options, packet, is_foreign).map_err(|_| NotAnswered::Options)?;
        Ok(Self { error, packet, echo })
    }

    /// Whom it is for: the packet's source, or the last hop it named if it is sent back along a source route.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        self.echo.first_hop.unwrap_or_else(|| ipv4::source(self.packet))
    }

    /// TOS it bears: that of the packet with the precedence of internetwork control (RFC 1812 section 4.3.2.5).
    #[must_use]
    pub fn tos(&self) -> u8 {
        const TOS_MASK: u8 = 0x1e;
        const INTERNETWORK_CONTROL: u8 = 0xc0;
        (self.packet[1] & TOS_MASK) | INTERNETWORK_CONTROL
    }

    /// Writes the answer from its network header on into `out` and returns its length, at most [`ANSWER4_MAX`].
    ///
    /// # Errors
    /// [`NotAnswered::NoRoom`] if the MTU leaves no room for a header in the quote.
    ///
    /// # Panics
    /// If `out` is shorter than [`ANSWER4_MAX`].
    pub fn write(&self, sender: &Sender4, out: &mut [u8]) -> Result<usize, NotAnswered> {
        let header_len = HEADER_MIN + self.echo.len();
        let quote_start = header_len + ICMP_HEADER_LEN;
        let room = sender.mtu.min(ANSWER4_MAX).saturating_sub(quote_start);
        if room <= HEADER_MIN {
            return Err(NotAnswered::NoRoom);
        }
        let quote = &self.packet[..self.packet.len().min(room)];
        let len = quote_start + quote.len();
        let out = &mut out[..len];

        out[0] = 0x40 | (header_len / 4) as u8;
        out[1] = self.tos();
        out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        out[4..6].copy_from_slice(&sender.identification.to_be_bytes());
        out[6..8].fill(0);
        out[8] = sender.ttl;
        out[9] = ICMP;
        out[12..16].copy_from_slice(&sender.source.octets());
        out[16..20].copy_from_slice(&self.destination().octets());
        self.echo.write(&mut out[HEADER_MIN..header_len], sender.source, sender.time_of_day_ms);
        ipv4::write_checksum(out);

        out[header_len] = self.error.kind();
        out[header_len + 1] = self.error.code();
        out[header_len + 2..header_len + 4].fill(0);
        out[header_len + 4..quote_start].copy_from_slice(&self.error.rest_of_header());
        out[quote_start..].copy_from_slice(quote);
        let checksum = checksum(&out[header_len..]);
        out[header_len + 2..header_len + 4].copy_from_slice(&checksum.to_be_bytes());
        Ok(len)
    }
}

/// Whether the kernel takes an ICMP type for an error (`icmp_pointers`); what it does not know, it does.
fn is_error(kind: u8) -> bool {
    !matches!(kind, 0 | 8 | 13..=18)
}
