//! The lines of a cassette as types. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::time::{Instant, Window};
use crate::unit::{Account, Lane, Unit, UnitKey};

/// The format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The first line: what was recorded, when and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format's number.
    pub cassette: u32,
    /// The version of the program that recorded it.
    pub hourmark: String,
    /// The version of that program's time zone data.
    pub time_zone_data: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// A digest of the pipeline file's text.
    pub pipeline_digest: String,
    /// The run that recorded it.
    pub run: RecordedRun,
    /// The unit; a list of accounts has none.
    pub unit: Option<RecordedUnit>,
    /// The unit's accounts but for those that were gone, or the accounts that were listed.
    pub accounts: Vec<RecordedAccount>,
    /// The part of the unit's window whose hours had ended.
    pub closed: Option<Span>,
    /// When the first request was sent.
    pub fetched_at: Instant,
    /// Requests sent, all attempts.
    pub requests: u32,
    /// Accounts that the platform no longer gave.
    #[serde(default)]
    pub gone: Vec<GoneAccount>,
    /// Why the unit has no rows, where it failed.
    #[serde(default)]
    pub failed: Option<Failure>,
}

/// A run, as a cassette names it. Its number is that of the state of that time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordedRun {
    /// When it began.
    pub started_at: Instant,
    /// Its number.
    pub id: i64,
}

/// A unit, as a cassette names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedUnit {
    /// Its key.
    pub key: String,
    /// The word for its lane.
    pub lane: String,
    /// What was asked for.
    pub window: Span,
}

/// An account, as a cassette names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedAccount {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its time zone's IANA name.
    pub time_zone: String,
    /// Its currency.
    pub currency: String,
    /// What it was found under; cassettes of before there were parents do not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
}

/// An account that the platform no longer gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneAccount {
    /// Its id.
    pub account: String,
    /// What the platform said.
    pub why: String,
}

/// Why a unit failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub reason: String,
    /// How often the request that failed was sent.
    pub attempts: u32,
    /// When it was given up.
    pub at: Instant,
}

/// A window as two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first moment inside.
    pub from: Instant,
    /// The first moment after it.
    pub to: Instant,
}

/// Every line but the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// What the pages of a part are decoded with; holds for the exchanges that name its number, until it comes again.
    Part(PartLine),
    /// A request and what came of it.
    Exchange(Box<Exchange>),
    /// Of the pages taken so far only the first `keep` remain: a token died, or less was asked for.
    Dropped {
        /// How many remain.
        keep: u32,
    },
    /// The pipeline file; only in exported files.
    Pipeline {
        /// Its name.
        file: String,
        /// What it holds.
        text: String,
    },
    /// The end; a file without it was cut off.
    End {
        /// How many exchanges there are.
        exchanges: u32,
    },
}

/// What the pages of a part are decoded with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLine {
    /// The part's number.
    pub part: u32,
    /// The ids of its accounts, in their order.
    pub accounts: Vec<String>,
    /// Rows of other hours are left away.
    pub window: Span,
    /// What was asked for, where that is more than the hours that had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Span>,
    /// Names of campaigns by id, where rows do not carry them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub campaign_names: BTreeMap<String, String>,
    /// Currencies of campaigns by id, where neither rows nor accounts tell them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub campaign_currencies: BTreeMap<String, String>,
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exchange {
    /// The word for what it asked for: accounts, campaigns, metrics, create, poll, download.
    pub endpoint: String,
    /// The part that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// Whether its page was taken into the unit's rows.
    #[serde(default)]
    pub taken: bool,
    /// Whether nothing was sent: the answer was kept from an earlier run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// `GET` or `POST`.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The request's headers that are no secrets.
    #[serde(default)]
    pub request_headers: Vec<(String, String)>,
    /// What was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body: Option<String>,
    /// The answer's status; none where there was no answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The answer's headers, the harmless ones.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The answer's body, decompressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl Exchange {
    /// The answer's body as it came, but for secrets.
    ///
    /// # Errors
    /// Base64 that is none.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => Ok(text.clone().into_bytes()),
            (None, Some(text)) => STANDARD
                .decode(text)
                .map_err(|error| Error::storage("the body of an exchange is not base64").because(error)),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Sets the body: as text where it is UTF-8.
    pub fn set_body(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.body = Some(text.to_owned()),
            Err(_) => self.body_base64 = Some(STANDARD.encode(bytes)),
        }
    }
}

impl Header {
    /// Reads a first line.
    ///
    /// # Errors
    /// A line that is no header, or a format that is newer than this program's.
    pub fn parse(line: &str) -> Result<Header> {
        #[derive(Deserialize)]
        struct Format {
            cassette: u32,
        }
        let format: Format = serde_json::from_str(line)
            .map_err(|error| Error::bad_input("it is not a cassette: no header").because(error))?;
        if format.cassette > FORMAT {
            let found = format.cassette;
            return Err(Error::bad_input(format!("it has the format {found}, and this program reads up to {FORMAT}"))
                .hint("a newer hourmark recorded it: use that one"));
        }
        serde_json::from_str(line).map_err(|error| Error::storage("its header cannot be read").because(error))
    }

