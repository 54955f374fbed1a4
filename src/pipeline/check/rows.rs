//! Where rows are in an answer, how records become rows, and how a row's hour is made.

use super::super::problem::{KeyPath, shown};
use super::super::{HourSource, JsonPath, RecordFormat, RecordShape, Records, RepeatedHour, Step, raw};
use super::Checker;
use crate::time::Pattern;

/// Keys of the file with the places that they name.
type Places<'a> = Vec<(KeyPath, &'a str)>;

impl Checker<'_> {
    pub(super) fn records(&mut self, path: &KeyPath, records: &raw::Records) -> Option<Records> {
        let place = self.places(&path.key("path"), &records.path)?;
        Some(Records { path: place, absent_is_empty: records.absent_is_empty, nulls: records.nulls.clone() })
    }

    /// How the metrics' records become rows.
    pub(super) fn row_shape(&mut self, file: &raw::PipelineFile) -> Option<RecordShape> {
        let root = KeyPath::root();
        let path = root.key("records");
        let (of_row, mut of_body) = places_of_hour(&root.key("hour"), &file.hour);
        let columns = file.columns.values().map(|column| column.from.as_str());
        let named: Vec<&str> = columns.chain(of_row).collect();
        of_body.extend(places_of_pages(&root.key("pagination"), &file.pagination));
        self.body_fits(&path, &file.records, &of_body);
        if file.records.skip_empty && !file.columns.iter().any(|(name, column)| is_metric(file, name, column)) {
            let message =
                "needs a column to look at: expected one that is int, decimal, micros or cents and not in `key`";
            self.wrong(&path.key("skip_empty"), message);
        }
        if file.records.format == raw::RecordFormat::Csv {
            for (name, column) in &file.columns {
                if column.pick.is_some() {
                    let path = root.key("columns").key(name).key("pick");
                    self.wrong(&path, "takes a value out of a list, but a cell of a CSV holds one value");
                }
            }
        }
        self.shape(&path, &file.records, &named)
    }

    /// How the records of the report with which the lake is compared become rows.
    pub(super) fn daily_shape(&mut self, path: &KeyPath, report: &raw::Reconcile) -> Option<RecordShape> {
        let metrics = report.metrics.values().map(|metric| metric.from.as_str());
        let named: Vec<&str> = metrics.chain(report.account.as_deref()).chain([report.date.as_str()]).collect();
        let of_body = places_of_pages(&path.key("pagination"), &report.pagination);
        let path = path.key("records");
        self.body_fits(&path, &report.records, &of_body);
        self.shape(&path, &report.records, &named)
    }

    /// How the records become rows of which the places `named` are read.
    fn shape(&mut self, path: &KeyPath, records: &raw::Records, named: &[&str]) -> Option<RecordShape> {
        let before = self.problems.count();
        let each = match &records.each {
            Some(text) => self.place(&path.key("each"), text).map(Some),
            None => Some(None),
        };
        if let Some(Some(list)) = &each {
            let within = |text: &str| JsonPath::parse(text).is_some_and(|place| place.within(list).is_some());
            if !named.iter().any(|text| within(text)) {
                let message =
                    format!("makes rows of which nothing is read: expected a place `{list}.*.NAME` somewhere");
                self.wrong(&path.key("each"), message);
            }
        }
        let format = match records.format {
            raw::RecordFormat::Json => self.json(path, records),
            raw::RecordFormat::Csv => self.csv(path, records),
        };
        if self.problems.count() > before {
            return None;
        }
        Some(RecordShape { each: each?, format: format?, skip_empty: records.skip_empty })
    }

    fn json(&mut self, path: &KeyPath, records: &raw::Records) -> Option<RecordFormat> {
        let others = [("csv_header", records.csv_header.is_some()), ("csv_footers", !records.csv_footers.is_empty())];
        for (key, given) in others {
            if given {
                self.wrong(&path.key(key), "has a meaning only with `format = \"csv\"`");
            }
        }
        Some(RecordFormat::Json)
    }

    fn csv(&mut self, path: &KeyPath, records: &raw::Records) -> Option<RecordFormat> {
        if !records.path.is_empty() {
            let found = shown(&records.path);
            self.wrong(&path.key("path"), format!("is {found}, but a CSV is rows from end to end: expected \"\""));
        }
        for (key, given) in [("absent_is_empty", records.absent_is_empty), ("each", records.each.is_some())] {
            if given {
                self.wrong(&path.key(key), "has a meaning only with `format = \"json\"`");
            }
        }
        for (index, footer) in records.csv_footers.iter().enumerate() {
            if footer.is_empty() {
                self.wrong(
                    &path.key("csv_footers").index(index),
                    "is empty, and every line begins so: expected a text",
                );
            }
        }
        match records.csv_header.as_deref() {
            None => {
                let key = path.key("csv_header");
                self.report(
                    path,
                    format!("missing key `{key}`: expected a column's name, to know the line of names by"),
                );
                None
            }
            Some(name) if name.trim().is_empty() => {
                self.wrong(&path.key("csv_header"), "is empty: expected a column's name, to know the line of names by");
                None
            }
            Some(name) => Some(RecordFormat::Csv { header: name.to_owned(), footers: records.csv_footers.clone() }),
        }
    }

    /// Reports what is read of a JSON body where a CSV comes, and places that contradict each other on their way.
    fn body_fits(&mut self, path: &KeyPath, records: &raw::Records, of_body: &Places<'_>) {
        let rows = JsonPath::parse(&records.path);
        for (key, text) in of_body {
            if records.format == raw::RecordFormat::Csv {
                self.wrong(key, "is a place in a JSON body, but the answer is a CSV: expected none");
            } else if let (Some(rows), Some(place)) = (&rows, JsonPath::parse(text))
                && contradict(rows, &place)
            {
                let other = path.key("path");
                self.wrong(key, format!("has `?` where `{other}` has `*`, or the other way round: expected the same"));
            }
        }
    }

    /// One place in a row: in the record, or in an element of the list of which each makes a row.
    pub(super) fn place_in_row(&mut self, path: &KeyPath, text: &str, each: Option<&JsonPath>) -> Option<JsonPath> {
        let Some(list) = each else { return self.place(path, text) };
        let place = self.places(path, text)?;
        let rest = place.within(list).unwrap_or(&place.0);
        if place.0.is_empty() || rest.contains(&Step::Each) {
            let expected = format!("expected one place, as keys joined by dots, with `*` only in `{list}.*`");
            self.wrong(path, format!("is {}: {expected}", shown(text)));
            return None;
        }
        Some(place)
    }

    pub(super) fn hour(&mut self, file: &raw::PipelineFile) -> Option<HourSource> {
        let path = KeyPath::root().key("hour");
        let each = list_of(&file.records);
        let each = each.as_ref();
        match &file.hour {
            raw::HourSource::Instant { from, zone, repeated } => {
                let from = self.place_in_row(&path.key("from"), from, each);
                let zone = self.zone_rule(&path.key("zone"), zone);
                Some(HourSource::Instant { from: from?, zone: zone?, repeated: repeated_hour(*repeated) })
            }
            raw::HourSource::DateHour { date, hour, zone, repeated } => {
                let date = self.place_in_row(&path.key("date"), date, each);
                let hour = self.place_in_row(&path.key("hour"), hour, each);
                let zone = self.zone_rule(&path.key("zone"), zone);
                let repeated = repeated_hour(*repeated);
                Some(HourSource::DateHour { date: date?, hour: hour?, zone: zone?, repeated })
            }
            raw::HourSource::DateRange { date, range, zone, repeated } => {
                let date = self.place_in_row(&path.key("date"), date, each);
                let range = self.place_in_row(&path.key("range"), range, each);
                let zone = self.zone_rule(&path.key("zone"), zone);
                let repeated = repeated_hour(*repeated);
                Some(HourSource::DateRange { date: date?, range: range?, zone: zone?, repeated })
            }
            raw::HourSource::Pattern { from, patterns, zone, repeated } => {
                let from = self.place_in_row(&path.key("from"), from, each);
                let patterns = self.patterns(&path.key("patterns"), patterns);
                let zone = self.zone_rule(&path.key("zone"), zone);
                let repeated = repeated_hour(*repeated);
                Some(HourSource::Pattern { from: from?, patterns: patterns?, zone: zone?, repeated })
            }
            raw::HourSource::Position { start, length } => {
                let start = self.optional_place(&path.key("start"), start);
                let length = self.optional_place(&path.key("length"), length);
                self.hours_have_positions(&path, file);
                Some(HourSource::Position { start: start?, length: length? })
            }
        }
    }

    fn hours_have_positions(&mut self, path: &KeyPath, file: &raw::PipelineFile) {
        if file.window.align == raw::Align::AccountDay {
            let message = "is \"position\", and such hours are counted in UTC: expected `window.align` to be \"hour\" or \
                           \"utc_day\"";
            self.wrong(&path.key("kind"), message);
        }
        if file.records.format == raw::RecordFormat::Csv {
            self.wrong(
                &path.key("kind"),
                "is \"position\", but a cell of a CSV holds one value: expected another kind",
            );
        }
    }

    fn patterns(&mut self, path: &KeyPath, texts: &[String]) -> Option<Vec<Pattern>> {
        if texts.is_empty() {
            self.wrong(path, "is empty: expected at least one form such as \"%Y-%m-%d|%H\"");
        }
        let mut patterns = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match Pattern::parse(text) {
                Some(pattern) => patterns.push(pattern),
                None => {
                    let expected = "expected the letters of strftime for a date and an hour, as in \"%Y-%m-%d|%H\"";
                    self.wrong(&path.index(index), format!("is {}: {expected}", shown(text)));
                }
            }
        }
        (!patterns.is_empty() && patterns.len() == texts.len()).then_some(patterns)
    }
}

