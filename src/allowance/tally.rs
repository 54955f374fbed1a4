//! One limit and one of those it is counted by: what was used, what the platform said, and when more may go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Moment;
use super::adapt::Adapt;
use super::counted::Counted;
use super::limit::{Allowed, Limit};
use crate::unit::Lane;

/// From this period on the lower lanes leave what the hourly lane will want.
const LONG: Duration = Duration::from_secs(3600);
/// The share of a long limit that the lower lanes have whatever the hourly lane wants.
const LOWER_SHARE: u32 = 10;
/// Over so long the pace of the last requests is averaged.
const FLOW: f64 = 1.0;
/// What another process let go it may have sent a little later than it wrote down; what it knows better it writes within
/// this time.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Requests of other processes that were not answered by now never will be.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// What a limit knows of one of those it is counted by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    pub(super) paced: Option<u64>,
    pub(super) counted: Counted,
    /// Let go by this process and not answered.
    pub(super) open: BTreeMap<u64, Open>,
    /// Let go by others and, as far as is known, not answered.
    pub(super) others: Vec<Others>,
    pub(super) closed: Option<Closed>,
    pub(super) told: Option<Told>,
    /// The limit as the platform told it, where that is lower.
    pub(super) learned: Option<u32>,
    pub(super) adapt: Adapt,
    pub(super) hourly: Hourly,
    /// Units a second lately, and as of when.
    pub(super) flow: (f64, Moment),
    /// Requests let go in all.
    pub(super) granted: u64,
    /// Requests refused in all.
    pub(super) refused: u64,
    /// Up to which share of the limit a warning was given, in percent.
    pub(super) warned: u8,
    /// Units counted since the tally was kept last.
    pub(super) unkept: Vec<(Moment, u32, Lane)>,
    /// What was kept of it has been put in.
    pub(super) restored: bool,
    /// The platform was found to count late: permits are held until the answer.
    pub(super) late: bool,
}

/// A request that was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    pub(super) granted: Moment,
    pub(super) units: u32,
    pub(super) lane: Lane,
}

/// A request that another process or pipeline let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Others {
    pub(super) holder: String,
    pub(super) open: Open,
}

/// Until when nothing goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The moment at which requests go on.
    pub until: Moment,
    /// What the platform said.
    pub why: String,
}

/// What the platform says is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub(super) left: u32,
    pub(super) until: Moment,
}

/// What the hourly lane used in this period and in the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hourly {
    pub(super) period: u64,
    pub(super) now: u32,
    pub(super) before: u32,
}

/// When a request may go as far as one tally is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// Now.
    Now,
    /// Exactly then, if nothing else happens until then.
    At(Moment),
    /// When a request that is under way has been answered.
    OnAnswer,
}

impl Free {
    /// The later of the two.
    #[must_use]
    pub fn and(self, other: Free) -> Free {
        match (self, other) {
            (Free::OnAnswer, _) | (_, Free::OnAnswer) => Free::OnAnswer,
            (Free::Now, later) | (later, Free::Now) => later,
            (Free::At(one), Free::At(two)) => Free::At(one.max(two)),
        }
    }
}

/// A request's part in a tally.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What it counts for.
    pub units: u32,
    /// Who asks.
    pub lane: Lane,
}

impl Tally {
    /// A fresh one.
    pub fn new(limit: &Limit) -> Tally {
        Tally { adapt: limit.first_try(), ..Tally::default() }
    }

    /// When `wish` may go.
    pub fn free(&self, limit: &Limit, wish: Wish, now: Moment) -> Free {
        let mut free = Free::Now;
        if let Some(closed) = &self.closed
            && closed.until > now
        {
            free = free.and(Free::At(closed.until));
        }
        if wish.units == 0 {
            return free;
        }
        if let Some(told) = self.told
            && told.until > now
            && told.left < wish.units
        {
            free = free.and(Free::At(told.until));
        }
        if let Some(pace) = limit.pace(self.adapt.rate())
            && let Err(at) = pace.test(self.paced, wish.units, now)
        {
            free = free.and(Free::At(at));
        }
        match limit.allowed {
            Some(allowed) => free.and(self.room(&allowed, wish, now)),
            None => free,
        }
    }

    /// When the window has room.
    fn room(&self, allowed: &Allowed, wish: Wish, now: Moment) -> Free {
        let most = self.most(allowed);
        let units = wish.units.min(most);
        let settled = self.counted.used(&allowed.span, now);
        let (mut open, mut lower) = (0u32, settled.other);
        let mut releases = Vec::new();
        for (request, released) in self.under_way(allowed) {
            if request.lane != Lane::Hourly {
                lower = lower.saturating_add(request.units);
            }
            match released {
                Some(at) if at <= now => {}
                Some(at) => {
                    open = open.saturating_add(request.units);
                    releases.push((at, request.units));
                }
                None => open = open.saturating_add(request.units),
            }
        }
        let used = settled.units().saturating_add(open);
        let kept = if leaves(allowed, wish, lower) { self.wanted(allowed, now) } else { 0 };
        let wanted = used.saturating_add(units).saturating_add(kept.min(most.saturating_sub(units)));
        let Some(excess) = wanted.checked_sub(most).filter(|excess| *excess > 0) else { return Free::Now };
        self.freed(allowed, now, excess, releases)
    }

