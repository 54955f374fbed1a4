//! `quota`: where each limit stands, and what is due needs of it. Reads only, unless it is told to forget.

use std::sync::Arc;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::allowance::Moment;
use crate::error::{Outcome, Result};
use crate::pipeline::Pipeline;
use crate::plan::{Ask, Plan};
use crate::quota::{Use, forget_said, known_book, uses};
use crate::run::{plan_now, refresh_of};
use crate::state::State;

use super::arguments::{ListFormat, QuotaArguments};
use super::foreseen::{Foreseen, foresee};
use super::planned::{foreseen_document, foreseen_lines, known_accounts};
use super::report::span;
use super::screen::Screen;
use super::settings::Settings;

/// So many rows of a pipeline are shown to people: those with the highest share.
const SHOWN: usize = 20;

pub(super) async fn quota(settings: &Settings, screen: &Screen, arguments: &QuotaArguments) -> Result<Outcome> {
    let pipelines = settings.pipelines(&arguments.pipelines)?;
    if arguments.reset {
        let state = State::open(&settings.state).await?;
        for pipeline in &pipelines {
            forget_said(pipeline, &state, chrono::Utc::now()).await?;
            screen.remark(&format!("{}: what the platform said about its limits is forgotten", pipeline.name));
        }
        return Ok(Outcome::Done);
    }
    let state = settings.known_state().await?;
    let mut documents = Vec::new();
    for pipeline in &pipelines {
        // Quotas live in real time, whatever `--now` says.
        let now = chrono::Utc::now();
        let book = known_book(pipeline, state.as_ref(), now).await?;
        let all = uses(&book, Moment::from_instant(now));
        let due = due(settings, state.as_ref(), pipeline).await?;
        match arguments.format {
            ListFormat::Text => screen.result(&text(pipeline, &all, due.as_ref(), Moment::from_instant(now))),
            ListFormat::Json => documents.push(json!({
                "pipeline": pipeline.name,
                "quotas": all.iter().map(|used| document(used, Moment::from_instant(now))).collect::<Vec<Value>>(),
                "due": due.as_ref().map(foreseen_document),
            })),
        }
    }
    if arguments.format == ListFormat::Json {
        screen.result(&Value::from(documents).to_string());
    }
    Ok(Outcome::Done)
}

/// What is due needs; `None` before the accounts are known.
async fn due(settings: &Settings, state: Option<&State>, pipeline: &Arc<Pipeline>) -> Result<Option<Foreseen>> {
    let now = settings.clock.now();
    let known = known_accounts(state, pipeline, now).await?;
    if known.is_empty() {
        return Ok(None);
    }
    let refresh = refresh_of(state, pipeline.clone()).await?;
    let planned: Plan = plan_now(state, &refresh, &known, Ask::Due, now).await?;
    foresee(state, pipeline, &known, &planned, Ask::Due, settings.workers, now).await.map(Some)
}

fn text(pipeline: &Pipeline, all: &[Use], due: Option<&Foreseen>, now: Moment) -> String {
    let mut lines = vec![format!("{}: {}", pipeline.name, summary(pipeline, all))];
    if !all.is_empty() {
        lines.push(table(all, now));
    }
    match due {
        Some(foreseen) => {
            lines.push("  due now".to_owned());
            let indented = foreseen_lines(foreseen, now.instant()).into_iter().map(|line| format!("  {line}"));
            lines.extend(indented);
        }
        None => lines.push("  due now     its accounts are not known before the first run".to_owned()),
    }
    lines.join("\n")
}

fn summary(pipeline: &Pipeline, all: &[Use]) -> String {
    match (pipeline.quotas.len(), all.is_empty()) {
        (0, true) => "no quota is declared, and nothing was refused".to_owned(),
        (0, false) => "no quota is declared; this was found by refusals".to_owned(),
        (1, true) => "1 quota, nothing of it is used".to_owned(),
        (1, false) => "1 quota".to_owned(),
        (count, true) => format!("{count} quotas, nothing of them is used"),
        (count, false) => format!("{count} quotas"),
    }
}

fn table(all: &[Use], now: Moment) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["  quota", "scope", "limit", "used", "under way", "sent", "refused", "next"]);
    let mut shown: Vec<&Use> = all.iter().collect();
    shown.sort_by_key(|used| std::cmp::Reverse(share(used)));
    shown.truncate(SHOWN);
    for used in shown {
        let limit = used.limit.map_or_else(|| "-".to_owned(), |(units, per)| format!("{units} / {}", span(per)));
        table.add_row([
            format!("  {}", used.quota),
            used.whose.to_string(),
            match used.pace {
                Some(pace) => format!("{limit}, now {pace:.1}/s"),
                None => limit,
            },
            used.used.to_string(),
            used.under_way.to_string(),
            used.sent.to_string(),
            used.refused.to_string(),
            next(used, now),
        ]);
    }
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    match all.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{text}\n  ... and {more} more; --format json has them all"),
        _ => text,
    }
}

/// How much of it is used, in millionths; what is closed comes first.
fn share(used: &Use) -> u64 {
    match (used.closed.is_some(), used.limit) {
        (true, _) => u64::MAX,
        (false, Some((units, _))) => u64::from(used.used) * 1_000_000 / u64::from(units.max(1)),
        (false, None) => u64::from(used.refused > 0),
    }
}

fn next(used: &Use, now: Moment) -> String {
    let next = match used.next {
        Some(at) if at <= now => "now".to_owned(),
        Some(at) => format!("in {}", span(seconds_up(at.since(now)))),
        None => "after an answer".to_owned(),
    };
    match &used.closed {
        Some(why) => format!("{next}: {why}"),
        None => next,
    }
}

fn seconds_up(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn document(used: &Use, now: Moment) -> Value {
    json!({
        "quota": used.quota,
        "scope": used.whose.to_string(),
        "limit": used.limit.map(|(units, _)| units),
        "per_seconds": used.limit.map(|(_, per)| per.as_secs_f64()),
        "used": used.used,
        "under_way": used.under_way,
        "sent": used.sent,
        "refused": used.refused,
        "next_seconds": used.next.map(|at| at.since(now).as_secs_f64()),
        "closed": used.closed,
        "pace_per_second": used.pace,
    })
}
