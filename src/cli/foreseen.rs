//! What a plan will ask for and how long that takes, by limit: what earlier units and runs say about those to come, and
//! the limits' own arithmetic run ahead of time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::allowance::{Book, Crew, Forecast, Job, Moment, forecast};
use crate::error::Result;
use crate::fetch::parts::parts;
use crate::http::cache;
use crate::page::PageCursor;
use crate::pipeline::{Accounts, Endpoint, Listing, Pipeline, Placeholder, Scope};
use crate::plan::{Ask, Plan};
use crate::quota::known_book;
use crate::request::{Whose, listing_request, needs_campaigns, uses};
use crate::run::attributes_due;
use crate::state::{KnownAccount, Sizes, State};
use crate::time::{Instant, Window};
use crate::unit::{Account, Lane, Unit};

/// How many published units tell how many rows and requests there will be.
const UNITS_LOOKED_AT: u32 = 2000;
/// How many runs are looked through for what an answer takes.
const RUNS_LOOKED_AT: usize = 10;
/// What an answer takes where nothing has run.
const LATENCY: Duration = Duration::from_millis(300);
/// More requests at a time than any program has: then only the limit is slow.
const MANY_WORKERS: usize = 512;

/// What a plan will ask for.
#[derive(Debug)]
pub(super) struct Foreseen {
    /// Requests by kind, in the order of [`Endpoint::ALL`], without those of which there are none.
    pub(super) requests: Vec<(Endpoint, u64)>,
    /// All of them together, as they will be worked on.
    pub(super) whole: Forecast,
    /// What each declared limit alone would take.
    pub(super) limits: Vec<LimitForeseen>,
    /// What an answer is taken to take.
    pub(super) latency: Duration,
}

/// What one limit alone would take.
#[derive(Debug)]
pub(super) struct LimitForeseen {
    pub(super) name: String,
    /// `20 / 1s by app`
    pub(super) what: String,
    /// Units that the plan needs of it; for limits by account, what the busiest account needs.
    pub(super) units: u64,
    /// That account.
    pub(super) busiest: Option<String>,
    pub(super) takes: Duration,
}

impl Foreseen {
    /// The limit that decides how long it takes; `None` where the answers do.
    pub(super) fn decides(&self) -> Option<&LimitForeseen> {
        let slowest = self.limits.iter().max_by_key(|limit| limit.takes)?;
        (slowest.takes * 10 >= self.whole.takes * 9 && !slowest.takes.is_zero()).then_some(slowest)
    }
}

/// Foresees `planned`.
pub(super) async fn foresee(
    state: Option<&State>,
    pipeline: &Pipeline,
    known: &[KnownAccount],
    planned: &Plan,
    ask: Ask,
    workers: usize,
    now: Instant,
) -> Result<Foreseen> {
    let experience = Experience::of(state, pipeline, now).await?;
    let mut jobs = lists(state, pipeline, known, planned, ask, now).await?;
    // A unit has whole pages and expects parts of them: what was rounded away is the next one's.
    let mut carry = 0.0;
    for unit in &planned.units {
        jobs.push(experience.job(pipeline, unit, now, &mut carry));
    }
    jobs.retain(|job| job.requests() > 0);
    // What is kept is in real time, whatever `--now` says.
    let moment = chrono::Utc::now();
    let book = known_book(pipeline, state, moment).await?;
    let patience = pipeline.retry.max_wait;
    let crew = Crew { workers, latency: experience.latency, patience };
    let whole = forecast(&book, &jobs, &crew, Moment::from_instant(moment));
    let limits = (0..pipeline.quotas.len()).map(|place| alone(pipeline, place, &book, &jobs, moment)).collect();
    Ok(Foreseen { requests: by_endpoint(&jobs), whole, limits, latency: experience.latency })
}

