//! `hourmark simulate`: a campaign-metrics API on loopback that behaves like the real ones.
//!
//! A sandbox for authors of pipelines, and the server that hourmark's own tests run against. It shares no code with the
//! extractor, so that a mistake on one side cannot hide on the other.
//!
//! The path of a request under /v1 is `front`; what it reads is `call` and `params`; whether it may is `quota`, how it
//! is told `refusal`; what goes wrong is `faults`, `send` and `wire`. The data is `world` (who there is), `hours` (when), `values` (how much, at
//! which age), walked by `scan`, written by `json` and paged by `pages` with `cursor`, summed up by `daily`. `control` is /sim.
//!
#![doc = include_str!("guide.md")]

mod call;
mod control;
mod cursor;
mod daily;
mod dice;
mod endpoint;
mod faults;
mod front;
mod hours;
mod json;
mod latency;
mod limit;
mod options;
mod pages;
mod params;
mod quota;
mod refusal;
mod reply;
mod reports;
mod scan;
mod send;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod values;
mod wire;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::{any, get};

pub use endpoint::Endpoint;
pub use faults::FaultKind;
pub use latency::Latency;
pub use limit::{EndpointLimit, Limit, Weight, WindowForm};
pub use options::{Clock, FaultOptions, Options, QuotaOptions};
pub use refusal::RefusalStyle;
use reply::Problem;
pub use reports::Duplicates;
use state::Shared;
use wire::{Link, Wire};

/// The description of the API, as served at `/`.
pub const GUIDE: &str = include_str!("guide.md");

/// A simulated API that holds its port and is ready to serve.
#[derive(Debug)]
pub struct Simulator {
    /// Where it listens; the port that was taken where the options named none.
    pub address: SocketAddr,
    wire: Wire,
    shared: Arc<Shared>,
}

/// Why a simulator cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// Settings that make no sense.
    #[error("{}", .0.join("; "))]
    Options(Vec<String>),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server failed while it ran.
    #[error("the simulated api stopped")]
    Serve(#[source] io::Error),
}

impl Simulator {
    /// Checks the options, makes the accounts and takes the port. From here on connections are accepted, and answered
    /// once [`Simulator::serve`] runs.
    pub async fn bind(options: Options) -> Result<Self, SimulateError> {
        let problems = options.problems();
        if !problems.is_empty() {
            return Err(SimulateError::Options(problems));
        }
        let wanted = options.listen;
        let (wire, address) =
            Wire::bind(wanted).await.map_err(|source| SimulateError::Bind { address: wanted, source })?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the simulated api can be reached from other machines");
        }
        Ok(Self { address, wire, shared: Arc::new(Shared::new(options, address)) })
    }

    /// Where clients find it, like `http://127.0.0.1:8787`.
    pub fn base_url(&self) -> String {
        self.shared.base_url()
    }

    /// Serves until `shutdown` ends, then finishes the requests under way.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), SimulateError> {
        let guide = ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], GUIDE);
        let router = Router::new()
            .route("/", get(move || async move { guide }))
            .merge(control::routes())
            .route("/v1/{*rest}", any(front::answer))
            .fallback(|| async { Problem::not_found("NOT_FOUND", "see / for what there is") })
            .with_state(self.shared.clone());
        let closing = self.shared.closing.clone();
        let stop = async move {
            shutdown.await;
            closing.cancel();
        };
        tracing::info!(address = %self.address, "simulated api ready");
        axum::serve(self.wire, router.into_make_service_with_connect_info::<Link>())
            .with_graceful_shutdown(stop)
            .await
            .map_err(SimulateError::Serve)
    }
}
