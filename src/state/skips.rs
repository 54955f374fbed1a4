//! Skipped accounts: those that the platform no longer gives (revoked, deleted, suspended), so that the others go on
//! without them. At most one row per known account.

use sqlx::Row;

use super::trouble::Trouble;
use super::values::{moment, seconds};
use super::{Lease, State};
use crate::error::Result;
use crate::time::Instant;

/// An account that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Its id.
    pub account_id: String,
    /// Since when it is left out.
    pub since: Instant,
    /// When the platform last said so.
    pub last_tried: Instant,
    /// What the platform said last.
    pub reason: String,
}

impl State {
    /// Leaves a known account out from now on; where it is left out already, remembers that it was tried and why it
    /// still is.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn skip_account(&self, lease: &Lease, account_id: &str, reason: &str, now: Instant) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            sqlx::query(
                "INSERT INTO skips (pipeline, account_id, since, last_tried, reason) VALUES ($1, $2, $3, $3, $4) \
                 ON CONFLICT (pipeline, account_id) DO UPDATE SET last_tried = excluded.last_tried, \
                 reason = excluded.reason",
            )
            .bind(lease.pipeline())
            .bind(account_id)
            .bind(seconds(now))
            .bind(reason)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record a skipped account in", trouble))
    }

    /// Takes an account back. One that is not left out stays as it is.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn unskip(&self, lease: &Lease, account_id: &str) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            sqlx::query("DELETE FROM skips WHERE pipeline = $1 AND account_id = $2")
                .bind(lease.pipeline())
                .bind(account_id)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("take back a skipped account in", trouble))
    }

    /// The accounts that `pipeline` leaves out, by id.
    pub async fn skipped(&self, pipeline: &str) -> Result<Vec<Skip>> {
        let work = async {
            let rows = sqlx::query(
                "SELECT account_id, since, last_tried, reason FROM skips WHERE pipeline = $1 ORDER BY account_id",
            )
            .bind(pipeline)
            .fetch_all(&self.readers)
            .await?;
            let mut skipped = Vec::with_capacity(rows.len());
            for row in rows {
                skipped.push(Skip {
                    account_id: row.try_get("account_id")?,
                    since: moment(row.try_get("since")?)?,
                    last_tried: moment(row.try_get("last_tried")?)?,
                    reason: row.try_get("reason")?,
                });
            }
            Ok::<Vec<Skip>, Trouble>(skipped)
        };
        work.await.map_err(|trouble| self.failed("list the skipped accounts in", trouble))
    }
}
