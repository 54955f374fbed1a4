//! Even pacing: governor's generic cell rate algorithm as a function of its state.
//!
//! Whoever may go is found out for several limits at once and taken from all or none of them, so the state must be
//! looked at before it is changed: governor's limiter runs here over a store that only shows what it would hold.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::Moment;

/// The cells of one unit: the burst can then hold a part of a unit, which makes up for timers that fire late.
const CELLS: u32 = 16;
/// A cell of a year: a slower limit is one of none.
const LONGEST_CELL: Duration = Duration::from_secs(365 * 24 * 3600);

/// So many units, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    quota: Quota,
}

impl Pace {
    /// One unit every `interval`, up to `burst` at once after a pause. `slack` is how far behind the even pace a late
    /// request may be and still be caught up.
    pub fn new(interval: Duration, burst: u32, slack: Duration) -> Pace {
        let cell = (interval / CELLS).clamp(Duration::from_nanos(1), LONGEST_CELL);
        let late = slack.as_nanos().div_ceil(cell.as_nanos());
        // Governor counts in 64 bits of nanoseconds, and the moments themselves take 61 of them.
        let most = (1u128 << 62) / cell.as_nanos();
        let cells = u128::from(burst.max(1)) * u128::from(CELLS) + late;
        let cells = u32::try_from(cells.min(most)).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        let quota = Quota::with_period(cell).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(cells);
        Pace { quota }
    }

    /// The state after `units` more at `now`, or the moment at which they may go.
    ///
    /// # Errors
    /// That moment; [`Moment::MAX`] where `units` are more than ever go at once.
    pub fn test(&self, state: Option<u64>, units: u32, now: Moment) -> Result<u64, Moment> {
        let Some(cells) = units.checked_mul(CELLS).and_then(NonZeroU32::new) else {
            return if units == 0 { Ok(state.unwrap_or(0)) } else { Err(Moment::MAX) };
        };
        let clock = Hand(Cell::new(0));
        let limiter: RateLimiter<NotKeyed, Glass, Hand, NoOpMiddleware<Nanos>> =
            RateLimiter::new(self.quota, Glass { before: state.map(Nanos::new), after: Cell::new(0) }, clock);
        // The limiter's own beginning is 1970, so that its state means the same to every process.
        limiter.clock().0.set(now.nanos());
        match limiter.check_n(cells) {
            Ok(Ok(())) => Ok(limiter.into_state_store().after.get()),
            Ok(Err(not_until)) => Err(Moment::from_nanos(not_until.earliest_possible().as_u64()).max(now)),
            Err(_) => Err(Moment::MAX),
        }
    }
}

/// A clock that stands where it was put.
#[derive(Debug)]
struct Hand(Cell<u64>);

impl Clock for Hand {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.get())
    }
}

/// Shows the state before, and what it would be after.
#[derive(Debug)]
struct Glass {
    before: Option<Nanos>,
    after: Cell<u64>,
}

impl StateStore for Glass {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        decide(self.before).map(|(value, after)| {
            self.after.set(after.as_u64());
            value
        })
    }
}
