//! A pipeline file as it is written: texts and numbers, nothing looked into yet.
//!
//! These types are the format's one description. Serde reads a file into them, schemars turns them into the JSON Schema
//! that editors use and that `validate` walks, and their doc comments are what both say about a key. No `flatten` and no
//! `untagged`: with either, serde can no longer say which key is wrong.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod auth;
mod quality;
mod quotas;
mod reconcile;
mod report;
mod responses;
mod rows;
mod scalar;
mod source;

pub(crate) use auth::{Auth, Credentials, Grant, Jwt, Proof};
pub(crate) use quality::{ColumnRules, Limit, Quality};
pub(crate) use quotas::{Counting, Endpoint, Quota, Scope, SharedFile, Usage, WaitUnit, Weights};
pub(crate) use reconcile::{Metric, Reconcile};
pub(crate) use report::{Poll, Report, ReportRows};
pub(crate) use responses::{Action, Fault, Response, Wait};
pub(crate) use rows::{Column, ColumnType, HourSource, Pick, RecordFormat, Records, Repeated};
pub(crate) use scalar::{Scalar, Values};
pub(crate) use source::{
    Accounts, Batch, Campaigns, Join, Listed, Method, Notation, Pagination, Parents, Request, RequestTime, WindowEnd,
};

/// One hourmark pipeline: a platform's API, its quotas, its columns, its schedule and its place in the lake.
///
/// Lengths of time are written as `500ms`, `30s`, `5m`, `2h` or `3d`; places in a JSON body as keys joined by dots, with
/// `*` for every element of an array or every value of an object, and `?` for a value that may be wrapped in an array;
/// secrets only as `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "hourmark pipeline")]
pub(crate) struct PipelineFile {
    /// The value of the `platform` column in the lake: lower-case letters, digits and underscores.
    pub platform: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// When `hourmark schedule` asks for what is due: a cron expression of five fields, in UTC.
    #[serde(default = "every_hour")]
    pub schedule: String,
    /// What becomes of rows that a re-fetch does not bring again.
    #[serde(default)]
    pub missing: Missing,
    /// With `missing = "drop"`: a re-fetch that would take away more than this share of the accounts' rows of a day is
    /// refused (0 to 1; 0.5 where it is not given).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_dropped_share: Option<f64>,
    /// For how long responses are kept, so that `hourmark replay` can read them again; `0s`: not at all.
    #[serde(default = "not_at_all")]
    pub raw: String,
    /// How much the kept responses may take together, compressed, as `500MB` or `1GB`; the oldest go first.
    #[serde(default = "one_gigabyte")]
    pub raw_max_size: String,
    /// Names of declared columns that belong to a row's key besides account, campaign and hour.
    #[serde(default)]
    pub key: Vec<String>,
    /// Where and how requests go.
    pub api: Api,
    /// How requests are signed; not at all where it is not given.
    #[serde(default)]
    pub auth: Auth,
    /// How accounts come: either `list`, or the keys of an endpoint (`path`, `records`, `id`, ...).
    pub accounts: Accounts,
    /// How an account's campaigns come, for platforms that want their ids in the metrics request or leave their names
    /// out of the rows.
    pub campaigns: Option<Campaigns>,
    /// The metrics request.
    pub request: Request,
    /// How the metrics request's pages follow each other, or those of its report's rows; one page only where it is not
    /// given.
    #[serde(default)]
    pub pagination: Pagination,
    /// Where the rows are in a response.
    pub records: Records,
    /// How each row's hour is made.
    pub hour: HourSource,
    /// The columns by name, in the lake's order. `account_id`, `campaign_id` and `campaign_name` say where a row's
    /// account and campaign are and take nothing but `from`; every other column has a `type`.
    pub columns: IndexMap<String, Column>,
    /// Rules that a unit's rows must keep, or the unit is put into quarantine instead of the lake.
    #[serde(default)]
    pub quality: Quality,
    /// What one request may ask for, and which hours are asked for again.
    #[serde(default)]
    pub window: Window,
    /// Metrics by way of a report.
    pub report: Option<Report>,
    /// A coarser, independent report of the platform, daily totals of accounts, with which `hourmark reconcile` compares
    /// the lake.
    pub reconcile: Option<Reconcile>,
    /// The platform's limits; each holds for all requests that it counts, retries and lists included.
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// Where answers tell how much of the limits is used. The usual headers are read without it where there are no
    /// quotas either.
    #[serde(default)]
    pub usage: Vec<Usage>,
    /// How failures that may pass are tried again.
    #[serde(default)]
    pub retry: Retry,
    /// What particular answers mean; the first rule that fits decides, before the general rules for a status. `status`,
    /// `header` or `path`, or several of them, say which answers; all that is said must fit.
    #[serde(default)]
    pub responses: Vec<Response>,
    /// Where the rows go.
    #[serde(default)]
    pub lake: Lake,
}

