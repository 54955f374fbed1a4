//! What a platform does wrong does not reach the lake.

use serde_json::Value;

use super::sandbox::{Sandbox, assert_same};
use super::story::*;

const ACCOUNT: &[(&str, &str)] = &[("100001", "UTC")];

#[test]
fn a_fifth_of_all_requests_fails_and_the_lake_is_the_same() {
    for seed in ["1", "2"] {
        let arguments = ["--accounts", "6", "--campaigns", "4", "--seed", seed];
        let broken = api(&[&arguments[..], &["--fault-rate", "0.2"]].concat());
        let sandbox = Sandbox::new(&broken, Some(NOW));
        let ran = sandbox.run(&quick(&["run", "demo", "--set", "pagination.page_size=60"])).expect_code(0);
        assert_same(&sandbox.lake("demo"), &broken.truth(FIRST, SETTLED));

        let stats = broken.stats();
        let kinds = stats["faults"].as_object().expect("faults");
        assert!(kinds.len() >= 5, "too few kinds of faults to prove anything: {kinds:?}");
        let [all, repeated, _] = numbers(&ran, "requests")[..] else { panic!("{}", ran.err) };
        assert!(repeated > 0, "{}", ran.err);
        assert_eq!(all, stats["requests"].as_u64().expect("a count"), "the report counts every attempt");
        assert_eq!(numbers(&ran, "units")[1], 0, "{}", ran.err);

        let whole = api(&arguments);
        let other = Sandbox::new(&whole, Some(NOW));
        other.run(&quick(&["run", "demo"])).expect_code(0);
        assert!(contents(&sandbox) == contents(&other), "faults left a trace in the files");
    }
}

/// Every kind of fault, and whether it makes the client ask for the same page again.
const KINDS: &[(&str, bool)] = &[
    ("500", true),
    ("502", true),
    ("503", true),
    ("reset", true),
    ("reset-body", true),
    ("short-body", true),
    ("truncated-json", true),
    ("stall", true),
    ("error-in-200", true),
    ("bare-429", true),
    ("lost", true),
    ("duplicate-rows", false),
    ("empty-page", false),
    ("null-data", false),
];

#[test]
fn each_kind_of_fault_by_itself_is_borne() {
    let api = api(&["--accounts", "1", "--campaigns", "5", "--zones", "UTC", "--stall", "5s"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    for (place, (kind, again)) in KINDS.iter().enumerate() {
        api.post("/sim/faults", &format!(r#"{{"path":"/v1/metrics","next":["{kind}"]}}"#));
        let (from, to) = (format!("2026-11-{:02}", place + 1), format!("2026-11-{:02}", place + 2));
        let backfill = ["backfill", "demo", "--from", &from, "--to", &to, "--set", "pagination.page_size=40"];
        let backfill = [&quick(&backfill)[..], &["--set", "api.stall_timeout=300ms"]].concat();
        let ran = sandbox.run(&backfill).expect_code(0);
        assert_eq!(api.stats()["faults"][kind].as_u64(), Some(1), "{kind}: {}", api.stats()["faults"]);
        let repeated = numbers(&ran, "requests")[1];
        assert_eq!(repeated, u64::from(*again), "{kind}: {}", ran.err);
    }
    let until = format!("2026-11-{:02}", KINDS.len() + 1);
    assert_same(&sandbox.lake("demo"), &truth_of_dates(&api, ACCOUNT, "2026-11-01", &until));
}

#[test]
fn a_revoked_account_fails_alone_and_heals() {
    let api = api(&["--accounts", "4", "--campaigns", "3"]);
    api.post("/sim/accounts/100002", r#"{"revoked":true}"#);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let ran = sandbox.run(&quick(&["run", "demo"])).expect_code(1);
    assert!(ran.err.contains("HTTP 403: access to 100002 was revoked"), "{}", ran.err);

    let expected = api.truth(FIRST, SETTLED);
    let others = expected.iter().filter(|(key, _)| key.0 != "100002");
    let others = others.map(|(key, values)| (key.clone(), values.clone())).collect();
    assert_same(&sandbox.lake("demo"), &others);

    let ran = sandbox.run(&["gaps", "demo", "--format", "json"]).expect_code(5);
    let gaps: Value = serde_json::from_str(&ran.out).expect("JSON");
    let gaps = gaps.as_array().expect("a list");
    assert!(gaps.iter().all(|gap| gap["account_id"] == "100002"), "{gaps:?}");
    assert!(
        gaps.iter()
            .all(|gap| gap["reason"].as_str().is_some_and(|r| r.contains("HTTP 403: access to 100002 was revoked"))),
        "{gaps:?}"
    );
    let hours: u64 = gaps.iter().map(|gap| gap["hours"].as_u64().expect("hours")).sum();
    assert_eq!(hours, 3 * 24 + 11);
    assert_eq!((gaps[0]["from"].as_str(), gaps[gaps.len() - 1]["to"].as_str()), (Some(FIRST), Some(SETTLED)));

    api.post("/sim/accounts/100002", r#"{"revoked":false}"#);
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_same(&sandbox.lake("demo"), &expected);
    let ran = sandbox.run(&["gaps", "demo"]).expect_code(0);
    assert_eq!(ran.out.trim(), "demo: no hour is missing");
    assert_eq!(status(&sandbox)["failed"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_batch_with_a_revoked_account_fails_whole_and_no_other() {
    let api = api(&["--accounts", "4", "--campaigns", "2", "--zones", "UTC"]);
    api.post("/sim/accounts/100003", r#"{"revoked":true}"#);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let batches = [&quick(&["run", "demo"])[..], &["--set", "request.accounts_per_request=2"]].concat();
    sandbox.run(&batches).expect_code(1);
    let accounts: std::collections::BTreeSet<String> = sandbox.lake("demo").into_keys().map(|key| key.0).collect();
    assert_eq!(accounts.into_iter().collect::<Vec<_>>(), ["100001", "100002"]);
}
