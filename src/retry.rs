//! Whether and when to try again: a pure decision. The one loop that acts on it is in `fetch`.

use std::time::Duration;

use crate::classify::Verdict;
use crate::pipeline::Retry;

/// Being told to wait is not failing: so many times more refusals than failures are borne.
const REFUSALS_PER_FAILURE: u32 = 3;
/// So many answers in all may be no page: what is cut off once is whole the next time, what never parses is not.
const UNREADABLE: u32 = 3;
/// A platform that asks for more than this is not taken at its word.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// What to do after an attempt that brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this long.
    Wait(Duration),
    /// Sign in anew, then try again at once.
    Reauthorise,
    /// Ask for less.
    Split,
    /// Leave the account out and go on.
    SkipAccount,
    /// The platform asks for a wait that is longer than the pipeline's `max_wait`: end the run and come back then.
    ComeBack(Duration),
    /// Enough.
    GiveUp,
}

/// How the attempts at one request ended so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// Attempts that broke: counted against `attempts`.
    pub failures: u32,
    /// Those of the failures whose answer was no page: counted against three besides.
    pub unreadable: u32,
    /// Attempts that were refused because of a limit: counted against three times `attempts`.
    pub refusals: u32,
    /// Attempts whose credentials were not accepted: one is borne.
    pub reauthorisations: u32,
}

impl Tries {
    /// These, and one more that ended with `verdict`.
    #[must_use]
    pub fn and(self, verdict: &Verdict) -> Tries {
        let mut tries = self;
        match verdict {
            Verdict::Throttled { .. } => tries.refusals = tries.refusals.saturating_add(1),
            Verdict::Reauthorise { .. } => tries.reauthorisations = tries.reauthorisations.saturating_add(1),
            _ => tries.failures = tries.failures.saturating_add(1),
        }
        if matches!(verdict, Verdict::Unreadable { .. }) {
            tries.unreadable = tries.unreadable.saturating_add(1);
        }
        tries
    }

    /// All attempts.
    pub fn total(self) -> u32 {
        self.failures.saturating_add(self.refusals).saturating_add(self.reauthorisations)
    }
}

/// Decides after `tries`, the last of which ended with `verdict`. `elapsed` is the time since the request was first
/// sent, waits for quotas not counted; `jitter` is random in `[0, 1)`.
///
/// | verdict | decision | bounds |
/// |---|---|---|
/// | `Retry` | a random part of `base * 2^(n-1)`, at most `cap` (full jitter) | `attempts`; the wait ends within `total` |
/// | `Unreadable` | the same | the same, and three in all |
/// | `Throttled`, longer than `max_wait` | come back then | none: nothing is tried meanwhile |
/// | `Throttled` with a wait | that wait to the letter, plus up to a tenth so that workers do not return together | three times `attempts`; `total` has not passed |
/// | `Throttled` without one, or with none of any length | half to all of a failure's bound: a zero must not burn the attempts at once | the same |
/// | `Reauthorise` | sign in anew | once, at any time |
/// | `Split`, `SkipAccount` | as they say | none |
/// | `Fail` | give up | |
///
/// A wait for a limit is a wait for a quota: it may end after `total`.
pub fn decide(policy: &Retry, tries: Tries, elapsed: Duration, verdict: &Verdict, jitter: f64) -> Decision {
    match verdict {
        Verdict::Retry { .. } => after_failure(policy, tries, elapsed, jitter),
        Verdict::Unreadable { .. } if tries.unreadable < UNREADABLE => after_failure(policy, tries, elapsed, jitter),
        Verdict::Throttled { wait, .. } => after_refusal(policy, tries, elapsed, *wait, jitter),
        Verdict::Reauthorise { .. } if tries.reauthorisations <= 1 => Decision::Reauthorise,
        Verdict::Split { .. } => Decision::Split,
        Verdict::SkipAccount { .. } => Decision::SkipAccount,
        Verdict::Unreadable { .. } | Verdict::Reauthorise { .. } | Verdict::Fail { .. } => Decision::GiveUp,
        // These brought something and are not asked about.
        Verdict::Ok | Verdict::NotModified | Verdict::Adopt { .. } => Decision::GiveUp,
    }
}

fn after_failure(policy: &Retry, tries: Tries, elapsed: Duration, jitter: f64) -> Decision {
    let wait = bound(policy, tries.failures).mul_f64(jitter);
    if tries.failures >= policy.attempts || elapsed.saturating_add(wait) > policy.total {
        return Decision::GiveUp;
    }
    Decision::Wait(wait)
}

fn after_refusal(policy: &Retry, tries: Tries, elapsed: Duration, wait: Option<Duration>, jitter: f64) -> Decision {
    let wait = wait.unwrap_or_default();
    if wait > policy.max_wait.min(LONGEST) {
        return Decision::ComeBack(wait.min(LONGEST));
    }
    if tries.refusals >= policy.attempts.saturating_mul(REFUSALS_PER_FAILURE) || elapsed > policy.total {
        return Decision::GiveUp;
    }
    if wait.is_zero() {
        return Decision::Wait(bound(policy, tries.refusals).mul_f64(0.5 + jitter / 2.0));
    }
    Decision::Wait(wait + wait.mul_f64(jitter * 0.1))
}

