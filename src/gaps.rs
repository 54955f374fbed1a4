//! Which hours should be in the lake and are not, or should have been read again, and why.
//!
//! | kind | which hours |
//! |---|---|
//! | missing | over and settled, and never read (or only before they had settled) though a run has been due since, or failed |
//! | overdue | a refresh mark passed more than a day ago: there was no quota to spare, or nothing ran |
//! | suspicious | read, but without a row where the account's week before says otherwise; read again for a day, and then at its marks |
//!
//! An hour that the next run of the schedule will ask for in its turn is no gap. `hourmark gaps` lists them,
//! `hourmark repair` asks for exactly these.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::TimeDelta;

use crate::error::Result;
use crate::ledger::{AccountLedger, Cell, Found, day_of};
use crate::pipeline::Pipeline;
use crate::refresh::{Due, Grid, Hour, Reason, Refresh};
use crate::state::{FailedUnit, KnownAccount, Quarantined, Skip, State};
use crate::time::{Instant, Window, short, slot};

/// A run has so long before what it was due to bring counts as missing.
const TIME_TO_RUN: TimeDelta = TimeDelta::minutes(10);
/// Hours that only may have moved can wait so long for quota to spare.
const MAY_WAIT: TimeDelta = TimeDelta::days(1);

/// An hour that is still without rows when it has been read again and again for so long is believed.
const BELIEVED_AFTER: TimeDelta = TimeDelta::days(1);

/// What is wrong with an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapKind {
    /// It is not in the lake, or only in part.
    Missing,
    /// It should have been read again.
    Overdue,
    /// It is empty where it should not be.
    Suspicious,
}

impl GapKind {
    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            GapKind::Missing => "missing",
            GapKind::Overdue => "overdue",
            GapKind::Suspicious => "suspicious",
        }
    }
}

/// Adjacent hours of one account with the same thing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub account: String,
    /// Which.
    pub window: Window,
    /// How many hours.
    pub hours: u32,
    /// What is wrong.
    pub kind: GapKind,
    /// Why, for people.
    pub reason: String,
}

/// What is known of a pipeline besides its ledger that explains a gap.
struct Known {
    failed: Vec<FailedUnit>,
    skipped: Vec<Skip>,
    quarantined: Vec<Quarantined>,
    waiting: Option<Instant>,
    /// The last scheduled run that has had its time.
    asked_by: Option<Instant>,
    now: Instant,
}

/// All gaps of the accounts in `known`, by account, then time.
///
/// # Errors
/// A storage error of the state.
pub async fn find(state: &State, refresh: &Refresh, known: &[KnownAccount], now: Instant) -> Result<Vec<Gap>> {
    let name = &refresh.pipeline().name;
    let Some(oldest) = known.iter().map(|known| known.started.min(known.watermark)).min() else {
        return Ok(Vec::new());
    };
    let ledgers = state.ledgers(name, oldest, now).await?;
    let last = state.last_runs(name, 1).await?.into_iter().next();
    let about = Known {
        failed: state.failed_units(name).await?,
        skipped: state.skipped(name).await?,
        quarantined: state.quarantined(name).await?,
        waiting: last.and_then(|run| run.resume_at()).filter(|until| *until > now),
        asked_by: last_tick(refresh.pipeline(), now - TIME_TO_RUN),
        now,
    };
    let nothing = AccountLedger::default();
    let mut grid = Grid::default();
    let mut gaps = Vec::new();
    for account in known {
        let ledger = ledgers.get(&account.account.id).unwrap_or(&nothing);
        of_account(refresh, account, ledger, &about, &mut grid, &mut gaps);
    }
    Ok(gaps)
}

/// When the schedule last asked for what was due, at or before `now`.
fn last_tick(pipeline: &Pipeline, now: Instant) -> Option<Instant> {
    let cron: croner::Cron = pipeline.schedule.parse().ok()?;
    cron.find_previous_occurrence(&now, true).ok()
}

