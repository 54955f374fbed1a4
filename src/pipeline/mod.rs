//! A pipeline, checked: one TOML file as trusted values.
//!
//! The way of a file: `tree` reads its text so that every value knows its line, `overrides` lays `--set` over it,
//! `validate` compares it with the JSON Schema, `mend` makes the rest of a broken file readable, `raw` mirrors its text
//! (and is the source of that schema), `check` turns it into the types below. Each step reports every problem at once to `problem`. Whoever holds a [`Pipeline`] need not
//! check anything again.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::secret::SecretSource;
use crate::unit::Account;

pub mod schema;

mod check;
mod json_schema;
mod load;
mod mend;
mod overrides;
mod problem;
mod raw;
mod starter;
mod tree;
mod validate;

#[cfg(test)]
mod tests;

pub use json_schema::json_schema;
pub use load::{load, load_folder, parse};
pub use overrides::Override;
pub use starter::starter;

/// One pipeline: a platform's API, its quotas, its columns, its schedule and its place in the lake.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file's stem: the name of its folder in the lake and of its table in queries.
    pub name: String,
    /// The value of the `platform` column.
    pub platform: String,
    /// One line for people.
    pub description: String,
    /// Where and how requests go.
    pub api: Api,
    /// How requests are signed.
    pub auth: Auth,
    /// How accounts come.
    pub accounts: Accounts,
    /// How an account's campaigns come, for platforms that want their ids in the metrics request.
    pub campaigns: Option<CampaignList>,
    /// The metrics request.
    pub request: RequestTemplate,
    /// How its pages follow each other.
    pub pagination: Pagination,
    /// Where the rows are in a response.
    pub records: Records,
    /// Where each row's account, campaign and campaign name are.
    pub identity: Identity,
    /// How each row's hour is made.
    pub hour: HourSource,
    /// The declared columns, in the file's order, the identity's ones left out.
    pub columns: Vec<Column>,
    /// The names of those declared columns that belong to a row's key besides account, campaign and hour.
    pub dimensions: Vec<String>,
    /// What a request may ask for at once, and which hours are asked for again.
    pub window: WindowRules,
    /// The platform's limits.
    pub quotas: Vec<Quota>,
    /// How failures that may pass are tried again.
    pub retry: Retry,
    /// What particular answers mean.
    pub responses: Vec<ResponseRule>,
    /// What becomes of rows that a re-fetch does not bring again.
    pub missing: Missing,
    /// When `schedule` asks for what is due: a cron expression of five fields, in UTC.
    pub schedule: String,
    /// Where the rows go.
    pub lake: LakeLayout,
}

/// Where and how requests go.
#[derive(Debug, Clone)]
pub struct Api {
    /// The URL that every path is appended to; without a trailing slash.
    pub base_url: Url,
    /// Sent with every request.
    pub headers: Vec<(String, HeaderText)>,
    /// Hosts besides the base URL's to which a `next` link may lead.
    pub hosts: Vec<String>,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// From a request's sending to its answer's first byte.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body.
    pub stall_timeout: Duration,
    /// The longest body accepted, after decompression, in bytes.
    pub max_body: u64,
}

/// A header's value: open text, or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// As written.
    Literal(String),
    /// Read when the run begins.
    Secret(SecretSource),
}

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer <token>`.
    Bearer {
        /// The token.
        token: SecretSource,
    },
    /// A header of the platform's own.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
    /// HTTP Basic.
    Basic {
        /// The user's name.
        username: SecretSource,
        /// The password.
        password: SecretSource,
    },
}

/// A place in a JSON body: keys joined by dots, `*` for every element of an array (or every value of an object).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(pub Vec<Step>);

/// One step of a [`JsonPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// An object's key.
    Key(String),
    /// Every element.
    Each,
}

impl JsonPath {
    /// Reads `a.b.*.c`. `None` where a step is empty. The empty text is the body itself.
    pub fn parse(text: &str) -> Option<JsonPath> {
        if text.is_empty() {
            return Some(JsonPath::default());
        }
        let step = |word: &str| match word {
            "" => None,
            "*" => Some(Step::Each),
            key => Some(Step::Key(key.to_owned())),
        };
        text.split('.').map(step).collect::<Option<Vec<Step>>>().map(JsonPath)
    }

    /// Whether a step stands for many places.
    pub fn has_each(&self) -> bool {
        self.0.contains(&Step::Each)
    }

