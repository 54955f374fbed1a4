//! The part of the file that says how requests are signed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests are signed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Auth {
    /// Not at all.
    #[default]
    None,
    /// The header `Authorization: Bearer TOKEN`.
    Bearer {
        /// The token's whereabouts: `env:NAME` or `file:PATH`.
        token: String,
        /// A query parameter that proves that the sender knows another secret besides.
        proof: Option<Proof>,
    },
    /// A header of the platform's own.
    Header {
        /// The header's name.
        name: String,
        /// The whereabouts of its value: `env:NAME` or `file:PATH`.
        value: String,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// The whereabouts of its value: `env:NAME` or `file:PATH`.
        value: String,
    },
    /// HTTP Basic.
    Basic {
        /// The whereabouts of the user's name: `env:NAME` or `file:PATH`.
        username: String,
        /// The whereabouts of the password: `env:NAME` or `file:PATH`.
        password: String,
    },
    /// The header `Authorization: Bearer ACCESS_TOKEN` with a token that is fetched from a token endpoint when it is first
    /// needed, renewed before it ends, and fetched once more after an answer that means `reauthorise`. Token requests are
    /// repeated as `[retry]` says and count for no quota.
    #[serde(rename = "oauth2")]
    OAuth2 {
        /// The token endpoint, a full https URL. Its host need not be in `api.hosts`: it is sent nothing but what is
        /// written here.
        token_url: String,
        /// What a token is given for.
        #[serde(default)]
        grant: Grant,
        /// The whereabouts of the client's id: `env:NAME` or `file:PATH`.
        client_id: String,
        /// The whereabouts of the client's secret: `env:NAME` or `file:PATH`.
        client_secret: Option<String>,
        /// With `grant = "refresh_token"`: the whereabouts of the refresh token that a person got by signing in.
        refresh_token: Option<String>,
        /// What the token is to allow, as the platform writes it.
        scope: Option<String>,
        /// Where the client's id and secret go.
        #[serde(default)]
        credentials: Credentials,
        /// With `grant = "refresh_token"`: the file in which a refresh token is kept that the platform gives in the place
        /// of the old one. It goes before `refresh_token` once it is there; without it a run forgets what it was given.
        keep: Option<String>,
        /// A token is renewed so long before it ends, or at the half of its time where that is shorter.
        #[serde(default = "five_minutes")]
        refresh_ahead: String,
        /// In the place of `client_secret`: a JSON Web Token that is made and signed anew for every token request.
        jwt: Option<Jwt>,
    },
    /// Every request is signed by itself with HMAC-SHA1 (OAuth 1.0a); such tokens do not end by themselves.
    #[serde(rename = "oauth1")]
    OAuth1 {
        /// The whereabouts of the app's key: `env:NAME` or `file:PATH`.
        consumer_key: String,
        /// The whereabouts of the app's secret: `env:NAME` or `file:PATH`.
        consumer_secret: String,
        /// The whereabouts of the user's token: `env:NAME` or `file:PATH`.
        token: String,
        /// The whereabouts of that token's secret: `env:NAME` or `file:PATH`.
        token_secret: String,
    },
}

/// A query parameter of every signed request with the HMAC-SHA256 of the token in hexadecimal digits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// The parameter's name.
    pub param: String,
    /// The whereabouts of the key, as the app's secret: `env:NAME` or `file:PATH`.
    pub secret: String,
}

/// What an access token is given for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grant {
    /// For a refresh token, which a person got by signing in.
    #[default]
    RefreshToken,
    /// For the client's own id and secret.
    ClientCredentials,
}

/// Where the client's id and secret go in a token request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credentials {
    /// Into the form body.
    #[default]
    Form,
    /// Into the header `Authorization`, by HTTP Basic.
    Basic,
    /// Into the query, as all other parameters; the body is empty.
    Query,
}

/// A JSON Web Token as client secret: signed with ES256, its `sub` is the client's id.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// The whereabouts of the private key, an elliptic curve P-256 key as PEM: `env:NAME` or `file:PATH`.
    pub key: String,
    /// The whereabouts of the key's id (`kid`): `env:NAME` or `file:PATH`.
    pub key_id: String,
    /// The whereabouts of the issuer (`iss`): `env:NAME` or `file:PATH`.
    pub issuer: String,
    /// Whom it is for (`aud`), as the platform writes it.
    pub audience: String,
    /// How long it holds, at most `180d`.
    #[serde(default = "one_hour")]
    pub lifetime: String,
}

fn five_minutes() -> String {
    "5m".to_owned()
}

fn one_hour() -> String {
    "1h".to_owned()
}
