//! Publishing: staged slices are merged into one partition, hour by hour, and its file is replaced if anything changed;
//! what changed goes into the restatement log.
//!
//! Bytes are read by the async side, decoded, merged and written by blocking tasks; one hour is in memory at a time, or
//! the few rows of hours that share a row group. An attempt writes optimistically. If a slice is refused (by the guard, or
//! because values fell that may not), the attempt's temporary is thrown away and the partition is merged once more without
//! that slice; what a slice would erase, or let fall, does not depend on the other slices, so two attempts are enough.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};

use super::commit::Prepared;
use super::file::{Block, PartitionFile};
use super::intent::{self, IntentDraft};
use super::layout::Partition;
use super::staged::{self, StagedHour, StagedReader};
use super::writer::{OldPart, PartitionWriter};
use super::{Dataset, Published, Refusal, Refused, StagedSlice, blocking, log};
use crate::error::{Error, Result};
use crate::merge::{
    Arrival, Claim, Claims, Fallen, Guard, HourMerge, ReadBefore, Tally, find_fallen, guard, merge_hour,
};
use crate::pipeline::schema::KEY;
use crate::time::Instant;

/// Bytes of staged files that are kept in memory while their partition is published, of all of them.
const KEEP_ALL: u64 = 8 * 1024 * 1024;
/// The same, of one of them.
const KEEP_ONE: u64 = 1024 * 1024;
/// Rows of small hours that are merged in one go. Handing each over to another thread made three years of one account a third
/// dearer. A quarter of it, with staged batches of half as many rows, took 4 MB less and 2 to 16 % more processor time.
const TOGETHER: usize = 16 * 1024;

/// Merges `slices` into `partition`; see [`Dataset::publish`].
pub(super) async fn publish(
    dataset: &Dataset,
    partition: Partition,
    slices: &[StagedSlice],
    read_before: Option<&ReadBefore>,
) -> Result<Published> {
    // What an earlier publish left halfway must not be mixed with what this one changes.
    log::settle(dataset, &intent::path(dataset, partition)).await?;
    prepare(dataset, partition, slices, read_before).await?.commit().await
}

/// Everything but the steps that others can see. Nothing is told to the log without `read_before`.
pub(super) async fn prepare(
    dataset: &Dataset,
    partition: Partition,
    slices: &[StagedSlice],
    read_before: Option<&ReadBefore>,
) -> Result<Prepared> {
    let file = PartitionFile::open(dataset.store(), &dataset.path(partition), dataset.schema()).await?.map(Arc::new);
    let (readers, is_told) = (open(dataset, slices).await?, read_before.is_some());
    let read_before = Arc::new(read_before.cloned().unwrap_or_default());
    let not_falling = not_falling(slices);
    let mut job = Job { dataset, partition, file, readers, read_before, is_told, not_falling };
    let claims = Claims::new(slices.iter().map(claim).collect());
    let mut attempt = job.attempt(&claims).await?;
    let mut refused = job.refused(&claims, &attempt.tallies).await?;
    job.add_fallen(&claims, &attempt.fallen, &mut refused);
    if !refused.is_empty() {
        let is_refused = |claim: &Claim| refused.iter().any(|refusal| refusal.key == claim.key);
        let left: Vec<Claim> = claims.list().iter().filter(|claim| !is_refused(claim)).cloned().collect();
        job.readers.retain(|key, _| left.iter().any(|claim| claim.key.as_str() == key));
        drop(attempt);
        attempt = job.attempt(&Claims::new(left)).await?;
    }
    job.finish(attempt, refused).await
}

/// The columns of each slice that must not fall, by unit key, where it has any.
fn not_falling(slices: &[StagedSlice]) -> HashMap<String, Arc<[String]>> {
    let strict = slices.iter().filter(|slice| !slice.not_falling.is_empty());
    strict.map(|slice| (slice.key.as_str().to_owned(), slice.not_falling.clone())).collect()
}

fn claim(slice: &StagedSlice) -> Claim {
    Claim {
        key: slice.key.clone(),
        fetched_at: slice.fetched_at,
        accounts: slice.accounts.clone(),
        window: slice.window,
        missing: slice.missing,
    }
}

async fn open(dataset: &Dataset, slices: &[StagedSlice]) -> Result<HashMap<String, Arc<StagedReader>>> {
    let mut readers = HashMap::with_capacity(slices.len());
    let mut rows = 0;
    let keep = KEEP_ONE.min(KEEP_ALL / slices.len().max(1) as u64);
    for slice in slices.iter().filter(|slice| slice.rows > 0) {
        let path = staged::path(dataset.name(), &slice.key);
        let mut reader = StagedReader::open(dataset.store(), path, &slice.key, keep).await?;
        if rows + reader.shared_rows() <= staged::KEPT_ROWS {
            rows += reader.shared_rows();
            reader.keep_last();
        }
        readers.insert(slice.key.as_str().to_owned(), Arc::new(reader));
    }
    Ok(readers)
}

