use super::*;
use crate::pipeline::{Counting, Weights};

fn quota(requests: u32, per_ms: u64, scope: Scope, burst: u32) -> Quota {
    Quota {
        name: "test".into(),
        shared: false,
        units: requests,
        per: Duration::from_millis(per_ms),
        counting: Counting::Sliding,
        scope,
        endpoints: Vec::new(),
        weights: Weights::default(),
        burst,
        safety: 0.5,
        adapt: false,
        strict: false,
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// The most permits that limits at `rate` a second with `burst` can have given since `begin`.
fn allowed(begin: Instant, rate: f64, burst: u32) -> f64 {
    f64::from(burst) + begin.elapsed().as_secs_f64() * rate + 1.0
}

#[tokio::test]
async fn no_limit_is_no_wait() {
    let quotas = Quotas::new(&[], Duration::from_secs(1));
    for _ in 0..1000 {
        quotas.permit(&ids(&["a"])).await.expect("open");
    }
    assert_eq!((quotas.granted(), quotas.last_minute()), (1000, 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_never_exceed_the_pace() {
    // 400 a second, half of it used: one every 5 ms, three at once.
    let quotas = std::sync::Arc::new(Quotas::new(&[quota(40, 100, Scope::App, 3)], Duration::from_secs(1)));
    let begin = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let quotas = quotas.clone();
        workers.spawn(async move {
            for _ in 0..5 {
                quotas.permit(&[]).await.expect("open");
                assert!(quotas.granted() as f64 <= allowed(begin, 200.0, 3), "{} granted", quotas.granted());
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("no worker fails");
    }
    assert_eq!(quotas.granted(), 40);
}

#[tokio::test]
async fn accounts_are_counted_apart_and_a_batch_counts_for_each() {
    // An account has one request a day: whoever waits for a second one waits for ever.
    let quotas = Quotas::new(&[quota(2, 86_400_000, Scope::Account, 1)], Duration::from_secs(1));
    quotas.permit(&ids(&["a"])).await.expect("open");
    quotas.permit(&ids(&["b", "c"])).await.expect("open");
    let again = tokio::time::timeout(Duration::from_millis(30), quotas.permit(&ids(&["d", "c"]))).await;
    assert!(again.is_err(), "`c` has no permit left");
    assert_eq!(quotas.granted(), 2);
}

#[tokio::test]
async fn a_waiting_permit_can_be_dropped_and_does_not_block_the_queue() {
    let quotas = Quotas::new(&[quota(40, 1000, Scope::App, 1)], Duration::from_secs(1));
    quotas.permit(&[]).await.expect("open");
    let dropped = tokio::time::timeout(Duration::from_millis(1), quotas.permit(&[])).await;
    assert!(dropped.is_err());
    quotas.permit(&[]).await.expect("open");
    assert_eq!(quotas.granted(), 2);
}

#[tokio::test]
async fn a_closed_gate_holds_everyone_until_it_opens() {
    let quotas = Quotas::new(&[], Duration::from_secs(60));
    let until = Instant::now() + Duration::from_millis(40);
    quotas.close(until, "HTTP 429");
    quotas.close(until - Duration::from_millis(30), "a shorter wait changes nothing");
    assert_eq!(quotas.closed(), Some(Closed { until, why: "HTTP 429".into() }));
    quotas.permit(&[]).await.expect("short enough to wait for");
    assert!(Instant::now() >= until);
    assert_eq!(quotas.closed(), None);
}

#[tokio::test]
async fn a_gate_closed_for_longer_than_the_budget_is_reported() {
    let quotas = Quotas::new(&[], Duration::from_secs(60));
    quotas.close(Instant::now() + Duration::from_secs(3600), "HTTP 429: come back later");
    let closed = quotas.permit(&[]).await.expect_err("too long");
    assert_eq!(closed.why, "HTTP 429: come back later");
    assert_eq!(quotas.granted(), 0);
}

#[test]
fn the_pace_is_even_and_leaves_the_margin() {
    let pace = pace(&quota(120, 60_000, Scope::App, 1));
    assert_eq!(pace.replenish_interval() * PERMIT.get(), Duration::from_secs(1));
    assert_eq!(pace.burst_size().get(), PERMIT.get() + 1);
}

proptest::proptest! {
    #[test]
    fn no_stretch_of_a_period_holds_more_than_the_pace_and_the_burst(
        requests in 1u32..100_000, per_ms in 1u64..3_600_000_000, burst in 1u32..1000, steps in 1u64..50,
    ) {
        use governor::clock::FakeRelativeClock;
        let quota = quota(requests, per_ms, Scope::App, burst);
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::direct_with_clock(pace(&quota), clock.clone());
        let mut granted = 0u32;
        for _ in 0..steps {
            while granted < 3000 && limiter.check_n(PERMIT).expect("a burst of one permit at least").is_ok() {
                granted += 1;
            }
            clock.advance(quota.per / u32::try_from(steps).expect("few"));
        }
        let pace = f64::from(requests) * quota.safety;
        let late = LATENESS.as_secs_f64() / (quota.per.as_secs_f64() / pace) + 0.2;
        proptest::prop_assert!(f64::from(granted) <= pace + f64::from(burst) + late, "{granted}");
    }
}

#[test]
fn absurd_limits_do_no_harm() {
    for (requests, per_ms, burst) in [(u32::MAX, 1, u32::MAX), (1, u64::MAX / 1_000_000, u32::MAX), (0, 1000, 0)] {
        let limiter: AppLimiter =
            RateLimiter::direct_with_clock(pace(&quota(requests, per_ms, Scope::App, burst)), MonotonicClock);
        assert!(limiter.check_n(PERMIT).expect("a burst of one permit at least").is_ok());
    }
}

#[test]
fn progress_names_what_was_declared() {
    let quotas = Quotas::new(&[quota(20, 1000, Scope::App, 1), quota(200, 60_000, Scope::Account, 1)], Duration::ZERO);
    assert_eq!(quotas.describe(), "0 requests in the last minute (test 20/1s by app, test 200/1m by account)");
}
