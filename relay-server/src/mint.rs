//! Makes tokens, for `--dev` and for `whoshere-relay token`. Real ones are an application's to make.

use crate::auth::TokenRules;
use jsonwebtoken::{Algorithm, EncodingKey, Header, errors};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Signs tokens with the secret that the relay checks them with.
pub(crate) struct Mint {
    key: EncodingKey,
    rules: TokenRules,
}

/// What a token is to say.
#[derive(Debug, Default)]
pub(crate) struct Wish<'a> {
    pub(crate) user: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) color: Option<&'a str>,
    pub(crate) avatar: Option<&'a str>,
    pub(crate) keys: Vec<&'a str>,
    pub(crate) can: Option<Vec<&'a str>>,
    pub(crate) expires_in: Duration,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<&'a str>,
    keys: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    can: Option<&'a [&'a str]>,
    exp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

impl Mint {
    pub(crate) fn new(secret: &SecretString, rules: TokenRules) -> Self {
        Self { key: EncodingKey::from_secret(secret.expose_secret().as_bytes()), rules }
    }

    pub(crate) fn sign(&self, wish: &Wish<'_>) -> Result<String, errors::Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            sub: wish.user,
            name: wish.name,
            color: wish.color,
            avatar: wish.avatar,
            keys: &wish.keys,
            can: wish.can.as_deref(),
            exp: now.saturating_add(wish.expires_in).as_secs_f64(),
            aud: self.rules.audience.as_deref(),
            iss: self.rules.issuer.as_deref(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)
    }
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint").finish_non_exhaustive()
    }
}
