//! The rows of several batches, each sorted by key, in one order: stretches that only one batch has, and keys that several
//! have.
//!
//! Slices of different accounts do not overlap, and of a day that is read again most keys are in both. So a stretch is
//! looked for in growing steps: what only one batch has costs a few comparisons however long it is.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};

use super::fold::Place;
use super::shape::fault;
use crate::error::Result;

/// The key columns of several batches, comparable with each other.
pub(super) struct KeyOrder<'a> {
    sources: Vec<KeyColumns<'a>>,
}

struct KeyColumns<'a> {
    columns: Vec<KeyColumn<'a>>,
    rows: usize,
}

enum KeyColumn<'a> {
    /// Compared where they stand.
    Texts(&'a StringArray),
    /// Anything else in its comparable form.
    Converted(Rows),
}

impl<'a> KeyOrder<'a> {
    /// Of the columns at `places`, in this order.
    pub(super) fn new(batches: &[&'a RecordBatch], places: &[usize]) -> Result<KeyOrder<'a>> {
        let mut sources: Vec<KeyColumns<'a>> =
            batches.iter().map(|batch| KeyColumns { columns: Vec::new(), rows: batch.num_rows() }).collect();
        for place in places {
            let data_type = match batches.first() {
                Some(batch) => batch.column(*place).data_type(),
                None => break,
            };
            let converter = match data_type {
                DataType::Utf8 => None,
                other => Some(RowConverter::new(vec![SortField::new(other.clone())]).map_err(fault)?),
            };
            for (source, batch) in sources.iter_mut().zip(batches) {
                let column = batch.column(*place);
                source.columns.push(match &converter {
                    None => KeyColumn::Texts(column.as_string()),
                    Some(converter) => {
                        KeyColumn::Converted(converter.convert_columns(std::slice::from_ref(column)).map_err(fault)?)
                    }
                });
            }
        }
        Ok(KeyOrder { sources })
    }

    /// How the keys of two rows stand to each other.
    pub(super) fn compare(&self, one: Place, other: Place) -> Ordering {
        let columns = self.sources[one.0].columns.iter().zip(&self.sources[other.0].columns);
        for columns in columns {
            let found = match columns {
                (KeyColumn::Texts(ours), KeyColumn::Texts(theirs)) => text(ours, one.1).cmp(&text(theirs, other.1)),
                (KeyColumn::Converted(ours), KeyColumn::Converted(theirs)) => ours.row(one.1).cmp(&theirs.row(other.1)),
                // A column has one type in all batches.
                _ => Ordering::Equal,
            };
            if found.is_ne() {
                return found;
            }
        }
        Ordering::Equal
    }

    /// The first row of `source` after `begin` whose key is not below that of `other`; the row at `begin` is below it.
    fn reach(&self, source: usize, begin: usize, other: Place) -> usize {
        let is_below = |row: usize| self.compare((source, row), other).is_lt();
        first_not(begin, self.sources[source].rows, is_below)
    }
}

fn text(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

/// The first place after `begin` and before `end` of which `holds` is not true, or `end`. It is true of all places up to
/// one, and at `begin`.
pub(super) fn first_not(begin: usize, end: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut known, mut step) = (begin, 1);
    loop {
        let next = known + step;
        if next >= end {
            break;
        }
        if !holds(next) {
            return bisect(known, next, holds);
        }
        known = next;
        step *= 2;
    }
    bisect(known, end, holds)
}

/// As [`first_not`], where it is known not to be true at `end`, if there is a place there.
fn bisect(begin: usize, end: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut holding, mut failing) = (begin, end);
    while failing - holding > 1 {
        let middle = holding + (failing - holding) / 2;
        if holds(middle) { holding = middle } else { failing = middle }
    }
    failing
}

/// What comes next in the order of the keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Rows of one batch with keys that no other has.
    Alone(usize, Range<usize>),
    /// The rows of one key, in the order of their batches.
    Same(Vec<Place>),
}

