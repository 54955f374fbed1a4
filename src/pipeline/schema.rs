//! The columns of a pipeline's rows in the lake: the standard ones, the declared ones, and `seen_at`.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use chrono::DateTime;

use super::{Column, ColumnKind, Pipeline};
use crate::error::{Error, Result};
use crate::time::Instant;

/// Name of the column that holds the instant at which an hour begins.
pub const HOUR: &str = "hour";
/// Name of the column that holds when a row's values were first read.
pub const SEEN_AT: &str = "seen_at";
/// Ends the name of the dataset that keeps a pipeline's restatements.
pub const RESTATEMENTS: &str = "__restatements";
/// Ends the name of the dataset that keeps the attributes of a pipeline's campaigns.
pub const CAMPAIGNS: &str = "__campaigns";
/// Name of the column that holds since when a version of a campaign's attributes is known to be true.
pub const VALID_FROM: &str = "valid_from";
/// Name of the column that holds since when it is known not to be true any more; null of the present version.
pub const VALID_TO: &str = "valid_to";
/// The columns of a version before the attributes, in their order.
pub const OF_VERSIONS: [&str; 6] =
    ["platform", "account_id", "account_name", "campaign_id", "campaign_name", "currency"];
/// What makes a version unique, in the order in which versions are sorted.
pub const VERSION_KEY: [&str; 3] = ["account_id", "campaign_id", VALID_FROM];
/// Name of the restatements' column that holds which column changed.
pub const METRIC: &str = "metric";
/// Name of the restatements' column that holds the value before, as text.
pub const OLD: &str = "old";
/// Name of the restatements' column that holds the value from then on, as text.
pub const NEW: &str = "new";
/// Name of the restatements' column that holds what happened: changed, added, removed, kept.
pub const CHANGE: &str = "change";
/// Name of the restatements' column that holds when the values before had been read first.
pub const OLD_SEEN_AT: &str = "old_seen_at";
/// Name of the restatements' column that holds how long the hour had been over, in seconds.
pub const AGE_SECONDS: &str = "age_seconds";
/// The restatements' own columns after the key's, in their order.
pub const OF_RESTATEMENTS: [&str; 7] = [METRIC, OLD, NEW, CHANGE, SEEN_AT, OLD_SEEN_AT, AGE_SECONDS];
/// The columns that every key begins with, in the order in which rows are sorted.
pub const KEY: [&str; 3] = [HOUR, "account_id", "campaign_id"];

/// The names of the standard columns before the declared ones, in their order.
pub const STANDARD: [&str; 11] = [
    "platform",
    "account_id",
    "account_name",
    "account_timezone",
    "currency",
    "campaign_id",
    "campaign_name",
    HOUR,
    "local_hour",
    "utc_offset_minutes",
    "hours_covered",
];

/// The Arrow type of instants: microseconds, UTC.
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow type in which `kind` is kept.
pub fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Int => DataType::Int64,
        ColumnKind::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        ColumnKind::Micros => DataType::Decimal128(18, 6),
        ColumnKind::Cents => DataType::Decimal128(20, 2),
        ColumnKind::Float => DataType::Float64,
        ColumnKind::Bool => DataType::Boolean,
        ColumnKind::Timestamp => instant_type(),
    }
}

/// The schema of the pipeline's rows: in memory, staged and in the lake.
///
/// Standard columns (see [`STANDARD`]; `campaign_name` and `account_name` may be null), then the declared columns, then
/// `seen_at`. Key columns are never null.
pub fn lake_schema(pipeline: &Pipeline) -> SchemaRef {
    let mut fields = vec![
        Field::new("platform", DataType::Utf8, false),
        Field::new("account_id", DataType::Utf8, false),
        Field::new("account_name", DataType::Utf8, true),
        Field::new("account_timezone", DataType::Utf8, false),
        Field::new("currency", DataType::Utf8, true),
        Field::new("campaign_id", DataType::Utf8, false),
        Field::new("campaign_name", DataType::Utf8, true),
        Field::new(HOUR, instant_type(), false),
        Field::new("local_hour", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("utc_offset_minutes", DataType::Int16, false),
        Field::new("hours_covered", DataType::Int8, false),
    ];
    for column in &pipeline.columns {
        let key = pipeline.dimensions.contains(&column.name);
        fields.push(Field::new(&column.name, data_type(column.kind), !(key || column.required)));
    }
    fields.push(Field::new(SEEN_AT, instant_type(), false));
    Arc::new(Schema::new(fields))
}

/// The schema of the versions of campaigns with these attributes: see [`OF_VERSIONS`], then the attributes, [`VALID_FROM`] and
/// [`VALID_TO`]. All may be null but [`VALID_FROM`] and the ids: an attribute was not read before it was declared.
pub fn versions_schema(attributes: &[Column]) -> SchemaRef {
    let never_null = ["platform", "account_id", "campaign_id"];
    let mut fields: Vec<Field> =
        OF_VERSIONS.iter().map(|name| Field::new(*name, DataType::Utf8, !never_null.contains(name))).collect();
    fields.extend(attributes.iter().map(|column| Field::new(&column.name, data_type(column.kind), true)));
    fields.push(Field::new(VALID_FROM, instant_type(), false));
    fields.push(Field::new(VALID_TO, instant_type(), true));
    Arc::new(Schema::new(fields))
}

/// Whether every dataset of versions has a column of this name.
pub fn is_of_versions(name: &str) -> bool {
    OF_VERSIONS.contains(&name) || name == VALID_FROM || name == VALID_TO
}

/// The names of the columns that make a row unique, in the order in which rows are sorted.
pub fn key_columns(pipeline: &Pipeline) -> Vec<String> {
    KEY.iter().map(|name| (*name).to_owned()).chain(pipeline.dimensions.iter().cloned()).collect()
}

/// The accounts and hours that `rows`, in the lake's schema, are of; as often as rows change from one to another.
///
/// # Errors
/// An internal error where the columns are not those of the schema.
pub fn account_hours(rows: &RecordBatch) -> Result<Vec<(&str, Instant)>> {
    let wrong = || Error::internal("rows lack their account or hour");
    let accounts = rows.column_by_name(KEY[1]).and_then(|column| column.as_string_opt::<i32>()).ok_or_else(wrong)?;
    let hours = rows.column_by_name(HOUR).ok_or_else(wrong)?;
    let hours = hours.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
    let mut found: Vec<(&str, i64)> = Vec::new();
    for (account, hour) in accounts.iter().flatten().zip(hours.values()) {
        if found.last() != Some(&(account, *hour)) {
            found.push((account, *hour));
        }
    }
    found
        .into_iter()
        .map(|(account, hour)| Ok((account, DateTime::from_timestamp_micros(hour).ok_or_else(wrong)?)))
        .collect()
}
