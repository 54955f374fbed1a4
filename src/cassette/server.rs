//! An HTTP server on this machine that gives recorded answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::format::{Exchange, Line};
use super::index::{Arrived, Index};
use super::shelf::{Cassette, find};
use crate::error::{Error, Result};

/// The longest request body that is read.
const MOST_BODY: usize = 64 * 1024 * 1024;

/// Everything on the cassettes of these files and folders, in the order in which it was recorded.
///
/// # Errors
/// A path that is not there or holds no cassette, a cassette that cannot be read.
pub fn load(paths: &[PathBuf]) -> Result<Index> {
    let mut files = Vec::new();
    for path in paths {
        let found = find(path)?;
        if found.is_empty() {
            return Err(Error::bad_input(format!("there is no cassette in `{}`", path.display()))
                .hint("cassettes are in `_raw` in the lake, and `hourmark cassette export` writes one"));
        }
        files.extend(found);
    }
    files.sort();
    let mut index = Index::default();
    let mut kept_before = Vec::new();
    for file in files {
        for line in Cassette::open(&file.path)?.lines {
            match line? {
                // What was not sent then stands in for what was never heard.
                Line::Exchange(exchange) if exchange.cached => kept_before.push(*exchange),
                Line::Exchange(exchange) => index.add(*exchange),
                Line::Part(_) | Line::Dropped { .. } | Line::Pipeline { .. } | Line::End { .. } => {}
            }
        }
    }
    for exchange in kept_before {
        index.add(exchange);
    }
    Ok(index)
}

#[derive(Clone)]
struct Shared {
    index: Arc<Mutex<Index>>,
    /// This server, in links of answers.
    origin: String,
}

/// Serves `index` at `address` until `stop`; gives the address that it has taken.
///
/// # Errors
/// An address that is not on this machine or is taken.
pub async fn serve(index: Index, address: SocketAddr, stop: CancellationToken) -> Result<SocketAddr> {
    if !address.ip().is_loopback() {
        return Err(Error::bad_input(format!("`{address}` is not an address of this machine only"))
            .hint("recorded answers are somebody's figures: use 127.0.0.1"));
    }
    let failed = |error: std::io::Error| Error::bad_input(format!("cannot listen at {address}")).because(error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let taken = listener.local_addr().map_err(failed)?;
    let shared = Shared { index: Arc::new(Mutex::new(index)), origin: format!("http://{taken}") };
    let router =
        Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::max(MOST_BODY)).with_state(shared);
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!("the server of recorded answers ended: {error}");
        }
    });
    Ok(taken)
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let arrived = Arrived {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        conditional: headers.contains_key(header::IF_NONE_MATCH) || headers.contains_key(header::IF_MODIFIED_SINCE),
    };
    let mut index = shared.index.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(exchange) = index.answer(&arrived) {
        return recorded(exchange, &shared.origin);
    }
    let nearest = index.nearest(&arrived);
    tracing::warn!(method = arrived.method, path = arrived.path, "asked for what was not recorded");
    let asked = json!({ "error": "not recorded", "asked": format!("{method} {uri}"), "nearest": nearest });
    (StatusCode::NOT_FOUND, axum::Json(asked)).into_response()
}

fn recorded(exchange: &Exchange, origin: &str) -> Response {
    let there = Url::parse(&exchange.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    // A link of the platform's must lead back here, or the first page would be the last.
    let here =
        |text: &str| text.replace(&there, origin).replace(&there.replace('/', "\\/"), &origin.replace('/', "\\/"));
    let body = match &exchange.body {
        Some(text) => here(text).into_bytes(),
        None => exchange.bytes().unwrap_or_default(),
    };
    let status = exchange.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in &exchange.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(here(value))) {
            headers.append(name, value);
        }
    }
    response
}
