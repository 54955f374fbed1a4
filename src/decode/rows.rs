//! Growing columns that can be cut back to an earlier length, which Arrow's own builders cannot.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, Float64Array, Int8Array, Int16Array,
    Int64Array, NullBufferBuilder, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use indexmap::IndexSet;

use super::cell::Value;
use crate::time::Instant;

/// Rows read so far, as columns. Made by [`super::Decoder::rows`], filled by [`super::Decoder::page`].
///
/// Of whose a row is and of which hour, which are ten columns, a row has two small numbers until the end: the accounts and
/// hours of a unit are few.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    platform: String,
    owners: Table<Owner>,
    hours: Table<HourColumns>,
    /// The length of the longest text of any owner, or the platform's.
    longest: usize,
    /// The schema's columns from `campaign_id` on, without the hours' and without `seen_at`, which is the last.
    columns: Vec<Growing>,
    length: usize,
}

/// How much room rows took up, so that as many can be read next time without growing: columns that grow by doubling take
/// up to twice what they need, and leave the pieces that they grew out of.
#[derive(Debug, Clone, Default)]
pub struct Room {
    rows: usize,
    /// The bytes of each column that holds texts, 0 of others.
    texts: Vec<usize>,
}

/// Whose a row is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) account: String,
    pub(super) name: String,
    pub(super) zone: &'static str,
    pub(super) currency: String,
}

/// An hour as the lake keeps it: microseconds since 1970 in UTC and on the account's clock, minutes east of UTC, and how
/// many hours are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HourColumns {
    pub(super) hour: i64,
    pub(super) local: i64,
    pub(super) offset: i16,
    pub(super) covered: i8,
}

/// Different values, numbered, and the number of each row's.
#[derive(Debug)]
struct Table<T> {
    values: IndexSet<T>,
    of_row: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { values: IndexSet::new(), of_row: Vec::new() }
    }
}

impl<T: Eq + Hash> Table<T> {
    fn number(&mut self, value: T) -> u32 {
        // There are fewer than rows, and an Arrow text column ends at two thousand millions of them.
        self.values.insert_full(value).0 as u32
    }

    /// Each row's value.
    fn rows(&self) -> impl ExactSizeIterator<Item = &T> {
        self.of_row.iter().map(|number| &self.values[*number as usize])
    }

    fn column<'t, A: FromIterator<V> + Array + 'static, V>(&'t self, of: impl Fn(&'t T) -> V) -> ArrayRef {
        Arc::new(self.rows().map(of).collect::<A>())
    }
}

/// So many of the standard columns are of the owner or the hour, before and after the campaign's.
const OWNERS: usize = 5;
const CAMPAIGNS: usize = 2;
const HOURS: usize = 4;

