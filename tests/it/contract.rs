//! A contract that nobody here wrote: `pipelines/pinterest_ads.toml` against the vendor's own OpenAPI file, served by Prism.
//!
//! Prism checks every request by that file and refuses what does not fit. What it answers are the file's examples, and
//! those leave open what a lake needs: a `bookmark` that ends, an id that is a number, a `DATE` that names an hour, the
//! asked columns. So a small server stands between the program and Prism: it hands every request on as it came, keeps
//! it with Prism's verdict, and fills only those open values into answers that Prism gave.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::outside::{Process, prism, spec};
use crate::sandbox::{Ran, Sandbox, block_on};

const SPEC: &str = "pinterest/openapi-5.23.0.json";
const NOW: &str = "2026-11-20T12:10:00Z";
const SECRET: &str = "pina-7b1e-not-a-real-token";
/// The account and campaign of the OpenAPI file's examples.
const ACCOUNT: &str = "549755885175";
const CAMPAIGN: &str = "547602124502";

/// The file signs in by a refresh token; here the access token is given, because the vendor's file is about the rest.
const SIGNING: &str = r#"auth={ kind = "bearer", token = "env:PINTEREST_ACCESS_TOKEN" }"#;

/// Prism with a vendor's file on a free port. `None` where Prism or the file is missing.
pub fn start_prism(test: &str, file: &str) -> Option<(Process, String)> {
    let (program, spec) = (prism(test)?, spec(test, file)?);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let mut command = Command::new(program);
    command.args(["mock", "--host", "127.0.0.1", "--port", &port.to_string()]).arg(spec);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Prism starts");
    let mut process = Process(child);
    for _ in 0..600 {
        assert!(process.0.try_wait().expect("Prism's state").is_none(), "Prism ended by itself");
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((process, format!("http://127.0.0.1:{port}")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("Prism does not listen");
}

/// A request that the program sent, and what Prism said of it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    query: Vec<(String, String)>,
    signed: bool,
    status: u16,
    said: String,
}

#[derive(Clone)]
struct Between {
    prism: String,
    client: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// Hands a request on to Prism as it came, and gives its answer with the open values filled in.
async fn hand_on(State(between): State<Between>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().expect("a path").as_str().to_owned();
    let mut headers = parts.headers.clone();
    for name in ["host", "accept-encoding", "connection"] {
        headers.remove(name);
    }
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let sent = between.client.request(parts.method, format!("{}{target}", between.prism)).headers(headers).body(body);
    let answer = sent.send().await.expect("Prism answers");
    let status = answer.status();
    let said = answer.text().await.expect("a body");
    let seen = Seen {
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        signed: parts.headers.get("authorization").is_some_and(|value| value == &format!("Bearer {SECRET}")),
        status: status.as_u16(),
        said: said.clone(),
    };
    let body = if status == StatusCode::OK { filled(&seen) } else { said };
    between.seen.lock().expect("no panic").push(seen);
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(Body::from(body)).expect("an answer")
}

/// Prism's answer with the values that the OpenAPI file leaves open.
fn filled(seen: &Seen) -> String {
    let mut answer: Value = serde_json::from_str(&seen.said).expect("JSON");
    if let Some(rows) = answer.as_array_mut() {
        let row = rows.first().expect("an example row").clone();
        *rows = (0..2).map(|hour| hour_row(&row, seen, hour)).collect();
        return answer.to_string();
    }
    // The example's bookmark never ends: it leads to one more page, which is empty.
    if value(seen, "bookmark").is_some() {
        answer["bookmark"] = Value::Null;
        answer["items"] = json!([]);
        return answer.to_string();
    }
    // Where the file has no example Prism writes "string", which is no id in the next request.
    answer["items"][0]["id"] = json!(if seen.path == "/ad_accounts" { ACCOUNT } else { CAMPAIGN });
    answer.to_string()
}

/// The example's row for an hour of the asked day, with a value for each asked column.
fn hour_row(example: &Value, seen: &Seen, hour: u32) -> Value {
    let mut row = example.clone();
    let day = value(seen, "start_date").expect("a date");
    row["DATE"] = json!(format!("{day}T{hour:02}:00:00"));
    for column in value(seen, "columns").expect("columns").split(',').filter(|column| *column != "CAMPAIGN_ID") {
        // "If a column has no value, it may not be returned".
        if column == "SPEND_IN_MICRO_DOLLAR" {
            row[column] = json!(1_234_567 + hour);
        } else if column != "ENGAGEMENT_1" {
            row[column] = json!(100 + hour);
        }
    }
    row
}

fn value<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Runs the pipeline in `sandbox` through a server of its own before Prism; gives what was sent.
fn run(sandbox: &Sandbox, prism: &str, arguments: &[&str]) -> (Ran, Vec<Seen>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let between = Between { prism: prism.to_owned(), client: reqwest::Client::new(), seen: seen.clone() };
    let ran = block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = axum::Router::new().fallback(hand_on).with_state(between);
        let server = tokio::spawn(async move { axum::serve(listener, server).await });
        let mut command = sandbox.command(&["run", "pinterest_ads"]);
        command.args(["--set", &format!("api.base_url=http://{address}"), "--set", SIGNING]).args(arguments);
        command.env("PINTEREST_ACCESS_TOKEN", SECRET);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
        server.abort();
        Ran::of(output.expect("the program runs"))
    });
    let seen = seen.lock().expect("no panic").clone();
    (ran, seen)
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::at("http://127.0.0.1:9", Some(NOW));
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/pinterest_ads.toml");
    std::fs::copy(file, sandbox.path().join("pipelines/pinterest_ads.toml")).expect("the pipeline");
    sandbox
}

/// The request as one line, sorted by nothing: the order is the program's.
fn line(seen: &Seen) -> String {
    let query: Vec<String> = seen.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{} {}", seen.path, query.join(" "))
}

/// One test, because Prism takes its time to start.
#[test]
fn the_pinterest_pipeline_keeps_the_vendors_contract() {
    let Some((_process, prism)) = start_prism("the_pinterest_pipeline_keeps_the_vendors_contract", SPEC) else {
        return;
    };
    requests_pass_and_rows_land(&prism);
    a_word_that_is_not_in_the_file_is_refused(&prism);
    a_date_alone_never_becomes_an_hour(&prism);
}

fn requests_pass_and_rows_land(prism: &str) {
    let sandbox = sandbox();
    let (ran, seen) = run(&sandbox, prism, &[]);
    for request in &seen {
        assert!(request.signed, "not signed: {}", request.path);
        assert!(request.status < 400, "Prism refuses {}: {}", line(request), request.said);
    }
    let ran = ran.expect_code(0);
    assert!(!ran.err.contains(SECRET) && !ran.out.contains(SECRET));

    let lists: Vec<String> = seen.iter().filter(|request| !request.path.ends_with("analytics")).map(line).collect();
    insta::assert_snapshot!(lists.join("\n"), @r#"
    /ad_accounts include_shared_accounts=true page_size=250
    /ad_accounts include_shared_accounts=true page_size=250 bookmark=string
    /ad_accounts/549755885175/campaigns entity_statuses=ACTIVE entity_statuses=PAUSED entity_statuses=ARCHIVED page_size=250
    /ad_accounts/549755885175/campaigns entity_statuses=ACTIVE entity_statuses=PAUSED entity_statuses=ARCHIVED page_size=250 bookmark=string
    "#);
    let mut asked: Vec<String> = seen.iter().filter(|request| request.path.ends_with("analytics")).map(line).collect();
    asked.sort();
    insta::assert_snapshot!(asked.join("\n"), @r#"
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-13 end_date=2026-11-13 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-14 end_date=2026-11-14 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-15 end_date=2026-11-15 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-16 end_date=2026-11-16 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-17 end_date=2026-11-17 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-18 end_date=2026-11-18 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-19 end_date=2026-11-19 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    /ad_accounts/549755885175/campaigns/analytics start_date=2026-11-20 end_date=2026-11-20 campaign_ids=547602124502 granularity=HOUR columns=CAMPAIGN_ID,SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,CLICKTHROUGH_1,OUTBOUND_CLICK_1,ENGAGEMENT_1
    "#);

    let rows = "select account_id, campaign_id, count(*) as hours, min(hour) as first, max(hour) as last, \
                sum(impressions) as impressions, sum(engagements) as engagements, sum(spend) as spend \
                from pinterest_ads group by all";
    let rows = rows.replace("group by all", "group by account_id, campaign_id");
    let answer = sandbox.run(&["query", &rows, "--format", "csv"]).expect_code(0);
    insta::assert_snapshot!(answer.out, @r#"
    account_id,campaign_id,hours,first,last,impressions,engagements,spend
    549755885175,547602124502,16,2026-11-13T00:00:00Z,2026-11-20T01:00:00Z,1608,0,19.753080
    "#);
}

fn a_word_that_is_not_in_the_file_is_refused(prism: &str) {
    let sandbox = sandbox();
    let (ran, seen) = run(&sandbox, prism, &["--set", "request.query.granularity=HOURLY"]);
    let ran = ran.expect_code(1);
    let refused: Vec<u16> =
        seen.iter().filter(|request| request.path.ends_with("analytics")).map(|request| request.status).collect();
    assert!(!refused.is_empty() && refused.iter().all(|status| *status == 400), "{refused:?}");
    assert!(ran.err.contains("Invalid ad account campaign analytics parameters."), "{}", ran.err);
}

fn a_date_alone_never_becomes_an_hour(prism: &str) {
    let sandbox = sandbox();
    // Straight to Prism: the example's bare date, which would put 24 hours into one.
    let fixed = format!("accounts={{ list = [{{ id = \"{ACCOUNT}\", time_zone = \"UTC\" }}] }}");
    let mut command = sandbox.command(&["run", "pinterest_ads"]);
    command.args([
        "--set",
        &format!("api.base_url={prism}"),
        "--set",
        &fixed,
        "--set",
        "campaigns.pagination={ kind = \"none\" }",
        "--set",
        SIGNING,
    ]);
    let ran = Ran::of(command.env("PINTEREST_ACCESS_TOKEN", SECRET).output().expect("the program runs"));
    let ran = ran.expect_code(1);
    assert!(ran.err.contains("DATE"), "{}", ran.err);
    assert!(!sandbox.lake_path().join("pinterest_ads").exists() || sandbox.files("pinterest_ads").is_empty());
}
