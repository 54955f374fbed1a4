//! No token: what is said about it, and how often it is asked for.

use super::*;
use crate::pipeline::JwtRules;

fn reason(failure: UnitFailure) -> String {
    match failure {
        UnitFailure::Failed { reason, fatal: true, .. } => {
            assert!(!reason.contains("hunter2"), "{reason}");
            reason
        }
        other => panic!("{other:?}"),
    }
}

/// Without what differs from run to run.
fn plain(bench: &Bench, text: &str) -> String {
    let folder = bench.folder.path().display().to_string();
    text.replace(&bench.server.base()[7..], "auth.test:1").replace(&folder, "secrets")
}

#[tokio::test]
async fn a_refresh_token_that_has_ended_is_tried_once_by_all_workers_together() {
    let bench = bench(vec![refusal("invalid_grant").late(Duration::from_millis(50))], |_| one_row()).await;
    for failure in eight(&bench.opened().await).await {
        let said = plain(&bench, &reason(failure.expect_err("refused")));
        assert_eq!(
            said,
            "auth.test:1 does not accept the refresh token of `file:secrets/refresh` any more: HTTP 400: invalid_grant \
             no, [secret] of [secret]: a person must sign in with the platform again and put the new refresh token into \
             `file:secrets/refresh`"
        );
    }
    assert_eq!(bench.server.requests().len(), 1, "asking again locks people out");
}

