//! How requests are signed.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::secret::SecretSource;

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer <token>`.
    Bearer {
        /// The token.
        token: SecretSource,
        /// A query parameter that proves that the sender knows another secret besides.
        proof: Option<Proof>,
    },
    /// A header of the platform's own.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
    /// HTTP Basic.
    Basic {
        /// The user's name.
        username: SecretSource,
        /// The password.
        password: SecretSource,
    },
    /// `Authorization: Bearer <access token>`, the token fetched from a token endpoint (OAuth 2, RFC 6749).
    OAuth2(Box<OAuth2>),
    /// Every request signed by itself with HMAC-SHA1 (OAuth 1.0a, RFC 5849).
    OAuth1 {
        /// The app.
        consumer_key: SecretSource,
        /// The app's secret.
        consumer_secret: SecretSource,
        /// The user's token.
        token: SecretSource,
        /// The token's secret.
        token_secret: SecretSource,
    },
}

/// A query parameter with the HMAC-SHA256 of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The parameter's name.
    pub param: String,
    /// The key.
    pub secret: SecretSource,
}

/// How access tokens are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// The token endpoint. It is sent the client's credentials and nothing else, and is sent them alone.
    pub token_url: Url,
    /// What a token is given for.
    pub grant: Grant,
    /// Who asks.
    pub client_id: SecretSource,
    /// How the client shows that it is who it says.
    pub client_secret: ClientSecret,
    /// What the token is to allow, where that is said.
    pub scope: Option<String>,
    /// Where the client's id and secret go.
    pub placement: Placement,
    /// A token is renewed so long before it ends.
    pub refresh_ahead: Duration,
}

/// What an access token is given for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// For a refresh token, which a person got by signing in.
    RefreshToken {
        /// The one that a person has put there.
        token: SecretSource,
        /// The file in which a newer one is kept that the platform gave in its place.
        keep: Option<PathBuf>,
    },
    /// For the client's own credentials.
    ClientCredentials,
}

/// How the client shows that it is who it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// Not at all: a public client.
    None,
    /// By a secret.
    Secret(SecretSource),
    /// By a token of its own making, signed with its key (RFC 7519, ES256).
    Jwt(JwtRules),
}

/// What stands in a JWT that serves as client secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRules {
    /// The key, PEM.
    pub key: SecretSource,
    /// `kid`.
    pub key_id: SecretSource,
    /// `iss`.
    pub issuer: SecretSource,
    /// `aud`.
    pub audience: String,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
}

/// Where the client's id and secret go in a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Into the form body.
    Form,
    /// Into the header `Authorization`, by HTTP Basic.
    Basic,
    /// Into the query, as everything else; the body is empty.
    Query,
}

impl Auth {
    /// Every secret that is read, in the file's order of importance: the first is the one that most likely has ended
    /// where the platform accepts the credentials no longer.
    pub fn sources(&self) -> Vec<&SecretSource> {
        match self {
            Auth::None => Vec::new(),
            Auth::Bearer { token, proof } => {
                std::iter::once(token).chain(proof.iter().map(|proof| &proof.secret)).collect()
            }
            Auth::Header { value, .. } | Auth::Query { value, .. } => vec![value],
            Auth::Basic { username, password } => vec![password, username],
            Auth::OAuth2(rules) => rules.sources(),
            Auth::OAuth1 { consumer_key, consumer_secret, token, token_secret } => {
                vec![token, token_secret, consumer_key, consumer_secret]
            }
        }
    }
}

impl OAuth2 {
    fn sources(&self) -> Vec<&SecretSource> {
        let mut sources = Vec::new();
        if let Grant::RefreshToken { token, .. } = &self.grant {
            sources.push(token);
        }
        sources.push(&self.client_id);
        match &self.client_secret {
            ClientSecret::None => {}
            ClientSecret::Secret(secret) => sources.push(secret),
            ClientSecret::Jwt(jwt) => sources.extend([&jwt.key, &jwt.key_id, &jwt.issuer]),
        }
        sources
    }

    /// The file in which a newer refresh token is kept.
    pub fn keep(&self) -> Option<&std::path::Path> {
        match &self.grant {
            Grant::RefreshToken { keep, .. } => keep.as_deref(),
            Grant::ClientCredentials => None,
        }
    }
}
