//! Quota use: what is used up of each quota, in an SQLite file of its own beside the state (`<state>.quotas`).
//!
//! It is written before every request and must not wait for a ledger transaction, so it has its own file and its own
//! writer. A commit that returned is on the disk (`synchronous = FULL`): a request that was granted stays counted,
//! whatever happens to the process or the machine.
//!
//! All processes of a machine that use one state share this file. Each changes it in turns ([`QuotaTurn`]): load, decide,
//! save, commit, while nobody else writes. A process that keeps the tallies in memory need not load them in each turn:
//! [`QuotaTurn::others_wrote`] says when its memory is out of date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::State;
use super::trouble::{Trouble, told};
use crate::error::{Error, Result};
use crate::time::Instant;

/// How long a turn waits for other processes' turns.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// The file of quota use. Cheap to clone; all clones share one connection, so their turns come one after the other.
///
/// What [`QuotaUse::changed`] and [`QuotaTurn::others_wrote`] say is about everybody but these clones, so whoever
/// keeps tallies in memory must keep them once for all clones.
#[derive(Debug, Clone)]
pub struct QuotaUse {
    path: Arc<Path>,
    /// Held by a turn from its beginning to its end.
    opened: Arc<Mutex<Opened>>,
}

#[derive(Debug)]
struct Opened {
    connection: SqliteConnection,
    /// Whether a transaction may be open.
    in_turn: bool,
    /// The version that the last committed turn left; `None` where the file may hold something else.
    left: Option<i64>,
}

impl Opened {
    /// Takes back what a turn did that was dropped.
    async fn end_turn(&mut self) {
        if self.in_turn {
            // Refused where there is nothing to take back; and what is still open after a fault of the disk fails the
            // next turn.
            let _ended = execute(&mut self.connection, "ROLLBACK").await;
            self.in_turn = false;
        }
    }

    /// A number that changes when another connection has committed, and only then.
    async fn version(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await
    }
}

/// What is kept of a quota's use in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTally {
    /// The quota's name.
    pub quota: String,
    /// Who it is counted by: `app`, `account ID`, `endpoint KIND`.
    pub scope: String,
    /// The quota's own encoding.
    pub kept: Vec<u8>,
    /// When it was saved last, to the millisecond.
    pub at: Instant,
}

/// A turn: what others wrote is seen, and nobody writes until it is committed or dropped. Dropped, it changes nothing.
#[derive(Debug)]
pub struct QuotaTurn {
    path: Arc<Path>,
    opened: OwnedMutexGuard<Opened>,
    version: i64,
    others_wrote: bool,
}

impl State {
    /// Opens the file of quota use beside the state; makes it where it is missing (readable for this user only).
    ///
    /// Each call opens the file anew, so that its turns are seen as another's: once per process is enough. Refused, as
    /// storage errors that name the file, are a newer schema, another program's database, and a file that is none.
    pub async fn quota_use(&self) -> Result<QuotaUse> {
        let (path, connection) = self.open_quotas().await?;
        Ok(QuotaUse::new(path, connection))
    }

    /// The same for reading only: [`QuotaUse::begin`] is then refused. `None` where there is no file, or nothing in it.
    pub async fn quota_use_for_reading(&self) -> Result<Option<QuotaUse>> {
        let opened = self.open_quotas_for_reading().await?;
        Ok(opened.map(|(path, connection)| QuotaUse::new(path, connection)))
    }
}

