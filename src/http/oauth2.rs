//! Token requests (RFC 6749) and what is answered to them. Whether one is sent again is not decided here.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::AUTHORIZATION;
use serde_json::Value;
use url::form_urlencoded;

use super::client::{Client, Response, connections, place};
use super::jwt::{Claims, SigningKey, signed};
use super::transport::TransportError;
use crate::classify::{Outcome, Reading, Verdict, classify};
use crate::error::{Error, Result};
use crate::pipeline::{Api, ClientSecret, Grant, HeaderText, Method, OAuth2, Placement};
use crate::request::{Origin, Parameter, Request, RequestBody};
use crate::secret::{Secret, mask};
use crate::time::{Clock, Instant};

/// A token answer is small.
const MAX_BODY: u64 = 1 << 20;
/// So many characters of a description are repeated.
const MAX_DESCRIPTION: usize = 160;

/// Who asks for tokens, read from where the pipeline says.
#[derive(Debug)]
pub struct Identity {
    id: Secret,
    proof: Proving,
}

/// How the client shows that it is who it says.
#[derive(Debug)]
enum Proving {
    Nothing,
    Secret(Secret),
    Jwt { key: Box<SigningKey>, key_id: Secret, issuer: Secret },
}

impl Identity {
    /// Reads it now.
    ///
    /// # Errors
    /// A secret that is absent, or a key that is none.
    pub fn read(rules: &OAuth2) -> Result<Identity> {
        let proof = match &rules.client_secret {
            ClientSecret::None => Proving::Nothing,
            ClientSecret::Secret(source) => Proving::Secret(source.resolve()?),
            ClientSecret::Jwt(jwt) => {
                let key = SigningKey::from_pem(jwt.key.resolve()?.expose())
                    .map_err(|error| Error::bad_input(format!("the key `{}` {error}", jwt.key)))?;
                Proving::Jwt { key: Box::new(key), key_id: jwt.key_id.resolve()?, issuer: jwt.issuer.resolve()? }
            }
        };
        Ok(Identity { id: rules.client_id.resolve()?, proof })
    }

    /// All of it that is ever sent.
    pub fn secrets(&self) -> Vec<&Secret> {
        match &self.proof {
            Proving::Nothing => vec![&self.id],
            Proving::Secret(secret) => vec![&self.id, secret],
            Proving::Jwt { key_id, issuer, .. } => vec![&self.id, key_id, issuer],
        }
    }

    fn client_secret(&self, rules: &OAuth2, now: Instant) -> Result<Option<Secret>> {
        match (&self.proof, &rules.client_secret) {
            (Proving::Secret(secret), _) => Ok(Some(secret.clone())),
            (Proving::Jwt { key, key_id, issuer }, ClientSecret::Jwt(jwt)) => {
                let claims = Claims {
                    key_id: key_id.expose(),
                    issuer: issuer.expose(),
                    subject: self.id.expose(),
                    audience: &jwt.audience,
                    lifetime: jwt.lifetime,
                };
                let token = signed(&claims, now, key)
                    .ok_or_else(|| Error::internal(format!("nothing can be signed with the key `{}`", jwt.key)))?;
                Ok(Some(Secret::new(token)))
            }
            _ => Ok(None),
        }
    }
}

fn agent_of(api: &Api) -> Option<String> {
    api.headers.iter().find_map(|(name, text)| match text {
        HeaderText::Literal(text) if name.eq_ignore_ascii_case("user-agent") => Some(text.clone()),
        HeaderText::Literal(_) | HeaderText::Secret(_) => None,
    })
}

/// Where tokens are asked for.
#[derive(Debug)]
pub struct TokenDesk {
    pool: reqwest::Client,
    /// The token endpoint in the place of the API: nothing else is named, and no header of the API's goes there.
    api: Api,
    rules: OAuth2,
    /// What the API's requests call their sender, where the file says so.
    agent: Option<String>,
    clock: Clock,
}

impl TokenDesk {
    /// Makes the connection pool; connects to nothing.
    ///
    /// # Errors
    /// A system without TLS certificates where https is needed.
    pub fn new(api: &Api, rules: &OAuth2, clock: Clock) -> Result<TokenDesk> {
        let agent = agent_of(api);
        let mut api = api.clone();
        api.base_url = rules.token_url.clone();
        api.headers.clear();
        api.hosts.clear();
        api.max_body = api.max_body.min(MAX_BODY);
        Ok(TokenDesk { pool: connections(&api)?, api, rules: rules.clone(), agent, clock })
    }

