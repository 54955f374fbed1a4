//! The lake's sums against the platform's daily totals: what is the same, what differs by how much, what is incomplete.

use serde_json::{Value, json};

use super::sandbox::{Api, Ran, Sandbox};
use super::story::*;

/// Long after all days below: nothing moves any more.
const LATER: &str = "2026-12-20T12:00:00Z";
/// Berlin has a day of 25 hours among the dates below, and India's hours begin at half past.
const ZONES: &[&str] = &["--accounts", "3", "--campaigns", "3", "--zones", "Europe/Berlin,Asia/Kolkata,UTC"];
const DATES: &[&str] = &["--from", "2026-10-24", "--to", "2026-10-27"];
const BERLIN: &str = "100001";
const KOLKATA: &str = "100002";

/// An API, and a lake with all hours of [`DATES`].
fn backfilled(more: &[&str]) -> (Api, Sandbox) {
    let arguments = [ZONES, &["--clock", LATER], more].concat();
    let api = Api::start(&arguments);
    let sandbox = Sandbox::new(&api, Some(LATER));
    sandbox.run(&quick(&[&["backfill", "demo"], DATES].concat())).expect_code(0);
    (api, sandbox)
}

fn reconcile(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.run(&[&["reconcile", "demo"], DATES, more].concat())
}

/// The only document of `reconcile --format json`.
fn document(sandbox: &Sandbox, more: &[&str], code: i32) -> Value {
    let ran = reconcile(sandbox, &[more, &["--format", "json"]].concat()).expect_code(code);
    let mut all: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    all[0].take()
}

#[test]
fn a_settled_backfill_differs_in_nothing() {
    let (api, sandbox) = backfilled(&[]);
    let before = (contents(&sandbox), requests(&api, "accounts"));
    let ran = reconcile(&sandbox, &[]).expect_code(0);
    assert_eq!(ran.out, "demo: 9 account-days compared, none differs\n");
    // One request for each clock; the list of accounts is known.
    assert_eq!(requests(&api, "daily"), 3);
    assert_eq!((contents(&sandbox), requests(&api, "accounts")), before);

    let days = sandbox.run(&[
        "query",
        "select count(*) as n from demo where account_id = '100001' and \
        cast(local_hour as date) = date '2026-10-25' and extract(hour from local_hour) = 2",
        "--format",
        "csv",
    ]);
    let count: u32 = days.expect_code(0).out.lines().nth(1).and_then(|line| line.parse().ok()).expect("a count");
    assert!(count > 3, "both hours of two o'clock are in the sum: {count}");

    let pages =
        reconcile(&sandbox, &["--set", "reconcile.pagination.page_size=1", "--set", "reconcile.days_per_request=2"]);
    assert_eq!(pages.expect_code(0).out, ran.out);
    assert_eq!(requests(&api, "daily"), 3 + 9, "a row a page, and whole units of two days and of one");
}

#[test]
fn faults_of_the_report_are_retried() {
    let (api, sandbox) = backfilled(&[]);
    let faults = json!({"rate": 0.5, "streak": 2, "path": "/v1/daily",
        "kinds": ["5xx", "truncated-json", "duplicate-rows", "empty-page", "null-data", "error-in-200"]});
    api.post("/sim/faults", &faults.to_string());
    let ran =
        reconcile(&sandbox, &["--set", "retry.base=10ms", "--set", "reconcile.pagination.page_size=2"]).expect_code(0);
    assert_eq!(ran.out, "demo: 9 account-days compared, none differs\n");
}

