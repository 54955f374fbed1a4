//! Requests that create something, and reports that are made, asked after and read.

use std::time::Duration;

use url::Url;

use super::{Body, JsonPath, Method, Parameters};

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
    /// Where its rows are.
    pub rows: ReportRows,
}

/// Where a report's rows are.
#[derive(Debug, Clone)]
pub enum ReportRows {
    /// At an endpoint of the platform's.
    Endpoint {
        /// Appended to the server's URL; `{report}` is its id.
        path: String,
        /// Query parameters.
        query: Parameters,
        /// Another server than the base URL's.
        server: Option<Url>,
    },
    /// At a URL that the answer which said "done" holds at this place. It is asked for without credentials; where there is
    /// none, the report has no rows.
    Url(JsonPath),
}

/// How a report is asked after.
#[derive(Debug, Clone)]
pub struct Poll {
    /// GET or POST.
    pub method: Method,
    /// Appended to the server's URL; `{report}` is its id.
    pub path: String,
    /// Query parameters.
    pub query: Parameters,
    /// What a POST carries.
    pub body: Body,
    /// Another server than the base URL's.
    pub server: Option<Url>,
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
