//! A unit's parts and their pages, from the first to the last.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio_util::sync::CancellationToken;

use super::listing::Campaigns;
use super::parts::{Part, ended_by, halved, parts};
use super::send::{Answered, Asking, Halt, Refusal, Unread};
use super::{Fetch, Gone, Slice};
use crate::allowance::Needs;
use crate::cassette::Tape;
use crate::decode::{DecodeError, PageContext, PageFacts, Rows, UnknownFields};
use crate::error::{Error, Result as Outcome};
use crate::lake::Chunk;
use crate::page::{Next, PageCursor, Pager};
use crate::pipeline::{Align, Endpoint, PaginationKind, Pipeline, Placeholder, ZoneRule};
use crate::refresh::grid_zone;
use crate::request::{Request, metrics_request, needs_campaigns, uses};
use crate::state::Lease;
use crate::telemetry::Count;
use crate::time::{Instant, Window, hour_at};
use crate::unit::{Account, Unit};

/// So often a unit whose token died in the middle begins again.
const RESTARTS: u32 = 2;

/// Why a unit has no slice.
pub(super) enum NoSlice {
    /// The platform gives none of its accounts any more.
    Gone(Vec<Gone>),
    /// Anything else.
    Halted(Halt),
}

impl From<Halt> for NoSlice {
    fn from(halt: Halt) -> NoSlice {
        NoSlice::Halted(halt)
    }
}

/// What reading a unit has gathered. Dropped whole when anything fails.
pub(super) struct Gathered {
    pub(super) rows: Rows,
    /// Where each page's rows begin.
    pub(super) page_starts: Vec<usize>,
    /// What was put aside before.
    chunks: Vec<Chunk>,
    /// Pages whose rows were.
    pages_aside: usize,
    fetched_at: Instant,
    outside: u64,
    unknown: UnknownFields,
}

/// How far a unit had been read.
pub(super) struct Mark {
    rows: usize,
    pages: usize,
    outside: u64,
    unknown: UnknownFields,
}

impl Gathered {
    pub(super) fn mark(&self) -> Mark {
        let unknown = self.unknown.clone();
        Mark { rows: self.rows.len(), pages: self.page_starts.len(), outside: self.outside, unknown }
    }

    /// Forgets what was read after `mark`.
    pub(super) fn back_to(&mut self, mark: &Mark) {
        self.rows.truncate(mark.rows);
        self.page_starts.truncate(mark.pages);
        self.outside = mark.outside;
        self.unknown.clone_from(&mark.unknown);
    }
}

/// What a part's pages are read with.
pub(super) struct Reading<'a> {
    pub(super) unit: &'a Unit,
    pub(super) part: &'a Part,
    pub(super) context: &'a PageContext<'a>,
    pub(super) stop: &'a CancellationToken,
    pub(super) tape: &'a Tape,
}

impl Reading<'_> {
    /// To ask for `request`; for a page of rows with the part that it is of.
    pub(super) fn asking<'a>(&'a self, request: &'a Request, needs: &'a Needs, page_of: Option<u32>) -> Asking<'a> {
        Asking { request, needs, known: None, stop: self.stop, tape: self.tape, page_of }
    }
}

/// Why the pages were not read to the end.
pub(super) enum Cut {
    /// The token of a later page was refused: what was read and what would come may not belong together.
    TokenDied(Halt),
    /// The part was too much to ask for at once; so many campaigns were named in the request.
    TooMuch { part: Part, campaigns: usize, why: String },
    /// The account of the part (or one of them) is gone.
    Gone { part: Part, why: String },
    /// Anything else.
    Halted(Halt),
}

impl Cut {
    /// Why `part` was not read to its end, where so many `campaigns` were named in the request that `halt` was the answer
    /// to. What an answer means does not depend on what was asked: too much data is too much data, whether the rows are
    /// asked for, a report over them, or how that stands.
    pub(super) fn of(part: &Part, campaigns: usize, halt: Halt) -> Cut {
        match halt {
            Halt::TooMuch { why } => Cut::TooMuch { part: part.clone(), campaigns, why },
            Halt::Gone { why } => Cut::Gone { part: part.clone(), why },
            halt => Cut::Halted(halt),
        }
    }
}

impl From<Halt> for Cut {
    fn from(halt: Halt) -> Cut {
        Cut::Halted(halt)
    }
}

