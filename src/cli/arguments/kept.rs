//! The commands that work with kept responses.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand, ValueHint};

use super::{ListFormat, date};

/// `replay`
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArguments {
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
}

/// `cassette`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CassetteCommand {
    /// Lists the kept responses, oldest first
    #[command(after_help = "Examples:\n  hourmark cassette list\n  hourmark cassette list demo --format json")]
    List {
        /// The pipeline's name; all where none is given
        pipeline: Option<String>,

        /// For people, or as JSON
        #[arg(long, value_enum, default_value_t = ListFormat::Text)]
        format: ListFormat,
    },

    /// Writes a unit's responses as one plain file, without secrets
    #[command(
        after_help = "Examples:\n  hourmark cassette export a1b2c3d4e5f60718 --output report.jsonl --anonymous\n  \
        hourmark cassette export a1b2c3d4e5f60718 --fixtures tests/fixtures/demo\n  \
        hourmark cassette export data/lake/_raw/demo/2026-11-20/20261120T120000Z-a1b2c3d4e5f60718.jsonl.zst"
    )]
    Export(ExportArguments),

    /// Serves kept responses to whoever sends the same requests, on this machine
    #[command(after_help = "Examples:\n  hourmark cassette serve data/lake/_raw/demo\n  \
        hourmark cassette serve report.jsonl --listen 127.0.0.1:8787\n  \
        hourmark run demo --set api.base_url=http://127.0.0.1:8787 --lake other/lake --state other/state.db")]
    Serve {
        /// Cassettes, exported files, or folders of them
        #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
        paths: Vec<PathBuf>,

        /// Where to; port 0 takes a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
        listen: std::net::SocketAddr,
    },
}

/// `cassette export`
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArguments {
    /// The unit's key or digest, or the cassette's file
    pub unit: String,

    /// Where to; standard output where it is not given
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,

    /// Writes answer files, a scenario and the rows for tests into this folder instead: all that the unit's run was
    /// answered for its accounts. Give the run's own --set again
    #[arg(long, value_name = "FOLDER", conflicts_with = "output", value_hint = ValueHint::DirPath)]
    pub fixtures: Option<PathBuf>,

    /// Puts short hashes in the place of account ids and names and of campaign names
    #[arg(long)]
    pub anonymous: bool,
}
