//! The lake rebuilt from cassettes, without one request.
//!
//! ```text
//! lease -> cassettes whose hours touch the dates, run by run -> decode, stage, publish into a lake aside
//!       -> what came out there replaces what the lake holds, partition by partition -> ledger and watermarks -> report
//! ```
//!
//! The lake aside begins empty and goes through everything that the lake went through: restatements, rows that were taken
//! back, slices that the guard refused. Only its end is published, so no reader sees the past, and a replay that is cut
//! off leaves whole partitions. What cassettes do not tell of is left as it is: see `apply`.

mod apply;
mod readings;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use chrono::{NaiveDate, NaiveTime};
use tokio_util::sync::CancellationToken;

use super::publish::{Publisher, Terms, Through};
use super::stage::empty_hours;
use super::{Environment, UnitEnd, acquire, first_hour};
use crate::cassette::Cassette;
use crate::cassette::play::{Played, play};
use crate::decode::Decoder;
use crate::error::{Error, Outcome, Result};
use crate::lake::{Dataset, DatasetSpec, Lake, Partition, StagedSlice};
use crate::pipeline::Pipeline;
use crate::quality::{Verdict, judge};
use crate::refresh::{Refresh, grid_zone};
use crate::state::{FailedUnit, Lease, PublishedUnit, RunKind, RunSummary, StagedUnit};
use crate::time::{Instant, Window, hours_in, next_hour, slot};
use crate::unit::{Account, UnitKey};
use readings::Readings;
use survey::{Survey, Taped};

/// The folder of the lakes aside.
const ASIDE: &str = "_replay";

/// What is to be rebuilt.
#[derive(Debug, Clone)]
pub struct ReplayOrder {
    /// The first date of the lake's folders.
    pub from: NaiveDate,
    /// The first date after the last.
    pub to: NaiveDate,
    /// Only these accounts' rows; empty: all.
    pub accounts: Vec<String>,
}

/// What a replay did.
#[derive(Debug, Clone, Default)]
pub struct ReplayReport {
    /// The pipeline's name.
    pub pipeline: String,
    /// Units played.
    pub units: u64,
    /// Those of them that were recorded with another pipeline file.
    pub older: u64,
    /// Rows decoded.
    pub rows: u64,
    /// Partitions looked at.
    pub partitions: u64,
    /// Those of them whose file was replaced.
    pub written: u64,
    /// Rows that the lake did not have.
    pub added: u64,
    /// Rows whose values differed.
    pub changed: u64,
    /// Rows that are gone.
    pub removed: u64,
    /// Account-hours that differ and were left as they are, because some of their readings are not on cassettes.
    pub left: u64,
    /// Units that failed again, or whose failure was recorded.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<UnitEnd>,
    /// Cassettes that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Somebody stopped it: nothing was published.
    pub stopped: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl ReplayReport {
    /// How it ended, for the exit code. Units that failed when they were recorded are no failure of the replay.
    pub fn outcome(&self) -> Outcome {
        if self.stopped {
            Outcome::Stopped
        } else if self.unreadable.is_empty() {
            Outcome::Done
        } else {
            Outcome::PartlyFailed
        }
    }

    fn summary(&self, error: Option<&Error>) -> RunSummary {
        let outcome = match (error, self.outcome()) {
            (Some(_), _) => "failed",
            (None, Outcome::Done) => "done",
            (None, Outcome::Stopped) => "stopped",
            (None, _) => "partly failed",
        };
        RunSummary {
            outcome: outcome.to_owned(),
            units_done: self.units,
            units_failed: self.unreadable.len() as u64,
            rows_added: self.added,
            rows_changed: self.changed,
            rows_removed: self.removed,
            note: error.map_or_else(|| "replayed from cassettes".to_owned(), Error::report),
            ..RunSummary::default()
        }
    }
}

/// What the lake aside came to.
#[derive(Default)]
struct Rebuilt {
    /// Units that are through, run by run.
    published: Vec<Vec<PublishedUnit>>,
    failed: Vec<FailedUnit>,
    partitions: BTreeSet<Partition>,
    readings: Readings,
    /// By id, with the beginning of the first run that knew them.
    accounts: BTreeMap<String, (Account, Instant)>,
}

struct Replay<'a> {
    environment: &'a Environment,
    pipeline: &'a Pipeline,
    order: &'a ReplayOrder,
    lease: Lease,
    /// The hours of the dates.
    window: Window,
    dataset: Dataset,
    aside: Dataset,
    decoder: Arc<Decoder>,
    stop: CancellationToken,
}

