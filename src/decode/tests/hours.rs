//! A row's hour in every form, and the days on which clocks are set.

use super::*;

fn instant(zone: ZoneRule) -> HourSource {
    HourSource::Instant { from: path("hour"), zone, repeated: RepeatedHour::Folded }
}

fn date_hour(zone: ZoneRule, repeated: RepeatedHour) -> HourSource {
    HourSource::DateHour { date: path("date"), hour: path("h"), zone, repeated }
}

fn date_range(zone: ZoneRule) -> HourSource {
    HourSource::DateRange { date: path("date"), range: path("range"), zone, repeated: RepeatedHour::Folded }
}

/// The hour of one row of an account in `zone`: `hour, local hour, offset, hours covered`, or the refusal.
fn hour(source: HourSource, zone: &str, members: &str) -> Result<String, String> {
    let mut pipeline = pipeline(Vec::new());
    pipeline.hour = source;
    let body = format!(r#"{{"data":[{{"account":"1","campaign":"7",{members}}}]}}"#);
    let (batch, facts) = decode(&pipeline, &[account("1", zone)], &body).map_err(|error| error.to_string())?;
    assert_eq!(facts.outside, 0, "the row is of 2026");
    let shown = ["hour", "local_hour", "utc_offset_minutes", "hours_covered"].map(|name| texts(&batch, name).remove(0));
    let [hour, local, offset, covered] = shown;
    Ok(format!(
        "{} {} {offset} {covered}",
        hour.replace(":00Z", "Z"),
        local.strip_suffix(":00").expect("whole minutes")
    ))
}

fn moment(text: &str) -> String {
    format!(r#""hour":{text}"#)
}

#[test]
fn moments_in_every_form() {
    let cases = [
        (r#""2026-11-20T09:00:00Z""#, "2026-11-20T09:00Z"),
        (r#""2026-11-20T09:00:00+01:00""#, "2026-11-20T08:00Z"),
        (r#""2026-11-20T09:00:00.000-0800""#, "2026-11-20T17:00Z"),
        ("\"2026-11-20T09:00:00\u{2212}08:00\"", "2026-11-20T17:00Z"),
        (r#""2026-11-20T09:00+01""#, "2026-11-20T08:00Z"),
        // Without an offset on the declared clock, here the account's: Berlin in winter.
        (r#""2026-11-20T09:00:00""#, "2026-11-20T08:00Z"),
        (r#""2026-11-20 09:00""#, "2026-11-20T08:00Z"),
        (r#""2026-11-20 09""#, "2026-11-20T08:00Z"),
        ("1795165200", "2026-11-20T09:00Z"),
        ("\"1795165200\"", "2026-11-20T09:00Z"),
        ("1795165200000", "2026-11-20T09:00Z"),
        ("1.7951652e9", "2026-11-20T09:00Z"),
    ];
    for (json, expected) in cases {
        let found = hour(instant(ZoneRule::Account), "Europe/Berlin", &moment(json));
        assert_eq!(found.as_ref().map(|found| &found[..17]), Ok(expected), "{json}");
    }
}

#[test]
fn moments_that_cannot_be_hours() {
    let refused = |json: &str| hour(instant(ZoneRule::Account), "Europe/Berlin", &moment(json)).expect_err(json);
    assert_eq!(
        refused(r#""2026-11-20""#),
        "record 1: `hour` at `hour` holds `\"2026-11-20\"`, expected a moment: a date alone cannot name an hour, and \
         all hours of the day would become one row"
    );
    assert_eq!(
        refused(r#""2026-11-20T09:30:00Z""#),
        "record 1: `hour` at `hour` holds `\"2026-11-20T09:30:00Z\"`, expected the first moment of an hour on the clock \
         of Europe/Berlin"
    );
    for json in ["\"2026-11-20T09:00:00.001Z\"", "1795165201", "\"soon\"", "null", "\"\"", "true", "[]", "{}", "1e30"] {
        refused(json);
    }
    assert!(hour(instant(ZoneRule::Utc), "UTC", r#""x":1"#).expect_err("absent").contains("holds nothing"));
}

#[test]
fn dates_with_hours() {
    let read = |date: &str, number: &str| {
        let members = format!(r#""date":{date},"h":{number}"#);
        hour(date_hour(ZoneRule::Account, RepeatedHour::Folded), "America/New_York", &members)
    };
    let nine = Ok("2026-11-20T12:00Z 2026-11-20T07:00 -300 1".to_owned());
    for number in ["7", "\"7\"", "\"07\"", "7.0"] {
        assert_eq!(read("\"2026-11-20\"", number), nine, "{number}");
    }
    assert_eq!(read("\"2026-11-20T00:00:00\"", "7"), nine);
    assert_eq!(read("\"2026-11-20 00:00:00\"", "7"), nine);
    assert_eq!(read("\"2026-11-20\"", "23"), Ok("2026-11-21T04:00Z 2026-11-20T23:00 -300 1".to_owned()));
    for number in ["24", "-1", "\"\"", "null", "7.5", "\"7am\""] {
        let error = read("\"2026-11-20\"", number).expect_err(number);
        assert!(error.ends_with("expected the number of an hour, 0 to 23"), "{error}");
    }
    for date in ["\"20.11.2026\"", "\"2026-11-20x\"", "\"2026-13-01\"", "null", "20261120"] {
        let error = read(date, "7").expect_err(date);
        assert!(error.ends_with("expected a date (`YYYY-MM-DD`)"), "{error}");
    }
}

#[test]
fn dates_with_labels() {
    let read = |label: &str| {
        let members = format!(r#""date":"2026-11-20","range":"{label}""#);
        hour(date_range(ZoneRule::Account), "Europe/Berlin", &members).map(|hour| hour[..17].to_owned())
    };
    let good = [
        ("09:00:00 - 09:59:59", "2026-11-20T08:00Z"),
        ("09:00 - 10:00", "2026-11-20T08:00Z"),
        ("09:00-09:59", "2026-11-20T08:00Z"),
        ("23:00:00 - 00:00:00", "2026-11-20T22:00Z"),
        ("23:00:00 - 24:00:00", "2026-11-20T22:00Z"),
        ("00:00:00 - 00:59:59", "2026-11-19T23:00Z"),
    ];
    for (label, expected) in good {
        assert_eq!(read(label).as_deref(), Ok(expected), "{label}");
    }
    for label in ["09:30:00 - 10:29:59", "09:00:00 - 10:59:59", "09:00", "9 - 10", "24:00 - 25:00", "10:00 - 09:00", ""]
    {
        let error = read(label).expect_err(label);
        assert!(error.ends_with("expected one whole hour (`HH:00:00 - HH:59:59`)"), "{error}");
    }
}

#[test]
fn the_repeated_hour_of_autumn() {
    let read = |repeated, number: u32| {
        let members = format!(r#""date":"2026-10-25","h":{number}"#);
        hour(date_hour(ZoneRule::Account, repeated), "Europe/Berlin", &members).expect("an hour")
    };
    assert_eq!(read(RepeatedHour::Folded, 1), "2026-10-24T23:00Z 2026-10-25T01:00 120 1");
    assert_eq!(read(RepeatedHour::Folded, 2), "2026-10-25T00:00Z 2026-10-25T02:00 120 2");
    assert_eq!(read(RepeatedHour::First, 2), "2026-10-25T00:00Z 2026-10-25T02:00 120 1");
    assert_eq!(read(RepeatedHour::Second, 2), "2026-10-25T01:00Z 2026-10-25T02:00 60 1");
    assert_eq!(read(RepeatedHour::Folded, 3), "2026-10-25T02:00Z 2026-10-25T03:00 60 1");
    // With offsets, both hours have their own rows.
    let exact = |text: &str| hour(instant(ZoneRule::Account), "Europe/Berlin", &moment(text)).expect("an hour");
    assert_eq!(exact(r#""2026-10-25T02:00:00+02:00""#), "2026-10-25T00:00Z 2026-10-25T02:00 120 1");
    assert_eq!(exact(r#""2026-10-25T02:00:00+01:00""#), "2026-10-25T01:00Z 2026-10-25T02:00 60 1");
}

#[test]
fn the_hour_that_spring_leaves_out() {
    let read = |number: u32| {
        let members = format!(r#""date":"2026-03-29","h":{number}"#);
        hour(date_hour(ZoneRule::Account, RepeatedHour::Folded), "Europe/Berlin", &members)
    };
    assert_eq!(read(1), Ok("2026-03-29T00:00Z 2026-03-29T01:00 60 1".to_owned()));
    assert_eq!(
        read(2),
        Err("record 1: `hour` at `date, h` holds `\"2026-03-29\"`, `2`, expected an hour that exists: the clock of \
             Europe/Berlin was set forward over this one"
            .to_owned())
    );
    assert_eq!(read(3), Ok("2026-03-29T01:00Z 2026-03-29T03:00 120 1".to_owned()));
}

#[test]
fn zones_that_are_not_on_full_utc_hours() {
    let local = |zone: &str, number: u32| {
        let members = format!(r#""date":"2026-11-20","h":{number}"#);
        hour(date_hour(ZoneRule::Account, RepeatedHour::Folded), zone, &members).expect("an hour")
    };
    assert_eq!(local("Asia/Kolkata", 0), "2026-11-19T18:30Z 2026-11-20T00:00 330 1");
    assert_eq!(local("Asia/Kathmandu", 0), "2026-11-19T18:15Z 2026-11-20T00:00 345 1");
    assert_eq!(local("Pacific/Apia", 0), "2026-11-19T11:00Z 2026-11-20T00:00 780 1");
    // A platform that reports on the account's clock cannot mean 09:00Z there; one that reports in UTC does.
    let exact = |rule| hour(instant(rule), "Asia/Kolkata", &moment(r#""2026-11-20T09:00:00Z""#));
    assert!(exact(ZoneRule::Account).expect_err("between hours").contains("on the clock of Asia/Kolkata"));
    assert_eq!(exact(ZoneRule::Utc), Ok("2026-11-20T09:00Z 2026-11-20T14:30 330 1".to_owned()));
    let fixed = hour(
        date_hour(ZoneRule::Fixed(chrono_tz::America::Los_Angeles), RepeatedHour::Folded),
        "Asia/Kolkata",
        r#""date":"2026-11-20","h":0"#,
    );
    assert_eq!(fixed, Ok("2026-11-20T08:00Z 2026-11-20T13:30 330 1".to_owned()));
}

#[test]
fn lord_howe_shifts_by_half_an_hour() {
    let read = |date: &str, number: u32| {
        let members = format!(r#""date":"{date}","h":{number}"#);
        hour(date_hour(ZoneRule::Account, RepeatedHour::Folded), "Australia/Lord_Howe", &members).expect("an hour")
    };
    // Autumn: the hour of 01 lasts 90 minutes and is one hour.
    assert_eq!(read("2026-04-05", 1), "2026-04-04T14:00Z 2026-04-05T01:00 660 1");
    assert_eq!(read("2026-04-05", 2), "2026-04-04T15:30Z 2026-04-05T02:00 630 1");
    // Spring: the hour of 02 has its second half only.
    assert_eq!(read("2026-10-04", 1), "2026-10-03T14:30Z 2026-10-04T01:00 630 1");
    assert_eq!(read("2026-10-04", 2), "2026-10-03T15:30Z 2026-10-04T02:30 660 1");
    assert_eq!(read("2026-10-04", 3), "2026-10-03T16:00Z 2026-10-04T03:00 660 1");
}

#[test]
fn the_chatham_islands_show_a_quarter_of_an_hour_again() {
    let read = |repeated, number: u32| {
        let members = format!(r#""date":"2026-04-05","h":{number}"#);
        hour(date_hour(ZoneRule::Account, repeated), "Pacific/Chatham", &members).expect("an hour")
    };
    // 03:45 goes back to 02:45: the hour of two, then three quarters of three, a quarter of two, and the hour of three.
    assert_eq!(read(RepeatedHour::Folded, 2), "2026-04-04T12:15Z 2026-04-05T02:00 825 2");
    assert_eq!(read(RepeatedHour::First, 2), "2026-04-04T12:15Z 2026-04-05T02:00 825 1");
    assert_eq!(read(RepeatedHour::Second, 2), "2026-04-04T14:00Z 2026-04-05T02:45 765 1");
    assert_eq!(read(RepeatedHour::Folded, 3), "2026-04-04T13:15Z 2026-04-05T03:00 825 2");
    assert_eq!(read(RepeatedHour::Second, 3), "2026-04-04T14:15Z 2026-04-05T03:00 765 1");
    assert_eq!(read(RepeatedHour::Folded, 4), "2026-04-04T15:15Z 2026-04-05T04:00 765 1");
}

#[test]
fn hours_outside_the_window_are_counted_and_left_away() {
    let mut rows = Vec::new();
    for hour in ["2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z"] {
        rows.push(format!(r#"{{"account":"1","campaign":"7","hour":"{hour}"}}"#));
    }
    let body = format!(r#"{{"data":[{}]}}"#, rows.join(","));
    let (batch, facts) = decode(&pipeline(Vec::new()), &[account("1", "UTC")], &body).expect("a page");
    assert_eq!((facts.records, facts.outside), (4, 2));
    assert_eq!(texts(&batch, "hour"), ["2026-01-01T00:00:00Z", "2026-12-31T23:00:00Z"]);
}

#[test]
fn every_hour_of_a_year_in_many_zones_comes_back() {
    for zone in ["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"] {
        let tz = zone.parse().expect("a zone");
        let year = Window::new(at("2026-01-02T00:00:00Z"), at("2026-12-30T00:00:00Z")).expect("a window");
        let hours: Vec<Instant> = crate::time::hours_in(year, tz).collect();
        let row = |hour: &Instant| {
            format!(r#"{{"account":"1","campaign":"7","hour":"{}"}}"#, hour.with_timezone(&tz).to_rfc3339())
        };
        let body = format!(r#"{{"data":[{}]}}"#, hours.iter().map(row).collect::<Vec<_>>().join(","));
        let (batch, _) = decode(&pipeline(Vec::new()), &[account("1", zone)], &body).expect("a page");
        let expected: Vec<String> = hours.iter().map(|hour| hour.format("%Y-%m-%dT%H:%M:%SZ").to_string()).collect();
        assert_eq!(texts(&batch, "hour"), expected, "{zone}");
        let local = |hour: &Instant| crate::time::local(*hour, tz).format("%Y-%m-%dT%H:%M:%S").to_string();
        assert_eq!(texts(&batch, "local_hour"), hours.iter().map(local).collect::<Vec<_>>(), "{zone}");
    }
}
