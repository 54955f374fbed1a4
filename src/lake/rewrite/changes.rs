//! What a rewrite does to a dataset: its record from now on, and how each column comes about. Pure.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use super::super::record::{ColumnRecord, DatasetRecord};
use super::super::{DatasetSpec, RewriteOrder, types};
use crate::decode::column_of_texts;
use crate::error::{Error, Result};
use crate::merge::Shape;
use crate::pipeline::ColumnKind;

/// How a dataset is brought into another form.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is recorded afterwards.
    pub(super) record: DatasetRecord,
    /// What changes, for people.
    pub(super) changes: Vec<String>,
    /// The schema of the rows as they are.
    pub(super) old_schema: SchemaRef,
    /// What makes them unique.
    pub(super) old_key: Vec<String>,
    /// The schema and the key of the rows to come.
    pub(super) shape: Shape,
    /// Where each column of `shape` comes from.
    pub(super) columns: Vec<ColumnPlan>,
    /// Whether rows stay as they are and only their places change, so that their bytes can be carried over.
    pub(super) keeps_rows: bool,
}

/// Where a column's values come from.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    pub(super) way: Way,
    /// One value, for rows that have none.
    pub(super) fill: Option<ArrayRef>,
}

/// From the values that are there to those that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// There are none.
    Nothing,
    /// The column at this place, cast. Every value fits.
    Fits(usize),
    /// The column at this place, cast. A value fits if casting it back gives it again.
    IfExact(usize),
    /// The column at this place, read as text in an answer is.
    Read(usize, ColumnKind),
}

impl Plan {
    /// Plans the way from `old` to `spec`.
    ///
    /// # Errors
    /// [`ErrorKind::BadInput`](crate::error::ErrorKind::BadInput) names a column that would be lost without being told
    /// to, a value to fill in that does not fit, or a type that cannot be reached.
    pub(super) fn new(old: &DatasetRecord, spec: &DatasetSpec, order: &RewriteOrder) -> Result<Plan> {
        let mut record = DatasetRecord::new(spec);
        let old_schema = old.schema()?;
        let mut columns = Vec::with_capacity(record.columns.len());
        for column in &mut record.columns {
            let data_type = spec.schema.field_with_name(&column.name).map(|field| field.data_type().clone());
            let data_type = data_type.map_err(|error| Error::internal("a record lost a column").because(error))?;
            let plan = plan_column(old, column, &data_type, order)?;
            let key = spec.key.contains(&column.name);
            // As when a dataset evolves: rows without a value do not become wrong because the pipeline asks for one now.
            let may_lack = old.column(&column.name).is_none_or(|recorded| recorded.nullable) && plan.fill.is_none();
            column.nullable |= may_lack && !key;
            columns.push(plan);
        }
        let mut changes = Vec::new();
        let lists = [
            ("partition_by", old.partition_by.join(", "), record.partition_by.join(", ")),
            ("buckets", old.buckets.to_string(), record.buckets.to_string()),
            ("key", old.key.join(", "), record.key.join(", ")),
        ];
        changes
            .extend(lists.iter().filter(|(_, old, new)| old != new).map(|(what, a, b)| format!("{what}: {a} -> {b}")));
        for (column, plan) in record.columns.iter().zip(&columns) {
            changes.extend(change_of(old, column, &record, plan)?);
        }
        for lost in old.columns.iter().filter(|column| record.column(&column.name).is_none()) {
            if !order.drop.contains(&lost.name) {
                return Err(not_declared(old, &lost.name));
            }
            changes.push(format!("column `{}`: taken out", lost.name));
        }
        let same_columns = record.columns == old.columns;
        if !same_columns && changes.is_empty() {
            let names =
                |record: &DatasetRecord| record.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
            let moved = names(&record) != names(old);
            changes.push(if moved { "columns: their order" } else { "columns: which of them may be null" }.to_owned());
        }
        record.schema_version = old.schema_version + u32::from(!same_columns);
        let filled = columns.iter().any(|column| column.fill.is_some());
        let keeps_rows = same_columns && record.key == old.key && !filled;
        let shape = Shape::new(record.schema()?, &record.key)?;
        Ok(Plan { record, changes, old_schema, old_key: old.key.clone(), shape, columns, keeps_rows })
    }
}

/// Checks that the columns of `order` mean something for the dataset that is rewritten into `spec`.
pub(super) fn check_order(old: &DatasetRecord, spec: &DatasetSpec, order: &RewriteOrder) -> Result<()> {
    for (column, _) in &order.fill {
        if spec.schema.index_of(column).is_err() {
            let columns: Vec<&str> = spec.schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Error::bad_input(format!(
                "--fill names the column `{column}`, which the pipeline does not have"
            ))
            .hint(format!("its columns: {}", columns.join(", "))));
        }
        if old.column(column).is_some_and(|recorded| !recorded.nullable) {
            return Err(Error::bad_input(format!("--fill names the column `{column}`, which is never null"))
                .hint("only rows without a value are given one"));
        }
    }
    for column in &order.drop {
        if spec.schema.index_of(column).is_ok() {
            return Err(Error::bad_input(format!("--drop names the column `{column}`, which the pipeline declares"))
                .hint("take it out of the pipeline's file first"));
        }
        if old.column(column).is_none() {
            return Err(Error::bad_input(format!(
                "--drop names the column `{column}`, which the dataset `{}` does not have",
                old.pipeline
            )));
        }
    }
    Ok(())
}

