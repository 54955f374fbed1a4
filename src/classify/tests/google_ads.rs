//! Every status and code of `platforms/google_ads.md`.

use super::bench::Means::{Again, Fail, Page, SignIn, Skip, Split};
use super::bench::*;
use crate::pipeline::Fault::{Config, Us};
use crate::pipeline::Scope::{Account, App};
use crate::pipeline::{ResponseRule, WaitUnit};

/// A stream's errors are in an array, the others are not.
fn rules() -> Vec<ResponseRule> {
    let mut rules = Vec::new();
    for root in ["", "*."] {
        let errors = format!("{root}error.details.*.errors.*");
        let code = format!("{errors}.errorCode.*");
        let family = |name: &str| format!("{errors}.errorCode.{name}");
        let quota = format!("{errors}.details.quotaErrorDetails");
        let waits = || {
            vec![
                in_body(&format!("{quota}.retryDelay"), WaitUnit::Auto),
                in_text(&format!("{errors}.message"), "retry in", WaitUnit::Seconds),
            ]
        };
        rules.extend([
            when().any_of(&format!("{quota}.rateScope"), &["DEVELOPER"]).throttled(App, waits()),
            when().any_of(&format!("{quota}.rateScope"), &["ACCOUNT"]).throttled(Account, waits()),
            when().holds(&family("quotaError"), "QUERY_RESOURCE_CONSUMPTION").throttled(Account, waits()),
            when().present(&family("quotaError")).throttled(App, waits()),
            when()
                .any_of(&code, &["OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID", "OAUTH_TOKEN_HEADER_INVALID"])
                .sign_in(),
            when().present(&family("authenticationError")).fail(Config),
            when()
                .any_of(
                    &code,
                    &["USER_PERMISSION_DENIED", "CUSTOMER_NOT_ENABLED", "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT"],
                )
                .skip(),
            when().present(&family("authorizationError")).fail(Config),
            when().any_of(&code, &["UNSUPPORTED_VERSION", "INVALID_LOGIN_CUSTOMER_ID"]).fail(Config),
            when().status(&[400]).present(&format!("{root}error.status")).fail(Us),
            when().status(&[504]).split(),
            when().status(&[200]).present(&format!("{root}error")).again(),
        ]);
    }
    rules
}

