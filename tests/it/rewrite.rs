//! `rewrite`: the way out where a changed layout, key or type is refused.

use std::fs;

use super::sandbox::{Ran, Sandbox, assert_same};
use super::story::*;

const DAILY: &str = "partition_by = [\"date\"]\nbuckets = 1";
const HOURLY: &str = "partition_by = [\"date\", \"hour\"]\nbuckets = 8";
const SUMS: &str = "select account_id, date, count(*) as n, sum(impressions) as i, sum(spend) as s, max(seen_at) as seen \
                    from demo group by account_id, date order by account_id, date";

fn sums(sandbox: &Sandbox) -> String {
    sandbox.run(&["query", SUMS, "--format", "csv"]).expect_code(0).out
}

/// The first number of a query's answer.
fn count(sandbox: &Sandbox, what: &str) -> u64 {
    let ran = sandbox.run(&["query", &format!("select {what} as n from demo"), "--format", "csv"]).expect_code(0);
    ran.out.lines().nth(1).expect("a row").parse().expect("a number")
}

/// What was printed, without what differs from run to run.
fn told(ran: &Ran) -> Vec<String> {
    let lines = ran.out.lines().filter(|line| !line.contains(" needs ") && !line.contains(" size "));
    lines.map(|line| line.split(" in ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn another_layout_holds_the_same_rows_and_the_way_back_the_same_bytes() {
    let api = api(&["--accounts", "9", "--campaigns", "4"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let (before, rows, files) = (sums(&sandbox), sandbox.lake("demo"), contents(&sandbox));
    assert!(before.lines().count() > 30, "{before}");

    sandbox.edit(DAILY, HOURLY);
    let ran = sandbox.run(&["run", "demo"]).expect_code(6);
    assert!(ran.err.contains("with `hourmark rewrite demo`"), "{}", ran.err);
    let checked = sandbox.run(&["rewrite", "demo", "--dry-run"]).expect_code(0);
    assert!(contents(&sandbox) == files, "a dry run changed something");
    assert!(checked.out.contains("needs      about "), "{}", checked.out);
    assert!(checked.out.contains("every value fits"), "{}", checked.out);

    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(0);
    let expected = told(&checked)[1..].to_vec();
    assert_eq!(told(&ran)[1..], expected, "a dry run says what then happens");
    assert!(
        ran.out.contains("  change     partition_by: date -> date, hour\n  change     buckets: 1 -> 8\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains(&format!("\n  rows       {}\n", rows.len())), "{}", ran.out);
    assert_eq!(sums(&sandbox), before);
    assert_same(&sandbox.lake("demo"), &rows);
    assert!(published(&sandbox).len() > 200, "{} files", published(&sandbox).len());
    assert_eq!(staged(&sandbox), Vec::<String>::new());

    // The ledger knows nothing of files: what it holds is still true, and nothing is due or asked for again.
    let (sent, hourly) = (metrics(&api), contents(&sandbox));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_eq!(metrics(&api), sent);
    let again = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-20", "--again"];
    sandbox.run(&quick(&again)).expect_code(0);
    assert!(metrics(&api) > sent);
    assert!(contents(&sandbox) == hourly, "a re-fetch that finds nothing new changed a file");

    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(0);
    assert_eq!(ran.out, "demo: nothing to rewrite, its files are in this form\n");
    sandbox.edit(HOURLY, DAILY);
    sandbox.run(&["rewrite", "demo"]).expect_code(0);
    assert!(contents(&sandbox) == files, "the way back leaves other bytes");
}

#[test]
fn a_new_column_is_null_in_old_files_until_they_are_rewritten() {
    let api = api(&["--accounts", "2", "--campaigns", "3"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let (rows, files) = (sandbox.lake("demo"), contents(&sandbox));
    sandbox.edit("\nupdated_at = {", "\nname_again = { type = \"text\", from = \"campaign_name\" }\nupdated_at = {");
    sandbox.run(&quick(&["backfill", "demo", "--from", "2026-11-11", "--to", "2026-11-12"])).expect_code(0);
    assert!(files.iter().all(|file| contents(&sandbox).contains(file)), "old files were written again");
    let (all, named) = (count(&sandbox, "count(*)"), count(&sandbox, "count(name_again)"));
    assert_eq!(all - named, rows.len() as u64);
    assert!(named > 0);

    let ran = sandbox.run(&["rewrite", "demo", "--fill", "name_again=from before"]).expect_code(0);
    let change = "  change     column `name_again`: `from before` where it was null\n";
    assert!(ran.out.contains(change), "{}", ran.out);
    assert_eq!(count(&sandbox, "count(name_again)"), all);
    assert_eq!(count(&sandbox, "sum((name_again = 'from before')::int)"), rows.len() as u64);

    // Without its declaration the column is not lost by accident.
    sandbox.edit("\nname_again = { type = \"text\", from = \"campaign_name\" }", "");
    let ran = sandbox.run(&["run", "demo"]).expect_code(6);
    assert!(ran.err.contains("has the column `name_again`, the pipeline does not"), "{}", ran.err);
    assert!(ran.err.contains("`hourmark rewrite demo --drop name_again`"), "{}", ran.err);
    sandbox.run(&["rewrite", "demo"]).expect_code(2);
    sandbox.run(&["rewrite", "demo", "--drop", "name_again"]).expect_code(0);
    assert_eq!(count(&sandbox, "count(*)"), all);
    sandbox.run(&["query", "select name_again from demo"]).expect_code(2);
}

#[test]
fn a_value_that_does_not_fit_is_named_and_nothing_changes() {
    let api = api(&["--accounts", "2", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&["run", "demo"]).expect_code(0);
    let (files, sent) = (contents(&sandbox), metrics(&api));
    let decimal = |digits| format!("spend = {{ type = \"decimal\", precision = 18, scale = {digits}, from");
    sandbox.edit("spend = { type = \"micros\", from", &decimal(0));
    let ran = sandbox.run(&["run", "demo"]).expect_code(6);
    let told = "the column `spend` of the dataset `demo` is decimal(18, 6), the pipeline now says decimal(18, 0)\n  hint: a \
                type may only widen: set it back to decimal(18, 6), or have every value converted with `hourmark rewrite \
                demo`";
    assert!(ran.err.contains(told), "{}", ran.err);
    for flags in [&["--dry-run"][..], &[]] {
        let ran = sandbox.run(&[&["rewrite", "demo"], flags].concat()).expect_code(6);
        assert!(ran.err.contains("data/lake/demo/date=2026-11-1"), "{}", ran.err);
        assert!(ran.err.contains("/bucket-00.parquet`: the column `spend` holds "), "{}", ran.err);
        assert!(ran.err.contains(" at hour = 2026-11-1"), "{}", ran.err);
        assert!(ran.err.contains(", which does not fit: expected decimal(18, 0)"), "{}", ran.err);
        assert!(ran.err.contains("hint: nothing was changed: leave the column decimal(18, 6)"), "{}", ran.err);
    }
    assert!(contents(&sandbox) == files && metrics(&api) == sent);
    assert_eq!(staged(&sandbox), Vec::<String>::new());
    // Wider needs no rewrite.
    sandbox.edit(&decimal(0), &decimal(6).replace("18", "24"));
    sandbox.run(&["run", "demo"]).expect_code(0);
}

#[test]
fn a_key_gains_a_dimension_with_a_value_for_old_rows() {
    let api = api(&["--accounts", "2", "--campaigns", "3"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let rows = sandbox.lake("demo");
    sandbox.edit("\nmissing = \"drop\"", "\nkey = [\"label\"]\nmissing = \"drop\"");
    sandbox.edit("\nupdated_at = {", "\nlabel = { type = \"text\", from = \"campaign_name\" }\nupdated_at = {");
    let ran = sandbox.run(&["run", "demo"]).expect_code(6);
    let told =
        "has `key = hour, account_id, campaign_id`, the pipeline now says `hour, account_id, campaign_id, label`";
    assert!(ran.err.contains(told), "{}", ran.err);
    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(6);
    assert!(ran.err.contains("the column `label` is null at hour = "), "{}", ran.err);
    assert!(ran.err.contains("`--fill label=VALUE`"), "{}", ran.err);
    for wrong in ["label", "=x"] {
        let ran = sandbox.run(&["rewrite", "demo", "--fill", wrong]).expect_code(2);
        assert!(ran.err.contains("expected a column and a value such as device=unknown"), "{}", ran.err);
    }
    sandbox.run(&["rewrite", "demo", "--fill", "label=unknown"]).expect_code(0);
    assert_same(&sandbox.lake("demo"), &rows);
    assert_eq!(count(&sandbox, "sum((label = 'unknown')::int)"), rows.len() as u64);
    // Hours that are read again bring their own values; the rows under the old ones are taken back with them.
    let again = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--again"];
    sandbox.run(&[&quick(&again)[..], &["--set", "max_dropped_share=1.0"]].concat()).expect_code(0);
    assert_same(&sandbox.lake("demo"), &rows);
    let unknown = count(&sandbox, "sum((label = 'unknown')::int)");
    assert!(0 < unknown && unknown < rows.len() as u64, "{unknown}");
}

#[test]
fn a_rewrite_that_is_killed_loses_no_row_and_the_next_command_clears_up() {
    let api = api(&["--accounts", "8", "--campaigns", "12"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let (rows, before, daily) = (sandbox.lake("demo"), sums(&sandbox), contents(&sandbox));
    sandbox.edit(DAILY, HOURLY);
    let work = sandbox.lake_path().join("_staged/demo/rewrite");
    let copied = || walk(&work);
    for files in [1, 20, 150] {
        let running = Running::start(sandbox.command(&["rewrite", "demo"]));
        wait_until("some files are copied", || copied() >= files);
        assert_eq!(running.kill().code, None, "it ended before it was killed");
        assert!(work.is_dir());
        assert!(contents(&sandbox) == daily, "the lake is what it was");
        assert_eq!(sums(&sandbox), before);
    }
    // A run in the old form removes what was left, and so does a rewrite.
    let old = ["--set", "lake.buckets=1", "--set", "lake.partition_by=[\"date\"]"];
    sandbox.run(&[&quick(&["run", "demo"])[..], &old].concat()).expect_code(0);
    assert!(!work.exists());

    // At whatever moment it is killed, the lake is in one form or the other.
    for pause in [0, 40, 80, 120, 160, 200, 240, 280, 320, 360] {
        let running = Running::start(sandbox.command(&["rewrite", "demo"]));
        std::thread::sleep(std::time::Duration::from_millis(pause));
        running.kill();
        assert_same(&sandbox.lake("demo"), &rows);
    }
    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(0);
    assert!(!work.exists());
    assert_eq!(sums(&sandbox), before, "{}", ran.out);
    assert_same(&sandbox.lake("demo"), &rows);
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
}

/// Files in and below a folder that may come and go.
fn walk(folder: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

#[test]
fn what_is_staged_must_be_published_first_and_a_run_is_not_disturbed() {
    let api = api(&["--accounts", "4", "--campaigns", "3", "--latency", "40ms"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let backfill = quick(&["backfill", "demo", "--from", "2026-11-06", "--to", "2026-11-14", "--workers", "3"]);
    let running = Running::start(sandbox.command(&backfill));
    wait_until("something is staged", || staged(&sandbox).iter().filter(|name| name.ends_with(".arrow")).count() >= 4);
    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(4);
    assert!(ran.err.contains("pipeline `demo` is being run by process "), "{}", ran.err);
    running.kill();

    sandbox.edit(DAILY, HOURLY);
    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(6);
    assert!(ran.err.contains("staged for pipeline `demo` and not published"), "{}", ran.err);
    let way_out = "publish first: `hourmark run demo --set 'lake.partition_by=[\"date\"]' --set lake.buckets=1`";
    assert!(ran.err.contains(way_out), "{}", ran.err);
    let old = ["--set", "lake.partition_by=[\"date\"]", "--set", "lake.buckets=1"];
    sandbox.run(&[&quick(&["run", "demo"])[..], &old].concat()).expect_code(0);
    let rows = sandbox.lake("demo");
    sandbox.run(&["rewrite", "demo"]).expect_code(0);
    assert_same(&sandbox.lake("demo"), &rows);
    sandbox.run(&backfill).expect_code(0);
    assert!(sandbox.lake("demo").len() > rows.len());
}

#[test]
fn a_pipeline_without_a_dataset_has_nothing_to_rewrite() {
    let sandbox = Sandbox::at("http://127.0.0.1:9", Some(NOW));
    let ran = sandbox.run(&["rewrite", "demo"]).expect_code(2);
    assert!(ran.err.contains("the lake has no dataset `demo`"), "{}", ran.err);
    assert!(ran.err.contains("hint: nothing was published yet: `hourmark run` begins it"), "{}", ran.err);
}
