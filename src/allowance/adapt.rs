//! A pace that is found by trying: additive increase, multiplicative decrease.
//!
//! Refusals say that the pace was too high: it is cut by three tenths (a declared limit, which may only have met a
//! passing guest, by three twentieths at first). While requests go, it grows: it doubles every tempo until the first refusal,
//! then by a twentieth a tempo of the pace that was refused, and by a hundredth once it comes near that again.

use std::time::Duration;

use super::Moment;

/// What remains of the pace after a refusal.
const CUT: f64 = 0.7;
/// What remains of a declared pace after a first refusal.
const FIRST_CUT: f64 = 0.85;
/// From here on to the refused pace growth is careful.
const NEAR: f64 = 0.9;
const GROWTH: f64 = 0.05;
const CAREFUL_GROWTH: f64 = 0.01;
/// So many tempi after a refusal the pace that was refused says nothing any more.
const MEMORY: u32 = 120;
/// No pace is slower: a request in ten minutes.
const SLOWEST: f64 = 1.0 / 600.0;

/// A pace below what was declared, or one where nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Adapt {
    /// Units a second; as declared (or without bound) where it is `None`.
    pub(super) rate: Option<f64>,
    /// The pace that was refused last.
    pub(super) level: Option<f64>,
    /// When the pace changed last.
    pub(super) changed: Moment,
    /// When it was refused last.
    pub(super) refused: Option<Moment>,
}

impl Adapt {
    /// Begins at `rate`, to find out more.
    pub fn starting(rate: f64) -> Adapt {
        Adapt { rate: Some(rate), ..Adapt::default() }
    }

    /// Units a second, where it is not as declared.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// A request goes at `now`: the pace may grow, up to `ceiling`.
    pub fn went(&mut self, now: Moment, ceiling: Option<f64>, tempo: Duration) {
        let Some(rate) = self.rate else { return };
        if self.changed == Moment::default() {
            self.changed = now;
        }
        // A pause is no proof that more would have been accepted.
        let tempi = (now.since(self.changed).as_secs_f64() / tempo.as_secs_f64()).min(1.0);
        self.changed = now;
        if self.refused.is_some_and(|at| now.since(at) > tempo * MEMORY) {
            self.level = None;
        }
        let grown = match self.level {
            None => rate * 2f64.powf(tempi),
            Some(level) if rate < level * NEAR => rate + level * GROWTH * tempi,
            Some(level) => rate + level * CAREFUL_GROWTH * tempi,
        };
        // At the ceiling the declared pace is all that counts.
        self.rate = match ceiling {
            Some(ceiling) if grown >= ceiling => None,
            _ => Some(grown),
        };
    }

    /// A request was refused at `now`. `observed` is how many units a second went lately, where the limit is not known: a
    /// declared one is not taken to be lower because little was asked for. One answer for all refusals of one tempo.
    pub fn refused(&mut self, now: Moment, observed: Option<f64>, ceiling: Option<f64>, tempo: Duration) {
        let lately = self.refused.is_some_and(|at| now.since(at) < tempo * 10);
        if self.refused.is_some_and(|at| now.since(at) < tempo) {
            return;
        }
        self.refused = Some(now);
        self.changed = now;
        let known = self.rate.or(ceiling).unwrap_or(f64::MAX);
        let level = observed.map_or(known, |observed| known.min(observed.max(SLOWEST)));
        let cut = if ceiling.is_some() && self.rate.is_none() && !lately { FIRST_CUT } else { CUT };
        self.level = Some(level);
        self.rate = Some((level * cut).max(SLOWEST));
    }
}
