//! Requests as plain data: a template, a unit and a page become what is sent, before it is signed.
//!
//! A [`Request`] holds no secret: signing is the client's work and happens while sending. What the platform itself gave
//! (cursors, links) may hold tokens, so `Display` shows the names of such parameters and not their values.

use std::fmt;

use chrono::{Days, SecondsFormat, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde_json::Value;
use url::Url;
use url::form_urlencoded;

use crate::error::{Error, Result};
use crate::page::{PageAt, PageCursor};
use crate::pipeline::{
    Api, Body, HeaderText, Join, Listing, Method, Pipeline, Placeholder, RequestTemplate, TimeFormat, TimeText,
    ZoneRule,
};
use crate::time::{Instant, Window, date_at, local};
use crate::unit::Account;

/// One HTTP request, unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// Scheme, host and path. A link that the platform gave keeps its own query here.
    pub url: Url,
    /// Parameters to append to the URL's query, in this order.
    pub query: Vec<Parameter>,
    /// Headers without secrets, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What a POST carries.
    pub body: RequestBody,
}

/// One parameter of a query or a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value, not yet encoded.
    pub value: String,
    /// Who gave the value.
    pub origin: Origin,
}

/// Who gave a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The pipeline file and the unit: may be shown.
    Declared,
    /// An earlier answer: may hold a token, is not shown.
    Platform,
}

/// What a POST carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestBody {
    /// Nothing.
    None,
    /// A JSON document.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<Parameter>),
}

impl Request {
    /// The URL with all parameters, as it is sent but for the signature. Not for people: may hold tokens.
    pub fn full_url(&self) -> Url {
        let mut url = self.url.clone();
        if !self.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for parameter in &self.query {
                pairs.append_pair(&parameter.name, &parameter.value);
            }
        }
        url
    }

    /// The URL for people: values that the platform gave are replaced by `…`.
    pub fn redacted_url(&self) -> String {
        let mut text = format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
        let mut separator = '?';
        for (name, _) in self.url.query_pairs() {
            text.push(separator);
            text.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            text.push_str("=…");
            separator = '&';
        }
        for parameter in &self.query {
            text.push(separator);
            text.push_str(&parameter.redacted());
            separator = '&';
        }
        text
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", method_word(self.method), self.redacted_url())?;
        for (name, value) in &self.headers {
            write!(f, "\n{name}: {value}")?;
        }
        match &self.body {
            RequestBody::None => Ok(()),
            RequestBody::Json(value) => write!(f, "\n\n{value:#}"),
            RequestBody::Form(fields) => {
                let fields: Vec<String> = fields.iter().map(Parameter::redacted).collect();
                write!(f, "\n\n{}", fields.join("&"))
            }
        }
    }
}

impl Parameter {
    fn declared(name: &str, value: impl Into<String>) -> Parameter {
        Parameter { name: name.to_owned(), value: value.into(), origin: Origin::Declared }
    }

    fn redacted(&self) -> String {
        let name: String = form_urlencoded::byte_serialize(self.name.as_bytes()).collect();
        match self.origin {
            Origin::Declared => {
                let value: String = form_urlencoded::byte_serialize(self.value.as_bytes()).collect();
                format!("{name}={value}")
            }
            Origin::Platform => format!("{name}=…"),
        }
    }
}

/// `GET` or `POST`.
pub fn method_word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
    }
}

/// The metrics request for `accounts` x `window`, for a chunk of `campaigns` where the template holds `{campaigns}`.
///
/// Times on an account's clock are those of the first account. A link is asked for as the platform gave it, with the
/// template's method, headers and body.
///
/// # Errors
/// An id that cannot stand in a path (`.`, `..`), or a URL that is none.
pub fn metrics_request(
    pipeline: &Pipeline,
    accounts: &[Account],
    window: Window,
    campaigns: Option<&[String]>,
    page: &PageCursor,
) -> Result<Request> {
    let template = &pipeline.request;
    let values = Values {
        accounts,
        campaigns: campaigns.unwrap_or_default(),
        window: Some(window),
        time: template.time,
        page_size: pipeline.pagination.page_size,
        join: template.join,
    };
    let mut request = Request {
        method: template.method,
        url: values.url(&pipeline.api, &template.path)?,
        query: values.parameters(template.query.iter()),
        headers: Vec::new(),
        body: values.body(&template.body),
    };
    request.headers = headers(&pipeline.api, &request.body);
    turn_to(&mut request, page);
    Ok(request)
}

/// One page of a list; `account` is whose list it is, where it is an account's.
///
/// # Errors
/// As [`metrics_request`].
pub fn listing_request(api: &Api, list: &Listing, account: Option<&Account>, page: &PageCursor) -> Result<Request> {
    let values = Values {
        accounts: account.map(std::slice::from_ref).unwrap_or_default(),
        campaigns: &[],
        window: None,
        time: TimeText { format: TimeFormat::Date, zone: ZoneRule::Utc, end_inclusive: false },
        page_size: list.pagination.page_size,
        join: Join::Comma,
    };
    let mut request = Request {
        method: Method::Get,
        url: values.url(api, &list.path)?,
        query: values.parameters(list.query.iter()),
        headers: headers(api, &RequestBody::None),
        body: RequestBody::None,
    };
    turn_to(&mut request, page);
    Ok(request)
}

