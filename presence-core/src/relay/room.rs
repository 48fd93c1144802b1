//! One key's roster at the relay: who is in it, who is lost, and what changed since the last flush.
//!
//! A room turns what connections do into [`Change`]s, and changes that come back in order from the
//! backplane into its roster. It knows no socket: who must be told is the outgoing seam's business.

use super::counts::{Counts, Moved};
use crate::Time;
use core::time::Duration;
use presence_protocol::{
    Delta, Dial, Key, LeaveReason, Left, Meta, Presence, PresenceState, Pulse, PulseName,
    PulseValue, Rev, SessionId, Snapshot, Updated, User, UserId, limits,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long to wait before publishing a deadline's change again, if the backplane lost it.
const REPUBLISH: Duration = Duration::from_secs(5);
/// Most pulses that are told in one delta. Those beyond are dropped: what still holds is sent again.
const MAX_PULSES_PER_DELTA: usize = 256;

/// Something that happens to a key's roster, the same at every relay.
///
/// Each names the dial it comes from: a change by an older dial than the presence's own means nothing,
/// because its page has moved on to another socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A session enters, or is taken over by a newer dial of its page.
    Join {
        /// What it enters with. An existing presence keeps its own `since`.
        presence: Presence<Meta>,
        /// The dial.
        dial: Dial,
    },
    /// Its page replaced its meta.
    Update {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
        /// The whole meta.
        meta: Meta,
    },
    /// Somebody looks at its page again, or nobody does any more.
    Attention {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
        /// True if nobody does.
        away: bool,
    },
    /// Its page has another token: it is somebody else, or the same person under another name.
    User {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
        /// Who it is now.
        user: Arc<User>,
        /// Since when, if it is somebody else.
        since: i64,
    },
    /// Its page says something that is true for a moment only, or no longer says it.
    Pulse {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
        /// What it is about.
        name: PulseName,
        /// What it says; `None` if it has ended.
        value: Option<PulseValue>,
    },
    /// Its socket is gone or silent, but nobody said goodbye.
    Lost {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
        /// For how long already; the grace counts from then. A duration, since each relay's clock is
        /// its own.
        lost_for: Duration,
    },
    /// A silent socket was heard again.
    Back {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
    },
    /// It has been lost for long enough to say so.
    Dim {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
    },
    /// It is gone.
    Leave {
        /// The session.
        session: SessionId,
        /// The dial.
        dial: Dial,
        /// Why.
        reason: LeaveReason,
    },
}

/// Why a join was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The key holds as many presences as it may, of everybody or of this user.
    Full,
    /// This user has as many presences in all keys as they may.
    FullOfUser,
    /// A newer dial of the same page is already here.
    Fenced,
}

/// The durations and bounds a room lives by.
#[derive(Clone, Copy, Debug)]
pub struct RoomRules {
    /// How long a lost presence stays.
    pub grace: Duration,
    /// How long after the loss it is shown as reconnecting.
    pub dim_after: Duration,
    /// How long a pulse lives unless it is sent again.
    pub pulse_ttl: Duration,
    /// Most presences.
    pub max_presences: usize,
    /// Most presences of one user.
    pub max_presences_per_user: usize,
}

/// One key's roster.
#[derive(Debug)]
pub struct Room {
    rules: RoomRules,
    entries: BTreeMap<SessionId, Entry>,
    /// How many of them each user has.
    users: Counts,
    /// The next deadline of each lost presence.
    deadlines: BTreeSet<(Time, SessionId)>,
    /// When each pulse may have run out. One that was sent again meanwhile gets another turn.
    expiries: BTreeSet<(Time, SessionId, PulseName)>,
    /// The rev of the last change that was applied.
    rev: Rev,
    /// The rev at the last flush point; 0 if nobody was there.
    flushed: Rev,
    /// Those touched since the last flush point, as they were at it.
    window: BTreeMap<SessionId, Pending>,
    /// The pulses to be told at the next one.
    told: BTreeSet<(SessionId, PulseName)>,
    /// How many pulses there was no room for since they were last counted.
    dropped_pulses: u64,
}

/// A presence and what the room alone knows of it.
#[derive(Debug)]
struct Entry {
    presence: Presence<Meta>,
    dial: Dial,
    /// True if nobody looks at its page.
    is_away: bool,
    lost: Option<Lost>,
    pulses: Vec<Living>,
}

/// A pulse that has not ended.
#[derive(Debug)]
struct Living {
    name: PulseName,
    value: PulseValue,
    ends: Time,
    /// Its place among the expiries.
    armed: Time,
}