#[test]
fn a_difference_is_listed_with_exact_numbers() {
    let (api, sandbox) = backfilled(&[]);
    let sum = |column: &str, account: &str, date: &str| {
        let sql = format!(
            "select sum({column}) as s from demo where account_id = '{account}' and cast(local_hour as date) = date '{date}'"
        );
        let ran = sandbox.run(&["query", &sql, "--format", "csv"]).expect_code(0);
        ran.out.lines().nth(1).expect("a sum").parse::<f64>().expect("a number")
    };
    let (spend, clicks) = (sum("spend", BERLIN, "2026-10-25"), sum("clicks", KOLKATA, "2026-10-24"));
    // A twentieth more than is true, and five clicks fewer.
    let extra = (spend * 5.0).floor() / 100.0;
    let body = json!({"daily_extra": [{"date": "2026-10-25", "spend_micros": (extra * 1e6).round() as i64}]});
    api.post(&format!("/sim/accounts/{BERLIN}"), &body.to_string());
    api.post(&format!("/sim/accounts/{KOLKATA}"), r#"{"daily_extra":[{"date":"2026-10-24","clicks":-5}]}"#);

    let found = document(&sandbox, &[], 9);
    let counts =
        ["compared", "same", "differing", "incomplete", "unread", "too_young"].map(|name| found[name].as_u64());
    assert_eq!(counts, [9, 7, 2, 0, 0, 0].map(Some), "{found}");
    let days = found["days"].as_array().expect("days");
    assert_eq!(
        (&days[0]["account_id"], &days[0]["date"], &days[0]["state"]),
        (&json!(KOLKATA), &json!("2026-10-24"), &json!("differs"))
    );
    let expected = json!([{"metric": "clicks", "lake": clicks.to_string(), "platform": (clicks - 5.0).to_string(),
        "difference": "5", "percent": (5.0e6 / (clicks - 5.0)).round() / 1e4, "tolerance": ["0"]}]);
    assert_eq!(days[0]["metrics"], expected);
    let metric = &days[1]["metrics"][0];
    assert_eq!(
        (&days[1]["account_id"], &metric["metric"], &metric["tolerance"]),
        (&json!(BERLIN), &json!("spend"), &json!(["0.5%"]))
    );
    let number = |name: &str| metric[name].as_str().expect("text").parse::<f64>().expect("a number");
    assert!((number("lake") - spend).abs() < 1e-6 && (number("platform") - spend - extra).abs() < 1e-6, "{metric}");
    assert!((number("difference") + extra).abs() < 1e-6, "{metric}");

    let text = reconcile(&sandbox, &[]).expect_code(9).out;
    assert!(text.starts_with("demo: 9 account-days compared, 2 differ\n"), "{text}");
    let line = text.lines().find(|line| line.contains(KOLKATA)).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..4], [KOLKATA, "2026-10-24", "clicks", &clicks.to_string()]);
    assert_eq!((words[5], words.len()), ("5", 8), "{line}");

    // Within the tolerance nothing differs.
    let wide = ["--set", "reconcile.metrics.spend.tolerance=6%", "--set", "reconcile.metrics.clicks.tolerance=5"];
    reconcile(&sandbox, &wide).expect_code(0);
    let either = ["--set", "reconcile.metrics.spend.tolerance=[\"0.1%\", \"100000000\"]"];
    let clicks_only = ["--accounts", BERLIN];
    reconcile(&sandbox, &[&either[..], &clicks_only].concat()).expect_code(0);
    reconcile(&sandbox, &["--accounts", "100003"]).expect_code(0);
}

