//! Who enters a key, as what, and who doesn't.

use super::connection::{Entered, Role};
use super::stats::Dropped;
use super::{
    Backplane, Capabilities, Capability, Change, ConnId, Grant, Host, JoinError, Refusal, Relay,
    slot,
};
use crate::Time;
use core::time::Duration;
use presence_protocol::{CloseCode, ErrorCode, Key, LeaveReason, Meta, Presence, PresenceState};

impl<H: Host, B: Backplane> Relay<H, B> {
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one frame")]
    pub(super) fn join(
        &mut self,
        now: Time,
        id: ConnId,
        key: Key,
        grant: Option<Result<Grant, Refusal>>,
        meta: Meta,
        age: Option<u64>,
        away: Option<bool>,
    ) {
        let (_, began) = self.backplane.epoch();
        let config = self.config;
        let Some(pass) = self.admit(now, id, &key, grant, Capability::Join) else { return };
        let has_room = self.has_room(id);
        let Some(open) = self.open(id) else { return };
        let away = away.unwrap_or(open.is_away);
        // How old the presence of a session is that began in this epoch, the relay knows better; and who
        // comes back after everybody's grace has come anew.
        let resumes_until = began + config.heartbeat + config.grace;
        let age = match age {
            Some(age) if open.since < began && now <= resumes_until => {
                Duration::from_millis(age).min(now.since(open.since))
            }
            _ => Duration::ZERO,
        };
        let (session, dial) = (open.session, open.dial);
        let presence = Presence {
            session,
            user: open.grant.user.clone(),
            since: (now - age).relative_to(began),
            state: if away { PresenceState::Away } else { PresenceState::Active },
            meta,
        };
        let slot = slot(&mut self.slots, &self.config, &key);
        let is_known = slot.room.holds(session) || slot.observers.contains(id);
        // Who is there already needs no more room.
        let has_room = if is_known { Ok(()) } else { has_room };
        let joins = slot.room.join(presence, dial).and_then(|it| has_room.map(|()| it));
        match joins {
            Ok(change) => {
                self.presences.follow(&slot.observers.remove(id));
                self.attend(now, id, away);
                self.enter(now, id, &key, Role::Member, pass);
                self.publish(now, &key, change);
                self.remember_due(id, now, now);
            }
            Err(error) => self.turn_away(now, id, key, error),
        }
    }

    pub(super) fn observe(
        &mut self,
        now: Time,
        id: ConnId,
        key: Key,
        grant: Option<Result<Grant, Refusal>>,
        invisible: bool,
    ) {
        let config = self.config;
        let has_room = self.has_room(id);
        let needed = if invisible { Capability::Invisible } else { Capability::Observe };
        let Some(pass) = self.admit(now, id, &key, grant, needed) else { return };
        let Some(open) = self.open(id) else { return };
        let (session, dial, user) = (open.session, open.dial, open.grant.user.clone());
        let was_member = open.is_member(&key);
        let slot = slot(&mut self.slots, &self.config, &key);
        let held = slot.room.dial_of(session);
        if held.is_some_and(|it| it > dial) {
            return self.turn_away(now, id, key, JoinError::Fenced);
        }
        if !slot.observers.contains(id) {
            // Apart from the presences, who are neither kept out nor told that somebody is there.
            if slot.observers.len() >= config.max_presences_per_key
                || slot.observers.count_of(user.id()) >= config.max_presences_per_user
            {
                return self.turn_away(now, id, key, JoinError::Full);
            }
            if let Err(error) = has_room
                && held.is_none()
            {
                return self.turn_away(now, id, key, error);
            }
            self.presences.follow(&slot.observers.insert(id, user));
        }
        self.remember(id, now, Some(&key));
        self.enter(now, id, &key, Role::Observer, pass);
        // Also what an earlier dial of this page has left there.
        if was_member || held.is_some() {
            let reason = LeaveReason::Left;
            self.publish(now, &key, Change::Leave { session, dial, reason });
        } else {
            self.settle(now, &key);
        }
    }

    /// True if the relay holds as many as it may.
    pub(super) const fn is_full(&self) -> bool {
        self.stats.presences + self.stats.observers >= self.config.max_presences
    }

