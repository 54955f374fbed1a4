//! A unit's pages, from the first to the last.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::listing::Campaigns;
use super::send::{Answered, Asking, Halt, Refusal, Unread};
use super::{Fetch, Slice};
use crate::decode::{DecodeError, PageContext, PageFacts, Rows};
use crate::page::{Next, Pager};
use crate::pipeline::{PaginationKind, Pipeline, Placeholder};
use crate::plan::grid_zone;
use crate::request::{metrics_request, uses};
use crate::telemetry::Count;
use crate::time::{Instant, Window, hour_at};
use crate::unit::Unit;

/// So often a unit whose token died in the middle begins again.
const RESTARTS: u32 = 2;

/// What reading a unit has gathered. Dropped whole when anything fails.
struct Gathered {
    rows: Rows,
    pages: u32,
    outside: u64,
    unknown: BTreeSet<String>,
}

/// Why the pages were not read to the end.
enum Cut {
    /// The token of a later page was refused: what was read and what would come may not belong together.
    TokenDied(Halt),
    /// Anything else.
    Halted(Halt),
}

impl From<Halt> for Cut {
    fn from(halt: Halt) -> Cut {
        Cut::Halted(halt)
    }
}

impl Fetch {
    pub(super) async fn read_unit(&self, unit: &Unit, stop: &CancellationToken) -> Result<Slice, Halt> {
        let mut sent = 0;
        let mut restarts = 0;
        loop {
            match self.read_once(unit, stop, &mut sent).await {
                Ok(slice) => return Ok(slice),
                Err(Cut::Halted(halt)) => return Err(halt),
                Err(Cut::TokenDied(halt)) if restarts == RESTARTS => return Err(halt),
                Err(Cut::TokenDied(_)) => {
                    restarts += 1;
                    tracing::warn!(restarts, "the next page's token was refused: reading again from the first page");
                }
            }
        }
    }

    async fn read_once(&self, unit: &Unit, stop: &CancellationToken, sent: &mut u32) -> Result<Slice, Cut> {
        let fetched_at = self.clock.now();
        let Some(window) = ended_part(&self.pipeline, unit, fetched_at) else {
            return Err(Refusal::unusable(format!("no hour of {} has ended yet", unit.window)).into());
        };
        let campaigns = self.campaigns_of(unit, stop, sent).await?;
        let names = names_of(&campaigns);
        let context = PageContext { accounts: &unit.accounts, campaign_names: &names, window };
        let rows = self.decoder.rows();
        let mut gathered = Gathered { rows, pages: 0, outside: 0, unknown: BTreeSet::new() };
        if uses(&self.pipeline.request, Placeholder::Campaigns) {
            let ids: Vec<String> = campaigns.iter().flat_map(|campaigns| campaigns.ids.iter().cloned()).collect();
            for chunk in ids.chunks(self.pipeline.request.campaigns_per_request.max(1)) {
                self.read_pages(unit, Some(chunk), &context, stop, sent, &mut gathered).await?;
            }
        } else {
            self.read_pages(unit, None, &context, stop, sent, &mut gathered).await?;
        }
        Ok(Slice {
            unit: unit.clone(),
            window,
            rows: gathered.rows.finish(fetched_at),
            fetched_at,
            requests: *sent,
            pages: gathered.pages,
            outside: gathered.outside,
            unknown_fields: gathered.unknown,
        })
    }

    /// Reads the pages of one chunk of campaigns, or of the whole unit.
    async fn read_pages(
        &self,
        unit: &Unit,
        campaigns: Option<&[String]>,
        context: &PageContext<'_>,
        stop: &CancellationToken,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<(), Cut> {
        let accounts: Vec<String> = unit.accounts.iter().map(|account| account.id.clone()).collect();
        let mut pager = Pager::new(&self.pipeline.api, &self.pipeline.pagination);
        loop {
            if stop.is_cancelled() {
                return Err(Halt::Stopped.into());
            }
            let page = pager.at();
            let request =
                metrics_request(&self.pipeline, &unit.accounts, unit.window, campaigns, page).map_err(Halt::from)?;
            let first = page.number == 1;
            let asking = Asking { request: &request, accounts: &accounts, known: None, stop };
            let rows = &mut gathered.rows;
            let answered =
                self.ask(&asking, sent, |response| self.decoder.page(&response.body, context, rows).map_err(unread));
            let (facts, link) = match answered.await {
                Ok(Answered::Read(facts, response)) => (facts, response.link()),
                Ok(Answered::NotModified(_)) => return Err(Refusal::unusable("HTTP 304 without a condition").into()),
                Err(halt) if !first && self.is_dead_token(&halt) => return Err(Cut::TokenDied(halt)),
                Err(halt) => return Err(halt.into()),
            };
            self.take_in(gathered, &facts);
            match pager.next(&facts, &request.full_url(), link.as_deref()) {
                Ok(Next::Page(_)) => {}
                Ok(Next::End) => return Ok(()),
                Err(error) => return Err(Refusal::unusable(error.to_string()).into()),
            }
        }
    }

    fn take_in(&self, gathered: &mut Gathered, facts: &PageFacts) {
        gathered.pages += 1;
        gathered.outside += facts.outside as u64;
        gathered.unknown.extend(facts.unknown.iter().cloned());
        self.meter.add(Count::Pages, 1);
        self.meter.add(Count::Rows, facts.records.saturating_sub(facts.outside) as u64);
    }

    /// Whether a later page was refused because of its token (400, or 410 "gone"): platforms let them expire.
    fn is_dead_token(&self, halt: &Halt) -> bool {
        let by_token = match self.pipeline.pagination.kind {
            PaginationKind::Cursor { .. } | PaginationKind::NextLink { .. } | PaginationKind::LinkHeader => true,
            PaginationKind::None | PaginationKind::PageNumber { .. } | PaginationKind::Offset { .. } => false,
        };
        by_token && matches!(halt, Halt::Refused(Refusal { status: Some(400 | 410), .. }))
    }

    async fn campaigns_of(
        &self,
        unit: &Unit,
        stop: &CancellationToken,
        sent: &mut u32,
    ) -> Result<Vec<Arc<Campaigns>>, Halt> {
        let mut all = Vec::new();
        if let Some(list) = &self.pipeline.campaigns {
            for account in &unit.accounts {
                all.push(self.campaigns(list, account, stop, sent).await?);
            }
        }
        Ok(all)
    }
}

/// The window up to the last hour that has ended for every account.
fn ended_part(pipeline: &Pipeline, unit: &Unit, now: Instant) -> Option<Window> {
    let ended = unit.accounts.iter().map(|account| hour_at(now, grid_zone(pipeline, account))).min()?;
    Window::new(unit.window.from(), unit.window.to().min(ended))
}

fn names_of(campaigns: &[Arc<Campaigns>]) -> Cow<'_, HashMap<String, String>> {
    match campaigns {
        [only] => Cow::Borrowed(&only.names),
        many => Cow::Owned(many.iter().flat_map(|campaigns| campaigns.names.clone()).collect()),
    }
}

fn unread(error: DecodeError) -> Unread {
    match error {
        DecodeError::Unreadable(_) => Unread::Again(error.to_string()),
        DecodeError::Row { .. } => Unread::Final(error.to_string()),
    }
}