fn by_endpoint(jobs: &[Job]) -> Vec<(Endpoint, u64)> {
    let mut counts: BTreeMap<Endpoint, u64> = BTreeMap::new();
    for (endpoint, count) in jobs.iter().flat_map(|job| &job.steps) {
        *counts.entry(*endpoint).or_default() += u64::from(*count);
    }
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// What the declared limit at `place` would take if it were the only one, and answers took no time.
fn alone(pipeline: &Pipeline, place: usize, book: &Book, jobs: &[Job], now: Instant) -> LimitForeseen {
    let quota = &pipeline.quotas[place];
    let mut units = 0;
    let mut accounts: HashMap<&str, u64> = HashMap::new();
    for job in jobs {
        let weigh = |(endpoint, count): &(Endpoint, u32)| {
            let counts = quota.endpoints.is_empty() || quota.endpoints.contains(endpoint);
            if counts { u64::from(quota.weights.of(*endpoint)) * u64::from(*count) } else { 0 }
        };
        let needed: u64 = job.steps.iter().map(weigh).sum();
        units += needed;
        for account in &job.accounts {
            *accounts.entry(account).or_default() += needed;
        }
    }
    let busiest = accounts.into_iter().max_by_key(|(id, units)| (*units, std::cmp::Reverse(*id)));
    let busiest = busiest.filter(|_| quota.scope == Scope::Account);
    let crew = Crew { workers: MANY_WORKERS, latency: Duration::ZERO, patience: Duration::MAX };
    let only = book.only(place);
    LimitForeseen {
        name: quota.name.clone(),
        what: format!("{} / {} by {}", quota.units, super::report::span(quota.per), quota.scope.word()),
        units: busiest.map_or(units, |(_, units)| units),
        busiest: busiest.map(|(id, _)| id.to_owned()),
        takes: forecast(&only, jobs, &crew, Moment::from_instant(now)).takes,
    }
}

/// The requests for lists, those that attributes of campaigns alone need among them, without those whose answers are fresh
/// in the cache.
async fn lists(
    state: Option<&State>,
    pipeline: &Pipeline,
    known: &[KnownAccount],
    planned: &Plan,
    ask: Ask,
    now: Instant,
) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    // What accounts are found under is not known before it is asked for: one list, and one request for each after it.
    if let Accounts::Endpoint(rules) = &pipeline.accounts
        && (rules.parents.is_some() || !is_fresh(state, pipeline, &rules.list, Whose::All, now).await?)
    {
        let pages = match (&rules.parents, rules.list.pagination.page_size) {
            (Some(parents), _) => 1 + parents_of(known).div_ceil(parents.per_request.max(1)).max(1),
            (None, 0) => 1,
            (None, size) => known.len().div_ceil(size).max(1),
        };
        let steps = vec![(Endpoint::Accounts, u32::try_from(pages).unwrap_or(u32::MAX))];
        jobs.push(Job { accounts: Vec::new(), lane: Lane::Hourly, steps });
    }
    let Some(campaigns) = &pipeline.campaigns else { return Ok(jobs) };
    let mut seen: BTreeMap<&str, &Account> = BTreeMap::new();
    let needing = planned.units.iter().filter(|unit| needs_campaigns(pipeline, &unit.accounts));
    seen.extend(needing.flat_map(|unit| &unit.accounts).map(|account| (account.id.as_str(), account)));
    let readings = match state {
        Some(state) => state.attribute_readings(&pipeline.name).await?,
        None => HashMap::new(),
    };
    let due = attributes_due(pipeline, &readings, known, ask, now);
    seen.extend(due.into_iter().map(|account| (account.id.as_str(), account)));
    for (id, account) in seen {
        if !is_fresh(state, pipeline, &campaigns.list, Whose::Account(account), now).await? {
            let steps = vec![(Endpoint::Campaigns, 1)];
            jobs.push(Job { accounts: vec![id.to_owned()], lane: Lane::Hourly, steps });
        }
    }
    Ok(jobs)
}

async fn is_fresh(
    state: Option<&State>,
    pipeline: &Pipeline,
    list: &Listing,
    whose: Whose<'_>,
    now: Instant,
) -> Result<bool> {
    let Some(state) = state else { return Ok(false) };
    let request = listing_request(&pipeline.api, list, whose, &PageCursor::first(&list.pagination))?;
    let kept = state.cached_response(&pipeline.name, &cache::key(&request)).await?;
    Ok(kept.is_some_and(|kept| cache::is_fresh(&kept, list.every, now)))
}

/// Under how many parents the known accounts were found.
fn parents_of(known: &[KnownAccount]) -> usize {
    let parents: std::collections::BTreeSet<&str> = known.iter().map(|known| known.account.parent.as_str()).collect();
    parents.len()
}

/// What earlier units and runs say about those to come.
#[derive(Debug, Default)]
struct Experience {
    /// Requests that a unit took; one where nothing has run.
    requests_a_unit: f64,
    /// Rows that an hour of each account had, where units told.
    rows_an_hour: HashMap<String, f64>,
    /// The same over all accounts; nothing where nothing has run.
    mean_rows: Option<f64>,
    sizes: Sizes,
    latency: Duration,
}

