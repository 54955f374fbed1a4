//! Quotas, shared ones among them, and where answers tell of their use.

use std::time::Duration;

use insta::assert_snapshot;

use super::*;

const SHARED: &str = r#"lake = "elsewhere"

[quotas.agency]
requests = 1000
per = "1h"
scope = "account"
window = "fixed"
zone = "America/New_York"
weights = { metrics = 2 }

[quotas.daily]
requests = 20
per = "1d"
"#;

fn shared() -> SharedQuotas {
    SharedQuotas::parse("hourmark.toml", SHARED).unwrap_or_else(|error| panic!("{}", error.report()))
}

/// [`SMALL`] with `more`, drawing from [`SHARED`].
fn read(more: &str) -> Result<Pipeline, String> {
    parse("pipelines/acme.toml", &format!("{SMALL}\n{more}"), &[], &shared()).map_err(|error| error.report())
}

fn quotas(more: &str) -> Vec<Quota> {
    read(more).unwrap_or_else(|error| panic!("{error}")).quotas
}

fn usage(more: &str) -> Vec<UsageRule> {
    read(more).unwrap_or_else(|error| panic!("{error}")).usage
}

fn wrong(more: &str) -> String {
    read(more).expect_err("the file is wrong")
}

fn place(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a place")
}

#[test]
fn the_shortest_quota_has_every_default() {
    let quota = |name: &str, per: u64, burst: u32| Quota {
        name: name.to_owned(),
        shared: false,
        units: 200,
        per: Duration::from_secs(per),
        counting: Counting::Sliding,
        scope: Scope::App,
        endpoints: Vec::new(),
        weights: Weights::default(),
        burst,
        safety: 1.0,
        adapt: false,
        strict: false,
    };
    let text = "[[quotas]]\nname = \"a\"\nrequests = 200\nper = \"1m\"\n[[quotas]]\nname = \"b\"\nrequests = 200\nper = \"61s\"\n";
    assert_eq!(quotas(text), [quota("a", 60, 1), quota("b", 61, 200)]);
}

#[test]
fn every_key_of_a_quota() {
    let found = quotas(
        r#"[[quotas]]
name = "reports"
requests = 40
per = "6h"
scope = "endpoint"
endpoints = ["create", "poll"]
weights = { create = 20, download = 1000 }
window = "fixed"
zone = "Asia/Kolkata"
burst = 7
safety = 0.5
adapt = true
strict = true
"#,
    );
    let expected = Quota {
        name: "reports".to_owned(),
        shared: false,
        units: 40,
        per: Duration::from_secs(6 * 3_600),
        counting: Counting::Fixed(chrono_tz::Asia::Kolkata),
        scope: Scope::Endpoint,
        endpoints: vec![Endpoint::Create, Endpoint::Poll],
        weights: Weights::default().with(Endpoint::Create, 20).with(Endpoint::Download, 1_000),
        burst: 7,
        safety: 0.5,
        adapt: true,
        strict: true,
    };
    assert_eq!(found, [expected]);
}

#[test]
fn words_of_endpoints_are_those_of_the_checked_ones() {
    for endpoint in Endpoint::ALL {
        let word = endpoint.word();
        let text = format!(
            "[[quotas]]\nname = \"a\"\nrequests = 9\nper = \"1s\"\nendpoints = [\"{word}\"]\nweights = {{ {word} = 9 }}\n"
        );
        let [quota] = quotas(&text).try_into().expect("one quota");
        assert_eq!(quota.endpoints, [endpoint]);
        assert_eq!(quota.weights, Weights::default().with(endpoint, 9));
    }
    for scope in [Scope::App, Scope::Account, Scope::Endpoint] {
        let text = format!("[[quotas]]\nname = \"a\"\nrequests = 9\nper = \"1s\"\nscope = \"{}\"\n", scope.word());
        assert_eq!(quotas(&text)[0].scope, scope);
    }
}

