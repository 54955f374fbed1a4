//! Where accounts and campaigns come from, and how pages follow each other.

use super::super::problem::KeyPath;
use super::super::{Accounts, CampaignList, Listing, Pagination, PaginationKind, Placeholder, Records, raw};
use super::Checker;
use crate::unit::Account;

impl Checker<'_> {
    pub(super) fn accounts(&mut self, accounts: &raw::Accounts) -> Option<Accounts> {
        let path = KeyPath::root().key("accounts");
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
        let time_zone = self.optional_place(&path.key("time_zone"), &accounts.time_zone);
        let time_zone_default = match &accounts.time_zone_default {
            Some(name) => self.zone(&path.key("time_zone_default"), name).map(Some),
            None => Some(None),
        };
        let currency = self.optional_place(&path.key("currency"), &accounts.currency);
        if accounts.time_zone.is_none() && accounts.time_zone_default.is_none() {
            let message = format!("`{path}` gives no time zone: expected `time_zone` or `time_zone_default`");
            self.report(&path, message);
        }
        let parts = ListingParts {
            path: request_path,
            query: &accounts.query,
            // Any place will do where the key is missing: that is reported already.
            records: records.unwrap_or("records"),
            id: id.unwrap_or("id"),
            name: &accounts.name,
            pagination: accounts.pagination.as_ref().unwrap_or(&raw::Pagination::None),
            placeholders: &[Placeholder::PageSize],
        };
        let list = self.listing(&path, parts)?.0;
        let (time_zone, time_zone_default, currency) = (time_zone?, time_zone_default?, currency?);
        Some(Accounts::Endpoint { list: Box::new(list), time_zone, time_zone_default, currency })
    }

    /// Reports the keys of an endpoint beside `list`.
    fn only_a_list(&mut self, path: &KeyPath, accounts: &raw::Accounts) {
        let others = [
            ("path", accounts.path.is_some()),
            ("query", !accounts.query.is_empty()),
            ("records", accounts.records.is_some()),
            ("id", accounts.id.is_some()),
            ("name", accounts.name.is_some()),
            ("time_zone", accounts.time_zone.is_some()),
            ("time_zone_default", accounts.time_zone_default.is_some()),
            ("currency", accounts.currency.is_some()),
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
                accounts.push(Account { id: listed.id.clone(), name: listed.name.clone(), time_zone, currency });
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

    pub(super) fn campaigns(&mut self, campaigns: &raw::Campaigns, accounts: &raw::Accounts) -> Option<CampaignList> {
        let path = KeyPath::root().key("campaigns");
        let parts = ListingParts {
            path: &campaigns.path,
            query: &campaigns.query,
            records: &campaigns.records,
            id: &campaigns.id,
            name: &campaigns.name,
            pagination: &campaigns.pagination,
            placeholders: &[Placeholder::Account, Placeholder::PageSize],
        };
        let (list, used) = self.listing(&path, parts)?;
        if !used.contains(&Placeholder::Account) && !one_listed(accounts) {
            let message =
                format!("`{path}` asks the same for every account: expected {{account}} in its path or query");
            self.report(&path, message);
            return None;
        }
        Some(CampaignList { list })
    }

    fn listing(&mut self, path: &KeyPath, parts: ListingParts<'_>) -> Option<(Listing, Vec<Placeholder>)> {
        let before = self.problems.count();
        self.url_path(&path.key("path"), parts.path);
        let in_path: Vec<Placeholder> =
            parts.placeholders.iter().copied().filter(|placeholder| *placeholder == Placeholder::Account).collect();
        let mut used = self.placeholders(&path.key("path"), parts.path, &in_path);
        let (query, in_query) = self.parameters(&path.key("query"), parts.query, parts.placeholders);
        used.extend(in_query);
        let pagination = self.pagination(&path.key("pagination"), parts.pagination);
        let taken: Vec<&str> = query.names().map(String::as_str).collect();
        self.paging_fits(&path.key("pagination"), parts.pagination, &used, &taken);
        let records = self.places(&path.key("records"), parts.records);
        let id = self.place(&path.key("id"), parts.id);
        let name = self.optional_place(&path.key("name"), parts.name);
        if self.problems.count() > before {
            return None;
        }
        let records = Records { path: records?, absent_is_empty: false, nulls: Vec::new() };
        let listing =
            Listing { path: parts.path.to_owned(), query, pagination: pagination?, records, id: id?, name: name? };
        Some((listing, used))
    }

    pub(super) fn pagination(&mut self, path: &KeyPath, pagination: &raw::Pagination) -> Option<Pagination> {
        let common = common(pagination);
        if let Some(name) = common.size_param {
            self.parameter(&path.key("page_size_param"), name)?;
            if common.size.is_none() {
                self.wrong(&path.key("page_size_param"), "sends a size that is not given: expected `page_size` too");
                return None;
            }
        }
        if let Some(param) = page_param(pagination) {
            self.parameter(&path.key("param"), param)?;
        }
        let kind = match pagination {
            raw::Pagination::None => PaginationKind::None,
            raw::Pagination::Cursor { next, param, .. } => {
                PaginationKind::Cursor { next: self.place(&path.key("next"), next)?, param: param.clone() }
            }
            raw::Pagination::NextLink { next, .. } => {
                PaginationKind::NextLink { next: self.place(&path.key("next"), next)? }
            }
            raw::Pagination::LinkHeader { .. } => PaginationKind::LinkHeader,
            raw::Pagination::PageNumber { param, first, total_pages, .. } => PaginationKind::PageNumber {
                param: param.clone(),
                first: *first,
                total_pages: self.optional_place(&path.key("total_pages"), total_pages)?,
            },
            raw::Pagination::Offset { param, total, .. } => {
                PaginationKind::Offset { param: param.clone(), total: self.optional_place(&path.key("total"), total)? }
            }
        };
        Some(Pagination {
            kind,
            page_size: common.size.unwrap_or(0) as usize,
            page_size_param: common.size_param.clone(),
            max_pages: common.max_pages as usize,
        })
    }
}

/// What the lists of accounts and of campaigns have in common.
struct ListingParts<'a> {
    path: &'a str,
    query: &'a indexmap::IndexMap<String, raw::Values>,
    records: &'a str,
    id: &'a str,
    name: &'a Option<String>,
    pagination: &'a raw::Pagination,
    /// Those that may stand in the query; in the path only `{account}` of them.
    placeholders: &'a [Placeholder],
}

