//! Attributes of campaigns: when each account's were last read. At most one row per known account.

use std::collections::HashMap;

use sqlx::Row;

use super::trouble::Trouble;
use super::values::{count, moment, seconds, stored};
use super::{Lease, State};
use crate::error::Result;
use crate::time::Instant;

/// The last reading of an account's campaigns that the lake follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeReading {
    /// When the platform told them. Kept in whole seconds.
    pub read_at: Instant,
    /// How many versions of the account's campaigns there are in the lake since.
    pub versions: u64,
}

impl State {
    /// Records that the lake follows these accounts' campaigns as they were read. A reading that is older than the one that
    /// is known changes nothing.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn record_attributes(&self, lease: &Lease, readings: &[(String, AttributeReading)]) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            for (account, reading) in readings {
                sqlx::query(
                    "INSERT INTO attribute_readings (pipeline, account_id, read_at, versions) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (pipeline, account_id) DO UPDATE SET read_at = excluded.read_at, \
                     versions = excluded.versions WHERE excluded.read_at >= read_at",
                )
                .bind(lease.pipeline())
                .bind(account)
                .bind(seconds(reading.read_at))
                .bind(stored(reading.versions))
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record the attributes of campaigns in", trouble))
    }

    /// The last reading of each account of `pipeline` that has one, by its id.
    pub async fn attribute_readings(&self, pipeline: &str) -> Result<HashMap<String, AttributeReading>> {
        let work = async {
            let rows = sqlx::query("SELECT account_id, read_at, versions FROM attribute_readings WHERE pipeline = $1")
                .bind(pipeline)
                .fetch_all(&self.readers)
                .await?;
            let mut readings = HashMap::with_capacity(rows.len());
            for row in rows {
                let (read_at, versions) = (moment(row.try_get("read_at")?)?, count(row.try_get("versions")?));
                readings.insert(row.try_get("account_id")?, AttributeReading { read_at, versions });
            }
            Ok::<_, Trouble>(readings)
        };
        work.await.map_err(|trouble| self.failed("list the attributes of campaigns in", trouble))
    }
}
