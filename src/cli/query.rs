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

/// The lake, and the state's tables where there is a state. The ledger of years and thousands of accounts is large: it is
/// read only for a query whose text names it, else its table is there without rows.
#[cfg(feature = "query")]
pub(super) async fn input(settings: &Settings, sql: &str) -> Result<crate::query::QueryInput> {
    use crate::state::tables::ledger_schema;
    use arrow::array::RecordBatch;

    let mut input = crate::query::QueryInput::new(&settings.lake);
    if let Some(state) = settings.known_state().await? {
        let ledger = match sql.to_lowercase().contains("ledger") {
            true => state.table_ledger(None, None).await?,
            false => RecordBatch::new_empty(ledger_schema()),
        };
        input.state_tables.push(("ledger".to_owned(), ledger));
        input.state_tables.push(("ledger_final".to_owned(), state.table_finals().await?));
        input.state_tables.push(("units".to_owned(), state.table_units().await?));
        input.state_tables.push(("runs".to_owned(), state.table_runs().await?));
    }
    Ok(input)
}
