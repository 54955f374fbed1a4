//! Why no answer was read: told apart by types, said without URLs and secrets.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why no answer was read to its end. The text names host and port, never the URL's path, query or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// What broke.
    pub kind: TransportKind,
    text: String,
}

/// What broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// The host's name is not known.
    Dns,
    /// No connection: refused, unreachable or not answered in time.
    Connect,
    /// No secure connection.
    Tls,
    /// No first byte in time.
    Silent,
    /// The connection broke before an answer.
    Broken,
    /// The body stopped coming.
    Stalled,
    /// The body ended too early or is not compressed as it says.
    Cut,
    /// The body is longer than the pipeline accepts.
    TooLarge,
    /// The request cannot be sent as it is.
    Unsendable,
}

impl TransportError {
    pub(crate) fn new(kind: TransportKind, text: impl Into<String>) -> TransportError {
        TransportError { kind, text: text.into() }
    }

    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        !matches!(self.kind, TransportKind::TooLarge | TransportKind::Unsendable)
    }

    /// Whether the host was never reached: no other request will fare better.
    pub fn unreachable(&self) -> bool {
        matches!(self.kind, TransportKind::Dns | TransportKind::Connect | TransportKind::Tls)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for TransportError {}

/// Tells the cases of a request without an answer apart by the types in the error's chain.
pub(super) fn unanswered(error: reqwest::Error, at: &str) -> TransportError {
    let root = root_of(&error);
    if error.is_builder() {
        return TransportError::new(TransportKind::Unsendable, format!("the request to {at} cannot be sent: {root}"));
    }
    if !error.is_connect() {
        return TransportError::new(TransportKind::Broken, format!("the connection to {at} broke: {root}"));
    }
    if error.is_dns() {
        return TransportError::new(TransportKind::Dns, format!("cannot find the host of {at}: {root}"));
    }
    if error.is_timeout() {
        return TransportError::new(TransportKind::Connect, format!("cannot connect to {at}: no answer in time"));
    }
    if is_invalid_data(&error) {
        return TransportError::new(TransportKind::Tls, format!("no secure connection to {at}: {root}"));
    }
    TransportError::new(TransportKind::Connect, format!("cannot connect to {at}: {root}"))
}

/// Whether an I/O error of invalid data is among the causes: that is how the TLS library reports its findings.
fn is_invalid_data(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let mut wrapped = inner.downcast_ref::<io::Error>();
        // `source` skips what an I/O error wraps.
        while let Some(io) = wrapped {
            if io.kind() == io::ErrorKind::InvalidData {
                return true;
            }
            wrapped = io.get_ref().and_then(|inside| inside.downcast_ref::<io::Error>());
        }
        cause = inner.source();
    }
    false
}

/// The innermost cause: no layer between holds more than "error sending request".
pub(super) fn root_of(error: &reqwest::Error) -> String {
    let mut root: &dyn StdError = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}
