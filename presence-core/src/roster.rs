//! A key's members as people see them: sessions folded into people, changes told as net differences.
//!
//! Joins and leaves are differences between two rosters. They are never forwarded from the wire, which
//! is why resuming is silent by construction.

use crate::Time;
use crate::map::Map;
use core::fmt;
use presence_protocol::{
    Delta, LeaveReason, Presence, PresenceState, Rev, SessionId, Snapshot, User, UserId,
};
use std::sync::Arc;

/// Whose sessions are folded together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedupe {
    /// One member for each user.
    #[default]
    User,
    /// One member for each session.
    None,
}

/// A person, of whom a roster only has to know who is who.
pub trait Person: Clone + PartialEq {
    /// The id that people are told apart by.
    fn id(&self) -> &UserId;
}

impl Person for Arc<User> {
    fn id(&self) -> &UserId {
        (**self).id()
    }
}

/// What makes a member the same one as before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberId {
    /// A user with all sessions.
    User(UserId),
    /// A single session.
    Session(SessionId),
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => f.write_str(id.as_str()),
            Self::Session(id) => id.fmt(f),
        }
    }
}

/// One person in a key, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<M, U = Arc<User>> {
    /// Its identity.
    pub id: MemberId,
    /// Who it is.
    pub user: U,
    /// True if it is the viewer.
    pub is_me: bool,
    /// How it is: the best of its sessions, so away or reconnecting only if all of them are.
    pub state: PresenceState,
    /// When it came, in milliseconds after the epoch began. It keeps this while any session stays, so
    /// that nobody changes places when the first of two tabs closes.
    pub since: i64,
    /// Its sessions, newest first.
    pub sessions: Vec<Presence<M, U>>,
}

/// What became of a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference<M, U = Arc<User>> {
    /// It wasn't here before.
    Joined {
        /// The member.
        member: Arc<Member<M, U>>,
        /// True if it was here before the relay's epoch: it came back after a restart of the relay.
        is_return: bool,
    },
    /// It is gone.
    Left {
        /// As it was.
        member: Arc<Member<M, U>>,
        /// Why.
        reason: LeaveReason,
    },
    /// Its meta, its state or the number of its sessions changed.
    Updated {
        /// As it was.
        before: Arc<Member<M, U>>,
        /// As it is.
        member: Arc<Member<M, U>>,
    },
}

/// How to take a snapshot that doesn't hold someone who is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is gone.
    Gone,
    /// It is gone, and so are those who were held: all of that was too long ago.
    GoneAndHeld,
    /// The relay was restarted and has forgotten everybody: it may still come back until then.
    HeldUntil(Time),
}

/// A delta doesn't fit what is known: a snapshot is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

/// A key's members.
#[derive(Clone, Debug)]
pub struct Roster<M, U = Arc<User>> {
    dedupe: Dedupe,
    /// Who the viewer is: whose its own presence is, or, without one, whom the relay took it for.
    me: Option<UserId>,
    my_session: Option<SessionId>,
    /// True while the viewer only looks on: its own session isn't among the members.
    is_observer: bool,
    /// The version; `None` until a snapshot has come.
    rev: Option<Rev>,
    /// Counts what has changed for those who look, over epochs and without gaps.
    n_changes: u32,
    members: Map<MemberId, Arc<Member<M, U>>>,
    /// The same, oldest first.
    by_age: Vec<Arc<Member<M, U>>>,
    places: Map<SessionId, Place>,
    /// Sessions older than the epoch that were seen to go: should one come back, that is news.
    gone: Map<SessionId, ()>,
    is_ready: bool,
    is_stale: bool,
}

/// Where a session is shown.
#[derive(Clone, Debug)]
struct Place {
    member: MemberId,
    /// Until when it is held although the relay doesn't know it.
    held: Option<Time>,
}

/// Members as they were before a change, and why their last session went.
type Batch<M, U> = Map<MemberId, (Option<Arc<Member<M, U>>>, LeaveReason)>;

impl<M: Clone + PartialEq, U: Person> Roster<M, U> {
    /// An empty roster.
    #[must_use]
    pub const fn new(dedupe: Dedupe) -> Self {
        Self {
            dedupe,
            me: None,
            my_session: None,
            is_observer: false,
            rev: None,
            n_changes: 0,
            members: Map::new(),
            by_age: Vec::new(),
            places: Map::new(),
            gone: Map::new(),
            is_ready: false,
            is_stale: false,
        }
    }

