//! Working sizes: how large a request may be before the platform answers that it is too much data. Learnt, and
//! forgotten after a week, so that a limit that was raised is found again.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sqlx::Row;

use super::trouble::Trouble;
use super::values::{seconds, small_count};
use super::{Lease, State};
use crate::error::{Error, Result};
use crate::time::Instant;

/// For how long a size is kept to.
const KEPT_DAYS: i64 = 7;

/// One size that was learnt; at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// The most hours that are asked for at once.
    Hours {
        /// Of this account.
        account: String,
        /// How many.
        most: u32,
    },
    /// The most campaigns that are asked for at once.
    Campaigns {
        /// Of this account.
        account: String,
        /// How many.
        most: u32,
    },
    /// The most accounts of one request.
    Accounts {
        /// How many.
        most: u32,
    },
}

/// The sizes that one pipeline keeps to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sizes {
    /// The most accounts of one request.
    pub max_accounts: Option<u32>,
    /// By account id; accounts of which nothing was learnt are left out.
    pub accounts: BTreeMap<String, AccountSizes>,
}

/// The sizes of one account's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountSizes {
    /// The most hours that are asked for at once.
    pub max_hours: Option<u32>,
    /// The most campaigns that are asked for at once.
    pub max_campaigns: Option<u32>,
}

impl Sizes {
    /// Takes `size` in where it is smaller than what is known.
    pub fn lower(&mut self, size: &Size) {
        let (known, most) = match size {
            Size::Hours { account, most } => (&mut self.accounts.entry(account.clone()).or_default().max_hours, *most),
            Size::Campaigns { account, most } => {
                (&mut self.accounts.entry(account.clone()).or_default().max_campaigns, *most)
            }
            Size::Accounts { most } => (&mut self.max_accounts, *most),
        };
        let most = most.max(1);
        *known = Some(known.map_or(most, |known| known.min(most)));
    }
}

impl State {
    /// The sizes of `pipeline` that were learnt in the week before `now`.
    pub async fn sizes(&self, pipeline: &str, now: Instant) -> Result<Sizes> {
        let work = async {
            let rows = sqlx::query("SELECT account_id, what, most FROM sizes WHERE pipeline = $1 AND learned_at > $2")
                .bind(pipeline)
                .bind(forgotten(now))
                .fetch_all(&self.readers)
                .await?;
            let mut sizes = Sizes::default();
            for row in rows {
                let (account, what): (String, String) = (row.try_get("account_id")?, row.try_get("what")?);
                let most = Some(small_count(row.try_get("most")?));
                match what.as_str() {
                    "accounts" => sizes.max_accounts = most,
                    "hours" => sizes.accounts.entry(account).or_default().max_hours = most,
                    "campaigns" => sizes.accounts.entry(account).or_default().max_campaigns = most,
                    other => {
                        let unknown = format!("a size is of `{other}`, which this program does not know");
                        return Err(Error::storage(unknown).into());
                    }
                }
            }
            Ok::<Sizes, Trouble>(sizes)
        };
        work.await.map_err(|trouble| self.failed("read the working sizes in", trouble))
    }

    /// Remembers a size for a week. One that is not smaller than what is remembered changes nothing; nor does it
    /// lengthen that week.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn learn_size(&self, lease: &Lease, size: &Size, now: Instant) -> Result<()> {
        let (account, what, most) = match size {
            Size::Hours { account, most } => (account.as_str(), "hours", most),
            Size::Campaigns { account, most } => (account.as_str(), "campaigns", most),
            Size::Accounts { most } => ("", "accounts", most),
        };
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            sqlx::query("DELETE FROM sizes WHERE pipeline = $1 AND learned_at <= $2")
                .bind(lease.pipeline())
                .bind(forgotten(now))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO sizes (pipeline, account_id, what, most, learned_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (pipeline, account_id, what) DO UPDATE SET most = excluded.most, \
                 learned_at = excluded.learned_at WHERE excluded.most < sizes.most",
            )
            .bind(lease.pipeline())
            .bind(account)
            .bind(what)
            .bind(i64::from((*most).max(1)))
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record a working size in", trouble))
    }
}

/// What was learnt then or earlier is forgotten.
fn forgotten(now: Instant) -> i64 {
    seconds(now - TimeDelta::days(KEPT_DAYS))
}
