//! The command line: what may be typed, what is meant by it, and what is printed.

mod arguments;
mod cassette;
#[cfg(feature = "query")]
mod changes;
mod check;
mod demo;
mod documents;
mod fixtures;
mod foreseen;
mod gaps;
mod heatmap;
mod live;
mod new;
mod planned;
mod progress;
mod quarantine;
mod query;
mod quota;
mod reconcile;
mod record;
mod replay;
mod report;
mod rewrite;
mod runs;
mod screen;
mod settings;
mod signed_by;
mod simulate;
mod status;
mod why;

use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::telemetry;

use arguments::{Cli, Command};
use screen::Screen;
use settings::Settings;

/// Reads the command line, does what it says, and gives the exit code (see [`Outcome::code`]).
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::init_logging(cli.global.log_format, cli.global.verbosity()) {
        return fail(&error);
    }
    let runtime = match runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Error::internal("cannot start the runtime").because(error)),
    };
    let outcome = runtime.block_on(dispatch(cli));
    // Tasks that wait for a slow peer must not hold the program back once its work is done.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => fail(&error),
    }
}

/// Sorting, encoding and writing is done by a few threads beside those that wait for answers and decode them, which is half of
/// the work: more of them would not be faster, but each would hold rows in memory. A query reads its files by them.
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let beside = match command {
        Command::Query(_) | Command::Changes(_) => cores.max(2),
        _ => cores.div_ceil(2),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(beside).build()
}

fn fail(error: &Error) -> ExitCode {
    Screen::complain(&format!("error: {}", error.report()));
    if error.kind() == ErrorKind::Internal {
        Screen::complain("  this is a fault of hourmark itself: please report it with the lines above");
    }
    Outcome::Failed(error.kind()).into()
}

async fn dispatch(cli: Cli) -> Result<Outcome> {
    let screen = Screen::new(cli.global.quiet);
    let settings = || Settings::load(&cli.global);
    match &cli.command {
        Command::Run(arguments) => runs::run(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Schedule(arguments) => runs::schedule(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Backfill(arguments) => runs::backfill(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Replay(arguments) => replay::replay(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Cassette(command) => {
            cassette::cassette(&settings()?, &screen, command, &cli.global.overrides, stop_on_signal()).await
        }
        Command::Plan(arguments) => planned::plan(&settings()?, &screen, arguments).await,
        Command::Quota(arguments) => quota::quota(&settings()?, &screen, arguments).await,
        Command::Status(arguments) => status::status(&settings()?, &screen, arguments).await,
        Command::Repair(arguments) => runs::repair(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Gaps(arguments) => gaps::gaps(&settings()?, &screen, arguments).await,
        Command::Quarantine { command } => {
            quarantine::quarantine(&settings()?, &screen, command, stop_on_signal()).await
        }
        Command::Reconcile(arguments) => reconcile::reconcile(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Query(arguments) => query::query(&settings()?, &screen, arguments).await,
        Command::Rewrite(arguments) => rewrite::rewrite(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Changes(arguments) => query::changes(&settings()?, &screen, arguments).await,
        Command::Check(arguments) => check::check(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::New(arguments) => new::new(&settings()?, &screen, arguments),
        Command::Simulate(arguments) => simulate::simulate(&screen, arguments, stop_on_signal()).await,
        Command::Demo(arguments) => demo::demo(&settings()?, &screen, arguments, stop_on_signal()).await,
        Command::Completions { shell } => documents::completions(&screen, *shell),
        Command::Man { folder } => documents::man_pages(&screen, folder),
    }
}

/// A token that SIGINT and SIGTERM cancel: work ends at the next page boundary with everything done so far kept.
fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping at the next page boundary; everything done so far is kept");
        token.cancel();
    });
    stop
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
