//! When an hour is read: first, and again because platforms restate.
//!
//! An hour is read once it is over and settled, and again at its *refresh marks*: ages at which its values usually have
//! moved. Ages of less than a day count from the hour's end. Longer ones count from the end of the hour's *block*, so that
//! all hours of a block are read again by one request: a block is a day where the platform gives whole days, and else as
//! many hours as one request may ask for, a day at most. An hour that was read after its last mark is final.
//!
//! Everything here is a pure function of its arguments: the pipeline's rules, what was learnt ([`Learned`]), the cell and
//! the moment. The state keeps the result of [`Refresh::next_due`] beside each day, so that a run looks only at days in
//! which something is due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ledger::{AccountLedger, Cell, Found, later};
use crate::pipeline::{Align, HourSource, Pipeline, ZoneRule};
use crate::time::{Instant, slot, slot_start};
use crate::unit::Account;

mod grid;
mod learn;

pub use grid::{Grid, Hour};
pub use learn::{Learned, Movement, learn};

/// Ages from this on count from the end of a block.
const DAY: Duration = Duration::from_secs(86_400);
/// A mark that nobody has kept for so long is given up: a machine that was off for a year does not read it all again.
const GIVEN_UP: TimeDelta = TimeDelta::days(31);
/// An hour without rows that should have some is read again so long after it was first read.
const SUSPICIOUS: [TimeDelta; 8] = [
    TimeDelta::hours(1),
    TimeDelta::hours(2),
    TimeDelta::hours(3),
    TimeDelta::hours(6),
    TimeDelta::hours(12),
    TimeDelta::days(1),
    TimeDelta::days(3),
    TimeDelta::days(7),
];
/// One block in so many is read at marks at which nothing moves, to notice when that changes.
const SAMPLE: u64 = 16;

/// How settled one hour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HourState {
    /// It is over and was never read.
    Missing,
    /// It was read before it was over and settled, or is not over: what is there may be a part.
    Provisional,
    /// It was read after it settled; a refresh mark still lies ahead.
    Settling,
    /// It was read after its last refresh mark: no run asks for it again.
    Final,
}

impl HourState {
    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            HourState::Missing => "missing",
            HourState::Provisional => "provisional",
            HourState::Settling => "settling",
            HourState::Final => "final",
        }
    }
}

/// Why an hour is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It was never read.
    New,
    /// It was read before it had settled.
    Unsettled,
    /// It is younger than the lookback.
    Lookback,
    /// It has come to this age since it was last read.
    Mark(Duration),
    /// It has no rows where the account's history says otherwise.
    Suspicious,
}

impl Reason {
    /// Whether what the lake has of the hour may be incomplete: such hours go before those that may have moved.
    pub fn is_first(self) -> bool {
        matches!(self, Reason::New | Reason::Unsettled)
    }
}

/// When an hour is due and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// From this moment on.
    pub at: Instant,
    /// Why.
    pub reason: Reason,
}

/// An age at which hours are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The age.
    pub age: Duration,
    /// Whether only a sample of the blocks is read at it, because nothing has been seen to move.
    pub sampled: bool,
}

/// The rules of one pipeline.
#[derive(Debug, Clone)]
pub struct Refresh {
    pipeline: Arc<Pipeline>,
    /// The marks of accounts without marks of their own.
    marks: Vec<Mark>,
    /// Those of the others.
    own: HashMap<String, Vec<Mark>>,
}

