//! Answers, creations and reports: what their words become, and what is said about those that do not go together.

use std::time::Duration;

use insta::assert_snapshot;

use super::*;

const REPORT: &str = r#"
[report]
id = "report_id"
[report.poll]
path = "/reports/{report}"
status = "status"
done = "done"
[report.rows]
path = "/reports/{report}/rows"
"#;

fn place(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a place")
}

/// [`SMALL`] with one rule for answers.
fn rule(text: &str) -> String {
    format!("{SMALL}\n[[responses]]\n{text}\n")
}

/// [`SMALL`] as a request that creates something, with further keys.
fn creating(keys: &str) -> String {
    small_with("[records]", &format!("method = \"POST\"\ncreates = true\n{keys}\n[records]"))
}

/// The one rule of `text`.
fn checked(text: &str) -> ResponseRule {
    let [rule] = <[ResponseRule; 1]>::try_from(good(text, &[]).responses).expect("one rule");
    rule
}

#[test]
fn answers_are_told_by_status_header_and_body() {
    let told = checked(&rule("status = 503\naction = \"split\""));
    let expected = ResponseRule { statuses: vec![503], header: None, path: None, action: ResponseAction::Split };
    assert_eq!(told, expected);
    let told = checked(&rule(
        "status = [400, 403]\nheader = \"X-Reason\"\nheader_contains = \"Limit\"\npath = \"error.code\"\naction = \"ok\"",
    ));
    assert_eq!(told.statuses, [400, 403]);
    assert_eq!(told.header, Some(("x-reason".to_owned(), Some("Limit".to_owned()))));
    assert_eq!(told.path, Some((place("error.code"), ValueTest::Present)));
    let tests = [
        ("equals = 17", ValueTest::AnyOf(vec!["17".into()])),
        ("equals = [17, \"A\", true]", ValueTest::AnyOf(vec!["17".into(), "A".into(), "true".into()])),
        ("not_equals = [0]", ValueTest::NoneOf(vec!["0".into()])),
        ("contains = \"limit\"", ValueTest::Contains("limit".into())),
        ("from = 200\nto = 299", ValueTest::Between(200, 299)),
        ("from = -1\nto = -1", ValueTest::Between(-1, -1)),
    ];
    for (keys, test) in tests {
        let told = checked(&rule(&format!("path = \"code\"\n{keys}\naction = \"retry\"")));
        assert_eq!(told.path, Some((place("code"), test)));
    }
}

#[test]
fn actions_have_keys_of_their_own() {
    let told = |keys: &str| checked(&rule(&format!("status = 400\n{keys}"))).action;
    assert_eq!(told("action = \"ok\""), ResponseAction::Ok);
    assert_eq!(told("action = \"retry\""), ResponseAction::Retry);
    assert_eq!(told("action = \"reauthorise\""), ResponseAction::Reauthorise);
    assert_eq!(told("action = \"skip_account\""), ResponseAction::SkipAccount);
    assert_eq!(told("action = \"throttled\""), ResponseAction::Throttled { scope: None, wait: vec![] });
    assert_eq!(told("action = \"fail\""), ResponseAction::Fail { fault: Fault::Platform });
    assert_eq!(told("action = \"fail\"\nfault = \"config\""), ResponseAction::Fail { fault: Fault::Config });
    assert_eq!(told("action = \"fail\"\nfault = \"us\""), ResponseAction::Fail { fault: Fault::Us });
    let waits = r#"action = "throttled"
scope = "endpoint"
wait = [
    { header = "X-Reset", as = "epoch" },
    { path = "error.wait" },
    { path = "message", after = "Retry after ", as = "seconds" },
    { steps = ["1s", "60s", "5m"] },
    { midnight = "Europe/Berlin" },
]"#;
    let steps = [1, 60, 300].map(Duration::from_secs).to_vec();
    let wait = vec![
        WaitSource::Header { name: "x-reset".into(), unit: WaitUnit::Epoch },
        WaitSource::Body { path: place("error.wait"), unit: WaitUnit::Auto },
        WaitSource::Text { path: place("message"), after: "Retry after ".into(), unit: WaitUnit::Seconds },
        WaitSource::Steps(steps),
        WaitSource::Midnight(chrono_tz::Europe::Berlin),
    ];
    assert_eq!(told(waits), ResponseAction::Throttled { scope: Some(Scope::Endpoint), wait });
    let adopt = |keys: &str| format!("{}\n[[responses]]\nstatus = 409\naction = \"adopt\"\n{keys}", creating(""));
    let path = place("error.id");
    let id = IdSource::Path(path.clone());
    assert_eq!(checked(&adopt("id = \"error.id\"")).action, ResponseAction::Adopt { id });
    let id = IdSource::Text { path, after: "duplicate of ".into() };
    let text = adopt("id = \"error.id\"\nafter = \"duplicate of \"");
    assert_eq!(checked(&text).action, ResponseAction::Adopt { id });
}

