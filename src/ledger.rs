//! What is known of each (account, hour): when it was first and last read from the platform, when its rows last changed,
//! and whether there were any.
//!
//! An hour of an account is named by its [`slot`]. The cells of one UTC day of slots make a [`DayLedger`], which is one
//! small row of the state while the day is in motion; hours that no run asks for again are folded into a
//! [`FinalStretch`], one row for as long as they are adjacent. Both make an [`AccountLedger`]. When an hour is due
//! follows from its cell ([`crate::refresh`]), as does the account's watermark ([`advance`]). Moments are kept in whole
//! seconds: they are cut, never rounded up, so that an hour is never taken to be confirmed later than it was.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::time::{Instant, hour_at, next_hour, slot};

mod account;
mod day;

pub use account::{AccountLedger, FinalStretch, Reading};
pub use day::DayLedger;

/// The number of slots in a UTC day.
pub const SLOTS: usize = 24;

/// The UTC day, counted from 1970-01-01, in which `slot` lies.
pub fn day_of(slot: i64) -> i64 {
    slot.div_euclid(SLOTS as i64)
}

/// The place of `slot` in its UTC day, 0 to 23.
pub fn slot_of_day(slot: i64) -> usize {
    slot.rem_euclid(SLOTS as i64) as usize
}

/// What is known of one hour that has been read at least once. Whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// When it was first read from the platform.
    pub first: Instant,
    /// When it was last read from the platform.
    pub confirmed: Instant,
    /// When its rows last changed in the lake; at first the moment of its first confirmation.
    pub changed: Instant,
    /// What the last reading brought.
    pub found: Found,
}

/// What the last reading of an hour brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// Rows.
    Rows,
    /// No row, as it happens with this account at this time.
    Nothing,
    /// No row, where the account's history says otherwise.
    Suspicious,
}

impl Found {
    /// The word for it in tables.
    pub fn word(self) -> &'static str {
        match self {
            Found::Rows => "rows",
            Found::Nothing => "nothing",
            Found::Suspicious => "suspicious",
        }
    }
}

/// The watermark that follows from `ledger`: the first hour of `zone` at or after `watermark` that is not confirmed at
/// or after its end and `settle`. Never less than `watermark`, and never beyond an hour that is not over and settled at
/// `now`.
///
/// `ledger` need only hold the days from the watermark's on; a day that is not loaded counts as not confirmed.
pub fn advance(watermark: Instant, zone: Tz, settle: Duration, ledger: &AccountLedger, now: Instant) -> Instant {
    let mut hour = hour_at(watermark, zone);
    if hour < watermark {
        hour = next_hour(hour, zone);
    }
    let mut reached = watermark;
    loop {
        let end = next_hour(hour, zone);
        let settled = later(end, settle);
        let known = ledger.confirmed(slot(hour)).is_some_and(|confirmed| confirmed >= settled);
        if !known || settled > now {
            return reached;
        }
        reached = end;
        hour = end;
    }
}

/// `moment` and `duration` more, or the end of time.
pub(crate) fn later(moment: Instant, duration: Duration) -> Instant {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|duration| moment.checked_add_signed(duration))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
