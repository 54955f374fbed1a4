//! Values that must not fall: a re-read value of a counter is not smaller than the lake's.
//!
//! A pass of its own over the old and the new rows of an hour, beside the merge. Each slice is compared with what the lake
//! held before any of them, so what is found does not depend on the other slices or on their order. A value that is not
//! there (null, before or now) did not fall, and a row that is not brought again is the guard's matter.

use arrow::array::{Array, DynComparator, RecordBatch, TimestampMicrosecondArray, make_comparator};
use arrow::compute::SortOptions;

use super::order::{Heads, KeyOrder, Next};
use super::shape::{fault, value_text};
use super::{Arrival, Claim, Shape};
use crate::error::Result;

/// So many rows of a slice are told of in each partition.
const TOLD: usize = 10;

/// The rows of one slice that brought a smaller value than the lake's, in one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fallen {
    /// How many.
    pub rows: u64,
    /// The first of them, for people: the key, and the columns with old and new value.
    pub told: Vec<String>,
}

/// Adds to `fallen` the rows of `arrival` in which a column of `columns` is smaller than in the row of the same key in
/// `old`. Rows that the lake saw later than the slice was fetched are not compared: the slice does not overrule them.
///
/// `old` and the arrival are of one hour, sorted by key, and hold a key once. A column that the dataset does not have
/// is passed over.
pub fn find_fallen(
    shape: &Shape,
    old: &RecordBatch,
    arrival: &Arrival,
    claim: &Claim,
    columns: &[String],
    fallen: &mut Fallen,
) -> Result<()> {
    let new = &arrival.rows;
    let mut compared: Vec<(usize, DynComparator)> = Vec::new();
    for name in columns {
        if let Ok(index) = shape.schema().index_of(name) {
            let compare = make_comparator(old.column(index), new.column(index), SortOptions::default());
            compared.push((index, compare.map_err(fault)?));
        }
    }
    let seen_at = shape.seen_at(old)?;
    let keys = KeyOrder::new(&[old, new], shape.key_in_hour())?;
    for next in Heads::new(&keys) {
        let Next::Same(places) = next else { continue };
        let [(_, before), (_, row)] = places[..] else { continue };
        let later = |seen_at: &TimestampMicrosecondArray| {
            seen_at.is_valid(before) && seen_at.value(before) > claim.fetched_at.timestamp_micros()
        };
        if seen_at.is_some_and(later) {
            continue;
        }
        let mut said = Vec::new();
        for (index, compare) in &compared {
            let (was, is) = (old.column(*index), new.column(*index));
            if was.is_valid(before) && is.is_valid(row) && compare(before, row).is_gt() {
                let name = shape.schema().field(*index).name();
                said.push(format!("{name} fell from {} to {}", value_text(was, before)?, value_text(is, row)?));
            }
        }
        if said.is_empty() {
            continue;
        }
        fallen.rows += 1;
        if fallen.told.len() < TOLD {
            fallen.told.push(format!("{}: {}", shape.key_text(new, row)?, said.join(", ")));
        }
    }
    Ok(())
}
