//! `records.each`: rows out of a list in each record.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// Campaigns with a list of hours.
fn campaigns() -> Pipeline {
    of_file(
        r#"
        [pagination]
        kind = "cursor"
        next = "next"
        param = "cursor"
        [records]
        path = "data"
        each = "series.hours"
        [hour]
        kind = "instant"
        from = "series.hours.*.hour"
        [columns]
        account_id = { from = "account" }
        campaign_id = { from = "campaign.id" }
        campaign_name = { from = "campaign.name" }
        clicks = { type = "int", from = "series.hours.*.metrics.clicks" }
        state = { type = "text", from = "campaign.state" }
        "#,
    )
}

const ROW: &str = "account_id campaign_id campaign_name hour clicks state";

fn hour(hour: &str, clicks: &str) -> String {
    format!(r#"{{"hour":"2026-11-20T{hour}:00:00Z","metrics":{{"clicks":{clicks}}}}}"#)
}

fn error(body: &str) -> String {
    decode(&campaigns(), &[account("1", "UTC")], body).expect_err("no page").to_string()
}

#[test]
fn each_element_makes_a_row_with_what_its_record_says() {
    let body = format!(
        r#"{{"data":[
            {{"series":{{"hours":[{},{}]}},"campaign":{{"id":"7","name":"N","state":"on"}},"account":"1"}},
            {{"account":"1","campaign":{{"id":"8"}},"series":{{"hours":[{}]}}}},
            {{"account":"1","campaign":{{"id":"9"}},"series":{{"hours":[]}}}},
            {{"account":"1","campaign":{{"id":"9"}},"series":{{"hours":null}}}},
            {{"account":"1","campaign":{{"id":"9"}},"series":{{}}}},
            {{"account":"1","campaign":{{"id":"9"}}}}
        ],"next":"more"}}"#,
        hour("09", "1"),
        hour("10", "2"),
        hour("09", "3"),
    );
    let (batch, facts) = decode(&campaigns(), &[account("1", "UTC")], &body).expect("a page");
    assert_eq!(
        table(&batch, ROW),
        [
            "1 | 7 | N | 2026-11-20T09:00:00Z | 1 | on",
            "1 | 7 | N | 2026-11-20T10:00:00Z | 2 | on",
            "1 | 8 | null | 2026-11-20T09:00:00Z | 3 | null",
        ]
    );
    assert_eq!((facts.records, facts.outside, facts.next.as_deref()), (6, 0, Some("more")), "records are counted");
}

#[test]
fn nothing_of_an_element_stays_for_the_next() {
    let body = format!(
        r#"{{"data":[{{"account":"1","campaign":{{"id":"7"}},"series":{{"hours":[{},{{"hour":"2026-11-20T10:00:00Z"}}]}}}}]}}"#,
        hour("09", "1"),
    );
    let (batch, _) = decode(&campaigns(), &[account("1", "UTC")], &body).expect("a page");
    assert_eq!(texts(&batch, "clicks"), ["1", "null"]);
}

#[test]
fn rows_outside_of_the_window_are_counted_one_by_one() {
    let body = format!(
        r#"{{"data":[{{"account":"1","campaign":{{"id":"7"}},"series":{{"hours":[{},{},{}]}}}}]}}"#,
        hour("08", "1"),
        hour("09", "2"),
        hour("10", "3"),
    );
    let window = between("2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z");
    let (batch, facts) = decode_bytes(&campaigns(), &[account("1", "UTC")], window, body.as_bytes()).expect("a page");
    assert_eq!((texts(&batch, "clicks"), facts.records, facts.outside), (vec!["2".to_owned()], 1, 2));
}

#[test]
fn the_element_that_cannot_be_kept_is_named() {
    let of =
        |list: &str| format!(r#"{{"data":[{{"account":"1","campaign":{{"id":"7"}},"series":{{"hours":{list}}}}}]}}"#);
    let wrong = of(&format!("[{},{}]", hour("09", "1"), hour("10", "1.5")));
    assert_eq!(error(&wrong), "record 1: `clicks` at `series.hours.2.metrics.clicks` holds `1.5`, expected an integer");
    let no_hour = of(r#"[{"metrics":{"clicks":1}}]"#);
    assert!(error(&no_hour).starts_with("record 1: `hour` at `series.hours.1.hour` holds nothing, expected a moment"));
    for (list, found) in [("7", "`7`"), ("{}", "`{}`"), ("\"x\"", "`\"x\"`"), ("true", "`true`")] {
        let expected = "expected a list, each element of which makes a row";
        assert_eq!(error(&of(list)), format!("record 1: `record` at `series.hours` holds {found}, {expected}"));
    }
    assert_eq!(error(&of("[null]")), "record 1: `clicks` at `series.hours.1` holds null, expected an object");
    assert_eq!(error(&of("[7]")), "record 1: `clicks` at `series.hours.1` holds a number, expected an object");
    let wrong = of(&format!("[{},{{\"metrics\":[1]}}]", hour("09", "1")));
    let expected = "record 1: `clicks` at `series.hours.2.metrics` holds an array, expected an object";
    assert_eq!(error(&wrong), expected);
    let unasked = r#"{"data":[{"account":"2","campaign":{"id":"7"},"series":{"hours":[{"hour":1795165200}]}}]}"#;
    assert!(error(unasked).contains("an account that was asked for"));
    let cut = of(&format!("[{},{}]", hour("09", "1"), hour("10", "1")));
    assert!(error(&cut[..cut.len() - 20]).starts_with("the answer is not a page: "));
}

#[test]
fn unknown_fields_of_elements_are_counted_by_record() {
    let body = r#"{"data":[
        {"account":"1","campaign":{"id":"7","new":1},"series":{"more":0,"hours":[
            {"hour":1795165200,"metrics":{"clicks":1,"views":2}},
            {"hour":1795168800,"metrics":{"clicks":1,"views":2},"part":true}]}},
        {"account":"1","campaign":{"id":"8"},"series":{"hours":[{"hour":1795165200,"metrics":{"views":2}}]}}]}"#;
    let (_, facts) = decode(&campaigns(), &[account("1", "UTC")], body).expect("a page");
    let expected = "series.hours.*.metrics.views in 2 records, campaign.new in 1 record, \
                    series.hours.*.part in 1 record, series.more in 1 record";
    assert_eq!(facts.unknown.to_string(), expected);
}

