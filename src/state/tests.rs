//! What every backend promises, as functions of an empty [`State`]; `sqlite` runs them on SQLite and adds what is that
//! backend's own.

use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::TimeDelta;

use super::*;
use crate::error::ErrorKind;
use crate::ledger::{Cell, Found};
use crate::pipeline::{HourSource, ZoneRule};
use crate::refresh::{Learned, Refresh};
use crate::time::{Instant, Window, slot};
use crate::unit::{Account, Lane, Unit, UnitKey};

mod creating;
mod ledgers;
mod quarantine;
mod quota_file;
mod sqlite;
mod versions;

/// Rules under which an hour has settled after a quarter of an hour, and is read again after one, three and 28 days.
pub(super) fn refresh() -> Refresh {
    refresh_with(&[1, 3, 28])
}

fn refresh_with(days: &[u64]) -> Refresh {
    let mut pipeline = crate::request::tests::pipeline("https://api.test");
    pipeline.name = "ads".to_owned();
    if let HourSource::Instant { zone, .. } = &mut pipeline.hour {
        *zone = ZoneRule::Account;
    }
    pipeline.window.size = 24;
    pipeline.window.settle = Duration::from_secs(900);
    pipeline.window.refresh = days.iter().map(|days| Duration::from_secs(days * 86_400)).collect();
    Refresh::new(Arc::new(pipeline), &Learned::default())
}

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn window(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).expect("a window")
}

fn account_in(id: &str, zone: &str) -> Account {
    Account {
        id: id.to_owned(),
        name: format!("Shop {id} \"München\""),
        time_zone: zone.parse().expect("a zone"),
        currency: "EUR".to_owned(),
        parent: String::new(),
    }
}

fn account(id: &str) -> Account {
    account_in(id, "UTC")
}

async fn lease(state: &State, pipeline: &str) -> Lease {
    match state.acquire(pipeline, "test", at("2026-11-20T00:00:00Z")).await.expect("an answer") {
        Acquired::Held(lease) => lease,
        Acquired::Busy { holder, .. } => panic!("{holder} holds it"),
    }
}

fn unit(accounts: &[Account], window: Window) -> Unit {
    Unit { key: UnitKey::new("ads", accounts, window, None), lane: Lane::Hourly, accounts: accounts.to_vec(), window }
}

fn staged(accounts: &[Account], window: Window, fetched_at: Instant) -> StagedUnit {
    StagedUnit { unit: unit(accounts, window), window, fetched_at, rows: 12, requests: 3, empty: EmptyHours::new() }
}

fn published(staged: &StagedUnit) -> PublishedUnit {
    PublishedUnit {
        key: staged.unit.key.clone(),
        accounts: staged.unit.accounts.clone(),
        window: staged.window,
        fetched_at: staged.fetched_at,
        changed: Vec::new(),
        empty: EmptyHours::new(),
    }
}

async fn publish(state: &State, lease: &Lease, accounts: &[Account], window: Window, fetched_at: Instant) {
    let unit = published(&staged(accounts, window, fetched_at));
    state.record_published(lease, &[unit], &refresh(), fetched_at).await.expect("recorded");
}

fn cell(first: Instant, confirmed: Instant, changed: Instant) -> Cell {
    Cell { first, confirmed, changed, found: Found::Rows }
}

async fn watermark(state: &State, id: &str) -> Instant {
    let accounts = state.accounts("ads").await.expect("accounts");
    accounts.into_iter().find(|known| known.account.id == id).expect("the account").watermark
}

async fn accounts_stay_when_no_longer_listed(state: &State) {
    let (start, first, second) = (at("2026-11-17T00:00:00Z"), at("2026-11-20T09:00:00Z"), at("2026-11-20T10:00:00Z"));
    state.upsert_accounts("ads", &[account("2"), account("1")], start, first).await.expect("recorded");
    let renamed = Account { name: "New".to_owned(), ..account_in("2", "Asia/Kolkata") };
    let listed = [renamed.clone(), account("3")];
    state.upsert_accounts("ads", &listed, at("2026-11-18T00:00:00Z"), second).await.expect("recorded");
    state.upsert_accounts("other", &[account("1")], start, second).await.expect("recorded");
    let known = |account: Account, started: Instant, first_seen: Instant, last_listed: Instant| KnownAccount {
        account,
        watermark: started,
        started,
        first_seen,
        last_listed,
    };
    let expected = [
        known(account("1"), start, first, first),
        known(renamed, start, first, second),
        known(account("3"), at("2026-11-18T00:00:00Z"), second, second),
    ];
    assert_eq!(state.accounts("ads").await.expect("accounts"), expected);
}

