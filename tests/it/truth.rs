//! Hour after hour for two days: at every moment that is looked at the lake is what the API had said when each hour was last
//! read, whatever happened in between. `benches/truth.rs` does the same for three weeks.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::sandbox::{Api, Rows, Sandbox, assert_same};
use super::story::*;

const RUNS: i64 = 50;
/// Runs that are left out: the machine was off.
const DOWN: std::ops::Range<i64> = 28..37;
const RULE: &str =
    "[[responses]]\nstatus = 403\npath = \"error.code\"\nequals = \"ACCOUNT_REVOKED\"\naction = \"skip_account\"\n";

fn text(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// When each (account, hour) was last read, in unix seconds.
fn ledger(sandbox: &Sandbox) -> BTreeMap<(String, i64), i64> {
    let sql = "select account_id, to_unixtime(hour) h, to_unixtime(confirmed_at) c from ledger";
    let ran = sandbox.run(&["query", sql, "--format", "csv"]).expect_code(0);
    let mut known = BTreeMap::new();
    for line in ran.out.lines().skip(1) {
        let parts: Vec<&str> = line.split(',').collect();
        known.insert((parts[0].to_owned(), parts[1].parse().expect("h")), parts[2].parse().expect("c"));
    }
    known
}

/// The rows of each hour as they were when it was last read.
fn expected(api: &Api, ledger: &BTreeMap<(String, i64), i64>) -> Rows {
    let moment = |seconds: i64| text(DateTime::from_timestamp(seconds, 0).expect("a moment"));
    let mut spans: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for ((_, hour), confirmed) in ledger {
        let span = spans.entry(*confirmed).or_insert((*hour, *hour));
        *span = (span.0.min(*hour), span.1.max(*hour));
    }
    let mut rows = Rows::new();
    for (confirmed, (first, last)) in spans {
        let to = format!("{}&asof={}", moment(last + 1), moment(confirmed));
        let truth = api.truth(&moment(first), &to).into_iter();
        rows.extend(truth.filter(|(key, _)| ledger.get(&(key.0.clone(), key.2)) == Some(&confirmed)));
    }
    rows
}

/// The kinds of gaps of each account.
fn gaps(sandbox: &Sandbox) -> BTreeMap<String, Vec<String>> {
    let ran = sandbox.run(&["gaps", "demo", "--format", "json"]);
    let found: Value = serde_json::from_str(&ran.out).expect("JSON");
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for gap in found.as_array().expect("gaps") {
        let word = |name: &str| gap[name].as_str().expect("text").to_owned();
        kinds.entry(word("account_id")).or_default().push(word("kind"));
    }
    kinds
}

#[test]
fn the_lake_is_true_hour_after_hour() {
    let zones = "UTC,Asia/Kolkata,America/New_York";
    let api = api(&["--accounts", "6", "--campaigns", "6", "--zones", zones, "--dense"]);
    let start: DateTime<Utc> = "2026-11-20T00:35:00Z".parse().expect("a moment");
    let mut sandbox = Sandbox::new(&api, Some(&text(start)));
    add(&sandbox, RULE);
    let mut runs = 0;
    for step in (0..RUNS).filter(|step| !DOWN.contains(step)) {
        let now = start + TimeDelta::hours(step);
        api.post("/sim/clock", &format!(r#"{{"now":"{}"}}"#, text(now)));
        let next = Sandbox::new(&api, Some(&text(now)));
        for part in ["data", "pipelines"] {
            let from = sandbox.path().join(part);
            if from.exists() {
                copy(&from, &next.path().join(part));
            }
        }
        sandbox = next;
        match step {
            // The hour before this one is absent for ten hours.
            10 => {
                let (from, to) = (text(now - TimeDelta::minutes(95)), text(now - TimeDelta::minutes(35)));
                let until = text(now + TimeDelta::hours(10));
                let hole = format!(r#"{{"holes":[{{"from":"{from}","to":"{to}","until":"{until}"}}]}}"#);
                api.post("/sim/accounts/100001", &hole);
            }
            20 => api.post("/sim/accounts/100003", r#"{"revoked":true}"#),
            _ => {}
        }
        sandbox.run(&["run", "demo", "--set", "quotas.0.requests=5000"]).expect_code(0);
        runs += 1;
        let found = gaps(&sandbox);
        let suspicious = found.get("100001").is_some_and(|kinds| kinds.iter().any(|kind| kind == "suspicious"));
        // Asked for after one, two, three, six and twelve hours, it has come by the fifth time.
        assert_eq!(suspicious, (10..22).contains(&step), "{step}: {found:?}");
        assert!(found.keys().all(|id| id == "100001" || (id == "100003" && step >= 20)), "{step}: {found:?}");
        if [0, 11, 24, 37, RUNS - 1].contains(&step) {
            assert_same(&sandbox.lake("demo"), &expected(&api, &ledger(&sandbox)));
        }
    }
    assert_eq!(runs, RUNS - (DOWN.end - DOWN.start));
}
