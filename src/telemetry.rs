//! What is happening: counters for the progress display, and the log on stderr.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::error::{Error, Result};
use crate::time::Instant;

/// Counts what a run does. Shared by all workers; reading it never stops them.
#[derive(Debug, Default)]
pub struct Meter {
    counters: [AtomicU64; COUNTERS],
    waiting: Mutex<Waits>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Requests sent, retries included.
    Requests,
    /// Requests sent again after a failure.
    Retries,
    /// Refusals because of a limit.
    Throttled,
    /// Pages of metrics read.
    Pages,
    /// Rows read.
    Rows,
    /// Bytes of bodies, decompressed.
    Bytes,
    /// Lists that the platform says have not changed.
    NotModified,
}

const COUNTERS: usize = Count::NotModified as usize + 1;

/// A worker's wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Why, in a few words.
    pub reason: String,
    /// Until when, where that is known.
    pub until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Waits {
    last: u64,
    open: BTreeMap<u64, Waiting>,
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Refusals because of a limit.
    pub throttled: u64,
    /// Pages of metrics read.
    pub pages: u64,
    /// Rows read.
    pub rows: u64,
    /// Bytes of bodies, decompressed.
    pub bytes: u64,
    /// Lists that the platform says have not changed.
    pub not_modified: u64,
    /// How many workers wait.
    pub waiting: usize,
    /// The longest of their waits.
    pub longest: Option<Waiting>,
}

impl Meter {
    /// Adds `amount` to a counter.
    pub fn add(&self, count: Count, amount: u64) {
        self.counters[count as usize].fetch_add(amount, Ordering::Relaxed);
    }

    /// A counter's value.
    pub fn get(&self, count: Count) -> u64 {
        self.counters[count as usize].load(Ordering::Relaxed)
    }

    /// Shows a wait until the guard is dropped.
    pub fn wait(&self, reason: impl Into<String>, until: Option<Instant>) -> WaitGuard<'_> {
        let mut waits = lock(&self.waiting);
        waits.last += 1;
        let id = waits.last;
        waits.open.insert(id, Waiting { reason: reason.into(), until });
        WaitGuard { meter: self, id }
    }

    /// All counters.
    pub fn read(&self) -> Reading {
        let waits = lock(&self.waiting);
        Reading {
            requests: self.get(Count::Requests),
            retries: self.get(Count::Retries),
            throttled: self.get(Count::Throttled),
            pages: self.get(Count::Pages),
            rows: self.get(Count::Rows),
            bytes: self.get(Count::Bytes),
            not_modified: self.get(Count::NotModified),
            waiting: waits.open.len(),
            longest: waits.open.values().max_by_key(|wait| wait.until).cloned(),
        }
    }
}

/// A wait that is shown; dropped, it is over.
#[derive(Debug)]
pub struct WaitGuard<'a> {
    meter: &'a Meter,
    id: u64,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        lock(&self.meter.waiting).open.remove(&self.id);
    }
}

/// A poisoned lock guards a map whose every change is one step.
fn lock(mutex: &Mutex<Waits>) -> MutexGuard<'_, Waits> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the log to stderr. `verbosity`: below 0 errors, 0 warnings, 1 what is done, 2 every attempt, 3 and more all;
/// `HOURMARK_LOG` (as `hourmark=debug,hyper=info`) wins over it. Libraries log warnings only: their details may hold
/// URLs.
///
/// # Errors
/// `HOURMARK_LOG` that cannot be read; a log that is already set up.
pub fn init_logging(format: LogFormat, verbosity: i8) -> Result<()> {
    let filter = match std::env::var("HOURMARK_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Error::bad_input(format!("`HOURMARK_LOG` is `{text}`, which is not a filter"))
                .because(error)
                .hint("for example HOURMARK_LOG=hourmark=debug")
        })?,
        _ => EnvFilter::new(directives(verbosity)),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for eyes: in a file they are noise.
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_span_events(FmtSpan::NONE);
    let done = match format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    done.map_err(|error| Error::internal("the log is already set up").because(error))
}

fn directives(verbosity: i8) -> &'static str {
    match verbosity {
        i8::MIN..=-1 => "error",
        0 => "warn",
        1 => "warn,hourmark=info",
        2 => "warn,hourmark=debug",
        3.. => "warn,hourmark=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_waits_are_read_together() {
        let meter = Meter::default();
        meter.add(Count::Requests, 2);
        meter.add(Count::NotModified, 1);
        let until: Instant = "2026-11-20T10:00:00Z".parse().expect("an instant");
        let quota = meter.wait("quota", None);
        let refused = meter.wait("HTTP 429", Some(until));
        let reading = meter.read();
        assert_eq!((reading.requests, reading.not_modified, reading.rows, reading.waiting), (2, 1, 0, 2));
        assert_eq!(reading.longest, Some(Waiting { reason: "HTTP 429".into(), until: Some(until) }));
        drop(refused);
        assert_eq!(meter.read().longest.map(|wait| wait.reason).as_deref(), Some("quota"));
        drop(quota);
        assert_eq!(meter.read().waiting, 0);
    }
}
