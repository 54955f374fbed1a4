//! A page's JSON body, read straight into Arrow columns: exact, typed, and all or nothing.
//!
//! Pure: no I/O, no clock. A [`Decoder`] is compiled once from a pipeline and reads any number of pages. In order:
//!
//! | file | what it does |
//! |---|---|
//! | `tree` | the wanted paths as a tree with numbered slots |
//! | `walk` | one pass over the text: slots filled with borrowed JSON text, everything else skipped |
//! | `unknown` | fields that nothing wants, counted |
//! | `list` | columns picked out of lists of `{type, value}` pairs |
//! | `cell`, `number`, `moment` | one slot's text as a typed value; no float on the way, except for float columns |
//! | `hour` | a row's hour, put on the account's clock |
//! | `row` | one record: identity, hour, columns, fingerprint |
//! | `rows` | the growing columns, cut back to where they were when a page is refused |
//! | `texts` | the same rules for a column of texts that gets another type |
//! | `attributes` | the same rules for what is kept of campaigns |

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;

use crate::pipeline::schema::lake_schema;
use crate::pipeline::{PaginationKind, Pipeline};
use crate::time::Window;
use crate::unit::Account;

mod attributes;
mod cell;
mod hour;
mod list;
mod moment;
mod number;
mod row;
mod rows;
mod texts;
mod tree;
mod unknown;
mod walk;

pub use attributes::{ListedCampaign, attributes, item_texts};
pub use rows::Rows;
pub use texts::{WrongText, column_of_texts};
pub use unknown::{UNKNOWN_KEPT, UnknownFields};

/// Reads the pages of one pipeline. Compiled once, shared by all workers.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    /// Where the rows and the pagination's values are in a body.
    body: tree::Tree,
    next: Option<usize>,
    /// Where the body says that there is another page.
    more: Option<usize>,
    total: Option<usize>,
    records_path: String,
    absent_is_empty: bool,
    /// Where a row's values are in a record.
    record: tree::Tree,
    row: row::RowPlan,
}

/// What a page was asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageContext<'a> {
    /// The accounts asked for. A row of another account is refused.
    pub accounts: &'a [Account],
    /// Campaign names by id, for platforms whose rows do not carry them.
    pub campaign_names: &'a HashMap<String, String>,
    /// Currencies of campaigns by id, for rows of accounts whose currency is not known.
    pub campaign_currencies: &'a HashMap<String, String>,
    /// Rows whose hour lies outside are counted and left away.
    pub window: Window,
}

/// What a page held besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// Records in the body, all of them.
    pub records: usize,
    /// Records left away because their hour lies outside the window.
    pub outside: usize,
    /// A hash over account, campaign, hour and dimensions of all the page's records in their order; `None` for an empty
    /// page. The same rows have the same fingerprint, so a platform that serves one page for ever is found out.
    pub fingerprint: Option<u64>,
    /// The cursor or next link; `None` where it is absent, null, false or empty. Numbers as they are written.
    pub next: Option<String>,
    /// How many pages (by page number) or rows (by offset) there are, where that is declared and present.
    pub total: Option<u64>,
    /// Fields of the records that no column names.
    pub unknown: UnknownFields,
}

/// Why a page was refused. Nothing of it was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a page: no JSON, cut off, or without the records' path. Worth asking again.
    #[error("the answer is not a page: {0}")]
    Unreadable(String),
    /// A row that cannot be kept. Asking again does not help.
    #[error("record {record}: `{column}` at `{path}` holds {found}, expected {expected}")]
    Row {
        /// The record's number in the page, from 1.
        record: usize,
        /// The column of the lake.
        column: String,
        /// Where its value is in a record.
        path: String,
        /// What is there, as JSON, at most 80 characters of it; `nothing` where the key is absent.
        found: String,
        /// What would have been right.
        expected: String,
    },
}

impl Decoder {
    /// Compiles the pipeline's paths and columns.
    pub fn new(pipeline: &Pipeline) -> Decoder {
        let mut body = tree::Tree::default();
        body.rows_at(&pipeline.records.path);
        let more = match &pipeline.pagination.kind {
            PaginationKind::Cursor { more: Some(more), .. } => Some(body.want(more)),
            _ => None,
        };
        let (next, total) = match &pipeline.pagination.kind {
            PaginationKind::Cursor { next, .. } | PaginationKind::NextLink { next } => (Some(body.want(next)), None),
            PaginationKind::PageNumber { total_pages: total, .. } | PaginationKind::Offset { total, .. } => {
                (None, total.as_ref().map(|path| body.want(path)))
            }
            PaginationKind::None | PaginationKind::LinkHeader => (None, None),
        };
        let mut record = tree::Tree::default();
        let row = row::RowPlan::new(pipeline, &mut record);
        Decoder {
            schema: lake_schema(pipeline),
            body,
            next,
            more,
            total,
            records_path: pipeline.records.path.to_string(),
            absent_is_empty: pipeline.records.absent_is_empty,
            record,
            row,
        }
    }

