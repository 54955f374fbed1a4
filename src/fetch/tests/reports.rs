//! Requests that create something: made once, whatever happens.

use std::collections::BTreeSet;

use super::*;
use crate::pipeline::{Body, IdSource, KeyPlace, Method, Poll, Report, ReportRows};
use crate::state::{Creation, CreationEnd};

fn made(id: &str) -> Reply {
    Reply::ok(&format!(r#"{{"report_id":"{id}"}}"#))
}

fn is(status: &str) -> Reply {
    Reply::ok(&format!(r#"{{"status":"{status}"}}"#))
}

fn creates(mut bench: Bench) -> Bench {
    bench.pipeline.request.method = Method::Post;
    bench.pipeline.request.creates = Some(KeyPlace::Header("Idempotency-Key".into()));
    bench.pipeline.request.path = "/reports".into();
    bench.pipeline.request.query = texts(&[]);
    let body = serde_json::json!({"account": "{account}", "from": "{from}", "to": "{to}"});
    bench.pipeline.request.body = Body::Json(body);
    bench
}

/// A platform that makes reports.
async fn bench(script: Vec<Reply>) -> Bench {
    let mut bench = creates(Bench::new(script).await);
    bench.pipeline.report = Some(Report {
        id: path("report_id"),
        poll: Poll {
            method: Method::Get,
            body: Body::None,
            server: None,
            path: "/reports/{report}".into(),
            query: texts(&[]),
            status: path("status"),
            done: vec!["done".into()],
            failed: vec!["failed".into(), "expired".into()],
            every: Duration::from_millis(1),
            cap: Duration::from_millis(3),
            patience: Duration::from_secs(60),
        },
        rows: ReportRows::Endpoint { path: "/reports/{report}/rows".into(), query: texts(&[]), server: None },
    });
    bench
}

impl Bench {
    async fn creations(&self) -> Vec<Creation> {
        let state = State::open(&self.folder.path().join("state.sqlite")).await.expect("a state");
        state.creations("test").await.expect("creations")
    }

    fn keys_sent(&self) -> Vec<String> {
        self.server.headers("idempotency-key")
    }

    /// What was asked for: method and target.
    fn calls(&self) -> Vec<String> {
        let first = |request: &String| request.split(" HTTP/").next().expect("a line").to_owned();
        self.server.requests().iter().map(first).collect()
    }

    /// Lets a run send `requests` and kills it then; the last answer does not come.
    async fn killed_after(&self, unit: &Unit, requests: usize) {
        let fetch = self.opened().await;
        let (killed, wanted) = (fetch.clone(), unit.clone());
        let run = tokio::spawn(async move { killed.unit(&wanted, &CancellationToken::new()).await });
        while self.server.requests().len() < requests {
            assert!(!run.is_finished(), "it ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        run.abort();
        assert!(run.await.expect_err("killed").is_cancelled());
    }
}

fn the_unit() -> Unit {
    unit(&[account("1", "UTC")])
}

fn rows() -> Reply {
    one_row()
}

#[tokio::test]
async fn a_report_is_made_waited_for_and_read_page_by_page() {
    let script = vec![
        made("r1"),
        is("pending"),
        is("running"),
        is("done"),
        Reply::ok(&page(&[("a", 1), ("b", 2)], "p2")),
        Reply::ok(&page(&[("c", 3)], "")),
    ];
    let bench = bench(script).await;
    let slice = bench.run(&the_unit()).await.expect("a slice");
    assert_eq!(clicks(&slice), [("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 3)]);
    assert_eq!((slice.requests, slice.pages), (6, 2));
    let poll = "GET /reports/r1";
    let rows = ["GET /reports/r1/rows", "GET /reports/r1/rows?after=p2"];
    assert_eq!(bench.calls(), ["POST /reports", poll, poll, poll, rows[0], rows[1]]);
    let [creation] = &bench.creations().await[..] else { panic!("one creation") };
    assert_eq!(bench.keys_sent(), [creation.key.as_str()]);
    assert_eq!((creation.made.as_deref(), &creation.end), (Some("r1"), &CreationEnd::Open), "until it is staged");
}

#[tokio::test]
async fn every_retry_of_its_making_carries_the_same_key() {
    // Of each it cannot be known whether it made the report.
    let lost = vec![Reply::status(500), Reply::reset(), made("r1").cut(3), Reply::status(503)];
    let mut bench = bench(lost.into_iter().chain([made("r1"), is("done"), rows()]).collect()).await;
    bench.pipeline.retry.attempts = 9;
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 7);
    let keys = bench.keys_sent();
    assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (5, 1), "{keys:?}");
}

#[tokio::test]
async fn its_key_is_written_down_before_it_is_sent_and_sent_again_after_a_crash() {
    let bench = bench(vec![Reply::Stall(vec![]), made("r1"), is("done"), rows()]).await;
    bench.killed_after(&the_unit(), 1).await;
    let [creation] = &bench.creations().await[..] else { panic!("one creation") };
    assert_eq!((bench.keys_sent(), &creation.made), (vec![creation.key.clone()], &None));
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 3);
    assert_eq!(bench.keys_sent(), [creation.key.clone(), creation.key.clone()]);
}

#[tokio::test]
async fn a_report_that_an_earlier_run_made_is_adopted_with_its_window() {
    let mut bench = bench(vec![made("r1"), is("running"), Reply::Stall(vec![]), is("done"), rows()]).await;
    bench.clock = Clock::Fixed(at("2026-11-20T09:10:00Z"));
    bench.killed_after(&the_unit(), 3).await;
    bench.clock = Clock::Fixed(at("2026-11-20T12:00:00Z"));
    let slice = bench.run(&the_unit()).await.expect("a slice");
    assert_eq!(bench.keys_sent().len(), 1, "it is not made again");
    assert_eq!(slice.fetched_at, at("2026-11-20T09:10:00Z"));
    let closed = window("2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z");
    assert_eq!(slice.window, closed, "the hour that was open then is not in it");
}

#[tokio::test]
async fn a_duplicate_is_adopted() {
    let said = br#"{"code":"DUPLICATE","message":"Duplicate of r77."}"#;
    let mut bench = bench(vec![Reply::new(409, &[], said), is("done"), rows()]).await;
    let id = IdSource::Text { path: path("message"), after: "duplicate of ".into() };
    bench.pipeline.responses = vec![rule(&[409], "DUPLICATE", ResponseAction::Adopt { id })];
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 3);
    assert_eq!(bench.calls()[1..], ["GET /reports/r77", "GET /reports/r77/rows"]);
    assert_eq!(bench.creations().await[0].made.as_deref(), Some("r77"));
}

#[tokio::test]
async fn what_cannot_be_adopted_is_no_endless_question() {
    let conflict = || Reply::new(409, &[], br#"{"code":"DUPLICATE","id":"r2"}"#);
    let mut bench = bench(vec![made("r1"), conflict(), is("done")]).await;
    let action = ResponseAction::Adopt { id: IdSource::Path(path("id")) };
    bench.pipeline.responses = vec![rule(&[409], "DUPLICATE", action)];
    let failure = bench.run(&the_unit()).await.expect_err("no status");
    assert_eq!(failure.to_string(), "a report's status cannot be adopted");
    assert_eq!(bench.calls().len(), 2);
}

#[tokio::test]
async fn a_report_that_failed_is_made_anew_with_another_key_three_times_at_most() {
    let once = |id: &str| [made(id), is("running"), is("failed")];
    let bench = bench(once("r1").into_iter().chain([made("r2"), is("done"), rows()]).collect()).await;
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 6);
    let keys = bench.keys_sent();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    let rounds: Vec<u32> = bench.creations().await.iter().map(|creation| creation.round).collect();
    assert_eq!(rounds, [1, 2]);

    let bench = self::bench(["r1", "r2", "r3"].into_iter().flat_map(once).collect()).await;
    let failure = bench.run(&the_unit()).await.expect_err("in vain");
    assert_eq!(failure.to_string(), "report r3 is failed: 3 reports were made in vain");
    let creations = bench.creations().await;
    assert_eq!(creations.len(), 3, "none is begun that is not sent");
    assert!(creations.iter().all(|creation| matches!(creation.end, CreationEnd::GivenUp { .. })), "{creations:?}");
    assert_eq!(bench.keys_sent().iter().collect::<BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn a_report_that_is_gone_is_made_anew_and_its_rows_are_forgotten() {
    let first = [made("r1"), is("done"), Reply::ok(&page(&[("a", 1), ("b", 1)], "p2")), Reply::status(410)];
    // The later page's refusal may be its token's: read again from the first page, of the same report.
    let again = [is("done"), Reply::status(410), made("r2"), is("done"), Reply::ok(&page(&[("a", 7)], ""))];
    let bench = bench(first.into_iter().chain(again).collect()).await;
    let slice = bench.run(&the_unit()).await.expect("a slice");
    assert_eq!((clicks(&slice), slice.pages), (vec![("a".to_owned(), 7)], 1));
    assert_eq!(slice.page_starts, [0]);
    assert_eq!(bench.keys_sent().len(), 2);
    let bench = self::bench(vec![made("r1"), Reply::status(404), made("r2"), is("done"), rows()]).await;
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 5, "unknown when asked after");
}

#[tokio::test]
async fn a_token_that_died_makes_no_new_report() {
    let first = [made("r1"), is("done"), Reply::ok(&page(&[("a", 1), ("b", 1)], "p2")), Reply::status(400)];
    let again = [is("done"), Reply::ok(&page(&[("a", 1), ("b", 1)], "p2")), Reply::ok(&page(&[("c", 1)], ""))];
    let bench = bench(first.into_iter().chain(again).collect()).await;
    let slice = bench.run(&the_unit()).await.expect("a slice");
    assert_eq!((clicks(&slice).len(), slice.pages), (3, 2));
    assert_eq!(bench.keys_sent().len(), 1);
}

#[tokio::test]
async fn patience_ends() {
    let mut bench = bench((0..6).map(|n| if n % 2 == 0 { made("r1") } else { is("running") }).collect()).await;
    bench.pipeline.report.as_mut().expect("a report").poll.patience = Duration::ZERO;
    let failure = bench.run(&the_unit()).await.expect_err("in vain");
    assert_eq!(failure.to_string(), "report r1 is running after 0s: 3 reports were made in vain");
}

#[test]
fn questions_come_less_and_less_often() {
    let (every, cap) = (Duration::from_secs(2), Duration::from_secs(10));
    let waits: Vec<f64> = std::iter::successors(Some(every), |wait| Some(super::super::report::next_wait(cap, *wait)))
        .take(6)
        .map(|wait| wait.as_secs_f64())
        .collect();
    assert_eq!(waits, [2.0, 3.0, 4.5, 6.75, 10.0, 10.0]);
}

#[tokio::test]
async fn a_status_may_be_a_truth_or_a_number() {
    let mut bench = bench(vec![
        Reply::ok(r#"{"report_id":77}"#),
        Reply::ok(r#"{"status":false}"#),
        Reply::ok(r#"{"status":true}"#),
        rows(),
    ])
    .await;
    bench.pipeline.report.as_mut().expect("a report").poll.done = vec!["true".into()];
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 4);
    assert_eq!(bench.calls()[1], "GET /reports/77");
}

#[tokio::test]
async fn too_much_for_one_report_is_made_as_two() {
    for refused_at in 0..3 {
        let too_much = || Reply::new(400, &[], br#"{"code":"TOO_MUCH"}"#);
        let mut script: Vec<Reply> =
            [made("r0"), is("done")].into_iter().take(refused_at).chain([too_much()]).collect();
        script.extend([made("r1"), is("done"), Reply::ok(&page(&[("a", 1)], ""))]);
        let later = page(&[("a", 2)], "").replace("08:00", "09:00");
        script.extend([made("r2"), is("done"), Reply::ok(&later)]);
        let mut bench = bench(script).await;
        bench.pipeline.responses = vec![rule(&[400], "TOO_MUCH", ResponseAction::Split)];
        let slice = bench.run(&the_unit()).await.expect("a slice");
        assert_eq!(keys(&slice).len(), 2, "refused at {refused_at}");
        let keys = bench.keys_sent();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "another body has another key: {keys:?}");
        let bodies: Vec<String> = bench
            .server
            .requests()
            .iter()
            .filter_map(|r| Some(r.split_once("\r\n\r\n")?.1.to_owned()))
            .filter(|body| !body.is_empty())
            .collect();
        assert!(bodies[bodies.len() - 2].contains("09:00") && bodies[bodies.len() - 1].contains("10:00"), "{bodies:?}");
    }
}

#[tokio::test]
async fn who_is_gone_while_a_report_is_waited_for_is_left_out() {
    let gone = Reply::new(403, &[], br#"{"code":"REVOKED","message":"revoked"}"#);
    let mut bench = bench(vec![made("r1"), gone]).await;
    bench.pipeline.responses = vec![rule(&[403], "REVOKED", ResponseAction::SkipAccount)];
    let failure = bench.run(&the_unit()).await.expect_err("gone");
    assert!(matches!(&failure, UnitFailure::Gone(all) if all.len() == 1), "{failure}");
}

#[tokio::test]
async fn rows_that_are_answered_at_once_have_a_key_for_each_page() {
    let pages =
        || [Reply::ok(&page(&[("a", 1), ("b", 1)], "p2")), Reply::status(500), Reply::ok(&page(&[("c", 1)], ""))];
    let killed = [Reply::ok(&page(&[("a", 1), ("b", 1)], "p2")), Reply::Stall(vec![])];
    let bench = creates(Bench::new(killed.into_iter().chain(pages()).collect()).await);
    bench.killed_after(&the_unit(), 2).await;
    assert_eq!(bench.run(&the_unit()).await.expect("a slice").requests, 3);
    let keys = bench.keys_sent();
    assert_eq!(
        [&keys[0], &keys[1], &keys[1]],
        [&keys[2], &keys[3], &keys[4]],
        "after the crash as before it: {keys:?}"
    );
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn chunks_of_campaigns_keep_their_keys_after_a_restart() {
    let list = Listing {
        method: Method::Get,
        secrets: vec![],
        body: Body::None,
        server: None,
        id_after: None,
        path: "/campaigns".into(),
        query: texts(&[]),
        pagination: pages(PaginationKind::None),
        records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: None,
        every: Duration::ZERO,
        verbatim: false,
    };
    let listed = || Reply::ok(r#"{"items":[{"id":"a"},{"id":"b"}]}"#);
    let killed = [listed(), Reply::ok(&page(&[("a", 1)], "")), Reply::Stall(vec![])];
    let after = [listed(), Reply::ok(&page(&[("a", 1)], "")), Reply::ok(&page(&[("b", 1)], ""))];
    let mut bench = creates(Bench::new(killed.into_iter().chain(after).collect()).await);
    bench.pipeline.campaigns = Some(for_ids(list));
    bench.pipeline.request.campaigns_per_request = 1;
    bench.pipeline.request.body = Body::Json(serde_json::json!({"campaigns": "{campaigns}"}));
    bench.killed_after(&the_unit(), 3).await;
    assert_eq!(clicks(&bench.run(&the_unit()).await.expect("a slice")).len(), 2);
    let keys = bench.keys_sent();
    assert_eq!([&keys[0], &keys[1]], [&keys[2], &keys[3]], "{keys:?}");
    assert_ne!(keys[0], keys[1]);
}

/// A report whose rows are at a URL that the platform gives when it is done.
async fn behind_url(script: Vec<Reply>) -> Bench {
    let mut bench = bench(script).await;
    let report = bench.pipeline.report.as_mut().expect("a report");
    report.rows = ReportRows::Url(path("url"));
    report.poll.method = Method::Post;
    report.poll.path = "/poll".into();
    report.poll.body = Body::Json(serde_json::json!({"Id": "{report}"}));
    bench.pipeline.pagination = pages(PaginationKind::None);
    bench
}

fn done_at(url: &str) -> Reply {
    Reply::ok(&format!(r#"{{"status":"done","url":{url}}}"#))
}

#[tokio::test]
async fn rows_behind_a_url_are_asked_for_without_credentials() {
    let files = Server::start(vec![one_row()]).await;
    let url = format!("\"{}/file?sig=s3cret\"", files.base());
    let mut bench = behind_url(vec![made("r1"), is("pending"), done_at(&url)]).await;
    bench.pipeline.api.servers = vec![("files".into(), files.base().parse().expect("a URL"))];
    let slice = bench.opened().await.unit(&the_unit(), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(clicks(&slice), [("a".to_owned(), 1)]);
    assert_eq!(bench.calls(), ["POST /reports", "POST /poll", "POST /poll"]);
    assert!(bench.server.requests()[1].ends_with(r#"{"Id":"r1"}"#));
    assert_eq!(files.targets(), ["/file?sig=s3cret"]);
    assert_eq!(files.headers("authorization"), Vec::<String>::new());
}

#[tokio::test]
async fn a_report_without_a_url_has_no_rows() {
    for nothing in ["null", "\"\""] {
        let bench = behind_url(vec![made("r1"), done_at(nothing)]).await;
        let slice = bench.run(&the_unit()).await.expect("a slice");
        assert_eq!((slice.rows.num_rows(), slice.pages), (0, 0));
    }
}

#[tokio::test]
async fn an_expired_url_is_asked_for_anew_once() {
    let files = Server::start(vec![Reply::status(403), one_row(), Reply::status(403), Reply::status(404)]).await;
    let url = format!("\"{}/file\"", files.base());
    let script = vec![made("r1"), done_at(&url), done_at(&url)];
    let mut bench = behind_url(script).await;
    let named = vec![("files".into(), files.base().parse().expect("a URL"))];
    bench.pipeline.api.servers = named.clone();
    bench.opened().await.unit(&the_unit(), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(files.targets().len(), 2);

    // Twice in a row: the report is lost, and another is made.
    let mut bench = behind_url(vec![made("r2"), done_at(&url), done_at(&url), made("r3"), done_at("null")]).await;
    bench.pipeline.api.servers = named;
    let slice = bench.opened().await.unit(&the_unit(), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(slice.rows.num_rows(), 0);
    assert_eq!(bench.calls(), ["POST /reports", "POST /poll", "POST /poll", "POST /reports", "POST /poll"]);
    let keys = bench.keys_sent();
    assert_ne!(keys[0], keys[1], "another report has another key");
}

#[tokio::test]
async fn a_url_that_is_not_https_and_nobody_s_is_not_followed() {
    let bench = behind_url(vec![made("r1"), done_at("\"http://files.test/x?sig=s3cret\"")]).await;
    let failure = bench.run(&the_unit()).await.expect_err("a failure").to_string();
    assert!(failure.starts_with("the URL of a report's rows is not https"), "{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
}
