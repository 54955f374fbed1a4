//! `check --live`: which of token, permission, account and network is wrong, in plain words.

use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::sandbox::{Api, Ran, Sandbox, block_on};

const NOW: &str = "2026-11-20T12:00:00Z";

/// Code, standard error and the last line of standard output, without what differs from machine to machine.
macro_rules! assert_live {
    ($ran:expr, @$text:literal) => {
        let ran: Ran = $ran;
        let last = ran.out.lines().rfind(|line| line.starts_with("demo: ")).unwrap_or("nothing on standard output");
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[port]");
        settings.add_filter(r"(api\.invalid:80): .*", "$1: [the resolver's words]");
        settings.add_filter(r"process \d+ on \S+ since \S+ \S+", "process [id] on [host] since [time]");
        let shown = format!("exit {}\n{last}\n{}", ran.code.expect("a code"), ran.err);
        settings.bind(|| insta::assert_snapshot!(shown, @$text));
    };
}

/// What a server was asked, as `GET /path?query`.
type Asked = Arc<Mutex<Vec<String>>>;

/// Runs `check demo --live` with these edits of the file, against a server that answers every request so.
fn looked(edits: &[(&str, &str)], answer: fn() -> Response) -> (Ran, Vec<String>) {
    let asked = Asked::default();
    let ran = block_on({
        let asked = asked.clone();
        async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("an address"));
            let router = axum::Router::new().fallback(move |request: Request| async move {
                asked.lock().expect("asked").push(format!("{} {}", request.method(), request.uri()));
                answer()
            });
            let server = tokio::spawn(async move { axum::serve(listener, router).await });
            let sandbox = Sandbox::at(&url, Some(NOW));
            for (from, to) in edits {
                sandbox.edit(from, to);
            }
            let mut command = sandbox.command(&["check", "demo", "--live"]);
            let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
            server.abort();
            assert!(!sandbox.path().join("data").exists(), "something was kept");
            Ran::of(output.expect("the program runs"))
        }
    });
    let asked = asked.lock().expect("asked").clone();
    (ran, asked)
}

fn answered(answer: fn() -> Response) -> Ran {
    let (ran, asked) = looked(&[], answer);
    assert_eq!(asked, ["GET /v1/accounts?limit=500"], "it asks once, whatever is answered");
    ran
}

fn at(url: &str) -> Ran {
    Sandbox::at(url, Some(NOW)).run(&["check", "demo", "--live"])
}

fn json(status: u16, body: &'static str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [("content-type", "application/json")], body).into_response()
}

#[test]
fn a_platform_that_answers_well() {
    let ran = answered(|| {
        json(
            200,
            r#"{"data":[{"id":"100001","name":"One","timezone":"Europe/Berlin","currency":"EUR"},
                              {"id":"100002","name":"Two","timezone":"UTC","currency":""}],"paging":{"next":"more"}}"#,
        )
    });
    assert!(ran.out.starts_with("pipelines/demo.toml: fine\n"), "{}", ran.out);
    assert_live!(ran, @"
    exit 0
    demo: all is well: 2 accounts on the first page, the first is `100001` (Europe/Berlin, EUR) (1 request)
    ");
}

