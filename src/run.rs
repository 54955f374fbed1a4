//! One planned pass over one pipeline, from the lease to the report.
//!
//! ```text
//! lease -> publish what an earlier run left staged -> list accounts -> plan -> workers: fetch, stage, record
//!       -> when a partition's planned units have ended: merge and publish -> ledger and watermark
//!       -> follow what is known of campaigns -> report
//! ```
//!
//! A unit that fails leaves nothing visible and holds nobody back. The lease's fencing token goes into every write of
//! the state, so a run that lost its lease can record nothing.

mod accounts;
mod attributes;
mod dispatch;
mod leftovers;
mod planning;
mod publish;
mod quarantine;
mod replay;
mod report;
mod stage;
mod tapes;
mod work;

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant as Moment;

use chrono::Duration;
use tokio_util::sync::CancellationToken;

use crate::cassette::Recording;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{Fetch, Unlisted};
use crate::lake::{Dataset, DatasetSpec, Lake, Recovered};
use crate::pipeline::Pipeline;
use crate::plan::Ask;
use crate::quota::Quotas;
use crate::refresh::{Refresh, grid_zone};
use crate::state::{Acquired, CreationEnd, KnownAccount, Lease, RunKind, State};
use crate::telemetry::Meter;
use crate::time::{Clock, Instant, hours_in, slot};
use crate::unit::{Unit, UnitKey};

pub use accounts::first_hour;
pub use attributes::{CampaignsFollowed, attributes_due};
pub use planning::{plan_now, refresh_of, stretches};
use quarantine::Task;
pub use quarantine::{Errand, drop_quarantined, run_errand};
pub use replay::{ReplayOrder, ReplayReport, replay};
pub use report::{RunReport, Skipped, UnitEnd};
use work::Worked;

/// Units that were begun longer ago are not taken up: platforms keep reports for about so long.
const TAKEN_UP_HOURS: i64 = 24;

/// The rows that all workers hold together are about so many bytes at most; what is more is put aside.
const ROWS_HELD: usize = 24 * 1024 * 1024;
/// However many workers there are, a unit's rows are not put aside before they are so many bytes.
const LEAST_HELD: usize = 1024 * 1024;

/// What a run works with.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where rows go.
    pub lake: Lake,
    /// What is remembered.
    pub state: State,
    /// What time it is.
    pub clock: Clock,
    /// How many units are fetched at once.
    pub workers: usize,
    /// Who this process is, for the lease.
    pub holder: String,
}

/// What a run is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which hours.
    pub ask: Ask,
    /// Only these accounts; empty: all.
    pub accounts: Vec<String>,
}

/// How far a run is, for whoever watches it. Written by the run alone.
#[derive(Debug, Default)]
pub struct Progress {
    /// Units planned.
    pub planned: AtomicU64,
    /// Units staged or failed.
    pub ended: AtomicU64,
    /// Units failed.
    pub failed: AtomicU64,
    /// Partitions published.
    pub published: AtomicU64,
    /// The limits that the run keeps, once it has them: how much of them is in use.
    pub quotas: OnceLock<Quotas>,
}

/// Everything one run holds while it lasts.
struct Run<'a> {
    environment: &'a Environment,
    pipeline: Arc<Pipeline>,
    /// When its hours are due.
    refresh: Refresh,
    dataset: Dataset,
    lease: Arc<Lease>,
    fetch: Arc<Fetch>,
    recording: Arc<Recording>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    /// The units of earlier runs that it went on with.
    taken_up: OnceLock<HashSet<UnitKey>>,
}

