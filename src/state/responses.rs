//! The HTTP cache: whole responses of lists that change slowly, bounded in bytes and entries over all pipelines.

use sqlx::Row;

use super::State;
use super::trouble::Trouble;
use super::values::{moment, seconds, stored};
use crate::error::Result;
use crate::time::Instant;

/// The bytes that all kept responses may take together.
pub const BYTES_KEPT: u64 = 64 << 20;
/// How many responses may be kept.
pub const RESPONSES_KEPT: u64 = 20_000;
/// What a response is taken to weigh besides its texts, so that many empty ones are bounded too.
const ROW_BYTES: u64 = 128;

/// A response that may be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedResponse {
    /// The `ETag` header, as it was.
    pub etag: Option<String>,
    /// The `Last-Modified` header, as it was.
    pub last_modified: Option<String>,
    /// When the platform gave it, or said last that it still holds. Kept in whole seconds.
    pub stored_at: Instant,
    /// Until when it may be used without asking.
    pub fresh_until: Option<Instant>,
    /// The body after decompression.
    pub body: Vec<u8>,
    /// The `Link` header, as it was: a list's next page may be named there.
    pub link: Option<String>,
}

impl CachedResponse {
    fn size(&self, key: &str) -> u64 {
        let texts = [&self.etag, &self.last_modified, &self.link].into_iter().flatten().map(String::len).sum::<usize>();
        (texts + key.len() + self.body.len()) as u64 + ROW_BYTES
    }
}

impl State {
    /// What is kept of the response to the request `key`.
    pub async fn cached_response(&self, pipeline: &str, key: &str) -> Result<Option<CachedResponse>> {
        let work = async {
            let row = sqlx::query(
                "SELECT stored_at, etag, last_modified, fresh_until, body, link FROM responses WHERE pipeline = $1 AND key = $2",
            )
            .bind(pipeline)
            .bind(key)
            .fetch_optional(&self.readers)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let fresh_until: Option<i64> = row.try_get("fresh_until")?;
            Ok::<_, Trouble>(Some(CachedResponse {
                stored_at: moment(row.try_get("stored_at")?)?,
                etag: row.try_get("etag")?,
                last_modified: row.try_get("last_modified")?,
                fresh_until: fresh_until.map(moment).transpose()?,
                body: row.try_get("body")?,
                link: row.try_get("link")?,
            }))
        };
        work.await.map_err(|trouble| self.failed("read a kept response in", trouble))
    }

    /// Keeps a response under `key`, which must not hold a secret, in place of an older one. Where the bound is passed
    /// the responses that were stored the longest ago go; one that is larger than the whole bound is not kept.
    pub async fn store_response(&self, pipeline: &str, key: &str, response: &CachedResponse) -> Result<()> {
        let work = async {
            let mut transaction = self.begin().await?;
            sqlx::query(
                "INSERT INTO responses (pipeline, key, stored_at, size, etag, last_modified, fresh_until, link, body) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (pipeline, key) DO UPDATE SET \
                 stored_at = excluded.stored_at, size = excluded.size, etag = excluded.etag, \
                 last_modified = excluded.last_modified, fresh_until = excluded.fresh_until, link = excluded.link, \
                 body = excluded.body",
            )
            .bind(pipeline)
            .bind(key)
            .bind(seconds(response.stored_at))
            .bind(stored(response.size(key)))
            .bind(&response.etag)
            .bind(&response.last_modified)
            .bind(response.fresh_until.map(seconds))
            .bind(&response.link)
            .bind(&response.body)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "DELETE FROM responses WHERE (pipeline, key) IN (SELECT pipeline, key FROM (\
                 SELECT pipeline, key, SUM(size) OVER newest AS bytes, ROW_NUMBER() OVER newest AS place \
                 FROM responses WINDOW newest AS (ORDER BY stored_at DESC, pipeline, key)) AS kept \
                 WHERE bytes > $1 OR place > $2)",
            )
            .bind(stored(BYTES_KEPT))
            .bind(stored(RESPONSES_KEPT))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok::<(), Trouble>(())
        };
        work.await.map_err(|trouble| self.failed("keep a response in", trouble))
    }
}
