//! From what the state knows to a plan.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use chrono::Duration;

use super::{Run, quarantine};
use crate::error::Result;
use crate::gaps;
use crate::ledger::AccountLedger;
use crate::pipeline::Pipeline;
use crate::plan::{self, Ask, Plan, Subject};
use crate::refresh::{Learned, Refresh};
use crate::state::{KnownAccount, State};
use crate::time::{Instant, day};

/// How many days of a backfill are planned at once: the memory of its units against the requests that a cut costs.
const BACKFILL_STRETCH_DAYS: i64 = 31;

/// A backfill in the pieces in which it is planned, newest first, so that neither its units nor its ledger need be held
/// at once.
pub fn stretches(ask: Ask) -> Vec<Ask> {
    let Ask::Backfill { from, to, again } = ask else { return vec![ask] };
    let mut pieces = Vec::new();
    let mut end = to;
    while end > from {
        let begin = (end - Duration::days(BACKFILL_STRETCH_DAYS)).max(from);
        pieces.push(Ask::Backfill { from: begin, to: end, again });
        end = begin;
    }
    pieces
}

impl Run<'_> {
    pub(super) async fn plan(&self, known: &[KnownAccount], ask: Ask) -> Result<Plan> {
        let now = self.environment.clock.now();
        let mut plan = plan_now(Some(&self.environment.state), &self.refresh, known, ask, now).await?;
        // What was taken up and did not succeed is for the next run.
        if let Some(taken_up) = self.taken_up.get() {
            plan.units.retain(|unit| !taken_up.contains(&unit.key));
        }
        Ok(plan)
    }
}

/// Plans `ask` from what the state knows, or for a ledger that is empty; `hourmark plan` shows it without a run.
pub async fn plan_now(
    state: Option<&State>,
    refresh: &Refresh,
    known: &[KnownAccount],
    ask: Ask,
    now: Instant,
) -> Result<Plan> {
    let Some(state) = state else {
        return Ok(plan::plan(refresh, &subjects(known, &HashMap::new()), ask, now));
    };
    let name = &refresh.pipeline().name;
    match ask {
        Ask::Due => {
            let mut ledgers = state.due_ledgers(refresh, known, now).await?;
            let entries = state.quarantined(name).await?;
            quarantine::hold_back(&mut ledgers, known, |known| known.watermark, &entries, now);
            Ok(plan::plan(refresh, &subjects(known, &ledgers), ask, now))
        }
        Ask::Repair => {
            let gaps = gaps::find(state, refresh, known, now).await?;
            let from = gaps.iter().map(|gap| gap.window.from()).min().unwrap_or(now);
            let ledgers = state.ledgers(name, from, now).await?;
            Ok(plan::plan_hours(refresh, &subjects(known, &ledgers), &gaps::windows(&gaps), now))
        }
        Ask::Backfill { from, to, .. } => {
            // Two days cover the widest offsets, whatever the accounts' zones.
            let utc = |date| day(date, chrono_tz::Tz::UTC).from();
            let (from, to) = (utc(from) - Duration::days(2), utc(to) + Duration::days(2));
            let mut ledgers = state.ledgers(name, from, to).await?;
            quarantine::hold_back(&mut ledgers, known, |_| from, &state.quarantined(name).await?, now);
            Ok(plan::plan(refresh, &subjects(known, &ledgers), ask, now))
        }
    }
}

/// When the hours of `pipeline` are due, with what the state has learnt.
///
/// # Errors
/// A storage error.
pub async fn refresh_of(state: Option<&State>, pipeline: Arc<Pipeline>) -> Result<Refresh> {
    let learned = match state {
        Some(state) => state.learned(&pipeline.name).await?.0,
        None => Learned::default(),
    };
    Ok(Refresh::new(pipeline, &learned))
}

static NOTHING: LazyLock<AccountLedger> = LazyLock::new(AccountLedger::default);

fn subjects<'a>(known: &'a [KnownAccount], ledgers: &'a HashMap<String, AccountLedger>) -> Vec<Subject<'a>> {
    let subject = |known: &'a KnownAccount| Subject {
        account: &known.account,
        started: known.started,
        watermark: known.watermark,
        ledger: ledgers.get(&known.account.id).unwrap_or(&NOTHING),
    };
    known.iter().map(subject).collect()
}
