//! `quarantine`: units that broke a quality rule, and what becomes of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::lake::Lake;
use crate::merge::value_text;
use crate::pipeline::Pipeline;
use crate::pipeline::schema::key_columns;
use crate::run::{self, Errand, Progress, RunReport};
use crate::state::{Quarantined, State};
use crate::telemetry::Meter;
use crate::time::short;
use crate::unit::UnitKey;

use super::arguments::{ListFormat, QuarantineCommand, QuarantinedUnits};
use super::progress::Display;
use super::report;
use super::screen::Screen;
use super::settings::Settings;

/// Units of a run's report that are shown one by one.
const UNITS_SHOWN: usize = 10;
/// Rows of a unit that `show` prints.
const ROWS_SHOWN: usize = 50;

pub(super) async fn quarantine(
    settings: &Settings,
    screen: &Screen,
    command: &QuarantineCommand,
    stop: CancellationToken,
) -> Result<Outcome> {
    match command {
        QuarantineCommand::List { pipelines, format } => list(settings, screen, pipelines, *format).await,
        QuarantineCommand::Show { pipeline, unit } => show(settings, screen, pipeline, unit).await,
        QuarantineCommand::Release(units) => {
            let Some((pipeline, keys)) = chosen(settings, screen, units).await? else { return Ok(Outcome::Done) };
            errand(settings, screen, pipeline, Errand::Release(keys), stop).await
        }
        QuarantineCommand::Refetch(units) => {
            let Some((pipeline, keys)) = chosen(settings, screen, units).await? else { return Ok(Outcome::Done) };
            errand(settings, screen, pipeline, Errand::Refetch(keys), stop).await
        }
        QuarantineCommand::Drop(units) => {
            let Some((pipeline, keys)) = chosen(settings, screen, units).await? else { return Ok(Outcome::Done) };
            let dropped = run::drop_quarantined(&settings.environment().await?, &pipeline, &keys).await?;
            screen.remark(&format!("{}: {dropped} units dropped; their hours are unread", pipeline.name));
            Ok(Outcome::Done)
        }
    }
}

/// A line for each quarantined unit, as `status` shows them.
pub(super) fn lines(entries: &[Quarantined]) -> Vec<String> {
    let line = |entry: &Quarantined| {
        format!("  quarantined  {} (unit {}): {}", entry.unit, entry.unit.key.digest(), entry.reason)
    };
    entries.iter().map(line).collect()
}

/// An object for each quarantined unit, as in all JSON of this program.
pub(super) fn documents(entries: &[Quarantined]) -> Vec<Value> {
    let document = |entry: &Quarantined| {
        let accounts: Vec<&str> = entry.unit.accounts.iter().map(|account| account.id.as_str()).collect();
        json!({
            "unit": entry.unit.key.as_str(),
            "digest": entry.unit.key.digest(),
            "accounts": accounts,
            "from": entry.window.from(),
            "to": entry.window.to(),
            "fetched_at": entry.fetched_at,
            "rows": entry.rows,
            "requests": entry.requests,
            "reason": entry.reason,
            "examples": entry.examples,
            "at": entry.at,
        })
    };
    entries.iter().map(document).collect()
}

/// What a run's report says of quarantined units and rejected rows.
pub(super) fn report_lines(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    if report.rejected > 0 {
        lines.push(format!("{} rows break a rule and are kept all the same", report.rejected));
    }
    for unit in report.quarantines.iter().take(UNITS_SHOWN) {
        lines.push(format!("{}: {}", unit.unit, unit.reason));
    }
    if report.quarantined > UNITS_SHOWN as u64 {
        lines.push(format!("... and {} more", report.quarantined - UNITS_SHOWN as u64));
    }
    if report.quarantined > 0 {
        lines.push(format!(
            "`hourmark quarantine show {} UNIT` shows the rows; then `release`, `refetch` or `drop` it",
            report.pipeline
        ));
    }
    lines
}

async fn state_of(settings: &Settings) -> Result<State> {
    settings.known_state().await?.ok_or_else(|| {
        Error::bad_input(format!("nothing has run yet: there is no state `{}`", settings.state.display()))
            .hint("`hourmark run` or `hourmark demo` begins one; --state names another")
    })
}

async fn list(settings: &Settings, screen: &Screen, names: &[String], format: ListFormat) -> Result<Outcome> {
    let pipelines = settings.pipelines(names)?;
    let state = state_of(settings).await?;
    let mut all = Vec::new();
    for pipeline in &pipelines {
        let entries = state.quarantined(&pipeline.name).await?;
        match format {
            ListFormat::Text => screen.result(&table(&pipeline.name, &entries)),
            ListFormat::Json => all.extend(documents(&entries).into_iter().map(|mut document| {
                document["pipeline"] = Value::from(pipeline.name.as_str());
                document
            })),
        }
    }
    if format == ListFormat::Json {
        screen.result(&Value::from(all).to_string());
    }
    Ok(Outcome::Done)
}

