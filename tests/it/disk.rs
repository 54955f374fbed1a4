//! Disks that are full and files that are not what they should be: code 6, and words that help.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::outside;
use super::sandbox::{Sandbox, assert_same, block_on};
use super::story::*;

/// A small file system of its own; unmounted when it is dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None`, with a line that says so, where mounting is not allowed.
    fn mount(folder: &Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(folder).expect("a folder");
        if !cfg!(target_os = "linux") || !mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder) {
            return None;
        }
        Some(SmallDisk { folder: folder.to_owned() })
    }

    /// Fills the disk until only so many bytes are free.
    fn leave(&self, free: u64) {
        let filler = self.folder.join("filler");
        let _first = fs::remove_file(&filler);
        let disk = rustix::fs::statvfs(&self.folder).expect("a disk");
        let now = disk.f_bavail * disk.f_frsize;
        fs::write(filler, vec![0; usize::try_from(now.saturating_sub(free)).expect("a length")]).expect("a filler");
    }

    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.folder), "it was not made larger");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _left = Command::new("umount").args(["-l".as_ref(), self.folder.as_os_str()]).status();
    }
}

fn mount(options: &[&str], folder: &Path) -> bool {
    let output = Command::new("mount").args(options).arg(folder).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_harms_nothing_and_the_same_command_goes_on() {
    let api = api(&["--accounts", "6", "--campaigns", "40"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let Some(disk) = SmallDisk::mount(&sandbox.path().join("data"), "1m") else {
        outside::skip("a_full_disk_harms_nothing_and_the_same_command_goes_on", "the right to mount a tmpfs");
        return;
    };
    let day = |from, to| quick(&["backfill", "demo", "--from", from, "--to", to]);
    sandbox.run(&[&day("2026-11-02", "2026-11-03")[..], &["--accounts", "100001"]].concat()).expect_code(0);
    let before = sandbox.lake("demo");
    assert!(!before.is_empty());

    let more = day("2026-11-03", "2026-11-08");
    for _ in 0..2 {
        let ran = sandbox.run(&more).expect_code(6);
        assert!(ran.err.contains("free some space"), "{}", ran.err);
        assert!(!ran.err.contains("release a lease"), "a later failure hides the first: {}", ran.err);
        // Whatever was published is whole, and what was there before is as it was.
        let found = sandbox.lake("demo");
        assert!(before.iter().all(|(key, values)| found.get(key) == Some(values)));
        let ran = sandbox.run(&["query", "select count(*) as n from demo", "--format", "csv"]).expect_code(0);
        assert_eq!(ran.out.lines().nth(1), Some(found.len().to_string().as_str()), "{}", ran.out);
    }
    disk.grow("64m");
    sandbox.run(&more).expect_code(0);
    let mut expected = before;
    expected.extend(truth_of_dates(&api, ACCOUNTS, "2026-11-03", "2026-11-08"));
    assert_same(&sandbox.lake("demo"), &expected);
    assert_eq!(staged(&sandbox), Vec::<String>::new());
}

#[test]
fn a_rewrite_that_has_no_room_changes_nothing() {
    let api = api(&["--accounts", "6", "--campaigns", "100"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let Some(disk) = SmallDisk::mount(&sandbox.path().join("data"), "8m") else {
        outside::skip("a_rewrite_that_has_no_room_changes_nothing", "the right to mount a tmpfs");
        return;
    };
    let week = ["backfill", "demo", "--from", "2026-11-02", "--to", "2026-11-09", "--accounts", "100001"];
    sandbox.run(&quick(&week)).expect_code(0);
    let (before, rows) = (contents(&sandbox), sandbox.lake("demo"));
    let bytes: u64 = before.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    // Each hour as a file of its own takes several times the room, which is only found out on the way.
    let hourly = ["rewrite", "demo", "--set", "lake.partition_by=[\"date\", \"hour\"]"];
    for (free, told) in [(bytes + 128 * 1024, "No space left on device"), (bytes / 2, "a rewrite needs about")] {
        disk.leave(free);
        let ran = sandbox.run(&hourly).expect_code(6);
        assert!(ran.err.contains(told) && ran.err.contains("hint: free some space"), "{}", ran.err);
        assert!(contents(&sandbox) == before);
        assert_eq!(staged(&sandbox), Vec::<String>::new());
    }
    disk.grow("64m");
    sandbox.run(&hourly).expect_code(0);
    assert_same(&sandbox.lake("demo"), &rows);
}

/// The accounts of an API with `--accounts 6` and the default zones.
const ACCOUNTS: &[(&str, &str)] = &[
    ("100001", "Europe/Berlin"),
    ("100002", "America/New_York"),
    ("100003", "Asia/Kolkata"),
    ("9007199254740996", "Pacific/Apia"),
    ("100005", "Australia/Lord_Howe"),
    ("100006", "UTC"),
];

#[test]
fn a_state_of_a_newer_schema_is_left_alone() {
    let api = api(&["--accounts", "1", "--campaigns", "1"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo"]).expect_code(0);
    let path = sandbox.path().join("data/state.db");
    block_on(async {
        use sqlx::Connection;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut database = sqlx::SqliteConnection::connect_with(&options).await.expect("the state");
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9000, 'from the future', TRUE, X'00', 0)",
        )
        .execute(&mut database)
        .await
        .expect("a later version");
        database.close().await.expect("closed");
    });
    let sent = metrics(&api);
    for command in [&["run", "demo"][..], &["status", "demo"], &["gaps", "demo"]] {
        let ran = sandbox.run(command).expect_code(6);
        assert!(ran.err.contains("the state `data/state.db` has schema version 9000"), "{}", ran.err);
        assert!(ran.err.contains("hint: a newer hourmark has written it: use that one"), "{}", ran.err);
    }
    assert_eq!(metrics(&api), sent);
}

#[test]
fn a_journal_that_a_killed_process_left_is_no_obstacle() {
    let api = api(&["--accounts", "1", "--campaigns", "1"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo"]).expect_code(0);
    let data = sandbox.path().join("data");
    let (state, journal) = (data.join("state.db"), data.join("state.db-journal"));
    let (cut_state, cut_journal) = (data.join("cut"), data.join("cut-journal"));
    block_on(async {
        use sqlx::{Connection, Executor};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&state);
        let mut database = sqlx::SqliteConnection::connect_with(&options).await.expect("the state");
        // More pages than the cache may hold: some of the transaction is in the file before it is over.
        let half = "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; BEGIN; CREATE TABLE half (bytes BLOB); \
                    INSERT INTO half WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200) \
                    SELECT randomblob(4000) FROM n;";
        database.execute(half).await.expect("half a transaction");
        fs::copy(&state, &cut_state).expect("a copy");
        fs::copy(&journal, &cut_journal).expect("a copy");
        database.execute("ROLLBACK").await.expect("the other half");
        database.close().await.expect("closed");
    });
    for command in [&["status", "demo"][..], &["gaps", "demo"], &["run", "demo"]] {
        fs::copy(&cut_state, &state).expect("a copy");
        fs::copy(&cut_journal, &journal).expect("a copy");
        sandbox.run(command).expect_code(0);
        assert!(!journal.exists(), "{command:?}: what was half written is still there");
    }
    assert_eq!(metrics(&api), 4, "nothing was forgotten");
}

#[test]
fn files_and_folders_in_the_wrong_place_are_named() {
    let api = api(&["--accounts", "1", "--campaigns", "1"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    fs::write(sandbox.path().join("file"), "not a lake").expect("a file");
    fs::create_dir(sandbox.path().join("folder")).expect("a folder");
    fs::write(sandbox.path().join("text.db"), "not a database, and longer than its header would be".repeat(30))
        .expect("a file");
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--lake", "file"],
            &["the lake `file` cannot be a folder: `file` is a file", "hint: move the file away, or choose another"],
        ),
        (
            &["--lake", "file/lake"],
            &["the lake `file/lake` cannot be a folder: `file` is a file", "hint: move the file away"],
        ),
        (&["--state", "folder"], &["the state `folder` is a folder, expected a file", "hint: name a file in it"]),
        (&["--state", "text.db"], &["the state `text.db`", "it is not an SQLite database", "hint: name another file"]),
        (&["--state", "file/state.db"], &["file", "hint: name a state file in a folder"]),
    ];
    for (flags, texts) in cases {
        let ran = sandbox.run(&[&["run", "demo"][..], flags].concat()).expect_code(6);
        for text in *texts {
            assert!(ran.err.contains(text), "{flags:?}: `{text}` is not in\n{}", ran.err);
        }
        assert_eq!(ran.err.matches("error: ").count(), 1, "said more than once:\n{}", ran.err);
    }
    assert_eq!(fs::read_to_string(sandbox.path().join("file")).expect("the file"), "not a lake");
    assert_eq!(metrics(&api), 0);
}

#[test]
fn a_changed_layout_is_refused_with_the_way_out() {
    let api = api(&["--accounts", "2", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo"]).expect_code(0);
    let (before, sent) = (contents(&sandbox), metrics(&api));
    let cases = [
        ("lake.buckets=2", "the dataset `demo` has `buckets = 1`, the pipeline now says `2`", "set it back to `1`"),
        (
            "lake.partition_by=[\"date\", \"hour\"]",
            "the dataset `demo` has `partition_by = date`, the pipeline now says `date, hour`",
            "set it back to `date`",
        ),
    ];
    for (change, told, hint) in cases {
        let ran = sandbox.run(&["run", "demo", "--set", change]).expect_code(6);
        assert!(ran.err.contains(told), "{}", ran.err);
        let way_out = format!("hint: {hint}, or bring the files into the new form with `hourmark rewrite demo`");
        assert!(ran.err.contains(&way_out), "{}", ran.err);
    }
    assert!(contents(&sandbox) == before && metrics(&api) == sent);
    sandbox.run(&["run", "demo"]).expect_code(0);
}
