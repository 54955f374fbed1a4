//! Limits as numbers in headers: a header for each number, and the one header of the IETF drafts.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::Said;
use super::wait::{self, joined, number};
use crate::pipeline::WaitUnit;
use crate::time::Instant;

/// Reads a header for each number. Several numbers in one header belong together by their order, and those with the
/// least left count.
pub(super) fn in_headers(
    headers: &HeaderMap,
    limit: Option<&str>,
    remaining: Option<&str>,
    reset: Option<&(String, WaitUnit)>,
    from: Instant,
) -> Said {
    let listed = |name: Option<&str>| name.and_then(|name| joined(headers, name)).map(|text| figures(&text));
    let (limits, left) = (listed(limit).unwrap_or_default(), listed(remaining).unwrap_or_default());
    let mut at = 0;
    for (index, figure) in left.iter().enumerate() {
        let least = left[at].unwrap_or(f64::INFINITY);
        if figure.is_some_and(|figure| figure < least) {
            at = index;
        }
    }
    let wait = reset.and_then(|(name, unit)| {
        let text = joined(headers, name)?;
        wait::read(&text, *unit, from).or_else(|| {
            let parts: Vec<&str> = text.split(',').collect();
            wait::read(parts.get(at).or(parts.first())?, *unit, from)
        })
    });
    Said { limit: count_at(&limits, at), remaining: count_at(&left, at), percent: None, wait }
}

/// Reads the header `RateLimit` of the drafts under whatever name, and the limits from its companion `-Policy`.
pub(super) fn in_rate_limit(headers: &HeaderMap, name: &str, wanted: Option<&str>, from: Instant) -> Said {
    let Some(text) = joined(headers, name) else { return Said::default() };
    let policies = policies(&text, from);
    let Some(policy) = tightest(&policies, wanted) else { return Said::default() };
    let limit = policy.limit.or_else(|| {
        let declared = self::policies(&joined(headers, &format!("{name}-Policy"))?, from);
        declared.iter().find(|other| other.name == policy.name)?.limit
    });
    Said { limit: limit.map(count), remaining: policy.remaining.map(count), percent: None, wait: policy.wait }
}

/// How long the exhausted policies of a header of the drafts ask to wait; the longest.
pub(crate) fn exhausted_for(headers: &HeaderMap, name: &str, from: Instant) -> Option<Duration> {
    let policies = policies(&joined(headers, name)?, from);
    policies.iter().filter(|policy| policy.exhausted()).filter_map(|policy| policy.wait).max()
}

/// Whether a header tells that something is left.
pub(crate) fn something_left(headers: &HeaderMap, name: &str) -> bool {
    let left = joined(headers, name).map(|text| figures(&text)).unwrap_or_default();
    left.iter().any(Option::is_some) && left.iter().flatten().all(|figure| *figure >= 1.0)
}

/// One limit of several.
#[derive(Debug, Default)]
struct Policy {
    name: Option<String>,
    limit: Option<f64>,
    remaining: Option<f64>,
    wait: Option<Duration>,
}

impl Policy {
    fn exhausted(&self) -> bool {
        self.remaining.is_some_and(|remaining| remaining < 1.0)
    }

    /// Takes `key=value` in the words of either draft; `false` where that is known already.
    fn take(&mut self, pair: &str, from: Instant) -> bool {
        let Some((key, value)) = pair.split_once('=') else { return true };
        let value = value.trim().trim_matches('"');
        let slot = match key.trim().to_ascii_lowercase().as_str() {
            "limit" | "q" => &mut self.limit,
            "remaining" | "r" => &mut self.remaining,
            "reset" | "t" => {
                let is_new = self.wait.is_none();
                self.wait = self.wait.or_else(|| wait::read(value, WaitUnit::Auto, from));
                return is_new;
            }
            _ => return true,
        };
        let is_new = slot.is_none();
        *slot = slot.or_else(|| number(value));
        is_new
    }
}

/// `"name";r=0;t=17, "other";r=5;t=3`, or `limit=100, remaining=50, reset=5`.
fn policies(text: &str, from: Instant) -> Vec<Policy> {
    let mut policies: Vec<Policy> = Vec::new();
    for item in split(text, ',') {
        let mut parts = split(item, ';').into_iter();
        let first = parts.next().unwrap_or_default();
        let quoted = first.starts_with('"');
        if first.contains('=') && !quoted {
            // The older form has no names: a number that came before begins the next policy.
            let open = policies.last_mut().filter(|policy| policy.name.is_none());
            if !open.is_some_and(|policy| policy.take(first, from)) {
                let mut policy = Policy::default();
                policy.take(first, from);
                policies.push(policy);
            }
        } else {
            let name = if quoted { first.trim_matches('"').replace("\\\"", "\"") } else { first.to_owned() };
            policies.push(Policy { name: Some(name), ..Policy::default() });
        }
        for part in parts {
            if let Some(policy) = policies.last_mut() {
                policy.take(part, from);
            }
        }
    }
    policies
}

/// The policy that counts: of the named one (or all) the exhausted one with the longest wait, else the one with the
/// least left.
fn tightest<'p>(policies: &'p [Policy], wanted: Option<&str>) -> Option<&'p Policy> {
    let mut best: Option<&Policy> = None;
    for policy in policies {
        let is_meant = policy.name.is_none() || wanted.is_none() || policy.name.as_deref() == wanted;
        if is_meant && best.is_none_or(|best| tighter(policy, best)) {
            best = Some(policy);
        }
    }
    best
}

fn tighter(one: &Policy, other: &Policy) -> bool {
    let left = |policy: &Policy| policy.remaining.unwrap_or(f64::INFINITY);
    match (one.exhausted(), other.exhausted()) {
        (true, true) => one.wait > other.wait,
        (false, false) if left(one) == left(other) => one.wait > other.wait,
        (false, false) => left(one) < left(other),
        (exhausted, _) => exhausted,
    }
}

/// The pieces between separators that are not inside quotes, without white space at their ends.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                pieces.push(text[begin..at].trim());
                begin = at + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(text[begin..].trim());
    pieces
}

/// The numbers of a list; what follows a number after a semicolon describes it.
fn figures(text: &str) -> Vec<Option<f64>> {
    text.split(',').map(|item| number(item.split(';').next().unwrap_or_default())).collect()
}

fn count_at(figures: &[Option<f64>], at: usize) -> Option<u32> {
    figures.get(at).copied().flatten().or_else(|| figures.first().copied().flatten()).map(count)
}

/// Whole units: a part of one cannot be used. Negative is none, too large is as much as there can be.
fn count(figure: f64) -> u32 {
    figure as u32
}
