//! The one loop over attempts: permit, send, classify, read, decide, wait. Nothing else retries anything.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::{Fetch, glance};
use crate::allowance::Needs;
use crate::cassette::{Seen, Tape};
use crate::classify::{Outcome, Reading, Verdict, classify};
use crate::error::Error;
use crate::http::client::{Client, Response};
use crate::http::transport::{TransportError, TransportKind};
use crate::pipeline::{Fault, Scope};
use crate::quota::{Permit, Unpermitted};
use crate::request::Request;
use crate::retry::{Decision, Tries, decide};
use crate::secret::mask;
use crate::state::CachedResponse;
use crate::telemetry::Count;
use crate::time::Instant;
use crate::usage::{self, Told};

/// Shorter waits for a permit are the normal pace and are not shown.
const SHOWN_AFTER: Duration = Duration::from_millis(300);
/// A request under way when the run is stopped may take so long to end.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Why fetching went no further.
#[derive(Debug)]
pub(super) enum Halt {
    /// The platform refused, or could not be reached, for good.
    Refused(Refusal),
    /// Something on this side: the state, a request that cannot be made.
    Broken(Error),
    /// There is no access token: refused, or not to be had.
    NotSignedIn(Error),
    /// A wait beyond the pipeline's budget.
    ComeBack { until: Instant, why: String },
    /// Too much was asked for at once.
    TooMuch { why: String },
    /// The account that was asked for is gone or closed to us.
    Gone { why: String },
    /// The run was asked to stop.
    Stopped,
}

/// A request that failed for good.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) attempts: u32,
    /// The last answer's status, where there was one and its body was not read as a page.
    pub(super) status: Option<u16>,
    pub(super) unauthorized: bool,
    /// No other request of the pipeline can fare better.
    pub(super) fatal: bool,
    /// Whose fault it is, where a rule says so.
    pub(super) fault: Option<Fault>,
    /// What broke, where there was no answer.
    pub(super) broken: Option<TransportKind>,
}

impl Refusal {
    /// What was answered well and cannot be used all the same.
    pub(super) fn unusable(why: impl Into<String>) -> Halt {
        Halt::Refused(Refusal {
            why: why.into(),
            attempts: 1,
            status: None,
            unauthorized: false,
            fatal: false,
            fault: None,
            broken: None,
        })
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Broken(error)
    }
}

/// Why an answer could not be read as what was asked for.
pub(super) enum Unread {
    /// Cut off or not a page at all: ask again.
    Again(String),
    /// It would be the same again.
    Final(String),
}

/// What came of a request.
pub(super) enum Answered<T> {
    /// An answer that was read.
    Read(T, Response),
    /// What is known is still true; the answer without its body.
    NotModified(Response),
    /// What was to be created is there already: its id.
    Adopted(String),
}

/// Who is asking, and for whom.
pub(super) struct Asking<'a> {
    pub(super) request: &'a Request,
    /// What it counts for.
    pub(super) needs: &'a Needs,
    /// Makes the request conditional.
    pub(super) known: Option<&'a CachedResponse>,
    pub(super) stop: &'a CancellationToken,
    /// Where what is asked and answered is recorded.
    pub(super) tape: &'a Tape,
    /// The unit's part, where a page of its rows is asked for.
    pub(super) page_of: Option<u32>,
}

/// A request's attempts so far.
#[derive(Debug, Default)]
struct Attempts {
    tries: Tries,
    /// Since the first sending, waits for quotas not counted.
    elapsed: Duration,
}

/// An attempt and what came of it.
pub(super) struct Attempt {
    pub(super) answer: Result<Response, TransportError>,
    /// What the answer told of the limits.
    pub(super) told: Vec<Told>,
    /// Who signed it.
    pub(super) client: Arc<Client>,
}

impl Fetch {
    /// Sends a request until it is answered well and read, or nothing is to be hoped for. Every sending is counted in
    /// `sent`.
    pub(super) async fn ask<T>(
        &self,
        asking: &Asking<'_>,
        sent: &mut u32,
        mut read: impl FnMut(&Response) -> Result<T, Unread>,
    ) -> Result<Answered<T>, Halt> {
        let mut attempts = Attempts::default();
        loop {
            // Before the permit: fetching a token takes its time.
            self.signed_in(asking.stop).await?;
            let permit = self.permit(asking).await?;
            let began = tokio::time::Instant::now();
            *sent += 1;
            let attempt = self.attempt(asking, attempts.tries, permit).await?;
            let mut verdict = self.judge(asking, &attempt, attempts.tries);
            let mut answered = None;
            match (&verdict, attempt.answer.as_ref()) {
                (Verdict::NotModified, Ok(response)) => answered = Some(Answered::NotModified(response.clone())),
                (Verdict::Adopt { id }, _) => answered = Some(Answered::Adopted(id.clone())),
                (Verdict::Ok, Ok(response)) => match read(response) {
                    Ok(value) => answered = Some(Answered::Read(value, response.clone())),
                    Err(Unread::Again(why)) => verdict = Verdict::Unreadable { why: self.masked(&why) },
                    Err(Unread::Final(why)) => verdict = Verdict::Fail { fault: None, why: self.masked(&why) },
                },
                _ => {}
            }
            record(asking, &attempt, matches!(answered, Some(Answered::Read(..))));
            if let Some(answered) = answered {
                return Ok(answered);
            }
            attempts.tries = attempts.tries.and(&verdict);
            attempts.elapsed += began.elapsed();
            attempts.elapsed += self.act(asking, &attempts, verdict, &attempt).await?;
        }
    }

