//! What remembers, as nft lists it.

use std::fmt::Write as _;

use super::super::Options;
use crate::rules::check::time;
use crate::rules::model::{Limit, LimitUnit};
use crate::rules::state::Quota;

/// Bytes in the largest unit that has no rest.
pub(crate) fn amount(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0 => (0, "bytes"),
        bytes if bytes.is_multiple_of(1 << 20) => (bytes >> 20, "mbytes"),
        bytes if bytes.is_multiple_of(1 << 10) => (bytes >> 10, "kbytes"),
        bytes => (bytes, "bytes"),
    }
}

/// A quota, without the word.
pub(in crate::rules::list) fn quota_text(quota: &Quota, options: &Options<'_>) -> String {
    let (number, unit) = amount(quota.bytes);
    let mut text = format!("{}{number} {unit}", if quota.over { "over " } else { "" });
    if quota.used() > 0 && !options.stateless {
        let (number, unit) = amount(quota.used());
        let _ = write!(text, " used {number} {unit}");
    }
    text
}

/// The word of a period.
pub(crate) const fn period_word(period_s: u32) -> &'static str {
    match period_s {
        1 => "second",
        60 => "minute",
        3600 => "hour",
        86_400 => "day",
        _ => "week",
    }
}

/// A rate, without the word.
pub(in crate::rules::list) fn rate_text(limit: &Limit) -> String {
    let over = if limit.over { "over " } else { "" };
    let period = period_word(limit.period_s);
    match limit.unit {
        LimitUnit::Packets if limit.burst == 5 || limit.burst == 0 => {
            format!("{over}{}/{period}", limit.rate)
        }
        LimitUnit::Packets => format!("{over}{}/{period} burst {} packets", limit.rate, limit.burst),
        LimitUnit::Bytes => {
            let (number, unit) = amount(limit.rate);
            let mut text = format!("{over}{number} {unit}/{period}");
            if limit.burst > 0 {
                let (number, unit) = amount(limit.burst.into());
                let _ = write!(text, " burst {number} {unit}");
            }
            text
        }
    }
}

pub(super) fn last_text(at_ns: Option<u64>, options: &Options<'_>) -> String {
    match at_ns {
        _ if options.stateless => "last".to_owned(),
        None => "last used never".to_owned(),
        Some(at) => {
            let passed = options.now.nanos().saturating_sub(at) / 1_000_000;
            format!("last used {}", time::span_text(passed))
        }
    }
}
