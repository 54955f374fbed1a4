//! The part of the file that says how reports are made, asked after and read.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::source::get;
use super::{Method, Values};

/// Metrics by way of a report. The metrics request makes it (`request.creates = true`), it is asked after until it is
/// done, and then its rows are read, paged as `[pagination]` says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Where its id is in the answer to its making.
    pub id: String,
    /// How it is asked after.
    pub poll: Poll,
    /// Where its rows are.
    pub rows: ReportRows,
}

/// How a report is asked after.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Poll {
    /// The HTTP method.
    #[serde(default = "get")]
    pub method: Method,
    /// Appended to the base URL; may hold `{report}`, the report's id, `{account}` and `{parent}`.
    pub path: String,
    /// Query parameters; their values may hold the same.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// The JSON document that a POST carries; its texts may hold the same.
    pub json: Option<IndexMap<String, serde_json::Value>>,
    /// The name of one of `api.servers`, where the endpoint is not the base URL's.
    pub server: Option<String>,
    /// Where its status is in an answer.
    pub status: String,
    /// The status that means it can be read, or a list of them.
    pub done: Values,
    /// The status that means it never can, or a list of them: another is made.
    pub failed: Option<Values>,
    /// The first wait between two questions; the next ones are longer by half.
    #[serde(default = "two_seconds")]
    pub every: String,
    /// The longest wait between two questions.
    #[serde(default = "half_a_minute")]
    pub cap: String,
    /// After so long it is given up and another is made.
    #[serde(default = "one_hour")]
    pub patience: String,
}

fn two_seconds() -> String {
    "2s".to_owned()
}

fn half_a_minute() -> String {
    "30s".to_owned()
}

fn one_hour() -> String {
    "1h".to_owned()
}

/// Where a report's rows are: at `path`, or at the URL that the answer names at `url`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportRows {
    /// Appended to the base URL; may hold `{report}`, the report's id, `{account}` and `{parent}`.
    pub path: Option<String>,
    /// Query parameters; their values may hold the same and `{page_size}`.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// The name of one of `api.servers`, where the endpoint is not the base URL's.
    pub server: Option<String>,
    /// Where the answer that said "done" holds the URL of the rows. It is asked for without credentials, from any https host.
    /// Without a URL there the report has no rows; where the URL has expired, the report is asked after once more.
    pub url: Option<String>,
}
