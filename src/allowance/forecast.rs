//! How long a plan will take: the book itself, run through ahead of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::Moment;
use super::book::{Book, Decided, Needs, PermitId, Ticket};
use crate::pipeline::Endpoint;
use crate::unit::Lane;

/// Longer plans are told by their first requests.
const MOST_REQUESTS: u64 = 200_000;

/// Requests that follow each other: those of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Whom they are about.
    pub accounts: Vec<String>,
    /// Who asks.
    pub lane: Lane,
    /// Of which kind they are and how many of each, in their order.
    pub steps: Vec<(Endpoint, u32)>,
}

impl Job {
    /// How many requests it is.
    pub fn requests(&self) -> u64 {
        self.steps.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// What its `nth` request needs; `None` after the last.
    fn needs(&self, nth: u32) -> Option<Needs> {
        let mut before = nth;
        for (endpoint, count) in &self.steps {
            if before < *count {
                return Some(Needs { endpoint: *endpoint, accounts: self.accounts.clone(), lane: self.lane, calls: 1 });
            }
            before -= count;
        }
        None
    }
}

/// What a plan will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Requests in all.
    pub requests: u64,
    /// From the first request to the last answer, waits that end runs not taken out.
    pub takes: Duration,
    /// How often everything has to wait for longer than a run does.
    pub pauses: u32,
}

/// How a plan is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew {
    /// How many jobs at a time.
    pub workers: usize,
    /// What an answer takes.
    pub latency: Duration,
    /// For longer than this a run does not wait.
    pub patience: Duration,
}

/// Runs `jobs` through `book` from `now` on.
pub fn forecast(book: &Book, jobs: &[Job], crew: &Crew, now: Moment) -> Forecast {
    let total: u64 = jobs.iter().map(Job::requests).sum();
    let mut pauses = 0;
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
    for _ in 0..crew.workers.max(1) {
        run.begin();
    }
    loop {
        for decided in run.book.decide(clock) {
            if let Decided::Go(ticket, permit) = decided {
                run.answers.push(Reverse((clock + crew.latency, permit)));
                run.open.insert(permit, ticket);
            }
        }
        if run.done >= MOST_REQUESTS {
            break;
        }
        let answer = run.answers.peek().map(|Reverse((at, _))| *at);
        let free = run.book.next().filter(|at| *at > clock);
        let Some(next) = answer.into_iter().chain(free).min() else { break };
        if next.since(clock) > crew.patience {
            pauses += 1;
        }
        clock = clock.max(next);
        run.answer(clock);
    }
    let mut takes = clock.since(now);
    if run.done < total && run.done > 0 {
        takes = takes.mul_f64(total as f64 / run.done as f64);
    }
    Forecast { requests: total, takes, pauses }
}

struct Run<'a> {
    book: Book,
    jobs: &'a [Job],
    next: usize,
    /// The job of a waiting request, and which of its requests it is.
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
            if let Some(needs) = job.needs(0) {
                let ticket = self.book.ask(&needs);
                self.doing.insert(ticket, (index, 0));
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
            let Some((index, nth)) = self.open.remove(&permit).and_then(|ticket| self.doing.remove(&ticket)) else {
                continue;
            };
            match self.jobs.get(index).and_then(|job| job.needs(nth + 1)) {
                Some(needs) => {
                    let ticket = self.book.ask(&needs);
                    self.doing.insert(ticket, (index, nth + 1));
                }
                None => self.begin(),
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
