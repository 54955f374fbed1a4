//! From a request to a checked call: which endpoint, which accounts, which page.

use axum::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use chrono::NaiveDate;
use serde::Deserialize;

use super::cursor::{self, Cursor, Position};
use super::daily::{DayPosition, Days};
use super::dice;
use super::endpoint::Endpoint;
use super::params::{Params, instant, unescape};
use super::reply::Problem;
use super::scan::{HourClock, Query};
use super::world::World;
use super::{Options, hours, json};

/// Most accounts in one request.
const ACCOUNTS_MAX: usize = 50;
/// Longest window of one request.
const WINDOW_MAX_DAYS: i64 = 31;

/// Most days of each account in one request.
const DAYS_MAX: usize = 92;

/// A request, with its body read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Received {
    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn idempotency_key(&self) -> Option<&str> {
        self.header("idempotency-key")
    }

    /// What stays the same when a client sends a request again.
    pub(super) fn logical(&self) -> String {
        format!("{} {}?{} {}", self.method, self.path, self.query, self.idempotency_key().unwrap_or_default())
    }

    /// Which endpoint it is for, and the id in its path.
    pub(super) fn route(&self) -> Result<(Endpoint, String), Problem> {
        let parts: Vec<&str> = self.path.trim_matches('/').split('/').collect();
        let (endpoint, id, method) = match parts[..] {
            ["v1", "accounts"] => (Endpoint::Accounts, "", Method::GET),
            ["v1", "accounts", id, "campaigns"] => (Endpoint::Campaigns, id, Method::GET),
            ["v1", "accounts", id, "insights"] => (Endpoint::Insights, id, Method::GET),
            ["v1", "metrics"] => (Endpoint::Metrics, "", Method::GET),
            ["v1", "daily"] => (Endpoint::Daily, "", Method::GET),
            ["v1", "reports"] => (Endpoint::CreateReport, "", Method::POST),
            ["v1", "reports", id] => (Endpoint::Report, id, Method::GET),
            ["v1", "reports", id, "rows"] => (Endpoint::ReportRows, id, Method::GET),
            _ => return Err(Problem::not_found("NOT_FOUND", format!("there is nothing at `{}`", self.path))),
        };
        if self.method != method {
            let message = format!("`{}` takes {method}, not {}", self.path, self.method);
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message));
        }
        Ok((endpoint, unescape(id)))
    }
}

/// A checked call.
#[derive(Debug)]
pub(super) enum Call {
    Accounts { offset: usize, limit: usize },
    Campaigns { account: usize, offset: usize, limit: usize },
    Metrics { query: Query, at: Option<Position>, limit: usize },
    Daily { days: Days, at: Option<DayPosition>, limit: usize },
    Insights { account: usize, date: NaiveDate, page: u64, limit: usize },
    CreateReport { query: Query, key: Option<String>, body: u64 },
    Report { id: String },
    ReportRows { id: String, at: Option<Position>, limit: usize },
}

impl Call {
    /// Checks a request against the world. `now` is the simulator's, in seconds since 1970.
    pub(super) fn read(
        received: &Received,
        endpoint: Endpoint,
        id: String,
        world: &World,
        options: &Options,
        now: i64,
    ) -> Result<Self, Problem> {
        let mut params = Params::read(&received.query);
        let limit = params.limit(options.page_size_max)?;
        let call = match endpoint {
            Endpoint::Accounts => Self::Accounts { offset: offset(&mut params, options.seed)?, limit },
            Endpoint::Campaigns => {
                let account = find(world, &id)?;
                Self::Campaigns { account, offset: offset(&mut params, options.seed)?, limit }
            }
            Endpoint::Metrics => {
                let (query, at) = walk(&mut params, world, options, now)?;
                Self::Metrics { query, at, limit }
            }
            Endpoint::Daily => {
                let (days, at) = days(&mut params, world, options, now)?;
                Self::Daily { days, at, limit }
            }
            Endpoint::Insights => {
                let date = date(&mut params, "date")?;
                Self::Insights { account: find(world, &id)?, date, page: params.page()?, limit }
            }
            Endpoint::CreateReport => {
                let query = report_query(&received.body, world)?;
                let body = dice::of_text(1, &String::from_utf8_lossy(&received.body));
                Self::CreateReport { query, key: received.idempotency_key().map(str::to_owned), body }
            }
            Endpoint::Report => Self::Report { id },
            Endpoint::ReportRows => {
                let cursor = open_cursor(&mut params, options, now)?;
                if cursor.as_ref().is_some_and(|cursor| cursor.report != id) {
                    return Err(Problem::bad("CURSOR_MISMATCH", "the cursor belongs to another query"));
                }
                Self::ReportRows { id, at: cursor.map(|cursor| cursor.at), limit }
            }
        };
        params.finish()?;
        Ok(call)
    }

