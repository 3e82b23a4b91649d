//! What can be said about how neighbors are found: the kernel's `neigh` sysctls, and what is this router's own.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// How neighbors are found, kept and answered. The defaults are Linux's, where Linux has the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a neighbor counts as reachable, on average; what is used lies between half and one and a half of it
    /// (`base_reachable_time_ms`, RFC 4861 section 6.3.2).
    pub reachable_time: Duration,
    /// Time between questions about the same neighbor (`retrans_time_ms`).
    pub retransmit_time: Duration,
    /// How long a stale neighbor is used before it is asked (`delay_first_probe_time`).
    pub delay_probe_time: Duration,
    /// Questions to everybody before a neighbor counts as failed (`mcast_solicit`).
    pub multicast_probes: u32,
    /// Questions to a neighbor at its last address before it counts as failed (`ucast_solicit`).
    pub unicast_probes: u32,
    /// Of several ARP replies within this time the first is believed (`locktime`).
    pub lock_time: Duration,
    /// After this time without use a stale neighbor may be forgotten (`gc_stale_time`).
    pub stale_time: Duration,
    /// Up to so many neighbors of a family nothing is forgotten (`gc_thresh1`).
    pub keep: usize,
    /// Above so many neighbors of a family the least useful go at once (`gc_thresh2`).
    pub crowded: usize,
    /// Neighbors of a family at most (`gc_thresh3`). Static ones do not count.
    pub neighbors_max: usize,
    /// Whether neighbors that nobody has asked for are remembered when they announce themselves (`arp_accept`,
    /// `accept_untracked_na`).
    pub accept_unasked: bool,
    /// Whether ARP answers for an address on all ports, not only on the one that has it (`arp_ignore` 0 and 1).
    pub answer_on_all_ports: bool,
    /// Answers for others wait a random time up to this (`proxy_delay`).
    pub proxy_delay: Duration,
    /// Answers for others that may wait at once (`proxy_qlen`).
    pub proxy_waiting_max: usize,
    /// How an IPv4 address is tried before it is used (RFC 5227 section 2.1). Linux does not.
    pub detection_ipv4: Detection,
    /// How an IPv6 address is tried before it is used (RFC 4862 section 5.4; `dad_transmits`).
    pub detection_ipv6: Detection,
    /// How often an address is announced once it is used (RFC 5227 section 2.3, RFC 4861 section 7.2.6).
    pub announcements: u32,
    /// Time between announcements.
    pub announcement_interval: Duration,
    /// An address that somebody else uses too is defended once in this time (RFC 5227 section 2.4).
    pub defence_interval: Duration,
}

/// How an address is tried before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detection {
    /// How often it is asked for; 0 does without.
    pub probes: u32,
    /// Time between questions, and behind the last one.
    pub interval: Duration,
    /// The first question waits a random time up to this, lest all hosts of a link ask at once.
    pub delay: Duration,
}

/// For which addresses of other ports a port answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// ARP: for every address that is routed by another port (`proxy_arp`).
    pub all_routed: bool,
    /// For the addresses of these prefixes (`ip neigh add proxy`, by prefix); in ARP if they are routed by another port.
    pub prefixes: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reachable_time: Duration::from_secs(30),
            retransmit_time: Duration::from_secs(1),
            delay_probe_time: Duration::from_secs(5),
            multicast_probes: 3,
            unicast_probes: 3,
            lock_time: Duration::from_secs(1),
            stale_time: Duration::from_secs(60),
            keep: 128,
            crowded: 512,
            neighbors_max: 1024,
            accept_unasked: false,
            answer_on_all_ports: true,
            proxy_delay: Duration::from_millis(800),
            proxy_waiting_max: 64,
            detection_ipv4: Detection {
                probes: 2,
                interval: Duration::from_millis(200),
                delay: Duration::from_millis(50),
            },
            detection_ipv6: Detection {
                probes: 1,
                interval: Duration::from_secs(1),
                delay: Duration::from_secs(1),
            },
            announcements: 2,
            announcement_interval: Duration::from_secs(2),
            defence_interval: Duration::from_secs(10),
        }
    }
}

impl Detection {
    /// The same with so many questions, if that is said.
    #[must_use]
    pub const fn with_probes(self, probes: Option<u32>) -> Self {
        match probes {
            Some(probes) => Self { probes, ..self },
            None => self,
        }
    }
}

impl Settings {
    /// The same, no bound of the table above the last one.
    pub(super) fn in_order(self) -> Self {
        let crowded = self.crowded.min(self.neighbors_max);
        Self { crowded, keep: self.keep.min(crowded), ..self }
    }

    /// How addresses of this one's family are tried.
    #[must_use]
    pub const fn detection(&self, address: IpAddr) -> Detection {
        match address {
            IpAddr::V4(_) => self.detection_ipv4,
            IpAddr::V6(_) => self.detection_ipv6,
        }
    }
}

impl Proxy {
    /// Whether one of the prefixes has this address.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(&address))
    }
}
