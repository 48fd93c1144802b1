//! What an application's servers are told of who comes and goes, once it is certain.
//!
//! Of a user who leaves it is told when they have stayed away for the grace, so that a reload, a redial and a
//! restart of the relay are no news. What was told outlives the relay if the shell keeps it.

use super::KeyPattern;
use super::room::News;
use crate::Time;
use core::time::Duration;
use presence_protocol::{Key, LeaveReason, User, UserId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most users who are gone and might be back. Beyond this they are told to have left at once.
const MAX_GONE: usize = 100_000;

/// Of which keys servers are told.
#[derive(Clone, Debug)]
pub struct NoticeRules {
    /// The keys.
    pub keys: Vec<KeyPattern>,
    /// Who was told to be where in the relay's last life; `None` if nobody has kept that, so that those who
    /// come back from it can't be told from those who were told.
    pub told: Option<Vec<(Key, Arc<User>)>>,
}

/// Something that servers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of this key.
    pub key: Key,
    /// What happened.
    pub event: NoticeEvent,
}

/// What happened in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    /// Somebody is there now, and nobody was before.
    Occupied,
    /// A user is there now.
    Joined(Arc<User>),
    /// A user is there no longer.
    Left(Arc<User>),
    /// Nobody is there any more.
    Vacated,
}

/// A user who was told to be in a key.
#[derive(Debug)]
struct Told {
    user: Arc<User>,
    /// Until when they may come back without anybody being told, if they are gone.
    gone: Option<Time>,
    /// True if somebody looks after that already.
    armed: bool,
}

/// The rules, what was told, and what the shell hasn't taken yet.
#[derive(Debug, Default)]
pub(super) struct Notices {
    rules: Option<Vec<KeyPattern>>,
    is_kept: bool,
    told: BTreeMap<Key, BTreeMap<UserId, Told>>,
    n_gone: usize,
    out: VecDeque<Notice>,
}

impl Notices {
    /// Sets the rules. Those who were told to be there are gone until they come back, but for those in keys
    /// of which nothing is told any more. Returns whom to look after at the end of that.
    pub(super) fn set(&mut self, rules: NoticeRules, until: Time) -> Vec<(Key, UserId)> {
        let NoticeRules { keys, told } = rules;
        self.is_kept = told.is_some();
        self.rules = Some(keys);
        let mut told = told.unwrap_or_default();
        told.retain(|(key, _)| self.cover(key));
        let mut gone = Vec::new();
        for (key, user) in told {
            gone.push((key.clone(), user.id().clone()));
            let known = Told { user: user.clone(), gone: Some(until), armed: true };
            self.told.entry(key).or_default().insert(user.id().clone(), known);
        }
        self.n_gone = gone.len();
        gone
    }

    /// True if servers are told of this key.
    pub(super) fn cover(&self, key: &Key) -> bool {
        self.rules.as_ref().is_some_and(|it| it.iter().any(|it| it.matches(key)))
    }

    /// A user has come or gone. Returns when to look after them, if nobody does yet.
    pub(super) fn take(
        &mut self,
        now: Time,
        grace: Duration,
        key: &Key,
        news: &News,
    ) -> Option<Time> {
        let id = news.user.id();
        let known = self.told.get_mut(key).and_then(|it| it.get_mut(id));
        match (news.left, known) {
            (None, Some(known)) => {
                known.user = news.user.clone();
                if known.gone.take().is_some() {
                    self.n_gone -= 1;
                }
            }
            (None, None) => {
                // Somebody who is back from the relay's last life was told there, or nobody knows.
                let is_back = !self.is_kept && news.sessions.iter().any(|it| it.since < 0);
                self.tell_joined(key, &news.user, is_back);
            }
            (Some(LeaveReason::Left), Some(known)) if self.n_gone < MAX_GONE => {
                let until = now + grace;
                if known.gone.replace(until).is_none() {
                    self.n_gone += 1;
                }
                return (!core::mem::replace(&mut known.armed, true)).then_some(until);
            }
            // They were away for the grace, or won't be back.
            (Some(_), Some(_)) => self.tell_left(key, id),
            (Some(_), None) => {}
        }
        None
    }

    /// The time has come at which a user was to be back. Returns when it comes again, if they were and are
    /// gone once more.
    pub(super) fn expire(&mut self, now: Time, key: &Key, user: &UserId) -> Option<Time> {
        let known = self.told.get_mut(key).and_then(|it| it.get_mut(user))?;
        known.armed = false;
        let until = known.gone?;
        if now < until {
            known.armed = true;
            return Some(until);
        }
        self.tell_left(key, user);
        None
    }

    pub(super) fn poll(&mut self) -> Option<Notice> {
        self.out.pop_front()
    }

    fn tell_joined(&mut self, key: &Key, user: &Arc<User>, is_known: bool) {
        let of_key = self.told.entry(key.clone()).or_default();
        let was_empty = of_key.is_empty();
        of_key.insert(user.id().clone(), Told { user: user.clone(), gone: None, armed: false });
        if is_known {
            return;
        }
        if was_empty {
            self.out.push_back(Notice { key: key.clone(), event: NoticeEvent::Occupied });
        }
        let event = NoticeEvent::Joined(user.clone());
        self.out.push_back(Notice { key: key.clone(), event });
    }

    fn tell_left(&mut self, key: &Key, user: &UserId) {
        let Some(of_key) = self.told.get_mut(key) else { return };
        let Some(Told { user, gone, .. }) = of_key.remove(user) else { return };
        if gone.is_some() {
            self.n_gone -= 1;
        }
        self.out.push_back(Notice { key: key.clone(), event: NoticeEvent::Left(user) });
        if of_key.is_empty() {
            self.told.remove(key);
            self.out.push_back(Notice { key: key.clone(), event: NoticeEvent::Vacated });
        }
    }
}
