//! A declared quota, made ready for counting.

use std::time::Duration;

use super::adapt::Adapt;
use super::counted::Span;
use super::pace::Pace;
use crate::pipeline::{Endpoint, Quota, Scope, Weights};

/// Late requests catch up by at most this share of a period: the windows keep the limit, the pace only spreads.
const SLACK: u32 = 10;
/// The share of a period that a permit is held for at most beyond it: what is left of the use is 98 %.
const MARGIN: f64 = 0.02;
/// A limit whose pace is to be found begins at this share of its ceiling.
const FIRST_TRY: f64 = 1.0 / 16.0;

/// A limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Its name in the state: `pipeline/name`, or `shared/name`.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// What it is counted by.
    pub scope: Scope,
    /// What may be used; `None` where nothing is declared and only refusals tell.
    pub allowed: Option<Allowed>,
    /// Other pipelines may draw from it too.
    pub shared: bool,
    adapt: bool,
    endpoints: Vec<Endpoint>,
    weights: Weights,
}

/// How much of a limit may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowed {
    /// Units in a period: the declared ones times the safety share, at least one.
    pub units: u32,
    /// What was declared.
    pub declared: u32,
    /// The period and how it is counted.
    pub span: Span,
    /// How many may go at once.
    pub burst: u32,
    /// Permits are held until the answer, however long that takes.
    pub strict: bool,
}

impl Allowed {
    /// How long after it was let go a request is taken to be counted at the latest, if its answer does not come earlier.
    pub fn margin(&self) -> Duration {
        self.span.per.mul_f64(MARGIN)
    }
}

impl Limit {
    /// The limit that `quota` of `pipeline` declares.
    pub fn declared(pipeline: &str, quota: &Quota) -> Limit {
        let owner = if quota.shared { "shared" } else { pipeline };
        // Both are below 2^32 and above zero.
        let units = (f64::from(quota.units) * quota.safety).floor().max(1.0) as u32;
        Limit {
            name: format!("{owner}/{}", quota.name),
            label: quota.name.clone(),
            scope: quota.scope,
            allowed: Some(Allowed {
                units,
                declared: quota.units,
                span: Span { per: quota.per, counting: quota.counting },
                burst: quota.burst.clamp(1, units),
                strict: quota.strict,
            }),
            shared: quota.shared,
            adapt: quota.adapt,
            endpoints: quota.endpoints.clone(),
            weights: quota.weights,
        }
    }

    /// What is known of `scope` besides declared limits: refusals, and a pace where none is declared.
    pub fn undeclared(pipeline: &str, scope: Scope) -> Limit {
        Limit {
            name: format!("{pipeline}/({})", scope.word()),
            label: format!("({})", scope.word()),
            scope,
            allowed: None,
            shared: false,
            adapt: false,
            endpoints: Vec::new(),
            weights: Weights::default(),
        }
    }

    /// What a request of `endpoint` counts for; nothing where it does not count.
    pub fn units(&self, endpoint: Endpoint) -> u32 {
        if self.endpoints.is_empty() || self.endpoints.contains(&endpoint) { self.weights.of(endpoint) } else { 0 }
    }

    /// Whether requests of every kind count.
    pub fn counts_all(&self) -> bool {
        Endpoint::ALL.into_iter().all(|endpoint| self.units(endpoint) > 0)
    }

    /// Whether the platform published it.
    pub fn is_certain(&self) -> bool {
        self.allowed.is_some() && !self.adapt
    }

    /// The pace of the whole limit in units a second, where one is declared.
    pub fn ceiling(&self) -> Option<f64> {
        self.allowed.map(|allowed| f64::from(allowed.units) / allowed.span.per.as_secs_f64())
    }

    /// The time in which a pace is tried.
    pub fn tempo(&self) -> Duration {
        self.allowed.map_or(Duration::from_secs(1), |allowed| (allowed.span.per / 60).max(Duration::from_secs(1)))
    }

    /// What a tally of it begins with.
    pub fn first_try(&self) -> Adapt {
        match (self.adapt, self.ceiling()) {
            (true, Some(ceiling)) => Adapt::starting(ceiling * FIRST_TRY),
            _ => Adapt::default(),
        }
    }

    /// The pace at which requests go, where they are spread: as declared, or `rate` units a second.
    pub fn pace(&self, rate: Option<f64>) -> Option<Pace> {
        if let Some(rate) = rate {
            let interval = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
            return Some(Pace::new(interval, self.heaviest(), interval / SLACK));
        }
        let allowed = self.allowed?;
        // Who may use everything at once needs no pace; the window is enough.
        let interval = allowed.span.per / allowed.units;
        let burst = allowed.burst.max(self.heaviest());
        (burst < allowed.units).then(|| Pace::new(interval, burst, allowed.span.per / SLACK))
    }

    /// The most that one request counts for: a burst can never be less.
    fn heaviest(&self) -> u32 {
        Endpoint::ALL.into_iter().map(|endpoint| self.units(endpoint)).max().unwrap_or(1).max(1)
    }
}
