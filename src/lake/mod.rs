//! The lake: Parquet files that any engine reads, one row per key at any instant.
//!
//! | file | what |
//! |---|---|
//! | `<name>/date=2026-11-20/bucket-00.parquet` | a [`Partition`]; with `partition_by = ["date", "hour"]` there is an `utc_hour=09/` between |
//! | `<name>/_hourmark.json` | the dataset's layout, key and columns: a [`DatasetRecord`] |
//! | `_staged/<name>/<digest>.arrow` | a unit's rows, durable but invisible |
//! | `_staged/<name>/*.tmp` | what is being written |
//!
//! A unit's rows go through [`Dataset::stage`], which makes them durable, and [`Dataset::publish`], which merges staged
//! slices into a partition and replaces its file in one atomic step if anything changed. Both may be repeated after a
//! crash: staging replaces, publishing finds nothing to change. [`Dataset::discard`] and [`Dataset::sweep`] tidy up.
//!
//! `store` is the only file that knows what the files are kept on.

mod file;
mod layout;
mod publish;
mod record;
mod staged;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use layout::{Partition, bucket_of};
pub use record::{ColumnRecord, DatasetRecord};

use crate::error::{Error, Result};
use crate::merge::{HourMerge, Shape};
use crate::pipeline::{LakeLayout, Missing, PartitionBy};
use crate::time::{Instant, Window};
use crate::unit::{Account, UnitKey};
use file::PartitionFile;
use layout::{RECORD, STAGED};
use store::{Store, failed};
use writer::PartitionWriter;

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

/// One dataset of a lake: the rows of one pipeline.
#[derive(Clone)]
pub struct Dataset {
    inner: Arc<DatasetInner>,
}

struct DatasetInner {
    store: Store,
    shape: Shape,
    partition_by: PartitionBy,
    record: DatasetRecord,
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
    /// How often the file has been replaced; 0 where there is none.
    pub generation: u64,
    /// Whether the file was replaced (or removed, where no row is left).
    pub written: bool,
    /// Slices of which nothing was merged because they would erase too much.
    pub refused: Vec<Refused>,
}

/// A slice that would erase more rows than its pipeline allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The unit's key.
    pub key: UnitKey,
    /// Which file, how much, and what is allowed.
    pub message: String,
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

    /// The dataset of `spec`. The first time its layout, key and columns are recorded; later they are compared, and
    /// added columns and wider types are recorded.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the old and the new value where anything else
    /// was changed; [`ErrorKind::BadInput`](crate::error::ErrorKind::BadInput) where the key does not fit the schema.
    pub async fn dataset(&self, spec: DatasetSpec) -> Result<Dataset> {
        let path = format!("{}/{RECORD}", spec.name);
        let recorded = match self.store.read(&path).await? {
            Some(text) => Some(DatasetRecord::parse(&text, &self.store.shown(&path))?),
            None => None,
        };
        let record = match &recorded {
            Some(recorded) => recorded.evolve(&spec)?,
            None => DatasetRecord::new(&spec),
        };
        let shape = Shape::new(record.schema()?, &record.key)?;
        if recorded.as_ref() != Some(&record) {
            let (store, name, text) = (self.store.clone(), spec.name.clone(), record.text()?);
            blocking(move || {
                let mut draft = store.draft(&name, "record", &path)?;
                draft.write_all(&text).map_err(|error| failed(&draft.said(), error))?;
                draft.commit()
            })
            .await?;
        }
        let store = self.store.clone();
        Ok(Dataset { inner: Arc::new(DatasetInner { store, shape, partition_by: spec.partition_by, record }) })
    }

    /// The records of all datasets, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the record that cannot be read.
    pub async fn datasets(&self) -> Result<Vec<DatasetRecord>> {
        let mut records = Vec::new();
        for folder in self.store.folders().await? {
            let path = format!("{folder}/{RECORD}");
            if let Some(text) = self.store.read(&path).await? {
                records.push(DatasetRecord::parse(&text, &self.store.shown(&path))?);
            }
        }
        Ok(records)
    }
}

impl Dataset {
    /// The name of the dataset and of its folder.
    pub fn name(&self) -> &str {
        &self.inner.record.pipeline
    }

    /// What `_hourmark.json` says.
    pub fn record(&self) -> &DatasetRecord {
        &self.inner.record
    }

    /// The schema of the dataset's rows: that of its spec, with columns that may be null where older rows lack them.
    pub fn schema(&self) -> &SchemaRef {
        self.inner.shape.schema()
    }

    /// Files per partition.
    pub fn buckets(&self) -> u16 {
        self.inner.record.buckets
    }

