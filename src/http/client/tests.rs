use super::*;
use crate::page::PageCursor;
use crate::request::tests::{account, pipeline, window};

/// A secret in a file, as pipelines name them. The file goes with the folder.
fn secret(folder: &tempfile::TempDir, text: &str) -> SecretSource {
    let path = folder.path().join(text.len().to_string());
    std::fs::write(&path, text).expect("a file");
    SecretSource::File(path)
}

fn request(base: &str) -> Request {
    let pipeline = pipeline(base);
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let page = PageCursor::first(&pipeline.pagination);
    crate::request::metrics_request(&pipeline, &[account("1", "UTC")], window, None, &page).expect("a request")
}

#[test]
fn base64_as_in_its_rfc() {
    let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
    for (plain, encoded) in cases {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[tokio::test]
async fn signatures_are_sent_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = secret(&folder, "hunter2 &=");
    let cases = [
        (Auth::Bearer { token: token.clone() }, Some(("authorization", "Bearer hunter2 &="))),
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
        let client = Client::new(&pipeline("http://api.test").api, &auth).expect("a client");
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

#[tokio::test]
async fn an_old_token_in_a_link_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let auth = Auth::Query { name: "key".into(), value: secret(&folder, "new") };
    let client = Client::new(&pipeline("http://api.test").api, &auth).expect("a client");
    let mut request = request("http://api.test");
    request.query.clear();
    request.url = "http://api.test/x?a=1&key=old&b=2".parse().expect("a URL");
    assert_eq!(client.signed_url(&request).as_str(), "http://api.test/x?a=1&b=2&key=new");
    request.url = "http://api.test/x?key=old".parse().expect("a URL");
    assert_eq!(client.signed_url(&request).as_str(), "http://api.test/x?key=new");
    request.url = "http://api.test/x?sig=a%20b".parse().expect("a URL");
    assert_eq!(
        client.signed_url(&request).as_str(),
        "http://api.test/x?sig=a%20b&key=new",
        "the rest is left as it was"
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_sent_is_refused_by_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = secret(&folder, "hunter2\nhunter3");
    let error = Client::new(&pipeline("http://api.test").api, &Auth::Bearer { token }).expect_err("refused").report();
    assert!(error.contains("file:") && !error.contains("hunter"), "{error}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_host_that_is_not_named() {
    let client = Client::new(&pipeline("http://127.0.0.1:9").api, &Auth::None).expect("a client");
    let error = client.send(&request("http://127.0.0.2:9"), None, || {}).await.expect_err("refused");
    assert_eq!(error.kind, TransportKind::Unsendable);
    assert_eq!(error.to_string(), "127.0.0.2:9 is not a host that the pipeline names: nothing was sent");
}

#[tokio::test]
async fn a_host_without_a_name_and_a_port_without_a_listener() {
    let base = "http://no-such-host.invalid";
    let client = Client::new(&pipeline(base).api, &Auth::None).expect("a client");
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
    let client = match Client::new(&pipeline(&base).api, &Auth::None) {
        Ok(client) => client,
        // A machine without certificates cannot speak TLS at all, and says what to do.
        Err(error) => return assert!(error.report().contains("ca-certificates"), "{}", error.report()),
    };
    let error = client.send(&request(&base), None, || {}).await.expect_err("no TLS");
    assert_eq!(error.kind, TransportKind::Tls, "{error}");
    assert!(error.to_string().starts_with(&format!("no secure connection to {}", &base[8..])), "{error}");
}
