//! Ledger, units and runs as Arrow, for SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::TimeDelta;
use chrono_tz::Tz;
use sqlx::Row;

use super::State;
use super::ledger::{decode_day, stretch_from};
use super::runs::{RunEnd, RunRecord, run_from};
use super::trouble::Trouble;
use super::values::{accounts_from, stored, zone_of};
use crate::error::{Error, Result};
use crate::ledger::{SLOTS, day_of};
use crate::pipeline::schema::instant_type;
use crate::time::{Instant, Window, hours_in, slot, slot_start};

/// How many account-days one page of the ledger holds: at most 24 times as many rows.
const PAGE_DAYS: i64 = 4096;

/// Where a page of the ledger ended: pipeline, day, account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPlace(String, i64, String);

/// A page of the ledger.
#[derive(Debug, Clone)]
pub struct LedgerPage {
    /// Rows in the schema of [`ledger_schema`].
    pub batch: RecordBatch,
    /// Where the next page begins; `None` where there is none.
    pub next: Option<LedgerPlace>,
}

/// `pipeline, account_id, hour, first_read_at, confirmed_at, changed_at, found` (`rows`, `nothing` or `suspicious`).
/// `hour` is the instant at which the hour begins, as in the lake. Hours in final stretches are in [`finals_schema`].
pub fn ledger_schema() -> SchemaRef {
    schema(&[
        ("pipeline", DataType::Utf8),
        ("account_id", DataType::Utf8),
        ("hour", instant_type()),
        ("first_read_at", instant_type()),
        ("confirmed_at", instant_type()),
        ("changed_at", instant_type()),
        ("found", DataType::Utf8),
    ])
}

/// `pipeline, account_id, from_hour, to_hour, hours, hours_with_rows, first_read_by, last_read_by, changed_by`: adjacent
/// hours that no run asks for again. `from_hour` is the UTC hour in which the first begins, `to_hour` the one after the
/// last.
pub fn finals_schema() -> SchemaRef {
    schema(&[
        ("pipeline", DataType::Utf8),
        ("account_id", DataType::Utf8),
        ("from_hour", instant_type()),
        ("to_hour", instant_type()),
        ("hours", DataType::Int64),
        ("hours_with_rows", DataType::Int64),
        ("first_read_by", instant_type()),
        ("last_read_by", instant_type()),
        ("changed_by", instant_type()),
    ])
}

/// `pipeline, unit, lane, status, accounts, window_from, window_to, rows, attempts, reason, at`.
pub fn units_schema() -> SchemaRef {
    schema(&[
        ("pipeline", DataType::Utf8),
        ("unit", DataType::Utf8),
        ("lane", DataType::Utf8),
        ("status", DataType::Utf8),
        ("accounts", DataType::Int64),
        ("window_from", instant_type()),
        ("window_to", instant_type()),
        ("rows", DataType::Int64),
        ("attempts", DataType::Int64),
        ("reason", DataType::Utf8),
        ("at", instant_type()),
    ])
}

/// `run, pipeline, kind, outcome` (also `running` and `interrupted`), `started_at, ended_at`, the counts of
/// [`super::RunSummary`], `resume_at, note`.
pub fn runs_schema() -> SchemaRef {
    schema(&[
        ("run", DataType::Int64),
        ("pipeline", DataType::Utf8),
        ("kind", DataType::Utf8),
        ("outcome", DataType::Utf8),
        ("started_at", instant_type()),
        ("ended_at", instant_type()),
        ("units_done", DataType::Int64),
        ("units_failed", DataType::Int64),
        ("units_waiting", DataType::Int64),
        ("rows_added", DataType::Int64),
        ("rows_changed", DataType::Int64),
        ("rows_removed", DataType::Int64),
        ("requests", DataType::Int64),
        ("retries", DataType::Int64),
        ("throttled", DataType::Int64),
        ("resume_at", instant_type()),
        ("note", DataType::Utf8),
    ])
}

impl State {
    /// The known hours of all pipelines that begin from `from` to before `to` (`None`: without a bound), as one batch.
    ///
    /// A ledger of years and thousands of accounts is better read by [`State::ledger_page`].
    pub async fn table_ledger(&self, from: Option<Instant>, to: Option<Instant>) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        let mut place = None;
        loop {
            let page = self.ledger_page(from, to, place.as_ref()).await?;
            batches.push(page.batch);
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        concat_batches(&ledger_schema(), &batches).map_err(not_a_batch)
    }

    /// At most about 100,000 rows of [`State::table_ledger`], from `after` on; ordered by pipeline, UTC day, account
    /// and hour.
    pub async fn ledger_page(
        &self,
        from: Option<Instant>,
        to: Option<Instant>,
        after: Option<&LedgerPlace>,
    ) -> Result<LedgerPage> {
        let work = self.read_ledger_page(from, to, after);
        work.await.map_err(|trouble| self.failed("read the ledger in", trouble))
    }

