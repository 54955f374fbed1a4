//! Rewriting: a dataset's files, brought into another layout, key or schema, beside it; then both change places.
//!
//! | file | what |
//! |---|---|
//! | [`changes`] | what becomes of record and columns (pure) |
//! | [`convert`] | rows as they are, made into rows as they are wanted (pure) |
//! | [`survey`] | what is there |
//! | [`copy`] | date by date, hour by hour |
//! | [`work`] | the folder beside it, and the swap that survives being cut off |

mod changes;
mod convert;
mod copy;
mod survey;
mod work;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::layout::STAGED;
use super::record::DatasetRecord;
use super::staged::is_staged;
use super::store::Swap;
use super::{DatasetSpec, Lake, blocking};
use crate::error::{Error, Result};
use crate::pipeline::PartitionBy;
use crate::pipeline::schema::RESTATEMENTS;
use changes::{Plan, check_order};
use copy::{Copied, Copy};
use survey::Survey;
pub(super) use work::Work;

/// What is asked of a rewrite besides the pipeline's present form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewriteOrder {
    /// Columns, and the value of each for rows that have none, as text.
    pub fill: Vec<(String, String)>,
    /// Columns that are taken out, with what they hold.
    pub drop: Vec<String>,
    /// How far it goes.
    pub extent: Extent,
}

/// How far a rewrite goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// Everything is checked, nothing is written.
    Check,
    /// To the end.
    #[default]
    Swap,
}

/// Files, rows and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub partitions: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes; 0 of what was not written.
    pub bytes: u64,
}

/// What a rewrite does to one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// Its name.
    pub dataset: String,
    /// What changes, a line each.
    pub changes: Vec<String>,
    /// What was there.
    pub before: Totals,
    /// What takes its place.
    pub after: Totals,
}

/// How a rewrite ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteEnd {
    /// The files have the pipeline's form already.
    NothingToDo,
    /// Everything would fit.
    Checked(Vec<Rewritten>),
    /// The new files are in their place.
    Swapped(Vec<Rewritten>),
    /// It was stopped before anything was swapped; everything is as it was.
    Stopped,
}

/// What was found of an earlier rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing.
    Nothing,
    /// Files that were to take others' place; they were removed.
    Undone,
    /// A swap that had been begun; it was brought to its end.
    Finished,
}

/// A dataset that has to be rewritten.
pub(super) struct Job {
    old: DatasetRecord,
    survey: Survey,
    plan: Arc<Plan>,
    partition_by: PartitionBy,
}

impl Lake {
    /// Finishes or undoes what a rewrite of the pipeline's datasets left behind when it was killed.
    ///
    /// To be called under the pipeline's lease, before its datasets are opened.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names what cannot be moved or removed.
    pub async fn recover(&self, pipeline: &str) -> Result<Recovered> {
        let work = self.work(pipeline);
        match work.decided().await? {
            Some(datasets) => blocking(move || work.carry_out(&datasets)).await.map(|()| Recovered::Finished),
            None => {
                let undone = blocking(move || work.undo()).await?;
                Ok(if undone { Recovered::Undone } else { Recovered::Nothing })
            }
        }
    }

    /// Rewrites a pipeline's dataset into the form of `spec`, and its restatements so that they follow.
    ///
    /// Readers see each of the two as it was or as it will be. To be called under the pipeline's lease, after
    /// [`Lake::recover`].
    ///
    /// # Errors
    /// [`ErrorKind::BadInput`](crate::error::ErrorKind::BadInput) where the order does not fit the dataset;
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the value that does not fit, or what cannot be
    /// read or written. Everything is as it was then, unless the message says that the swap was begun.
    pub async fn rewrite(
        &self,
        spec: &DatasetSpec,
        order: &RewriteOrder,
        stop: &CancellationToken,
    ) -> Result<RewriteEnd> {
        let jobs = self.jobs(spec, order).await?;
        if jobs.is_empty() {
            return Ok(RewriteEnd::NothingToDo);
        }
        if order.extent == Extent::Check {
            let checked = self.copy_all(&jobs, None, stop).await?;
            return Ok(checked.map_or(RewriteEnd::Stopped, RewriteEnd::Checked));
        }
        let work = self.work(&spec.name);
        let Some(rewritten) = self.copy_beside(&jobs, &work, stop).await? else { return Ok(RewriteEnd::Stopped) };
        let datasets: Vec<String> = jobs.iter().map(|job| job.old.pipeline.clone()).collect();
        blocking(move || swap_all(&work, &datasets)).await?;
        Ok(RewriteEnd::Swapped(rewritten))
    }

    fn work(&self, pipeline: &str) -> Work {
        Work::new(&self.store, pipeline, Swap::Exchange)
    }