fn of_account(
    refresh: &Refresh,
    known: &KnownAccount,
    ledger: &AccountLedger,
    about: &Known,
    grid: &mut Grid,
    gaps: &mut Vec<Gap>,
) {
    let id = &known.account.id;
    let mut days: BTreeSet<i64> = ledger.days().map(|(day, _)| day).collect();
    days.extend(day_of(slot(known.watermark.max(known.started)))..=day_of(slot(about.now)));
    for day in days {
        for hour in grid.day(refresh.pipeline(), &known.account, day).iter() {
            let cell = ledger.cell(slot(hour.begin));
            if cell.is_none() && hour.begin < known.started {
                continue;
            }
            let due = refresh.next_due(id, hour, cell.as_ref(), about.now);
            let Some(due) = due else { continue };
            let Some((kind, reason)) = about.gap(refresh.pipeline(), id, hour, cell.as_ref(), due) else { continue };
            match gaps.last_mut() {
                Some(gap) if gap.account == *id && gap.goes_on(hour, kind, &reason) => gap.add(hour),
                _ => gaps.extend(Window::new(hour.begin, hour.end).map(|window| Gap {
                    account: id.clone(),
                    window,
                    hours: 1,
                    kind,
                    reason,
                })),
            }
        }
    }
}

impl Gap {
    fn goes_on(&self, hour: &Hour, kind: GapKind, reason: &str) -> bool {
        self.window.to() == hour.begin && self.kind == kind && self.reason == reason
    }

    fn add(&mut self, hour: &Hour) {
        self.window = Window::new(self.window.from(), hour.end).unwrap_or(self.window);
        self.hours += 1;
    }
}

impl Known {
    /// What is wrong with `hour`, which is due next at `due`.
    fn gap(
        &self,
        pipeline: &Pipeline,
        account: &str,
        hour: &Hour,
        cell: Option<&Cell>,
        due: Due,
    ) -> Option<(GapKind, String)> {
        let doubted = |cell: &&Cell| cell.found == Found::Suspicious && cell.confirmed < cell.first + BELIEVED_AFTER;
        if let Some(cell) = cell.filter(doubted) {
            let reason = format!("no row where this account usually has some, last read at {}", short(cell.confirmed));
            return Some((GapKind::Suspicious, reason));
        }
        if due.at > self.now {
            return None;
        }
        let asked = |wait: TimeDelta| self.asked_by.is_none_or(|asked_by| due.at + wait <= asked_by);
        match due.reason {
            Reason::New | Reason::Unsettled => {
                let explained = self.explanation(account, hour);
                if explained.is_none() && !asked(TimeDelta::zero()) {
                    return None;
                }
                let unexplained = || match (pipeline.window.retention, due.reason) {
                    (Some(oldest), _) if hour.begin + oldest < self.now => {
                        "never fetched, and now older than the platform answers".to_owned()
                    }
                    (_, Reason::Unsettled) => "fetched only before it had settled".to_owned(),
                    _ => "never fetched".to_owned(),
                };
                Some((GapKind::Missing, explained.unwrap_or_else(unexplained)))
            }
            Reason::Mark(age) if asked(MAY_WAIT) => {
                Some((GapKind::Overdue, format!("not read again at its mark of {}", age_text(age))))
            }
            Reason::Lookback if asked(MAY_WAIT) => {
                Some((GapKind::Overdue, "not read again in the lookback".to_owned()))
            }
            Reason::Mark(_) | Reason::Lookback | Reason::Suspicious => None,
        }
    }

    fn explanation(&self, account: &str, hour: &Hour) -> Option<String> {
        if let Some(skip) = self.skipped.iter().find(|skip| skip.account_id == account) {
            return Some(format!("the account is left out since {}: {}", short(skip.since), skip.reason));
        }
        let held = Window::new(hour.begin, hour.end);
        let quarantined = self.quarantined.iter().find(|entry| held.is_some_and(|hour| entry.concerns(account, &hour)));
        if let Some(entry) = quarantined {
            return Some(format!("quarantined at {}: {}", short(entry.at), entry.reason));
        }
        let about = |unit: &&FailedUnit| {
            unit.unit.window.contains(hour.begin) && unit.unit.accounts.iter().any(|one| one.id == account)
        };
        if let Some(unit) = self.failed.iter().find(about) {
            return Some(format!("failed at {}: {}", short(unit.at), unit.reason));
        }
        self.waiting.map(|until| format!("waiting for quota until {}", short(until)))
    }
}

/// `1h`, `3d`: as pipelines write it.
pub fn age_text(age: Duration) -> String {
    match age.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        _ => humantime::format_duration(age).to_string(),
    }
}

/// The gaps' hours by account, to be planned.
pub fn windows(gaps: &[Gap]) -> HashMap<String, Vec<Window>> {
    let mut by_account: HashMap<String, Vec<Window>> = HashMap::new();
    for gap in gaps {
        by_account.entry(gap.account.clone()).or_default().push(gap.window);
    }
    by_account
}
