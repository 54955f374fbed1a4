//! Which (account, hour) was read when, as far as cassettes tell. Pure.

use std::collections::HashMap;

use crate::time::{Instant, Window, hours_in, slot};
use crate::unit::Account;

/// The first and the last reading of each (account, hour): some tens of bytes for each.
#[derive(Debug, Default)]
pub(super) struct Readings {
    accounts: HashMap<String, HashMap<i64, Span>>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    first: Instant,
    last: Instant,
}

impl Readings {
    /// The hours of `window` on the account's clock were read at `at`.
    pub(super) fn note(&mut self, account: &Account, window: Window, at: Instant) {
        let hours = self.accounts.entry(account.id.clone()).or_default();
        for hour in hours_in(window, account.time_zone) {
            let span = hours.entry(slot(hour)).or_insert(Span { first: at, last: at });
            span.first = span.first.min(at);
            span.last = span.last.max(at);
        }
    }

    /// Whether all that happened to this hour's rows is on cassettes: it was read first no later than `seen` (in
    /// microseconds since 1970, the oldest of the lake's rows), and last no earlier than `confirmed`, which the ledger
    /// keeps in whole seconds.
    pub(super) fn tell_all(&self, account: &str, hour: Instant, seen: Option<i64>, confirmed: Option<Instant>) -> bool {
        let Some(span) = self.accounts.get(account).and_then(|hours| hours.get(&slot(hour))) else { return false };
        let from_the_first = seen.is_none_or(|seen| span.first.timestamp_micros() <= seen);
        let to_the_last = confirmed.is_none_or(|confirmed| span.last.timestamp() >= confirmed.timestamp());
        from_the_first && to_the_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().expect("an instant")
    }

    #[test]
    fn cassettes_tell_all_from_the_first_reading_to_the_last() {
        let account = Account {
            id: "1".into(),
            name: String::new(),
            time_zone: chrono_tz::Asia::Kolkata,
            currency: String::new(),
            parent: String::new(),
        };
        let window = Window::new(at("2026-11-20T08:30:00Z"), at("2026-11-20T09:30:00Z")).expect("a window");
        let mut readings = Readings::default();
        readings.note(&account, window, at("2026-11-20T14:00:00.5Z"));
        readings.note(&account, window, at("2026-11-20T10:00:00.5Z"));
        let hour = at("2026-11-20T08:30:00Z");
        let tells = |seen: Option<&str>, confirmed: Option<&str>| {
            readings.tell_all("1", hour, seen.map(|seen| at(seen).timestamp_micros()), confirmed.map(at))
        };
        assert!(tells(None, None));
        assert!(tells(Some("2026-11-20T10:00:00.5Z"), Some("2026-11-20T14:00:00Z")));
        assert!(!tells(Some("2026-11-20T10:00:00.4Z"), None), "rows from before the cassettes");
        assert!(!tells(None, Some("2026-11-20T14:00:01Z")), "a later reading is not on a cassette");
        assert!(!readings.tell_all("1", at("2026-11-20T09:30:00Z"), None, None));
        assert!(!readings.tell_all("2", hour, None, None));
    }
}
