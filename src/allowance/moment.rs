//! Moments to the nanosecond, as quotas need them.

use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::time::Instant;

/// Nanoseconds since 1970; the program's own clock, which never goes back while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The end of time.
    pub const MAX: Moment = Moment(u64::MAX);

    /// So many nanoseconds after 1970 began.
    pub const fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// So many milliseconds after 1970 began.
    pub const fn from_millis(millis: u64) -> Moment {
        Moment(millis.saturating_mul(1_000_000))
    }

    /// What `instant` is; 1970 for what is before it.
    pub fn from_instant(instant: Instant) -> Moment {
        Moment(instant.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0))
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since 1970, rounded up: what is written down is never earlier than what was.
    pub const fn millis_up(self) -> u64 {
        self.0.div_ceil(1_000_000)
    }

    /// The same as an instant.
    pub fn instant(self) -> Instant {
        i64::try_from(self.0).map_or(DateTime::<Utc>::MAX_UTC, DateTime::from_timestamp_nanos)
    }

    /// How long after `earlier` this is; zero where it is not.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}
