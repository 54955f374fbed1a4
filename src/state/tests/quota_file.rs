//! The file of quota use.

use std::path::Path;

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
    let all_of_app = [zero.clone(), two.clone()];
    let mut turn = quotas.begin().await.expect("a turn");
    assert_eq!(turn.load("app", &["3", "2", "1", ""]).await.expect("loaded"), all_of_app);
    assert_eq!(turn.load("app", &["2"]).await.expect("loaded"), all_of_app[1..]);
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

/// As a request does that is given up while it waits for its permit.
#[tokio::test]
async fn a_turn_may_be_given_up_anywhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state_in(&folder).await;
    let quotas = state.quota_use().await.expect("quota use");
    let mut committed = 0;
    for polls in 0..200 {
        let mut work = Box::pin(add_one(&quotas));
        for _ in 0..polls % 50 {
            if futures::poll!(&mut work).is_ready() {
                committed += 1;
                break;
            }
            tokio::time::sleep(Duration::from_micros(polls)).await;
        }
    }
    let reading = state.quota_use_for_reading().await.expect("an answer").expect("quota use");
    add_one(&quotas).await;
    let kept = number(&reading.all(&["app".to_owned()]).await.expect("listed"));
    assert!((committed + 1..=201).contains(&kept), "{committed} returned, {kept} are kept");
    let found = others_wrote(&quotas).await;
    assert!(!found, "a turn that was given up is not another's");
}

const HELD_QUOTAS: &str = "HOURMARK_TEST_HELD_QUOTAS";

/// Commits a number, and is killed while it holds a turn; started by the test below as a process of its own.
#[tokio::test]
#[ignore = "does nothing but wait; another test starts it"]
async fn hold_a_turn() {
    let Some(path) = std::env::var_os(HELD_QUOTAS) else { return };
    let state = State::open(Path::new(&path)).await.expect("a state");
    let quotas = state.quota_use().await.expect("quota use");
    add_one(&quotas).await;
    let mut turn = quotas.begin().await.expect("a turn");
    save(&mut turn, "1", 99).await;
    // Not as tests print, which is kept back until they end.
    std::io::Write::write_all(&mut std::io::stdout(), b"held\n").expect("told");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_committed_and_holds_up_nobody() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().expect("a folder");
    let state = state_in(&folder).await;
    let quotas = state.quota_use().await.expect("quota use");
    assert!(others_wrote(&quotas).await);
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "state::tests::quota_file::hold_a_turn", "--ignored"])
        .env(HELD_QUOTAS, state.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    let said = std::io::BufReader::new(child.stdout.take().expect("its output")).lines();
    let held = said.map_while(std::io::Result::ok).any(|line| line.contains("held"));
    assert!(held, "it ended early");
    child.kill().expect("killed");
    child.wait().expect("an end");
    let mut turn = quotas.begin().await.expect("a turn");
    assert!(turn.others_wrote());
    assert_eq!(number(&turn.load("app", &["1"]).await.expect("loaded")), 1);
}

#[tokio::test]
async fn what_is_no_file_of_quota_use_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let refusal = async |state: &State| {
        let error = state.quota_use().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(state.quota_use_for_reading().await.expect_err("refused").report(), error.report());
        let folder = folder.path().canonicalize().expect("a folder").display().to_string();
        error.report().replace(&folder, "FOLDER")
    };
    // A state is not a file of quota use either.
    let state = State::open(&folder.path().join("a.db")).await.expect("a state");
    State::open(&folder.path().join("a.db.quotas")).await.expect("a state").close().await;
    insta::assert_snapshot!(refusal(&state).await, @r"
    the database `FOLDER/a.db.quotas` belongs to another program
      hint: name another file for the state
    ");

    let state = State::open(&folder.path().join("b.db")).await.expect("a state");
    drop(state.quota_use().await.expect("quota use"));
    let file = format!("sqlite://{}", folder.path().join("b.db.quotas").display());
    let later = sqlx::SqlitePool::connect(&file).await.expect("a database");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9, 'later', TRUE, x'00', 1)",
    )
    .execute(&later)
    .await
    .expect("a later migration");
    insta::assert_snapshot!(refusal(&state).await, @r"
    the state `FOLDER/b.db.quotas` has schema version 9, this hourmark knows versions up to 1
      hint: a newer hourmark has written it: use that one, or a newer one
    ");
}
