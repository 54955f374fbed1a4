//! Requests as plain data: a template, a unit and a page become what is sent, before it is signed.
//!
//! A [`Request`] holds no secret: signing is the client's work and happens while sending. What the platform itself gave
//! (cursors, links) may hold tokens, so `Display` shows the names of such parameters and not their values.

use std::fmt;

use serde_json::Value;
use url::Url;
use url::form_urlencoded;

use crate::error::Result;
use crate::page::{PageAt, PageCursor};
use crate::pipeline::{
    Api, Body, HeaderText, Join, Listing, Method, Pipeline, Placeholder, RequestTemplate, TimeFormat, TimeText,
    ZoneRule,
};
use crate::secret::SecretSource;
use crate::time::Window;
use crate::unit::Account;

mod batch;
mod fill;
mod key;
mod report;

pub use batch::batch_request;
pub use key::{body_hash, with_key};
pub use report::{download_request, poll_request, rows_request};

use fill::{Part, Values, parts};

/// One HTTP request, unsigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// Scheme, host and path. A link that the platform gave keeps its own query here.
    pub url: Url,
    /// Parameters to append to the URL's query, in this order.
    pub query: Vec<Parameter>,
    /// Headers without secrets, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What a POST carries.
    pub body: RequestBody,
    /// Whether it is sent with the pipeline's credentials and secret headers. What is unsigned may go to any https host.
    pub signed: bool,
}

/// One parameter of a query or a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value, not yet encoded.
    pub value: String,
    /// Who gave the value.
    pub origin: Origin,
}

/// Who gave a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The pipeline file and the unit: may be shown.
    Declared,
    /// An earlier answer: may hold a token, is not shown.
    Platform,
    /// A secret: the value is only its whereabouts (`env:NAME`), and the secret takes its place while it is sent.
    Secret,
}

/// What a POST carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestBody {
    /// Nothing.
    None,
    /// A JSON document.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<Parameter>),
}

impl Request {
    /// The URL with all parameters, as it is sent but for the signature and with the whereabouts of secrets. Not for
    /// people: may hold tokens.
    pub fn full_url(&self) -> Url {
        let mut url = self.url.clone();
        if !self.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for parameter in &self.query {
                pairs.append_pair(&parameter.name, &parameter.value);
            }
        }
        url
    }

    /// The URL for people: values that the platform gave are replaced by `…`.
    pub fn redacted_url(&self) -> String {
        let mut text = format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
        let mut separator = '?';
        for (name, _) in self.url.query_pairs() {
            text.push(separator);
            text.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            text.push_str("=…");
            separator = '&';
        }
        for parameter in &self.query {
            text.push(separator);
            text.push_str(&parameter.redacted());
            separator = '&';
        }
        text
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", method_word(self.method), self.redacted_url())?;
        for (name, value) in &self.headers {
            write!(f, "\n{name}: {value}")?;
        }
        match &self.body {
            RequestBody::None => Ok(()),
            RequestBody::Json(value) => write!(f, "\n\n{value:#}"),
            RequestBody::Form(fields) => {
                let fields: Vec<String> = fields.iter().map(Parameter::redacted).collect();
                write!(f, "\n\n{}", fields.join("&"))
            }
        }
    }
}

impl Parameter {
    fn declared(name: &str, value: impl Into<String>) -> Parameter {
        Parameter { name: name.to_owned(), value: value.into(), origin: Origin::Declared }
    }

    /// One whose value is the secret of `source`.
    pub fn secret(name: &str, source: &SecretSource) -> Parameter {
        Parameter { name: name.to_owned(), value: source.to_string(), origin: Origin::Secret }
    }

    fn redacted(&self) -> String {
        let name: String = form_urlencoded::byte_serialize(self.name.as_bytes()).collect();
        match self.origin {
            Origin::Declared => {
                let value: String = form_urlencoded::byte_serialize(self.value.as_bytes()).collect();
                format!("{name}={value}")
            }
            Origin::Platform => format!("{name}=…"),
            Origin::Secret => format!("{name}=[{}]", self.value),
        }
    }
}

/// `GET` or `POST`.
pub fn method_word(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
    }
}

/// The metrics request for `accounts` x `window`, for a chunk of `campaigns` where the template holds `{campaigns}`.
///
/// Times on an account's clock are those of the first account. A link is asked for as the platform gave it, with the
/// template's method, headers and body. Where the request makes a report, `page` says nothing: see [`rows_request`].
///
/// # Errors
/// An id that cannot stand in a path (`.`, `..`), or a URL that is none.
pub fn metrics_request(
    pipeline: &Pipeline,
    accounts: &[Account],
    window: Window,
    campaigns: Option<&[String]>,
    page: &PageCursor,
) -> Result<Request> {
    let template = &pipeline.request;
    let values = Values {
        accounts,
        campaigns: campaigns.unwrap_or_default(),
        parents: &[],
        window: Some(window),
        report: "",
        time: template.time,
        page_size: pipeline.pagination.page_size,
        join: template.join,
    };
    let mut request = Request {
        method: template.method,
        url: values.url(base(&pipeline.api, template.server.as_ref()), &template.path)?,
        query: values.parameters(template.query.iter()),
        headers: Vec::new(),
        body: values.body(&template.body),
        signed: true,
    };
    request.headers = headers(&pipeline.api, &values, &request.body);
    // Where it makes a report, that report's rows have the pages.
    if pipeline.report.is_none() {
        turn_to(&mut request, page);
    }
    Ok(request)
}

