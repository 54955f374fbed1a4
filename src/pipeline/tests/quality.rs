//! Quality rules: what they may be about, and what they mean.

use std::sync::Arc;

use insta::assert_snapshot;

use super::*;

/// [`SMALL`] with more columns and `rules`.
fn with_rules(rules: &str) -> String {
    format!(
        "{SMALL}spend = {{ type = \"micros\", from = \"spend\" }}\n\
         rate = {{ type = \"decimal\", precision = 6, scale = 2, from = \"rate\" }}\n\
         share = {{ type = \"float\", from = \"share\" }}\nplace = {{ type = \"text\", from = \"place\" }}\n\
         at = {{ type = \"timestamp\", from = \"at\" }}\n{rules}"
    )
}

#[test]
fn limits_are_those_that_were_written() {
    let text = with_rules(
        "[quality]\nmax_reject_share = 0.25\n[quality.columns]\nclicks = { not_null = true, min = 0, not_falling = true }\n\
         spend = { min = -0.1, max = \"100000000000.000001\" }\nrate = { max = 12.5 }\nshare = { max = 0.1 }\n\
         place = { not_null = true }\nat = { min = \"2020-01-01T00:00:00Z\", not_falling = true }\n",
    );
    let quality = good(&text, &[]).quality;
    assert_eq!(quality.max_reject_share, 0.25);
    assert_eq!(quality.not_falling, Arc::from(["clicks", "at"].map(str::to_owned)));
    let limit = |limit: &Option<Limit>| limit.as_ref().map_or("-".to_owned(), |limit| format!("{:?}", limit.value));
    let rows: Vec<String> = quality
        .rows
        .iter()
        .map(|rule| format!("{} {} {} {}", rule.column, rule.not_null, limit(&rule.min), limit(&rule.max)))
        .collect();
    assert_snapshot!(rows.join("\n"), @r"
    clicks true Int(0) -
    spend false Decimal(-100000) Decimal(100000000000000001)
    rate false - Decimal(1250)
    share false - Float(0.1)
    place true - -
    at false Moment(2020-01-01T00:00:00Z) -
    ");
    assert_eq!(good(SMALL, &[]).quality, Quality::default());
}

#[test]
fn rules_that_cannot_be_kept() {
    let text = with_rules(
        "[quality.columns]\nclick = { not_null = true }\ncampaign_id = { not_null = true }\n\
         clicks = { min = 0.5, max = \"many\" }\nplace = { min = 1, not_falling = true }\nrate = { min = 3, max = 2.99 }\n\
         spend = { max = \"0.0000001\" }\nat = { min = \"yesterday\" }\nshare = { not_null = false }\n",
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    10 problems in `pipelines/acme.toml`
    pipelines/acme.toml:33: `quality.columns.click` is not a declared column: expected one of clicks, spend, rate, share, place, at (did you mean "clicks"?)
    pipelines/acme.toml:34: `quality.columns.campaign_id` is not a declared column: expected one of clicks, spend, rate, share, place, at
    pipelines/acme.toml:35: `quality.columns.clicks.min` is "0.5": expected a 64-bit integer
    pipelines/acme.toml:35: `quality.columns.clicks.max` is "many": expected a 64-bit integer
    pipelines/acme.toml:36: `quality.columns.place.min` cannot be chosen for this column: expected a column of type int, decimal, micros, float or timestamp
    pipelines/acme.toml:36: `quality.columns.place.not_falling` cannot be chosen for this column: expected a column of type int, decimal, micros, float or timestamp
    pipelines/acme.toml:37: `quality.columns.rate.min` is 3: expected at most `max`, 2.99
    pipelines/acme.toml:38: `quality.columns.spend.max` is "0.0000001": expected a number of 18 digits, 6 of them after the point
    pipelines/acme.toml:39: `quality.columns.at.min` is "yesterday": expected an RFC 3339 moment or unix seconds
    pipelines/acme.toml:40: `quality.columns.share` has no rule: expected `not_null`, `min`, `max` or `not_falling`
    "#);
    let text = with_rules("[quality.columns]\nclicks = { not_falling = true }\n");
    assert_snapshot!(problems(&format!("key = [\"clicks\"]\n{text}"), &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:34: `quality.columns.clicks.not_falling` cannot be chosen for this column: it belongs to the key, and a key does not fall
    ");
}

#[test]
fn rules_of_a_wrong_shape() {
    let text = with_rules(
        "[quality]\nmax_reject_share = 1.5\n[quality.columns]\nclicks = { not_null = 1, even = true, max = [1] }\n\
         at = { min = 2020-01-01 }\n",
    );
    assert_snapshot!(problems(&text, &["quality.columns.spend.min=nan", "quality.columns.spend.max=true"]), @r"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:33: `quality.max_reject_share` is 1.5: expected 0 to 1
    pipelines/acme.toml:35: `quality.columns.clicks.not_null` is 1: expected true or false
    pipelines/acme.toml:35: unknown key `quality.columns.clicks.even`: expected one of not_null, min, max, not_falling
    pipelines/acme.toml:35: `quality.columns.clicks.max` is a list: expected a text in quotes or a number
    pipelines/acme.toml:36: `quality.columns.at.min` is the date 2020-01-01: expected a text in quotes or a number
    pipelines/acme.toml: --set: `quality.columns.spend.min` is not a finite number
    pipelines/acme.toml: --set: `quality.columns.spend.max` is true: expected a text in quotes or a number
    ");
}
