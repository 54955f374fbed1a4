//! Opening the database: folder, file, settings, schema version.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use super::trouble::{Trouble, migration_failed, newer_schema, told};
use super::{State, beside};
use crate::error::{Error, Result};

/// What a file of ours holds.
struct Tables {
    /// All versions of its schema, in order.
    migrations: Migrator,
    /// A table that is there from the first version on.
    mark: &'static str,
}

static STATE: Tables = Tables { migrations: sqlx::migrate!("src/state/migrations"), mark: "leases" };
static QUOTAS: Tables = Tables { migrations: sqlx::migrate!("src/state/quota_migrations"), mark: "tallies" };

/// The file of quota use is named after the state.
const QUOTAS_SUFFIX: &str = "quotas";
/// How long a statement waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Milliseconds for which a statement on the file of quota use waits, before its user asks again.
const SHORT_BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 3";
/// How long a write of this process waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(120);
const READERS: u32 = 4;

/// What a database file holds.
enum Schema {
    /// No table.
    Empty,
    /// Our tables in this version.
    Version(i64),
    /// Another program's tables.
    Foreign,
}

impl State {
    /// Opens the database at `path` for reading and writing; makes folder and file where they are missing (readable
    /// for this user only) and brings its tables up to this program's schema.
    ///
    /// A database of a newer schema, or of another program, and a file that is no database are refused untouched, as
    /// storage errors that name the file.
    pub async fn open(path: &Path) -> Result<State> {
        let resolved = make_file(path)?;
        // Two processes that open a new file at once must not both make its tables.
        let turn = wait_for_turn(path, beside(&resolved, "lock")).await?;
        // A look before any setting is written: a file that is not ours stays as it is.
        STATE.refuse_unknown(path, &STATE.found(path).await?)?;
        let failed = |error: sqlx::Error| told(path, "open", error.into());
        let writer = pool(1).connect_with(options_for_writing(path)).await.map_err(failed)?;
        STATE.migrate(path, &writer).await?;
        let readers = pool(READERS).connect_with(options_for_writing(path)).await.map_err(failed)?;
        drop(turn);
        Ok(State { path: Arc::from(path), locks: Arc::from(resolved), readers, writer })
    }

    /// Opens the database at `path` for reading only. `None` where there is no file, or nothing in it yet.
    ///
    /// An older schema is brought up to date first, which needs the right to write; anything else that
    /// [`State::open`] refuses is refused here.
    pub async fn open_read(path: &Path) -> Result<Option<State>> {
        let resolved = match std::fs::canonicalize(path) {
            Ok(resolved) => resolved,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot_open(path, error)),
        };
        refuse_folder(path)?;
        let found = STATE.found(path).await?;
        STATE.refuse_unknown(path, &found)?;
        match found {
            Schema::Empty => return Ok(None),
            Schema::Version(version) if version < STATE.latest() => return State::open(path).await.map(Some),
            Schema::Version(_) | Schema::Foreign => {}
        }
        let readers = pool(READERS).connect_with(options_for_reading(path)).await;
        let readers = readers.map_err(|error| told(path, "open", error.into()))?;
        // The same connections serve as writers, so that an attempt to write is refused by the database.
        let writer = readers.clone();
        Ok(Some(State { path: Arc::from(path), locks: Arc::from(resolved), readers, writer }))
    }

    /// Opens the file of quota use as [`State::open`] does the state; gives its path and its one connection.
    pub(super) async fn open_quotas(&self) -> Result<(PathBuf, SqliteConnection)> {
        let path = make_file(&self.beside(QUOTAS_SUFFIX))?;
        let turn = wait_for_turn(&path, self.beside("lock")).await?;
        QUOTAS.refuse_unknown(&path, &QUOTAS.found(&path).await?)?;
        let failed = |error: sqlx::Error| told(&path, "open", error.into());
        let migrating = pool(1).connect_with(options_for_writing(&path)).await.map_err(failed)?;
        QUOTAS.migrate(&path, &migrating).await?;
        let connection = connect_shortly(&options_for_writing(&path)).await.map_err(failed)?;
        migrating.close().await;
        drop(turn);
        Ok((path, connection))
    }

    /// The same for reading only. `None` where there is no file, or nothing in it yet.
    pub(super) async fn open_quotas_for_reading(&self) -> Result<Option<(PathBuf, SqliteConnection)>> {
        let path = self.beside(QUOTAS_SUFFIX);
        if !path.try_exists().map_err(|error| cannot_open(&path, error))? {
            return Ok(None);
        }
        refuse_folder(&path)?;
        let found = QUOTAS.found(&path).await?;
        QUOTAS.refuse_unknown(&path, &found)?;
        match found {
            Schema::Empty => return Ok(None),
            Schema::Version(version) if version < QUOTAS.latest() => return self.open_quotas().await.map(Some),
            Schema::Version(_) | Schema::Foreign => {}
        }
        let connection = connect_shortly(&options_for_reading(&path)).await;
        let connection = connection.map_err(|error| told(&path, "open", error.into()))?;
        Ok(Some((path, connection)))
    }
}

