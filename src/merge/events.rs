//! What merging changed, as rows: one for each changed column of a changed key.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    UInt32Array, new_null_array,
};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::Shape;
use super::fold::Place;
use super::shape::fault;
use crate::error::Result;
use crate::pipeline::schema::{AGE_SECONDS, CHANGE, KEY, METRIC, NEW, OLD, OLD_SEEN_AT, SEEN_AT, instant_type};
use crate::time::Instant;

/// The column of [`event_schema`] that [`log_schema`] does not have.
const CLAIM: &str = "claim";
const HOUR_MICROS: i64 = 3_600_000_000;
const SECOND_MICROS: i64 = 1_000_000;

/// What a claim did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Other values than before.
    Changed,
    /// A row in an hour that had been read without it.
    Added,
    /// The row was not brought again, and is gone.
    Removed,
    /// The row was not brought again, and stays.
    Kept,
}

impl Change {
    /// The word for it in the log.
    pub fn word(self) -> &'static str {
        match self {
            Change::Changed => "changed",
            Change::Added => "added",
            Change::Removed => "removed",
            Change::Kept => "kept",
        }
    }
}

/// One step of a key's fold that is worth telling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) change: Change,
    pub(super) claim: usize,
    /// The row before.
    pub(super) old: Option<Place>,
    /// What the claim brought.
    pub(super) new: Option<Place>,
    /// Microseconds since 1970.
    pub(super) seen_at: i64,
    pub(super) old_seen_at: Option<i64>,
}

/// The columns of a dataset's restatements: its key, then what changed from what to what, and when.
///
/// Key columns beyond the first three may be null: rows from before they belonged to the key lack them.
pub fn log_schema(shape: &Shape) -> SchemaRef {
    let mut fields = Vec::with_capacity(shape.key().len() + 7);
    for index in shape.key() {
        let field = shape.schema().field(*index);
        fields.push(Field::new(field.name(), field.data_type().clone(), !KEY.contains(&field.name().as_str())));
    }
    fields.push(Field::new(METRIC, DataType::Utf8, false));
    fields.push(Field::new(OLD, DataType::Utf8, true));
    fields.push(Field::new(NEW, DataType::Utf8, true));
    fields.push(Field::new(CHANGE, DataType::Utf8, false));
    fields.push(Field::new(SEEN_AT, instant_type(), false));
    fields.push(Field::new(OLD_SEEN_AT, instant_type(), true));
    fields.push(Field::new(AGE_SECONDS, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

/// The columns of [`log_schema`], then `claim`: the place in [`Claims::list`](super::Claims::list) of the slice that did
/// it.
pub fn event_schema(shape: &Shape) -> SchemaRef {
    let log = log_schema(shape);
    let claim = Arc::new(Field::new(CLAIM, DataType::UInt32, false));
    Arc::new(Schema::new(log.fields().iter().cloned().chain([claim]).collect::<Vec<_>>()))
}

/// A row of the log to be: which event, and which of the compared columns; `None` where the event is of the whole row.
type Line = (usize, Option<usize>);

/// The rows of `events`, which are of one hour and in order.
pub(super) fn events_batch(
    shape: &Shape,
    hour: Instant,
    sources: &[&RecordBatch],
    events: &[Event],
) -> Result<RecordBatch> {
    let mut texts = Vec::with_capacity(shape.compared().len());
    for column in shape.compared() {
        // Of a row that stays as it is, no value is told.
        let changing = events.iter().map(|event| event.old.filter(|_| event.change != Change::Kept));
        let old = text_of(sources, *column, changing).map_err(fault)?;
        let new = text_of(sources, *column, events.iter().map(|event| event.new)).map_err(fault)?;
        texts.push((old, new));
    }
    let mut lines: Vec<Line> = Vec::new();
    for index in 0..events.len() {
        let before = lines.len();
        let differing = texts.iter().enumerate().filter(|(_, (old, new))| value(old, index) != value(new, index));
        lines.extend(differing.map(|(column, _)| (index, Some(column))));
        if lines.len() == before {
            lines.push((index, None));
        }
    }
    assemble(shape, hour, sources, events, &texts, &lines)
}

fn assemble(
    shape: &Shape,
    hour: Instant,
    sources: &[&RecordBatch],
    events: &[Event],
    texts: &[(StringArray, StringArray)],
    lines: &[Line],
) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    // Every event has a row before or after it.
    let places: Vec<Place> = lines.iter().filter_map(|(event, _)| events[*event].new.or(events[*event].old)).collect();
    for column in shape.key() {
        let arrays: Vec<&dyn Array> = sources.iter().map(|rows| rows.column(*column).as_ref()).collect();
        columns.push(interleave(&arrays, &places).map_err(fault)?);
    }
    let (mut metrics, mut changes) = (StringBuilder::new(), StringBuilder::new());
    let (mut old, mut new) = (StringBuilder::new(), StringBuilder::new());
    for (event, column) in lines {
        changes.append_value(events[*event].change.word());
        let Some(column) = column else {
            metrics.append_value("");
            old.append_null();
            new.append_null();
            continue;
        };
        metrics.append_value(shape.schema().field(shape.compared()[*column]).name());
        old.append_option(value(&texts[*column].0, *event));
        new.append_option(value(&texts[*column].1, *event));
    }
    for mut builder in [metrics, old, new, changes] {
        columns.push(Arc::new(builder.finish()));
    }
    let line_events = || lines.iter().map(|(event, _)| &events[*event]);
    let seen = TimestampMicrosecondArray::from_iter_values(line_events().map(|event| event.seen_at));
    let old_seen = TimestampMicrosecondArray::from_iter(line_events().map(|event| event.old_seen_at));
    let end = hour.timestamp_micros() + HOUR_MICROS;
    let age = line_events().map(|event| (event.seen_at - end).div_euclid(SECOND_MICROS));
    columns.push(Arc::new(seen.with_timezone("UTC")));
    columns.push(Arc::new(old_seen.with_timezone("UTC")));
    columns.push(Arc::new(Int64Array::from_iter_values(age)));
    // A publish merges far fewer slices than fit 32 bits.
    let claims = line_events().map(|event| u32::try_from(event.claim).unwrap_or(u32::MAX));
    columns.push(Arc::new(UInt32Array::from_iter_values(claims)));
    RecordBatch::try_new(event_schema(shape), columns).map_err(fault)
}

/// One column's values at `places` as text from which Arrow's cast makes the same values again; null for no place.
fn text_of(
    sources: &[&RecordBatch],
    column: usize,
    places: impl Iterator<Item = Option<Place>>,
) -> Result<StringArray, ArrowError> {
    let nothing = new_null_array(sources[0].column(column).data_type(), 1);
    let mut arrays: Vec<&dyn Array> = sources.iter().map(|rows| rows.column(column).as_ref()).collect();
    arrays.push(nothing.as_ref());
    let null = (sources.len(), 0);
    let places: Vec<Place> = places.map(|place| place.unwrap_or(null)).collect();
    let values = interleave(&arrays, &places)?;
    let values: ArrayRef = match values.data_type() {
        // The same moments by an offset, which is understood without time zone data.
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            Arc::new(values.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("+00:00"))
        }
        _ => values,
    };
    Ok(cast(&values, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn value(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}
