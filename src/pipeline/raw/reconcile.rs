//! The part of the file that names a coarser report to compare the lake with.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ColumnType, Join, Method, Pagination, Records, Request, RequestTime, Values};

/// A coarser, independent report of the platform, daily totals of accounts, with which `hourmark reconcile` compares the
/// lake. Its requests count as metrics.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    /// The request for the report.
    pub request: DailyRequest,
    /// How the report's pages follow each other; one page only where it is not given.
    #[serde(default)]
    pub pagination: Pagination,
    /// Where the report's rows are in a response.
    pub records: Records,
    /// Where the account's id is in a row; not needed where a request has one account.
    pub account: Option<String>,
    /// Where the date on the account's clock is in a row (`YYYY-MM-DD`; anything after a `T` or a blank is left away).
    pub date: String,
    /// How many days one request asks for.
    #[serde(default = "month")]
    #[schemars(range(min = 1, max = 366))]
    pub days_per_request: u32,
    /// A day is compared once it is over for so long, because platforms restate.
    #[serde(default = "three_days")]
    pub settle: String,
    /// What is compared: declared columns that are int, decimal or micros.
    pub metrics: IndexMap<String, Metric>,
}

fn month() -> u32 {
    31
}

fn three_days() -> String {
    "3d".to_owned()
}

/// The request for the report. Its texts may hold `{account}`, `{accounts}`, `{from}`, `{to}`, `{time_zone}` and
/// `{page_size}`, as those of `[request]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DailyRequest {
    /// The HTTP method.
    #[serde(default = "super::source::get")]
    pub method: Method,
    /// Appended to the base URL; may hold placeholders.
    pub path: String,
    /// Query parameters, in this order; a list sends its parameter once for each element.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// The JSON document that a POST carries, with placeholders in its texts.
    pub json: Option<IndexMap<String, serde_json::Value>>,
    /// The form (`application/x-www-form-urlencoded`) that a POST carries.
    pub form: Option<IndexMap<String, Values>>,
    /// At most so many accounts in one request. They share a time zone, because a day is one on their clock.
    #[serde(default = "super::source::one_account")]
    #[schemars(range(min = 1, max = 10_000))]
    pub accounts_per_request: u32,
    /// How several ids become one parameter.
    #[serde(default = "super::source::comma")]
    pub join: Join,
    /// How `{from}` and `{to}` are written.
    #[serde(default)]
    pub time: RequestTime,
}

impl DailyRequest {
    /// As a metrics request, which names no campaigns and creates nothing.
    pub(crate) fn as_request(&self) -> Request {
        Request {
            method: self.method,
            path: self.path.clone(),
            server: None,
            batch: None,
            query: self.query.clone(),
            json: self.json.clone(),
            form: self.form.clone(),
            accounts_per_request: self.accounts_per_request,
            campaigns_per_request: 1,
            join: self.join,
            time: self.time.clone(),
            creates: false,
            key_header: None,
            key_param: None,
            no_key: false,
        }
    }
}

/// A column of the lake, and where the report has its sum over a day.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    /// Where the value is in a row of the report.
    pub from: String,
    /// How it is read: int, decimal, micros or cents; as the column where it is not given.
    #[serde(rename = "type")]
    pub kind: Option<ColumnType>,
    /// Digits in all of a decimal, 1 to 38.
    #[schemars(range(min = 1, max = 38))]
    pub precision: Option<u8>,
    /// Digits of a decimal after the point.
    #[schemars(range(min = 0, max = 38))]
    pub scale: Option<u8>,
    /// By how much the sums may differ: a share of the platform's value as `"0.5%"`, an amount as `"2"`, or both in a list,
    /// and then only what is beyond both differs; not at all where it is not given.
    pub tolerance: Option<Values>,
}