/// Rebuilds the dates of `order` from the pipeline's cassettes. Needs neither secrets nor quotas.
///
/// # Errors
/// Another run of the pipeline, dates that are none, a lake or state that cannot be read or written. A cassette that
/// cannot be read is in the report.
pub async fn replay(
    environment: &Environment,
    pipeline: &Pipeline,
    order: &ReplayOrder,
    stop: CancellationToken,
) -> Result<ReplayReport> {
    let (started, began) = (environment.clock.now(), Moment::now());
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
    let Some(window) = Window::new(midnight(order.from), midnight(order.to)) else {
        return Err(Error::bad_input(format!("--from {} is not before --to {}", order.from, order.to))
            .hint("--to is the first date that is not rebuilt"));
    };
    let dataset = environment.lake.dataset(DatasetSpec::of(pipeline)).await?;
    let lease = acquire(environment, &pipeline.name, started).await?;
    let id = environment.state.begin_run(&pipeline.name, RunKind::Backfill, started).await?;
    let mut report = ReplayReport { pipeline: pipeline.name.clone(), ..ReplayReport::default() };
    let folder = environment.lake.root().join(ASIDE).join(&pipeline.name);
    let aside = open_aside(&folder, pipeline).await;
    let (result, lease) = match aside {
        Err(error) => (Err(error), lease),
        Ok(aside) => {
            let decoder = Arc::new(Decoder::new(pipeline));
            let replay = Replay { environment, pipeline, order, lease, window, dataset, aside, decoder, stop };
            (replay.all(&mut report).await, replay.lease)
        }
    };
    let result = result.and(remove(&folder).await);
    report.elapsed = began.elapsed();
    let ended = environment.state.end_run(id, &report.summary(result.as_ref().err()), environment.clock.now()).await;
    let released = environment.state.release(&lease).await;
    result.and(ended).and(released).map(|()| report)
}

/// An empty lake beside the pipelines' own. What a replay that was cut off left there goes.
async fn open_aside(folder: &std::path::Path, pipeline: &Pipeline) -> Result<Dataset> {
    remove(folder).await?;
    Lake::open(folder).await?.dataset(DatasetSpec::of(pipeline)).await
}

async fn remove(folder: &std::path::Path) -> Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::storage(format!("cannot remove `{}`", folder.display())).because(error))
        }
        _ => Ok(()),
    }
}

