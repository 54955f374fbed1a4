//! Staged files: a unit's rows as Arrow IPC in batches of whole hours (several batches where an hour is large), so that
//! publishing reads little but the hour at hand. Which batch holds which hours stands in the footer's metadata.

mod write;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, root_as_footer};
use bytes::Bytes;
use chrono::DateTime;

use super::layout::{STAGED, bucket_of};
use super::store::{Stat, Store};
use crate::error::{Error, Result};
use crate::merge::{Shape, conform};
use crate::time::Instant;
use crate::unit::UnitKey;
pub(super) use write::{StagedWriter, shared_rows, write};

/// Rows of batches that hold several hours that are kept decoded from one hour to the next, of all units that are published
/// together.
pub(super) const KEPT_ROWS: usize = 64 * 1024;

/// The footer is looked for in this many bytes at the end first.
const TAIL: u64 = 16 * 1024;
/// As the end of an hour's rows: that of its batch.
const ALL: usize = usize::MAX;
/// The extension of staged files.
pub(super) const EXTENSION: &str = "arrow";
const KEY: &str = "hourmark.unit";
const HOURS: &str = "hourmark.hours";

/// The path of a unit's staged file.
pub(super) fn path(dataset: &str, key: &UnitKey) -> String {
    format!("{STAGED}/{dataset}/{}", file_name(key))
}

/// The name of a unit's staged file.
pub(super) fn file_name(key: &UnitKey) -> String {
    format!("{}.{EXTENSION}", key.digest())
}

/// Whether a file's name is that of a staged file.
pub(super) fn is_staged(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == EXTENSION)
}

/// A staged file, open for reading by hours.
#[derive(Debug)]
pub(super) struct StagedReader {
    path: String,
    stat: Stat,
    /// With the file's dictionaries.
    decoder: FileDecoder,
    batches: Vec<Batch>,
    /// The whole file, where it is small.
    whole: Option<Bytes>,
    /// How many bytes are read at once of a file that is larger.
    at_once: u64,
    /// What was read last of it, and where it begins.
    ahead: Mutex<(u64, Bytes)>,
    /// The batch that was decoded last, by its place: the next hour is mostly in the same.
    last: Mutex<Option<(usize, RecordBatch)>>,
    /// Whether that may be kept.
    keeps_last: bool,
}

/// A record batch of a staged file.
#[derive(Debug)]
struct Batch {
    block: Block,
    /// The hours in it, in order, with their rows.
    hours: Vec<(Instant, Range<usize>)>,
}

/// An hour's batches of one staged file, not decoded yet.
#[derive(Debug)]
pub(super) struct StagedHour {
    reader: Arc<StagedReader>,
    /// The place of each batch, the hour's rows in it, and what is there of it.
    parts: Vec<(usize, Range<usize>, Content)>,
}

/// What is there of a batch.
#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    /// Its rows: it was decoded for the hour before.
    Rows(RecordBatch),
}

/// What was found where a unit's staged file should be.
pub(super) enum Found {
    /// The file, readable so far as its footer.
    Whole(Box<StagedReader>),
    /// No file.
    Nothing,
    /// A file that is not what was written.
    Broken(ArrowError),
}

impl StagedReader {
    /// Opens a unit's file at `path`. A file of up to `keep` bytes is read at once and kept in memory; of a larger one so
    /// much is read at once.
    pub(super) async fn open(store: &Store, path: String, key: &UnitKey, keep: u64) -> Result<StagedReader> {
        let shown = store.shown(&path);
        match StagedReader::find(store, path, key, keep).await? {
            Found::Whole(reader) => Ok(*reader),
            Found::Nothing => Err(Error::storage(format!("the staged file `{shown}` of unit `{key}` is missing"))
                .hint("run the same command again: the unit is fetched again")),
            Found::Broken(error) => Err(Error::storage(format!("the staged file `{shown}` of unit `{key}` is broken"))
                .because(error)
                .hint("run the same command again: the unit is fetched again")),
        }
    }

