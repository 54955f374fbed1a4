//! Every status and code of `platforms/pinterest.md` and `platforms/snapchat.md`.

use super::bench::Means::{Again, Fail, Page, SignIn, Skip};
use super::bench::*;
use crate::pipeline::Fault::{Platform, Us};
use crate::pipeline::Scope::App;
use crate::pipeline::{ResponseRule, WaitUnit};

fn pinterest() -> Vec<ResponseRule> {
    let waits = vec![in_text("message", "retry after", WaitUnit::Seconds)];
    vec![
        when().status(&[400]).holds("message", "retry after").throttled(App, waits),
        when().status(&[429]).throttled(App, vec![in_header("X-RateLimit-Reset", WaitUnit::Auto)]),
        when().status(&[400]).any_of("code", &["12"]).again(),
        when().status(&[400]).holds("message", "something went wrong").again(),
        when().status(&[400]).fail(Us),
        when().status(&[403, 404]).skip(),
        when().status(&[409]).page(),
    ]
}

#[test]
fn pinterest_answers() {
    let limited = r#"{"code":8,"message":"You have exceeded your rate limit. Try again later."}"#;
    let date = ("date", "Fri, 20 Nov 2026 09:59:00 GMT");
    let rows: &[Row<'_>] = &[
        (400, &[], r#"{"code":400,"message":"Invalid ad account campaign analytics parameters."}"#, Fail(Some(Us))),
        (400, &[], r#"{"code":1,"message":"bad"}"#, Fail(Some(Us))),
        (400, &[], r#"{"code":1,"message":"Too many requests. Retry after 27 seconds"}"#, wait(App, 27)),
        (400, &[], r#"{"code":8,"message":"RETRY AFTER  1.5   seconds."}"#, Means::Wait(Some(App), Some(ms(1500)))),
        (400, &[], r#"{"code":8,"message":"Retry after a while"}"#, refused(App)),
        (400, &[("retry-after", "3")], r#"{"code":8,"message":"Retry after a while"}"#, wait(App, 3)),
        (400, &[], r#"{"code":12,"message":"x"}"#, Again),
        (400, &[], r#"{"code":3,"message":"Sorry, Something went wrong on our end"}"#, Again),
        (401, &[], r#"{"code":2,"message":"Authentication failed."}"#, SignIn),
        (403, &[], r#"{"code":29,"message":"no role"}"#, Skip),
        (404, &[], r#"{"code":50,"message":"AdAccount not found."}"#, Skip),
        (404, &[], r#"{"code":2,"message":"AdAccount not found."}"#, Skip),
        (409, &[], r#"{"code":409,"message":"no catalog"}"#, Page),
        // Seconds that are left, or a moment: both forms are seen.
        (429, &[("x-ratelimit-reset", "27")], limited, wait(App, 27)),
        (429, &[("x-ratelimit-reset", "1795168830")], limited, wait(App, 30)),
        (429, &[("x-ratelimit-reset", "1795168830000")], limited, wait(App, 30)),
        (429, &[("x-ratelimit-reset", "1795168830"), date], limited, wait(App, 90)),
        (429, &[], limited, refused(App)),
        (500, &[], "", Again),
        (503, &[], "<html></html>", Again),
        (200, &[], r#"[{"CAMPAIGN_ID":"1","DATE":"2026-03-01T13:00:00"}]"#, Page),
        (200, &[], r#"{"report_status":"IN_PROGRESS","token":"t","message":null}"#, Page),
    ];
    check(&pinterest(), rows);
}

fn ms(milliseconds: u64) -> std::time::Duration {
    std::time::Duration::from_millis(milliseconds)
}

fn snapchat() -> Vec<ResponseRule> {
    let done = ["SUCCESS", "success"];
    vec![
        when().status(&[200]).none_of("request_status", &done).fail(Platform),
        when().status(&[200]).none_of("timeseries_stats.*.sub_request_status", &done).fail(Platform),
        when().status(&[400]).fail(Us),
        when().status(&[403]).skip(),
    ]
}

#[test]
fn snapchat_answers() {
    let error = |message: &str, code: &str| {
        format!(r#"{{"request_status":"ERROR","request_id":"6","debug_message":"{message}","error_code":"{code}"}}"#)
    };
    let page = |request: &str, sub: &str| {
        let stat = r#""timeseries_stat":{"id":"7","timeseries":[]}"#;
        format!(r#"{{"request_status":"{request}","timeseries_stats":[{{{stat}}},{{{sub}{stat}}}]}}"#)
    };
    let query = error("Unsupported Stats Query: End time should end at the beginning of an hour.", "E1008");
    let many = r#"{"request_status":"ERROR","request_id":"6","debug_message":"Too many requests"}"#;
    let reset = [("x-rate-limit-limit", "20"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1795168802")];
    let mut rows: Vec<(u16, Pairs<'_>, String, Means)> = vec![
        (401, &[], r#"{"request_status":"ERROR","debug_message":"Unauthorized"}"#.to_owned(), SignIn),
        (401, &[], String::new(), SignIn),
        (403, &[], error("no role", "E2002"), Skip),
        (403, &[], String::new(), Skip),
        (400, &[], query, Fail(Some(Us))),
        (400, &[], error("bad", "E1001"), Fail(Some(Us))),
        (404, &[], error("Resource can not be found", "E3003"), Fail(None)),
        (429, &[], many.to_owned(), refused(None)),
        (429, &[], "<html></html>".to_owned(), refused(None)),
        (429, &[], String::new(), refused(None)),
        (429, &reset, many.to_owned(), wait(None, 2)),
        (429, &[("retry-after", "4")], many.to_owned(), wait(None, 4)),
        (200, &[], page("SUCCESS", r#""sub_request_status":"SUCCESS","#), Page),
        (200, &[], page("success", r#""sub_request_status":"success","#), Page),
        (200, &[], page("SUCCESS", ""), Page),
        (200, &[], page("SUCCESS", r#""sub_request_status":"ERROR","#), Fail(Some(Platform))),
        (200, &[], page("ERROR", r#""sub_request_status":"SUCCESS","#), Fail(Some(Platform))),
    ];
    for status in [405, 406, 410] {
        rows.push((status, &[], String::new(), Fail(None)));
    }
    for status in [500, 502, 503, 504] {
        rows.push((status, &[], String::new(), Again));
    }
    for (status, pairs, body, expected) in &rows {
        check(&snapchat(), &[(*status, pairs, body, expected.clone())]);
    }
}
