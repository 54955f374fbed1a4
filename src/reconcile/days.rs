//! Which days of which accounts are compared: settled ones, of which no hour is missing.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{Duration as Span, NaiveDate};
use chrono_tz::Tz;

use super::report::{Day, DayState, Reconciled};
use crate::ledger::AccountLedger;
use crate::pipeline::{Pipeline, Reconcile};
use crate::refresh::grid_zone;
use crate::time::{Instant, Window, date_at, day, hours_in, next_hour, slot};
use crate::unit::{Account, Lane, Unit, UnitKey};

/// How many settled days are compared where no dates are given.
const LAST_DAYS: i64 = 7;
/// No day of any clock begins or ends further from its date in UTC.
const WIDEST: i64 = 2;

/// An account, and days on its clock in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountDays {
    pub(super) account: Account,
    pub(super) dates: Vec<NaiveDate>,
}

/// Accounts with their days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) accounts: Vec<AccountDays>,
    /// Days that were asked for and are not settled.
    pub(super) too_young: u64,
}

/// The days of `accounts` between the dates (or the last ones) that had been over for `settle` by `now`.
pub(super) fn settled(
    accounts: &[Account],
    between: Option<(NaiveDate, NaiveDate)>,
    settle: Duration,
    now: Instant,
) -> Settled {
    let mut result = Settled::default();
    for account in accounts {
        let zone = account.time_zone;
        // The day in which that moment lies is not over by then; the one before is.
        let end = date_at(now - settle, zone);
        let (from, to) = match between {
            Some((from, to)) => {
                result.too_young += to.signed_duration_since(end.max(from)).num_days().max(0).unsigned_abs();
                (from, to.min(end))
            }
            None => (end - Span::days(LAST_DAYS), end),
        };
        let dates: Vec<NaiveDate> =
            from.iter_days().take_while(|date| *date < to).filter(|date| exists(*date, zone)).collect();
        if !dates.is_empty() {
            result.accounts.push(AccountDays { account: account.clone(), dates });
        }
    }
    result
}

/// Whether the clock shows `date` at all: zones that changed sides of the date line left one out.
fn exists(date: NaiveDate, zone: Tz) -> bool {
    date_at(day(date, zone).from(), zone) == date
}

impl Settled {
    /// The first and the last of the days.
    pub(super) fn reach(&self) -> Option<(NaiveDate, NaiveDate)> {
        let first = self.accounts.iter().filter_map(|days| days.dates.first()).min()?;
        let last = self.accounts.iter().filter_map(|days| days.dates.last()).max()?;
        Some((*first, *last))
    }

    /// A window that holds all hours of all days.
    pub(super) fn window(&self) -> Option<Window> {
        let (first, last) = self.reach()?;
        let widest = Span::days(WIDEST);
        Window::new(day(first, Tz::UTC).from() - widest, day(last, Tz::UTC).to() + widest)
    }

    /// The days from `from` to before `to`.
    pub(super) fn between(&self, from: NaiveDate, to: NaiveDate) -> Settled {
        let mut part = Settled::default();
        for AccountDays { account, dates } in &self.accounts {
            let dates: Vec<NaiveDate> = dates.iter().copied().filter(|date| (from..to).contains(date)).collect();
            if !dates.is_empty() {
                part.accounts.push(AccountDays { account: account.clone(), dates });
            }
        }
        part
    }

    /// The days of which every hour was read after it had settled; `report` takes the others.
    pub(super) fn complete(
        &self,
        pipeline: &Pipeline,
        ledgers: &HashMap<String, AccountLedger>,
        grid: &mut Grid,
        report: &mut Reconciled,
    ) -> Settled {
        let nothing = AccountLedger::default();
        let mut complete = Settled::default();
        for AccountDays { account, dates } in &self.accounts {
            let ledger = ledgers.get(&account.id).unwrap_or(&nothing);
            let mut whole = Vec::new();
            for date in dates {
                let hours = grid.hours(grid_zone(pipeline, account), account.time_zone, *date);
                let missing = hours.iter().filter(|(slot, end)| {
                    // As for watermarks: what was read before it had settled may be a part.
                    ledger.confirmed(*slot).is_none_or(|read| read < *end + pipeline.window.settle)
                });
                match missing.count() {
                    0 => whole.push(*date),
                    missing => {
                        let state = DayState::Incomplete { missing, hours: hours.len() };
                        report.add(Day { account: account.id.clone(), date: *date, state });
                    }
                }
            }
            if !whole.is_empty() {
                complete.accounts.push(AccountDays { account: account.clone(), dates: whole });
            }
        }
        complete
    }
}

/// The hours of days, worked out once for all accounts of a clock.
#[derive(Debug, Default)]
pub(super) struct Grid {
    days: HashMap<(Tz, Tz, NaiveDate), Vec<(i64, Instant)>>,
}

impl Grid {
    /// The hours of `grid` that begin on `date` of the clock of `zone`: their slots and ends.
    fn hours(&mut self, grid: Tz, zone: Tz, date: NaiveDate) -> &[(i64, Instant)] {
        self.days.entry((grid, zone, date)).or_insert_with(|| {
            let whole = day(date, zone);
            // Some clocks were set back over midnight: an hour of the date then lies outside the day.
            let around = Window::new(whole.from() - Span::hours(2), whole.to() + Span::hours(2)).unwrap_or(whole);
            let hours = hours_in(around, grid).filter(|hour| date_at(*hour, zone) == date);
            hours.map(|hour| (slot(hour), next_hour(hour, grid))).collect()
        })
    }
}

/// The requests for the daily report: accounts of one clock, and stretches of days that hold all of theirs.
pub(super) fn units(rules: &Reconcile, pipeline: &str, wanted: &Settled) -> Vec<Unit> {
    let mut clocks: Vec<(Tz, Vec<&AccountDays>)> = Vec::new();
    for wanted in &wanted.accounts {
        let zone = wanted.account.time_zone;
        match clocks.iter_mut().find(|(known, _)| *known == zone) {
            Some((_, accounts)) => accounts.push(wanted),
            None => clocks.push((zone, vec![wanted])),
        }
    }
    let mut units = Vec::new();
    for (zone, accounts) in clocks {
        for batch in accounts.chunks(rules.request.accounts_per_request.max(1)) {
            let accounts: Vec<Account> = batch.iter().map(|days| days.account.clone()).collect();
            let mut dates: Vec<NaiveDate> = batch.iter().flat_map(|days| days.dates.iter().copied()).collect();
            dates.sort_unstable();
            dates.dedup();
            while let Some(first) = dates.first().copied() {
                let end = first + Span::days(i64::from(rules.days_per_request.max(1)));
                let rest = dates.split_off(dates.partition_point(|date| *date < end));
                let last = dates.last().copied().unwrap_or(first);
                if let Some(window) = Window::new(day(first, zone).from(), day(last, zone).to()) {
                    let name = UnitKey::new(&format!("{pipeline}/daily"), &accounts, window, None);
                    units.push(Unit { key: name, lane: Lane::Backfill, accounts: accounts.clone(), window });
                }
                dates = rest;
            }
        }
    }
    units
}
