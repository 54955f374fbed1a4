//! Intents: what a publish is about to change, written down durably before the partition's file is replaced.
//!
//! An intent is an Arrow file of events, hour by hour, named after its partition, so a partition has one at most. Its
//! footer says what the partition's file will be after the publish, by which one can tell later whether that happened.

use std::collections::BTreeSet;
use std::io::BufWriter;

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use chrono::{DateTime, NaiveDate};
use xxhash_rust::xxh3::xxh3_64;

use super::layout::{Partition, STAGED};
use super::staged::{ArrowFooter, arrow_footer, trailer};
use super::store::{Digesting, Draft, Stat, Store, failed};
use super::{Dataset, blocking};
use crate::error::{Error, Result};
use crate::merge::{Claim, event_schema};
use crate::pipeline::Missing;
use crate::pipeline::schema::{RESTATEMENTS, SEEN_AT};

/// The footer is looked for in this many bytes at the end first.
const TAIL: u64 = 64 * 1024;
const TARGET: &str = "hourmark.target";
const BUCKET: &str = "hourmark.bucket";
const AFTER: &str = "hourmark.after";
const ID: &str = "hourmark.id";
const CLAIMS: &str = "hourmark.claims";
const UNTRACED: &str = "hourmark.untraced";
const DATES: &str = "hourmark.dates";

/// What the partition's file is when its publish is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// What it was before: the events changed no row.
    Unchanged,
    /// There is none.
    Gone,
    /// A file whose bytes have this digest.
    File(u128),
}

impl After {
    fn text(self) -> String {
        match self {
            After::Unchanged => "unchanged".to_owned(),
            After::Gone => "gone".to_owned(),
            After::File(digest) => format!("{digest:032x}"),
        }
    }

    fn parse(text: &str) -> Option<After> {
        match text {
            "unchanged" => Some(After::Unchanged),
            "gone" => Some(After::Gone),
            digest => u128::from_str_radix(digest, 16).ok().map(After::File),
        }
    }
}

/// The folder of a dataset's intents.
pub(super) fn folder(dataset: &str) -> String {
    format!("{STAGED}/{dataset}{RESTATEMENTS}")
}

/// The path of a partition's intent.
pub(super) fn path(dataset: &Dataset, partition: Partition) -> String {
    let digest = xxh3_64(dataset.path(partition).as_bytes());
    format!("{}/{digest:016x}.arrow", folder(dataset.name()))
}

/// The name of a claim in a partition: the same after a restart, and whatever else is published with it.
///
/// Whole seconds, because the state keeps no more of when a slice was fetched.
pub(super) fn claim_id(target: &str, claim: &Claim) -> String {
    let missing = match claim.missing {
        Missing::Keep => "keep",
        Missing::Drop { .. } => "drop",
    };
    let text = format!("{target}\n{}\n{}\n{missing}", claim.key, claim.fetched_at.timestamp());
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// An intent that is being written. Dropping it throws it away.
pub(super) struct IntentDraft {
    writer: FileWriter<Digesting<BufWriter<Draft>>>,
    said: String,
    target: String,
    bucket: u16,
    untraced: BTreeSet<usize>,
    /// Days since 1970 of when the events' values were seen.
    days: BTreeSet<i64>,
}

impl IntentDraft {
    /// Begins a partition's intent. Blocking.
    pub(super) fn begin(dataset: &Dataset, partition: Partition) -> Result<IntentDraft> {
        // Its temporary is the dataset's, so that the dataset's sweep finds it.
        let draft = dataset.store().draft(dataset.name(), "intent", &path(dataset, partition))?;
        let said = draft.said();
        let begin = || -> Result<_, ArrowError> {
            let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
            let output = Digesting::new(BufWriter::new(draft));
            FileWriter::try_new_with_options(output, &event_schema(dataset.shape()), options)
        };
        let writer = begin().map_err(|error| failed(&said, error))?;
        let (target, bucket) = (dataset.path(partition), partition.bucket);
        Ok(IntentDraft { writer, said, target, bucket, untraced: BTreeSet::new(), days: BTreeSet::new() })
    }

    /// Adds an hour's events. Blocking.
    pub(super) fn add(&mut self, events: &RecordBatch, untraced: BTreeSet<usize>) -> Result<()> {
        self.days.extend(days(events));
        self.untraced.extend(untraced);
        self.writer.write(events).map_err(|error| failed(&self.said, error))
    }

    /// Makes it durable, with the names of the claims that its events tell of. Blocking.
    pub(super) fn commit(mut self, after: After, claims: &[Claim]) -> Result<()> {
        let ids: Vec<String> = claims.iter().map(|claim| claim_id(&self.target, claim)).collect();
        let untraced: Vec<&str> = self.untraced.iter().map(|claim| ids[*claim].as_str()).collect();
        let days: Vec<String> = self.days.iter().map(i64::to_string).collect();
        let content = self.writer.get_ref().digest();
        let id = xxh3_64(format!("{}\n{}\n{}\n{content:032x}", self.target, after.text(), ids.join(",")).as_bytes());
        let entries = [
            (TARGET, self.target.clone()),
            (BUCKET, self.bucket.to_string()),
            (AFTER, after.text()),
            (ID, format!("{id:016x}")),
            (CLAIMS, ids.join(",")),
            (UNTRACED, untraced.join(",")),
            (DATES, days.join(",")),
        ];
        for (key, value) in entries {
            self.writer.write_metadata(key, value);
        }
        self.writer.finish().map_err(|error| failed(&self.said, error))?;
        self.writer.get_mut().get_mut().get_mut().commit()
    }
}

/// The days since 1970 of when the values were seen, for each row.
pub(super) fn days(events: &RecordBatch) -> Vec<i64> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let seen_at = events.column_by_name(SEEN_AT).and_then(|column| column.as_primitive_opt());
    let Some(seen_at) = seen_at.map(|seen_at: &arrow::array::PrimitiveArray<TimestampMicrosecondType>| seen_at) else {
        return Vec::new();
    };
    seen_at.values().iter().map(|micros| micros.div_euclid(DAY_MICROS)).collect()
}

