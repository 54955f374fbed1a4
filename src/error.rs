//! The one public error: a small kind that decides the exit code, a message, a way out, and the causes.
//!
//! Modules keep private enums where they must tell cases apart, and convert to [`Error`] at their edge. Messages are
//! lower-case fragments that name the file, the key or the account, what was expected and what was found; they never
//! hold a secret. `Display` prints this error alone, [`Error::report`] prints it with its causes and hint.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A flag, a setting, a pipeline file, a secret's reference or an SQL text is wrong: change it.
    BadInput,
    /// The platform refused or could not be reached, for good or beyond the retries.
    Platform,
    /// Another run holds the lease: wait for it.
    Busy,
    /// The lake or the state cannot be used as it is: full disk, newer schema, no permission, a changed layout.
    Storage,
    /// A fault of this program: please report it.
    Internal,
}

/// How a command ended, as the shell sees it. [`Outcome::code`] is the only place where codes are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Everything asked for is done.
    Done,
    /// Some units failed or are quarantined; everything else is published. `gaps` lists what is missing.
    PartlyFailed,
    /// The quota is used up for longer than the pipeline waits: come back at the time that was printed.
    Waiting,
    /// `gaps` found missing hours.
    GapsFound,
    /// `reconcile` found days on which the lake and the platform's other report differ.
    Differs,
    /// A signal ended the command before everything was done; what was done is kept.
    Stopped,
    /// The command ended with an error.
    Failed(ErrorKind),
}

impl Outcome {
    /// The exit code: 0 done, 1 partly failed, 2 bad input, 3 waiting for quota, 4 another run is busy, 5 gaps found,
    /// 6 the lake or state is not usable, 7 the platform refused, 8 stopped by a signal, 9 differences found, 70 internal
    /// (`EX_SOFTWARE` of sysexits).
    pub fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::PartlyFailed => 1,
            Outcome::Failed(ErrorKind::BadInput) => 2,
            Outcome::Waiting => 3,
            Outcome::Failed(ErrorKind::Busy) => 4,
            Outcome::GapsFound => 5,
            Outcome::Failed(ErrorKind::Storage) => 6,
            Outcome::Failed(ErrorKind::Platform) => 7,
            Outcome::Stopped => 8,
            Outcome::Differs => 9,
            Outcome::Failed(ErrorKind::Internal) => 70,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        ExitCode::from(outcome.code())
    }
}

/// What went wrong, whose turn it is, and what to do.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a lower-case `message` without a final period.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { inner: Box::new(Inner { kind, message: message.into(), hint: None, source: None }) }
    }

    /// Shorthand for [`ErrorKind::BadInput`].
    pub fn bad_input(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::BadInput, message)
    }

    /// Shorthand for [`ErrorKind::Platform`].
    pub fn platform(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Platform, message)
    }

    /// Shorthand for [`ErrorKind::Storage`].
    pub fn storage(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Storage, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// The same error with what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.inner.hint = Some(hint.into());
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.inner.source = Some(source.into());
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What the user can do about it, where there is something to say.
    pub fn hint_text(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The message, its causes on one line, and the hint on a line of its own: what a person is shown.
    pub fn report(&self) -> String {
        let mut text = self.inner.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Libraries often repeat their source in their own text; once is enough for a reader.
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        if let Some(hint) = &self.inner.hint {
            text.push_str("\n  hint: ");
            text.push_str(hint);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.inner.kind, self.report())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_cause_and_way_out_once() {
        let io = std::io::Error::new(std::io::ErrorKind::StorageFull, "no space left on device");
        let error = Error::storage("cannot write `lake/x.parquet`").because(io).hint("free some space");
        assert_eq!(error.report(), "cannot write `lake/x.parquet`: no space left on device\n  hint: free some space");
        assert_eq!(error.to_string(), "cannot write `lake/x.parquet`");
        assert_eq!(Outcome::Failed(error.kind()).code(), 6);
    }
}
