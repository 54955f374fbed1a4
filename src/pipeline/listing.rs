//! Places in a body, and lists that change slowly: accounts and campaigns.

use std::fmt;
use std::time::Duration;

use chrono_tz::Tz;
use indexmap::IndexMap;
use url::Url;

use super::{Body, Column, Join, Method, Pagination, Records};
use crate::secret::SecretSource;
use crate::unit::Account;

/// A place in a JSON body: keys joined by dots, `*` for every element of an array (or every value of an object), `?` for
/// a value that may be wrapped in an array: itself, or every element where it is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(pub Vec<Step>);

/// One step of a [`JsonPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// An object's key.
    Key(String),
    /// Every element.
    Each,
    /// The value itself, or every element where it is an array.
    OneOrEach,
}

impl JsonPath {
    /// Reads `a.b.*.c.?.d`. `None` where a step is empty. The empty text is the body itself.
    pub fn parse(text: &str) -> Option<JsonPath> {
        if text.is_empty() {
            return Some(JsonPath::default());
        }
        let step = |word: &str| match word {
            "" => None,
            "*" => Some(Step::Each),
            "?" => Some(Step::OneOrEach),
            key => Some(Step::Key(key.to_owned())),
        };
        text.split('.').map(step).collect::<Option<Vec<Step>>>().map(JsonPath)
    }

    /// Whether a step stands for many places, whatever is there: `*`.
    pub fn has_each(&self) -> bool {
        self.0.contains(&Step::Each)
    }

    /// What follows `list.*` in this path; `None` where it does not begin so.
    pub fn within(&self, list: &JsonPath) -> Option<&[Step]> {
        self.0.strip_prefix(list.0.as_slice())?.strip_prefix([Step::Each].as_slice())
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
                    (Step::OneOrEach, serde_json::Value::Array(items)) => deeper.extend(items),
                    (Step::OneOrEach, value) => deeper.push(value),
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
                Step::OneOrEach => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

/// How accounts come.
#[derive(Debug, Clone)]
pub enum Accounts {
    /// They are written in the file.
    List(Vec<Account>),
    /// The platform lists them.
    Endpoint(Box<AccountList>),
}

/// How the platform lists its accounts.
#[derive(Debug, Clone)]
pub struct AccountList {
    /// The request and its pages; sent for every parent where there are parents.
    pub list: Listing,
    /// What is asked for first.
    pub parents: Option<Parents>,
    /// Where an item says what `{parent}` stands for in requests about the account; `None`: the parent it was found under.
    pub parent: Option<JsonPath>,
    /// Where an item's time zone is (an IANA name); `None`: every account is in `time_zone_default`.
    pub time_zone: Option<JsonPath>,
    /// The zone of accounts for which the platform gives none.
    pub time_zone_default: Option<Tz>,
    /// Zones by account id, whatever the platform says.
    pub time_zones: IndexMap<String, Tz>,
    /// The platform's own names of zones.
    pub time_zone_names: IndexMap<String, Tz>,
    /// Where an item's currency is.
    pub currency: Option<JsonPath>,
}

/// What accounts are found under.
#[derive(Debug, Clone)]
pub struct Parents {
    /// The request and its pages.
    pub list: Listing,
    /// At most so many in one request for accounts.
    pub per_request: usize,
    /// How their ids become one parameter.
    pub join: Join,
}

/// How an account's campaigns come.
#[derive(Debug, Clone)]
pub struct CampaignList {
    /// The request and its pages; its path may hold `{account}`.
    pub list: Listing,
    /// Where an item's currency is.
    pub currency: Option<JsonPath>,
    /// The attributes that are kept of campaigns, in the file's order; none where nothing is kept.
    pub columns: Vec<Column>,
}

/// A paginated list of things that change slowly: cached by ETag and `Cache-Control`.
#[derive(Debug, Clone)]
pub struct Listing {
    /// GET or POST.
    pub method: Method,
    /// Appended to the server's URL; may hold `{account}` where the list is an account's.
    pub path: String,
    /// Query parameters.
    pub query: Parameters,
    /// Query parameters whose values are secrets.
    pub secrets: Vec<(String, SecretSource)>,
    /// What a POST carries.
    pub body: Body,
    /// Another server than the base URL's.
    pub server: Option<Url>,
    /// How its pages follow each other.
    pub pagination: Pagination,
    /// Where the items are.
    pub records: Records,
    /// Where an item's id is; the empty path: the item itself is the id.
    pub id: JsonPath,
    /// The text after which the id begins.
    pub id_after: Option<String>,
    /// Where an item's name is.
    pub name: Option<JsonPath>,
    /// It is asked for at most so often, whatever its answers say of caching.
    pub every: Duration,
    /// Whether an item's own text is kept, for columns that are read from it.
    pub verbatim: bool,
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
