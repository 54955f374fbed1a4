//! Due hours of one account in windows that one request can ask for.

use super::Align;
use crate::pipeline::WindowRules;
use crate::refresh::Hour;
use crate::time::{Instant, Window, slot};

/// So many hours that are not due may lie between two that are: reading them costs less than another request.
const PASSED_OVER: i64 = 6;

/// An hour that is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) hour: Hour,
    /// When it was last read.
    pub(super) confirmed: Option<Instant>,
    /// Whether what the lake has of it may be incomplete.
    pub(super) is_first: bool,
}

/// Hours that are asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) window: Window,
    /// The last reading of any of them.
    pub(super) confirmed: Option<Instant>,
    pub(super) is_first: bool,
    /// Hours in it that are due.
    due: i64,
    number: i64,
}

impl Piece {
    fn new(want: &Want) -> Piece {
        Piece {
            window: want.hour.ask,
            confirmed: want.confirmed,
            is_first: want.is_first,
            due: 1,
            number: want.hour.piece,
        }
    }

    /// Both and what lies between, if `other` is the later one.
    fn with(&self, other: &Piece) -> Piece {
        let to = self.window.to().max(other.window.to());
        Piece {
            window: Window::new(self.window.from(), to).unwrap_or(self.window),
            confirmed: self.confirmed.max(other.confirmed),
            is_first: self.is_first || other.is_first,
            due: self.due + other.due,
            number: self.number,
        }
    }
}

/// The windows in which `wants`, in order, are asked for; in order.
///
/// Windows of days keep to the platform's count of days. Windows of hours begin and end with a due hour; they keep to a
/// count of hours that is the same for all accounts, unless what is left of two neighbours fits into one request.
pub(super) fn pieces(rules: &WindowRules, wants: &[Want]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for want in wants {
        let next = Piece::new(want);
        match pieces.last_mut() {
            Some(last) if last.number == next.number && belong_together(rules, last, &next) => *last = last.with(&next),
            _ => pieces.push(next),
        }
    }
    if rules.align != Align::Hour {
        return pieces;
    }
    let mut joined: Vec<Piece> = Vec::new();
    for next in pieces {
        match joined.last_mut() {
            Some(last) if fit_together(rules, last, &next) => *last = last.with(&next),
            _ => joined.push(next),
        }
    }
    joined
}

/// Whether reading what lies between is worth the request that it saves.
fn belong_together(rules: &WindowRules, one: &Piece, other: &Piece) -> bool {
    if rules.align != Align::Hour {
        return true;
    }
    let between = slot(other.window.from()) - slot(one.window.to());
    between <= PASSED_OVER.max(one.due + other.due)
}

fn fit_together(rules: &WindowRules, one: &Piece, other: &Piece) -> bool {
    // Slots and not hours are counted: an hour that a clock skips or repeats makes no window longer than allowed.
    let length = other.window.to() - one.window.from();
    length <= chrono::TimeDelta::hours(i64::from(rules.size)) && belong_together(rules, one, other)
}