impl QuotaUse {
    fn new(path: PathBuf, connection: SqliteConnection) -> QuotaUse {
        QuotaUse {
            path: Arc::from(path),
            opened: Arc::new(Mutex::new(Opened { connection, in_turn: false, left: None })),
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a turn, once the turns of all others have ended.
    ///
    /// Turns should be short, and nothing but this file should be waited for in one.
    pub async fn begin(&self) -> Result<QuotaTurn> {
        let opened = self.opened().await;
        // Made before the transaction begins: dropped at any later point, it ends the transaction.
        let mut turn = QuotaTurn { path: self.path.clone(), opened, version: 0, others_wrote: true };
        turn.begin().await.map_err(|error| told(&self.path, "begin a turn in", error.into()))?;
        Ok(turn)
    }

    /// Whether what the last committed turn left may have been written over since, by another process or another
    /// opening of the file. True before the first turn. Cheap: it writes nothing, and waits for none but a turn of its
    /// own.
    pub async fn changed(&self) -> Result<bool> {
        let mut opened = self.opened().await;
        let begun = Moment::now();
        loop {
            match opened.version().await {
                Err(error) if asks_again(&error, begun) => {}
                Err(error) => return Err(told(&self.path, "look for changes in", error.into())),
                Ok(version) => return Ok(opened.left != Some(version)),
            }
        }
    }

    /// Everything that is kept of `quotas`, by quota and scope, as of the last commit of anybody.
    pub async fn all(&self, quotas: &[String]) -> Result<Vec<KeptTally>> {
        let mut opened = self.opened().await;
        let begun = Moment::now();
        loop {
            match all(&mut opened.connection, quotas).await {
                Err(Trouble::Sql(error)) if asks_again(&error, begun) => {}
                result => return result.map_err(|trouble| told(&self.path, "list what is used in", trouble)),
            }
        }
    }

    /// Forgets the tallies that were saved last before `older_than`. That must be longer ago than the longest period of
    /// any quota, or use that still counts is forgotten.
    pub async fn sweep(&self, older_than: Instant) -> Result<()> {
        let mut turn = self.begin().await?;
        let swept = sqlx::query("DELETE FROM tallies WHERE at < $1")
            .bind(older_than.timestamp_millis())
            .execute(&mut turn.opened.connection)
            .await;
        swept.map_err(|error| told(&self.path, "forget old tallies in", error.into()))?;
        // What others wrote was not loaded in this turn, and is to be told in the next.
        let left = turn.opened.left;
        turn.end(left).await
    }

    async fn opened(&self) -> OwnedMutexGuard<Opened> {
        let mut opened = self.opened.clone().lock_owned().await;
        opened.end_turn().await;
        opened
    }
}

impl QuotaTurn {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.opened.in_turn = true;
        let begun = Moment::now();
        self.version = loop {
            // Asked for in one go: there is a turn for each request, and each question is one for another thread.
            let both = sqlx::raw_sql("BEGIN IMMEDIATE; PRAGMA data_version");
            match both.fetch_one(&mut self.opened.connection).await {
                Err(error) if asks_again(&error, begun) => {}
                row => break row?.try_get(0)?,
            }
        };
        self.others_wrote = self.opened.left != Some(self.version);
        Ok(())
    }

    /// Whether the file may differ from what the last committed turn of this [`QuotaUse`] left: anybody else has
    /// committed since, or a turn of its own that had saved something ended without saying so. True in the first turn.
    ///
    /// Whoever remembers tallies must then forget them all and load what it needs.
    pub fn others_wrote(&self) -> bool {
        self.others_wrote
    }

    /// What is kept of `quota` in `scopes`, by scope; scopes of which nothing is kept are left out.
    pub async fn load(&mut self, quota: &str, scopes: &[&str]) -> Result<Vec<KeptTally>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT quota, scope, kept, at FROM tallies \
                 WHERE quota = $1 AND scope IN (SELECT value FROM json_each($2)) ORDER BY scope",
            )
            .bind(quota)
            .bind(list(scopes)?)
            .fetch_all(&mut self.opened.connection)
            .await?;
            rows.iter().map(tally_from).collect::<Result<Vec<KeptTally>, Trouble>>()
        };
        work.await.map_err(|trouble| told(&self.path, "read what is used in", trouble))
    }

    /// Keeps `kept` for `quota` in `scope`, in place of what was kept; `at_ms` is now, in milliseconds since 1970.
    pub async fn save(&mut self, quota: &str, scope: &str, kept: &[u8], at_ms: i64) -> Result<()> {
        // Until this turn's commit returns nobody knows whether the file holds what its user thinks.
        self.opened.left = None;
        let work = async {
            sqlx::query(
                "INSERT INTO tallies (quota, scope, kept, at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (quota, scope) DO UPDATE SET kept = excluded.kept, at = excluded.at",
            )
            .bind(quota)
            .bind(scope)
            .bind(kept)
            .bind(at_ms)
            .execute(&mut self.opened.connection)
            .await?;
            Ok(())
        };
        work.await.map_err(|trouble| told(&self.path, "save what is used in", trouble))
    }

    /// Ends the turn. When this has returned, what was saved is on the disk. Where it fails or is given up half-way,
    /// the saves may have been kept or not, and the next turn's [`QuotaTurn::others_wrote`] is true.
    pub async fn commit(self) -> Result<()> {
        // One's own commit does not change the version.
        let left = Some(self.version);
        self.end(left).await
    }

    async fn end(mut self, left: Option<i64>) -> Result<()> {
        let ended = execute(&mut self.opened.connection, "COMMIT").await;
        ended.map_err(|error| told(&self.path, "save what is used in", error.into()))?;
        self.opened.in_turn = false;
        self.opened.left = left;
        Ok(())
    }
}

impl Drop for QuotaTurn {
    fn drop(&mut self) {
        if !self.opened.in_turn {
            return;
        }
        // Soon, because others wait for it; where nothing runs any more, with the next turn or the end of the process.
        let opened = OwnedMutexGuard::mutex(&self.opened).clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { opened.lock_owned().await.end_turn().await });
        }
    }
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

async fn all(connection: &mut SqliteConnection, quotas: &[String]) -> Result<Vec<KeptTally>, Trouble> {
    let rows = sqlx::query(
        "SELECT quota, scope, kept, at FROM tallies WHERE quota IN (SELECT value FROM json_each($1)) \
         ORDER BY quota, scope",
    )
    .bind(list(quotas)?)
    .fetch_all(connection)
    .await?;
    rows.iter().map(tally_from).collect()
}

/// Whether a statement is tried again that has been refused because another process writes.
///
/// Left to itself, SQLite would look again after pauses that grow to a tenth of a second, in which a busy neighbour has
/// dozens of turns. So a statement waits for a few milliseconds only, and is then tried again.
fn asks_again(error: &sqlx::Error, begun: Moment) -> bool {
    is_busy(error) && begun.elapsed() < TURN_TIMEOUT
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

fn list<T: serde::Serialize>(texts: &[T]) -> Result<String, Trouble> {
    serde_json::to_string(texts)
        .map_err(|error| Error::internal("a list of names cannot be written as JSON").because(error).into())
}

fn tally_from(row: &SqliteRow) -> Result<KeptTally, Trouble> {
    let at: i64 = row.try_get("at")?;
    Ok(KeptTally {
        quota: row.try_get("quota")?,
        scope: row.try_get("scope")?,
        kept: row.try_get("kept")?,
        at: Instant::from_timestamp_millis(at)
            .ok_or_else(|| Error::storage(format!("{at} is not a moment in milliseconds since 1970")))?,
    })
}
