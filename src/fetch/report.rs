//! Requests that create something: each is written down with its key before it is first sent, so that every retry and
//! every later run sends the same key, and what was made is taken up rather than made again.

use std::time::Duration;

use super::Fetch;
use super::parts::Part;
use super::read::{Cut, Gathered, Reading};
use super::send::{Answered, Halt, Refusal, Unread};
use crate::body::document;
use crate::http::client::Response;
use crate::page::PageCursor;
use crate::pipeline::{Endpoint, JsonPath, Poll, Report, ReportRows};
use crate::request::{Request, body_hash, download_request, metrics_request, poll_request, rows_request, with_key};
use crate::state::Creation;
use crate::unit::Unit;
use crate::usage::text_of;

/// So many reports are made for a part before its unit fails: platforms let some of them fail.
const ROUNDS: u32 = 3;

/// How a report ended.
enum Ended {
    /// It can be read; with the URL of its rows, where the answer names one.
    Done { url: Option<String> },
    /// It will never be done.
    Lost(String),
}

impl Fetch {
    /// What the parts create, written down; nothing where reading creates nothing.
    pub(super) async fn creations_of(&self, unit: &Unit, parts: &[Part]) -> Result<Vec<Creation>, Halt> {
        let mut creations = Vec::new();
        if self.pipeline.report.is_some() {
            for part in parts {
                creations.push(self.begin(unit, part.number, &self.creating(part)?).await?);
            }
        }
        Ok(creations)
    }

    /// The request that makes a part's report.
    fn creating(&self, part: &Part) -> Result<Request, Halt> {
        let first = PageCursor::first(&self.pipeline.pagination);
        Ok(metrics_request(&self.pipeline, &part.accounts, self.asked_of(part), None, &first)?)
    }

    async fn begin(&self, unit: &Unit, part: u32, request: &Request) -> Result<Creation, Halt> {
        let lease = self.leased()?;
        Ok(self.state.begin_creation(lease, unit, part, body_hash(request), self.clock.now()).await?)
    }

    /// `request` with its key, where sending it twice would do something twice.
    pub(super) async fn keyed(&self, reading: &Reading<'_>, request: Request) -> Result<Request, Halt> {
        let Some(place) = self.pipeline.request.creates.as_ref().filter(|_| self.pipeline.report.is_none()) else {
            return Ok(request);
        };
        // By what is asked for and not by its place: parts, chunks and pages may come in another number the next time.
        // Two requests of a unit with the same number would only take each other's place, and get other keys.
        let [_, _, _, _, number @ ..] = body_hash(&request).to_be_bytes();
        let creation = self.begin(reading.unit, u32::from_be_bytes(number), &request).await?;
        Ok(with_key(request, place, &creation.key))
    }

