//! The last step of a unit's path: once its rows are visible in the lake, ledger and watermarks say so, in one
//! transaction. A crash before it leaves the units staged, and publishing them again changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use sqlx::SqliteConnection;

use super::accounts::{load_days, save_day};
use super::trouble::Trouble;
use super::units::failed_around;
use super::values::{moment, seconds};
use super::{FailedUnit, Lease, State, creations, quarantine};
use crate::error::Result;
use crate::ledger::{advance, day_of};
use crate::time::{Instant, Window, hours_in, next_hour, slot};
use crate::unit::{Account, UnitKey};

/// For how long published units are listed; what they did is in the ledger.
const PUBLISHED_DAYS: i64 = 3;
/// For how long a failure is remembered that no later unit made good.
const FAILED_DAYS: i64 = 90;
/// How many days of an account's ledger are looked at in one step while its watermark moves: the day in which it stands
/// and the next, where its hour may begin.
const STEP_DAYS: i64 = 2;

/// A unit whose rows are visible in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedUnit {
    /// Its key, as it was staged.
    pub key: UnitKey,
    /// The accounts it brought, each in the zone whose hours the platform reports for it.
    pub accounts: Vec<Account>,
    /// The part of its window whose hours were over when it was fetched.
    pub window: Window,
    /// When it was fetched.
    pub fetched_at: Instant,
    /// The (account id, hour) whose rows differed from what the lake held.
    pub changed: Vec<(String, Instant)>,
}

/// One unit's reading of one account.
struct Reading {
    window: Window,
    fetched_at: Instant,
    /// Slots.
    changed: BTreeSet<i64>,
}

/// All readings of one account that are recorded together.
struct AccountReadings<'a> {
    account: &'a Account,
    readings: Vec<Reading>,
}

impl State {
    /// Records in one transaction that `units` are published: their hours are confirmed as of their fetching (never
    /// earlier than they already were), watermarks move forward over hours that were read after they had settled,
    /// and failures and quarantined units that are now made good are forgotten.
    ///
    /// Recording the same units again changes nothing. Refused as a whole where `lease` has passed to another run.
    pub async fn record_published(
        &self,
        lease: &Lease,
        units: &[PublishedUnit],
        settle: Duration,
        now: Instant,
    ) -> Result<()> {
        let work = async {
            let pipeline = lease.pipeline();
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let by_account = by_account(units);
            for (id, of_account) in &by_account {
                confirm(&mut transaction, pipeline, id, of_account).await?;
                move_watermark(&mut transaction, pipeline, of_account, settle, now).await?;
            }
            for unit in units {
                mark_published(&mut transaction, pipeline, &unit.key, now).await?;
            }
            forget_failures_made_good(&mut transaction, pipeline, units).await?;
            forget_quarantine_made_good(&mut transaction, pipeline, units).await?;
            prune(&mut transaction, pipeline, now).await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record published units in", trouble))
    }
}

fn by_account(units: &[PublishedUnit]) -> BTreeMap<&str, AccountReadings<'_>> {
    let mut accounts: BTreeMap<&str, AccountReadings<'_>> = BTreeMap::new();
    for unit in units {
        let mut changed: HashMap<&str, BTreeSet<i64>> = HashMap::new();
        for (id, hour) in &unit.changed {
            changed.entry(id).or_default().insert(slot(*hour));
        }
        for account in &unit.accounts {
            let reading = Reading {
                window: unit.window,
                fetched_at: unit.fetched_at,
                changed: changed.remove(account.id.as_str()).unwrap_or_default(),
            };
            let of_account = accounts.entry(&account.id);
            of_account.or_insert(AccountReadings { account, readings: Vec::new() }).readings.push(reading);
        }
    }
    accounts
}

async fn confirm(
    connection: &mut SqliteConnection,
    pipeline: &str,
    id: &str,
    of_account: &AccountReadings<'_>,
) -> Result<(), Trouble> {
    let first = of_account.readings.iter().map(|reading| day_of(slot(reading.window.from()))).min().unwrap_or(0);
    let last = of_account.readings.iter().map(|reading| day_of(slot(reading.window.to()))).max().unwrap_or(0);
    let before = load_days(connection, pipeline, id, first, last).await?;
    let mut after = before.clone();
    for reading in &of_account.readings {
        after.confirm(reading.window, of_account.account.time_zone, reading.fetched_at, &reading.changed);
    }
    let before: HashMap<i64, _> = before.days().collect();
    for (day, ledger) in after.days() {
        if before.get(&day) != Some(&ledger) {
            save_day(connection, pipeline, id, day, ledger).await?;
        }
    }
    Ok(())
}

