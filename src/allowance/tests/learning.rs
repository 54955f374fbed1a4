//! What the platform says wins, for the one it speaks of.

use super::*;

fn app_and_account() -> Book {
    let quotas = [
        Quota { burst: 50, ..quota("app", 100, ms(1_000), Scope::App) },
        Quota { burst: 50, ..quota("account", 50, ms(1_000), Scope::Account) },
    ];
    Book::new("p", &quotas, FOREVER)
}

#[test]
fn a_refusal_closes_its_scope_and_no_other() {
    let mut book = app_and_account();
    book.refuse(&needs(&["a"], Lane::Hourly), Scope::Account, ms(60_000), "HTTP 429", START);
    assert_eq!(book.free(&needs(&["a"], Lane::Hourly), START), Free::At(START + ms(60_000)));
    assert_eq!(book.free(&needs(&["a", "b"], Lane::Hourly), START), Free::At(START + ms(60_000)));
    assert_eq!(book.free(&needs(&["b"], Lane::Hourly), START), Free::Now);
    assert_eq!(book.closed(START), None);
    book.refuse(&needs(&["a"], Lane::Hourly), Scope::Endpoint, ms(1_000), "HTTP 429", START);
    let list = Needs { endpoint: Endpoint::Accounts, ..needs(&[], Lane::Hourly) };
    assert_eq!(book.free(&list, START), Free::Now);
    assert_eq!(book.free(&needs(&["b"], Lane::Hourly), START), Free::At(START + ms(1_000)));
    book.refuse(&list, Scope::App, ms(5_000), "HTTP 429", START);
    assert_eq!(book.free(&list, START), Free::At(START + ms(5_000)));
    assert_eq!(book.closed(START).map(|closed| closed.why.as_str()), Some("HTTP 429"));
}

#[test]
fn a_shorter_wait_never_shortens_a_longer_one() {
    let mut book = app_and_account();
    book.refuse(&needs(&[], Lane::Hourly), Scope::App, ms(5_000), "first", START);
    book.refuse(&needs(&[], Lane::Hourly), Scope::App, ms(1_000), "second", START);
    assert_eq!(book.free(&needs(&[], Lane::Hourly), START), Free::At(START + ms(5_000)));
}

#[test]
fn a_lower_limit_that_is_told_holds_at_once() {
    let mut book = Book::new("p", &[Quota { burst: 20, ..quota("app", 20, ms(1_000), Scope::App) }], FOREVER);
    book.tell(&Whose::App, None, &Said { limit: Some(4), ..Said::default() }, START);
    for _ in 0..20 {
        book.ask(&needs(&[], Lane::Hourly));
    }
    assert_eq!(book.decide(START).len(), 4);
    // It is never raised above what was declared.
    book.tell(&Whose::App, None, &Said { limit: Some(400), ..Said::default() }, START);
    assert_eq!(book.decide(START).len(), 16);
}

#[test]
fn of_several_limits_a_number_without_a_name_is_nobodys() {
    let quotas = [quota("second", 50, ms(1_000), Scope::App), quota("minute", 1000, ms(60_000), Scope::App)];
    let mut book = Book::new("p", &quotas, FOREVER);
    book.tell(&Whose::App, None, &Said { limit: Some(50), ..Said::default() }, START);
    assert!(book.tallies().all(|(_, tally)| tally.learned.is_none()));
    book.tell(&Whose::App, Some("minute"), &Said { limit: Some(500), ..Said::default() }, START);
    assert_eq!(book.tallies().filter_map(|(_, tally)| tally.learned).collect::<Vec<_>>(), [500]);
}

#[test]
fn fewer_left_than_known_here_means_that_others_use_it_too() {
    let mut book = Book::new("p", &[Quota { burst: 20, ..quota("app", 20, ms(60_000), Scope::App) }], FOREVER);
    book.tell(&Whose::App, None, &Said { remaining: Some(2), wait: Some(ms(30_000)), ..Said::default() }, START);
    for _ in 0..5 {
        book.ask(&needs(&[], Lane::Hourly));
    }
    assert_eq!(book.decide(START).len(), 2);
    assert_eq!(book.next(), Some(START + ms(30_000)));
    // As many left as known here is no news, however coarse the moment that is told with it.
    let mut book = Book::new("p", &[Quota { burst: 20, ..quota("app", 20, ms(1_000), Scope::App) }], FOREVER);
    book.ask(&needs(&[], Lane::Hourly));
    book.decide(START);
    book.tell(&Whose::App, None, &Said { remaining: Some(19), wait: Some(ms(5_000)), ..Said::default() }, START);
    assert_eq!(book.free(&needs(&[], Lane::Hourly), START), Free::Now);
}

