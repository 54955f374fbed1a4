//! Texts as numbers of different texts, for files that are written once and read once.
//!
//! Of a unit's rows, most texts are those of a few accounts and campaigns. Numbers in their place
//! are less to write, to compress and to read back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::error::ArrowError;
use hashbrown::HashMap;

/// `rows` with each column of texts as a dictionary.
pub(super) fn interned(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    interned_but(rows, &[])
}

/// The same, but for the columns at `places`.
pub(super) fn interned_but(rows: &RecordBatch, places: &[usize]) -> Result<RecordBatch, ArrowError> {
    each_column(rows, |place, column| match column.data_type() {
        DataType::Utf8 if !places.contains(&place) => Ok(Some(Arc::new(dictionary(column.as_string())?))),
        _ => Ok(None),
    })
}

/// `rows` with each dictionary as a column of texts.
pub(super) fn plain(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    each_column(rows, |_, column| match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values).map(Some),
        _ => Ok(None),
    })
}

fn each_column(
    rows: &RecordBatch,
    other: impl Fn(usize, &ArrayRef) -> Result<Option<ArrayRef>, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (place, (field, column)) in rows.schema().fields().iter().zip(rows.columns()).enumerate() {
        let column = other(place, column)?.unwrap_or_else(|| column.clone());
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn dictionary(texts: &StringArray) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    let mut numbers: HashMap<&str, i32> = HashMap::new();
    let mut different: Vec<&str> = Vec::new();
    let mut last: Option<(&str, i32)> = None;
    let mut number_of = |text| {
        // Rows of one account stand together.
        if let Some((known, number)) = last
            && known == text
        {
            return number;
        }
        // An Arrow text column has no more values than fit.
        let next = different.len() as i32;
        let number = *numbers.entry(text).or_insert(next);
        if number == next {
            different.push(text);
        }
        last = Some((text, number));
        number
    };
    let keys: Int32Array = texts.iter().map(|text| text.map(&mut number_of)).collect();
    DictionaryArray::try_new(keys, Arc::new(StringArray::from_iter_values(different)))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("id", Arc::new(StringArray::from(vec!["b", "a", "a", "b"])), false),
            ("name", Arc::new(StringArray::from(vec![None, Some("x"), Some(""), None])), true),
            ("clicks", Arc::new(Int64Array::from(vec![1, 2, 3, 4])), false),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns).expect("rows");
        let interned = interned(&rows).expect("interned");
        let ids = interned.column(0).as_dictionary::<Int32Type>();
        assert_eq!((ids.keys().values().to_vec(), ids.values().len()), (vec![0, 1, 1, 0], 2));
        assert_eq!(plain(&interned).expect("plain"), rows);
    }
}
