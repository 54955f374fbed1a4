//! Accounts: what a pipeline has listed, how far each has come, and what is known of their hours.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::State;
use super::trouble::Trouble;
use super::values::{moment, new_account, seconds};
use crate::error::{Error, Result};
use crate::ledger::{AccountLedger, DayLedger, day_of};
use crate::time::{Instant, slot};
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
                     first_seen, last_listed) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $7) \
                     ON CONFLICT (pipeline, account_id) DO UPDATE SET name = excluded.name, \
                     time_zone = excluded.time_zone, currency = excluded.currency, \
                     last_listed = excluded.last_listed",
                )
                .bind(pipeline)
                .bind(&account.id)
                .bind(&account.name)
                .bind(account.time_zone.name())
                .bind(&account.currency)
                .bind(seconds(start))
                .bind(seconds(now))
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
            let rows: Vec<(String, String, String, String, i64, i64, i64, i64)> = sqlx::query_as(
                "SELECT account_id, name, time_zone, currency, watermark, started, first_seen, last_listed \
                 FROM accounts WHERE pipeline = $1 ORDER BY account_id",
            )
            .bind(pipeline)
            .fetch_all(&self.readers)
            .await?;
            let mut accounts = Vec::with_capacity(rows.len());
            for (id, name, zone, currency, watermark, started, first_seen, last_listed) in rows {
                accounts.push(KnownAccount {
                    account: new_account(id, name, &zone, currency)?,
                    watermark: moment(watermark)?,
                    started: moment(started)?,
                    first_seen: moment(first_seen)?,
                    last_listed: moment(last_listed)?,
                });
            }
            Ok::<_, Trouble>(accounts)
        };
        work.await.map_err(|trouble| self.failed("list the accounts in", trouble))
    }

    /// What is known of the hours of all accounts of `pipeline`, by account id, for the UTC days that `[from, to)`
    /// touches. An account of which nothing is known there is left out.
    pub async fn ledgers(&self, pipeline: &str, from: Instant, to: Instant) -> Result<HashMap<String, AccountLedger>> {
        let work = async {
            let rows: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(
                "SELECT account_id, day, cells FROM ledger WHERE pipeline = $1 AND day BETWEEN $2 AND $3 \
                 ORDER BY day, account_id",
            )
            .bind(pipeline)
            .bind(day_of(slot(from)))
            .bind(day_of(slot(to)))
            .fetch_all(&self.readers)
            .await?;
            let mut ledgers: HashMap<String, AccountLedger> = HashMap::new();
            for (id, day, cells) in rows {
                let ledger = decode_day(pipeline, &id, day, &cells)?;
                ledgers.entry(id).or_default().insert_day(day, ledger);
            }
            Ok::<_, Trouble>(ledgers)
        };
        work.await.map_err(|trouble| self.failed("read the ledger in", trouble))
    }
}

/// The days `first..=last` of one account's ledger, inside a transaction.
pub(super) async fn load_days(
    connection: &mut SqliteConnection,
    pipeline: &str,
    account: &str,
    first: i64,
    last: i64,
) -> Result<AccountLedger, Trouble> {
    let mut ledger = AccountLedger::default();
    // Day by day: each is a look-up by the whole key, while a stretch of days would pass over all other accounts.
    for day in first..=last {
        let cells: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT cells FROM ledger WHERE pipeline = $1 AND day = $2 AND account_id = $3")
                .bind(pipeline)
                .bind(day)
                .bind(account)
                .fetch_optional(&mut *connection)
                .await?;
        if let Some(cells) = cells {
            ledger.insert_day(day, decode_day(pipeline, account, day, &cells)?);
        }
    }
    Ok(ledger)
}

/// Writes one day of one account's ledger in place of what was there.
pub(super) async fn save_day(
    connection: &mut SqliteConnection,
    pipeline: &str,
    account: &str,
    day: i64,
    ledger: &DayLedger,
) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO ledger (pipeline, day, account_id, cells) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (pipeline, day, account_id) DO UPDATE SET cells = excluded.cells",
    )
    .bind(pipeline)
    .bind(day)
    .bind(account)
    .bind(ledger.encode())
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The stored `cells`; the error names whose they are.
pub(super) fn decode_day(pipeline: &str, account: &str, day: i64, cells: &[u8]) -> Result<DayLedger, Trouble> {
    DayLedger::decode(cells).map_err(|error| {
        let whose = format!("the ledger of pipeline `{pipeline}`, account {account}, day {day} cannot be read");
        Error::storage(whose).because(error).hint("restore the state from a backup, or delete that row").into()
    })
}
