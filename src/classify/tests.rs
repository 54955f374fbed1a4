use reqwest::header::HeaderName;

use super::*;
use crate::request::tests::{at, path};

type Pairs<'a> = &'a [(&'static str, &'a str)];

fn headers(pairs: Pairs<'_>) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
    pairs.collect()
}

fn judge_by(rules: &[ResponseRule], status: u16, pairs: Pairs<'_>, body: &str) -> Verdict {
    let headers = headers(pairs);
    let outcome = Outcome::Answer { status, headers: &headers, body: body.as_bytes() };
    classify(&outcome, rules, &[Secret::new("hunter2")], at("2026-11-20T10:00:00Z"))
}

fn judge(status: u16, pairs: Pairs<'_>, body: &str) -> Verdict {
    judge_by(&[], status, pairs, body)
}

fn rule(status: Option<u16>, place: Option<&str>, equals: Option<&str>, action: ResponseAction) -> ResponseRule {
    ResponseRule { status, path: place.map(path), equals: equals.map(str::to_owned), action }
}

fn throttled(wait: Option<u64>, why: &str) -> Verdict {
    Verdict::Throttled { wait: wait.map(Duration::from_secs), why: why.into() }
}

fn retry(why: &str) -> Verdict {
    Verdict::Retry { why: why.into() }
}

fn fail(why: &str) -> Verdict {
    Verdict::Fail { why: why.into() }
}

#[test]
fn statuses_without_rules() {
    let cases = [
        (200, Verdict::Ok),
        (204, Verdict::Ok),
        (304, Verdict::NotModified),
        (301, fail("HTTP 301: a redirect, and redirects are not followed")),
        (400, fail("HTTP 400")),
        (401, Verdict::Unauthorized { why: "HTTP 401".into() }),
        (403, fail("HTTP 403")),
        (404, fail("HTTP 404")),
        (408, retry("HTTP 408")),
        (422, fail("HTTP 422")),
        (429, throttled(None, "HTTP 429")),
        (500, retry("HTTP 500")),
        (503, retry("HTTP 503")),
    ];
    for (status, expected) in cases {
        assert_eq!(judge(status, &[], ""), expected, "{status}");
    }
}

#[test]
fn broken_connections() {
    let judge = |may_pass| {
        let outcome = Outcome::Broken { why: "the connection to a:1 broke", may_pass };
        classify(&outcome, &[], &[], at("2026-11-20T10:00:00Z"))
    };
    assert_eq!(judge(true), retry("the connection to a:1 broke"));
    assert_eq!(judge(false), fail("the connection to a:1 broke"));
}

