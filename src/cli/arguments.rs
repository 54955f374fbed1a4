//! Every command, flag and help text.

use std::path::PathBuf;
use std::sync::LazyLock;

use chrono::{NaiveDate, NaiveTime};
use clap::{Args, Parser, Subcommand, ValueHint};

mod files;
mod kept;
mod runs;
mod shown;

pub(super) use files::{
    CheckArguments, DemoArguments, NewArguments, QuarantineCommand, QuarantinedUnits, RewriteArguments,
};
pub(super) use kept::{CassetteCommand, ExportArguments, ReplayArguments};
pub(super) use runs::{BackfillArguments, PlanArguments, QuotaArguments, RunArguments, ScheduleArguments};
#[cfg(feature = "query")]
pub(super) use shown::AnswerFormat;
pub(super) use shown::{
    ChangesArguments, GapsArguments, ListFormat, QueryArguments, ReconcileArguments, StatusArguments,
};

use crate::telemetry::LogFormat;
use crate::time::Instant;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "hourmark",
    version = long_version(),
    about = "Keeps a lake of hourly ad-campaign metrics true",
    long_about = "Keeps a lake of hourly ad-campaign metrics true: pulls them from ad APIs every hour within their \
                  quotas, keeps exactly one row per account, campaign and hour, and leaves partitioned Parquet.",
    after_help = "Exit codes: 0 all done, 1 some units failed or are quarantined, 2 bad input, 3 waiting for quota, \
                  4 another run is busy, 5 gaps found, 6 lake or state not usable, 7 the platform refused, \
                  8 stopped by a signal, 9 differences found, 70 internal.",
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct Cli {
    /// What every command knows.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's version and that of the time zone data compiled into it: zones change, and then it matters.
fn long_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        format!("{} (time zone data: IANA {})", env!("CARGO_PKG_VERSION"), chrono_tz::IANA_TZDB_VERSION)
    });
    VERSION.as_str()
}

fn date(text: &str) -> Result<NaiveDate, &'static str> {
    text.parse().map_err(|_| "expected a date such as 2026-11-20")
}

fn instant(text: &str) -> Result<Instant, &'static str> {
    text.parse().map_err(|_| "expected an instant such as 2026-11-20T12:00:00Z")
}

fn column_and_value(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => Ok((column.to_owned(), value.to_owned())),
        _ => Err("expected a column and a value such as device=unknown"),
    }
}

fn moment(text: &str) -> Result<Instant, &'static str> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    text.parse()
        .map_err(|_| "expected an instant such as 2026-11-20T12:00:00Z, or a date, whose midnight in UTC is meant")
}

