//! Rows in the order of their keys.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{RowConverter, SortField};

use super::packed::packed_keys;
use super::shape::fault;
use crate::error::Result;

/// The places of a batch's rows in the order of their keys; of one key in the order in which they came.
pub(super) struct ByKey {
    order: Vec<u32>,
    /// Where in `order` each key begins.
    begins: Vec<u32>,
}

impl ByKey {
    /// Sorts by the columns at `places`, the first is the most significant.
    pub(super) fn new(rows: &RecordBatch, places: &[usize]) -> Result<ByKey> {
        let columns: Vec<&ArrayRef> = places.iter().map(|place| rows.column(*place)).collect();
        match packed_keys(&columns) {
            Some(packed) => Ok(by_numbers(&packed)),
            None => by_rows(&columns),
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.order.len()
    }

    /// The rows of each key, in the order of the keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u32]> {
        let ends = self.begins.iter().skip(1).copied().chain([self.order.len() as u32]);
        self.begins.iter().zip(ends).map(|(begin, end)| &self.order[*begin as usize..end as usize])
    }
}

fn by_numbers(packed: &[u64]) -> ByKey {
    let mut sorted: Vec<(u64, u32)> = packed.iter().copied().zip(0..).collect();
    // With the row's place in the number no two are equal, so the faster sort gives one order only.
    if !sorted.is_sorted() {
        sorted.sort_unstable();
    }
    let begins = |place: &u32| *place == 0 || sorted[*place as usize - 1].0 != sorted[*place as usize].0;
    ByKey {
        begins: (0..sorted.len() as u32).filter(begins).collect(),
        order: sorted.iter().map(|(_, row)| *row).collect(),
    }
}

/// The general way, for types whose values have no ranks.
fn by_rows(columns: &[&ArrayRef]) -> Result<ByKey> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let columns: Vec<ArrayRef> = columns.iter().map(|column| (*column).clone()).collect();
    let keys = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&columns)).map_err(fault)?;
    let key = |row: u32| keys.row(row as usize);
    let mut order: Vec<u32> = (0..keys.num_rows() as u32).collect();
    order.sort_by(|one, other| key(*one).cmp(&key(*other)));
    let begins = |place: &u32| *place == 0 || key(order[*place as usize - 1]) != key(order[*place as usize]);
    Ok(ByKey { begins: (0..order.len() as u32).filter(begins).collect(), order })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ways_give_the_same_order(rows in prop::collection::vec(("[ab]{0,2}", 0..4i64), 0..40)) {
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0.as_str())));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
            let general = by_rows(&[&texts, &numbers]).expect("sorted");
            let fields = vec![Field::new("text", DataType::Utf8, false), Field::new("number", DataType::Int64, false)];
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![texts, numbers]).expect("rows");
            let packed = ByKey::new(&batch, &[0, 1]).expect("sorted");
            prop_assert_eq!(packed.keys().collect::<Vec<_>>(), general.keys().collect::<Vec<_>>());
            let mut expected: Vec<u32> = (0..rows.len() as u32).collect();
            expected.sort_by_key(|row| &rows[*row as usize]);
            prop_assert_eq!(packed.order, expected);
        }
    }
}
