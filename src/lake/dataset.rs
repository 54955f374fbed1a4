//! One dataset: staging, publishing and tidying up.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::interned::interned_but;
use super::layout::{self, Partition, STAGED};
use super::record::DatasetRecord;
use super::staged::{Found, StagedReader};
use super::store::{self, Store};
use super::writer::{self, PartitionWriter};
use super::{Proven, Published, StagedFile, StagedSlice, blocking, log, publish, staged};
use crate::error::{Error, Result};
use crate::merge::{ReadBefore, Shape, Sorted, Undeclared};
use crate::pipeline::PartitionBy;
use crate::time::Window;
use crate::unit::{Account, UnitKey};

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

impl Dataset {
    pub(super) fn new(store: Store, shape: Shape, partition_by: PartitionBy, record: DatasetRecord) -> Dataset {
        Dataset { inner: Arc::new(DatasetInner { store, shape, partition_by, record }) }
    }

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

    /// Sorts a unit's rows and proves that the key tells them apart; see [`Sorted`]. `rows` has the columns of
    /// [`Dataset::schema`], in any order of rows, `page_starts` says where each response's rows begin.
    ///
    /// # Errors
    /// An internal error where the rows have other columns.
    pub async fn prove(&self, rows: RecordBatch, page_starts: Vec<usize>) -> Result<Result<Proven, Undeclared>> {
        let rows = self.fitting(rows)?;
        let dataset = self.clone();
        blocking(move || {
            // Numbers are sooner put in order than texts, and staged files hold texts as numbers anyhow.
            let rows = interned_but(&rows, dataset.shape().key())
                .map_err(|error| Error::internal("cannot number the texts of rows").because(error))?;
            Ok(match dataset.shape().sort_unique(rows, &page_starts)? {
                Sorted::Unique { rows, doubles } => Ok(Proven { rows, doubles }),
                Sorted::Undeclared(undeclared) => Err(undeclared),
            })
        })
        .await
    }

    /// Makes a unit's rows durable without making them visible. A second stage of the same key replaces the first.
    /// `beside` is about how many units are published together with it: the more, the less of each is decoded at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be written; nothing is
    /// staged then, or what was staged before.
    pub async fn stage(&self, key: &UnitKey, rows: Proven, beside: usize) -> Result<StagedFile> {
        let (dataset, key) = (self.clone(), key.clone());
        blocking(move || {
            let path = staged::path(dataset.name(), &key);
            let Proven { rows, doubles } = rows;
            if rows.num_rows() == 0 {
                dataset.store().remove(&path)?;
                return Ok(StagedFile { rows: 0, doubles, bytes: 0 });
            }
            let draft = dataset.store().draft(dataset.name(), "stage", &path)?;
            let bytes = staged::write(draft, &key, &rows, dataset.shape(), staged::shared_rows(beside))?;
            Ok(StagedFile { rows: rows.num_rows() as u64, doubles, bytes })
        })
        .await
    }

    /// Whether a unit's staged file is there and can be read so far as its footer.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be looked at.
    pub async fn is_staged(&self, key: &UnitKey) -> Result<bool> {
        let found = StagedReader::find(self.store(), staged::path(self.name(), key), key, 0).await?;
        Ok(matches!(found, Found::Whole(_)))
    }

    /// All partitions that rows of these accounts with hours in `window` can belong to, in order.
    pub fn partitions(&self, accounts: &[Account], window: Window) -> Vec<Partition> {
        let ids = accounts.iter().map(|account| account.id.as_str());
        layout::partitions(ids, window, self.inner.partition_by, self.buckets())
    }

    /// Merges staged slices into one partition and replaces its file in one step if its content changed.
    ///
    /// What that changed is appended to the restatement log, each event once whatever is cut off. `read_before` says
    /// which hours of the slices' accounts the state knows as read: only there a new row counts as a late one.
    ///
    /// The result does not depend on the order of `slices`. Publishing the same slices again changes nothing. `fence` is
    /// the fencing token of the caller's lease: it is logged, the state checks it.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read or written;
    /// [`ErrorKind::Busy`](crate::error::ErrorKind::Busy) where the file was replaced meanwhile. The file before stays
    /// as it was.
    pub async fn publish(
        &self,
        partition: Partition,
        slices: &[StagedSlice],
        read_before: &ReadBefore,
        fence: u64,
    ) -> Result<Published> {
        self.merge_in(partition, slices, Some(read_before), fence).await
    }

    /// The same for slices that tell again what was told before: nothing of it is a restatement.
    ///
    /// # Errors
    /// As of [`Dataset::publish`].
    pub async fn publish_again(&self, partition: Partition, slices: &[StagedSlice], fence: u64) -> Result<Published> {
        self.merge_in(partition, slices, None, fence).await
    }

    async fn merge_in(
        &self,
        partition: Partition,
        slices: &[StagedSlice],
        read_before: Option<&ReadBefore>,
        fence: u64,
    ) -> Result<Published> {
        let published = publish::publish(self, partition, slices, read_before).await?;
        tracing::info!(
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

    /// Finishes what a publish that was cut off had begun to tell the restatement log; how many publishes that were.
    ///
    /// To be called under the dataset's lease, at the beginning of a run.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read or written.
    pub async fn settle_restatements(&self) -> Result<usize> {
        log::settle_all(self).await
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

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The columns of its rows by their part in a merge.
    pub fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    /// The path of a partition's file in the lake.
    pub(super) fn path(&self, partition: Partition) -> String {
        format!("{}/{partition}", self.name())
    }

    /// Begins a partition's next file. Blocking.
    pub(super) fn begin(&self, partition: Partition) -> Result<PartitionWriter> {
        let draft = self.store().draft(self.name(), "publish", &self.path(partition))?;
        PartitionWriter::new(draft, self.schema(), writer::properties(self.shape(), self.record())?)
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
