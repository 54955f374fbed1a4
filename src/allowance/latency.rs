//! How long answers take, for forecasts.

use std::collections::VecDeque;
use std::time::Duration;

/// So many of the latest answers count.
const RECENT: usize = 128;

/// The times from letting requests go to their answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    recent: VecDeque<Duration>,
}

impl Latencies {
    /// One more answer.
    pub fn add(&mut self, took: Duration) {
        self.recent.push_back(took);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// The mean of the latest answers; `None` before there is one.
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.recent.len()).ok().filter(|count| *count > 0)?;
        Some(self.recent.iter().sum::<Duration>() / count)
    }
}
