//! The workers of a run and the one place that publishes.
//!
//! Workers take units from the plan in its order, fetch them and stage them; what they did comes through a bounded
//! channel to this task, which records it, publishes partitions whose units have all ended, and records units that are
//! through. Publishing slower than fetching makes the workers wait, never the memory grow.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cassette::Recording;
use crate::decode::UnknownFields;
use crate::error::{Error, Result};
use crate::fetch::{Fetch, Gone, UnitFailure};
use crate::lake::{Dataset, Partition, StagedSlice};
use crate::merge::ReadBefore;
use crate::pipeline::Pipeline;
use crate::state::{FailedUnit, Lease, Quarantined, StagedUnit, State};
use crate::time::{Clock, Instant, slot};
use crate::unit::{Lane, Unit};

use super::dispatch::{Dispatch, Turn};
use super::publish::{Publisher, Through};
use super::{Run, RunReport, tapes};

/// After a stop, nothing new is published later than this: what is staged waits for the next run.
const PUBLISH_AFTER_STOP: Duration = Duration::from_secs(4);

/// What a worker did with a unit.
#[derive(Debug)]
pub(super) enum Ended {
    Staged {
        /// As it was planned: with the accounts that turned out to be gone.
        planned: Unit,
        staged: StagedUnit,
        gone: Vec<Gone>,
        outside: u64,
        unknown_fields: UnknownFields,
        /// Rows that broke a quality rule and were few enough.
        rejected: u64,
    },
    /// Its rows broke a quality rule and are kept apart.
    Quarantined {
        planned: Unit,
        entry: Box<Quarantined>,
        gone: Vec<Gone>,
        outside: u64,
        unknown_fields: UnknownFields,
    },
    Failed {
        unit: Unit,
        reason: String,
        attempts: u32,
        fatal: bool,
    },
    ComeBack {
        unit: Unit,
        until: Instant,
        reason: String,
    },
    Gone {
        unit: Unit,
        gone: Vec<Gone>,
    },
    Stopped {
        unit: Unit,
    },
    /// The lake or the state cannot be written: no unit after this one can be either.
    Broken(Error),
}

/// How working on units ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worked {
    /// Every unit was taken.
    All,
    /// Some were left when their time was up.
    TimeIsUp,
}

