//! What an answer means: a page, nothing new, try again, wait, sign in again, or give up.
//!
//! The pipeline's rules are asked first, in their order; what no rule fits follows this table.
//!
//! | answer | verdict |
//! |---|---|
//! | 2xx | a page |
//! | 304 | nothing new |
//! | 429; any status worth another try that says when (`Retry-After`) | throttled |
//! | 408, 5xx, broken connections | retry |
//! | 401 | unauthorized |
//! | other 4xx, redirects | fail |

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use url::Url;

use crate::pipeline::{Fault, ResponseAction, ResponseRule, Scope, ValueTest};
use crate::secret::{Secret, mask};
use crate::time::Instant;

/// A longer body is no error message and is not looked into.
const MAX_LOOKED_AT: usize = 64 * 1024;
/// So many characters of a platform's message are repeated.
const MAX_MESSAGE: usize = 120;

/// What came of sending a request.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// An answer was read to its end.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: &'a HeaderMap,
        /// Its body, decompressed.
        body: &'a [u8],
    },
    /// None was.
    Broken {
        /// What happened.
        why: &'a str,
        /// Whether it may pass by itself.
        may_pass: bool,
    },
}

/// What it means. The texts are short and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A page.
    Ok,
    /// What is in the cache is still true.
    NotModified,
    /// It may pass: try again.
    Retry {
        /// What was answered.
        why: String,
    },
    /// Over a limit.
    Throttled {
        /// How long the platform asks to wait, where it says so; zero where that moment has passed.
        wait: Option<Duration>,
        /// Whose limit, where the answer tells.
        scope: Option<Scope>,
        /// What was answered.
        why: String,
    },
    /// The credentials are not accepted: with fresh ones it may be.
    Reauthorise {
        /// What was answered.
        why: String,
    },
    /// Too much was asked for at once.
    Split {
        /// What was answered.
        why: String,
    },
    /// The account is gone or closed to us.
    SkipAccount {
        /// What was answered.
        why: String,
    },
    /// What was to be created is there already.
    Adopt {
        /// Its id.
        id: String,
    },
    /// It will not pass.
    Fail {
        /// Whose fault it is, where that is known.
        fault: Option<Fault>,
        /// What was answered.
        why: String,
    },
}

/// What an answer is read with.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The pipeline's rules, in their order.
    pub rules: &'a [ResponseRule],
    /// Masked in messages that the platform wrote.
    pub secrets: &'a [Secret],
    /// For waits that are told as moments, where the answer has no `Date` of its own.
    pub now: Instant,
    /// How often this request was refused before because of a limit.
    pub refusals: u32,
}

/// Says what `outcome` means.
pub fn classify(outcome: &Outcome<'_>, reading: &Reading<'_>) -> Verdict {
    let Reading { rules, secrets, now, refusals: _ } = *reading;
    let (status, headers, body) = match *outcome {
        Outcome::Answer { status, headers, body } => (status, headers, body),
        Outcome::Broken { why, may_pass: true } => return Verdict::Retry { why: mask(why, secrets) },
        Outcome::Broken { why, may_pass: false } => return Verdict::Fail { fault: None, why: mask(why, secrets) },
    };
    let success = (200..300).contains(&status);
    if status == 304 {
        return Verdict::NotModified;
    }
    let wants_body = !success || rules.iter().any(|rule| rule.path.is_some() && fits_status(rule, status));
    let document = if wants_body { read(body) } else { None };
    let rule = rules.iter().find(|rule| fits(rule, status, document.as_ref()));
    let action = match rule {
        Some(rule) => rule.action.clone(),
        None if success => ResponseAction::Ok,
        None if status == 429 => ResponseAction::Throttled { scope: None, wait: Vec::new() },
        None if status == 401 => ResponseAction::Reauthorise,
        None if status == 408 || status >= 500 => ResponseAction::Retry,
        None => ResponseAction::Fail { fault: Fault::Platform },
    };
    if action == ResponseAction::Ok {
        return Verdict::Ok;
    }
    let why = mask(&describe(status, headers, body, document.as_ref()), secrets);
    let why = shortened(&with_rule(why, rule));
    let wait = retry_after(headers, now);
    match action {
        ResponseAction::Ok => Verdict::Ok,
        ResponseAction::Throttled { scope, wait: _ } => Verdict::Throttled { wait, scope, why },
        // Whoever says when to come back is obeyed, whatever the status.
        ResponseAction::Retry if wait.is_some() => Verdict::Throttled { wait, scope: None, why },
        ResponseAction::Retry => Verdict::Retry { why },
        ResponseAction::Reauthorise => Verdict::Reauthorise { why },
        ResponseAction::Split => Verdict::Split { why },
        ResponseAction::SkipAccount => Verdict::SkipAccount { why },
        ResponseAction::Adopt { .. } => Verdict::Fail { fault: None, why },
        ResponseAction::Fail { fault } => Verdict::Fail { fault: rule.map(|_| fault), why },
    }
}