impl Rows {
    pub(super) fn new(schema: SchemaRef, platform: &str) -> Rows {
        let own = |index: &usize| (OWNERS..OWNERS + CAMPAIGNS).contains(index) || *index >= OWNERS + CAMPAIGNS + HOURS;
        let filled = schema.fields().len().saturating_sub(1);
        let own = (0..filled).filter(own);
        let columns = own.map(|index| Growing::new(schema.field(index).data_type())).collect();
        let (owners, hours) = (Table::default(), Table::default());
        Rows { schema, longest: platform.len(), platform: platform.to_owned(), owners, hours, columns, length: 0 }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// About how many bytes the rows take in memory once they are finished.
    pub fn bytes(&self) -> usize {
        let owner = |owner: &Owner| owner.account.len() + owner.name.len() + owner.zone.len() + owner.currency.len();
        let texts: usize = self.owners.values.iter().map(owner).max().unwrap_or(0) + self.platform.len();
        let of_row = texts + OWNERS * size_of::<i32>() + 3 * size_of::<i64>() + size_of::<i16>() + size_of::<i8>();
        self.columns.iter().map(Growing::bytes).sum::<usize>() + self.length * of_row
    }

    /// How much room these rows take up.
    pub fn room(&self) -> Room {
        Room { rows: self.length, texts: self.columns.iter().map(Growing::text_bytes).collect() }
    }

    /// Makes room for as many rows as took up `room`, and a few more.
    pub fn reserve(&mut self, room: &Room) {
        let more = |count: usize| count + count / 16;
        self.owners.of_row.reserve_exact(more(room.rows));
        self.hours.of_row.reserve_exact(more(room.rows));
        for (column, texts) in self.columns.iter_mut().zip(&room.texts) {
            column.reserve(more(room.rows), more(*texts));
        }
    }

    /// The rows as one batch of the lake's schema, in the order of their arrival: neither sorted nor freed of
    /// duplicates. `seen_at` is to the microsecond.
    pub fn finish(self, seen_at: Instant) -> RecordBatch {
        let Rows { schema, platform, owners, hours, columns, length, .. } = self;
        let mut own = columns.into_iter().map(Growing::finish);
        let micros = |of: fn(&HourColumns) -> i64| -> TimestampMicrosecondArray {
            TimestampMicrosecondArray::from_iter_values(hours.rows().map(of))
        };
        let mut arrays: Vec<ArrayRef> = vec![
            repeated(std::iter::repeat_n(platform.as_str(), length)),
            repeated(owners.rows().map(|owner| owner.account.as_str())),
            repeated_or_null(owners.rows().map(|owner| owner.name.as_str())),
            repeated(owners.rows().map(|owner| owner.zone)),
            repeated_or_null(owners.rows().map(|owner| owner.currency.as_str())),
        ];
        arrays.extend(own.by_ref().take(CAMPAIGNS));
        arrays.push(Arc::new(micros(|hour| hour.hour).with_timezone("UTC")));
        arrays.push(Arc::new(micros(|hour| hour.local)));
        arrays.push(hours.column::<Int16Array, _>(|hour| Some(hour.offset)));
        arrays.push(hours.column::<Int8Array, _>(|hour| Some(hour.covered)));
        arrays.extend(own);
        let seen = ScalarBuffer::from(vec![seen_at.timestamp_micros(); length]);
        arrays.push(Arc::new(TimestampMicrosecondArray::new(seen, None).with_timezone("UTC")));
        // The columns were made from this schema's types, a row gives each of them one value, and a row with null in a
        // column that may not be null is refused before.
        RecordBatch::try_new(schema, arrays).expect("columns made from the schema fit it")
    }

    /// As [`Rows::finish`]; from then on there are none, and others may be read.
    pub fn take(&mut self, seen_at: Instant) -> RecordBatch {
        let mut fresh = Rows::new(self.schema.clone(), &self.platform);
        fresh.reserve(&self.room());
        std::mem::replace(self, fresh).finish(seen_at)
    }

    /// The number of an owner, for [`Rows::begin_row`].
    pub(super) fn owner(&mut self, owner: Owner) -> u32 {
        let texts = [owner.account.len(), owner.name.len(), owner.zone.len(), owner.currency.len()];
        self.longest = texts.into_iter().fold(self.longest, usize::max);
        self.owners.number(owner)
    }

    /// The number of an hour, for [`Rows::begin_row`].
    pub(super) fn hour(&mut self, hour: HourColumns) -> u32 {
        self.hours.number(hour)
    }

    /// Begins a row: then each of the columns from `campaign_id` on gets a value, then [`Rows::end_row`]. A row that is
    /// given up halfway is taken back by [`Rows::truncate`]. `None` where a text column of owners would be full (2 GiB).
    pub(super) fn begin_row(&mut self, owner: u32, hour: u32) -> Option<()> {
        i32::try_from((self.length + 1).checked_mul(self.longest)?).ok()?;
        self.owners.of_row.push(owner);
        self.hours.of_row.push(hour);
        Some(())
    }

    /// Adds a value to the row at hand: of `campaign_id`, `campaign_name`, then of the declared columns in their order.
    /// `None` where the column's text is full (2 GiB).
    pub(super) fn push(&mut self, column: usize, value: Value<'_>) -> Option<()> {
        self.columns[column].push(value)
    }

    /// Counts the row at hand.
    pub(super) fn end_row(&mut self) {
        self.length += 1;
    }

    /// Forgets all rows after the first `length`.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.owners.of_row.truncate(length);
        self.hours.of_row.truncate(length);
        for column in &mut self.columns {
            column.truncate(length);
        }
        self.length = length;
    }
}

