//! Units that are staged and wait to be published, and units that failed.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::creations::end_with_unit;
use super::quarantine::forget_release;
use super::trouble::Trouble;
use super::values::{accounts_from, accounts_text, count, moment, seconds, small_count, stored, window};
use super::{Lease, State};
use crate::error::{Error, Result};
use crate::time::{Instant, Window};
use crate::unit::{Lane, Unit, UnitKey};

/// A unit whose rows are in the lake's staging and not yet visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedUnit {
    /// What was asked for.
    pub unit: Unit,
    /// The part of its window whose hours were over when it was fetched.
    pub window: Window,
    /// When its first request was sent: nothing it holds is older.
    pub fetched_at: Instant,
    /// How many rows it has.
    pub rows: u64,
    /// How many requests it took.
    pub requests: u32,
    /// The slots of hours of which the platform gave no row, by account.
    pub empty: EmptyHours,
}

/// Slots by account id.
pub type EmptyHours = BTreeMap<String, BTreeSet<i64>>;

/// A unit that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedUnit {
    /// What was asked for.
    pub unit: Unit,
    /// Why it failed, for people.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was given up.
    pub at: Instant,
}

/// One row of `units` to be written.
struct UnitRow<'a> {
    unit: &'a Unit,
    status: &'static str,
    closed: Option<Window>,
    rows: u64,
    requests: u32,
    empty: String,
    attempts: u32,
    reason: &'a str,
    at: Instant,
}

