//! An answer and what its body says, looked into only when somebody asks.

use std::cell::OnceCell;

use reqwest::header::{HeaderMap, LOCATION};
use serde_json::Value;
use url::Url;

/// A longer body is no error message and is not looked into.
pub(super) const MAX_LOOKED_AT: usize = 64 * 1024;

/// Where platforms put their messages.
const PLACES: [&str; 14] = [
    "/error/message",
    "/message",
    "/error_description",
    "/errors/0/message",
    "/error/errors/0/message",
    "/0/error/message",
    "/error",
    "/detail",
    "/details",
    "/Errors/0/Message",
    "/OperationErrors/0/Message",
    "/debug_message",
    "/display_message",
    "/title",
];

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    body: &'a [u8],
    document: OnceCell<Option<Value>>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(status: u16, headers: &'a HeaderMap, body: &'a [u8]) -> Answer<'a> {
        Answer { status, headers, body, document: OnceCell::new() }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON, where it is that and short enough for a message. Parsed when it is first asked for: most
    /// bodies are pages, and nobody asks.
    pub(super) fn document(&self) -> Option<&Value> {
        let parsed = self.document.get_or_init(|| {
            if self.body.len() > MAX_LOOKED_AT { None } else { serde_json::from_slice(self.body).ok() }
        });
        parsed.as_ref()
    }

    /// `HTTP 400: the platform's own words`.
    pub(super) fn described(&self) -> String {
        let status = self.status;
        match self.words() {
            Some(words) => format!("HTTP {status}: {words}"),
            None => format!("HTTP {status}"),
        }
    }

    fn words(&self) -> Option<String> {
        if let Some(message) = self.document().and_then(message) {
            return Some(message);
        }
        if (300..400).contains(&self.status) {
            return Some(redirect(self.headers));
        }
        let is_html = self.body.trim_ascii_start().first() == Some(&b'<');
        is_html.then(|| "an HTML page".to_owned())
    }
}

/// One line: white space and control characters become single spaces.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<&str>>().join(" ")
}

fn message(document: &Value) -> Option<String> {
    let found = PLACES.iter().filter_map(|place| document.pointer(place)?.as_str()).map(one_line);
    found.into_iter().find(|message| !message.is_empty())
}

fn redirect(headers: &HeaderMap) -> String {
    let target = headers.get(LOCATION).and_then(|value| value.to_str().ok()).and_then(|text| Url::parse(text).ok());
    match target.as_ref().and_then(Url::host_str) {
        Some(host) => format!("a redirect to {host}, and redirects are not followed"),
        None => "a redirect, and redirects are not followed".to_owned(),
    }
}
