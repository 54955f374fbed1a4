//! `check`: pipeline files before they run.

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::page::PageCursor;
use crate::pipeline::{self, Accounts, Align, Counting, Endpoint, Pipeline, Placeholder, Quota};
use crate::request::{Request, Whose, listing_request, metrics_request, uses};
use crate::run::first_hour;
use crate::time::{Instant, Window, date_at, day};
use crate::unit::Account;

use super::arguments::CheckArguments;
use super::live;
use super::report::span;
use super::screen::Screen;
use super::settings::Settings;
use super::signed_by::{auth_line, unusable_files};

/// Stands in requests where only the platform knows the id.
const SAMPLE_ID: &str = "ACCOUNT";
/// What it was found under.
const SAMPLE_PARENT: &str = "PARENT";

pub(super) async fn check(
    settings: &Settings,
    screen: &Screen,
    arguments: &CheckArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let now = settings.clock.now();
    let mut wrong = 0;
    let mut usable = Vec::new();
    for name in &arguments.files {
        let path = settings.pipeline_file(name);
        let loaded = pipeline::load(&path, &settings.overrides, &settings.quotas);
        match loaded.and_then(|pipeline| Ok((describe(&pipeline, now)?, pipeline))) {
            Ok((text, pipeline)) => {
                screen.result(&format!("{}: fine\n{text}\n", path.display()));
                usable.push(pipeline);
            }
            Err(error) => {
                wrong += 1;
                Screen::complain(&format!("{}\n", error.report()));
            }
        }
    }
    if wrong > 0 {
        return Err(Error::bad_input(format!("{wrong} of {} pipeline files cannot be used", arguments.files.len())));
    }
    if arguments.live { live::each(settings, screen, &usable, stop).await } else { Ok(Outcome::Done) }
}

/// What the file means, and the first requests as they would be sent, without secrets.
fn describe(pipeline: &Pipeline, now: Instant) -> Result<String> {
    let rules = &pipeline.window;
    let windows = match (rules.align, rules.size) {
        (Align::Hour, 1) => "one hour".to_owned(),
        (Align::Hour, size) => format!("up to {size} hours"),
        (Align::AccountDay, 1) => "a whole day on the account's clock".to_owned(),
        (Align::AccountDay, size) => format!("{size} whole days on the account's clock"),
        (Align::UtcDay, 1) => "a whole day in UTC".to_owned(),
        (Align::UtcDay, size) => format!("{size} whole days in UTC"),
    };
    let marks: Vec<String> = rules.refresh.iter().map(|mark| span(*mark)).collect();
    let lookback = match rules.lookback.is_zero() {
        true => String::new(),
        false => format!("in every run for {} and ", span(rules.lookback)),
    };
    let mut lines = vec![
        format!("  platform    {}", pipeline.platform),
        format!("  schedule    {} (UTC)", pipeline.schedule),
        format!("  accounts    {}", accounts_line(pipeline)),
        format!(
            "  windows     {windows}, settled after {}, read again {}at the ages {}",
            span(rules.settle),
            lookback,
            marks.join(", ")
        ),
        format!("  columns     {}", columns_line(pipeline)),
    ];
    for quota in &pipeline.quotas {
        lines.push(format!("  quota       {}", quota_line(quota)));
    }
    lines.push(format!("  signed by   {}", auth_line(&pipeline.auth)));
    for line in unusable_files(&pipeline.auth) {
        lines.push(format!("  not yet     {line}"));
    }
    for (what, request) in first_requests(pipeline, now)? {
        lines.push(format!("  {what}"));
        lines.extend(request.to_string().lines().map(|line| format!("    {line}")));
    }
    Ok(lines.join("\n"))
}

