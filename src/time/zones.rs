//! Every zone's clock over whole years, told from its offsets alone: what all tests over all zones begin with.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Instant, offset_seconds};

/// The years that are looked at: two to come, and one in which many clocks were odd (Samoa left out a day, Newfoundland
/// changed its clock at one minute past midnight, Russia and Turkey moved their dates).
pub(crate) const YEARS: [i32; 3] = [2011, 2026, 2027];

/// A stretch of time in which a clock is ahead of UTC by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Stretch {
    /// Its first second since 1970.
    pub(crate) from: i64,
    /// The first second after it.
    pub(crate) to: i64,
    /// Seconds east of UTC.
    pub(crate) offset: i64,
}

/// A year of a zone's clock.
#[derive(Debug, Clone)]
pub(crate) struct Year {
    /// One of the zones whose clocks show the same all the year.
    pub(crate) zone: Tz,
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// In order, from two days before the year to two days after it, without gaps.
    pub(crate) stretches: Vec<Stretch>,
}

/// An hour as the offsets tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The second at which it begins.
    pub(crate) begins: i64,
    /// Seconds east of UTC.
    pub(crate) offset: i64,
}

/// All different clocks of a year among all zones.
pub(crate) fn clocks(year: i32) -> Vec<Year> {
    let mut different: BTreeMap<Vec<Stretch>, Year> = BTreeMap::new();
    for zone in TZ_VARIANTS {
        let clock = Year::of(zone, year);
        different.entry(clock.stretches.clone()).or_insert(clock);
    }
    different.into_values().collect()
}

/// The first second of the year and of the next.
fn bounds(year: i32) -> (i64, i64) {
    let begin = |year: i32| NaiveDate::from_ymd_opt(year, 1, 1).expect("a date").and_time(Default::default()).and_utc();
    (begin(year).timestamp(), begin(year + 1).timestamp())
}

/// Looks at a zone twice a day, and where the offset has changed, for the second in which it did.
fn stretches(zone: Tz, from: i64, to: i64) -> Vec<Stretch> {
    let offset = |second: i64| i64::from(offset_seconds(instant(second), zone));
    let mut found = vec![Stretch { from, to, offset: offset(from) }];
    let mut at = from;
    while at < to {
        let next = at + 43_200;
        let (before, after) = (offset(at), offset(next));
        if before != after {
            let (mut old, mut new) = (at, next);
            while new - old > 1 {
                let middle = old + (new - old) / 2;
                if offset(middle) == before { old = middle } else { new = middle }
            }
            found.last_mut().expect("one at least").to = new;
            found.push(Stretch { from: new, to, offset: after });
        }
        at = next;
    }
    found
}

impl Year {
    /// A year of the clock of `zone`.
    pub(crate) fn of(zone: Tz, year: i32) -> Year {
        let (from, to) = bounds(year);
        Year { zone, from, to, stretches: stretches(zone, from - 2 * 86_400, to + 2 * 86_400) }
    }

    /// The hours that begin in the year: where the clock shows a full hour, and where it is set to another hour.
    pub(crate) fn hours(&self) -> Vec<Expected> {
        let mut hours: Vec<Expected> = Vec::new();
        let mut before: Option<Stretch> = None;
        for stretch in &self.stretches {
            let shown = |second: i64, offset: i64| (second + offset).div_euclid(3_600);
            let mut begins = stretch.from + (-(stretch.from + stretch.offset)).rem_euclid(3_600);
            if let Some(before) = before
                && begins > stretch.from
                && shown(stretch.from - 1, before.offset) != shown(stretch.from, stretch.offset)
            {
                hours.push(Expected { begins: stretch.from, offset: stretch.offset });
            }
            while begins < stretch.to {
                hours.push(Expected { begins, offset: stretch.offset });
                begins += 3_600;
            }
            before = Some(*stretch);
        }
        hours.retain(|hour| (self.from..self.to).contains(&hour.begins));
        hours
    }

    /// How many hours `date` has: 24, less those that the clock was set forward over, and those more that it showed again.
    /// `None` where it was set to or from another moment than a full hour.
    pub(crate) fn length(&self, date: NaiveDate) -> Option<i64> {
        let mut length = 24;
        for (at, before, after) in self.changes() {
            let (low, high) = (at + before.min(after), at + before.max(after));
            if low % 3_600 != 0 || high % 3_600 != 0 {
                let near = (at + before - date.and_time(Default::default()).and_utc().timestamp()).abs();
                if near < 2 * 86_400 {
                    return None;
                }
                continue;
            }
            let of_date = (low..high).step_by(3_600).filter(|shown| instant(*shown).naive_utc().date() == date);
            let hours = of_date.count() as i64;
            length += if after > before { -hours } else { hours };
        }
        Some(length)
    }

    /// When the clock was set, and from which offset to which.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        self.stretches.windows(2).map(|pair| (pair[1].from, pair[0].offset, pair[1].offset))
    }
}

impl Expected {
    /// What the clock shows when it begins.
    pub(crate) fn shown(&self) -> NaiveDateTime {
        instant(self.begins + self.offset).naive_utc()
    }

    /// The full hour that labels it: platforms say `02`, also where the clock was set to half past.
    pub(crate) fn label(&self) -> NaiveDateTime {
        let shown = self.shown();
        shown.date().and_hms_opt(shown.hour(), 0, 0).expect("a full hour")
    }
}

