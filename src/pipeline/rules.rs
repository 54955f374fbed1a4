//! Windows, retries, and where rows go.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a request may ask for at once, and which hours are asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRules {
    /// Hours on their own, or whole days on a clock.
    pub align: Align,
    /// How many of them in one request.
    pub size: u32,
    /// How long after its end an hour is asked for at the earliest.
    pub settle: Duration,
    /// Ages at which hours are asked for again.
    pub refresh: Vec<Duration>,
    /// Ages for single accounts, by id, in place of those.
    pub account_refresh: BTreeMap<String, Vec<Duration>>,
    /// Whether the ages follow what was seen to move.
    pub learn: bool,
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

/// How failures that may pass are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The time from a request's first sending after which it is not tried again, waits for quotas not counted.
    pub total: Duration,
    /// The first wait's upper bound; doubled each time.
    pub base: Duration,
    /// No wait of our own is longer.
    pub cap: Duration,
    /// A wait that the platform asks for and that is longer than this ends the run with "waiting".
    pub max_wait: Duration,
}

impl Retry {
    /// The longest wait that is waited for: a refusal's wait of `max_wait` is lengthened by up to a tenth, which must not
    /// turn it into one that is too long.
    pub fn patience(&self) -> Duration {
        self.max_wait.saturating_add(self.max_wait / 8)
    }
}

/// How long and how many responses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw {
    /// For so long.
    pub age: Duration,
    /// The bytes of all of them together, compressed; the oldest go first.
    pub size: u64,
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