#[test]
fn a_day_with_missing_hours_is_incomplete() {
    let (api, sandbox) = backfilled(&[]);
    let more = ["reconcile", "demo", "--from", "2026-10-23", "--to", "2026-10-25"];
    let ran = sandbox.run(&more).expect_code(0);
    assert_eq!(
        ran.out,
        "demo: 3 account-days compared, none differs, 3 incomplete\n\
         \x20 incomplete  100001  2026-10-23  24 of 24 hours are missing\n\
         \x20 incomplete  100002  2026-10-23  24 of 24 hours are missing\n\
         \x20 incomplete  100003  2026-10-23  24 of 24 hours are missing\n"
    );
    // Hours that are kept back are read as empty; with a lake that lacks some of a day the day is not compared.
    let other = Sandbox::new(&api, Some("2026-10-25T18:40:00Z"));
    api.post("/sim/clock", r#"{"now":"2026-10-25T18:40:00Z"}"#);
    other.run(&quick(&["run", "demo", "--set", "window.history=1d"])).expect_code(0);
    api.post("/sim/clock", &json!({"now": LATER}).to_string());
    let later = Sandbox::new(&api, Some(LATER));
    copy(&other.path().join("data"), &later.path().join("data"));
    let day = ["reconcile", "demo", "--from", "2026-10-25", "--to", "2026-10-26", "--accounts", BERLIN];
    let ran = later.run(&day).expect_code(0);
    assert_eq!(
        ran.out,
        "demo: no day could be compared, 1 incomplete\n\
         \x20 incomplete  100001  2026-10-25  5 of 25 hours are missing\n"
    );
}

#[test]
fn only_settled_days_are_compared() {
    let (_api, sandbox) = backfilled(&[]);
    let day = ["reconcile", "demo", "--from", "2026-12-14", "--to", "2026-12-19", "--format", "json"];
    let found: Value = serde_json::from_str(&sandbox.run(&day).expect_code(0).out).expect("JSON");
    // At noon of the 20th the days up to the 16th have been over for three days.
    assert_eq!((found[0]["incomplete"].as_u64(), found[0]["too_young"].as_u64()), (Some(9), Some(6)), "{found}");
    let ran = sandbox.run(&["reconcile", "--accounts", BERLIN]).expect_code(0);
    let dates: Vec<&str> = ran.out.lines().filter_map(|line| line.split_whitespace().nth(2)).skip(1).collect();
    let expected: Vec<String> = (10..=16).map(|day| format!("2026-12-{day}")).collect();
    assert_eq!(dates, expected, "the last seven");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let (api, sandbox) = backfilled(&[]);
    let ran = reconcile(&sandbox, &["--accounts", "7"]).expect_code(2);
    assert!(ran.err.contains("pipeline `demo` has no account `7`"), "{}", ran.err);
    let ran = sandbox.run(&["reconcile", "demo", "--from", "2026-10-24", "--to", "2026-10-24"]).expect_code(2);
    assert!(ran.err.contains("--from 2026-10-24 is not before --to 2026-10-24"), "{}", ran.err);
    api.post(&format!("/sim/accounts/{BERLIN}"), r#"{"revoked":true}"#);
    let found = document(&sandbox, &[], 1);
    assert_eq!((found["same"].as_u64(), found["unread"].as_u64()), (Some(6), Some(3)), "{found}");
    assert!(found["failed"][0]["reason"].as_str().expect("why").contains("403"), "{found}");

    let fresh = Sandbox::new(&api, Some(LATER));
    let ran = reconcile(&fresh, &[]).expect_code(2);
    assert!(ran.err.contains("nothing has run yet"), "{}", ran.err);
    let path = fresh.path().join("pipelines/demo.toml");
    let text = std::fs::read_to_string(&path).expect("the pipeline");
    let (before, rest) = text.split_once("[reconcile]").expect("the table");
    let (_, after) = rest.split_once("\n[[quotas]]").expect("the next table");
    std::fs::write(&path, format!("{before}\n[[quotas]]{after}")).expect("the pipeline");
    let ran = fresh.run(&["reconcile"]).expect_code(2);
    assert!(ran.err.contains("no pipeline names a report"), "{}", ran.err);
}

#[test]
fn a_run_and_a_comparison_share_the_quotas_and_never_meet() {
    let quota = ["--app-quota", "16/1h", "--penalty", "30s"];
    let api = Api::start(&[ZONES, &["--clock", LATER], &quota].concat());
    let sandbox = Sandbox::new(&api, Some(LATER));
    declare(&sandbox, &[("app", "app", 16, "1h", "")]);
    let set = ["--set", "request.accounts_per_request=1", "--set", "retry.max_wait=2s"];
    let backfill = [&["backfill", "demo"], DATES, &["--set", "pagination.page_size=500"], &set].concat();
    sandbox.run(&backfill).expect_code(0);
    let used = api.stats()["requests"].as_u64().expect("a count");
    assert!((4..=14).contains(&used), "{used}");
    // What is left is used up, and not one request more.
    let each = ["--set", "reconcile.days_per_request=1", "--set", "retry.max_wait=2s"];
    let ran = reconcile(&sandbox, &each).expect_code(3);
    assert!(ran.out.contains("come back at"), "{}", ran.out);
    assert_eq!((api.stats()["requests"].as_u64(), refusals(&api)), (Some(16), (0, 0)));
    let ran = sandbox.run(&[&["backfill", "demo", "--again"], DATES, &set].concat()).expect_code(3);
    assert_eq!(api.stats()["requests"].as_u64(), Some(16), "{}", ran.err);

    // While a run is under way there is nothing to compare.
    let lock = std::fs::File::open(sandbox.path().join("data/state.db.demo.lock")).expect("the lock");
    lock.lock().expect("it is free");
    let ran = reconcile(&sandbox, &[]).expect_code(4);
    assert!(ran.err.contains("pipeline `demo` is being run by"), "{}", ran.err);
}
