//! What was restated is told once, and earlier answers can be had again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::sandbox::{Api, Sandbox};
use super::story::*;

const ALL: &str = "select * from demo order by hour, account_id, campaign_id";
const VIEW: &str = "select * from campaign_hours order by hour, account_id, campaign_id";
const LOG: &str =
    "select hour, account_id, campaign_id, metric, old, new, change, seen_at, old_seen_at, age_seconds, date
    from demo__restatements order by hour, account_id, campaign_id, seen_at, metric, change, old, new";

fn csv(sandbox: &Sandbox, sql: &str, more: &[&str]) -> Vec<String> {
    let ran = sandbox.run(&[&["query", sql, "--format", "csv"], more].concat()).expect_code(0);
    ran.out.lines().map(str::to_owned).collect()
}

/// Asserts that two answers are the same line by line, and shows a few differences where they are not.
#[track_caller]
fn assert_lines(found: &[String], expected: &[String], what: &str) {
    if found == expected {
        return;
    }
    let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) = (found.iter().collect(), expected.iter().collect());
    let extra: Vec<_> = ours.difference(&theirs).take(4).collect();
    let lacking: Vec<_> = theirs.difference(&ours).take(4).collect();
    panic!("{what}: {} lines, expected {}\nextra: {extra:#?}\nlacking: {lacking:#?}", found.len(), expected.len());
}

/// The same folder at a later moment, on the API's clock too.
fn later(api: &Api, sandbox: &Sandbox, now: &str) -> Sandbox {
    api.post("/sim/clock", &format!(r#"{{"now":"{now}"}}"#));
    copied(api, sandbox, now)
}

fn copied(api: &Api, sandbox: &Sandbox, now: &str) -> Sandbox {
    let next = Sandbox::new(api, Some(now));
    copy(&sandbox.path().join("data"), &next.path().join("data"));
    next
}

fn intents(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.lake_path().join("_staged/demo__restatements")).map_or(0, Iterator::count)
}

#[test]
fn every_earlier_answer_can_be_had_again() {
    let api = api(&["--accounts", "2", "--campaigns", "25", "--zones", "UTC,Asia/Kolkata"]);
    let mut runs: Vec<(&str, Sandbox)> = Vec::new();
    for now in [NOW, "2026-11-20T14:00:00Z", "2026-11-21T14:10:00Z", "2026-11-25T14:10:00Z"] {
        let sandbox = match runs.last() {
            None => Sandbox::new(&api, Some(now)),
            Some((_, before)) => later(&api, before, now),
        };
        sandbox.run(&quick(&["run", "demo"])).expect_code(0);
        assert_eq!(intents(&sandbox), 0);
        runs.push((now, sandbox));
    }
    let (_, last) = runs.last().expect("a run");
    for (index, (now, then)) in runs.iter().enumerate() {
        for sql in [ALL, VIEW] {
            let expected = csv(then, sql, &[]);
            assert_lines(&csv(last, sql, &["--as-of", now]), &expected, now);
            assert!(expected.len() > 1000, "{} lines", expected.len());
        }
        // Until the next run nothing else was known.
        let before_next = runs.get(index + 1).map(|(next, _)| format!("{}T00:00:00Z", &next[..10]));
        if let Some(moment) = before_next.filter(|moment| moment.as_str() > *now) {
            assert_lines(&csv(last, ALL, &["--as-of", &moment]), &csv(then, ALL, &[]), &moment);
        }
    }
    assert_eq!(csv(last, ALL, &["--as-of", "2026-11-20"]).len(), 1, "nothing was known at midnight but the header");
    assert_lines(&csv(last, ALL, &["--as-of", "2027-01-01"]), &csv(last, ALL, &[]), "the future");

    let log = csv(last, LOG, &[]);
    assert_eq!(log.iter().collect::<BTreeSet<_>>().len(), log.len(), "an event is there twice");
    let ran = last.run(&["changes", "--since", NOW, "--format", "json", "--top", "5"]).expect_code(0);
    let document: Value = serde_json::from_str(&ran.out).expect("JSON");
    let count = |what: &str| document["totals"][0][what].as_u64().expect("a count");
    assert!(count("restated") > 300 && count("added") > 3 && count("removed") > 3, "{document}");
    assert_eq!((count("kept"), document["moved"].as_array().map(Vec::len)), (0, Some(5)));
    assert_changes_follow_from_answers(&document, runs[0].1.lake("demo"), last.lake("demo"));
    let ran = last.run(&["changes", "demo", "--since", NOW, "--metric", "spend", "--top", "2"]).expect_code(0);
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.out);
    assert!(ran.out.starts_with(&format!("demo: {} rows restated, ", count("restated"))), "{}", ran.out);
}

/// The difference of a line is that of the two lakes, over the hours that the first run knew.
fn assert_changes_follow_from_answers(document: &Value, before: super::sandbox::Rows, after: super::sandbox::Rows) {
    let last_known = before.keys().map(|key| key.2).max().expect("rows");
    for moved in document["moved"].as_array().expect("lines") {
        let day: chrono::NaiveDate = moved["day"].as_str().expect("a day").parse().expect("a date");
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
        if moved["metric"] != "impressions" || midnight + 86_400 > last_known {
            continue;
        }
        let sum = |rows: &super::sandbox::Rows| -> i64 {
            let of = |key: &super::sandbox::Key| {
                moved["account_id"] == key.0.as_str()
                    && moved["campaign_id"] == key.1.as_str()
                    && (midnight..midnight + 86_400).contains(&key.2)
            };
            rows.iter().filter(|(key, _)| of(key)).map(|(_, values)| values.0).sum()
        };
        assert_eq!(moved["difference"].as_i64(), Some(sum(&after) - sum(&before)), "{moved}");
    }
}

