//! The format as its users meet it: what is accepted, and what is said about the rest.

use super::*;
use crate::error::ErrorKind;

mod answers;
mod auth;
mod campaigns;
mod lists;
mod meaning;
mod quality;
mod quotas;
mod random;
mod reconcile;
mod rows;
mod schema_file;
mod shape;
mod shipped;
mod usage;

/// A pipeline with nothing in it but what must be there.
const SMALL: &str = r#"platform = "acme"

[api]
base_url = "https://api.example.com/v1/"

[auth]
kind = "bearer"
token = "env:ACME_TOKEN"

[accounts]
list = [{ id = "1", time_zone = "Asia/Kolkata" }]

[request]
path = "/metrics"
query = { account = "{account}", from = "{from}", to = "{to}" }

[records]
path = "data"

[hour]
kind = "instant"
from = "hour"

[columns]
campaign_id = { from = "campaign.id" }
clicks = { type = "int", from = "clicks" }
"#;

/// The checked pipeline `acme` of `text`, which must be right.
fn good(text: &str, settings: &[&str]) -> Pipeline {
    parse("pipelines/acme.toml", text, &overrides(settings), &SharedQuotas::default())
        .unwrap_or_else(|error| panic!("{}", error.report()))
}

/// What is said about `text`, which must be wrong.
fn problems(text: &str, settings: &[&str]) -> String {
    let error = parse("pipelines/acme.toml", text, &overrides(settings), &SharedQuotas::default())
        .expect_err("the file is wrong");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    error.report()
}

fn overrides(settings: &[&str]) -> Vec<Override> {
    settings.iter().map(|text| Override::parse(text).expect("KEY=VALUE")).collect()
}

/// [`SMALL`] with `from` replaced.
fn small_with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replace(from, to)
}
