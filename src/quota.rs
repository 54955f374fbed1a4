//! Quotas: who may send a request, and when. One governor limiter per declared limit, and one gate for them all.
//!
//! Every attempt takes a permit, retries included, because platforms count refused requests too. Limits counted by
//! account are waited for first, those of the app last, in a queue, so that no worker overtakes another. A refusal
//! closes the gate: until the moment the platform named no worker of the pipeline sends anything.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};
use tokio::time::Instant;

use crate::pipeline::{Quota, Scope};

type Middleware = NoOpMiddleware<std::time::Instant>;
type AppLimiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, Middleware>;
type AccountLimiter = RateLimiter<String, DashMapStateStore<String>, MonotonicClock, Middleware>;

/// After so many permits the accounts that have been idle for long are forgotten.
const SWEEP_EVERY: u64 = 1024;
/// The cells of a limiter that one permit takes.
const PERMIT: NonZeroU32 = NonZeroU32::new(8).expect("8 is not 0");
/// How late a timer may fire without a loss of pace.
const LATENESS: Duration = Duration::from_millis(3);
/// A cell of a year: a limit of less than a request in eight years is one of none.
const LONGEST_CELL: Duration = Duration::from_secs(365 * 24 * 3600);

/// Limits of one pipeline, shared by all its workers.
#[derive(Debug)]
pub struct Quotas {
    /// Those counted by account, the longest period first.
    by_account: Vec<AccountLimiter>,
    /// Those counted by app, the longest period first: the permit of the shortest one must be the freshest.
    by_app: Vec<AppLimiter>,
    /// First come, first served, for the limits counted by app.
    queue: tokio::sync::Mutex<()>,
    gate: Mutex<Gate>,
    used: Mutex<Used>,
    declared: Vec<String>,
    patience: Duration,
}

/// Closed until a moment after a refusal.
#[derive(Debug, Default)]
struct Gate {
    closed: Option<Closed>,
    /// How often it was closed: permits taken before the last time are stale.
    closings: u64,
}

/// Until when no request is sent, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The moment at which requests go on.
    pub until: Instant,
    /// What the platform said.
    pub why: String,
}

/// Permits of the last minute, counted by second.
#[derive(Debug, Default)]
struct Used {
    seconds: VecDeque<(Instant, u32)>,
    total: u64,
}

impl Quotas {
    /// Limiters for `quotas`; none: permits are free. A gate that is closed for longer than `max_wait` is reported
    /// rather than waited for.
    pub fn new(quotas: &[Quota], max_wait: Duration) -> Quotas {
        let mut ordered: Vec<&Quota> = quotas.iter().collect();
        ordered.sort_by_key(|quota| std::cmp::Reverse(quota.per));
        let (mut by_account, mut by_app) = (Vec::new(), Vec::new());
        for quota in ordered {
            let clock = MonotonicClock;
            match quota.scope {
                Scope::Account => by_account.push(RateLimiter::dashmap_with_clock(pace(quota), clock)),
                Scope::App | Scope::Endpoint => by_app.push(RateLimiter::direct_with_clock(pace(quota), clock)),
            }
        }
        Quotas {
            by_account,
            by_app,
            queue: tokio::sync::Mutex::new(()),
            gate: Mutex::default(),
            used: Mutex::default(),
            declared: quotas.iter().map(declared).collect(),
            // A refusal's wait is lengthened by up to a tenth, which must not turn it into a long one.
            patience: max_wait.saturating_add(max_wait / 8),
        }
    }

    /// Waits until one request about `accounts` may be sent: one permit of each account, then one of the app. May be
    /// dropped at any time; a permit that was already taken then goes unused.
    ///
    /// # Errors
    /// [`Closed`] where the gate is closed for longer than the pipeline waits.
    pub async fn permit(&self, accounts: &[String]) -> Result<(), Closed> {
        loop {
            self.gate_open().await?;
            let closings = lock(&self.gate).closings;
            for limiter in &self.by_account {
                for account in accounts {
                    while let Ok(Err(refused)) = limiter.check_key_n(account, PERMIT) {
                        sleep_out(&refused).await;
                    }
                }
            }
            let _turn = self.queue.lock().await;
            if lock(&self.gate).closings == closings {
                for limiter in &self.by_app {
                    while let Ok(Err(refused)) = limiter.check_n(PERMIT) {
                        sleep_out(&refused).await;
                    }
                }
            }
            // Closed while waiting: permits of before would all be used at once when it opens.
            if lock(&self.gate).closings == closings {
                self.count();
                return Ok(());
            }
        }
    }

