//! Faults: which request meets which, drawn from the seed.
//!
//! The draw depends on the request and on how often it was seen before, not on what else runs at the same time. So the
//! same client meets the same faults in every run, however its requests interleave.

use std::collections::{HashMap, VecDeque};

use clap::ValueEnum;

use super::dice;
use super::endpoint::Endpoint;
use super::options::FaultOptions;

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum FaultKind {
    /// One of 500, 502 and 503
    #[value(name = "5xx")]
    ServerError,
    /// 500 with a JSON body
    #[value(name = "500")]
    Internal,
    /// 502 with a page of HTML, and without the API's own headers
    #[value(name = "502")]
    BadGateway,
    /// 503 with `Retry-After: 1`
    #[value(name = "503")]
    Unavailable,
    /// The connection is reset before an answer
    #[value(name = "reset")]
    Reset,
    /// The connection is reset in the middle of the body
    #[value(name = "reset-body")]
    ResetBody,
    /// The body ends before its Content-Length, and the connection is closed in good order
    #[value(name = "short-body")]
    ShortBody,
    /// 200 with half of the JSON and a Content-Length that fits it
    #[value(name = "truncated-json")]
    TruncatedJson,
    /// Headers, then silence for `--stall`
    #[value(name = "stall")]
    Stall,
    /// The last row of a page comes again as the first of the next
    #[value(name = "duplicate-rows")]
    DuplicateRows,
    /// 200 with an error object of code TRANSIENT
    #[value(name = "error-in-200")]
    ErrorIn200,
    /// A page without rows that has a next cursor
    #[value(name = "empty-page")]
    EmptyPage,
    /// The same with `"data":null`
    #[value(name = "null-data")]
    NullData,
    /// 429 without Retry-After or any other header about quotas
    #[value(name = "bare-429")]
    Bare429,
    /// The work is done, and the answer is lost: a 500 or a reset
    #[value(name = "lost")]
    Lost,
}

impl FaultKind {
    /// The name used on the command line and in statistics.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it changes what a page of metrics, days or report rows holds, and so needs such a page.
    pub(super) fn shapes_pages(self) -> bool {
        matches!(self, Self::DuplicateRows | Self::EmptyPage | Self::NullData)
    }

    fn fits(self, endpoint: Endpoint) -> bool {
        !self.shapes_pages() || matches!(endpoint, Endpoint::Metrics | Endpoint::Daily | Endpoint::ReportRows)
    }

    /// What is drawn from where no kinds are named. A stall is left out: it makes a client wait for half a minute.
    fn usual() -> Vec<Self> {
        let named_by_server_error = [Self::Internal, Self::BadGateway, Self::Unavailable];
        let all = Self::value_variants().iter().copied();
        all.filter(|kind| *kind != Self::Stall && !named_by_server_error.contains(kind)).collect()
    }
}

/// Decides which request meets which fault.
#[derive(Debug)]
pub(super) struct Faults {
    seed: u64,
    options: FaultOptions,
    /// Only requests whose path begins with this meet faults.
    path: String,
    /// Faults for the very next requests, before any draw.
    next: VecDeque<FaultKind>,
    seen: HashMap<u64, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    times: u64,
    streak: u32,
}

/// A fault to commit, with bits to draw its details from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) bits: u64,
}

impl Faults {
    pub(super) fn new(seed: u64, options: FaultOptions) -> Self {
        Self { seed, options, path: String::new(), next: VecDeque::new(), seen: HashMap::new() }
    }

