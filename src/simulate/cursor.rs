//! Cursors: a query and a place in it, sealed so that a client can only hand them back.

use super::dice;
use super::scan::{HourClock, Place, Query};

/// What a cursor of metrics or report rows remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The report whose rows these are; empty for metrics.
    pub(super) report: String,
    pub(super) query: Query,
    pub(super) at: Position,
}

/// Where a walk over pages stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) place: Place,
    /// When the cursor was given out, in seconds since 1970 on the simulator's clock.
    pub(super) created: i64,
    /// Pages before this one: makes each cursor of a walk different from the others.
    pub(super) step: u64,
    /// Pages just before this one that were empty by fault.
    pub(super) blanks: u32,
    /// Rows of the whole query, counted on its first page.
    pub(super) total: u64,
}

impl Cursor {
    pub(super) fn seal(&self, seed: u64) -> String {
        let accounts: Vec<String> = self.query.accounts.iter().map(usize::to_string).collect();
        let (query, at) = (&self.query, &self.at);
        let clock = u8::from(query.clock == HourClock::Utc);
        seal(
            seed,
            &format!(
                "{};{};{};{};{clock};{};{};{};{};{};{};{};{}",
                self.report,
                accounts.join("."),
                query.from,
                query.to,
                query.fields,
                at.place.account,
                at.place.campaign,
                at.place.hour,
                at.created,
                at.step,
                at.blanks,
                at.total
            ),
        )
    }

    /// Reads a cursor back; none unless it was sealed with this seed.
    pub(super) fn open(seed: u64, sealed: &str) -> Option<Self> {
        let text = open(seed, sealed)?;
        let mut parts = text.split(';');
        let report = parts.next()?.to_owned();
        let accounts = parts.next()?.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<usize>>>()?;
        let numbers = parts.map(|part| part.parse().ok()).collect::<Option<Vec<i64>>>()?;
        let [from, to, clock, fields, account, campaign, hour, created, step, blanks, total] = numbers[..] else {
            return None;
        };
        let clock = if clock == 1 { HourClock::Utc } else { HourClock::Account };
        let place = Place { account: account as usize, campaign: campaign as usize, hour: hour as usize };
        Some(Self {
            report,
            query: Query { accounts, from, to, clock, fields: fields as u32 },
            at: Position { place, created, step: step as u64, blanks: blanks as u32, total: total as u64 },
        })
    }
}

/// Makes a text opaque and tamper-evident. Not a secret: this is a sandbox.
pub(super) fn seal(seed: u64, text: &str) -> String {
    let check = dice::of_text(seed, text);
    let mut sealed = format!("{check:016x}");
    for (place, byte) in text.bytes().enumerate() {
        let masked = byte ^ (dice::mix(check, place as u64) as u8);
        sealed.push_str(&format!("{masked:02x}"));
    }
    sealed
}

/// Reads what [`seal`] wrote.
pub(super) fn open(seed: u64, sealed: &str) -> Option<String> {
    if !sealed.is_ascii() || sealed.len() < 16 {
        return None;
    }
    let (check, masked) = sealed.split_at(16);
    let check = u64::from_str_radix(check, 16).ok()?;
    let mut bytes = Vec::with_capacity(masked.len() / 2);
    for (place, start) in (0..masked.len()).step_by(2).enumerate() {
        let byte = u8::from_str_radix(masked.get(start..start + 2)?, 16).ok()?;
        bytes.push(byte ^ (dice::mix(check, place as u64) as u8));
    }
    let text = String::from_utf8(bytes).ok()?;
    (dice::of_text(seed, &text) == check).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            report: String::new(),
            query: Query {
                accounts: vec![4, 0, 17],
                from: -5,
                to: 1_790_000_000,
                clock: HourClock::Utc,
                fields: 2_047,
            },
            at: Position {
                place: Place { account: 2, campaign: 9, hour: 700 },
                created: 1,
                step: 3,
                blanks: 1,
                total: 9,
            },
        }
    }

    #[test]
    fn a_cursor_survives_the_way_out_and_back() {
        assert_eq!(Cursor::open(7, &cursor().seal(7)), Some(cursor()));
    }

    #[test]
    fn a_foreign_or_changed_cursor_is_refused() {
        let sealed = cursor().seal(7);
        assert_eq!(Cursor::open(8, &sealed), None);
        let last = if sealed.ends_with('0') { "1" } else { "0" };
        assert_eq!(Cursor::open(7, &format!("{}{last}", &sealed[..sealed.len() - 1])), None);
        for wrong in ["", "zz", "0123456789abcdefg", "ééééééééééééééééé"] {
            assert_eq!(Cursor::open(7, wrong), None, "{wrong}");
        }
    }
}
