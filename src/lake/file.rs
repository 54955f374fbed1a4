//! A partition's Parquet file as it is in the lake now, read block by block: an hour that has row groups of its own, or
//! the hours that share one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use bytes::{Buf, Bytes};
use chrono::DateTime;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataPushDecoder,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use super::blocking;
use super::store::{Stat, Store};
use crate::error::{Error, Result};
use crate::merge::conform;
use crate::pipeline::schema::HOUR;
use crate::time::Instant;

/// The footer and the page indexes of a day are mostly found in this many bytes at the end.
const TAIL: u64 = 256 * 1024;

/// A file as it is in the lake now: its footer, not its rows.
#[derive(Debug)]
pub(super) struct PartitionFile {
    path: String,
    shown: String,
    pub(super) stat: Stat,
    metadata: Arc<ParquetMetaData>,
    /// The hours that it has rows of, in order, as they are kept together.
    pub(super) blocks: Vec<Block>,
    /// Whether its columns are those of the dataset today, so that its bytes can be kept.
    pub(super) current: bool,
}

/// An hour with its row groups, or the hours that share a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Its first hour.
    pub(super) from: Instant,
    /// Its last hour.
    pub(super) to: Instant,
    pub(super) groups: Range<usize>,
}

/// The bytes of some adjacent row groups, or of one column of them.
#[derive(Debug, Clone)]
pub(super) struct Part {
    bytes: Bytes,
    offset: u64,
    file_size: u64,
}

impl PartitionFile {
    /// Reads the footer and page indexes; `None` where there is no such file.
    pub(super) async fn open(store: &Store, path: &str, schema: &SchemaRef) -> Result<Option<PartitionFile>> {
        let Some(mut file) = PartitionFile::open_any(store, path, schema).await? else { return Ok(None) };
        file.blocks = blocks(&file.metadata).map_err(|error| broken(&file.shown, error))?;
        Ok(Some(file))
    }

    /// The same of a file whose row groups are in no order of hours: nothing is known of these.
    pub(super) async fn open_any(store: &Store, path: &str, schema: &SchemaRef) -> Result<Option<PartitionFile>> {
        let Some(stat) = store.stat(path).await? else { return Ok(None) };
        let shown = store.shown(path);
        let metadata = Arc::new(read_metadata(store, path, &stat, &shown).await?);
        let current = has_columns_of(&metadata, schema).map_err(|error| broken(&shown, error))?;
        Ok(Some(PartitionFile { path: path.to_owned(), shown, stat, metadata, blocks: Vec::new(), current }))
    }

