//! A partition's next file: row groups of unchanged hours are spliced as bytes, others are encoded.
//!
//! The same rows give the same bytes: the settings are fixed, row groups are cut by [`Blocks`] and at a fixed number of
//! rows, and nothing in the file tells when or by whom it was written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::blocks::Blocks;
use super::file::{Block, Part, PartitionFile};
use super::record::DatasetRecord;
use super::store::{Digesting, Draft, failed};
use crate::error::{Error, Result};
use crate::merge::Shape;
use crate::pipeline::schema::{HOUR, KEY, SEEN_AT};
use crate::time::Instant;

/// The columns of which an hour has one value, or one for each account.
const SHORT: [&str; 8] =
    ["platform", "account_timezone", "currency", HOUR, "local_hour", "utc_offset_minutes", "hours_covered", SEEN_AT];
/// Rows in a row group at most.
const GROUP_ROWS: usize = 128 * 1024;
/// Rows in a page at most: a reader who looks for one account finds it by the page indexes. A twentieth larger than with
/// pages of 20,000 rows, and a campaign's week is found in half the time.
const PAGE_ROWS: usize = 4 * 1024;

/// A file that is being written.
pub(super) struct PartitionWriter {
    writer: SerializedFileWriter<Digesting<Draft>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    said: String,
    /// What is not written yet: more small hours may come.
    blocks: Blocks<Hours>,
    rows: u64,
    spliced: u64,
}

/// Hours on their way into a file.
#[derive(Debug)]
enum Hours {
    /// An hour's rows.
    Rows(RecordBatch),
    /// A block of the file before.
    Old(OldPart),
}

/// A block of the file before, read but not decoded.
#[derive(Debug)]
pub(super) struct OldPart {
    pub(super) file: Arc<PartitionFile>,
    pub(super) block: Block,
    pub(super) part: Part,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Rows in the file.
    pub(super) rows: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Bytes of it that were taken over from the file before.
    pub(super) spliced: u64,
}

impl PartitionWriter {
    /// Begins a file of rows with the columns of `schema`. Blocking.
    pub(super) fn new(draft: Draft, schema: &SchemaRef, properties: WriterProperties) -> Result<PartitionWriter> {
        let said = draft.said();
        let begin = || -> ParquetResult<(SerializedFileWriter<Digesting<Draft>>, ArrowRowGroupWriterFactory)> {
            // No Arrow schema is embedded: every type that hourmark uses has its own notation in Parquet.
            let root = ArrowSchemaConverter::new().convert(schema)?.root_schema_ptr();
            let writer = SerializedFileWriter::new(Digesting::new(draft), root, Arc::new(properties))?;
            let factory = ArrowRowGroupWriterFactory::new(&writer, schema.clone());
            Ok((writer, factory))
        };
        let (writer, factory) = begin().map_err(|error| failed(&said, error))?;
        Ok(PartitionWriter {
            writer,
            factory,
            schema: schema.clone(),
            said,
            blocks: Blocks::default(),
            rows: 0,
            spliced: 0,
        })
    }

    /// Adds an hour's rows, sorted by key; it comes after all hours before. Blocking.
    pub(super) fn add(&mut self, hour: Instant, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let complete = self.blocks.add(hour, rows.num_rows() as u64, Hours::Rows(rows));
        complete.into_iter().try_for_each(|hours| self.write(hours))
    }

    /// Adds a block of the file before, whose hours come after all hours before. Its bytes are taken over, unless it
    /// shares its row group with other hours from now on, or had other columns. Blocking.
    pub(super) fn keep(&mut self, old: OldPart) -> Result<()> {
        if !old.file.current {
            let hours = old.file.decode_hours(old.part, old.block.groups, &self.schema)?;
            return hours.into_iter().try_for_each(|(hour, rows)| self.add(hour, rows));
        }
        let rows = old.file.rows_of(old.block.groups.clone());
        let complete = self.blocks.add(old.block.from, rows, Hours::Old(old));
        complete.into_iter().try_for_each(|hours| self.write(hours))
    }

    /// Writes hours that share a row group.
    fn write(&mut self, hours: Vec<Hours>) -> Result<()> {
        let mut batches = Vec::with_capacity(hours.len());
        let is_alone = hours.len() == 1;
        for hours in hours {
            match hours {
                Hours::Old(old) if is_alone => return self.splice(&old.file, &old.part, old.block.groups),
                Hours::Old(old) => {
                    let hours = old.file.decode_hours(old.part, old.block.groups, &self.schema)?;
                    batches.extend(hours.into_iter().map(|(_, rows)| rows));
                }
                Hours::Rows(rows) => batches.push(rows),
            }
        }
        match batches.as_slice() {
            [] => Ok(()),
            [only] => self.encode(only),
            // Always hour by hour: where a page ends may depend on what comes at once.
            several => self.encode_group(several),
        }
    }

