//! What is said where nobody can be signed in: which source is meant, and what a person can do.

use std::path::Path;

use super::super::send::reason;
use super::Trouble;
use crate::classify::Verdict;
use crate::error::ErrorKind;
use crate::http::client::place;
use crate::http::oauth2::{Fault, TokenDesk};
use crate::pipeline::{Auth, ClientSecret, OAuth2};
use crate::retry::Tries;
use crate::secret::SecretSource;

/// The refresh token, or both of them, are accepted no longer.
pub(super) fn dead_token(desk: &TokenDesk, source: &SecretSource, keep: Option<&Path>, why: &str) -> Trouble {
    let place = desk.place();
    let message = match keep.filter(|path| path.exists()) {
        Some(path) => {
            let path = path.display();
            format!("{place} accepts neither the refresh token kept in `{path}` nor that of `{source}`: {why}")
        }
        None => format!("{place} does not accept the refresh token of `{source}` any more: {why}"),
    };
    let hint = format!("a person must sign in with the platform again and put the new refresh token into `{source}`");
    Trouble::Failed { kind: ErrorKind::Platform, message, hint }
}

/// Whatever else is refused for good.
pub(super) fn refused(desk: &TokenDesk, fault: Fault, why: &str) -> Trouble {
    let (rules, place) = (desk.rules(), desk.place());
    let (message, hint) = match fault {
        Fault::Client => (
            format!("{place} does not accept the client {}: {why}", client_words(rules)),
            "compare them with what the platform shows of the app; what has ended must be made there anew".to_owned(),
        ),
        Fault::Scope => (
            format!("{place} gives no token for the scope of `auth.scope`: {why}"),
            "write what the platform allows the app, or leave it out".to_owned(),
        ),
        Fault::Grant | Fault::Request => (
            format!("{place} gives no token {}: {why}", client_words(rules)),
            "compare `[auth]` with what the platform says about its token endpoint".to_owned(),
        ),
    };
    Trouble::Failed { kind: ErrorKind::Platform, message, hint }
}

/// Where the client's credentials come from.
fn client_words(rules: &OAuth2) -> String {
    let id = &rules.client_id;
    match &rules.client_secret {
        ClientSecret::None => format!("of `{id}`"),
        ClientSecret::Secret(secret) => format!("of `{id}` with the secret of `{secret}`"),
        ClientSecret::Jwt(jwt) => format!("of `{id}` with a token signed with `{}`", jwt.key),
    }
}

/// The endpoint cannot be reached or is not well: that says nothing about the credentials.
pub(super) fn no_token(desk: &TokenDesk, verdict: &Verdict, tries: Tries) -> Trouble {
    let why = reason(verdict);
    let attempts = match tries.total() {
        0 | 1 => String::new(),
        many => format!(" (after {many} attempts)"),
    };
    let message = format!("no access token from {}: {why}{attempts}", desk.place());
    let hint = match verdict {
        Verdict::Retry { .. } | Verdict::Throttled { .. } => {
            "the credentials were not refused: check the network and `auth.token_url`, or come back when it is well"
        }
        _ => "check `auth.token_url`",
    };
    Trouble::Failed { kind: ErrorKind::Platform, message, hint: hint.to_owned() }
}

/// Where the credentials that were not accepted come from, and what to look at.
pub(in crate::fetch) fn credentials_hint(auth: &Auth) -> Option<String> {
    let refused = |source: &SecretSource| format!("the platform does not accept the credentials of `{source}`");
    match auth {
        Auth::None => None,
        Auth::OAuth2(rules) => {
            let place = place(&rules.token_url);
            let source = auth.sources().first().map(ToString::to_string).unwrap_or_default();
            Some(format!("the platform does not accept even a fresh access token that {place} gave for `{source}`"))
        }
        Auth::OAuth1 { .. } => {
            let source = auth.sources().first().map(|source| refused(source))?;
            Some(format!("{source}, or not how they sign: compare all four and this machine's clock"))
        }
        Auth::Bearer { .. } | Auth::Header { .. } | Auth::Query { .. } | Auth::Basic { .. } => {
            auth.sources().first().map(|source| refused(source))
        }
    }
}