fn plan_column(
    old: &DatasetRecord,
    column: &ColumnRecord,
    data_type: &DataType,
    order: &RewriteOrder,
) -> Result<ColumnPlan> {
    let place = old.columns.iter().position(|recorded| recorded.name == column.name);
    let way = match place {
        None => Way::Nothing,
        Some(place) => way(&old.data_type(&old.columns[place])?, data_type, place)
            .ok_or_else(|| no_way(old, column, &old.columns[place], data_type))?,
    };
    let text = order.fill.iter().rev().find(|(name, _)| *name == column.name).map(|(_, text)| text);
    let fill = text.map(|text| fill(&column.name, text, data_type)).transpose()?;
    Ok(ColumnPlan { way, fill })
}

/// The way from one type to another; `None` where there is none.
fn way(old: &DataType, new: &DataType, place: usize) -> Option<Way> {
    if types::widens(old, new) {
        return Some(Way::Fits(place));
    }
    match (old, new) {
        (old, new) if types::is_number(old) && types::is_number(new) => Some(Way::IfExact(place)),
        (old, DataType::Utf8) if types::is_number(old) || *old == DataType::Boolean => Some(Way::Fits(place)),
        (DataType::Utf8, new) => Some(Way::Read(place, kind(new)?)),
        _ => None,
    }
}

/// The kind of column that is kept in this type.
fn kind(data_type: &DataType) -> Option<ColumnKind> {
    Some(match data_type {
        DataType::Utf8 => ColumnKind::Text,
        DataType::Int64 => ColumnKind::Int,
        DataType::Decimal128(precision, scale) => ColumnKind::Decimal { precision: *precision, scale: *scale },
        DataType::Float64 => ColumnKind::Float,
        DataType::Boolean => ColumnKind::Bool,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => ColumnKind::Timestamp,
        _ => return None,
    })
}

/// `text` as a column of one value.
fn fill(column: &str, text: &str, data_type: &DataType) -> Result<ArrayRef> {
    let wrong = |expected: &str| {
        Error::bad_input(format!("--fill gives `{column}` the value `{text}`")).hint(format!("expected {expected}"))
    };
    let kind = kind(data_type).ok_or_else(|| wrong("a declared column"))?;
    let values = column_of_texts(kind, &StringArray::from(vec![text])).map_err(|error| wrong(&error.expected))?;
    if values.is_null(0) { Err(wrong("a value")) } else { Ok(Arc::clone(&values)) }
}

fn change_of(
    old: &DatasetRecord,
    column: &ColumnRecord,
    record: &DatasetRecord,
    plan: &ColumnPlan,
) -> Result<Option<String>> {
    let name = &column.name;
    let given = plan.fill.as_ref().map(|fill| super::convert::shown(fill, 0));
    let Some(recorded) = old.column(name) else {
        return Ok(Some(match given {
            Some(value) => format!("column `{name}`: new, {value} in rows from before"),
            None => format!("column `{name}`: new, null in rows from before"),
        }));
    };
    let (from, to) = (old.data_type(recorded)?, record.data_type(column)?);
    let retyped = (from != to).then(|| format!("{} -> {}", types::word(&from), types::word(&to)));
    let filled = given.map(|value| format!("{value} where it was null"));
    let said: Vec<String> = retyped.into_iter().chain(filled).collect();
    Ok((!said.is_empty()).then(|| format!("column `{name}`: {}", said.join(", "))))
}

fn no_way(old: &DatasetRecord, column: &ColumnRecord, recorded: &ColumnRecord, data_type: &DataType) -> Error {
    let (name, dataset, to) = (&column.name, &old.pipeline, types::word(data_type));
    let from = old.data_type(recorded).map_or_else(|_| recorded.data_type.clone(), |from| types::word(&from));
    Error::bad_input(format!("the column `{name}` of the dataset `{dataset}` is {from}, which cannot become {to}"))
        .hint(format!("declare it under another name; `--drop {name}` then takes the old column out of every file"))
}

fn not_declared(old: &DatasetRecord, column: &str) -> Error {
    let dataset = &old.pipeline;
    Error::bad_input(format!("the dataset `{dataset}` has the column `{column}`, the pipeline does not"))
        .hint(format!("declare the column again, or take it out of every file with `--drop {column}`"))
}
