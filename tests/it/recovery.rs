//! Runs that were cut off, and runs that were not: the same lake.

use std::fs;

use super::sandbox::{Api, Rows, Sandbox, assert_same};
use super::story::*;

/// The accounts of an API with `--accounts 4` and the default zones.
const ACCOUNTS: &[(&str, &str)] = &[
    ("100001", "Europe/Berlin"),
    ("100002", "America/New_York"),
    ("100003", "Asia/Kolkata"),
    ("9007199254740996", "Pacific/Apia"),
];
const WORKERS: u64 = 3;
const BACKFILL: &[&str] = &["backfill", "demo", "--from", "2026-11-11", "--to", "2026-11-14", "--workers", "3"];

fn slow_api(seed: &str) -> Api {
    api(&["--accounts", "4", "--campaigns", "3", "--latency", "12ms", "--seed", seed])
}

fn truth(api: &Api) -> Rows {
    truth_of_dates(api, ACCOUNTS, "2026-11-11", "2026-11-14")
}

/// Runs the backfill undisturbed; gives its lake and how many requests it took.
fn undisturbed(api: &Api) -> (Rows, u64) {
    let before = metrics(api);
    let sandbox = Sandbox::new(api, Some(NOW));
    sandbox.run(&quick(BACKFILL)).expect_code(0);
    (sandbox.lake("demo"), metrics(api) - before)
}

/// Begins the backfill and kills it as soon as `now` says so.
fn killed_when(sandbox: &Sandbox, now: impl FnMut() -> bool) {
    let running = Running::start(sandbox.command(&quick(BACKFILL)));
    wait_until("the moment to kill it has come", now);
    let ran = running.kill();
    assert_eq!(ran.code, None, "it ended before it was killed: {}", ran.err);
}

#[test]
fn a_killed_backfill_goes_on_where_it_was() {
    let mut spared = 0;
    for (seed, moments) in [("11", [2, 6]), ("12", [9, 12])] {
        let api = slow_api(seed);
        let (reference, needed) = undisturbed(&api);
        assert_same(&reference, &truth(&api));
        for after in moments {
            let sandbox = Sandbox::new(&api, Some(NOW));
            let before = metrics(&api);
            killed_when(&sandbox, || metrics(&api) - before >= after);

            let ran = sandbox.run(&quick(BACKFILL)).expect_code(0);
            assert_same(&sandbox.lake("demo"), &reference);
            // A unit is one request here. Lost are those that were in the workers' hands, and no others.
            let sent = metrics(&api) - before;
            assert!((needed..=needed + WORKERS).contains(&sent), "{sent} sent, {needed} needed");
            assert_eq!(staged(&sandbox), Vec::<String>::new());
            if let [_, leftovers, requests, failed, _] = numbers(&ran, "units")[..] {
                assert_eq!((leftovers, failed), (requests, 0), "{}", ran.err);
                spared += requests;
            }
        }
    }
    assert!(spared > 0, "none of the runs had anything staged when it was killed");
}

#[test]
fn a_backfill_that_is_killed_again_and_again_comes_to_its_end() {
    let api = slow_api("31");
    let expected = truth(&api);
    let before = metrics(&api);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let mut kills = 0;
    // Each time a little further: first inside of the opening of lake and state, then among the requests.
    for pause in [0, 10, 30, 60, 100, 200, 300, 400] {
        let running = Running::start(sandbox.command(&quick(BACKFILL)));
        std::thread::sleep(std::time::Duration::from_millis(pause));
        kills += u64::from(running.kill().code.is_none());
    }
    sandbox.run(&quick(BACKFILL)).expect_code(0);
    assert_same(&sandbox.lake("demo"), &expected);
    assert_eq!(staged(&sandbox), Vec::<String>::new());
    let again = metrics(&api);
    sandbox.run(&quick(BACKFILL)).expect_code(0);
    assert_eq!(metrics(&api), again, "a backfill that is through asks for nothing");
    let (_, needed) = undisturbed(&api);
    assert!(again - before <= needed + kills * WORKERS, "{} sent, {needed} needed, {kills} kills", again - before);
}

#[test]
fn a_kill_beside_the_first_files_loses_nothing() {
    let api = slow_api("21");
    let expected = truth(&api);
    for files in [1, 2, 3] {
        let sandbox = Sandbox::new(&api, Some(NOW));
        killed_when(&sandbox, || published(&sandbox).len() >= files);
        sandbox.run(&quick(BACKFILL)).expect_code(0);
        assert_same(&sandbox.lake("demo"), &expected);
        assert_eq!(staged(&sandbox), Vec::<String>::new());
    }
}

#[test]
fn what_was_published_and_not_recorded_is_published_again_without_a_trace() {
    let api = slow_api("22");
    let expected = truth(&api);
    let (cut, other) = (Sandbox::new(&api, Some(NOW)), Sandbox::new(&api, Some(NOW)));
    killed_when(&cut, || staged(&cut).iter().filter(|name| name.ends_with(".arrow")).count() >= 4);
    // The same staged units are published in another folder, and only the files come back: as if the process had been
    // killed after each rename and before what follows it.
    copy(&cut.path().join("data"), &other.path().join("data"));
    other.run(&quick(BACKFILL)).expect_code(0);
    copy(&other.lake_path().join("demo"), &cut.lake_path().join("demo"));
    let before = contents(&cut);

    let ran = cut.run(&quick(BACKFILL)).expect_code(0);
    assert_same(&cut.lake("demo"), &expected);
    assert_eq!(numbers(&ran, "rows")[1..], [0, 0, 0], "{}", ran.err);
    assert!(contents(&cut) == before, "files whose rows were there already were written again");
    assert_eq!(numbers(&ran, "partitions")[0], 0, "{}", ran.err);
}

