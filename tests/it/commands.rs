//! What each command does, by its output and exit code.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use parquet::file::reader::FileReader;
use serde_json::Value;

use crate::sandbox::{Api, Ran, Sandbox};

const NOW: &str = "2026-11-20T12:00:00Z";

fn api() -> Api {
    Api::start(&[
        "--accounts",
        "3",
        "--campaigns",
        "2",
        "--zones",
        "Europe/Berlin,Asia/Kolkata,Pacific/Apia",
        "--clock",
        NOW,
    ])
}

/// An API, and a folder in which the demo's pipeline has run once.
fn after_a_run() -> (Api, Sandbox) {
    let api = api();
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo", "-q"]).expect_code(0);
    (api, sandbox)
}

fn requests(api: &Api) -> u64 {
    api.stats()["requests"].as_u64().expect("a count")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn check_shows_the_plan_and_the_first_requests_and_sends_nothing() {
    let api = api();
    let sandbox = Sandbox::new(&api, Some(NOW));
    let mut command = sandbox.command(&["check", "demo", "pipelines/demo.toml"]);
    // Not even the secret is needed.
    let ran = Ran::of(command.env_remove("HOURMARK_DEMO_TOKEN").output().expect("it runs")).expect_code(0);
    let text = ran.out.replace(&api.url, "http://[api]");
    insta::assert_snapshot!(text.split("\n\n").next().expect("the first file"), @r#"
    pipelines/demo.toml: fine
      platform    simulator
      schedule    5 * * * * (UTC)
      accounts    listed by the platform at /v1/accounts
      windows     up to 24 hours, settled after 30m, read again at the ages 1h, 3h, 1d, 3d, 7d, 28d
      columns     impressions, clicks, spend, conversions, link_clicks, purchases, updated_at
      quota       app: 20 per 1s by app
      signed by   bearer token from env:HOURMARK_DEMO_TOKEN
      first request, for the accounts
        GET http://[api]/v1/accounts?limit=500
        accept: application/json
      first metrics request, for one account
        GET http://[api]/v1/metrics?account_ids=ACCOUNT&from=2026-11-19T12%3A00%3A00Z&to=2026-11-20T12%3A00%3A00Z&fields=campaign_name%2Cimpressions%2Cclicks%2Cspend_micros%2Cconversions%2Cactions%2Cupdated_at&limit=500
        accept: application/json
    "#);
    assert_eq!(text.matches("fine").count(), 2);
    assert_eq!(requests(&api), 0);
}

#[test]
fn new_writes_what_check_accepts() {
    let sandbox = Sandbox::at("http://127.0.0.1:9", Some(NOW));
    let ran = sandbox.run(&["new", "acme_2"]).expect_code(0);
    assert_eq!(ran.out, "wrote pipelines/acme_2.toml\n");
    let text = std::fs::read_to_string(sandbox.path().join("pipelines/acme_2.toml")).expect("the file");
    assert!(text.contains("platform = \"acme_2\"") && text.contains("env:ACME_2_TOKEN"), "{text}");
    let ran = sandbox.run(&["check", "pipelines/acme_2.toml"]).expect_code(0);
    assert!(ran.out.starts_with("pipelines/acme_2.toml: fine\n"), "{}", ran.out);
}

#[test]
fn plan_foretells_the_requests_and_sends_none() {
    let api = Api::start(&["--accounts", "12", "--campaigns", "6", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let before = sandbox.run(&["plan"]).expect_code(0);
    insta::assert_snapshot!(before.out, @r#"demo: its accounts are not known before the first run, which begins by listing them"#);
    assert_eq!(requests(&api), 0);
    // A list in the file is known without a run.
    let listed = "accounts={ list = [{ id = \"100001\", time_zone = \"Europe/Berlin\" }] }";
    let ran = sandbox.run(&["plan", "--set", listed]).expect_code(0);
    insta::assert_snapshot!(ran.out, @r#"
    demo: 4 units, 83 account-hours of 1 accounts
      requests    about 4 (4 metrics)
      quota       app, 20 / 1s by app: 4 units, 0.1s
      takes       about 0.3s: answers of 0.3s decide, done at 2026-11-20 12:00:00Z
      partitions  4, date=2026-11-17/bucket-00.parquet to date=2026-11-20/bucket-00.parquet
    "#);

    sandbox.run(&["run", "demo"]).expect_code(0);
    let nothing = sandbox.run(&["plan", "demo"]).expect_code(0);
    assert!(nothing.out.starts_with("demo: 0 units, 0 account-hours of 12 accounts\n"), "{}", nothing.out);

    let range = ["demo", "--from", "2026-10-20", "--to", "2026-11-05"];
    let sent = requests(&api);
    let ran = sandbox.run(&[&["plan"], &range[..]].concat()).expect_code(0);
    assert_eq!(requests(&api), sent, "plan sent something");
    let line = ran.out.lines().find(|line| line.contains("requests    about")).expect("a line of requests");
    let foretold: u64 = line.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    sandbox.run(&[&["backfill"], &range[..]].concat()).expect_code(0);
    let real = requests(&api) - sent;
    assert!(foretold.abs_diff(real) * 10 <= real, "{foretold} foretold, {real} sent\n{}", ran.out);
    assert!(real > 30, "too few to mean anything: {real}");
}

#[test]
fn status_and_gaps() {
    let (_api, sandbox) = after_a_run();
    insta::assert_snapshot!(sandbox.run(&["status"]).expect_code(0).out, @r#"
    demo (simulator)
      last run     hourly at 2026-11-20T12:00Z: done
       account  time zone      watermark          lag  missing  provisional  settling  final (7d)
       100001   Europe/Berlin  2026-11-20T11:00Z  1h         0            0        83           0
       100002   Asia/Kolkata   2026-11-20T11:30Z  30m        0            0        83           0
       100003   Pacific/Apia   2026-11-20T11:00Z  1h         0            0        83           0
      hours (UTC)  0     6     12    18
      2026-11-20   ▓▓▓▓▓▓▓▓▓▓▓
      2026-11-19   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
      2026-11-18   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
      2026-11-17   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
      █ final  ▓ settling  ▒ provisional  ◌ some accounts missing  ✗ missing  (blank: not asked for)
    "#);
    let status = json(&sandbox.run(&["status", "demo", "--format", "json"]).expect_code(0).out);
    assert_eq!(status[0]["pipeline"], "demo");
    assert_eq!(status[0]["last_run"]["outcome"], "done");
    let accounts = status[0]["accounts"].as_array().expect("accounts");
    assert_eq!(accounts.len(), 3);
    assert_eq!(accounts[1]["time_zone"], "Asia/Kolkata");
    assert_eq!(accounts[1]["watermark"], "2026-11-20T11:30:00Z");
    assert_eq!(accounts[1]["lag_seconds"], 1800);
    assert_eq!(accounts[0]["missing"], 0);

    insta::assert_snapshot!(sandbox.run(&["gaps"]).expect_code(0).out, @r#"demo: no hour is missing"#);
    assert_eq!(json(&sandbox.run(&["gaps", "--format", "json"]).expect_code(0).out), Value::Array(Vec::new()));
    // Five hours later nobody has run.
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
    command.current_dir(sandbox.path()).args(["gaps", "--now", "2026-11-20T17:00:00Z"]);
    let late = Ran::of(command.output().expect("it runs")).expect_code(5);
    insta::assert_snapshot!(late.out, @r#"
    demo: 15 account-hours are missing
      100001  2026-11-20T11:00Z..2026-11-20T16:00Z  5 h  never fetched
      100002  2026-11-20T11:30Z..2026-11-20T16:30Z  5 h  never fetched
      100003  2026-11-20T11:00Z..2026-11-20T16:00Z  5 h  never fetched
    "#);
    let late = Ran::of(command.args(["--format", "json"]).output().expect("it runs")).expect_code(5);
    let late = json(&late.out);
    assert_eq!(late[0]["account_id"], "100001");
    assert_eq!(late[0]["from"], "2026-11-20T11:00:00Z");
    assert_eq!(late[0]["hours"], 5);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
    command.current_dir(sandbox.path()).args(["status", "--now", "2026-11-20T17:00:00Z", "--days", "1"]);
    insta::assert_snapshot!(Ran::of(command.output().expect("it runs")).expect_code(0).out, @r#"
    demo (simulator)
      last run     hourly at 2026-11-20T12:00Z: done
       account  time zone      watermark          lag     missing  provisional  settling  final (1d)
       100001   Europe/Berlin  2026-11-20T11:00Z  6h            5            0        18           0
       100002   Asia/Kolkata   2026-11-20T11:30Z  5h 30m        5            0        18           0
       100003   Pacific/Apia   2026-11-20T11:00Z  6h            5            0        18           0
      hours (UTC)  0     6     12    18
      2026-11-20   ▓▓▓▓▓▓▓▓▓▓▓✗✗✗✗✗
      2026-11-19                    ▓▓▓▓▓▓▓
      █ final  ▓ settling  ▒ provisional  ◌ some accounts missing  ✗ missing  (blank: not asked for)
    "#);
}

#[test]
fn query_writes_every_format() {
    let (_api, sandbox) = after_a_run();
    let sql =
        "select account_id, count(*) as hours, min(hour) as first from demo group by account_id order by account_id";
    let ask = |format: &str| sandbox.run(&["query", sql, "--format", format]).expect_code(0).out;
    insta::assert_snapshot!(ask("table"), @r#"
    +------------+-------+----------------------+
    | account_id | hours | first                |
    +------------+-------+----------------------+
    | 100001     | 139   | 2026-11-17T00:00:00Z |
    | 100002     | 139   | 2026-11-17T00:30:00Z |
    | 100003     | 140   | 2026-11-17T00:00:00Z |
    +------------+-------+----------------------+
    "#);
    insta::assert_snapshot!(ask("csv"), @r#"
    account_id,hours,first
    100001,139,2026-11-17T00:00:00Z
    100002,139,2026-11-17T00:30:00Z
    100003,140,2026-11-17T00:00:00Z
    "#);
    let lines: Vec<Value> = ask("json").lines().map(json).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["account_id"], "100001");

    let ran = sandbox.run(&["query", sql, "--format", "parquet", "--output", "answer.parquet"]).expect_code(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "3 rows in `answer.parquet`\n"));
    let file = std::fs::File::open(sandbox.path().join("answer.parquet")).expect("the answer");
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).expect("Parquet");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 3);
    sandbox.run(&["query", sql, "--format", "csv", "-o", "answer.csv", "-q"]).expect_code(0);
    assert_eq!(std::fs::read_to_string(sandbox.path().join("answer.csv")).expect("the answer"), ask("csv"));

    let state =
        "select (select count(*) from ledger) > 200, (select count(*) from units) > 0, (select outcome from runs)";
    let state = sandbox.run(&["query", state, "--format", "csv"]).expect_code(0).out;
    assert_eq!(state.lines().nth(1), Some("true,true,done"), "{state}");
    let all = sandbox.run(&["query", "select sum(spend) = (select sum(spend) from demo) as same from campaign_hours"]);
    assert!(all.expect_code(0).out.contains("| true |"));
}

#[test]
fn settings_flag_before_variable_before_file() {
    let (_api, sandbox) = after_a_run();
    // What is asked of three lakes: the one that is used is named in the error, for none of them is there.
    let asked = |arguments: &[&str], variable: Option<&str>| {
        let mut command = sandbox.command(&[&["query", "select 1"], arguments].concat());
        if let Some(value) = variable {
            command.env("HOURMARK_LAKE", value);
        }
        Ran::of(command.output().expect("it runs")).expect_code(2).err
    };
    std::fs::create_dir(sandbox.path().join("conf")).expect("a folder");
    std::fs::write(sandbox.path().join("hourmark.toml"), "lake = \"from-file\"\nworkers = 2\n").expect("settings");
    std::fs::write(sandbox.path().join("conf/other.toml"), "lake = \"from-other\"\n").expect("settings");
    assert!(asked(&[], None).contains("no lake at `from-file`"));
    // Paths in a settings file begin at its folder.
    assert!(asked(&["--config", "conf/other.toml"], None).contains("no lake at `conf/from-other`"));
    assert!(asked(&[], Some("from-variable")).contains("no lake at `from-variable`"));
    assert!(asked(&["--lake", "from-flag"], Some("from-variable")).contains("no lake at `from-flag`"));
    let ran = sandbox.run(&["status", "--pipelines", "elsewhere"]).expect_code(2);
    assert!(ran.err.contains("cannot read the pipelines folder `elsewhere`"), "{}", ran.err);
}

#[test]
fn quiet_verbose_and_json_logs() {
    let api = api();
    let sandbox = Sandbox::new(&api, Some(NOW));
    let quiet = sandbox.run(&["run", "-q"]).expect_code(0);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));

    let again = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--again"];
    let usual = sandbox.run(&again).expect_code(0);
    assert!(usual.err.starts_with("demo: backfill 2026-11-18 to 2026-11-19 done in "), "{}", usual.err);
    let loud = sandbox.run(&[&again[..], &["-vv"]].concat()).expect_code(0);
    assert!(loud.err.contains("/v1/metrics"), "every request is told: {}", loud.err);
    assert!(!loud.err.contains('\u{1b}'), "colours in what is no terminal");

    let told = sandbox.run(&[&again[..], &["-v"]].concat()).expect_code(0);
    assert!(told.err.contains("fetched") && told.err.contains("published"), "{}", told.err);
    assert!(!told.err.contains("/v1/metrics"), "{}", told.err);

    let lines = sandbox.run(&[&again[..], &["-vv", "--log-format", "json"]].concat()).expect_code(0);
    let logged: Vec<Value> = lines.err.lines().filter(|line| line.starts_with('{')).map(json).collect();
    assert!(logged.len() > 2, "{}", lines.err);
    assert!(logged.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()), "{}", lines.err);
    // An error of a pipeline among others is a log line too.
    std::fs::write(sandbox.path().join("pipelines/broken.toml"), "platform = 1\n").expect("a file");
    let ran = sandbox.run(&["run", "--log-format", "json"]).expect_code(2);
    let error = json(ran.err.lines().find(|line| line.starts_with('{')).expect("a log line"));
    assert_eq!(error["level"], "ERROR");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("pipelines/broken.toml:1")), "{error}");
}

#[test]
fn every_command_has_an_example() {
    let help = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
        Ran::of(command.args(arguments).output().expect("it runs")).expect_code(0).out
    };
    let all = help(&["--help"]);
    let commands = all.split("Commands:").nth(1).and_then(|text| text.split("\n\nOptions:").next()).expect("commands");
    let names: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names.len(), 16, "{names:?}");
    for name in names.iter().filter(|name| **name != "help") {
        let text = help(&[name, "--help"]);
        let examples = text.split("Examples:").nth(1).unwrap_or_default();
        assert!(examples.contains(&format!("hourmark {name}")), "`hourmark {name} --help` has no example:\n{text}");
    }
    assert!(help(&["--version"]).contains("time zone data: IANA 20"), "{}", help(&["--version"]));
}

#[test]
fn completions_and_manual_pages() {
    let sandbox = Sandbox::at("http://127.0.0.1:9", None);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.run(&["completions", shell]).expect_code(0).out;
        assert!(script.contains("hourmark") && script.contains("backfill"), "{shell}: {script}");
    }
    sandbox.run(&["man", "man/man1"]).expect_code(0);
    let pages: BTreeSet<String> = std::fs::read_dir(sandbox.path().join("man/man1"))
        .expect("pages")
        .map(|page| page.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(pages.contains("hourmark.1") && pages.contains("hourmark-backfill.1"), "{pages:?}");
}

#[test]
fn simulate_says_its_address_first_and_describes_itself() {
    let api = api();
    let guide = api.get("/");
    assert!(guide.starts_with("# A simulated campaign-metrics API"), "{guide}");
    // `Api::start` reads the first line; a taken port is told.
    let address = api.url.trim_start_matches("http://");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
    let taken = Ran::of(command.args(["simulate", "--listen", address]).output().expect("it runs")).expect_code(2);
    assert!(taken.err.contains(address), "{}", taken.err);
}

/// As long as it must be: the first line comes after four seconds.
#[test]
fn a_long_run_tells_how_far_it_is_where_no_terminal_is() {
    let api = Api::start(&["--accounts", "1", "--campaigns", "1", "--clock", NOW, "--latency", "3s"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let mut command = sandbox.command(&["run", "demo", "--set", "window.history=1d"]);
    let ran = Ran::of(command.stderr(Stdio::piped()).output().expect("it runs")).expect_code(0);
    assert!(ran.err.lines().any(|line| line.starts_with("demo: 0/") && line.contains("requests")), "{}", ran.err);
}
