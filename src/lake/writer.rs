//! The next generation of a partition's file: row groups of unchanged hours are spliced as bytes, others are encoded.
//!
//! The same rows give the same bytes: the settings are fixed, row groups are cut at hours and at a fixed number of rows,
//! and nothing in the file tells when or by whom it was written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::file::{GENERATION, Part, PartitionFile};
use super::record::DatasetRecord;
use super::store::{Draft, failed};
use crate::error::{Error, Result};
use crate::merge::Shape;

/// Rows in a row group at most.
const GROUP_ROWS: usize = 128 * 1024;

/// A file that is being written.
pub(super) struct PartitionWriter {
    writer: SerializedFileWriter<Draft>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    said: String,
    rows: u64,
    spliced: u64,
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
    /// Begins a file. Blocking.
    pub(super) fn new(draft: Draft, shape: &Shape, record: &DatasetRecord, generation: u64) -> Result<PartitionWriter> {
        let said = draft.said();
        let begin = || -> ParquetResult<(SerializedFileWriter<Draft>, ArrowRowGroupWriterFactory)> {
            // No Arrow schema is embedded: every type that hourmark uses has its own notation in Parquet.
            let root = ArrowSchemaConverter::new().convert(shape.schema())?.root_schema_ptr();
            let writer = SerializedFileWriter::new(draft, root, Arc::new(properties(shape, record, generation)?))?;
            let factory = ArrowRowGroupWriterFactory::new(&writer, shape.schema().clone());
            Ok((writer, factory))
        };
        let (writer, factory) = begin().map_err(|error| failed(&said, error))?;
        Ok(PartitionWriter { writer, factory, schema: shape.schema().clone(), said, rows: 0, spliced: 0 })
    }

    /// Appends an hour's rows, sorted by key, in as many row groups as they need. Blocking.
    pub(super) fn encode(&mut self, rows: &RecordBatch) -> Result<()> {
        for begin in (0..rows.num_rows()).step_by(GROUP_ROWS) {
            let group = rows.slice(begin, GROUP_ROWS.min(rows.num_rows() - begin));
            self.encode_group(&group).map_err(|error| failed(&self.said, error))?;
            self.rows += group.num_rows() as u64;
        }
        Ok(())
    }

    fn encode_group(&mut self, rows: &RecordBatch) -> ParquetResult<()> {
        let place = self.writer.flushed_row_groups().len();
        let columns = self.factory.create_column_writers(place)?;
        let mut group = self.writer.next_row_group()?;
        // One column after the other: only one column's pages are in memory.
        for ((field, array), mut column) in self.schema.fields().iter().zip(rows.columns()).zip(columns) {
            for leaf in compute_leaves(field, array)? {
                column.write(&leaf)?;
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

    /// Ends the file; it replaces the one before in one step. Without any row nothing is replaced. Blocking.
    ///
    /// # Errors
    /// An internal error, with the file before untouched, where not exactly `expected` rows were written.
    pub(super) fn commit(mut self, expected: u64) -> Result<Written> {
        if self.rows != expected {
            return Err(Error::internal(format!("{}: {} rows instead of {expected}", self.said, self.rows)));
        }
        self.writer.finish().map_err(|error: ParquetError| failed(&self.said, error))?;
        if self.rows > 0 {
            self.writer.inner_mut().commit()?;
        }
        Ok(Written { rows: self.rows, bytes: self.writer.bytes_written() as u64, spliced: self.spliced })
    }
}

fn properties(shape: &Shape, record: &DatasetRecord, generation: u64) -> ParquetResult<WriterProperties> {
    let mut sorting = Vec::with_capacity(shape.key().len());
    for index in shape.key() {
        sorting.push(SortingColumn { column_idx: i32::try_from(*index)?, descending: false, nulls_first: true });
    }
    let entries = [
        ("hourmark.pipeline", record.pipeline.clone()),
        ("hourmark.key", record.key.join(",")),
        ("hourmark.schema_version", record.schema_version.to_string()),
        (GENERATION, generation.to_string()),
    ];
    let entries = entries.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value));
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_sorting_columns(Some(sorting))
        .set_key_value_metadata(Some(entries.collect()))
        .build())
}