    /// Lets no request of the pipeline go before `until`. Never shortens what was said before.
    pub fn close(&self, until: Instant, why: &str) {
        let mut gate = lock(&self.gate);
        if gate.closed.as_ref().is_none_or(|closed| closed.until < until) {
            gate.closed = Some(Closed { until, why: why.to_owned() });
            gate.closings += 1;
        }
    }

    /// Until when the gate is closed, and why.
    pub fn closed(&self) -> Option<Closed> {
        lock(&self.gate).closed.clone().filter(|closed| closed.until > Instant::now())
    }

    /// Permits given in all.
    pub fn granted(&self) -> u64 {
        lock(&self.used).total
    }

    /// Permits given in the last minute.
    pub fn last_minute(&self) -> u32 {
        let mut used = lock(&self.used);
        used.forget(Instant::now());
        used.seconds.iter().map(|(_, count)| count).sum()
    }

    /// One line for progress: what was declared and what is used of it.
    pub fn describe(&self) -> String {
        match self.declared.as_slice() {
            [] => format!("{} requests in the last minute", self.last_minute()),
            declared => format!("{} requests in the last minute ({})", self.last_minute(), declared.join(", ")),
        }
    }

    async fn gate_open(&self) -> Result<(), Closed> {
        while let Some(closed) = self.closed() {
            if closed.until.saturating_duration_since(Instant::now()) > self.patience {
                return Err(closed);
            }
            tokio::time::sleep_until(closed.until).await;
        }
        Ok(())
    }

    fn count(&self) {
        let mut used = lock(&self.used);
        used.add(Instant::now());
        if used.total.is_multiple_of(SWEEP_EVERY) {
            for limiter in &self.by_account {
                limiter.retain_recent();
            }
        }
    }
}

impl Used {
    fn add(&mut self, now: Instant) {
        self.total += 1;
        match self.seconds.back_mut() {
            Some((second, count)) if now.duration_since(*second) < Duration::from_secs(1) => *count += 1,
            _ => self.seconds.push_back((now, 1)),
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while self.seconds.front().is_some_and(|(second, _)| now.duration_since(*second) >= Duration::from_secs(60)) {
            self.seconds.pop_front();
        }
    }
}

/// `requests * safety` spread evenly over `per`, with the declared burst.
///
/// A permit is several cells, so that the burst can hold a few more of them, worth [`LATENESS`]: a timer that fires
/// late then does not shift all later permits. The burst is never less than one permit, so the limiters never find one
/// too large.
fn pace(quota: &Quota) -> governor::Quota {
    let requests = (f64::from(quota.units) * quota.safety).max(f64::MIN_POSITIVE);
    let interval = Duration::try_from_secs_f64(quota.per.as_secs_f64() / requests).unwrap_or(Duration::MAX);
    let cell = (interval / PERMIT.get()).clamp(Duration::from_nanos(1), LONGEST_CELL);
    let late = LATENESS.as_nanos().div_ceil(cell.as_nanos());
    // The limiters count in 64 bits of nanoseconds.
    let most = (1u128 << 62) / cell.as_nanos();
    let cells = u128::from(quota.burst.max(1)) * u128::from(PERMIT.get()) + late;
    let cells = u32::try_from(cells.min(most)).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
    governor::Quota::with_period(cell).unwrap_or(governor::Quota::per_second(NonZeroU32::MIN)).allow_burst(cells)
}

async fn sleep_out(refused: &NotUntil<std::time::Instant>) {
    tokio::time::sleep(refused.wait_time_from(MonotonicClock.now())).await;
}

fn declared(quota: &Quota) -> String {
    let scope = quota.scope.word();
    format!("{} {}/{} by {scope}", quota.name, quota.units, humantime::format_duration(quota.per))
}

/// A poisoned lock holds counters that are still right: no code can stop between two halves of a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
