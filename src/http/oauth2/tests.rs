use super::*;
use crate::http::jwt::tests::new_key;
use crate::pipeline::JwtRules;
use crate::request::tests::{at, pipeline};
use crate::secret::SecretSource;

const NOW: &str = "2026-11-20T12:00:00Z";

/// Secrets in files, as pipelines name them. The files go with the folder.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().expect("a folder") }
    }

    fn source(&self, name: &str, text: &str) -> SecretSource {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        SecretSource::File(path)
    }

    fn rules(&self, placement: Placement) -> OAuth2 {
        OAuth2 {
            token_url: "http://127.0.0.1:9/oauth/token/".parse().expect("a URL"),
            grant: Grant::RefreshToken { token: self.source("refresh", "hunter2-refresh"), keep: None },
            client_id: self.source("id", "client/1"),
            client_secret: ClientSecret::Secret(self.source("secret", "hunter2 &:")),
            scope: Some("ads.read offline".into()),
            placement,
            refresh_ahead: Duration::from_secs(300),
        }
    }

    fn request(&self, rules: &OAuth2) -> TokenRequest {
        let desk = TokenDesk::new(&pipeline("http://api.test").api, rules, Clock::Fixed(at(NOW))).expect("a desk");
        desk.request(Some(&Secret::new("hunter2-refresh")), &[]).expect("a request")
    }
}

