//! What two vendors say of their own requests: every request of the scenarios of these platforms, which the program is held
//! to word by word, passes the vendor's OpenAPI file, served by Prism.

use std::path::Path;

use super::scenario::{Exchange, Scenario, cases};
use super::shipped;
use crate::contract::start_prism;
use crate::sandbox::block_on;

/// A vendor's file, and which requests it is about.
struct Vendor {
    pipeline: &'static str,
    file: &'static str,
    /// What stands before the file's paths in the scenarios.
    prefix: &'static str,
    /// Only requests of this path; all where it is empty.
    path: &'static str,
}

const VENDORS: [Vendor; 3] = [
    Vendor {
        pipeline: "tiktok_ads",
        file: "tiktok/report_integrated_get.yml",
        prefix: "/open_api/v1.3",
        path: "/report/integrated/get/",
    },
    Vendor {
        pipeline: "tiktok_ads",
        file: "tiktok/advertiser_info.yml",
        prefix: "/open_api/v1.3",
        path: "/advertiser/info/",
    },
    Vendor { pipeline: "pinterest_ads", file: "pinterest/openapi-5.23.0.json", prefix: "/v5", path: "" },
];

#[test]
fn requests_fit_the_vendors_own_files() {
    for vendor in &VENDORS {
        let Some((_process, prism)) = start_prism("requests_fit_the_vendors_own_files", vendor.file) else { return };
        let mut wrong = Vec::new();
        let mut asked = 0;
        for exchange in exchanges(vendor) {
            let (status, said) = ask(&prism, vendor, &exchange);
            asked += 1;
            if status >= 400 {
                wrong.push(format!("{} {:?}: {status} {said}", exchange.title(), exchange.query));
            }
        }
        assert!(asked > 2, "{}: only {asked} requests", vendor.file);
        assert!(wrong.is_empty(), "{} refuses\n{}", vendor.file, wrong.join("\n"));
        assert_refusals_are_seen(&prism, vendor);
    }
}

/// A request that is wrong must be refused, or the test above says nothing.
fn assert_refusals_are_seen(prism: &str, vendor: &Vendor) {
    let needed = ["report_type", "advertiser_ids", "start_date"];
    let strip = |mut exchange: Exchange| {
        exchange.query.retain(|(name, _)| !needed.contains(&name.as_str()));
        exchange
    };
    let spoilt = exchanges(vendor)
        .into_iter()
        .find(|exchange| exchange.query.iter().any(|(name, _)| needed.contains(&name.as_str())));
    let (status, said) = ask(prism, vendor, &strip(spoilt.expect("a request with needed parameters")));
    assert!(status >= 400, "{}: {status} {said}", vendor.file);
}

fn exchanges(vendor: &Vendor) -> Vec<Exchange> {
    let fixtures = shipped().into_iter().find(|fixtures| fixtures.name == vendor.pipeline).expect("fixtures");
    let mut all = Vec::new();
    for case in cases(&fixtures) {
        let scenario = Scenario::load(Path::new(&case.file)).expect("a scenario");
        all.extend(scenario.exchange.into_iter().filter(|exchange| {
            let path = exchange.path.strip_prefix(vendor.prefix);
            path.is_some_and(|path| vendor.path.is_empty() || path == vendor.path)
        }));
    }
    all
}

/// Sends the request as the scenario has it; gives the status and what was said.
fn ask(prism: &str, vendor: &Vendor, exchange: &Exchange) -> (u16, String) {
    let path = exchange.path.strip_prefix(vendor.prefix).unwrap_or(&exchange.path);
    let mut url: url::Url = format!("{prism}{path}").parse().expect("a URL");
    url.query_pairs_mut().extend_pairs(exchange.query.iter().filter(|(_, value)| value != "*"));
    if vendor.pipeline == "tiktok_ads" {
        // The file calls the header a parameter of the query.
        let token = exchange.headers.get("access-token").cloned().unwrap_or_default();
        url.query_pairs_mut().append_pair("Access-Token", &token);
    }
    block_on(async {
        let client = reqwest::Client::new();
        let mut request = if exchange.method == "POST" { client.post(url) } else { client.get(url) };
        for (name, value) in exchange.headers.iter().filter(|(_, value)| !value.is_empty()) {
            // Any value that the scenario leaves open will do here.
            request = request.header(name, if value == "*" { "Bearer any" } else { value.as_str() });
        }
        if let Some(form) = &exchange.form {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        if let Some(json) = &exchange.json {
            request = request.header("content-type", "application/json").body(json.to_string());
        }
        let answer = request.send().await.expect("Prism answers");
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap_or_default())
    })
}
