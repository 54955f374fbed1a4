//! Whether and when to try again: a pure decision. The one loop that acts on it is in `fetch`.

use std::time::Duration;

use crate::classify::Verdict;
use crate::pipeline::Retry;

/// Being told to wait is not failing: so many times more refusals than failures are borne.
const REFUSALS_PER_FAILURE: u32 = 3;
/// A platform that asks for more than this is not taken at its word.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// What to do after an attempt that brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this long.
    Wait(Duration),
    /// Enough.
    GiveUp,
    /// The platform asks for a wait that is longer than the pipeline's `max_wait`: end the run and come back then.
    ComeBack(Duration),
}

/// How the attempts at one request ended so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// Attempts that broke: counted against `attempts`.
    pub failures: u32,
    /// Attempts that were refused because of a limit: counted against three times `attempts`.
    pub refusals: u32,
}

impl Tries {
    /// These, and one more that ended with `verdict`.
    #[must_use]
    pub fn and(self, verdict: &Verdict) -> Tries {
        match verdict {
            Verdict::Throttled { .. } => Tries { refusals: self.refusals.saturating_add(1), ..self },
            _ => Tries { failures: self.failures.saturating_add(1), ..self },
        }
    }

    /// All attempts.
    pub fn total(self) -> u32 {
        self.failures.saturating_add(self.refusals)
    }
}

/// Decides after `tries`, the last of which ended with `verdict`; `jitter` is random in `[0, 1)`.
///
/// - Failures wait a random part of `base * 2^(n-1)`, at most `cap` (full jitter).
/// - A wait that the platform names is kept to the letter, plus up to a tenth so that workers do not return together.
/// - A refusal without a wait, or with none of any length, waits half to all of the bound that a failure has: a zero
///   must not burn the attempts at once.
pub fn decide(policy: &Retry, tries: Tries, verdict: &Verdict, jitter: f64) -> Decision {
    match verdict {
        Verdict::Retry { .. } if tries.failures < policy.attempts => {
            Decision::Wait(bound(policy, tries.failures).mul_f64(jitter))
        }
        Verdict::Throttled { wait: Some(wait), .. } if *wait > policy.max_wait.min(LONGEST) => {
            Decision::ComeBack((*wait).min(LONGEST))
        }
        Verdict::Throttled { wait, .. } if tries.refusals < policy.attempts.saturating_mul(REFUSALS_PER_FAILURE) => {
            match wait {
                Some(wait) if !wait.is_zero() => Decision::Wait(*wait + wait.mul_f64(jitter * 0.1)),
                _ => Decision::Wait(bound(policy, tries.refusals).mul_f64(0.5 + jitter / 2.0)),
            }
        }
        _ => Decision::GiveUp,
    }
}

/// The longest wait after the `nth` failure.
fn bound(policy: &Retry, nth: u32) -> Duration {
    let doublings = nth.saturating_sub(1).min(31);
    policy.base.saturating_mul(1 << doublings).min(policy.cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    fn waits(verdict: &Verdict, jitter: f64) -> Vec<f64> {
        let mut tries = Tries::default();
        let mut waits = Vec::new();
        loop {
            tries = tries.and(verdict);
            match decide(&policy(), tries, verdict, jitter) {
                Decision::Wait(wait) => waits.push(wait.as_secs_f64()),
                Decision::GiveUp | Decision::ComeBack(_) => return waits,
            }
        }
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
        let tries = Tries { failures: 1, refusals: 9 };
        assert_eq!(decide(&policy(), tries, &retry(), 0.5), Decision::Wait(Duration::from_millis(500)));
    }

    #[test]
    fn a_wait_beyond_the_budget_ends_the_run_even_at_the_last_attempt() {
        let tries = Tries { failures: 0, refusals: 12 };
        assert_eq!(
            decide(&policy(), tries, &throttled(Some(40_000)), 0.9),
            Decision::ComeBack(Duration::from_secs(40_000))
        );
        assert_eq!(decide(&policy(), tries, &throttled(Some(u64::MAX)), 0.9), Decision::ComeBack(LONGEST));
        assert_eq!(decide(&policy(), tries, &throttled(Some(600)), 0.9), Decision::GiveUp);
    }

    #[test]
    fn what_will_not_pass_is_given_up_at_once() {
        let fail = Verdict::Fail { fault: None, why: "HTTP 404".into() };
        let unauthorized = Verdict::Reauthorise { why: "HTTP 401".into() };
        assert_eq!(decide(&policy(), Tries::default().and(&fail), &fail, 0.5), Decision::GiveUp);
        assert_eq!(decide(&policy(), Tries::default().and(&unauthorized), &unauthorized, 0.5), Decision::GiveUp);
    }

    proptest! {
        #[test]
        fn waits_keep_their_bounds(
            failures in 0u32..100, refusals in 0u32..100, jitter in 0.0f64..1.0,
            wait in proptest::option::of(0u64..2000),
        ) {
            let tries = Tries { failures, refusals };
            if let Decision::Wait(own) = decide(&policy(), tries, &retry(), jitter) {
                prop_assert!(own <= policy().cap);
            }
            match decide(&policy(), tries, &throttled(wait), jitter) {
                Decision::Wait(chosen) => {
                    let said = Duration::from_secs(wait.unwrap_or(0));
                    prop_assert!(chosen >= said && chosen > Duration::ZERO);
                    prop_assert!(chosen <= (said + said / 10).max(policy().cap));
                }
                Decision::ComeBack(chosen) => prop_assert!(chosen > policy().max_wait),
                Decision::GiveUp => prop_assert!(refusals >= 12),
            }
        }
    }
}
