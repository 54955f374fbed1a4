//! A JSON Web Token that a client signs with its key in the place of a secret (RFC 7519, ES256). Pure.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::time::Instant;

/// What the token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims<'a> {
    /// `kid`: which of the client's keys signs it.
    pub key_id: &'a str,
    /// `iss`.
    pub issuer: &'a str,
    /// `sub`: the client.
    pub subject: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
}

/// A private P-256 key.
pub struct SigningKey(EcdsaKeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([secret])")
    }
}

/// Why a text is no private P-256 key. Never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// There is no PEM block of a private key in it.
    NoPem,
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// The block's content is no P-256 key.
    NoKey,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::NoPem => {
                "holds no private key: expected PEM with `BEGIN PRIVATE KEY` or `BEGIN EC PRIVATE KEY` and its end"
            }
            KeyError::Encrypted => "is encrypted: expected the key without a passphrase",
            KeyError::NoKey => "is not an elliptic curve P-256 key: expected one (prime256v1, also called secp256r1)",
        })
    }
}

impl std::error::Error for KeyError {}

impl SigningKey {
    /// Reads PEM, SEC1 or PKCS#8, whatever blocks stand before the key. Line breaks may be written as `\n`, as in
    /// environment variables.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
        let text = text.replace("\\n", "\n");
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        let body =
            ["PRIVATE KEY", "EC PRIVATE KEY"].iter().find_map(|label| block(&text, label)).ok_or(KeyError::NoPem)?;
        let base64: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        let der = STANDARD.decode(base64).map_err(|_| KeyError::NoPem)?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
        pair.map(SigningKey).map_err(|_| KeyError::NoKey)
    }
}

/// What stands between the lines that begin and end a block.
fn block<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let (_, after) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    Some(after.split_once(&format!("-----END {label}-----"))?.0)
}

/// The token: header, claims and signature. `None` where the library cannot sign, as without randomness.
pub fn signed(claims: &Claims<'_>, now: Instant, key: &SigningKey) -> Option<String> {
    let header = json!({ "alg": "ES256", "kid": claims.key_id, "typ": "JWT" });
    let begins = now.timestamp();
    let ends = begins.saturating_add(i64::try_from(claims.lifetime.as_secs()).unwrap_or(i64::MAX));
    let body = json!({
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": claims.audience,
        "iat": begins,
        "exp": ends,
    });
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encode(&header.to_string()), encode(&body.to_string()));
    let signature = key.0.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, KeyPair, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// A new key, in both of its forms: SEC1 and PKCS#8.
    pub(crate) fn new_key() -> [String; 2] {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let sec1 = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&pair.private_key()).expect("SEC1");
        let pkcs8 = pair.to_pkcs8v1().expect("PKCS#8");
        [pem("EC PRIVATE KEY", sec1.as_ref()), pem("PRIVATE KEY", pkcs8.as_ref())]
    }

    /// In lines of 64 characters.
    fn pem(label: &str, der: &[u8]) -> String {
        let base64 = STANDARD.encode(der);
        let lines: Vec<&str> = (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    fn claims() -> Claims<'static> {
        Claims {
            key_id: "key-1",
            issuer: "team-1",
            subject: "client-1",
            audience: "https://auth.test",
            lifetime: Duration::from_secs(3600),
        }
    }

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
    }

    #[test]
    fn header_claims_and_a_signature_that_the_public_key_proves() {
        let now = "2026-11-20T12:00:00Z".parse().expect("an instant");
        let [sec1, pkcs8] = new_key();
        for pem in [sec1.clone(), pkcs8, sec1.replace('\n', "\\n"), format!("{PARAMETERS}{sec1}")] {
            let key = SigningKey::from_pem(&pem).expect("a key");
            let token = signed(&claims(), now, &key).expect("signed");
            let parts: Vec<&str> = token.split('.').collect();
            let [header, body, signature] = parts.as_slice() else { panic!("{token}") };
            assert_eq!(decoded(header), json!({ "alg": "ES256", "kid": "key-1", "typ": "JWT" }));
            let expected = json!({
                "iss": "team-1",
                "sub": "client-1",
                "aud": "https://auth.test",
                "iat": 1_795_176_000,
                "exp": 1_795_179_600,
            });
            assert_eq!(decoded(body), expected);
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            assert_eq!(signature.len(), 64, "r and s one after the other, not DER");
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.0.public_key().as_ref().to_vec());
            public.verify(format!("{header}.{body}").as_bytes(), &signature).expect("the signature holds");
            public.verify(format!("{header}.{body}x").as_bytes(), &signature).expect_err("and for nothing else");
        }
    }

    /// As `openssl ecparam -genkey` writes it before the key.
    const PARAMETERS: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

    #[test]
    fn both_forms_are_the_same_key() {
        let public = |pem: &str| SigningKey::from_pem(pem).expect("a key").0.public_key().as_ref().to_vec();
        let [sec1, pkcs8] = new_key();
        assert_eq!(public(&sec1), public(&pkcs8));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let [sec1, _] = new_key();
        let other_curve = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
        let other_curve = pem("PRIVATE KEY", other_curve.to_pkcs8v1().expect("PKCS#8").as_ref());
        let broken = sec1.replace("EC PRIVATE KEY-----\n", "EC PRIVATE KEY-----\n!");
        let cases = [
            ("hunter2", KeyError::NoPem),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", KeyError::NoPem),
            ("-----BEGIN PRIVATE KEY-----\nhunter2", KeyError::NoPem),
            (broken.as_str(), KeyError::NoPem),
            ("-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----", KeyError::NoKey),
            (other_curve.as_str(), KeyError::NoKey),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", KeyError::Encrypted),
        ];
        for (text, expected) in cases {
            let error = SigningKey::from_pem(text).expect_err("no key");
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert_eq!(format!("{:?}", SigningKey::from_pem(&sec1).expect("a key")), "SigningKey([secret])");
    }
}
