use proptest::prelude::*;

use super::*;
use crate::pipeline::{HourSource, ZoneRule};
use crate::request::tests::{account, at, path, pipeline, window};
use crate::unit::{Lane, UnitKey};

fn aligned(align: Align) -> Pipeline {
    let mut pipeline = pipeline("https://api.test");
    pipeline.window.align = align;
    pipeline.hour = HourSource::Instant {
        from: path("hour"),
        zone: ZoneRule::Account,
        repeated: crate::pipeline::RepeatedHour::First,
    };
    pipeline
}

fn cut(pipeline: &Pipeline, zone: &str, window: Window, hours: u32) -> Vec<Window> {
    windows(pipeline, &[account("1", zone)], window, Some(hours))
}

fn shown(windows: &[Window]) -> Vec<String> {
    windows.iter().map(ToString::to_string).collect()
}

#[test]
fn hours_that_begin_at_half_past_stay_whole() {
    let india = window("2026-11-20T02:30:00Z", "2026-11-20T07:30:00Z");
    let begins: Vec<Instant> =
        cut(&aligned(Align::Hour), "Asia/Kolkata", india, 2).iter().map(|window| window.from()).collect();
    assert_eq!(begins, [at("2026-11-20T02:30:00Z"), at("2026-11-20T04:30:00Z"), at("2026-11-20T06:30:00Z")]);
    // The clock goes forward by half an hour at 15:30Z: hours begin at half past before it and at the full hour after it.
    let shift = window("2026-10-03T13:30:00Z", "2026-10-03T18:00:00Z");
    let pieces = cut(&aligned(Align::Hour), "Australia/Lord_Howe", shift, 1);
    let hours: Vec<Instant> = hours_in(shift, chrono_tz::Australia::Lord_Howe).collect();
    assert_eq!(pieces.iter().map(|window| window.from()).collect::<Vec<_>>(), hours);
}

#[test]
fn days_on_the_account_s_clock_are_whole() {
    let berlin = chrono_tz::Europe::Berlin;
    let from = day(at("2026-10-24T12:00:00Z").date_naive(), berlin).from();
    let to = day(at("2026-10-27T12:00:00Z").date_naive(), berlin).to();
    let week = Window::new(from, to).expect("a window");
    let days = |hours| shown(&cut(&aligned(Align::AccountDay), "Europe/Berlin", week, hours)).len();
    // 97 hours: four days, one of them of 25 hours.
    assert_eq!([1, 23, 25, 46, 47, 48, 96, 97].map(days), [4, 4, 4, 4, 2, 2, 1, 1]);
}

proptest! {
    #[test]
    fn pieces_tile_the_window(
        zone in 0..chrono_tz::TZ_VARIANTS.len(), begin in 480_000i64..517_000, length in 1usize..80, hours in 1u32..90,
        align in prop::sample::select(vec![Align::Hour, Align::AccountDay, Align::UtcDay]),
    ) {
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let from = crate::time::hour_at(crate::time::slot_start(begin), zone);
        let to = (0..length).fold(from, |hour, _| next_hour(hour, zone));
        let whole = Window::new(from, to).expect("a window");
        let pieces = cut(&aligned(align), zone.name(), whole, hours);
        prop_assert_eq!(pieces.first().map(Window::from), Some(from));
        prop_assert_eq!(pieces.last().map(Window::to), Some(to));
        for pair in pieces.windows(2) {
            prop_assert_eq!(pair[0].to(), pair[1].from());
        }
        if align == Align::Hour {
            for piece in &pieces {
                prop_assert!(hours_in(*piece, zone).count() <= hours as usize);
                prop_assert_eq!(crate::time::hour_at(piece.from(), zone), piece.from(), "an hour is cut in two");
            }
        }
    }

    /// However much is too much, asking for less comes to an end.
    #[test]
    fn halving_ends(accounts in 1usize..20, hours in 1i64..200, campaigns in 0usize..50, days in any::<bool>()) {
        let pipeline = aligned(if days { Align::UtcDay } else { Align::Hour });
        let accounts: Vec<Account> = (0..accounts).map(|id| account(&id.to_string(), "UTC")).collect();
        let from = at("2026-11-01T00:00:00Z");
        let length = if days { hours * 24 } else { hours };
        let window = Window::new(from, from + chrono::Duration::hours(length)).expect("a window");
        let key = UnitKey::new("test", &accounts, window, None);
        let unit = Unit { key, lane: Lane::Hourly, accounts: accounts.clone(), window };
        let mut sizes = Sizes::default();
        let mut halvings = 0;
        loop {
            let parts = parts(&pipeline, &unit, &accounts, &sizes, false);
            let first = parts.first().expect("a part");
            let Some(size) = halved(&pipeline, first, campaigns) else { break };
            let before = sizes.clone();
            sizes.lower(&size);
            prop_assert_ne!(&sizes, &before, "the same would be asked for again");
            halvings += 1;
            prop_assert!(halvings < 30);
        }
    }
}
