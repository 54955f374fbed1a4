//! How requests are signed, and secrets that are sent as parameters.

use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::super::problem::{KeyPath, shown};
use super::super::{Auth, ClientSecret, Grant, JwtRules, OAuth2, Placement, Proof, raw};
use super::Checker;
use crate::secret::SecretSource;

/// Platforms accept no longer ones.
const LONGEST_JWT: Duration = Duration::from_secs(180 * 86_400);

impl Checker<'_> {
    pub(super) fn auth(&mut self, auth: &raw::Auth) -> Option<Auth> {
        let path = KeyPath::root().key("auth");
        match auth {
            raw::Auth::None => Some(Auth::None),
            raw::Auth::Bearer { token, proof } => {
                let token = self.secret(&path.key("token"), token);
                let proof = self.proof(&path.key("proof"), proof.as_ref());
                Some(Auth::Bearer { token: token?, proof: proof? })
            }
            raw::Auth::Header { name, value } => {
                let good_name = self.header_name(&path.key("name"), name);
                let value = self.secret(&path.key("value"), value);
                good_name?;
                Some(Auth::Header { name: name.clone(), value: value? })
            }
            raw::Auth::Query { name, value } => {
                let good_name = self.parameter(&path.key("name"), name);
                let value = self.secret(&path.key("value"), value);
                good_name?;
                Some(Auth::Query { name: name.clone(), value: value? })
            }
            raw::Auth::Basic { username, password } => {
                let username = self.secret(&path.key("username"), username);
                let password = self.secret(&path.key("password"), password);
                Some(Auth::Basic { username: username?, password: password? })
            }
            raw::Auth::OAuth2 { .. } => self.oauth2(&path, auth),
            raw::Auth::OAuth1 { consumer_key, consumer_secret, token, token_secret } => {
                let consumer_key = self.secret(&path.key("consumer_key"), consumer_key);
                let consumer_secret = self.secret(&path.key("consumer_secret"), consumer_secret);
                let token = self.secret(&path.key("token"), token);
                let token_secret = self.secret(&path.key("token_secret"), token_secret);
                Some(Auth::OAuth1 {
                    consumer_key: consumer_key?,
                    consumer_secret: consumer_secret?,
                    token: token?,
                    token_secret: token_secret?,
                })
            }
        }
    }

    fn proof(&mut self, path: &KeyPath, proof: Option<&raw::Proof>) -> Option<Option<Proof>> {
        let Some(proof) = proof else { return Some(None) };
        let good_name = self.parameter(&path.key("param"), &proof.param);
        let secret = self.secret(&path.key("secret"), &proof.secret);
        good_name?;
        Some(Some(Proof { param: proof.param.clone(), secret: secret? }))
    }

    fn oauth2(&mut self, path: &KeyPath, auth: &raw::Auth) -> Option<Auth> {
        let raw::Auth::OAuth2 {
            token_url,
            grant,
            client_id,
            client_secret,
            refresh_token,
            scope,
            credentials,
            keep,
            refresh_ahead,
            jwt,
        } = auth
        else {
            return None;
        };
        let token_url = self.token_url(&path.key("token_url"), token_url);
        let client_id = self.secret(&path.key("client_id"), client_id);
        let client_secret = self.client_secret(path, client_secret.as_deref(), jwt.as_ref());
        let grant = match grant {
            raw::Grant::RefreshToken => self.refresh_grant(path, refresh_token.as_deref(), keep.as_deref()),
            raw::Grant::ClientCredentials => self.client_grant(path, auth),
        };
        let scope = self.scope(&path.key("scope"), scope.as_deref());
        let refresh_ahead = self.duration(&path.key("refresh_ahead"), refresh_ahead);
        let placement = match credentials {
            raw::Credentials::Form => Placement::Form,
            raw::Credentials::Basic => Placement::Basic,
            raw::Credentials::Query => Placement::Query,
        };
        let client_secret = client_secret?;
        if placement == Placement::Basic && client_secret == ClientSecret::None {
            self.wrong(&path.key("credentials"), "is basic, which sends a secret: expected `client_secret` beside it");
            return None;
        }
        Some(Auth::OAuth2(Box::new(OAuth2 {
            token_url: token_url?,
            grant: grant?,
            client_id: client_id?,
            client_secret,
            scope: scope?,
            placement,
            refresh_ahead: refresh_ahead?,
        })))
    }

    /// Taken as it is, with a slash at its end. The text is never repeated: it may hold a secret.
    fn token_url(&mut self, path: &KeyPath, text: &str) -> Option<Url> {
        let parsed = Url::parse(text).ok();
        let Some(url) = parsed.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) else {
            self.wrong(path, "is not an https URL: expected one such as https://auth.example.com/oauth/token");
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            self.wrong(
                path,
                "holds more than scheme, host and path: expected `client_id`, `scope` and so on beside it",
            );
            return None;
        }
        if url.scheme() == "http" && !is_this_machine(&url) {
            self.wrong(path, "would send the credentials in the clear: expected https");
            return None;
        }
        Some(url)
    }

    fn client_secret(&mut self, path: &KeyPath, secret: Option<&str>, jwt: Option<&raw::Jwt>) -> Option<ClientSecret> {
        match (secret, jwt) {
            (None, None) => Some(ClientSecret::None),
            (Some(text), None) => self.secret(&path.key("client_secret"), text).map(ClientSecret::Secret),
            (None, Some(jwt)) => self.jwt(&path.key("jwt"), jwt).map(ClientSecret::Jwt),
            (Some(_), Some(_)) => {
                let message = "cannot stand beside `auth.client_secret`: it takes its place";
                self.wrong(&path.key("jwt"), message);
                None
            }
        }
    }

    fn jwt(&mut self, path: &KeyPath, jwt: &raw::Jwt) -> Option<JwtRules> {
        let key = self.secret(&path.key("key"), &jwt.key);
        let key_id = self.secret(&path.key("key_id"), &jwt.key_id);
        let issuer = self.secret(&path.key("issuer"), &jwt.issuer);
        let lifetime = self.waiting_time(&path.key("lifetime"), &jwt.lifetime);
        if jwt.audience.trim().is_empty() {
            self.wrong(&path.key("audience"), "is empty: expected the platform's name for itself");
            return None;
        }
        let lifetime = lifetime?;
        if lifetime > LONGEST_JWT {
            self.wrong(&path.key("lifetime"), format!("is {}: expected at most 180d", shown(&jwt.lifetime)));
            return None;
        }
        Some(JwtRules { key: key?, key_id: key_id?, issuer: issuer?, audience: jwt.audience.clone(), lifetime })
    }

    fn refresh_grant(&mut self, path: &KeyPath, token: Option<&str>, keep: Option<&str>) -> Option<Grant> {
        let source = match token {
            Some(text) => self.secret(&path.key("refresh_token"), text),
            None => {
                let key = path.key("refresh_token");
                self.report(path, format!("missing key `{key}`: the grant \"refresh_token\" needs it"));
                None
            }
        };
        let keep = self.keep(&path.key("keep"), keep);
        let (source, keep) = (source?, keep?);
        if let (SecretSource::File(given), Some(kept)) = (&source, &keep)
            && given == kept
        {
            self.wrong(&path.key("keep"), "is the file of `refresh_token`, which is a person's: expected another");
            return None;
        }
        Some(Grant::RefreshToken { token: source, keep })
    }

    /// A path as it is written in `file:PATH`, without that word.
    fn keep(&mut self, path: &KeyPath, keep: Option<&str>) -> Option<Option<PathBuf>> {
        let Some(text) = keep else { return Some(None) };
        let is_file = PathBuf::from(text).file_name().is_some() && !text.ends_with(['/', '\\']);
        if !is_file || SecretSource::parse(text).is_some() {
            self.wrong(path, "is not a file's path: expected one such as data/secrets/acme_refresh_token");
            return None;
        }
        Some(Some(PathBuf::from(text)))
    }

    fn client_grant(&mut self, path: &KeyPath, auth: &raw::Auth) -> Option<Grant> {
        let raw::Auth::OAuth2 { client_secret, refresh_token, keep, jwt, .. } = auth else { return None };
        let before = self.problems.count();
        for (key, given) in [("refresh_token", refresh_token), ("keep", keep)] {
            if given.is_some() {
                self.wrong(&path.key(key), "has a meaning only with `grant = \"refresh_token\"`");
            }
        }
        if client_secret.is_none() && jwt.is_none() {
            let key = path.key("client_secret");
            let message =
                format!("missing key `{key}`: the grant \"client_credentials\" needs it, or a table `auth.jwt`");
            self.report(path, message);
        }
        (self.problems.count() == before).then_some(Grant::ClientCredentials)
    }

    fn scope(&mut self, path: &KeyPath, scope: Option<&str>) -> Option<Option<String>> {
        let Some(text) = scope else { return Some(None) };
        if text.trim().is_empty() || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            self.wrong(path, "is not a scope: expected printable ASCII such as ads.read offline_access");
            return None;
        }
        Some(Some(text.to_owned()))
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
