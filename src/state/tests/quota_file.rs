//! The file of quota use.

use futures::future::join_all;

use super::*;

async fn state_in(folder: &tempfile::TempDir) -> State {
    State::open(&folder.path().join("state.db")).await.expect("a state")
}

fn number(tallies: &[KeptTally]) -> u64 {
    let Some(tally) = tallies.first() else { return 0 };
    u64::from_le_bytes(tally.kept.as_slice().try_into().expect("eight bytes"))
}

async fn save(turn: &mut QuotaTurn, scope: &str, number: u64) {
    turn.save("app", scope, &number.to_le_bytes(), 1_700_000_000_123).await.expect("saved");
}

async fn add_one(quotas: &QuotaUse) {
    let mut turn = quotas.begin().await.expect("a turn");
    let before = number(&turn.load("app", &["1"]).await.expect("loaded"));
    save(&mut turn, "1", before + 1).await;
    turn.commit().await.expect("committed");
}

#[tokio::test]
async fn what_was_committed_is_there_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state_in(&folder).await;
    assert!(state.quota_use_for_reading().await.expect("an answer").is_none());
    assert!(!folder.path().join("state.db.quotas").exists(), "looking makes nothing");
    let quotas = state.quota_use().await.expect("quota use");
    let mut turn = quotas.begin().await.expect("a turn");
    assert_eq!(turn.load("app", &["", "1"]).await.expect("loaded"), []);
    save(&mut turn, "2", 2).await;
    save(&mut turn, "", 0).await;
    turn.save("other", "1", b"x", 5).await.expect("saved");
    turn.commit().await.expect("committed");
    let mut turn = quotas.begin().await.expect("a turn");
    save(&mut turn, "2", 9).await;
    save(&mut turn, "3", 9).await;
    drop(turn);

    let kept = |quota: &str, scope: &str, kept: &[u8], at: i64| KeptTally {
        quota: quota.to_owned(),
        scope: scope.to_owned(),
        kept: kept.to_vec(),
        at: Instant::from_timestamp_millis(at).expect("a moment"),
    };
    let zero = kept("app", "", &0u64.to_le_bytes(), 1_700_000_000_123);
    let two = kept("app", "2", &2u64.to_le_bytes(), 1_700_000_000_123);
    let mut turn = quotas.begin().await.expect("a turn");
    assert_eq!(turn.load("app", &["3", "2", "1", ""]).await.expect("loaded"), [zero.clone(), two.clone()]);
    assert_eq!(turn.load("app", &["2"]).await.expect("loaded"), [two.clone()]);
    assert_eq!(turn.load("app", &[]).await.expect("loaded"), []);
    drop(turn);
    let names = ["other".to_owned(), "app".to_owned(), "nobody's".to_owned()];
    let reading = state.quota_use_for_reading().await.expect("an answer").expect("quota use");
    let all = [zero.clone(), two.clone(), kept("other", "1", b"x", 5)];
    assert_eq!(reading.all(&names).await.expect("listed"), all);
    assert_eq!(quotas.all(&names[..1]).await.expect("listed"), all[2..]);
    let refused = reading.begin().await.expect("a turn").save("app", "", b"x", 5).await.expect_err("read only");
    assert_eq!(refused.kind(), ErrorKind::Storage, "{refused:?}");

    quotas.sweep(at("2023-11-14T22:13:20.123Z")).await.expect("swept");
    assert_eq!(reading.all(&names).await.expect("listed"), all[..2]);
    quotas.sweep(at("2023-11-14T22:13:20.124Z")).await.expect("swept");
    assert_eq!(reading.all(&names).await.expect("listed"), []);
}

/// Whether a turn of `quotas` finds that others wrote, and whether it was told so before; it is then committed.
async fn others_wrote(quotas: &QuotaUse) -> bool {
    let changed = quotas.changed().await.expect("an answer");
    let turn = quotas.begin().await.expect("a turn");
    let others_wrote = turn.others_wrote();
    assert_eq!(changed, others_wrote);
    turn.commit().await.expect("committed");
    others_wrote
}

#[tokio::test]
async fn a_turn_says_whether_its_memory_is_out_of_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state_in(&folder).await;
    let (one, other) = (state.quota_use().await.expect("quota use"), state.quota_use().await.expect("quota use"));
    assert!(others_wrote(&one).await, "nothing has been loaded yet");
    assert!(!others_wrote(&one).await);
    add_one(&one).await;
    assert!(!others_wrote(&one).await, "it was this one");
    assert!(!others_wrote(&one.clone()).await, "a clone is the same");
    assert!(others_wrote(&other).await);
    assert!(!others_wrote(&one).await, "the other has written nothing");

    add_one(&other).await;
    assert!(!others_wrote(&other).await);
    drop(one.begin().await.expect("a turn"));
    assert!(others_wrote(&one).await, "the turn before loaded nothing");
    assert!(!others_wrote(&one).await);

    drop(one.begin().await.expect("a turn"));
    assert!(!others_wrote(&one).await, "nothing was saved in it");
    let mut turn = one.begin().await.expect("a turn");
    save(&mut turn, "1", 7).await;
    drop(turn);
    assert!(others_wrote(&one).await, "what it had saved is gone");
    assert!(!others_wrote(&other).await, "and nobody saw it");

    one.sweep(at("2023-01-01T00:00:00Z")).await.expect("swept");
    assert!(!others_wrote(&one).await);
    add_one(&other).await;
    one.sweep(at("2023-01-01T00:00:00Z")).await.expect("swept");
    assert!(others_wrote(&one).await, "sweeping loads nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_of_many_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state_in(&folder).await;
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let quotas = state.quota_use().await.expect("quota use");
        for _ in 0..8 {
            let quotas = quotas.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..50 {
                    add_one(&quotas).await;
                }
            }));
        }
    }
    for ended in join_all(tasks).await {
        ended.expect("a task");
    }
    let quotas = state.quota_use_for_reading().await.expect("an answer").expect("quota use");
    assert_eq!(number(&quotas.all(&["app".to_owned()]).await.expect("listed")), 800);
}

/// Two desks that keep the number in memory and load it only when told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_is_told_of_others_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state_in(&folder).await;
    let mut desks = Vec::new();
    for desk in 0..2 {
        let quotas = state.quota_use().await.expect("quota use");
        desks.push(tokio::spawn(async move {
            let mut remembered = 0;
            for round in 0..100 {
                let mut turn = quotas.begin().await.expect("a turn");
                if turn.others_wrote() {
                    remembered = number(&turn.load("app", &["1"]).await.expect("loaded"));
                }
                // A turn that is given up must not leave anything behind.
                if (round + desk) % 7 == 3 {
                    save(&mut turn, "1", 1_000_000).await;
                    continue;
                }
                remembered += 1;
                save(&mut turn, "1", remembered).await;
                turn.commit().await.expect("committed");
            }
        }));
    }
    for ended in join_all(desks).await {
        ended.expect("a desk");
    }
    let quotas = state.quota_use_for_reading().await.expect("an answer").expect("quota use");
    assert_eq!(number(&quotas.all(&["app".to_owned()]).await.expect("listed")), 200 - 14 - 14);
}