    /// Appends rows in as many row groups as they need. Blocking.
    pub(super) fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        for begin in (0..rows.num_rows()).step_by(GROUP_ROWS) {
            self.encode_group(&[rows.slice(begin, GROUP_ROWS.min(rows.num_rows() - begin))])?;
        }
        Ok(())
    }

    fn encode_group(&mut self, batches: &[RecordBatch]) -> Result<()> {
        self.try_encode_group(batches).map_err(|error| failed(&self.said, error))?;
        self.rows += batches.iter().map(|rows| rows.num_rows() as u64).sum::<u64>();
        Ok(())
    }

    fn try_encode_group(&mut self, batches: &[RecordBatch]) -> ParquetResult<()> {
        let place = self.writer.flushed_row_groups().len();
        let columns = self.factory.create_column_writers(place)?;
        let mut group = self.writer.next_row_group()?;
        // One column after the other: only one column's pages are in memory.
        for (index, (field, mut column)) in self.schema.fields().iter().zip(columns).enumerate() {
            for rows in batches {
                for leaf in compute_leaves(field, rows.column(index))? {
                    column.write(&leaf)?;
                }
            }
            column.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
        Ok(())
    }

    /// Appends row groups of the file before as they are. `part` holds their bytes. Blocking.
    pub(super) fn splice(&mut self, file: &PartitionFile, part: &Part, groups: std::ops::Range<usize>) -> Result<()> {
        for group in groups {
            self.splice_group(file, part, group).map_err(|error| failed(&self.said, error))?;
        }
        self.spliced += part.size();
        Ok(())
    }

    fn splice_group(&mut self, file: &PartitionFile, part: &Part, place: usize) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        let columns = file.closed_columns(place)?;
        self.rows += columns.first().map_or(0, |column| column.rows_written);
        for column in columns {
            group.append_column(part, column)?;
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file, which still is where nobody looks. Blocking.
    pub(super) fn finish(mut self) -> Result<Finished> {
        let rest = self.blocks.rest();
        self.write(rest)?;
        self.writer.finish().map_err(|error: ParquetError| failed(&self.said, error))?;
        let bytes = self.writer.bytes_written() as u64;
        let written = Written { rows: self.rows, bytes, spliced: self.spliced };
        let digest = self.writer.inner().digest();
        Ok(Finished { writer: self.writer, digest, written })
    }
}

/// A file that is complete and not in its place yet. Dropping it removes it.
pub(super) struct Finished {
    writer: SerializedFileWriter<Digesting<Draft>>,
    /// The digest of its bytes.
    pub(super) digest: u128,
    pub(super) written: Written,
}

impl Finished {
    /// Replaces the file before in one step. Blocking.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.writer.inner_mut().get_mut().commit()
    }
}

/// The settings of a partition's file.
///
/// # Errors
/// An internal error where the key's columns cannot be counted.
pub(super) fn properties(shape: &Shape, record: &DatasetRecord) -> Result<WriterProperties> {
    let mut sorting = Vec::with_capacity(shape.key().len());
    for index in shape.key() {
        let column_idx = i32::try_from(*index).map_err(|error| Error::internal("too many columns").because(error))?;
        sorting.push(SortingColumn { column_idx, descending: false, nulls_first: true });
    }
    let properties =
        with_entries(entries(record))?.set_sorting_columns(Some(sorting)).set_data_page_row_count_limit(PAGE_ROWS);
    Ok(by_column(properties, shape).build())
}

/// What suits each column, found by measuring sizes and times.
///
/// Columns of one value for each hour or account are a few bytes after their runs were counted: setting up a compressor
/// costs more than they are long. Numbers rarely come twice within an hour, and neither do campaigns unless something else
/// is in the key: looking each up in a dictionary makes the file larger, not smaller.
fn by_column(mut properties: WriterPropertiesBuilder, shape: &Shape) -> WriterPropertiesBuilder {
    let campaigns_repeat = shape.key().len() > KEY.len();
    for (place, field) in shape.schema().fields().iter().enumerate() {
        let column = || ColumnPath::from(field.name().as_str());
        let is_number = matches!(field.data_type(), DataType::Int64 | DataType::Decimal128(..) | DataType::Float64);
        if SHORT.contains(&field.name().as_str()) {
            properties = properties.set_column_compression(column(), Compression::UNCOMPRESSED);
        } else if is_number && !shape.key().contains(&place) || field.name() == KEY[2] && !campaigns_repeat {
            properties = properties.set_column_dictionary_enabled(column(), false);
        }
    }
    properties
}

/// The settings of a file of restatements that holds those of `ids`.
pub(super) fn log_properties(record: &DatasetRecord, ids: (&str, String)) -> Result<WriterProperties> {
    let mut entries = entries(record);
    entries.push(ids);
    Ok(with_entries(entries)?.build())
}

/// The settings of a file of versions of campaigns, sorted by the record's key.
///
/// # Errors
/// An internal error where `schema` lacks a column of the key.
pub(super) fn versions_properties(record: &DatasetRecord, schema: &SchemaRef) -> Result<WriterProperties> {
    let mut sorting = Vec::with_capacity(record.key.len());
    for name in &record.key {
        let place = schema.index_of(name).ok().and_then(|place| i32::try_from(place).ok());
        let column_idx = place.ok_or_else(|| Error::internal(format!("versions lack the key column `{name}`")))?;
        sorting.push(SortingColumn { column_idx, descending: false, nulls_first: true });
    }
    Ok(with_entries(entries(record))?.set_sorting_columns(Some(sorting)).build())
}

fn entries(record: &DatasetRecord) -> Vec<(&str, String)> {
    vec![
        ("hourmark.pipeline", record.pipeline.clone()),
        ("hourmark.key", record.key.join(",")),
        ("hourmark.schema_version", record.schema_version.to_string()),
    ]
}

fn with_entries(entries: Vec<(&str, String)>) -> Result<WriterPropertiesBuilder> {
    let level = ZstdLevel::try_new(1).map_err(|error| Error::internal("zstd has no level 1").because(error))?;
    let entries = entries.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(Some(entries.collect())))
}
