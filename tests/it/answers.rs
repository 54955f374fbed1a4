//! Answers that ask for something else than another try: for less, for other accounts, for other credentials.

use serde_json::Value;

use super::sandbox::{Sandbox, TOKEN, assert_same};
use super::story::*;

fn status_count(api: &super::sandbox::Api, status: &str) -> u64 {
    api.stats()["by_status"][status].as_u64().unwrap_or(0)
}

#[test]
fn too_much_is_asked_for_in_smaller_pieces_and_the_size_is_remembered() {
    let rows = ["--zones", "UTC", "--accounts", "4", "--campaigns", "4", "--dense", "--row-cap", "60"];
    let api = api(&rows);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let rule = "[[responses]]\nstatus = 400\npath = \"error.code\"\nequals = \"TOO_MUCH_DATA\"\naction = \"split\"\n";
    add(&sandbox, rule);
    let backfill = |from: &str, to: &str| {
        let ran = ["backfill", "demo", "--from", from, "--to", to, "--set", "quotas.0.requests=500"];
        sandbox.run(&ran).expect_code(0);
    };
    // Four accounts of 96 rows a day: neither all four nor one fits, but twelve hours of one do.
    backfill("2026-11-18", "2026-11-19");
    assert_same(&sandbox.lake("demo"), &truth_of_day(&api));
    let learnt = status_count(&api, "400");
    assert!((3..=12).contains(&learnt), "{}", api.stats());
    backfill("2026-11-16", "2026-11-18");
    assert_eq!(status_count(&api, "400"), learnt, "the sizes that worked were forgotten");
    assert_same(&sandbox.lake("demo"), &api.truth("2026-11-16T00:00:00Z", "2026-11-19T00:00:00Z"));
}

#[test]
fn an_account_that_is_gone_is_left_out_and_the_run_is_well() {
    let api = api(&["--zones", "UTC", "--accounts", "4", "--campaigns", "2"]);
    api.post("/sim/accounts/100003", r#"{"revoked":true}"#);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let rule =
        "[[responses]]\nstatus = 403\npath = \"error.code\"\nequals = \"ACCOUNT_REVOKED\"\naction = \"skip_account\"\n";
    add(&sandbox, rule);
    let run = ["run", "demo", "--set", "quotas.0.requests=500", "--set", "request.accounts_per_request=4"];
    let ran = sandbox.run(&run).expect_code(0);
    assert!(ran.err.contains("left out   account 100003: HTTP 403: access to 100003 was revoked"), "{}", ran.err);
    let skipped = &status(&sandbox)["skipped"];
    assert_eq!(skipped[0]["account_id"], "100003", "{skipped}");
    let mut expected = api.truth(FIRST, SETTLED);
    expected.retain(|key, _| key.0 != "100003");
    assert_same(&sandbox.lake("demo"), &expected);

    let ran = sandbox.run(&["gaps", "demo", "--format", "json"]).expect_code(5);
    let gaps: Value = serde_json::from_str(&ran.out).expect("JSON");
    let gaps = gaps.as_array().expect("a list");
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap["account_id"] == "100003"), "{gaps:?}");
    let reason = gaps[0]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("the account is left out since") && reason.contains("revoked"), "{reason}");

    // It is not asked for again within a day, and then it is.
    let before = status_count(&api, "403");
    assert!(before >= 1, "{}", api.stats());
    sandbox.run(&run).expect_code(0);
    assert_eq!(status_count(&api, "403"), before);
    api.post("/sim/accounts/100003", r#"{"revoked":false}"#);
    sandbox.run(&[&run[..], &["--accounts", "100003"]].concat()).expect_code(0);
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
    sandbox.run(&["gaps", "demo"]).expect_code(0);
}

#[test]
fn a_token_that_was_changed_in_mid_run_is_read_again() {
    let api = api(&["--zones", "UTC", "--accounts", "2", "--campaigns", "2", "--latency", "700ms"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let file = sandbox.path().join("token.txt");
    std::fs::write(&file, "it-token-of-yesterday\n").expect("a token");
    sandbox.edit("env:HOURMARK_DEMO_TOKEN", &format!("file:{}", file.display()));
    let running = Running::start(sandbox.command(&quick(&["run", "demo"])));
    wait_until("it has asked with the old token", || requests(&api, "accounts") > 0);
    std::fs::write(&file, TOKEN).expect("a token");
    running.end().expect_code(0);
    assert_eq!(status_count(&api, "401"), 1, "{}", api.stats());
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
}

#[test]
fn a_token_that_stays_wrong_ends_the_run_at_once() {
    let api = api(&["--zones", "UTC", "--accounts", "2", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let file = sandbox.path().join("token.txt");
    std::fs::write(&file, "it-token-of-yesterday\n").expect("a token");
    sandbox.edit("env:HOURMARK_DEMO_TOKEN", &format!("file:{}", file.display()));
    let ran = sandbox.run(&quick(&["run", "demo"]));
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("the platform does not accept the credentials"), "{}", ran.err);
    assert_eq!(status_count(&api, "401"), 1, "{}", api.stats());
}
