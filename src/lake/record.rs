//! What a dataset's `_hourmark.json` says: its layout, key and columns, and what may change of them.

use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::DatasetSpec;
use super::layout::words;
use crate::error::{Error, Result};
use crate::pipeline::PartitionBy;
use crate::pipeline::schema::{METRIC, SEEN_AT};

/// The number of this file's format; a lake of a newer one is refused.
const FORMAT: u32 = 1;

/// A dataset as its folder records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// The format of the record itself.
    pub format: u32,
    /// The dataset's name, which is its folder's: the pipeline's name, or a name derived from it.
    pub pipeline: String,
    /// `["date"]` or `["date", "hour"]`.
    pub partition_by: Vec<String>,
    /// Files per partition.
    pub buckets: u16,
    /// The columns that make a row unique, in the order in which rows are sorted.
    pub key: Vec<String>,
    /// Counts the changes of `columns`, from 1.
    pub schema_version: u32,
    /// The columns in their order.
    pub columns: Vec<ColumnRecord>,
}

/// One column of a [`DatasetRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRecord {
    /// Its name.
    pub name: String,
    /// Its Arrow type as Arrow writes it, such as `Decimal128(18, 6)`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

impl DatasetRecord {
    /// The record of a dataset that has none yet.
    pub(super) fn new(spec: &DatasetSpec) -> DatasetRecord {
        let columns = spec.schema.fields().iter().map(|field| ColumnRecord {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
        });
        DatasetRecord {
            format: FORMAT,
            pipeline: spec.name.clone(),
            partition_by: words(spec.partition_by),
            buckets: spec.buckets,
            key: spec.key.clone(),
            schema_version: 1,
            columns: columns.collect(),
        }
    }

    /// The record of the restatements of the dataset that `main` describes, whose columns today are those of `schema`.
    ///
    /// It follows the dataset's: columns that are only in `before` stay, because its files have them, and may be null.
    pub(super) fn of_restatements(
        main: &DatasetRecord,
        name: &str,
        schema: &SchemaRef,
        before: Option<&DatasetRecord>,
    ) -> DatasetRecord {
        let mut record = DatasetRecord::new(&DatasetSpec {
            name: name.to_owned(),
            schema: schema.clone(),
            key: main.key.iter().cloned().chain([METRIC.to_owned(), SEEN_AT.to_owned()]).collect(),
            partition_by: PartitionBy::Date,
            buckets: main.buckets,
        });
        if let Some(before) = before {
            for column in &before.columns {
                if !record.columns.iter().any(|now| now.name == column.name) {
                    record.columns.push(ColumnRecord { nullable: true, ..column.clone() });
                }
            }
            let changed = before.columns != record.columns;
            record.schema_version = before.schema_version + u32::from(changed);
        }
        record
    }

    /// Reads a record; `file` is named in errors.
    pub(super) fn parse(text: &[u8], file: &str) -> Result<DatasetRecord> {
        let hint = "it is written by hourmark only: restore it from a copy of the lake";
        let record: DatasetRecord = serde_json::from_slice(text)
            .map_err(|error| Error::storage(format!("cannot read `{file}`")).because(error).hint(hint))?;
        if record.format > FORMAT {
            let found = record.format;
            return Err(Error::storage(format!("`{file}` has format {found}, this program knows up to {FORMAT}"))
                .hint("use the newer hourmark that wrote it"));
        }
        Ok(record)
    }