impl Fetch {
    pub(super) async fn read_unit(&self, unit: &Unit, stop: &CancellationToken, tape: &Tape) -> Result<Slice, NoSlice> {
        let mut sent = 0;
        let mut restarts = 0;
        let mut gone = Vec::new();
        // Which of several accounts is gone is found out by asking for each alone.
        let mut alone = false;
        loop {
            let accounts = self.present(unit, &mut gone);
            if accounts.is_empty() {
                return Err(NoSlice::Gone(gone));
            }
            // Whatever an earlier turn had read is not part of the slice.
            tape.back_to(0);
            match self.read_once(unit, &accounts, alone, stop, tape, &mut sent).await {
                Ok(slice) => return Ok(Slice { gone, ..slice }),
                Err(Cut::Halted(halt)) => return Err(halt.into()),
                Err(Cut::TokenDied(halt)) if restarts == RESTARTS => return Err(halt.into()),
                Err(Cut::TokenDied(_)) => {
                    restarts += 1;
                    tracing::warn!(restarts, "the next page's token was refused: reading again from the first page");
                }
                Err(Cut::TooMuch { part, campaigns, why }) => self.ask_for_less(&part, campaigns, why).await?,
                Err(Cut::Gone { part, why }) => match part.accounts.as_slice() {
                    [account] => self.note_gone(account, why),
                    _ => alone = true,
                },
            }
        }
    }

    /// The unit's accounts without those that are known to be gone; these are added to `gone`.
    fn present(&self, unit: &Unit, gone: &mut Vec<Gone>) -> Vec<Account> {
        let known = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut present = Vec::new();
        for account in &unit.accounts {
            match known.get(&account.id) {
                None => present.push(account.clone()),
                Some(why) if gone.iter().all(|gone| gone.account != account.id) => {
                    gone.push(Gone { account: account.id.clone(), why: why.clone() });
                }
                Some(_) => {}
            }
        }
        present
    }

    fn note_gone(&self, account: &Account, why: String) {
        tracing::warn!(account = account.id, "the account is left out: {why}");
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(account.id.clone(), why);
    }

