//! Access tokens from a token endpoint beside the API.

use std::io::Write;
use std::path::PathBuf;

use super::*;
use crate::pipeline::{ClientSecret, Grant, OAuth2, Placement};
use crate::secret::mask;

mod kept;
mod trouble;

/// A token answer. Everything in these tests that is a secret begins with `hunter2`.
fn token(number: u32, more: &str) -> Reply {
    Reply::ok(&format!(r#"{{"access_token":"hunter2-access-{number}","token_type":"bearer"{more}}}"#))
}

/// A refusal of the standard's.
fn refusal(code: &str) -> Reply {
    let body = format!(r#"{{"error":"{code}","error_description":"no, hunter2-refresh of hunter2-client"}}"#);
    Reply::new(400, &[("content-type", "application/json")], body.as_bytes())
}

/// The token that a request to the API carries.
fn bearer(request: &str) -> &str {
    let (_, rest) = request.split_once("authorization: Bearer ").expect("a signed request");
    rest.lines().next().expect("a line")
}

/// The value of a form's field.
fn field(request: &str, name: &str) -> String {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let mut pairs = url::form_urlencoded::parse(body.as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn is_for_a_token(request: &str) -> bool {
    request.starts_with("POST /token")
}

/// A pipeline against a server that gives tokens as `tokens` say, the last of them for ever, and rows as `api` does.
async fn bench(tokens: Vec<Reply>, mut api: impl FnMut(&str) -> Reply + Send + 'static) -> Bench {
    let mut tokens = tokens.into_iter();
    answering(move |request| match is_for_a_token(request) {
        true => tokens.next().unwrap_or_else(|| Reply::status(418)),
        false => api(request),
    })
    .await
}

async fn answering(answer: impl FnMut(&str) -> Reply + Send + 'static) -> Bench {
    let mut bench = Bench::with(Server::answering(answer).await);
    let texts = ["id", "secret", "refresh"].map(|name| (name, format!("hunter2-{name}")));
    for (name, text) in &texts {
        std::fs::write(bench.folder.path().join(name), text.replace("-id", "-client")).expect("a secret");
    }
    let source = |name: &str| SecretSource::File(bench.folder.path().join(name));
    bench.pipeline.auth = Auth::OAuth2(Box::new(OAuth2 {
        token_url: format!("{}/token", bench.server.base()).parse().expect("a URL"),
        grant: Grant::RefreshToken { token: source("refresh"), keep: None },
        client_id: source("id"),
        client_secret: ClientSecret::Secret(source("secret")),
        scope: None,
        placement: Placement::Form,
        refresh_ahead: Duration::from_secs(300),
    }));
    bench
}

impl Bench {
    fn rules(&mut self) -> &mut OAuth2 {
        match &mut self.pipeline.auth {
            Auth::OAuth2(rules) => rules,
            other => panic!("{other:?}"),
        }
    }

    /// Keeps rotated refresh tokens, and says where.
    fn keeping(&mut self) -> PathBuf {
        let path = self.folder.path().join("secrets/kept");
        let token = SecretSource::File(self.folder.path().join("refresh"));
        self.rules().grant = Grant::RefreshToken { token, keep: Some(path.clone()) };
        path
    }

    fn token_requests(&self) -> Vec<String> {
        self.server.requests().into_iter().filter(|request| is_for_a_token(request)).collect()
    }

    /// The refresh tokens that were spent, in order.
    fn spent(&self) -> Vec<String> {
        self.token_requests().iter().map(|request| field(request, "refresh_token")).collect()
    }

    /// The access tokens of the requests to the API, in order.
    fn bearers(&self) -> Vec<String> {
        let requests = self.server.requests();
        requests.iter().filter(|request| !is_for_a_token(request)).map(|it| bearer(it).to_owned()).collect()
    }
}

async fn one(fetch: &Fetch) -> Result<Slice, UnitFailure> {
    fetch.unit(&unit(&[account("1", "UTC")]), &CancellationToken::new()).await
}

/// What eight workers come to at once.
async fn eight(fetch: &Fetch) -> Vec<Result<Slice, UnitFailure>> {
    let mut workers = tokio::task::JoinSet::new();
    for id in 1..=8 {
        let fetch = fetch.clone();
        let unit = unit(&[account(&id.to_string(), "UTC")]);
        workers.spawn(async move { fetch.unit(&unit, &CancellationToken::new()).await });
    }
    workers.join_all().await
}

#[tokio::test]
async fn a_token_is_fetched_when_it_is_first_needed_and_used_by_all() {
    let bench = bench(vec![token(1, r#","expires_in":3600"#).late(Duration::from_millis(50))], |_| one_row()).await;
    let fetch = bench.opened().await;
    assert!(bench.server.requests().is_empty(), "not before");
    for slice in eight(&fetch).await {
        assert_eq!(slice.expect("a slice").requests, 1);
    }
    one(&fetch).await.expect("a slice");
    let requests = bench.token_requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    let fields = ["grant_type", "client_id", "client_secret", "refresh_token"].map(|name| field(request, name));
    assert_eq!(fields, ["refresh_token", "hunter2-client", "hunter2-secret", "hunter2-refresh"]);
    assert_eq!(bench.bearers(), ["hunter2-access-1"; 9]);
    assert_eq!(fetch.quotas().granted(), 9, "a token request counts for no quota");
    assert_eq!(fetch.meter.get(Count::Requests), 9);
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    let tokens = (1..=2).map(|number| token(number, r#","expires_in":3600"#)).collect();
    let bench = bench(tokens, |_| one_row()).await;
    let mut fetch = bench.opened().await;
    one(&fetch).await.expect("a slice");
    fetch.clock = Clock::Fixed(at("2026-11-20T13:29:55Z"));
    one(&fetch).await.expect("a slice");
    assert_eq!(bench.token_requests().len(), 1, "five minutes and a second are left");
    fetch.clock = Clock::Fixed(at("2026-11-20T13:29:56Z"));
    one(&fetch).await.expect("a slice");
    one(&fetch).await.expect("a slice");
    assert_eq!(bench.bearers(), [1, 1, 2, 2].map(|number| format!("hunter2-access-{number}")));
}

/// The one that is there holds still, so nobody waits and nothing fails.
#[tokio::test]
async fn a_renewal_ahead_that_fails_is_no_reason_to_stop() {
    let expiring = r#","expires_in":3600"#;
    let bench = bench(vec![token(1, expiring), Reply::status(503), token(2, expiring)], |_| one_row()).await;
    let mut fetch = bench.opened().await;
    one(&fetch).await.expect("a slice");
    fetch.clock = Clock::Fixed(at("2026-11-20T13:30:00Z"));
    one(&fetch).await.expect("a slice");
    one(&fetch).await.expect("a slice");
    assert_eq!(bench.token_requests().len(), 2, "not again at once");
    fetch.clock = Clock::Fixed(at("2026-11-20T13:30:30Z"));
    one(&fetch).await.expect("a slice");
    assert_eq!(bench.bearers(), [1, 1, 1, 2].map(|number| format!("hunter2-access-{number}")));
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_renewed_once_for_all_workers() {
    let bench = bench(vec![token(1, ""), token(2, "").late(Duration::from_millis(50))], |request| {
        match bearer(request) == "hunter2-access-2" {
            true => one_row(),
            false => Reply::status(401).late(Duration::from_millis(50)),
        }
    })
    .await;
    let fetch = bench.opened().await;
    for slice in eight(&fetch).await {
        assert_eq!(slice.expect("a slice").requests, 2);
    }
    assert_eq!(bench.token_requests().len(), 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_not_accepted_either_ends_the_run() {
    let tokens = (1..=9).map(|number| token(number, "")).collect();
    let bench = bench(tokens, |request| {
        let body = format!(r#"{{"message":"{} is no good"}}"#, bearer(request));
        Reply::new(401, &[], body.as_bytes())
    })
    .await;
    let failure = one(&bench.opened().await).await.expect_err("refused");
    let UnitFailure::Failed { reason, attempts: 2, fatal: true } = failure else { panic!("{failure}") };
    let place = &bench.server.base()[7..];
    let source = format!("file:{}", bench.folder.path().join("refresh").display());
    assert_eq!(
        reason,
        format!(
            "HTTP 401: [secret] is no good: the platform does not accept even a fresh access token that {place} gave for \
             `{source}`"
        )
    );
    assert_eq!(bench.token_requests().len(), 2);
}

/// The lines that are logged while it is alive, down to those of the libraries.
struct Logged {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the lines").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn start() -> Logged {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || Writer(writer.clone()))
            .finish();
        Logged { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn text(&self) -> String {
        String::from_utf8(self.lines.lock().expect("the lines").clone()).expect("text")
    }
}

#[tokio::test]
async fn no_token_is_ever_shown() {
    for placement in [Placement::Form, Placement::Basic, Placement::Query] {
        let logged = Logged::start();
        let rotated = r#","expires_in":3600,"refresh_token":"hunter2-rotated""#;
        let dead = || refusal("invalid_grant");
        let mut bench = bench(vec![Reply::status(503), token(1, rotated), dead(), dead()], |request| {
            // All secrets are told back, as platforms do.
            let all = "hunter2-rotated hunter2-refresh hunter2-client hunter2-secret";
            let body = format!(r#"{{"message":"{} {all}"}}"#, bearer(request));
            Reply::new(401, &[("link", "<http://127.0.0.1:1/?t=hunter2-access-1>; rel=next")], body.as_bytes())
        })
        .await;
        bench.rules().placement = placement;
        let fetch = bench.opened().await;
        let tape = Tape::on(vec!["link".to_owned()].into());
        let failure = fetch.unit_on(&unit(&[account("1", "UTC")]), &CancellationToken::new(), &tape).await;
        let failure = failure.expect_err("refused");
        let bytes = tape.finish(&tapes::header(&unit(&[account("1", "UTC")]))).expect("compressed").expect("recorded");
        let cassette = String::from_utf8(zstd::stream::decode_all(bytes.as_slice()).expect("zstd")).expect("text");
        assert_eq!(cassette.matches("[secret] [secret] [secret] [secret] [secret]").count(), 1, "{cassette}");
        let said = mask("hunter2-access-1 hunter2-rotated", fetch.client().secrets());
        assert_eq!(said, "[secret] [secret]");
        let log = logged.text();
        assert!(log.contains("signed in") && log.contains("a new refresh token in the place of"), "{log}");
        for shown in [failure.to_string(), format!("{failure:?} {fetch:?}"), cassette, log] {
            let leak = shown.lines().find(|line| line.contains("hunter2"));
            assert!(leak.is_none(), "{placement:?}: {leak:?}");
        }
        assert!(failure.to_string().contains("invalid_grant"), "{failure}");
    }
}
