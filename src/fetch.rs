//! From a [`Unit`] to its [`Slice`]: permit, send, classify, decode, page, until the last page has been read.
//!
//! There is one loop over attempts (`send`), and every request goes through it: metrics, account lists, campaign
//! lists. A unit is all or nothing: a page that fails for good fails the unit, and nothing of it remains.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use arrow::array::RecordBatch;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::cassette::Tape;
use crate::decode::{Decoder, Room, UnknownFields};
use crate::error::{Error, ErrorKind, Result};
use crate::http::client::Client;
use crate::lake::{Chunk, Dataset};
use crate::pipeline::{Accounts, Fault, Pipeline, UsageRule};
use crate::quota::Quotas;
use crate::state::{Lease, Sizes, State};
use crate::telemetry::Meter;
use crate::time::{Clock, Instant, Window, short};
use crate::unit::{Account, Unit};
use crate::usage;

mod attributes;
mod batch;
mod glance;
mod listing;
pub(crate) mod parts;
mod read;
mod report;
mod send;
mod sign_in;

pub use glance::{Glance, Seen, Trouble, Wrong};
use listing::Campaigns;
use send::Halt;
use sign_in::{SignIn, credentials_hint};

/// Everything a pipeline's workers need to fetch, made once per run. Cheap to clone; all clones share their quotas,
/// connections and campaign lists.
#[derive(Clone)]
pub struct Fetch {
    pipeline: Arc<Pipeline>,
    state: State,
    clock: Clock,
    meter: Arc<Meter>,
    /// Another one when the credentials were read anew.
    client: Arc<RwLock<Arc<Client>>>,
    /// How it comes to its access tokens.
    sign_in: Arc<SignIn>,
    quotas: Quotas,
    /// Where answers tell of the limits.
    usage: Arc<[UsageRule]>,
    /// What may be written down, by whom.
    lease: Arc<OnceLock<Arc<Lease>>>,
    /// How much accounts can be asked for at once.
    sizes: Arc<Mutex<Sizes>>,
    /// Accounts that this run found gone, and what was said.
    gone: Arc<Mutex<HashMap<String, String>>>,
    decoder: Arc<Decoder>,
    /// What the rows of the last unit took up: the next one is mostly alike.
    room: Arc<Mutex<Room>>,
    /// Each account's campaigns, listed once per run by whoever needs them first: some tens of bytes a campaign.
    campaigns: Arc<Mutex<HashMap<String, CampaignCell>>>,
    /// Only first pages are read, nothing is tried again and nothing is kept.
    glances: bool,
    /// Where rows are put that are too many to be held.
    aside: Arc<OnceLock<Aside>>,
}

/// Where the rows of large units are put while their pages still come.
#[derive(Debug, Clone)]
struct Aside {
    dataset: Dataset,
    /// A unit's rows are put aside from so many bytes on.
    above: usize,
    /// Finished rows take twice the memory of growing ones: as many units as there are turns have them at once.
    turns: Arc<Semaphore>,
}

type CampaignCell = Arc<OnceCell<Arc<Campaigns>>>;

/// All rows of a unit, made only when its last page has been read.
#[derive(Debug)]
pub struct Slice {
    /// What was asked for.
    pub unit: Unit,
    /// The part of the unit's window whose hours had ended when it was asked for, on every account's clock. Rows of
    /// hours that were still open are left away.
    pub window: Window,
    /// The rows, in the pipeline's lake schema, in the order in which they came; of a large unit the last of them.
    pub rows: RecordBatch,
    /// The rows before them that were put aside because there were too many to be held, in the order in which they came.
    pub chunks: Vec<Chunk>,
    /// Where in `rows` each response's rows begin, ascending: two rows of one response are never versions of each other.
    pub page_starts: Vec<usize>,
    /// Taken before the first request: what the platform changed later is not in the rows.
    pub fetched_at: Instant,
    /// Requests sent for it, retries and campaign lists included.
    pub requests: u32,
    /// Pages read.
    pub pages: u32,
    /// Records left away because their hour is not in `window`.
    pub outside: u64,
    /// Fields of the records that no column names.
    pub unknown_fields: UnknownFields,
    /// Accounts that the platform no longer gives, and what it said. They are not among the unit's any more.
    pub gone: Vec<Gone>,
    /// The turn to hold finished rows, in a run: the next unit's are finished when this slice has gone.
    pub turn: Option<OwnedSemaphorePermit>,
}

/// An account that the platform no longer gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Its id.
    pub account: String,
    /// What the platform said.
    pub why: String,
}

/// Why a unit has no slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitFailure {
    /// It failed for good. Nothing of it remains.
    Failed {
        /// What happened, without secrets.
        reason: String,
        /// How often the request that failed was sent.
        attempts: u32,
        /// No other unit of the pipeline can fare better: stop the run.
        fatal: bool,
    },
    /// The platform asks for a wait that is longer than the pipeline's `max_wait`.
    ComeBack {
        /// When to come back.
        until: Instant,
        /// What the platform said.
        reason: String,
    },
    /// The state cannot be read or written: no other unit can be fetched either.
    Broken {
        /// Of which kind the error is.
        kind: ErrorKind,
        /// What happened and what to do.
        report: String,
    },
    /// The platform gives none of its accounts any more.
    Gone(Vec<Gone>),
    /// The run was asked to stop.
    Stopped,
}

