//! Rows that break a rule do not reach the lake, and nothing of them is lost: quarantine by command, and the key proof.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::sandbox::{Api, Ran, Rows, Sandbox, TOKEN, assert_same};
use super::story::*;

/// A server that hands requests on to a simulated API, and spoils what it answers while it is told to.
struct Between {
    url: String,
    sick: Arc<AtomicBool>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Ahead {
    api: String,
    client: reqwest::Client,
    sick: Arc<AtomicBool>,
}

impl Between {
    fn start(api: &Api) -> Between {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let sick = Arc::new(AtomicBool::new(true));
        let ahead = Ahead { api: api.url.clone(), client: reqwest::Client::new(), sick: sick.clone() };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = axum::Router::new().fallback(hand_on).with_state(ahead);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Between { url, sick, _runtime: runtime }
    }

    fn heal(&self) {
        self.sick.store(false, Ordering::Relaxed);
    }
}

async fn hand_on(State(ahead): State<Ahead>, request: Request) -> Response {
    let target = request.uri().path_and_query().expect("a path").as_str().to_owned();
    let sent = ahead.client.get(format!("{}{target}", ahead.api)).bearer_auth(TOKEN).send();
    let body = sent.await.expect("the API answers").text().await.expect("a body");
    let mut body: Value = serde_json::from_str(&body).expect("JSON");
    if target.starts_with("/v1/metrics") && ahead.sick.load(Ordering::Relaxed) {
        spoil(&mut body);
    }
    axum::Json(body).into_response()
}

/// The first row of account 100001 cost less than nothing.
fn spoil(body: &mut Value) {
    let rows = body["data"].as_array_mut().expect("rows");
    if let Some(row) = rows.iter_mut().find(|row| row["account_id"] == "100001") {
        row["spend_micros"] = json!(-5_000_000);
    }
}

const RULES: &str = "[quality.columns]\nspend = { min = 0 }\nimpressions = { not_null = true, max = 1000000000 }\n";
const DAY: &[&str] = &["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19"];

fn with_rules(url: &str, now: &str, rules: &str) -> Sandbox {
    let sandbox = Sandbox::at(url, Some(now));
    add(&sandbox, rules);
    sandbox
}

/// `quarantine list --format json`.
fn listed(sandbox: &Sandbox) -> Vec<Value> {
    let ran = sandbox.run(&["quarantine", "list", "--format", "json"]).expect_code(0);
    serde_json::from_str::<Value>(&ran.out).expect("JSON").as_array().expect("a list").clone()
}

fn command(sandbox: &Sandbox, what: &[&str]) -> Ran {
    sandbox.run(&quick(&[&["quarantine"], what].concat()))
}

/// A lake in which the day of account 100002 is published and that of account 100001 quarantined.
fn half_a_day(between: &Between) -> Sandbox {
    let sandbox = with_rules(&between.url, NOW, RULES);
    let ran = sandbox.run(&quick(DAY)).expect_code(1);
    assert_eq!(numbers(&ran, "units"), [1, 0, 2], "{}", ran.err);
    assert!(
        ran.err.contains("rows break a rule: `spend` is below 0 in 1")
            && ran.err.contains("`hourmark quarantine show demo UNIT`"),
        "{}",
        ran.err
    );
    sandbox
}

fn of_account(rows: &Rows, id: &str) -> Rows {
    rows.iter().filter(|(key, _)| key.0 == id).map(|(key, values)| (key.clone(), values.clone())).collect()
}

#[test]
fn a_unit_that_breaks_a_rule_waits_beside_the_lake() {
    let api = api(&["--accounts", "2", "--campaigns", "3", "--zones", "UTC"]);
    let between = Between::start(&api);
    let sandbox = half_a_day(&between);
    let truth = truth_of_day(&api);
    assert_same(&sandbox.lake("demo"), &of_account(&truth, "100002"));

    let [unit] = &listed(&sandbox)[..] else { panic!("one unit") };
    assert_eq!(unit["accounts"], json!(["100001"]));
    assert_eq!((&unit["from"], &unit["to"]), (&json!("2026-11-18T00:00:00Z"), &json!("2026-11-19T00:00:00Z")));
    assert_eq!(unit["rows"], of_account(&truth, "100001").len());
    let example = unit["examples"][0].as_str().expect("a row");
    assert!(example.starts_with("account 100001, campaign ") && example.ends_with("spend -5.000000 is below 0"));
    assert_eq!(status(&sandbox)["quarantined"][0]["unit"], unit["unit"]);
    let digest = unit["digest"].as_str().expect("a digest");
    let shown = sandbox.run(&["status", "demo"]).expect_code(0);
    assert!(
        shown
            .out
            .contains(&format!("quarantined  account 100001, 2026-11-18T00:00Z to 2026-11-19T00:00Z (unit {digest})"))
    );
    let shown = sandbox.run(&["quarantine", "show", "demo", digest]).expect_code(0);
    assert!(shown.out.contains(example) && shown.out.contains("-5.000000"), "{}", shown.out);
    let sent = metrics(&api);
    sandbox.run(&quick(DAY)).expect_code(0);
    assert_eq!(metrics(&api), sent, "it would only break the rule again");
    let gaps = sandbox.run(&["gaps"]);
    assert_eq!(gaps.code, Some(5), "its hours are missing");
}

#[test]
fn release_publishes_just_its_rows() {
    let api = api(&["--accounts", "2", "--campaigns", "3", "--zones", "UTC"]);
    let between = Between::start(&api);
    let sandbox = half_a_day(&between);
    let unit = listed(&sandbox)[0]["unit"].as_str().expect("a unit").to_owned();
    let (sent, truth) = (metrics(&api), truth_of_day(&api));
    let ran = command(&sandbox, &["release", "demo", &unit]).expect_code(0);
    assert_eq!(numbers(&ran, "rows")[1] as usize, of_account(&truth, "100001").len(), "{}", ran.err);
    assert_eq!((metrics(&api), listed(&sandbox).len()), (sent, 0));
    let mut expected = truth;
    let found = sandbox.lake("demo");
    let odd = found.iter().find(|(_, values)| values.2 == -5_000_000).expect("the row that broke the rule");
    expected.insert(odd.0.clone(), odd.1.clone());
    assert_same(&found, &expected);
    command(&sandbox, &["release", "demo", &unit]).expect_code(2);
    command(&sandbox, &["release", "demo", "--all"]).expect_code(0);
}

#[test]
fn refetch_brings_the_right_rows_once_the_platform_has_healed() {
    let api = api(&["--accounts", "2", "--campaigns", "3", "--zones", "UTC"]);
    let between = Between::start(&api);
    let sandbox = half_a_day(&between);
    let ran = command(&sandbox, &["refetch", "demo", "--all"]).expect_code(1);
    assert!(ran.err.contains("demo: refetch partly failed"), "{}", ran.err);
    assert_eq!(listed(&sandbox).len(), 1, "the newer reading takes the place of the older");
    between.heal();
    command(&sandbox, &["refetch", "demo", "--all"]).expect_code(0);
    assert_eq!(listed(&sandbox), Vec::<Value>::new());
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
    let left = std::fs::read_dir(sandbox.lake_path().join("_quarantine/demo")).expect("the folder").count();
    assert_eq!((left, staged(&sandbox).len()), (0, 0));
}

#[test]
fn dropped_hours_are_unread_and_asked_for_again() {
    let api = api(&["--accounts", "2", "--campaigns", "3", "--zones", "UTC"]);
    let between = Between::start(&api);
    let sandbox = half_a_day(&between);
    command(&sandbox, &["drop", "demo", "--all"]).expect_code(0);
    assert_eq!(listed(&sandbox).len(), 0);
    between.heal();
    sandbox.run(&quick(DAY)).expect_code(0);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn a_share_of_the_rows_may_break_a_rule() {
    let api = api(&["--accounts", "2", "--campaigns", "3", "--zones", "UTC"]);
    let between = Between::start(&api);
    let sandbox = with_rules(&between.url, NOW, &format!("[quality]\nmax_reject_share = 0.2\n{RULES}"));
    let ran = sandbox.run(&quick(DAY)).expect_code(0);
    assert!(ran.err.contains("quarantine 1 rows break a rule and are kept all the same"), "{}", ran.err);
    assert!(ran.err.contains("kept all the same: 1 of "), "{}", ran.err);
    assert_eq!(sandbox.lake("demo").len(), truth_of_day(&api).len());
}

/// The simulated platform credits a part of the spend back when an hour is three days old.
#[test]
fn spend_that_falls_is_not_believed_before_somebody_says_so() {
    let api = api(&["--accounts", "1", "--campaigns", "3", "--zones", "UTC"]);
    let rules = "[quality.columns]\nspend = { not_falling = true }\n";
    // The day is read when it is one day old and more, and again when it is more than three.
    api.post("/sim/clock", r#"{"now":"2026-11-20T01:00:00Z"}"#);
    let first = with_rules(&api.url, "2026-11-20T01:00:00Z", rules);
    first.run(&quick(DAY)).expect_code(0);
    let before = first.lake("demo");
    api.post("/sim/clock", r#"{"now":"2026-11-23T01:00:00Z"}"#);
    let later = with_rules(&api.url, "2026-11-23T01:00:00Z", rules);
    copy(&first.path().join("data"), &later.path().join("data"));
    let again = [&quick(DAY)[..], &["--again"]].concat();
    let ran = later.run(&again).expect_code(1);
    assert!(ran.err.contains("rows of 2026-11-18 have values below the lake's that may not fall"), "{}", ran.err);
    assert_same(&later.lake("demo"), &before);
    let [unit] = &listed(&later)[..] else { panic!("one unit") };
    assert!(unit["examples"][0].as_str().is_some_and(|row| row.contains("spend fell from ")), "{unit}");
    let truth = truth_of_day(&api);
    assert_ne!(truth, before, "nothing was credited: the test proves nothing");
    command(&later, &["release", "demo", "--all"]).expect_code(0);
    assert_same(&later.lake("demo"), &truth);
}

#[test]
fn a_row_repeated_over_a_page_boundary_is_no_undeclared_dimension() {
    let api = api(&["--accounts", "1", "--campaigns", "5", "--zones", "UTC"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    api.post("/sim/faults", r#"{"path":"/v1/metrics","next":["duplicate-rows","duplicate-rows"]}"#);
    let paged = [&quick(DAY)[..], &["--set", "pagination.page_size=20"]].concat();
    let ran = sandbox.run(&paged).expect_code(0);
    assert_eq!(api.stats()["faults"]["duplicate-rows"], 2);
    let truth = truth_of_day(&api);
    assert_eq!(numbers(&ran, "rows")[0] as usize, truth.len() + 2, "two rows came twice");
    assert_same(&sandbox.lake("demo"), &truth);
}

/// Rows of two placements, which the demo's pipeline knows nothing of.
fn by_placement(target: &str) -> Response {
    if target.starts_with("/v1/accounts") {
        let account = json!({"id": "100001", "name": "One", "timezone": "UTC", "currency": "EUR"});
        return axum::Json(json!({"data": [account], "paging": {"next": null}})).into_response();
    }
    let row = |placement: &str, clicks: i64| {
        json!({"account_id": "100001", "campaign_id": "23", "campaign_name": "Shoes", "hour": "2026-11-18T09:00:00Z",
               "impressions": clicks * 13, "clicks": clicks, "spend_micros": 1_000_000, "placement": placement})
    };
    axum::Json(json!({"data": [row("feed", 1), row("search", 3)], "paging": {"cursor": null}})).into_response()
}

#[test]
fn an_undeclared_dimension_is_shown_and_nothing_is_merged() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = |request: Request| async move { by_placement(request.uri().path()) };
    runtime.spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });

    let sandbox = Sandbox::at(&url, Some(NOW));
    let ran = sandbox.run(&quick(DAY)).expect_code(1);
    let line = ran.err.lines().find(|line| line.trim_start().starts_with("failed")).expect("a failure");
    insta::assert_snapshot!(line.trim(), @"failed     account 100001, 2026-11-18T00:00Z to 2026-11-19T00:00Z: two rows of one response have the key account 100001, campaign 23, hour 2026-11-18T09:00Z and differ: impressions 13 and 39, clicks 1 and 3: something that is not in the key sets them apart; declare it as a column and name it in `key` (fields that no column names: placement)");
    assert_eq!(published(&sandbox), Vec::<std::path::PathBuf>::new());
    assert_eq!(staged(&sandbox), Vec::<String>::new());
    assert_eq!(listed(&sandbox).len(), 0, "it failed: there is nothing to release");

    let declared = Sandbox::at(&url, Some(NOW));
    declared.edit("missing = \"drop\"", "key = [\"placement\"]\nmissing = \"drop\"");
    declared.edit("[columns]\n", "[columns]\nplacement = { type = \"text\", from = \"placement\" }\n");
    declared.run(&quick(DAY)).expect_code(0);
    let ran = declared.run(&[
        "query",
        "select placement, impressions, clicks from demo order by placement",
        "--format",
        "csv",
    ]);
    insta::assert_snapshot!(ran.expect_code(0).out, @r"
    placement,impressions,clicks
    feed,13,1
    search,39,3
    ");
}
