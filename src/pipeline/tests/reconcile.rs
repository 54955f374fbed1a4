//! The coarser report with which the lake is compared.

use std::time::Duration;

use insta::assert_snapshot;

use super::*;

/// The shortest `[reconcile]` that [`SMALL`] can have.
const REPORT: &str = r#"
[reconcile]
date = "day"
[reconcile.request]
path = "/daily"
query = { from = "{from}", to = "{to}", account = "{account}" }
[reconcile.records]
path = "rows"
[reconcile.metrics]
clicks = { from = "clicks" }
"#;

fn place(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a place")
}

fn with(from: &str, to: &str) -> String {
    assert!(REPORT.contains(from), "{from}");
    format!("{SMALL}{}", REPORT.replace(from, to))
}

#[test]
fn the_shortest_report_has_every_default() {
    let pipeline = good(&format!("{SMALL}{REPORT}"), &[]);
    let report = pipeline.reconcile.clone().expect("a report");
    assert_eq!((report.days_per_request, report.settle), (31, Duration::from_secs(3 * 86_400)));
    assert_eq!((report.account.clone(), report.date.clone()), (None, place("day")));
    assert!(matches!(report.pagination.kind, PaginationKind::None));
    assert_eq!((report.request.accounts_per_request, report.request.join), (1, Join::Comma));
    let clicks = Metric {
        column: "clicks".to_owned(),
        from: place("clicks"),
        kind: ColumnKind::Int,
        scale: 0,
        tolerance: Tolerance::default(),
    };
    assert_eq!(report.metrics, [clicks]);
    assert!(good(SMALL, &[]).daily().is_none());

    let daily = pipeline.daily().expect("a report");
    assert_eq!((daily.name.as_str(), daily.request.path.as_str()), ("acme", "/daily"));
    assert_eq!((daily.window.align, daily.window.size), (Align::AccountDay, 31));
    assert!(matches!(daily.hour, HourSource::Date { .. }) && daily.identity.campaign.is_none());
    assert_eq!(daily.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["clicks"]);
}

#[test]
fn every_key_of_a_report() {
    let money = "spend = { type = \"micros\", from = \"s\" }\nrate = { type = \"decimal\", precision = 9, scale = 4, from = \"r\" }";
    let text = SMALL.replace("clicks = {", &format!("{money}\nclicks = {{"));
    let more = r#"clicks = { from = "a.clicks", tolerance = 3 }
spend = { type = "decimal", precision = 18, scale = 2, from = "cost", tolerance = ["0.25%", "1.5"] }
rate = { from = "rate", tolerance = "2%" }"#;
    let report = REPORT.replace("clicks = { from = \"clicks\" }", more);
    let report =
        report.replace("date = \"day\"", "date = \"day\"\naccount = \"id\"\nsettle = \"1d\"\ndays_per_request = 7");
    let checked = good(&format!("{text}{report}"), &[]).reconcile.expect("a report");
    assert_eq!((checked.account, checked.days_per_request), (Some(place("id")), 7));
    let [clicks, spend, rate] = checked.metrics.as_slice() else { panic!("three: {:?}", checked.metrics) };
    assert_eq!(clicks.tolerance, Tolerance { share: None, amount: Some(3) });
    assert_eq!(
        (spend.kind, spend.scale),
        (ColumnKind::Decimal { precision: 18, scale: 2 }, 6),
        "as exact as the lake's"
    );
    assert_eq!(spend.tolerance, Tolerance { share: Some(2_500), amount: Some(1_500_000) });
    assert_eq!((rate.kind, rate.scale), (ColumnKind::Decimal { precision: 9, scale: 4 }, 4), "as the column");
    assert_eq!(rate.tolerance, Tolerance { share: Some(20_000), amount: None });
}