fn every_hour() -> String {
    "5 * * * *".to_owned()
}

fn not_at_all() -> String {
    "0s".to_owned()
}

fn one_gigabyte() -> String {
    "1GB".to_owned()
}

/// What becomes of rows that a re-fetch does not bring again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    /// They stay.
    #[default]
    Keep,
    /// They go, unless that would take more than `max_dropped_share` of a day.
    Drop,
}

/// Where and how requests go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// The http or https URL that every path is appended to.
    pub base_url: String,
    /// Headers of every request by name. A value `env:NAME` or `file:PATH` is a secret. One that holds `{account}` or
    /// `{parent}` goes with requests about one account (or parent) only.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Further servers by name: http or https URLs, for endpoints that say `server = "NAME"`.
    #[serde(default)]
    pub servers: IndexMap<String, String>,
    /// Hosts besides the base URL's to which a next link may lead.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether a list that was kept is asked for on the condition that it has changed (`If-None-Match`, `If-Modified-Since`).
    #[serde(default = "yes")]
    pub conditional: bool,
    /// The longest time for a connection to be made.
    #[serde(default = "five_seconds")]
    pub connect_timeout: String,
    /// The longest time from a request's sending to its answer's first byte.
    #[serde(default = "one_minute")]
    pub first_byte_timeout: String,
    /// The longest time between two pieces of a body.
    #[serde(default = "half_a_minute")]
    pub stall_timeout: String,
    /// The longest body accepted, after decompression, as `500KB`, `64MB` or `1GB`.
    #[serde(default = "max_body")]
    pub max_body: String,
}

fn yes() -> bool {
    true
}

fn five_seconds() -> String {
    "5s".to_owned()
}

fn one_minute() -> String {
    "60s".to_owned()
}

fn half_a_minute() -> String {
    "30s".to_owned()
}

fn max_body() -> String {
    "64MB".to_owned()
}

/// What one request may ask for, and which hours are asked for again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Window {
    /// What windows are made of.
    pub align: Align,
    /// How many hours or days one request asks for; 24 hours or 1 day where it is not given.
    #[schemars(range(min = 1, max = 8784))]
    pub size: Option<u32>,
    /// How long after its end an hour is asked for at the earliest.
    pub settle: String,
    /// Ages, ascending, at which an hour is asked for again because platforms restate; `1h, 3h, 1d, 3d, 7d, 28d` as far
    /// as `retention` allows where it is not given. From a day on they count from the end of the day (or of as many hours
    /// as one request asks for), so that it is read again at once.
    pub refresh: Option<Vec<String>>,
    /// Ages for single accounts in place of `refresh`, by the account's id.
    pub account_refresh: IndexMap<String, Vec<String>>,
    /// Whether `refresh` follows what is seen to move: ages at which hardly any hour changes are read for a sample only,
    /// others are added. `hourmark status --why` tells.
    pub learn: bool,
    /// Hours younger than this are asked for in every run.
    pub lookback: String,
    /// How far back the first run of a new account goes.
    pub history: String,
    /// How far back the platform answers at all; without end where it is not given.
    pub retention: Option<String>,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            align: Align::Hour,
            size: None,
            settle: "30m".to_owned(),
            refresh: None,
            account_refresh: IndexMap::new(),
            learn: false,
            lookback: "0s".to_owned(),
            history: "3d".to_owned(),
            retention: None,
        }
    }
}

/// What windows are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Align {
    /// Hours of the account's clock.
    Hour,
    /// Days on the account's clock.
    AccountDay,
    /// Days in UTC.
    UtcDay,
}

/// How failures that may pass are tried again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    /// Attempts in all, the first included.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// The time from a request's first sending after which it is not tried again, waits for quotas not counted.
    pub total: String,
    /// The first wait's upper bound; doubled each time.
    pub base: String,
    /// No wait of our own is longer.
    pub cap: String,
    /// A wait that the platform asks for and that is longer than this ends the run with "waiting".
    pub max_wait: String,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 6,
            total: "15m".to_owned(),
            base: "500ms".to_owned(),
            cap: "60s".to_owned(),
            max_wait: "5m".to_owned(),
        }
    }
}

/// Where the rows go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Lake {
    /// The lake's folders: `["date"]`, or `["date", "hour"]` for one file per hour.
    pub partition_by: Vec<PartitionKey>,
    /// Files per partition, by a hash of the account's id.
    #[schemars(range(min = 1, max = 256))]
    pub buckets: u16,
}

impl Default for Lake {
    fn default() -> Lake {
        Lake { partition_by: vec![PartitionKey::Date], buckets: 1 }
    }
}

/// What a level of the lake's folders stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartitionKey {
    /// The UTC date of the hour.
    Date,
    /// The UTC hour of the day.
    Hour,
}
