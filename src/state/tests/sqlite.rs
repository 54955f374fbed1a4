//! The conformance suite on SQLite, and what is SQLite's own: the file, its schema, its locks.

use std::path::Path;

use super::*;

async fn with_state(check: impl AsyncFnOnce(&State)) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(&folder.path().join("state.db")).await.expect("a state");
    check(&state).await;
    state.close().await;
}

#[tokio::test]
async fn accounts() {
    with_state(accounts_stay_when_no_longer_listed).await;
}

#[tokio::test]
async fn ledger_and_watermark() {
    with_state(publishing_fills_the_ledger_and_moves_the_watermark).await;
    with_state(watermarks_only_move_forward_and_never_by_a_backfill).await;
    with_state(a_watermark_passes_many_days_at_once).await;
    with_state(ledgers::a_large_ledger_loads).await;
}

#[tokio::test]
async fn what_is_due() {
    with_state(ledgers::final_days_are_folded_as_they_come).await;
    with_state(ledgers::only_days_in_which_something_is_due_are_loaded).await;
    with_state(ledgers::a_clock_with_other_hours_has_them_read_anew).await;
    with_state(ledgers::an_account_that_is_behind_is_loaded_from_its_watermark_on).await;
}

#[tokio::test]
async fn units() {
    with_state(staged_units_are_listed_until_they_are_published).await;
    with_state(failures_are_forgotten_once_their_hours_are_confirmed).await;
    with_state(old_units_are_pruned).await;
}

#[tokio::test]
async fn quarantine() {
    with_state(quarantine::a_quarantined_unit_is_no_longer_staged).await;
    with_state(quarantine::a_released_unit_is_staged_until_it_is_published).await;
    with_state(quarantine::a_later_reading_makes_it_good_or_takes_its_place).await;
    with_state(quarantine::hours_of_the_platform_s_clock_make_it_good).await;
    with_state(quarantine::old_entries_are_forgotten).await;
}

#[tokio::test]
async fn creations() {
    with_state(creating::a_creation_is_the_same_until_it_ends).await;
    with_state(creating::what_was_made_is_known_once).await;
    with_state(creating::open_units_are_taken_up_until_they_end).await;
    with_state(creating::the_last_thousand_ended_creations_are_kept).await;
    with_state(creating::a_run_that_was_overtaken_creates_nothing).await;
}

#[tokio::test]
async fn sizes_and_skips() {
    with_state(creating::sizes_only_shrink_and_are_forgotten).await;
    with_state(creating::accounts_are_skipped_and_taken_back).await;
    with_state(creating::readings_of_attributes_are_remembered).await;
}

#[tokio::test]
async fn leases() {
    with_state(one_run_at_a_time).await;
    with_state(a_run_that_was_overtaken_cannot_write).await;
}

#[tokio::test]
async fn runs() {
    with_state(runs_say_how_they_ended).await;
    with_state(the_last_thousand_runs_are_kept).await;
}

#[tokio::test]
async fn responses() {
    with_state(responses_are_kept_and_bounded).await;
}

#[tokio::test]
async fn tables() {
    with_state(tables_show_the_state).await;
}

#[tokio::test]
async fn a_state_is_made_with_its_folder_for_this_user_only_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/deep/state.db");
    assert!(State::open_read(&path).await.expect("an answer").is_none());
    assert!(!path.parent().expect("a parent").exists(), "looking makes nothing");
    let state = State::open(&path).await.expect("a state");
    let start = at("2026-11-20T00:00:00Z");
    state.upsert_accounts("ads", &[account("1")], start, start).await.expect("accounts");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("metadata").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    // While it is open, as another program would find it after a crash, and closed.
    let beside = State::open_read(&path).await.expect("an answer").expect("a state");
    assert_eq!(beside.accounts("ads").await.expect("accounts").len(), 1);
    let refused = beside.upsert_accounts("ads", &[account("2")], start, start).await.expect_err("read only");
    assert_eq!(refused.kind(), ErrorKind::Storage, "{refused:?}");
    beside.close().await;
    state.close().await;
    let again = State::open_read(&path).await.expect("an answer").expect("a state");
    assert_eq!(again.accounts("ads").await.expect("accounts").len(), 1);
    let second = State::open(&path).await.expect("a state");
    assert_eq!(second.accounts("ads").await.expect("accounts").len(), 1);
}

#[tokio::test]
async fn many_may_open_a_new_state_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let opened = futures::future::join_all((0..6).map(|_| State::open(&path))).await;
    let start = at("2026-11-20T00:00:00Z");
    for (number, state) in opened.into_iter().enumerate() {
        let state = state.expect("a state");
        state.upsert_accounts("ads", &[account(&number.to_string())], start, start).await.expect("accounts");
    }
    let state = State::open(&path).await.expect("a state");
    assert_eq!(state.accounts("ads").await.expect("accounts").len(), 6);
}

/// What a user is told when `path` is opened either way, with the folder's name left out.
async fn refusal(path: &Path) -> String {
    let error = State::open(path).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Storage);
    let folder = path.parent().expect("a parent").display().to_string();
    let reading = State::open_read(path).await.expect_err("refused");
    assert_eq!(reading.report(), error.report());
    error.report().replace(&folder, "FOLDER")
}

