//! `plan`: what a run would ask for, by quota, and how long that takes. Sends nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Outcome, Result};
use crate::lake::partitions_of;
use crate::pipeline::{Accounts, Pipeline};
use crate::plan::{Ask, Plan};
use crate::run::{first_hour, plan_now, refresh_of, stretches};
use crate::state::{KnownAccount, State};
use crate::time::Instant;
use crate::unit::Account;

use super::arguments::{ListFormat, PlanArguments};
use super::foreseen::{Foreseen, foresee};
use super::report::span;
use super::runs::past;
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn plan(settings: &Settings, screen: &Screen, arguments: &PlanArguments) -> Result<Outcome> {
    let now = settings.clock.now();
    let ask = match (arguments.from, arguments.to) {
        (Some(from), Some(to)) => past(from, to, false)?,
        _ if arguments.repair => Ask::Repair,
        _ => Ask::Due,
    };
    let state = settings.known_state().await?;
    let mut documents = Vec::new();
    for pipeline in settings.pipelines(&arguments.pipelines)? {
        let known = known_accounts(state.as_ref(), &pipeline, now).await?;
        if known.is_empty() && arguments.format == ListFormat::Text {
            screen.result(&format!(
                "{}: its accounts are not known before the first run, which begins by listing them",
                pipeline.name
            ));
            continue;
        }
        let refresh = refresh_of(state.as_ref(), pipeline.clone()).await?;
        let mut planned = Plan::default();
        for stretch in stretches(ask) {
            let piece = plan_now(state.as_ref(), &refresh, &known, stretch, now).await?;
            planned.units.extend(piece.units);
            planned.hours += piece.hours;
            planned.beyond_retention += piece.beyond_retention;
        }
        let foreseen = foresee(state.as_ref(), &pipeline, &known, &planned, ask, settings.workers, now).await?;
        match arguments.format {
            ListFormat::Text => screen.result(&text(&pipeline, known.len(), &planned, &foreseen, now)),
            ListFormat::Json => documents.push(document(&pipeline, known.len(), &planned, &foreseen)),
        }
    }
    if arguments.format == ListFormat::Json {
        screen.result(&Value::from(documents).to_string());
    }
    Ok(Outcome::Done)
}

/// What the state knows, or what the file lists where nothing has run yet.
pub(super) async fn known_accounts(
    state: Option<&State>,
    pipeline: &Pipeline,
    now: Instant,
) -> Result<Vec<KnownAccount>> {
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

fn text(pipeline: &Pipeline, accounts: usize, planned: &Plan, foreseen: &Foreseen, now: Instant) -> String {
    let units = planned.units.len();
    let mut lines =
        vec![format!("{}: {units} units, {} account-hours of {accounts} accounts", pipeline.name, planned.hours)];
    lines.extend(foreseen_lines(foreseen, now));
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

/// Requests by kind, each limit, and the whole.
pub(super) fn foreseen_lines(foreseen: &Foreseen, now: Instant) -> Vec<String> {
    let kinds: Vec<String> = foreseen.requests.iter().map(|(kind, count)| format!("{count} {}", kind.word())).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let mut lines = vec![format!("  requests    about {}{kinds}", foreseen.whole.requests)];
    for limit in &foreseen.limits {
        let whose = limit.busiest.as_ref().map(|id| format!(" for account {id}, the busiest")).unwrap_or_default();
        let (name, what, units) = (&limit.name, &limit.what, limit.units);
        lines.push(format!("  quota       {name}, {what}: {units} units{whose}, {}", span(limit.takes)));
    }
    if foreseen.whole.requests > 0 {
        let decides = match foreseen.decides() {
            Some(limit) => format!("`{}` decides", limit.name),
            None => format!("answers of {} decide", span(foreseen.latency)),
        };
        let done =
            chrono::TimeDelta::from_std(foreseen.whole.takes).ok().and_then(|takes| now.checked_add_signed(takes));
        let done = done.map(|done| format!(", done at {}", done.format("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
        lines.push(format!("  takes       about {}: {decides}{done}", span(foreseen.whole.takes)));
    }
    if foreseen.whole.pauses > 0 {
        let times = foreseen.whole.pauses;
        lines.push(format!(
            "  waiting     {times} times everything waits for longer than `retry.max_wait`: runs end with code 3"
        ));
    }
    lines
}

/// The same for programs.
pub(super) fn foreseen_document(foreseen: &Foreseen) -> Value {
    let requests: serde_json::Map<String, Value> =
        foreseen.requests.iter().map(|(kind, count)| (kind.word().to_owned(), json!(count))).collect();
    let limits: Vec<Value> = foreseen
        .limits
        .iter()
        .map(|limit| {
            json!({
                "quota": limit.name, "limit": limit.what, "units": limit.units, "busiest_account": limit.busiest,
                "takes_seconds": limit.takes.as_secs_f64(),
            })
        })
        .collect();
    json!({
        "requests": foreseen.whole.requests,
        "requests_by_kind": requests,
        "quotas": limits,
        "takes_seconds": foreseen.whole.takes.as_secs_f64(),
        "decides": foreseen.decides().map(|limit| &limit.name),
        "latency_seconds": foreseen.latency.as_secs_f64(),
        "ends_with_waiting": foreseen.whole.pauses,
    })
}

fn document(pipeline: &Pipeline, accounts: usize, planned: &Plan, foreseen: &Foreseen) -> Value {
    json!({
        "pipeline": pipeline.name,
        "accounts": accounts,
        "units": planned.units.len(),
        "account_hours": planned.hours,
        "beyond_retention": planned.beyond_retention,
        "forecast": foreseen_document(foreseen),
    })
}
