//! Quarantine inside of runs: what is asked for again, and what a kill between two steps leaves behind.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::error::Outcome;
use crate::pipeline::{Limit, LimitValue, Missing, Quality, RowRules};
use crate::state::{Quarantined, StagedUnit};

/// Every answer has one row with as many clicks as `clicks` says, at eight o'clock.
async fn clicking(clicks: &Arc<AtomicI64>) -> Server {
    let clicks = clicks.clone();
    Server::answering(move |_| {
        let clicks = clicks.load(Ordering::Relaxed);
        Reply::ok(&format!(r#"{{"rows":[{{"campaign":"a","hour":"2026-11-20T08:00:00Z","clicks":{clicks}}}]}}"#))
    })
    .await
}

/// One account; fewer than no clicks break a rule.
async fn scene(clicks: i64) -> (Scene, Arc<AtomicI64>) {
    let clicks = Arc::new(AtomicI64::new(clicks));
    let mut scene = Scene::new(clicking(&clicks).await);
    scene.pipeline.accounts = Accounts::List(vec![account("1", "UTC")]);
    let min = Some(Limit { text: "0".to_owned(), value: LimitValue::Int(0) });
    let rule = RowRules { column: "clicks".to_owned(), not_null: false, min, max: None };
    scene.pipeline.quality = Quality { rows: vec![rule], ..Quality::default() };
    (scene, clicks)
}

impl Scene {
    async fn entries(&self) -> Vec<Quarantined> {
        self.state().await.quarantined("test").await.expect("entries")
    }

    async fn lake(&self) -> Lake {
        Lake::open(&self.folder.path().join("lake")).await.expect("a lake")
    }

    async fn errand(&self, errand: &Errand) -> Result<RunReport> {
        let environment = self.environment().await;
        let (pipeline, stop) = (Arc::new(self.pipeline.clone()), CancellationToken::new());
        run_errand(&environment, pipeline, errand, Arc::default(), Arc::default(), stop).await
    }

    async fn keys(&self) -> Vec<UnitKey> {
        self.entries().await.into_iter().map(|entry| entry.unit.key).collect()
    }

    /// Names of the files of a kind: `_staged`, `_quarantine` or `test`.
    fn files(&self, kind: &str) -> Vec<String> {
        let folder = self.folder.path().join("lake").join(kind);
        let folder = if kind == "test" { folder.join("date=2026-11-20") } else { folder.join("test") };
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    fn sent(&self) -> usize {
        self.server.requests().len()
    }
}

#[tokio::test]
async fn a_quarantined_unit_is_counted_and_its_hours_are_unread() {
    let (scene, _) = scene(-1).await;
    let report = scene.run().await;
    assert_eq!((report.planned, report.published, report.failed, report.quarantined), (1, 0, 0, 1));
    assert_eq!((report.outcome(), report.units_left()), (Outcome::PartlyFailed, 0));
    let [entry] = &scene.entries().await[..] else { panic!("one unit") };
    assert_eq!(entry.reason, "1 of 1 rows break a rule: `clicks` is below 0 in 1");
    assert_eq!(entry.examples, ["account 1, campaign a, hour 2026-11-20T08:00Z: clicks -1 is below 0"]);
    assert_eq!((scene.files("test"), scene.files("_staged")), (vec![], vec![]));
    assert_eq!(scene.files("_quarantine").len(), 1);
    let state = scene.state().await;
    let ledgers = state.ledgers("test", at("2026-11-19T00:00:00Z"), scene.now).await.expect("ledgers");
    assert!(ledgers.is_empty());
    assert!(state.staged_units("test").await.expect("staged").is_empty());
}

#[tokio::test]
async fn it_is_asked_for_again_at_a_mark_or_a_day_later() {
    let (mut scene, clicks) = scene(-1).await;
    scene.pipeline.window.refresh = vec![Wait::from_secs(20 * 3600)];
    scene.now = at("2026-11-20T10:30:00Z");
    scene.run().await;
    let sent = scene.sent();
    assert_eq!((scene.run().await.planned, scene.sent()), (0, sent), "it would only break the rule again");
    scene.now = at("2026-11-20T11:10:00Z");
    let report = scene.run().await;
    assert_eq!((report.planned, report.published, report.quarantined), (1, 1, 0), "a new hour comes to be due");
    // Hours that ended by nine o'clock reach their mark.
    scene.now = at("2026-11-21T05:10:00Z");
    let report = scene.run().await;
    assert_eq!((report.quarantined, scene.entries().await.len()), (1, 1), "the newer reading takes the place");
    assert_eq!(scene.entries().await[0].fetched_at, scene.now);
    assert_eq!(scene.files("_quarantine").len(), 2);
    let sent = scene.sent();
    scene.run().await;
    assert_eq!(scene.files("_quarantine").len(), 1, "the older one's file is swept");
    assert_eq!(scene.sent(), sent);
    // The platform has come to its senses.
    clicks.store(5, Ordering::Relaxed);
    scene.now = at("2026-11-22T05:10:00Z");
    let report = scene.run().await;
    assert_eq!((report.outcome(), report.added), (Outcome::Done, 1));
    assert_eq!(scene.entries().await, []);
    scene.run().await;
    assert_eq!(scene.files("_quarantine"), [""; 0]);
}

#[tokio::test]
async fn released_rows_are_published_and_refetched_ones_are_judged() {
    let (scene, clicks) = scene(-1).await;
    scene.run().await;
    let report = scene.errand(&Errand::Refetch(scene.keys().await)).await.expect("a run");
    assert_eq!((report.planned, report.quarantined, report.outcome()), (1, 1, Outcome::PartlyFailed));
    assert_eq!(scene.entries().await.len(), 1);
    let sent = scene.sent();
    clicks.store(-7, Ordering::Relaxed);
    let report = scene.errand(&Errand::Release(scene.keys().await)).await.expect("a run");
    assert_eq!((report.published, report.added, report.outcome()), (1, 1, Outcome::Done));
    assert_eq!((scene.sent(), scene.entries().await), (sent, vec![]), "not one request");
    assert_eq!(scene.run().await.planned, 0, "its hours are read");
    assert_eq!((scene.files("_staged"), scene.files("_quarantine")), (vec![], vec![]));
}

#[tokio::test]
async fn older_rows_are_not_released_over_newer_ones() {
    let (mut scene, clicks) = scene(-1).await;
    scene.run().await;
    let [entry] = &scene.entries().await[..] else { panic!("one unit") };
    clicks.store(4, Ordering::Relaxed);
    scene.now = at("2026-11-20T14:30:00Z");
    let newer = PublishedUnit {
        key: UnitKey::from_stored("test/another"),
        accounts: entry.unit.accounts.clone(),
        window: window("2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z"),
        fetched_at: scene.now,
        changed: Vec::new(),
        empty: Default::default(),
    };
    let state = scene.state().await;
    let lease = scene.lease(&state).await;
    state.record_published(&lease, &[newer], &scene.refresh(), scene.now).await.expect("recorded");
    state.release(&lease).await.expect("released");
    drop(lease);
    let error = scene.errand(&Errand::Release(scene.keys().await)).await.expect_err("refused");
    assert!(error.report().contains("hours of account 1 were read again since"), "{}", error.report());
    assert_eq!(scene.entries().await.len(), 1);
    let report = scene.errand(&Errand::Refetch(scene.keys().await)).await.expect("a run");
    assert_eq!((report.published, report.added), (1, 1));
    assert_eq!(scene.entries().await, []);
}

/// A kill after the rows were written into quarantine and before that was recorded.
#[tokio::test]
async fn rows_that_were_not_recorded_are_swept_and_fetched_again() {
    let (scene, _) = scene(-1).await;
    scene.run().await;
    let state = scene.state().await;
    let lease = scene.lease(&state).await;
    for key in scene.keys().await {
        state.drop_quarantined(&lease, &key).await.expect("as if it had not been recorded");
    }
    drop(lease);
    assert_eq!(scene.files("_quarantine").len(), 1);
    let sent = scene.sent();
    assert_eq!(scene.run().await.quarantined, 1);
    assert_eq!((scene.sent() - sent, scene.files("_quarantine").len(), scene.entries().await.len()), (1, 1, 1));
}

/// A kill on the way to a release: before it was recorded, and after it.
#[tokio::test]
async fn a_release_that_was_cut_off_is_undone_or_done() {
    let (scene, _) = scene(-1).await;
    scene.run().await;
    let [entry] = &scene.entries().await[..] else { panic!("one unit") };
    let (key, fetched) = (&entry.unit.key, entry.fetched_at);
    let dataset = scene.lake().await.dataset(crate::lake::DatasetSpec::of(&scene.pipeline)).await.expect("a dataset");
    dataset.restage(key, fetched).await.expect("staged");
    assert_eq!(scene.files("_staged").len(), 1);
    let report = scene.run().await;
    assert_eq!((report.published, report.quarantined), (0, 0));
    assert_eq!((scene.files("_staged"), scene.entries().await.len()), (vec![], 1), "as if nothing had been said");

    dataset.restage(key, fetched).await.expect("staged");
    let state = scene.state().await;
    let lease = scene.lease(&state).await;
    assert!(state.record_released(&lease, key, scene.now).await.expect("released"));
    drop(lease);
    let report = scene.run().await;
    assert_eq!((report.published, report.leftovers, report.added, report.quarantined), (1, 1, 1, 0));
    assert_eq!((scene.files("_staged"), scene.entries().await), (vec![], vec![]));
    assert!(state.released("test").await.expect("keys").is_empty());
    scene.run().await;
    assert_eq!(scene.files("_quarantine"), [""; 0]);
}

/// Five clicks are in the lake, three come at the next mark.
async fn falling() -> Scene {
    let (mut scene, clicks) = scene(5).await;
    scene.pipeline.quality = Quality { not_falling: ["clicks".to_owned()].into(), ..Quality::default() };
    scene.pipeline.window.refresh = vec![Wait::from_secs(23 * 3600)];
    assert_eq!(scene.run().await.added, 1);
    clicks.store(3, Ordering::Relaxed);
    scene.now = at("2026-11-21T12:30:00Z");
    scene
}

#[tokio::test]
async fn values_that_fall_are_quarantined_where_they_meet_the_lake() {
    let scene = falling().await;
    let report = scene.run().await;
    assert_eq!((report.quarantined, report.changed, report.outcome()), (1, 0, Outcome::PartlyFailed));
    let [entry] = &scene.entries().await[..] else { panic!("one unit") };
    assert_eq!(entry.examples, ["account 1, campaign a, hour 2026-11-20T08:00Z: clicks fell from 5 to 3"]);
    assert_eq!((scene.files("_staged"), scene.files("_quarantine").len()), (vec![], 1));
    let sent = scene.sent();
    scene.run().await;
    assert_eq!(scene.sent(), sent);
    let report = scene.errand(&Errand::Release(scene.keys().await)).await.expect("a run");
    assert_eq!((report.changed, report.outcome()), (1, Outcome::Done), "it was said that they may fall");
}

/// A kill after the staged rows were copied into quarantine and before that was recorded.
#[tokio::test]
async fn a_staged_unit_whose_values_fall_is_judged_again_by_the_next_run() {
    let scene = falling().await;
    scene.run().await;
    let [entry] = &scene.entries().await[..] else { panic!("one unit") };
    let (key, fetched) = (&entry.unit.key, entry.fetched_at);
    let dataset = scene.lake().await.dataset(crate::lake::DatasetSpec::of(&scene.pipeline)).await.expect("a dataset");
    dataset.restage(key, fetched).await.expect("staged");
    let state = scene.state().await;
    let lease = scene.lease(&state).await;
    let staged = StagedUnit {
        unit: entry.unit.clone(),
        window: entry.window,
        fetched_at: fetched,
        rows: entry.rows,
        requests: entry.requests,
        empty: Default::default(),
    };
    state.drop_quarantined(&lease, key).await.expect("as if it had not been recorded");
    state.record_staged(&lease, &staged).await.expect("staged");
    drop(lease);
    let report = scene.run().await;
    assert_eq!((report.leftovers, report.quarantined, report.changed), (1, 1, 0));
    assert_eq!((scene.entries().await.len(), scene.files("_staged")), (1, vec![]));
}

#[tokio::test]
async fn a_released_unit_that_the_guard_refuses_goes_back() {
    let (mut scene, clicks) = scene(5).await;
    scene.pipeline.window.refresh = vec![Wait::from_secs(23 * 3600)];
    scene.pipeline.missing = Missing::Drop { max_share: 0.0 };
    scene.run().await;
    // Another campaign's row breaks a rule, and the first one's is not there any more.
    clicks.store(-1, Ordering::Relaxed);
    scene.pipeline.identity.campaign = Some(path("hour"));
    scene.now = at("2026-11-21T12:30:00Z");
    assert_eq!(scene.run().await.quarantined, 1);
    let report = scene.errand(&Errand::Release(scene.keys().await)).await.expect("a run");
    assert_eq!((report.published, report.quarantined, report.failed), (0, 1, 0));
    let [entry] = &scene.entries().await[..] else { panic!("one unit") };
    assert!(entry.reason.contains("would erase 1 of 1 rows"), "{}", entry.reason);
    assert_eq!((scene.files("_staged"), scene.files("_quarantine").len()), (vec![], 1), "its rows are not lost");
}

#[tokio::test]
async fn two_rows_that_one_key_does_not_tell_apart_fail_their_unit() {
    let rows = |clicks: i64| {
        let row = |clicks: i64| {
            format!(r#"{{"campaign":"a","hour":"2026-11-20T08:00:00Z","clicks":{clicks},"device":"phone"}}"#)
        };
        format!(r#"{{"rows":[{},{}]}}"#, row(12), row(clicks))
    };
    let mut answers = vec![rows(40), rows(12)].into_iter();
    let server = Server::answering(move |_| Reply::ok(&answers.next().expect("an answer"))).await;
    let mut scene = Scene::new(server);
    scene.pipeline.accounts = Accounts::List(vec![account("1", "UTC")]);
    let report = scene.run().await;
    assert_eq!((report.failed, report.published, report.fatal.clone()), (1, 0, None));
    insta::assert_snapshot!(report.failures[0].reason, @"two rows of one response have the key account 1, campaign a, hour 2026-11-20T08:00Z and differ: clicks 12 and 40: something that is not in the key sets them apart; declare it as a column and name it in `key` (fields that no column names: device)");
    assert_eq!((scene.files("test"), scene.files("_staged")), (vec![], vec![]));
    let report = scene.run().await;
    assert_eq!((report.failed, report.published, report.added), (0, 1, 1), "equal rows are doubles");
}
