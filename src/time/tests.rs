//! Hours and days of single zones; `zones` looks at all of them.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Tz {
    name.parse().expect("a zone")
}

fn starts(date: &str, name: &str) -> Vec<String> {
    let date = date.parse().expect("a date");
    hours_in(day(date, zone(name)), zone(name)).map(|hour| short(hour).to_string()).collect()
}

#[test]
fn half_hour_zones_begin_at_half_past() {
    let hours = starts("2026-11-20", "Asia/Kolkata");
    assert_eq!(hours.len(), 24);
    assert_eq!(hours[0], "2026-11-19T18:30Z");
    assert_eq!(starts("2026-11-20", "Asia/Kathmandu")[0], "2026-11-19T18:15Z");
}

#[test]
fn days_of_23_and_25_hours() {
    assert_eq!(starts("2026-03-29", "Europe/Berlin").len(), 23);
    let autumn = starts("2026-10-25", "Europe/Berlin");
    assert_eq!(autumn.len(), 25);
    assert_eq!(&autumn[..4], ["2026-10-24T22:00Z", "2026-10-24T23:00Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"]);
}

#[test]
fn a_zone_ahead_by_thirteen_hours() {
    assert_eq!(starts("2026-11-20", "Pacific/Apia")[0], "2026-11-19T11:00Z");
    assert_eq!(date_at(at("2026-11-20T11:00:00Z"), zone("Pacific/Apia")).to_string(), "2026-11-21");
}

#[test]
fn lord_howe_shifts_by_half_an_hour() {
    let lord_howe = zone("Australia/Lord_Howe");
    // Autumn: 02:00 (+11) goes back to 01:30 (+10:30) at 15:00Z, so the hour of 01 lasts 90 minutes.
    assert_eq!(hour_at(at("2026-04-04T15:10:00Z"), lord_howe), at("2026-04-04T14:00:00Z"));
    assert_eq!(next_hour(at("2026-04-04T14:00:00Z"), lord_howe), at("2026-04-04T15:30:00Z"));
    // Spring: 02:00 (+10:30) becomes 02:30 (+11) at 15:30Z, so the hour of 02 lasts 30 minutes.
    assert_eq!(next_hour(at("2026-10-03T14:30:00Z"), lord_howe), at("2026-10-03T15:30:00Z"));
    assert_eq!(next_hour(at("2026-10-03T15:30:00Z"), lord_howe), at("2026-10-03T16:00:00Z"));
}

#[test]
fn the_chatham_islands_set_their_clock_at_a_quarter_to() {
    // Autumn: 03:45 (+13:45) goes back to 02:45 (+12:45) at 14:00Z.
    let chatham = zone("Pacific/Chatham");
    let hours: Vec<String> =
        hours_in(Window::new(at("2026-04-04T12:15:00Z"), at("2026-04-04T16:00:00Z")).expect("a window"), chatham)
            .map(|hour| format!("{} {}", short(hour), local(hour, chatham).format("%H:%M")))
            .collect();
    let expected = ["12:15Z 02:00", "13:15Z 03:00", "14:00Z 02:45", "14:15Z 03:00", "15:15Z 04:00"];
    assert_eq!(hours, expected.map(|hour| format!("2026-04-04T{hour}")));
    for hour in ["12:15", "13:15", "14:00", "14:15"] {
        let hour = at(&format!("2026-04-04T{hour}:00Z"));
        assert_eq!(hour_at(next_hour(hour, chatham) - Duration::seconds(1), chatham), hour);
    }
}

#[test]
fn wall_clock_readings_that_come_twice_or_never() {
    let berlin = zone("Europe/Berlin");
    let reading = |text: &str| text.parse::<NaiveDateTime>().expect("a reading");
    assert_eq!(
        resolve(reading("2026-10-25T02:00:00"), berlin),
        Resolved::Twice { first: at("2026-10-25T00:00:00Z"), second: at("2026-10-25T01:00:00Z") }
    );
    assert_eq!(resolve(reading("2026-03-29T02:30:00"), berlin), Resolved::Never { after: at("2026-03-29T01:00:00Z") });
}

#[test]
fn a_skipped_midnight_and_a_skipped_day() {
    // Cairo sets its clock forward at midnight: the day of 24 April 2026 begins at 01:00.
    assert_eq!(day_start("2026-04-24".parse().expect("date"), zone("Africa/Cairo")), at("2026-04-23T22:00:00Z"));
    assert_eq!(starts("2026-04-24", "Africa/Cairo").len(), 23);
    // Samoa left out 30 December 2011 altogether.
    let skipped = day_start("2011-12-30".parse().expect("date"), zone("Pacific/Apia"));
    assert_eq!(skipped, at("2011-12-30T10:00:00Z"));
}

proptest! {
    #[test]
    fn hours_tile_the_time_in_every_zone(zone_index in 0..chrono_tz::TZ_VARIANTS.len(), hour in 438_000i64..517_000) {
        let zone = chrono_tz::TZ_VARIANTS[zone_index];
        let moment = slot_start(hour) + Duration::minutes(17);
        let begin = hour_at(moment, zone);
        let next = next_hour(begin, zone);
        prop_assert!(begin <= moment && moment < next, "{begin} {moment} {next}");
        prop_assert_eq!(hour_at(begin, zone), begin);
        prop_assert_eq!(hour_at(next, zone), next);
        let set = offset_seconds(begin, zone) != offset_seconds(next, zone);
        prop_assert!(slot(next) > slot(begin) || set);
        prop_assert_eq!(hour_at(next - Duration::seconds(1), zone), begin);
    }

    #[test]
    fn days_tile_the_time_and_hold_their_hours(zone_index in 0..chrono_tz::TZ_VARIANTS.len(), days in 0i64..3000) {
        let zone = chrono_tz::TZ_VARIANTS[zone_index];
        let date = NaiveDate::from_ymd_opt(2020, 1, 1).expect("date") + Duration::days(days);
        let window = day(date, zone);
        for hour in hours_in(window, zone) {
            prop_assert_eq!(date_at(hour, zone), date);
        }
        prop_assert_eq!(day(date + Duration::days(1), zone).from(), window.to());
    }
}
