//! Rates and counts of flows.

use std::time::Duration;

use conntrack::Instant;
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
}
