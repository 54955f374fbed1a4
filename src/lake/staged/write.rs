//! Writing a staged file: whole, or hour by hour.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};

use super::{HOURS, KEPT_ROWS, KEY};
use crate::error::Result;
use crate::lake::interned::interned;
use crate::lake::store::{Draft, failed};
use crate::merge::Shape;
use crate::time::Instant;
use crate::unit::UnitKey;

/// Rows in one record batch at most.
const BATCH_ROWS: usize = 32 * 1024;
/// Hours share a batch until it has so many rows: a batch of a few rows would be more frame than content.
const SHARED_ROWS: usize = 4 * 1024;

/// How many rows hours may share a batch up to, where `beside` units are published together: of each of them a decoded
/// batch is kept from one hour to the next.
pub(in crate::lake) fn shared_rows(beside: usize) -> usize {
    SHARED_ROWS.min(KEPT_ROWS / beside.max(1))
}

/// An hour and its rows in a batch.
type HourRows = (Instant, Range<usize>);

/// Writes sorted rows and makes them durable; gives the file's size. Hours share a batch up to `shared` rows. Blocking.
pub(in crate::lake) fn write(
    draft: Draft,
    key: &UnitKey,
    rows: &RecordBatch,
    shape: &Shape,
    shared: usize,
) -> Result<u64> {
    let hours = shape.hours(rows)?;
    let said = draft.said();
    let rows = interned(rows).map_err(|error| failed(&said, error))?;
    let mut writer = StagedWriter::begin(draft, key, &rows.schema())?;
    writer.add(&rows, &hours, shared)?;
    writer.commit()
}

/// A staged file that is being written. Dropping it removes it.
pub(in crate::lake) struct StagedWriter {
    writer: FileWriter<Counted<BufWriter<Draft>>>,
    said: String,
    key: UnitKey,
    /// The hours of each batch, as they stand in the footer.
    batches: Vec<String>,
}

impl StagedWriter {
    /// Begins a unit's file of rows with the columns of `schema`. Blocking.
    pub(in crate::lake) fn begin(draft: Draft, key: &UnitKey, schema: &SchemaRef) -> Result<StagedWriter> {
        let said = draft.said();
        let begin = || -> Result<_, ArrowError> {
            let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
            FileWriter::try_new_with_options(Counted { inner: BufWriter::new(draft), bytes: 0 }, schema, options)
        };
        let writer = begin().map_err(|error| failed(&said, error))?;
        Ok(StagedWriter { writer, said, key: key.clone(), batches: Vec::new() })
    }

    /// Adds rows of `hours`, which come after all hours before and share a batch up to `shared` rows. Blocking.
    pub(in crate::lake) fn add(&mut self, rows: &RecordBatch, hours: &[HourRows], shared: usize) -> Result<()> {
        for batch in batches_of(hours, shared) {
            let (Some((_, first)), Some((_, last))) = (batch.first(), batch.last()) else { continue };
            let slice = rows.slice(first.start, last.end - first.start);
            self.writer.write(&slice).map_err(|error| failed(&self.said, error))?;
            let shown = |(hour, rows): &HourRows| format!("{}*{}", hour.timestamp_micros(), rows.len());
            self.batches.push(batch.iter().map(shown).collect::<Vec<String>>().join(" "));
        }
        Ok(())
    }

    /// Makes the file durable and puts it in its place; gives its size. Blocking.
    pub(in crate::lake) fn commit(mut self) -> Result<u64> {
        self.finish()?;
        let counted = self.writer.get_mut();
        counted.inner.get_mut().commit()?;
        Ok(counted.bytes)
    }

    /// Completes the file and leaves it where nobody looks, for as long as the draft is kept. Blocking.
    pub(in crate::lake) fn leave(mut self) -> Result<Draft> {
        self.finish()?;
        let said = self.said;
        let counted = self.writer.into_inner().map_err(|error| failed(&said, error))?;
        counted.inner.into_inner().map_err(|error| failed(&said, error.into_error()))
    }

    fn finish(&mut self) -> Result<()> {
        self.writer.write_metadata(KEY, self.key.as_str());
        self.writer.write_metadata(HOURS, self.batches.join(","));
        self.writer.finish().map_err(|error| failed(&self.said, error))
    }
}

/// The hours of each batch, with their rows: a large hour has batches of its own, small ones share one.
fn batches_of(hours: &[HourRows], most: usize) -> Vec<Vec<HourRows>> {
    let mut batches: Vec<Vec<HourRows>> = Vec::new();
    let mut shared = 0;
    for (hour, rows) in hours {
        if let Some(last) = batches.last_mut().filter(|_| shared + rows.len() <= most) {
            shared += rows.len();
            last.push((*hour, rows.clone()));
            continue;
        }
        for begin in rows.clone().step_by(BATCH_ROWS) {
            batches.push(vec![(*hour, begin..rows.end.min(begin + BATCH_ROWS))]);
        }
        shared = rows.len();
    }
    batches
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
