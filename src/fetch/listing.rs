//! Lists of accounts and campaigns: paginated like metrics, small enough to be read as JSON trees, and cached.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chrono_tz::Tz;
use indexmap::IndexSet;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::attributes::{Kept, kept};
use super::send::{Answered, Asking, Halt, Refusal, Unread};
use super::{CampaignCell, Fetch};
use crate::allowance::Needs;
use crate::cassette::Tape;
use crate::decode::{PageFacts, UnknownFields, item_texts};
use crate::error::{Error, Result};
use crate::http::cache;
use crate::http::client::Response;
use crate::page::{Next, Pager};
use crate::pipeline::{AccountList, Accounts, CampaignList, Endpoint, JsonPath, Listing, PaginationKind};
use crate::request::{Request, Whose, listing_request};
use crate::state::CachedResponse;
use crate::telemetry::Count;
use crate::time::Instant;
use crate::unit::{Account, Lane};

/// An account's campaigns.
#[derive(Debug, Default)]
pub(super) struct Campaigns {
    /// Their ids, each once, in the platform's order.
    pub(super) ids: Vec<String>,
    /// Their names by id, where they have one.
    pub(super) names: HashMap<String, String>,
    /// Their currencies by id, where the list tells them.
    pub(super) currencies: HashMap<String, String>,
    /// Their attributes, where the pipeline keeps them; gone once somebody has taken them.
    pub(super) kept: Mutex<Option<Kept>>,
}

/// A page of a list.
struct Listed {
    items: Vec<Item>,
    facts: PageFacts,
}

/// A page and how it was come by.
struct Page {
    listed: Listed,
    /// Its `Link` header.
    link: Option<String>,
    /// When the platform gave it, or said last that it still holds.
    as_of: Instant,
}

/// A whole list.
struct Whole {
    items: Vec<Item>,
    /// When the platform gave its oldest page, or said last that it still holds.
    as_of: Instant,
}

/// An item with what accounts need besides.
pub(super) struct Item {
    pub(super) id: String,
    pub(super) name: String,
    whole: Value,
    /// Its own text, where that is kept.
    pub(super) text: String,
}

/// Where the pages of a list come from: all from the cache or none, because pages of different ages do not fit together,
/// and a token in an old page may have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Cache,
    Platform,
}

impl Fetch {
    /// The accounts as the platform lists them.
    pub(super) async fn list_accounts(&self, stop: &CancellationToken, tape: &Tape) -> Result<Vec<Account>, Halt> {
        let Accounts::Endpoint(rules) = &self.pipeline.accounts else { return Ok(Vec::new()) };
        let mut accounts = Vec::new();
        let Some(parents) = &rules.parents else {
            for item in self.list(&rules.list, Whose::All, stop, tape, &mut 0).await?.items {
                accounts.push(account_of(item, rules, "")?);
            }
            return Ok(accounts);
        };
        let found = self.list(&parents.list, Whose::All, stop, tape, &mut 0).await?.items;
        let each_once: IndexSet<String> = found.into_iter().map(|item| item.id).collect();
        let mut ids: Vec<String> = each_once.into_iter().collect();
        if self.glances {
            ids.truncate(parents.per_request.max(1));
        }
        let mut chunks: VecDeque<&[String]> = ids.chunks(parents.per_request.max(1)).collect();
        while let Some(chunk) = chunks.pop_front() {
            let whose = Whose::Parents { ids: chunk, join: parents.join, in_headers: rules.parent.is_none() };
            let items = match self.list(&rules.list, whose, stop, tape, &mut 0).await {
                Ok(whole) => whole.items,
                // One closed door does not shut the others: which one it is, is found out by knocking at each.
                Err(Halt::Gone { .. }) if chunk.len() > 1 => {
                    for alone in chunk.chunks(1).rev() {
                        chunks.push_front(alone);
                    }
                    continue;
                }
                Err(Halt::Gone { why }) => {
                    tracing::warn!(parent = chunk.join(","), "nothing is listed there: {why}");
                    continue;
                }
                Err(halt) => return Err(halt),
            };
            let parent = if let [only] = chunk { only.as_str() } else { "" };
            for item in items {
                accounts.push(account_of(item, rules, parent)?);
            }
        }
        Ok(accounts)
    }

