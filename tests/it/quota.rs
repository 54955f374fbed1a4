//! Quotas as the server sees them.

use serde_json::Value;

use super::sandbox::{Api, Sandbox, assert_same};
use super::story::*;

fn one_each(arguments: &[&'static str]) -> Vec<&'static str> {
    [arguments, &["--set", "request.accounts_per_request=1"]].concat()
}

fn day(arguments: &[&'static str]) -> Vec<&'static str> {
    let day = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19"];
    one_each(&[&day[..], arguments].concat())
}

/// The most calls that arrived in any window of each of the app's limits.
fn highest(api: &Api) -> Vec<u64> {
    let stats = api.stats();
    let limits = stats["highest_use"]["app"].as_array().expect("limits").clone();
    limits.iter().map(|limit| limit["arrived"].as_u64().expect("a count")).collect()
}

#[test]
fn sixty_accounts_under_a_quota_with_a_penalty_meet_no_429() {
    let zones = ["--zones", "UTC", "--accounts", "60", "--campaigns", "1"];
    let api = api(&[&zones[..], &["--app-quota", "20/1s", "--penalty", "30s", "--count-refused"]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    // The share leaves room for a busy machine, on which requests sent evenly may arrive in bunches.
    let ran = sandbox.run(&day(&["--workers", "16", "--set", "quotas.0.safety=0.8"])).expect_code(0);
    assert_eq!(api.stats()["refused_429"].as_u64(), Some(0), "{}", api.stats());
    assert!(highest(&api)[0] <= 20, "{}", api.stats());
    assert_eq!(metrics(&api), 60);
    assert_eq!(numbers(&ran, "requests"), [61, 0, 0]);
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z"));
}

#[test]
fn two_quotas_of_the_app_and_one_of_the_account_hold_together() {
    let zones = ["--zones", "UTC", "--accounts", "3", "--campaigns", "5"];
    let limits = ["--app-quota", "20/1s,24/3s", "--account-quota", "9/3s", "--penalty", "30s"];
    let api = api(&[&zones[..], &limits].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let more = "\n[[quotas]]\nname = \"long\"\nrequests = 24\nper = \"3s\"\nsafety = 0.8\n\n[[quotas]]\nname = \"account\"\n\
                scope = \"account\"\nrequests = 9\nper = \"3s\"\nsafety = 0.8\n\n[lake]";
    sandbox.edit("\n[lake]", more);
    // 12 pages for each account: more than fit in one window of any of the limits.
    sandbox.run(&day(&["--workers", "6", "--set", "pagination.page_size=10"])).expect_code(0);
    let stats = api.stats();
    assert_eq!(stats["refused_429"].as_u64(), Some(0), "{stats}");
    assert!(highest(&api)[0] <= 20 && highest(&api)[1] <= 24, "{stats}");
    assert!(stats["highest_use"]["account"][0]["arrived"].as_u64().expect("a count") <= 9, "{stats}");
    assert!(metrics(&api) > 24, "{stats}");
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z"));
}

#[test]
fn a_quota_lower_than_declared_is_obeyed_once_it_is_known() {
    let zones = ["--zones", "UTC", "--accounts", "12", "--campaigns", "1"];
    let api = api(&[&zones[..], &["--app-quota", "6/1s", "--penalty", "1s"]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let ran = sandbox.run(&day(&["--workers", "3", "--set", "quotas.0.requests=200"])).expect_code(0);
    let stats = api.stats();
    let refused = stats["refused_429"].as_u64().expect("a count");
    // 13 requests at 6 a second: two walls to run into, each with no more than what the workers had under way.
    assert!((1..=3 * 3).contains(&refused), "{stats}");
    assert_eq!(metrics(&api), 12 + refused, "each refused request was sent again, and no other");
    assert_eq!(numbers(&ran, "requests"), [13 + refused, refused, refused]);
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z"));
}

#[test]
fn a_wait_beyond_the_budget_ends_the_run_with_what_it_has() {
    let zones = ["--zones", "UTC", "--accounts", "8", "--campaigns", "2"];
    let api = api(&[&zones[..], &["--app-quota", "6/1s", "--penalty", "1h"]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let run: &[&str] = &["run", "demo", "--workers", "2", "--set", "quotas.0.requests=200"];
    let run = one_each(&[run, &["--set", "retry.max_wait=2s"]].concat());
    let ran = sandbox.run(&run).expect_code(3);
    assert!(ran.err.contains("come back at 2026-11-20 13:0"), "{}", ran.err);
    let refused = api.stats()["refused_429"].as_u64().expect("a count");
    assert!((1..=2).contains(&refused), "{}", api.stats());

    // Five units came through beside the list of accounts; all of them are visible.
    let expected = api.truth(FIRST, SETTLED);
    let found = sandbox.lake("demo");
    assert!(!found.is_empty() && found.iter().all(|(key, values)| expected.get(key) == Some(values)));
    assert_eq!(numbers(&ran, "units")[..2], [5, 0], "{}", ran.err);
    assert_eq!(staged(&sandbox), Vec::<String>::new());

    let shown = status(&sandbox);
    assert_eq!(shown["last_run"]["outcome"], "waiting");
    assert!(shown["last_run"]["resume_at"].as_str().is_some_and(|at| at.starts_with("2026-11-20T13:0")), "{shown}");
    let ran = sandbox.run(&["status", "demo"]).expect_code(0);
    assert!(ran.out.contains("come back at 2026-11-20 13:0"), "{}", ran.out);
    let ran = sandbox.run(&["gaps", "demo", "--format", "json"]).expect_code(5);
    let gaps: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert!(gaps[0]["reason"].as_str().is_some_and(|r| r.starts_with("waiting for quota until")), "{gaps}");

    // The next run knows what the platform said and asks for nothing, even when it was lifted meanwhile.
    api.post("/sim/quotas", r#"{"app":[],"penalty":"0s"}"#);
    let sent = requests(&api, "metrics");
    let ran = sandbox.run(&quick(&["run", "demo"])).expect_code(3);
    assert!(ran.err.contains("come back at 2026-11-20 1"), "{}", ran.err);
    assert_eq!(requests(&api, "metrics"), sent);
    sandbox.run(&["quota", "demo", "--reset"]).expect_code(0);
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_same(&sandbox.lake("demo"), &expected);
    sandbox.run(&["gaps", "demo"]).expect_code(0);
}

#[test]
fn a_list_of_accounts_that_must_wait_ends_the_run_too() {
    let api = api(&["--accounts", "1", "--app-quota", "1/1h", "--penalty", "1h"]);
    let run = ["run", "demo", "--set", "retry.max_wait=2s"];
    let first = Sandbox::new(&api, Some(NOW));
    // The list takes the one request that there is.
    first.run(&run).expect_code(3);
    let second = Sandbox::new(&api, Some(NOW));
    let ran = second.run(&run).expect_code(3);
    assert!(ran.err.contains("come back at 2026-11-20 1"), "{}", ran.err);
    assert_eq!((requests(&api, "accounts"), published(&second).len()), (2, 0));
}
