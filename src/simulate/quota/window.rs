//! One limit and what was counted in its window.

use std::collections::VecDeque;
use std::time::Duration;

use crate::simulate::limit::Limit;

/// What was seen of one limit since the start or the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) struct Seen {
    pub(in crate::simulate) limit: Limit,
    /// Most in one window of all calls that arrived, refused ones included.
    pub(in crate::simulate) arrived: u64,
    /// Most in one window of the calls that counted.
    pub(in crate::simulate) counted: u64,
    /// Calls that this limit or its penalty refused.
    pub(in crate::simulate) refused: u64,
    /// Those of them that were not in a penalty.
    pub(in crate::simulate) violations: u64,
}

impl Seen {
    pub(super) fn nothing(limit: Limit) -> Self {
        Self { limit, arrived: 0, counted: 0, refused: 0, violations: 0 }
    }
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) struct Room {
    pub(in crate::simulate) limit: u32,
    pub(in crate::simulate) remaining: u32,
    /// Until the oldest counted call leaves the window or the penalty ends.
    pub(in crate::simulate) reset: Duration,
}

/// The calls that are in a limit's window now. All instants are times since 1970 and never go back.
#[derive(Debug)]
pub(super) struct Window {
    log: VecDeque<Arrival>,
    /// The cost of the whole log.
    arrived: u64,
    /// The cost of what counts in it.
    counted: u64,
    pub(super) seen: Seen,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Duration,
    cost: u64,
    counted: bool,
}

impl Window {
    pub(super) fn new(limit: Limit) -> Self {
        Self { log: VecDeque::new(), arrived: 0, counted: 0, seen: Seen::nothing(limit) }
    }

    pub(super) fn limit(&self) -> Limit {
        self.seen.limit
    }

    fn forget(&mut self, now: Duration) {
        while let Some(oldest) = self.log.front().copied()
            && self.limit().leaves(oldest.at) <= now
        {
            self.arrived -= oldest.cost;
            self.counted -= if oldest.counted { oldest.cost } else { 0 };
            self.log.pop_front();
        }
    }

    /// How long until a call of this cost fits; none if it does. One that is heavier than the limit never does.
    pub(super) fn wait(&mut self, now: Duration, cost: u64) -> Option<Duration> {
        self.forget(now);
        let needed = (self.counted + cost).saturating_sub(u64::from(self.limit().requests));
        if needed == 0 || cost == 0 {
            return None;
        }
        let mut freed = 0;
        for arrival in self.log.iter().filter(|arrival| arrival.counted) {
            freed += arrival.cost;
            if freed >= needed {
                return Some(self.limit().leaves(arrival.at) - now);
            }
        }
        Some(self.limit().leaves(now) - now)
    }

    pub(super) fn record(&mut self, now: Duration, cost: u64, counted: bool) {
        self.forget(now);
        self.log.push_back(Arrival { at: now, cost, counted });
        self.arrived += cost;
        self.counted += if counted { cost } else { 0 };
        self.seen.arrived = self.seen.arrived.max(self.arrived);
        self.seen.counted = self.seen.counted.max(self.counted);
    }

    pub(super) fn room(&mut self, now: Duration, penalty: Duration) -> Room {
        self.forget(now);
        let limit = self.limit();
        let oldest = self.log.iter().find(|arrival| arrival.counted);
        let leaves = oldest.map_or(Duration::ZERO, |arrival| limit.leaves(arrival.at) - now);
        let used = u32::try_from(self.counted).unwrap_or(u32::MAX);
        let remaining = if penalty.is_zero() { limit.requests.saturating_sub(used) } else { 0 };
        let reset = penalty.max(self.wait(now, 1).unwrap_or(leaves));
        Room { limit: limit.requests, remaining, reset }
    }

    pub(super) fn percent(&mut self, now: Duration) -> u64 {
        self.forget(now);
        self.counted * 100 / u64::from(self.limit().requests)
    }
}
