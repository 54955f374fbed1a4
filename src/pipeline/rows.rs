//! Where rows are in a response, whose they are, how their hour is made, and their columns.

use super::{JsonPath, ZoneRule};
use crate::time::Pattern;

/// Where rows are in a response.
#[derive(Debug, Clone)]
pub struct Records {
    /// The rows: an array, or with `*` several. An absent path is an unreadable page, unless `absent_is_empty`.
    pub path: JsonPath,
    /// Whether a body without that path is an empty page (some platforms leave the key out).
    pub absent_is_empty: bool,
    /// Texts that mean null, as `"-"`.
    pub nulls: Vec<String>,
}

/// How records become rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordShape {
    /// The list in a record each element of which makes a row; `None`: the record is one.
    pub each: Option<JsonPath>,
    /// How an answer is written.
    pub format: RecordFormat,
    /// Rows without anything but zeros and nulls in their numbers are left away.
    pub skip_empty: bool,
}

/// How an answer is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecordFormat {
    /// JSON.
    #[default]
    Json,
    /// Comma-separated values.
    Csv {
        /// The line that has a cell of this text names the columns; lines before it are skipped.
        header: String,
        /// A line whose first cell begins with one of these ends the file.
        footers: Vec<String>,
    },
}

/// Where a row says whose it is.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The account's id; `None`: the request has one account.
    pub account: Option<JsonPath>,
    /// The campaign's id; `None` in reports on whole accounts, whose rows have none. No file can leave it out.
    pub campaign: Option<JsonPath>,
    /// The campaign's name; `None`: from the campaign list, where there is one.
    pub campaign_name: Option<JsonPath>,
    /// The account's id is what follows this text.
    pub account_after: Option<String>,
    /// The campaign's id is what follows this text.
    pub campaign_after: Option<String>,
}

/// How a row's hour is made.
#[derive(Debug, Clone)]
pub enum HourSource {
    /// A moment: with an offset, or unix seconds or milliseconds, or without an offset on `zone`'s clock.
    Instant {
        /// Where it is.
        from: JsonPath,
        /// The clock of moments without an offset.
        zone: ZoneRule,
        /// What a repeated autumn hour's label means.
        repeated: RepeatedHour,
    },
    /// A date and the number of an hour.
    DateHour {
        /// Where the date is (`YYYY-MM-DD`; anything after a `T` or a blank is left away).
        date: JsonPath,
        /// Where the hour is: 0 to 23, number or text.
        hour: JsonPath,
        /// On whose clock.
        zone: ZoneRule,
        /// What a repeated autumn hour's label means.
        repeated: RepeatedHour,
    },
    /// A date and a label `HH:MM:SS - HH:MM:SS`.
    DateRange {
        /// Where the date is.
        date: JsonPath,
        /// Where the label is.
        range: JsonPath,
        /// On whose clock.
        zone: ZoneRule,
        /// What a repeated autumn hour's label means.
        repeated: RepeatedHour,
    },
    /// A text of the platform's own form that names date and hour.
    Pattern {
        /// Where it is.
        from: JsonPath,
        /// Its forms, the first that fits counts.
        patterns: Vec<Pattern>,
        /// On whose clock, where the text has no offset.
        zone: ZoneRule,
        /// What a repeated autumn hour's label means.
        repeated: RepeatedHour,
    },
    /// None: values are arrays, and element i is hour i of what was asked for, in UTC.
    Position {
        /// Where the body says when the first hour begins.
        start: Option<JsonPath>,
        /// Where the body says how long the arrays are.
        length: Option<JsonPath>,
    },
    /// A date on the account's clock, of reports on whole days: the first moment of the day. No file can name it for
    /// hourly rows.
    Date {
        /// Where the date is.
        from: JsonPath,
    },
}

/// What a wall-clock label means when the clock was set back over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatedHour {
    /// One row holds both hours: it is put at the first, with `hours_covered` 2.
    Folded,
    /// The platform reports only the first under it.
    First,
    /// The platform reports only the second under it.
    Second,
}

/// A declared column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name in the lake.
    pub name: String,
    /// Where its value is in a row.
    pub from: JsonPath,
    /// Its type in the lake and how the value is read.
    pub kind: ColumnKind,
    /// Takes the value out of a list of `{type, value}` pairs found at `from`.
    pub pick: Option<Pick>,
    /// Used where the value is absent or null; `None`: the row's value is null.
    pub default: Option<String>,
    /// A row without a value is refused.
    pub required: bool,
    /// What is done with the value before it is kept.
    pub manner: Manner,
}

/// What is done with a column's value before it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    #[default]
    Plain,
    /// A decimal's digits beyond its scale are rounded, half to even.
    Rounded,
    /// Of a text what follows this one.
    After(String),
    /// In accounts with one of these currencies, cents are whole units.
    Whole(Vec<String>),
}

/// Takes one value out of a list of `{type, value}` pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The key under which each element names its type.
    pub by: String,
    /// The type that this column is.
    pub equals: String,
    /// The key under which each element holds its value.
    pub value: String,
}

/// A column's type in the lake and how its value is read. No type goes through a float but [`ColumnKind::Float`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// UTF-8 text; numbers are kept as they are written.
    Text,
    /// A 64-bit integer, from a JSON number or text.
    Int,
    /// Exact decimal; more digits after the point than `scale` are an error, unless they are zeros.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// An integer of millionths, kept as a decimal with 6 digits after the point.
    Micros,
    /// An integer of hundredths, kept as a decimal with 2 digits after the point.
    Cents,
    /// A 64-bit float.
    Float,
    /// true or false.
    Bool,
    /// A moment: RFC 3339, or unix seconds or milliseconds.
    Timestamp,
}