    async fn read_ledger_page(
        &self,
        from: Option<Instant>,
        to: Option<Instant>,
        after: Option<&LedgerPlace>,
    ) -> Result<LedgerPage, Trouble> {
        let begin = LedgerPlace(String::new(), i64::MIN, String::new());
        let LedgerPlace(pipeline, day, account) = after.unwrap_or(&begin);
        let days: Vec<(String, i64, String, Vec<u8>, String)> = sqlx::query_as(
            "SELECT l.pipeline, l.day, l.account_id, l.cells, a.time_zone \
             FROM ledger AS l JOIN accounts AS a ON a.pipeline = l.pipeline AND a.account_id = l.account_id \
             WHERE (l.pipeline, l.day, l.account_id) > ($1, $2, $3) AND l.day BETWEEN $4 AND $5 \
             ORDER BY l.pipeline, l.day, l.account_id LIMIT $6",
        )
        .bind(pipeline)
        .bind(day)
        .bind(account)
        .bind(from.map_or(i64::MIN, |from| day_of(slot(from))))
        .bind(to.map_or(i64::MAX, |to| day_of(slot(to))))
        .bind(PAGE_DAYS)
        .fetch_all(&self.readers)
        .await?;
        let mut pipelines = StringBuilder::new();
        let mut accounts = StringBuilder::new();
        let (mut hours, mut first, mut confirmed, mut changed) = (instants(), instants(), instants(), instants());
        let mut found = StringBuilder::new();
        for (pipeline, day, account, cells, zone) in &days {
            let zone = zone_of(account, zone)?;
            for (place, cell) in decode_day(pipeline, account, *day, cells)?.cells() {
                let hour = hour_of(day * SLOTS as i64 + place as i64, zone);
                if from.is_some_and(|from| hour < from) || to.is_some_and(|to| hour >= to) {
                    continue;
                }
                pipelines.append_value(pipeline);
                accounts.append_value(account);
                hours.append_value(hour.timestamp_micros());
                first.append_value(cell.first.timestamp_micros());
                confirmed.append_value(cell.confirmed.timestamp_micros());
                changed.append_value(cell.changed.timestamp_micros());
                found.append_value(cell.found.word());
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(pipelines.finish()),
            Arc::new(accounts.finish()),
            Arc::new(hours.finish()),
            Arc::new(first.finish()),
            Arc::new(confirmed.finish()),
            Arc::new(changed.finish()),
            Arc::new(found.finish()),
        ];
        let full = days.len() as i64 == PAGE_DAYS;
        let last = days.into_iter().next_back().filter(|_| full);
        let next = last.map(|(pipeline, day, account, _, _)| LedgerPlace(pipeline, day, account));
        Ok(LedgerPage { batch: RecordBatch::try_new(ledger_schema(), columns).map_err(not_a_batch)?, next })
    }

    /// The final stretches of all pipelines.
    pub async fn table_finals(&self) -> Result<RecordBatch> {
        let work = async {
            let rows = sqlx::query("SELECT * FROM finals ORDER BY pipeline, account_id, from_slot");
            let rows = rows.fetch_all(&self.readers).await?;
            let (mut pipelines, mut accounts) = (StringBuilder::new(), StringBuilder::new());
            let mut moments = [instants(), instants(), instants(), instants(), instants()];
            let (mut hours, mut with_rows) = (Int64Builder::new(), Int64Builder::new());
            for row in &rows {
                pipelines.append_value(row.try_get::<&str, _>("pipeline")?);
                accounts.append_value(row.try_get::<&str, _>("account_id")?);
                let stretch = stretch_from(row)?;
                let all = [
                    slot_start(stretch.from),
                    slot_start(stretch.to),
                    stretch.first_by,
                    stretch.confirmed_by,
                    stretch.changed_by,
                ];
                for (builder, moment) in moments.iter_mut().zip(all) {
                    builder.append_value(moment.timestamp_micros());
                }
                hours.append_value(stretch.to - stretch.from);
                with_rows.append_value(stretch.with_rows);
            }
            let [mut from, mut to, mut first_by, mut read_by, mut changed_by] = moments;
            let columns: Vec<ArrayRef> = vec![
                Arc::new(pipelines.finish()),
                Arc::new(accounts.finish()),
                Arc::new(from.finish()),
                Arc::new(to.finish()),
                Arc::new(hours.finish()),
                Arc::new(with_rows.finish()),
                Arc::new(first_by.finish()),
                Arc::new(read_by.finish()),
                Arc::new(changed_by.finish()),
            ];
            Ok::<_, Trouble>(RecordBatch::try_new(finals_schema(), columns).map_err(not_a_batch)?)
        };
        work.await.map_err(|trouble| self.failed("read the final hours in", trouble))
    }

    /// The units that are staged, failed, or were published lately.
    pub async fn table_units(&self) -> Result<RecordBatch> {
        let work = self.read_units();
        work.await.map_err(|trouble| self.failed("read the units in", trouble))
    }

    async fn read_units(&self) -> Result<RecordBatch, Trouble> {
        let rows = sqlx::query("SELECT * FROM units ORDER BY pipeline, at, key").fetch_all(&self.readers).await?;
        let mut texts: [StringBuilder; 5] = Default::default();
        let mut moments = [instants(), instants(), instants()];
        let mut numbers: [Int64Builder; 3] = Default::default();
        for row in &rows {
            for (builder, column) in texts.iter_mut().zip(["pipeline", "key", "lane", "status", "reason"]) {
                builder.append_value(row.try_get::<&str, _>(column)?);
            }
            for (builder, column) in moments.iter_mut().zip(["window_from", "window_to", "at"]) {
                builder.append_value(row.try_get::<i64, _>(column)?.saturating_mul(1_000_000));
            }
            numbers[0].append_value(accounts_from(row.try_get("accounts")?)?.len() as i64);
            numbers[1].append_value(row.try_get("row_count")?);
            numbers[2].append_value(row.try_get("attempts")?);
        }
        let [mut pipelines, mut keys, mut lanes, mut statuses, mut reasons] = texts;
        let [mut window_from, mut window_to, mut at] = moments;
        let [mut accounts, mut row_counts, mut attempts] = numbers;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(pipelines.finish()),
            Arc::new(keys.finish()),
            Arc::new(lanes.finish()),
            Arc::new(statuses.finish()),
            Arc::new(accounts.finish()),
            Arc::new(window_from.finish()),
            Arc::new(window_to.finish()),
            Arc::new(row_counts.finish()),
            Arc::new(attempts.finish()),
            Arc::new(reasons.finish()),
            Arc::new(at.finish()),
        ];
        Ok(RecordBatch::try_new(units_schema(), columns).map_err(not_a_batch)?)
    }