    /// Makes a unit's rows durable without making them visible. A second stage of the same key replaces the first.
    ///
    /// `rows` has the columns of [`Dataset::schema`], in any order of rows, and may hold doubles: the later row stays.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be written; nothing is
    /// staged then, or what was staged before.
    pub async fn stage(&self, key: &UnitKey, rows: RecordBatch) -> Result<StagedFile> {
        let rows = self.fitting(rows)?;
        let (dataset, key) = (self.clone(), key.clone());
        blocking(move || {
            let path = staged::path(dataset.name(), &key);
            if rows.num_rows() == 0 {
                dataset.store().remove(&path)?;
                return Ok(StagedFile { rows: 0, doubles: 0, bytes: 0 });
            }
            let (rows, doubles) = dataset.shape().sort_unique(&rows)?;
            let draft = dataset.store().draft(dataset.name(), "stage", &path)?;
            let bytes = staged::write(draft, &key, &rows, dataset.shape())?;
            Ok(StagedFile { rows: rows.num_rows() as u64, doubles, bytes })
        })
        .await
    }

    /// All partitions that rows of these accounts with hours in `window` can belong to, in order.
    pub fn partitions(&self, accounts: &[Account], window: Window) -> Vec<Partition> {
        let ids = accounts.iter().map(|account| account.id.as_str());
        layout::partitions(ids, window, self.inner.partition_by, self.buckets())
    }

    /// Merges staged slices into one partition and replaces its file in one step if its content changed.
    ///
    /// The result does not depend on the order of `slices`. Publishing the same slices again changes nothing. `fence` is
    /// the fencing token of the caller's lease: it is logged, the state checks it.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read or written;
    /// [`ErrorKind::Busy`](crate::error::ErrorKind::Busy) where the file was replaced meanwhile. The file before stays
    /// as it was.
    pub async fn publish(&self, partition: Partition, slices: &[StagedSlice], fence: u64) -> Result<Published> {
        let published = publish::publish(self, partition, slices).await?;
        tracing::debug!(
            dataset = self.name(),
            %partition,
            fence,
            slices = slices.len(),
            rows = published.rows,
            written = published.written,
            "published"
        );
        Ok(published)
    }

    /// Removes a unit's staged file, where there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be removed.
    pub async fn discard(&self, key: &UnitKey) -> Result<()> {
        let (store, path) = (self.inner.store.clone(), staged::path(self.name(), key));
        blocking(move || store.remove(&path).map(|_| ())).await
    }

    /// Removes the staged files of all units but those of `keep`, and temporaries whose writer is dead; how many.
    ///
    /// To be called under the dataset's lease, before units are staged: a unit that is staged meanwhile is not in `keep`.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be removed.
    pub async fn sweep(&self, keep: &[UnitKey]) -> Result<usize> {
        let folder = format!("{STAGED}/{}", self.name());
        let names = self.inner.store.files(&folder).await?;
        let keep: HashSet<String> = keep.iter().map(staged::file_name).collect();
        let store = self.inner.store.clone();
        blocking(move || {
            let mut removed = 0;
            for name in names {
                let path = format!("{folder}/{name}");
                let gone = match name.as_str() {
                    name if store::is_temporary(name) => store.remove_abandoned(&path)?,
                    name if staged::is_staged(name) && !keep.contains(name) => store.remove(&path)?,
                    _ => false,
                };
                removed += usize::from(gone);
            }
            Ok(removed)
        })
        .await
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    /// The path of a partition's file in the lake.
    fn path(&self, partition: Partition) -> String {
        format!("{}/{partition}", self.name())
    }

    /// Begins the next generation of a partition's file. Blocking.
    fn begin(&self, partition: Partition, generation: u64) -> Result<PartitionWriter> {
        let draft = self.store().draft(self.name(), "publish", &self.path(partition))?;
        PartitionWriter::new(draft, self.shape(), self.record(), generation)
    }

    /// The rows in the dataset's own schema, which may allow more nulls than theirs.
    fn fitting(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let (found, schema) = (rows.schema(), self.schema());
        for (one, other) in found.fields().iter().zip(schema.fields()) {
            if (one.name(), one.data_type()) != (other.name(), other.data_type()) {
                return Err(Error::internal(format!(
                    "rows for `{}` have the column `{}` {}, expected `{}` {}",
                    self.name(),
                    one.name(),
                    one.data_type(),
                    other.name(),
                    other.data_type()
                )));
            }
        }
        RecordBatch::try_new(schema.clone(), rows.columns().to_vec())
            .map_err(|error| Error::internal(format!("rows do not fit the dataset `{}`", self.name())).because(error))
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("record", &self.inner.record).finish_non_exhaustive()
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
            generation: file.map_or(0, |file| file.generation),
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
