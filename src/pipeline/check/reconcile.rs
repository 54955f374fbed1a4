//! The coarser report with which the lake is compared.

use super::super::problem::{KeyPath, expected_one_of, shown};
use super::super::{ColumnKind, JsonPath, Metric, Placeholder, Reconcile, RequestTemplate, Tolerance, raw};
use super::Checker;
use super::rows::list_of;

/// What may stand in the report's request: it is not about campaigns.
const ALLOWED: [Placeholder; 6] = [
    Placeholder::Account,
    Placeholder::Accounts,
    Placeholder::From,
    Placeholder::To,
    Placeholder::TimeZone,
    Placeholder::PageSize,
];
/// Digits after the point of a percentage: a share is kept in millionths.
const SHARE_DIGITS: u8 = 4;

impl Checker<'_> {
    /// The report that the file names, and what is compared. `columns` are the declared ones.
    pub(super) fn reconcile(&mut self, file: &raw::PipelineFile) -> Option<Option<Reconcile>> {
        let Some(report) = &file.reconcile else { return Some(None) };
        let path = KeyPath::root().key("reconcile");
        let before = self.problems.count();
        let request = self.daily_request(&path, report, file);
        let pagination = self.pagination(&path.key("pagination"), &report.pagination);
        let records = self.records(&path.key("records"), &report.records);
        let shape = self.daily_shape(&path, report);
        let each = list_of(&report.records);
        let account = match &report.account {
            Some(place) => self.place_in_row(&path.key("account"), place, each.as_ref()).map(Some),
            None => Some(None),
        };
        if report.account.is_none() && report.request.accounts_per_request > 1 {
            let message = format!(
                "missing key `{}`: a request has several accounts, so its rows must say whose they are",
                path.key("account")
            );
            self.report(&path, message);
        }
        let date = self.place_in_row(&path.key("date"), &report.date, each.as_ref());
        let settle = self.duration(&path.key("settle"), &report.settle);
        let metrics = self.metrics(&path.key("metrics"), report, file);
        if self.problems.count() > before {
            return None;
        }
        Some(Some(Reconcile {
            request: request?,
            pagination: pagination?,
            records: records?,
            shape: shape?,
            account: account?,
            date: date?,
            days_per_request: report.days_per_request,
            settle: settle?,
            metrics,
        }))
    }

    fn daily_request(
        &mut self,
        path: &KeyPath,
        report: &raw::Reconcile,
        file: &raw::PipelineFile,
    ) -> Option<RequestTemplate> {
        let request = report.request.as_request();
        let paging = path.key("pagination");
        let path = path.key("request");
        let before = self.problems.count();
        let (texts, used) = self.request_texts(&path, &request, &ALLOWED);
        self.asks_for_accounts(&path, &request, file, &used);
        self.asks_for_window(&path, report.days_per_request, "reconcile.days_per_request = 1", &used);
        self.paging_fits(&paging, &report.pagination, &used, &request.parameter_names());
        let time = self.time(&path.key("time"), &request.time);
        if request.time.format == raw::Notation::Date && request.time.zone != "account" {
            let found = shown(&request.time.zone);
            self.wrong(
                &path.key("time").key("zone"),
                format!("is {found}, but days are compared on the account's clock: expected account"),
            );
        }
        if self.problems.count() > before {
            return None;
        }
        let (query, body) = texts?;
        Some(request.template(query, body, time?, None))
    }

    fn metrics(&mut self, path: &KeyPath, report: &raw::Reconcile, file: &raw::PipelineFile) -> Vec<Metric> {
        if report.metrics.is_empty() {
            self.wrong(path, "names nothing to compare: expected a table `[reconcile.metrics.NAME]` for a column");
        }
        let mut words = Vec::new();
        for (name, column) in &file.columns {
            use raw::ColumnType::{Cents, Decimal, Int, Micros};
            if column.kind.is_some_and(|kind| [Decimal, Int, Micros, Cents].contains(&kind)) {
                words.push(name.as_str());
            }
        }
        let mut metrics = Vec::new();
        for (name, metric) in &report.metrics {
            let path = path.key(name);
            let column = file.columns.get(name).filter(|_| words.contains(&name.as_str()));
            let Some(column) = column else {
                let none = "but no column is declared as int, decimal, micros or cents".to_owned();
                let expected = if words.is_empty() { none } else { expected_one_of(name, &words) };
                self.wrong(&path, format!("is not a declared int, decimal, micros or cents column: {expected}"));
                continue;
            };
            metrics.extend(self.metric(&path, name, metric, column, list_of(&report.records).as_ref()));
        }
        metrics
    }

    fn metric(
        &mut self,
        path: &KeyPath,
        name: &str,
        metric: &raw::Metric,
        column: &raw::Column,
        each: Option<&JsonPath>,
    ) -> Option<Metric> {
        let from = self.place_in_row(&path.key("from"), &metric.from, each);
        let in_lake = number_kind(column.kind?, column.precision, column.scale);
        let kind = match metric.kind {
            None => {
                for (key, given) in [("precision", metric.precision.is_some()), ("scale", metric.scale.is_some())] {
                    if given {
                        self.wrong(&path.key(key), "has a meaning only with `type = \"decimal\"`");
                    }
                }
                in_lake
            }
            Some(kind) => {
                let kind = self.kind(path, kind, metric.precision, metric.scale)?;
                if scale_of(kind).is_none() {
                    self.wrong(&path.key("type"), "has no exact sum: expected int, decimal, micros or cents");
                }
                Some(kind)
            }
        };
        // What is wrong with the column itself is reported there.
        let (kind, in_lake) = (kind?, in_lake?);
        let scale = scale_of(kind)?.max(scale_of(in_lake)?);
        let tolerance = self.tolerance(&path.key("tolerance"), metric.tolerance.as_ref(), scale);
        Some(Metric { column: name.to_owned(), from: from?, kind, scale, tolerance: tolerance? })
    }

    fn tolerance(&mut self, path: &KeyPath, texts: Option<&raw::Values>, scale: u8) -> Option<Tolerance> {
        let mut tolerance = Tolerance::default();
        let Some(raw::Values(texts)) = texts else { return Some(tolerance) };
        for text in texts {
            let twice = match text.strip_suffix('%') {
                Some(percent) => {
                    let share = millionths(percent.trim_end());
                    share.map(|share| tolerance.share.replace(share).is_some())
                }
                None => {
                    let amount = units(text, scale);
                    amount.map(|amount| tolerance.amount.replace(amount).is_some())
                }
            };
            let found = shown(text);
            match twice {
                Some(false) => {}
                Some(true) => {
                    self.wrong(path, format!("holds {found} besides another: expected one share, one amount, or both"));
                    return None;
                }
                None => {
                    let (what, digits) = match text.ends_with('%') {
                        true => ("a share such as 0.5%", SHARE_DIGITS),
                        false => ("a share such as 0.5% or an amount such as 2", scale),
                    };
                    let expected = format!("expected {what}, with at most {digits} digits after the point");
                    self.wrong(path, format!("is {found}: {expected}"));
                    return None;
                }
            }
        }
        Some(tolerance)
    }
}

