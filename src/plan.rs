//! Which units are due: a pure function of the ledger, the rules and the moment.
//!
//! Every hour of every account is looked at on the account's clock. An hour is *due* when it is over and settled and was
//! never read, or was read before it had settled, or has passed a refresh mark since it was last read. Due hours are
//! put into windows that the platform accepts (stretches of hours, or whole days), windows of several accounts that are
//! the same go into one request, and the newest go first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chrono_tz::Tz;

use crate::ledger::AccountLedger;
use crate::pipeline::{Align, HourSource, Pipeline, WindowRules, ZoneRule};
use crate::time::{Instant, Window, date_at, day, hours_in, next_hour, slot};
use crate::unit::{Account, Lane, Unit, UnitKey};

/// An account and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The account.
    pub account: &'a Account,
    /// The first hour that the pipeline answers for without being asked: where its history began.
    pub started: Instant,
    /// Every hour before it is published.
    pub watermark: Instant,
    /// The hours read so far.
    pub ledger: &'a AccountLedger,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Everything that is due now.
    Due,
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

impl Ask {
    /// The lane in which its requests wait.
    pub fn lane(self) -> Lane {
        match self {
            Ask::Due => Lane::Hourly,
            Ask::Backfill { .. } => Lane::Backfill,
        }
    }
}

/// The units of a run, in the order in which they are fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Newest first.
    pub units: Vec<Unit>,
    /// Account-hours in them.
    pub hours: u64,
    /// Account-hours that were asked for but are older than the platform answers.
    pub beyond_retention: u64,
}

/// The zone whose hours the platform reports for `account`: the account's own, or the one that the platform uses
/// whatever was asked for.
pub fn grid_zone(pipeline: &Pipeline, account: &Account) -> Tz {
    let rule = match &pipeline.hour {
        HourSource::Instant { zone, .. } | HourSource::DateHour { zone, .. } | HourSource::DateRange { zone, .. } => {
            zone
        }
        HourSource::Date { .. } => &ZoneRule::Account,
    };
    match rule {
        ZoneRule::Utc => Tz::UTC,
        ZoneRule::Account => account.time_zone,
        ZoneRule::Fixed(zone) => *zone,
    }
}

/// Plans `ask` for `subjects` at `now`.
pub fn plan(pipeline: &Pipeline, subjects: &[Subject<'_>], ask: Ask, now: Instant) -> Plan {
    let mut grids: HashMap<(Tz, Tz, Instant, Instant), Vec<Hour>> = HashMap::new();
    let mut wanted: BTreeMap<(Window, Option<&str>), Vec<Wanted<'_>>> = BTreeMap::new();
    let mut result = Plan::default();
    for subject in subjects {
        let Some(reach) = reach(&pipeline.window, subject, ask, now) else { continue };
        let zones = (grid_zone(pipeline, subject.account), subject.account.time_zone);
        let grid = grids
            .entry((zones.0, zones.1, reach.from(), reach.to()))
            .or_insert_with(|| hours(&pipeline.window, zones.0, zones.1, reach));
        let mut pieces: BTreeMap<i64, Piece> = BTreeMap::new();
        for hour in grid.iter() {
            let confirmed = subject.ledger.confirmed(slot(hour.begin));
            if !is_due(&pipeline.window, hour, confirmed, subject, ask, now) {
                continue;
            }
            if pipeline.window.retention.is_some_and(|oldest| hour.begin + oldest < now) {
                result.beyond_retention += 1;
                continue;
            }
            result.hours += 1;
            pieces.entry(hour.piece).or_insert_with(|| Piece::new(hour)).add(hour, confirmed);
        }
        for piece in pieces.into_values() {
            let Some(window) = Window::new(piece.from, piece.to) else { continue };
            // Times on the account's clock are written once per request: its accounts must read the same clock.
            let clock = (pipeline.request.time.zone == ZoneRule::Account).then(|| subject.account.time_zone.name());
            wanted
                .entry((window, clock))
                .or_default()
                .push(Wanted { account: subject.account, confirmed: piece.confirmed });
        }
    }
    for ((window, _), accounts) in wanted.into_iter().rev() {
        for batch in accounts.chunks(pipeline.request.accounts_per_request.max(1)) {
            result.units.push(unit(pipeline, batch, window, ask.lane()));
        }
    }
    result.units.sort_by_key(|unit| Reverse(unit.window.to()));
    result
}

/// One hour of a grid and the piece of time that is asked for with it.
#[derive(Debug, Clone, Copy)]
struct Hour {
    begin: Instant,
    end: Instant,
    /// From when ages are counted: the hour's end, or the end of the day that is read with it.
    mark_base: Instant,
    /// What is asked for at least: the hour itself or its whole day.
    ask_from: Instant,
    ask_to: Instant,
    /// Hours with the same number may share a request.
    piece: i64,
}

struct Wanted<'a> {
    account: &'a Account,
    confirmed: Option<Instant>,
}

struct Piece {
    from: Instant,
    to: Instant,
    confirmed: Option<Instant>,
}

