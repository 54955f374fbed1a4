//! The one loop over attempts: permit, send, classify, read, decide, wait. Nothing else retries anything.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::Fetch;
use crate::classify::{Outcome, Reading, Verdict, classify};
use crate::error::Error;
use crate::http::client::Response;
use crate::http::transport::TransportError;
use crate::quota::Closed;
use crate::request::Request;
use crate::retry::{Decision, Tries, decide};
use crate::secret::mask;
use crate::state::CachedResponse;
use crate::telemetry::Count;
use crate::time::Instant;

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
    /// A wait beyond the pipeline's budget.
    ComeBack { until: Instant, why: String },
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
}

impl Refusal {
    /// What was answered well and cannot be used all the same.
    pub(super) fn unusable(why: impl Into<String>) -> Halt {
        Halt::Refused(Refusal { why: why.into(), attempts: 1, status: None, unauthorized: false, fatal: false })
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
}

/// Who is asking, and for whom.
pub(super) struct Asking<'a> {
    pub(super) request: &'a Request,
    /// Whose quotas a request counts against.
    pub(super) accounts: &'a [String],
    /// Makes the request conditional.
    pub(super) known: Option<&'a CachedResponse>,
    pub(super) stop: &'a CancellationToken,
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
        let mut tries = Tries::default();
        loop {
            self.permit(asking).await?;
            *sent += 1;
            let answer = self.send(asking, tries).await?;
            let mut verdict = self.judge(asking, &answer);
            match (&verdict, answer.as_ref()) {
                (Verdict::NotModified, Ok(response)) => return Ok(Answered::NotModified(response.clone())),
                (Verdict::Ok, Ok(response)) => match read(response) {
                    Ok(value) => return Ok(Answered::Read(value, response.clone())),
                    Err(Unread::Again(why)) => verdict = Verdict::Unreadable { why: self.masked(&why) },
                    Err(Unread::Final(why)) => verdict = Verdict::Fail { fault: None, why: self.masked(&why) },
                },
                _ => {}
            }
            tries = tries.and(&verdict);
            self.act(asking, tries, verdict, &answer).await?;
        }
    }

    /// Waits before the next attempt, or says why there is none.
    async fn act(
        &self,
        asking: &Asking<'_>,
        tries: Tries,
        verdict: Verdict,
        answer: &Result<Response, TransportError>,
    ) -> Result<(), Halt> {
        let decision = decide(&self.pipeline.retry, tries, Duration::ZERO, &verdict, rand::random());
        let status = answer.as_ref().ok().map(|response| response.status);
        let throttled = matches!(verdict, Verdict::Throttled { .. });
        let unauthorized = matches!(verdict, Verdict::Reauthorise { .. });
        let why = reason(verdict);
        tracing::debug!(attempt = tries.total(), status, ?decision, why, "no page");
        if throttled {
            self.meter.add(Count::Throttled, 1);
        }
        match decision {
            Decision::Wait(wait) if throttled => {
                // The gate keeps this worker and all others; the permit of the next attempt waits for it.
                self.quotas.close(tokio::time::Instant::now() + wait, &why);
                Ok(())
            }
            Decision::Wait(wait) => self.pause(wait, why, asking.stop).await,
            Decision::ComeBack(wait) => {
                self.quotas.close(tokio::time::Instant::now() + wait, &why);
                Err(Halt::ComeBack { until: self.after(wait), why })
            }
            // What is to be done besides waiting is given up until this loop knows how.
            Decision::GiveUp | Decision::Reauthorise | Decision::Split | Decision::SkipAccount => {
                let unreachable = answer.as_ref().is_err_and(TransportError::unreachable);
                let fatal = unauthorized || unreachable;
                Err(Halt::Refused(Refusal { why, attempts: tries.total(), status, unauthorized, fatal }))
            }
        }
    }

    fn judge(&self, asking: &Asking<'_>, answer: &Result<Response, TransportError>) -> Verdict {
        let (rules, secrets, now) = (&self.pipeline.responses, self.client.secrets(), self.clock.now());
        let reading = Reading { rules, secrets, now, refusals: 0 };
        match answer {
            Ok(response) => {
                let outcome =
                    Outcome::Answer { status: response.status, headers: &response.headers, body: &response.body };
                match classify(&outcome, &reading) {
                    Verdict::NotModified if asking.known.is_none() => Verdict::Fail {
                        fault: None,
                        why: "HTTP 304, though the request was not conditional".to_owned(),
                    },
                    verdict => verdict,
                }
            }
            Err(error) => {
                let outcome = Outcome::Broken { why: &error.to_string(), may_pass: error.may_pass() };
                classify(&outcome, &reading)
            }
        }
    }

    /// One sending. Stopping gives it a few seconds to end.
    async fn send(&self, asking: &Asking<'_>, tries: Tries) -> Result<Result<Response, TransportError>, Halt> {
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
        let answer = tokio::select! {
            answer = self.client.send(asking.request, asking.known) => answer,
            () = out_of_time => return Err(Halt::Stopped),
        };
        match &answer {
            Ok(response) => {
                self.meter.add(Count::Bytes, response.body.len() as u64);
                tracing::debug!(%request, attempt, status = response.status, bytes = response.body.len(), "answered");
            }
            // Why is told with the decision that follows.
            Err(_) => tracing::debug!(%request, attempt, "no answer"),
        }
        Ok(answer)
    }

    async fn permit(&self, asking: &Asking<'_>) -> Result<(), Halt> {
        let permit = async {
            let mut permit = std::pin::pin!(self.quotas.permit(asking.accounts));
            if let Ok(granted) = tokio::time::timeout(SHOWN_AFTER, &mut permit).await {
                return granted;
            }
            let closed = self.quotas.closed();
            let until = closed.as_ref().map(|closed| self.moment_of(closed));
            let _shown = self.meter.wait(closed.map_or_else(|| "quota".to_owned(), |closed| closed.why), until);
            permit.await
        };
        let granted = tokio::select! {
            biased;
            () = asking.stop.cancelled() => return Err(Halt::Stopped),
            granted = permit => granted,
        };
        granted.map_err(|closed| Halt::ComeBack { until: self.moment_of(&closed), why: closed.why })
    }

    async fn pause(&self, wait: Duration, why: String, stop: &CancellationToken) -> Result<(), Halt> {
        let _shown = self.meter.wait(why, Some(self.after(wait)));
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Halt::Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    fn masked(&self, text: &str) -> String {
        mask(text, self.client.secrets())
    }

    fn moment_of(&self, closed: &Closed) -> Instant {
        self.after(closed.until.saturating_duration_since(tokio::time::Instant::now()))
    }

    fn after(&self, wait: Duration) -> Instant {
        let now = self.clock.now();
        TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(Instant::MAX_UTC)
    }
}

fn reason(verdict: Verdict) -> String {
    match verdict {
        Verdict::Retry { why }
        | Verdict::Unreadable { why }
        | Verdict::Throttled { why, .. }
        | Verdict::Reauthorise { why }
        | Verdict::Split { why }
        | Verdict::SkipAccount { why }
        | Verdict::Fail { why, .. } => why,
        // These two are answers and do not come here.
        Verdict::Ok | Verdict::NotModified | Verdict::Adopt { .. } => String::new(),
    }
}
