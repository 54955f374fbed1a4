//! No window of any limit ever holds more than it may.

use proptest::prelude::*;

use super::*;

/// Limits of every kind together.
fn limits() -> impl Strategy<Value = Vec<Quota>> {
    let one = (1u32..12, 1u64..8, 0usize..3, 1u32..6, any::<bool>(), 0usize..3).prop_map(
        |(units, seconds, scope, burst, fixed, heavy)| {
            let scope = [Scope::App, Scope::Account, Scope::Endpoint][scope];
            let heaviest = [1, 2, 3][heavy].min(units);
            Quota {
                burst: burst.min(units),
                counting: if fixed { Counting::Fixed(chrono_tz::Tz::UTC) } else { Counting::Sliding },
                strict: true,
                weights: Weights::default().with(Endpoint::Create, heaviest),
                ..quota("q", units, Duration::from_secs([1, 2, 3, 4, 5, 6, 8, 10][seconds as usize]), scope)
            }
        },
    );
    prop::collection::vec(one, 1..4).prop_map(|mut quotas| {
        for (number, quota) in quotas.iter_mut().enumerate() {
            quota.name = format!("q{number}");
        }
        quotas
    })
}

fn calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    let ways = (0u64..120, 0u64..120);
    let one =
        (0u64..4_000, 0usize..4, 0usize..3, 0usize..3, ways).prop_map(|(at, who, what, lane, (there, back))| Call {
            at: START + ms(at),
            needs: Needs {
                endpoint: [Endpoint::Metrics, Endpoint::Create, Endpoint::Accounts][what],
                accounts: [vec![], vec!["a"], vec!["b"], vec!["a", "b"]][who]
                    .iter()
                    .map(|id| (*id).to_owned())
                    .collect(),
                lane: [Lane::Hourly, Lane::Repair, Lane::Backfill][lane],
                calls: 1,
            },
            // Some way is always needed, and some calls take ten times as long.
            there: ms(5 + if there > 110 { there * 10 } else { there }),
            back: ms(5 + if back > 110 { back * 10 } else { back }),
        });
    prop::collection::vec(one, 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Where requests are counted soon, answers may take as long as they like without a loss of use.
    #[test]
    fn whatever_comes_if_it_is_counted_soon(quotas in limits(), calls in calls(60)) {
        let quotas: Vec<Quota> = quotas.into_iter().map(|quota| Quota { strict: false, ..quota }).collect();
        let calls: Vec<Call> = calls.into_iter().map(|call| Call { there: call.there.min(ms(20)), ..call }).collect();
        let mut book = Book::new("p", &quotas, FOREVER);
        let played = play(&mut book, &calls);
        prop_assert!(played.went.iter().all(Option::is_some), "everybody goes in the end");
        for (key, most) in highest(&book, &played) {
            let allowed = book.limits()[key.0].allowed.expect("declared");
            prop_assert!(most <= allowed.units, "{most} of {} for {key:?}", allowed.units);
        }
    }

    #[test]
    fn whatever_comes_and_however_long_it_takes(quotas in limits(), calls in calls(60)) {
        let mut book = Book::new("p", &quotas, FOREVER);
        let played = play(&mut book, &calls);
        prop_assert!(played.went.iter().all(Option::is_some), "everybody goes in the end");
        for (key, most) in highest(&book, &played) {
            let limit = &book.limits()[key.0];
            let allowed = limit.allowed.expect("declared");
            prop_assert!(most <= allowed.units, "{most} of {} for {key:?}", allowed.units);
        }
    }
}

#[test]
fn bursts_at_the_boundary_of_a_fixed_window_fall_into_one_of_them() {
    let quotas =
        [Quota { counting: Counting::Fixed(chrono_tz::Tz::UTC), burst: 10, ..quota("q", 10, ms(60_000), Scope::App) }];
    let mut book = Book::new("p", &quotas, FOREVER);
    let minute = Moment::from_millis(1_800_000_000_000 / 60_000 * 60_000 + 60_000);
    let calls: Vec<Call> = (0..25)
        .map(|number| Call {
            at: minute - ms(30) + ms(number),
            needs: needs(&[], Lane::Hourly),
            there: ms(40),
            back: ms(10),
        })
        .collect();
    let played = play(&mut book, &calls);
    assert_eq!(highest(&book, &played).values().copied().collect::<Vec<_>>(), [10]);
}

#[test]
fn nearly_all_of_a_limit_is_used_while_work_waits() {
    // Answers take 120 ms, give or take 10: (units, period, ideal) and the time over the ideal.
    for (units, per) in [(20u32, ms(1_000)), (50, ms(1_000)), (300, ms(60_000)), (5, ms(1_000))] {
        let mut book = Book::new("p", &[quota("q", units, per, Scope::App)], FOREVER);
        let count = u64::from(units) * 12;
        let calls: Vec<Call> = (0..count)
            .map(|number| Call {
                at: START,
                needs: needs(&[], Lane::Hourly),
                there: ms(10 + number * 7 % 11),
                back: ms(100 + number * 5 % 11),
            })
            .collect();
        let played = play(&mut book, &calls);
        let last = played.went.iter().flatten().max().expect("a call");
        let ideal = per.as_secs_f64() * (count - 1) as f64 / f64::from(units);
        let ratio = last.since(START).as_secs_f64() / ideal;
        assert!(ratio < 1.04, "{units} in {per:?}: {ratio}");
        assert!(highest(&book, &played).values().all(|most| *most <= units));
    }
}