    /// The account's campaigns, listed once per run.
    pub(super) async fn campaigns(
        &self,
        list: &CampaignList,
        account: &Account,
        stop: &CancellationToken,
        tape: &Tape,
        sent: &mut u32,
    ) -> Result<Arc<Campaigns>, Halt> {
        let cell: CampaignCell = {
            let mut cells = self.campaigns.lock().unwrap_or_else(PoisonError::into_inner);
            cells.entry(account.id.clone()).or_default().clone()
        };
        let listed = cell.get_or_try_init(|| async {
            let mut campaigns = Campaigns::default();
            let mut seen = std::collections::HashSet::new();
            let Whole { items, as_of } = self.list(&list.list, Whose::Account(account), stop, tape, sent).await?;
            for item in &items {
                if let Some(currency) = list.currency.as_ref().and_then(|path| text_at(path, &item.whole)) {
                    campaigns.currencies.insert(item.id.clone(), currency);
                }
            }
            campaigns.kept = Mutex::new(kept(&self.pipeline, account, &items, &campaigns.currencies, as_of));
            for item in items {
                if !item.name.is_empty() {
                    campaigns.names.insert(item.id.clone(), item.name);
                }
                if seen.insert(item.id.clone()) {
                    campaigns.ids.push(item.id);
                }
            }
            Ok::<Arc<Campaigns>, Halt>(Arc::new(campaigns))
        });
        listed.await.cloned()
    }

    /// All items of a list: from the cache where all of it is fresh there, else from the platform.
    async fn list(
        &self,
        list: &Listing,
        whose: Whose<'_>,
        stop: &CancellationToken,
        tape: &Tape,
        sent: &mut u32,
    ) -> Result<Whole, Halt> {
        if !self.glances
            && let Some(whole) = self.list_from(Origin::Cache, list, whose, stop, tape, sent).await?
        {
            return Ok(whole);
        }
        let listed = self.list_from(Origin::Platform, list, whose, stop, tape, sent).await?;
        listed.ok_or_else(|| Error::internal("the platform was not asked for a list").into())
    }

    /// All items of a list, page by page; `None` where one of them would have to come from elsewhere.
    async fn list_from(
        &self,
        origin: Origin,
        list: &Listing,
        whose: Whose<'_>,
        stop: &CancellationToken,
        tape: &Tape,
        sent: &mut u32,
    ) -> Result<Option<Whole>, Halt> {
        let account = if let Whose::Account(account) = whose { Some(account) } else { None };
        let needs = Needs {
            endpoint: if account.is_some() { Endpoint::Campaigns } else { Endpoint::Accounts },
            accounts: account.map(|account| account.id.clone()).into_iter().collect(),
            // Everything else waits for a list.
            lane: Lane::Hourly,
            calls: 1,
        };
        let mut pager = Pager::new(&self.pipeline.api, &list.pagination);
        let mut whole = Whole { items: Vec::new(), as_of: self.clock.now() };
        loop {
            if stop.is_cancelled() {
                return Err(Halt::Stopped);
            }
            let request = listing_request(&self.pipeline.api, list, whose, pager.at())?;
            let page = match origin {
                Origin::Cache => self.fresh_page(list, &request, &needs, tape).await?,
                Origin::Platform => Some(self.list_page(list, &request, &needs, stop, tape, sent).await?),
            };
            let Some(Page { listed, link, as_of }) = page else { return Ok(None) };
            whole.as_of = whole.as_of.min(as_of);
            whole.items.extend(listed.items);
            if self.glances {
                return Ok(Some(whole));
            }
            match pager.next(&listed.facts, &request.full_url(), link.as_deref()) {
                Ok(Next::Page(_)) => {}
                Ok(Next::End) => return Ok(Some(whole)),
                Err(error) => return Err(Refusal::unusable(error.to_string())),
            }
        }
    }