/// The longest wait after the `nth` failure.
fn bound(policy: &Retry, nth: u32) -> Duration {
    let doublings = nth.saturating_sub(1).min(31);
    policy.base.saturating_mul(1 << doublings).min(policy.cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderName;

    use super::*;
    use crate::classify::{Outcome, Reading, classify};

    fn policy() -> Retry {
        Retry {
            attempts: 4,
            total: Duration::from_secs(900),
            base: Duration::from_secs(1),
            cap: Duration::from_secs(5),
            max_wait: Duration::from_secs(600),
        }
    }

    fn retry() -> Verdict {
        Verdict::Retry { why: "HTTP 500".into() }
    }

    fn throttled(seconds: Option<u64>) -> Verdict {
        Verdict::Throttled { wait: seconds.map(Duration::from_secs), scope: None, why: "HTTP 429".into() }
    }

    fn unreadable() -> Verdict {
        Verdict::Unreadable { why: "ends in the middle of a value".into() }
    }

    fn unauthorized() -> Verdict {
        Verdict::Reauthorise { why: "HTTP 401".into() }
    }

    /// The waits of a request whose every attempt ends with `verdict`, until it is given up or comes back later.
    fn waits(verdict: &Verdict, jitter: f64) -> Vec<f64> {
        let mut tries = Tries::default();
        let mut waits = Vec::new();
        loop {
            tries = tries.and(verdict);
            let Decision::Wait(wait) = decide(&policy(), tries, Duration::ZERO, verdict, jitter) else { return waits };
            waits.push(wait.as_secs_f64());
        }
    }

    /// The decision after the last of several attempts.
    fn last(verdicts: &[Verdict]) -> Decision {
        let tries = verdicts.iter().fold(Tries::default(), |tries, verdict| tries.and(verdict));
        decide(&policy(), tries, Duration::ZERO, verdicts.last().expect("a verdict"), 0.5)
    }

    #[test]
    fn failures_wait_longer_each_time_and_are_bounded_in_number() {
        assert_eq!(waits(&retry(), 0.5), [0.5, 1.0, 2.0]);
        assert_eq!(waits(&retry(), 0.0), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn refusals_have_three_times_the_attempts_and_never_wait_for_nothing() {
        let expected = [0.5, 1.0, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5];
        assert_eq!(waits(&throttled(None), 0.0), expected);
        assert_eq!(waits(&throttled(Some(0)), 0.0), expected);
        assert_eq!(waits(&throttled(Some(30)), 0.0), [30.0; 11]);
        assert_eq!(waits(&throttled(Some(30)), 0.5)[0], 31.5);
    }

    #[test]
    fn refusals_do_not_use_up_the_attempts_of_failures() {
        let tries = Tries { failures: 1, refusals: 9, ..Tries::default() };
        let decision = decide(&policy(), tries, Duration::ZERO, &retry(), 0.5);
        assert_eq!(decision, Decision::Wait(Duration::from_millis(500)));
    }

    #[test]
    fn answers_that_are_no_page_are_failures_of_which_there_are_three_at_most() {
        assert_eq!(waits(&unreadable(), 0.5), [0.5, 1.0]);
        let mixed = [retry(), retry(), unreadable()];
        assert_eq!(last(&mixed), Decision::Wait(Duration::from_secs(2)), "they are counted together");
        assert_eq!(last(&[retry(), retry(), retry(), unreadable()]), Decision::GiveUp);
        let tries = mixed.iter().fold(Tries::default(), |tries, verdict| tries.and(verdict));
        assert_eq!(tries, Tries { failures: 3, unreadable: 1, refusals: 0, reauthorisations: 0 });
    }

    #[test]
    fn credentials_are_renewed_once() {
        assert_eq!(last(&[unauthorized()]), Decision::Reauthorise);
        assert_eq!(last(&[retry(), throttled(None), unauthorized()]), Decision::Reauthorise);
        assert_eq!(last(&[unauthorized(), retry(), unauthorized()]), Decision::GiveUp);
        assert_eq!(last(&[unauthorized(), retry()]), Decision::Wait(Duration::from_millis(500)), "it is no failure");
        let late = Duration::from_secs(100_000);
        let tries = Tries::default().and(&unauthorized());
        assert_eq!(
            decide(&policy(), tries, late, &unauthorized(), 0.5),
            Decision::Reauthorise,
            "tokens end at any time"
        );
        assert_eq!(tries.total(), 1);
    }

    #[test]
    fn no_wait_of_our_own_ends_after_the_total() {
        let after = |elapsed: f64, verdict: &Verdict| {
            let tries = Tries::default().and(&retry()).and(verdict);
            decide(&policy(), tries, Duration::from_secs_f64(elapsed), verdict, 0.5)
        };
        assert_eq!(after(899.0, &retry()), Decision::Wait(Duration::from_secs(1)));
        assert_eq!(after(899.1, &retry()), Decision::GiveUp);
        assert_eq!(after(899.1, &unreadable()), Decision::GiveUp);
        assert_eq!(after(900.0, &throttled(Some(30))), Decision::Wait(Duration::from_millis(31_500)));
        assert_eq!(after(900.1, &throttled(Some(30))), Decision::GiveUp);
        assert_eq!(after(900.1, &throttled(Some(601))), Decision::ComeBack(Duration::from_secs(601)));
    }

    #[test]
    fn a_wait_beyond_the_budget_ends_the_run_even_at_the_last_attempt() {
        let tries = Tries { refusals: 12, ..Tries::default() };
        let after = |seconds| decide(&policy(), tries, Duration::ZERO, &throttled(Some(seconds)), 0.9);
        assert_eq!(after(40_000), Decision::ComeBack(Duration::from_secs(40_000)));
        assert_eq!(after(u64::MAX), Decision::ComeBack(LONGEST));
        assert_eq!(after(600), Decision::GiveUp);
    }

    #[test]
    fn what_the_answer_says_is_done() {
        let why = || "HTTP 400".to_owned();
        assert_eq!(last(&[Verdict::Split { why: why() }]), Decision::Split);
        assert_eq!(last(&[Verdict::SkipAccount { why: why() }]), Decision::SkipAccount);
        assert_eq!(last(&[Verdict::Fail { fault: None, why: why() }]), Decision::GiveUp);
    }

    /// What other tools did in these cases: gave up after 75 seconds of an hour's block, tried ten times within a second,
    /// did not try again at all, slept for eleven hours, took a moment for a length.
    #[test]
    fn refusals_that_others_got_wrong() {
        let decision = |pairs: &[(&'static str, &str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
            let (headers, now) = (headers.collect(), "2026-11-20T10:00:00Z".parse().expect("an instant"));
            let outcome = Outcome::Answer { status: 429, headers: &headers, body: b"" };
            let verdict = classify(&outcome, &Reading { rules: &[], secrets: &[], now, refusals: 0 });
            decide(&policy(), Tries::default().and(&verdict), Duration::ZERO, &verdict, 0.0)
        };
        let (wait, half) =
            (|seconds| Decision::Wait(Duration::from_secs(seconds)), Decision::Wait(Duration::from_millis(500)));
        let come_back = |seconds| Decision::ComeBack(Duration::from_secs(seconds));
        assert_eq!(decision(&[("x-ratelimit-reset", "3600")]), come_back(3600));
        assert_eq!(decision(&[("retry-after", "0")]), half);
        assert_eq!(decision(&[("retry-after", "-30")]), half);
        assert_eq!(decision(&[]), half);
        assert_eq!(decision(&[("retry-after", "40000")]), come_back(40_000));
        assert_eq!(decision(&[("retry-after", "Fri, 20 Nov 2026 10:01:00 GMT")]), wait(60));
        assert_eq!(decision(&[("retry-after", "1795168860")]), wait(60));
        assert_eq!(decision(&[("x-ratelimit-reset", "1795168860")]), wait(60));
        assert_eq!(decision(&[("x-ratelimit-reset", "60")]), wait(60));
    }

    proptest! {
        #[test]
        fn waits_keep_their_bounds(
            failures in 0u32..100, refusals in 0u32..100, jitter in 0.0f64..1.0, elapsed in 0u64..2000,
            wait in proptest::option::of(0u64..2000),
        ) {
            let tries = Tries { failures, refusals, ..Tries::default() };
            let elapsed = Duration::from_secs(elapsed);
            if let Decision::Wait(own) = decide(&policy(), tries, elapsed, &retry(), jitter) {
                prop_assert!(own <= policy().cap && elapsed + own <= policy().total);
            }
            match decide(&policy(), tries, elapsed, &throttled(wait), jitter) {
                Decision::Wait(chosen) => {
                    let said = Duration::from_secs(wait.unwrap_or(0));
                    prop_assert!(chosen >= said && chosen > Duration::ZERO);
                    prop_assert!(chosen <= (said + said / 10).max(policy().cap));
                }
                Decision::ComeBack(chosen) => prop_assert!(chosen > policy().max_wait),
                Decision::GiveUp => prop_assert!(refusals >= 12 || elapsed > policy().total),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn every_request_comes_to_an_end(verdicts in proptest::collection::vec(0u8..4, 64), jitter in 0.0f64..1.0) {
            let mut tries = Tries::default();
            for verdict in verdicts {
                let verdict = [retry(), unreadable(), throttled(None), unauthorized()][usize::from(verdict)].clone();
                tries = tries.and(&verdict);
                if decide(&policy(), tries, Duration::ZERO, &verdict, jitter) == Decision::GiveUp {
                    break;
                }
            }
            prop_assert!(tries.total() <= 3 + 11 + 1 + 1);
        }
    }
}
