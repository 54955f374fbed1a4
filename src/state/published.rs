//! The last step of a unit's path: once its rows are visible in the lake, ledger and watermarks say so, in one
//! transaction. A crash before it leaves the units staged, and publishing them again changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::TimeDelta;
use sqlx::SqliteConnection;

use super::accounts::known_accounts;
use super::ledger::{load_days, load_days_of, save};
use super::movements::add_movements;
use super::trouble::Trouble;
use super::units::failed_around;
use super::values::seconds;
use super::{EmptyHours, FailedUnit, KnownAccount, Lease, State, creations, quarantine};
use crate::error::Result;
use crate::ledger::{AccountLedger, Reading, advance, day_of};
use crate::pipeline::Pipeline;
use crate::refresh::{Grid, Movement, Refresh, grid_zone};
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
    /// The accounts it brought.
    pub accounts: Vec<Account>,
    /// The part of its window whose hours were over when it was fetched.
    pub window: Window,
    /// When it was fetched.
    pub fetched_at: Instant,
    /// The (account id, hour) whose rows differed from what the lake held.
    pub changed: Vec<(String, Instant)>,
    /// The hours of which the platform gave no row.
    pub empty: EmptyHours,
}

/// One unit's reading of one account. Slots.
struct OneReading {
    window: Window,
    fetched_at: Instant,
    changed: BTreeSet<i64>,
    empty: BTreeSet<i64>,
}

/// All readings of one account that are recorded together, oldest first.
struct AccountReadings {
    known: KnownAccount,
    readings: Vec<OneReading>,
}

