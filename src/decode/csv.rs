//! Rows out of comma-separated values: a line is a record, and its cells go the same way as texts in JSON.

use std::ops::Range;

use csv::{ReaderBuilder, StringRecord};

use super::DecodeError;
use super::row::RowReader;
use super::tree::Tree;
use super::unknown::Noted;
use crate::body::words;
use crate::pipeline::RecordFormat;

/// How a file is read.
#[derive(Debug)]
pub(super) struct CsvPlan {
    /// The line that has a cell of this text names the columns.
    pub(super) header: String,
    /// A line whose first cell begins with one of these ends the file.
    pub(super) footers: Vec<String>,
}

/// The texts in those columns of a file that `names` names, as far as it can be read.
pub fn cells_of(text: &str, format: &RecordFormat, names: &[&str]) -> Vec<String> {
    let RecordFormat::Csv { header, .. } = format else { return Vec::new() };
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut places: Option<Vec<usize>> = None;
    let mut found = Vec::new();
    for cells in lines.records().map_while(Result::ok) {
        match &places {
            Some(places) => found.extend(places.iter().filter_map(|place| cells.get(*place)).map(str::to_owned)),
            None if cells.iter().any(|cell| cell.trim() == header.trim()) => {
                let named = cells.iter().enumerate().filter(|(_, cell)| names.contains(&cell.trim()));
                places = Some(named.map(|(place, _)| place).collect());
            }
            None => {}
        }
    }
    found
}

/// The columns of a file.
struct Header<'t> {
    cells: usize,
    /// The cell of each of the record's slots.
    slots: Vec<Option<usize>>,
    /// Names that nothing wants.
    unknown: Vec<String>,
    /// The place of all of them, as it is noted.
    place: &'t str,
}

impl CsvPlan {
    /// Hands the lines of `text` to `reader`, as far as `tree` wants their cells.
    pub(super) fn read<'t>(
        &self,
        text: &str,
        tree: &'t Tree,
        reader: &mut RowReader<'_>,
        unknown: &mut Noted<'t>,
    ) -> Result<(), DecodeError> {
        no_other_document(text)?;
        let mut lines = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let (mut cells, mut line) = (StringRecord::new(), Line::default());
        let mut header: Option<Header<'t>> = None;
        let mut anything = false;
        while lines.read_record(&mut cells).map_err(|error| DecodeError::Unreadable(error.to_string()))? {
            line = Line::of(text, &cells);
            let is_blank = cells.iter().all(|cell| cell.trim().is_empty());
            anything |= !is_blank;
            let Some(header) = &header else {
                header = self.header(&cells, tree)?;
                continue;
            };
            if is_blank && cells.len() == 1 {
                continue;
            }
            if self.is_footer(&cells) {
                return Ok(());
            }
            header.row(&cells, line.number, reader, unknown)?;
        }
        if header.is_none() && anything {
            return Err(DecodeError::Unreadable(format!("no line with a cell `{}`", self.header)));
        }
        line.is_whole(text)
    }

    /// The columns, where this line names them.
    fn header<'t>(&self, cells: &StringRecord, tree: &'t Tree) -> Result<Option<Header<'t>>, DecodeError> {
        if !cells.iter().any(|cell| cell.trim() == self.header.trim()) {
            return Ok(None);
        }
        let mut header =
            Header { cells: cells.len(), slots: vec![None; tree.slots()], unknown: Vec::new(), place: &tree.root.path };
        let wanted: Vec<(usize, String)> = tree.slots_by_path().map(|(slot, path)| (slot, path.to_string())).collect();
        for (place, cell) in cells.iter().enumerate() {
            let Some((slot, name)) = wanted.iter().find(|(_, name)| name == cell.trim()) else {
                header.unknown.push(cell.trim().to_owned());
                continue;
            };
            if header.slots[*slot].replace(place).is_some() {
                return Err(DecodeError::Unreadable(format!("the line of names has `{name}` twice")));
            }
        }
        Ok(Some(header))
    }

    fn is_footer(&self, cells: &StringRecord) -> bool {
        let first = cells.get(0).unwrap_or_default().trim_start();
        self.footers.iter().any(|footer| first.starts_with(footer.as_str()))
    }
}

impl<'t> Header<'t> {
    fn row(
        &self,
        cells: &StringRecord,
        line: usize,
        reader: &mut RowReader<'_>,
        unknown: &mut Noted<'t>,
    ) -> Result<(), DecodeError> {
        if cells.len() != self.cells {
            let (found, names) = (cells.len(), self.cells);
            let cells = if found == 1 { "cell" } else { "cells" };
            let expected = format!("expected {names}, as many as the line of names has");
            return Err(DecodeError::Unreadable(format!("line {line} has {found} {cells}, {expected}")));
        }
        unknown.begin_record();
        for name in &self.unknown {
            unknown.note(self.place, name);
        }
        let mut texts = String::new();
        let places: Vec<Option<Range<usize>>> = self
            .slots
            .iter()
            .map(|cell| cell.and_then(|cell| cells.get(cell)).map(|cell| add(cell, &mut texts)))
            .collect();
        let slots: Vec<Option<&str>> = places.into_iter().map(|place| place.map(|place| &texts[place])).collect();
        reader.take(&slots, &[])
    }
}

/// Adds a cell as JSON text, which is what rows are read from; where it is then.
fn add(cell: &str, texts: &mut String) -> Range<usize> {
    let begin = texts.len();
    if cell.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        texts.push_str(&serde_json::Value::from(cell).to_string());
    } else {
        texts.push('"');
        texts.push_str(cell);
        texts.push('"');
    }
    begin..texts.len()
}

/// A platform that has no file to give answers with a document that says why, or with a page of markup.
fn no_other_document(text: &str) -> Result<(), DecodeError> {
    let instead = match text.trim_start().chars().next() {
        Some('{') => match words(text.as_bytes()) {
            Some(words) => format!("a JSON document instead of a CSV: {words}"),
            None => "a JSON document instead of a CSV".to_owned(),
        },
        Some('<') => "HTML or XML instead of a CSV".to_owned(),
        _ => return Ok(()),
    };
    Err(DecodeError::Unreadable(instead))
}

/// The line at hand.
#[derive(Debug, Default)]
struct Line {
    /// Its number, from 1; of several lines that are one record that of the first.
    number: usize,
    /// Where it begins.
    begin: usize,
}

impl Line {
    fn of(text: &str, cells: &StringRecord) -> Line {
        let Some(position) = cells.position() else { return Line::default() };
        let begin = usize::try_from(position.byte()).unwrap_or(usize::MAX).min(text.len());
        // Empty lines before the record belong to none.
        let empty = text[begin..].bytes().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let skipped = empty.filter(|byte| *byte == b'\n').count();
        Line { number: usize::try_from(position.line()).unwrap_or(usize::MAX).saturating_add(skipped), begin }
    }

    /// Refuses a file whose last line ends within quotes: the rest of it did not come.
    fn is_whole(&self, text: &str) -> Result<(), DecodeError> {
        let quotes = text[self.begin..].bytes().filter(|byte| *byte == b'"').count();
        if quotes % 2 == 1 && !text.ends_with('\n') {
            return Err(DecodeError::Unreadable(format!("line {} is cut off within quotes", self.number)));
        }
        Ok(())
    }
}
