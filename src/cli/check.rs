//! `check` and `new`: pipeline files before they run.

use crate::error::{Error, Outcome, Result};
use crate::page::PageCursor;
use crate::pipeline::{self, Accounts, Align, Counting, Endpoint, Pipeline, Placeholder, Quota};
use crate::request::{Request, listing_request, metrics_request, uses};
use crate::run::first_hour;
use crate::time::{Instant, Window, date_at, day};
use crate::unit::Account;

use super::arguments::{CheckArguments, NewArguments};
use super::report::span;
use super::screen::Screen;
use super::settings::Settings;
use super::signed_by::{auth_line, unusable_files};

/// Stands in requests where only the platform knows the id.
const SAMPLE_ID: &str = "ACCOUNT";

pub(super) fn check(settings: &Settings, screen: &Screen, arguments: &CheckArguments) -> Result<Outcome> {
    let now = settings.clock.now();
    let mut wrong = 0;
    for name in &arguments.files {
        let path = settings.pipeline_file(name);
        match pipeline::load(&path, &settings.overrides, &settings.quotas).and_then(|pipeline| describe(&pipeline, now))
        {
            Ok(text) => screen.result(&format!("{}: fine\n{text}\n", path.display())),
            Err(error) => {
                wrong += 1;
                Screen::complain(&format!("{}\n", error.report()));
            }
        }
    }
    if wrong > 0 {
        return Err(Error::bad_input(format!("{wrong} of {} pipeline files cannot be used", arguments.files.len())));
    }
    Ok(Outcome::Done)
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
    let mut lines = vec![
        format!("  platform    {}", pipeline.platform),
        format!("  schedule    {} (UTC)", pipeline.schedule),
        format!("  accounts    {}", accounts_line(pipeline)),
        format!(
            "  windows     {windows}, settled after {}, read again at the ages {}",
            span(rules.settle),
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
        Accounts::Endpoint { list, .. } => format!("listed by the platform at {}", list.path),
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
        Accounts::Endpoint { list, time_zone_default, .. } => {
            let first = PageCursor::first(&list.pagination);
            requests.push(("first request, for the accounts", listing_request(&pipeline.api, list, None, &first)?));
            let time_zone = time_zone_default.unwrap_or(chrono_tz::Tz::UTC);
            Some(Account { id: SAMPLE_ID.to_owned(), name: String::new(), time_zone, currency: String::new() })
        }
    };
    let Some(account) = account else { return Ok(requests) };
    let campaigns = vec!["CAMPAIGN".to_owned()];
    if let Some(campaigns) = &pipeline.campaigns {
        let first = PageCursor::first(&campaigns.list.pagination);
        let request = listing_request(&pipeline.api, &campaigns.list, Some(&account), &first)?;
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

pub(super) fn new(settings: &Settings, screen: &Screen, arguments: &NewArguments) -> Result<Outcome> {
    let path = settings.pipelines.join(format!("{}.toml", arguments.name));
    let text = pipeline::starter(&arguments.name);
    // The file must be one that the next command accepts: a name that is none is refused here.
    pipeline::parse(&path.display().to_string(), &text, &[], &settings.quotas).map_err(|_| {
        Error::bad_input(format!("`{}` cannot be a pipeline's name", arguments.name))
            .hint("expected lower-case letters, digits and `_`, a letter first, as in `hourmark new acme_ads`")
    })?;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::bad_input(format!("`{}` is there already", path.display()))
            .hint("choose another name, or remove the file"),
        _ => Error::bad_input(format!("cannot write `{}`", path.display())).because(error),
    };
    std::fs::create_dir_all(&settings.pipelines).map_err(failed)?;
    let mut file = std::fs::File::create_new(&path).map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    screen.result(&format!("wrote {}", path.display()));
    screen.remark(&format!("edit it, then: hourmark check {}", path.display()));
    Ok(Outcome::Done)
}
