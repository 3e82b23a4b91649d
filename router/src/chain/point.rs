//! Where hooks can sit: families, points and the usual priorities.

/// Protocol family of a hook (`NFPROTO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 packets.
    Ipv4,
    /// IPv6 packets.
    Ipv6,
    /// ARP frames. With the kernel as host they are only shown ([`Point::Input`]): the kernel answers them anyway.
    Arp,
    /// Frames of bridged ports.
    Bridge,
}

impl Family {
    /// All families, in the order of their indices.
    pub const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv6, Self::Arp, Self::Bridge];

    /// The name users read and write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
        }
    }
}

/// Where on its way a packet is (`NF_INET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Just arrived and found sound; not routed yet.
    Prerouting,
    /// Routed to this router itself.
    Input,
    /// Routed onwards; the TTL is already lowered.
    Forward,
    /// Made by this router itself.
    Output,
    /// About to leave.
    Postrouting,
}

impl Point {
    /// All points, in the order of their indices.
    pub const ALL: [Self; 5] =
        [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting];

    /// The name users read and write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// Priorities as netfilter numbers them (`enum nf_ip_hook_priorities`); smaller comes first.
pub mod priority {
    /// Packets of flows that were taken over are forwarded without a walk.
    pub const OFFLOAD: i32 = -500;
    /// Fragments are gathered.
    pub const DEFRAGMENT: i32 = -400;
    /// Before connection tracking.
    pub const RAW: i32 = -300;
    /// Connection tracking.
    pub const TRACK: i32 = -200;
    /// Right after tracking: the flow's route is taken.
    pub const ROUTE_FROM_FLOW: i32 = TRACK + 1;
    /// Then what rules make of the flow's packets.
    pub const VERDICT_FROM_FLOW: i32 = TRACK + 2;
    /// Packets are altered.
    pub const MANGLE: i32 = -150;
    /// Flows learn where they come from, and replies go back there.
    pub const LAST_HOP: i32 = MANGLE + 1;
    /// Destination NAT.
    pub const DESTINATION_NAT: i32 = -100;
    /// Packets are filtered.
    pub const FILTER: i32 = 0;
    /// Source NAT.
    pub const SOURCE_NAT: i32 = 100;
    /// The route is kept in the flow, when nothing can change the packet any more.
    pub const KEEP_ROUTE: i32 = i32::MAX - 1;
    /// What rules made of the packet is kept in the flow, behind all of them.
    pub const KEEP_VERDICT: i32 = i32::MAX - 1;
    /// The flow is confirmed (`NF_IP_PRI_CONNTRACK_CONFIRM`).
    pub const CONFIRM: i32 = i32::MAX;
}
