//! Keys that make repeated creations one.

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::{Parameter, Request, RequestBody, method_word, set};
use crate::pipeline::KeyPlace;

/// `request` with the idempotency key `key` where the platform wants it: in a header, or as a parameter in the body of a
/// POST that has one, else in the query.
#[must_use]
pub fn with_key(mut request: Request, place: &KeyPlace, key: &str) -> Request {
    match place {
        KeyPlace::Header(name) => {
            let name = name.to_ascii_lowercase();
            request.headers.retain(|(other, _)| *other != name);
            request.headers.push((name, key.to_owned()));
        }
        KeyPlace::Parameter(name) => set(&mut request, Parameter::declared(name, key), Value::from(key)),
        KeyPlace::Nowhere => {}
    }
    request
}

/// What `request` asks for, as a number that is the same in every run: method, URL, parameters and body; headers are left
/// out. Of a request before [`with_key`]: a key that is kept for it may be sent again only with a request of the same
/// number, because platforms refuse a key that comes with something else.
pub fn body_hash(request: &Request) -> u64 {
    let mut hasher = Xxh3::new();
    add(&mut hasher, method_word(request.method));
    add(&mut hasher, request.url.as_str());
    add_parameters(&mut hasher, &request.query);
    match &request.body {
        RequestBody::None => add(&mut hasher, "none"),
        RequestBody::Json(document) => {
            add(&mut hasher, "json");
            add(&mut hasher, &document.to_string());
        }
        RequestBody::Form(fields) => {
            add(&mut hasher, "form");
            add_parameters(&mut hasher, fields);
        }
    }
    hasher.digest()
}

fn add_parameters(hasher: &mut Xxh3, parameters: &[Parameter]) {
    hasher.update(&(parameters.len() as u64).to_le_bytes());
    for parameter in parameters {
        add(hasher, &parameter.name);
        add(hasher, &parameter.value);
    }
}

/// With its length before it, so that `ab`, `c` is not `a`, `bc`.
fn add(hasher: &mut Xxh3, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{account, pipeline, texts, window};
    use super::*;
    use crate::page::PageCursor;
    use crate::pipeline::{Body, Method};
    use crate::request::metrics_request;

    fn creation(body: Body) -> Request {
        let mut pipeline = pipeline("https://api.test");
        pipeline.request.method = Method::Post;
        pipeline.request.path = "/reports".into();
        pipeline.request.query = texts(&[("v", "2")]);
        pipeline.request.body = body;
        let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
        let page = PageCursor::first(&pipeline.pagination);
        metrics_request(&pipeline, &[account("1", "UTC")], window, None, &page).expect("a request")
    }

    fn bodies() -> [Body; 3] {
        [Body::None, Body::Json(json!({"from": "{from}"})), Body::Form(texts(&[("from", "{from}")]))]
    }

    #[test]
    fn a_key_in_a_header_replaces_one_of_that_name() {
        let place = KeyPlace::Header("Idempotency-Key".into());
        let request = with_key(with_key(creation(Body::None), &place, "first"), &place, "k-1");
        insta::assert_snapshot!(request, @r"
        POST https://api.test/reports?v=2
        accept: application/json
        idempotency-key: k-1
        ");
        assert_eq!(with_key(creation(Body::None), &KeyPlace::Nowhere, "k-1"), creation(Body::None));
    }

    #[test]
    fn a_key_as_a_parameter_is_where_the_others_are() {
        let place = KeyPlace::Parameter("request_id".into());
        let [bare, json, form] = bodies().map(|body| with_key(creation(body), &place, "k-1"));
        assert_eq!(bare.full_url().as_str(), "https://api.test/reports?v=2&request_id=k-1");
        assert_eq!(json.full_url().as_str(), "https://api.test/reports?v=2");
        assert_eq!(json.body, RequestBody::Json(json!({"from": "2026-11-20T08:00:00Z", "request_id": "k-1"})));
        assert!(form.to_string().ends_with("\n\nfrom=2026-11-20T08%3A00%3A00Z&request_id=k-1"), "{form}");
    }

    #[test]
    fn only_what_is_asked_for_makes_another_hash() {
        let hashes = bodies().map(|body| body_hash(&creation(body)));
        assert_eq!(hashes, bodies().map(|body| body_hash(&creation(body))), "the same every time");
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
        let other = body_hash(&creation(Body::Json(json!({"from": "{to}"}))));
        assert_ne!(hashes[1], other);
        let place = KeyPlace::Header("Idempotency-Key".into());
        assert_eq!(body_hash(&with_key(creation(Body::None), &place, "k-1")), hashes[0], "headers do not count");
        let mut moved = creation(Body::None);
        moved.query = vec![Parameter::declared("v2", "")];
        assert_ne!(body_hash(&moved), hashes[0]);
    }

    /// Keys are kept between runs and versions: another number would create everything once more.
    #[test]
    fn the_hash_is_what_it_always_was() {
        let hashes = bodies().map(|body| format!("{:016x}", body_hash(&creation(body))));
        insta::assert_snapshot!(hashes.join(" "), @"c7d9bcdaa7e001b5 fb94b1a850c86cb4 7beac685e3c01cdf");
    }
}
