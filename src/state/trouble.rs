//! What can go wrong with the database, converted to [`Error`] in one place.

use std::path::Path;

use sqlx::migrate::MigrateError;

use super::State;
use crate::error::{Error, ErrorKind};

/// What goes wrong inside this module.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The database said so.
    Sql(sqlx::Error),
    /// Our own finding, complete as it is.
    Told(Error),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Told(error)
    }
}

impl State {
    /// The error of an attempt to `doing` the state ("list the accounts in").
    pub(super) fn failed(&self, doing: &str, trouble: Trouble) -> Error {
        told(&self.path, doing, trouble)
    }
}

/// The error of an attempt to `doing` the state at `path`.
pub(super) fn told(path: &Path, doing: &str, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Told(error) => error,
        Trouble::Sql(error) => {
            let (kind, what, hint) = meaning(&error);
            let message = format!("cannot {doing} the state `{}`{what}", path.display());
            let error = match error {
                // What the database itself said, without the library's frame around it.
                sqlx::Error::Database(database) => Error::new(kind, message).because(database.into_error()),
                other => Error::new(kind, message).because(other),
            };
            if hint.is_empty() { error } else { error.hint(hint) }
        }
    }
}

/// The error of a migration of the database at `path`; `latest` is this program's schema version.
pub(super) fn migration_failed(path: &Path, latest: i64, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            told(path, "bring up to date", error.into())
        }
        MigrateError::VersionMismatch(version) => {
            let path = path.display();
            Error::storage(format!("schema version {version} of the state `{path}` is not the one of this program"))
                .hint("it was written by a build of its own; use that build, or move the file away to start anew")
        }
        MigrateError::VersionMissing(version) => newer_schema(path, version, latest),
        other => Error::storage(format!("cannot bring the tables of the state `{}` up to date", path.display()))
            .because(other),
    }
}

/// The refusal of a database whose schema is `found` while this program knows versions up to `latest`.
pub(super) fn newer_schema(path: &Path, found: i64, latest: i64) -> Error {
    Error::storage(format!(
        "the state `{}` has schema version {found}, this hourmark knows versions up to {latest}",
        path.display()
    ))
    .hint("a newer hourmark has written it: use that one, or a newer one")
}

/// Kind, addition to the message, and hint, by SQLite's primary result code.
fn meaning(error: &sqlx::Error) -> (ErrorKind, &'static str, &'static str) {
    let code = match error {
        sqlx::Error::Database(database) => database.code().and_then(|code| code.parse::<u32>().ok()),
        sqlx::Error::PoolTimedOut => {
            return (ErrorKind::Busy, ": other writes have not ended in time", "try again when they have");
        }
        sqlx::Error::Io(_) => None,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            return (ErrorKind::Storage, ": a value has not the type that was written", DAMAGED);
        }
        _ => return (ErrorKind::Internal, "", ""),
    };
    // The upper bytes of an extended result code say more than is needed here.
    match code.map(|code| code & 0xff) {
        None => (ErrorKind::Storage, "", ""),
        Some(3 | 8 | 23) => (ErrorKind::Storage, ": not allowed to write", "make the file and its folder writable"),
        Some(5 | 6) => (ErrorKind::Busy, ": another program has locked it", "try again when that one has ended"),
        Some(10) => (ErrorKind::Storage, ": the disk refused", "look at the disk's free space and health"),
        Some(11) => (ErrorKind::Storage, ": it is damaged", DAMAGED),
        Some(13) => (ErrorKind::Storage, ": the disk is full", "free some space; nothing was half written"),
        Some(14) => (ErrorKind::Storage, ": it cannot be opened", "is its folder there, and writable for this user?"),
        Some(26) => (ErrorKind::Storage, ": it is not an SQLite database", "name another file for the state"),
        Some(_) => (ErrorKind::Internal, "", ""),
    }
}

const DAMAGED: &str = "restore it from a backup, or move it away: what the lake holds is then fetched again";
