//! Exact windows: units that the platform may still count, and when it has forgotten enough of them.

use std::collections::VecDeque;
use std::time::Duration;

use chrono_tz::Tz;

use super::Moment;
use crate::pipeline::Counting;
use crate::time::{date_at, day};
use crate::unit::Lane;

/// A window is remembered in so many pieces at most: units whose answers came within one piece are forgotten together.
const PIECES: u32 = 256;
/// Platforms and their clocks are not exact to the last moment of a sliding window.
const GRACE: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The period of a limit and how it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The period.
    pub per: Duration,
    /// Sliding or fixed.
    pub counting: Counting,
}

/// Units that were used, by the latest moment at which the platform can have counted them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    pub(super) pieces: VecDeque<Piece>,
}

/// Units that are forgotten together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: Moment,
    pub(super) last: Moment,
    /// Of the hourly lane.
    pub(super) hourly: u32,
    /// Of the other lanes.
    pub(super) other: u32,
}

impl Piece {
    fn units(&self) -> u32 {
        self.hourly.saturating_add(self.other)
    }
}

/// Units used, by lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Of the hourly lane.
    pub hourly: u32,
    /// Of the other lanes.
    pub other: u32,
}

impl Used {
    /// Of all lanes.
    pub fn units(self) -> u32 {
        self.hourly.saturating_add(self.other)
    }
}

impl Span {
    /// How far the platform's clock may be from ours where windows begin by the clock.
    fn skew(&self) -> Duration {
        (self.per / 50).min(Duration::from_secs(2))
    }

    /// The fixed window that `moment` lies in.
    fn window(&self, zone: Tz, moment: Moment) -> (Moment, Moment) {
        let today = day(date_at(moment.instant(), zone), zone);
        let (begin, end) = (Moment::from_instant(today.from()), Moment::from_instant(today.to()));
        if self.per >= DAY {
            // As long as this day is: of 23 to 25 hours.
            return (begin, end);
        }
        let per = u64::try_from(self.per.as_nanos()).unwrap_or(u64::MAX).max(1);
        let number = moment.nanos().saturating_sub(begin.nanos()) / per;
        let from = Moment::from_nanos(begin.nanos().saturating_add(number.saturating_mul(per)));
        (from, (from + self.per).min(end))
    }

    /// Whether units last counted at `last` may count at `now`.
    fn holds(&self, last: Moment, now: Moment) -> bool {
        match self.counting {
            Counting::Sliding => last + self.per + GRACE > now,
            Counting::Fixed(zone) => last + self.skew() >= self.window(zone, now - self.skew()).0,
        }
    }

    /// From when units last counted at `last` count no more.
    pub fn forgotten(&self, last: Moment) -> Moment {
        match self.counting {
            Counting::Sliding => last + self.per + GRACE,
            Counting::Fixed(zone) => self.window(zone, last + self.skew()).1 + self.skew(),
        }
    }
}

impl Counted {
    /// Counts units that the platform has counted at `at` at the latest.
    pub fn add(&mut self, span: &Span, at: Moment, units: u32, lane: Lane) {
        let (hourly, other) = if lane == Lane::Hourly { (units, 0) } else { (0, units) };
        let width = span.per / PIECES;
        // Answers come in any order: units of an earlier request must not be held as long as those of a later one.
        let place = self.pieces.partition_point(|piece| piece.first <= at);
        let near = |piece: &Piece| at <= piece.last || at.since(piece.first) <= width;
        let piece = match place.checked_sub(1).filter(|before| self.pieces.get(*before).is_some_and(near)) {
            Some(before) => self.pieces.get_mut(before),
            None => self.pieces.get_mut(place).filter(|next| next.last.since(at) <= width),
        };
        if let Some(piece) = piece {
            piece.first = piece.first.min(at);
            piece.last = piece.last.max(at);
            piece.hourly = piece.hourly.saturating_add(hourly);
            piece.other = piece.other.saturating_add(other);
            return;
        }
        self.pieces.insert(place, Piece { first: at, last: at, hourly, other });
    }

    /// Forgets what no window from `now` on holds.
    pub fn forget(&mut self, span: &Span, now: Moment) {
        while self.pieces.front().is_some_and(|piece| !span.holds(piece.last, now)) {
            self.pieces.pop_front();
        }
    }

    /// What counts at `now`.
    pub fn used(&self, span: &Span, now: Moment) -> Used {
        let mut used = Used::default();
        for piece in self.pieces.iter().rev() {
            // Later pieces end later.
            if !span.holds(piece.last, now) {
                break;
            }
            used.hourly = used.hourly.saturating_add(piece.hourly);
            used.other = used.other.saturating_add(piece.other);
        }
        used
    }

    /// The first moment from `now` on at which at least `units` of what counts at `now` are forgotten; `None` where less
    /// than that counts.
    pub fn freed(&self, span: &Span, now: Moment, units: u32) -> Option<Moment> {
        let mut left = units;
        if left == 0 {
            return Some(now);
        }
        for piece in self.pieces.iter().filter(|piece| span.holds(piece.last, now)) {
            left = left.saturating_sub(piece.units());
            if left == 0 {
                return Some(span.forgotten(piece.last).max(now));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Span = Span { per: Duration::from_secs(60), counting: Counting::Sliding };

    fn at(millis: u64) -> Moment {
        Moment::from_millis(1_000_000 + millis)
    }

    #[test]
    fn units_that_are_told_late_are_forgotten_in_their_own_time() {
        let mut counted = Counted::default();
        for millis in [30_000, 10_000, 20_000] {
            counted.add(&MINUTE, at(millis), 1, Lane::Hourly);
        }
        let freed = |units| counted.freed(&MINUTE, at(30_000), units);
        let forgotten = |millis: u64| Some(at(millis + 60_000) + GRACE);
        assert_eq!([freed(1), freed(2), freed(3)], [forgotten(10_000), forgotten(20_000), forgotten(30_000)]);
    }

    proptest! {
        /// In whatever order units come: none is forgotten too early, none is held for longer than a piece, and there
        /// are no more pieces than fit.
        #[test]
        fn pieces_are_sorted_and_few(moments in prop::collection::vec(0..60_000u64, 1..2_000), look in 60_000..120_000u64) {
            let mut counted = Counted::default();
            for millis in &moments {
                counted.add(&MINUTE, at(*millis), 1, Lane::Backfill);
            }
            prop_assert!(counted.pieces.iter().all(|piece| piece.last.since(piece.first) <= MINUTE.per / PIECES));
            prop_assert!(counted.pieces.iter().zip(counted.pieces.iter().skip(1)).all(|(one, next)| one.last < next.first));
            prop_assert!(counted.pieces.len() <= 2 * PIECES as usize + 2, "{} pieces", counted.pieces.len());
            let still = |millis: &&u64| MINUTE.holds(at(**millis), at(look));
            let width = MINUTE.per.as_millis() as u64 / u64::from(PIECES) + 1;
            let used = counted.used(&MINUTE, at(look)).units() as usize;
            prop_assert!(used >= moments.iter().filter(still).count());
            let longer = |millis: &&u64| MINUTE.holds(at(**millis + width), at(look));
            prop_assert!(used <= moments.iter().filter(longer).count());
        }
    }
}
