//! What a dataset's `_hourmark.json` says: its layout, key and columns, and what may change of them.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::layout::{RECORD, words};
use super::{DatasetSpec, types};
use crate::error::{Error, Result};
use crate::pipeline::PartitionBy;
use crate::pipeline::schema::{KEY, METRIC, RESTATEMENTS, SEEN_AT};

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

    /// Where the record of this dataset is in the lake at `lake`.
    pub fn path_in(&self, lake: &Path) -> PathBuf {
        lake.join(&self.pipeline).join(RECORD)
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
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names what was changed otherwise, old and new, and the
    /// way out.
    pub(super) fn evolve(&self, spec: &DatasetSpec) -> Result<DatasetRecord> {
        let mut wanted = DatasetRecord::new(spec);
        self.same("partition_by", &self.partition_by.join(", "), &wanted.partition_by.join(", "))?;
        self.same("buckets", &self.buckets.to_string(), &wanted.buckets.to_string())?;
        self.same("key", &self.key.join(", "), &wanted.key.join(", "))?;
        for column in &mut wanted.columns {
            column.nullable |= match self.column(&column.name) {
                None => true,
                Some(recorded) => {
                    self.widened(recorded, column)?;
                    recorded.nullable
                }
            };
        }
        for recorded in &self.columns {
            if wanted.column(&recorded.name).is_none() {
                let (name, column, pipeline) = (&self.pipeline, &recorded.name, self.owner());
                return Err(Error::storage(format!(
                    "the dataset `{name}` has the column `{column}`, the pipeline does not"
                ))
                .hint(format!(
                    "declare the column again, or take it out of every file with `hourmark rewrite {pipeline} --drop \
                     {column}`"
                )));
            }
        }
        let changed = wanted.columns != self.columns;
        wanted.schema_version = self.schema_version + u32::from(changed);
        Ok(wanted)
    }

    /// The column called `name`.
    pub(super) fn column(&self, name: &str) -> Option<&ColumnRecord> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The pipeline that the dataset belongs to.
    pub(super) fn owner(&self) -> &str {
        self.pipeline.strip_suffix(RESTATEMENTS).unwrap_or(&self.pipeline)
    }

    /// What the restatements of a dataset must be like once `old`, the dataset's own record, has become `new`; `self` is
    /// their record now. They follow its key and its buckets. A column that leaves the key stays, for the rows that
    /// tell of it.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the column whose type is not known.
    pub(super) fn following(&self, old: &DatasetRecord, new: &DatasetRecord) -> Result<DatasetSpec> {
        let of_key = |record: &DatasetRecord, column: &&ColumnRecord| record.key.contains(&column.name);
        let mut fields = Vec::new();
        for name in &new.key {
            let column = new.column(name).ok_or_else(|| Error::internal(format!("the key column `{name}` is gone")))?;
            // Rows from before a column joined the key lack it.
            fields.push(Field::new(name, new.data_type(column)?, !KEY.contains(&name.as_str())));
        }
        for column in self.columns.iter().filter(|column| !of_key(old, column) && !of_key(new, column)) {
            fields.push(Field::new(&column.name, self.data_type(column)?, column.nullable));
        }
        for column in self.columns.iter().filter(|column| of_key(old, column) && !of_key(new, column)) {
            fields.push(Field::new(&column.name, self.data_type(column)?, true));
        }
        let own = self.key.iter().filter(|name| !old.key.contains(name) && !new.key.contains(name));
        Ok(DatasetSpec {
            name: self.pipeline.clone(),
            schema: Arc::new(Schema::new(fields)),
            key: new.key.iter().chain(own).cloned().collect(),
            partition_by: self.partition_by().unwrap_or(PartitionBy::Date),
            buckets: if self.buckets == old.buckets { new.buckets } else { self.buckets },
        })
    }

    /// Whether it is of a pipeline's restatements: their rows stand in the order in which they were seen.
    pub(super) fn is_log(&self) -> bool {
        self.pipeline.ends_with(RESTATEMENTS)
    }

    fn same(&self, what: &str, old: &str, new: &str) -> Result<()> {
        if old == new {
            return Ok(());
        }
        let (name, pipeline) = (&self.pipeline, self.owner());
        Err(Error::storage(format!("the dataset `{name}` has `{what} = {old}`, the pipeline now says `{new}`")).hint(
            format!("set it back to `{old}`, or bring the files into the new form with `hourmark rewrite {pipeline}`"),
        ))
    }

    fn widened(&self, old: &ColumnRecord, new: &ColumnRecord) -> Result<()> {
        let (from, to) = (self.data_type(old)?, self.data_type(new)?);
        if types::widens(&from, &to) {
            return Ok(());
        }
        let (name, column, pipeline) = (&self.pipeline, &old.name, self.owner());
        let (from, to) = (types::word(&from), types::word(&to));
        Err(Error::storage(format!(
            "the column `{column}` of the dataset `{name}` is {from}, the pipeline now says {to}"
        ))
        .hint(format!(
            "a type may only widen: set it back to {from}, or have every value converted with `hourmark rewrite \
                 {pipeline}`"
        )))
    }

    /// The type of one of its columns.
    pub(super) fn data_type(&self, column: &ColumnRecord) -> Result<DataType> {
        DataType::from_str(&column.data_type).map_err(|error| {
            let (name, column, found) = (&self.pipeline, &column.name, &column.data_type);
            Error::storage(format!("the column `{column}` of the dataset `{name}` has an unknown type {found}"))
                .because(error)
                .hint("use the newer hourmark that wrote it")
        })
    }
}
