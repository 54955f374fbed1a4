//! Where answers tell how much of the limits is used.

use insta::assert_snapshot;

use super::quotas::{read, wrong};
use super::*;

fn usage(more: &str) -> Vec<UsageRule> {
    read(more).unwrap_or_else(|error| panic!("{error}")).usage
}

fn place(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a place")
}

#[test]
fn where_use_is_told() {
    let found = usage(
        r#"[[quotas]]
name = "app"
requests = 10
per = "1s"
[[quotas]]
shared = "agency"
[[usage]]
kind = "headers"
quota = "app"
limit = "X-RateLimit-Limit"
remaining = "X-RateLimit-Remaining"
reset = "X-RateLimit-Reset"
reset_as = "epoch"
[[usage]]
kind = "headers"
reset = "Reset"
[[usage]]
kind = "ratelimit"
scope = "endpoint"
[[usage]]
kind = "ratelimit"
header = "X-RateLimit"
policy = "daily"
[[usage]]
kind = "json"
scope = "account"
quota = "agency"
header = "X-Business-Use-Case-Usage"
percent = ["*.*.call_count", "act_{account}.total"]
wait = "*.*.estimated_time_to_regain_access"
wait_as = "minutes"
[[usage]]
kind = "json"
header = "X-App-Usage"
percent = ["call_count"]
"#,
    );
    let rule = |scope: Scope, quota: Option<&str>, source: UsageSource| UsageRule {
        scope,
        quota: quota.map(str::to_owned),
        source,
    };
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        rule(
            Scope::App,
            Some("app"),
            UsageSource::Headers {
                limit: text("X-RateLimit-Limit"),
                remaining: text("X-RateLimit-Remaining"),
                reset: Some(("X-RateLimit-Reset".to_owned(), WaitUnit::Epoch)),
            },
        ),
        rule(
            Scope::App,
            None,
            UsageSource::Headers { limit: None, remaining: None, reset: Some(("Reset".to_owned(), WaitUnit::Auto)) },
        ),
        rule(Scope::Endpoint, None, UsageSource::RateLimit { header: "RateLimit".to_owned(), policy: None }),
        rule(Scope::App, None, UsageSource::RateLimit { header: "X-RateLimit".to_owned(), policy: text("daily") }),
        rule(
            Scope::Account,
            Some("agency"),
            UsageSource::Json {
                header: "X-Business-Use-Case-Usage".to_owned(),
                percent: vec![place("*.*.call_count"), place("act_{account}.total")],
                wait: Some((place("*.*.estimated_time_to_regain_access"), WaitUnit::Minutes)),
            },
        ),
        rule(
            Scope::App,
            None,
            UsageSource::Json { header: "X-App-Usage".to_owned(), percent: vec![place("call_count")], wait: None },
        ),
    ];
    assert_eq!(found, expected);
    assert!(usage("").is_empty());
}

#[test]
fn how_a_wait_is_written() {
    let words = [
        ("auto", WaitUnit::Auto),
        ("milliseconds", WaitUnit::Milliseconds),
        ("seconds", WaitUnit::Seconds),
        ("minutes", WaitUnit::Minutes),
        ("epoch", WaitUnit::Epoch),
        ("date", WaitUnit::Date),
    ];
    for (word, unit) in words {
        let text = format!("[[usage]]\nkind = \"headers\"\nreset = \"X\"\nreset_as = \"{word}\"\n");
        let source = UsageSource::Headers { limit: None, remaining: None, reset: Some(("X".to_owned(), unit)) };
        assert_eq!(usage(&text)[0].source, source);
    }
}

