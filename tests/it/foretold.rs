//! What `plan` says before anything is sent, against what is sent then.

use serde_json::Value;

use super::sandbox::{Api, Ran, Sandbox};
use super::story::NOW;

fn number(api: &Api) -> u64 {
    api.stats()["requests"].as_u64().expect("a count")
}

fn forecast(ran: &Ran) -> Value {
    let documents: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out));
    documents[0]["forecast"].clone()
}

/// Requests foretold and sent for a backfill of 12 days, after one hourly run.
fn foretold_and_sent(settings: &[&str]) -> (u64, u64) {
    let api = Api::start(&["--accounts", "12", "--campaigns", "6", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let fast = ["--set", "quotas.0.requests=500", "--set", "pagination.page_size=100"];
    let with = |command: &[&'static str]| [command, &fast[..], settings].concat();
    sandbox.run(&with(&["run", "demo"])).expect_code(0);
    let range = ["demo", "--from", "2026-10-20", "--to", "2026-11-01"];
    let before = number(&api);
    let planned = sandbox.run(&with(&[&["plan"], &range[..], &["--format", "json"]].concat())).expect_code(0);
    assert_eq!(number(&api), before, "plan sent something");
    let planned = forecast(&planned);
    sandbox.run(&with(&[&["backfill"], &range[..]].concat())).expect_code(0);
    (planned["requests"].as_u64().expect("a number"), number(&api) - before)
}

#[track_caller]
fn within_five_percent((foretold, sent): (u64, u64)) {
    assert!(foretold.abs_diff(sent) * 20 <= sent, "{foretold} foretold, {sent} sent");
    assert!(sent > 100, "too few to mean anything: {sent}");
}

#[test]
fn requests_of_batches_are_right_within_five_percent() {
    within_five_percent(foretold_and_sent(&[]));
}

#[test]
fn requests_of_single_accounts_are_right_within_five_percent() {
    within_five_percent(foretold_and_sent(&["--set", "request.accounts_per_request=1"]));
}

#[test]
fn the_time_is_that_of_the_slowest_limit() {
    let api = Api::start(&["--accounts", "3", "--campaigns", "2", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.edit("[lake]", "[[quotas]]\nname = \"hour\"\nrequests = 10\nper = \"1h\"\nscope = \"account\"\n\n[lake]");
    let one = ["--set", "request.accounts_per_request=1"];
    sandbox.run(&[&["run", "demo"], &one[..]].concat()).expect_code(0);
    // The run used four of each account's ten. 24 days on the account's clock are 25 requests: six now, six in the next
    // hour, in which the hourly run will want its four again, ten in the one after, and the rest.
    let range = ["plan", "demo", "--from", "2026-10-01", "--to", "2026-10-25", "--format", "json"];
    let planned = forecast(&sandbox.run(&[&range[..], &one[..]].concat()).expect_code(0));
    assert_eq!((planned["requests"].as_u64(), planned["decides"].as_str()), (Some(75), Some("hour")), "{planned}");
    let hours = planned["takes_seconds"].as_f64().expect("seconds") / 3600.0;
    assert!((2.9..3.1).contains(&hours), "{planned}");
    assert_eq!(planned["ends_with_waiting"], 3, "{planned}");
    let quotas = planned["quotas"].as_array().expect("a list");
    assert_eq!((quotas[1]["quota"].as_str(), quotas[1]["units"].as_u64()), (Some("hour"), Some(25)), "{planned}");
    assert!(quotas[1]["busiest_account"].is_string(), "{planned}");
}

#[test]
fn quota_shows_what_is_used_and_a_reset_leaves_it_used() {
    let api = Api::start(&["--accounts", "3", "--campaigns", "2", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let ran = sandbox.run(&["quota"]).expect_code(0);
    insta::assert_snapshot!(ran.out, @r"
    demo: 1 quota, nothing of it is used
      due now     its accounts are not known before the first run
    ");
    sandbox.edit("[lake]", "[[quotas]]\nname = \"day\"\nrequests = 1000\nper = \"1d\"\nscope = \"account\"\n\n[lake]");
    sandbox.run(&["run", "demo"]).expect_code(0);
    let ran = sandbox.run(&["quota", "demo"]).expect_code(0);
    insta::with_settings!({filters => vec![(r"  (now|in \d.*)\n", "  [next]\n"), (r"20 / 1s +\d+", "20 / 1s [used]")]}, {
        insta::assert_snapshot!(ran.out, @r"
        demo: 2 quotas
           quota  scope           limit      used  under way  sent  refused  next
           app    app             20 / 1s [used]          0     9        0  [next]
           day    account 100001  1000 / 1d     4          0     4        0  [next]
           day    account 100002  1000 / 1d     4          0     4        0  [next]
           day    account 100003  1000 / 1d     4          0     4        0  [next]
          due now
            requests    about 0
            quota       app, 20 / 1s by app: 0 units, 0s
            quota       day, 1000 / 1d by account: 0 units, 0s
        ");
    });
    let shown = |sandbox: &Sandbox| -> Value {
        let ran = sandbox.run(&["quota", "demo", "--format", "json"]).expect_code(0);
        serde_json::from_str::<Value>(&ran.out).expect("JSON")[0]["quotas"].clone()
    };
    let quotas = shown(&sandbox);
    let account = quotas.as_array().expect("a list").iter().find(|used| used["quota"] == "day").expect("the day");
    assert!(account["used"].as_u64().expect("a number") > 0 && account["limit"] == 1000, "{quotas}");
    // What was used stays used.
    sandbox.run(&["quota", "demo", "--reset"]).expect_code(0);
    let after = shown(&sandbox);
    let again = after.as_array().expect("a list").iter().find(|used| used["quota"] == "day").expect("the day");
    assert_eq!((&again["used"], &again["sent"]), (&account["used"], &account["sent"]), "{after}");
}