    /// Has the part's report made, waits for it and reads its rows.
    pub(super) async fn read_report(
        &self,
        reading: &Reading<'_>,
        begun: &Creation,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<(), Cut> {
        let Some(report) = &self.pipeline.report else { return Ok(()) };
        let mut creation = begun.clone();
        let mut rounds = 1;
        loop {
            let id = match &creation.made {
                Some(id) => id.clone(),
                None => self.make(reading, report, &creation, sent).await?,
            };
            let ended = match self.wait_for(reading, report, &id, sent).await? {
                Ended::Done { url } => match &report.rows {
                    ReportRows::Endpoint { .. } => self.rows_of(reading, &id, sent, gathered).await?,
                    ReportRows::Url(_) => self.rows_at(reading, report, &id, url, sent, gathered).await?,
                },
                lost => lost,
            };
            let Ended::Lost(why) = ended else { return Ok(()) };
            let (lease, now) = (self.leased().map_err(Halt::from)?, self.clock.now());
            let given_up =
                self.state.give_up_creation(lease, &reading.unit.key, creation.part, creation.round, &why, now);
            given_up.await.map_err(Halt::from)?;
            if rounds == ROUNDS {
                return Err(Refusal::unusable(format!("{why}: {ROUNDS} reports were made in vain")).into());
            }
            rounds += 1;
            tracing::warn!(report = id, "the report is made anew: {why}");
            creation = self.begin(reading.unit, reading.part.number, &self.creating(reading.part)?).await?;
        }
    }

    /// Sends the creating request and remembers what it made.
    async fn make(
        &self,
        reading: &Reading<'_>,
        report: &Report,
        creation: &Creation,
        sent: &mut u32,
    ) -> Result<String, Cut> {
        let request = self.creating(reading.part)?;
        let request = match &self.pipeline.request.creates {
            Some(place) => with_key(request, place, &creation.key),
            None => request,
        };
        let needs = self.needs(reading, Endpoint::Create);
        let asking = reading.asking(&request, &needs, None);
        let answered =
            self.ask(&asking, sent, |response| text_at(&report.id, response, self.pipeline.api.max_body)).await;
        let id = match answered {
            Ok(Answered::Read(id, _) | Answered::Adopted(id)) => id,
            Ok(Answered::NotModified(_)) => return Err(Refusal::unusable("HTTP 304 without a condition").into()),
            Err(halt) => return Err(Cut::of(reading.part, 0, halt)),
        };
        let lease = self.leased().map_err(Halt::from)?;
        let unit = &reading.unit.key;
        let adopted =
            self.state.adopt_creation(lease, unit, creation.part, creation.round, &id, self.clock.now()).await;
        adopted.map_err(Halt::from)?;
        Ok(id)
    }

    /// Asks after the report until it is done or lost.
    async fn wait_for(&self, reading: &Reading<'_>, report: &Report, id: &str, sent: &mut u32) -> Result<Ended, Cut> {
        let poll = &report.poll;
        let request = poll_request(&self.pipeline, &reading.part.accounts, id).map_err(Halt::from)?;
        let needs = self.needs(reading, Endpoint::Poll);
        let began = tokio::time::Instant::now();
        let mut wait = poll.every;
        loop {
            let asking = reading.asking(&request, &needs, None);
            let most = self.pipeline.api.max_body;
            let (status, url) = match self.ask(&asking, sent, |response| standing(report, response, most)).await {
                Ok(Answered::Read(standing, _)) => standing,
                Ok(Answered::NotModified(_)) => return Err(Refusal::unusable("HTTP 304 without a condition").into()),
                Ok(Answered::Adopted(_)) => return Err(Refusal::unusable("a report's status cannot be adopted").into()),
                Err(halt) => return is_lost(halt, id).map_err(|halt| Cut::of(reading.part, 0, halt)),
            };
            if let Some(ended) = ended(poll, &status, url, id) {
                return Ok(ended);
            }
            if began.elapsed() > poll.patience {
                let waited = humantime::format_duration(poll.patience);
                return Ok(Ended::Lost(format!("report {id} is {status} after {waited}")));
            }
            self.pause(wait, format!("report {id} is {status}"), reading.stop).await?;
            wait = next_wait(poll.cap, wait);
        }
    }

    /// Reads the rows at the URL that the platform gave. Such URLs live for minutes: an expired one is asked for anew, once.
    async fn rows_at(
        &self,
        reading: &Reading<'_>,
        report: &Report,
        id: &str,
        url: Option<String>,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<Ended, Cut> {
        let mut url = url;
        let mut asked_again = false;
        loop {
            // A report over nothing has no file.
            let Some(at) = &url else { return Ok(Ended::Done { url: None }) };
            let make = |_: &PageCursor| download_request(&self.pipeline, at);
            let (mark, tape_mark) = (gathered.mark(), reading.tape.mark());
            let why = match self.read_pages(reading, Endpoint::Download, make, sent, gathered).await {
                Ok(()) => return Ok(Ended::Done { url: None }),
                Err(Cut::Halted(Halt::Refused(Refusal { status: Some(401 | 403 | 404 | 410), why, .. }))) => why,
                Err(cut) => return Err(cut),
            };
            gathered.back_to(&mark);
            reading.tape.back_to(tape_mark);
            if asked_again {
                return Ok(Ended::Lost(format!("the rows of report {id}: {why}")));
            }
            asked_again = true;
            match self.wait_for(reading, report, id, sent).await? {
                Ended::Done { url: fresh } => url = fresh,
                lost => return Ok(lost),
            }
        }
    }

    async fn rows_of(
        &self,
        reading: &Reading<'_>,
        id: &str,
        sent: &mut u32,
        gathered: &mut Gathered,
    ) -> Result<Ended, Cut> {
        let make = |page: &PageCursor| rows_request(&self.pipeline, &reading.part.accounts, id, page);
        let (mark, tape_mark) = (gathered.mark(), reading.tape.mark());
        match self.read_pages(reading, Endpoint::Download, make, sent, gathered).await {
            Ok(()) => Ok(Ended::Done { url: None }),
            Err(Cut::Halted(halt)) => {
                let lost = is_lost(halt, id).map_err(|halt| Cut::of(reading.part, 0, halt))?;
                // Pages of a report that is gone and pages of its successor do not belong together.
                gathered.back_to(&mark);
                reading.tape.back_to(tape_mark);
                Ok(lost)
            }
            Err(cut) => Err(cut),
        }
    }
}

/// Where a report stands: its status, and the URL of its rows where there is one.
fn standing(report: &Report, response: &Response, most: u64) -> Result<(String, Option<String>), Unread> {
    let status = text_at(&report.poll.status, response, most)?;
    let url = match &report.rows {
        ReportRows::Endpoint { .. } => None,
        ReportRows::Url(place) => text_at(place, response, most).ok().filter(|url| !url.is_empty()),
    };
    Ok((status, url))
}

/// What a status says; nothing while the report is being made.
fn ended(poll: &Poll, status: &str, url: Option<String>, id: &str) -> Option<Ended> {
    let is = |words: &[String]| words.iter().any(|word| word == status);
    if is(&poll.done) {
        Some(Ended::Done { url })
    } else if is(&poll.failed) {
        Some(Ended::Lost(format!("report {id} is {status}")))
    } else {
        None
    }
}

/// The wait after `wait`: longer by half, and never longer than `cap`.
pub(super) fn next_wait(cap: Duration, wait: Duration) -> Duration {
    wait.saturating_add(wait / 2).min(cap)
}

/// A report that the platform does not know any more is lost; everything else is as it is.
fn is_lost(halt: Halt, id: &str) -> Result<Ended, Halt> {
    match halt {
        Halt::Refused(Refusal { status: Some(404 | 409 | 410), why, .. }) => {
            Ok(Ended::Lost(format!("report {id}: {why}")))
        }
        halt => Err(halt),
    }
}

fn text_at(path: &JsonPath, response: &Response, most: u64) -> Result<String, Unread> {
    let document =
        document(&response.body, most).map_err(|error| Unread::Again(format!("the answer is not JSON: {error}")))?;
    let text = path.values_in(&document).into_iter().find_map(text_of);
    text.ok_or_else(|| Unread::Again(format!("the answer has nothing at `{path}`")))
}