#[test]
fn mistakes_in_usage() {
    assert_snapshot!(wrong(r#"[[quotas]]
name = "app"
requests = 10
per = "1s"
[[quotas]]
shared = "agency"
[[usage]]
kind = "headers"
[[usage]]
kind = "headers"
limit = "X Limit"
remaining = ""
reset_as = "epoch"
[[usage]]
kind = "ratelimit"
header = "Rate:Limit"
quota = "agency"
[[usage]]
kind = "json"
header = "X-Usage"
quota = "ap"
wait_as = "minutes"
[[usage]]
kind = "json"
scope = "account"
quota = "agncy"
header = "Ü"
percent = ["a..b", "{acount}.x", "{account}.x"]
wait = "{from}"
[[usage]]
kind = "ratelimit"
scope = "endpoint"
quota = "metrics"
"#), @r#"
    15 problems in `pipelines/acme.toml`
    pipelines/acme.toml:34: `usage.0` tells nothing: expected `limit`, `remaining` or `reset`
    pipelines/acme.toml:38: `usage.1.limit` is not a header's name: expected letters, digits and dashes
    pipelines/acme.toml:39: `usage.1.remaining` is not a header's name: expected letters, digits and dashes
    pipelines/acme.toml:40: `usage.1.reset_as` says how `reset` is written: expected `reset` beside it
    pipelines/acme.toml:43: `usage.2.header` is not a header's name: expected letters, digits and dashes
    pipelines/acme.toml:44: `usage.2.quota` is "agency", which is counted by account: expected `scope` to say so
    pipelines/acme.toml:45: `usage.3` tells nothing: expected `percent` or `wait`
    pipelines/acme.toml:48: `usage.3.quota` is "ap": no quota by app has this name, expected one of app (did you mean "app"?)
    pipelines/acme.toml:49: `usage.3.wait_as` says how `wait` is written: expected `wait` beside it
    pipelines/acme.toml:53: `usage.4.quota` is "agncy": no quota by account has this name, expected one of agency (did you mean "agency"?)
    pipelines/acme.toml:54: `usage.4.header` is not a header's name: expected letters, digits and dashes
    pipelines/acme.toml:55: `usage.4.percent.0` is "a..b": expected keys joined by dots such as data.items
    pipelines/acme.toml:55: `usage.4.percent.1` is "{acount}.x": expected no other placeholder than {account}
    pipelines/acme.toml:56: `usage.4.wait` is "{from}": expected no other placeholder than {account}
    pipelines/acme.toml:60: `usage.5.quota` is "metrics": there is no quota with `scope = "endpoint"`
    "#);
    assert_snapshot!(wrong(r#"[[usage]]
kind = "header"
[[usage]]
kind = "json"
percent = "a"
reset = "b"
wait_as = "hours"
[[usage]]
scope = "app"
"#), @r#"
    6 problems in `pipelines/acme.toml`
    pipelines/acme.toml:29: `usage.0.kind` is "header": expected one of headers, ratelimit, json (did you mean "headers"?)
    pipelines/acme.toml:30: missing key `usage.1.header`: expected a text in quotes
    pipelines/acme.toml:32: `usage.1.percent` is "a": expected a list
    pipelines/acme.toml:33: unknown key `usage.1.reset` with kind "json": expected one of kind, scope, quota, header, percent, wait, wait_as
    pipelines/acme.toml:34: `usage.1.wait_as` is "hours": expected one of auto, milliseconds, seconds, minutes, epoch, date
    pipelines/acme.toml:35: missing key `usage.2.kind`: expected one of headers, ratelimit, json
    "#);
}

/// Usage is not said to name a quota that is missing where the quotas themselves are broken.
#[test]
fn usage_is_judged_by_quotas_that_can_be_read() {
    let text = "[[quotas]]\nname = 5\n[[usage]]\nkind = \"ratelimit\"\nquota = \"app\"\n";
    let said = wrong(text);
    assert!(said.contains("`quotas.0.name` is 5") && !said.contains("usage"), "{said}");
    // A quota that only means nothing still has its name.
    let text =
        "[[quotas]]\nname = \"app\"\nrequests = 5\nper = \"2d\"\n[[usage]]\nkind = \"ratelimit\"\nquota = \"app\"\n";
    let said = wrong(text);
    assert!(said.starts_with("1 problem in") && said.contains("expected 1s to 1d"), "{said}");
}

#[test]
fn a_star_is_every_element_and_every_value() {
    let document = serde_json::json!({
        "1": [{ "call_count": 28, "kind": { "a": 1, "b": 2 } }, { "call_count": 5 }],
        "2": { "x": { "call_count": 90 }, "y": 4 },
        "3": 7,
    });
    let found = |text: &str| place(text).values_in(&document).into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(found("*.*.call_count"), [28, 5, 90].map(serde_json::Value::from));
    assert_eq!(found("1.*.kind.*"), [1, 2].map(serde_json::Value::from));
    assert_eq!(found("3.*"), Vec::<serde_json::Value>::new());
    assert_eq!(found("").len(), 1);
    assert_eq!(found("*").len(), 3);
}
