//! Several requests in one.

use serde_json::{Value, json};

use super::fill::Values;
use super::{Origin, Parameter, Request, RequestBody, headers, method_word};
use crate::error::{Error, Result};
use crate::pipeline::{Batch, Join, Pipeline, TimeFormat, TimeText, ZoneRule};

/// The one request that holds all of `requests`: a form with the array of their methods and of their URLs relative to the
/// base URL.
///
/// # Errors
/// A URL that is none.
pub fn batch_request(pipeline: &Pipeline, batch: &Batch, requests: &[Request]) -> Result<Request> {
    let values = Values {
        accounts: &[],
        campaigns: &[],
        parents: &[],
        window: None,
        report: "",
        time: TimeText { format: TimeFormat::Date, zone: ZoneRule::Utc, end_inclusive: false },
        page_size: 0,
        join: Join::Comma,
    };
    let mut items = Vec::new();
    for request in requests {
        items.push(json!({
            "method": method_word(request.method),
            "relative_url": relative(pipeline, request)?,
        }));
    }
    // Pages are asked for by what the platform gave: not for people.
    let value = Value::Array(items).to_string();
    let body = RequestBody::Form(vec![Parameter { name: batch.param.clone(), value, origin: Origin::Platform }]);
    Ok(Request {
        method: crate::pipeline::Method::Post,
        url: values.url(&pipeline.api.base_url, &batch.path)?,
        query: Vec::new(),
        headers: headers(&pipeline.api, &values, &body),
        body,
        signed: true,
    })
}

/// Path and query behind the base URL, without a slash before them.
fn relative(pipeline: &Pipeline, request: &Request) -> Result<String> {
    let url = request.full_url();
    let base = pipeline.api.base_url.path().trim_end_matches('/');
    let Some(path) = url.path().strip_prefix(base) else {
        return Err(Error::internal("a request of a batch leads elsewhere than to the base URL"));
    };
    let path = path.trim_start_matches('/');
    Ok(match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{account, pipeline, texts, window};
    use super::*;
    use crate::page::{PageAt, PageCursor};
    use crate::request::metrics_request;

    #[test]
    fn a_batch_holds_relative_urls() {
        let mut pipeline = pipeline("https://api.test/v7");
        pipeline.request.path = "/act_{account}/rows".into();
        pipeline.request.query = texts(&[("from", "{from}"), ("only", r#"["a b"]"#)]);
        let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
        let token = PageAt::Token { param: "after".into(), token: "t0ken".into() };
        let pages = [PageCursor::first(&pipeline.pagination), PageCursor { number: 2, at: token, size: None }];
        let requests: Vec<Request> = ["1", "2"]
            .iter()
            .zip(&pages)
            .map(|(id, page)| metrics_request(&pipeline, &[account(id, "UTC")], window, None, page).expect("a request"))
            .collect();
        let batch = Batch { path: "/".into(), size: 50, param: "batch".into() };
        let request = batch_request(&pipeline, &batch, &requests).expect("a request");
        assert_eq!(request.url.as_str(), "https://api.test/v7/");
        let RequestBody::Form(fields) = &request.body else { panic!("a form") };
        let sent: Value = serde_json::from_str(&fields[0].value).expect("JSON");
        let query = "from=2026-11-20T08%3A00%3A00Z&only=%5B%22a+b%22%5D";
        assert_eq!(
            sent,
            json!([
                {"method": "GET", "relative_url": format!("act_1/rows?{query}")},
                {"method": "GET", "relative_url": format!("act_2/rows?{query}&after=t0ken")},
            ])
        );
        assert!(!request.to_string().contains("t0ken"), "{request}");
    }
}
