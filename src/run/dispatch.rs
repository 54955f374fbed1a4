//! Which unit a worker takes next: in the order of the plan, but none that would only wait while another could go.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::allowance::Needs;
use crate::pipeline::{Endpoint, Pipeline};
use crate::quota::Quotas;
use crate::time::Instant;
use crate::unit::Unit;

/// Shorter waits are the normal pace.
const SHORT: Duration = Duration::from_secs(1);
/// So many units are looked at for one that can go.
const LOOKED_AT: usize = 512;

/// A refusal's wait of `max_wait` is lengthened by up to a tenth, which must not turn it into one that is too long.
pub(super) fn patience(pipeline: &Pipeline) -> Duration {
    pipeline.retry.max_wait.saturating_add(pipeline.retry.max_wait / 8)
}

/// The units that no worker has taken.
#[derive(Debug)]
pub(super) struct Dispatch {
    units: Mutex<VecDeque<Unit>>,
    endpoint: Endpoint,
    quotas: Quotas,
    /// Units that would wait for longer are put back.
    patience: Duration,
    /// Nothing is taken from then on.
    until: Option<Instant>,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Turn {
    /// This one.
    Take(Unit),
    /// This one has to wait too long: it is put back.
    PutBack(Unit, Duration),
    /// The time for these units is up.
    TimeIsUp,
    /// There are no more.
    Done,
}

impl Dispatch {
    pub(super) fn new(pipeline: &Pipeline, quotas: &Quotas, units: Vec<Unit>, until: Option<Instant>) -> Dispatch {
        Dispatch {
            units: Mutex::new(units.into()),
            endpoint: if pipeline.report.is_some() { Endpoint::Create } else { Endpoint::Metrics },
            quotas: quotas.clone(),
            patience: patience(pipeline),
            until,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.units.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The next unit: the first that can go soon, else the one with the shortest wait.
    pub(super) fn next(&self, now: Instant) -> Turn {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if units.is_empty() {
            return Turn::Done;
        }
        if self.until.is_some_and(|until| until <= now) {
            return Turn::TimeIsUp;
        }
        let mut best: Option<(Duration, usize)> = None;
        for (place, unit) in units.iter().take(LOOKED_AT).enumerate() {
            let wait = self.quotas.wait_of(&self.needs(unit)).unwrap_or_default();
            if best.is_none_or(|(shortest, _)| wait < shortest) {
                best = Some((wait, place));
            }
            if wait <= SHORT {
                break;
            }
        }
        let Some((wait, place)) = best else { return Turn::Done };
        match units.remove(place) {
            Some(unit) if wait > self.patience => Turn::PutBack(unit, wait),
            Some(unit) => Turn::Take(unit),
            None => Turn::Done,
        }
    }

    fn needs(&self, unit: &Unit) -> Needs {
        Needs {
            endpoint: self.endpoint,
            accounts: unit.accounts.iter().map(|account| account.id.clone()).collect(),
            lane: unit.lane,
        }
    }
}
