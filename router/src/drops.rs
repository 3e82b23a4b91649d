//! Why packets end: one name and one counter for each reason.

macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped. Named after the kernel's counters and drop reasons where it has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])+ $variant,)+
        }

        impl DropReason {
            /// All reasons, in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that `show drops` prints.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// Frame shorter than its headers say.
    Truncated = "truncated",
    /// IP header with an impossible version or length field.
    HeaderMalformed = "header_malformed",
    /// IPv4 header checksum is wrong.
    HeaderChecksum = "header_checksum",
    /// IPv4 options are malformed; answered with parameter problem.
    OptionsMalformed = "options_malformed",
    /// IPv4 source route, refused (`accept_source_route`).
    SourceRoute = "source_route",
    /// IPv6 hop-by-hop options that ask to be dropped, or malformed ones.
    HopByHop = "hop_by_hop",
    /// A source or destination address that must not be seen on a link.
    Martian = "martian",
    /// `rp_filter`: no reverse route, or by another port.
    ReversePath = "reverse_path",
    /// Multicast, broadcast or link-layer broadcast is not forwarded.
    NotUnicast = "not_unicast",
    /// Link-local source or destination is not forwarded.
    LinkLocal = "link_local",
    /// IPv6 is switched off on the port of entry (`disable_ipv6`).
    Ipv6Disabled = "ipv6_disabled",
    /// TTL or hop limit used up; answered with time exceeded.
    TtlExceeded = "ttl_exceeded",
    /// No route; answered with network unreachable (IPv6: no route).
    NoRoute = "no_route",
    /// `blackhole` route or rule.
    Blackhole = "blackhole",
    /// `unreachable` route or rule.
    Unreachable = "unreachable",
    /// `prohibit` route or rule.
    Prohibit = "prohibit",
    /// Larger than the MTU and not to be fragmented; answered.
    TooBig = "too_big",
    /// Options or headers left no room to fragment.
    FragmentationFailed = "fragmentation_failed",
    /// A fragment was refused by reassembly.
    FragmentRefused = "fragment_refused",
    /// Fragments of a datagram that never became whole.
    FragmentsExpired = "fragments_expired",
    /// The next hop did not answer; answered with host unreachable.
    NeighborFailed = "neighbor_failed",
    /// Too many packets wait for the next hop; the oldest went.
    HoldQueueFull = "hold_queue_full",
    /// The table of neighbors is full.
    NeighborTableFull = "neighbor_table_full",
    /// ARP or neighbor discovery, while too many such messages wait to be read.
    DiscoveryQueueFull = "discovery_queue_full",
    /// The output port is down or gone.
    PortDown = "port_down",
    /// For this host, to which nothing can be handed over at the moment.
    HostAbsent = "host_absent",
    /// For this host, where nobody listens for it: a group, a port, a protocol.
    NoListener = "no_listener",
    /// A hook asked to be called again too often.
    HookRepeatsTooOften = "hook_repeats_too_often",
    /// A hook named a queue that nobody listens on.
    QueueWithoutListener = "queue_without_listener",
    /// Too many packets or bytes waited in its queue.
    QueueFull = "queue_full",
    /// The program of its queue dropped it.
    QueueVerdict = "queue_verdict",
    /// The program of its queue did not answer in time.
    QueueUnanswered = "queue_unanswered",
    /// The program of its queue ended or gave the queue up.
    QueueProgramGone = "queue_program_gone",
    /// The program of its queue made something of it that is no packet.
    QueueMalformed = "queue_malformed",
    /// Queued with a super-packet that begins a flow, whose first segment alone has the flow.
    QueueUnconfirmed = "queue_unconfirmed",
    /// A rule or another hook dropped it.
    Rule = "rule",
    /// The flow table is full and nothing could be dropped early.
    FlowTableFull = "flow_table_full",
    /// Another worker confirmed a clashing flow first, and the two could not be made one.
    FlowClash = "flow_clash",
    /// No address or port is left that would make a new flow's replies unlike any other's.
    NatExhausted = "nat_exhausted",
    /// To be masqueraded or redirected, by a port without an address.
    NatNoAddress = "nat_no_address",
    /// Of a masqueraded flow that would leave by another port than before; the flow has ended.
    NatRerouted = "nat_rerouted",
    /// An error or redirect about a translated flow, or a packet, that cannot be translated.
    NatUntranslatable = "nat_untranslatable",
    /// A command that a helper could not read, or whose connection could not be announced.
    HelperRefused = "helper_refused",
    /// Its sequence numbers were to be shifted, and its TCP options made no sense.
    SequenceUnreadable = "sequence_unreadable",
    /// A frame on a bridge whose source is a group's address or none.
    BridgeSource = "bridge_source",
    /// A frame on a bridge whose source is an address of this router: one of its own has come back.
    BridgeLoop = "bridge_loop",
    /// A frame for a group address that ends at the next bridge (pause frames, LLDP and others as configured).
    BridgeReserved = "bridge_reserved",
    /// A frame on a bridge for a host that is behind the port it came in by.
    BridgeSamePort = "bridge_same_port",
    /// A frame on a bridge none of whose other ports is up.
    BridgeNoPort = "bridge_no_port",
    /// A frame larger than the port of a bridge by which it was to leave can send.
    BridgeTooBig = "bridge_too_big",
    /// The worker had no frame free to work with.
    NoFrame = "no_frame",
    /// A super-packet or unfinished checksum that the output port cannot take and that could not be finished.
    OffloadFailed = "offload_failed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_list_and_names_are_unique() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
