//! Databases of earlier versions are brought up with what they hold.

use xxhash_rust::xxh3::xxh3_64;

use super::*;

const FIRST: &str = include_str!("../migrations/0001_begin.sql");

/// A database as the first released version left it.
const ROWS: [&str; 7] = [
    "INSERT INTO accounts VALUES ('ads', '1', 'Shop', 'Europe/Berlin', 'EUR', 1763596800, 1763604000, 1763596800, \
     1763600400)",
    "INSERT INTO ledger VALUES ('ads', 20412, '1', x'')",
    "INSERT INTO units VALUES ('ads', 'ads/1/2025-11-20T00:00Z..2025-11-21T00:00Z', 'hourly', 'staged', \
     '[{\"id\":\"1\",\"name\":\"Shop\",\"time_zone\":\"Europe/Berlin\",\"currency\":\"EUR\"}]', \
     1763596800, 1763683200, 1763596800, 1763604000, 12, 3, 0, '', 1763604000)",
    "INSERT INTO units VALUES ('ads', 'ads/1/2025-11-19T00:00Z..2025-11-20T00:00Z', 'hourly', 'failed', \
     '[{\"id\":\"1\",\"name\":\"Shop\",\"time_zone\":\"Europe/Berlin\",\"currency\":\"EUR\"}]', \
     1763510400, 1763596800, NULL, NULL, 0, 0, 5, '502', 1763604000)",
    "INSERT INTO leases VALUES ('ads', NULL, 41, 1763596800)",
    "INSERT INTO runs (pipeline, kind, started_at, ended_at, outcome, resume_at, note) \
     VALUES ('ads', 'hourly', 1763596800, 1763600400, 'waiting', 1763604000, 'quota `app`')",
    "INSERT INTO responses VALUES ('ads', 'accounts', 1763596800, 130, 'W/\"7\"', NULL, NULL, NULL, x'7b7d')",
];

async fn first_version(path: &std::path::Path) {
    let migrations = tempfile::tempdir().expect("a folder");
    std::fs::write(migrations.path().join("0001_begin.sql"), FIRST).expect("written");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.expect("a database");
    let migrator = sqlx::migrate::Migrator::new(migrations.path()).await.expect("the first migration");
    migrator.run(&pool).await.expect("the first schema");
    for row in ROWS {
        sqlx::query(row).execute(&pool).await.expect("a row");
    }
    pool.close().await;
}

async fn holds_what_it_held(state: &State) {
    let accounts = state.accounts("ads").await.expect("accounts");
    assert_eq!(accounts[0].account, Account { name: "Shop".to_owned(), ..account_in("1", "Europe/Berlin") });
    assert_eq!(accounts[0].watermark, at("2025-11-20T02:00:00Z"));
    let ledgers: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM ledger").fetch_one(&state.readers).await.expect("it");
    assert_eq!(ledgers, 1);
    assert_eq!(state.staged_units("ads").await.expect("staged")[0].rows, 12);
    assert_eq!(state.failed_units("ads").await.expect("failed")[0].reason, "502");
    let back = (at("2025-11-20T02:00:00Z"), "quota `app`".to_owned());
    assert_eq!(state.waiting_until("ads").await.expect("an answer"), Some(back));
    let response = state.cached_response("ads", "accounts").await.expect("an answer").expect("the response");
    assert_eq!(response.body, b"{}");
    assert_eq!(state.creations("ads").await.expect("creations"), []);
}

#[tokio::test]
async fn a_state_of_the_first_version_is_brought_up_with_its_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    first_version(&path).await;
    let state = State::open(&path).await.expect("a state");
    holds_what_it_held(&state).await;
    let held = lease(&state, "ads").await;
    assert_eq!(held.token(), 42);
    let taken = [state.staged_units("ads").await.expect("staged").remove(0).unit];
    state.begin_creation(&held, &taken[0], 0, 7, at("2025-11-20T03:00:00Z")).await.expect("begun");
    assert_eq!(state.open_units("ads", at("2025-11-20T03:00:00Z")).await.expect("units"), taken);

    let path = folder.path().join("other.db");
    first_version(&path).await;
    let state = State::open_read(&path).await.expect("an answer").expect("a state");
    holds_what_it_held(&state).await;
}

#[test]
fn released_migrations_stay_what_they_are() {
    // The database remembers their checksums and refuses others.
    assert_eq!(format!("{:016x}", xxh3_64(FIRST.as_bytes())), "01bda98ee2dbdd43");
}
