//! What is recorded while a unit is read, and that it is enough to read the unit again.

use super::lists::account_list;
use super::*;
use crate::cassette::play::play;
use crate::cassette::{Cassette, Exchange, FORMAT, Header, Line, RecordedAccount, RecordedRun};
use crate::pipeline::{AccountList, Accounts, Body, HeaderText, HourSource, Method};

/// The cassette of what `bench`'s unit came to: its text, its lines and the slice.
async fn taped(bench: &Bench, unit: &Unit) -> (String, Vec<Line>, Result<Slice, UnitFailure>) {
    let tape = Tape::on(vec!["x-quota".to_owned()].into());
    let fetch = bench.opened().await;
    let result = fetch.unit_on(unit, &CancellationToken::new(), &tape).await;
    let bytes = tape.finish(&header(unit)).expect("compressed").expect("recorded");
    let path = bench.folder.path().join("a.jsonl.zst");
    std::fs::write(&path, &bytes).expect("a cassette");
    let text = String::from_utf8(zstd::stream::decode_all(bytes.as_slice()).expect("zstd")).expect("text");
    let cassette = Cassette::open(&path).expect("a cassette");
    assert_eq!(cassette.header, header(unit));
    let lines: Vec<Line> = cassette.lines.collect::<crate::error::Result<_>>().expect("lines");
    if let Ok(slice) = &result {
        let lines = lines.iter().cloned().map(Ok);
        let played = play(&header(unit), lines, &fetch.decoder).expect("played");
        assert_eq!(played.rows, slice.rows, "the cassette holds the slice");
        assert_eq!(played.pages, slice.pages);
    }
    (text, lines, result)
}

pub(super) fn header(unit: &Unit) -> Header {
    Header {
        cassette: FORMAT,
        hourmark: "0".into(),
        time_zone_data: "0".into(),
        pipeline: "test".into(),
        pipeline_digest: "0".into(),
        run: RecordedRun { started_at: at("2026-11-20T12:34:56Z"), id: 1 },
        unit: Some(unit.into()),
        accounts: unit.accounts.iter().map(RecordedAccount::from).collect(),
        closed: None,
        fetched_at: at("2026-11-20T12:34:56Z"),
        requests: 0,
        gone: Vec::new(),
        failed: None,
    }
}

fn exchanges(lines: &[Line]) -> Vec<&Exchange> {
    lines.iter().filter_map(|line| if let Line::Exchange(it) = line { Some(it.as_ref()) } else { None }).collect()
}

/// What of the server's own varies from test to test.
fn plain(bench: &Bench, text: &str) -> String {
    text.replace(&bench.server.base(), "http://api")
}

#[tokio::test]
async fn every_exchange_is_recorded_with_what_became_of_it() {
    let headers = [("content-type", "application/json"), ("x-quota", "7"), ("set-cookie", "id=1"), ("x-user", "me")];
    let full = page(&[("a", 1), ("b", 2)], "t2");
    let script = vec![Reply::status(503), Reply::new(200, &headers, full.as_bytes()), one_row()];
    let bench = Bench::new(script).await;
    let (_, lines, slice) = taped(&bench, &unit(&[account("1", "UTC")])).await;
    assert_eq!(slice.expect("a slice").pages, 2);
    let Line::Part(part) = &lines[0] else { panic!("{lines:?}") };
    assert_eq!((part.part, part.accounts.as_slice()), (0, &["1".to_owned()][..]));
    assert_eq!(lines.last(), Some(&Line::End { exchanges: 3 }));
    let all = exchanges(&lines);
    let seen: Vec<_> = all.iter().map(|it| (it.endpoint.as_str(), it.status, it.part, it.taken)).collect();
    let metrics = |status, taken| ("metrics", Some(status), Some(0), taken);
    assert_eq!(seen, [metrics(503, false), metrics(200, true), metrics(200, true)]);
    let kept: Vec<_> = all[1].headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("content-type", "application/json"), ("x-quota", "7")]);
    assert_eq!(all[1].body.as_deref(), Some(full.as_str()));
    let url = plain(&bench, &all[2].url);
    assert!(url.starts_with("http://api/accounts/1/rows?from=") && url.ends_with("&after=t2"), "{url}");
}

/// Some arrays are as long as what was asked for, though not all of it had ended.
#[tokio::test]
async fn what_was_asked_for_is_recorded_beside_what_had_ended() {
    let body = r#"{"rows":[{"campaign":"a","clicks":[3,4]}],"next":"","from":"2026-11-20T11:00:00Z","length":2}"#;
    let mut bench = Bench::new(vec![Reply::ok(body)]).await;
    bench.pipeline.hour = HourSource::Position { start: Some(path("from")), length: Some(path("length")) };
    let asked = window("2026-11-20T11:00:00Z", "2026-11-20T13:00:00Z");
    let (_, lines, slice) = taped(&bench, &unit_of(&[account("1", "UTC")], asked)).await;
    let slice = slice.expect("a slice");
    assert_eq!((clicks(&slice), slice.outside), (vec![("a".to_owned(), 3)], 1));
    let Line::Part(part) = &lines[0] else { panic!("{lines:?}") };
    assert_eq!(part.window.to, at("2026-11-20T12:00:00Z"));
    assert_eq!(part.asked, Some(asked.into()));
}

