//! Every code of `platforms/meta.md`.

use super::bench::Means::{Again, Fail, Page, SignIn, Skip, Split};
use super::bench::*;
use crate::pipeline::Fault::{Config, Platform, Us};
use crate::pipeline::ResponseRule;
use crate::pipeline::Scope::{Account, App};

const CODE: &str = "error.code";
const SUBCODE: &str = "error.error_subcode";

/// The order decides: subcodes before codes, what is certain before what `is_transient` says.
fn rules() -> Vec<ResponseRule> {
    vec![
        when().any_of(SUBCODE, &["1504038", "1504018", "1487534"]).split(),
        when().holds("error.message", "reduce the amount of data").split(),
        when().any_of(SUBCODE, &["1504041", "1504042"]).fail(Us),
        when().any_of(SUBCODE, &["1504043"]).again(),
        when().any_of(CODE, &["4", "32"]).throttled(App, vec![]),
        when().any_of(CODE, &["17", "613"]).throttled(Account, vec![]),
        when().between(CODE, 80_000, 80_014).throttled(Account, vec![]),
        when().any_of(CODE, &["341", "368"]).throttled(App, vec![steps(&[3600])]),
        when().any_of(SUBCODE, &["458", "460", "467"]).fail(Config),
        when().any_of(CODE, &["102", "190"]).sign_in(),
        when().any_of(CODE, &["10"]).skip(),
        when().between(CODE, 200, 299).skip(),
        when().any_of(SUBCODE, &["33"]).skip(),
        when().any_of(CODE, &["100", "3018"]).fail(Us),
        when().any_of(CODE, &["-2", "104", "960"]).again(),
        when().any_of("error.is_transient", &["false"]).fail(Platform),
        when().any_of(CODE, &["1", "2"]).again(),
        when().any_of("error.is_transient", &["true"]).again(),
        when().present("error").fail(Platform),
        when().status(&[200]).holds("*.body", "\"code\":80000,").throttled(Account, vec![]),
    ]
}

fn error(code: i64, subcode: Option<i64>) -> String {
    let subcode = subcode.map(|subcode| format!(r#","error_subcode":{subcode}"#)).unwrap_or_default();
    format!(
        r#"{{"error":{{"message":"(#{code}) no","type":"OAuthException","code":{code}{subcode},"fbtrace_id":"A"}}}}"#
    )
}

/// The status is not the key: 400 is usual, 403, 500 and even 200 are seen.
fn check_all(code: i64, subcode: Option<i64>, expected: Means) {
    let body = error(code, subcode);
    for status in [200, 400, 403, 500] {
        check(&rules(), &[(status, &[], &body, expected.clone())]);
    }
}

#[test]
fn limits() {
    for subcode in [None, Some(1_504_022), Some(1_504_039)] {
        check_all(4, subcode, refused(App));
    }
    check_all(17, None, refused(Account));
    check_all(17, Some(2_446_079), refused(Account));
    check_all(32, None, refused(App));
    check_all(613, None, refused(Account));
    check_all(613, Some(1_487_742), refused(Account));
    for code in 80_000..=80_014 {
        check_all(code, None, refused(Account));
        check_all(code, Some(2_446_079), refused(Account));
    }
    check_all(79_999, None, Fail(Some(Platform)));
    check_all(80_015, None, Fail(Some(Platform)));
    check_all(341, None, wait(App, 3600));
    check_all(368, None, wait(App, 3600));
    let batch = r#"[{"code":400,"body":"{\"error\":{\"message\":\"(#80000) too many\",\"code\":80000,\"fbtrace_id\":\"A\"}}"},null]"#;
    check(&rules(), &[(200, &[], batch, refused(Account))]);
}

#[test]
fn too_much_at_once() {
    check_all(2, Some(1_504_038), Split);
    check_all(100, Some(1_504_018), Split);
    check_all(100, Some(1_487_534), Split);
    let large = r#"{"error":{"code":1,"message":"Please reduce the amount of data you're asking for, then retry"}}"#;
    check(&rules(), &[(500, &[], large, Split)]);
}

#[test]
fn what_passes() {
    check_all(1, None, Again);
    check_all(1, Some(99), Again);
    check_all(2, None, Again);
    check_all(2, Some(1_504_043), Again);
    check_all(-2, Some(2_490_547), Again);
    check_all(960, None, Again);
    check_all(104, None, Again);
    let unknown = r#"{"error":{"code":1,"message":"An unknown error occurred"}}"#;
    let passing = r#"{"error":{"code":2,"message":"Service temporarily unavailable","is_transient":true}}"#;
    let other = r#"{"error":{"code":5,"message":"x","is_transient":true}}"#;
    let rows: &[Row<'_>] = &[
        (500, &[], unknown, Again),
        (400, &[], passing, Again),
        (400, &[], other, Again),
        (502, &[], "<html>bad gateway</html>", Again),
        (200, &[], r#"{"data":[]}"#, Page),
        (200, &[], r#"[{"code":200,"body":"{\"data\":[]}"},null]"#, Page),
    ];
    check(&rules(), rows);
}

#[test]
fn what_does_not_pass() {
    check_all(2, Some(1_504_041), Fail(Some(Us)));
    check_all(2, Some(1_504_042), Fail(Some(Us)));
    check_all(100, None, Fail(Some(Us)));
    check_all(100, Some(33), Skip);
    check_all(3018, None, Fail(Some(Us)));
    check_all(190, None, SignIn);
    check_all(190, Some(463), SignIn);
    check_all(102, None, SignIn);
    for subcode in [458, 460, 467] {
        check_all(190, Some(subcode), Fail(Some(Config)));
    }
    check_all(10, None, Skip);
    for code in 200..=299 {
        check_all(code, None, Skip);
    }
    let certain = r#"{"error":{"code":1,"error_subcode":2853001,"message":"no","is_transient":false}}"#;
    let gone = r#"{"error":{"code":100,"message":"The ids query parameter is deprecated in v26.0+"}}"#;
    check(&rules(), &[(500, &[], certain, Fail(Some(Platform))), (500, &[], gone, Fail(Some(Us)))]);
}
