//! Units that break a quality rule: put into quarantine, not asked for in every run, released, read anew or dropped by
//! command.
//!
//! While a unit is quarantined its hours count as not read: the watermark stays before them and `gaps` lists them. For the
//! plan alone they count for a day as read when they were: so they are asked for again when they reach a refresh mark, and
//! otherwise once a day. A later reading that is published makes the unit good.
//!
//! The order of the steps, and what a kill in between leaves behind, is in the documentation of `lake::quarantine`: rows are
//! written before they are recorded, and removed after that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::Duration;
use tokio_util::sync::CancellationToken;

use super::publish::Terms;
use super::work::Worker;
use super::{Environment, Order, Progress, Run, RunReport, acquire, carry_out, kind_of};
use crate::error::{Error, Result};
use crate::lake::{DatasetSpec, Proven, Refusal, Refused};
use crate::ledger::{AccountLedger, Reading, day_of};
use crate::pipeline::Pipeline;
use crate::plan::Ask;
use crate::refresh::grid_zone;
use crate::state::{KnownAccount, Quarantined, RunKind, StagedUnit};
use crate::telemetry::Meter;
use crate::time::{Instant, Window, hours_in, next_hour, slot};
use crate::unit::{Lane, Unit, UnitKey};

/// Quarantined hours that reach no refresh mark are asked for again after so long.
const HELD_BACK_HOURS: i64 = 24;

/// What becomes of quarantined units by command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// These are published without judgement.
    Release(Vec<UnitKey>),
    /// The accounts and windows of these are fetched again, and judged again.
    Refetch(Vec<UnitKey>),
}

/// What a run does while it holds the lease.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task<'a> {
    /// Hours are fetched.
    Order(&'a Order),
    /// Quarantined units are dealt with.
    Errand(&'a Errand),
}

impl Task<'_> {
    pub(super) fn ask(self) -> Ask {
        match self {
            Task::Order(order) => order.ask,
            Task::Errand(_) => Ask::Due,
        }
    }

    pub(super) fn kind(self) -> RunKind {
        match self {
            Task::Order(order) => kind_of(order.ask),
            Task::Errand(_) => RunKind::Repair,
        }
    }
}

/// Runs `errand` on the quarantined units of `pipeline` and reports, as [`run`](super::run()) does. Units that are not in quarantine
/// any more are passed over.
pub async fn run_errand(
    environment: &Environment,
    pipeline: Arc<Pipeline>,
    errand: &Errand,
    meter: Arc<Meter>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<RunReport> {
    carry_out(environment, pipeline, Task::Errand(errand), meter, progress, stop).await
}

impl Errand {
    fn word(&self) -> &'static str {
        match self {
            Errand::Release(_) => "release",
            Errand::Refetch(_) => "refetch",
        }
    }
}

/// Lets the hours of `entries` count in `ledgers` as read when they were, so that a plan does not ask for what would break
/// the rules again. `loaded_from` is the moment from which on all that is known of an account is loaded. For the plan only:
/// such a ledger is not to be recorded.
pub(super) fn hold_back(
    ledgers: &mut HashMap<String, AccountLedger>,
    known: &[KnownAccount],
    loaded_from: impl Fn(&KnownAccount) -> Instant,
    entries: &[Quarantined],
    now: Instant,
) {
    let none = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.at + Duration::hours(HELD_BACK_HOURS) > now) {
        for (account, zone) in entry.unit.accounts.iter().zip(&entry.zones) {
            let Some(known) = known.iter().find(|known| known.account.id == account.id) else { continue };
            let ledger = ledgers.entry(account.id.clone()).or_default();
            for hour in hours_in(entry.window, *zone) {
                // Of a day that was not loaded nothing is due: it must not look as if the rest of it were unread.
                let looked_at = hour >= loaded_from(known) || ledger.day(day_of(slot(hour))).is_some();
                let Some(window) = Window::new(hour, next_hour(hour, *zone)).filter(|_| looked_at) else { continue };
                let at = entry.fetched_at;
                ledger.confirm(&Reading { window, zone: *zone, at, changed: &none, empty: &none });
            }
        }
    }
}