    /// Every value at this place of a small document (rows are read without building one).
    pub fn values_in<'v>(&self, value: &'v serde_json::Value) -> Vec<&'v serde_json::Value> {
        let mut found = vec![value];
        for step in &self.0 {
            let mut deeper = Vec::new();
            for value in found {
                match (step, value) {
                    (Step::Key(key), _) => deeper.extend(value.get(key.as_str())),
                    (Step::Each, serde_json::Value::Array(items)) => deeper.extend(items),
                    (Step::Each, serde_json::Value::Object(fields)) => deeper.extend(fields.values()),
                    (Step::Each, _) => {}
                }
            }
            found = deeper;
        }
        found
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            match step {
                Step::Key(key) => f.write_str(key)?,
                Step::Each => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

/// How accounts come.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a pipeline has one, and it is never moved in a loop")]
pub enum Accounts {
    /// They are written in the file.
    List(Vec<Account>),
    /// The platform lists them.
    Endpoint {
        /// The request and its pages.
        list: Listing,
        /// Where an item's time zone is (an IANA name); `None`: every account is in `time_zone_default`.
        time_zone: Option<JsonPath>,
        /// The zone of accounts for which the platform gives none.
        time_zone_default: Option<chrono_tz::Tz>,
        /// Where an item's currency is.
        currency: Option<JsonPath>,
    },
}

/// How an account's campaigns come.
#[derive(Debug, Clone)]
pub struct CampaignList {
    /// The request and its pages; its path may hold `{account}`.
    pub list: Listing,
}

/// A paginated list of things that change slowly: cached by ETag and `Cache-Control`.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Appended to the base URL; may hold `{account}` where the list is an account's.
    pub path: String,
    /// Query parameters.
    pub query: Parameters,
    /// How its pages follow each other.
    pub pagination: Pagination,
    /// Where the items are.
    pub records: Records,
    /// Where an item's id is.
    pub id: JsonPath,
    /// Where an item's name is.
    pub name: Option<JsonPath>,
}

/// Query or form parameters in the file's order. A name may come several times: some platforms take lists so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names, those that come several times as often.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Parameters {
        Parameters(pairs.into_iter().collect())
    }
}

/// HTTP methods that a pipeline may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// The metrics request, with placeholders from the closed list of [`Placeholder`].
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    /// GET or POST.
    pub method: Method,
    /// Appended to the base URL.
    pub path: String,
    /// Query parameters in the file's order.
    pub query: Parameters,
    /// What a POST carries.
    pub body: Body,
    /// At most so many accounts in one request (1: `{account}`; more: `{accounts}`).
    pub accounts_per_request: usize,
    /// At most so many campaigns in one request, where it holds `{campaigns}`.
    pub campaigns_per_request: usize,
    /// How several ids become one parameter.
    pub join: Join,
    /// How `{from}` and `{to}` are written.
    pub time: TimeText,
}

/// What a POST carries.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    None,
    /// A JSON document; placeholders in its texts, and a text that is nothing but `{accounts}` or `{campaigns}` becomes
    /// an array where `join = "array"`.
    Json(serde_json::Value),
    /// `application/x-www-form-urlencoded`.
    Form(Parameters),
}

/// The closed list of placeholders, as in `{account}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// The one account's id.
    Account,
    /// All accounts' ids, joined.
    Accounts,
    /// A chunk of the account's campaign ids, joined.
    Campaigns,
    /// The window's beginning.
    From,
    /// The window's end.
    To,
    /// The account's time zone, an IANA name.
    TimeZone,
    /// The page size.
    PageSize,
}

impl Placeholder {
    /// All of them with their words.
    pub const ALL: [(Placeholder, &'static str); 7] = [
        (Placeholder::Account, "account"),
        (Placeholder::Accounts, "accounts"),
        (Placeholder::Campaigns, "campaigns"),
        (Placeholder::From, "from"),
        (Placeholder::To, "to"),
        (Placeholder::TimeZone, "time_zone"),
        (Placeholder::PageSize, "page_size"),
    ];
}

/// How several ids become one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// `a,b,c`.
    Comma,
    /// The parameter once for each id (query and form only).
    Repeat,
    /// A JSON array, as text in a query, as an array in a JSON body.
    Array,
}

/// How `{from}` and `{to}` are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeText {
    /// The notation.
    pub format: TimeFormat,
    /// On whose clock.
    pub zone: ZoneRule,
    /// Whether `{to}` is the last moment inside (the last day, the last second) rather than the first after.
    pub end_inclusive: bool,
}

/// Notations of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2026-11-20`.
    Date,
    /// `2026-11-20T09:00:00Z`, or with the account's offset.
    Rfc3339,
    /// `2026-11-20T09:00:00`, no offset.
    Naive,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMilliseconds,
}

/// On whose clock something is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneRule {
    /// UTC.
    Utc,
    /// The account's.
    Account,
    /// A fixed zone, whatever was asked for.
    Fixed(chrono_tz::Tz),
}

