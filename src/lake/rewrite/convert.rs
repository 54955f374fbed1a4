//! Rows as they are, made into rows as they are wanted; what does not fit is named. Pure.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, new_null_array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, concat_batches, is_null};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat};

use super::super::types;
use super::changes::{Plan, Way};
use crate::decode::column_of_texts;
use crate::error::{Error, Result};
use crate::merge::Sorted;

/// Rows of one hour out of one file.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// The file, as people know it.
    pub(super) file: String,
    /// The rows as they are.
    pub(super) rows: RecordBatch,
}

/// All rows of one hour as they are wanted: sorted by the new key, one row per key.
///
/// # Errors
/// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file, the row, the column and the value that does
/// not fit, or both rows that would have one key.
pub(super) fn convert_hour(plan: &Plan, pieces: &[Piece]) -> Result<RecordBatch> {
    let mut converted = Vec::with_capacity(pieces.len());
    for piece in pieces {
        converted.push(convert(plan, piece)?);
    }
    let rows = concat_batches(plan.shape.schema(), &converted).map_err(fault)?;
    if let Some((one, other)) = plan.shape.first_double(&rows)? {
        return Err(double(plan, pieces, one, other));
    }
    // No two rows have one key, so it does not matter which response each came in.
    match plan.shape.sort_unique(rows, &[])? {
        Sorted::Unique { rows, .. } => Ok(rows),
        Sorted::Undeclared(undeclared) => Err(Error::internal(undeclared.to_string())),
    }
}

/// The rows as they are wanted, in the order in which they are.
///
/// # Errors
/// As of [`convert_hour`], but for rows of one key.
pub(super) fn convert(plan: &Plan, piece: &Piece) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len());
    for (place, (field, column)) in plan.shape.schema().fields().iter().zip(&plan.columns).enumerate() {
        let found = match column.way {
            Way::Nothing => new_null_array(field.data_type(), piece.rows.num_rows()),
            Way::Fits(old) => cast(piece.rows.column(old), field.data_type()).map_err(fault)?,
            Way::IfExact(old) => exact(plan, piece, old, field.data_type())?,
            Way::Read(old, kind) => {
                let texts = piece.rows.column(old);
                column_of_texts(kind, texts.as_string::<i32>())
                    .map_err(|wrong| misfit(plan, piece, old, wrong.row, &wrong.expected))?
            }
        };
        let found = match &column.fill {
            None => found,
            Some(fill) => filled(&found, fill).map_err(fault)?,
        };
        if !field.is_nullable()
            && let Some(row) = found.nulls().and_then(|nulls| nulls.iter().position(|valid| !valid))
        {
            return Err(lacking(plan, piece, place, row));
        }
        columns.push(found);
    }
    RecordBatch::try_new(plan.shape.schema().clone(), columns).map_err(fault)
}

/// `values` in another type; what does not fit is null.
fn cast(values: &ArrayRef, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(values, data_type, &CastOptions::default())
}

/// A value fits where casting it back gives it again: a cast alone would round and cut.
fn exact(plan: &Plan, piece: &Piece, old: usize, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    let values = piece.rows.column(old);
    let new = cast(values, data_type).map_err(fault)?;
    let back = cast(&new, values.data_type()).map_err(fault)?;
    let same = not_distinct(values, &back).map_err(fault)?;
    match (0..same.len()).find(|row| !same.value(*row)) {
        None => Ok(new),
        Some(row) => Err(misfit(plan, piece, old, row, &types::word(data_type))),
    }
}

fn filled(values: &ArrayRef, fill: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let lacking: BooleanArray = is_null(values)?;
    zip(&lacking, &Scalar::new(fill.clone()), values)
}

fn misfit(plan: &Plan, piece: &Piece, old: usize, row: usize, expected: &str) -> Error {
    let (file, schema) = (&piece.file, &plan.old_schema);
    let (column, value) = (schema.field(old).name(), shown(piece.rows.column(old), row));
    let now = types::word(schema.field(old).data_type());
    let key = key_of(plan, piece, row);
    Error::storage(format!(
        "`{file}`: the column `{column}` holds {value} at {key}, which does not fit: expected {expected}"
    ))
    .hint(format!("nothing was changed: leave the column {now}, or give it a type that holds this value"))
}

fn lacking(plan: &Plan, piece: &Piece, place: usize, row: usize) -> Error {
    let (file, column) = (&piece.file, plan.shape.schema().field(place).name());
    let (key, rule) = (key_of(plan, piece, row), if plan.record.key.contains(column) { "a key" } else { "it" });
    Error::storage(format!("`{file}`: the column `{column}` is null at {key}, and {rule} must not be null"))
        .hint(format!("nothing was changed: `--fill {column}=VALUE` gives rows without a value one"))
}

fn double(plan: &Plan, pieces: &[Piece], one: usize, other: usize) -> Error {
    let (Some((one, at)), Some((other, other_at))) = (find(pieces, one), find(pieces, other)) else {
        return Error::internal("rows of one key are nowhere");
    };
    let key = plan.record.key.iter().filter(|name| plan.old_schema.index_of(name).is_ok());
    let key = named(one, at, key.map(String::as_str));
    let differs =
        |name: &&str| named(one, at, std::iter::once(*name)) != named(other, other_at, std::iter::once(*name));
    let names: Vec<&str> = plan.old_schema.fields().iter().map(|field| field.name().as_str()).filter(differs).collect();
    let (first, second) = (named(one, at, names.iter().copied()), named(other, other_at, names.iter().copied()));
    let file = &one.file;
    Error::storage(format!("`{file}`: two rows would have the key {key}: one with {first}, one with {second}"))
        .hint("nothing was changed: leave in the key what tells them apart")
}

/// The piece that a row of all pieces together is in, and its place there.
fn find(pieces: &[Piece], row: usize) -> Option<(&Piece, usize)> {
    let mut place = row;
    for piece in pieces {
        if place < piece.rows.num_rows() {
            return Some((piece, place));
        }
        place -= piece.rows.num_rows();
    }
    None
}

/// The key of a row as it is now.
fn key_of(plan: &Plan, piece: &Piece, row: usize) -> String {
    named(piece, row, plan.old_key.iter().map(String::as_str))
}

fn named<'a>(piece: &Piece, row: usize, names: impl Iterator<Item = &'a str>) -> String {
    let value = |name: &str| {
        let column = piece.rows.column_by_name(name);
        format!("{name} = {}", column.map_or_else(|| "nothing".to_owned(), |column| shown(column, row)))
    };
    names.map(value).collect::<Vec<String>>().join(", ")
}

/// A value as text; text in backticks, so that what is empty can be seen.
pub(super) fn shown(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    if let Some(instants) = column.as_primitive_opt::<TimestampMicrosecondType>()
        && let Some(instant) = DateTime::from_timestamp_micros(instants.value(row))
    {
        return instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    }
    let text = array_value_to_string(column, row).unwrap_or_else(|error| error.to_string());
    if column.data_type().is_string() { format!("`{text}`") } else { text }
}

fn fault(error: ArrowError) -> Error {
    Error::internal("cannot convert rows").because(error)
}
