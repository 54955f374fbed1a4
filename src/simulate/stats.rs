//! What the server saw, for tests and for authors who wonder what their pipeline does.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::faults::FaultKind;

/// Counts since the start or the last reset.
#[derive(Debug, Default)]
pub(super) struct Stats {
    endpoints: BTreeMap<&'static str, u64>,
    /// By the status that was sent; "none" for connections closed before one.
    statuses: BTreeMap<String, u64>,
    faults: BTreeMap<FaultKind, u64>,
    /// How often each query was begun (a request without a cursor) and how many requests it took in all.
    queries: BTreeMap<String, (u64, u64)>,
    first_metrics: Option<DateTime<Utc>>,
    last_metrics: Option<DateTime<Utc>>,
}

impl Stats {
    /// Counts a request at `now`, on the system's clock.
    pub(super) fn request(&mut self, endpoint: Option<Endpoint>, now: DateTime<Utc>) {
        *self.endpoints.entry(endpoint.map_or("unknown", Endpoint::name)).or_default() += 1;
        if endpoint == Some(Endpoint::Metrics) {
            self.first_metrics.get_or_insert(now);
            self.last_metrics = Some(now);
        }
    }

    /// Counts a request for a query, by what it asks for.
    pub(super) fn query(&mut self, query: String, begins: bool) {
        let (begun, requests) = self.queries.entry(query).or_default();
        *begun += u64::from(begins);
        *requests += 1;
    }

    pub(super) fn status(&mut self, status: Option<u16>) {
        *self.statuses.entry(status.map_or_else(|| "none".to_owned(), |code| code.to_string())).or_default() += 1;
    }

    pub(super) fn fault(&mut self, kind: FaultKind) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// The counts as JSON; the single queries only `with_queries`, for there can be many.
    pub(super) fn to_json(&self, with_queries: bool) -> Value {
        let count = |status: &str| self.statuses.get(status).copied().unwrap_or(0);
        let faults: BTreeMap<String, u64> = self.faults.iter().map(|(kind, count)| (kind.name(), *count)).collect();
        let instant = |moment: Option<DateTime<Utc>>| moment.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
        let begun_again = self.queries.values().filter(|(begun, _)| *begun > 1).count();
        let mut stats = json!({
            "requests": self.endpoints.values().sum::<u64>(),
            "by_endpoint": self.endpoints,
            "by_status": self.statuses,
            "refused_429": count("429"),
            "not_modified_304": count("304"),
            "faults": faults,
            "first_metrics_request": instant(self.first_metrics),
            "last_metrics_request": instant(self.last_metrics),
            "queries": {"distinct": self.queries.len(), "begun_more_than_once": begun_again},
        });
        if with_queries {
            let queries = self.queries.iter();
            let each =
                queries.map(|(query, (begun, requests))| json!({"query": query, "begun": begun, "requests": requests}));
            stats["queries"]["each"] = each.collect();
        }
        stats
    }
}
