//! From a cassette back to the rows of its unit: the taken pages, decoded as they were then, by today's pipeline.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use super::format::{Header, Line};
use crate::decode::{Decoder, PageContext, UnknownFields};
use crate::error::{Error, Result};
use crate::time::Window;
use crate::unit::Account;

/// What the pages of a unit hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The rows, in the pipeline's lake schema, in the order in which they came.
    pub rows: RecordBatch,
    /// Pages read.
    pub pages: u32,
    /// Paths in the records that no column names.
    pub unknown_fields: UnknownFields,
    /// Where each page's rows begin.
    pub page_starts: Vec<usize>,
}

/// What the pages of a part are decoded with.
struct Part {
    accounts: Vec<Account>,
    names: HashMap<String, String>,
    currencies: HashMap<String, String>,
    window: Window,
    asked: Window,
}

/// Decodes the pages that were taken into the unit of `header`. Pure but for the reading of `lines`.
///
/// # Errors
/// A line that cannot be read, a page that cannot be decoded any more.
pub fn play(header: &Header, lines: impl Iterator<Item = Result<Line>>, decoder: &Decoder) -> Result<Played> {
    let accounts: HashMap<String, Account> =
        header.accounts()?.into_iter().map(|account| (account.id.clone(), account)).collect();
    let mut parts: HashMap<u32, Part> = HashMap::new();
    let mut rows = decoder.rows();
    // How many rows there were after each taken page, none before the first.
    let mut lengths = vec![0];
    let mut unknown_fields = UnknownFields::default();
    for line in lines {
        match line? {
            Line::Part(line) => {
                let known = line.accounts.iter().filter_map(|id| accounts.get(id).cloned());
                let part = Part {
                    accounts: known.collect(),
                    names: line.campaign_names.into_iter().collect(),
                    currencies: line.campaign_currencies.into_iter().collect(),
                    window: line.window.window()?,
                    asked: line.asked.unwrap_or(line.window).window()?,
                };
                parts.insert(line.part, part);
            }
            Line::Exchange(exchange) if exchange.taken => {
                let Some(part) = exchange.part.and_then(|number| parts.get(&number)) else {
                    return Err(Error::storage("a page belongs to no part"));
                };
                let context = PageContext {
                    accounts: &part.accounts,
                    campaign_names: &part.names,
                    campaign_currencies: &part.currencies,
                    window: part.window,
                    asked: part.asked,
                };
                let page = lengths.len();
                let read = decoder.page(&exchange.bytes()?, &context, &mut rows);
                let facts = read.map_err(|error| Error::platform(format!("page {page}: {error}")))?;
                unknown_fields.add(&facts.unknown);
                lengths.push(rows.len());
            }
            Line::Dropped { keep } => {
                lengths.truncate(keep as usize + 1);
                rows.truncate(lengths.last().copied().unwrap_or(0));
            }
            Line::Exchange(_) | Line::Pipeline { .. } | Line::End { .. } => {}
        }
    }
    // The last one is where the next page would begin.
    lengths.pop();
    let pages = u32::try_from(lengths.len()).unwrap_or(u32::MAX);
    Ok(Played { rows: rows.finish(header.fetched_at), pages, unknown_fields, page_starts: lengths })
}
