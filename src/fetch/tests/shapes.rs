//! Answers that are no JSON objects, and records that are no rows, from the platform to the slice.

use std::io::Write;

use super::*;
use crate::pipeline::{ColumnKind, HourSource, RecordFormat, RecordShape, RepeatedHour, ZoneRule};
use crate::time::Pattern;

const REPORT: &str = "\u{feff}\"Rows: 2\"\n\n\"campaign\",\"hour\",\"clicks\"\n\"a\",\"2026-11-20|8\",\"1\"\n\
                      \"b, c\",\"2026-11-20|9\",\"2\"\n\n\"@2026\"\n";

fn zipped(text: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("report.csv", zip::write::SimpleFileOptions::default()).expect("memory");
    zip.write_all(text.as_bytes()).expect("memory");
    zip.finish().expect("memory").into_inner()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn file(bytes: &[u8]) -> Reply {
    Reply::new(200, &[("content-type", "application/octet-stream")], bytes)
}

/// A pipeline whose answers are files.
async fn files(script: Vec<Reply>) -> Bench {
    let mut bench = Bench::new(script).await;
    bench.pipeline.pagination = pages(PaginationKind::None);
    bench.pipeline.records.path = path("");
    let format = RecordFormat::Csv { header: "campaign".into(), footers: vec!["@".into()] };
    bench.pipeline.shape = RecordShape { format, ..RecordShape::default() };
    bench.pipeline.hour = HourSource::Pattern {
        from: path("hour"),
        patterns: vec![Pattern::parse("%Y-%m-%d|%H").expect("a form")],
        zone: ZoneRule::Utc,
        repeated: RepeatedHour::First,
    };
    bench
}

#[tokio::test]
async fn files_are_read_out_of_their_archives() {
    for body in [REPORT.as_bytes().to_vec(), gzip(REPORT.as_bytes()), zipped(REPORT)] {
        let bench = files(vec![file(&body)]).await;
        let slice = bench.unit().await.expect("a slice");
        assert_eq!(clicks(&slice), [("a".into(), 1), ("b, c".into(), 2)]);
        assert_eq!((slice.pages, slice.outside), (1, 0));
    }
}

#[tokio::test]
async fn an_error_in_the_place_of_a_file_is_asked_for_again_and_told() {
    let error = || Reply::ok(&format!(r#"{{"error":{{"message":"not ready for {SECRET}"}}}}"#));
    let bench = files(vec![error(), file(&zipped(REPORT))]).await;
    assert_eq!(clicks(&bench.unit().await.expect("a slice")).len(), 2);
    let bench = files((0..10).map(|_| error()).collect()).await;
    let reason = bench.reason().await;
    let expected = "the answer is not a page: a JSON document instead of a CSV: not ready for [secret]";
    assert!(reason.starts_with(expected), "{reason}");
}

#[tokio::test]
async fn archives_that_are_cut_off_or_too_large_are_no_pages() {
    let whole = zipped(REPORT);
    let bench = files(vec![file(&whole[..whole.len() / 2]), file(&whole)]).await;
    assert_eq!(clicks(&bench.unit().await.expect("a slice")).len(), 2);
    let bomb = gzip(&vec![b'\n'; 100_000]);
    let mut bench = files((0..10).map(|_| file(&bomb)).collect()).await;
    bench.pipeline.api.max_body = 10_000;
    let reason = bench.reason().await;
    assert!(reason.contains("an archive that unpacks to more than 10000 bytes (`api.max_body`)"), "{reason}");
}

#[tokio::test]
async fn rows_are_counted_and_not_records() {
    let mut bench = Bench::new(vec![Reply::ok(
        r#"{"rows":[{"campaign":"a","hours":[{"hour":"2026-11-20T08:00:00Z","clicks":1},
            {"hour":"2026-11-20T09:00:00Z","clicks":0},{"hour":"2026-11-20T10:00:00Z","clicks":5}]},
            {"campaign":"b","hours":[]}],"next":""}"#,
    )])
    .await;
    bench.pipeline.shape = RecordShape { each: Some(path("hours")), skip_empty: true, ..RecordShape::default() };
    bench.pipeline.hour =
        HourSource::Instant { from: path("hours.*.hour"), zone: ZoneRule::Utc, repeated: RepeatedHour::First };
    bench.pipeline.columns[0].from = path("hours.*.clicks");
    assert_eq!(bench.pipeline.columns[0].kind, ColumnKind::Int);
    let fetch = bench.fetch().await;
    let slice = fetch.unit(&unit(&[account("1", "UTC")]), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(clicks(&slice), [("a".into(), 1)]);
    assert_eq!((slice.outside, fetch.meter.get(Count::Rows)), (1, 1), "an empty hour and one outside are no rows");
}
