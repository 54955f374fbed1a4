//! Instants, windows and the hours on an account's clock.
//!
//! An *hour* is named by the instant (UTC) at which it begins on the account's clock. In most zones that is a full UTC
//! hour; in half-hour and 45-minute zones it is not. Two hours of one account do not begin in the same UTC clock hour, so
//! [`slot`], the count of UTC hours since 1970, is a compact name for an hour of a given account. There is one exception:
//! a clock that is set in the middle of a UTC hour has two hours that share a slot on that day (today the Chatham Islands'
//! alone; before 2012 also Newfoundland's). They differ in the instant at which they begin, and so in the lake.

use std::fmt;

use chrono::{
    DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

mod pattern;

pub use pattern::{Pattern, Read};

/// A moment, in UTC.
pub type Instant = DateTime<Utc>;

/// Where "now" comes from: the host's clock, or a moment fixed by `--now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The host's clock.
    System,
    /// The same moment for ever.
    Fixed(Instant),
}

impl Clock {
    /// The present moment.
    pub fn now(&self) -> Instant {
        match self {
            Clock::System => Utc::now(),
            Clock::Fixed(now) => *now,
        }
    }
}

/// A half-open stretch of time `[from, to)` that is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    from: Instant,
    to: Instant,
}

impl Window {
    /// `None` where `to` is not after `from`.
    pub fn new(from: Instant, to: Instant) -> Option<Window> {
        (from < to).then_some(Window { from, to })
    }

    /// The first moment inside.
    pub fn from(&self) -> Instant {
        self.from
    }

    /// The first moment after it.
    pub fn to(&self) -> Instant {
        self.to
    }

    /// Whether `moment` lies inside.
    pub fn contains(&self, moment: Instant) -> bool {
        self.from <= moment && moment < self.to
    }

    /// What this window and `other` have in common, where they have anything in common.
    pub fn intersect(&self, other: &Window) -> Option<Window> {
        Window::new(self.from.max(other.from), self.to.min(other.to))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", short(self.from), short(self.to))
    }
}

/// `2026-11-20T09:00Z`: to the minute, because every hour of every zone begins on one.
pub fn short(moment: Instant) -> impl fmt::Display {
    moment.format("%Y-%m-%dT%H:%MZ")
}

/// The number of UTC hours since 1970-01-01T00:00Z; the UTC clock hour in which `moment` lies.
pub fn slot(moment: Instant) -> i64 {
    moment.timestamp().div_euclid(3600)
}

