//! One look at a platform before anything runs: the cheapest request, once, and what is wrong where it is not answered well.
//!
//! Nothing is created, nothing is tried again, and nothing of what is answered is kept.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Fetch;
use super::read::Cut;
use super::send::{Halt, Refusal};
use crate::cassette::Tape;
use crate::classify::Verdict;
use crate::error::{Error, Result};
use crate::http::transport::TransportKind;
use crate::pipeline::{Accounts, Align, Fault, Pipeline, Placeholder};
use crate::refresh::grid_zone;
use crate::request::uses;
use crate::retry::Decision;
use crate::state::State;
use crate::telemetry::Meter;
use crate::time::{Clock, Instant, Window, date_at, day, hour_at};
use crate::unit::{Account, Lane, Unit, UnitKey};

/// A permit is waited for so long; whoever looks sits before the screen.
const PATIENCE: Duration = Duration::from_secs(10);
/// A refusal that does not say for how long it holds.
const UNSAID: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Glance {
    /// The list of accounts, its first page.
    Accounts,
    /// The campaigns of an account that the file lists, their first page.
    Campaigns(Account),
    /// The metrics of an account that the file lists, in the smallest window that is closed.
    Metrics(Account, Window),
    /// Nothing: every request of this pipeline would create something.
    Nothing,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The accounts of the first page.
    Accounts(Vec<Account>),
    /// So many campaigns on the first page.
    Campaigns(usize),
    /// So many rows on the first page.
    Rows(usize),
    /// Nothing was asked.
    Nothing,
}

/// Why nothing was seen.
#[derive(Debug)]
pub enum Trouble {
    /// The platform refused or did not answer.
    Wrong {
        /// Where to look.
        wrong: Wrong,
        /// What happened, without secrets.
        why: String,
    },
    /// Over a limit.
    ComeBack {
        /// When to come back.
        until: Instant,
        /// What the platform said.
        why: String,
    },
    /// Something on this side: a secret, a request that cannot be made, the state.
    Broken(Error),
    /// The command was asked to stop.
    Stopped,
}

/// What is wrong, as far as the answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The credentials are not accepted.
    Token,
    /// They are accepted, and may not do this.
    Permission,
    /// The account is not there, or not for these credentials.
    Account,
    /// Nothing is at this address.
    Address,
    /// Something answers, and not as the file says.
    Answer,
    /// The request is not taken as it is.
    Request,
    /// No answer came.
    Network(TransportKind),
    /// The platform is not well.
    Platform,
}

impl Glance {
    /// The cheapest request of `pipeline` that creates nothing.
    pub fn of(pipeline: &Pipeline, now: Instant) -> Glance {
        let account = match &pipeline.accounts {
            Accounts::List(accounts) => accounts.first(),
            Accounts::Endpoint(_) => return Glance::Accounts,
        };
        let Some(account) = account.cloned() else { return Glance::Nothing };
        let creates = pipeline.report.is_some() || pipeline.request.creates.is_some();
        let by_campaign = uses(&pipeline.request, Placeholder::Campaigns);
        match (creates || by_campaign, &pipeline.campaigns) {
            (true, Some(_)) => Glance::Campaigns(account),
            (true, None) => Glance::Nothing,
            (false, _) => {
                let window = smallest(pipeline, &account, now);
                window.map_or(Glance::Nothing, |window| Glance::Metrics(account, window))
            }
        }
    }
}

/// The newest hour or day that has settled.
fn smallest(pipeline: &Pipeline, account: &Account, now: Instant) -> Option<Window> {
    let settled = now - pipeline.window.settle;
    let just_before = |moment: Instant| moment - chrono::TimeDelta::seconds(1);
    let last_day = |zone| {
        let today = day(date_at(settled, zone), zone);
        day(date_at(just_before(today.from()), zone), zone)
    };
    match pipeline.window.align {
        Align::AccountDay => Some(last_day(account.time_zone)),
        Align::UtcDay => Some(last_day(chrono_tz::Tz::UTC)),
        Align::Hour => {
            let zone = grid_zone(pipeline, account);
            let to = hour_at(settled, zone);
            Window::new(hour_at(just_before(to), zone), to)
        }
    }
}