    /// Does what is to be done before the next attempt and gives how long that took, or says why there is none.
    async fn act(
        &self,
        asking: &Asking<'_>,
        attempts: &Attempts,
        verdict: Verdict,
        attempt: &Attempt,
    ) -> Result<Duration, Halt> {
        let (verdict, scope) = with_told(verdict, &attempt.told);
        let mut decision = decide(&self.pipeline.retry, attempts.tries, attempts.elapsed, &verdict, rand::random());
        if self.glances {
            decision = glance::once(decision, &verdict);
        }
        let status = attempt.answer.as_ref().ok().map(|response| response.status);
        let throttled = matches!(verdict, Verdict::Throttled { .. });
        let why = reason(&verdict);
        tracing::debug!(attempt = attempts.tries.total(), status, ?decision, why, "no page");
        if throttled {
            self.meter.add(Count::Throttled, 1);
        }
        match decision {
            Decision::Wait(wait) if throttled => {
                // The closed scope keeps this worker and all others of it; the next attempt's permit waits for it.
                self.quotas.refused(asking.needs, scope, wait, &why);
                Ok(Duration::ZERO)
            }
            Decision::Wait(wait) => self.pause(wait, why, asking.stop).await.map(|()| wait),
            Decision::ComeBack(wait) => {
                self.quotas.refused(asking.needs, scope, wait, &why);
                Err(Halt::ComeBack { until: self.after(wait), why })
            }
            Decision::Split => Err(Halt::TooMuch { why }),
            Decision::SkipAccount => Err(Halt::Gone { why }),
            Decision::Reauthorise if self.reauthorise(&attempt.client, asking.stop).await? => Ok(Duration::ZERO),
            Decision::Reauthorise | Decision::GiveUp => Err(given_up(&verdict, attempts.tries, attempt, why)),
        }
    }

