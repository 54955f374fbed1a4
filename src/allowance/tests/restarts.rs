//! A book that is kept and restored goes on as if nothing had been.

use proptest::prelude::*;

use super::*;

/// Everything of `book` that outlives its process, in a book of the next one.
fn next_process(book: &Book, quotas: &[Quota], holder: &str, now: Moment) -> Book {
    let mut next = Book::new("p", quotas, FOREVER);
    for (key, tally) in book.tallies() {
        next.restore(key, &tally.keep(holder), holder, now);
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Processes are killed at random moments, with requests under way that the platform still counts.
    #[test]
    fn no_limit_is_passed_across_kills(units in 1u32..8, seconds in 0usize..4, fixed in any::<bool>(), lives in prop::collection::vec((1usize..12, 0u64..900), 2..8)) {
        let counting = if fixed { Counting::Fixed(chrono_tz::Tz::UTC) } else { Counting::Sliding };
        let per = Duration::from_secs([1, 2, 5, 60][seconds]);
        let quotas = [Quota { counting, burst: units, strict: true, ..quota("q", units, per, Scope::App) }];
        let mut book = Book::new("p", &quotas, FOREVER);
        let one = needs(&[], Lane::Hourly);
        let mut counted = Vec::new();
        let mut now = START;
        for (wanted, alive) in lives {
            let end = now + ms(alive);
            for _ in 0..wanted {
                book.ask(&one);
            }
            while now <= end {
                for (place, decided) in book.decide(now).into_iter().enumerate() {
                    let Decided::Go(_, permit) = decided else { panic!("{decided:?}") };
                    // Every other request is answered at once, the others are under way when the process dies and are
                    // counted just before that.
                    if place % 2 == 0 {
                        counted.push((now, 1));
                        book.settle(permit, now, true);
                    } else {
                        counted.push((end.max(now), 1));
                    }
                }
                now = now + ms(7);
            }
            book = next_process(&book, &quotas, "p", now);
        }
        let key = (3, Whose::App);
        let played = Played { counted: BTreeMap::from([(key, counted)]), ..Played::default() };
        let most = highest(&book, &played).into_values().next().unwrap_or(0);
        prop_assert!(most <= units, "{most} of {units} in {per:?}");
    }

    /// What is kept is what was there, to the millisecond and never earlier.
    #[test]
    fn kept_and_restored_promises_are_the_same(gaps in prop::collection::vec(0u64..400, 1..30), units in 1u32..6) {
        let quotas = [Quota { burst: units, ..quota("q", units, ms(1_000), Scope::App) }];
        let mut book = Book::new("p", &quotas, FOREVER);
        let one = needs(&[], Lane::Hourly);
        let mut now = START;
        for gap in gaps {
            now = now + ms(gap);
            book.ask(&one);
            for decided in book.decide(now) {
                if let Decided::Go(_, permit) = decided {
                    book.settle(permit, now, true);
                }
            }
        }
        book.forget_waiting();
        let next = next_process(&book, &quotas, "p", now);
        prop_assert_eq!(next.free(&one, now), book.free(&one, now));
    }
}

#[test]
fn what_is_under_way_elsewhere_counts_until_it_is_answered_or_lost() {
    let quotas = [Quota { burst: 2, strict: true, ..quota("q", 2, ms(1_000), Scope::App) }];
    let mut first = Book::new("p", &quotas, FOREVER);
    first.ask(&needs(&[], Lane::Hourly));
    first.ask(&needs(&[], Lane::Hourly));
    assert_eq!(first.decide(START).len(), 2);
    let key = (3, Whose::App);
    let bytes = first.tally(&key).expect("a tally").keep("one");
    let mut second = Book::new("p", &quotas, FOREVER);
    second.restore(&key, &bytes, "two", START + ms(5_000));
    assert_eq!(second.free(&needs(&[], Lane::Hourly), START + ms(5_000)), Free::OnAnswer);
    // The holder's own next process knows that they will never be answered, and not when they were counted.
    let mut again = Book::new("p", &quotas, FOREVER);
    again.restore(&key, &bytes, "one", START + ms(5_000));
    assert_eq!(again.free(&needs(&[], Lane::Hourly), START + ms(5_000)), Free::At(START + ms(6_001)));
    // So does everybody after ten minutes.
    let mut late = Book::new("p", &quotas, FOREVER);
    late.restore(&key, &bytes, "two", START + ms(700_000));
    assert_eq!(late.free(&needs(&[], Lane::Hourly), START + ms(700_000)), Free::Now);
}

#[test]
fn a_closed_scope_and_a_found_pace_stay() {
    let mut book = Book::new("p", &[], FOREVER);
    book.refuse(&needs(&["a"], Lane::Hourly), Scope::Account, ms(90_000), "HTTP 429", START);
    let next = next_process(&book, &[], "p", START + ms(1_000));
    assert_eq!(next.free(&needs(&["a"], Lane::Hourly), START + ms(1_000)), Free::At(START + ms(90_000)));
    let rate = |book: &Book| book.tally(&(1, Whose::Account("a".into()))).and_then(|tally| tally.found_rate());
    assert_eq!(rate(&next), rate(&book));
    assert!(rate(&next).is_some());
}

#[test]
fn rubbish_is_a_fresh_tally() {
    let mut book = Book::new("p", &[quota("q", 2, ms(1_000), Scope::App)], FOREVER);
    book.restore(&(3, Whose::App), b"{\"pieces\":[[", "p", START);
    assert_eq!(book.free(&needs(&[], Lane::Hourly), START), Free::Now);
}
