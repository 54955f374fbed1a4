//! The ledger's rows: days in motion, each with the moment at which something in it is due, and final stretches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use sqlx::{Row, SqliteConnection};

use super::trouble::Trouble;
use super::values::{list_text, moment, seconds};
use super::{KnownAccount, Lease, State};
use crate::error::{Error, Result};
use crate::ledger::{AccountLedger, DayLedger, FinalStretch, day_of};
use crate::refresh::{Grid, Refresh};
use crate::time::{Instant, slot};
use crate::unit::Account;

/// Accounts whose watermark is further back than this many days are looked up one by one.
const RECENT_DAYS: i64 = 2;
/// Of more of them than this, everything is read.
const MOST_LOOK_UPS: usize = 500;

impl State {
    /// What is known of the hours of all accounts of `pipeline`, by account id, for the UTC days that `[from, to)`
    /// touches. An account of which nothing is known there is left out.
    pub async fn ledgers(&self, pipeline: &str, from: Instant, to: Instant) -> Result<HashMap<String, AccountLedger>> {
        let work = self.read_ledgers(pipeline, day_of(slot(from)), day_of(slot(to)));
        work.await.map_err(|trouble| self.failed("read the ledger in", trouble))
    }

    async fn read_ledgers(
        &self,
        pipeline: &str,
        first: i64,
        last: i64,
    ) -> Result<HashMap<String, AccountLedger>, Trouble> {
        let rows: Vec<DayRow> =
            sqlx::query_as("SELECT account_id, day, cells FROM ledger WHERE pipeline = $1 AND day BETWEEN $2 AND $3")
                .bind(pipeline)
                .bind(first)
                .bind(last)
                .fetch_all(&self.readers)
                .await?;
        let mut ledgers = HashMap::new();
        take_days(pipeline, rows, &mut ledgers)?;
        let rows = sqlx::query("SELECT * FROM finals WHERE pipeline = $1 AND to_slot > $2 AND from_slot < $3")
            .bind(pipeline)
            .bind(first * 24)
            .bind((last + 1) * 24)
            .fetch_all(&self.readers)
            .await?;
        for row in &rows {
            let id: String = row.try_get("account_id")?;
            ledgers.entry(id).or_default().insert_final(stretch_from(row)?);
        }
        Ok(ledgers)
    }

    /// What a run must know of the accounts in `known` to plan what is due at `now`: each one's days from its
    /// watermark's on, and of the earlier ones those in which something is due.
    pub async fn due_ledgers(
        &self,
        refresh: &Refresh,
        known: &[KnownAccount],
        now: Instant,
    ) -> Result<HashMap<String, AccountLedger>> {
        let work = self.read_due(refresh, known, now);
        work.await.map_err(|trouble| self.failed("read what is due in", trouble))
    }

    async fn read_due(
        &self,
        refresh: &Refresh,
        known: &[KnownAccount],
        now: Instant,
    ) -> Result<HashMap<String, AccountLedger>, Trouble> {
        let pipeline = refresh.pipeline().name.as_str();
        let today = day_of(slot(now));
        let recent = today - RECENT_DAYS;
        let behind: Vec<&KnownAccount> = known.iter().filter(|known| day_of(slot(known.watermark)) < recent).collect();
        let current = self.due_rules(pipeline).await?.is_some_and(|rules| rules == refresh.fingerprint());
        if !current || behind.len() > MOST_LOOK_UPS {
            return self.read_ledgers(pipeline, i64::MIN / 48, today + 1).await;
        }
        let rows: Vec<DayRow> = sqlx::query_as(
            "SELECT account_id, day, cells FROM ledger WHERE pipeline = $1 AND (due IS NULL OR due <= $2) \
             UNION SELECT account_id, day, cells FROM ledger WHERE pipeline = $1 AND day >= $3",
        )
        .bind(pipeline)
        .bind(seconds(now))
        .bind(recent)
        .fetch_all(&self.readers)
        .await?;
        let mut ledgers = HashMap::new();
        take_days(pipeline, rows, &mut ledgers)?;
        for known in behind {
            let rows: Vec<DayRow> = sqlx::query_as(
                "SELECT account_id, day, cells FROM ledger WHERE pipeline = $1 AND account_id = $2 AND day >= $3",
            )
            .bind(pipeline)
            .bind(&known.account.id)
            .bind(day_of(slot(known.watermark)))
            .fetch_all(&self.readers)
            .await?;
            take_days(pipeline, rows, &mut ledgers)?;
            let mut connection = self.readers.acquire().await?;
            let finals = load_finals(&mut connection, pipeline, &known.account.id).await?;
            let ledger: &mut AccountLedger = ledgers.entry(known.account.id.clone()).or_default();
            finals.into_iter().for_each(|stretch| ledger.insert_final(stretch));
        }
        Ok(ledgers)
    }

