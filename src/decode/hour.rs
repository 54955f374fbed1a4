//! A row's hour: what the record says, put on the account's clock.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cell::{Scalar, excerpt};
use super::moment::{self, Said};
use super::number;
use super::row::Refused;
use super::rows::HourColumns;
use super::tree::Tree;
use crate::pipeline::schema::HOUR;
use crate::pipeline::{HourSource, JsonPath, RepeatedHour, ZoneRule};
use crate::time::{self, Instant, Pattern, Read, Resolved, Window};

/// How a row's hour is made, with slots for paths.
#[derive(Debug)]
pub(super) struct HourPlan {
    source: Source,
    zone: ZoneRule,
    repeated: RepeatedHour,
}

#[derive(Debug)]
enum Source {
    Instant {
        from: Place,
    },
    DateHour {
        date: Place,
        hour: Place,
    },
    DateRange {
        date: Place,
        range: Place,
    },
    Pattern {
        from: Place,
        patterns: Vec<Pattern>,
    },
    Date {
        from: Place,
    },
    /// The place of a value among others says it.
    Position,
}

#[derive(Debug)]
struct Place {
    slot: usize,
    path: String,
}

/// What a record says about its hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The moment itself.
    At(Instant),
    /// What the declared clock shows.
    Shown(NaiveDateTime),
    /// A whole day on the account's clock.
    Day(NaiveDate),
}

impl Reading {
    /// A small number, different for neighbouring hours.
    fn ordinal(self) -> usize {
        let seconds = match self {
            Reading::At(moment) => moment.timestamp(),
            Reading::Shown(shown) => shown.and_utc().timestamp(),
            // As many hours as days are far from each other.
            Reading::Day(date) => i64::from(date.num_days_from_ce()) * 3600,
        };
        seconds.div_euclid(3600).unsigned_abs() as usize
    }
}

/// An hour and whether it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// As the lake keeps it; 2 hours are in it where the row holds both hours of a repeated label.
    pub(super) columns: HourColumns,
    /// Whether it was asked for.
    pub(super) inside: bool,
}

impl HourPlan {
    pub(super) fn new(source: &HourSource, record: &mut Tree) -> HourPlan {
        let mut place = |path: &JsonPath| Place { slot: record.want(path), path: path.to_string() };
        let (source, zone, repeated) = match source {
            HourSource::Instant { from, zone, repeated } => (Source::Instant { from: place(from) }, zone, repeated),
            HourSource::DateHour { date, hour, zone, repeated } => {
                (Source::DateHour { date: place(date), hour: place(hour) }, zone, repeated)
            }
            HourSource::DateRange { date, range, zone, repeated } => {
                (Source::DateRange { date: place(date), range: place(range) }, zone, repeated)
            }
            HourSource::Pattern { from, patterns, zone, repeated } => {
                (Source::Pattern { from: place(from), patterns: patterns.clone() }, zone, repeated)
            }
            HourSource::Position { .. } => (Source::Position, &ZoneRule::Utc, &RepeatedHour::First),
            HourSource::Date { from } => (Source::Date { from: place(from) }, &ZoneRule::Account, &RepeatedHour::First),
        };
        HourPlan { source, zone: *zone, repeated: *repeated }
    }

    /// Whether a record holds many hours, and the place of a value says which one it is of.
    pub(super) fn is_position(&self) -> bool {
        matches!(self.source, Source::Position)
    }

    /// The slot whose text says all, where there is one such.
    pub(super) fn slot(&self) -> Option<usize> {
        match &self.source {
            Source::Instant { from } | Source::Pattern { from, .. } | Source::Date { from } => Some(from.slot),
            Source::DateHour { .. } | Source::DateRange { .. } | Source::Position => None,
        }
    }

    /// What the record says; `None` where it holds many hours ([`HourPlan::is_position`]).
    pub(super) fn read(&self, slots: &[Option<&str>]) -> Result<Option<Reading>, Refused> {
        let reading = match &self.source {
            Source::Instant { from } => from.read(slots, |scalar| instant(&scalar))?,
            Source::DateHour { date, hour } => {
                let day = date.read(slots, |scalar| text_of(scalar, moment::date).ok_or(DATE))?;
                let hour = hour.read(slots, |scalar| text_of(scalar, hour_number).ok_or(HOUR_NUMBER))?;
                shown(day, hour).ok_or_else(|| date.refused(slots, DATE))?
            }
            Source::DateRange { date, range } => {
                let day = date.read(slots, |scalar| text_of(scalar, moment::date).ok_or(DATE))?;
                let hour = range.read(slots, |scalar| text_of(scalar, moment::hour_of_range).ok_or(RANGE))?;
                shown(day, hour).ok_or_else(|| date.refused(slots, DATE))?
            }
            Source::Pattern { from, patterns } => from.by_pattern(slots, patterns)?,
            Source::Date { from } => {
                from.read(slots, |scalar| text_of(scalar, moment::date).map(Reading::Day).ok_or(DATE))?
            }
            Source::Position => return Ok(None),
        };
        Ok(Some(reading))
    }

