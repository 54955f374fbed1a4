//! `cassette list`, `cassette export`, `cassette serve`.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cassette::export::campaigns_in;
use crate::cassette::{Cassette, Disguise, Header, Kept, Line, Shelf, server};
use crate::error::{Error, Outcome, Result};
use crate::time::short;
use crate::unit::UnitKey;

use super::arguments::{CassetteCommand, ExportArguments, ListFormat};
use super::fixtures;
use super::report::size;
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn cassette(
    settings: &Settings,
    screen: &Screen,
    command: &CassetteCommand,
    overrides: &[String],
    stop: CancellationToken,
) -> Result<Outcome> {
    match command {
        CassetteCommand::List { pipeline, format } => list(settings, screen, pipeline.as_deref(), *format)?,
        CassetteCommand::Export(arguments) => match &arguments.fixtures {
            Some(folder) => {
                let path = find(&settings.lake, &arguments.unit)?;
                fixtures::write(settings, screen, &path, folder, arguments.anonymous, overrides)?;
            }
            None => export(settings, screen, arguments)?,
        },
        CassetteCommand::Serve { paths, listen } => {
            let index = server::load(paths)?;
            let requests = index.len();
            let taken = server::serve(index, *listen, stop.clone()).await?;
            screen.result(&format!("{requests} recorded requests are answered at http://{taken}"));
            stop.cancelled().await;
        }
    }
    Ok(Outcome::Done)
}

fn list(settings: &Settings, screen: &Screen, pipeline: Option<&str>, format: ListFormat) -> Result<()> {
    let names = match pipeline {
        Some(name) => vec![name.to_owned()],
        None => Shelf::pipelines(&settings.lake)?,
    };
    let mut documents = Vec::new();
    let mut lines = Vec::new();
    for name in names {
        let kept = Shelf::new(&settings.lake, &name).list()?;
        let bytes: u64 = kept.iter().map(|file| file.bytes).sum();
        lines.push(format!("{name}: {} cassettes, {}", kept.len(), size(bytes)));
        for file in kept {
            let header = Cassette::open(&file.path).map(|cassette| cassette.header);
            match format {
                ListFormat::Text => lines.push(line(&file, &header)),
                ListFormat::Json => documents.push(document(&file, &header)),
            }
        }
    }
    match format {
        ListFormat::Text if lines.is_empty() => {
            screen.remark("no responses are kept: `raw = \"7d\"` in a pipeline file keeps them from then on");
        }
        ListFormat::Text => screen.result(&lines.join("\n")),
        ListFormat::Json => screen.result(&Value::from(documents).to_string()),
    }
    Ok(())
}

fn line(file: &Kept, header: &Result<Header>) -> String {
    let what = match header {
        Err(error) => format!("{} cannot be read: {error}", file.path.display()),
        Ok(Header { unit: None, accounts, .. }) if file.is_of_campaigns() => {
            format!("the lists of the campaigns of {} accounts", accounts.len())
        }
        Ok(Header { unit: None, accounts, .. }) => format!("the list of {} accounts", accounts.len()),
        Ok(Header { unit: Some(unit), failed, .. }) => {
            let failed = if failed.is_some() { ", failed" } else { "" };
            let digest = UnitKey::from_stored(&unit.key).digest();
            format!("{digest}  {} ({}{failed})", unit.key, unit.lane)
        }
    };
    format!("  {}  {:>9}  {what}", short(file.moment), size(file.bytes))
}

fn document(file: &Kept, header: &Result<Header>) -> Value {
    let mut document = json!({ "path": file.path, "bytes": file.bytes, "fetched_at": file.moment });
    match header {
        Err(error) => document["unreadable"] = error.report().into(),
        Ok(header) => {
            let unit = header.unit.as_ref();
            document["pipeline"] = header.pipeline.as_str().into();
            document["unit"] = unit.map(|unit| unit.key.as_str()).into();
            document["digest"] = unit.map(|unit| UnitKey::from_stored(&unit.key).digest()).into();
            document["accounts"] = header.accounts.len().into();
            document["requests"] = header.requests.into();
            document["run"] = header.run.id.into();
            document["failed"] = header.failed.as_ref().map(|failed| failed.reason.as_str()).into();
        }
    }
    document
}

