//! What is known of each (account, hour): when it was last read from the platform and when its rows last changed.
//!
//! An hour of an account is named by its [`slot`]. The cells of one UTC day of slots make a [`DayLedger`], which is one
//! small row of the state; an account's days make an [`AccountLedger`]. From cells follow an hour's [`HourState`] and
//! the account's watermark ([`advance`]). Moments are kept in whole seconds: they are cut, never rounded up, so that an
//! hour is never taken to be confirmed later than it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::error::{Error, Result};
use crate::pipeline::WindowRules;
use crate::time::{Instant, Window, hour_at, hours_in, next_hour, slot};

/// The number of slots in a UTC day.
pub const SLOTS: usize = 24;

/// The first byte of an encoded [`DayLedger`].
const VERSION: u8 = 1;
/// The kinds of run in an encoded [`DayLedger`], in the lowest two bits of a run's head.
const NEVER_READ: u8 = 0;
const CHANGED_WHEN_READ: u8 = 1;
const CHANGED_BEFORE: u8 = 2;

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
    /// When it was last read from the platform.
    pub confirmed: Instant,
    /// When its rows last changed in the lake; at first the moment of its first confirmation.
    pub changed: Instant,
}

/// The cells of one account in one UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayLedger {
    cells: [Option<Cell>; SLOTS],
}

impl DayLedger {
    /// The cell of the slot at `slot_of_day`; `None` where the hour was never read.
    pub fn get(&self, slot_of_day: usize) -> Option<Cell> {
        self.cells.get(slot_of_day).copied().flatten()
    }

    /// Puts `cell`, cut to whole seconds, in the place `slot_of_day` (0 to 23; others are ignored).
    pub fn set(&mut self, slot_of_day: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(slot_of_day) {
            *place = Some(Cell { confirmed: whole_seconds(cell.confirmed), changed: whole_seconds(cell.changed) });
        }
    }

    /// The cells that are known, with their place in the day, in order.
    pub fn cells(&self) -> impl Iterator<Item = (usize, Cell)> + '_ {
        self.cells.iter().enumerate().filter_map(|(place, cell)| cell.map(|cell| (place, cell)))
    }

    /// The day as bytes: a version, then runs of equal cells. A run is a head (length less one in the upper six bits,
    /// kind in the lower two), then the confirmation, then, where it differs, how much earlier the change was; both as
    /// zigzag base-128 numbers of seconds. A day that was read at once takes 7 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut begin = 0;
        while begin < SLOTS {
            let cell = self.cells[begin];
            let length = self.cells[begin..].iter().take_while(|other| **other == cell).count();
            encode_run(&mut bytes, length, cell);
            begin += length;
        }
        bytes
    }

    /// The day that [`DayLedger::encode`] wrote. Anything else is a storage error.
    pub fn decode(bytes: &[u8]) -> Result<DayLedger> {
        let Some((&version, mut rest)) = bytes.split_first() else {
            return Err(Error::storage("a ledger day is empty, expected at least its version"));
        };
        if version != VERSION {
            return Err(Error::storage(format!("a ledger day has version {version}, expected {VERSION}"))
                .hint("use the hourmark that wrote it, or a newer one"));
        }
        let mut day = DayLedger::default();
        let mut filled = 0;
        while !rest.is_empty() {
            let (length, cell) = decode_run(&mut rest).ok_or_else(damaged)?;
            let end = filled + length;
            day.cells.get_mut(filled..end).ok_or_else(damaged)?.fill(cell);
            filled = end;
        }
        if filled == SLOTS { Ok(day) } else { Err(damaged()) }
    }
}

fn damaged() -> Error {
    Error::storage("a ledger day is damaged: its runs do not make 24 hours")
}

fn encode_run(bytes: &mut Vec<u8>, length: usize, cell: Option<Cell>) {
    let head = ((length - 1) as u8) << 2;
    match cell {
        None => bytes.push(head | NEVER_READ),
        Some(cell) if cell.changed == cell.confirmed => {
            bytes.push(head | CHANGED_WHEN_READ);
            push_number(bytes, cell.confirmed.timestamp());
        }
        Some(cell) => {
            bytes.push(head | CHANGED_BEFORE);
            push_number(bytes, cell.confirmed.timestamp());
            push_number(bytes, cell.confirmed.timestamp() - cell.changed.timestamp());
        }
    }
}

