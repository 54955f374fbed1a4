//! What breaks, and what is said about it.

use super::*;
use crate::request::tests::quota;

fn quick() -> Vec<Reply> {
    vec![
        Reply::status(500),
        Reply::status(408),
        Reply::reset(),
        one_row().cut(3),
        Reply::new(502, &[("content-type", "text/html")], b"<html>bad gateway</html>"),
        Reply::new(200, &[], b"<html>sorry</html>"),
        Reply::new(200, &[], &page(&[("a", 1)], "").as_bytes()[..20]),
        Reply::new(200, &[], b""),
        Reply::new(200, &[], b"{\"unexpected\":true}"),
        Reply::new(200, &[("content-encoding", "gzip")], b"this is no gzip"),
        Reply::new(429, &[("retry-after", "0")], b""),
        Reply::new(429, &[("retry-after", "-7")], b""),
        Reply::new(429, &[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")], b""),
        Reply::status(429),
        Reply::new(503, &[("retry-after", "0")], b""),
    ]
}

#[tokio::test]
async fn what_passes_is_tried_again_and_leaves_no_trace() {
    for (index, fault) in quick().into_iter().enumerate() {
        let bench = Bench::new(vec![fault, one_row()]).await;
        let slice = bench.unit().await.unwrap_or_else(|failure| panic!("fault {index}: {failure}"));
        assert_eq!(clicks(&slice), [("a".to_owned(), 1)], "fault {index}");
        assert_eq!((slice.requests, slice.pages), (2, 1), "fault {index}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_given_up_after_the_attempts() {
    let bench = Bench::new(vec![Reply::status(500), Reply::reset(), Reply::status(503)]).await;
    assert_eq!(bench.reason().await, "HTTP 503 (after 3 attempts)");
    assert_eq!(bench.server.requests().len(), 3);
    let bench = Bench::new((0..9).map(|_| Reply::status(429)).collect()).await;
    assert_eq!(bench.reason().await, "HTTP 429 (after 9 attempts)");
}

#[tokio::test]
async fn refusals_that_stay_are_not_tried_again() {
    for status in [400, 403, 404, 422] {
        let bench = Bench::new(vec![Reply::new(status, &[], br#"{"message":"no, hunter2-token"}"#)]).await;
        let reason = format!("HTTP {status}: no, [secret]");
        assert_eq!(bench.unit().await.map(drop), Err(UnitFailure::Failed { reason, attempts: 1, fatal: false }));
    }
}

#[tokio::test]
async fn credentials_that_are_not_accepted_end_the_run() {
    let bench = Bench::new(vec![Reply::new(401, &[], br#"{"error":{"message":"bad hunter2-token"}}"#)]).await;
    let Err(UnitFailure::Failed { reason, attempts: 1, fatal: true }) = bench.unit().await else {
        panic!("a fatal failure");
    };
    assert!(
        reason.starts_with("HTTP 401: bad [secret]: the platform does not accept the credentials of `file:"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(vec![]).await;
    let bench = Bench::new(vec![Reply::new(302, &[("location", &elsewhere.base())], b"")]).await;
    assert_eq!(bench.reason().await, "HTTP 302: a redirect to 127.0.0.1, and redirects are not followed");
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn silence_and_stalls_end_in_time() {
    let mut bench = Bench::new(vec![one_row().stalled(3), one_row()]).await;
    bench.pipeline.api.stall_timeout = Duration::from_secs(1);
    assert_eq!(bench.unit().await.expect("a slice").requests, 2);
    let mut bench = Bench::new(vec![Reply::Stall(vec![])]).await;
    bench.pipeline.api.first_byte_timeout = Duration::from_millis(200);
    bench.pipeline.api.connect_timeout = Duration::from_millis(200);
    bench.pipeline.retry.attempts = 1;
    let place = bench.server.base().replace("http://", "");
    assert_eq!(bench.reason().await, format!("{place} sent nothing within 200ms"));
}

#[tokio::test]
async fn an_unreachable_host_ends_the_run() {
    let mut bench = Bench::new(vec![]).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    bench.pipeline.api.base_url = format!("http://{free}").parse().expect("a URL");
    let fetch = bench.fetch().await;
    let failure = fetch.unit(&unit(&[account("1", "UTC")]), &CancellationToken::new()).await.expect_err("no host");
    let UnitFailure::Failed { reason, attempts: 3, fatal: true } = failure else { panic!("{failure}") };
    assert!(reason.starts_with(&format!("cannot connect to {free}: ")), "{reason}");
}

#[tokio::test]
async fn a_bomb_is_stopped_at_the_cap() {
    // zstd: a header and a thousand blocks of 128 KiB that each repeat one byte; 4 KB that would be 128 MB.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for _ in 0..1000 {
        bomb.extend_from_slice(&[0x02, 0x00, 0x10, b' ']);
    }
    let mut bench = Bench::new(vec![Reply::new(200, &[("content-encoding", "zstd")], &bomb)]).await;
    bench.pipeline.api.max_body = 1_000_000;
    let place = bench.server.base().replace("http://", "");
    assert_eq!(bench.reason().await, format!("the body from {place} is longer than 1000000 bytes (`api.max_body`)"));
    let mut bench = Bench::new(vec![one_row()]).await;
    bench.pipeline.api.max_body = 10;
    assert!(bench.reason().await.contains("is longer than 10 bytes"));
}

#[tokio::test]
async fn a_long_wait_ends_the_run_with_the_time_to_come_back() {
    let date = [("date", "Fri, 20 Nov 2026 00:00:00 GMT"), ("retry-after", "Fri, 20 Nov 2026 11:06:40 GMT")];
    for headers in [&[("retry-after", "40000")][..], &date[..]] {
        let bench = Bench::new(vec![Reply::new(429, headers, b"")]).await;
        let fetch = bench.fetch().await;
        let (unit, stop) = (unit(&[account("1", "UTC")]), CancellationToken::new());
        let come_back = UnitFailure::ComeBack { until: at("2026-11-20T23:41:36Z"), reason: "HTTP 429".into() };
        assert_eq!(fetch.unit(&unit, &stop).await.map(drop), Err(come_back));
        let Err(UnitFailure::ComeBack { reason, .. }) = fetch.unit(&unit, &stop).await else { panic!("still closed") };
        assert_eq!(reason, "HTTP 429");
        assert_eq!(bench.server.requests().len(), 1, "nobody sends while the gate is closed");
    }
}

#[tokio::test]
async fn a_short_wait_is_kept_to_the_letter() {
    let bench = Bench::new(vec![Reply::new(429, &[("retry-after", "1")], b""), one_row()]).await;
    let begin = std::time::Instant::now();
    let slice = bench.unit().await.expect("a slice");
    assert_eq!(slice.requests, 2);
    assert!(begin.elapsed() >= Duration::from_secs(1), "never shorter than was asked for");
}

#[tokio::test]
async fn a_limit_inside_a_good_answer_is_a_limit() {
    let mut bench = Bench::new(vec![Reply::ok(r#"{"code":40100,"message":"too fast"}"#), one_row()]).await;
    bench.pipeline.responses = vec![ResponseRule {
        statuses: vec![200],
        header: None,
        path: Some((path("code"), ValueTest::AnyOf(vec!["40100".into()]))),
        action: ResponseAction::Throttled { scope: None, wait: Vec::new() },
    }];
    let fetch = bench.fetch().await;
    let slice = fetch.unit(&unit(&[account("1", "UTC")]), &CancellationToken::new()).await.expect("a slice");
    assert_eq!((slice.requests, fetch.meter.get(Count::Throttled), fetch.meter.get(Count::Retries)), (2, 1, 1));
}

#[tokio::test]
async fn a_row_that_cannot_be_kept_fails_the_unit_at_once() {
    let body = page(&[("a", 1)], "").replace("\"clicks\":1", "\"clicks\":\"many\"");
    let bench = Bench::new(vec![Reply::ok(&body)]).await;
    let reason = bench.reason().await;
    assert!(reason.contains("`clicks`") && reason.contains("many"), "{reason}");
    assert_eq!(bench.server.requests().len(), 1);
}

#[tokio::test]
async fn stopping_ends_a_wait() {
    let bench = Bench::new(vec![Reply::new(429, &[("retry-after", "300")], b"")]).await;
    let (fetch, stop) = (bench.fetch().await, CancellationToken::new());
    let meter = fetch.meter.clone();
    let (unit, stopping) = (unit(&[account("1", "UTC")]), stop.clone());
    let worker = tokio::spawn(async move { fetch.unit(&unit, &stopping).await });
    while meter.read().waiting == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(meter.read().longest.map(|wait| wait.reason).as_deref(), Some("HTTP 429"));
    stop.cancel();
    assert_eq!(worker.await.expect("no panic").map(drop), Err(UnitFailure::Stopped));
    assert_eq!(meter.read().waiting, 0);
}

#[tokio::test]
async fn every_attempt_takes_a_permit() {
    let mut bench = Bench::new(vec![Reply::status(500), Reply::status(500), one_row()]).await;
    let per = Duration::from_millis(30);
    let scopes = [Scope::App, Scope::Account];
    bench.pipeline.quotas = scopes.into_iter().map(|scope| quota("q", 1, per, scope)).collect();
    let begin = std::time::Instant::now();
    assert_eq!(bench.unit().await.expect("a slice").requests, 3);
    assert!(begin.elapsed() >= per * 2, "three sendings are two periods apart");
}

#[tokio::test]
async fn whose_fault_it_is_decides_whether_the_run_goes_on() {
    let said = async |fault| {
        let mut bench = Bench::new(vec![Reply::new(400, &[], br#"{"code":"BAD","message":"no such field"}"#)]).await;
        bench.pipeline.responses = vec![rule(&[400], "BAD", ResponseAction::Fail { fault })];
        match bench.unit().await {
            Err(UnitFailure::Failed { reason, attempts: 1, fatal }) => (reason, fatal),
            other => panic!("{other:?}"),
        }
    };
    let (reason, fatal) = said(Fault::Config).await;
    assert!(fatal && reason.ends_with("the pipeline file or its credentials must be changed"), "{reason}");
    let (reason, fatal) = said(Fault::Us).await;
    assert!(!fatal && reason.ends_with("hourmark should not have sent this; please report it"), "{reason}");
    let (reason, fatal) = said(Fault::Platform).await;
    assert!(!fatal && reason.contains("no such field"), "{reason}");
}

#[tokio::test]
async fn an_answer_that_never_parses_is_read_three_times() {
    let mut bench = Bench::new((0..9).map(|_| Reply::ok("{\"rows\":[")).collect()).await;
    bench.pipeline.retry.attempts = 9;
    let Err(UnitFailure::Failed { attempts: 3, fatal: false, .. }) = bench.unit().await else { panic!("a failure") };
    assert_eq!(bench.server.requests().len(), 3);
}

#[tokio::test]
async fn failures_are_not_tried_again_after_the_total() {
    let mut bench = Bench::new((0..9).map(|_| Reply::status(500)).collect()).await;
    bench.pipeline.retry.attempts = 9;
    bench.pipeline.retry.total = Duration::ZERO;
    assert_eq!(bench.reason().await, "HTTP 500");
    assert_eq!(bench.server.requests().len(), 1);
}
