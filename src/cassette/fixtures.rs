//! Recorded exchanges as answer files and a scenario, in the form in which tests hold a pipeline file against its
//! platform. Pure.
//!
//! An answer's file is named after what was asked for and after what the pipeline's rules make of the answer:
//! `accounts.json`, `metrics.json`, `metrics_2.json`, `last_page.json`, `throttled.json`. The scenario names each request
//! with the answers that it got, in their order.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::format::Exchange;
use crate::classify::{Outcome, Reading, Verdict, classify};
use crate::error::Result;
use crate::pipeline::{Auth, Endpoint, PaginationKind, Pipeline};
use crate::secret::{MASKED, SecretSource};
use crate::time::Instant;

/// Stands for the scripted server's address.
const SERVER: &str = "{server}";

/// What a scenario is made of.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// Whose answers they are.
    pub pipeline: &'a Pipeline,
    /// The program's clock.
    pub now: Instant,
    /// The command that sends these requests, without the pipeline's name.
    pub arguments: Vec<String>,
    /// Values of the file that were laid over, as `KEY=VALUE`.
    pub overrides: Vec<String>,
    /// Where the file says that secrets are.
    pub secrets: Vec<String>,
    /// The rows' file, where there is one.
    pub rows: Option<String>,
    /// In the order in which they were sent.
    pub exchanges: &'a [Exchange],
}

/// Files by name, and what could not be put into them.
#[derive(Debug, Default)]
pub struct Fixtures {
    /// Name and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Requests that nobody answered.
    pub unanswered: usize,
}

/// A request of the scenario.
struct Asked<'a> {
    exchange: &'a Exchange,
    answers: Vec<String>,
}

/// The answer files, and `day.toml`.
///
/// # Errors
/// A recorded body that cannot be read.
pub fn fixtures(recorded: &Recorded<'_>) -> Result<Fixtures> {
    let mut found = Fixtures::default();
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let origins = origins(recorded.exchanges);
    for (place, exchange) in recorded.exchanges.iter().enumerate() {
        let Some(status) = exchange.status else {
            found.unanswered += 1;
            continue;
        };
        let kind = kind(recorded.pipeline, exchange, &recorded.exchanges[place + 1..])?;
        let number = numbers.entry(kind.clone()).or_default();
        *number += 1;
        let stem = if *number == 1 { kind } else { format!("{kind}_{number}") };
        found.files.extend(answer(&stem, status, exchange, &origins)?);
        let name = format!("{stem}.json");
        match asked.iter_mut().find(|known| same_request(known.exchange, exchange)) {
            Some(known) => known.answers.push(name),
            None => asked.push(Asked { exchange, answers: vec![name] }),
        }
    }
    let text = scenario(recorded, &asked);
    found.files.push(("day.toml".to_owned(), text.into_bytes()));
    Ok(found)
}

/// The servers that were asked.
fn origins(exchanges: &[Exchange]) -> Vec<String> {
    let mut origins: Vec<String> = Vec::new();
    for exchange in exchanges {
        let Ok(url) = Url::parse(&exchange.url) else { continue };
        let origin = url.origin().ascii_serialization();
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    origins
}

fn same_request(one: &Exchange, other: &Exchange) -> bool {
    one.method == other.method && one.url == other.url && one.request_body == other.request_body
}

/// How the file of an answer is called: what its rules make of it goes before what was asked for.
fn kind(pipeline: &Pipeline, exchange: &Exchange, later: &[Exchange]) -> Result<String> {
    let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.word() == exchange.endpoint);
    let word = match verdict(pipeline, exchange)? {
        Verdict::Throttled { .. } => "throttled",
        Verdict::Retry { .. } | Verdict::Unreadable { .. } => "transient",
        Verdict::Reauthorise { .. } => "expired_token",
        Verdict::Split { .. } => "too_much",
        Verdict::SkipAccount { .. } => "gone",
        Verdict::Fail { .. } => "permanent",
        Verdict::Ok | Verdict::NotModified | Verdict::Adopt { .. } => match endpoint {
            Some(Endpoint::Accounts) => "accounts",
            Some(Endpoint::Campaigns) => "campaigns",
            Some(Endpoint::Create) => "report_created",
            Some(Endpoint::Poll) => "report_state",
            Some(Endpoint::Download) => "report_rows",
            Some(Endpoint::Metrics) | None => page(pipeline, exchange, later),
        },
    };
    Ok(word.to_owned())
}

