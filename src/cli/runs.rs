//! `run`, `backfill` and `schedule`.

use std::sync::Arc;

use chrono::NaiveDate;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pipeline::Pipeline;
use crate::plan::Ask;
use crate::run::{self, Environment, Order, Progress, RunReport};
use crate::schedule;
use crate::serve::{self, Board};
use crate::telemetry::Meter;

use super::arguments::{BackfillArguments, RunArguments, ScheduleArguments};
use super::progress::Display;
use super::record;
use super::report;
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn run(
    settings: &Settings,
    screen: &Screen,
    arguments: &RunArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    each(settings, screen, arguments, Ask::Due, stop).await
}

pub(super) async fn repair(
    settings: &Settings,
    screen: &Screen,
    arguments: &RunArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    each(settings, screen, arguments, Ask::Repair, stop).await
}

/// Runs each of the named pipelines, one after the other.
async fn each(
    settings: &Settings,
    screen: &Screen,
    arguments: &RunArguments,
    ask: Ask,
    stop: CancellationToken,
) -> Result<Outcome> {
    let (pipelines, broken) = settings.usable(&arguments.pipelines)?;
    let count = pipelines.len() + broken;
    let environment = settings.environment().await?;
    let order = Order { ask, accounts: arguments.accounts.clone() };
    let mut worst = Outcome::Done;
    let mut kinds = vec![ErrorKind::BadInput; broken];
    for pipeline in pipelines {
        if stop.is_cancelled() {
            worst = worse(worst, Outcome::Stopped);
            break;
        }
        let name = pipeline.name.clone();
        let record = arguments.record;
        match one_kept(settings, &environment, screen, pipeline, &order, record, stop.clone()).await {
            Ok(report) => worst = worse(worst, report.outcome()),
            Err(error) if count == 1 => return Err(error),
            // One pipeline's error does not keep the others from running.
            Err(error) => {
                tracing::error!(pipeline = name, "{}", error.report());
                kinds.push(error.kind());
            }
        }
    }
    match kinds.first() {
        Some(kind) => Err(Error::new(*kind, format!("{} of {count} pipelines could not run", kinds.len()))),
        None => Ok(worst),
    }
}

pub(super) async fn backfill(
    settings: &Settings,
    screen: &Screen,
    arguments: &BackfillArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let ask = past(arguments.from, arguments.to, arguments.again)?;
    let pipeline = settings.pipeline(&arguments.pipeline)?;
    let environment = settings.environment().await?;
    let order = Order { ask, accounts: arguments.accounts.clone() };
    let record = arguments.record;
    let run = one_kept(settings, &environment, screen, pipeline, &order, record, stop).await;
    run.map(|report| report.outcome())
}

/// As [`one`], with its responses kept where `record` says so.
async fn one_kept(
    settings: &Settings,
    environment: &Environment,
    screen: &Screen,
    pipeline: Arc<Pipeline>,
    order: &Order,
    record: bool,
    stop: CancellationToken,
) -> Result<RunReport> {
    if !record {
        return one(environment, screen, pipeline, order, stop).await;
    }
    let (name, since) = (pipeline.name.clone(), settings.clock.now());
    let result = one(environment, screen, record::recorded(&pipeline), order, stop).await;
    // What was answered is most wanted where it went wrong.
    record::tell(screen, &settings.lake, &name, since)?;
    result
}

/// A backfill of `[from, to)`.
pub(super) fn past(from: NaiveDate, to: NaiveDate, again: bool) -> Result<Ask> {
    if from >= to {
        return Err(Error::bad_input(format!("--from {from} is not before --to {to}"))
            .hint("--to is the first date that is not fetched"));
    }
    Ok(Ask::Backfill { from, to, again })
}

pub(super) async fn schedule(
    settings: &Settings,
    screen: &Screen,
    arguments: &ScheduleArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let pipelines = settings.pipelines(&arguments.pipelines)?;
    let environment = settings.environment().await?;
    for pipeline in &pipelines {
        screen.remark(&format!("{}: due at `{}` (UTC)", pipeline.name, pipeline.schedule));
    }
    let board = Arc::new(Board::new(pipelines.iter().map(|pipeline| pipeline.name.as_str())));
    if let Some(address) = arguments.listen {
        let taken = serve::serve(board.clone(), address, stop.clone()).await?;
        screen.remark(&format!("metrics at http://{taken}/metrics"));
    }
    let screen = *screen;
    let told = move |report: &RunReport| screen.remark(&report::line(report));
    schedule::schedule(environment, pipelines, board, told, stop).await?;
    Ok(Outcome::Done)
}

/// One run with its display; the report is printed when it is over.
pub(super) async fn one(
    environment: &Environment,
    screen: &Screen,
    pipeline: Arc<Pipeline>,
    order: &Order,
    stop: CancellationToken,
) -> Result<RunReport> {
    let (meter, progress) = (Arc::new(Meter::default()), Arc::new(Progress::default()));
    let display = Display::start(*screen, &pipeline.name, meter.clone(), progress.clone());
    let result = run::run(environment, pipeline, order, meter, progress, stop).await;
    display.end();
    let report = result?;
    screen.remark(&report::table(&report));
    Ok(report)
}

/// The outcome that says more: a failure before differences, these before a wait, and that before done.
pub(super) fn worse(one: Outcome, other: Outcome) -> Outcome {
    let weight = |outcome: Outcome| match outcome {
        Outcome::Done => 0,
        Outcome::GapsFound => 1,
        Outcome::Waiting => 2,
        Outcome::Stopped => 3,
        Outcome::PartlyFailed => 4,
        Outcome::Differs => 5,
        Outcome::Failed(_) => 6,
    };
    if weight(other) > weight(one) { other } else { one }
}
