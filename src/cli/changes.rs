//! `changes`: what was restated since a moment.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{Error, Outcome, Result};
use crate::query::{Asked, Changes, Moved, QueryInput, Totals};

use super::arguments::{ChangesArguments, ListFormat};
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn changes(settings: &Settings, screen: &Screen, arguments: &ChangesArguments) -> Result<Outcome> {
    let asked = Asked {
        pipelines: arguments.pipelines.clone(),
        since: arguments.since,
        metric: arguments.metric.clone(),
        top: usize::from(arguments.top),
    };
    let changes = crate::query::changes(QueryInput::new(&settings.lake), &asked).await?;
    screen.result(&match arguments.format {
        ListFormat::Text => text(&changes),
        ListFormat::Json => document(&asked, &changes)?.to_string(),
    });
    Ok(Outcome::Done)
}

fn text(changes: &Changes) -> String {
    let mut lines: Vec<String> = changes.totals.iter().map(line).collect();
    if changes.moved.is_empty() {
        return lines.join("\n");
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "pipeline",
        "account",
        "campaign",
        "day (UTC)",
        "metric",
        "before",
        "now",
        "difference",
        "weight",
        "hours",
        "last age",
    ]);
    for moved in &changes.moved {
        table.add_row([
            moved.pipeline.clone(),
            moved.account.clone(),
            moved.campaign.clone(),
            moved.day.to_string(),
            moved.metric.clone(),
            moved.old.clone(),
            moved.new.clone(),
            signed(&moved.difference),
            format!("{:.2} %", moved.weight * 100.0),
            moved.hours.to_string(),
            age(moved.last_age_seconds),
        ]);
    }
    for column in table.column_iter_mut().skip(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    lines.push(table.trim_fmt());
    lines.join("\n")
}

fn line(totals: &Totals) -> String {
    let Totals { pipeline, restated, added, removed, kept } = totals;
    format!("{pipeline}: {restated} rows restated, {added} added, {removed} removed, {kept} kept")
}

fn signed(difference: &str) -> String {
    if difference.starts_with('-') { difference.to_owned() } else { format!("+{difference}") }
}

/// Days and hours: an age is of an hour, and its minutes say nothing.
fn age(seconds: i64) -> String {
    let hours = seconds.div_euclid(3600);
    if hours >= 48 { format!("{}d {}h", hours / 24, hours % 24) } else { format!("{hours}h") }
}

fn document(asked: &Asked, changes: &Changes) -> Result<Box<RawValue>> {
    let totals: Vec<Value> = changes.totals.iter().map(totals_document).collect();
    let moved: Vec<String> = changes.moved.iter().map(moved_document).collect();
    let head = json!({ "since": asked.since, "totals": totals }).to_string();
    // Sums are written with all their digits, which a number in memory would not keep.
    let text = format!("{},\"moved\":[{}]}}", opened(&head), moved.join(","));
    RawValue::from_string(text).map_err(|error| Error::internal("cannot write the changes as JSON").because(error))
}

fn totals_document(totals: &Totals) -> Value {
    json!({
        "pipeline": totals.pipeline,
        "restated": totals.restated,
        "added": totals.added,
        "removed": totals.removed,
        "kept": totals.kept,
    })
}

fn moved_document(moved: &Moved) -> String {
    let known = json!({
        "pipeline": moved.pipeline,
        "account_id": moved.account,
        "campaign_id": moved.campaign,
        "day": moved.day.to_string(),
        "metric": moved.metric,
        "hours": moved.hours,
        "last_age_seconds": moved.last_age_seconds,
        "weight": moved.weight,
    });
    let known = known.to_string();
    let [old, new, difference] = [&moved.old, &moved.new, &moved.difference].map(|sum| number(sum));
    format!("{},\"old\":{old},\"new\":{new},\"difference\":{difference}}}", opened(&known))
}

/// An object's text without its end, for more to follow.
fn opened(object: &str) -> &str {
    object.strip_suffix('}').unwrap_or(object)
}

/// A sum as JSON: a number, or a text where it is none that JSON knows (a float that is no number).
fn number(sum: &str) -> String {
    if serde_json::from_str::<serde_json::Number>(sum).is_ok() { sum.to_owned() } else { Value::from(sum).to_string() }
}
