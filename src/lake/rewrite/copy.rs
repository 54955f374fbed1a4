//! A dataset's rows, copied into another form: date by date, and within a date hour by hour.
//!
//! Of `B` buckets before and `C` after, an account's old bucket and its new one leave the same remainder by the
//! greatest common divisor of `B` and `C`. So each remainder is copied by itself: where the number of buckets stays,
//! one hour of one file is in memory at a time; from 1 to 8 or back, one hour of all accounts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use tokio_util::sync::CancellationToken;

use super::super::file::{Block, PartitionFile};
use super::super::layout::{Partition, bucket_of};
use super::super::log::IDS;
use super::super::record::DatasetRecord;
use super::super::store::{Listed, Store};
use super::super::stored::HourReader;
use super::super::writer::{OldPart, PartitionWriter, log_properties, properties};
use super::super::{Totals, blocking};
use super::changes::Plan;
use super::convert::{Piece, convert, convert_hour};
use super::survey::Survey;
use crate::error::{Error, Result};
use crate::pipeline::PartitionBy;
use crate::time::Instant;

/// A dataset that is being copied, or checked as if it were.
pub(super) struct Copy<'a> {
    pub(super) store: &'a Store,
    pub(super) old: &'a DatasetRecord,
    pub(super) survey: &'a Survey,
    pub(super) plan: Arc<Plan>,
    pub(super) partition_by: PartitionBy,
    /// The folder to come; without one, every value is checked and nothing is written.
    pub(super) target: Option<&'a str>,
    pub(super) stop: &'a CancellationToken,
}

/// What a copy came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    /// What was read.
    pub(super) before: Totals,
    /// What was written, or would be; bytes are known only of what was written.
    pub(super) after: Totals,
}

/// A file to come.
struct Output {
    rows: u64,
    /// `None` where nothing is written.
    writer: Option<PartitionWriter>,
}

impl Output {
    fn add_hour(&mut self, hour: Instant, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        self.writer.as_mut().map_or(Ok(()), |writer| writer.add(hour, rows))
    }

    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        self.writer.as_mut().map_or(Ok(()), |writer| writer.encode(rows))
    }
}

type Outputs = BTreeMap<Partition, Output>;

/// What there is of old files, by its first hour.
#[derive(Default)]
struct Sources {
    /// A block that is carried over as it is, and the bucket of its file. No other file has rows of its hours.
    carried: Option<(u16, Arc<PartitionFile>, Block)>,
    /// The files that have rows of the hour, by their places.
    files: Vec<usize>,
}

