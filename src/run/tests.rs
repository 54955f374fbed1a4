//! Runs against a scripted server: what one unit's end means for the others, and what is taken up.

use std::collections::BTreeMap;
use std::time::Duration as Wait;

use super::*;
use crate::fetch::tests::server::{Reply, Server};
use crate::pipeline::{
    Accounts, Body, KeyPlace, Method, Poll, Report, ReportRows, ResponseAction, ResponseRule, Scope, ValueTest,
};
use crate::refresh::Learned;
use crate::request::tests::{account, at, path, pipeline, texts, window};
use crate::state::PublishedUnit;
use crate::time::Window;
use crate::unit::Lane;

mod attributes;
mod quarantine;

struct Scene {
    server: Server,
    pipeline: Pipeline,
    folder: tempfile::TempDir,
    now: Instant,
}

impl Scene {
    /// Three accounts, each with the hours of the day up to half past twelve.
    fn new(server: Server) -> Scene {
        let mut pipeline = pipeline(&server.base());
        pipeline.accounts = Accounts::List(["1", "2", "3"].map(|id| account(id, "UTC")).to_vec());
        pipeline.window.size = 24;
        pipeline.window.history = Wait::from_secs(3600);
        let folder = tempfile::tempdir().expect("a folder");
        Scene { server, pipeline, folder, now: at("2026-11-20T12:30:00Z") }
    }

    async fn state(&self) -> State {
        State::open(&self.folder.path().join("state.sqlite")).await.expect("a state")
    }

    fn refresh(&self) -> Refresh {
        Refresh::new(Arc::new(self.pipeline.clone()), &Learned::default())
    }

    async fn environment(&self) -> Environment {
        Environment {
            lake: Lake::open(&self.folder.path().join("lake")).await.expect("a lake"),
            state: self.state().await,
            clock: Clock::Fixed(self.now),
            workers: 2,
            holder: "a test".into(),
        }
    }

    async fn run(&self) -> RunReport {
        let environment = self.environment().await;
        let order = Order { ask: Ask::Due, accounts: Vec::new() };
        let (pipeline, stop) = (Arc::new(self.pipeline.clone()), CancellationToken::new());
        run(&environment, pipeline, &order, Arc::default(), Arc::default(), stop).await.expect("a run")
    }

    /// How often each method and path was asked for.
    fn calls(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for request in self.server.requests() {
            let line = request.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
            *calls.entry(line).or_default() += 1;
        }
        calls
    }

    async fn lease(&self, state: &State) -> Lease {
        match state.acquire("test", "another", self.now).await.expect("a lease") {
            Acquired::Held(lease) => lease,
            busy => panic!("{busy:?}"),
        }
    }
}

fn rule(status: u16, code: &str, action: ResponseAction) -> ResponseRule {
    let path = Some((path("code"), ValueTest::AnyOf(vec![code.to_owned()])));
    ResponseRule { statuses: vec![status], header: None, path, action }
}

/// Refuses account 2 with `status` and `code`.
async fn but_for_two(status: u16, code: &'static str, wait: &'static str) -> Server {
    Server::answering(move |request| {
        if request.contains("/accounts/2/") {
            let body = format!(r#"{{"code":"{code}","message":"not you"}}"#);
            return Reply::new(status, &[("retry-after", wait)], body.as_bytes());
        }
        Reply::ok(r#"{"rows":[{"campaign":"a","hour":"2026-11-20T08:00:00Z","clicks":1}]}"#)
    })
    .await
}

#[tokio::test]
async fn one_account_s_long_wait_is_no_one_else_s() {
    let mut scene = Scene::new(but_for_two(429, "SLOW", "1000").await);
    let action = ResponseAction::Throttled { scope: Some(Scope::Account), wait: Vec::new() };
    scene.pipeline.responses = vec![rule(429, "SLOW", action)];
    let report = scene.run().await;
    assert_eq!((report.planned, report.published, report.failed, report.waits), (3, 2, 0, false));
    assert_eq!(report.outcome(), crate::error::Outcome::Waiting);
    let (until, why) = report.resume.expect("a time to come back");
    assert!(until >= at("2026-11-20T12:46:40Z") && why.starts_with("HTTP 429"), "{until} {why}");
    assert_eq!(scene.calls()["GET /accounts/2/rows"], 1);
}

#[tokio::test]
async fn an_account_that_is_gone_is_left_out_and_not_in_the_ledger() {
    let mut scene = Scene::new(but_for_two(403, "REVOKED", "").await);
    scene.pipeline.responses = vec![rule(403, "REVOKED", ResponseAction::SkipAccount)];
    let report = scene.run().await;
    assert_eq!((report.published, report.failed, report.left_out), (2, 0, 1));
    assert_eq!(report.outcome(), crate::error::Outcome::Done);
    let [skipped] = &report.skipped[..] else { panic!("{:?}", report.skipped) };
    assert!(skipped.account == "2" && skipped.reason.contains("not you"), "{skipped:?}");
    let (from, to) = (at("2026-11-20T00:00:00Z"), at("2026-11-21T00:00:00Z"));
    let ledgers = scene.state().await.ledgers("test", from, to).await.expect("ledgers");
    let known: std::collections::BTreeSet<&str> = ledgers.keys().map(String::as_str).collect();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), ["1", "3"]);
    let report = scene.run().await;
    assert_eq!((report.planned, report.skipped.len()), (0, 1), "nothing is asked for account 2 the same day");
}

