//! The one place that sends requests: signs them, bounds their time and size, and never says a secret.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use url::Url;
use url::form_urlencoded;

use super::transport::{TransportError, TransportKind, root_of, unanswered};
use crate::error::{Error, Result};
use crate::page::named_by;
use crate::pipeline::{Api, Auth, HeaderText, Method};
use crate::request::{Request, RequestBody};
use crate::secret::{MASKED, Secret, SecretSource, mask};
use crate::state::CachedResponse;

/// Sends the requests of one pipeline.
pub struct Client {
    inner: reqwest::Client,
    api: Api,
    signing: Signing,
    /// Secret headers, the signature's among them.
    headers: HeaderMap,
    /// All secrets in every form in which they are sent, for masking; after them those that they took the place of.
    secrets: Vec<Secret>,
    /// How many of them are sent.
    in_use: usize,
}

/// What is added to a request's query while it is sent.
enum Signing {
    Nothing,
    Query { name: String, value: Secret },
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed.
    pub body: Bytes,
}

impl Response {
    /// All `Link` headers, joined by commas.
    pub fn link(&self) -> Option<String> {
        let links: Vec<&str> =
            self.headers.get_all(reqwest::header::LINK).iter().filter_map(|value| value.to_str().ok()).collect();
        (!links.is_empty()).then(|| links.join(", "))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base_url", &self.api.base_url.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Reads all secrets once and makes the connection pool; connects to nothing.
    ///
    /// # Errors
    /// A secret that is absent or cannot be a header, or a system without TLS certificates where https is needed.
    pub fn new(api: &Api, auth: &Auth) -> Result<Client> {
        let mut client = Client {
            inner: connections(api)?,
            api: api.clone(),
            signing: Signing::Nothing,
            headers: HeaderMap::new(),
            secrets: Vec::new(),
            in_use: 0,
        };
        client.read_secrets(auth)?;
        Ok(client)
    }

    fn read_secrets(&mut self, auth: &Auth) -> Result<()> {
        for (name, text) in self.api.headers.clone() {
            if let HeaderText::Secret(source) = text {
                let secret = source.resolve()?;
                self.add_header(&name, secret.expose(), &source)?;
                self.hide(secret.expose());
            }
        }
        self.sign(auth)?;
        self.in_use = self.secrets.len();
        Ok(())
    }

    fn sign(&mut self, auth: &Auth) -> Result<()> {
        match auth {
            Auth::None => {}
            Auth::Bearer { token } => {
                let secret = token.resolve()?;
                self.add_header(AUTHORIZATION.as_str(), &format!("Bearer {}", secret.expose()), token)?;
                self.hide(secret.expose());
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
                let pair = base64(format!("{}:{}", user.expose(), secret.expose()).as_bytes());
                self.add_header(AUTHORIZATION.as_str(), &format!("Basic {pair}"), password)?;
                self.hide(secret.expose());
                self.hide(&pair);
            }
        }
        Ok(())
    }

    fn add_header(&mut self, name: &str, value: &str, source: &SecretSource) -> Result<()> {
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
    fn hide(&mut self, secret: &str) {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let escaped = serde_json::Value::from(secret).to_string();
        // Without the quotes around it.
        let escaped = escaped[1..escaped.len() - 1].to_owned();
        let forms =
            [encoded.replace('+', "%20"), encoded.to_ascii_lowercase(), encoded, escaped.replace('/', "\\/"), escaped];
        for form in forms {
            if form != secret {
                self.secrets.push(Secret::new(form));
            }
        }
        self.secrets.push(Secret::new(secret));
    }

    /// The same with the secrets as they are now, where any has changed since it was read: whoever rotates a token writes
    /// it where the pipeline reads it. All connections are kept.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn renewed(&self, auth: &Auth) -> Result<Option<Client>> {
        let mut fresh = Client {
            inner: self.inner.clone(),
            api: self.api.clone(),
            signing: Signing::Nothing,
            headers: HeaderMap::new(),
            secrets: Vec::new(),
            in_use: 0,
        };
        fresh.read_secrets(auth)?;
        let exposed = |client: &Client| -> Vec<String> {
            client.secrets.iter().take(client.in_use).map(|secret| secret.expose().to_owned()).collect()
        };
        if exposed(self) == exposed(&fresh) {
            return Ok(None);
        }
        // Platforms go on repeating the old ones: in messages, in links.
        fresh.secrets.extend(self.secrets.iter().cloned());
        Ok(Some(fresh))
    }

    /// The secrets in every form in which they are or were sent, for masking what platforms write.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Whether `text` holds a secret, as next links of some platforms do.
    pub fn is_secret(&self, text: &str) -> bool {
        mask(text, &self.secrets) != text
    }

    /// Signs and sends `request` once and reads the answer to its end. `known` makes it conditional; `answered` is called
    /// as soon as the answer begins, when the platform has surely counted the request.
    ///
    /// # Errors
    /// [`TransportError`] where no answer was read to its end. Refusals are answers.
    pub async fn send(
        &self,
        request: &Request,
        known: Option<&CachedResponse>,
        answered: impl FnOnce(),
    ) -> Result<Response, TransportError> {
        let at = place(&request.url);
        let free = !request.signed && request.url.scheme() == "https";
        if !free && !named_by(&self.api, &request.url) {
            // The pager has refused such links already; credentials are worth a second look.
            let text = format!("{at} is not a host that the pipeline names: nothing was sent");
            return Err(TransportError::new(TransportKind::Unsendable, text));
        }
        let built = self.build(request, known).map_err(|error| {
            TransportError::new(TransportKind::Unsendable, format!("the request to {at} cannot be sent: {error}"))
        })?;
        let patience = self.api.connect_timeout.saturating_add(self.api.first_byte_timeout);
        let answer = match tokio::time::timeout(patience, self.inner.execute(built)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(unanswered(error.without_url(), &at)),
            Err(_) => {
                let waited = humantime::format_duration(self.api.first_byte_timeout);
                return Err(TransportError::new(TransportKind::Silent, format!("{at} sent nothing within {waited}")));
            }
        };
        answered();
        self.read(answer, &at).await
    }

    fn build(&self, request: &Request, known: Option<&CachedResponse>) -> Result<reqwest::Request, String> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut built = reqwest::Request::new(method, self.signed_url(request));
        let headers = built.headers_mut();
        for (name, value) in &request.headers {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header name `{name}`"))?;
            let value = HeaderValue::from_str(value).map_err(|_| format!("the value of header `{name}`"))?;
            headers.append(header, value);
        }
        if let Some(known) = known {
            conditional(headers, known);
        }
        // Whoever is sent no credentials learns none of the secret headers either.
        for (name, value) in self.headers.iter().filter(|_| request.signed) {
            headers.insert(name, value.clone());
        }
        match &request.body {
            RequestBody::None => {}
            RequestBody::Json(value) => *built.body_mut() = Some(value.to_string().into()),
            RequestBody::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for field in fields {
                    form.append_pair(&field.name, &field.value);
                }
                *built.body_mut() = Some(form.finish().into());
            }
        }
        Ok(built)
    }

    fn signed_url(&self, request: &Request) -> Url {
        match &self.signing {
            Signing::Nothing => request.full_url(),
            Signing::Query { .. } if !request.signed => request.full_url(),
            Signing::Query { value, .. } => self.url_with(request, value.expose()),
        }
    }

    /// The URL as it is sent, with `[secret]` for every secret in it.
    pub fn shown_url(&self, request: &Request) -> String {
        mask(self.url_with(request, MASKED).as_str(), &self.secrets)
    }

    fn url_with(&self, request: &Request, value: &str) -> Url {
        let mut url = request.full_url();
        if let Signing::Query { name, .. } = &self.signing
            && request.signed
        {
            // A link may carry an old token under the same name: only one may go.
            if url.query_pairs().any(|(key, _)| key == *name) {
                let kept: Vec<(String, String)> =
                    url.query_pairs().filter(|(key, _)| key != name).map(|(k, v)| (k.into(), v.into())).collect();
                url.query_pairs_mut().clear().extend_pairs(kept);
            }
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }

    async fn read(&self, mut answer: reqwest::Response, at: &str) -> Result<Response, TransportError> {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let too_large = || {
            let text = format!("the body from {at} is longer than {} bytes (`api.max_body`)", self.api.max_body);
            TransportError::new(TransportKind::TooLarge, text)
        };
        let announced = answer.content_length().unwrap_or(0);
        if announced > self.api.max_body {
            return Err(too_large());
        }
        // What the server announces is a hint and not yet a reason to take memory.
        let mut body = BytesMut::with_capacity(usize::try_from(announced.min(1 << 20)).unwrap_or(0));
        loop {
            let chunk = match tokio::time::timeout(self.api.stall_timeout, answer.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(error)) => {
                    let text = format!("the body from {at} broke off: {}", root_of(&error.without_url()));
                    return Err(TransportError::new(TransportKind::Cut, text));
                }
                Err(_) => {
                    let waited = humantime::format_duration(self.api.stall_timeout);
                    let text = format!("the body from {at} stalled for {waited}");
                    return Err(TransportError::new(TransportKind::Stalled, text));
                }
            };
            let Some(chunk) = chunk else { break };
            if body.len() as u64 + chunk.len() as u64 > self.api.max_body {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze() })
    }
}

/// The pool: no redirects, no retries of its own, one user agent.
fn connections(api: &Api) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("hourmark/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(api.connect_timeout)
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(60));
    let plain = |url: &Url| url.scheme() == "http";
    if plain(&api.base_url) && api.hosts.is_empty() && api.servers.iter().all(|(_, server)| plain(server)) {
        // No TLS will be spoken, so a machine without certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(&api.base_url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::bad_input("cannot prepare connections")
            .because(error.without_url())
            .hint("https needs the system's certificates: install the package `ca-certificates`")
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn conditional(headers: &mut HeaderMap, known: &CachedResponse) {
    if let Some(etag) = known.etag.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(IF_NONE_MATCH, etag);
    }
    if let Some(date) = known.last_modified.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(IF_MODIFIED_SINCE, date);
    }
}

/// `host:port`.
fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or("no host"), url.port_or_known_default().unwrap_or_default())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                text.push(char::from(LETTERS[(word >> (18 - 6 * position)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