    /// Looks for a unit's file at `path`.
    pub(super) async fn find(store: &Store, path: String, key: &UnitKey, keep: u64) -> Result<Found> {
        let Some(stat) = store.stat(&path).await? else { return Ok(Found::Nothing) };
        let tail_size = if stat.size <= keep { stat.size } else { TAIL.min(stat.size) };
        if tail_size == 0 {
            return Ok(Found::Broken(broken("it is empty")));
        }
        let tail = store.read_range(&path, &stat, stat.size - tail_size..stat.size).await?;
        let footer_size = match trailer(&tail) {
            Ok(size) => size,
            Err(error) => return Ok(Found::Broken(error)),
        };
        let needed = (footer_size as u64 + 10).min(stat.size);
        let tail = match needed <= tail_size {
            true => tail,
            false => store.read_range(&path, &stat, stat.size - needed..stat.size).await?,
        };
        let footer = match parse_footer(&tail, footer_size) {
            Ok(footer) => footer,
            Err(error) => return Ok(Found::Broken(error)),
        };
        if footer.key != key.as_str() {
            let (shown, found) = (store.shown(&path), footer.key);
            return Err(Error::internal(format!("the staged file `{shown}` is that of `{found}`, not of `{key}`")));
        }
        let whole = (tail.len() as u64 == stat.size).then_some(tail);
        let Footer { schema, version, dictionaries, batches, .. } = footer;
        let decoder = FileDecoder::new(schema, version);
        let mut reader = StagedReader {
            path,
            stat,
            decoder,
            batches,
            whole,
            at_once: keep,
            ahead: Mutex::default(),
            last: Mutex::default(),
            keeps_last: false,
        };
        for block in &dictionaries {
            let bytes = reader.bytes(store, block).await?;
            if let Err(error) = reader.decoder.read_dictionary(block, &Buffer::from(bytes)) {
                return Ok(Found::Broken(error));
            }
        }
        Ok(Found::Whole(Box::new(reader)))
    }