impl Refresh {
    /// The rules of `pipeline` with what was learnt, which counts only where it says `learn = true`.
    pub fn new(pipeline: Arc<Pipeline>, learned: &Learned) -> Refresh {
        let plain =
            |ages: &[Duration]| ages.iter().map(|age| Mark { age: *age, sampled: false }).collect::<Vec<Mark>>();
        let rules = &pipeline.window;
        let marks = if rules.learn { learned.marks(&rules.refresh) } else { plain(&rules.refresh) };
        let own = rules.account_refresh.iter().map(|(id, ages)| (id.clone(), plain(ages))).collect();
        Refresh { pipeline, marks, own }
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The marks of `account`, ascending.
    pub fn marks(&self, account: &str) -> &[Mark] {
        self.own.get(account).map_or(&self.marks, Vec::as_slice)
    }

    /// Whether `account` has marks of its own.
    pub fn has_own(&self, account: &str) -> bool {
        self.own.contains_key(account)
    }

    /// The greatest age at which any account's hours are read again.
    pub fn last_age(&self) -> Duration {
        let all = self.own.values().flatten().chain(&self.marks);
        let last = all.map(|mark| mark.age).max().unwrap_or_default();
        last.max(self.pipeline.window.lookback)
    }

    /// A text that is another one whenever [`Refresh::next_due`] may give something else.
    pub fn fingerprint(&self) -> String {
        let text = |marks: &[Mark]| {
            let word = |mark: &Mark| format!("{}{}", mark.age.as_secs(), if mark.sampled { "s" } else { "" });
            marks.iter().map(word).collect::<Vec<String>>().join(",")
        };
        let rules = &self.pipeline.window;
        let mut own: Vec<String> = self.own.iter().map(|(id, marks)| format!("{id}={}", text(marks))).collect();
        own.sort();
        format!(
            "1 {:?}/{} settle {} lookback {} retention {:?} zone {:?} marks {} own {}",
            rules.align,
            rules.size,
            rules.settle.as_secs(),
            rules.lookback.as_secs(),
            rules.retention.map(|retention| retention.as_secs()),
            zone_rule(&self.pipeline),
            text(&self.marks),
            own.join(" ")
        )
    }

    /// When `hour` of `account` is due next, given what is known of it; `None`: no run asks for it any more.
    pub fn next_due(&self, account: &str, hour: &Hour, cell: Option<&Cell>, now: Instant) -> Option<Due> {
        let rules = &self.pipeline.window;
        let settled = later(hour.end, rules.settle);
        let Some(cell) = cell else { return Some(Due { at: settled, reason: Reason::New }) };
        if cell.confirmed < settled {
            return Some(Due { at: settled, reason: Reason::Unsettled });
        }
        let oldest = rules.retention.map(|retention| later(hour.begin, retention));
        let possible = |due: &Due| oldest.is_none_or(|gone| due.at < gone) && due.at + GIVEN_UP > now;
        if cell.confirmed < later(hour.end, rules.lookback) {
            return Some(Due { at: cell.confirmed, reason: Reason::Lookback });
        }
        let marks = self.marks(account).iter().filter(|mark| !mark.sampled || in_sample(account, hour.block));
        let marked = marks
            .map(|mark| Due { at: later(hour.base(mark.age), mark.age).max(settled), reason: Reason::Mark(mark.age) })
            .find(|due| cell.confirmed < due.at && possible(due));
        let suspicious = (cell.found == Found::Suspicious)
            .then(|| SUSPICIOUS.iter().map(|wait| cell.first + *wait).find(|at| cell.confirmed < *at))
            .flatten()
            .map(|at| Due { at, reason: Reason::Suspicious })
            .filter(possible);
        match (marked, suspicious) {
            (Some(one), Some(other)) => Some(if other.at < one.at { other } else { one }),
            (one, other) => one.or(other),
        }
    }

    /// How settled `hour` is at `now`.
    pub fn state(&self, account: &str, hour: &Hour, cell: Option<&Cell>, now: Instant) -> HourState {
        let Some(cell) = cell else {
            return if hour.end <= now { HourState::Missing } else { HourState::Provisional };
        };
        match self.next_due(account, hour, Some(cell), now) {
            None => HourState::Final,
            Some(Due { reason: Reason::New | Reason::Unsettled, .. }) => HourState::Provisional,
            Some(_) => HourState::Settling,
        }
    }

    /// The mark that a reading at `at` kept, of an hour that was read before: the last that the hour had passed then.
    pub fn kept_mark(&self, account: &str, hour: &Hour, before: &Cell, at: Instant) -> Option<Duration> {
        let passed = |mark: &&Mark| {
            let due = later(hour.base(mark.age), mark.age);
            before.confirmed < due && due <= at
        };
        self.marks(account).iter().rev().find(passed).map(|mark| mark.age)
    }

    /// The mark at which the hour is read next after a reading at `at`: what that finds changed, it would have found.
    pub fn coming_mark(&self, account: &str, hour: &Hour, at: Instant) -> Option<Duration> {
        let comes = |mark: &&Mark| {
            later(hour.base(mark.age), mark.age) > at && (!mark.sampled || in_sample(account, hour.block))
        };
        self.marks(account).iter().find(comes).map(|mark| mark.age)
    }

    /// The first moment at which an hour of the UTC day `day` is due; `None` where none is any more. Hours that begin
    /// before `started` and were never read do not count.
    pub fn day_due(
        &self,
        account: &Account,
        ledger: &AccountLedger,
        day: i64,
        started: Instant,
        grid: &mut Grid,
        now: Instant,
    ) -> Option<Instant> {
        let mut first: Option<Instant> = None;
        for hour in grid.day(&self.pipeline, account, day).iter() {
            let cell = ledger.cell(slot(hour.begin));
            if cell.is_none() && hour.begin < started {
                continue;
            }
            if let Some(due) = self.next_due(&account.id, hour, cell.as_ref(), now) {
                first = Some(first.map_or(due.at, |first| first.min(due.at)));
            }
        }
        first
    }

    /// Folds those of `days` in which no hour is due any more and of which every hour is over. Gives the folded days.
    pub fn fold(
        &self,
        account: &Account,
        ledger: &mut AccountLedger,
        days: impl Iterator<Item = i64>,
        grid: &mut Grid,
        now: Instant,
    ) -> Vec<i64> {
        let mut folded = Vec::new();
        for day in days {
            if slot_start((day + 1) * 24) + TimeDelta::hours(1) > now {
                continue;
            }
            let hours = grid.day(&self.pipeline, account, day);
            let is_final = |at: i64, cell: &Cell| {
                let hour = hours.iter().find(|hour| slot(hour.begin) == at);
                hour.is_none_or(|hour| self.next_due(&account.id, hour, Some(cell), now).is_none())
            };
            if ledger.fold(day, grid_zone(&self.pipeline, account), is_final) {
                folded.push(day);
            }
        }
        folded
    }
}

/// The zone whose hours the platform reports for `account`: the account's own, or the one that the platform uses
/// whatever was asked for.
pub fn grid_zone(pipeline: &Pipeline, account: &Account) -> Tz {
    match zone_rule(pipeline) {
        ZoneRule::Utc => Tz::UTC,
        ZoneRule::Account => account.time_zone,
        ZoneRule::Fixed(zone) => zone,
    }
}

fn zone_rule(pipeline: &Pipeline) -> ZoneRule {
    match &pipeline.hour {
        HourSource::Instant { zone, .. }
        | HourSource::DateHour { zone, .. }
        | HourSource::DateRange { zone, .. }
        | HourSource::Pattern { zone, .. } => *zone,
        HourSource::Position { .. } => ZoneRule::Utc,
        HourSource::Date { .. } => ZoneRule::Account,
    }
}

/// Whether a block is read at sampled marks: the same answer for ever.
fn in_sample(account: &str, block: i64) -> bool {
    xxh3_64_with_seed(account.as_bytes(), block as u64).is_multiple_of(SAMPLE)
}

/// So many of the hours that one request may ask for make a block, where hours are asked for on their own: a divisor of a
/// day, so that every day begins with a block.
fn block_hours(pipeline: &Pipeline) -> i64 {
    debug_assert_eq!(pipeline.window.align, Align::Hour);
    let size = i64::from(pipeline.window.size);
    [24, 12, 8, 6, 4, 3, 2].into_iter().find(|hours| *hours <= size).unwrap_or(1)
}

#[cfg(test)]
mod tests;
