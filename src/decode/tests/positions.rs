//! Hours without labels: values by their place, checked against what the body tells.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn series(more: &str) -> Pipeline {
    of_file(&format!(
        r#"
        [records]
        path = "data"
        [hour]
        kind = "position"
        {more}
        [columns]
        campaign_id = {{ from = "id" }}
        clicks = {{ type = "int", from = "metrics.clicks" }}
        spend = {{ type = "micros", from = "metrics.spend", default = 0 }}
        note = {{ type = "text", from = "note" }}
        "#
    ))
}

fn three_hours() -> Window {
    between("2026-03-01T13:00:00Z", "2026-03-01T16:00:00Z")
}

fn read(pipeline: &Pipeline, body: &str) -> Result<Vec<String>, String> {
    decode_bytes(pipeline, &[account("1", "Asia/Kolkata")], three_hours(), body.as_bytes())
        .map(|(batch, _)| table(&batch, "campaign_id hour clicks spend note"))
        .map_err(|error| error.to_string())
}

#[test]
fn element_i_is_hour_i_of_what_was_asked_for() {
    let body = r#"{"data":[
        {"id":"a","metrics":{"clicks":[1,0,null],"spend":[5120000,0,"940000"]},"note":["x","y","z"]},
        {"id":"b","metrics":{"clicks":null,"spend":null},"note":"one for all"},
        {"metrics":{},"id":"c"}]}"#;
    assert_eq!(
        read(&series(""), body).expect("a page"),
        [
            "a | 2026-03-01T13:00:00Z | 1 | 5.120000 | x",
            "a | 2026-03-01T14:00:00Z | 0 | 0.000000 | y",
            "a | 2026-03-01T15:00:00Z | null | 0.940000 | z",
            "b | 2026-03-01T13:00:00Z | null | 0.000000 | one for all",
            "b | 2026-03-01T14:00:00Z | null | 0.000000 | one for all",
            "b | 2026-03-01T15:00:00Z | null | 0.000000 | one for all",
            "c | 2026-03-01T13:00:00Z | null | 0.000000 | null",
            "c | 2026-03-01T14:00:00Z | null | 0.000000 | null",
            "c | 2026-03-01T15:00:00Z | null | 0.000000 | null",
        ]
    );
}

#[test]
fn an_array_of_another_length_makes_the_page_unreadable() {
    for (list, count) in [("[1,2]", 2), ("[1,2,3,4]", 4), ("[]", 0)] {
        let body = format!(
            r#"{{"data":[{{"id":"a","metrics":{{"clicks":[1,2,3]}}}},{{"id":"b","metrics":{{"clicks":{list}}}}}]}}"#
        );
        let expected = format!(
            "the answer is not a page: record 2: `clicks` at `metrics.clicks` holds a list of {count}, \
             expected one value for each of the 3 hours that were asked for"
        );
        assert_eq!(read(&series(""), &body), Err(expected));
    }
}

