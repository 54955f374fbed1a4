//! Where accounts and campaigns come from, and what accounts are found under.

use chrono_tz::Tz;
use indexmap::IndexMap;
use serde_json::Value as Json;
use url::Url;

use super::super::problem::{KeyPath, expected_one_of, shown};
use super::super::{
    AccountList, Accounts, Body, CampaignList, JsonPath, Listing, Method, Parents, Placeholder, Records, raw,
};
use super::Checker;
use super::request::JsonTexts;
use crate::secret::SecretSource;
use crate::unit::Account;

impl Checker<'_> {
    pub(super) fn accounts(&mut self, file: &raw::PipelineFile) -> Option<Accounts> {
        let path = KeyPath::root().key("accounts");
        let accounts = &file.accounts;
        if let Some(list) = &accounts.list {
            self.only_a_list(&path, accounts);
            return self.listed_accounts(&path.key("list"), list).map(Accounts::List);
        }
        let Some(request_path) = &accounts.path else {
            let message = format!("`{path}` says neither which accounts nor where they are: expected `list` or `path`");
            self.report(&path, message);
            return None;
        };
        let records = self.needed(&path.key("records"), &accounts.records);
        let id = self.needed(&path.key("id"), &accounts.id);
        let parent = self.optional_place(&path.key("parent"), &accounts.parent);
        let time_zone = self.optional_place(&path.key("time_zone"), &accounts.time_zone);
        let time_zone_default = match &accounts.time_zone_default {
            Some(name) => self.zone(&path.key("time_zone_default"), name).map(Some),
            None => Some(None),
        };
        let time_zones = self.zones(&path.key("time_zones"), &accounts.time_zones);
        let time_zone_names = self.zones(&path.key("time_zone_names"), &accounts.time_zone_names);
        let currency = self.optional_place(&path.key("currency"), &accounts.currency);
        if accounts.time_zone.is_none() && accounts.time_zone_default.is_none() {
            let message = format!("`{path}` gives no time zone: expected `time_zone` or `time_zone_default`");
            self.report(&path, message);
        }
        let parents = match &accounts.parents {
            Some(parents) => self.parents(&path.key("parents"), parents, accounts, &file.api).map(Some),
            None => Some(None),
        };
        let parts = ListingParts {
            method: accounts.method,
            path: request_path,
            query: &accounts.query,
            secrets: &accounts.secrets,
            json: &accounts.json,
            server: &accounts.server,
            // Any place will do where the key is missing: that is reported already.
            records: records.unwrap_or("records"),
            absent_is_empty: accounts.absent_is_empty,
            id: id.unwrap_or("id"),
            id_after: &accounts.id_after,
            name: &accounts.name,
            every: accounts.every.as_deref().unwrap_or("0s"),
            verbatim: false,
            pagination: accounts.pagination.as_ref().unwrap_or(&raw::Pagination::None),
            join: accounts.join,
            placeholders: match accounts.parents {
                Some(_) => &[Placeholder::Parent, Placeholder::Parents, Placeholder::PageSize],
                None => &[Placeholder::PageSize],
            },
        };
        let (list, used) = self.listing(&path, parts, &file.api)?;
        self.asks_for_parents(&path, accounts, &file.api, &used);
        let list = AccountList {
            list,
            parents: parents?,
            parent: parent?,
            time_zone: time_zone?,
            time_zone_default: time_zone_default?,
            time_zones: time_zones?,
            time_zone_names: time_zone_names?,
            currency: currency?,
        };
        Some(Accounts::Endpoint(Box::new(list)))
    }

    fn zones(&mut self, path: &KeyPath, zones: &IndexMap<String, String>) -> Option<IndexMap<String, Tz>> {
        let before = self.problems.count();
        let mut found = IndexMap::new();
        for (key, name) in zones {
            found.extend(self.zone(&path.key(key), name).map(|zone| (key.clone(), zone)));
        }
        (self.problems.count() == before).then_some(found)
    }

    fn parents(
        &mut self,
        path: &KeyPath,
        parents: &raw::Parents,
        accounts: &raw::Accounts,
        api: &raw::Api,
    ) -> Option<Parents> {
        let parts = ListingParts {
            method: parents.method,
            path: &parents.path,
            query: &parents.query,
            secrets: &parents.secrets,
            json: &parents.json,
            server: &parents.server,
            records: &parents.records,
            absent_is_empty: parents.absent_is_empty,
            id: &parents.id,
            id_after: &parents.id_after,
            name: &None,
            every: &parents.every,
            verbatim: false,
            pagination: &parents.pagination,
            join: raw::Join::Comma,
            placeholders: &[Placeholder::PageSize],
        };
        let (list, _) = self.listing(path, parts, api)?;
        Some(Parents { list, per_request: accounts.parents_per_request as usize, join: accounts.join.checked() })
    }

    /// Whether the accounts' request says whose accounts it asks for, in as many as it may.
    fn asks_for_parents(&mut self, path: &KeyPath, accounts: &raw::Accounts, api: &raw::Api, used: &[Placeholder]) {
        let single = used.contains(&Placeholder::Parent) || api.headers.values().any(|text| text.contains("{parent}"));
        let batch = used.contains(&Placeholder::Parents);
        let several = accounts.parents_per_request > 1;
        if accounts.parents.is_none() {
            if several {
                self.wrong(&path.key("parents_per_request"), "has a meaning only with a table `[accounts.parents]`");
            }
        } else if several && !batch {
            let message = "is more than 1, but the request does not name them: expected {parents} in it";
            self.wrong(&path.key("parents_per_request"), message);
        } else if !single && !batch {
            let message = format!("`{path}` asks the same for every parent: expected {{parent}} or {{parents}} in it");
            self.report(path, message);
        }
    }

    /// Reports the keys of an endpoint beside `list`.
    fn only_a_list(&mut self, path: &KeyPath, accounts: &raw::Accounts) {
        let others = [
            ("path", accounts.path.is_some()),
            ("method", accounts.method != raw::Method::Get),
            ("query", !accounts.query.is_empty()),
            ("secrets", !accounts.secrets.is_empty()),
            ("json", accounts.json.is_some()),
            ("server", accounts.server.is_some()),
            ("parents", accounts.parents.is_some()),
            ("records", accounts.records.is_some()),
            ("id", accounts.id.is_some()),
            ("id_after", accounts.id_after.is_some()),
            ("parent", accounts.parent.is_some()),
            ("name", accounts.name.is_some()),
            ("time_zone", accounts.time_zone.is_some()),
            ("time_zone_default", accounts.time_zone_default.is_some()),
            ("time_zones", !accounts.time_zones.is_empty()),
            ("time_zone_names", !accounts.time_zone_names.is_empty()),
            ("currency", accounts.currency.is_some()),
            ("every", accounts.every.is_some()),
            ("pagination", accounts.pagination.is_some()),
        ];
        for (key, given) in others {
            if given {
                self.wrong(&path.key(key), "cannot stand beside `accounts.list`: it belongs to an endpoint");
            }
        }
    }

    fn listed_accounts(&mut self, path: &KeyPath, list: &[raw::Listed]) -> Option<Vec<Account>> {
        let mut accounts: Vec<Account> = Vec::new();
        if list.is_empty() {
            self.wrong(path, "is empty: expected at least one account");
        }
        for (index, listed) in list.iter().enumerate() {
            let path = path.index(index);
            let time_zone = self.zone(&path.key("time_zone"), &listed.time_zone);
            let currency = match &listed.currency {
                Some(code) => self.currency(&path.key("currency"), code),
                None => Some(String::new()),
            };
            if listed.id.is_empty() || list[..index].iter().any(|earlier| earlier.id == listed.id) {
                self.wrong(&path.key("id"), "is empty or given twice: expected each account once");
                continue;
            }
            if let (Some(time_zone), Some(currency)) = (time_zone, currency) {
                let (id, name, parent) = (listed.id.clone(), listed.name.clone(), listed.parent.clone());
                accounts.push(Account { id, name, time_zone, currency, parent });
            }
        }
        (!list.is_empty() && accounts.len() == list.len()).then_some(accounts)
    }

    /// A key that an endpoint needs.
    fn needed<'t>(&mut self, path: &KeyPath, text: &'t Option<String>) -> Option<&'t str> {
        if text.is_none() {
            self.report(path, format!("missing key `{path}`: expected a text in quotes"));
        }
        text.as_deref()
    }

    pub(super) fn campaigns(&mut self, campaigns: &raw::Campaigns, file: &raw::PipelineFile) -> Option<CampaignList> {
        let path = KeyPath::root().key("campaigns");
        let parts = ListingParts {
            method: campaigns.method,
            path: &campaigns.path,
            query: &campaigns.query,
            secrets: &campaigns.secrets,
            json: &campaigns.json,
            server: &campaigns.server,
            records: &campaigns.records,
            absent_is_empty: campaigns.absent_is_empty,
            id: &campaigns.id,
            id_after: &campaigns.id_after,
            name: &campaigns.name,
            every: &campaigns.every,
            verbatim: !campaigns.columns.is_empty(),
            pagination: &campaigns.pagination,
            join: raw::Join::Comma,
            placeholders: &[Placeholder::Account, Placeholder::Parent, Placeholder::PageSize],
        };
        let currency = self.optional_place(&path.key("currency"), &campaigns.currency);
        let columns = self.attributes(&path.key("columns"), &campaigns.columns);
        let (list, used) = self.listing(&path, parts, &file.api)?;
        let names_it = used.contains(&Placeholder::Account) || account_header(&file.api);
        if !names_it && !one_listed(&file.accounts) {
            let message = format!(
                "`{path}` asks the same for every account: expected {{account}} in its path, query or json, or in a header"
            );
            self.report(&path, message);
            return None;
        }
        Some(CampaignList { list, currency: currency?, columns: columns? })
    }

    fn listing(
        &mut self,
        path: &KeyPath,
        parts: ListingParts<'_>,
        api: &raw::Api,
    ) -> Option<(Listing, Vec<Placeholder>)> {
        let before = self.problems.count();
        self.url_path(&path.key("path"), parts.path);
        let in_path: Vec<Placeholder> =
            parts.placeholders.iter().copied().filter(|placeholder| *placeholder != Placeholder::PageSize).collect();
        let mut used = self.placeholders(&path.key("path"), parts.path, &in_path);
        let (query, in_query) = self.parameters(&path.key("query"), parts.query, parts.placeholders);
        used.extend(in_query);
        let secrets = self.secret_parameters(&path.key("secrets"), parts.secrets, &query);
        let rules = JsonTexts { join: parts.join, allowed: parts.placeholders };
        let body = self.json_body(path, parts.method, parts.json, &rules, &mut used);
        let server = self.server(&path.key("server"), parts.server, api);
        let pagination = self.pagination(&path.key("pagination"), parts.pagination);
        let mut taken: Vec<&str> = query.names().map(String::as_str).collect();
        taken.extend(parts.json.iter().flatten().map(|(name, _)| name.as_str()));
        self.paging_fits(&path.key("pagination"), parts.pagination, &used, &taken);
        let records = self.places(&path.key("records"), parts.records);
        let id = match parts.id {
            "" => Some(JsonPath::default()),
            text => self.place(&path.key("id"), text),
        };
        if parts.id_after.as_deref() == Some("") {
            self.wrong(&path.key("id_after"), "is empty: expected the text before the id");
        }
        let name = self.optional_place(&path.key("name"), parts.name);
        let every = self.duration(&path.key("every"), parts.every);
        if self.problems.count() > before {
            return None;
        }
        let records = Records { path: records?, absent_is_empty: parts.absent_is_empty, nulls: Vec::new() };
        let listing = Listing {
            method: parts.method.checked(),
            path: parts.path.to_owned(),
            query,
            secrets,
            body,
            server: server?,
            pagination: pagination?,
            records,
            id: id?,
            id_after: parts.id_after.clone(),
            name: name?,
            every: every?,
            verbatim: parts.verbatim,
        };
        Some((listing, used))
    }

    /// Parameters whose values are secrets. None may be sent in the open besides.
    fn secret_parameters(
        &mut self,
        path: &KeyPath,
        secrets: &IndexMap<String, String>,
        query: &super::super::Parameters,
    ) -> Vec<(String, SecretSource)> {
        let mut found = Vec::new();
        for (name, text) in secrets {
            let path = path.key(name);
            self.parameter(&path, name);
            if query.names().any(|other| other == name) {
                self.wrong(&path, "is in `query` too: expected it in one place");
            }
            found.extend(self.secret(&path, text).map(|source| (name.clone(), source)));
        }
        found
    }

    /// The JSON document of a POST.
    pub(super) fn json_body(
        &mut self,
        path: &KeyPath,
        method: raw::Method,
        json: &Option<IndexMap<String, Json>>,
        rules: &JsonTexts<'_>,
        used: &mut Vec<Placeholder>,
    ) -> Body {
        let Some(document) = json else { return Body::None };
        if method == raw::Method::Get {
            self.wrong(&path.key("json"), "is a body, which a GET does not have: expected `method = \"POST\"`");
        }
        for (key, value) in document {
            self.json_texts(&path.key("json").key(key), value, rules, used);
        }
        Body::Json(Json::Object(document.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }

    /// The URL of the server that an endpoint names; `Some(None)` where it names none.
    pub(super) fn server(&mut self, path: &KeyPath, name: &Option<String>, api: &raw::Api) -> Option<Option<Url>> {
        let Some(name) = name else { return Some(None) };
        match api.servers.get(name) {
            // A URL that is none is reported where it stands.
            Some(text) => Some(Url::parse(text.trim_end_matches('/')).ok()),
            None => {
                let names: Vec<&str> = api.servers.keys().map(String::as_str).collect();
                let expected = match names.as_slice() {
                    [] => "expected a table `[api.servers]` that names it".to_owned(),
                    names => expected_one_of(name, names),
                };
                self.wrong(path, format!("is {}, which `api.servers` does not name: {expected}", shown(name)));
                None
            }
        }
    }
}

/// What the lists of accounts, of their parents and of campaigns have in common.
struct ListingParts<'a> {
    method: raw::Method,
    path: &'a str,
    query: &'a IndexMap<String, raw::Values>,
    secrets: &'a IndexMap<String, String>,
    json: &'a Option<IndexMap<String, Json>>,
    server: &'a Option<String>,
    records: &'a str,
    absent_is_empty: bool,
    id: &'a str,
    id_after: &'a Option<String>,
    name: &'a Option<String>,
    every: &'a str,
    verbatim: bool,
    pagination: &'a raw::Pagination,
    /// How several ids become one value.
    join: raw::Join,
    /// Those that may stand in the query and the body; in the path all but `{page_size}`.
    placeholders: &'a [Placeholder],
}

/// Whether the file names exactly one account, so that requests need not say which.
pub(super) fn one_listed(accounts: &raw::Accounts) -> bool {
    accounts.list.as_ref().is_some_and(|list| list.len() == 1)
}

/// Whether a header says which account a request is about.
pub(super) fn account_header(api: &raw::Api) -> bool {
    api.headers.values().any(|text| text.contains("{account}"))
}

impl raw::Method {
    pub(super) fn checked(self) -> Method {
        match self {
            raw::Method::Get => Method::Get,
            raw::Method::Post => Method::Post,
        }
    }
}