fn decode_run(rest: &mut &[u8]) -> Option<(usize, Option<Cell>)> {
    let (&head, after) = rest.split_first()?;
    *rest = after;
    let length = usize::from(head >> 2) + 1;
    let cell = match head & 0b11 {
        NEVER_READ => None,
        CHANGED_WHEN_READ => {
            let confirmed = DateTime::from_timestamp(take_number(rest)?, 0)?;
            Some(Cell { confirmed, changed: confirmed })
        }
        CHANGED_BEFORE => {
            let confirmed = take_number(rest)?;
            let changed = confirmed.checked_sub(take_number(rest)?)?;
            let (confirmed, changed) = (DateTime::from_timestamp(confirmed, 0)?, DateTime::from_timestamp(changed, 0)?);
            Some(Cell { confirmed, changed })
        }
        _ => return None,
    };
    Some((length, cell))
}

fn push_number(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left >= 0x80 {
        bytes.push((left as u8 & 0x7f) | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

fn take_number(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

fn whole_seconds(moment: Instant) -> Instant {
    DateTime::from_timestamp(moment.timestamp(), 0).unwrap_or(moment)
}

/// What is known of one account, by UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountLedger {
    days: BTreeMap<i64, DayLedger>,
}

impl AccountLedger {
    /// The cell of `slot`; `None` where the hour was never read, or its day is not loaded.
    pub fn cell(&self, slot: i64) -> Option<Cell> {
        self.days.get(&day_of(slot))?.get(slot_of_day(slot))
    }

    /// When the hour named by `slot` was last read from the platform.
    pub fn confirmed(&self, slot: i64) -> Option<Instant> {
        Some(self.cell(slot)?.confirmed)
    }

    /// The days that are known, in order.
    pub fn days(&self) -> impl Iterator<Item = (i64, &DayLedger)> {
        self.days.iter().map(|(day, ledger)| (*day, ledger))
    }

    /// Puts a whole day, as it was stored.
    pub fn insert_day(&mut self, day: i64, ledger: DayLedger) {
        self.days.insert(day, ledger);
    }

    /// Records that the hours of `zone` which begin in `window` were read at `at`, and that the rows of those in
    /// `changed` (slots) differed from the lake's.
    ///
    /// A confirmation never moves back: an older reading that is recorded late leaves a newer one as it is.
    pub fn confirm(&mut self, window: Window, zone: Tz, at: Instant, changed: &BTreeSet<i64>) {
        for hour in hours_in(window, zone) {
            let slot = slot(hour);
            let cell = match self.cell(slot) {
                None => Cell { confirmed: at, changed: at },
                Some(known) => Cell {
                    confirmed: known.confirmed.max(at),
                    changed: if changed.contains(&slot) { known.changed.max(at) } else { known.changed },
                },
            };
            self.days.entry(day_of(slot)).or_default().set(slot_of_day(slot), cell);
        }
    }
}

/// How settled one hour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HourState {
    /// It is over and was never read.
    Missing,
    /// It was read before it was over and settled, or is not over: what is there may be a part.
    Provisional,
    /// It was read after it settled; a refresh mark or the lookback still lies ahead.
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

/// The state at `now` of the hour that ends at `hour_end` and of which `cell` is known.
///
/// Refresh marks and the lookback are counted from the hour's end.
pub fn hour_state(hour_end: Instant, cell: Option<Cell>, rules: &WindowRules, now: Instant) -> HourState {
    let Some(cell) = cell else {
        return if hour_end <= now { HourState::Missing } else { HourState::Provisional };
    };
    if cell.confirmed < later(hour_end, rules.settle) {
        return HourState::Provisional;
    }
    let last_mark = rules.refresh.iter().copied().max().unwrap_or_default();
    if cell.confirmed < later(hour_end, last_mark.max(rules.lookback)) {
        return HourState::Settling;
    }
    HourState::Final
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
fn later(moment: Instant, duration: Duration) -> Instant {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|duration| moment.checked_add_signed(duration))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