/// An error as the platform writes it; `more` follows the message.
fn error(status: &str, family: &str, code: &str, more: &str) -> String {
    let error = format!(r#"{{"errorCode":{{"{family}":"{code}"}},"message":"no"{more}}}"#);
    let details = format!(r#"[{{"@type":"type.example/Failure","errors":[{error}],"requestId":"x"}}]"#);
    format!(r#"{{"error":{{"code":0,"message":"no","status":"{status}","details":{details}}}}}"#)
}

fn quota(code: &str, more: &str) -> String {
    error("RESOURCE_EXHAUSTED", "quotaError", code, more)
}

fn delayed(scope: &str, delay: &str) -> String {
    format!(r#","details":{{"quotaErrorDetails":{{"rateScope":"{scope}","rateName":"n","retryDelay":"{delay}"}}}}"#)
}

/// The same in an array, as a stream has it.
fn check_both(rows: &[(u16, String, Means)]) {
    for (status, body, expected) in rows {
        check(
            &rules(),
            &[(*status, &[], body, expected.clone()), (*status, &[], &format!("[{body}]"), expected.clone())],
        );
    }
}

#[test]
fn limits() {
    let temporarily = "RESOURCE_TEMPORARILY_EXHAUSTED";
    let told = quota("RESOURCE_EXHAUSTED", "")
        .replace(r#""message":"no"}]"#, r#""message":"Too many. Retry in 31240 seconds."}]"#);
    check_both(&[
        (429, quota(temporarily, &delayed("ACCOUNT", "5s")), wait(Account, 5)),
        (429, quota(temporarily, &delayed("DEVELOPER", "1.5s")), Means::Wait(Some(App), Some(ms(1500)))),
        (429, quota("RESOURCE_EXHAUSTED", &delayed("DEVELOPER", "31240s")), wait(App, 31_240)),
        (429, told, wait(App, 31_240)),
        (429, quota(temporarily, ""), refused(App)),
        (429, quota("EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION", ""), refused(Account)),
        (429, quota("EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", &delayed("ACCOUNT", "60s")), wait(Account, 60)),
    ]);
    let bare = r#"{"error":{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}}"#;
    check(&rules(), &[(429, &[], bare, refused(None)), (429, &[("retry-after", "9")], bare, wait(None, 9))]);
}

fn ms(milliseconds: u64) -> std::time::Duration {
    std::time::Duration::from_millis(milliseconds)
}

#[test]
fn errors() {
    let mut rows = vec![
        (500, error("INTERNAL", "internalError", "INTERNAL_ERROR", ""), Again),
        (500, error("INTERNAL", "internalError", "TRANSIENT_ERROR", ""), Again),
        (503, error("UNAVAILABLE", "internalError", "TRANSIENT_ERROR", ""), Again),
        (504, error("DEADLINE_EXCEEDED", "internalError", "DEADLINE_EXCEEDED", ""), Split),
        (401, error("UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_EXPIRED", ""), SignIn),
        (401, error("UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_INVALID", ""), SignIn),
        (401, error("UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_HEADER_INVALID", ""), SignIn),
        (400, error("INVALID_ARGUMENT", "headerError", "INVALID_LOGIN_CUSTOMER_ID", ""), Fail(Some(Config))),
        (400, error("INVALID_ARGUMENT", "requestError", "UNSUPPORTED_VERSION", ""), Fail(Some(Config))),
        (400, error("INVALID_ARGUMENT", "queryError", "UNRECOGNIZED_FIELD", ""), Fail(Some(Us))),
        (400, error("INVALID_ARGUMENT", "dateRangeError", "INVALID_DATE", ""), Fail(Some(Us))),
        // The unit begins anew in the next run: no word makes it begin anew in this one.
        (400, error("INVALID_ARGUMENT", "requestError", "INVALID_PAGE_TOKEN", ""), Fail(Some(Us))),
        (400, error("INVALID_ARGUMENT", "requestError", "EXPIRED_PAGE_TOKEN", ""), Fail(Some(Us))),
        (200, error("INTERNAL", "internalError", "INTERNAL_ERROR", ""), Again),
    ];
    let dead = [
        "OAUTH_TOKEN_REVOKED",
        "OAUTH_TOKEN_DISABLED",
        "GOOGLE_ACCOUNT_DELETED",
        "NOT_ADS_USER",
        "TWO_STEP_VERIFICATION_NOT_ENROLLED",
    ];
    for code in dead {
        rows.push((401, error("UNAUTHENTICATED", "authenticationError", code, ""), Fail(Some(Config))));
    }
    for code in ["USER_PERMISSION_DENIED", "CUSTOMER_NOT_ENABLED", "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT"] {
        rows.push((403, error("PERMISSION_DENIED", "authorizationError", code, ""), Skip));
    }
    let project = [
        "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
        "ACTION_NOT_PERMITTED",
        "PROJECT_DISABLED",
        "DEVELOPER_TOKEN_NOT_APPROVED",
        "DEVELOPER_TOKEN_PROHIBITED",
    ];
    for code in project {
        rows.push((403, error("PERMISSION_DENIED", "authorizationError", code, ""), Fail(Some(Config))));
    }
    check_both(&rows);
    let bare = r#"{"error":{"code":401,"message":"invalid credentials","status":"UNAUTHENTICATED"}}"#;
    check(
        &rules(),
        &[
            (401, &[], bare, SignIn),
            (403, &[], r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#, Fail(None)),
            (200, &[], r#"{"results":[{}],"nextPageToken":"CJXo"}"#, Page),
            (200, &[], r#"[{"results":[{}],"requestId":"x"}]"#, Page),
            (200, &[], "[]", Page),
        ],
    );
}
