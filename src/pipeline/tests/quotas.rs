//! Quotas, shared ones among them.

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
pub(super) fn read(more: &str) -> Result<Pipeline, String> {
    parse("pipelines/acme.toml", &format!("{SMALL}\n{more}"), &[], &shared()).map_err(|error| error.report())
}

fn quotas(more: &str) -> Vec<Quota> {
    read(more).unwrap_or_else(|error| panic!("{error}")).quotas
}

/// What is said about [`SMALL`] with `more`, which must be wrong.
pub(super) fn wrong(more: &str) -> String {
    read(more).expect_err("the file is wrong")
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
    let text = "[[quotas]]\nname = \"a\"\nrequests = 200\nper = \"10s\"\n[[quotas]]\nname = \"b\"\nrequests = 200\nper = \"11s\"\n";
    assert_eq!(quotas(text), [quota("a", 10, 1), quota("b", 11, 200)]);
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
    assert_eq!(quotas("[[quotas]]\nshared = \"agency\"\n"), std::slice::from_ref(&agency));
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
"#), @r#"
    11 problems in `pipelines/acme.toml`
    pipelines/acme.toml:28: missing key `quotas.0.name`: expected a text in quotes, or `shared` instead of `name`, `requests` and `per`
    pipelines/acme.toml:28: missing key `quotas.0.requests`: expected an integer
    pipelines/acme.toml:28: missing key `quotas.0.per`: expected a text in quotes
    pipelines/acme.toml:30: `quotas.1.name` is "My Quota": expected lower-case letters, digits and underscores, a letter first, 63 at most
    pipelines/acme.toml:32: `quotas.1.per` is "7h": expected a part of a day such as 1s, 15m or 6h, because `window` is "fixed"
    pipelines/acme.toml:34: `quotas.1.zone` is "Asia/Kalkutta": expected an IANA time zone such as Europe/Berlin (did you mean "Asia/Calcutta"?)
    pipelines/acme.toml:38: `quotas.2.per` is "500ms": expected 1s to 1d
    pipelines/acme.toml:39: `quotas.2.zone` has a meaning only with `window = "fixed"`
    pipelines/acme.toml:40: `quotas.2.endpoints` is empty, so that nothing counts: expected kinds of requests, or no such key for all
    pipelines/acme.toml:46: `quotas.3.weights.create` is 6: expected at most 5, `requests` times `safety`, or no such request can go
    pipelines/acme.toml:52: `quotas.4.endpoints.2` is "poll" a second time: expected each kind once
    "#);
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
"#), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:32: `quotas.0.endpoints.0` is "metric": expected one of accounts, campaigns, metrics, create, poll, download (did you mean "metrics"?)
    pipelines/acme.toml:33: unknown key `quotas.0.weights.crate`: expected one of accounts, campaigns, metrics, create, poll, download (did you mean "create"?)
    pipelines/acme.toml:33: `quotas.0.weights.poll` is 0: expected 1 to 1000
    pipelines/acme.toml:34: `quotas.0.window` is "rolling": expected one of sliding, fixed
    pipelines/acme.toml:35: `quotas.0.adapt` is "yes": expected true or false
    pipelines/acme.toml:36: `quotas.0.scope` is "acount": expected one of app, account, endpoint (did you mean "account"?)
    pipelines/acme.toml:37: unknown key `quotas.0.share`: expected one of name, shared, requests, per, scope, endpoints, weights, window, zone, burst, safety, adapt, strict (did you mean "shared"?)
    "#);
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
"#), @r#"
    5 problems in `pipelines/acme.toml`
    pipelines/acme.toml:30: `quotas.0.requests` cannot stand beside `shared`: expected it in `hourmark.toml`, or `endpoints` and `weights` only
    pipelines/acme.toml:31: `quotas.0.window` cannot stand beside `shared`: expected it in `hourmark.toml`, or `endpoints` and `weights` only
    pipelines/acme.toml:33: `quotas.1.shared` is "agncy": `hourmark.toml` has no such quota, expected one of agency, daily (did you mean "agency"?); a table `[quotas.agncy]` there makes it
    pipelines/acme.toml:36: `quotas.2.weights.create` is 21: expected at most 20, `requests` times `safety`, or no such request can go
    pipelines/acme.toml:38: `quotas.3.name` is "daily" a second time: expected another name
    "#);
    // Without any, as where there is no settings file.
    assert_snapshot!(problems(&format!("{SMALL}\n[[quotas]]\nshared = \"agency\"\n"), &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:29: `quotas.0.shared` is "agency": `hourmark.toml` has no quotas; a table `[quotas.agency]` there makes it
    "#);
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
"#), @r#"
    3 problems in `etc/hourmark.toml`
    etc/hourmark.toml:3: `quotas.agency.requests` is "many": expected an integer
    etc/hourmark.toml:5: unknown key `quotas.agency.name`: expected one of requests, per, scope, endpoints, weights, window, zone, burst, safety, adapt, strict
    etc/hourmark.toml:7: unknown key `quotas.b.request`: expected one of requests, per, scope, endpoints, weights, window, zone, burst, safety, adapt, strict (did you mean "requests"?)
    "#);
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
"#), @r#"
    5 problems in `etc/hourmark.toml`
    etc/hourmark.toml:1: `quotas."my app"` is "my app": expected lower-case letters, digits and underscores, a letter first, 63 at most
    etc/hourmark.toml:3: `quotas."my app".per` is "2d": expected 1s to 1d
    etc/hourmark.toml:5: `quotas.b.burst` is 6: expected at most `requests`, 5
    etc/hourmark.toml:7: `quotas.b.per` is "7h": expected a part of a day such as 1s, 15m or 6h, because `window` is "fixed"
    etc/hourmark.toml:12: `quotas.c.weights.poll` is 6: expected at most 5, `requests` times `safety`, or no such request can go
    "#);
    assert_snapshot!(wrong("quotas = 5"), @r#"
    1 problem in `etc/hourmark.toml`
    etc/hourmark.toml:1: `quotas` is 5: expected a table
    "#);
    assert!(SharedQuotas::parse("hourmark.toml", "").expect("no quotas").names().is_empty());
}
