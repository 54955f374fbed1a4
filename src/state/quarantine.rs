//! Quarantine: units that broke a quality rule. Their rows are kept apart in the lake, their hours count as not read.
//!
//! | what | the record |
//! |---|---|
//! | a unit is quarantined | [`State::record_quarantined`] puts it here and takes it off the staged units |
//! | it is released | [`State::record_released`] makes it a staged unit again; it stays here, as released, until it is published |
//! | its hours are published, released or from a later reading | [`State::record_published`] forgets it, in the same transaction |
//! | it is dropped | [`State::drop_quarantined`] |
//!
//! A later reading of the same accounts and hours that breaks a rule as well takes the place of the earlier one. What lies
//! here for 90 days is forgotten; its hours are still missing in the ledger. Files of units that are not here any more
//! are swept by the next run.

use std::collections::HashSet;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::creations::end_with_unit;
use super::trouble::Trouble;
use super::units::unit_from;
use super::values::{accounts_text, count, moment, seconds, small_count, stored, window, zone_of};
use super::{FailedUnit, Lease, PublishedUnit, State};
use crate::error::{Error, Result};
use crate::time::{Instant, Window};
use crate::unit::{Account, Unit, UnitKey};

/// For how long a unit is kept that nobody releases, reads anew or drops.
const KEPT_DAYS: i64 = 90;

/// A unit that broke a quality rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// What was asked for.
    pub unit: Unit,
    /// The zone whose hours the platform reports, for each of the unit's accounts.
    pub zones: Vec<Tz>,
    /// The part of its window whose hours were over when it was fetched.
    pub window: Window,
    /// When its first request was sent.
    pub fetched_at: Instant,
    /// How many rows it has.
    pub rows: u64,
    /// How many requests it took.
    pub requests: u32,
    /// How many rows broke which rules, for people.
    pub reason: String,
    /// The first rows that broke a rule, for people.
    pub examples: Vec<String>,
    /// When it was quarantined.
    pub at: Instant,
}

impl Quarantined {
    /// Its hours as those of a failure at the moment after which a reading makes them good, on the clocks by which the
    /// platform reports them.
    pub(super) fn as_failed(&self) -> FailedUnit {
        let with_zone = |(account, zone): (&Account, &Tz)| Account { time_zone: *zone, ..account.clone() };
        let accounts = self.unit.accounts.iter().zip(&self.zones).map(with_zone).collect();
        FailedUnit {
            unit: Unit { accounts, window: self.window, ..self.unit.clone() },
            reason: String::new(),
            attempts: 0,
            // Moments are kept in whole seconds, and a reading of the same second may be an older one.
            at: self.fetched_at + TimeDelta::seconds(1),
        }
    }

    /// Whether `units` bring all of its hours, at least as new, each account's in one of them.
    pub(super) fn is_read_again_by(&self, units: &[PublishedUnit]) -> bool {
        self.unit.accounts.iter().all(|account| {
            units.iter().any(|unit| {
                unit.fetched_at >= self.fetched_at
                    && holds(&unit.window, &self.window)
                    && unit.accounts.iter().any(|brought| brought.id == account.id)
            })
        })
    }

    /// Whether it is about `account_id` in a part of `window`.
    pub fn concerns(&self, account_id: &str, window: &Window) -> bool {
        self.unit.accounts.iter().any(|account| account.id == account_id) && self.window.intersect(window).is_some()
    }

    /// Whether `later` was fetched no earlier and is about all of its accounts and hours.
    fn is_replaced_by(&self, later: &Quarantined) -> bool {
        let ids: HashSet<&str> = later.unit.accounts.iter().map(|account| account.id.as_str()).collect();
        self.fetched_at <= later.fetched_at
            && holds(&later.window, &self.window)
            && self.unit.accounts.iter().all(|account| ids.contains(account.id.as_str()))
    }
}

fn holds(outer: &Window, inner: &Window) -> bool {
    outer.from() <= inner.from() && inner.to() <= outer.to()
}

