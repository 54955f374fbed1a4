//! Quotas: who may send a request, and when. Owns the clock, the queue of those who wait, and what is kept of the use.
//!
//! The arithmetic is [`crate::allowance`]'s. Here is its edge: a request asks for a [`Permit`] and waits; one task, the
//! desk, looks at the book whenever something changed or a moment has come, writes down what it lets go, and only then
//! lets it go. So a permit outlives the process that took it, and a process that is killed has used no more than is
//! written. What was answered is written with the next permits, or a moment later.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::{Notify, oneshot};

use crate::allowance::{Book, Free, Moment, Needs, PermitId, Ticket};
use crate::error::{Error, Result};
use crate::pipeline::{Pipeline, Scope};
use crate::state::{QuotaUse, State};
use crate::time::Instant;
use crate::usage::{Told, Whose};

mod desk;
mod show;

pub use show::{Use, uses};

/// Use that nobody wrote for so long is forgotten: no platform is believed that it wants a longer wait.
const FORGOTTEN_AFTER: chrono::TimeDelta = chrono::TimeDelta::days(32);

/// The limits of one pipeline, shared by all its workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Quotas {
    inner: Arc<Inner>,
}

/// What the workers and the desk share.
#[derive(Debug)]
struct Inner {
    /// The pipeline's name: whose requests under way are whose.
    holder: String,
    clock: Ticker,
    shelf: Mutex<Shelf>,
    /// Something changed that the desk should look at.
    rung: Notify,
}

#[derive(Debug)]
struct Shelf {
    book: Book,
    waiting: HashMap<Ticket, oneshot::Sender<Result<PermitId, Unpermitted>>>,
    used: Used,
    /// Whether a desk is there.
    attended: bool,
    /// Since when something is not written down.
    unwritten: Option<Monotonic>,
}

/// Why a request may not be sent.
#[derive(Debug)]
pub enum Unpermitted {
    /// It would have to wait for longer than the pipeline waits.
    TooLong {
        /// How long.
        wait: Duration,
        /// Why.
        why: String,
    },
    /// What is used cannot be written down.
    Broken(Error),
}

/// A request that may be sent once. Dropped before it was answered, it counts as used.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    id: PermitId,
    open: bool,
}

