//! `run`, `backfill` and `schedule`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::pipeline::Pipeline;
use crate::plan::Ask;
use crate::run::{self, Environment, Order, Progress, RunReport};
use crate::schedule;
use crate::telemetry::Meter;

use super::arguments::{BackfillArguments, RunArguments, ScheduleArguments};
use super::progress::Display;
use super::report;
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn run(
    settings: &Settings,
    screen: &Screen,
    arguments: &RunArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let pipelines = settings.pipelines(&arguments.pipelines)?;
    if pipelines.is_empty() {
        return Err(Error::bad_input(format!("no pipelines in `{}`", settings.pipelines.display()))
            .hint("`hourmark new NAME` writes one to begin with, `hourmark demo` shows a whole run"));
    }
    let environment = settings.environment().await?;
    let order = Order { ask: Ask::Due, accounts: arguments.accounts.clone() };
    if let [only] = pipelines.as_slice() {
        return one(&environment, screen, only.clone(), &order, stop).await.map(|report| report.outcome());
    }
    let mut worst = Outcome::Done;
    for pipeline in pipelines {
        if stop.is_cancelled() {
            worst = worse(worst, Outcome::Stopped);
            break;
        }
        let name = pipeline.name.clone();
        let outcome = match one(&environment, screen, pipeline, &order, stop.clone()).await {
            Ok(report) => report.outcome(),
            // One pipeline's error does not keep the others from running.
            Err(error) => {
                Screen::complain(&format!("error in pipeline `{name}`: {}", error.report()));
                Outcome::Failed(error.kind())
            }
        };
        worst = worse(worst, outcome);
    }
    Ok(worst)
}

pub(super) async fn backfill(
    settings: &Settings,
    screen: &Screen,
    arguments: &BackfillArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    if arguments.from >= arguments.to {
        return Err(Error::bad_input(format!("--from {} is not before --to {}", arguments.from, arguments.to))
            .hint("--to is the first date that is not fetched"));
    }
    let pipeline = settings.pipeline(&arguments.pipeline)?;
    let environment = settings.environment().await?;
    let ask = Ask::Backfill { from: arguments.from, to: arguments.to, again: arguments.again };
    let order = Order { ask, accounts: arguments.accounts.clone() };
    one(&environment, screen, pipeline, &order, stop).await.map(|report| report.outcome())
}

pub(super) async fn schedule(
    settings: &Settings,
    screen: &Screen,
    arguments: &ScheduleArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let pipelines = settings.pipelines(&arguments.pipelines)?;
    if pipelines.is_empty() {
        return Err(Error::bad_input(format!("no pipelines in `{}`", settings.pipelines.display())));
    }
    let environment = settings.environment().await?;
    for pipeline in &pipelines {
        screen.remark(&format!("{}: due at `{}` (UTC)", pipeline.name, pipeline.schedule));
    }
    let screen = *screen;
    let told = move |report: &RunReport| screen.remark(&report::line(report));
    schedule::schedule(environment, pipelines, told, stop).await?;
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

/// The outcome that says more: a failure before a wait before done.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    let weight = |outcome: Outcome| match outcome {
        Outcome::Done => 0,
        Outcome::GapsFound => 1,
        Outcome::Waiting => 2,
        Outcome::Stopped => 3,
        Outcome::PartlyFailed => 4,
        Outcome::Failed(_) => 5,
    };
    if weight(other) > weight(one) { other } else { one }
}
