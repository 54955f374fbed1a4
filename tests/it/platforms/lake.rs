//! The rows of a lake as texts: read by DuckDB where it is there, and by the Parquet library in any case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::outside::{finished, python};

/// Sums have so many digits behind the point.
const SCALE: u8 = 12;
/// What is summed up, where it is among the columns.
const SUMMED: [&str; 3] = ["impressions", "clicks", "spend"];
/// What rows are sorted by.
const KEY: [&str; 4] = ["account_id", "campaign_id", "hour", "valid_from"];

/// Rows of texts under names; null is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// By (account, currency) and column, in units of 10^-12.
type Sums = BTreeMap<(String, String), Vec<i128>>;

/// How the dataset in `folder` differs from the rows that are expected; nothing where it does not.
pub fn differences(folder: &Path, expected: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    let (table, sums) = match read(folder, &expected.columns) {
        Ok(read) => read,
        Err(said) => return vec![said],
    };
    problems.extend(unequal("the lake", &table, expected));
    if let Some(wrong) = unequal_sums("the lake", &sums, expected) {
        problems.push(wrong);
    }
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PYTHON.get_or_init(|| python("reading the rows of platforms"));
    if let Some(python) = found.as_ref().filter(|_| !files(folder).is_empty()) {
        problems.extend(unequal("DuckDB", &by_duckdb(python, folder, "rows", &expected.columns), expected));
        let summed = summed(expected);
        if !summed.is_empty() {
            let printed = by_duckdb(python, folder, "sums", &summed);
            let found = printed
                .rows
                .iter()
                .map(|row| ((row[0].clone(), row[1].clone()), row[2..].iter().map(|sum| exact(sum)).collect()));
            problems.extend(unequal_sums("DuckDB", &found.collect(), expected));
        }
    }
    problems
}

impl Table {
    /// Reads CSV; the first line names the columns.
    pub fn parse(text: &str) -> Table {
        let mut lines = csv(text).into_iter();
        Table { columns: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    /// The columns in this order, as far as there are such.
    pub fn sort_columns(&mut self, order: &[String]) {
        let places: Vec<usize> = order.iter().filter_map(|name| self.column(name)).collect();
        let sorted = |row: &Vec<String>| places.iter().map(|place| row[*place].clone()).collect();
        self.rows = self.rows.iter().map(sorted).collect();
        self.columns = sorted(&self.columns);
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    fn sort(&mut self) {
        let key: Vec<usize> = KEY.iter().filter_map(|name| self.column(name)).collect();
        let of = |row: &Vec<String>| (key.iter().map(|place| row[*place].clone()).collect::<Vec<_>>(), row.clone());
        self.rows.sort_by_key(of);
    }
}

/// The lines of a CSV text as fields.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            _ => field.push(letter),
        }
    }
    if !field.is_empty() || !line.is_empty() {
        line.push(field);
        lines.push(line);
    }
    lines.retain(|line| line.iter().any(|field| !field.is_empty()));
    lines
}

/// A few lines of how two tables differ.
fn unequal(reader: &str, found: &Table, expected: &Table) -> Vec<String> {
    const SHOWN: usize = 5;
    let (mut found, mut expected) = (found.clone(), expected.clone());
    found.sort();
    expected.sort();
    if found == expected {
        return Vec::new();
    }
    let mut problems = vec![format!("{reader} has {} rows, {} expected", found.rows.len(), expected.rows.len())];
    let missing = expected.rows.iter().filter(|row| !found.rows.contains(row));
    problems.extend(missing.take(SHOWN).map(|row| format!("  expected {}", row.join(","))));
    let more = found.rows.iter().filter(|row| !expected.rows.contains(row));
    problems.extend(more.take(SHOWN).map(|row| format!("  found    {}", row.join(","))));
    if problems.len() == 1 {
        problems.push("  a row is there more than once".to_owned());
    }
    problems
}

fn summed(expected: &Table) -> Vec<String> {
    SUMMED.iter().filter(|name| expected.column(name).is_some()).map(|name| (*name).to_owned()).collect()
}