    async fn bytes(&self, store: &Store, block: &Block) -> Result<Bytes> {
        let begin = block.offset() as u64;
        let end = begin + block.metaDataLength() as u64 + block.bodyLength() as u64;
        if let Some(whole) = &self.whole {
            return Ok(whole.slice(begin as usize..end as usize));
        }
        let within = |from: u64, bytes: &Bytes| {
            let (from, to) = (begin.checked_sub(from)? as usize, end.checked_sub(from)? as usize);
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        let known = {
            let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            within(ahead.0, &ahead.1)
        };
        if let Some(known) = known {
            return Ok(known);
        }
        // The batches after this one are asked for next.
        let until = (begin + self.at_once).clamp(end, self.stat.size.max(end));
        let bytes = store.read_range(&self.path, &self.stat, begin..until).await?;
        let own = bytes.slice(..(end - begin) as usize);
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = (begin, bytes);
        Ok(own)
    }

    /// The rows of `hour`.
    pub(super) fn rows_of(&self, hour: Instant) -> usize {
        let hours = self.batches.iter().flat_map(|batch| &batch.hours).filter(|(found, _)| *found == hour);
        hours.map(|(_, rows)| rows.len()).fold(0, usize::saturating_add)
    }

    /// From now on the batch that was decoded last is kept for the next hour.
    pub(super) fn keep_last(&mut self) {
        self.keeps_last = true;
    }

    /// The most rows that are decoded for an hour which shares its batch.
    pub(super) fn shared_rows(&self) -> usize {
        let rows = |batch: &Batch| batch.hours.last().map_or(0, |(_, rows)| rows.end);
        self.batches.iter().filter(|batch| batch.hours.len() > 1).map(rows).max().unwrap_or(0)
    }

    /// The hours that it has rows of, in order, each one once.
    pub(super) fn hours(&self) -> impl Iterator<Item = Instant> {
        let all = self.batches.iter().flat_map(|batch| batch.hours.iter().map(|(hour, _)| *hour));
        let mut last = None;
        all.filter(move |hour| last.replace(*hour) != Some(*hour))
    }

    /// Reads the batches of `hour`; `None` where it has no row of it.
    pub(super) async fn read(self: &Arc<Self>, store: &Store, hour: Instant) -> Result<Option<StagedHour>> {
        let mut parts = Vec::new();
        for (place, batch) in self.batches.iter().enumerate() {
            let Some((_, rows)) = batch.hours.iter().find(|(found, _)| *found == hour) else { continue };
            let content = match self.decoded(place) {
                Some(rows) => Content::Rows(rows),
                None => Content::Bytes(self.bytes(store, &batch.block).await?),
            };
            parts.push((place, rows.clone(), content));
        }
        Ok((!parts.is_empty()).then(|| StagedHour { reader: self.clone(), parts }))
    }

    /// The rows of a batch, where it is the one that was decoded last.
    fn decoded(&self, place: usize) -> Option<RecordBatch> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(known, _)| *known == place).map(|(_, rows)| rows.clone())
    }

    /// The rows of a batch. Blocking.
    fn batch(&self, place: usize, content: &Content) -> Result<RecordBatch, ArrowError> {
        let bytes = match content {
            Content::Rows(rows) => return Ok(rows.clone()),
            Content::Bytes(bytes) => bytes,
        };
        // It may have been decoded since, for an hour that was read at the same time.
        if let Some(rows) = self.decoded(place) {
            return Ok(rows);
        }
        let Batch { block, hours } = &self.batches[place];
        let found = self.decoder.read_record_batch(block, &Buffer::from(bytes.clone()))?;
        let rows = found.ok_or_else(|| broken("a record batch is missing"))?;
        if self.keeps_last && hours.len() > 1 {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((place, rows.clone()));
        }
        Ok(rows)
    }
}

impl StagedHour {
    /// Decodes the rows of one bucket, in the dataset's schema. Blocking.
    pub(super) fn decode(&self, shape: &Shape, bucket: u16, buckets: u16) -> Result<RecordBatch> {
        let broken = |error: ArrowError| {
            Error::storage(format!("the staged file `{}` is broken", self.reader.path)).because(error)
        };
        let mut batches = Vec::with_capacity(self.parts.len());
        for (place, rows, content) in &self.parts {
            let batch = self.reader.batch(*place, content).map_err(broken)?;
            let end = if rows.end == ALL { batch.num_rows() } else { rows.end };
            if end > batch.num_rows() {
                return Err(broken(ArrowError::ParseError("a record batch has too few rows".to_owned())));
            }
            let rows = batch.slice(rows.start, end - rows.start);
            batches.push(of_bucket(conform(&rows, shape.schema())?, shape, bucket, buckets)?);
        }
        match batches.as_slice() {
            [only] => Ok(only.clone()),
            several => concat_batches(shape.schema(), several).map_err(broken),
        }
    }
}

/// The rows of the accounts of one bucket.
fn of_bucket(rows: RecordBatch, shape: &Shape, bucket: u16, buckets: u16) -> Result<RecordBatch> {
    if buckets <= 1 {
        return Ok(rows);
    }
    let accounts = shape.accounts(&rows)?;
    let mut last = ("", false);
    let mut mask = Vec::with_capacity(rows.num_rows());
    for account in accounts.iter().flatten() {
        if account != last.0 || mask.is_empty() {
            last = (account, bucket_of(account, buckets) == bucket);
        }
        mask.push(last.1);
    }
    filter_record_batch(&rows, &BooleanArray::from(mask))
        .map_err(|error| Error::internal("cannot take a bucket's rows").because(error))
}

struct Footer {
    key: String,
    schema: SchemaRef,
    version: arrow::ipc::MetadataVersion,
    dictionaries: Vec<Block>,
    batches: Vec<Batch>,
}

