//! What is due today, where today is another date than in UTC: 14 hours ahead, and 11 behind.

use super::*;

const AHEAD: &str = "Pacific/Kiritimati";
const BEHIND: &str = "Pacific/Pago_Pago";

/// The windows due at `now` in whole days of the account's clock, for an account that began two days before.
fn due(zone: &str, now: &str, settle: &str) -> Vec<(String, usize)> {
    let pipeline = pipeline(&["window.align=account_day", "window.size=1", &format!("window.settle=\"{settle}\"")]);
    let now = at(now);
    let histories = vec![History::new(account("1", zone), now - Duration::days(2))];
    let plan = plan_for(&pipeline, &histories, Ask::Due, now);
    let zone = histories[0].account.time_zone;
    let shown = |unit: &Unit| {
        let dates = (date_at(unit.window.from(), zone), date_at(unit.window.to() - Duration::seconds(1), zone));
        assert_eq!((day(dates.0, zone).from(), day(dates.1, zone).to()), (unit.window.from(), unit.window.to()));
        assert_eq!(dates.0, dates.1, "one day");
        let hours = hours_in(unit.window, zone).filter(|hour| next_hour(*hour, zone) <= now).count();
        (dates.0.to_string(), hours)
    };
    plan.units.iter().map(shown).collect()
}

#[test]
fn the_day_that_has_begun_on_the_account_s_clock_is_due() {
    // Noon in UTC is two in the morning of the next day there, and one in the morning of the same day here.
    let ahead = due(AHEAD, "2026-11-20T12:20:00Z", "0s");
    assert_eq!(ahead[..2], [("2026-11-21".to_owned(), 2), ("2026-11-20".to_owned(), 24)]);
    let behind = due(BEHIND, "2026-11-20T12:20:00Z", "0s");
    assert_eq!(behind[..2], [("2026-11-20".to_owned(), 1), ("2026-11-19".to_owned(), 24)]);
    // And the other way round where UTC's day has just begun.
    let ahead = due(AHEAD, "2026-11-20T00:20:00Z", "0s");
    assert_eq!(ahead[..2], [("2026-11-20".to_owned(), 14), ("2026-11-19".to_owned(), 24)]);
    let behind = due(BEHIND, "2026-11-20T00:20:00Z", "0s");
    assert_eq!(behind[..2], [("2026-11-19".to_owned(), 13), ("2026-11-18".to_owned(), 24)]);
}

#[test]
fn a_day_is_due_as_soon_as_its_first_hour_has_settled_and_no_sooner() {
    for (zone, midnight) in [(AHEAD, "2026-11-20T10:00:00Z"), (BEHIND, "2026-11-20T11:00:00Z")] {
        let began = at(midnight);
        let newest = |minutes: i64| {
            let now = began + Duration::minutes(minutes);
            due(zone, &now.to_rfc3339(), "30m")[0].0.clone()
        };
        let today = date_at(began, zone.parse().expect("a zone"));
        assert_eq!(newest(89), today.pred_opt().expect("a date").to_string(), "{zone}");
        assert_eq!(newest(90), today.to_string(), "{zone}");
    }
}

#[test]
fn a_backfill_of_today_ends_now_on_the_account_s_clock() {
    let pipeline = pipeline(&["window.settle=\"0s\""]);
    let now = at("2026-11-20T12:00:00Z");
    for (zone, today, hours) in [(AHEAD, "2026-11-21", 2), (BEHIND, "2026-11-20", 1)] {
        let histories = vec![History::new(account("1", zone), now)];
        let next = date(today).succ_opt().expect("a date");
        let whole = Ask::Backfill { from: date(today), to: next, again: false };
        assert_eq!(plan_for(&pipeline, &histories, whole, now).hours, hours, "{zone}");
        let tomorrow = Ask::Backfill { from: next, to: next.succ_opt().expect("a date"), again: false };
        assert_eq!(plan_for(&pipeline, &histories, tomorrow, now), Plan::default(), "{zone}");
    }
}
