//! What particular answers mean.

use std::time::Duration;

use chrono_tz::Tz;

use super::JsonPath;
use super::quotas::{Scope, WaitUnit};

/// What a particular answer means; the first rule that fits decides. Everything that is said must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRule {
    /// Fits these statuses only; empty: all.
    pub statuses: Vec<u16>,
    /// Fits where this header is there, and holds the text where one is said (whatever the case).
    pub header: Option<(String, Option<String>)>,
    /// Fits where this place in the body fits `value`.
    pub path: Option<(JsonPath, ValueTest)>,
    /// What it means.
    pub action: ResponseAction,
}

/// What a value at a place in a body must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest {
    /// Anything but null.
    Present,
    /// One of these, as text.
    AnyOf(Vec<String>),
    /// None of these, as text, and there.
    NoneOf(Vec<String>),
    /// A text that holds this, whatever the case.
    Contains(String),
    /// A number in this range, both ends included.
    Between(i64, i64),
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseAction {
    /// A page as any other.
    Ok,
    /// Try again.
    Retry,
    /// Over a limit: wait, then try again.
    Throttled {
        /// Whose limit; the app's where nothing tells.
        scope: Option<Scope>,
        /// Where the wait is, the first that is there counts; `Retry-After` and its like where none is.
        wait: Vec<WaitSource>,
    },
    /// Sign in anew, then try again once.
    Reauthorise,
    /// Too much was asked for at once: ask for less.
    Split,
    /// The account is gone or closed to us: leave it out and go on.
    SkipAccount,
    /// What the request was to create is there already.
    Adopt {
        /// Where its id is.
        id: IdSource,
    },
    /// Give the unit up.
    Fail {
        /// Whose fault it is.
        fault: Fault,
    },
}

/// Where the id of what is there already is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdSource {
    /// At this place.
    Path(JsonPath),
    /// The word that follows a text at a place.
    Text {
        /// The place.
        path: JsonPath,
        /// The text before it.
        after: String,
    },
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The pipeline file's or the credentials': no other unit will fare better.
    Config,
    /// The platform's.
    Platform,
    /// hourmark's: it sent what it should not have sent.
    Us,
}

/// Where a wait is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitSource {
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// How it is written.
        unit: WaitUnit,
    },
    /// A place in the body.
    Body {
        /// The place.
        path: JsonPath,
        /// How it is written.
        unit: WaitUnit,
    },
    /// The number that follows a text at a place in the body.
    Text {
        /// The place.
        path: JsonPath,
        /// The text before the number, whatever its case.
        after: String,
        /// How it is written.
        unit: WaitUnit,
    },
    /// The first refusal waits the first, the next one the next, and the last for ever after.
    Steps(Vec<Duration>),
    /// Until the next midnight on this clock.
    Midnight(Tz),
}
