//! The relay's half: who is in which key, who is lost, and who is told what.
//!
//! [`Relay`] takes what sockets and timers do and says which connections have something to be written
//! ([`Relay::poll_wake`]); the shell then takes it with [`Relay::collect`] when the socket can be
//! written to. Frames are encoded by the shell's [`Host`] once and shared by all who get them.

mod backplane;
mod census;
mod connection;
mod counts;
mod entering;
mod excess;
mod grant;
mod last_seen;
mod notices;
mod observers;
mod outgoing;
mod renewal;
mod room;
mod server;
mod sessions;
pub mod stats;
mod watched;

#[cfg(test)]
mod tests;

pub use backplane::{Backplane, MemoryBackplane};
pub use census::Moment;
pub use connection::ConnId;
pub use counts::Moved;
pub use grant::{Capabilities, Capability, Grant, KeyPattern, Refusal, ResumeClaims};
pub use last_seen::{Asked, LastSeenRules, Request, View};
pub use notices::{Notice, NoticeEvent, NoticeRules};
pub use room::{Change, JoinError, News, Room, RoomRules};
pub use server::{PlaceError, TooMany};
pub use watched::{Tidings, Told, WatchError, WatcherId};

use crate::Time;
use crate::random::Random;
use connection::{Answer, Connection, Entered, Open, Phase, Role, Silence};
use core::time::Duration;
use counts::Counts;
use last_seen::LastSeen;
use notices::Notices;
use observers::Observers;
use outgoing::{Log, Next, Viewer, Viewers};
use presence_protocol::{
    Close, CloseCode, Delta, Dial, EpochInfo, ErrorCode, Key, LeaveReason, Meta, PulseName,
    PulseValue, Rev, ServerFrame, SessionId, UserId, Wait, Welcome, limits,
};
use server::{Agents, Bans};
use sessions::{Fenced, Sessions};
use stats::{Dropped, Ended, Received, Sent, Stats};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use watched::Watched;

/// How far two sessions that are sent away are to come back apart, unless there are too many.
const DRAIN_STEP: Duration = Duration::from_millis(2);

/// What the shell does for the relay: writing frames down and signing.
pub trait Host {
    /// An encoded frame, cheap to clone because its bytes are shared.
    type Frame: Clone;

    /// Encodes a frame, WebSocket header included.
    fn encode(&mut self, frame: &ServerFrame<Meta>) -> Self::Frame;

    /// The bytes that an encoded frame occupies.
    fn size(frame: &Self::Frame) -> usize;

    /// Signs a resume token.
    fn seal(&mut self, claims: &ResumeClaims) -> String;
}

/// The durations and bounds a relay lives by.
#[derive(Clone, Copy, Debug)]
pub struct RelayConfig {
    /// How often an SDK must beat.
    pub heartbeat: Duration,
    /// How long a pong may take.
    pub answer_timeout: Duration,
    /// How long a lost presence stays.
    pub grace: Duration,
    /// How long after the loss it is shown as reconnecting.
    pub dim_after: Duration,
    /// How long a pulse lives unless it is sent again.
    pub pulse_ttl: Duration,
    /// Time from the upgrade to the `hello` frame.
    pub hello_timeout: Duration,
    /// The shortest window in which a busy key's changes are gathered into one frame.
    pub window_min: Duration,
    /// The longest, which a key of a thousand viewers has. In between a window grows by a
    /// millisecond for every five viewers, so that a large key costs no more writes than a small one.
    pub window_max: Duration,
    /// Most connections at a time that speak for a session.
    pub max_connections: usize,
    /// Most sockets besides: those that haven't said hello, and those that are being closed. They take
    /// nothing from those that have a token.
    pub max_greeting: usize,
    /// Most connections of one user at a time, so that nobody can take them all.
    pub max_connections_per_user: usize,
    /// Most presences in all keys, those of lost sessions and observers included.
    pub max_presences: usize,
    /// Most presences in one key.
    pub max_presences_per_key: usize,
    /// Most presences of one user in one key, so that nobody can fill it alone.
    pub max_presences_per_user: usize,
    /// Most presences of one user in all keys, those of lost sessions and observers included, so that a
    /// few can't fill the relay.
    pub max_presences_per_user_in_all: usize,
    /// Most keys one connection may be joined to.
    pub max_keys_per_connection: usize,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            heartbeat: limits::HEARTBEAT,
            answer_timeout: limits::ANSWER_TIMEOUT,
            grace: limits::GRACE,
            dim_after: limits::DIM_AFTER,
            pulse_ttl: limits::PULSE_TTL,
            hello_timeout: limits::HELLO_TIMEOUT,
            window_min: Duration::from_millis(20),
            window_max: Duration::from_millis(200),
            max_connections: 100_000,
            max_greeting: 100_000,
            max_connections_per_user: 200,
            max_presences: 200_000,
            max_presences_per_key: limits::MAX_PRESENCES_PER_KEY,
            max_presences_per_user: limits::MAX_PRESENCES_PER_USER,
            max_presences_per_user_in_all: 1_000,
            max_keys_per_connection: limits::MAX_KEYS_PER_CONNECTION,
        }
    }
}

impl RelayConfig {
    /// How long a grace must be, lest who is late is closed before they were pinged and could answer.
    #[must_use]
    pub fn least_grace(&self) -> Duration {
        self.quiet() - self.heartbeat + self.answer_timeout
    }

    /// How long a socket may be quiet before it is pinged: a beat that is only a little late, for it
    /// sets out when it is due, makes a ping needless.
    fn quiet(&self) -> Duration {
        self.heartbeat + (self.heartbeat / 10).min(self.answer_timeout / 5)
    }
}