    /// The members, oldest first. One about whom nothing changes stays the same value.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member<M, U>>] {
        &self.by_age
    }

    /// How many members there are, oneself included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The member of an identity.
    #[cfg(test)]
    fn member(&self, id: &MemberId) -> Option<&Arc<Member<M, U>>> {
        self.members.get(id)
    }

    /// Who the viewer is, once the relay has said so.
    #[must_use]
    pub const fn me(&self) -> Option<&UserId> {
        self.me.as_ref()
    }

    /// True once the first snapshot has come.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// True while what is shown is older than the grace, because the relay is out of reach.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The version; `None` while a snapshot is awaited.
    #[must_use]
    pub const fn rev(&self) -> Option<Rev> {
        self.rev
    }

    /// Another number than before if anything about the members may have changed since.
    #[must_use]
    pub const fn n_changes(&self) -> u32 {
        self.n_changes
    }

    /// Whoever knows a former roster of this key must not take its count for this one's.
    pub(crate) const fn count_from(&mut self, n_changes: u32) {
        self.n_changes = n_changes;
    }

    /// The viewer's own presence.
    #[must_use]
    pub fn my_presence(&self) -> Option<&Presence<M, U>> {
        let session = self.my_session?;
        let member = self.members.get(&self.places.get(&session)?.member)?;
        member.sessions.iter().find(|it| it.session == session)
    }

    /// The member that a session is part of.
    #[must_use]
    pub fn member_of(&self, session: SessionId) -> Option<&Arc<Member<M, U>>> {
        self.members.get(&self.places.get(&session)?.member)
    }

    /// How many sessions there are, the viewer's own included.
    pub(crate) fn n_sessions(&self) -> usize {
        self.places.len()
    }

    /// Says which session is the viewer's own.
    pub(crate) const fn set_my_session(&mut self, session: SessionId) {
        self.my_session = Some(session);
    }

    /// Says whether the viewer only looks on, and who it is then: that no presence tells. It goes at once,
    /// whatever is still on its way.
    pub(crate) fn set_observer(
        &mut self,
        is_observer: bool,
        me: Option<&UserId>,
    ) -> Vec<Difference<M, U>> {
        let mut batch = Batch::new();
        self.is_observer = is_observer;
        if is_observer {
            if let Some(session) = self.my_session {
                self.remove(&mut batch, session, LeaveReason::Left);
            }
            self.set_me(&mut batch, me);
        }
        self.differences(batch)
    }

    /// Says whether what is shown is still to be believed.
    pub(crate) const fn set_stale(&mut self, is_stale: bool) -> bool {
        core::mem::replace(&mut self.is_stale, is_stale) != is_stale
    }

    /// From here on deltas mean nothing until a snapshot has come.
    pub(crate) const fn await_snapshot(&mut self) {
        self.rev = None;
    }

    /// The relay began a new epoch; so many milliseconds lie between its beginning and the former one's.
    pub(crate) fn rebase(&mut self, later_by: i64) {
        self.gone.clear();
        self.n_changes = self.n_changes.wrapping_add(1);
        for member in self.members.values_mut() {
            let member = Arc::make_mut(member);
            member.since -= later_by;
            for presence in &mut member.sessions {
                presence.since -= later_by;
            }
        }
        // Nobody changes places.
        for it in &mut self.by_age {
            if let Some(member) = self.members.get(&it.id) {
                *it = member.clone();
            }
        }
    }

    /// Takes a snapshot.
    pub(crate) fn snapshot(
        &mut self,
        snapshot: Snapshot<M, U>,
        missing: Missing,
    ) -> Vec<Difference<M, U>> {
        let mut batch = Batch::new();
        // A map, because there is one for sessions already, and sorting is some more to download.
        let mut known = Map::new();
        for presence in &snapshot.presences {
            known.insert(presence.session, ());
        }
        for session in self.sessions(&|session, _| !known.contains_key(session)) {
            let Some(place) = self.places.get_mut(&session) else { continue };
            match (place.held, missing) {
                (None, Missing::HeldUntil(until)) => place.held = Some(until),
                (None, Missing::Gone) | (_, Missing::GoneAndHeld) => {
                    self.remove(&mut batch, session, LeaveReason::Left);
                }
                (Some(_), Missing::Gone | Missing::HeldUntil(_)) => {}
            }
        }
        if missing == Missing::GoneAndHeld {
            // Nobody was told of those who went meanwhile, so the return of one is no news either.
            self.gone.clear();
        }
        for presence in snapshot.presences {
            self.put(&mut batch, presence);
        }
        self.rev = Some(snapshot.rev);
        self.is_ready = true;
        self.is_stale = false;
        self.differences(batch)
    }

    /// Takes a delta.
    ///
    /// # Errors
    ///
    /// [`Gap`] if it doesn't follow on what is known; nothing has changed then but that a snapshot is
    /// awaited.
    pub(crate) fn delta(&mut self, delta: Delta<M, U>) -> Result<Vec<Difference<M, U>>, Gap> {
        // Of itself a viewer may know better than the relay did.
        let known = |session: &SessionId| {
            self.my_session == Some(*session)
                || self.places.get(session).is_some_and(|it| it.held.is_none())
        };
        let fits = self.rev == Some(delta.from)
            && delta.left.iter().all(|it| known(&it.session))
            && delta.updated.iter().all(|it| known(&it.session));
        if !fits {
            self.rev = None;
            return Err(Gap);
        }
        let mut batch = Batch::new();
        for left in delta.left {
            self.remove(&mut batch, left.session, left.reason);
        }
        for presence in delta.joined {
            self.put(&mut batch, presence);
        }
        for updated in delta.updated {
            let Some(place) = self.places.get(&updated.session) else { continue };
            let id = place.member.clone();
            let Some(member) = self.changing(&mut batch, &id) else { continue };
            let presence = member.sessions.iter_mut().find(|it| it.session == updated.session);
            if let Some(presence) = presence {
                presence.state = updated.state.unwrap_or(presence.state);
                if let Some(meta) = updated.meta {
                    presence.meta = meta;
                }
            }
            member.fold();
        }
        self.rev = Some(delta.to);
        Ok(self.differences(batch))
    }

    /// When the first held session times out.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.places.values().filter_map(|it| it.held).min()
    }

    /// Lets go of those held who did not come back.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Vec<Difference<M, U>> {
        let mut batch = Batch::new();
        let is_due = |_: &_, place: &Place| place.held.is_some_and(|until| until <= now);
        for session in self.sessions(&is_due) {
            self.remove(&mut batch, session, LeaveReason::Timeout);
        }
        self.differences(batch)
    }

    /// The sessions that are of a kind.
    fn sessions(&self, is_it: &dyn Fn(&SessionId, &Place) -> bool) -> Vec<SessionId> {
        let mut found = Vec::new();
        for (session, place) in self.places.iter() {
            if is_it(session, place) {
                found.push(*session);
            }
        }
        found
    }

    /// Says who the viewer is, if it is anybody.
    fn set_me(&mut self, batch: &mut Batch<M, U>, me: Option<&UserId>) {
        if self.me.as_ref() == me {
            return;
        }
        self.me = me.cloned();
        let mut others = Vec::new();
        for member in self.members.values() {
            if member.is_me != (Some(member.user.id()) == me) {
                others.push(member.id.clone());
            }
        }
        for id in others {
            if let Some(member) = self.changing(batch, &id) {
                member.is_me = !member.is_me;
            }
        }
    }

    fn id_of(&self, presence: &Presence<M, U>) -> MemberId {
        match self.dedupe {
            Dedupe::User => MemberId::User(presence.user.id().clone()),
            Dedupe::None => MemberId::Session(presence.session),
        }
    }

    /// Shows a presence, in place of the one that its session had.
    fn put(&mut self, batch: &mut Batch<M, U>, presence: Presence<M, U>) {
        let id = self.id_of(&presence);
        let session = presence.session;
        if self.is_observer && Some(session) == self.my_session {
            return;
        }
        if self.places.get(&session).is_some_and(|it| it.member != id) {
            self.remove(batch, session, LeaveReason::Left);
        }
        self.remember(batch, &id);
        self.places.insert(session, Place { member: id.clone(), held: None });
        if Some(session) == self.my_session {
            self.set_me(batch, Some(presence.user.id()));
        }
        let is_me = self.me.as_ref() == Some(presence.user.id());
        if !self.members.contains_key(&id) {
            let member = Member {
                id: id.clone(),
                user: presence.user.clone(),
                is_me,
                state: presence.state,
                since: presence.since,
                sessions: Vec::new(),
            };
            self.members.insert(id.clone(), Arc::new(member));
        }
        let Some(member) = self.changing(batch, &id) else { return };
        member.is_me = is_me;
        member.since = member.since.min(presence.since);
        member.sessions.retain(|it| it.session != session);
        let age = |it: &Presence<M, U>| (core::cmp::Reverse(it.since), it.session);
        let place = member.sessions.partition_point(|it| age(it) < age(&presence));
        member.sessions.insert(place, presence);
        member.fold();
    }

    fn remove(&mut self, batch: &mut Batch<M, U>, session: SessionId, reason: LeaveReason) {
        let Some(place) = self.places.remove(&session) else { return };
        let id = place.member;
        self.remember(batch, &id);
        if let Some(known) = batch.get_mut(&id) {
            known.1 = reason;
        }
        let Some(member) = self.changing(batch, &id) else { return };
        let is_older = member.sessions.iter().any(|it| it.session == session && it.since < 0);
        member.sessions.retain(|it| it.session != session);
        member.fold();
        let is_gone = member.sessions.is_empty();
        if is_older {
            self.gone.insert(session, ());
        }
        if is_gone {
            self.members.remove(&id);
        }
    }

    /// A member that is about to change, if it is here.
    fn changing(&mut self, batch: &mut Batch<M, U>, id: &MemberId) -> Option<&mut Member<M, U>> {
        self.remember(batch, id);
        self.members.get_mut(id).map(Arc::make_mut)
    }

    /// Keeps a member as it was before the batch.
    fn remember(&self, batch: &mut Batch<M, U>, id: &MemberId) {
        if !batch.contains_key(id) {
            batch.insert(id.clone(), (self.members.get(id).cloned(), LeaveReason::Left));
        }
    }

    /// The net differences of a batch.
    fn differences(&mut self, batch: Batch<M, U>) -> Vec<Difference<M, U>> {
        self.n_changes = self.n_changes.wrapping_add(1);
        let mut differences = Vec::new();
        for (id, (before, reason)) in batch.into_iter() {
            let mut looks_the_same = false;
            if let (Some(before), Some(after)) = (&before, self.members.get_mut(&id)) {
                looks_the_same = before.looks_like(after);
                if looks_the_same && before.is_as_old_as(after) {
                    *after = before.clone();
                    continue;
                }
            }
            let after = self.members.get(&id).cloned();
            self.arrange(before.as_deref(), after.as_ref());
            differences.push(match (before, after) {
                (None, None) => continue,
                (None, Some(member)) => {
                    let is_return = member
                        .sessions
                        .iter()
                        .any(|it| it.since < 0 && !self.gone.contains_key(&it.session));
                    Difference::Joined { member, is_return }
                }
                (Some(member), None) => Difference::Left { member, reason },
                (Some(_), Some(_)) if looks_the_same => continue,
                (Some(before), Some(member)) => Difference::Updated { before, member },
            });
        }
        differences
    }

    /// Puts a member in the place of what it was before, or where its age says.
    fn arrange(&mut self, before: Option<&Member<M, U>>, after: Option<&Arc<Member<M, U>>>) {
        let place = |list: &[Arc<Member<M, U>>], it: &Member<M, U>| {
            list.partition_point(|other| other.age() < it.age())
        };
        if let Some(before) = before {
            let place = place(&self.by_age, before);
            if place < self.by_age.len() {
                self.by_age.remove(place);
            }
        }
        if let Some(after) = after {
            self.by_age.insert(place(&self.by_age, after), after.clone());
        }
    }
}

