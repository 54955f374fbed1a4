//! Who goes when: all or nothing, no scope in another's way, no lane for ever last.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever the higher lanes want: between two requests of a lane that waits go at most eleven others.
    #[test]
    fn no_lane_starves(wanted in prop::collection::vec(0usize..3, 10..150), units in 1u32..20) {
        let mut book = Book::new("p", &[quota("app", units, ms(1_000), Scope::App)], FOREVER);
        let lanes = [Lane::Hourly, Lane::Repair, Lane::Backfill];
        let call = |lane: &usize| Call { at: START, needs: needs(&[], lanes[*lane]), there: ms(5), back: ms(5) };
        let calls: Vec<Call> = wanted.iter().map(call).collect();
        let played = play(&mut book, &calls);
        let mut order: Vec<(Moment, Lane)> =
            played.went.iter().zip(&calls).map(|(at, call)| (at.expect("went"), call.needs.lane)).collect();
        // Requests of one moment are in any order.
        order.sort_unstable_by_key(|(at, lane)| (*at, std::cmp::Reverse(*lane)));
        for lane in lanes {
            let mut others = 0;
            for (place, (_, gone)) in order.iter().enumerate() {
                let waits = order[place..].iter().any(|(_, later)| *later == lane);
                others = if *gone == lane || !waits { 0 } else { others + 1 };
                prop_assert!(others <= 11 + units, "{others} went before one of {lane:?}");
            }
        }
    }
}

fn gone(decided: &[Decided]) -> Vec<Ticket> {
    decided
        .iter()
        .filter_map(|decided| if let Decided::Go(ticket, _) = decided { Some(*ticket) } else { None })
        .collect()
}

#[test]
fn all_permits_are_taken_or_none() {
    let quotas = [
        Quota { burst: 9, ..quota("app", 9, ms(10_000), Scope::App) },
        Quota { burst: 1, ..quota("account", 1, ms(10_000), Scope::Account) },
    ];
    let mut book = Book::new("p", &quotas, FOREVER);
    let first = book.ask(&needs(&["a"], Lane::Hourly));
    assert_eq!(gone(&book.decide(START)), [first]);
    book.ask(&needs(&["a", "b"], Lane::Hourly));
    assert_eq!(book.decide(START + ms(1)), []);
    // Nothing was taken from b and from the app by the request that waits for a.
    let tally = |name: &str, whose: Whose| {
        let index = book.limits().iter().position(|limit| limit.label == name).expect("a limit");
        book.tally(&(index, whose)).map_or(0, |tally| tally.counts().0)
    };
    assert_eq!((tally("app", Whose::App), tally("account", Whose::Account("b".into()))), (1, 0));
}

#[test]
fn an_account_that_must_wait_stops_nobody_else() {
    let quotas = [
        Quota { burst: 100, ..quota("app", 100, ms(1_000), Scope::App) },
        Quota { burst: 1, ..quota("account", 1, ms(3_600_000), Scope::Account) },
    ];
    let mut book = Book::new("p", &quotas, FOREVER);
    for _ in 0..50 {
        book.ask(&needs(&["greedy"], Lane::Hourly));
    }
    let others: Vec<Ticket> = (0..20).map(|number| book.ask(&needs(&[&format!("o{number}")], Lane::Hourly))).collect();
    let went = gone(&book.decide(START));
    assert_eq!(went.len(), 21);
    assert_eq!(went[1..], others[..]);
}

#[test]
fn a_heavy_request_is_not_starved_by_light_ones() {
    let weights = Weights::default().with(Endpoint::Create, 5);
    let quotas = [Quota { weights, burst: 5, ..quota("app", 5, ms(1_000), Scope::App) }];
    let mut book = Book::new("p", &quotas, FOREVER);
    let call = |at: u64, endpoint| Call {
        at: START + ms(at),
        needs: Needs { endpoint, ..needs(&[], Lane::Hourly) },
        there: ms(5),
        back: ms(5),
    };
    let mut calls: Vec<Call> = (0..40).map(|number| call(number * 100, Endpoint::Metrics)).collect();
    calls.push(call(150, Endpoint::Create));
    let played = play(&mut book, &calls);
    let heavy = played.went[40].expect("it goes");
    assert!(heavy.since(START) < ms(2_100), "{:?}", heavy.since(START));
}

#[test]
fn the_hourly_lane_goes_first_and_the_lower_ones_still_move() {
    let mut book = Book::new("p", &[quota("app", 10, ms(1_000), Scope::App)], FOREVER);
    let mut calls = Vec::new();
    for (lane, count) in [(Lane::Backfill, 30), (Lane::Repair, 30), (Lane::Hourly, 300)] {
        for _ in 0..count {
            calls.push(Call { at: START, needs: needs(&[], lane), there: ms(5), back: ms(5) });
        }
    }
    let played = play(&mut book, &calls);
    let mut order: Vec<(Moment, Lane)> =
        played.went.iter().zip(&calls).map(|(at, call)| (at.expect("went"), call.needs.lane)).collect();
    order.sort_unstable_by_key(|(at, _)| *at);
    let first: Vec<Lane> = order[..100].iter().map(|(_, lane)| *lane).collect();
    let count = |wanted: Lane| first.iter().filter(|lane| **lane == wanted).count();
    assert_eq!((count(Lane::Hourly), count(Lane::Repair), count(Lane::Backfill)), (82, 9, 9));
}

#[test]
fn a_backfill_leaves_of_a_daily_limit_what_the_hourly_runs_will_want() {
    let daily = Quota {
        counting: Counting::Fixed(chrono_tz::Tz::UTC),
        burst: 100,
        ..quota("day", 100, ms(86_400_000), Scope::App)
    };
    let mut book = Book::new("p", &[daily], ms(1_000));
    let day = |number: u64| Moment::from_millis((20_000 + number) * 86_400_000 + 3_600_000);
    let send = |book: &mut Book, lane: Lane, at: Moment, count: usize| {
        for _ in 0..count {
            book.ask(&needs(&[], lane));
        }
        let decided = book.decide(at);
        for decided in &decided {
            if let Decided::Go(_, permit) = decided {
                book.settle(*permit, at, true);
            }
        }
        gone(&decided).len()
    };
    assert_eq!(send(&mut book, Lane::Hourly, day(1), 72), 72);
    // The next day begins: 72 of the 100 are the hourly lane's.
    assert_eq!(send(&mut book, Lane::Hourly, day(2), 3), 3);
    assert_eq!(send(&mut book, Lane::Backfill, day(2), 200), 28);
    assert_eq!(send(&mut book, Lane::Hourly, day(2) + ms(3_600_000), 69), 69);
    // Where the hourly lane wants everything, a tenth is the backfill's.
    assert_eq!(send(&mut book, Lane::Hourly, day(3), 1) + send(&mut book, Lane::Hourly, day(3), 98), 99);
    assert_eq!(send(&mut book, Lane::Backfill, day(4), 200), 10);
}