/// Head and body as they are sent.
fn sent(request: &TokenRequest) -> (String, Option<String>, String) {
    let built = request.client.build(&request.request, None).expect("built");
    let header = built.headers().get(AUTHORIZATION).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(built.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(built.method(), reqwest::Method::POST);
    let body = built.body().and_then(reqwest::Body::as_bytes).expect("a body").to_vec();
    (built.url().to_string(), header, String::from_utf8(body).expect("text"))
}

#[tokio::test]
async fn the_credentials_go_where_the_platform_wants_them() {
    let bench = Bench::new();
    let rest = "refresh_token=hunter2-refresh&scope=ads.read+offline";
    let whole = format!("grant_type=refresh_token&client_id=client%2F1&client_secret=hunter2+%26%3A&{rest}");
    let url = "http://127.0.0.1:9/oauth/token/";
    let form = bench.request(&bench.rules(Placement::Form));
    assert_eq!(sent(&form), (url.to_owned(), None, whole.clone()));
    let query = bench.request(&bench.rules(Placement::Query));
    // Secrets come last where all is in the query; a query has no order.
    let (sent_url, header, body) = sent(&query);
    let sorted = |text: &str| {
        let mut pairs: Vec<String> = text.split('&').map(str::to_owned).collect();
        pairs.sort();
        pairs
    };
    assert_eq!(sorted(sent_url.split_once('?').expect("a query").1), sorted(&whole));
    assert_eq!((header, body.as_str()), (None, ""));
    let basic = bench.request(&bench.rules(Placement::Basic));
    let pair = STANDARD.encode("client%2F1:hunter2+%26%3A");
    assert_eq!(
        sent(&basic),
        (url.to_owned(), Some(format!("Basic {pair}")), format!("grant_type=refresh_token&{rest}"))
    );
    for request in [&form, &query, &basic] {
        let shown = format!("{request:?} {} {}", request.request, request.client.shown_url(&request.request));
        assert!(!shown.contains("hunter2") && !shown.contains("client%2F1"), "{shown}");
        let said = mask(&format!("hunter2 &: hunter2-refresh client/1 hunter2+%26%3A {pair}"), request.secrets());
        assert!(!said.contains("hunter2") && !said.contains("client/1"), "{said}");
    }
    assert_eq!(mask(&pair, basic.secrets()), "[secret]");
}

#[tokio::test]
async fn a_signed_token_in_the_place_of_a_secret() {
    let bench = Bench::new();
    let [pem, _] = new_key();
    let rules = OAuth2 {
        grant: Grant::ClientCredentials,
        client_secret: ClientSecret::Jwt(JwtRules {
            key: bench.source("key", &pem),
            key_id: bench.source("key_id", "key-1"),
            issuer: bench.source("issuer", "team-1"),
            audience: "https://auth.test".into(),
            lifetime: Duration::from_secs(3600),
        }),
        scope: None,
        ..bench.rules(Placement::Form)
    };
    let desk = TokenDesk::new(&pipeline("http://api.test").api, &rules, Clock::Fixed(at(NOW))).expect("a desk");
    let request = desk.request(None, &[]).expect("a request");
    let (_, _, body) = sent(&request);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grant_type", "client_id", "client_secret"]);
    assert_eq!(pairs[0].1, "client_credentials");
    assert_eq!(pairs[2].1.split('.').count(), 3, "header, claims, signature");
    assert_eq!(mask(&pairs[2].1, request.secrets()), "[secret]");
    std::fs::write(bench.folder.path().join("key"), "hunter2").expect("a file");
    let error = desk.request(None, &[]).expect_err("no key").report();
    assert!(error.contains("/key` holds no private key") && !error.contains("hunter2"), "{error}");
}

fn answered(status: u16, body: &str) -> TokenAnswer {
    let bench = Bench::new();
    let request = bench.request(&bench.rules(Placement::Form));
    let headers = reqwest::header::HeaderMap::new();
    let response = Response { status, headers, body: body.to_owned().into() };
    request.read(&Ok(response), at(NOW))
}

#[tokio::test]
async fn tokens() {
    let cases = [
        (r#"{"access_token":"a","token_type":"bearer","expires_in":3600}"#, Some(3600), None),
        (r#"{"access_token":"a","expires_in":"86400","refresh_token":"r"}"#, Some(86_400), Some("r")),
        (r#"{"access_token":"a","expires_in":3599.0,"refresh_token":""}"#, Some(3599), None),
        (r#"{"access_token":"a","expires_in":0,"refresh_token":null}"#, None, None),
        (r#"{"access_token":"a","expires_in":-5}"#, None, None),
        (r#"{"access_token":"a","expires_in":1e300}"#, None, None),
        (r#"{"access_token":"a"}"#, None, None),
    ];
    for (body, seconds, refresh) in cases {
        let TokenAnswer::Granted(granted) = answered(200, body) else { panic!("{body}") };
        assert_eq!(granted.access.expose(), "a");
        assert_eq!(granted.lifetime, seconds.map(Duration::from_secs), "{body}");
        assert_eq!(granted.refresh.as_ref().map(Secret::expose), refresh, "{body}");
        assert!(!format!("{granted:?}").contains("\"a\""));
    }
}

#[tokio::test]
async fn refusals_that_are_final() {
    let cases = [
        (400, r#"{"error":"invalid_grant","error_description":"revoked"}"#, Fault::Grant, "invalid_grant revoked"),
        (401, r#"{"error":"invalid_client"}"#, Fault::Client, "invalid_client"),
        (400, r#"{"error":"unauthorized_client"}"#, Fault::Client, "unauthorized_client"),
        (400, r#"{"error":"invalid_scope"}"#, Fault::Scope, "invalid_scope"),
        (400, r#"{"error":"unsupported_grant_type"}"#, Fault::Request, "unsupported_grant_type"),
        // As some platforms say it.
        (200, r#"{"error":"invalid_grant"}"#, Fault::Grant, "invalid_grant"),
        (401, r#"{"message":"Unauthorized"}"#, Fault::Client, "Unauthorized"),
        (401, "", Fault::Client, ""),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"of hunter2-refresh\n x"}"#,
            Fault::Grant,
            "of [secret]  x",
        ),
    ];
    for (status, body, expected, words) in cases {
        let TokenAnswer::Refused { fault, why } = answered(status, body) else { panic!("{status} {body}") };
        assert_eq!(fault, expected, "{body}");
        assert!(why.starts_with(&format!("HTTP {status}")) && why.ends_with(words), "{why}");
    }
}

#[tokio::test]
async fn what_says_nothing_about_the_credentials() {
    let verdict = |status: u16, body: &str| match answered(status, body) {
        TokenAnswer::NoToken(verdict) => verdict,
        other => panic!("{status} {body}: {other:?}"),
    };
    assert!(matches!(verdict(503, ""), Verdict::Retry { .. }));
    assert!(matches!(verdict(500, r#"{"error":"invalid_grant"}"#), Verdict::Retry { .. }), "a server that is not well");
    assert!(matches!(verdict(429, r#"{"error":"slow_down"}"#), Verdict::Throttled { .. }));
    assert!(matches!(verdict(400, r#"{"error":"temporarily_unavailable"}"#), Verdict::Retry { .. }));
    assert!(matches!(verdict(200, "<html>"), Verdict::Unreadable { .. }));
    assert!(matches!(verdict(200, r#"{"access_tok"#), Verdict::Unreadable { .. }));
    assert!(matches!(verdict(200, r#"{"access_token":""}"#), Verdict::Unreadable { .. }));
    assert!(matches!(verdict(304, ""), Verdict::Unreadable { .. }));
    assert!(matches!(verdict(404, "{}"), Verdict::Fail { .. }));
    assert!(matches!(verdict(403, r#"{"error":{"code":403}}"#), Verdict::Fail { .. }));
    let Verdict::Fail { why, .. } = verdict(302, "") else { panic!("redirects are not followed") };
    assert!(why.contains("redirects are not followed"), "{why}");
}

/// Neither the pipeline's headers nor its hosts are the token endpoint's business.
#[tokio::test]
async fn the_endpoint_is_sent_nothing_else_and_nothing_goes_elsewhere() {
    let bench = Bench::new();
    let mut api = pipeline("http://api.test").api;
    api.headers = vec![("x-key".into(), crate::pipeline::HeaderText::Literal("hunter2".into()))];
    api.hosts = vec!["cdn.test".into()];
    let desk = TokenDesk::new(&api, &bench.rules(Placement::Form), Clock::Fixed(at(NOW))).expect("a desk");
    let mut request = desk.request(Some(&Secret::new("hunter2-refresh")), &[]).expect("a request");
    let built = request.client.build(&request.request, None).expect("built");
    assert!(built.headers().get("x-key").is_none());
    for elsewhere in ["http://api.test/x", "https://cdn.test/x", "https://127.0.0.1:9/x"] {
        request.request.url = elsewhere.parse().expect("a URL");
        let error = request.send().await.expect_err("refused");
        assert!(error.to_string().ends_with("nothing was sent"), "{error}");
    }
}