impl State {
    /// Records that a unit is quarantined: it is no longer listed as staged or failed, and its creations end. Its rows must
    /// be in the lake's quarantine already.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn record_quarantined(&self, lease: &Lease, entry: &Quarantined) -> Result<()> {
        let work = async {
            let pipeline = lease.pipeline();
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            for earlier in list(&mut transaction, pipeline).await? {
                if earlier.is_replaced_by(entry) {
                    delete(&mut transaction, pipeline, &earlier.unit.key).await?;
                }
            }
            sqlx::query("DELETE FROM quarantine WHERE pipeline = $1 AND at < $2")
                .bind(pipeline)
                .bind(seconds(entry.at - TimeDelta::days(KEPT_DAYS)))
                .execute(&mut *transaction)
                .await?;
            delete(&mut transaction, pipeline, &entry.unit.key).await?;
            insert(&mut transaction, pipeline, entry).await?;
            sqlx::query("DELETE FROM units WHERE pipeline = $1 AND key = $2")
                .bind(pipeline)
                .bind(entry.unit.key.as_str())
                .execute(&mut *transaction)
                .await?;
            end_with_unit(&mut transaction, pipeline, &entry.unit.key, entry.at).await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record a quarantined unit in", trouble))
    }

    /// The quarantined units of `pipeline`, newest first. Released ones are not among them.
    pub async fn quarantined(&self, pipeline: &str) -> Result<Vec<Quarantined>> {
        let work = async { list(&mut *self.readers.acquire().await?, pipeline).await };
        work.await.map_err(|trouble| self.failed("list the quarantined units in", trouble))
    }

    /// The units of `pipeline` that are staged by command and pass without judgement.
    pub async fn released(&self, pipeline: &str) -> Result<HashSet<UnitKey>> {
        let work = async {
            let keys: Vec<String> =
                sqlx::query_scalar("SELECT key FROM quarantine WHERE pipeline = $1 AND released_at IS NOT NULL")
                    .bind(pipeline)
                    .fetch_all(&self.readers)
                    .await?;
            Ok::<HashSet<UnitKey>, Trouble>(keys.into_iter().map(UnitKey::from_stored).collect())
        };
        work.await.map_err(|trouble| self.failed("list the released units in", trouble))
    }

    /// Makes a quarantined unit a staged one that passes without judgement. Its rows must be staged already. Whether it
    /// was quarantined.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn record_released(&self, lease: &Lease, key: &UnitKey, now: Instant) -> Result<bool> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let released = sqlx::query(
                "UPDATE quarantine SET released_at = $3 WHERE pipeline = $1 AND key = $2 AND released_at IS NULL",
            )
            .bind(lease.pipeline())
            .bind(key.as_str())
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
            // Released before, it may be staged: that must stay.
            if released.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query("DELETE FROM units WHERE pipeline = $1 AND key = $2")
                .bind(lease.pipeline())
                .bind(key.as_str())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO units (pipeline, key, lane, status, accounts, window_from, window_to, closed_from, \
                 closed_to, row_count, requests, attempts, reason, at) \
                 SELECT pipeline, key, lane, 'staged', accounts, window_from, window_to, closed_from, closed_to, \
                 row_count, requests, 0, '', fetched_at FROM quarantine WHERE pipeline = $1 AND key = $2",
            )
            .bind(lease.pipeline())
            .bind(key.as_str())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<bool, Trouble>(true)
        };
        work.await.map_err(|trouble| self.failed("release a quarantined unit in", trouble))
    }

    /// Forgets a quarantined unit; its hours stay unread. Whether it was there.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn drop_quarantined(&self, lease: &Lease, key: &UnitKey) -> Result<bool> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let dropped =
                sqlx::query("DELETE FROM quarantine WHERE pipeline = $1 AND key = $2 AND released_at IS NULL")
                    .bind(lease.pipeline())
                    .bind(key.as_str())
                    .execute(&mut *transaction)
                    .await?;
            transaction.commit().await?;
            Ok::<bool, Trouble>(dropped.rows_affected() > 0)
        };
        work.await.map_err(|trouble| self.failed("drop a quarantined unit in", trouble))
    }
}

