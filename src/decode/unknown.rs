//! Fields of records that no column names: counted, so that nothing that a platform sends goes away in silence.

use std::collections::BTreeMap;
use std::fmt;

/// So many paths are kept of a page, of a unit and of a run.
pub const UNKNOWN_KEPT: usize = 32;

/// Paths in records that no column names, and how many records had each; at most [`UNKNOWN_KEPT`] of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownFields {
    counts: BTreeMap<String, u64>,
    more: bool,
}

impl UnknownFields {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The paths and how many records had them, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(path, count)| (path.as_str(), *count))
    }

    /// Whether there were others, which are neither named nor counted.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Counts the fields of further records.
    pub fn add(&mut self, other: &UnknownFields) {
        for (path, count) in &other.counts {
            self.count(path, *count);
        }
        self.more |= other.more;
    }

    fn count(&mut self, path: &str, records: u64) {
        if let Some(count) = self.counts.get_mut(path) {
            *count += records;
        } else if self.counts.len() < UNKNOWN_KEPT {
            self.counts.insert(path.to_owned(), records);
        } else {
            self.more = true;
        }
    }
}

/// `a.b in 1,200 records, c in 1 record`: the most frequent first.
impl fmt::Display for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_count: Vec<(&str, u64)> = self.iter().collect();
        by_count.sort_by(|one, other| (other.1, one.0).cmp(&(one.1, other.0)));
        for (place, (path, count)) in by_count.into_iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let word = if count == 1 { "record" } else { "records" };
            write!(f, "{comma}{path} in {} {word}", grouped(count))?;
        }
        if self.more { f.write_str(", and more") } else { Ok(()) }
    }
}

/// `1,200`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The unknown fields of a page while it is read.
#[derive(Debug, Default)]
pub(super) struct Noted<'d> {
    fields: Vec<Field<'d>>,
    /// Where the next one is expected: platforms write the fields of all records in the same order.
    next: usize,
    /// Records begun so far.
    record: u64,
    more: bool,
}

#[derive(Debug)]
struct Field<'d> {
    /// The object's path.
    object: &'d str,
    key: String,
    /// Records that had it, and the last of them.
    count: u64,
    last: u64,
}

impl<'d> Noted<'d> {
    /// A record begins.
    pub(super) fn begin_record(&mut self) {
        self.record += 1;
        self.next = 0;
    }

    /// Counts `key` of the object at `object` for the record at hand, however often it comes in it.
    pub(super) fn note(&mut self, object: &'d str, key: &str) {
        // A place of the tree has one text, so its address is enough.
        let is = |field: &Field<'_>| std::ptr::eq(field.object, object) && field.key == key;
        let place = match self.fields.get(self.next) {
            Some(field) if is(field) => Some(self.next),
            _ => self.fields.iter().position(is),
        };
        let Some(place) = place else {
            if self.fields.len() < UNKNOWN_KEPT {
                self.fields.push(Field { object, key: key.to_owned(), count: 1, last: self.record });
                self.next = self.fields.len();
            } else {
                self.more = true;
            }
            return;
        };
        self.next = place + 1;
        let field = &mut self.fields[place];
        if field.last != self.record {
            field.last = self.record;
            field.count += 1;
        }
    }

    /// The paths with their counts.
    pub(super) fn counts(&self) -> UnknownFields {
        let mut unknown = UnknownFields { counts: BTreeMap::new(), more: self.more };
        for Field { object, key, count, .. } in &self.fields {
            match *object {
                "" => unknown.count(key, *count),
                object => unknown.count(&format!("{object}.{key}"), *count),
            }
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, u64)]) -> UnknownFields {
        let mut unknown = UnknownFields::default();
        for (path, count) in counts {
            unknown.count(path, *count);
        }
        unknown
    }

    #[test]
    fn counts_of_pages_are_added_up() {
        let mut all = of(&[("a", 1_199), ("b.c", 1)]);
        all.add(&of(&[("a", 1), ("d", 1_234_567), ("e", 1)]));
        assert_eq!(all.to_string(), "d in 1,234,567 records, a in 1,200 records, b.c in 1 record, e in 1 record");
        assert!(!all.has_more());
        assert_eq!((grouped(0), grouped(999), grouped(1_000)), ("0".into(), "999".into(), "1,000".into()));
    }

    #[test]
    fn more_than_are_kept_are_said_to_be() {
        let names: Vec<String> = (0..40).map(|number| format!("x{number:02}")).collect();
        let mut all = UnknownFields::default();
        for name in &names {
            all.add(&of(&[(name, 2)]));
        }
        assert_eq!((all.iter().count(), all.has_more()), (UNKNOWN_KEPT, true));
        assert!(all.to_string().ends_with("x31 in 2 records, and more"), "{all}");
        let mut again = UnknownFields::default();
        again.add(&all);
        assert_eq!(again, all);
    }
}
