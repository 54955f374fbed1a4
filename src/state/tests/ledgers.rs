//! What a run must load, what is folded, and what changes with the rules.

use std::collections::HashSet;

use super::*;
use crate::refresh::Movement;

const DAY: i64 = 86_400;

async fn known(state: &State) -> Vec<KnownAccount> {
    state.accounts("ads").await.expect("accounts")
}

/// One account whose days are read at the moments of an hourly schedule, for `days` days from the first of October.
async fn history(state: &State, refresh: &Refresh, days: i64) -> Lease {
    let start = at("2026-10-01T00:00:00Z");
    state.upsert_accounts("ads", &[account("1")], start, start).await.expect("accounts");
    let lease = lease(state, "ads").await;
    state.follow_rules(&lease, refresh, start).await.expect("the rules");
    for day in 0..days {
        let read = start + TimeDelta::days(day + 1) + TimeDelta::hours(1);
        let whole = Window::new(start + TimeDelta::days(day), start + TimeDelta::days(day + 1)).expect("a day");
        record(state, &lease, refresh, whole, read).await;
        for age in [1, 3, 28] {
            let Some(old) = Window::new(whole.from() - TimeDelta::days(age), whole.to() - TimeDelta::days(age)) else {
                continue;
            };
            if old.from() >= start {
                record(state, &lease, refresh, old, read).await;
            }
        }
    }
    lease
}

async fn record(state: &State, lease: &Lease, refresh: &Refresh, window: Window, read: Instant) {
    let mut unit = published(&staged(&[account("1")], window, read));
    // Every fourth hour moves each time.
    let hours = crate::time::hours_in(window, chrono_tz::Tz::UTC).step_by(4);
    unit.changed = hours.map(|hour| ("1".to_owned(), hour)).collect();
    state.record_published(lease, &[unit], refresh, read).await.expect("recorded");
}

async fn stretches(state: &State) -> Vec<(i64, i64)> {
    let finals = state.table_finals().await.expect("finals");
    let hours = finals.column_by_name("hours").expect("hours").as_primitive::<arrow::datatypes::Int64Type>().clone();
    let from = moments(&finals, "from_hour");
    from.into_iter()
        .zip(hours.values())
        .map(|(from, hours)| (from.expect("a moment").timestamp() / DAY, *hours))
        .collect()
}

pub(super) async fn final_days_are_folded_as_they_come(state: &State) {
    let refresh = refresh();
    drop(history(state, &refresh, 40).await);
    let first = at("2026-10-01T00:00:00Z").timestamp() / DAY;
    assert_eq!(stretches(state).await, [(first, 12 * 24)], "12 of 40 days have come to their last mark");
    let motion = state.ledgers("ads", at("2026-10-01T00:00:00Z"), at("2026-12-01T00:00:00Z")).await.expect("ledgers");
    assert_eq!(motion["1"].days().count(), 28);
    assert_eq!(watermark(state, "1").await, at("2026-11-10T00:00:00Z"));
    // Nothing was read twice in the first marks' name: 39 days after one day, 37 after three, 12 after 28.
    let movements = state.movements("ads").await.expect("movements");
    let of = |days: i64| movements.get(&((days * DAY) as u64)).copied().unwrap_or_default();
    assert_eq!(of(1), Movement { hours: 39 * 24, changed: 39 * 6 });
    assert_eq!(of(3), Movement { hours: 37 * 24, changed: 37 * 6 });
    assert_eq!(of(28), Movement { hours: 12 * 24, changed: 12 * 6 });
    // A reading between two marks that finds something counts for the later one.
    let lease = lease(state, "ads").await;
    let day = window("2026-11-08T00:00:00Z", "2026-11-09T00:00:00Z");
    record(state, &lease, &refresh, day, at("2026-11-10T20:00:00Z")).await;
    let movements = state.movements("ads").await.expect("movements");
    assert_eq!(movements[&(3 * DAY as u64)], Movement { hours: 37 * 24, changed: 37 * 6 + 6 });
}

