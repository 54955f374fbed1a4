//! The desk: one task that looks at the book, writes down whom it lets go, and then lets them go.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant as Monotonic};

use super::{Inner, Shelf, Unpermitted};
use crate::allowance::book::{Decided, TallyKey};
use crate::allowance::{Moment, PermitId, Ticket};
use crate::error::{Error, Result};
use crate::state::{QuotaTurn, QuotaUse};
use crate::usage::Whose;

/// What was answered is written down after this long at the latest.
const WRITTEN_AFTER: Duration = Duration::from_millis(500);
/// How often the desk looks whether others freed something of a shared limit.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What was decided for those who wait.
type Decisions = Vec<(Ticket, Result<PermitId, Unpermitted>)>;

/// Works until nobody can ask any more.
pub(super) async fn attend(inner: Weak<Inner>, kept: Option<QuotaUse>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        if let Err(error) = turn(&strong, kept.as_ref()).await {
            refuse_all(&strong, &error);
        }
        let sleep = pause(&strong);
        // Held for no longer than this, so that the last owner's going ends this task.
        tokio::select! {
            () = strong.rung.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// How long nothing can be done, unless somebody rings.
fn pause(inner: &Inner) -> Duration {
    let shelf = inner.shelf();
    let now = inner.clock.now();
    let mut pause = WRITTEN_AFTER;
    if let Some(at) = shelf.book.next() {
        pause = pause.min(at.since(now));
    }
    let shared = shelf.book.limits().iter().any(|limit| limit.shared);
    if shared && shelf.book.waiting() > 0 {
        pause = pause.min(LOOK_EVERY);
    }
    pause
}

async fn turn(inner: &Arc<Inner>, kept: Option<&QuotaUse>) -> Result<()> {
    let Some(kept) = kept else {
        let decisions = decide(&mut inner.shelf(), inner.clock.now());
        deliver(inner, decisions);
        return Ok(());
    };
    let others = shared_waits(inner) && kept.changed().await?;
    let Some(needed) = reason_to_write(inner, others) else { return Ok(()) };
    let mut turn = kept.begin().await?;
    let mut needed = needed;
    let (decisions, changes) = loop {
        read(inner, &mut turn, needed).await?;
        let mut shelf = inner.shelf();
        // Who began to wait while that was read may need a tally whose use is not known yet.
        needed = shelf.book.unrestored();
        if needed.is_empty() {
            let decisions = decide(&mut shelf, inner.clock.now());
            shelf.unwritten = None;
            break (decisions, shelf.book.keep(&inner.holder));
        }
    };
    if let Err(error) = save(turn, changes, inner.clock.now()).await {
        take_back(inner, decisions, &error);
        return Err(error);
    }
    deliver(inner, decisions);
    Ok(())
}

/// Whether somebody waits who may need a limit that others draw from too.
fn shared_waits(inner: &Inner) -> bool {
    let shelf = inner.shelf();
    shelf.book.waiting() > 0 && shelf.book.limits().iter().any(|limit| limit.shared)
}

/// Reads what was kept of `needed`, and again what others may have changed.
async fn read(inner: &Inner, turn: &mut QuotaTurn, needed: HashSet<TallyKey>) -> Result<()> {
    let mut wanted: HashMap<usize, Vec<Whose>> = HashMap::new();
    let mut names = HashMap::new();
    {
        let shelf = inner.shelf();
        let again = if turn.others_wrote() { shelf.book.shared() } else { Vec::new() };
        for (index, whose) in needed.iter().cloned().chain(again) {
            names.insert(index, shelf.book.limits()[index].name.clone());
            wanted.entry(index).or_default().push(whose);
        }
    }
    for (index, scopes) in wanted {
        let texts: Vec<String> = scopes.iter().map(Whose::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for tally in turn.load(&names[&index], &texts).await? {
            if let Some(whose) = Whose::parse(&tally.scope) {
                let now = inner.clock.now();
                inner.shelf().book.restore(&(index, whose), &tally.kept, &inner.holder, now);
            }
        }
    }
    let mut shelf = inner.shelf();
    for key in &needed {
        shelf.book.set_restored(key);
    }
    Ok(())
}

/// What must be read for a turn, where there is reason for one: somebody may go or must be told, something was never
/// read, `others` changed something, or an answer has waited for long to be written down.
fn reason_to_write(inner: &Inner, others: bool) -> Option<HashSet<TallyKey>> {
    let mut shelf = inner.shelf();
    let now = inner.clock.now();
    let needed = shelf.book.unrestored();
    let since = shelf.book.has_changed().then(|| *shelf.unwritten.get_or_insert_with(Monotonic::now));
    let late = since.is_some_and(|since| since.elapsed() >= WRITTEN_AFTER);
    if others || late || !needed.is_empty() || shelf.book.is_due(now) {
        return Some(needed);
    }
    // Nobody goes, as nobody is due; but it must be known when the first one will be.
    let nobody = shelf.book.decide(now);
    debug_assert!(nobody.is_empty(), "nobody was due");
    None
}

fn decide(shelf: &mut Shelf, now: Moment) -> Decisions {
    let mut decisions = Vec::new();
    for decided in shelf.book.decide(now) {
        match decided {
            Decided::Go(ticket, permit) => {
                shelf.used.add(Monotonic::now());
                decisions.push((ticket, Ok(permit)));
            }
            Decided::TooLong(ticket, closed) => {
                let wait = closed.until.since(now);
                decisions.push((ticket, Err(Unpermitted::TooLong { wait, why: closed.why })));
            }
        }
    }
    for warning in shelf.book.take_warnings() {
        let limit = &shelf.book.limits()[warning.key.0];
        tracing::warn!(quota = limit.label, scope = %warning.key.1, "{} % of the quota is used", warning.percent);
    }
    decisions
}

/// Tells everybody what was decided. Who has gone meanwhile has used the permit all the same.
fn deliver(inner: &Arc<Inner>, decisions: Decisions) {
    for (ticket, decision) in decisions {
        let permit = decision.as_ref().ok().copied();
        let sender = inner.shelf().waiting.remove(&ticket);
        let gone = sender.is_none_or(|sender| sender.send(decision).is_err());
        if let (true, Some(permit)) = (gone, permit) {
            inner.shelf().book.settle(permit, inner.clock.now(), false);
        }
    }
}

/// What was decided could not be written down: nobody goes.
fn take_back(inner: &Inner, decisions: Decisions, error: &Error) {
    let now = inner.clock.now();
    for (ticket, decision) in decisions {
        let mut shelf = inner.shelf();
        if let Ok(permit) = decision {
            shelf.book.settle(permit, now, false);
        }
        if let Some(sender) = shelf.waiting.remove(&ticket) {
            let _gone = sender.send(Err(broken(error)));
        }
    }
}

fn refuse_all(inner: &Inner, error: &Error) {
    let mut shelf = inner.shelf();
    let tickets: Vec<Ticket> = shelf.waiting.keys().copied().collect();
    for ticket in tickets {
        shelf.book.forget(ticket);
        if let Some(sender) = shelf.waiting.remove(&ticket) {
            let _gone = sender.send(Err(broken(error)));
        }
    }
}

/// The same error for each of those who wait.
fn broken(error: &Error) -> Unpermitted {
    Unpermitted::Broken(Error::new(error.kind(), error.report()))
}

/// Saves `changes` and ends the turn.
pub(super) async fn save(mut turn: QuotaTurn, changes: Vec<(String, Whose, Vec<u8>)>, now: Moment) -> Result<()> {
    let at = i64::try_from(now.millis_up()).unwrap_or(i64::MAX);
    for (name, whose, bytes) in changes {
        turn.save(&name, &whose.to_string(), &bytes, at).await?;
    }
    turn.commit().await
}

/// Writes what is not yet written, in a turn of its own. What others wrote meanwhile of shared limits is read first and
/// stays.
pub(super) async fn write_rest(inner: &Inner, kept: &QuotaUse) -> Result<()> {
    let mut turn = kept.begin().await?;
    let needed = inner.shelf().book.unrestored();
    read(inner, &mut turn, needed).await?;
    let changes = inner.shelf().book.keep(&inner.holder);
    save(turn, changes, inner.clock.now()).await
}
