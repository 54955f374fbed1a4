//! hourmark keeps a lake of hourly ad-campaign metrics true: it pulls them from ad APIs within their quotas, keeps
//! exactly one row per (account, campaign, hour), and leaves partitioned Parquet that any engine reads.
//!
//! # The path of one unit
//!
//! ```text
//! cli / schedule
//!      |  an order: what is due now, or these dates
//!      v
//!   run ── lease, then publish what an earlier run left staged
//!      |
//!   plan ── ledger + refresh (when an hour is due) + now -> units, newest first          (pure)
//!      |
//!   fetch ─ request (pure) -> permit: allowance (pure) by the quota desk, written down -> http
//!      |     -> usage, classify (pure) -> retry (pure): again, less, without the account, later
//!      |     -> decode straight into Arrow (pure) -> page: next request, or done (pure)
//!      |  a Slice: all rows of a unit, made only when its last page has been read
//!      |
//!   key proof, quality (pure) ─ one row per key, and the rows keep the rules; else failed, or quarantined
//!      v
//!   lake::stage ── durable, invisible; the state remembers it
//!      |  when all planned units of a partition have ended
//!      v
//!   merge (pure) ─ one row per key -> lake::publish ── one atomic replace of one file
//!      |
//!   state ── ledger, watermarks and units in one transaction
//!      |  after all rows, and never in their way
//!   attributes ── lists of campaigns -> merge (pure): a version of each campaign for each time -> lake::versions
//! ```
//!
//! Before a signed request goes, `fetch` has signed in (an access token for all workers); several accounts' requests may
//! go as one batch, and a report is made, asked after and read in place of pages.
//!
//! # The modules, by layer
//!
//! A file imports from its own layer or from those above it in this table; a test holds that, and that no two modules
//! import each other.
//!
//! | layer | modules | rule |
//! |---|---|---|
//! | words | [`error`], [`secret`], [`time`], [`mod@unit`] | no I/O, no async (but reading a secret) |
//! | pure (but that [`pipeline`] reads its files) | [`pipeline`], [`ledger`], [`refresh`], [`plan`], [`allowance`], [`request`], [`page`], [`usage`], [`classify`], [`retry`], [`body`], [`decode`], [`merge`], [`quality`] | functions of their arguments |
//! | edges | [`telemetry`], [`state`], [`lake`], [`quota`], [`http`], [`cassette`], `query` | each owns one outside thing |
//! | story | [`fetch`], [`gaps`], [`run`], [`reconcile`], [`mod@rewrite`], [`serve`], [`schedule`] | what happens in which order |
//! | shell | [`cli`] | what is typed and printed |
//! | beside | [`simulate`] | an ad API to run against; imports nothing of the others |
//!
//! # Where to begin
//!
//! Read `pipelines/demo.toml` (what a source is: data, not code), then [`run`] (one screen per step). A new platform is a
//! new file in `pipelines/`; a new word in those files is a variant in [`pipeline`] and the one `match` that the
//! compiler then points to.

pub mod error;
pub mod secret;
pub mod time;
pub mod unit;

pub mod allowance;
pub mod body;
pub mod classify;
pub mod decode;
pub mod ledger;
pub mod merge;
pub mod page;
pub mod pipeline;
pub mod plan;
pub mod quality;
pub mod refresh;
pub mod request;
pub mod retry;
pub mod usage;

pub mod cassette;
pub mod http;
pub mod lake;
#[cfg(feature = "query")]
pub mod query;
pub mod quota;
pub mod state;
pub mod telemetry;

pub mod fetch;
pub mod gaps;
pub mod reconcile;
pub mod rewrite;
pub mod run;
pub mod schedule;
pub mod serve;

pub mod cli;
pub mod simulate;
