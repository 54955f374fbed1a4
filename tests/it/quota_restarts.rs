//! Quotas over several processes: one after the other, killed, and side by side.

use std::time::Duration;

use super::sandbox::{Api, Sandbox, assert_same};
use super::story::*;

const ZONES: &[&str] = &["--zones", "UTC", "--campaigns", "1"];

fn all(api: &Api) -> u64 {
    api.stats()["requests"].as_u64().expect("a count")
}

/// A backfill of the day `date` of November, in a process of its own.
fn short_run(sandbox: &Sandbox, date: u32, code: i32) -> String {
    let (from, to) = (format!("2026-11-{date}"), format!("2026-11-{}", date + 1));
    let set = ["--set", "request.accounts_per_request=1", "--set", "retry.max_wait=2s"];
    let backfill = ["backfill", "demo", "--from", &from, "--to", &to, "--workers", "4"];
    sandbox.run(&[&backfill[..], &set].concat()).expect_code(code).err
}

/// Three processes as cron starts them, and a fourth, with a limit of 30 that none of them may pass.
fn three_in_a_row(server: &str, declared: (&str, &str)) {
    let quota = ["--accounts", "12", "--app-quota", server, "--penalty", "30s"];
    let api = api(&[ZONES, &quota].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("app", "app", 30, declared.0, declared.1)]);
    short_run(&sandbox, 18, 0);
    short_run(&sandbox, 17, 0);
    assert!(all(&api) <= 26);
    let told = short_run(&sandbox, 16, 3);
    assert_eq!(all(&api), 30, "all of it is used, and no more: {told}");
    assert!(told.contains("come back at"), "{told}");
    assert!(told.contains("waits for quota"), "{told}");
    let told = short_run(&sandbox, 16, 3);
    assert_eq!(all(&api), 30, "{told}");
    assert_kept(&api, &[30]);
    let published = sandbox.lake("demo").into_keys().collect::<Vec<_>>();
    let expected = api.truth("2026-11-16T00:00:00Z", "2026-11-19T00:00:00Z");
    assert!(published.iter().all(|key| expected.contains_key(key)));
}

#[test]
fn three_processes_under_a_sliding_limit_are_as_one() {
    three_in_a_row("30/1h", ("1h", ""));
}

#[test]
fn three_processes_under_a_fixed_limit_are_as_one() {
    three_in_a_row("30/1d@fixed", ("1d", "window = \"fixed\""));
}

#[test]
fn three_processes_under_a_limit_of_each_account_are_as_one() {
    let api = api(&[ZONES, &["--accounts", "12", "--account-quota", "2/1h", "--penalty", "30s"]].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("account", "account", 2, "1h", "")]);
    short_run(&sandbox, 18, 0);
    short_run(&sandbox, 17, 0);
    assert_eq!(metrics(&api), 24);
    let told = short_run(&sandbox, 16, 3);
    assert_eq!(metrics(&api), 24, "{told}");
    assert_eq!(refusals(&api), (0, 0));
    assert!(highest(&api, "account").iter().all(|seen| *seen == 2), "{}", api.stats());
}

/// Kills the backfill at each of `moments`, in milliseconds after its start, and then lets it come to its end.
fn killed_at(moments: &[u64], server: &[&str], more: &str) {
    let quota = ["--accounts", "60", "--app-quota", "15/1s,40/3s", "--penalty", "30s"];
    let api = api(&[ZONES, &quota, server].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    declare(&sandbox, &[("short", "app", 15, "1s", more), ("long", "app", 40, "3s", more)]);
    let backfill = day(&["--workers", "8"]);
    for pause in moments {
        let running = Running::start(sandbox.command(&backfill));
        std::thread::sleep(Duration::from_millis(*pause));
        running.kill();
    }
    let killed_after = metrics(&api);
    assert!((1..60).contains(&killed_after), "it was through before it was killed: {killed_after}");
    sandbox.run(&backfill).expect_code(0);
    assert_kept(&api, &[15, 40]);
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
}

#[test]
fn a_killed_process_has_used_what_it_sent() {
    killed_at(&[400, 150, 700, 90, 250], &[], "strict = true");
}

#[test]
fn requests_whose_answers_a_killed_process_never_saw_count_too() {
    killed_at(&[350, 500, 120, 800], &["--latency", "20ms..150ms"], "strict = true");
}

#[test]
fn two_pipelines_draw_from_one_limit_at_the_same_time() {
    let quota = ["--accounts", "40", "--app-quota", "40/2s", "--penalty", "30s", "--latency", "5ms..30ms"];
    let api = api(&[ZONES, &quota].concat());
    let sandbox = Sandbox::new(&api, Some(NOW));
    let shared = "[quotas.agency]\nrequests = 40\nper = \"2s\"\nstrict = true\n";
    std::fs::write(sandbox.path().join("hourmark.toml"), shared).expect("the settings");
    sandbox.edit("name = \"app\"\nrequests = 20\nper = \"1s\"\n", "shared = \"agency\"\n");
    let other = sandbox.path().join("pipelines/other.toml");
    std::fs::copy(sandbox.path().join("pipelines/demo.toml"), other).expect("another pipeline");
    let start = |pipeline: &str| {
        let range = ["--from", "2026-11-18", "--to", "2026-11-19", "--workers", "8"];
        let one = ["--set", "request.accounts_per_request=1"];
        Running::start(sandbox.command(&[&["backfill", pipeline], &range[..], &one].concat()))
    };
    let (one, two) = (start("demo"), start("other"));
    one.end().expect_code(0);
    two.end().expect_code(0);
    assert_kept(&api, &[40]);
    assert_eq!(metrics(&api), 80);
    for pipeline in ["demo", "other"] {
        assert_same(&sandbox.lake(pipeline), &truth_of_day(&api));
    }
}