pub(crate) fn instant(second: i64) -> Instant {
    DateTime::from_timestamp(second, 0).expect("a moment of these years")
}

/// Does the same for all of `work` on two threads, and gives what was wrong.
pub(crate) fn wrong<T: Sync>(work: &[T], look: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let look = &look;
    std::thread::scope(|scope| {
        let halves = [0, 1]
            .map(|half| scope.spawn(move || work.iter().skip(half).step_by(2).flat_map(look).collect::<Vec<String>>()));
        halves.into_iter().flat_map(|half| half.join().expect("a thread")).collect()
    })
}

mod tests {
    use chrono::Duration;

    use super::super::*;
    use super::*;

    /// What is wrong with the hours and days of a clock.
    fn look(year: &Year) -> Vec<String> {
        let mut wrong = Vec::new();
        let zone = year.zone;
        let expected = year.hours();
        let whole = Window::new(instant(year.from), instant(year.to)).expect("a window");
        let found: Vec<i64> = hours_in(whole, zone).map(|hour| hour.timestamp()).collect();
        if found != expected.iter().map(|hour| hour.begins).collect::<Vec<i64>>() {
            let first = expected.iter().zip(&found).find(|(expected, found)| expected.begins != **found);
            wrong.push(format!("{zone}: {} hours, expected {}; {first:?}", found.len(), expected.len()));
        }
        for (one, other) in shared_slots(&expected) {
            // Where the clock was set in the middle of a UTC hour, or to the middle of its own, and nowhere else.
            let set = |at: i64| at == one.begins || (at % 3_600 != 0 && slot(instant(at)) == slot(instant(one.begins)));
            if !year.changes().any(|(at, ..)| set(at)) {
                wrong.push(format!("{zone}: two hours in one slot: {} and {}", one.shown(), other.shown()));
            }
        }
        wrong.extend(expected.chunk_by(|one, other| one.shown().date() == other.shown().date()).filter_map(|hours| {
            let date = hours[0].shown().date();
            let window = day(date, zone);
            let whole = window.from().timestamp() >= year.from && window.to().timestamp() <= year.to;
            let length = year.length(date)?;
            let found = hours_in(window, zone).count() as i64;
            (whole && (hours.len() as i64, found) != (length, length))
                .then(|| format!("{zone}: {date} has {} and {found} hours, expected {length}", hours.len()))
        }));
        let mut today: Option<(NaiveDate, Window)> = None;
        for hour in &expected {
            let begins = instant(hour.begins);
            let shown = hour.shown();
            if (local(begins, zone), i64::from(offset_seconds(begins, zone))) != (shown, hour.offset) {
                wrong.push(format!("{zone}: {begins} is shown as {}, expected {shown}", local(begins, zone)));
            }
            let back = match resolve(shown, zone) {
                Resolved::Once(moment) => moment == begins,
                Resolved::Twice { first, second } => first < second && (first == begins || second == begins),
                Resolved::Never { .. } => false,
            };
            if !back {
                wrong.push(format!("{zone}: {shown} ({begins}) is resolved as {:?}", resolve(shown, zone)));
            }
            if today.is_none_or(|(date, _)| date != shown.date()) {
                let window = day(shown.date(), zone);
                if let Some((date, before)) = today.filter(|(_, before)| before.to() != window.from()) {
                    wrong.push(format!(
                        "{zone}: {date} ends {}, {} begins {}",
                        before.to(),
                        shown.date(),
                        window.from()
                    ));
                }
                today = Some((shown.date(), window));
            }
            if !today.is_some_and(|(_, window)| window.contains(begins)) {
                wrong.push(format!("{zone}: {shown} ({begins}) is not in its day"));
            }
        }
        wrong.extend(year.changes().flat_map(|change| skipped(zone, change)));
        wrong.truncate(5);
        wrong
    }

    /// Neighbouring hours that share a slot.
    fn shared_slots(hours: &[Expected]) -> impl Iterator<Item = (Expected, Expected)> {
        let pairs = hours.windows(2).map(|pair| (pair[0], pair[1]));
        pairs.filter(|(one, other)| slot(instant(one.begins)) >= slot(instant(other.begins)))
    }

    /// Readings that a clock was set forward over never are, and are told by when it was set.
    fn skipped(zone: Tz, (at, before, after): (i64, i64, i64)) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut reading = instant(at + before).naive_utc();
        while reading < instant(at + after).naive_utc() {
            let expected = Resolved::Never { after: instant(at) };
            if resolve(reading, zone) != expected {
                wrong.push(format!("{zone}: {reading} is skipped, and is resolved as {:?}", resolve(reading, zone)));
            }
            reading += Duration::minutes(15);
        }
        wrong
    }

    #[test]
    fn only_the_chatham_islands_have_two_hours_in_one_slot() {
        for year in [2026, 2027] {
            let shared = clocks(year).into_iter().filter(|clock| shared_slots(&clock.hours()).next().is_some());
            let zones: Vec<Tz> = shared.map(|clock| clock.zone).collect();
            assert!(matches!(zones[..], [Tz::NZCHAT | Tz::Pacific__Chatham]), "{zones:?}");
        }
    }

    #[test]
    fn every_hour_of_every_zone_comes_back() {
        for year in YEARS {
            let clocks = clocks(year);
            let wrong = wrong(&clocks, look);
            assert!(wrong.is_empty(), "{year}:\n{}", wrong.join("\n"));
        }
    }
}