    /// Makes the new folders; none is left where that fails or is stopped.
    pub(super) async fn copy_beside(
        &self,
        jobs: &[Job],
        work: &Work,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Rewritten>>> {
        self.check_space(jobs)?;
        let copied = self.copy_all(jobs, Some(work), stop).await;
        if matches!(copied, Ok(Some(_))) {
            return copied;
        }
        let work = work.clone();
        let removed = blocking(move || work.undo()).await;
        // What went wrong at first says more than that its leftovers could not be removed.
        copied.and(removed).map(|_| None)
    }

    /// The datasets that are not in the form that is wanted.
    pub(super) async fn jobs(&self, spec: &DatasetSpec, order: &RewriteOrder) -> Result<Vec<Job>> {
        let Some(old) = self.recorded(&spec.name).await? else {
            return Err(Error::bad_input(format!("the lake has no dataset `{}`", spec.name))
                .hint("nothing was published yet: `hourmark run` begins it in the pipeline's present form"));
        };
        check_order(&old, spec, order)?;
        let main = self.job(old.clone(), spec, order).await?;
        let mut jobs = Vec::new();
        let new = main.plan.record.clone();
        jobs.extend(self.needed(main).await?);
        if let Some(log) = self.recorded(&format!("{}{RESTATEMENTS}", spec.name)).await? {
            self.check_told(&log).await?;
            let follows = log.following(&old, &new)?;
            let log = self.job(log, &follows, order).await?;
            jobs.extend(self.needed(log).await?);
        }
        Ok(jobs)
    }

    async fn job(&self, old: DatasetRecord, spec: &DatasetSpec, order: &RewriteOrder) -> Result<Job> {
        let plan = Arc::new(Plan::new(&old, spec, order)?);
        let survey = Survey::of(&self.store, &old).await?;
        Ok(Job { old, survey, plan, partition_by: spec.partition_by })
    }

    /// The job, unless everything is in its form already.
    async fn needed(&self, mut job: Job) -> Result<Option<Job>> {
        let needed = !job.plan.changes.is_empty() || self.add_older_files(&mut job).await?;
        Ok(needed.then_some(job))
    }

    /// Refuses to go on while something waits to be told to the restatements: it speaks of files as they are now.
    async fn check_told(&self, log: &DatasetRecord) -> Result<()> {
        let waiting = self.store.files(&format!("{STAGED}/{}", log.pipeline)).await?;
        if !waiting.iter().any(|name| is_staged(name)) {
            return Ok(());
        }
        let (name, owner) = (&log.pipeline, log.owner());
        Err(Error::storage(format!("a publish that was cut off has not told `{name}` all that it changed"))
            .hint(format!("`hourmark run {owner}` brings it to its end, with the pipeline's file in its old form")))
    }

    /// Where nothing is recorded otherwise, files may still be from before a column was added or became wider.
    async fn add_older_files(&self, job: &mut Job) -> Result<bool> {
        let older = job.survey.count_older(&self.store, &job.old, &job.plan.old_schema).await?;
        if older > 0
            && let Some(plan) = Arc::get_mut(&mut job.plan)
        {
            let all = job.survey.totals().partitions;
            plan.changes.push(format!("columns: {older} of {all} files are from before their last change"));
        }
        Ok(older > 0)
    }

    async fn copy_all(
        &self,
        jobs: &[Job],
        work: Option<&Work>,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Rewritten>>> {
        let mut rewritten = Vec::with_capacity(jobs.len());
        for job in jobs {
            let target = work.map(|work| work.target(&job.old.pipeline));
            let copy = Copy {
                store: &self.store,
                old: &job.old,
                survey: &job.survey,
                plan: job.plan.clone(),
                partition_by: job.partition_by,
                target: target.as_deref(),
                stop,
            };
            let Some(Copied { before, after }) = copy.run().await? else { return Ok(None) };
            if let Some(work) = work.cloned() {
                let plan = job.plan.clone();
                blocking(move || work.complete(&plan.record)).await?;
            }
            let (dataset, changes) = (job.old.pipeline.clone(), job.plan.changes.clone());
            rewritten.push(Rewritten { dataset, changes, before, after });
        }
        Ok(Some(rewritten))
    }

    /// Refuses what the disk has no room for, where it is known how much there is.
    fn check_space(&self, jobs: &[Job]) -> Result<()> {
        let needed: u64 = jobs.iter().map(|job| job.survey.totals().bytes).sum();
        match self.store.free_space() {
            Some(free) if free < needed => Err(Error::storage(format!(
                "a rewrite needs about {needed} bytes beside the lake `{}`, {free} are free",
                self.root().display()
            ))
            .hint("free some space: old and new files are both there until they change places")),
            _ => Ok(()),
        }
    }
}

/// Decides and swaps. Where the very first folder cannot be moved, nothing was, and the decision is taken back.
fn swap_all(work: &Work, datasets: &[String]) -> Result<()> {
    work.decide(datasets)?;
    let swapped = work.carry_out(datasets);
    if swapped.is_err() && datasets.iter().all(|dataset| work.is_untouched(dataset).unwrap_or(false)) {
        return swapped.and(work.tidy(&[]));
    }
    swapped.map_err(|error| {
        let hint = error.hint_text().map_or_else(String::new, |hint| format!("; {hint}"));
        error.hint(format!("the swap was begun: the next `hourmark rewrite` or `run` brings it to its end{hint}"))
    })
}
