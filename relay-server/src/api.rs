//! The HTTP API under /v1, for an application's own servers: who is where, who was, and who is put out.
//!
//! A request brings a token as pages do, as `Authorization: Bearer`, whose `can` says what it may do with
//! its `keys`. `api/openapi.json` describes all of it and is served; tests hold the answers to it.

mod act;
mod caller;
pub(crate) mod events;
mod rate;
mod wire;

use crate::App;
use crate::clock::wall;
use crate::problem::Problem;
use crate::store::Unavailable;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use caller::{Caller, OfKey, OfUser};
use presence_core::relay::Capability;
use presence_protocol::limits::MAX_LAST_SEEN;
use presence_protocol::{Key, Presence, UserId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most keys whose viewers are counted in one request.
const MAX_COUNTED: usize = 100;
/// Most users on a page of those who are online.
const MAX_PAGE: usize = 1000;
/// About so many presences are looked at before others get the relay.
const CHUNK: usize = 2000;

/// The routes.
pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/v1/keys/{key}/members", get(members))
        .route("/v1/keys/{key}/last-seen", get(last_seen))
        .route("/v1/keys/{key}/events", get(events::events))
        .route("/v1/keys/{key}/kick", post(act::kick_from_key).delete(act::lift_from_key))
        .route("/v1/keys/{key}/me", put(act::place).delete(act::withdraw))
        .route("/v1/counts", get(counts))
        .route("/v1/online", get(online))
        .route("/v1/users/{user}/last-seen", delete(forget))
        .route("/v1/users/{user}/kick", post(act::kick).delete(act::lift))
        // It is about people, and about this moment.
        .layer(map_response(async |mut response: Response| {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }))
        .route("/v1/openapi.json", get(document))
        .layer(from_fn_with_state(Arc::clone(app), rate::hold))
}

/// `GET /v1/keys/{key}/members`: everybody in a key.
async fn members(State(app): State<Arc<App>>, of_key: OfKey) -> Result<Response, Problem> {
    let key = of_key.may(Capability::List)?;
    let (at, roster) = app.shared.with(|core, now| (core.moment(now), core.roster(&key)));
    Ok(Json(wire::Members::new(&key, at, &roster)).into_response())
}

/// `GET /v1/counts?keys=document:1,document:2`: how many are in these keys.
async fn counts(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<CountsQuery>, QueryRejection>,
) -> Result<Json<wire::Counts>, Problem> {
    let Query(CountsQuery { keys }) = query.map_err(|_| say_keys())?;
    let keys = keys.split(',').map(Key::parse).collect::<Option<Vec<_>>>();
    let keys = keys.filter(|it| it.len() <= MAX_COUNTED).ok_or_else(say_keys)?;
    for key in &keys {
        caller.may(Capability::List, key)?;
    }
    let counts =
        app.shared.with(|core, _| keys.iter().map(|it| core.count(it)).collect::<Vec<_>>());
    let counts = keys.iter().zip(counts).map(|(key, (members, sessions))| wire::Count {
        key: key.as_str().to_owned(),
        members,
        sessions,
    });
    Ok(Json(wire::Counts { counts: counts.collect() }))
}

#[derive(Deserialize)]
struct CountsQuery {
    keys: String,
}

fn say_keys() -> Problem {
    Problem::bad_request("say which, 100 at most: /v1/counts?keys=document:1,document:2")
}

/// `GET /v1/online?after=…&limit=…`: everybody who is anywhere, in order of their ids, page by page.
async fn online(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<OnlineQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    caller.needs(Capability::List)?;
    let wrong = || Problem::bad_request("limit must be 1 to 1000, and after the last page's next");
    let Query(OnlineQuery { after, limit }) = query.map_err(|_| wrong())?;
    let limit = limit.unwrap_or(100);
    let after = after.map(|it| UserId::parse(&it).ok_or_else(wrong)).transpose()?;
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(wrong());
    }
    let mut found: BTreeMap<UserId, (Presence<_>, Vec<Key>)> = BTreeMap::new();
    let mut last_key = None;
    loop {
        let rosters = app.shared.with(|core, _| core.rosters_after(last_key.as_ref(), CHUNK));
        let Some((last, _)) = rosters.last() else { break };
        last_key = Some(last.clone());
        for (key, roster) in rosters.into_iter().filter(|(key, _)| caller.grant.covers(key)) {
            for presence in roster {
                let id = presence.user.id().clone();
                if after.as_ref().is_some_and(|after| id <= *after) {
                    continue;
                }
                let keys = &mut found.entry(id).or_insert_with(|| (presence, Vec::new())).1;
                if keys.last() != Some(&key) {
                    keys.push(key.clone());
                }
                // Who is beyond the page's end stays there, whoever is still to come.
                if found.len() > limit + 1 {
                    found.pop_last();
                }
            }
        }
        tokio::task::yield_now().await;
    }
    let is_more = found.len() > limit;
    if is_more {
        found.pop_last();
    }
    Ok(Json(wire::Online::new(&found, is_more)).into_response())
}

#[derive(Deserialize)]
struct OnlineQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/keys/{key}/last-seen`: who has viewed a key, the latest first.
async fn last_seen(State(app): State<Arc<App>>, of_key: OfKey) -> Result<Response, Problem> {
    let key = of_key.may(Capability::List)?;
    let (retention, is_kept) =
        app.shared.with(|core, _| (core.last_seen_retention(), core.keeps_last_seen_of(&key)));
    let since = wall() - retention.ok_or_else(nothing_kept)?;
    let views = if is_kept {
        let of_key = key.clone();
        let views = app.shared.inbox().run(move |it| it.views(&of_key, since, MAX_LAST_SEEN));
        views.await.map_err(unavailable)?
    } else {
        Vec::new()
    };
    Ok(Json(wire::LastSeen::new(&key, &views, wall())).into_response())
}

/// `DELETE /v1/users/{user}/last-seen`: forgets when a user viewed anything.
async fn forget(
    State(app): State<Arc<App>>,
    of_user: OfUser,
) -> Result<Json<wire::Forgotten>, Problem> {
    of_user.caller.may_everywhere(Capability::Kick)?;
    let OfUser { caller, user } = of_user;
    app.shared.with(|core, _| core.last_seen_retention()).ok_or_else(nothing_kept)?;
    let keys = caller.grant.keys;
    let forgotten = app.shared.inbox().run(move |it| it.forget_user(&user, &keys)).await;
    Ok(Json(wire::Forgotten { forgotten: forgotten.map_err(unavailable)? }))
}

/// `GET /v1/openapi.json`: what there is.
async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], include_str!("api/openapi.json"))
}

fn nothing_kept() -> Problem {
    let message = "the relay was not started with --last-seen";
    Problem::new(StatusCode::NOT_FOUND, "nothing_kept", message)
}

fn unavailable(_: Unavailable) -> Problem {
    let message = "the database doesn't answer for the moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
}