/// A platform that makes reports; every report is done and empty.
async fn reporting() -> Scene {
    let mut number = 0;
    let server = Server::answering(move |request| {
        if request.starts_with("POST") {
            number += 1;
            return Reply::ok(&format!(r#"{{"id":"r{number}"}}"#));
        }
        Reply::ok(r#"{"status":"done","rows":[]}"#)
    });
    let mut scene = Scene::new(server.await);
    let request = &mut scene.pipeline.request;
    request.method = Method::Post;
    request.creates = Some(KeyPlace::Header("Idempotency-Key".into()));
    request.path = "/reports".into();
    request.query = texts(&[]);
    request.body = Body::Json(serde_json::json!({"account": "{account}", "from": "{from}", "to": "{to}"}));
    scene.pipeline.accounts = Accounts::List(vec![account("1", "UTC")]);
    scene.pipeline.report = Some(Report {
        id: path("id"),
        poll: Poll {
            method: Method::Get,
            body: Body::None,
            server: None,
            path: "/reports/{report}".into(),
            query: texts(&[]),
            status: path("status"),
            done: vec!["done".into()],
            failed: vec![],
            every: Wait::from_millis(1),
            cap: Wait::from_millis(1),
            patience: Wait::from_secs(60),
        },
        rows: ReportRows::Endpoint { path: "/reports/{report}/rows".into(), query: texts(&[]), server: None },
    });
    scene
}

/// The unit that an earlier run had begun at half past ten, and that made the report `old`.
async fn begun(scene: &Scene) -> (Unit, Window) {
    let accounts = vec![account("1", "UTC")];
    let hours = window("2026-11-20T00:00:00Z", "2026-11-20T10:00:00Z");
    let unit = Unit { key: UnitKey::new("test", &accounts, hours, None), lane: Lane::Hourly, accounts, window: hours };
    let state = scene.state().await;
    let lease = scene.lease(&state).await;
    let first = crate::page::PageCursor::first(&scene.pipeline.pagination);
    let request = crate::request::metrics_request(&scene.pipeline, &unit.accounts, hours, None, &first);
    let hash = crate::request::body_hash(&request.expect("a request"));
    let then = at("2026-11-20T10:30:00Z");
    let creation = state.begin_creation(&lease, &unit, 0, hash, then).await.expect("begun");
    state.adopt_creation(&lease, &unit.key, 0, creation.round, "old", then).await.expect("made");
    state.release(&lease).await.expect("released");
    (unit, hours)
}

#[tokio::test]
async fn what_was_begun_is_taken_up_and_the_rest_is_planned_around_it() {
    let scene = reporting().await;
    begun(&scene).await;
    let report = scene.run().await;
    assert_eq!((report.planned, report.published, report.failed), (2, 2, 0));
    let calls = scene.calls();
    assert_eq!(calls["GET /reports/old/rows"], 1);
    assert_eq!(calls["POST /reports"], 1, "only for the hours since: {calls:?}");
    assert_eq!(scene.run().await.planned, 0);
}

#[tokio::test]
async fn what_was_begun_is_left_where_its_hours_were_read_since() {
    let scene = reporting().await;
    let (unit, hours) = begun(&scene).await;
    let state = scene.state().await;
    state.upsert_accounts("test", &unit.accounts, hours.from(), at("2026-11-20T11:00:00Z")).await.expect("accounts");
    let lease = scene.lease(&state).await;
    let other = PublishedUnit {
        key: UnitKey::from_stored("test/another"),
        accounts: unit.accounts,
        window: window("2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z"),
        fetched_at: at("2026-11-20T11:00:00Z"),
        changed: Vec::new(),
        empty: Default::default(),
    };
    state.record_published(&lease, &[other], &scene.refresh(), at("2026-11-20T11:00:00Z")).await.expect("recorded");
    state.release(&lease).await.expect("released");
    drop(lease);
    let report = scene.run().await;
    assert_eq!(report.failed, 0);
    let calls = scene.calls();
    assert!(!calls.contains_key("GET /reports/old/rows"), "older rows are not wanted: {calls:?}");
    assert_eq!(scene.run().await.planned, 0, "nothing was lost by it");
}

#[tokio::test]
async fn what_was_taken_up_and_fails_is_not_tried_twice_in_a_run() {
    let mut scene = reporting().await;
    // The rows have no records.
    scene.pipeline.records.path = path("elsewhere");
    scene.pipeline.window.history = Wait::ZERO;
    scene.now = at("2026-11-20T10:30:00Z");
    begun(&scene).await;
    let report = scene.run().await;
    assert_eq!((report.planned, report.failed), (1, 1), "{:?}", report.failures);
    assert!(!scene.calls().contains_key("POST /reports"));
}
