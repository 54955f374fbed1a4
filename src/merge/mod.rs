//! One row per key: what an hour of a partition holds after staged slices have been merged into it.
//!
//! Everything here is a pure function of its arguments. Slices are brought into one order first ([`Claims`]), so the
//! result does not depend on the order in which units arrived:
//!
//! | in the lake | brought by a slice | the newest slice that drops says | result |
//! |---|---|---|---|
//! | - | row | - | added |
//! | row | same values | - | the old row stays, with its `seen_at` |
//! | row | other values | - | changed: the newest slice's row |
//! | row | - | - (`missing = "keep"`) | stays |
//! | row | - | its account and hour were asked for | removed, unless the [`guard()`] refuses the slice |
//! | row seen later than the slice was fetched | anything | anything | stays |
//!
//! The last line is a second line of defence only: a file does not know when its values were last confirmed (a re-fetch
//! that finds nothing new changes no file), so the state must not publish a slice older than an hour's last record.

mod falling;
mod guard;
mod proof;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use arrow::row::Rows;

pub use falling::{Fallen, find_fallen};
pub use guard::{Guard, Tally, guard};
pub use proof::{Sorted, Undeclared};
pub use shape::{Shape, conform, value_text};

use crate::error::Result;
use crate::pipeline::Missing;
use crate::time::{Instant, Window};
use crate::unit::UnitKey;
use shape::{RowsEqual, fault};

/// What a staged slice says about itself: whose hours it brings, and what becomes of rows that it does not bring.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The unit's key.
    pub key: UnitKey,
    /// When the platform gave these values; later wins.
    pub fetched_at: Instant,
    /// Whose rows were asked for.
    pub accounts: Vec<String>,
    /// Which hours were asked for.
    pub window: Window,
    /// What becomes of rows of these accounts and hours that the slice does not bring.
    pub missing: Missing,
}

/// Claims in the order in which they overwrite each other: by `fetched_at`, then by the key's digest.
#[derive(Debug, Clone)]
pub struct Claims {
    list: Vec<Claim>,
    /// The claims that drop absent rows, by account, in order.
    dropping: HashMap<String, Vec<usize>>,
}

impl Claims {
    /// Orders `claims`; the order in which they are given does not matter.
    pub fn new(mut claims: Vec<Claim>) -> Claims {
        claims.sort_by_cached_key(|claim| (claim.fetched_at, claim.key.digest(), claim.key.clone()));
        let mut dropping: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, claim) in claims.iter().enumerate() {
            if matches!(claim.missing, Missing::Drop { .. }) {
                for account in &claim.accounts {
                    dropping.entry(account.clone()).or_default().push(index);
                }
            }
        }
        Claims { list: claims, dropping }
    }

    /// The claims, oldest first. [`Arrival::claim`] is an index into it.
    pub fn list(&self) -> &[Claim] {
        &self.list
    }

    /// Whether any claim drops absent rows of `hour`, so that an hour without arrivals may change as well.
    pub fn may_drop(&self, hour: Instant) -> bool {
        self.list.iter().any(|claim| matches!(claim.missing, Missing::Drop { .. }) && claim.window.contains(hour))
    }

    /// The claims that drop absent rows of this account and hour, oldest first.
    fn dropping(&self, account: &str, hour: Instant) -> Vec<usize> {
        let Some(indices) = self.dropping.get(account) else { return Vec::new() };
        indices.iter().copied().filter(|index| self.list[*index].window.contains(hour)).collect()
    }
}

/// The rows that one slice brings for the hour at hand: sorted by key, one per key.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The slice's place in [`Claims::list`].
    pub claim: usize,
    /// Its rows, in the dataset's schema.
    pub rows: RecordBatch,
}

/// What became of an hour.
#[derive(Debug, Clone, Default)]
pub struct HourMerge {
    /// The hour's rows from now on, sorted by key; `None` where nothing changed. No rows: the hour is empty now.
    pub rows: Option<RecordBatch>,
    /// Keys that were not there before.
    pub added: u64,
    /// Keys with other values than before.
    pub changed: u64,
    /// Keys that are gone.
    pub removed: u64,
    /// The accounts of these keys, in order.
    pub accounts_changed: Vec<String>,
}

/// Merges the arrivals of one hour into the rows that the lake holds for it.
///
/// `old` and each arrival are sorted by key and hold a key once; arrivals are in the order of their claims, one per
/// claim at most. `tallies`, one per claim, counts what the [`guard()`] must know.
pub fn merge_hour(
    shape: &Shape,
    hour: Instant,
    old: Option<&RecordBatch>,
    arrivals: &[Arrival],
    claims: &Claims,
    tallies: &mut [Tally],
) -> Result<HourMerge> {
    let merge = Merge::new(shape, hour, old, arrivals, claims)?;
    for arrival in arrivals {
        tallies[arrival.claim].brought += arrival.rows.num_rows() as u64;
    }
    merge.run(tallies)
}

/// Where a row is: the batch's place among the sources and the row's place in it.
type Place = (usize, usize);

/// The sources of one hour: the old rows first, where there are any, then the arrivals.
struct Merge<'a> {
    hour: Instant,
    claims: &'a Claims,
    sources: Vec<Source<'a>>,
    keys: Vec<Rows>,
}

struct Source<'a> {
    rows: &'a RecordBatch,
    accounts: &'a StringArray,
    /// `None`: the lake's old rows.
    claim: Option<usize>,
    /// When the old rows were first seen.
    seen_at: Option<&'a TimestampMicrosecondArray>,
    /// Compares a row of this source with an old row by all columns but the key and `seen_at`.
    equals_old: Option<RowsEqual>,
}