async fn publishing_fills_the_ledger_and_moves_the_watermark(state: &State) {
    let (utc, kolkata) = (account("1"), account_in("2", "Asia/Kolkata"));
    let both = [utc.clone(), kolkata.clone()];
    let start = at("2026-11-19T18:00:00Z");
    state.upsert_accounts("ads", &both, start, start).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let fetched = at("2026-11-20T10:20:00Z");
    publish(state, &lease, &both, window("2026-11-19T18:00:00Z", "2026-11-20T10:00:00Z"), fetched).await;
    assert_eq!(watermark(state, "1").await, at("2026-11-20T10:00:00Z"));
    // 09:30 in UTC is an hour that was not over and settled at 10:20.
    assert_eq!(watermark(state, "2").await, at("2026-11-20T09:30:00Z"));

    let again = at("2026-11-20T12:00:00Z");
    let nine = at("2026-11-20T09:00:00Z");
    let morning = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let mut unit = published(&staged(&both, morning, again));
    unit.changed = vec![("1".to_owned(), nine)];
    for _ in 0..2 {
        state.record_published(&lease, &[unit.clone()], &refresh(), again).await.expect("recorded");
        let ledgers = state.ledgers("ads", start, again).await.expect("ledgers");
        assert_eq!(ledgers.len(), 2);
        assert_eq!(ledgers["1"].cell(slot(nine)), Some(cell(fetched, again, again)));
        assert_eq!(ledgers["1"].cell(slot(nine) - 1), Some(cell(fetched, again, fetched)));
        assert_eq!(ledgers["1"].cell(slot(nine) - 2), Some(cell(fetched, fetched, fetched)));
        assert_eq!(ledgers["1"].cell(slot(nine) + 1), None);
        assert_eq!(ledgers["2"].cell(slot(nine)), Some(cell(fetched, again, fetched)));
        assert_eq!(ledgers["2"].cell(slot(start)), Some(cell(fetched, fetched, fetched)));
        assert_eq!(watermark(state, "2").await, at("2026-11-20T10:30:00Z"));
    }
    assert!(state.ledgers("other", start, again).await.expect("ledgers").is_empty());
    let later = state.ledgers("ads", at("2026-11-21T00:00:00Z"), at("2026-11-22T00:00:00Z")).await.expect("ledgers");
    assert!(later.is_empty());
}

async fn watermarks_only_move_forward_and_never_by_a_backfill(state: &State) {
    let start = at("2026-11-17T00:00:00Z");
    let one = [account("1")];
    state.upsert_accounts("ads", &one, start, start).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let read = at("2026-11-30T00:00:00Z");
    publish(state, &lease, &one, window("2026-10-01T00:00:00Z", "2026-11-17T00:00:00Z"), read).await;
    assert_eq!(watermark(state, "1").await, start, "hours before the start are a backfill's");
    publish(state, &lease, &one, window("2026-11-18T00:00:00Z", "2026-11-20T00:00:00Z"), read).await;
    assert_eq!(watermark(state, "1").await, start, "the 17th is missing");
    publish(state, &lease, &one, window("2026-11-17T00:00:00Z", "2026-11-18T00:00:00Z"), read).await;
    assert_eq!(watermark(state, "1").await, at("2026-11-20T00:00:00Z"), "and now it is not");
    // An older reading recorded late takes nothing back.
    publish(state, &lease, &one, window("2026-11-17T00:00:00Z", "2026-11-19T00:00:00Z"), start).await;
    state.upsert_accounts("ads", &one, at("2026-11-01T00:00:00Z"), read).await.expect("accounts");
    assert_eq!(watermark(state, "1").await, at("2026-11-20T00:00:00Z"));
}

