use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::time::{Window, hours_in, slot_start};

const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn window(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).expect("a window")
}

fn confirm(ledger: &mut AccountLedger, window: Window, zone: Tz, at: Instant, changed: &[i64], empty: &[i64]) {
    let (changed, empty) = (changed.iter().copied().collect(), empty.iter().copied().collect());
    ledger.confirm(&Reading { window, zone, at, changed: &changed, empty: &empty });
}

/// A cell with rows.
fn cell(first: Instant, confirmed: Instant, changed: Instant) -> Cell {
    Cell { first, confirmed, changed, found: Found::Rows }
}

fn uniform_day() -> DayLedger {
    let mut ledger = AccountLedger::default();
    let whole = window("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    confirm(&mut ledger, whole, Tz::UTC, at("2026-11-21T00:20:00Z"), &[], &[]);
    let (day, ledger) = ledger.days().next().expect("one day");
    assert_eq!(day, 20_777);
    ledger.clone()
}

#[test]
fn a_day_read_at_once_is_nine_bytes() {
    let day = uniform_day();
    assert_eq!(day.cells().count(), 24);
    let bytes = day.encode();
    assert_eq!(bytes.len(), 9, "{bytes:?}");
    assert_eq!(DayLedger::decode(&bytes).expect("a day"), day);
    assert_eq!(DayLedger::default().encode(), [2, 23 << 3]);
}

#[test]
fn damaged_days_are_refused() {
    let bytes = uniform_day().encode();
    let mut newer = bytes.clone();
    newer[0] = 9;
    assert_eq!(
        DayLedger::decode(&newer).expect_err("newer").report(),
        "a ledger day has version 9, expected 2\n  hint: use the hourmark that wrote it, or a newer one"
    );
    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes[1..]);
    for wrong in [
        &[][..],
        &[1],
        &bytes[..bytes.len() - 1],
        &twice,
        &[1, 23 << 2 | 3],
        &[1, 22 << 2],
        &[2, 23 << 3 | 4],
        &[2, 22 << 3],
    ] {
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
    confirm(&mut ledger, morning, Tz::UTC, at("2026-11-20T10:20:00.9Z"), &[], &[]);
    let first = at("2026-11-20T10:20:00Z");
    assert_eq!(ledger.cell(nine), Some(cell(first, first, first)));
    confirm(&mut ledger, morning, Tz::UTC, at("2026-11-20T13:00:00Z"), &[nine], &[]);
    confirm(&mut ledger, morning, Tz::UTC, at("2026-11-20T12:00:00Z"), &[], &[]);
    let second = at("2026-11-20T13:00:00Z");
    assert_eq!(ledger.cell(nine), Some(cell(first, second, second)));
    assert_eq!(ledger.cell(nine - 1), Some(cell(first, second, first)));
    assert_eq!(ledger.cell(nine + 1), None);
}

#[test]
fn hours_of_half_hour_zones_have_their_own_cells() {
    let mut ledger = AccountLedger::default();
    let kolkata: Tz = "Asia/Kolkata".parse().expect("a zone");
    let day = window("2026-11-19T18:30:00Z", "2026-11-20T18:30:00Z");
    confirm(&mut ledger, day, kolkata, at("2026-11-21T00:00:00Z"), &[], &[]);
    let known: usize = ledger.days().map(|(_, day)| day.cells().count()).sum();
    assert_eq!(known, 24);
    assert_eq!(ledger.confirmed(slot(at("2026-11-19T18:30:00Z"))), Some(at("2026-11-21T00:00:00Z")));
    assert_eq!(ledger.confirmed(slot(at("2026-11-20T18:30:00Z"))), None);
}

#[test]
fn the_watermark_stops_at_a_hole_and_at_a_provisional_hour() {
    let mut ledger = AccountLedger::default();
    let start = at("2026-11-20T00:00:00Z");
    let now = at("2026-11-20T12:00:00Z");
    let read = |ledger: &mut AccountLedger, from: &str, to: &str, when: &str| {
        confirm(ledger, window(from, to), Tz::UTC, at(when), &[], &[]);
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
    let found = prop::sample::select(vec![Found::Rows, Found::Nothing, Found::Suspicious]);
    option::of((-3i64..3, -3i64..3, -3i64..3, found)).prop_map(|all| {
        let moment = |number: i64| DateTime::from_timestamp(number * 700_000_001, 0).expect("a moment");
        all.map(|(first, confirmed, changed, found)| Cell {
            first: moment(first),
            confirmed: moment(confirmed),
            changed: moment(changed),
            found,
        })
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
        confirm(ledger, window, zone, to + TimeDelta::minutes(*minutes), &[], &[]);
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
        prop_assert!(bytes.len() <= 1 + SLOTS * 19);
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

/// What version 1 wrote: a day that was read at once, and one with a hole and a change.
#[test]
fn days_of_the_first_version_are_read() {
    let read = at("2026-11-21T00:20:00Z");
    // 1795220400 seconds, zigzag, base 128.
    let number = |seconds: i64| {
        let mut left = (seconds << 1) as u64;
        let mut bytes = Vec::new();
        while left >= 0x80 {
            bytes.push((left as u8 & 0x7f) | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes
    };
    let mut bytes = vec![1, 9 << 2 | 1];
    bytes.extend(number(read.timestamp()));
    bytes.extend([3 << 2, 9 << 2 | 2]);
    bytes.extend(number(read.timestamp()));
    bytes.extend(number(600));
    let day = DayLedger::decode(&bytes).expect("a day");
    let changed = at("2026-11-21T00:10:00Z");
    assert_eq!((day.get(9), day.get(10), day.get(13)), (Some(cell(read, read, read)), None, None));
    assert_eq!(day.get(14), Some(cell(changed, read, changed)));
}

#[test]
fn an_empty_hour_is_suspicious_where_the_week_before_says_otherwise() {
    let mut ledger = AccountLedger::default();
    let read = at("2026-11-21T00:20:00Z");
    let week = window("2026-11-14T00:00:00Z", "2026-11-20T10:00:00Z");
    let asleep: Vec<i64> = (14..20).map(|day| slot(at(&format!("2026-11-{day}T04:00:00Z")))).collect();
    confirm(&mut ledger, week, Tz::UTC, read, &[], &asleep);
    let found = |ledger: &AccountLedger, hour: &str| ledger.cell(slot(at(hour))).expect("read").found;
    assert_eq!(found(&ledger, "2026-11-19T04:00:00Z"), Found::Nothing, "it is always empty at four");
    let day = window("2026-11-20T10:00:00Z", "2026-11-20T12:00:00Z");
    let ten = slot(at("2026-11-20T10:00:00Z"));
    confirm(&mut ledger, day, Tz::UTC, read, &[], &[ten]);
    assert_eq!(found(&ledger, "2026-11-20T10:00:00Z"), Found::Suspicious);
    assert_eq!(found(&ledger, "2026-11-20T11:00:00Z"), Found::Rows);
    confirm(&mut ledger, day, Tz::UTC, at("2026-11-21T01:00:00Z"), &[ten], &[]);
    assert_eq!(found(&ledger, "2026-11-20T10:00:00Z"), Found::Rows, "it came late");

    // Of an account that is seldom seen at all nothing follows.
    let mut sparse = AccountLedger::default();
    let quiet: Vec<i64> = (0..154).filter(|hour| hour % 24 != 10).map(|hour| slot(week.from()) + hour).collect();
    confirm(&mut sparse, week, Tz::UTC, read, &[], &quiet);
    confirm(&mut sparse, day, Tz::UTC, read, &[], &[ten]);
    assert_eq!(found(&sparse, "2026-11-20T10:00:00Z"), Found::Nothing);
}

#[test]
fn final_days_become_one_stretch_and_holes_stay() {
    let mut ledger = AccountLedger::default();
    let read = at("2026-11-21T00:20:00Z");
    let late = at("2026-11-22T00:20:00Z");
    confirm(&mut ledger, window("2026-01-01T05:00:00Z", "2026-02-01T00:00:00Z"), Tz::UTC, read, &[], &[]);
    confirm(&mut ledger, window("2026-02-01T03:00:00Z", "2026-03-01T00:00:00Z"), Tz::UTC, late, &[], &[]);
    let before: Vec<Option<Cell>> =
        (0..60 * 24).map(|hour| ledger.cell(slot(at("2026-01-01T00:00:00Z")) + hour)).collect();
    let days: Vec<i64> = ledger.days().map(|(day, _)| day).collect();
    for day in days {
        assert!(ledger.fold(day, Tz::UTC, |_, _| true));
    }
    assert_eq!(ledger.days().count(), 0);
    let stretches: Vec<(i64, i64)> = ledger.finals().map(|stretch| (stretch.from, stretch.to)).collect();
    let slot_of = |text: &str| slot(at(text));
    assert_eq!(
        stretches,
        [
            (slot_of("2026-01-01T05:00:00Z"), slot_of("2026-02-01T00:00:00Z")),
            (slot_of("2026-02-01T03:00:00Z"), slot_of("2026-03-01T00:00:00Z"))
        ]
    );
    for (hour, before) in before.into_iter().enumerate() {
        let now = ledger.cell(slot(at("2026-01-01T00:00:00Z")) + hour as i64);
        assert_eq!(now.is_some(), before.is_some(), "hour {hour}");
        if let (Some(now), Some(before)) = (now, before) {
            assert!(now.confirmed <= before.confirmed, "never later than it was");
        }
    }
    // The hole is filled: one stretch. Reading a final hour again is kept beside it until it is folded too.
    confirm(&mut ledger, window("2026-02-01T00:00:00Z", "2026-02-01T03:00:00Z"), Tz::UTC, late, &[], &[]);
    let again = at("2026-11-23T00:20:00Z");
    confirm(&mut ledger, window("2026-02-01T08:00:00Z", "2026-02-01T09:00:00Z"), Tz::UTC, again, &[], &[]);
    assert_eq!(ledger.confirmed(slot_of("2026-02-01T08:00:00Z")), Some(again));
    assert!(!ledger.fold(day_of(slot_of("2026-02-01T08:00:00Z")), Tz::UTC, |_, cell| cell.confirmed < again));
    assert!(ledger.fold(day_of(slot_of("2026-02-01T08:00:00Z")), Tz::UTC, |_, _| true));
    let only: Vec<&FinalStretch> = ledger.finals().collect();
    assert_eq!((only.len(), only[0].to - only[0].from), (1, 59 * 24 - 5));
    assert_eq!((only[0].confirmed_by, only[0].first_by), (again, late));

    ledger.unfold_from(slot_of("2026-02-20T12:00:00Z"));
    assert_eq!(ledger.days().count(), 9);
    assert_eq!(ledger.finals().map(|stretch| stretch.to).collect::<Vec<i64>>(), [slot_of("2026-02-20T12:00:00Z")]);
    assert!(ledger.cell(slot_of("2026-02-28T23:00:00Z")).is_some());
}

/// An hour of 90 minutes leaves a UTC hour in which none begins: the stretch goes on over it.
#[test]
fn stretches_go_on_over_clock_shifts_of_half_an_hour() {
    let lord_howe: Tz = "Australia/Lord_Howe".parse().expect("a zone");
    let mut ledger = AccountLedger::default();
    let months = window("2026-03-20T00:00:00Z", "2026-10-20T00:00:00Z");
    confirm(&mut ledger, months, lord_howe, at("2026-12-01T00:00:00Z"), &[], &[]);
    let days: Vec<i64> = ledger.days().map(|(day, _)| day).collect();
    for day in days {
        assert!(ledger.fold(day, lord_howe, |_, _| true));
    }
    assert_eq!(ledger.finals().count(), 1);
}
