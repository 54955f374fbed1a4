//! The metrics request with its placeholders, and how its pages follow each other.

use url::Url;

use super::{JsonPath, KeyPlace, Parameters};

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
    /// Appended to the server's URL.
    pub path: String,
    /// Another server than the base URL's.
    pub server: Option<Url>,
    /// Sends the requests of several accounts in one.
    pub batch: Option<Batch>,
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
    /// Whether sending it twice would do something twice, and where the key goes that prevents it.
    pub creates: Option<KeyPlace>,
}

/// Several requests in one: a form with an array of them, answered by an array of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where it is sent, appended to the base URL.
    pub path: String,
    /// At most so many requests in one.
    pub size: usize,
    /// The form's parameter with the array.
    pub param: String,
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
    /// What the account was found under.
    Parent,
    /// The ids of several parents, joined.
    Parents,
    /// The window's beginning.
    From,
    /// The window's end.
    To,
    /// The account's time zone, an IANA name.
    TimeZone,
    /// The page size.
    PageSize,
    /// The report's id.
    Report,
    /// The year of the window's beginning.
    FromYear,
    /// Its month, 1 to 12.
    FromMonth,
    /// Its day of the month.
    FromDay,
    /// The year of the window's end.
    ToYear,
    /// Its month, 1 to 12.
    ToMonth,
    /// Its day of the month.
    ToDay,
}

impl Placeholder {
    /// All of them with their words.
    pub const ALL: [(Placeholder, &'static str); 16] = [
        (Placeholder::Account, "account"),
        (Placeholder::Accounts, "accounts"),
        (Placeholder::Campaigns, "campaigns"),
        (Placeholder::From, "from"),
        (Placeholder::To, "to"),
        (Placeholder::TimeZone, "time_zone"),
        (Placeholder::PageSize, "page_size"),
        (Placeholder::Report, "report"),
        (Placeholder::Parent, "parent"),
        (Placeholder::Parents, "parents"),
        (Placeholder::FromYear, "from_year"),
        (Placeholder::FromMonth, "from_month"),
        (Placeholder::FromDay, "from_day"),
        (Placeholder::ToYear, "to_year"),
        (Placeholder::ToMonth, "to_month"),
        (Placeholder::ToDay, "to_day"),
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
        /// A place that holds something only where there is another page.
        more: Option<JsonPath>,
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