/// An intent, open for reading hour by hour.
#[derive(Debug)]
pub(super) struct Intent {
    path: String,
    stat: Stat,
    footer: ArrowFooter,
    /// The path of the partition's file.
    pub(super) target: String,
    pub(super) bucket: u16,
    pub(super) after: After,
    /// Its own name: that of what it holds.
    pub(super) id: String,
    /// The claims by their places in the events' column.
    pub(super) claims: Vec<String>,
    /// Those of them that would tell their events again.
    pub(super) untraced: Vec<String>,
    /// The dates on which its events' values were seen, each with its day since 1970.
    pub(super) dates: Vec<(NaiveDate, i64)>,
}

impl Intent {
    /// Opens the intent at `path`; `None` where there is none.
    pub(super) async fn open(store: &Store, path: &str) -> Result<Option<Intent>> {
        let Some(stat) = store.stat(path).await? else { return Ok(None) };
        let read = |bytes: u64| stat.size - bytes.min(stat.size)..stat.size;
        let mut tail = store.read_range(path, &stat, read(TAIL)).await?;
        let size = trailer(&tail).map_err(|error| broken(store, path, error))?;
        if size as u64 + 10 > tail.len() as u64 {
            tail = store.read_range(path, &stat, read(size as u64 + 10)).await?;
        }
        let footer = arrow_footer(&tail, size).map_err(|error| broken(store, path, error))?;
        let intent = Intent::of(path, stat, footer);
        let without = || ArrowError::ParseError("its footer does not say what it is about".to_owned());
        intent.ok_or_else(|| broken(store, path, without())).map(Some)
    }

    fn of(path: &str, stat: Stat, footer: ArrowFooter) -> Option<Intent> {
        let entry = |key: &str| footer.entries.get(key).map(String::as_str);
        let list = |key: &str| -> Option<Vec<String>> {
            Some(entry(key)?.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect())
        };
        let mut dates = Vec::new();
        for day in list(DATES)? {
            let day: i64 = day.parse().ok()?;
            dates.push((DateTime::from_timestamp(day.checked_mul(86_400)?, 0)?.date_naive(), day));
        }
        Some(Intent {
            path: path.to_owned(),
            stat,
            target: entry(TARGET)?.to_owned(),
            bucket: entry(BUCKET)?.parse().ok()?,
            after: After::parse(entry(AFTER)?)?,
            id: entry(ID)?.to_owned(),
            claims: list(CLAIMS)?,
            untraced: list(UNTRACED)?,
            dates,
            footer,
        })
    }

    /// How many batches of events it has.
    pub(super) fn batches(&self) -> usize {
        self.footer.blocks.len()
    }

    /// Reads one batch of events.
    pub(super) async fn read(&self, store: &Store, batch: usize) -> Result<RecordBatch> {
        let block = self.footer.blocks[batch];
        let begin = block.offset() as u64;
        let end = begin + block.metaDataLength() as u64 + block.bodyLength() as u64;
        let bytes = store.read_range(&self.path, &self.stat, begin..end).await?;
        let decoder = FileDecoder::new(self.footer.schema.clone(), self.footer.version);
        let decoded = blocking(move || Ok(decoder.read_record_batch(&block, &Buffer::from(bytes)))).await?;
        let nothing = || ArrowError::ParseError("it has an empty batch".to_owned());
        decoded.and_then(|rows| rows.ok_or_else(nothing)).map_err(|error| broken(store, &self.path, error))
    }

    /// Whether its publish replaced the partition's file, told by the file as it is now.
    pub(super) async fn happened(&self, store: &Store) -> Result<bool> {
        Ok(match self.after {
            After::Unchanged => true,
            After::Gone => store.stat(&self.target).await?.is_none(),
            After::File(digest) => store.digest(&self.target).await? == Some(digest),
        })
    }
}

fn broken(store: &Store, path: &str, error: ArrowError) -> Error {
    Error::storage(format!("cannot use `{}`", store.shown(path))).because(error).hint(
        "it tells what a run that was cut off changed: restore it, or remove it and do without these restatements",
    )
}
