//! hourmark keeps a lake of hourly ad-campaign metrics true.

pub mod error;
pub mod secret;
pub mod time;
pub mod unit;

pub mod classify;
pub mod decode;
pub mod ledger;
pub mod merge;
pub mod page;
pub mod pipeline;
pub mod plan;
pub mod request;
pub mod retry;

pub mod http;
pub mod lake;
#[cfg(feature = "query")]
pub mod query;
pub mod quota;
pub mod state;
pub mod telemetry;

pub mod fetch;
pub mod run;
pub mod schedule;

pub mod cli;
pub mod simulate;
