//! What an application's own servers do to who is there: put somebody out, or be there without a socket.

use super::connection::Role;
use super::room::JoinError;
use super::{Backplane, Change, Host, Relay, Timer, slot};
use crate::Time;
use core::ops::Bound;
use core::time::Duration;
use presence_protocol::{
    CloseCode, Dial, ErrorCode, Key, LeaveReason, Meta, Presence, PresenceState, SessionId, User,
    UserId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most users who are kept out at a time.
const MAX_BANS: usize = 10_000;
/// Most members that servers keep.
const MAX_AGENTS: usize = 10_000;

/// Who is kept out of a key, or of all, and until when.
#[derive(Debug, Default)]
pub(super) struct Bans(BTreeMap<(UserId, Option<Key>), Time>);

impl Bans {
    /// True if somebody may not be in a key, or anywhere at all.
    pub(super) fn hold(&self, now: Time, user: &UserId, key: Option<&Key>) -> bool {
        // Most of the time there are none.
        if self.0.is_empty() {
            return false;
        }
        let until = |key: Option<&Key>| self.0.get(&(user.clone(), key.cloned()));
        [None, key].into_iter().filter_map(until).any(|it| now < *it)
    }

    fn add(
        &mut self,
        now: Time,
        user: UserId,
        key: Option<Key>,
        until: Time,
    ) -> Result<(), TooMany> {
        self.0.retain(|_, until| now < *until);
        let is_known = self.0.contains_key(&(user.clone(), key.clone()));
        if self.0.len() >= MAX_BANS && now < until && !is_known {
            return Err(TooMany);
        }
        if now < until {
            let kept = self.0.entry((user, key)).or_insert(until);
            *kept = until.max(*kept);
        }
        Ok(())
    }
}

/// Members whom servers keep, each one presence.
#[derive(Debug, Default)]
pub(super) struct Agents(BTreeMap<(Key, UserId), Agent>);

#[derive(Debug)]
struct Agent {
    session: SessionId,
    ends: Time,
}

/// As many are kept as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Why a server's member can't be in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// It was put out, and not for long enough yet.
    Kicked,
    /// The key or the relay holds as many as it may.
    Full,
}

impl<H: Host, B: Backplane> Relay<H, B> {
    /// Puts a user out, of one key or of all, and keeps them out for a while. Returns how many presences
    /// that were, since of observers nobody is told; of all keys those without a connection are left to
    /// [`Self::kick_lost`]. Who is kept out already is so until the later of both ends.
    ///
    /// # Errors
    ///
    /// [`TooMany`] if too many are kept out already: this one is put out, and may come back.
    pub fn kick(
        &mut self,
        now: Time,
        user: &UserId,
        key: Option<&Key>,
        lasting: Duration,
    ) -> Result<usize, TooMany> {
        let kept_out = self.bans.add(now, user.clone(), key.cloned(), now + lasting);
        self.watched.kick(user, key);
        let mut n_kicked = 0;
        for id in self.users.get(user).cloned().unwrap_or_default() {
            let Some(open) = self.open(id) else { continue };
            let entered = open.keys.iter().map(|it| (it.key.clone(), it.role));
            let keys: Vec<_> = entered.filter(|it| key.is_none_or(|key| *key == it.0)).collect();
            n_kicked += keys.iter().filter(|it| it.1 == Role::Member).count();
            for (it, _) in &keys {
                self.depart(now, id, it, LeaveReason::Kicked);
                if key.is_some() {
                    let message = "this user was put out of this key".to_owned();
                    self.error(now, id, ErrorCode::Kicked, message, Some(it.clone()));
                }
            }
            if key.is_none() {
                self.refuse(now, id, CloseCode::Kicked);
            }
        }
        if let Some(key) = key {
            n_kicked += self.kick_rest(now, user, key);
        }
        kept_out.map(|()| n_kicked)
    }

    /// Lets a user in again who is kept out of a key, or of all; of one key they are kept out on their own.
    /// Returns whether they were.
    pub fn lift_kick(&mut self, now: Time, user: &UserId, key: Option<&Key>) -> bool {
        let until = self.bans.0.remove(&(user.clone(), key.cloned()));
        until.is_some_and(|it| now < it)
    }

