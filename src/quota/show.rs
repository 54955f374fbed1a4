//! Where the limits stand, as plain values for reports and metrics.

use std::time::Duration;

use crate::allowance::{Book, Free, Limit, Moment};
use crate::pipeline::Endpoint;
use crate::unit::Lane;
use crate::usage::Whose;

/// Where a limit stands with one of those it is counted by.
#[derive(Debug, Clone, PartialEq)]
pub struct Use {
    /// The limit's name; `(app)` and the like where none is declared.
    pub quota: String,
    /// By whom it is counted.
    pub whose: Whose,
    /// Units that may be used in a period, and the period; `None` where none are declared.
    pub limit: Option<(u32, Duration)>,
    /// Units that count now, those under way included.
    pub used: u32,
    /// Units of requests under way.
    pub under_way: u32,
    /// Requests sent in all.
    pub sent: u64,
    /// Requests refused in all.
    pub refused: u64,
    /// When the next request may go; `None` where an answer decides.
    pub next: Option<Moment>,
    /// What the platform said where it is closed.
    pub closed: Option<String>,
    /// Units a second, where the pace is below what is declared.
    pub pace: Option<f64>,
}

/// `app 20/1s by app`; nothing for what is not declared.
pub(super) fn declared(limit: &Limit) -> Option<String> {
    let allowed = limit.allowed?;
    let per = humantime::format_duration(allowed.span.per);
    Some(format!("{} {}/{per} by {}", limit.label, allowed.declared, limit.scope.word()))
}

/// All limits with everybody who has used something of them, in the order of declaration; of what is not declared only
/// what says something.
pub fn uses(book: &Book, now: Moment) -> Vec<Use> {
    let mut all: Vec<(usize, Use)> = Vec::new();
    for (key, tally) in book.tallies() {
        let limit = &book.limits()[key.0];
        let (sent, refused) = tally.counts();
        let closed = tally.closed(now).map(|closed| closed.why.clone());
        let pace = tally.found_rate();
        if limit.allowed.is_none() && refused == 0 && closed.is_none() && pace.is_none() {
            continue;
        }
        let next = match tally.free(limit, wish(limit), now) {
            Free::Now => Some(now),
            Free::At(at) => Some(at),
            Free::OnAnswer => None,
        };
        all.push((
            key.0,
            Use {
                quota: limit.label.clone(),
                whose: key.1.clone(),
                limit: limit.allowed.map(|allowed| (tally.most(&allowed), allowed.span.per)),
                used: tally.in_use(limit, now),
                under_way: tally.under_way_units(),
                sent,
                refused,
                next,
                closed,
                pace,
            },
        ));
    }
    // The first three are what is not declared.
    all.sort_by(|(one, a), (two, b)| (*one < 3, *one, &a.whose).cmp(&(*two < 3, *two, &b.whose)));
    all.into_iter().map(|(_, used)| used).collect()
}

fn wish(limit: &Limit) -> crate::allowance::tally::Wish {
    let units = Endpoint::ALL.into_iter().map(|endpoint| limit.units(endpoint)).filter(|units| *units > 0).min();
    crate::allowance::tally::Wish { units: units.unwrap_or(1), lane: Lane::Hourly }
}