/// Flags that every command has. Each can also stand in `hourmark.toml` or in a `HOURMARK_*` variable.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// The settings file; `hourmark.toml` in this folder is read where it is there
    #[arg(long, global = true, value_name = "FILE", env = "HOURMARK_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// The lake's folder [default: data/lake]
    #[arg(long, global = true, value_name = "FOLDER", env = "HOURMARK_LAKE", value_hint = ValueHint::DirPath)]
    pub lake: Option<PathBuf>,

    /// The state's file [default: data/state.db]
    #[arg(long, global = true, value_name = "FILE", env = "HOURMARK_STATE", value_hint = ValueHint::FilePath)]
    pub state: Option<PathBuf>,

    /// The folder of the pipeline files [default: pipelines]
    #[arg(long, global = true, value_name = "FOLDER", env = "HOURMARK_PIPELINES", value_hint = ValueHint::DirPath)]
    pub pipelines: Option<PathBuf>,

    /// How many units are fetched at once [default: 8]
    #[arg(long, global = true, value_name = "N", env = "HOURMARK_WORKERS")]
    pub workers: Option<usize>,

    /// Sets a value of the pipeline file, as `api.base_url=http://127.0.0.1:8787`; may be given several times
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,

    /// Takes this moment for now, as `2026-11-20T12:00:00Z`; for tests
    #[arg(long, global = true, value_name = "INSTANT", env = "HOURMARK_NOW", hide_env = true, value_parser = instant)]
    pub now: Option<Instant>,

    /// How log lines are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "HOURMARK_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// Prints errors and results only
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Says more: -v what is done, -vv every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// -1 quiet, 0 as usual, 1 and more as often as `-v` was said.
    pub(super) fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose).unwrap_or(i8::MAX) }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetches and publishes what is due now
    #[command(
        after_help = "Examples:\n  hourmark run\n  hourmark run demo --workers 4\n  hourmark run demo --record\n  \
        hourmark run demo --set api.base_url=http://127.0.0.1:8787"
    )]
    Run(RunArguments),

    /// Runs pipelines on their cron schedules until it is stopped
    #[command(after_help = "Each tick asks for what is due, so a missed tick heals by itself.\n\n\
        Examples:\n  hourmark schedule\n  hourmark schedule demo --log-format json\n  hourmark schedule --listen 127.0.0.1:9464")]
    Schedule(ScheduleArguments),

    /// Fetches past dates, newest first; may be stopped and started again
    #[command(after_help = "Dates are days on each account's clock; `--to` is the first day that is not fetched.\n\n\
        Examples:\n  hourmark backfill demo --from 2026-10-01 --to 2026-11-01\n  \
        hourmark backfill demo --from 2026-11-01 --to 2026-11-03 --accounts 100001,100002 --again")]
    Backfill(BackfillArguments),

    /// Rebuilds the lake's dates from kept responses, with the pipeline file as it is now; sends nothing
    #[command(
        after_help = "Dates are the lake's folders (UTC); `--to` is the first one that is not rebuilt. Responses are kept \
        where the pipeline file says `raw = \"7d\"`.\n\n\
        Examples:\n  hourmark replay demo --from 2026-11-18 --to 2026-11-21\n  \
        hourmark replay demo --from 2026-11-18 --to 2026-11-21 --accounts 100001"
    )]
    Replay(ReplayArguments),

    /// Kept responses: lists them, makes one file for a bug report, serves them as an API
    #[command(
        subcommand,
        after_help = "Examples:\n  hourmark cassette list demo\n  \
            hourmark cassette export a1b2c3d4e5f60718 --anonymous --output report.jsonl\n  \
            hourmark cassette serve data/lake/_raw/demo"
    )]
    Cassette(CassetteCommand),

    /// Says what a run or a backfill would ask for, and how long it would take; sends nothing
    #[command(after_help = "Examples:\n  hourmark plan\n  hourmark plan demo --from 2026-10-01 --to 2026-11-01")]
    Plan(PlanArguments),

    /// Shows what is used of each limit, what is refused, and what is due needs of it
    #[command(
        after_help = "Examples:\n  hourmark quota\n  hourmark quota demo --format json\n  hourmark quota demo --reset"
    )]
    Quota(QuotaArguments),

    /// Shows watermarks, lag, last results and a heatmap of hours
    #[command(
        after_help = "Examples:\n  hourmark status\n  hourmark status demo --days 14\n  hourmark status demo --why\n  \
                      hourmark status --format json"
    )]
    Status(StatusArguments),

    /// Lists the hours that are missing, overdue or suspicious, with the reason; exit code 5 where there are any
    #[command(
        after_help = "Hours that the next scheduled run will ask for in its turn are not listed. `hourmark repair` \
        fetches what is.\n\nExamples:\n  hourmark gaps\n  hourmark gaps demo --format json"
    )]
    Gaps(GapsArguments),

    /// Fetches exactly the hours that `gaps` lists
    #[command(after_help = "Accounts that are left out are tried again.\n\n\
        Examples:\n  hourmark repair\n  hourmark repair demo --accounts 100001")]
    Repair(RunArguments),

    /// Lists units that broke a quality rule, publishes them, reads them anew or drops them
    #[command(
        after_help = "Examples:\n  hourmark quarantine list\n  hourmark quarantine show demo 0f3a9c5e7b1d2468\n  \
        hourmark quarantine refetch demo --all"
    )]
    Quarantine {
        /// What to do.
        #[command(subcommand)]
        command: QuarantineCommand,
    },

    /// Compares the lake's sums by account and day with the platform's daily report; exit code 9 where they differ
    #[command(
        after_help = "A pipeline's `[reconcile]` names the report. Dates are days on each account's clock; `--to` is the \
        first day that is not compared.\n\n\
        Examples:\n  hourmark reconcile\n  hourmark reconcile demo --from 2026-11-01 --to 2026-11-15 --format json"
    )]
    Reconcile(ReconcileArguments),

    /// Answers SQL over the lake and the state
    #[command(
        after_help = "Tables: one per pipeline and its `PIPELINE__restatements`, `campaign_hours` over all pipelines, and \
        the state's `ledger`, `ledger_final`, `units`, `runs`. With --as-of, pipelines' tables and `campaign_hours` hold \
        what was known then; the state's tables and restatements stay as they are now.\n\n\
        Examples:\n  hourmark query \"select date, sum(spend) from campaign_hours group by date order by date\"\n  \
        hourmark query \"select * from demo where date = '2026-11-20'\" --format parquet --output day.parquet\n  \
        hourmark query \"select sum(spend) from demo where date = '2026-11-20'\" --as-of 2026-11-21T06:00:00Z\n  \
        hourmark query \"show tables\""
    )]
    Query(QueryArguments),

    /// Brings a pipeline's files into the layout, key and columns that its file has now
    #[command(after_help = "The new files are made beside the old ones, then both change places: nothing is changed \
        where a value does not fit.\n\n\
        Examples:\n  hourmark rewrite demo --dry-run\n  hourmark rewrite demo\n  \
        hourmark rewrite demo --fill device=unknown --drop purchases")]
    Rewrite(RewriteArguments),

    /// Shows what was restated since a moment: what moved most, by campaign and day
    #[command(
        after_help = "Sums are over the restated rows, before and now. Lines are sorted by the size of their difference \
        as a share of all that the pipeline's restated rows hold of the metric.\n\n\
        Examples:\n  hourmark changes --since 2026-11-20\n  \
        hourmark changes demo --since 2026-11-20T06:00:00Z --metric spend --top 5 --format json"
    )]
    Changes(ChangesArguments),

    /// Checks pipeline files and shows the plan and the first request; sends nothing without --live
    #[command(after_help = "With --live nothing is created on the platform, and nothing is written to the lake.\n\n\
        Examples:\n  hourmark check pipelines/*.toml\n  hourmark check demo\n  hourmark check demo --live")]
    Check(CheckArguments),

    /// Writes a commented pipeline file to begin with, or a copy of one that is there
    #[command(
        after_help = "A copy keeps all comments; the platform's name and the variables named after it are changed. \
        No file is overwritten.\n\n\
        Examples:\n  hourmark new acme\n  hourmark new --list\n  hourmark new demo\n  hourmark new acme --like demo"
    )]
    New(NewArguments),

    /// Serves an ad API to try pipelines against, on this machine
    #[command(after_help = "Examples:\n  hourmark simulate\n  \
        hourmark simulate --listen 127.0.0.1:8787 --accounts 200 --app-quota 20/1s --fault-rate 0.1")]
    Simulate(Box<crate::simulate::Options>),

    /// Simulated API, three days of hours, a lake and a query, in one go
    #[command(after_help = "Examples:\n  hourmark demo\n  hourmark demo --lake /tmp/lake --state /tmp/state.db")]
    Demo(DemoArguments),

    /// Prints a shell's completions
    #[command(after_help = "Examples:\n  hourmark completions bash > /etc/bash_completion.d/hourmark")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },

    /// Writes manual pages
    #[command(after_help = "Examples:\n  hourmark man /usr/local/share/man/man1")]
    Man {
        /// Where to.
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_arguments_share_a_name() {
        Cli::command().debug_assert();
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).expect(line);
        let run = parse("hourmark run a b --pipelines folder");
        assert_eq!(run.global.pipelines, Some(PathBuf::from("folder")));
        let Command::Run(arguments) = run.command else { panic!("run") };
        assert_eq!(arguments.pipelines, ["a", "b"]);
    }
}
