//! One planned pass over one pipeline, from the lease to the report.
//!
//! ```text
//! lease -> publish what an earlier run left staged -> list accounts -> plan -> workers: fetch, stage, record
//!       -> when a partition's planned units have ended: merge and publish -> ledger and watermark -> report
//! ```
//!
//! A unit that fails leaves nothing visible and holds nobody back. The lease's fencing token goes into every write of
//! the state, so a run that lost its lease can record nothing.

mod dispatch;
mod leftovers;
mod publish;
mod quarantine;
mod replay;
mod report;
mod tapes;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant as Moment;

use chrono::Duration;
use tokio_util::sync::CancellationToken;

use crate::cassette::Recording;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{Fetch, Unlisted};
use crate::gaps;
use crate::lake::{Dataset, DatasetSpec, Lake, Recovered};
use crate::ledger::AccountLedger;
use crate::pipeline::Pipeline;
use crate::pipeline::schema::{key_columns, lake_schema};
use crate::plan::{self, Ask, Plan, Subject};
use crate::quota::Quotas;
use crate::refresh::{Learned, Refresh, grid_zone};
use crate::state::{Acquired, CreationEnd, KnownAccount, Lease, RunKind, State};
use crate::telemetry::Meter;
use crate::time::{Clock, Instant, date_at, day, hours_in, offset_seconds, slot};
use crate::unit::{Account, Unit, UnitKey};

use quarantine::Task;
pub use quarantine::{Errand, drop_quarantined, run_errand};
pub use replay::{ReplayOrder, ReplayReport, replay};
pub use report::{RunReport, Skipped, UnitEnd};
use work::Worked;

/// How many days of a backfill are planned at once: the memory of its units against the requests that a cut costs.
const BACKFILL_STRETCH_DAYS: i64 = 31;

/// An account that the platform no longer gives is tried again after so long.
const SKIPPED_HOURS: i64 = 24;
/// Units that were begun longer ago are not taken up: platforms keep reports for about so long.
const TAKEN_UP_HOURS: i64 = 24;

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
    environment.lake.dataset(dataset_spec(pipeline)).await
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
    // A signal after the last unit stopped nothing.
    report.stopped = run.stop.is_cancelled() && report.units_left() > 0;
    Ok(())
}

/// A backfill in the pieces in which it is planned, newest first, so that neither its units nor its ledger need be held
/// at once.
pub fn stretches(ask: Ask) -> Vec<Ask> {
    let Ask::Backfill { from, to, again } = ask else { return vec![ask] };
    let mut pieces = Vec::new();
    let mut end = to;
    while end > from {
        let begin = (end - Duration::days(BACKFILL_STRETCH_DAYS)).max(from);
        pieces.push(Ask::Backfill { from: begin, to: end, again });
        end = begin;
    }
    pieces
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

    /// Remembers the listed accounts and gives those that the order is about, without those that were lately found to
    /// be gone.
    async fn know(&self, listed: Vec<Account>, order: &Order, report: &mut RunReport) -> Result<Vec<KnownAccount>> {
        let now = self.environment.clock.now();
        let start = first_hour(self.pipeline.window.history, now);
        // Before they are remembered: a crash in between must not lose the change.
        self.follow_zones(&listed, now).await?;
        self.environment.state.upsert_accounts(&self.pipeline.name, &listed, start, now).await?;
        let known = self.environment.state.accounts(&self.pipeline.name).await?;
        let listed: HashSet<&str> = listed.iter().map(|account| account.id.as_str()).collect();
        if let Some(unknown) = order.accounts.iter().find(|id| !listed.contains(id.as_str())) {
            return Err(Error::bad_input(format!("pipeline `{}` has no account `{unknown}`", self.pipeline.name))
                .hint("`hourmark status` lists the accounts"));
        }
        let wanted =
            |id: &str| listed.contains(id) && (order.accounts.is_empty() || order.accounts.iter().any(|a| a == id));
        let mut known: Vec<KnownAccount> = known.into_iter().filter(|known| wanted(&known.account.id)).collect();
        for skip in self.environment.state.skipped(&self.pipeline.name).await? {
            let named = order.accounts.contains(&skip.account_id) || order.ask == Ask::Repair;
            let lately = skip.last_tried + Duration::hours(SKIPPED_HOURS) > now;
            if !known.iter().any(|known| known.account.id == skip.account_id) {
                continue;
            }
            if named || !lately {
                // Tried again; if it is still gone, that is written down anew.
                self.environment.state.unskip(&self.lease, &skip.account_id).await?;
            } else {
                known.retain(|known| known.account.id != skip.account_id);
                report.skip(skip.account_id, skip.reason);
            }
        }
        Ok(known)
    }

    /// Accounts whose time zone is another one now. Where its hours begin at another minute, those in motion are read
    /// anew: their rows are of hours that the account no longer has.
    async fn follow_zones(&self, listed: &[Account], now: Instant) -> Result<()> {
        let before = self.environment.state.accounts(&self.pipeline.name).await?;
        let before: HashMap<&str, &KnownAccount> =
            before.iter().map(|known| (known.account.id.as_str(), known)).collect();
        for account in listed {
            let Some(known) = before.get(account.id.as_str()) else { continue };
            let (old, new) = (known.account.time_zone, account.time_zone);
            if old == new {
                continue;
            }
            tracing::warn!(
                account = account.id,
                "its time zone was {old} and is {new}: hours are cut by that from now on"
            );
            let minute = |account: &Account| offset_seconds(now, grid_zone(&self.pipeline, account)).rem_euclid(3600);
            if minute(&known.account) != minute(account) {
                let after = KnownAccount { account: account.clone(), ..(*known).clone() };
                self.environment.state.unsettle(&self.lease, &self.refresh, &after, now).await?;
            }
        }
        Ok(())
    }

    async fn plan(&self, known: &[KnownAccount], ask: Ask) -> Result<Plan> {
        let now = self.environment.clock.now();
        let mut plan = plan_now(Some(&self.environment.state), &self.refresh, known, ask, now).await?;
        // What was taken up and did not succeed is for the next run.
        if let Some(taken_up) = self.taken_up.get() {
            plan.units.retain(|unit| !taken_up.contains(&unit.key));
        }
        Ok(plan)
    }
}

