//! The data of the endpoints: lists, pages of metrics, days of insights.

use std::ops::Range;
use std::sync::Arc;

use axum::http::StatusCode;
use chrono::NaiveDate;
use serde_json::json;

use super::cursor::{self, Cursor, Position};
use super::faults::FaultKind;
use super::hours::{self, Hour};
use super::json::{insight_row, metrics_row, push};
use super::reply::{Problem, Reply};
use super::scan::{Moment, Place, Query, Scan};
use super::state::Shared;
use super::values::{self, Values};
use super::world::World;

/// A page of accounts. `revoked` tells which have been taken away from this client.
pub(super) fn accounts(shared: &Shared, revoked: &[usize], range: Range<usize>) -> String {
    let accounts = shared.world.accounts.iter().enumerate();
    let rows: Vec<_> = accounts
        .skip(range.start)
        .take(range.len())
        .map(|(place, account)| {
            let status = if revoked.contains(&place) { "revoked" } else { "active" };
            json!({
                "id": account.id, "name": account.name, "timezone": account.zone.name(),
                "currency": account.currency.code, "status": status,
            })
        })
        .collect();
    json!({"data": rows, "paging": {"next": next_offset(shared, shared.world.accounts.len(), range.end)}}).to_string()
}

/// A page of an account's campaigns, as they are set at `now`.
pub(super) fn campaigns(shared: &Shared, account: usize, range: Range<usize>, now: i64) -> String {
    let world = &shared.world;
    let mut body = String::from(r#"{"data":["#);
    for number in range.start..range.end.min(world.campaigns) {
        let campaign = world.campaign(account, number);
        let comma = if number == range.start { "" } else { "," };
        push(&mut body, format_args!(r#"{comma}{{"id":"{}","name":{},"#, campaign.id, campaign.name_json));
        let settings = campaign.settings(now);
        push(&mut body, format_args!(r#""status":"{}","objective":"{}","#, settings.status, campaign.objective));
        push(&mut body, format_args!(r#""daily_budget_micros":{},"#, settings.daily_budget_micros));
        let updated = hours::utc(settings.updated_at).format("%Y-%m-%dT%H:%M:%SZ");
        push(&mut body, format_args!(r#""updated_at":"{updated}"}}"#));
    }
    let next = json!(next_offset(shared, world.campaigns, range.end));
    push(&mut body, format_args!(r#"],"paging":{{"next":{next}}}}}"#));
    body
}

fn next_offset(shared: &Shared, total: usize, end: usize) -> Option<String> {
    (end < total).then(|| cursor::seal(shared.options.seed, &format!("offset {end}")))
}

/// What a walk over pages is about: a query as of a moment, of a report or not.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) query: Arc<Query>,
    pub(super) moment: Moment,
    /// Empty for metrics.
    pub(super) report: String,
    /// The simulator's now, from which the next cursor's life is counted.
    pub(super) now: i64,
}

/// One page of rows and where the next begins.
///
/// `shape` may ask for one of the faults that change pages. The answer tells with `bool` whether it could be committed.
pub(super) fn rows(
    shared: &Shared,
    walk: Walk,
    at: Option<Position>,
    limit: usize,
    shape: Option<FaultKind>,
) -> Result<(Reply, bool), Problem> {
    let at = match at {
        Some(at) => at,
        None => first_position(shared, &walk)?,
    };
    let mut scan = Scan::new(shared.world.clone(), walk.query.clone(), walk.moment.clone(), at.place);
    let blank = matches!(shape, Some(FaultKind::EmptyPage | FaultKind::NullData));
    if blank && at.blanks < shared.fault_streak() && scan.find().is_some() {
        let next = Position { step: at.step + 1, blanks: at.blanks + 1, created: walk.now, ..at };
        let rows = if shape == Some(FaultKind::NullData) { "null" } else { "[]" };
        let body = format!(r#"{{"data":{rows},{}}}"#, paging(shared, &walk, limit, Some(next), at.total));
        return Ok((Reply::json(StatusCode::OK, body), true));
    }

    let mut body = String::with_capacity(limit.min(5_000) * 640);
    body.push_str(r#"{"data":["#);
    let (count, last) = write_rows(&mut scan, &mut body, limit, walk.query.fields, ',');
    // The last row again is only harmless where each page still brings something new.
    let repeated = last.filter(|_| shape == Some(FaultKind::DuplicateRows) && count >= 2);
    let after = scan.find().map(|(place, _)| place);
    let next_place = if after.is_some() { repeated.or(after) } else { None };
    let next =
        next_place.map(|place| Position { place, step: at.step + 1, blanks: 0, created: walk.now, total: at.total });
    push(&mut body, format_args!("],{}}}", paging(shared, &walk, limit, next, at.total)));
    Ok((Reply::json(StatusCode::OK, body), repeated.is_some() && next.is_some()))
}

fn first_position(shared: &Shared, walk: &Walk) -> Result<Position, Problem> {
    let scan = Scan::new(shared.world.clone(), walk.query.clone(), walk.moment.clone(), Place::default());
    let total = scan.count();
    if let Some(cap) = shared.options.row_cap
        && total > cap
        && walk.report.is_empty()
    {
        let message = format!("{total} rows; at most {cap} in one query: ask for less time or fewer accounts");
        return Err(Problem::bad("TOO_MUCH_DATA", message));
    }
    Ok(Position { total, ..Position::default() })
}

/// Writes up to `limit` rows with a separator between them; tells how many, and where the last one is.
pub(super) fn write_rows(
    scan: &mut Scan,
    body: &mut String,
    limit: usize,
    fields: u32,
    separator: char,
) -> (usize, Option<Place>) {
    let (mut count, mut last) = (0, None);
    while count < limit
        && let Some((place, stage)) = scan.find()
    {
        if count > 0 {
            body.push(separator);
        }
        metrics_row(body, &scan.row(stage), fields);
        scan.step();
        count += 1;
        last = Some(place);
    }
    (count, last)
}

fn paging(shared: &Shared, walk: &Walk, limit: usize, next: Option<Position>, total: u64) -> String {
    let Some(at) = next else {
        return format!(r#""paging":{{"cursor":null,"next":null,"total":{total}}}"#);
    };
    let cursor = Cursor { report: walk.report.clone(), query: (*walk.query).clone(), at }.seal(shared.options.seed);
    let base = shared.base_url();
    let url = match walk.report.as_str() {
        "" => format!("{base}/v1/metrics?limit={limit}&cursor={cursor}"),
        report => format!("{base}/v1/reports/{report}/rows?limit={limit}&cursor={cursor}"),
    };
    format!(r#""paging":{{"cursor":"{cursor}","next":"{url}","total":{total}}}"#)
}

/// One page of a day on the account's clock, hours with the same label folded into one row.
pub(super) fn insights(
    shared: &Shared,
    moment: &Moment,
    account: usize,
    date: NaiveDate,
    page: u64,
    limit: usize,
) -> Reply {
    let world = &shared.world;
    let hours = hours::of_day(world.accounts[account].zone, date);
    let labels: Vec<&[Hour]> = hours.chunk_by(|left, right| left.hour_of_day == right.hour_of_day).collect();
    let mut cells = Vec::new();
    for number in 0..world.campaigns {
        let key = world.campaign(account, number).profile.key;
        let present = |hour: &Hour| moment.stage(world, account, key, hour.start).is_some();
        cells.extend(labels.iter().filter(|label| label.iter().any(present)).map(|label| (number, *label)));
    }

    let pages = cells.len().div_ceil(limit) as u64;
    let shown = if shared.options.clamp_pages { page.min(pages.max(1)) } else { page };
    let start = usize::try_from(shown - 1).unwrap_or(usize::MAX).saturating_mul(limit).min(cells.len());
    let mut body = String::from(r#"{"data":["#);
    for (place, (number, label)) in cells[start..].iter().take(limit).enumerate() {
        if place > 0 {
            body.push(',');
        }
        push_folded(&mut body, world, moment, account, *number, label);
    }
    push(&mut body, format_args!(r#"],"page_info":{{"page":{shown},"page_size":{limit},"#));
    push(&mut body, format_args!(r#""total_number":{},"total_page":{pages}}}}}"#, cells.len()));
    Reply::json(StatusCode::OK, body)
}

fn push_folded(body: &mut String, world: &World, moment: &Moment, account: usize, number: usize, label: &[Hour]) {
    let campaign = world.campaign(account, number);
    let mut sum = Values::default();
    for hour in label {
        if let Some(stage) = moment.stage(world, account, campaign.profile.key, hour.start) {
            sum.add(values::at(&world.rules, &campaign.profile, hour.start, stage).unwrap_or_default());
        }
    }
    insight_row(body, &campaign, &label[0], &sum, world.accounts[account].currency.decimals);
}
