//! Reading back what a partition's file holds, hour by hour.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};

use super::file::PartitionFile;
use super::store::Store;
use super::{Dataset, Partition, blocking};
use crate::error::Result;
use crate::pipeline::schema::{KEY, SEEN_AT};
use crate::time::Instant;

/// A partition's file as it is now. A block of it is in memory at a time.
#[derive(Debug, Clone)]
pub struct StoredPartition {
    dataset: Dataset,
    reader: HourReader,
}

/// Reads a file hour by hour. Hours that share a row group are decoded once, where they are asked for in order.
#[derive(Debug, Clone)]
pub(super) struct HourReader {
    file: Arc<PartitionFile>,
    /// The block that was decoded last, where it has several hours.
    last: Option<(usize, Vec<(Instant, RecordBatch)>)>,
}

impl Dataset {
    /// Opens a partition's file for reading; `None` where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read.
    pub async fn stored(&self, partition: Partition) -> Result<Option<StoredPartition>> {
        let file = PartitionFile::open(self.store(), &self.path(partition), self.schema()).await?;
        Ok(file.map(|file| StoredPartition { dataset: self.clone(), reader: HourReader::new(Arc::new(file)) }))
    }
}

impl StoredPartition {
    /// The hours that it has rows of, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read.
    pub async fn hours(&self) -> Result<Vec<Instant>> {
        self.reader.file.hours(self.dataset.store()).await
    }

    /// The rows of an hour in the dataset's schema, sorted by key; none where it has none.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read.
    pub async fn rows(&mut self, hour: Instant) -> Result<RecordBatch> {
        let rows = self.reader.rows(self.dataset.store(), self.dataset.schema(), hour).await?;
        Ok(rows.unwrap_or_else(|| RecordBatch::new_empty(self.dataset.schema().clone())))
    }
}

impl HourReader {
    pub(super) fn new(file: Arc<PartitionFile>) -> HourReader {
        HourReader { file, last: None }
    }

    /// The file.
    pub(super) fn file(&self) -> &PartitionFile {
        &self.file
    }

    /// The rows of `hour` in `schema`; `None` where it has none.
    pub(super) async fn rows(
        &mut self,
        store: &Store,
        schema: &SchemaRef,
        hour: Instant,
    ) -> Result<Option<RecordBatch>> {
        let Some(place) = self.file.block_of(hour) else { return Ok(None) };
        let of_hour = |hours: &[(Instant, RecordBatch)]| {
            hours.iter().find(|(found, _)| *found == hour).map(|(_, rows)| rows.clone())
        };
        if let Some((known, hours)) = &self.last
            && *known == place
        {
            return Ok(of_hour(hours));
        }
        // What was decoded before goes first: two blocks are never in memory.
        self.last = None;
        let groups = self.file.blocks[place].groups.clone();
        let part = self.file.read(store, groups.clone()).await?;
        let (file, schema) = (self.file.clone(), schema.clone());
        let hours = blocking(move || file.decode_hours(part, groups, &schema)).await?;
        let rows = of_hour(&hours);
        if hours.len() > 1 {
            self.last = Some((place, hours));
        }
        Ok(rows)
    }
}

/// Each row's account, and when its values were first seen (microseconds since 1970), in the order of the rows; an
/// empty list where the rows have no such columns.
pub fn accounts_seen(rows: &RecordBatch) -> Vec<(&str, Option<i64>)> {
    let (Some(accounts), Some(seen)) = (rows.column_by_name(KEY[1]), rows.column_by_name(SEEN_AT)) else {
        return Vec::new();
    };
    let Some(accounts) = accounts.as_string_opt::<i32>() else { return Vec::new() };
    let Some(seen) = seen.as_primitive_opt::<TimestampMicrosecondType>() else { return Vec::new() };
    accounts.iter().map(Option::unwrap_or_default).zip(seen.iter()).collect()
}