    /// Puts out what is left of a user without a connection, in the keys behind a key, in order, until so
    /// many presences were looked at. Returns how many there were, and the last key if there may be more.
    pub fn kick_lost(
        &mut self,
        now: Time,
        user: &UserId,
        after: Option<&Key>,
        enough: usize,
    ) -> (usize, Option<Key>) {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut n_seen = 0;
        let mut keys = Vec::new();
        for (key, slot) in self.slots.range::<Key, _>((first, Bound::Unbounded)) {
            if n_seen >= enough {
                break;
            }
            n_seen += slot.room.len() + 1;
            keys.push(key.clone());
        }
        let n_kicked = keys.iter().map(|it| self.kick_rest(now, user, it)).sum();
        (n_kicked, keys.pop())
    }

    fn kick_rest(&mut self, now: Time, user: &UserId, key: &Key) -> usize {
        self.forget_agent(key, user);
        let rest = self.slots.get(key).map_or_else(Vec::new, |it| it.room.held_by(user));
        for (session, dial) in &rest {
            let (session, dial, reason) = (*session, *dial, LeaveReason::Kicked);
            self.publish(now, key, Change::Leave { session, dial, reason });
        }
        rest.len()
    }

    /// A server says that a user is in a key, for so long unless it says so again.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] if they can't be.
    pub fn place(
        &mut self,
        now: Time,
        key: &Key,
        user: &Arc<User>,
        meta: Meta,
        lasting: Duration,
    ) -> Result<SessionId, PlaceError> {
        if self.bans.hold(now, user.id(), Some(key)) {
            return Err(PlaceError::Kicked);
        }
        let place = (key.clone(), user.id().clone());
        let known = self.agents.0.get(&place).map(|it| it.session);
        let session = known.unwrap_or_else(|| self.new_session());
        let (_, began) = self.backplane.epoch();
        let is_full = self.is_full() || self.agents.0.len() >= MAX_AGENTS;
        let presence = Presence {
            session,
            user: user.clone(),
            since: now.relative_to(began),
            state: PresenceState::Active,
            meta,
        };
        let slot = slot(&mut self.slots, &self.config, key);
        let change = match slot.room.join(presence, Dial(1)) {
            Ok(change) if known.is_some() || !is_full => change,
            Ok(_) | Err(JoinError::Full | JoinError::FullOfUser | JoinError::Fenced) => {
                self.settle(now, key);
                return Err(PlaceError::Full);
            }
        };
        self.publish(now, key, change);
        self.forget_agent(key, user.id());
        let ends = now + lasting;
        self.timers.insert((ends, Timer::Agent(key.clone(), user.id().clone())));
        self.agents.0.insert(place, Agent { session, ends });
        Ok(session)
    }

    /// A server says that a user whom it has placed is in a key no longer. False if they weren't.
    pub fn withdraw(&mut self, now: Time, key: &Key, user: &UserId) -> bool {
        let Some(session) = self.forget_agent(key, user) else { return false };
        let reason = LeaveReason::Left;
        self.publish(now, key, Change::Leave { session, dial: Dial(1), reason });
        true
    }

    /// A server hasn't said again that a user is in a key.
    pub(super) fn expire_agent(&mut self, now: Time, key: &Key, user: &UserId) {
        let Some(session) = self.forget_agent(key, user) else { return };
        let (dial, reason) = (Dial(1), LeaveReason::Timeout);
        self.publish(now, key, Change::Lost { session, dial, lost_for: Duration::ZERO });
        self.publish(now, key, Change::Leave { session, dial, reason });
    }

    fn forget_agent(&mut self, key: &Key, user: &UserId) -> Option<SessionId> {
        if self.agents.0.is_empty() {
            return None;
        }
        let agent = self.agents.0.remove(&(key.clone(), user.clone()))?;
        self.timers.remove(&(agent.ends, Timer::Agent(key.clone(), user.clone())));
        Some(agent.session)
    }
}
