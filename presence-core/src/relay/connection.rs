//! What the relay knows of one socket.

use super::last_seen::LastSeen;
use super::{Capabilities, Grant};
use crate::Time;
use core::time::Duration;
use presence_protocol::{Close, Dial, Key, Meta, ServerFrame, SessionId, limits};
use std::collections::VecDeque;

/// Most frames that wait for one connection besides its keys' deltas. A peer that has more errors
/// waiting than this sends garbage without reading the answers.
const MAX_ANSWERS: usize = 32;
/// Most keys for which a connection waits to be told who viewed them. Further questions get no answer.
const MAX_ASKED: usize = 4;
/// Most such questions in a second.
const MAX_LOOKUPS: usize = 10;

/// A connection, by a small number that is used again after it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// One socket.
#[derive(Debug)]
pub(super) struct Connection<F> {
    pub(super) phase: Phase,
    pub(super) last_heard: Time,
    /// When its timer is set to.
    pub(super) armed: Option<Time>,
    /// True while it stands in the queue of those that have something to write.
    pub(super) woken: bool,
    /// Frames for this connection alone.
    pub(super) answers: VecDeque<Answer<F>>,
    pub(super) heartbeat_due: bool,
    /// The keys for which it waits to be told who viewed them.
    pub(super) asked_last_seen: Vec<Key>,
    /// At which of its keys the last collection stopped, so that a busy key can't starve the others.
    pub(super) next_key: usize,
    /// The snapshots that it asked for.
    pub(super) snapshots: Count,
    /// The keys that it entered, each of which begins with a snapshot.
    pub(super) entries: Allowance,
    /// What it asked about who viewed a key.
    pub(super) lookups: Count,
    pub(super) ping_due: bool,
}

/// A frame for one connection alone.
#[derive(Debug)]
pub(super) enum Answer<F> {
    /// One that is written down when it is collected.
    Frame(ServerFrame<Meta>),
    /// Who viewed a key, which the shell has written down already: it may be long.
    LastSeen { key: Key, frame: F },
}

/// How many there were in a second that began at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(u32, Time);

impl Count {
    /// Counts one more; false if there are more than so many now.
    fn spend(&mut self, now: Time, most: usize) -> bool {
        let Self(count, since) = *self;
        let is_over = now.since(since) >= Duration::from_secs(1);
        *self = if is_over { Self(1, now) } else { Self(count.saturating_add(1), since) };
        self.0 as usize <= most
    }
}

/// So many at once, and then so many with each second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    left: usize,
    since: Time,
}

impl Allowance {
    fn gain(&mut self, now: Time, most: usize, each_second: usize) {
        let seconds = now.since(self.since).as_secs();
        self.since += Duration::from_secs(seconds);
        let gained = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(each_second);
        self.left = self.left.saturating_add(gained).min(most);
    }

    /// Takes one; otherwise when to ask again.
    fn spend(&mut self) -> Result<(), Time> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.since + Duration::from_secs(1)),
        }
    }
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its `hello` is awaited.
    Greeting {
        /// Until when.
        deadline: Time,
    },
    /// It speaks for a session.
    Open(Box<Open>),
    /// It is being closed; what it says means nothing any more.
    Closing(Close),
}

/// A connection that speaks for a session.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) session: SessionId,
    pub(super) dial: Dial,
    /// When the session began.
    pub(super) since: Time,
    /// Who it is and what it may do, as its first token says.
    pub(super) grant: Grant,
    /// When that token expires.
    pub(super) expires_at: Time,
    /// The keys it has entered.
    pub(super) keys: Vec<Entered>,
    pub(super) silence: Silence,
    /// True if nobody looks at its page.
    pub(super) is_away: bool,
    /// True if it may be kept when this person viewed something.
    pub(super) is_remembered: bool,
    /// When what waits because it says too much is told.
    pub(super) held_until: Option<Time>,
    /// Whether nobody looks at its page, if that waits.
    pub(super) held_away: Option<bool>,
    /// When the snapshots are told that wait because it enters too many keys.
    pub(super) snapshots_at: Option<Time>,
}

/// A key that a connection has entered.
#[derive(Clone, Debug)]
pub(super) struct Entered {
    pub(super) key: Key,
    pub(super) role: Role,
    /// What its tokens allow there.
    pub(super) can: Capabilities,
    /// What the token of its join allows there.
    pub(super) own_can: Capabilities,
    /// When that token expires.
    pub(super) expires_at: Option<Time>,
    /// A meta that waits because the connection says too much.
    pub(super) held: Option<Meta>,
    /// True while its snapshot waits because the connection enters too many keys.
    pub(super) is_deferred: bool,
    /// When it was last kept that it is viewed here.
    pub(super) kept_at: Option<Time>,
    /// When its page was last looked at, if that isn't kept yet and nobody does any more.
    pub(super) viewed_until: Option<Time>,
}

/// As what a connection is in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It has a presence.
    Member,
    /// It looks on, and the room knows nothing of it.
    Observer,
}

impl Open {
    /// What it has entered a key as.
    pub(super) fn entered(&mut self, key: &Key) -> Option<&mut Entered> {
        self.keys.iter_mut().find(|it| it.key == *key)
    }

