//! The lake: Parquet files that any engine reads, one row per key at any instant.
//!
//! | file | what |
//! |---|---|
//! | `<name>/date=2026-11-20/bucket-00.parquet` | a [`Partition`]; with `partition_by = ["date", "hour"]` there is an `utc_hour=09/` between |
//! | `<name>/_hourmark.json` | the dataset's layout, key and columns: a [`DatasetRecord`] |
//! | `<name>__restatements/date=2026-11-20/bucket-00.parquet` | what changed from what to what, by when it was seen: the restatement log |
//! | `<name>__campaigns/bucket-00.parquet` | what is known of campaigns, one row per version: [`Versions`] |
//! | `_staged/<name>/<digest>.arrow` | a unit's rows, durable but invisible |
//! | `_staged/<name>__restatements/<digest>.arrow` | what a publish is about to tell the log: an intent |
//! | `_staged/<name>/*.tmp` | what is being written |
//! | `_quarantine/<name>/<digest>-<fetched>.arrow` | the rows of a unit that broke a quality rule |
//! | `_staged/<name>/rewrite/` | a dataset in another form, until it takes the place of the one that is there |
//!
//! A unit's rows go through [`Dataset::prove`], which sorts them, [`Dataset::stage`], which makes them durable (a large
//! unit's in chunks: [`Dataset::put_aside`], then [`Dataset::stage_chunks`]), and
//! [`Dataset::publish`], which merges staged slices into a partition and replaces its file in one atomic step if anything
//! changed, and then tells the restatement log what that was. Both may be repeated after a
//! crash: staging replaces, publishing finds nothing to change. [`Dataset::discard`] and [`Dataset::sweep`] tidy up.
//! [`Lake::rewrite`] brings a dataset into another layout, key or schema.
//!
//! `store` is the only file that knows what the files are kept on.

mod blocks;
mod chunks;
mod commit;
mod dataset;
mod file;
mod intent;
mod interned;
mod layout;
mod log;
mod publish;
mod quarantine;
mod record;
mod rewrite;
mod staged;
mod store;
mod stored;
#[cfg(test)]
mod tests;
mod types;
mod versions;
mod writer;

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use chunks::Chunk;
pub use dataset::Dataset;
pub use layout::{Partition, bucket_of};
pub use record::{ColumnRecord, DatasetRecord};
pub use rewrite::{Extent, Recovered, RewriteEnd, RewriteOrder, Rewritten, Totals};
pub use stored::{StoredPartition, accounts_seen};
pub use versions::{Versions, VersionsPublished};

use crate::error::{Error, Result};
use crate::merge::{HourMerge, Shape};
use crate::pipeline::schema::{key_columns, lake_schema};
use crate::pipeline::{LakeLayout, Missing, PartitionBy, Pipeline};
use crate::time::{Instant, Window};
use crate::unit::Account;
use crate::unit::UnitKey;
use file::PartitionFile;
use layout::RECORD;
use store::Store;

/// A folder of datasets.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Store,
}

/// What a dataset must be like.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// Its folder's name: the pipeline's, or one derived from it.
    pub name: String,
    /// Its columns. Where one is called `seen_at`, it is left out of comparisons.
    pub schema: SchemaRef,
    /// What makes a row unique: `hour`, `account_id`, then further columns, in the order in which rows are sorted.
    pub key: Vec<String>,
    /// Its folders.
    pub partition_by: PartitionBy,
    /// Files per partition.
    pub buckets: u16,
}

impl DatasetSpec {
    /// What the dataset of the pipeline's rows must be like.
    pub fn of(pipeline: &Pipeline) -> DatasetSpec {
        DatasetSpec {
            name: pipeline.name.clone(),
            schema: lake_schema(pipeline),
            key: key_columns(pipeline),
            partition_by: pipeline.lake.partition_by,
            buckets: pipeline.lake.buckets,
        }
    }
}

/// A unit's rows after the key proof: one row per key, sorted by key. Made by [`Dataset::prove`] alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Proven {
    rows: RecordBatch,
    doubles: u64,
}

impl Proven {
    /// The rows, in the dataset's schema but for columns of texts outside the key, which are dictionaries.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }
}

/// What staging came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedFile {
    /// Rows that are staged; without any there is no file.
    pub rows: u64,
    /// Rows that were left out because a later one had the same key.
    pub doubles: u64,
    /// The file's size in bytes.
    pub bytes: u64,
}

/// A staged unit, as the state remembers it.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedSlice {
    /// The unit's key.
    pub key: UnitKey,
    /// Whose rows were asked for.
    pub accounts: Vec<String>,
    /// Which hours were asked for.
    pub window: Window,
    /// What becomes of rows of these accounts and hours that the slice does not bring.
    pub missing: Missing,
    /// When the platform gave these values; of two slices with the same key the later one wins.
    pub fetched_at: Instant,
    /// Rows that are staged; without any no file is looked for.
    pub rows: u64,
    /// Columns whose values may not be smaller than the lake's, or nothing of the slice is merged.
    pub not_falling: Arc<[String]>,
}

