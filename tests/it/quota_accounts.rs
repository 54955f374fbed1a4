//! Limits of single accounts under a limit of the app.

use super::sandbox::{Api, Sandbox, assert_same};
use super::story::*;

/// Many accounts of 24 rows a day, three requests an hour each.
fn many(count: &str) -> Api {
    let rows = ["--zones", "UTC", "--campaigns", "1", "--dense", "--accounts", count];
    let api = api(&[&rows[..], &["--app-quota", "60/1s", "--account-quota", "3/1h", "--penalty", "30s"]].concat());
    assert_eq!(truth_of_day(&api).len(), 24 * count.parse::<usize>().expect("a count"));
    api
}

fn declared(api: &Api) -> Sandbox {
    let sandbox = Sandbox::new(api, Some(NOW));
    declare(&sandbox, &[("app", "app", 60, "1s", "strict = true"), ("account", "account", 3, "1h", "")]);
    sandbox
}

/// The day `date` of November in three pages of eight rows each.
fn run(sandbox: &Sandbox, date: u32, more: &[&str], code: i32) -> super::sandbox::Ran {
    let (from, to) = (format!("2026-11-{date}"), format!("2026-11-{}", date + 1));
    let set = ["--set", "request.accounts_per_request=1", "--set", "pagination.page_size=8", "--workers", "16"];
    let backfill = ["backfill", "demo", "--from", &from, "--to", &to];
    sandbox.run(&[&backfill[..], &set, more].concat()).expect_code(code)
}

#[test]
fn every_account_uses_exactly_what_it_has() {
    let api = many("80");
    let sandbox = declared(&api);
    run(&sandbox, 18, &[], 0);
    assert_kept(&api, &[60]);
    assert_eq!((metrics(&api), highest(&api, "account")), (240, vec![3]), "{}", api.stats());
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));

    // Nothing is left: the next run sends nothing for any of them and says when there will be something.
    let ran = run(&sandbox, 17, &[], 3);
    assert_eq!(metrics(&api), 240, "{}", ran.err);
    // All of the first three were sent within a few seconds, and nothing is free before the first is an hour old.
    let told = status(&sandbox)["last_run"]["resume_at"].as_str().expect("a moment").to_owned();
    let told: chrono::DateTime<chrono::Utc> = told.parse().expect("a moment");
    let now: chrono::DateTime<chrono::Utc> = NOW.parse().expect("a moment");
    let wait = (told - now).num_seconds();
    assert!((3500..=3600).contains(&wait), "{wait} s: {}", ran.err);
    assert_eq!(numbers(&ran, "units")[..2], [0, 0], "{}", ran.err);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn accounts_that_have_used_up_theirs_hold_nobody_back() {
    let api = many("20");
    let sandbox = declared(&api);
    run(&sandbox, 18, &["--accounts", "100001,100002,100003"], 0);
    assert_eq!(metrics(&api), 9);
    let ran = run(&sandbox, 17, &[], 3);
    assert_eq!(metrics(&api), 9 + 17 * 3, "{}", ran.err);
    assert_eq!(numbers(&ran, "units")[..2], [17, 0], "{}", ran.err);
    assert_kept(&api, &[60]);
    let mut expected = api.truth("2026-11-17T00:00:00Z", "2026-11-18T00:00:00Z");
    let spent = ["100001", "100002", "100003"];
    expected.retain(|key, _| !spent.contains(&key.0.as_str()));
    expected.extend(truth_of_day(&api).into_iter().filter(|(key, _)| spent.contains(&key.0.as_str())));
    assert_same(&sandbox.lake("demo"), &expected);
}
