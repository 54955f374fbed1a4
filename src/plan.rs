//! Which units are due: a pure function of the ledger, the rules and the moment.
//!
//! Every hour of every account is looked at on the account's clock; when it is due and why is [`crate::refresh`]'s to say.
//! Due hours are put into windows that the platform accepts (stretches of hours, or whole days), windows of several
//! accounts that are the same go into one request. Hours that were never read, or too early, go first; those that may
//! have moved come after them, in a lane of their own, with what the limits have to spare. In both the newest go first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ledger::{AccountLedger, day_of};
use crate::pipeline::{Align, HeaderText, Pipeline, Placeholder, ZoneRule};
use crate::refresh::{Grid, Hour, Reason, Refresh};
use crate::request::uses;
use crate::time::{Instant, Window, day, slot};
use crate::unit::{Account, Lane, Unit, UnitKey};

mod windows;

use windows::{Piece, Want, pieces};

/// An account and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The account.
    pub account: &'a Account,
    /// The first hour that the pipeline answers for without being asked: where its history began.
    pub started: Instant,
    /// Every hour before it is published.
    pub watermark: Instant,
    /// The hours read so far: at least the days from the watermark's on, and those in which something is due.
    pub ledger: &'a AccountLedger,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Everything that is due now.
    Due,
    /// What is missing or overdue: [`plan_hours`].
    Repair,
    /// The hours of these dates, on each account's clock, that were not read yet.
    Backfill {
        /// The first date.
        from: chrono::NaiveDate,
        /// The first date after the last.
        to: chrono::NaiveDate,
        /// Hours that were read before are read again.
        again: bool,
    },
}

/// The units of a run, in the order in which they are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Hours that are read first, then those that are read again; newest first.
    pub units: Vec<Unit>,
    /// Account-hours in them that were asked for.
    pub hours: u64,
    /// Account-hours that were asked for but are older than the platform answers.
    pub beyond_retention: u64,
}

/// Plans `ask` for `subjects` at `now`. What is missing or overdue is planned by [`plan_hours`].
pub fn plan(refresh: &Refresh, subjects: &[Subject<'_>], ask: Ask, now: Instant) -> Plan {
    let mut planner = Planner::new(refresh, now);
    for subject in subjects {
        match ask {
            Ask::Due => planner.due(subject),
            Ask::Repair => {}
            Ask::Backfill { from, to, again } => {
                let zone = subject.account.time_zone;
                let asked = Window::new(day(from, zone).from(), day(to, zone).from().min(now));
                planner.asked(subject, asked, |reason| again || reason.is_some_and(Reason::is_first));
            }
        }
    }
    planner.finish(match ask {
        Ask::Due => Lanes { first: Lane::Hourly, again: Lane::Refresh },
        Ask::Repair => Lanes { first: Lane::Repair, again: Lane::Repair },
        Ask::Backfill { .. } => Lanes { first: Lane::Backfill, again: Lane::Backfill },
    })
}

/// Plans exactly `hours`: windows by account.
pub fn plan_hours(
    refresh: &Refresh,
    subjects: &[Subject<'_>],
    hours: &HashMap<String, Vec<Window>>,
    now: Instant,
) -> Plan {
    let mut planner = Planner::new(refresh, now);
    for subject in subjects {
        for window in hours.get(&subject.account.id).into_iter().flatten() {
            planner.asked(subject, Some(*window), |_| true);
        }
    }
    planner.finish(Lanes { first: Lane::Repair, again: Lane::Repair })
}

/// The lanes of units that bring new hours, and of those that bring none.
#[derive(Clone, Copy)]
struct Lanes {
    first: Lane,
    again: Lane,
}

struct Planner<'a> {
    refresh: &'a Refresh,
    now: Instant,
    grid: Grid,
    /// Whether requests name what their account was found under.
    names_parent: bool,
    wanted: BTreeMap<Shared<'a>, Vec<Wanted<'a>>>,
    plan: Plan,
}

/// What the accounts of one request have in common: the window and, where the request speaks of them, their zone and what
/// they were found under.
type Shared<'a> = (Window, Option<&'static str>, Option<&'a str>);

struct Wanted<'a> {
    account: &'a Account,
    piece: Piece,
}