impl Replay<'_> {
    async fn all(&self, report: &mut ReplayReport) -> Result<()> {
        let Survey { runs, unreadable } = self.survey().await?;
        report.unreadable = unreadable;
        let mut rebuilt = Rebuilt::default();
        for taped in &runs {
            self.play_run(taped, &mut rebuilt, report).await?;
        }
        if self.stop.is_cancelled() {
            report.stopped = true;
            return Ok(());
        }
        self.apply_all(&rebuilt, report).await?;
        self.record(rebuilt, report).await
    }

    /// Plays the units of one run, and publishes each partition aside once all of them that touch it are staged.
    async fn play_run(&self, taped: &[Taped], rebuilt: &mut Rebuilt, report: &mut ReplayReport) -> Result<()> {
        let mut publisher = Publisher::default();
        let terms = Terms { missing: self.pipeline.missing, not_falling: self.pipeline.quality.not_falling.clone() };
        rebuilt.published.push(Vec::new());
        for taped in taped {
            publisher.expect(&taped.partitions);
        }
        for taped in taped {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            rebuilt.partitions.extend(&taped.partitions);
            match self.stage(taped, rebuilt, report).await? {
                Some(staged) => {
                    publisher.staged(staged, &taped.partitions, &taped.partitions, &terms);
                }
                None => publisher.gave_up(&taped.partitions),
            }
            let through = publisher.empty();
            self.through(through, rebuilt).await?;
            for (partition, slices) in publisher.ready() {
                self.publish(&mut publisher, partition, &slices, rebuilt).await?;
            }
        }
        Ok(())
    }

    /// Plays a cassette and stages its rows aside; `None` where there are none.
    async fn stage(
        &self,
        taped: &Taped,
        rebuilt: &mut Rebuilt,
        report: &mut ReplayReport,
    ) -> Result<Option<StagedUnit>> {
        let (path, decoder) = (taped.path.clone(), self.decoder.clone());
        let played = tokio::task::spawn_blocking(move || {
            let Cassette { header, lines } = Cassette::open(&path)?;
            let played = match header.failed {
                Some(_) => None,
                None => Some(play(&header, lines, &decoder)?),
            };
            Ok::<_, Error>((header, played))
        });
        let played = played.await.map_err(|error| Error::internal("playing a cassette was cut off").because(error))?;
        let unit = played.and_then(|(header, played)| Ok((header.unit()?, header, played)));
        let (unit, header, played) = match unit {
            Ok((Some(unit), header, played)) => (unit, header, played),
            Ok((None, ..)) => return Ok(None),
            Err(error) => {
                report.unreadable.push((taped.path.clone(), error.report()));
                return Ok(None);
            }
        };
        for account in &unit.accounts {
            let known = rebuilt.accounts.entry(account.id.clone());
            known.or_insert_with(|| (account.clone(), header.run.started_at)).0 = account.clone();
        }
        let Some(Played { rows, page_starts, .. }) = played else {
            if let Some(failed) = header.failed {
                let (reason, attempts, at) = (failed.reason, failed.attempts, failed.at);
                self.note_failure(FailedUnit { unit, reason, attempts, at }, rebuilt);
            }
            return Ok(None);
        };
        report.units += 1;
        report.older += u64::from(header.pipeline_digest != self.pipeline.digest);
        report.rows += rows.num_rows() as u64;
        let (fetched_at, requests) = (header.fetched_at, header.requests);
        let judged = match self.aside.prove(rows, page_starts).await? {
            Err(undeclared) => Err(undeclared.to_string()),
            Ok(proven) => match judge(proven.rows(), &self.pipeline.quality)? {
                Verdict::Passed { .. } => Ok(proven),
                Verdict::Broken { reason } => Err(reason),
            },
        };
        let proven = match judged {
            Ok(proven) => proven,
            Err(reason) => {
                self.note_failure(FailedUnit { unit, reason, attempts: requests, at: fetched_at }, rebuilt);
                return Ok(None);
            }
        };
        let empty = empty_hours(self.pipeline, &unit.accounts, taped.window, proven.rows())?;
        let rows = self.aside.stage(&unit.key, proven, 1).await?.rows;
        Ok(Some(StagedUnit { unit, window: taped.window, fetched_at, rows, requests, empty }))
    }

    async fn publish(
        &self,
        publisher: &mut Publisher,
        partition: Partition,
        slices: &[StagedSlice],
        rebuilt: &mut Rebuilt,
    ) -> Result<()> {
        let published = self.aside.publish_again(partition, slices, self.fence()).await?;
        let through = publisher.published(&published, slices);
        self.through(through, rebuilt).await
    }

    fn fence(&self) -> u64 {
        self.lease.token().unsigned_abs()
    }

    /// Units all of whose partitions are published aside.
    async fn through(&self, through: Vec<Through>, rebuilt: &mut Rebuilt) -> Result<()> {
        for unit in through {
            match unit {
                Through::Published(mut unit) => {
                    self.aside.discard(&unit.key).await?;
                    unit.accounts.retain(|account| self.is_wanted(&account.id));
                    unit.changed.retain(|(account, _)| self.is_wanted(account));
                    for account in &unit.accounts {
                        let on_grid = Account { time_zone: grid_zone(self.pipeline, account), ..account.clone() };
                        rebuilt.readings.note(&on_grid, unit.window, unit.fetched_at);
                    }
                    // What the state knows of the unit itself stays as it is.
                    unit.key = UnitKey::from_stored(format!("{}/replayed", unit.key));
                    if let Some(run) = rebuilt.published.last_mut() {
                        run.push(unit);
                    }
                }
                Through::Refused(staged, refused) => {
                    self.aside.discard(&staged.unit.key).await?;
                    let aside = self.environment.lake.root().join(ASIDE).join(&self.pipeline.name);
                    let lake = self.environment.lake.root().display().to_string();
                    let reason = refused.message.replace(&aside.display().to_string(), &lake);
                    let failed =
                        FailedUnit { unit: staged.unit, reason, attempts: staged.requests, at: staged.fetched_at };
                    self.note_failure(failed, rebuilt);
                }
            }
        }
        Ok(())
    }

    fn note_failure(&self, failed: FailedUnit, rebuilt: &mut Rebuilt) {
        if failed.unit.accounts.iter().any(|account| self.is_wanted(&account.id)) {
            rebuilt.failed.push(failed);
        }
    }

    fn is_wanted(&self, account: &str) -> bool {
        self.order.accounts.is_empty() || self.order.accounts.iter().any(|wanted| wanted == account)
    }

    /// Makes the state know what the lake holds now, as the runs did. Nothing that it knows moves back.
    async fn record(&self, rebuilt: Rebuilt, report: &mut ReplayReport) -> Result<()> {
        let (state, name, now) = (&self.environment.state, &self.pipeline.name, self.environment.clock.now());
        let known: BTreeSet<String> = state.accounts(name).await?.into_iter().map(|known| known.account.id).collect();
        for (id, (account, first_run)) in &rebuilt.accounts {
            // A living state knows newer names than an old cassette.
            if !known.contains(id) && self.is_wanted(id) {
                let start = first_hour(self.pipeline.window.history, *first_run);
                state.upsert_accounts(name, std::slice::from_ref(account), start, *first_run).await?;
            }
        }
        let refresh = Refresh::new(Arc::new(self.pipeline.clone()), &state.learned(name).await?.0);
        for units in rebuilt.published.iter().filter(|units| !units.is_empty()) {
            state.record_published(&self.lease, units, &refresh, now).await?;
        }
        for failed in rebuilt.failed {
            if !self.is_made_good(&failed).await? {
                state.record_failed(&self.lease, &failed).await?;
            }
            report.failed += 1;
            if report.failures.len() < super::report::FAILURES_SHOWN {
                let (unit, reason) = (failed.unit.to_string(), failed.reason);
                report.failures.push(UnitEnd { unit, reason, attempts: failed.attempts });
            }
        }
        Ok(())
    }

    /// Whether each hour of the unit that was over then has been read since.
    async fn is_made_good(&self, failed: &FailedUnit) -> Result<bool> {
        let window = failed.unit.window;
        let ledgers = self.environment.state.ledgers(&self.pipeline.name, window.from(), window.to()).await?;
        for account in &failed.unit.accounts {
            let zone = grid_zone(self.pipeline, account);
            for hour in hours_in(window, zone).filter(|hour| next_hour(*hour, zone) <= failed.at) {
                let confirmed = ledgers.get(&account.id).and_then(|ledger| ledger.confirmed(slot(hour)));
                if confirmed.is_none_or(|confirmed| confirmed < failed.at) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
