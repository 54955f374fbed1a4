//! Quotas as the server sees them: what is declared is kept to, and what was not is learnt.

use serde_json::Value;

use super::sandbox::{Sandbox, assert_same};
use super::story::*;

const ZONES: &[&str] = &["--zones", "UTC", "--campaigns", "1"];

/// On a busy machine requests may be on their way for longer than a limit's margin.
const ROOM: &str = "safety = 0.9";
/// The same for tests that are about something else than the margin.
const STRICT: &str = "strict = true";

/// Sixty accounts, one request each, under 20 in a second, whose violation closes everything for half a minute.
fn sixty_accounts(server: &[&str], more: &str) {
    let quota = ["--accounts", "60", "--app-quota", "20/1s", "--penalty", "30s", "--count-refused"];
    let api = api(&[ZONES, &quota, server].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("app", "app", 20, "1s", more)]);
    let ran = sandbox.run(&day(&["--workers", "16"])).expect_code(0);
    assert_kept(&api, &[20]);
    assert_eq!(metrics(&api), 60);
    assert_eq!(numbers(&ran, "requests"), [61, 0, 0]);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn sixty_accounts_under_a_quota_with_a_penalty_meet_no_refusal() {
    sixty_accounts(&[], ROOM);
}

#[test]
fn answers_that_scatter_widely_change_nothing() {
    sixty_accounts(&["--latency", "20ms..200ms"], ROOM);
}

#[test]
fn a_platform_that_counts_just_before_its_answer_is_kept_to_where_that_is_declared() {
    sixty_accounts(&["--latency", "20ms..200ms", "--counted-at", "1"], "strict = true");
}

#[test]
fn a_limit_in_a_second_and_one_in_three_hold_together() {
    let quota = ["--accounts", "100", "--app-quota", "30/1s,40/3s", "--penalty", "30s", "--latency", "5ms..60ms"];
    let api = api(&[ZONES, &quota].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("short", "app", 30, "1s", STRICT), ("long", "app", 40, "3s", STRICT)]);
    sandbox.run(&day(&["--workers", "16"])).expect_code(0);
    assert_kept(&api, &[30, 40]);
    assert_eq!(metrics(&api), 100);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn two_quotas_of_the_app_and_one_of_the_account_hold_together() {
    let zones = ["--zones", "UTC", "--accounts", "3", "--campaigns", "5"];
    let limits = ["--app-quota", "20/1s,24/3s", "--account-quota", "9/3s", "--penalty", "30s"];
    let api = api(&[&zones[..], &limits].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let limits =
        [("app", "app", 20, "1s", STRICT), ("long", "app", 24, "3s", STRICT), ("account", "account", 9, "3s", STRICT)];
    declare(&sandbox, &limits);
    // 12 pages for each account: more than fit in one window of any of the limits.
    sandbox.run(&day(&["--workers", "6", "--set", "pagination.page_size=10"])).expect_code(0);
    assert_kept(&api, &[20, 24]);
    assert!(highest(&api, "account")[0] <= 9, "{}", api.stats());
    assert!(metrics(&api) > 24, "{}", api.stats());
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn requests_that_weigh_more_and_kinds_of_requests_with_a_limit_of_their_own() {
    let quota =
        ["--accounts", "20", "--app-quota", "30/1s", "--endpoint-quota", "metrics=16/2s", "--weight", "metrics=3"];
    // The weight counts in each limit: a metrics request is three of the app's 30 and three of its kind's 16.
    let api = api(&[ZONES, &quota, &["--penalty", "30s"]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let weights = "weights = { metrics = 3 }\nstrict = true";
    let own = "strict = true\nweights = { metrics = 3 }\nendpoints = [\"metrics\"]";
    declare(&sandbox, &[("app", "app", 30, "1s", weights), ("metrics", "endpoint", 16, "2s", own)]);
    sandbox.run(&day(&["--workers", "8"])).expect_code(0);
    assert_kept(&api, &[30]);
    let seen = highest(&api, "endpoint");
    assert!(seen[0] > 3 && seen[0] <= 16, "{}", api.stats());
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn a_quota_lower_than_declared_is_obeyed_once_it_is_known() {
    let api = api(&[ZONES, &["--accounts", "12", "--app-quota", "6/1s", "--penalty", "1s"]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let ran = sandbox.run(&day(&["--workers", "3", "--set", "quotas.0.requests=200"])).expect_code(0);
    let stats = api.stats();
    let refused = stats["refused_429"].as_u64().expect("a count");
    // 13 requests at 6 a second: two walls to run into, each with no more than what the workers had under way.
    assert!((1..=3 * 3).contains(&refused), "{stats}");
    assert_eq!(metrics(&api), 12 + refused, "each refused request was sent again, and no other");
    assert_eq!(numbers(&ran, "requests"), [13 + refused, refused, refused]);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
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