    /// One page from the cache; `None` where it is not there, or not fresh.
    async fn fresh_page(
        &self,
        list: &Listing,
        request: &Request,
        needs: &Needs,
        tape: &Tape,
    ) -> Result<Option<Page>, Halt> {
        let stored = self.state.cached_response(&self.pipeline.name, &cache::key(request)).await?;
        let Some(known) = stored.filter(|known| cache::is_fresh(known, list.every, self.clock.now())) else {
            return Ok(None);
        };
        let Ok(listed) = read_page(&known.body, list) else { return Ok(None) };
        tape.cached(needs.endpoint, request, &known.body, known.link.as_deref(), &self.client());
        Ok(Some(Page { listed, link: known.link, as_of: known.stored_at }))
    }

    /// One page from the platform, which may say that what is in the cache still holds.
    async fn list_page(
        &self,
        list: &Listing,
        request: &Request,
        needs: &Needs,
        stop: &CancellationToken,
        tape: &Tape,
        sent: &mut u32,
    ) -> Result<Page, Halt> {
        let as_of = self.clock.now();
        let key = cache::key(request);
        let stored = match self.glances {
            true => None,
            false => self.state.cached_response(&self.pipeline.name, &key).await?,
        };
        // What cannot be read any more (the file names other paths now) is asked for anew.
        let known = stored.and_then(|known| Some((read_page(&known.body, list).ok()?, known)));
        let condition = known.as_ref().map(|(_, known)| known).filter(|_| self.pipeline.api.conditional);
        let asking = Asking { request, needs, known: condition, stop, tape, page_of: None };
        match self.ask(&asking, sent, |response: &Response| read_page(&response.body, list)).await? {
            Answered::Read(listed, response) => {
                if let Some(kept) = cache::keep(&response, list.every, self.clock.now()) {
                    self.store(&key, &kept).await?;
                }
                Ok(Page { listed, link: response.link(), as_of })
            }
            Answered::Adopted(_) => Err(Refusal::unusable("a list cannot be adopted")),
            Answered::NotModified(response) => {
                let Some((listed, known)) = known else {
                    return Err(Refusal::unusable("HTTP 304 without a condition"));
                };
                self.meter.add(Count::NotModified, 1);
                let kept = cache::renewed(known, &response.headers, self.clock.now());
                self.store(&key, &kept).await?;
                tape.cached(needs.endpoint, request, &kept.body, kept.link.as_deref(), &self.client());
                Ok(Page { listed, link: kept.link, as_of })
            }
        }
    }

    /// Keeps an answer, unless it repeats a secret: some platforms write the token into their next links.
    async fn store(&self, key: &str, kept: &CachedResponse) -> Result<()> {
        let body = String::from_utf8_lossy(&kept.body);
        if self.glances
            || self.client().is_secret(&body)
            || kept.link.as_deref().is_some_and(|link| self.client().is_secret(link))
        {
            return Ok(());
        }
        self.state.store_response(&self.pipeline.name, key, kept).await
    }
}

/// An item of the platform's list as an account that was found under `parent`.
fn account_of(item: Item, rules: &AccountList, parent: &str) -> Result<Account> {
    let time_zone = zone_of(&item, rules)?;
    let currency = rules.currency.as_ref().and_then(|path| text_at(path, &item.whole)).unwrap_or_default();
    let own = rules.parent.as_ref().and_then(|path| text_at(path, &item.whole));
    let parent = own.unwrap_or_else(|| parent.to_owned());
    Ok(Account { id: item.id, name: item.name, time_zone, currency, parent })
}

fn zone_of(item: &Item, rules: &AccountList) -> Result<Tz> {
    if let Some(zone) = rules.time_zones.get(&item.id) {
        return Ok(*zone);
    }
    let said = rules.time_zone.as_ref().and_then(|path| text_at(path, &item.whole));
    if let Some(zone) = said.as_ref().and_then(|name| rules.time_zone_names.get(name)) {
        return Ok(*zone);
    }
    match (said, rules.time_zone_default) {
        (Some(name), _) => name.parse().map_err(|_| {
            Error::platform(format!("account `{}` is in the time zone `{name}`, which is not an IANA name", item.id))
                .hint("say in `[accounts.time_zone_names]` what IANA calls it, or in `[accounts.time_zones]` where the account is")
        }),
        (None, Some(default)) => Ok(default),
        (None, None) => {
            Err(Error::platform(format!("account `{}` has no time zone", item.id))
                .hint("set `accounts.time_zone_default`"))
        }
    }
}

