//! The endpoints under /sim: the truth, the counts, and the levers. Free of token, quotas, faults and latency.

mod quotas;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use clap::ValueEnum;
use futures::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::{truth_query, utc_text};
use super::daily::Extra;
use super::faults::FaultKind;
use super::options::{Clock, FaultOptions};
use super::pages::write_rows;
use super::params::{Params, instant};
use super::reply::{Problem, Reply};
use super::scan::{Hole, Place, Scan};
use super::state::{Shared, State as SharedState};

/// Rows in one piece of the truth's stream.
const TRUTH_CHUNK: usize = 1_000;

type Sim = State<Arc<Shared>>;

/// The routes under /sim.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sim/truth", get(truth))
        .route("/sim/stats", get(stats).delete(reset_stats))
        .route("/sim/clock", get(clock).post(set_clock))
        .route("/sim/quotas", get(quotas::quotas).post(quotas::set_quotas))
        .route("/sim/faults", get(faults).post(set_faults))
        .route("/sim/accounts/{id}", post(set_account))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.reply().into_response()
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        (self.status, axum::response::AppendHeaders(self.headers), self.body).into_response()
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad("BAD_BODY", error.to_string()))
}

fn reply(body: Value) -> Reply {
    Reply::json(StatusCode::OK, body.to_string())
}

