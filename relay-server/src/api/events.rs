//! `GET /v1/keys/{key}/events`: what happens in a key, for servers that watch, as server-sent events.
//!
//! Nothing is queued for a watcher: what it is told next is found when its socket takes it, and who has
//! fallen behind by then gets a snapshot. News is written down once for all who watch a key. What is large
//! waits until others have taken theirs.

use super::caller::OfKey;
use super::wire;
use crate::App;
use crate::http::HangUp;
use crate::problem::Problem;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use presence_core::relay::{Capability, Moment, News, Told, WatchError, WatcherId};
use presence_protocol::Key;
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// A token that is good for longer is as good as one for so long.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// What is larger than this waits for its turn.
const LARGE_BYTES: usize = 64 * 1024;
/// How much that is large is held at a time for all watchers, unless one takes more alone.
const HELD_KIB: u32 = 128 * 1024;
/// For how long one holds a part of that, or others would wait for as long as it likes to read a little.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// The room for what is large and isn't taken yet.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Semaphore>);

impl Hold {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(HELD_KIB as usize)))
    }

    /// Waits for room for so many bytes. The connection of one that keeps it for too long is ended.
    async fn wait(&self, bytes: usize, HangUp(hang_up): HangUp) -> Room {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).min(HELD_KIB);
        // Nobody closes it.
        let permit = Arc::clone(&self.0).acquire_many_owned(kib).await.ok();
        let end = async move {
            sleep(LONGEST_HOLD).await;
            hang_up.cancel();
        };
        let end = AbortOnDropHandle::new(tokio::spawn(end));
        Room { bytes, _permit: permit, _end: Some(end) }
    }
}

/// Room for something that is told, until it is taken.
#[derive(Debug)]
struct Room {
    bytes: usize,
    _permit: Option<OwnedSemaphorePermit>,
    _end: Option<AbortOnDropHandle<()>>,
}

impl Room {
    /// As much as anybody may have without waiting.
    const SMALL: Self = Self { bytes: LARGE_BYTES, _permit: None, _end: None };
}

/// Something written down, and the room that it takes.
struct Written {
    text: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Written {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Begins to tell a watcher.
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(hang_up): Extension<HangUp>,
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
    let (telling, is_over) = (None, false);
    let watch = Watch { app, key, id, news, hang_up, expires, heartbeat, telling, is_over };
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
    hang_up: HangUp,
    /// When its token does.
    expires: Instant,
    heartbeat: Interval,
    /// What finds what is told next. A heartbeat doesn't end it, or it would lose its place among those
    /// who wait for room.
    telling: Option<Pin<Box<dyn Future<Output = Next> + Send>>>,
    is_over: bool,
}

/// What is told next, how many bytes it takes, about, and the room for them.
type Next = (Told, usize, Room);

impl Drop for Watch {
    fn drop(&mut self) {
        self.app.shared.unwatch(&self.key, self.id);
    }
}

impl Watch {
    /// What is written next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let Self { app, key, id, news, hang_up, expires, heartbeat, telling, is_over } = self;
        let told = telling.get_or_insert_with(|| {
            let (app, news) = (Arc::clone(app), Arc::clone(news));
            Box::pin(tell(app, key.clone(), *id, news, hang_up.clone()))
        });
        let mut end = |code| {
            *is_over = true;
            Bytes::from(event("end", &wire::End { code }, 0))
        };
        Some(tokio::select! {
            biased;
            () = app.stopping.cancelled() => end("restarting"),
            () = sleep_until(*expires) => end("expired"),
            (told, owed, room) = told => {
                *telling = None;
                let text = match told {
                    Told::Roster(at, roster) => {
                        Bytes::from(event("snapshot", &wire::Members::new(key, at, &roster), owed))
                    }
                    Told::News(tidings) => Bytes::from_owner(tidings.text(|at, news| {
                        news.iter().flat_map(|it| change(key, at, it)).collect()
                    })),
                    Told::Kicked => return Some(end("kicked")),
                };
                Bytes::from_owner(Written { text, _room: room })
            }
            _ = heartbeat.tick() => Bytes::from_static(b":\n\n"),
        })
    }
}

/// Waits until there is something to be told, and room for it.
async fn tell(app: Arc<App>, key: Key, id: WatcherId, news: Arc<Notify>, hang_up: HangUp) -> Next {
    let mut room = Room::SMALL;
    loop {
        let told = app.shared.with(|core, now| match core.owed(&key, id) {
            owed if owed > room.bytes => Err(owed),
            owed => Ok((core.told(now, &key, id), owed)),
        });
        match told {
            Ok((Some(told), owed)) => return (told, owed, room),
            // Whose snapshot waits for what is told soon keeps the room that it has waited for.
            Ok((None, _)) => news.notified().await,
            Err(owed) => {
                // Not while it holds some, or those who need more would wait for each other.
                drop(room);
                // Some more, lest it waits again because somebody has come meanwhile.
                room = app.hold.wait(owed.saturating_add(owed / 8), hang_up.clone()).await;
            }
        }
    }
}

fn change(key: &Key, at: Moment, news: &News) -> Vec<u8> {
    let kind = match (news.left, news.was_here) {
        (Some(_), _) => "left",
        (None, true) => "updated",
        (None, false) => "joined",
    };
    event(kind, &wire::Change::new(key, at, news), 0)
}

/// An event, which has about so many bytes.
fn event(kind: &str, data: &impl Serialize, bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes);
    text.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    let begins = text.len();
    // What comes from JSON always is JSON again.
    let _ = serde_json::to_writer(&mut text, data);
    // A line would end the field, and in JSON line breaks, which only a meta can have, mean nothing.
    for byte in text.iter_mut().skip(begins).filter(|it| matches!(it, b'\n' | b'\r')) {
        *byte = b' ';
    }
    text.extend_from_slice(b"\n\n");
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn who_holds_room_for_a_minute_is_hung_up_on_and_who_gives_it_back_is_not() {
        let hold = Hold::new();
        let [quick, slow] = [HangUp::default(), HangUp::default()];
        let all = HELD_KIB as usize * 1024;
        drop(hold.wait(all, quick.clone()).await);
        let kept = hold.wait(all, slow.clone()).await;
        let waiting = timeout(Duration::from_secs(59), hold.wait(all, quick.clone()));
        assert!(waiting.await.is_err(), "there is room for one");
        assert!(!slow.0.is_cancelled());
        sleep(Duration::from_secs(2)).await;
        assert!(slow.0.is_cancelled());
        // What is sent goes with its connection.
        drop(kept);
        let waiting = hold.wait(all, quick.clone()).await;
        assert_eq!(waiting.bytes, all);
        assert!(!quick.0.is_cancelled(), "neither having had room nor waiting for it counts");
    }
}