    /// Signs in again, or reads the credentials anew. Gives whether they are others than `used`.
    pub(super) async fn reauthorise(&self, used: &Arc<Client>, stop: &CancellationToken) -> Result<bool, Halt> {
        if self.fetches_tokens() {
            return self.renew(used.clone(), false, stop).await.map(|_| true);
        }
        let mut current = self.client.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !Arc::ptr_eq(&current, used) {
            // Another worker was told the same and has read them.
            return Ok(true);
        }
        match current.renewed(&self.pipeline.auth)? {
            Some(fresh) => {
                *current = Arc::new(fresh);
                tracing::info!("the credentials were read again");
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn judge(&self, asking: &Asking<'_>, attempt: &Attempt, tries: Tries) -> Verdict {
        let signed = asking.request.signed;
        match &attempt.answer {
            Ok(response) => match self.meaning(response, &attempt.client, tries, signed) {
                Verdict::NotModified if asking.known.is_none() => {
                    let why = "HTTP 304, though the request was not conditional".to_owned();
                    Verdict::Fail { fault: None, why }
                }
                verdict => verdict,
            },
            Err(error) => {
                let outcome = Outcome::Broken { why: &error.to_string(), may_pass: error.may_pass() };
                classify(&outcome, &self.reading(&attempt.client, tries, signed))
            }
        }
    }

    /// What an answer means; of one to an unsigned request, which the platform itself did not give, without the
    /// pipeline's rules.
    pub(super) fn meaning(&self, response: &Response, client: &Client, tries: Tries, signed: bool) -> Verdict {
        let outcome = Outcome::Answer { status: response.status, headers: &response.headers, body: &response.body };
        match classify(&outcome, &self.reading(client, tries, signed)) {
            Verdict::Reauthorise { why } if !signed => Verdict::Fail { fault: None, why },
            verdict => verdict,
        }
    }

    fn reading<'a>(&'a self, client: &'a Client, tries: Tries, signed: bool) -> Reading<'a> {
        let rules = if signed { self.pipeline.responses.as_slice() } else { &[] };
        Reading { rules, secrets: client.secrets(), now: self.clock.now(), refusals: tries.refusals }
    }

    /// One sending. Stopping gives it a few seconds to end.
    async fn attempt(&self, asking: &Asking<'_>, tries: Tries, permit: Permit) -> Result<Attempt, Halt> {
        self.meter.add(Count::Requests, 1);
        if tries.total() > 0 {
            self.meter.add(Count::Retries, 1);
        }
        let (request, attempt) = (asking.request.redacted_url(), tries.total() + 1);
        tracing::trace!(%request, attempt, "sending");
        let out_of_time = async {
            asking.stop.cancelled().await;
            tokio::time::sleep(LAST_GRACE).await;
        };
        // Another one than before the permit only where the wait for that was longer than the token holds.
        let client = self.signed_in(asking.stop).await?;
        let answer = tokio::select! {
            answer = client.send(asking.request, asking.known, || permit.answered()) => answer,
            () = out_of_time => return Err(Halt::Stopped),
        };
        let mut told = Vec::new();
        match &answer {
            Ok(response) => {
                self.meter.add(Count::Bytes, response.body.len() as u64);
                tracing::debug!(%request, attempt, status = response.status, bytes = response.body.len(), "answered");
                let (accounts, endpoint) = (&asking.needs.accounts, asking.needs.endpoint);
                told = usage::read(&self.usage, &response.headers, accounts, endpoint, self.clock.now());
                self.quotas.told(&told);
            }
            // Why is told with the decision that follows.
            Err(_) => tracing::debug!(%request, attempt, "no answer"),
        }
        Ok(Attempt { answer, told, client })
    }

    async fn permit(&self, asking: &Asking<'_>) -> Result<Permit, Halt> {
        let permit = async {
            let mut permit = std::pin::pin!(self.quotas.permit(asking.needs));
            if let Ok(granted) = tokio::time::timeout(SHOWN_AFTER, &mut permit).await {
                return granted;
            }
            let closed = self.quotas.closed();
            let until = closed.as_ref().map(|(wait, _)| self.after(*wait));
            let _shown = self.meter.wait(closed.map_or_else(|| "quota".to_owned(), |(_, why)| why), until);
            permit.await
        };
        let granted = tokio::select! {
            biased;
            () = asking.stop.cancelled() => return Err(Halt::Stopped),
            granted = permit => granted,
        };
        granted.map_err(|unpermitted| match unpermitted {
            Unpermitted::TooLong { wait, why } => Halt::ComeBack { until: self.after(wait), why },
            Unpermitted::Broken(error) => Halt::Broken(error),
        })
    }

    pub(super) async fn pause(&self, wait: Duration, why: String, stop: &CancellationToken) -> Result<(), Halt> {
        let _shown = self.meter.wait(why, Some(self.after(wait)));
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Halt::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    pub(super) fn masked(&self, text: &str) -> String {
        mask(text, self.client().secrets())
    }

    /// The moment in `wait` from now.
    pub(crate) fn after(&self, wait: Duration) -> Instant {
        let now = self.clock.now();
        TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(Instant::MAX_UTC)
    }
}

fn record(asking: &Asking<'_>, attempt: &Attempt, read: bool) {
    if !asking.tape.is_on() {
        return;
    }
    let why = attempt.answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
    asking.tape.exchange(&Seen {
        endpoint: asking.needs.endpoint,
        request: asking.request,
        answer: attempt.answer.as_ref().map_err(|_| why.as_str()),
        client: &attempt.client,
        part: asking.page_of,
        taken: read && asking.page_of.is_some(),
    });
}

/// A refusal with what the headers told besides: whose limit it was, and the longest of the waits.
pub(super) fn with_told(verdict: Verdict, told: &[Told]) -> (Verdict, Scope) {
    let Verdict::Throttled { wait, scope, why } = verdict else { return (verdict, Scope::App) };
    let full = |told: &&Told| {
        let said = &told.said;
        // A wait beside what is left is when the limit is whole again; a wait without it is one to be kept.
        let waits = said.remaining.is_none() && said.wait.is_some_and(|wait| !wait.is_zero());
        said.remaining == Some(0) || said.percent.is_some_and(|percent| percent >= 100.0) || waits
    };
    let full: Vec<&Told> = told.iter().filter(full).collect();
    // The widest of the scopes that are full; the app where nothing tells, because that is the safe guess.
    let guessed = full.iter().map(|told| told.scope.scope()).min().unwrap_or(Scope::App);
    let scope = scope.unwrap_or(guessed);
    let of_scope = full.iter().filter(|told| told.scope.scope() == scope);
    let told_wait = of_scope.filter_map(|told| told.said.wait).max();
    (Verdict::Throttled { wait: wait.max(told_wait), scope: Some(scope), why }, scope)
}

pub(super) fn given_up(verdict: &Verdict, tries: Tries, attempt: &Attempt, why: String) -> Halt {
    let unauthorized = matches!(verdict, Verdict::Reauthorise { .. });
    let unreachable = attempt.answer.as_ref().is_err_and(TransportError::unreachable);
    let fault = match verdict {
        Verdict::Fail { fault, .. } => *fault,
        _ => None,
    };
    Halt::Refused(Refusal {
        why,
        attempts: tries.total(),
        status: attempt.answer.as_ref().ok().map(|response| response.status),
        unauthorized,
        fatal: unauthorized || unreachable || fault == Some(Fault::Config),
        fault,
        broken: attempt.answer.as_ref().err().map(|error| error.kind),
    })
}

pub(super) fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Retry { why }
        | Verdict::Unreadable { why }
        | Verdict::Throttled { why, .. }
        | Verdict::Reauthorise { why }
        | Verdict::Split { why }
        | Verdict::SkipAccount { why }
        | Verdict::Fail { why, .. } => why.clone(),
        // These are answers and do not come here.
        Verdict::Ok | Verdict::NotModified | Verdict::Adopt { .. } => String::new(),
    }
}
