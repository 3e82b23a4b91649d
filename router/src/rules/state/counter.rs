//! Counters and quotas.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Packets and bytes, from the network header on.
#[derive(Debug, Default)]
pub struct Counter {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// A counter that begins here.
    #[must_use]
    pub const fn new(packets: u64, bytes: u64) -> Self {
        Self { packets: AtomicU64::new(packets), bytes: AtomicU64::new(bytes) }
    }

    /// Counts a packet.
    pub fn count(&self, bytes: u64) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts packets of so many bytes together.
    pub fn add(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Packets and bytes so far. Those of packets that flows have recalled come with
    /// [`crate::chain::Registry::fold`].
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (self.packets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Packets and bytes so far, and zero from here on (`reset counters`).
    pub fn reset(&self) -> (u64, u64) {
        (self.packets.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

/// Bytes that may pass (`nft_quota.c`).
#[derive(Debug)]
pub struct Quota {
    /// Bytes allowed.
    pub bytes: u64,
    /// Matches what is over it instead of what is under.
    pub over: bool,
    used: AtomicU64,
}

impl Quota {
    /// A quota of which some is used already.
    #[must_use]
    pub const fn new(bytes: u64, over: bool, used: u64) -> Self {
        Self { bytes, over, used: AtomicU64::new(used) }
    }

    /// Takes a packet's bytes; whether the statement matches.
    pub fn take(&self, bytes: u64) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        (used > self.bytes) == self.over
    }

    /// Bytes used so far, at most all: what is over is not told (`nft_quota_do_dump`).
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed).min(self.bytes)
    }

    /// Bytes used so far, at most all, and zero from here on.
    pub fn reset(&self) -> u64 {
        self.used.swap(0, Ordering::Relaxed).min(self.bytes)
    }
}

/// When a rule was last reached (`nft_last.c`).
#[derive(Debug, Default)]
pub struct Last {
    /// Nanoseconds of the router's clock; 0 for never.
    at: AtomicU64,
}

impl Last {
    /// Reached at this moment, in nanoseconds of the router's clock.
    #[must_use]
    pub fn reached(at_ns: u64) -> Self {
        Self { at: AtomicU64::new(at_ns.max(1)) }
    }

    /// Notes the moment, in nanoseconds of the router's clock.
    pub fn note(&self, at_ns: u64) {
        self.at.store(at_ns.max(1), Ordering::Relaxed);
    }

    /// When, in nanoseconds of the router's clock.
    #[must_use]
    pub fn at_ns(&self) -> Option<u64> {
        Some(self.at.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }
}

/// Numbers one after another, from zero (`nft_ng_inc_gen`).
#[derive(Debug, Default)]
pub struct Sequence {
    next: AtomicU32,
}

impl Sequence {
    /// The next number below `modulus`; after the last comes zero.
    pub fn next(&self, modulus: u32) -> u32 {
        let behind = |number: u32| if number.saturating_add(1) < modulus { number + 1 } else { 0 };
        let taken =
            self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| Some(behind(number)));
        taken.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_tells_no_more_used_than_it_has() {
        let quota = Quota::new(100, false, 0);
        assert!(quota.take(60) && !quota.take(60));
        assert_eq!(quota.used(), 100);
        assert_eq!(quota.reset(), 100);
        assert_eq!(quota.used(), 0);
    }

    #[test]
    fn numbers_come_one_after_another_and_begin_again() {
        let sequence = Sequence::default();
        let numbers: Vec<u32> = (0..7).map(|_| sequence.next(3)).collect();
        assert_eq!(numbers, [0, 1, 2, 0, 1, 2, 0]);
        let one = Sequence::default();
        assert_eq!([one.next(1), one.next(1)], [0, 0]);
    }
}