#[test]
fn rules_that_contradict_themselves() {
    let rules = [
        "action = \"retry\"",
        "status = []\nheader_contains = \"a\"\naction = \"retry\"",
        "status = 200\nequals = 5\naction = \"ok\"",
        "path = \"a\"\nequals = 5\ncontains = \"5\"\naction = \"ok\"",
        "path = \"a\"\nfrom = 5\naction = \"ok\"",
        "path = \"a\"\nto = 5\naction = \"ok\"",
        "path = \"a\"\nfrom = 5\nto = 4\naction = \"ok\"",
        "path = \"a.*\"\nequals = []\naction = \"ok\"",
        "path = \"a\"\ncontains = \"\"\naction = \"ok\"",
        "header = \"a b\"\naction = \"ok\"",
        "status = 400\nscope = \"app\"\nwait = [{}]\nid = \"a\"\nafter = \"b\"\nfault = \"us\"\naction = \"ok\"",
        "status = 400\naction = \"adopt\"",
    ];
    let text = format!("{SMALL}\n[[responses]]\n{}", rules.join("\n[[responses]]\n"));
    assert_snapshot!(problems(&text, &[]), @r#"
    18 problems in `pipelines/acme.toml`
    pipelines/acme.toml:28: `responses.0` fits every answer: expected `status`, `header` or `path`
    pipelines/acme.toml:31: `responses.1.status` is empty: expected at least one status
    pipelines/acme.toml:32: `responses.1.header_contains` needs the header to look into: expected `header` beside it
    pipelines/acme.toml:36: `responses.2.equals` needs the place to compare: expected `path` beside it
    pipelines/acme.toml:41: `responses.3.contains` cannot stand beside `equals`: a rule compares in one way
    pipelines/acme.toml:45: `responses.4.from` begins a range that does not end: expected `to` beside it
    pipelines/acme.toml:49: `responses.5.to` ends a range that does not begin: expected `from` beside it
    pipelines/acme.toml:54: `responses.6.to` is 4: expected at least `from`, 5
    pipelines/acme.toml:58: `responses.7.equals` is empty: expected at least one value
    pipelines/acme.toml:62: `responses.8.contains` is "": expected a text to look for
    pipelines/acme.toml:65: `responses.9.header` is not a header's name: expected letters, digits and dashes
    pipelines/acme.toml:69: `responses.10.scope` has a meaning only with `action = "throttled"`
    pipelines/acme.toml:70: `responses.10.wait` has a meaning only with `action = "throttled"`
    pipelines/acme.toml:71: `responses.10.id` has a meaning only with `action = "adopt"`
    pipelines/acme.toml:72: `responses.10.after` has a meaning only with `action = "adopt"`
    pipelines/acme.toml:73: `responses.10.fault` has a meaning only with `action = "fail"`
    pipelines/acme.toml:75: missing key `responses.11.id`: expected the place of the id of what is there already
    pipelines/acme.toml:77: `responses.11.action` is "adopt", but the request creates nothing: expected `request.creates = true`
    "#);
}

#[test]
fn waits_that_are_nowhere_or_in_two_places() {
    let text = rule(
        r#"status = 429
action = "throttled"
wait = [
    {},
    { header = "A", path = "b" },
    { header = "A B", after = "c" },
    { path = "b", after = "c", as = "date" },
    { path = "*", after = "" },
    { steps = [], as = "seconds" },
    { steps = ["0s", "soon"] },
    { midnight = "Berlin" },
]"#,
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    11 problems in `pipelines/acme.toml`
    pipelines/acme.toml:32: `responses.0.wait.0` says nowhere: expected `header`, `path`, `steps` or `midnight`
    pipelines/acme.toml:33: `responses.0.wait.1` has both `header` and `path`: a wait is in one place
    pipelines/acme.toml:34: `responses.0.wait.2.after` has a meaning only with `path`
    pipelines/acme.toml:34: `responses.0.wait.2.header` is not a header's name: expected letters, digits and dashes
    pipelines/acme.toml:35: `responses.0.wait.3.as` is "date", but what follows a text is read as a number: expected another
    pipelines/acme.toml:36: `responses.0.wait.4.after` is "": expected a text to look for
    pipelines/acme.toml:37: `responses.0.wait.5.as` has a meaning only with `header` or `path`
    pipelines/acme.toml:37: `responses.0.wait.5.steps` is empty: expected at least one length of time
    pipelines/acme.toml:38: `responses.0.wait.6.steps.0` is "0s": expected more than nothing
    pipelines/acme.toml:38: `responses.0.wait.6.steps.1` is "soon": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml:39: `responses.0.wait.7.midnight` is "Berlin": expected an IANA time zone such as Europe/Berlin
    "#);
}

#[test]
fn words_and_numbers_of_rules() {
    let text =
        rule("status = [99, \"x\"]\nequals = 1.5\nwait = [{ as = \"hours\", seconds = 5 }]\naction = \"throtled\"");
    assert_snapshot!(problems(&text, &["responses.0.fault=ours", "responses.0.scope=user"]), @r#"
    8 problems in `pipelines/acme.toml`
    pipelines/acme.toml:29: `responses.0.status.0` is 99: expected 100 to 599
    pipelines/acme.toml:29: `responses.0.status.1` is "x": expected an integer
    pipelines/acme.toml:30: `responses.0.equals` is 1.5: expected a text in quotes or an integer or true or false or a list
    pipelines/acme.toml:31: `responses.0.wait.0.as` is "hours": expected one of auto, milliseconds, seconds, minutes, epoch, date
    pipelines/acme.toml:31: unknown key `responses.0.wait.0.seconds`: expected one of header, path, after, as, steps, midnight
    pipelines/acme.toml:32: `responses.0.action` is "throtled": expected one of ok, retry, throttled, reauthorise, split, skip_account, adopt, fail (did you mean "throttled"?)
    pipelines/acme.toml: --set: `responses.0.fault` is "ours": expected one of config, platform, us
    pipelines/acme.toml: --set: `responses.0.scope` is "user": expected one of app, account, endpoint
    "#);
    assert_snapshot!(problems(&rule("status = \"4xx\"\naction = \"ok\""), &["responses.0.header=5"]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:29: `responses.0.status` is "4xx": expected an integer or a list
    pipelines/acme.toml: --set: `responses.0.header` is 5: expected a text in quotes
    "#);
    assert_snapshot!(problems(&rule("status = 600"), &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:28: missing key `responses.0.action`: expected one of ok, retry, throttled, reauthorise, split, skip_account, adopt, fail
    pipelines/acme.toml:29: `responses.0.status` is 600: expected 100 to 599
    "#);
}

#[test]
fn creations_and_their_keys() {
    let place = |text: &str| good(text, &[]).request.creates;
    assert_eq!(place(SMALL), None);
    assert_eq!(place(&creating("")), Some(KeyPlace::Header("Idempotency-Key".into())));
    assert_eq!(place(&creating("key_header = \"X-Key\"")), Some(KeyPlace::Header("X-Key".into())));
    assert_eq!(place(&creating("key_param = \"id\"")), Some(KeyPlace::Parameter("id".into())));
    assert_eq!(place(&creating("no_key = true")), Some(KeyPlace::Nowhere));
}

#[test]
fn creations_that_cannot_be() {
    let said = |text: &str| problems(text, &[]);
    let keys = "key_header = \"a\"\nkey_param = \"b\"\nno_key = true\n[records]";
    assert_snapshot!(said(&small_with("[records]", keys)), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:17: `request.key_header` has a meaning only with `creates = true`
    "#);
    assert_snapshot!(said(&small_with("[records]", "creates = true\n[records]")), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:17: `request.creates` is true, but a GET creates nothing: expected `method = "POST"`
    "#);
    assert_snapshot!(said(&creating("key_header = \"a\"\nno_key = true")), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:20: `request.no_key` cannot stand beside `key_header`: the key goes to one place
    "#);
    assert_snapshot!(said(&creating("key_header = \"a b\"")), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:19: `request.key_header` is not a header's name: expected letters, digits and dashes
    "#);
    assert_snapshot!(said(&creating("key_param = \"from\"")), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:19: `request.key_param` is "from", which the request sends already: expected another
    "#);
    let headers = creating("").replace("[api]", "[api]\nheaders = { idempotency-key = \"1\" }");
    assert_snapshot!(said(&headers), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:14: `request.key_header` is "Idempotency-Key", which `api.headers` sends already: expected another
    "#);
    let paged =
        format!("{}\n[pagination]\nkind = \"cursor\"\nnext = \"a\"\nparam = \"id\"\n", creating("key_param = \"id\""));
    assert_snapshot!(said(&paged), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:34: `pagination.param` is "id", which the request sends already: expected it in one place
    "#);
}

#[test]
fn a_report_with_its_defaults_and_with_everything() {
    let report = good(&format!("{}{REPORT}", creating("")), &[]).report.expect("a report");
    let ReportRows::Endpoint { path, query, server } = report.rows else { panic!("an endpoint") };
    assert_eq!((report.id, path.as_str()), (place("report_id"), "/reports/{report}/rows"));
    assert_eq!((query, server), (Parameters::default(), None));
    let poll = report.poll;
    assert_eq!(
        (poll.path.as_str(), poll.status, poll.query),
        ("/reports/{report}", place("status"), Parameters::default())
    );
    assert_eq!((poll.done, poll.failed), (vec!["done".to_owned()], vec![]));
    assert_eq!([poll.every, poll.cap, poll.patience], [2, 30, 3_600].map(Duration::from_secs));
    let settings = [
        "report.poll.path=/check",
        "report.poll.query={ task = \"{report}\", account = \"{account}\" }",
        "report.poll.done=[\"done\", 2]",
        "report.poll.failed=[\"failed\", \"expired\"]",
        "report.poll.every=1s",
        "report.poll.cap=1m",
        "report.poll.patience=2h",
        "report.rows.query={ size = \"{page_size}\" }",
        "pagination={ kind = \"offset\", param = \"from\", page_size = 10 }",
    ];
    let report = good(&format!("{}{REPORT}", creating("")), &settings).report.expect("a report");
    let query: Vec<&str> = report.poll.query.values().map(String::as_str).collect();
    assert_eq!(query, ["{report}", "{account}"]);
    assert_eq!((report.poll.done.join(" "), report.poll.failed.join(" ")), ("done 2".into(), "failed expired".into()));
    assert_eq!([report.poll.every, report.poll.cap, report.poll.patience], [1, 60, 7_200].map(Duration::from_secs));
    let ReportRows::Endpoint { query, .. } = report.rows else { panic!("an endpoint") };
    assert_eq!(query.values().next().map(String::as_str), Some("{page_size}"));
}

#[test]
fn reports_that_cannot_be() {
    let text = format!("{SMALL}{REPORT}");
    assert_snapshot!(problems(&text, &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:28: `report` is made by the metrics request: expected `creates = true` in `[request]`
    "#);
    let text = format!("{}{REPORT}", creating(""));
    let settings = [
        "report.id=",
        "report.poll.path=/status/{page_size}",
        "report.poll.done=[]",
        "report.poll.failed=x",
        "report.poll.every=1m",
        "report.poll.patience=1s",
        "report.rows.path=/rows",
        "request.query.size={page_size}",
    ];
    assert_snapshot!(problems(&text, &settings), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:13: `request` makes a report and has no pages: expected {page_size} in `report.rows.query`
    pipelines/acme.toml:37: `report.rows` does not say which report: expected {report} in its path, query or json
    pipelines/acme.toml: --set: `report.id` is "": expected one place, as keys joined by dots without `*`
    pipelines/acme.toml: --set: `report.poll.path` holds {page_size}, which cannot stand here: expected one of {account}, {report}, {parent}
    pipelines/acme.toml: --set: `report.poll.done` is empty: expected at least one status
    pipelines/acme.toml: --set: `report.poll.every` is "1m": expected at most `cap`, 30s
    pipelines/acme.toml: --set: `report.poll.patience` is "1s": expected at least `every`, 1m
    "#);
    let settings = [
        "report.poll.path=check",
        "report.poll.query={ token = \"hunter2\" }",
        "report.poll.failed=[\"failed\", \"done\"]",
        "report.rows.query={ from = \"{from}\", limit = \"{page_size}\" }",
        "request.query.x={report}",
    ];
    assert_snapshot!(problems(&text, &settings), @r#"
    6 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: missing key `pagination.page_size`: the request holds {page_size}
    pipelines/acme.toml: --set: `request.query.x` holds {report}, which cannot stand here: expected one of {account}, {accounts}, {campaigns}, {from}, {to}, {time_zone}, {page_size}, {parent}, {from_year}, {from_month}, {from_day}, {to_year}, {to_month}, {to_day} (did you mean "{parent}"?)
    pipelines/acme.toml: --set: `report.poll.path` is not a path: expected one such as /v1/metrics, without a query (that is `query`)
    pipelines/acme.toml: --set: `report.poll.query.token` usually holds a secret: expected it in `[auth]`, as env:NAME or file:PATH, never in the file
    pipelines/acme.toml: --set: `report.poll.failed` holds "done", which `done` holds too: expected it in one of them
    pipelines/acme.toml: --set: `report.rows.query.from` holds {from}, which cannot stand here: expected one of {account}, {page_size}, {report}, {parent}
    "#);
    let paged =
        ["pagination={ kind = \"offset\", param = \"at\", page_size = 10 }", "report.rows.query={ at = \"0\" }"];
    assert_snapshot!(problems(&text, &paged), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `pagination.param` is "at", which the request sends already: expected it in one place
    "#);
    let batch = ["request.query.account={accounts}", "request.accounts_per_request=5", "columns.account_id.from=a"];
    let rows = ["report.rows.path=/{account}/{report}"];
    assert_snapshot!(problems(&text, &[batch.as_slice(), rows.as_slice()].concat()), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:37: `report.rows` names one {account}, but a report is about several accounts
    "#);
    let empty = text.replace(REPORT, "\n[report]\n[report.poll]\ndnoe = \"x\"\n");
    assert_snapshot!(problems(&empty, &[]), @r#"
    6 problems in `pipelines/acme.toml`
    pipelines/acme.toml:31: missing key `report.id`: expected a text in quotes
    pipelines/acme.toml:31: missing key `report.rows`: expected a table
    pipelines/acme.toml:32: missing key `report.poll.path`: expected a text in quotes
    pipelines/acme.toml:32: missing key `report.poll.status`: expected a text in quotes
    pipelines/acme.toml:32: missing key `report.poll.done`: expected a text in quotes or an integer or true or false or a list
    pipelines/acme.toml:33: unknown key `report.poll.dnoe`: expected one of method, path, query, json, server, status, done, failed, every, cap, patience (did you mean "done"?)
    "#);
}

/// A request that is broken elsewhere does not make its creation doubtful.
#[test]
fn nothing_is_said_twice() {
    let text = format!("{}{REPORT}[[responses]]\nstatus = 409\naction = \"adopt\"\nid = \"a\"\n", creating(""));
    assert_snapshot!(problems(&text, &["request.creates=yes"]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `request.creates` is "yes": expected true or false
    "#);
}

#[test]
fn the_whole_time_of_retries() {
    assert_eq!(good(SMALL, &["retry.total=2h"]).retry.total, Duration::from_secs(7_200));
    assert_snapshot!(problems(SMALL, &["retry.total=100ms"]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `retry.total` is "100ms": expected at least `base`, 500ms
    "#);
    assert_snapshot!(problems(SMALL, &["retry.total=0s"]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `retry.total` is "0s": expected more than nothing
    "#);
}
