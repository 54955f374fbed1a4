//! What holds for every platform; the platforms' own tables are in the modules beside this one.

use proptest::prelude::*;

use super::*;
use crate::pipeline::{IdSource, ResponseAction, WaitSource, WaitUnit};
use crate::request::tests::{at, path};
use answer::MAX_LOOKED_AT;
use bench::*;
use std::time::Duration;

mod amazon_apple;
mod bench;
mod google_ads;
mod linkedin_x;
mod meta;
mod microsoft_reddit;
mod pinterest_snapchat;
mod tiktok;

fn judge(status: u16, pairs: Pairs<'_>, body: &str) -> Verdict {
    judge_by(&[], status, pairs, body)
}

fn throttled(wait: Option<u64>, why: &str) -> Verdict {
    Verdict::Throttled { wait: wait.map(Duration::from_secs), scope: None, why: why.into() }
}

fn retry(why: &str) -> Verdict {
    Verdict::Retry { why: why.into() }
}

fn fail(why: &str) -> Verdict {
    Verdict::Fail { fault: None, why: why.into() }
}

fn fail_by(fault: Fault, why: &str) -> Verdict {
    Verdict::Fail { fault: Some(fault), why: why.into() }
}

#[test]
fn statuses_without_rules() {
    let cases = [
        (200, Verdict::Ok),
        (204, Verdict::Ok),
        (304, Verdict::NotModified),
        (301, fail("HTTP 301: a redirect, and redirects are not followed")),
        (400, fail("HTTP 400")),
        (401, Verdict::Reauthorise { why: "HTTP 401".into() }),
        (403, fail("HTTP 403")),
        (404, fail("HTTP 404")),
        (408, retry("HTTP 408")),
        (422, fail("HTTP 422")),
        (429, throttled(None, "HTTP 429")),
        (500, retry("HTTP 500")),
        (503, retry("HTTP 503")),
        (599, retry("HTTP 599")),
    ];
    for (status, expected) in cases {
        assert_eq!(judge(status, &[], ""), expected, "{status}");
    }
}

#[test]
fn broken_connections() {
    let judge = |may_pass| {
        let outcome = Outcome::Broken { why: "the connection to hunter2:1 broke", may_pass };
        let secrets = [Secret::new("hunter2")];
        classify(&outcome, &Reading { rules: &[], secrets: &secrets, now: at(NOW), refusals: 0 })
    };
    assert_eq!(judge(true), retry("the connection to [secret]:1 broke"));
    assert_eq!(judge(false), fail("the connection to [secret]:1 broke"));
}

/// Each of these came up in some other tool.
#[test]
fn when_to_come_back() {
    let date = "Fri, 20 Nov 2026 10:00:30 GMT";
    let cases: [(Pairs<'_>, Option<Duration>); 18] = [
        (&[], None),
        (&[("retry-after", "30")], Some(Duration::from_secs(30))),
        (&[("retry-after", " 1.5 ")], Some(Duration::from_millis(1500))),
        (&[("retry-after", "0")], Some(Duration::ZERO)),
        (&[("retry-after", "-5")], Some(Duration::ZERO)),
        (&[("retry-after", "40000")], Some(Duration::from_secs(40_000))),
        (&[("retry-after", "99999999999999999999999999")], Some(Duration::MAX)),
        (&[("retry-after", "1795168830")], Some(Duration::from_secs(30))),
        (&[("retry-after", date)], Some(Duration::from_secs(30))),
        (&[("retry-after", date), ("date", "Fri, 20 Nov 2026 10:01:00 GMT")], Some(Duration::ZERO)),
        (&[("retry-after", date), ("date", "yesterday")], Some(Duration::from_secs(30))),
        (&[("retry-after", "2026-11-20T11:00:30+01:00")], Some(Duration::from_secs(30))),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "nan")], None),
        (&[("retry-after", "inf")], None),
        (&[("retry-after", "")], None),
        (&[("retry-after", "5, 10")], Some(Duration::from_secs(10))),
        (&[("retry-after", "1e400")], Some(Duration::MAX)),
    ];
    for (pairs, wait) in cases {
        let expected = Verdict::Throttled { wait, scope: None, why: "HTTP 429".into() };
        assert_eq!(judge(429, pairs, ""), expected, "{pairs:?}");
    }
    let skewed = [("retry-after", date), ("date", "Fri, 20 Nov 2026 09:59:30 GMT")];
    assert_eq!(judge(429, &skewed, ""), throttled(Some(60), "HTTP 429"), "by the server's clock");
    assert_eq!(judge(503, &[("retry-after", "9")], ""), throttled(Some(9), "HTTP 503"));
    assert_eq!(judge(503, &[("retry-after-ms", "9000")], ""), throttled(Some(9), "HTTP 503"));
    assert_eq!(judge(500, &[("x-ratelimit-reset", "9")], ""), retry("HTTP 500"), "every answer has that header");
    assert_eq!(judge(403, &[("retry-after", "9")], ""), fail("HTTP 403"));
}

