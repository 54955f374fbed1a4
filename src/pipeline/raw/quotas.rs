//! The words of quotas, and of where answers tell how much of them is used.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `hourmark.toml` as far as its quotas go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct SharedFile {
    /// Limits that several pipelines draw from, by name.
    #[serde(default)]
    pub quotas: IndexMap<String, Quota>,
}

/// Either `name`, `requests` and `per`: so many requests in any such period. Or `shared`: a limit of `hourmark.toml` that
/// several pipelines draw from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    /// What reports call it.
    pub name: Option<String>,
    /// The name of a quota in `hourmark.toml`, `[quotas.NAME]`, that this pipeline draws from together with others. Beside
    /// it stand only `endpoints` and `weights`; everything else stands there.
    pub shared: Option<String>,
    /// Requests in a period.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: Option<u32>,
    /// The period, 1s to 1d.
    pub per: Option<String>,
    /// What it is counted by; `app` where it is not given.
    pub scope: Option<Scope>,
    /// Only these kinds of requests count; all where it is not given.
    pub endpoints: Option<Vec<Endpoint>>,
    /// What a request of each kind counts for.
    pub weights: Option<Weights>,
    /// How the platform counts; `sliding` where it is not given.
    pub window: Option<Counting>,
    /// With `window = "fixed"`: the IANA time zone on whose clock periods begin; UTC where it is not given.
    pub zone: Option<String>,
    /// How many may go at once after a pause, at most `requests`; 1 where it is not given and `per` is up to 10s, else
    /// `requests`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// The share of it that is used, above 0 and up to 1, where other programs draw from the same limit; 1 where it is not
    /// given. What is on its way needs no share: hourmark keeps that margin itself.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub safety: Option<f64>,
    /// Whether `requests` is only a ceiling and the pace is found by trying; false where it is not given.
    pub adapt: Option<bool>,
    /// Whether the platform may count a request as late as its answer, so that its place is held until then, at the cost
    /// of use; false where it is not given.
    pub strict: Option<bool>,
}

/// What a quota is counted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// All requests together.
    #[default]
    App,
    /// The requests of one account; one about several counts once for each.
    Account,
    /// The requests of one kind.
    Endpoint,
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Endpoint {
    /// The list of accounts.
    Accounts,
    /// A list of campaigns.
    Campaigns,
    /// Metrics.
    Metrics,
    /// The making of a report.
    Create,
    /// The question whether a report is done.
    Poll,
    /// The rows of a report.
    Download,
}

/// What a request of each kind counts for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Weights {
    /// The list of accounts.
    #[schemars(range(min = 1, max = 1_000))]
    pub accounts: u32,
    /// A list of campaigns.
    #[schemars(range(min = 1, max = 1_000))]
    pub campaigns: u32,
    /// Metrics.
    #[schemars(range(min = 1, max = 1_000))]
    pub metrics: u32,
    /// The making of a report.
    #[schemars(range(min = 1, max = 1_000))]
    pub create: u32,
    /// The question whether a report is done.
    #[schemars(range(min = 1, max = 1_000))]
    pub poll: u32,
    /// The rows of a report.
    #[schemars(range(min = 1, max = 1_000))]
    pub download: u32,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { accounts: 1, campaigns: 1, metrics: 1, create: 1, poll: 1, download: 1 }
    }
}

/// How a platform counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counting {
    /// In any stretch of the period.
    #[default]
    Sliding,
    /// In periods that begin with the day on the clock of `zone`; `per` divides a day.
    Fixed,
}

/// Where answers tell how much of a limit is used; refusals tell it too.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Usage {
    /// Headers with a number each; at least one of the three.
    Headers {
        /// Whose limits it tells of.
        #[serde(default)]
        scope: Scope,
        /// Only this quota of the scope; all of them where it is not given.
        quota: Option<String>,
        /// The header with the limit, as `X-RateLimit-Limit`.
        limit: Option<String>,
        /// The header with what is left of it.
        remaining: Option<String>,
        /// The header with when it is whole again.
        reset: Option<String>,
        /// How `reset` is written; `auto` where it is not given.
        reset_as: Option<WaitUnit>,
    },
    /// The header `RateLimit` of the IETF drafts: `"name";r=0;t=17`, or `limit=60, remaining=0, reset=17`.
    #[serde(rename = "ratelimit")]
    RateLimit {
        /// Whose limits it tells of.
        #[serde(default)]
        scope: Scope,
        /// Only this quota of the scope; all of them where it is not given.
        quota: Option<String>,
        /// The header's name.
        #[serde(default = "ratelimit")]
        header: String,
        /// The policy whose numbers are meant, where the header names several; the one that is exhausted for the longest
        /// time where it is not given.
        policy: Option<String>,
    },
    /// JSON in a header, with `percent` or `wait`. A key `{account}` in a place stands for the id of each account of the
    /// request.
    Json {
        /// Whose limits it tells of.
        #[serde(default)]
        scope: Scope,
        /// Only this quota of the scope; all of them where it is not given.
        quota: Option<String>,
        /// The header's name.
        header: String,
        /// Places of percentages used, as `*.*.call_count`; the highest counts.
        #[serde(default)]
        percent: Vec<String>,
        /// The place of the wait; the longest counts.
        wait: Option<String>,
        /// How `wait` is written; `auto` where it is not given.
        wait_as: Option<WaitUnit>,
    },
}

fn ratelimit() -> String {
    "RateLimit".to_owned()
}

/// How a wait or a moment is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitUnit {
    /// Whatever it looks like: seconds, a moment since 1970 in seconds or milliseconds, a text such as `30s`, or a date.
    #[default]
    Auto,
    /// Milliseconds to wait.
    Milliseconds,
    /// Seconds to wait.
    Seconds,
    /// Minutes to wait.
    Minutes,
    /// Seconds since 1970.
    Epoch,
    /// A date of HTTP or RFC 3339.
    Date,
}