/// A page of metrics: the only or a middle one, the last of several, or one without records.
fn page(pipeline: &Pipeline, exchange: &Exchange, later: &[Exchange]) -> &'static str {
    let document = exchange.body.as_deref().and_then(|body| serde_json::from_str::<Value>(body).ok());
    let empty = document.is_some_and(|document| {
        let found = pipeline.records.path.values_in(&document);
        found.iter().all(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty))
    });
    let goes_on = later.first().is_some_and(|next| next.part == exchange.part && is_later_page(pipeline, next));
    match () {
        () if empty => "empty",
        () if is_later_page(pipeline, exchange) && !goes_on => "last_page",
        () => "metrics",
    }
}

/// Whether the request carries what an earlier page gave.
fn is_later_page(pipeline: &Pipeline, exchange: &Exchange) -> bool {
    let holds = |param: &str| {
        let in_query = Url::parse(&exchange.url).is_ok_and(|url| url.query_pairs().any(|(name, _)| name == *param));
        in_query || exchange.request_body.as_deref().is_some_and(|body| body.contains(param))
    };
    match &pipeline.pagination.kind {
        PaginationKind::Cursor { param, .. } => holds(param),
        PaginationKind::None => false,
        PaginationKind::NextLink { .. }
        | PaginationKind::LinkHeader
        | PaginationKind::PageNumber { .. }
        | PaginationKind::Offset { .. } => true,
    }
}

fn verdict(pipeline: &Pipeline, exchange: &Exchange) -> Result<Verdict> {
    let mut headers = HeaderMap::new();
    for (name, value) in &exchange.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let body = exchange.bytes()?;
    let outcome = Outcome::Answer { status: exchange.status.unwrap_or_default(), headers: &headers, body: &body };
    let reading = Reading { rules: &pipeline.responses, secrets: &[], now: Instant::UNIX_EPOCH, refusals: 0 };
    Ok(classify(&outcome, &reading))
}

/// The answer's file, and that of its body where it is no text.
fn answer(stem: &str, status: u16, exchange: &Exchange, origins: &[String]) -> Result<Vec<(String, Vec<u8>)>> {
    let here = |text: &str| {
        let links =
            |text: String, origin: &String| text.replace(origin, SERVER).replace(&origin.replace('/', "\\/"), SERVER);
        origins.iter().fold(text.to_owned(), links)
    };
    let headers: serde_json::Map<String, Value> =
        exchange.headers.iter().map(|(name, value)| (name.clone(), here(value).into())).collect();
    let headers = Value::Object(headers);
    let mut files = Vec::new();
    let body = match (&exchange.body, &exchange.body_base64) {
        (Some(text), _) => {
            let text = here(text);
            match serde_json::from_str::<&RawValue>(&text) {
                // As it came: numbers keep their digits.
                Ok(raw) => format!("\"body\": {}", raw.get().trim()),
                Err(_) => format!("\"text\": {}", json!(text)),
            }
        }
        (None, Some(_)) => {
            let file = format!("{stem}.bin");
            files.push((file.clone(), exchange.bytes()?));
            format!("\"file\": {}", json!(file))
        }
        (None, None) => "\"text\": \"\"".to_owned(),
    };
    let text = format!("{{\n\"status\": {status},\n\"headers\": {headers},\n{body}\n}}\n");
    files.push((format!("{stem}.json"), text.into_bytes()));
    Ok(files)
}

