//! `gaps`: the hours that are over and settled, belong to a pipeline's history, and were never read.

use serde_json::{Value, json};

use crate::error::{Error, Outcome, Result};
use crate::ledger::AccountLedger;
use crate::pipeline::Pipeline;
use crate::plan::grid_zone;
use crate::state::{FailedUnit, KnownAccount, State};
use crate::time::{Instant, Window, hours_in, next_hour, short, slot};

use super::arguments::{GapsArguments, ListFormat};
use super::screen::Screen;
use super::settings::Settings;

/// A stretch of missing hours of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gap {
    account: String,
    window: Window,
    hours: u32,
    reason: String,
}

pub(super) async fn gaps(settings: &Settings, screen: &Screen, arguments: &GapsArguments) -> Result<Outcome> {
    let pipelines = settings.pipelines(&arguments.pipelines)?;
    let Some(state) = settings.known_state().await? else {
        return Err(Error::bad_input(format!("nothing has run yet: there is no state `{}`", settings.state.display()))
            .hint("`hourmark run` or `hourmark demo` begins one; --state names another"));
    };
    let mut documents = Vec::new();
    let mut found = 0;
    for pipeline in &pipelines {
        let gaps = of_pipeline(&state, pipeline, settings.clock.now()).await?;
        found += gaps.len();
        match arguments.format {
            ListFormat::Text => screen.result(&text(&pipeline.name, &gaps)),
            ListFormat::Json => documents.extend(gaps.iter().map(|gap| document(&pipeline.name, gap))),
        }
    }
    if arguments.format == ListFormat::Json {
        screen.result(&Value::from(documents).to_string());
    }
    Ok(if found == 0 { Outcome::Done } else { Outcome::GapsFound })
}

async fn of_pipeline(state: &State, pipeline: &Pipeline, now: Instant) -> Result<Vec<Gap>> {
    let known = state.accounts(&pipeline.name).await?;
    let Some(oldest) = known.iter().map(|known| known.watermark).min() else { return Ok(Vec::new()) };
    let ledgers = state.ledgers(&pipeline.name, oldest, now).await?;
    let failed = state.failed_units(&pipeline.name).await?;
    let skipped = state.skipped(&pipeline.name).await?;
    let last = state.last_runs(&pipeline.name, 1).await?.into_iter().next();
    let waiting = last.and_then(|run| run.resume_at()).filter(|until| *until > now);
    let nothing = AccountLedger::default();
    let mut gaps = Vec::new();
    for account in &known {
        let ledger = ledgers.get(&account.account.id).unwrap_or(&nothing);
        for (window, hours) in stretches(pipeline, account, ledger, now) {
            let reason = match skipped.iter().find(|skip| skip.account_id == account.account.id) {
                Some(skip) => format!("the account is left out since {}: {}", short(skip.since), skip.reason),
                None => reason(&failed, &account.account.id, window, waiting),
            };
            gaps.push(Gap { account: account.account.id.clone(), window, hours, reason });
        }
    }
    Ok(gaps)
}

/// Runs of hours after the watermark that are over, settled and unread. Everything before the watermark is published.
fn stretches(pipeline: &Pipeline, known: &KnownAccount, ledger: &AccountLedger, now: Instant) -> Vec<(Window, u32)> {
    let zone = grid_zone(pipeline, &known.account);
    let mut found: Vec<(Window, u32)> = Vec::new();
    let hours = Window::new(known.watermark, now).into_iter().flat_map(|window| hours_in(window, zone));
    for begin in hours {
        let end = next_hour(begin, zone);
        if end + pipeline.window.settle > now || ledger.confirmed(slot(begin)).is_some() {
            continue;
        }
        match found.last_mut() {
            Some((window, hours)) if window.to() == begin => {
                *window = Window::new(window.from(), end).unwrap_or(*window);
                *hours += 1;
            }
            _ => found.extend(Window::new(begin, end).map(|window| (window, 1))),
        }
    }
    found
}

fn reason(failed: &[FailedUnit], account: &str, gap: Window, waiting: Option<Instant>) -> String {
    let about = |unit: &&FailedUnit| {
        unit.unit.accounts.iter().any(|a| a.id == account) && unit.unit.window.intersect(&gap).is_some()
    };
    if let Some(unit) = failed.iter().find(about) {
        return format!("failed at {}: {}", short(unit.at), unit.reason);
    }
    match waiting {
        Some(until) => format!("waiting for quota until {}", short(until)),
        None => "never fetched".to_owned(),
    }
}

fn text(pipeline: &str, gaps: &[Gap]) -> String {
    if gaps.is_empty() {
        return format!("{pipeline}: no hour is missing");
    }
    let hours: u32 = gaps.iter().map(|gap| gap.hours).sum();
    let mut lines = vec![format!("{pipeline}: {hours} account-hours are missing")];
    for gap in gaps {
        lines.push(format!("  {}  {}  {} h  {}", gap.account, gap.window, gap.hours, gap.reason));
    }
    lines.join("\n")
}

fn document(pipeline: &str, gap: &Gap) -> Value {
    json!({
        "pipeline": pipeline,
        "account_id": gap.account,
        "from": gap.window.from(),
        "to": gap.window.to(),
        "hours": gap.hours,
        "reason": gap.reason,
    })
}
