//! The restatement log: a dataset beside each pipeline's that says which value changed from what to what, and when.
//!
//! `<name>__restatements/date=YYYY-MM-DD/bucket-BB.parquet`: `date` is the UTC date on which the new values were seen,
//! the bucket is that of the partition that changed. Files only grow: what they hold is taken over as bytes, the events
//! of one publish follow as row groups of their own, and the footer lists the names of what was appended.
//!
//! # Each event exactly once, whatever is cut off
//!
//! A publish goes through these steps, and each one is durable before the next begins:
//!
//! | step | cut off after it | the next run |
//! |---|---|---|
//! | 1. the new file and the events are written as temporaries | nothing happened | sweeps both; the slices, still staged, are merged again |
//! | 2. the intent is in its place: the events, and the digest of the partition's file to be | the file is the old one, its digest is another | drops the intent; the slices are merged again, with the same events |
//! | 3. the partition's file is replaced | the file's digest is that of the intent; merging the slices again would find nothing to tell | appends the intent's events, then drops it |
//! | 4. the events are in the log's file, whose footer lists the intent's name | as after 3 | finds the name listed, appends nothing, drops the intent |
//! | 5. the intent is gone | all done; the state may not know yet | merges the slices again: no row differs, so nothing changes |
//!
//! The digest can stand for the file because the same rows give the same bytes, and a partition's file is replaced under
//! the pipeline's lease and never while an intent of it is there: every publish settles it first. So the file is either
//! the one before or the one that the intent foretells.
//!
//! Step 5 has two exceptions: what a slice told that left no trace in the rows (a row that was kept though it was not
//! brought; a row that one slice added and a later one of the same publish removed) would be told again. The names of
//! such slices are listed in the footer too, and whatever a listed slice tells is not appended a second time. A slice is
//! named by partition, unit, when it was fetched and what becomes of absent rows, so the same slice has the same name
//! whatever it is published with.
//!
//! Where events change no row, step 3 has nothing to do and the intent says so.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{SchemaRef, UInt32Type};
use chrono::NaiveDate;

use super::file::PartitionFile;
use super::intent::{Intent, days, folder};
use super::layout::RECORD;
use super::record::DatasetRecord;
use super::writer::{PartitionWriter, log_properties};
use super::{Dataset, blocking};
use crate::error::{Error, Result};
use crate::merge::{conform, log_schema};
use crate::pipeline::schema::RESTATEMENTS;

/// The footer's metadata key of the names of what was appended.
pub(super) const IDS: &str = "hourmark.restatements";
/// Events in a row group at most, but for those of one hour.
const GROUP_ROWS: usize = 128 * 1024;

/// Finishes or drops the intents that are left over in `dataset`; how many were finished.
pub(super) async fn settle_all(dataset: &Dataset) -> Result<usize> {
    let folder = folder(dataset.name());
    let mut finished = 0;
    for name in dataset.store().files(&folder).await? {
        finished += usize::from(settle(dataset, &format!("{folder}/{name}")).await?);
    }
    Ok(finished)
}

/// Finishes the intent at `path` if its publish replaced the partition's file, and drops it otherwise; whether it was
/// finished. Without an intent nothing is done.
pub(super) async fn settle(dataset: &Dataset, path: &str) -> Result<bool> {
    let Some(intent) = Intent::open(dataset.store(), path).await? else { return Ok(false) };
    let happened = intent.happened(dataset.store()).await?;
    if happened {
        append(dataset, &intent).await?;
    } else {
        tracing::info!(file = intent.target, "a publish was cut off before it changed anything");
    }
    forget(dataset, path).await?;
    Ok(happened)
}

/// Appends the events of the intent at `path`, whose publish is done, and removes it.
pub(super) async fn finish(dataset: &Dataset, path: &str) -> Result<()> {
    if let Some(intent) = Intent::open(dataset.store(), path).await? {
        append(dataset, &intent).await?;
    }
    forget(dataset, path).await
}

async fn forget(dataset: &Dataset, path: &str) -> Result<()> {
    let (store, path) = (dataset.store().clone(), path.to_owned());
    blocking(move || store.remove(&path).map(|_| ())).await
}

/// Appends an intent's events to the files of their dates. A second time changes nothing.
pub(super) async fn append(dataset: &Dataset, intent: &Intent) -> Result<()> {
    let record = recorded(dataset).await?;
    for (date, day) in &intent.dates {
        Appending::begin(dataset, intent, &record, *date, *day).await?.run().await?;
    }
    Ok(())
}

/// The log's own record, with the columns of today; written where that is not what is there.
async fn recorded(dataset: &Dataset) -> Result<DatasetRecord> {
    let store = dataset.store();
    let name = format!("{}{RESTATEMENTS}", dataset.name());
    let path = format!("{name}/{RECORD}");
    let before = match store.read(&path).await? {
        Some(text) => Some(DatasetRecord::parse(&text, &store.shown(&path))?),
        None => None,
    };
    let record = DatasetRecord::of_restatements(dataset.record(), &name, &log_schema(dataset.shape()), before.as_ref());
    if before.as_ref() != Some(&record) {
        let (store, name, text) = (store.clone(), dataset.name().to_owned(), record.text()?);
        blocking(move || store.write(&name, "record", &path, &text)).await?;
    }
    Ok(record)
}

