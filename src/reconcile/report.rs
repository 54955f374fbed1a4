//! What a comparison found, as data; `cli` prints it.

use chrono::NaiveDate;

use crate::error::{ErrorKind, Outcome};
use crate::fetch::Gone;
use crate::pipeline::Metric;
use crate::time::Instant;
use crate::unit::Unit;

/// How many days that are not the same a report keeps; the rest is counted.
const DAYS_KEPT: usize = 10_000;
/// How many failed units a report keeps with their reasons; the rest is counted.
const FAILURES_KEPT: usize = 50;

/// What a comparison of one pipeline found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The pipeline's name.
    pub pipeline: String,
    /// What was compared.
    pub metrics: Vec<Metric>,
    /// Accounts looked at.
    pub accounts: usize,
    /// Days of accounts on which nothing differs by more than it may.
    pub same: u64,
    /// Days on which something does.
    pub differing: u64,
    /// Days of which hours are missing, so that they were not compared.
    pub incomplete: u64,
    /// Days that the platform did not answer for.
    pub unread: u64,
    /// Days that were asked for and are not settled.
    pub too_young: u64,
    /// The days that differ or are incomplete, by date, then account; the first of them where they are many.
    pub days: Vec<Day>,
    /// Units of the daily report that failed.
    pub failed: u64,
    /// The first of them, and why.
    pub failures: Vec<(String, String)>,
    /// Accounts that the platform no longer gives.
    pub left_out: Vec<Gone>,
    /// Requests sent, all attempts.
    pub requests: u64,
    /// When the platform lets us come back, and why we wait.
    pub resume: Option<(Instant, String)>,
    /// A failure that stops everything, as a refused token.
    pub fatal: Option<String>,
    /// Somebody stopped it.
    pub stopped: bool,
}

/// A day of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The account's id.
    pub account: String,
    /// The date on its clock.
    pub date: NaiveDate,
    /// What was found.
    pub state: DayState,
}

/// What was found about a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DayState {
    /// These metrics differ by more than they may.
    Differs(Vec<Compared>),
    /// It was not compared, because not every hour was read after it had settled.
    Incomplete {
        /// How many were not.
        missing: usize,
        /// How many hours the day has.
        hours: usize,
    },
}

/// The two sums of a metric over a day, in units of the metric's last digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The place in [`Reconciled::metrics`].
    pub metric: usize,
    /// The lake's; `None` where it has no value.
    pub lake: Option<i128>,
    /// The platform's; `None` where it gives none.
    pub platform: Option<i128>,
}

impl Compared {
    /// By how much the lake's sum is above the platform's. What is not there counts as nothing.
    pub fn difference(&self) -> i128 {
        self.lake.unwrap_or(0).saturating_sub(self.platform.unwrap_or(0))
    }
}

impl Reconciled {
    pub(super) fn new(pipeline: &str, metrics: &[Metric], accounts: usize) -> Reconciled {
        Reconciled {
            pipeline: pipeline.to_owned(),
            metrics: metrics.to_vec(),
            accounts,
            same: 0,
            differing: 0,
            incomplete: 0,
            unread: 0,
            too_young: 0,
            days: Vec::new(),
            failed: 0,
            failures: Vec::new(),
            left_out: Vec::new(),
            requests: 0,
            resume: None,
            fatal: None,
            stopped: false,
        }
    }

    /// Days that were compared.
    pub fn compared(&self) -> u64 {
        self.same + self.differing
    }

    /// How it ended, for the exit code. A difference that was found counts more than what could not be looked at.
    pub fn outcome(&self) -> Outcome {
        if self.differing > 0 {
            Outcome::Differs
        } else if self.fatal.is_some() && self.same == 0 {
            Outcome::Failed(ErrorKind::Platform)
        } else if self.failed > 0 {
            Outcome::PartlyFailed
        } else if self.stopped {
            Outcome::Stopped
        } else if self.resume.is_some() {
            Outcome::Waiting
        } else {
            Outcome::Done
        }
    }

    pub(super) fn add(&mut self, day: Day) {
        match day.state {
            DayState::Differs(_) => self.differing += 1,
            DayState::Incomplete { .. } => self.incomplete += 1,
        }
        if self.days.len() < DAYS_KEPT {
            self.days.push(day);
        }
    }

    pub(super) fn fail(&mut self, unit: &Unit, reason: String, attempts: u32) {
        self.failed += 1;
        tracing::warn!(unit = %unit.key, attempts, "the daily report failed: {reason}");
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push((unit.to_string(), reason));
        }
    }

    pub(super) fn leave_out(&mut self, gone: &Gone) {
        if self.left_out.iter().all(|known| known.account != gone.account) {
            self.left_out.push(gone.clone());
        }
    }

    pub(super) fn sort(&mut self) {
        self.days.sort_by(|one, other| (one.date, &one.account).cmp(&(other.date, &other.account)));
    }
}