#[tokio::test]
async fn archives_are_kept_unpacked_so_that_no_secret_hides_in_them() {
    use std::io::Write;
    let body = page(&[(SECRET, 1)], "");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(body.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let bench = Bench::new(vec![Reply::new(200, &[], &packed)]).await;
    let tape = Tape::on(Vec::new().into());
    let fetch = bench.opened().await;
    fetch.unit_on(&unit(&[account("1", "UTC")]), &CancellationToken::new(), &tape).await.expect("a slice");
    let bytes = tape.finish(&header(&unit(&[account("1", "UTC")]))).expect("compressed").expect("recorded");
    let text = String::from_utf8(zstd::stream::decode_all(bytes.as_slice()).expect("zstd")).expect("text");
    assert!(text.contains(r#"\"campaign\":\"[secret]\""#) && !text.contains("base64"), "{text}");
}

#[tokio::test]
async fn secrets_are_masked_wherever_the_platform_repeats_them() {
    for query in [false, true] {
        // In a refusal, in a body that is a page, in its next link and in a header. The link leads to a host that the
        // pipeline does not name, so the unit ends there.
        let next = format!("http://127.0.0.1:1/rows?access_token={SECRET}&page=2");
        let first = format!(r#"{{"debug":"you sent {SECRET}",{}"#, &page(&[("a", 1)], &next)[1..]);
        let link = format!("<{next}>; rel=\"next\"");
        let mut bench = Bench::new(vec![
            Reply::new(500, &[("content-type", "text/html")], format!("<p>{SECRET}</p>").as_bytes()),
            Reply::new(200, &[("link", &link)], first.as_bytes()),
        ])
        .await;
        let token = bench.folder.path().join("token");
        if query {
            bench.pipeline.auth = Auth::Query { name: "access_token".into(), value: SecretSource::File(token.clone()) };
        }
        bench.pipeline.api.headers = vec![("x-key".into(), HeaderText::Secret(SecretSource::File(token)))];
        bench.pipeline.pagination = pages(PaginationKind::NextLink { next: path("next") });
        let (text, lines, _) = taped(&bench, &unit(&[account("1", "UTC")])).await;
        assert!(!text.contains(SECRET), "{text}");
        assert!(text.contains("you sent [secret]") && text.contains("<p>[secret]</p>"), "{text}");
        assert!(text.contains("access_token=[secret]&page=2"), "{text}");
        assert_eq!(exchanges(&lines).len(), 2);
        assert_eq!(exchanges(&lines)[0].url.contains("access_token=%5Bsecret%5D"), query);
    }
}

#[tokio::test]
async fn pages_that_were_dropped_again_are_marked() {
    let script = vec![
        Reply::ok(&page(&[("a", 1), ("b", 1)], "dies")),
        Reply::status(400),
        Reply::ok(&page(&[("a", 5), ("b", 5)], "lives")),
        one_row(),
    ];
    let bench = Bench::new(script).await;
    let (_, lines, slice) = taped(&bench, &unit(&[account("1", "UTC")])).await;
    assert_eq!(clicks(&slice.expect("a slice")), [("a".into(), 5), ("b".into(), 5), ("a".into(), 1)]);
    let dropped: Vec<usize> =
        (0..lines.len()).filter(|place| matches!(lines[*place], Line::Dropped { keep: 0 })).collect();
    assert_eq!(dropped, [3], "after the first page and the refusal: {lines:?}");
}

#[tokio::test]
async fn asking_for_less_drops_nothing_that_was_not_taken() {
    let mut bench = Bench::new(vec![
        Reply::new(400, &[("content-type", "application/json")], br#"{"code":"too_much"}"#),
        one_row(),
        Reply::ok(&page(&[("b", 1)], "")),
    ])
    .await;
    bench.pipeline.responses = vec![rule(&[400], "too_much", ResponseAction::Split)];
    let (_, lines, slice) = taped(&bench, &unit(&[account("1", "UTC")])).await;
    assert_eq!(slice.expect("a slice").pages, 2);
    let parts: Vec<u32> =
        lines.iter().filter_map(|line| if let Line::Part(it) = line { Some(it.part) } else { None }).collect();
    assert_eq!(parts, [0, 0, 1]);
    assert!(!lines.iter().any(|line| matches!(line, Line::Dropped { .. })));
}

#[tokio::test]
async fn a_list_that_still_holds_is_on_the_tape_as_well() {
    let listed = r#"{"data":[{"id":"1"}]}"#;
    let server = vec![Reply::new(200, &[("cache-control", "max-age=600")], listed.as_bytes())];
    let mut bench = Bench::new(server).await;
    let list = Listing {
        method: Method::Get,
        secrets: vec![],
        body: Body::None,
        server: None,
        id_after: None,
        path: "/accounts".into(),
        query: Default::default(),
        records: Records { path: path("data"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: None,
        every: Duration::ZERO,
        verbatim: false,
        pagination: pages(PaginationKind::None),
    };
    let zone = Some(chrono_tz::Tz::UTC);
    let rules = AccountList { time_zone: None, time_zone_default: zone, currency: None, ..account_list(list) };
    bench.pipeline.accounts = Accounts::Endpoint(Box::new(rules));
    let fetch = bench.fetch().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let tape = Tape::on(Vec::new().into());
        fetch.accounts_on(&CancellationToken::new(), &tape).await.expect("accounts");
        let bytes = tape.finish(&header(&unit(&[account("1", "UTC")]))).expect("compressed").expect("recorded");
        let text = String::from_utf8(zstd::stream::decode_all(bytes.as_slice()).expect("zstd")).expect("text");
        seen.push((text.contains("\"cached\":true"), text.contains(r#"[{\"id\":\"1\"}]"#)));
    }
    assert_eq!(seen, [(false, true), (true, true)]);
    assert_eq!(bench.server.requests().len(), 1);
}
