//! Hours that are missing, overdue or suspicious: listed with the reason, asked for by `repair`, and gone when it is mended.

use serde_json::Value;

use super::sandbox::{Api, Ran, Rows, Sandbox, assert_same};
use super::story::*;

/// 2026-11-20T11:00:00Z
const ELEVEN: i64 = 1_795_172_400;

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).expect("JSON")
}

/// The sandbox with both clocks moved on to `now`, and everything that was done so far.
fn at(api: &Api, before: &Sandbox, now: &str) -> Sandbox {
    api.post("/sim/clock", &format!(r#"{{"now":"{now}"}}"#));
    let next = Sandbox::new(api, Some(now));
    copy(&before.path().join("data"), &next.path().join("data"));
    copy(&before.path().join("pipelines"), &next.path().join("pipelines"));
    next
}

fn gaps(sandbox: &Sandbox, code: i32) -> Vec<(String, String, u64, String)> {
    let found = json(&sandbox.run(&["gaps", "demo", "--format", "json"]).expect_code(code));
    let text = |gap: &Value, key: &str| gap[key].as_str().expect(key).to_owned();
    let gap = |gap: &Value| {
        (text(gap, "account_id"), text(gap, "from"), gap["hours"].as_u64().expect("hours"), text(gap, "kind"))
    };
    found.as_array().expect("gaps").iter().map(gap).collect()
}

#[test]
fn an_hour_without_rows_is_suspicious_until_they_come() {
    let api = api(&["--accounts", "2", "--campaigns", "4", "--zones", "UTC", "--dense"]);
    let first = Sandbox::new(&api, Some(NOW));
    first.run(&quick(&["run", "demo"])).expect_code(0);
    assert_eq!(gaps(&first, 0), []);
    // The platform says nothing of one hour, for two hours.
    let hole =
        r#"{"holes":[{"from":"2026-11-20T12:00:00Z","to":"2026-11-20T13:00:00Z","until":"2026-11-20T15:00:00Z"}]}"#;
    api.post("/sim/accounts/100002", hole);
    let second = at(&api, &first, "2026-11-20T13:35:00Z");
    second.run(&quick(&["run", "demo"])).expect_code(0);
    let lost = ("100002".to_owned(), "2026-11-20T12:00:00Z".to_owned(), 1, "suspicious".to_owned());
    assert_eq!(gaps(&second, 5), std::slice::from_ref(&lost));
    let shown = second.run(&["gaps"]).expect_code(5).out;
    insta::assert_snapshot!(shown, @r"
    demo: 1 account-hours are suspicious
      100002  2026-11-20T12:00Z..2026-11-20T13:00Z  1 h  suspicious: no row where this account usually has some, last read at 2026-11-20T13:35Z
      `hourmark repair demo` asks for exactly these
    ");
    assert_eq!(status(&second)["accounts"][1]["suspicious"], 1);
    let words = second.run(&[
        "query",
        "select found, count(*) n from ledger where account_id = '100002' group by found order by n",
        "--format",
        "csv",
    ]);
    assert_eq!(words.expect_code(0).out, "found,n\nsuspicious,1\nrows,84\n");
    // An hour later it is asked for again though none of its marks has come, and it is still empty.
    let third = at(&api, &second, "2026-11-20T14:36:00Z");
    let sent = metrics(&api);
    third.run(&quick(&["run", "demo"])).expect_code(0);
    assert_eq!(metrics(&api) - sent, 2, "one request an account: the new hour and those of the last three");
    assert_eq!(gaps(&third, 5), [lost]);
    // Its rows come: whoever looks finds them, and nothing is missing.
    let last = at(&api, &third, "2026-11-20T15:10:00Z");
    let repaired = last.run(&quick(&["repair", "demo"])).expect_code(0);
    assert_eq!(numbers(&repaired, "rows")[1], 4, "its campaigns: {}", repaired.err);
    assert_eq!(gaps(&last, 0), []);
    assert!(last.lake("demo").keys().filter(|key| key.0 == "100002" && key.2 == 1_795_176_000).count() == 4);
}

#[test]
fn repair_asks_for_exactly_what_is_listed() {
    let api = api(&["--accounts", "3", "--campaigns", "2", "--zones", "UTC"]);
    let first = Sandbox::new(&api, Some(NOW));
    first.run(&quick(&["run", "demo"])).expect_code(0);
    // Five hours on, one account is closed to us.
    api.post("/sim/accounts/100002", r#"{"revoked":true}"#);
    let second = at(&api, &first, "2026-11-20T17:35:00Z");
    second.run(&quick(&["run", "demo"])).expect_code(1);
    let found = gaps(&second, 5);
    assert_eq!(found, [("100002".to_owned(), "2026-11-20T11:00:00Z".to_owned(), 6, "missing".to_owned())]);
    let reason = json(&second.run(&["gaps", "--format", "json"]).expect_code(5))[0]["reason"].clone();
    assert!(reason.as_str().is_some_and(|text| text.starts_with("failed at 2026-11-20T17:35Z: ")), "{reason}");

    let planned = json(&second.run(&["plan", "demo", "--repair", "--format", "json"]).expect_code(0));
    assert_eq!((&planned[0]["units"], &planned[0]["account_hours"]), (&Value::from(1), &Value::from(found[0].2)));
    api.post("/sim/accounts/100002", r#"{"revoked":false}"#);
    let sent = metrics(&api);
    let repaired = second.run(&quick(&["repair"])).expect_code(0);
    assert!(repaired.err.contains("demo: repair done"), "{}", repaired.err);
    assert_eq!(metrics(&api) - sent, 1);
    assert_eq!(gaps(&second, 0), []);
    let nothing = second.run(&quick(&["repair"])).expect_code(0);
    assert_eq!(numbers(&nothing, "requests")[0], 0, "accounts are cached: {}", nothing.err);
    let lost = |rows: Rows| -> Rows {
        rows.into_iter().filter(|(key, _)| key.0 == "100002" && (ELEVEN..ELEVEN + 6 * 3600).contains(&key.2)).collect()
    };
    let truth = lost(api.truth(FIRST, "2026-11-20T17:00:00Z"));
    assert!(!truth.is_empty());
    assert_same(&lost(second.lake("demo")), &truth);
}

#[test]
fn the_ages_at_which_nothing_moves_are_learnt() {
    let api = api(&["--accounts", "10", "--campaigns", "1", "--zones", "UTC"]);
    let mut sandbox = Sandbox::new(&api, Some(NOW));
    // A mark at which the simulated platform changes nothing, between two at which it does.
    sandbox.edit("\"1d\", \"3d\", \"7d\", \"28d\"] #", "\"2d\", \"3d\"] #");
    sandbox.edit("history = \"3d\"", "history = \"8d\"\nlearn = true");
    let batch = ["--set", "quotas.0.requests=5000"];
    let run = |sandbox: &Sandbox| {
        let all: Vec<&str> = ["run", "demo"].into_iter().chain(batch).collect();
        sandbox.run(&all).expect_code(0);
    };
    run(&sandbox);
    let why = sandbox.run(&["status", "demo", "--why"]).expect_code(0).out;
    assert!(why.contains("as the file declares; nothing else was learnt yet"), "{why}");
    for day in 21..26 {
        sandbox = at(&api, &sandbox, &format!("2026-11-{day}T12:00:00Z"));
        run(&sandbox);
    }
    let why = json(&sandbox.run(&["status", "demo", "--why", "--format", "json"]).expect_code(0));
    let marks = why[0]["why"]["marks"].as_array().expect("marks").clone();
    let of = |days: u64| marks.iter().find(|mark| mark["age_seconds"] == days * 86_400).expect("the mark").clone();
    assert!(of(2)["read_again"].as_u64().expect("hours") > 500 || of(2)["sampled"] == true, "{marks:?}");
    assert!(of(3)["moved"].as_u64().expect("hours") > 100, "{marks:?}");
    assert_eq!(of(3)["sampled"], false);
}

/// New hours are read whatever happens; hours that may have moved take what the limit has to spare, and wait else.
#[test]
fn what_may_have_moved_waits_for_quota_to_spare() {
    let quota = ["--account-quota", "4/1h", "--penalty", "1h"];
    let all: Vec<&str> = ["--accounts", "1", "--campaigns", "2", "--zones", "UTC"].into_iter().chain(quota).collect();
    let api = api(&all);
    let limit = "[[quotas]]                                  # 20 requests in any second\nname = \"app\"\nrequests = 20\nper = \"1s\"";
    let tight = "[[quotas]]\nname = \"account\"\nrequests = 4\nper = \"1h\"\nscope = \"account\"";
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.edit(limit, tight);
    let run = |sandbox: &Sandbox| sandbox.run(&["run", "demo", "--set", "request.accounts_per_request=1"]);
    // Four days of history are as many requests as an hour has.
    run(&sandbox).expect_code(0);
    // A day later two requests bring what is new, two more the days at their marks; three are allowed in an hour.
    let later = at(&api, &sandbox, "2026-11-21T13:10:00Z");
    later.edit("requests = 4", "requests = 3");
    api.post("/sim/quotas", r#"{"account":["3/1h"]}"#);
    std::fs::remove_file(later.path().join("data/state.db.quotas")).expect("an hour has passed");
    let ran = run(&later).expect_code(0);
    assert!(ran.err.contains("units of hours that may have moved: they come when the limits have room"), "{}", ran.err);
    assert!(numbers(&ran, "postponed")[0] >= 1 && numbers(&ran, "requests")[0] <= 4, "{}", ran.err);
    assert_eq!(watermarks(&later), ["2026-11-21T12:00:00Z"], "nothing new waits");
    assert_eq!(gaps(&later, 0), [], "they are not overdue before a day is over");
    let next = at(&api, &later, "2026-11-21T14:20:00Z");
    api.post("/sim/quotas", r#"{"account":["3/1h"]}"#);
    std::fs::remove_file(next.path().join("data/state.db.quotas")).expect("an hour has passed");
    let ran = run(&next).expect_code(0);
    assert!(numbers(&ran, "rows")[2] > 0, "what was left is read again now: {}", ran.err);
    assert_eq!(refusals(&api), (0, 0));
}
