//! What a query holds fast, as the engine finds it: under the names of the lake, wherever it is read.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::snapshot::Snapshot;

const NAME: &str = "the files that a query holds";

/// The files of a snapshot as a store, which cannot be written to.
#[derive(Debug)]
pub(super) struct HeldFiles {
    snapshot: Arc<Snapshot>,
    disk: LocalFileSystem,
}

impl HeldFiles {
    /// What `snapshot` holds, now and later.
    pub(super) fn of(snapshot: Arc<Snapshot>) -> HeldFiles {
        HeldFiles { snapshot, disk: LocalFileSystem::new() }
    }

    /// Where a file is on the disk.
    fn place(&self, location: &Path) -> Result<Path> {
        let place = self.snapshot.place_of(location).ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: "the query does not hold it".into(),
        })?;
        Ok(Path::from_absolute_path(place)?)
    }
}

/// Nothing in the lake can be changed by a query.
fn refused<T>(operation: &str) -> Result<T> {
    Err(Error::NotImplemented { operation: operation.to_owned(), implementer: NAME.to_owned() })
}

impl fmt::Display for HeldFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for HeldFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.disk.get_opts(&self.place(location)?, options).await?;
        found.meta.location = location.clone();
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.disk.get_ranges(&self.place(location)?, ranges).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter(self.snapshot.below(prefix).into_iter().map(Ok)).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        refused("list_with_delimiter")
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refused("put_opts")
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        refused("put_multipart_opts")
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| refused("delete_stream")).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refused("copy_opts")
    }
}
