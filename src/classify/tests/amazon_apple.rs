//! Every status and code of `platforms/amazon.md` and `platforms/apple.md`.

use super::bench::Means::{Adopt, Again, Fail, Page, SignIn, Skip};
use super::bench::*;
use crate::pipeline::Fault::{Config, Platform};
use crate::pipeline::ResponseRule;

/// Both spellings of the field that holds the message are known.
fn amazon() -> Vec<ResponseRule> {
    let mut rules = Vec::new();
    for place in ["detail", "details"] {
        rules.push(when().status(&[425]).present(place).adopt_after(place, "duplicate of"));
        rules.push(when().status(&[401]).holds(place, "scope").skip());
    }
    // The download's host answers 403 in XML, which has no code: only the API's own is about the account.
    rules.push(when().status(&[403, 404]).present("code").skip());
    rules
}

#[test]
fn amazon_answers() {
    let id = "1a2b3c4d-0000-4aaa-8bbb-000000000001";
    let duplicate = |field: &str| format!(r#"{{"code":"425","{field}":"The Request is a duplicate of : {id}"}}"#);
    let throttled = r#"{"code":"429","details":"Too Many Requests"}"#;
    let forbidden = r#"{"code":"UNAUTHORIZED","details":"forbidden"}"#;
    let rows: &[Row<'_>] = &[
        (400, &[], r#"{"code":"400","details":"bad dates"}"#, Fail(None)),
        (406, &[], "", Fail(None)),
        (415, &[], r#"{"code":"415","details":"Cannot consume content type"}"#, Fail(None)),
        (422, &[], r#"{"code":"422","detail":"startDate is too far in the past"}"#, Fail(None)),
        (401, &[], r#"{"code":"401","details":"Scope header is missing"}"#, Skip),
        (401, &[], r#"{"code":"401","detail":"No matching advertiser found for scope: 777"}"#, Skip),
        (401, &[], r#"{"code":"UNAUTHORIZED","details":"Not authorized to access scope 777"}"#, Skip),
        (401, &[], r#"{"code":"UNAUTHORIZED","details":"HTTP 401 Unauthorized"}"#, SignIn),
        (401, &[], "", SignIn),
        (403, &[], forbidden, Skip),
        (404, &[], r#"{"code":"NOT_FOUND","details":"no such report"}"#, Skip),
        (403, &[], "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", Fail(None)),
        (425, &[], &duplicate("detail"), Adopt(id)),
        (425, &[], &duplicate("details"), Adopt(id)),
        (425, &[], r#"{"code":"425","detail":"The request is a duplicate"}"#, Fail(Some(Platform))),
        (425, &[], "", Fail(None)),
        (429, &[("retry-after", "30")], throttled, wait(None, 30)),
        (429, &[], throttled, refused(None)),
        (500, &[], "", Again),
        (502, &[], "<html>bad gateway</html>", Again),
        (504, &[], "", Again),
        (207, &[], r#"{"success":[],"error":[]}"#, Page),
        (200, &[], r#"{"reportId":"r","status":"FAILED","failureReason":"x"}"#, Page),
    ];
    check(&amazon(), rows);
}

fn apple() -> Vec<ResponseRule> {
    vec![
        when().any_of("error", &["invalid_client"]).fail(Config),
        when().holds("error.errors.*.message", "CAMPAIGN DOES NOT CONTAIN KEYWORD").page(),
        when().status(&[403]).skip(),
        when().status(&[200]).present("error").fail(Platform),
    ]
}

#[test]
fn apple_answers() {
    let error = |code: &str, message: &str| {
        let error = format!(r#"{{"messageCode":"{code}","message":"{message}","field":"startTime"}}"#);
        format!(r#"{{"data":null,"pagination":null,"error":{{"errors":[{error}]}}}}"#)
    };
    let invalid = error("INVALID_ATTRIBUTE", "startTime is more than 30 days ago");
    let rows: &[Row<'_>] = &[
        (400, &[], &invalid, Fail(None)),
        (400, &[], &error("X", "CAMPAIGN DOES NOT CONTAIN KEYWORD"), Page),
        (400, &[], r#"{"error":"invalid_client","error_description":"bad secret"}"#, Fail(Some(Config))),
        (401, &[], r#"{"error":"unauthorized"}"#, SignIn),
        (401, &[], &error("UNAUTHORIZED", "token expired"), SignIn),
        (403, &[], &error("FORBIDDEN", "no role"), Skip),
        (403, &[], "", Skip),
        (404, &[], "", Fail(None)),
        (429, &[], "", refused(None)),
        (429, &[("retry-after", "7")], "", wait(None, 7)),
        (429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "12")], "", wait(None, 12)),
        (500, &[], "", Again),
        (503, &[], "<html></html>", Again),
        (200, &[], r#"{"data":{},"pagination":null,"error":null}"#, Page),
        (200, &[], &invalid, Fail(Some(Platform))),
    ];
    check(&apple(), rows);
}