    /// When a request under way counts no more, answered or not; `None` where only its answer tells.
    fn release(&self, allowed: &Allowed, open: &Open) -> Option<Moment> {
        if self.is_strict(allowed) {
            return None;
        }
        Some(allowed.span.forgotten(open.granted + allowed.margin()))
    }

    fn is_strict(&self, allowed: &Allowed) -> bool {
        allowed.strict || self.late
    }

    /// The first moment at which `excess` units are forgotten, of the answered and of those under way.
    fn freed(&self, allowed: &Allowed, now: Moment, excess: u32, mut releases: Vec<(Moment, u32)>) -> Free {
        let span = &allowed.span;
        if releases.is_empty() {
            return self.counted.freed(span, now, excess).map_or(Free::OnAnswer, Free::At);
        }
        let pieces = self.counted.pieces.iter().map(|piece| (span.forgotten(piece.last), piece.hourly + piece.other));
        releases.extend(pieces.filter(|(at, _)| *at > now));
        releases.sort_unstable();
        let mut left = excess;
        for (at, units) in releases {
            left = left.saturating_sub(units);
            if left == 0 {
                return Free::At(at);
            }
        }
        Free::OnAnswer
    }

    /// What the hourly lane will want until the period ends: what it used in the last one and has not used in this one.
    fn wanted(&self, allowed: &Allowed, now: Moment) -> u32 {
        let hourly = self.hourly.at(period(allowed, now));
        hourly.before.saturating_sub(hourly.now)
    }

    /// The units of the limit as far as the platform is known to grant them.
    pub fn most(&self, allowed: &Allowed) -> u32 {
        self.learned.map_or(allowed.units, |learned| learned.clamp(1, allowed.units))
    }

    /// Requests without an answer, and when each counts no more all the same.
    fn under_way(&self, allowed: &Allowed) -> impl Iterator<Item = (&Open, Option<Moment>)> {
        let own = self.open.values().map(|open| (open, self.release(allowed, open)));
        let others = self.others.iter().map(|others| &others.open);
        own.chain(others.map(|open| (open, self.release(allowed, open).map(|at| at + TOLD_AFTER))))
    }

    /// Lets request `id` go.
    pub fn take(&mut self, limit: &Limit, id: u64, wish: Wish, now: Moment) {
        self.granted += 1;
        if wish.units == 0 {
            return;
        }
        if let Some(pace) = limit.pace(self.adapt.rate()) {
            // The caller found it free; if it was not, the next ones wait.
            self.paced = pace.test(self.paced, wish.units, now).ok().or(self.paced);
        }
        self.adapt.went(now, limit.ceiling(), limit.tempo());
        let faded = self.flow.0 * (-now.since(self.flow.1).as_secs_f64() / FLOW).exp();
        self.flow = (faded + f64::from(wish.units) / FLOW, now);
        if let Some(told) = &mut self.told {
            told.left = told.left.saturating_sub(wish.units);
        }
        if self.adapt.refused.is_none_or(|at| now.since(at) > LONG) {
            self.late = false;
        }
        let Some(allowed) = limit.allowed else { return };
        self.counted.forget(&allowed.span, now);
        if wish.lane == Lane::Hourly {
            self.hourly = self.hourly.at(period(&allowed, now));
            self.hourly.now = self.hourly.now.saturating_add(wish.units);
        }
        self.open.insert(id, Open { granted: now, units: wish.units, lane: wish.lane });
    }

    /// Request `id` is sent at `now`, not when it was let go.
    pub(super) fn sends(&mut self, id: u64, now: Moment) {
        if let Some(open) = self.open.get_mut(&id) {
            open.granted = open.granted.max(now);
        }
    }

    /// Request `id` was answered, or will never be, at `now`.
    pub fn settle(&mut self, limit: &Limit, id: u64, now: Moment) {
        let Some(open) = self.open.remove(&id) else { return };
        self.count(limit, &open, now);
    }

    fn count(&mut self, limit: &Limit, open: &Open, answered: Moment) {
        let Some(allowed) = limit.allowed else { return };
        let latest = if self.is_strict(&allowed) { Moment::MAX } else { open.granted + allowed.margin() };
        let at = answered.min(latest);
        self.counted.add(&allowed.span, at, open.units, open.lane);
        if limit.shared {
            self.unkept.push((at, open.units, open.lane));
        }
    }

