//! What a user sees when something is wrong, and the exit code: where, what was expected, what to do, never a secret.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::sandbox::{Api, Ran, Sandbox, block_on};

const NOW: &str = "2026-11-20T12:00:00Z";
/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Code and streams of a run, with what differs from machine to machine taken out.
fn shown(ran: &Ran) -> String {
    let mut text = format!("exit {}\n", ran.code.expect("a code"));
    for stream in [&ran.out, &ran.err] {
        text.push_str(stream);
    }
    text
}

/// An inline snapshot of what was shown.
macro_rules! assert_shown {
    ($ran:expr, @$text:literal) => {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"127\.0\.0\.1:\d{2,5}", "127.0.0.1:[port]");
        settings.add_filter(r"/tmp/\.tmp\w+|/var/folders/[^ `:]+/\.tmp\w+", "[folder]");
        settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z +(ERROR|WARN)", "[time] $1");
        settings.add_filter(r"demo\.toml:\d+: ", "demo.toml:[line]: ");
        settings.add_filter(r" in \d+\.\d+s \(", " in [time] (");
        settings.add_filter(r"process \d+ on \S+", "process [id] on [host]");
        settings.bind(|| insta::assert_snapshot!(shown(&$ran), @$text));
    };
}

fn alone() -> Sandbox {
    Sandbox::at(NOWHERE, Some(NOW))
}

fn write(sandbox: &Sandbox, name: &str, text: &str) {
    std::fs::write(sandbox.path().join(name), text).expect("a file");
}

/// Runs the demo's pipeline once, without repeats, against a server that answers each request as `answer` says.
fn against(answer: fn(&str) -> Response) -> Ran {
    block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = axum::Router::new().fallback(move |request: Request| async move { answer(request.uri().path()) });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let sandbox = Sandbox::at(&url, Some(NOW));
        let mut command = sandbox.command(&[
            "run",
            "demo",
            "--set",
            "retry.attempts=1",
            "--set",
            "window.history=1d",
            "--workers",
            "1",
        ]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        server.abort();
        Ran::of(output.expect("the program runs"))
    })
}

fn one_account() -> Response {
    let body =
        r#"{"data":[{"id":"100001","name":"One","timezone":"Europe/Berlin","currency":"EUR"}],"paging":{"next":null}}"#;
    ([("content-type", "application/json")], body).into_response()
}

const HTML: &str = "<html><head><title>502 Bad Gateway</title></head>\n<body><h1>502 Bad Gateway</h1></body></html>\n";

fn page_of_html(status: StatusCode) -> Response {
    (status, [("content-type", "text/html")], HTML).into_response()
}