impl<'a> Merge<'a> {
    fn new(
        shape: &Shape,
        hour: Instant,
        old: Option<&'a RecordBatch>,
        arrivals: &'a [Arrival],
        claims: &'a Claims,
    ) -> Result<Merge<'a>> {
        let old = old.filter(|rows| rows.num_rows() > 0);
        let mut sources = Vec::with_capacity(arrivals.len() + 1);
        if let Some(rows) = old {
            let seen_at = shape.seen_at(rows)?;
            sources.push(Source { rows, accounts: shape.accounts(rows)?, claim: None, seen_at, equals_old: None });
        }
        for arrival in arrivals {
            let rows = &arrival.rows;
            let equals_old = old.map(|old| shape.rows_equal(old, rows)).transpose()?;
            let claim = Some(arrival.claim);
            sources.push(Source { rows, accounts: shape.accounts(rows)?, claim, seen_at: None, equals_old });
        }
        let converter = shape.key_in_hour_converter()?;
        let keys = sources.iter().map(|source| shape.key_in_hour(&converter, source.rows)).collect::<Result<_>>()?;
        Ok(Merge { hour, claims, sources, keys })
    }

    fn run(&self, tallies: &mut [Tally]) -> Result<HourMerge> {
        let places = self.places_by_key();
        let mut merged = HourMerge::default();
        let mut kept: Vec<Place> = Vec::with_capacity(places.len());
        let mut dropping: (&str, Vec<usize>) = ("", Vec::new());
        for run in places.chunk_by(|one, other| self.key(*one) == self.key(*other)) {
            let account = self.account(run[0]);
            if account != dropping.0 || dropping.0.is_empty() {
                dropping = (account, self.claims.dropping(account, self.hour));
            }
            self.count(run, &dropping.1, tallies);
            let (winner, change) = self.decide(run, dropping.1.last().copied());
            kept.extend(winner);
            match change {
                Change::None => continue,
                Change::Added => merged.added += 1,
                Change::Changed => merged.changed += 1,
                Change::Removed => merged.removed += 1,
            }
            if merged.accounts_changed.last().is_none_or(|last| last != account) {
                merged.accounts_changed.push(account.to_owned());
            }
        }
        if merged.added + merged.changed + merged.removed > 0 {
            merged.rows = Some(self.take(&kept)?);
        }
        Ok(merged)
    }

    /// All rows, by key; rows of one key in the order of their sources. Each source is sorted, so the sort only merges.
    fn places_by_key(&self) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            places.extend((0..source.rows.num_rows()).map(|row| (index, row)));
        }
        if self.sources.len() > 1 {
            places.sort_by(|one, other| self.key(*one).cmp(&self.key(*other)));
        }
        places
    }

    fn key(&self, (source, row): Place) -> arrow::row::Row<'_> {
        self.keys[source].row(row)
    }

    fn account(&self, (source, row): Place) -> &'a str {
        self.sources[source].accounts.value(row)
    }

    fn claim_of(&self, (source, _): Place) -> Option<usize> {
        self.sources[source].claim
    }

    /// Counts an old row for each slice that asked for its account and hour: held, and gone where it is not brought.
    fn count(&self, run: &[Place], dropping: &[usize], tallies: &mut [Tally]) {
        let Some(old) = run.iter().find(|place| self.claim_of(**place).is_none()) else { return };
        for claim in dropping {
            tallies[*claim].held += 1;
            let brought = run.iter().any(|place| self.claim_of(*place) == Some(*claim));
            if !brought && !self.seen_after(*old, *claim) {
                tallies[*claim].gone += 1;
            }
        }
    }

    /// Whether the old row's values were first seen after `claim` was fetched.
    fn seen_after(&self, (source, row): Place, claim: usize) -> bool {
        let Some(seen_at) = self.sources[source].seen_at else { return false };
        seen_at.is_valid(row) && seen_at.value(row) > self.claims.list[claim].fetched_at.timestamp_micros()
    }

    /// The row that stays of all rows of one key, and what that means against the old one.
    fn decide(&self, run: &[Place], last_drop: Option<usize>) -> (Option<Place>, Change) {
        let old = run.iter().copied().find(|place| self.claim_of(*place).is_none());
        let survives = |claim: usize| last_drop.is_none_or(|dropped_by| claim >= dropped_by);
        let overrules_old = |claim: usize| old.is_none_or(|old| !self.seen_after(old, claim));
        let newest = run.iter().copied().rev().find_map(|place| Some((place, self.claim_of(place)?)));
        match (old, newest.filter(|(_, claim)| survives(*claim) && overrules_old(*claim))) {
            (None, Some((place, _))) => (Some(place), Change::Added),
            (Some(old), Some((place, _))) if self.equal(old, place) => (Some(old), Change::None),
            (Some(_), Some((place, _))) => (Some(place), Change::Changed),
            (Some(_), None) if last_drop.is_some_and(|claim| self.drops(run, claim)) => (None, Change::Removed),
            (old, None) => (old, Change::None),
        }
    }

    /// Whether `claim`, which asked for this key, does not bring it and is not older than the old row.
    fn drops(&self, run: &[Place], claim: usize) -> bool {
        run.iter().all(|place| match self.claim_of(*place) {
            None => !self.seen_after(*place, claim),
            Some(brought_by) => brought_by != claim,
        })
    }

    fn equal(&self, old: Place, new: Place) -> bool {
        self.sources[new.0].equals_old.as_ref().is_some_and(|rows_equal| rows_equal.test(old.1, new.1))
    }

    fn take(&self, kept: &[Place]) -> Result<RecordBatch> {
        let batches: Vec<&RecordBatch> = self.sources.iter().map(|source| source.rows).collect();
        interleave_record_batch(&batches, kept).map_err(fault)
    }
}

enum Change {
    None,
    Added,
    Changed,
    Removed,
}