    /// What others let go and what cannot be answered any more counts from `now` on: that of `holder`, an earlier process of
    /// this pipeline, and what is very old.
    pub fn settle_lost(&mut self, limit: &Limit, holder: &str, now: Moment) {
        let Some(allowed) = limit.allowed else {
            self.others.clear();
            return;
        };
        for others in std::mem::take(&mut self.others) {
            if others.holder == holder || now.since(others.open.granted) > LOST_AFTER {
                let at = if others.holder == holder { now } else { others.open.granted + LOST_AFTER };
                self.counted.add(&allowed.span, at, others.open.units, others.open.lane);
            } else {
                self.others.push(others);
            }
        }
    }

    /// Lets nothing go before `until`. Never shortens what was said before.
    pub fn close(&mut self, until: Moment, why: &str) {
        if self.closed.as_ref().is_none_or(|closed| closed.until < until) {
            self.closed = Some(Closed { until, why: why.to_owned() });
        }
    }

    /// A request was refused at `now`. `unexplained`: though nothing that is known says so.
    pub fn refuse(&mut self, limit: &Limit, now: Moment, unexplained: bool) {
        self.refused += 1;
        if unexplained {
            // A published limit was kept as far as is known here: by the answers it is kept in any case.
            self.late = limit.is_certain();
            self.slow_down(limit, now);
        }
    }

    /// The platform says that use is high.
    pub fn slow_down(&mut self, limit: &Limit, now: Moment) {
        let lately = self.flow.0 * (-now.since(self.flow.1).as_secs_f64() / FLOW).exp();
        let observed = (!limit.is_certain()).then_some(lately);
        self.adapt.refused(now, observed, limit.ceiling(), limit.tempo());
    }

    /// The platform says that its limit is `units`.
    pub fn learn(&mut self, units: u32) {
        self.learned = Some(units.max(1));
    }

    /// The platform says that `remaining` units are left, and all of them again after `wait`. That counts where it is
    /// less than what is known here: others use the limit too, or it is lower than declared.
    pub fn tell(&mut self, limit: &Limit, remaining: u32, wait: Option<Duration>, now: Moment) {
        let (own, span) = match limit.allowed {
            Some(allowed) => {
                let used = self.in_use(limit, now);
                (self.most(&allowed).saturating_sub(used), allowed.span.per)
            }
            None => (u32::MAX, Duration::from_secs(1)),
        };
        if remaining >= own {
            return;
        }
        let under_way: u32 = self.open.values().map(|open| open.units).sum();
        self.told = Some(Told { left: remaining.saturating_sub(under_way), until: now + wait.unwrap_or(span) });
    }

    /// Forgets what the platform said and what was found out by its refusals. What was used stays used.
    pub fn forget_said(&mut self, limit: &Limit) {
        self.closed = None;
        self.told = None;
        self.learned = None;
        self.adapt = limit.first_try();
        self.late = false;
    }

    /// Units that count at `now`, those under way included.
    pub fn in_use(&self, limit: &Limit, now: Moment) -> u32 {
        let Some(allowed) = limit.allowed else { return 0 };
        let settled = self.counted.used(&allowed.span, now).units();
        let open: u32 = self
            .under_way(&allowed)
            .filter(|(_, released)| released.is_none_or(|at| at > now))
            .map(|(open, _)| open.units)
            .sum();
        settled.saturating_add(open)
    }

    /// Units under way.
    pub fn under_way_units(&self) -> u32 {
        self.open.values().chain(self.others.iter().map(|others| &others.open)).map(|open| open.units).sum()
    }

    /// Until when it is closed, and why.
    pub fn closed(&self, now: Moment) -> Option<&Closed> {
        self.closed.as_ref().filter(|closed| closed.until > now)
    }

    /// Requests let go and refused in all.
    pub fn counts(&self) -> (u64, u64) {
        (self.granted, self.refused)
    }

    /// Units a second, where that was found to be less than declared.
    pub fn found_rate(&self) -> Option<f64> {
        self.adapt.rate()
    }
}

impl Hourly {
    fn at(self, period: u64) -> Hourly {
        match period.checked_sub(self.period) {
            Some(0) | None => self,
            Some(1) => Hourly { period, now: 0, before: self.now },
            Some(_) => Hourly { period, now: 0, before: 0 },
        }
    }
}

/// Whether `wish` leaves to the hourly lane what that will want.
fn leaves(allowed: &Allowed, wish: Wish, used_by_lower: u32) -> bool {
    let share = (allowed.units / LOWER_SHARE).max(1);
    wish.lane != Lane::Hourly && allowed.span.per >= LONG && used_by_lower.saturating_add(wish.units) > share
}

fn period(allowed: &Allowed, now: Moment) -> u64 {
    now.nanos() / u64::try_from(allowed.span.per.as_nanos()).unwrap_or(u64::MAX).max(1)
}