fn table(pipeline: &str, entries: &[Quarantined]) -> String {
    if entries.is_empty() {
        return format!("{pipeline}: nothing is quarantined");
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["  unit", "since", "what", "rows", "reason"]);
    for entry in entries {
        table.add_row([
            format!("  {}", entry.unit.key.digest()),
            short(entry.at).to_string(),
            entry.unit.to_string(),
            entry.rows.to_string(),
            entry.reason.clone(),
        ]);
    }
    let table: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{pipeline}: {} units are quarantined\n{}", entries.len(), table.join("\n"))
}

async fn show(settings: &Settings, screen: &Screen, pipeline: &str, unit: &str) -> Result<Outcome> {
    let pipeline = settings.pipeline(pipeline)?;
    let entries = state_of(settings).await?.quarantined(&pipeline.name).await?;
    let entry = find(&entries, unit, &pipeline.name)?;
    let mut lines = vec![
        format!("unit {} ({})", entry.unit.key, entry.unit.key.digest()),
        format!("  what       {}", entry.unit),
        format!("  fetched    {}, {} rows, {} requests", short(entry.fetched_at), entry.rows, entry.requests),
        format!("  since      {}", short(entry.at)),
        format!("  reason     {}", entry.reason),
    ];
    lines.extend(entry.examples.iter().map(|example| format!("  row        {example}")));
    let lake = Lake::open_existing(&settings.lake).await?;
    let rows = lake.quarantined_rows(&pipeline.name, &entry.unit.key, entry.fetched_at, ROWS_SHOWN).await?;
    lines.push(match rows {
        Some(rows) => rows_text(&pipeline, &rows)?,
        None => "  its rows are gone".to_owned(),
    });
    if entry.rows > ROWS_SHOWN as u64 {
        lines.push(format!("... and {} more rows", entry.rows - ROWS_SHOWN as u64));
    }
    screen.result(&lines.join("\n"));
    Ok(Outcome::Done)
}

/// The key and the declared columns of rows.
fn rows_text(pipeline: &Pipeline, rows: &RecordBatch) -> Result<String> {
    let mut names = key_columns(pipeline);
    for column in &pipeline.columns {
        if !names.contains(&column.name) {
            names.push(column.name.clone());
        }
    }
    let columns: Vec<&ArrayRef> = names.iter().filter_map(|name| rows.column_by_name(name)).collect();
    names.retain(|name| rows.column_by_name(name).is_some());
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(names);
    for row in 0..rows.num_rows() {
        let values: Result<Vec<String>> = columns.iter().map(|column| value_text(column, row)).collect();
        table.add_row(values?);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    Ok(lines.join("\n"))
}

/// The quarantined unit of a key or a digest.
fn find<'a>(entries: &'a [Quarantined], unit: &str, pipeline: &str) -> Result<&'a Quarantined> {
    let is = |key: &UnitKey| key.as_str() == unit || key.digest() == unit;
    entries.iter().find(|entry| is(&entry.unit.key)).ok_or_else(|| {
        Error::bad_input(format!("pipeline `{pipeline}` has no quarantined unit `{unit}`")).hint(format!(
            "`hourmark quarantine list {pipeline}` lists them; a unit is named by its key or its 16 digits"
        ))
    })
}

/// The pipeline and the keys of the units that are meant; `None` where nothing is quarantined and nothing was named.
async fn chosen(
    settings: &Settings,
    screen: &Screen,
    units: &QuarantinedUnits,
) -> Result<Option<(Arc<Pipeline>, Vec<UnitKey>)>> {
    let pipeline = settings.pipeline(&units.pipeline)?;
    let entries = state_of(settings).await?.quarantined(&pipeline.name).await?;
    if units.all && entries.is_empty() {
        screen.remark(&format!("{}: nothing is quarantined", pipeline.name));
        return Ok(None);
    }
    let mut keys = Vec::new();
    for unit in &units.units {
        keys.push(find(&entries, unit, &pipeline.name)?.unit.key.clone());
    }
    if units.all {
        keys = entries.into_iter().map(|entry| entry.unit.key).collect();
    }
    Ok(Some((pipeline, keys)))
}

async fn errand(
    settings: &Settings,
    screen: &Screen,
    pipeline: Arc<Pipeline>,
    errand: Errand,
    stop: CancellationToken,
) -> Result<Outcome> {
    let environment = settings.environment().await?;
    let (meter, progress) = (Arc::new(Meter::default()), Arc::new(Progress::default()));
    let display = Display::start(*screen, &pipeline.name, meter.clone(), progress.clone());
    let result = run::run_errand(&environment, pipeline, &errand, meter, progress, stop).await;
    display.end();
    let report = result?;
    screen.remark(&report::table(&report));
    Ok(report.outcome())
}
