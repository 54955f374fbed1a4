//! Pages, windows and units as a whole.

use super::*;

#[tokio::test]
async fn pages_are_read_to_the_end() {
    let script = vec![Reply::ok(&page(&[("a", 1), ("b", 2)], "t/2")), Reply::ok(&page(&[], "t3")), one_row()];
    let bench = Bench::new(script).await;
    let slice = bench.unit().await.expect("a slice");
    assert_eq!(clicks(&slice), [("a".into(), 1), ("b".into(), 2), ("a".into(), 1)]);
    assert_eq!((slice.requests, slice.pages, slice.outside), (3, 3, 0));
    assert_eq!(slice.page_starts, [0, 2, 2]);
    assert_eq!(slice.window, unit(&[account("1", "UTC")]).window);
    assert_eq!(slice.fetched_at, at("2026-11-20T12:34:56Z"));
    let first = "/accounts/1/rows?from=2026-11-20T08%3A00%3A00Z&to=2026-11-20T10%3A00%3A00Z";
    assert_eq!(bench.server.targets(), [first.to_owned(), format!("{first}&after=t%2F2"), format!("{first}&after=t3")]);
    let sent = bench.server.requests()[0].to_lowercase();
    assert!(sent.contains(&format!("\r\nauthorization: bearer {SECRET}\r\n")), "{sent}");
    assert!(sent.contains(concat!("\r\nuser-agent: hourmark/", env!("CARGO_PKG_VERSION"), "\r\n")), "{sent}");
    assert!(sent.contains("\r\naccept-encoding: ") && sent.contains("gzip") && sent.contains("zstd"), "{sent}");
}

#[tokio::test]
async fn a_circle_of_tokens_fails_the_unit() {
    let page = |campaign: &str, next: &str| Reply::ok(&page(&[(campaign, 1)], next));
    let bench = Bench::new(vec![page("a", "A"), page("b", "B"), page("c", "A")]).await;
    assert!(bench.reason().await.starts_with("page 3 leads back to a page that was read before"));
    let bench = Bench::new(vec![page("a", "A"), page("a", "B")]).await;
    assert!(bench.reason().await.starts_with("page 2 repeats page 1"));
}

#[tokio::test]
async fn a_clamped_page_number_is_the_end() {
    let full = |campaigns: [&str; 2]| Reply::ok(&page(&[(campaigns[0], 1), (campaigns[1], 1)], ""));
    let mut bench = Bench::new(vec![full(["a", "b"]), full(["c", "d"]), full(["c", "d"])]).await;
    let kind = PaginationKind::PageNumber { param: "page".into(), first: 1, total_pages: None };
    bench.pipeline.pagination = pages(kind);
    assert_eq!(bench.unit().await.expect("a slice").pages, 3);
    assert!(bench.server.targets()[2].ends_with("&page=3"));
}

#[tokio::test]
async fn paging_without_an_end_is_an_error() {
    let mut bench =
        Bench::new((0..3).map(|n| Reply::ok(&page(&[(&n.to_string(), 1)], &n.to_string()))).collect()).await;
    bench.pipeline.pagination.max_pages = 3;
    assert!(bench.reason().await.starts_with("there are more than 3 pages (`max_pages`)"));
    assert_eq!(bench.server.requests().len(), 3);
}

#[tokio::test]
async fn a_link_to_another_host_is_never_followed() {
    let elsewhere = Server::start(vec![one_row()]).await;
    let link = format!("{}/rows?access_token={SECRET}", elsewhere.base());
    let mut bench = Bench::new(vec![Reply::ok(&page(&[("a", 1)], &link))]).await;
    bench.pipeline.pagination = pages(PaginationKind::NextLink { next: path("next") });
    let reason = bench.reason().await;
    assert!(reason.starts_with(&format!("the next link of page 1 leads to `{}`", elsewhere.base())), "{reason}");
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn links_at_home_are_followed_with_credentials() {
    let link = [("link", "</more?page=2>; rel=\"next\"")];
    let script = vec![Reply::new(200, &link, page(&[("a", 1)], "").as_bytes()), Reply::ok(&page(&[("b", 2)], ""))];
    let mut bench = Bench::new(script).await;
    bench.pipeline.pagination = pages(PaginationKind::LinkHeader);
    assert_eq!(clicks(&bench.unit().await.expect("a slice")).len(), 2);
    assert_eq!(bench.server.targets()[1], "/more?page=2");
    assert!(bench.server.requests()[1].contains(SECRET));
}

#[tokio::test]
async fn a_token_that_dies_begins_the_unit_again() {
    let script = vec![
        Reply::ok(&page(&[("old", 1)], "t2")),
        Reply::new(400, &[], br#"{"message":"token expired"}"#),
        Reply::ok(&page(&[("new", 1)], "t2")),
        Reply::ok(&page(&[("newer", 2)], "")),
    ];
    let bench = Bench::new(script).await;
    let slice = bench.unit().await.expect("a slice");
    assert_eq!(clicks(&slice), [("new".into(), 1), ("newer".into(), 2)], "no row of the first reading");
    assert_eq!((slice.requests, slice.pages), (4, 2));
}

#[tokio::test]
async fn a_token_that_always_dies_fails_the_unit() {
    let mut script = Vec::new();
    for _ in 0..3 {
        script.push(Reply::ok(&page(&[("a", 1)], "t2")));
        script.push(Reply::new(400, &[], br#"{"message":"token expired"}"#));
    }
    let bench = Bench::new(script).await;
    assert_eq!(bench.reason().await, "HTTP 400: token expired");
    assert_eq!(bench.server.requests().len(), 6);
}

#[tokio::test]
async fn hours_that_are_still_open_are_left_away() {
    let body = format!("{{\"rows\":[{},{}]}}", row("a", 1), row("b", 2).replace("T08", "T09"));
    let mut bench = Bench::new(vec![Reply::ok(&body)]).await;
    bench.clock = Clock::Fixed(at("2026-11-20T09:59:59Z"));
    let slice = bench.unit().await.expect("a slice");
    assert_eq!(slice.window, window("2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z"));
    assert_eq!((clicks(&slice), slice.outside), (vec![("a".into(), 1)], 1));
    assert!(bench.server.targets()[0].contains("to=2026-11-20T10"), "the platform is asked for whole windows");
    let mut bench = Bench::new(vec![]).await;
    bench.clock = Clock::Fixed(at("2026-11-20T08:59:59Z"));
    assert_eq!(bench.reason().await, "no hour of 2026-11-20T08:00Z..2026-11-20T10:00Z has ended yet");
}

#[tokio::test]
async fn an_hour_has_ended_when_it_has_for_every_account() {
    let mut bench = Bench::new(vec![Reply::ok("{\"rows\":[]}")]).await;
    bench.clock = Clock::Fixed(at("2026-11-20T09:45:00Z"));
    let accounts = [account("1", "Asia/Kolkata"), account("2", "UTC")];
    let fetch = bench.fetch().await;
    let slice = fetch.unit(&unit(&accounts), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(slice.window.to(), at("2026-11-20T09:00:00Z"));
    assert_eq!(slice.rows.num_rows(), 0, "a quiet hour is a slice without rows");
}

#[tokio::test]
async fn a_stopped_run_reads_no_further_page() {
    let bench = Bench::new(vec![]).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let failure = bench.fetch().await.unit(&unit(&[account("1", "UTC")]), &stop).await;
    assert_eq!(failure.map(drop), Err(UnitFailure::Stopped));
    assert_eq!(bench.server.requests().len(), 0);
}