/// Forgets that a unit was released, where it is known under a new status: its staged rows are judged, or gone.
pub(super) async fn forget_release(
    connection: &mut SqliteConnection,
    pipeline: &str,
    key: &UnitKey,
) -> Result<(), Trouble> {
    sqlx::query("DELETE FROM quarantine WHERE pipeline = $1 AND key = $2 AND released_at IS NOT NULL")
        .bind(pipeline)
        .bind(key.as_str())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// The quarantined units of `pipeline` of whose hours `units` bring some, at least as new.
pub(super) async fn concerned(
    connection: &mut SqliteConnection,
    pipeline: &str,
    units: &[PublishedUnit],
) -> Result<Vec<Quarantined>, Trouble> {
    let mut entries = list(connection, pipeline).await?;
    entries.retain(|entry| {
        units.iter().any(|unit| {
            unit.fetched_at >= entry.fetched_at
                && unit.accounts.iter().any(|account| entry.concerns(&account.id, &unit.window))
        })
    });
    Ok(entries)
}

async fn list(connection: &mut SqliteConnection, pipeline: &str) -> Result<Vec<Quarantined>, Trouble> {
    let rows = sqlx::query(
        "SELECT key, lane, accounts, zones, window_from, window_to, closed_from, closed_to, fetched_at, row_count, \
         requests, reason, examples, at FROM quarantine \
         WHERE pipeline = $1 AND released_at IS NULL ORDER BY at DESC, key",
    )
    .bind(pipeline)
    .fetch_all(&mut *connection)
    .await?;
    rows.iter().map(entry_from).collect()
}

pub(super) async fn delete(connection: &mut SqliteConnection, pipeline: &str, key: &UnitKey) -> Result<(), Trouble> {
    sqlx::query("DELETE FROM quarantine WHERE pipeline = $1 AND key = $2")
        .bind(pipeline)
        .bind(key.as_str())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, pipeline: &str, entry: &Quarantined) -> Result<(), Trouble> {
    let zones: Vec<&str> = entry.zones.iter().map(|zone| zone.name()).collect();
    let (zones, examples) = (json_text(&zones)?, json_text(&entry.examples)?);
    sqlx::query(
        "INSERT INTO quarantine (pipeline, key, lane, accounts, zones, window_from, window_to, closed_from, closed_to, \
         fetched_at, row_count, requests, reason, examples, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(pipeline)
    .bind(entry.unit.key.as_str())
    .bind(entry.unit.lane.word())
    .bind(accounts_text(&entry.unit.accounts)?)
    .bind(zones)
    .bind(seconds(entry.unit.window.from()))
    .bind(seconds(entry.unit.window.to()))
    .bind(seconds(entry.window.from()))
    .bind(seconds(entry.window.to()))
    .bind(seconds(entry.fetched_at))
    .bind(stored(entry.rows))
    .bind(i64::from(entry.requests))
    .bind(&entry.reason)
    .bind(examples)
    .bind(seconds(entry.at))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

fn entry_from(row: &SqliteRow) -> Result<Quarantined, Trouble> {
    let unit = unit_from(row)?;
    let zones: Vec<String> = from_json(row, "zones")?;
    let zones = zones.iter().zip(&unit.accounts).map(|(zone, account)| zone_of(&account.id, zone));
    Ok(Quarantined {
        zones: zones.collect::<Result<Vec<Tz>, Trouble>>()?,
        unit,
        window: window(row.try_get("closed_from")?, row.try_get("closed_to")?)?,
        fetched_at: moment(row.try_get("fetched_at")?)?,
        rows: count(row.try_get("row_count")?),
        requests: small_count(row.try_get("requests")?),
        reason: row.try_get("reason")?,
        examples: from_json(row, "examples")?,
        at: moment(row.try_get("at")?)?,
    })
}

fn json_text(texts: &impl Serialize) -> Result<String, Trouble> {
    serde_json::to_string(texts)
        .map_err(|error| Error::internal("texts cannot be written as JSON").because(error).into())
}

fn from_json(row: &SqliteRow, column: &str) -> Result<Vec<String>, Trouble> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|error| {
        Error::storage(format!("a quarantined unit's {column} are not the JSON that was written")).because(error).into()
    })
}
