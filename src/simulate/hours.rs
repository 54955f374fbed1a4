//! Hours on a clock: where they begin, what they are called.
//!
//! An hour begins where the local clock shows a full hour, and where a change of its offset shows another hour of the
//! day. So every instant is in exactly one hour, and (date, hour of day, offset) names it. The repeated hour of autumn is
//! two hours with one label; a zone that shifts by 30 minutes has one hour of 30 minutes in spring, one of 90 in autumn.

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// One hour of one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hour {
    /// The instant at which it begins, in seconds since 1970.
    pub(super) start: i64,
    /// How far the local clock is ahead of UTC.
    pub(super) offset_seconds: i32,
    pub(super) date: NaiveDate,
    pub(super) hour_of_day: u32,
    /// Not zero only where the clock was moved in the middle of an hour.
    pub(super) minute: u32,
}

impl Hour {
    fn at(zone: Tz, start: i64) -> Self {
        let offset_seconds = offset(zone, start);
        let local = utc(start + i64::from(offset_seconds));
        Self { start, offset_seconds, date: local.date_naive(), hour_of_day: local.hour(), minute: local.minute() }
    }
}

/// The hours that begin in `[from, to)`, given in seconds since 1970.
pub(super) fn beginning_in(zone: Tz, from: i64, to: i64) -> Vec<Hour> {
    let mut hours = Vec::new();
    let mut start = next_beginning(zone, from - 1);
    while start < to {
        hours.push(Hour::at(zone, start));
        start = next_beginning(zone, start);
    }
    hours
}

/// The hours of a calendar day on the zone's own clock: 23 to 25, none where the zone skipped the day.
pub(super) fn of_day(zone: Tz, date: NaiveDate) -> Vec<Hour> {
    // A local day begins at most 15 hours before and ends at most 13 hours after the same day in UTC.
    let middle = (date.num_days_from_ce() as i64 - DAYS_TO_1970) * 86_400 + 43_200;
    let mut hours = beginning_in(zone, middle - 100_000, middle + 100_000);
    hours.retain(|hour| hour.date == date);
    hours
}

const DAYS_TO_1970: i64 = 719_163;

fn offset(zone: Tz, instant: i64) -> i32 {
    zone.offset_from_utc_datetime(&utc(instant).naive_utc()).fix().local_minus_utc()
}

/// The instant of so many seconds since 1970; beyond the calendar's ends, the nearest end.
pub(super) fn utc(seconds: i64) -> DateTime<Utc> {
    let end = if seconds < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::from_timestamp(seconds, 0).unwrap_or(end)
}

/// The first beginning of an hour after `instant`.
fn next_beginning(zone: Tz, instant: i64) -> i64 {
    let before = offset(zone, instant);
    let full_hour = instant + 3_600 - (instant + i64::from(before)).rem_euclid(3_600);
    if offset(zone, full_hour) == before {
        return full_hour;
    }
    // The offset changes in (instant, full_hour]: halve down to the first second of the new one.
    let (mut old, mut new) = (instant, full_hour);
    while new - old > 1 {
        let middle = old + (new - old) / 2;
        if offset(zone, middle) == before {
            old = middle;
        } else {
            new = middle;
        }
    }
    // A shift by 30 minutes that goes back into the hour which is being shown does not begin another.
    let (last, first) = (Hour::at(zone, old), Hour::at(zone, new));
    let goes_on = first.minute != 0 && (first.date, first.hour_of_day) == (last.date, last.hour_of_day);
    if goes_on { next_beginning(zone, new) } else { new }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(zone: Tz, year: i32, month: u32, day: u32) -> Vec<Hour> {
        of_day(zone, NaiveDate::from_ymd_opt(year, month, day).expect("a date"))
    }

    #[test]
    fn berlin_has_days_of_23_24_and_25_hours() {
        let zone = chrono_tz::Europe::Berlin;
        assert_eq!(day(zone, 2026, 3, 28).len(), 24);
        assert_eq!(day(zone, 2026, 3, 29).len(), 23);
        let autumn = day(zone, 2026, 10, 25);
        assert_eq!(autumn.len(), 25);
        let twos: Vec<i32> =
            autumn.iter().filter(|hour| hour.hour_of_day == 2).map(|hour| hour.offset_seconds).collect();
        assert_eq!(twos, [7_200, 3_600]);
        assert!(day(zone, 2026, 3, 29).iter().all(|hour| hour.hour_of_day != 2));
    }

    #[test]
    fn lord_howe_shifts_by_half_an_hour() {
        let zone = chrono_tz::Australia::Lord_Howe;
        let spring = day(zone, 2026, 10, 4);
        let two = spring.iter().find(|hour| hour.hour_of_day == 2).expect("the half hour is there");
        assert_eq!((spring.len(), two.minute, two.offset_seconds), (24, 30, 39_600));
        let autumn = day(zone, 2026, 4, 5);
        let ones: Vec<u32> = autumn.iter().filter(|hour| hour.hour_of_day == 1).map(|hour| hour.minute).collect();
        assert_eq!((autumn.len(), ones), (24, vec![0]));
    }

    #[test]
    fn half_hour_zones_begin_their_hours_at_half_past_in_utc() {
        let hours = day(chrono_tz::Asia::Kolkata, 2026, 11, 20);
        assert_eq!(hours.len(), 24);
        assert!(hours.iter().all(|hour| hour.start % 3_600 == 1_800 && hour.minute == 0));
    }

    #[test]
    fn a_skipped_day_has_no_hours() {
        assert!(day(chrono_tz::Pacific::Apia, 2011, 12, 30).is_empty());
        assert_eq!(day(chrono_tz::Pacific::Apia, 2026, 11, 20).len(), 24);
    }

    #[test]
    fn windows_are_half_open_and_join_without_seam() {
        let zone = chrono_tz::Europe::Berlin;
        let (from, middle, to) = (1_792_800_000, 1_792_893_600, 1_793_000_000);
        let mut joined = beginning_in(zone, from, middle);
        joined.extend(beginning_in(zone, middle, to));
        assert_eq!(joined, beginning_in(zone, from, to));
    }
}