struct Job<'a> {
    dataset: &'a Dataset,
    partition: Partition,
    file: Option<Arc<PartitionFile>>,
    readers: HashMap<String, Arc<StagedReader>>,
    read_before: Arc<ReadBefore>,
    /// Whether what changes is a restatement.
    is_told: bool,
    not_falling: HashMap<String, Arc<[String]>>,
}

/// What one pass over the partition's hours came to. Dropping it throws the temporaries away.
struct Attempt {
    claims: Arc<Claims>,
    output: Output,
    /// Not begun before the first event.
    events: Option<IntentDraft>,
    published: Published,
    tallies: Vec<Tally>,
    /// One per claim.
    fallen: Vec<Fallen>,
}

/// The file to come. It is not begun before the first change, so that nothing is written where nothing changed.
#[derive(Default)]
struct Output {
    writer: Option<PartitionWriter>,
    /// Blocks of the file before that come first.
    waiting: Vec<Block>,
}

/// What is merged before anything after it: a block of the file before with what is staged for hours within it, or staged
/// hours between two blocks.
#[derive(Default)]
struct Stretch {
    old: Option<Block>,
    staged: BTreeSet<Instant>,
}

/// An hour with its rows in the file before.
type HourBefore = (Instant, Option<RecordBatch>);

/// An hour on its way: before, with what is staged for it, and what became of it.
struct HourWork {
    hour: Instant,
    old: Option<RecordBatch>,
    staged: Vec<(usize, StagedHour)>,
    merged: HourMerge,
}

