//! Spans, hours and moments of wall time (`meta.c` and `time_print` of nftables).

use super::Environment;

const DAY_S: i64 = 86_400;

/// Seconds since midnight UTC that `HH:MM[:SS]` of local time stands for.
pub(crate) fn hour(text: &str, environment: &Environment) -> Option<u64> {
    let local = seconds_of_day(text)?;
    u64::try_from((local - i64::from(environment.utc_offset_s)).rem_euclid(DAY_S)).ok()
}

fn seconds_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    let is_sound = parts.next().is_none()
        && (0..24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds);
    is_sound.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// The local time of day, in quotes.
pub(crate) fn hour_text(seconds: u64, environment: &Environment) -> String {
    let local = (i64::try_from(seconds).unwrap_or(0) + i64::from(environment.utc_offset_s)).rem_euclid(DAY_S);
    let (hours, minutes, seconds) = (local / 3600, local / 60 % 60, local % 60);
    if seconds == 0 {
        format!("\"{hours:02}:{minutes:02}\"")
    } else {
        format!("\"{hours:02}:{minutes:02}:{seconds:02}\"")
    }
}

/// Seconds since 1970 UTC that `YYYY-MM-DD[ HH:MM[:SS]]` of local time stands for.
pub(crate) fn moment(text: &str, environment: &Environment) -> Option<u64> {
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00"));
    let mut parts = date.split(['-', '/']).map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let is_sound = parts.next().is_none()
        && (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day);
    if !is_sound {
        return None;
    }
    let days = days_since_1970(year, month, day);
    if date_of_days(days) != (year, month, day) {
        return None;
    }
    u64::try_from(days * DAY_S + seconds_of_day(time)? - i64::from(environment.utc_offset_s)).ok()
}

/// The local moment, in quotes.
pub(crate) fn moment_text(seconds: u64, environment: &Environment) -> String {
    let local = i64::try_from(seconds).unwrap_or(i64::MAX / 2) + i64::from(environment.utc_offset_s);
    let (year, month, day) = date_of_days(local.div_euclid(DAY_S));
    let rest = local.rem_euclid(DAY_S);
    format!("\"{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}\"", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Days of the civil calendar (Hinnant, `days_from_civil`).
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

const fn date_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// A span of milliseconds as nft writes it: `1d2h3m4s5ms`.
pub(crate) fn span_text(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let mut rest = milliseconds;
    let mut text = String::new();
    for (size, unit) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_hours_are_local() {
        let utc = Environment::default();
        let east = Environment { utc_offset_s: 3600, ..Environment::default() };
        assert_eq!(moment("2026-01-01 10:00:00", &utc), Some(1_767_261_600));
        assert_eq!(moment_text(1_767_261_600, &utc), "\"2026-01-01 10:00:00\"");
        assert_eq!(
            moment_text(moment("2024-02-29 23:59:59", &east).unwrap(), &east),
            "\"2024-02-29 23:59:59\""
        );
        assert_eq!(moment("2023-02-29", &utc), None);
        assert_eq!(hour("00:30", &east), Some(23 * 3600 + 1800));
        assert_eq!(hour_text(23 * 3600 + 1800, &east), "\"00:30\"");
        assert_eq!(hour("24:00", &utc), None);
    }

    #[test]
    fn spans_name_their_units() {
        assert_eq!(span_text(5_400_000), "1h30m");
        assert_eq!(span_text(299_996), "4m59s996ms");
        assert_eq!(span_text(0), "0s");
    }
}