impl Entry {
    /// How it is while it isn't lost.
    const fn attention(&self) -> PresenceState {
        if self.is_away { PresenceState::Away } else { PresenceState::Active }
    }

    /// True if it may have this pulse besides those that it has.
    fn takes_pulse(&self, name: &PulseName) -> bool {
        self.pulses.len() < limits::MAX_PULSES_PER_PRESENCE
            || self.pulses.iter().any(|it| it.name == *name)
    }
}

/// A loss and the next thing to do about it.
#[derive(Clone, Copy, Debug)]
struct Lost {
    at: Time,
    deadline: Time,
}

/// What is told of a user in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Who.
    pub user: Arc<User>,
    /// False if they have just come.
    pub was_here: bool,
    /// All of their sessions; none if they have gone.
    pub sessions: Vec<Presence<Meta>>,
    /// Why they have gone, if they have.
    pub left: Option<LeaveReason>,
}

/// A user before a flush.
struct Former<'a> {
    user: &'a Arc<User>,
    was_here: bool,
    reason: LeaveReason,
}

impl<'a> Former<'a> {
    const fn new(user: &'a Arc<User>) -> Self {
        Self { user, was_here: false, reason: LeaveReason::Left }
    }
}

/// A presence as the viewers last saw it, and why it went if it went.
#[derive(Debug)]
struct Pending {
    before: Option<Presence<Meta>>,
    reason: LeaveReason,
}

impl Room {
    /// An empty room.
    #[must_use]
    pub const fn new(rules: RoomRules) -> Self {
        Self {
            rules,
            entries: BTreeMap::new(),
            users: Counts::new(),
            deadlines: BTreeSet::new(),
            expiries: BTreeSet::new(),
            rev: Rev(0),
            flushed: Rev(0),
            window: BTreeMap::new(),
            told: BTreeSet::new(),
            dropped_pulses: 0,
        }
    }

    /// A session wants to enter, or to go on after a loss.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the room is full or a newer dial of the same page is here.
    pub fn join(&self, presence: Presence<Meta>, dial: Dial) -> Result<Change, JoinError> {
        match self.entries.get(&presence.session) {
            Some(entry) if entry.dial > dial => Err(JoinError::Fenced),
            None if self.entries.len() >= self.rules.max_presences => Err(JoinError::Full),
            None if self.is_full_for(presence.user.id()) => Err(JoinError::Full),
            _ => Ok(Change::Join { presence, dial }),
        }
    }

    /// How many presences there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many users there are.
    #[must_use]
    pub fn members(&self) -> usize {
        self.users.users()
    }

    /// How many pulses there was no room for since the last call.
    pub const fn take_dropped_pulses(&mut self) -> u64 {
        core::mem::replace(&mut self.dropped_pulses, 0)
    }

    /// True if the session is in the room.
    #[must_use]
    pub fn holds(&self, session: SessionId) -> bool {
        self.entries.contains_key(&session)
    }

    /// True if one of its presences is of this session and this user.
    #[must_use]
    pub fn holds_as(&self, session: SessionId, user: &UserId) -> bool {
        self.entries.get(&session).is_some_and(|it| it.presence.user.id() == user)
    }

    /// The newest dial of a session that is in the room.
    #[must_use]
    pub fn dial_of(&self, session: SessionId) -> Option<Dial> {
        self.entries.get(&session).map(|it| it.dial)
    }

    /// True if there are as many presences of a user as there may be.
    #[must_use]
    pub fn is_full_for(&self, user: &UserId) -> bool {
        self.sessions_of(user) >= self.rules.max_presences_per_user
    }

    /// True unless the session has as many other pulses as it may.
    #[must_use]
    pub fn takes_pulse(&self, session: SessionId, name: &PulseName) -> bool {
        self.entries.get(&session).is_none_or(|it| it.takes_pulse(name))
    }

