//! What a run records. A cassette that cannot be written is said once and counted; it fails nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::format::{FORMAT, Header, RecordedRun};
use super::shelf::{CAMPAIGNS, Shelf};
use super::tape::Tape;
use crate::error::{Error, Result};
use crate::pipeline::{Pipeline, Raw, ResponseAction, UsageSource, WaitSource};
use crate::time::Instant;

/// The recorder of one run; off where the pipeline keeps no responses.
#[derive(Debug)]
pub struct Recording {
    kept: Option<Raw>,
    shelf: Shelf,
    declared: Arc<[String]>,
    pipeline: String,
    digest: String,
    run: RecordedRun,
    lost: AtomicU64,
}

impl Recording {
    /// For the run `id` that began at `started_at`, into the lake at `root`.
    pub fn new(pipeline: &Pipeline, root: &Path, id: i64, started_at: Instant) -> Recording {
        Recording {
            kept: pipeline.raw,
            shelf: Shelf::new(root, &pipeline.name),
            declared: declared(pipeline).into(),
            pipeline: pipeline.name.clone(),
            digest: pipeline.digest.clone(),
            run: RecordedRun { started_at, id },
            lost: AtomicU64::new(0),
        }
    }

    /// A tape for the next unit.
    pub fn tape(&self) -> Tape {
        match self.kept {
            Some(_) => Tape::on(self.declared.clone()),
            None => Tape::off(),
        }
    }

    /// A header of this run, without a unit and accounts.
    pub fn header(&self, fetched_at: Instant) -> Header {
        Header {
            cassette: FORMAT,
            hourmark: env!("CARGO_PKG_VERSION").to_owned(),
            time_zone_data: chrono_tz::IANA_TZDB_VERSION.to_owned(),
            pipeline: self.pipeline.clone(),
            pipeline_digest: self.digest.clone(),
            run: self.run.clone(),
            unit: None,
            accounts: Vec::new(),
            closed: None,
            fetched_at,
            requests: 0,
            gone: Vec::new(),
            failed: None,
        }
    }

    /// Keeps a unit's tape under the unit's digest, or the run's list of accounts. Never fails.
    pub async fn keep(&self, tape: Tape, header: Header) {
        let name = match header.unit() {
            Ok(Some(unit)) => unit.key.digest(),
            Ok(None) | Err(_) => format!("accounts-{}", self.run.id),
        };
        self.keep_as(name, tape, header).await;
    }

    /// Keeps the lists of the campaigns of the header's accounts, that were read for themselves. Never fails.
    pub async fn keep_campaigns(&self, tape: Tape, header: Header) {
        let first = header.accounts.first().map_or("", |account| account.id.as_str());
        let name = format!("{CAMPAIGNS}-{}-{:016x}", self.run.id, xxh3_64(first.as_bytes()));
        self.keep_as(name, tape, header).await;
    }

    async fn keep_as(&self, name: String, tape: Tape, header: Header) {
        if !tape.is_on() {
            return;
        }
        let shelf = self.shelf.clone();
        let written = blocking(move || match tape.finish(&header)? {
            Some(bytes) => shelf.write(header.fetched_at, &name, &bytes).map(|_| ()),
            None => Ok(()),
        });
        if let Err(error) = written.await
            && self.lost.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!(pipeline = self.pipeline, "responses are not kept: {}", error.report());
        }
    }

    /// How many cassettes could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Removes what is older or more than the pipeline keeps. Never fails.
    pub async fn sweep(&self, now: Instant) {
        let Some(Raw { age, size }) = self.kept else { return };
        let shelf = self.shelf.clone();
        match blocking(move || shelf.sweep(now, age, size)).await {
            Ok(swept) if swept.files > 0 => {
                tracing::info!(
                    pipeline = self.pipeline,
                    files = swept.files,
                    bytes = swept.bytes,
                    "old responses removed"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(pipeline = self.pipeline, "old responses stay: {}", error.report()),
        }
    }
}

/// Response headers that the pipeline file reads, in lower case: without them an answer could not be judged again.
fn declared(pipeline: &Pipeline) -> Vec<String> {
    let mut names = Vec::new();
    for rule in &pipeline.usage {
        match &rule.source {
            UsageSource::Headers { limit, remaining, reset } => {
                names.extend(limit.iter().chain(remaining).cloned());
                names.extend(reset.iter().map(|(name, _)| name.clone()));
            }
            UsageSource::RateLimit { header, .. } | UsageSource::Json { header, .. } => names.push(header.clone()),
        }
    }
    for rule in &pipeline.responses {
        names.extend(rule.header.iter().map(|(name, _)| name.clone()));
        let ResponseAction::Throttled { wait, .. } = &rule.action else { continue };
        for source in wait {
            if let WaitSource::Header { name, .. } = source {
                names.push(name.clone());
            }
        }
    }
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// Compressing and writing keep a CPU and a disk busy: not on the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("work on a cassette was cut off").because(error)),
    }
}
