//! Tokens: who somebody is and which keys they may join.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use presence_core::relay::{Capabilities, Grant, KeyPattern, Refusal};
use presence_protocol::limits::MAX_TOKEN_BYTES;
use presence_protocol::{AvatarUrl, Color, User, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::warn;

/// Checks tokens: JWTs signed with HS256 and the secret that the relay shares with the application.
pub(crate) struct Authority {
    key: DecodingKey,
    validation: Validation,
}

/// What a token must say beyond its signature.
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    /// The `aud` that a token must have; not looked at if `None`.
    pub audience: Option<String>,
    /// The `iss` that a token must have; not looked at if `None`.
    pub issuer: Option<String>,
    /// For how long an expired token is still taken, for clocks that differ.
    pub leeway: Duration,
}

/// Why a token was refused. Logged, never sent: the peer learns no more than [`Refusal`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("the token is not one of ours")]
    Jwt(#[source] jsonwebtoken::errors::Error),
    #[error("`sub` is empty, longer than 128 bytes, or has a control character")]
    Subject,
    #[error("`name` is empty, longer than 256 bytes, or has a control character")]
    Name,
    #[error("an entry of `keys` is neither a key nor a key's beginning followed by `*`")]
    Keys,
}

impl AuthError {
    /// What the core needs to know.
    pub(crate) const fn refusal(&self) -> Refusal {
        match self {
            // A token from the future comes from clocks that differ: another one, a moment later, does.
            Self::Expired | Self::NotYet => Refusal::Expired,
            Self::TooLong | Self::Jwt(_) | Self::Subject | Self::Name | Self::Keys => {
                Refusal::Denied
            }
        }
    }
}

/// The claims that this relay reads. Others are ignored.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    name: Option<String>,
    color: Option<String>,
    avatar: Option<String>,
    keys: Vec<String>,
    /// False if nothing may be kept of when this person viewed something.
    last_seen: Option<bool>,
    can: Option<Vec<String>>,
    /// A whole number for most issuers, but RFC 7519 allows fractions.
    exp: f64,
}

impl Authority {
    pub(crate) fn new(secret: &SecretString, rules: &TokenRules) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        let mut required = vec!["exp", "sub"];
        validation.leeway = rules.leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = rules.audience.is_some();
        if let Some(audience) = &rules.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &rules.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Self { key: DecodingKey::from_secret(secret.expose_secret().as_bytes()), validation }
    }

    /// Checks a token.
    pub(crate) fn check(&self, token: &str) -> Result<Grant, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(classify)?
            .claims;
        let id = UserId::parse(&claims.sub).ok_or(AuthError::Subject)?;
        let name = claims.name.as_deref().unwrap_or(id.as_str());
        let color = claims.color.as_deref().and_then(parse_color);
        let color = color.unwrap_or_else(|| color_of_name(name));
        let avatar = claims.avatar.as_deref().and_then(parse_avatar);
        let user = User::new(id.clone(), name, color).map_err(|_| AuthError::Name)?;
        let user = user.with_avatar(avatar);
        let keys = claims.keys.iter().map(|it| KeyPattern::parse(it)).collect::<Option<_>>();
        let can = claims.can.map_or(Capabilities::OF_A_PAGE, |can| {
            Capabilities::parse(can.iter().map(String::as_str))
        });
        Ok(Grant {
            user: Arc::new(user),
            keys: keys.ok_or(AuthError::Keys)?,
            can,
            // The leeway counts, or a token that is taken late would expire at once.
            expires_in: time_until(claims.exp + self.validation.leeway as f64),
            last_seen: claims.last_seen.unwrap_or(true),
        })
    }
}

impl Authority {}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list of errors is open")]
fn classify(error: jsonwebtoken::errors::Error) -> AuthError {
    match error.kind() {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotYet,
        _ => AuthError::Jwt(error),
    }
}

/// A wrong color is no reason to lock a person out: it is ignored, and being parsed into three bytes
/// it can't smuggle anything into a style.
fn parse_color(text: &str) -> Option<Color> {
    let color = Color::parse(text);
    if color.is_none() {
        warn!("a token's `color` is not # and six hexadecimal digits, so the name's color is used");
    }
    color
}

/// A wrong address is ignored for the same reason.
fn parse_avatar(text: &str) -> Option<AvatarUrl> {
    let avatar = AvatarUrl::parse(text);
    if avatar.is_none() {
        warn!("a token's `avatar` is no address of a picture, so there is none");
    }
    avatar
}

/// The color that follows a name everywhere: the first three bytes of its SHA-1.
fn color_of_name(name: &str) -> Color {
    let [red, green, blue, ..] = sha1_smol::Sha1::from(name).digest().bytes();
    Color([red, green, blue])
}

fn time_until(exp: f64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::try_from_secs_f64(exp).unwrap_or(Duration::MAX).saturating_sub(now)
}

#[cfg(test)]
mod tests;
