//! What is in a dataset's folder before it is rewritten: only files of its own, or nothing is done.

use std::path::Path;

use arrow::datatypes::SchemaRef;

use super::super::Totals;
use super::super::file::PartitionFile;
use super::super::layout::{Partition, RECORD};
use super::super::record::DatasetRecord;
use super::super::store::{Listed, Store};
use crate::error::{Error, Result};
use crate::pipeline::PartitionBy;

/// A dataset's files, by the folders right in its own, which are those of its dates.
#[derive(Debug)]
pub(super) struct Survey {
    /// The folders' names, in order.
    pub(super) folders: Vec<String>,
    partition_by: PartitionBy,
    partitions: u64,
    bytes: u64,
}

impl Survey {
    /// Looks at every file of the dataset.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) names a file that would be lost because it is not
    /// hourmark's.
    pub(super) async fn of(store: &Store, record: &DatasetRecord) -> Result<Survey> {
        let name = &record.pipeline;
        if store.is_link(name) {
            return Err(store.is_elsewhere(name));
        }
        let partition_by = record.partition_by().ok_or_else(|| {
            let found = record.partition_by.join(", ");
            Error::storage(format!("`{}` is partitioned by `{found}`", store.shown(name)))
                .hint("a newer hourmark wrote it: use that one")
        })?;
        let (folders, files) = store.entries(name).await?;
        if let Some(stranger) = files.iter().find(|file| file.path != RECORD) {
            return Err(foreign(store, &format!("{name}/{}", stranger.path)));
        }
        let mut survey = Survey { folders: Vec::new(), partition_by, partitions: 0, bytes: 0 };
        for folder in folders {
            let files = survey.files_of(store, record, &folder).await?;
            survey.partitions += files.len() as u64;
            survey.bytes += files.iter().map(|(_, file)| file.size).sum::<u64>();
            survey.folders.push(folder);
        }
        Ok(survey)
    }

    /// The files of one of its folders, with their paths in the lake.
    pub(super) async fn files_of(
        &self,
        store: &Store,
        record: &DatasetRecord,
        folder: &str,
    ) -> Result<Vec<(Partition, Listed)>> {
        let name = &record.pipeline;
        let mut found = Vec::new();
        for file in store.tree(&format!("{name}/{folder}")).await? {
            let below = format!("{folder}/{}", file.path);
            let path = format!("{name}/{below}");
            let partition = Partition::parse(&below, self.partition_by);
            let partition = partition.filter(|partition| partition.bucket < record.buckets.max(1));
            let partition = partition.ok_or_else(|| foreign(store, &path))?;
            found.push((partition, Listed { path, size: file.size }));
        }
        Ok(found)
    }

    /// How many files lack a column of `schema` or have a narrower one.
    pub(super) async fn count_older(&self, store: &Store, record: &DatasetRecord, schema: &SchemaRef) -> Result<u64> {
        let mut older = 0;
        for folder in &self.folders {
            for (_, file) in self.files_of(store, record, folder).await? {
                let found = PartitionFile::open(store, &file.path, schema).await?;
                older += u64::from(found.is_some_and(|file| !file.current));
            }
        }
        Ok(older)
    }

    /// Files and bytes; rows are not known before the files are opened.
    pub(super) fn totals(&self) -> Totals {
        Totals { partitions: self.partitions, rows: 0, bytes: self.bytes }
    }
}

fn foreign(store: &Store, path: &str) -> Error {
    let shown = store.shown(path);
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Error::storage(format!("`{shown}` is not hourmark's, and would be lost: a rewrite replaces the whole folder"))
        .hint(format!("move `{name}` out of the dataset's folder"))
}
