//! The cells of one account in one UTC day, and how they are written down.

use chrono::DateTime;

use super::{Cell, Found, SLOTS};
use crate::error::{Error, Result};
use crate::time::Instant;

/// The first byte of an encoded day: what was written before hours told when they were first read, and today's form.
const BEFORE: u8 = 1;
const VERSION: u8 = 2;
/// What a run's head says in its lowest three bits; the upper five are the run's length less one.
const NEVER_READ: u8 = 0;
const ROWS: u8 = 1;
const NOTHING: u8 = 2;
const SUSPICIOUS: u8 = 3;

/// The cells of one account in one UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayLedger {
    cells: [Option<Cell>; SLOTS],
}

/// The moments of a cell as they are written: the last reading, and how much earlier the other two were.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    confirmed: i64,
    changed_before: i64,
    first_before: i64,
}

impl DayLedger {
    /// The cell of the slot at `slot_of_day`; `None` where the hour was never read.
    pub fn get(&self, slot_of_day: usize) -> Option<Cell> {
        self.cells.get(slot_of_day).copied().flatten()
    }

    /// Puts `cell`, cut to whole seconds, in the place `slot_of_day` (0 to 23; others are ignored).
    pub fn set(&mut self, slot_of_day: usize, cell: Cell) {
        if let Some(place) = self.cells.get_mut(slot_of_day) {
            *place = Some(Cell {
                first: whole_seconds(cell.first),
                confirmed: whole_seconds(cell.confirmed),
                changed: whole_seconds(cell.changed),
                found: cell.found,
            });
        }
    }

    /// Whether no cell is known.
    pub fn is_empty(&self) -> bool {
        self.cells.iter().all(Option::is_none)
    }

    /// The cells that are known, with their place in the day, in order.
    pub fn cells(&self) -> impl Iterator<Item = (usize, Cell)> + '_ {
        self.cells.iter().enumerate().filter_map(|(place, cell)| cell.map(|cell| (place, cell)))
    }

    /// The day as bytes: a version, then runs of equal cells. A run is a head (its length and what was found) and,
    /// where it was read, three numbers of seconds: the last reading, how much earlier the rows changed, how much
    /// earlier the first reading was; each as the difference from the run before, zigzag, base 128. A day that was read
    /// at once takes 9 bytes, one that was read hour by hour about 100.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut before = Written::default();
        let mut begin = 0;
        while begin < SLOTS {
            let cell = self.cells[begin];
            let length = self.cells[begin..].iter().take_while(|other| **other == cell).count();
            let head = ((length - 1) as u8) << 3;
            match cell {
                None => bytes.push(head | NEVER_READ),
                Some(cell) => {
                    bytes.push(head | word_of(cell.found));
                    let written = written(cell);
                    push_number(&mut bytes, written.confirmed - before.confirmed);
                    push_number(&mut bytes, written.changed_before - before.changed_before);
                    push_number(&mut bytes, written.first_before - before.first_before);
                    before = written;
                }
            }
            begin += length;
        }
        bytes
    }

    /// The day that [`DayLedger::encode`] wrote, today or in an earlier version. Anything else is a storage error.
    pub fn decode(bytes: &[u8]) -> Result<DayLedger> {
        let Some((&version, mut rest)) = bytes.split_first() else {
            return Err(Error::storage("a ledger day is empty, expected at least its version"));
        };
        if version != VERSION && version != BEFORE {
            return Err(Error::storage(format!("a ledger day has version {version}, expected {VERSION}"))
                .hint("use the hourmark that wrote it, or a newer one"));
        }
        let mut day = DayLedger::default();
        let mut before = Written::default();
        let mut filled = 0;
        while !rest.is_empty() {
            let run = if version == BEFORE { earlier_run(&mut rest) } else { run(&mut rest, &mut before) };
            let (length, cell) = run.ok_or_else(damaged)?;
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

fn word_of(found: Found) -> u8 {
    match found {
        Found::Rows => ROWS,
        Found::Nothing => NOTHING,
        Found::Suspicious => SUSPICIOUS,
    }
}

fn written(cell: Cell) -> Written {
    let confirmed = cell.confirmed.timestamp();
    Written {
        confirmed,
        changed_before: confirmed - cell.changed.timestamp(),
        first_before: confirmed - cell.first.timestamp(),
    }
}

fn run(rest: &mut &[u8], before: &mut Written) -> Option<(usize, Option<Cell>)> {
    let (&head, after) = rest.split_first()?;
    *rest = after;
    let length = usize::from(head >> 3) + 1;
    let found = match head & 0b111 {
        NEVER_READ => return Some((length, None)),
        ROWS => Found::Rows,
        NOTHING => Found::Nothing,
        SUSPICIOUS => Found::Suspicious,
        _ => return None,
    };
    *before = Written {
        confirmed: before.confirmed.checked_add(take_number(rest)?)?,
        changed_before: before.changed_before.checked_add(take_number(rest)?)?,
        first_before: before.first_before.checked_add(take_number(rest)?)?,
    };
    let cell = Cell {
        first: moment(before.confirmed.checked_sub(before.first_before)?)?,
        confirmed: moment(before.confirmed)?,
        changed: moment(before.confirmed.checked_sub(before.changed_before)?)?,
        found,
    };
    Some((length, Some(cell)))
}

/// A run of version 1: its length in the upper six bits; two moments, not as differences. Its rows' last change stands
/// for their first reading.
fn earlier_run(rest: &mut &[u8]) -> Option<(usize, Option<Cell>)> {
    let (&head, after) = rest.split_first()?;
    *rest = after;
    let length = usize::from(head >> 2) + 1;
    let (confirmed, changed) = match head & 0b11 {
        0 => return Some((length, None)),
        1 => {
            let confirmed = take_number(rest)?;
            (confirmed, confirmed)
        }
        2 => {
            let confirmed = take_number(rest)?;
            (confirmed, confirmed.checked_sub(take_number(rest)?)?)
        }
        _ => return None,
    };
    let (confirmed, changed) = (moment(confirmed)?, moment(changed)?);
    Some((length, Some(Cell { first: changed, confirmed, changed, found: Found::Rows })))
}

fn moment(seconds: i64) -> Option<Instant> {
    DateTime::from_timestamp(seconds, 0)
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
