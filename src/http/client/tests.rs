use super::*;
use crate::http::oauth1::{Signed, authorization};
use crate::page::PageCursor;
use crate::pipeline::Proof;
use crate::request::tests::{account, pipeline, window};
use crate::request::{Origin, Parameter};
use crate::secret::MASKED;

/// A secret in a file, as pipelines name them. The file goes with the folder.
fn secret(folder: &tempfile::TempDir, text: &str) -> SecretSource {
    let path = folder.path().join(text.len().to_string());
    std::fs::write(&path, text).expect("a file");
    SecretSource::File(path)
}

fn client(base: &str, auth: &Auth) -> Result<Client> {
    Client::new(&pipeline(base).api, auth, &[], clock())
}

fn clock() -> Clock {
    Clock::Fixed("2026-11-20T12:00:00Z".parse().expect("an instant"))
}

fn request(base: &str) -> Request {
    let pipeline = pipeline(base);
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let page = PageCursor::first(&pipeline.pagination);
    crate::request::metrics_request(&pipeline, &[account("1", "UTC")], window, None, &page).expect("a request")
}

#[tokio::test]
async fn signatures_are_sent_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = secret(&folder, "hunter2 &=");
    let cases = [
        (Auth::Bearer { token: token.clone(), proof: None }, Some(("authorization", "Bearer hunter2 &="))),
        (Auth::Header { name: "X-Key".into(), value: token.clone() }, Some(("x-key", "hunter2 &="))),
        (
            Auth::Basic { username: secret(&folder, "me"), password: token.clone() },
            Some(("authorization", "Basic bWU6aHVudGVyMiAmPQ==")),
        ),
        (Auth::Query { name: "key".into(), value: token.clone() }, None),
        (Auth::None, None),
    ];
    let request = request("https://api.test");
    for (auth, header) in cases {
        let client = client("http://api.test", &auth).expect("a client");
        let built = client.build(&request, None).expect("built");
        let sent = header.map(|(name, _)| built.headers().get(name).expect("sent"));
        assert_eq!(sent.map(|value| value.to_str().expect("text")), header.map(|(_, value)| value));
        assert!(sent.is_none_or(|value| value.is_sensitive()));
        assert_eq!(
            built.url().query().expect("a query").contains("&key=hunter2+%26%3D"),
            matches!(auth, Auth::Query { .. })
        );
        let shown = format!("{client:?} {:?} {request}", built.headers());
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMi"), "{shown}");
        assert_eq!(mask("?key=hunter2+%26%3D, hunter2 &=", client.secrets()).contains("hunter2"), auth == Auth::None);
    }
}

/// RFC 4231, test case 2.
#[tokio::test]
async fn the_proof_goes_beside_the_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let proof = Proof { param: "appsecret_proof".into(), secret: secret(&folder, "Jefe") };
    let token = secret(&folder, "what do ya want for nothing?");
    let client = client("http://api.test", &Auth::Bearer { token, proof: Some(proof) }).expect("a client");
    let mut request = request("http://api.test");
    request.url = "http://api.test/x?appsecret_proof=old&a=1".parse().expect("a URL");
    request.query.clear();
    let built = client.build(&request, None).expect("built");
    let hash = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(built.url().as_str(), format!("http://api.test/x?a=1&appsecret_proof={hash}"));
    assert_eq!(built.headers()["authorization"], "Bearer what do ya want for nothing?");
    assert_eq!(client.shown_url(&request), "http://api.test/x?a=1&appsecret_proof=%5Bsecret%5D");
    assert_eq!(mask(&format!("got {hash} of Jefe"), client.secrets()), "got [secret] of [secret]");
}

#[tokio::test]
async fn a_request_signed_by_itself_is_sent_as_it_was_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let texts = ["key-1", "hunter2 secret", "token--1", "hunter2 token secret"];
    let [consumer_key, consumer_secret, token, token_secret] = texts.map(|text| secret(&folder, text));
    let auth = Auth::OAuth1 { consumer_key, consumer_secret, token, token_secret };
    let client = client("http://api.test", &auth).expect("a client");
    let mut request = request("http://api.test");
    request.url = "http://api.test/x?cursor=a+b%2Cc".parse().expect("a URL");
    let declared =
        |name: &str, value: &str| Parameter { name: name.into(), value: value.into(), origin: Origin::Declared };
    request.query = vec![declared("ids", "1,2 3*~"), declared("name", "Söhne & Co")];
    request.method = Method::Post;
    request.body = RequestBody::Form(vec![declared("text", "a + b")]);
    let built = client.build(&request, None).expect("built");
    assert_eq!(built.url().query(), Some("cursor=a%20b%2Cc&ids=1%2C2%203%2A~&name=S%C3%B6hne%20%26%20Co"));
    assert_eq!(built.body().and_then(reqwest::Body::as_bytes), Some(&b"text=a%20%2B%20b"[..]));
    let header = &built.headers()["authorization"];
    assert!(header.is_sensitive());
    let text = header.to_str().expect("text");
    let (_, rest) = text.split_once("oauth_nonce=\"").expect("a nonce");
    let nonce = rest.split('"').next().expect("its end");
    let [consumer_key, consumer_secret, token, token_secret] = texts.map(Secret::new);
    let keys = oauth1::Keys { consumer_key, consumer_secret, token, token_secret };
    let form = [("text".to_owned(), "a + b".to_owned())];
    let signed = Signed { method: "POST", url: built.url(), form: &form };
    assert_eq!(text, authorization(&signed, &keys, nonce, clock().now()));
    let again = client.build(&request, None).expect("built");
    assert_ne!(again.headers()["authorization"], *header, "a nonce is used once");
    let shown = format!("{client:?} {:?} {request} {}", built.headers(), client.shown_url(&request));
    assert!(!shown.contains("hunter2") && !shown.contains("oauth_"), "{shown}");
    assert_eq!(mask("token--1", client.secrets()), MASKED);
}