impl Piece {
    fn new(hour: &Hour) -> Piece {
        Piece { from: hour.ask_from, to: hour.ask_to, confirmed: None }
    }

    fn add(&mut self, hour: &Hour, confirmed: Option<Instant>) {
        self.from = self.from.min(hour.ask_from);
        self.to = self.to.max(hour.ask_to);
        self.confirmed = self.confirmed.max(confirmed);
    }
}

/// The time that the ledgers must be known for, to plan `ask` for accounts whose oldest open hours are `oldest`.
pub fn reach_of(pipeline: &Pipeline, oldest: impl Iterator<Item = Instant>, ask: Ask, now: Instant) -> Option<Window> {
    let day = chrono::Duration::days(1);
    match ask {
        Ask::Due => due_reach(&pipeline.window, oldest.min()?, now),
        // Two days cover the widest offsets, whatever the accounts' zones.
        Ask::Backfill { from, to, .. } => {
            let utc = |date| crate::time::day(date, Tz::UTC).from();
            Window::new(utc(from) - day * 2, utc(to) + day * 2)
        }
    }
}

/// Marks that passed while nothing ran, or while a platform refused, are caught up on for so long. The watermark does not
/// tell: it only says that every hour was read once.
const CATCH_UP_DAYS: i64 = 31;

fn due_reach(rules: &WindowRules, watermark: Instant, now: Instant) -> Option<Window> {
    let oldest_mark = rules.refresh.iter().copied().max().unwrap_or_default().max(rules.lookback);
    // A day's marks count from its end, so its first hours are up to a day (and a shift) older than the mark.
    let days = match rules.align {
        Align::Hour => 1,
        Align::AccountDay | Align::UtcDay => i64::from(rules.size) + 2,
    };
    let refreshed = now - oldest_mark - chrono::Duration::days(days + CATCH_UP_DAYS);
    Window::new(snap(refreshed.min(watermark)), snap(now) + chrono::Duration::days(1))
}

/// The time in which hours of `subject` can be due at all.
fn reach(rules: &WindowRules, subject: &Subject<'_>, ask: Ask, now: Instant) -> Option<Window> {
    match ask {
        Ask::Due => due_reach(rules, subject.watermark, now),
        Ask::Backfill { from, to, .. } => {
            let zone = subject.account.time_zone;
            Window::new(day(from, zone).from(), day(to, zone).from().min(now))
        }
    }
}

/// Whole UTC days, so that many accounts share one grid.
fn snap(moment: Instant) -> Instant {
    day(date_at(moment, Tz::UTC), Tz::UTC).from()
}

fn hours(rules: &WindowRules, grid: Tz, clock: Tz, reach: Window) -> Vec<Hour> {
    let size = i64::from(rules.size.max(1));
    let mut result = Vec::new();
    let mut today: Option<Window> = None;
    for begin in hours_in(reach, grid) {
        let end = next_hour(begin, grid);
        let hour = match rules.align {
            Align::Hour => {
                let piece = slot(begin).div_euclid(size);
                Hour { begin, end, mark_base: end, ask_from: begin, ask_to: end, piece }
            }
            Align::AccountDay | Align::UtcDay => {
                let zone = if rules.align == Align::UtcDay { Tz::UTC } else { clock };
                let whole = match today {
                    Some(whole) if whole.contains(begin) => whole,
                    _ => day(date_at(begin, zone), zone),
                };
                today = Some(whole);
                let number = date_at(begin, zone).signed_duration_since(chrono::NaiveDate::default()).num_days();
                let piece = number.div_euclid(size);
                Hour { begin, end, mark_base: whole.to(), ask_from: whole.from(), ask_to: whole.to(), piece }
            }
        };
        result.push(hour);
    }
    result
}

/// The rule of the module's first paragraph.
fn is_due(
    rules: &WindowRules,
    hour: &Hour,
    confirmed: Option<Instant>,
    subject: &Subject<'_>,
    ask: Ask,
    now: Instant,
) -> bool {
    let settled = hour.end + rules.settle;
    if settled > now {
        return false;
    }
    let unread = confirmed.is_none_or(|at| at < settled);
    match ask {
        Ask::Backfill { from, to, again } => {
            let zone = subject.account.time_zone;
            let asked = day(from, zone).from() <= hour.begin && hour.begin < day(to, zone).from();
            asked && (again || unread)
        }
        Ask::Due => match confirmed {
            None => hour.begin >= subject.started,
            Some(_) if unread => true,
            Some(at) => {
                let young = now < hour.end + rules.lookback;
                young || rules.refresh.iter().any(|mark| hour.mark_base + *mark <= now && at < hour.mark_base + *mark)
            }
        },
    }
}

fn unit(pipeline: &Pipeline, batch: &[Wanted<'_>], window: Window, lane: Lane) -> Unit {
    let accounts: Vec<Account> = batch.iter().map(|wanted| wanted.account.clone()).collect();
    let confirmed = batch.iter().filter_map(|wanted| wanted.confirmed).max();
    Unit { key: UnitKey::new(&pipeline.name, &accounts, window, confirmed), lane, accounts, window }
}

#[cfg(test)]
mod tests;
