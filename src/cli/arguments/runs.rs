//! Arguments of commands that fetch, or say what they would fetch.

use chrono::NaiveDate;
use clap::Args;

use super::{ListFormat, date};

/// `run`
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArguments {
    /// Names of pipelines, or their files; all of the folder where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// Only these accounts
    #[arg(long, value_delimiter = ',', value_name = "ID,ID")]
    pub accounts: Vec<String>,

    /// Keeps this run's responses, as `raw = "7d"` in the pipeline file does, and says how to look at them
    #[arg(long)]
    pub record: bool,
}

/// `schedule`
#[derive(Debug, Args)]
pub(in crate::cli) struct ScheduleArguments {
    /// Names of pipelines, or their files; all of the folder where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// Serves `/metrics` for Prometheus and `/health` at this address, as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", env = "HOURMARK_LISTEN")]
    pub listen: Option<std::net::SocketAddr>,
}

/// `backfill`
#[derive(Debug, Args)]
pub(in crate::cli) struct BackfillArguments {
    /// The pipeline's name, or its file
    pub pipeline: String,

    /// The first date
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: NaiveDate,

    /// The first date after the last
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: NaiveDate,

    /// Only these accounts
    #[arg(long, value_delimiter = ',', value_name = "ID,ID")]
    pub accounts: Vec<String>,

    /// Reads hours again that were read before; new values replace the old
    #[arg(long)]
    pub again: bool,

    /// Keeps this run's responses, as `raw = "7d"` in the pipeline file does, and says how to look at them
    #[arg(long)]
    pub record: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanArguments {
    /// Names of pipelines, or their files; all of the folder where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// Plans a repair of what `gaps` lists
    #[arg(long, conflicts_with = "from")]
    pub repair: bool,

    /// Plans a backfill from this date
    #[arg(long, value_name = "DATE", value_parser = date, requires = "to")]
    pub from: Option<NaiveDate>,

    /// The first date after the backfill's last
    #[arg(long, value_name = "DATE", value_parser = date, requires = "from")]
    pub to: Option<NaiveDate>,

    /// For people, or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}

/// `quota`
#[derive(Debug, Args)]
pub(in crate::cli) struct QuotaArguments {
    /// Names of pipelines, or their files; all of the folder where none is given
    #[arg(id = "names", value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// Forgets what the platform said (closed until, a lower limit); what was used stays used
    #[arg(long)]
    pub reset: bool,

    /// For people, or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
}
