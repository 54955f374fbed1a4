//! Several accounts' requests in one: every answer in the answer is judged, read, paged and tried again by itself.
//!
//! A round sends the open requests that are ready, at most as many as one batch takes. What has failed waits for its own
//! time while the others go on; what was not answered at all (`null`) is sent again. The unit is still all or nothing.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant as Moment;

use super::Fetch;
use super::listing::Campaigns;
use super::parts::Part;
use super::read::{Cut, Gathered, Reading, unread};
use super::send::{Answered, Asking, Attempt, Halt, Refusal, Unread, given_up, reason, with_told};
use crate::allowance::Needs;
use crate::cassette::{Seen, Tape};
use crate::classify::Verdict;
use crate::decode::{PageContext, PageFacts};
use crate::http::client::Response;
use crate::http::transport::{TransportError, TransportKind};
use crate::page::{Next, Pager};
use crate::pipeline::{Batch, Endpoint, Placeholder};
use crate::request::{Request, batch_request, metrics_request, uses};
use crate::retry::{Decision, Tries, decide};
use crate::telemetry::Count;
use crate::usage;

/// One account's pages, as far as they were read.
struct Open<'a> {
    part: Part,
    campaigns: Option<&'a [String]>,
    pager: Pager<'a>,
    tries: Tries,
    /// Since the page was first asked for, waits for limits not counted.
    elapsed: Duration,
    /// Not to be sent before.
    ready: Moment,
    /// Whether it waits for a limit, and not because it failed.
    refused: bool,
}