impl Job<'_> {
    async fn attempt(&self, claims: &Claims) -> Result<Attempt> {
        let claims = Arc::new(claims.clone());
        let mut attempt = Attempt {
            claims: claims.clone(),
            events: None,
            output: Output::default(),
            published: Published::unchanged(self.partition, self.file.as_deref()),
            tallies: vec![Tally::default(); claims.list().len()],
            fallen: vec![Fallen::default(); claims.list().len()],
        };
        for stretch in self.stretches() {
            self.stretch(stretch, &claims, &mut attempt).await?;
        }
        Ok(attempt)
    }

    /// All hours that the partition has rows of now or that a slice brings, in order.
    fn stretches(&self) -> Vec<Stretch> {
        let window = self.partition.window();
        let blocks = self.file.as_ref().map_or(&[][..], |file| &file.blocks);
        let mut stretches: BTreeMap<Instant, Stretch> = BTreeMap::new();
        for block in blocks {
            stretches.insert(block.from, Stretch { old: Some(block.clone()), staged: BTreeSet::new() });
        }
        for hour in self.readers.values().flat_map(|reader| reader.hours()).filter(|hour| window.contains(*hour)) {
            let block = self.file.as_ref().and_then(|file| file.block_of(hour));
            let from = block.map_or(hour, |place| blocks[place].from);
            stretches.entry(from).or_default().staged.insert(hour);
        }
        let mut joined: Vec<Stretch> = Vec::new();
        for mut stretch in stretches.into_values() {
            match joined.last_mut() {
                Some(last) if last.old.is_none() && stretch.old.is_none() => last.staged.append(&mut stretch.staged),
                _ => joined.push(stretch),
            }
        }
        joined
    }

    async fn stretch(&self, stretch: Stretch, claims: &Arc<Claims>, attempt: &mut Attempt) -> Result<()> {
        let Stretch { old, staged } = stretch;
        let mut hours: BTreeMap<Instant, Option<RecordBatch>> = staged.iter().map(|hour| (*hour, None)).collect();
        if let Some(block) = &old {
            if staged.is_empty() && !claims.asked_within(block.from, block.to) {
                return self.keep(&mut attempt.output, block.clone()).await;
            }
            hours.extend(self.old_hours(block).await?.into_iter().map(|(hour, rows)| (hour, Some(rows))));
        }
        // Until an hour has other rows than before, it is not known whether its block can stay.
        let (mut same, mut is_changed) = (Vec::new(), false);
        for hours in self.together(hours) {
            for HourWork { hour, old, mut merged, .. } in self.merge(hours, claims, attempt).await? {
                if let Some(events) = merged.events.take().filter(|_| self.is_told) {
                    let untraced = std::mem::take(&mut merged.untraced);
                    attempt.events = Some(self.tell(attempt.events.take(), events, untraced).await?);
                }
                let new = merged.rows.take();
                if new.is_some() {
                    is_changed = true;
                    attempt.published.count(hour, merged);
                }
                same.extend(new.or(old).map(|rows| (hour, rows)));
            }
            if is_changed {
                self.replace(&mut attempt.output, std::mem::take(&mut same)).await?;
            }
        }
        match old {
            Some(block) if !is_changed => self.keep(&mut attempt.output, block).await,
            _ => Ok(()),
        }
    }

    /// The hours in runs of few rows, each of which is merged in one go.
    fn together(&self, hours: BTreeMap<Instant, Option<RecordBatch>>) -> Vec<Vec<HourBefore>> {
        let (mut runs, mut rows): (Vec<Vec<HourBefore>>, usize) = (Vec::new(), 0);
        for (hour, old) in hours {
            let staged = self.readers.values().map(|reader| reader.rows_of(hour));
            let own = staged.fold(old.as_ref().map_or(0, RecordBatch::num_rows), usize::saturating_add);
            rows = rows.saturating_add(own);
            match runs.last_mut().filter(|_| rows <= TOGETHER) {
                Some(last) => last.push((hour, old)),
                None => {
                    runs.push(vec![(hour, old)]);
                    rows = own;
                }
            }
        }
        runs
    }

    /// The hours of a block of the file before, with their rows.
    async fn old_hours(&self, block: &Block) -> Result<Vec<(Instant, RecordBatch)>> {
        let Some(file) = self.file.clone() else { return Ok(Vec::new()) };
        let part = file.read(self.dataset.store(), block.groups.clone()).await?;
        let (groups, schema) = (block.groups.clone(), self.dataset.schema().clone());
        blocking(move || file.decode_hours(part, groups, &schema)).await
    }

    /// Merges what is staged into some hours.
    async fn merge(
        &self,
        hours: Vec<HourBefore>,
        claims: &Arc<Claims>,
        attempt: &mut Attempt,
    ) -> Result<Vec<HourWork>> {
        let mut all = Vec::with_capacity(hours.len());
        for (hour, old) in hours {
            let mut staged: Vec<(usize, StagedHour)> = Vec::new();
            for (index, claim) in claims.list().iter().enumerate() {
                let Some(reader) = self.readers.get(claim.key.as_str()) else { continue };
                staged.extend(reader.read(self.dataset.store(), hour).await?.map(|found| (index, found)));
            }
            all.push(HourWork { hour, old, staged, merged: HourMerge::default() });
        }
        let (dataset, claims, bucket) = (self.dataset.clone(), claims.clone(), self.partition.bucket);
        let (strict, read_before) = (self.strict(&claims), self.read_before.clone());
        let (mut tallies, mut fallen) = (std::mem::take(&mut attempt.tallies), std::mem::take(&mut attempt.fallen));
        let (all, tallies, fallen) = blocking(move || {
            let shape = dataset.shape();
            for work in &mut all {
                let mut arrivals = Vec::with_capacity(work.staged.len());
                for (claim, hour) in std::mem::take(&mut work.staged) {
                    let rows = hour.decode(shape, bucket, dataset.buckets())?;
                    if rows.num_rows() > 0 {
                        arrivals.push(Arrival { claim, rows });
                    }
                }
                let old = work.old.as_ref();
                if arrivals.is_empty() && (old.is_none() || !claims.asked(work.hour)) {
                    continue;
                }
                for arrival in &arrivals {
                    if let (Some(old), Some(columns)) = (old, &strict[arrival.claim]) {
                        let claim = &claims.list()[arrival.claim];
                        find_fallen(shape, old, arrival, claim, columns, &mut fallen[arrival.claim])?;
                    }
                }
                work.merged = merge_hour(shape, work.hour, old, &arrivals, &claims, &read_before, &mut tallies)?;
            }
            Ok((all, tallies, fallen))
        })
        .await?;
        (attempt.tallies, attempt.fallen) = (tallies, fallen);
        Ok(all)
    }

    /// The columns that must not fall, one entry per claim.
    fn strict(&self, claims: &Claims) -> Vec<Option<Arc<[String]>>> {
        claims.list().iter().map(|claim| self.not_falling.get(claim.key.as_str()).cloned()).collect()
    }

    /// An hour's events, added to those of the hours before.
    async fn tell(
        &self,
        told: Option<IntentDraft>,
        events: RecordBatch,
        untraced: BTreeSet<usize>,
    ) -> Result<IntentDraft> {
        let (dataset, partition) = (self.dataset.clone(), self.partition);
        blocking(move || {
            let mut told = match told {
                Some(told) => told,
                None => IntentDraft::begin(&dataset, partition)?,
            };
            told.add(&events, untraced)?;
            Ok(told)
        })
        .await
    }

    /// A block of the file before that stays as it is.
    async fn keep(&self, output: &mut Output, block: Block) -> Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let Some(mut writer) = output.writer.take() else {
            output.waiting.push(block);
            return Ok(());
        };
        let part = file.read(self.dataset.store(), block.groups.clone()).await?;
        let kept = blocking(move || {
            writer.keep(OldPart { file, block, part })?;
            Ok(writer)
        });
        output.writer = Some(kept.await?);
        Ok(())
    }

    /// Hours of which one has other rows than before.
    async fn replace(&self, output: &mut Output, hours: Vec<(Instant, RecordBatch)>) -> Result<()> {
        if output.writer.is_none() {
            let (dataset, partition) = (self.dataset.clone(), self.partition);
            output.writer = Some(blocking(move || dataset.begin(partition)).await?);
            for old in std::mem::take(&mut output.waiting) {
                self.keep(output, old).await?;
            }
        }
        let Some(mut writer) = output.writer.take() else { return Ok(()) };
        let added = blocking(move || {
            for (hour, rows) in hours {
                writer.add(hour, rows)?;
            }
            Ok(writer)
        });
        output.writer = Some(added.await?);
        Ok(())
    }

    /// The slices that would erase more than they may.
    async fn refused(&self, claims: &Claims, tallies: &[Tally]) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        for (claim, tally) in claims.list().iter().zip(tallies) {
            let mut verdict = guard(claim, tally, None);
            if verdict == Guard::NeedsTotal {
                verdict = guard(claim, tally, Some(self.total(claim).await?));
            }
            if let Guard::Refuse(reason) = verdict {
                let file = self.dataset.store().shown(&self.dataset.path(self.partition));
                let message = format!("`{file}`: {reason}");
                refused.push(Refused { key: claim.key.clone(), message, why: Refusal::ErasesTooMuch });
            }
        }
        Ok(refused)
    }

    /// Adds the slices in which values fell that may not.
    fn add_fallen(&self, claims: &Claims, fallen: &[Fallen], refused: &mut Vec<Refused>) {
        for (claim, fallen) in claims.list().iter().zip(fallen) {
            if fallen.rows > 0 && refused.iter().all(|refusal| refusal.key != claim.key) {
                let date = self.partition.date;
                let message = format!("{} rows of {date} have values below the lake's that may not fall", fallen.rows);
                refused.push(Refused { key: claim.key.clone(), message, why: Refusal::Falls(fallen.told.clone()) });
            }
        }
    }

    /// Rows in the whole file of the accounts of a claim.
    async fn total(&self, claim: &Claim) -> Result<u64> {
        let Some(file) = &self.file else { return Ok(0) };
        let Some(column) = file.column(KEY[1]) else { return Ok(0) };
        let accounts: Arc<BTreeSet<String>> = Arc::new(claim.accounts.iter().cloned().collect());
        let mut total = 0;
        for group in 0..file.groups() {
            let part = file.read_column(self.dataset.store(), group, column).await?;
            let (file, accounts) = (file.clone(), accounts.clone());
            total += blocking(move || {
                let rows = file.decode_column(part, group, column)?;
                let ids = rows.column(0).as_string::<i32>();
                Ok(ids.iter().flatten().filter(|id| accounts.contains(*id)).count() as u64)
            })
            .await?;
        }
        Ok(total)
    }

    /// Completes the temporaries.
    async fn finish(&self, attempt: Attempt, refused: Vec<Refused>) -> Result<Prepared> {
        let published = Published { refused, ..attempt.published };
        let expected = published.rows + published.added - published.removed;
        let file = match attempt.output.writer {
            None => None,
            Some(writer) => Some(blocking(move || writer.finish()).await?),
        };
        if let Some(found) = file.as_ref().map(|file| file.written.rows).filter(|found| *found != expected) {
            let path = self.dataset.store().shown(&self.dataset.path(self.partition));
            return Err(Error::internal(format!("cannot write `{path}`: {found} rows instead of {expected}")));
        }
        Ok(Prepared {
            dataset: self.dataset.clone(),
            partition: self.partition,
            claims: attempt.claims,
            stat: self.file.as_ref().map(|file| file.stat.clone()),
            file,
            events: attempt.events,
            published,
        })
    }
}
