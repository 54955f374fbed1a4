//! The last steps of a publish, one durable change each; see [`log`](super::log) for what a crash after each one means.

use std::sync::Arc;

use super::intent::{self, After, IntentDraft};
use super::layout::Partition;
use super::store::Stat;
use super::writer::{Finished, Written};
use super::{Dataset, Published, blocking, log};
use crate::error::Result;
use crate::merge::Claims;

/// A publish whose temporaries are complete. Dropping it throws them away.
pub(super) struct Prepared {
    pub(super) dataset: Dataset,
    pub(super) partition: Partition,
    pub(super) claims: Arc<Claims>,
    /// The partition's file as it was merged from.
    pub(super) stat: Option<Stat>,
    /// The file to come, where any row changed.
    pub(super) file: Option<Finished>,
    /// The events, where there are any.
    pub(super) events: Option<IntentDraft>,
    pub(super) published: Published,
}

impl Prepared {
    /// Does all steps that there are.
    pub(super) async fn commit(mut self) -> Result<Published> {
        if self.file.is_none() && self.events.is_none() {
            return Ok(self.published);
        }
        let intended = self.intend().await?;
        self.replace().await?;
        if intended {
            self.log().await?;
        }
        Ok(self.published)
    }

    /// Writes the events down durably, where there are any. Refuses where the file was replaced meanwhile.
    pub(super) async fn intend(&mut self) -> Result<bool> {
        let store = self.dataset.store();
        let path = self.dataset.path(self.partition);
        // The lease keeps other publishers out; this catches one that lost its lease without noticing.
        if store.stat(&path).await? != self.stat {
            return Err(store.replaced(&path));
        }
        let Some(events) = self.events.take() else { return Ok(false) };
        let after = match &self.file {
            None => After::Unchanged,
            Some(file) if file.written.rows == 0 => After::Gone,
            Some(file) => After::File(file.digest),
        };
        let claims = self.claims.clone();
        blocking(move || events.commit(after, claims.list())).await?;
        Ok(true)
    }

    /// Puts the partition's file in its place, or takes it away where no row is left.
    pub(super) async fn replace(&mut self) -> Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let (store, path) = (self.dataset.store().clone(), self.dataset.path(self.partition));
        let Written { rows, bytes, spliced } = file.written;
        let replaced = blocking(move || if rows == 0 { store.remove(&path).map(|_| ()) } else { file.commit() });
        replaced.await?;
        self.published.written = true;
        self.published.rows = rows;
        if rows > 0 {
            (self.published.bytes_written, self.published.bytes_spliced) = (bytes, spliced);
        }
        Ok(())
    }

    /// Appends the events to the log and removes the intent.
    pub(super) async fn log(&self) -> Result<()> {
        log::finish(&self.dataset, &intent::path(&self.dataset, self.partition)).await
    }
}
