//! Leases: one run works on a pipeline at a time, and a run that was overtaken cannot write.
//!
//! On one host the operating system knows best who lives: a lock on the file `<state>.<pipeline>.lock` is held for as
//! long as the holder's process lives, so a killed run's lease is free at once and there is nothing to expire. The
//! row in `leases` gives the holder's name for messages and the fencing token, which grows with each acquisition and is
//! checked inside every transaction that writes under a lease. Lock files are never removed: removing one would let
//! two processes lock two files of the same name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::SqliteConnection;

use super::State;
use super::trouble::Trouble;
use super::values::{moment, seconds};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Instant;

/// A look at a lock (see [`State::is_held`]) holds it for an instant; so many tries tell a look from a holder.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// The right to write for one pipeline. Dropping it, or the end of the process, gives it up.
#[derive(Debug)]
pub struct Lease {
    pipeline: String,
    holder: String,
    token: i64,
    since: Instant,
    /// Keeps the lock for as long as it is open.
    _lock: File,
}

/// Keeps runs of one pipeline away for as long as it lives, and gives no right to write for it: see
/// [`State::keep_alone`].
#[derive(Debug)]
pub struct Alone {
    /// Keeps the lock for as long as it is open.
    _lock: File,
}

/// What came of asking for a lease.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours.
    Held(Lease),
    /// Another run has it.
    Busy {
        /// What that run calls itself.
        holder: String,
        /// Since when it has it.
        since: Instant,
    },
}

impl Lease {
    /// The pipeline it is for.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// What its holder calls itself.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The fencing token: greater than that of every lease of this pipeline before it.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// When it was acquired.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Refuses a write under a lease that has passed on; otherwise keeps it from passing on until the transaction ends.
    pub(super) async fn guard(&self, connection: &mut SqliteConnection) -> Result<(), Trouble> {
        // An update rather than a look: it also locks the row where a database has row locks.
        let held = sqlx::query("UPDATE leases SET token = token WHERE pipeline = $1 AND token = $2")
            .bind(&self.pipeline)
            .bind(self.token)
            .execute(&mut *connection)
            .await?;
        if held.rows_affected() == 1 {
            return Ok(());
        }
        let now_held: Option<(Option<String>, i64)> =
            sqlx::query_as("SELECT holder, token FROM leases WHERE pipeline = $1")
                .bind(&self.pipeline)
                .fetch_optional(&mut *connection)
                .await?;
        let (holder, token) = now_held.unwrap_or_default();
        Err(Error::new(
            ErrorKind::Busy,
            format!(
                "the lease of pipeline `{}` has passed from {} (token {}) to {} (token {token}): this write is refused",
                self.pipeline,
                self.holder,
                self.token,
                holder.as_deref().unwrap_or("another run"),
            ),
        )
        .hint("the run that has the lease publishes what this one staged")
        .into())
    }
}

impl State {
    /// Asks for the lease of `pipeline` as `holder` ("host h, process 12"), without waiting for another run.
    pub async fn acquire(&self, pipeline: &str, holder: &str, now: Instant) -> Result<Acquired> {
        let Some(lock) = self.try_lock(pipeline).await? else {
            return self.busy(pipeline, now).await;
        };
        let work = async {
            let mut transaction = self.begin().await?;
            let token: i64 = sqlx::query_scalar(
                "INSERT INTO leases (pipeline, holder, token, since) VALUES ($1, $2, 1, $3) \
                 ON CONFLICT (pipeline) DO UPDATE SET holder = excluded.holder, token = leases.token + 1, \
                 since = excluded.since RETURNING token",
            )
            .bind(pipeline)
            .bind(holder)
            .bind(seconds(now))
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<i64, Trouble>(token)
        };
        let token = work.await.map_err(|trouble| self.failed("acquire a lease in", trouble))?;
        Ok(Acquired::Held(Lease {
            pipeline: pipeline.to_owned(),
            holder: holder.to_owned(),
            token,
            since: now,
            _lock: lock,
        }))
    }

    /// Keeps runs of `pipeline` away without a lease: no token is given out and nothing is written. For who draws from
    /// the pipeline's quotas, whose tallies one process keeps at a time.
    ///
    /// # Errors
    /// Busy where a run is under way; a storage error.
    pub async fn keep_alone(&self, pipeline: &str, now: Instant) -> Result<Alone> {
        if let Some(lock) = self.try_lock(pipeline).await? {
            return Ok(Alone { _lock: lock });
        }
        let who = match self.busy(pipeline, now).await? {
            Acquired::Busy { holder, since } => format!("{holder} since {}", since.format("%Y-%m-%d %H:%M:%SZ")),
            Acquired::Held(_) => "another process".to_owned(),
        };
        Err(Error::new(ErrorKind::Busy, format!("pipeline `{pipeline}` is being run by {who}"))
            .hint("wait for it to end: what it uses of the quotas and what it publishes would be missed"))
    }

    /// Clears the holder's name. The lock itself is given up when the lease is dropped.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        let work = async {
            sqlx::query("UPDATE leases SET holder = NULL WHERE pipeline = $1 AND token = $2")
                .bind(&lease.pipeline)
                .bind(lease.token)
                .execute(&self.writer)
                .await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("release a lease in", trouble))
    }

    /// Whether a living process holds the lease of `pipeline`.
    pub(super) fn is_held(&self, pipeline: &str) -> Result<bool> {
        let path = self.lock_path(pipeline);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(cannot_lock(path, error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(cannot_lock(path, error)),
        }
    }

    async fn busy(&self, pipeline: &str, now: Instant) -> Result<Acquired> {
        let work = async {
            let row: Option<(Option<String>, i64)> =
                sqlx::query_as("SELECT holder, since FROM leases WHERE pipeline = $1")
                    .bind(pipeline)
                    .fetch_optional(&self.readers)
                    .await?;
            // Between taking its lock and writing its name a holder has none.
            Ok::<_, Trouble>(match row {
                Some((Some(holder), since)) => Acquired::Busy { holder, since: moment(since)? },
                _ => Acquired::Busy { holder: "another process".to_owned(), since: now },
            })
        };
        work.await.map_err(|trouble| self.failed("read a lease in", trouble))
    }

    async fn try_lock(&self, pipeline: &str) -> Result<Option<File>> {
        let path = self.lock_path(pipeline);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| cannot_lock(path.clone(), error))?;
        for tried in 1..=TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if tried < TRIES => tokio::time::sleep(BETWEEN_TRIES).await,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(cannot_lock(path, error)),
            }
        }
        Ok(None)
    }

    fn lock_path(&self, pipeline: &str) -> PathBuf {
        self.beside(&format!("{pipeline}.lock"))
    }
}

fn cannot_lock(path: PathBuf, error: io::Error) -> Error {
    Error::storage(format!("cannot lock `{}`", path.display()))
        .because(error)
        .hint("the state must be on a local disk, in a folder that this user may write to")
}