#[test]
fn a_token_that_is_not_accepted() {
    assert_live!(answered(|| json(401, r#"{"error":{"code":"UNAUTHORIZED","message":"who is it-token-5f2c?"}}"#)), @"
    exit 7
    nothing on standard output
    error: demo: the token is wrong: HTTP 401: who is [secret]?
      hint: the platform does not accept what `env:HOURMARK_DEMO_TOKEN` holds: is it expired, of another app, or cut off?
    ");
}

#[test]
fn a_permission_that_is_missing() {
    assert_live!(answered(|| json(403, r#"{"error":{"message":"scope ads:read is missing"}}"#)), @"
    exit 7
    nothing on standard output
    error: demo: the permission is wrong: HTTP 403: scope ads:read is missing
      hint: the credentials are accepted and may not do this: give them the right to read reports
    ");
}

#[test]
fn an_address_where_nothing_is() {
    assert_live!(answered(|| json(404, r#"{"error":{"message":"no such path"}}"#)), @"
    exit 7
    nothing on standard output
    error: demo: the address is wrong: HTTP 404: no such path
      hint: check `api.base_url` and `accounts.path`: nothing is there
    ");
}

#[test]
fn a_limit_that_is_reached() {
    let limited = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1800")]).into_response();
    assert_live!(answered(limited), @"
    exit 3
    nothing on standard output
    demo: over a limit: HTTP 429: come back at 2026-11-20 12:30:00Z
    ");
    // Who does not say when is asked again in a minute, and not at once.
    assert_live!(answered(|| StatusCode::TOO_MANY_REQUESTS.into_response()), @"
    exit 3
    nothing on standard output
    demo: over a limit: HTTP 429: come back at 2026-11-20 12:01:00Z
    ");
}

#[test]
fn a_platform_that_is_not_well() {
    assert_live!(answered(|| StatusCode::SERVICE_UNAVAILABLE.into_response()), @"
    exit 7
    nothing on standard output
    error: demo: the platform is not well: HTTP 503
      hint: nothing on this side is wrong as far as can be seen: try again later
    ");
}

#[test]
fn a_login_page_in_place_of_the_api() {
    assert_live!(answered(|| ([("content-type", "text/html")], "<html>Log in</html>").into_response()), @"
    exit 7
    nothing on standard output
    error: demo: the answer is not what the file says: the answer is not a page: HTML or XML instead of JSON
      hint: does `api.base_url` lead to the API and not to a login page or a proxy? and is `records` right?
    ");
}

#[test]
fn credentials_that_see_no_account() {
    assert_live!(answered(|| json(200, r#"{"data":[],"paging":{"next":null}}"#)), @"
    exit 7
    nothing on standard output
    error: demo: no account: the platform answers well, and these credentials see none
      hint: give their user access to an ad account, or take another user's credentials
    ");
}

#[test]
fn an_account_in_a_zone_that_nobody_knows() {
    assert_live!(answered(|| json(200, r#"{"data":[{"id":"1","timezone":"Mars/Base"}]}"#)), @"
    exit 7
    nothing on standard output
    error: account `1` is in the time zone `Mars/Base`, which is not an IANA name
      hint: say in `[accounts.time_zone_names]` what IANA calls it, or in `[accounts.time_zones]` where the account is
    ");
}

#[test]
fn a_network_that_leads_nowhere() {
    // Nothing listens there.
    assert_live!(at("http://127.0.0.1:9"), @"
    exit 7
    nothing on standard output
    error: demo: the network is wrong: cannot connect to 127.0.0.1:[port]: Connection refused (os error 111)
      hint: nothing takes the connection there: check `api.base_url`, the firewall and the proxy
    ");
    // A name that is never given out (RFC 6761).
    let ran = at("http://api.invalid");
    assert_live!(ran, @"
    exit 7
    nothing on standard output
    error: demo: the network is wrong: cannot find the host of api.invalid:80: [the resolver's words]
      hint: is the host in `api.base_url` spelt right, and does this machine have a name server?
    ");
}

#[test]
fn a_secure_connection_to_a_port_that_speaks_plainly() {
    let api = Api::start(&["--accounts", "1", "--clock", NOW]);
    assert_live!(at(&api.url.replace("http://", "https://")), @"
    exit 7
    nothing on standard output
    error: demo: the network is wrong: no secure connection to 127.0.0.1:[port]: received corrupt message of type InvalidContentType
      hint: check `api.base_url` (http or https, and the port), and whether a proxy stands between with a certificate of its own
    ");
}

/// Accounts in the file: the smallest request for metrics, or the campaigns where metrics cannot be asked for.
const LISTED: &[(&str, &str)] = &[
    (
        "[accounts]\npath = \"/v1/accounts\"\nrecords = \"data\"\nid = \"id\"\nname = \"name\"\ntime_zone = \"timezone\"",
        "[accounts]\nlist = [{ id = \"77\", time_zone = \"Asia/Kolkata\", currency = \"INR\" }]\n# ",
    ),
    (
        "\ncurrency = \"currency\"\n\n[accounts.pagination]\nkind = \"cursor\"\nnext = \"paging.next\"                        # the token is here in an answer,\nparam = \"cursor\"                            # and goes into the next request as ?cursor=\npage_size = 500\npage_size_param = \"limit\"\n",
        "\n",
    ),
];

#[test]
fn an_account_of_the_file_is_asked_for_one_hour() {
    let row = || {
        json(
            200,
            r#"{"data":[{"account_id":"77","campaign_id":"1","hour":"2026-11-20T10:30:00Z"}],"paging":{"cursor":"more"}}"#,
        )
    };
    let (ran, asked) = looked(LISTED, row);
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(asked.contains("account_ids=77&from=2026-11-20T10%3A30%3A00Z&to=2026-11-20T11%3A30%3A00Z"), "{asked}");
    assert_live!(ran, @"
    exit 0
    demo: all is well: 1 row of account `77` from 2026-11-20T10:30Z to 2026-11-20T11:30Z on the first page (1 request)
    ");
    let (ran, _) = looked(LISTED, || json(404, r#"{"error":{"message":"no account 77"}}"#));
    assert_live!(ran, @"
    exit 7
    nothing on standard output
    error: demo: account `77` is wrong: HTTP 404: no account 77
      hint: is its id right in the file, and may these credentials see it?
    ");
}

#[test]
fn what_would_create_something_is_not_sent() {
    let report = "[report]\nid = \"id\"\n[report.poll]\npath = \"/v1/reports/{report}\"\nstatus = \"status\"\ndone = [\"done\"]\n[report.rows]\npath = \"/v1/reports/{report}/rows\"\n\n[records]\npath = \"data\"\n\n[hour]";
    let edits = [
        LISTED,
        &[
            ("[records]\npath = \"data\"\n\n[hour]", report),
            ("path = \"/v1/metrics\"", "creates = true\nmethod = \"POST\"\npath = \"/v1/metrics\""),
        ],
    ]
    .concat();
    let (ran, asked) = looked(&edits, || json(200, "{}"));
    assert_eq!(asked, Vec::<String>::new());
    assert_live!(ran, @"
    exit 0
    demo: nothing was sent: every request that fits would create something
    ");
}

#[test]
fn a_secret_that_is_not_set_and_a_broken_file_are_bad_input() {
    let sandbox = Sandbox::at("http://127.0.0.1:9", Some(NOW));
    let mut command = sandbox.command(&["check", "demo", "--live"]);
    let ran = Ran::of(command.env_remove("HOURMARK_DEMO_TOKEN").output().expect("it runs"));
    assert_live!(ran, @"
    exit 2
    nothing on standard output
    error: the secret `env:HOURMARK_DEMO_TOKEN` is not set
      hint: export HOURMARK_DEMO_TOKEN=... before the command, or name a file with `file:PATH`
    ");
    sandbox.edit("[window]", "[windows]");
    sandbox.run(&["check", "demo", "--live"]).expect_code(2);
}

/// Where a state is, what is asked counts: nothing is asked beside a run, and a limit that was met holds.
#[test]
fn quotas_hold_and_nothing_else_is_written() {
    let api = Api::start(&["--accounts", "2", "--campaigns", "1", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo"]).expect_code(0);
    let (lake, before) = (sandbox.files("demo"), sandbox.lake("demo"));
    sandbox.run(&["check", "demo", "--live"]).expect_code(0);
    assert_eq!((sandbox.files("demo"), sandbox.lake("demo")), (lake, before));
    let quota = sandbox.run(&["check", "demo", "--live", "--set", "quotas.0.requests=1", "--set", "quotas.0.per=1d"]);
    assert_live!(quota, @"
    exit 3
    nothing on standard output
    demo: over a limit: the quota `app` of app, 1 in 1day, is used up: come back at 2026-11-21 11:59:59Z
    ");
}
