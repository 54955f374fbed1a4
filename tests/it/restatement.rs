//! Platforms restate: hours are asked for again at their marks, and the lake follows.

use std::collections::BTreeSet;

use super::sandbox::{Rows, Sandbox, assert_same};
use super::story::*;

const HOUR: i64 = 3600;
/// The demo's settle delay and refresh marks.
const SETTLE: i64 = HOUR / 2;
const MARKS: [i64; 6] = [HOUR, 3 * HOUR, 24 * HOUR, 72 * HOUR, 168 * HOUR, 672 * HOUR];

fn seconds(moment: &str) -> i64 {
    moment.parse::<chrono::DateTime<chrono::Utc>>().expect("a moment").timestamp()
}

/// Whether an hour that begins at `hour`, so much after a full UTC hour, and was last read at `read` must be read at `now`:
/// the rule, told anew. From an age of a day on, a day's hours are read again together.
fn is_due(hour: i64, after: i64, read: Option<i64>, now: i64) -> bool {
    let end = hour + HOUR;
    let day_end = (hour - after).div_euclid(24 * HOUR) * 24 * HOUR + 24 * HOUR + after;
    match read {
        _ if end + SETTLE > now => false,
        None => true,
        Some(read) => MARKS.iter().any(|mark| {
            let at = if *mark < 24 * HOUR { end + mark } else { day_end + mark };
            read < at && at <= now
        }),
    }
}

/// The accounts of the API and how far behind a full UTC hour theirs begin, in seconds.
const ACCOUNTS: &[(&str, i64)] = &[("100001", 0), ("100002", HOUR / 2)];

