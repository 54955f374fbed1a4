//! The part of the file that says how an answer is read: where its records are, and what rows they make.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scalar;

/// Where rows are in a response.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Records {
    /// The place of the rows: an array, or with `*` several; the empty text is the whole body.
    pub path: String,
    /// Whether a body without that place is an empty page rather than an unreadable one.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// Texts that mean null, as `"-"`.
    #[serde(default)]
    pub nulls: Vec<String>,
    /// The place of a list in each record, each element of which makes a row: its values are named as `LIST.*.place`,
    /// those of the record as they are. An absent or empty list makes no row.
    pub each: Option<String>,
    /// How an answer is written. A body that is a ZIP archive or a gzip file is unpacked first: what counts is what is in it,
    /// of a ZIP archive its first file.
    #[serde(default)]
    pub format: RecordFormat,
    /// With `format = "csv"`: a column's name by which the line of names is known; lines before it are skipped.
    pub csv_header: Option<String>,
    /// With `format = "csv"`: a line whose first cell begins with one of these texts ends the file.
    #[serde(default)]
    pub csv_footers: Vec<String>,
    /// Whether rows are left away whose int, decimal, micros and cents columns are all 0 or null.
    #[serde(default)]
    pub skip_empty: bool,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordFormat {
    /// JSON.
    #[default]
    Json,
    /// Comma-separated values: a row is a line, and its values are named as the line of names names them. All of them are
    /// texts. `path` is empty then.
    Csv,
}

/// How a row's hour is made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum HourSource {
    /// A moment: with an offset, or unix seconds or milliseconds, or without an offset on `zone`'s clock.
    Instant {
        /// Where it is.
        from: String,
        /// The clock of moments without an offset: `utc`, `account`, or an IANA name.
        #[serde(default = "utc")]
        zone: String,
        /// What a label means when the clock was set back over it.
        #[serde(default)]
        repeated: Repeated,
    },
    /// A date and the number of an hour.
    DateHour {
        /// Where the date is (`YYYY-MM-DD`; anything after a `T` or a blank is left away).
        date: String,
        /// Where the hour is: 0 to 23, number or text.
        hour: String,
        /// On whose clock: `utc`, `account`, or an IANA name.
        zone: String,
        /// What a label means when the clock was set back over it.
        #[serde(default)]
        repeated: Repeated,
    },
    /// A date and a label `HH:MM:SS - HH:MM:SS`.
    DateRange {
        /// Where the date is.
        date: String,
        /// Where the label is.
        range: String,
        /// On whose clock: `utc`, `account`, or an IANA name.
        zone: String,
        /// What a label means when the clock was set back over it.
        #[serde(default)]
        repeated: Repeated,
    },
    /// A text of the platform's own form that names date and hour.
    Pattern {
        /// Where it is.
        from: String,
        /// Its forms, the first that fits counts: `%Y-%m-%d|%H` and the like, with `%Y` year, `%m` month, `%d` day, `%H`
        /// hour 0 to 23, `%I` and `%p` hour 1 to 12 with AM or PM, `%M` minute, `%S` second, `%b` name of the month, `%z`
        /// offset; zeros in front may be missing. Other letters are those of strftime.
        patterns: Vec<String>,
        /// On whose clock, where the text has no offset: `utc`, `account`, or an IANA name.
        zone: String,
        /// What a label means when the clock was set back over it.
        #[serde(default)]
        repeated: Repeated,
    },
    /// Hours without labels: a column's value is an array, and its element i is hour i of what was asked for, in UTC. A null
    /// array is null for all hours; one of another length makes the page unreadable. A text, or a column of the key, may
    /// also be one value for all hours.
    Position {
        /// Where the body says when the first hour begins; another moment than the one asked for makes the page unreadable.
        start: Option<String>,
        /// Where the body says how long the arrays are; another number than that of the hours asked for makes the page
        /// unreadable.
        length: Option<String>,
    },
}

fn utc() -> String {
    "utc".to_owned()
}

/// What a wall-clock label means when the clock was set back over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Repeated {
    /// One row holds both hours: it is put at the first, with `hours_covered` 2.
    #[default]
    Folded,
    /// The platform reports only the first under it.
    First,
    /// The platform reports only the second under it.
    Second,
}

/// A column and where its value is in a row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// The column's type in the lake.
    #[serde(rename = "type")]
    pub kind: Option<ColumnType>,
    /// Where the value is in a row.
    pub from: String,
    /// Digits in all of a decimal, 1 to 38.
    #[schemars(range(min = 1, max = 38))]
    pub precision: Option<u8>,
    /// Digits of a decimal after the point.
    #[schemars(range(min = 0, max = 38))]
    pub scale: Option<u8>,
    /// Takes the value out of a list of `{type, value}` pairs found at `from`.
    pub pick: Option<Pick>,
    /// Used where the value is absent or null; read like a value from the platform. A row's value is null where neither
    /// is given.
    pub default: Option<Scalar>,
    /// Whether a row without a value is refused.
    #[serde(default)]
    pub required: bool,
    /// Whether a decimal with more digits after the point than `scale` is rounded, half to even, rather than refused: for
    /// counts that a platform sends as floats.
    #[serde(default)]
    pub round: bool,
    /// Of a text only what follows this text is kept, as `urn:shop:`; a value without it is refused.
    pub after: Option<String>,
    /// With `type = "cents"`: currencies that the platform counts in whole units instead, as `["JPY", "KRW"]`. The
    /// account's currency decides, so it must be known.
    #[serde(default)]
    pub whole: Vec<String>,
}

/// A column's type in the lake. None goes through a float but `float`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnType {
    /// Text; numbers are kept as they are written.
    Text,
    /// A 64-bit integer, from a number or its text.
    Int,
    /// An exact decimal of `precision` digits, `scale` of them after the point.
    Decimal,
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

/// Takes one value out of a list of `{type, value}` pairs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pick {
    /// The key under which each element names its type.
    pub by: String,
    /// The type that this column is.
    pub equals: String,
    /// The key under which each element holds its value.
    pub value: String,
}
