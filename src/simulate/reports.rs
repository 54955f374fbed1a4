//! Asynchronous reports: created once per idempotency key, polled until done, a snapshot of the moment of creation.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, StatusCode};
use clap::ValueEnum;
use serde_json::json;

use super::dice;
use super::options::Options;
use super::reply::{Problem, Reply};
use super::scan::{Moment, Query};

/// What is said to the creation of a report that was created before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Duplicates {
    /// The stored answer, where the idempotency key is the same; without a key, another report
    #[default]
    Answer,
    /// 409 DUPLICATE with the report's id, where the key is the same; without a key, where the body is
    Conflict,
}

/// All reports and the answers kept for their keys.
#[derive(Debug, Default)]
pub(super) struct Reports {
    made: HashMap<String, Report>,
    answers: HashMap<String, Answer>,
    /// The newest report of each body.
    newest: HashMap<u64, String>,
    pub(super) replayed: u64,
    /// Duplicates that were told so.
    pub(super) conflicts: u64,
    pub(super) polls: u64,
    pub(super) reuse_refused: u64,
    pub(super) without_key: u64,
    by_key: HashMap<String, u64>,
    by_body: HashMap<u64, u64>,
}

#[derive(Debug)]
struct Report {
    query: Arc<Query>,
    moment: Moment,
    /// In real time.
    created: Duration,
    polls: u32,
    fails: bool,
}

/// The report made for a key, and the body it was for.
#[derive(Debug)]
struct Answer {
    body: u64,
    id: String,
}

impl Reports {
    /// Creates a report, unless its key, or with [`Duplicates::Conflict`] its body, was used before.
    pub(super) fn create(
        &mut self,
        options: &Options,
        query: Query,
        moment: Moment,
        key: Option<String>,
        body: u64,
        now: Duration,
    ) -> Result<Reply, Problem> {
        if let Some(answer) = key.as_ref().and_then(|key| self.answers.get(key)) {
            if answer.body != body {
                self.reuse_refused += 1;
                let message = "this idempotency key was used with another body";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", message));
            }
            return Ok(match options.duplicate_reports {
                Duplicates::Answer => {
                    self.replayed += 1;
                    created(&answer.id).with(HeaderName::from_static("idempotent-replayed"), "true")
                }
                Duplicates::Conflict => {
                    self.conflicts += 1;
                    duplicate(&answer.id)
                }
            });
        }
        if key.is_none()
            && options.duplicate_reports == Duplicates::Conflict
            && let Some(id) = self.newest.get(&body)
            && self.made.get(id).is_some_and(|report| !report.expired(options, now))
        {
            self.conflicts += 1;
            return Ok(duplicate(id));
        }
        let number = dice::mix(options.seed, 1 + self.made.len() as u64);
        let id = format!("r{number:016x}");
        let fails = dice::hits(dice::mix(number, 1), options.report_fail_share);
        let report = Report { query: Arc::new(query), moment, created: now, polls: 0, fails };
        self.made.insert(id.clone(), report);
        self.newest.insert(body, id.clone());
        *self.by_body.entry(body).or_default() += 1;
        match key {
            Some(key) => {
                *self.by_key.entry(key.clone()).or_default() += 1;
                self.answers.insert(key, Answer { body, id: id.clone() });
            }
            None => self.without_key += 1,
        }
        Ok(created(&id))
    }

    /// Answers one poll.
    pub(super) fn poll(&mut self, options: &Options, id: &str, base: &str, now: Duration) -> Result<Reply, Problem> {
        let report = self.made.get_mut(id).ok_or_else(|| unknown(id))?;
        report.polls += 1;
        self.polls += 1;
        let done = report.done(options, now);
        let body = if report.expired(options, now) {
            json!({"report_id": id, "status": "expired"})
        } else if done && report.fails {
            let error = json!({"code": "REPORT_FAILED", "message": "the report could not be made"});
            json!({"report_id": id, "status": "failed", "progress": 100, "error": error})
        } else if done {
            let url = format!("{base}/v1/reports/{id}/rows");
            json!({"report_id": id, "status": "done", "progress": 100, "rows_url": url})
        } else {
            let status = if report.polls == 1 { "pending" } else { "running" };
            let progress = (report.polls * 100 / options.report_polls.max(1)).min(99);
            json!({"report_id": id, "status": status, "progress": progress})
        };
        Ok(Reply::json(StatusCode::OK, body.to_string()))
    }

    /// The query and moment of a report whose rows can be read.
    pub(super) fn rows(&self, options: &Options, id: &str, now: Duration) -> Result<(Arc<Query>, Moment), Problem> {
        let report = self.made.get(id).ok_or_else(|| unknown(id))?;
        if report.expired(options, now) {
            return Err(Problem::new(
                StatusCode::GONE,
                "REPORT_EXPIRED",
                "the report is no longer kept; create another",
            ));
        }
        if !report.done(options, now) || report.fails {
            let message = "the report has no rows to read; poll it until it is done";
            return Err(Problem::new(StatusCode::CONFLICT, "REPORT_NOT_READY", message));
        }
        Ok((report.query.clone(), report.moment.clone()))
    }

    pub(super) fn created(&self) -> usize {
        self.made.len()
    }

    /// Most reports made for one key, and for one body: more than one for a key is an action that was done twice.
    pub(super) fn most_alike(&self) -> (u64, u64) {
        (self.by_key.values().copied().max().unwrap_or(0), self.by_body.values().copied().max().unwrap_or(0))
    }
}

impl Report {
    fn done(&self, options: &Options, now: Duration) -> bool {
        self.polls >= options.report_polls && now >= self.created + options.report_time
    }

    fn expired(&self, options: &Options, now: Duration) -> bool {
        options.report_life.is_some_and(|life| now >= self.created + life)
    }
}

fn created(id: &str) -> Reply {
    Reply::json(StatusCode::ACCEPTED, json!({"report_id": id, "status": "pending"}).to_string())
}

fn duplicate(id: &str) -> Reply {
    let error = json!({"code": "DUPLICATE", "message": format!("duplicate of {id}"), "report_id": id});
    Reply::json(StatusCode::CONFLICT, json!({"error": error}).to_string())
}

fn unknown(id: &str) -> Problem {
    Problem::not_found("REPORT_UNKNOWN", format!("there is no report `{id}`"))
}