impl Copy<'_> {
    /// Copies everything. `None` where it was stopped.
    ///
    /// # Errors
    /// See [`convert_hour`]; and [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be
    /// read or written.
    pub(super) async fn run(&self) -> Result<Option<Copied>> {
        let mut copied = Copied { before: self.survey.totals(), after: Totals::default() };
        let remainders = common_divisor(self.old.buckets.max(1), self.plan.record.buckets.max(1));
        for folder in &self.survey.folders {
            let files = self.survey.files_of(self.store, self.old, folder).await?;
            for remainder in 0..remainders {
                let mut files = files.clone();
                files.retain(|(partition, _)| partition.bucket % remainders == remainder);
                let copying = match self.old.is_log() {
                    false => self.hours(files, &mut copied).await?,
                    true => self.groups(files, &mut copied).await?,
                };
                let Some(outputs) = copying else { return Ok(None) };
                self.end(outputs, None, &mut copied.after).await?;
            }
            tracing::debug!(dataset = self.old.pipeline, folder, rows = copied.after.rows, "copied");
        }
        let (read, written) = (copied.before.rows, copied.after.rows);
        if read != written {
            let name = &self.old.pipeline;
            return Err(Error::internal(format!("of {read} rows of `{name}` {written} would be left")));
        }
        Ok(Some(copied))
    }

    /// Copies a date's files hour by hour. `None` where it was stopped.
    async fn hours(&self, files: Vec<(Partition, Listed)>, copied: &mut Copied) -> Result<Option<Outputs>> {
        let mut hours: BTreeMap<Instant, Sources> = BTreeMap::new();
        let mut readers = Vec::new();
        for (partition, file) in files {
            let opened = PartitionFile::open(self.store, &file.path, &self.plan.old_schema).await?;
            let file = Arc::new(opened.ok_or_else(|| self.store.replaced(&file.path))?);
            copied.before.rows += file.rows();
            if self.carries_over(&file) {
                for block in &file.blocks {
                    let carried = Some((partition.bucket, file.clone(), block.clone()));
                    hours.entry(block.from).or_default().carried = carried;
                }
                continue;
            }
            for hour in file.hours(self.store).await? {
                hours.entry(hour).or_default().files.push(readers.len());
            }
            readers.push(HourReader::new(file));
        }
        let mut outputs = Outputs::new();
        for (hour, sources) in hours {
            if self.stop.is_cancelled() {
                return Ok(None);
            }
            outputs = self.end(outputs, Some(hour), &mut copied.after).await?;
            outputs = match sources.carried {
                Some((bucket, file, block)) => self.carry_over(bucket, file, block, outputs).await?,
                None => self.hour(hour, &sources.files, &mut readers, outputs).await?,
            };
        }
        Ok(Some(outputs))
    }

    /// Whether a file's rows stay as they are, each block in one file.
    fn carries_over(&self, file: &PartitionFile) -> bool {
        let goes_to = |hour: Instant| Partition::at(hour, self.partition_by, 0);
        self.plan.keeps_rows
            && self.plan.record.buckets == self.old.buckets
            && file.current
            && file.blocks.iter().all(|block| goes_to(block.from) == goes_to(block.to))
    }

    /// Copies files of restatements, which are in no order but that of their writing, row group by row group. They stay
    /// in their date, which is not that of their hours. `None` where it was stopped.
    async fn groups(&self, files: Vec<(Partition, Listed)>, copied: &mut Copied) -> Result<Option<Outputs>> {
        let (mut opened, mut ids) = (Vec::with_capacity(files.len()), BTreeSet::new());
        for (partition, listed) in files {
            let file = PartitionFile::open_any(self.store, &listed.path, &self.plan.old_schema).await?;
            let file = Arc::new(file.ok_or_else(|| self.store.replaced(&listed.path))?);
            copied.before.rows += file.rows();
            let named = file.entry(IDS).unwrap_or_default().split(',').filter(|id| !id.is_empty());
            ids.extend(named.map(str::to_owned));
            opened.push((partition, file));
        }
        let ids = ids.into_iter().collect::<Vec<String>>().join(",");
        let drafts = Arc::new(Drafts { ids, ..self.drafts() });
        let mut outputs = Outputs::new();
        for (partition, file) in opened {
            for group in 0..file.groups() {
                if self.stop.is_cancelled() {
                    return Ok(None);
                }
                let part = file.read(self.store, group..group + 1).await?;
                let (plan, drafts, file) = (self.plan.clone(), drafts.clone(), file.clone());
                let copying = blocking(move || {
                    let rows = file.decode(part, group..group + 1, &plan.old_schema)?;
                    let rows = convert(&plan, &Piece { file: file.shown().to_owned(), rows })?;
                    for (bucket, rows) in by_bucket(&plan, &rows)? {
                        drafts.output(&mut outputs, Partition { bucket, ..partition }, &plan)?.add(&rows)?;
                    }
                    Ok(outputs)
                });
                outputs = copying.await?;
            }
        }
        Ok(Some(outputs))
    }

    /// Copies one hour, which the readers at `places` have rows of.
    async fn hour(
        &self,
        hour: Instant,
        places: &[usize],
        readers: &mut [HourReader],
        mut outputs: Outputs,
    ) -> Result<Outputs> {
        let mut pieces = Vec::with_capacity(places.len());
        for place in places {
            let reader = &mut readers[*place];
            if let Some(rows) = reader.rows(self.store, &self.plan.old_schema, hour).await? {
                pieces.push(Piece { file: reader.file().shown().to_owned(), rows });
            }
        }
        let (plan, partition_by, drafts) = (self.plan.clone(), self.partition_by, self.drafts());
        blocking(move || {
            let rows = convert_hour(&plan, &pieces)?;
            for (bucket, rows) in by_bucket(&plan, &rows)? {
                let partition = Partition::at(hour, partition_by, bucket);
                drafts.output(&mut outputs, partition, &plan)?.add_hour(hour, rows)?;
            }
            Ok(outputs)
        })
        .await
    }

    /// Copies a block whose rows stay as they are: as bytes.
    async fn carry_over(
        &self,
        bucket: u16,
        file: Arc<PartitionFile>,
        block: Block,
        mut outputs: Outputs,
    ) -> Result<Outputs> {
        let partition = Partition::at(block.from, self.partition_by, bucket);
        let part = match self.target {
            Some(_) => Some(file.read(self.store, block.groups.clone()).await?),
            None => None,
        };
        let (plan, drafts) = (self.plan.clone(), self.drafts());
        blocking(move || {
            let output = drafts.output(&mut outputs, partition, &plan)?;
            output.rows += file.rows_of(block.groups.clone());
            if let (Some(writer), Some(part)) = (&mut output.writer, part) {
                writer.keep(OldPart { file, block, part })?;
            }
            Ok(outputs)
        })
        .await
    }

    /// Ends the files that no hour from `next` on belongs to; all of them where there is none.
    async fn end(&self, outputs: Outputs, next: Option<Instant>, after: &mut Totals) -> Result<Outputs> {
        let is_over = |partition: &Partition| next.is_none_or(|next| partition.window().to() <= next);
        let (over, open): (Outputs, Outputs) = outputs.into_iter().partition(|(partition, _)| is_over(partition));
        if over.is_empty() {
            return Ok(open);
        }
        let mut ended = *after;
        *after = blocking(move || {
            for output in over.into_values() {
                ended.partitions += 1;
                ended.rows += output.rows;
                if let Some(writer) = output.writer {
                    let mut file = writer.finish()?;
                    file.commit()?;
                    ended.bytes += file.written.bytes;
                }
            }
            Ok(ended)
        })
        .await?;
        Ok(open)
    }

    fn drafts(&self) -> Drafts {
        Drafts { store: self.store.clone(), target: self.target.map(str::to_owned), ids: String::new() }
    }
}