    /// How many row groups it has.
    pub(super) fn groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// What the footer's metadata says under `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&str> {
        let entries = self.metadata.file_metadata().key_value_metadata()?;
        entries.iter().find(|entry| entry.key == key)?.value.as_deref()
    }

    /// Rows in the file.
    pub(super) fn rows(&self) -> u64 {
        self.metadata.file_metadata().num_rows() as u64
    }

    /// Its path as people know it.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Rows in some row groups.
    pub(super) fn rows_of(&self, groups: Range<usize>) -> u64 {
        self.metadata.row_groups()[groups].iter().map(|group| group.num_rows() as u64).sum()
    }

    /// The place of the block that `hour` lies in; none where no block reaches over it. A block that does need not have
    /// rows of it.
    pub(super) fn block_of(&self, hour: Instant) -> Option<usize> {
        let place = self.blocks.partition_point(|block| block.to < hour);
        self.blocks.get(place).filter(|block| block.from <= hour).map(|_| place)
    }

    /// The hours that it has rows of, in order. Of blocks of several hours the `hour` column is read.
    pub(super) async fn hours(self: &Arc<Self>, store: &Store) -> Result<Vec<Instant>> {
        let mut hours = Vec::new();
        for block in &self.blocks {
            if block.from == block.to {
                hours.push(block.from);
                continue;
            }
            let column = self.column(HOUR).ok_or_else(|| self.damaged(&format!("it has no column `{HOUR}`")))?;
            for group in block.groups.clone() {
                let part = self.read_column(store, group, column).await?;
                let file = self.clone();
                let rows = blocking(move || file.decode_column(part, group, column)).await?;
                hours.extend(self.by_hour(&rows)?.into_iter().map(|(hour, _)| hour));
            }
        }
        Ok(hours)
    }

    /// Reads the bytes of some row groups.
    pub(super) async fn read(&self, store: &Store, groups: Range<usize>) -> Result<Part> {
        let all = 0..self.metadata.file_metadata().schema_descr().num_columns();
        self.read_columns(store, groups, all).await
    }

    /// Reads the bytes of one column of a row group.
    pub(super) async fn read_column(&self, store: &Store, group: usize, column: usize) -> Result<Part> {
        self.read_columns(store, group..group + 1, column..column + 1).await
    }

    async fn read_columns(&self, store: &Store, groups: Range<usize>, columns: Range<usize>) -> Result<Part> {
        let (mut begin, mut end) = (u64::MAX, 0);
        for group in &self.metadata.row_groups()[groups] {
            for column in &group.columns()[columns.clone()] {
                let (start, length) = column.byte_range();
                begin = begin.min(start);
                end = end.max(start + length);
            }
        }
        let bytes = store.read_range(&self.path, &self.stat, begin..end).await?;
        Ok(Part { bytes, offset: begin, file_size: self.stat.size })
    }

    /// Decodes row groups, in the dataset's schema. Blocking.
    pub(super) fn decode(&self, part: Part, groups: Range<usize>, schema: &SchemaRef) -> Result<RecordBatch> {
        let found = self.decode_columns(part, groups, ProjectionMask::all())?;
        conform(&found, schema)
    }

    /// Decodes a block, in the dataset's schema, hour by hour. Blocking.
    pub(super) fn decode_hours(
        &self,
        part: Part,
        groups: Range<usize>,
        schema: &SchemaRef,
    ) -> Result<Vec<(Instant, RecordBatch)>> {
        let rows = self.decode(part, groups, schema)?;
        let hours = self.by_hour(&rows)?;
        Ok(hours.into_iter().map(|(hour, range)| (hour, rows.slice(range.start, range.len()))).collect())
    }

    /// The hours of decoded rows and where each one's rows are.
    fn by_hour(&self, rows: &RecordBatch) -> Result<Vec<(Instant, Range<usize>)>> {
        let column = rows.column_by_name(HOUR).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        let column = column.ok_or_else(|| self.damaged(&format!("its column `{HOUR}` holds no instants")))?;
        let mut hours: Vec<(Instant, Range<usize>)> = Vec::new();
        let mut begin = 0;
        for run in column.values().chunk_by(|one, other| one == other) {
            let hour = DateTime::from_timestamp_micros(run[0]);
            let hour = hour.filter(|hour| hours.last().is_none_or(|(last, _)| last < hour));
            let hour = hour.ok_or_else(|| self.damaged("its rows are not in the order of their hours"))?;
            hours.push((hour, begin..begin + run.len()));
            begin += run.len();
        }
        Ok(hours)
    }

    fn damaged(&self, what: &str) -> Error {
        broken(&self.shown, ParquetError::General(what.to_owned()))
    }

    /// The place of a column in this file; `None` where it is from before the column was declared.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        let columns = self.metadata.file_metadata().schema_descr().columns();
        columns.iter().position(|column| column.name() == name)
    }

    /// Decodes one column of a row group. Blocking.
    pub(super) fn decode_column(&self, part: Part, group: usize, column: usize) -> Result<RecordBatch> {
        let descriptor = self.metadata.file_metadata().schema_descr();
        self.decode_columns(part, group..group + 1, ProjectionMask::leaves(descriptor, [column]))
    }

    fn decode_columns(&self, part: Part, groups: Range<usize>, mask: ProjectionMask) -> Result<RecordBatch> {
        let rows: i64 = self.metadata.row_groups()[groups.clone()].iter().map(|group| group.num_rows()).sum();
        let decode = || -> ParquetResult<RecordBatch> {
            let metadata = ArrowReaderMetadata::try_new(self.metadata.clone(), ArrowReaderOptions::new())?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(part, metadata)
                .with_row_groups(groups.collect())
                .with_projection(mask)
                .with_batch_size(rows.max(1) as usize)
                .build()?;
            let schema = arrow::array::RecordBatchReader::schema(&reader);
            let batches = reader.collect::<Result<Vec<RecordBatch>, _>>()?;
            match batches.as_slice() {
                [only] => Ok(only.clone()),
                several => Ok(concat_batches(&schema, several)?),
            }
        };
        decode().map_err(|error| broken(&self.shown, error))
    }

    /// What a writer must know to take over a row group's columns as they are.
    pub(super) fn closed_columns(&self, group: usize) -> ParquetResult<Vec<ColumnCloseResult>> {
        let metadata = &self.metadata;
        let row_group = metadata.row_group(group);
        let mut closed = Vec::with_capacity(row_group.num_columns());
        for (place, column) in row_group.columns().iter().enumerate() {
            let column_index = metadata.column_index().map(|index| index[group][place].clone());
            closed.push(ColumnCloseResult {
                bytes_written: column.compressed_size() as u64,
                rows_written: row_group.num_rows() as u64,
                metadata: with_compatible_statistics(column)?,
                bloom_filter: None,
                column_index: column_index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE)),
                offset_index: metadata.offset_index().map(|index| index[group][place].clone()),
            });
        }
        Ok(closed)
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.file_size
    }
}

