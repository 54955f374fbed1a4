//! Each format read back, and what becomes of the output when something fails.

use std::io::{self, Write};

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;

use super::lake::{Lake, written};
use crate::error::ErrorKind;
use crate::query::{Format, Output, QuerySummary, run};

const TWO_ROWS: &str =
    "select hour, local_hour, date, campaign_name, impressions, spend, account_name as \"Name\", null as nothing
    from demo where campaign_id = 'c1' and impressions > 220 order by hour desc limit 2";

#[tokio::test]
async fn csv_has_a_header_and_rfc_3339_times() {
    let lake = Lake::with_two_pipelines();
    let (text, summary) = written(lake.input(), TWO_ROWS, Format::Csv).await;
    insta::assert_snapshot!(String::from_utf8(text).expect("text"), @r#"
    hour,local_hour,date,campaign_name,impressions,spend,Name,nothing
    2026-11-20T23:00:00Z,2026-11-20T23:00:00,2026-11-20,"Shoes, ""red""",231,23.100002,account_name,
    2026-11-20T22:00:00Z,2026-11-20T22:00:00,2026-11-20,"Shoes, ""red""",221,22.100002,account_name,
    "#);
    assert_eq!(summary.rows, 2);
    let (text, _) = written(lake.input(), "select hour, spend from demo where false", Format::Csv).await;
    assert_eq!(text, b"hour,spend\n");
}

#[tokio::test]
async fn json_is_one_object_a_line_with_exact_decimals() {
    let lake = Lake::with_two_pipelines();
    let (text, _) = written(lake.input(), TWO_ROWS, Format::Json).await;
    let text = String::from_utf8(text).expect("text");
    insta::assert_snapshot!(text, @r#"
    {"hour":"2026-11-20T23:00:00Z","local_hour":"2026-11-20T23:00:00","date":"2026-11-20","campaign_name":"Shoes, \"red\"","impressions":231,"spend":23.100002,"Name":"account_name","nothing":null}
    {"hour":"2026-11-20T22:00:00Z","local_hour":"2026-11-20T22:00:00","date":"2026-11-20","campaign_name":"Shoes, \"red\"","impressions":221,"spend":22.100002,"Name":"account_name","nothing":null}
    "#);
    for line in text.lines() {
        let _: serde_json::Value = serde_json::from_str(line).expect("json");
    }
    let sql = "select '12345678901234567890123456789.123456789'::decimal(38, 9) as wide, 9007199254740993 as id,
               1.50::decimal(9, 2) as money";
    let (text, _) = written(lake.input(), sql, Format::Json).await;
    assert_eq!(
        String::from_utf8(text).expect("text"),
        "{\"wide\":12345678901234567890123456789.123456789,\"id\":9007199254740993,\"money\":1.50}\n"
    );
}

#[tokio::test]
async fn parquet_keeps_types_and_is_compressed() {
    let lake = Lake::with_two_pipelines();
    let path = lake.beside("out.parquet");
    let sql = "select campaign_id, sum(impressions) as shown, sum(spend) as spend from demo group by 1 order by 1";
    let summary = run(lake.input(), sql, Format::Parquet, Output::File(path.clone())).await.expect("query");
    let file = std::fs::File::open(&path).expect("file");
    assert_eq!(summary, QuerySummary { rows: 3, bytes: file.metadata().expect("metadata").len() });
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("parquet");
    assert!(matches!(builder.metadata().row_group(0).column(0).compression(), Compression::ZSTD(_)));
    let batches: Vec<_> = builder.build().expect("reader").collect::<Result<_, _>>().expect("rows");
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().values(), &[8280, 8352, 8424]);
    assert_eq!(batches[0].column(2).as_primitive::<Decimal128Type>().value(0), 828_000_072);
    assert_eq!(batches[0].column(2).data_type().to_string(), "Decimal128(28, 6)");
}

#[tokio::test]
async fn a_long_table_is_cut_and_says_so() {
    let lake = Lake::empty();
    let (text, summary) = written(lake.input(), "select * from generate_series(1, 12345) as t(n)", Format::Table).await;
    let text = String::from_utf8(text).expect("text");
    assert_eq!(summary.rows, 12345);
    assert_eq!(text.lines().filter(|line| line.starts_with("| ")).count(), 1001, "a header and the first rows");
    assert_eq!(text.lines().last(), Some("… 11345 more rows; use --format csv for all"));
}

#[tokio::test]
async fn what_a_format_cannot_hold_is_refused() {
    let lake = Lake::with_two_pipelines();
    let output = || Output::Writer(Box::new(io::sink()));
    let twice = "select a.hour, b.hour from demo a join demo b on a.hour = b.hour";
    for format in [Format::Json, Format::Parquet] {
        let error = run(lake.input(), twice, format, output()).await.expect_err("two columns of one name");
        assert_eq!(error.to_string(), "two columns of the result are named `hour`");
    }
    assert!(run(lake.input(), twice, Format::Csv, output()).await.is_ok());
    let list = "select array_agg(hour) from demo";
    let error = run(lake.input(), list, Format::Csv, output()).await.expect_err("a list in CSV");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(run(lake.input(), list, Format::Json, output()).await.is_ok());
}

#[tokio::test]
async fn a_file_appears_whole_or_not_at_all() {
    let lake = Lake::with_two_pipelines();
    let path = lake.beside("out.csv");
    std::fs::write(&path, "before").expect("file");
    let sql = "select 1 / (impressions - 100) from demo";
    let error = run(lake.input(), sql, Format::Csv, Output::File(path.clone())).await.expect_err("division by zero");
    assert_eq!(error.kind(), ErrorKind::BadInput, "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("file"), "before");
    run(lake.input(), "select 1 as one", Format::Csv, Output::File(path.clone())).await.expect("query");
    assert_eq!(std::fs::read_to_string(&path).expect("file"), "one\n1\n");
    let names: Vec<_> = std::fs::read_dir(lake.beside("")).expect("folder").flatten().map(|e| e.file_name()).collect();
    assert_eq!(names.len(), 2, "the lake and the file: {names:?}");
}

#[tokio::test]
async fn a_file_inside_the_lake_or_nowhere_is_refused() {
    let lake = Lake::with_two_pipelines();
    for (path, expected) in [
        (lake.path().join("x.parquet"), "it is inside the lake"),
        (lake.path().join("demo/date=2026-11-20/bucket-00.parquet"), "it is inside the lake"),
        (lake.beside("lake/../lake/x.csv"), "it is inside the lake"),
        (lake.beside("no/x.csv"), "its folder cannot be opened"),
        (lake.beside(""), "a folder of that name exists"),
    ] {
        let error = run(lake.input(), "select 1", Format::Csv, Output::File(path)).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(error.to_string().contains(expected), "{error:?}");
    }
}

struct ClosedAfter(usize);

impl Write for ClosedAfter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(buffer.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_goes_early_is_no_error_but_a_full_disk_is() {
    let lake = Lake::with_two_pipelines();
    for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
        let output = Output::Writer(Box::new(ClosedAfter(100)));
        let summary = run(lake.input(), "select * from demo", format, output).await.expect("no error");
        assert!(summary.bytes <= 100, "{summary:?}");
    }
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
            let output = Output::Writer(Box::new(full.try_clone().expect("file")));
            let error = run(lake.input(), "select * from demo", format, output).await.expect_err("full");
            assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
        }
    }
}
