//! Forms in which a text names an hour, in the letters of strftime.

use std::fmt;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::Instant;

/// A form such as `%Y-%m-%d|%H`. It names a date and an hour, or a moment.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    items: Vec<Item<'static>>,
}

/// What a text says by its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The moment itself: the pattern has an offset, or counts seconds.
    At(Instant),
    /// What some clock shows.
    Shown(NaiveDateTime),
}

impl Pattern {
    /// Reads the letters of strftime. `None` where one is none of them, or date and hour do not follow from the text.
    pub fn parse(text: &str) -> Option<Pattern> {
        let items = StrftimeItems::new(text).parse_to_owned().ok()?;
        let pattern = Pattern { text: text.to_owned(), items };
        // After noon and on a day above 12: half of an hour and two numbers in each other's place are seen.
        let probe = NaiveDate::from_ymd_opt(2026, 11, 20)?.and_hms_opt(21, 0, 0)?;
        let mut written = String::new();
        let formatted = probe.and_utc().format_with_items(pattern.items.iter());
        fmt::Write::write_fmt(&mut written, format_args!("{formatted}")).ok()?;
        let read = match pattern.read(&written)? {
            Read::At(moment) => moment.naive_utc(),
            Read::Shown(shown) => shown,
        };
        (read == probe).then_some(pattern)
    }

    /// What `text` says; `None` where it does not have this form. Minutes and seconds that the form lacks are zero.
    pub fn read(&self, text: &str) -> Option<Read> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        if parsed.minute().is_none() && parsed.timestamp().is_none() {
            parsed.set_minute(0).ok()?;
        }
        let offset = parsed.offset();
        let shown = parsed.to_naive_datetime_with_offset(offset.unwrap_or(0)).ok()?;
        if offset.is_none() && parsed.timestamp().is_none() {
            return Some(Read::Shown(shown));
        }
        let moment = shown.and_utc().checked_sub_signed(TimeDelta::seconds(i64::from(offset.unwrap_or(0))))?;
        Some(Read::At(moment))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<String> {
        let pattern = Pattern::parse(pattern).unwrap_or_else(|| panic!("{pattern}"));
        pattern.read(text).map(|read| match read {
            Read::At(moment) => moment.to_rfc3339(),
            Read::Shown(shown) => shown.to_string(),
        })
    }

    #[test]
    fn texts_of_a_form_name_their_hour() {
        let cases = [
            ("%Y-%m-%d|%H", "2026-03-01|7", "2026-03-01 07:00:00"),
            ("%Y-%m-%d|%H", "2026-03-01|13", "2026-03-01 13:00:00"),
            ("%Y-%m-%d|%H", "2026-03-01|00", "2026-03-01 00:00:00"),
            ("%m/%d/%Y 12:00:00 AM|%H", "3/1/2026 12:00:00 AM|7", "2026-03-01 07:00:00"),
            ("%Y-%m-%d %H", "2026-03-01 13", "2026-03-01 13:00:00"),
            ("%Y-%m-%d-%H", "2026-03-01-13", "2026-03-01 13:00:00"),
            ("%Y%m%d%H", "2026030113", "2026-03-01 13:00:00"),
            ("%d %b %Y, %I %p", "1 Mar 2026, 12 AM", "2026-03-01 00:00:00"),
            ("%d %b %Y, %I %p", "01 Mar 2026, 1 pm", "2026-03-01 13:00:00"),
            ("%Y-%m-%d %H:%M:%S %z", "2026-03-01 13:00:00 -0830", "2026-03-01T21:30:00+00:00"),
            ("%s", "1772370000", "2026-03-01T13:00:00+00:00"),
            ("100%% %F hour %k", "100% 2026-03-01 hour  3", "2026-03-01 03:00:00"),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(read(pattern, text).as_deref(), Some(expected), "{pattern} {text}");
        }
    }

    #[test]
    fn other_texts_do_not() {
        for text in ["", "2026-03-01", "2026-03-01|", "2026-03-01|24", "2026-13-01|1", "2026-02-30|1", "2026-03-01|7h"]
        {
            assert_eq!(read("%Y-%m-%d|%H", text), None, "{text}");
        }
    }

    #[test]
    fn a_form_that_names_no_hour_is_none() {
        for pattern in ["", "%Y-%m-%d", "%H", "%Y-%m-%d %I", "%y-%d %H", "%Y-%m-%d %H %Q", "%", "hour", "%Y-%m-%d %M"] {
            assert!(Pattern::parse(pattern).is_none(), "{pattern}");
        }
    }
}
