//! Secrets and where they come from. A secret is never part of a pipeline file, only its whereabouts are.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

/// Where a secret is found when it is needed: `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// An environment variable's name.
    Env(String),
    /// A file's path; its content without white space at the ends is the secret.
    File(PathBuf),
}

impl SecretSource {
    /// Reads `env:NAME` or `file:PATH`; anything else is refused without being repeated, because it may be the
    /// secret itself.
    pub fn parse(text: &str) -> Option<SecretSource> {
        match text.split_once(':') {
            Some(("env", name)) if is_variable_name(name) => Some(SecretSource::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Some(SecretSource::File(PathBuf::from(path))),
            _ => None,
        }
    }

    /// Reads the secret now. An absent or empty one is an error that names where it was looked for.
    pub fn resolve(&self) -> Result<Secret> {
        let text = match self {
            SecretSource::Env(name) => std::env::var(name).map_err(|_| {
                Error::bad_input(format!("the secret `env:{name}` is not set"))
                    .hint(format!("export {name}=... before the command, or name a file with `file:PATH`"))
            })?,
            SecretSource::File(path) => std::fs::read_to_string(path).map_err(|error| {
                Error::bad_input(format!("cannot read the secret `file:{}`", path.display()))
                    .because(error)
                    .hint("the file holds nothing but the secret and is readable by this user")
            })?,
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::bad_input(format!("the secret `{self}` is empty")));
        }
        Ok(Secret(SecretString::from(text.to_owned())))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "env:{name}"),
            SecretSource::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A secret's text. `Debug` and `Display` are masked; [`Secret::expose`] is the one way to it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text, as tests and token caches do.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(SecretString::from(text.into()))
    }

    /// The text itself: only for the request that is being sent.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Shorter secrets are parts of ordinary words; masking them would make messages unreadable and tell the secret.
const SHORTEST_MASKED: usize = 4;

/// What stands in a text in the place of a secret.
pub const MASKED: &str = "[secret]";

/// `text` with every one of `secrets` in it replaced: platforms repeat tokens in their error messages.
pub fn mask(text: &str, secrets: &[Secret]) -> String {
    let mut masked = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.expose().len() >= SHORTEST_MASKED) {
        if masked.contains(secret.expose()) {
            masked = masked.replace(secret.expose(), MASKED);
        }
    }
    masked
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASKED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASKED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whereabouts_are_accepted() {
        assert_eq!(SecretSource::parse("env:A_1"), Some(SecretSource::Env("A_1".into())));
        assert_eq!(SecretSource::parse("file:/run/t"), Some(SecretSource::File("/run/t".into())));
        for text in ["", "EAAB...", "env:", "env:A B", "file:", "vault:x"] {
            assert_eq!(SecretSource::parse(text), None, "{text}");
        }
    }

    #[test]
    fn secrets_are_masked_in_what_others_say() {
        let secrets = [Secret::new("hunter2"), Secret::new("x")];
        assert_eq!(mask("token hunter2 expired", &secrets), "token [secret] expired");
    }

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn an_absent_secret_names_its_source() {
        let error = SecretSource::Env("HOURMARK_NO_SUCH_VARIABLE".into()).resolve().expect_err("absent");
        assert!(error.report().contains("env:HOURMARK_NO_SUCH_VARIABLE"), "{}", error.report());
    }
}