/// Drops quarantined units of `pipeline`, rows and all; how many there were. Their hours stay unread.
///
/// # Errors
/// Where another run holds the lease, or the lake or the state cannot be used.
pub async fn drop_quarantined(environment: &Environment, pipeline: &Pipeline, keys: &[UnitKey]) -> Result<u64> {
    let state = &environment.state;
    let dataset = environment.lake.dataset(DatasetSpec::of(pipeline)).await?;
    let lease = acquire(environment, &pipeline.name, environment.clock.now()).await?;
    let mut dropped = 0;
    for key in keys {
        dropped += u64::from(state.drop_quarantined(&lease, key).await?);
    }
    let left = state.quarantined(&pipeline.name).await?;
    dataset.sweep_quarantine(&files(&left)).await?;
    state.release(&lease).await?;
    Ok(dropped)
}

/// What names the files of `entries`.
fn files(entries: &[Quarantined]) -> Vec<(UnitKey, Instant)> {
    entries.iter().map(|entry| (entry.unit.key.clone(), entry.fetched_at)).collect()
}

fn entry_of(
    pipeline: &Pipeline,
    staged: StagedUnit,
    reason: String,
    examples: Vec<String>,
    at: Instant,
) -> Quarantined {
    Quarantined {
        zones: staged.unit.accounts.iter().map(|account| grid_zone(pipeline, account)).collect(),
        unit: staged.unit,
        window: staged.window,
        fetched_at: staged.fetched_at,
        rows: staged.rows,
        requests: staged.requests,
        reason,
        examples,
        at,
    }
}

impl Worker {
    /// Keeps the rows of a unit apart that broke a rule. Where it does not hold them they are staged.
    pub(super) async fn quarantine(
        &self,
        staged: StagedUnit,
        held: Option<Proven>,
        reason: String,
        examples: Vec<String>,
    ) -> Result<Quarantined> {
        let entry = entry_of(&self.pipeline, staged, reason, examples, self.clock.now());
        let (key, fetched_at) = (&entry.unit.key, entry.fetched_at);
        let was_held = held.is_some();
        match held {
            Some(rows) => self.dataset.quarantine(key, fetched_at, rows).await?,
            None => self.dataset.quarantine_staged(key, fetched_at).await?,
        }
        self.state.record_quarantined(&self.lease, &entry).await?;
        if !was_held {
            // It was never recorded as staged: a run that is killed before this leaves it to the sweep.
            self.dataset.discard(key).await?;
        }
        Ok(entry)
    }
}