#[test]
fn when_to_come_back() {
    let date = "Fri, 20 Nov 2026 10:00:30 GMT";
    let cases: [(Pairs<'_>, Option<Duration>); 10] = [
        (&[], None),
        (&[("retry-after", "30")], Some(Duration::from_secs(30))),
        (&[("retry-after", " 1.5 ")], Some(Duration::from_millis(1500))),
        (&[("retry-after", "0")], Some(Duration::ZERO)),
        (&[("retry-after", "-5")], Some(Duration::ZERO)),
        (&[("retry-after", "40000")], Some(Duration::from_secs(40_000))),
        (&[("retry-after", "99999999999999999999999999")], Some(Duration::MAX)),
        (&[("retry-after", date)], Some(Duration::from_secs(30))),
        (&[("retry-after", date), ("date", "Fri, 20 Nov 2026 10:01:00 GMT")], Some(Duration::ZERO)),
        (&[("retry-after", "soon")], None),
    ];
    for (pairs, wait) in cases {
        assert_eq!(judge(429, pairs, ""), Verdict::Throttled { wait, why: "HTTP 429".into() }, "{pairs:?}");
    }
    let skewed = [("retry-after", date), ("date", "Fri, 20 Nov 2026 09:59:30 GMT")];
    assert_eq!(judge(429, &skewed, ""), throttled(Some(60), "HTTP 429"), "by the server's clock");
    assert_eq!(judge(503, &[("retry-after", "9")], ""), throttled(Some(9), "HTTP 503"));
    assert_eq!(judge(403, &[("retry-after", "9")], ""), fail("HTTP 403"));
}

#[test]
fn rules_go_first_and_the_first_that_fits_decides() {
    let rules = [
        rule(Some(404), None, None, ResponseAction::Ok),
        rule(None, Some("error.code"), Some("17"), ResponseAction::Throttled),
        rule(Some(400), Some("error.code"), Some("17"), ResponseAction::Fail),
        rule(None, Some("errors.*.fatal"), Some("true"), ResponseAction::Fail),
        rule(Some(200), Some("code"), Some("40100"), ResponseAction::Throttled),
        rule(Some(200), Some("error"), None, ResponseAction::Retry),
        rule(Some(401), None, None, ResponseAction::Retry),
    ];
    let judge = |status, pairs: Pairs<'_>, body| judge_by(&rules, status, pairs, body);
    assert_eq!(judge(404, &[], "{}"), Verdict::Ok);
    assert_eq!(
        judge(400, &[], r#"{"error":{"code":17,"message":"too many calls"}}"#),
        throttled(None, "HTTP 400: too many calls (`error.code` is 17)")
    );
    assert_eq!(
        judge(200, &[("retry-after", "7")], r#"{"code":"40100","message":"slow down"}"#),
        throttled(Some(7), "HTTP 200: slow down (`code` is 40100)")
    );
    assert_eq!(judge(200, &[], r#"{"code":0,"error":null,"rows":[]}"#), Verdict::Ok);
    assert_eq!(judge(200, &[], r#"{"error":"try later"}"#), retry("HTTP 200: try later (`error` is there)"));
    assert_eq!(
        judge(200, &[], r#"{"errors":[{"fatal":false},{"fatal":true,"x":1}]}"#),
        fail("HTTP 200 (`errors.*.fatal` is true)")
    );
    assert_eq!(judge(401, &[], ""), retry("HTTP 401"));
    assert_eq!(judge(200, &[], "not json"), Verdict::Ok, "whether it is a page is the decoder's question");
}

#[test]
fn a_large_body_is_a_page_and_not_a_message() {
    let rules = [rule(Some(200), Some("code"), Some("1"), ResponseAction::Fail)];
    let body = format!(r#"{{"code":1,"rows":"{}"}}"#, "x".repeat(MAX_LOOKED_AT));
    assert_eq!(judge_by(&rules, 200, &[], &body), Verdict::Ok);
    assert_eq!(judge(500, &[], &body), retry("HTTP 500"));
}

#[test]
fn messages_are_short_and_hold_no_secret() {
    let cases = [
        (r#"{"message":"a\n  b\u0007c"}"#, "HTTP 400: a b c"),
        (r#"{"error":"bad"}"#, "HTTP 400: bad"),
        (r#"{"errors":[{"message":"first"}]}"#, "HTTP 400: first"),
        (r#"[{"error":{"message":"listed"}}]"#, "HTTP 400: listed"),
        (r#"{"message":"no token hunter2 here"}"#, "HTTP 400: no token [secret] here"),
        (r#"{"message":"", "detail":"x"}"#, "HTTP 400"),
        ("<html>token hunter2</html>", "HTTP 400: an HTML page"),
        ("token hunter2", "HTTP 400"),
    ];
    for (body, expected) in cases {
        assert_eq!(judge(400, &[], body), fail(expected), "{body}");
    }
    let Verdict::Fail { why } = judge(400, &[], &format!(r#"{{"message":"{} hunter2"}}"#, "ä".repeat(104))) else {
        panic!("a failure");
    };
    assert_eq!(why.chars().count(), MAX_MESSAGE);
    assert!(why.ends_with("[sec…") && !why.contains("hun"), "{why}");
    let location = [("location", "https://elsewhere.test/x?token=hunter2")];
    assert_eq!(
        judge(302, &location, ""),
        fail("HTTP 302: a redirect to elsewhere.test, and redirects are not followed")
    );
}
