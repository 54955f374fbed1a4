//! `query` and `changes`: what is asked of the lake by SQL, and by this program in SQL.

#[cfg(feature = "query")]
use std::io::IsTerminal;

#[cfg(feature = "query")]
use crate::error::Error;
use crate::error::{Outcome, Result};

use super::arguments::QueryArguments;
use super::screen::Screen;
use super::settings::Settings;

#[cfg(feature = "query")]
pub(super) use super::changes::changes;

#[cfg(not(feature = "query"))]
pub(super) async fn query(_: &Settings, _: &Screen, _: &QueryArguments) -> Result<Outcome> {
    Err(no_engine())
}

#[cfg(not(feature = "query"))]
pub(super) async fn changes(_: &Settings, _: &Screen, _: &super::arguments::ChangesArguments) -> Result<Outcome> {
    Err(no_engine())
}

#[cfg(not(feature = "query"))]
fn no_engine() -> crate::error::Error {
    crate::error::Error::bad_input("this build has no SQL engine")
        .hint("build with the default feature `query`, or read the lake with any engine that knows Parquet")
}

#[cfg(feature = "query")]
pub(super) async fn query(settings: &Settings, screen: &Screen, arguments: &QueryArguments) -> Result<Outcome> {
    use super::arguments::AnswerFormat;
    use crate::query::{self, Format, Output, QueryInput};

    let format = match arguments.format {
        AnswerFormat::Table => Format::Table,
        AnswerFormat::Csv => Format::Csv,
        AnswerFormat::Json => Format::Json,
        AnswerFormat::Parquet => Format::Parquet,
    };
    if format == Format::Parquet && arguments.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Error::bad_input("Parquet is nothing for a terminal").hint("name a file with --output FILE"));
    }
    let output = match &arguments.output {
        Some(path) => Output::File(path.clone()),
        None => Output::Writer(Box::new(std::io::stdout())),
    };
    let input = QueryInput { as_of: arguments.as_of, ..input(settings, &arguments.sql).await? };
    let summary = query::run(input, &arguments.sql, format, output).await?;
    if let Some(path) = &arguments.output {
        screen.remark(&format!("{} rows in `{}`", summary.rows, path.display()));
    }
    Ok(Outcome::Done)
}

/// The lake, and the state's tables where there is a state. With years and thousands of accounts these are large: a table is
/// read only for a query whose text names it, else it is there without rows.
#[cfg(feature = "query")]
pub(super) async fn input(settings: &Settings, sql: &str) -> Result<crate::query::QueryInput> {
    use crate::state::tables::{finals_schema, ledger_schema, runs_schema, units_schema};
    use arrow::array::RecordBatch;

    let mut input = crate::query::QueryInput::new(&settings.lake);
    let sql = sql.to_lowercase();
    if let Some(state) = settings.known_state().await? {
        for (name, schema) in [
            ("ledger", ledger_schema()),
            ("ledger_final", finals_schema()),
            ("units", units_schema()),
            ("runs", runs_schema()),
        ] {
            let rows = match name {
                _ if !sql.contains(name) => RecordBatch::new_empty(schema),
                "ledger" => state.table_ledger(None, None).await?,
                "ledger_final" => state.table_finals().await?,
                "units" => state.table_units().await?,
                _ => state.table_runs().await?,
            };
            input.state_tables.push((name.to_owned(), rows));
        }
    }
    Ok(input)
}
