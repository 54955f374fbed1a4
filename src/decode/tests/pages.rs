//! Envelopes, identities, and pages that are none.

use super::*;

const ROW: &str = r#"{"account":"1","campaign":"7","hour":"2026-11-20T09:00:00Z","v":5}"#;

fn counts() -> Pipeline {
    pipeline(vec![column("v", ColumnKind::Int)])
}

fn read(pipeline: &Pipeline, body: &str) -> Result<(RecordBatch, PageFacts), DecodeError> {
    decode(pipeline, &[account("1", "UTC")], body)
}

fn facts(pipeline: &Pipeline, body: &str) -> PageFacts {
    read(pipeline, body).expect("a page").1
}

fn at_path(records: &str) -> Pipeline {
    let mut pipeline = counts();
    pipeline.records.path = path(records);
    pipeline
}

fn unreadable(pipeline: &Pipeline, body: &str) -> String {
    match read(pipeline, body) {
        Err(DecodeError::Unreadable(message)) => message,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_row_has_all_columns_of_the_lake() {
    let (batch, _) =
        decode(&counts(), &[account("0", "UTC"), account("1", "Europe/Berlin")], &format!(r#"{{"data":[{ROW}]}}"#))
            .expect("a page");
    let shown: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{}={}", field.name(), texts(&batch, field.name())[0]))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    platform=shop_ads
    account_id=1
    account_name=Shop 1
    account_timezone=Europe/Berlin
    currency=EUR
    campaign_id=7
    campaign_name=Spring
    hour=2026-11-20T09:00:00Z
    local_hour=2026-11-20T10:00:00
    utc_offset_minutes=60
    hours_covered=1
    v=5
    seen_at=2026-11-20T12:00:00Z
    ");
}

#[test]
fn the_cursor_may_come_before_or_after_the_rows() {
    let bodies = [
        format!(r#"{{"paging":{{"next":"abc","x":{{}}}},"data":[{ROW}]}}"#),
        format!(r#"{{"x":[1,{{"data":[{{}}]}}],"data":[{ROW}],"paging":{{"x":null,"next":"abc"}}}}"#),
        format!("\u{feff} {{\"paging\":{{\"next\":\"old\"}},\"data\":[{ROW}],\"paging\":{{\"next\":\"abc\"}}}}\n\t "),
    ];
    for body in bodies {
        let facts = facts(&counts(), &body);
        assert_eq!((facts.records, facts.next.as_deref()), (1, Some("abc")), "{body}");
    }
    let next = |paging: &str| facts(&counts(), &format!(r#"{{"data":[],{paging}"v":1}}"#)).next;
    assert_eq!(next(r#""paging":{"next":90071992547409931},"#).as_deref(), Some("90071992547409931"));
    assert_eq!(next(r#""paging":{"next":"a\/b\u0026"},"#).as_deref(), Some("a/b&"));
    let ends = [
        "",
        r#""paging":null,"#,
        r#""paging":{},"#,
        r#""paging":[],"#,
        r#""paging":{"next":null},"#,
        r#""paging":{"next":""},"#,
        r#""paging":{"next":false},"#,
        r#""paging":{"next":"old"},"paging":{},"#,
    ];
    for paging in ends {
        assert_eq!(next(paging), None, "{paging}");
    }
    // An end that may not be one is not taken for one.
    for paging in [r#"{"next":{"a":1}}"#, r#"{"next":["b"]}"#, r#"{"next":true}"#, "7", "\"x\"", "[1]"] {
        unreadable(&counts(), &format!(r#"{{"data":[],"paging":{paging}}}"#));
    }
}

#[test]
fn totals_are_numbers_or_text() {
    let mut pipeline = counts();
    let kind =
        PaginationKind::PageNumber { param: "page".to_owned(), first: 1, total_pages: Some(path("page_info.pages")) };
    pipeline.pagination.kind = kind;
    let total = |value: &str| read(&pipeline, &format!(r#"{{"page_info":{{"pages":{value}}},"data":[]}}"#));
    for (value, expected) in
        [("12", Some(12)), ("\"12\"", Some(12)), ("12.0", Some(12)), ("0", Some(0)), ("null", None)]
    {
        assert_eq!(total(value).map(|(_, facts)| facts.total), Ok(expected), "{value}");
    }
    for value in ["-1", "\"many\"", "1.5", "{}"] {
        assert!(matches!(total(value), Err(DecodeError::Unreadable(_))), "{value}");
    }
    assert_eq!(facts(&pipeline, r#"{"data":[]}"#).total, None);
}

#[test]
fn null_rows_are_none_and_absent_rows_are_no_page() {
    let mut pipeline = at_path("data.rows");
    for body in [r#"{"data":{"rows":null}}"#, r#"{"data":{"rows":[]}}"#] {
        assert_eq!(facts(&pipeline, body), PageFacts::default(), "{body}");
    }
    let absent = ["{}", "[]", "null", r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":[]}"#, r#"{"rows":[]}"#];
    for body in absent {
        assert_eq!(unreadable(&pipeline, body), "no records at `data.rows`", "{body}");
    }
    pipeline.records.absent_is_empty = true;
    for body in absent {
        assert_eq!(facts(&pipeline, body).records, 0, "{body}");
    }
    for body in
        [r#"{"data":{"rows":{}}}"#, r#"{"data":{"rows":5}}"#, r#"{"data":"error"}"#, r#"{"data":[1]}"#, "true", "\"x\""]
    {
        unreadable(&pipeline, body);
    }
}

#[test]
fn records_in_many_places() {
    let stats = at_path("stats.*.timeseries");
    let body =
        format!(r#"{{"stats":[{{"timeseries":[{ROW},{ROW}]}},{{"id":1,"timeseries":[]}},{{"timeseries":[{ROW}]}}]}}"#);
    assert_eq!(facts(&stats, &body).records, 3);
    assert_eq!(facts(&stats, r#"{"stats":[]}"#).records, 0);
    assert_eq!(
        unreadable(&stats, &format!(r#"{{"stats":[{{"timeseries":[{ROW}]}},{{}}]}}"#)),
        "no records at `stats.*.timeseries`"
    );

    // An object of arrays by campaign, named to the arrays or to their elements.
    for pattern in ["*", "*.*"] {
        let body = format!(r#"{{"7":[{ROW}],"8":[{ROW},{ROW}]}}"#);
        assert_eq!(facts(&at_path(pattern), &body).records, 3, "{pattern}");
        unreadable(&at_path(pattern), r#"{"code":5,"message":"no"}"#);
    }
    // A key that is named otherwise is no record.
    let mut keyed = at_path("*");
    keyed.pagination.kind = PaginationKind::Cursor { next: path("bookmark"), more: None, param: "b".to_owned() };
    let read = facts(&keyed, &format!(r#"{{"7":[{ROW}],"bookmark":"abc"}}"#));
    assert_eq!((read.records, read.next.as_deref()), (1, Some("abc")));

    assert_eq!(facts(&at_path(""), &format!("[{ROW},{ROW}]")).records, 2);
    assert_eq!(facts(&at_path(""), "null").records, 0);
    assert_eq!(
        unreadable(&at_path(""), r#"{"code":5}"#),
        "an object at `the top`, expected an array of records at line 1 column 1"
    );
}

#[test]
fn what_is_no_json_is_no_page() {
    let whole = format!(r#"{{"data":[{ROW}]}}"#);
    assert_eq!(unreadable(&counts(), ""), "an empty body");
    assert_eq!(unreadable(&counts(), " <!DOCTYPE html><p>token=s3cret"), "HTML or XML instead of JSON");
    for garbage in ["x", "{}", ",", "]", "\0", "\u{a0}"] {
        assert!(unreadable(&counts(), &format!("{whole} {garbage}")).starts_with("trailing characters"), "{garbage:?}");
    }
    let decoder = Decoder::new(&counts());
    let window = Window::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).expect("a window");
    let context = PageContext {
        accounts: &[],
        campaign_names: &HashMap::new(),
        campaign_currencies: &HashMap::new(),
        window,
        asked: window,
    };
    let error = decoder.page(b"{\"data\":[\"\xff\"]}", &context, &mut decoder.rows()).expect_err("not UTF-8");
    assert_eq!(error.to_string(), "the answer is not a page: byte 11 is not UTF-8");
}

#[test]
fn nested_columns_and_repeated_keys() {
    let nested = |name: &str, from: &str| Column { from: path(from), ..column(name, ColumnKind::Int) };
    let mut pipeline = pipeline(vec![nested("spend", "metrics.spend"), nested("clicks", "metrics.all.clicks")]);
    pipeline.columns.push(Column { from: path("a\"b"), ..column("quoted", ColumnKind::Int) });
    let read = |members: &str| {
        let (batch, facts) =
            read(&pipeline, &format!(r#"{{"data":[{}]}}"#, record(members))).map_err(|e| e.to_string())?;
        let values = ["spend", "clicks", "quoted"].map(|name| texts(&batch, name).remove(0)).join(" ");
        Ok::<_, String>((values, facts.unknown.iter().map(|(path, _)| path).collect::<Vec<_>>().join(" ")))
    };
    let cases = [
        (r#""metrics":{"all":{"clicks":2,"x":{"y":1}},"spend":1},"clicks":9"#, "1 2 null", "clicks metrics.all.x"),
        (r#""metrics":{"spend":1},"metrics":{"all":{"clicks":2}}"#, "null 2 null", ""),
        (r#""metrics":{"spend":1,"spend":3}"#, "3 null null", ""),
        (r#""metrics":{"spend":1},"metrics":null"#, "null null null", ""),
        (r#""metrics":null,"a\"b":4,"m\u0065trics":{"spend":5}"#, "5 null 4", ""),
    ];
    for (members, values, unknown) in cases {
        assert_eq!(read(members), Ok((values.to_owned(), unknown.to_owned())), "{members}");
    }
    for (json, found) in [("5", "a number"), ("\"-\"", "text"), ("[]", "an array"), ("true", "true or false")] {
        let error = read(&format!(r#""metrics":{json}"#)).expect_err(json);
        assert_eq!(error, format!("record 1: `spend` at `metrics` holds {found}, expected an object"));
    }
}

#[test]
fn a_column_may_be_an_object_that_another_looks_into() {
    let text = Column { from: path("m.id"), ..column("id", ColumnKind::Int) };
    let pipeline = pipeline(vec![text, Column { from: path("m"), ..picked("clicks", "click") }]);
    let body = format!(r#"{{"data":[{}]}}"#, record(r#""m":{"id":4}"#));
    let error = read(&pipeline, &body).expect_err("no list");
    assert_eq!(
        error.to_string(),
        "record 1: `clicks` at `m` holds `{\"id\":4}`, expected a list of objects with `type` and `value`"
    );
}

#[test]
fn records_that_are_no_objects() {
    for (json, found) in [("5", "a number"), ("null", "null"), ("[]", "an array"), ("\"x\"", "text")] {
        let error = read(&counts(), &format!(r#"{{"data":[{ROW},{json}]}}"#)).expect_err(json);
        assert_eq!(
            error.to_string(),
            format!("record 2: `record` at `the record itself` holds {found}, expected an object")
        );
    }
}

#[test]
fn identities() {
    let row = |account: &str, campaign: &str| {
        format!(r#"{{"account":{account},"campaign":{campaign},"hour":"2026-11-20T09:00:00Z","name":"Named"}}"#)
    };
    let accounts = [account("90071992547409931", "UTC"), account("a-2", "Asia/Kathmandu")];
    let mut pipeline = pipeline(Vec::new());
    pipeline.hour = HourSource::Instant { from: path("hour"), zone: ZoneRule::Utc, repeated: RepeatedHour::First };
    let body = format!(
        r#"{{"data":[{},{},{}]}}"#,
        row("90071992547409931", "90071992547409933"),
        row("\"a-2\"", "7"),
        row("\"90071992547409931\"", "\"x\\u0079\"")
    );
    let (batch, _) = decode(&pipeline, &accounts, &body).expect("a page");
    assert_eq!(texts(&batch, "account_id"), ["90071992547409931", "a-2", "90071992547409931"]);
    assert_eq!(texts(&batch, "campaign_id"), ["90071992547409933", "7", "xy"]);
    assert_eq!(texts(&batch, "campaign_name"), ["null", "Spring", "null"]);
    assert_eq!(texts(&batch, "utc_offset_minutes"), ["0", "345", "0"]);

    let refused = |pipeline: &Pipeline, row: String| {
        decode(pipeline, &accounts, &format!(r#"{{"data":[{row}]}}"#)).expect_err("refused").to_string()
    };
    assert_eq!(
        refused(&pipeline, row("\"3\"", "7")),
        "record 1: `account_id` at `account` holds `\"3\"`, expected an account that was asked for"
    );
    assert_eq!(
        refused(&pipeline, row("null", "7")),
        "record 1: `account_id` at `account` holds `null`, expected an account's id"
    );
    for campaign in ["null", "\"\"", "\"-\""] {
        assert_eq!(
            refused(&pipeline, row("\"a-2\"", campaign)),
            format!("record 1: `campaign_id` at `campaign` holds `{campaign}`, expected a campaign's id")
        );
    }
    assert!(refused(&pipeline, row("\"a-2\"", "{}")).ends_with("expected text or a number"));

    pipeline.identity = Identity {
        account: None,
        campaign: Some(path("campaign")),
        campaign_name: Some(path("name")),
        ..Identity::default()
    };
    assert!(refused(&pipeline, row("\"3\"", "7")).ends_with("expected one, since 2 accounts were asked for at once"));
    let (batch, _) = read(&pipeline, &format!(r#"{{"data":[{}]}}"#, row("\"3\"", "7"))).expect("a page");
    assert_eq!(
        (texts(&batch, "account_id"), texts(&batch, "campaign_name")),
        (vec!["1".to_owned()], vec!["Named".to_owned()])
    );
}

#[test]
fn unknown_fields_are_few() {
    let members: Vec<String> = (0..100).map(|number| format!(r#""extra{number}":{number}"#)).collect();
    let body = format!(r#"{{"data":[{}]}}"#, record(&members.join(",")));
    let unknown = facts(&counts(), &body).unknown;
    assert_eq!((unknown.iter().count(), unknown.has_more()), (UNKNOWN_KEPT, true));
}

#[test]
fn unknown_fields_are_counted_by_record() {
    let nested = Column { from: path("m.spend"), ..column("spend", ColumnKind::Int) };
    let rows = [
        record(r#""a":1,"m":{"spend":1,"a":[1,2],"b":{"c":1}},"z":null"#),
        record(r#""m":{"b":1,"spend":2},"a":1,"a":2"#),
        record(r#""z":1,"m":{"spend":3},"a":{}"#),
        record(r#""m":null"#),
    ];
    let body = format!(r#"{{"data":[{}],"else":1}}"#, rows.join(","));
    let (_, facts) = read(&pipeline(vec![nested]), &body).expect("a page");
    let found: Vec<(&str, u64)> = facts.unknown.iter().collect();
    assert_eq!(found, [("a", 3), ("m.a", 1), ("m.b", 2), ("z", 2)]);
    assert!(!facts.unknown.has_more());
}

#[test]
fn a_refused_page_leaves_the_rows_as_they_were() {
    let mut pipeline = pipeline(vec![
        column("text", ColumnKind::Text),
        column("bool", ColumnKind::Bool),
        column("money", ColumnKind::Decimal { precision: 9, scale: 2 }),
        column("float", ColumnKind::Float),
        column("time", ColumnKind::Timestamp),
        column("last", ColumnKind::Int),
    ]);
    pipeline.columns[5].required = true;
    let decoder = Decoder::new(&pipeline);
    let names = HashMap::new();
    let accounts = [account("1", "UTC")];
    let window = Window::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).expect("a window");
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &names,
        campaign_currencies: &HashMap::new(),
        window,
        asked: window,
    };
    let good = record(r#""text":"é","bool":true,"money":1.5,"float":2,"time":1795165200,"last":1"#);
    let sparse = record(r#""last":2"#);
    let bad = record(r#""text":"gone","bool":true,"money":1.5,"float":2"#);
    let page = |rows: &[&String]| {
        format!(r#"{{"data":[{}]}}"#, rows.iter().map(|row| row.as_str()).collect::<Vec<_>>().join(","))
    };

    let mut clean = decoder.rows();
    let mut disturbed = decoder.rows();
    assert!(disturbed.is_empty());
    for body in [page(&[&good, &sparse]), page(&[&sparse]), page(&[&good, &good, &sparse])] {
        let before = (disturbed.len(), disturbed.bytes());
        let refused = page(&[&good, &sparse, &sparse, &good, &good, &sparse, &good, &good, &good, &bad]);
        let error = decoder.page(refused.as_bytes(), &context, &mut disturbed).expect_err("refused");
        assert_eq!(error.to_string(), "record 10: `last` at `last` holds nothing, expected a value");
        let cut = &body.as_bytes()[..body.len() - 1];
        assert!(matches!(decoder.page(cut, &context, &mut disturbed), Err(DecodeError::Unreadable(_))));
        assert_eq!((disturbed.len(), disturbed.bytes()), before);
        for rows in [&mut clean, &mut disturbed] {
            decoder.page(body.as_bytes(), &context, rows).expect("a page");
        }
    }
    assert_eq!((clean.len(), clean.bytes()), (6, disturbed.bytes()));
    let now = at("2026-11-20T12:00:00Z");
    assert_eq!(disturbed.finish(now), clean.finish(now));
}

#[test]
fn the_fingerprint_is_of_the_keys_in_their_order() {
    let mut pipeline = pipeline(vec![column("device", ColumnKind::Text), column("v", ColumnKind::Int)]);
    pipeline.dimensions = vec!["device".to_owned()];
    let row = |campaign: u32, hour: u32, device: &str, value: u32| {
        format!(
            r#"{{"account":"1","campaign":{campaign},"hour":"20{hour}-11-20T09:00:00Z","device":"{device}","v":{value}}}"#
        )
    };
    let print = |rows: &[String]| facts(&pipeline, &format!(r#"{{"data":[{}]}}"#, rows.join(","))).fingerprint;
    let base = print(&[row(7, 26, "tv", 1), row(8, 26, "tv", 1)]);
    assert!(base.is_some());
    assert_eq!(print(&[row(7, 26, "tv", 5), row(8, 26, "tv", 6)]), base);
    let others = [
        vec![row(8, 26, "tv", 1), row(7, 26, "tv", 1)],
        vec![row(7, 26, "tv", 1)],
        vec![row(7, 26, "tv", 1), row(8, 26, "pc", 1)],
        // Left away for its hour, but seen.
        vec![row(7, 26, "tv", 1), row(8, 25, "tv", 1)],
    ];
    for rows in others {
        assert_ne!(print(&rows), base, "{rows:?}");
    }
    assert_eq!(print(&[]), None);
}
