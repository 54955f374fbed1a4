//! `check --live`: one request to the platform, and in plain words what is wrong where it is not answered well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::fetch::{Fetch, Glance, Seen, Trouble, Wrong};
use crate::http::transport::TransportKind;
use crate::pipeline::{Accounts, Auth, Pipeline};
use crate::state::State;
use crate::telemetry::Meter;
use crate::time::short;
use crate::unit::Account;

use super::runs::worse;
use super::screen::Screen;
use super::settings::Settings;

/// Asks the platform of each pipeline once. One that is wrong does not keep the others from being asked.
pub(super) async fn each(
    settings: &Settings,
    screen: &Screen,
    pipelines: &[Pipeline],
    stop: CancellationToken,
) -> Result<Outcome> {
    let mut worst = Outcome::Done;
    let mut errors = Vec::new();
    for pipeline in pipelines {
        match look(settings, screen, pipeline, &stop).await {
            Ok(outcome) => worst = worse(worst, outcome),
            Err(error) => errors.push(error),
        }
        if stop.is_cancelled() {
            return Ok(Outcome::Stopped);
        }
    }
    if pipelines.len() == 1
        && let Some(error) = errors.pop()
    {
        return Err(error);
    }
    for error in &errors {
        Screen::complain(&error.report());
    }
    match errors.first() {
        Some(first) => Err(Error::new(
            first.kind(),
            format!("{} of {} pipelines are not answered as they should be", errors.len(), pipelines.len()),
        )),
        None => Ok(worst),
    }
}

/// Asks the platform once and says what came of it. Errors name what is wrong; a limit is an outcome.
async fn look(settings: &Settings, screen: &Screen, pipeline: &Pipeline, stop: &CancellationToken) -> Result<Outcome> {
    let now = settings.clock.now();
    let glance = Glance::of(pipeline, now);
    if glance == Glance::Nothing {
        screen.result(&format!("{}: nothing was sent: every request that fits would create something", pipeline.name));
        return Ok(Outcome::Done);
    }
    let (seen, asked) = match settings.known_state().await? {
        Some(state) => {
            // The tallies of a pipeline's limits are one process's at a time.
            let _alone = state.keep_alone(&pipeline.name, now).await?;
            ask(settings, pipeline, state, &glance, true, stop).await?
        }
        None => {
            let scratch = Scratch::new()?;
            let state = State::open(&scratch.path.join("state.db")).await?;
            ask(settings, pipeline, state, &glance, false, stop).await?
        }
    };
    let asked = format!("{} {}", asked, if asked == 1 { "request" } else { "requests" });
    match seen {
        Ok(seen) => {
            screen.result(&format!("{}: {} ({asked})", pipeline.name, well(pipeline, &glance, &seen)?));
            Ok(Outcome::Done)
        }
        Err(Trouble::ComeBack { until, why }) => {
            let until = until.format("%Y-%m-%d %H:%M:%SZ");
            Screen::complain(&format!("{}: over a limit: {why}: come back at {until}", pipeline.name));
            Ok(Outcome::Waiting)
        }
        Err(Trouble::Wrong { wrong, why }) => Err(explained(pipeline, &glance, wrong, &why)),
        Err(Trouble::Broken(error)) => Err(error),
        Err(Trouble::Stopped) => Ok(Outcome::Stopped),
    }
}

/// What was seen, and how many requests were sent for it.
async fn ask(
    settings: &Settings,
    pipeline: &Pipeline,
    state: State,
    glance: &Glance,
    known: bool,
    stop: &CancellationToken,
) -> Result<(Result<Seen, Trouble>, u64)> {
    let meter = Arc::new(Meter::default());
    let fetch = Fetch::to_glance(pipeline, state, settings.clock, meter.clone())?;
    if known {
        fetch.open_quotas().await?;
    }
    let seen = fetch.glance(glance, stop).await;
    if known {
        fetch.close().await?;
    }
    Ok((seen, meter.read().requests))
}

