//! What the server allows: exact sliding windows by arrival, and a penalty after a violation.
//!
//! A window of a limit `20/1s` at moment `now` is `(now - 1s, now]`. A call is admitted when every scope it counts in
//! (the app once, each of its accounts once) has room and no penalty; otherwise it is refused whole. Each scope that
//! had no room starts its penalty; a call refused during a penalty does not start another.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::options::{Limit, QuotaOptions};

/// All scopes and what was counted in them.
#[derive(Debug)]
pub(super) struct Quotas {
    options: QuotaOptions,
    app: Scope,
    /// By the account's place in the world; made when it is first called.
    accounts: HashMap<usize, Scope>,
}

/// Where a call's scopes stand after it was admitted or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// How long until the call would be admitted; none if it was.
    pub(super) refused_for: Option<Duration>,
    /// The limit with the smallest share of room left; none where nothing is limited.
    pub(super) tightest: Option<Room>,
    pub(super) app: Use,
    pub(super) accounts: Vec<(usize, Use)>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Until the oldest counted call leaves the window or the penalty ends.
    pub(super) reset: Duration,
}

/// How much of a scope's fullest limit is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) percent: u64,
    pub(super) penalty: Duration,
}

/// The highest counts ever seen in one sliding window of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peak {
    pub(super) limit: Limit,
    /// Of all calls that arrived, refused ones included.
    pub(super) arrived: usize,
    /// Of the calls that counted.
    pub(super) counted: usize,
}

impl Quotas {
    pub(super) fn new(options: QuotaOptions) -> Self {
        let app = Scope::new(&options.app);
        Self { options, app, accounts: HashMap::new() }
    }

    pub(super) fn options(&self) -> &QuotaOptions {
        &self.options
    }

    /// Counts a call that arrives at `now` (since the server's start) and tells whether it is admitted.
    pub(super) fn admit(&mut self, accounts: &[usize], now: Duration) -> Standing {
        let mut refused_for = self.app.wait(now, self.options.penalty);
        for account in accounts {
            let scope = self.accounts.entry(*account).or_insert_with(|| Scope::new(&self.options.account));
            refused_for = refused_for.max(scope.wait(now, self.options.penalty));
        }
        let counted = refused_for.is_none() || self.options.count_refused;
        self.app.record(now, counted);
        for account in accounts {
            if let Some(scope) = self.accounts.get_mut(account) {
                scope.record(now, counted);
            }
        }
        Standing { refused_for, ..self.standing(accounts, now) }
    }

    /// Where the scopes stand, without counting anything.
    pub(super) fn standing(&mut self, accounts: &[usize], now: Duration) -> Standing {
        let mut tightest = self.app.tightest(now);
        let mut uses = Vec::new();
        for account in accounts {
            let scope = self.accounts.entry(*account).or_insert_with(|| Scope::new(&self.options.account));
            tightest = tighter(tightest, scope.tightest(now));
            uses.push((*account, scope.used(now)));
        }
        Standing { refused_for: None, tightest, app: self.app.used(now), accounts: uses }
    }

    /// Forgets the highest counts, not the calls themselves.
    pub(super) fn reset_peaks(&mut self) {
        for scope in std::iter::once(&mut self.app).chain(self.accounts.values_mut()) {
            for window in &mut scope.windows {
                window.peak = Peak { limit: window.limit, arrived: 0, counted: 0 };
            }
        }
    }

    pub(super) fn app_peaks(&self) -> Vec<Peak> {
        self.app.windows.iter().map(|window| window.peak).collect()
    }

    /// For each limit of accounts, the account that came highest.
    pub(super) fn account_peaks(&self) -> Vec<(usize, Peak)> {
        let mut highest: Vec<(usize, Peak)> = Vec::new();
        for (account, scope) in &self.accounts {
            for (number, window) in scope.windows.iter().enumerate() {
                match highest.get_mut(number) {
                    None => highest.push((*account, window.peak)),
                    Some(best) if (window.peak.arrived, *account) > (best.1.arrived, best.0) => {
                        *best = (*account, window.peak)
                    }
                    Some(_) => {}
                }
            }
        }
        highest
    }
}

#[derive(Debug)]
struct Scope {
    windows: Vec<Window>,
    penalty_until: Duration,
}

impl Scope {
    fn new(limits: &[Limit]) -> Self {
        Self { windows: limits.iter().map(|limit| Window::new(*limit)).collect(), penalty_until: Duration::ZERO }
    }

    /// How long a call must wait; none where it may pass. Starts the penalty of a violation.
    fn wait(&mut self, now: Duration, penalty: Duration) -> Option<Duration> {
        let for_room = self.windows.iter_mut().filter_map(|window| window.wait(now)).max();
        if for_room.is_some() && self.penalty_until <= now {
            self.penalty_until = now + penalty;
        }
        let for_penalty = Some(self.penalty_until.saturating_sub(now)).filter(|wait| !wait.is_zero());
        for_room.max(for_penalty)
    }

    fn record(&mut self, now: Duration, counted: bool) {
        for window in &mut self.windows {
            window.record(now, counted);
        }
    }

    fn tightest(&mut self, now: Duration) -> Option<Room> {
        let penalty = self.penalty_until.saturating_sub(now);
        let rooms = self.windows.iter_mut().map(|window| window.room(now, penalty));
        rooms.fold(None, |best, room| tighter(best, Some(room)))
    }

    fn used(&mut self, now: Duration) -> Use {
        let penalty = self.penalty_until.saturating_sub(now);
        let percent = self.windows.iter_mut().map(|window| window.percent(now)).max().unwrap_or(0);
        Use { percent: if penalty.is_zero() { percent } else { percent.max(100) }, penalty }
    }
}

