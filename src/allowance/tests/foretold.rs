//! What a plan takes, before anything is sent.

use super::*;
use crate::allowance::{Crew, Forecast, Job, forecast};

fn jobs(count: usize, requests: u32, accounts: usize) -> Vec<Job> {
    (0..count).map(|number| job(&format!("a{}", number % accounts), requests)).collect()
}

fn job(account: &str, requests: u32) -> Job {
    Job { accounts: vec![account.to_owned()], lane: Lane::Hourly, steps: vec![(Endpoint::Metrics, requests)] }
}

fn told(book: &Book, jobs: &[Job], workers: usize) -> Forecast {
    forecast(book, jobs, &Crew { workers, latency: ms(50), patience: ms(300_000) }, START)
}

fn seconds(book: &Book, jobs: &[Job], workers: usize) -> f64 {
    told(book, jobs, workers).takes.as_secs_f64()
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
    assert_eq!(told(&book, &jobs(2, 6, 1), 1).pauses, 1);
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
    assert!(seconds(&book, &[job("b", 5)], 1) < 1.0);
}

#[test]
fn a_plan_without_requests_takes_nothing() {
    let book = Book::new("p", &[], FOREVER);
    assert_eq!(told(&book, &[], 8), Forecast { requests: 0, takes: Duration::ZERO, pauses: 0 });
}