/// What was seen, in a few words; an error where it helps nobody.
fn well(pipeline: &Pipeline, glance: &Glance, seen: &Seen) -> Result<String> {
    let account = match glance {
        Glance::Campaigns(account) | Glance::Metrics(account, _) => account.id.as_str(),
        Glance::Accounts | Glance::Nothing => "",
    };
    Ok(match seen {
        Seen::Accounts(accounts) => match (accounts.as_slice(), under_parents(pipeline)) {
            ([], true) => {
                "all is well; no account is listed under the first parent, and a run looks under all".to_owned()
            }
            ([], false) => {
                return Err(Error::platform(format!(
                    "{}: no account: the platform answers well, and these credentials see none",
                    pipeline.name
                ))
                .hint("give their user access to an ad account, or take another user's credentials"));
            }
            ([first, ..], _) => {
                let (count, more) = (accounts.len(), if accounts.len() == 1 { "account" } else { "accounts" });
                format!("all is well: {count} {more} on the first page, the first is {}", described(first))
            }
        },
        Seen::Campaigns(count) => {
            format!("all is well: account `{account}` has {count} campaigns on the first page")
        }
        Seen::Rows(count) => {
            let Glance::Metrics(_, window) = glance else { return Ok("all is well".to_owned()) };
            let (from, to) = (short(window.from()), short(window.to()));
            let rows = if *count == 1 { "row" } else { "rows" };
            format!("all is well: {count} {rows} of account `{account}` from {from} to {to} on the first page")
        }
        Seen::Nothing => "nothing was sent".to_owned(),
    })
}

fn described(account: &Account) -> String {
    let currency = if account.currency.is_empty() { "no currency" } else { &account.currency };
    format!("`{}` ({}, {currency})", account.id, account.time_zone.name())
}

fn under_parents(pipeline: &Pipeline) -> bool {
    matches!(&pipeline.accounts, Accounts::Endpoint(rules) if rules.parents.is_some())
}

/// What is wrong and what to do about it.
fn explained(pipeline: &Pipeline, glance: &Glance, wrong: Wrong, why: &str) -> Error {
    let account = match glance {
        Glance::Campaigns(account) | Glance::Metrics(account, _) => format!("account `{}`", account.id),
        Glance::Accounts | Glance::Nothing => "the account".to_owned(),
    };
    let place = if *glance == Glance::Accounts { "`accounts.path`" } else { "`request.path`" };
    let (side, hint) = match wrong {
        Wrong::Token => ("the token is wrong".to_owned(), token_hint(&pipeline.auth)),
        Wrong::Permission => (
            "the permission is wrong".to_owned(),
            "the credentials are accepted and may not do this: give them the right to read reports".to_owned(),
        ),
        Wrong::Account => {
            (format!("{account} is wrong"), "is its id right in the file, and may these credentials see it?".to_owned())
        }
        Wrong::Address => {
            ("the address is wrong".to_owned(), format!("check `api.base_url` and {place}: nothing is there"))
        }
        Wrong::Answer => (
            "the answer is not what the file says".to_owned(),
            "does `api.base_url` lead to the API and not to a login page or a proxy? and is `records` right?"
                .to_owned(),
        ),
        Wrong::Request => (
            "the request is wrong".to_owned(),
            "the platform does not take it as it is: compare `hourmark check` with the platform's documents".to_owned(),
        ),
        Wrong::Network(kind) => ("the network is wrong".to_owned(), network_hint(kind).to_owned()),
        Wrong::Platform => (
            "the platform is not well".to_owned(),
            "nothing on this side is wrong as far as can be seen: try again later".to_owned(),
        ),
    };
    Error::platform(format!("{}: {side}: {why}", pipeline.name)).hint(hint)
}

/// Where the credentials come from that were not accepted.
fn token_hint(auth: &Auth) -> String {
    let Some(source) = auth.sources().first().map(ToString::to_string) else {
        return "the platform wants credentials: `[auth]` in the file says how requests are signed".to_owned();
    };
    format!("the platform does not accept what `{source}` holds: is it expired, of another app, or cut off?")
}

fn network_hint(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::Dns => "is the host in `api.base_url` spelt right, and does this machine have a name server?",
        TransportKind::Connect => {
            "nothing takes the connection there: check `api.base_url`, the firewall and the proxy"
        }
        TransportKind::Tls => {
            "check `api.base_url` (http or https, and the port), and whether a proxy stands between with a certificate of its own"
        }
        TransportKind::Silent | TransportKind::Stalled => {
            "the connection stands and nothing comes: try again, or raise the timeouts in `[api]`"
        }
        TransportKind::Broken | TransportKind::Cut | TransportKind::TooLarge | TransportKind::Unsendable => {
            "the connection broke before the answer was whole: try again, and check the proxy"
        }
    }
}

/// A folder for a state that nobody keeps; removed with the value.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Scratch> {
        let path =
            std::env::temp_dir().join(format!("hourmark-check-{}-{:08x}", std::process::id(), rand::random::<u32>()));
        std::fs::create_dir(&path).map_err(|error| unusable(&path, error))?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is in a folder that the system empties.
        let _left = std::fs::remove_dir_all(&self.path);
    }
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    Error::storage(format!("cannot make the folder `{}`", path.display())).because(error)
}