/// What publishing one partition came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Which one.
    pub partition: Partition,
    /// Rows in its file now.
    pub rows: u64,
    /// Keys that were not there before.
    pub added: u64,
    /// Keys with other values than before.
    pub changed: u64,
    /// Keys that are gone.
    pub removed: u64,
    /// The hours with such keys, in order.
    pub hours_changed: Vec<Instant>,
    /// The accounts and hours with such keys, by hour, then account.
    pub account_hours_changed: Vec<(String, Instant)>,
    /// The file's size; 0 where it was not written.
    pub bytes_written: u64,
    /// Bytes of it that were taken over from the file before, without being decoded.
    pub bytes_spliced: u64,
    /// Whether the file was replaced (or removed, where no row is left).
    pub written: bool,
    /// Slices of which nothing was merged.
    pub refused: Vec<Refused>,
}

/// A slice of which nothing was merged into a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The unit's key.
    pub key: UnitKey,
    /// Which file, how much, and what is allowed.
    pub message: String,
    /// Why.
    pub why: Refusal,
}

/// Why a slice is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It would erase more rows than its pipeline allows.
    ErasesTooMuch,
    /// Values fell that may not; the first rows, for people.
    Falls(Vec<String>),
}

/// All partitions that rows of these accounts with hours in `window` can belong to in a lake of this layout, in order.
pub fn partitions_of(accounts: &[Account], window: Window, layout: &LakeLayout) -> Vec<Partition> {
    let ids = accounts.iter().map(|account| account.id.as_str());
    layout::partitions(ids, window, layout.partition_by, layout.buckets)
}

impl Lake {
    /// Opens the lake in the folder `root` for writing; creates the folder where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the folder where it is a file or not writable.
    pub async fn open(root: &Path) -> Result<Lake> {
        let root = root.to_owned();
        let store = blocking(move || Store::create(&root)).await?;
        Ok(Lake { store })
    }

    /// Opens the lake in the folder `root` for reading only; nothing is created.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the folder where there is none.
    pub async fn open_existing(root: &Path) -> Result<Lake> {
        let root = root.to_owned();
        let store = blocking(move || Store::open(&root)).await?;
        Ok(Lake { store })
    }

    /// The lake's folder.
    pub fn root(&self) -> &Path {
        self.store.root()
    }

    /// The bytes that are free on the lake's disk, where the system says so.
    pub fn free_space(&self) -> Option<u64> {
        self.store.free_space()
    }

    /// The dataset of `spec`. The first time its layout, key and columns are recorded; later they are compared, and
    /// added columns and wider types are recorded.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the old and the new value where anything else
    /// was changed; [`ErrorKind::BadInput`](crate::error::ErrorKind::BadInput) where the key does not fit the schema.
    pub async fn dataset(&self, spec: DatasetSpec) -> Result<Dataset> {
        let path = format!("{}/{RECORD}", spec.name);
        let recorded = self.recorded(&spec.name).await?;
        let record = match &recorded {
            Some(recorded) => recorded.evolve(&spec)?,
            None => DatasetRecord::new(&spec),
        };
        let shape = Shape::new(record.schema()?, &record.key)?;
        if recorded.as_ref() != Some(&record) {
            let (store, name, text) = (self.store.clone(), spec.name.clone(), record.text()?);
            blocking(move || store.write(&name, "record", &path, &text)).await?;
        }
        Ok(Dataset::new(self.store.clone(), shape, spec.partition_by, record))
    }

    /// The record of the dataset `name`; `None` where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the record that cannot be read.
    pub async fn recorded(&self, name: &str) -> Result<Option<DatasetRecord>> {
        let path = format!("{name}/{RECORD}");
        let Some(text) = self.store.read(&path).await? else { return Ok(None) };
        DatasetRecord::parse(&text, &self.store.shown(&path)).map(Some)
    }

    /// How many publishes of a dataset were cut off, or are under way, before the restatement log was told of them.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the folder that cannot be read.
    pub async fn untold_publishes(&self, dataset: &str) -> Result<usize> {
        Ok(self.store.files(&intent::folder(dataset)).await?.len())
    }

    /// The records of all datasets, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the record that cannot be read.
    pub async fn datasets(&self) -> Result<Vec<DatasetRecord>> {
        let mut records = Vec::new();
        for folder in self.store.folders().await? {
            records.extend(self.recorded(&folder).await?);
        }
        Ok(records)
    }
}

impl Published {
    /// The partition as it is.
    fn unchanged(partition: Partition, file: Option<&PartitionFile>) -> Published {
        Published {
            partition,
            rows: file.map_or(0, PartitionFile::rows),
            added: 0,
            changed: 0,
            removed: 0,
            hours_changed: Vec::new(),
            account_hours_changed: Vec::new(),
            bytes_written: 0,
            bytes_spliced: 0,
            written: false,
            refused: Vec::new(),
        }
    }

    /// Adds what became of an hour that changed.
    fn count(&mut self, hour: Instant, merged: HourMerge) {
        self.added += merged.added;
        self.changed += merged.changed;
        self.removed += merged.removed;
        self.hours_changed.push(hour);
        self.account_hours_changed.extend(merged.accounts_changed.into_iter().map(|account| (account, hour)));
    }
}

/// Runs work that keeps a CPU or a disk busy where it does not hold up the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("work on the lake was cut off").because(error)),
    }
}
