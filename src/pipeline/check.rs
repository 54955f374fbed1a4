//! Turns a file that has the right shape into a [`Pipeline`], and reports everything that shape cannot say: lengths of
//! time, zones, URLs, placeholders, and keys that contradict each other.
//!
//! A function that cannot make its value returns `None`, so that the others still get their turn; it has reported a
//! problem then, and a reported problem refuses the file in any case.

use std::collections::HashSet;

use url::Url;

use super::problem::{KeyPath, Problems};
use super::schema::{CAMPAIGNS, RESTATEMENTS};
use super::shared::SharedQuotas;
use super::tree::Node;
use super::{Api, HeaderText, LakeLayout, Missing, PartitionBy, Pipeline, Placeholder, raw};
use crate::secret::SecretSource;

mod attributes;
mod auth;
mod columns;
mod lists;
mod quality;
mod quotas;
mod reconcile;
mod report;
mod request;
mod responses;
mod rows;
mod rules;
mod source;
mod template;
mod text;
mod usage;

pub(super) use quotas::shared_quotas;

/// Words that queries over the lake already use as tables.
const TAKEN_NAMES: [&str; 5] = ["campaign_hours", "campaigns", "ledger", "units", "runs"];

/// What depends on another part of the file, and cannot be judged where that is broken.
const DEPENDS: [(&str, &str); 15] = [
    ("columns", "records"),
    ("hour", "records"),
    ("hour", "window"),
    ("key", "columns"),
    ("quality", "columns"),
    ("quality", "key"),
    ("reconcile", "accounts"),
    ("reconcile", "columns"),
    ("records", "columns"),
    ("records", "hour"),
    ("records", "key"),
    ("request", "accounts"),
    ("request", "campaigns"),
    ("request", "window"),
    ("usage", "quotas"),
];

/// The pipeline `name` as `file` describes it, drawing from the quotas in `shared`. `tree` is the tree that `file` was read from. `None` where `problems` has
/// something to say. Parts of the file that `problems` names already hold values that nobody wrote: nothing more is
/// said about them.
pub(super) fn check(
    name: &str,
    file: raw::PipelineFile,
    shared: &SharedQuotas,
    tree: &Node,
    problems: &mut Problems,
) -> Option<Pipeline> {
    let mut silent = problems.parts();
    for (part, other) in DEPENDS {
        if silent.contains(other) {
            silent.insert(part.to_owned());
        }
    }
    let mut checker = Checker { tree, problems, silent };
    let root = KeyPath::root();
    checker.pipeline_name(name);
    let platform = checker.identifier(&root.key("platform"), &file.platform);
    let schedule = checker.cron(&root.key("schedule"), &file.schedule);
    let missing = checker.missing(file.missing, file.max_dropped_share);
    let raw = checker.raw(&file.raw, &file.raw_max_size);
    let api = checker.api(&file.api);
    let auth = checker.auth(&file.auth);
    let accounts = checker.accounts(&file);
    let campaigns = file.campaigns.as_ref().map(|campaigns| checker.campaigns(campaigns, &file));
    let window = checker.window(&file.window);
    let request = checker.request(&file);
    let pagination = checker.pagination(&root.key("pagination"), &file.pagination);
    let records = checker.records(&root.key("records"), &file.records);
    let shape = checker.row_shape(&file);
    let hour = checker.hour(&file);
    let identity = checker.identity(&file);
    let columns = checker.columns(&file.columns, rows::list_of(&file.records).as_ref());
    let dimensions = checker.dimensions(&file);
    let quality = checker.quality(&file, columns.as_deref());
    let report = checker.report_rules(&file);
    let reconcile = checker.reconcile(&file);
    let quotas = checker.quotas(&file.quotas, shared);
    checker.batch_fits(file.request.batch.as_ref(), quotas.as_deref().unwrap_or_default());
    let usage = checker.usage(&file.usage, &file.quotas, shared);
    let retry = checker.retry(&file.retry);
    let responses = checker.responses(&file);
    let lake = checker.lake(&file.lake);
    Some(Pipeline {
        name: name.to_owned(),
        platform: platform?,
        description: file.description,
        api: api?,
        auth: auth?,
        accounts: accounts?,
        campaigns: match campaigns {
            Some(campaigns) => Some(campaigns?),
            None => None,
        },
        request: request?,
        pagination: pagination?,
        records: records?,
        shape: shape?,
        identity: identity?,
        hour: hour?,
        columns: columns?,
        dimensions: dimensions?,
        quality: quality?,
        window: window?,
        report: report?,
        reconcile: reconcile?,
        quotas: quotas?,
        usage: usage?,
        retry: retry?,
        responses: responses?,
        missing: missing?,
        schedule: schedule?,
        lake: lake?,
        raw: raw?,
        digest: String::new(),
    })
}

