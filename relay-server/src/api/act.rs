//! What an application's servers do to who is there: put somebody out, or be there themselves.

use super::caller::{Body, OfKey, OfUser};
use super::{CHUNK, wire};
use crate::App;
use crate::problem::Problem;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use presence_core::relay::{Capability, PlaceError, TooMany};
use presence_protocol::{Meta, UserId};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// For how long a user who is put out stays out, unless the request says otherwise: as long as most tokens
/// are good.
const KICK_SECONDS: f64 = 300.0;
/// Longer than this is the business of whoever hands out tokens.
const MAX_SECONDS: f64 = 86_400.0;
/// For how long a server's member stays unless it is renewed.
const TTL_SECONDS: f64 = 60.0;
const MIN_TTL_SECONDS: f64 = 5.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KickFromKey {
    user: String,
    #[serde(default = "kick_seconds")]
    seconds: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kick {
    #[serde(default = "kick_seconds")]
    seconds: f64,
}

const fn kick_seconds() -> f64 {
    KICK_SECONDS
}

/// `POST /v1/keys/{key}/kick`: puts a user out of a key.
pub(super) async fn kick_from_key(
    State(app): State<Arc<App>>,
    of_key: OfKey,
    Body(KickFromKey { user, seconds }): Body<KickFromKey>,
) -> Result<Json<wire::Kicked>, Problem> {
    let key = of_key.may(Capability::Kick)?;
    let user = UserId::parse(&user).ok_or_else(|| Problem::bad_request("that is no user's id"))?;
    let lasting = lasting(seconds)?;
    let kicked = app.shared.with(|core, now| core.kick(now, &user, Some(&key), lasting));
    Ok(Json(wire::Kicked { kicked: kicked.map_err(too_many)? }))
}

/// `POST /v1/users/{user}/kick`: puts a user out of everything.
pub(super) async fn kick(
    State(app): State<Arc<App>>,
    of_user: OfUser,
    Body(Kick { seconds }): Body<Kick>,
) -> Result<Json<wire::Kicked>, Problem> {
    of_user.caller.may_everywhere(Capability::Kick)?;
    let user = of_user.user;
    let lasting = lasting(seconds)?;
    let kicked = app.shared.with(|core, now| core.kick(now, &user, None, lasting));
    // Who can't be kept out is put out nevertheless, of every key.
    let (mut kicked, refusal) = match kicked {
        Ok(n) => (n, None),
        Err(error) => (0, Some(too_many(error))),
    };
    let mut last = None;
    loop {
        let (n, next) =
            app.shared.with(|core, now| core.kick_lost(now, &user, last.as_ref(), CHUNK));
        kicked += n;
        last = next;
        if last.is_none() {
            return refusal.map_or_else(|| Ok(Json(wire::Kicked { kicked })), Err);
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftQuery {
    user: String,
}

/// `DELETE /v1/keys/{key}/kick`: a user is kept out of a key no longer.
pub(super) async fn lift_from_key(
    State(app): State<Arc<App>>,
    of_key: OfKey,
    query: Result<Query<LiftQuery>, QueryRejection>,
) -> Result<Json<wire::Lifted>, Problem> {
    let key = of_key.may(Capability::Kick)?;
    let user = query.ok().and_then(|Query(it)| UserId::parse(&it.user));
    let user = user.ok_or_else(|| Problem::bad_request("user must be a user's id"))?;
    let lifted = app.shared.with(|core, now| core.lift_kick(now, &user, Some(&key)));
    Ok(Json(wire::Lifted { lifted }))
}

/// `DELETE /v1/users/{user}/kick`: a user is kept out of everything no longer.
pub(super) async fn lift(
    State(app): State<Arc<App>>,
    of_user: OfUser,
) -> Result<Json<wire::Lifted>, Problem> {
    of_user.caller.may_everywhere(Capability::Kick)?;
    let lifted = app.shared.with(|core, now| core.lift_kick(now, &of_user.user, None));
    Ok(Json(wire::Lifted { lifted }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    #[serde(default, deserialize_with = "there")]
    meta: Option<Box<RawValue>>,
    #[serde(default = "ttl_seconds")]
    ttl: f64,
}

const fn ttl_seconds() -> f64 {
    TTL_SECONDS
}

/// What isn't missing is not null either.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// `PUT /v1/keys/{key}/me`: the token's user is in a key, for a while.
pub(super) async fn place(
    State(app): State<Arc<App>>,
    of_key: OfKey,
    Body(Place { meta, ttl }): Body<Place>,
) -> Result<Json<wire::Placed>, Problem> {
    let user = Arc::clone(&of_key.caller.grant.user);
    let key = of_key.may(Capability::Agent)?;
    let meta = meta.map_or_else(|| Ok(Meta::empty()), |it| Meta::from_json_value(it.get()));
    let meta =
        meta.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad_meta", error.message()))?;
    let lasting = seconds(ttl, MIN_TTL_SECONDS)
        .ok_or_else(|| Problem::bad_request("ttl must be 5 to 86400 seconds"))?;
    let placed = app.shared.with(|core, now| core.place(now, &key, &user, meta, lasting));
    match placed {
        Ok(session) => Ok(Json(wire::Placed { session: session.to_string(), ttl })),
        Err(PlaceError::Kicked) => Err(Problem::kicked()),
        Err(PlaceError::Full) => {
            let message = "the key, or the relay, holds as many as it may";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "key_full", message))
        }
    }
}

/// `DELETE /v1/keys/{key}/me`: the token's user is in a key no longer.
pub(super) async fn withdraw(
    State(app): State<Arc<App>>,
    of_key: OfKey,
) -> Result<Json<wire::Withdrawn>, Problem> {
    let user = of_key.caller.grant.user.id().clone();
    let key = of_key.may(Capability::Agent)?;
    let withdrawn = app.shared.with(|core, now| core.withdraw(now, &key, &user));
    Ok(Json(wire::Withdrawn { withdrawn }))
}

fn lasting(number: f64) -> Result<Duration, Problem> {
    seconds(number, 0.0).ok_or_else(|| Problem::bad_request("seconds must be 0 to 86400"))
}

fn seconds(number: f64, least: f64) -> Option<Duration> {
    let fits = (least..=MAX_SECONDS).contains(&number);
    fits.then(|| Duration::try_from_secs_f64(number).ok()).flatten()
}

fn too_many(_: TooMany) -> Problem {
    let message = "10,000 users are kept out already";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_kicked", message)
}
