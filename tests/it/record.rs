//! `--record` and `cassette export --fixtures`: from one run to fixtures that the tests of platforms accept.

use std::path::Path;

use crate::platforms::harness;
use crate::platforms::scenario::{Case, Fixtures, cases};
use crate::sandbox::{Api, Ran, Sandbox};

const NOW: &str = "2026-11-20T12:00:00Z";

/// Small pages, so that there are several.
const FLAGS: [&str; 4] = ["--set", "pagination.page_size=20", "--set", "window.history=1d"];

fn api() -> Api {
    Api::start(&["--accounts", "3", "--campaigns", "3", "--zones", "Asia/Kolkata,America/New_York", "--clock", NOW])
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    sandbox.run(&[arguments, &FLAGS].concat()).expect_code(0)
}

/// The first of the commands that the run says.
fn said(ran: &Ran, begins: &str) -> Vec<String> {
    let line = ran.err.lines().find(|line| line.trim().starts_with(begins)).unwrap_or_else(|| panic!("{}", ran.err));
    line.trim().split(' ').skip(1).map(str::to_owned).collect()
}

fn exported(sandbox: &Sandbox, ran: &Ran, more: &[&str]) -> Fixtures {
    let command = said(ran, "hourmark cassette export");
    let command: Vec<&str> = command.iter().map(String::as_str).chain(more.iter().copied()).collect();
    run(sandbox, &command);
    Fixtures {
        name: "demo".to_owned(),
        pipeline: sandbox.path().join("pipelines/demo.toml"),
        folder: sandbox.path().join("tests/fixtures/demo"),
    }
}

fn problems(fixtures: &Fixtures) -> String {
    let all = cases(fixtures);
    let [case]: &[Case; 1] = all.as_slice().try_into().expect("one scenario");
    harness::run(case).join("\n")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_recorded_run_says_where_its_responses_are() {
    let api = api();
    let sandbox = Sandbox::new(&api, Some(NOW));
    let ran = run(&sandbox, &["run", "demo", "--record"]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[0-9a-f]{16}", "[unit]");
    settings.add_filter(r"\d+\.\d+ kB|\d+ kB", "[size]");
    let told = ran.err.lines().skip_while(|line| !line.contains("responses  ")).collect::<Vec<_>>().join("\n");
    settings.bind(|| {
        insta::assert_snapshot!(told, @"
    responses  5 cassettes, [size], in `data/lake/_raw/demo`, without secrets
      hourmark cassette list demo
      hourmark cassette export [unit] --fixtures tests/fixtures/demo
      hourmark cassette export [unit] --fixtures tests/fixtures/demo
      hourmark cassette export [unit] --fixtures tests/fixtures/demo
      ... and 1 more units
    ")
    });
    // Another run without it keeps nothing, and removes nothing.
    let listed = sandbox.run(&["cassette", "list", "demo"]).expect_code(0).out;
    run(&sandbox, &["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19"]);
    assert_eq!(sandbox.run(&["cassette", "list", "demo"]).expect_code(0).out, listed);
}

#[test]
fn what_a_backfill_was_answered_becomes_fixtures_that_hold() {
    let api = api();
    let sandbox = Sandbox::new(&api, Some(NOW));
    let backfill =
        ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--accounts", "100001", "--record"];
    let ran = run(&sandbox, &backfill);
    let fixtures = exported(&sandbox, &ran, &[]);
    drop(api);
    let names = names(&fixtures.folder);
    for name in ["accounts.json", "metrics.json", "last_page.json", "day.toml", "day.csv"] {
        assert!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
    }
    assert_eq!(problems(&fixtures), "");
    // They hold for the file as it is now, and not for another.
    sandbox.edit("limit\"\n\n[records]", "size\"\n\n[records]");
    assert!(problems(&fixtures).contains("query: not expected: size = `20`"), "{}", problems(&fixtures));
    // Nothing is overwritten.
    let command = said(&ran, "hourmark cassette export");
    let again = sandbox.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).expect_code(2);
    assert!(again.err.contains("accounts.json` is there already"), "{}", again.err);
}

#[test]
fn what_a_run_was_answered_becomes_fixtures_without_names() {
    let api = api();
    let sandbox = Sandbox::new(&api, Some(NOW));
    let ran = run(&sandbox, &["run", "demo", "--record", "--set", "request.accounts_per_request=1"]);
    let fixtures = exported(&sandbox, &ran, &["--anonymous", "--set", "request.accounts_per_request=1"]);
    for path in names(&fixtures.folder) {
        let text = std::fs::read_to_string(fixtures.folder.join(&path)).expect("a file");
        for id in ["100001", "100002", "100003"] {
            assert!(!text.contains(id), "{path} names {id}: {text}");
        }
    }
    assert_eq!(problems(&fixtures), "");
}
