//! What a run did, as data; `cli` prints it.

use std::time::Duration;

use chrono::{DurationRound, TimeDelta};

use super::CampaignsFollowed;
use crate::decode::UnknownFields;
use crate::error::{Error, ErrorKind, Outcome};
use crate::lake::Published;
use crate::plan::{Ask, Plan};
use crate::quota::Use;
use crate::state::{Quarantined, RunSummary};
use crate::telemetry::Reading;
use crate::time::Instant;

/// How many failed units a report keeps with their reasons; the rest is counted.
pub(super) const FAILURES_SHOWN: usize = 50;

/// A unit that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitEnd {
    /// The account (or how many), and the window.
    pub unit: String,
    /// What the platform or the rows said.
    pub reason: String,
    /// Requests made for it.
    pub attempts: u32,
}

/// An account that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its id.
    pub account: String,
    /// What the platform said.
    pub reason: String,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The pipeline's name.
    pub pipeline: String,
    /// What was asked for.
    pub ask: Ask,
    /// What it did with quarantined units instead, in a word.
    pub errand: Option<&'static str>,
    /// Accounts looked at.
    pub accounts: usize,
    /// Units planned.
    pub planned: u64,
    /// Units published and recorded, earlier runs' staged ones included.
    pub published: u64,
    /// Of these, units that an earlier run had staged and that were not fetched again.
    pub leftovers: u64,
    /// Requests that were spared by them.
    pub spared: u64,
    /// Units of which nothing could be asked for, because their accounts are left out.
    pub left_out: u64,
    /// Units of hours that may have moved and for which the limits had nothing to spare: they stay due.
    pub postponed: u64,
    /// Units that failed.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<UnitEnd>,
    /// Units that broke a quality rule.
    pub quarantined: u64,
    /// The first of them.
    pub quarantines: Vec<UnitEnd>,
    /// Rows that broke a quality rule and were few enough to be kept all the same.
    pub rejected: u64,
    /// Partitions whose file was replaced.
    pub partitions: u64,
    /// Rows that are new in the lake.
    pub added: u64,
    /// Rows whose values changed.
    pub changed: u64,
    /// Rows that the platform took back.
    pub removed: u64,
    /// Rows in responses whose hour was not asked for.
    pub outside: u64,
    /// Fields of records that no column names, and how many records had them.
    pub unknown_fields: UnknownFields,
    /// Account-hours older than the platform answers.
    pub beyond_retention: u64,
    /// Bytes of Parquet encoded.
    pub bytes_written: u64,
    /// Bytes of Parquet carried over as they were.
    pub bytes_spliced: u64,
    /// Requests sent, all attempts.
    pub requests: u64,
    /// Of these, further attempts.
    pub retries: u64,
    /// Of these, refused for a limit.
    pub throttled: u64,
    /// Rows read.
    pub rows: u64,
    /// When the platform lets us come back, and why we wait.
    pub resume: Option<(Instant, String)>,
    /// Accounts that the platform no longer gives: left out.
    pub skipped: Vec<Skipped>,
    /// Where the limits stood when it ended.
    pub quotas: Vec<Use>,
    /// Everything left waits for the platform.
    pub waits: bool,
    /// Somebody stopped the run.
    pub stopped: bool,
    /// A failure that stops everything, as a refused token.
    pub fatal: Option<String>,
    /// What the mean answer took; `None` where none came.
    pub latency: Option<Duration>,
    /// Units whose responses could not be kept.
    pub cassettes_lost: u64,
    /// What was made of campaigns' attributes.
    pub campaigns: CampaignsFollowed,
    /// How long it took.
    pub elapsed: Duration,
}

impl RunReport {
    pub(super) fn new(pipeline: &str, ask: Ask) -> RunReport {
        RunReport {
            pipeline: pipeline.to_owned(),
            ask,
            errand: None,
            accounts: 0,
            planned: 0,
            published: 0,
            leftovers: 0,
            spared: 0,
            left_out: 0,
            postponed: 0,
            failed: 0,
            failures: Vec::new(),
            quarantined: 0,
            quarantines: Vec::new(),
            rejected: 0,
            partitions: 0,
            added: 0,
            changed: 0,
            removed: 0,
            outside: 0,
            unknown_fields: UnknownFields::default(),
            beyond_retention: 0,
            bytes_written: 0,
            bytes_spliced: 0,
            requests: 0,
            retries: 0,
            throttled: 0,
            rows: 0,
            resume: None,
            skipped: Vec::new(),
            quotas: Vec::new(),
            waits: false,
            stopped: false,
            fatal: None,
            latency: None,
            cassettes_lost: 0,
            campaigns: CampaignsFollowed::default(),
            elapsed: Duration::ZERO,
        }
    }

