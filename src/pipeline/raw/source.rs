//! The part of the file that says what is asked of the platform and how its answers are read.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Column, Values};

/// How accounts come: either `list`, or the keys of an endpoint.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accounts {
    /// The accounts themselves, for platforms that do not list them.
    pub list: Option<Vec<Listed>>,
    /// A list that is asked for first: what accounts are found under, as organisations or managers. The accounts' own
    /// request is then sent for each of them, with its id as `{parent}`.
    pub parents: Option<Parents>,
    /// At most so many parents in one request, where it holds `{parents}`.
    #[serde(default = "one_account")]
    #[schemars(range(min = 1, max = 10_000))]
    pub parents_per_request: u32,
    /// How several parents' ids become one parameter.
    #[serde(default = "comma")]
    pub join: Join,
    /// The HTTP method.
    #[serde(default = "get")]
    pub method: Method,
    /// The endpoint's path, appended to the base URL; may hold `{parent}` and `{parents}`.
    pub path: Option<String>,
    /// The endpoint's query parameters; a list sends its parameter once for each element.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// Query parameters whose values are secrets: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub secrets: IndexMap<String, String>,
    /// The JSON document that a POST carries, with placeholders in its texts.
    pub json: Option<IndexMap<String, serde_json::Value>>,
    /// The name of one of `api.servers`, where the list is not the base URL's.
    pub server: Option<String>,
    /// Where the accounts are in an answer; the empty text is the whole body.
    pub records: Option<String>,
    /// Whether an answer without that place is an empty list rather than an unreadable one.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// Where an account's id is.
    pub id: Option<String>,
    /// The text after which the id begins, as `customers/` where ids are written `customers/123`.
    pub id_after: Option<String>,
    /// Where it says what `{parent}` stands for in later requests about the account; the parent's id where it is not given.
    pub parent: Option<String>,
    /// Where an account's name is.
    pub name: Option<String>,
    /// Where an account's time zone is, an IANA name.
    pub time_zone: Option<String>,
    /// The zone of accounts for which the platform gives none, an IANA name.
    pub time_zone_default: Option<String>,
    /// Zones of single accounts by their ids, whatever the platform says: IANA names.
    #[serde(default)]
    pub time_zones: IndexMap<String, String>,
    /// The platform's own names of zones, where it does not use IANA's, and what IANA calls them.
    #[serde(default)]
    pub time_zone_names: IndexMap<String, String>,
    /// Where an account's currency is, an ISO 4217 code.
    pub currency: Option<String>,
    /// The list is asked for at most so often, whatever its answers say of caching; `0s`, as where it is not given: they
    /// alone decide.
    pub every: Option<String>,
    /// How the list's pages follow each other; one page only where it is not given.
    pub pagination: Option<Pagination>,
}

/// An account that is written in the file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// The platform's id, as text.
    pub id: String,
    /// A name for people.
    #[serde(default)]
    pub name: String,
    /// The clock by which the account's days and hours run, an IANA name.
    pub time_zone: String,
    /// The ISO 4217 code of the account's money.
    pub currency: Option<String>,
    /// What `{parent}` stands for in requests about the account.
    #[serde(default)]
    pub parent: String,
}

/// A list of what accounts are found under.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parents {
    /// The HTTP method.
    #[serde(default = "get")]
    pub method: Method,
    /// The endpoint's path, appended to the base URL.
    pub path: String,
    /// The endpoint's query parameters.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// Query parameters whose values are secrets: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub secrets: IndexMap<String, String>,
    /// The JSON document that a POST carries.
    pub json: Option<IndexMap<String, serde_json::Value>>,
    /// The name of one of `api.servers`, where the list is not the base URL's.
    pub server: Option<String>,
    /// Where they are in an answer: a list, or one object; the empty text is the whole body.
    pub records: String,
    /// Whether an answer without that place is an empty list rather than an unreadable one.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// Where an id is; the empty text where the list holds the ids themselves.
    pub id: String,
    /// The text after which the id begins.
    pub id_after: Option<String>,
    /// The list is asked for at most so often; `0s`: as often as its answers' headers say, in every run without any.
    #[serde(default = "no_time")]
    pub every: String,
    /// How the list's pages follow each other; one page only where it is not given.
    #[serde(default)]
    pub pagination: Pagination,
}

