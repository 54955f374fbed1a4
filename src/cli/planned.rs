//! `plan`: what a run would ask for, by quota, and how long that takes. Sends nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Outcome, Result};
use crate::lake::partitions_of;
use crate::pipeline::{Accounts, Pipeline, Quota, Scope};
use crate::plan::{Ask, Plan};
use crate::run::{first_hour, plan_now};
use crate::state::{KnownAccount, RunRecord, State};
use crate::time::Instant;
use crate::unit::Account;

use super::arguments::PlanArguments;
use super::report::span;
use super::screen::Screen;
use super::settings::Settings;

/// How many earlier runs tell how many requests a unit takes.
const RUNS_LOOKED_AT: usize = 20;

pub(super) async fn plan(settings: &Settings, screen: &Screen, arguments: &PlanArguments) -> Result<Outcome> {
    let now = settings.clock.now();
    let ask = match (arguments.from, arguments.to) {
        (Some(from), Some(to)) => Ask::Backfill { from, to, again: false },
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
        let planned = plan_now(state.as_ref(), &pipeline, &known, ask, now).await?;
        let per_unit = requests_per_unit(state.as_ref(), &pipeline).await?;
        screen.result(&text(&pipeline, known.len(), &planned, per_unit));
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

/// Requests that a unit took in the runs so far; one where nothing has run.
async fn requests_per_unit(state: Option<&State>, pipeline: &Pipeline) -> Result<f64> {
    let Some(state) = state else { return Ok(1.0) };
    let runs = state.last_runs(&pipeline.name, RUNS_LOOKED_AT).await?;
    let ended = || runs.iter().filter_map(RunRecord::summary);
    let units: u64 = ended().map(|run| run.units_done).sum();
    let requests: u64 = ended().map(|run| run.requests.saturating_sub(run.retries)).sum();
    Ok(if units == 0 { 1.0 } else { (requests as f64 / units as f64).max(1.0) })
}

fn text(pipeline: &Pipeline, accounts: usize, planned: &Plan, per_unit: f64) -> String {
    let units = planned.units.len();
    let requests = (units as f64 * per_unit).ceil();
    let mut lines =
        vec![format!("{}: {units} units, {} account-hours of {accounts} accounts", pipeline.name, planned.hours)];
    lines.push(format!("  requests    about {requests} ({per_unit:.1} a unit)"));
    for quota in &pipeline.quotas {
        lines.push(format!("  quota       {}", quota_line(quota, planned, per_unit)));
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

/// The busiest scope of a quota decides how long the plan takes under it.
fn quota_line(quota: &Quota, planned: &Plan, per_unit: f64) -> String {
    let (units, of) = match quota.scope {
        Scope::App => (planned.units.len() as u64, "the app".to_owned()),
        Scope::Account => {
            let mut counts = std::collections::HashMap::<&str, u64>::new();
            for account in planned.units.iter().flat_map(|unit| &unit.accounts) {
                *counts.entry(account.id.as_str()).or_default() += 1;
            }
            let busiest = counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)));
            busiest.map_or((0, "each account".to_owned()), |(id, units)| (units, format!("account {id}, the busiest")))
        }
    };
    let requests = units as f64 * per_unit;
    let pace = f64::from(quota.requests) * quota.safety / quota.per.as_secs_f64();
    let time = Duration::from_secs_f64(((requests - f64::from(quota.burst)).max(0.0) / pace).min(1e9));
    format!(
        "{}: {} per {} for {of}: about {:.0} requests, {}",
        quota.name,
        quota.requests,
        span(quota.per),
        requests.ceil(),
        span(time)
    )
}
