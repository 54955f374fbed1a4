//! Creations, working sizes, skipped accounts.

use super::*;

fn day() -> Window {
    window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")
}

fn begun(unit: &Unit, part: u32, round: u32, body_hash: u64, begun_at: Instant) -> Creation {
    Creation {
        unit: unit.key.clone(),
        part,
        round,
        key: idempotency_key(&unit.key, part, round),
        body_hash,
        begun_at,
        made: None,
        made_at: None,
        end: CreationEnd::Open,
    }
}

pub(super) async fn a_creation_is_the_same_until_it_ends(state: &State) {
    let (one, other) = (unit(&[account("1")], day()), unit(&[account("2")], day()));
    let held = lease(state, "ads").await;
    let (first, later) = (at("2026-11-20T09:00:00Z"), at("2026-11-20T10:00:00Z"));
    let hash = u64::MAX - 5;
    let began = state.begin_creation(&held, &one, 0, hash, first).await.expect("begun");
    assert_eq!(began, begun(&one, 0, 1, hash, first));
    // The process dies before or after the sending: nobody knows.
    drop(held);
    let held = lease(state, "ads").await;
    assert_eq!(state.begin_creation(&held, &one, 0, hash, later).await.expect("begun"), began);
    let second = state.begin_creation(&held, &one, 1, hash, later).await.expect("begun");
    assert_eq!(second, begun(&one, 1, 1, hash, later));
    let third = state.begin_creation(&held, &other, 0, 7, later).await.expect("begun");

    for _ in 0..2 {
        state.adopt_creation(&held, &one.key, 0, 1, "r-1", later).await.expect("adopted");
    }
    let made = Creation { made: Some("r-1".to_owned()), made_at: Some(later), ..began };
    assert_eq!(state.begin_creation(&held, &one, 0, hash, later).await.expect("begun"), made);
    state.give_up_creation(&held, &one.key, 0, 1, "report failed", later).await.expect("given up");
    state.give_up_creation(&held, &one.key, 0, 1, "again", first).await.expect("given up");
    let given_up =
        Creation { end: CreationEnd::GivenUp { at: later, reason: "report failed".to_owned() }, ..made.clone() };
    let anew = state.begin_creation(&held, &one, 0, hash, later).await.expect("begun");
    assert_eq!(anew, begun(&one, 0, 2, hash, later));
    assert_eq!(state.creations("ads").await.expect("creations"), [given_up, second, third, anew.clone()]);
    assert_eq!(state.creations("other").await.expect("creations"), []);

    let changed = state.begin_creation(&held, &one, 0, 1, later).await.expect("begun");
    assert_eq!(changed, begun(&one, 0, 3, 1, later), "a key is never sent with two bodies");
    let reason = "the request's body has changed".to_owned();
    let replaced = Creation { end: CreationEnd::GivenUp { at: later, reason }, ..anew };
    assert!(state.creations("ads").await.expect("creations").contains(&replaced));
}

pub(super) async fn what_was_made_is_known_once(state: &State) {
    let one = unit(&[account("1")], day());
    let held = lease(state, "ads").await;
    let now = at("2026-11-20T09:00:00Z");
    let refusal = async |round: u32, id: &str| {
        let refused = state.adopt_creation(&held, &one.key, 0, round, id, now).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Internal);
        refused.to_string()
    };
    insta::assert_snapshot!(refusal(1, "r-1").await, @"`r-1` cannot be adopted as what unit `ads/1/2026-11-20T00:00Z..2026-11-21T00:00Z` made (part 0, round 1): nothing is known of that creation");
    state.begin_creation(&held, &one, 0, 7, now).await.expect("begun");
    state.adopt_creation(&held, &one.key, 0, 1, "r-1", now).await.expect("adopted");
    assert!(refusal(1, "r-2").await.ends_with(": it has made `r-1`"));
    assert!(refusal(2, "r-2").await.ends_with(": it is in round 1"));
    state.give_up_creation(&held, &one.key, 0, 1, "expired", now).await.expect("given up");
    assert!(refusal(1, "r-1").await.ends_with(": that creation has ended"));
    assert_eq!(state.creations("ads").await.expect("creations")[0].made.as_deref(), Some("r-1"));
}

