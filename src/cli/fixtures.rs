//! `cassette export --fixtures`: what a run was answered, as answer files, a scenario and rows for tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};

use crate::cassette::export::campaigns_in;
use crate::cassette::fixtures::{Recorded, fixtures};
use crate::cassette::play::play;
use crate::cassette::{Cassette, Disguise, Exchange, Header, Line, Shelf};
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::pipeline::Pipeline;
use crate::time::date_at;
use crate::unit::Lane;

use super::new::secrets;
use super::screen::Screen;
use super::settings::Settings;

/// Columns that are the same in every run, or that say when it was.
const LEFT_OUT: [&str; 4] = ["platform", "account_name", "account_timezone", "seen_at"];

/// A cassette that belongs to the scenario.
struct Part {
    header: Header,
    lines: Vec<Line>,
}

/// Writes into `folder` what the run of the cassette at `path` was answered for its accounts.
pub(super) fn write(
    settings: &Settings,
    screen: &Screen,
    path: &Path,
    folder: &Path,
    anonymous: bool,
    overrides: &[String],
) -> Result<()> {
    let unit = Cassette::open(path)?.header;
    let pipeline = settings.pipeline(&unit.pipeline)?;
    let text = std::fs::read_to_string(settings.pipeline_file(&unit.pipeline)).unwrap_or_default();
    let mut parts = parts(settings, &unit)?;
    if anonymous {
        disguise(&mut parts, &pipeline);
    }
    let units: Vec<&Part> = parts.iter().filter(|part| part.header.unit.is_some()).collect();
    let Some(first) = units.first() else {
        return Err(Error::bad_input(format!("`{}` is not of a unit", path.display()))
            .hint("`hourmark cassette list` shows the units' digests"));
    };
    let rows = rows(&units, &pipeline)?;
    let exchanges: Vec<Exchange> = parts.iter().flat_map(|part| exchanges(&part.lines)).collect();
    let recorded = Recorded {
        pipeline: &pipeline,
        now: unit.run.started_at,
        arguments: command(&first.header, &units)?,
        overrides: overrides.to_vec(),
        secrets: secrets(&text),
        rows: Some("day.csv".to_owned()),
        exchanges: &exchanges,
    };
    let mut found = fixtures(&recorded)?;
    found.files.push(("day.csv".to_owned(), rows.into_bytes()));
    save(folder, &found.files)?;
    screen.result(&format!("{} files in `{}`", found.files.len(), folder.display()));
    if found.unanswered > 0 {
        screen.remark(&format!("{} requests got no answer and are not among them", found.unanswered));
    }
    screen.remark("day.csv holds the rows as they were read: compare them with what the platform itself shows");
    Ok(())
}

/// The cassettes of the unit's run that are about its accounts: the lists first, then the units.
fn parts(settings: &Settings, unit: &Header) -> Result<Vec<Part>> {
    let wanted: BTreeSet<&str> = unit.accounts.iter().map(|account| account.id.as_str()).collect();
    let mut parts = Vec::new();
    for file in Shelf::new(&settings.lake, &unit.pipeline).list()? {
        let Cassette { header, lines } = Cassette::open(&file.path)?;
        let mut theirs = header.accounts.iter().map(|account| account.id.as_str());
        let about = if header.unit.is_some() {
            theirs.all(|id| wanted.contains(id))
        } else {
            theirs.any(|id| wanted.contains(id))
        };
        if header.run == unit.run && about {
            parts.push(Part { header, lines: lines.collect::<Result<_>>()? });
        }
    }
    parts.sort_by_key(|part| part.header.unit.is_some());
    Ok(parts)
}

fn exchanges(lines: &[Line]) -> impl Iterator<Item = Exchange> {
    lines.iter().filter_map(|line| match line {
        // What was not sent is sent by a program that has kept nothing.
        Line::Exchange(exchange) => Some(Exchange { cached: false, ..Exchange::clone(exchange) }),
        _ => None,
    })
}

/// Other names for accounts and campaigns, the same in all parts.
fn disguise(parts: &mut [Part], pipeline: &Pipeline) {
    let mut everything: Vec<Line> = Vec::new();
    let mut accounts = Vec::new();
    for part in parts.iter() {
        everything.extend(part.lines.iter().cloned());
        accounts.extend(part.header.accounts.iter().cloned());
    }
    let Some(first) = parts.first() else { return };
    let header = Header { accounts, ..first.header.clone() };
    let disguise = Disguise::new(&header, &everything, &campaigns_in(&everything, pipeline), rand::random());
    for part in parts {
        part.header = disguise.header(&part.header);
        part.lines = part.lines.iter().map(|line| disguise.line(line)).collect();
    }
}