    /// Puts a reading on the account's clock; `Err` says what was expected.
    pub(super) fn place(&self, reading: Reading, account: Tz, window: Window) -> Result<Placed, String> {
        let reported_on = match self.zone {
            ZoneRule::Utc => Tz::UTC,
            ZoneRule::Account => account,
            ZoneRule::Fixed(zone) => zone,
        };
        let (hour, covered) = match reading {
            Reading::At(moment) => (moment, 1),
            Reading::Shown(shown) => self.on_clock(shown, reported_on)?,
            Reading::Day(date) => (first_moment(date, account)?, 1),
        };
        // A platform that reports on a clock of its own has that clock's hours, also for accounts in half-hour zones.
        if time::hour_at(hour, account) != hour && time::hour_at(hour, reported_on) != hour {
            return Err(format!("the first moment of an hour on the clock of {account}"));
        }
        let columns = HourColumns {
            hour: hour.timestamp_micros(),
            local: time::local(hour, account).and_utc().timestamp_micros(),
            // No clock is more than a day ahead of UTC or behind it.
            offset: i16::try_from(time::offset_seconds(hour, account) / 60).unwrap_or_default(),
            covered,
        };
        Ok(Placed { columns, inside: window.contains(hour) })
    }

    fn on_clock(&self, shown: NaiveDateTime, zone: Tz) -> Result<(Instant, i8), String> {
        match (time::resolve(shown, zone), self.repeated) {
            (Resolved::Once(moment), repeated) => Ok(again_later(moment, shown, zone, repeated)),
            (Resolved::Twice { first, .. }, RepeatedHour::Folded) => Ok((first, 2)),
            (Resolved::Twice { first, .. }, RepeatedHour::First) => Ok((first, 1)),
            (Resolved::Twice { second, .. }, RepeatedHour::Second) => Ok((second, 1)),
            (Resolved::Never { after }, _) => {
                // Where the clock is set forward by half an hour, the hour still has its second half.
                let begins = time::local(after, zone);
                let same = begins.date() == shown.date() && begins.hour() == shown.hour();
                if same && (shown.minute(), shown.second()) == (0, 0) {
                    return Ok((after, 1));
                }
                Err(format!("an hour that exists: the clock of {zone} was set forward over this one"))
            }
        }
    }

    /// A reading that could not be placed.
    pub(super) fn refused(&self, slots: &[Option<&str>], expected: String) -> Refused {
        let found = |place: &Place| slots[place.slot].map_or_else(|| "nothing".to_owned(), excerpt);
        let (path, found) = match &self.source {
            Source::Instant { from } | Source::Date { from } | Source::Pattern { from, .. } => {
                (from.path.clone(), found(from))
            }
            Source::Position => ("hour.kind".to_owned(), "a position".to_owned()),
            Source::DateHour { date, hour: other } | Source::DateRange { date, range: other } => {
                (format!("{}, {}", date.path, other.path), format!("{}, {}", found(date), found(other)))
            }
        };
        Refused { column: HOUR.to_owned(), path, found, expected }
    }
}

/// The hour that `moment` begins, where the clock shows `shown`. A clock that is set back to within an hour (to a quarter
/// to three) shows the rest of that hour again, later, as one of its own with the same label.
fn again_later(moment: Instant, shown: NaiveDateTime, zone: Tz, repeated: RepeatedHour) -> (Instant, i8) {
    // Most hours of most clocks are not followed by a change, and this is the cheapest way to see it.
    let soon = moment + TimeDelta::hours(2);
    if time::offset_seconds(soon, zone) >= time::offset_seconds(moment, zone) {
        return (moment, 1);
    }
    let last = shown.date().and_hms_opt(shown.hour(), 59, 59).unwrap_or(shown);
    let Resolved::Twice { second, .. } = time::resolve(last, zone) else { return (moment, 1) };
    let again = time::hour_at(second, zone);
    match repeated {
        _ if again == moment => (moment, 1),
        RepeatedHour::Folded => (moment, 2),
        RepeatedHour::First => (moment, 1),
        RepeatedHour::Second => (again, 1),
    }
}

/// Where `date` begins; zones that changed sides of the date line have left out a day.
fn first_moment(date: NaiveDate, zone: Tz) -> Result<Instant, String> {
    let begins = time::day_start(date, zone);
    if time::date_at(begins, zone) == date {
        return Ok(begins);
    }
    Err(format!("a day that exists: the clock of {zone} was set forward over this one"))
}

const DATE: &str = "a date (`YYYY-MM-DD`)";
const HOUR_NUMBER: &str = "the number of an hour, 0 to 23";
const RANGE: &str = "one whole hour (`HH:00:00 - HH:59:59`)";
const INSTANT: &str = "a moment (`2026-11-20T09:00:00Z` or without offset, unix seconds or milliseconds)";
const NOT_A_DATE: &str = "a moment: a date alone cannot name an hour, and all hours of the day would become one row";

