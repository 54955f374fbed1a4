//! Arguments of commands about pipeline files and about what lies beside the lake.

use clap::{Args, Subcommand, ValueHint};

use super::{ListFormat, column_and_value};

/// `quarantine`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum QuarantineCommand {
    /// Lists the quarantined units and why they are
    #[command(after_help = "Examples:\n  hourmark quarantine list\n  hourmark quarantine list demo --format json")]
    List {
        /// Names of pipelines; all of the folder where none is given
        #[arg(id = "names", value_name = "PIPELINE")]
        pipelines: Vec<String>,

        /// For people, or as JSON
        #[arg(long, value_enum, default_value_t = ListFormat::Text)]
        format: ListFormat,
    },
    /// Shows a quarantined unit's reason and rows
    #[command(after_help = "Examples:\n  hourmark quarantine show demo 0f3a9c5e7b1d2468")]
    Show {
        /// The pipeline's name, or its file
        pipeline: String,
        /// The unit's key, or the 16 digits that `list` shows
        unit: String,
    },
    /// Publishes quarantined units without judging them again
    #[command(
        after_help = "Examples:\n  hourmark quarantine release demo 0f3a9c5e7b1d2468\n  hourmark quarantine release demo --all"
    )]
    Release(QuarantinedUnits),
    /// Fetches the accounts and windows of quarantined units now, and judges them again
    #[command(
        after_help = "Examples:\n  hourmark quarantine refetch demo 0f3a9c5e7b1d2468\n  hourmark quarantine refetch demo --all"
    )]
    Refetch(QuarantinedUnits),
    /// Throws the rows of quarantined units away; their hours stay unread
    #[command(
        after_help = "Examples:\n  hourmark quarantine drop demo 0f3a9c5e7b1d2468\n  hourmark quarantine drop demo --all"
    )]
    Drop(QuarantinedUnits),
}

/// Which quarantined units are meant.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuarantinedUnits {
    /// The pipeline's name, or its file
    pub pipeline: String,

    /// Keys of units, or the 16 digits that `list` shows
    #[arg(value_name = "UNIT", required_unless_present = "all", conflicts_with = "all")]
    pub units: Vec<String>,

    /// All of the pipeline's quarantined units
    #[arg(long)]
    pub all: bool,
}

/// `rewrite`
#[derive(Debug, Args)]
pub(in crate::cli) struct RewriteArguments {
    /// The pipeline's name, or its file
    pub pipeline: String,

    /// The value of a column for rows that have none; may be given several times
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = column_and_value)]
    pub fill: Vec<(String, String)>,

    /// Takes a column that is not declared any more out of every file; may be given several times
    #[arg(long, value_name = "COLUMN")]
    pub drop: Vec<String>,

    /// Checks every value and says what would change; writes nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `check`
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArguments {
    /// Pipeline files, or names of pipelines in the folder
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<String>,

    /// Asks the platform once (the accounts' first page, or the smallest request) and says what is wrong: the token, a
    /// permission, the account or the network
    #[arg(long)]
    pub live: bool,
}

/// `new`
#[derive(Debug, Args)]
pub(in crate::cli) struct NewArguments {
    /// The pipeline's name: lower-case letters, digits and `_`; that of a built-in file writes this file as it is
    #[arg(required_unless_present = "list")]
    pub name: Option<String>,

    /// Begins with a copy of this pipeline: one of the folder, a file, or a built-in one
    #[arg(long, value_name = "PIPELINE", conflicts_with = "list")]
    pub like: Option<String>,

    /// Lists the built-in pipeline files
    #[arg(long, conflicts_with = "name")]
    pub list: bool,
}

/// `demo`
#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArguments {
    /// How many accounts the simulated API has
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub accounts: usize,
}
