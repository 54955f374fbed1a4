//! Which unit a worker takes next: in the order of the plan, but none that would only wait while another could go.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::allowance::Needs;
use crate::pipeline::{Endpoint, Pipeline};
use crate::quota::Quotas;
use crate::time::Instant;
use crate::unit::{Lane, Unit};

/// Shorter waits are the normal pace.
const SHORT: Duration = Duration::from_secs(1);
/// So many units are looked at for one that can go.
const LOOKED_AT: usize = 512;

/// The units that no worker has taken.
#[derive(Debug)]
pub(super) struct Dispatch {
    units: Mutex<VecDeque<Unit>>,
    endpoint: Endpoint,
    quotas: Quotas,
    /// Units that would wait for longer are put back.
    patience: Duration,
    /// From then on nothing is taken that can be asked for later as well.
    until: Option<Instant>,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Turn {
    /// This one.
    Take(Unit),
    /// This one has to wait too long: it is put back.
    PutBack {
        /// Which.
        unit: Unit,
        /// How long it would wait.
        wait: Duration,
        /// For what.
        why: String,
    },
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
            patience: pipeline.retry.patience(),
            until,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.units.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Units of hours that may have moved that nobody took.
    pub(super) fn refreshes_left(&self) -> u64 {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        units.iter().filter(|unit| unit.lane == Lane::Refresh).count() as u64
    }

    /// The next unit: the first that can go soon, else the one with the shortest wait.
    pub(super) fn next(&self, now: Instant) -> Turn {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if units.is_empty() {
            return Turn::Done;
        }
        let time_is_up = self.until.is_some_and(|until| until <= now);
        let can_wait = |unit: &Unit| time_is_up && matches!(unit.lane, Lane::Refresh | Lane::Backfill);
        if units.iter().all(can_wait) {
            return Turn::TimeIsUp;
        }
        let mut best: Option<(Duration, usize)> = None;
        for (place, unit) in units.iter().enumerate().filter(|(_, unit)| !can_wait(unit)).take(LOOKED_AT) {
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
            Some(unit) if wait > self.patience => {
                let why = self.quotas.why(&self.needs(&unit));
                Turn::PutBack { unit, wait, why }
            }
            Some(unit) => Turn::Take(unit),
            None => Turn::Done,
        }
    }

    fn needs(&self, unit: &Unit) -> Needs {
        Needs {
            endpoint: self.endpoint,
            accounts: unit.accounts.iter().map(|account| account.id.clone()).collect(),
            lane: unit.lane,
            calls: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Scope;
    use crate::request::tests::{account, at, pipeline, window};
    use crate::unit::UnitKey;

    fn unit(id: &str) -> Unit {
        let accounts = vec![account(id, "UTC")];
        let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
        Unit { key: UnitKey::new("test", &accounts, window, None), lane: Lane::Hourly, accounts, window }
    }

    fn dispatch(ids: &[&str]) -> Dispatch {
        let pipeline = pipeline("https://api.test");
        Dispatch::new(&pipeline, &Quotas::new(&pipeline), ids.iter().map(|id| unit(id)).collect(), None)
    }

    fn next(dispatch: &Dispatch) -> Turn {
        dispatch.next(at("2026-11-20T12:00:00Z"))
    }

    fn taken(turn: Turn) -> String {
        match turn {
            Turn::Take(unit) => unit.accounts[0].id.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn close(dispatch: &Dispatch, id: &str, scope: Scope, seconds: u64) {
        dispatch.quotas.refused(&dispatch.needs(&unit(id)), scope, Duration::from_secs(seconds), "HTTP 429");
    }

    #[test]
    fn who_has_to_wait_is_passed_over_and_comes_last() {
        let dispatch = dispatch(&["1", "2", "3"]);
        close(&dispatch, "1", Scope::Account, 300);
        assert_eq!([taken(next(&dispatch)), taken(next(&dispatch)), taken(next(&dispatch))], ["2", "3", "1"]);
        assert!(matches!(next(&dispatch), Turn::Done));
    }

    #[test]
    fn only_who_has_to_wait_too_long_is_put_back() {
        let dispatch = dispatch(&["1", "2"]);
        close(&dispatch, "1", Scope::Account, 3000);
        assert_eq!(taken(next(&dispatch)), "2");
        let Turn::PutBack { unit, wait, .. } = next(&dispatch) else { panic!("too long") };
        assert_eq!((unit.accounts[0].id.as_str(), wait.as_secs_f64().round()), ("1", 3000.0));
    }

    /// A wait of 600 seconds, which is not too long, is lengthened by up to a tenth.
    #[test]
    fn the_longest_wait_that_is_borne_puts_nobody_back() {
        let dispatch = dispatch(&["1"]);
        close(&dispatch, "1", Scope::App, 660);
        assert_eq!(taken(next(&dispatch)), "1");
    }

    #[test]
    fn what_can_wait_is_not_taken_once_the_time_is_up() {
        let pipeline = pipeline("https://api.test");
        let until = Some(at("2026-11-20T12:00:00Z"));
        let refresh = Unit { lane: Lane::Refresh, ..unit("1") };
        let dispatch = Dispatch::new(&pipeline, &Quotas::new(&pipeline), vec![refresh, unit("2")], until);
        assert_eq!(taken(dispatch.next(at("2026-11-20T12:00:00Z"))), "2", "new hours do not wait");
        assert!(matches!(dispatch.next(at("2026-11-20T12:00:00Z")), Turn::TimeIsUp));
        assert_eq!(taken(dispatch.next(at("2026-11-20T11:59:59Z"))), "1");
        assert!(matches!(next(&dispatch), Turn::Done), "nothing is left to be late for");
    }
}
