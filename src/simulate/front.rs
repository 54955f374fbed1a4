//! The path of one request under /v1: who calls, may it, does it meet a fault, the work, the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::Utc;

use super::call::{Call, Received};
use super::daily::DayWalk;
use super::endpoint::Endpoint;
use super::faults::{Fault, FaultKind};
use super::pages::{self, Walk};
use super::quota::{Charge, Standing};
use super::refusal::{quota_headers, refusal};
use super::reply::{Problem, Reply, error_body};
use super::send::{Sending, send};
use super::state::{Shared, State as SharedState};
use super::wire::Link;

/// Largest request body that is read.
const BODY_MAX: usize = 1 << 20;

/// What was decided about a request before any work.
#[derive(Debug)]
struct Decision {
    endpoint: Option<Endpoint>,
    call: Result<Call, Reply>,
    fault: Option<Fault>,
    /// Where the quotas stood when the request was counted.
    told: Vec<(HeaderName, String)>,
}

/// Answers any request under /v1. One that has arrived is counted and done even if the caller goes away before it is
/// answered, as a real server would: what becomes of the connection does not end the task.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(link): ConnectInfo<Link>,
    request: Request,
) -> Response {
    let received = receive(request).await;
    let done = tokio::spawn(process(shared.clone(), received)).await;
    let sending = done.unwrap_or_else(|_| Sending::Whole(internal_error()));
    send(&shared, &link, sending)
}

async fn process(shared: Arc<Shared>, received: Received) -> Sending {
    let (before, after) = shared.latency();
    pause(before).await;
    let Decision { endpoint, call, fault, told } = decide(&shared, &received);
    pause(after).await;
    let (mut sending, committed) = match call {
        Ok(call) => work(&shared, &received, call, fault),
        Err(reply) => (Sending::Whole(reply), None),
    };
    if !matches!(committed, Some(FaultKind::BadGateway | FaultKind::Bare429)) {
        sending.add_headers(told);
    }
    {
        let mut state = shared.state();
        state.stats.status(sending.status());
        if let Some(kind) = committed {
            state.stats.fault(kind);
        }
    }
    tracing::debug!(path = received.path, ?endpoint, status = ?sending.status(), fault = ?committed, "answered");
    sending
}

/// Passes time; where there is none to pass, without giving way.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// Reads the body. One that is too large or breaks off is taken as empty, and refused where a body is needed.
async fn receive(request: Request) -> Received {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap_or_default();
    Received {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers: parts.headers,
        body,
    }
}

/// Token first, then the quotas, then the faults: a call without the token costs nothing, and a call that meets a
/// fault has been counted.
fn decide(shared: &Shared, received: &Received) -> Decision {
    let mut state = shared.state();
    let now = state.now();
    let route = received.route();
    let endpoint = route.as_ref().ok().map(|(endpoint, _)| *endpoint);
    state.stats.request(endpoint, Utc::now());

    if !authorized(shared, received) {
        let problem =
            Problem::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "a bearer token is missing or not the right one");
        let reply = problem.reply().with(header::WWW_AUTHENTICATE, "Bearer");
        let (told, _) = count(shared, &mut state, None);
        return Decision { endpoint, call: Err(reply), fault: None, told };
    }

    let call = route.and_then(|(endpoint, id)| Call::read(received, endpoint, id, &shared.world, &shared.options, now));
    let accounts = call.as_ref().map(Call::accounts).unwrap_or_default();
    let (told, refused) = count(shared, &mut state, Some(Charge { endpoint, accounts }));
    if let Some(reply) = refused {
        return Decision { endpoint, call: Err(reply), fault: None, told };
    }
    let fault = match (&call, endpoint) {
        (Ok(_), Some(endpoint)) => state.faults.decide(endpoint, &received.path, &received.logical()),
        _ => None,
    };
    if let Ok(call) = &call
        && let Some((query, begins)) = call.describe(&shared.world)
    {
        state.stats.query(query, begins);
    }
    Decision { endpoint, call: call.map_err(|problem| problem.reply()), fault, told }
}

/// Counts a charge, or nothing, and makes what is told about it: headers, and the refusal where there is no room.
fn count(
    shared: &Shared,
    state: &mut SharedState,
    charge: Option<Charge>,
) -> (Vec<(HeaderName, String)>, Option<Reply>) {
    let now = shared.real_time();
    let standing: Standing = match charge {
        Some(charge) => state.quotas.admit(&charge, now),
        None => state.quotas.standing(&Charge::default(), now),
    };
    let options = state.quotas.options();
    let told = quota_headers(options, &standing, &shared.world, now);
    (told, refusal(options, &standing, &shared.world, now))
}

fn authorized(shared: &Shared, received: &Received) -> bool {
    let Some(token) = &shared.options.token else {
        return true;
    };
    let given = received.header(header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    given.is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case("bearer") && given.trim() == token)
}