/// The places in a row that an hour is made of, and those in the body with which it is compared.
fn places_of_hour<'a>(path: &KeyPath, hour: &'a raw::HourSource) -> (Vec<&'a str>, Places<'a>) {
    match hour {
        raw::HourSource::Instant { from, .. } | raw::HourSource::Pattern { from, .. } => (vec![from], Vec::new()),
        raw::HourSource::DateHour { date, hour: other, .. } | raw::HourSource::DateRange { date, range: other, .. } => {
            (vec![date, other], Vec::new())
        }
        raw::HourSource::Position { start, length } => {
            let start = start.iter().map(|text| (path.key("start"), text.as_str()));
            let length = length.iter().map(|text| (path.key("length"), text.as_str()));
            (Vec::new(), start.chain(length).collect())
        }
    }
}

/// The places in the body by which pages follow each other.
fn places_of_pages<'a>(path: &KeyPath, pagination: &'a raw::Pagination) -> Places<'a> {
    let (key, place) = match pagination {
        raw::Pagination::Cursor { next, .. } | raw::Pagination::NextLink { next, .. } => ("next", Some(next)),
        raw::Pagination::PageNumber { total_pages, .. } => ("total_pages", total_pages.as_ref()),
        raw::Pagination::Offset { total, .. } => ("total", total.as_ref()),
        raw::Pagination::None | raw::Pagination::LinkHeader { .. } => return Vec::new(),
    };
    place.into_iter().map(|place| (path.key(key), place.as_str())).collect()
}

/// Whether a column is a number that rows are there for.
fn is_metric(file: &raw::PipelineFile, name: &String, column: &raw::Column) -> bool {
    use raw::ColumnType::{Cents, Decimal, Int, Micros};
    column.kind.is_some_and(|kind| [Int, Decimal, Micros, Cents].contains(&kind)) && !file.key.contains(name)
}

/// The list in a record each element of which makes a row, as far as the file is right about it.
pub(super) fn list_of(records: &raw::Records) -> Option<JsonPath> {
    records.each.as_deref().and_then(JsonPath::parse).filter(|list| !list.0.is_empty() && !list.has_each())
}

/// Whether two places go the same way up to a value that one takes for `*` and the other for `?`.
fn contradict(one: &JsonPath, other: &JsonPath) -> bool {
    let differ = one.0.iter().zip(&other.0).find(|(one, other)| one != other);
    matches!(differ, Some((Step::Each, Step::OneOrEach) | (Step::OneOrEach, Step::Each)))
}

fn repeated_hour(word: raw::Repeated) -> RepeatedHour {
    match word {
        raw::Repeated::Folded => RepeatedHour::Folded,
        raw::Repeated::First => RepeatedHour::First,
        raw::Repeated::Second => RepeatedHour::Second,
    }
}