/// Why there is no list of accounts.
#[derive(Debug)]
pub enum Unlisted {
    /// The platform refuses or cannot be reached, or an account has no usable time zone.
    Failed(Error),
    /// The platform asks for a wait that is longer than the pipeline's `max_wait`.
    ComeBack {
        /// When to come back.
        until: Instant,
        /// What the platform said.
        reason: String,
    },
    /// The run was asked to stop.
    Stopped,
}

impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unlisted::Failed(error) => error.fmt(f),
            Unlisted::ComeBack { until, reason } => write!(f, "{reason}: come back at {}", short(*until)),
            Unlisted::Stopped => f.write_str("stopped"),
        }
    }
}

impl fmt::Display for UnitFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnitFailure::Failed { reason, attempts: 0 | 1, .. } => f.write_str(reason),
            UnitFailure::Failed { reason, attempts, .. } => write!(f, "{reason} (after {attempts} attempts)"),
            UnitFailure::ComeBack { until, reason } => write!(f, "{reason}: come back at {}", short(*until)),
            UnitFailure::Gone(all) => {
                let said: Vec<String> =
                    all.iter().map(|gone| format!("account {}: {}", gone.account, gone.why)).collect();
                f.write_str(&said.join("; "))
            }
            UnitFailure::Broken { report, .. } => f.write_str(report),
            UnitFailure::Stopped => f.write_str("stopped"),
        }
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("pipeline", &self.pipeline.name).finish_non_exhaustive()
    }
}

impl Fetch {
    /// Reads the pipeline's secrets and makes its connections and quotas; sends nothing.
    ///
    /// # Errors
    /// A secret that is not there.
    pub fn new(pipeline: Arc<Pipeline>, state: State, clock: Clock, meter: Arc<Meter>) -> Result<Fetch> {
        let client = Arc::new(Client::new(&pipeline.api, &pipeline.auth, &pipeline.secret_parameters(), clock)?);
        let sign_in = Arc::new(SignIn::new(&pipeline.api, &pipeline.auth, clock)?);
        let quotas = Quotas::new(&pipeline);
        let decoder = Arc::new(Decoder::new(&pipeline));
        // Where the file knows no limits, those that answers tell of by themselves are kept.
        let built_in = pipeline.usage.is_empty() && pipeline.quotas.is_empty();
        let usage = if built_in { usage::built_in() } else { pipeline.usage.clone() };
        Ok(Fetch {
            pipeline,
            state,
            clock,
            meter,
            client: Arc::new(RwLock::new(client)),
            sign_in,
            quotas,
            usage: usage.into(),
            lease: Arc::default(),
            sizes: Arc::default(),
            gone: Arc::default(),
            decoder,
            room: Arc::default(),
            campaigns: Arc::default(),
            glances: false,
            aside: Arc::default(),
        })
    }

    /// From now on a unit's rows that take more than `above` bytes are put aside for `dataset`, where its units are staged,
    /// and so many units as there are `turns` hold finished rows at once: each until its [`Slice`] has gone.
    pub fn put_aside(&self, dataset: Dataset, above: usize, turns: usize) {
        // A second place changes nothing: it is one run.
        let _first = self.aside.set(Aside { dataset, above, turns: Arc::new(Semaphore::new(turns)) });
    }

    /// Takes up what earlier runs left: the use of the quotas, and how much accounts can be asked for at once. From now
    /// on what is learnt is written down under `lease`.
    ///
    /// # Errors
    /// A storage error.
    pub async fn open(&self, lease: Arc<Lease>) -> Result<()> {
        self.quotas.open(&self.state).await?;
        let sizes = self.state.sizes(&self.pipeline.name, self.clock.now()).await?;
        *self.sizes.lock().unwrap_or_else(PoisonError::into_inner) = sizes;
        // A second opening changes nothing: it is one run.
        let _first = self.lease.set(lease);
        Ok(())
    }

    /// Takes up what earlier processes used of the quotas, and nothing else: for requests that create nothing, of who keeps
    /// runs of the pipeline away without a lease.
    ///
    /// # Errors
    /// A storage error.
    pub async fn open_quotas(&self) -> Result<()> {
        self.quotas.open(&self.state).await
    }

    /// Writes down what is not yet, as after the last request.
    ///
    /// # Errors
    /// A storage error.
    pub async fn close(&self) -> Result<()> {
        self.quotas.close(&self.state).await
    }

