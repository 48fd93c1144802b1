//! Who viewed a key, and when: what is worth keeping, for how long, and who is told.
//!
//! A relay decides here and keeps nothing itself. What is to be kept, looked up or forgotten comes out of
//! [`Relay::poll_request`](super::Relay::poll_request) for the shell's store, which may take its time.

use super::{ConnId, KeyPattern};
use crate::Time;
use core::time::Duration;
use presence_protocol::{Dial, Key, Meta, Seen, ServerFrame, SessionId, User, UserId, limits};
use std::collections::VecDeque;
use std::sync::Arc;

/// How often what is too old is forgotten, at least and at most: after the retention, if it is between these,
/// so that nothing is there for twice as long.
const FORGET_INTERVALS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// Of which keys it is kept who viewed them, and for how long.
#[derive(Clone, Debug)]
pub struct LastSeenRules {
    /// The keys; nothing is kept of any other.
    pub keys: Vec<KeyPattern>,
    /// For how long.
    pub retention: Duration,
    /// The shortest time between two records of somebody who stays.
    pub interval: Duration,
}

impl LastSeenRules {
    /// The rules for these keys, with the times that the protocol's paper names.
    #[must_use]
    pub const fn new(keys: Vec<KeyPattern>, retention: Duration) -> Self {
        Self { keys, retention, interval: Duration::from_secs(60) }
    }
}

/// Somebody viewed a key at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The key.
    pub key: Key,
    /// Who, as the others saw them.
    pub user: Arc<User>,
    /// When.
    pub at: Time,
}

/// A connection wants to know who viewed a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The key.
    pub key: Key,
    /// Views before this are not told.
    pub since: Time,
    pub(super) conn: ConnId,
    /// Its number may be another's by the time that the answer comes.
    pub(super) claim: (SessionId, Dial),
}

impl Asked {
    /// The answer, from what a store has found, the latest first. `now` and the views are on the same clock
    /// as [`since`](Self::since).
    #[must_use]
    pub fn answer(&self, now: Time, views: Vec<View>) -> ServerFrame<Meta> {
        let views = views.into_iter().filter(|it| it.at >= self.since);
        let one = |it: View| Seen { user: it.user, ago_ms: super::millis(now.since(it.at)) };
        let seen = views.take(limits::MAX_LAST_SEEN).map(one).collect();
        ServerFrame::LastSeen { key: self.key.clone(), seen }
    }
}

/// Something for the shell's store. In this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Keep this, unless a later view of the same user and key is kept already.
    Keep(View),
    /// Look up who viewed a key, the latest first, and answer with
    /// [`Relay::last_seen`](super::Relay::last_seen).
    LookUp(Asked),
    /// Forget every view before this moment.
    ForgetBefore(Time),
    /// Forget what a user has viewed among some keys.
    ForgetUser {
        /// Who.
        user: UserId,
        /// Of these keys.
        keys: Vec<KeyPattern>,
    },
}

/// The rules, and what they have come to that the shell hasn't taken yet.
#[derive(Debug)]
pub(super) struct LastSeen {
    rules: Option<LastSeenRules>,
    requests: VecDeque<Request>,
}

impl LastSeen {
    /// Nothing is kept.
    pub(super) const fn off() -> Self {
        Self { rules: None, requests: VecDeque::new() }
    }

    pub(super) fn set(&mut self, rules: LastSeenRules) {
        self.rules = Some(rules);
    }

    /// True if it is kept of this key.
    pub(super) fn covers(&self, key: &Key) -> bool {
        self.rules.as_ref().is_some_and(|it| it.keys.iter().any(|it| it.matches(key)))
    }

    /// For how long it is kept; `None` if nothing is kept at all.
    pub(super) fn retention(&self) -> Option<Duration> {
        self.rules.as_ref().map(|it| it.retention)
    }

    /// The shortest time between two records of somebody who stays, if there are any at all.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.rules.as_ref().map(|it| it.interval)
    }

    /// Somebody views a key, or did until this moment.
    pub(super) fn view(&mut self, key: &Key, user: &Arc<User>, at: Time) {
        if self.covers(key) {
            let view = View { key: key.clone(), user: user.clone(), at };
            self.requests.push_back(Request::Keep(view));
        }
    }

    pub(super) fn ask(&mut self, now: Time, key: Key, conn: ConnId, claim: (SessionId, Dial)) {
        if let Some(rules) = &self.rules {
            let since = now - rules.retention;
            self.requests.push_back(Request::LookUp(Asked { key, since, conn, claim }));
        }
    }

    /// Forgets what is too old. Returns when to do so again.
    pub(super) fn forget(&mut self, now: Time) -> Option<Time> {
        let rules = self.rules.as_ref()?;
        self.requests.push_back(Request::ForgetBefore(now - rules.retention));
        let (shortest, longest) = FORGET_INTERVALS;
        Some(now + rules.retention.clamp(shortest, longest))
    }

    /// A token forbids that anything is kept of a user: nor is what was kept before.
    pub(super) fn forget_user(&mut self, user: &UserId, keys: &[KeyPattern]) {
        if self.rules.is_some() {
            let (user, keys) = (user.clone(), keys.to_vec());
            self.requests.push_back(Request::ForgetUser { user, keys });
        }
    }

    pub(super) fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }
}