fn scenario(recorded: &Recorded<'_>, asked: &[Asked<'_>]) -> String {
    let pipeline = recorded.pipeline;
    let list = |values: &[String]| toml_list(values.iter().map(String::as_str));
    let mut text = format!(
        "about = {}\nnow = {}\nargs = {}\nexit = 0\n",
        quoted(&format!("What `{}` answered", pipeline.platform)),
        quoted(&recorded.now.format("%Y-%m-%dT%H:%M:%SZ").to_string()),
        list(&recorded.arguments)
    );
    if let Some(rows) = &recorded.rows {
        text.push_str(&format!("rows = {}\n", quoted(rows)));
    }
    text.push_str(&secrets(&recorded.secrets));
    text.push_str("\n[set]\n");
    text.push_str(&format!("{} = {}\n", quoted("api.base_url"), quoted(&served(&pipeline.api.base_url))));
    for (name, url) in &pipeline.api.servers {
        text.push_str(&format!("{} = {}\n", quoted(&format!("api.servers.{name}")), quoted(&served(url))));
    }
    text.push_str(&format!("{} = {}\n", quoted("retry.base"), quoted("10ms")));
    for (key, value) in recorded.overrides.iter().filter_map(|set| set.split_once('=')) {
        if key != "api.base_url" && key != "retry.base" && !key.starts_with("api.servers.") {
            text.push_str(&format!("{} = {}\n", quoted(key), quoted(value)));
        }
    }
    for asked in asked {
        text.push_str(&exchange(pipeline, asked));
    }
    text
}

/// The scripted server in the place of a server.
fn served(url: &Url) -> String {
    format!("{SERVER}{}", url.path().trim_end_matches('/'))
}

/// Made-up values for the file's secrets.
fn secrets(sources: &[String]) -> String {
    let (mut env, mut files) = (String::new(), String::new());
    for source in sources {
        match SecretSource::parse(source) {
            Some(SecretSource::Env(name)) => env.push_str(&format!("{name} = {}\n", quoted(&made_up(&name)))),
            Some(SecretSource::File(path)) => {
                let path = path.display().to_string();
                files.push_str(&format!("{} = {}\n", quoted(&path), quoted(&made_up(&path))));
            }
            None => {}
        }
    }
    let mut text = String::new();
    for (title, lines) in [("env", env), ("files", files)] {
        if !lines.is_empty() {
            text.push_str(&format!("\n[{title}]\n{lines}"));
        }
    }
    text
}

/// `test-kestrel-token` for `KESTREL_TOKEN`.
fn made_up(name: &str) -> String {
    let word: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("test-{word}")
}

fn exchange(pipeline: &Pipeline, asked: &Asked<'_>) -> String {
    let Ok(url) = Url::parse(&asked.exchange.url) else { return String::new() };
    let mut text = format!(
        "\n[[exchange]]\nmethod = {}\npath = {}\nquery = {}\n",
        quoted(&asked.exchange.method),
        quoted(url.path()),
        pairs(url.query().unwrap_or_default())
    );
    if let Auth::Bearer { token: SecretSource::Env(name), .. } = &pipeline.auth {
        text.push_str(&format!("headers = {{ authorization = {} }}\n", quoted(&format!("Bearer {}", made_up(name)))));
    }
    if let Some(body) = asked.exchange.request_body.as_deref().filter(|body| !body.is_empty()) {
        match serde_json::from_str::<Value>(body) {
            Ok(document) => text.push_str(&format!("json = {}\n", inline(&document))),
            Err(_) => text.push_str(&format!("form = {}\n", pairs(body))),
        }
    }
    text.push_str(&format!("answers = {}\n", toml_list(asked.answers.iter().map(String::as_str))));
    text
}

/// Parameters as a list of pairs; what was masked may be anything.
fn pairs(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("[{}, {}]", quoted(&name), quoted(&open(&value)))).collect();
    format!("[{}]", pairs.join(", "))
}

fn open(value: &str) -> String {
    if value.contains(MASKED) { "*".to_owned() } else { value.to_owned() }
}

/// A JSON value in TOML; null, which TOML does not know, may be anything.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => quoted("*"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(&open(text)),
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{} = {}", quoted(key), inline(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}

fn toml_list<'a>(values: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", values.map(quoted).collect::<Vec<_>>().join(", "))
}

