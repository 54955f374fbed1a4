//! What came out aside takes the place of what the lake holds, one partition after the other.
//!
//! | the lake's partition | what the cassettes tell of an account's hour | result |
//! |---|---|---|
//! | has no file | anything | as it came out aside |
//! | has one | every reading from the lake's oldest row to the ledger's last confirmation | as it came out aside |
//! | has one | less than that | stays, and is counted where it differs |
//!
//! Values that are the same keep their row, so a partition that nothing has happened to is not written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use chrono::{Duration, NaiveDate};

use super::{Rebuilt, Replay, ReplayReport};
use crate::error::{Error, Result};
use crate::lake::{Partition, StagedSlice, StoredPartition, accounts_seen};
use crate::ledger::AccountLedger;
use crate::pipeline::Missing;
use crate::time::{Instant, Window, slot};
use crate::unit::UnitKey;

/// The ledgers of one date.
struct Ledgers {
    date: NaiveDate,
    by_account: HashMap<String, AccountLedger>,
}

impl Replay<'_> {
    pub(super) async fn apply_all(&self, rebuilt: &Rebuilt, report: &mut ReplayReport) -> Result<()> {
        let mut ledgers: Option<Ledgers> = None;
        for partition in &rebuilt.partitions {
            let of_date = match ledgers.take().filter(|ledgers| ledgers.date == partition.date) {
                Some(known) => known,
                None => self.ledgers(partition.date, partition.window()).await?,
            };
            self.apply(*partition, rebuilt, &of_date.by_account, report).await?;
            ledgers = Some(of_date);
        }
        Ok(())
    }

    async fn ledgers(&self, date: NaiveDate, window: Window) -> Result<Ledgers> {
        let day = window.from()..window.from() + Duration::days(1);
        let by_account = self.environment.state.ledgers(&self.pipeline.name, day.start, day.end).await?;
        Ok(Ledgers { date, by_account })
    }

    async fn apply(
        &self,
        partition: Partition,
        rebuilt: &Rebuilt,
        ledgers: &HashMap<String, AccountLedger>,
        report: &mut ReplayReport,
    ) -> Result<()> {
        let (mut old, mut new) = (self.dataset.stored(partition).await?, self.aside.stored(partition).await?);
        report.partitions += 1;
        let mut hours = BTreeSet::new();
        for stored in old.iter().chain(&new) {
            hours.extend(stored.hours().await?);
        }
        let mut slices = Vec::new();
        for hour in hours {
            let old_rows = rows_of(old.as_mut(), hour).await?;
            let new_rows = rows_of(new.as_mut(), hour).await?;
            if old_rows == new_rows {
                continue;
            }
            let mut taken = BTreeSet::new();
            for (account, seen) in seen_by_account(old_rows.as_ref(), new_rows.as_ref()) {
                let confirmed = ledgers.get(account).and_then(|ledger| ledger.confirmed(slot(hour)));
                if !self.is_wanted(account) {
                    continue;
                } else if old.is_none() || rebuilt.readings.tell_all(account, hour, seen, confirmed) {
                    taken.insert(account);
                } else {
                    report.left += 1;
                }
            }
            if !taken.is_empty() {
                slices.push(self.stage_hour(partition, hour, new_rows.as_ref(), &taken).await?);
            }
        }
        if slices.is_empty() {
            return Ok(());
        }
        let published = self.dataset.publish_again(partition, &slices, self.fence()).await?;
        report.written += u64::from(published.written);
        report.added += published.added;
        report.changed += published.changed;
        report.removed += published.removed;
        for slice in &slices {
            self.dataset.discard(&slice.key).await?;
        }
        Ok(())
    }

    /// Stages what an hour's accounts are to have, in the place of all that they have.
    async fn stage_hour(
        &self,
        partition: Partition,
        hour: Instant,
        rows: Option<&RecordBatch>,
        taken: &BTreeSet<&str>,
    ) -> Result<StagedSlice> {
        let key = UnitKey::from_stored(format!("{}/replay/{partition}/{}", self.pipeline.name, hour.to_rfc3339()));
        let staged = match rows {
            Some(rows) => {
                let rows = of_accounts(rows, taken)?;
                let proven = self.dataset.prove(rows, Vec::new()).await?;
                let proven = proven.map_err(|undeclared| Error::internal(undeclared.to_string()))?;
                self.dataset.stage(&key, proven, 1).await?.rows
            }
            None => 0,
        };
        let window = Window::new(hour, hour + Duration::seconds(1));
        Ok(StagedSlice {
            key,
            accounts: taken.iter().map(|account| (*account).to_owned()).collect(),
            window: window.ok_or_else(|| Error::internal("a second is longer than nothing"))?,
            // The guard has judged each slice aside.
            missing: Missing::Drop { max_share: 1.0 },
            not_falling: Arc::default(),
            fetched_at: self.environment.clock.now(),
            rows: staged,
        })
    }
}

async fn rows_of(stored: Option<&mut StoredPartition>, hour: Instant) -> Result<Option<RecordBatch>> {
    match stored {
        Some(stored) => stored.rows(hour).await.map(|rows| (rows.num_rows() > 0).then_some(rows)),
        None => Ok(None),
    }
}

/// Every account of these rows, with the moment at which the oldest of its old ones was first seen.
fn seen_by_account<'a>(old: Option<&'a RecordBatch>, new: Option<&'a RecordBatch>) -> BTreeMap<&'a str, Option<i64>> {
    let mut oldest: BTreeMap<&str, Option<i64>> = BTreeMap::new();
    for (account, _) in new.map(accounts_seen).unwrap_or_default() {
        oldest.entry(account).or_default();
    }
    for (account, seen) in old.map(accounts_seen).unwrap_or_default() {
        let known = oldest.entry(account).or_default();
        *known = match (*known, seen) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    oldest
}

fn of_accounts(rows: &RecordBatch, accounts: &BTreeSet<&str>) -> Result<RecordBatch> {
    let mask: BooleanArray = accounts_seen(rows).iter().map(|(account, _)| Some(accounts.contains(account))).collect();
    filter_record_batch(rows, &mask).map_err(|error| Error::internal("cannot take some accounts' rows").because(error))
}