    /// Whether there may be one more presence, or observer, of a connection's user.
    fn has_room(&mut self, id: ConnId) -> Result<(), JoinError> {
        if self.is_full() {
            return Err(JoinError::Full);
        }
        let user = self.open(id).map(|it| it.grant.user.clone());
        let most = self.config.max_presences_per_user_in_all;
        match user {
            Some(user) if self.presences.of(user.id()) >= most => Err(JoinError::FullOfUser),
            _ => Ok(()),
        }
    }

    /// What a connection may do in a key that it wants to enter, unless it may not enter it like this.
    fn admit(
        &mut self,
        now: Time,
        id: ConnId,
        key: &Key,
        grant: Option<Result<Grant, Refusal>>,
        needed: Capability,
    ) -> Option<Pass> {
        let max_keys = self.config.max_keys_per_connection;
        let open = self.open(id)?;
        let user = open.grant.user.id().clone();
        let has_room = open.entered(key).is_some() || open.keys.len() < max_keys;
        let own = match grant {
            None => None,
            Some(Ok(it)) if *it.user.id() == user => Some(it),
            Some(Ok(_) | Err(Refusal::Denied)) => {
                let message = format!("the token of the {} is none of this user", needed.name());
                self.deny(now, id, ErrorCode::KeyDenied, message, key.clone());
                return None;
            }
            Some(Err(Refusal::Expired)) => {
                let message = format!("the token of the {} has expired", needed.name());
                if needed == Capability::Join {
                    self.error(now, id, ErrorCode::KeyExpired, message, Some(key.clone()));
                } else {
                    self.deny(now, id, ErrorCode::KeyExpired, message, key.clone());
                }
                return None;
            }
        };
        if self.bans.hold(now, &user, Some(key)) {
            let message = "this user was put out of this key".to_owned();
            self.deny(now, id, ErrorCode::Kicked, message, key.clone());
            return None;
        }
        let open = self.open(id)?;
        // It holds whatever becomes of this.
        if let Some(forbids) = own.as_ref().filter(|it| !it.last_seen) {
            open.is_remembered = false;
            self.last_seen.forget_user(forbids.user.id(), &forbids.keys);
        }
        let open = self.open(id)?;
        let own_can = own.as_ref().map_or(Capabilities::NONE, |it| it.for_key(key));
        let can = open.grant.for_key(key).and(own_can);
        if !can.has(needed) {
            let message = format!("no token of this connection allows {} here", needed.name());
            self.deny(now, id, ErrorCode::KeyDenied, message, key.clone());
            return None;
        }
        if !has_room {
            let message = "this connection has entered as many keys as it may".to_owned();
            self.deny(now, id, ErrorCode::TooManyKeys, message, key.clone());
            return None;
        }
        Some(Pass { can, own_can, expires_at: own.map(|it| now + it.expires_in) })
    }

    /// A connection is in a key from now on, or is there as something else.
    fn enter(&mut self, now: Time, id: ConnId, key: &Key, role: Role, pass: Pass) {
        let Pass { can, own_can, expires_at } = pass;
        let grace = self.config.grace;
        let Some(open) = self.open(id) else { return };
        let mut replaces = false;
        let is_new = match open.entered(key) {
            Some(entered) => {
                (entered.role, entered.can, entered.own_can) = (role, can, own_can);
                entered.expires_at = expires_at;
                replaces = entered.held.take().is_some();
                false
            }
            None => {
                let (key, held, is_deferred) = (key.clone(), None, false);
                let (kept_at, viewed_until) = (None, None);
                open.keys.push(Entered {
                    key,
                    role,
                    can,
                    own_can,
                    expires_at,
                    held,
                    is_deferred,
                    kept_at,
                    viewed_until,
                });
                true
            }
        };
        let ends_at = open.first_expiry() + grace;
        self.stats.dropped.add(Dropped::Rate, replaces.into());
        self.arm_connection_by(id, ends_at);
        if !is_new && !self.connection(id).is_some_and(|it| it.may_ask(now)) {
            return self.stats.dropped.add(Dropped::Snapshot, 1);
        }
        let is_deferred = is_new && self.defers_entry(now, id);
        if let Some(entered) = self.open(id).and_then(|it| it.entered(key)) {
            entered.is_deferred = is_deferred;
        }
        if let Some(slot) = self.slots.get_mut(key) {
            slot.await_snapshot(id);
        }
    }

