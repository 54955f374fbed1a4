//! Units that are too large for the memory: their rows are put aside in sorted chunks while pages still come, and joined
//! hour by hour when the last page has been read.
//!
//! A chunk ends where a page ends, so what the key proof says of the rows of one response, each chunk says for itself.
//! Of a key that several chunks have, the row of the last counts, as it does for two pages of one chunk. A chunk is a
//! temporary: it goes with whoever holds it, and the sweep removes what a killed run left.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::interned::interned;
use super::staged::{StagedReader, StagedWriter};
use super::store::Draft;
use super::{Dataset, Proven, StagedFile, blocking, staged};
use crate::error::{Error, Result};
use crate::merge::{Sorted, Undeclared};
use crate::time::Instant;
use crate::unit::UnitKey;

/// Some of a unit's rows, sorted by key, one row per key.
pub struct Chunk {
    reader: Arc<StagedReader>,
    rows: u64,
    /// Removes the file.
    _draft: Draft,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Chunk {
    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Dataset {
    /// Sorts some of a unit's rows, proves that the key tells them apart, and puts them aside. `page_starts` says where
    /// each response's rows begin; no response has rows in two chunks.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be written; an internal error
    /// where the rows have other columns.
    pub async fn put_aside(
        &self,
        key: &UnitKey,
        rows: RecordBatch,
        page_starts: Vec<usize>,
    ) -> Result<Result<Chunk, Undeclared>> {
        let Proven { rows, .. } = match self.prove(rows, page_starts).await? {
            Ok(proven) => proven,
            Err(undeclared) => return Ok(Err(undeclared)),
        };
        let count = rows.num_rows() as u64;
        let (dataset, unit) = (self.clone(), key.clone());
        let draft = blocking(move || {
            let draft = dataset.store().draft(dataset.name(), "chunk", &staged::path(dataset.name(), &unit))?;
            let hours = dataset.shape().hours(&rows)?;
            let rows = interned(&rows)
                .map_err(|error| Error::internal("cannot number the texts of a chunk").because(error))?;
            let mut writer = StagedWriter::begin(draft, &unit, &rows.schema())?;
            // A batch for each hour: hours that share one would be decoded once for each of them when chunks are joined.
            for hour in hours {
                writer.add(&rows, &[hour], 0)?;
            }
            writer.leave()
        })
        .await?;
        let path = self.store().relative(draft.temporary());
        let reader = Arc::new(StagedReader::open(self.store(), path, key, 0).await?);
        Ok(Ok(Chunk { reader, rows: count, _draft: draft }))
    }

    /// Joins a unit's chunks, in the order in which they were read, and makes its rows durable without making them
    /// visible, as [`Dataset::stage`] does. `see` is shown the rows of one hour after the other; what it has learnt comes back.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read or written; what `see`
    /// gives.
    pub async fn stage_chunks<S: Send + 'static>(
        &self,
        key: &UnitKey,
        chunks: &[Chunk],
        learnt: S,
        see: fn(&mut S, &RecordBatch) -> Result<()>,
    ) -> Result<(StagedFile, S)> {
        let (dataset, unit) = (self.clone(), key.clone());
        let writer = blocking(move || {
            let draft = dataset.store().draft(dataset.name(), "stage", &staged::path(dataset.name(), &unit))?;
            StagedWriter::begin(draft, &unit, dataset.schema())
        });
        let mut joining = Joining { writer: writer.await?, rows: 0, learnt, see };
        let hours: BTreeSet<Instant> = chunks.iter().flat_map(|chunk| chunk.reader.hours()).collect();
        for hour in hours {
            let mut parts = Vec::new();
            for chunk in chunks {
                parts.extend(chunk.reader.read(self.store(), hour).await?);
            }
            let dataset = self.clone();
            joining = blocking(move || {
                let mut batches = Vec::with_capacity(parts.len());
                for part in parts {
                    batches.push(part.decode(dataset.shape(), 0, 1)?);
                }
                joining.add(&dataset, hour, &batches)?;
                Ok(joining)
            })
            .await?;
        }
        let Joining { writer, rows, learnt, .. } = joining;
        let bytes = blocking(move || writer.commit()).await?;
        let doubles = chunks.iter().map(Chunk::rows).sum::<u64>() - rows;
        Ok((StagedFile { rows, doubles, bytes }, learnt))
    }
}

/// A unit's file on its way from its chunks.
struct Joining<S> {
    writer: StagedWriter,
    rows: u64,
    learnt: S,
    see: fn(&mut S, &RecordBatch) -> Result<()>,
}

impl<S> Joining<S> {
    fn add(&mut self, dataset: &Dataset, hour: Instant, batches: &[RecordBatch]) -> Result<()> {
        let shape = dataset.shape();
        let rows = concat_batches(shape.schema(), batches)
            .map_err(|error| Error::internal("cannot join the chunks of a unit").because(error))?;
        // Each row as a response of its own: two chunks are two responses, and within one no key comes twice.
        let page_starts: Vec<usize> = (0..rows.num_rows()).collect();
        let rows = match shape.sort_unique(rows, &page_starts)? {
            Sorted::Unique { rows, .. } => rows,
            Sorted::Undeclared(undeclared) => return Err(Error::internal(undeclared.to_string())),
        };
        self.rows += rows.num_rows() as u64;
        (self.see)(&mut self.learnt, &rows)?;
        self.writer.add(&rows, &[(hour, 0..rows.num_rows())], 0)
    }
}