/// What an Arrow file's footer says.
#[derive(Debug)]
pub(super) struct ArrowFooter {
    pub(super) schema: SchemaRef,
    pub(super) version: arrow::ipc::MetadataVersion,
    pub(super) dictionaries: Vec<Block>,
    pub(super) blocks: Vec<Block>,
    pub(super) entries: HashMap<String, String>,
}

/// The footer's length, from the last ten bytes.
pub(super) fn trailer(tail: &[u8]) -> Result<usize, ArrowError> {
    let last = tail.last_chunk::<10>().ok_or_else(|| broken("it is shorter than its trailer"))?;
    read_footer_length(*last)
}

/// The footer of `size` bytes in front of the trailer.
pub(super) fn arrow_footer(tail: &[u8], size: usize) -> Result<ArrowFooter, ArrowError> {
    let end = tail.len().saturating_sub(10);
    let begin = end.checked_sub(size).ok_or_else(|| broken("its footer is longer than the file"))?;
    let footer = root_as_footer(&tail[begin..end]).map_err(|error| broken(&error.to_string()))?;
    let schema = footer.schema().ok_or_else(|| broken("it has no schema"))?;
    let mut entries = HashMap::new();
    for entry in footer.custom_metadata().into_iter().flatten() {
        entries.insert(entry.key().unwrap_or_default().to_owned(), entry.value().unwrap_or_default().to_owned());
    }
    Ok(ArrowFooter {
        schema: Arc::new(fb_to_schema(schema)),
        version: footer.version(),
        dictionaries: footer.dictionaries().into_iter().flatten().copied().collect(),
        blocks: footer.recordBatches().into_iter().flatten().copied().collect(),
        entries,
    })
}

fn parse_footer(tail: &[u8], size: usize) -> Result<Footer, ArrowError> {
    let ArrowFooter { schema, version, dictionaries, blocks: all, mut entries } = arrow_footer(tail, size)?;
    let hours = entries.remove(HOURS).ok_or_else(|| broken("its hours are missing"))?;
    let batches = hours.split(',').zip(all).map(|(hours, block)| Some(Batch { hours: hours_in_batch(hours)?, block }));
    let batches: Option<Vec<Batch>> = batches.collect();
    let batches = batches.ok_or_else(|| broken("its hours are not numbers"))?;
    Ok(Footer { key: entries.remove(KEY).unwrap_or_default(), schema, version, dictionaries, batches })
}

/// Reads `1763629200000000*500 1763632800000000*498`. An earlier version wrote the hour alone: all of the batch was of it.
fn hours_in_batch(text: &str) -> Option<Vec<(Instant, Range<usize>)>> {
    let mut begin = 0;
    let hour = |word: &str| {
        let (hour, rows) = match word.split_once('*') {
            Some((hour, rows)) => (hour, rows.parse::<usize>().ok()?),
            None => (word, ALL),
        };
        let hour: i64 = hour.parse().ok()?;
        let range = begin..usize::checked_add(begin, rows)?;
        begin = range.end;
        Some((DateTime::from_timestamp_micros(hour)?, range))
    };
    text.split(' ').map(hour).collect()
}

fn broken(what: &str) -> ArrowError {
    ArrowError::ParseError(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::hours_in_batch;

    #[test]
    fn hours_of_a_batch_are_read_and_damaged_ones_refused() {
        let ends = |text: &str| Some(hours_in_batch(text)?.iter().map(|(_, rows)| rows.end).collect::<Vec<usize>>());
        assert_eq!(ends("0*3 3600000000*2"), Some(vec![3, 5]));
        assert_eq!(ends("0"), Some(vec![usize::MAX]), "of an earlier version");
        for damaged in ["", "x", "0*", "0*-1", "0 3600000000", "0*2 3600000000*18446744073709551615"] {
            assert_eq!(ends(damaged), None, "{damaged}");
        }
    }
}
