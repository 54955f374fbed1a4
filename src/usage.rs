//! What answers' headers tell of the platform's limits: how much is used, what is left, and until when.
//!
//! It is told on refusals as on successes, so every answer is read, refusals first. What is not understood is left
//! alone: a header never makes a good answer a bad one.
//!
//! | [`UsageSource`] | what is read | of several |
//! |---|---|---|
//! | `Headers` | a number each for the limit, what is left of it, and when it is whole again | the one with the least left |
//! | `RateLimit` | both forms of the IETF drafts | the named one; else the one exhausted for the longest; else the least left |
//! | `Json` | percentages and a wait inside a header's JSON | the highest, and the longest |
//!
//! Moments are measured from the answer's own `Date`, so that a wrong clock here does not matter.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::pipeline::{Endpoint, JsonPath, Scope, Step, UsageRule, UsageSource, WaitUnit};
use crate::time::Instant;

pub(crate) mod limits;
pub(crate) mod wait;

/// Stands for an account's id in the places of [`UsageSource::Json`].
const ACCOUNT: &str = "{account}";

/// What was told of a limit, and whose limit it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Whose limit.
    pub scope: Whose,
    /// Only this quota of the scope; all of them where it is not said.
    pub quota: Option<String>,
    /// What was told.
    pub said: Said,
}

/// Whose limit was told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// The app's.
    App,
    /// That of the account with this id.
    Account(String),
    /// That of one kind of request.
    Endpoint(Endpoint),
}

impl Whose {
    /// What kind of thing it is.
    pub fn scope(&self) -> Scope {
        match self {
            Whose::App => Scope::App,
            Whose::Account(_) => Scope::Account,
            Whose::Endpoint(_) => Scope::Endpoint,
        }
    }

    /// What [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Whose> {
        match text.split_once(' ') {
            None if text == "app" => Some(Whose::App),
            Some(("account", id)) => Some(Whose::Account(id.to_owned())),
            Some(("endpoint", word)) => {
                Endpoint::ALL.into_iter().find(|endpoint| endpoint.word() == word).map(Whose::Endpoint)
            }
            _ => None,
        }
    }
}

/// `app`, `account 100001`, `endpoint metrics`: for people and for the state.
impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose::App => f.write_str("app"),
            Whose::Account(id) => write!(f, "account {id}"),
            Whose::Endpoint(endpoint) => write!(f, "endpoint {}", endpoint.word()),
        }
    }
}

/// What was told of a limit; never nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Said {
    /// Units in a period.
    pub limit: Option<u32>,
    /// Units that are left of it.
    pub remaining: Option<u32>,
    /// How much of it is used, 0 to 100; more where the platform counts on.
    pub percent: Option<f64>,
    /// Until it is whole again, or until access is regained. Zero where that moment has passed.
    pub wait: Option<Duration>,
}

impl Said {
    fn is_empty(&self) -> bool {
        *self == Said::default()
    }
}

/// Reads what the headers of an answer tell, by `rules` in their order. `accounts` are those that the request was about
/// and `endpoint` is its kind; `now` is when the answer came. Of an account's limit there is one [`Told`] for each of
/// `accounts`.
pub fn read(
    rules: &[UsageRule],
    headers: &HeaderMap,
    accounts: &[String],
    endpoint: Endpoint,
    now: Instant,
) -> Vec<Told> {
    let from = wait::said_at(headers, now);
    let mut told = Vec::new();
    for rule in rules {
        let mut tell = |scope: Whose, said: Said| {
            if !said.is_empty() {
                told.push(Told { scope, quota: rule.quota.clone(), said });
            }
        };
        match rule.scope {
            Scope::App => tell(Whose::App, said(&rule.source, headers, accounts, from)),
            Scope::Endpoint => tell(Whose::Endpoint(endpoint), said(&rule.source, headers, accounts, from)),
            Scope::Account => {
                for account in accounts {
                    let said = said(&rule.source, headers, std::slice::from_ref(account), from);
                    tell(Whose::Account(account.clone()), said);
                }
            }
        }
    }
    told
}

/// The headers that are read where a pipeline declares neither quotas nor where their use is told.
pub fn built_in() -> Vec<UsageRule> {
    let headers = |family: &str| UsageSource::Headers {
        limit: Some(format!("{family}-Limit")),
        remaining: Some(format!("{family}-Remaining")),
        reset: Some((format!("{family}-Reset"), WaitUnit::Auto)),
    };
    let drafts = UsageSource::RateLimit { header: "RateLimit".to_owned(), policy: None };
    let sources = [headers("X-RateLimit"), headers("X-Rate-Limit"), headers("RateLimit"), drafts];
    sources.map(|source| UsageRule { scope: Scope::App, quota: None, source }).into()
}

fn said(source: &UsageSource, headers: &HeaderMap, accounts: &[String], from: Instant) -> Said {
    match source {
        UsageSource::Headers { limit, remaining, reset } => {
            limits::in_headers(headers, limit.as_deref(), remaining.as_deref(), reset.as_ref(), from)
        }
        UsageSource::RateLimit { header, policy } => limits::in_rate_limit(headers, header, policy.as_deref(), from),
        UsageSource::Json { header, percent, wait } => {
            let Some(document) = documents(headers, header) else { return Said::default() };
            let percent = percent.iter().flat_map(|path| numbers(&document, path, accounts)).reduce(f64::max);
            let wait = wait.as_ref().and_then(|(path, unit)| {
                let texts = texts(&document, path, accounts);
                texts.iter().filter_map(|text| wait::read(text, *unit, from)).max()
            });
            Said { percent, wait, ..Said::default() }
        }
    }
}

/// The documents in a header: usually one, several where it comes several times.
fn documents(headers: &HeaderMap, name: &str) -> Option<Value> {
    // As a list, so that a header in several parts and several headers are both read.
    let text = wait::joined(headers, name)?;
    serde_json::from_str(&format!("[{text}]")).ok()
}

fn numbers(document: &Value, path: &JsonPath, accounts: &[String]) -> Vec<f64> {
    let numbers = texts(document, path, accounts).into_iter().filter_map(|text| wait::number(&text));
    numbers.filter(|number| number.is_finite()).map(|number| number.max(0.0)).collect()
}

/// The scalars at `path` of each document, for each account where the path asks for them.
fn texts(document: &Value, path: &JsonPath, accounts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for path in about(path, accounts) {
        found.extend(path.values_in(document).into_iter().filter_map(text_of));
    }
    found
}

/// `path` in each of the documents, with the accounts' ids in it.
fn about(path: &JsonPath, accounts: &[String]) -> Vec<JsonPath> {
    let within = |account: Option<&String>| {
        let mut steps = vec![Step::Each];
        for step in &path.0 {
            steps.push(match (step, account) {
                (Step::Key(key), Some(account)) => Step::Key(key.replace(ACCOUNT, account)),
                _ => step.clone(),
            });
        }
        JsonPath(steps)
    };
    let asks = path.0.iter().any(|step| matches!(step, Step::Key(key) if key.contains(ACCOUNT)));
    if asks { accounts.iter().map(|account| within(Some(account))).collect() } else { vec![within(None)] }
}

/// A scalar as text.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
