//! Requests signed one by one with HMAC-SHA1 (OAuth 1.0a, RFC 5849). Pure.
//!
//! What is signed are the decoded parameters; so that a server decodes to the same, a signed request's query and form are
//! written with this module's [`encode`], in which every character but letters, digits and `-._~` is a percent sign and
//! two digits: no plus sign, whose meaning servers do not agree on.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::secret::Secret;
use crate::time::Instant;

/// What signs.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The app.
    pub consumer_key: Secret,
    /// The app's secret.
    pub consumer_secret: Secret,
    /// The user's token.
    pub token: Secret,
    /// The token's secret.
    pub token_secret: Secret,
}

/// What is signed: a request as it will be sent.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// With its query.
    pub url: &'a Url,
    /// The parameters of a form body, decoded; none for other bodies.
    pub form: &'a [(String, String)],
}

/// The value of the header `Authorization`. A nonce is used once.
pub fn authorization(signed: &Signed<'_>, keys: &Keys, nonce: &str, now: Instant) -> String {
    let timestamp = now.timestamp().to_string();
    let mut own = vec![
        ("oauth_consumer_key", keys.consumer_key.expose().to_owned()),
        ("oauth_nonce", nonce.to_owned()),
        ("oauth_signature_method", "HMAC-SHA1".to_owned()),
        ("oauth_timestamp", timestamp),
        ("oauth_token", keys.token.expose().to_owned()),
        ("oauth_version", "1.0".to_owned()),
    ];
    own.insert(2, ("oauth_signature", signature(&base(signed, &own), keys)));
    let pairs: Vec<String> = own.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
    format!("OAuth {}", pairs.join(", "))
}

/// The text that is signed: method, URL and all parameters in their order.
fn base(signed: &Signed<'_>, own: &[(&str, String)]) -> String {
    let mut parameters: Vec<(String, String)> = Vec::new();
    parameters.extend(signed.url.query_pairs().map(|(name, value)| (encode(&name), encode(&value))));
    parameters.extend(signed.form.iter().map(|(name, value)| (encode(name), encode(value))));
    parameters.extend(own.iter().map(|(name, value)| (encode(name), encode(value))));
    // By the bytes of what is encoded, first the names, then the values.
    parameters.sort();
    let mut url = signed.url.clone();
    url.set_query(None);
    url.set_fragment(None);
    format!("{}&{}&{}", signed.method, encode(url.as_str()), encode(&joined(&parameters)))
}

fn signature(base: &str, keys: &Keys) -> String {
    let key = format!("{}&{}", encode(keys.consumer_secret.expose()), encode(keys.token_secret.expose()));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    STANDARD.encode(hmac::sign(&key, base.as_bytes()))
}

/// Pairs that are encoded already, as a query or a form.
fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// `pairs` as a query or a form that every server decodes to them.
pub fn written<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encoded: Vec<(String, String)> = pairs.into_iter().map(|(name, value)| (encode(name), encode(value))).collect();
    joined(&encoded)
}

/// Percent-encoding as RFC 3986 has it: everything but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(all: [&str; 4]) -> Keys {
        let [consumer_key, consumer_secret, token, token_secret] = all.map(Secret::new);
        Keys { consumer_key, consumer_secret, token, token_secret }
    }

    fn at(seconds: i64) -> Instant {
        chrono::DateTime::from_timestamp(seconds, 0).expect("an instant")
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// The example that a platform publishes for developers.
    #[test]
    fn the_published_example() {
        let keys = keys([
            "xvz1evFS4wEEPTGEFPHBog",
            "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
            "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
            "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
        ]);
        let url = "https://api.twitter.com/1.1/statuses/update.json?include_entities=true".parse().expect("a URL");
        let form = pairs(&[("status", "Hello Ladies + Gentlemen, a signed OAuth request!")]);
        let signed = Signed { method: "POST", url: &url, form: &form };
        let header = authorization(&signed, &keys, "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", at(1_318_622_958));
        assert_eq!(
            header,
            "OAuth oauth_consumer_key=\"xvz1evFS4wEEPTGEFPHBog\", \
             oauth_nonce=\"kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg\", \
             oauth_signature=\"hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D\", oauth_signature_method=\"HMAC-SHA1\", \
             oauth_timestamp=\"1318622958\", \
             oauth_token=\"370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb\", oauth_version=\"1.0\""
        );
    }

    /// RFC 5849, section 3.4.1.1, without its realm and with the version that is always said here.
    #[test]
    fn the_text_that_is_signed() {
        let url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b".parse().expect("a URL");
        let form = pairs(&[("c2", ""), ("a3", "2 q")]);
        let own = [
            ("oauth_consumer_key", "9djdj82h48djs9d2".to_owned()),
            ("oauth_token", "kkk9d7dh3k39sjv7".to_owned()),
            ("oauth_signature_method", "HMAC-SHA1".to_owned()),
            ("oauth_timestamp", "137131201".to_owned()),
            ("oauth_nonce", "7d8f3e4a".to_owned()),
        ];
        assert_eq!(
            base(&Signed { method: "POST", url: &url, form: &form }, &own),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D\
             %26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-\
             SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
    }

    #[test]
    fn everything_that_is_reserved_is_encoded() {
        assert_eq!(encode("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(encode("a,b c*+'()!é"), "a%2Cb%20c%2A%2B%27%28%29%21%C3%A9");
    }

    proptest! {
        /// Whatever way a server decodes by, it sees what was signed.
        #[test]
        fn what_is_written_decodes_to_what_was_meant(all in prop::collection::vec((".*", ".*"), 0..5)) {
            let text = written(all.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let decoded: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            prop_assert_eq!(&decoded, &all);
            prop_assert!(!text.contains('+'));
            let mut url: Url = "https://api.test/x".parse().expect("a URL");
            url.set_query(Some(&text));
            prop_assert_eq!(url.query().expect("a query"), text, "a URL leaves it as it is");
        }
    }
}