pub(super) async fn open_units_are_taken_up_until_they_end(state: &State) {
    let accounts = [account_in("2", "Asia/Kolkata"), account("1"), account("3"), account("4")];
    state.upsert_accounts("ads", &accounts, day().from(), day().from()).await.expect("accounts");
    let held = lease(state, "ads").await;
    let hour = |hour: i64| at("2026-11-20T00:00:00Z") + TimeDelta::hours(hour);
    let mut units: Vec<Unit> = accounts[1..].iter().map(|one| unit(std::slice::from_ref(one), day())).collect();
    units.push(Unit { lane: Lane::Backfill, ..unit(&accounts[..2], day()) });
    let failure = |unit: &Unit| FailedUnit {
        unit: unit.clone(),
        reason: "502".to_owned(),
        attempts: 5,
        at: at("2026-11-20T20:00:00Z"),
    };
    for (begun, unit) in [3, 1, 2, 0].into_iter().zip(&units) {
        for part in 0..2 {
            state.begin_creation(&held, unit, part, 7, hour(begun)).await.expect("begun");
        }
    }
    let open = async |since: i64| state.open_units("ads", hour(since)).await.expect("units");
    assert_eq!(open(0).await, [units[3].clone(), units[1].clone(), units[2].clone(), units[0].clone()]);
    assert_eq!(open(3).await, units[..1]);
    assert_eq!(state.open_units("other", hour(0)).await.expect("units"), []);
    // What one creation comes to does not end its unit.
    state.give_up_creation(&held, &units[0].key, 0, 1, "expired", hour(4)).await.expect("given up");
    assert_eq!(open(3).await, units[..1]);

    state.record_failed(&held, &failure(&units[0])).await.expect("failed");
    assert_eq!(open(0).await, [units[3].clone(), units[1].clone(), units[2].clone()]);
    let ready = staged(&units[1].accounts, day(), hour(21));
    state.record_staged(&held, &ready).await.expect("staged");
    assert_eq!(open(0).await, [units[3].clone(), units[2].clone()]);
    let ready = staged(&units[2].accounts, day(), hour(21));
    state.record_published(&held, &[published(&ready)], &refresh(), hour(22)).await.expect("published");
    assert_eq!(open(0).await, units[3..]);
    let ended: Vec<(String, u32, CreationEnd)> = state
        .creations("ads")
        .await
        .expect("creations")
        .into_iter()
        .map(|creation| (creation.key, creation.part, creation.end))
        .collect();
    let key = |unit: usize, part: u32| (idempotency_key(&units[unit].key, part, 1), part);
    let expected = [
        (key(0, 0), CreationEnd::GivenUp { at: hour(4), reason: "expired".to_owned() }),
        (key(0, 1), CreationEnd::UnitEnded { at: hour(20) }),
        (key(1, 0), CreationEnd::UnitEnded { at: hour(21) }),
        (key(1, 1), CreationEnd::UnitEnded { at: hour(21) }),
        (key(2, 0), CreationEnd::UnitEnded { at: hour(22) }),
        (key(2, 1), CreationEnd::UnitEnded { at: hour(22) }),
        (key(3, 0), CreationEnd::Open),
        (key(3, 1), CreationEnd::Open),
    ];
    assert_eq!(ended, expected.map(|((key, part), end)| (key, part, end)));

    // A unit that failed and is asked for again begins anew.
    let again = state.begin_creation(&held, &units[0], 1, 7, hour(23)).await.expect("begun");
    assert_eq!(again, begun(&units[0], 1, 2, 7, hour(23)));
    assert_eq!(open(0).await, [units[3].clone(), units[0].clone()]);

    // What no run takes up is forgotten.
    state.record_published(&held, &[], &refresh(), hour(24 * 30 + 1)).await.expect("published");
    assert_eq!(open(0).await, units[..1]);
    let creations = state.creations("ads").await.expect("creations");
    let reason = "no run has taken its unit up again".to_owned();
    assert_eq!(creations[6].end, CreationEnd::GivenUp { at: hour(24 * 30 + 1), reason });
    assert_eq!(creations[8], again);
}

