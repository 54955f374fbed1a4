//! What a scheduler shows of itself over HTTP: `/metrics` for Prometheus, `/health` for whoever restarts it.
//!
//! A [`Board`] is written by the scheduler and read at each scrape; nothing is counted twice and nothing is global.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::quota::Use;
use crate::run::{Progress, RunReport};
use crate::telemetry::{Meter, Reading};
use crate::time::Instant;

mod metrics;

/// What the scheduler's pipelines have done since it began.
#[derive(Debug, Default)]
pub struct Board {
    pipelines: Mutex<BTreeMap<String, Seen>>,
}

/// What is known of one pipeline.
#[derive(Debug, Default)]
struct Seen {
    /// Requests, retries, refusals, rows of the runs that have ended.
    requests: u64,
    retries: u64,
    throttled: u64,
    rows: u64,
    /// How runs ended: the words of the run table, and `error`.
    ended: BTreeMap<String, u64>,
    last_ended: Option<Instant>,
    resume: Option<Instant>,
    /// How long the oldest hour that is not published is over.
    lag: Option<Duration>,
    uses: Vec<Use>,
    skipped: usize,
    /// The run under way.
    running: Option<(Arc<Meter>, Arc<Progress>)>,
    /// When its schedule was last answered, and until when it must be again.
    ticked: Option<Instant>,
    due_by: Option<Instant>,
}

impl Board {
    /// Empty, for these pipelines.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Board {
        let pipelines = names.into_iter().map(|name| (name.to_owned(), Seen::default())).collect();
        Board { pipelines: Mutex::new(pipelines) }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins.
    pub fn began(&self, pipeline: &str, meter: Arc<Meter>, progress: Arc<Progress>, now: Instant) {
        let mut all = self.seen();
        let seen = all.entry(pipeline.to_owned()).or_default();
        seen.running = Some((meter, progress));
        seen.ticked = Some(now);
        seen.resume = None;
    }

    /// The run has ended; `due_by` is when the next one must have begun.
    pub fn ended(
        &self,
        pipeline: &str,
        ended: Result<&RunReport, &Error>,
        lag: Option<Duration>,
        due_by: Option<Instant>,
        now: Instant,
    ) {
        let mut all = self.seen();
        let seen = all.entry(pipeline.to_owned()).or_default();
        if let Some((meter, _)) = seen.running.take() {
            let Reading { requests, retries, throttled, rows, .. } = meter.read();
            seen.requests += requests;
            seen.retries += retries;
            seen.throttled += throttled;
            seen.rows += rows;
        }
        let outcome = match ended {
            Ok(report) => {
                seen.uses.clone_from(&report.quotas);
                seen.skipped = report.skipped.len();
                seen.resume = report.resume.as_ref().map(|(until, _)| *until);
                report.outcome_word()
            }
            Err(_) => "error",
        };
        *seen.ended.entry(outcome.to_owned()).or_default() += 1;
        seen.last_ended = Some(now);
        seen.lag = lag.or(seen.lag);
        seen.due_by = due_by;
    }

    /// Pipelines whose time came and that did not run, with the age of their last tick in seconds.
    fn late(&self, now: Instant) -> Vec<String> {
        let all = self.seen();
        let late = all.iter().filter(|(_, seen)| seen.running.is_none() && seen.due_by.is_some_and(|due| due < now));
        late.map(|(name, _)| name.clone()).collect()
    }
}

/// Serves `board` at `address` until `stop`; gives the address that was taken, for port 0.
///
/// # Errors
/// An address that cannot be listened at.
pub async fn serve(board: Arc<Board>, address: SocketAddr, stop: CancellationToken) -> Result<SocketAddr> {
    let cannot = |error: std::io::Error| {
        Error::bad_input(format!("cannot listen at {address}"))
            .because(error)
            .hint("name another address with --listen, as 127.0.0.1:9464; port 0 takes a free one")
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let taken = listener.local_addr().map_err(cannot)?;
    let routes = Router::new().route("/metrics", get(scrape)).route("/health", get(health)).with_state(board);
    let ended = stop.cancelled_owned();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(ended).await {
            tracing::warn!("metrics are not served any more: {error}");
        }
    });
    Ok(taken)
}

async fn scrape(State(board): State<Arc<Board>>) -> Response {
    match metrics::text(&board, chrono::Utc::now()) {
        Ok(text) => {
            let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, form)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(board): State<Arc<Board>>) -> Response {
    let now = chrono::Utc::now();
    let late = board.late(now);
    let ages: BTreeMap<String, Option<i64>> = board
        .seen()
        .iter()
        .map(|(name, seen)| (name.clone(), seen.ticked.map(|at| (now - at).num_seconds())))
        .collect();
    let status = if late.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "late": late, "seconds_since_tick": ages }))).into_response()
}

impl Seen {
    /// Of the ended runs and the one under way.
    fn totals(&self) -> [u64; 4] {
        let live = self.running.as_ref().map(|(meter, _)| meter.read());
        let live = live.map_or([0; 4], |r| [r.requests, r.retries, r.throttled, r.rows]);
        [self.requests + live[0], self.retries + live[1], self.throttled + live[2], self.rows + live[3]]
    }

    /// Where the limits stand now, or stood when the last run ended.
    fn quotas(&self) -> Vec<Use> {
        let live = self.running.as_ref().and_then(|(_, progress)| progress.quotas.get());
        live.map_or_else(|| self.uses.clone(), |quotas| quotas.uses())
    }

    /// Planned and ended units of the run under way.
    fn units(&self) -> (u64, u64) {
        self.running.as_ref().map_or((0, 0), |(_, progress)| {
            (progress.planned.load(Ordering::Relaxed), progress.ended.load(Ordering::Relaxed))
        })
    }
}
