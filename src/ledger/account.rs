//! All that is known of one account's hours: days in motion cell by cell, and stretches that are final.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::{Cell, DayLedger, Found, SLOTS, day_of, slot_of_day};
use crate::time::{Instant, Window, hours_in, next_hour, slot, slot_start};

/// How far back an hour's history goes.
const HISTORY_DAYS: i64 = 7;
/// So many readings of the same hour of the day are needed to say anything.
const SAME_HOUR_KNOWN: usize = 3;
/// So many hours of the history must be known.
const HISTORY_KNOWN: usize = 24;
/// Of so many in a hundred of them there must be rows.
const USUALLY: usize = 90;

/// Adjacent hours that no run asks for again. Of their moments only bounds are kept: a year is one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalStretch {
    /// The first slot.
    pub from: i64,
    /// The slot after the last.
    pub to: i64,
    /// Each hour was last read at least so long after its slot began.
    pub least_age: TimeDelta,
    /// All hours had been read once by then.
    pub first_by: Instant,
    /// No hour was read later.
    pub confirmed_by: Instant,
    /// No row changed later.
    pub changed_by: Instant,
    /// Hours that had rows.
    pub with_rows: i64,
}

impl FinalStretch {
    /// What can be said of one of its hours: it was read at or after `confirmed`, and first read and changed at or
    /// before the other two.
    fn cell(&self, slot: i64) -> Cell {
        Cell {
            first: self.first_by,
            confirmed: slot_start(slot) + self.least_age,
            changed: self.changed_by,
            found: if self.with_rows * 100 >= (self.to - self.from) * USUALLY as i64 {
                Found::Rows
            } else {
                Found::Nothing
            },
        }
    }

    fn of(slot: i64, cell: Cell) -> FinalStretch {
        FinalStretch {
            from: slot,
            to: slot + 1,
            least_age: cell.confirmed - slot_start(slot),
            first_by: cell.first,
            confirmed_by: cell.confirmed,
            changed_by: cell.changed,
            with_rows: i64::from(cell.found == Found::Rows),
        }
    }

    fn with(&self, other: &FinalStretch) -> FinalStretch {
        FinalStretch {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            least_age: self.least_age.min(other.least_age),
            first_by: self.first_by.max(other.first_by),
            confirmed_by: self.confirmed_by.max(other.confirmed_by),
            changed_by: self.changed_by.max(other.changed_by),
            with_rows: self.with_rows + other.with_rows,
        }
    }
}

/// One reading of an account's hours, whose rows are in the lake.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    /// The hours that begin in it were read.
    pub window: Window,
    /// By whose hours.
    pub zone: Tz,
    /// When.
    pub at: Instant,
    /// The slots of hours whose rows differed from the lake's.
    pub changed: &'a BTreeSet<i64>,
    /// The slots of hours of which the platform gave no row.
    pub empty: &'a BTreeSet<i64>,
}

/// What is known of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountLedger {
    days: BTreeMap<i64, DayLedger>,
    /// By first slot; they never overlap. A day's cell says more than the stretch around it.
    finals: BTreeMap<i64, FinalStretch>,
}

impl AccountLedger {
    /// The cell of `slot`; `None` where the hour was never read, or is not loaded. Of an hour in a final stretch the
    /// moments are bounds.
    pub fn cell(&self, slot: i64) -> Option<Cell> {
        let own = self.days.get(&day_of(slot)).and_then(|day| day.get(slot_of_day(slot)));
        own.or_else(|| self.stretch(slot).map(|stretch| stretch.cell(slot)))
    }

    /// The final stretch around `slot`.
    pub fn stretch(&self, slot: i64) -> Option<&FinalStretch> {
        let (_, stretch) = self.finals.range(..=slot).next_back()?;
        (slot < stretch.to).then_some(stretch)
    }

    /// When the hour named by `slot` was last read from the platform; never later than it really was.
    pub fn confirmed(&self, slot: i64) -> Option<Instant> {
        Some(self.cell(slot)?.confirmed)
    }

    /// The days in motion, in order.
    pub fn days(&self) -> impl Iterator<Item = (i64, &DayLedger)> {
        self.days.iter().map(|(day, ledger)| (*day, ledger))
    }

    /// The day in motion, where there is one.
    pub fn day(&self, day: i64) -> Option<&DayLedger> {
        self.days.get(&day)
    }

    /// The final stretches, in order.
    pub fn finals(&self) -> impl Iterator<Item = &FinalStretch> {
        self.finals.values()
    }

    /// Puts a whole day, as it was stored.
    pub fn insert_day(&mut self, day: i64, ledger: DayLedger) {
        self.days.insert(day, ledger);
    }

    /// Takes every hour in motion for read before it had settled: its rows are of hours that the account's clock does not
    /// have any more.
    pub fn unsettle(&mut self) {
        for (day, ledger) in &mut self.days {
            for (place, cell) in ledger.cells().collect::<Vec<(usize, Cell)>>() {
                let begins = slot_start(day * SLOTS as i64 + place as i64);
                ledger.set(place, Cell { confirmed: cell.confirmed.min(begins), ..cell });
            }
        }
    }

    /// Leaves a day away, as if it had not been loaded.
    pub fn forget_day(&mut self, day: i64) {
        self.days.remove(&day);
    }

    /// Puts a stretch, as it was stored.
    pub fn insert_final(&mut self, stretch: FinalStretch) {
        self.finals.insert(stretch.from, stretch);
    }

