//! Runs pipelines on their cron schedules until it is stopped.
//!
//! A tick only asks for what is due, so a missed tick heals with the next one. Runs of one pipeline never overlap: a tick
//! that comes while its run still goes on is answered when that has ended, and several count as one. The scheduler
//! library only rings; a second clock of our own watches that it does, and rings itself where it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use croner::Cron;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::pipeline::Pipeline;
use crate::plan::Ask;
use crate::run::{self, Environment, Order, Progress, RunReport};
use crate::serve::Board;
use crate::telemetry::Meter;
use crate::time::Instant;

/// How late a tick may be before it is rung by the watch.
const LATE: chrono::Duration = chrono::Duration::seconds(90);
/// How often the watch looks.
const WATCH_EVERY: Duration = Duration::from_secs(30);
/// After a stop, runs have so long to reach a page boundary and publish.
const GRACE: Duration = Duration::from_secs(9);

/// Runs `pipelines` until `stop`; every run's report goes to `told`.
///
/// Everything due is asked for at once at the start. A run's error is logged and leaves the others alone.
pub async fn schedule(
    environment: Environment,
    pipelines: Vec<Arc<Pipeline>>,
    board: Arc<Board>,
    told: impl Fn(&RunReport) + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<()> {
    let mut scheduler = JobScheduler::new().await.map_err(|error| broken("start", error))?;
    let mut loops = JoinSet::new();
    for pipeline in pipelines {
        let (ring, rung) = mpsc::channel(1);
        let answered = Arc::new(AtomicI64::new(chrono::Utc::now().timestamp()));
        add_job(&scheduler, &pipeline, ring.clone()).await?;
        let _full = ring.try_send(());
        loops.spawn(watch(pipeline.clone(), ring, answered.clone(), stop.clone()));
        loops.spawn(answer(environment.clone(), pipeline, rung, answered, board.clone(), told.clone(), stop.clone()));
    }
    scheduler.start().await.map_err(|error| broken("start", error))?;
    stop.cancelled().await;
    if tokio::time::timeout(GRACE, async { while loops.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("a run did not reach a page boundary in time; what it staged is published by the next run");
    }
    scheduler.shutdown().await.map_err(|error| broken("stop", error))
}

fn broken(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal(format!("cannot {what} the scheduler")).because(error)
}

/// The library's part: rings at each time of the cron expression. A bell that is still ringing need not ring again.
async fn add_job(scheduler: &JobScheduler, pipeline: &Pipeline, ring: mpsc::Sender<()>) -> Result<()> {
    // The library wants seconds in front; a pipeline's schedule has five fields.
    let expression = format!("0 {}", pipeline.schedule);
    let job = Job::new_async_tz(expression.as_str(), chrono::Utc, move |_, _| {
        let ring = ring.clone();
        Box::pin(async move {
            let _full = ring.try_send(());
        })
    })
    .map_err(|error| broken(&format!("schedule pipeline `{}` with", pipeline.name), error))?;
    scheduler.add(job).await.map_err(|error| broken("add a job to", error))?;
    Ok(())
}

/// Runs the pipeline each time it is rung for, one after the other. `answered` is when that was last, in unix seconds.
async fn answer(
    environment: Environment,
    pipeline: Arc<Pipeline>,
    mut rung: mpsc::Receiver<()>,
    answered: Arc<AtomicI64>,
    board: Arc<Board>,
    told: impl Fn(&RunReport),
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            bell = rung.recv() => if bell.is_none() { return },
        }
        // A run that has to wait for quota is taken up again when it may, not at the next tick.
        while let Some(until) = once(&environment, &pipeline, &answered, &board, &told, &stop).await {
            let wait = (until - environment.clock.now()).to_std().unwrap_or_default();
            if !come_back(wait, &mut rung, &stop).await {
                return;
            }
        }
    }
}