#[test]
fn pages_are_told_apart_by_rows_and_by_records_without_rows() {
    let fingerprint = |body: &str| {
        let (_, facts) = decode(&campaigns(), &[account("1", "UTC")], body).expect("a page");
        facts.fingerprint
    };
    let of = |campaign: &str, list: &str| {
        format!(r#"{{"data":[{{"account":"1","campaign":{{"id":"{campaign}"}},"series":{{"hours":{list}}}}}]}}"#)
    };
    let (nine, ten) = (format!("[{}]", hour("09", "1")), format!("[{}]", hour("10", "1")));
    assert_eq!(fingerprint(r#"{"data":[]}"#), None);
    assert_eq!(fingerprint(&of("7", &nine)), fingerprint(&of("7", &format!("[{}]", hour("09", "5")))), "the same keys");
    assert_ne!(fingerprint(&of("7", &nine)), fingerprint(&of("7", &ten)));
    assert_ne!(fingerprint(&of("7", "[]")), None, "a page of records without rows is a page");
    assert_ne!(fingerprint(&of("7", "[]")), fingerprint(&of("8", "[]")));
    assert_ne!(fingerprint(&of("7", "[]")), fingerprint(&of("7", &nine)));
    assert_eq!(fingerprint(&of("7", "[]")), fingerprint(&of("7", "null")));
}

#[test]
fn a_list_of_bare_values_makes_rows_too() {
    let pipeline = of_file(
        r#"
        [records]
        path = "data"
        each = "hours"
        [hour]
        kind = "instant"
        from = "hours.*"
        [columns]
        campaign_id = { from = "campaign" }
        "#,
    );
    let body = r#"{"data":[{"campaign":"7","hours":["2026-11-20T09:00:00Z",1795168800]}]}"#;
    let (batch, _) = decode(&pipeline, &[account("1", "UTC")], body).expect("a page");
    assert_eq!(texts(&batch, "hour"), ["2026-11-20T09:00:00Z", "2026-11-20T10:00:00Z"]);
}

#[test]
fn a_refused_element_takes_the_whole_page_back() {
    let pipeline = campaigns();
    let decoder = Decoder::new(&pipeline);
    let (accounts, names) = ([account("1", "UTC")], HashMap::new());
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &names,
        campaign_currencies: &HashMap::new(),
        window: year(),
        asked: year(),
    };
    let of =
        |list: &str| format!(r#"{{"data":[{{"account":"1","campaign":{{"id":"7"}},"series":{{"hours":[{list}]}}}}]}}"#);
    let mut rows = decoder.rows();
    decoder.page(of(&hour("09", "1")).as_bytes(), &context, &mut rows).expect("a page");
    let wrong = of(&format!("{},{}", hour("10", "1"), hour("11", "x").replace('x', "\"x\"")));
    decoder.page(wrong.as_bytes(), &context, &mut rows).expect_err("no number");
    assert_eq!(rows.len(), 1);
    assert_eq!(texts(&rows.finish(at("2026-11-20T12:00:00Z")), "clicks"), ["1"]);
}

/// The same rows as records of their own.
fn flattened(records: &[Json]) -> Json {
    let mut rows = Vec::new();
    for record in records {
        for element in record["series"]["hours"].as_array().into_iter().flatten() {
            let series = json!({"hours": [element]});
            rows.push(json!({"account": record["account"], "campaign": record["campaign"], "series": series}));
        }
    }
    json!({ "data": rows })
}

fn any_record() -> impl Strategy<Value = Json> {
    let clicks = prop_oneof![Just(json!(null)), (0i64..1_000_000).prop_map(|clicks| json!(clicks))];
    let element = (0i64..48, clicks)
        .prop_map(|(hour, clicks)| json!({"hour": 1_795_132_800 + hour * 3600, "metrics": {"clicks": clicks}}));
    let list = prop_oneof![
        1 => Just(json!(null)),
        6 => proptest::collection::vec(element, 0..6).prop_map(Json::from),
    ];
    // The list before or after what it is of.
    (0u8..4, list, any::<bool>()).prop_map(|(campaign, hours, first)| {
        let campaign = json!({"id": campaign, "name": format!("N{campaign}")});
        if first {
            json!({"series": {"hours": hours}, "campaign": campaign, "account": "1"})
        } else {
            json!({"account": "1", "campaign": campaign, "series": {"hours": hours}})
        }
    })
}

proptest! {
    #[test]
    fn rows_are_those_of_the_list_flattened_by_hand(records in proptest::collection::vec(any_record(), 0..6)) {
        let accounts = [account("1", "UTC")];
        let flat = flattened(&records).to_string();
        let (nested, facts) = decode(&campaigns(), &accounts, &json!({"data": records}).to_string()).expect("a page");
        let (flat, _) = decode(&campaigns(), &accounts, &flat).expect("a page");
        prop_assert_eq!(nested, flat);
        prop_assert_eq!(facts.records, records.len());
    }
}
