//! `GET /v1/keys/{key}/events`: what happens in a key, for servers that watch, as server-sent events.
//!
//! Nothing is queued for a watcher: the next event is written down when its socket takes one, and who has
//! fallen behind by then gets a snapshot.

use super::caller::OfKey;
use super::wire;
use crate::App;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use presence_core::relay::{Capability, Moment, News, Told, WatchError, WatcherId};
use presence_protocol::Key;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

/// A token that is good for longer is as good as one for so long.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Begins to tell a watcher.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    of_key: OfKey,
) -> Result<Response, Problem> {
    let grant = &of_key.caller.grant;
    let (user, expires_in) = (Arc::clone(&grant.user), grant.expires_in.min(LONGEST));
    let key = of_key.may(Capability::List)?;
    let (id, news) = app.shared.watch(&key, user.id()).map_err(cant_watch)?;
    let now = Instant::now();
    let mut heartbeat = interval_at(now + app.heartbeat, app.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let expires = now + expires_in;
    let watch = Watch { app, key, id, news, expires, heartbeat, is_over: false };
    let texts = unfold(watch, async |mut watch| {
        let text = watch.next().await?;
        Some((Ok::<_, Infallible>(text), watch))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        // Proxies are not to gather it.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(texts)).into_response())
}

fn cant_watch(error: WatchError) -> Problem {
    match error {
        WatchError::Kicked => Problem::kicked(),
        WatchError::TooMany => {
            let message = "this user watches as many keys as they may";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", message)
        }
        WatchError::Full => {
            let message = "as many watch as may";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
        }
    }
}

/// A place among those who watch a key, until it is dropped.
struct Watch {
    app: Arc<App>,
    key: Key,
    id: WatcherId,
    news: Arc<Notify>,
    /// When its token does.
    expires: Instant,
    heartbeat: Interval,
    is_over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.app.shared.unwatch(&self.key, self.id);
    }
}

impl Watch {
    /// What is written next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let Self { app, key, id, news, expires, heartbeat, is_over } = self;
        let told = async {
            loop {
                match app.shared.with(|core, now| core.told(now, key, *id)) {
                    Some(told) => return told,
                    None => news.notified().await,
                }
            }
        };
        let mut end = |code| {
            *is_over = true;
            event("end", &wire::End { code })
        };
        Some(tokio::select! {
            biased;
            () = app.stopping.cancelled() => end("restarting"),
            () = sleep_until(*expires) => end("expired"),
            told = told => match told {
                Told::Roster(at, roster) => event("snapshot", &wire::Members::new(key, at, &roster)),
                Told::News(at, news) => news.iter().map(|it| change(key, at, it)).collect(),
                Told::Kicked => end("kicked"),
            },
            _ = heartbeat.tick() => ":\n\n".to_owned(),
        })
    }
}

fn change(key: &Key, at: Moment, news: &News) -> String {
    let kind = match (news.left, news.was_here) {
        (Some(_), _) => "left",
        (None, true) => "updated",
        (None, false) => "joined",
    };
    event(kind, &wire::Change::new(key, at, news))
}

fn event(kind: &str, data: &impl Serialize) -> String {
    // What comes from JSON always is JSON again. A line would end the field, and in JSON line breaks, which
    // only a meta can have, mean nothing.
    let data = serde_json::to_string(data).unwrap_or_default().replace(['\n', '\r'], " ");
    format!("event: {kind}\ndata: {data}\n\n")
}