/// Compares with the sums of the expected rows, which are added up here, digit by digit.
fn unequal_sums(reader: &str, found: &Sums, expected: &Table) -> Option<String> {
    let names = summed(expected);
    let (account, currency) = (expected.column("account_id")?, expected.column("currency")?);
    if names.is_empty() {
        return None;
    }
    let mut sums = Sums::new();
    for row in &expected.rows {
        let sum = sums.entry((row[account].clone(), row[currency].clone())).or_insert_with(|| vec![0; names.len()]);
        for (place, name) in names.iter().enumerate() {
            sum[place] += exact(&row[expected.column(name)?]);
        }
    }
    (sums != *found).then(|| format!("{reader} has the sums {found:?} of {names:?}, expected {sums:?}"))
}

/// A decimal in units of 10^-12; null counts nothing.
fn exact(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().expect("digits") };
    let part: i128 = format!("{part:0<12}").parse().expect("digits");
    sign * (whole * 10_i128.pow(u32::from(SCALE)) + part)
}

fn by_duckdb(python: &Path, folder: &Path, what: &str, columns: &[String]) -> Table {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/rows_duckdb.py");
    let mut command = std::process::Command::new(python);
    Table::parse(&finished(command.arg(script).arg(folder).arg(what).args(columns)))
}

/// The Parquet files below `folder`.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "parquet") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The rows and the sums of a dataset, by the Parquet library.
fn read(folder: &Path, columns: &[String]) -> Result<(Table, Sums), String> {
    let mut table = Table { columns: columns.to_vec(), rows: Vec::new() };
    let summed = summed(&table);
    let mut sums = Sums::new();
    for path in files(folder) {
        let file = std::fs::File::open(&path).expect("a file of the lake");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
        for batch in reader {
            let batch = batch.expect("rows");
            let texts: Vec<Vec<String>> = columns.iter().map(|name| texts(&batch, name)).collect::<Result<_, _>>()?;
            let before = table.rows.len();
            table
                .rows
                .extend((0..batch.num_rows()).map(|row| texts.iter().map(|column| column[row].clone()).collect()));
            let (Some(account), Some(currency)) = (table.column("account_id"), table.column("currency")) else {
                continue;
            };
            for (place, name) in summed.iter().enumerate() {
                let exact = cast(&column(&batch, name)?, &DataType::Decimal128(38, SCALE as i8)).expect("a number");
                let exact = exact.as_primitive::<Decimal128Type>();
                for row in 0..batch.num_rows() {
                    let names = &table.rows[before + row];
                    let key = (names[account].clone(), names[currency].clone());
                    let sum = sums.entry(key).or_insert_with(|| vec![0; summed.len()]);
                    sum[place] += if exact.is_null(row) { 0 } else { exact.value(row) };
                }
            }
        }
    }
    Ok((table, sums))
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef, String> {
    let there = || batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(", ");
    batch.column_by_name(name).cloned().ok_or_else(|| format!("the lake has no column `{name}`; it has {}", there()))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>, String> {
    let column = column(batch, name)?;
    if let DataType::Timestamp(TimeUnit::Microsecond, zone) = column.data_type() {
        let form = if zone.is_some() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S" };
        let moments = column.as_primitive::<TimestampMicrosecondType>();
        let shown =
            |micros| chrono::DateTime::from_timestamp_micros(micros).expect("a moment").format(form).to_string();
        return Ok(moments.iter().map(|moment| moment.map(shown).unwrap_or_default()).collect());
    }
    let texts = cast(&column, &DataType::Utf8).expect("texts");
    Ok(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

#[test]
fn quoted_fields_and_sums_are_read_exactly() {
    let table = Table::parse("account_id,currency,campaign_name,spend\n1,USD,\"a, \"\"b\"\"\",1.5\n1,USD,,-0.25\r\n");
    assert_eq!(table.rows, [["1", "USD", "a, \"b\"", "1.5"], ["1", "USD", "", "-0.25"]]);
    let sums = Sums::from([(("1".to_owned(), "USD".to_owned()), vec![1_250_000_000_000])]);
    assert_eq!(unequal_sums("a reader", &sums, &table), None);
    assert!(unequal_sums("a reader", &Sums::new(), &table).is_some());
}
