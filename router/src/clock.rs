//! The only place that asks the operating system what time it is.

use std::time::SystemTime;

pub use conntrack::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Now, on `CLOCK_MONOTONIC`. Never goes back; stands still while the machine sleeps.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// Now, as people count it. For capture files and display, never for a decision.
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since midnight UTC, for IPv4 timestamp options (RFC 791).
#[must_use]
pub fn time_of_day_ms() -> u32 {
    const DAY_MS: u128 = 86_400_000;
    let since_epoch = wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_epoch.as_millis() % DAY_MS).expect("a day has fewer milliseconds than u32 counts")
}

/// Nanoseconds since 1970 UTC, for rules that ask what time it is.
#[must_use]
pub fn since_1970_ns() -> i64 {
    let since_epoch = wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970 UTC, for display.
#[must_use]
pub fn since_1970_ms() -> u64 {
    u64::try_from(since_1970_ns() / 1_000_000).unwrap_or(0)
}

/// Seconds that local time is ahead of UTC now.
#[must_use]
pub fn utc_offset_s() -> i32 {
    chrono::Local::now().offset().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back() {
        let first = now();
        assert!(now() >= first);
    }
}
