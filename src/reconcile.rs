//! Comparing the lake with another report of the platform: coarser, and made independently of the hourly one.
//!
//! ```text
//! accounts, skips (state) -> dates that are settled -> hours that are missing (ledger)      `days`
//!      -> sums of the lake by account and date                                             `sums`
//!      -> the daily report, in units of accounts that share a clock                        `fetch`
//!      -> what differs                                                                     `compare`
//! ```
//!
//! It writes nothing but the use of the quotas, and takes no lease. While it asks the platform it keeps runs of the
//! pipeline away, as [`State::keep_alone`] says: the tallies of a pipeline's own limits are one process's at a time.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{Duration, NaiveDate};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::fetch::{Fetch, Slice, UnitFailure};
use crate::pipeline::{Pipeline, Reconcile};
use crate::state::{KnownAccount, State};
use crate::telemetry::Meter;
use crate::time::{Clock, Instant};
use crate::unit::{Account, Unit};

mod compare;
mod days;
mod report;
mod sums;

pub use report::{Compared, Day, DayState, Reconciled};

use compare::{SumsByDay, compare, sums_of};
use days::{Grid, units};

/// So many days are compared at once: their sums and ledgers are held together.
const STRETCH_DAYS: i64 = 31;

/// What reconciling works with.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The lake's folder.
    pub lake: &'a Path,
    /// What is remembered; opened for reading is enough.
    pub state: &'a State,
    /// What time it is.
    pub clock: Clock,
    /// How many requests are under way at once.
    pub workers: usize,
}

/// What is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dates {
    /// The first date and the first after the last, on each account's clock; the last seven that are settled where
    /// nothing is said.
    pub between: Option<(NaiveDate, NaiveDate)>,
    /// Only these accounts; empty: all.
    pub accounts: Vec<String>,
}

/// Everything one comparison holds while it lasts.
struct Work<'a> {
    sources: Sources<'a>,
    pipeline: &'a Pipeline,
    rules: &'a Reconcile,
    fetch: Fetch,
    now: Instant,
    /// Ends the comparison of this pipeline early.
    stop: CancellationToken,
}

/// Compares the lake's sums with the report that `pipeline` names. Units that fail are in what is given back.
///
/// # Errors
/// Bad input for a pipeline without a report, accounts that are not known and a lake that is not there; busy while a
/// run of the pipeline is under way; storage.
pub async fn reconcile(
    sources: Sources<'_>,
    pipeline: &Pipeline,
    dates: &Dates,
    meter: Arc<Meter>,
    stop: &CancellationToken,
) -> Result<Reconciled> {
    let (Some(rules), Some(daily)) = (&pipeline.reconcile, pipeline.daily()) else {
        return Err(Error::bad_input(format!("pipeline `{}` names no report to compare the lake with", pipeline.name))
            .hint("a table `[reconcile]` in its file names one"));
    };
    let now = sources.clock.now();
    let accounts = accounts(sources.state, pipeline, dates).await?;
    let _alone = sources.state.keep_alone(&pipeline.name, now).await?;
    let fetch = Fetch::new(Arc::new(daily), sources.state.clone(), sources.clock, meter.clone())?;
    fetch.open_quotas().await?;
    let work = Work { sources, pipeline, rules, fetch, now, stop: stop.child_token() };
    let mut report = Reconciled::new(&pipeline.name, &rules.metrics, accounts.len());
    let passed = work.pass(&accounts, dates, &mut report).await;
    let closed = work.fetch.close().await;
    report.stopped = stop.is_cancelled();
    report.requests = meter.read().requests;
    passed.and(closed).map(|()| report)
}