impl Run<'_> {
    /// Fetches, stages and publishes `units`; takes none any more after `until`.
    pub(super) async fn work(
        &self,
        units: Vec<Unit>,
        until: Option<Instant>,
        report: &mut RunReport,
    ) -> Result<Worked> {
        let mut publisher = Publisher::default();
        for unit in &units {
            publisher.expect(&self.dataset.partitions(&unit.accounts, unit.window));
        }
        // Workers stop taking units when the run is stopped from outside and when one unit's end concerns them all.
        let halt = self.stop.child_token();
        let (sender, mut receiver) = mpsc::channel(self.environment.workers.max(1));
        let dispatch = Arc::new(Dispatch::new(&self.pipeline, self.fetch.quotas(), units, until));
        let mut workers = self.spawn_workers(&dispatch, &halt, &sender, publisher.most_together());
        drop(sender);
        let mut broken = None;
        while let Some(ended) = receiver.recv().await {
            if let Err(error) = self.take(ended, &mut publisher, &halt, report).await {
                halt.cancel();
                broken.get_or_insert(error);
            }
        }
        while let Some(joined) = workers.join_next().await {
            // A unit that ended without a word must not pass for done.
            if let Err(error) = joined {
                broken.get_or_insert(Error::internal("a worker of the run broke down").because(error));
            }
        }
        report.stopped |= self.stop.is_cancelled();
        if let Some(error) = broken {
            return Err(error);
        }
        self.publish_rest(&mut publisher, report).await?;
        let left = dispatch.len() > 0 && !report.ends_early();
        if !report.stopped {
            report.postponed += dispatch.refreshes_left();
        }
        Ok(if left { Worked::TimeIsUp } else { Worked::All })
    }

    fn spawn_workers(
        &self,
        dispatch: &Arc<Dispatch>,
        halt: &CancellationToken,
        sender: &mpsc::Sender<Ended>,
        beside: usize,
    ) -> JoinSet<()> {
        let mut workers = JoinSet::new();
        for _ in 0..self.environment.workers.clamp(1, dispatch.len().max(1)) {
            let worker = Worker {
                dispatch: dispatch.clone(),
                pipeline: self.pipeline.clone(),
                clock: self.environment.clock,
                fetch: self.fetch.clone(),
                dataset: self.dataset.clone(),
                state: self.environment.state.clone(),
                lease: self.lease.clone(),
                recording: self.recording.clone(),
                halt: halt.clone(),
                sender: sender.clone(),
                beside,
            };
            workers.spawn(worker.run());
        }
        workers
    }

    async fn take(
        &self,
        ended: Ended,
        publisher: &mut Publisher,
        halt: &CancellationToken,
        report: &mut RunReport,
    ) -> Result<()> {
        self.progress.ended.fetch_add(1, Ordering::Relaxed);
        match ended {
            Ended::Staged { planned, staged, gone, outside, unknown_fields, rejected } => {
                self.leave_out(gone, report).await?;
                report.outside += outside;
                report.rejected += rejected;
                report.unknown_fields.add(&unknown_fields);
                let expected = self.dataset.partitions(&planned.accounts, planned.window);
                let touched = self.dataset.partitions(&staged.unit.accounts, staged.window);
                publisher.staged(staged, &expected, &touched, &self.terms());
            }
            Ended::Quarantined { planned, entry, gone, outside, unknown_fields } => {
                self.leave_out(gone, report).await?;
                report.outside += outside;
                report.unknown_fields.add(&unknown_fields);
                self.give_up(publisher, &planned);
                self.count_quarantined(&entry, report);
            }
            Ended::Failed { unit, reason, attempts, fatal } => {
                tracing::warn!(unit = %unit.key, attempts, "unit failed: {reason}");
                self.give_up(publisher, &unit);
                if fatal {
                    halt.cancel();
                    report.fatal.get_or_insert(reason.clone());
                }
                self.fail(unit, reason, attempts, report).await?;
            }
            Ended::ComeBack { unit, until, reason } => {
                // Where the whole app has to wait, nobody needs to ask any more; else the others go on.
                let waits = self.fetch.quotas().closed().is_some_and(|(wait, _)| wait > self.pipeline.retry.patience());
                if waits {
                    halt.cancel();
                    report.waits = true;
                }
                self.give_up(publisher, &unit);
                if unit.lane == Lane::Refresh {
                    // What may have moved is read when there is quota to spare; nobody waits for that.
                    report.postponed += 1;
                } else {
                    report.come_back(until, reason);
                }
            }
            Ended::Gone { unit, gone } => {
                self.give_up(publisher, &unit);
                report.left_out += 1;
                self.leave_out(gone, report).await?;
            }
            Ended::Stopped { unit } => self.give_up(publisher, &unit),
            Ended::Broken(error) => return Err(error),
        }
        let through = publisher.empty();
        self.record(through, report).await?;
        let ready = publisher.ready();
        self.publish(publisher, ready, report).await
    }

    /// Remembers the accounts that the platform no longer gives.
    async fn leave_out(&self, all: Vec<Gone>, report: &mut RunReport) -> Result<()> {
        let now = self.environment.clock.now();
        for gone in all {
            if report.skipped.iter().any(|skipped| skipped.account == gone.account) {
                continue;
            }
            self.environment.state.skip_account(&self.lease, &gone.account, &gone.why, now).await?;
            report.skip(gone.account, gone.why);
        }
        Ok(())
    }

    fn give_up(&self, publisher: &mut Publisher, unit: &Unit) {
        publisher.gave_up(&self.dataset.partitions(&unit.accounts, unit.window));
    }

    pub(super) async fn fail(&self, unit: Unit, reason: String, attempts: u32, report: &mut RunReport) -> Result<()> {
        self.progress.failed.fetch_add(1, Ordering::Relaxed);
        report.add_failure(unit.to_string(), reason.clone(), attempts);
        let at = self.environment.clock.now();
        self.environment.state.record_failed(&self.lease, &FailedUnit { unit, reason, attempts, at }).await
    }

    /// Publishes what is staged when the run ends early; after a stop only as long as the one who waits is patient.
    async fn publish_rest(&self, publisher: &mut Publisher, report: &mut RunReport) -> Result<()> {
        let rest = publisher.rest();
        if !report.stopped {
            return self.publish(publisher, rest, report).await;
        }
        match tokio::time::timeout(PUBLISH_AFTER_STOP, self.publish(publisher, rest, report)).await {
            Ok(result) => result,
            Err(_) => Ok(()),
        }
    }

    pub(super) async fn publish(
        &self,
        publisher: &mut Publisher,
        ready: Vec<(Partition, Vec<StagedSlice>)>,
        report: &mut RunReport,
    ) -> Result<()> {
        for (partition, slices) in ready {
            let read_before = self.read_before(partition, &slices).await?;
            let fence = self.lease.token().unsigned_abs();
            let published = self.dataset.publish(partition, &slices, &read_before, fence).await?;
            self.progress.published.fetch_add(1, Ordering::Relaxed);
            report.add_partition(&published);
            let through = publisher.published(&published, &slices);
            self.record(through, report).await?;
        }
        Ok(())
    }

    /// Which hours of a partition the ledger knows as read, of the accounts of `slices`.
    async fn read_before(&self, partition: Partition, slices: &[StagedSlice]) -> Result<ReadBefore> {
        let window = partition.window();
        let ledgers = self.environment.state.ledgers(&self.pipeline.name, window.from(), window.to()).await?;
        let mut read_before = ReadBefore::default();
        for account in slices.iter().flat_map(|slice| &slice.accounts) {
            let Some(ledger) = ledgers.get(account) else { continue };
            for slot in (slot(window.from())..slot(window.to())).filter(|slot| ledger.confirmed(*slot).is_some()) {
                read_before.insert(account, slot);
            }
        }
        Ok(read_before)
    }

    /// One transaction: ledger, watermarks, units. The staged files go after it; a crash in between leaves files that
    /// the next run's sweep removes.
    pub(super) async fn record(&self, through: Vec<Through>, report: &mut RunReport) -> Result<()> {
        let mut published = Vec::new();
        let mut keys = Vec::new();
        for unit in through {
            match unit {
                Through::Published(unit) => {
                    keys.push(unit.key.clone());
                    published.push(unit);
                }
                Through::Refused(staged, refused) => {
                    keys.push(staged.unit.key.clone());
                    self.refuse(staged, refused, report).await?;
                }
            }
        }
        if !published.is_empty() {
            let now = self.environment.clock.now();
            self.environment.state.record_published(&self.lease, &published, &self.refresh, now).await?;
            report.published += published.len() as u64;
        }
        for key in &keys {
            self.dataset.discard(key).await?;
        }
        Ok(())
    }
}