/// What all kinds of pagination but `none` have in common.
pub(super) struct PagingCommon<'a> {
    pub(super) size: Option<u32>,
    pub(super) size_param: &'a Option<String>,
    max_pages: u32,
}

pub(super) fn common(pagination: &raw::Pagination) -> PagingCommon<'_> {
    use raw::Pagination::{Cursor, LinkHeader, NextLink, None as OnePage, Offset, PageNumber};
    let (size, size_param, max_pages) = match pagination {
        OnePage => (None, &None, 1),
        Cursor { page_size, page_size_param, max_pages, .. }
        | NextLink { page_size, page_size_param, max_pages, .. }
        | LinkHeader { page_size, page_size_param, max_pages } => (*page_size, page_size_param, *max_pages),
        PageNumber { page_size, page_size_param, max_pages, .. }
        | Offset { page_size, page_size_param, max_pages, .. } => (Some(*page_size), page_size_param, *max_pages),
    };
    PagingCommon { size, size_param, max_pages }
}

/// The parameter by which the next page is asked for.
pub(super) fn page_param(pagination: &raw::Pagination) -> Option<&String> {
    match pagination {
        raw::Pagination::Cursor { param, .. }
        | raw::Pagination::PageNumber { param, .. }
        | raw::Pagination::Offset { param, .. } => Some(param),
        raw::Pagination::None | raw::Pagination::NextLink { .. } | raw::Pagination::LinkHeader { .. } => None,
    }
}

/// Whether the file names exactly one account, so that requests need not say which.
pub(super) fn one_listed(accounts: &raw::Accounts) -> bool {
    accounts.list.as_ref().is_some_and(|list| list.len() == 1)
}