    /// The runs that are kept, newest first.
    pub async fn table_runs(&self) -> Result<RecordBatch> {
        let work = async {
            let rows = sqlx::query("SELECT * FROM runs ORDER BY id DESC").fetch_all(&self.readers).await?;
            let mut runs: Vec<RunRecord> = Vec::with_capacity(rows.len());
            let mut seen = std::collections::HashSet::new();
            for row in &rows {
                let pipeline: String = row.try_get("pipeline")?;
                let newest = !seen.contains(&pipeline);
                let unended = if newest { self.unended(&pipeline)? } else { RunEnd::Interrupted };
                seen.insert(pipeline);
                runs.push(run_from(row, unended)?);
            }
            Ok::<_, Trouble>(runs)
        };
        let runs = work.await.map_err(|trouble| self.failed("read the runs in", trouble))?;
        runs_batch(&runs)
    }
}

fn runs_batch(runs: &[RunRecord]) -> Result<RecordBatch> {
    let mut ids = Int64Builder::new();
    let mut texts: [StringBuilder; 4] = Default::default();
    let mut moments = [instants(), instants(), instants()];
    let mut counts: [Int64Builder; 9] = Default::default();
    for run in runs {
        let (outcome, ended_at, summary) = match &run.end {
            RunEnd::Running => ("running", None, None),
            RunEnd::Interrupted => ("interrupted", None, None),
            RunEnd::Ended { at, summary } => (summary.outcome.as_str(), Some(*at), Some(summary)),
        };
        ids.append_value(run.id.number());
        let note = summary.map_or("", |summary| summary.note.as_str());
        for (builder, text) in texts.iter_mut().zip([&run.pipeline, run.kind.word(), outcome, note]) {
            builder.append_value(text);
        }
        let resume_at = summary.and_then(|summary| summary.resume_at);
        for (builder, moment) in moments.iter_mut().zip([Some(run.started_at), ended_at, resume_at]) {
            builder.append_option(moment.map(|moment| moment.timestamp_micros()));
        }
        let values = summary.map(|summary| {
            [
                summary.units_done,
                summary.units_failed,
                summary.units_waiting,
                summary.rows_added,
                summary.rows_changed,
                summary.rows_removed,
                summary.requests,
                summary.retries,
                summary.throttled,
            ]
        });
        for (place, builder) in counts.iter_mut().enumerate() {
            builder.append_option(values.map(|values| stored(values[place])));
        }
    }
    let [mut pipelines, mut kinds, mut outcomes, mut notes] = texts;
    let [mut started_at, mut ended_at, mut resume_at] = moments;
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(pipelines.finish()),
        Arc::new(kinds.finish()),
        Arc::new(outcomes.finish()),
        Arc::new(started_at.finish()),
        Arc::new(ended_at.finish()),
    ];
    for builder in &mut counts {
        columns.push(Arc::new(builder.finish()));
    }
    columns.push(Arc::new(resume_at.finish()));
    columns.push(Arc::new(notes.finish()));
    RecordBatch::try_new(runs_schema(), columns).map_err(not_a_batch)
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> = fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

fn instants() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
}

/// The instant at which the hour of `zone` named by `slot` begins.
fn hour_of(slot: i64, zone: Tz) -> Instant {
    let start = slot_start(slot);
    let clock_hour = Window::new(start, start + TimeDelta::hours(1));
    // An account whose zone was changed can have a cell in a clock hour in which none of its hours begins now.
    clock_hour.and_then(|clock_hour| hours_in(clock_hour, zone).next()).unwrap_or(start)
}

fn not_a_batch(error: arrow::error::ArrowError) -> Error {
    Error::internal("the state's rows do not fit their own schema").because(error)
}
