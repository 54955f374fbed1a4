//! How much of the limits may be used, and when: pure arithmetic, with the time as an argument.
//!
//! A [`Book`] holds a tally for every limit and everyone it is counted by, decides which of the waiting requests may go,
//! and learns from the answers. `docs/rate-limits.md` tells the same for users.
//!
//! # Why no limit is ever passed
//!
//! A platform counts request *i* at a moment `c` that nobody here sees: after it was let go (`g`) and before its answer
//! is there (`a`). A sliding limit of `N` in `T` is kept if `c(i) >= c(i-N) + T`. As `c(i) >= g(i)` and
//! `c(i-N) <= a(i-N)`, it is enough to let *i* go at
//!
//! ```text
//! g(i) >= a(i-N) + T
//! ```
//!
//! and to count a request without an answer as used. That holds whatever the network and the platform do, and uses
//! `T / (T + L)` of the limit where answers take `L`: nearly all of it for periods of minutes and longer, and too little
//! for a limit in a second. So a permit is held for at most two hundredths of the period beyond it:
//!
//! ```text
//! g(i) >= min(a(i-N), g(i-N) + 0.02 T) + T
//! ```
//!
//! The use is at least `1 / 1.02`, 98 %. It is exact as long as the times from letting requests go to their being counted
//! differ by less than `0.02 T`, 20 ms for a limit in a second, whatever the way takes and whatever answers take: platforms
//! count when a request arrives. Where one counts later (`strict = true`, or found out by a refusal that nothing else explains) the first rule holds.
//!
//! | file | what |
//! |---|---|
//! | [`moment`] | nanoseconds since 1970 |
//! | [`pace`] | even pacing: governor's GCRA as a function |
//! | [`counted`] | exact sliding and fixed windows |
//! | [`latency`] | how long answers take, for forecasts |
//! | [`adapt`] | a pace that is found by trying |
//! | [`limit`] | a declared quota, made ready |
//! | [`tally`] | one limit and one of those it is counted by |
//! | [`kept`] | a tally as it outlives the process |
//! | [`book`] | all tallies, and who goes next |
//! | `told` | what the platform says of its limits |
//! | [`mod@forecast`] | how long a plan will take |

pub mod adapt;
pub mod book;
pub mod counted;
pub mod forecast;
pub mod kept;
pub mod latency;
pub mod limit;
pub mod moment;
pub mod pace;
pub mod tally;
mod told;

#[cfg(test)]
mod tests;

pub use book::{Book, Decided, Needs, PermitId, Ticket};
pub use forecast::{Crew, Forecast, Job, forecast};
pub use limit::Limit;
pub use moment::Moment;
pub use tally::{Closed, Free, Tally};
