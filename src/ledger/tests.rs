use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::pipeline::Align;
use crate::time::slot_start;

const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn window(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).expect("a window")
}

fn rules(settle: Duration, refresh: &[Duration], lookback: Duration) -> WindowRules {
    WindowRules {
        align: Align::Hour,
        size: 1,
        settle,
        refresh: refresh.to_vec(),
        lookback,
        history: 24 * HOUR,
        retention: None,
    }
}

fn uniform_day() -> DayLedger {
    let mut ledger = AccountLedger::default();
    let whole = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    ledger.confirm(whole, Tz::UTC, at("2026-11-21T00:20:00Z"), &BTreeSet::new());
    let (day, ledger) = ledger.days().next().expect("one day");
    assert_eq!(day, 20_777);
    ledger.clone()
}

#[test]
fn a_day_read_at_once_is_seven_bytes() {
    let day = uniform_day();
    assert_eq!(day.cells().count(), 24);
    let bytes = day.encode();
    assert_eq!(bytes.len(), 7, "{bytes:?}");
    assert_eq!(DayLedger::decode(&bytes).expect("a day"), day);
    assert_eq!(DayLedger::default().encode(), [1, 23 << 2]);
}

#[test]
fn damaged_days_are_refused() {
    let bytes = uniform_day().encode();
    let mut newer = bytes.clone();
    newer[0] = 9;
    assert_eq!(
        DayLedger::decode(&newer).expect_err("newer").report(),
        "a ledger day has version 9, expected 1\n  hint: use the hourmark that wrote it, or a newer one"
    );
    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes[1..]);
    for wrong in [&[][..], &[1], &bytes[..bytes.len() - 1], &twice, &[1, 23 << 2 | 3], &[1, 22 << 2]] {
        assert_eq!(
            DayLedger::decode(wrong).expect_err("damaged").kind(),
            crate::error::ErrorKind::Storage,
            "{wrong:?}"
        );
    }
}

#[test]
fn confirmations_never_move_back_and_changes_stand() {
    let mut ledger = AccountLedger::default();
    let morning = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let nine = slot(at("2026-11-20T09:00:00Z"));
    ledger.confirm(morning, Tz::UTC, at("2026-11-20T10:20:00.9Z"), &BTreeSet::new());
    let first = at("2026-11-20T10:20:00Z");
    assert_eq!(ledger.cell(nine), Some(Cell { confirmed: first, changed: first }));
    ledger.confirm(morning, Tz::UTC, at("2026-11-20T13:00:00Z"), &BTreeSet::from([nine]));
    ledger.confirm(morning, Tz::UTC, at("2026-11-20T12:00:00Z"), &BTreeSet::new());
    let second = at("2026-11-20T13:00:00Z");
    assert_eq!(ledger.cell(nine), Some(Cell { confirmed: second, changed: second }));
    assert_eq!(ledger.cell(nine - 1), Some(Cell { confirmed: second, changed: first }));
    assert_eq!(ledger.cell(nine + 1), None);
}

#[test]
fn hours_of_half_hour_zones_have_their_own_cells() {
    let mut ledger = AccountLedger::default();
    let kolkata: Tz = "Asia/Kolkata".parse().expect("a zone");
    let day = window("2026-11-19T18:30:00Z", "2026-11-20T18:30:00Z");
    ledger.confirm(day, kolkata, at("2026-11-21T00:00:00Z"), &BTreeSet::new());
    let known: usize = ledger.days().map(|(_, day)| day.cells().count()).sum();
    assert_eq!(known, 24);
    assert_eq!(ledger.confirmed(slot(at("2026-11-19T18:30:00Z"))), Some(at("2026-11-21T00:00:00Z")));
    assert_eq!(ledger.confirmed(slot(at("2026-11-20T18:30:00Z"))), None);
}

#[test]
fn states_follow_from_the_last_confirmation() {
    let end = at("2026-11-20T10:00:00Z");
    let now = at("2026-12-20T10:00:00Z");
    let rules = rules(HOUR / 4, &[HOUR, 24 * HOUR, 3 * HOUR], 2 * HOUR);
    let state = |read: &str| {
        let confirmed = at(read);
        hour_state(end, Some(Cell { confirmed, changed: confirmed }), &rules, now)
    };
    assert_eq!(hour_state(end, None, &rules, now), HourState::Missing);
    assert_eq!(hour_state(end, None, &rules, end), HourState::Missing);
    assert_eq!(hour_state(end, None, &rules, at("2026-11-20T09:59:59Z")), HourState::Provisional);
    assert_eq!(state("2026-11-20T10:14:59Z"), HourState::Provisional);
    assert_eq!(state("2026-11-20T10:15:00Z"), HourState::Settling);
    assert_eq!(state("2026-11-21T09:59:59Z"), HourState::Settling);
    assert_eq!(state("2026-11-21T10:00:00Z"), HourState::Final);
}

#[test]
fn the_lookback_keeps_an_hour_settling_where_no_mark_does() {
    let end = at("2026-11-20T10:00:00Z");
    let rules = rules(Duration::ZERO, &[], 6 * HOUR);
    let state = |read: &str| {
        let confirmed = at(read);
        hour_state(end, Some(Cell { confirmed, changed: confirmed }), &rules, at("2026-11-21T00:00:00Z"))
    };
    assert_eq!(state("2026-11-20T15:00:00Z"), HourState::Settling);
    assert_eq!(state("2026-11-20T16:00:00Z"), HourState::Final);
}