#[tokio::test]
async fn other_final_refusals_say_what_to_look_at() {
    let cases = [
        (
            "invalid_client",
            "does not accept the client of `file:secrets/id` with the secret of `file:secrets/secret`: ",
        ),
        (
            "unauthorized_client",
            "does not accept the client of `file:secrets/id` with the secret of `file:secrets/secret`: ",
        ),
        ("invalid_scope", "gives no token for the scope of `auth.scope`: "),
        ("unsupported_grant_type", "gives no token of `file:secrets/id` with the secret of `file:secrets/secret`: "),
    ];
    for (code, words) in cases {
        let bench = bench(vec![refusal(code)], |_| one_row()).await;
        let said = plain(&bench, &reason(one(&bench.opened().await).await.expect_err("refused")));
        assert!(said.starts_with(&format!("auth.test:1 {words}HTTP 400: {code} ")), "{said}");
        assert_eq!(bench.server.requests().len(), 1);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let bad = [
        Reply::status(503),
        Reply::reset(),
        Reply::status(429),
        Reply::new(200, &[], b"<html>sorry</html>"),
        token(1, "").cut(3),
        refusal("temporarily_unavailable"),
    ];
    for (index, reply) in bad.into_iter().enumerate() {
        let bench = bench(vec![reply, token(1, "")], |_| one_row()).await;
        let slice = one(&bench.opened().await).await.unwrap_or_else(|failure| panic!("{index}: {failure}"));
        assert_eq!(slice.requests, 1, "{index}");
        assert_eq!(bench.token_requests().len(), 2, "{index}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_well_is_given_up_after_the_attempts_and_nobody_is_blamed() {
    let bench = bench((0..9).map(|_| Reply::status(503)).collect(), |_| one_row()).await;
    for failure in eight(&bench.opened().await).await {
        assert_eq!(
            plain(&bench, &reason(failure.expect_err("no token"))),
            "no access token from auth.test:1: HTTP 503 (after 3 attempts): the credentials were not refused: check the \
             network and `auth.token_url`, or come back when it is well"
        );
    }
    assert_eq!(bench.server.requests().len(), 3, "no retry inside a retry");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_no_matter_of_credentials() {
    let mut bench = bench(vec![], |_| one_row()).await;
    bench.rules().token_url = "http://127.0.0.1:9/token".parse().expect("a URL");
    let said = reason(one(&bench.opened().await).await.expect_err("no token"));
    let begins = "no access token from 127.0.0.1:9: cannot connect to 127.0.0.1:9: ";
    assert!(said.starts_with(begins) && said.contains("the credentials were not refused"), "{said}");
    assert!(bench.server.requests().is_empty());
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_the_run_with_when_to_come_back() {
    let bench = bench(vec![Reply::new(429, &[("retry-after", "3600")], b"")], |_| one_row()).await;
    for failure in eight(&bench.opened().await).await {
        let Err(UnitFailure::ComeBack { until, .. }) = failure else { panic!("{failure:?}") };
        assert_eq!(until, at("2026-11-20T13:34:56Z"));
    }
    assert_eq!(bench.server.requests().len(), 1);
}

#[tokio::test]
async fn redirects_of_the_endpoint_are_not_followed() {
    let elsewhere = Server::start(vec![token(1, "")]).await;
    let headers = [("location", format!("{}/token", elsewhere.base()))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let bench = bench(vec![Reply::new(307, &headers, b"")], |_| one_row()).await;
    let said = reason(one(&bench.opened().await).await.expect_err("no token"));
    assert!(said.contains("redirects are not followed"), "{said}");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_list_of_accounts_fails_with_the_same_words_and_the_platforms_exit_code() {
    let mut bench = bench(vec![refusal("invalid_grant")], |_| one_row()).await;
    bench.pipeline.accounts = lists::with_accounts(vec![]).await.pipeline.accounts.clone();
    let unlisted = bench.fetch().await.accounts(&CancellationToken::new()).await.expect_err("refused");
    let Unlisted::Failed(error) = unlisted else { panic!("{unlisted}") };
    assert_eq!(error.kind(), ErrorKind::Platform);
    let report = plain(&bench, &error.report());
    assert!(report.starts_with("auth.test:1 does not accept the refresh token of `file:secrets/refresh`"), "{report}");
    assert!(report.contains("\n  hint: a person must sign in"), "{report}");
}

#[tokio::test]
async fn secrets_that_are_not_there_are_missed_before_a_run_begins() {
    let mut bench = bench(vec![], |_| one_row()).await;
    let key = SecretSource::File(bench.folder.path().join("key.pem"));
    bench.rules().client_secret = ClientSecret::Jwt(JwtRules {
        key: key.clone(),
        key_id: key.clone(),
        issuer: key,
        audience: "https://auth.test".into(),
        lifetime: Duration::from_secs(3600),
    });
    let fetch = |bench: &Bench, state: State| {
        Fetch::new(Arc::new(bench.pipeline.clone()), state, bench.clock, Arc::default()).map(|_| ())
    };
    let state = State::open(&bench.folder.path().join("state.sqlite")).await.expect("a state");
    let error = fetch(&bench, state.clone()).expect_err("no key").report();
    assert!(plain(&bench, &error).starts_with("cannot read the secret `file:secrets/key.pem`: "), "{error}");
    std::fs::write(bench.folder.path().join("key.pem"), "hunter2").expect("a file");
    let error = fetch(&bench, state.clone()).expect_err("no key").report();
    assert!(plain(&bench, &error).starts_with("the key `file:secrets/key.pem` holds no private key"), "{error}");
    assert!(!error.contains("hunter2"));
    bench.rules().client_secret = ClientSecret::None;
    std::fs::remove_file(bench.folder.path().join("refresh")).expect("removed");
    let error = fetch(&bench, state).expect_err("no token").report();
    assert!(plain(&bench, &error).starts_with("cannot read the secret `file:secrets/refresh`: "), "{error}");
}

#[tokio::test]
async fn a_stopped_run_does_not_wait_for_another_workers_token() {
    let bench = bench(vec![token(1, "").late(Duration::from_secs(5))], |_| one_row()).await;
    let fetch = bench.opened().await;
    let stop = CancellationToken::new();
    let first = tokio::spawn({
        let fetch = fetch.clone();
        async move { one(&fetch).await }
    });
    while bench.server.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.cancel();
    let end = fetch.signed_in(&stop).await;
    assert!(matches!(end, Err(crate::fetch::send::Halt::Stopped)), "{end:?}");
    first.abort();
}