impl Experience {
    async fn of(state: Option<&State>, pipeline: &Pipeline, now: Instant) -> Result<Experience> {
        let mut seen = Experience { requests_a_unit: 1.0, latency: LATENCY, ..Experience::default() };
        let Some(state) = state else { return Ok(seen) };
        seen.sizes = state.sizes(&pipeline.name, now).await?;
        let runs = state.last_runs(&pipeline.name, RUNS_LOOKED_AT).await?;
        let latency = runs.iter().find_map(|run| run.summary().and_then(|summary| summary.latency));
        seen.latency = latency.unwrap_or(LATENCY);
        // (rows, hours) of each account; of a batch each account has its share.
        let mut told: HashMap<String, (f64, f64)> = HashMap::new();
        let units = state.published_units(&pipeline.name, UNITS_LOOKED_AT).await?;
        for unit in &units {
            let accounts = &unit.unit.accounts;
            for account in accounts {
                let (rows, hours) = told.entry(account.id.clone()).or_default();
                *rows += unit.rows as f64 / accounts.len() as f64;
                *hours += hours_in(unit.window);
            }
        }
        let (rows, hours) = told.values().fold((0.0, 0.0), |sum, told| (sum.0 + told.0, sum.1 + told.1));
        seen.mean_rows = (hours > 0.0).then(|| rows / hours);
        seen.rows_an_hour =
            told.into_iter().filter(|(_, told)| told.1 > 0.0).map(|(id, told)| (id, told.0 / told.1)).collect();
        if !units.is_empty() {
            let requests: f64 = units.iter().map(|unit| f64::from(unit.requests)).sum();
            seen.requests_a_unit = (requests / units.len() as f64).max(1.0);
        }
        Ok(seen)
    }

    /// The requests of `unit`.
    fn job(&self, pipeline: &Pipeline, unit: &Unit, now: Instant, carry: &mut f64) -> Job {
        let parts = parts(pipeline, unit, &unit.accounts, &self.sizes, false);
        let pages: f64 = parts.iter().map(|part| self.pages(pipeline, &part.accounts, part.window, now)).sum();
        let expected = pages + *carry;
        let pages = whole(expected).max(1);
        *carry = (expected - f64::from(pages)).clamp(-1.0, 1.0);
        let made = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let steps = match pipeline.report {
            None => vec![(Endpoint::Metrics, pages)],
            Some(_) => {
                let polls = whole(self.requests_a_unit).saturating_sub(made.saturating_add(pages)).max(made);
                vec![(Endpoint::Create, made), (Endpoint::Poll, polls), (Endpoint::Download, pages)]
            }
        };
        let accounts = unit.accounts.iter().map(|account| account.id.clone()).collect();
        Job { accounts, lane: unit.lane, steps }
    }

    /// By the rows where pages have a size, else as many as units took so far.
    fn pages(&self, pipeline: &Pipeline, accounts: &[Account], window: Window, now: Instant) -> f64 {
        let paged = pipeline.pagination.page_size > 0 && !uses(&pipeline.request, Placeholder::Campaigns);
        let Some(mean) = self.mean_rows.filter(|_| paged) else {
            return if pipeline.report.is_some() { 1.0 } else { self.requests_a_unit };
        };
        let hours = hours_in(Window::new(window.from(), window.to().min(now)).unwrap_or(window));
        let rate: f64 = accounts.iter().map(|account| self.rows_an_hour.get(&account.id).unwrap_or(&mean)).sum();
        expected_pages(rate * hours, pipeline.pagination.page_size as f64)
    }
}

/// How many pages about `rows` rows fill, on average: near a full page it is one or two with like chances. Rows scatter as
/// counts do, and by two in a hundred at least; the logistic curve stands for the normal one.
fn expected_pages(rows: f64, size: f64) -> f64 {
    let scatter = rows.sqrt().max(rows * 0.02).max(1.0) * 0.55;
    let first = ((rows / size).floor() - 3.0).max(1.0);
    let mut pages = first;
    for full in 0..8 {
        let until = (first + f64::from(full)) * size;
        pages += 1.0 / (1.0 + ((until - rows) / scatter).exp());
    }
    pages
}

/// A number of requests; it is far below 2^32.
fn whole(requests: f64) -> u32 {
    requests.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

fn hours_in(window: Window) -> f64 {
    (window.to() - window.from()).num_minutes() as f64 / 60.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_on_average() {
        let pages = |rows: f64| (expected_pages(rows, 100.0) * 100.0).round() / 100.0;
        assert_eq!((pages(0.0), pages(10.0), pages(50.0)), (1.0, 1.0, 1.0));
        assert_eq!(pages(100.0), 1.5);
        assert_eq!((pages(150.0), pages(1_050.0)), (2.0, 11.0));
        assert_eq!(pages(1_100.0), 11.5);
        assert!((expected_pages(1_000_000.0, 100.0) - 10_000.5).abs() < 2.0);
    }
}
