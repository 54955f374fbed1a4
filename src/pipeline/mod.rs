//! A pipeline, checked: one TOML file as trusted values.
//!
//! The way of a file: `tree` reads its text so that every value knows its line, `overrides` lays `--set` over it,
//! `validate` compares it with the JSON Schema, `mend` makes the rest of a broken file readable, `raw` mirrors its text
//! (and is the source of that schema), `check` turns it into the types below. Each step reports every problem at once to `problem`. Whoever holds a [`Pipeline`] need not
//! check anything again.

use std::time::Duration;

use url::Url;

use crate::secret::SecretSource;

pub mod schema;

mod auth;
mod built_in;
mod check;
mod json_schema;
mod listing;
mod load;
mod mend;
mod overrides;
mod problem;
mod quality;
mod quotas;
mod raw;
mod reconcile;
mod report;
mod responses;
mod rows;
mod rules;
mod shared;
mod starter;
mod template;
mod tree;
mod validate;

#[cfg(test)]
mod tests;

pub use auth::{Auth, ClientSecret, Grant, JwtRules, OAuth2, Placement, Proof};
pub use built_in::{BuiltIn, built_in, copied};
pub use json_schema::json_schema;
pub use listing::{AccountList, Accounts, CampaignList, JsonPath, Listing, Parameters, Parents, Step};
pub use load::{load, load_folder, parse};
pub use overrides::Override;
pub use quality::{Limit, LimitValue, Quality, RowRules};
pub use quotas::{Counting, Endpoint, Quota, Scope, UsageRule, UsageSource, WaitUnit, Weights};
pub use reconcile::{Metric, Reconcile, Tolerance};
pub use report::{KeyPlace, Poll, Report, ReportRows};
pub use responses::{Fault, IdSource, ResponseAction, ResponseRule, ValueTest, WaitSource};
pub use rows::{
    Column, ColumnKind, HourSource, Identity, Manner, Pick, RecordFormat, RecordShape, Records, RepeatedHour,
};
pub use rules::{Align, LakeLayout, Missing, PartitionBy, Raw, Retry, WindowRules};
pub use shared::SharedQuotas;
pub use starter::starter;
pub use template::{
    Batch, Body, Join, Method, Pagination, PaginationKind, Placeholder, RequestTemplate, TimeFormat, TimeText, ZoneRule,
};

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
    /// How they become rows.
    pub shape: RecordShape,
    /// Where each row's account, campaign and campaign name are.
    pub identity: Identity,
    /// How each row's hour is made.
    pub hour: HourSource,
    /// The declared columns, in the file's order, the identity's ones left out.
    pub columns: Vec<Column>,
    /// The names of those declared columns that belong to a row's key besides account, campaign and hour.
    pub dimensions: Vec<String>,
    /// Rules that a unit's rows must keep.
    pub quality: Quality,
    /// What a request may ask for at once, and which hours are asked for again.
    pub window: WindowRules,
    /// Metrics by way of a report that the metrics request makes.
    pub report: Option<Report>,
    /// A coarser report of the platform, with which the lake is compared.
    pub reconcile: Option<Reconcile>,
    /// The platform's limits.
    pub quotas: Vec<Quota>,
    /// Where its answers tell how much of them is used.
    pub usage: Vec<UsageRule>,
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
    /// How long responses are kept; not at all where it is `None`.
    pub raw: Option<Raw>,
    /// 16 hexadecimal digits of the file's text, without what `--set` laid over it.
    pub digest: String,
}

impl Pipeline {
    /// Where the secrets are that lists send as parameters.
    pub fn secret_parameters(&self) -> Vec<SecretSource> {
        let mut lists: Vec<&Listing> = self.campaigns.iter().map(|campaigns| &campaigns.list).collect();
        if let Accounts::Endpoint(accounts) = &self.accounts {
            lists.push(&accounts.list);
            lists.extend(accounts.parents.iter().map(|parents| &parents.list));
        }
        lists.into_iter().flat_map(|list| &list.secrets).map(|(_, source)| source.clone()).collect()
    }
}

/// Where and how requests go.
#[derive(Debug, Clone)]
pub struct Api {
    /// The URL that every path is appended to; without a trailing slash.
    pub base_url: Url,
    /// Sent with every request.
    pub headers: Vec<(String, HeaderText)>,
    /// Further servers by name.
    pub servers: Vec<(String, Url)>,
    /// Hosts besides the base URL's and the servers' to which a `next` link may lead.
    pub hosts: Vec<String>,
    /// Whether kept lists are asked for on the condition that they have changed.
    pub conditional: bool,
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
    /// As written, with placeholders for the account and its parent.
    Literal(String),
    /// Read when the run begins.
    Secret(SecretSource),
}
