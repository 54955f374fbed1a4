//! The book against a platform that counts exactly, on a clock that is moved by hand.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Moment;
use super::book::{Book, Decided, Needs, PermitId, TallyKey, Ticket};
use super::tally::Free;
use crate::pipeline::{Counting, Endpoint, Quota, Scope, Weights};
use crate::request::tests::quota;
use crate::unit::Lane;
use crate::usage::{Said, Whose};

mod foretold;
mod learning;
mod never_over;
mod queue;
mod restarts;
mod waits;

const START: Moment = Moment::from_millis(1_800_000_000_000);
const FOREVER: Duration = Duration::from_secs(1 << 40);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn needs(accounts: &[&str], lane: Lane) -> Needs {
    Needs {
        endpoint: Endpoint::Metrics,
        accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
        lane,
        calls: 1,
    }
}

/// A request and how its way to the platform and back goes.
#[derive(Debug, Clone)]
struct Call {
    at: Moment,
    needs: Needs,
    /// From going to being counted.
    there: Duration,
    /// From being counted to the answer.
    back: Duration,
}

/// What happened to the calls.
#[derive(Debug, Default)]
struct Played {
    /// When the platform counted, by tally.
    counted: BTreeMap<TallyKey, Vec<(Moment, u32)>>,
    /// When each call went, in the order of the calls.
    went: Vec<Option<Moment>>,
    last: Moment,
}

/// Plays `calls` through `book`, killing nothing and losing nothing.
fn play(book: &mut Book, calls: &[Call]) -> Played {
    let mut played = Played { went: vec![None; calls.len()], ..Played::default() };
    let mut arrivals: Vec<usize> = (0..calls.len()).collect();
    arrivals.sort_by_key(|index| calls[*index].at);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut tickets: HashMap<Ticket, usize> = HashMap::new();
    let mut answers: BTreeMap<(Moment, PermitId), ()> = BTreeMap::new();
    let mut now = START;
    loop {
        while let Some(index) = arrivals.next_if(|index| calls[*index].at <= now) {
            tickets.insert(book.ask(&calls[index].needs), index);
        }
        while let Some(((at, permit), ())) = answers.first_key_value().map(|(key, ())| (*key, ())) {
            if at > now {
                break;
            }
            answers.remove(&(at, permit));
            book.settle(permit, at, true);
        }
        for decided in book.decide(now) {
            let Decided::Go(ticket, permit) = decided else { panic!("{decided:?}") };
            let index = tickets.remove(&ticket).expect("a call");
            let call = &calls[index];
            played.went[index] = Some(now);
            for (key, units) in counts(book, &call.needs) {
                played.counted.entry(key).or_default().push((now + call.there, units));
            }
            answers.insert((now + call.there + call.back, permit), ());
        }
        let soonest = [
            arrivals.peek().map(|index| calls[*index].at),
            answers.keys().next().map(|(at, _)| *at),
            book.next().filter(|at| *at > now),
        ];
        let Some(next) = soonest.into_iter().flatten().min() else { break };
        now = next;
    }
    played.last = now;
    played
}

/// The declared tallies that a call counts for.
fn counts(book: &Book, needs: &Needs) -> Vec<(TallyKey, u32)> {
    let keys = book.keys(needs).into_iter();
    let keys = keys.filter(|(index, _)| book.limits()[*index].allowed.is_some());
    keys.map(|key| (key.clone(), book.limits()[key.0].units(needs.endpoint))).collect()
}

/// The most units in any window of each tally, as an exact platform sees them.
fn highest(book: &Book, played: &Played) -> BTreeMap<TallyKey, u32> {
    let mut result = BTreeMap::new();
    for (key, counted) in &played.counted {
        let allowed = book.limits()[key.0].allowed.expect("declared");
        let mut counted = counted.clone();
        counted.sort_unstable();
        let mut most = 0;
        for (place, (end, _)) in counted.iter().enumerate() {
            let inside = counted[..=place].iter().filter(|(at, _)| match allowed.span.counting {
                Counting::Sliding => *at + allowed.span.per > *end,
                Counting::Fixed(_) => {
                    let per = u64::try_from(allowed.span.per.as_nanos()).expect("fits");
                    at.nanos() / per == end.nanos() / per
                }
            });
            most = most.max(inside.map(|(_, units)| units).sum());
        }
        result.insert(key.clone(), most);
    }
    result
}
