//! Who asks, about what, and whether they may.

use crate::App;
use crate::problem::Problem;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use presence_core::relay::{Capability, Grant, KeyPattern, Refusal};
use presence_protocol::{Key, UserId};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Whom a request comes from, as its token says.
pub(super) struct Caller {
    pub(super) grant: Grant,
}

impl Caller {
    pub(super) fn needs(&self, capability: Capability) -> Result<(), Problem> {
        if self.grant.can.has(capability) {
            return Ok(());
        }
        let message = format!("the token's \"can\" doesn't have \"{}\"", capability.name());
        Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", message))
    }

    /// May do this with a key.
    pub(super) fn may(&self, capability: Capability, key: &Key) -> Result<(), Problem> {
        self.needs(capability)?;
        if self.grant.covers(key) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "key_denied", "the token isn't for this key"))
    }

    /// May do this with all keys there are.
    pub(super) fn may_everywhere(&self, capability: Capability) -> Result<(), Problem> {
        self.needs(capability)?;
        let is_all =
            |it: &KeyPattern| matches!(it, KeyPattern::Prefix(prefix) if prefix.is_empty());
        if self.grant.keys.iter().any(is_all) {
            return Ok(());
        }
        let message = "that is about every key, so the token must be for \"*\"";
        Err(Problem::new(StatusCode::FORBIDDEN, "key_denied", message))
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let denied =
            |code, message: &'static str| Problem::new(StatusCode::UNAUTHORIZED, code, message);
        let token = parts.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = token.and_then(|it| {
            let (scheme, token) = it.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let token = token.ok_or_else(|| denied("denied", "a bearer token is needed"))?;
        let grant = app.authority.check(token).map_err(|error| match error.refusal() {
            Refusal::Expired => denied("expired", "the token has expired"),
            Refusal::Denied => denied("denied", "the token is not one of ours"),
        })?;
        super::rate::hold_user(app, grant.user.id())?;
        Ok(Self { grant })
    }
}

/// A request about the key in its path.
pub(super) struct OfKey {
    pub(super) caller: Caller,
    pub(super) key: Key,
}

impl OfKey {
    /// The key, if this may be done with it.
    pub(super) fn may(self, capability: Capability) -> Result<Key, Problem> {
        self.caller.may(capability, &self.key)?;
        Ok(self.key)
    }
}

impl FromRequestParts<Arc<App>> for OfKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let path = Path::<String>::from_request_parts(parts, app).await;
        let key = path.ok().and_then(|Path(it)| Key::parse(&it));
        let message = "a key is 1 to 128 letters, digits and :_-./@";
        let key = key.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "bad_key", message))?;
        Ok(Self { caller, key })
    }
}

/// A request about the user in its path.
pub(super) struct OfUser {
    pub(super) caller: Caller,
    pub(super) user: UserId,
}

impl FromRequestParts<Arc<App>> for OfUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let path = Path::<String>::from_request_parts(parts, app).await;
        let user = path.ok().and_then(|Path(it)| UserId::parse(&it));
        let user = user.ok_or_else(|| Problem::bad_request("that is no user's id"))?;
        Ok(Self { caller, user })
    }
}

/// A body of JSON, whatever type it says it has.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let bytes = axum::body::Bytes::from_request(request, app).await;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(status, "too_large", "a body must not be larger than 64 KiB")
            }
            _ => Problem::bad_request("the body can't be read"),
        })?;
        // What the parser says names fields, and where they are.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", error.to_string())
        })
    }
}
