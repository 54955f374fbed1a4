//! Every status and code of `platforms/microsoft.md` and `platforms/reddit.md`.

use super::bench::Means::{Again, Fail, Page, SignIn, Skip};
use super::bench::*;
use crate::pipeline::Fault::{Config, Platform, Us};
use crate::pipeline::ResponseRule;
use crate::pipeline::Scope::{App, Endpoint};

/// Bad requests of every kind.
const OURS: [&str; 18] = [
    "113", "116", "2001", "2005", "2007", "2008", "2009", "2010", "2011", "2014", "2016", "2017", "2029", "2030",
    "2034", "2035", "2040", "2041",
];

/// There are two arrays of errors.
fn microsoft() -> Vec<ResponseRule> {
    let mut rules = Vec::new();
    for code in ["Errors.*.Code", "OperationErrors.*.Code"] {
        rules.extend([
            when().any_of(code, &["117"]).throttled(App, vec![steps(&[60])]),
            when().any_of(code, &["207"]).throttled(Endpoint, vec![steps(&[15, 20, 25, 30])]),
            when().any_of(code, &["109"]).sign_in(),
            when().any_of(code, &["105"]).fail(Config),
            when().any_of(code, &["106", "2003"]).skip(),
            when().any_of(code, &["0", "2004"]).again(),
            when().any_of(code, &["2100", "2101"]).fail(Platform),
            when().any_of(code, &OURS).fail(Us),
        ]);
    }
    rules
}

#[test]
fn microsoft_answers() {
    let mut table = vec![
        ("117", wait(App, 60)),
        ("207", wait(Endpoint, 15)),
        ("109", SignIn),
        ("105", Fail(Some(Config))),
        ("106", Skip),
        ("2003", Skip),
        ("0", Again),
        ("2004", Again),
        // The report is gone and another must be made: the next attempt at the unit does.
        ("2100", Fail(Some(Platform))),
        ("2101", Fail(Some(Platform))),
    ];
    table.extend(OURS.map(|code| (code, Fail(Some(Us)))));
    for (code, expected) in table {
        let error = format!(r#"[{{"Code":{code},"ErrorCode":"X","Message":"no","Detail":null}}]"#);
        let authentication = format!(r#"{{"Type":"AdApiFaultDetail","TrackingId":"t","Errors":{error}}}"#);
        let operation = format!(r#"{{"Type":"ApiFaultDetail","OperationErrors":{error},"BatchErrors":[]}}"#);
        for status in [400, 401, 500] {
            for body in [&authentication, &operation] {
                check(&microsoft(), &[(status, &[], body, expected.clone())]);
            }
        }
    }
    let pending = r#"{"ReportRequestStatus":{"Status":"Pending","ReportDownloadUrl":null}}"#;
    check(&microsoft(), &[(200, &[], pending, Page), (401, &[], "", SignIn), (403, &[], "", Fail(None))]);
}

#[test]
fn microsoft_waits_grow() {
    let body = r#"{"OperationErrors":[{"Code":207,"ErrorCode":"ConcurrentRequestOverLimit","Message":"no"}]}"#;
    for (refusals, seconds) in [(0, 15), (1, 20), (2, 25), (3, 30), (4, 30), (u32::MAX, 30)] {
        let verdict = judge_after(refusals, &microsoft(), 400, &[], body);
        assert_eq!(meaning(verdict), wait(Endpoint, seconds), "{refusals}");
    }
    let verdict = judge_after(1, &microsoft(), 400, &[("retry-after", "90")], body);
    assert_eq!(meaning(verdict), wait(Endpoint, 90), "what the answer says wins over a guess that is shorter");
}

fn reddit() -> Vec<ResponseRule> {
    vec![when().status(&[403, 404]).skip(), when().status(&[400]).fail(Us), when().status(&[410]).fail(Config)]
}

#[test]
fn reddit_answers() {
    let limited = r#"{"error":{"code":429,"message":"Too Many Requests"}}"#;
    let two = r#""ads-reporting";r=0;t=17, "ads-business-manager";r=0;t=41, "other";r=5;t=3000"#;
    let wrong = r#"{"error":{"code":400,"message":"Bad request.","fields":[{"field":"starts_at","message":"no"}]}}"#;
    let reset = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "17")];
    let other = [("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "600")];
    let rows: &[Row<'_>] = &[
        (400, &[], wrong, Fail(Some(Us))),
        (401, &[], r#"{"error":{"code":401,"message":"Bad bearer token provided."}}"#, SignIn),
        (403, &[], "", Skip),
        (404, &[], "", Skip),
        (410, &[], "", Fail(Some(Config))),
        (429, &[("ratelimit", r#""ads-reporting";r=0;t=17"#)], limited, wait(None, 17)),
        (429, &[("ratelimit", two)], limited, wait(None, 41)),
        (429, &[("ratelimit", r#""ads-reporting";r=3;t=17"#)], limited, refused(None)),
        (429, &reset, limited, wait(None, 17)),
        (429, &other, limited, refused(None)),
        (429, &[], limited, refused(None)),
        (500, &[], r#"{"error":{"code":500,"message":"no"}}"#, Again),
        (503, &[], "<html></html>", Again),
        (200, &[], r#"{"data":{"metrics":[]},"pagination":{}}"#, Page),
    ];
    check(&reddit(), rows);
}
