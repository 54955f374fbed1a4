//! Creations: requests that create something on the platform (a report, an export), each recorded before its first
//! sending, so that a retry or a later run sends the same idempotency key and never creates it twice.
//!
//! A creation is one of its unit's creating requests (`part`) in one `round`. It is open until what it made has failed
//! or expired ([`State::give_up_creation`]), or until its unit is staged, published or failed. While it is open, whoever
//! begins it again is given what is known: the key to send, and the id of what was made where that is known. Once it
//! has ended, the next one is of the next round and has another key.
//!
//! A body that is no longer the same ends a creation too: servers refuse a key that comes with another body.

use chrono::TimeDelta;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use xxhash_rust::xxh3::xxh3_128;

use super::trouble::Trouble;
use super::units::unit_from;
use super::values::{accounts_text, moment, seconds, small_count};
use super::{Lease, State};
use crate::error::{Error, Result};
use crate::time::Instant;
use crate::unit::{Unit, UnitKey};

/// How many ended creations of a pipeline are kept.
const ENDED_KEPT: i64 = 1000;
/// For how long a begun unit is remembered that no run takes up again. No platform keeps a report for longer.
const BEGUN_DAYS: i64 = 30;

/// One creating request, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// Whose rows it is to bring.
    pub unit: UnitKey,
    /// Which of the unit's creating requests.
    pub part: u32,
    /// 1, then 2 and so on: what has failed is made anew.
    pub round: u32,
    /// The idempotency key that each sending carries.
    pub key: String,
    /// The hash of its body.
    pub body_hash: u64,
    /// When it was recorded; it may have been sent at any moment since.
    pub begun_at: Instant,
    /// The id of what was made, once it is known.
    pub made: Option<String>,
    /// When that became known.
    pub made_at: Option<Instant>,
    /// How it stands.
    pub end: CreationEnd,
}

/// How a creation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreationEnd {
    /// It may be sent, or what it made may be waited for.
    Open,
    /// Its unit was staged, published, or failed.
    UnitEnded {
        /// When.
        at: Instant,
    },
    /// It has come to nothing.
    GivenUp {
        /// When.
        at: Instant,
        /// Why, for people.
        reason: String,
    },
}

/// The idempotency key of a creation: the same for the same arguments in any version of this program, `hm-` and 32
/// hexadecimal digits. The unit's key names its pipeline.
pub fn idempotency_key(unit: &UnitKey, part: u32, round: u32) -> String {
    format!("hm-{:032x}", xxh3_128(format!("{unit}\n{part}\n{round}").as_bytes()))
}

impl State {
    /// Remembers that `unit`'s creating request `part` is about to be sent with a body of this hash; where it is open
    /// already, gives what is known of it. Nothing may be sent before this has returned.
    ///
    /// One that has ended, or had another body, is followed by one of the next round. Refused where `lease` has passed
    /// to another run.
    pub async fn begin_creation(
        &self,
        lease: &Lease,
        unit: &Unit,
        part: u32,
        body_hash: u64,
        now: Instant,
    ) -> Result<Creation> {
        let work = async {
            let pipeline = lease.pipeline();
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let last = last_round(&mut transaction, pipeline, &unit.key, part).await?;
            let round = match last {
                None => 1,
                Some(last) if last.end == CreationEnd::Open && last.body_hash == body_hash => return Ok(last),
                Some(last) => {
                    let reason = "the request's body has changed";
                    end(&mut transaction, pipeline, &unit.key, part, last.round, reason, now).await?;
                    last.round + 1
                }
            };
            let creation = Creation {
                unit: unit.key.clone(),
                part,
                round,
                key: idempotency_key(&unit.key, part, round),
                body_hash,
                // As it is read back.
                begun_at: moment(seconds(now))?,
                made: None,
                made_at: None,
                end: CreationEnd::Open,
            };
            insert_unit(&mut transaction, pipeline, unit, now).await?;
            insert(&mut transaction, pipeline, &creation).await?;
            transaction.commit().await?;
            Ok::<Creation, Trouble>(creation)
        };
        work.await.map_err(|trouble| self.failed("record a creation in", trouble))
    }

