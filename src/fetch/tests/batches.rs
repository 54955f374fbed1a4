//! Several accounts' requests in one: each answer by itself.

use serde_json::{Value, json};

use super::*;
use crate::pipeline::Batch;

/// The relative URLs of the batches that were sent.
fn batches(bench: &Bench) -> Vec<Vec<String>> {
    let urls = |request: &String| {
        let (_, body) = request.split_once("\r\n\r\n").expect("a body");
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        assert_eq!(form[0].0, "batch");
        let items: Vec<Value> = serde_json::from_str(&form[0].1).expect("an array");
        items.iter().map(|item| item["relative_url"].as_str().expect("a URL").to_owned()).collect()
    };
    bench.server.requests().iter().map(urls).collect()
}

fn item(code: u16, body: &str) -> Value {
    json!({"code": code, "headers": [{"name": "X-Usage", "value": "1"}], "body": body})
}

fn reply(items: &[Value]) -> Reply {
    Reply::ok(&Value::from(items).to_string())
}

/// Rows of an account say whose they are.
fn rows_of(id: &str, campaign: &str, next: &str) -> String {
    let row = format!(r#"{{"account":"{id}","campaign":"{campaign}","hour":"2026-11-20T08:00:00Z","clicks":1}}"#);
    format!(r#"{{"rows":[{row}],"next":"{next}"}}"#)
}

async fn bench(script: Vec<Reply>) -> Bench {
    let mut bench = Bench::new(script).await;
    bench.pipeline.request.query = texts(&[]);
    bench.pipeline.request.batch = Some(Batch { path: "/".into(), size: 3, param: "batch".into() });
    bench.pipeline.request.accounts_per_request = 10;
    bench.pipeline.identity.account = Some(path("account"));
    bench
}

fn accounts(ids: &[&str]) -> Vec<Account> {
    ids.iter().map(|id| account(id, "UTC")).collect()
}

fn found(slice: &Slice) -> Vec<(String, String)> {
    keys(slice).into_iter().map(|(account, campaign, _)| (account, campaign)).collect()
}

#[tokio::test]
async fn every_account_has_its_own_answer_and_its_own_pages() {
    let script = vec![
        reply(&[item(200, &rows_of("1", "a", "p2")), item(200, &rows_of("2", "b", "")), item(200, r#"{"rows":[]}"#)]),
        reply(&[item(200, &rows_of("4", "d", "")), item(200, &rows_of("1", "c", ""))]),
    ];
    let bench = bench(script).await;
    let slice = bench.run(&unit(&accounts(&["1", "2", "3", "4"]))).await;
    let slice = slice.expect("a slice");
    let expected = [("1", "a"), ("1", "c"), ("2", "b"), ("4", "d")];
    assert_eq!(found(&slice), expected.map(|(account, campaign)| (account.to_owned(), campaign.to_owned())));
    assert_eq!((slice.requests, slice.pages), (2, 5));
    let first = ["accounts/1/rows", "accounts/2/rows", "accounts/3/rows"];
    assert_eq!(batches(&bench), [&first[..], &["accounts/4/rows", "accounts/1/rows?after=p2"]]);
}

#[tokio::test]
async fn only_what_failed_is_sent_again() {
    let broken = r#"{"error":"internal"}"#;
    let script = vec![
        reply(&[item(500, broken), item(200, &rows_of("2", "b", "")), Value::Null]),
        reply(&[item(200, &rows_of("1", "a", "")), item(200, &rows_of("3", "c", ""))]),
    ];
    let bench = bench(script).await;
    let slice = bench.run(&unit(&accounts(&["1", "2", "3"]))).await.expect("a slice");
    assert_eq!(found(&slice).len(), 3);
    let mut again = batches(&bench)[1..].concat();
    again.sort();
    assert_eq!(again, ["accounts/1/rows", "accounts/3/rows"]);
}

#[tokio::test]
async fn an_answer_that_fails_for_good_fails_the_unit() {
    let bad = item(400, r#"{"error":{"message":"no such field"}}"#);
    let bench = bench(vec![reply(&[item(200, &rows_of("1", "a", "")), bad])]).await;
    let failure = bench.run(&unit(&accounts(&["1", "2"]))).await.expect_err("a failure");
    assert_eq!(failure.to_string(), "HTTP 400: no such field");
    let null = || reply(&[Value::Null]);
    let bench = self::bench(vec![null(), null(), null()]).await;
    let failure = bench.run(&unit(&accounts(&["1"]))).await.expect_err("a failure");
    let expected = "the batch came back without an answer to this request (after 3 attempts)";
    assert_eq!(failure.to_string(), expected);
}

#[tokio::test]
async fn a_limit_of_one_account_keeps_only_that_one_back() {
    let script =
        vec![reply(&[item(200, &rows_of("1", "a", "")), item(429, "{}")]), reply(&[item(200, &rows_of("2", "b", ""))])];
    let mut bench = bench(script).await;
    bench.pipeline.responses =
        vec![rule(&[429], "", ResponseAction::Throttled { scope: Some(Scope::Account), wait: vec![] })];
    let slice = bench.run(&unit(&accounts(&["1", "2"]))).await.expect("a slice");
    assert_eq!(found(&slice).len(), 2);
    assert_eq!(batches(&bench)[1], ["accounts/2/rows"]);
}

#[tokio::test]
async fn an_account_that_is_gone_leaves_the_others() {
    let script = vec![
        reply(&[item(200, &rows_of("1", "a", "")), item(403, r#"{"code":"gone"}"#)]),
        reply(&[item(200, &rows_of("1", "a", ""))]),
    ];
    let mut bench = bench(script).await;
    bench.pipeline.responses = vec![rule(&[403], "gone", ResponseAction::SkipAccount)];
    let slice = bench.run(&unit(&accounts(&["1", "2"]))).await.expect("a slice");
    assert_eq!(found(&slice), [("1".to_owned(), "a".to_owned())]);
    assert_eq!(slice.gone.len(), 1);
    assert_eq!(slice.gone[0].account, "2");
}

#[tokio::test]
async fn a_batch_counts_for_as_many_requests_as_it_holds() {
    let answer = |ids: &[&str]| {
        let items: Vec<Value> = ids.iter().map(|id| item(200, &rows_of(id, "a", ""))).collect();
        reply(&items)
    };
    let mut bench = bench(vec![answer(&["1", "2", "3"]), answer(&["4"])]).await;
    let mut quota = crate::request::tests::quota("app", 100, Duration::from_secs(3600), Scope::App);
    quota.burst = 100;
    bench.pipeline.quotas = vec![quota];
    let fetch = bench.opened().await;
    fetch.unit(&unit(&accounts(&["1", "2", "3", "4"])), &CancellationToken::new()).await.expect("a slice");
    let [used] = &fetch.quotas().uses()[..] else { panic!("one limit") };
    assert_eq!(used.used, 4, "{used:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_batch_is_asked_for_again() {
    let one = || reply(&[item(200, &rows_of("1", "a", ""))]);
    let bench = bench(vec![Reply::ok("{}"), one(), reply(&[])]).await;
    bench.run(&unit(&accounts(&["1"]))).await.expect("a slice");
    assert_eq!(bench.server.requests().len(), 2);
}
