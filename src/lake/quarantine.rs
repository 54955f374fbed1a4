//! Rows of units that broke a quality rule, kept apart: `_quarantine/<name>/<digest>-<fetched>.arrow`.
//!
//! A file is named by the unit's digest and by when it was fetched, so a later reading of the same unit never overwrites
//! the file that the state knows. Every step writes a new file first and takes the old one away last, and the state's record
//! changes in between, in one transaction:
//!
//! | step | file written | recorded | file removed | killed before the record | killed after it |
//! |---|---|---|---|---|---|
//! | a unit breaks a row rule | quarantined | quarantined | - | the sweep removes it, the hours are fetched again | nothing to do |
//! | a unit too large to be held breaks a row rule | quarantined | quarantined | staged | the sweep removes both files, the hours are fetched again | the sweep removes the staged file |
//! | a staged unit's values fall | quarantined | quarantined | staged | still staged: the next run judges it again | the sweep removes the staged file |
//! | it is released | staged | staged | quarantined, by the sweep | still quarantined; the sweep removes the staged file | published by the next run |
//! | it is dropped | - | dropped | quarantined | nothing happened | the sweep removes it |

use std::collections::HashSet;
use std::io::{Cursor, Read, Write};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;

use super::interned::plain;
use super::layout::QUARANTINE;
use super::store::failed;
use super::{Dataset, Lake, Proven, blocking, staged};
use crate::error::{Error, Result};
use crate::time::Instant;
use crate::unit::UnitKey;

fn file_name(key: &UnitKey, fetched_at: Instant) -> String {
    format!("{}-{}.{}", key.digest(), fetched_at.timestamp(), staged::EXTENSION)
}

fn path(dataset: &str, key: &UnitKey, fetched_at: Instant) -> String {
    format!("{QUARANTINE}/{dataset}/{}", file_name(key, fetched_at))
}

impl Dataset {
    /// Writes a unit's rows into quarantine and makes them durable. To be recorded afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be written.
    pub async fn quarantine(&self, key: &UnitKey, fetched_at: Instant, rows: Proven) -> Result<()> {
        let (dataset, key) = (self.clone(), key.clone());
        blocking(move || {
            let path = path(dataset.name(), &key, fetched_at);
            let draft = dataset.store().draft(dataset.name(), "quarantine", &path)?;
            staged::write(draft, &key, rows.rows(), dataset.shape(), 0).map(|_| ())
        })
        .await
    }

    /// Copies a unit's staged rows into quarantine. To be recorded afterwards; then the staged file can be discarded.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read or written.
    pub async fn quarantine_staged(&self, key: &UnitKey, fetched_at: Instant) -> Result<()> {
        self.copy(staged::path(self.name(), key), path(self.name(), key, fetched_at)).await
    }

    /// Copies a unit's rows from quarantine to where staged units are. To be recorded afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that is not there, or is not what was
    /// written.
    pub async fn restage(&self, key: &UnitKey, fetched_at: Instant) -> Result<()> {
        let from = path(self.name(), key, fetched_at);
        let shown = self.store().shown(&from);
        if self.store().stat(&from).await?.is_some() {
            self.copy(from, staged::path(self.name(), key)).await?;
            if self.is_staged(key).await? {
                return Ok(());
            }
            self.discard(key).await?;
        }
        Err(Error::storage(format!("the quarantined rows `{shown}` of unit `{key}` are gone or broken"))
            .hint("`hourmark quarantine refetch` reads these hours anew, `hourmark quarantine drop` forgets the unit"))
    }

    /// Removes the quarantined rows of all units but those of `keep`; how many files.
    ///
    /// To be called under the dataset's lease, before units are fetched.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be removed.
    pub async fn sweep_quarantine(&self, keep: &[(UnitKey, Instant)]) -> Result<usize> {
        let folder = format!("{QUARANTINE}/{}", self.name());
        let keep: HashSet<String> = keep.iter().map(|(key, fetched_at)| file_name(key, *fetched_at)).collect();
        let names = self.store().files(&folder).await?;
        let store = self.store().clone();
        blocking(move || {
            let mut removed = 0;
            for name in names.iter().filter(|name| staged::is_staged(name) && !keep.contains(*name)) {
                removed += usize::from(store.remove(&format!("{folder}/{name}"))?);
            }
            Ok(removed)
        })
        .await
    }

    async fn copy(&self, from: String, to: String) -> Result<()> {
        let dataset = self.clone();
        blocking(move || {
            let said = format!("cannot read `{}`", dataset.store().shown(&from));
            let mut source = dataset.store().reader(&from)?;
            let mut draft = dataset.store().draft(dataset.name(), "copy", &to)?;
            let mut piece = vec![0; 256 * 1024];
            loop {
                let read = source.read(&mut piece).map_err(|error| failed(&said, error))?;
                if read == 0 {
                    return draft.commit();
                }
                draft.write_all(&piece[..read]).map_err(|error| failed(&draft.said(), error))?;
            }
        })
        .await
    }
}

impl Lake {
    /// The first `most` quarantined rows of a unit, sorted by key; `None` where its file is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read.
    pub async fn quarantined_rows(
        &self,
        dataset: &str,
        key: &UnitKey,
        fetched_at: Instant,
        most: usize,
    ) -> Result<Option<RecordBatch>> {
        let path = path(dataset, key, fetched_at);
        let Some(bytes) = self.store.read(&path).await? else { return Ok(None) };
        let shown = self.store.shown(&path);
        blocking(move || {
            let broken =
                |error: ArrowError| Error::storage(format!("the quarantined rows `{shown}` are broken")).because(error);
            let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(&broken)?;
            let mut batches = Vec::new();
            let mut left = most;
            for batch in reader {
                let batch = batch.and_then(|batch| plain(&batch)).map_err(&broken)?;
                batches.push(batch.slice(0, left.min(batch.num_rows())));
                left -= left.min(batch.num_rows());
                if left == 0 {
                    break;
                }
            }
            let Some(first) = batches.first() else { return Ok(None) };
            concat_batches(&first.schema(), &batches).map(Some).map_err(&broken)
        })
        .await
    }
}