/// Whose list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Everybody's.
    All,
    /// An account's.
    Account(&'a Account),
    /// What is found under these.
    Parents {
        /// Their ids,
        ids: &'a [String],
        /// which are joined so.
        join: Join,
        /// Whether `{parent}` in a header stands for them; it does not where accounts say themselves what it stands for.
        in_headers: bool,
    },
}

/// One page of a list.
///
/// # Errors
/// As [`metrics_request`].
pub fn listing_request(api: &Api, list: &Listing, whose: Whose<'_>, page: &PageCursor) -> Result<Request> {
    let (accounts, parents, join, in_headers) = match whose {
        Whose::All => (&[][..], &[][..], Join::Comma, false),
        Whose::Account(account) => (std::slice::from_ref(account), &[][..], Join::Comma, true),
        Whose::Parents { ids, join, in_headers } => (&[][..], ids, join, in_headers),
    };
    let values = Values {
        accounts,
        campaigns: &[],
        parents,
        window: None,
        report: "",
        time: TimeText { format: TimeFormat::Date, zone: ZoneRule::Utc, end_inclusive: false },
        page_size: list.pagination.page_size,
        join,
    };
    let nobody = Values { accounts: &[], parents: &[], ..values };
    let body = values.body(&list.body);
    let mut query = values.parameters(list.query.iter());
    query.extend(list.secrets.iter().map(|(name, source)| Parameter::secret(name, source)));
    let mut request = Request {
        method: list.method,
        url: values.url(base(api, list.server.as_ref()), &list.path)?,
        query,
        headers: headers(api, if in_headers { &values } else { &nobody }, &body),
        body,
        signed: true,
    };
    turn_to(&mut request, page);
    Ok(request)
}

/// Whether rows of `accounts` cannot be read without the lists of their campaigns: for ids, names or currencies. A list of
/// which attributes are kept may be there for these alone.
pub fn needs_campaigns(pipeline: &Pipeline, accounts: &[Account]) -> bool {
    let Some(list) = &pipeline.campaigns else { return false };
    let without_currency = || accounts.iter().any(|account| account.currency.is_empty());
    list.columns.is_empty()
        || uses(&pipeline.request, Placeholder::Campaigns)
        || (pipeline.identity.campaign_name.is_none() && list.list.name.is_some())
        || (list.currency.is_some() && without_currency())
}

/// Whether the template holds `wanted` anywhere.
pub fn uses(template: &RequestTemplate, wanted: Placeholder) -> bool {
    let holds = |text: &String| parts(text).contains(&Part::Slot(wanted));
    let in_body = match &template.body {
        Body::None => false,
        Body::Json(value) => json_holds(value, wanted),
        Body::Form(fields) => fields.values().any(holds),
    };
    in_body || holds(&template.path) || template.query.values().any(holds)
}

fn json_holds(value: &Value, wanted: Placeholder) -> bool {
    match value {
        Value::String(text) => parts(text).contains(&Part::Slot(wanted)),
        Value::Array(items) => items.iter().any(|item| json_holds(item, wanted)),
        Value::Object(fields) => fields.values().any(|field| json_holds(field, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The server that an endpoint names, or the base URL.
fn base<'a>(api: &'a Api, server: Option<&'a Url>) -> &'a Url {
    server.unwrap_or(&api.base_url)
}

/// The declared headers that are no secrets, and what every request says about its form.
fn headers(api: &Api, values: &Values<'_>, body: &RequestBody) -> Vec<(String, String)> {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    match body {
        RequestBody::None => {}
        RequestBody::Json(_) => headers.push(("content-type".to_owned(), "application/json".to_owned())),
        RequestBody::Form(_) => {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
    }
    for (name, value) in &api.headers {
        let name = name.to_ascii_lowercase();
        headers.retain(|(other, _)| *other != name);
        if let HeaderText::Literal(text) = value
            && let Some(text) = values.header(text)
        {
            headers.push((name, text));
        }
    }
    headers
}

/// Makes `request`, which asks for the first page, ask for `page`.
fn turn_to(request: &mut Request, page: &PageCursor) {
    if let PageAt::Link(url) = &page.at {
        request.url = url.clone();
        // Links carry no secrets, or should not.
        request.query.retain(|parameter| parameter.origin == Origin::Secret);
        return;
    }
    if let Some((name, size)) = &page.size {
        set(request, Parameter::declared(name, size.to_string()), Value::from(*size));
    }
    match &page.at {
        PageAt::Start | PageAt::Link(_) => {}
        PageAt::Token { param, token } => {
            let parameter = Parameter { name: param.clone(), value: token.clone(), origin: Origin::Platform };
            set(request, parameter, Value::from(token.as_str()));
        }
        PageAt::Number { param, number } => {
            set(request, Parameter::declared(param, number.to_string()), Value::from(*number));
        }
    }
}

/// Sets a parameter where this request carries its parameters: in the body of a POST that has one, else in the query.
fn set(request: &mut Request, parameter: Parameter, json: Value) {
    let fields = match &mut request.body {
        RequestBody::Json(document) if document.is_object() => return set_in(document, &parameter.name, json),
        RequestBody::Form(fields) => fields,
        RequestBody::Json(_) | RequestBody::None => &mut request.query,
    };
    match fields.iter_mut().find(|field| field.name == parameter.name) {
        Some(field) => *field = parameter,
        None => fields.push(parameter),
    }
}

/// Sets a value in a JSON document; the keys on the way to it are joined by dots and made where they are not there.
fn set_in(document: &mut Value, place: &str, value: Value) {
    let mut at = document;
    for key in place.split('.') {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = &mut at[key];
    }
    *at = value;
}

#[cfg(test)]
pub(crate) mod tests;