/// How an account's campaigns come.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Campaigns {
    /// The HTTP method.
    #[serde(default = "get")]
    pub method: Method,
    /// The endpoint's path, appended to the base URL; may hold `{account}` and `{parent}`.
    pub path: String,
    /// The endpoint's query parameters; their values may hold `{account}`, `{parent}` and `{page_size}`.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// Query parameters whose values are secrets: `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub secrets: IndexMap<String, String>,
    /// The JSON document that a POST carries, with placeholders in its texts.
    pub json: Option<IndexMap<String, serde_json::Value>>,
    /// The name of one of `api.servers`, where the list is not the base URL's.
    pub server: Option<String>,
    /// Where the campaigns are in an answer; the empty text is the whole body.
    pub records: String,
    /// Whether an answer without that place is an empty list rather than an unreadable one.
    #[serde(default)]
    pub absent_is_empty: bool,
    /// Where a campaign's id is.
    pub id: String,
    /// The text after which the id begins.
    pub id_after: Option<String>,
    /// Where a campaign's name is.
    pub name: Option<String>,
    /// Where a campaign's currency is, an ISO 4217 code; it is that of the campaign's rows where the account's is not known.
    pub currency: Option<String>,
    /// An account's list is asked for at most so often, whatever its answers say of caching; `0s`: they alone decide.
    #[serde(default = "no_time")]
    pub every: String,
    /// Attributes of campaigns by name, as `status` or `daily_budget`, written like `[columns]`. What they are and what
    /// they were is kept in a dataset of its own, `PIPELINE__campaigns`, one row for each version.
    #[serde(default)]
    pub columns: IndexMap<String, Column>,
    /// How the list's pages follow each other; one page only where it is not given.
    #[serde(default)]
    pub pagination: Pagination,
}

fn no_time() -> String {
    "0s".to_owned()
}

/// The metrics request. Texts may hold `{account}` (one account's id), `{accounts}` (all ids of the batch, joined),
/// `{campaigns}` (a chunk of the account's campaign ids, joined), `{parent}` (what the account was found under), `{from}`,
/// `{to}`, their `{from_year}`, `{from_month}`, `{from_day}`, `{to_year}`, `{to_month}`, `{to_day}`, `{time_zone}` (the
/// account's) and `{page_size}`; other braces are text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The HTTP method.
    #[serde(default = "get")]
    pub method: Method,
    /// Appended to the base URL; may hold placeholders.
    pub path: String,
    /// The name of one of `api.servers`, where the endpoint is not the base URL's.
    pub server: Option<String>,
    /// Sends the requests of several accounts in one.
    pub batch: Option<Batch>,
    /// Query parameters, in this order; a list sends its parameter once for each element.
    #[serde(default)]
    pub query: IndexMap<String, Values>,
    /// The JSON document that a POST carries, with placeholders in its texts.
    pub json: Option<IndexMap<String, serde_json::Value>>,
    /// The form (`application/x-www-form-urlencoded`) that a POST carries.
    pub form: Option<IndexMap<String, Values>>,
    /// At most so many accounts in one request.
    #[serde(default = "one_account")]
    #[schemars(range(min = 1, max = 10_000))]
    pub accounts_per_request: u32,
    /// At most so many campaigns in one request, where it holds `{campaigns}`.
    #[serde(default = "hundred_campaigns")]
    #[schemars(range(min = 1, max = 10_000))]
    pub campaigns_per_request: u32,
    /// How several ids become one parameter.
    #[serde(default = "comma")]
    pub join: Join,
    /// How `{from}` and `{to}` are written.
    #[serde(default)]
    pub time: RequestTime,
    /// Whether sending it twice would do something twice, as making a report; a POST only. It is sent with a key that
    /// makes repeated creations one.
    #[serde(default)]
    pub creates: bool,
    /// With `creates`: the header with the key; `Idempotency-Key` where neither this, nor `key_param`, nor `no_key` is
    /// given.
    pub key_header: Option<String>,
    /// With `creates`: the parameter with the key, in the body where there is one, else in the query.
    pub key_param: Option<String>,
    /// With `creates`: the platform knows no such keys. What was created by a request whose answer was lost is then
    /// created again.
    #[serde(default)]
    pub no_key: bool,
}

/// Several requests in one: a form with the JSON array `[{"method": .., "relative_url": ..}]`, answered by an array with a
/// `code` and a `body` for each of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// Where it is sent, appended to the base URL.
    pub path: String,
    /// At most so many requests in one.
    #[schemars(range(min = 1, max = 1000))]
    pub size: u32,
    /// The form's parameter with the array.
    #[serde(default = "batch_param")]
    pub param: String,
}

fn batch_param() -> String {
    "batch".to_owned()
}

pub(super) fn get() -> Method {
    Method::Get
}

pub(super) fn one_account() -> u32 {
    1
}

fn hundred_campaigns() -> u32 {
    100
}