/// The events of one intent on their way into the file of one date.
struct Appending<'a> {
    dataset: &'a Dataset,
    intent: &'a Intent,
    record: &'a DatasetRecord,
    schema: SchemaRef,
    path: String,
    day: i64,
    file: Option<Arc<PartitionFile>>,
    /// The names that the file lists.
    listed: Arc<HashSet<String>>,
    /// Not begun before the first event that is not in the file.
    writer: Option<PartitionWriter>,
    waiting: Vec<RecordBatch>,
}

impl<'a> Appending<'a> {
    async fn begin(
        dataset: &'a Dataset,
        intent: &'a Intent,
        record: &'a DatasetRecord,
        date: NaiveDate,
        day: i64,
    ) -> Result<Appending<'a>> {
        let schema = log_schema(dataset.shape());
        let path = format!("{}/date={date}/bucket-{:02}.parquet", record.pipeline, intent.bucket);
        let file = PartitionFile::open_any(dataset.store(), &path, &schema).await?.map(Arc::new);
        let ids = file.as_ref().and_then(|file| file.entry(IDS)).unwrap_or_default();
        let listed = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let (listed, waiting) = (Arc::new(listed), Vec::new());
        Ok(Appending { dataset, intent, record, schema, path, day, file, listed, writer: None, waiting })
    }

    async fn run(mut self) -> Result<()> {
        if self.listed.contains(&self.intent.id) {
            return Ok(());
        }
        let mut rows = 0;
        for batch in 0..self.intent.batches() {
            let events = self.unlisted(self.intent.read(self.dataset.store(), batch).await?).await?;
            rows += events.num_rows();
            self.waiting.push(events);
            if rows >= GROUP_ROWS {
                self.write().await?;
                rows = 0;
            }
        }
        self.write().await?;
        let Some(writer) = self.writer else { return Ok(()) };
        blocking(move || writer.finish()?.commit()).await
    }

    /// Those of `events` that belong into the file and are not in it, in the log's columns.
    async fn unlisted(&self, events: RecordBatch) -> Result<RecordBatch> {
        let (listed, schema, day) = (self.listed.clone(), self.schema.clone(), self.day);
        let is_listed: Vec<bool> = self.intent.claims.iter().map(|claim| listed.contains(claim)).collect();
        blocking(move || {
            // The last column names the claim.
            let claims = events.columns().last().and_then(|column| column.as_primitive_opt::<UInt32Type>());
            let claims = claims.ok_or_else(|| Error::internal("events do not say whose they are"))?;
            let told = |claim: u32| is_listed.get(claim as usize).copied().unwrap_or(false);
            let mask: Vec<bool> =
                claims.values().iter().zip(days(&events)).map(|(claim, seen)| seen == day && !told(*claim)).collect();
            let events = filter_record_batch(&events, &BooleanArray::from(mask))
                .map_err(|error| Error::internal("cannot take a day's events").because(error))?;
            conform(&events, &schema)
        })
        .await
    }

    /// Writes what is waiting as a row group.
    async fn write(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.iter().all(|events| events.num_rows() == 0) {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.with_old().await?,
        };
        let schema = self.schema.clone();
        let written = blocking(move || {
            let events = concat_batches(&schema, &waiting)
                .map_err(|error| Error::internal("cannot put events together").because(error))?;
            writer.encode(&events)?;
            Ok(writer)
        });
        self.writer = Some(written.await?);
        Ok(())
    }

    /// A new file that holds what the file before holds. Its bytes are kept, unless its columns are others.
    async fn with_old(&self) -> Result<PartitionWriter> {
        let store = self.dataset.store();
        let draft = (store.clone(), self.dataset.name().to_owned(), self.path.clone());
        let (schema, properties) = (self.schema.clone(), log_properties(self.record, (IDS, self.ids()))?);
        let begun = blocking(move || {
            let (store, name, path) = draft;
            PartitionWriter::new(store.draft(&name, "log", &path)?, &schema, properties)
        });
        let mut writer = begun.await?;
        let Some(file) = &self.file else { return Ok(writer) };
        for group in 0..file.groups() {
            let part = file.read(store, group..group + 1).await?;
            let (file, schema) = (file.clone(), self.schema.clone());
            let copied = blocking(move || {
                if file.current {
                    writer.splice(&file, &part, group..group + 1)?;
                } else {
                    writer.encode(&file.decode(part, group..group + 1, &schema)?)?;
                }
                Ok(writer)
            });
            writer = copied.await?;
        }
        Ok(writer)
    }

    /// The names that the new file lists, sorted.
    fn ids(&self) -> String {
        let mut ids: BTreeSet<&str> = self.listed.iter().map(String::as_str).collect();
        ids.insert(&self.intent.id);
        ids.extend(self.intent.untraced.iter().map(String::as_str));
        ids.into_iter().collect::<Vec<_>>().join(",")
    }
}
