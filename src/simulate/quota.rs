//! What the server allows: exact windows, sliding or fixed, and a penalty after a violation.
//!
//! A sliding window of a limit `20/1s` at moment `now` is `(now - 1s, now]`; a fixed one is the full second around
//! `now`. A call is admitted when every scope it counts in (the app once, each of its accounts once, its endpoint once)
//! has room for its weight and no penalty; otherwise it is refused whole. Each scope that had no room starts its
//! penalty; a call refused during a penalty does not start another.

mod scope;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use scope::{Scope, Verdict, tighter};

use super::endpoint::Endpoint;
use super::limit::Limit;
use super::options::QuotaOptions;
pub(super) use scope::Use;
pub(super) use window::{Room, Seen};

/// All scopes and what was counted in them. All instants are times since 1970.
#[derive(Debug)]
pub(super) struct Quotas {
    options: QuotaOptions,
    app: Scope,
    /// By the account's place in the world; made when it is first called.
    accounts: HashMap<usize, Scope>,
    /// Of those that have limits.
    endpoints: BTreeMap<Endpoint, Scope>,
    refused: u64,
    violations: u64,
}

/// What a call counts against, besides the app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) accounts: Vec<usize>,
}

/// Where a call's scopes stand at the moment at which it was admitted or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Why it was refused, app before account before endpoint; empty if it was admitted.
    pub(super) refused: Vec<Refused>,
    /// The limit with the smallest share of room left; none where nothing is limited.
    pub(super) tightest: Option<Room>,
    pub(super) app: Use,
    pub(super) accounts: Vec<(usize, Use)>,
    pub(super) endpoint: Option<(Endpoint, Use)>,
}

/// One kind of scope that refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) scope: ScopeKind,
    /// The limit that makes it wait longest; of several accounts, that of the one with the longest wait.
    pub(super) limit: Limit,
    /// How long until this scope would admit the call.
    pub(super) wait: Duration,
}

/// What a limit is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeKind {
    App,
    Account,
    Endpoint,
}

/// The verdicts on one call.
#[derive(Debug, Default)]
struct Verdicts {
    app: Option<Verdict>,
    /// One for each account of the charge.
    accounts: Vec<Option<Verdict>>,
    endpoint: Option<Verdict>,
}

impl Quotas {
    pub(super) fn new(options: QuotaOptions) -> Self {
        let app = Scope::new(options.app.iter().copied());
        let endpoints = endpoint_scopes(&options);
        Self { options, app, accounts: HashMap::new(), endpoints, refused: 0, violations: 0 }
    }

    pub(super) fn options(&self) -> &QuotaOptions {
        &self.options
    }

    /// Counts a call at `now` and tells whether it is admitted.
    pub(super) fn admit(&mut self, charge: &Charge, now: Duration) -> Standing {
        let cost = self.options.cost(charge.endpoint);
        let verdicts = self.judge(charge, now, cost);
        let refused = verdicts.refused();
        let counted = refused.is_empty() || self.options.count_refused;
        self.refused += u64::from(!refused.is_empty());
        self.violations += u64::from(verdicts.all().any(|verdict| verdict.violation));
        self.app.record(now, cost, counted);
        for account in &charge.accounts {
            self.account(*account).record(now, cost, counted);
        }
        if let Some(scope) = charge.endpoint.and_then(|endpoint| self.endpoints.get_mut(&endpoint)) {
            scope.record(now, cost, counted);
        }
        Standing { refused, ..self.describe(charge, now, &verdicts) }
    }

    /// Where the scopes stand, without counting anything.
    pub(super) fn standing(&mut self, charge: &Charge, now: Duration) -> Standing {
        self.describe(charge, now, &Verdicts::default())
    }

    fn judge(&mut self, charge: &Charge, now: Duration, cost: u64) -> Verdicts {
        let penalty = self.options.penalty;
        let app = self.app.judge(now, cost, penalty);
        let mut accounts = Vec::with_capacity(charge.accounts.len());
        for account in &charge.accounts {
            accounts.push(self.account(*account).judge(now, cost, penalty));
        }
        let scope = charge.endpoint.and_then(|endpoint| self.endpoints.get_mut(&endpoint));
        Verdicts { app, accounts, endpoint: scope.and_then(|scope| scope.judge(now, cost, penalty)) }
    }

    fn describe(&mut self, charge: &Charge, now: Duration, verdicts: &Verdicts) -> Standing {
        let mut tightest = self.app.tightest(now);
        let mut accounts = Vec::with_capacity(charge.accounts.len());
        for (number, account) in charge.accounts.iter().enumerate() {
            let verdict = verdicts.accounts.get(number).copied().flatten();
            let scope = self.account(*account);
            tightest = tighter(tightest, scope.tightest(now));
            accounts.push((*account, scope.used(now, verdict)));
        }
        let mut used = Use::default();
        if let Some(scope) = charge.endpoint.and_then(|endpoint| self.endpoints.get_mut(&endpoint)) {
            tightest = tighter(tightest, scope.tightest(now));
            used = scope.used(now, verdicts.endpoint);
        }
        let endpoint = charge.endpoint.map(|endpoint| (endpoint, used));
        Standing { refused: Vec::new(), tightest, app: self.app.used(now, verdicts.app), accounts, endpoint }
    }

