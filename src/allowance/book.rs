//! All tallies of a pipeline's limits, and which of the waiting requests goes next.
//!
//! A request needs something of several tallies: the app's, those of its accounts, that of its kind. It takes from all
//! of them at once or from none. Who waits is looked through in the order of lanes and, in a lane, of coming; a request that
//! cannot go holds the tallies that it waits for, so that nobody behind it takes from those, and everybody else passes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

mod kept;

use super::Moment;
use super::latency::Latencies;
use super::limit::Limit;
use super::tally::{Closed, Free, Tally, Wish};
use crate::pipeline::{Endpoint, Quota, Scope};
use crate::unit::Lane;
use crate::usage::Whose;

/// The limits that are not declared come first: one for each scope.
const UNDECLARED: usize = 3;
/// A lower lane whose request was passed over so often goes first once.
const PASSED_OVER: u32 = 9;
/// Warnings are given at these shares of a limit, in percent.
const WARNINGS: [u8; 2] = [95, 80];
/// Limits of shorter periods are meant to be used up all the time.
const WARNED_FROM: Duration = Duration::from_secs(60);

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A request that was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PermitId(pub u64);

/// What a request is and needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Its kind.
    pub endpoint: Endpoint,
    /// Whom it is about.
    pub accounts: Vec<String>,
    /// Who asks.
    pub lane: Lane,
    /// As how many requests the platform counts it: several where it holds a batch of them, each about another account.
    pub calls: u32,
}

/// A limit and by whom it is counted.
pub type TallyKey = (usize, Whose);

/// What [`Book::decide`] decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It may go.
    Go(Ticket, PermitId),
    /// It would wait for longer than anybody wants to: it is out of the queue.
    TooLong(Ticket, Closed),
}

/// A limit that is nearly used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Which.
    pub key: TallyKey,
    /// 80 or 95.
    pub percent: u8,
}

#[derive(Debug, Clone)]
struct Waiting {
    takes: Vec<(TallyKey, u32)>,
    lane: Lane,
}

#[derive(Debug, Clone)]
struct Gone {
    takes: Vec<(TallyKey, u32)>,
    at: Moment,
}

/// The tallies of a pipeline's limits.
#[derive(Debug, Clone)]
pub struct Book {
    pub(super) limits: Vec<Limit>,
    pub(super) tallies: HashMap<TallyKey, Tally>,
    latencies: Latencies,
    waiting: BTreeMap<(Lane, Ticket), Waiting>,
    gone: HashMap<PermitId, Gone>,
    passed_over: HashMap<Lane, u32>,
    pub(super) changed: HashSet<TallyKey>,
    warnings: Vec<Warning>,
    /// The next moment at which one of those may go who wait for a moment and for nobody before them.
    wake: Option<Moment>,
    patience: Duration,
    last: u64,
}

impl Book {
    /// The limits that `quotas` of `pipeline` declare, and what refusals will tell. A request that would wait for longer
    /// than `patience` by itself is given back.
    pub fn new(pipeline: &str, quotas: &[Quota], patience: Duration) -> Book {
        let scopes = [Scope::App, Scope::Account, Scope::Endpoint];
        let mut limits: Vec<Limit> = scopes.iter().map(|scope| Limit::undeclared(pipeline, *scope)).collect();
        limits.extend(quotas.iter().map(|quota| Limit::declared(pipeline, quota)));
        Book {
            limits,
            tallies: HashMap::new(),
            latencies: Latencies::default(),
            waiting: BTreeMap::new(),
            gone: HashMap::new(),
            passed_over: HashMap::new(),
            changed: HashSet::new(),
            warnings: Vec::new(),
            wake: None,
            patience,
            last: 0,
        }
    }

    /// The limits: the undeclared ones of each scope first, then the declared ones.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// How long answers take.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The tallies that a request counts for.
    pub fn keys(&self, needs: &Needs) -> Vec<TallyKey> {
        self.takes(needs).into_iter().map(|(key, _)| key).collect()
    }

    pub(super) fn takes(&self, needs: &Needs) -> Vec<(TallyKey, u32)> {
        let mut takes = Vec::new();
        for (index, limit) in self.limits.iter().enumerate() {
            let units = limit.units(needs.endpoint);
            if units == 0 {
                continue;
            }
            let all = units.saturating_mul(needs.calls.max(1));
            match limit.scope {
                Scope::App => takes.push(((index, Whose::App), all)),
                Scope::Endpoint => takes.push(((index, Whose::Endpoint(needs.endpoint)), all)),
                Scope::Account => {
                    for account in &needs.accounts {
                        takes.push(((index, Whose::Account(account.clone())), units));
                    }
                }
            }
        }
        takes
    }

    /// A tally, where there is one.
    pub fn tally(&self, key: &TallyKey) -> Option<&Tally> {
        self.tallies.get(key)
    }