/// One run of what is due; the moment to come back at, where the platform said wait.
async fn once(
    environment: &Environment,
    pipeline: &Arc<Pipeline>,
    answered: &AtomicI64,
    board: &Board,
    told: &impl Fn(&RunReport),
    stop: &CancellationToken,
) -> Option<Instant> {
    answered.store(chrono::Utc::now().timestamp(), Ordering::Relaxed);
    let order = Order { ask: Ask::Due, accounts: Vec::new() };
    let (meter, progress) = (Arc::new(Meter::default()), Arc::new(Progress::default()));
    board.began(&pipeline.name, meter.clone(), progress.clone(), chrono::Utc::now());
    let ended = run::run(environment, pipeline.clone(), &order, meter, progress, stop.clone()).await;
    let lag = lag(environment, pipeline).await;
    board.ended(&pipeline.name, ended.as_ref(), lag, due_by(pipeline), chrono::Utc::now());
    match ended {
        Ok(report) => {
            told(&report);
            report.resume.map(|(until, _)| until)
        }
        Err(error) => {
            tracing::error!(pipeline = pipeline.name, "{}", error.report());
            None
        }
    }
}

/// How long the oldest hour that is not published is over.
async fn lag(environment: &Environment, pipeline: &Pipeline) -> Option<Duration> {
    let accounts = environment.state.accounts(&pipeline.name).await.ok()?;
    let oldest = accounts.iter().map(|known| known.watermark).min()?;
    (environment.clock.now() - oldest).to_std().ok()
}

/// When the next run must have begun.
fn due_by(pipeline: &Pipeline) -> Option<Instant> {
    let cron = pipeline.schedule.parse::<Cron>().ok()?;
    cron.find_next_occurrence(&chrono::Utc::now(), false).ok().map(|next| next + LATE + LATE)
}

/// Waits until the platform lets us come back, or until the next tick: accounts that need not wait are due then. `false`
/// where there is nothing more to wait for.
async fn come_back(wait: Duration, rung: &mut mpsc::Receiver<()>, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        bell = rung.recv() => bell.is_some(),
        () = tokio::time::sleep(wait) => true,
    }
}

/// Rings where the scheduler has not: after the host slept, or its clock was set.
async fn watch(pipeline: Arc<Pipeline>, ring: mpsc::Sender<()>, answered: Arc<AtomicI64>, stop: CancellationToken) {
    let Ok(cron) = pipeline.schedule.parse::<Cron>() else { return };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        let now = chrono::Utc::now();
        let last = chrono::DateTime::from_timestamp(answered.load(Ordering::Relaxed), 0).unwrap_or(now);
        if missed(&cron, last, now) && ring.try_send(()).is_ok() {
            tracing::warn!(pipeline = pipeline.name, last = %last, "a scheduled time passed without a run: running now");
        }
    }
}

/// Whether a time of `cron` after `last` is more than [`LATE`] past.
fn missed(cron: &Cron, last: Instant, now: Instant) -> bool {
    cron.find_next_occurrence(&last, false).is_ok_and(|next| next + LATE < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_the_next_tick() {
        let (ring, mut rung) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let day = Duration::from_secs(86_400);
        ring.send(()).await.expect("a bell");
        assert!(come_back(day, &mut rung, &stop).await, "the tick is answered");
        assert!(come_back(Duration::ZERO, &mut rung, &stop).await, "the wait is over");
        stop.cancel();
        assert!(!come_back(day, &mut rung, &stop).await, "it is told to stop");
    }

    #[test]
    fn a_tick_counts_as_missed_only_when_it_is_late() {
        let cron: Cron = "5 * * * *".parse().expect("a cron expression");
        let at = |text: &str| text.parse::<Instant>().expect("an instant");
        let last = at("2026-11-20T12:05:10Z");
        assert!(!missed(&cron, last, at("2026-11-20T13:05:30Z")));
        assert!(missed(&cron, last, at("2026-11-20T13:06:31Z")));
        assert!(missed(&cron, last, at("2026-11-22T00:00:00Z")));
    }
}
