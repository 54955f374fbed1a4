//! Windows, quotas, retries, what answers mean, and where rows go.

use std::time::Duration;

use super::JsonPath;

/// What a request may ask for at once, and which hours are asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRules {
    /// Hours on their own, or whole days on a clock.
    pub align: Align,
    /// How many of them in one request.
    pub size: u32,
    /// How long after its end an hour is asked for at the earliest.
    pub settle: Duration,
    /// Ages of a window's end at which it is asked for again.
    pub refresh: Vec<Duration>,
    /// Hours younger than this are asked for in every run.
    pub lookback: Duration,
    /// How far back the first run of a new account goes.
    pub history: Duration,
    /// How far back the platform answers at all.
    pub retention: Option<Duration>,
}

/// What windows are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Hours of the account's clock.
    Hour,
    /// Days on the account's clock.
    AccountDay,
    /// Days in UTC.
    UtcDay,
}

/// One of the platform's limits: so many requests in any stretch of `per`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// For reports.
    pub name: String,
    /// Requests in a period.
    pub requests: u32,
    /// The period.
    pub per: Duration,
    /// What it is counted by.
    pub scope: Scope,
    /// How many may go at once after a pause.
    pub burst: u32,
    /// The share of it that is used, because a server counts a request somewhere between its sending and its answer.
    pub safety: f64,
}

/// What a quota is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All requests of the pipeline.
    App,
    /// The requests of one account.
    Account,
}

/// How failures that may pass are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The first wait's upper bound; doubled each time.
    pub base: Duration,
    /// No wait of our own is longer.
    pub cap: Duration,
    /// A wait that the platform asks for and that is longer than this ends the run with "waiting".
    pub max_wait: Duration,
}

/// What a particular answer means; the first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRule {
    /// Fits this status only.
    pub status: Option<u16>,
    /// Fits where this place in the body holds `equals` (or anything but null, where that is `None`).
    pub path: Option<JsonPath>,
    /// The value, as text.
    pub equals: Option<String>,
    /// What it means.
    pub action: ResponseAction,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseAction {
    /// A page as any other.
    Ok,
    /// Try again.
    Retry,
    /// Over a limit: wait, then try again.
    Throttled,
    /// Give the unit up.
    Fail,
}

/// What becomes of rows that a re-fetch does not bring again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Missing {
    /// They stay.
    Keep,
    /// They go, unless that would take more than this share of the accounts' rows of that day.
    Drop {
        /// 0 to 1.
        max_share: f64,
    },
}

/// Where the rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeLayout {
    /// One file per day, or per hour.
    pub partition_by: PartitionBy,
    /// Files per partition, by a hash of the account's id.
    pub buckets: u16,
}

/// The lake's folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionBy {
    /// `date=YYYY-MM-DD/bucket-BB.parquet`.
    Date,
    /// `date=YYYY-MM-DD/utc_hour=HH/bucket-BB.parquet`.
    DateHour,
}
