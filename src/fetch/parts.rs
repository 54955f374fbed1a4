//! A unit in the pieces in which it can be asked for: pure, but for what was learnt.
//!
//! A platform that answers "too much data" is asked for half as much: first of the accounts, then of the hours, then of
//! the campaigns. The size that was found is remembered for each account, so the next unit begins with it.

use chrono_tz::Tz;

use crate::pipeline::{Align, Pipeline};
use crate::refresh::grid_zone;
use crate::state::{Size, Sizes};
use crate::time::{Instant, Window, date_at, day, hours_in, next_hour};
use crate::unit::{Account, Unit};

/// A piece of a unit that is asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which of the unit's parts, from 0.
    pub(crate) number: u32,
    pub(crate) accounts: Vec<Account>,
    pub(crate) window: Window,
    /// At most so many campaigns in one request, where they are named in it.
    pub(crate) campaigns: usize,
}

/// The parts of `unit`'s `accounts`, in the order of accounts and then of time.
pub(crate) fn parts(pipeline: &Pipeline, unit: &Unit, accounts: &[Account], sizes: &Sizes, alone: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    let most = if alone { 1 } else { sizes.max_accounts.map_or(usize::MAX, |most| most as usize) };
    for accounts in accounts.chunks(most.max(1)) {
        let hours = accounts.iter().filter_map(|account| sizes.accounts.get(&account.id)?.max_hours).min();
        let campaigns = accounts.iter().filter_map(|account| sizes.accounts.get(&account.id)?.max_campaigns).min();
        let declared = pipeline.request.campaigns_per_request.max(1);
        let campaigns = campaigns.map_or(declared, |most| (most as usize).clamp(1, declared));
        for window in windows(pipeline, accounts, unit.window, hours) {
            // A unit has no more parts than hours and accounts.
            let number = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            parts.push(Part { number, accounts: accounts.to_vec(), window, campaigns });
        }
    }
    parts
}

/// `window` in pieces of at most `hours` hours, or as few days as make at least one where whole days are asked for.
fn windows(pipeline: &Pipeline, accounts: &[Account], window: Window, hours: Option<u32>) -> Vec<Window> {
    let (Some(hours), Some(first)) = (hours, accounts.first()) else { return vec![window] };
    let mut pieces = Vec::new();
    let mut from = window.from();
    while from < window.to() {
        let to = match pipeline.window.align {
            // On the clock by which the platform counts: an hour of it is never cut in two.
            Align::Hour => after_hours(from, hours, grid_zone(pipeline, first)),
            Align::AccountDay => after_days(from, days(hours), first.time_zone),
            Align::UtcDay => after_days(from, days(hours), Tz::UTC),
        };
        let to = to.min(window.to());
        pieces.extend(Window::new(from, to));
        from = to;
    }
    pieces
}

/// So many days are in `hours`, at least one; one of 23 hours among them is a day as well.
fn days(hours: u32) -> u32 {
    (hours.saturating_add(1) / 24).max(1)
}

fn after_hours(from: Instant, hours: u32, zone: Tz) -> Instant {
    (0..hours.max(1)).fold(from, |hour, _| next_hour(hour, zone))
}

fn after_days(from: Instant, days: u32, zone: Tz) -> Instant {
    (0..days).fold(from, |begin, _| day(date_at(begin, zone), zone).to())
}

/// What to ask for instead of `part`, which was too much: a size to learn; `None` where it cannot be less.
pub(super) fn halved(pipeline: &Pipeline, part: &Part, campaigns_named: usize) -> Option<Size> {
    let [account] = part.accounts.as_slice() else {
        return Some(Size::Accounts { most: u32::try_from(part.accounts.len() / 2).unwrap_or(u32::MAX) });
    };
    let account = account.id.clone();
    let hours = length(pipeline, part);
    let least = match pipeline.window.align {
        Align::Hour => 1,
        Align::AccountDay | Align::UtcDay => 25,
    };
    if hours > least {
        return Some(Size::Hours { account, most: (hours / 2).max(1) });
    }
    let named = campaigns_named.min(part.campaigns);
    (named > 1).then(|| Size::Campaigns { account, most: u32::try_from(named / 2).unwrap_or(u32::MAX) })
}

/// How many hours the part has.
fn length(pipeline: &Pipeline, part: &Part) -> u32 {
    let zone = part.accounts.first().map_or(Tz::UTC, |account| grid_zone(pipeline, account));
    u32::try_from(hours_in(part.window, zone).count()).unwrap_or(u32::MAX)
}

/// The part of `window` that had ended by `ended`.
pub(super) fn ended_by(window: Window, ended: Instant) -> Option<Window> {
    Window::new(window.from(), window.to().min(ended))
}

#[cfg(test)]
mod tests;
