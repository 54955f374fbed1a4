//! Growing columns that can be cut back to an earlier length, which Arrow's own builders cannot.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, Float64Array, Int8Array, Int16Array, Int64Array,
    NullBufferBuilder, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cell::Value;
use crate::time::Instant;

/// Rows read so far, as columns. Made by [`super::Decoder::rows`], filled by [`super::Decoder::page`].
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    /// All of the schema's columns but `seen_at`, which is the last.
    columns: Vec<Growing>,
    length: usize,
}

impl Rows {
    pub(super) fn new(schema: SchemaRef) -> Rows {
        let filled = schema.fields().len().saturating_sub(1);
        let columns = schema.fields().iter().take(filled).map(|field| Growing::new(field.data_type())).collect();
        Rows { schema, columns, length: 0 }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// About how many bytes the rows take in memory.
    pub fn bytes(&self) -> usize {
        // `seen_at` is written at the end.
        self.columns.iter().map(Growing::bytes).sum::<usize>() + self.length * size_of::<i64>()
    }

    /// The rows as one batch of the lake's schema, in the order of their arrival: neither sorted nor freed of
    /// duplicates. `seen_at` is to the microsecond.
    pub fn finish(self, seen_at: Instant) -> RecordBatch {
        let mut arrays: Vec<ArrayRef> = self.columns.into_iter().map(Growing::finish).collect();
        let seen = ScalarBuffer::from(vec![seen_at.timestamp_micros(); self.length]);
        arrays.push(Arc::new(TimestampMicrosecondArray::new(seen, None).with_timezone("UTC")));
        // The columns were made from this schema's types, a row gives each of them one value, and a row with null in a
        // column that may not be null is refused before.
        RecordBatch::try_new(self.schema, arrays).expect("columns made from the schema fit it")
    }

    /// Adds a value to the row at hand. `None` where the column's text is full (2 GiB).
    ///
    /// A row is one value for each column but `seen_at`, then [`Rows::end_row`]. A row that is given up halfway is
    /// taken back by [`Rows::truncate`].
    pub(super) fn push(&mut self, column: usize, value: Value<'_>) -> Option<()> {
        self.columns[column].push(value)
    }

    /// Counts the row at hand.
    pub(super) fn end_row(&mut self) {
        self.length += 1;
    }

    /// Forgets all rows after the first `length`.
    pub(crate) fn truncate(&mut self, length: usize) {
        for column in &mut self.columns {
            column.truncate(length);
        }
        self.length = length;
    }
}

/// One column.
#[derive(Debug)]
pub(super) struct Growing {
    values: Values,
    data_type: DataType,
    valid: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    Text {
        bytes: Vec<u8>,
        offsets: Vec<i32>,
    },
    /// Also instants and wall-clock readings.
    Int64(Vec<i64>),
    Int16(Vec<i16>),
    Int8(Vec<i8>),
    Decimal(Vec<i128>),
    Float(Vec<f64>),
    Bool(BooleanBufferBuilder),
}

impl Growing {
    pub(super) fn new(data_type: &DataType) -> Growing {
        let values = match data_type {
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int64 | DataType::Timestamp(..) => Values::Int64(Vec::new()),
            DataType::Decimal128(..) => Values::Decimal(Vec::new()),
            DataType::Float64 => Values::Float(Vec::new()),
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            _ => Values::Text { bytes: Vec::new(), offsets: vec![0] },
        };
        Growing { values, data_type: data_type.clone(), valid: NullBufferBuilder::new(0) }
    }

    /// Adds a value. `None` where a text column is full (2 GiB).
    pub(super) fn push(&mut self, value: Value<'_>) -> Option<()> {
        let valid = match (&mut self.values, value) {
            (Values::Text { bytes, offsets }, value) => {
                let text = match &value {
                    Value::Text(text) => Some(text.as_ref()),
                    _ => None,
                };
                bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
                offsets.push(i32::try_from(bytes.len()).ok()?);
                text.is_some()
            }
            (Values::Int64(values), value) => grow(values, int(&value)),
            (Values::Int16(values), value) => grow(values, int(&value).and_then(|value| i16::try_from(value).ok())),
            (Values::Int8(values), value) => grow(values, int(&value).and_then(|value| i8::try_from(value).ok())),
            (Values::Decimal(values), Value::Decimal(value)) => grow(values, Some(value)),
            (Values::Decimal(values), _) => grow(values, None),
            (Values::Float(values), Value::Float(value)) => grow(values, Some(value)),
            (Values::Float(values), _) => grow(values, None),
            (Values::Bool(values), value) => {
                values.append(value == Value::Bool(true));
                matches!(value, Value::Bool(_))
            }
        };
        self.valid.append(valid);
        Some(())
    }

    fn truncate(&mut self, length: usize) {
        match &mut self.values {
            Values::Text { bytes, offsets } => {
                offsets.truncate(length + 1);
                let end = offsets.last().copied().unwrap_or_default();
                bytes.truncate(usize::try_from(end).unwrap_or_default());
            }
            Values::Int64(values) => values.truncate(length),
            Values::Int16(values) => values.truncate(length),
            Values::Int8(values) => values.truncate(length),
            Values::Decimal(values) => values.truncate(length),
            Values::Float(values) => values.truncate(length),
            Values::Bool(values) => values.truncate(length),
        }
        self.valid.truncate(length);
    }

    fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Text { bytes, offsets } => bytes.len() + size_of_val(offsets.as_slice()),
            Values::Int64(values) => size_of_val(values.as_slice()),
            Values::Int16(values) => size_of_val(values.as_slice()),
            Values::Int8(values) => size_of_val(values.as_slice()),
            Values::Decimal(values) => size_of_val(values.as_slice()),
            Values::Float(values) => size_of_val(values.as_slice()),
            Values::Bool(values) => values.len().div_ceil(8),
        };
        values + self.valid.len().div_ceil(8)
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls: Option<NullBuffer> = self.valid.finish();
        match (self.values, &self.data_type) {
            (Values::Text { bytes, offsets }, _) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), nulls))
            }
            (Values::Int64(values), DataType::Timestamp(_, zone)) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone_opt(zone.clone()))
            }
            (Values::Int64(values), _) => Arc::new(Int64Array::new(values.into(), nulls)),
            (Values::Int16(values), _) => Arc::new(Int16Array::new(values.into(), nulls)),
            (Values::Int8(values), _) => Arc::new(Int8Array::new(values.into(), nulls)),
            (Values::Decimal(values), data_type) => {
                let array = Decimal128Array::new(values.into(), nulls);
                Arc::new(array.with_data_type(data_type.clone()))
            }
            (Values::Float(values), _) => Arc::new(Float64Array::new(values.into(), nulls)),
            (Values::Bool(mut values), _) => Arc::new(BooleanArray::new(values.finish(), nulls)),
        }
    }
}

fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

/// Adds the value, or a placeholder for null; whether there was one.
fn grow<T: Default>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let valid = value.is_some();
    values.push(value.unwrap_or_default());
    valid
}