fn read_page(body: &[u8], list: &Listing) -> Result<Listed, Unread> {
    let document: Value = serde_json::from_slice(body).map_err(|error| Unread::Again(not_json(body, &error)))?;
    let mut items: Vec<Item> = Vec::new();
    let found = list.records.path.values_in(&document);
    if found.is_empty() && !list.records.absent_is_empty && !list.records.path.has_each() {
        return Err(Unread::Again(format!("the answer is not a page: no records at `{}`", list.records.path)));
    }
    for value in found {
        match value {
            Value::Null => {}
            Value::Array(values) => {
                for value in values {
                    items.push(item(value, list)?);
                }
            }
            // One thing and not a list of them; or, with `*`, one of several.
            Value::Object(_) => items.push(item(value, list)?),
            Value::String(_) | Value::Number(_) if list.id.0.is_empty() => items.push(item(value, list)?),
            _ => return Err(Unread::Again(format!("`{}` holds no list", list.records.path))),
        }
    }
    if list.verbatim {
        for (item, text) in items.iter_mut().zip(item_texts(body, &list.records.path)) {
            text.clone_into(&mut item.text);
        }
    }
    let (next, total) = match &list.pagination.kind {
        // A token is no next page where the place that says so holds nothing.
        PaginationKind::Cursor { more: Some(more), .. } if !holds_something(more, &document) => (None, None),
        PaginationKind::Cursor { next, .. } | PaginationKind::NextLink { next } => (text_at(next, &document), None),
        PaginationKind::PageNumber { total_pages: Some(path), .. }
        | PaginationKind::Offset { total: Some(path), .. } => (None, text_at(path, &document)),
        PaginationKind::None
        | PaginationKind::LinkHeader
        | PaginationKind::PageNumber { total_pages: None, .. }
        | PaginationKind::Offset { total: None, .. } => (None, None),
    };
    let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    let fingerprint = (!ids.is_empty()).then(|| xxh3_64(ids.join("\n").as_bytes()));
    let total = total.and_then(|total| total.parse().ok());
    let facts =
        PageFacts { records: items.len(), outside: 0, fingerprint, next, total, unknown: UnknownFields::default() };
    Ok(Listed { items, facts })
}

fn item(value: &Value, list: &Listing) -> Result<Item, Unread> {
    let Some(id) = text_at(&list.id, value).filter(|id| !id.is_empty()) else {
        return Err(Unread::Final(format!("an item of `{}` has no id at `{}`", list.path, list.id)));
    };
    let id = match &list.id_after {
        None => id,
        Some(before) => match id.split_once(before.as_str()) {
            Some((_, id)) if !id.is_empty() => id.to_owned(),
            _ => return Err(Unread::Final(format!("an id of `{}` is without `{before}` before it", list.path))),
        },
    };
    let name = list.name.as_ref().and_then(|path| text_at(path, value)).unwrap_or_default();
    Ok(Item { id, name, whole: value.clone(), text: String::new() })
}

fn not_json(body: &[u8], error: &serde_json::Error) -> String {
    match body.trim_ascii_start().first() {
        None => "the answer is not a page: an empty body".to_owned(),
        Some(b'<') => "the answer is not a page: HTML or XML instead of JSON".to_owned(),
        Some(_) => format!("the answer is not a page: {error}"),
    }
}

/// Whether `path` holds anything but null, `false` and the empty text.
fn holds_something(path: &JsonPath, value: &Value) -> bool {
    let nothing = |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value.as_str() == Some("");
    path.values_in(value).into_iter().any(|value| !nothing(value))
}

/// The first text or number at `path`, as text; nothing for `""`, null and false.
fn text_at(path: &JsonPath, value: &Value) -> Option<String> {
    path.values_in(value).into_iter().find_map(|value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}