    /// All tallies.
    pub fn tallies(&self) -> impl Iterator<Item = (&TallyKey, &Tally)> {
        self.tallies.iter()
    }

    /// Whether anybody who waits may go at `now` or would wait too long, as far as is known here.
    pub fn is_due(&self, now: Moment) -> bool {
        self.waiting.values().any(|waiting| match self.free_takes(&waiting.takes, waiting.lane, now) {
            Free::Now => true,
            Free::At(at) => at.since(now) > self.patience,
            Free::OnAnswer => false,
        })
    }

    /// The warnings since this was asked last.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// A request begins to wait.
    pub fn ask(&mut self, needs: &Needs) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.waiting.insert((needs.lane, ticket), Waiting { takes: self.takes(needs), lane: needs.lane });
        ticket
    }

    /// A request waits no longer.
    pub fn forget(&mut self, ticket: Ticket) {
        self.waiting.retain(|(_, other), _| *other != ticket);
    }

    /// A copy that knows only the declared limit at `place`, counted from 0.
    pub fn only(&self, place: usize) -> Book {
        let index = UNDECLARED + place;
        let mut book = self.clone();
        book.forget_waiting();
        let limits = std::mem::take(&mut book.limits);
        book.limits = limits.into_iter().skip(index).take(1).collect();
        let tallies = std::mem::take(&mut book.tallies);
        let ours = tallies.into_iter().filter(|((limit, _), _)| *limit == index);
        book.tallies = ours.map(|((_, whose), tally)| ((0, whose), tally)).collect();
        book
    }

    /// Nobody waits any longer, and whoever comes now waits as long as it takes.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.patience = Duration::MAX;
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When such a request may go if it were alone.
    pub fn free(&self, needs: &Needs, now: Moment) -> Free {
        self.free_takes(&self.takes(needs), needs.lane, now)
    }

    /// Why such a request has to wait at `now`.
    pub fn why(&self, needs: &Needs, now: Moment) -> String {
        let takes = self.takes(needs);
        match self.free_takes(&takes, needs.lane, now) {
            Free::At(until) => self.reason(&takes, needs.lane, now, until),
            Free::Now | Free::OnAnswer => "other requests are under way".to_owned(),
        }
    }

    fn free_takes(&self, takes: &[(TallyKey, u32)], lane: Lane, now: Moment) -> Free {
        takes.iter().fold(Free::Now, |free, take| free.and(self.free_take(take, lane, now)))
    }

    fn free_take(&self, (key, units): &(TallyKey, u32), lane: Lane, now: Moment) -> Free {
        let Some(limit) = self.limits.get(key.0) else { return Free::Now };
        let wish = Wish { units: *units, lane };
        match self.tallies.get(key) {
            Some(tally) => tally.free(limit, wish, now),
            None => Tally::new(limit).free(limit, wish, now),
        }
    }

    /// Why a request that may go at `until` waits that long: what the platform said, else the limit.
    fn reason(&self, takes: &[(TallyKey, u32)], lane: Lane, now: Moment, until: Moment) -> String {
        for take in takes {
            let (index, whose) = &take.0;
            let (Some(limit), Some(tally)) = (self.limits.get(*index), self.tallies.get(&take.0)) else { continue };
            if let Some(closed) = tally.closed(now).filter(|closed| closed.until >= until) {
                return closed.why.clone();
            }
            if self.free_take(take, lane, now) == Free::At(until)
                && let Some(allowed) = limit.allowed
            {
                let per = humantime::format_duration(allowed.span.per);
                return format!("the quota `{}` of {whose}, {} in {per}, is used up", limit.label, allowed.units);
            }
        }
        "a limit of the platform".to_owned()
    }

    /// Who may go at `now`, and who would wait for too long.
    pub fn decide(&mut self, now: Moment) -> Vec<Decided> {
        let mut decided = Vec::new();
        let mut held: HashSet<TallyKey> = HashSet::new();
        self.wake = None;
        for key in self.order() {
            let Some(waiting) = self.waiting.get(&key) else { continue };
            if waiting.takes.iter().any(|(tally, _)| held.contains(tally)) {
                continue;
            }
            match self.free_takes(&waiting.takes, waiting.lane, now) {
                Free::Now => decided.push(self.go(key, now)),
                Free::At(until) if until.since(now) > self.patience => {
                    let why = self.reason(&waiting.takes, waiting.lane, now, until);
                    self.waiting.remove(&key);
                    decided.push(Decided::TooLong(key.1, Closed { until, why }));
                }
                free => {
                    let blocked =
                        waiting.takes.iter().filter(|take| self.free_take(take, waiting.lane, now) != Free::Now);
                    let blocked: Vec<TallyKey> = blocked.map(|(tally, _)| tally.clone()).collect();
                    if let Free::At(at) = free {
                        self.wake = Some(self.wake.map_or(at, |known| known.min(at)));
                    }
                    if blocked.iter().any(|tally| self.is_everybodys(tally)) {
                        break;
                    }
                    held.extend(blocked);
                }
            }
        }
        decided
    }

    /// Whether every request needs something of it.
    fn is_everybodys(&self, key: &TallyKey) -> bool {
        key.1 == Whose::App && self.limits.get(key.0).is_some_and(Limit::counts_all)
    }

    /// The order in which the waiting are looked at.
    fn order(&self) -> Vec<(Lane, Ticket)> {
        let mut order: Vec<(Lane, Ticket)> = self.waiting.keys().copied().collect();
        for lane in Lane::ALL.into_iter().skip(1).rev() {
            if self.passed_over.get(&lane).is_some_and(|times| *times >= PASSED_OVER)
                && let Some(place) = order.iter().position(|(other, _)| *other == lane)
            {
                let first = order.remove(place);
                order.insert(0, first);
            }
        }
        order
    }

    fn go(&mut self, key: (Lane, Ticket), now: Moment) -> Decided {
        let takes = self.waiting.remove(&key).map(|waiting| waiting.takes).unwrap_or_default();
        self.last += 1;
        let id = self.last;
        for (tally_key, units) in &takes {
            let Some(limit) = self.limits.get(tally_key.0) else { continue };
            let tally = self.tallies.entry(tally_key.clone()).or_insert_with(|| Tally::new(limit));
            tally.take(limit, id, Wish { units: *units, lane: key.0 }, now);
            if let Some(percent) = warn(limit, tally, now) {
                self.warnings.push(Warning { key: tally_key.clone(), percent });
            }
            if limit.allowed.is_some() {
                self.changed.insert(tally_key.clone());
            }
        }
        self.count_passing(key.0);
        self.gone.insert(PermitId(id), Gone { takes, at: now });
        Decided::Go(key.1, PermitId(id))
    }

    /// Lanes below `lane` whose requests wait were passed over.
    fn count_passing(&mut self, lane: Lane) {
        self.passed_over.insert(lane, 0);
        for lower in Lane::ALL {
            if lower > lane && self.waiting.keys().any(|(waiting, _)| *waiting == lower) {
                *self.passed_over.entry(lower).or_default() += 1;
            }
        }
    }

    /// The next moment at which [`Book::decide`] may decide something that it did not the last time, if nobody asks and
    /// nothing is answered or told until then.
    pub fn next(&self) -> Option<Moment> {
        self.wake
    }

    /// A request that was let go is really sent at `now`, not earlier: the time in which it can be counted begins then.
    pub fn sends(&mut self, permit: PermitId, now: Moment) {
        let Some(gone) = self.gone.get_mut(&permit) else { return };
        gone.at = gone.at.max(now);
        for (key, _) in &gone.takes {
            if let Some(tally) = self.tallies.get_mut(key) {
                tally.sends(permit.0, now);
                if self.limits.get(key.0).is_some_and(|limit| limit.shared && limit.allowed.is_some()) {
                    // Others shall know.
                    self.changed.insert(key.clone());
                }
            }
        }
    }

    /// A request was answered, or broke, at `at`: from now on nobody counts it.
    pub fn settle(&mut self, permit: PermitId, at: Moment, answered: bool) {
        let Some(gone) = self.gone.remove(&permit) else { return };
        if answered {
            self.latencies.add(at.since(gone.at));
        }
        for (key, _) in gone.takes {
            let (Some(limit), Some(tally)) = (self.limits.get(key.0), self.tallies.get_mut(&key)) else { continue };
            if limit.allowed.is_some() {
                tally.settle(limit, permit.0, at);
                self.changed.insert(key);
            }
        }
    }

    /// Until when the app's requests are closed, and why.
    pub fn closed(&self, now: Moment) -> Option<&Closed> {
        let apps = self.tallies.iter().filter(|((_, whose), _)| *whose == Whose::App);
        apps.filter_map(|(_, tally)| tally.closed(now)).max_by_key(|closed| closed.until)
    }
}

fn warn(limit: &Limit, tally: &mut Tally, now: Moment) -> Option<u8> {
    let allowed = limit.allowed.filter(|allowed| allowed.span.per > WARNED_FROM)?;
    let used = u64::from(tally.in_use(limit, now)) * 100 / u64::from(tally.most(&allowed));
    let reached = WARNINGS.into_iter().find(|percent| used >= u64::from(*percent)).unwrap_or(0);
    if reached == 0 && used < 70 {
        tally.warned = 0;
    }
    if reached <= tally.warned {
        return None;
    }
    tally.warned = reached;
    Some(reached)
}
