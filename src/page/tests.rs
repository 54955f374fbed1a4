use super::*;
use crate::request::tests::{pages, path, pipeline};

fn facts(rows: &str, next: Option<&str>) -> PageFacts {
    let fingerprint = (!rows.is_empty()).then(|| xxh3_64(rows.as_bytes()));
    PageFacts { records: rows.len(), fingerprint, next: next.map(str::to_owned), ..PageFacts::default() }
}

fn of_total(rows: &str, total: u64) -> PageFacts {
    PageFacts { total: Some(total), ..facts(rows, None) }
}

/// Feeds the pages and says what follows each; stops at the end or an error.
fn follow(kind: PaginationKind, fed: &[PageFacts]) -> Vec<String> {
    let pipeline = pipeline("https://api.test/v1");
    let pagination = pages(kind);
    let mut pager = Pager::new(&pipeline.api, &pagination);
    let mut asked: Url = "https://api.test/v1/rows?x=1".parse().expect("a URL");
    let mut said = Vec::new();
    for facts in fed {
        match pager.next(facts, &asked, facts.next.as_deref()) {
            Ok(Next::End) => said.push("end".to_owned()),
            Err(error) => said.push(error.to_string()),
            Ok(Next::Page(PageCursor { at, .. })) => {
                said.push(match at {
                    PageAt::Start => "start".to_owned(),
                    PageAt::Token { token, .. } => token,
                    PageAt::Number { number, .. } => number.to_string(),
                    PageAt::Link(url) => {
                        asked = url.clone();
                        url.to_string()
                    }
                });
                continue;
            }
        }
        break;
    }
    said
}

fn cursor() -> PaginationKind {
    PaginationKind::Cursor { next: path("next"), more: None, param: "after".into() }
}

fn link() -> PaginationKind {
    PaginationKind::NextLink { next: path("next") }
}

fn numbered() -> PaginationKind {
    PaginationKind::PageNumber { param: "page".into(), first: 1, total_pages: None }
}

fn offset() -> PaginationKind {
    PaginationKind::Offset { param: "offset".into(), total: None }
}

#[test]
fn one_page_is_one_page() {
    assert_eq!(follow(PaginationKind::None, &[facts("ab", Some("x"))]), ["end"]);
}

#[test]
fn a_cursor_leads_on_until_there_is_none() {
    assert_eq!(follow(cursor(), &[facts("ab", Some("x")), facts("", Some("y")), facts("cd", None)]), ["x", "y", "end"]);
    assert_eq!(follow(cursor(), &[facts("ab", Some(""))]), ["end"], "a full last page without a token is the end");
}

#[test]
fn circles_are_found_at_any_distance() {
    let seen = "leads back to a page that was read before: the platform's paging is a circle";
    assert_eq!(
        follow(cursor(), &[facts("ab", Some("A")), facts("cd", Some("B")), facts("ef", Some("A"))]),
        ["A", "B", &format!("page 3 {seen}")]
    );
    assert_eq!(
        follow(cursor(), &[facts("ab", Some("A")), facts("ab", Some("B"))]),
        ["A", "page 2 repeats page 1: the platform's paging is a circle"]
    );
    assert_eq!(
        follow(link(), &[facts("ab", Some("?p=2")), facts("cd", Some("/v1/rows?x=1"))]),
        ["https://api.test/v1/rows?p=2", &format!("page 2 {seen}")],
        "back to the first request"
    );
}

#[test]
fn empty_pages_are_followed_but_not_for_ever() {
    let pipeline = pipeline("https://api.test");
    let pagination = Pagination { max_pages: 1000, ..pages(cursor()) };
    let asked: Url = "https://api.test/rows".parse().expect("a URL");
    let mut pager = Pager::new(&pipeline.api, &pagination);
    let mut page = |number: usize, rows: &str| pager.next(&facts(rows, Some(&number.to_string())), &asked, None);
    for number in 1..=99 {
        assert!(matches!(page(number, ""), Ok(Next::Page(_))), "{number}");
    }
    assert!(matches!(page(100, "a"), Ok(Next::Page(_))), "a row begins the count anew");
    for number in 101..=199 {
        assert!(matches!(page(number, ""), Ok(Next::Page(_))), "{number}");
    }
    assert_eq!(page(200, ""), Err(PagingError::OnlyEmpty { page: 200 }));
}

#[test]
fn too_many_pages_are_an_error_and_exactly_as_many_are_not() {
    let mut fed: Vec<PageFacts> = (0..9).map(|page| facts(&format!("{page}"), Some(&format!("t{page}")))).collect();
    fed.push(facts("z", None));
    assert_eq!(follow(cursor(), &fed).last().map(String::as_str), Some("end"));
    fed[9] = facts("z", Some("t9"));
    let said = follow(cursor(), &fed);
    assert_eq!(said.last().map(String::as_str), Some(PagingError::TooMany { max: 10 }.to_string().as_str()));
}

