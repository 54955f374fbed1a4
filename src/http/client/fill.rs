//! What is put into a request while it is sent, and stands in no request before: secrets and signatures.

use reqwest::header::HeaderValue;
use url::Url;
use url::form_urlencoded;

use super::super::oauth1;
use super::{Client, Signing};
use crate::request::{Origin, Parameter, Request, method_word};
use crate::secret::{MASKED, Secret, mask};

impl Client {
    /// The signature of this one request, where each has its own.
    pub(super) fn own_header(
        &self,
        request: &Request,
        url: &Url,
        form: &[(String, String)],
    ) -> Result<Option<HeaderValue>, String> {
        let Signing::OAuth1(keys) = &self.signing else { return Ok(None) };
        if !request.signed {
            return Ok(None);
        }
        let signed = oauth1::Signed { method: method_word(request.method), url, form };
        let nonce = format!("{:032x}", rand::random::<u128>());
        let text = oauth1::authorization(&signed, keys, &nonce, self.clock.now());
        let mut value = HeaderValue::from_str(&text).map_err(|_| "the signature is no header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// A form's fields with their secrets.
    pub(super) fn filled(&self, fields: &[Parameter]) -> Result<Vec<(String, String)>, String> {
        let mut filled = Vec::new();
        for field in fields {
            let value = match field.origin {
                Origin::Declared | Origin::Platform => field.value.clone(),
                Origin::Secret => self.secret_of(&field.value)?.expose().to_owned(),
            };
            filled.push((field.name.clone(), value));
        }
        Ok(filled)
    }

    /// The secret that `source` stands for.
    fn secret_of(&self, source: &str) -> Result<&Secret, String> {
        let found = self.parameters.iter().find(|(known, _)| known == source);
        found.map(|(_, secret)| secret).ok_or_else(|| format!("the secret `{source}` was not read"))
    }

    /// Pairs as they are sent in a form or, where every request is signed, in a query.
    pub(super) fn written(&self, pairs: &[(String, String)]) -> String {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        match &self.signing {
            Signing::OAuth1(_) => oauth1::written(pairs),
            Signing::Nothing | Signing::Query { .. } => {
                form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
            }
        }
    }

    pub(super) fn signed_url(&self, request: &Request) -> Result<Url, String> {
        let mut added = Vec::new();
        for parameter in request.query.iter().filter(|parameter| parameter.origin == Origin::Secret) {
            added.push((parameter.name.as_str(), self.secret_of(&parameter.value)?.expose()));
        }
        if let Signing::Query { name, value } = &self.signing
            && request.signed
        {
            added.push((name, value.expose()));
        }
        let mut url = url_with(request, &added);
        if let (Signing::OAuth1(_), Some(_), true) = (&self.signing, url.query(), request.signed) {
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            url.set_query(Some(&self.written(&pairs)));
        }
        Ok(url)
    }

    /// The URL as it is sent, with `[secret]` for every secret in it.
    pub fn shown_url(&self, request: &Request) -> String {
        if !request.signed {
            // Whoever has the URL of a file has the file: its parameters are its signature.
            return mask(&request.redacted_url(), &self.secrets);
        }
        let secret = request.query.iter().filter(|parameter| parameter.origin == Origin::Secret);
        let mut added: Vec<(&str, &str)> = secret.map(|parameter| (parameter.name.as_str(), MASKED)).collect();
        if let Signing::Query { name, .. } = &self.signing
            && request.signed
        {
            added.push((name, MASKED));
        }
        mask(url_with(request, &added).as_str(), &self.secrets)
    }
}

/// The URL with all its parameters but the secret ones, and with `added` after them.
fn url_with(request: &Request, added: &[(&str, &str)]) -> Url {
    let mut url = request.url.clone();
    let open = request.query.iter().filter(|parameter| parameter.origin != Origin::Secret);
    for parameter in open {
        url.query_pairs_mut().append_pair(&parameter.name, &parameter.value);
    }
    // A link may carry an old token under the same name: only one may go.
    let again = |name: &str| added.iter().any(|(added, _)| *added == name);
    if url.query_pairs().any(|(name, _)| again(&name)) {
        let kept: Vec<(String, String)> =
            url.query_pairs().filter(|(name, _)| !again(name)).map(|(k, v)| (k.into(), v.into())).collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    for (name, value) in added {
        url.query_pairs_mut().append_pair(name, value);
    }
    url
}
