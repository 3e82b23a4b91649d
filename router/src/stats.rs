//! What a worker counts. Each worker writes its own; whoever shows them adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

use fib::cache::Staleness;

use crate::bridge::BRIDGES_MAX;
use crate::drops::DropReason;

/// A number that one thread raises and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Raises it by one. Only the owning worker calls this, so no locked instruction is needed.
    pub fn raise(&self) {
        self.add(1);
    }

    /// Raises it.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Sets it, where it tells how many there are and not how often something happened.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])+ $field:ident,)+) => {
        /// Counters of one worker's datapath.
        #[derive(Debug)]
        pub struct Counters {
            $($(#[$doc])+ pub $field: Counter,)+
            drops: Box<[Counter]>,
            /// In the order of the configuration.
            bridges: Box<[BridgeCounters]>,
            /// By the reason's byte, which is never 0.
            renewals: Box<[Counter]>,
        }

        impl Counters {
            /// All at zero.
            #[must_use]
            pub fn new() -> Self {
                Self {
                    $($field: Counter::default(),)+
                    drops: DropReason::ALL.iter().map(|_| Counter::default()).collect(),
                    bridges: (0..BRIDGES_MAX).map(|_| BridgeCounters::default()).collect(),
                    renewals: (0..=Staleness::ALL.len()).map(|_| Counter::default()).collect(),
                }
            }

            /// Names and numbers of all but the drops, in a fixed order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field.get()),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Frames taken from ports.
    received,
    /// Packets sent on to a next hop (a fragmented one counts once).
    forwarded,
    /// Packets and frames left to the kernel: for the router itself, or multicast and broadcast. In an owned host: packets
    /// that routerd has taken itself.
    local,
    /// Packets for the router itself that routerd has handed to the kernel, which was kept from taking its own copy.
    handed_over,
    /// Echo requests to an owned host that it has answered.
    echo_replies,
    /// ARP and neighbor discovery messages to an owned host.
    discovery_heard,
    /// ARP and neighbor discovery messages that an owned host has sent.
    discovery_sent,
    /// Packets of this host's own programs taken from the kernel on their way out.
    taken_from_host,
    /// Frames that are not IP (ARP among them) or not for this router; left to the kernel.
    ignored,
    /// Packets dropped, all reasons.
    dropped,
    /// Frames that a bridge has sent on by one or more of its ports.
    bridged,
    /// Packets taken by a hook.
    stolen,
    /// Times that a packet was given to a program's queue.
    queued,
    /// Packets that a hook has sent on and saved the rest of their walk; they count as forwarded too.
    offloaded,
    /// Packets held for a next hop.
    held,
    /// Searches for a destination.
    fib_lookups,
    /// Packets whose route came from their flow.
    flow_cache_hits,
    /// Packets sent on by a route that was looked up, as their flow kept none that was good.
    flow_cache_misses,
    /// Kept routes that were looked up again because they were no longer to be trusted.
    flow_cache_revalidated,
    /// Packets whose way through the rules came from their flow.
    verdict_cache_hits,
    /// Times that a packet's way through the rules was kept in its flow.
    verdict_cache_kept,
    /// Times that a packet's way through the rules was not fit to be kept.
    verdict_cache_unfit,
    /// Packets dropped where they were tracked, because rules had dropped one like them a moment before.
    negative_cache_hits,
    /// Packets that would have begun a flow and were dropped by what was remembered of one like them.
    negative_cache_recalled,
    /// Drops that were remembered.
    negative_cache_kept,
    /// Drops that are remembered now, or were until a second ago.
    negative_cache_entries,
    /// Kept routes that unrelated changes had overtaken: stamped again without a lookup.
    flow_cache_unaffected,
    /// Kept routes that stay in spite of a change, as the user has asked for their destinations.
    flow_cache_kept_by_policy,
    /// Packets without a flow whose route was found for an earlier one.
    untracked_cache_hits,
    /// Packets without a flow sent on by a route that was looked up.
    untracked_cache_misses,
    /// Routes of packets without a flow that unrelated changes had overtaken.
    untracked_cache_unaffected,
    /// Routes of packets without a flow that were looked up again because they were no longer to be trusted.
    untracked_cache_revalidated,
    /// Routes of packets without a flow that are kept now.
    untracked_cache_entries,
    /// Times that a flow has learned where on its link it comes from, or that it comes from elsewhere now.
    last_hop_learned,
    /// Packets from which a flow was not to learn that: their source was not believed, or there was no room.
    last_hop_refused,
    /// Replies sent back to where their flow came from.
    last_hop_replies,
    /// Packets of this host's programs sent on to where marked packets were going.
    last_hop_programs,
    /// Packets routed because nothing can be sent to where they were to go back.
    last_hop_dead,
    /// Packets for which no flow was to be found or made.
    untracked_packets,
    /// Packets that connection tracking calls invalid; they are forwarded all the same.
    invalid_packets,
    /// Fragments made on output.
    fragments_made,
    /// Datagrams put together for tracking.
    datagrams_gathered,
    /// Super-packets cut because a port could not take them whole.
    packets_segmented,
    /// ICMP errors and redirects sent.
    icmp_sent,
    /// ICMP errors due but held back by a rate limit.
    icmp_rate_limited,
    /// Requests to the kernel to find or confirm a neighbor.
    neighbor_requests,
}

macro_rules! bridge_counters {
    ($($(#[$doc:meta])+ $field:ident,)+) => {
        /// What one worker counts of a bridge.
        #[derive(Debug, Default)]
        pub struct BridgeCounters {
            $($(#[$doc])+ pub $field: Counter,)+
        }

        impl BridgeCounters {
            /// Names and numbers, in a fixed order.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field.get()),)+].into_iter()
            }
        }
    };
}

bridge_counters! {
    /// Frames that the router has received by the port that the bridge is.
    received_frames,
    /// Their bytes.
    received_bytes,
    /// Frames of the router's that it has sent by the bridge.
    sent_frames,
    /// Their bytes.
    sent_bytes,
    /// Frames for a host whose port was known.
    forwarded,
    /// Frames for a group, or for a host whose port was not known.
    flooded,
    /// Copies made of these, one for each port.
    copies,
    /// Copies that could not be made, as no frame was free.
    copies_lost,
    /// Frames, and copies of frames, too large for the port by which they were to leave.
    too_big,
    /// Frames that entered the hooks of IP, whomever they were for.
    pulled_up,
    /// Frames that were to, but are tagged, or no sound IP packets; they were passed on.
    not_pulled_up,
    /// Link addresses that were not known.
    learned,
    /// Link addresses that came by another port than before.
    moved,
    /// Frames from link addresses that found no room in the table.
    macs_full,
    /// Frames from link addresses that are configured to be behind another port.
    fixed_elsewhere,
    /// Frames from an address of this router's own; dropped.
    looped,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// Counts a dropped packet.
    pub fn drop(&self, reason: DropReason) {
        self.dropped.raise();
        self.drops[reason as usize].raise();
    }

    /// What was counted of a bridge, by its number.
    ///
    /// # Panics
    /// If there cannot be so many bridges.
    #[must_use]
    pub fn bridge(&self, number: usize) -> &BridgeCounters {
        &self.bridges[number]
    }

    /// Counts a kept route that was no longer to be trusted.
    pub fn renew(&self, reason: Staleness) {
        self.renewals[place(reason)].raise();
    }

    /// How many kept routes were looked up again for this reason.
    #[must_use]
    pub fn renewals(&self, reason: Staleness) -> u64 {
        self.renewals[place(reason)].get()
    }

    /// How many packets were dropped for this reason.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].get()
    }
}

/// Where a reason is counted: their bytes begin with 1.
const fn place(reason: Staleness) -> usize {
    reason.bits() as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_look_up_again_has_a_counter_of_its_own() {
        let counters = Counters::new();
        for (number, reason) in (1_u64..).zip(Staleness::ALL) {
            (0..number).for_each(|_| counters.renew(*reason));
        }
        let counted = Staleness::ALL.iter().map(|reason| counters.renewals(*reason));
        assert!(counted.eq(1..=Staleness::ALL.len() as u64));
    }

    #[test]
    fn a_drop_is_counted_under_its_reason_and_in_the_total() {
        let counters = Counters::new();
        counters.drop(DropReason::NoRoute);
        assert_eq!(counters.drops(DropReason::NoRoute), 1);
        assert_eq!(counters.drops(DropReason::Martian), 0);
        assert_eq!(counters.dropped.get(), 1);
    }

    #[test]
    fn every_reason_of_a_renewal_is_counted_for_itself() {
        let counters = Counters::new();
        Staleness::ALL.iter().for_each(|reason| counters.renew(*reason));
        assert!(Staleness::ALL.iter().all(|reason| counters.renewals(*reason) == 1));
    }
}
