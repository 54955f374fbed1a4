//! What holds for any text.

use proptest::prelude::*;

use super::*;

/// A body with all that a body can have, three records and a cursor.
fn body() -> String {
    let rows: Vec<String> = (1..=3)
        .map(|number| {
            record(&format!(
                r#""v":{number}.25,"actions":[{{"type":"click","value":"{number}"}}],"m":{{"t":"caf\u00e9 é"}},"x":[1,null]"#
            ))
        })
        .collect();
    format!(r#"{{"paging":{{"next":"abc"}},"data":[{}],"ok":true}}"#, rows.join(", "))
}

fn shop() -> Pipeline {
    let text = Column { from: path("m.t"), ..column("t", ColumnKind::Text) };
    let mut pipeline =
        pipeline(vec![column("v", ColumnKind::Decimal { precision: 12, scale: 2 }), picked("clicks", "click"), text]);
    pipeline.dimensions = vec!["t".to_owned()];
    pipeline
}

/// JSON that is like a page and like nothing at all.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| serde_json::json!(value).to_string()),
        "-?[0-9]{1,45}(\\.[0-9]{1,45})?([eE][+-]?[0-9]{1,20})?".prop_map(|text| format!("\"{text}\"")),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{2,8}([Z+-][0-9:]{0,5})?".prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        Just("\"2026-11-20T09:00:00Z\"".to_owned()),
        Just("\"1\"".to_owned()),
    ];
    let key = prop_oneof![
        Just("data"),
        Just("paging"),
        Just("next"),
        Just("account"),
        Just("campaign"),
        Just("hour"),
        Just("v"),
        Just("actions"),
        Just("type"),
        Just("value"),
        Just("m"),
        Just("t"),
        Just("é\\n"),
    ];
    scalar.prop_recursive(5, 64, 8, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(",")));
        let member = (key.clone(), inner).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        let object = prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(",")));
        prop_oneof![list, object]
    })
}

#[test]
fn a_body_cut_off_anywhere_is_no_page() {
    let body = body();
    let decoder = Decoder::new(&shop());
    let accounts = [account("1", "UTC")];
    let names = HashMap::new();
    let window = Window::new(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).expect("a window");
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &names,
        campaign_currencies: &HashMap::new(),
        window,
        asked: window,
    };
    let mut rows = decoder.rows();
    for length in 0..body.len() {
        let read = decoder.page(&body.as_bytes()[..length], &context, &mut rows);
        assert!(matches!(read, Err(DecodeError::Unreadable(_))), "{length}: {read:?}");
        assert!(rows.is_empty());
    }
    let facts = decoder.page(body.as_bytes(), &context, &mut rows).expect("the whole page");
    assert_eq!((facts.records, rows.len(), facts.next.as_deref()), (3, 3, Some("abc")));
}

proptest! {
    #[test]
    fn decimals_come_back_as_they_were_written(
        unscaled in -(10i128.pow(38) - 1)..10i128.pow(38),
        scale in 0i8..=38,
        quoted: bool,
        power in -30i64..30,
    ) {
        let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale.unsigned_abs() as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale.unsigned_abs() as usize);
        let sign = if unscaled < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{sign}{whole}{point}{fraction}");
        let json = if quoted { format!("\"{text}\"") } else { text.clone() };
        let kind = ColumnKind::Decimal { precision: 38, scale };
        prop_assert_eq!(value(kind, &json), Ok(text));
        // The same number with its point elsewhere.
        let moved = format!("{sign}{}e{}", unscaled.unsigned_abs(), -i64::from(scale));
        prop_assert_eq!(value(kind, &moved), value(kind, &json));
        let zeros = "0".repeat(power.unsigned_abs() as usize);
        let padded = match power < 0 {
            true => format!("{sign}0.{zeros}{}e{}", digits, digits.len() as i64 - power - i64::from(scale)),
            false => format!("{sign}{digits}{zeros}e{}", -power - i64::from(scale)),
        };
        // Leading zeros are for texts only.
        prop_assert_eq!(value(kind, &format!("\"{padded}\"")), value(kind, &json));
    }

    #[test]
    fn integers_come_back_as_they_were_written(number: i64, quoted: bool) {
        let json = if quoted { format!("\"{number}\"") } else { number.to_string() };
        prop_assert_eq!(value(ColumnKind::Int, &json), Ok(number.to_string()));
        prop_assert_eq!(value(ColumnKind::Int, &format!("{number}.00")), Ok(number.to_string()));
    }

    #[test]
    fn no_json_makes_it_panic(json in json()) {
        for body in [json.clone(), format!(r#"{{"data":{json}}}"#), format!(r#"{{"data":[{}]}}"#, record(&format!(r#""v":{json}"#)))] {
            for repeated in [RepeatedHour::Folded, RepeatedHour::First, RepeatedHour::Second] {
                let mut pipeline = shop();
                pipeline.hour = HourSource::Instant { from: path("hour"), zone: ZoneRule::Account, repeated };
                let _ = decode(&pipeline, &[account("1", "Australia/Lord_Howe")], &body);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(body: Vec<u8>, at in 0usize..600, byte: u8) {
        let mut broken = super::properties::body().into_bytes();
        let at = at % broken.len();
        broken[at] = byte;
        let decoder = Decoder::new(&shop());
        let accounts = [account("1", "UTC")];
        let window = Window::new(super::at("2026-01-01T00:00:00Z"), super::at("2027-01-01T00:00:00Z")).expect("a window");
        let context = PageContext { accounts: &accounts, campaign_names: &HashMap::new(), campaign_currencies: &HashMap::new(), window, asked: window };
        for body in [body, broken] {
            let mut rows = decoder.rows();
            match decoder.page(&body, &context, &mut rows) {
                Ok(facts) => prop_assert_eq!(rows.len() + facts.outside, facts.records),
                Err(_) => prop_assert!(rows.is_empty()),
            }
        }
    }

    #[test]
    fn any_moment_in_any_zone_is_an_hour_or_refused(
        zone_index in 0..chrono_tz::TZ_VARIANTS.len(),
        seconds in -2_000_000_000i64..8_000_000_000,
    ) {
        let zone = chrono_tz::TZ_VARIANTS[zone_index].name();
        for moment in [seconds, seconds.div_euclid(1800) * 1800] {
            let body = format!(r#"{{"data":[{{"account":"1","campaign":"7","hour":{moment}}}]}}"#);
            let _ = decode(&pipeline(Vec::new()), &[account("1", zone)], &body);
            let shown = chrono::DateTime::from_timestamp(moment, 0).expect("a moment").format("%Y-%m-%dT%H:%M:%S");
            let body = format!(r#"{{"data":[{{"account":"1","campaign":"7","hour":"{shown}"}}]}}"#);
            let _ = decode(&pipeline(Vec::new()), &[account("1", zone)], &body);
        }
    }
}
