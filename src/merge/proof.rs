//! The key proof: two rows of one response that have one key and differ mean that the key lacks a dimension.
//!
//! | two rows with one key | in one response | in two responses of a unit |
//! |---|---|---|
//! | equal in all values | a double: one is kept | a double: one is kept |
//! | different values | an undeclared dimension: the unit fails | repeated over a page boundary: the later one counts |
//!
//! They are told apart by the response they came in, and by nothing else. A platform that moves a row over a page
//! boundary while it is read gives it twice, perhaps in a newer version; but it never gives two versions of one row in one
//! answer. Two different rows there are two things that happened, of which a merge by this key would lose one.

use std::collections::BTreeSet;
use std::fmt;

use arrow::array::RecordBatch;

/// So many columns, or candidates, are named.
const NAMED: usize = 6;

/// What sorting by key found.
#[derive(Debug, Clone, PartialEq)]
pub enum Sorted {
    /// One row per key, sorted by key.
    Unique {
        /// The rows.
        rows: RecordBatch,
        /// Rows that were left out because a later one had the same key.
        doubles: u64,
    },
    /// Two rows of one response have one key and differ.
    Undeclared(Undeclared),
}

/// Two rows of one response that have one key and differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeclared {
    /// The key, for people.
    pub key: String,
    /// The columns that differ, with both values, in the order of the schema.
    pub differing: Vec<(String, String, String)>,
}

impl Undeclared {
    /// Why the unit fails and what to do. `unknown` are the fields of the unit's responses that no column names: one of
    /// them may be the dimension.
    pub fn reason(&self, unknown: &BTreeSet<String>) -> String {
        let mut text = format!(
            "{self}: something that is not in the key sets them apart; declare it as a column and name it in `key`"
        );
        if !unknown.is_empty() {
            let named: Vec<&str> = unknown.iter().take(NAMED).map(String::as_str).collect();
            let more = if unknown.len() > NAMED { ", ..." } else { "" };
            text.push_str(&format!(" (fields that no column names: {}{more})", named.join(", ")));
        }
        text
    }
}

impl fmt::Display for Undeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "two rows of one response have the key {} and differ: ", self.key)?;
        for (place, (column, one, other)) in self.differing.iter().take(NAMED).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{column} {one} and {other}")?;
        }
        match self.differing.len().checked_sub(NAMED) {
            Some(more @ 1..) => write!(f, ", and {more} more columns"),
            _ => Ok(()),
        }
    }
}
