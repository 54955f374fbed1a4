//! What may be kept of a list, and for how long: ETag, Last-Modified and Cache-Control (RFC 9111, a private cache), and
//! `every`, by which a pipeline says itself how old a list may be.
//!
//! Pure decisions; the state stores what they keep.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{AGE, CACHE_CONTROL, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use xxhash_rust::xxh3::xxh3_64;

use super::client::Response;
use crate::request::{Request, body_hash, method_word};
use crate::state::CachedResponse;
use crate::time::Instant;

/// The name under which an answer is kept: the method, the URL for people, and a hash of the whole URL, the body and the
/// headers, so that no token is stored and two pages never share a name, nor do the lists of two accounts of which only a
/// header speaks.
pub fn key(request: &Request) -> String {
    let mut whole = format!("{} {:016x}", request.full_url(), body_hash(request));
    for (name, value) in &request.headers {
        whole.push_str(&format!("\n{name}: {value}"));
    }
    let hash = xxh3_64(whole.as_bytes());
    format!("{} {} {hash:016x}", method_word(request.method), request.redacted_url())
}

/// Whether `known` may be used without asking: its headers say so, or it is younger than `every`.
pub fn is_fresh(known: &CachedResponse, every: Duration, now: Instant) -> bool {
    let age = (now - known.stored_at).to_std().unwrap_or_default();
    age < every || known.fresh_until.is_some_and(|until| now < until)
}

/// What is kept of a new answer; `None` where nothing may be or nothing is worth it. With `every` the pipeline has decided
/// that it may and is.
pub fn keep(response: &Response, every: Duration, now: Instant) -> Option<CachedResponse> {
    let control = Control::read(&response.headers);
    if control.no_store && every.is_zero() {
        return None;
    }
    let kept = CachedResponse {
        stored_at: now,
        etag: text_of(&response.headers, &ETAG),
        last_modified: text_of(&response.headers, &LAST_MODIFIED),
        fresh_until: control.fresh_until(&response.headers, now),
        body: response.body.to_vec(),
        link: response.link(),
    };
    let told = kept.etag.is_some() || kept.last_modified.is_some() || kept.fresh_until.is_some();
    (told || !every.is_zero()).then_some(kept)
}

/// What is kept after a 304: the known body with the answer's newer words about it.
pub fn renewed(known: CachedResponse, headers: &HeaderMap, now: Instant) -> CachedResponse {
    let control = Control::read(headers);
    CachedResponse {
        stored_at: now,
        etag: text_of(headers, &ETAG).or(known.etag),
        last_modified: text_of(headers, &LAST_MODIFIED).or(known.last_modified),
        fresh_until: control.fresh_until(headers, now),
        body: known.body,
        link: known.link,
    }
}

/// The words of `Cache-Control` that matter here.
struct Control {
    no_store: bool,
    no_cache: bool,
    max_age: Option<i64>,
}

impl Control {
    fn read(headers: &HeaderMap) -> Control {
        let mut control = Control { no_store: false, no_cache: false, max_age: None };
        for value in headers.get_all(CACHE_CONTROL) {
            for word in value.to_str().unwrap_or_default().split(',') {
                let word = word.trim().to_ascii_lowercase();
                match word.split_once('=') {
                    None if word == "no-store" => control.no_store = true,
                    None if word == "no-cache" => control.no_cache = true,
                    Some(("max-age", seconds)) => control.max_age = seconds.trim_matches('"').parse().ok(),
                    _ => {}
                }
            }
        }
        control
    }

    fn fresh_until(&self, headers: &HeaderMap, now: Instant) -> Option<Instant> {
        let age: i64 = text_of(headers, &AGE).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let seconds = self.max_age.filter(|_| !self.no_cache)?.saturating_sub(age.max(0));
        if seconds <= 0 {
            return None;
        }
        now.checked_add_signed(TimeDelta::try_seconds(seconds)?)
    }
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        "2026-11-20T10:00:00Z".parse().expect("an instant")
    }

    fn response(headers: &[(&'static str, &'static str)]) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header"));
        }
        Response { status: 200, headers: map, body: "[]".into() }
    }

    #[test]
    fn what_is_kept_and_for_how_long() {
        let minutes = |minutes: i64| Some(now() + TimeDelta::minutes(minutes));
        let fresh = |headers: &[(&'static str, &'static str)]| {
            keep(&response(headers), Duration::ZERO, now()).map(|it| it.fresh_until)
        };
        assert_eq!(fresh(&[]), None, "nothing to come back with");
        assert_eq!(fresh(&[("etag", "\"1\""), ("cache-control", "private, no-store")]), None);
        assert_eq!(fresh(&[("etag", "\"1\"")]), Some(None));
        assert_eq!(fresh(&[("cache-control", "max-age=600")]), Some(minutes(10)));
        assert_eq!(fresh(&[("cache-control", "Private, Max-Age=\"600\""), ("age", "540")]), Some(minutes(1)));
        assert_eq!(fresh(&[("etag", "\"1\""), ("cache-control", "no-cache, max-age=600")]), Some(None));
        assert_eq!(fresh(&[("etag", "\"1\""), ("cache-control", "max-age=-1")]), Some(None));
        assert_eq!(fresh(&[("etag", "\"1\""), ("cache-control", "max-age=9223372036854775807")]), Some(None));
    }

    #[test]
    fn freshness_ends() {
        let kept = keep(&response(&[("cache-control", "max-age=60")]), Duration::ZERO, now()).expect("kept");
        assert!(is_fresh(&kept, Duration::ZERO, now() + TimeDelta::seconds(59)));
        assert!(!is_fresh(&kept, Duration::ZERO, now() + TimeDelta::seconds(60)));
    }

    #[test]
    fn a_pipeline_may_say_itself_how_old_a_list_may_be() {
        let hour = Duration::from_secs(3600);
        for headers in [vec![], vec![("cache-control", "no-store")], vec![("cache-control", "no-cache, max-age=9")]] {
            let kept = keep(&response(&headers), hour, now()).expect("kept whatever the answer said");
            assert!(is_fresh(&kept, hour, now() + TimeDelta::seconds(3599)), "{headers:?}");
            assert!(!is_fresh(&kept, hour, now() + TimeDelta::seconds(3600)), "{headers:?}");
            assert!(!is_fresh(&kept, Duration::ZERO, now() + TimeDelta::seconds(10)), "the file says otherwise now");
        }
        let kept = keep(&response(&[("cache-control", "max-age=7200")]), hour, now()).expect("kept");
        assert!(is_fresh(&kept, hour, now() + TimeDelta::minutes(119)), "the platform promises more");
        let later = now() + TimeDelta::minutes(61);
        let renewed = renewed(kept, &response(&[("etag", "\"1\"")]).headers, later);
        assert!(is_fresh(&renewed, hour, later + TimeDelta::minutes(59)), "a 304 begins anew");
    }

    #[test]
    fn a_304_renews_the_known_body() {
        let known = response(&[("etag", "\"1\""), ("link", "<b>; rel=next")]);
        let known = keep(&known, Duration::ZERO, now()).expect("kept");
        let answer = response(&[("etag", "\"2\""), ("cache-control", "max-age=60")]);
        let kept = renewed(known, &answer.headers, now());
        assert_eq!((kept.etag.as_deref(), kept.body.as_slice()), (Some("\"2\""), &b"[]"[..]));
        assert_eq!(kept.link.as_deref(), Some("<b>; rel=next"));
        assert!(is_fresh(&kept, Duration::ZERO, now()));
    }
}
