//! An answer and what its body says, looked into only when somebody asks.

use std::cell::OnceCell;

use memchr::memmem;
use reqwest::header::{HeaderMap, LOCATION};
use serde_json::Value;
use url::Url;

pub(super) use crate::body::one_line;
use crate::body::{Wanted, is_packed, message, pruned, unpack};
use crate::pipeline::{IdSource, JsonPath, ResponseAction, ResponseRule, Step, WaitSource};

/// In a longer body nobody looks for a message, unless a rule has to look into it anyhow.
pub(super) const MAX_LOOKED_AT: usize = 64 * 1024;
/// No more of an archive is unpacked to be looked into. Whoever reads rows out of it has a bound of his own.
const MOST_UNPACKED: u64 = 64 * 1024 * 1024;

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    body: &'a [u8],
    /// Whose places are kept of the body.
    rules: &'a [ResponseRule],
    document: OnceCell<Option<Value>>,
    /// Whether keys may be there that cannot be seen.
    hidden: OnceCell<bool>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(status: u16, headers: &'a HeaderMap, body: &'a [u8], rules: &'a [ResponseRule]) -> Answer<'a> {
        Answer { status, headers, body, rules, document: OnceCell::new(), hidden: OnceCell::new() }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON, where it is that; nothing is in it but what the rules name and what may be a message. Read when it
    /// is first asked for: most bodies are pages, and nobody asks.
    pub(super) fn document(&self) -> Option<&Value> {
        let parsed = self.document.get_or_init(|| {
            let body = unpack(self.body, MOST_UNPACKED).ok()?;
            pruned(&body, &Wanted::new(self.rules.iter().flat_map(places)))
        });
        parsed.as_ref()
    }

    /// Whether the body can have a value at `path`. Nearly all answers are long pages without the keys of any rule, and
    /// looking for a few letters costs little beside reading the page.
    pub(super) fn may_hold(&self, path: &JsonPath) -> bool {
        let is_hidden = || is_packed(self.body) || has_escaped_letters(self.body);
        *self.hidden.get_or_init(is_hidden) || keys_of(path).all(|key| is_in(self.body, key))
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
        let short = self.body.len() <= MAX_LOOKED_AT;
        let document = if short { self.document() } else { self.document.get().and_then(Option::as_ref) };
        if let Some(message) = document.and_then(message) {
            return Some(message);
        }
        if (300..400).contains(&self.status) {
            return Some(redirect(self.headers));
        }
        let is_html = self.body.trim_ascii_start().first() == Some(&b'<');
        is_html.then(|| "an HTML page".to_owned())
    }
}

/// The places in a body that a rule names.
fn places(rule: &ResponseRule) -> Vec<&JsonPath> {
    let mut places: Vec<&JsonPath> = rule.path.iter().map(|(path, _)| path).collect();
    match &rule.action {
        ResponseAction::Throttled { wait, .. } => places.extend(wait.iter().filter_map(|source| match source {
            WaitSource::Body { path, .. } | WaitSource::Text { path, .. } => Some(path),
            WaitSource::Header { .. } | WaitSource::Steps(_) | WaitSource::Midnight(_) => None,
        })),
        ResponseAction::Adopt { id: IdSource::Path(path) | IdSource::Text { path, .. } } => places.push(path),
        ResponseAction::Ok
        | ResponseAction::Retry
        | ResponseAction::Reauthorise
        | ResponseAction::Split
        | ResponseAction::SkipAccount
        | ResponseAction::Fail { .. } => {}
    }
    places
}

/// The keys that must be in a body for anything to be at `path`.
fn keys_of(path: &JsonPath) -> impl Iterator<Item = &str> {
    path.0.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Each | Step::OneOrEach => None,
    })
}

/// Whether the letters of `key` are in `body`. Of characters that may be written in two ways nothing is known.
fn is_in(body: &[u8], key: &str) -> bool {
    let plain = key.bytes().all(|letter| letter.is_ascii_graphic() && !matches!(letter, b'"' | b'\\' | b'/'));
    !plain || memmem::find(body, key.as_bytes()).is_some()
}

/// Whether an ASCII character is written by its number somewhere (`\u0065`), so that a key may be there and not be seen.
fn has_escaped_letters(body: &[u8]) -> bool {
    memmem::find_iter(body, br"\u00").any(|at| matches!(body.get(at + 4), Some(b'2'..=b'7')))
}

fn redirect(headers: &HeaderMap) -> String {
    let target = headers.get(LOCATION).and_then(|value| value.to_str().ok()).and_then(|text| Url::parse(text).ok());
    match target.as_ref().and_then(Url::host_str) {
        Some(host) => format!("a redirect to {host}, and redirects are not followed"),
        None => "a redirect, and redirects are not followed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_hold(body: &str, path: &str) -> bool {
        let path = JsonPath::parse(path).expect("a path");
        Answer::new(200, &HeaderMap::new(), body.as_bytes(), &[]).may_hold(&path)
    }

    #[test]
    fn a_body_without_the_letters_of_a_key_is_not_looked_into() {
        assert!(!may_hold(r#"{"data":[{"name":"1"}]}"#, "error.code"));
        assert!(!may_hold(r#"{"error":{"message":"x"}}"#, "error.code"));
        assert!(may_hold(r#"{"error":{"code":"x"}}"#, "error.code"));
        assert!(may_hold(r#"{"errors":[{"code":"x"}]}"#, "errors.*.code"));
    }

    #[test]
    fn a_key_that_may_be_written_otherwise_is_looked_for() {
        assert!(may_hold(r#"{"\u0065rror":{"\u0063ode":"x"}}"#, "error.code"));
        assert!(!may_hold(r#"{"data":[{"name":"L\u00e4ufer"}]}"#, "error.code"), "no letter of ours");
        assert!(may_hold(r#"{"data":1}"#, "fehler-größe"));
    }
}