/// A column's kind where it is a number with an exact sum, as far as its keys are right.
fn number_kind(kind: raw::ColumnType, precision: Option<u8>, scale: Option<u8>) -> Option<ColumnKind> {
    match kind {
        raw::ColumnType::Int => Some(ColumnKind::Int),
        raw::ColumnType::Micros => Some(ColumnKind::Micros),
        raw::ColumnType::Cents => Some(ColumnKind::Cents),
        raw::ColumnType::Decimal => {
            Some(ColumnKind::Decimal { precision: precision?, scale: i8::try_from(scale?).ok()? })
        }
        raw::ColumnType::Text | raw::ColumnType::Float | raw::ColumnType::Bool | raw::ColumnType::Timestamp => None,
    }
}

/// Digits after the point of a number with an exact sum.
fn scale_of(kind: ColumnKind) -> Option<u8> {
    match kind {
        ColumnKind::Int => Some(0),
        ColumnKind::Micros => Some(6),
        ColumnKind::Cents => Some(2),
        ColumnKind::Decimal { scale, .. } => u8::try_from(scale).ok(),
        ColumnKind::Text | ColumnKind::Float | ColumnKind::Bool | ColumnKind::Timestamp => None,
    }
}

/// A percentage in millionths.
fn millionths(percent: &str) -> Option<u32> {
    units(percent, SHARE_DIGITS).and_then(|share| u32::try_from(share).ok())
}

/// A number without sign times `10^scale`, where that is whole.
fn units(text: &str, scale: u8) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let only_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) || fraction.len() > usize::from(scale) {
        return None;
    }
    format!("{whole}{fraction:0<width$}", width = usize::from(scale)).parse().ok()
}
