//! The keys that servers watch, and what they are told of them.

use super::room::News;
use super::{Backplane, Host, Relay};
use presence_protocol::{Key, Meta, Presence, Rev};
use std::collections::{BTreeMap, VecDeque};

/// What happened in a key that is watched, between two flush points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The key.
    pub key: Key,
    /// The rev at the later one.
    pub rev: Rev,
    /// Each user at most once.
    pub news: Vec<News>,
}

/// How many watch each key, and what the shell hasn't taken yet.
#[derive(Debug, Default)]
pub(super) struct Watched {
    keys: BTreeMap<Key, usize>,
    told: VecDeque<Told>,
}

impl Watched {
    pub(super) fn has(&self, key: &Key) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    pub(super) fn tell(&mut self, key: &Key, rev: Rev, news: Vec<News>) {
        self.told.push_back(Told { key: key.clone(), rev, news });
    }
}

impl<H: Host, B: Backplane> Relay<H, B> {
    /// Somebody watches a key from now on.
    pub fn watch(&mut self, key: &Key) {
        *self.watched.keys.entry(key.clone()).or_default() += 1;
    }

    /// The roster of a key on which what is told next follows, and its rev.
    #[must_use]
    pub fn told_roster(&self, key: &Key) -> (Rev, Vec<Presence<Meta>>) {
        let room = self.slots.get(key).map(|it| &it.room);
        room.map_or((Rev(0), Vec::new()), |it| (it.flushed_rev(), it.told()))
    }

    /// Somebody watches a key no longer.
    pub fn unwatch(&mut self, key: &Key) {
        if let Some(n) = self.watched.keys.get_mut(key) {
            *n -= 1;
            if *n == 0 {
                self.watched.keys.remove(key);
            }
        }
    }

    /// Something that those who watch a key are told. Call until `None`.
    pub fn poll_told(&mut self) -> Option<Told> {
        self.watched.told.pop_front()
    }
}