pub(super) async fn only_days_in_which_something_is_due_are_loaded(state: &State) {
    let refresh = refresh();
    let lease = history(state, &refresh, 40).await;
    let days = async |now: &str| {
        let ledgers = state.due_ledgers(&refresh, &known(state).await, at(now)).await.expect("ledgers");
        let days = ledgers["1"].days().map(|(day, _)| day - at("2026-10-01T00:00:00Z").timestamp() / DAY);
        days.collect::<Vec<i64>>()
    };
    // The watermark's days, nothing else: everything was read at its marks.
    assert_eq!(days("2026-11-10T01:00:00Z").await, [38, 39]);
    assert_eq!(days("2026-11-11T00:00:00Z").await, [12, 37, 39], "28, three and one days old");
    // Other rules: until they are followed, everything is looked at.
    let other = refresh_with(&[1, 2]);
    let all = state.due_ledgers(&other, &known(state).await, at("2026-11-10T01:00:00Z")).await.expect("ledgers");
    assert_eq!(all["1"].days().count(), 28);
    state.follow_rules(&lease, &other, at("2026-11-10T01:00:00Z")).await.expect("followed");
    assert_eq!(stretches(state).await.iter().map(|(_, hours)| hours).sum::<i64>(), 37 * 24, "older than two days");
    // A later mark: the hours that have not come to it yet are in motion again.
    let longer = refresh_with(&[1, 10]);
    state.follow_rules(&lease, &longer, at("2026-11-10T01:00:00Z")).await.expect("followed");
    let final_hours = stretches(state).await.iter().map(|(_, hours)| hours).sum::<i64>();
    assert!((29 * 24..=30 * 24 + 1).contains(&final_hours), "{final_hours}");
}

pub(super) async fn an_account_that_is_behind_is_loaded_from_its_watermark_on(state: &State) {
    let refresh = refresh();
    let lease = history(state, &refresh, 3).await;
    state
        .upsert_accounts("ads", &[account("2")], at("2026-10-01T00:00:00Z"), at("2026-10-01T00:00:00Z"))
        .await
        .expect("two");
    let late = window("2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z");
    let unit = published(&staged(&[account("2")], late, at("2026-10-06T01:00:00Z")));
    state.record_published(&lease, &[unit], &refresh, at("2026-10-06T01:00:00Z")).await.expect("recorded");
    let now = at("2026-10-20T00:00:00Z");
    let ledgers = state.due_ledgers(&refresh, &known(state).await, now).await.expect("ledgers");
    assert_eq!(ledgers["2"].days().count(), 1, "the day after the hole is known, whatever is due in it");
}

pub(super) async fn a_clock_with_other_hours_has_them_read_anew(state: &State) {
    let refresh = refresh();
    let lease = history(state, &refresh, 3).await;
    let now = at("2026-10-04T02:00:00Z");
    let moved = [account_in("1", "Asia/Kolkata")];
    let due = async || {
        let known = known(state).await;
        let ledgers = state.due_ledgers(&refresh, &known, now).await.expect("ledgers");
        let nothing = crate::ledger::AccountLedger::default();
        let subject = crate::plan::Subject {
            account: &known[0].account,
            started: known[0].started,
            watermark: known[0].watermark,
            ledger: ledgers.get("1").unwrap_or(&nothing),
        };
        crate::plan::plan(&refresh, &[subject], crate::plan::Ask::Due, now).hours
    };
    assert_eq!(due().await, 1, "the hour after midnight");
    state.upsert_accounts("ads", &moved, now, now).await.expect("listed");
    state.unsettle(&lease, &refresh, &known(state).await[0], now).await.expect("followed");
    // From half past midnight on the first of October to half past one today.
    assert_eq!(due().await, 3 * 24 + 1);
}

/// 10,000 account-days in motion come back whole, in pages too.
pub(super) async fn a_large_ledger_loads(state: &State) {
    let accounts: Vec<Account> = (0..400).map(|number| account(&format!("{number:04}"))).collect();
    let start = at("2026-10-01T00:00:00Z");
    let whole = Window::new(start, start + TimeDelta::days(25)).expect("a window");
    state.upsert_accounts("ads", &accounts, start, start).await.expect("accounts");
    let lease = lease(state, "ads").await;
    publish(state, &lease, &accounts, whole, whole.to() + TimeDelta::hours(1)).await;
    let ledgers = state.ledgers("ads", start, whole.to()).await.expect("ledgers");
    assert_eq!(ledgers.len(), 400);
    assert_eq!(ledgers.values().map(|ledger| ledger.days().count()).sum::<usize>(), 10_000);
    assert_eq!(watermark(state, "0399").await, whole.to());

    let (mut place, mut pages, mut seen) = (None, 0, HashSet::new());
    loop {
        let page = state.ledger_page(None, None, place.as_ref()).await.expect("a page");
        pages += 1;
        let ids = texts(&page.batch, "account_id");
        for (id, hour) in ids.into_iter().zip(moments(&page.batch, "hour")) {
            assert!(seen.insert((id, hour)), "twice");
        }
        place = page.next;
        if place.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 240_000));
}