pub(super) async fn the_last_thousand_ended_creations_are_kept(state: &State) {
    let held = lease(state, "ads").await;
    let now = at("2026-11-20T09:00:00Z");
    let (open, ending) = (unit(&[account("1")], day()), unit(&[account("2")], day()));
    state.begin_creation(&held, &open, 0, 7, now).await.expect("begun");
    for part in 0..1010 {
        state.begin_creation(&held, &ending, part, 7, now).await.expect("begun");
    }
    assert_eq!(state.creations("ads").await.expect("creations").len(), 1011);
    let failure = FailedUnit { unit: ending, reason: String::new(), attempts: 1, at: now };
    state.record_failed(&held, &failure).await.expect("failed");
    let creations = state.creations("ads").await.expect("creations");
    assert_eq!((creations.len(), creations[0].end.clone()), (1001, CreationEnd::Open));
    assert_eq!((creations[1].part, creations[1000].part), (10, 1009));
}

pub(super) async fn sizes_only_shrink_and_are_forgotten(state: &State) {
    let held = lease(state, "ads").await;
    let hours = |most| Size::Hours { account: "1".to_owned(), most };
    let campaigns = |most| Size::Campaigns { account: "1".to_owned(), most };
    let first = at("2026-11-20T09:00:00Z");
    let later = first + TimeDelta::days(1);
    assert_eq!(state.sizes("ads", first).await.expect("sizes"), Sizes::default());
    for (size, now) in [
        (hours(12), first),
        (campaigns(50), first),
        (Size::Accounts { most: 30 }, first),
        (hours(12), later),
        (hours(24), later),
        (campaigns(0), later),
    ] {
        state.learn_size(&held, &size, now).await.expect("learnt");
    }
    let of = |max_accounts, max_hours, max_campaigns| Sizes {
        max_accounts,
        accounts: [("1".to_owned(), AccountSizes { max_hours, max_campaigns })].into(),
    };
    assert_eq!(state.sizes("ads", later).await.expect("sizes"), of(Some(30), Some(12), Some(1)));
    assert_eq!(state.sizes("other", later).await.expect("sizes"), Sizes::default());
    let week = first + TimeDelta::days(7);
    assert_eq!(state.sizes("ads", week - TimeDelta::seconds(1)).await.expect("sizes").max_accounts, Some(30));
    assert_eq!(state.sizes("ads", week).await.expect("sizes"), of(None, None, Some(1)));
    state.learn_size(&held, &hours(24), week).await.expect("learnt");
    assert_eq!(state.sizes("ads", week).await.expect("sizes"), of(None, Some(24), Some(1)));
}

pub(super) async fn accounts_are_skipped_and_taken_back(state: &State) {
    let (start, later) = (at("2026-11-20T00:00:00Z"), at("2026-11-21T00:00:00Z"));
    state.upsert_accounts("ads", &[account("2"), account("1")], start, start).await.expect("accounts");
    let held = lease(state, "ads").await;
    state.skip_account(&held, "2", "revoked", start).await.expect("skipped");
    state.skip_account(&held, "1", "deleted", start).await.expect("skipped");
    state.skip_account(&held, "2", "still revoked", later).await.expect("skipped");
    let skip = |id: &str, last_tried, reason: &str| Skip {
        account_id: id.to_owned(),
        since: start,
        last_tried,
        reason: reason.to_owned(),
    };
    let expected = [skip("1", start, "deleted"), skip("2", later, "still revoked")];
    assert_eq!(state.skipped("ads").await.expect("skipped"), expected);
    assert_eq!(state.skipped("other").await.expect("skipped"), []);
    for _ in 0..2 {
        state.unskip(&held, "1").await.expect("taken back");
    }
    assert_eq!(state.skipped("ads").await.expect("skipped"), expected[1..]);
    state.skip_account(&held, "3", "revoked", start).await.expect_err("an account that was never listed");
}