#[test]
fn a_pipeline_file_with_mistakes() {
    let sandbox = alone();
    sandbox.edit("[window]", "[window]\nsettel = \"1h\"");
    sandbox.edit(
        "page_size = 500                             # the platform gives",
        "page_size = \"500\" # the platform gives",
    );
    sandbox.edit("schedule = \"5 * * * *\"", "schedule = \"61 * * * *\"");
    let ran = sandbox.run(&["check", "demo"]);
    let text = std::fs::read_to_string(sandbox.path().join("pipelines/demo.toml")).expect("the pipeline");
    for key in ["schedule = \"61", "page_size = \"500\"", "settel"] {
        let line = text.lines().position(|line| line.starts_with(key)).expect("the key") + 1;
        assert!(ran.out.contains(&format!("demo.toml:{line}: ")) || ran.err.contains(&format!("demo.toml:{line}: ")));
    }
    assert_shown!(ran, @r#"
    exit 2
    3 problems in `pipelines/demo.toml`
    pipelines/demo.toml:[line]: `schedule` is "61 * * * *": its minute is "61", expected 0 to 59, `*`, a list, a range or a step
    pipelines/demo.toml:[line]: `pagination.page_size` is "500": expected an integer
    pipelines/demo.toml:[line]: unknown key `window.settel`: expected one of align, size, settle, refresh, account_refresh, learn, lookback, history, retention (did you mean "settle"?)

    error: 1 of 1 pipeline files cannot be used
    "#);
    assert_shown!(sandbox.run(&["run", "demo"]), @r#"
    exit 2
    error: 3 problems in `pipelines/demo.toml`
    pipelines/demo.toml:[line]: `schedule` is "61 * * * *": its minute is "61", expected 0 to 59, `*`, a list, a range or a step
    pipelines/demo.toml:[line]: `pagination.page_size` is "500": expected an integer
    pipelines/demo.toml:[line]: unknown key `window.settel`: expected one of align, size, settle, refresh, account_refresh, learn, lookback, history, retention (did you mean "settle"?)
    "#);
    write(&sandbox, "pipelines/broken.toml", "platform = \n");
    assert_shown!(sandbox.run(&["check", "broken"]), @r#"
    exit 2
    1 problem in `pipelines/broken.toml`
    pipelines/broken.toml:1: not TOML: string values must be quoted, expected literal string

    error: 1 of 1 pipeline files cannot be used
    "#);
    assert_shown!(sandbox.run(&["check", "nope"]), @r#"
    exit 2
    cannot read the pipeline file `pipelines/nope.toml`: No such file or directory (os error 2)
      hint: `hourmark new NAME` writes a new one to start from

    error: 1 of 1 pipeline files cannot be used
    "#);
}

#[test]
fn a_secret_that_is_not_there() {
    let sandbox = alone();
    let mut command = sandbox.command(&["run", "demo"]);
    assert_shown!(Ran::of(command.env_remove("HOURMARK_DEMO_TOKEN").output().expect("it runs")), @r#"
    exit 2
    error: the secret `env:HOURMARK_DEMO_TOKEN` is not set
      hint: export HOURMARK_DEMO_TOKEN=... before the command, or name a file with `file:PATH`
    "#);
    assert_shown!(sandbox.run(&["run", "demo", "--set", "auth.token=file:secrets/demo"]), @r#"
    exit 2
    error: cannot read the secret `file:secrets/demo`: No such file or directory (os error 2)
      hint: the file holds nothing but the secret and is readable by this user
    "#);
    // A secret in the file itself is refused and not repeated.
    let ran = sandbox.run(&["run", "demo", "--set", "auth.token=hunter2-hunter2"]);
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    assert_shown!(ran, @r#"
    exit 2
    error: 1 problem in `pipelines/demo.toml`
    pipelines/demo.toml: --set: `auth.token` is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself
    "#);
}

#[test]
fn words_of_the_command_line() {
    let sandbox = alone();
    assert_shown!(sandbox.run(&["run", "demo", "--set", "api.base_url"]), @r#"
    exit 2
    error: `--set` has no `=`
      hint: write --set KEY=VALUE, as in --set window.size=6
    "#);
    assert_shown!(sandbox.run(&["run", "demo", "--set", "api.base=x"]), @r#"
    exit 2
    error: 1 problem in `pipelines/demo.toml`
    pipelines/demo.toml: --set: unknown key `api.base`: expected one of base_url, headers, servers, hosts, conditional, connect_timeout, first_byte_timeout, stall_timeout, max_body (did you mean "base_url"?)
    "#);
    assert_shown!(sandbox.run(&["run", "demo", "--set", "window.size=many"]), @r#"
    exit 2
    error: 1 problem in `pipelines/demo.toml`
    pipelines/demo.toml: --set: `window.size` is "many": expected an integer
    "#);
    assert_shown!(sandbox.run(&["run", "demmo"]), @r#"
    exit 2
    error: there is no pipeline `demmo`: `pipelines/demmo.toml` does not exist
      hint: there are: demo; `hourmark new NAME` writes another; --pipelines names the folder
    "#);
    assert_shown!(sandbox.run(&["backfill", "demo", "--from", "2026-11-05", "--to", "2026-11-01"]), @r#"
    exit 2
    error: --from 2026-11-05 is not before --to 2026-11-01
      hint: --to is the first date that is not fetched
    "#);
    assert_shown!(sandbox.run(&["plan", "demo", "--from", "2026-11-05", "--to", "2026-11-05"]), @r#"
    exit 2
    error: --from 2026-11-05 is not before --to 2026-11-05
      hint: --to is the first date that is not fetched
    "#);
    assert_shown!(sandbox.run(&["backfill", "demo", "--from", "yesterday", "--to", "2026-11-01"]), @r#"
    exit 2
    error: invalid value 'yesterday' for '--from <DATE>': expected a date such as 2026-11-20

    For more information, try '--help'.
    "#);
    assert_shown!(sandbox.run(&["run", "--workers", "0"]), @r#"
    exit 2
    error: `workers` is 0: expected 1 to 1024
    "#);
}

#[test]
fn the_settings_file() {
    let sandbox = alone();
    write(&sandbox, "hourmark.toml", "lake = \"data/lake\"\nworker = 4\n");
    assert_shown!(sandbox.run(&["status"]), @r#"
    exit 2
    error: the settings file `hourmark.toml` is wrong in line 2: unknown field `worker`, expected one of `lake`, `state`, `pipelines`, `workers`, `quotas`
      hint: it may hold `lake`, `state`, `pipelines` (paths), `workers` (a number) and tables `[quotas.NAME]`
    "#);
    write(&sandbox, "hourmark.toml", "workers = \"four\"\n");
    assert_shown!(sandbox.run(&["status"]), @r#"
    exit 2
    error: the settings file `hourmark.toml` is wrong in line 1: invalid type: string "four", expected a whole number
      hint: it may hold `lake`, `state`, `pipelines` (paths), `workers` (a number) and tables `[quotas.NAME]`
    "#);
    write(&sandbox, "hourmark.toml", "workers = \n");
    assert_shown!(sandbox.run(&["status"]), @r#"
    exit 2
    error: the settings file `hourmark.toml` is wrong in line 1: string values must be quoted, expected literal string
      hint: it may hold `lake`, `state`, `pipelines` (paths), `workers` (a number) and tables `[quotas.NAME]`
    "#);
    write(&sandbox, "hourmark.toml", "[quotas.agency]\nrequests = 5\nper = \"2d\"\nname = \"agency\"\n");
    assert_shown!(sandbox.run(&["status"]), @r#"
    exit 2
    error: 1 problem in `hourmark.toml`
    hourmark.toml:4: unknown key `quotas.agency.name`: expected one of requests, per, scope, endpoints, weights, window, zone, burst, safety, adapt, strict
    "#);
    write(&sandbox, "hourmark.toml", "[quotas.agency]\nrequests = 5\nper = \"2d\"\n");
    assert_shown!(sandbox.run(&["status"]), @r#"
    exit 2
    error: 1 problem in `hourmark.toml`
    hourmark.toml:3: `quotas.agency.per` is "2d": expected 1s to 1d
    "#);
    write(&sandbox, "hourmark.toml", "[quotas.agency]\nrequests = 5\nper = \"1d\"\n");
    sandbox.edit("name = \"app\"\nrequests = 20\nper = \"1s\"", "shared = \"agncy\"");
    assert_shown!(sandbox.run(&["run", "demo"]), @r#"
    exit 2
    error: 1 problem in `pipelines/demo.toml`
    pipelines/demo.toml:[line]: `quotas.0.shared` is "agncy": `hourmark.toml` has no such quota, expected one of agency (did you mean "agency"?); a table `[quotas.agncy]` there makes it
    "#);
    assert_shown!(sandbox.run(&["check", "demo"]), @r#"
    exit 2
    1 problem in `pipelines/demo.toml`
    pipelines/demo.toml:[line]: `quotas.0.shared` is "agncy": `hourmark.toml` has no such quota, expected one of agency (did you mean "agency"?); a table `[quotas.agncy]` there makes it

    error: 1 of 1 pipeline files cannot be used
    "#);
    sandbox.edit("agncy", "agency");
    let ran = sandbox.run(&["check", "demo"]).expect_code(0);
    assert!(ran.out.contains("agency"), "{}", ran.out);
    write(&sandbox, "hourmark.toml", "");
    assert_shown!(sandbox.run(&["status", "--config", "other.toml"]), @r#"
    exit 2
    error: cannot read the settings file `other.toml`: No such file or directory (os error 2)
      hint: it was named by --config or HOURMARK_CONFIG; without them `hourmark.toml` is read where it is
    "#);
}

#[test]
fn before_any_run() {
    let sandbox = alone();
    assert_shown!(sandbox.run(&["status"]), @r#"
    exit 2
    error: nothing has run yet: there is no state `data/state.db`
      hint: `hourmark run` or `hourmark demo` begins one; --state names another
    "#);
    assert_shown!(sandbox.run(&["gaps"]), @r#"
    exit 2
    error: nothing has run yet: there is no state `data/state.db`
      hint: `hourmark run` or `hourmark demo` begins one; --state names another
    "#);
    assert_shown!(sandbox.run(&["query", "select * from demo"]), @r#"
    exit 2
    error: no lake at `data/lake`
      hint: `hourmark run` makes it; name another place with `--lake`
    "#);
    assert_shown!(sandbox.run(&["new", "demo"]), @r#"
    exit 2
    error: `pipelines/demo.toml` is there already
      hint: choose another name, or remove the file
    "#);
    assert_shown!(sandbox.run(&["new", "My Ads"]), @r#"
    exit 2
    error: `My Ads` cannot be a pipeline's name
      hint: expected lower-case letters, digits and `_`, a letter first, as in `hourmark new acme_ads`
    "#);
    std::fs::remove_file(sandbox.path().join("pipelines/demo.toml")).expect("the pipeline");
    assert_shown!(sandbox.run(&["run"]), @r#"
    exit 2
    error: no pipelines in `pipelines`
      hint: `hourmark new NAME` writes one to begin with, `hourmark demo` shows a whole run
    "#);
    assert_shown!(sandbox.run(&["schedule"]), @r#"
    exit 2
    error: no pipelines in `pipelines`
      hint: `hourmark new NAME` writes one to begin with, `hourmark demo` shows a whole run
    "#);
    assert_shown!(sandbox.run(&["plan"]), @r#"
    exit 2
    error: no pipelines in `pipelines`
      hint: `hourmark new NAME` writes one to begin with, `hourmark demo` shows a whole run
    "#);
    write(&sandbox, "data", "a file");
    assert_shown!(sandbox.run(&["query", "select 1"]), @r#"
    exit 6
    error: cannot open the state `data/state.db`: Not a directory (os error 20)
      hint: is its folder there, and writable for this user?
    "#);
}

#[test]
fn a_host_that_is_not_there() {
    let sandbox = alone();
    assert_shown!(sandbox.run(&["run", "demo", "--set", "retry.attempts=1"]), @r#"
    exit 7
    error: cannot list the accounts of `demo`: cannot connect to 127.0.0.1:9: Connection refused (os error 111)
      hint: check `api.base_url` and the network
    "#);
    let ran = Sandbox::at("http://no-such-host.invalid", Some(NOW)).run(&["run", "demo", "--set", "retry.attempts=1"]);
    // The resolver's own words differ from system to system.
    assert_eq!(ran.code, Some(7), "{}", ran.err);
    assert!(ran.err.contains("cannot find the host of no-such-host.invalid"), "{}", ran.err);
    // One pipeline's trouble among several is told once, and the end says how many.
    let sandbox = alone();
    std::fs::copy(sandbox.path().join("pipelines/demo.toml"), sandbox.path().join("pipelines/other.toml"))
        .expect("a copy");
    assert_shown!(sandbox.run(&["run", "--set", "retry.attempts=1"]), @r#"
    exit 7
    [time] ERROR cannot list the accounts of `demo`: cannot connect to 127.0.0.1:9: Connection refused (os error 111)
      hint: check `api.base_url` and the network pipeline="demo"
    [time] ERROR cannot list the accounts of `other`: cannot connect to 127.0.0.1:9: Connection refused (os error 111)
      hint: check `api.base_url` and the network pipeline="other"
    error: 2 of 2 pipelines could not run
    "#);
}

#[test]
fn credentials_and_accounts_that_the_platform_does_not_know() {
    let api = Api::start(&["--accounts", "2", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let mut command = sandbox.command(&["run", "demo"]);
    command.env("HOURMARK_DEMO_TOKEN", "an-old-token-9921");
    let ran = Ran::of(command.output().expect("it runs"));
    assert!(!ran.err.contains("an-old-token"), "{}", ran.err);
    assert_shown!(ran, @r#"
    exit 7
    error: cannot list the accounts of `demo`: HTTP 401: a bearer token is missing or not the right one
      hint: the platform does not accept the credentials of `env:HOURMARK_DEMO_TOKEN`
    "#);
    assert_shown!(sandbox.run(&["run", "demo", "--accounts", "100001,4711"]), @r#"
    exit 2
    error: pipeline `demo` has no account `4711`
      hint: `hourmark status` lists the accounts
    "#);
}

#[test]
fn answers_that_are_no_json() {
    assert_shown!(against(|_| page_of_html(StatusCode::BAD_GATEWAY)), @r#"
    exit 7
    error: cannot list the accounts of `demo`: HTTP 502: an HTML page
      hint: check `api.base_url` and `accounts.path`, or come back when the platform is well
    "#);
    assert_shown!(against(|_| page_of_html(StatusCode::OK)), @r#"
    exit 7
    error: cannot list the accounts of `demo`: the answer is not a page: HTML or XML instead of JSON
      hint: check `api.base_url` and `accounts.path`, or come back when the platform is well
    "#);
    let metrics = |path: &str| match path {
        "/v1/accounts" => one_account(),
        _ => page_of_html(StatusCode::OK),
    };
    assert_shown!(against(metrics), @r#"
    exit 1
    [time] WARN unit failed: the answer is not a page: HTML or XML instead of JSON unit=demo/100001/2026-11-20T00:00Z..2026-11-20T11:00Z attempts=1
    [time] WARN unit failed: the answer is not a page: HTML or XML instead of JSON unit=demo/100001/2026-11-19T00:00Z..2026-11-20T00:00Z attempts=1
    demo: hourly run partly failed in [time] (1 accounts, 0 units, 0 rows, 0 rows/s)
      units      0 published, 2 failed, of 2 planned
      rows       0 read, 0 new, 0 changed, 0 taken back
      requests   3, of them 0 repeated, 0 refused for a limit
      partitions 0 written, 0 B encoded, 0 B carried over
      failed     account 100001, 2026-11-20T00:00Z to 2026-11-20T11:00Z: the answer is not a page: HTML or XML instead of JSON
      failed     account 100001, 2026-11-19T00:00Z to 2026-11-20T00:00Z: the answer is not a page: HTML or XML instead of JSON
    "#);
}

#[test]
fn rows_that_do_not_fit() {
    let with_text = |path: &str| match path {
        "/v1/accounts" => one_account(),
        _ => {
            let body = r#"{"data":[{"account_id":"100001","campaign_id":"7","hour":"2026-11-20T09:00:00+01:00",
                "campaign_name":"Seven","impressions":"many","clicks":3,"spend_micros":1}],"paging":{"cursor":null}}"#;
            ([("content-type", "application/json")], body).into_response()
        }
    };
    assert_shown!(against(with_text), @r#"
    exit 1
    [time] WARN unit failed: record 1: `impressions` at `impressions` holds `"many"`, expected an integer unit=demo/100001/2026-11-20T00:00Z..2026-11-20T11:00Z attempts=1
    demo: hourly run partly failed in [time] (1 accounts, 1 units, 0 rows, 0 rows/s)
      units      1 published, 1 failed, of 2 planned
      rows       0 read, 0 new, 0 changed, 0 taken back
      requests   3, of them 0 repeated, 0 refused for a limit
      partitions 0 written, 0 B encoded, 0 B carried over
      left away  1 rows of hours that were not asked for or not over
      failed     account 100001, 2026-11-20T00:00Z to 2026-11-20T11:00Z: record 1: `impressions` at `impressions` holds `"many"`, expected an integer
    "#);
    let elsewhere = |path: &str| match path {
        "/v1/accounts" => one_account(),
        _ => ([("content-type", "application/json")], r#"{"rows":[]}"#).into_response(),
    };
    assert_shown!(against(elsewhere), @r#"
    exit 1
    [time] WARN unit failed: the answer is not a page: no records at `data` unit=demo/100001/2026-11-20T00:00Z..2026-11-20T11:00Z attempts=1
    [time] WARN unit failed: the answer is not a page: no records at `data` unit=demo/100001/2026-11-19T00:00Z..2026-11-20T00:00Z attempts=1
    demo: hourly run partly failed in [time] (1 accounts, 0 units, 0 rows, 0 rows/s)
      units      0 published, 2 failed, of 2 planned
      rows       0 read, 0 new, 0 changed, 0 taken back
      requests   3, of them 0 repeated, 0 refused for a limit
      partitions 0 written, 0 B encoded, 0 B carried over
      failed     account 100001, 2026-11-20T00:00Z to 2026-11-20T11:00Z: the answer is not a page: no records at `data`
      failed     account 100001, 2026-11-19T00:00Z to 2026-11-20T00:00Z: the answer is not a page: no records at `data`
    "#);
}

#[test]
fn sql_that_does_not_fit() {
    let api = Api::start(&["--accounts", "1", "--campaigns", "1", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo", "--set", "window.history=1d"]).expect_code(0);
    let query = |sql: &str| sandbox.run(&["query", sql]);
    assert_shown!(query("select * from nope"), @r#"
    exit 2
    error: no table is named `nope`
      hint: tables: demo, demo__restatements, campaign_hours, campaigns, ledger, ledger_final, units, runs
    "#);
    assert_shown!(query("select spent from demo"), @r#"
    exit 2
    error: no column is named `spent`
      hint: columns: account_id, account_name, account_timezone, campaign_id, campaign_name, clicks, conversions, currency, date, hour, hours_covered, impressions, link_clicks, local_hour, platform, purchases, seen_at, spend, updated_at, utc_offset_minutes
    "#);
    assert_shown!(query("selec 1"), @r#"
    exit 2
    error: not a query: Expected: an SQL statement, found: selec at Line: 1, Column: 1
    "#);
    assert_shown!(query(""), @r#"
    exit 2
    error: the query is empty
      hint: tables: demo, demo__restatements, campaign_hours, campaigns, ledger, ledger_final, units, runs
    "#);
    assert_shown!(query("drop table demo"), @r#"
    exit 2
    error: a query only reads: DDL not supported: DropTable
      hint: SELECT, EXPLAIN, DESCRIBE and SHOW are possible; `--output FILE` keeps a result
    "#);
    assert_shown!(query("create table x as select 1"), @r#"
    exit 2
    error: a query only reads: DDL not supported: CreateMemoryTable
      hint: SELECT, EXPLAIN, DESCRIBE and SHOW are possible; `--output FILE` keeps a result
    "#);
    assert_shown!(query("delete from demo"), @r#"
    exit 2
    error: a query only reads: DML not supported: Delete
      hint: SELECT, EXPLAIN, DESCRIBE and SHOW are possible; `--output FILE` keeps a result
    "#);
    assert_shown!(query("copy demo to 'x.csv'"), @r#"
    exit 2
    error: a query only reads: DML not supported: COPY
      hint: SELECT, EXPLAIN, DESCRIBE and SHOW are possible; `--output FILE` keeps a result
    "#);
    assert_shown!(query("select 1; select 2"), @r#"
    exit 2
    error: more than one statement
      hint: ask one after the other
    "#);
    assert_shown!(query("select clicks / 0 from demo"), @r#"
    exit 2
    error: the query failed: Divide by zero error
    "#);
    assert_shown!(sandbox.run(&["query", "select 1", "--output", "no/such/folder/x.csv"]), @r#"
    exit 2
    error: cannot write `no/such/folder/x.csv`: its folder cannot be opened: No such file or directory (os error 2)
    "#);
}

#[test]
fn a_state_and_a_lake_that_cannot_be_used() {
    let sandbox = alone();
    write(&sandbox, "lake", "a file");
    assert_shown!(sandbox.run(&["run", "demo", "--lake", "lake"]), @r#"
    exit 6
    error: the lake `lake` cannot be a folder: `lake` is a file
      hint: move the file away, or choose another folder with `--lake`
    "#);
    write(&sandbox, "state", "no database at all, but long enough to be read as one: 0123456789");
    assert_shown!(sandbox.run(&["run", "demo", "--state", "state"]), @r#"
    exit 6
    error: cannot open the state `state`: it is not an SQLite database: (code: 26) file is not a database
      hint: name another file for the state
    "#);
}
