//! Refresh tokens that the platform gives in the place of others.

use std::collections::HashSet;

use super::*;

/// A platform that accepts each refresh token once and gives another with every access token.
async fn rotating() -> Bench {
    let (mut number, mut spent) = (0, HashSet::new());
    answering(move |request| {
        if !is_for_a_token(request) {
            return one_row();
        }
        if !spent.insert(field(request, "refresh_token")) {
            return refusal("invalid_grant");
        }
        number += 1;
        token(number, &format!(r#","refresh_token":"hunter2-rotated-{number}""#)).late(Duration::from_millis(20))
    })
    .await
}

fn content(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn a_new_refresh_token_is_kept_and_the_next_process_uses_it() {
    let mut bench = rotating().await;
    let path = bench.keeping();
    for _ in 0..3 {
        // As another process: nothing but the file is the same.
        one(&bench.opened().await).await.expect("a slice");
    }
    assert_eq!(bench.spent(), ["hunter2-refresh", "hunter2-rotated-1", "hunter2-rotated-2"]);
    assert_eq!(content(&path), "hunter2-rotated-3");
    // What is kept goes before it, so it need not be there any more.
    std::fs::remove_file(bench.folder.path().join("refresh")).expect("removed");
    one(&bench.opened().await).await.expect("a slice");
    assert_eq!(content(&path), "hunter2-rotated-4");
}

#[tokio::test]
async fn it_is_kept_before_the_access_token_is_used() {
    let (folder, mut number) = (tempfile::tempdir().expect("a folder"), 0);
    let path = folder.path().join("kept");
    let seen = path.clone();
    let mut bench = answering(move |request| {
        if is_for_a_token(request) {
            number += 1;
            return token(number, &format!(r#","refresh_token":"hunter2-rotated-{number}""#));
        }
        assert_eq!(content(&seen), format!("hunter2-rotated-{number}"), "{request}");
        one_row()
    })
    .await;
    let refresh = SecretSource::File(bench.folder.path().join("refresh"));
    bench.rules().grant = Grant::RefreshToken { token: refresh, keep: Some(path) };
    for _ in 0..2 {
        one(&bench.opened().await).await.expect("a slice");
    }
}

/// Each waits for the other's token to be written, or one of them would spend a token that is spent.
#[tokio::test]
async fn two_processes_never_spend_the_same_token() {
    let mut bench = rotating().await;
    let path = bench.keeping();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(bench.fetch().await);
    }
    let ends = futures::future::join_all(processes.iter().map(one)).await;
    for slice in ends {
        slice.expect("a slice");
    }
    let mut spent = bench.spent();
    spent.sort();
    spent.dedup();
    assert_eq!(spent.len(), 4, "{spent:?}");
    assert_eq!(content(&path), "hunter2-rotated-4");
}

#[tokio::test]
async fn whoever_signs_in_anew_puts_the_token_where_it_always_was() {
    let mut bench = rotating().await;
    let path = bench.keeping();
    one(&bench.opened().await).await.expect("a slice");
    // The platform has revoked what is kept.
    std::fs::write(&path, "hunter2-refresh").expect("a token");
    std::fs::write(bench.folder.path().join("refresh"), "hunter2-anew\n").expect("a token");
    one(&bench.opened().await).await.expect("a slice");
    assert_eq!(bench.spent(), ["hunter2-refresh", "hunter2-refresh", "hunter2-anew"]);
    assert_eq!(content(&path), "hunter2-rotated-2", "what came of the new one is kept");
}

/// And it is kept itself where nothing comes in its place, so that the dead one is not tried for ever.
#[tokio::test]
async fn a_given_token_that_stays_takes_the_dead_ones_place() {
    let mut bench = answering(|request| {
        if !is_for_a_token(request) {
            return one_row();
        }
        if field(request, "refresh_token") == "hunter2-dead" { refusal("invalid_grant") } else { token(1, "") }
    })
    .await;
    let path = bench.keeping();
    one(&bench.opened().await).await.expect("a slice");
    assert!(!path.exists(), "nothing came in the place of the given one");
    std::fs::write(&path, "hunter2-dead").expect("a token");
    one(&bench.opened().await).await.expect("a slice");
    one(&bench.opened().await).await.expect("a slice");
    assert_eq!(bench.spent(), ["hunter2-refresh", "hunter2-dead", "hunter2-refresh", "hunter2-refresh"]);
}

#[tokio::test]
async fn when_both_are_dead_both_are_named() {
    let mut bench = answering(|_| refusal("invalid_grant")).await;
    let path = bench.keeping();
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, "hunter2-kept").expect("a token");
    let failure = one(&bench.opened().await).await.expect_err("refused").to_string();
    let (place, folder) = (&bench.server.base()[7..], bench.folder.path().display());
    assert_eq!(
        failure,
        format!(
            "{place} accepts neither the refresh token kept in `{folder}/secrets/kept` nor that of \
             `file:{folder}/refresh`: HTTP 400: invalid_grant no, [secret] of [secret]: a person must sign in with the \
             platform again and put the new refresh token into `file:{folder}/refresh`"
        )
    );
    assert_eq!(bench.spent(), ["hunter2-kept", "hunter2-refresh"], "the given one once");
}

/// Without a file the run goes on with it, and says that the next may not.
#[tokio::test]
async fn without_a_file_a_run_remembers_it() {
    let logged = Logged::start();
    let bench = rotating().await;
    let fetch = bench.opened().await;
    for _ in 0..3 {
        one(&fetch).await.expect("a slice");
        let stop = CancellationToken::new();
        fetch.renew(fetch.client(), false, &stop).await.expect("renewed");
    }
    let rotated = (1..=3).map(|number| format!("hunter2-rotated-{number}"));
    let spent: Vec<String> = std::iter::once("hunter2-refresh".to_owned()).chain(rotated).collect();
    assert_eq!(bench.spent(), spent);
    assert_eq!(logged.text().matches("`auth.keep`").count(), 1, "said once");
}

/// A token whose successor cannot be kept is not spent.
#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_before_anything_is_spent() {
    let mut bench = rotating().await;
    let path = bench.keeping();
    std::fs::write(path.parent().expect("a folder"), "not a folder").expect("a file");
    let failure = one(&bench.opened().await).await.expect_err("no folder");
    let UnitFailure::Broken { kind: ErrorKind::Storage, report } = failure else { panic!("{failure}") };
    assert!(report.contains("`auth.keep`"), "{report}");
    assert!(bench.server.requests().is_empty());
}

/// The worker that asked has gone, as after another worker's error: what was brought is kept all the same.
#[tokio::test]
async fn a_token_that_nobody_waits_for_any_more_is_kept() {
    let mut bench = rotating().await;
    let path = bench.keeping();
    let fetch = bench.opened().await;
    let asking = one(&fetch);
    let gone = tokio::time::timeout(Duration::from_millis(10), asking).await;
    assert!(gone.is_err(), "it takes 20 ms");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while bench.server.requests().is_empty() || content(&path).is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it was never kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(content(&path), "hunter2-rotated-1");
}
