//! How long a plan will take: the book itself, run through ahead of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::Moment;
use super::book::{Book, Decided, Needs, PermitId, Ticket};

/// Longer plans are told by their first requests.
const MOST_REQUESTS: u64 = 200_000;

/// Requests that follow each other: those of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Each of them.
    pub needs: Needs,
    /// How many.
    pub requests: u32,
}

/// What a plan will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Requests in all.
    pub requests: u64,
    /// From the first request to the last answer, waits that end runs not taken out.
    pub takes: Duration,
}

/// Runs `jobs` through `book` with `workers` at a time, answers taking `latency`.
pub fn forecast(book: &Book, jobs: &[Job], workers: usize, latency: Duration, now: Moment) -> Forecast {
    let total: u64 = jobs.iter().map(|job| u64::from(job.requests)).sum();
    let mut run = Run {
        book: book.endless(),
        jobs,
        next: 0,
        doing: HashMap::new(),
        answers: BinaryHeap::new(),
        open: HashMap::new(),
        done: 0,
    };
    let mut clock = now;
    for _ in 0..workers.max(1) {
        run.begin();
    }
    loop {
        for decided in run.book.decide(clock) {
            if let Decided::Go(ticket, permit) = decided {
                run.answers.push(Reverse((clock + latency, permit)));
                run.open.insert(permit, ticket);
            }
        }
        if run.done >= MOST_REQUESTS {
            break;
        }
        let answer = run.answers.peek().map(|Reverse((at, _))| *at);
        let free = run.book.next().filter(|at| *at > clock);
        let Some(next) = answer.into_iter().chain(free).min() else { break };
        clock = clock.max(next);
        run.answer(clock);
    }
    let mut takes = clock.since(now);
    if run.done < total && run.done > 0 {
        takes = takes.mul_f64(total as f64 / run.done as f64);
    }
    Forecast { requests: total, takes }
}

struct Run<'a> {
    book: Book,
    jobs: &'a [Job],
    next: usize,
    /// The job of a waiting request, and how many follow it.
    doing: HashMap<Ticket, (usize, u32)>,
    answers: BinaryHeap<Reverse<(Moment, PermitId)>>,
    open: HashMap<PermitId, Ticket>,
    done: u64,
}

impl Run<'_> {
    /// A worker takes the next job.
    fn begin(&mut self) {
        while let Some(job) = self.jobs.get(self.next) {
            let index = self.next;
            self.next += 1;
            if let Some(left) = job.requests.checked_sub(1) {
                let ticket = self.book.ask(&job.needs);
                self.doing.insert(ticket, (index, left));
                return;
            }
        }
    }

    /// Everything that is answered by `clock`.
    fn answer(&mut self, clock: Moment) {
        while let Some(Reverse((at, permit))) = self.answers.peek().copied() {
            if at > clock {
                return;
            }
            self.answers.pop();
            self.book.settle(permit, at, true);
            self.done += 1;
            let Some((index, left)) = self.open.remove(&permit).and_then(|ticket| self.doing.remove(&ticket)) else {
                continue;
            };
            match (left.checked_sub(1), self.jobs.get(index)) {
                (Some(left), Some(job)) => {
                    let ticket = self.book.ask(&job.needs);
                    self.doing.insert(ticket, (index, left));
                }
                _ => self.begin(),
            }
        }
    }
}

impl Book {
    /// A copy for which no wait is too long, and that nobody waits in.
    fn endless(&self) -> Book {
        let mut book = self.clone();
        book.forget_waiting();
        book
    }
}
