//! A page's body, read straight into Arrow columns: exact, typed, and all or nothing.
//!
//! Pure: no I/O, no clock. A [`Decoder`] is compiled once from a pipeline and reads any number of pages. In order:
//!
//! | file | what it does |
//! |---|---|
//! | `tree` | the wanted paths as a tree with numbered slots |
//! | `walk` | one pass over the text: slots filled with borrowed JSON text, everything else skipped |
//! | `quick` | the same at one look, for pages that are built as nearly all are |
//! | `fields` | the same for one record, whose text is known to be well-formed |
//! | `csv` | lines as records, their cells as JSON texts |
//! | `each` | records that hold a list each element of which makes a row |
//! | `position` | records that hold the values of many hours, one after the other |
//! | `unknown` | fields that nothing wants, counted |
//! | `list` | columns picked out of lists of `{type, value}` pairs |
//! | `manner` | values that are rounded, cut out of longer texts, or counted in another unit |
//! | `cell`, `number`, `moment` | one slot's text as a typed value; no float on the way, except for float columns |
//! | `hour` | a row's hour, put on the account's clock |
//! | `identity` | whose a row is |
//! | `columns` | declared columns: where their values are, and how they are read |
//! | `row` | one record: identity, hour, columns, fingerprint |
//! | `rows` | the growing columns, cut back to where they were when a page is refused |
//! | `texts` | the same rules for a column of texts that gets another type |
//! | `attributes` | the same rules for what is kept of campaigns |

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;

use crate::body::{unpack, without_mark};
use crate::pipeline::schema::lake_schema;
use crate::pipeline::{HourSource, JsonPath, PaginationKind, Pipeline, RecordFormat};
use crate::time::{Instant, Window, hours_in};
use crate::unit::Account;

mod attributes;
mod cell;
mod columns;
mod csv;
mod each;
mod fields;
mod hour;
mod identity;
mod list;
mod manner;
mod moment;
mod number;
mod position;
mod quick;
mod row;
mod rows;
mod texts;
mod tree;
mod unknown;
mod walk;

pub use attributes::{ListedCampaign, attributes, item_texts};
pub use csv::cells_of;
pub use rows::{Room, Rows};
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
    hours: position::Told,
    records_path: String,
    absent_is_empty: bool,
    /// How lines are read, where the body is comma-separated values.
    csv: Option<csv::CsvPlan>,
    /// What is unpacked is not longer.
    max_body: u64,
    /// Whether the quick way through a page is worth trying.
    quick: bool,
    /// The list in a record each element of which makes a row, and where its text is kept.
    each: Option<(usize, JsonPath, String)>,
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
    /// Rows whose hour lies outside are counted and left away: the part of `asked` that had ended.
    pub window: Window,
    /// What the platform was asked for. Hours without labels are counted from its beginning.
    pub asked: Window,
}

impl PageContext<'_> {
    /// The hours that were asked for, in UTC.
    fn asked_hours(&self) -> Vec<Instant> {
        hours_in(self.asked, Tz::UTC).collect()
    }

    /// The currency of a row's money: the account's, or the campaign's where that is not known; empty where neither is.
    fn currency_of<'c>(&'c self, account: &'c Account, campaign: &str) -> &'c str {
        match account.currency.as_str() {
            "" => self.campaign_currencies.get(campaign).map_or("", String::as_str),
            known => known,
        }
    }
}

/// What a page held besides its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// Records in the body, all of them.
    pub records: usize,
    /// Rows left away because their hour lies outside the window.
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
        let hours = match &pipeline.hour {
            HourSource::Position { start, length } => position::Told {
                start: start.as_ref().map(|path| (body.want(path), path.to_string())),
                length: length.as_ref().map(|path| (body.want(path), path.to_string())),
            },
            _ => position::Told::default(),
        };
        let mut record = tree::Tree::default();
        let row = row::RowPlan::new(pipeline, &mut record);
        let each = pipeline.shape.each.as_ref().map(|list| (record.want(list), list.clone(), list.to_string()));
        let csv = match &pipeline.shape.format {
            RecordFormat::Json => None,
            RecordFormat::Csv { header, footers } => {
                Some(csv::CsvPlan { header: header.clone(), footers: footers.clone() })
            }
        };
        Decoder {
            schema: lake_schema(pipeline),
            quick: quick::knows(&body, &record),
            body,
            next,
            more,
            total,
            hours,
            csv,
            max_body: pipeline.api.max_body,
            each,
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
        Rows::new(self.schema.clone(), self.row.platform())
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
        let body = unpack(body, self.max_body).map_err(|error| DecodeError::Unreadable(error.to_string()))?;
        let text = std::str::from_utf8(without_mark(&body))
            .map_err(|error| DecodeError::Unreadable(format!("byte {} is not UTF-8", error.valid_up_to() + 1)))?;
        match &self.csv {
            Some(csv) => self.read_csv(csv, text, context, rows),
            None => self.read_json(text, context, rows),
        }
    }

    fn read_json(&self, text: &str, context: &PageContext<'_>, rows: &mut Rows) -> Result<PageFacts, DecodeError> {
        let before = rows.len();
        if self.quick {
            let mut page = self.begin(context, rows);
            if quick::body(text, &self.body, &mut page).is_some() {
                return self.facts(&page, context);
            }
            rows.truncate(before);
        }
        let mut page = self.begin(context, rows);
        if let Err(error) = walk::body(text, &self.body, &mut page) {
            return Err(page.failure.unwrap_or_else(|| DecodeError::Unreadable(unreadable(text, &error))));
        }
        self.facts(&page, context)
    }

    fn begin<'d, 'de>(&'d self, context: &'d PageContext<'d>, rows: &'d mut Rows) -> walk::Page<'d, 'de> {
        let elements = self.each.as_ref().and_then(|(slot, list, path)| {
            self.record.elements(list).map(|node| each::Elements { slot: *slot, path, node })
        });
        walk::Page {
            tree: &self.record,
            captures: vec![None; self.body.slots()],
            absent: false,
            record: walk::Record::new(&self.record),
            elements,
            reader: row::RowReader::new(&self.row, context, rows),
            failure: None,
        }
    }

    /// What a page that was read to its end held besides its rows.
    fn facts(&self, page: &walk::Page<'_, '_>, context: &PageContext<'_>) -> Result<PageFacts, DecodeError> {
        if page.absent && !self.absent_is_empty {
            return Err(DecodeError::Unreadable(format!("no records at `{}`", self.records_path)));
        }
        let facts = page.reader.facts();
        self.hours.agree(&page.captures, context, facts.records).map_err(DecodeError::Unreadable)?;
        let capture = |slot: Option<usize>| slot.and_then(|slot| page.captures[slot]);
        let goes_on = self.more.is_none() || !matches!(capture(self.more), None | Some("null" | "false" | "\"\""));
        let next = if goes_on { next_token(capture(self.next))? } else { None };
        let total = total(capture(self.total))?;
        let unknown = page.record.unknown.counts();
        Ok(PageFacts { next, total, unknown, ..facts })
    }

    fn read_csv(
        &self,
        csv: &csv::CsvPlan,
        text: &str,
        context: &PageContext<'_>,
        rows: &mut Rows,
    ) -> Result<PageFacts, DecodeError> {
        let mut reader = row::RowReader::new(&self.row, context, rows);
        let mut unknown = unknown::Noted::default();
        csv.read(text, &self.record, &mut reader, &mut unknown)?;
        Ok(PageFacts { unknown: unknown.counts(), ..reader.facts() })
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