impl State {
    /// Records that a unit is staged, in place of whatever was known under its key, and ends its creations.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn record_staged(&self, lease: &Lease, staged: &StagedUnit) -> Result<()> {
        let row = UnitRow {
            unit: &staged.unit,
            status: "staged",
            closed: Some(staged.window),
            rows: staged.rows,
            requests: staged.requests,
            empty: empty_text(&staged.empty),
            attempts: 0,
            reason: "",
            at: staged.fetched_at,
        };
        let work = self.record_unit(lease, row);
        work.await.map_err(|trouble| self.failed("record a staged unit in", trouble))
    }

    /// Records that a unit failed, in place of whatever was known under its key: a unit whose staged rows turned out
    /// to be unreadable is no longer listed as staged. Its creations end.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn record_failed(&self, lease: &Lease, failed: &FailedUnit) -> Result<()> {
        let row = UnitRow {
            unit: &failed.unit,
            status: "failed",
            closed: None,
            rows: 0,
            requests: 0,
            empty: String::new(),
            attempts: failed.attempts,
            reason: &failed.reason,
            at: failed.at,
        };
        let work = self.record_unit(lease, row);
        work.await.map_err(|trouble| self.failed("record a failed unit in", trouble))
    }

    /// The staged units of `pipeline` that were not published, by key.
    pub async fn staged_units(&self, pipeline: &str) -> Result<Vec<StagedUnit>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT key, lane, accounts, window_from, window_to, closed_from, closed_to, row_count, requests, at, empty \
                 FROM units WHERE pipeline = $1 AND status = 'staged' ORDER BY key",
            )
            .bind(pipeline)
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(staged_from).collect::<Result<Vec<StagedUnit>, Trouble>>()
        };
        work.await.map_err(|trouble| self.failed("list the staged units in", trouble))
    }

    /// The newest published units of `pipeline`, at most `most`; `fetched_at` is when they were published.
    pub async fn published_units(&self, pipeline: &str, most: u32) -> Result<Vec<StagedUnit>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT key, lane, accounts, window_from, window_to, closed_from, closed_to, row_count, requests, at, empty \
                 FROM units WHERE pipeline = $1 AND status = 'published' ORDER BY at DESC, key LIMIT $2",
            )
            .bind(pipeline)
            .bind(i64::from(most))
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(staged_from).collect::<Result<Vec<StagedUnit>, Trouble>>()
        };
        work.await.map_err(|trouble| self.failed("list the published units in", trouble))
    }

    /// The units of `pipeline` whose last attempt failed and whose hours no later unit has brought, newest failure
    /// first. A failure that is older than 90 days is forgotten; its hours are still missing in the ledger.
    pub async fn failed_units(&self, pipeline: &str) -> Result<Vec<FailedUnit>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT key, lane, accounts, window_from, window_to, attempts, reason, at FROM units \
                 WHERE pipeline = $1 AND status = 'failed' ORDER BY at DESC, key",
            )
            .bind(pipeline)
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(failed_from).collect::<Result<Vec<FailedUnit>, Trouble>>()
        };
        work.await.map_err(|trouble| self.failed("list the failed units in", trouble))
    }

    async fn record_unit(&self, lease: &Lease, row: UnitRow<'_>) -> Result<(), Trouble> {
        let mut transaction = self.begin().await?;
        lease.guard(&mut transaction).await?;
        sqlx::query(
            "INSERT INTO units (pipeline, key, lane, status, accounts, window_from, window_to, closed_from, \
             closed_to, row_count, requests, attempts, reason, at, empty) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
             ON CONFLICT (pipeline, key) DO UPDATE SET lane = excluded.lane, status = excluded.status, \
             accounts = excluded.accounts, window_from = excluded.window_from, window_to = excluded.window_to, \
             closed_from = excluded.closed_from, closed_to = excluded.closed_to, row_count = excluded.row_count, \
             requests = excluded.requests, attempts = excluded.attempts, reason = excluded.reason, at = excluded.at, \
             empty = excluded.empty",
        )
        .bind(lease.pipeline())
        .bind(row.unit.key.as_str())
        .bind(row.unit.lane.word())
        .bind(row.status)
        .bind(accounts_text(&row.unit.accounts)?)
        .bind(seconds(row.unit.window.from()))
        .bind(seconds(row.unit.window.to()))
        .bind(row.closed.map(|closed| seconds(closed.from())))
        .bind(row.closed.map(|closed| seconds(closed.to())))
        .bind(stored(row.rows))
        .bind(i64::from(row.requests))
        .bind(i64::from(row.attempts))
        .bind(row.reason)
        .bind(seconds(row.at))
        .bind(row.empty)
        .execute(&mut *transaction)
        .await?;
        end_with_unit(&mut transaction, lease.pipeline(), &row.unit.key, row.at).await?;
        forget_release(&mut transaction, lease.pipeline(), &row.unit.key).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// The failed units of `pipeline` whose windows touch `window`, inside a transaction.
pub(super) async fn failed_around(
    connection: &mut SqliteConnection,
    pipeline: &str,
    window: Window,
) -> Result<Vec<FailedUnit>, Trouble> {
    let rows = sqlx::query(
        "SELECT key, lane, accounts, window_from, window_to, attempts, reason, at FROM units \
         WHERE pipeline = $1 AND status = 'failed' AND window_from < $2 AND window_to > $3",
    )
    .bind(pipeline)
    .bind(seconds(window.to()))
    .bind(seconds(window.from()))
    .fetch_all(&mut *connection)
    .await?;
    rows.iter().map(failed_from).collect()
}

/// The unit of a row with the columns `key`, `lane`, `accounts`, `window_from`, `window_to`.
pub(super) fn unit_from(row: &SqliteRow) -> Result<Unit, Trouble> {
    let key: String = row.try_get("key")?;
    let lane: String = row.try_get("lane")?;
    let Some(lane) = Lane::parse(&lane) else {
        return Err(
            Error::storage(format!("unit `{key}` has the lane `{lane}`, which this program does not know")).into()
        );
    };
    Ok(Unit {
        key: UnitKey::from_stored(key),
        lane,
        accounts: accounts_from(row.try_get("accounts")?)?,
        window: window(row.try_get("window_from")?, row.try_get("window_to")?)?,
    })
}

fn staged_from(row: &SqliteRow) -> Result<StagedUnit, Trouble> {
    Ok(StagedUnit {
        unit: unit_from(row)?,
        window: window(row.try_get("closed_from")?, row.try_get("closed_to")?)?,
        fetched_at: moment(row.try_get("at")?)?,
        rows: count(row.try_get("row_count")?),
        requests: small_count(row.try_get("requests")?),
        empty: empty_from(row.try_get("empty")?)?,
    })
}

fn failed_from(row: &SqliteRow) -> Result<FailedUnit, Trouble> {
    Ok(FailedUnit {
        unit: unit_from(row)?,
        reason: row.try_get("reason")?,
        attempts: small_count(row.try_get("attempts")?),
        at: moment(row.try_get("at")?)?,
    })
}

/// As JSON; nothing where there are none.
fn empty_text(empty: &EmptyHours) -> String {
    if empty.is_empty() {
        return String::new();
    }
    serde_json::to_string(empty).expect("texts and numbers can be written as JSON")
}

fn empty_from(text: &str) -> Result<EmptyHours, Trouble> {
    if text.is_empty() {
        return Ok(EmptyHours::new());
    }
    serde_json::from_str(text)
        .map_err(|error| Error::storage("a unit's empty hours are not the JSON that was written").because(error).into())
}