/// Texts of which few are different.
fn repeated<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// The same, where an empty text stands for null.
fn repeated_or_null<'t>(texts: impl ExactSizeIterator<Item = &'t str>) -> ArrayRef {
    Arc::new(texts.map(|text| (!text.is_empty()).then_some(text)).collect::<StringArray>())
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
    /// Of at most 18 digits, which all fit 64 bits: half the memory while rows still come.
    ShortDecimal(Vec<i64>),
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
            DataType::Decimal128(0..=18, _) => Values::ShortDecimal(Vec::new()),
            DataType::Decimal128(..) => Values::Decimal(Vec::new()),
            DataType::Float64 => Values::Float(Vec::new()),
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            _ => Values::Text { bytes: Vec::new(), offsets: vec![0] },
        };
        Growing { values, data_type: data_type.clone(), valid: NullBufferBuilder::new(0) }
    }

    fn text_bytes(&self) -> usize {
        match &self.values {
            Values::Text { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    fn reserve(&mut self, rows: usize, text_bytes: usize) {
        match &mut self.values {
            Values::Text { bytes, offsets } => {
                bytes.reserve_exact(text_bytes);
                offsets.reserve_exact(rows);
            }
            Values::Int64(values) | Values::ShortDecimal(values) => values.reserve_exact(rows),
            Values::Int16(values) => values.reserve_exact(rows),
            Values::Int8(values) => values.reserve_exact(rows),
            Values::Decimal(values) => values.reserve_exact(rows),
            Values::Float(values) => values.reserve_exact(rows),
            Values::Bool(values) => values.reserve(rows),
        }
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
            (Values::ShortDecimal(values), Value::Decimal(value)) => grow(values, i64::try_from(value).ok()),
            (Values::ShortDecimal(values), _) => grow(values, None),
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
            Values::ShortDecimal(values) => values.truncate(length),
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
            // As long as it will be once it is finished.
            Values::ShortDecimal(values) => values.len() * size_of::<i128>(),
            Values::Decimal(values) => size_of_val(values.as_slice()),
            Values::Float(values) => size_of_val(values.as_slice()),
            Values::Bool(values) => values.len().div_ceil(8),
        };
        values + self.valid.len().div_ceil(8)
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls: Option<NullBuffer> = self.valid.finish();
        match (self.values, &self.data_type) {
            (Values::Text { mut bytes, offsets }, _) => {
                // Columns grew by doubling; from here on they only shrink.
                bytes.shrink_to_fit();
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(StringArray::new(offsets, Buffer::from_vec(bytes), nulls))
            }
            (Values::Int64(values), DataType::Timestamp(_, zone)) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone_opt(zone.clone()))
            }
            (Values::Int64(values), _) => Arc::new(Int64Array::new(values.into(), nulls)),
            (Values::Int16(values), _) => Arc::new(Int16Array::new(values.into(), nulls)),
            (Values::Int8(values), _) => Arc::new(Int8Array::new(values.into(), nulls)),
            (Values::ShortDecimal(values), data_type) => {
                let values: Vec<i128> = values.into_iter().map(i128::from).collect();
                let array = Decimal128Array::new(values.into(), nulls);
                Arc::new(array.with_data_type(data_type.clone()))
            }
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
