//! Comma-separated values: what is a line of names, a row, a footer, and no CSV at all.

use proptest::prelude::*;

use super::*;

fn report(more: &str) -> Pipeline {
    of_file(&format!(
        r#"
        [records]
        path = ""
        format = "csv"
        csv_header = "Campaign"
        nulls = ["--"]
        {more}
        [hour]
        kind = "instant"
        from = "Hour"
        zone = "utc"
        [columns]
        campaign_id = {{ from = "Campaign" }}
        clicks = {{ type = "int", from = "Clicks" }}
        rate = {{ type = "decimal", precision = 9, scale = 2, from = "Avg. rate" }}
        name = {{ type = "text", from = "Name" }}
        "#
    ))
}

const COLUMNS: &str = "campaign_id hour clicks rate name";
const NAMES: &str = "Hour,Campaign,Name,Clicks,Avg. rate";

fn read(pipeline: &Pipeline, body: &str) -> Result<(Vec<String>, PageFacts), String> {
    decode_bytes(pipeline, &[account("1", "UTC")], year(), body.as_bytes())
        .map(|(batch, facts)| (table(&batch, COLUMNS), facts))
        .map_err(|error| error.to_string())
}

fn rows(body: &str) -> Result<Vec<String>, String> {
    read(&report("csv_footers = [\"Total\", \"@\", \"©\"]"), body).map(|(rows, _)| rows)
}

fn unreadable(text: &str) -> Result<Vec<String>, String> {
    Err(format!("the answer is not a page: {text}"))
}

#[test]
fn cells_are_texts_and_read_as_such() {
    let body = format!(
        "{NAMES}\r\n2026-11-20 09:00,7,\"a, \"\"b\"\"\",12,1.50\r\n\
         2026-11-20 10:00,\"8\",\"two\nlines\\\",--,\r\n 2026-11-20T11:00:00Z , 9 ,tab\there, 3 ,--\r\n"
    );
    let expected = [
        "7 | 2026-11-20T09:00:00Z | 12 | 1.50 | a, \"b\"",
        "8 | 2026-11-20T10:00:00Z | null | null | two\nlines\\",
        " 9  | 2026-11-20T11:00:00Z | 3 | null | tab\there",
    ];
    assert_eq!(rows(&body).expect("rows"), expected);
    assert_eq!(rows(&format!("\u{feff}{body}")).expect("rows"), expected, "with a byte order mark");
    assert_eq!(rows(body.trim_end()).expect("rows"), expected, "without a last line break");
}

#[test]
fn lines_before_the_names_and_from_the_footer_on_are_no_rows() {
    let rest = format!("{NAMES}\n2026-11-20 09:00,7,n,1,2\n\n2026-11-20 10:00,8,n,1,2\n");
    let head = "\"Report Name: x\"\n\"Time Zone: (GMT), London\"\n\"Rows: 2\"\n\n";
    let expected = Ok(vec![
        "7 | 2026-11-20T09:00:00Z | 1 | 2.00 | n".to_owned(),
        "8 | 2026-11-20T10:00:00Z | 1 | 2.00 | n".to_owned(),
    ]);
    for footer in ["", "\n\"©2026 Shop. All rights reserved. \"\n", "\n\"@2026 Shop\"", "Total,,,2,\nwhat,ever\n"] {
        for head in ["", head, "\u{feff}", "\n\n", &format!("\u{feff}{head}")] {
            assert_eq!(rows(&format!("{head}{rest}{footer}")), expected, "{head:?} {footer:?}");
        }
    }
    let undeclared = format!("{rest}\n\"Sum of it\"\n");
    let expected = unreadable("line 6 has 1 cell, expected 5, as many as the line of names has");
    assert_eq!(rows(&undeclared), expected);
}

#[test]
fn nothing_is_no_rows_and_something_else_is_no_page() {
    for body in
        ["", "\u{feff}", "\n\n", NAMES, &format!("{NAMES}\n\n"), &format!("\"Rows: 0\"\n\n{NAMES}\n\n\"@2026\"\n")]
    {
        assert_eq!(rows(body), Ok(Vec::new()), "{body:?}");
    }
    assert_eq!(rows("hello\n"), unreadable("no line with a cell `Campaign`"));
    assert_eq!(rows("Hour,Clicks\n2026-11-20 09:00,1\n"), unreadable("no line with a cell `Campaign`"));
    assert_eq!(rows(&format!("{NAMES},Clicks\n")), unreadable("the line of names has `Clicks` twice"));
    assert_eq!(rows(" <html><body>502</body></html>"), unreadable("HTML or XML instead of a CSV"));
}

#[test]
fn an_error_document_is_not_a_file_without_rows() {
    let error = r#" {"error":{"code":5,"message":"report\nexpired"},"Campaign":1}"#;
    assert_eq!(rows(error), unreadable("a JSON document instead of a CSV: report expired"));
    assert_eq!(rows("{}"), unreadable("a JSON document instead of a CSV"));
    assert_eq!(rows("{\"error\":\"cut of"), unreadable("a JSON document instead of a CSV"));
}

#[test]
fn ragged_lines_are_refused_by_their_number() {
    let good = format!("head\n\n{NAMES}\n2026-11-20 09:00,7,\"n\nm\",1,2\n");
    let ragged = |line: &str| rows(&format!("{good}\n{line}\n2026-11-20 11:00,7,n,1,2\n"));
    let expected = "as many as the line of names has";
    assert_eq!(ragged("2026-11-20 10:00,8,n,1"), unreadable(&format!("line 7 has 4 cells, expected 5, {expected}")));
    assert_eq!(ragged("2026-11-20 10:00,8,n,1,2,"), unreadable(&format!("line 7 has 6 cells, expected 5, {expected}")));
    assert_eq!(ragged("x"), unreadable(&format!("line 7 has 1 cell, expected 5, {expected}")));
    assert_eq!(
        ragged("2026-11-20 10:00,8,n,many,2"),
        Err("record 2: `clicks` at `Clicks` holds `\"many\"`, expected an integer".to_owned())
    );
}

