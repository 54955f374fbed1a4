//! Reading back what a partition's file holds, hour by hour.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use super::file::PartitionFile;
use super::{Dataset, Partition, blocking};
use crate::error::Result;
use crate::pipeline::schema::{KEY, SEEN_AT};
use crate::time::Instant;

/// A partition's file as it is now. An hour's rows are in memory at a time.
#[derive(Debug, Clone)]
pub struct StoredPartition {
    dataset: Dataset,
    file: Arc<PartitionFile>,
}

impl Dataset {
    /// Opens a partition's file for reading; `None` where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read.
    pub async fn stored(&self, partition: Partition) -> Result<Option<StoredPartition>> {
        let file = PartitionFile::open(self.store(), &self.path(partition), self.schema()).await?;
        Ok(file.map(|file| StoredPartition { dataset: self.clone(), file: Arc::new(file) }))
    }
}

impl StoredPartition {
    /// The hours that it has rows of, in order.
    pub fn hours(&self) -> Vec<Instant> {
        self.file.hours.iter().map(|(hour, _)| *hour).collect()
    }

    /// The rows of an hour in the dataset's schema, sorted by key; none where it has none.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read.
    pub async fn rows(&self, hour: Instant) -> Result<RecordBatch> {
        let Some(groups) = self.file.groups_of(hour) else {
            return Ok(RecordBatch::new_empty(self.dataset.schema().clone()));
        };
        let part = self.file.read(self.dataset.store(), groups.clone()).await?;
        let (file, dataset) = (self.file.clone(), self.dataset.clone());
        blocking(move || file.decode(part, groups, dataset.schema())).await
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
