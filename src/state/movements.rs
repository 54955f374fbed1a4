//! How much hours were seen to move at each age, and what followed from it.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::trouble::Trouble;
use super::values::{count, moment, seconds, stored};
use super::{Lease, State};
use crate::error::{Error, Result};
use crate::pipeline::Pipeline;
use crate::refresh::{Learned, Movement, learn};
use crate::time::Instant;

/// Beyond so many hours the older half counts no more: what moved a year ago says little about today.
const REMEMBERED: i64 = 20_000;

impl State {
    /// The movements of `pipeline` by age in seconds.
    pub async fn movements(&self, pipeline: &str) -> Result<BTreeMap<u64, Movement>> {
        let work = async {
            let rows: Vec<(i64, i64, i64)> =
                sqlx::query_as("SELECT age, hours, changed FROM movements WHERE pipeline = $1")
                    .bind(pipeline)
                    .fetch_all(&self.readers)
                    .await?;
            let movement = |hours, changed| Movement { hours: count(hours), changed: count(changed) };
            Ok::<_, Trouble>(
                rows.into_iter().map(|(age, hours, changed)| (count(age), movement(hours, changed))).collect(),
            )
        };
        work.await.map_err(|trouble| self.failed("read what moved in", trouble))
    }

    /// What was learnt for `pipeline`, and since when that holds.
    pub async fn learned(&self, pipeline: &str) -> Result<(Learned, Option<Instant>)> {
        let work = async {
            let row: Option<(String, i64)> = sqlx::query_as("SELECT learned, since FROM learned WHERE pipeline = $1")
                .bind(pipeline)
                .fetch_optional(&self.readers)
                .await?;
            let Some((text, since)) = row else { return Ok((Learned::default(), None)) };
            let learned = serde_json::from_str(&text)
                .map_err(|error| Error::storage("what was learnt is not the JSON that was written").because(error))?;
            Ok::<_, Trouble>((learned, Some(moment(since)?)))
        };
        work.await.map_err(|trouble| self.failed("read what was learnt in", trouble))
    }

    /// Learns from what was seen until now, where `pipeline` says so; gives what holds from now on.
    ///
    /// Refused where `lease` has passed to another run.
    pub async fn learn(&self, lease: &Lease, pipeline: &Pipeline, now: Instant) -> Result<Learned> {
        let (before, _) = self.learned(&pipeline.name).await?;
        if !pipeline.window.learn {
            return Ok(before);
        }
        let movements = self.movements(&pipeline.name).await?;
        let learned = learn(&pipeline.window.refresh, pipeline.window.retention, &movements, &before);
        if learned == before {
            return Ok(learned);
        }
        tracing::info!(pipeline = pipeline.name, quiet = ?learned.quiet, added = ?learned.added, "refresh marks learnt");
        let work = async {
            let text = serde_json::to_string(&learned)
                .map_err(|error| Error::internal("what was learnt cannot be written as JSON").because(error))?;
            let mut transaction = self.begin().await?;
            lease.guard(&mut transaction).await?;
            sqlx::query(
                "INSERT INTO learned (pipeline, learned, since) VALUES ($1, $2, $3) \
                 ON CONFLICT (pipeline) DO UPDATE SET learned = excluded.learned, since = excluded.since",
            )
            .bind(lease.pipeline())
            .bind(text)
            .bind(seconds(now))
            .execute(&mut *transaction)
            .await?;
            for age in before.quiet.symmetric_difference(&learned.quiet) {
                // What decided is told; from here on the mark has to say the next thing by itself.
                sqlx::query("DELETE FROM movements WHERE pipeline = $1 AND age = $2")
                    .bind(lease.pipeline())
                    .bind(stored(*age))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("record what was learnt in", trouble))?;
        Ok(learned)
    }
}

/// Adds to the movements, inside a transaction.
pub(super) async fn add_movements(
    connection: &mut SqliteConnection,
    pipeline: &str,
    seen: &BTreeMap<u64, Movement>,
) -> Result<(), Trouble> {
    for (age, movement) in seen {
        sqlx::query(
            "INSERT INTO movements (pipeline, age, hours, changed) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (pipeline, age) DO UPDATE SET \
             hours = (CASE WHEN hours > $5 THEN hours / 2 ELSE hours END) + excluded.hours, \
             changed = (CASE WHEN hours > $5 THEN changed / 2 ELSE changed END) + excluded.changed",
        )
        .bind(pipeline)
        .bind(stored(*age))
        .bind(stored(movement.hours))
        .bind(stored(movement.changed))
        .bind(REMEMBERED)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
