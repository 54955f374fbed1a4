//! Keys as single numbers: sorting compares integers instead of texts.
//!
//! Each column's values get ranks, small numbers in the order of the values. The ranks of a row, most significant column
//! first, are packed into 64 bits. Ranks are those of the rows at hand: packed keys of two batches say nothing of each
//! other.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, StringArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use hashbrown::HashMap;

/// One number for each row, in the order of `columns`, nulls first; `None` where the columns have other types than texts,
/// whole numbers and instants, or more different values than 64 bits can tell apart.
pub(super) fn packed_keys(columns: &[&ArrayRef]) -> Option<Vec<u64>> {
    let mut packed: Vec<u64> = Vec::new();
    let mut free = u64::BITS;
    for column in columns {
        let Ranks { ranks, most } = ranks_of(column)?;
        let bits = u32::BITS - most.leading_zeros();
        free = free.checked_sub(bits)?;
        if packed.is_empty() {
            packed = ranks.into_iter().map(u64::from).collect();
            continue;
        }
        for (packed, rank) in packed.iter_mut().zip(ranks) {
            *packed = (*packed << bits) | u64::from(rank);
        }
    }
    Some(packed)
}

/// A column's values as numbers in their order; null is 0.
struct Ranks {
    ranks: Vec<u32>,
    most: u32,
}

fn ranks_of(column: &ArrayRef) -> Option<Ranks> {
    match column.data_type() {
        DataType::Utf8 => ranks_of_texts(column.as_string()),
        DataType::Int64 => ranks_of_numbers::<Int64Type>(column.as_primitive()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            ranks_of_numbers::<TimestampMicrosecondType>(column.as_primitive())
        }
        _ => None,
    }
}

fn ranks_of_texts(texts: &StringArray) -> Option<Ranks> {
    let mut met = Met::default();
    let numbers = (0..texts.len()).map(|row| met.number(texts.is_valid(row).then(|| texts.value(row))));
    let numbers: Option<Vec<u32>> = numbers.collect();
    Some(met.ranks(numbers?))
}

fn ranks_of_numbers<T: ArrowPrimitiveType<Native = i64>>(numbers: &PrimitiveArray<T>) -> Option<Ranks> {
    let mut met = Met::default();
    let met_as = (0..numbers.len()).map(|row| met.number(numbers.is_valid(row).then(|| numbers.value(row))));
    let met_as: Option<Vec<u32>> = met_as.collect();
    Some(met.ranks(met_as?))
}

/// The different values of a column, numbered as they are met first: rows of one account or hour stand together, so most
/// values are those of the row before and need no look-up.
struct Met<V> {
    known: HashMap<V, u32>,
    values: Vec<V>,
    last: Option<(V, u32)>,
}

impl<V> Default for Met<V> {
    fn default() -> Met<V> {
        Met { known: HashMap::new(), values: Vec::new(), last: None }
    }
}

/// In place of a number for null, which has the rank 0.
const NULL: u32 = u32::MAX;

impl<V: Copy + Ord + std::hash::Hash> Met<V> {
    /// The number of a value; `None` where there are too many different ones.
    fn number(&mut self, value: Option<V>) -> Option<u32> {
        let Some(value) = value else { return Some(NULL) };
        if let Some((last, number)) = self.last
            && last == value
        {
            return Some(number);
        }
        let next = u32::try_from(self.values.len()).ok().filter(|next| *next < NULL - 1)?;
        let number = *self.known.entry(value).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        self.last = Some((value, number));
        Some(number)
    }

    fn ranks(&self, mut numbers: Vec<u32>) -> Ranks {
        let mut order: Vec<u32> = (0..self.values.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.values[*number as usize]);
        let mut ranks = vec![0; order.len()];
        for (rank, number) in (1..).zip(&order) {
            ranks[*number as usize] = rank;
        }
        for number in &mut numbers {
            *number = if *number == NULL { 0 } else { ranks[*number as usize] };
        }
        Ranks { ranks: numbers, most: order.len() as u32 }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, TimestampMicrosecondArray};
    use arrow::row::{RowConverter, SortField};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_keys_compare_as_the_rows_do(
            rows in prop::collection::vec((0..5i64, prop::option::of("[a-c]{0,3}"), prop::option::of(-3..3i64)), 1..60)
        ) {
            let hours = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0 * 3_600_000_000));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(hours.with_timezone("UTC")),
                Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1.as_deref()))),
                Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))),
            ];
            let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
            let expected = RowConverter::new(fields).expect("a converter").convert_columns(&columns).expect("rows");
            let packed = packed_keys(&columns.iter().collect::<Vec<_>>()).expect("they fit");
            for one in 0..rows.len() {
                for other in 0..rows.len() {
                    prop_assert_eq!(packed[one].cmp(&packed[other]), expected.row(one).cmp(&expected.row(other)));
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_packed() {
        let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..70_000));
        assert!(packed_keys(&[&many, &many, &many]).is_some(), "three times 17 bits");
        assert!(packed_keys(&[&many, &many, &many, &many]).is_none());
        let floats: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![1.0]));
        assert!(packed_keys(&[&floats]).is_none());
    }
}
