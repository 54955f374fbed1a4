//! What an answer means: a page, nothing new, try again, wait, sign in again, ask for less, or give up.
//!
//! The pipeline's rules are asked first, in their order; what no rule fits follows this table.
//!
//! | answer | verdict |
//! |---|---|
//! | 2xx | a page |
//! | 304 | nothing new |
//! | 429; any status worth another try that says when (`Retry-After`) | throttled |
//! | 408, 5xx, broken connections | retry |
//! | 401 | sign in anew |
//! | other 4xx, redirects | fail |
//!
//! How long a refusal asks to wait is looked for where the rule says, the first place that tells counts; then in the
//! headers `Retry-After`, `X-RateLimit-Reset` and its like, `RateLimit` and `retry-after-ms`, in this order. Moments are
//! measured from the answer's own `Date`. Steps and midnights are only the pipeline's guess, and never shorter than what
//! those headers tell. What is negative or past is a wait of no length; what cannot be read is none.

use std::time::Duration;

use reqwest::header::HeaderMap;

use self::answer::Answer;
use self::fit::{Reason, cut};
use crate::pipeline::{Fault, IdSource, ResponseAction, ResponseRule, Scope};
use crate::secret::{Secret, mask};
use crate::time::Instant;
use crate::usage::wait::said_at;

mod answer;
mod fit;
mod wait;

/// So many characters of a platform's message are repeated, the rule that decided included.
const MAX_MESSAGE: usize = 120;
/// However long the rule, so many are left for the message.
const MIN_MESSAGE: usize = 40;

/// What came of sending a request.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// An answer was read to its end.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: &'a HeaderMap,
        /// Its body, decompressed.
        body: &'a [u8],
    },
    /// None was.
    Broken {
        /// What happened.
        why: &'a str,
        /// Whether it may pass by itself.
        may_pass: bool,
    },
}

/// What it means. The texts are short and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A page.
    Ok,
    /// What is in the cache is still true.
    NotModified,
    /// It may pass: try again.
    Retry {
        /// What was answered.
        why: String,
    },
    /// Over a limit.
    Throttled {
        /// How long the platform asks to wait, where it says so; zero where that moment has passed.
        wait: Option<Duration>,
        /// Whose limit, where a rule says so.
        scope: Option<Scope>,
        /// What was answered.
        why: String,
    },
    /// An answer that should be a page and cannot be read as one. Only who reads pages can say so: [`classify`] does not.
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// The credentials are not accepted: with fresh ones it may be.
    Reauthorise {
        /// What was answered.
        why: String,
    },
    /// Too much was asked for at once.
    Split {
        /// What was answered.
        why: String,
    },
    /// The account is gone or closed to us.
    SkipAccount {
        /// What was answered.
        why: String,
    },
    /// What was to be created is there already.
    Adopt {
        /// Its id.
        id: String,
    },
    /// It will not pass.
    Fail {
        /// Whose fault it is, where a rule says so.
        fault: Option<Fault>,
        /// What was answered.
        why: String,
    },
}

/// What an answer is read with.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The pipeline's rules, in their order.
    pub rules: &'a [ResponseRule],
    /// Masked in messages that the platform wrote.
    pub secrets: &'a [Secret],
    /// For waits that are told as moments, where the answer has no `Date` of its own.
    pub now: Instant,
    /// How often this request was refused before because of a limit.
    pub refusals: u32,
}

/// Says what `outcome` means.
pub fn classify(outcome: &Outcome<'_>, reading: &Reading<'_>) -> Verdict {
    let answer = match *outcome {
        Outcome::Answer { status, headers, body } => Answer::new(status, headers, body, reading.rules),
        Outcome::Broken { why, may_pass: true } => return Verdict::Retry { why: mask(why, reading.secrets) },
        Outcome::Broken { why, may_pass: false } => {
            return Verdict::Fail { fault: None, why: mask(why, reading.secrets) };
        }
    };
    if answer.status == 304 {
        return Verdict::NotModified;
    }
    let from = said_at(answer.headers, reading.now);
    let Some((rule, reason)) = fit::first(reading.rules, &answer) else {
        return by_status(&answer, reading, from);
    };
    let why = || explained(&answer, &reason, "", reading.secrets);
    match &rule.action {
        ResponseAction::Ok => Verdict::Ok,
        ResponseAction::Retry => again(&answer, from, why()),
        ResponseAction::Throttled { scope, wait } => {
            let wait = wait::told_by(wait, &answer, reading.refusals, from);
            Verdict::Throttled { wait, scope: *scope, why: why() }
        }
        ResponseAction::Reauthorise => Verdict::Reauthorise { why: why() },
        ResponseAction::Split => Verdict::Split { why: why() },
        ResponseAction::SkipAccount => Verdict::SkipAccount { why: why() },
        ResponseAction::Adopt { id } => match wait::id(id, &answer) {
            Some(id) => Verdict::Adopt { id },
            None => {
                let (IdSource::Path(path) | IdSource::Text { path, .. }) = id;
                let missing = format!("; no id at `{path}`");
                let why = explained(&answer, &reason, &missing, reading.secrets);
                Verdict::Fail { fault: Some(Fault::Platform), why }
            }
        },
        ResponseAction::Fail { fault } => Verdict::Fail { fault: Some(*fault), why: why() },
    }
}

/// What an answer means that no rule names.
fn by_status(answer: &Answer<'_>, reading: &Reading<'_>, from: Instant) -> Verdict {
    if answer.is_success() {
        return Verdict::Ok;
    }
    let why = explained(answer, &Reason::Status, "", reading.secrets);
    match answer.status {
        429 => Verdict::Throttled { wait: wait::told_by(&[], answer, reading.refusals, from), scope: None, why },
        401 => Verdict::Reauthorise { why },
        408 | 500.. => again(answer, from, why),
        _ => Verdict::Fail { fault: None, why },
    }
}

/// Whoever says when to come back is obeyed, whatever the status.
fn again(answer: &Answer<'_>, from: Instant, why: String) -> Verdict {
    match wait::asked_for(answer, from) {
        Some(wait) => Verdict::Throttled { wait: Some(wait), scope: None, why },
        None => Verdict::Retry { why },
    }
}

/// What was answered, which rule decided, and what else is to be said: short, and without secrets.
fn explained(answer: &Answer<'_>, reason: &Reason<'_>, more: &str, secrets: &[Secret]) -> String {
    let decided = mask(&reason.shown(), secrets);
    let taken = decided.chars().count() + more.chars().count();
    let room = MAX_MESSAGE.saturating_sub(taken).max(MIN_MESSAGE);
    // Masked before it is cut: half a secret is not found any more.
    format!("{}{decided}{more}", cut(&mask(&answer.described(), secrets), room))
}

#[cfg(test)]
mod tests;
