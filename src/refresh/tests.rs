//! When hours are due, told by examples and, for every rule at once, anew by brute force.

use proptest::prelude::*;

use super::*;
use crate::pipeline::{Override, SharedQuotas, parse};
use crate::time::Window;

const DEMO: &str = include_str!("../../pipelines/demo.toml");
const HOUR: Duration = Duration::from_secs(3600);

fn refresh(changes: &[&str], learned: &Learned) -> Refresh {
    let overrides: Vec<Override> = changes.iter().map(|text| Override::parse(text).expect("a change")).collect();
    let pipeline = parse("demo.toml", DEMO, &overrides, &SharedQuotas::default()).expect("a pipeline");
    Refresh::new(Arc::new(pipeline), learned)
}

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn account(zone: &str) -> Account {
    Account {
        id: "1".into(),
        name: String::new(),
        time_zone: zone.parse().expect("a zone"),
        currency: "EUR".into(),
        parent: String::new(),
    }
}

fn hour(refresh: &Refresh, zone: &str, begin: &str) -> Hour {
    let day = crate::ledger::day_of(slot(at(begin)));
    let hours = Grid::default().day(refresh.pipeline(), &account(zone), day);
    *hours.iter().find(|hour| hour.begin == at(begin)).expect("an hour begins then")
}

fn read_at(moment: &str) -> Cell {
    let at = at(moment);
    Cell { first: at, confirmed: at, changed: at, found: Found::Rows }
}

fn due(refresh: &Refresh, hour: &Hour, cell: Option<&Cell>) -> Option<(Instant, Reason)> {
    refresh.next_due("1", hour, cell, at("2026-11-20T09:00:00Z")).map(|due| (due.at, due.reason))
}

