//! Plans over invented histories: what is asked for, what is not, and that nothing is ever forgotten.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Duration, NaiveDate};
use proptest::prelude::*;

use super::*;
use std::sync::Arc;

use chrono_tz::Tz;

use crate::ledger::Reading;
use crate::pipeline::{Override, SharedQuotas, parse};
use crate::refresh::{Learned, grid_zone};
use crate::time::{date_at, hours_in, next_hour};

mod today;

const DEMO: &str = include_str!("../../pipelines/demo.toml");

fn pipeline(changes: &[&str]) -> Pipeline {
    let overrides: Vec<Override> = changes.iter().map(|text| Override::parse(text).expect("a change")).collect();
    parse("demo.toml", DEMO, &overrides, &SharedQuotas::default()).expect("a pipeline")
}

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn account(id: &str, zone: &str) -> Account {
    Account {
        id: id.into(),
        name: String::new(),
        time_zone: zone.parse().expect("a zone"),
        currency: "EUR".into(),
        parent: String::new(),
    }
}

/// An account's history as a run and the state would keep it.
struct History {
    account: Account,
    started: Instant,
    watermark: Instant,
    ledger: AccountLedger,
}

impl History {
    fn new(account: Account, started: Instant) -> History {
        History { account, started, watermark: started, ledger: AccountLedger::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { account: &self.account, started: self.started, watermark: self.watermark, ledger: &self.ledger }
    }
}

fn plan_for(pipeline: &Pipeline, histories: &[History], ask: Ask, now: Instant) -> Plan {
    let subjects: Vec<Subject<'_>> = histories.iter().map(History::subject).collect();
    plan(&Refresh::new(Arc::new(pipeline.clone()), &Learned::default()), &subjects, ask, now)
}

/// Does what a run does with a plan: confirms the hours of each unit's window that are over.
fn carry_out(pipeline: &Pipeline, histories: &mut [History], plan: &Plan, now: Instant) {
    for unit in &plan.units {
        for account in &unit.accounts {
            let history = histories.iter_mut().find(|history| history.account.id == account.id).expect("known");
            let zone = grid_zone(pipeline, account);
            let closed = hours_in(unit.window, zone).map(|hour| next_hour(hour, zone)).take_while(|end| *end <= now);
            let Some(to) = closed.last() else { continue };
            let Some(window) = Window::new(unit.window.from(), to) else { continue };
            let none = BTreeSet::new();
            history.ledger.confirm(&Reading { window, zone, at: now, changed: &none, empty: &none });
        }
    }
    for history in histories {
        let zone = grid_zone(pipeline, &history.account);
        let settle = pipeline.window.settle;
        history.watermark = crate::ledger::advance(history.watermark, zone, settle, &history.ledger, now);
    }
}

/// How often each (account, hour) is in a plan.
fn asked(pipeline: &Pipeline, plan: &Plan) -> BTreeMap<(String, Instant), u32> {
    let mut counts = BTreeMap::new();
    for unit in &plan.units {
        for account in &unit.accounts {
            for hour in hours_in(unit.window, grid_zone(pipeline, account)) {
                *counts.entry((account.id.clone(), hour)).or_default() += 1;
            }
        }
    }
    counts
}

#[test]
fn a_first_run_asks_for_every_hour_once_newest_first() {
    let pipeline = pipeline(&["window.settle=\"0s\""]);
    let now = at("2026-11-20T12:20:00Z");
    let started = at("2026-11-18T00:00:00Z");
    let zones = ["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia", "UTC"];
    let histories: Vec<History> =
        zones.iter().enumerate().map(|(n, zone)| History::new(account(&n.to_string(), zone), started)).collect();
    let plan = plan_for(&pipeline, &histories, Ask::Due, now);
    let counts = asked(&pipeline, &plan);
    assert!(counts.values().all(|count| *count == 1));
    let of = |id: &str| counts.keys().filter(|(account, _)| account == id).count();
    // From midnight two days ago to the last full hour; India's hours begin and end at half past.
    assert_eq!((of("0"), of("1"), of("2"), of("3")), (60, 59, 60, 60));
    assert_eq!(plan.hours, 239);
    let ends: Vec<Instant> = plan.units.iter().map(|unit| unit.window.to()).collect();
    assert!(ends.is_sorted_by(|one, other| one >= other), "{ends:?}");
    assert!(plan.units.iter().all(|unit| unit.lane == Lane::Hourly));
    // Accounts whose hours begin together share requests; the half-hour zone has its own.
    assert_eq!(plan.units.len(), 6);
}

#[test]
fn a_batch_never_exceeds_its_size_and_never_mixes_clocks() {
    let text = ["request.accounts_per_request=2", "request.time.zone=account", "request.time.format=naive"];
    let pipeline = pipeline(&text);
    let started = at("2026-11-20T00:00:00Z");
    let zones = ["Europe/Berlin", "Europe/Paris", "Europe/Berlin", "Europe/Berlin", "Europe/Paris"];
    let histories: Vec<History> =
        zones.iter().enumerate().map(|(n, zone)| History::new(account(&n.to_string(), zone), started)).collect();
    let plan = plan_for(&pipeline, &histories, Ask::Due, at("2026-11-20T23:50:00Z"));
    assert!(!plan.units.is_empty());
    for unit in &plan.units {
        assert!(unit.accounts.len() <= 2);
        let clocks: BTreeSet<&str> = unit.accounts.iter().map(|account| account.time_zone.name()).collect();
        assert_eq!(clocks.len(), 1, "{unit}");
    }
}

#[test]
fn nothing_is_due_right_after_a_run() {
    for align in ["hour", "account_day", "utc_day"] {
        let pipeline = pipeline(&[&format!("window.align={align}"), "window.size=1", "window.lookback=\"0s\""]);
        let now = at("2026-11-20T12:20:00Z");
        let mut histories = vec![History::new(account("1", "America/New_York"), at("2026-11-10T00:00:00Z"))];
        let first = plan_for(&pipeline, &histories, Ask::Due, now);
        carry_out(&pipeline, &mut histories, &first, now);
        assert_eq!(plan_for(&pipeline, &histories, Ask::Due, now), Plan::default(), "{align}");
    }
}

#[test]
fn a_backfill_asks_for_the_dates_of_the_accounts_clock() {
    let pipeline = pipeline(&[]);
    let histories = vec![History::new(account("1", "Europe/Berlin"), at("2026-11-18T00:00:00Z"))];
    let ask = Ask::Backfill { from: date("2026-10-25"), to: date("2026-10-26"), again: false };
    let plan = plan_for(&pipeline, &histories, ask, at("2026-11-20T12:00:00Z"));
    let hours: Vec<Instant> = asked(&pipeline, &plan).into_keys().map(|(_, hour)| hour).collect();
    assert_eq!(hours.len(), 25);
    assert_eq!((hours[0], hours[24]), (at("2026-10-24T22:00:00Z"), at("2026-10-25T22:00:00Z")));
    assert!(plan.units.iter().all(|unit| unit.lane == Lane::Backfill));
}

#[test]
fn a_backfill_leaves_out_what_was_read_unless_it_is_asked_again() {
    let pipeline = pipeline(&[]);
    let now = at("2026-11-20T12:00:00Z");
    let mut histories = vec![History::new(account("1", "UTC"), at("2026-11-18T00:00:00Z"))];
    let ask = |again| Ask::Backfill { from: date("2026-11-01"), to: date("2026-11-03"), again };
    let first = plan_for(&pipeline, &histories, ask(false), now);
    assert_eq!(first.hours, 48);
    carry_out(&pipeline, &mut histories, &first, now);
    assert_eq!(histories[0].watermark, at("2026-11-18T00:00:00Z"), "a backfill never moves the watermark");
    assert_eq!(plan_for(&pipeline, &histories, ask(false), now).hours, 0);
    let again = plan_for(&pipeline, &histories, ask(true), now);
    assert_eq!(again.hours, 48);
    let keys = |plan: &Plan| plan.units.iter().map(|unit| unit.key.clone()).collect::<BTreeSet<_>>();
    assert!(keys(&first).is_disjoint(&keys(&again)), "a re-fetch is a new unit with a new idempotency key");
}

#[test]
fn what_the_platform_no_longer_answers_is_counted_and_not_asked_for() {
    let pipeline = pipeline(&["window.retention=\"8d\"", "window.refresh=[\"1d\"]"]);
    let histories = vec![History::new(account("1", "UTC"), at("2026-11-18T00:00:00Z"))];
    let ask = Ask::Backfill { from: date("2026-11-10"), to: date("2026-11-14"), again: false };
    let plan = plan_for(&pipeline, &histories, ask, at("2026-11-20T12:00:00Z"));
    assert_eq!((plan.hours, plan.beyond_retention), (36, 60));
}

#[test]
fn keys_stay_the_same_until_the_hours_are_recorded() {
    let pipeline = pipeline(&[]);
    let histories = vec![History::new(account("1", "UTC"), at("2026-11-19T00:00:00Z"))];
    let one = plan_for(&pipeline, &histories, Ask::Due, at("2026-11-20T12:40:00Z"));
    let other = plan_for(&pipeline, &histories, Ask::Due, at("2026-11-20T12:41:00Z"));
    assert_eq!(one, other);
}

#[test]
fn marks_that_passed_in_a_month_without_runs_are_caught_up_on() {
    let pipeline = pipeline(&[]);
    let now = at("2026-11-20T12:00:00Z");
    let mut histories = vec![History::new(account("1", "UTC"), at("2026-11-19T00:00:00Z"))];
    let first = plan_for(&pipeline, &histories, Ask::Due, now);
    carry_out(&pipeline, &mut histories, &first, now);
    let counts = asked(&pipeline, &plan_for(&pipeline, &histories, Ask::Due, at("2026-12-20T12:00:00Z")));
    let read_before = counts.keys().filter(|(_, hour)| *hour < at("2026-11-20T11:00:00Z")).count();
    assert_eq!(read_before, 35, "each of the hours that were read a month ago has marks to come");
}

/// When the block of hours ends that are read again together: as many hours as fit into a request and divide a day.
fn block_end(hour: Instant, size: u32) -> Instant {
    let length = [24, 12, 8, 6, 4, 3, 2, 1].into_iter().find(|length| *length <= i64::from(size)).expect("one");
    crate::time::slot_start((slot(hour).div_euclid(length) + 1) * length)
}

/// One hour after the other, as the scheduler does it: the new hour and those that came to an age of an hour and of three
/// share a request, older ones are read again by whole blocks, and nothing is read more often than its marks say.
#[test]
fn a_day_of_hourly_runs_needs_few_requests() {
    let pipeline = pipeline(&[]);
    let mut now = at("2026-10-01T00:35:00Z");
    let mut histories = vec![History::new(account("1", "Europe/Berlin"), at("2026-09-30T00:00:00Z"))];
    let (mut requests, mut hours, mut again) = (0, 0, BTreeMap::new());
    for run in 0..40 * 24 {
        let plan = plan_for(&pipeline, &histories, Ask::Due, now);
        if run >= 35 * 24 {
            requests += plan.units.len();
            hours += plan.hours;
        }
        for key in asked(&pipeline, &plan).into_keys() {
            *again.entry(key).or_insert(0) += 1;
        }
        carry_out(&pipeline, &mut histories, &plan, now);
        now += Duration::hours(1);
    }
    // Five days: each hour three times at its own ages, and four times with its day.
    assert_eq!(hours, 5 * (24 * 3 + 24 * 4));
    assert_eq!(requests, 5 * (24 + 4));
    let day = Window::new(at("2026-10-05T00:00:00Z"), at("2026-10-06T00:00:00Z")).expect("a day");
    for (key, times) in again.into_iter().filter(|((_, hour), _)| day.contains(*hour)) {
        // The hour between those of one and of three hours is read along.
        assert_eq!(times, 8, "{key:?}");
    }
}

#[test]
fn new_hours_go_before_those_that_may_have_moved() {
    let pipeline = pipeline(&["window.size=6"]);
    let mut histories = vec![History::new(account("1", "UTC"), at("2026-11-17T00:00:00Z"))];
    let first = plan_for(&pipeline, &histories, Ask::Due, at("2026-11-19T12:40:00Z"));
    carry_out(&pipeline, &mut histories, &first, at("2026-11-19T12:40:00Z"));
    histories.push(History::new(account("2", "UTC"), at("2026-11-18T00:00:00Z")));
    let plan = plan_for(&pipeline, &histories, Ask::Due, at("2026-11-20T12:40:00Z"));
    let lanes: Vec<Lane> = plan.units.iter().map(|unit| unit.lane).collect();
    assert!(lanes.is_sorted(), "{lanes:?}");
    assert!(lanes.contains(&Lane::Hourly) && lanes.contains(&Lane::Refresh));
    for lane in [Lane::Hourly, Lane::Refresh] {
        let of_lane = plan.units.iter().filter(|unit| unit.lane == lane);
        assert!(of_lane.map(|unit| unit.window.to()).is_sorted_by(|one, other| one >= other));
    }
}

/// Nine hours without a run: what is due is asked for once, not once for each run that was missed.
#[test]
fn a_late_run_reads_nothing_twice() {
    let pipeline = pipeline(&[]);
    let mut histories = vec![History::new(account("1", "UTC"), at("2026-11-10T00:00:00Z"))];
    let mut now = at("2026-11-18T00:35:00Z");
    for _ in 0..48 {
        let plan = plan_for(&pipeline, &histories, Ask::Due, now);
        carry_out(&pipeline, &mut histories, &plan, now);
        now += Duration::hours(1);
    }
    now += Duration::hours(9);
    let plan = plan_for(&pipeline, &histories, Ask::Due, now);
    assert!(asked(&pipeline, &plan).values().all(|times| *times == 1));
    // Ten new hours, and the three before them that were not read at an age of three hours: one request. The days at
    // their marks of one, three and seven days: one each.
    let windows: Vec<String> = plan.units.iter().map(|unit| unit.window.to_string()).collect();
    assert_eq!(plan.units.len(), windows.iter().collect::<BTreeSet<_>>().len());
    carry_out(&pipeline, &mut histories, &plan, now);
    assert_eq!(plan_for(&pipeline, &histories, Ask::Due, now), Plan::default());
}

#[test]
fn exactly_the_hours_that_are_named_are_planned() {
    let pipeline = pipeline(&[]);
    let now = at("2026-11-20T12:40:00Z");
    let mut histories = vec![History::new(account("1", "UTC"), at("2026-11-17T00:00:00Z"))];
    let first = plan_for(&pipeline, &histories, Ask::Due, now);
    carry_out(&pipeline, &mut histories, &first, now);
    histories.push(History::new(account("2", "UTC"), at("2026-11-20T00:00:00Z")));
    let window = |from: &str, to: &str| Window::new(at(from), at(to)).expect("a window");
    let hours = HashMap::from([
        ("1".to_owned(), vec![window("2026-11-18T07:00:00Z", "2026-11-18T08:00:00Z")]),
        ("2".to_owned(), vec![window("2026-11-20T05:00:00Z", "2026-11-20T07:00:00Z")]),
    ]);
    let subjects: Vec<Subject<'_>> = histories.iter().map(History::subject).collect();
    let refresh = Refresh::new(Arc::new(pipeline.clone()), &Learned::default());
    let plan = plan_hours(&refresh, &subjects, &hours, now);
    let units: Vec<String> = plan.units.iter().map(Unit::to_string).collect();
    assert_eq!(
        units,
        ["account 2, 2026-11-20T05:00Z to 2026-11-20T07:00Z", "account 1, 2026-11-18T07:00Z to 2026-11-18T08:00Z"]
    );
    assert!(plan.units.iter().all(|unit| unit.lane == Lane::Repair));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However irregularly the scheduler runs: after each run every hour that is over and settled has been read, and
    /// every hour has been read after each of its refresh marks that has passed.
    #[test]
    fn no_hour_and_no_mark_is_ever_forgotten(
        pauses in prop::collection::vec(1i64..1500, 12),
        zone in prop::sample::select(vec!["Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe", "America/St_Johns"]),
        align in prop::sample::select(vec!["hour", "account_day", "utc_day"]),
        size in 1u32..30,
    ) {
        let size = if align == "hour" { size } else { size % 3 + 1 };
        let changes = [
            format!("window.align={align}"),
            format!("window.size={size}"),
            "window.settle=\"20m\"".to_owned(),
            "window.refresh=[\"1h\", \"3h\", \"1d\", \"3d\"]".to_owned(),
        ];
        let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
        let pipeline = pipeline(&changes);
        let started = at("2026-10-20T00:00:00Z");
        let mut now = at("2026-10-22T07:03:00Z");
        let mut histories = vec![History::new(account("1", zone), started)];
        for pause in pauses {
            now += Duration::minutes(pause);
            let plan = plan_for(&pipeline, &histories, Ask::Due, now);
            carry_out(&pipeline, &mut histories, &plan, now);
            let zone = grid_zone(&pipeline, &histories[0].account);
            for hour in hours_in(Window::new(started, now).expect("a window"), zone) {
                let end = next_hour(hour, zone);
                let settled = end + Duration::minutes(20);
                if settled > now {
                    continue;
                }
                let read = histories[0].ledger.confirmed(slot(hour));
                prop_assert!(read.is_some_and(|at| at >= settled), "{hour} was never read after it settled: {read:?}");
                for mark in [1, 3, 24, 72].map(Duration::hours) {
                    let base = match align {
                        "hour" if mark < Duration::days(1) => end,
                        // The block's last hour ends half an hour later where hours begin at half past.
                        "hour" => block_end(hour, size) + Duration::hours(1),
                        "utc_day" => day(date_at(hour, Tz::UTC), Tz::UTC).to(),
                        _ => day(date_at(hour, histories[0].account.time_zone), histories[0].account.time_zone).to(),
                    };
                    let passed = base + mark <= now;
                    let least = if align == "hour" { end } else { base };
                    prop_assert!(!passed || read.is_some_and(|at| at >= least + mark), "{hour} missed its mark {mark}");
                }
            }
            prop_assert_eq!(plan_for(&pipeline, &histories, Ask::Due, now).units.len(), 0);
        }
    }
}

#[test]
fn accounts_of_one_request_share_what_they_were_found_under_where_it_is_named() {
    let mut pipeline = pipeline(&["request.accounts_per_request=10"]);
    let now = at("2026-11-20T12:40:00Z");
    let under = |id: &str, parent: &str| {
        let account = Account { parent: parent.to_owned(), ..account(id, "UTC") };
        History::new(account, at("2026-11-20T11:00:00Z"))
    };
    let histories = [under("1", "a"), under("2", "b"), under("3", "a")];
    let batches = |pipeline: &Pipeline| -> Vec<Vec<String>> {
        let plan = plan_for(pipeline, &histories, Ask::Due, now);
        let ids = |unit: &Unit| unit.accounts.iter().map(|account| account.id.clone()).collect();
        let mut all: Vec<Vec<String>> = plan.units.iter().map(ids).collect();
        all.sort();
        all
    };
    assert_eq!(batches(&pipeline), [vec!["1", "2", "3"]]);
    let manager = crate::pipeline::HeaderText::Literal("{parent}".to_owned());
    pipeline.api.headers.push(("X-Manager".to_owned(), manager));
    assert_eq!(batches(&pipeline), [vec!["1", "3"], vec!["2"]]);
}
