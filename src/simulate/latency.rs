//! How long answers take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::dice;

/// The time that an answer takes: one duration (`20ms`), or anything between two (`20ms..200ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// The least.
    pub from: Duration,
    /// The most.
    pub to: Duration,
}

impl Latency {
    /// The time of one answer, in two parts: before and after the request is counted. `counted_at` is the share of the
    /// first.
    pub(super) fn parts(&self, bits: u64, counted_at: f64) -> (Duration, Duration) {
        let span = u64::try_from(self.to.saturating_sub(self.from).as_nanos()).unwrap_or(u64::MAX);
        let whole = self.from + Duration::from_nanos(dice::below(bits, span.saturating_add(1)));
        let before = whole.mul_f64(counted_at.clamp(0.0, 1.0)).min(whole);
        (before, whole - before)
    }
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let read = |part: &str| {
            let wrong = |_| format!("`{text}` is no latency; write it like 20ms or 20ms..200ms");
            humantime::parse_duration(part.trim()).map_err(wrong)
        };
        let latency = Self { from: read(from)?, to: read(to)? };
        if latency.to < latency.from {
            return Err(format!("`{text}` ends before it begins; write the shorter time first"));
        }
        Ok(latency)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", humantime::format_duration(self.from))?;
        if self.to > self.from {
            write!(formatter, "..{}", humantime::format_duration(self.to))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_read_and_written_alike() {
        for text in ["20ms", "20ms..200ms", "0s..1s"] {
            assert_eq!(text.parse::<Latency>().expect("valid").to_string(), text);
        }
        for wrong in ["", "soon", "20", "200ms..20ms", "20ms..", "20ms...30ms"] {
            assert!(wrong.parse::<Latency>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn draws_reach_both_ends_and_split_where_the_request_is_counted() {
        let latency: Latency = "20ms..200ms".parse().expect("valid");
        let whole = |bits: u64| latency.parts(bits, 0.0).1;
        assert_eq!((whole(0), whole(u64::MAX)), (latency.from, latency.to));
        for bits in (0..1_000).map(|number| dice::mix(7, number)) {
            let (before, after) = latency.parts(bits, 0.25);
            assert!((latency.from..=latency.to).contains(&(before + after)));
            assert!(before.abs_diff((before + after) / 4) < Duration::from_micros(1), "{before:?} {after:?}");
            assert_eq!(latency.parts(bits, 1.0), (before + after, Duration::ZERO));
        }
    }
}
