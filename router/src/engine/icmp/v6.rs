//! ICMPv6 errors, as `icmp6_send` makes them (`net/ipv6/icmp.c`).

use std::hash::Hasher;
use std::net::Ipv6Addr;

use siphasher::sip::SipHasher13;

use super::{ANSWER6_MAX, ICMP_HEADER_LEN, NotAnswered};
use crate::packet::checksum;
use crate::packet::ipv6::{self, HEADER_LEN, ICMPV6};

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error6 {
    /// Destination unreachable with this code.
    Unreachable(u8),
    /// The packet does not fit.
    PacketTooBig {
        /// What would fit, in bytes.
        mtu: u32,
    },
    /// The hop limit was used up.
    TimeExceeded,
    /// A header is broken or not understood.
    ParameterProblem {
        /// 0: erroneous field; 1: unrecognised next header; 2: unrecognised option.
        code: u8,
        /// Offset of the offending byte.
        pointer: u32,
    },
}

impl Error6 {
    /// Unreachable: no route.
    pub const NO_ROUTE: Self = Self::Unreachable(0);
    /// Unreachable: administratively prohibited.
    pub const PROHIBITED: Self = Self::Unreachable(1);
    /// Unreachable: beyond the scope of the source address.
    pub const BEYOND_SCOPE: Self = Self::Unreachable(2);
    /// Unreachable: address.
    pub const ADDRESS: Self = Self::Unreachable(3);
    /// Unreachable: port.
    pub const PORT: Self = Self::Unreachable(4);

    /// ICMPv6 type.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Unreachable(_) => 1,
            Self::PacketTooBig { .. } => 2,
            Self::TimeExceeded => 3,
            Self::ParameterProblem { .. } => 4,
        }
    }

    /// ICMPv6 code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unreachable(code) | Self::ParameterProblem { code, .. } => code,
            Self::PacketTooBig { .. } | Self::TimeExceeded => 0,
        }
    }

    const fn rest_of_header(self) -> [u8; 4] {
        match self {
            Self::Unreachable(_) | Self::TimeExceeded => [0; 4],
            Self::PacketTooBig { mtu } => mtu.to_be_bytes(),
            Self::ParameterProblem { pointer, .. } => pointer.to_be_bytes(),
        }
    }

    /// Whether it may be told about packets to groups (RFC 4443 section 2.4 e.3): too big, and an option that asks
    /// for it.
    fn is_told_to_groups(self, packet: &[u8]) -> bool {
        match self {
            Self::PacketTooBig { .. } => true,
            Self::ParameterProblem { code: 2, pointer } => {
                packet.get(pointer as usize).is_none_or(|option| option & 0xc0 == 0x80)
            }
            _ => false,
        }
    }
}

/// An error that may be sent, as far as the packet it is about tells; rate limits come on top.
#[derive(Clone, Copy, Debug)]
pub struct Answer6<'a> {
    error: Error6,
    packet: &'a [u8],
}

/// What the sender of an error puts into its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender6 {
    /// Source address.
    pub source: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// Flow label, 20 bits: [`flow_label`] where `net.ipv6.auto_flowlabels` asks for one, else 0.
    pub flow_label: u32,
}

/// The label of a flow of errors: the same for one sender, receiver and type, and not to be foreseen without `key`
/// (`ip6_make_flowlabel`, RFC 6437 section 3).
#[must_use]
pub fn flow_label(key: [u64; 2], source: Ipv6Addr, destination: Ipv6Addr, error: Error6) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
    hasher.write(&source.octets());
    hasher.write(&destination.octets());
    hasher.write(&[error.kind(), error.code()]);
    hasher.finish() as u32 & 0x000f_ffff
}

impl<'a> Answer6<'a> {
    /// An answer to `packet`, a sound packet from its network header on without padding; `to_this_host` says that
    /// the frame was addressed to the port itself.
    ///
    /// Fragments other than the first are answered, as RFC 4443 permits and the kernel does.
    ///
    /// # Errors
    /// RFC 4443 section 2.4 e.
    ///
    /// # Panics
    /// If the header is not there.
    pub fn to(error: Error6, packet: &'a [u8], to_this_host: bool) -> Result<Self, NotAnswered> {
        let told_to_groups = error.is_told_to_groups(packet);
        if !to_this_host && !told_to_groups {
            return Err(NotAnswered::LinkBroadcast);
        }
        if ipv6::destination(packet).is_multicast() && !told_to_groups {
            return Err(NotAnswered::Group);
        }
        let source = ipv6::source(packet);
        if source.is_unspecified() || source.is_multicast() {
            return Err(NotAnswered::Source);
        }
        if is_error(packet) {
            return Err(NotAnswered::IcmpError);
        }
        Ok(Self { error, packet })
    }

    /// Whom it is for.
    #[must_use]
    pub fn destination(&self) -> Ipv6Addr {
        ipv6::source(self.packet)
    }

    /// Writes the answer from its network header on into `out` and returns its length, at most [`ANSWER6_MAX`].
    ///
    /// # Panics
    /// If `out` is shorter than [`ANSWER6_MAX`].
    pub fn write(&self, sender: &Sender6, out: &mut [u8]) -> usize {
        let quote_start = HEADER_LEN + ICMP_HEADER_LEN;
        let quote = &self.packet[..self.packet.len().min(ANSWER6_MAX - quote_start)];
        let len = quote_start + quote.len();
        let out = &mut out[..len];
        write_header(out, sender, self.destination());
        out[HEADER_LEN] = self.error.kind();
        out[HEADER_LEN + 1] = self.error.code();
        out[HEADER_LEN + 4..quote_start].copy_from_slice(&self.error.rest_of_header());
        out[quote_start..].copy_from_slice(quote);
        write_checksum(out);
        len
    }
}

/// Writes the fixed header of an ICMPv6 message that fills `out`; traffic class 0.
pub(super) fn write_header(out: &mut [u8], sender: &Sender6, destination: Ipv6Addr) {
    let payload_len = (out.len() - HEADER_LEN) as u16;
    out[..4].copy_from_slice(&(0x6000_0000 | (sender.flow_label & 0x000f_ffff)).to_be_bytes());
    out[4..6].copy_from_slice(&payload_len.to_be_bytes());
    out[6] = ICMPV6;
    out[7] = sender.hop_limit;
    out[8..24].copy_from_slice(&sender.source.octets());
    out[24..40].copy_from_slice(&destination.octets());
}

/// Writes the checksum of an ICMPv6 message right behind the fixed header.
pub(super) fn write_checksum(packet: &mut [u8]) {
    packet[HEADER_LEN + 2..HEADER_LEN + 4].fill(0);
    let message_len = (packet.len() - HEADER_LEN) as u32;
    let (source, destination) = (ipv6::source(packet), ipv6::destination(packet));
    let pseudo = checksum::pseudo_header_v6(source, destination, ICMPV6, message_len);
    let sum = !checksum::add(pseudo, checksum::sum(&packet[HEADER_LEN..]));
    packet[HEADER_LEN + 2..HEADER_LEN + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Whether the packet is an ICMPv6 error, or ICMPv6 too short to tell (`is_ineligible`).
fn is_error(packet: &[u8]) -> bool {
    const INFORMATIONAL: u8 = 0x80;
    let upper = ipv6::upper_layer(packet);
    if upper.protocol != ICMPV6 {
        return false;
    }
    match packet.get(upper.offset) {
        _ if upper.fragment.is_some_and(|fragment| fragment.offset != 0) => false,
        Some(kind) => kind & INFORMATIONAL == 0,
        None => !upper.fragment.is_some_and(|fragment| fragment.more),
    }
}