    /// What it asks for, the page apart, and whether it begins there; for statistics.
    pub(super) fn describe(&self, world: &World) -> Option<(String, bool)> {
        let ids = |accounts: &[usize]| {
            let ids: Vec<&str> = accounts.iter().map(|account| world.accounts[*account].id.as_str()).collect();
            ids.join(",")
        };
        let window =
            |query: &Query| format!("{} {}..{}", ids(&query.accounts), utc_text(query.from), utc_text(query.to));
        match self {
            Self::Metrics { query, at, .. } => Some((format!("metrics {}", window(query)), at.is_none())),
            Self::Daily { days, at, .. } => {
                Some((format!("daily {} {}..{}", ids(&days.accounts), days.from, days.to), at.is_none()))
            }
            Self::Insights { account, date, page, .. } => {
                Some((format!("insights {} {date}", ids(&[*account])), *page == 1))
            }
            Self::CreateReport { query, .. } => Some((format!("report {}", window(query)), true)),
            Self::ReportRows { id, at, .. } => Some((format!("report_rows {id}"), at.is_none())),
            Self::Accounts { .. } | Self::Campaigns { .. } | Self::Report { .. } => None,
        }
    }

    /// The accounts whose quotas it counts against.
    pub(super) fn accounts(&self) -> Vec<usize> {
        match self {
            Self::Campaigns { account, .. } | Self::Insights { account, .. } => vec![*account],
            Self::Metrics { query, .. } | Self::CreateReport { query, .. } => query.accounts.clone(),
            Self::Daily { days, .. } => days.accounts.clone(),
            Self::Accounts { .. } | Self::Report { .. } | Self::ReportRows { .. } => Vec::new(),
        }
    }
}

