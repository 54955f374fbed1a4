//! Every status and code of `platforms/linkedin.md` and `platforms/x.md`.

use super::bench::Means::{Again, Fail, Page, SignIn, Skip, Split};
use super::bench::*;
use crate::pipeline::Fault::{Config, Us};
use crate::pipeline::Scope::{Account, App, Endpoint};
use crate::pipeline::{ResponseRule, WaitSource, WaitUnit};

fn linkedin() -> Vec<ResponseRule> {
    vec![
        when().status(&[429]).holds("message", "DAY limit").throttled(App, vec![WaitSource::Midnight(chrono_tz::UTC)]),
        when().status(&[429]).throttled(Endpoint, vec![steps(&[300])]),
        when().status(&[403, 426]).fail(Config),
        when().status(&[404]).skip(),
        when().status(&[400, 411, 414]).fail(Us),
    ]
}

#[test]
fn linkedin_answers() {
    let day = |who: &str| {
        let message = format!("Resource level throttle {who} DAY limit for calls to this resource is reached.");
        format!(r#"{{"status":429,"serviceErrorCode":101,"message":"{message}"}}"#)
    };
    let body = |status: u16, code: &str| format!(r#"{{"status":{status},"code":"{code}","message":"no"}}"#);
    let rows: &[Row<'_>] = &[
        (400, &[], &body(400, "ILLEGAL_ARGUMENT"), Fail(Some(Us))),
        (401, &[], r#"{"status":401,"serviceErrorCode":65601,"message":"Expired access token"}"#, SignIn),
        (403, &[], &body(403, "ACCESS_DENIED"), Fail(Some(Config))),
        (404, &[], &body(404, "NOT_FOUND"), Skip),
        (411, &[], "", Fail(Some(Us))),
        (414, &[], "<html>URI too long</html>", Fail(Some(Us))),
        (426, &[], &body(426, "NONEXISTENT_VERSION"), Fail(Some(Config))),
        (400, &[], &body(400, "VERSION_MISSING"), Fail(Some(Us))),
        // Ten in the morning: fourteen hours to midnight, by the platform's clock where it tells.
        (429, &[], &day("APPLICATION"), wait(App, 14 * 3600)),
        (429, &[("date", "Fri, 20 Nov 2026 23:59:50 GMT")], &day("MEMBER"), wait(App, 10)),
        (429, &[], r#"{"status":429,"message":"throttled"}"#, wait(Endpoint, 300)),
        (500, &[], "", Again),
        (504, &[], "", Again),
        (200, &[], r#"{"elements":[],"paging":{"start":0,"count":10,"links":[]}}"#, Page),
    ];
    check(&linkedin(), rows);
}

fn x() -> Vec<ResponseRule> {
    let code = "errors.*.code";
    vec![
        when()
            .status(&[429])
            .header("x-account-rate-limit-reset", None)
            .throttled(Account, vec![in_header("x-account-rate-limit-reset", WaitUnit::Epoch)]),
        when().status(&[429]).throttled(App, vec![in_header("x-rate-limit-reset", WaitUnit::Epoch)]),
        when().any_of(code, &["REQUEST_TOO_COMPLEX"]).split(),
        when().status(&[400]).fail(Us),
        when().status(&[401]).fail(Config),
        when().status(&[403]).skip(),
        when().status(&[423]).again(),
    ]
}

#[test]
fn x_answers() {
    let error =
        |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}],"request":{{"params":{{}}}}}}"#);
    let mut table: Vec<(u16, String, Means)> = Vec::new();
    for code in ["INVALID_PARAMETER", "MISSING_PARAMETER", "INVALID_TIME_WINDOW", "EXCLUSIVE_PARAMETERS"] {
        table.push((400, error(code), Fail(Some(Us))));
    }
    table.push((400, error("REQUEST_TOO_COMPLEX"), Split));
    table.push((401, error("UNAUTHORIZED_ACCESS"), Fail(Some(Config))));
    for code in ["ACCOUNT_NOT_FOUND", "UNAUTHORIZED_CLIENT_APPLICATION", "ACCOUNT_LOCKED_OUT"] {
        table.push((403, error(code), Skip));
    }
    for code in ["NOT_FOUND", "CAMPAIGN_NOT_FOUND", "ROUTE_NOT_FOUND"] {
        table.push((404, error(code), Fail(None)));
    }
    table.push((404, "<html>not found</html>".to_owned(), Fail(None)));
    table.push((408, error("CANCELLED_REQUEST"), Again));
    table.push((423, error("LOCK_ACQUISITION_TIMEOUT"), Again));
    table.push((500, error("INTERNAL_ERROR"), Again));
    table.push((503, error("SERVICE_UNAVAILABLE"), Again));
    table.push((503, error("OVER_CAPACITY"), Again));
    for (status, body, expected) in &table {
        check(&x(), &[(*status, &[], body, expected.clone())]);
    }
    let (limited, busy) = (error("TOO_MANY_REQUESTS"), error("OVER_CAPACITY"));
    // 2026-11-20T10:00:00Z is 1795168800.
    let user = [("x-rate-limit-limit", "250"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1795169700")];
    let both = [
        user[0],
        user[1],
        user[2],
        ("x-account-rate-limit-remaining", "0"),
        ("x-account-rate-limit-reset", "1795168860"),
    ];
    check(
        &x(),
        &[
            (429, &user, &limited, wait(App, 900)),
            (429, &both, &limited, wait(Account, 60)),
            (429, &[("x-rate-limit-reset", "1772373600")], &limited, wait(App, 0)),
            (429, &[], &limited, refused(App)),
            (503, &[("retry-after", "12")], &busy, wait(None, 12)),
            (200, &[], r#"{"data":[],"request":{"params":{}},"next_cursor":null}"#, Page),
        ],
    );
}