impl<M, U> Member<M, U> {
    /// What members are in the order of: the oldest come first.
    #[must_use]
    pub const fn age(&self) -> (i64, &MemberId) {
        (self.since, &self.id)
    }
}

impl<M: PartialEq, U: Person> Member<M, U> {
    /// Takes over what follows from the sessions: it is called what the newest one is called, and
    /// is as well as the best of them is.
    fn fold(&mut self) {
        if let Some(newest) = self.sessions.first() {
            self.user = newest.user.clone();
        }
        self.state = self.sessions.iter().map(|it| it.state).min().unwrap_or(self.state);
    }

    /// True if people are shown the same; exact ages, which wobble with the network, aren't shown.
    fn looks_like(&self, other: &Self) -> bool {
        let same = |(a, b): (&Presence<M, U>, &Presence<M, U>)| {
            a.session == b.session && a.state == b.state && a.meta == b.meta
        };
        self.user == other.user
            && self.state == other.state
            && self.sessions.len() == other.sessions.len()
            && self.sessions.iter().zip(&other.sessions).all(same)
    }

    /// True if nothing else differs either of two that look alike.
    fn is_as_old_as(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&Presence<M, U>, &Presence<M, U>)| a.since == b.since && a.user == b.user;
        self.since == other.since
            && self.is_me == other.is_me
            && self.sessions.iter().zip(&other.sessions).all(same)
    }
}

#[cfg(test)]
mod tests;
