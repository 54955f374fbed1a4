//! The columns of a dataset by their part in a merge: key, compared values, `seen_at`.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    make_comparator, new_null_array,
};
use arrow::compute::{CastOptions, SortOptions, cast_with_options, take};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat};

use super::by_key::ByKey;
use super::proof::{Sorted, Undeclared};
use crate::error::{Error, Result};
use crate::pipeline::schema::{HOUR, KEY, SEEN_AT, instant_type};
use crate::time::{Instant, short};

/// A dataset's columns by their part in a merge.
#[derive(Debug, Clone)]
pub struct Shape {
    schema: SchemaRef,
    key: Vec<usize>,
    compared: Vec<usize>,
    account: usize,
    hour: usize,
    seen_at: Option<usize>,
}

impl Shape {
    /// Checks that the key begins with `hour` and `account_id` and that its columns are there.
    ///
    /// # Errors
    /// [`ErrorKind::BadInput`](crate::error::ErrorKind::BadInput) names the column that does not fit.
    pub fn new(schema: SchemaRef, key: &[String]) -> Result<Shape> {
        let find = |name: &str| {
            schema.index_of(name).map_err(|_| Error::bad_input(format!("the key column `{name}` is not in the schema")))
        };
        if key.len() < 2 || key[0] != HOUR || key[1] != KEY[1] {
            let found = key.join(", ");
            return Err(Error::bad_input(format!("a key begins with `{HOUR}, {}`, found `{found}`", KEY[1])));
        }
        let indices = key.iter().map(|name| find(name)).collect::<Result<Vec<usize>>>()?;
        let expected = [(indices[0], instant_type()), (indices[1], DataType::Utf8)];
        for (index, data_type) in expected {
            let field = schema.field(index);
            if *field.data_type() != data_type {
                let (name, found) = (field.name(), field.data_type());
                return Err(Error::bad_input(format!("the key column `{name}` is {found}, not {data_type}")));
            }
        }
        let seen_at = schema.index_of(SEEN_AT).ok().filter(|index| *schema.field(*index).data_type() == instant_type());
        let compared =
            (0..schema.fields().len()).filter(|index| !indices.contains(index) && Some(*index) != seen_at).collect();
        Ok(Shape { hour: indices[0], account: indices[1], key: indices, compared, seen_at, schema })
    }

    /// The dataset's schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The places of the key's columns in the schema, in the order in which rows are sorted.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// The place of the `hour` column.
    pub fn hour(&self) -> usize {
        self.hour
    }

    /// The places of the columns whose values are compared: all but the key and `seen_at`.
    pub fn compared(&self) -> &[usize] {
        &self.compared
    }

    /// The place of the `account_id` column.
    pub fn account(&self) -> usize {
        self.account
    }

    /// `rows` sorted by key with one row per key, or two rows that prove that the key lacks a dimension; see [`Sorted`].
    ///
    /// `page_starts` says where each response's rows begin in `rows`, ascending; rows before the first of them are one
    /// response too. It costs nothing where no key comes twice.
    pub fn sort_unique(&self, rows: RecordBatch, page_starts: &[usize]) -> Result<Sorted> {
        let sorted = ByKey::new(&rows, &self.key)?;
        let mut kept: Vec<u32> = Vec::with_capacity(sorted.rows());
        let mut equal: Option<RowsEqual> = None;
        for same in sorted.keys() {
            // The rows of one key are in the order in which they came, page by page.
            for pair in same.windows(2).filter(|pair| page_of(page_starts, pair[0]) == page_of(page_starts, pair[1])) {
                if equal.is_none() {
                    equal = Some(self.rows_equal(&rows, &rows)?);
                }
                let (one, other) = (pair[0] as usize, pair[1] as usize);
                if equal.as_ref().is_some_and(|equal| !equal.test(one, other)) {
                    return Ok(Sorted::Undeclared(self.undeclared(&rows, one, other)?));
                }
            }
            kept.extend(same.last());
        }
        let doubles = (rows.num_rows() - kept.len()) as u64;
        if doubles == 0 && kept.is_sorted() {
            return Ok(Sorted::Unique { rows, doubles: 0 });
        }
        // Column by column, each of which goes once it was taken: the rows are never there twice.
        let kept = UInt32Array::from(kept);
        let (schema, columns, _) = rows.into_parts();
        let columns: Result<Vec<ArrayRef>, ArrowError> =
            columns.into_iter().map(|column| take(&column, &kept, None)).collect();
        let rows = columns.and_then(|columns| RecordBatch::try_new(schema, columns)).map_err(fault)?;
        Ok(Sorted::Unique { rows, doubles })
    }

    fn undeclared(&self, rows: &RecordBatch, one: usize, other: usize) -> Result<Undeclared> {
        let mut differing = Vec::new();
        for column in &self.compared {
            let values = rows.column(*column);
            let compare = make_comparator(values, values, SortOptions::default()).map_err(fault)?;
            if compare(one, other).is_ne() {
                let name = self.schema.field(*column).name().clone();
                differing.push((name, value_text(values, one)?, value_text(values, other)?));
            }
        }
        Ok(Undeclared { key: self.key_text(rows, one)?, differing })
    }