    fn account(&mut self, account: usize) -> &mut Scope {
        self.accounts.entry(account).or_insert_with(|| Scope::new(self.options.account.iter().copied()))
    }

    /// Other settings. Windows go on as they are: whoever changes limits restarts theirs.
    pub(super) fn set(&mut self, options: QuotaOptions) {
        self.options = options;
    }

    /// Windows of the app's limits, as they are set now, begin empty.
    pub(super) fn restart_app(&mut self) {
        self.app = Scope::new(self.options.app.iter().copied());
    }

    /// Windows of the accounts' limits, as they are set now, begin empty.
    pub(super) fn restart_accounts(&mut self) {
        self.accounts.clear();
    }

    /// Windows of the endpoints' limits, as they are set now, begin empty.
    pub(super) fn restart_endpoints(&mut self) {
        self.endpoints = endpoint_scopes(&self.options);
    }

    /// Penalties that are running end.
    pub(super) fn end_penalties(&mut self) {
        for scope in self.scopes() {
            scope.end_penalty();
        }
    }

    /// Forgets what was seen, not the calls themselves.
    pub(super) fn forget_seen(&mut self) {
        (self.refused, self.violations) = (0, 0);
        for scope in self.scopes() {
            scope.forget_seen();
        }
    }

    fn scopes(&mut self) -> impl Iterator<Item = &mut Scope> {
        std::iter::once(&mut self.app).chain(self.accounts.values_mut()).chain(self.endpoints.values_mut())
    }

    /// How many calls were refused, and how many of them by a scope that was not in a penalty.
    pub(super) fn refusals(&self) -> (u64, u64) {
        (self.refused, self.violations)
    }

    /// What was seen of each limit of the app.
    pub(super) fn app_seen(&self) -> Vec<Seen> {
        self.app.windows.iter().map(|window| window.seen).collect()
    }

    /// What was seen of each limit of an endpoint.
    pub(super) fn endpoints_seen(&self) -> Vec<(Endpoint, Seen)> {
        let scopes = self.endpoints.iter();
        scopes.flat_map(|(endpoint, scope)| scope.windows.iter().map(|window| (*endpoint, window.seen))).collect()
    }

    /// For each limit of accounts, the account that came highest.
    pub(super) fn accounts_highest(&self) -> Vec<(usize, Seen)> {
        let mut highest: Vec<(usize, Seen)> = Vec::new();
        for (account, scope) in &self.accounts {
            for (number, window) in scope.windows.iter().enumerate() {
                match highest.get_mut(number) {
                    None => highest.push((*account, window.seen)),
                    Some(best) if (window.seen.arrived, *account) > (best.1.arrived, best.0) => {
                        *best = (*account, window.seen);
                    }
                    Some(_) => {}
                }
            }
        }
        highest
    }

    /// For each limit of accounts, the refusals and violations of all of them; and how many accounts were refused.
    pub(super) fn accounts_refused(&self) -> (Vec<Seen>, usize) {
        let mut sums: Vec<Seen> = self.options.account.iter().map(|limit| Seen::nothing(*limit)).collect();
        let mut accounts = 0;
        for scope in self.accounts.values() {
            accounts += usize::from(scope.windows.iter().any(|window| window.seen.refused > 0));
            for (sum, window) in sums.iter_mut().zip(&scope.windows) {
                sum.refused += window.seen.refused;
                sum.violations += window.seen.violations;
            }
        }
        (sums, accounts)
    }
}

fn endpoint_scopes(options: &QuotaOptions) -> BTreeMap<Endpoint, Scope> {
    let mut limits: BTreeMap<Endpoint, Vec<Limit>> = BTreeMap::new();
    for entry in &options.endpoint {
        limits.entry(entry.endpoint).or_default().push(entry.limit);
    }
    limits.into_iter().map(|(endpoint, limits)| (endpoint, Scope::new(limits))).collect()
}

impl Verdicts {
    fn all(&self) -> impl Iterator<Item = &Verdict> {
        self.app.iter().chain(self.accounts.iter().flatten()).chain(&self.endpoint)
    }

    fn refused(&self) -> Vec<Refused> {
        let account = self.accounts.iter().flatten().max_by_key(|verdict| verdict.wait).copied();
        let kinds = [(ScopeKind::App, self.app), (ScopeKind::Account, account), (ScopeKind::Endpoint, self.endpoint)];
        let mut refused = Vec::new();
        for (scope, verdict) in kinds {
            if let Some(Verdict { limit, wait, .. }) = verdict {
                refused.push(Refused { scope, limit, wait });
            }
        }
        refused
    }
}

impl ScopeKind {
    /// The name used in bodies and headers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Account => "account",
            Self::Endpoint => "endpoint",
        }
    }
}