    /// True if the snapshot of a key that a connection enters is told later, because it enters too many.
    fn defers_entry(&mut self, now: Time, id: ConnId) -> bool {
        let Some(Err(at)) = self.connection(id).map(|it| it.may_enter(now)) else { return false };
        if let Some(open) = self.open(id) {
            open.snapshots_at = Some(at);
        }
        self.arm_connection_by(id, at);
        true
    }

    /// Has the snapshots told that have waited long enough.
    pub(super) fn tell_deferred(&mut self, now: Time, id: ConnId) {
        let Some(open) = self.open(id).filter(|it| it.snapshots_at.is_some_and(|it| it <= now))
        else {
            return;
        };
        open.snapshots_at = None;
        let deferred = open.keys.iter().filter(|it| it.is_deferred).map(|it| it.key.clone());
        for key in deferred.collect::<Vec<_>>() {
            if self.defers_entry(now, id) {
                return;
            }
            self.tell_snapshot(now, id, &key);
        }
    }

    /// Has a connection told a key's snapshot.
    pub(super) fn tell_snapshot(&mut self, now: Time, id: ConnId, key: &Key) {
        if let Some(entered) = self.open(id).and_then(|it| it.entered(key)) {
            entered.is_deferred = false;
        }
        if let Some(slot) = self.slots.get_mut(key) {
            slot.await_snapshot(id);
            self.settle(now, key);
        }
    }

    /// A connection can't enter a key now.
    fn turn_away(&mut self, now: Time, id: ConnId, key: Key, error: JoinError) {
        self.settle(now, &key);
        match error {
            JoinError::Full => {
                let message = "the key holds as many as it may".to_owned();
                self.deny(now, id, ErrorCode::KeyFull, message, key);
            }
            JoinError::FullOfUser => {
                let message = "this user is in as many keys as they may".to_owned();
                self.deny(now, id, ErrorCode::KeyFull, message, key);
            }
            JoinError::Fenced => self.refuse(now, id, CloseCode::Replaced),
        }
    }

    /// A connection may not be in a key as it wants to. It is not left there as it was: who doesn't want to
    /// be seen any more isn't, whatever the relay thinks of it.
    fn deny(&mut self, now: Time, id: ConnId, code: ErrorCode, message: String, key: Key) {
        self.depart(now, id, &key, LeaveReason::Left);
        // Also what an earlier dial of this page has left there.
        if let Some(open) = self.open(id) {
            let (session, dial, reason) = (open.session, open.dial, LeaveReason::Left);
            let held = self.slots.get(&key).and_then(|it| it.room.dial_of(session));
            if held.is_some_and(|it| it < dial) {
                self.publish(now, &key, Change::Leave { session, dial, reason });
            }
        }
        self.error(now, id, code, message, Some(key));
    }

    /// A connection leaves a key, if it has entered it.
    pub(super) fn depart(&mut self, now: Time, id: ConnId, key: &Key, reason: LeaveReason) {
        let Some(open) = self.open(id) else { return };
        let (session, dial, was_member) = (open.session, open.dial, open.is_member(key));
        if open.entered(key).is_none() {
            return;
        }
        self.remember(id, now, Some(key));
        if let Some(connection) = self.connection(id) {
            connection.gain_entries(now);
        }
        if let Some(open) = self.open(id) {
            open.keys.retain(|it| it.key != *key);
        }
        if let Some(slot) = self.slots.get_mut(key) {
            slot.forget(id, &mut self.presences);
        }
        if was_member {
            self.publish(now, key, Change::Leave { session, dial, reason });
        } else {
            self.settle(now, key);
        }
    }
}

/// What a connection that enters a key may do there.
#[derive(Clone, Copy, Debug)]
struct Pass {
    can: Capabilities,
    /// Of that, what the frame's own token allows, and until when.
    own_can: Capabilities,
    expires_at: Option<Time>,
}
