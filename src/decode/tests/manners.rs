//! Values that are rounded, cut out of longer texts, or counted in cents; and rows in which nothing happened.

use proptest::prelude::*;

use super::*;

const MONEY: ColumnKind = ColumnKind::Decimal { precision: 6, scale: 2 };

/// The only row's value in the only column `v`, or the error's found and expected parts.
fn read(kind: ColumnKind, manner: Manner, currency: &str, json: &str) -> Result<String, String> {
    let pipeline = pipeline(vec![Column { manner, ..column("v", kind) }]);
    let account = Account { currency: currency.to_owned(), ..account("1", "UTC") };
    let body = format!(r#"{{"data":[{}]}}"#, record(&format!(r#""v":{json}"#)));
    match decode(&pipeline, &[account], &body) {
        Ok((batch, _)) => Ok(texts(&batch, "v").remove(0)),
        Err(DecodeError::Row { found, expected, .. }) => Err(format!("{found}: {expected}")),
        Err(error) => panic!("{error}"),
    }
}

fn good(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[test]
fn digits_beyond_the_scale_are_rounded_half_to_even() {
    let cases = [
        ("1.5", "1.50"),
        ("\"1.005\"", "1.00"),
        ("1.015", "1.02"),
        ("1.025", "1.02"),
        ("-1.015", "-1.02"),
        ("-1.025", "-1.02"),
        ("1.0250000000000000000000000000000000000000000001", "1.03"),
        ("2.0249999999999999999999999999999999999999999999", "2.02"),
        ("0.30000000000000004", "0.30"),
        ("0.005", "0.00"),
        ("0.0051", "0.01"),
        ("0.015", "0.02"),
        ("-0.004", "0.00"),
        ("1e-400", "0.00"),
        ("9.99e-3", "0.01"),
        ("5e-3", "0.00"),
        ("15e-3", "0.02"),
        ("1.2345e2", "123.45"),
        ("12345e-3", "12.34"),
        ("12355e-3", "12.36"),
        ("9999.994", "9999.99"),
        ("99.9951", "100.00"),
        ("\" 7.777 \"", "7.78"),
        ("null", "null"),
        ("\"\"", "null"),
        ("\"-\"", "null"),
    ];
    for (json, expected) in cases {
        assert_eq!(read(MONEY, Manner::Rounded, "EUR", json), good(expected), "{json}");
    }
    let large = |found: &str| Err(format!("`{found}`: a number with at most 4 digits before the point"));
    for json in ["9999.995", "10000.001", "1e5", "12345678901234567890123456789012345678901234567890.123"] {
        assert_eq!(read(MONEY, Manner::Rounded, "EUR", json), large(json), "{json}");
    }
    for json in ["\"x\"", "true", "[]", "\"1.2.3\"", "\"1e\"", "\"1.005x\""] {
        assert_eq!(read(MONEY, Manner::Rounded, "EUR", json), Err(format!("`{json}`: a number")), "{json}");
    }
    let exact = read(MONEY, Manner::Plain, "EUR", "1.005");
    assert_eq!(
        exact,
        Err("`1.005`: a number with at most 2 digits after the point".to_owned()),
        "only where it is said"
    );
}

#[test]
fn cents_are_hundredths_but_in_currencies_without_them() {
    let whole = || Manner::Whole(vec!["JPY".to_owned(), "KRW".to_owned()]);
    for (currency, json, expected) in [
        ("EUR", "1234", "12.34"),
        ("EUR", "\"-5\"", "-0.05"),
        ("EUR", "1234.0", "12.34"),
        ("JPY", "1234", "1234.00"),
        ("KRW", "\"-5\"", "-5.00"),
        ("JPY", "0", "0.00"),
        ("", "0", "0.00"),
        ("", "null", "null"),
        ("JPY", "\"-\"", "null"),
        ("EUR", "99999999999999999999", "999999999999999999.99"),
        ("JPY", "999999999999999999", "999999999999999999.00"),
    ] {
        assert_eq!(read(ColumnKind::Cents, whole(), currency, json), good(expected), "{currency} {json}");
    }
    assert_eq!(read(ColumnKind::Cents, Manner::Plain, "JPY", "1234"), good("12.34"));
    assert_eq!(read(ColumnKind::Cents, Manner::Plain, "", "1234"), good("12.34"));
    let refused = |found: &str, expected: &str| Err(format!("`{found}`: {expected}"));
    let unknown = "an account whose currency is known, since it decides whether these are cents";
    assert_eq!(read(ColumnKind::Cents, whole(), "", "1234"), refused("1234", unknown));
    assert_eq!(read(ColumnKind::Cents, whole(), "EUR", "12.5"), refused("12.5", "an integer of hundredths"));
    assert_eq!(
        read(ColumnKind::Cents, whole(), "EUR", "100000000000000000000"),
        refused("100000000000000000000", "an integer of hundredths with at most 20 digits")
    );
    assert_eq!(
        read(ColumnKind::Cents, whole(), "JPY", "1000000000000000000"),
        refused("1000000000000000000", "an integer of whole JPY with at most 18 digits")
    );
}

#[test]
fn a_default_of_cents_is_in_the_same_unit() {
    let cents = Column { manner: Manner::Whole(vec!["JPY".to_owned()]), ..column("v", ColumnKind::Cents) };
    let pipeline = pipeline(vec![Column { default: Some("250".to_owned()), ..cents }]);
    let of = |currency: &str| {
        let account = Account { currency: currency.to_owned(), ..account("1", "UTC") };
        let body = format!(r#"{{"data":[{}]}}"#, record("\"v\":null"));
        texts(&decode(&pipeline, &[account], &body).expect("a page").0, "v").remove(0)
    };
    assert_eq!((of("EUR"), of("JPY")), ("2.50".to_owned(), "250.00".to_owned()));
}

#[test]
fn of_a_text_only_what_follows_is_kept() {
    let after = || Manner::After("urn:shop:".to_owned());
    for (json, expected) in [
        ("\"urn:shop:7\"", "7"),
        ("\"see urn:shop:7:8\"", "7:8"),
        ("\"urn:shop:\\u00e9\\\"\"", "é\""),
        ("\"urn:shop: \"", " "),
        ("null", "null"),
        ("\"-\"", "null"),
    ] {
        assert_eq!(read(ColumnKind::Text, after(), "EUR", json), good(expected), "{json}");
    }
    for json in ["\"7\"", "\"urn:shop:\"", "\"\"", "7"] {
        let expected = format!("`{json}`: a text in which something follows `urn:shop:`");
        assert_eq!(read(ColumnKind::Text, after(), "EUR", json), Err(expected), "{json}");
    }
}

#[test]
fn ids_follow_a_text_as_well() {
    let mut pipeline = pipeline(vec![column("v", ColumnKind::Int)]);
    pipeline.identity.account = Some(path("accounts.?"));
    pipeline.identity.account_after = Some("customers/".to_owned());
    pipeline.identity.campaign_after = Some("campaigns/".to_owned());
    let of = |account_name: &str, campaign: &str| {
        let hour = "2026-11-20T09:00:00Z";
        let body =
            format!(r#"{{"data":[{{"accounts":[{account_name}],"campaign":{campaign},"hour":"{hour}","v":1}}]}}"#);
        decode(&pipeline, &[account("12", "UTC")], &body)
            .map(|(batch, _)| table(&batch, "account_id campaign_id campaign_name").remove(0))
            .map_err(|error| error.to_string())
    };
    assert_eq!(of("\"customers/12\"", "\"customers/12/campaigns/7\"").as_deref(), Ok("12 | 7 | Spring"));
    assert_eq!(
        of("\"12\"", "\"campaigns/7\"").expect_err("no prefix"),
        "record 1: `account_id` at `accounts.?` holds `\"12\"`, expected a text in which something follows `customers/`"
    );
    assert_eq!(
        of("\"customers/12\"", "7").expect_err("a number"),
        "record 1: `campaign_id` at `campaign` holds `7`, expected a text in which something follows `campaigns/`"
    );
    assert!(of("\"customers/13\"", "\"campaigns/7\"").expect_err("another").contains("an account that was asked for"));
}

#[test]
fn rows_in_which_nothing_happened_are_left_away() {
    let mut pipeline = pipeline(vec![
        column("device", ColumnKind::Int),
        column("clicks", ColumnKind::Int),
        column("spend", MONEY),
        column("rate", ColumnKind::Float),
        column("note", ColumnKind::Text),
    ]);
    pipeline.dimensions = vec!["device".to_owned()];
    pipeline.shape.skip_empty = true;
    let rows = [
        r#""device":1,"clicks":0,"spend":"0.00","rate":0.5,"note":"x""#,
        r#""device":2,"clicks":null,"spend":"-""#,
        r#""device":3,"clicks":1"#,
        r#""device":4,"spend":-0.01"#,
        r#""device":5,"clicks":0,"spend":0"#,
    ];
    let body = format!(r#"{{"data":[{}]}}"#, rows.map(record).join(","));
    let (batch, facts) = decode(&pipeline, &[account("1", "UTC")], &body).expect("a page");
    assert_eq!(table(&batch, "device clicks spend"), ["3 | 1 | null", "4 | null | -0.01"]);
    assert_eq!((facts.records, facts.outside), (5, 0));
    pipeline.shape.skip_empty = false;
    assert_eq!(decode(&pipeline, &[account("1", "UTC")], &body).expect("a page").0.num_rows(), 5);

    let wrong = format!(r#"{{"data":[{}]}}"#, record(r#""device":1,"clicks":0,"spend":0,"rate":"x""#));
    pipeline.shape.skip_empty = true;
    decode(&pipeline, &[account("1", "UTC")], &wrong).expect_err("what is left away is read all the same");
}

proptest! {
    #[test]
    fn rounding_is_the_nearest_and_of_two_the_even_one(
        units in -999_999i128..=999_999, rest in 0i128..1_000_000, digits in 1u32..=6, zeros in 0usize..4,
    ) {
        // `units` hundredths and `rest` of them in parts of 10^digits.
        let whole = 10i128.pow(digits);
        let rest = rest % whole;
        let exact = units * whole + if units < 0 { -rest } else { rest };
        let scale = 2 + digits as usize;
        let magnitude = format!("{:0>width$}", exact.unsigned_abs(), width = scale + 1);
        let (before, after) = magnitude.split_at(magnitude.len() - scale);
        let text = format!("{}{before}.{after}{}", if exact < 0 { "-" } else { "" }, "0".repeat(zeros));
        let up = 2 * rest > whole || (2 * rest == whole && units % 2 != 0);
        let expected = units.abs() + i128::from(up);
        let expected = if units < 0 { -expected } else { expected };
        let read = read(ColumnKind::Decimal { precision: 12, scale: 2 }, Manner::Rounded, "EUR", &text);
        let shown = read.expect("a number").replace('.', "");
        prop_assert_eq!(shown.parse::<i128>().expect("digits"), expected, "{}", text);
    }
}
