//! `reconcile`: the lake's sums by account and day against the platform's own daily report.

use std::sync::Arc;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pipeline::{Metric, Pipeline};
use crate::reconcile::{self, Compared, Dates, Day, DayState, Reconciled, Sources};
use crate::telemetry::Meter;

use super::arguments::{ListFormat, ReconcileArguments};
use super::runs::worse;
use super::screen::Screen;
use super::settings::Settings;

/// Days shown to people; JSON has them all.
const SHOWN: usize = 200;

pub(super) async fn reconcile(
    settings: &Settings,
    screen: &Screen,
    arguments: &ReconcileArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let dates = dates(arguments)?;
    let pipelines = with_report(settings.pipelines(&arguments.pipelines)?, arguments)?;
    let Some(state) = settings.known_state().await? else {
        return Err(Error::bad_input(format!("nothing has run yet: there is no state `{}`", settings.state.display()))
            .hint("`hourmark run` or `hourmark demo` begins one; --state names another"));
    };
    let sources = Sources { lake: &settings.lake, state: &state, clock: settings.clock, workers: settings.workers };
    let mut worst = Outcome::Done;
    let mut kinds: Vec<ErrorKind> = Vec::new();
    let mut documents = Vec::new();
    for pipeline in &pipelines {
        if stop.is_cancelled() {
            worst = worse(worst, Outcome::Stopped);
            break;
        }
        match reconcile::reconcile(sources, pipeline, &dates, Arc::new(Meter::default()), &stop).await {
            Ok(found) => {
                worst = worse(worst, found.outcome());
                match arguments.format {
                    ListFormat::Text => screen.result(&text(&found)),
                    ListFormat::Json => documents.push(document(&found)),
                }
            }
            Err(error) if pipelines.len() == 1 => return Err(error),
            // One pipeline's error does not keep the others from being compared.
            Err(error) => {
                tracing::error!(pipeline = pipeline.name, "{}", error.report());
                kinds.push(error.kind());
            }
        }
    }
    if arguments.format == ListFormat::Json {
        screen.result(&Value::from(documents).to_string());
    }
    match kinds.first() {
        Some(kind) if worst != Outcome::Differs => {
            Err(Error::new(*kind, format!("{} of {} pipelines could not be compared", kinds.len(), pipelines.len())))
        }
        _ => Ok(worst),
    }
}

fn dates(arguments: &ReconcileArguments) -> Result<Dates> {
    let between = arguments.from.zip(arguments.to);
    if let Some((from, to)) = between
        && from >= to
    {
        return Err(Error::bad_input(format!("--from {from} is not before --to {to}"))
            .hint("--to is the first date that is not compared"));
    }
    Ok(Dates { between, accounts: arguments.accounts.clone() })
}

/// Those of `pipelines` that name a report; one that was asked for by name must.
fn with_report(mut pipelines: Vec<Arc<Pipeline>>, arguments: &ReconcileArguments) -> Result<Vec<Arc<Pipeline>>> {
    if arguments.pipelines.is_empty() {
        pipelines.retain(|pipeline| pipeline.reconcile.is_some());
        if pipelines.is_empty() {
            return Err(Error::bad_input("no pipeline names a report to compare the lake with")
                .hint("a table `[reconcile]` in a pipeline's file names one"));
        }
    }
    Ok(pipelines)
}

fn text(found: &Reconciled) -> String {
    let mut lines = vec![summary(found)];
    let differing: Vec<&Day> =
        found.days.iter().filter(|day| matches!(day.state, DayState::Differs(_))).take(SHOWN).collect();
    if !differing.is_empty() {
        lines.push(table(&found.metrics, &differing));
    }
    let mut incomplete = 0;
    for day in &found.days {
        if let DayState::Incomplete { missing, hours } = &day.state {
            incomplete += 1;
            if incomplete <= SHOWN {
                let said = format!("{missing} of {hours} hours are missing");
                lines.push(format!("  incomplete  {}  {}  {said}", day.account, day.date));
            }
        }
    }
    let hidden = found.differing + found.incomplete - (differing.len() + incomplete.min(SHOWN)) as u64;
    if hidden > 0 {
        lines.push(format!("  ... and {hidden} more days; --format json has more of them"));
    }
    for gone in &found.left_out {
        lines.push(format!("  left out    account {}: {}", gone.account, gone.why));
    }
    for (unit, reason) in &found.failures {
        lines.push(format!("  failed      {unit}: {reason}"));
    }
    if let Some((until, reason)) = &found.resume {
        lines.push(format!("  waiting     come back at {}: {reason}", until.format("%Y-%m-%d %H:%M:%SZ")));
    }
    lines.join("\n")
}

