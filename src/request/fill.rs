//! Placeholders and what they stand for.

use chrono::{Days, SecondsFormat, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde_json::Value;
use url::Url;

use super::{Parameter, RequestBody};
use crate::error::{Error, Result};
use crate::pipeline::{Body, Join, Placeholder, TimeFormat, TimeText, ZoneRule};
use crate::time::{Instant, Window, date_at, local};
use crate::unit::Account;

/// A piece of a template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Literal(&'a str),
    Slot(Placeholder),
}

/// Splits a text at its placeholders. Braces around other words are text: filters written as JSON hold many.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut literal, mut at) = (0, 0);
    while let Some(open) = text[at..].find('{').map(|offset| at + offset) {
        let slot = Placeholder::ALL.iter().find_map(|(placeholder, word)| {
            let after = text[open + 1..].strip_prefix(word)?.strip_prefix('}')?;
            Some((*placeholder, text.len() - after.len()))
        });
        at = open + 1;
        if let Some((placeholder, end)) = slot {
            if literal < open {
                parts.push(Part::Literal(&text[literal..open]));
            }
            parts.push(Part::Slot(placeholder));
            (literal, at) = (end, end);
        }
    }
    if literal < text.len() {
        parts.push(Part::Literal(&text[literal..]));
    }
    parts
}

/// What the placeholders stand for in one request.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) accounts: &'a [Account],
    pub(super) campaigns: &'a [String],
    /// What accounts are asked for under; empty in requests about accounts, which know their own.
    pub(super) parents: &'a [String],
    pub(super) window: Option<Window>,
    /// The report's id; empty where there is none.
    pub(super) report: &'a str,
    pub(super) time: TimeText,
    pub(super) page_size: usize,
    pub(super) join: Join,
}

impl Values<'_> {
    pub(super) fn url(&self, base: &Url, path: &str) -> Result<Url> {
        let mut filled = String::new();
        for part in parts(path) {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Slot(placeholder) => {
                    let ids = self.several(placeholder).unwrap_or_else(|| vec![self.one(placeholder)]);
                    let encoded: Vec<String> = ids.iter().map(|id| encode_segment(id)).collect();
                    filled.push_str(&encoded.join(","));
                }
            }
        }
        if filled.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(Error::bad_input(format!("the path `{filled}` holds `.` or `..`, which no id may be")));
        }
        let base = base.as_str().trim_end_matches('/');
        let text = format!("{base}/{}", filled.trim_start_matches('/'));
        Url::parse(&text).map_err(|error| Error::bad_input(format!("`{text}` is not a URL")).because(error))
    }

    pub(super) fn parameters<'t>(&self, texts: impl Iterator<Item = (&'t String, &'t String)>) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        for (name, text) in texts {
            let repeated = match self.join {
                Join::Repeat => parts(text).into_iter().find_map(|part| match part {
                    Part::Slot(placeholder) => self.several(placeholder).map(|ids| (placeholder, ids)),
                    Part::Literal(_) => None,
                }),
                Join::Comma | Join::Array => None,
            };
            match repeated {
                Some((placeholder, ids)) => {
                    for id in ids {
                        parameters.push(Parameter::declared(name, self.fill(text, Some((placeholder, &id)))));
                    }
                }
                None => parameters.push(Parameter::declared(name, self.fill(text, None))),
            }
        }
        parameters
    }

    pub(super) fn body(&self, body: &Body) -> RequestBody {
        match body {
            Body::None => RequestBody::None,
            Body::Json(value) => RequestBody::Json(self.json(value)),
            Body::Form(fields) => RequestBody::Form(self.parameters(fields.iter())),
        }
    }

    fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.json_text(text),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.json(item)).collect()),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(key, field)| (key.clone(), self.json(field))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// A text that is one placeholder takes that placeholder's own type.
    fn json_text(&self, text: &str) -> Value {
        if let [Part::Slot(only)] = parts(text)[..] {
            match (only, self.several(only)) {
                (_, Some(ids)) if self.join != Join::Comma => return Value::from(ids),
                (Placeholder::PageSize, _) => return Value::from(self.page_size),
                (
                    Placeholder::FromYear
                    | Placeholder::FromMonth
                    | Placeholder::FromDay
                    | Placeholder::ToYear
                    | Placeholder::ToMonth
                    | Placeholder::ToDay,
                    _,
                ) => {
                    let written = self.one(only);
                    return written.parse::<i64>().map_or(Value::String(written), Value::from);
                }
                (Placeholder::From | Placeholder::To, _) => {
                    let written = self.one(only);
                    let number = match self.time.format {
                        TimeFormat::UnixSeconds | TimeFormat::UnixMilliseconds => written.parse::<i64>().ok(),
                        TimeFormat::Date | TimeFormat::Rfc3339 | TimeFormat::Naive => None,
                    };
                    return number.map_or(Value::String(written), Value::from);
                }
                _ => {}
            }
        }
        Value::String(self.fill(text, None))
    }

    /// The text with its placeholders replaced; `instead` replaces one of them by one id of several.
    fn fill(&self, text: &str, instead: Option<(Placeholder, &str)>) -> String {
        let mut filled = String::new();
        for part in parts(text) {
            match (part, instead) {
                (Part::Literal(literal), _) => filled.push_str(literal),
                (Part::Slot(slot), Some((placeholder, id))) if slot == placeholder => filled.push_str(id),
                (Part::Slot(slot), _) => match self.several(slot) {
                    Some(ids) if self.join == Join::Array => filled.push_str(&Value::from(ids).to_string()),
                    Some(ids) => filled.push_str(&ids.join(",")),
                    None => filled.push_str(&self.one(slot)),
                },
            }
        }
        filled
    }

    /// The ids of a placeholder that stands for several.
    fn several(&self, placeholder: Placeholder) -> Option<Vec<String>> {
        match placeholder {
            Placeholder::Accounts => Some(self.accounts.iter().map(|account| account.id.clone()).collect()),
            Placeholder::Campaigns => Some(self.campaigns.to_vec()),
            Placeholder::Parents => Some(self.parents.to_vec()),
            Placeholder::Account
            | Placeholder::Parent
            | Placeholder::From
            | Placeholder::FromYear
            | Placeholder::FromMonth
            | Placeholder::FromDay
            | Placeholder::To
            | Placeholder::ToYear
            | Placeholder::ToMonth
            | Placeholder::ToDay
            | Placeholder::TimeZone
            | Placeholder::PageSize
            | Placeholder::Report => None,
        }
    }

    /// The text of a placeholder that stands for one thing; empty for the others.
    fn one(&self, placeholder: Placeholder) -> String {
        let account = self.accounts.first();
        let zone = account.map_or(Tz::UTC, |account| account.time_zone);
        if let Some(window) = self.window
            && let Some(number) = date_part(placeholder, window, self.time, zone)
        {
            return number;
        }
        match (placeholder, self.window) {
            (Placeholder::Account, _) => account.map(|account| account.id.clone()).unwrap_or_default(),
            (Placeholder::Parent, _) => {
                account.map(|account| &account.parent).or(self.parents.first()).cloned().unwrap_or_default()
            }
            (Placeholder::TimeZone, _) => zone.name().to_owned(),
            (Placeholder::PageSize, _) => self.page_size.to_string(),
            (Placeholder::Report, _) => self.report.to_owned(),
            (Placeholder::From, Some(window)) => begin_text(window, self.time, zone),
            (Placeholder::To, Some(window)) => end_text(window, self.time, zone),
            // Those of a window are written above, those of several ids by `several`.
            _ => String::new(),
        }
    }

    /// A header's value; `None` where it names an account or a parent and this request is about none.
    pub(super) fn header(&self, text: &str) -> Option<String> {
        let pieces = parts(text).into_iter().map(|part| match part {
            Part::Literal(literal) => Some(literal.to_owned()),
            Part::Slot(placeholder) => Some(self.one(placeholder)).filter(|found| !found.is_empty()),
        });
        pieces.collect()
    }
}

