//! What is counted together: the app, one account, or one endpoint.

use std::time::Duration;

use super::window::{Room, Seen, Window};
use crate::simulate::limit::Limit;

/// The limits of one scope, and its penalty.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) windows: Vec<Window>,
    penalty_until: Duration,
    /// Which limit's violation began the penalty.
    violated: usize,
}

/// Why a scope refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The limit that makes it wait longest.
    pub(super) limit: Limit,
    pub(super) wait: Duration,
    /// Whether no penalty was running yet.
    pub(super) violation: bool,
}

/// How much of a scope's fullest limit is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::simulate) struct Use {
    pub(in crate::simulate) percent: u64,
    /// Until its penalty ends, or until the call that it refused fits; zero where it is open.
    pub(in crate::simulate) regain: Duration,
}

impl Scope {
    pub(super) fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let windows = limits.into_iter().map(Window::new).collect();
        Self { windows, penalty_until: Duration::ZERO, violated: 0 }
    }

    /// Whether a call must wait; none where it may pass. Counts refusals, and begins the penalty of a violation.
    pub(super) fn judge(&mut self, now: Duration, cost: u64, penalty: Duration) -> Option<Verdict> {
        let violation = self.penalty_until <= now;
        let mut longest: Option<(usize, Duration)> = None;
        for (number, window) in self.windows.iter_mut().enumerate() {
            let wait = window.wait(now, cost);
            let punishes = !violation && number == self.violated;
            window.seen.refused += u64::from(wait.is_some() || punishes);
            window.seen.violations += u64::from(violation && wait.is_some());
            if let Some(wait) = wait
                && longest.is_none_or(|(_, known)| wait > known)
            {
                longest = Some((number, wait));
            }
        }
        if violation {
            let (number, _) = longest?;
            self.violated = number;
            self.penalty_until = now + penalty;
        }
        let punished = self.penalty_until.saturating_sub(now);
        let (number, wait) = longest.filter(|(_, wait)| *wait > punished).unwrap_or((self.violated, punished));
        Some(Verdict { limit: self.windows.get(number)?.limit(), wait, violation })
    }

    pub(super) fn record(&mut self, now: Duration, cost: u64, counted: bool) {
        for window in &mut self.windows {
            window.record(now, cost, counted);
        }
    }

    pub(super) fn end_penalty(&mut self) {
        self.penalty_until = Duration::ZERO;
    }

    /// Forgets what was seen, not the calls themselves.
    pub(super) fn forget_seen(&mut self) {
        for window in &mut self.windows {
            window.seen = Seen::nothing(window.limit());
        }
    }

    pub(super) fn tightest(&mut self, now: Duration) -> Option<Room> {
        let penalty = self.penalty_until.saturating_sub(now);
        let rooms = self.windows.iter_mut().map(|window| window.room(now, penalty));
        rooms.fold(None, |best, room| tighter(best, Some(room)))
    }

    /// How far it is used, after this verdict on a call.
    pub(super) fn used(&mut self, now: Duration, verdict: Option<Verdict>) -> Use {
        let penalty = self.penalty_until.saturating_sub(now);
        let percent = self.windows.iter_mut().map(|window| window.percent(now)).max().unwrap_or(0);
        let percent = if penalty.is_zero() { percent } else { percent.max(100) };
        Use { percent, regain: verdict.map_or(penalty, |verdict| verdict.wait) }
    }
}

/// The one with the smaller share left.
pub(super) fn tighter(left: Option<Room>, right: Option<Room>) -> Option<Room> {
    let share = |room: &Room| u64::from(room.remaining) * 1_000_000 / u64::from(room.limit);
    match (left, right) {
        (Some(left), Some(right)) if share(&right) < share(&left) => Some(right),
        (left, right) => left.or(right),
    }
}
