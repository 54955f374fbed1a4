//! The built program with a token endpoint: what it says, how it exits, what is on the disk afterwards.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::sandbox::{Api, Ran, Sandbox, TOKEN, block_on};

const NOW: &str = "2026-11-20T12:00:00Z";
/// The refresh token that a person has put there; every secret of these tests begins like it.
const GIVEN: &str = "hunter2-given";

/// The refresh tokens that were spent, in order.
type Spent = Arc<Mutex<Vec<String>>>;

/// Reads a day of the demo's pipeline `times` times, with a token endpoint that answers as `answer` says. A run that has
/// nothing to ask for needs no token.
fn runs(sandbox: &Sandbox, times: usize, answer: fn(&str) -> Response) -> (Vec<Ran>, Vec<String>) {
    let spent = Spent::default();
    let seen = spent.clone();
    let ran = block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let router = axum::Router::new().fallback(move |body: String| {
            let field = |name: &str| {
                let mut pairs = url::form_urlencoded::parse(body.as_bytes());
                pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
            };
            assert_eq!((field("client_id"), field("client_secret")), ("hunter2-id".into(), "hunter2-secret".into()));
            let token = field("refresh_token");
            seen.lock().expect("the list").push(token.clone());
            async move { answer(&token) }
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut all = Vec::new();
        for _ in 0..times {
            let url = format!("auth.token_url={url}");
            let day = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--again"];
            let mut command = sandbox.command(&[&day[..], &["--set", &url]].concat());
            command.env("IT_ID", "hunter2-id").env("IT_SECRET", "hunter2-secret").env("IT_REFRESH", GIVEN);
            command.env("HOURMARK_LOG", "trace");
            let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
            all.push(Ran::of(output.expect("the program runs")));
        }
        server.abort();
        all
    });
    let spent = spent.lock().expect("the list").clone();
    (ran, spent)
}

fn signing_in(sandbox: &Sandbox) {
    sandbox.edit(
        "kind = \"bearer\"\ntoken = \"env:HOURMARK_DEMO_TOKEN\"           # where the secret is, never the secret itself",
        "kind = \"oauth2\"\ntoken_url = \"https://auth.example.com/token\"\nclient_id = \"env:IT_ID\"\n\
         client_secret = \"env:IT_SECRET\"\nrefresh_token = \"env:IT_REFRESH\"\nkeep = \"secrets/kept\"",
    );
    sandbox.edit("schedule =", "raw = \"7d\"\nschedule =");
}

/// Whether any file below `folder` holds `text`; cassettes are looked into.
fn holds(folder: &Path, text: &str) -> bool {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if holds(&path, text) {
                return true;
            }
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("a file");
        if path.extension().is_some_and(|ending| ending == "zst") {
            bytes = zstd::stream::decode_all(bytes.as_slice()).expect("zstd");
        }
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            return true;
        }
    }
    false
}

/// A token that the simulated API accepts, and the next refresh token: one more `+` at the end of the one that was spent.
fn rotating(spent: &str) -> Response {
    let body = format!(r#"{{"access_token":"{TOKEN}","expires_in":3600,"refresh_token":"{spent}+"}}"#);
    ([("content-type", "application/json")], body).into_response()
}

#[test]
fn every_run_spends_the_token_that_the_one_before_it_was_given() {
    let api = Api::start(&["--accounts", "2", "--campaigns", "2", "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    signing_in(&sandbox);
    let (all, spent) = runs(&sandbox, 3, rotating);
    for ran in all {
        assert!(!ran.err.contains("hunter2") && !ran.out.contains("hunter2"), "{}", ran.err);
        ran.expect_code(0);
    }
    assert_eq!(spent, [GIVEN.to_owned(), format!("{GIVEN}+"), format!("{GIVEN}++")]);
    let kept = sandbox.path().join("secrets/kept");
    assert_eq!(std::fs::read_to_string(&kept).expect("what is kept"), format!("{GIVEN}+++\n"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&kept).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let data = sandbox.path().join("data");
    assert!(holds(&data, "/v1/metrics"), "cassettes are looked into");
    assert!(!holds(&data, "hunter2") && !holds(&data, TOKEN), "a secret is in the lake or the state");
}

#[test]
fn a_refresh_token_that_has_ended_is_a_matter_for_a_person() {
    let sandbox = Sandbox::at("http://127.0.0.1:9", Some(NOW));
    signing_in(&sandbox);
    let dead = |_: &str| {
        let body = r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
        (StatusCode::BAD_REQUEST, [("content-type", "application/json")], body).into_response()
    };
    let (mut all, spent) = runs(&sandbox, 1, dead);
    let ran = all.remove(0).expect_code(7);
    assert_eq!(spent, [GIVEN]);
    let error = ran.err.split("error: ").nth(1).expect("an error");
    let (_, rest) = error.split_once(' ').expect("the place");
    assert_eq!(
        rest.trim_end(),
        "does not accept the refresh token of `env:IT_REFRESH` any more: HTTP 400: invalid_grant Token has been expired or \
         revoked.\n  hint: a person must sign in with the platform again and put the new refresh token into \
         `env:IT_REFRESH`"
    );
}