/// A relay, without its sockets.
#[derive(Debug)]
pub struct Relay<H: Host, B> {
    config: RelayConfig,
    host: H,
    backplane: B,
    random: Random,
    connections: Vec<Option<Connection<H::Frame>>>,
    free: Vec<ConnId>,
    sessions: Sessions,
    /// The connections that each user has.
    users: BTreeMap<UserId, BTreeSet<ConnId>>,
    slots: BTreeMap<Key, Slot<H::Frame>>,
    /// How many presences each user has in all keys, and as how many observers.
    presences: Counts,
    last_seen: LastSeen,
    bans: Bans,
    agents: Agents,
    notices: Notices,
    watched: Watched,
    /// What there is in all keys, and what happened.
    stats: Stats,
    timers: BTreeSet<(Time, Timer)>,
    wakes: VecDeque<ConnId>,
}

/// Whose deadline a timer is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Key(Key),
    Connection(ConnId),
    /// What was kept for too long.
    Retention,
    /// A member whom a server keeps.
    Agent(Key, UserId),
    /// Somebody who is gone and may come back before servers are told.
    Gone(Key, UserId),
    /// What those who watch a key may be told only then.
    Watched(Key),
}

/// A key: its rules, its viewers, and what they are told.
#[derive(Debug)]
struct Slot<F> {
    room: Room,
    log: Log<F>,
    viewers: Viewers,
    /// Those of the viewers who only look on.
    observers: Observers,
    /// The snapshot of the last flush point, encoded when the first viewer needed it.
    snapshot: Option<F>,
    /// How many presences, members and observers of it are counted in the relay's sums.
    counted: (usize, usize, usize),
    /// True if somebody may be waiting for a snapshot.
    is_awaited: bool,
    /// Until when changes are gathered.
    window_ends: Time,
    /// When the first of them happened.
    changed_at: Option<Time>,
    /// How many changes happened since they were last counted.
    changes: u64,
    armed: Option<Time>,
}

/// What a connection asks for after its `hello`.
#[derive(Clone, Debug)]
pub enum Command {
    /// Enter a key.
    Join {
        /// The key.
        key: Key,
        /// What the frame's own token says, if it has one.
        grant: Option<Result<Grant, Refusal>>,
        /// The whole meta.
        meta: Meta,
        /// For how many milliseconds the presence has existed.
        age: Option<u64>,
        /// Whether nobody looks at the page; `None` if that is as it was.
        away: Option<bool>,
    },
    /// Look at a key without being in it.
    Observe {
        /// The key.
        key: Key,
        /// What the frame's own token says, if it has one.
        grant: Option<Result<Grant, Refusal>>,
        /// True for somebody who could be in it and doesn't want to be seen.
        invisible: bool,
    },
    /// Say in all keys whether somebody looks at the page.
    Attention {
        /// True if nobody does.
        away: bool,
    },
    /// Replace the meta.
    Update {
        /// The key.
        key: Key,
        /// The whole meta.
        meta: Meta,
    },
    /// Say something that is true for a moment only.
    Pulse {
        /// The key.
        key: Key,
        /// What it is about.
        name: PulseName,
        /// What is said; `None` ends it.
        value: Option<PulseValue>,
    },
    /// Leave a key.
    Leave {
        /// The key.
        key: Key,
    },
    /// Send a snapshot.
    Resync {
        /// The key.
        key: Key,
    },
    /// Tell who has viewed a key.
    LastSeen {
        /// The key.
        key: Key,
    },
    /// Take a new token in the place of the hello's.
    Token {
        /// What it says.
        grant: Result<Grant, Refusal>,
    },
    /// Answer.
    Heartbeat,
}

impl Command {
    const fn kind(&self) -> Received {
        match self {
            Self::Join { .. } => Received::Join,
            Self::Observe { .. } => Received::Observe,
            Self::Attention { .. } => Received::Attention,
            Self::Update { .. } => Received::Update,
            Self::Pulse { .. } => Received::Pulse,
            Self::Leave { .. } => Received::Leave,
            Self::Resync { .. } => Received::Resync,
            Self::Heartbeat => Received::Heartbeat,
            Self::LastSeen { .. } => Received::LastSeen,
            Self::Token { .. } => Received::Token,
        }
    }
}

/// How a socket ended that the relay did not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// By a close 1001: the browser closed the tab.
    Leave,
    /// By any other close.
    Goodbye,
    /// Its peer took nothing for too long.
    Stuck,
    /// In any other way.
    Lost,
}

impl Closed {
    const fn kind(self) -> Ended {
        match self {
            Self::Leave => Ended::Left,
            Self::Goodbye => Ended::Goodbye,
            Self::Stuck => Ended::Stuck,
            Self::Lost => Ended::Lost,
        }
    }
}

/// Something to write to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing<F> {
    /// An encoded frame.
    Frame(F),
    /// A protocol ping.
    Ping,
    /// A close frame. Nothing follows; the shell closes the socket and reports it as lost.
    Close(Close),
}

