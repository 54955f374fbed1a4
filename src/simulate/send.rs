//! Answers on the wire: whole, or broken the way a fault wants it.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;

use super::reply::Reply;
use super::state::Shared;
use super::wire::Link;

/// How long a broken body stays open, so that what precedes the break has left before it.
const BREAK_AFTER: Duration = Duration::from_millis(20);

/// How an answer is sent.
#[derive(Debug)]
pub(super) enum Sending {
    Whole(Reply),
    /// The first `sent` bytes of the body under the Content-Length of the whole, then the connection ends.
    Broken {
        reply: Reply,
        sent: usize,
        reset: bool,
    },
    /// The headers, then nothing.
    Stalled(Reply),
    /// No answer at all.
    Reset,
}

impl Sending {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Whole(reply) | Self::Broken { reply, .. } | Self::Stalled(reply) => Some(reply.status.as_u16()),
            Self::Reset => None,
        }
    }

    pub(super) fn add_headers(&mut self, headers: Vec<(HeaderName, String)>) {
        match self {
            Self::Whole(reply) | Self::Broken { reply, .. } | Self::Stalled(reply) => reply.headers.extend(headers),
            Self::Reset => {}
        }
    }
}

/// Puts an answer on the wire.
pub(super) fn send(shared: &Shared, link: &Link, sending: Sending) -> Response {
    match sending {
        Sending::Whole(reply) => {
            let body = Body::from(reply.body.clone());
            response(&reply, body)
        }
        Sending::Broken { reply, sent, reset } => {
            let body = broken(shared, link, reply.body.slice(..sent), BREAK_AFTER, reset);
            with_full_length(&reply, body)
        }
        Sending::Stalled(reply) => {
            let stall = shared.state().faults.options().stall;
            let body = broken(shared, link, Bytes::new(), stall, true);
            with_full_length(&reply, body)
        }
        Sending::Reset => {
            link.reset();
            Response::new(broken(shared, link, Bytes::new(), Duration::ZERO, true))
        }
    }
}

fn response(reply: &Reply, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name.clone(), value);
        }
    }
    if reply.status == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

fn with_full_length(reply: &Reply, body: Body) -> Response {
    let mut response = response(reply, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    response
}

/// A body that gives `head` and, after a time, breaks the connection.
fn broken(shared: &Shared, link: &Link, head: Bytes, wait: Duration, reset: bool) -> Body {
    let (link, closing) = (link.clone(), shared.closing.clone());
    let start = stream::iter(Some(Ok(head)).filter(|head| head.as_ref().is_ok_and(|bytes| !bytes.is_empty())));
    let end = stream::once(async move {
        // A server that is asked to stop does not wait for its own stalls.
        let _ = tokio::time::timeout(wait, closing.cancelled()).await;
        if reset {
            link.reset();
        }
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(start.chain(end))
}