async fn move_watermark(
    connection: &mut SqliteConnection,
    pipeline: &str,
    of_account: &AccountReadings<'_>,
    settle: Duration,
    now: Instant,
) -> Result<(), Trouble> {
    let account = of_account.account;
    let known: Option<i64> =
        sqlx::query_scalar("SELECT watermark FROM accounts WHERE pipeline = $1 AND account_id = $2")
            .bind(pipeline)
            .bind(&account.id)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(known) = known else { return Ok(()) };
    let known = moment(known)?;
    // A reading of hours before the watermark cannot fill the hour at which it stands.
    if of_account.readings.iter().all(|reading| reading.window.to() <= known) {
        return Ok(());
    }
    let mut reached = known;
    loop {
        let first = day_of(slot(reached));
        let ledger = load_days(connection, pipeline, &account.id, first, first + STEP_DAYS - 1).await?;
        let next = advance(reached, account.time_zone, settle, &ledger, now);
        let moved = next > reached;
        reached = next;
        // It goes on only where it came to the end of what was loaded.
        if !moved || day_of(slot(reached)) < first + STEP_DAYS {
            break;
        }
    }
    if reached > known {
        sqlx::query("UPDATE accounts SET watermark = $3 WHERE pipeline = $1 AND account_id = $2 AND watermark < $3")
            .bind(pipeline)
            .bind(&account.id)
            .bind(seconds(reached))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn mark_published(
    connection: &mut SqliteConnection,
    pipeline: &str,
    key: &UnitKey,
    now: Instant,
) -> Result<(), Trouble> {
    sqlx::query("UPDATE units SET status = 'published', at = $3 WHERE pipeline = $1 AND key = $2")
        .bind(pipeline)
        .bind(key.as_str())
        .bind(seconds(now))
        .execute(&mut *connection)
        .await?;
    creations::end_with_unit(connection, pipeline, key, now).await
}

/// Batches change when accounts come and go, so a failed unit may never be asked for again under its own key: it is
/// made good once each of its hours that was over has been confirmed since, by whichever units.
async fn forget_failures_made_good(
    connection: &mut SqliteConnection,
    pipeline: &str,
    units: &[PublishedUnit],
) -> Result<(), Trouble> {
    let from = units.iter().map(|unit| unit.window.from()).min();
    let to = units.iter().map(|unit| unit.window.to()).max();
    let Some(span) = from.zip(to).and_then(|(from, to)| Window::new(from, to)) else { return Ok(()) };
    let brought: HashSet<&str> =
        units.iter().flat_map(|unit| unit.accounts.iter().map(|account| account.id.as_str())).collect();
    for failed in failed_around(connection, pipeline, span).await? {
        let concerned = failed.unit.accounts.iter().any(|account| brought.contains(account.id.as_str()));
        if concerned && is_made_good(connection, pipeline, &failed).await? {
            sqlx::query("DELETE FROM units WHERE pipeline = $1 AND key = $2 AND status = 'failed'")
                .bind(pipeline)
                .bind(failed.unit.key.as_str())
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Released units are published by that; others are made good once all of their hours were read again.
async fn forget_quarantine_made_good(
    connection: &mut SqliteConnection,
    pipeline: &str,
    units: &[PublishedUnit],
) -> Result<(), Trouble> {
    for unit in units {
        quarantine::forget_release(connection, pipeline, &unit.key).await?;
    }
    for entry in quarantine::concerned(connection, pipeline, units).await? {
        if entry.is_read_again_by(units) || is_made_good(connection, pipeline, &entry.as_failed()).await? {
            quarantine::delete(connection, pipeline, &entry.unit.key).await?;
        }
    }
    Ok(())
}

async fn is_made_good(connection: &mut SqliteConnection, pipeline: &str, failed: &FailedUnit) -> Result<bool, Trouble> {
    let window = failed.unit.window;
    for account in &failed.unit.accounts {
        let (first, last) = (day_of(slot(window.from())), day_of(slot(window.to())));
        let ledger = load_days(connection, pipeline, &account.id, first, last).await?;
        for hour in hours_in(window, account.time_zone) {
            let was_over = next_hour(hour, account.time_zone) <= failed.at;
            let confirmed_since = ledger.confirmed(slot(hour)).is_some_and(|confirmed| confirmed >= failed.at);
            if was_over && !confirmed_since {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn prune(connection: &mut SqliteConnection, pipeline: &str, now: Instant) -> Result<(), Trouble> {
    for (status, days) in [("published", PUBLISHED_DAYS), ("failed", FAILED_DAYS)] {
        sqlx::query("DELETE FROM units WHERE pipeline = $1 AND status = $2 AND at < $3")
            .bind(pipeline)
            .bind(status)
            .bind(seconds(now - TimeDelta::days(days)))
            .execute(&mut *connection)
            .await?;
    }
    creations::prune(connection, pipeline, now).await
}