/// The command that asks for these units: a backfill of their dates, or a run.
fn command(first: &Header, units: &[&Part]) -> Result<Vec<String>> {
    let mut ids: Vec<&str> = first.accounts.iter().map(|account| account.id.as_str()).collect();
    ids.sort_unstable();
    let accounts = ["--accounts".to_owned(), ids.join(",")];
    let backfill = first.unit.as_ref().is_some_and(|unit| unit.lane == Lane::Backfill.word());
    if !backfill {
        return Ok([vec!["run".to_owned()], accounts.to_vec()].concat());
    }
    let mut dates = BTreeSet::new();
    for part in units {
        let (Some(unit), accounts) = (&part.header.unit, part.header.accounts()?) else { continue };
        let window = unit.window.window()?;
        for account in accounts {
            dates.insert(date_at(window.from(), account.time_zone));
            dates.insert(date_at(window.to() - chrono::TimeDelta::seconds(1), account.time_zone));
        }
    }
    let (Some(from), Some(last)) = (dates.first(), dates.last()) else { return Ok(vec!["run".to_owned()]) };
    let to = last.succ_opt().unwrap_or(*last);
    let between = ["backfill", "--from", &from.to_string(), "--to", &to.to_string()].map(str::to_owned);
    Ok([between.to_vec(), accounts.to_vec()].concat())
}

/// The rows of all units as CSV.
fn rows(units: &[&Part], pipeline: &Pipeline) -> Result<String> {
    let decoder = Decoder::new(pipeline);
    let mut lines = Vec::new();
    for part in units.iter().filter(|part| part.header.failed.is_none()) {
        let played = play(&part.header, part.lines.iter().cloned().map(Ok), &decoder)?;
        lines.extend(csv(&played.rows)?);
    }
    // By account, campaign and hour, which are the first columns.
    lines.sort();
    let names = decoder.schema().fields().iter().map(|field| field.name().clone());
    let header: Vec<String> = order(names.collect());
    Ok([vec![header.join(",")], lines.into_iter().map(|line| line.join(",")).collect(), vec![String::new()]]
        .concat()
        .join("\n"))
}

/// The key first, and without what is not compared.
fn order(names: Vec<String>) -> Vec<String> {
    let key = ["account_id", "campaign_id", "hour"].map(str::to_owned);
    let others = names.into_iter().filter(|name| !key.contains(name) && !LEFT_OUT.contains(&name.as_str()));
    key.iter().cloned().chain(others).collect()
}

fn csv(rows: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let names = order(rows.schema().fields().iter().map(|field| field.name().clone()).collect());
    let columns: Vec<Vec<String>> =
        names.iter().filter_map(|name| rows.column_by_name(name)).map(texts).collect::<Result<_>>()?;
    Ok((0..rows.num_rows()).map(|row| columns.iter().map(|column| field(&column[row])).collect()).collect())
}

fn texts(column: &ArrayRef) -> Result<Vec<String>> {
    if let DataType::Timestamp(TimeUnit::Microsecond, zone) = column.data_type() {
        let form = if zone.is_some() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S" };
        let shown =
            |micros| chrono::DateTime::from_timestamp_micros(micros).map(|moment| moment.format(form).to_string());
        let moments = column.as_primitive::<TimestampMicrosecondType>();
        return Ok(moments.iter().map(|moment| moment.and_then(shown).unwrap_or_default()).collect());
    }
    let texts =
        cast(column, &DataType::Utf8).map_err(|error| Error::internal("rows cannot be shown").because(error))?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Writes the files; none of another's is overwritten.
fn save(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let failed = |path: &PathBuf, error: std::io::Error| {
        Error::bad_input(format!("cannot write `{}`", path.display())).because(error)
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(&folder.to_owned(), error))?;
    let taken = files.iter().map(|(name, _)| folder.join(name)).find(|path| path.exists());
    if let Some(path) = taken {
        return Err(Error::bad_input(format!("`{}` is there already", path.display()))
            .hint("name another folder, or remove the file"));
    }
    for (name, content) in files {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}