#[test]
fn without_a_retry_after_other_headers_tell() {
    let reset = ("x-ratelimit-reset", "40");
    let cases: [(Pairs<'_>, Option<u64>); 12] = [
        (&[reset], Some(40)),
        (&[reset, ("x-ratelimit-remaining", "9, 0")], Some(40)),
        (&[reset, ("retry-after", "3")], Some(3)),
        (&[reset, ("retry-after", "soon")], Some(40)),
        (&[reset, ("x-ratelimit-remaining", "0")], Some(40)),
        (&[reset, ("x-ratelimit-remaining", "7")], None),
        (&[reset, ("x-ratelimit-remaining", "7"), ("ratelimit", "limit=5, remaining=0, reset=2")], Some(2)),
        (&[("x-rate-limit-reset", "1795168841"), ("ratelimit-reset", "1")], Some(41)),
        (&[("ratelimit-reset", "1"), ("ratelimit", "\"a\";r=0;t=5")], Some(1)),
        (&[("ratelimit", "\"a\";r=0;t=5, \"b\";r=0;t=50, \"c\";r=9;t=500"), ("retry-after-ms", "1000")], Some(50)),
        (&[("ratelimit", "limit=60, remaining=0, reset=17")], Some(17)),
        (&[("retry-after-ms", "2000"), ("ratelimit", "\"a\";r=1;t=5")], Some(2)),
    ];
    for (pairs, seconds) in cases {
        assert_eq!(judge(429, pairs, ""), throttled(seconds, "HTTP 429"), "{pairs:?}");
    }
}

#[test]
fn the_first_place_that_tells_counts() {
    let rules = |wait| vec![when().status(&[400]).throttled(Scope::Account, wait)];
    let places = || {
        vec![
            in_header("X-Wait", WaitUnit::Milliseconds),
            in_body("errors.*.wait", WaitUnit::Minutes),
            in_text("message", "in", WaitUnit::Auto),
        ]
    };
    let cases: [(Pairs<'_>, &str, Option<u64>); 11] = [
        (&[("x-wait", "2000")], r#"{"errors":[{"wait":5}],"message":"in 9s"}"#, Some(2)),
        (&[("x-wait", "?")], r#"{"errors":[{"wait":"5"},{"wait":7},{"wait":null}],"message":"in 9s"}"#, Some(420)),
        (&[], r#"{"errors":[{"wait":-5}]}"#, Some(0)),
        (&[], r#"{"errors":[{"wait":"90s"}]}"#, Some(90)),
        (&[], r#"{"message":"again in 1h 30m, please"}"#, Some(5400)),
        (&[], r#"{"message":"Once again (IN: 31240s)."}"#, Some(31_240)),
        (&[], r#"{"message":"again in Fri, 20 Nov 2026 10:00:30 GMT"}"#, Some(30)),
        (&[], r#"{"message":"again in 2026-11-20T10:00:30Z."}"#, Some(30)),
        (&[], r#"{"message":"in vain; in 27 seconds it is over"}"#, Some(27)),
        (&[("retry-after", "4")], r#"{"message":"in vain"}"#, Some(4)),
        (&[], "not json", None),
    ];
    for (pairs, body, seconds) in cases {
        let expected = Means::Wait(Some(Scope::Account), seconds.map(Duration::from_secs));
        assert_eq!(meaning(judge_by(&rules(places()), 400, pairs, body)), expected, "{pairs:?} {body}");
    }
    let none = judge_by(&rules(vec![steps(&[])]), 400, &[], "");
    assert_eq!(meaning(none), refused(Scope::Account));
}

#[test]
fn midnight_is_that_of_the_named_clock() {
    let until = |zone: &str, pairs: Pairs<'_>| {
        let zone = WaitSource::Midnight(zone.parse().expect("a zone"));
        let rules = [when().throttled(None, vec![zone])];
        let Means::Wait(None, Some(wait)) = meaning(judge_by(&rules, 429, pairs, "")) else { panic!("a wait") };
        wait.as_secs()
    };
    let hour = 3600;
    assert_eq!(until("UTC", &[]), 14 * hour);
    assert_eq!(until("America/Los_Angeles", &[]), 22 * hour);
    assert_eq!(until("Asia/Kolkata", &[]), 8 * hour + hour / 2);
    assert_eq!(until("UTC", &[("date", "Sat, 21 Nov 2026 00:00:00 GMT")]), 24 * hour);
    // The clocks go back between now and midnight; here midnight itself is skipped.
    assert_eq!(until("Europe/Berlin", &[("date", "Sat, 24 Oct 2026 22:00:00 GMT")]), 25 * hour);
    assert_eq!(until("Asia/Beirut", &[("date", "Sat, 28 Mar 2026 12:00:00 GMT")]), 10 * hour);
    assert_eq!(until("UTC", &[("retry-after", "90000")]), 90_000, "the platform knows better");
    assert_eq!(until("UTC", &[("retry-after", "9")]), 14 * hour);
}

#[test]
fn rules_go_first_and_the_first_that_fits_decides() {
    let rules = [
        when().status(&[404]).page(),
        when().any_of("error.code", &["17"]).throttled(None, vec![]),
        when().status(&[400]).any_of("error.code", &["17"]).fail(Fault::Us),
        when().any_of("errors.*.fatal", &["true"]).fail(Fault::Config),
        when().status(&[200, 400]).any_of("code", &["40100"]).throttled(None, vec![]),
        when().status(&[200]).present("error").again(),
        when().status(&[401]).again(),
    ];
    let judge = |status, pairs: Pairs<'_>, body| judge_by(&rules, status, pairs, body);
    assert_eq!(judge(404, &[], "{}"), Verdict::Ok);
    assert_eq!(
        judge(400, &[], r#"{"error":{"code":17,"message":"too many calls"}}"#),
        throttled(None, "HTTP 400: too many calls (`error.code` is 17)")
    );
    let slow = r#"{"code":"40100","message":"slow down"}"#;
    assert_eq!(judge(200, &[("retry-after", "7")], slow), throttled(Some(7), "HTTP 200: slow down (`code` is 40100)"));
    assert_eq!(judge(400, &[], slow), throttled(None, "HTTP 400: slow down (`code` is 40100)"));
    assert_eq!(judge(500, &[], slow), retry("HTTP 500: slow down"));
    assert_eq!(judge(200, &[], r#"{"code":0,"error":null,"rows":[]}"#), Verdict::Ok);
    assert_eq!(judge(200, &[], r#"{"error":"try later"}"#), retry("HTTP 200: try later (`error` is there)"));
    assert_eq!(
        judge(200, &[], r#"{"errors":[{"fatal":false},{"fatal":true,"x":1}]}"#),
        fail_by(Fault::Config, "HTTP 200 (`errors.*.fatal` is true)")
    );
    assert_eq!(judge(401, &[], ""), retry("HTTP 401"));
    assert_eq!(judge(200, &[], "not json"), Verdict::Ok, "whether it is a page is the decoder's question");
    let again = judge(401, &[("retry-after", "2")], "");
    assert_eq!(again, throttled(Some(2), "HTTP 401"), "whoever says when to come back is obeyed");
}

/// Two refusals of one status are told apart by the body.
#[test]
fn every_test_of_a_value() {
    let place = "v.*";
    let cases: [(ResponseRule, &[&str], &[&str]); 7] = [
        (when().present(place).split(), &["1", "\"\"", "{}", "[]", "false"], &["null"]),
        (when().any_of(place, &["17", "true"]).split(), &["17", "\"17\"", "true"], &["17.0", "170", "[17]", "null"]),
        (when().none_of(place, &["OK", "ok"]).split(), &["\"NO\"", "0", "\"\""], &["\"OK\"", "\"ok\"", "null", "{}"]),
        (when().holds(place, "Daily Limit").split(), &["\"the DAILY limit\""], &["\"the limit\"", "null", "7"]),
        (when().holds(place, "ÜBER").split(), &["\"darüber\""], &["\"uber\""]),
        (
            when().between(place, -2, 299).split(),
            &["-2", "299", "\"299\"", "298.5", "\" 7 \"", "2e2"],
            &["-3", "300", "299.5", "\"x\"", "null", "true", "1e300", "\"nan\""],
        ),
        (when().between(place, i64::MIN, i64::MAX).split(), &["0", "-9223372036854775808"], &["\"-\"", "[]"]),
    ];
    for (rule, fitting, other) in cases {
        let rules = [rule];
        let meaning = |value: &str| meaning(judge_by(&rules, 429, &[], &format!(r#"{{"v":[{value}]}}"#)));
        for value in fitting {
            assert_eq!(meaning(value), Means::Split, "{value}: {rules:?}");
        }
        for value in other {
            assert_eq!(meaning(value), refused(None), "{value}: {rules:?}");
        }
    }
    let rules = [when().none_of("v.*", &["OK"]).split()];
    assert_eq!(meaning(judge_by(&rules, 200, &[], r#"{"v":["OK","NO"]}"#)), Means::Split, "one of several is enough");
    assert_eq!(judge_by(&rules, 200, &[], "{}"), Verdict::Ok, "what is not there is no value");
}

#[test]
fn rules_about_headers() {
    let rules = [
        when().header("X-Blocked", None).skip(),
        when().header("X-Reason", Some("Daily")).present("code").fail(Fault::Us),
        when().header("X-Reason", Some("Daily")).split(),
    ];
    let judge = |pairs: Pairs<'_>, body: &str| judge_by(&rules, 200, pairs, body);
    assert_eq!(judge(&[], "{}"), Verdict::Ok);
    assert_eq!(judge(&[("x-blocked", "")], ""), Verdict::SkipAccount { why: "HTTP 200 (header `X-Blocked`)".into() });
    assert_eq!(judge(&[("x-reason", "hourly")], ""), Verdict::Ok);
    assert_eq!(
        judge(&[("x-reason", "the DAILY one")], ""),
        Verdict::Split { why: "HTTP 200 (header `X-Reason`)".into() }
    );
    let both = judge(&[("x-reason", "hourly"), ("x-reason", "daily")], r#"{"code":1}"#);
    assert!(matches!(both, Verdict::Fail { fault: Some(Fault::Us), .. }), "{both:?}");
}

#[test]
fn what_is_there_already_is_adopted() {
    let rule = |id| [when().status(&[409]).then(ResponseAction::Adopt { id })];
    let by_path = rule(IdSource::Path(path("reports.*.id")));
    let by_text = rule(IdSource::Text { path: path("detail"), after: "Duplicate of".into() });
    let adopted = |rules: &[ResponseRule], body: &str| judge_by(rules, 409, &[], body);
    let id = |id: &str| Verdict::Adopt { id: id.into() };
    assert_eq!(
        adopted(&by_path, r#"{"reports":[{"id":null},{"id":" "},{"id":12345678901234567}]}"#),
        id("12345678901234567")
    );
    assert_eq!(adopted(&by_text, r#"{"detail":"a DUPLICATE OF : \"r-1.b:2\"."}"#), id("r-1.b:2"));
    assert_eq!(adopted(&by_text, r#"{"detail":"duplicate of, or like; duplicate of <r_1>!"}"#), id("or"));
    assert_eq!(
        adopted(&by_path, r#"{"reports":[],"message":"it is there"}"#),
        fail_by(Fault::Platform, "HTTP 409: it is there; no id at `reports.*.id`")
    );
    for body in [r#"{"detail":"a duplicate"}"#, r#"{"detail":"duplicate of ..."}"#, "{}", "no json"] {
        let verdict = adopted(&by_text, body);
        assert!(matches!(&verdict, Verdict::Fail { why, .. } if why.ends_with("no id at `detail`")), "{verdict:?}");
    }
}

#[test]
fn a_rule_finds_its_place_in_a_body_of_any_size() {
    let rules = [
        when()
            .status(&[200])
            .any_of("?.error.status", &["RESOURCE_EXHAUSTED"])
            .throttled(Scope::Account, vec![in_text("?.error.message", "retry in", WaitUnit::Seconds)]),
        when().status(&[200]).none_of("code", &["0"]).fail(Fault::Us),
    ];
    let rows = r#"{"campaign":{"id":"1"},"metrics":{"clicks":"1"}},"#.repeat(10_000);
    let rows = rows.trim_end_matches(',');
    let failure = r#"{"error":{"status":"RESOURCE_EXHAUSTED","message":"Too many. Retry in 17 seconds."}}"#;
    let verdict = judge_by(&rules, 200, &[], &format!(r#"[{{"results":[{rows}]}},{{"results":[]}},{failure}]"#));
    assert_eq!(meaning(verdict), wait(Scope::Account, 17));
    assert_eq!(judge_by(&rules, 200, &[], &format!(r#"[{{"results":[{rows}]}}]"#)), Verdict::Ok);
    assert_eq!(judge_by(&rules, 200, &[], &format!(r#"{{"code":0,"rows":[{rows}]}}"#)), Verdict::Ok);
    let after = format!(r#"{{"rows":[{rows}],"code":1,"message":"at the end"}}"#);
    assert_eq!(judge_by(&rules, 200, &[], &after), fail_by(Fault::Us, "HTTP 200: at the end (`code` is 1)"));
    let cut = &after[..after.len() - 1];
    assert_eq!(judge_by(&rules, 200, &[], cut), Verdict::Ok, "whoever reads the page will see that it is none");
}

#[test]
fn without_a_place_to_look_at_a_long_body_is_not_looked_into() {
    let body = format!(r#"{{"message":"not read","rows":"{}"}}"#, "x".repeat(MAX_LOOKED_AT));
    assert_eq!(judge(500, &[], &body), retry("HTTP 500"));
    assert_eq!(judge_by(&[when().status(&[500]).split()], 500, &[], &body), Verdict::Split { why: "HTTP 500".into() });
}

#[test]
fn errors_in_archives_are_found_as_well() {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(br#"{"errors":[{"code":"EXPIRED","message":"too late"}]}"#).expect("memory");
    let packed = packed.finish().expect("memory");
    let rules = [when().any_of("errors.?.code", &["EXPIRED"]).split()];
    let (headers, reading) = (HeaderMap::new(), Reading { rules: &rules, secrets: &[], now: at(NOW), refusals: 0 });
    let outcome = Outcome::Answer { status: 200, headers: &headers, body: &packed };
    let why = "HTTP 200: too late (`errors.?.code` is EXPIRED)";
    assert_eq!(classify(&outcome, &reading), Verdict::Split { why: why.into() });
}

#[test]
fn messages_are_short_and_hold_no_secret() {
    let cases = [
        (r#"{"message":"a\n  b\u0007c"}"#, "HTTP 400: a b c"),
        (r#"{"error":"bad"}"#, "HTTP 400: bad"),
        (r#"{"errors":[{"message":"first"}]}"#, "HTTP 400: first"),
        (r#"[{"error":{"message":"listed"}}]"#, "HTTP 400: listed"),
        (r#"{"error":{"errors":[{"message":"deep"}]}}"#, "HTTP 400: deep"),
        (r#"{"message":"no token hunter2 here"}"#, "HTTP 400: no token [secret] here"),
        (r#"{"message":"", "detail":"x"}"#, "HTTP 400: x"),
        ("<html>token hunter2</html>", "HTTP 400: an HTML page"),
        ("token hunter2", "HTTP 400"),
    ];
    for (body, expected) in cases {
        assert_eq!(judge(400, &[], body), fail(expected), "{body}");
    }
    let Verdict::Fail { why, .. } = judge(400, &[], &format!(r#"{{"message":"{} hunter2"}}"#, "ä".repeat(104))) else {
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

#[test]
fn the_rule_that_decided_is_always_shown() {
    let long = format!(r#"{{"message":"{}","status":"hunter2 {}"}}"#, "m".repeat(300), "s".repeat(300));
    let why = |rule: ResponseRule| match judge_by(&[rule], 400, &[], &long) {
        Verdict::Split { why } => why,
        other => panic!("{other:?}"),
    };
    let by_text = why(when().holds("message", "mmm").split());
    assert!(by_text.ends_with("m… (`message` holds \"mmm\")"), "{by_text}");
    assert_eq!(by_text.chars().count(), MAX_MESSAGE);
    let by_value = why(when().none_of("status", &["OK"]).split());
    assert!(by_value.ends_with("s…)") && by_value.contains("(`status` is [secret] ss"), "{by_value}");
}

proptest! {
    #[test]
    fn any_answer_is_judged(
        status in 100u16..1000, body in proptest::collection::vec(any::<u8>(), 0..200),
        retry_after in proptest::collection::vec(0x20u8..0xff, 0..40), refusals: u32,
    ) {
        let rules = [
            when().any_of("code", &["1"]).throttled(None, vec![in_body("wait", WaitUnit::Auto), in_text("message", "in", WaitUnit::Auto)]),
            when().status(&[400]).adopt_after("message", "of"),
            when().none_of("*.status", &["OK"]).split(),
            when().between("code", 2, 9).throttled(None, vec![steps(&[1, 2])]),
        ];
        let mut headers = HeaderMap::new();
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(&retry_after) {
            for name in ["retry-after", "x-ratelimit-reset", "ratelimit", "x-ratelimit-remaining", "date", "retry-after-ms"] {
                headers.append(name, value.clone());
            }
        }
        let outcome = Outcome::Answer { status, headers: &headers, body: &body };
        classify(&outcome, &Reading { rules: &rules, secrets: &[], now: at(NOW), refusals });
    }

    #[test]
    fn any_sentence_is_read(message in ".{0,60}", after in ".{0,4}") {
        let rules = [
            when().status(&[400]).adopt_after("message", &after),
            when().throttled(None, vec![in_text("message", &after, WaitUnit::Auto)]),
        ];
        let body = serde_json::json!({ "message": message }).to_string();
        for status in [400, 429] {
            judge_by(&rules, status, &[], &body);
        }
    }

    #[test]
    fn a_wait_in_a_sentence_is_found(before in "[a-z ]{0,20}", seconds in 0u64..100_000, end in "( seconds|s|)[.!]?") {
        let body = serde_json::json!({ "message": format!("{before}. Retry after {seconds}{end}") }).to_string();
        let rules = [when().throttled(None, vec![in_text("message", "retry AFTER", WaitUnit::Seconds)])];
        prop_assert_eq!(meaning(judge_by(&rules, 400, &[], &body)), wait(None, seconds));
    }
}
