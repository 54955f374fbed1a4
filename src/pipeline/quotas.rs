//! The platform's limits as declared, and where its answers tell how much of them is used.

use std::time::Duration;

use chrono_tz::Tz;

use super::JsonPath;

/// One of the platform's limits: so many units in any `per`, counted by `scope`. A request is one unit unless `weights`
/// says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// For reports; the name in `hourmark.toml` where it is shared.
    pub name: String,
    /// Whether it is one of `hourmark.toml`: all pipelines that name it draw from one.
    pub shared: bool,
    /// Units in a period.
    pub units: u32,
    /// The period, a second to a day.
    pub per: Duration,
    /// How the platform counts.
    pub counting: Counting,
    /// What it is counted by.
    pub scope: Scope,
    /// Only these kinds of requests count; empty: all.
    pub endpoints: Vec<Endpoint>,
    /// What a request of each kind counts for.
    pub weights: Weights,
    /// How many units may go at once after a pause.
    pub burst: u32,
    /// The share of it that is ours to use, above 0 and up to 1.
    pub safety: f64,
    /// `units` is only a ceiling: the pace is found by trying.
    pub adapt: bool,
    /// The platform may count a request as late as its answer: a permit is held until then, at the cost of use.
    pub strict: bool,
}

/// How a platform counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// In any stretch of the period.
    Sliding,
    /// In periods that begin where the clock of this zone shows a full second, minute, hour or day: whatever the period
    /// divides.
    Fixed(Tz),
}

/// What a quota is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All requests together.
    App,
    /// The requests of one account. A request about several counts once for each.
    Account,
    /// The requests of one kind.
    Endpoint,
}

impl Scope {
    /// The word for it, as in pipeline files.
    pub fn word(self) -> &'static str {
        match self {
            Scope::App => "app",
            Scope::Account => "account",
            Scope::Endpoint => "endpoint",
        }
    }
}

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
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

impl Endpoint {
    /// All of them.
    pub const ALL: [Endpoint; 6] = [
        Endpoint::Accounts,
        Endpoint::Campaigns,
        Endpoint::Metrics,
        Endpoint::Create,
        Endpoint::Poll,
        Endpoint::Download,
    ];

    /// The word for it, as in pipeline files.
    pub fn word(self) -> &'static str {
        match self {
            Endpoint::Accounts => "accounts",
            Endpoint::Campaigns => "campaigns",
            Endpoint::Metrics => "metrics",
            Endpoint::Create => "create",
            Endpoint::Poll => "poll",
            Endpoint::Download => "download",
        }
    }
}

/// What a request of each kind counts for, in the order of [`Endpoint::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights([u32; 6]);

impl Default for Weights {
    fn default() -> Weights {
        Weights([1; 6])
    }
}

impl Weights {
    /// What one request of `endpoint` counts for.
    pub fn of(&self, endpoint: Endpoint) -> u32 {
        self.0[endpoint as usize]
    }

    /// These, with another weight for `endpoint`.
    #[must_use]
    pub fn with(mut self, endpoint: Endpoint, weight: u32) -> Weights {
        self.0[endpoint as usize] = weight;
        self
    }
}

/// Where answers tell how much of the limits is used.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageRule {
    /// Which scope it speaks of.
    pub scope: Scope,
    /// Only this quota of the scope; all of them where it is not said.
    pub quota: Option<String>,
    /// Where it is.
    pub source: UsageSource,
}

/// Where a platform tells how much of a limit is used.
#[derive(Debug, Clone, PartialEq)]
pub enum UsageSource {
    /// Headers with a number each, such as `X-RateLimit-Remaining`.
    Headers {
        /// The header with the limit.
        limit: Option<String>,
        /// The header with what is left of it.
        remaining: Option<String>,
        /// The header with when it is whole again, and how that is written.
        reset: Option<(String, WaitUnit)>,
    },
    /// The header `RateLimit` of the IETF drafts, `"name";r=0;t=17` or `limit=60, remaining=0, reset=17`; of several
    /// policies the named one, else the one that is exhausted for the longest time.
    RateLimit {
        /// The header's name.
        header: String,
        /// Whose numbers are meant.
        policy: Option<String>,
    },
    /// JSON in a header. A key `{account}` in a path stands for the id of each account of the request.
    Json {
        /// The header's name.
        header: String,
        /// Places of percentages used; the highest counts.
        percent: Vec<JsonPath>,
        /// The place of the wait, and how it is written; the longest counts.
        wait: Option<(JsonPath, WaitUnit)>,
    },
}

/// How a wait or a moment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitUnit {
    /// Whatever it looks like: above a thousand million a moment (seconds since 1970, above a million million
    /// milliseconds), else seconds; a text like `30s`; a date.
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