    /// Remembers the id of what was made. Doing so again changes nothing.
    ///
    /// Another id than the one that is known, and a creation that has ended, are internal errors. Refused where `lease`
    /// has passed to another run.
    pub async fn adopt_creation(
        &self,
        lease: &Lease,
        unit: &UnitKey,
        part: u32,
        round: u32,
        id: &str,
        now: Instant,
    ) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let adopted = sqlx::query(
                "UPDATE creations SET made = $5, made_at = COALESCE(made_at, $6) WHERE pipeline = $1 AND unit = $2 \
                 AND part = $3 AND round = $4 AND ended_at IS NULL AND COALESCE(made, $5) = $5",
            )
            .bind(lease.pipeline())
            .bind(unit.as_str())
            .bind(i64::from(part))
            .bind(i64::from(round))
            .bind(id)
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
            if adopted.rows_affected() == 0 {
                let known = last_round(&mut transaction, lease.pipeline(), unit, part).await?;
                return Err(not_adopted(unit, part, round, id, known).into());
            }
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record what was created in", trouble))
    }

    /// Ends a creation that has come to nothing (failed, expired, refused); the next one is of the next round. One that
    /// has ended stays as it is.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn give_up_creation(
        &self,
        lease: &Lease,
        unit: &UnitKey,
        part: u32,
        round: u32,
        reason: &str,
        now: Instant,
    ) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            end(&mut transaction, lease.pipeline(), unit, part, round, reason, now).await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("give up a creation in", trouble))
    }

    /// The units of `pipeline` whose first creation was begun at `since` or later and that were not staged, published
    /// or failed since then; the oldest first.
    pub async fn open_units(&self, pipeline: &str, since: Instant) -> Result<Vec<Unit>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT key, lane, accounts, window_from, window_to FROM begun_units \
                 WHERE pipeline = $1 AND begun_at >= $2 ORDER BY begun_at, key",
            )
            .bind(pipeline)
            .bind(seconds(since))
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(unit_from).collect::<Result<Vec<Unit>, Trouble>>()
        };
        work.await.map_err(|trouble| self.failed("list the begun units in", trouble))
    }

    /// The creations of `pipeline` that are open, and the last 1000 that have ended, in the order of their beginning.
    pub async fn creations(&self, pipeline: &str) -> Result<Vec<Creation>> {
        let work = async {
            let rows = sqlx::query("SELECT * FROM creations WHERE pipeline = $1 ORDER BY id")
                .bind(pipeline)
                .fetch_all(&self.readers)
                .await?;
            rows.iter().map(creation_from).collect::<Result<Vec<Creation>, Trouble>>()
        };
        work.await.map_err(|trouble| self.failed("list the creations in", trouble))
    }
}

/// Ends the creations of a unit that is staged, published, or failed, inside its transaction.
pub(super) async fn end_with_unit(
    connection: &mut SqliteConnection,
    pipeline: &str,
    unit: &UnitKey,
    now: Instant,
) -> Result<(), Trouble> {
    let begun = sqlx::query("DELETE FROM begun_units WHERE pipeline = $1 AND key = $2")
        .bind(pipeline)
        .bind(unit.as_str())
        .execute(&mut *connection)
        .await?;
    if begun.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query(
        "UPDATE creations SET ended_at = MAX(begun_at, $3) WHERE pipeline = $1 AND unit = $2 AND ended_at IS NULL",
    )
    .bind(pipeline)
    .bind(unit.as_str())
    .bind(seconds(now))
    .execute(&mut *connection)
    .await?;
    forget_ended(connection, pipeline).await
}

/// Ends the creations of units that no run has taken up for very long.
pub(super) async fn prune(connection: &mut SqliteConnection, pipeline: &str, now: Instant) -> Result<(), Trouble> {
    let oldest = seconds(now - TimeDelta::days(BEGUN_DAYS));
    let abandoned = sqlx::query(
        "UPDATE creations SET ended_at = $3, given_up = 'no run has taken its unit up again' \
         WHERE pipeline = $1 AND ended_at IS NULL \
         AND unit IN (SELECT key FROM begun_units WHERE pipeline = $1 AND begun_at < $2)",
    )
    .bind(pipeline)
    .bind(oldest)
    .bind(seconds(now))
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM begun_units WHERE pipeline = $1 AND begun_at < $2")
        .bind(pipeline)
        .bind(oldest)
        .execute(&mut *connection)
        .await?;
    if abandoned.rows_affected() == 0 {
        return Ok(());
    }
    forget_ended(connection, pipeline).await
}

