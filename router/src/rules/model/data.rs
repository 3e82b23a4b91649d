//! Values of rules and their types, laid out as they are compared: numbers big-endian, in as many bytes as the type has.

use smallvec::SmallVec;

/// A value. Its length is the type's; values of a concatenation stand one after another, each padded to four bytes.
pub type Value = SmallVec<[u8; 16]>;

/// Data type of an expression (`man nft`, DATA TYPES).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A number without a meaning, of this many bits.
    Integer(u16),
    /// `ipv4_addr`, 4 bytes.
    Ipv4Address,
    /// `ipv6_addr`, 16 bytes.
    Ipv6Address,
    /// `ether_addr`, 6 bytes.
    EtherAddress,
    /// `ether_type`, 2 bytes.
    EtherType,
    /// `inet_proto`, 1 byte.
    Protocol,
    /// `inet_service`, 2 bytes.
    Service,
    /// `mark`, 4 bytes.
    Mark,
    /// `ifname`, 16 bytes, zero padded.
    InterfaceName,
    /// `iface_index`, 4 bytes.
    InterfaceIndex,
    /// `nf_proto`, 1 byte: 2 IPv4, 10 IPv6.
    NetfilterProtocol,
    /// `pkt_type`, 1 byte.
    PacketType,
    /// `ct_state`, 4 bytes of bits: invalid 1, established 2, related 4, new 8, untracked 64.
    CtState,
    /// `ct_dir`, 1 byte.
    CtDirection,
    /// `ct_status`, 4 bytes of bits.
    CtStatus,
    /// `ct_label`, 16 bytes of bits.
    CtLabel,
    /// `ct_event`, 4 bytes of bits.
    CtEvent,
    /// `icmp_type`, 1 byte.
    IcmpType,
    /// `icmp_code`, 1 byte.
    IcmpCode,
    /// `icmpv6_type`, 1 byte.
    Icmpv6Type,
    /// `icmpv6_code`, 1 byte.
    Icmpv6Code,
    /// `igmp_type`, 1 byte.
    IgmpType,
    /// `iface_type`, 2 bytes: `ARPHRD_*`.
    LinkType,
    /// `tcp_flag`, 1 byte of bits.
    TcpFlag,
    /// `dscp`, 6 bits.
    Dscp,
    /// `ecn`, 2 bits.
    Ecn,
    /// `arp_op`, 2 bytes.
    ArpOperation,
    /// `fib_addrtype`, 4 bytes.
    FibAddressType,
    /// Seconds of wall time since 1970, 8 bytes.
    Time,
    /// Day of the week, Sunday 0, 1 byte.
    Day,
    /// Seconds since midnight UTC, 4 bytes.
    Hour,
    /// A span of time in milliseconds, 8 bytes.
    Duration,
    /// `devgroup`, 4 bytes.
    DeviceGroup,
    /// `realm`, 4 bytes.
    Realm,
    /// Traffic class handle `major:minor`, 4 bytes (`meta priority`).
    ClassId,
    /// A string of at most this many bytes, zero padded.
    Text(u16),
    /// `boolean`, 1 byte: `exists`, `missing`.
    Boolean,
    /// `verdict`, in data of maps only; 0 bytes.
    Verdict,
}

impl Type {
    /// Bits of a value.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Integer(bits) => bits,
            Self::Text(bytes) => bytes * 8,
            Self::Dscp => 6,
            Self::Ecn => 2,
            Self::Verdict => 0,
            Self::Protocol
            | Self::NetfilterProtocol
            | Self::PacketType
            | Self::CtDirection
            | Self::IcmpType
            | Self::IcmpCode
            | Self::Icmpv6Type
            | Self::Icmpv6Code
            | Self::IgmpType
            | Self::TcpFlag
            | Self::Day
            | Self::Boolean => 8,
            Self::EtherType | Self::Service | Self::ArpOperation | Self::LinkType => 16,
            Self::Ipv4Address
            | Self::Mark
            | Self::InterfaceIndex
            | Self::CtState
            | Self::CtStatus
            | Self::CtEvent
            | Self::FibAddressType
            | Self::Hour
            | Self::DeviceGroup
            | Self::Realm
            | Self::ClassId => 32,
            Self::EtherAddress => 48,
            Self::Time | Self::Duration => 64,
            Self::Ipv6Address | Self::InterfaceName | Self::CtLabel => 128,
        }
    }

    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bits().div_ceil(8) as usize
    }

    /// Bytes of a value as part of a concatenation: padded to four.
    #[must_use]
    pub const fn padded_bytes(self) -> usize {
        self.bytes().next_multiple_of(4)
    }

    /// Whether a value is a set of bits, so that naming one without an operator asks whether it is set.
    #[must_use]
    pub const fn is_bitmask(self) -> bool {
        matches!(self, Self::CtState | Self::CtStatus | Self::CtLabel | Self::CtEvent | Self::TcpFlag)
    }
}