    /// Applies a change that came back in order. Returns whose presence has come or gone by it.
    pub fn apply(&mut self, now: Time, rev: Rev, change: Change) -> Moved {
        self.rev = self.rev.max(rev);
        match change {
            Change::Join { presence, dial } => return self.enter(presence, dial),
            Change::Update { session, dial, meta } => {
                self.with(session, dial, |entry| entry.presence.meta = meta);
            }
            Change::Attention { session, dial, away } => {
                self.with(session, dial, |entry| {
                    entry.is_away = away;
                    if entry.presence.state != PresenceState::Reconnecting {
                        entry.presence.state = entry.attention();
                    }
                });
            }
            Change::User { session, dial, user, since } => {
                return self.identify(session, dial, user, since);
            }
            Change::Pulse { session, dial, name, value } => {
                self.pulse(now, session, dial, name, value);
            }
            Change::Lost { session, dial, lost_for } => {
                let at = now - lost_for;
                let deadline = at + self.rules.dim_after.min(self.rules.grace);
                if self.with(session, dial, |entry| entry.lost = Some(Lost { at, deadline })) {
                    self.deadlines.insert((deadline, session));
                }
            }
            Change::Back { session, dial } => {
                self.with(session, dial, |entry| {
                    entry.lost = None;
                    entry.presence.state = entry.attention();
                });
            }
            Change::Dim { session, dial } => {
                let grace = self.rules.grace;
                let mut next = None;
                self.with(session, dial, |entry| {
                    if let Some(lost) = &mut entry.lost {
                        lost.deadline = lost.at + grace;
                        next = Some((lost.deadline, session));
                        entry.presence.state = PresenceState::Reconnecting;
                    }
                });
                self.deadlines.extend(next);
            }
            Change::Leave { session, dial, reason } => return self.exit(session, dial, reason),
        }
        Moved::default()
    }

    /// What has become due. Call until `None`.
    pub fn poll_deadline(&mut self, now: Time) -> Option<Change> {
        self.poll_expiry(now).or_else(|| self.poll_loss(now))
    }

    /// A pulse that has run out.
    fn poll_expiry(&mut self, now: Time) -> Option<Change> {
        while self.expiries.first().is_some_and(|(due, ..)| *due <= now) {
            let (_, session, name) = self.expiries.pop_first()?;
            let Some(entry) = self.entries.get_mut(&session) else { continue };
            let dial = entry.dial;
            let Some(pulse) = entry.pulses.iter_mut().find(|it| it.name == name) else { continue };
            let is_over = pulse.ends <= now;
            // Should the change be lost on its way, its deadline comes again.
            pulse.armed = if is_over { now + REPUBLISH } else { pulse.ends };
            self.expiries.insert((pulse.armed, session, name.clone()));
            if is_over {
                return Some(Change::Pulse { session, dial, name, value: None });
            }
        }
        None
    }

    /// A loss that has become older.
    fn poll_loss(&mut self, now: Time) -> Option<Change> {
        let (due, session) = self.deadlines.first().copied()?;
        if due > now {
            return None;
        }
        self.deadlines.pop_first();
        let entry = self.entries.get_mut(&session)?;
        let lost = entry.lost.as_mut()?;
        // Should the change be lost on its way, its deadline comes again.
        lost.deadline = now + REPUBLISH;
        self.deadlines.insert((lost.deadline, session));
        let dial = entry.dial;
        Some(if now >= lost.at + self.rules.grace {
            Change::Leave { session, dial, reason: LeaveReason::Timeout }
        } else {
            Change::Dim { session, dial }
        })
    }