fn fits_status(rule: &ResponseRule, status: u16) -> bool {
    rule.statuses.is_empty() || rule.statuses.contains(&status)
}

fn fits(rule: &ResponseRule, status: u16, document: Option<&Value>) -> bool {
    if !fits_status(rule, status) {
        return false;
    }
    let Some((path, test)) = &rule.path else { return true };
    let Some(document) = document else { return false };
    path.values_in(document).into_iter().any(|value| match (test, text_of(value)) {
        (ValueTest::AnyOf(wanted), Some(text)) => wanted.contains(&text),
        (ValueTest::Present, _) => !value.is_null(),
        _ => false,
    })
}

/// A scalar as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn read(body: &[u8]) -> Option<Value> {
    if body.len() > MAX_LOOKED_AT { None } else { serde_json::from_slice(body).ok() }
}

/// `HTTP 400: the platform's own words`.
fn describe(status: u16, headers: &HeaderMap, body: &[u8], document: Option<&Value>) -> String {
    let said = match document.and_then(message) {
        Some(message) => Some(message),
        None if (300..400).contains(&status) => Some(redirect(headers)),
        None if is_html(body) => Some("an HTML page".to_owned()),
        None => None,
    };
    match said {
        Some(said) => format!("HTTP {status}: {said}"),
        None => format!("HTTP {status}"),
    }
}

/// Says which rule decided, where the status does not show it.
fn with_rule(why: String, rule: Option<&ResponseRule>) -> String {
    match rule {
        Some(ResponseRule { path: Some((path, _)), .. }) => format!("{why} (`{path}`)"),
        _ => why,
    }
}

fn redirect(headers: &HeaderMap) -> String {
    let target = headers.get(LOCATION).and_then(|value| value.to_str().ok()).and_then(|text| Url::parse(text).ok());
    match target.as_ref().and_then(Url::host_str) {
        Some(host) => format!("a redirect to {host}, and redirects are not followed"),
        None => "a redirect, and redirects are not followed".to_owned(),
    }
}

/// The message at the places where platforms put it.
fn message(document: &Value) -> Option<String> {
    let places =
        ["/error/message", "/message", "/error_description", "/errors/0/message", "/0/error/message", "/error"];
    let found = places.iter().find_map(|place| document.pointer(place)?.as_str())?;
    let words: Vec<&str> =
        found.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn is_html(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_MESSAGE {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_MESSAGE - 1).collect();
    short.push('…');
    short
}

/// `Retry-After` as a wait: seconds, or a date, measured from the answer's own `Date` so that a wrong clock here does
/// not matter. Negative numbers and past dates are zero.
fn retry_after(headers: &HeaderMap, now: Instant) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        let seconds = if seconds.is_nan() { 0.0 } else { seconds.max(0.0) };
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let said_at = headers.get(DATE).and_then(|value| value.to_str().ok());
    let from = said_at.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(|| now.into());
    Some(until.duration_since(from).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests;
