//! How much of the limits may be used, and when: pure arithmetic, with the time as an argument.
//!
//! A [`Book`] holds a tally for every limit and everyone it is counted by, decides which of the waiting requests may go,
//! and learns from the answers. `docs/rate-limits.md` tells the same for users.
//!
//! # Why no limit is ever passed
//!
//! A platform counts request *i* at a moment `c` that nobody here sees: after it was let go (`g`) and before its answer
//! is there (`a`). What is known is that it takes at least `u` from `g` to `c` and at least `v` from `c` to `a`. A
//! sliding limit of `N` in `T` is kept if `c(i) >= c(i-N) + T`. Since `c(i) >= g(i) + u` and `c(i-N) <= a(i-N) - v`,
//! it is enough to let *i* go at
//!
//! ```text
//! g(i) >= a(i-N) + T - (u + v)
//! ```
//!
//! and a request without an answer counts as used. `u + v` is at most the shortest time that any answer took, so
//! nine tenths of that are taken off ([`latency`]); before there is experience, nothing is. Each permit is thus held for
//! `T` and what its answer took longer than the quickest ones do: the use is `T / (T + mean excess)`, above 95 % of a
//! limit in a second as long as answers scatter by less than 50 ms, and nearly all of it for longer periods.
//!
//! | file | what |
//! |---|---|
//! | [`moment`] | nanoseconds since 1970 |
//! | [`pace`] | even pacing: governor's GCRA as a function |
//! | [`counted`] | exact sliding and fixed windows |
//! | [`latency`] | how long answers take |
//! | [`adapt`] | a pace that is found by trying |
//! | [`limit`] | a declared quota, made ready |
//! | [`tally`] | one limit and one of those it is counted by |
//! | [`kept`] | a tally as it outlives the process |
//! | [`book`] | all tallies, and who goes next |
//! | [`forecast`] | how long a plan will take |

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

#[cfg(test)]
mod tests;

pub use book::{Book, Decided, Needs, PermitId, Ticket};
pub use forecast::{Forecast, Job, forecast};
pub use limit::{Limit, Whose};
pub use moment::Moment;
pub use tally::{Closed, Free, Tally};
