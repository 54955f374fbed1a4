//! The one place that sends requests: signs them, bounds their time and size, and never says a secret.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use url::Url;

use super::oauth1;
use super::transport::{TransportError, TransportKind, root_of, unanswered};
use crate::error::{Error, Result};
use crate::page::named_by;
use crate::pipeline::{Api, Auth, Method};
use crate::request::{Request, RequestBody};
use crate::secret::{Secret, SecretSource, mask};
use crate::state::CachedResponse;
use crate::time::{Clock, Instant};

mod fill;
mod sign;
mod token;

pub use token::TokenState;

/// Sends the requests of one pipeline.
pub struct Client {
    inner: reqwest::Client,
    api: Api,
    clock: Clock,
    signing: Signing,
    /// How long the signature holds.
    life: TokenLife,
    /// Where the secrets are that are sent as parameters.
    sources: Vec<SecretSource>,
    /// Those secrets, by the text that stands for them in requests.
    parameters: Vec<(String, Secret)>,
    /// Secret headers, the signature's among them.
    headers: HeaderMap,
    /// All secrets in every form in which they are sent, for masking; after them those that they took the place of.
    secrets: Vec<Secret>,
    /// How many of them are sent.
    in_use: usize,
}

/// What is added to a request while it is sent, headers that are always the same aside.
enum Signing {
    Nothing,
    Query { name: String, value: Secret },
    OAuth1(Box<oauth1::Keys>),
}

/// How long a client's signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenLife {
    /// For ever, as far as is known.
    Endless,
    /// There is none yet.
    Missing,
    /// Until it ends.
    Until { renew_at: Instant, ends_at: Instant },
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
    /// Reads all secrets once, also those of `parameters` (query parameters of lists), and makes the connection pool;
    /// connects to nothing. Where `auth` is OAuth 2 the client has no access token yet.
    ///
    /// # Errors
    /// A secret that is absent or cannot be a header, or a system without TLS certificates where https is needed.
    pub fn new(api: &Api, auth: &Auth, parameters: &[SecretSource], clock: Clock) -> Result<Client> {
        let mut client = Client::blank(connections(api)?, api.clone(), clock);
        client.sources = parameters.to_vec();
        client.read_secrets(auth)?;
        Ok(client)
    }

    /// One that knows no secret yet.
    pub(super) fn blank(inner: reqwest::Client, api: Api, clock: Clock) -> Client {
        Client {
            inner,
            api,
            clock,
            signing: Signing::Nothing,
            life: TokenLife::Endless,
            sources: Vec::new(),
            parameters: Vec::new(),
            headers: HeaderMap::new(),
            secrets: Vec::new(),
            in_use: 0,
        }
    }

    /// The same with the secrets as they are now, where any has changed since it was read: whoever rotates a token writes
    /// it where the pipeline reads it. All connections are kept.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn renewed(&self, auth: &Auth) -> Result<Option<Client>> {
        let mut fresh = Client::blank(self.inner.clone(), self.api.clone(), self.clock);
        fresh.sources = self.sources.clone();
        fresh.read_secrets(auth)?;
        let exposed = |client: &Client| -> Vec<String> {
            client.secrets.iter().take(client.in_use).map(|secret| secret.expose().to_owned()).collect()
        };
        if exposed(self) == exposed(&fresh) {
            return Ok(None);
        }
        fresh.remember(&self.secrets);
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

    pub(super) fn build(&self, request: &Request, known: Option<&CachedResponse>) -> Result<reqwest::Request, String> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let form = match &request.body {
            RequestBody::Form(fields) => Some(self.filled(fields)?),
            RequestBody::None | RequestBody::Json(_) => None,
        };
        let mut built = reqwest::Request::new(method, self.signed_url(request)?);
        let own_header = self.own_header(request, built.url(), form.as_deref().unwrap_or_default())?;
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
        if let Some(value) = own_header {
            headers.insert(AUTHORIZATION, value);
        }
        match (&request.body, form) {
            (RequestBody::Json(value), _) => *built.body_mut() = Some(value.to_string().into()),
            (_, Some(form)) => *built.body_mut() = Some(self.written(&form).into()),
            (_, None) => {}
        }
        Ok(built)
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
pub(super) fn connections(api: &Api) -> Result<reqwest::Client> {
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
pub fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or("no host"), url.port_or_known_default().unwrap_or_default())
}

#[cfg(test)]
mod tests;
