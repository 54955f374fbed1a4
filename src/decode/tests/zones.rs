//! Every hour of every zone, as platforms answer: in UTC, in the account's zone, in a fixed zone whatever was asked.

use std::collections::{HashMap, HashSet};

use chrono::{Datelike, NaiveDateTime, Timelike};
use chrono_tz::Tz;

use super::super::hour::{HourPlan, Placed, Reading};
use super::super::rows::HourColumns;
use super::super::tree::Tree;
use super::*;
use crate::time::zones::{Expected, YEARS, Year, clocks, instant, wrong};

/// A zone in which a platform may report whatever was asked.
const FIXED: Tz = chrono_tz::America::Los_Angeles;
/// Of hours on a clock that is not the account's, far from changes of either, one in so many is enough: it is one of every
/// hour of the day, and nothing sets them apart.
const APART: usize = 25;
/// So near to a change of the clock everything is read in every form.
const NEAR: i64 = 30 * 3_600;

fn plan(zone: ZoneRule, repeated: RepeatedHour) -> HourPlan {
    let source = HourSource::DateHour { date: path("date"), hour: path("hour"), zone, repeated };
    HourPlan::new(&source, &mut Tree::default())
}

/// The offset in force at `second`, for seconds that come in order.
struct Offsets<'a> {
    year: &'a Year,
    at: usize,
}

impl Offsets<'_> {
    fn at(&mut self, second: i64) -> i64 {
        while self.year.stretches[self.at].to <= second {
            self.at += 1;
        }
        self.year.stretches[self.at].offset
    }
}

/// What the lake is to have of an hour that begins at `begins`.
fn expected(begins: i64, offset: i64, covered: i8) -> Placed {
    let micros = 1_000_000;
    let (local, minutes) = ((begins + offset) * micros, i16::try_from(offset / 60).expect("less than a day"));
    Placed { columns: HourColumns { hour: begins * micros, local, offset: minutes, covered }, inside: true }
}

/// Checks all hours of `reported`, a clock on which a platform reports, for an account on the clock of `year`.
struct Look<'a> {
    year: &'a Year,
    window: Window,
    wrong: Vec<String>,
}

impl Look<'_> {
    fn check(&mut self, plan: &HourPlan, reading: Reading, expected: Placed, what: &str) {
        let zone = self.year.zone;
        let placed = plan.place(reading, zone, self.window);
        if placed.as_ref() != Ok(&expected) && self.wrong.len() < 5 {
            self.wrong.push(format!("{zone}: {reading:?} {what} is {placed:?}, expected {expected:?}"));
        }
    }

    /// Labels on the clock of `rule`, whose hours are `hours`.
    fn labels(&mut self, rule: ZoneRule, hours: &[Expected], offsets: &mut Offsets<'_>) {
        let (folded, first, second) =
            (plan(rule, RepeatedHour::Folded), plan(rule, RepeatedHour::First), plan(rule, RepeatedHour::Second));
        for (place, hour) in hours.iter().enumerate() {
            let label = hour.label();
            let shown = Reading::Shown(label);
            // The same label comes again at most two hours later.
            let same = |other: &&Expected| other.label() == label;
            let later = hours[place + 1..].iter().take(2).find(same);
            let earlier = hours[place.saturating_sub(2)..place].iter().find(same);
            let own = expected(hour.begins, offsets.at(hour.begins), 1);
            match (earlier, later) {
                (None, None) => self.check(&folded, shown, own, "alone"),
                (None, Some(_)) => {
                    self.check(&folded, shown, expected(hour.begins, i64::from(own.columns.offset) * 60, 2), "folded");
                    self.check(&first, shown, own, "first");
                }
                (Some(_), _) => self.check(&second, shown, own, "second"),
            }
        }
    }
}

fn look(year: &Year, others: &HashMap<Option<Tz>, Vec<Expected>>) -> Vec<String> {
    let window = Window::new(instant(year.from), instant(year.to)).expect("a window");
    let mut look = Look { year, window, wrong: Vec::new() };
    let hours = year.hours();
    look.labels(ZoneRule::Account, &hours, &mut Offsets { year, at: 0 });
    for (zone, hours) in others {
        let rule = zone.map_or(ZoneRule::Utc, ZoneRule::Fixed);
        let near = |hour: &Expected| year.changes().any(|(at, ..)| (hour.begins - at).abs() < NEAR);
        let set = |pair: &[Expected]| pair[0].offset != pair[1].offset;
        let changes: Vec<i64> = hours.windows(2).filter(|pair| set(pair)).map(|pair| pair[1].begins).collect();
        let near = |hour: &Expected| near(hour) || changes.iter().any(|at| (hour.begins - at).abs() < NEAR);
        let looked_at = hours.iter().enumerate().filter(|(place, hour)| place % APART == 0 || near(hour));
        let hours: Vec<Expected> = looked_at.map(|(_, hour)| *hour).collect();
        look.labels(rule, &hours, &mut Offsets { year, at: 0 });
    }
    let moments = plan(ZoneRule::Account, RepeatedHour::Folded);
    for hour in &hours {
        look.check(&moments, Reading::At(instant(hour.begins)), expected(hour.begins, hour.offset, 1), "itself");
    }
    for (at, before, after) in year.changes() {
        skipped(&mut look, &moments, at, before, after);
        for hour in hours.iter().filter(|hour| (hour.begins - at).abs() < NEAR) {
            texts_of(&mut look, hour);
        }
    }
    look.wrong
}

