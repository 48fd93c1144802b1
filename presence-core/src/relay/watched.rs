//! The keys that servers watch, and what those are told: as pages are, at flush points, from a bounded log.
//!
//! They are told whole users, so one small change may be much to tell. Hence a window of their own: what was
//! told keeps what is next waiting for as long as its bytes take at a bounded rate, but never for long.

use super::census::Moment;
use super::outgoing::{Log, Next, Viewer};
use super::room::{News, Room};
use super::{Backplane, Host, Relay, Timer};
use crate::Time;
use core::time::Duration;
use presence_protocol::{AvatarUrl, Key, Meta, Presence, Rev, User, UserId};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

/// Most watchers at a time, of all keys.
const MAX_WATCHERS: usize = 1000;
/// What a presence takes besides its meta, about, and an event besides what it is about.
const PRESENCE_BYTES: usize = 256;
/// Most bytes a second that all who watch a key are told together, but for what each is told first.
const BYTES_PER_SECOND: u64 = 4 * 1024 * 1024;
/// What is next waits for no longer than this, however much was told to however many: of those who make it
/// much, some may not even read it.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The same for what somebody is told first, which is everybody who is there.
const LONGEST_WAIT_TO_BEGIN: Duration = Duration::from_secs(1);

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
    News(Arc<Tidings>),
    /// Nothing ever again: the user was put out.
    Kicked,
}

/// What happened in a key until a moment, of each user at most once.
#[derive(Debug, PartialEq, Eq)]
pub struct Tidings {
    at: Moment,
    pub(super) news: Vec<News>,
    /// What it takes once it is written down, about.
    bytes: usize,
    text: OnceLock<Arc<[u8]>>,
}

impl Tidings {
    /// It in the shell's words, which are written down once for all watchers.
    pub fn text(&self, write: impl FnOnce(Moment, &[News]) -> Vec<u8>) -> Arc<[u8]> {
        Arc::clone(self.text.get_or_init(|| write(self.at, &self.news).into()))
    }
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
    log: Log<Arc<Tidings>>,
    watchers: BTreeMap<WatcherId, Watcher>,
    /// What isn't in the log yet, of each user at most once.
    pending: BTreeMap<UserId, News>,
    /// When it may be.
    opens: Time,
}

#[derive(Debug)]
struct Watcher {
    user: UserId,
    place: Viewer,
    /// True if it has been told everybody.
    has_begun: bool,
}

impl Feed {
    const fn new() -> Self {
        Self {
            log: Log::new(),
            watchers: BTreeMap::new(),
            pending: BTreeMap::new(),
            opens: Time::from_millis(0),
        }
    }

    fn add(&mut self, news: News) {
        match self.pending.entry(news.user.id().clone()) {
            Entry::Vacant(entry) => {
                entry.insert(news);
            }
            // Who came and went meanwhile hasn't been here.
            Entry::Occupied(entry) if !entry.get().was_here && news.left.is_some() => {
                entry.remove();
            }
            Entry::Occupied(mut entry) => {
                let was_here = entry.get().was_here;
                entry.insert(News { was_here, ..news });
            }
        }
    }

    /// Nothing more is told until so many bytes have had their time, or that is too long.
    fn spend(&mut self, now: Time, bytes: usize) {
        let millis = (bytes as u64).saturating_mul(1000) / BYTES_PER_SECOND;
        let opens = self.opens.max(now) + Duration::from_millis(millis);
        self.opens = opens.min(now + LONGEST_WAIT);
    }
}

impl Watched {
    pub(super) fn has(&self, key: &Key) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    /// How many watch.
    pub(super) fn len(&self) -> usize {
        self.watchers().count()
    }

    /// Something happened in a key that is watched. Returns when to [`open`](Self::open) it, if so.
    pub(super) fn tell(
        &mut self,
        now: Time,
        at: Moment,
        key: &Key,
        news: Vec<News>,
    ) -> Option<Time> {
        let feed = self.keys.get_mut(key)?;
        for it in news {
            feed.add(it);
        }
        self.open(now, at, key)
    }

    /// Tells what has waited for long enough. Returns when to try again, if so.
    pub(super) fn open(&mut self, now: Time, at: Moment, key: &Key) -> Option<Time> {
        let feed = self.keys.get_mut(key)?;
        // What all have read is of no use any more, nor is anything to those who get a snapshot anyway.
        let read_until = feed.watchers.values().filter_map(|it| it.place.position()).min();
        feed.log.forget_before(read_until.unwrap_or(u64::MAX));
        if read_until.is_none() {
            feed.pending.clear();
        } else if !feed.pending.is_empty() {
            if now < feed.opens {
                return Some(feed.opens);
            }
            let news: Vec<_> = core::mem::take(&mut feed.pending).into_values().collect();
            let bytes = news.iter().map(size).sum::<usize>();
            feed.spend(now, bytes.saturating_mul(feed.watchers.len()));
            // It is kept as it is and as it is written.
            let tidings = Arc::new(Tidings { at, news, bytes, text: OnceLock::new() });
            feed.log.push(tidings, 2 * bytes, Rev(0), now);
        }
        self.wakes.extend(feed.watchers.keys());
        None
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

/// What news takes once it is written down, about.
fn size(news: &News) -> usize {
    PRESENCE_BYTES
        + size_of_user(&news.user)
        + news.sessions.iter().map(size_of_session).sum::<usize>()
}

fn size_of_user(user: &User) -> usize {
    let (avatar, info) = (user.avatar().map(AvatarUrl::as_str), user.info().map(|it| it.as_str()));
    user.name().len() + avatar.map_or(0, str::len) + info.map_or(0, str::len)
}

fn size_of_session(presence: &Presence<Meta>) -> usize {
    PRESENCE_BYTES + presence.meta.as_str().len()
}

/// What a presence takes once it is written down with whose it is, about.
fn written(it: &Presence<Meta>) -> usize {
    size_of_session(it) + size_of_user(&it.user)
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
        let feed = self.watched.keys.entry(key.clone()).or_insert_with(Feed::new);
        let user = user.clone();
        feed.watchers.insert(id, Watcher { user, place: Viewer::Behind, has_begun: false });
        feed.opens = feed.opens.min(now + LONGEST_WAIT_TO_BEGIN);
        if !feed.pending.is_empty() {
            self.timers.insert((feed.opens, Timer::Watched(key.clone())));
        }
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
            Ok(Some(tidings)) => tidings.bytes,
            // Its snapshot waits.
            Err(_) if !feed.pending.is_empty() => 0,
            Err(_) => self.slots.get(key).map_or(0, |it| it.room.each_told().map(written).sum()),
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
                Next::Frame(tidings, _) => return Some(Told::News(Arc::clone(tidings))),
                Next::Snapshot if had_all => {}
                // A snapshot would hold what is told again once it may be.
                Next::Snapshot if !feed.pending.is_empty() => return None,
                Next::Snapshot => break,
            }
        }
        let room = self.slots.get(key).map(|it| &it.room);
        let presences: Vec<_> = room.into_iter().flat_map(Room::each_told).cloned().collect();
        watcher.place = Viewer::At { position: feed.log.end(), rev: Rev(0) };
        if core::mem::replace(&mut watcher.has_begun, true) {
            feed.spend(now, presences.iter().map(written).sum());
        }
        Some(Told::Roster(self.moment(now), presences))
    }

    /// A watcher that has something to be told. Call until `None`.
    pub fn poll_watcher(&mut self) -> Option<WatcherId> {
        self.watched.wakes.pop_front()
    }
}
