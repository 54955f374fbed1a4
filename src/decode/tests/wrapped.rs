//! `?`: values that may be wrapped in an array, around the records and in them.

use super::*;

fn counts(records: &str) -> Pipeline {
    let mut pipeline = pipeline(vec![column("v", ColumnKind::Int)]);
    pipeline.records.path = path(records);
    pipeline
}

fn values(pipeline: &Pipeline, body: &str) -> Result<Vec<String>, String> {
    decode(pipeline, &[account("1", "UTC")], body)
        .map(|(batch, _)| texts(&batch, "v"))
        .map_err(|error| error.to_string())
}

fn good(values: &[&str]) -> Result<Vec<String>, String> {
    Ok(values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn records_are_found_whether_what_holds_them_is_wrapped_or_not() {
    let pipeline = counts("data.?.rows");
    let (one, two) = (record("\"v\":1"), record("\"v\":2"));
    let cases = [
        (format!(r#"{{"data":{{"rows":[{one},{two}]}}}}"#), good(&["1", "2"])),
        (format!(r#"{{"data":[{{"rows":[{one},{two}]}}]}}"#), good(&["1", "2"])),
        (format!(r#"{{"data":[{{"rows":[{one}]}},{{"rows":[{two}]}}]}}"#), good(&["1", "2"])),
        (r#"{"data":[{"rows":null}]}"#.to_owned(), good(&[])),
        (r#"{"data":[]}"#.to_owned(), good(&[])),
        (r#"{"data":{}}"#.to_owned(), Err("the answer is not a page: no records at `data.?.rows`".to_owned())),
        (r#"{"data":[{}]}"#.to_owned(), Err("the answer is not a page: no records at `data.?.rows`".to_owned())),
        (r#"{"data":null}"#.to_owned(), Err("the answer is not a page: no records at `data.?.rows`".to_owned())),
        (r#"{}"#.to_owned(), Err("the answer is not a page: no records at `data.?.rows`".to_owned())),
    ];
    for (body, expected) in cases {
        assert_eq!(values(&pipeline, &body), expected, "{body}");
    }
    let error = values(&pipeline, r#"{"data":7}"#).expect_err("a number");
    assert!(error.contains("a number at `data`, expected an object"), "{error}");
}

#[test]
fn records_themselves_may_be_one_or_many() {
    let pipeline = counts("data.?");
    let (one, two) = (record("\"v\":1"), record("\"v\":2"));
    assert_eq!(values(&pipeline, &format!(r#"{{"data":{one}}}"#)), good(&["1"]));
    assert_eq!(values(&pipeline, &format!(r#"{{"data":[{one},{two}]}}"#)), good(&["1", "2"]));
    assert_eq!(values(&pipeline, r#"{"data":[]}"#), good(&[]));
    assert_eq!(values(&pipeline, r#"{"data":null}"#), good(&[]));
}

#[test]
fn the_whole_body_may_be_wrapped() {
    let mut pipeline = counts("?.rows");
    pipeline.records.absent_is_empty = true;
    let (one, two) = (record("\"v\":1"), record("\"v\":2"));
    assert_eq!(values(&pipeline, &format!(r#"{{"rows":[{one}]}}"#)), good(&["1"]));
    assert_eq!(
        values(&pipeline, &format!(r#"[{{"rows":[{one}]}},{{"done":true}},{{"rows":[{two}]}}]"#)),
        good(&["1", "2"])
    );
    assert_eq!(values(&pipeline, "[]"), good(&[]));
}

#[test]
fn the_next_page_is_the_first_that_is_there() {
    let next = |cursor: &str, body: &str| {
        let mut pipeline = counts("data.*.rows");
        pipeline.records.absent_is_empty = true;
        if !cursor.contains('*') {
            pipeline.records.path = path("data.?.rows");
        }
        pipeline.pagination.kind =
            PaginationKind::Cursor { next: path(cursor), more: None, param: "cursor".to_owned() };
        decode(&pipeline, &[account("1", "UTC")], body).expect("a page").1.next
    };
    let some = |text: &str| Some(text.to_owned());
    for body in [r#"{"data":{"rows":[],"paging":{"next":"n"}}}"#, r#"{"data":[{"rows":[],"paging":{"next":"n"}}]}"#] {
        assert_eq!(next("data.?.paging.next", body), some("n"), "{body}");
    }
    let several = |one: &str, other: &str| {
        format!(r#"{{"data":[{{"rows":[],"paging":{{"next":{one}}}}},{{"paging":{{"next":{other}}},"rows":[]}}]}}"#)
    };
    assert_eq!(next("data.?.paging.next", &several("\"a\"", "\"b\"")), some("a"));
    assert_eq!(next("data.?.paging.next", &several("null", "\"b\"")), some("b"));
    assert_eq!(next("data.?.paging.next", &several("\"a\"", "null")), some("a"));
    assert_eq!(next("data.?.paging.next", &several("\"\"", "\"\"")), None);
    let last = r#"{"data":[{"rows":[],"paging":{"next":"a"}},{"rows":[]}]}"#;
    assert_eq!(next("data.?.paging.next", last), some("a"), "what is not there takes nothing back");
    assert_eq!(next("data.?.paging.next.?", r#"{"data":[{"rows":[],"paging":{"next":["x"]}}]}"#), some("x"));
}

#[test]
fn a_value_in_a_record_may_be_wrapped() {
    let nested = |name: &str, from: &str| Column { from: path(from), ..column(name, ColumnKind::Int) };
    let pipeline = pipeline(vec![nested("v", "m.?.v"), nested("w", "m.w"), nested("id", "ids.?")]);
    let of = |members: &str| {
        let body = format!(r#"{{"data":[{}]}}"#, record(members));
        decode(&pipeline, &[account("1", "UTC")], &body)
            .map(|(batch, _)| table(&batch, "v w id").remove(0))
            .map_err(|error| error.to_string())
    };
    assert_eq!(of(r#""m":{"v":1,"w":2},"ids":7"#).as_deref(), Ok("1 | 2 | 7"));
    assert_eq!(of(r#""m":[{"v":1,"w":2}],"ids":[7]"#).as_deref(), Ok("1 | 2 | 7"));
    assert_eq!(of(r#""m":[],"ids":[]"#).as_deref(), Ok("null | null | null"));
    assert_eq!(of(r#""m":null,"ids":null"#).as_deref(), Ok("null | null | null"));
    assert_eq!(of(r#""m":[null],"ids":[null]"#).as_deref(), Ok("null | null | null"));
    assert_eq!(of(r#""m":{"v":1},"m":[]"#).as_deref(), Ok("null | null | null"), "the last counts");
    assert_eq!(of(r#""ids":[7],"ids":8,"m":[{"v":1}],"m":{"w":3}"#).as_deref(), Ok("null | 3 | 8"));
    let several = of(r#""m":[{"v":1},{"v":2}]"#).expect_err("two");
    assert_eq!(several, "record 1: `v` at `m.?` holds several elements, expected one element at most");
    let several = of(r#""ids":[7,8]"#).expect_err("two");
    assert_eq!(several, "record 1: `record` at `ids.?` holds several elements, expected one element at most");
    let scalar = of(r#""m":[7]"#).expect_err("a number");
    assert_eq!(scalar, "record 1: `v` at `m.?` holds a number, expected an object");
}

#[test]
fn unknown_fields_are_counted_in_wrapped_objects_too() {
    let nested = Column { from: path("m.?.v"), ..column("v", ColumnKind::Int) };
    let body = format!(
        r#"{{"data":[{},{},{}]}}"#,
        record(r#""m":[{"v":1,"new":1}]"#),
        record(r#""m":{"v":1,"new":1}"#),
        record(r#""m":[]"#)
    );
    let (_, facts) = decode(&pipeline(vec![nested]), &[account("1", "UTC")], &body).expect("a page");
    assert_eq!(facts.unknown.to_string(), "m.?.new in 2 records");
}
