//! A new token on a live connection: it goes on under the same name, under another one, or as somebody else.

use super::connection::{Entered, Role};
use super::{
    Backplane, Capabilities, Capability, Change, ConnId, Grant, Host, Refusal, Relay, ResumeClaims,
    millis,
};
use crate::Time;
use presence_protocol::{CloseCode, ErrorCode, LeaveReason, ServerFrame, User};
use std::sync::Arc;

impl<H: Host, B: Backplane> Relay<H, B> {
    /// A connection's page has a new token.
    pub(super) fn renew(&mut self, now: Time, id: ConnId, grant: Result<Grant, Refusal>) {
        let grant = match grant {
            Ok(grant) => grant,
            Err(refusal) => {
                let (code, message) = match refusal {
                    Refusal::Expired => (ErrorCode::TokenExpired, "the token has expired"),
                    Refusal::Denied => (ErrorCode::TokenDenied, "the token is not one of ours"),
                };
                return self.error(now, id, code, message.to_owned(), None);
            }
        };
        if self.bans.hold(now, grant.user.id(), None) {
            return self.refuse(now, id, CloseCode::Kicked);
        }
        let Some(open) = self.open(id) else { return };
        let former = Arc::clone(&open.grant.user);
        let is_same = former.id() == grant.user.id();
        let mut keys = open.keys.clone();
        for it in &mut keys {
            // What the former person's tokens allow is nobody else's.
            if !is_same {
                (it.own_can, it.expires_at) = (Capabilities::NONE, None);
            }
            it.can = grant.for_key(&it.key).and(it.own_can);
        }
        if !is_same && !self.count_as(id, &former, &grant.user) {
            return self.refuse(now, id, CloseCode::Busy);
        }
        let mut n_theirs = self.presences.of(grant.user.id());
        let mut refused = Vec::new();
        for it in &keys {
            let has_room = is_same || n_theirs < self.config.max_presences_per_user_in_all;
            match self.refusal_of(now, it, is_same, &grant.user) {
                Some(refusal) => refused.push((it.key.clone(), refusal)),
                None if has_room => n_theirs += 1,
                None => {
                    let message = "the new user is in as many keys as they may";
                    refused.push((it.key.clone(), (ErrorCode::KeyFull, message)));
                }
            }
        }
        for (key, _) in &refused {
            self.depart(now, id, key, LeaveReason::Left);
        }
        if !is_same {
            // Up to here it was the one who looked, and from here on it is the other.
            self.remember(id, now, None);
        }
        self.take_grant(now, id, &keys, grant, is_same);
        for (key, (code, message)) in refused {
            self.error(now, id, code, message.to_owned(), Some(key));
        }
        self.tell_of_user(now, id, &former);
        if !is_same {
            self.remember(id, now, None);
        }
    }

    /// Has the connection and its session in the new token's name, and says so.
    fn take_grant(&mut self, now: Time, id: ConnId, keys: &[Entered], grant: Grant, is_same: bool) {
        let grace = self.config.grace;
        let Some(open) = self.open(id) else { return };
        if !is_same {
            open.since = now;
        }
        for entered in &mut open.keys {
            if let Some(it) = keys.iter().find(|it| it.key == entered.key) {
                (entered.can, entered.own_can) = (it.can, it.own_can);
                entered.expires_at = it.expires_at;
            }
        }
        open.is_remembered &= grant.last_seen;
        if !grant.last_seen {
            self.last_seen.forget_user(grant.user.id(), &grant.keys);
        }
        let Some(open) = self.open(id) else { return };
        open.expires_at = now + grant.expires_in;
        let claims = ResumeClaims {
            session: open.session,
            user: grant.user.id().clone(),
            dial: open.dial,
            since: open.since,
        };
        let (expires_in_ms, user) = (millis(grant.expires_in), Arc::clone(&grant.user));
        let user_id = Some(user.id().clone());
        open.grant = grant;
        let ends_at = open.first_expiry() + grace;
        self.sessions.hand_over(claims.session, user);
        let resume = self.host.seal(&claims);
        self.answer(now, id, ServerFrame::Token { resume, expires_in_ms, user_id });
        self.arm_connection_by(id, ends_at);
    }

    /// Tells the others who a connection's presences are now.
    fn tell_of_user(&mut self, now: Time, id: ConnId, former: &Arc<User>) {
        let (_, began) = self.backplane.epoch();
        let Some(open) = self.open(id) else { return };
        let (session, dial, keys) = (open.session, open.dial, open.keys.clone());
        let user = Arc::clone(&open.grant.user);
        if user == *former {
            return;
        }
        for Entered { key, role, .. } in keys {
            let (user, since) = (Arc::clone(&user), now.relative_to(began));
            match role {
                Role::Member => {
                    self.publish(now, &key, Change::User { session, dial, user, since });
                }
                Role::Observer => {
                    if let Some(slot) = self.slots.get_mut(&key) {
                        self.presences.follow(&slot.observers.insert(id, user));
                    }
                }
            }
        }
    }

    /// Why a connection can't stay in a key, as which it may be somebody else.
    fn refusal_of(
        &self,
        now: Time,
        entered: &Entered,
        is_same: bool,
        user: &User,
    ) -> Option<(ErrorCode, &'static str)> {
        if self.bans.hold(now, user.id(), Some(&entered.key)) {
            return Some((ErrorCode::Kicked, "this user was put out of this key"));
        }
        let needed: &[_] = match entered.role {
            Role::Member => &[Capability::Join],
            Role::Observer => &[Capability::Observe, Capability::Invisible],
        };
        if !needed.iter().any(|it| entered.can.has(*it)) {
            return Some((
                ErrorCode::KeyDenied,
                "the new token doesn't allow to be here like this",
            ));
        }
        let slot = self.slots.get(&entered.key).filter(|_| !is_same)?;
        let is_full = match entered.role {
            Role::Member => slot.room.is_full_for(user.id()),
            Role::Observer => {
                slot.observers.count_of(user.id()) >= self.config.max_presences_per_user
            }
        };
        let message = "the key holds as many of this user as it may";
        is_full.then_some((ErrorCode::KeyFull, message))
    }

    /// Counts a connection as another user's; false if they have as many as they may.
    fn count_as(&mut self, id: ConnId, former: &User, user: &User) -> bool {
        let has_room = self.connections_of(user.id()) < self.config.max_connections_per_user;
        if has_room {
            self.users.entry(user.id().clone()).or_default().insert(id);
            self.uncount_connection(id, former.id());
        }
        has_room
    }
}