/// The accounts that the platform gave when it was asked last, without those that are left out.
async fn accounts(state: &State, pipeline: &Pipeline, dates: &Dates) -> Result<Vec<Account>> {
    let known = state.accounts(&pipeline.name).await?;
    let Some(listed) = known.iter().map(|known| known.last_listed).max() else {
        return Err(Error::bad_input(format!("nothing of pipeline `{}` is in the lake yet", pipeline.name))
            .hint("`hourmark run` or `hourmark backfill` fetches it"));
    };
    let ids: HashSet<&str> = known.iter().map(|known| known.account.id.as_str()).collect();
    if let Some(unknown) = dates.accounts.iter().find(|id| !ids.contains(id.as_str())) {
        return Err(Error::bad_input(format!("pipeline `{}` has no account `{unknown}`", pipeline.name))
            .hint("`hourmark status` lists the accounts"));
    }
    let skipped = state.skipped(&pipeline.name).await?;
    let wanted = |known: &KnownAccount| {
        let id = &known.account.id;
        let named = dates.accounts.is_empty() || dates.accounts.contains(id);
        named && known.last_listed == listed && skipped.iter().all(|skip| skip.account_id != *id)
    };
    Ok(known.into_iter().filter(wanted).map(|known| known.account).collect())
}

impl Work<'_> {
    async fn pass(&self, accounts: &[Account], dates: &Dates, report: &mut Reconciled) -> Result<()> {
        let mut grid = Grid::default();
        let all = days::settled(accounts, dates.between, self.rules.settle, self.now);
        report.too_young = all.too_young;
        let Some((first, last)) = all.reach() else { return Ok(()) };
        let mut to = last + Duration::days(1);
        while to > first && !self.stop.is_cancelled() {
            let from = (to - Duration::days(STRETCH_DAYS)).max(first);
            self.stretch(&all.between(from, to), &mut grid, report).await?;
            to = from;
        }
        report.sort();
        Ok(())
    }

    /// Compares the days of `wanted`, which are few enough to be held at once.
    async fn stretch(&self, wanted: &days::Settled, grid: &mut Grid, report: &mut Reconciled) -> Result<()> {
        let Some(reach) = wanted.window() else { return Ok(()) };
        let ledgers = self.sources.state.ledgers(&self.pipeline.name, reach.from(), reach.to()).await?;
        let complete = wanted.complete(self.pipeline, &ledgers, grid, report);
        let Some((first, last)) = complete.reach() else { return Ok(()) };
        let names: Vec<&str> = complete.accounts.iter().map(|days| days.account.id.as_str()).collect();
        let lake = sums::of_lake(self.sources.lake, self.pipeline, self.rules, &names, (first, last)).await?;
        let units = units(self.rules, &self.pipeline.name, &complete);
        let mut fetched = futures::stream::iter(units)
            .map(|unit| async {
                let slice = self.fetch.unit(&unit, &self.stop).await;
                (unit, slice)
            })
            .buffer_unordered(self.sources.workers.max(1));
        let mut platform = SumsByDay::new();
        let mut read: Vec<Unit> = Vec::new();
        while let Some((unit, slice)) = fetched.next().await {
            let slice = match slice {
                Ok(slice) => slice,
                Err(failure) => {
                    self.failed(&unit, failure, report)?;
                    continue;
                }
            };
            match sums_of(&slice.rows, &self.rules.metrics) {
                Ok(sums) => platform.extend(sums),
                Err(reason) => {
                    report.fail(&unit, reason, slice.requests);
                    continue;
                }
            }
            for gone in &slice.gone {
                report.leave_out(gone);
            }
            let Slice { unit, .. } = slice;
            read.push(unit);
        }
        compare(self.rules, &complete, &read, &lake, &platform, report);
        Ok(())
    }

    /// Takes up why a unit has no rows. What makes further requests useless ends the comparison.
    fn failed(&self, unit: &Unit, failure: UnitFailure, report: &mut Reconciled) -> Result<()> {
        match failure {
            UnitFailure::Failed { reason, attempts, fatal } => {
                report.fail(unit, reason.clone(), attempts);
                if fatal && report.fatal.is_none() {
                    report.fatal = Some(reason);
                    self.stop.cancel();
                }
            }
            UnitFailure::ComeBack { until, reason } => {
                if report.resume.as_ref().is_none_or(|(known, _)| until < *known) {
                    report.resume = Some((until, reason));
                }
                self.stop.cancel();
            }
            UnitFailure::Gone(all) => {
                for gone in &all {
                    report.leave_out(gone);
                }
            }
            UnitFailure::Broken { kind, report } => return Err(Error::new(kind, report)),
            UnitFailure::Stopped => {}
        }
        Ok(())
    }
}
