//! Which dial of a session is its newest, so that the older ones can be fenced.

use super::ConnId;
use crate::Time;
use core::time::Duration;
use presence_protocol::{Dial, SessionId, User, UserId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long a session without a connection is remembered beyond its grace, so that a late frame of an
/// older dial finds itself fenced.
const REMEMBER: Duration = Duration::from_secs(60);

/// The sessions that this relay has seen lately.
#[derive(Debug)]
pub(super) struct Sessions {
    claims: BTreeMap<SessionId, Claim>,
    /// Sessions without a connection, in the order in which they may be forgotten.
    forget: VecDeque<(Time, SessionId)>,
}

#[derive(Debug)]
struct Claim {
    dial: Dial,
    user: Arc<User>,
    conn: Option<ConnId>,
    forget_at: Time,
}

/// A newer dial of the same session has been here.
#[derive(Debug)]
pub(super) struct Fenced;

impl Sessions {
    pub(super) const fn new() -> Self {
        Self { claims: BTreeMap::new(), forget: VecDeque::new() }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.claims.contains_key(&session)
    }

    /// True unless a session has become another user's, to whom the former one's resume tokens mean nothing.
    pub(super) fn is_of(&self, session: SessionId, user: &UserId) -> bool {
        self.claims.get(&session).is_none_or(|it| it.user.id() == user)
    }

    /// From now on a session is this user's.
    pub(super) fn hand_over(&mut self, session: SessionId, user: Arc<User>) {
        if let Some(claim) = self.claims.get_mut(&session) {
            claim.user = user;
        }
    }

    /// The newest dial wins. Returns the connection that it takes over from, if that is still here.
    pub(super) fn claim(
        &mut self,
        session: SessionId,
        dial: Dial,
        user: Arc<User>,
        conn: ConnId,
    ) -> Result<Option<ConnId>, Fenced> {
        let claim = Claim { dial, user, conn: Some(conn), forget_at: Time::default() };
        match self.claims.get_mut(&session) {
            Some(former) if former.dial >= dial => Err(Fenced),
            Some(former) => Ok(core::mem::replace(former, claim).conn),
            None => {
                self.claims.insert(session, claim);
                Ok(None)
            }
        }
    }

    /// A connection is gone; its session is remembered for a while.
    pub(super) fn release(&mut self, now: Time, session: SessionId, conn: ConnId, grace: Duration) {
        if let Some(claim) = self.claims.get_mut(&session)
            && claim.conn == Some(conn)
        {
            claim.conn = None;
            claim.forget_at = now + grace + REMEMBER;
            self.forget.push_back((claim.forget_at, session));
        }
        self.forget_before(now);
    }

    /// A dial said goodbye without a connection: it and all before it mean nothing from now on. Returns
    /// the connection of one that is still here.
    pub(super) fn fence(
        &mut self,
        session: SessionId,
        dial: Dial,
    ) -> Result<Option<ConnId>, Fenced> {
        match self.claims.get_mut(&session) {
            Some(claim) if claim.dial > dial => Err(Fenced),
            Some(claim) => {
                claim.dial = dial;
                Ok(claim.conn)
            }
            None => Ok(None),
        }
    }

    fn forget_before(&mut self, now: Time) {
        while let Some((at, session)) = self.forget.front().copied()
            && at <= now
        {
            self.forget.pop_front();
            if self.claims.get(&session).is_some_and(|it| it.conn.is_none() && it.forget_at == at) {
                self.claims.remove(&session);
            }
        }
    }
}