/// How pages follow each other.
#[derive(Debug, Clone)]
pub struct Pagination {
    /// The rule.
    pub kind: PaginationKind,
    /// The value of `{page_size}`, and the size by which a short page is recognised; 0 where the file gives none (then
    /// nothing uses it).
    pub page_size: usize,
    /// Sends the page size under this name.
    pub page_size_param: Option<String>,
    /// More pages than this are an error: the platform's paging does not end.
    pub max_pages: usize,
}

/// The rule by which the next page is asked for.
#[derive(Debug, Clone)]
pub enum PaginationKind {
    /// One page only.
    None,
    /// A token in the body, sent back as a parameter.
    Cursor {
        /// Where it is.
        next: JsonPath,
        /// What it is sent as.
        param: String,
    },
    /// A whole URL in the body.
    NextLink {
        /// Where it is.
        next: JsonPath,
    },
    /// A whole URL in a `Link` header with `rel="next"`.
    LinkHeader,
    /// Pages by number.
    PageNumber {
        /// What the number is sent as.
        param: String,
        /// The first page's number.
        first: u64,
        /// Where the body says how many pages there are.
        total_pages: Option<JsonPath>,
    },
    /// Rows by offset.
    Offset {
        /// What the offset is sent as.
        param: String,
        /// Where the body says how many rows there are.
        total: Option<JsonPath>,
    },
}

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

/// Where a row says whose it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account's id; `None`: the request has one account.
    pub account: Option<JsonPath>,
    /// The campaign's id.
    pub campaign: JsonPath,
    /// The campaign's name; `None`: from the campaign list, where there is one.
    pub campaign_name: Option<JsonPath>,
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
    /// A 64-bit float.
    Float,
    /// true or false.
    Bool,
    /// A moment: RFC 3339, or unix seconds or milliseconds.
    Timestamp,
}

/// What a request may ask for at once, and which hours are asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowRules {
    /// Hours on their own, or whole days on a clock.
    pub align: Align,
    /// How many of them in one request.
    pub size: u32,
    /// How long after its end an hour is asked for at the earliest.
    pub settle: Duration,
    /// Ages of a window's end at which it is asked for again.
    pub refresh: Vec<Duration>,
    /// Hours younger than this are asked for in every run.
    pub lookback: Duration,
    /// How far back the first run of a new account goes.
    pub history: Duration,
    /// How far back the platform answers at all.
    pub retention: Option<Duration>,
}

/// What windows are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Hours of the account's clock.
    Hour,
    /// Days on the account's clock.
    AccountDay,
    /// Days in UTC.
    UtcDay,
}

/// One of the platform's limits: so many requests in any stretch of `per`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// For reports.
    pub name: String,
    /// Requests in a period.
    pub requests: u32,
    /// The period.
    pub per: Duration,
    /// What it is counted by.
    pub scope: Scope,
    /// How many may go at once after a pause.
    pub burst: u32,
    /// The share of it that is used, because a server counts a request somewhere between its sending and its answer.
    pub safety: f64,
}

/// What a quota is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All requests of the pipeline.
    App,
    /// The requests of one account.
    Account,
}

/// How failures that may pass are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The first wait's upper bound; doubled each time.
    pub base: Duration,
    /// No wait of our own is longer.
    pub cap: Duration,
    /// A wait that the platform asks for and that is longer than this ends the run with "waiting".
    pub max_wait: Duration,
}

/// What a particular answer means; the first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRule {
    /// Fits this status only.
    pub status: Option<u16>,
    /// Fits where this place in the body holds `equals` (or anything but null, where that is `None`).
    pub path: Option<JsonPath>,
    /// The value, as text.
    pub equals: Option<String>,
    /// What it means.
    pub action: ResponseAction,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseAction {
    /// A page as any other.
    Ok,
    /// Try again.
    Retry,
    /// Over a limit: wait, then try again.
    Throttled,
    /// Give the unit up.
    Fail,
}

/// What becomes of rows that a re-fetch does not bring again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Missing {
    /// They stay.
    Keep,
    /// They go, unless that would take more than this share of the accounts' rows of that day.
    Drop {
        /// 0 to 1.
        max_share: f64,
    },
}

/// Where the rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeLayout {
    /// One file per day, or per hour.
    pub partition_by: PartitionBy,
    /// Files per partition, by a hash of the account's id.
    pub buckets: u16,
}

/// The lake's folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionBy {
    /// `date=YYYY-MM-DD/bucket-BB.parquet`.
    Date,
    /// `date=YYYY-MM-DD/utc_hour=HH/bucket-BB.parquet`.
    DateHour,
}