#[test]
fn the_lake_follows_what_is_restated() {
    let api = api(&["--accounts", "2", "--campaigns", "40", "--zones", "UTC,Asia/Kolkata"]);
    let first = seconds(FIRST);
    let mut sandbox = Sandbox::new(&api, Some(NOW));
    let mut last: Option<String> = None;
    let (mut vanished, mut late, mut restated) = (0, 0, 0);
    for now in [NOW, "2026-11-20T14:00:00Z", "2026-11-21T14:10:00Z", "2026-11-25T14:10:00Z"] {
        api.post("/sim/clock", &format!(r#"{{"now":"{now}"}}"#));
        let next = Sandbox::new(&api, Some(now));
        let before = match &last {
            None => Rows::new(),
            Some(_) => {
                copy(&sandbox.path().join("data"), &next.path().join("data"));
                next.lake("demo")
            }
        };
        sandbox = next;
        sandbox.run(&quick(&["run", "demo"])).expect_code(0);

        let (at, read) = (seconds(now), last.as_deref().map(seconds));
        let (truth, found) = (api.truth(FIRST, now), sandbox.lake("demo"));
        let keys: BTreeSet<_> = before.keys().chain(truth.keys()).chain(found.keys()).collect();
        for key in keys {
            let begins = ACCOUNTS.iter().find(|(id, _)| *id == key.0).expect("an account").1;
            assert_eq!((key.2 - begins).rem_euclid(HOUR), 0, "{key:?}");
            // Read in the run before, if it had settled then.
            let was_read = read.filter(|read| key.2 >= first && key.2 + HOUR + SETTLE <= *read);
            let (found, truth, before) = (found.get(key), truth.get(key), before.get(key));
            if is_due(key.2, begins, was_read, at) {
                assert_eq!(found, truth, "{now} {key:?} was due");
                vanished += usize::from(before.is_some() && truth.is_none());
                late += usize::from(was_read.is_some() && before.is_none() && truth.is_some());
                restated += usize::from(before.is_some() && truth.is_some() && before != truth);
            } else {
                assert!(found == before || found == truth, "{now} {key:?}: {found:?}, was {before:?}, is {truth:?}");
            }
        }
        let (files, sent) = (contents(&sandbox), metrics(&api));
        sandbox.run(&quick(&["run", "demo"])).expect_code(0);
        assert_eq!(metrics(&api), sent, "{now}: nothing is due twice");
        assert!(contents(&sandbox) == files, "{now}: a file was written for nothing");
        last = Some(now.to_owned());
    }
    // The list of accounts was asked for whenever its age had passed, and was the same each time.
    assert_eq!((requests(&api, "accounts"), api.stats()["not_modified_304"].as_u64()), (4, Some(3)));
    assert!(vanished > 3 && late > 3 && restated > 300, "{vanished} vanished, {late} late, {restated} restated");
}

#[test]
fn rows_that_a_platform_forgets_are_kept_where_the_pipeline_says_so() {
    let api = api(&["--accounts", "1", "--campaigns", "4", "--zones", "UTC"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let (drop, keep) = ("missing = \"drop\"\nmax_dropped_share = 0.5", "missing = \"keep\"");
    sandbox.edit(drop, keep);
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let before = sandbox.lake("demo");
    let hole =
        r#"{"holes":[{"from":"2026-11-18T00:00:00Z","to":"2026-11-18T06:00:00Z","until":"2027-01-01T00:00:00Z"}]}"#;
    api.post("/sim/accounts/100001", hole);
    let again = quick(&["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--again"]);
    sandbox.run(&again).expect_code(0);
    assert_same(&sandbox.lake("demo"), &before);
    // With `drop` the same answer takes the rows away: a quarter of the day, less than the half that is refused.
    sandbox.edit(keep, drop);
    sandbox.run(&again).expect_code(0);
    assert_same(&sandbox.lake("demo"), &api.truth(FIRST, SETTLED));
    assert!(sandbox.lake("demo").len() < before.len());
}

#[test]
fn an_answer_that_would_take_most_of_a_day_away_is_refused() {
    let api = api(&["--accounts", "1", "--campaigns", "4", "--zones", "UTC"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let before = sandbox.lake("demo");
    let again = quick(&["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--again"]);
    for to in ["2026-11-18T18:00:00Z", "2026-11-19T00:00:00Z"] {
        let hole = format!(r#"{{"from":"2026-11-18T00:00:00Z","to":"{to}","until":"2027-01-01T00:00:00Z"}}"#);
        api.post("/sim/accounts/100001", &format!(r#"{{"holes":[{hole}]}}"#));
        let ran = sandbox.run(&again).expect_code(1);
        assert!(ran.err.contains("re-fetch"), "{}", ran.err);
        assert_same(&sandbox.lake("demo"), &before);
    }
    api.post("/sim/accounts/100001", r#"{"holes":[]}"#);
    sandbox.run(&again).expect_code(0);
    assert_same(&sandbox.lake("demo"), &before);
    assert_eq!(status(&sandbox)["failed"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_only_row_of_an_hour_may_be_taken_back() {
    let api = api(&["--accounts", "4", "--campaigns", "1", "--zones", "UTC"]);
    let mut sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo", "--set", "window.size=1"])).expect_code(0);
    // Hour by hour, each mark is asked for by itself: at three days of age one row in fifty goes, and it is all there is.
    let mut taken_back = 0;
    for now in ["2026-11-20T13:00:00Z", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z", "2026-11-20T16:00:00Z"] {
        api.post("/sim/clock", &format!(r#"{{"now":"{now}"}}"#));
        let next = Sandbox::new(&api, Some(now));
        copy(&sandbox.path().join("data"), &next.path().join("data"));
        sandbox = next;
        let ran = sandbox.run(&quick(&["run", "demo", "--set", "window.size=1"])).expect_code(0);
        taken_back += numbers(&ran, "rows")[3];
    }
    assert!(taken_back > 0);
}

#[test]
fn a_machine_that_was_off_for_weeks_catches_up_on_its_marks() {
    let api = api(&["--accounts", "1", "--campaigns", "2", "--zones", "UTC"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let before = sandbox.lake("demo");
    let later = "2026-12-20T12:00:00Z";
    api.post("/sim/clock", &format!(r#"{{"now":"{later}"}}"#));
    let after = Sandbox::new(&api, Some(later));
    copy(&sandbox.path().join("data"), &after.path().join("data"));
    after.run(&quick(&["run", "demo", "--set", "window.size=168"])).expect_code(0);
    // All marks of the first run's hours passed while nothing ran; the last of them is what counts.
    let truth = api.truth(FIRST, SETTLED);
    assert_ne!(before, truth, "nothing was restated: the test proves nothing");
    let found = after.lake("demo").into_iter().filter(|(key, _)| key.2 < seconds(SETTLED)).collect();
    assert_same(&found, &truth);
}