    /// Learns that `part` was too much. Fails where less cannot be asked for.
    async fn ask_for_less(&self, part: &Part, campaigns: usize, why: String) -> Result<(), Halt> {
        let Some(size) = halved(&self.pipeline, part, campaigns) else { return Err(Halt::TooMuch { why }) };
        tracing::info!(?size, "asking for less at once: {why}");
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).lower(&size);
        if let Some(lease) = self.lease.get() {
            self.state.learn_size(lease, &size, self.clock.now()).await?;
        }
        Ok(())
    }

    /// The lease, where something is to be written down before it is sent.
    pub(super) fn leased(&self) -> Outcome<&Arc<Lease>> {
        self.lease.get().ok_or_else(|| Error::internal("a request that creates something was made outside of a run"))
    }

    pub(super) async fn read_once(
        &self,
        unit: &Unit,
        accounts: &[Account],
        alone: bool,
        stop: &CancellationToken,
        tape: &Tape,
        sent: &mut u32,
    ) -> Result<Slice, Cut> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let parts = parts(&self.pipeline, unit, accounts, &sizes, alone);
        // What was created by an earlier run shows what was true then.
        let begun = self.creations_of(unit, &parts).await?;
        let fetched_at = begun.iter().map(|creation| creation.begun_at).min().unwrap_or_else(|| self.clock.now());
        let Some(ended) = ended_at(&self.pipeline, accounts, fetched_at) else {
            return Err(Refusal::unusable("a unit without accounts").into());
        };
        let Some(window) = ended_by(unit.window, ended) else {
            return Err(Refusal::unusable(format!("no hour of {} has ended yet", unit.window)).into());
        };
        let mut rows = self.decoder.rows();
        rows.reserve(&self.room.lock().unwrap_or_else(PoisonError::into_inner));
        let unknown = UnknownFields::default();
        let (page_starts, chunks) = (Vec::new(), Vec::new());
        let mut gathered = Gathered { rows, page_starts, chunks, pages_aside: 0, fetched_at, outside: 0, unknown };
        for part in &parts {
            let Some(closed) = ended_by(part.window, ended) else { continue };
            let campaigns = self.campaigns_of(part, stop, tape, sent).await?;
            let names = of_all(&campaigns, |campaigns| &campaigns.names);
            let currencies = of_all(&campaigns, |campaigns| &campaigns.currencies);
            let context = PageContext {
                accounts: &part.accounts,
                campaign_names: &names,
                campaign_currencies: &currencies,
                window: closed,
                asked: part.window,
            };
            tape.part(part.number, &context);
            let reading = Reading { unit, part, context: &context, stop, tape };
            match begun.iter().find(|creation| creation.part == part.number) {
                Some(creation) if self.pipeline.report.is_some() => {
                    self.read_report(&reading, creation, sent, &mut gathered).await?;
                }
                _ => self.read_part(&reading, &campaigns, sent, &mut gathered).await?,
            }
            self.relieve(unit, &mut gathered).await?;
        }
        let turn = self.turn().await;
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = gathered.rows.room();
        Ok(Slice {
            unit: Unit { accounts: accounts.to_vec(), ..unit.clone() },
            window,
            rows: gathered.rows.finish(fetched_at),
            fetched_at,
            requests: *sent,
            pages: u32::try_from(gathered.pages_aside + gathered.page_starts.len()).unwrap_or(u32::MAX),
            page_starts: gathered.page_starts,
            chunks: gathered.chunks,
            outside: gathered.outside,
            unknown_fields: gathered.unknown,
            gone: Vec::new(),
            turn,
        })
    }

    /// Reads a part's pages, for one chunk of campaigns after the other where the request names them.
    async fn read_part(
        &self,
        reading: &Reading<'_>,
        campaigns: &[Arc<Campaigns>],
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<(), Cut> {
        if let Some(batch) = &self.pipeline.request.batch {
            return self.read_batches(batch, reading, campaigns, sent, gathered).await;
        }
        if !uses(&self.pipeline.request, Placeholder::Campaigns) {
            return self.read_chunk(reading, None, sent, gathered).await;
        }
        let ids: Vec<String> = campaigns.iter().flat_map(|campaigns| campaigns.ids.iter().cloned()).collect();
        for chunk in ids.chunks(reading.part.campaigns) {
            self.read_chunk(reading, Some(chunk), sent, gathered).await?;
        }
        Ok(())
    }

    async fn read_chunk(
        &self,
        reading: &Reading<'_>,
        campaigns: Option<&[String]>,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<(), Cut> {
        let part = reading.part;
        let window = self.asked_of(part);
        let make = |page: &PageCursor| metrics_request(&self.pipeline, &part.accounts, window, campaigns, page);
        let read = self.read_pages(reading, Endpoint::Metrics, make, sent, gathered).await;
        read.map_err(|cut| match cut {
            Cut::Halted(halt) => Cut::of(part, campaigns.map_or(0, <[String]>::len), halt),
            other => other,
        })
    }

    /// Reads the pages that `make` asks for.
    pub(super) async fn read_pages(
        &self,
        reading: &Reading<'_>,
        endpoint: Endpoint,
        make: impl Fn(&PageCursor) -> Outcome<Request>,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<(), Cut> {
        let needs = self.needs(reading, endpoint);
        let mut pager = Pager::new(&self.pipeline.api, &self.pipeline.pagination);
        loop {
            if reading.stop.is_cancelled() {
                return Err(Halt::Stopped.into());
            }
            let page = pager.at();
            let first = page.number == 1;
            let request = make(page).map_err(Halt::from)?;
            let request = self.keyed(reading, request).await?;
            let asking = reading.asking(&request, &needs, Some(reading.part.number));
            let begins_at = gathered.rows.len();
            let (context, rows) = (reading.context, &mut gathered.rows);
            let answered =
                self.ask(&asking, sent, |response| self.decoder.page(&response.body, context, rows).map_err(unread));
            let (facts, link) = match answered.await {
                Ok(Answered::Read(facts, response)) => (facts, response.link()),
                Ok(Answered::NotModified(_)) => return Err(Refusal::unusable("HTTP 304 without a condition").into()),
                Ok(Answered::Adopted(_)) => return Err(Refusal::unusable("rows cannot be adopted").into()),
                Err(halt) if !first && self.is_dead_token(&halt) => return Err(Cut::TokenDied(halt)),
                Err(halt) => return Err(halt.into()),
            };
            gathered.page_starts.push(begins_at);
            self.take_in(gathered, &facts, begins_at);
            if endpoint == Endpoint::Metrics {
                // Pages of a report may have to be forgotten: of these the whole report is put aside.
                self.relieve(reading.unit, gathered).await?;
            }
            if self.glances {
                return Ok(());
            }
            match pager.next(&facts, &request.full_url(), link.as_deref()) {
                Ok(Next::Page(_)) => {}
                Ok(Next::End) => return Ok(()),
                Err(error) => return Err(Refusal::unusable(error.to_string()).into()),
            }
        }
    }

    /// Puts the rows aside that were gathered, where they are too many to be held.
    pub(super) async fn relieve(&self, unit: &Unit, gathered: &mut Gathered) -> Result<(), Halt> {
        let Some(aside) = self.aside.get().filter(|aside| gathered.rows.bytes() > aside.above) else { return Ok(()) };
        let _turn = self.turn().await;
        let rows = gathered.rows.take(gathered.fetched_at);
        let page_starts = std::mem::take(&mut gathered.page_starts);
        gathered.pages_aside += page_starts.len();
        match aside.dataset.put_aside(&unit.key, rows, page_starts).await? {
            Ok(chunk) => gathered.chunks.push(chunk),
            Err(undeclared) => {
                let fields = gathered.unknown.iter().map(|(path, _)| path.to_owned()).collect();
                return Err(Refusal::unusable(undeclared.reason(&fields)));
            }
        }
        tracing::debug!(unit = %unit.key, chunks = gathered.chunks.len(), "rows put aside");
        Ok(())
    }

    pub(super) fn needs(&self, reading: &Reading<'_>, endpoint: Endpoint) -> Needs {
        Needs {
            endpoint,
            accounts: reading.part.accounts.iter().map(|account| account.id.clone()).collect(),
            lane: reading.unit.lane,
            calls: 1,
        }
    }

    /// The window that is written into the part's request. Dates of a clock that is neither UTC's nor the account's are those
    /// that cover the window, and none of them may lie in the future.
    pub(super) fn asked_of(&self, part: &Part) -> Window {
        let rules = &self.pipeline;
        if rules.window.align != Align::UtcDay || !matches!(rules.request.time.zone, ZoneRule::Fixed(_)) {
            return part.window;
        }
        let ended = ended_at(rules, &part.accounts, self.clock.now());
        ended.and_then(|ended| ended_by(part.window, ended)).unwrap_or(part.window)
    }

    pub(super) fn take_in(&self, gathered: &mut Gathered, facts: &PageFacts, begins_at: usize) {
        gathered.outside += facts.outside as u64;
        gathered.unknown.add(&facts.unknown);
        self.meter.add(Count::Pages, 1);
        self.meter.add(Count::Rows, gathered.rows.len().saturating_sub(begins_at) as u64);
    }

    /// Whether a later page was refused because of its token (400, or 410 "gone"): platforms let them expire.
    pub(super) fn is_dead_token(&self, halt: &Halt) -> bool {
        let by_token = match self.pipeline.pagination.kind {
            PaginationKind::Cursor { .. } | PaginationKind::NextLink { .. } | PaginationKind::LinkHeader => true,
            PaginationKind::None | PaginationKind::PageNumber { .. } | PaginationKind::Offset { .. } => false,
        };
        by_token && matches!(halt, Halt::Refused(Refusal { status: Some(400 | 410), .. }))
    }

    async fn campaigns_of(
        &self,
        part: &Part,
        stop: &CancellationToken,
        tape: &Tape,
        sent: &mut u32,
    ) -> Result<Vec<Arc<Campaigns>>, Cut> {
        let mut all = Vec::new();
        if let Some(list) = &self.pipeline.campaigns
            && needs_campaigns(&self.pipeline, &part.accounts)
        {
            for account in &part.accounts {
                let listed = self.campaigns(list, account, stop, tape, sent).await;
                all.push(listed.map_err(|halt| match halt {
                    Halt::Gone { why } => {
                        Cut::Gone { part: Part { accounts: vec![account.clone()], ..part.clone() }, why }
                    }
                    halt => halt.into(),
                })?);
            }
        }
        Ok(all)
    }
}

/// When the last hour that has ended for every one of `accounts` ended.
fn ended_at(pipeline: &Pipeline, accounts: &[Account], now: Instant) -> Option<Instant> {
    accounts.iter().map(|account| hour_at(now, grid_zone(pipeline, account))).min()
}

/// What is known by campaign, of the campaigns of all accounts.
fn of_all(
    campaigns: &[Arc<Campaigns>],
    known: impl Fn(&Campaigns) -> &HashMap<String, String>,
) -> Cow<'_, HashMap<String, String>> {
    match campaigns {
        [only] => Cow::Borrowed(known(only)),
        many => Cow::Owned(many.iter().flat_map(|campaigns| known(campaigns).clone()).collect()),
    }
}

pub(super) fn unread(error: DecodeError) -> Unread {
    match error {
        DecodeError::Unreadable(_) => Unread::Again(error.to_string()),
        DecodeError::Row { .. } => Unread::Final(error.to_string()),
    }
}
