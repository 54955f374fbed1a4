//! What is known of campaigns over time: a dataset beside each pipeline's rows, one row per version.
//!
//! `<name>__campaigns/bucket-BB.parquet`: there are no folders of dates, because a version belongs to no day; the bucket
//! is that of the account, by the same hash as for rows. Rows are sorted by account, campaign and beginning.
//!
//! A file is read whole, merged with what was listed, and replaced in one step if anything changed: one bucket's file is in
//! memory at a time. Whatever is cut off leaves each account's versions as they were or as they have become; reading the
//! list once more then finds nothing to change, or changes it.
//!
//! # Columns over time
//!
//! An attribute that is declared later is null in versions from before; it begins new versions when it is first read. One
//! that is not declared any more stays in the files, null in versions that begin from then on. A type may become wider.
//! How many buckets there are is decided when the dataset is begun, and stays.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::file::PartitionFile;
use super::layout::{RECORD, bucket_of};
use super::record::{ColumnRecord, DatasetRecord};
use super::store::Store;
use super::writer::{PartitionWriter, versions_properties};
use super::{DatasetSpec, Lake, blocking, types};
use crate::error::{Error, Result};
use crate::merge::{AccountFollowed, CampaignReading, merge_versions};
use crate::pipeline::PartitionBy;
use crate::pipeline::schema::{CAMPAIGNS, VERSION_KEY};

/// The versions of one pipeline's campaigns.
#[derive(Debug, Clone)]
pub struct Versions {
    store: Store,
    /// Whose temporaries its files are written as: they are swept with those of the rows.
    pipeline: String,
    record: Arc<DatasetRecord>,
    schema: SchemaRef,
}

/// What following some accounts' lists came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsPublished {
    /// Whether the bucket's file was replaced.
    pub written: bool,
    /// One for each reading, in their order.
    pub accounts: Vec<AccountFollowed>,
}

impl Lake {
    /// The versions of the campaigns of `pipeline`, whose columns today are those of `schema`; begun in so many `buckets`
    /// where there are none yet. To be called under the pipeline's lease.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the column whose type is not wider than it was.
    pub async fn versions(&self, pipeline: &str, schema: &SchemaRef, buckets: u16) -> Result<Versions> {
        let name = format!("{pipeline}{CAMPAIGNS}");
        let before = self.recorded(&name).await?;
        let record = DatasetRecord::of_versions(name, schema, buckets, before.as_ref())?;
        if before.as_ref() != Some(&record) {
            let path = format!("{}/{RECORD}", record.pipeline);
            let (store, owner, text) = (self.store.clone(), pipeline.to_owned(), record.text()?);
            blocking(move || store.write(&owner, "record", &path, &text)).await?;
        }
        let schema = record.schema()?;
        Ok(Versions { store: self.store.clone(), pipeline: pipeline.to_owned(), record: Arc::new(record), schema })
    }
}

impl Versions {
    /// The name of the dataset and of its folder.
    pub fn name(&self) -> &str {
        &self.record.pipeline
    }

    /// In which file an account's versions are.
    pub fn bucket_of(&self, account: &str) -> u16 {
        bucket_of(account, self.record.buckets)
    }

    /// Follows the lists of accounts of one bucket, and replaces the bucket's file in one step if that changes anything.
    /// Doing it again changes nothing. `fence` is the fencing token of the caller's lease: it is logged, the state checks it.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names the file that cannot be read or written;
    /// [`ErrorKind::Busy`](crate::error::ErrorKind::Busy) where the file was replaced meanwhile. The file before stays
    /// as it was.
    pub async fn follow(&self, bucket: u16, readings: Vec<CampaignReading>, fence: u64) -> Result<VersionsPublished> {
        let path = format!("{}/bucket-{bucket:02}.parquet", self.name());
        let file = PartitionFile::open_any(&self.store, &path, &self.schema).await?.map(Arc::new);
        let old = match &file {
            Some(file) => self.read(file).await?,
            None => RecordBatch::new_empty(self.schema.clone()),
        };
        let merged = blocking(move || merge_versions(&old, &readings)).await?;
        let written = merged.rows.is_some();
        if let Some(rows) = merged.rows {
            self.replace(path, file, rows).await?;
        }
        tracing::info!(dataset = self.name(), bucket, fence, accounts = merged.accounts.len(), written, "followed");
        Ok(VersionsPublished { written, accounts: merged.accounts })
    }

    async fn read(&self, file: &Arc<PartitionFile>) -> Result<RecordBatch> {
        let mut groups = Vec::with_capacity(file.groups());
        for group in 0..file.groups() {
            let part = file.read(&self.store, group..group + 1).await?;
            let (file, schema) = (file.clone(), self.schema.clone());
            groups.push(blocking(move || file.decode(part, group..group + 1, &schema)).await?);
        }
        let schema = self.schema.clone();
        blocking(move || {
            concat_batches(&schema, &groups)
                .map_err(|error| Error::internal("cannot put versions together").because(error))
        })
        .await
    }

    async fn replace(&self, path: String, file: Option<Arc<PartitionFile>>, rows: RecordBatch) -> Result<()> {
        let properties = versions_properties(&self.record, &self.schema)?;
        let (store, pipeline, target, schema) =
            (self.store.clone(), self.pipeline.clone(), path.clone(), self.schema.clone());
        let encoded = blocking(move || {
            let draft = store.draft(&pipeline, "versions", &target)?;
            let mut writer = PartitionWriter::new(draft, &schema, properties)?;
            writer.encode(&rows)?;
            writer.finish()
        });
        let mut finished = encoded.await?;
        // The lease keeps other writers out; this catches one that lost its lease without noticing.
        if self.store.stat(&path).await? != file.map(|file| file.stat.clone()) {
            return Err(self.store.replaced(&path));
        }
        blocking(move || finished.commit()).await
    }
}

impl DatasetRecord {
    /// The record of versions of campaigns, whose columns today are those of `schema`. What is only in `before` stays, at
    /// the end.
    fn of_versions(
        name: String,
        schema: &SchemaRef,
        buckets: u16,
        before: Option<&DatasetRecord>,
    ) -> Result<DatasetRecord> {
        let key = VERSION_KEY.map(str::to_owned).into();
        let partition_by = PartitionBy::Date;
        let mut record = DatasetRecord::new(&DatasetSpec { name, schema: schema.clone(), key, partition_by, buckets });
        record.partition_by = Vec::new();
        let Some(before) = before else { return Ok(record) };
        record.buckets = before.buckets;
        for recorded in &before.columns {
            match record.column(&recorded.name) {
                None => record.columns.push(ColumnRecord { nullable: true, ..recorded.clone() }),
                Some(column) => before.refuse_narrower(recorded, column)?,
            }
        }
        record.schema_version = before.schema_version + u32::from(record.columns != before.columns);
        Ok(record)
    }

    fn refuse_narrower(&self, old: &ColumnRecord, new: &ColumnRecord) -> Result<()> {
        let (from, to) = (self.data_type(old)?, self.data_type(new)?);
        if types::widens(&from, &to) {
            return Ok(());
        }
        let (name, column, from, to) = (&self.pipeline, &old.name, types::word(&from), types::word(&to));
        Err(Error::storage(format!(
            "the attribute `{column}` of the dataset `{name}` is {from}, the pipeline now says {to}"
        ))
        .hint(format!(
            "a type may only widen: set it back to {from}, or give the attribute another name: what `{column}` was stays \
             in its own column"
        )))
    }
}