fn export(settings: &Settings, screen: &Screen, arguments: &ExportArguments) -> Result<()> {
    let path = find(&settings.lake, &arguments.unit)?;
    let Cassette { header, lines } = Cassette::open(&path)?;
    let mut lines = lines.collect::<Result<Vec<Line>>>()?;
    settle(&mut lines);
    if let Some(line) = pipeline_line(settings, &header.pipeline) {
        lines.insert(0, line);
    }
    let (header, lines) = if arguments.anonymous {
        // Without its file nobody can say where in the pages campaigns are named.
        let campaigns = campaigns_in(&lines, settings.pipeline(&header.pipeline)?.as_ref());
        let disguise = Disguise::new(&header, &lines, &campaigns, rand::random());
        (disguise.header(&header), lines.iter().map(|line| disguise.line(line)).collect())
    } else {
        (header, lines)
    };
    let broken = |error: std::io::Error, name: &str| Error::bad_input(format!("cannot write `{name}`")).because(error);
    match &arguments.output {
        Some(output) => {
            let name = output.display().to_string();
            let file = std::fs::File::create(output).map_err(|error| broken(error, &name))?;
            write(BufWriter::new(file), &header, &lines).map_err(|error| broken(error, &name))?;
            screen.remark(&format!("{} lines in `{name}`", lines.len() + 1));
        }
        None => {
            let mut text = Vec::new();
            write(&mut text, &header, &lines).map_err(|error| broken(error, "the standard output"))?;
            screen.result(String::from_utf8_lossy(&text).trim_end());
        }
    }
    Ok(())
}

fn write(mut to: impl Write, header: &Header, lines: &[Line]) -> std::io::Result<()> {
    serde_json::to_writer(&mut to, header)?;
    to.write_all(b"\n")?;
    for line in lines {
        serde_json::to_writer(&mut to, line)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

/// Marks the pages that were dropped again as not taken, so that each exchange says by itself what became of it.
fn settle(lines: &mut Vec<Line>) {
    let mut taken: Vec<usize> = Vec::new();
    let mut dropped: Vec<usize> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        match line {
            Line::Exchange(exchange) if exchange.taken => taken.push(place),
            Line::Dropped { keep } => dropped.extend(taken.drain((*keep as usize).min(taken.len())..)),
            _ => {}
        }
    }
    for place in dropped {
        if let Line::Exchange(exchange) = &mut lines[place] {
            exchange.taken = false;
        }
    }
    lines.retain(|line| !matches!(line, Line::Dropped { .. }));
}

/// The pipeline's file as it is now; it names where secrets are and holds none.
fn pipeline_line(settings: &Settings, name: &str) -> Option<Line> {
    let path = settings.pipeline_file(name);
    let text = std::fs::read_to_string(&path).ok()?;
    let file = path.file_name()?.to_string_lossy().into_owned();
    Some(Line::Pipeline { file, text })
}

/// The newest cassette of a unit, by its key or its digest, or the file that was named.
fn find(lake: &Path, unit: &str) -> Result<PathBuf> {
    let named = Path::new(unit);
    if named.is_file() {
        return Ok(named.to_owned());
    }
    let digests = [unit.to_owned(), UnitKey::from_stored(unit).digest()];
    for name in Shelf::pipelines(lake)? {
        for file in Shelf::new(lake, &name).list()?.into_iter().rev() {
            let stem = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_of = |digest: &String| stem.ends_with(&format!("-{digest}.jsonl.zst"));
            if digests.iter().any(is_of) {
                return Ok(file.path);
            }
        }
    }
    Err(Error::bad_input(format!("there is no cassette of the unit `{unit}`"))
        .hint("`hourmark cassette list` shows them; they are kept for as long as `raw` in the pipeline file says"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cassette::Exchange;

    #[test]
    fn an_exported_page_says_by_itself_whether_it_was_taken() {
        let page = |taken| Line::Exchange(Box::new(Exchange { taken, ..Exchange::default() }));
        let mut lines = vec![
            page(true),
            page(true),
            page(false),
            Line::Dropped { keep: 1 },
            page(true),
            Line::Dropped { keep: 0 },
            page(true),
            Line::End { exchanges: 5 },
        ];
        settle(&mut lines);
        let taken: Vec<bool> =
            lines.iter().filter_map(|line| if let Line::Exchange(it) = line { Some(it.taken) } else { None }).collect();
        assert_eq!(taken, [false, false, false, false, true]);
        assert_eq!(lines.len(), 6);
    }
}
