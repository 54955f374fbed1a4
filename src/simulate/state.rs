//! What the handlers share: the unchanging world, and the little that changes behind one lock.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::daily::Extra;
use super::dice;
use super::faults::Faults;
use super::options::{Clock, Options};
use super::quota::Quotas;
use super::reports::Reports;
use super::scan::{Hole, Moment};
use super::stats::Stats;
use super::world::World;

/// Keeps the draws of latency apart from others of the same seed.
const LATENCY: u64 = 0x6c61_7465;

/// Everything of one simulator.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) world: Arc<World>,
    pub(super) address: SocketAddr,
    /// Quotas and reports count real time from here: the same moment on both clocks.
    started: Instant,
    started_since_1970: Duration,
    /// Ends stalls when the server is asked to stop.
    pub(super) closing: CancellationToken,
    state: Mutex<State>,
}

/// What requests change. Held only for short computations, never while waiting.
#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) quotas: Quotas,
    pub(super) faults: Faults,
    pub(super) reports: Reports,
    pub(super) stats: Stats,
    /// Requests under /v1 that have arrived.
    pub(super) arrivals: u64,
    pub(super) revoked: BTreeSet<usize>,
    pub(super) holes: Arc<Vec<Hole>>,
    /// What the daily report says beyond the truth.
    pub(super) extras: Arc<Vec<Extra>>,
}

impl Shared {
    pub(super) fn new(options: Options, address: SocketAddr) -> Self {
        let state = State {
            clock: options.clock,
            quotas: Quotas::new(options.quotas.clone()),
            faults: Faults::new(options.seed, options.faults.clone()),
            reports: Reports::default(),
            stats: Stats::default(),
            arrivals: 0,
            revoked: BTreeSet::new(),
            holes: Arc::default(),
            extras: Arc::default(),
        };
        Self {
            world: Arc::new(World::new(&options)),
            options,
            address,
            started: Instant::now(),
            started_since_1970: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            closing: CancellationToken::new(),
            state: Mutex::new(state),
        }
    }

    /// The changing part. A panic elsewhere leaves nothing half-changed that matters here, so a poisoned lock is used.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Real time since 1970. It never goes back, whatever happens to the system's clock after the start.
    pub(super) fn real_time(&self) -> Duration {
        self.started_since_1970 + self.started.elapsed()
    }

    /// How long the answer to a request that has just arrived takes, before and after it is counted. The draws depend
    /// on the seed and the order of arrival.
    pub(super) fn latency(&self) -> (Duration, Duration) {
        let mut state = self.state();
        state.arrivals += 1;
        let bits = dice::mix(dice::mix(self.options.seed, LATENCY), state.arrivals);
        self.options.latency.parts(bits, self.options.counted_at)
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Most faults in a row on one logical request.
    pub(super) fn fault_streak(&self) -> u32 {
        self.state().faults.options().streak
    }
}

impl State {
    /// The simulator's now, in seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.clock.now(Utc::now()).timestamp()
    }

    /// The world as it shows at `as_of`.
    pub(super) fn moment(&self, as_of: i64) -> Moment {
        Moment { as_of, holes: self.holes.clone() }
    }
}