/// Goes through all batches in the order of their keys.
pub(super) struct Heads<'k, 'a> {
    order: &'k KeyOrder<'a>,
    /// The next row of each batch that has one: the last entry is the one with the smallest key.
    waiting: Vec<Place>,
}

impl<'k, 'a> Heads<'k, 'a> {
    pub(super) fn new(order: &'k KeyOrder<'a>) -> Heads<'k, 'a> {
        let mut waiting: Vec<Place> = order
            .sources
            .iter()
            .enumerate()
            .filter(|(_, source)| source.rows > 0)
            .map(|(index, _)| (index, 0))
            .collect();
        waiting.sort_by(|one, other| later(order, *one, *other));
        Heads { order, waiting }
    }

    /// `place` waits again, unless its batch has no more rows.
    fn wait(&mut self, place: Place) {
        if place.1 < self.order.sources[place.0].rows {
            let at = self.waiting.partition_point(|known| later(self.order, *known, place).is_lt());
            self.waiting.insert(at, place);
        }
    }
}

impl Iterator for Heads<'_, '_> {
    type Item = Next;

    fn next(&mut self) -> Option<Next> {
        let (source, begin) = self.waiting.pop()?;
        let Some(other) = self.waiting.last().copied() else {
            return Some(Next::Alone(source, begin..self.order.sources[source].rows));
        };
        if self.order.compare((source, begin), other).is_lt() {
            let end = self.order.reach(source, begin, other);
            self.wait((source, end));
            return Some(Next::Alone(source, begin..end));
        }
        let mut same = vec![(source, begin)];
        while let Some(equal) = self.waiting.pop_if(|place| self.order.compare((source, begin), *place).is_eq()) {
            same.push(equal);
        }
        for (source, row) in &same {
            self.wait((*source, row + 1));
        }
        Some(Next::Same(same))
    }
}

/// Greater keys first, of equal keys greater batches, so that the last entry is the next.
fn later(order: &KeyOrder<'_>, one: Place, other: Place) -> Ordering {
    order.compare(other, one).then(other.0.cmp(&one.0))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    use super::*;

    type Key = (Option<String>, i64);

    fn batch(keys: &BTreeSet<Key>) -> RecordBatch {
        let texts: ArrayRef = Arc::new(StringArray::from_iter(keys.iter().map(|key| key.0.as_deref())));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| key.1)));
        let fields = vec![Field::new("text", DataType::Utf8, true), Field::new("number", DataType::Int64, false)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![texts, numbers]).expect("rows")
    }

    proptest! {
        #[test]
        fn every_row_comes_once_in_the_order_of_the_keys(
            sources in prop::collection::vec(
                prop::collection::btree_set((prop::option::of("[ab]{0,2}"), 0..6i64), 0..12), 0..5)
        ) {
            let batches: Vec<RecordBatch> = sources.iter().map(batch).collect();
            let order = KeyOrder::new(&batches.iter().collect::<Vec<_>>(), &[0, 1]).expect("an order");
            let mut expected: BTreeMap<Key, Vec<Place>> = BTreeMap::new();
            for (source, keys) in sources.iter().enumerate() {
                for (row, key) in keys.iter().enumerate() {
                    expected.entry(key.clone()).or_default().push((source, row));
                }
            }
            let mut found = Vec::new();
            for next in Heads::new(&order) {
                match next {
                    Next::Alone(source, rows) => {
                        prop_assert!(!rows.is_empty());
                        found.extend(rows.map(|row| vec![(source, row)]));
                    }
                    Next::Same(places) => {
                        prop_assert!(places.len() > 1);
                        found.push(places);
                    }
                }
            }
            prop_assert_eq!(found, expected.into_values().collect::<Vec<_>>());
        }

        #[test]
        fn the_first_place_where_it_does_not_hold_is_found(begin in 0..40usize, more in 1..40usize, true_for in 1..60usize) {
            let end = begin + more;
            prop_assert_eq!(first_not(begin, end, |place| place < begin + true_for), end.min(begin + true_for));
        }
    }
}