pub(super) async fn a_run_that_was_overtaken_creates_nothing(state: &State) {
    let one = [account("1")];
    let now = day().from();
    state.upsert_accounts("ads", &one, now, now).await.expect("accounts");
    let unit = unit(&one, day());
    let late = lease(state, "ads").await;
    sqlx::query("UPDATE leases SET token = token + 1 WHERE pipeline = 'ads'")
        .execute(&state.writer)
        .await
        .expect("another host takes over");
    let refusals = [
        state.begin_creation(&late, &unit, 0, 7, now).await.expect_err("refused"),
        state.adopt_creation(&late, &unit.key, 0, 1, "r-1", now).await.expect_err("refused"),
        state.give_up_creation(&late, &unit.key, 0, 1, "expired", now).await.expect_err("refused"),
        state.learn_size(&late, &Size::Accounts { most: 3 }, now).await.expect_err("refused"),
        state.skip_account(&late, "1", "revoked", now).await.expect_err("refused"),
        state.unskip(&late, "1").await.expect_err("refused"),
    ];
    for refusal in refusals {
        assert_eq!(refusal.kind(), ErrorKind::Busy, "{refusal:?}");
    }
    assert_eq!(state.creations("ads").await.expect("creations"), []);
    assert_eq!(state.open_units("ads", now).await.expect("units"), []);
    assert_eq!(state.sizes("ads", now).await.expect("sizes"), Sizes::default());
    assert_eq!(state.skipped("ads").await.expect("skipped"), []);
}

#[test]
fn keys_stay_what_they_are() {
    let unit = UnitKey::from_stored("ads/1/2026-11-20T00:00Z..2026-11-21T00:00Z");
    // A server remembers them across versions of this program.
    insta::assert_snapshot!(idempotency_key(&unit, 0, 1), @"hm-c79ab8150367825447eaadc845c6d075");
    assert_ne!(idempotency_key(&unit, 0, 1), idempotency_key(&unit, 0, 2));
    assert_ne!(idempotency_key(&unit, 0, 1), idempotency_key(&unit, 1, 1));
    assert_ne!(idempotency_key(&unit, 1, 11), idempotency_key(&unit, 11, 1));
}

pub(super) async fn readings_of_attributes_are_remembered(state: &State) {
    let held = lease(state, "ads").await;
    let reading = |moment: &str, versions| AttributeReading { read_at: at(moment), versions };
    let first =
        [("1".to_owned(), reading("2026-11-20T09:00:00Z", 3)), ("2".to_owned(), reading("2026-11-20T09:00:00.9Z", 5))];
    state.record_attributes(&held, &first).await.expect("recorded");
    let next =
        [("1".to_owned(), reading("2026-11-20T10:00:00Z", 4)), ("2".to_owned(), reading("2026-11-20T08:00:00Z", 1))];
    state.record_attributes(&held, &next).await.expect("recorded");
    let found = state.attribute_readings("ads").await.expect("readings");
    assert_eq!(found["1"], reading("2026-11-20T10:00:00Z", 4));
    assert_eq!(found["2"], reading("2026-11-20T09:00:00Z", 5), "an older one changes nothing");
    assert_eq!(found.len(), 2);
    assert!(state.attribute_readings("other").await.expect("readings").is_empty());

    sqlx::query("UPDATE leases SET token = token + 1").execute(&state.writer).await.expect("overtaken");
    let error = state.record_attributes(&held, &first).await.expect_err("a late run");
    assert_eq!(error.kind(), ErrorKind::Busy);
}