impl Place {
    fn read<T>(
        &self,
        slots: &[Option<&str>],
        read: impl FnOnce(Scalar<'_>) -> Result<T, &'static str>,
    ) -> Result<T, Refused> {
        let scalar = slots[self.slot].map_or(Scalar::Null, Scalar::of);
        read(scalar).map_err(|expected| self.refused(slots, expected))
    }

    /// By the first of the `patterns` that fits.
    fn by_pattern(&self, slots: &[Option<&str>], patterns: &[Pattern]) -> Result<Reading, Refused> {
        let scalar = slots[self.slot].map_or(Scalar::Null, Scalar::of);
        match text_of(scalar, |text| patterns.iter().find_map(|pattern| pattern.read(text))) {
            Some(Read::At(moment)) => Ok(Reading::At(moment)),
            Some(Read::Shown(shown)) => Ok(Reading::Shown(shown)),
            None => {
                let forms: Vec<String> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
                Err(self.refused(slots, &format!("an hour written as {}", forms.join(" or "))))
            }
        }
    }

    fn refused(&self, slots: &[Option<&str>], expected: &str) -> Refused {
        Refused {
            column: HOUR.to_owned(),
            path: self.path.clone(),
            found: slots[self.slot].map_or_else(|| "nothing".to_owned(), excerpt),
            expected: expected.to_owned(),
        }
    }
}

fn text_of<T>(scalar: Scalar<'_>, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    scalar.into_text().and_then(|text| read(text.trim()))
}

fn instant(scalar: &Scalar<'_>) -> Result<Reading, &'static str> {
    let moment = match scalar {
        Scalar::Number(number) => moment::unix(number).map(Said::Moment),
        Scalar::Text(text) => moment::read(text.trim()).or_else(|| moment::unix(text.trim()).map(Said::Moment)),
        Scalar::Null | Scalar::Bool(_) | Scalar::Other => None,
    };
    match moment {
        Some(Said::Moment(moment)) => Ok(Reading::At(moment)),
        Some(Said::Shown(shown)) => Ok(Reading::Shown(shown)),
        Some(Said::Date(_)) => Err(NOT_A_DATE),
        None => Err(INSTANT),
    }
}

fn hour_number(text: &str) -> Option<u32> {
    let hour = number::integer(text).ok()?;
    u32::try_from(hour).ok().filter(|hour| *hour <= 23)
}

fn shown(date: chrono::NaiveDate, hour: u32) -> Option<Reading> {
    date.and_hms_opt(hour, 0, 0).map(Reading::Shown)
}

/// The hours placed last: a page has few different ones, and reading their texts and asking a zone is the dearest part of
/// a row.
pub(super) struct Places {
    by_reading: Vec<Option<Kept<Reading>>>,
    by_text: Vec<Option<Kept<Box<str>>>>,
}

#[derive(Clone)]
struct Kept<K> {
    account: usize,
    key: K,
    placed: Placed,
    /// Its number among the rows' hours.
    number: u32,
}

impl Places {
    /// More than a week of one account, or a day of ten.
    const KEPT: usize = 256;

    pub(super) fn new() -> Places {
        Places { by_reading: vec![None; Places::KEPT], by_text: vec![None; Places::KEPT] }
    }

    /// The place of `reading` on the clock of the account with this number and its number, made by `place` where it is
    /// not known.
    pub(super) fn get(
        &mut self,
        account: usize,
        reading: Reading,
        place: impl FnOnce() -> Result<(Placed, u32), String>,
    ) -> Result<(Placed, u32), String> {
        let index = (reading.ordinal().wrapping_add(account.wrapping_mul(25))) % Places::KEPT;
        if let Some(kept) = &self.by_reading[index]
            && kept.account == account
            && kept.key == reading
        {
            return Ok((kept.placed, kept.number));
        }
        let (placed, number) = place()?;
        self.by_reading[index] = Some(Kept { account, key: reading, placed, number });
        Ok((placed, number))
    }

    /// The place that this text said before, for the account with this number.
    pub(super) fn of_text(&self, account: usize, text: &str) -> Option<(Placed, u32)> {
        let kept = self.by_text[Places::of_hash(account, text)].as_ref()?;
        (kept.account == account && *kept.key == *text).then_some((kept.placed, kept.number))
    }

    /// Remembers what a text said.
    pub(super) fn note_text(&mut self, account: usize, text: &str, (placed, number): (Placed, u32)) {
        self.by_text[Places::of_hash(account, text)] = Some(Kept { account, key: text.into(), placed, number });
    }

    fn of_hash(account: usize, text: &str) -> usize {
        xxh3_64_with_seed(text.as_bytes(), account as u64) as usize % Places::KEPT
    }
}