/// Labels of full hours that the clock was set forward over are refused, unless a part of the hour is left.
fn skipped(look: &mut Look<'_>, plan: &HourPlan, at: i64, before: i64, after: i64) {
    let (last, next) = (instant(at - 1 + before).naive_utc(), instant(at + after).naive_utc());
    let mut label = full(last) + chrono::Duration::hours(1);
    while label < full(next) {
        if let Ok(placed) = plan.place(Reading::Shown(label), look.year.zone, look.window) {
            look.wrong.push(format!("{}: {label} never was, and is {placed:?}", look.year.zone));
        }
        label += chrono::Duration::hours(1);
    }
}

fn full(shown: NaiveDateTime) -> NaiveDateTime {
    shown.date().and_hms_opt(shown.hour(), 0, 0).expect("a full hour")
}

/// The texts in which platforms write an hour's label and instant are read as what they say.
fn texts_of(look: &mut Look<'_>, hour: &Expected) {
    let label = hour.label();
    let (date, number) = (format!("\"{}\"", label.date()), label.hour());
    let range = format!("\"{number:02}:00:00 - {number:02}:59:59\"");
    let (sign, minutes) = (if hour.offset < 0 { '-' } else { '+' }, hour.offset.abs() / 60);
    let exact =
        format!("\"{}{sign}{:02}:{:02}\"", hour.shown().format("%Y-%m-%dT%H:%M:%S"), minutes / 60, minutes % 60);
    let utc = format!("\"{}\"", instant(hour.begins).format("%Y-%m-%dT%H:%M:%SZ"));
    let (zone, repeated) = (ZoneRule::Account, RepeatedHour::Folded);
    let (from, of_day) = (path("a"), path("b"));
    let moment = HourSource::Instant { from: from.clone(), zone, repeated };
    let cases = [
        (
            HourSource::DateHour { date: from.clone(), hour: of_day.clone(), zone, repeated },
            date.clone(),
            number.to_string(),
        ),
        (HourSource::DateRange { date: from, range: of_day, zone, repeated }, date, range),
        (moment.clone(), format!("\"{}\"", label.format("%Y-%m-%d %H:%M")), String::new()),
        (moment.clone(), exact, String::new()),
        (moment.clone(), utc, String::new()),
        (moment, hour.begins.to_string(), String::new()),
    ];
    for (place, (source, one, other)) in cases.into_iter().enumerate() {
        let read = HourPlan::new(&source, &mut Tree::default()).read(&[Some(&one), Some(&other)]);
        let expected = if place < 3 { Reading::Shown(label) } else { Reading::At(instant(hour.begins)) };
        if !read.as_ref().is_ok_and(|read| *read == Some(expected)) {
            look.wrong.push(format!("{one} {other} is read as {read:?}, expected {expected:?}"));
        }
    }
}

#[test]
fn every_hour_of_every_zone_is_placed() {
    for year in YEARS {
        let clocks = clocks(year);
        let utc = clocks.iter().find(|clock| clock.stretches.len() == 1 && clock.stretches[0].offset == 0);
        let mut others = HashMap::from([(None, utc.expect("UTC").hours())]);
        others.insert(Some(FIXED), Year::of(FIXED, year).hours());
        let wrong = wrong(&clocks, |clock| look(clock, &others));
        assert!(wrong.is_empty(), "{year}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn days_of_every_zone_are_placed_at_their_first_moment() {
    let source = HourSource::Date { from: path("date") };
    let plan = HourPlan::new(&source, &mut Tree::default());
    for year in YEARS {
        for clock in clocks(year) {
            let window = Window::new(instant(clock.from), instant(clock.to)).expect("a window");
            let hours = clock.hours();
            let mut begun = HashSet::new();
            let mut days = 0;
            for hour in hours.chunk_by(|one, other| one.shown().date() == other.shown().date()).skip(1) {
                let (first, date) = (hour[0], hour[0].shown().date());
                // Some clocks were set back over midnight: the date begins twice, and the first time counts.
                if begun.insert(date) {
                    let placed = plan.place(Reading::Day(date), clock.zone, window);
                    assert_eq!(placed, Ok(expected(first.begins, first.offset, 1)), "{} {date}", clock.zone);
                }
                days += 1;
            }
            assert!((363..=366).contains(&days), "{}: {days} days of {}", clock.zone, window.from().year());
        }
    }
    let window = Window::new(at("2011-12-01T00:00:00Z"), at("2012-01-31T00:00:00Z")).expect("a window");
    let date = "2011-12-30".parse().expect("a date");
    let refused = plan.place(Reading::Day(date), chrono_tz::Pacific::Apia, window).expect_err("Samoa left it out");
    assert!(refused.contains("a day that exists"), "{refused}");
}