/// Runs `order` on `pipeline` and reports. Failures of single units are in the report; an error means that the run as
/// a whole could not be done, with everything published so far kept.
pub async fn run(
    environment: &Environment,
    pipeline: Arc<Pipeline>,
    order: &Order,
    meter: Arc<Meter>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<RunReport> {
    carry_out(environment, pipeline, Task::Order(order), meter, progress, stop).await
}

async fn carry_out(
    environment: &Environment,
    pipeline: Arc<Pipeline>,
    task: Task<'_>,
    meter: Arc<Meter>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<RunReport> {
    let started = environment.clock.now();
    let began = Moment::now();
    // Before the lease: a wrong secret should not look like a run. Nor does an unusable lake: no run has begun then.
    let fetch = Fetch::new(pipeline.clone(), environment.state.clone(), environment.clock, meter.clone())?;
    progress.quotas.get_or_init(|| fetch.quotas().clone());
    let lease = acquire(environment, &pipeline.name, started).await?;
    // Under the lease, or a rewrite could change the dataset's form after it was looked at.
    let dataset = match open_dataset(environment, &pipeline).await {
        Ok(dataset) => dataset,
        Err(error) => {
            // What is wrong with the lake says more than that the lease could not be given back.
            let _released = environment.state.release(&lease).await;
            return Err(error);
        }
    };
    let refresh = Refresh::new(pipeline.clone(), &environment.state.learn(&lease, &pipeline, started).await?);
    let id = environment.state.begin_run(&pipeline.name, task.kind(), started).await?;
    let mut report = RunReport::new(&pipeline.name, task.ask());
    let recording = Recording::new(&pipeline, environment.lake.root(), id.number(), started);
    let run = Run {
        environment,
        recording: Arc::new(recording),
        pipeline,
        refresh,
        dataset,
        lease: Arc::new(lease),
        fetch: Arc::new(fetch),
        progress,
        stop,
        taken_up: OnceLock::new(),
    };
    let above = (ROWS_HELD / environment.workers.max(1)).max(LEAST_HELD);
    run.fetch.put_aside(run.dataset.clone(), above, std::thread::available_parallelism().map_or(1, NonZero::get));
    let passed = match run.fetch.open(run.lease.clone()).await {
        Ok(()) => match task {
            Task::Order(order) => pass(&run, order, &mut report).await,
            Task::Errand(errand) => run.errand(errand, &mut report).await,
        },
        Err(error) => Err(error),
    };
    let result = passed.and(run.fetch.close().await);
    run.recording.sweep(environment.clock.now()).await;
    report.cassettes_lost = run.recording.lost();
    report.quotas = run.fetch.quotas().uses();
    report.latency = run.fetch.quotas().mean_latency();
    report.take_counts(&meter.read(), began.elapsed());
    if !report.unknown_fields.is_empty() {
        tracing::info!(pipeline = report.pipeline, unknown_fields = %report.unknown_fields, "fields that no column names");
    }
    let summary = report.summary(result.as_ref().err());
    let ended = environment.state.end_run(id, &summary, environment.clock.now()).await;
    let released = environment.state.release(&run.lease).await;
    // What went wrong in the run says more than that its end could not be recorded either.
    result.and(ended).and(released).map(|()| report)
}

/// The pipeline's dataset, after what a killed rewrite left of it was brought to its end or removed.
async fn open_dataset(environment: &Environment, pipeline: &Pipeline) -> Result<Dataset> {
    let recovered = environment.lake.recover(&pipeline.name).await?;
    if recovered != Recovered::Nothing {
        tracing::info!(pipeline = pipeline.name, ?recovered, "a rewrite had been cut off");
    }
    environment.lake.dataset(DatasetSpec::of(pipeline)).await
}

/// Asks for the pipeline's lease.
///
/// # Errors
/// [`ErrorKind::Busy`] names who has it.
pub(crate) async fn acquire(environment: &Environment, pipeline: &str, now: Instant) -> Result<Lease> {
    match environment.state.acquire(pipeline, &environment.holder, now).await? {
        Acquired::Held(lease) => Ok(lease),
        Acquired::Busy { holder, since } => Err(Error::new(
            ErrorKind::Busy,
            format!("pipeline `{pipeline}` is being run by {holder} since {}", since.format("%Y-%m-%d %H:%M:%SZ")),
        )
        .hint("wait for it to end, or stop it; two runs of one pipeline never meet")),
    }
}

fn kind_of(ask: Ask) -> RunKind {
    match ask {
        Ask::Due => RunKind::Hourly,
        Ask::Repair => RunKind::Repair,
        Ask::Backfill { .. } => RunKind::Backfill,
    }
}

/// The body of a run, with the lease held.
async fn pass(run: &Run<'_>, order: &Order, report: &mut RunReport) -> Result<()> {
    run.environment.state.follow_rules(&run.lease, &run.refresh, run.environment.clock.now()).await?;
    // Before anything is asked for: what the lake refuses should not look like a run.
    let versions = run.open_versions().await?;
    run.publish_leftovers(report).await?;
    if run.stop.is_cancelled() {
        report.stopped = true;
        return Ok(());
    }
    let accounts = match run.list_accounts().await {
        Ok(accounts) => accounts,
        Err(Unlisted::Failed(error)) => return Err(error),
        Err(Unlisted::ComeBack { until, reason }) => {
            report.come_back(until, reason);
            return Ok(());
        }
        Err(Unlisted::Stopped) => {
            report.stopped = true;
            return Ok(());
        }
    };
    let known = run.know(accounts, order, report).await?;
    report.accounts = known.len();
    run.take_up(&known, report).await?;
    let stretches = stretches(order.ask);
    for ask in &stretches {
        report.add_plan(&run.plan(&known, *ask).await?);
    }
    run.progress.planned.store(report.planned, Ordering::Relaxed);
    for ask in stretches {
        run.stretch(&known, ask, report).await?;
    }
    run.follow_campaigns(versions.as_ref(), &known, order.ask, report).await?;
    // A signal after the last unit stopped nothing.
    report.stopped = run.stop.is_cancelled() && report.units_left() > 0;
    Ok(())
}

impl Run<'_> {
    /// Works on one stretch. A backfill holds the lease for long, so whenever the schedule would have asked for what is
    /// due it does that first: the hourly lane goes before it.
    async fn stretch(&self, known: &[KnownAccount], ask: Ask, report: &mut RunReport) -> Result<()> {
        loop {
            if report.ends_early() || self.stop.is_cancelled() {
                return Ok(());
            }
            let until = match ask {
                Ask::Repair => None,
                Ask::Due | Ask::Backfill { .. } => self.next_tick(),
            };
            // Planned again, not kept: a long backfill's units would fill the memory.
            let planned = self.plan(known, ask).await?;
            let Worked::TimeIsUp = self.work(planned.units, until, report).await? else { return Ok(()) };
            if ask == Ask::Due {
                // What is left may have moved, nothing more: it is due again in the run that is due now.
                return Ok(());
            }
            tracing::info!(pipeline = self.pipeline.name, "what is due goes before the backfill");
            let due = self.plan(known, Ask::Due).await?;
            report.add_plan(&due);
            self.progress.planned.store(report.planned, Ordering::Relaxed);
            self.work(due.units, None, report).await?;
        }
    }

    /// When the schedule asks for what is due the next time.
    fn next_tick(&self) -> Option<Instant> {
        let cron: croner::Cron = self.pipeline.schedule.parse().ok()?;
        cron.find_next_occurrence(&self.environment.clock.now(), false).ok()
    }

    /// Takes up the units that an earlier run had begun to create something for: that is paid for already.
    async fn take_up(&self, known: &[KnownAccount], report: &mut RunReport) -> Result<()> {
        let since = self.environment.clock.now() - Duration::hours(TAKEN_UP_HOURS);
        let mut begun = self.environment.state.open_units(&self.pipeline.name, since).await?;
        begun.retain(|unit| {
            unit.accounts.iter().all(|account| known.iter().any(|known| known.account.id == account.id))
        });
        if begun.is_empty() {
            return Ok(());
        }
        let begun = self.unread_since(begun).await?;
        let keys = begun.iter().map(|unit| unit.key.clone()).collect();
        // A run takes up once.
        let _first = self.taken_up.set(keys);
        report.planned += begun.len() as u64;
        self.work(begun, None, report).await.map(|_| ())
    }

    /// Those of `begun` of whose hours none was read after the unit was begun: what it would bring is older.
    async fn unread_since(&self, begun: Vec<Unit>) -> Result<Vec<Unit>> {
        let mut since: HashMap<UnitKey, Instant> = HashMap::new();
        for creation in self.environment.state.creations(&self.pipeline.name).await? {
            if creation.end == CreationEnd::Open {
                let at = since.entry(creation.unit).or_insert(creation.begun_at);
                *at = creation.begun_at.min(*at);
            }
        }
        let mut unread = Vec::new();
        for unit in begun {
            let Some(since) = since.get(&unit.key) else { continue };
            let (from, to) = (unit.window.from(), unit.window.to());
            let ledgers = self.environment.state.ledgers(&self.pipeline.name, from, to).await?;
            let newer = unit.accounts.iter().any(|account| {
                let mut hours = hours_in(unit.window, grid_zone(&self.pipeline, account));
                let Some(ledger) = ledgers.get(&account.id) else { return false };
                hours.any(|hour| ledger.confirmed(slot(hour)).is_some_and(|read| read > *since))
            });
            if newer {
                tracing::info!(unit = %unit.key, "not taken up: its hours were read since");
            } else {
                unread.push(unit);
            }
        }
        Ok(unread)
    }
}

#[cfg(test)]
mod tests;
