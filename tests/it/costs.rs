//! What runs cost, in counts that do not depend on the machine: requests, files written, and that units which are too
//! large to be held end as all others do.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::sandbox::{Api, Sandbox};
use super::story::*;

/// Ten accounts in one request: 14,400 rows in a unit.
const BACKFILL: &[&str] = &["backfill", "demo", "--from", "2026-10-01", "--to", "2026-10-02"];

/// The backfill without a pace worth the name.
fn backfill<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [BACKFILL, &["--set", "quotas.0.requests=5000"], arguments].concat()
}

fn dense(accounts: &str, campaigns: &str) -> Api {
    api(&["--accounts", accounts, "--campaigns", campaigns, "--dense", "--zones", "UTC"])
}

/// With so many workers each of them holds a megabyte of rows, and the unit has three.
#[test]
fn a_unit_that_is_too_large_to_be_held_ends_as_any_other() {
    let api = dense("10", "60");
    let held = Sandbox::new(&api, Some(NOW));
    held.run(&backfill(&["--workers", "1"])).expect_code(0);
    let aside = Sandbox::new(&api, Some(NOW));
    let ran = aside.run(&backfill(&["--workers", "32", "-vv"])).expect_code(0);
    assert!(ran.err.contains("rows put aside"), "{}", ran.err);
    let rows = held.lake("demo").len();
    assert_eq!(rows, 10 * 60 * 24);
    assert_eq!(contents(&aside), contents(&held), "the same bytes");
    assert_eq!(staged(&aside), Vec::<String>::new());
}

/// Its rows were staged when the last of them was judged: they go on into quarantine, and come back from there.
#[test]
fn a_unit_that_is_too_large_to_be_held_can_be_quarantined() {
    let api = dense("10", "60");
    let sandbox = Sandbox::new(&api, Some(NOW));
    add(&sandbox, "[quality.columns]\nimpressions = { max = 1 }\n");
    let ran = sandbox.run(&backfill(&["--workers", "32", "-vv"])).expect_code(1);
    assert!(ran.err.contains("rows put aside") && ran.err.contains("of 14400 rows break a rule"), "{}", ran.err);
    assert_eq!((staged(&sandbox), published(&sandbox)), (Vec::new(), Vec::new()));
    sandbox.run(&["quarantine", "release", "demo", "--all"]).expect_code(0);
    assert_eq!(sandbox.lake("demo").len(), 10 * 60 * 24);
}

#[test]
fn requests_fall_by_the_accounts_that_are_in_one() {
    let mut sent = Vec::new();
    for batch in ["1", "5", "10"] {
        let api = dense("10", "2");
        let sandbox = Sandbox::new(&api, Some(NOW));
        let setting = format!("request.accounts_per_request={batch}");
        sandbox.run(&backfill(&["--set", &setting])).expect_code(0);
        assert_eq!(sandbox.lake("demo").len(), 10 * 2 * 24);
        sent.push(metrics(&api));
    }
    assert_eq!(sent, [10, 2, 1]);
}

#[test]
fn a_day_that_is_read_again_and_has_not_changed_is_not_written() {
    let api = dense("4", "5");
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&backfill(&[])).expect_code(0);
    let seen = || -> Vec<(u64, i64, i64)> {
        let metadata = published(&sandbox).into_iter().map(|path| fs::metadata(path).expect("a file"));
        metadata.map(|metadata| (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())).collect()
    };
    let before = seen();
    assert!(!before.is_empty());
    let requests = metrics(&api);
    sandbox.run(&backfill(&["--again"])).expect_code(0);
    assert!(metrics(&api) > requests, "it was read again");
    assert_eq!(seen(), before);
}
