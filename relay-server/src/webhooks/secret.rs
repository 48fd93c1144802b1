//! The secret that webhooks are signed with, as Standard Webhooks has it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};

/// `whsec_` and the Base64 of 24 to 64 bytes.
#[derive(Debug)]
pub struct WebhookSecret(hmac::Key);

/// It isn't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not whsec_ and the Base64 of 24 to 64 bytes; `echo whsec_$(openssl rand -base64 32)` makes one"
)]
pub struct WebhookSecretError;

impl WebhookSecret {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`WebhookSecretError`] if it isn't one.
    pub fn parse(text: &SecretString) -> Result<Self, WebhookSecretError> {
        let encoded = text.expose_secret().trim().strip_prefix("whsec_");
        let bytes = encoded.and_then(|it| BASE64_STANDARD.decode(it).ok());
        let bytes = bytes.filter(|it| (24..=64).contains(&it.len())).ok_or(WebhookSecretError)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let signature = hmac::sign(&self.0, signed.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_standard_webhooks_does() {
        // The example of the specification's own libraries.
        let secret = WebhookSecret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let signature = secret.unwrap().sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_too_short_or_no_base64_is_refused() {
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_?"] {
            assert_eq!(WebhookSecret::parse(&bad.into()).err(), Some(WebhookSecretError), "{bad}");
        }
    }
}
