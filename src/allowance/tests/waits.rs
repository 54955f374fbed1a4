//! Promised waits are exact: not a nanosecond earlier, and not one later.

use proptest::prelude::*;

use super::*;
use crate::time::Instant;

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn to_the_nanosecond(units in 1u32..9, seconds in 0usize..5, burst in 1u32..9, gaps in prop::collection::vec(0u64..1_500, 1..40), fixed in any::<bool>()) {
        let counting = if fixed { Counting::Fixed(chrono_tz::Tz::UTC) } else { Counting::Sliding };
        let per = Duration::from_secs([1, 2, 3, 60, 3600][seconds]);
        let mut book = Book::new("p", &[Quota { counting, burst: burst.min(units), ..quota("q", units, per, Scope::App) }], FOREVER);
        let mut now = START;
        let one = needs(&[], Lane::Hourly);
        for gap in gaps {
            now = now + ms(gap);
            match book.free(&one, now) {
                Free::Now => {}
                Free::At(at) => {
                    prop_assert!(at > now);
                    prop_assert_ne!(book.free(&one, at - Duration::from_nanos(1)), Free::Now);
                    now = at;
                    prop_assert_eq!(book.free(&one, now), Free::Now);
                }
                Free::OnAnswer => prop_assert!(false, "nothing is under way"),
            }
            let ticket = book.ask(&one);
            let decided = book.decide(now);
            let [Decided::Go(gone, permit)] = decided[..] else { panic!("{decided:?}") };
            prop_assert_eq!(gone, ticket);
            book.settle(permit, now, true);
        }
    }
}

#[test]
fn a_day_ends_at_midnight_where_the_platform_says_so() {
    let zone = chrono_tz::Tz::America__Los_Angeles;
    let daily = Quota { counting: Counting::Fixed(zone), burst: 3, ..quota("day", 3, ms(86_400_000), Scope::App) };
    let mut book = Book::new("p", &[daily], FOREVER);
    let at = |text: &str| Moment::from_instant(text.parse::<Instant>().expect("an instant"));
    let now = at("2026-11-01T05:00:00Z");
    for _ in 0..3 {
        book.ask(&needs(&[], Lane::Hourly));
        let [Decided::Go(_, permit)] = book.decide(now)[..] else { panic!("it may go") };
        book.settle(permit, now, true);
    }
    // 05:00Z is still October there; the day ends at 07:00Z, and two seconds more are left to the clocks.
    assert_eq!(book.free(&needs(&[], Lane::Hourly), now), Free::At(at("2026-11-01T07:00:02Z")));
    // The next day has 25 hours.
    let now = at("2026-11-01T09:00:00Z");
    for _ in 0..3 {
        book.ask(&needs(&[], Lane::Hourly));
        let [Decided::Go(_, permit)] = book.decide(now)[..] else { panic!("it may go") };
        book.settle(permit, now, true);
    }
    assert_eq!(book.free(&needs(&[], Lane::Hourly), now), Free::At(at("2026-11-02T08:00:02Z")));
}

#[test]
fn a_wait_beyond_patience_is_given_back_with_its_reason() {
    let quotas = [Quota { burst: 2, ..quota("hour", 2, ms(3_600_000), Scope::Account) }];
    let mut book = Book::new("p", &quotas, ms(300_000));
    let mut permits = Vec::new();
    for _ in 0..2 {
        book.ask(&needs(&["a"], Lane::Hourly));
        let [Decided::Go(_, permit)] = book.decide(START)[..] else { panic!("it may go") };
        permits.push(permit);
    }
    for permit in permits {
        book.settle(permit, START, true);
    }
    let (refused, other) = (book.ask(&needs(&["a"], Lane::Hourly)), book.ask(&needs(&["b"], Lane::Hourly)));
    let decided = book.decide(START + ms(1_000));
    let [Decided::TooLong(ticket, closed), Decided::Go(gone, _)] = &decided[..] else { panic!("{decided:?}") };
    assert_eq!((*ticket, *gone), (refused, other));
    assert_eq!(closed.until, START + ms(3_600_001));
    assert_eq!(closed.why, "the quota `hour` of account a, 2 in 1h, is used up");
}