struct Checker<'a> {
    tree: &'a Node,
    problems: &'a mut Problems,
    /// First keys of the parts that are broken already.
    silent: HashSet<String>,
}

impl Checker<'_> {
    /// Reports that the value at `path` is wrong; `message` goes on after its name.
    fn wrong(&mut self, path: &KeyPath, message: impl AsRef<str>) {
        self.report(path, format!("`{path}` {}", message.as_ref()));
    }

    /// Reports a problem of a whole table that is not about one key's value.
    fn report(&mut self, path: &KeyPath, message: impl Into<String>) {
        if path.segments().first().is_some_and(|part| self.silent.contains(part)) {
            return;
        }
        self.problems.add(self.tree.origin_at(path), path, message);
    }

    fn pipeline_name(&mut self, name: &str) {
        let root = KeyPath::root();
        if !text::is_identifier(name) {
            let expected = "expected lower-case letters, digits and underscores, a letter first";
            self.report(&root, format!("the file's name makes the pipeline's name {name:?}: {expected}"));
        } else if [RESTATEMENTS, CAMPAIGNS].iter().any(|end| name.ends_with(end)) || TAKEN_NAMES.contains(&name) {
            self.report(
                &root,
                format!("the file's name makes the pipeline's name {name:?}, which hourmark uses itself"),
            );
        }
    }

    fn missing(&mut self, word: raw::Missing, share: Option<f64>) -> Option<Missing> {
        match (word, share) {
            (raw::Missing::Drop, share) => Some(Missing::Drop { max_share: share.unwrap_or(0.5) }),
            (raw::Missing::Keep, None) => Some(Missing::Keep),
            (raw::Missing::Keep, Some(_)) => {
                self.wrong(&KeyPath::root().key("max_dropped_share"), "has a meaning only with `missing = \"drop\"`");
                None
            }
        }
    }

    fn api(&mut self, api: &raw::Api) -> Option<Api> {
        let path = KeyPath::root().key("api");
        let base_url = self.base_url(&path.key("base_url"), &api.base_url);
        let headers = self.headers(&path.key("headers"), api);
        let servers = self.servers(&path.key("servers"), api);
        let mut good_hosts = true;
        for (index, host) in api.hosts.iter().enumerate() {
            good_hosts &= self.host(&path.key("hosts").index(index), host).is_some();
        }
        let connect_timeout = self.waiting_time(&path.key("connect_timeout"), &api.connect_timeout);
        let first_byte_timeout = self.waiting_time(&path.key("first_byte_timeout"), &api.first_byte_timeout);
        let stall_timeout = self.waiting_time(&path.key("stall_timeout"), &api.stall_timeout);
        let max_body = self.size(&path.key("max_body"), &api.max_body);
        if !good_hosts {
            return None;
        }
        Some(Api {
            base_url: base_url?,
            headers: headers?,
            servers: servers?,
            hosts: api.hosts.clone(),
            conditional: api.conditional,
            connect_timeout: connect_timeout?,
            first_byte_timeout: first_byte_timeout?,
            stall_timeout: stall_timeout?,
            max_body: max_body?,
        })
    }

    fn servers(&mut self, path: &KeyPath, api: &raw::Api) -> Option<Vec<(String, Url)>> {
        let mut servers = Vec::new();
        for (name, url) in &api.servers {
            servers.push((name.clone(), self.base_url(&path.key(name), url)?));
        }
        Some(servers)
    }

    fn headers(&mut self, path: &KeyPath, api: &raw::Api) -> Option<Vec<(String, HeaderText)>> {
        let mut headers = Vec::new();
        let mut good = true;
        for (name, value) in &api.headers {
            let path = path.key(name);
            // A secret's whereabouts hold no placeholders.
            if SecretSource::parse(value).is_none() {
                self.placeholders(&path, value, &[Placeholder::Account, Placeholder::Parent]);
            }
            match (self.header_name(&path, name), self.header_value(&path, name, value)) {
                (Some(()), Some(value)) => headers.push((name.clone(), value)),
                _ => good = false,
            }
        }
        good.then_some(headers)
    }

    fn lake(&mut self, lake: &raw::Lake) -> Option<LakeLayout> {
        use raw::PartitionKey::{Date, Hour};
        let partition_by = match lake.partition_by.as_slice() {
            [Date] => PartitionBy::Date,
            [Date, Hour] => PartitionBy::DateHour,
            _ => {
                let path = KeyPath::root().key("lake").key("partition_by");
                self.wrong(&path, "does not fit: expected [\"date\"] or [\"date\", \"hour\"]");
                return None;
            }
        };
        Some(LakeLayout { partition_by, buckets: lake.buckets })
    }
}