#[tokio::test]
async fn what_is_no_state_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are not the tables you are looking for\n".repeat(40)).expect("written");
    insta::assert_snapshot!(refusal(&text).await, @r"
    cannot open the state `FOLDER/notes.txt`: it is not an SQLite database: (code: 26) file is not a database
      hint: name another file for the state
    ");
    assert!(std::fs::read(&text).expect("the file").starts_with(b"these are not"));

    let foreign = folder.path().join("foreign.db");
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=rwc", foreign.display())).await.expect("a database");
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&pool).await.expect("a table");
    pool.close().await;
    insta::assert_snapshot!(refusal(&foreign).await, @r"
    the database `FOLDER/foreign.db` belongs to another program
      hint: name another file for the state
    ");

    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    insta::assert_snapshot!(refusal(&inner).await, @r"
    the state `FOLDER/inner` is a folder, expected a file
      hint: name a file in it
    ");

    let below = text.join("state.db");
    let error = State::open(&below).await.expect_err("refused");
    let told = error.report().replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!(told, @r"
    cannot make the state's folder `FOLDER/notes.txt`: File exists (os error 17)
      hint: name a state file in a folder that this user may write to
    ");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let state = State::open(&path).await.expect("a state");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9, 'later', TRUE, x'00', 1)",
    )
    .execute(&state.writer)
    .await
    .expect("a later migration");
    state.close().await;
    insta::assert_snapshot!(refusal(&path).await, @r"
    the state `FOLDER/state.db` has schema version 9, this hourmark knows versions up to 7
      hint: a newer hourmark has written it: use that one, or a newer one
    ");
}

#[tokio::test]
async fn a_full_disk_says_so_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(&folder.path().join("state.db")).await.expect("a state");
    sqlx::query("PRAGMA max_page_count = 60").execute(&state.writer).await.expect("a small disk");
    let body = vec![b'x'; 1 << 20];
    let stored_at = at("2026-11-20T09:00:00Z");
    let response = CachedResponse { stored_at, etag: None, last_modified: None, fresh_until: None, body, link: None };
    let error = state.store_response("ads", "accounts", &response).await;
    let error = error.expect_err("no space");
    assert_eq!(error.kind(), ErrorKind::Storage);
    let told = error.report().replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!(told, @r"
    cannot keep a response in the state `FOLDER/state.db`: the disk is full: (code: 13) database or disk is full
      hint: free some space; nothing was half written
    ");
    assert_eq!(state.cached_response("ads", "accounts").await.expect("an answer"), None);
    let start = at("2026-11-20T00:00:00Z");
    state.upsert_accounts("ads", &[account("1")], start, start).await.expect("small writes still fit");
}

#[tokio::test]
async fn queries_find_their_rows_by_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(&folder.path().join("state.db")).await.expect("a state");
    for (query, index) in [
        (
            "SELECT cells FROM ledger WHERE pipeline = 'a' AND day BETWEEN 1 AND 2 ORDER BY day, account_id",
            "PRIMARY KEY",
        ),
        ("SELECT cells FROM ledger WHERE pipeline = 'a' AND day = 1 AND account_id = 'b'", "PRIMARY KEY"),
        ("SELECT key FROM units WHERE pipeline = 'a' AND status = 'failed' AND window_from < 9", "units_by_status"),
        ("DELETE FROM units WHERE pipeline = 'a' AND status = 'published' AND at < 9", "units_by_status"),
        ("SELECT key FROM begun_units WHERE pipeline = 'a' AND begun_at >= 9", "pipeline"),
        ("SELECT id FROM creations WHERE pipeline = 'a' AND unit = 'b' AND part = 1 ORDER BY round DESC", "unit"),
        ("UPDATE creations SET ended_at = 9 WHERE pipeline = 'a' AND unit = 'b' AND ended_at IS NULL", "unit"),
        (
            "SELECT id FROM creations WHERE pipeline = 'a' AND ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC",
            "creations_by_end",
        ),
        ("SELECT * FROM runs WHERE pipeline = 'a' ORDER BY id DESC LIMIT 1", "runs_by_pipeline"),
        ("SELECT SUM(size) OVER (ORDER BY stored_at DESC, pipeline, key) FROM responses", "responses_by_age"),
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
                .fetch_all(&state.readers)
                .await
                .expect("a plan");
        assert!(plan.iter().any(|step| step.3.contains(index)), "{query}: {plan:?}");
    }
}

const HELD_STATE: &str = "HOURMARK_TEST_HELD_STATE";

/// Holds a lease until it is killed; started by the test below as a process of its own.
#[tokio::test]
#[ignore = "does nothing but wait; another test starts it"]
async fn hold_a_lease() {
    let Some(path) = std::env::var_os(HELD_STATE) else { return };
    let state = State::open(Path::new(&path)).await.expect("a state");
    let acquired = state.acquire("ads", "the other process", at("2026-11-20T09:00:00Z")).await.expect("an answer");
    assert!(matches!(acquired, Acquired::Held(_)));
    state.begin_run("ads", RunKind::Hourly, at("2026-11-20T09:00:00Z")).await.expect("a run");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_killed_process_leaves_its_lease_free_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let state = State::open(&path).await.expect("a state");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "state::tests::sqlite::hold_a_lease", "--ignored"])
        .env(HELD_STATE, &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a process");
    while state.last_runs("ads", 1).await.expect("runs").is_empty() {
        assert!(child.try_wait().expect("a status").is_none(), "it ended early");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    match state.acquire("ads", "this process", at("2026-11-20T09:05:00Z")).await.expect("an answer") {
        Acquired::Busy { holder, .. } => assert_eq!(holder, "the other process"),
        Acquired::Held(_) => panic!("two processes hold it"),
    }
    assert_eq!(state.last_runs("ads", 1).await.expect("runs")[0].end, RunEnd::Running);
    child.kill().expect("killed");
    child.wait().expect("an end");
    assert_eq!(state.last_runs("ads", 1).await.expect("runs")[0].end, RunEnd::Interrupted);
    assert_eq!(lease(&state, "ads").await.token(), 2);
}