impl State {
    /// Records in one transaction that `units` are published: their hours are confirmed as of their fetching (never
    /// earlier than they already were), watermarks move forward over hours that were read after they had settled,
    /// hours that no run asks for again are folded, and failures and quarantined units that are now made good are
    /// forgotten.
    ///
    /// Recording the same units again changes nothing. Refused as a whole where `lease` has passed to another run.
    pub async fn record_published(
        &self,
        lease: &Lease,
        units: &[PublishedUnit],
        refresh: &Refresh,
        now: Instant,
    ) -> Result<()> {
        let work = async {
            let pipeline = lease.pipeline();
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let mut grid = Grid::default();
            let mut moved = BTreeMap::new();
            let all = by_account(&mut transaction, pipeline, units).await?;
            let mut ledgers = ledgers_of(&mut transaction, pipeline, &all).await?;
            for of_account in all {
                let before = ledgers.remove(&of_account.known.account.id).unwrap_or_default();
                confirm(&mut transaction, refresh, &of_account, before, &mut grid, &mut moved, now).await?;
                move_watermark(&mut transaction, refresh, &of_account, now).await?;
            }
            add_movements(&mut transaction, pipeline, &moved).await?;
            for unit in units {
                mark_published(&mut transaction, pipeline, &unit.key, now).await?;
            }
            forget_failures_made_good(&mut transaction, refresh.pipeline(), units).await?;
            forget_quarantine_made_good(&mut transaction, refresh.pipeline(), units).await?;
            prune(&mut transaction, pipeline, now).await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record published units in", trouble))
    }
}

async fn by_account(
    connection: &mut SqliteConnection,
    pipeline: &str,
    units: &[PublishedUnit],
) -> Result<Vec<AccountReadings>, Trouble> {
    let mut accounts: BTreeMap<&str, Vec<OneReading>> = BTreeMap::new();
    let mut by_age: Vec<&PublishedUnit> = units.iter().collect();
    by_age.sort_by_key(|unit| unit.fetched_at);
    for unit in by_age {
        let mut changed: HashMap<&str, BTreeSet<i64>> = HashMap::new();
        for (id, hour) in &unit.changed {
            changed.entry(id).or_default().insert(slot(*hour));
        }
        for account in &unit.accounts {
            accounts.entry(&account.id).or_default().push(OneReading {
                window: unit.window,
                fetched_at: unit.fetched_at,
                changed: changed.remove(account.id.as_str()).unwrap_or_default(),
                empty: unit.empty.get(&account.id).cloned().unwrap_or_default(),
            });
        }
    }
    // An account that was never listed has no row to record it under.
    let known = known_accounts(connection, pipeline, accounts.keys().copied()).await?;
    let mut readings_of = |known: KnownAccount| {
        let readings = accounts.remove(known.account.id.as_str())?;
        Some(AccountReadings { known, readings })
    };
    Ok(known.into_iter().filter_map(&mut readings_of).collect())
}

impl AccountReadings {
    /// The days of which something may change.
    fn days(&self) -> BTreeSet<i64> {
        let mut days = BTreeSet::new();
        for reading in &self.readings {
            days.extend(day_of(slot(reading.window.from()))..=day_of(slot(reading.window.to())));
            days.extend(AccountLedger::history_of(reading.empty.iter().copied()));
        }
        days
    }
}

/// What is known of the days that the readings touch, by account id.
async fn ledgers_of(
    connection: &mut SqliteConnection,
    pipeline: &str,
    all: &[AccountReadings],
) -> Result<HashMap<String, AccountLedger>, Trouble> {
    let days: BTreeSet<i64> = all.iter().flat_map(AccountReadings::days).collect();
    let ids = all.iter().map(|of_account| of_account.known.account.id.as_str());
    load_days_of(connection, pipeline, ids, days.into_iter()).await
}

async fn confirm(
    connection: &mut SqliteConnection,
    refresh: &Refresh,
    of_account: &AccountReadings,
    before: AccountLedger,
    grid: &mut Grid,
    moved: &mut BTreeMap<u64, Movement>,
    now: Instant,
) -> Result<(), Trouble> {
    let account = &of_account.known.account;
    let days = of_account.days();
    let mut after = before.clone();
    let zone = grid_zone(refresh.pipeline(), account);
    for OneReading { window, fetched_at, changed, empty } in &of_account.readings {
        let reading = Reading { window: *window, zone, at: *fetched_at, changed, empty };
        count_movements(refresh, account, &after, &reading, grid, moved);
        after.confirm(&reading);
    }
    refresh.fold(account, &mut after, days.iter().copied(), grid, now);
    save(connection, refresh, &of_account.known, (&before, &after), grid, now).await
}

/// Counts the hours that are read again at one of their marks, and those of them that had moved since the mark before.
fn count_movements(
    refresh: &Refresh,
    account: &Account,
    ledger: &AccountLedger,
    reading: &Reading<'_>,
    grid: &mut Grid,
    moved: &mut BTreeMap<u64, Movement>,
) {
    if refresh.has_own(&account.id) {
        return;
    }
    for day in day_of(slot(reading.window.from()))..=day_of(slot(reading.window.to())) {
        for hour in grid.day(refresh.pipeline(), account, day).iter() {
            if !reading.window.contains(hour.begin) {
                continue;
            }
            let slot = slot(hour.begin);
            let Some(before) = ledger.cell(slot) else { continue };
            let kept = refresh.kept_mark(&account.id, hour, &before, reading.at);
            let changed = reading.changed.contains(&slot);
            // Hours between two that are due are read along: what they find changed counts for their next mark.
            let comes = if changed { refresh.coming_mark(&account.id, hour, reading.at) } else { None };
            if let Some(mark) = kept.or(comes) {
                let movement = moved.entry(mark.as_secs()).or_default();
                movement.hours += u64::from(kept.is_some());
                movement.changed += u64::from(changed);
            }
        }
    }
}

async fn move_watermark(
    connection: &mut SqliteConnection,
    refresh: &Refresh,
    of_account: &AccountReadings,
    now: Instant,
) -> Result<(), Trouble> {
    let (pipeline, account) = (&refresh.pipeline().name, &of_account.known.account);
    let known = of_account.known.watermark;
    // A reading of hours before the watermark cannot fill the hour at which it stands.
    if of_account.readings.iter().all(|reading| reading.window.to() <= known) {
        return Ok(());
    }
    let (zone, settle) = (grid_zone(refresh.pipeline(), account), refresh.pipeline().window.settle);
    let mut reached = known;
    loop {
        let first = day_of(slot(reached));
        let ledger = load_days(connection, pipeline, &account.id, first..first + STEP_DAYS).await?;
        let next = advance(reached, zone, settle, &ledger, now);
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
    pipeline: &Pipeline,
    units: &[PublishedUnit],
) -> Result<(), Trouble> {
    let from = units.iter().map(|unit| unit.window.from()).min();
    let to = units.iter().map(|unit| unit.window.to()).max();
    let Some(span) = from.zip(to).and_then(|(from, to)| Window::new(from, to)) else { return Ok(()) };
    let brought: HashSet<&str> =
        units.iter().flat_map(|unit| unit.accounts.iter().map(|account| account.id.as_str())).collect();
    for failed in failed_around(connection, &pipeline.name, span).await? {
        let concerned = failed.unit.accounts.iter().any(|account| brought.contains(account.id.as_str()));
        if concerned && is_made_good(connection, pipeline, &failed).await? {
            sqlx::query("DELETE FROM units WHERE pipeline = $1 AND key = $2 AND status = 'failed'")
                .bind(&pipeline.name)
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
    pipeline: &Pipeline,
    units: &[PublishedUnit],
) -> Result<(), Trouble> {
    let name = &pipeline.name;
    for unit in units {
        quarantine::forget_release(connection, name, &unit.key).await?;
    }
    for entry in quarantine::concerned(connection, name, units).await? {
        if entry.is_read_again_by(units) || is_made_good(connection, pipeline, &entry.as_failed()).await? {
            quarantine::delete(connection, name, &entry.unit.key).await?;
        }
    }
    Ok(())
}

async fn is_made_good(
    connection: &mut SqliteConnection,
    pipeline: &Pipeline,
    failed: &FailedUnit,
) -> Result<bool, Trouble> {
    let window = failed.unit.window;
    for account in &failed.unit.accounts {
        let days = day_of(slot(window.from()))..=day_of(slot(window.to()));
        let ledger = load_days(connection, &pipeline.name, &account.id, days).await?;
        let zone = grid_zone(pipeline, account);
        for hour in hours_in(window, zone) {
            let was_over = next_hour(hour, zone) <= failed.at;
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