const LATER: &str = "2026-11-21T14:10:00Z";
const KEEP: (&str, &str) = ("missing = \"drop\"\nmax_dropped_share = 0.5", "missing = \"keep\"");

#[test]
fn a_run_that_is_killed_again_and_again_tells_everything_once() {
    let api = api(&["--accounts", "4", "--campaigns", "6", "--latency", "8ms", "--seed", "5"]);
    let first = Sandbox::new(&api, Some(NOW));
    first.run(&quick(&["run", "demo"])).expect_code(0);
    api.post("/sim/clock", &format!(r#"{{"now":"{LATER}"}}"#));
    let arguments = quick(&["run", "demo", "--workers", "2"]);
    for keep in [false, true] {
        let prepared = || {
            let sandbox = copied(&api, &first, LATER);
            if keep {
                sandbox.edit(KEEP.0, KEEP.1);
            }
            sandbox
        };
        let undisturbed = prepared();
        undisturbed.run(&arguments).expect_code(0);
        let expected = csv(&undisturbed, LOG, &[]);
        let kept = expected.iter().filter(|line| line.contains(",kept,")).count();
        assert!(expected.len() > 100 && (kept > 0) == keep, "{} lines, {kept} kept", expected.len());

        let torn = prepared();
        let mut kills = 0;
        for pause in [20, 60, 100, 140, 180, 220, 260, 300, 340, 380, 420, 460] {
            let running = Running::start(torn.command(&arguments));
            std::thread::sleep(std::time::Duration::from_millis(pause));
            kills += u64::from(running.kill().code.is_none());
        }
        torn.run(&arguments).expect_code(0);
        assert!(kills > 3, "{kills} kills");
        assert_lines(&csv(&torn, LOG, &[]), &expected, "the log");
        assert_lines(&csv(&torn, ALL, &[]), &csv(&undisturbed, ALL, &[]), "the rows");
        assert_lines(&csv(&torn, ALL, &["--as-of", NOW]), &csv(&first, ALL, &[]), "the rows before");
        assert_eq!((intents(&torn), staged(&torn)), (0, Vec::new()));
        let log = |sandbox: &Sandbox| sandbox.files("demo__restatements").len();
        assert_eq!(log(&torn), log(&undisturbed));
    }
}

#[test]
fn a_kill_while_the_log_is_written_loses_and_doubles_nothing() {
    let api = api(&["--accounts", "4", "--campaigns", "6", "--seed", "6"]);
    let first = Sandbox::new(&api, Some(NOW));
    first.run(&quick(&["run", "demo"])).expect_code(0);
    api.post("/sim/clock", &format!(r#"{{"now":"{LATER}"}}"#));
    let arguments = quick(&["run", "demo", "--workers", "2"]);
    let undisturbed = copied(&api, &first, LATER);
    undisturbed.run(&arguments).expect_code(0);
    let expected = csv(&undisturbed, LOG, &[]);
    let mut caught = BTreeMap::new();
    for attempt in 0..4 {
        let torn = copied(&api, &first, LATER);
        let running = Running::start(torn.command(&arguments));
        // Every other time at the first sign of an intent, else at the first file of the log.
        let log = torn.lake_path().join("demo__restatements");
        wait_until("the log is written", || {
            if attempt % 2 == 0 { intents(&torn) > 0 || log.exists() } else { log.exists() }
        });
        let killed = running.kill().code.is_none();
        *caught.entry((killed, intents(&torn) > 0)).or_insert(0) += 1;
        torn.run(&arguments).expect_code(0);
        assert_lines(&csv(&torn, LOG, &[]), &expected, "the log");
        assert_eq!((intents(&torn), staged(&torn)), (0, Vec::new()));
    }
    assert!(caught.keys().any(|(killed, _)| *killed), "no run was caught: {caught:?}");
}

#[test]
fn a_lake_in_which_nothing_was_restated_has_no_log() {
    let api = api(&["--accounts", "2", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    for _ in 0..2 {
        sandbox.run(&quick(&["run", "demo"])).expect_code(0);
        assert!(!sandbox.lake_path().join("demo__restatements").exists());
        assert!(!sandbox.lake_path().join("_staged/demo__restatements").exists());
    }
    let ran = sandbox.run(&["changes", "--since", "2026-11-01"]).expect_code(0);
    assert_eq!(ran.out, "demo: 0 rows restated, 0 added, 0 removed, 0 kept\n");
    assert_eq!(csv(&sandbox, "select count(*) as n from demo__restatements", &[]), ["n", "0"]);
    let wrong = sandbox.run(&["changes", "--since", "yesterday"]).expect_code(2);
    assert!(wrong.err.contains("expected an instant such as 2026-11-20T12:00:00Z, or a date"), "{}", wrong.err);
}
