//! From a slice to a staged unit: the key proof, the quality rules, the staged file, the state.

use arrow::array::RecordBatch;

use super::tapes;
use super::work::{Ended, Worker};
use crate::cassette::Tape;
use crate::error::Result;
use crate::fetch::Slice;
use crate::lake::{Chunk, Dataset, Proven, StagedFile};
use crate::merge::Undeclared;
use crate::pipeline::Pipeline;
use crate::pipeline::schema::account_hours;
use crate::quality::{Judge, Verdict};
use crate::refresh::grid_zone;
use crate::state::{EmptyHours, StagedUnit};
use crate::time::{Window, hours_in, slot};
use crate::unit::{Account, Unit, UnitKey};

/// What is learnt of a unit's rows while they go by, sorted by key.
struct Seen {
    dataset: Dataset,
    judge: Judge,
    /// The first rows that break a rule, for people.
    examples: Vec<String>,
    /// The hours that had no row so far.
    empty: EmptyHours,
}

/// A unit's rows after the key proof.
enum Rows {
    /// All of them, not staged yet.
    Held(Proven),
    /// A large unit's: they are staged already, since they can only be seen hour by hour.
    Staged(StagedFile),
}

impl Seen {
    fn see(&mut self, rows: &RecordBatch) -> Result<()> {
        let (told, rows_before) = (self.judge.offences().len(), self.judge.rows());
        self.judge.add(rows)?;
        for offence in &self.judge.offences()[told..] {
            let key = self.dataset.shape().key_text(rows, offence.row - rows_before)?;
            self.examples.push(format!("{key}: {}", offence.said));
        }
        strike_out(&mut self.empty, rows)
    }
}

/// The hours of `accounts` in `window` of which the platform gave no row. `rows` may stand in any order; where they are
/// sorted, each account's hour is looked at once.
pub(super) fn empty_hours(
    pipeline: &Pipeline,
    accounts: &[Account],
    window: Window,
    rows: &RecordBatch,
) -> Result<EmptyHours> {
    let mut empty = all_hours(pipeline, accounts, window);
    strike_out(&mut empty, rows)?;
    Ok(left(empty))
}

fn all_hours(pipeline: &Pipeline, accounts: &[Account], window: Window) -> EmptyHours {
    let mut all = EmptyHours::new();
    for account in accounts {
        all.insert(account.id.clone(), hours_in(window, grid_zone(pipeline, account)).map(slot).collect());
    }
    all
}

fn strike_out(hours: &mut EmptyHours, rows: &RecordBatch) -> Result<()> {
    for (account, hour) in account_hours(rows)? {
        if let Some(hours) = hours.get_mut(account) {
            hours.remove(&slot(hour));
        }
    }
    Ok(())
}

fn left(mut hours: EmptyHours) -> EmptyHours {
    hours.retain(|_, hours| !hours.is_empty());
    hours
}

impl Worker {
    /// Makes the slice durable and known before the next unit is fetched: from here on a crash pays nothing again. Rows
    /// that one key does not tell apart fail the unit, rows that break a rule are quarantined.
    ///
    /// The cassette comes in between: a crash after it leaves one too many, which says nothing wrong, and never one
    /// too few.
    pub(super) async fn stage(&self, planned: Unit, slice: Slice, tape: Tape) -> Result<Ended> {
        let header = tapes::of_slice(&self.recording, &slice);
        // The turn is held until the rows are staged.
        let Slice { unit, window, fetched_at, requests, gone, outside, unknown_fields, turn: _turn, .. } = slice;
        let seen = Seen {
            dataset: self.dataset.clone(),
            judge: Judge::new(&self.pipeline.quality),
            examples: Vec::new(),
            empty: all_hours(&self.pipeline, &unit.accounts, window),
        };
        let proven = self.proven(&unit.key, slice.rows, slice.page_starts, slice.chunks, seen).await?;
        let (rows, Seen { judge, examples, empty, .. }) = match proven {
            Ok(proven) => proven,
            Err(undeclared) => {
                let fields = unknown_fields.iter().map(|(path, _)| path.to_owned()).collect();
                let reason = undeclared.reason(&fields);
                let now = self.clock.now();
                let header = tapes::of_failed(&self.recording, &planned, fetched_at, &reason, 1, now);
                self.recording.keep(tape, header).await;
                return Ok(Ended::Failed { unit: planned, reason, attempts: 1, fatal: false });
            }
        };
        let staged = StagedUnit {
            unit,
            window,
            fetched_at,
            rows: match &rows {
                Rows::Held(proven) => proven.rows().num_rows() as u64,
                Rows::Staged(file) => file.rows,
            },
            requests,
            empty: left(empty),
        };
        let rejected = match judge.verdict() {
            Verdict::Passed { rejected, remark } => {
                if rejected > 0 {
                    tracing::warn!(unit = %staged.unit.key, "kept all the same: {remark}");
                }
                rejected
            }
            Verdict::Broken { reason } => {
                let held = match rows {
                    Rows::Held(proven) => Some(proven),
                    Rows::Staged(_) => None,
                };
                let entry = Box::new(self.quarantine(staged, held, reason, examples).await?);
                self.recording.keep(tape, header).await;
                return Ok(Ended::Quarantined { planned, entry, gone, outside, unknown_fields });
            }
        };
        if let Rows::Held(proven) = rows {
            self.dataset.stage(&staged.unit.key, proven, self.beside).await?;
        }
        self.recording.keep(tape, header).await;
        self.state.record_staged(&self.lease, &staged).await?;
        tracing::info!(unit = %staged.unit.key, rows = staged.rows, requests = staged.requests, "fetched");
        Ok(Ended::Staged { planned, staged, gone, outside, unknown_fields, rejected })
    }

    /// Proves that the key tells a unit's rows apart, and has each of them seen. Those of `chunks` came before `rows`.
    async fn proven(
        &self,
        key: &UnitKey,
        rows: RecordBatch,
        page_starts: Vec<usize>,
        mut chunks: Vec<Chunk>,
        mut seen: Seen,
    ) -> Result<Result<(Rows, Seen), Undeclared>> {
        if chunks.is_empty() {
            let proven = match self.dataset.prove(rows, page_starts).await? {
                Ok(proven) => proven,
                Err(undeclared) => return Ok(Err(undeclared)),
            };
            seen.see(proven.rows())?;
            return Ok(Ok((Rows::Held(proven), seen)));
        }
        if rows.num_rows() > 0 {
            match self.dataset.put_aside(key, rows, page_starts).await? {
                Ok(chunk) => chunks.push(chunk),
                Err(undeclared) => return Ok(Err(undeclared)),
            }
        }
        let (file, seen) = self.dataset.stage_chunks(key, &chunks, seen, Seen::see).await?;
        Ok(Ok((Rows::Staged(file), seen)))
    }
}