#[test]
fn a_full_account_is_closed_for_as_long_as_it_says() {
    let mut book = Book::new("p", &[], FOREVER);
    let said = Said { percent: Some(100.0), wait: Some(ms(19 * 60_000)), ..Said::default() };
    book.tell(&Whose::Account("a".into()), None, &said, START);
    assert_eq!(book.free(&needs(&["a"], Lane::Hourly), START), Free::At(START + ms(19 * 60_000)));
    assert_eq!(book.free(&needs(&["b"], Lane::Hourly), START), Free::Now);
}

/// A platform that allows `truth(t)` in any second, refuses the rest and asks for `penalty`; gives (accepted, refused).
fn against(book: &mut Book, truth: impl Fn(Duration) -> usize, penalty: Duration, lasts: Duration) -> (usize, usize) {
    let (mut accepted, mut refused): (Vec<Moment>, usize) = (Vec::new(), 0);
    let one = needs(&[], Lane::Hourly);
    let mut now = START;
    let mut answers: Vec<(Moment, PermitId)> = Vec::new();
    while now.since(START) < lasts {
        while book.waiting() + answers.len() < 8 {
            book.ask(&one);
        }
        answers.retain(|(at, permit)| {
            if *at <= now {
                book.settle(*permit, *at, true);
            }
            *at > now
        });
        for decided in book.decide(now) {
            let Decided::Go(_, permit) = decided else { panic!("{decided:?}") };
            answers.push((now + ms(20), permit));
            let lately = accepted.iter().rev().take_while(|at| now.since(**at) < ms(1_000)).count();
            if lately < truth(now.since(START)) {
                accepted.push(now);
            } else {
                refused += 1;
                book.refuse(&one, Scope::App, penalty, "HTTP 429", now);
            }
        }
        now = now + ms(1);
    }
    (accepted.len(), refused)
}

#[test]
fn an_undeclared_limit_is_found() {
    let mut book = Book::new("p", &[], FOREVER);
    let (accepted, refused) = against(&mut book, |_| 20, ms(500), ms(120_000));
    // 2400 would be all of it.
    assert!(accepted > 1_900 && refused < 60, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_ceiling_is_approached_from_below() {
    let quotas = [Quota { adapt: true, ..quota("app", 200, ms(1_000), Scope::App) }];
    let mut book = Book::new("p", &quotas, FOREVER);
    let (accepted, refused) = against(&mut book, |_| 20, ms(500), ms(120_000));
    assert!(accepted > 1_900 && refused < 40, "{accepted} accepted, {refused} refused");
    // And used in full where nothing refuses.
    let mut book = Book::new("p", &quotas, FOREVER);
    let (accepted, refused) = against(&mut book, |_| usize::MAX, ms(500), ms(30_000));
    assert!(accepted > 4_500 && refused == 0, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_limit_cut_in_half_is_followed_down_and_up_again() {
    let mut book = Book::new("p", &[quota("app", 20, ms(1_000), Scope::App)], FOREVER);
    let truth = |after: Duration| if (30..90).contains(&after.as_secs()) { 10 } else { 20 };
    let (accepted, refused) = against(&mut book, truth, ms(1_000), ms(150_000));
    // 600 + 600 + 1200 would be all of it.
    assert!(accepted > 1_700 && refused < 40, "{accepted} accepted, {refused} refused");
}

#[test]
fn nearly_used_up_is_warned_about_once_each_way() {
    let mut book = Book::new("p", &[Quota { burst: 100, ..quota("hour", 100, ms(3_600_000), Scope::App) }], FOREVER);
    let mut warned = Vec::new();
    for number in 1..=100u32 {
        book.ask(&needs(&[], Lane::Hourly));
        for decided in book.decide(START) {
            let Decided::Go(_, permit) = decided else { panic!("{decided:?}") };
            book.settle(permit, START, true);
        }
        warned.extend(book.take_warnings().into_iter().map(|warning| (number, warning.percent)));
    }
    assert_eq!(warned, [(80, 80), (95, 95)]);
    // An hour later it is empty again, and is warned about anew.
    let later = START + ms(3_700_000);
    for _ in 0..80 {
        book.ask(&needs(&[], Lane::Hourly));
    }
    assert_eq!(book.decide(later).len(), 80);
    assert_eq!(book.take_warnings().len(), 1);
    // Limits of a second are meant to be used up.
    let mut book = Book::new("p", &[Quota { burst: 10, ..quota("second", 10, ms(1_000), Scope::App) }], FOREVER);
    for _ in 0..10 {
        book.ask(&needs(&[], Lane::Hourly));
    }
    book.decide(START);
    assert_eq!(book.take_warnings(), []);
}
