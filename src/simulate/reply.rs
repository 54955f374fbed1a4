//! Answers before they are sent: JSON with a status and headers, or a problem with a code.

use axum::http::{HeaderName, StatusCode, header};
use bytes::Bytes;
use serde_json::json;

use super::dice;

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![(header::CONTENT_TYPE, "application/json".to_owned())], body: body.into() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An answer that may be kept for a minute and asked about by its ETag.
    pub(super) fn cacheable(body: String, if_none_match: Option<&str>) -> Self {
        let tag = format!("\"{:016x}\"", dice::of_text(0, &body));
        let known = if_none_match.is_some_and(|list| {
            list.split(',').map(|known| known.trim().trim_start_matches("W/")).any(|known| known == tag || known == "*")
        });
        let reply = if known {
            Self { status: StatusCode::NOT_MODIFIED, headers: Vec::new(), body: Bytes::new() }
        } else {
            Self::json(StatusCode::OK, body)
        };
        reply.with(header::ETAG, tag).with(header::CACHE_CONTROL, "private, max-age=60")
    }
}

/// Why a request gets no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A request that will never do.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::json(self.status, error_body(self.code, &self.message))
    }
}

/// The body that every refusal has.
pub(super) fn error_body(code: &str, message: &str) -> String {
    json!({"error": {"code": code, "message": message}}).to_string()
}