/// The moment at which a [`slot`] begins.
pub fn slot_start(slot: i64) -> Instant {
    DateTime::from_timestamp(slot * 3600, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The offset from UTC in force at `moment` in `zone`, in seconds east.
pub fn offset_seconds(moment: Instant, zone: Tz) -> i32 {
    zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc()
}

/// What the account's clock shows at `moment`.
pub fn local(moment: Instant, zone: Tz) -> NaiveDateTime {
    moment.naive_utc() + Duration::seconds(i64::from(offset_seconds(moment, zone)))
}

/// The beginning of the account's hour that holds `moment`.
///
/// Where the offset shifts by less than an hour (Lord Howe), the hour in which that happens is 90 or 30 minutes long
/// and keeps one beginning.
pub fn hour_at(moment: Instant, zone: Tz) -> Instant {
    let shown = local(moment, zone);
    let into = i64::from(shown.minute() * 60 + shown.second());
    let moment = moment - TimeDelta::nanoseconds(i64::from(moment.nanosecond()));
    let begin = moment - Duration::seconds(into);
    if offset_seconds(begin, zone) == offset_seconds(moment, zone) {
        return begin;
    }
    let shift = first_with_offset_of(begin, moment, zone);
    let before = shift - Duration::seconds(1);
    if same_label(local(before, zone), local(shift, zone)) { hour_at(before, zone) } else { shift }
}

/// The beginning of the account's hour after the one that begins at `hour`.
///
/// It is an hour away but where the clock is set in between: 30 or 90 minutes on Lord Howe Island, and 15 and 45 on the
/// Chatham Islands, whose clock is set at a quarter to.
pub fn next_hour(hour: Instant, zone: Tz) -> Instant {
    let shown = local(hour, zone);
    let into = i64::from(shown.minute() * 60 + shown.second());
    let full = hour + Duration::seconds(3600 - into);
    if offset_seconds(full, zone) == offset_seconds(hour, zone) {
        return full;
    }
    let shift = first_with_offset_of(hour, full, zone);
    let (before, after) = (local(shift - Duration::seconds(1), zone), local(shift, zone));
    // A clock that is set within the hour that it shows goes on with it.
    let goes_on = (after.minute(), after.second()) != (0, 0) && same_label(before, after);
    if goes_on { next_hour(shift, zone) } else { shift }
}

/// The hours of the account's clock that begin inside `window`, in order.
pub fn hours_in(window: Window, zone: Tz) -> impl Iterator<Item = Instant> {
    let at = hour_at(window.from(), zone);
    let first = if at < window.from() { next_hour(at, zone) } else { at };
    std::iter::successors(Some(first), move |hour| Some(next_hour(*hour, zone)))
        .take_while(move |hour| *hour < window.to())
}

/// The date that the account's clock shows at `moment`.
pub fn date_at(moment: Instant, zone: Tz) -> NaiveDate {
    local(moment, zone).date()
}

/// The first moment of `date` on the account's clock; midnight, or what follows it where a shift skips midnight.
/// Where midnight comes twice it is the first.
pub fn day_start(date: NaiveDate, zone: Tz) -> Instant {
    let midnight = date.and_time(NaiveTime::MIN);
    match resolve(midnight, zone) {
        Resolved::Once(moment) => moment,
        Resolved::Twice { first, .. } => first,
        Resolved::Never { after } => after,
    }
}

/// The whole day `date` on the account's clock: 24 hours long, or 23 or 25 where the offset shifts.
pub fn day(date: NaiveDate, zone: Tz) -> Window {
    let next = date.succ_opt().unwrap_or(NaiveDate::MAX);
    Window { from: day_start(date, zone), to: day_start(next, zone) }
}

/// What a wall-clock reading can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// One moment.
    Once(Instant),
    /// The clock was set back over it: two moments.
    Twice {
        /// Before the clock was set back.
        first: Instant,
        /// After it.
        second: Instant,
    },
    /// The clock was set forward over it: no moment.
    Never {
        /// The moment at which the clock was set forward.
        after: Instant,
    },
}

/// The moments at which the account's clock shows `shown`.
pub fn resolve(shown: NaiveDateTime, zone: Tz) -> Resolved {
    match zone.from_local_datetime(&shown) {
        chrono::LocalResult::Single(moment) => Resolved::Once(moment.with_timezone(&Utc)),
        chrono::LocalResult::Ambiguous(one, other) => {
            let (one, other) = (one.with_timezone(&Utc), other.with_timezone(&Utc));
            Resolved::Twice { first: one.min(other), second: one.max(other) }
        }
        chrono::LocalResult::None => Resolved::Never { after: shift_over(shown, zone) },
    }
}

/// The moment at which the clock jumps over `shown`: no zone's jump is longer than a day and a half.
fn shift_over(shown: NaiveDateTime, zone: Tz) -> Instant {
    let near = shown.and_utc();
    let (mut before, mut after) = (near - Duration::hours(38), near + Duration::hours(38));
    // The clock is monotone over a jump forward, so "already past `shown`" splits the time in two.
    while after - before > Duration::seconds(1) {
        let middle = before + (after - before) / 2;
        if local(middle, zone) > shown { after = middle } else { before = middle }
    }
    DateTime::from_timestamp(after.timestamp(), 0).unwrap_or(after)
}

/// The first whole second in `(begin, moment]` that has the offset of `moment`.
fn first_with_offset_of(begin: Instant, moment: Instant, zone: Tz) -> Instant {
    let offset = offset_seconds(moment, zone);
    let (mut without, mut with) = (begin.timestamp(), moment.timestamp());
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        let at = DateTime::from_timestamp(middle, 0).unwrap_or(moment);
        if offset_seconds(at, zone) == offset { with = middle } else { without = middle }
    }
    DateTime::from_timestamp(with, 0).unwrap_or(moment)
}

fn same_label(one: NaiveDateTime, other: NaiveDateTime) -> bool {
    one.date().num_days_from_ce() == other.date().num_days_from_ce() && one.hour() == other.hour()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod zones;