    pub(super) fn options(&self) -> &FaultOptions {
        &self.options
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Replaces what is drawn from; `next` is added to what was already waiting.
    pub(super) fn set(&mut self, options: FaultOptions, path: String, next: Vec<FaultKind>) {
        self.options = options;
        self.path = path;
        self.next.extend(next);
    }

    /// The fault that this request meets. `request` stands for its address and idempotency key.
    pub(super) fn decide(&mut self, endpoint: Endpoint, path: &str, request: &str) -> Option<Fault> {
        if !path.starts_with(&self.path) {
            return None;
        }
        if let Some(kind) = self.next.front().copied()
            && kind.fits(endpoint)
        {
            self.next.pop_front();
            return Some(concrete(kind, dice::of_text(self.seed, request)));
        }
        if self.options.rate <= 0.0 {
            return None;
        }
        let key = dice::of_text(self.seed, request);
        let seen = self.seen.entry(key).or_default();
        seen.times += 1;
        let bits = dice::mix(key, seen.times);
        let kind = draw(&self.options, endpoint, bits).filter(|_| seen.streak < self.options.streak);
        seen.streak = if kind.is_some() { seen.streak + 1 } else { 0 };
        kind.map(|kind| concrete(kind, dice::mix(bits, 2)))
    }
}

fn draw(options: &FaultOptions, endpoint: Endpoint, bits: u64) -> Option<FaultKind> {
    if !dice::hits(bits, options.rate) {
        return None;
    }
    let mut kinds = if options.kinds.is_empty() { FaultKind::usual() } else { options.kinds.clone() };
    kinds.retain(|kind| kind.fits(endpoint));
    let place = dice::below(dice::mix(bits, 1), kinds.len() as u64) as usize;
    kinds.get(place).copied()
}

fn concrete(kind: FaultKind, bits: u64) -> Fault {
    let server_errors = [FaultKind::Internal, FaultKind::BadGateway, FaultKind::Unavailable];
    let kind = match kind {
        FaultKind::ServerError => server_errors[dice::below(bits, 3) as usize],
        kind => kind,
    };
    Fault { kind, bits: dice::mix(bits, 3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn faults(rate: f64, kinds: Vec<FaultKind>) -> Faults {
        Faults::new(1, FaultOptions { rate, kinds, streak: 3, stall: Duration::from_secs(1) })
    }

    #[test]
    fn the_rate_holds_and_the_draw_repeats() {
        let draw = || {
            let mut faults = faults(0.2, Vec::new());
            (0..5_000)
                .map(|number| faults.decide(Endpoint::Metrics, "/v1/metrics", &number.to_string()))
                .collect::<Vec<_>>()
        };
        let (first, second) = (draw(), draw());
        assert_eq!(first, second);
        let count = first.iter().flatten().count();
        assert!((850..1_150).contains(&count), "{count}");
        assert!(first.iter().flatten().all(|fault| fault.kind != FaultKind::Stall));
    }

    #[test]
    fn one_request_fails_at_most_three_times_in_a_row() {
        let mut faults = faults(1.0, vec![FaultKind::Reset]);
        let hits: Vec<bool> =
            (0..8).map(|_| faults.decide(Endpoint::Accounts, "/v1/accounts", "same").is_some()).collect();
        assert_eq!(hits, [true, true, true, false, true, true, true, false]);
    }

    #[test]
    fn shapes_of_pages_only_meet_pages() {
        let mut faults = faults(1.0, vec![FaultKind::NullData]);
        assert_eq!(faults.decide(Endpoint::Accounts, "/v1/accounts", "a"), None);
        assert!(faults.decide(Endpoint::ReportRows, "/v1/reports/1/rows", "b").is_some());
    }

    #[test]
    fn queued_faults_come_first_and_only_on_their_path() {
        let mut faults = faults(0.0, Vec::new());
        let options = faults.options().clone();
        faults.set(options, "/v1/metrics".to_owned(), vec![FaultKind::Lost]);
        assert_eq!(faults.decide(Endpoint::Accounts, "/v1/accounts", "a"), None);
        assert!(
            faults.decide(Endpoint::Metrics, "/v1/metrics", "b").is_some_and(|fault| fault.kind == FaultKind::Lost)
        );
        assert_eq!(faults.decide(Endpoint::Metrics, "/v1/metrics", "b"), None);
    }
}
