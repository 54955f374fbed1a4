//! Signing in: an access token when it is first needed, before it ends, and after the platform accepts it no longer.
//!
//! One worker fetches it and the others wait for that. A token request has the retries of any other request, and none
//! around them; when they are used up, or the refusal is final, the run has no token and nobody asks again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::Fetch;
use super::send::{Halt, reason};
use crate::error::{Error, ErrorKind, Result};
use crate::http::client::{Client, TokenState};
use crate::http::kept::Kept;
use crate::http::oauth2::{Fault, Granted, TokenAnswer, TokenDesk, TokenRequest};
use crate::pipeline::{Api, Auth, Grant};
use crate::retry::{Decision, Tries, decide};
use crate::secret::{Secret, SecretSource};
use crate::time::{Clock, Instant};

mod words;

pub(super) use words::credentials_hint;

use words::{dead_token, no_token, refused};

/// A token request under way when the run is stopped may take so long to end: what it brings cannot be had twice.
const LAST_GRACE: Duration = Duration::from_secs(20);
/// How often it is looked whether another process has let go of the kept refresh token.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A token that could not be renewed ahead of its end is used on, and renewed no earlier than after this.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(30);

/// The way to access tokens, shared by all workers of a run.
#[derive(Debug, Default)]
pub(super) struct SignIn {
    /// Where tokens are asked for; nowhere where requests are signed otherwise.
    desk: Option<TokenDesk>,
    /// Held by the worker that asks.
    turn: tokio::sync::Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The refresh token that came in the place of the declared one, where no file keeps it.
    rotated: Option<Secret>,
    /// Why there is no token, once and for all.
    failed: Option<Trouble>,
    /// A token that still holds is not renewed before.
    not_before: Option<Instant>,
}

/// Why there is no access token.
#[derive(Debug, Clone)]
enum Trouble {
    /// It was refused, or could not be asked for.
    Failed { kind: ErrorKind, message: String, hint: String },
    /// A wait beyond the pipeline's budget.
    ComeBack { until: Instant, why: String },
    /// The refresh token is not accepted.
    Spent { why: String },
    /// The run was asked to stop.
    Stopped,
}

impl Trouble {
    fn halt(self) -> Halt {
        match self {
            Trouble::Failed { kind: ErrorKind::Platform, message, hint } => {
                Halt::NotSignedIn(Error::platform(message).hint(hint))
            }
            Trouble::Failed { kind, message, hint } => Halt::Broken(Error::new(kind, message).hint(hint)),
            Trouble::ComeBack { until, why } => Halt::ComeBack { until, why },
            // Told in full by who knows which token it was.
            Trouble::Spent { why } => Halt::NotSignedIn(Error::platform(why)),
            Trouble::Stopped => Halt::Stopped,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        let hint = error.hint_text().unwrap_or_default().to_owned();
        let report = error.report();
        let message = report.split("\n  hint: ").next().unwrap_or_default().to_owned();
        Trouble::Failed { kind: error.kind(), message, hint }
    }
}

/// A token and the secrets that were sent for it.
struct Obtained {
    granted: Granted,
    secrets: Vec<Secret>,
    asked_at: Instant,
}

impl SignIn {
    /// For `auth`; makes the connections, where tokens are to be asked for.
    pub(super) fn new(api: &Api, auth: &Auth, clock: Clock) -> Result<SignIn> {
        let desk = match auth {
            Auth::OAuth2(rules) => Some(TokenDesk::new(api, rules, clock)?),
            _ => None,
        };
        Ok(SignIn { desk, turn: tokio::sync::Mutex::default() })
    }
}

impl Fetch {
    /// The client, signed in.
    pub(super) async fn signed_in(&self, stop: &CancellationToken) -> Result<Arc<Client>, Halt> {
        let client = self.client();
        match client.token_state(self.clock.now()) {
            TokenState::Good => Ok(client),
            TokenState::Ending => self.renew(client, true, stop).await,
            TokenState::Gone => self.renew(client, false, stop).await,
        }
    }

    /// Whether requests are signed with tokens that can be renewed.
    pub(super) fn fetches_tokens(&self) -> bool {
        self.sign_in.desk.is_some()
    }

