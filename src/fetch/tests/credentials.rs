//! Credentials that end in the middle of a run.

use super::*;

const FRESH: &str = "swordfish-token";

fn refused() -> Reply {
    Reply::new(401, &[], br#"{"message":"hunter2-token and swordfish-token are no good"}"#)
}

/// Whoever comes with the old token is refused after a while, and the file has another one then.
async fn rotating(fresh_is_good: bool) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, SECRET).expect("a token");
    let source = SecretSource::File(token.clone());
    let server = Server::answering(move |request| {
        if request.contains("Bearer hunter2-token") {
            std::fs::write(&token, FRESH).expect("a token");
            return refused().late(Duration::from_millis(100));
        }
        assert!(request.contains("Bearer swordfish-token"), "{request}");
        if fresh_is_good { one_row() } else { refused() }
    });
    let mut bench = Bench::with(server.await);
    bench.folder = folder;
    bench.pipeline.auth = Auth::Bearer { token: source, proof: None };
    bench
}

#[tokio::test]
async fn a_token_that_was_renewed_is_read_again_once_for_all_workers() {
    let bench = rotating(true).await;
    let fetch = bench.opened().await;
    let mut workers = tokio::task::JoinSet::new();
    for id in ["1", "2", "3"] {
        let fetch = fetch.clone();
        workers.spawn(async move { fetch.unit(&unit(&[account(id, "UTC")]), &CancellationToken::new()).await });
    }
    while let Some(slice) = workers.join_next().await {
        assert_eq!(clicks(&slice.expect("no panic").expect("a slice")).len(), 1);
    }
    let sent = bench.server.headers("authorization");
    let fresh = sent.iter().filter(|token| token.ends_with(FRESH)).count();
    assert_eq!(fresh, 3, "each unit one more time: {sent:?}");
    let slice = fetch.unit(&unit(&[account("4", "UTC")]), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(slice.requests, 1, "the old token is not tried again");
}

#[tokio::test]
async fn a_token_that_is_the_same_ends_the_run() {
    let bench = Bench::new(vec![refused(), one_row()]).await;
    let failure = bench.run(&unit(&[account("1", "UTC")])).await.expect_err("refused");
    let UnitFailure::Failed { reason, attempts: 1, fatal: true } = failure else { panic!("{failure}") };
    let source = format!("the platform does not accept the credentials of `file:{}", bench.folder.path().display());
    assert!(reason.contains(&source) && !reason.contains("hunter2"), "{reason}");
}

#[tokio::test]
async fn a_new_token_that_is_refused_too_ends_the_run_and_neither_is_told() {
    let bench = rotating(false).await;
    let failure = bench.run(&unit(&[account("1", "UTC")])).await.expect_err("refused");
    let UnitFailure::Failed { reason, attempts: 2, fatal: true } = failure else { panic!("{failure}") };
    assert!(reason.starts_with("HTTP 401: [secret] and [secret] are no good"), "{reason}");
    assert_eq!(bench.server.requests().len(), 2);
}
