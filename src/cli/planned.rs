//! `plan`: what a run would ask for, by quota, and how long that takes. Sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::error::{Outcome, Result};
use crate::lake::partitions_of;
use crate::pipeline::{Accounts, Pipeline, Placeholder, Quota, Scope};
use crate::plan::{Ask, Plan};
use crate::request::uses;
use crate::run::{first_hour, plan_now, stretches};
use crate::state::{KnownAccount, State};
use crate::time::{Instant, Window};
use crate::unit::{Account, Unit};

use super::arguments::PlanArguments;
use super::report::span;
use super::runs::past;
use super::screen::Screen;
use super::settings::Settings;

/// How many published units tell how many rows and requests there will be.
const UNITS_LOOKED_AT: u32 = 500;

pub(super) async fn plan(settings: &Settings, screen: &Screen, arguments: &PlanArguments) -> Result<Outcome> {
    let now = settings.clock.now();
    let ask = match (arguments.from, arguments.to) {
        (Some(from), Some(to)) => past(from, to, false)?,
        _ => Ask::Due,
    };
    let state = settings.known_state().await?;
    for pipeline in settings.pipelines(&arguments.pipelines)? {
        let known = known_accounts(state.as_ref(), &pipeline, now).await?;
        if known.is_empty() {
            screen.result(&format!(
                "{}: its accounts are not known before the first run, which begins by listing them",
                pipeline.name
            ));
            continue;
        }
        let mut planned = Plan::default();
        for stretch in stretches(ask) {
            let piece = plan_now(state.as_ref(), &pipeline, &known, stretch, now).await?;
            planned.units.extend(piece.units);
            planned.hours += piece.hours;
            planned.beyond_retention += piece.beyond_retention;
        }
        let experience = experience(state.as_ref(), &pipeline).await?;
        screen.result(&text(&pipeline, known.len(), &planned, &experience, now));
    }
    Ok(Outcome::Done)
}

/// What the state knows, or what the file lists where nothing has run yet.
async fn known_accounts(state: Option<&State>, pipeline: &Pipeline, now: Instant) -> Result<Vec<KnownAccount>> {
    if let Some(state) = state {
        let known = state.accounts(&pipeline.name).await?;
        if !known.is_empty() {
            return Ok(known);
        }
    }
    let Accounts::List(accounts) = &pipeline.accounts else { return Ok(Vec::new()) };
    let start = first_hour(pipeline.window.history, now);
    Ok(accounts.iter().map(|account| known(account, start, now)).collect())
}

/// An account as the first run would know it.
fn known(account: &Account, start: Instant, now: Instant) -> KnownAccount {
    KnownAccount { account: account.clone(), watermark: start, started: start, first_seen: now, last_listed: now }
}

/// What earlier units say about those to come.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Experience {
    /// Requests that a unit took; one where nothing has run.
    requests_a_unit: f64,
    /// Rows that an account-hour had; nothing where nothing has run.
    rows_an_hour: Option<f64>,
}

async fn experience(state: Option<&State>, pipeline: &Pipeline) -> Result<Experience> {
    let mut seen = Experience { requests_a_unit: 1.0, rows_an_hour: None };
    let Some(state) = state else { return Ok(seen) };
    let units = state.published_units(&pipeline.name, UNITS_LOOKED_AT).await?;
    let hours: f64 = units.iter().map(|unit| account_hours(&unit.unit.accounts, unit.window)).sum();
    if hours > 0.0 {
        seen.rows_an_hour = Some(units.iter().map(|unit| unit.rows as f64).sum::<f64>() / hours);
        let requests: f64 = units.iter().map(|unit| f64::from(unit.requests)).sum();
        seen.requests_a_unit = (requests / units.len() as f64).max(1.0);
    }
    Ok(seen)
}

fn account_hours(accounts: &[Account], window: Window) -> f64 {
    accounts.len() as f64 * (window.to() - window.from()).num_minutes() as f64 / 60.0
}

impl Experience {
    /// The requests of `unit`: by its rows where pages have a size, else as many as units took so far.
    fn requests(&self, pipeline: &Pipeline, unit: &Unit, now: Instant) -> f64 {
        let paged = pipeline.pagination.page_size > 0 && !uses(&pipeline.request, Placeholder::Campaigns);
        let Some(rows) = self.rows_an_hour.filter(|_| paged) else { return self.requests_a_unit };
        let over = Window::new(unit.window.from(), unit.window.to().min(now)).unwrap_or(unit.window);
        let rows = rows * account_hours(&unit.accounts, over);
        (rows / pipeline.pagination.page_size as f64).ceil().max(1.0)
    }
}

/// The requests that list `accounts` accounts, and their campaigns where the pipeline needs them.
fn listing_requests(pipeline: &Pipeline, accounts: usize) -> f64 {
    let Accounts::Endpoint { list, .. } = &pipeline.accounts else { return 0.0 };
    let pages = match list.pagination.page_size {
        0 => 1,
        size => accounts.div_ceil(size).max(1),
    };
    let campaigns = if pipeline.campaigns.is_some() { accounts } else { 0 };
    (pages + campaigns) as f64
}

fn text(pipeline: &Pipeline, accounts: usize, planned: &Plan, experience: &Experience, now: Instant) -> String {
    let units = planned.units.len();
    let metrics: f64 = planned.units.iter().map(|unit| experience.requests(pipeline, unit, now)).sum();
    let listing = listing_requests(pipeline, accounts);
    let mut lines =
        vec![format!("{}: {units} units, {} account-hours of {accounts} accounts", pipeline.name, planned.hours)];
    lines.push(format!("  requests    about {:.0}, and {listing:.0} for lists", metrics.ceil()));
    for quota in &pipeline.quotas {
        let requests = match quota.scope {
            Scope::App | Scope::Endpoint => ("the app".to_owned(), metrics + listing),
            Scope::Account => busiest(pipeline, planned, experience, now),
        };
        lines.push(format!("  quota       {}", quota_line(quota, requests)));
    }
    let partitions: BTreeSet<_> =
        planned.units.iter().flat_map(|unit| partitions_of(&unit.accounts, unit.window, &pipeline.lake)).collect();
    if let (Some(first), Some(last)) = (partitions.first(), partitions.last()) {
        lines.push(format!("  partitions  {}, {first} to {last}", partitions.len()));
    }
    if planned.beyond_retention > 0 {
        lines.push(format!(
            "  too old     {} account-hours are older than the platform answers",
            planned.beyond_retention
        ));
    }
    lines.join("\n")
}

/// The account with the most requests: it decides how long a plan takes under a quota for each account.
fn busiest(pipeline: &Pipeline, planned: &Plan, experience: &Experience, now: Instant) -> (String, f64) {
    let mut requests = BTreeMap::<&str, f64>::new();
    for unit in &planned.units {
        for account in &unit.accounts {
            *requests.entry(account.id.as_str()).or_default() += experience.requests(pipeline, unit, now);
        }
    }
    let most = requests.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(a.0)));
    most.map_or(("each account".to_owned(), 0.0), |(id, most)| (format!("account {id}, the busiest"), most))
}

fn quota_line(quota: &Quota, (whose, requests): (String, f64)) -> String {
    let pace = f64::from(quota.units) * quota.safety / quota.per.as_secs_f64();
    let time = Duration::from_secs_f64(((requests - f64::from(quota.burst)).max(0.0) / pace).min(1e9));
    format!(
        "{}: {} per {} for {whose}: about {:.0} requests, {}",
        quota.name,
        quota.units,
        span(quota.per),
        requests.ceil(),
        span(time)
    )
}
