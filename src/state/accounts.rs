//! Accounts: what a pipeline has listed, and how far each has come.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::State;
use super::trouble::Trouble;
use super::values::{list_text, moment, new_account, seconds};
use crate::error::Result;
use crate::time::Instant;
use crate::unit::Account;

/// An account that was listed at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    /// As it was last listed.
    pub account: Account,
    /// All its hours from `started` to here are published and were read after they settled.
    pub watermark: Instant,
    /// The watermark with which it began; hours before it are a backfill's.
    pub started: Instant,
    /// When it was first listed.
    pub first_seen: Instant,
    /// When it was last listed; long ago for an account that was taken away.
    pub last_listed: Instant,
}

impl State {
    /// Records that `accounts` are what `pipeline` lists at `now`. New ones get `start` as their watermark; known ones
    /// take the listed name, zone and currency and keep theirs. Accounts that are not listed stay as they are.
    pub async fn upsert_accounts(
        &self,
        pipeline: &str,
        accounts: &[Account],
        start: Instant,
        now: Instant,
    ) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            for account in accounts {
                sqlx::query(
                    "INSERT INTO accounts (pipeline, account_id, name, time_zone, currency, started, watermark, \
                     first_seen, last_listed, parent) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $7, $8) \
                     ON CONFLICT (pipeline, account_id) DO UPDATE SET name = excluded.name, \
                     time_zone = excluded.time_zone, currency = excluded.currency, \
                     last_listed = excluded.last_listed, parent = excluded.parent",
                )
                .bind(pipeline)
                .bind(&account.id)
                .bind(&account.name)
                .bind(account.time_zone.name())
                .bind(&account.currency)
                .bind(seconds(start))
                .bind(seconds(now))
                .bind(&account.parent)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record the accounts in", trouble))
    }

    /// The accounts of `pipeline`, by id.
    pub async fn accounts(&self, pipeline: &str) -> Result<Vec<KnownAccount>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT account_id, name, time_zone, currency, watermark, started, first_seen, last_listed, parent \
                 FROM accounts WHERE pipeline = $1 ORDER BY account_id",
            )
            .bind(pipeline)
            .fetch_all(&self.readers)
            .await?;
            rows.iter().map(known_from).collect::<Result<Vec<KnownAccount>, Trouble>>()
        };
        work.await.map_err(|trouble| self.failed("list the accounts in", trouble))
    }
}

/// Some accounts, inside a transaction, by id; those that were never listed are left out.
pub(super) async fn known_accounts(
    connection: &mut SqliteConnection,
    pipeline: &str,
    ids: impl Iterator<Item = &str>,
) -> Result<Vec<KnownAccount>, Trouble> {
    let rows = sqlx::query(
        "SELECT account_id, name, time_zone, currency, watermark, started, first_seen, last_listed, parent FROM accounts \
         WHERE pipeline = $1 AND account_id IN (SELECT value FROM json_each($2)) ORDER BY account_id",
    )
    .bind(pipeline)
    .bind(list_text(ids.collect::<Vec<&str>>()))
    .fetch_all(&mut *connection)
    .await?;
    rows.iter().map(known_from).collect()
}

fn known_from(row: &SqliteRow) -> Result<KnownAccount, Trouble> {
    let zone: &str = row.try_get("time_zone")?;
    let account = new_account(row.try_get("account_id")?, row.try_get("name")?, zone, row.try_get("currency")?)?;
    Ok(KnownAccount {
        account: Account { parent: row.try_get("parent")?, ..account },
        watermark: moment(row.try_get("watermark")?)?,
        started: moment(row.try_get("started")?)?,
        first_seen: moment(row.try_get("first_seen")?)?,
        last_listed: moment(row.try_get("last_listed")?)?,
    })
}