pub(super) fn comma() -> Join {
    Join::Comma
}

/// HTTP methods that a pipeline may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Method {
    /// The parameters are in the query.
    #[serde(rename = "GET")]
    Get,
    /// A body is sent: `json` or `form`.
    #[serde(rename = "POST")]
    Post,
}

/// How several ids become one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Join {
    /// `a,b,c`.
    Comma,
    /// The parameter once for each id; in a query or a form only.
    Repeat,
    /// A JSON array: as text in a query or a form, as an array in a JSON body.
    Array,
}

/// How `{from}` and `{to}` are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RequestTime {
    /// The notation.
    pub format: Notation,
    /// On whose clock: `utc`, `account`, or an IANA name.
    pub zone: String,
    /// What `{to}` names.
    pub end: WindowEnd,
}

impl Default for RequestTime {
    fn default() -> RequestTime {
        RequestTime { format: Notation::Rfc3339, zone: "utc".to_owned(), end: WindowEnd::Exclusive }
    }
}

/// Notations of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notation {
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

/// What `{to}` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowEnd {
    /// The first moment after the window.
    Exclusive,
    /// The last day or second inside it.
    Inclusive,
}

/// How pages follow each other.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Pagination {
    /// One page only.
    #[default]
    None,
    /// A token in the body is sent back as a parameter; the last page has none.
    Cursor {
        /// Where the token is.
        next: String,
        /// A place that holds something only where there is another page, for platforms that give a token with the last
        /// one too.
        more: Option<String>,
        /// The parameter it is sent as; with dots between keys where it goes into a JSON body.
        param: String,
        /// Rows per page; the value of `{page_size}`.
        #[schemars(range(min = 1, max = 1_000_000))]
        page_size: Option<u32>,
        /// Sends the page size as this parameter.
        page_size_param: Option<String>,
        /// More pages than this are an error: the platform's paging does not end.
        #[serde(default = "max_pages")]
        #[schemars(range(min = 1, max = 10_000_000))]
        max_pages: u32,
    },
    /// A whole URL in the body is followed; the last page has none.
    NextLink {
        /// Where the URL is.
        next: String,
        /// Rows per page; the value of `{page_size}`.
        #[schemars(range(min = 1, max = 1_000_000))]
        page_size: Option<u32>,
        /// Sends the page size as this parameter.
        page_size_param: Option<String>,
        /// More pages than this are an error: the platform's paging does not end.
        #[serde(default = "max_pages")]
        #[schemars(range(min = 1, max = 10_000_000))]
        max_pages: u32,
    },
    /// A whole URL in a `Link` header with `rel="next"` is followed.
    LinkHeader {
        /// Rows per page; the value of `{page_size}`.
        #[schemars(range(min = 1, max = 1_000_000))]
        page_size: Option<u32>,
        /// Sends the page size as this parameter.
        page_size_param: Option<String>,
        /// More pages than this are an error: the platform's paging does not end.
        #[serde(default = "max_pages")]
        #[schemars(range(min = 1, max = 10_000_000))]
        max_pages: u32,
    },
    /// Pages are asked for by number, until the last one or a short one.
    PageNumber {
        /// The parameter the number is sent as; with dots between keys where it goes into a JSON body.
        param: String,
        /// The first page's number.
        #[serde(default = "first_page")]
        #[schemars(range(min = 0, max = 1))]
        first: u64,
        /// Where the body says how many pages there are.
        total_pages: Option<String>,
        /// Rows per page, by which a short page is recognised; the value of `{page_size}`.
        #[schemars(range(min = 1, max = 1_000_000))]
        page_size: u32,
        /// Sends the page size as this parameter.
        page_size_param: Option<String>,
        /// More pages than this are an error: the platform's paging does not end.
        #[serde(default = "max_pages")]
        #[schemars(range(min = 1, max = 10_000_000))]
        max_pages: u32,
    },
    /// Rows are asked for by offset, until all have come or a short page.
    Offset {
        /// The parameter the offset is sent as; with dots between keys where it goes into a JSON body.
        param: String,
        /// Where the body says how many rows there are.
        total: Option<String>,
        /// Rows per page, by which a short page is recognised; the value of `{page_size}`.
        #[schemars(range(min = 1, max = 1_000_000))]
        page_size: u32,
        /// Sends the page size as this parameter.
        page_size_param: Option<String>,
        /// More pages than this are an error: the platform's paging does not end.
        #[serde(default = "max_pages")]
        #[schemars(range(min = 1, max = 10_000_000))]
        max_pages: u32,
    },
}

fn max_pages() -> u32 {
    10_000
}

fn first_page() -> u64 {
    1
}