/// Plans `ask` from what the state knows, or for a ledger that is empty; `hourmark plan` shows it without a run.
pub async fn plan_now(
    state: Option<&State>,
    refresh: &Refresh,
    known: &[KnownAccount],
    ask: Ask,
    now: Instant,
) -> Result<Plan> {
    let Some(state) = state else {
        return Ok(plan::plan(refresh, &subjects(known, &HashMap::new()), ask, now));
    };
    let name = &refresh.pipeline().name;
    match ask {
        Ask::Due => {
            let mut ledgers = state.due_ledgers(refresh, known, now).await?;
            quarantine::hold_back(&mut ledgers, known, &state.quarantined(name).await?, now);
            Ok(plan::plan(refresh, &subjects(known, &ledgers), ask, now))
        }
        Ask::Repair => {
            let gaps = gaps::find(state, refresh, known, now).await?;
            let from = gaps.iter().map(|gap| gap.window.from()).min().unwrap_or(now);
            let ledgers = state.ledgers(name, from, now).await?;
            Ok(plan::plan_hours(refresh, &subjects(known, &ledgers), &gaps::windows(&gaps), now))
        }
        Ask::Backfill { from, to, .. } => {
            // Two days cover the widest offsets, whatever the accounts' zones.
            let utc = |date| day(date, chrono_tz::Tz::UTC).from();
            let ledgers = state.ledgers(name, utc(from) - Duration::days(2), utc(to) + Duration::days(2)).await?;
            Ok(plan::plan(refresh, &subjects(known, &ledgers), ask, now))
        }
    }
}

/// When the hours of `pipeline` are due, with what the state has learnt.
///
/// # Errors
/// A storage error.
pub async fn refresh_of(state: Option<&State>, pipeline: Arc<Pipeline>) -> Result<Refresh> {
    let learned = match state {
        Some(state) => state.learned(&pipeline.name).await?.0,
        None => Learned::default(),
    };
    Ok(Refresh::new(pipeline, &learned))
}

static NOTHING: LazyLock<AccountLedger> = LazyLock::new(AccountLedger::default);

fn subjects<'a>(known: &'a [KnownAccount], ledgers: &'a HashMap<String, AccountLedger>) -> Vec<Subject<'a>> {
    let subject = |known: &'a KnownAccount| Subject {
        account: &known.account,
        started: known.started,
        watermark: known.watermark,
        ledger: ledgers.get(&known.account.id).unwrap_or(&NOTHING),
    };
    known.iter().map(subject).collect()
}

/// Where the history of an account that is seen first begins: at the start of a UTC day, so that the first day is whole.
pub fn first_hour(history: std::time::Duration, now: Instant) -> Instant {
    day(date_at(now - history, chrono_tz::Tz::UTC), chrono_tz::Tz::UTC).from()
}

/// What the dataset of the pipeline's rows must be like.
pub(crate) fn dataset_spec(pipeline: &Pipeline) -> DatasetSpec {
    DatasetSpec {
        name: pipeline.name.clone(),
        schema: lake_schema(pipeline),
        key: key_columns(pipeline),
        partition_by: pipeline.lake.partition_by,
        buckets: pipeline.lake.buckets,
    }
}

#[cfg(test)]
mod tests;
