//! The hours of an account's clock, with the block and the window in which each is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::{DAY, block_hours, grid_zone};
use crate::ledger::SLOTS;
use crate::pipeline::{Align, Pipeline};
use crate::time::{Instant, Window, date_at, day, hours_in, next_hour, slot, slot_start};
use crate::unit::Account;

/// One hour of an account's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// When it begins.
    pub begin: Instant,
    /// When it ends.
    pub end: Instant,
    /// The block of hours that are read again together.
    pub block: i64,
    /// When its block ends.
    pub block_end: Instant,
    /// From when ages of less than a day count: its end, or its block's end where the platform gives whole days.
    young_base: Instant,
    /// What is asked for at least: the hour itself or its whole day.
    pub ask: Window,
    /// Hours with the same number may share a request.
    pub piece: i64,
}

impl Hour {
    /// From when `age` counts.
    pub fn base(&self, age: Duration) -> Instant {
        if age < DAY { self.young_base } else { self.block_end }
    }
}

/// The hours of UTC days by zone, worked out once each: thousands of accounts share some dozen zones.
#[derive(Debug, Default)]
pub struct Grid {
    days: HashMap<(Tz, Tz, i64), Arc<[Hour]>>,
}

impl Grid {
    /// The hours of `account` that begin in the UTC day `number` (days since 1970), in order.
    pub fn day(&mut self, pipeline: &Pipeline, account: &Account, number: i64) -> Arc<[Hour]> {
        let (grid, clock) = (grid_zone(pipeline, account), account.time_zone);
        let known = self.days.entry((grid, clock, number));
        known.or_insert_with(|| hours_of_day(pipeline, grid, clock, number)).clone()
    }
}

fn hours_of_day(pipeline: &Pipeline, grid: Tz, clock: Tz, number: i64) -> Arc<[Hour]> {
    let first = number * SLOTS as i64;
    let Some(whole) = Window::new(slot_start(first), slot_start(first + SLOTS as i64)) else { return Arc::new([]) };
    let mut blocks: HashMap<i64, Instant> = HashMap::new();
    let mut hours = Vec::with_capacity(SLOTS);
    for begin in hours_in(whole, grid) {
        let end = next_hour(begin, grid);
        let hour = match pipeline.window.align {
            Align::Hour => {
                let length = block_hours(pipeline);
                let block = slot(begin).div_euclid(length);
                let block_end = *blocks.entry(block).or_insert_with(|| end_of_block(block, length, grid));
                let Some(ask) = Window::new(begin, end) else { continue };
                let piece = slot(begin).div_euclid(i64::from(pipeline.window.size.max(1)));
                Hour { begin, end, block, block_end, young_base: end, ask, piece }
            }
            Align::AccountDay => by_day(pipeline, begin, end, clock),
            Align::UtcDay => by_day(pipeline, begin, end, Tz::UTC),
        };
        hours.push(hour);
    }
    hours.into()
}

fn by_day(pipeline: &Pipeline, begin: Instant, end: Instant, zone: Tz) -> Hour {
    let date = date_at(begin, zone);
    let ask = day(date, zone);
    let number = date.signed_duration_since(NaiveDate::default()).num_days();
    let piece = number.div_euclid(i64::from(pipeline.window.size.max(1)));
    Hour { begin, end, block: number, block_end: ask.to(), young_base: ask.to(), ask, piece }
}

/// When the last hour of a block ends: in half-hour zones that is half an hour after the block's last slot.
fn end_of_block(block: i64, length: i64, grid: Tz) -> Instant {
    let after = slot_start((block + 1) * length);
    let last = Window::new(slot_start((block + 1) * length - 1), after).and_then(|last| hours_in(last, grid).next());
    last.map_or(after, |hour| next_hour(hour, grid))
}
