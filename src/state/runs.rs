//! Runs: when each began, how it ended and what it did. The last 1000 of each pipeline are kept.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::State;
use super::trouble::Trouble;
use super::values::{count, moment, seconds, stored};
use crate::error::{Error, Result};
use crate::time::Instant;

/// How many runs of a pipeline are kept.
const KEPT: i64 = 1000;

/// A run's number; later runs have greater ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(i64);

impl RunId {
    /// The number.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// What a run was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// What is due now.
    Hourly,
    /// Hours named by dates.
    Backfill,
    /// Hours that are missing though they were due.
    Repair,
}

impl RunKind {
    /// The word for it, as in the state and in reports.
    pub fn word(self) -> &'static str {
        match self {
            RunKind::Hourly => "hourly",
            RunKind::Backfill => "backfill",
            RunKind::Repair => "repair",
        }
    }

    /// The kind that `word` names.
    pub fn parse(word: &str) -> Option<RunKind> {
        [RunKind::Hourly, RunKind::Backfill, RunKind::Repair].into_iter().find(|kind| kind.word() == word)
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunSummary {
    /// How it ended, in one word for reports.
    pub outcome: String,
    /// Units that were published.
    pub units_done: u64,
    /// Units that were given up.
    pub units_failed: u64,
    /// Units that were due and are left for a later run.
    pub units_waiting: u64,
    /// Rows that the lake did not have.
    pub rows_added: u64,
    /// Rows whose values differed.
    pub rows_changed: u64,
    /// Rows that the platform took back.
    pub rows_removed: u64,
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Of these, those sent again after a failure.
    pub retries: u64,
    /// Answers that said "too many requests".
    pub throttled: u64,
    /// When to come back, where it ended waiting for quota.
    pub resume_at: Option<Instant>,
    /// What the mean answer took; `None` where none came.
    pub latency: Option<Duration>,
    /// Anything else worth a line; empty otherwise.
    pub note: String,
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// It is under way.
    Running,
    /// Its process ended without saying so.
    Interrupted,
    /// It ended.
    Ended {
        /// When.
        at: Instant,
        /// What it did.
        summary: RunSummary,
    },
}

/// One run, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number.
    pub id: RunId,
    /// Whose.
    pub pipeline: String,
    /// What it was asked for.
    pub kind: RunKind,
    /// When it began.
    pub started_at: Instant,
    /// How it stands.
    pub end: RunEnd,
}

impl RunRecord {
    /// What it did, where it has ended.
    pub fn summary(&self) -> Option<&RunSummary> {
        match &self.end {
            RunEnd::Running | RunEnd::Interrupted => None,
            RunEnd::Ended { summary, .. } => Some(summary),
        }
    }

    /// How it stands, in a word or two.
    pub fn outcome(&self) -> &str {
        match &self.end {
            RunEnd::Running => "running",
            RunEnd::Interrupted => "interrupted",
            RunEnd::Ended { summary, .. } => &summary.outcome,
        }
    }

    /// When the platform lets the next run come back, where it ended waiting.
    pub fn resume_at(&self) -> Option<Instant> {
        self.summary().and_then(|summary| summary.resume_at)
    }
}

impl State {
    /// Records that a run begins, and forgets all but the last runs of `pipeline`. Whoever calls holds its lease.
    pub async fn begin_run(&self, pipeline: &str, kind: RunKind, now: Instant) -> Result<RunId> {
        let work = async {
            let mut transaction = self.begin().await?;
            let id: i64 =
                sqlx::query_scalar("INSERT INTO runs (pipeline, kind, started_at) VALUES ($1, $2, $3) RETURNING id")
                    .bind(pipeline)
                    .bind(kind.word())
                    .bind(seconds(now))
                    .fetch_one(&mut *transaction)
                    .await?;
            sqlx::query(
                "DELETE FROM runs WHERE pipeline = $1 AND id <= \
                 (SELECT id FROM runs WHERE pipeline = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)",
            )
            .bind(pipeline)
            .bind(KEPT)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<RunId, Trouble>(RunId(id))
        };
        work.await.map_err(|trouble| self.failed("record the beginning of a run in", trouble))
    }