/// Year, month or day of the window's first or last day, by the rule for `{from}` and `{to}`; without padding.
fn date_part(placeholder: Placeholder, window: Window, time: TimeText, account_zone: Tz) -> Option<String> {
    let time = TimeText { format: TimeFormat::Date, ..time };
    let text = match placeholder {
        Placeholder::FromYear | Placeholder::FromMonth | Placeholder::FromDay => begin_text(window, time, account_zone),
        Placeholder::ToYear | Placeholder::ToMonth | Placeholder::ToDay => end_text(window, time, account_zone),
        _ => return None,
    };
    let mut parts = text.splitn(3, '-');
    let part = match placeholder {
        Placeholder::FromYear | Placeholder::ToYear => parts.next(),
        Placeholder::FromMonth | Placeholder::ToMonth => parts.nth(1),
        _ => parts.nth(2),
    };
    part.map(|part| part.trim_start_matches('0').to_owned())
}

/// The window's beginning as the platform wants it written.
pub(super) fn begin_text(window: Window, time: TimeText, account_zone: Tz) -> String {
    moment_text(window.from(), time.format, zone_of(time.zone, account_zone))
}

/// The window's end as the platform wants it written.
pub(super) fn end_text(window: Window, time: TimeText, account_zone: Tz) -> String {
    let zone = zone_of(time.zone, account_zone);
    let last_second = window.to() - TimeDelta::seconds(1);
    match (time.format, time.end_inclusive) {
        (TimeFormat::Date, true) => date_at(last_second, zone).to_string(),
        // The day after the last one inside: also right for windows that end within a day.
        (TimeFormat::Date, false) => {
            let last = date_at(last_second, zone);
            last.checked_add_days(Days::new(1)).unwrap_or(last).to_string()
        }
        (TimeFormat::UnixMilliseconds, true) => {
            moment_text(window.to() - TimeDelta::milliseconds(1), time.format, zone)
        }
        (TimeFormat::Rfc3339 | TimeFormat::Naive | TimeFormat::UnixSeconds, true) => {
            moment_text(last_second, time.format, zone)
        }
        (_, false) => moment_text(window.to(), time.format, zone),
    }
}

fn zone_of(rule: ZoneRule, account_zone: Tz) -> Tz {
    match rule {
        ZoneRule::Utc => Tz::UTC,
        ZoneRule::Account => account_zone,
        ZoneRule::Fixed(zone) => zone,
    }
}

fn moment_text(moment: Instant, format: TimeFormat, zone: Tz) -> String {
    match format {
        TimeFormat::Date => date_at(moment, zone).to_string(),
        TimeFormat::Rfc3339 => zone.from_utc_datetime(&moment.naive_utc()).to_rfc3339_opts(SecondsFormat::Secs, true),
        TimeFormat::Naive => local(moment, zone).format("%Y-%m-%dT%H:%M:%S").to_string(),
        TimeFormat::UnixSeconds => moment.timestamp().to_string(),
        TimeFormat::UnixMilliseconds => moment.timestamp_millis().to_string(),
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters, so that an id stays one segment.
fn encode_segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