    /// Records a reading. A confirmation never moves back: an older reading that is recorded late leaves a newer one
    /// as it is. An hour that has no rows where its history says otherwise is marked as suspicious.
    pub fn confirm(&mut self, reading: &Reading<'_>) {
        for hour in hours_in(reading.window, reading.zone) {
            let slot = slot(hour);
            let at = reading.at;
            let found = if reading.empty.contains(&slot) { Found::Nothing } else { Found::Rows };
            let cell = match self.cell(slot) {
                None => Cell { first: at, confirmed: at, changed: at, found },
                Some(known) => Cell {
                    first: known.first.min(at),
                    confirmed: known.confirmed.max(at),
                    changed: if reading.changed.contains(&slot) { known.changed.max(at) } else { known.changed },
                    found: if at >= known.confirmed { found } else { known.found },
                },
            };
            self.days.entry(day_of(slot)).or_default().set(slot_of_day(slot), cell);
        }
        for slot in reading.empty {
            self.judge(*slot);
        }
    }

    /// Marks an empty hour as suspicious where the account's week before it says that there should be rows: at the
    /// same hour of the day always, and of all hours nearly always.
    fn judge(&mut self, slot: i64) {
        let Some(cell) = self.cell(slot) else { return };
        if cell.found == Found::Rows || !self.usually_has_rows(slot) {
            return;
        }
        let day = self.days.entry(day_of(slot)).or_default();
        day.set(slot_of_day(slot), Cell { found: Found::Suspicious, ..cell });
    }

    fn usually_has_rows(&self, slot: i64) -> bool {
        let hours_back = HISTORY_DAYS * SLOTS as i64;
        let (mut known, mut with_rows, mut same_hour) = (0, 0, 0);
        for back in 1..=hours_back {
            // A suspicious hour says nothing about what is usual.
            let Some(cell) = self.cell(slot - back).filter(|cell| cell.found != Found::Suspicious) else { continue };
            let rows = cell.found == Found::Rows;
            known += 1;
            with_rows += usize::from(rows);
            if back % SLOTS as i64 == 0 {
                if !rows {
                    return false;
                }
                same_hour += 1;
            }
        }
        same_hour >= SAME_HOUR_KNOWN && known >= HISTORY_KNOWN && with_rows * 100 >= known * USUALLY
    }

    /// The days that must be loaded to judge the hours of `slots`.
    pub fn history_of(slots: impl Iterator<Item = i64>) -> BTreeSet<i64> {
        slots.flat_map(|slot| day_of(slot) - HISTORY_DAYS..=day_of(slot)).collect()
    }

    /// Takes the cells of `day` into final stretches where each of them is final by `is_final`. Gives whether it did:
    /// then the day is no longer in motion, and the stretches have changed.
    ///
    /// Hours in between that were never read stay between the stretches, so that they are still missing.
    pub fn fold(&mut self, day: i64, zone: Tz, is_final: impl Fn(i64, &Cell) -> bool) -> bool {
        let Some(known) = self.days.get(&day) else { return false };
        let first = day * SLOTS as i64;
        if !known.cells().all(|(place, cell)| is_final(first + place as i64, &cell)) {
            return false;
        }
        let cells: Vec<(i64, Cell)> = known.cells().map(|(place, cell)| (first + place as i64, cell)).collect();
        self.days.remove(&day);
        for (slot, cell) in cells {
            self.fold_cell(slot, cell, zone);
        }
        true
    }

    fn fold_cell(&mut self, slot: i64, cell: Cell, zone: Tz) {
        let one = FinalStretch::of(slot, cell);
        if let Some(around) = self.stretch(slot).copied() {
            let merged = FinalStretch { with_rows: around.with_rows, ..around.with(&one) };
            self.finals.insert(around.from, merged);
            return;
        }
        let mut merged = one;
        let before = self.finals.range(..slot).next_back().map(|(_, stretch)| *stretch);
        if let Some(before) = before.filter(|before| before.to == slot || is_next(before.to - 1, slot, zone)) {
            self.finals.remove(&before.from);
            merged = before.with(&merged);
        }
        let after = self.finals.range(slot + 1..).next().map(|(_, stretch)| *stretch);
        if let Some(after) = after.filter(|after| merged.to == after.from || is_next(slot, after.from, zone)) {
            self.finals.remove(&after.from);
            merged = merged.with(&after);
        }
        self.finals.insert(merged.from, merged);
    }

    /// Puts the final hours from `first` on back as cells, because other rules hold now.
    pub fn unfold_from(&mut self, first: i64) {
        let touched: Vec<FinalStretch> = self.finals.values().filter(|stretch| stretch.to > first).copied().collect();
        for stretch in touched {
            self.finals.remove(&stretch.from);
            let begin = stretch.from.max(first);
            for slot in begin..stretch.to {
                let day = self.days.entry(day_of(slot)).or_default();
                if day.get(slot_of_day(slot)).is_none() {
                    day.set(slot_of_day(slot), stretch.cell(slot));
                }
            }
            if begin > stretch.from {
                let share = stretch.with_rows * (begin - stretch.from) / (stretch.to - stretch.from);
                self.finals.insert(stretch.from, FinalStretch { to: begin, with_rows: share, ..stretch });
            }
        }
    }
}

/// Whether no hour of `zone` begins between the hours of two slots: where the clock shifts by half an hour, a slot can
/// be without one.
fn is_next(slot: i64, later: i64, zone: Tz) -> bool {
    if later - slot > 2 {
        return false;
    }
    let hour = Window::new(slot_start(slot), slot_start(slot + 1)).and_then(|window| hours_in(window, zone).next());
    hour.is_some_and(|hour| crate::time::slot(next_hour(hour, zone)) == later)
}
