//! Every type and its edges.

use super::*;

const MONEY: ColumnKind = ColumnKind::Decimal { precision: 12, scale: 2 };

/// Reads each JSON value as a column of `kind` and compares the value as the lake shows it, or the refusal.
fn table(kind: ColumnKind, cases: &[(&str, Result<&str, &str>)]) {
    for (json, expected) in cases {
        let found = value(kind, json);
        let found = found.as_ref().map(String::as_str).map_err(String::as_str);
        assert_eq!(found, *expected, "{kind:?} from {json}");
    }
}

#[test]
fn integers() {
    table(
        ColumnKind::Int,
        &[
            ("1843", Ok("1843")),
            ("\"1843\"", Ok("1843")),
            ("\" +7 \"", Ok("7")),
            ("1843.0", Ok("1843")),
            ("-0", Ok("0")),
            ("1e3", Ok("1000")),
            ("12.50e1", Ok("125")),
            ("9007199254740993", Ok("9007199254740993")),
            ("9223372036854775807", Ok("9223372036854775807")),
            ("-9223372036854775808", Ok("-9223372036854775808")),
            ("-9223372036854775808.0", Ok("-9223372036854775808")),
            ("9223372036854775808", Err("`9223372036854775808`: an integer within 64 bits")),
            ("1e400", Err("`1e400`: an integer within 64 bits")),
            ("18.5", Err("`18.5`: an integer")),
            ("1e-1", Err("`1e-1`: an integer")),
            ("\"1,000\"", Err("`\"1,000\"`: an integer")),
            ("\"n/a\"", Err("`\"n/a\"`: an integer")),
            ("true", Err("`true`: an integer")),
            ("[1]", Err("`[1]`: an integer")),
            ("{\"a\":1}", Err("`{\"a\":1}`: an integer")),
            ("null", Ok("null")),
            ("\"\"", Ok("null")),
            ("\"-\"", Ok("null")),
            ("", Ok("null")),
        ],
    );
}

#[test]
fn decimals_are_exact() {
    table(
        MONEY,
        &[
            ("18.4", Ok("18.40")),
            ("\"18.40\"", Ok("18.40")),
            ("18.4000000", Ok("18.40")),
            // As a float this is 1.1499999999999999.
            ("1.15", Ok("1.15")),
            ("1234567890.12", Ok("1234567890.12")),
            ("-0.07", Ok("-0.07")),
            ("\".5\"", Ok("0.50")),
            ("1.5E2", Ok("150.00")),
            ("15e-2", Ok("0.15")),
            ("0e99", Ok("0.00")),
            ("0.00000000000000000000000000000000000000000000000000", Ok("0.00")),
            ("18.405", Err("`18.405`: a number with at most 2 digits after the point")),
            ("1e-3", Err("`1e-3`: a number with at most 2 digits after the point")),
            ("10000000000", Err("`10000000000`: a number with at most 10 digits before the point")),
            ("9999999999.99", Ok("9999999999.99")),
            (
                "1e999999999999999999999",
                Err("`1e999999999999999999999`: a number with at most 10 digits before the point"),
            ),
            ("\"1,000.00\"", Err("`\"1,000.00\"`: a number")),
            ("\"1 000\"", Err("`\"1 000\"`: a number")),
            ("\"1.\"", Ok("1.00")),
            ("\".\"", Err("`\".\"`: a number")),
            ("\"1e\"", Err("`\"1e\"`: a number")),
            ("\"--1\"", Err("`\"--1\"`: a number")),
            ("\"1.2.3\"", Err("`\"1.2.3\"`: a number")),
            ("\"NaN\"", Err("`\"NaN\"`: a number")),
            ("\"€5\"", Err("`\"€5\"`: a number")),
        ],
    );
    let widest = ColumnKind::Decimal { precision: 38, scale: 0 };
    let nines = "9".repeat(38);
    assert_eq!(value(widest, &nines), Ok(nines.clone()));
    assert!(value(widest, &format!("1{}", "0".repeat(38))).is_err());
    assert!(value(widest, &"9".repeat(60)).is_err());
}

#[test]
fn micros_are_integers_of_millionths() {
    table(
        ColumnKind::Micros,
        &[
            ("7150000", Ok("7.150000")),
            ("\"7150000\"", Ok("7.150000")),
            ("7150000.0", Ok("7.150000")),
            ("-1", Ok("-0.000001")),
            // Beyond 32 bits at 2,147 units of money.
            ("2147483648", Ok("2147.483648")),
            ("999999999999999999", Ok("999999999999.999999")),
            ("1000000000000000000", Err("`1000000000000000000`: an integer of millionths with at most 18 digits")),
            ("7.15", Err("`7.15`: an integer of millionths")),
        ],
    );
}

