//! Columns: where a row says whose it is, and what is kept of it.

use chrono::DateTime;
use indexmap::IndexMap;

use super::super::problem::{KeyPath, expected_one_of, shown};
use super::super::{Column, ColumnKind, Identity, JsonPath, Manner, Pick, raw, schema};
use super::Checker;
use super::rows::list_of;

/// Columns that say whose a row is: every row has them, so they have no type.
pub(super) const IDENTITY: [&str; 3] = ["account_id", "campaign_id", "campaign_name"];
/// Names that the lake's folders use.
const FOLDERS: [&str; 2] = ["date", "utc_hour"];

impl Checker<'_> {
    pub(super) fn identity(&mut self, file: &raw::PipelineFile) -> Option<Identity> {
        let path = KeyPath::root().key("columns");
        let before = self.problems.count();
        let each = list_of(&file.records);
        let mut places = Vec::new();
        for name in IDENTITY {
            let column = file.columns.get(name);
            places.push(column.and_then(|column| self.identity_column(&path.key(name), name, column, each.as_ref())));
        }
        if !file.columns.contains_key("campaign_id") {
            let message = "missing key `columns.campaign_id`: expected `{ from = \"...\" }`";
            self.report(&path, message);
        }
        if !file.columns.contains_key("account_id") && file.request.accounts_per_request > 1 {
            let message =
                "missing key `columns.account_id`: a request has several accounts, so its rows must say whose they are";
            self.report(&path, message);
        }
        if self.problems.count() > before {
            return None;
        }
        let [account, campaign, campaign_name] = <[_; 3]>::try_from(places).ok()?;
        let after = |name: &str| file.columns.get(name).and_then(|column| column.after.clone());
        let (account_after, campaign_after) = (after(IDENTITY[0]), after(IDENTITY[1]));
        Some(Identity { account, campaign, campaign_name, account_after, campaign_after })
    }

    fn identity_column(
        &mut self,
        path: &KeyPath,
        name: &str,
        column: &raw::Column,
        each: Option<&JsonPath>,
    ) -> Option<JsonPath> {
        let is_id = name != IDENTITY[2];
        let others = [
            ("type", column.kind.is_some()),
            ("precision", column.precision.is_some()),
            ("scale", column.scale.is_some()),
            ("pick", column.pick.is_some()),
            ("default", column.default.is_some()),
            ("required", column.required),
            ("round", column.round),
            ("whole", !column.whole.is_empty()),
            ("after", column.after.is_some() && !is_id),
        ];
        let taken = if is_id { "`from` and `after`" } else { "`from`" };
        for (key, given) in others {
            if given {
                let message = format!("cannot be chosen: this column is always text and takes nothing but {taken}");
                self.wrong(&path.key(key), message);
            }
        }
        self.not_empty(&path.key("after"), column.after.as_deref())?;
        self.place_in_row(&path.key("from"), &column.from, each)
    }

    /// The declared columns. Where each element of the list `each` in a record makes a row, they may be in there.
    pub(super) fn columns(
        &mut self,
        columns: &IndexMap<String, raw::Column>,
        each: Option<&JsonPath>,
    ) -> Option<Vec<Column>> {
        let mut checked = Vec::new();
        let mut declared = 0;
        for (name, column) in columns {
            if IDENTITY.contains(&name.as_str()) {
                continue;
            }
            declared += 1;
            let path = KeyPath::root().key("columns").key(name);
            let good_name = self.column_name(&path, name);
            let column = self.column(&path, name, column, each);
            if let (Some(()), Some(column)) = (good_name, column) {
                checked.push(column);
            }
        }
        (checked.len() == declared).then_some(checked)
    }

    fn column_name(&mut self, path: &KeyPath, name: &str) -> Option<()> {
        self.identifier(path, name)?;
        if schema::STANDARD.contains(&name) || name == schema::SEEN_AT || FOLDERS.contains(&name) {
            self.wrong(path, "is a column that every lake has: expected another name");
            return None;
        }
        Some(())
    }

    pub(super) fn column(
        &mut self,
        path: &KeyPath,
        name: &str,
        column: &raw::Column,
        each: Option<&JsonPath>,
    ) -> Option<Column> {
        let from = self.place_in_row(&path.key("from"), &column.from, each);
        let kind = self.column_kind(path, column);
        let manner = self.manner(path, column);
        let pick = match &column.pick {
            Some(pick) => self.pick(&path.key("pick"), pick).map(Some),
            None => Some(None),
        };
        let default = column.default.clone().map(|value| value.0);
        if let (Some(text), Some(kind)) = (&default, kind)
            && !fits(kind, text)
        {
            let expected = expected_value(kind);
            self.wrong(&path.key("default"), format!("is {}: expected {expected}", shown(text)));
            return None;
        }
        let (from, kind, pick, manner) = (from?, kind?, pick?, manner?);
        Some(Column { name: name.to_owned(), from, kind, pick, default, required: column.required, manner })
    }

    /// What is done with the value: at most one thing, by its type.
    fn manner(&mut self, path: &KeyPath, column: &raw::Column) -> Option<Manner> {
        use raw::ColumnType::{Cents, Decimal, Text};
        let keys = [
            ("round", column.round, Decimal, "decimal"),
            ("after", column.after.is_some(), Text, "text"),
            ("whole", !column.whole.is_empty(), Cents, "cents"),
        ];
        let before = self.problems.count();
        for (key, given, of, word) in keys {
            if given && column.kind.is_some_and(|kind| kind != of) {
                self.wrong(&path.key(key), format!("has a meaning only with `type = \"{word}\"`"));
            }
        }
        self.not_empty(&path.key("after"), column.after.as_deref());
        for (index, currency) in column.whole.iter().enumerate() {
            self.currency(&path.key("whole").index(index), currency);
        }
        if self.problems.count() > before {
            return None;
        }
        Some(match &column.after {
            Some(text) => Manner::After(text.clone()),
            None if column.round => Manner::Rounded,
            None if !column.whole.is_empty() => Manner::Whole(column.whole.clone()),
            None => Manner::Plain,
        })
    }

    fn column_kind(&mut self, path: &KeyPath, column: &raw::Column) -> Option<ColumnKind> {
        let Some(kind) = column.kind else {
            let words = "text, int, decimal, micros, cents, float, bool, timestamp";
            self.report(path, format!("missing key `{}`: expected one of {words}", path.key("type")));
            return None;
        };
        self.kind(path, kind, column.precision, column.scale)
    }

    /// How the value at `path` is kept.
    pub(super) fn kind(
        &mut self,
        path: &KeyPath,
        kind: raw::ColumnType,
        precision: Option<u8>,
        scale: Option<u8>,
    ) -> Option<ColumnKind> {
        if kind == raw::ColumnType::Decimal {
            return self.decimal(path, precision, scale);
        }
        for (key, given) in [("precision", precision.is_some()), ("scale", scale.is_some())] {
            if given {
                self.wrong(&path.key(key), "has a meaning only with `type = \"decimal\"`");
            }
        }
        match kind {
            raw::ColumnType::Text => Some(ColumnKind::Text),
            raw::ColumnType::Int => Some(ColumnKind::Int),
            raw::ColumnType::Micros => Some(ColumnKind::Micros),
            raw::ColumnType::Cents => Some(ColumnKind::Cents),
            raw::ColumnType::Float => Some(ColumnKind::Float),
            raw::ColumnType::Bool => Some(ColumnKind::Bool),
            raw::ColumnType::Timestamp => Some(ColumnKind::Timestamp),
            raw::ColumnType::Decimal => None,
        }
    }

    fn decimal(&mut self, path: &KeyPath, precision: Option<u8>, scale: Option<u8>) -> Option<ColumnKind> {
        let (Some(precision), Some(scale)) = (precision, scale) else {
            self.report(path, format!("`{path}` is a decimal: expected `precision` and `scale` beside `type`"));
            return None;
        };
        match i8::try_from(scale) {
            Ok(scale_in_arrow) if scale <= precision => Some(ColumnKind::Decimal { precision, scale: scale_in_arrow }),
            _ => {
                self.wrong(&path.key("scale"), format!("is {scale}: expected at most `precision`, {precision}"));
                None
            }
        }
    }

    fn pick(&mut self, path: &KeyPath, pick: &raw::Pick) -> Option<Pick> {
        let mut good = true;
        for (key, text) in [("by", &pick.by), ("equals", &pick.equals), ("value", &pick.value)] {
            if text.is_empty() {
                self.wrong(&path.key(key), "is empty");
                good = false;
            }
        }
        good.then(|| Pick { by: pick.by.clone(), equals: pick.equals.clone(), value: pick.value.clone() })
    }

    /// The further columns of a row's key.
    pub(super) fn dimensions(&mut self, file: &raw::PipelineFile) -> Option<Vec<String>> {
        let mut words = Vec::new();
        for (name, column) in &file.columns {
            use raw::ColumnType::{Bool, Int, Text};
            if column.kind.is_some_and(|kind| [Text, Int, Bool].contains(&kind)) {
                words.push(name.as_str());
            }
        }
        let mut good = true;
        for (index, name) in file.key.iter().enumerate() {
            let path = KeyPath::root().key("key").index(index);
            if file.key[..index].contains(name) {
                self.wrong(&path, format!("is {} a second time", shown(name)));
                good = false;
            } else if !words.contains(&name.as_str()) {
                let none = "but no column is declared as text, int or bool".to_owned();
                let expected = if words.is_empty() { none } else { expected_one_of(name, &words) };
                self.wrong(
                    &path,
                    format!("is {}: a key is a declared text, int or bool column, {expected}", shown(name)),
                );
                good = false;
            } else if schema::OF_RESTATEMENTS.contains(&name.as_str()) {
                self.wrong(
                    &path,
                    format!("is {}: restatements have a column of that name beside the key", shown(name)),
                );
                good = false;
            }
        }
        good.then(|| file.key.clone())
    }
}