async fn truth(State(shared): Sim, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut params = Params::read(&query.unwrap_or_default());
    let state_now = shared.state().now();
    let as_of = params.take("asof").map_or(Ok(state_now), |text| instant("asof", &text))?;
    let query = truth_query(&mut params, &shared.world)?;
    params.finish()?;
    let fields = query.fields;
    let moment = shared.state().moment(as_of);
    let scan = Scan::new(shared.world.clone(), Arc::new(query), moment, Place::default());
    let pieces = stream::unfold(scan, move |mut scan| async move {
        let mut piece = String::new();
        let (count, _) = write_rows(&mut scan, &mut piece, TRUTH_CHUNK, fields, '\n');
        piece.push('\n');
        (count > 0).then_some((Ok::<_, Infallible>(piece), scan))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response())
}

async fn stats(State(shared): Sim, RawQuery(query): RawQuery) -> Result<Reply, Problem> {
    let mut params = Params::read(&query.unwrap_or_default());
    let with_queries = params.take("queries").is_some_and(|text| text == "true");
    params.finish()?;
    let state = shared.state();
    let mut stats = state.stats.to_json(with_queries);
    stats["highest_use"] = quotas::highest_use(&state.quotas, &shared.world);
    stats["refusals"] = quotas::refusals(&state.quotas);
    let reports = &state.reports;
    let (most_per_key, most_per_body) = reports.most_alike();
    stats["reports"] = json!({
        "created": reports.created(), "replayed": reports.replayed, "conflicts": reports.conflicts,
        "reuse_refused": reports.reuse_refused, "without_key": reports.without_key, "polls": reports.polls,
        "most_per_key": most_per_key, "most_per_body": most_per_body,
    });
    Ok(reply(stats))
}

async fn reset_stats(State(shared): Sim) -> Reply {
    let mut state = shared.state();
    state.stats = Default::default();
    state.quotas.forget_seen();
    reply(json!({}))
}

async fn clock(State(shared): Sim) -> Reply {
    clock_reply(&shared.state())
}

fn clock_reply(state: &SharedState) -> Reply {
    let now = state.clock.now(Utc::now()).to_rfc3339_opts(SecondsFormat::AutoSi, true);
    reply(json!({"now": now, "fixed": matches!(state.clock, Clock::Fixed(_))}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    now: Option<DateTime<Utc>>,
    advance: Option<String>,
    system: Option<bool>,
}

async fn set_clock(State(shared): Sim, body: Bytes) -> Result<Reply, Problem> {
    let body: ClockBody = read(&body)?;
    let mut state = shared.state();
    if body.system == Some(true) {
        state.clock = Clock::System(TimeDelta::zero());
    }
    if let Some(now) = body.now {
        state.clock = Clock::Fixed(now);
    }
    if let Some(step) = body.advance {
        let step = TimeDelta::from_std(duration(&step)?).unwrap_or_default();
        state.clock = state.clock.advanced(step);
    }
    Ok(clock_reply(&state))
}

fn duration(text: &str) -> Result<Duration, Problem> {
    let message = || format!("`{text}` is no duration; write it like 90s or 1h");
    humantime::parse_duration(text).map_err(|_| Problem::bad("BAD_BODY", message()))
}

async fn faults(State(shared): Sim) -> Reply {
    faults_reply(&shared.state())
}

fn faults_reply(state: &SharedState) -> Reply {
    let FaultOptions { rate, kinds, streak, stall } = state.faults.options();
    let kinds: Vec<String> = kinds.iter().map(|kind| kind.name()).collect();
    let stall = humantime::format_duration(*stall).to_string();
    reply(json!({"rate": rate, "kinds": kinds, "streak": streak, "stall": stall, "path": state.faults.path()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    rate: Option<f64>,
    kinds: Option<Vec<String>>,
    streak: Option<u32>,
    stall: Option<String>,
    path: Option<String>,
    #[serde(default)]
    next: Vec<String>,
}

async fn set_faults(State(shared): Sim, body: Bytes) -> Result<Reply, Problem> {
    let body: FaultsBody = read(&body)?;
    let kinds = |names: &[String]| -> Result<Vec<FaultKind>, Problem> {
        let kind = |name: &String| FaultKind::from_str(name, false);
        let problem = |name: &String| Problem::bad("BAD_BODY", format!("there is no fault `{name}`"));
        names.iter().map(|name| kind(name).map_err(|_| problem(name))).collect()
    };
    let mut state = shared.state();
    let mut options = state.faults.options().clone();
    options.rate = body.rate.unwrap_or(options.rate);
    if !(0.0..=1.0).contains(&options.rate) {
        return Err(Problem::bad("BAD_BODY", "`rate` is a share from 0 to 1"));
    }
    if let Some(names) = &body.kinds {
        options.kinds = kinds(names)?;
    }
    options.streak = body.streak.unwrap_or(options.streak);
    if let Some(text) = &body.stall {
        options.stall = duration(text)?;
    }
    let path = body.path.unwrap_or_else(|| state.faults.path().to_owned());
    state.faults.set(options, path, kinds(&body.next)?);
    Ok(faults_reply(&state))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountBody {
    revoked: Option<bool>,
    /// Replaces all holes of the account.
    holes: Option<Vec<HoleBody>>,
    /// Replaces all of the account's.
    daily_extra: Option<Vec<ExtraBody>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoleBody {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtraBody {
    date: NaiveDate,
    #[serde(default)]
    impressions: i64,
    #[serde(default)]
    clicks: i64,
    #[serde(default)]
    spend_micros: i64,
}

impl ExtraBody {
    fn extra(&self, shared: &Shared, account: usize) -> Result<Extra, Problem> {
        let unit = 10_i64.pow(6 - shared.world.accounts[account].currency.decimals);
        if self.spend_micros % unit != 0 {
            let message = format!("`spend_micros` is a multiple of {unit}, the smallest unit of the currency");
            return Err(Problem::bad("BAD_BODY", message));
        }
        let spend = self.spend_micros / unit;
        Ok(Extra { account, date: self.date, impressions: self.impressions, clicks: self.clicks, spend })
    }
}

async fn set_account(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Result<Reply, Problem> {
    let body: AccountBody = read(&body)?;
    let unknown = || Problem::not_found("ACCOUNT_UNKNOWN", format!("there is no account `{id}`"));
    let account = shared.world.find(&id).ok_or_else(unknown)?;
    let mut state = shared.state();
    match body.revoked {
        Some(true) => state.revoked.insert(account),
        Some(false) => state.revoked.remove(&account),
        None => false,
    };
    if let Some(bodies) = body.holes {
        let mut holes: Vec<Hole> = state.holes.iter().filter(|hole| hole.account != account).cloned().collect();
        holes.extend(bodies.iter().map(|body| Hole {
            account,
            from: body.from.timestamp(),
            to: body.to.timestamp(),
            until: body.until.map(|until| until.timestamp()),
        }));
        state.holes = Arc::new(holes);
    }
    if let Some(bodies) = body.daily_extra {
        let others = state.extras.iter().filter(|extra| extra.account != account).cloned();
        let mut extras: Vec<Extra> = others.collect();
        for body in &bodies {
            extras.push(body.extra(&shared, account)?);
        }
        state.extras = Arc::new(extras);
    }
    let extras = state.extras.iter().filter(|extra| extra.account == account).count();
    let holes = state.holes.iter().filter(|hole| hole.account == account);
    let holes: Vec<Value> = holes
        .map(|hole| json!({"from": utc_text(hole.from), "to": utc_text(hole.to), "until": hole.until.map(utc_text)}))
        .collect();
    Ok(reply(json!({"id": id, "revoked": state.revoked.contains(&account), "holes": holes, "daily_extra": extras})))
}
