use proptest::prelude::*;
use serde_json::json;

use super::super::message;
use super::*;

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a path")
}

fn of(body: &str, paths: &[&str]) -> Option<Value> {
    let paths: Vec<JsonPath> = paths.iter().map(|text| path(text)).collect();
    pruned(body.as_bytes(), &Wanted::new(paths.iter()))
}

#[test]
fn only_what_is_wanted_is_kept() {
    let body = r#"{"code":7,"data":{"rows":[{"a":1},{"a":2}],"next":"x"},"message":"m","other":{"deep":[1,2,3]}}"#;
    assert_eq!(of(body, &["code"]), Some(json!({"code": 7, "message": "m"})));
    assert_eq!(of(body, &["data.next"]), Some(json!({"data": {"next": "x"}, "message": "m"})));
    assert_eq!(of(body, &["data"]), Some(json!({"data": {}, "message": "m"})), "that it is there");
    assert_eq!(of(body, &["data.rows"]), Some(json!({"data": {"rows": []}, "message": "m"})));
    assert_eq!(of(body, &["data.rows.*.a"]), Some(json!({"data": {"rows": [{"a": 1}, {"a": 2}]}, "message": "m"})));
    assert_eq!(of("{}", &["code"]), Some(NOTHING));
    assert_eq!(of(r#"{"code":1,"code":{"x":2}}"#, &["code.x", "code"]), Some(json!({"code": {"x": 2}})), "the last");
    assert_eq!(of(r#"{"a":{"b":1},"a":2}"#, &["a.b"]), Some(NOTHING), "the last, and nothing is in it");
}

#[test]
fn what_is_no_document_is_none() {
    for body in ["", "x", "7", "\"text\"", "<html>", "a,b\n1,2", "{\"code\":1", "{\"code\":1} x", "[1,", "PK\u{3}\u{4}"]
    {
        assert_eq!(of(body, &["code"]), None, "{body}");
    }
    assert_eq!(of("\u{feff} {\"code\":1}", &["code"]), Some(json!({"code": 1})), "a byte order mark");
}

#[test]
fn an_error_after_many_rows_is_found_wherever_it_is_wrapped() {
    let rows: Vec<Value> =
        (0..2_000).map(|number| json!({"campaign": {"id": number}, "metrics": {"clicks": "1"}})).collect();
    let failure = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Too much"}});
    let batches = json!([{"results": rows}, {"results": []}, failure]).to_string();
    let alone = failure.to_string();
    for body in [&batches, &alone] {
        let found = of(body, &["?.error.status"]).expect("a document");
        let statuses: Vec<&Value> = path("?.error.status").values_in(&found);
        assert_eq!(statuses, [&json!("RESOURCE_EXHAUSTED")]);
        assert!(found.to_string().len() < 200, "nothing else is kept: {found}");
    }
}

#[test]
fn messages_are_found_by_the_first_element() {
    for (body, expected) in [
        (r#"{"errors":[{"message":"first"},{"message":"second"}]}"#, "first"),
        (r#"[{"error":{"message":"listed"}}]"#, "listed"),
        (r#"{"Errors":[{"Code":1,"Message":"upper"}]}"#, "upper"),
        (r#"{"error":"short"}"#, "short"),
    ] {
        assert_eq!(of(body, &["errors.*.code"]).as_ref().and_then(message), Some(expected.to_owned()), "{body}");
    }
    let second = r#"{"errors":[{"code":1},{"message":"not the first"}]}"#;
    assert_eq!(of(second, &["errors.*.message"]).as_ref().and_then(message), None, "as in the whole document");
}

/// What a rule can tell of a value: its text, or what it is.
fn told(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        scalar => scalar.to_string(),
    }
}

fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9f64..1e9).prop_map(Value::from),
        "[a-cé\"\\\\]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[abc]|error|message|errors", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_place_holds_what_it_holds_in_the_whole_document(
        document in any_document(),
        paths in proptest::collection::vec(proptest::collection::vec("[abc]|\\*|\\?|error|errors|message", 0..4), 0..5),
    ) {
        let paths: Vec<JsonPath> = paths.iter().map(|words| path(&words.join("."))).collect();
        let text = document.to_string();
        let found = pruned(text.as_bytes(), &Wanted::new(paths.iter()));
        // Read again, since floats lose their last digit on the way.
        let document: Value = serde_json::from_str(&text).expect("JSON");
        prop_assert_eq!(found.is_some(), document.is_array() || document.is_object());
        let Some(found) = found else { return Ok(()) };
        for path in &paths {
            let whole: Vec<String> = path.values_in(&document).into_iter().map(told).collect();
            let kept: Vec<String> = path.values_in(&found).into_iter().map(told).collect();
            prop_assert_eq!(kept, whole, "{}", path);
        }
        prop_assert_eq!(message(&found), message(&document));
    }
}