fn tighter(left: Option<Room>, right: Option<Room>) -> Option<Room> {
    let share = |room: &Room| u64::from(room.remaining) * 1_000_000 / u64::from(room.limit);
    match (left, right) {
        (Some(left), Some(right)) if share(&right) < share(&left) => Some(right),
        (left, right) => left.or(right),
    }
}

#[derive(Debug)]
struct Window {
    limit: Limit,
    /// Arrivals within the window, each with whether it counted.
    log: VecDeque<(Duration, bool)>,
    counted: usize,
    peak: Peak,
}

impl Window {
    fn new(limit: Limit) -> Self {
        Self { limit, log: VecDeque::new(), counted: 0, peak: Peak { limit, arrived: 0, counted: 0 } }
    }

    fn forget(&mut self, now: Duration) {
        while let Some((arrival, counted)) = self.log.front()
            && *arrival + self.limit.period <= now
        {
            self.counted -= usize::from(*counted);
            self.log.pop_front();
        }
    }

    /// How long until one more call fits; none if one does.
    fn wait(&mut self, now: Duration) -> Option<Duration> {
        self.forget(now);
        let limit = self.limit.requests as usize;
        let excess = self.counted.checked_sub(limit)?;
        let mut counted = self.log.iter().filter(|(_, counted)| *counted);
        let leaving = counted.nth(excess).map_or(now, |(arrival, _)| *arrival);
        Some(leaving + self.limit.period - now)
    }

    fn record(&mut self, now: Duration, counted: bool) {
        self.forget(now);
        self.log.push_back((now, counted));
        self.counted += usize::from(counted);
        self.peak.arrived = self.peak.arrived.max(self.log.len());
        self.peak.counted = self.peak.counted.max(self.counted);
    }

    fn room(&mut self, now: Duration, penalty: Duration) -> Room {
        self.forget(now);
        let limit = self.limit.requests;
        let oldest = self.log.iter().find(|(_, counted)| *counted);
        let leaves = oldest.map_or(Duration::ZERO, |(arrival, _)| *arrival + self.limit.period - now);
        let remaining = if penalty.is_zero() { limit.saturating_sub(self.counted as u32) } else { 0 };
        let reset = penalty.max(self.wait(now).unwrap_or(leaves));
        Room { limit, remaining, reset }
    }

    fn percent(&mut self, now: Duration) -> u64 {
        self.forget(now);
        self.counted as u64 * 100 / u64::from(self.limit.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(app: &str, account: &str, penalty: u64, count_refused: bool) -> Quotas {
        let limits = |text: &str| {
            text.split(' ').filter(|part| !part.is_empty()).map(|part| part.parse().expect("limit")).collect()
        };
        let penalty = Duration::from_millis(penalty);
        Quotas::new(QuotaOptions { app: limits(app), account: limits(account), penalty, count_refused })
    }

    fn refused(quotas: &mut Quotas, accounts: &[usize], now: u64) -> Option<u64> {
        let standing = quotas.admit(accounts, Duration::from_millis(now));
        standing.refused_for.map(|wait| wait.as_millis() as u64)
    }

    #[test]
    fn the_window_slides_to_the_millisecond() {
        let mut quotas = quotas("2/1s", "", 0, false);
        assert_eq!(refused(&mut quotas, &[], 0), None);
        assert_eq!(refused(&mut quotas, &[], 600), None);
        assert_eq!(refused(&mut quotas, &[], 999), Some(1));
        assert_eq!(refused(&mut quotas, &[], 1_000), None);
        assert_eq!(refused(&mut quotas, &[], 1_001), Some(599));
        assert_eq!(quotas.app_peaks()[0].counted, 2);
        assert_eq!(quotas.app_peaks()[0].arrived, 4);
    }

    #[test]
    fn a_violation_starts_a_penalty_and_waiting_as_told_is_enough() {
        let mut quotas = quotas("1/1s", "", 5_000, false);
        assert_eq!(refused(&mut quotas, &[], 0), None);
        assert_eq!(refused(&mut quotas, &[], 100), Some(5_000));
        assert_eq!(refused(&mut quotas, &[], 2_100), Some(3_000));
        assert_eq!(refused(&mut quotas, &[], 5_100), None);
    }

    #[test]
    fn refused_calls_count_if_asked_for() {
        let mut quotas = quotas("2/1s", "", 0, true);
        for now in [0, 100] {
            assert_eq!(refused(&mut quotas, &[], now), None);
        }
        assert_eq!(refused(&mut quotas, &[], 500), Some(500));
        assert_eq!(refused(&mut quotas, &[], 1_000), Some(100), "the refused call at 500 holds a place");
    }

    #[test]
    fn a_batch_counts_once_for_each_account_or_not_at_all() {
        let mut quotas = quotas("", "1/1s 3/10s", 0, false);
        assert_eq!(refused(&mut quotas, &[1, 2], 0), None);
        assert_eq!(refused(&mut quotas, &[2, 3], 100), Some(900));
        assert_eq!(refused(&mut quotas, &[3], 100), None, "the refused batch took nothing from account 3");
        assert_eq!(refused(&mut quotas, &[1], 1_000), None);
    }

    #[test]
    fn standing_tells_the_tightest_limit() {
        let mut quotas = quotas("10/1s", "4/1h", 0, false);
        refused(&mut quotas, &[7], 0);
        let standing = quotas.standing(&[7], Duration::from_millis(400));
        let room = Room { limit: 4, remaining: 3, reset: Duration::from_millis(3_599_600) };
        assert_eq!(standing.tightest, Some(room));
        assert_eq!((standing.app.percent, standing.accounts[0].1.percent), (10, 25));
    }
}
