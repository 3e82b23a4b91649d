//! Extension headers, options and chunks.

use super::super::words::words;

words! {
/// IPv6 extension headers that `exthdr` knows.
ExtensionHeader {
    /// Hop-by-hop options.
    HopByHop = "hbh",
    /// Routing.
    Routing = "rt",
    /// Fragment.
    Fragment = "frag",
    /// Destination options.
    Destination = "dst",
    /// Mobility.
    Mobility = "mh",
}}

/// A field of an IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionField {
    /// `hbh`.
    HopByHop(OptionsField),
    /// `dst`.
    Destination(OptionsField),
    /// `rt`.
    Routing(RoutingField),
    /// `rt0 addr[N]`, counted from 1.
    Routing0Address(u8),
    /// `rt2 addr`.
    Routing2Address,
    /// `srh`.
    Segments(SegmentsField),
    /// `srh sid[N]`, counted from 1.
    SegmentId(u8),
    /// `frag`.
    Fragment(FragmentField),
    /// `mh`.
    Mobility(MobilityField),
}

words! {
/// Fields of `hbh` and `dst`.
OptionsField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
}}

words! {
/// Fields of `rt`.
RoutingField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
    /// Type.
    Type = "type",
    /// Segments left.
    SegLeft = "seg-left",
}}

words! {
/// Fields of `srh`.
SegmentsField {
    /// Last entry.
    LastEntry = "last-entry",
    /// Flags.
    Flags = "flags",
    /// Tag.
    Tag = "tag",
}}

words! {
/// Fields of `frag`.
FragmentField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Reserved bits.
    Reserved = "reserved",
    /// Fragment offset.
    FragOff = "frag-off",
    /// More reserved bits.
    Reserved2 = "reserved2",
    /// Whether more follow.
    MoreFragments = "more-fragments",
    /// Identification.
    Id = "id",
}}

words! {
/// Fields of `mh`.
MobilityField {
    /// Next header.
    Nexthdr = "nexthdr",
    /// Length of the header.
    Hdrlength = "hdrlength",
    /// Type.
    Type = "type",
    /// Reserved bits.
    Reserved = "reserved",
    /// Checksum.
    Checksum = "checksum",
}}

/// A TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpOption {
    /// One that has a name.
    Named(TcpOptionName),
    /// One by its kind.
    Kind(u8),
}

words! {
/// TCP options by name.
TcpOptionName {
    /// End of the list.
    Eol = "eol",
    /// No operation.
    Nop = "nop" | "noop",
    /// Maximum segment size.
    Maxseg = "maxseg" | "mss",
    /// Window scale.
    Window = "window",
    /// Selective acknowledgements permitted.
    SackPerm = "sack-perm" | "sack-permitted",
    /// Selective acknowledgements, the first block.
    Sack = "sack" | "sack0",
    /// The second block.
    Sack1 = "sack1",
    /// The third block.
    Sack2 = "sack2",
    /// The fourth block.
    Sack3 = "sack3",
    /// Echo.
    Echo = "echo",
    /// Timestamps.
    Timestamp = "timestamp",
    /// Signature.
    Md5sig = "md5sig",
    /// Multipath.
    Mptcp = "mptcp",
    /// Fast open.
    Fastopen = "fastopen",
}}

words! {
/// Fields of TCP options.
TcpOptionField {
    /// Length, of any option.
    Length = "length",
    /// `maxseg size`.
    Size = "size",
    /// `window count`.
    Count = "count",
    /// `sack left`.
    Left = "left",
    /// `sack right`.
    Right = "right",
    /// `timestamp tsval`.
    Tsval = "tsval",
    /// `timestamp tsecr`.
    Tsecr = "tsecr",
    /// `mptcp subtype`.
    Subtype = "subtype",
}}

words! {
/// IPv4 options.
IpOption {
    /// Loose source route.
    Lsrr = "lsrr",
    /// Record route.
    Rr = "rr",
    /// Strict source route.
    Ssrr = "ssrr",
    /// Router alert.
    Ra = "ra",
}}

words! {
/// Fields of IPv4 options.
IpOptionField {
    /// Type.
    Type = "type",
    /// Length.
    Length = "length",
    /// Value of a router alert.
    Value = "value",
    /// Pointer.
    Ptr = "ptr",
    /// First address.
    Addr = "addr",
}}

words! {
/// SCTP chunks.
SctpChunk {
    /// Data.
    Data = "data",
    /// Begin.
    Init = "init",
    /// Begin, answered.
    InitAck = "init-ack",
    /// Selective acknowledgement.
    Sack = "sack",
    /// Heartbeat.
    Heartbeat = "heartbeat",
    /// Heartbeat, answered.
    HeartbeatAck = "heartbeat-ack",
    /// Abort.
    Abort = "abort",
    /// Shutdown.
    Shutdown = "shutdown",
    /// Shutdown, answered.
    ShutdownAck = "shutdown-ack",
    /// Error.
    Error = "error",
    /// Cookie.
    CookieEcho = "cookie-echo",
    /// Cookie, answered.
    CookieAck = "cookie-ack",
    /// Congestion.
    Ecne = "ecne",
    /// Congestion window reduced.
    Cwr = "cwr",
    /// Shutdown, complete.
    ShutdownComplete = "shutdown-complete",
    /// Addresses changed, answered.
    AsconfAck = "asconf-ack",
    /// Forward.
    ForwardTsn = "forward-tsn",
    /// Addresses changed.
    Asconf = "asconf",
}}

words! {
/// Fields of SCTP chunks.
SctpChunkField {
    /// Type, of any chunk.
    Type = "type",
    /// Flags, of any chunk.
    Flags = "flags",
    /// Length, of any chunk.
    Length = "length",
    /// `data tsn`.
    Tsn = "tsn",
    /// `data stream`.
    Stream = "stream",
    /// `data ssn`.
    Ssn = "ssn",
    /// `data ppid`.
    Ppid = "ppid",
    /// `init init-tag`.
    InitTag = "init-tag",
    /// `init a-rwnd`, `sack a-rwnd`.
    ARwnd = "a-rwnd",
    /// `init num-outbound-streams`.
    NumOutboundStreams = "num-outbound-streams",
    /// `init num-inbound-streams`.
    NumInboundStreams = "num-inbound-streams",
    /// `init initial-tsn`.
    InitialTsn = "initial-tsn",
    /// `sack cum-tsn-ack`, `shutdown cum-tsn-ack`.
    CumTsnAck = "cum-tsn-ack",
    /// `sack num-gap-ack-blocks`.
    NumGapAckBlocks = "num-gap-ack-blocks",
    /// `sack num-dup-tsns`.
    NumDupTsns = "num-dup-tsns",
    /// `ecne lowest-tsn`, `cwr lowest-tsn`.
    LowestTsn = "lowest-tsn",
    /// `asconf seqno`, `asconf-ack seqno`.
    Seqno = "seqno",
    /// `forward-tsn new-cum-tsn`.
    NewCumTsn = "new-cum-tsn",
}}
