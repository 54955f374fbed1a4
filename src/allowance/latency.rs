//! How long answers take: what a permit need not be held for.

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;

/// So many of the latest answers tell how long slow ones take.
const RECENT: usize = 128;
/// Fewer answers are no experience.
const ENOUGH: usize = 8;
/// The quickest answer is remembered for one to two of these.
const GENERATION: Duration = Duration::from_secs(300);

/// The times from letting requests go to their answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    recent: VecDeque<Duration>,
    quickest: Option<Duration>,
    quickest_before: Option<Duration>,
    since: Moment,
}

impl Latencies {
    /// One more answer.
    pub fn add(&mut self, took: Duration, now: Moment) {
        if self.quickest.is_none() || now.since(self.since) > GENERATION {
            self.quickest_before = self.quickest.take();
            self.since = now;
        }
        self.quickest = Some(self.quickest.map_or(took, |known| known.min(took)));
        self.recent.push_back(took);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// The part of an answer's time that is the same for all: nine tenths of the quickest one; nothing before there is
    /// experience.
    pub fn floor(&self) -> Duration {
        if self.recent.len() < ENOUGH {
            return Duration::ZERO;
        }
        let quickest = [self.quickest, self.quickest_before].into_iter().flatten().min().unwrap_or_default();
        quickest * 9 / 10
    }

    /// What all but the two slowest of the latest answers took at most; `None` before there is experience.
    pub fn slow(&self) -> Option<Duration> {
        if self.recent.len() < ENOUGH {
            return None;
        }
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        sorted.len().checked_sub(3).and_then(|place| sorted.get(place).copied())
    }

    /// The mean of the latest answers; `None` before there is one.
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.recent.len()).ok().filter(|count| *count > 0)?;
        Some(self.recent.iter().sum::<Duration>() / count)
    }

    /// The latest moment at which the platform can have counted a request that was let go at `granted` and answered at
    /// `answered`.
    pub fn counted_by(&self, granted: Moment, answered: Moment) -> Moment {
        (answered - self.floor()).max(granted)
    }
}
