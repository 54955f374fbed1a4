//! An answer's body before anybody knows what it means: taken out of its archive, and looked into without being built.
//!
//! Pure. Who reads rows and who reads errors meet the same bodies, so what both need of them is here.
//!
//! | file | what it does |
//! |---|---|
//! | `unpack` | the first file of a ZIP archive, or what a gzip file holds, never longer than is allowed |
//! | `pruned` | of a JSON body only what some places name; everything else is skipped |
//! | `message` | the platform's own words in a document |

mod message;
mod pruned;
mod unpack;

pub(crate) use message::{message, one_line};
pub(crate) use pruned::{Wanted, pruned};
pub(crate) use unpack::is_packed;
pub use unpack::{Unpackable, unpack};

use serde_json::Value;

/// Whether the body is a JSON document as platforms write them, as far as its first character tells: an object or a list.
pub(crate) fn is_document(body: &[u8]) -> bool {
    matches!(without_mark(body).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The body without a byte order mark.
pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The whole body as JSON, out of its archive where it is in one; at most `most` bytes of it.
///
/// # Errors
/// What is there instead, to go on after "the answer is not JSON: ".
pub(crate) fn document(body: &[u8], most: u64) -> Result<Value, String> {
    let body = unpack(body, most).map_err(|error| error.to_string())?;
    serde_json::from_slice(without_mark(&body)).map_err(|error| error.to_string())
}

/// The platform's own words in a body that is an error document instead of what was asked for.
pub(crate) fn words(body: &[u8]) -> Option<String> {
    message(&pruned(body, &Wanted::new(std::iter::empty()))?)
}