#[test]
fn a_fixed_period_without_a_zone_is_utc() {
    let found = quotas("[[quotas]]\nname = \"a\"\nrequests = 9\nper = \"1d\"\nwindow = \"fixed\"\n");
    assert_eq!(found[0].counting, Counting::Fixed(chrono_tz::UTC));
}

#[test]
fn a_shared_quota_is_the_settings_file_s_with_this_pipeline_s_weights() {
    let agency = Quota {
        name: "agency".to_owned(),
        shared: true,
        units: 1_000,
        per: Duration::from_secs(3_600),
        counting: Counting::Fixed(chrono_tz::America::New_York),
        scope: Scope::Account,
        endpoints: Vec::new(),
        weights: Weights::default().with(Endpoint::Metrics, 2),
        burst: 1_000,
        safety: 1.0,
        adapt: false,
        strict: false,
    };
    assert_eq!(quotas("[[quotas]]\nshared = \"agency\"\n"), [agency.clone()]);
    let mine = Quota {
        endpoints: vec![Endpoint::Metrics],
        weights: Weights::default().with(Endpoint::Create, 5),
        ..agency.clone()
    };
    let text = "[[quotas]]\nshared = \"agency\"\nendpoints = [\"metrics\"]\nweights = { create = 5 }\n";
    assert_eq!(quotas(text), [mine]);
    assert_eq!(shared().get("agency"), Some(&agency));
    assert_eq!(shared().names(), ["agency", "daily"]);
}

#[test]
fn mistakes_in_quotas() {
    assert_snapshot!(wrong(r#"[[quotas]]
[[quotas]]
name = "My Quota"
requests = 10
per = "7h"
window = "fixed"
zone = "Asia/Kalkutta"
[[quotas]]
name = "b"
requests = 10
per = "500ms"
zone = "UTC"
endpoints = []
[[quotas]]
name = "c"
requests = 10
per = "1s"
safety = 0.55
weights = { create = 6, poll = 5 }
[[quotas]]
name = "d"
requests = 10
per = "1s"
safety = 0.01
endpoints = ["poll", "metrics", "poll"]
[[quotas]]
name = "e"
requests = 1
per = "1s"
safety = 0.01
endpoints = ["poll"]
weights = { create = 6 }
"#), @"");
    assert_snapshot!(wrong(r#"[[quotas]]
name = "a"
requests = 1
per = "1s"
endpoints = ["metric"]
weights = { crate = 3, poll = 0 }
window = "rolling"
adapt = "yes"
scope = "acount"
share = "x"
"#), @"");
}

#[test]
fn mistakes_around_shared_quotas() {
    assert_snapshot!(wrong(r#"[[quotas]]
shared = "agency"
requests = 7
window = "fixed"
[[quotas]]
shared = "agncy"
[[quotas]]
shared = "daily"
weights = { create = 21 }
[[quotas]]
name = "daily"
requests = 5
per = "1s"
"#), @"");
    // Without any, as where there is no settings file.
    assert_snapshot!(problems(&format!("{SMALL}\n[[quotas]]\nshared = \"agency\"\n"), &[]), @"");
}

#[test]
fn mistakes_in_the_settings_file() {
    let wrong = |text: &str| SharedQuotas::parse("etc/hourmark.toml", text).expect_err("it is wrong").report();
    assert_snapshot!(wrong(r#"workers = 4
[quotas.agency]
requests = "many"
per = "1h"
name = "agency"
[quotas.b]
request = 5
"#), @"");
    assert_snapshot!(wrong(r#"[quotas."my app"]
requests = 5
per = "2d"
[quotas.b]
burst = 6
requests = 5
per = "7h"
window = "fixed"
[quotas.c]
requests = 5
per = "1s"
weights = { poll = 6 }
"#), @"");
    assert_snapshot!(wrong("quotas = 5"), @"");
    assert!(SharedQuotas::parse("hourmark.toml", "").expect("no quotas").names().is_empty());
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
"#), @"");
    assert_snapshot!(wrong(r#"[[usage]]
kind = "header"
[[usage]]
kind = "json"
percent = "a"
reset = "b"
wait_as = "hours"
[[usage]]
scope = "app"
"#), @"");
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