/// Does the work, or what the fault does in its place. Tells the fault that was really committed.
fn work(shared: &Shared, received: &Received, call: Call, fault: Option<Fault>) -> (Sending, Option<FaultKind>) {
    let kind = fault.map(|fault| fault.kind);
    if let Some(kind) = kind
        && let Some(sending) = instead_of_work(kind)
    {
        return (sending, Some(kind));
    }
    let shape = kind.filter(|kind| kind.shapes_pages());
    let (reply, shaped) = match perform(shared, received, call, shape) {
        Ok(done) => done,
        Err(problem) => (problem.reply(), false),
    };
    match fault {
        None => (Sending::Whole(reply), None),
        Some(fault) if fault.kind.shapes_pages() => (Sending::Whole(reply), Some(fault.kind).filter(|_| shaped)),
        Some(fault) => spoil(reply, fault),
    }
}

/// The faults that answer before anything was done.
fn instead_of_work(kind: FaultKind) -> Option<Sending> {
    let reply = match kind {
        FaultKind::Reset => return Some(Sending::Reset),
        FaultKind::Internal => internal_error(),
        FaultKind::BadGateway => bad_gateway(),
        FaultKind::Unavailable => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "down for a moment");
            problem.reply().with(header::RETRY_AFTER, "1")
        }
        FaultKind::Bare429 => Problem::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", "too many requests").reply(),
        FaultKind::ErrorIn200 => {
            Reply::json(StatusCode::OK, error_body("TRANSIENT", "something went wrong; try again"))
        }
        _ => return None,
    };
    Some(Sending::Whole(reply))
}

fn internal_error() -> Reply {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "an unexpected error").reply()
}

fn bad_gateway() -> Reply {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n";
    let body = Bytes::from_static(page.as_bytes());
    Reply { status: StatusCode::BAD_GATEWAY, headers: vec![(header::CONTENT_TYPE, "text/html".to_owned())], body }
}

/// The faults that strike after the work was done. An answer without a body cannot break off in the middle of it.
fn spoil(mut reply: Reply, fault: Fault) -> (Sending, Option<FaultKind>) {
    let half = reply.body.len() / 2;
    let sending = match fault.kind {
        FaultKind::Lost if fault.bits & 1 == 0 => Sending::Reset,
        FaultKind::Lost => Sending::Whole(internal_error()),
        FaultKind::ResetBody | FaultKind::ShortBody if half == 0 => Sending::Reset,
        FaultKind::ResetBody => Sending::Broken { reply, sent: half, reset: true },
        FaultKind::ShortBody => Sending::Broken { reply, sent: half, reset: false },
        FaultKind::Stall if half > 0 => Sending::Stalled(reply),
        FaultKind::TruncatedJson if half > 0 => {
            reply.body.truncate(half);
            Sending::Whole(reply)
        }
        _ => return (Sending::Whole(reply), None),
    };
    (sending, Some(fault.kind))
}

fn perform(
    shared: &Shared,
    received: &Received,
    call: Call,
    shape: Option<FaultKind>,
) -> Result<(Reply, bool), Problem> {
    let extras;
    let (now, moment, revoked) = {
        let state = shared.state();
        let now = state.now();
        extras = state.extras.clone();
        (now, state.moment(now), state.revoked.iter().copied().collect::<Vec<usize>>())
    };
    let real_time = shared.real_time();
    let known = received.header(header::IF_NONE_MATCH);
    let options = &shared.options;
    refuse_revoked(shared, &call, &revoked)?;
    let reply = match call {
        Call::Accounts { offset, limit } => {
            Reply::cacheable(pages::accounts(shared, &revoked, offset..offset + limit), known)
        }
        Call::Campaigns { account, offset, limit } => {
            Reply::cacheable(pages::campaigns(shared, account, offset..offset + limit, now), known)
        }
        Call::Metrics { query, at, limit } => {
            let walk = Walk { query: Arc::new(query), moment, report: String::new(), now };
            return pages::rows(shared, walk, at, limit, shape);
        }
        Call::Insights { account, date, page, limit } => pages::insights(shared, &moment, account, date, page, limit),
        Call::Daily { days, at, limit } => {
            let walk = DayWalk { shared, days, moment, extras: &extras, now };
            return Ok(walk.page(at.unwrap_or_default(), limit, shape));
        }
        Call::CreateReport { query, key, body } => {
            shared.state().reports.create(options, query, moment, key, body, real_time)?
        }
        Call::Report { id } => shared.state().reports.poll(options, &id, &shared.base_url(), real_time)?,
        Call::ReportRows { id, at, limit } => {
            let (query, moment) = shared.state().reports.rows(options, &id, real_time)?;
            let walk = Walk { query, moment, report: id, now };
            return pages::rows(shared, walk, at, limit, shape);
        }
    };
    Ok((reply, false))
}

fn refuse_revoked(shared: &Shared, call: &Call, revoked: &[usize]) -> Result<(), Problem> {
    let accounts = call.accounts();
    let refused: Vec<&str> = accounts
        .iter()
        .filter(|account| revoked.contains(account))
        .map(|account| shared.world.accounts[*account].id.as_str())
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("access to {} was revoked", refused.join(", "));
    Err(Problem::new(StatusCode::FORBIDDEN, "ACCOUNT_REVOKED", message))
}