    /// When [`poll_deadline`](Self::poll_deadline) has something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let loss = self.deadlines.first().map(|(due, _)| *due);
        let expiry = self.expiries.first().map(|(due, ..)| *due);
        loss.into_iter().chain(expiry).min()
    }

    /// True if nobody is in the room and nobody is to be told of anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.is_flushed()
    }

    /// True if nothing happened since the last flush point, so that a snapshot may be taken.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.window.is_empty() && self.told.is_empty()
    }

    /// The rev of the last flush point; 0 if nobody was there.
    #[must_use]
    pub const fn flushed_rev(&self) -> Rev {
        self.flushed
    }

    /// What flushing will tell of users, whatever number of sessions they have.
    #[must_use]
    pub fn news(&self) -> Vec<News> {
        let mut before: BTreeMap<&UserId, Former<'_>> = BTreeMap::new();
        for (session, pending) in &self.window {
            let after = self.entries.get(session).map(|it| &it.presence);
            if pending.before.as_ref() == after {
                continue;
            }
            for it in pending.before.iter().chain(after) {
                let former = before.entry(it.user.id()).or_insert_with(|| Former::new(&it.user));
                former.reason = pending.reason;
            }
            if let Some(it) = &pending.before {
                before.entry(it.user.id()).and_modify(|it| it.was_here = true);
            }
        }
        if before.is_empty() {
            return Vec::new();
        }
        let mut sessions: BTreeMap<&UserId, Vec<Presence<Meta>>> = BTreeMap::new();
        for (session, Entry { presence, .. }) in &self.entries {
            let id = presence.user.id();
            if let Some(former) = before.get_mut(id) {
                let is_old = |it: &Pending| it.before.as_ref().is_some_and(|it| it.user.id() == id);
                former.was_here |= self.window.get(session).is_none_or(is_old);
                former.user = &presence.user;
                sessions.entry(id).or_default().push(presence.clone());
            }
        }
        let news = before.into_iter().map(|(id, Former { user, was_here, reason })| {
            let sessions = sessions.remove(id).unwrap_or_default();
            let left = sessions.is_empty().then_some(reason);
            News { user: user.clone(), was_here, sessions, left }
        });
        // Who came and went inside the window hasn't been here.
        news.filter(|it| it.was_here || it.left.is_none()).collect()
    }

    /// The roster as it was last told, one after the other, also inside a window.
    pub(super) fn each_told(&self) -> impl Iterator<Item = &Presence<Meta>> {
        let untouched = self.entries.iter().filter(|(it, _)| !self.window.contains_key(it));
        let before = self.window.values().filter_map(|it| it.before.as_ref());
        untouched.map(|(_, it)| &it.presence).chain(before)
    }

    /// Ends the window: the net change since the last flush point, or `None` if there is none.
    pub fn flush(&mut self, key: &Key) -> Option<Delta<Meta>> {
        let (mut joined, mut left, mut updated) = (Vec::new(), Vec::new(), Vec::new());
        for (session, pending) in core::mem::take(&mut self.window) {
            let after = self.entries.get(&session).map(|it| &it.presence);
            match (pending.before, after) {
                (None, None) => {}
                (Some(_), None) => left.push(Left { session, reason: pending.reason }),
                (Some(before), Some(after))
                    if before.since == after.since && before.user == after.user =>
                {
                    let state = (before.state != after.state).then_some(after.state);
                    let meta = (before.meta != after.meta).then(|| after.meta.clone());
                    if state.is_some() || meta.is_some() {
                        updated.push(Updated { session, state, meta });
                    }
                }
                (_, Some(after)) => joined.push(after.clone()),
            }
        }
        let pulses = self.flush_pulses();
        if joined.is_empty() && left.is_empty() && updated.is_empty() && pulses.is_empty() {
            return None;
        }
        // A room that is empty is as one that is new, or else its rev told that observers have kept it.
        let to = if self.entries.is_empty() { Rev(0) } else { self.rev };
        let from = core::mem::replace(&mut self.flushed, to);
        Some(Delta { key: key.clone(), from, to, joined, left, updated, pulses })
    }

    /// The roster at the last flush point. Only meaningful while [`is_flushed`](Self::is_flushed).
    #[must_use]
    pub fn snapshot(&self, key: &Key) -> Snapshot<Meta> {
        debug_assert!(self.is_flushed(), "snapshots are taken at flush points only");
        let presences = self.entries.values().map(|it| it.presence.clone()).collect();
        Snapshot { key: key.clone(), rev: self.flushed, presences }
    }

    /// The roster as it is, also inside a window.
    pub(super) fn presences(&self) -> Vec<Presence<Meta>> {
        self.entries.values().map(|it| it.presence.clone()).collect()
    }

    /// A user's sessions, and the newest dial of each.
    pub(super) fn held_by(&self, user: &UserId) -> Vec<(SessionId, Dial)> {
        if self.sessions_of(user) == 0 {
            return Vec::new();
        }
        let theirs = self.entries.iter().filter(|(_, it)| it.presence.user.id() == user);
        theirs.map(|(session, it)| (*session, it.dial)).collect()
    }

    fn sessions_of(&self, user: &UserId) -> usize {
        self.users.of(user)
    }

    /// What is told of pulses. Whose session is gone, its pulses went with it.
    fn flush_pulses(&mut self) -> Vec<Pulse> {
        let told = core::mem::take(&mut self.told).into_iter();
        told.filter_map(|(session, name)| {
            let entry = self.entries.get(&session)?;
            let living = entry.pulses.iter().find(|it| it.name == name);
            Some(Pulse { session, name, value: living.map(|it| it.value.clone()) })
        })
        .collect()
    }

    fn pulse(
        &mut self,
        now: Time,
        session: SessionId,
        dial: Dial,
        name: PulseName,
        value: Option<PulseValue>,
    ) {
        let Some(entry) = self.entries.get_mut(&session).filter(|it| it.dial <= dial) else {
            return;
        };
        let place = entry.pulses.iter().position(|it| it.name == name);
        let Some(value) = value else {
            if let Some(place) = place {
                let ended = entry.pulses.swap_remove(place);
                self.expiries.remove(&(ended.armed, session, name.clone()));
                self.told.insert((session, name));
            }
            return;
        };
        let ends = now + self.rules.pulse_ttl;
        if let Some(pulse) = place.and_then(|it| entry.pulses.get_mut(it)) {
            (pulse.value, pulse.ends) = (value, ends);
        } else if entry.takes_pulse(&name) {
            entry.pulses.push(Living { name: name.clone(), value, ends, armed: ends });
            self.expiries.insert((ends, session, name.clone()));
        } else {
            return;
        }
        if self.told.len() < MAX_PULSES_PER_DELTA {
            self.told.insert((session, name));
        } else {
            self.dropped_pulses += 1;
        }
    }

    /// Somebody else comes in the place of who was here, and takes over nothing but the meta.
    fn identify(&mut self, session: SessionId, dial: Dial, user: Arc<User>, since: i64) -> Moved {
        let (mut former, mut pulses) = (None, Vec::new());
        let own = Arc::clone(&user);
        self.with(session, dial, |entry| {
            if entry.presence.user.id() != user.id() {
                former = Some(entry.presence.user.id().clone());
                entry.presence.since = since;
                pulses = core::mem::take(&mut entry.pulses);
            }
            entry.presence.user = user;
        });
        if former.is_none() {
            return Moved::default();
        }
        self.end_pulses(session, pulses);
        self.follow(Moved { came: Some(own.id().clone()), gone: former })
    }

    fn enter(&mut self, mut presence: Presence<Meta>, dial: Dial) -> Moved {
        let session = presence.session;
        if let Some(entry) = self.entries.get(&session) {
            if entry.dial > dial {
                return Moved::default();
            }
            presence.since = entry.presence.since;
        }
        self.touch(session);
        let is_away = presence.state == PresenceState::Away;
        // A page that is back on another socket goes on with its pulses, or lets them run out.
        let pulses = self.entries.get_mut(&session).map(|it| core::mem::take(&mut it.pulses));
        let pulses = pulses.unwrap_or_default();
        let entry = Entry { presence, dial, is_away, lost: None, pulses };
        let came = Some(entry.presence.user.id().clone());
        let former = self.entries.insert(session, entry);
        let gone = former.as_ref().map(|it| it.presence.user.id().clone());
        self.disarm(session, former.and_then(|it| it.lost));
        self.follow(Moved { came, gone })
    }

    fn follow(&mut self, moved: Moved) -> Moved {
        self.users.follow(&moved);
        moved
    }

    fn exit(&mut self, session: SessionId, dial: Dial, reason: LeaveReason) -> Moved {
        // Who was heard again before its timeout came back in order hasn't timed out.
        let is_over = |it: &Entry| reason != LeaveReason::Timeout || it.lost.is_some();
        if !self.entries.get(&session).is_some_and(|it| it.dial <= dial && is_over(it)) {
            return Moved::default();
        }
        self.touch(session);
        if let Some(pending) = self.window.get_mut(&session) {
            pending.reason = reason;
        }
        let former = self.entries.remove(&session);
        let Some(former) = former else { return Moved::default() };
        let gone = Some(former.presence.user.id().clone());
        // Should it be back before this is told, its pulses are not.
        self.end_pulses(session, former.pulses);
        self.disarm(session, former.lost);
        self.follow(Moved { came: None, gone })
    }

    fn end_pulses(&mut self, session: SessionId, pulses: Vec<Living>) {
        for pulse in pulses {
            self.expiries.remove(&(pulse.armed, session, pulse.name.clone()));
            self.told.insert((session, pulse.name));
        }
    }

    /// Changes an entry, unless a newer dial owns it. Its former deadline is forgotten.
    fn with(&mut self, session: SessionId, dial: Dial, change: impl FnOnce(&mut Entry)) -> bool {
        if self.entries.get(&session).is_none_or(|it| it.dial > dial) {
            return false;
        }
        self.touch(session);
        let Some(entry) = self.entries.get_mut(&session) else { return false };
        let former = entry.lost;
        change(entry);
        let deadline = entry.lost.map(|it| it.deadline);
        if former.map(|it| it.deadline) != deadline {
            self.disarm(session, former);
        }
        true
    }

    fn disarm(&mut self, session: SessionId, lost: Option<Lost>) {
        if let Some(lost) = lost {
            self.deadlines.remove(&(lost.deadline, session));
        }
    }

    /// Remembers how the viewers last saw a session, before it changes.
    fn touch(&mut self, session: SessionId) {
        let entries = &self.entries;
        self.window.entry(session).or_insert_with(|| Pending {
            before: entries.get(&session).map(|it| it.presence.clone()),
            reason: LeaveReason::Left,
        });
    }
}
