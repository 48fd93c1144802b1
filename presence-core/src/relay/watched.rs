//! The keys that servers watch, and what those are told: as pages are, at flush points, from a bounded log.

use super::census::Moment;
use super::outgoing::{Log, Next, Viewer};
use super::room::News;
use super::{Backplane, Host, Relay};
use crate::Time;
use presence_protocol::{Key, Meta, Presence, Rev, UserId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most watchers at a time, of all keys.
const MAX_WATCHERS: usize = 1000;
/// What a presence takes in a log besides its meta, about.
const PRESENCE_BYTES: usize = 256;

/// Somebody who watches a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatcherId(u64);

/// Why a key can't be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchError {
    /// The user was put out, and not for long enough yet.
    Kicked,
    /// The user watches as much as they may.
    TooMany,
    /// As many watch as may.
    Full,
}

/// What a watcher is told next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Everybody who is there: to begin with, and for one who fell behind.
    Roster(Moment, Vec<Presence<Meta>>),
    /// What happened since then, of each user at most once.
    News(Moment, Arc<[News]>),
    /// Nothing ever again: the user was put out.
    Kicked,
}

/// The watchers of each key, and those whom the shell hasn't woken yet.
#[derive(Debug, Default)]
pub(super) struct Watched {
    keys: BTreeMap<Key, Feed>,
    n_ever: u64,
    wakes: VecDeque<WatcherId>,
}

/// What is told of a key, and who is how far in it.
#[derive(Debug)]
struct Feed {
    log: Log<(Moment, Arc<[News]>)>,
    watchers: BTreeMap<WatcherId, Watcher>,
}

#[derive(Debug)]
struct Watcher {
    user: UserId,
    place: Viewer,
}

impl Watched {
    pub(super) fn has(&self, key: &Key) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    /// How many watch.
    pub(super) fn len(&self) -> usize {
        self.watchers().count()
    }

    /// Something happened in a key that is watched.
    pub(super) fn tell(&mut self, now: Time, at: Moment, key: &Key, rev: Rev, news: Vec<News>) {
        let Some(Feed { log, watchers }) = self.keys.get_mut(key) else { return };
        // What all have read is of no use any more, nor is anything to those who get a snapshot anyway.
        let read_until = watchers.values().filter_map(|it| it.place.position()).min();
        log.forget_before(read_until.unwrap_or(u64::MAX));
        if read_until.is_some() {
            let size = news.iter().map(size).sum();
            log.push((at, news.into()), size, rev, now);
        }
        self.wakes.extend(watchers.keys());
    }

    /// Whoever watches a key, or any, as this user does so no longer.
    pub(super) fn kick(&mut self, user: &UserId, key: Option<&Key>) {
        self.keys.retain(|it, feed| {
            if key.is_none_or(|key| key == it) {
                let kicked = feed.watchers.extract_if(.., |_, it| it.user == *user);
                self.wakes.extend(kicked.map(|(id, _)| id));
            }
            !feed.watchers.is_empty()
        });
    }

    /// True if nobody watches anything.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.keys.is_empty()
    }

    /// How much is kept for those who haven't taken it yet.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.keys.values().map(|it| it.log.bytes()).sum()
    }

    fn watchers(&self) -> impl Iterator<Item = &Watcher> {
        self.keys.values().flat_map(|it| it.watchers.values())
    }
}

/// What news takes in memory, about.
fn size(news: &News) -> usize {
    let metas: usize = news.sessions.iter().map(|it| it.meta.as_str().len()).sum();
    metas + (news.sessions.len() + 1) * PRESENCE_BYTES
}

/// What a presence takes once it is written down, about.
fn written(it: &Presence<Meta>) -> usize {
    let (avatar, info) = (it.user.avatar(), it.user.info());
    let texts = [
        it.meta.as_str(),
        it.user.name(),
        avatar.map_or("", |it| it.as_str()),
        info.map_or("", |it| it.as_str()),
    ];
    texts.iter().map(|it| it.len()).sum::<usize>() + PRESENCE_BYTES
}

impl<H: Host, B: Backplane> Relay<H, B> {
    /// Somebody watches a key from now on.
    ///
    /// # Errors
    ///
    /// [`WatchError`] if they can't.
    pub fn watch(&mut self, now: Time, key: &Key, user: &UserId) -> Result<WatcherId, WatchError> {
        if self.bans.hold(now, user, Some(key)) {
            return Err(WatchError::Kicked);
        }
        if self.watched.len() >= MAX_WATCHERS {
            return Err(WatchError::Full);
        }
        let n_own = self.watched.watchers().filter(|it| it.user == *user).count();
        if n_own >= self.config.max_connections_per_user {
            return Err(WatchError::TooMany);
        }
        let id = WatcherId(self.watched.n_ever);
        self.watched.n_ever += 1;
        let new = || Feed { log: Log::new(), watchers: BTreeMap::new() };
        let feed = self.watched.keys.entry(key.clone()).or_insert_with(new);
        feed.watchers.insert(id, Watcher { user: user.clone(), place: Viewer::Behind });
        Ok(id)
    }

    /// A watcher of a key is gone.
    pub fn unwatch(&mut self, key: &Key, id: WatcherId) {
        if let Some(feed) = self.watched.keys.get_mut(key) {
            feed.watchers.remove(&id);
            if feed.watchers.is_empty() {
                self.watched.keys.remove(key);
            }
        }
    }

    /// How many bytes it takes, about, to write down what a watcher of a key is to be told next.
    #[must_use]
    pub fn owed(&self, key: &Key, id: WatcherId) -> usize {
        let Some(feed) = self.watched.keys.get(key) else { return 0 };
        let Some(watcher) = feed.watchers.get(&id) else { return 0 };
        match watcher.place.peek(&feed.log) {
            Ok(None) => 0,
            Ok(Some((_, news))) => {
                let told = |it: &News| it.sessions.iter().map(written).sum::<usize>();
                news.iter().map(|it| PRESENCE_BYTES + told(it)).sum()
            }
            Err(_) => self.slots.get(key).map_or(0, |it| it.room.each().map(written).sum()),
        }
    }

    /// What a watcher of a key is to be told next; `None` until it is woken.
    pub fn told(&mut self, now: Time, key: &Key, id: WatcherId) -> Option<Told> {
        let Some(feed) = self.watched.keys.get_mut(key) else { return Some(Told::Kicked) };
        let Some(watcher) = feed.watchers.get_mut(&id) else { return Some(Told::Kicked) };
        loop {
            let had_all = watcher.place.position().is_some();
            match watcher.place.next(&feed.log) {
                Next::Nothing => return None,
                Next::Frame((at, news), _) => return Some(Told::News(*at, Arc::clone(news))),
                Next::Snapshot if had_all => {}
                Next::Snapshot => break,
            }
        }
        let room = self.slots.get(key).map(|it| &it.room);
        let (rev, presences) =
            room.map_or((Rev(0), Vec::new()), |it| (it.flushed_rev(), it.told()));
        watcher.place = Viewer::At { position: feed.log.end(), rev };
        Some(Told::Roster(self.moment(now), presences))
    }

    /// A watcher that has something to be told. Call until `None`.
    pub fn poll_watcher(&mut self) -> Option<WatcherId> {
        self.watched.wakes.pop_front()
    }
}
