use proptest::prelude::*;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;
use crate::request::tests::{at, path};

/// 1795168800 as a count of seconds.
const NOW: &str = "2026-11-20T10:00:00Z";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), value.parse().expect("a header"));
    }
    headers
}

fn accounts(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn told_by(rule: UsageRule, ids: &[&str], pairs: &[(&'static str, &str)]) -> Vec<Told> {
    read(&[rule], &headers(pairs), &accounts(ids), Endpoint::Metrics, at(NOW))
}

/// What a rule about the app reads.
fn said_by(source: UsageSource, pairs: &[(&'static str, &str)]) -> Option<Said> {
    let told = told_by(UsageRule { scope: Scope::App, quota: None, source }, &[], pairs);
    assert!(told.len() <= 1 && told.iter().all(|told| told.scope == Whose::App));
    told.first().map(|told| told.said)
}

fn numbers(limit: u32, remaining: u32, seconds: u64) -> Said {
    Said { limit: Some(limit), remaining: Some(remaining), percent: None, wait: Some(Duration::from_secs(seconds)) }
}

fn percent(percent: f64) -> Said {
    Said { percent: Some(percent), ..Said::default() }
}

fn family(prefix: &str, unit: WaitUnit) -> UsageSource {
    UsageSource::Headers {
        limit: Some(format!("{prefix}-limit")),
        remaining: Some(format!("{prefix}-remaining")),
        reset: Some((format!("{prefix}-reset"), unit)),
    }
}

fn drafts(policy: Option<&str>) -> UsageSource {
    UsageSource::RateLimit { header: "RateLimit".into(), policy: policy.map(str::to_owned) }
}

fn json(header: &str, percent: &[&str], wait: Option<(&str, WaitUnit)>) -> UsageSource {
    UsageSource::Json {
        header: header.into(),
        percent: percent.iter().map(|place| path(place)).collect(),
        wait: wait.map(|(place, unit)| (path(place), unit)),
    }
}

fn of_account(source: UsageSource) -> UsageRule {
    UsageRule { scope: Scope::Account, quota: None, source }
}

#[test]
fn meta_tells_percentages_in_json() {
    let app = json("X-App-Usage", &["call_count", "total_time", "total_cputime"], None);
    let text = r#"{"call_count":28,"total_time":25,"total_cputime":25}"#;
    assert_eq!(said_by(app.clone(), &[("x-app-usage", text)]), Some(percent(28.0)));
    assert_eq!(
        said_by(app.clone(), &[("x-app-usage", r#"{"call_count":"9","total_time":131.5}"#)]),
        Some(percent(131.5))
    );
    assert_eq!(said_by(app, &[]), None);

    let account = json("X-Ad-Account-Usage", &["acc_id_util_pct"], Some(("reset_time_duration", WaitUnit::Seconds)));
    let text = r#"{"acc_id_util_pct":9.67,"reset_time_duration":100,"ads_api_access_tier":"standard_access"}"#;
    let said = Said { wait: Some(Duration::from_secs(100)), ..percent(9.67) };
    let told = told_by(of_account(account), &["1", "2"], &[("x-ad-account-usage", text)]);
    let of = |id: &str, said| Told { scope: Whose::Account(id.into()), quota: None, said };
    assert_eq!(told, [of("1", said), of("2", said)], "a place without the account is about each of them");

    let throttle = r#"{"app_id_util_pct":71,"acc_id_util_pct":9,"ads_api_access_tier":"standard_access"}"#;
    let pairs = [("x-fb-ads-insights-throttle", throttle)];
    assert_eq!(said_by(json("x-fb-ads-insights-throttle", &["app_id_util_pct"], None), &pairs), Some(percent(71.0)));
    let account = of_account(json("x-fb-ads-insights-throttle", &["acc_id_util_pct"], None));
    assert_eq!(told_by(account, &["7"], &pairs), [of("7", percent(9.0))]);
}

#[test]
fn meta_tells_by_account_and_kind() {
    let rule = |account: &str| {
        let places = ["call_count", "total_cputime", "total_time"].map(|name| format!("{account}.*.{name}"));
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let wait = format!("{account}.*.estimated_time_to_regain_access");
        UsageRule {
            quota: Some("insights".into()),
            ..of_account(json("X-Business-Use-Case-Usage", &places, Some((&wait, WaitUnit::Minutes))))
        }
    };
    let insights = r#"{"type":"ads_insights","call_count":95,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":19,"ads_api_access_tier":"development_access"}"#;
    let management = r#"{"type":"ads_management","call_count":1,"total_cputime":2,"total_time":97,"estimated_time_to_regain_access":0}"#;
    let text = format!(r#"{{"400100200300":[{insights},{management}],"5":[{{"call_count":3}}]}}"#);
    let pairs = [("x-business-use-case-usage", text.as_str())];
    let of = |id: &str, said| Told { scope: Whose::Account(id.into()), quota: Some("insights".into()), said };
    let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
    assert_eq!(
        told_by(rule("{account}"), &["400100200300", "5", "6"], &pairs),
        [of("400100200300", Said { wait: minutes(19), ..percent(97.0) }), of("5", percent(3.0))],
        "nothing is told of the third"
    );
    let told = told_by(rule("*"), &["6"], &pairs);
    assert_eq!(
        told,
        [of("6", Said { wait: minutes(19), ..percent(97.0) })],
        "the key may be another id than the account's"
    );
    let prefixed = pairs[0].1.replace("400100200300", "act_6");
    let told = told_by(rule("act_{account}"), &["6"], &[("x-business-use-case-usage", &prefixed)]);
    assert_eq!(told.len(), 1);
    let app = UsageRule { scope: Scope::App, ..rule("{account}") };
    assert_eq!(told_by(app, &["5", "400100200300"], &pairs)[0].said.percent, Some(97.0), "the highest of all accounts");
}

#[test]
fn reddit_tells_by_policy() {
    let pairs = [
        ("ratelimit", r#""ads-reporting";r=0;t=17, "ads-business-manager";r=0;t=41,"other";r=5;t=3"#),
        ("ratelimit-policy", r#""ads-reporting";q=60;w=60, "ads-business-manager";q=100;w=60"#),
    ];
    assert_eq!(said_by(drafts(None), &pairs), Some(numbers(100, 0, 41)), "exhausted for the longest");
    assert_eq!(said_by(drafts(Some("ads-reporting")), &pairs), Some(numbers(60, 0, 17)));
    let other = Said { limit: None, ..numbers(0, 5, 3) };
    assert_eq!(said_by(drafts(Some("other")), &pairs), Some(other));
    assert_eq!(said_by(drafts(Some("absent")), &pairs), None);
    let left = [("ratelimit", r#""a";r=50;t=30"#), ("ratelimit", r#""b";r=4;t=2"#)];
    assert_eq!(said_by(drafts(None), &left), Some(Said { limit: None, ..numbers(0, 4, 2) }), "the least left");
}

#[test]
fn both_forms_of_the_drafts() {
    let cases = [
        ("limit=100, remaining=50, reset=5", Some(numbers(100, 50, 5))),
        ("Limit=100;w=60 , REMAINING=0,reset=5", Some(numbers(100, 0, 5))),
        ("limit=9, remaining=7, reset=1, limit=99, remaining=3, reset=60", Some(numbers(99, 3, 60))),
        ("default;r=1;t=2", Some(Said { limit: None, ..numbers(0, 1, 2) })),
        (r#""a,b;\"c";r=1;t=2;q=8"#, Some(numbers(8, 1, 2))),
        ("limit=100", Some(Said { limit: Some(100), ..Said::default() })),
        ("remaining=soon, reset=nan", None),
        ("", None),
        ("\"open;r=1", None),
        (",;=,;;", None),
    ];
    for (text, expected) in cases {
        assert_eq!(said_by(drafts(None), &[("ratelimit", text)]), expected, "{text}");
    }
}

#[test]
fn x_has_two_families() {
    let pairs = [
        ("x-rate-limit-limit", "250"),
        ("x-rate-limit-remaining", "100"),
        ("x-rate-limit-reset", "1795169700"),
        ("x-account-rate-limit-limit", "10000"),
        ("x-account-rate-limit-remaining", "0"),
        ("x-account-rate-limit-reset", "1795168860"),
    ];
    assert_eq!(said_by(family("x-rate-limit", WaitUnit::Epoch), &pairs), Some(numbers(250, 100, 900)));
    let told = told_by(of_account(family("X-Account-Rate-Limit", WaitUnit::Epoch)), &["18ce54d4x5t"], &pairs);
    let scope = Whose::Account("18ce54d4x5t".into());
    assert_eq!(told, [Told { scope, quota: None, said: numbers(10_000, 0, 60) }]);
}

#[test]
fn snapchat_tells_a_moment_by_its_own_clock() {
    let (limit, left) = (("x-rate-limit-limit", "20"), ("x-rate-limit-remaining", "3"));
    let reset = ("x-rate-limit-reset", "1795168802");
    let source = || family("X-Rate-Limit", WaitUnit::Auto);
    assert_eq!(said_by(source(), &[limit, left, reset]), Some(numbers(20, 3, 2)));
    let slow = ("date", "Fri, 20 Nov 2026 09:59:52 GMT");
    assert_eq!(said_by(source(), &[limit, left, reset, slow]), Some(numbers(20, 3, 10)));
    assert_eq!(said_by(source(), &[]), None, "these headers are often absent");
}

#[test]
fn pinterest_resets_in_either_way() {
    for (text, seconds) in [("27", 27), ("1795168827", 27), ("1795168827000", 27), ("30s", 30), ("0", 0), ("-3", 0)] {
        let said = said_by(family("x-ratelimit", WaitUnit::Auto), &[("x-ratelimit-reset", text)]);
        assert_eq!(said, Some(Said { wait: Some(Duration::from_secs(seconds)), ..Said::default() }), "{text}");
    }
}

#[test]
fn numbers_in_headers_are_taken_as_they_come() {
    let source = || family("x-ratelimit", WaitUnit::Auto);
    let said = |limit: &str, left: &str, reset: &str| {
        said_by(
            source(),
            &[("x-ratelimit-limit", limit), ("x-ratelimit-remaining", left), ("x-ratelimit-reset", reset)],
        )
    };
    assert_eq!(said(" 100 ", "99.7", "1.5").map(|said| (said.limit, said.remaining)), Some((Some(100), Some(99))));
    assert_eq!(
        said("100, 1000", "50, 7", "1, 60"),
        Some(numbers(1000, 7, 60)),
        "the least left, and what belongs to it"
    );
    assert_eq!(said("100;w=60", "-4", "0"), Some(numbers(100, 0, 0)));
    assert_eq!(said("99999999999", "1e99", "5"), Some(numbers(u32::MAX, u32::MAX, 5)));
    assert_eq!(said("many", "some", "soon"), None);
    assert_eq!(said("many", "7", "soon"), Some(Said { remaining: Some(7), ..Said::default() }));
    assert_eq!(said("5", "4", "Fri, 20 Nov 2026 10:00:30 GMT"), Some(numbers(5, 4, 30)));
    let twice = [("x-ratelimit-remaining", "5"), ("x-ratelimit-remaining", "3")];
    assert_eq!(said_by(source(), &twice).and_then(|said| said.remaining), Some(3));
}

#[test]
fn json_in_several_headers_is_read_together() {
    let source = || json("x-usage", &["a.*", "b"], Some(("wait", WaitUnit::Auto)));
    let twice = [("x-usage", r#"{"a":[1,null,"55"],"wait":"30s"}"#), ("x-usage", r#"{"b":40,"wait":"2m"}"#)];
    assert_eq!(said_by(source(), &twice), Some(Said { wait: Some(Duration::from_secs(120)), ..percent(55.0) }));
    for text in ["", "{", "[]", "7", r#"{"a":{},"b":"lots","wait":[]}"#, r#"{"b":"nan"}"#, r#"{"b":"1e999"}"#] {
        assert_eq!(said_by(source(), &[("x-usage", text)]), None, "{text}");
    }
    assert_eq!(said_by(source(), &[("x-usage", r#"{"b":-1}"#)]), Some(percent(0.0)));
}

#[test]
fn scopes_and_quotas_are_passed_on() {
    let rule = |scope| UsageRule { scope, quota: Some("q".into()), source: drafts(None) };
    let rules = [rule(Scope::App), rule(Scope::Endpoint), rule(Scope::Account)];
    let told = read(
        &rules,
        &headers(&[("ratelimit", "limit=1")]),
        &accounts(&["1"]),
        Endpoint::Poll,
        at("2026-11-20T10:00:00Z"),
    );
    let scopes: Vec<&Whose> = told.iter().map(|told| &told.scope).collect();
    assert_eq!(scopes, [&Whose::App, &Whose::Endpoint(Endpoint::Poll), &Whose::Account("1".into())]);
    assert!(told.iter().all(|told| told.quota.as_deref() == Some("q")));
}

#[test]
fn the_usual_headers_need_no_rule() {
    let rules = built_in();
    let told = |pairs| read(&rules, &headers(pairs), &[], Endpoint::Metrics, at(NOW));
    let of_app = |said| vec![Told { scope: Whose::App, quota: None, said }];
    let families: [[(&'static str, &str); 3]; 3] = [
        [("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9")],
        [("x-rate-limit-limit", "60"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1795168809")],
        [("ratelimit-limit", "60"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "9")],
    ];
    for family in &families {
        assert_eq!(told(family), of_app(numbers(60, 0, 9)), "{family:?}");
    }
    assert_eq!(told(&[("ratelimit", "limit=60, remaining=0, reset=9")]), of_app(numbers(60, 0, 9)));
    assert_eq!(told(&[("content-type", "text/html")]), []);
}

#[test]
fn waits_as_they_are_written() {
    use WaitUnit::{Auto, Date, Epoch, Milliseconds, Minutes, Seconds};
    let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
    let cases = [
        (Auto, "1000000000", seconds(1e9)),
        (Auto, "1000000001", Some(Duration::ZERO)),
        (Auto, "1795168800.5", seconds(0.5)),
        // Up to here seconds since 1970 (in the year 33658), above it milliseconds (in 2001).
        (Auto, "1000000000000", seconds(1e12 - 1_795_168_800.0)),
        (Auto, "1000000000001", Some(Duration::ZERO)),
        (Auto, "1795168800250", seconds(0.25)),
        (Auto, "-1795168800", Some(Duration::ZERO)),
        (Auto, "0", Some(Duration::ZERO)),
        (Auto, "+2.5", seconds(2.5)),
        (Auto, ".5", seconds(0.5)),
        (Auto, "1h 30m", seconds(5400.0)),
        (Auto, "6m0s", seconds(360.0)),
        (Auto, "31240s", seconds(31_240.0)),
        (Auto, "2026-11-20T10:00:01.5Z", seconds(1.5)),
        (Auto, "Fri, 20 Nov 2026 10:01:00 +0000", seconds(60.0)),
        (Auto, "Friday, 20-Nov-26 10:01:00 GMT", seconds(60.0)),
        (Auto, "nan", None),
        (Auto, "-inf", None),
        (Auto, "", None),
        (Auto, "3 of 5", None),
        (Seconds, "1795168800", seconds(1_795_168_800.0)),
        (Seconds, "1795168800000000000000000", Some(Duration::MAX)),
        (Seconds, "2m", seconds(120.0)),
        (Seconds, "Fri, 20 Nov 2026 10:01:00 GMT", None),
        (Milliseconds, "1500", seconds(1.5)),
        (Milliseconds, "2s", seconds(2.0)),
        (Minutes, "1.5", seconds(90.0)),
        (Minutes, "-1", Some(Duration::ZERO)),
        (Epoch, "1795168801", seconds(1.0)),
        (Epoch, "17", Some(Duration::ZERO)),
        (Epoch, "1e300", Some(Duration::MAX)),
        (Epoch, "30s", None),
        (Date, "2026-11-20T12:00:30+02:00", seconds(30.0)),
        (Date, "Thu, 01 Jan 1970 00:00:00 GMT", Some(Duration::ZERO)),
        (Date, "30", None),
    ];
    for (unit, text, expected) in cases {
        assert_eq!(wait::read(text, unit, at(NOW)), expected, "{unit:?} {text}");
    }
}

proptest! {
    #[test]
    fn no_header_breaks_anything(bytes in proptest::collection::vec(0x20u8..=0xff, 0..120), id in ".{0,5}") {
        let rules = every_rule();
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "date"] {
            headers.append(name, value.clone());
            headers.append(name, value.clone());
        }
        read(&rules, &headers, &[id], Endpoint::Metrics, at(NOW));
    }

    #[test]
    fn nothing_that_looks_like_a_limit_breaks_anything(
        text in r#"([a-z"\\]{0,3}[;,]? ?(r|t|q|limit|remaining|reset)?=?-?[0-9.e]{0,12}[;,"\\ ]?){0,8}"#,
    ) {
        let Ok(value) = HeaderValue::from_str(&text) else { return Ok(()) };
        let headers: HeaderMap = [(HeaderName::from_static("ratelimit"), value)].into_iter().collect();
        read(&every_rule(), &headers, &accounts(&["1"]), Endpoint::Metrics, at(NOW));
    }

    #[test]
    fn lists_of_policies_are_read_whole(policies in proptest::collection::vec((0u32..5, 0u64..100), 1..6)) {
        let text: Vec<String> = policies.iter().map(|(left, wait)| format!("\"p\";r={left};t={wait}")).collect();
        let said = said_by(drafts(None), &[("ratelimit", &text.join(", "))]).expect("a limit");
        let least = policies.iter().map(|(left, _)| *left).min();
        let longest = policies.iter().filter(|(left, _)| Some(*left) == least).map(|(_, wait)| *wait).max();
        prop_assert_eq!(said.remaining, least);
        prop_assert_eq!(said.wait, longest.map(Duration::from_secs));
    }

    #[test]
    fn whole_seconds_stay_whole(ahead in 0i64..1_000_000, now in 1_500_000_000i64..2_500_000_000) {
        let now = Instant::from_timestamp(now, 0).expect("a moment");
        let expected = Some(Duration::from_secs(ahead.unsigned_abs()));
        let moment = now.timestamp() + ahead;
        prop_assert_eq!(wait::read(&moment.to_string(), WaitUnit::Auto, now), expected);
        prop_assert_eq!(wait::read(&(moment * 1000).to_string(), WaitUnit::Auto, now), expected);
        prop_assert_eq!(wait::read(&moment.to_string(), WaitUnit::Epoch, now), expected);
        prop_assert_eq!(wait::read(&ahead.to_string(), WaitUnit::Auto, now), expected);
    }

    #[test]
    fn no_text_breaks_a_wait(text in "[-+0-9.eE:,TZhms a-z]{0,30}|.{0,30}", now in -8_000_000_000_000i64..8_000_000_000_000) {
        let now = Instant::from_timestamp(now, 7).expect("a moment");
        use WaitUnit::{Auto, Date, Epoch, Milliseconds, Minutes, Seconds};
        for unit in [Auto, Milliseconds, Seconds, Minutes, Epoch, Date] {
            wait::read(&text, unit, now);
        }
    }
}

fn every_rule() -> Vec<UsageRule> {
    let mut rules = built_in();
    rules.push(of_account(json("ratelimit", &["{account}.*", "*"], Some(("*", WaitUnit::Minutes)))));
    rules.push(UsageRule { scope: Scope::Endpoint, quota: None, source: drafts(Some("p")) });
    rules
}
