//! Whose requests they are: the secrets, read, and hidden from whatever is shown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use url::form_urlencoded;

use super::super::oauth1;
use super::super::proof::proof;
use super::{Client, Signing};
use crate::error::{Error, Result};
use crate::pipeline::{Auth, HeaderText};
use crate::secret::Secret;

impl Client {
    pub(super) fn read_secrets(&mut self, auth: &Auth) -> Result<()> {
        for (name, text) in self.api.headers.clone() {
            if let HeaderText::Secret(source) = text {
                let secret = source.resolve()?;
                self.add_header(&name, secret.expose(), &source)?;
                self.hide(secret.expose());
            }
        }
        for source in self.sources.clone() {
            self.add_parameter(source.to_string(), source.resolve()?);
        }
        self.sign(auth)?;
        self.in_use = self.secrets.len();
        Ok(())
    }

    fn sign(&mut self, auth: &Auth) -> Result<()> {
        match auth {
            Auth::None => {}
            Auth::Bearer { token, proof: proven } => {
                let secret = token.resolve()?;
                self.add_header(AUTHORIZATION.as_str(), &format!("Bearer {}", secret.expose()), token)?;
                self.hide(secret.expose());
                if let Some(proven) = proven {
                    let key = proven.secret.resolve()?;
                    let value = Secret::new(proof(secret.expose(), key.expose()));
                    self.hide(key.expose());
                    self.hide(value.expose());
                    self.signing = Signing::Query { name: proven.param.clone(), value };
                }
            }
            Auth::Header { name, value } => {
                let secret = value.resolve()?;
                self.add_header(name, secret.expose(), value)?;
                self.hide(secret.expose());
            }
            Auth::Query { name, value } => {
                let secret = value.resolve()?;
                self.hide(secret.expose());
                self.signing = Signing::Query { name: name.clone(), value: secret };
            }
            Auth::Basic { username, password } => {
                let (user, secret) = (username.resolve()?, password.resolve()?);
                let pair = STANDARD.encode(format!("{}:{}", user.expose(), secret.expose()));
                self.add_header(AUTHORIZATION.as_str(), &format!("Basic {pair}"), password)?;
                self.hide(secret.expose());
                self.hide(&pair);
            }
            Auth::OAuth2(rules) => self.await_token(rules)?,
            Auth::OAuth1 { consumer_key, consumer_secret, token, token_secret } => {
                let keys = oauth1::Keys {
                    consumer_key: consumer_key.resolve()?,
                    consumer_secret: consumer_secret.resolve()?,
                    token: token.resolve()?,
                    token_secret: token_secret.resolve()?,
                };
                for secret in [&keys.consumer_key, &keys.consumer_secret, &keys.token, &keys.token_secret] {
                    self.hide(secret.expose());
                }
                self.signing = Signing::OAuth1(Box::new(keys));
            }
        }
        Ok(())
    }

    pub(in crate::http) fn add_header(&mut self, name: &str, value: &str, source: &impl fmt::Display) -> Result<()> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::bad_input(format!("`{name}` is not a header's name")))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::bad_input(format!("the secret `{source}` cannot be sent as a header"))
                .hint("it holds line breaks or control characters")
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Masks `secret` as it is, as it looks in a query and as it looks in JSON: platforms repeat it in links and texts.
    pub(in crate::http) fn hide(&mut self, secret: &str) {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let escaped = serde_json::Value::from(secret).to_string();
        // Without the quotes around it.
        let escaped = escaped[1..escaped.len() - 1].to_owned();
        let forms =
            [encoded.replace('+', "%20"), encoded.to_ascii_lowercase(), encoded, escaped.replace('/', "\\/"), escaped];
        for form in forms.iter().map(String::as_str).chain([secret]) {
            if self.secrets.iter().all(|known| known.expose() != form) {
                self.secrets.push(Secret::new(form));
            }
        }
    }

    pub(in crate::http) fn add_parameter(&mut self, source: String, secret: Secret) {
        self.hide(secret.expose());
        self.parameters.push((source, secret));
    }

    /// Platforms go on repeating old secrets: in messages, in links.
    pub(in crate::http) fn remember(&mut self, old: &[Secret]) {
        for secret in old {
            if self.secrets.iter().all(|known| known.expose() != secret.expose()) {
                self.secrets.push(secret.clone());
            }
        }
    }
}
