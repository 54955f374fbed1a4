//! Requests that create something: made once, whatever breaks.

use std::time::Duration;

use serde_json::Value;

use super::sandbox::{Api, Sandbox, assert_same};
use super::story::*;

const REPORT: &str = r#"
[report]
id = "report_id"

[report.poll]
path = "/v1/reports/{report}"
status = "status"
done = "done"
failed = ["failed", "expired"]
every = "10ms"
cap = "50ms"

[report.rows]
path = "/v1/reports/{report}/rows"

# A report that failed has an error beside its status.
[[responses]]
status = 200
path = "status"
equals = ["failed", "expired"]
action = "ok"

[[responses]]
status = 409
path = "error.code"
equals = "DUPLICATE"
action = "adopt"
id = "error.report_id"
"#;

/// The demo's pipeline by way of reports, two accounts in each.
fn sandbox(api: &Api) -> Sandbox {
    let sandbox = Sandbox::new(api, Some(NOW));
    sandbox.edit(
        "[request]\npath = \"/v1/metrics\"",
        "[request]\nmethod = \"POST\"\npath = \"/v1/reports\"\ncreates = true",
    );
    sandbox.edit("accounts_per_request = 10 ", "accounts_per_request = 2 ");
    sandbox.edit("join = \"comma\"", "join = \"array\"");
    sandbox.edit("[request.query]", "[request.json]");
    sandbox.edit("fields = \"campaign_name,impressions,clicks,spend_micros,conversions,actions,updated_at\"\n", "");
    sandbox.edit("requests = 20\n", "requests = 400\n");
    add(&sandbox, REPORT);
    sandbox
}

fn backfill() -> Vec<&'static str> {
    let backfill = ["backfill", "demo", "--from", "2026-11-10", "--to", "2026-11-13", "--workers", "3"];
    [&backfill[..], &["--set", "retry.base=5ms", "--set", "pagination.page_size=100"]].concat()
}

fn reports(api: &Api) -> Value {
    api.stats()["reports"].clone()
}

fn count(reports: &Value, name: &str) -> u64 {
    reports[name].as_u64().expect("a count")
}

/// A fifth of all requests fails, some after the work was done, and the process is killed again and again.
fn broken_again_and_again(duplicates: &str, seed: &str) {
    let world = ["--zones", "UTC", "--accounts", "6", "--campaigns", "4", "--seed", seed];
    let faults = ["--fault-rate", "0.2", "--duplicate-reports", duplicates, "--latency", "2ms..20ms"];
    let api = api(&[&world[..], &faults].concat());
    let sandbox = sandbox(&api);
    for pause in [150, 350, 550] {
        let running = Running::start(sandbox.command(&backfill()));
        std::thread::sleep(Duration::from_millis(pause));
        running.kill();
    }
    // The next creating requests do their work, and then their answers are lost.
    api.post("/sim/faults", r#"{"next":["lost"]}"#);
    sandbox.run(&backfill()).expect_code(0);
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"));
    let seen = reports(&api);
    // Three pairs of accounts on three days.
    assert_eq!((count(&seen, "created"), count(&seen, "most_per_key")), (9, 1), "{seen}");
    assert_eq!((count(&seen, "without_key"), count(&seen, "reuse_refused")), (0, 0), "{seen}");
}

#[test]
fn a_report_is_made_once_whatever_breaks() {
    for seed in ["3", "4"] {
        broken_again_and_again("answer", seed);
    }
}

#[test]
fn a_report_that_is_there_already_is_adopted() {
    broken_again_and_again("conflict", "5");
}

#[test]
fn a_lost_answer_to_a_creation_is_asked_for_again_with_the_same_key() {
    for (duplicates, told) in [("answer", "replayed"), ("conflict", "conflicts")] {
        let world = ["--zones", "UTC", "--accounts", "2", "--campaigns", "2", "--duplicate-reports", duplicates];
        let api = api(&world);
        let sandbox = sandbox(&api);
        // `lost` is a 500 or a reset after the work was done.
        api.post("/sim/faults", r#"{"path":"/v1/reports","next":["lost","lost"]}"#);
        sandbox.run(&backfill()).expect_code(0);
        let seen = reports(&api);
        assert_eq!((count(&seen, "created"), count(&seen, "most_per_key")), (3, 1), "{seen}");
        assert!(count(&seen, told) >= 1, "{duplicates}: {seen}");
        assert_same(&sandbox.lake("demo"), &api.truth("2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"));
    }
}

#[test]
fn a_report_that_a_killed_process_had_made_is_read_and_not_made_again() {
    let world = ["--zones", "UTC", "--accounts", "2", "--campaigns", "2", "--report-time", "1500ms"];
    let api = api(&world);
    let sandbox = sandbox(&api);
    let running = Running::start(sandbox.command(&backfill()));
    wait_until("all are made and asked after", || {
        count(&reports(&api), "created") == 3 && count(&reports(&api), "polls") >= 3
    });
    running.kill();
    let before = requests(&api, "create_report");
    sandbox.run(&backfill()).expect_code(0);
    assert_eq!(requests(&api, "create_report"), before, "{}", reports(&api));
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"));
}

#[test]
fn reports_that_fail_are_made_anew_under_another_key() {
    let world = ["--zones", "UTC", "--accounts", "8", "--campaigns", "2", "--report-fail-share", "0.25"];
    let api = api(&world);
    let sandbox = sandbox(&api);
    sandbox.run(&backfill()).expect_code(0);
    let seen = reports(&api);
    assert!(count(&seen, "created") > 12, "none failed: {seen}");
    assert_eq!((count(&seen, "most_per_key"), count(&seen, "without_key")), (1, 0), "{seen}");
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-10T00:00:00Z", "2026-11-13T00:00:00Z"));
}
