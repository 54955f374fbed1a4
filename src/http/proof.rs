//! The proof beside a bearer token: its HMAC-SHA256. Pure.

use aws_lc_rs::hmac;

/// The lower-case hexadecimal HMAC-SHA256 of `token`, keyed with `secret`.
pub fn proof(token: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hexadecimal(hmac::sign(&key, token.as_bytes()).as_ref())
}

/// Two lower-case digits for every byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn as_in_its_rfc() {
        assert_eq!(
            proof("what do ya want for nothing?", "Jefe"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
