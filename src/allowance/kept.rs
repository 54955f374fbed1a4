//! A tally as it outlives the process: JSON, a few bytes for each piece of a window.
//!
//! Moments are whole milliseconds, rounded up: a permit is never forgotten too early.

use serde::{Deserialize, Serialize};

use super::Moment;
use super::adapt::Adapt;
use super::counted::{Counted, Piece};
use super::limit::Limit;
use super::tally::{Closed, Hourly, Open, Others, Tally, Told};
use crate::unit::Lane;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paced: Option<u64>,
    /// First, last, hourly lane, other lanes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pieces: Vec<(u64, u64, u32, u32)>,
    /// Holder, granted, units, lane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<(String, u64, u32, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<(u64, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<(u32, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learned: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<f64>,
    #[serde(default)]
    changed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_at: Option<u64>,
    #[serde(default)]
    hourly: (u64, u32, u32),
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    #[serde(default)]
    granted: u64,
    #[serde(default)]
    refused: u64,
}

impl Tally {
    /// The tally as bytes; requests under way are written as those of `holder`.
    pub fn keep(&self, holder: &str) -> Vec<u8> {
        let own = self.open.values().map(|open| kept_open(holder, open));
        let others = self.others.iter().map(|others| kept_open(&others.holder, &others.open));
        let pieces = self.counted.pieces.iter();
        let kept = Kept {
            paced: self.paced,
            pieces: pieces.map(|p| (p.first.millis_up(), p.last.millis_up(), p.hourly, p.other)).collect(),
            open: own.chain(others).collect(),
            closed: self.closed.as_ref().map(|closed| (closed.until.millis_up(), closed.why.clone())),
            told: self.told.map(|told| (told.left, told.until.millis_up())),
            learned: self.learned,
            rate: self.adapt.rate,
            level: self.adapt.level,
            changed: self.adapt.changed.millis_up(),
            refused_at: self.adapt.refused.map(Moment::millis_up),
            hourly: (self.hourly.period, self.hourly.now, self.hourly.before),
            late: self.late,
            granted: self.granted,
            refused: self.refused,
        };
        // A struct of numbers and texts can always be written.
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// Puts into this tally, as others left it, what this process knows of it besides. `changed`: and has not kept yet.
    pub(super) fn take_over(&mut self, known: &Tally, limit: &Limit, changed: bool) {
        self.open = known.open.clone();
        self.flow = known.flow;
        self.warned = known.warned;
        if let Some(allowed) = limit.allowed {
            for (at, units, lane) in &known.unkept {
                self.counted.add(&allowed.span, *at, *units, *lane);
            }
        }
        self.unkept.clone_from(&known.unkept);
        if !changed {
            return;
        }
        if let Some(closed) = &known.closed {
            self.close(closed.until, &closed.why);
        }
        self.told = known.told.or(self.told);
        self.learned = known.learned.or(self.learned);
        self.adapt = known.adapt;
        self.late |= known.late;
        self.refused = self.refused.max(known.refused);
        self.granted = self.granted.max(known.granted);
    }

    /// What `bytes` hold, at `now`; a fresh tally where they cannot be read. Requests under way are all those of others.
    pub fn from_kept(limit: &Limit, bytes: &[u8], now: Moment) -> Tally {
        let Ok(kept) = serde_json::from_slice::<Kept>(bytes) else { return Tally::new(limit) };
        // What was written by a clock that was ahead must not hold for longer than what is written now.
        let past = |millis: u64| Moment::from_millis(millis).min(now);
        let pieces = kept.pieces.into_iter();
        let pieces =
            pieces.map(|(first, last, hourly, other)| Piece { first: past(first), last: past(last), hourly, other });
        let open = kept.open.into_iter().map(|(holder, granted, units, lane)| Others {
            holder,
            open: Open { granted: past(granted), units, lane: Lane::parse(&lane).unwrap_or(Lane::Hourly) },
        });
        let mut adapt = Adapt {
            rate: kept.rate,
            level: kept.level,
            changed: past(kept.changed),
            refused: kept.refused_at.map(past),
        };
        if adapt.rate.is_none() && kept.granted == 0 {
            adapt = limit.first_try();
        }
        Tally {
            paced: kept.paced.map(|state| state.min(now.nanos().saturating_add(limit_ahead(limit)))),
            counted: Counted { pieces: pieces.collect() },
            others: open.collect(),
            closed: kept.closed.map(|(until, why)| Closed { until: Moment::from_millis(until), why }),
            told: kept.told.map(|(left, until)| Told { left, until: Moment::from_millis(until) }),
            learned: kept.learned,
            adapt,
            hourly: Hourly { period: kept.hourly.0, now: kept.hourly.1, before: kept.hourly.2 },
            late: kept.late,
            granted: kept.granted,
            refused: kept.refused,
            ..Tally::default()
        }
    }
}

fn kept_open(holder: &str, open: &Open) -> (String, u64, u32, String) {
    (holder.to_owned(), open.granted.millis_up(), open.units, open.lane.word().to_owned())
}

/// The pace's state lies at most a period ahead of the clock that wrote it.
fn limit_ahead(limit: &Limit) -> u64 {
    limit.allowed.map_or(0, |allowed| u64::try_from(allowed.span.per.as_nanos()).unwrap_or(u64::MAX))
}