    async fn due_rules(&self, pipeline: &str) -> Result<Option<String>, Trouble> {
        let rules = sqlx::query_scalar("SELECT rules FROM due_rules WHERE pipeline = $1").bind(pipeline);
        Ok(rules.fetch_optional(&self.readers).await?)
    }

    /// Has every hour in motion of an account read anew, because its clock has other hours now. `known` is the account as
    /// it is from now on.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn unsettle(&self, lease: &Lease, refresh: &Refresh, known: &KnownAccount, now: Instant) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let before = load_all(&mut transaction, lease.pipeline(), &known.account.id).await?;
            let mut after = before.clone();
            after.unsettle();
            save(&mut transaction, refresh, known, (&before, &after), &mut Grid::default(), now).await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("follow a changed time zone in", trouble))
    }

    /// Works out anew when each day is due, where the rules are others than those under which that was done last.
    /// Final hours that the new rules ask for again are in motion again.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn follow_rules(&self, lease: &Lease, refresh: &Refresh, now: Instant) -> Result<()> {
        let work = async {
            let pipeline = lease.pipeline();
            let fingerprint = refresh.fingerprint();
            if self.due_rules(pipeline).await?.is_some_and(|rules| rules == fingerprint) {
                return Ok::<(), Trouble>(());
            }
            let known = self.accounts(pipeline).await?;
            let last_age = i64::try_from(refresh.last_age().as_secs()).unwrap_or(i64::MAX);
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            let before: Option<i64> = sqlx::query_scalar("SELECT last_age FROM due_rules WHERE pipeline = $1")
                .bind(pipeline)
                .fetch_optional(&mut *transaction)
                .await?;
            let unfold = before.is_some_and(|before| before < last_age);
            let mut grid = Grid::default();
            for known in &known {
                let mut before = load_all(&mut transaction, pipeline, &known.account.id).await?;
                let mut after = before.clone();
                if unfold {
                    after.unfold_from(slot(now - TimeDelta::seconds(last_age)));
                }
                let days: BTreeSet<i64> = after.days().map(|(day, _)| day).collect();
                refresh.fold(&known.account, &mut after, days.iter().copied(), &mut grid, now);
                // Every day's moment is written, whether its cells changed or not.
                for day in days {
                    before.forget_day(day);
                }
                save(&mut transaction, refresh, known, (&before, &after), &mut grid, now).await?;
            }
            sqlx::query(
                "INSERT INTO due_rules (pipeline, rules, last_age) VALUES ($1, $2, $3) \
                 ON CONFLICT (pipeline) DO UPDATE SET rules = excluded.rules, last_age = excluded.last_age",
            )
            .bind(pipeline)
            .bind(fingerprint)
            .bind(last_age)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(())
        };
        work.await.map_err(|trouble| self.failed("follow the rules of refreshing in", trouble))
    }
}

type DayRow = (String, i64, Vec<u8>);

fn take_days(pipeline: &str, rows: Vec<DayRow>, ledgers: &mut HashMap<String, AccountLedger>) -> Result<(), Trouble> {
    for (id, day, cells) in rows {
        let ledger = decode_day(pipeline, &id, day, &cells)?;
        ledgers.entry(id).or_default().insert_day(day, ledger);
    }
    Ok(())
}

