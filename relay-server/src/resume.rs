//! Resume tokens: how a page proves, to any relay of the same secret, which session it was.
//!
//! A token is the base64url form of a fixed-size head, the user's id, and an HMAC-SHA256 of both:
//!
//! ```text
//! version(1) session(8) dial(4) since(8) user(1..=128) mac(32)
//! ```

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use presence_core::Time;
use presence_core::relay::ResumeClaims;
use presence_protocol::{Dial, SessionId, UserId};
use secrecy::{ExposeSecret, SecretString};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;

/// The relay's own key, apart from the one that signs the application's tokens.
#[derive(Clone, Debug)]
pub(crate) struct ResumeKey(hmac::Key);

impl ResumeKey {
    /// The key of a secret that was chosen for it.
    pub(crate) fn new(secret: &SecretString) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()))
    }

    /// A key derived from the application's secret, so that a restart keeps it.
    pub(crate) fn derive(secret: &SecretString) -> Self {
        let root = Self::new(secret);
        let derived = hmac::sign(&root.0, b"whoshere resume tokens, version 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Signs claims.
    pub(crate) fn sign(&self, claims: &ResumeClaims) -> String {
        let mut token = vec![VERSION];
        token.extend_from_slice(&claims.session.bits().to_be_bytes());
        token.extend_from_slice(&claims.dial.0.to_be_bytes());
        token.extend_from_slice(&claims.since.as_millis().to_be_bytes());
        token.extend_from_slice(claims.user.as_str().as_bytes());
        let mac = hmac::sign(&self.0, &token);
        token.extend_from_slice(mac.as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The claims of a token; `None` if this key didn't sign it. Takes the same time for every wrong
    /// signature.
    pub(crate) fn verify(&self, token: &str) -> Option<ResumeClaims> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        hmac::verify(&self.0, signed, mac).ok()?;
        let (&[VERSION], rest) = signed.split_first_chunk()? else { return None };
        let (session, rest) = rest.split_first_chunk()?;
        let (dial, rest) = rest.split_first_chunk()?;
        let (since, user) = rest.split_first_chunk()?;
        Some(ResumeClaims {
            session: SessionId::new(u64::from_be_bytes(*session)),
            user: UserId::parse(std::str::from_utf8(user).ok()?)?,
            dial: Dial(u32::from_be_bytes(*dial)),
            since: Time::from_millis(u64::from_be_bytes(*since)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    #[test]
    fn what_was_signed_is_verified_also_after_a_restart() {
        for user in ["a", "alice", "Jürgen 😀", &"a".repeat(128)] {
            let claims = claims(user);
            let token = ResumeKey::derive(&SECRET.into()).sign(&claims);
            assert_eq!(ResumeKey::derive(&SECRET.into()).verify(&token), Some(claims));
        }
    }

    #[test]
    fn another_secret_or_a_changed_token_is_refused() {
        let key = ResumeKey::derive(&SECRET.into());
        let token = key.sign(&claims("alice"));
        assert_eq!(ResumeKey::new(&SECRET.into()).verify(&token), None, "not the token's secret");
        let other = ResumeKey::derive(&"another secret of thirty-two bytes!!".into());
        assert_eq!(other.verify(&token), None);
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.verify(&changed), None, "{changed}");
            assert_eq!(key.verify(&token[..index]), None);
        }
        for bad in ["", "ü", "====", "AAAA", &"A".repeat(1000)] {
            assert_eq!(key.verify(bad), None);
        }
    }

    #[test]
    fn a_well_signed_token_of_another_kind_is_refused() {
        let key = ResumeKey::derive(&SECRET.into());
        for signed in [b"".as_slice(), &[VERSION], &[VERSION; 29], &[2; 40]] {
            let token = [signed, hmac::sign(&key.0, signed).as_ref()].concat();
            assert_eq!(key.verify(&URL_SAFE_NO_PAD.encode(token)), None, "{signed:?}");
        }
    }

    fn claims(user: &str) -> ResumeClaims {
        ResumeClaims {
            session: SessionId::new(0x0123_4567_89ab_cdef),
            user: UserId::parse(user).unwrap(),
            dial: Dial(7),
            since: Time::from_millis(1_795_000_000_000),
        }
    }
}