#[test]
fn floats() {
    table(
        ColumnKind::Float,
        &[
            ("0.0045", Ok("0.0045")),
            ("\"0.0045\"", Ok("0.0045")),
            ("5", Ok("5.0")),
            ("1e400", Err("`1e400`: a number within 64-bit floats")),
            ("\"inf\"", Err("`\"inf\"`: a number")),
            ("\"nan\"", Err("`\"nan\"`: a number")),
            ("\"0.45%\"", Err("`\"0.45%\"`: a number")),
        ],
    );
}

#[test]
fn truth_values() {
    table(
        ColumnKind::Bool,
        &[
            ("true", Ok("true")),
            ("\"false\"", Ok("false")),
            ("\"TRUE\"", Ok("true")),
            ("0", Ok("false")),
            ("\"1\"", Ok("true")),
            ("2", Err("`2`: true or false")),
            ("\"yes\"", Err("`\"yes\"`: true or false")),
            ("\"\"", Ok("null")),
        ],
    );
}

#[test]
fn timestamps() {
    let wrong = |json: &str| format!("`{json}`: a moment with its offset (RFC 3339), unix seconds or milliseconds");
    table(
        ColumnKind::Timestamp,
        &[
            ("\"2026-11-20T09:00:00Z\"", Ok("2026-11-20T09:00:00Z")),
            ("\"2026-11-20T09:00:00.123456789+01:00\"", Ok("2026-11-20T08:00:00.123456Z")),
            ("\"2026-11-20T09:00:00-0800\"", Ok("2026-11-20T17:00:00Z")),
            ("\"2026-11-20 09:00:00 \u{2212}08:00\"", Ok("2026-11-20T17:00:00Z")),
            ("\"2026-11-20T09:00:00\\u221208:00\"", Ok("2026-11-20T17:00:00Z")),
            ("1795165200", Ok("2026-11-20T09:00:00Z")),
            ("1795165200000", Ok("2026-11-20T09:00:00Z")),
            ("\"1795165200\"", Ok("2026-11-20T09:00:00Z")),
            ("1795165200.25", Ok("2026-11-20T09:00:00.250Z")),
            ("1795165200000000", Err(&wrong("1795165200000000"))),
            ("\"2026-11-20T09:00:00\"", Err(&wrong("\"2026-11-20T09:00:00\""))),
            ("\"2026-11-20\"", Err(&wrong("\"2026-11-20\""))),
            ("\"2026-02-29T09:00:00Z\"", Err(&wrong("\"2026-02-29T09:00:00Z\""))),
            ("\"2026-11-20T24:00:00Z\"", Err(&wrong("\"2026-11-20T24:00:00Z\""))),
            ("\"2026-11-20T09:00:00+1\"", Err(&wrong("\"2026-11-20T09:00:00+1\""))),
            ("\"2026-11-20T09:00:00Zulu\"", Err(&wrong("\"2026-11-20T09:00:00Zulu\""))),
        ],
    );
}