/// The days `days` of one account's ledger and its final stretches, inside a transaction.
pub(super) async fn load_days(
    connection: &mut SqliteConnection,
    pipeline: &str,
    account: &str,
    days: impl Iterator<Item = i64>,
) -> Result<AccountLedger, Trouble> {
    let mut ledger = AccountLedger::default();
    // Day by day: each is a look-up by the whole key, while a stretch of days would pass over all other accounts.
    for day in days {
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
    for stretch in load_finals(connection, pipeline, account).await? {
        ledger.insert_final(stretch);
    }
    Ok(ledger)
}

/// The days `days` of several accounts' ledgers with their final stretches, by account id: two queries, whatever their
/// number. An account of which nothing is known is left out.
pub(super) async fn load_days_of(
    connection: &mut SqliteConnection,
    pipeline: &str,
    accounts: impl Iterator<Item = &str>,
    days: impl Iterator<Item = i64>,
) -> Result<HashMap<String, AccountLedger>, Trouble> {
    let accounts = list_text(accounts.collect::<Vec<&str>>());
    // Each pair of a day and an account is a look-up by the whole key.
    let rows: Vec<DayRow> = sqlx::query_as(
        "SELECT account_id, day, cells FROM ledger WHERE pipeline = $1 AND day IN (SELECT value FROM json_each($2)) \
         AND account_id IN (SELECT value FROM json_each($3))",
    )
    .bind(pipeline)
    .bind(list_text(days.collect::<Vec<i64>>()))
    .bind(&accounts)
    .fetch_all(&mut *connection)
    .await?;
    let mut ledgers = HashMap::new();
    take_days(pipeline, rows, &mut ledgers)?;
    let rows =
        sqlx::query("SELECT * FROM finals WHERE pipeline = $1 AND account_id IN (SELECT value FROM json_each($2))")
            .bind(pipeline)
            .bind(&accounts)
            .fetch_all(&mut *connection)
            .await?;
    for row in &rows {
        let id: String = row.try_get("account_id")?;
        ledgers.entry(id).or_default().insert_final(stretch_from(row)?);
    }
    Ok(ledgers)
}

async fn load_all(connection: &mut SqliteConnection, pipeline: &str, account: &str) -> Result<AccountLedger, Trouble> {
    let days: Vec<i64> = sqlx::query_scalar("SELECT day FROM ledger WHERE pipeline = $1 AND account_id = $2")
        .bind(pipeline)
        .bind(account)
        .fetch_all(&mut *connection)
        .await?;
    load_days(connection, pipeline, account, days.into_iter()).await
}

async fn load_finals(
    connection: &mut SqliteConnection,
    pipeline: &str,
    account: &str,
) -> Result<Vec<FinalStretch>, Trouble> {
    let rows = sqlx::query("SELECT * FROM finals WHERE pipeline = $1 AND account_id = $2")
        .bind(pipeline)
        .bind(account)
        .fetch_all(&mut *connection)
        .await?;
    rows.iter().map(stretch_from).collect()
}

pub(super) fn stretch_from(row: &sqlx::sqlite::SqliteRow) -> Result<FinalStretch, Trouble> {
    Ok(FinalStretch {
        from: row.try_get("from_slot")?,
        to: row.try_get("to_slot")?,
        least_age: TimeDelta::seconds(row.try_get("least_age")?),
        first_by: moment(row.try_get("first_by")?)?,
        confirmed_by: moment(row.try_get("confirmed_by")?)?,
        changed_by: moment(row.try_get("changed_by")?)?,
        with_rows: row.try_get("with_rows")?,
    })
}

/// Writes what differs between two ledgers of one account, with the moment at which each changed day is due.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    refresh: &Refresh,
    known: &KnownAccount,
    (before, after): (&AccountLedger, &AccountLedger),
    grid: &mut Grid,
    now: Instant,
) -> Result<(), Trouble> {
    let (pipeline, account) = (refresh.pipeline().name.as_str(), &known.account);
    let finals_before: BTreeMap<i64, &FinalStretch> = before.finals().map(|stretch| (stretch.from, stretch)).collect();
    let finals_after: BTreeMap<i64, &FinalStretch> = after.finals().map(|stretch| (stretch.from, stretch)).collect();
    for from in finals_before.keys().filter(|from| !finals_after.contains_key(from)) {
        sqlx::query("DELETE FROM finals WHERE pipeline = $1 AND account_id = $2 AND from_slot = $3")
            .bind(pipeline)
            .bind(&account.id)
            .bind(from)
            .execute(&mut *connection)
            .await?;
    }
    for (from, stretch) in &finals_after {
        if finals_before.get(from) != Some(stretch) {
            save_final(connection, pipeline, &account.id, stretch).await?;
        }
    }
    let days: BTreeSet<i64> = before.days().chain(after.days()).map(|(day, _)| day).collect();
    for day in days {
        match after.day(day) {
            None => {
                sqlx::query("DELETE FROM ledger WHERE pipeline = $1 AND day = $2 AND account_id = $3")
                    .bind(pipeline)
                    .bind(day)
                    .bind(&account.id)
                    .execute(&mut *connection)
                    .await?;
            }
            Some(ledger) if before.day(day) != Some(ledger) => {
                let due = refresh.day_due(account, after, day, known.started, grid, now);
                save_day(connection, pipeline, account, (day, ledger), due).await?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Writes one day of one account's ledger in place of what was there. A day in which nothing is due any more is put at
/// the end of time.
async fn save_day(
    connection: &mut SqliteConnection,
    pipeline: &str,
    account: &Account,
    (day, ledger): (i64, &DayLedger),
    due: Option<Instant>,
) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT INTO ledger (pipeline, day, account_id, cells, due) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (pipeline, day, account_id) DO UPDATE SET cells = excluded.cells, due = excluded.due",
    )
    .bind(pipeline)
    .bind(day)
    .bind(&account.id)
    .bind(ledger.encode())
    .bind(due.map_or(i64::MAX, seconds))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn save_final(
    connection: &mut SqliteConnection,
    pipeline: &str,
    account: &str,
    stretch: &FinalStretch,
) -> Result<(), Trouble> {
    sqlx::query(
        "INSERT OR REPLACE INTO finals (pipeline, account_id, from_slot, to_slot, least_age, first_by, confirmed_by, \
         changed_by, with_rows) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(pipeline)
    .bind(account)
    .bind(stretch.from)
    .bind(stretch.to)
    .bind(stretch.least_age.num_seconds())
    .bind(seconds(stretch.first_by))
    .bind(seconds(stretch.confirmed_by))
    .bind(seconds(stretch.changed_by))
    .bind(stretch.with_rows)
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
