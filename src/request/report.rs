//! Requests about a report that was made.

use url::Url;

use super::fill::Values;
use super::{Request, RequestBody, base, headers, turn_to};
use crate::error::{Error, Result};
use crate::page::{PageCursor, named_by};
use crate::pipeline::{Body, Method, Parameters, Pipeline, Report, ReportRows};
use crate::unit::Account;

/// The question whether the report `report` over `accounts` is done.
///
/// # Errors
/// An id that is empty or cannot stand in a path (`.`, `..`), a URL that is none, or a pipeline without `[report]`.
pub fn poll_request(pipeline: &Pipeline, accounts: &[Account], report: &str) -> Result<Request> {
    let poll = &rules(pipeline)?.poll;
    let template = Template {
        method: poll.method,
        path: &poll.path,
        query: &poll.query,
        body: &poll.body,
        server: poll.server.as_ref(),
    };
    about(pipeline, accounts, report, &template)
}

/// One page of the rows of the report `report` over `accounts`.
///
/// # Errors
/// As [`poll_request`].
pub fn rows_request(pipeline: &Pipeline, accounts: &[Account], report: &str, page: &PageCursor) -> Result<Request> {
    let ReportRows::Endpoint { path, query, server } = &rules(pipeline)?.rows else {
        return Err(Error::internal("the rows of this report are at a URL that the platform gives"));
    };
    let template = Template { method: Method::Get, path, query, body: &Body::None, server: server.as_ref() };
    let mut request = about(pipeline, accounts, report, &template)?;
    turn_to(&mut request, page);
    Ok(request)
}

/// The request for the rows of a report at a URL that the platform gave. It is unsigned.
///
/// # Errors
/// A text that is no URL, or one that leads to neither https nor a server of the pipeline's. It is not repeated: it usually
/// holds a signature.
pub fn download_request(pipeline: &Pipeline, url: &str) -> Result<Request> {
    let refused = |what: &str| Error::platform(format!("the URL of a report's rows {what}"));
    let url = Url::parse(url.trim()).map_err(|_| refused("is none"))?;
    if url.scheme() != "https" && !named_by(&pipeline.api, &url) {
        return Err(refused("is not https").hint("nothing was asked for there"));
    }
    Ok(Request {
        method: Method::Get,
        url,
        query: Vec::new(),
        headers: vec![("accept".to_owned(), "*/*".to_owned())],
        body: RequestBody::None,
        signed: false,
    })
}

/// A request about a report, before its placeholders are filled.
struct Template<'a> {
    method: Method,
    path: &'a str,
    query: &'a Parameters,
    body: &'a Body,
    server: Option<&'a Url>,
}

fn rules(pipeline: &Pipeline) -> Result<&Report> {
    let missing = || Error::internal(format!("the pipeline `{}` has no `[report]` to ask after", pipeline.name));
    pipeline.report.as_ref().ok_or_else(missing)
}

fn about(pipeline: &Pipeline, accounts: &[Account], report: &str, template: &Template<'_>) -> Result<Request> {
    if report.is_empty() {
        return Err(Error::bad_input("the platform gave an empty text as the id of a report")
            .hint("look at `report.id`: it names the place of the id in the answer to the making of a report"));
    }
    let values = Values {
        accounts,
        campaigns: &[],
        parents: &[],
        window: None,
        report,
        time: pipeline.request.time,
        page_size: pipeline.pagination.page_size,
        join: pipeline.request.join,
    };
    let body = values.body(template.body);
    Ok(Request {
        method: template.method,
        url: values.url(base(&pipeline.api, template.server), template.path)?,
        query: values.parameters(template.query.iter()),
        headers: headers(&pipeline.api, &values, &body),
        body,
        signed: true,
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
                method: Method::Get,
                body: Body::None,
                server: None,
                path: "/accounts/{account}/reports/{report}".into(),
                query: texts(&[("fields", "status")]),
                status: path("status"),
                done: vec!["done".into()],
                failed: vec![],
                every: Duration::from_secs(2),
                cap: Duration::from_secs(30),
                patience: Duration::from_secs(3_600),
            },
            rows: ReportRows::Endpoint {
                path: "/reports/{report}/rows".into(),
                query: texts(&[("of", "{account}"), ("id", "{report}")]),
                server: None,
            },
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