/// An instant as RFC 3339 in UTC.
pub(super) fn utc_text(seconds: i64) -> String {
    hours::utc(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn find(world: &World, id: &str) -> Result<usize, Problem> {
    world.find(id).ok_or_else(|| Problem::not_found("ACCOUNT_UNKNOWN", format!("there is no account `{id}`")))
}

/// The offset in a cursor over a list.
fn offset(params: &mut Params, seed: u64) -> Result<usize, Problem> {
    let Some(sealed) = params.take("cursor") else {
        return Ok(0);
    };
    let text = cursor::open(seed, &sealed).and_then(|text| text.strip_prefix("offset ")?.parse().ok());
    text.ok_or_else(|| Problem::bad("CURSOR_INVALID", "this is no cursor of this list"))
}

fn open_cursor(params: &mut Params, options: &Options, now: i64) -> Result<Option<Cursor>, Problem> {
    let Some(sealed) = params.take("cursor") else {
        return Ok(None);
    };
    let cursor = Cursor::open(options.seed, &sealed)
        .ok_or_else(|| Problem::bad("CURSOR_INVALID", "this is no cursor that was given out here"))?;
    in_time(cursor.at.created, options, now)?;
    Ok(Some(cursor))
}

/// Refuses a cursor that was given out too long ago.
fn in_time(created: i64, options: &Options, now: i64) -> Result<(), Problem> {
    if now - created > options.cursor_life.as_secs() as i64 {
        let life = humantime::format_duration(options.cursor_life);
        return Err(Problem::bad("CURSOR_EXPIRED", format!("the cursor is older than {life}; begin again")));
    }
    Ok(())
}

/// The days of a daily request: from its parameters, or from its cursor, which they must not contradict.
fn days(
    params: &mut Params,
    world: &World,
    options: &Options,
    now: i64,
) -> Result<(Days, Option<DayPosition>), Problem> {
    let Some(sealed) = params.take("cursor") else { return Ok((named_days(params, world)?, None)) };
    let (days, at) = Days::open(options.seed, &sealed)
        .ok_or_else(|| Problem::bad("CURSOR_INVALID", "this is no cursor that was given out here"))?;
    in_time(at.created, options, now)?;
    if params.has("account_ids") && named_days(params, world)? != days {
        return Err(Problem::bad("CURSOR_MISMATCH", "the cursor belongs to another query"));
    }
    Ok((days, Some(at)))
}

fn named_days(params: &mut Params, world: &World) -> Result<Days, Problem> {
    let ids = params.need("account_ids")?;
    let accounts = accounts(world, &split(&ids))?;
    let (from, to) = (date(params, "from_date")?, date(params, "to_date")?);
    let days = Days { accounts, from, to };
    match days.length() {
        0 => Err(Problem::bad("BAD_RANGE", "`from_date` must not be after `to_date`")),
        1..=DAYS_MAX => Ok(days),
        _ => Err(Problem::bad("RANGE_TOO_LARGE", format!("at most {DAYS_MAX} days in one request"))),
    }
}

fn date(params: &mut Params, name: &str) -> Result<NaiveDate, Problem> {
    let text = params.need(name)?;
    text.parse().map_err(|_| Problem::bad("BAD_PARAMETER", format!("`{name}` is written 2026-11-20")))
}

/// The query of a metrics request: from its parameters, or from its cursor, which they must not contradict.
fn walk(params: &mut Params, world: &World, options: &Options, now: i64) -> Result<(Query, Option<Position>), Problem> {
    let cursor = open_cursor(params, options, now)?;
    let Some(cursor) = cursor else {
        return Ok((query(params, world)?, None));
    };
    let repeated = params.has("account_ids").then(|| query(params, world)).transpose()?;
    let others = ["from", "to", "clock", "fields"].into_iter().any(|name| params.take(name).is_some());
    let contradicts = repeated.is_some_and(|query| query != cursor.query) || others;
    if contradicts || !cursor.report.is_empty() {
        return Err(Problem::bad("CURSOR_MISMATCH", "the cursor belongs to another query"));
    }
    Ok((cursor.query, Some(cursor.at)))
}

fn query(params: &mut Params, world: &World) -> Result<Query, Problem> {
    let ids = params.need("account_ids")?;
    let accounts = accounts(world, &split(&ids))?;
    in_bounds(window(params, accounts)?)
}

/// The query of a request for the truth: of all accounts where it names none, and of any length.
pub(super) fn truth_query(params: &mut Params, world: &World) -> Result<Query, Problem> {
    let accounts = match params.take("account_ids") {
        None => (0..world.accounts.len()).collect(),
        Some(ids) => {
            let mut named =
                split(&ids).into_iter().map(|id| find(world, id)).collect::<Result<Vec<usize>, Problem>>()?;
            named.sort_unstable();
            named.dedup();
            named
        }
    };
    window(params, accounts)
}

fn split(ids: &str) -> Vec<&str> {
    ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect()
}

fn window(params: &mut Params, accounts: Vec<usize>) -> Result<Query, Problem> {
    let from = instant("from", &params.need("from")?)?;
    let to = instant("to", &params.need("to")?)?;
    let clock = match params.take("clock").as_deref() {
        None | Some("account") => HourClock::Account,
        Some("utc") => HourClock::Utc,
        Some(other) => {
            return Err(Problem::bad("BAD_PARAMETER", format!("`clock` is account or utc, not `{other}`")));
        }
    };
    let fields = params.take("fields").map_or(Ok(json::ALL_FIELDS), |names| fields(&names))?;
    Ok(Query { accounts, from, to, clock, fields })
}

fn accounts(world: &World, ids: &[&str]) -> Result<Vec<usize>, Problem> {
    if ids.is_empty() {
        return Err(Problem::bad("BAD_PARAMETER", "`account_ids` names no account"));
    }
    if ids.len() > ACCOUNTS_MAX {
        let message = format!("{} accounts in one request; {ACCOUNTS_MAX} are allowed", ids.len());
        return Err(Problem::bad("TOO_MANY_ACCOUNTS", message));
    }
    let mut accounts = Vec::with_capacity(ids.len());
    for id in ids {
        let account = find(world, id)?;
        if accounts.contains(&account) {
            return Err(Problem::bad("BAD_PARAMETER", format!("`account_ids` names `{id}` twice")));
        }
        accounts.push(account);
    }
    Ok(accounts)
}

/// A set of fields from their names, the key's names included.
fn fields(names: &str) -> Result<u32, Problem> {
    let mut bits = 0;
    for name in names.split(',').map(str::trim) {
        if ["account_id", "campaign_id", "hour"].contains(&name) {
            continue;
        }
        let Some(place) = json::FIELDS.iter().position(|field| *field == name) else {
            return Err(Problem::bad("UNKNOWN_FIELD", format!("there is no field `{name}`")));
        };
        bits |= 1 << place;
    }
    Ok(bits)
}

fn in_bounds(query: Query) -> Result<Query, Problem> {
    if query.from >= query.to {
        return Err(Problem::bad("BAD_RANGE", "`from` must be before `to`"));
    }
    if query.to - query.from > WINDOW_MAX_DAYS * 86_400 {
        return Err(Problem::bad("RANGE_TOO_LARGE", format!("at most {WINDOW_MAX_DAYS} days in one request")));
    }
    Ok(query)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportBody {
    account_ids: Vec<String>,
    from: String,
    to: String,
}

fn report_query(body: &[u8], world: &World) -> Result<Query, Problem> {
    let body: ReportBody = serde_json::from_slice(body)
        .map_err(|error| Problem::bad("BAD_BODY", format!("the body is not a report request: {error}")))?;
    let ids: Vec<&str> = body.account_ids.iter().map(String::as_str).collect();
    in_bounds(Query {
        accounts: accounts(world, &ids)?,
        from: instant("from", &body.from)?,
        to: instant("to", &body.to)?,
        clock: HourClock::Account,
        fields: json::ALL_FIELDS,
    })
}