impl Run<'_> {
    /// The terms of units that are judged.
    pub(super) fn terms(&self) -> Terms {
        Terms { missing: self.pipeline.missing, not_falling: self.pipeline.quality.not_falling.clone() }
    }

    /// The terms of units that were released.
    pub(super) fn lenient(&self) -> Terms {
        Terms { missing: self.pipeline.missing, not_falling: Arc::default() }
    }

    /// Removes the files of units that are not in quarantine any more, or that a killed run did not record.
    pub(super) async fn sweep_quarantine(&self) -> Result<()> {
        let entries = self.environment.state.quarantined(&self.pipeline.name).await?;
        self.dataset.sweep_quarantine(&files(&entries)).await.map(|_| ())
    }

    pub(super) fn count_quarantined(&self, entry: &Quarantined, report: &mut RunReport) {
        tracing::warn!(unit = %entry.unit.key, "unit quarantined: {}", entry.reason);
        self.progress.failed.fetch_add(1, Ordering::Relaxed);
        report.add_quarantined(entry);
    }

    /// A staged unit that a partition refused: quarantined where values fell, or where it had been released (its rows are
    /// not thrown away then); else failed. Its staged file is discarded afterwards.
    pub(super) async fn refuse(&self, staged: StagedUnit, refused: Refused, report: &mut RunReport) -> Result<()> {
        let state = &self.environment.state;
        let examples = match refused.why {
            Refusal::Falls(rows) => rows,
            Refusal::ErasesTooMuch if state.released(&self.pipeline.name).await?.contains(&staged.unit.key) => {
                Vec::new()
            }
            Refusal::ErasesTooMuch => return self.fail(staged.unit, refused.message, staged.requests, report).await,
        };
        let now = self.environment.clock.now();
        let entry = entry_of(&self.pipeline, staged, refused.message, examples, now);
        self.dataset.quarantine_staged(&entry.unit.key, entry.fetched_at).await?;
        state.record_quarantined(&self.lease, &entry).await?;
        self.count_quarantined(&entry, report);
        Ok(())
    }

    /// Does what was ordered with quarantined units, with the lease held.
    pub(super) async fn errand(&self, errand: &Errand, report: &mut RunReport) -> Result<()> {
        // What an earlier run left staged goes first: it may be of the same hours, and it is older.
        self.publish_leftovers(report).await?;
        report.errand = Some(errand.word());
        let (Errand::Release(keys) | Errand::Refetch(keys)) = errand;
        let mut entries = self.environment.state.quarantined(&self.pipeline.name).await?;
        entries.retain(|entry| keys.contains(&entry.unit.key));
        match errand {
            Errand::Release(_) => self.release(&entries, report).await,
            Errand::Refetch(_) => self.refetch(entries, report).await,
        }
    }

    async fn release(&self, entries: &[Quarantined], report: &mut RunReport) -> Result<()> {
        for entry in entries {
            self.refuse_outdated(entry).await?;
            self.dataset.restage(&entry.unit.key, entry.fetched_at).await?;
        }
        for entry in entries {
            let now = self.environment.clock.now();
            self.environment.state.record_released(&self.lease, &entry.unit.key, now).await?;
        }
        self.publish_leftovers(report).await
    }

    /// Values that were read since may not be overwritten by older ones.
    async fn refuse_outdated(&self, entry: &Quarantined) -> Result<()> {
        let (from, to) = (entry.window.from(), entry.window.to());
        let ledgers = self.environment.state.ledgers(&self.pipeline.name, from, to).await?;
        for (account, zone) in entry.unit.accounts.iter().zip(&entry.zones) {
            let Some(ledger) = ledgers.get(&account.id) else { continue };
            let later = |hour| ledger.confirmed(slot(hour)).is_some_and(|read| read > entry.fetched_at);
            if hours_in(entry.window, *zone).any(later) {
                let (unit, account) = (&entry.unit.key, &account.id);
                let message =
                    format!("unit `{unit}` cannot be released: hours of account {account} were read again since");
                return Err(Error::bad_input(message).hint(
                    "`hourmark quarantine refetch` reads all of its hours anew, `hourmark quarantine drop` forgets it",
                ));
            }
        }
        Ok(())
    }

    async fn refetch(&self, entries: Vec<Quarantined>, report: &mut RunReport) -> Result<()> {
        let mut units = Vec::with_capacity(entries.len());
        for Quarantined { unit, fetched_at, .. } in entries {
            // Another key than before: it is another reading.
            let key = UnitKey::new(&self.pipeline.name, &unit.accounts, unit.window, Some(fetched_at));
            units.push(Unit { key, lane: Lane::Hourly, ..unit });
        }
        let accounts: HashSet<&str> =
            units.iter().flat_map(|unit| unit.accounts.iter().map(|account| account.id.as_str())).collect();
        report.accounts = accounts.len();
        report.planned += units.len() as u64;
        self.progress.planned.store(report.planned, Ordering::Relaxed);
        self.work(units, None, report).await?;
        report.stopped = self.stop.is_cancelled() && report.units_left() > 0;
        Ok(())
    }
}