impl<'a> Planner<'a> {
    fn new(refresh: &'a Refresh, now: Instant) -> Planner<'a> {
        let names_parent = names_parent(refresh.pipeline());
        Planner { refresh, now, grid: Grid::default(), names_parent, wanted: BTreeMap::new(), plan: Plan::default() }
    }

    /// Hours that are due by themselves: in the days that are loaded, and in those after the watermark.
    fn due(&mut self, subject: &Subject<'a>) {
        let mut days: BTreeSet<i64> = subject.ledger.days().map(|(day, _)| day).collect();
        days.extend(day_of(slot(subject.watermark.max(subject.started)))..=day_of(slot(self.now)));
        let mut wants = Vec::new();
        for day in days {
            let hours = self.grid.day(self.refresh.pipeline(), subject.account, day);
            for hour in hours.iter() {
                let cell = subject.ledger.cell(slot(hour.begin));
                if cell.is_none() && hour.begin < subject.started {
                    continue;
                }
                let due = self.refresh.next_due(&subject.account.id, hour, cell.as_ref(), self.now);
                if let Some(due) = due.filter(|due| due.at <= self.now) {
                    let confirmed = cell.map(|cell| cell.confirmed);
                    wants.push(Want { hour: *hour, confirmed, is_first: due.reason.is_first() });
                }
            }
        }
        self.want(subject.account, wants);
    }

    /// Hours of `asked` that are over and settled and that `is_wanted`, given why they are due.
    fn asked(&mut self, subject: &Subject<'a>, asked: Option<Window>, is_wanted: impl Fn(Option<Reason>) -> bool) {
        let Some(asked) = asked else { return };
        let mut wants = Vec::new();
        for day in day_of(slot(asked.from()))..=day_of(slot(asked.to())) {
            let hours = self.grid.day(self.refresh.pipeline(), subject.account, day);
            for hour in hours.iter().filter(|hour| asked.contains(hour.begin) && self.is_settled(hour)) {
                let cell = subject.ledger.cell(slot(hour.begin));
                let due = self.refresh.next_due(&subject.account.id, hour, cell.as_ref(), self.now);
                let reason = due.map(|due| due.reason);
                if is_wanted(reason) {
                    let confirmed = cell.map(|cell| cell.confirmed);
                    wants.push(Want { hour: *hour, confirmed, is_first: reason.is_some_and(Reason::is_first) });
                }
            }
        }
        self.want(subject.account, wants);
    }

    fn is_settled(&self, hour: &Hour) -> bool {
        hour.end + self.refresh.pipeline().window.settle <= self.now
    }

    fn want(&mut self, account: &'a Account, mut wants: Vec<Want>) {
        let pipeline = self.refresh.pipeline();
        if let Some(oldest) = pipeline.window.retention {
            let before = wants.len();
            wants.retain(|want| want.hour.begin + oldest >= self.now);
            self.plan.beyond_retention += (before - wants.len()) as u64;
        }
        self.plan.hours += wants.len() as u64;
        // Times on the account's clock are written once per request: its accounts must read the same clock.
        let clock = (pipeline.request.time.zone == ZoneRule::Account).then(|| account.time_zone.name());
        let parent = self.names_parent.then_some(account.parent.as_str());
        for piece in pieces(&pipeline.window, &wants) {
            self.wanted.entry((piece.window, clock, parent)).or_default().push(Wanted { account, piece });
        }
    }

    fn finish(mut self, lanes: Lanes) -> Plan {
        let pipeline = self.refresh.pipeline();
        for ((window, _, _), accounts) in self.wanted.into_iter().rev() {
            for batch in accounts.chunks(pipeline.request.accounts_per_request.max(1)) {
                let is_first = batch.iter().any(|wanted| wanted.piece.is_first);
                let lane = if is_first { lanes.first } else { lanes.again };
                self.plan.units.push(unit(pipeline, batch, window, lane));
            }
        }
        self.plan.units.sort_by_key(|unit| (unit.lane, Reverse(unit.window.to())));
        self.plan
    }
}

/// Several accounts in one request share their parent where that is named; each request of a batch has its own.
fn names_parent(pipeline: &Pipeline) -> bool {
    let in_header =
        |(_, text): &(String, HeaderText)| matches!(text, HeaderText::Literal(text) if text.contains("{parent}"));
    pipeline.request.batch.is_none()
        && (uses(&pipeline.request, Placeholder::Parent) || pipeline.api.headers.iter().any(in_header))
}

fn unit(pipeline: &Pipeline, batch: &[Wanted<'_>], window: Window, lane: Lane) -> Unit {
    let accounts: Vec<Account> = batch.iter().map(|wanted| wanted.account.clone()).collect();
    let confirmed = batch.iter().filter_map(|wanted| wanted.piece.confirmed).max();
    Unit { key: UnitKey::new(&pipeline.name, &accounts, window, confirmed), lane, accounts, window }
}

#[cfg(test)]
mod tests;
