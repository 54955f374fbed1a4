//! Moments from text: RFC 3339 and its relatives, wall-clock readings without an offset, unix seconds and milliseconds.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::number;
use crate::time::Instant;

/// What a text says about a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// The moment itself, to the microsecond.
    Moment(Instant),
    /// What some clock shows.
    Shown(NaiveDateTime),
    /// A date and no time.
    Date(NaiveDate),
}

/// Above this, a unix time counts milliseconds: as seconds it would be the year 5138.
const MILLISECONDS_ABOVE: i128 = 100_000_000_000;
/// The last second of the year 9999.
const LAST_SECOND: i128 = 253_402_300_799;
const MICROS: i128 = 1_000_000;

/// Unix seconds or milliseconds, with or without a fraction. `None` where it is no number or after the year 9999.
pub(super) fn unix(text: &str) -> Option<Instant> {
    let millionths = number::decimal(text, 38, 6).ok()?;
    let micros = if millionths.abs() > MILLISECONDS_ABOVE * MICROS { millionths / 1000 } else { millionths };
    if micros.abs() > LAST_SECOND * MICROS {
        return None;
    }
    DateTime::from_timestamp_micros(i64::try_from(micros).ok()?)
}

/// Reads `2026-11-20T09:00:00.5+01:00` and the like.
///
/// A `T` or a blank may stand between date and time; seconds, fraction, minutes and the offset may be left out; the
/// offset is `Z`, `+01`, `+01:00` or `-0800`, its minus also U+2212. Digits beyond the microsecond are cut off.
pub(super) fn read(text: &str) -> Option<Said> {
    let (date, rest) = leading_date(text)?;
    if rest.is_empty() {
        return Some(Said::Date(date));
    }
    let mut rest = Rest(rest.strip_prefix(['T', 't', ' '])?);
    let hour = rest.number(2)?;
    let minute = if rest.eat(":") { rest.number(2)? } else { 0 };
    let second = if rest.eat(":") { rest.number(2)? } else { 0 };
    let micro = if rest.eat(".") || rest.eat(",") { rest.fraction()? } else { 0 };
    let shown = date.and_hms_micro_opt(hour, minute, second, micro)?;
    if rest.0.is_empty() {
        return Some(Said::Shown(shown));
    }
    rest.eat(" ");
    let offset = rest.offset()?;
    if !rest.0.is_empty() {
        return None;
    }
    let moment = shown.and_utc().checked_sub_signed(chrono::Duration::minutes(offset))?;
    Some(Said::Moment(moment))
}

/// The date of `2026-11-20`, `2026-11-20T..` or `2026-11-20 ..`.
pub(super) fn date(text: &str) -> Option<NaiveDate> {
    let (date, rest) = leading_date(text)?;
    (rest.is_empty() || rest.starts_with(['T', 't', ' '])).then_some(date)
}

fn leading_date(text: &str) -> Option<(NaiveDate, &str)> {
    let mut rest = Rest(text);
    let year = rest.number(4)?;
    let month = if rest.eat("-") { rest.number(2)? } else { return None };
    let day = if rest.eat("-") { rest.number(2)? } else { return None };
    Some((NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?, rest.0))
}

/// The hour that a label such as `09:00:00 - 09:59:59` or `09:00 - 10:00` names; `None` where it is not one whole hour
/// from its first moment to its last.
pub(super) fn hour_of_range(label: &str) -> Option<u32> {
    let mut rest = Rest(label.trim());
    let (begin, minute, second) = rest.wall_clock()?;
    while rest.eat(" ") {}
    if !rest.eat("-") && !rest.eat("\u{2013}") {
        return None;
    }
    while rest.eat(" ") {}
    let end = rest.wall_clock()?;
    if !rest.0.is_empty() || begin > 23 || (minute, second) != (0, 0) {
        return None;
    }
    // The end names the last minute, the last second, or the first moment after.
    let next = end.1 == 0 && end.2 == 0 && (end.0 == begin + 1 || (begin == 23 && end.0 == 0));
    let last = end.0 == begin && end.1 == 59 && (end.2 == 59 || end.2 == 0);
    (next || last).then_some(begin)
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn eat(&mut self, word: &str) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.bytes().all(|digit| digit.is_ascii_digit()).then(|| number.parse().ok()).flatten()
    }

    /// Digits after the point, as microseconds.
    fn fraction(&mut self) -> Option<u32> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let mut micros = 0;
        for place in 0..6 {
            let digit = digits.as_bytes().get(place).map_or(0, |digit| u32::from(digit - b'0'));
            micros = micros * 10 + digit;
        }
        (length > 0).then_some(micros)
    }

    /// `Z` or hours and minutes; in minutes east.
    fn offset(&mut self) -> Option<i64> {
        if self.eat("Z") || self.eat("z") {
            return Some(0);
        }
        let west = self.eat("-") || self.eat("\u{2212}");
        if !west && !self.eat("+") {
            return None;
        }
        let hours = self.number(2)?;
        let minutes = if self.eat(":") || !self.0.is_empty() { self.number(2)? } else { 0 };
        let east = i64::from(hours * 60 + minutes);
        (hours <= 23 && minutes <= 59).then_some(if west { -east } else { east })
    }

    /// `HH:MM` or `HH:MM:SS`.
    fn wall_clock(&mut self) -> Option<(u32, u32, u32)> {
        let hour = self.number(2)?;
        let minute = if self.eat(":") { self.number(2)? } else { return None };
        let second = if self.eat(":") { self.number(2)? } else { 0 };
        Some((hour, minute, second))
    }
}

/// What a text of a column of moments said: rows of one campaign mostly say the same, and reading it is dear.
#[derive(Debug, Clone, Default)]
pub(super) struct LastMoment {
    text: String,
    micros: Option<i64>,
}

impl LastMoment {
    /// What `text` says, where it is what was said last.
    pub(super) fn of(&self, text: &str) -> Option<i64> {
        self.micros.filter(|_| self.text == text)
    }

    /// Remembers what `text` said.
    pub(super) fn note(&mut self, text: &str, micros: i64) {
        if self.of(text).is_none() {
            self.text.clear();
            self.text.push_str(text);
            self.micros = Some(micros);
        }
    }
}