#[test]
fn numbers_and_offsets_end_at_a_short_page() {
    assert_eq!(follow(numbered(), &[facts("ab", None), facts("cd", None), facts("e", None)]), ["2", "3", "end"]);
    assert_eq!(follow(numbered(), &[facts("ab", None), facts("", None)]), ["2", "end"]);
    assert_eq!(follow(offset(), &[facts("ab", None), facts("cdef", None), facts("g", None)]), ["2", "6", "end"]);
}

#[test]
fn a_clamped_page_is_the_end() {
    assert_eq!(follow(numbered(), &[facts("ab", None), facts("cd", None), facts("cd", None)]), ["2", "3", "end"]);
    assert_eq!(follow(offset(), &[facts("ab", None), facts("ab", None)]), ["2", "end"]);
}

#[test]
fn a_total_overrules_the_length_of_a_page() {
    let pages = PaginationKind::PageNumber { param: "page".into(), first: 0, total_pages: Some(path("pages")) };
    assert_eq!(follow(pages.clone(), &[of_total("a", 3), of_total("b", 3), of_total("cd", 3)]), ["1", "2", "end"]);
    assert_eq!(follow(pages, &[of_total("ab", 1)]), ["end"]);
    let rows = PaginationKind::Offset { param: "offset".into(), total: Some(path("total")) };
    assert_eq!(follow(rows.clone(), &[of_total("a", 5), of_total("", 5), of_total("cd", 5)]), ["1", "3", "end"]);
    assert_eq!(follow(rows, &[of_total("ab", 2)]), ["end"]);
}

#[test]
fn links_are_resolved_and_stay_at_home() {
    let foreign = |origin: &str| PagingError::Foreign { page: 1, origin: origin.into() }.to_string();
    let cases = [
        ("/v1/rows?p=2#top", "https://api.test/v1/rows?p=2".to_owned()),
        ("https://API.test:443/v1/rows?p=2", "https://api.test/v1/rows?p=2".to_owned()),
        ("https://pages.test/v1?t=secret", "https://pages.test/v1?t=secret".to_owned()),
        ("http://pages.test/v1?t=secret", foreign("http://pages.test")),
        ("https://pages.test:8443/v1?t=secret", foreign("https://pages.test:8443")),
        ("https://evil.test/v1?t=secret", foreign("https://evil.test")),
        ("//evil.test/v1?t=secret", foreign("https://evil.test")),
        ("https://api.test.evil.test/", foreign("https://api.test.evil.test")),
        ("https://api.test@evil.test/", foreign("https://evil.test")),
        ("https://user:secret@api.test/", foreign("https://api.test")),
        ("http://api.test/v1", foreign("http://api.test")),
        ("https://api.test:8443/v1", foreign("https://api.test:8443")),
        ("file:///etc/passwd", foreign("null")),
        ("https://[oops", PagingError::NotALink { page: 1 }.to_string()),
    ];
    let mut pipeline = pipeline("https://api.test/v1");
    pipeline.api.hosts = vec!["pages.test".into()];
    let asked: Url = "https://api.test/v1/rows?x=1".parse().expect("a URL");
    for (next, expected) in cases {
        let pagination = pages(link());
        let said = match Pager::new(&pipeline.api, &pagination).next(&facts("ab", Some(next)), &asked, None) {
            Ok(Next::Page(PageCursor { at: PageAt::Link(url), .. })) => url.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(error) => {
                assert!(!error.to_string().contains("secret"), "{error}");
                error.to_string()
            }
        };
        assert_eq!(said, expected, "{next}");
    }
}

#[test]
fn a_link_header_names_the_next_page() {
    let next = |header| next_of_header(header);
    assert_eq!(next(r#"<https://a/?p=2>; rel="next", <https://a/?p=9>; rel="last""#), Some("https://a/?p=2"));
    assert_eq!(
        next(r#"<https://a/?p=1>; rel="prev", <https://a/?q=1,2>; title="a, b"; REL=Next"#),
        Some("https://a/?q=1,2")
    );
    assert_eq!(next(r#"<x>; rel="first next""#), Some("x"));
    assert_eq!(next(r#"<https://a/?p=9>; rel="last""#), None);
    assert_eq!(next("nonsense"), None);
    assert_eq!(next("<unclosed"), None);
    let said = follow(PaginationKind::LinkHeader, &[facts("ab", Some("</v1/rows?p=2>; rel=next")), facts("cd", None)]);
    assert_eq!(said, ["https://api.test/v1/rows?p=2", "end"]);
}