#[test]
fn a_number_that_is_no_list_is_not_spread_over_the_hours() {
    for raw in ["7", "\"7\"", "{}", "true"] {
        let body = format!(r#"{{"data":[{{"id":"a","metrics":{{"clicks":{raw}}}}}]}}"#);
        let expected =
            format!("record 1: `clicks` at `metrics.clicks` holds `{raw}`, expected a list of one value for each hour");
        assert_eq!(read(&series(""), &body), Err(expected));
    }
    let wrong = r#"{"data":[{"id":"a","metrics":{"clicks":[1,"x",3]}}]}"#;
    let expected = "record 1: `clicks` at `metrics.clicks` holds `\"x\"`, expected an integer";
    assert_eq!(read(&series(""), wrong), Err(expected.to_owned()));
}

#[test]
fn hours_that_have_not_ended_are_left_away() {
    let body = r#"{"data":[{"id":"a","metrics":{"clicks":[1,2,3]}}]}"#;
    let ended = between("2026-03-01T13:00:00Z", "2026-03-01T15:00:00Z");
    let accounts = [account("1", "UTC")];
    let read = decode_ended(&series(""), &accounts, three_hours(), ended, body.as_bytes());
    let (batch, facts) = read.expect("a page");
    assert_eq!(table(&batch, "hour clicks"), ["2026-03-01T13:00:00Z | 1", "2026-03-01T14:00:00Z | 2"]);
    assert_eq!((facts.records, facts.outside), (1, 1));
}

#[test]
fn what_the_body_tells_of_its_hours_must_be_what_was_asked_for() {
    let pipeline = series("start = \"request.params.start_time\"\nlength = \"length\"");
    let data = r#"[{"id":"a","metrics":{"clicks":[1,2,3]}}]"#;
    let of = |start: &str, length: &str, data: &str| {
        let rest = format!(r#""request":{{"params":{{"start_time":{start}}}}}"#);
        // Before the records and after them.
        let one = format!(r#"{{"length":{length},{rest},"data":{data}}}"#);
        let other = format!(r#"{{"data":{data},"length":{length},{rest}}}"#);
        let read_one = read(&pipeline, &one).map(|rows| rows.len());
        assert_eq!(read_one, read(&pipeline, &other).map(|rows| rows.len()));
        read_one
    };
    for start in ["\"2026-03-01T13:00:00Z\"", "\"2026-03-01T18:30:00+05:30\"", "\"2026-03-01T13:00\"", "1772370000"] {
        assert_eq!(of(start, "3", data), Ok(3), "{start}");
        assert_eq!(of(start, "\"3\"", data), Ok(3), "{start}");
        assert_eq!(of(start, "0", "[]"), Ok(0), "{start}");
    }
    assert_eq!(of("null", "null", "[]"), Ok(0), "a page without records needs to tell nothing");
    let refused = |text: &str| Err(format!("the answer is not a page: {text}"));
    let start = "`request.params.start_time` holds";
    let asked = "expected 2026-03-01T13:00:00Z, which was asked for";
    assert_eq!(
        of("\"2026-03-01T14:00:00Z\"", "3", data),
        refused(&format!("{start} `\"2026-03-01T14:00:00Z\"`, {asked}"))
    );
    assert_eq!(of("\"2026-03-01\"", "3", data), refused(&format!("{start} `\"2026-03-01\"`, {asked}")));
    assert_eq!(of("null", "3", data), refused(&format!("{start} nothing, {asked}")));
    assert_eq!(
        of("\"2026-03-01T14:00:00Z\"", "0", "[]"),
        refused(&format!("{start} `\"2026-03-01T14:00:00Z\"`, {asked}")),
        "nothing of other hours is not nothing of these"
    );
    let hours = "expected 3, the hours that were asked for";
    assert_eq!(of("1772370000", "4", data), refused(&format!("`length` holds `4`, {hours}")));
    assert_eq!(of("1772370000", "null", data), refused(&format!("`length` holds nothing, {hours}")));
    assert_eq!(of("1772370000", "\"x\"", data), refused(&format!("`length` holds `\"x\"`, {hours}")));
}

#[test]
fn lists_of_elements_with_arrays_are_spread_twice() {
    let pipeline = of_file(
        r#"
        [records]
        path = "data"
        each = "id_data"
        skip_empty = true
        [hour]
        kind = "position"
        [columns]
        campaign_id = { from = "id" }
        segment = { type = "text", from = "id_data.*.segment" }
        clicks = { type = "int", from = "id_data.*.metrics.clicks" }
        "#,
    );
    let body = r#"{"data":[{"id":"a","id_data":[
        {"segment":"x","metrics":{"clicks":[1,0,3]}},{"segment":"y","metrics":{"clicks":null}},
        {"segment":"z","metrics":{"clicks":[0,4,0]}}]}]}"#;
    let read = decode_bytes(&pipeline, &[account("1", "UTC")], three_hours(), body.as_bytes());
    assert_eq!(
        table(&read.expect("a page").0, "segment hour clicks"),
        ["x | 2026-03-01T13:00:00Z | 1", "x | 2026-03-01T15:00:00Z | 3", "z | 2026-03-01T14:00:00Z | 4"]
    );
    let short = body.replace("[0,4,0]", "[0,4]");
    let error = decode_bytes(&pipeline, &[account("1", "UTC")], three_hours(), short.as_bytes()).expect_err("short");
    assert!(
        error.to_string().contains("record 1: `clicks` at `id_data.3.metrics.clicks` holds a list of 2"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn rows_are_those_with_labels(
        campaigns in proptest::collection::vec(proptest::collection::vec(proptest::option::of(0i64..1000), 3..=3), 0..5),
    ) {
        let labelled = of_file(
            r#"
            [records]
            path = "data"
            [hour]
            kind = "instant"
            from = "hour"
            [columns]
            campaign_id = { from = "id" }
            clicks = { type = "int", from = "metrics.clicks" }
            spend = { type = "micros", from = "metrics.spend", default = 0 }
            note = { type = "text", from = "note" }
            "#,
        );
        let (mut by_place, mut by_label) = (Vec::new(), Vec::new());
        for (id, clicks) in campaigns.iter().enumerate() {
            by_place.push(json!({"id": id, "metrics": {"clicks": clicks}}));
            for (hour, clicks) in clicks.iter().enumerate() {
                by_label.push(json!({"id": id, "hour": 1_772_370_000 + 3600 * hour, "metrics": {"clicks": clicks}}));
            }
        }
        let accounts = [account("1", "UTC")];
        let read = |pipeline: &Pipeline, rows: Vec<Json>| {
            let body = json!({ "data": rows }).to_string();
            decode_bytes(pipeline, &accounts, three_hours(), body.as_bytes()).expect("a page").0
        };
        prop_assert_eq!(read(&series(""), by_place), read(&labelled, by_label));
    }
}