    /// The accounts as the program has them.
    ///
    /// # Errors
    /// A time zone that this program does not know.
    pub fn accounts(&self) -> Result<Vec<Account>> {
        self.accounts.iter().map(RecordedAccount::account).collect()
    }

    /// The unit as it was staged; `None` for a list of accounts.
    ///
    /// # Errors
    /// A time zone or lane that this program does not know, or an empty window.
    pub fn unit(&self) -> Result<Option<Unit>> {
        let Some(unit) = &self.unit else { return Ok(None) };
        let Some(lane) = Lane::parse(&unit.lane) else {
            return Err(Error::storage(format!("its lane is `{}`, which this program does not know", unit.lane)));
        };
        let (key, window) = (UnitKey::from_stored(&unit.key), unit.window.window()?);
        Ok(Some(Unit { key, lane, accounts: self.accounts()?, window }))
    }
}

impl RecordedAccount {
    fn account(&self) -> Result<Account> {
        let time_zone = self.time_zone.parse().map_err(|_| {
            let (id, zone) = (&self.id, &self.time_zone);
            Error::storage(format!("account `{id}` is in the time zone `{zone}`, which this program does not know"))
        })?;
        let (id, name) = (self.id.clone(), self.name.clone());
        Ok(Account { id, name, time_zone, currency: self.currency.clone(), parent: self.parent.clone() })
    }
}

impl From<&Account> for RecordedAccount {
    fn from(account: &Account) -> RecordedAccount {
        RecordedAccount {
            id: account.id.clone(),
            name: account.name.clone(),
            time_zone: account.time_zone.name().to_owned(),
            currency: account.currency.clone(),
            parent: account.parent.clone(),
        }
    }
}

impl From<&Unit> for RecordedUnit {
    fn from(unit: &Unit) -> RecordedUnit {
        RecordedUnit {
            key: unit.key.as_str().to_owned(),
            lane: unit.lane.word().to_owned(),
            window: unit.window.into(),
        }
    }
}

impl From<Window> for Span {
    fn from(window: Window) -> Span {
        Span { from: window.from(), to: window.to() }
    }
}

impl Span {
    /// The window.
    ///
    /// # Errors
    /// An empty one.
    pub fn window(self) -> Result<Window> {
        Window::new(self.from, self.to).ok_or_else(|| Error::storage("it has an empty window"))
    }
}

/// Whether a response header may be recorded: those that say what an answer is and how much of a limit is used. Others
/// may set cookies or name people. `declared` are the names that the pipeline file reads, in lower case.
pub fn is_harmless(name: &str, declared: &[String]) -> bool {
    const PLAIN: [&str; 6] = ["content-type", "link", "retry-after", "date", "etag", "cache-control"];
    let limit = (name.contains("rate") && name.contains("limit")) || name.ends_with("-usage");
    let secret = name.contains("cookie") || name.contains("auth") || name.contains("token");
    !secret && (PLAIN.contains(&name) || limit || declared.iter().any(|declared| declared == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_they_were_written() {
        let mut exchange = Exchange { endpoint: "metrics".to_owned(), taken: true, ..Exchange::default() };
        exchange.set_body(b"{\"data\": []}\n");
        let mut binary = Exchange { error: Some("reset".to_owned()), ..Exchange::default() };
        binary.set_body(&[0xff, 0, 1]);
        assert_eq!(binary.bytes().expect("bytes"), [0xff, 0, 1]);
        for line in [
            Line::Exchange(Box::new(exchange)),
            Line::Exchange(Box::new(binary)),
            Line::Dropped { keep: 2 },
            Line::End { exchanges: 1 },
        ] {
            let text = serde_json::to_string(&line).expect("a line");
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(serde_json::from_str::<Line>(&text).expect(&text), line);
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_the_way_out() {
        let error = Header::parse(r#"{"cassette": 2, "something": "new"}"#).expect_err("newer");
        assert!(error.report().contains("format 2") && error.report().contains("newer hourmark"), "{}", error.report());
        assert!(Header::parse("{\"data\": []}").expect_err("no header").report().contains("not a cassette"));
    }

    #[test]
    fn only_harmless_headers_are_kept() {
        let declared = ["x-busy".to_owned(), "set-cookie".to_owned()];
        for name in ["content-type", "link", "retry-after", "x-ratelimit-remaining", "x-app-usage", "x-busy"] {
            assert!(is_harmless(name, &declared), "{name}");
        }
        for name in ["set-cookie", "authorization", "x-user", "content-encoding", "x-rate-limit-token"] {
            assert!(!is_harmless(name, &declared), "{name}");
        }
    }
}