async fn a_watermark_passes_many_days_at_once(state: &State) {
    let start = at("2026-01-01T00:00:00Z");
    let one = [account("1")];
    state.upsert_accounts("ads", &one, start, start).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let read = at("2026-11-30T00:00:00Z");
    publish(state, &lease, &one, window("2026-01-02T00:00:00Z", "2026-10-01T00:00:00Z"), read).await;
    assert_eq!(watermark(state, "1").await, start);
    publish(state, &lease, &one, window("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), read).await;
    assert_eq!(watermark(state, "1").await, at("2026-10-01T00:00:00Z"));
}

async fn staged_units_are_listed_until_they_are_published(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let both = [account_in("2", "Europe/Berlin"), account("10000000000000000001")];
    state.upsert_accounts("ads", &both, day.from(), day.from()).await.expect("accounts");
    let held = lease(state, "ads").await;
    let mut first = staged(&both, day, at("2026-11-20T12:20:00Z"));
    first.window = window("2026-11-20T00:00:00Z", "2026-11-20T12:00:00Z");
    let second = staged(&both[1..], day, at("2026-11-20T12:20:00Z"));
    let failure = FailedUnit { unit: first.unit.clone(), reason: "502".to_owned(), attempts: 5, at: first.fetched_at };
    state.record_failed(&held, &failure).await.expect("failed");
    state.record_staged(&held, &first).await.expect("staged");
    state.record_staged(&held, &first).await.expect("staged again");
    state.record_staged(&held, &second).await.expect("staged");
    assert_eq!(state.failed_units("ads").await.expect("failed"), [], "the same unit was brought by a later run");

    // The run dies here: the next one finds both, publishes one, and finds the other's rows unreadable.
    drop(held);
    let held = lease(state, "ads").await;
    let listed = state.staged_units("ads").await.expect("staged");
    assert_eq!(listed, [second.clone(), first.clone()]);
    assert_eq!(state.staged_units("other").await.expect("staged"), []);
    state.record_published(&held, &[published(&first)], &refresh(), first.fetched_at).await.expect("published");
    let failure =
        FailedUnit { unit: second.unit, reason: "torn".to_owned(), attempts: 0, at: at("2026-11-20T13:00:00Z") };
    state.record_failed(&held, &failure).await.expect("failed");
    assert_eq!(state.staged_units("ads").await.expect("staged"), []);
    assert_eq!(state.failed_units("ads").await.expect("failed"), [failure]);
}

async fn failures_are_forgotten_once_their_hours_are_confirmed(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let accounts = [account("1"), account("2"), account("3")];
    state.upsert_accounts("ads", &accounts, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let failed_at = at("2026-11-20T06:30:00Z");
    for members in [&accounts[..2], &accounts[2..]] {
        let reason = "timed out".to_owned();
        let failure = FailedUnit { unit: unit(members, day), reason, attempts: 5, at: failed_at };
        state.record_failed(&lease, &failure).await.expect("failed");
    }
    let left = async || {
        let failed = state.failed_units("ads").await.expect("failed");
        failed.iter().map(|failed| failed.unit.accounts.len()).collect::<Vec<usize>>()
    };
    let over = window("2026-11-20T00:00:00Z", "2026-11-20T06:00:00Z");
    publish(state, &lease, &accounts[..2], over, at("2026-11-20T06:29:00Z")).await;
    assert_eq!(left().await.len(), 2, "that was read before the failure");
    publish(state, &lease, &accounts[..1], over, at("2026-11-20T07:00:00Z")).await;
    assert_eq!(left().await.len(), 2, "account 2 is still to come");
    // The batches have been dealt anew meanwhile.
    publish(state, &lease, &accounts[1..], over, at("2026-11-20T07:00:00Z")).await;
    assert_eq!(left().await, [0usize; 0]);
}

async fn old_units_are_pruned(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let one = [account("1")];
    state.upsert_accounts("ads", &one, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let unit = staged(&one, day, day.to());
    state.record_staged(&lease, &unit).await.expect("staged");
    state.record_published(&lease, &[published(&unit)], &refresh(), day.to()).await.expect("published");
    assert_eq!(state.table_units().await.expect("units").num_rows(), 1);
    state.record_published(&lease, &[], &refresh(), day.to() + TimeDelta::days(2)).await.expect("published");
    assert_eq!(state.table_units().await.expect("units").num_rows(), 1);
    state.record_published(&lease, &[], &refresh(), day.to() + TimeDelta::days(4)).await.expect("published");
    assert_eq!(state.table_units().await.expect("units").num_rows(), 0);
}

async fn one_run_at_a_time(state: &State) {
    let since = at("2026-11-20T09:00:00Z");
    let Acquired::Held(first) = state.acquire("ads", "host a, process 1", since).await.expect("an answer") else {
        panic!("nobody else has it");
    };
    match state.acquire("ads", "host a, process 2", at("2026-11-20T09:05:00Z")).await.expect("an answer") {
        Acquired::Busy { holder, since: held } => assert_eq!((holder.as_str(), held), ("host a, process 1", since)),
        Acquired::Held(_) => panic!("two runs hold it"),
    }
    let other = lease(state, "other").await;
    assert_eq!((first.token(), other.token()), (1, 1));
    state.release(&first).await.expect("released");
    drop(first);
    let second = lease(state, "ads").await;
    assert_eq!(second.token(), 2);
    // A holder that dies releases nothing: its lock is free all the same.
    drop(second);
    assert_eq!(lease(state, "ads").await.token(), 3);
}

async fn a_run_that_was_overtaken_cannot_write(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let one = [account("1")];
    state.upsert_accounts("ads", &one, day.from(), day.from()).await.expect("accounts");
    let late = lease(state, "ads").await;
    sqlx::query("UPDATE leases SET token = token + 1, holder = 'host b' WHERE pipeline = 'ads'")
        .execute(&state.writer)
        .await
        .expect("another host takes over");
    let unit = staged(&one, day, day.to());
    let failure = FailedUnit { unit: unit.unit.clone(), reason: String::new(), attempts: 1, at: day.to() };
    let refusals = [
        state.record_staged(&late, &unit).await.expect_err("refused"),
        state.record_failed(&late, &failure).await.expect_err("refused"),
        state.record_published(&late, &[published(&unit)], &refresh(), day.to()).await.expect_err("refused"),
        state.record_released(&late, &unit.unit.key, day.to()).await.expect_err("refused"),
        state.drop_quarantined(&late, &unit.unit.key).await.expect_err("refused"),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), ErrorKind::Busy);
        assert_eq!(
            refusal.to_string(),
            "the lease of pipeline `ads` has passed from test (token 1) to host b (token 2): this write is refused"
        );
    }
    assert!(state.ledgers("ads", day.from(), day.to()).await.expect("ledgers").is_empty());
    assert_eq!(state.table_units().await.expect("units").num_rows(), 0);
    assert_eq!(watermark(state, "1").await, day.from());
}

async fn runs_say_how_they_ended(state: &State) {
    let began = at("2026-11-20T09:00:00Z");
    let held = lease(state, "ads").await;
    let lost = state.begin_run("ads", RunKind::Backfill, began).await.expect("a run");
    drop(held);
    let held = lease(state, "ads").await;
    let done = state.begin_run("ads", RunKind::Hourly, began).await.expect("a run");
    let summary = RunSummary {
        latency: Some(std::time::Duration::from_millis(120)),
        outcome: "waiting".to_owned(),
        units_done: 1,
        units_failed: 2,
        units_waiting: 3,
        rows_added: 4,
        rows_changed: 5,
        rows_removed: 6,
        requests: 7,
        retries: 8,
        throttled: 9,
        resume_at: Some(at("2026-11-20T10:00:00Z")),
        note: "quota `app`".to_owned(),
    };
    let ended = at("2026-11-20T09:30:00Z");
    state.end_run(done, &summary, ended).await.expect("ended");
    let back = (at("2026-11-20T10:00:00Z"), "quota `app`".to_owned());
    assert_eq!(state.waiting_until("ads").await.expect("an answer"), Some(back));
    assert_eq!(state.waiting_until("other").await.expect("an answer"), None);
    let now = state.begin_run("ads", RunKind::Repair, ended).await.expect("a run");
    let record = |id, kind, started_at, end| RunRecord { id, pipeline: "ads".to_owned(), kind, started_at, end };
    let mut expected = vec![
        record(now, RunKind::Repair, ended, RunEnd::Running),
        record(done, RunKind::Hourly, began, RunEnd::Ended { at: ended, summary }),
        record(lost, RunKind::Backfill, began, RunEnd::Interrupted),
    ];
    assert_eq!(state.last_runs("ads", 10).await.expect("runs"), expected);
    assert_eq!(state.last_runs("ads", 2).await.expect("runs"), expected[..2]);
    let batch = state.table_runs().await.expect("runs");
    assert_eq!(texts(&batch, "outcome"), ["running", "waiting", "interrupted"]);
    assert_eq!(state.waiting_until("ads").await.expect("an answer"), None, "it has come back");
    assert_eq!(moments(&batch, "resume_at"), [None, Some(at("2026-11-20T10:00:00Z")), None]);
    drop(held);
    expected[0].end = RunEnd::Interrupted;
    assert_eq!(state.last_runs("ads", 10).await.expect("runs"), expected);
}

async fn the_last_thousand_runs_are_kept(state: &State) {
    let other = state.begin_run("other", RunKind::Hourly, at("2026-11-20T09:00:00Z")).await.expect("a run");
    let mut last = other;
    for _ in 0..1003 {
        last = state.begin_run("ads", RunKind::Hourly, at("2026-11-20T09:00:00Z")).await.expect("a run");
    }
    let runs = state.last_runs("ads", 5000).await.expect("runs");
    assert_eq!((runs.len(), runs[0].id), (1000, last));
    assert_eq!(state.last_runs("other", 5000).await.expect("runs")[0].id, other);
}

async fn responses_are_kept_and_bounded(state: &State) {
    let response = CachedResponse {
        stored_at: at("2026-11-20T09:00:00Z"),
        etag: Some("W/\"7\"".to_owned()),
        last_modified: None,
        fresh_until: Some(at("2026-11-20T10:00:00Z")),
        body: b"{}".to_vec(),
        link: Some("<https://a.example/p2>; rel=\"next\"".to_owned()),
    };
    state.store_response("ads", "accounts", &response).await.expect("kept");
    assert_eq!(state.cached_response("ads", "accounts").await.expect("an answer"), Some(response.clone()));
    assert_eq!(state.cached_response("other", "accounts").await.expect("an answer"), None);

    let mut large = CachedResponse { body: vec![b'x'; 20 << 20], etag: None, ..response.clone() };
    for key in ["a", "b", "c", "d"] {
        large.stored_at += TimeDelta::minutes(1);
        state.store_response("other", key, &large).await.expect("kept");
    }
    let mut kept = Vec::new();
    for (pipeline, key) in [("ads", "accounts"), ("other", "a"), ("other", "b"), ("other", "c"), ("other", "d")] {
        if state.cached_response(pipeline, key).await.expect("an answer").is_some() {
            kept.push(key);
        }
    }
    assert_eq!(kept, ["b", "c", "d"], "the oldest are out");
    let too_large = CachedResponse { body: vec![0; 65 << 20], ..large };
    state.store_response("other", "b", &too_large).await.expect("nothing to complain of");
    assert_eq!(state.cached_response("other", "b").await.expect("an answer"), None);
}

async fn tables_show_the_state(state: &State) {
    let both = [account("1"), account_in("2", "Asia/Kolkata")];
    let day = window("2026-11-20T00:00:00Z", "2026-11-20T03:00:00Z");
    state.upsert_accounts("ads", &both, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let read = at("2026-11-20T04:00:00Z");
    let unit = staged(&both, day, read);
    state.record_staged(&lease, &unit).await.expect("staged");
    state.record_published(&lease, &[published(&unit)], &refresh(), read).await.expect("published");

    let ledger = state.table_ledger(None, None).await.expect("ledger");
    assert_eq!(texts(&ledger, "account_id"), ["1", "1", "1", "2", "2", "2"]);
    let hours = moments(&ledger, "hour");
    assert_eq!(hours[1], Some(at("2026-11-20T01:00:00Z")));
    assert_eq!(hours[4], Some(at("2026-11-20T01:30:00Z")), "as in the lake");
    assert_eq!(moments(&ledger, "confirmed_at"), [Some(read); 6]);
    let part = state.table_ledger(Some(at("2026-11-20T01:00:00Z")), Some(at("2026-11-20T02:30:00Z"))).await;
    let part = part.expect("ledger");
    let hours: Vec<_> = moments(&part, "hour").into_iter().flatten().collect();
    assert_eq!(hours, ["01:00", "02:00", "01:30"].map(|time| at(&format!("2026-11-20T{time}:00Z"))));

    let units = state.table_units().await.expect("units");
    assert_eq!(texts(&units, "status"), ["published"]);
    assert_eq!(texts(&units, "lane"), ["hourly"]);
    assert_eq!(moments(&units, "window_to"), [Some(day.to())]);
    assert_eq!(tables::units_schema(), units.schema());
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let values = batch.column_by_name(column).expect("the column").as_string::<i32>();
    values.iter().map(|text| text.expect("a text").to_owned()).collect()
}

fn moments(batch: &RecordBatch, column: &str) -> Vec<Option<Instant>> {
    let values = batch.column_by_name(column).expect("the column").as_primitive::<TimestampMicrosecondType>();
    values.iter().map(|micros| micros.and_then(Instant::from_timestamp_micros)).collect()
}