fn quota_line(quota: &Quota) -> String {
    let mut line = format!("{}: {} per {} by {}", quota.name, quota.units, span(quota.per), quota.scope.word());
    if quota.shared {
        line.push_str(", shared");
    }
    if let Counting::Fixed(zone) = quota.counting {
        line.push_str(&format!(", counted by the clock of {}", zone.name()));
    }
    if quota.safety < 1.0 {
        line.push_str(&format!(", {:.1} of them used", f64::from(quota.units) * quota.safety));
    }
    if !quota.endpoints.is_empty() {
        let words: Vec<&str> = quota.endpoints.iter().map(|endpoint| endpoint.word()).collect();
        line.push_str(&format!(", only {}", words.join(", ")));
    }
    let heavy = Endpoint::ALL.into_iter().filter(|endpoint| quota.weights.of(*endpoint) > 1);
    for endpoint in heavy {
        line.push_str(&format!(", {} counts {}", endpoint.word(), quota.weights.of(endpoint)));
    }
    if quota.adapt {
        line.push_str(", its pace is found by trying");
    }
    line
}

fn accounts_line(pipeline: &Pipeline) -> String {
    match &pipeline.accounts {
        Accounts::List(accounts) => format!("{} listed in the file", accounts.len()),
        Accounts::Endpoint(accounts) => format!("listed by the platform at {}", accounts.list.path),
    }
}

fn columns_line(pipeline: &Pipeline) -> String {
    let names: Vec<&str> = pipeline.columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// The requests that a first run begins with, for a made-up account where the platform lists them.
fn first_requests(pipeline: &Pipeline, now: Instant) -> Result<Vec<(&'static str, Request)>> {
    let mut requests = Vec::new();
    let account = match &pipeline.accounts {
        Accounts::List(accounts) => accounts.first().cloned(),
        Accounts::Endpoint(rules) => {
            let ids = [SAMPLE_PARENT.to_owned()];
            let mut whose = Whose::All;
            if let Some(parents) = &rules.parents {
                let first = PageCursor::first(&parents.list.pagination);
                let request = listing_request(&pipeline.api, &parents.list, Whose::All, &first)?;
                requests.push(("first request, for what accounts are found under", request));
                whose = Whose::Parents { ids: &ids, join: parents.join, in_headers: rules.parent.is_none() };
            }
            let first = PageCursor::first(&rules.list.pagination);
            let title =
                if rules.parents.is_some() { "for the accounts of one" } else { "first request, for the accounts" };
            requests.push((title, listing_request(&pipeline.api, &rules.list, whose, &first)?));
            Some(Account {
                id: SAMPLE_ID.to_owned(),
                name: String::new(),
                time_zone: rules.time_zone_default.unwrap_or(chrono_tz::Tz::UTC),
                currency: String::new(),
                parent: if rules.parents.is_some() || rules.parent.is_some() { SAMPLE_PARENT } else { "" }.to_owned(),
            })
        }
    };
    let Some(account) = account else { return Ok(requests) };
    let campaigns = vec!["CAMPAIGN".to_owned()];
    if let Some(campaigns) = &pipeline.campaigns {
        let first = PageCursor::first(&campaigns.list.pagination);
        let request = listing_request(&pipeline.api, &campaigns.list, Whose::Account(&account), &first)?;
        requests.push(("for an account's campaigns", request));
    }
    let chunk = uses(&pipeline.request, Placeholder::Campaigns).then_some(campaigns.as_slice());
    let window = sample_window(pipeline, &account, now);
    let first = PageCursor::first(&pipeline.pagination);
    let request = metrics_request(pipeline, std::slice::from_ref(&account), window, chunk, &first)?;
    requests.push(("first metrics request, for one account", request));
    Ok(requests)
}

/// The newest window that a run now could ask for.
fn sample_window(pipeline: &Pipeline, account: &Account, now: Instant) -> Window {
    let zone = match pipeline.window.align {
        Align::AccountDay => account.time_zone,
        Align::Hour | Align::UtcDay => chrono_tz::Tz::UTC,
    };
    let today = day(date_at(now, zone), zone);
    match pipeline.window.align {
        Align::AccountDay | Align::UtcDay => today,
        Align::Hour => {
            let to = crate::time::hour_at(now, zone);
            let from = first_hour(pipeline.window.history, now)
                .max(to - chrono::Duration::hours(i64::from(pipeline.window.size)));
            Window::new(from, to).unwrap_or(today)
        }
    }
}