async fn forget_ended(connection: &mut SqliteConnection, pipeline: &str) -> Result<(), Trouble> {
    sqlx::query(
        "DELETE FROM creations WHERE id IN (SELECT id FROM creations \
         WHERE pipeline = $1 AND ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT -1 OFFSET $2)",
    )
    .bind(pipeline)
    .bind(ENDED_KEPT)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn last_round(
    connection: &mut SqliteConnection,
    pipeline: &str,
    unit: &UnitKey,
    part: u32,
) -> Result<Option<Creation>, Trouble> {
    let row = sqlx::query(
        "SELECT * FROM creations WHERE pipeline = $1 AND unit = $2 AND part = $3 ORDER BY round DESC LIMIT 1",
    )
    .bind(pipeline)
    .bind(unit.as_str())
    .bind(i64::from(part))
    .fetch_optional(&mut *connection)
    .await?;
    row.as_ref().map(creation_from).transpose()
}

async fn end(
    connection: &mut SqliteConnection,
    pipeline: &str,
    unit: &UnitKey,
    part: u32,
    round: u32,
    reason: &str,
    now: Instant,
) -> Result<(), Trouble> {
    sqlx::query(
        "UPDATE creations SET ended_at = $5, given_up = $6 \
         WHERE pipeline = $1 AND unit = $2 AND part = $3 AND round = $4 AND ended_at IS NULL",
    )
    .bind(pipeline)
    .bind(unit.as_str())
    .bind(i64::from(part))
    .bind(i64::from(round))
    .bind(seconds(now))
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn insert_unit(
    connection: &mut SqliteConnection,
    pipeline: &str,
    unit: &Unit,
    now: Instant,
) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO begun_units (pipeline, key, lane, accounts, window_from, window_to, begun_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (pipeline, key) DO NOTHING",
    )
    .bind(pipeline)
    .bind(unit.key.as_str())
    .bind(unit.lane.word())
    .bind(accounts_text(&unit.accounts)?)
    .bind(seconds(unit.window.from()))
    .bind(seconds(unit.window.to()))
    .bind(seconds(now))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, pipeline: &str, creation: &Creation) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO creations (pipeline, unit, part, round, key, body_hash, begun_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(pipeline)
    .bind(creation.unit.as_str())
    .bind(i64::from(creation.part))
    .bind(i64::from(creation.round))
    .bind(&creation.key)
    .bind(creation.body_hash.cast_signed())
    .bind(seconds(creation.begun_at))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

fn not_adopted(unit: &UnitKey, part: u32, round: u32, id: &str, known: Option<Creation>) -> Error {
    let what = format!("`{id}` cannot be adopted as what unit `{unit}` made (part {part}, round {round})");
    Error::internal(match known {
        None => format!("{what}: nothing is known of that creation"),
        Some(known) if known.round != round => format!("{what}: it is in round {}", known.round),
        Some(Creation { end: CreationEnd::Open, made: Some(made), .. }) => format!("{what}: it has made `{made}`"),
        Some(_) => format!("{what}: that creation has ended"),
    })
}

fn creation_from(row: &SqliteRow) -> Result<Creation, Trouble> {
    let unit: String = row.try_get("unit")?;
    let body_hash: i64 = row.try_get("body_hash")?;
    let made_at: Option<i64> = row.try_get("made_at")?;
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    let end = match (ended_at, row.try_get("given_up")?) {
        (None, _) => CreationEnd::Open,
        (Some(at), None) => CreationEnd::UnitEnded { at: moment(at)? },
        (Some(at), Some(reason)) => CreationEnd::GivenUp { at: moment(at)?, reason },
    };
    Ok(Creation {
        unit: UnitKey::from_stored(unit),
        part: small_count(row.try_get("part")?),
        round: small_count(row.try_get("round")?),
        key: row.try_get("key")?,
        body_hash: body_hash.cast_unsigned(),
        begun_at: moment(row.try_get("begun_at")?)?,
        made: row.try_get("made")?,
        made_at: made_at.map(moment).transpose()?,
        end,
    })
}