    /// How the run ended, for the exit code.
    pub fn outcome(&self) -> Outcome {
        if self.fatal.is_some() && self.published == 0 {
            Outcome::Failed(ErrorKind::Platform)
        } else if self.failed > 0 || self.quarantined > 0 || self.fatal.is_some() {
            Outcome::PartlyFailed
        } else if self.stopped {
            Outcome::Stopped
        } else if self.resume.is_some() {
            Outcome::Waiting
        } else {
            Outcome::Done
        }
    }

    /// How the run ended, in a word or two.
    pub fn outcome_word(&self) -> &'static str {
        match self.outcome() {
            _ if self.stopped => "stopped",
            Outcome::Done => "done",
            Outcome::Waiting => "waiting",
            Outcome::PartlyFailed => "partly failed",
            Outcome::Stopped => "stopped",
            Outcome::GapsFound | Outcome::Differs | Outcome::Failed(_) => "failed",
        }
    }

    /// Whether there is no sense in going on: the platform said wait, or refused for good.
    pub(super) fn ends_early(&self) -> bool {
        self.waits || self.fatal.is_some() || self.stopped
    }

    /// Planned units that are neither published nor failed nor quarantined. Those that an earlier run staged were not
    /// planned.
    pub(super) fn units_left(&self) -> u64 {
        let ended = self.failed + self.quarantined + self.left_out + self.postponed;
        self.planned.saturating_sub(self.published.saturating_sub(self.leftovers) + ended)
    }

    pub(super) fn add_plan(&mut self, plan: &Plan) {
        self.planned += plan.units.len() as u64;
        self.beyond_retention += plan.beyond_retention;
    }

    pub(super) fn add_partition(&mut self, published: &Published) {
        self.partitions += u64::from(published.written);
        self.added += published.added;
        self.changed += published.changed;
        self.removed += published.removed;
        self.bytes_written += published.bytes_written;
        self.bytes_spliced += published.bytes_spliced;
    }

    pub(super) fn add_failure(&mut self, unit: String, reason: String, attempts: u32) {
        self.failed += 1;
        if self.failures.len() < FAILURES_SHOWN {
            self.failures.push(UnitEnd { unit, reason, attempts });
        }
    }

    pub(super) fn add_quarantined(&mut self, entry: &Quarantined) {
        self.quarantined += 1;
        if self.quarantines.len() < FAILURES_SHOWN {
            let unit = format!("{} (unit {})", entry.unit, entry.unit.key.digest());
            let reason = entry.reason.clone();
            self.quarantines.push(UnitEnd { unit, reason, attempts: entry.requests });
        }
    }

    /// The earliest of the moments that units were told to come back at, in full seconds as it is shown: rounded up, or who
    /// comes back then would have to wait again.
    pub(super) fn come_back(&mut self, until: Instant, reason: String) {
        let until = until
            .duration_trunc(TimeDelta::seconds(1))
            .map_or(until, |floor| if floor < until { floor + TimeDelta::seconds(1) } else { floor });
        if self.resume.as_ref().is_none_or(|(known, _)| until < *known) {
            self.resume = Some((until, reason));
        }
    }

    pub(super) fn skip(&mut self, account: String, reason: String) {
        if self.skipped.iter().all(|skipped| skipped.account != account) {
            self.skipped.push(Skipped { account, reason });
        }
    }

    pub(super) fn take_counts(&mut self, counts: &Reading, elapsed: Duration) {
        self.requests = counts.requests;
        self.retries = counts.retries;
        self.throttled = counts.throttled;
        self.rows = counts.rows;
        self.elapsed = elapsed;
    }

    pub(super) fn summary(&self, error: Option<&Error>) -> RunSummary {
        let outcome = if error.is_some() { "failed" } else { self.outcome_word() };
        let note = match (error, &self.fatal, &self.resume) {
            (Some(error), _, _) => error.report(),
            (None, Some(fatal), _) => fatal.clone(),
            (None, None, Some((_, reason))) => reason.clone(),
            (None, None, None) if self.quarantined > 0 => format!("{} units are quarantined", self.quarantined),
            (None, None, None) => String::new(),
        };
        RunSummary {
            outcome: outcome.to_owned(),
            units_done: self.published,
            units_failed: self.failed,
            units_waiting: self.units_left(),
            rows_added: self.added,
            rows_changed: self.changed,
            rows_removed: self.removed,
            requests: self.requests,
            retries: self.retries,
            throttled: self.throttled,
            resume_at: self.resume.as_ref().map(|(until, _)| *until),
            latency: self.latency,
            note,
        }
    }
}