    /// What is asked for, and with what.
    pub fn rules(&self) -> &OAuth2 {
        &self.rules
    }

    /// The endpoint for people: `host:port`.
    pub fn place(&self) -> String {
        place(&self.rules.token_url)
    }

    /// A request for an access token, for the refresh token `spent` where the grant is one. All secrets are read anew:
    /// somebody may have put others there. Those that were `known` before are masked as well in what is answered.
    ///
    /// # Errors
    /// A secret that is absent, or a key that is none.
    pub fn request(&self, spent: Option<&Secret>, known: &[Secret]) -> Result<TokenRequest> {
        let identity = Identity::read(&self.rules)?;
        let secret = identity.client_secret(&self.rules, self.clock.now())?;
        let mut client = Client::blank(self.pool.clone(), self.api.clone(), self.clock);
        client.remember(known);
        for secret in identity.secrets() {
            client.hide(secret.expose());
        }
        let mut parameters = vec![parameter("grant_type", grant_word(&self.rules.grant))];
        if self.rules.placement == Placement::Basic {
            let pair = basic(&identity.id, secret.as_ref());
            client.add_header(AUTHORIZATION.as_str(), &format!("Basic {pair}"), &self.rules.client_id)?;
            client.hide(&pair);
            if let Some(secret) = &secret {
                client.hide(secret.expose());
            }
        } else {
            let both = [("client_id", Some(&identity.id)), ("client_secret", secret.as_ref())];
            for (name, secret) in both {
                parameters.extend(secret.map(|secret| hidden(&mut client, name, secret)));
            }
        }
        parameters.extend(spent.map(|token| hidden(&mut client, "refresh_token", token)));
        parameters.extend(self.rules.scope.as_deref().map(|scope| parameter("scope", scope)));
        let (query, form) = match self.rules.placement {
            Placement::Query => (parameters, Vec::new()),
            Placement::Form | Placement::Basic => (Vec::new(), parameters),
        };
        // Whoever calls himself something to the platform does so here too; its other headers are none of this server's business.
        let agent = self.agent.clone().map(|name| ("user-agent".to_owned(), name));
        let headers = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")];
        let request = Request {
            method: Method::Post,
            url: self.rules.token_url.clone(),
            query,
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .chain(agent)
                .collect(),
            body: RequestBody::Form(form),
            signed: true,
        };
        Ok(TokenRequest { request, client })
    }
}

fn grant_word(grant: &Grant) -> &'static str {
    match grant {
        Grant::RefreshToken { .. } => "refresh_token",
        Grant::ClientCredentials => "client_credentials",
    }
}

fn parameter(name: &str, value: &str) -> Parameter {
    Parameter { name: name.to_owned(), value: value.to_owned(), origin: Origin::Declared }
}

/// A parameter whose value only the client knows.
fn hidden(client: &mut Client, name: &str, secret: &Secret) -> Parameter {
    client.add_parameter(name.to_owned(), secret.clone());
    Parameter { name: name.to_owned(), value: name.to_owned(), origin: Origin::Secret }
}

/// RFC 6749, section 2.3.1: both are written as in a form before they become HTTP Basic's.
fn basic(id: &Secret, secret: Option<&Secret>) -> String {
    let encoded = |secret: &Secret| form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect::<String>();
    STANDARD.encode(format!("{}:{}", encoded(id), secret.map(encoded).unwrap_or_default()))
}

/// A token request that can be sent, any number of times.
#[derive(Debug)]
pub struct TokenRequest {
    request: Request,
    client: Client,
}

/// An access token that was given.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The token.
    pub access: Secret,
    /// How long it holds, where that is told.
    pub lifetime: Option<Duration>,
    /// The refresh token that goes with it from now on, where one is told.
    pub refresh: Option<Secret>,
}

/// Whose fault a final refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The refresh token's: it has ended or was revoked.
    Grant,
    /// The client's: its id, its secret, or what it may do.
    Client,
    /// The scope's.
    Scope,
    /// The request's.
    Request,
}