    /// Records how a run ended.
    pub async fn end_run(&self, id: RunId, summary: &RunSummary, now: Instant) -> Result<()> {
        let work = async {
            sqlx::query(
                "UPDATE runs SET ended_at = $2, outcome = $3, units_done = $4, units_failed = $5, units_waiting = $6, \
                 rows_added = $7, rows_changed = $8, rows_removed = $9, requests = $10, retries = $11, \
                 throttled = $12, resume_at = $13, note = $14, latency_ms = $15 WHERE id = $1",
            )
            .bind(id.0)
            .bind(seconds(now))
            .bind(&summary.outcome)
            .bind(stored(summary.units_done))
            .bind(stored(summary.units_failed))
            .bind(stored(summary.units_waiting))
            .bind(stored(summary.rows_added))
            .bind(stored(summary.rows_changed))
            .bind(stored(summary.rows_removed))
            .bind(stored(summary.requests))
            .bind(stored(summary.retries))
            .bind(stored(summary.throttled))
            .bind(summary.resume_at.map(seconds))
            .bind(&summary.note)
            .bind(summary.latency.map(|latency| stored(latency.as_millis() as u64)))
            .execute(&self.writer)
            .await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record the end of a run in", trouble))
    }

    /// The last `limit` runs of `pipeline`, newest first.
    pub async fn last_runs(&self, pipeline: &str, limit: usize) -> Result<Vec<RunRecord>> {
        let work = async {
            let rows = sqlx::query("SELECT * FROM runs WHERE pipeline = $1 ORDER BY id DESC LIMIT $2")
                .bind(pipeline)
                .bind(stored(limit as u64))
                .fetch_all(&self.readers)
                .await?;
            let mut runs = Vec::with_capacity(rows.len());
            for row in &rows {
                let unended = if runs.is_empty() { self.unended(pipeline)? } else { RunEnd::Interrupted };
                runs.push(run_from(row, unended)?);
            }
            Ok::<_, Trouble>(runs)
        };
        work.await.map_err(|trouble| self.failed("list the runs in", trouble))
    }

    /// When the last run of `pipeline` asked to come back, and its note, where it ended waiting for quota.
    pub async fn waiting_until(&self, pipeline: &str) -> Result<Option<(Instant, String)>> {
        let work = async {
            let last: Option<(Option<i64>, String)> =
                sqlx::query_as("SELECT resume_at, note FROM runs WHERE pipeline = $1 ORDER BY id DESC LIMIT 1")
                    .bind(pipeline)
                    .fetch_optional(&self.readers)
                    .await?;
            let Some((Some(resume_at), note)) = last else { return Ok(None) };
            Ok::<_, Trouble>(Some((moment(resume_at)?, note)))
        };
        work.await.map_err(|trouble| self.failed("read the last run in", trouble))
    }

    /// How the newest run of `pipeline` stands where it has no end. Older ones without an end were interrupted:
    /// runs of one pipeline never overlap.
    pub(super) fn unended(&self, pipeline: &str) -> Result<RunEnd> {
        Ok(if self.is_held(pipeline)? { RunEnd::Running } else { RunEnd::Interrupted })
    }
}

/// A row of `runs`; `unended` is how it stands where it has no end.
pub(super) fn run_from(row: &SqliteRow, unended: RunEnd) -> Result<RunRecord, Trouble> {
    let kind: String = row.try_get("kind")?;
    let Some(kind) = RunKind::parse(&kind) else {
        return Err(Error::storage(format!("a run has the kind `{kind}`, which this program does not know")).into());
    };
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    let end = match ended_at {
        None => unended,
        Some(at) => RunEnd::Ended { at: moment(at)?, summary: summary_from(row)? },
    };
    Ok(RunRecord {
        id: RunId(row.try_get("id")?),
        pipeline: row.try_get("pipeline")?,
        kind,
        started_at: moment(row.try_get("started_at")?)?,
        end,
    })
}

fn summary_from(row: &SqliteRow) -> Result<RunSummary, Trouble> {
    let resume_at: Option<i64> = row.try_get("resume_at")?;
    let latency: Option<i64> = row.try_get("latency_ms")?;
    Ok(RunSummary {
        latency: latency.map(|milliseconds| Duration::from_millis(count(milliseconds))),
        outcome: row.try_get("outcome")?,
        units_done: count(row.try_get("units_done")?),
        units_failed: count(row.try_get("units_failed")?),
        units_waiting: count(row.try_get("units_waiting")?),
        rows_added: count(row.try_get("rows_added")?),
        rows_changed: count(row.try_get("rows_changed")?),
        rows_removed: count(row.try_get("rows_removed")?),
        requests: count(row.try_get("requests")?),
        retries: count(row.try_get("retries")?),
        throttled: count(row.try_get("throttled")?),
        resume_at: resume_at.map(moment).transpose()?,
        note: row.try_get("note")?,
    })
}