#[test]
fn reports_that_cannot_be() {
    let text = with("clicks = { from = \"clicks\" }", "");
    assert_snapshot!(problems(&text, &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:35: `reconcile.metrics` names nothing to compare: expected a table `[reconcile.metrics.NAME]` for a column
    "#);
    let text = with("to = \"{to}\", account = \"{account}\"", "to = \"{till}\", account = \"{campaigns}\"");
    assert_snapshot!(problems(&text, &[]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:30: `reconcile.request` does not say where its window ends: expected {to} in it, or `reconcile.days_per_request = 1`
    pipelines/acme.toml:32: `reconcile.request.query.to` holds the unknown placeholder {till}: expected one of {account}, {accounts}, {from}, {to}, {time_zone}, {page_size} (did you mean "{to}"?)
    pipelines/acme.toml:32: `reconcile.request.query.account` holds {campaigns}, which cannot stand here: expected one of {account}, {accounts}, {from}, {to}, {time_zone}, {page_size}
    "#);
    let text = with(
        "path = \"/daily\"",
        "path = \"daily\"\naccounts_per_request = 5\ntime = { format = \"date\", zone = \"utc\" }\njson = { a = \"{from}\" }",
    );
    let text = text.replace("date = \"day\"", "date = \"*\"\nsettle = \"3 days\"\ndays_per_request = 0");
    assert_snapshot!(problems(&text, &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:31: `reconcile.days_per_request` is 0: expected 1 to 366
    "#);
    assert_snapshot!(problems(&text, &["reconcile.days_per_request=3"]), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:28: missing key `reconcile.account`: a request has several accounts, so its rows must say whose they are
    pipelines/acme.toml:29: `reconcile.date` is "*": expected one place, as keys joined by dots without `*`
    pipelines/acme.toml:30: `reconcile.settle` is "3 days": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml:33: `reconcile.request.path` is not a path: expected one such as /v1/metrics, without a query (that is `query`)
    pipelines/acme.toml:34: `reconcile.request.accounts_per_request` is 5, but the request names one {account}: expected 1, or {accounts}
    pipelines/acme.toml:35: `reconcile.request.time.zone` is "utc", but days are compared on the account's clock: expected account
    pipelines/acme.toml:36: `reconcile.request.json` is a body, which a GET does not have: expected `method = "POST"`
    "#);
}

#[test]
fn metrics_that_cannot_be_compared() {
    let text = with(
        "clicks = { from = \"clicks\" }",
        r#"click = { from = "clicks" }
campaign_id = { from = "id" }
rate = { from = "rate" }
clicks = { from = "", type = "float", scale = 2, tolerance = "1.5" }"#,
    );
    let text = text.replace("clicks = { type", "rate = { type = \"float\", from = \"r\" }\nclicks = { type");
    assert_snapshot!(problems(&text, &[]), @r#"
    6 problems in `pipelines/acme.toml`
    pipelines/acme.toml:37: `reconcile.metrics.click` is not a declared int, decimal, micros or cents column: expected one of clicks (did you mean "clicks"?)
    pipelines/acme.toml:38: `reconcile.metrics.campaign_id` is not a declared int, decimal, micros or cents column: expected one of clicks
    pipelines/acme.toml:39: `reconcile.metrics.rate` is not a declared int, decimal, micros or cents column: expected one of clicks
    pipelines/acme.toml:40: `reconcile.metrics.clicks.from` is "": expected one place, as keys joined by dots without `*`
    pipelines/acme.toml:40: `reconcile.metrics.clicks.scale` has a meaning only with `type = "decimal"`
    pipelines/acme.toml:40: `reconcile.metrics.clicks.type` has no exact sum: expected int, decimal, micros or cents
    "#);
    let wrong = |tolerance: &str| {
        let metric = format!("clicks = {{ from = \"clicks\", tolerance = {tolerance} }}");
        let said = problems(&with("clicks = { from = \"clicks\" }", &metric), &[]);
        said.lines().nth(1).expect("one problem").split_once("tolerance` ").expect("about it").1.to_owned()
    };
    let all = ["\"1.5\"", "\"0.00001%\"", "\"-1%\"", "\"%\"", "[\"1%\", \"2%\"]", "[1, 2]", "true"];
    let all: Vec<String> = all.into_iter().map(wrong).collect();
    assert_snapshot!(all.join("\n"), @r#"
    is "1.5": expected a share such as 0.5% or an amount such as 2, with at most 0 digits after the point
    is "0.00001%": expected a share such as 0.5%, with at most 4 digits after the point
    is "-1%": expected a share such as 0.5%, with at most 4 digits after the point
    is "%": expected a share such as 0.5%, with at most 4 digits after the point
    holds "2%" besides another: expected one share, one amount, or both
    holds "2" besides another: expected one share, one amount, or both
    is "true": expected a share such as 0.5% or an amount such as 2, with at most 0 digits after the point
    "#);
}