impl Permit {
    /// The request was answered, or broke after it was sent: the platform counts it no later than now.
    pub fn answered(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, answered: bool) {
        if std::mem::replace(&mut self.open, false) {
            let now = self.inner.clock.now();
            self.inner.shelf().book.settle(self.id, now, answered);
            self.inner.rung.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Quotas {
    /// The limits of `pipeline`, of which nothing is used. What earlier processes used is known after
    /// [`Quotas::open`].
    pub fn new(pipeline: &Pipeline) -> Quotas {
        let shelf = Shelf {
            book: Book::new(&pipeline.name, &pipeline.quotas, pipeline.retry.patience()),
            waiting: HashMap::new(),
            used: Used::default(),
            attended: false,
            unwritten: None,
        };
        Quotas {
            inner: Arc::new(Inner {
                holder: pipeline.name.clone(),
                clock: Ticker::start(),
                shelf: Mutex::new(shelf),
                rung: Notify::new(),
            }),
        }
    }

    /// Goes on with what earlier processes left in `state`, and writes down what is used from now on. Only who holds
    /// the pipeline's lease, or keeps runs of it away, may do so: requests that its earlier processes had under way are taken for lost.
    ///
    /// # Errors
    /// A storage error of the file of quota use.
    pub async fn open(&self, state: &State) -> Result<()> {
        let kept = state.quota_use().await?;
        kept.sweep(self.inner.clock.now().instant() - FORGOTTEN_AFTER).await?;
        self.attend(Some(kept));
        Ok(())
    }

    /// Waits until one request of `needs` may be sent. May be dropped at any time.
    ///
    /// # Errors
    /// [`Unpermitted`].
    pub async fn permit(&self, needs: &Needs) -> Result<Permit, Unpermitted> {
        let (sender, receiver) = oneshot::channel();
        let ticket = {
            let mut shelf = self.inner.shelf();
            let ticket = shelf.book.ask(needs);
            shelf.waiting.insert(ticket, sender);
            ticket
        };
        self.attend(None);
        let guard = Waiting { inner: &self.inner, ticket };
        self.inner.rung.notify_one();
        let told = receiver.await;
        drop(guard);
        match told {
            Ok(Ok(id)) => {
                // Writing it down and waking up took a while: the request is sent no earlier than now.
                self.inner.shelf().book.sends(id, self.inner.clock.now());
                Ok(Permit { inner: self.inner.clone(), id, open: true })
            }
            Ok(Err(unpermitted)) => Err(unpermitted),
            Err(_) => Err(Unpermitted::Broken(Error::internal("the desk that gives permits has gone"))),
        }
    }

    /// Starts the desk where there is none yet.
    fn attend(&self, kept: Option<QuotaUse>) {
        if !std::mem::replace(&mut self.inner.shelf().attended, true) {
            tokio::spawn(desk::attend(Arc::downgrade(&self.inner), kept));
        }
    }

    /// A request of `needs` was refused because of a limit of `scope`: nothing of the same scope goes for `wait`. Never
    /// shortens what was said before.
    pub fn refused(&self, needs: &Needs, scope: Scope, wait: Duration, why: &str) {
        self.inner.shelf().book.refuse(needs, scope, wait, why, self.inner.clock.now());
        self.inner.rung.notify_one();
    }

    /// What an answer told of the limits.
    pub fn told(&self, all: &[Told]) {
        if all.is_empty() {
            return;
        }
        let now = self.inner.clock.now();
        let mut shelf = self.inner.shelf();
        for told in all {
            shelf.book.tell(&told.scope, told.quota.as_deref(), &told.said, now);
        }
        drop(shelf);
        self.inner.rung.notify_one();
    }

    /// How long a request of `needs` would wait if it were alone; `None` where that depends on an answer.
    pub fn wait_of(&self, needs: &Needs) -> Option<Duration> {
        let now = self.inner.clock.now();
        match self.inner.shelf().book.free(needs, now) {
            Free::Now => Some(Duration::ZERO),
            Free::At(at) => Some(at.since(now)),
            Free::OnAnswer => None,
        }
    }

    /// Why a request of `needs` has to wait.
    pub fn why(&self, needs: &Needs) -> String {
        self.inner.shelf().book.why(needs, self.inner.clock.now())
    }

    /// For how long the platform lets nothing of the whole app go, and why.
    pub fn closed(&self) -> Option<(Duration, String)> {
        let now = self.inner.clock.now();
        self.inner.shelf().book.closed(now).map(|closed| (closed.until.since(now), closed.why.clone()))
    }

    /// Permits given in all.
    pub fn granted(&self) -> u64 {
        self.inner.shelf().used.total
    }

    /// Permits given in the last minute.
    pub fn last_minute(&self) -> u32 {
        let mut shelf = self.inner.shelf();
        shelf.used.forget(Monotonic::now());
        shelf.used.seconds.iter().map(|(_, count)| count).sum()
    }

    /// One line for progress: what was declared and what is used of it.
    pub fn describe(&self) -> String {
        let minute = self.last_minute();
        let shelf = self.inner.shelf();
        let declared: Vec<String> = shelf.book.limits().iter().filter_map(show::declared).collect();
        match declared.as_slice() {
            [] => format!("{minute} requests in the last minute"),
            declared => format!("{minute} requests in the last minute ({})", declared.join(", ")),
        }
    }

    /// Where every limit stands.
    pub fn uses(&self) -> Vec<Use> {
        show::uses(&self.inner.shelf().book, self.inner.clock.now())
    }

    /// What the mean answer takes, where there was one.
    pub fn mean_latency(&self) -> Option<Duration> {
        self.inner.shelf().book.latencies().mean()
    }

    /// Writes down what is not yet, as after the last request.
    ///
    /// # Errors
    /// A storage error of the file of quota use.
    pub async fn close(&self, state: &State) -> Result<()> {
        if !self.inner.shelf().book.has_changed() {
            return Ok(());
        }
        desk::write_rest(&self.inner, &state.quota_use().await?).await
    }
}

/// What is known of the use of `pipeline`'s limits, for showing and forecasting.
///
/// # Errors
/// A storage error of the file of quota use.
pub async fn known_book(pipeline: &Pipeline, state: Option<&State>, now: Instant) -> Result<Book> {
    let mut book = Book::new(&pipeline.name, &pipeline.quotas, Duration::MAX);
    let Some(state) = state else { return Ok(book) };
    let Some(kept) = state.quota_use_for_reading().await? else { return Ok(book) };
    let names: Vec<String> = book.limits().iter().map(|limit| limit.name.clone()).collect();
    for tally in kept.all(&names).await? {
        let index = book.limits().iter().position(|limit| limit.name == tally.quota);
        if let (Some(index), Some(whose)) = (index, Whose::parse(&tally.scope)) {
            book.restore(&(index, whose), &tally.kept, "", Moment::from_instant(now));
        }
    }
    Ok(book)
}

/// Forgets what the platform said about `pipeline`'s limits: a person knows that it has been lifted. What was used stays
/// used. A run that is under way goes on with what it knows.
///
/// # Errors
/// A storage error of the file of quota use.
pub async fn forget_said(pipeline: &Pipeline, state: &State, now: Instant) -> Result<()> {
    let mut book = known_book(pipeline, Some(state), now).await?;
    book.forget_said();
    // Nothing is under way here: whatever is, is written as whose it was.
    desk::save(state.quota_use().await?.begin().await?, book.keep(""), Moment::from_instant(now)).await
}

/// A request that waits; dropped, it waits no longer.
struct Waiting<'a> {
    inner: &'a Inner,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut shelf = self.inner.shelf();
        if shelf.waiting.remove(&self.ticket).is_some() {
            shelf.book.forget(self.ticket);
        }
    }
}

impl Inner {
    /// A poisoned lock holds counters that are still right: no code can stop between two halves of a change.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host's clock, read once, and then time that never goes back.
#[derive(Debug, Clone, Copy)]
struct Ticker {
    began: Moment,
    at: Monotonic,
}

impl Ticker {
    fn start() -> Ticker {
        Ticker { began: Moment::from_instant(chrono::Utc::now()), at: Monotonic::now() }
    }

    fn now(&self) -> Moment {
        self.began + self.at.elapsed()
    }
}

/// Permits of the last minute, counted by second.
#[derive(Debug, Default)]
struct Used {
    seconds: VecDeque<(Monotonic, u32)>,
    total: u64,
}

impl Used {
    fn add(&mut self, now: Monotonic) {
        self.total += 1;
        match self.seconds.back_mut() {
            Some((second, count)) if now.duration_since(*second) < Duration::from_secs(1) => *count += 1,
            _ => self.seconds.push_back((now, 1)),
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Monotonic) {
        while self.seconds.front().is_some_and(|(second, _)| now.duration_since(*second) >= Duration::from_secs(60)) {
            self.seconds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