/// An answer in the answer.
#[derive(Deserialize)]
struct Item {
    code: u16,
    #[serde(default)]
    headers: Option<Vec<ItemHeader>>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct ItemHeader {
    name: String,
    value: String,
}

impl Fetch {
    /// Reads the pages of all of the part's accounts.
    pub(super) async fn read_batches(
        &self,
        batch: &Batch,
        reading: &Reading<'_>,
        campaigns: &[Arc<Campaigns>],
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<(), Cut> {
        let mut open = self.opened(reading.part, campaigns);
        while !open.is_empty() {
            if reading.stop.is_cancelled() {
                return Err(Halt::Stopped.into());
            }
            let now = Moment::now();
            let ready = open.iter().filter(|open| open.ready <= now).count();
            if ready == 0 {
                let next = open.iter().map(|open| open.ready).min().unwrap_or(now);
                self.pause(next - now, "requests of a batch are tried again".to_owned(), reading.stop).await?;
                continue;
            }
            // Those that wait are kept behind those that are ready.
            open.sort_by_key(|open| open.ready > now);
            let rest = open.split_off(ready.min(batch.size));
            let went_on = self.round(batch, reading, open, sent, gathered).await?;
            if self.glances {
                return Ok(());
            }
            open = rest;
            open.extend(went_on);
        }
        Ok(())
    }

    /// A request for each account, or for each chunk of its campaigns where they are named.
    fn opened<'a>(&'a self, part: &Part, campaigns: &'a [Arc<Campaigns>]) -> Vec<Open<'a>> {
        let now = Moment::now();
        let mut open = Vec::new();
        for (index, account) in part.accounts.iter().enumerate() {
            let one = Part { accounts: vec![account.clone()], ..part.clone() };
            let chunks: Vec<Option<&[String]>> = if uses(&self.pipeline.request, Placeholder::Campaigns) {
                let ids = campaigns.get(index).map(|campaigns| campaigns.ids.as_slice()).unwrap_or_default();
                ids.chunks(part.campaigns.max(1)).map(Some).collect()
            } else {
                vec![None]
            };
            for campaigns in chunks {
                let pager = Pager::new(&self.pipeline.api, &self.pipeline.pagination);
                let (tries, elapsed) = (Tries::default(), Duration::ZERO);
                open.push(Open { part: one.clone(), campaigns, pager, tries, elapsed, ready: now, refused: false });
            }
        }
        open
    }

    /// Sends `open` at once and gives those that have further pages or must be sent again.
    async fn round<'a>(
        &self,
        batch: &Batch,
        reading: &Reading<'_>,
        open: Vec<Open<'a>>,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<Vec<Open<'a>>, Cut> {
        let mut requests = Vec::new();
        for one in &open {
            let window = self.asked_of(&one.part);
            let made = metrics_request(&self.pipeline, &one.part.accounts, window, one.campaigns, one.pager.at());
            requests.push(made.map_err(Halt::from)?);
        }
        let outer = batch_request(&self.pipeline, batch, &requests).map_err(Halt::from)?;
        let needs = Needs {
            endpoint: Endpoint::Metrics,
            accounts: open.iter().flat_map(|one| &one.part.accounts).map(|account| account.id.clone()).collect(),
            lane: reading.unit.lane,
            calls: u32::try_from(open.len()).unwrap_or(u32::MAX),
        };
        // What is in it is recorded answer by answer.
        let off = Tape::off();
        let asking =
            Asking { request: &outer, needs: &needs, known: None, stop: reading.stop, tape: &off, page_of: None };
        let began = Moment::now();
        let answered = self.ask(&asking, sent, |response| items(response, open.len())).await;
        let items = match answered {
            Ok(Answered::Read(items, _)) => items,
            Ok(Answered::NotModified(_) | Answered::Adopted(_)) => {
                return Err(Refusal::unusable("a batch was answered without a body").into());
            }
            Err(halt) => return Err(Cut::of(reading.part, 0, halt)),
        };
        let took = began.elapsed();
        let mut further = Vec::new();
        for ((mut one, item), request) in open.into_iter().zip(items).zip(&requests) {
            one.elapsed += took;
            further.extend(self.take_item(reading, one, item, request, gathered).await?);
        }
        // What failed together is tried again together: each by itself would be a request of its own.
        let last = further.iter().filter(|one| !one.refused).map(|one| one.ready).max();
        for one in further.iter_mut().filter(|one| !one.refused && one.tries.failures > 0) {
            one.ready = last.unwrap_or(one.ready);
        }
        Ok(further)
    }

    /// Takes in one answer of the batch; gives what is to be sent after it.
    async fn take_item<'a>(
        &self,
        reading: &Reading<'_>,
        mut one: Open<'a>,
        item: Option<Response>,
        request: &Request,
        gathered: &mut Gathered,
    ) -> Result<Option<Open<'a>>, Cut> {
        let client = self.client();
        let needs = Needs {
            endpoint: Endpoint::Metrics,
            accounts: one.part.accounts.iter().map(|account| account.id.clone()).collect(),
            lane: reading.unit.lane,
            calls: 1,
        };
        let mut told = Vec::new();
        let mut verdict = match &item {
            None => Verdict::Retry { why: "the batch came back without an answer to this request".to_owned() },
            Some(response) => {
                told = usage::read(&self.usage, &response.headers, &needs.accounts, needs.endpoint, self.clock.now());
                self.quotas.told(&told);
                self.meaning(response, &client, one.tries, true)
            }
        };
        let mut read = None;
        if let (Verdict::Ok, Some(response)) = (&verdict, &item) {
            match self.page_of(reading, &one.part, response, gathered) {
                Ok(facts) => read = Some(facts),
                Err(Unread::Again(why)) => verdict = Verdict::Unreadable { why: self.masked(&why) },
                Err(Unread::Final(why)) => verdict = Verdict::Fail { fault: None, why: self.masked(&why) },
            }
        }
        if let Some(response) = &item {
            let (part, taken) = (Some(reading.part.number), read.is_some());
            let answer = Ok(response);
            let seen = Seen { endpoint: needs.endpoint, request, answer, client: &client, part, taken };
            reading.tape.exchange(&seen);
        }
        if let Some(facts) = read {
            let begins_at = gathered.page_starts.last().copied().unwrap_or_default();
            self.take_in(gathered, &facts, begins_at);
            return match one.pager.next(&facts, &request.full_url(), None) {
                Ok(Next::Page(_)) => {
                    let (tries, elapsed, ready) = (Tries::default(), Duration::ZERO, Moment::now());
                    Ok(Some(Open { tries, elapsed, ready, refused: false, ..one }))
                }
                Ok(Next::End) => Ok(None),
                Err(error) => Err(Refusal::unusable(error.to_string()).into()),
            };
        }
        one.tries = one.tries.and(&verdict);
        let (verdict, scope) = with_told(verdict, &told);
        let decision = decide(&self.pipeline.retry, one.tries, one.elapsed, &verdict, rand::random());
        let why = reason(&verdict);
        tracing::debug!(request = %request.redacted_url(), ?decision, why, "no page in the batch");
        let throttled = matches!(verdict, Verdict::Throttled { .. });
        if throttled {
            self.meter.add(Count::Throttled, 1);
        }
        match decision {
            Decision::Wait(wait) if throttled => {
                self.quotas.refused(&needs, scope, wait, &why);
                self.meter.add(Count::Retries, 1);
                // The closed scope keeps this one back; the others of the batch need not wait for it.
                (one.ready, one.refused) = (Moment::now() + wait, true);
                Ok(Some(one))
            }
            Decision::Wait(wait) => {
                self.meter.add(Count::Retries, 1);
                one.elapsed += wait;
                one.refused = false;
                one.ready = Moment::now() + wait;
                Ok(Some(one))
            }
            Decision::ComeBack(wait) => {
                self.quotas.refused(&needs, scope, wait, &why);
                Err(Halt::ComeBack { until: self.after(wait), why }.into())
            }
            Decision::Split => {
                Err(Cut::TooMuch { campaigns: one.campaigns.map_or(0, <[String]>::len), part: one.part, why })
            }
            Decision::SkipAccount => Err(Cut::Gone { part: one.part, why }),
            Decision::Reauthorise if self.reauthorise(&client, reading.stop).await? => Ok(Some(one)),
            Decision::Reauthorise | Decision::GiveUp => {
                let first = one.pager.at().number == 1;
                let answer = item.ok_or_else(|| TransportError::new(TransportKind::Cut, why.as_str()));
                let halt = given_up(&verdict, one.tries, &Attempt { answer, told, client }, why);
                if !first && self.is_dead_token(&halt) {
                    return Err(Cut::TokenDied(halt));
                }
                Err(Cut::of(&one.part, 0, halt))
            }
        }
    }