impl Fetch {
    /// As [`Fetch::new`], to look once.
    ///
    /// # Errors
    /// A secret that is not there.
    pub fn to_glance(pipeline: &Pipeline, state: State, clock: Clock, meter: Arc<Meter>) -> Result<Fetch> {
        let mut pipeline = pipeline.clone();
        pipeline.retry.max_wait = pipeline.retry.max_wait.min(PATIENCE);
        if !uses(&pipeline.request, Placeholder::Campaigns) && pipeline.report.is_none() {
            // Rows can be counted without their campaigns' names.
            pipeline.campaigns = None;
        }
        let fetch = Fetch::new(Arc::new(pipeline), state, clock, meter)?;
        Ok(Fetch { glances: true, ..fetch })
    }

    /// Asks for what `glance` says, once.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn glance(&self, glance: &Glance, stop: &CancellationToken) -> Result<Seen, Trouble> {
        let tape = Tape::off();
        let seen = match glance {
            Glance::Nothing => Ok(Seen::Nothing),
            Glance::Accounts => self.list_accounts(stop, &tape).await.map(Seen::Accounts),
            Glance::Campaigns(account) => match &self.pipeline.campaigns {
                Some(list) => {
                    let listed = self.campaigns(list, account, stop, &tape, &mut 0).await;
                    listed.map(|campaigns| Seen::Campaigns(campaigns.ids.len()))
                }
                None => Ok(Seen::Nothing),
            },
            Glance::Metrics(account, window) => self.glance_at_rows(account, *window, stop).await.map(Seen::Rows),
        };
        seen.map_err(|halt| self.trouble(halt, glance))
    }

    async fn glance_at_rows(&self, account: &Account, window: Window, stop: &CancellationToken) -> Result<usize, Halt> {
        let accounts = vec![account.clone()];
        let key = UnitKey::new(&self.pipeline.name, &accounts, window, None);
        let unit = Unit { key, lane: Lane::Hourly, accounts: accounts.clone(), window };
        match self.read_once(&unit, &accounts, false, stop, &Tape::off(), &mut 0).await {
            Ok(slice) => Ok(slice.rows.num_rows()),
            Err(Cut::Halted(halt) | Cut::TokenDied(halt)) => Err(halt),
            Err(Cut::TooMuch { why, .. }) => Err(Halt::TooMuch { why }),
            Err(Cut::Gone { why, .. }) => Err(Halt::Gone { why }),
        }
    }

    fn trouble(&self, halt: Halt, glance: &Glance) -> Trouble {
        let about_an_account = matches!(glance, Glance::Campaigns(_) | Glance::Metrics(..));
        let closed = if about_an_account { Wrong::Account } else { Wrong::Permission };
        match halt {
            Halt::Refused(Refusal { status: Some(429), why, .. }) => {
                Trouble::ComeBack { until: self.after(UNSAID), why }
            }
            Halt::Refused(refusal) => Trouble::Wrong { wrong: wrong(&refusal, about_an_account), why: refusal.why },
            Halt::Gone { why } => Trouble::Wrong { wrong: closed, why },
            Halt::TooMuch { why } => Trouble::Wrong { wrong: Wrong::Request, why },
            Halt::ComeBack { until, why } => Trouble::ComeBack { until, why },
            Halt::Broken(error) | Halt::NotSignedIn(error) => Trouble::Broken(error),
            Halt::Stopped => Trouble::Stopped,
        }
    }
}

fn wrong(refusal: &Refusal, about_an_account: bool) -> Wrong {
    if refusal.unauthorized {
        return Wrong::Token;
    }
    match (refusal.broken, refusal.status, refusal.fault) {
        (Some(TransportKind::TooLarge | TransportKind::Unsendable), ..) => Wrong::Request,
        (Some(kind), ..) => Wrong::Network(kind),
        (None, _, Some(Fault::Platform)) => Wrong::Platform,
        (None, Some(403), _) => Wrong::Permission,
        (None, Some(404 | 410), _) if about_an_account => Wrong::Account,
        (None, Some(404 | 410), _) => Wrong::Address,
        (None, Some(500..), _) => Wrong::Platform,
        (None, Some(300..), _) | (None, _, Some(Fault::Config | Fault::Us)) => Wrong::Request,
        (None, ..) => Wrong::Answer,
    }
}

/// What is decided where nothing is tried twice: a limit is told and not waited for. Fresh credentials are no second try.
pub(super) fn once(decision: Decision, verdict: &Verdict) -> Decision {
    match (decision, verdict) {
        (Decision::Wait(_) | Decision::GiveUp, Verdict::Throttled { wait, .. }) => {
            Decision::ComeBack(wait.filter(|wait| !wait.is_zero()).unwrap_or(UNSAID))
        }
        (Decision::Wait(_), _) => Decision::GiveUp,
        (decision, _) => decision,
    }
}