/// A text as TOML writes it; JSON's way of quoting is among TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::pipeline;
    use crate::secret::SecretSource;

    fn got(path: &str, status: u16, body: &str) -> Exchange {
        Exchange {
            endpoint: "metrics".to_owned(),
            part: Some(0),
            method: "GET".to_owned(),
            url: format!("https://api.kestrel.example/v1{path}"),
            status: Some(status),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Some(body.to_owned()),
            ..Exchange::default()
        }
    }

    fn made(exchanges: &[Exchange]) -> BTreeMap<String, String> {
        let mut pipeline = pipeline("https://api.kestrel.example/v1");
        pipeline.auth = Auth::Bearer { token: SecretSource::Env("KESTREL_TOKEN".to_owned()), proof: None };
        let recorded = Recorded {
            pipeline: &pipeline,
            now: "2026-11-20T12:00:00Z".parse().expect("a moment"),
            arguments: vec!["run".to_owned()],
            overrides: vec!["window.history=1d".to_owned(), "api.base_url=http://127.0.0.1:9".to_owned()],
            secrets: vec!["env:KESTREL_TOKEN".to_owned(), "file:secrets/k.pem".to_owned()],
            rows: None,
            exchanges,
        };
        let files = fixtures(&recorded).expect("fixtures").files.into_iter();
        files.map(|(name, content)| (name, String::from_utf8_lossy(&content).into_owned())).collect()
    }

    #[test]
    fn a_request_that_was_refused_first_has_both_answers() {
        let page =
            r#"{"rows":[{"spend":1.10,"id":9007199254740993}],"next":"https:\/\/api.kestrel.example\/v1\/m?a=1"}"#;
        let asked = "/m?token=[secret]&at=2026-11-20T08:00:00Z";
        let files = made(&[got(asked, 429, "slow"), got(asked, 200, page), got("/m?after=2", 200, r#"{"rows":[]}"#)]);
        assert_eq!(
            files["metrics.json"],
            "{\n\"status\": 200,\n\"headers\": {\"content-type\":\"application/json\"},\n\"body\": \
             {\"rows\":[{\"spend\":1.10,\"id\":9007199254740993}],\"next\":\"{server}\\/v1\\/m?a=1\"}\n}\n"
        );
        assert!(files["throttled.json"].contains("\"text\": \"slow\""), "{files:?}");
        insta::assert_snapshot!(files["day.toml"], @r#"
        about = "What `test` answered"
        now = "2026-11-20T12:00:00Z"
        args = ["run"]
        exit = 0

        [env]
        KESTREL_TOKEN = "test-kestrel-token"

        [files]
        "secrets/k.pem" = "test-secrets-k-pem"

        [set]
        "api.base_url" = "{server}/v1"
        "retry.base" = "10ms"
        "window.history" = "1d"

        [[exchange]]
        method = "GET"
        path = "/v1/m"
        query = [["token", "*"], ["at", "2026-11-20T08:00:00Z"]]
        headers = { authorization = "Bearer test-kestrel-token" }
        answers = ["throttled.json", "metrics.json"]

        [[exchange]]
        method = "GET"
        path = "/v1/m"
        query = [["after", "2"]]
        headers = { authorization = "Bearer test-kestrel-token" }
        answers = ["empty.json"]
        "#);
    }

    #[test]
    fn bodies_are_told_apart_and_null_may_be_anything() {
        let json = Exchange {
            method: "POST".to_owned(),
            request_body: Some(r#"{"at":null,"key":"[secret]","list":[1,true,{"a b":"c\"d"}]}"#.to_owned()),
            ..got("/m", 200, "{}")
        };
        let form = Exchange { request_body: Some("a=1&b=x+y".to_owned()), ..json.clone() };
        let mut binary = Exchange { body: None, ..got("/b", 200, "") };
        binary.set_body(&[0x1f, 0x8b, 0xff]);
        let files = made(&[json, form, binary, Exchange { status: None, ..got("/gone", 0, "") }]);
        let scenario = &files["day.toml"];
        assert!(
            scenario.contains(r#"json = { "at" = "*", "key" = "*", "list" = [1, true, { "a b" = "c\"d" }] }"#),
            "{scenario}"
        );
        assert!(scenario.contains(r#"form = [["a", "1"], ["b", "x y"]]"#) && !scenario.contains("/gone"), "{scenario}");
        assert!(files.keys().any(|name| name.ends_with(".bin")), "{files:?}");
        assert!(scenario.parse::<toml::Table>().is_ok(), "{scenario}");
    }
}
