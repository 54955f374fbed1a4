//! How requests are signed, for people: where the secrets are, and never what they are.

use crate::error::Error;
use crate::http::jwt::SigningKey;
use crate::pipeline::{Auth, ClientSecret, Grant, OAuth2};
use crate::secret::SecretSource;

/// One line on it.
pub(super) fn auth_line(auth: &Auth) -> String {
    match auth {
        Auth::None => "nothing".to_owned(),
        Auth::Bearer { token, proof: None } => format!("bearer token from {token}"),
        Auth::Bearer { token, proof: Some(proof) } => {
            format!("bearer token from {token}, parameter `{}` made of it with {}", proof.param, proof.secret)
        }
        Auth::Header { name, value } => format!("header `{name}` from {value}"),
        Auth::Query { name, value } => format!("parameter `{name}` from {value}"),
        Auth::Basic { username, password } => format!("HTTP Basic, {username} and {password}"),
        Auth::OAuth2(rules) => oauth2_line(rules),
        Auth::OAuth1 { consumer_key, consumer_secret, token, token_secret } => {
            format!("OAuth 1, app {consumer_key} and {consumer_secret}, token {token} and {token_secret}")
        }
    }
}

fn oauth2_line(rules: &OAuth2) -> String {
    let mut line = format!("OAuth 2, access tokens from {}", rules.token_url);
    if let Grant::RefreshToken { token, keep } = &rules.grant {
        line.push_str(&format!(" for the refresh token from {token}"));
        if let Some(path) = keep {
            line.push_str(&format!(" (newer ones are kept in {})", path.display()));
        }
    }
    line.push_str(&format!(", client {}", rules.client_id));
    match &rules.client_secret {
        ClientSecret::None => {}
        ClientSecret::Secret(secret) => line.push_str(&format!(" and {secret}")),
        ClientSecret::Jwt(jwt) => {
            line.push_str(&format!(" and a token signed with {}, {} and {}", jwt.key, jwt.key_id, jwt.issuer));
        }
    }
    line
}

/// The secrets' files that cannot be used as things stand. That is no fault of the pipeline file: who checks it need not
/// have them, and environment variables are not looked at at all.
pub(super) fn unusable_files(auth: &Auth) -> Vec<String> {
    let mut lines = Vec::new();
    for source in auth.sources() {
        if let (SecretSource::File(_), Err(error)) = (source, source.resolve()) {
            lines.push(one_line(&error));
        }
    }
    let Auth::OAuth2(rules) = auth else { return lines };
    if let ClientSecret::Jwt(jwt) = &rules.client_secret
        && let Ok(pem) = jwt.key.resolve()
        && let Err(error) = SigningKey::from_pem(pem.expose())
    {
        lines.push(format!("the key `{}` {error}", jwt.key));
    }
    lines
}

/// With its causes and without its hint.
fn one_line(error: &Error) -> String {
    error.report().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::{JwtRules, Placement, Proof};

    fn env(name: &str) -> SecretSource {
        SecretSource::Env(name.into())
    }

    fn oauth2(client_secret: ClientSecret, grant: Grant) -> Auth {
        Auth::OAuth2(Box::new(OAuth2 {
            token_url: "https://auth.test/token".parse().expect("a URL"),
            grant,
            client_id: env("ID"),
            client_secret,
            scope: None,
            placement: Placement::Form,
            refresh_ahead: Duration::ZERO,
        }))
    }

    fn jwt(key: SecretSource) -> Auth {
        let (audience, lifetime) = ("https://auth.test".into(), Duration::from_secs(60));
        let rules = JwtRules { key, key_id: env("KEY"), issuer: env("TEAM"), audience, lifetime };
        oauth2(ClientSecret::Jwt(rules), Grant::ClientCredentials)
    }

    #[test]
    fn who_signs_and_where_the_secrets_are() {
        let kept = Grant::RefreshToken { token: env("R"), keep: Some("data/kept".into()) };
        assert_eq!(
            auth_line(&oauth2(ClientSecret::Secret(env("SECRET")), kept)),
            "OAuth 2, access tokens from https://auth.test/token for the refresh token from env:R (newer ones are kept in \
             data/kept), client env:ID and env:SECRET"
        );
        assert_eq!(
            auth_line(&jwt(SecretSource::File("key.pem".into()))),
            "OAuth 2, access tokens from https://auth.test/token, client env:ID and a token signed with file:key.pem, \
             env:KEY and env:TEAM"
        );
        let proof = Some(Proof { param: "proof".into(), secret: env("S") });
        assert_eq!(
            auth_line(&Auth::Bearer { token: env("T"), proof }),
            "bearer token from env:T, parameter `proof` made of it with env:S"
        );
    }

    #[test]
    fn files_that_are_not_there_yet_are_told_and_variables_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let auth = jwt(SecretSource::File(path.clone()));
        let [absent] = unusable_files(&auth).try_into().expect("one line");
        assert!(absent.starts_with(&format!("cannot read the secret `file:{}`: ", path.display())), "{absent}");
        std::fs::write(&path, "hunter2").expect("a file");
        let [no_key] = unusable_files(&auth).try_into().expect("one line");
        assert!(no_key.ends_with("its end") && !no_key.contains("hunter2"), "{no_key}");
        std::fs::write(&path, &crate::http::jwt::tests::new_key()[0]).expect("a file");
        assert_eq!(unusable_files(&auth), Vec::<String>::new());
    }
}
