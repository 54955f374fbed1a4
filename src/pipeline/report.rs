//! Requests that create something, and reports that are made, asked after and read.

use std::time::Duration;

use super::{JsonPath, Parameters};

/// Where the key goes that makes repeated creations one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A header, usually `Idempotency-Key`.
    Header(String),
    /// A parameter: in the body of a POST that has one, else in the query.
    Parameter(String),
    /// Nowhere: the platform knows no such keys. A creation whose answer was lost is then made again.
    Nowhere,
}

/// Metrics by way of a report: the metrics request makes it, and its rows are read when it is done.
#[derive(Debug, Clone)]
pub struct Report {
    /// Where its id is in the answer to its making.
    pub id: JsonPath,
    /// How it is asked after.
    pub poll: Poll,
    /// Where its rows are: appended to the base URL; `{report}` is its id.
    pub rows_path: String,
    /// Query parameters of the rows' request.
    pub rows_query: Parameters,
}

/// How a report is asked after.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Appended to the base URL; `{report}` is its id.
    pub path: String,
    /// Query parameters.
    pub query: Parameters,
    /// Where its status is.
    pub status: JsonPath,
    /// Statuses that mean it can be read.
    pub done: Vec<String>,
    /// Statuses that mean it never can: another is made.
    pub failed: Vec<String>,
    /// The first wait between two questions; the next ones are longer by half.
    pub every: Duration,
    /// The longest wait between two questions.
    pub cap: Duration,
    /// After so long it is given up and another is made.
    pub patience: Duration,
}