    /// True if it has joined a key.
    pub(super) fn is_member(&self, key: &Key) -> bool {
        self.keys.iter().any(|it| it.key == *key && it.role == Role::Member)
    }

    /// The keys in which it has a presence.
    pub(super) fn joined_keys(&self) -> Vec<Key> {
        let joined = self.keys.iter().filter(|it| it.role == Role::Member);
        joined.map(|it| it.key.clone()).collect()
    }

    /// When the first of the tokens expires that it lives by: its own, and those of the keys that it is in.
    pub(super) fn first_expiry(&self) -> Time {
        let of_keys = self.keys.iter().filter_map(|it| it.expires_at);
        of_keys.fold(self.expires_at, Time::min)
    }
}

/// What has been done about a socket that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It spoke in time.
    None,
    /// It was pinged, which a browser answers without any script.
    Pinged,
    /// It did not answer; its keys count it as lost.
    Lost,
}

impl Open {
    /// Whether somebody looks at its page from this moment on.
    pub(super) fn look(&mut self, now: Time, away: bool) {
        self.is_away = away;
        for it in self.keys.iter_mut().filter(|it| it.role == Role::Member) {
            let is_news = away && it.kept_at.is_none_or(|kept_at| kept_at < now);
            it.viewed_until = is_news.then_some(now);
        }
    }

    /// It is in one of its keys no longer, or in none, or as somebody else: what its views come to is kept
    /// whenever they were kept before.
    pub(super) fn remember(&mut self, last_seen: &mut LastSeen, at: Time, key: Option<&Key>) {
        self.keep(last_seen, at, at, |it| key.is_none_or(|key| *key == it.key));
    }

    /// Its page is looked at in the keys that it has joined, or was until this moment: kept of those of which
    /// that is due. What isn't due waits for the next time, or for the end.
    pub(super) fn remember_due(&mut self, last_seen: &mut LastSeen, now: Time, at: Time) {
        if let Some(interval) = last_seen.interval() {
            let is_due = |it: &Entered| it.kept_at.is_none_or(|it| now.since(it) >= interval);
            self.keep(last_seen, now, at, is_due);
        }
    }

    fn keep(
        &mut self,
        last_seen: &mut LastSeen,
        now: Time,
        at: Time,
        is_meant: impl Fn(&Entered) -> bool,
    ) {
        if !self.is_remembered {
            return;
        }
        for it in self.keys.iter_mut().filter(|it| it.role == Role::Member && is_meant(it)) {
            let at = if self.is_away { it.viewed_until.take() } else { Some(at) };
            if let Some(at) = at {
                last_seen.view(&it.key, &self.grant.user, at);
                it.kept_at = Some(now);
            }
        }
    }
}

impl<F> Connection<F> {
    pub(super) const fn new(now: Time, deadline: Time) -> Self {
        Self {
            phase: Phase::Greeting { deadline },
            last_heard: now,
            armed: None,
            woken: false,
            answers: VecDeque::new(),
            heartbeat_due: false,
            asked_last_seen: Vec::new(),
            next_key: 0,
            snapshots: Count(0, now),
            entries: Allowance { left: usize::MAX, since: now },
            lookups: Count(0, now),
            ping_due: false,
        }
    }

    /// When it counts as lost if it ends now.
    ///
    /// That is now, unless it had been silent: a hidden tab beats rarely and is well until it leaves a
    /// ping unanswered, and who was given up before stays lost since its first missed beat.
    pub(super) fn lost_at(&self, now: Time, heartbeat: Duration, quiet: Duration) -> Time {
        let is_given_up = matches!(&self.phase, Phase::Open(open) if open.silence == Silence::Lost);
        now.min(self.last_heard + if is_given_up { heartbeat } else { quiet })
    }

    /// True if it may have a snapshot that it asks for: in a second, one for each of its keys.
    pub(super) fn may_ask(&mut self, now: Time) -> bool {
        let Phase::Open(open) = &self.phase else { return false };
        self.snapshots.spend(now, open.keys.len().max(1))
    }

    /// Whether it may have the snapshot of a key that it enters: those of a page's start at once, and then in a
    /// second one for each of its keys. Otherwise when to ask again.
    pub(super) fn may_enter(&mut self, now: Time) -> Result<(), Time> {
        self.gain_entries(now);
        self.entries.spend()
    }

    /// Counts what it may enter as it is now, before it is in more or fewer keys.
    pub(super) fn gain_entries(&mut self, now: Time) {
        if let Phase::Open(open) = &self.phase {
            self.entries.gain(now, limits::MAX_KEYS_PER_CONNECTION, open.keys.len().max(1));
        }
    }

    /// True if it may ask who viewed a key, and isn't waiting for that already.
    pub(super) fn asks_last_seen(&mut self, now: Time, key: &Key) -> bool {
        let asks = self.asked_last_seen.len() < MAX_ASKED
            && !self.asked_last_seen.contains(key)
            && self.lookups.spend(now, MAX_LOOKUPS);
        if asks {
            self.asked_last_seen.push(key.clone());
        }
        asks
    }

    /// Queues a frame for this connection alone; false if too many are waiting.
    pub(super) fn answer(&mut self, answer: Answer<F>) -> bool {
        let fits = self.answers.len() < MAX_ANSWERS;
        if fits {
            self.answers.push_back(answer);
        }
        fits
    }
}
