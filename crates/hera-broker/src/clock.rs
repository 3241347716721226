//! The wall clock, and the pauses that are not alarms. The monotonic one is [`crate::moment`].

use crate::moment::Moment;
use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; 0 on a machine whose clock stands before that.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    unix_ms() / 1000
}

/// The wall clock of one core: looked at with each tick, and reckoned from there. A look costs as much as a look-up among a thousand routes.
#[derive(Debug)]
pub struct WallClock {
    seen: Cell<(Moment, u64)>,
}

impl WallClock {
    /// Begins with a look.
    pub fn new(now: Moment) -> WallClock {
        WallClock { seen: Cell::new((now, unix_ms())) }
    }

    /// Looks again.
    pub fn tick(&self, now: Moment) {
        self.seen.set((now, unix_ms()));
    }

    /// Milliseconds since 1970 at the last tick.
    pub fn recent_ms(&self) -> u64 {
        self.seen.get().1
    }

    /// Milliseconds since 1970 at a moment since the last tick.
    pub fn ms_at(&self, at: Moment) -> u64 {
        let (seen, unix_ms) = self.seen.get();
        unix_ms + at.since(seen).as_millis() as u64
    }
}

/// Waits, without holding the core.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A whole line of a head: the field `date`.
pub fn date_line() -> String {
    format!("date: {}\r\n", http_date())
}

/// The time now as RFC 9110 section 5.6.7 writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date() -> String {
    let (year, month, day, seconds, weekday) = civil(unix_now());
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[weekday],
        MONTHS[month - 1],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Writes a time as RFC 3339 has it, with milliseconds. By hand: each call's line in the log begins with it.
pub fn rfc3339(out: &mut Vec<u8>, unix_ms: u64) {
    let (year, month, day, seconds, _) = civil(unix_ms / 1000);
    let two = |number: u64| [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    out.extend_from_slice(&two(year / 100));
    for (mark, number) in [
        (None, year % 100),
        (Some(b'-'), month as u64),
        (Some(b'-'), day),
        (Some(b'T'), seconds / 3600),
        (Some(b':'), seconds / 60 % 60),
        (Some(b':'), seconds % 60),
        (Some(b'.'), unix_ms % 1000 / 10),
    ] {
        out.extend(mark);
        out.extend_from_slice(&two(number));
    }
    out.extend_from_slice(&[b'0' + (unix_ms % 10) as u8, b'Z']);
}

/// Year, month (1 to 12), day, seconds of the day, day of the week (Sunday is 0).
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(unix: u64) -> (u64, usize, u64, u64, usize) {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month as usize, day, seconds, ((days + 4) % 7) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_826_149_042, "2000-02-29T12:09:09.042Z"),
            (1_798_761_599_987, "2026-12-31T23:59:59.987Z"),
        ] {
            let mut out = Vec::new();
            rfc3339(&mut out, unix_ms);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        assert_eq!(civil(784_111_777).4, 0, "6 November 1994 was a Sunday");
        assert!(http_date().ends_with(" GMT"));
    }
}
