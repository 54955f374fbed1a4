//! Two runs at once, and runs that are asked to stop.

use super::sandbox::{Sandbox, assert_same};
use super::story::*;

#[test]
fn of_two_runs_the_second_names_the_first_and_a_killed_one_holds_nothing() {
    let api = api(&["--accounts", "2", "--campaigns", "2", "--latency", "600ms"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let first = Running::start(sandbox.command(&["run", "demo"]));
    wait_until("the first run is at work", || metrics(&api) > 0);

    for second in [&["run", "demo"][..], &["backfill", "demo", "--from", "2026-11-01", "--to", "2026-11-02"]] {
        let sent = requests(&api, "accounts");
        let ran = sandbox.run(second).expect_code(4);
        let named = format!("pipeline `demo` is being run by process {} on ", first.id());
        assert!(ran.err.contains(&named), "{}", ran.err);
        assert!(ran.err.contains("since 2026-11-20 12:00:00Z"), "{}", ran.err);
        assert_eq!(requests(&api, "accounts"), sent, "the second run asked the platform for something");
    }
    // Looking is free.
    sandbox.run(&["status", "demo"]).expect_code(0);

    first.kill();
    sandbox.run(&["run", "demo"]).expect_code(0);
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
}

#[cfg(unix)]
#[test]
fn a_stopped_backfill_ends_at_a_page_boundary_with_its_work_kept() {
    let api = api(&["--accounts", "3", "--campaigns", "2", "--latency", "60ms"]);
    let backfill = quick(&["backfill", "demo", "--from", "2026-11-08", "--to", "2026-11-16", "--workers", "2"]);
    let reference = Sandbox::new(&api, Some(NOW));
    reference.run(&backfill).expect_code(0);
    let needed = metrics(&api);

    let sandbox = Sandbox::new(&api, Some(NOW));
    let running = Running::start(sandbox.command(&backfill));
    wait_until("a few units are done", || metrics(&api) - needed >= 7);
    running.stop();
    let ran = running.end().expect_code(8);
    assert!(ran.err.contains("stopped, all done work is kept"), "{}", ran.err);
    let sent = metrics(&api) - needed;
    // Seven were seen; two workers may have had one more each under way, before and after the signal came.
    assert!((7..=7 + 6).contains(&sent), "{sent} requests before it stopped");
    let done = numbers(&ran, "units")[0];
    assert!(done >= 5, "{}", ran.err);
    assert_eq!(staged(&sandbox), Vec::<String>::new(), "what was staged is published before it ends");
    assert_eq!(status(&sandbox)["last_run"]["outcome"], "stopped");

    sandbox.run(&backfill).expect_code(0);
    assert_eq!(metrics(&api) - needed - sent, needed - done, "the next run fetched what was missing and no more");
    assert_same(&sandbox.lake("demo"), &reference.lake("demo"));
}

#[cfg(unix)]
#[test]
fn a_run_that_waits_stops_at_once() {
    let api = api(&["--accounts", "3", "--campaigns", "1", "--app-quota", "2/1h", "--penalty", "50s"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let run = quick(&["run", "demo", "--workers", "2", "--set", "retry.max_wait=3h"]);
    let running = Running::start(sandbox.command(&run));
    wait_until("it was refused", || api.stats()["refused_429"].as_u64() > Some(0));
    let sent = metrics(&api);
    running.stop();
    let ran = running.end().expect_code(8);
    assert_eq!(numbers(&ran, "units")[0], 1, "{}", ran.err);
    assert!(metrics(&api) <= sent + 1, "it went on asking");
}

#[cfg(unix)]
#[test]
fn a_schedule_runs_at_its_start_and_ends_when_it_is_told() {
    let api = api(&["--accounts", "2", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let running = Running::start(sandbox.command(&["schedule", "demo"]));
    wait_until("its first run is through", || {
        published(&sandbox).len() == 4 && status(&sandbox)["last_run"]["outcome"] == "done"
    });
    running.stop();
    let ran = running.end().expect_code(0);
    assert!(ran.err.contains("demo: hourly run done"), "{}", ran.err);
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
    assert_eq!(numbers(&sandbox.run(&["run", "demo"]).expect_code(0), "units")[0], 0);
}

#[cfg(unix)]
#[test]
fn a_schedule_stops_in_the_middle_of_a_run() {
    let api = api(&["--accounts", "3", "--campaigns", "2", "--latency", "60ms"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let schedule = quick(&["schedule", "demo", "--workers", "1"]);
    let running = Running::start(sandbox.command(&schedule));
    wait_until("a few units are done", || metrics(&api) >= 4);
    running.stop();
    let ran = running.end().expect_code(0);
    assert!(ran.err.contains("stopped, all done work is kept"), "{}", ran.err);
    assert_eq!(staged(&sandbox), Vec::<String>::new());
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
}

#[cfg(unix)]
#[test]
fn pipelines_that_a_stop_kept_from_running_are_not_called_done() {
    let api = api(&["--accounts", "2", "--campaigns", "2", "--latency", "60ms"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let pipelines = sandbox.path().join("pipelines");
    std::fs::copy(pipelines.join("demo.toml"), pipelines.join("zz_later.toml")).expect("a second pipeline");
    let running = Running::start(sandbox.command(&quick(&["run", "--workers", "1"])));
    wait_until("the first pipeline is at work", || metrics(&api) >= 2);
    running.stop();
    running.end().expect_code(8);
    assert!(!sandbox.lake_path().join("zz_later").exists());
    sandbox.run(&quick(&["run"])).expect_code(0);
    let expected = api.truth(FIRST, SETTLED);
    assert_same(&sandbox.lake("demo"), &expected);
    assert_same(&sandbox.lake("zz_later"), &expected);
}