/// Whether `text` can be read as a value of `kind`, as a platform would send it.
pub(super) fn fits(kind: ColumnKind, text: &str) -> bool {
    match kind {
        ColumnKind::Text => true,
        ColumnKind::Int | ColumnKind::Micros | ColumnKind::Cents => text.parse::<i64>().is_ok(),
        ColumnKind::Decimal { precision, scale } => is_decimal(text, precision, scale),
        ColumnKind::Float => text.parse::<f64>().is_ok_and(f64::is_finite),
        ColumnKind::Bool => text == "true" || text == "false",
        ColumnKind::Timestamp => text.parse::<i64>().is_ok() || DateTime::parse_from_rfc3339(text).is_ok(),
    }
}

fn is_decimal(text: &str, precision: u8, scale: i8) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) {
        return false;
    }
    let scale = usize::from(scale.unsigned_abs());
    let room = usize::from(precision).saturating_sub(scale);
    whole.trim_start_matches('0').len() <= room && fraction.trim_end_matches('0').len() <= scale
}

pub(super) fn expected_value(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Text => "a text".to_owned(),
        ColumnKind::Int => "a 64-bit integer".to_owned(),
        ColumnKind::Micros => "a 64-bit integer of millionths".to_owned(),
        ColumnKind::Cents => "a 64-bit integer of hundredths".to_owned(),
        ColumnKind::Decimal { precision, scale } => {
            format!("a number of {precision} digits, {scale} of them after the point")
        }
        ColumnKind::Float => "a number".to_owned(),
        ColumnKind::Bool => "true or false".to_owned(),
        ColumnKind::Timestamp => "an RFC 3339 moment or unix seconds".to_owned(),
    }
}