/// The relay has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<H: Host, B: Backplane> Relay<H, B> {
    /// A relay without connections.
    #[must_use]
    pub fn new(config: RelayConfig, host: H, backplane: B, seed: u64) -> Self {
        Self {
            config,
            host,
            backplane,
            random: Random::new(seed),
            connections: Vec::new(),
            free: Vec::new(),
            sessions: Sessions::new(),
            users: BTreeMap::new(),
            slots: BTreeMap::new(),
            presences: Counts::new(),
            last_seen: LastSeen::off(),
            bans: Bans::default(),
            agents: Agents::default(),
            notices: Notices::default(),
            watched: Watched::default(),
            stats: Stats::default(),
            timers: BTreeSet::new(),
            wakes: VecDeque::new(),
        }
    }

    /// From now on it is kept who viewed which keys.
    pub fn keep_last_seen(&mut self, now: Time, rules: LastSeenRules) {
        self.last_seen.set(rules);
        self.timers.insert((now, Timer::Retention));
    }

    /// From now on servers are told who comes and goes.
    pub fn keep_notices(&mut self, now: Time, rules: NoticeRules) {
        // As long as pages may take to come back from the relay's last life.
        let until = now + self.config.heartbeat + self.config.grace;
        for (key, user) in self.notices.set(rules, until) {
            self.timers.insert((until, Timer::Gone(key, user)));
        }
    }

    /// Something that servers are told. Call until `None`.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.poll()
    }

    /// A socket was upgraded.
    ///
    /// # Errors
    ///
    /// [`Full`] if there are as many as there may be.
    pub fn connect(&mut self, now: Time) -> Result<ConnId, Full> {
        let deadline = now + self.config.hello_timeout;
        let connection = Connection::new(now, deadline);
        let most = self.config.max_connections.saturating_add(self.config.max_greeting);
        let has_room = !self.free.is_empty() || self.connections.len() < most;
        // Nobody is asked for a token who could do nothing with it.
        if self.has_all_sessions() || !has_room {
            self.stats.dropped.add(Dropped::Full, 1);
            return Err(Full);
        }
        let id = if let Some(id) = self.free.pop() {
            id
        } else {
            let next = u32::try_from(self.connections.len()).map_err(|_| Full)?;
            self.connections.push(None);
            ConnId(next)
        };
        if let Some(place) = self.connections.get_mut(id.0 as usize) {
            *place = Some(connection);
        }
        self.arm_connection(id, deadline);
        self.stats.opened += 1;
        Ok(id)
    }

    /// A socket was closed with a code before it could become a connection.
    pub fn turned_away(&mut self, close: impl Into<Close>) {
        self.stats.closed(close.into());
        self.stats.sent.add(Sent::Close, 1);
    }

    /// What the relay holds and has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let connections = self.connections.len() - self.free.len();
        let watchers = self.watched.len();
        Stats { connections, keys: self.slots.len(), watchers, ..self.stats.clone() }
    }

    /// How many connections there are.
    #[cfg(test)]
    fn connections(&self) -> usize {
        self.stats().connections
    }

    /// How many keys have somebody in them.
    #[cfg(test)]
    fn keys(&self) -> usize {
        self.slots.len()
    }

    /// The first frame: who this is, as the shell's check of its token found.
    pub fn hello(
        &mut self,
        now: Time,
        id: ConnId,
        grant: Result<Grant, Refusal>,
        resume: Option<ResumeClaims>,
        dial: Dial,
    ) {
        self.stats.received.add(Received::Hello, 1);
        let Some(connection) = self.connection(id) else { return };
        match connection.phase {
            Phase::Greeting { .. } => connection.last_heard = now,
            Phase::Open(_) => {
                let message = "hello was sent twice".to_owned();
                self.heard(now, id);
                return self.error(now, id, ErrorCode::BadFrame, message, None);
            }
            Phase::Closing(_) => return,
        }
        let grant = match grant {
            Ok(grant) => grant,
            Err(Refusal::Denied) => return self.refuse(now, id, CloseCode::Denied),
            Err(Refusal::Expired) => return self.refuse(now, id, CloseCode::Expired),
        };
        if self.bans.hold(now, grant.user.id(), None) {
            return self.refuse(now, id, CloseCode::Kicked);
        }
        let resume = resume.filter(|it| {
            let is_theirs =
                it.user == *grant.user.id() && self.sessions.is_of(it.session, &it.user);
            is_theirs && it.dial < dial
        });
        let resumed = resume.is_some();
        let (session, since) = match resume {
            Some(claims) => (claims.session, claims.since.min(now)),
            None => (self.new_session(), now),
        };
        match self.sessions.claim(session, dial, Arc::clone(&grant.user), id) {
            Ok(None) => {}
            Ok(Some(former)) => self.fence(now, former),
            Err(Fenced) => return self.refuse(now, id, CloseCode::Replaced),
        }
        if self.connections_of(grant.user.id()) >= self.config.max_connections_per_user {
            self.sessions.release(now, session, id, self.config.grace);
            return self.refuse(now, id, CloseCode::Busy);
        }
        // Others were quicker to say hello.
        if self.has_all_sessions() {
            self.stats.dropped.add(Dropped::Full, 1);
            self.sessions.release(now, session, id, self.config.grace);
            return self.refuse(now, id, CloseCode::Busy);
        }
        self.users.entry(grant.user.id().clone()).or_default().insert(id);
        if !grant.last_seen {
            self.last_seen.forget_user(grant.user.id(), &grant.keys);
        }
        let (epoch, began) = self.backplane.epoch();
        let claims = ResumeClaims { session, user: grant.user.id().clone(), dial, since };
        let welcome = Welcome {
            session,
            resume: self.host.seal(&claims),
            resumed,
            heartbeat_ms: millis(self.config.heartbeat),
            grace_ms: millis(self.config.grace),
            expires_in_ms: millis(grant.expires_in),
            user_id: Some(grant.user.id().clone()),
            epoch: EpochInfo { id: epoch, age_ms: millis(now.since(began)) },
        };
        let open = Open {
            session,
            dial,
            since,
            expires_at: now + grant.expires_in,
            keys: Vec::new(),
            silence: Silence::None,
            is_away: false,
            is_remembered: grant.last_seen,
            held_until: None,
            held_away: None,
            snapshots_at: None,
            grant,
        };
        let due = (open.first_expiry() + self.config.grace).min(now + self.config.quiet());
        if let Some(connection) = self.connection(id) {
            connection.phase = Phase::Open(Box::new(open));
            connection.answer(Answer::Frame(ServerFrame::Welcome(welcome)));
        }
        self.stats.sessions += 1;
        self.arm_connection(id, due);
        self.wake(id);
    }

    /// A frame after the `hello`.
    pub fn frame(&mut self, now: Time, id: ConnId, command: Command) {
        self.stats.received.add(command.kind(), 1);
        let Some(connection) = self.connection(id) else { return };
        match connection.phase {
            Phase::Greeting { .. } => return self.refuse(now, id, CloseCode::BadFrame),
            Phase::Open(_) => {}
            Phase::Closing(_) => return,
        }
        self.heard(now, id);
        match command {
            Command::Join { key, grant, meta, age, away } => {
                if away.is_some() {
                    self.drop_held_attention(id);
                }
                self.join(now, id, key, grant, meta, age, away);
            }
            Command::Observe { key, grant, invisible } => {
                self.observe(now, id, key, grant, invisible);
            }
            Command::Attention { away } => {
                self.drop_held_attention(id);
                self.attend(now, id, away);
            }
            Command::Update { key, meta } => {
                if let Some((session, dial)) = self.joined(now, id, &key) {
                    let entered = self.open(id).and_then(|it| it.entered(&key));
                    if entered.is_some_and(|it| it.held.take().is_some()) {
                        self.stats.dropped.add(Dropped::Rate, 1);
                    }
                    self.publish(now, &key, Change::Update { session, dial, meta });
                }
            }
            Command::Pulse { key, name, value } => {
                let Some((session, dial)) = self.joined(now, id, &key) else { return };
                let entered = self.open(id).and_then(|it| it.entered(&key));
                if entered.is_some_and(|it| !it.can.has(Capability::Pulse)) {
                    let message = "no token of this connection allows pulses in this key";
                    let (code, message) = (ErrorCode::NotAllowed, message.to_owned());
                    return self.error(now, id, code, message, Some(key));
                }
                let slot = self.slots.get(&key);
                if value.is_some() && slot.is_some_and(|it| !it.room.takes_pulse(session, &name)) {
                    let message = "a presence must not have more than 8 pulses at a time";
                    let (code, message) = (ErrorCode::BadPulse, message.to_owned());
                    return self.error(now, id, code, message, Some(key));
                }
                self.publish(now, &key, Change::Pulse { session, dial, name, value });
            }
            Command::Leave { key } => {
                if self.entered(now, id, &key).is_some() {
                    self.depart(now, id, &key, LeaveReason::Left);
                }
            }
            Command::Resync { key } => {
                if self.entered(now, id, &key).is_none() {
                    return;
                }
                if !self.connection(id).is_some_and(|it| it.may_ask(now)) {
                    return self.stats.dropped.add(Dropped::Snapshot, 1);
                }
                self.tell_snapshot(now, id, &key);
            }
            Command::LastSeen { key } => {
                if let Some(claim) = self.entered(now, id, &key)
                    && self.connection(id).is_some_and(|it| it.asks_last_seen(now, &key))
                {
                    if self.last_seen.covers(&key) {
                        self.last_seen.ask(now, key, id, claim);
                    } else {
                        self.answer(now, id, ServerFrame::LastSeen { key, seen: Vec::new() });
                    }
                }
            }
            Command::Token { grant } => self.renew(now, id, grant),
            Command::Heartbeat => {
                if let Some(connection) = self.connection(id) {
                    connection.heartbeat_due = true;
                }
                self.wake(id);
            }
        }
    }

    /// A message that could not be understood: an error frame, or the end if it was the first.
    pub fn bad_frame(
        &mut self,
        now: Time,
        id: ConnId,
        code: ErrorCode,
        message: String,
        key: Option<Key>,
    ) {
        self.stats.received.add(Received::Bad, 1);
        let Some(connection) = self.connection(id) else { return };
        match connection.phase {
            Phase::Greeting { .. } => self.refuse(now, id, CloseCode::BadFrame),
            Phase::Open(_) => {
                self.heard(now, id);
                self.error(now, id, code, message, key);
            }
            Phase::Closing(_) => {}
        }
    }

    /// Closes a connection with a code. Its session counts as lost.
    pub fn refuse(&mut self, now: Time, id: ConnId, close: impl Into<Close>) {
        let (heartbeat, quiet) = (self.config.heartbeat, self.config.quiet());
        let Some(connection) = self.connection(id) else { return };
        let at = connection.lost_at(now, heartbeat, quiet);
        self.end(now, id, close.into(), at);
    }

    /// The relay is about to stop: every session is told when to come back, one after the other within
    /// about `spread`, and everybody else that it is over.
    pub fn drain(&mut self, now: Time, spread: Duration) {
        let is_open = |it: &Connection<_>| matches!(it.phase, Phase::Open(_));
        let present = |(index, it): (usize, &Option<Connection<_>>)| {
            let id = ConnId(u32::try_from(index).ok()?);
            it.as_ref().map(|it| (id, is_open(it)))
        };
        let all: Vec<_> = self.connections.iter().enumerate().filter_map(present).collect();
        let n_open = u32::try_from(all.iter().filter(|it| it.1).count()).unwrap_or(u32::MAX);
        // Nobody needs to be away for long if there are few, nor for so long that others notice.
        let spread = spread.min(DRAIN_STEP.saturating_mul(n_open)).min(self.config.grace / 3);
        let step = spread.checked_div(n_open).unwrap_or_default();
        let mut wait = Duration::ZERO;
        for (id, is_open) in all {
            if is_open {
                self.refuse(now, id, Close::restarting(Wait::about(wait)));
                wait += step;
            } else {
                self.refuse(now, id, CloseCode::GoingAway);
            }
        }
    }

    /// Something was heard from a connection, be it only a pong.
    pub fn heard(&mut self, now: Time, id: ConnId) {
        let Some(connection) = self.connection(id) else { return };
        connection.last_heard = connection.last_heard.max(now);
        let Phase::Open(open) = &mut connection.phase else { return };
        if core::mem::replace(&mut open.silence, Silence::None) == Silence::Lost {
            let (session, dial, keys) = (open.session, open.dial, open.joined_keys());
            for key in keys {
                self.publish(now, &key, Change::Back { session, dial });
            }
            // Its timer waits for the end of the grace, which would be too late for the next ping.
            self.arm_connection_by(id, now + self.config.quiet());
        }
    }

    /// A socket is gone, and its number is free again.
    pub fn closed(&mut self, now: Time, id: ConnId, how: Closed) {
        let Some(connection) = self.connections.get_mut(id.0 as usize).and_then(Option::take)
        else {
            return;
        };
        if let Some(armed) = connection.armed {
            self.timers.remove(&(armed, Timer::Connection(id)));
        }
        let at = connection.lost_at(now, self.config.heartbeat, self.config.quiet());
        let kind = match connection.phase {
            Phase::Greeting { .. } => how.kind(),
            Phase::Open(open) => {
                self.stats.sessions -= 1;
                self.release(now, id, *open, how, at);
                how.kind()
            }
            // However its peer took it.
            Phase::Closing(_) => Ended::Closed,
        };
        self.stats.ended.add(kind, 1);
        self.free.push(id);
    }

    /// A page that was closed while disconnected says goodbye with its resume token.
    pub fn beacon(&mut self, now: Time, claims: &ResumeClaims, dial: Dial, keys: &[Key]) {
        self.stats.received.add(Received::Beacon, 1);
        if dial < claims.dial || !self.sessions.is_of(claims.session, &claims.user) {
            return;
        }
        match self.sessions.fence(claims.session, dial) {
            Ok(None) => {}
            Ok(Some(former)) => self.fence(now, former),
            Err(Fenced) => return,
        }
        for key in keys.iter().take(self.config.max_keys_per_connection) {
            if self.slots.get(key).is_some_and(|it| it.room.holds_as(claims.session, &claims.user))
            {
                let (session, reason) = (claims.session, LeaveReason::Left);
                self.publish(now, key, Change::Leave { session, dial, reason });
            }
        }
    }

    /// A change came back from a backplane that orders later.
    pub fn deliver(&mut self, now: Time, key: &Key, rev: Rev, change: Change) {
        let slot = slot(&mut self.slots, &self.config, key);
        slot.apply(now, rev, change, &mut self.presences);
        self.settle(now, key);
    }

    /// The store's answer to who viewed a key, from [`Asked::answer`] and written down; `None` if the store
    /// has none.
    pub fn last_seen(&mut self, now: Time, asked: Asked, frame: Option<H::Frame>) {
        let Asked { key, conn, claim, .. } = asked;
        let Some(open) = self.open(conn) else { return };
        if (open.session, open.dial) != claim {
            return;
        }
        if open.entered(&key).is_none() {
            // Nobody waits for it any more, and who joins again may ask again.
            if let Some(connection) = self.connection(conn) {
                connection.asked_last_seen.retain(|it| *it != key);
            }
            return;
        }
        if let Some(frame) = frame {
            return self.give(now, conn, Answer::LastSeen { key, frame });
        }
        if let Some(connection) = self.connection(conn) {
            connection.asked_last_seen.retain(|it| *it != key);
        }
        let message = "what was kept can't be looked up for the moment";
        self.error(now, conn, ErrorCode::Unavailable, message.to_owned(), Some(key));
    }

    /// Something for the store. Call until `None`.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.last_seen.poll_request()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Runs what has become due.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((due, timer)) = self.timers.first().cloned()
            && due <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Key(key) => {
                    if let Some(slot) = self.slots.get_mut(&key) {
                        slot.armed = None;
                    }
                    while let Some(change) =
                        self.slots.get_mut(&key).and_then(|it| it.room.poll_deadline(now))
                    {
                        self.publish(now, &key, change);
                    }
                    self.settle(now, &key);
                }
                Timer::Connection(id) => {
                    if let Some(connection) = self.connection(id) {
                        connection.armed = None;
                    }
                    self.check_connection(now, id);
                }
                Timer::Agent(key, user) => self.expire_agent(now, &key, &user),
                Timer::Gone(key, user) => {
                    if let Some(next) = self.notices.expire(now, &key, &user) {
                        self.timers.insert((next, Timer::Gone(key, user)));
                    }
                }
                Timer::Watched(key) => {
                    let at = Moment::new(now, &self.backplane);
                    if let Some(next) = self.watched.open(now, at, &key) {
                        self.timers.insert((next, Timer::Watched(key)));
                    }
                }
                Timer::Retention => {
                    if let Some(next) = self.last_seen.forget(now) {
                        self.timers.insert((next, Timer::Retention));
                    }
                }
            }
        }
    }

    /// A connection that has something to be written. Call until `None`.
    pub fn poll_wake(&mut self) -> Option<ConnId> {
        self.wakes.pop_front()
    }

    /// Takes what is to be written to a connection, up to about `budget` bytes. True if there is more.
    pub fn collect(
        &mut self,
        now: Time,
        id: ConnId,
        budget: usize,
        out: &mut Vec<Outgoing<H::Frame>>,
    ) -> bool {
        let Self { connections, slots, host, stats, .. } = self;
        let Some(Some(connection)) = connections.get_mut(id.0 as usize) else { return false };
        connection.woken = false;
        let mut used = 0;
        while let Some(answer) = connection.answers.pop_front() {
            if let Answer::LastSeen { key, .. } | Answer::Frame(ServerFrame::LastSeen { key, .. }) =
                &answer
            {
                connection.asked_last_seen.retain(|it| it != key);
            }
            let (kind, frame) = match answer {
                Answer::Frame(frame) => (kind_of(&frame), host.encode(&frame)),
                Answer::LastSeen { frame, .. } => (Sent::LastSeen, frame),
            };
            stats.sent.add(kind, 1);
            push::<H>(out, &mut used, frame);
        }
        if core::mem::take(&mut connection.ping_due) {
            stats.sent.add(Sent::Ping, 1);
            out.push(Outgoing::Ping);
        }
        let open = match &connection.phase {
            Phase::Open(open) => open,
            Phase::Greeting { .. } => return false,
            Phase::Closing(close) => {
                stats.sent.add(Sent::Close, 1);
                out.push(Outgoing::Close(*close));
                return false;
            }
        };
        let mut is_more = false;
        let keys = open.keys.iter().enumerate();
        let first = connection.next_key.min(open.keys.len());
        'keys: for (index, Entered { key, is_deferred, .. }) in
            keys.clone().skip(first).chain(keys.take(first))
        {
            if *is_deferred {
                continue;
            }
            let Some(slot) = slots.get_mut(key) else { continue };
            let Some(viewer) = slot.viewers.get_mut(&id) else { continue };
            loop {
                if used >= budget {
                    connection.woken = true;
                    // The key that used the budget up comes last the next time.
                    connection.next_key = index + 1;
                    is_more = true;
                    break 'keys;
                }
                let had_all = viewer.position().is_some();
                match viewer.next(&slot.log) {
                    Next::Nothing => break,
                    Next::Frame(frame, since) => {
                        stats.sent.add(Sent::Delta, 1);
                        stats.fan_out.add(now.since(since));
                        push::<H>(out, &mut used, frame.clone());
                    }
                    Next::Snapshot if had_all => stats.dropped.add(Dropped::Behind, 1),
                    // Inside a window a snapshot would hold what the next delta tells again.
                    Next::Snapshot if !slot.room.is_flushed() => {
                        slot.is_awaited = true;
                        break;
                    }
                    Next::Snapshot => {
                        let room = &slot.room;
                        let frame = slot
                            .snapshot
                            .get_or_insert_with(|| {
                                host.encode(&ServerFrame::Snapshot(room.snapshot(key)))
                            })
                            .clone();
                        let (position, rev) = (slot.log.end(), room.flushed_rev());
                        *viewer = Viewer::At { position, rev };
                        stats.sent.add(Sent::Snapshot, 1);
                        push::<H>(out, &mut used, frame);
                    }
                }
            }
        }
        if core::mem::take(&mut connection.heartbeat_due) {
            let rev = |key: &Key| match slots.get(key)?.viewers.get(&id)? {
                Viewer::At { rev, .. } => Some((key.clone(), *rev)),
                Viewer::Behind => None,
            };
            let revs = open.keys.iter().filter_map(|it| rev(&it.key)).collect();
            stats.sent.add(Sent::Heartbeat, 1);
            push::<H>(out, &mut used, host.encode(&ServerFrame::Heartbeat { revs }));
        }
        is_more
    }

    /// Hands a change to the backplane and applies it if it is already in order.
    fn publish(&mut self, now: Time, key: &Key, change: Change) {
        if let Some(rev) = self.backplane.publish(key, &change)
            && let Some(slot) = self.slots.get_mut(key)
        {
            slot.apply(now, rev, change, &mut self.presences);
        }
        self.settle(now, key);
    }

    /// After anything happened in a key: flush if the window is over, set its timer, or drop it.
    fn settle(&mut self, now: Time, key: &Key) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let counted = (slot.room.len(), slot.room.members(), slot.observers.len());
        let before = core::mem::replace(&mut slot.counted, counted);
        self.stats.presences = self.stats.presences + counted.0 - before.0;
        self.stats.members = self.stats.members + counted.1 - before.1;
        self.stats.observers = self.stats.observers + counted.2 - before.2;
        self.stats.changes += core::mem::take(&mut slot.changes);
        self.stats.dropped.add(Dropped::Pulse, slot.room.take_dropped_pulses());
        let mut is_news = false;
        if slot.room.is_flushed() {
            // What changed nothing waits for nothing.
            slot.changed_at = None;
        }
        if now >= slot.window_ends && !slot.room.is_flushed() {
            let window = window(&self.config, slot.viewers.len().max(slot.room.len()));
            let changed_at = slot.changed_at.take().unwrap_or(now);
            let is_watched = self.watched.has(key);
            let news =
                if is_watched || self.notices.cover(key) { slot.room.news() } else { Vec::new() };
            if self.notices.cover(key) {
                for it in &news {
                    if let Some(due) = self.notices.take(now, self.config.grace, key, it) {
                        self.timers.insert((due, Timer::Gone(key.clone(), it.user.id().clone())));
                    }
                }
            }
            if let Some(delta) = slot.room.flush(key) {
                let to = delta.to;
                if is_watched && !news.is_empty() {
                    let at = Moment::new(now, &self.backplane);
                    if let Some(due) = self.watched.tell(now, at, key, news) {
                        self.timers.insert((due, Timer::Watched(key.clone())));
                    }
                }
                let Delta { joined, left, updated, pulses, .. } = &delta;
                let n_told = joined.len() + left.len() + updated.len() + pulses.len();
                // What all have read is of no use any more. Nobody who can use the delta: don't write it
                // down, whoever looks gets a snapshot.
                let read_until = slot.viewers.values().filter_map(Viewer::position).min();
                slot.log.forget_before(read_until.unwrap_or(u64::MAX));
                if read_until.is_some() {
                    let frame = self.host.encode(&ServerFrame::Delta(delta));
                    let size = H::size(&frame);
                    slot.log.push(frame, size, to, changed_at);
                    self.stats.deltas += 1;
                    self.stats.changes_told += n_told as u64;
                }
                slot.snapshot = None;
                // Who comes next waits no longer than in a key that nobody looked at meanwhile.
                let is_over = slot.room.is_empty();
                slot.window_ends = if is_over { Time::default() } else { now + window };
                is_news = true;
            }
        }
        // Without news only those who wait for a snapshot have something to gain.
        if slot.room.is_flushed() && (is_news | core::mem::take(&mut slot.is_awaited)) {
            for (id, viewer) in &slot.viewers {
                if viewer.is_waiting(&slot.log)
                    && let Some(Some(connection)) = self.connections.get_mut(id.0 as usize)
                    && !core::mem::replace(&mut connection.woken, true)
                {
                    self.wakes.push_back(*id);
                }
            }
        }
        let due = match (slot.room.is_flushed(), slot.room.next_deadline()) {
            (true, deadline) => deadline,
            (false, None) => Some(slot.window_ends),
            (false, Some(deadline)) => Some(deadline.min(slot.window_ends)),
        };
        let armed = slot.armed;
        let drop = slot.room.is_empty() && slot.viewers.is_empty();
        let due = due.filter(|_| !drop);
        if armed != due {
            if let Some(armed) = armed {
                self.timers.remove(&(armed, Timer::Key(key.clone())));
            }
            if let Some(due) = due {
                self.timers.insert((due, Timer::Key(key.clone())));
            }
            slot.armed = due;
        }
        if drop {
            self.slots.remove(key);
        }
    }

    /// Looks at a connection's deadlines and sets its timer to the next one.
    fn check_connection(&mut self, now: Time, id: ConnId) {
        let RelayConfig { heartbeat, answer_timeout, grace, .. } = self.config;
        let quiet = self.config.quiet();
        self.tell_held(now, id);
        self.tell_deferred(now, id);
        let Some(connection) = self.connection(id) else { return };
        let last_heard = connection.last_heard;
        let (missed, pinged) = (last_heard + heartbeat, last_heard + quiet);
        let open = match &mut connection.phase {
            Phase::Greeting { deadline } if *deadline <= now => {
                return self.refuse(now, id, CloseCode::Timeout);
            }
            Phase::Greeting { deadline } => {
                let deadline = *deadline;
                return self.arm_connection(id, deadline);
            }
            Phase::Open(open) => open,
            Phase::Closing(_) => return,
        };
        // Who fetches a new token has the grace for it, like anybody who comes back.
        let ends_at = open.first_expiry() + grace;
        if ends_at <= now {
            return self.refuse(now, id, CloseCode::Expired);
        }
        if missed + grace <= now {
            return self.refuse(now, id, CloseCode::Timeout);
        }
        let waits = [open.held_until, open.snapshots_at].into_iter().flatten();
        let due = waits.fold(ends_at, Time::min);
        let (silence, next) = if now < pinged {
            (Silence::None, pinged)
        } else if now < missed + answer_timeout {
            (Silence::Pinged, missed + answer_timeout)
        } else {
            (Silence::Lost, missed + grace)
        };
        let former = core::mem::replace(&mut open.silence, silence);
        if silence == Silence::Lost && former != Silence::Lost {
            let (session, dial, keys) = (open.session, open.dial, open.joined_keys());
            for key in keys {
                self.publish(
                    now,
                    &key,
                    Change::Lost { session, dial, lost_for: now.since(missed) },
                );
            }
        }
        if silence == Silence::None {
            self.remember_due(id, now, last_heard);
        }
        if silence != Silence::None && former == Silence::None {
            if let Some(connection) = self.connection(id) {
                connection.ping_due = true;
            }
            self.wake(id);
        }
        self.arm_connection(id, next.min(due));
    }

    /// Somebody looks at a connection's page again, or nobody does any more: in all of its keys.
    fn attend(&mut self, now: Time, id: ConnId, away: bool) {
        let Some(open) = self.open(id).filter(|it| it.is_away != away) else { return };
        open.look(now, away);
        let (session, dial, keys) = (open.session, open.dial, open.joined_keys());
        self.remember_due(id, now, now);
        for key in keys {
            self.publish(now, &key, Change::Attention { session, dial, away });
        }
    }

    /// Keeps what a connection's page was viewed, until this moment: in one of its keys, or in all.
    fn remember(&mut self, id: ConnId, at: Time, key: Option<&Key>) {
        if let Some((open, last_seen)) = self.viewer(id) {
            open.remember(last_seen, at, key);
        }
    }

    /// The same of all keys in which that is due.
    fn remember_due(&mut self, id: ConnId, now: Time, at: Time) {
        if let Some((open, last_seen)) = self.viewer(id) {
            open.remember_due(last_seen, now, at);
        }
    }

    fn viewer(&mut self, id: ConnId) -> Option<(&mut Open, &mut LastSeen)> {
        let Self { connections, last_seen, .. } = self;
        match &mut connections.get_mut(id.0 as usize)?.as_mut()?.phase {
            Phase::Open(open) => Some((open, last_seen)),
            Phase::Greeting { .. } | Phase::Closing(_) => None,
        }
    }

    /// What a session's connection held is let go of.
    fn release(&mut self, now: Time, id: ConnId, mut open: Open, how: Closed, at: Time) {
        let held_away = open.held_away.take().filter(|it| *it != open.is_away);
        if let Some(away) = held_away {
            open.look(at, away);
        }
        open.remember(&mut self.last_seen, at, None);
        let Open { session, dial, keys, grant, .. } = open;
        self.uncount_connection(id, grant.user.id());
        self.sessions.release(now, session, id, self.config.grace);
        for Entered { key, role, held, .. } in keys {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.forget(id, &mut self.presences);
            }
            // Who is lost may be in sight for a while, and is as they last said.
            if let Some(meta) = held.filter(|_| how != Closed::Leave) {
                self.publish(now, &key, Change::Update { session, dial, meta });
            }
            if role == Role::Observer {
                self.settle(now, &key);
                continue;
            }
            if let Some(away) = held_away.filter(|_| how != Closed::Leave) {
                self.publish(now, &key, Change::Attention { session, dial, away });
            }
            let change = match how {
                Closed::Leave => Change::Leave { session, dial, reason: LeaveReason::Left },
                Closed::Goodbye | Closed::Stuck | Closed::Lost => {
                    Change::Lost { session, dial, lost_for: now.since(at) }
                }
            };
            self.publish(now, &key, change);
        }
    }

    /// True if as many connections speak for sessions as may.
    const fn has_all_sessions(&self) -> bool {
        self.stats.sessions >= self.config.max_connections
    }

    /// How many connections a user has.
    fn connections_of(&self, user: &UserId) -> usize {
        self.users.get(user).map_or(0, BTreeSet::len)
    }

    /// A connection is a user's no longer.
    fn uncount_connection(&mut self, id: ConnId, user: &UserId) {
        if let Some(connections) = self.users.get_mut(user) {
            connections.remove(&id);
            if connections.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// A newer dial has claimed this connection's session: from here on its words mean nothing.
    ///
    /// Its presences count as lost from now until the newer one joins, lest nobody watches over them.
    fn fence(&mut self, now: Time, id: ConnId) {
        self.end(now, id, CloseCode::Replaced.into(), now);
    }

    /// Begins to close a connection whose session was lost at some moment.
    fn end(&mut self, now: Time, id: ConnId, close: Close, lost_at: Time) {
        let Some(connection) = self.connection(id) else { return };
        if matches!(connection.phase, Phase::Closing(_)) {
            return;
        }
        connection.heartbeat_due = false;
        connection.ping_due = false;
        let former = core::mem::replace(&mut connection.phase, Phase::Closing(close));
        self.stats.closed(close);
        if let Phase::Open(open) = former {
            self.stats.sessions -= 1;
            self.release(now, id, *open, Closed::Lost, lost_at);
        }
        self.wake(id);
    }

    fn error(&mut self, now: Time, id: ConnId, code: ErrorCode, message: String, key: Option<Key>) {
        self.stats.error(code);
        self.answer(now, id, ServerFrame::Error { code, message, key });
    }

    /// Queues a frame for one connection; one that has too many waiting is abusing the relay.
    fn answer(&mut self, now: Time, id: ConnId, frame: ServerFrame<Meta>) {
        self.give(now, id, Answer::Frame(frame));
    }

    fn give(&mut self, now: Time, id: ConnId, answer: Answer<H::Frame>) {
        let Some(connection) = self.connection(id) else { return };
        if connection.answer(answer) {
            self.wake(id);
        } else {
            self.refuse(now, id, CloseCode::Busy);
        }
    }

    /// The session and dial of a connection that has entered the key; otherwise it is told so.
    fn entered(&mut self, now: Time, id: ConnId, key: &Key) -> Option<(SessionId, Dial)> {
        let open = self.open(id)?;
        if open.entered(key).is_some() {
            return Some((open.session, open.dial));
        }
        let message = "this connection has not joined this key".to_owned();
        self.error(now, id, ErrorCode::NotJoined, message, Some(key.clone()));
        None
    }

    /// The same of one that is seen there, and so has something to say.
    fn joined(&mut self, now: Time, id: ConnId, key: &Key) -> Option<(SessionId, Dial)> {
        let claim = self.entered(now, id, key)?;
        if self.open(id)?.is_member(key) {
            return Some(claim);
        }
        let message = "who only looks at a key says nothing there".to_owned();
        self.error(now, id, ErrorCode::NotAllowed, message, Some(key.clone()));
        None
    }

    fn new_session(&mut self) -> SessionId {
        loop {
            let session = SessionId::new(self.random.next());
            if !self.sessions.contains(session) {
                return session;
            }
        }
    }

    fn wake(&mut self, id: ConnId) {
        if let Some(connection) = self.connection(id)
            && !core::mem::replace(&mut connection.woken, true)
        {
            self.wakes.push_back(id);
        }
    }

    /// Sets a connection's timer to a moment, unless it fires before that anyway.
    fn arm_connection_by(&mut self, id: ConnId, due: Time) {
        let armed = self.connection(id).and_then(|it| it.armed);
        self.arm_connection(id, armed.map_or(due, |it| it.min(due)));
    }

    fn arm_connection(&mut self, id: ConnId, due: Time) {
        let Some(connection) = self.connection(id) else { return };
        let former = connection.armed.replace(due);
        if let Some(former) = former {
            self.timers.remove(&(former, Timer::Connection(id)));
        }
        self.timers.insert((due, Timer::Connection(id)));
    }

    fn connection(&mut self, id: ConnId) -> Option<&mut Connection<H::Frame>> {
        self.connections.get_mut(id.0 as usize)?.as_mut()
    }

    fn open(&mut self, id: ConnId) -> Option<&mut Open> {
        match &mut self.connection(id)?.phase {
            Phase::Open(open) => Some(open),
            Phase::Greeting { .. } | Phase::Closing(_) => None,
        }
    }
}

impl<F> Slot<F> {
    /// Applies a change that is in order.
    fn apply(&mut self, now: Time, rev: Rev, change: Change, presences: &mut Counts) {
        self.changes += 1;
        self.changed_at.get_or_insert(now);
        presences.follow(&self.room.apply(now, rev, change));
    }

    /// From here on a viewer needs a snapshot.
    fn await_snapshot(&mut self, id: ConnId) {
        self.viewers.insert(id, Viewer::Behind);
        self.is_awaited = true;
    }

    /// A connection is told nothing more.
    fn forget(&mut self, id: ConnId, presences: &mut Counts) {
        self.viewers.remove(&id);
        presences.follow(&self.observers.remove(id));
    }
}

/// The slot of a key, new if need be.
fn slot<'a, F>(
    slots: &'a mut BTreeMap<Key, Slot<F>>,
    config: &RelayConfig,
    key: &Key,
) -> &'a mut Slot<F> {
    let rules = RoomRules {
        grace: config.grace,
        dim_after: config.dim_after,
        pulse_ttl: config.pulse_ttl,
        max_presences: config.max_presences_per_key,
        max_presences_per_user: config.max_presences_per_user,
    };
    slots.entry(key.clone()).or_insert_with(|| Slot {
        room: Room::new(rules),
        log: Log::new(),
        viewers: Viewers::new(),
        observers: Observers::default(),
        snapshot: None,
        counted: (0, 0, 0),
        is_awaited: false,
        window_ends: Time::default(),
        changed_at: None,
        changes: 0,
        armed: None,
    })
}

const fn kind_of(frame: &ServerFrame<Meta>) -> Sent {
    match frame {
        ServerFrame::Welcome(_) => Sent::Welcome,
        ServerFrame::Snapshot(_) => Sent::Snapshot,
        ServerFrame::Delta(_) => Sent::Delta,
        ServerFrame::Heartbeat { .. } => Sent::Heartbeat,
        ServerFrame::Error { .. } => Sent::Error,
        ServerFrame::LastSeen { .. } => Sent::LastSeen,
        ServerFrame::Token { .. } => Sent::Token,
    }
}

/// How long a key with so many viewers or presences gathers changes once it is busy.
fn window(config: &RelayConfig, size: usize) -> Duration {
    let grown = Duration::from_millis(size as u64 / 5);
    grown.clamp(config.window_min, config.window_max)
}

/// Adds a frame to what is to be written, and its bytes to what has been used of the budget.
fn push<H: Host>(out: &mut Vec<Outgoing<H::Frame>>, used: &mut usize, frame: H::Frame) {
    *used += H::size(&frame);
    out.push(Outgoing::Frame(frame));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
