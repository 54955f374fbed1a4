//! What a pipeline's own history tells of its refresh marks.
//!
//! Each reading at a mark tells whether the hour had moved. Where hardly any hour moves at a mark, it is read for a
//! sample of the blocks only; where many still move at the last one, a later one is added, and where most move at one that
//! comes long after the one before, one in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DAY, Mark};

/// So many readings of hours at a mark are needed before anything follows from them.
const ENOUGH: u64 = 500;
/// Below this share of hours that moved a mark is sampled, above the other it is read in full again; in thousandths.
const QUIET: u64 = 5;
const LIVELY: u64 = 20;
/// From this share on at the last mark a later one is added.
const STILL_MOVING: u64 = 200;
/// From this share on a mark is added between two that are far apart.
const MOVED_BETWEEN: u64 = 500;
/// Marks are far apart where the later is so many times the earlier.
const FAR_APART: u32 = 4;
/// No mark is added beyond this age.
const OLDEST: Duration = Duration::from_secs(90 * 86_400);
const HOUR: u64 = 3600;

/// How many account-hours were read again at an age, and how many of them had moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Movement {
    /// Read again.
    pub hours: u64,
    /// Of these had moved.
    pub changed: u64,
}

impl Movement {
    /// The share that had moved, in thousandths; `None` before there are enough.
    pub fn share(&self) -> Option<u64> {
        // An hour that moved twice between two marks counts twice.
        (self.hours >= ENOUGH).then(|| (self.changed.saturating_mul(1000) / self.hours).min(1000))
    }
}

/// What follows from the movements, as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Ages in seconds at which only a sample is read.
    pub quiet: BTreeSet<u64>,
    /// Ages in seconds that were added.
    pub added: BTreeSet<u64>,
}

impl Learned {
    /// The marks that follow from the declared ages, ascending.
    pub fn marks(&self, declared: &[Duration]) -> Vec<Mark> {
        let ages: BTreeSet<u64> = declared.iter().map(Duration::as_secs).chain(self.added.iter().copied()).collect();
        let mark = |age: u64| Mark { age: Duration::from_secs(age), sampled: self.quiet.contains(&age) };
        ages.into_iter().map(mark).collect()
    }
}

/// What follows from `movements` (by age in seconds) for the `declared` ages; `before` is what followed until now, so
/// that a share near a bound does not change its mind with every run. `oldest` is how far back the platform answers.
pub fn learn(
    declared: &[Duration],
    oldest: Option<Duration>,
    movements: &BTreeMap<u64, Movement>,
    before: &Learned,
) -> Learned {
    let share = |age: u64| movements.get(&age).and_then(Movement::share);
    let ages: BTreeSet<u64> = declared.iter().map(Duration::as_secs).chain(before.added.iter().copied()).collect();
    let mut learned = Learned { quiet: BTreeSet::new(), added: before.added.clone() };
    for age in &ages {
        let was_quiet = before.quiet.contains(age);
        let bound = if was_quiet { LIVELY } else { QUIET };
        if share(*age).map_or(was_quiet, |share| share < bound) {
            learned.quiet.insert(*age);
        }
    }
    let reach = oldest.unwrap_or(OLDEST).min(OLDEST).as_secs();
    let mut previous: Option<u64> = None;
    for age in &ages {
        if let Some(previous) = previous
            && share(*age).is_some_and(|share| share >= MOVED_BETWEEN)
            && *age >= previous * u64::from(FAR_APART)
        {
            learned.added.insert(between(previous, *age));
        }
        previous = Some(*age);
    }
    if let Some(last) = ages.last()
        && share(*last).is_some_and(|share| share >= STILL_MOVING)
        && last * 2 <= reach
    {
        learned.added.insert(last * 2);
    }
    learned
}

/// The age in the middle of two by ratio, in full hours, or days where it is several.
fn between(one: u64, other: u64) -> u64 {
    let middle = ((one as f64) * (other as f64)).sqrt() as u64;
    let unit = if middle >= 2 * DAY.as_secs() { DAY.as_secs() } else { HOUR };
    (middle / unit).max(1) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: u64 = 86_400;

    fn declared() -> Vec<Duration> {
        [HOUR, 3 * HOUR, DAYS, 3 * DAYS, 7 * DAYS, 28 * DAYS].map(Duration::from_secs).to_vec()
    }

    fn seen(all: &[(u64, u64, u64)]) -> BTreeMap<u64, Movement> {
        all.iter().map(|(age, hours, changed)| (*age, Movement { hours: *hours, changed: *changed })).collect()
    }

    #[test]
    fn without_evidence_nothing_changes() {
        let few = seen(&[(HOUR, 499, 0), (28 * DAYS, 499, 499)]);
        let learned = learn(&declared(), None, &few, &Learned::default());
        assert_eq!(learned, Learned::default());
        let marks = learned.marks(&declared());
        assert_eq!(marks.len(), 6);
        assert!(marks.iter().all(|mark| !mark.sampled));
    }

    #[test]
    fn quiet_marks_are_sampled_until_they_move_clearly() {
        let quiet = seen(&[(7 * DAYS, 1000, 4)]);
        let first = learn(&declared(), None, &quiet, &Learned::default());
        assert_eq!(first.quiet, BTreeSet::from([7 * DAYS]));
        // A little more is not enough to change it back, nor would it have been enough to make it quiet.
        let little = seen(&[(7 * DAYS, 1000, 15)]);
        assert_eq!(learn(&declared(), None, &little, &first).quiet, first.quiet);
        assert!(learn(&declared(), None, &little, &Learned::default()).quiet.is_empty());
        let lively = seen(&[(7 * DAYS, 1000, 20)]);
        assert!(learn(&declared(), None, &lively, &first).quiet.is_empty());
        // What was learnt stays while there is too little to say otherwise.
        assert_eq!(learn(&declared(), None, &seen(&[]), &first).quiet, first.quiet);
    }

    #[test]
    fn marks_are_added_where_hours_still_move() {
        let moving = seen(&[(28 * DAYS, 1000, 300)]);
        let added = |oldest| learn(&declared(), oldest, &moving, &Learned::default()).added;
        assert_eq!(added(None), BTreeSet::from([56 * DAYS]));
        assert_eq!(added(Some(Duration::from_secs(37 * DAYS))), BTreeSet::new());
        // The added one is the last now: it is added to only by what is seen at itself.
        let first = learn(&declared(), None, &moving, &Learned::default());
        assert_eq!(learn(&declared(), None, &moving, &first), first);
        let further = seen(&[(28 * DAYS, 1000, 300), (56 * DAYS, 1000, 300)]);
        assert_eq!(learn(&declared(), None, &further, &first), first, "112 days are beyond 90");
        let much = seen(&[(DAYS, 1000, 600), (28 * DAYS, 1000, 100)]);
        let between = learn(&declared(), None, &much, &Learned::default());
        assert_eq!(between.added, BTreeSet::from([8 * HOUR]));
        assert_eq!(between.marks(&declared()).len(), 7);
    }
}
