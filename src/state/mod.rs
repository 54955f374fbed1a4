//! The state: what is known beside the lake's rows. Owns the state database, and nothing else touches it.
//!
//! One embedded SQLite file (and its `-wal` and `-shm` companions) holds accounts with their watermarks, the ledger,
//! units that are begun, staged or failed, what was created on the platform, leases with fencing tokens, runs, and the
//! HTTP cache. Everything that must be true
//! together is written in one transaction; what must be unique is a primary key with `INSERT .. ON CONFLICT`. A commit
//! that returned is on the disk (`synchronous = FULL`). The file must be on a local disk: SQLite's write-ahead log and
//! the locks of [`leases`] do not work over network file systems.
//!
//! Moments are kept in whole seconds, cut and never rounded up; what is read back has lost its fraction.
//!
//! | file | what |
//! |---|---|
//! | [`accounts`] | accounts and their watermarks |
//! | [`ledger`] | what is known of each account's hours, and when something is due |
//! | [`movements`] | how much hours moved at each age, and what was learnt of it |
//! | [`units`] | staged and failed units |
//! | [`published`] | the one transaction that makes published units known |
//! | [`quarantine`] | units that broke a quality rule |
//! | [`creations`] | requests that create something on the platform, by idempotency key |
//! | [`sizes`] | how large a request may be |
//! | [`skips`] | accounts that are left out |
//! | [`attributes`] | when the attributes of campaigns were last read |
//! | [`leases`] | one run per pipeline at a time |
//! | [`runs`] | what each run did |
//! | [`responses`] | the HTTP cache |
//! | [`quota_use`] | what is used up of each quota, in a file of its own |
//! | [`tables`] | ledger, units and runs as Arrow, for SQL |
//! | `open`, `trouble`, `values` | opening and migrating; errors; how values are stored |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::Result;

pub mod accounts;
pub mod attributes;
pub mod creations;
pub mod leases;
pub mod ledger;
pub mod movements;
mod open;
pub mod published;
pub mod quarantine;
pub mod quota_use;
pub mod responses;
pub mod runs;
pub mod sizes;
pub mod skips;
pub mod tables;
mod trouble;
pub mod units;
mod values;

pub use accounts::KnownAccount;
pub use attributes::AttributeReading;
pub use creations::{Creation, CreationEnd, idempotency_key};
pub use leases::{Acquired, Alone, Lease};
pub use published::PublishedUnit;
pub use quarantine::Quarantined;
pub use quota_use::{KeptTally, QuotaTurn, QuotaUse};
pub use responses::CachedResponse;
pub use runs::{RunEnd, RunId, RunKind, RunRecord, RunSummary};
pub use sizes::{AccountSizes, Size, Sizes};
pub use skips::Skip;
pub use units::{EmptyHours, FailedUnit, StagedUnit};

use trouble::Trouble;

/// The state database. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct State {
    /// As given, for messages.
    path: Arc<Path>,
    /// With links resolved, so that the lock files of all processes are the same.
    locks: Arc<Path>,
    /// Many readers beside one writer is what SQLite offers; writers queue here instead of colliding in the file.
    readers: SqlitePool,
    writer: SqlitePool,
}

impl State {
    /// The file's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for what is under way and closes the file, so that everything is in the one file at `path`.
    ///
    /// Leaving it out loses nothing: the next opening reads the write-ahead log.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A transaction that holds the write lock from its beginning. Dropped without a commit, it changes nothing.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Trouble> {
        // A transaction that begins by reading and then writes could find the file changed in between and fail.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The path of a file beside the database, named after it.
    fn beside(&self, suffix: &str) -> PathBuf {
        beside(&self.locks, suffix)
    }
}

/// `path` with `.suffix` appended to its file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