    /// A client with another token than `used`. Where that one `holds` still, nobody waits for another and a failure is
    /// only told.
    pub(super) async fn renew(
        &self,
        used: Arc<Client>,
        holds: bool,
        stop: &CancellationToken,
    ) -> Result<Arc<Client>, Halt> {
        let Some(desk) = &self.sign_in.desk else { return Ok(used) };
        let mut memory = match self.sign_in.turn.try_lock() {
            Ok(memory) => memory,
            Err(_) if holds => return Ok(used),
            Err(_) => tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Halt::Stopped),
                memory = self.sign_in.turn.lock() => memory,
            },
        };
        let current = self.client();
        if !Arc::ptr_eq(&current, &used) {
            // Another worker has renewed it meanwhile.
            return Ok(current);
        }
        if let Some(trouble) = &memory.failed {
            return Err(trouble.clone().halt());
        }
        if holds && memory.not_before.is_some_and(|moment| self.clock.now() < moment) {
            return Ok(current);
        }
        match self.obtain(desk, &mut memory, holds, stop).await {
            Ok(obtained) => self.take(desk, &current, &obtained),
            Err(Trouble::Failed { message, .. }) if holds => {
                tracing::warn!("the access token holds still and is not renewed yet: {message}");
                memory.not_before = Some(self.clock.now() + AGAIN_AFTER);
                Ok(current)
            }
            Err(Trouble::ComeBack { until, .. }) if holds => {
                memory.not_before = Some(until);
                Ok(current)
            }
            Err(trouble) => {
                if !matches!(trouble, Trouble::Stopped) {
                    memory.failed = Some(trouble.clone());
                }
                Err(trouble.halt())
            }
        }
    }

    /// From now on all workers use the new token.
    fn take(&self, desk: &TokenDesk, current: &Client, obtained: &Obtained) -> Result<Arc<Client>, Halt> {
        let Obtained { granted, secrets, asked_at } = obtained;
        let fresh = Arc::new(current.with_token(granted, secrets, *asked_at, desk.rules())?);
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        let seconds = granted.lifetime.map(|lifetime| lifetime.as_secs());
        tracing::info!(endpoint = desk.place(), seconds, "signed in");
        Ok(fresh)
    }

    async fn obtain(
        &self,
        desk: &TokenDesk,
        memory: &mut Memory,
        once: bool,
        stop: &CancellationToken,
    ) -> Result<Obtained, Trouble> {
        let Grant::RefreshToken { token: source, keep } = &desk.rules().grant else {
            return self.ask_desk(desk, None, None, once, stop).await;
        };
        let kept = match keep {
            Some(path) => Some(self.hold(path, stop).await?),
            None => None,
        };
        let newer = match &kept {
            Some(kept) => lock(kept).read()?,
            None => memory.rotated.clone(),
        };
        let (spent, answer) = match newer {
            None => {
                let given = source.resolve()?;
                let answer = self.ask_desk(desk, Some(&given), kept.as_ref(), once, stop).await;
                (given, answer)
            }
            Some(newer) => {
                let answer = self.ask_desk(desk, Some(&newer), kept.as_ref(), once, stop).await;
                match (answer, source.resolve()) {
                    // Whoever signs in anew puts the token where it always was.
                    (Err(Trouble::Spent { why }), Ok(given)) if given.expose() != newer.expose() => {
                        tracing::warn!(
                            "the newer refresh token is not accepted, the one of `{source}` is tried: {why}"
                        );
                        let answer = self.ask_desk(desk, Some(&given), kept.as_ref(), once, stop).await;
                        (given, answer)
                    }
                    (answer, _) => (newer, answer),
                }
            }
        };
        let obtained = answer.map_err(|trouble| match trouble {
            Trouble::Spent { why } => dead_token(desk, source, keep.as_deref(), &why),
            other => other,
        })?;
        if keep.is_none() {
            note_rotation(memory, &spent, obtained.granted.refresh.as_ref(), source);
        }
        Ok(obtained)
    }

    /// Waits until no other process holds the kept refresh token.
    async fn hold(&self, path: &Path, stop: &CancellationToken) -> Result<Held, Trouble> {
        loop {
            let path = path.to_owned();
            if let Some(kept) = blocking(move || Kept::open(&path)).await? {
                return Ok(Arc::new(Mutex::new(kept)));
            }
            let why = "another process renews the refresh token".to_owned();
            self.pause(LOOK_EVERY, why, stop).await.map_err(|_| Trouble::Stopped)?;
        }
    }

    /// The one loop over attempts at a token; only one of them where it is asked for `once`.
    async fn ask_desk(
        &self,
        desk: &TokenDesk,
        spent: Option<&Secret>,
        kept: Option<&Held>,
        once: bool,
        stop: &CancellationToken,
    ) -> Result<Obtained, Trouble> {
        let request = Arc::new(desk.request(spent, self.client().secrets())?);
        let (mut tries, mut elapsed) = (Tries::default(), Duration::ZERO);
        loop {
            let (began, asked_at) = (tokio::time::Instant::now(), self.clock.now());
            let sending = exchange(request.clone(), spent.cloned(), kept.cloned(), self.clock);
            let out_of_time = async {
                stop.cancelled().await;
                tokio::time::sleep(LAST_GRACE).await;
            };
            // In a task of its own: whoever waits for it may go away, and what it brings is kept all the same.
            let answer = tokio::select! {
                answer = tokio::spawn(sending) => answer.map_err(|error| {
                    Error::internal("a token request was cut off").because(error)
                })??,
                () = out_of_time => return Err(Trouble::Stopped),
            };
            let verdict = match answer {
                TokenAnswer::Granted(granted) => {
                    return Ok(Obtained { granted, secrets: request.secrets().to_vec(), asked_at });
                }
                TokenAnswer::Refused { fault: Fault::Grant, why } if spent.is_some() => {
                    return Err(Trouble::Spent { why });
                }
                TokenAnswer::Refused { fault, why } => return Err(refused(desk, fault, &why)),
                TokenAnswer::NoToken(verdict) => verdict,
            };
            tries = tries.and(&verdict);
            elapsed += began.elapsed();
            let why = reason(&verdict);
            tracing::warn!(endpoint = desk.place(), attempt = tries.total(), "no access token: {why}");
            match decide(&self.pipeline.retry, tries, elapsed, &verdict, rand::random()) {
                Decision::Wait(wait) if !once => {
                    self.pause(wait, why, stop).await.map_err(|_| Trouble::Stopped)?;
                    elapsed += wait;
                }
                Decision::ComeBack(wait) => return Err(Trouble::ComeBack { until: self.after(wait), why }),
                _ => return Err(no_token(desk, &verdict, tries)),
            }
        }
    }
}