/// Whether the template holds `wanted` anywhere.
pub fn uses(template: &RequestTemplate, wanted: Placeholder) -> bool {
    let holds = |text: &String| parts(text).contains(&Part::Slot(wanted));
    let in_body = match &template.body {
        Body::None => false,
        Body::Json(value) => json_holds(value, wanted),
        Body::Form(fields) => fields.values().any(holds),
    };
    in_body || holds(&template.path) || template.query.values().any(holds)
}

fn json_holds(value: &Value, wanted: Placeholder) -> bool {
    match value {
        Value::String(text) => parts(text).contains(&Part::Slot(wanted)),
        Value::Array(items) => items.iter().any(|item| json_holds(item, wanted)),
        Value::Object(fields) => fields.values().any(|field| json_holds(field, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The declared headers that are no secrets, and what every request says about its form.
fn headers(api: &Api, body: &RequestBody) -> Vec<(String, String)> {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    match body {
        RequestBody::None => {}
        RequestBody::Json(_) => headers.push(("content-type".to_owned(), "application/json".to_owned())),
        RequestBody::Form(_) => {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
    }
    for (name, value) in &api.headers {
        let name = name.to_ascii_lowercase();
        headers.retain(|(other, _)| *other != name);
        if let HeaderText::Literal(text) = value {
            headers.push((name, text.clone()));
        }
    }
    headers
}

/// Makes `request`, which asks for the first page, ask for `page`.
fn turn_to(request: &mut Request, page: &PageCursor) {
    if let PageAt::Link(url) = &page.at {
        request.url = url.clone();
        request.query.clear();
        return;
    }
    if let Some((name, size)) = &page.size {
        set(request, Parameter::declared(name, size.to_string()), Value::from(*size));
    }
    match &page.at {
        PageAt::Start | PageAt::Link(_) => {}
        PageAt::Token { param, token } => {
            let parameter = Parameter { name: param.clone(), value: token.clone(), origin: Origin::Platform };
            set(request, parameter, Value::from(token.as_str()));
        }
        PageAt::Number { param, number } => {
            set(request, Parameter::declared(param, number.to_string()), Value::from(*number));
        }
    }
}

/// Sets a parameter where this request carries its parameters: in the body of a POST that has one, else in the query.
fn set(request: &mut Request, parameter: Parameter, json: Value) {
    let fields = match &mut request.body {
        RequestBody::Json(Value::Object(fields)) => {
            fields.insert(parameter.name, json);
            return;
        }
        RequestBody::Form(fields) => fields,
        RequestBody::Json(_) | RequestBody::None => &mut request.query,
    };
    match fields.iter_mut().find(|field| field.name == parameter.name) {
        Some(field) => *field = parameter,
        None => fields.push(parameter),
    }
}

/// A piece of a template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Literal(&'a str),
    Slot(Placeholder),
}

/// Splits a text at its placeholders. Braces around other words are text: filters written as JSON hold many.
fn parts(text: &str) -> Vec<Part<'_>> {
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
struct Values<'a> {
    accounts: &'a [Account],
    campaigns: &'a [String],
    window: Option<Window>,
    time: TimeText,
    page_size: usize,
    join: Join,
}

impl Values<'_> {
    fn url(&self, api: &Api, path: &str) -> Result<Url> {
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
        let base = api.base_url.as_str().trim_end_matches('/');
        let text = format!("{base}/{}", filled.trim_start_matches('/'));
        Url::parse(&text).map_err(|error| Error::bad_input(format!("`{text}` is not a URL")).because(error))
    }

    fn parameters<'t>(&self, texts: impl Iterator<Item = (&'t String, &'t String)>) -> Vec<Parameter> {
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

    fn body(&self, body: &Body) -> RequestBody {
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
            Placeholder::Account
            | Placeholder::From
            | Placeholder::To
            | Placeholder::TimeZone
            | Placeholder::PageSize => None,
        }
    }

    /// The text of a placeholder that stands for one thing; empty for the others.
    fn one(&self, placeholder: Placeholder) -> String {
        let account = self.accounts.first();
        let zone = account.map_or(Tz::UTC, |account| account.time_zone);
        match (placeholder, self.window) {
            (Placeholder::Account, _) => account.map(|account| account.id.clone()).unwrap_or_default(),
            (Placeholder::TimeZone, _) => zone.name().to_owned(),
            (Placeholder::PageSize, _) => self.page_size.to_string(),
            (Placeholder::From, Some(window)) => begin_text(window, self.time, zone),
            (Placeholder::To, Some(window)) => end_text(window, self.time, zone),
            (Placeholder::From | Placeholder::To, None) | (Placeholder::Accounts | Placeholder::Campaigns, _) => {
                String::new()
            }
        }
    }
}

/// The window's beginning as the platform wants it written.
fn begin_text(window: Window, time: TimeText, account_zone: Tz) -> String {
    moment_text(window.from(), time.format, zone_of(time.zone, account_zone))
}

/// The window's end as the platform wants it written.
fn end_text(window: Window, time: TimeText, account_zone: Tz) -> String {
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

#[cfg(test)]
pub(crate) mod tests;