impl ChunkReader for Part {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let begin = self.place(start, 0)?;
        Ok(self.bytes.slice(begin..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let begin = self.place(start, length)?;
        Ok(self.bytes.slice(begin..begin + length))
    }
}

impl Part {
    /// Bytes of it.
    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where a place in the file is in the bytes at hand.
    fn place(&self, start: u64, length: usize) -> ParquetResult<usize> {
        let begin = start.checked_sub(self.offset).and_then(|begin| usize::try_from(begin).ok());
        match begin {
            Some(begin) if begin + length <= self.bytes.len() => Ok(begin),
            _ => Err(ParquetError::EOF(format!("bytes {start}+{length} were not read"))),
        }
    }
}

/// Writers put the minimum and maximum of signed types into two older fields of the footer too, and readers forget that.
/// A spliced column gets them back, so that it cannot be told from an encoded one.
fn with_compatible_statistics(column: &ColumnChunkMetaData) -> ParquetResult<ColumnChunkMetaData> {
    let both = column.column_descr().sort_order().is_signed();
    let statistics = match column.statistics().cloned() {
        Some(Statistics::Int32(range)) => range.with_backwards_compatible_min_max(both).into(),
        Some(Statistics::Int64(range)) => range.with_backwards_compatible_min_max(both).into(),
        Some(Statistics::Float(range)) => range.with_backwards_compatible_min_max(both).into(),
        Some(Statistics::Double(range)) => range.with_backwards_compatible_min_max(both).into(),
        Some(Statistics::FixedLenByteArray(range)) => range.with_backwards_compatible_min_max(both).into(),
        Some(Statistics::Boolean(_) | Statistics::Int96(_) | Statistics::ByteArray(_)) | None => {
            return Ok(column.clone());
        }
    };
    column.clone().into_builder().set_statistics(statistics).build()
}

async fn read_metadata(store: &Store, path: &str, stat: &Stat, shown: &str) -> Result<ParquetMetaData> {
    let decoder = || {
        // Statistics of encodings as they are in the file: a mask would not survive being spliced.
        let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
        let decoder = ParquetMetaDataPushDecoder::try_new(stat.size)?;
        Ok(decoder.with_page_index_policy(PageIndexPolicy::Required).with_metadata_options(Some(Arc::new(options))))
    };
    let mut decoder = decoder().map_err(|error| broken(shown, error))?;
    let tail = stat.size - TAIL.min(stat.size)..stat.size;
    let bytes = store.read_range(path, stat, tail.clone()).await?;
    decoder.push_range(tail, bytes).map_err(|error| broken(shown, error))?;
    loop {
        match decoder.try_decode().map_err(|error| broken(shown, error))? {
            DecodeResult::Data(metadata) => return Ok(metadata),
            DecodeResult::Finished => return Err(Error::internal(format!("the footer of `{shown}` is read twice"))),
            DecodeResult::NeedsData(ranges) => {
                for range in ranges {
                    let bytes = store.read_range(path, stat, range.clone()).await?;
                    decoder.push_range(range, bytes).map_err(|error| broken(shown, error))?;
                }
            }
        }
    }
}

fn has_columns_of(metadata: &ParquetMetaData, schema: &SchemaRef) -> ParquetResult<bool> {
    let found = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    let same_fields = found.fields().iter().zip(schema.fields()).all(|(one, other)| {
        (one.name(), one.data_type(), one.is_nullable()) == (other.name(), other.data_type(), other.is_nullable())
    });
    Ok(same_fields && found.fields().len() == schema.fields().len())
}

/// The hours of each row group, from its statistics; row groups of one hour stand together.
fn blocks(metadata: &ParquetMetaData) -> ParquetResult<Vec<Block>> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let hour = columns.iter().position(|column| column.name() == HOUR);
    let hour = hour.ok_or_else(|| ParquetError::General(format!("it has no column `{HOUR}`")))?;
    let mut blocks: Vec<Block> = Vec::new();
    for (place, group) in metadata.row_groups().iter().enumerate() {
        let ends = match group.column(hour).statistics() {
            Some(Statistics::Int64(range)) => range.min_opt().zip(range.max_opt()),
            _ => None,
        };
        let instant = |micros: &i64| DateTime::from_timestamp_micros(*micros);
        let ends = ends.and_then(|(from, to)| instant(from).zip(instant(to)));
        let (from, to) = ends.ok_or_else(|| ParquetError::General(format!("its row group {place} tells no hours")))?;
        match blocks.last_mut() {
            Some(last) if last.from == to && last.to == from => last.groups.end = place + 1,
            Some(last) if last.to >= from => {
                return Err(ParquetError::General(format!("its row group {place} is not in order")));
            }
            _ => blocks.push(Block { from, to, groups: place..place + 1 }),
        }
    }
    Ok(blocks)
}

fn broken(shown: &str, error: ParquetError) -> Error {
    Error::storage(format!("cannot use `{shown}`"))
        .because(error)
        .hint("hourmark did not write it, or it is damaged: move it away, then fetch its hours again with `backfill`")
}