#[test]
fn the_watermark_stops_at_a_hole_and_at_a_provisional_hour() {
    let mut ledger = AccountLedger::default();
    let start = at("2026-11-20T00:00:00Z");
    let now = at("2026-11-20T12:00:00Z");
    let read = |ledger: &mut AccountLedger, from: &str, to: &str, when: &str| {
        ledger.confirm(window(from, to), Tz::UTC, at(when), &BTreeSet::new());
    };
    assert_eq!(advance(start, Tz::UTC, HOUR / 4, &ledger, now), start);
    read(&mut ledger, "2026-11-20T01:00:00Z", "2026-11-20T04:00:00Z", "2026-11-20T04:14:59Z");
    assert_eq!(advance(start, Tz::UTC, HOUR / 4, &ledger, now), start, "the first hour is missing");
    read(&mut ledger, "2026-11-20T00:00:00Z", "2026-11-20T01:00:00Z", "2026-11-20T05:00:00Z");
    assert_eq!(advance(start, Tz::UTC, HOUR / 4, &ledger, now), at("2026-11-20T03:00:00Z"), "03 had not settled");
    read(&mut ledger, "2026-11-20T03:00:00Z", "2026-11-20T04:00:00Z", "2026-11-20T05:00:00Z");
    assert_eq!(advance(start, Tz::UTC, HOUR / 4, &ledger, now), at("2026-11-20T04:00:00Z"));
    assert_eq!(
        advance(start, Tz::UTC, HOUR / 4, &ledger, at("2026-11-20T02:00:00Z")),
        at("2026-11-20T01:00:00Z"),
        "a clock that was set back does not let it pass an hour that is not over"
    );
}

fn any_cell() -> impl Strategy<Value = Option<Cell>> {
    // Few different moments, so that runs form; some before 1970 and some where `changed` is later.
    option::of((-3i64..3, -3i64..3)).prop_map(|pair| {
        let moment = |number: i64| DateTime::from_timestamp(number * 700_000_001, 0).expect("a moment");
        pair.map(|(confirmed, changed)| Cell { confirmed: moment(confirmed), changed: moment(changed) })
    })
}

/// Readings as (first hour, hours, minutes from the last hour's end to the reading), counted from a day in 2026.
fn any_readings() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    vec((0i64..72, 1i64..30, -30i64..90), 0..12)
}

fn record(ledger: &mut AccountLedger, readings: &[(i64, i64, i64)], base: i64, zone: Tz) {
    for (first, count, minutes) in readings {
        let (from, to) = (slot_start(base + first), slot_start(base + first + count));
        let window = Window::new(from, to).expect("a window");
        ledger.confirm(window, zone, to + TimeDelta::minutes(*minutes), &BTreeSet::new());
    }
}

proptest! {
    #[test]
    fn days_survive_encoding(cells in vec(any_cell(), SLOTS)) {
        let mut day = DayLedger::default();
        for (place, cell) in cells.iter().enumerate() {
            if let Some(cell) = cell {
                day.set(place, *cell);
            }
        }
        let bytes = day.encode();
        prop_assert!(bytes.len() <= 1 + SLOTS * 13);
        prop_assert_eq!(DayLedger::decode(&bytes).expect("what was encoded"), day);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..40)) {
        if let Ok(day) = DayLedger::decode(&bytes) {
            prop_assert_eq!(DayLedger::decode(&day.encode()).expect("what was encoded"), day);
        }
    }

    #[test]
    fn the_watermark_only_moves_over_confirmed_hours(
        zone_index in 0..chrono_tz::TZ_VARIANTS.len(),
        readings in any_readings(),
        more in any_readings(),
        start in 0i64..48,
        settle in 0u64..60,
        minutes in 0i64..6000,
    ) {
        let zone = chrono_tz::TZ_VARIANTS[zone_index];
        let settle = Duration::from_secs(settle * 60);
        let base = slot(at("2026-03-28T00:00:00Z"));
        let watermark = slot_start(base + start);
        let now = slot_start(base) + TimeDelta::minutes(minutes);
        let mut ledger = AccountLedger::default();
        record(&mut ledger, &readings, base, zone);

        let reached = advance(watermark, zone, settle, &ledger, now);
        prop_assert!(reached >= watermark);
        prop_assert_eq!(advance(reached, zone, settle, &ledger, now), reached);
        if let Some(passed) = Window::new(watermark, reached) {
            prop_assert!(reached <= now);
            for hour in hours_in(passed, zone) {
                let confirmed = ledger.confirmed(slot(hour)).expect("a confirmed hour");
                prop_assert!(confirmed >= later(next_hour(hour, zone), settle));
            }
        }

        record(&mut ledger, &more, base, zone);
        prop_assert!(advance(watermark, zone, settle, &ledger, now) >= reached);
        prop_assert!(advance(watermark, zone, settle, &ledger, now + TimeDelta::hours(7)) >= reached);
    }
}
