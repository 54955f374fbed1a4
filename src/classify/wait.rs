//! How long a refusal asks to wait, and the id in an answer that says "it is there already".

use std::time::Duration;

use chrono_tz::Tz;

use super::answer::Answer;
use crate::pipeline::{IdSource, JsonPath, WaitSource, WaitUnit};
use crate::time::{Instant, date_at, day_start};
use crate::usage::wait::{in_header, read};
use crate::usage::{limits, text_of};

/// Headers that say when a limit is whole again, each with the one that says what is left of it.
const RESETS: [(&str, &str); 3] = [
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("x-rate-limit-reset", "x-rate-limit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
];
/// A wait in a sentence has no more words: a date has six.
const MAX_WORDS: usize = 6;

/// The first of `sources` that is there; where none is, what the answer tells anyhow.
///
/// Steps and midnights are the pipeline's own guess: they are never shorter than what the answer tells.
pub(super) fn told_by(sources: &[WaitSource], answer: &Answer<'_>, refusals: u32, from: Instant) -> Option<Duration> {
    for source in sources {
        let found = match source {
            WaitSource::Header { name, unit } => in_header(answer.headers, name, *unit, from),
            WaitSource::Body { path, unit } => longest(answer, path, |text| read(text, *unit, from)),
            WaitSource::Text { path, after, unit } => {
                longest(answer, path, |text| following(text, after).find_map(|rest| leading(rest, *unit, from)))
            }
            WaitSource::Steps(steps) => step(steps, refusals).max(told(answer, from)),
            WaitSource::Midnight(zone) => Some(until_midnight(*zone, from)).max(told(answer, from)),
        };
        if found.is_some() {
            return found;
        }
    }
    told(answer, from)
}

/// What an answer tells without a rule.
fn told(answer: &Answer<'_>, from: Instant) -> Option<Duration> {
    let headers = answer.headers;
    if let Some(wait) = in_header(headers, "retry-after", WaitUnit::Auto, from) {
        return Some(wait);
    }
    for (reset, left) in RESETS {
        // A limit of which something is left is not the one that refused.
        if limits::something_left(headers, left) {
            continue;
        }
        if let Some(wait) = in_header(headers, reset, WaitUnit::Auto, from) {
            return Some(wait);
        }
    }
    limits::exhausted_for(headers, "ratelimit", from)
        .or_else(|| in_header(headers, "retry-after-ms", WaitUnit::Milliseconds, from))
}

/// When to come back by the headers that say nothing but that, in answers that are no refusals.
pub(super) fn asked_for(answer: &Answer<'_>, from: Instant) -> Option<Duration> {
    in_header(answer.headers, "retry-after", WaitUnit::Auto, from)
        .or_else(|| in_header(answer.headers, "retry-after-ms", WaitUnit::Milliseconds, from))
}

/// The id of what is there already.
pub(super) fn id(source: &IdSource, answer: &Answer<'_>) -> Option<String> {
    let document = answer.document()?;
    let (IdSource::Path(path) | IdSource::Text { path, .. }) = source;
    let mut texts = path.values_in(document).into_iter().filter_map(text_of);
    match source {
        IdSource::Path(_) => texts.map(|text| text.trim().to_owned()).find(|id| !id.is_empty()),
        IdSource::Text { after, .. } => texts.find_map(|text| following(&text, after).find_map(word)),
    }
}

fn longest(answer: &Answer<'_>, path: &JsonPath, wait: impl Fn(&str) -> Option<Duration>) -> Option<Duration> {
    let values = path.values_in(answer.document()?);
    values.into_iter().filter_map(text_of).filter_map(|text| wait(&text)).max()
}

fn step(steps: &[Duration], refusals: u32) -> Option<Duration> {
    let nth = usize::try_from(refusals).unwrap_or(usize::MAX);
    steps.get(nth).or(steps.last()).copied()
}

fn until_midnight(zone: Tz, from: Instant) -> Duration {
    let tomorrow = date_at(from, zone).succ_opt().unwrap_or(chrono::NaiveDate::MAX);
    day_start(tomorrow, zone).signed_duration_since(from).to_std().unwrap_or(Duration::ZERO)
}

/// What follows each place at which `text` holds `after`, whatever the case.
fn following<'t>(text: &'t str, after: &str) -> impl Iterator<Item = &'t str> {
    // Lower case by ASCII keeps every byte in its place.
    let (lower, after) = (text.to_ascii_lowercase(), after.to_ascii_lowercase());
    let ends: Vec<usize> = lower.match_indices(&after).map(|(at, found)| at + found.len()).collect();
    ends.into_iter().map(|end| &text[end..])
}

/// The wait with which `text` begins: as many of its words as make one.
fn leading(text: &str, unit: WaitUnit, from: Instant) -> Option<Duration> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || ":=\"'(".contains(c));
    let mut ends: Vec<usize> = text.match_indices(char::is_whitespace).map(|(at, _)| at).take(MAX_WORDS).collect();
    if ends.len() < MAX_WORDS {
        ends.push(text.len());
    }
    ends.iter()
        .rev()
        .find_map(|end| read(text[..*end].trim_end_matches([' ', '.', ',', ';', '!', ')', '"', '\'']), unit, from))
}

/// The first word of `text`, as ids are written.
fn word(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    let begin = text.find(char::is_alphanumeric)?;
    let rest = &text[begin..];
    let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches(['.', ':']).to_owned())
}