fn summary(found: &Reconciled) -> String {
    let name = &found.pipeline;
    let mut parts = vec![match (found.compared(), found.differing) {
        (0, _) => format!("{name}: no day could be compared"),
        (compared, 0) => format!("{name}: {compared} account-days compared, none differs"),
        (compared, differing) => format!("{name}: {compared} account-days compared, {differing} differ"),
    }];
    for (count, what) in
        [(found.incomplete, "incomplete"), (found.unread, "not answered for"), (found.too_young, "not settled yet")]
    {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if found.stopped {
        parts.push("stopped".to_owned());
    }
    parts.join(", ")
}

fn table(metrics: &[Metric], days: &[&Day]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["  account", "date", "metric", "lake", "platform", "difference", "percent", "tolerance"]);
    for day in days {
        let DayState::Differs(differing) = &day.state else { continue };
        for compared in differing {
            let Some(metric) = metrics.get(compared.metric) else { continue };
            let shown = |sum: Option<i128>| sum.map_or_else(|| "none".to_owned(), |sum| number(sum, metric.scale));
            table.add_row([
                format!("  {}", day.account),
                day.date.to_string(),
                metric.column.clone(),
                shown(compared.lake),
                shown(compared.platform),
                number(compared.difference(), metric.scale),
                percent(compared).map_or_else(|| "-".to_owned(), |percent| format!("{percent:.2}%")),
                tolerances(metric).join(" or "),
            ]);
        }
    }
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The difference in hundredths of the platform's sum; nothing where that is zero.
fn percent(compared: &Compared) -> Option<f64> {
    let platform = compared.platform.filter(|platform| *platform != 0)?;
    // For reading only: what decides is exact.
    let percent = compared.difference() as f64 / platform.unsigned_abs() as f64 * 100.0;
    Some((percent * 10_000.0).round() / 10_000.0)
}

/// By how much a metric may differ; `0` where nothing may.
fn tolerances(metric: &Metric) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some(share) = metric.tolerance.share {
        texts.push(format!("{}%", number(i128::from(share), 4)));
    }
    if let Some(amount) = metric.tolerance.amount {
        texts.push(number(i128::try_from(amount).unwrap_or(i128::MAX), metric.scale));
    }
    if texts.is_empty() {
        texts.push("0".to_owned());
    }
    texts
}