/// One of the run's workers.
pub(super) struct Worker {
    dispatch: Arc<Dispatch>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) clock: Clock,
    fetch: Arc<Fetch>,
    pub(super) dataset: Dataset,
    pub(super) state: State,
    pub(super) lease: Arc<Lease>,
    pub(super) recording: Arc<Recording>,
    halt: CancellationToken,
    sender: mpsc::Sender<Ended>,
    /// About how many units are published together.
    pub(super) beside: usize,
}

impl Worker {
    async fn run(self) {
        while !self.halt.is_cancelled() {
            let ended = match self.dispatch.next(self.clock.now()) {
                Turn::Take(unit) => self.unit(unit).await,
                Turn::PutBack { unit, wait, why } => {
                    Ended::ComeBack { unit, until: self.fetch.after(wait), reason: why }
                }
                Turn::TimeIsUp | Turn::Done => return,
            };
            if self.sender.send(ended).await.is_err() {
                return;
            }
        }
    }

    async fn unit(&self, unit: Unit) -> Ended {
        let began = self.clock.now();
        let tape = self.recording.tape();
        match self.fetch.unit_on(&unit, &self.halt, &tape).await {
            Ok(slice) => self.stage(unit, slice, tape).await.unwrap_or_else(Ended::Broken),
            Err(UnitFailure::Failed { reason, attempts, fatal }) => {
                let header = tapes::of_failed(&self.recording, &unit, began, &reason, attempts, self.clock.now());
                self.recording.keep(tape, header).await;
                Ended::Failed { unit, reason, attempts, fatal }
            }
            Err(UnitFailure::ComeBack { until, reason }) => Ended::ComeBack { unit, until, reason },
            Err(UnitFailure::Broken { kind, report }) => Ended::Broken(Error::new(kind, report)),
            Err(UnitFailure::Gone(gone)) => Ended::Gone { unit, gone },
            Err(UnitFailure::Stopped) => Ended::Stopped { unit },
        }
    }
}