fn options_for_writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging()
}

fn options_for_reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

/// Connections that live as long as the process: there is no server that would end them.
fn pool(connections: u32) -> SqlitePoolOptions {
    // On a full disk SQLite ends a transaction by itself; the library then counts it as open for ever and could begin
    // no other on this connection. The ping lets a rollback that is under way take effect first.
    SqlitePoolOptions::new()
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .max_connections(connections)
        .acquire_timeout(TURN_TIMEOUT)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
}

/// A connection that waits for others while it is made, and then no longer than its user has asked for.
async fn connect_shortly(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::query(SHORT_BUSY_TIMEOUT).execute(&mut connection).await?;
    Ok(connection)
}

impl Tables {
    /// This program's schema version.
    fn latest(&self) -> i64 {
        self.migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
    }

    async fn migrate(&self, path: &Path, writer: &SqlitePool) -> Result<()> {
        self.migrations.run(writer).await.map_err(|error| migration_failed(path, self.latest(), error))
    }

    /// Looks without writing anything, unless a killed process left a journal: then SQLite must first undo what was
    /// half written, which a connection for reading only may not.
    async fn found(&self, path: &Path) -> Result<Schema> {
        let options = options_for_reading(path);
        let found = match self.look(&options).await {
            Err(Trouble::Sql(error)) if wants_recovery(&error) => self.look(&options.read_only(false)).await,
            found => found,
        };
        found.map_err(|trouble| told(path, "open", trouble))
    }

    async fn look(&self, options: &SqliteConnectOptions) -> Result<Schema, Trouble> {
        let mut database = options.connect().await?;
        let tables: Vec<(String,)> =
            sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
                .fetch_all(&mut database)
                .await?;
        let has = |table: &str| tables.iter().any(|(name,)| name == table);
        let schema = if tables.is_empty() {
            Schema::Empty
        } else if !has("_sqlx_migrations") {
            Schema::Foreign
        } else {
            let version: Option<i64> =
                sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut database).await?;
            // A first opening that was cut short leaves the empty list of versions, and a table of ours never does.
            match version {
                Some(version) if has(self.mark) => Schema::Version(version),
                None if tables.len() == 1 => Schema::Empty,
                _ => Schema::Foreign,
            }
        };
        database.close().await?;
        Ok(schema)
    }

    fn refuse_unknown(&self, path: &Path, found: &Schema) -> Result<()> {
        match found {
            Schema::Foreign => {
                Err(Error::storage(format!("the database `{}` belongs to another program", path.display()))
                    .hint("name another file for the state"))
            }
            Schema::Version(version) if *version > self.latest() => Err(newer_schema(path, *version, self.latest())),
            Schema::Version(_) | Schema::Empty => Ok(()),
        }
    }
}

/// READONLY_ROLLBACK and READONLY_RECOVERY.
fn wants_recovery(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(code.as_ref(), "776" | "264"))
}

/// Makes folder and file where they are missing; gives the file's path with links resolved.
fn make_file(path: &Path) -> Result<PathBuf> {
    refuse_folder(path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::storage(format!("cannot make the state's folder `{}`", folder.display()))
                .because(error)
                .hint("name a state file in a folder that this user may write to")
        })?;
    }
    let mut file = OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot_open(path, error)),
    }
    std::fs::canonicalize(path).map_err(|error| cannot_open(path, error))
}

fn refuse_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::storage(format!("the state `{}` is a folder, expected a file", path.display()))
            .hint("name a file in it"));
    }
    Ok(())
}

fn cannot_open(path: &Path, error: io::Error) -> Error {
    Error::storage(format!("cannot open the state `{}`", path.display()))
        .because(error)
        .hint("is its folder there, and writable for this user?")
}

/// Holds the lock file until the returned file is dropped.
async fn wait_for_turn(path: &Path, lock: PathBuf) -> Result<File> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock)?;
        file.lock()?;
        Ok::<File, io::Error>(file)
    });
    match locked.await {
        Ok(locked) => locked.map_err(|error| cannot_open(path, error)),
        Err(error) => Err(Error::internal("waiting for the state's lock ended early").because(error)),
    }
}