#[tokio::test]
async fn secret_parameters_are_put_in_while_sending() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = secret(&folder, "hunter2 &=");
    let client = Client::new(&pipeline("http://api.test").api, &Auth::None, std::slice::from_ref(&source), clock());
    let client = client.expect("a client");
    let mut request = request("http://api.test");
    request.query = vec![
        Parameter::secret("secret", &source),
        Parameter { name: "page".into(), value: "2".into(), origin: Origin::Declared },
    ];
    let path = folder.path().display();
    assert!(request.to_string().contains(&format!("?secret=[file:{path}/10]&page=2")), "{request}");
    let url = client.signed_url(&request).expect("signed");
    let (_, query) = url.as_str().split_once('?').expect("a query");
    assert_eq!(query, "page=2&secret=hunter2+%26%3D");
    assert!(client.shown_url(&request).ends_with("?page=2&secret=%5Bsecret%5D"));
    assert_eq!(mask("you sent hunter2 &=", client.secrets()), "you sent [secret]");
    request.body = RequestBody::Form(vec![Parameter::secret("s", &source)]);
    let built = client.build(&request, None).expect("built");
    assert_eq!(built.body().and_then(reqwest::Body::as_bytes), Some(&b"s=hunter2+%26%3D"[..]));
    let absent = SecretSource::Env("HOURMARK_NO_SUCH_VARIABLE".into());
    request.query = vec![Parameter::secret("secret", &absent)];
    let error = client.build(&request, None).expect_err("never its whereabouts in its place");
    assert_eq!(error, "the secret `env:HOURMARK_NO_SUCH_VARIABLE` was not read");
    let missing = Client::new(&pipeline("http://api.test").api, &Auth::None, &[absent], clock()).expect_err("absent");
    assert_eq!(missing.to_string(), "the secret `env:HOURMARK_NO_SUCH_VARIABLE` is not set");
}

#[tokio::test]
async fn an_old_token_in_a_link_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let auth = Auth::Query { name: "key".into(), value: secret(&folder, "new") };
    let client = client("http://api.test", &auth).expect("a client");
    let mut request = request("http://api.test");
    request.query.clear();
    request.url = "http://api.test/x?a=1&key=old&b=2".parse().expect("a URL");
    assert_eq!(client.signed_url(&request).expect("signed").as_str(), "http://api.test/x?a=1&b=2&key=new");
    request.url = "http://api.test/x?key=old".parse().expect("a URL");
    assert_eq!(client.signed_url(&request).expect("signed").as_str(), "http://api.test/x?key=new");
    request.url = "http://api.test/x?sig=a%20b".parse().expect("a URL");
    assert_eq!(
        client.signed_url(&request).expect("signed").as_str(),
        "http://api.test/x?sig=a%20b&key=new",
        "the rest is left as it was"
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_sent_is_refused_by_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = secret(&folder, "hunter2\nhunter3");
    let error = client("http://api.test", &Auth::Bearer { token, proof: None }).expect_err("refused").report();
    assert!(error.contains("file:") && !error.contains("hunter"), "{error}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_host_that_is_not_named() {
    let client = client("http://127.0.0.1:9", &Auth::None).expect("a client");
    let error = client.send(&request("http://127.0.0.2:9"), None, || {}).await.expect_err("refused");
    assert_eq!(error.kind, TransportKind::Unsendable);
    assert_eq!(error.to_string(), "127.0.0.2:9 is not a host that the pipeline names: nothing was sent");
}

#[tokio::test]
async fn a_host_without_a_name_and_a_port_without_a_listener() {
    let base = "http://no-such-host.invalid";
    let client = client(base, &Auth::None).expect("a client");
    let error = client.send(&request(base), None, || {}).await.expect_err("no host");
    assert!(error.unreachable(), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid:80"), "{error}");
    assert!(!error.to_string().contains("2026"), "no query in {error}");
}

#[tokio::test]
async fn a_server_without_tls_where_tls_is_expected() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 no\r\n\r\n").await;
        }
    });
    let client = match client(&base, &Auth::None) {
        Ok(client) => client,
        // A machine without certificates cannot speak TLS at all, and says what to do.
        Err(error) => return assert!(error.report().contains("ca-certificates"), "{}", error.report()),
    };
    let error = client.send(&request(&base), None, || {}).await.expect_err("no TLS");
    assert_eq!(error.kind, TransportKind::Tls, "{error}");
    assert!(error.to_string().starts_with(&format!("no secure connection to {}", &base[8..])), "{error}");
}

#[test]
fn what_signs_the_url_of_a_file_is_not_shown() {
    let request =
        crate::request::download_request(&pipeline("http://api.test"), "https://files.test/r.zip?sig=abc&e=1");
    let client = Client::new(&pipeline("http://api.test").api, &Auth::None, &[], clock()).expect("a client");
    assert_eq!(client.shown_url(&request.expect("a request")), "https://files.test/r.zip?sig=…&e=…");
}