#[test]
fn texts_keep_what_is_written() {
    table(
        ColumnKind::Text,
        &[
            ("\"a b\"", Ok("a b")),
            (r#""a\"b\u00e9\n\ud83d\ude00""#, Ok("a\"bé\n😀")),
            ("\"\"", Ok("")),
            ("\"-\"", Ok("null")),
            ("90071992547409931234", Ok("90071992547409931234")),
            ("1.50", Ok("1.50")),
            ("true", Ok("true")),
            ("null", Ok("null")),
            ("[]", Err("`[]`: text, a number, true or false")),
            ("{}", Err("`{}`: text, a number, true or false")),
            (r#""\ud83d""#, Err(r#"`"\ud83d"`: text, a number, true or false"#)),
        ],
    );
}

#[test]
fn a_long_value_is_shown_in_part() {
    let error = value(ColumnKind::Int, &format!("\"{}\"", "é".repeat(200))).expect_err("no number");
    assert_eq!(error, format!("`\"{}`...: an integer", "é".repeat(79)));
}

#[test]
fn absent_values_take_the_default_or_are_refused() {
    let with_default = Column { default: Some("0".to_owned()), required: true, ..column("v", MONEY) };
    let required = Column { required: true, ..column("v", MONEY) };
    let broken = Column { default: Some("none".to_owned()), ..column("v", MONEY) };
    let read = |column: &Column, members: &str| {
        let body = format!(r#"{{"data":[{}]}}"#, record(members));
        let read = decode(&pipeline(vec![column.clone()]), &[account("1", "UTC")], &body);
        read.map(|(batch, _)| texts(&batch, "v").remove(0)).map_err(|error| error.to_string())
    };
    for members in [r#""x":1"#, r#""v":null"#, r#""v":"-""#, r#""v":"""#] {
        assert_eq!(read(&with_default, members), Ok("0.00".to_owned()), "{members}");
        assert!(read(&required, members).is_err(), "{members}");
    }
    assert_eq!(read(&required, r#""x":1"#), Err("record 1: `v` at `v` holds nothing, expected a value".to_owned()));
    assert_eq!(read(&broken, r#""x":1"#), Err("record 1: `v` at `default` holds `none`, expected a number".to_owned()));
    assert_eq!(read(&broken, r#""v":2"#), Ok("2.00".to_owned()));
}

#[test]
fn a_key_column_needs_a_value() {
    let mut pipeline = pipeline(vec![column("device", ColumnKind::Text)]);
    pipeline.dimensions = vec!["device".to_owned()];
    let body = format!(r#"{{"data":[{}]}}"#, record(r#""device":null"#));
    let error = decode(&pipeline, &[account("1", "UTC")], &body).expect_err("no key");
    assert_eq!(error.to_string(), "record 1: `device` at `device` holds `null`, expected a value");
}

#[test]
fn values_are_picked_out_of_lists() {
    let mut pipeline = pipeline(vec![picked("clicks", "click"), picked("likes", "like"), picked("again", "click")]);
    pipeline.columns[1].default = Some("0".to_owned());
    let read = |members: &str| {
        let body = format!(r#"{{"data":[{}]}}"#, record(members));
        let read = decode(&pipeline, &[account("1", "UTC")], &body);
        read.map(|(batch, _)| ["clicks", "likes", "again"].map(|name| texts(&batch, name).remove(0)).join(" "))
            .map_err(|error| error.to_string())
    };
    let cases = [
        (
            r#""actions":[{"type":"click","value":"19"},{"type":"other","value":{}},{"value":3,"type":"like"}]"#,
            "19 3 19",
        ),
        (r#""actions":[{"type":"click","value":19,"x":[]},{"type":"click","value":"19"}]"#, "19 0 19"),
        (r#""actions":[{"type":"click","value":null},{"type":null,"value":1},{"type":"like"},{}]"#, "null 0 null"),
        (r#""actions":[]"#, "null 0 null"),
        (r#""actions":null"#, "null 0 null"),
        (r#""actions":"-""#, "null 0 null"),
        (r#""x":1"#, "null 0 null"),
        // Of a key that comes twice the last value counts, also where it is a list.
        (r#""actions":[{"type":"click","value":1}],"actions":[{"type":"click","value":2}]"#, "2 0 2"),
        (r#""actions":[{"type":"click","value":1}],"actions":null"#, "null 0 null"),
        (r#""actions":null,"actions":[{"type":"click","value":2}]"#, "2 0 2"),
        (r#""actions":[{"type":"click","type":"like","value":4}]"#, "null 4 null"),
        (r#""actions":[{"t\u0079pe":"click","v\u0061lue":"19"},{"type":"l\u0069ke","value":"2"}]"#, "19 2 19"),
        (r#" "actions" : [ { "type" : "click" , "value" : "19" } , { } ] "#, "19 0 19"),
    ];
    for (members, expected) in cases {
        assert_eq!(read(members), Ok(expected.to_owned()), "{members}");
    }
    let records = [record(r#""actions":[{"type":"click","value":1}]"#), record(r#""x":1"#), record(r#""actions":[]"#)];
    let body = format!(r#"{{"data":[{}]}}"#, records.join(","));
    let (batch, _) = decode(&pipeline, &[account("1", "UTC")], &body).expect("a page");
    assert_eq!(texts(&batch, "clicks"), ["1", "null", "null"], "nothing is left of the record before");
    assert_eq!(
        read(r#""actions":[{"type":"click","value":"19"},{"type":"click","value":"20"}]"#),
        Err("record 1: `clicks` at `actions` holds a second `click` with another value, `\"20\"`, \
             expected one of each (is there a dimension that is not declared?)"
            .to_owned())
    );
    for list in ["5", "{}", "[5]", "[[]]", "\"text\""] {
        let error = read(&format!(r#""actions":{list}"#)).expect_err("no list");
        assert!(error.ends_with("expected a list of objects with `type` and `value`"), "{error}");
    }
    let error = read(r#""actions":[{"type":"like","value":"many"}]"#).expect_err("no number");
    assert_eq!(error, "record 1: `likes` at `actions[type=like]` holds `\"many\"`, expected an integer");
}

#[test]
fn a_moment_is_that_of_its_own_row() {
    let pipeline = pipeline(vec![column("one", ColumnKind::Timestamp), column("other", ColumnKind::Timestamp)]);
    let (early, late) = (r#""2026-11-20T09:00:00Z""#, r#""2026-11-20T10:00:00Z""#);
    let pairs = [(early, late), (early, late), (late, early), ("null", early), (late, r#""""#), (early, "null")];
    let records: Vec<String> =
        pairs.iter().map(|(one, other)| record(&format!(r#""one":{one},"other":{other}"#))).collect();
    let body = format!(r#"{{"data":[{}]}}"#, records.join(","));
    let (batch, _) = decode(&pipeline, &[account("1", "UTC")], &body).expect("a page");
    let shown = |json: &str| match json {
        "null" | r#""""# => "null".to_owned(),
        moment => moment.trim_matches('"').to_owned(),
    };
    assert_eq!(texts(&batch, "one"), pairs.map(|(one, _)| shown(one)));
    assert_eq!(texts(&batch, "other"), pairs.map(|(_, other)| shown(other)));
}