/// What came of a token request.
#[derive(Debug)]
pub enum TokenAnswer {
    /// A token.
    Granted(Granted),
    /// None, and the same request will never bring one.
    Refused {
        /// Whose fault that is.
        fault: Fault,
        /// What was answered, without secrets.
        why: String,
    },
    /// None, for another reason: it may pass or not.
    NoToken(Verdict),
}

impl TokenRequest {
    /// Sends it once.
    ///
    /// # Errors
    /// [`TransportError`] where no answer was read to its end.
    pub async fn send(&self) -> Result<Response, TransportError> {
        self.client.send(&self.request, None, || {}).await
    }

    /// The secrets that are sent, in every form, and those that were known before.
    pub fn secrets(&self) -> &[Secret] {
        self.client.secrets()
    }

    /// What an answer means.
    pub fn read(&self, answer: &Result<Response, TransportError>, now: Instant) -> TokenAnswer {
        let why = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let outcome = match answer {
            Ok(response) => {
                Outcome::Answer { status: response.status, headers: &response.headers, body: &response.body }
            }
            Err(error) => Outcome::Broken { why: &why, may_pass: error.may_pass() },
        };
        let reading = Reading { rules: &[], secrets: self.secrets(), now, refusals: 0 };
        let verdict = classify(&outcome, &reading);
        let document = answer.as_ref().ok().and_then(|response| serde_json::from_slice::<Value>(&response.body).ok());
        match (&verdict, document) {
            (Verdict::Ok, Some(document)) => match granted(&document) {
                Some(granted) => TokenAnswer::Granted(granted),
                None => self.refused(answer, &document).unwrap_or(TokenAnswer::NoToken(not_a_token())),
            },
            (Verdict::Ok, None) => TokenAnswer::NoToken(not_a_token()),
            (Verdict::Fail { .. } | Verdict::Reauthorise { .. }, Some(document)) => {
                self.refused(answer, &document).unwrap_or_else(|| without_a_code(verdict))
            }
            _ => without_a_code(verdict),
        }
    }

    /// The refusals of RFC 6749, section 5.2, and what is said beside them in practice.
    fn refused(&self, answer: &Result<Response, TransportError>, document: &Value) -> Option<TokenAnswer> {
        let code = document.get("error")?.as_str()?;
        let description = document.get("error_description").and_then(Value::as_str).unwrap_or_default();
        let status = answer.as_ref().map_or(0, |response| response.status);
        // Masked before it is cut: half a secret is not found any more.
        let said = mask(&format!("{code} {description}"), self.secrets());
        let said: Vec<&str> = said.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        let said: String = said.join(" ").trim().chars().take(MAX_DESCRIPTION).collect();
        let why = format!("HTTP {status}: {said}");
        let fault = match code {
            "temporarily_unavailable" | "server_error" | "slow_down" => {
                return Some(TokenAnswer::NoToken(Verdict::Retry { why }));
            }
            "invalid_grant" => Fault::Grant,
            "invalid_client" | "unauthorized_client" | "access_denied" => Fault::Client,
            "invalid_scope" => Fault::Scope,
            _ => Fault::Request,
        };
        Some(TokenAnswer::Refused { fault, why })
    }
}

/// A refusal that names no code of the standard.
fn without_a_code(verdict: Verdict) -> TokenAnswer {
    match verdict {
        Verdict::Reauthorise { why } => TokenAnswer::Refused { fault: Fault::Client, why },
        Verdict::NotModified => TokenAnswer::NoToken(not_a_token()),
        other => TokenAnswer::NoToken(other),
    }
}

/// The body is not repeated: it may hold what is not known as a token yet.
fn not_a_token() -> Verdict {
    Verdict::Unreadable { why: "the answer is not a token: expected JSON with `access_token`".to_owned() }
}

fn granted(document: &Value) -> Option<Granted> {
    let text = |name: &str| document.get(name)?.as_str().filter(|text| !text.is_empty()).map(Secret::new);
    let seconds = match document.get("expires_in") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    // What holds for no time, or less, was not meant so.
    let lifetime =
        seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(Granted { access: text("access_token")?, lifetime, refresh: text("refresh_token") })
}

#[cfg(test)]
mod tests;