#[test]
fn an_hour_goes_from_mark_to_mark() {
    let refresh = refresh(&[], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    let due = |read: &str| due(&refresh, &nine, Some(&read_at(read)));
    let mark = |hours: u32| Reason::Mark(HOUR * hours);
    assert_eq!(super::tests::due(&refresh, &nine, None), Some((at("2026-11-20T10:30:00Z"), Reason::New)));
    assert_eq!(due("2026-11-20T10:29:59Z"), Some((at("2026-11-20T10:30:00Z"), Reason::Unsettled)));
    assert_eq!(due("2026-11-20T10:30:00Z"), Some((at("2026-11-20T11:00:00Z"), mark(1))));
    assert_eq!(due("2026-11-20T11:00:00Z"), Some((at("2026-11-20T13:00:00Z"), mark(3))));
    // From a day on, ages count from the end of the block of 24 hours.
    assert_eq!(due("2026-11-20T13:00:00Z"), Some((at("2026-11-22T00:00:00Z"), mark(24))));
    assert_eq!(due("2026-11-22T00:00:00Z"), Some((at("2026-11-24T00:00:00Z"), mark(72))));
    assert_eq!(due("2026-12-18T23:59:59Z"), Some((at("2026-12-19T00:00:00Z"), mark(672))));
    assert_eq!(due("2026-12-19T00:00:00Z"), None);
    // Several that passed at once are kept by one reading.
    assert_eq!(due("2026-11-25T00:00:00Z"), Some((at("2026-11-28T00:00:00Z"), mark(168))));
}

#[test]
fn blocks_are_as_long_as_a_request() {
    let after = |size: u32, zone: &str, begin: &str| {
        let refresh = refresh(&[&format!("window.size={size}")], &Learned::default());
        hour(&refresh, zone, begin).block_end
    };
    assert_eq!(after(1, "UTC", "2026-11-20T09:00:00Z"), at("2026-11-20T10:00:00Z"));
    assert_eq!(after(7, "UTC", "2026-11-20T09:00:00Z"), at("2026-11-20T12:00:00Z"));
    assert_eq!(after(168, "UTC", "2026-11-20T09:00:00Z"), at("2026-11-21T00:00:00Z"));
    assert_eq!(after(24, "Asia/Kolkata", "2026-11-20T09:30:00Z"), at("2026-11-21T00:30:00Z"));
}

#[test]
fn states_follow_from_the_last_reading() {
    let refresh = refresh(&["window.refresh=[\"1h\", \"3h\"]"], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    let now = at("2026-11-20T20:00:00Z");
    let state = |read: &str| refresh.state("1", &nine, Some(&read_at(read)), now);
    assert_eq!(refresh.state("1", &nine, None, now), HourState::Missing);
    assert_eq!(refresh.state("1", &nine, None, at("2026-11-20T10:00:00Z")), HourState::Missing);
    assert_eq!(refresh.state("1", &nine, None, at("2026-11-20T09:59:59Z")), HourState::Provisional);
    assert_eq!(state("2026-11-20T10:29:59Z"), HourState::Provisional);
    assert_eq!(state("2026-11-20T10:30:00Z"), HourState::Settling);
    assert_eq!(state("2026-11-20T12:59:59Z"), HourState::Settling);
    assert_eq!(state("2026-11-20T13:00:00Z"), HourState::Final);
}

#[test]
fn the_lookback_is_asked_for_in_every_run_and_once_more() {
    let refresh = refresh(&["window.refresh=[]", "window.lookback=\"6h\""], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    let due = |read: &str| due(&refresh, &nine, Some(&read_at(read)));
    assert_eq!(due("2026-11-20T11:00:00Z"), Some((at("2026-11-20T11:00:00Z"), Reason::Lookback)));
    assert_eq!(due("2026-11-20T15:59:59Z"), Some((at("2026-11-20T15:59:59Z"), Reason::Lookback)));
    assert_eq!(due("2026-11-20T16:00:00Z"), None);
}

#[test]
fn what_the_platform_no_longer_answers_is_final() {
    let refresh = refresh(&["window.retention=\"8d\"", "window.refresh=[\"1h\", \"8d\"]"], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    assert_eq!(due(&refresh, &nine, Some(&read_at("2026-11-20T11:00:00Z"))), None, "its day is too old at eight days");
}

#[test]
fn marks_that_nobody_kept_for_a_month_are_given_up() {
    let refresh = refresh(&[], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    let cell = read_at("2026-11-20T13:00:00Z");
    let later = |now: &str| refresh.next_due("1", &nine, Some(&cell), at(now)).map(|due| due.reason);
    assert_eq!(later("2026-12-22T00:00:00Z"), Some(Reason::Mark(HOUR * 24)));
    assert_eq!(later("2026-12-24T00:00:01Z"), Some(Reason::Mark(HOUR * 72)));
    assert_eq!(later("2027-01-18T23:00:00Z"), Some(Reason::Mark(HOUR * 672)));
    assert_eq!(later("2027-01-19T00:00:00Z"), None);
}

#[test]
fn accounts_can_have_ages_of_their_own() {
    let refresh = refresh(&["window.account_refresh={ 1 = [\"2h\"] }"], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    let cell = read_at("2026-11-20T11:00:00Z");
    assert_eq!(due(&refresh, &nine, Some(&cell)), Some((at("2026-11-20T12:00:00Z"), Reason::Mark(HOUR * 2))));
    assert_eq!(due(&refresh, &nine, Some(&read_at("2026-11-20T12:00:00Z"))), None);
    let other = refresh.next_due("2", &nine, Some(&cell), at("2026-11-20T12:00:00Z")).expect("due");
    assert_eq!(other.reason, Reason::Mark(HOUR * 3));
}

#[test]
fn suspicious_hours_are_read_again_sooner() {
    let refresh = refresh(&[], &Learned::default());
    let nine = hour(&refresh, "UTC", "2026-11-20T09:00:00Z");
    let suspicious = |first: &str, read: &str| Cell { first: at(first), found: Found::Suspicious, ..read_at(read) };
    let due = |cell: Cell| due(&refresh, &nine, Some(&cell));
    let found = |moment: &str| Some((at(moment), Reason::Suspicious));
    assert_eq!(due(suspicious("2026-11-20T13:05:00Z", "2026-11-20T13:05:00Z")), found("2026-11-20T14:05:00Z"));
    assert_eq!(due(suspicious("2026-11-20T13:05:00Z", "2026-11-20T16:05:00Z")), found("2026-11-20T19:05:00Z"));
    // Also an hour of long ago, whose marks have all passed.
    assert_eq!(due(suspicious("2026-12-20T13:05:00Z", "2026-12-20T13:05:00Z")), found("2026-12-20T14:05:00Z"));
    assert_eq!(due(suspicious("2026-12-20T13:05:00Z", "2026-12-27T13:05:00Z")), None, "it was asked for often enough");
}

#[test]
fn quiet_marks_are_kept_for_a_sample() {
    let learned = Learned { quiet: [604_800].into(), added: [1_209_600].into() };
    let full = refresh(&["window.learn=true"], &learned);
    let ages: Vec<u64> = full.marks("1").iter().map(|mark| mark.age.as_secs() / 3600).collect();
    assert_eq!(ages, [1, 3, 24, 72, 168, 336, 672]);
    let plain = refresh(&[], &learned);
    assert_eq!(plain.marks("1").len(), 6, "only who says so learns");
    assert_ne!(full.fingerprint(), plain.fingerprint());
    let nine = hour(&full, "UTC", "2026-11-20T09:00:00Z");
    let cell = read_at("2026-11-24T00:00:00Z");
    let mut sampled = 0;
    for number in 0..1600 {
        let due = full.next_due(&number.to_string(), &nine, Some(&cell), at("2026-11-25T00:00:00Z")).expect("due");
        sampled += u32::from(due.reason == Reason::Mark(HOUR * 168));
    }
    assert!((60..140).contains(&sampled), "{sampled} of 1600");
}

proptest! {
    /// The hours of all days of a stretch are the hours of the stretch, and each lies in what is asked for with it.
    #[test]
    fn every_hour_has_one_place(
        zone in prop::sample::select(vec!["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Pacific/Apia"]),
        align in prop::sample::select(vec!["hour", "account_day", "utc_day"]),
        first in 20_500i64..20_900,
    ) {
        let refresh = refresh(&[&format!("window.align={align}"), "window.size=2"], &Learned::default());
        let account = account(zone);
        let mut grid = Grid::default();
        let mut found = Vec::new();
        for day in first..first + 4 {
            found.extend(grid.day(refresh.pipeline(), &account, day).iter().copied());
        }
        let whole = Window::new(slot_start(first * 24), slot_start((first + 4) * 24)).expect("days");
        let expected: Vec<Instant> = crate::time::hours_in(whole, account.time_zone).collect();
        prop_assert_eq!(found.iter().map(|hour| hour.begin).collect::<Vec<Instant>>(), expected);
        for pair in found.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].begin);
            prop_assert!(pair[0].block <= pair[1].block && pair[0].block_end <= pair[1].block_end);
            prop_assert!(pair[0].piece <= pair[1].piece);
        }
        for hour in &found {
            prop_assert!(hour.ask.from() <= hour.begin && hour.begin < hour.ask.to());
            // The hour of a half-hour zone that holds midnight in UTC belongs to the day in which it begins.
            prop_assert!(hour.block_end >= hour.end || align == "utc_day");
        }
    }

    /// A reading at the moment at which an hour is due makes it due later, or final: nothing is asked for for ever.
    #[test]
    fn a_reading_moves_on(
        zone in prop::sample::select(vec!["UTC", "Asia/Kathmandu", "America/New_York"]),
        align in prop::sample::select(vec!["hour", "account_day"]),
        place in 0usize..23,
        late in prop::collection::vec(0i64..200_000, 40),
        suspicious in any::<bool>(),
    ) {
        let refresh = refresh(&[&format!("window.align={align}"), "window.size=3"], &Learned::default());
        let hours = Grid::default().day(refresh.pipeline(), &account(zone), 20_777);
        let hour = hours[place];
        let mut cell: Option<Cell> = None;
        let mut readings = 0;
        for late in late {
            let now = cell.map_or(hour.end, |cell| cell.confirmed);
            let Some(due) = refresh.next_due("1", &hour, cell.as_ref(), now) else { break };
            let read = due.at + TimeDelta::seconds(late);
            prop_assert!(read >= now);
            let found = if suspicious { Found::Suspicious } else { Found::Rows };
            let first = cell.map_or(read, |cell| cell.first);
            cell = Some(Cell { first, confirmed: read, changed: first, found });
            readings += 1;
        }
        let most = if suspicious { 15 } else { 7 };
        prop_assert!(readings <= most, "{}", readings);
        prop_assert!(refresh.next_due("1", &hour, cell.as_ref(), cell.expect("read").confirmed).is_none());
    }
}