#[test]
fn staged_files_that_are_gone_or_broken_are_fetched_again() {
    let api = slow_api("23");
    let expected = truth(&api);
    for harm in ["gone", "cut off", "empty"] {
        let sandbox = Sandbox::new(&api, Some(NOW));
        killed_when(&sandbox, || staged(&sandbox).iter().filter(|name| name.ends_with(".arrow")).count() >= 5);
        for name in staged(&sandbox).iter().filter(|name| name.ends_with(".arrow")) {
            let path = sandbox.lake_path().join("_staged/demo").join(name);
            let bytes = fs::read(&path).expect("a staged file");
            match harm {
                "gone" => fs::remove_file(&path).expect("removed"),
                "cut off" => fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut"),
                _ => fs::write(&path, b"").expect("emptied"),
            }
        }
        sandbox.run(&quick(BACKFILL)).expect_code(0);
        assert_same(&sandbox.lake("demo"), &expected);
        assert_eq!(staged(&sandbox), Vec::<String>::new(), "{harm}");
    }
}

#[test]
fn leftover_temporaries_and_strangers_are_swept_by_the_next_run() {
    let api = api(&["--accounts", "2", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let folder = sandbox.lake_path().join("_staged/demo");
    fs::create_dir_all(&folder).expect("a folder");
    for name in ["stage-4194304-0.tmp", "publish-4194304-7.tmp", "0123456789abcdef.arrow"] {
        fs::write(folder.join(name), b"cut off").expect("a leftover");
    }
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_eq!(staged(&sandbox), Vec::<String>::new());
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
}

#[test]
fn a_backfill_never_moves_the_watermark_back() {
    let api = api(&["--accounts", "4", "--campaigns", "3"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let before = watermarks(&sandbox);
    // Berlin, New York and Apia begin their hours with UTC's, Kolkata half an hour later.
    let shown = ["2026-11-20T11:00:00Z", "2026-11-20T11:00:00Z", "2026-11-20T11:30:00Z", "2026-11-20T11:00:00Z"];
    assert_eq!(before, shown);

    let requests = metrics(&api);
    sandbox.run(&quick(BACKFILL)).expect_code(0);
    assert!(metrics(&api) > requests);
    assert_eq!(watermarks(&sandbox), before);
    let mut expected = truth(&api);
    expected.extend(api.truth(FIRST, SETTLED));
    assert_same(&sandbox.lake("demo"), &expected);

    let requests = metrics(&api);
    let files = contents(&sandbox);
    sandbox.run(&quick(BACKFILL)).expect_code(0);
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert_eq!(metrics(&api), requests);
    assert!(contents(&sandbox) == files, "a file was written for nothing");
}

#[test]
fn the_order_in_which_units_end_leaves_no_trace() {
    let api = api(&["--accounts", "6", "--campaigns", "3", "--latency", "3ms"]);
    let build = |workers: &str, batch: &str| {
        let sandbox = Sandbox::new(&api, Some(NOW));
        let batch = format!("request.accounts_per_request={batch}");
        let ran = quick(&["run", "demo", "--workers", workers]);
        sandbox.run(&[&ran[..], &["--set", &batch]].concat()).expect_code(0);
        sandbox
    };
    let (one, eight, batches) = (build("1", "1"), build("8", "1"), build("5", "4"));
    assert_same(&one.lake("demo"), &api.truth(FIRST, SETTLED));
    assert!(contents(&one) == contents(&eight), "1 and 8 workers leave different bytes");
    assert!(contents(&one) == contents(&batches), "batches leave different bytes");
    assert_eq!(contents(&one).len(), 4);
}

#[test]
fn units_staged_before_a_column_was_added_are_published_with_it() {
    let api = slow_api("41");
    let sandbox = Sandbox::new(&api, Some(NOW));
    killed_when(&sandbox, || staged(&sandbox).iter().filter(|name| name.ends_with(".arrow")).count() >= 4);
    sandbox.edit("\nupdated_at = {", "\nname_again = { type = \"text\", from = \"campaign_name\" }\nupdated_at = {");
    let ran = sandbox.run(&quick(BACKFILL)).expect_code(0);
    assert!(numbers(&ran, "units").len() == 5, "nothing was left over: {}", ran.err);
    assert_same(&sandbox.lake("demo"), &truth(&api));
    let count =
        "select count(*) as n, count(name_again) as named, sum((name_again = campaign_name)::int) as same from demo";
    let ran = sandbox.run(&["query", count, "--format", "csv"]).expect_code(0);
    let counts: Vec<usize> = ran.out.lines().nth(1).expect("a row").split(',').map(|n| n.parse().expect("n")).collect();
    assert_eq!(counts[0], truth(&api).len());
    assert!(0 < counts[1] && counts[1] < counts[0], "{counts:?}: rows from before have no value");
    assert_eq!(counts[1], counts[2]);
}
