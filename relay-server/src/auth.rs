//! Tokens: who somebody is and which keys they may join.

mod address;
mod keyring;
mod keys;

pub(crate) use address::{Address, redacted};
pub use address::{AddressError, FetchError};
pub(crate) use keyring::Place;
pub use keyring::{Keyring, LoadError};
pub use keys::KeysError;
pub(crate) use keys::{MIN_SECRET_BYTES, Origin, TokenKey};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use presence_core::relay::{Capabilities, Grant, KeyPattern, Refusal};
use presence_protocol::limits::MAX_TOKEN_BYTES;
use presence_protocol::{AvatarUrl, Color, Info, User, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::warn;

/// Checks tokens: JWTs signed with one of the application's keys.
#[derive(Debug)]
pub(crate) struct Authority {
    keyring: Keyring,
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
    #[error("the token's header has `crit`, and asks for what this relay doesn't know")]
    Critical,
    #[error("no key of the token's algorithm and `kid` is known")]
    NoKey,
    #[error("the token's `kid` is not known yet")]
    UnknownKey,
    /// The reason would show what is in them.
    #[error("the claims don't have the types that they should have, or one is missing")]
    Claims,
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
            // And one with a new key is as good as the others once that is known; there is none if it isn't
            // then.
            Self::Expired | Self::NotYet | Self::UnknownKey => Refusal::Expired,
            Self::TooLong
            | Self::Jwt(_)
            | Self::Critical
            | Self::NoKey
            | Self::Claims
            | Self::Subject
            | Self::Name
            | Self::Keys => Refusal::Denied,
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
    info: Option<Box<RawValue>>,
    keys: Vec<String>,
    /// False if nothing may be kept of when this person viewed something.
    last_seen: Option<bool>,
    can: Option<Vec<String>>,
    /// A whole number for most issuers, but RFC 7519 allows fractions.
    exp: f64,
}

impl Authority {
    pub(crate) fn new(keyring: Keyring, rules: &TokenRules) -> Self {
        // Each key says for itself which algorithm it is for.
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
        Self { keyring, validation }
    }

    /// From now on changes of the keys are noticed.
    pub(crate) fn watch_keys(&self) -> std::io::Result<()> {
        self.keyring.watch()
    }

    /// True if the keys of tokens aren't all known yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.keyring.is_waiting()
    }

    /// Checks a token.
    pub(crate) fn check(&self, token: &str) -> Result<Grant, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let claims = self.verify(token)?;
        let id = UserId::parse(&claims.sub).ok_or(AuthError::Subject)?;
        let name = claims.name.as_deref().unwrap_or(id.as_str());
        let color = claims.color.as_deref().and_then(parse_color);
        let color = color.unwrap_or_else(|| color_of_name(name));
        let avatar = claims.avatar.as_deref().and_then(parse_avatar);
        let user = User::new(id.clone(), name, color).map_err(|_| AuthError::Name)?;
        let info = claims.info.as_deref().and_then(parse_info);
        let user = user.with_avatar(avatar).with_info(info);
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

    /// The claims of a token that one of the keys has signed, with the algorithm that the key is for.
    fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        let header = decode_header(token).map_err(classify)?;
        if header.crit.is_some() {
            return Err(AuthError::Critical);
        }
        let mut validation = self.validation.clone();
        let mut refused = None;
        let mut is_known = header.kid.is_none();
        for keys in self.keyring.sets() {
            for key in keys.iter() {
                is_known |= header.kid.as_deref().is_some_and(|kid| key.is_called(kid));
                if !key.may_have_signed(&header) {
                    continue;
                }
                validation.algorithms = vec![key.algorithm()];
                match decode(token, key.key(), &validation) {
                    Ok(token) => return Ok(token.claims),
                    Err(error) if *error.kind() == ErrorKind::InvalidSignature => {
                        refused = Some(AuthError::Jwt(error));
                    }
                    Err(error) => return Err(classify(error)),
                }
            }
        }
        match &header.kid {
            Some(kid) if !is_known && self.keyring.ask(kid) => Err(AuthError::UnknownKey),
            None if self.keyring.is_waiting() => Err(AuthError::UnknownKey),
            _ => Err(refused.unwrap_or(AuthError::NoKey)),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list of errors is open")]
fn classify(error: jsonwebtoken::errors::Error) -> AuthError {
    match error.kind() {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotYet,
        ErrorKind::Json(_) => AuthError::Claims,
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

/// So is what is too large to be told everybody.
fn parse_info(json: &RawValue) -> Option<Info> {
    let info = Info::from_json_value(json.get());
    if info.is_none() {
        warn!("a token's `info` is no object of at most 1024 bytes, so there is none");
    }
    info
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