type Held = Arc<Mutex<Kept>>;

fn lock(kept: &Held) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One sending, and the keeping of the refresh token that it brings before anybody can use the access token.
async fn exchange(
    request: Arc<TokenRequest>,
    spent: Option<Secret>,
    kept: Option<Held>,
    clock: Clock,
) -> Result<TokenAnswer> {
    let answer = request.send().await;
    let answer = request.read(&answer, clock.now());
    if let (TokenAnswer::Granted(granted), Some(spent), Some(kept)) = (&answer, spent, kept) {
        let newest = granted.refresh.clone().unwrap_or_else(|| spent.clone());
        let rotated = newest.expose() != spent.expose();
        blocking(move || {
            let mut kept = lock(&kept);
            let stands = match kept.read()? {
                Some(stored) => stored.expose() == newest.expose(),
                None => !rotated,
            };
            if stands { Ok(()) } else { kept.write(&newest) }
        })
        .await?;
        if rotated {
            tracing::info!("the new refresh token is kept");
        }
    }
    Ok(answer)
}

/// Remembers a new refresh token for the rest of the run, where no file is named for it.
fn note_rotation(memory: &mut Memory, spent: &Secret, brought: Option<&Secret>, source: &SecretSource) {
    match brought.filter(|brought| brought.expose() != spent.expose()) {
        Some(new) => {
            if memory.rotated.is_none() {
                tracing::warn!(
                    "the platform gave a new refresh token in the place of `{source}`, and no file is named to keep it \
                     (`auth.keep`): the next run may be refused"
                );
            }
            memory.rotated = Some(new.clone());
        }
        None => memory.rotated = memory.rotated.take().filter(|rotated| rotated.expose() == spent.expose()),
    }
}

/// Files are not waited for on the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("work on a kept refresh token was cut off").because(error)),
    }
}