    /// The schema of the rows: [`lake_schema`].
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// An empty accumulator for this decoder's rows.
    pub fn rows(&self) -> Rows {
        Rows::new(self.schema.clone())
    }

    /// Reads one page into `rows`, which must come from [`Decoder::rows`] of this decoder.
    ///
    /// Keys may come in any order. Of a key that comes twice in one object the last value counts.
    ///
    /// # Errors
    /// [`DecodeError::Unreadable`] where the body is not a page, [`DecodeError::Row`] for the first row that cannot be
    /// kept. `rows` is then as before the call.
    pub fn page(&self, body: &[u8], context: &PageContext<'_>, rows: &mut Rows) -> Result<PageFacts, DecodeError> {
        let before = rows.len();
        let facts = self.read(body, context, rows);
        if facts.is_err() {
            rows.truncate(before);
        }
        facts
    }

    fn read(&self, body: &[u8], context: &PageContext<'_>, rows: &mut Rows) -> Result<PageFacts, DecodeError> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = std::str::from_utf8(body)
            .map_err(|error| DecodeError::Unreadable(format!("byte {} is not UTF-8", error.valid_up_to() + 1)))?;
        let mut page = walk::Page {
            tree: &self.record,
            captures: vec![None; self.body.slots()],
            absent: false,
            record: walk::Record::new(&self.record),
            reader: row::RowReader::new(&self.row, context, rows),
            failure: None,
        };
        if let Err(error) = walk::body(text, &self.body, &mut page) {
            return Err(page.failure.unwrap_or_else(|| DecodeError::Unreadable(unreadable(text, &error))));
        }
        if page.absent && !self.absent_is_empty {
            return Err(DecodeError::Unreadable(format!("no records at `{}`", self.records_path)));
        }
        let capture = |slot: Option<usize>| slot.and_then(|slot| page.captures[slot]);
        let goes_on = self.more.is_none() || !matches!(capture(self.more), None | Some("null" | "false" | "\"\""));
        let next = if goes_on { next_token(capture(self.next))? } else { None };
        let total = total(capture(self.total))?;
        let unknown = page.record.unknown.counts();
        Ok(PageFacts { next, total, unknown, ..page.reader.facts() })
    }
}

/// What to tell of a body that is no JSON. A page of markup is not quoted: it may echo the request.
fn unreadable(text: &str, error: &serde_json::Error) -> String {
    match text.trim_start().chars().next() {
        None => "an empty body".to_owned(),
        Some('<') => "HTML or XML instead of JSON".to_owned(),
        Some(_) => error.to_string(),
    }
}

fn next_token(raw: Option<&str>) -> Result<Option<String>, DecodeError> {
    let Some(raw) = raw else { return Ok(None) };
    match cell::Scalar::of(raw) {
        cell::Scalar::Null | cell::Scalar::Bool(false) => Ok(None),
        cell::Scalar::Number(number) => Ok(Some(number.to_owned())),
        cell::Scalar::Text(text) if text.is_empty() => Ok(None),
        cell::Scalar::Text(text) => Ok(Some(text.into_owned())),
        cell::Scalar::Bool(true) | cell::Scalar::Other => {
            Err(DecodeError::Unreadable("the next page's token is neither text nor a number".to_owned()))
        }
    }
}

fn total(raw: Option<&str>) -> Result<Option<u64>, DecodeError> {
    let Some(raw) = raw else { return Ok(None) };
    let scalar = cell::Scalar::of(raw);
    let number = match &scalar {
        cell::Scalar::Null => return Ok(None),
        cell::Scalar::Number(number) => number::integer(number).ok(),
        cell::Scalar::Text(text) => number::integer(text).ok(),
        cell::Scalar::Bool(_) | cell::Scalar::Other => None,
    };
    match number.and_then(|number| u64::try_from(number).ok()) {
        Some(total) => Ok(Some(total)),
        None => Err(DecodeError::Unreadable(format!("the total is {}, expected a count", cell::excerpt(raw)))),
    }
}

#[cfg(test)]
mod tests;