#[test]
fn a_file_that_ends_within_quotes_is_cut_off() {
    let whole = format!("{NAMES}\n2026-11-20 09:00,7,n,1,2\n2026-11-20 10:00,8,\"a \"\"b\"\"\",1,\"2.00\"");
    assert_eq!(rows(&whole).expect("rows").len(), 2);
    assert_eq!(rows(&whole[..whole.len() - 1]), unreadable("line 3 is cut off within quotes"));
    assert_eq!(rows(&whole[..whole.len() - 3]), unreadable("line 3 is cut off within quotes"));
    let literal = format!("{NAMES}\n2026-11-20 09:00,7,5\" wide,1,2\n");
    assert!(rows(&literal).expect("rows")[0].ends_with("5\" wide"), "a quote amid a cell is one");
}

#[test]
fn columns_that_nothing_wants_are_counted() {
    let body = "Hour,Campaign,New one,Clicks,\n2026-11-20 09:00,7,x,1,y\n2026-11-20 10:00,7,x,1,y\n";
    let (rows, facts) = read(&report(""), body).expect("rows");
    assert_eq!(rows[1], "7 | 2026-11-20T10:00:00Z | 1 | null | null", "a column that is not there is null");
    assert_eq!(facts.unknown.to_string(), " in 2 records, New one in 2 records");
    assert_eq!((facts.records, facts.outside, facts.next, facts.total), (2, 0, None, None));
    assert!(facts.fingerprint.is_some());
}

#[test]
fn a_refused_line_takes_the_whole_file_back() {
    let pipeline = report("");
    let decoder = Decoder::new(&pipeline);
    let (accounts, names) = ([account("1", "UTC")], HashMap::new());
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &names,
        campaign_currencies: &HashMap::new(),
        window: year(),
        asked: year(),
    };
    let mut rows = decoder.rows();
    let body = format!("{NAMES}\n2026-11-20 09:00,7,n,1,2\n2026-11-20 10:00,8,n,1\n");
    decoder.page(body.as_bytes(), &context, &mut rows).expect_err("ragged");
    assert!(rows.is_empty());
    let error = decoder.page(b"Campaign\n\xff\n", &context, &mut rows).expect_err("not UTF-8");
    assert_eq!(error.to_string(), "the answer is not a page: byte 10 is not UTF-8");
}

#[test]
fn archives_are_unpacked_and_bounded() {
    use std::io::Write;
    let body = format!("\u{feff}{NAMES}\n2026-11-20 09:00,7,n,1,2\n");
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("report.csv", zip::write::SimpleFileOptions::default()).expect("memory");
    zip.write_all(body.as_bytes()).expect("memory");
    let zip = zip.finish().expect("memory").into_inner();
    let read = |bytes: &[u8]| {
        decode_bytes(&report(""), &[account("1", "UTC")], year(), bytes)
            .map(|(batch, _)| table(&batch, COLUMNS))
            .map_err(|error| error.to_string())
    };
    let expected = Ok(vec!["7 | 2026-11-20T09:00:00Z | 1 | 2.00 | n".to_owned()]);
    assert_eq!(read(&gzip(body.as_bytes())), expected);
    assert_eq!(read(&zip), expected);
    let bomb = read(&gzip(&vec![b','; 1_000_001]));
    assert_eq!(bomb, unreadable("an archive that unpacks to more than 1000000 bytes (`api.max_body`)"));
    assert!(read(&zip[..zip.len() / 2]).expect_err("cut off").contains("a broken ZIP archive"));
}

/// A cell as some writer would quote it.
fn quoted(cell: &str, always: bool) -> String {
    if always || cell.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

proptest! {
    #[test]
    fn rows_are_those_of_the_same_texts_in_json(
        lines in proptest::collection::vec(("[a-z\"\\\\,\n\u{e9}\t ]{0,8}", "[0-9]{1,6}", 0i64..24, any::<bool>()), 0..8),
        crlf: bool,
    ) {
        let line_break = if crlf { "\r\n" } else { "\n" };
        let mut csv = format!("Campaign,Hour,Name,Clicks,Avg. rate{line_break}");
        let mut json = Vec::new();
        for (name, clicks, hour, always) in &lines {
            let hour = format!("2026-11-20T{hour:02}:00:00Z");
            let cells = ["7", &hour, name, clicks, "--"].map(|cell| quoted(cell, *always));
            csv.push_str(&cells.join(","));
            csv.push_str(line_break);
            json.push(serde_json::json!({"Campaign": "7", "Hour": hour, "Name": name, "Clicks": clicks, "rate": "--"}));
        }
        let mut by_json = report("");
        by_json.shape.format = Default::default();
        for column in &mut by_json.columns {
            if column.name == "rate" {
                column.from = path("rate");
            }
        }
        let (rows, facts) = decode(&report(""), &[account("1", "UTC")], &csv).expect("a CSV");
        let (expected, of_json) =
            decode(&by_json, &[account("1", "UTC")], &serde_json::Value::from(json).to_string()).expect("JSON");
        prop_assert_eq!(rows, expected);
        prop_assert_eq!((facts.records, facts.fingerprint), (of_json.records, of_json.fingerprint));
    }
}
