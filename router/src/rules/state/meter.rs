//! Rates and counts of flows.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use conntrack::{Instant, Tuple};
use parking_lot::Mutex;

use crate::rules::model;

/// A rate limit: a bucket of tokens that are nanoseconds (`nft_limit.c`).
#[derive(Debug)]
pub struct Limit {
    /// What was asked for.
    pub rate: model::Limit,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: u64,
    last: Instant,
}

impl Limit {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: model::Limit) -> Self {
        let tokens = bucket_size(&rate);
        Self { rate, bucket: Mutex::new(Bucket { tokens, last: Instant::ZERO }) }
    }

    /// Takes what a packet costs, if it is there; whether the statement matches.
    pub fn take(&self, bytes: u64, now: Instant) -> bool {
        let period_ns = u64::from(self.rate.period_s) * 1_000_000_000;
        let cost = match self.rate.unit {
            model::LimitUnit::Packets => period_ns / self.rate.rate.max(1),
            model::LimitUnit::Bytes => {
                let cost = u128::from(period_ns) * u128::from(bytes) / u128::from(self.rate.rate.max(1));
                u64::try_from(cost).unwrap_or(u64::MAX)
            }
        };
        let mut bucket = self.bucket.lock();
        let passed = (now - bucket.last).min(Duration::from_secs(u64::from(u32::MAX)));
        let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        let tokens = bucket.tokens.saturating_add(passed).min(bucket_size(&self.rate));
        bucket.last = now;
        let within = tokens >= cost;
        bucket.tokens = if within { tokens - cost } else { tokens };
        within != self.rate.over
    }
}

/// Nanoseconds that fit (`nft_limit_init`): the burst in packets, or rate and burst in bytes.
fn bucket_size(rate: &model::Limit) -> u64 {
    let period_ns = u64::from(rate.period_s) * 1_000_000_000;
    let per_period = rate.rate.max(1);
    match rate.unit {
        model::LimitUnit::Packets => period_ns / per_period * u64::from(rate.burst),
        model::LimitUnit::Bytes => {
            let bytes = u128::from(per_period) + u128::from(rate.burst);
            u64::try_from(u128::from(period_ns) * bytes / u128::from(per_period)).unwrap_or(u64::MAX)
        }
    }
}

/// `ct count`: how many flows alive have come by (`nft_connlimit.c`, `nf_conncount.c`).
#[derive(Debug)]
pub struct FlowCount {
    /// How many may be.
    pub count: u32,
    /// Matches what is over it instead of what is within.
    pub over: bool,
    flows: Mutex<Flows>,
}

/// Flows that have come by, oldest look first.
#[derive(Debug, Default)]
struct Flows {
    ids: HashSet<u64>,
    queue: VecDeque<(u64, Tuple, Instant)>,
}

/// Flows of a count that are looked after with each new one, and with each packet while there are too many.
const LOOKED_AFTER: usize = 64;
/// Most flows that one count remembers; more are counted as if they were these.
const COUNTED_MAX: usize = 1 << 20;

impl FlowCount {
    /// A count that begins with no flow.
    #[must_use]
    pub fn new(count: u32, over: bool) -> Self {
        Self { count, over, flows: Mutex::default() }
    }

    /// Counts a packet's flow, by its number and original tuple, if it is new here; whether the statement matches.
    /// `is_alive` says whether a flow of this number and tuple is in the table.
    pub fn take(&self, id: u64, tuple: &Tuple, now: Instant, is_alive: impl Fn(u64, &Tuple) -> bool) -> bool {
        let mut flows = self.flows.lock();
        let is_new = flows.ids.len() < COUNTED_MAX && flows.ids.insert(id);
        // While no more are remembered than may be, it makes no difference how many of them have ended.
        if is_new || flows.ids.len() > self.count as usize {
            flows.look_after(now, is_alive);
        }
        if is_new {
            flows.queue.push_back((id, *tuple, now));
        }
        self.is_met(flows.ids.len())
    }

    /// Counts a packet that belongs to no flow as one more than the flows there are, and does not remember it; whether
    /// the statement matches.
    pub fn take_stray(&self, now: Instant, is_alive: impl Fn(u64, &Tuple) -> bool) -> bool {
        let mut flows = self.flows.lock();
        if flows.ids.len() >= self.count as usize {
            flows.look_after(now, is_alive);
        }
        self.is_met(flows.ids.len() + 1)
    }

    const fn is_met(&self, flows: usize) -> bool {
        (flows > self.count as usize) == self.over
    }
}

impl Flows {
    /// Forgets those of a few flows that have ended.
    fn look_after(&mut self, now: Instant, is_alive: impl Fn(u64, &Tuple) -> bool) {
        for _ in 0..self.queue.len().min(LOOKED_AFTER) {
            let Some((id, tuple, since)) = self.queue.pop_front() else { break };
            // One that came by in this very turn may still be on its way into the table.
            if since == now || is_alive(id, &tuple) {
                self.queue.push_back((id, tuple, since));
            } else {
                self.ids.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use conntrack::Ids;

    use super::*;

    #[test]
    fn flows_count_while_they_are_alive() {
        let tuple = Tuple::between([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, Ids::default());
        let count = FlowCount::new(2, true);
        let alive = Cell::new(u64::MAX);
        let over =
            |id, at| count.take(id, &tuple, Instant::from_secs(at), |id, _| alive.get() & 1 << id != 0);
        assert!(!over(1, 1));
        assert!(!over(2, 2));
        assert!(!over(2, 3), "a flow counts once");
        assert!(over(3, 4));
        alive.set(0b1100);
        assert!(!over(3, 5), "one has ended");
        assert!(over(4, 6));
    }

    #[test]
    fn a_packet_without_a_flow_is_one_more_and_not_remembered() {
        let tuple = Tuple::between([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, Ids::default());
        let count = FlowCount::new(1, true);
        let now = Instant::from_secs(1);
        assert!(!count.take_stray(now, |_, _| true) && !count.take_stray(now, |_, _| true));
        assert!(!count.take(1, &tuple, now, |_, _| true));
        assert!(count.take_stray(now, |_, _| true));
        assert!(!count.take_stray(Instant::from_secs(2), |_, _| false), "the flow has ended");
    }

    #[test]
    fn a_limit_lets_its_burst_pass_and_then_its_rate() {
        let rate =
            model::Limit { rate: 10, period_s: 1, burst: 5, unit: model::LimitUnit::Packets, over: false };
        let limit = Limit::new(rate);
        let start = Instant::from_secs(1000);
        let passed = |at_ms: u64| limit.take(100, start + Duration::from_millis(at_ms));
        assert_eq!((0..20).filter(|_| passed(0)).count(), 5);
        assert_eq!((0..10).filter(|step| passed(100 * (step + 1))).count(), 10);
        assert!(!passed(1050) && passed(1100));
    }
}