    /// Waits for the turn to hold finished rows, where their holder stages one slice after the other; who collects slices
    /// would wait for himself.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turns = self.aside.get()?.turns.clone();
        // They are never closed.
        turns.acquire_owned().await.ok()
    }

    fn client(&self) -> Arc<Client> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pipeline's accounts, in the order of the file or the platform, each id once.
    ///
    /// # Errors
    /// [`Unlisted`].
    pub async fn accounts(&self, stop: &CancellationToken) -> Result<Vec<Account>, Unlisted> {
        self.accounts_on(stop, &Tape::off()).await
    }

    /// As [`Fetch::accounts`], with everything that was asked and answered on `tape`.
    ///
    /// # Errors
    /// [`Unlisted`].
    pub async fn accounts_on(&self, stop: &CancellationToken, tape: &Tape) -> Result<Vec<Account>, Unlisted> {
        let accounts = match &self.pipeline.accounts {
            Accounts::List(accounts) => accounts.clone(),
            Accounts::Endpoint { .. } => {
                let span = tracing::info_span!("accounts", pipeline = %self.pipeline.name);
                let listed = self.list_accounts(stop, tape).instrument(span).await;
                listed.map_err(|halt| self.no_accounts(halt))?
            }
        };
        let mut seen = HashSet::new();
        Ok(accounts.into_iter().filter(|account| seen.insert(account.id.clone())).collect())
    }

    /// Fetches a unit whole. `stop` is looked at between pages and while waiting; a request that is under way then has
    /// a few seconds to end.
    ///
    /// # Errors
    /// [`UnitFailure`]; nothing of the unit remains then.
    pub async fn unit(&self, unit: &Unit, stop: &CancellationToken) -> Result<Slice, UnitFailure> {
        self.unit_on(unit, stop, &Tape::off()).await
    }

    /// As [`Fetch::unit`], with everything that was asked and answered on `tape`.
    ///
    /// # Errors
    /// [`UnitFailure`]; the tape holds what was answered before.
    pub async fn unit_on(&self, unit: &Unit, stop: &CancellationToken, tape: &Tape) -> Result<Slice, UnitFailure> {
        let span = tracing::info_span!("unit", key = %unit.key);
        self.read_unit(unit, stop, tape).instrument(span).await.map_err(|end| match end {
            read::NoSlice::Gone(gone) => UnitFailure::Gone(gone),
            read::NoSlice::Halted(halt) => self.failure(halt),
        })
    }

    /// The pipeline's limits.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    fn failure(&self, halt: Halt) -> UnitFailure {
        match halt {
            Halt::Refused(refusal) => {
                let hint = if refusal.unauthorized { credentials_hint(&self.pipeline.auth) } else { None };
                let blame = match refusal.fault {
                    Some(Fault::Config) => Some("the pipeline file or its credentials must be changed".to_owned()),
                    Some(Fault::Us) => Some("hourmark should not have sent this; please report it".to_owned()),
                    Some(Fault::Platform) | None => None,
                };
                let reason = match hint.or(blame) {
                    Some(hint) => format!("{}: {hint}", refusal.why),
                    None => refusal.why,
                };
                UnitFailure::Failed { reason, attempts: refusal.attempts, fatal: refusal.fatal }
            }
            Halt::NotSignedIn(error) => {
                let reason = match error.hint_text() {
                    Some(hint) => format!("{error}: {hint}"),
                    None => error.to_string(),
                };
                UnitFailure::Failed { reason, attempts: 0, fatal: true }
            }
            Halt::Broken(error) => match error.kind() {
                ErrorKind::Platform => UnitFailure::Failed { reason: error.report(), attempts: 0, fatal: false },
                ErrorKind::BadInput => UnitFailure::Failed { reason: error.report(), attempts: 0, fatal: true },
                kind => UnitFailure::Broken { kind, report: error.report() },
            },
            Halt::ComeBack { until, why } => UnitFailure::ComeBack { until, reason: why },
            Halt::TooMuch { why } => {
                let reason = format!("{why}: and it cannot be asked for less at once");
                UnitFailure::Failed { reason, attempts: 1, fatal: false }
            }
            Halt::Gone { why } => UnitFailure::Failed { reason: why, attempts: 1, fatal: false },
            Halt::Stopped => UnitFailure::Stopped,
        }
    }

    fn no_accounts(&self, halt: Halt) -> Unlisted {
        let pipeline = &self.pipeline.name;
        match halt {
            Halt::Broken(error) | Halt::NotSignedIn(error) => Unlisted::Failed(error),
            Halt::Refused(refusal) => {
                let failed = Error::platform(format!("cannot list the accounts of `{pipeline}`: {}", refusal.why));
                Unlisted::Failed(match credentials_hint(&self.pipeline.auth) {
                    Some(hint) if refusal.unauthorized => failed.hint(hint),
                    _ if refusal.fatal => failed.hint("check `api.base_url` and the network"),
                    _ => {
                        failed.hint("check `api.base_url` and `accounts.path`, or come back when the platform is well")
                    }
                })
            }
            Halt::ComeBack { until, why } => Unlisted::ComeBack { until, reason: why },
            Halt::TooMuch { why } | Halt::Gone { why } => {
                Unlisted::Failed(Error::platform(format!("cannot list the accounts of `{pipeline}`: {why}")))
            }
            Halt::Stopped => Unlisted::Stopped,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
