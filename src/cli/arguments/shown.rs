//! Arguments of commands that show and compare what is there.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum, ValueHint};

use super::{date, moment};
use crate::time::Instant;

/// How tables of facts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ListFormat {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

/// `status`
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArguments {
    /// Names of pipelines; all that the state knows where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// How many days the heatmap goes back
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=366))]
    pub days: u16,

    /// Explains the ages at which hours are read again: what was seen to move, and what was learnt of it
    #[arg(long)]
    pub why: bool,

    /// For people, or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

/// `gaps`
#[derive(Debug, Args)]
pub(in crate::cli) struct GapsArguments {
    /// Names of pipelines; all of the folder where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// For people, or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

/// `reconcile`
#[derive(Debug, Args)]
pub(in crate::cli) struct ReconcileArguments {
    /// Names of pipelines, or their files; all of the folder that name a report where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// The first date; the last seven that are settled where none is given
    #[arg(long, value_name = "DATE", value_parser = date, requires = "to")]
    pub from: Option<NaiveDate>,

    /// The first date after the last
    #[arg(long, value_name = "DATE", value_parser = date, requires = "from")]
    pub to: Option<NaiveDate>,

    /// Only these accounts
    #[arg(long, value_delimiter = ',', value_name = "ID,ID")]
    pub accounts: Vec<String>,

    /// For people, or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

/// How a query's answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AnswerFormat {
    /// A table for people; at most 1,000 rows.
    Table,
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object a line.
    Json,
    /// Parquet; with `--output`.
    Parquet,
}

/// `query`
#[derive(Debug, Args)]
pub(in crate::cli) struct QueryArguments {
    /// The SQL
    pub sql: String,

    /// Answers with the values as they were known at this moment: an instant, or a date for its midnight in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub as_of: Option<Instant>,

    /// How the answer is written
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,

    /// Where to; standard output where it is not given
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// `changes`
#[derive(Debug, Args)]
pub(in crate::cli) struct ChangesArguments {
    /// Names of pipelines; all of the lake where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// What was seen after this moment: an instant, or a date for its midnight in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Instant,

    /// Only this metric
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,

    /// So many lines, the weightiest
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub top: u16,

    /// For people, or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}