/// Where files are begun.
struct Drafts {
    store: Store,
    target: Option<String>,
    /// The names that files of restatements list.
    ids: String,
}

impl Drafts {
    fn output<'a>(&self, outputs: &'a mut Outputs, partition: Partition, plan: &Plan) -> Result<&'a mut Output> {
        match outputs.entry(partition) {
            Entry::Occupied(output) => Ok(output.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Output { rows: 0, writer: self.begin(partition, plan)? })),
        }
    }

    fn begin(&self, partition: Partition, plan: &Plan) -> Result<Option<PartitionWriter>> {
        let Some(target) = &self.target else { return Ok(None) };
        // Temporaries are kept where the pipeline's next run sweeps.
        let draft = self.store.draft(plan.record.owner(), "rewrite", &format!("{target}/{partition}"))?;
        let properties = match plan.record.is_log() {
            false => properties(&plan.shape, &plan.record)?,
            true => log_properties(&plan.record, (IDS, self.ids.clone()))?,
        };
        PartitionWriter::new(draft, plan.shape.schema(), properties).map(Some)
    }
}

/// Rows by bucket; each bucket's rows stay in their order.
fn by_bucket(plan: &Plan, rows: &RecordBatch) -> Result<Vec<(u16, RecordBatch)>> {
    let buckets = plan.record.buckets.max(1);
    if buckets == 1 {
        return Ok(vec![(0, rows.clone())]);
    }
    let accounts = plan.shape.accounts(rows)?;
    let mut places: Vec<u16> = Vec::with_capacity(rows.num_rows());
    let mut last: Option<(&str, u16)> = None;
    for account in accounts.iter() {
        let account = account.unwrap_or_default();
        let bucket = match last {
            Some((same, bucket)) if same == account => bucket,
            _ => bucket_of(account, buckets),
        };
        last = Some((account, bucket));
        places.push(bucket);
    }
    let mut used = places.clone();
    used.sort_unstable();
    used.dedup();
    let mut split = Vec::with_capacity(used.len());
    for bucket in used {
        let mask: BooleanArray = places.iter().map(|place| Some(*place == bucket)).collect();
        let rows = filter_record_batch(rows, &mask)
            .map_err(|error| Error::internal("cannot take a bucket's rows").because(error))?;
        split.push((bucket, rows));
    }
    Ok(split)
}

fn common_divisor(one: u16, other: u16) -> u16 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}
