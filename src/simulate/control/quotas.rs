//! What /sim says of the quotas, and how it sets them.

use std::str::FromStr;

use axum::extract::State;
use bytes::Bytes;
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Sim, duration, read, reply};
use crate::simulate::options::QuotaOptions;
use crate::simulate::quota::{Quotas, Seen};
use crate::simulate::refusal::RefusalStyle;
use crate::simulate::reply::{Problem, Reply};
use crate::simulate::world::World;

/// The most that each limit ever had in one window.
pub(super) fn highest_use(quotas: &Quotas, world: &World) -> Value {
    let highest =
        |seen: &Seen| json!({"limit": seen.limit.to_string(), "arrived": seen.arrived, "counted": seen.counted});
    let app: Vec<Value> = quotas.app_seen().iter().map(highest).collect();
    let mut accounts = Vec::new();
    for (account, seen) in quotas.accounts_highest() {
        let mut entry = highest(&seen);
        entry["account_id"] = json!(world.accounts[account].id);
        accounts.push(entry);
    }
    let mut endpoints = Vec::new();
    for (endpoint, seen) in quotas.endpoints_seen() {
        let mut entry = highest(&seen);
        entry["endpoint"] = json!(endpoint.name());
        endpoints.push(entry);
    }
    json!({"app": app, "account": accounts, "endpoint": endpoints})
}

/// What each limit refused; of the accounts' limits, all accounts together.
pub(super) fn refusals(quotas: &Quotas) -> Value {
    let refused =
        |seen: &Seen| json!({"limit": seen.limit.to_string(), "refused": seen.refused, "violations": seen.violations});
    let (requests, violations) = quotas.refusals();
    let app: Vec<Value> = quotas.app_seen().iter().map(refused).collect();
    let (accounts, accounts_refused) = quotas.accounts_refused();
    let accounts: Vec<Value> = accounts.iter().map(refused).collect();
    let mut endpoints = Vec::new();
    for (endpoint, seen) in quotas.endpoints_seen() {
        let mut entry = refused(&seen);
        entry["endpoint"] = json!(endpoint.name());
        endpoints.push(entry);
    }
    json!({
        "requests": requests, "violations": violations, "accounts_refused": accounts_refused,
        "app": app, "account": accounts, "endpoint": endpoints,
    })
}

pub(super) async fn quotas(State(shared): Sim) -> Reply {
    quotas_reply(shared.state().quotas.options())
}

fn quotas_reply(options: &QuotaOptions) -> Reply {
    reply(json!({
        "app": written(&options.app), "account": written(&options.account), "endpoint": written(&options.endpoint),
        "weight": written(&options.weights), "penalty": humantime::format_duration(options.penalty).to_string(),
        "count_refused": options.count_refused, "refusal": options.refusal.name(),
        "usage_headers": !options.no_usage_headers,
    }))
}

fn written<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotasBody {
    app: Option<Vec<String>>,
    account: Option<Vec<String>>,
    endpoint: Option<Vec<String>>,
    weight: Option<Vec<String>>,
    penalty: Option<String>,
    count_refused: Option<bool>,
    refusal: Option<String>,
    usage_headers: Option<bool>,
}

pub(super) async fn set_quotas(State(shared): Sim, body: Bytes) -> Result<Reply, Problem> {
    let body: QuotasBody = read(&body)?;
    let mut state = shared.state();
    let options = body.applied_to(state.quotas.options().clone())?;
    let quotas = &mut state.quotas;
    quotas.set(options);
    if body.app.is_some() {
        quotas.restart_app();
    }
    if body.account.is_some() {
        quotas.restart_accounts();
    }
    if body.endpoint.is_some() {
        quotas.restart_endpoints();
    }
    if body.penalty.is_some() {
        quotas.end_penalties();
    }
    Ok(quotas_reply(quotas.options()))
}

impl QuotasBody {
    /// The settings with what the body names; all of it or nothing.
    fn applied_to(&self, mut options: QuotaOptions) -> Result<QuotaOptions, Problem> {
        if let Some(texts) = &self.app {
            options.app = parsed(texts)?;
        }
        if let Some(texts) = &self.account {
            options.account = parsed(texts)?;
        }
        if let Some(texts) = &self.endpoint {
            options.endpoint = parsed(texts)?;
        }
        if let Some(texts) = &self.weight {
            options.weights = parsed(texts)?;
        }
        if let Some(text) = &self.penalty {
            options.penalty = duration(text)?;
        }
        if let Some(name) = &self.refusal {
            let unknown = |_| Problem::bad("BAD_BODY", format!("there is no style of refusal `{name}`"));
            options.refusal = RefusalStyle::from_str(name, false).map_err(unknown)?;
        }
        options.count_refused = self.count_refused.unwrap_or(options.count_refused);
        options.no_usage_headers = self.usage_headers.map_or(options.no_usage_headers, |shown| !shown);
        match options.problems().as_slice() {
            [] => Ok(options),
            problems => Err(Problem::bad("BAD_BODY", problems.join("; "))),
        }
    }
}

fn parsed<T: FromStr<Err = String>>(texts: &[String]) -> Result<Vec<T>, Problem> {
    texts.iter().map(|text| text.parse().map_err(|error: String| Problem::bad("BAD_BODY", error))).collect()
}
