//! Requests about a report that was made.

use super::fill::Values;
use super::{Request, RequestBody, headers, turn_to};
use crate::error::{Error, Result};
use crate::page::PageCursor;
use crate::pipeline::{Method, Parameters, Pipeline, Report};
use crate::unit::Account;

/// The question whether the report `report` over `accounts` is done.
///
/// # Errors
/// An id that is empty or cannot stand in a path (`.`, `..`), a URL that is none, or a pipeline without `[report]`.
pub fn poll_request(pipeline: &Pipeline, accounts: &[Account], report: &str) -> Result<Request> {
    let poll = &rules(pipeline)?.poll;
    about(pipeline, accounts, report, &poll.path, &poll.query)
}

/// One page of the rows of the report `report` over `accounts`.
///
/// # Errors
/// As [`poll_request`].
pub fn rows_request(pipeline: &Pipeline, accounts: &[Account], report: &str, page: &PageCursor) -> Result<Request> {
    let rules = rules(pipeline)?;
    let mut request = about(pipeline, accounts, report, &rules.rows_path, &rules.rows_query)?;
    turn_to(&mut request, page);
    Ok(request)
}

fn rules(pipeline: &Pipeline) -> Result<&Report> {
    let missing = || Error::internal(format!("the pipeline `{}` has no `[report]` to ask after", pipeline.name));
    pipeline.report.as_ref().ok_or_else(missing)
}

fn about(pipeline: &Pipeline, accounts: &[Account], report: &str, path: &str, query: &Parameters) -> Result<Request> {
    if report.is_empty() {
        return Err(Error::bad_input("the platform gave an empty text as the id of a report")
            .hint("look at `report.id`: it names the place of the id in the answer to the making of a report"));
    }
    let values = Values {
        accounts,
        campaigns: &[],
        window: None,
        report,
        time: pipeline.request.time,
        page_size: pipeline.pagination.page_size,
        join: pipeline.request.join,
    };
    Ok(Request {
        method: Method::Get,
        url: values.url(&pipeline.api, path)?,
        query: values.parameters(query.iter()),
        headers: headers(&pipeline.api, &RequestBody::None),
        body: RequestBody::None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::tests::{account, path, pipeline, texts, window};
    use super::*;
    use crate::page::PageAt;
    use crate::pipeline::{Body, HeaderText, KeyPlace, Poll};
    use crate::request::metrics_request;

    fn reporting() -> Pipeline {
        let mut pipeline = pipeline("https://api.test/v1");
        pipeline.api.headers = vec![("X-Version".into(), HeaderText::Literal("7".into()))];
        pipeline.request.method = Method::Post;
        pipeline.request.creates = Some(KeyPlace::Header("Idempotency-Key".into()));
        pipeline.request.path = "/reports".into();
        pipeline.request.query = texts(&[]);
        pipeline.request.body = Body::Json(json!({"from": "{from}"}));
        pipeline.pagination.page_size_param = Some("limit".into());
        pipeline.report = Some(Report {
            id: path("report_id"),
            poll: Poll {
                path: "/accounts/{account}/reports/{report}".into(),
                query: texts(&[("fields", "status")]),
                status: path("status"),
                done: vec!["done".into()],
                failed: vec![],
                every: Duration::from_secs(2),
                cap: Duration::from_secs(30),
                patience: Duration::from_secs(3_600),
            },
            rows_path: "/reports/{report}/rows".into(),
            rows_query: texts(&[("of", "{account}"), ("id", "{report}")]),
        });
        pipeline
    }

    #[test]
    fn a_report_is_asked_after() {
        let request = poll_request(&reporting(), &[account("7", "UTC")], "r/1 ö").expect("a request");
        insta::assert_snapshot!(request, @r"
        GET https://api.test/v1/accounts/7/reports/r%2F1%20%C3%B6?fields=status
        accept: application/json
        x-version: 7
        ");
    }

    #[test]
    fn its_rows_are_paged() {
        let pipeline = reporting();
        let ask = |page: &PageCursor| rows_request(&pipeline, &[account("7", "UTC")], "r1", page).expect("a request");
        let first = PageCursor::first(&pipeline.pagination);
        insta::assert_snapshot!(ask(&first), @r"
        GET https://api.test/v1/reports/r1/rows?of=7&id=r1&limit=2
        accept: application/json
        x-version: 7
        ");
        let token = PageAt::Token { param: "after".into(), token: "abc".into() };
        let second = ask(&PageCursor { number: 2, at: token, size: Some(("limit".into(), 2)) });
        assert_eq!(second.full_url().as_str(), "https://api.test/v1/reports/r1/rows?of=7&id=r1&limit=2&after=abc");
        assert_eq!(second.redacted_url(), "https://api.test/v1/reports/r1/rows?of=7&id=r1&limit=2&after=…");
        let link = PageAt::Link("https://api.test/next?c=1".parse().expect("a URL"));
        let linked = ask(&PageCursor { number: 2, at: link, size: None });
        assert_eq!(linked.full_url().as_str(), "https://api.test/next?c=1");
    }

    #[test]
    fn its_making_has_no_pages() {
        let pipeline = reporting();
        let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
        let page = PageCursor::first(&pipeline.pagination);
        let request = metrics_request(&pipeline, &[account("7", "UTC")], window, None, &page).expect("a request");
        insta::assert_snapshot!(request, @r#"
        POST https://api.test/v1/reports
        accept: application/json
        content-type: application/json
        x-version: 7

        {
          "from": "2026-11-20T08:00:00Z"
        }
        "#);
    }

    #[test]
    fn an_id_that_cannot_stand_in_a_path_is_refused() {
        let pipeline = reporting();
        let page = PageCursor::first(&pipeline.pagination);
        for id in ["", ".", ".."] {
            assert!(poll_request(&pipeline, &[account("7", "UTC")], id).is_err(), "{id:?}");
            assert!(rows_request(&pipeline, &[account("7", "UTC")], id, &page).is_err(), "{id:?}");
        }
        let request = poll_request(&pipeline, &[account("7", "UTC")], "../../admin?x=1#").expect("a request");
        assert_eq!(request.url.path(), "/v1/accounts/7/reports/..%2F..%2Fadmin%3Fx%3D1%23");
        let mut plain = pipeline;
        plain.report = None;
        assert!(poll_request(&plain, &[account("7", "UTC")], "r1").is_err());
    }
}
