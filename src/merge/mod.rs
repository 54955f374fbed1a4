//! One row per key: what an hour of a partition holds after staged slices have been merged into it, and what that
//! changed.
//!
//! Everything here is a pure function of its arguments. Slices are brought into one order first ([`Claims`]), so the
//! result does not depend on the order in which units arrived. Then each key is a fold over the row in the lake and the
//! claims that asked for it or bring it, oldest first:
//!
//! | the row so far | brought by the claim | the claim asked for it and says | the row from there on | event |
//! |---|---|---|---|---|
//! | - | row | - | the new row | [`Change::Added`] where the hour had been read before |
//! | row | same values | - | stays, with its earlier `seen_at` | none |
//! | row | other values | - | the new row | [`Change::Changed`] |
//! | row | - | `missing = "keep"` | stays | [`Change::Kept`] |
//! | row | - | `missing = "drop"` | none, unless the [`guard()`] refuses the slice | [`Change::Removed`] |
//! | row seen later than the slice was fetched | anything | anything | stays | none |
//!
//! Because it is a fold, slices published one after another and slices published at once give the same rows with the
//! same `seen_at`, and the same events.
//!
//! The last line is a second line of defence only: a file does not know when its values were last confirmed (a re-fetch
//! that finds nothing new changes no file), so the state must not publish a slice older than an hour's last record.
//!
//! What is known of campaigns is merged by other rules: see [`follow()`].

mod by_key;
mod claims;
mod events;
mod falling;
mod fold;
mod guard;
mod order;
mod packed;
mod proof;
mod shape;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::BTreeSet;

use arrow::array::RecordBatch;

pub use claims::{Claim, Claims, ReadBefore};
pub use events::{Change, event_schema, log_schema};
pub use falling::{Fallen, find_fallen};
pub use guard::{Guard, Tally, guard};
pub use proof::{Sorted, Undeclared};
pub use shape::{Shape, conform, value_text};
pub use versions::{AccountFollowed, CampaignReading, Followed, Version, VersionsMerge, follow, merge_versions};

use crate::error::Result;
use crate::time::Instant;
use fold::Merge;

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
    /// What happened to which key, by key, then in the order of the claims, then of the columns; `None` where nothing
    /// did. Its columns are those of [`event_schema`].
    pub events: Option<RecordBatch>,
    /// The claims that would tell something again if they were merged again into the rows as they are now: what they
    /// left as it is says nothing of their having been here.
    pub untraced: BTreeSet<usize>,
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
    read_before: &ReadBefore,
    tallies: &mut [Tally],
) -> Result<HourMerge> {
    let merge = Merge::new(shape, hour, old, arrivals, claims, read_before)?;
    for arrival in arrivals {
        tallies[arrival.claim].brought += arrival.rows.num_rows() as u64;
    }
    merge.run(tallies)
}
