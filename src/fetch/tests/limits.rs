//! Refusals for a limit: whose it is, and how long the wait.

use super::*;
use crate::pipeline::{UsageRule, UsageSource, WaitSource, WaitUnit};

async fn refused_once(status: u16, headers: &[(&str, &str)], body: &str) -> Bench {
    Bench::new(vec![Reply::new(status, headers, body.as_bytes()), one_row()]).await
}

fn throttled(scope: Option<Scope>, wait: Vec<WaitSource>) -> ResponseAction {
    ResponseAction::Throttled { scope, wait }
}

/// How long the account of the refused request waits, and how long another.
async fn closed_for(bench: &Bench) -> (u64, u64) {
    let fetch = bench.opened().await;
    let failure = fetch.unit(&unit(&[account("1", "UTC")]), &CancellationToken::new()).await.expect_err("a wait");
    let UnitFailure::ComeBack { .. } = failure else { panic!("{failure}") };
    assert_eq!(bench.server.requests().len(), 1);
    let wait = |id: &str| {
        let endpoint = crate::pipeline::Endpoint::Metrics;
        let needs = crate::allowance::Needs { endpoint, accounts: vec![id.into()], lane: Lane::Hourly, calls: 1 };
        fetch.quotas().wait_of(&needs).expect("a wait").as_secs_f64().round() as u64
    };
    (wait("1"), wait("2"))
}

#[tokio::test]
async fn a_rule_says_whose_limit_it_is() {
    let long = [("retry-after", "1000")];
    let mut bench = refused_once(429, &long, "").await;
    bench.pipeline.responses = vec![rule(&[429], "", throttled(Some(Scope::Account), vec![]))];
    assert_eq!(closed_for(&bench).await, (1000, 0));
    let bench = refused_once(429, &long, "").await;
    assert_eq!(closed_for(&bench).await, (1000, 1000), "the app's where nothing tells");
}

#[tokio::test]
async fn others_go_on_while_one_account_is_closed() {
    let mut bench = refused_once(429, &[("retry-after", "1000")], "").await;
    bench.pipeline.responses = vec![rule(&[429], "", throttled(Some(Scope::Account), vec![]))];
    let (fetch, stop) = (bench.opened().await, CancellationToken::new());
    let first = fetch.unit(&unit(&[account("1", "UTC")]), &stop).await;
    assert!(matches!(first, Err(UnitFailure::ComeBack { .. })), "{first:?}");
    assert_eq!(fetch.unit(&unit(&[account("2", "UTC")]), &stop).await.expect("a slice").requests, 1);
    assert_eq!(fetch.quotas().closed(), None, "the app is open");
}

fn usage_json() -> UsageRule {
    UsageRule {
        scope: Scope::Account,
        quota: None,
        source: UsageSource::Json {
            header: "x-use".into(),
            percent: vec![path("percent")],
            wait: Some((path("minutes"), WaitUnit::Minutes)),
        },
    }
}

#[tokio::test]
async fn a_wait_that_only_a_usage_header_tells_is_kept() {
    for (told, waits) in [
        (r#"{"percent":100,"minutes":20}"#, (1200, 0)),
        (r#"{"minutes":20}"#, (1200, 0)),
        // Which of several percentages is meant is the platform's secret; that access is regained then is not.
        (r#"{"percent":85,"minutes":20}"#, (1200, 0)),
    ] {
        let mut bench = refused_once(400, &[("x-use", told)], r#"{"code":17}"#).await;
        bench.pipeline.usage = vec![usage_json()];
        bench.pipeline.responses = vec![rule(&[400], "17", throttled(None, vec![]))];
        assert_eq!(closed_for(&bench).await, waits, "{told}");
    }
}

#[tokio::test]
async fn a_limit_that_is_used_up_is_told_by_a_good_answer() {
    let full = [("x-use", r#"{"percent":100,"minutes":20}"#)];
    let page = page(&[("a", 1)], "");
    let mut bench = Bench::new(vec![Reply::new(200, &full, page.as_bytes()), one_row()]).await;
    bench.pipeline.usage = vec![usage_json()];
    let (fetch, stop) = (bench.opened().await, CancellationToken::new());
    fetch.unit(&unit(&[account("1", "UTC")]), &stop).await.expect("a slice");
    let second = fetch.unit(&unit(&[account("1", "UTC")]), &stop).await;
    assert!(matches!(second, Err(UnitFailure::ComeBack { .. })), "{second:?}");
    fetch.unit(&unit(&[account("2", "UTC")]), &stop).await.expect("a slice");
    assert_eq!(bench.server.requests().len(), 2);
}

#[tokio::test]
async fn a_reset_is_no_wait_where_something_is_left() {
    let left = [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1000")];
    let bench = refused_once(429, &left, "").await;
    assert_eq!(bench.run(&unit(&[account("1", "UTC")])).await.expect("a slice").requests, 2);
    let none = [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000")];
    let bench = refused_once(429, &none, "").await;
    assert_eq!(closed_for(&bench).await, (1000, 1000), "built in where the file declares nothing");
}

#[tokio::test]
async fn a_wait_inside_a_message_is_read() {
    let after = |unit| WaitSource::Text { path: path("message"), after: "Retry after".into(), unit };
    let mut bench = refused_once(400, &[], r#"{"code":"SLOW","message":"Too fast. Retry after 1 seconds"}"#).await;
    bench.pipeline.responses = vec![rule(&[400], "SLOW", throttled(None, vec![after(WaitUnit::Seconds)]))];
    let begin = std::time::Instant::now();
    assert_eq!(bench.run(&unit(&[account("1", "UTC")])).await.expect("a slice").requests, 2);
    assert!(begin.elapsed() >= Duration::from_secs(1), "never shorter than was asked for");
    let mut bench = refused_once(200, &[], r#"{"code":"SLOW","message":"retry after 20"}"#).await;
    bench.pipeline.responses = vec![rule(&[], "SLOW", throttled(Some(Scope::App), vec![after(WaitUnit::Minutes)]))];
    assert_eq!(closed_for(&bench).await, (1200, 1200));
}
