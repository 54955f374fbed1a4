//! SQL over the lake: `hourmark query`.
//!
//! Each pipeline is a table, `campaign_hours` is a view of what all have in common, and the state's tables come
//! from the caller. Order of a query: `dataset` reads what the lake says of itself, `engine` makes the tables
//! (`table`, `view`, for an earlier moment `as_of`) and checks and plans the text, `snapshot` holds the files that are wanted
//! (`folders`) fast while they are read (`held`), `texts` says what a text is within the engine, `output` writes rows as they come. Nothing can be changed by
//! a query.
//!
//! | column of `campaign_hours` | type |
//! |---|---|
//! | `pipeline` | text, the dataset's name |
//! | the standard columns, `seen_at`, `date` | as in the lake |
//! | `impressions`, `clicks` | 64-bit integer |
//! | `spend` | decimal of 38 digits, 6 after the point or as many as the most exact pipeline has |
//! | `conversions` | 64-bit float, because platforms divide conversions |
//!
//! A pipeline without one of these metrics, or with a text of that name, gives null. `campaigns` is the like view of what is
//! known of campaigns: pipeline, platform, account_id, campaign_id, campaign_name, status, objective, daily_budget, valid_from
//! and valid_to.

mod as_of;
mod changes;
mod dataset;
mod engine;
mod folders;
mod held;
mod output;
mod snapshot;
mod table;
mod texts;
mod view;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;

use crate::error::Result;
use crate::time::Instant;
use engine::Engine;
use output::Target;

pub use changes::{Asked, Changes, Moved, Totals, changes};
pub use output::{Format, Output, TABLE_ROWS};

/// A query may use so much memory, unless told otherwise; sorting and grouping of more goes to temporary files.
pub const DEFAULT_MEMORY_LIMIT: usize = 1 << 30;

/// What a query sees.
#[derive(Debug, Clone)]
pub struct QueryInput {
    /// The lake's folder.
    pub lake: PathBuf,
    /// Further tables by name, as `ledger`, `units` and `runs` of the state.
    pub state_tables: Vec<(String, RecordBatch)>,
    /// What sorting, grouping and joining may hold in memory, in bytes.
    pub memory_limit: usize,
    /// Pipelines' tables and the view hold what was known at this moment; as they are now where it is `None`. Tables of
    /// the state and of restatements are not concerned.
    pub as_of: Option<Instant>,
}

impl QueryInput {
    /// The lake alone, with the usual memory.
    pub fn new(lake: impl Into<PathBuf>) -> QueryInput {
        QueryInput { lake: lake.into(), state_tables: Vec::new(), memory_limit: DEFAULT_MEMORY_LIMIT, as_of: None }
    }
}

/// What a query gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuerySummary {
    /// The result's rows; a table shows the first [`TABLE_ROWS`] of them.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Runs `sql` and writes its rows to `output` while they come.
///
/// Errors: bad input for a missing lake, a text that is not a reading statement or does not fit the tables, a query
/// that needs more memory than allowed, and an output that cannot be opened; storage for a lake that cannot be read
/// and rows that cannot be written. After an error nothing stands under a file's name.
pub async fn run(input: QueryInput, sql: &str, format: Format, output: Output) -> Result<QuerySummary> {
    let engine = Engine::open(&input).await?;
    let mut stream = engine.stream(sql).await?;
    let target = Target::open(output, &input.lake)?;
    let progress = target.progress();
    let (mut sink, file) = match target.sink(format, &stream.schema()) {
        Err(_) if progress.is_closed() => return Ok(QuerySummary { rows: 0, bytes: progress.bytes() }),
        opened => opened?,
    };
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| engine.explain(error))?;
        rows += batch.num_rows() as u64;
        match sink.write(&batch) {
            Err(_) if progress.is_closed() => return Ok(QuerySummary { rows, bytes: progress.bytes() }),
            written => written?,
        }
    }
    match sink.finish() {
        Err(_) if progress.is_closed() => return Ok(QuerySummary { rows, bytes: progress.bytes() }),
        finished => finished?,
    }
    engine.verify()?;
    if let Some(file) = file {
        file.finish()?;
    }
    Ok(QuerySummary { rows, bytes: progress.bytes() })
}

/// Runs `sql` and gives all its rows: for results that are known to be small. Errors as [`run`].
pub async fn rows(input: QueryInput, sql: &str) -> Result<Vec<RecordBatch>> {
    let engine = Engine::open(&input).await?;
    let mut stream = engine.stream(sql).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(|error| engine.explain(error))?);
    }
    engine.verify()?;
    Ok(batches)
}