    fn page_of(
        &self,
        reading: &Reading<'_>,
        part: &Part,
        response: &Response,
        gathered: &mut Gathered,
    ) -> Result<PageFacts, Unread> {
        let context = PageContext { accounts: &part.accounts, ..*reading.context };
        let begins_at = gathered.rows.len();
        let facts = self.decoder.page(&response.body, &context, &mut gathered.rows).map_err(unread)?;
        gathered.page_starts.push(begins_at);
        Ok(facts)
    }
}

/// The answers in the answer, in the order of the requests.
fn items(response: &Response, expected: usize) -> Result<Vec<Option<Response>>, Unread> {
    let items: Vec<Option<Item>> = serde_json::from_slice(&response.body)
        .map_err(|error| Unread::Again(format!("the answer is not a batch of answers: {error}")))?;
    if items.len() != expected {
        return Err(Unread::Again(format!("the batch holds {} answers to {expected} requests", items.len())));
    }
    Ok(items.into_iter().map(|item| item.map(Item::response)).collect())
}

impl Item {
    fn response(self) -> Response {
        let mut headers = HeaderMap::new();
        for header in self.headers.unwrap_or_default() {
            // A header that could not have been sent says nothing.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_str(&header.value))
            {
                headers.append(name, value);
            }
        }
        Response { status: self.code, headers, body: self.body.unwrap_or_default().into() }
    }
}
