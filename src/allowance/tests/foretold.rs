//! What a plan takes, before anything is sent.

use super::*;
use crate::allowance::{Job, forecast};

fn jobs(count: usize, requests: u32, accounts: usize) -> Vec<Job> {
    let job = |number: usize| Job { needs: needs(&[&format!("a{}", number % accounts)], Lane::Hourly), requests };
    (0..count).map(job).collect()
}

fn seconds(book: &Book, jobs: &[Job], workers: usize) -> f64 {
    forecast(book, jobs, workers, ms(50), START).takes.as_secs_f64()
}

#[test]
fn the_app_s_pace_decides() {
    let book = Book::new("p", &[quota("app", 20, ms(1_000), Scope::App)], FOREVER);
    let took = seconds(&book, &jobs(100, 4, 100), 8);
    // 400 at 20 a second; a permit is held for two hundredths more.
    assert!((19.9..20.6).contains(&took), "{took}");
}

#[test]
fn latency_decides_where_nothing_is_declared() {
    let book = Book::new("p", &[], FOREVER);
    let took = seconds(&book, &jobs(80, 3, 80), 8);
    assert!((took - 80.0 * 3.0 * 0.05 / 8.0).abs() < 0.001, "{took}");
}

#[test]
fn what_is_used_already_is_waited_for() {
    let quotas = [Quota { burst: 10, ..quota("hour", 10, ms(3_600_000), Scope::Account) }];
    let mut book = Book::new("p", &quotas, FOREVER);
    let fresh = seconds(&book, &jobs(2, 6, 1), 1);
    assert!((3_600.0..3_601.0).contains(&fresh), "{fresh}");
    for _ in 0..8 {
        book.ask(&needs(&["a0"], Lane::Hourly));
    }
    for decided in book.decide(START - ms(600_000)) {
        let Decided::Go(_, permit) = decided else { panic!("{decided:?}") };
        book.settle(permit, START - ms(600_000), true);
    }
    let took = seconds(&book, &jobs(2, 5, 1), 1);
    assert!((3_000.0..3_001.0).contains(&took), "{took}");
    // Other accounts do not wait for this one.
    assert!(seconds(&book, &[Job { needs: needs(&["b"], Lane::Hourly), requests: 5 }], 1) < 1.0);
}

#[test]
fn a_plan_without_requests_takes_nothing() {
    let book = Book::new("p", &[], FOREVER);
    assert_eq!(forecast(&book, &[], 8, ms(50), START).takes, Duration::ZERO);
}
