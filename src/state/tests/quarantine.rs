//! Units in quarantine: what becomes of them and of the staged units beside them.

use std::collections::HashSet;

use super::*;

fn entry(accounts: &[Account], window: Window, fetched_at: Instant) -> Quarantined {
    Quarantined {
        unit: unit(accounts, window),
        zones: accounts.iter().map(|account| account.time_zone).collect(),
        window,
        fetched_at,
        rows: 24,
        requests: 2,
        reason: "2 of 24 rows break a rule: `clicks` is below 0 in 2".to_owned(),
        examples: vec!["account 1, campaign \"a\", hour 2026-11-20T03:00Z: clicks -1 is below 0".to_owned()],
        at: fetched_at + TimeDelta::seconds(5),
    }
}

async fn keys(state: &State) -> Vec<String> {
    let entries = state.quarantined("ads").await.expect("entries");
    entries.iter().map(|entry| entry.unit.key.to_string()).collect()
}

pub(super) async fn a_quarantined_unit_is_no_longer_staged(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let accounts = [account("1"), account_in("2", "Asia/Kolkata")];
    state.upsert_accounts("ads", &accounts, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let kept = staged(&accounts[1..], day, day.to());
    state.record_staged(&lease, &kept).await.expect("staged");
    let unit = staged(&accounts, day, day.to());
    state.record_staged(&lease, &unit).await.expect("staged");
    let entry = entry(&accounts, day, day.to());
    for _ in 0..2 {
        state.record_quarantined(&lease, &entry).await.expect("quarantined");
        assert_eq!(state.quarantined("ads").await.expect("entries"), std::slice::from_ref(&entry));
        assert_eq!(state.staged_units("ads").await.expect("staged"), std::slice::from_ref(&kept));
    }
    assert!(state.quarantined("other").await.expect("entries").is_empty());
    assert!(state.ledgers("ads", day.from(), day.to()).await.expect("ledgers").is_empty(), "its hours are unread");
    assert_eq!(watermark(state, "1").await, day.from());
    assert!(state.drop_quarantined(&lease, &entry.unit.key).await.expect("dropped"));
    assert!(!state.drop_quarantined(&lease, &entry.unit.key).await.expect("dropped"));
    assert!(state.quarantined("ads").await.expect("entries").is_empty());
    assert_eq!(state.staged_units("ads").await.expect("staged"), [kept]);
}

pub(super) async fn a_released_unit_is_staged_until_it_is_published(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let one = [account("1")];
    state.upsert_accounts("ads", &one, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let entry = entry(&one, day, day.to());
    let key = &entry.unit.key;
    assert!(!state.record_released(&lease, key, day.to()).await.expect("nothing"));
    state.record_quarantined(&lease, &entry).await.expect("quarantined");
    assert!(state.record_released(&lease, key, day.to()).await.expect("released"));
    assert!(!state.record_released(&lease, key, day.to()).await.expect("released once"));
    let expected = StagedUnit { rows: 24, requests: 2, ..staged(&one, day, day.to()) };
    assert_eq!(state.staged_units("ads").await.expect("staged"), std::slice::from_ref(&expected));
    assert!(state.quarantined("ads").await.expect("entries").is_empty());
    assert_eq!(state.released("ads").await.expect("keys"), HashSet::from([key.clone()]));
    assert!(!state.drop_quarantined(&lease, key).await.expect("it is not quarantined"));

    // It is refused again, by the guard: it goes back.
    state.record_quarantined(&lease, &entry).await.expect("quarantined");
    assert!(state.released("ads").await.expect("keys").is_empty());
    assert_eq!(state.staged_units("ads").await.expect("staged"), []);
    assert!(state.record_released(&lease, key, day.to()).await.expect("released"));
    state.record_published(&lease, &[published(&expected)], &refresh(), day.to()).await.expect("published");
    assert!(state.released("ads").await.expect("keys").is_empty());
    assert!(state.quarantined("ads").await.expect("entries").is_empty());

    // A staged file that was lost fails the unit, and nothing of its release stays.
    state.record_quarantined(&lease, &entry).await.expect("quarantined");
    state.record_released(&lease, key, day.to()).await.expect("released");
    let failure = FailedUnit { unit: entry.unit.clone(), reason: "gone".to_owned(), attempts: 1, at: day.to() };
    state.record_failed(&lease, &failure).await.expect("failed");
    assert!(state.released("ads").await.expect("keys").is_empty());
}

pub(super) async fn a_later_reading_makes_it_good_or_takes_its_place(state: &State) {
    let day = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    let (morning, evening) = (
        window("2026-11-20T00:00:00Z", "2026-11-20T12:00:00Z"),
        window("2026-11-20T12:00:00Z", "2026-11-21T00:00:00Z"),
    );
    let accounts = [account("1"), account("2")];
    state.upsert_accounts("ads", &accounts, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    let fetched = at("2026-11-21T01:00:00Z");
    let both = entry(&accounts, day, fetched);
    let other = entry(&accounts[..1], window("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"), fetched);
    for entry in [&other, &both] {
        state.record_quarantined(&lease, entry).await.expect("quarantined");
    }
    let (both, other) = (both.unit.key.to_string(), other.unit.key.to_string());
    let hour = |hours: i64| fetched + TimeDelta::hours(hours);
    publish(state, &lease, &accounts, day, hour(-1)).await;
    assert_eq!(keys(state).await, [other.clone(), both.clone()], "that was read before");
    publish(state, &lease, &accounts, morning, hour(1)).await;
    publish(state, &lease, &accounts[..1], evening, hour(1)).await;
    assert_eq!(keys(state).await, [other.clone(), both.clone()], "account 2 is still to come");
    publish(state, &lease, &accounts[1..], evening, hour(1)).await;
    assert_eq!(keys(state).await, std::slice::from_ref(&other));

    // A reading of the same second is newer where it brings all of it.
    state.record_quarantined(&lease, &entry(&accounts[1..], morning, hour(2))).await.expect("quarantined");
    publish(state, &lease, &accounts[1..], day, hour(2)).await;
    assert_eq!(keys(state).await, std::slice::from_ref(&other));

    // Whoever brings more and is newer takes the place.
    let first = entry(&accounts[..1], morning, hour(2));
    let second = entry(&accounts, day, hour(3));
    let third = entry(&accounts[..1], evening, hour(4));
    for entry in [&first, &second, &third] {
        state.record_quarantined(&lease, entry).await.expect("quarantined");
    }
    let expected = [third.unit.key.to_string(), second.unit.key.to_string(), other];
    assert_eq!(keys(state).await, expected);
}

pub(super) async fn hours_of_the_platform_s_clock_make_it_good(state: &State) {
    let india = [account_in("1", "Asia/Kolkata")];
    let day = window("2026-11-19T18:30:00Z", "2026-11-20T18:30:00Z");
    state.upsert_accounts("ads", &india, day.from(), day.from()).await.expect("accounts");
    let lease = lease(state, "ads").await;
    // The platform reports hours in UTC, whatever the account's clock shows.
    let entry = Quarantined { zones: vec![chrono_tz::Tz::UTC], ..entry(&india, day, day.to()) };
    state.record_quarantined(&lease, &entry).await.expect("quarantined");
    let utc = [account("1")];
    let noon = at("2026-11-20T12:00:00Z");
    for half in [Window::new(day.from(), noon), Window::new(noon, day.to())] {
        assert_eq!(keys(state).await.len(), 1);
        publish(state, &lease, &utc, half.expect("a window"), day.to() + TimeDelta::hours(1)).await;
    }
    assert_eq!(keys(state).await, [""; 0]);
}

pub(super) async fn old_entries_are_forgotten(state: &State) {
    let day = |date: &str| window(&format!("{date}T00:00:00Z"), &format!("{date}T10:00:00Z"));
    let one = [account("1")];
    let lease = lease(state, "ads").await;
    for date in ["2026-08-01", "2026-08-30", "2026-11-10"] {
        let entry = entry(&one, day(date), day(date).to());
        state.record_quarantined(&lease, &entry).await.expect("quarantined");
    }
    let left: Vec<Window> = state.quarantined("ads").await.expect("it").iter().map(|entry| entry.window).collect();
    assert_eq!(left, [day("2026-11-10"), day("2026-08-30")]);
}
