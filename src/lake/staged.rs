//! Staged files: a unit's rows as Arrow IPC, one record batch per hour (several where an hour is large), so that
//! publishing reads nothing but the hour at hand. Which batch holds which hour stands in the footer's metadata.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::ipc::{Block, CompressionType, root_as_footer};
use bytes::Bytes;
use chrono::DateTime;

use super::interned::interned;
use super::layout::{STAGED, bucket_of};
use super::store::{Draft, Stat, Store, failed};
use crate::error::{Error, Result};
use crate::merge::{Shape, conform};
use crate::time::{Instant, Window};
use crate::unit::UnitKey;

/// Rows in one record batch at most.
const BATCH_ROWS: usize = 128 * 1024;
/// The footer is looked for in this many bytes at the end first.
const TAIL: u64 = 16 * 1024;
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

/// Writes sorted rows and makes them durable; gives the file's size. Blocking.
pub(super) fn write(draft: Draft, key: &UnitKey, rows: &RecordBatch, shape: &Shape) -> Result<u64> {
    let hours = shape.hours(rows)?;
    let said = draft.said();
    let written = interned(rows).and_then(|rows| write_hours(draft, key, &rows, &hours));
    let mut writer = written.map_err(|error| failed(&said, error))?;
    let counted = writer.get_mut();
    counted.inner.get_mut().commit()?;
    Ok(counted.bytes)
}

type Writer = FileWriter<Counted<BufWriter<Draft>>>;

fn write_hours(
    draft: Draft,
    key: &UnitKey,
    rows: &RecordBatch,
    hours: &[(Instant, Range<usize>)],
) -> Result<Writer, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let counted = Counted { inner: BufWriter::new(draft), bytes: 0 };
    let mut writer = FileWriter::try_new_with_options(counted, &rows.schema(), options)?;
    let mut batches = Vec::new();
    for (hour, range) in hours {
        for begin in range.clone().step_by(BATCH_ROWS) {
            writer.write(&rows.slice(begin, BATCH_ROWS.min(range.end - begin)))?;
            batches.push(hour.timestamp_micros().to_string());
        }
    }
    writer.write_metadata(KEY, key.as_str());
    writer.write_metadata(HOURS, batches.join(","));
    writer.finish()?;
    Ok(writer)
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A staged file, open for reading by hours.
#[derive(Debug)]
pub(super) struct StagedReader {
    path: String,
    stat: Stat,
    /// With the file's dictionaries.
    decoder: FileDecoder,
    blocks: Vec<(Instant, Block)>,
    /// The whole file, where it is small.
    whole: Option<Bytes>,
}

/// An hour's batches of one staged file, not decoded yet.
#[derive(Debug)]
pub(super) struct StagedHour {
    reader: Arc<StagedReader>,
    blocks: Vec<(Block, Bytes)>,
}

/// What was found where a unit's staged file should be.
pub(super) enum Found {
    /// The file, readable so far as its footer.
    Whole(StagedReader),
    /// No file.
    Nothing,
    /// A file that is not what was written.
    Broken(ArrowError),
}

impl StagedReader {
    /// Opens a unit's staged file. A file of up to `keep` bytes is read at once and kept in memory.
    pub(super) async fn open(store: &Store, dataset: &str, key: &UnitKey, keep: u64) -> Result<StagedReader> {
        let shown = store.shown(&path(dataset, key));
        match StagedReader::find(store, dataset, key, keep).await? {
            Found::Whole(reader) => Ok(reader),
            Found::Nothing => Err(Error::storage(format!("the staged file `{shown}` of unit `{key}` is missing"))
                .hint("run the same command again: the unit is fetched again")),
            Found::Broken(error) => Err(Error::storage(format!("the staged file `{shown}` of unit `{key}` is broken"))
                .because(error)
                .hint("run the same command again: the unit is fetched again")),
        }
    }

    /// Looks for a unit's staged file.
    pub(super) async fn find(store: &Store, dataset: &str, key: &UnitKey, keep: u64) -> Result<Found> {
        let path = path(dataset, key);
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
        let Footer { schema, version, dictionaries, blocks, .. } = footer;
        let mut reader = StagedReader { path, stat, decoder: FileDecoder::new(schema, version), blocks, whole };
        for block in &dictionaries {
            let bytes = reader.bytes(store, block).await?;
            if let Err(error) = reader.decoder.read_dictionary(block, &Buffer::from(bytes)) {
                return Ok(Found::Broken(error));
            }
        }
        Ok(Found::Whole(reader))
    }

    async fn bytes(&self, store: &Store, block: &Block) -> Result<Bytes> {
        let begin = block.offset() as u64;
        let end = begin + block.metaDataLength() as u64 + block.bodyLength() as u64;
        match &self.whole {
            Some(whole) => Ok(whole.slice(begin as usize..end as usize)),
            None => store.read_range(&self.path, &self.stat, begin..end).await,
        }
    }

    /// The file's bytes in memory.
    pub(super) fn kept(&self) -> u64 {
        self.whole.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }

    /// The hours that it has rows of inside `window`, in order, each one once.
    pub(super) fn hours(&self, window: Window) -> impl Iterator<Item = Instant> {
        let inside = self.blocks.iter().map(|(hour, _)| *hour).filter(move |hour| window.contains(*hour));
        let mut last = None;
        inside.filter(move |hour| last.replace(*hour) != Some(*hour))
    }

    /// Reads the batches of `hour`; `None` where it has no row of it.
    pub(super) async fn read(self: &Arc<Self>, store: &Store, hour: Instant) -> Result<Option<StagedHour>> {
        let mut blocks = Vec::new();
        for (_, block) in self.blocks.iter().filter(|(found, _)| *found == hour) {
            blocks.push((*block, self.bytes(store, block).await?));
        }
        Ok((!blocks.is_empty()).then(|| StagedHour { reader: self.clone(), blocks }))
    }
}

impl StagedHour {
    /// Decodes the rows of one bucket, in the dataset's schema. Blocking.
    pub(super) fn decode(&self, shape: &Shape, bucket: u16, buckets: u16) -> Result<RecordBatch> {
        let broken = |error: ArrowError| {
            Error::storage(format!("the staged file `{}` is broken", self.reader.path)).because(error)
        };
        let mut batches = Vec::with_capacity(self.blocks.len());
        for (block, bytes) in &self.blocks {
            let found = self.reader.decoder.read_record_batch(block, &Buffer::from(bytes.clone())).map_err(broken)?;
            if let Some(rows) = found {
                batches.push(of_bucket(conform(&rows, shape.schema())?, shape, bucket, buckets)?);
            }
        }
        concat_batches(shape.schema(), &batches).map_err(broken)
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
    blocks: Vec<(Instant, Block)>,
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
    let mut blocks = Vec::new();
    for (hour, block) in hours.split(',').zip(all) {
        let micros = hour.parse().ok().and_then(DateTime::from_timestamp_micros);
        blocks.push((micros.ok_or_else(|| broken("its hours are not numbers"))?, block));
    }
    Ok(Footer { key: entries.remove(KEY).unwrap_or_default(), schema, version, dictionaries, blocks })
}

fn broken(what: &str) -> ArrowError {
    ArrowError::ParseError(what.to_owned())
}