/// A number in units of its last of `scale` digits after the point, without zeros that say nothing.
fn number(units: i128, scale: u8) -> String {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if units < 0 { "-" } else { "" };
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

fn document(found: &Reconciled) -> Value {
    json!({
        "pipeline": found.pipeline,
        "accounts": found.accounts,
        "compared": found.compared(),
        "same": found.same,
        "differing": found.differing,
        "incomplete": found.incomplete,
        "unread": found.unread,
        "too_young": found.too_young,
        "days": found.days.iter().map(|day| day_document(&found.metrics, day)).collect::<Vec<Value>>(),
        "failed": found.failures.iter().map(|(unit, why)| json!({"unit": unit, "reason": why})).collect::<Vec<Value>>(),
        "left_out": found.left_out.iter().map(|gone| json!({"account_id": gone.account, "reason": gone.why}))
            .collect::<Vec<Value>>(),
        "requests": found.requests,
        "resume_at": found.resume.as_ref().map(|(until, _)| *until),
        "stopped": found.stopped,
    })
}

fn day_document(metrics: &[Metric], day: &Day) -> Value {
    let mut document = json!({"account_id": day.account, "date": day.date.to_string()});
    match &day.state {
        DayState::Differs(differing) => {
            document["state"] = json!("differs");
            let metrics = differing.iter().filter_map(|compared| {
                let metric = metrics.get(compared.metric)?;
                Some(json!({
                    "metric": metric.column,
                    "lake": compared.lake.map(|sum| number(sum, metric.scale)),
                    "platform": compared.platform.map(|sum| number(sum, metric.scale)),
                    "difference": number(compared.difference(), metric.scale),
                    "percent": percent(compared),
                    "tolerance": tolerances(metric),
                }))
            });
            document["metrics"] = metrics.collect();
        }
        DayState::Incomplete { missing, hours } => {
            document["state"] = json!("incomplete");
            document["missing_hours"] = json!(missing);
            document["hours"] = json!(hours);
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::pipeline::{ColumnKind, JsonPath, Tolerance};

    #[test]
    fn numbers_keep_every_digit_that_says_something() {
        let cases = [(0, 6, "0"), (14_620_000, 6, "14.62"), (-5, 2, "-0.05"), (1_200, 0, "1200"), (1_000_000, 6, "1")];
        for (units, scale, shown) in cases {
            assert_eq!(number(units, scale), shown);
        }
    }

    #[test]
    fn a_report_reads_well() {
        let metric = |column: &str, scale, share, amount| Metric {
            column: column.to_owned(),
            from: JsonPath::default(),
            kind: ColumnKind::Int,
            scale,
            tolerance: Tolerance { share, amount },
        };
        let day = |account: &str, state| Day {
            account: account.to_owned(),
            date: "2026-11-10".parse().expect("a date"),
            state,
        };
        let found = Reconciled {
            pipeline: "demo".to_owned(),
            metrics: vec![metric("clicks", 0, None, None), metric("spend", 6, Some(5_000), Some(2_000_000))],
            accounts: 3,
            same: 18,
            differing: 2,
            incomplete: 1,
            unread: 0,
            too_young: 3,
            days: vec![
                day(
                    "1",
                    DayState::Differs(vec![
                        Compared { metric: 0, lake: Some(90), platform: Some(100) },
                        Compared { metric: 1, lake: Some(14_620_000), platform: Some(20_000_000) },
                    ]),
                ),
                day("2", DayState::Differs(vec![Compared { metric: 0, lake: Some(7), platform: None }])),
                day("3", DayState::Incomplete { missing: 2, hours: 25 }),
            ],
            failed: 1,
            failures: vec![("account 3, 2026-11-10T00:00Z to 2026-11-17T00:00Z".to_owned(), "HTTP 400".to_owned())],
            left_out: Vec::new(),
            requests: 4,
            resume: None,
            fatal: None,
            stopped: false,
        };
        assert_snapshot!(text(&found), @r#"
        demo: 20 account-days compared, 2 differ, 1 incomplete, 3 not settled yet
           account  date        metric   lake  platform  difference  percent  tolerance
           1        2026-11-10  clicks     90       100         -10  -10.00%  0
           1        2026-11-10  spend   14.62        20       -5.38  -26.90%  0.5% or 2
           2        2026-11-10  clicks      7      none           7        -  0
          incomplete  3  2026-11-10  2 of 25 hours are missing
          failed      account 3, 2026-11-10T00:00Z to 2026-11-17T00:00Z: HTTP 400
        "#);
        assert_snapshot!(format!("{:#}", document(&found)["days"]), @r#"
        [
          {
            "account_id": "1",
            "date": "2026-11-10",
            "state": "differs",
            "metrics": [
              {
                "metric": "clicks",
                "lake": "90",
                "platform": "100",
                "difference": "-10",
                "percent": -10.0,
                "tolerance": [
                  "0"
                ]
              },
              {
                "metric": "spend",
                "lake": "14.62",
                "platform": "20",
                "difference": "-5.38",
                "percent": -26.9,
                "tolerance": [
                  "0.5%",
                  "2"
                ]
              }
            ]
          },
          {
            "account_id": "2",
            "date": "2026-11-10",
            "state": "differs",
            "metrics": [
              {
                "metric": "clicks",
                "lake": "7",
                "platform": null,
                "difference": "7",
                "percent": null,
                "tolerance": [
                  "0"
                ]
              }
            ]
          },
          {
            "account_id": "3",
            "date": "2026-11-10",
            "state": "incomplete",
            "missing_hours": 2,
            "hours": 25
          }
        ]
        "#);
        assert_eq!(found.outcome(), Outcome::Differs);
    }
}
