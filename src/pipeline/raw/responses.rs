//! The part of the file that says what particular answers mean.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::{Scope, Values, WaitUnit};

/// What a particular answer means. `status`, `header` or `path`, or several of them, say which; all that is said must
/// fit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    /// Fits this HTTP status only, or these.
    pub status: Option<Statuses>,
    /// Fits where this header is there.
    pub header: Option<String>,
    /// The header's value holds this, whatever the case.
    pub header_contains: Option<String>,
    /// Fits where this place in the body (one of these places, with `*`) holds anything but null, or what one of `equals`, `not_equals`, `contains` and
    /// `from` with `to` says.
    pub path: Option<String>,
    /// The value at `path`, or a list of which it is one; a number and its text are the same.
    pub equals: Option<Values>,
    /// What the value at `path` is not, or a list of which it is none; it must be there.
    pub not_equals: Option<Values>,
    /// The value at `path` is a text that holds this, whatever the case.
    pub contains: Option<String>,
    /// The value at `path` is a number from here (included) to `to`.
    pub from: Option<i64>,
    /// The end of the range, included.
    pub to: Option<i64>,
    /// What such an answer means.
    pub action: Action,
    /// With `throttled`: whose limit it is; the app's where it is not given.
    pub scope: Option<Scope>,
    /// With `throttled`: where the wait is, each in one of `header`, `path`, `steps` and `midnight`; the first that is
    /// there counts, and `Retry-After` and its like where none is.
    #[serde(default)]
    pub wait: Vec<Wait>,
    /// With `adopt`: where the id of what is there already is.
    pub id: Option<String>,
    /// With `adopt`: the id is the word that follows this text at `id`.
    pub after: Option<String>,
    /// With `fail`: whose fault it is; the platform's where it is not given.
    pub fault: Option<Fault>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// A page as any other.
    Ok,
    /// Try again.
    Retry,
    /// Over a limit: wait, then try again.
    Throttled,
    /// Sign in anew, then try again once.
    Reauthorise,
    /// Too much was asked for at once: ask for less.
    Split,
    /// The account is gone or closed to us: leave it out and go on.
    SkipAccount,
    /// What the request was to create is there already: go on with that.
    Adopt,
    /// Give the unit up.
    Fail,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// The pipeline file's or the credentials': no other unit will fare better.
    Config,
    /// The platform's.
    Platform,
    /// hourmark's: it sent what it should not have sent.
    Us,
}

/// Where a wait is: one of `header`, `path`, `steps` and `midnight`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// The header with it.
    pub header: Option<String>,
    /// The place in the body with it.
    pub path: Option<String>,
    /// It is the number that follows this text at `path`, whatever the case.
    pub after: Option<String>,
    /// How it is written; `auto` where it is not given.
    #[serde(rename = "as")]
    pub unit: Option<WaitUnit>,
    /// The first refusal waits the first, the next one the next, and the last for ever after.
    pub steps: Option<Vec<String>>,
    /// Until the next midnight on this clock, an IANA name.
    pub midnight: Option<String>,
}

/// One HTTP status, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(pub Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Statuses, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

struct StatusesVisitor;

impl<'de> Visitor<'de> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an HTTP status or a list of them")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Statuses, E> {
        let status = u16::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))?;
        Ok(Statuses(vec![status]))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Statuses, E> {
        let status = u16::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))?;
        Ok(Statuses(vec![status]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
        let mut statuses = Vec::new();
        while let Some(status) = list.next_element()? {
            statuses.push(status);
        }
        Ok(Statuses(statuses))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An HTTP status, or a list of them.",
            "type": ["integer", "array"],
            "minimum": 100,
            "maximum": 599,
            "items": { "type": "integer", "minimum": 100, "maximum": 599 },
        })
    }
}