    /// The record's text; the same record gives the same text.
    pub(super) fn text(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("cannot write the dataset's record").because(error))?;
        text.push(b'\n');
        Ok(text)
    }

    /// The dataset's schema, where every type is one that this program knows.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the column whose type is not known.
    pub fn schema(&self) -> Result<SchemaRef> {
        let mut fields = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            fields.push(Field::new(&column.name, self.data_type(column)?, column.nullable));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The layout, or `None` where it is one that this program does not know.
    pub fn partition_by(&self) -> Option<PartitionBy> {
        [PartitionBy::Date, PartitionBy::DateHour].into_iter().find(|layout| words(*layout) == self.partition_by)
    }

    /// This record with what `spec` adds: further columns and wider types.
    ///
    /// An added column may be null whatever `spec` says, because rows from before do not have it; for the same reason a
    /// column that may be null stays so.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names what was changed otherwise, old and new.
    pub(super) fn evolve(&self, spec: &DatasetSpec) -> Result<DatasetRecord> {
        let mut wanted = DatasetRecord::new(spec);
        self.same("partition_by", &self.partition_by.join(", "), &wanted.partition_by.join(", "))?;
        self.same("buckets", &self.buckets.to_string(), &wanted.buckets.to_string())?;
        self.same("key", &self.key.join(", "), &wanted.key.join(", "))?;
        for column in &mut wanted.columns {
            column.nullable |= match self.columns.iter().find(|recorded| recorded.name == column.name) {
                None => true,
                Some(recorded) => {
                    self.widened(recorded, column)?;
                    recorded.nullable
                }
            };
        }
        for recorded in &self.columns {
            if !wanted.columns.iter().any(|column| column.name == recorded.name) {
                let (name, column) = (&self.pipeline, &recorded.name);
                return Err(Error::storage(format!(
                    "the dataset `{name}` has the column `{column}`, the pipeline does not"
                ))
                .hint("declare the column again, or give the pipeline another name to begin a new dataset"));
            }
        }
        let changed = wanted.columns != self.columns;
        wanted.schema_version = self.schema_version + u32::from(changed);
        Ok(wanted)
    }

    fn same(&self, what: &str, old: &str, new: &str) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let name = &self.pipeline;
        Err(Error::storage(format!("the dataset `{name}` has `{what} = {old}`, the pipeline now says `{new}`"))
            .hint(format!("set it back to `{old}`, or give the pipeline another name to begin a new dataset")))
    }

    fn widened(&self, old: &ColumnRecord, new: &ColumnRecord) -> Result<()> {
        if old.data_type == new.data_type || widens(&self.data_type(old)?, &self.data_type(new)?) {
            return Ok(());
        }
        let (name, column, from, to) = (&self.pipeline, &old.name, &old.data_type, &new.data_type);
        Err(Error::storage(format!(
            "the column `{column}` of the dataset `{name}` is {from}, the pipeline now says {to}"
        ))
        .hint(format!("a type may only widen: set it back to {from}, or declare a further column")))
    }

    fn data_type(&self, column: &ColumnRecord) -> Result<DataType> {
        DataType::from_str(&column.data_type).map_err(|error| {
            let (name, column, found) = (&self.pipeline, &column.name, &column.data_type);
            Error::storage(format!("the column `{column}` of the dataset `{name}` has an unknown type {found}"))
                .because(error)
                .hint("use the newer hourmark that wrote it")
        })
    }
}

/// Whether every value of type `old` is a value of type `new`.
fn widens(old: &DataType, new: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64};
    match (old, new) {
        (Decimal128(precision, scale), Decimal128(new_precision, new_scale)) => {
            let whole = i16::from(*precision) - i16::from(*scale);
            new_scale >= scale && i16::from(*new_precision) - i16::from(*new_scale) >= whole
        }
        (Float32, Float64) => true,
        (old, Decimal128(precision, scale)) => {
            integer_digits(old).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= digits)
        }
        (old, new) => integer_digits(old).zip(integer_digits(new)).is_some_and(|(old, new)| old <= new),
    }
}

/// The decimal digits that every value of a signed integer type has room in.
fn integer_digits(data_type: &DataType) -> Option<i16> {
    match data_type {
        DataType::Int8 => Some(3),
        DataType::Int16 => Some(5),
        DataType::Int32 => Some(10),
        DataType::Int64 => Some(19),
        _ => None,
    }
}
