//! Waits as platforms write them: numbers in several units, lengths such as `1h 30m`, and moments.
//!
//! What is negative or past is zero, a wait that is known and has no length; what cannot be read is not there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};

use crate::pipeline::WaitUnit;
use crate::time::Instant;

/// No wait is that many seconds (31 years), and no moment is that long ago (2001).
const FIRST_MOMENT: f64 = 1e9;
/// The same for moments in milliseconds.
const FIRST_MILLISECOND: f64 = 1e12;

/// The wait that `text` means, counted from `from` where it is a moment.
///
/// A length that names its own unit (`31240s`, `1h 30m`) is understood whatever number was expected.
pub(crate) fn read(text: &str, unit: WaitUnit, from: Instant) -> Option<Duration> {
    let text = text.trim();
    let number = number(text);
    match unit {
        WaitUnit::Auto => match number {
            Some(number) if number > FIRST_MILLISECOND => Some(until_number(number, 1_000_000, from)),
            Some(number) if number > FIRST_MOMENT => Some(until_number(number, 1_000_000_000, from)),
            Some(number) => Some(seconds(number)),
            None => length(text).or_else(|| Some(until(date(text)?, from))),
        },
        WaitUnit::Milliseconds => number.map(|number| seconds(number / 1000.0)).or_else(|| length(text)),
        WaitUnit::Seconds => number.map(seconds).or_else(|| length(text)),
        WaitUnit::Minutes => number.map(|number| seconds(number * 60.0)).or_else(|| length(text)),
        WaitUnit::Epoch => Some(until_number(number?, 1_000_000_000, from)),
        WaitUnit::Date => Some(until(date(text)?, from)),
    }
}

/// The longest wait that a header tells.
pub(crate) fn in_header(headers: &HeaderMap, name: &str, unit: WaitUnit, from: Instant) -> Option<Duration> {
    let mut longest = None;
    for value in headers.get_all(name) {
        let text = String::from_utf8_lossy(value.as_bytes());
        // Proxies put repeated headers on one line; a date has a comma of its own.
        let wait = read(&text, unit, from).or_else(|| text.split(',').filter_map(|part| read(part, unit, from)).max());
        longest = longest.max(wait);
    }
    longest
}

/// A header's text; the values of one that comes several times with commas between them.
pub(crate) fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// When the answer was given: by the platform's clock where it tells, else `now`.
pub(crate) fn said_at(headers: &HeaderMap, now: Instant) -> Instant {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    date.and_then(|text| httpdate::parse_http_date(text.trim()).ok()).map_or(now, Instant::from)
}

/// A number in figures; infinite where it is too large, never NaN.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let figures = text.strip_prefix(['-', '+']).unwrap_or(text);
    figures.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| text.parse().ok()).flatten()
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(Duration::MAX)
}

/// Until `number` units of so many nanoseconds after 1970: in whole numbers, so that full seconds stay full seconds.
fn until_number(number: f64, nanoseconds: i128, from: Instant) -> Duration {
    let whole = (number.trunc() as i128).saturating_mul(nanoseconds);
    let moment = whole.saturating_add((number.fract() * nanoseconds as f64) as i128);
    let from = i128::from(from.timestamp()) * 1_000_000_000 + i128::from(from.timestamp_subsec_nanos());
    let nanoseconds = u128::try_from(moment.saturating_sub(from)).unwrap_or(0);
    let subseconds = (nanoseconds % 1_000_000_000) as u32;
    u64::try_from(nanoseconds / 1_000_000_000).map_or(Duration::MAX, |seconds| Duration::new(seconds, subseconds))
}

fn until(moment: Instant, from: Instant) -> Duration {
    moment.signed_duration_since(from).to_std().unwrap_or(Duration::ZERO)
}

fn length(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// A date of HTTP, e-mail or RFC 3339.
fn date(text: &str) -> Option<Instant> {
    if let Ok(moment) = httpdate::parse_http_date(text) {
        return Some(moment.into());
    }
    let zoned = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
    zoned.ok().map(|moment| moment.with_timezone(&Utc))
}