    /// The key of a row for people: `account 100001, campaign 23, hour 2026-11-20T09:00Z`.
    pub fn key_text(&self, rows: &RecordBatch, row: usize) -> Result<String> {
        let mut said = Vec::with_capacity(self.key.len());
        for column in &self.key[1..] {
            let name = self.schema.field(*column).name();
            let name = name.strip_suffix("_id").filter(|_| KEY.contains(&name.as_str())).unwrap_or(name);
            said.push(format!("{name} {}", value_text(rows.column(*column), row)?));
        }
        let hour = DateTime::from_timestamp_micros(instants(rows.column(self.hour))?.value(row)).unwrap_or_default();
        said.push(format!("hour {}", short(hour)));
        Ok(said.join(", "))
    }

    /// The places of two rows with the same key, where there are such; `rows` may stand in any order.
    pub fn first_double(&self, rows: &RecordBatch) -> Result<Option<(usize, usize)>> {
        let sorted = ByKey::new(rows, &self.key)?;
        let double = sorted.keys().find(|same| same.len() > 1);
        Ok(double.map(|same| (same[0] as usize, same[1] as usize)))
    }

    /// The hours of sorted rows and where each one's rows are.
    pub fn hours(&self, rows: &RecordBatch) -> Result<Vec<(Instant, Range<usize>)>> {
        let hours = instants(rows.column(self.hour))?;
        let mut found: Vec<(Instant, Range<usize>)> = Vec::new();
        let mut begin = 0;
        for run in hours.values().chunk_by(|one, other| one == other) {
            let hour = DateTime::from_timestamp_micros(run[0])
                .ok_or_else(|| Error::internal(format!("an hour is out of range: {} microseconds", run[0])))?;
            found.push((hour, begin..begin + run.len()));
            begin += run.len();
        }
        Ok(found)
    }

    /// The `account_id` column.
    pub fn accounts<'a>(&self, rows: &'a RecordBatch) -> Result<&'a StringArray> {
        let column = rows.column(self.account);
        column.as_string_opt().ok_or_else(|| unexpected(column, &DataType::Utf8))
    }

    pub(super) fn seen_at<'a>(&self, rows: &'a RecordBatch) -> Result<Option<&'a TimestampMicrosecondArray>> {
        self.seen_at.map(|index| instants(rows.column(index))).transpose()
    }

    /// The places of the key's columns within one hour: all but `hour`.
    pub(super) fn key_in_hour(&self) -> &[usize] {
        &self.key[1..]
    }

    pub(super) fn rows_equal(&self, old: &RecordBatch, new: &RecordBatch) -> Result<RowsEqual> {
        let mut comparators = Vec::with_capacity(self.compared.len());
        for index in &self.compared {
            let (old, new) = (old.column(*index), new.column(*index));
            comparators.push(make_comparator(old, new, SortOptions::default()).map_err(fault)?);
        }
        Ok(RowsEqual { comparators })
    }
}

/// The page that `row` came with, numbered from 0.
fn page_of(page_starts: &[usize], row: u32) -> usize {
    page_starts.partition_point(|start| *start <= row as usize)
}

/// Compares rows of two batches by all columns but the key and `seen_at`.
pub(super) struct RowsEqual {
    comparators: Vec<DynComparator>,
}

impl RowsEqual {
    pub(super) fn test(&self, old: usize, new: usize) -> bool {
        self.comparators.iter().all(|compare| compare(old, new).is_eq())
    }
}

/// `rows` in `schema`: columns by name, absent ones as nulls, narrower types widened without loss.
///
/// # Errors
/// An internal error names the column whose values do not fit the schema's type.
pub fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match rows.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), rows.num_rows()),
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            Some(column) => {
                let strict = CastOptions { safe: false, ..CastOptions::default() };
                cast_with_options(column, field.data_type(), &strict).map_err(|error| {
                    let (name, from, to) = (field.name(), column.data_type(), field.data_type());
                    Error::internal(format!("cannot widen the column `{name}` from {from} to {to}")).because(error)
                })?
            }
        };
        columns.push(column);
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(fault)
}

/// A value for people; `nothing` for null.
///
/// # Errors
/// An internal error where the column's type is none of a dataset's.
pub fn value_text(values: &ArrayRef, row: usize) -> Result<String> {
    if values.is_null(row) {
        return Ok("nothing".to_owned());
    }
    // The library's own text of an instant depends on which of its features are compiled in.
    if let Some(instants) = values.as_primitive_opt::<TimestampMicrosecondType>() {
        let moment = DateTime::from_timestamp_micros(instants.value(row)).unwrap_or_default();
        return Ok(moment.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }
    array_value_to_string(values, row).map_err(fault)
}

/// Arrow refused what the shape had checked before.
pub(super) fn fault(error: ArrowError) -> Error {
    Error::internal("cannot merge rows").because(error)
}

fn instants(column: &ArrayRef) -> Result<&TimestampMicrosecondArray> {
    column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| unexpected(column, &instant_type()))
}

fn unexpected(column: &ArrayRef, expected: &DataType) -> Error {
    Error::internal(format!("expected a column of {expected}, found {}", column.data_type()))
}
