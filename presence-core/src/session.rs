//! The browser's half: dialing, resuming, and the rosters of its keys.
//!
//! One [`Session`] speaks for one page load over one socket at a time. Feed it what happens, drain
//! [`Session::poll_output`], then arm one timer from [`Session::poll_timeout`].

use crate::Time;
use crate::map::Map;
use crate::pulses::{self, Pulses};
use crate::queue::Queue;
use crate::random::Random;
use crate::roster::{Dedupe, Difference, Member, Missing, Person, Roster};
use crate::time::{Millis, millis};
use core::time::Duration;
use presence_protocol::{
    ClientFrame, CloseCode, Dial, Epoch, ErrorCode, Key, LeaveReason, Pulse, PulseName, PulseValue,
    Reaction, Rev, ServerFrame, SessionId, User, UserId, Wait, Welcome, limits,
};
use std::sync::Arc;

/// How long a dial may take until the socket is open.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the page's token function may take.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait between dials while the relay still holds this session.
pub const MAX_WAIT_IN_GRACE: Duration = Duration::from_secs(2);
/// The longest wait between dials after that.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
/// The shortest time between two updates of a key: 20 a second, latest wins. With more than four keys on
/// a socket each is updated more rarely, so that all together stay below what a relay reads.
pub const UPDATE_INTERVAL: Duration = Duration::from_millis(50);
/// How long to stay away from a key that is full.
pub const FULL_RETRY: Duration = Duration::from_secs(10);
/// The wait before the first redial, at most; spreads those who lost the same relay.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// The first backoff, doubled with every attempt.
const BASE_WAIT: Duration = Duration::from_millis(250);
/// The least wait before dialing a relay that said it was busy.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Spreads those whom a relay that is restarted has told the same tenth of a second.
const RESTART_JITTER: Duration = Duration::from_millis(100);
/// A token that expires sooner than this is not used for another dial.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// How long before its token expires a live connection fetches the next one, if it lives long enough.
pub const RENEW_BEFORE: Duration = Duration::from_secs(120);
/// The shortest wait before the next token is fetched, and the first after one that was of no use.
const RENEW_WAIT: Duration = Duration::from_secs(1);
/// A timer that fires this much too late was held up together with the answers it waited for.
const LATE: Duration = Duration::from_secs(2);

/// How the connection is, as a page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not been live yet.
    Connecting,
    /// It is live.
    Live,
    /// It was live and is being taken up again.
    Reconnecting,
    /// It has ended and will not come back by itself.
    Stopped(StopReason),
}

impl State {
    /// The name that pages see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Reconnecting => "reconnecting",
            Self::Stopped(_) => "stopped",
        }
    }
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The page left its last key.
    Left,
    /// The relay refused it with this code, and would again.
    Refused(CloseCode),
    /// The relay refused its last key.
    KeyRefused(ErrorCode),
}

impl StopReason {
    /// The name that pages see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Refused(code) => code.name(),
            Self::KeyRefused(code) => code.name(),
        }
    }
}

/// As what a page enters a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The others see it.
    Join,
    /// It looks on.
    Observe,
    /// The same for a person who could join and doesn't want to be seen.
    Invisible,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<M, U = Arc<User>> {
    /// Ask the page for a token and answer with [`Session::token`].
    FetchToken {
        /// To be handed back.
        fetch: u32,
    },
    /// Open a socket.
    Dial {
        /// Its name from here on.
        dial: Dial,
    },
    /// Send a frame.
    Send {
        /// On this socket.
        dial: Dial,
        /// The frame.
        frame: ClientFrame<M>,
    },
    /// Close a socket and forget it.
    Close {
        /// This one.
        dial: Dial,
        /// With this code.
        code: CloseCode,
    },
    /// Say goodbye without a socket: `POST /v1/leave`.
    Beacon {
        /// The resume token.
        resume: String,
        /// The newest dial.
        dial: Dial,
        /// The keys that are left.
        keys: Vec<Key>,
    },
    /// Tell the page.
    Event(Event<M, U>),
}

/// What a page is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<M, U = Arc<User>> {
    /// The connection's state changed.
    State(State),
    /// A key's first snapshot is in.
    Ready {
        /// The key.
        key: Key,
    },
    /// Somebody who wasn't here is. Never told of oneself.
    Joined {
        /// The key.
        key: Key,
        /// Who.
        member: Arc<Member<M, U>>,
        /// True if it is no news: found after an own reconnect, or back after a relay's restart.
        quiet: bool,
    },
    /// Somebody is gone. Never told of oneself.
    Left {
        /// The key.
        key: Key,
        /// Who.
        member: Arc<Member<M, U>>,
        /// Why.
        reason: LeaveReason,
        /// True if it is no news: found after an own reconnect.
        quiet: bool,
    },
    /// Somebody's meta, state or number of sessions changed.
    Updated {
        /// The key.
        key: Key,
        /// As it was.
        before: Arc<Member<M, U>>,
        /// As it is.
        member: Arc<Member<M, U>>,
    },
    /// Somebody else says something that is true for a moment only, says it again, or no longer says it.
    /// Never told of this session, but of the user's other ones.
    Pulse {
        /// The key.
        key: Key,
        /// Who and what. The session of one that has ended may be gone.
        pulse: Pulse,
    },
    /// What is to be shown changed in some way. Comes last.
    Changed {
        /// The key.
        key: Key,
    },
    /// The relay refused a key, which ends it.
    Refused {
        /// The key.
        key: Key,
        /// Why.
        code: ErrorCode,
        /// A sentence for the developer.
        message: String,
    },
    /// The relay complained about something; everything goes on.
    Complaint {
        /// The key it is about.
        key: Option<Key>,
        /// What is wrong.
        code: ErrorCode,
        /// A sentence for the developer.
        message: String,
    },
}

/// The browser's half of presence.
#[derive(Debug)]
pub struct Session<M, U = Arc<User>> {
    random: Random,
    phase: Phase,
    token: Option<Token>,
    /// The token that the relay has been sent in the place of the current one.
    next_token: Option<String>,
    /// How many of them in a row were of no use.
    failed_renewals: u32,
    /// True if the page's token function has another token by now than those that are fetched.
    is_outdated: bool,
    fetches: u32,
    dials: Dial,
    /// Attempts since a connection has last proved itself by answering a heartbeat.
    attempts: u32,
    /// Since when the relay is out of reach, if it was within reach before.
    lost: Option<Time>,
    /// Claims this session again.
    resume: Option<String>,
    heartbeat: Millis,
    grace: Millis,
    epoch: Option<CurrentEpoch>,
    session: Option<SessionId>,
    /// Whose token the relay has taken; `None` if it is older than saying so.
    user: Option<UserId>,
    keys: Map<Key, Joined<M, U>>,
    /// No roster that is gone has counted further.
    n_changes: u32,
    outputs: Queue<Output<M, U>>,
    shown: State,
    /// True while the page is in the back-forward cache.
    is_put_away: bool,
    /// True while nobody looks at the page.
    is_away: bool,
    /// True while the page's tab is behind others.
    is_hidden: bool,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is wanted.
    Idle,
    /// The page's token function is running.
    Fetching { fetch: u32, give_up: Time },
    /// A socket is opening.
    Dialing { dial: Dial, give_up: Time },
    /// `hello` is sent.
    Greeting { dial: Dial, give_up: Time },
    /// `welcome` was received.
    Live { dial: Dial, last_heard: Time, next_beat: Time, answer: Answer, renewal: Renewal },
    /// The next dial is awaited.
    Waiting { retry_at: Time },
    /// It has ended.
    Stopped(StopReason),
}

/// Whether a heartbeat's answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// None is.
    None,
    /// Until then.
    By(Time),
    /// Until then, after the timer for it was so late that the answer might have been right behind it.
    AtLast(Time),
}

impl Answer {
    const fn due(self) -> Option<Time> {
        match self {
            Self::None => None,
            Self::By(at) | Self::AtLast(at) => Some(at),
        }
    }
}

/// How far a live connection is with its next token.
#[derive(Clone, Copy, Debug)]
enum Renewal {
    /// It is fetched then.
    At(Time),
    /// The page's token function is running.
    Fetching { fetch: u32, give_up: Time },
    /// The relay has it, and has not answered yet.
    Sent,
    /// The relay doesn't know how, or won't have it: the connection ends with its token.
    Never,
}

impl Renewal {
    const fn due(self) -> Option<Time> {
        match self {
            Self::At(at) | Self::Fetching { give_up: at, .. } => Some(at),
            Self::Sent | Self::Never => None,
        }
    }
}

/// A token and how long it may be used for dials.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    /// Unknown until a relay has said so.
    good_until: Option<Time>,
}

/// The relay's epoch and when it began on the page's clock, which may lie before the page's load.
#[derive(Clone, Copy, Debug)]
struct CurrentEpoch {
    id: Epoch,
    began: i64,
}

/// A key that the page wants to be in.
#[derive(Debug)]
struct Joined<M, U> {
    mode: Mode,
    roster: Roster<M, U>,
    meta: M,
    pulses: Pulses,
    /// True if the relay has said that this page's token allows no pulses.
    is_mute: bool,
    /// True once it was entered on the current socket, as what it is to be.
    is_sent: bool,
    /// Since when this key's roster isn't being kept up to date.
    away: Away,
    /// The epoch of its last snapshot.
    epoch: Option<CurrentEpoch>,
    /// When the meta was last sent, and whether there is a newer one.
    sent_at: Time,
    is_dirty: bool,
    /// When a snapshot was last asked for.
    asked_at: Option<Time>,
    /// When to try to join again, if the key was full.
    retry_at: Option<Time>,
}

/// Why a roster isn't being kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// It is.
    No,
    /// The connection was lost then.
    Since(Time),
    /// The page was put into the back-forward cache, or its session has ended.
    Parked,
}

/// Which differences of a snapshot are worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// They are news.
    Loud,
    /// They are told, but nobody needs to be startled.
    Quiet,
    /// They aren't told one by one.
    Silent,
}

impl<M: Clone + PartialEq, U: Person> Session<M, U> {
    /// A session that wants nothing yet. The seed decides the jitter.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            phase: Phase::Idle,
            token: None,
            next_token: None,
            failed_renewals: 0,
            is_outdated: false,
            fetches: 0,
            dials: Dial(0),
            attempts: 0,
            lost: None,
            resume: None,
            heartbeat: Millis::of(limits::HEARTBEAT),
            grace: Millis::of(limits::GRACE),
            epoch: None,
            session: None,
            user: None,
            keys: Map::new(),
            n_changes: 0,
            outputs: Queue::new(),
            shown: State::Connecting,
            is_put_away: false,
            is_away: false,
            is_hidden: false,
        }
    }

    /// Enters a key, or changes its meta and the mode if it is entered already. Whoever only looks on keeps
    /// the meta for the time when it joins.
    pub fn join(&mut self, now: Time, key: Key, meta: M, dedupe: Dedupe, mode: Mode) {
        if let Some(joined) = self.keys.get_mut(&key) {
            let is_same = core::mem::replace(&mut joined.mode, mode) == mode;
            if is_same {
                return self.update(now, &key, meta);
            }
            joined.meta = meta;
            joined.is_sent = false;
            joined.retry_at = None;
            let differences = joined.roster.set_observer(mode != Mode::Join, self.user.as_ref());
            if let Phase::Live { dial, .. } = self.phase {
                self.send_joins(now, dial);
            }
            return self.tell(&key, differences, Telling::Silent, true);
        }
        let mut roster = Roster::new(dedupe);
        roster.count_from(self.n_changes.wrapping_add(1));
        roster.set_observer(mode != Mode::Join, self.user.as_ref());
        let joined = Joined {
            mode,
            roster,
            meta,
            pulses: Pulses::default(),
            is_mute: false,
            is_sent: false,
            away: Away::No,
            epoch: None,
            sent_at: Time::default(),
            is_dirty: false,
            asked_at: None,
            retry_at: None,
        };
        self.keys.insert(key, joined);
        match self.phase {
            Phase::Idle | Phase::Stopped(_) if !self.is_put_away => self.begin(now),
            Phase::Stopped(_) => self.phase = Phase::Idle,
            Phase::Live { dial, .. } => self.send_joins(now, dial),
            _ => {}
        }
        self.tell_state();
    }

    /// Replaces the meta of a key. Sent at most 20 times a second; the latest wins.
    pub fn update(&mut self, now: Time, key: &Key, meta: M) {
        if let Some(joined) = self.keys.get_mut(key) {
            joined.meta = meta;
            joined.is_dirty = joined.is_sent && joined.mode == Mode::Join;
        }
        self.send_updates(now);
    }

    /// Somebody looks at the page again, or nobody does any more: the others are shown it.
    pub fn attention(&mut self, away: bool) {
        if core::mem::replace(&mut self.is_away, away) != away
            && let Phase::Live { dial, .. } = self.phase
        {
            self.output(Output::Send { dial, frame: ClientFrame::Attention { away } });
        }
    }

    /// Says something in a key that is true for a moment only; `None` ends it. The latest wins, and is sent
    /// again every few seconds. Nothing is sent while nobody else is here or this page only looks on, and
    /// nothing that is said while the tab is hidden. False if there are as many others as there may be.
    pub fn pulse(
        &mut self,
        now: Time,
        key: &Key,
        name: PulseName,
        value: Option<PulseValue>,
    ) -> bool {
        let Some(joined) = self.keys.get_mut(key).filter(|_| !self.is_hidden) else { return true };
        let fits = joined.pulses.set(now, name, value);
        self.send_pulses(now);
        fits
    }

    /// Asks who has viewed a key. What isn't answered because the connection is lost must be asked again.
    pub fn ask_last_seen(&mut self, key: &Key) {
        if let Phase::Live { dial, .. } = self.phase
            && self.keys.get(key).is_some_and(|it| it.is_sent)
        {
            self.output(Output::Send { dial, frame: ClientFrame::LastSeen { key: key.clone() } });
        }
    }

    /// The page's tab went behind others, which ends its pulses, or came back.
    pub fn hidden(&mut self, now: Time, is_hidden: bool) {
        if core::mem::replace(&mut self.is_hidden, is_hidden) != is_hidden && is_hidden {
            for joined in self.keys.values_mut() {
                joined.pulses.end_mine(now);
            }
            self.send_pulses(now);
        }
    }

    /// Leaves a key at once.
    pub fn leave(&mut self, key: &Key) {
        let Some(joined) = self.keys.remove(key) else { return };
        self.n_changes = self.n_changes.max(joined.roster.n_changes());
        self.say_goodbye(key.clone(), &joined);
        if self.keys.is_empty() {
            self.end(StopReason::Left);
        }
    }

    /// The page is being closed or put into the back-forward cache: everybody is told at once.
    pub fn page_hide(&mut self) {
        self.is_put_away = true;
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        match self.phase {
            Phase::Live { dial, .. } => {
                for key in keys {
                    self.output(Output::Send { dial, frame: ClientFrame::Leave { key } });
                }
            }
            _ => self.send_beacon(keys),
        }
        self.close_socket(CloseCode::Done);
        self.park();
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.phase = Phase::Idle;
        }
        self.tell_state();
    }

    /// The page came back from the back-forward cache: it joins again, as a new session.
    pub fn page_show(&mut self, now: Time) {
        if core::mem::take(&mut self.is_put_away)
            && matches!(self.phase, Phase::Idle)
            && !self.keys.is_empty()
        {
            self.begin(now);
        }
        self.tell_state();
    }

    /// The network or the page's attention is back: don't wait for a timer.
    pub fn wake(&mut self, now: Time) {
        self.handle_timeout(now);
        match self.phase {
            Phase::Waiting { .. } => self.begin(now),
            Phase::Live { last_heard, answer: Answer::None, .. }
                if now.millis_since(last_heard) >= Millis(1000) =>
            {
                self.beat(now);
            }
            _ => {}
        }
        self.tell_state();
    }

    /// A socket is open.
    pub fn socket_open(&mut self, now: Time, dial: Dial) {
        let Phase::Dialing { dial: current, .. } = self.phase else { return };
        let Some(token) = &self.token else { return };
        if current != dial {
            return;
        }
        let (token, resume) = (token.text.clone(), self.resume.clone());
        self.phase = Phase::Greeting { dial, give_up: now + limits::ANSWER_TIMEOUT };
        self.output(Output::Send { dial, frame: ClientFrame::Hello { token, resume, dial } });
    }

    /// A frame came in.
    pub fn socket_frame(&mut self, now: Time, dial: Dial, frame: ServerFrame<M, U>) {
        match &mut self.phase {
            Phase::Greeting { dial: current, .. } if *current == dial => {
                if let ServerFrame::Welcome(welcome) = frame {
                    self.welcome(now, dial, welcome);
                }
            }
            Phase::Live { dial: current, last_heard, answer, .. } if *current == dial => {
                *last_heard = now;
                *answer = Answer::None;
                self.receive(now, dial, frame);
            }
            _ => {}
        }
        self.tell_state();
    }

    /// Something came in that isn't a frame: nothing that follows can be trusted.
    pub fn socket_garbage(&mut self, now: Time, dial: Dial) {
        if self.current_dial() == Some(dial) {
            self.drop_socket(now, now);
        }
        self.tell_state();
    }

    /// A socket was closed, or could not be opened.
    pub fn socket_closed(&mut self, now: Time, dial: Dial, code: u16) {
        if self.current_dial() != Some(dial) {
            return;
        }
        match CloseCode::from_code(code) {
            Some(it) if it.reaction() == Reaction::Stop => {
                self.phase = Phase::Idle;
                self.end(StopReason::Refused(it));
            }
            Some(it) if it.reaction() == Reaction::FetchToken => {
                let is_first = self.attempts <= 1;
                self.token = None;
                self.lose(now, now);
                if is_first {
                    // The next token will be better: a hidden tab needs no timer here.
                    self.begin(now);
                }
            }
            Some(it) if it.reaction() == Reaction::BackOff => {
                self.lose_for(now, Millis::of(BUSY_WAIT), BUSY_WAIT);
            }
            _ => match Wait::from_code(code) {
                Some(wait) => self.lose_for(now, Millis::of(wait.duration()), RESTART_JITTER),
                None => self.lose(now, now),
            },
        }
        self.tell_state();
    }

    /// The page's token function has answered, or failed.
    pub fn token(&mut self, now: Time, fetch: u32, result: Result<String, ()>) {
        match (self.phase, result) {
            (Phase::Fetching { fetch: current, .. }, _) if current != fetch => return,
            (Phase::Fetching { .. }, Ok(text)) => {
                self.token = Some(Token { text, good_until: None });
                self.dial(now);
            }
            (Phase::Fetching { .. }, Err(())) => self.wait(now),
            (
                Phase::Live { dial, renewal: Renewal::Fetching { fetch: current, .. }, .. },
                result,
            ) if current == fetch => {
                let Ok(token) = result else { return self.renew_later(now) };
                self.next_token = Some(token.clone());
                self.set_renewal(Renewal::Sent);
                self.output(Output::Send { dial, frame: ClientFrame::Token { token } });
            }
            _ => return,
        }
        self.tell_state();
    }

    /// The page's token function has another token from now on: somebody has logged in, or may do more.
    pub fn renew_token(&mut self, now: Time) {
        self.is_outdated = true;
        if let Phase::Live { renewal, .. } = self.phase {
            if let Renewal::Never = renewal {
                self.drop_socket(now, now);
                self.begin(now);
            } else {
                self.set_renewal(Renewal::At(now));
            }
        }
        self.handle_timeout(now);
    }

    /// Runs what has become due.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.phase {
            Phase::Fetching { give_up, .. } if give_up <= now => self.wait(now),
            Phase::Dialing { give_up, .. } | Phase::Greeting { give_up, .. } if give_up <= now => {
                self.drop_socket(now, now);
                if self.is_held(now) {
                    // Waiting for it took longer than any wait between dials may take.
                    self.begin(now);
                }
            }
            Phase::Waiting { retry_at } if retry_at <= now => self.begin(now),
            Phase::Live { last_heard, next_beat, answer, .. } => match answer {
                Answer::By(at) if at + LATE < now => {
                    self.expect(Answer::AtLast(now + Duration::from_secs(1)));
                    self.beat(now);
                }
                Answer::By(at) | Answer::AtLast(at) if at <= now => {
                    self.drop_socket(now, last_heard + self.heartbeat);
                    // Nobody else noticed at this moment, so there is no crowd to be spread; and a
                    // hidden tab would wait a minute for another timer.
                    self.begin(now);
                }
                _ if next_beat <= now => self.beat(now),
                _ => {}
            },
            _ => {}
        }
        if let Phase::Live { renewal, .. } = self.phase {
            match renewal {
                Renewal::At(at) if at <= now => {
                    let fetch = self.fetch_token();
                    self.set_renewal(Renewal::Fetching { fetch, give_up: now + TOKEN_TIMEOUT });
                }
                Renewal::Fetching { give_up, .. } if give_up <= now => self.renew_later(now),
                _ => {}
            }
        }
        self.send_updates(now);
        self.send_pulses(now);
        self.retry_full_keys(now);
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        for key in keys {
            let Some(joined) = self.keys.get_mut(&key) else { continue };
            let stale_at = joined.stale_at(self.grace).filter(|it| *it <= now);
            let became_stale = stale_at.is_some() && joined.roster.set_stale(true);
            // Who is held may have come back while this page was away itself.
            let differences = match joined.away {
                Away::No => joined.roster.handle_timeout(now),
                Away::Since(_) | Away::Parked => Vec::new(),
            };
            self.prune_pulses(now, &key);
            self.tell(&key, differences, Telling::Loud, became_stale);
        }
        self.tell_state();
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Idle | Phase::Stopped(_) => None,
            Phase::Fetching { give_up, .. }
            | Phase::Dialing { give_up, .. }
            | Phase::Greeting { give_up, .. } => Some(give_up),
            Phase::Waiting { retry_at } => Some(retry_at),
            Phase::Live { next_beat, answer, renewal, .. } => {
                let first = answer.due().map_or(next_beat, |at| at.min(next_beat));
                Some(renewal.due().map_or(first, |at| at.min(first)))
            }
        };
        let mut first = phase;
        let mut take = |deadline: Option<Time>| {
            if let Some(at) = deadline {
                first = Some(first.map_or(at, |it| it.min(at)));
            }
        };
        let is_live = self.current_live().is_some();
        for joined in self.keys.values() {
            if is_live && let Some(apart) = joined.pulses_apart(self.keys.len()) {
                take(joined.pulses.next_mine(apart));
            }
            take(joined.pulses.next_deadline());
            take(joined.is_dirty.then(|| joined.sent_at + self.update_interval()));
            take(joined.stale_at(self.grace).filter(|_| !joined.roster.is_stale()));
            take(joined.roster.next_deadline().filter(|_| joined.away == Away::No));
            take(joined.retry_at);
        }
        first
    }

    /// The next thing to do. Call until `None`.
    pub fn poll_output(&mut self) -> Option<Output<M, U>> {
        self.outputs.pop()
    }

    /// How the connection is.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Live { .. } => State::Live,
            Phase::Stopped(reason) => State::Stopped(reason),
            _ if self.lost.is_some() => State::Reconnecting,
            _ => State::Connecting,
        }
    }

    /// The members of a key that was joined.
    #[must_use]
    pub fn roster(&self, key: &Key) -> Option<&Roster<M, U>> {
        self.keys.get(key).map(|it| &it.roster)
    }

    /// This page's session, once the relay has named it.
    #[must_use]
    pub const fn id(&self) -> Option<SessionId> {
        self.session
    }

    /// When the relay's epoch began, in milliseconds on the page's clock; `since` counts from here.
    #[must_use]
    pub fn epoch_began(&self) -> Option<i64> {
        self.epoch.map(|it| it.began)
    }

    fn welcome(&mut self, now: Time, dial: Dial, welcome: Welcome) {
        self.session = Some(welcome.session);
        self.resume = Some(welcome.resume);
        self.heartbeat = Millis(welcome.heartbeat_ms.max(1));
        self.grace = Millis(welcome.grace_ms);
        let expires_in = Millis(welcome.expires_in_ms);
        if let Some(token) = &mut self.token {
            token.good_until = Some(now + expires_in - TOKEN_MARGIN);
        }
        self.next_token = None;
        self.failed_renewals = 0;
        let renewal = self.renewal(now, expires_in);
        let age = i64::try_from(welcome.epoch.age_ms).unwrap_or(i64::MAX);
        let began = now.as_millis().cast_signed().saturating_sub(age);
        // Within an epoch the first reckoning stays, so that ages don't wobble with the network.
        if self.epoch.is_none_or(|it| it.id != welcome.epoch.id) {
            self.epoch = Some(CurrentEpoch { id: welcome.epoch.id, began });
        }
        self.lost = None;
        self.set_user(welcome.user_id);
        self.phase = Phase::Live {
            dial,
            last_heard: now,
            next_beat: now + self.heartbeat,
            answer: Answer::None,
            renewal,
        };
        self.send_joins(now, dial);
    }

    /// Whose token the relay has taken. Where this page has a presence that tells whose it is, and the former
    /// person goes with it.
    fn set_user(&mut self, user: Option<UserId>) {
        if self.user == user {
            return;
        }
        self.user = user;
        for (key, joined) in self.keys.iter_mut() {
            if joined.mode != Mode::Join {
                // Nobody comes or goes with it.
                joined.roster.set_observer(true, self.user.as_ref());
                if joined.roster.is_ready() {
                    put(&mut self.outputs, Output::Event(Event::Changed { key: key.clone() }));
                }
            }
        }
    }

    /// When to fetch the token that follows one that expires in so long. A page is not the only one whose
    /// token was made at that moment.
    fn renewal(&mut self, now: Time, expires_in: Millis) -> Renewal {
        if self.is_outdated {
            return Renewal::At(now);
        }
        let before = millis(RENEW_BEFORE).min(expires_in.0 / 3);
        let wait = expires_in - Millis(before) - self.jitter(before / 4);
        Renewal::At(now + wait.max(Millis::of(RENEW_WAIT)))
    }

    /// There is no next token, or it is none: another is fetched, ever more slowly.
    fn renew_later(&mut self, now: Time) {
        let wait = backoff(RENEW_WAIT, self.failed_renewals, MAX_WAIT);
        self.failed_renewals = self.failed_renewals.saturating_add(1);
        let wait = wait + self.jitter(wait.0 / 2);
        self.set_renewal(Renewal::At(now + wait));
    }

    /// The relay has taken the next token.
    fn renewed(&mut self, now: Time, resume: String, expires_in: Millis) {
        self.resume = Some(resume);
        let Some(text) = self.next_token.take() else { return };
        let good_until = now + expires_in - TOKEN_MARGIN;
        let former = self.token.take().and_then(|it| it.good_until);
        // A function that always gives the same token needn't be asked without end.
        let is_better = former.is_none_or(|it| it + RENEW_WAIT < good_until);
        self.token = Some(Token { text, good_until: Some(good_until) });
        if is_better {
            self.failed_renewals = 0;
            let renewal = self.renewal(now, expires_in);
            self.set_renewal(renewal);
        } else {
            self.renew_later(now);
        }
    }

    const fn set_renewal(&mut self, next: Renewal) {
        if let Phase::Live { renewal, .. } = &mut self.phase {
            *renewal = next;
        }
    }

    fn receive(&mut self, now: Time, dial: Dial, frame: ServerFrame<M, U>) {
        match frame {
            ServerFrame::Welcome(_) => {}
            ServerFrame::Snapshot(snapshot) => {
                let (epoch, grace) = (self.epoch, self.grace);
                let Some(joined) = self.keys.get_mut(&snapshot.key) else { return };
                let key = snapshot.key.clone();
                let is_first = !joined.roster.is_ready();
                let (telling, missing) = joined.reconcile(now, epoch, grace);
                if let (Some(before), Some(after)) = (joined.epoch, epoch)
                    && before.id != after.id
                {
                    joined.roster.rebase(after.began.saturating_sub(before.began));
                }
                joined.epoch = epoch;
                joined.away = Away::No;
                joined.asked_at = None;
                let differences = joined.roster.snapshot(snapshot, missing);
                if is_first {
                    self.output(Output::Event(Event::Ready { key: key.clone() }));
                }
                self.prune_pulses(now, &key);
                self.tell(&key, differences, telling, true);
                self.send_pulses(now);
            }
            ServerFrame::Delta(delta) => {
                let Some(joined) = self.keys.get_mut(&delta.key) else { return };
                if joined.roster.rev().is_none() {
                    return;
                }
                let key = delta.key.clone();
                let mut delta = delta;
                let pulses = core::mem::take(&mut delta.pulses);
                match joined.roster.delta(delta) {
                    Ok(differences) => {
                        self.prune_pulses(now, &key);
                        self.tell(&key, differences, Telling::Loud, false);
                        self.hear_pulses(now, &key, pulses);
                        self.send_pulses(now);
                    }
                    Err(_gap) => self.resync(now, dial, key),
                }
            }
            ServerFrame::Heartbeat { revs } => {
                self.attempts = 0;
                for (key, rev) in revs {
                    if self.has_drifted(now, &key, rev) {
                        self.resync(now, dial, key);
                    }
                }
            }
            // The shell hands it to whoever has asked.
            ServerFrame::LastSeen { .. } => {}
            ServerFrame::Token { resume, expires_in_ms, user_id } => {
                self.set_user(user_id);
                self.renewed(now, resume, Millis(expires_in_ms));
            }
            ServerFrame::Error { code, message, key } => self.complaint(now, code, message, key),
        }
    }

    fn complaint(&mut self, now: Time, code: ErrorCode, message: String, key: Option<Key>) {
        // What is about no key and comes now is about the token.
        if key.is_none()
            && let Phase::Live { renewal: Renewal::Sent, .. } = self.phase
        {
            match code {
                ErrorCode::TokenExpired => return self.renew_later(now),
                // The relay is older than this frame.
                ErrorCode::BadFrame => return self.set_renewal(Renewal::Never),
                ErrorCode::TokenDenied => self.set_renewal(Renewal::Never),
                _ => {}
            }
        }
        let known = key.as_ref().and_then(|it| self.keys.get_mut(it));
        match (code, known, key) {
            (
                ErrorCode::KeyDenied | ErrorCode::TooManyKeys | ErrorCode::Kicked,
                Some(joined),
                Some(key),
            ) => {
                self.n_changes = self.n_changes.max(joined.roster.n_changes());
                self.keys.remove(&key);
                self.output(Output::Event(Event::Refused { key, code, message }));
                if self.keys.is_empty() {
                    self.end(StopReason::KeyRefused(code));
                }
            }
            (ErrorCode::KeyFull, Some(joined), key) => {
                joined.is_sent = false;
                joined.retry_at = Some(now + FULL_RETRY);
                self.output(Output::Event(Event::Complaint { key, code, message }));
            }
            (ErrorCode::NotAllowed, Some(joined), key) => {
                joined.is_mute = true;
                self.output(Output::Event(Event::Complaint { key, code, message }));
            }
            (_, _, key) => self.output(Output::Event(Event::Complaint { key, code, message })),
        }
    }

    /// True if the relay has written another rev to this socket than the one that arrived.
    fn has_drifted(&self, now: Time, key: &Key, rev: Rev) -> bool {
        let Some(joined) = self.keys.get(key) else { return false };
        let lately = Millis::of(limits::ANSWER_TIMEOUT);
        let asked_lately = joined.asked_at.is_some_and(|at| now.millis_since(at) < lately);
        joined.is_sent && joined.roster.rev() != Some(rev) && !asked_lately
    }

    fn resync(&mut self, now: Time, dial: Dial, key: Key) {
        if let Some(joined) = self.keys.get_mut(&key) {
            joined.asked_at = Some(now);
            joined.roster.await_snapshot();
            self.output(Output::Send { dial, frame: ClientFrame::Resync { key } });
        }
    }

    /// Sends `join` for every key that this socket hasn't joined yet.
    fn send_joins(&mut self, now: Time, dial: Dial) {
        for (key, joined) in self.keys.iter_mut() {
            if joined.is_sent || joined.retry_at.is_some() {
                continue;
            }
            let age = joined.age(now, self.grace);
            if let Some(session) = self.session {
                joined.roster.set_my_session(session);
            }
            joined.is_sent = true;
            joined.is_dirty = false;
            joined.sent_at = now;
            let (key, token) = (key.clone(), None);
            let frame = if joined.mode == Mode::Join {
                let (meta, away) = (joined.meta.clone(), self.is_away.then_some(true));
                ClientFrame::Join { key, token, meta, age, away }
            } else {
                let invisible = joined.mode == Mode::Invisible;
                ClientFrame::Observe { key, token, invisible }
            };
            put(&mut self.outputs, Output::Send { dial, frame });
        }
    }

    fn send_updates(&mut self, now: Time) {
        let Phase::Live { dial, .. } = self.phase else { return };
        let interval = self.update_interval();
        for (key, joined) in self.keys.iter_mut() {
            if joined.is_dirty && joined.sent_at + interval <= now {
                joined.is_dirty = false;
                joined.sent_at = now;
                let frame = ClientFrame::Update { key: key.clone(), meta: joined.meta.clone() };
                put(&mut self.outputs, Output::Send { dial, frame });
            }
        }
    }

    fn send_pulses(&mut self, now: Time) {
        let Phase::Live { dial, .. } = self.phase else { return };
        let n_keys = self.keys.len();
        for (key, joined) in self.keys.iter_mut() {
            if !joined.is_sent {
                continue;
            }
            let Some(apart) = joined.pulses_apart(n_keys) else {
                joined.pulses.detach();
                continue;
            };
            if let Some((name, value)) = joined.pulses.poll_mine(now, apart) {
                let frame = ClientFrame::Pulse { key: key.clone(), name, value };
                put(&mut self.outputs, Output::Send { dial, frame });
            }
        }
    }

    /// Takes what others say. What this page says itself comes back, because all viewers get the same bytes.
    fn hear_pulses(&mut self, now: Time, key: &Key, pulses: Vec<Pulse>) {
        for pulse in pulses {
            let Some(joined) = self.keys.get_mut(key) else { return };
            let Pulse { session, name, value } = &pulse;
            if self.session != Some(*session)
                && joined.roster.member_of(*session).is_some()
                && joined.pulses.hear(now, *session, name, value.is_none())
            {
                self.output(Output::Event(Event::Pulse { key: key.clone(), pulse }));
            }
        }
    }

    fn prune_pulses(&mut self, now: Time, key: &Key) {
        let Some(Joined { pulses, roster, .. }) = self.keys.get_mut(key) else { return };
        while let Some((session, name)) =
            pulses.poll_ended(now, |it| roster.member_of(it).is_some())
        {
            let pulse = Pulse { session, name, value: None };
            put(&mut self.outputs, Output::Event(Event::Pulse { key: key.clone(), pulse }));
        }
    }

    fn update_interval(&self) -> Millis {
        let crowd = self.keys.len().div_ceil(4) as u64;
        Millis(millis(UPDATE_INTERVAL) * crowd.max(1))
    }

    fn retry_full_keys(&mut self, now: Time) {
        for joined in self.keys.values_mut() {
            joined.retry_at = joined.retry_at.filter(|it| *it > now);
        }
        if let Phase::Live { dial, .. } = self.phase {
            self.send_joins(now, dial);
        }
    }

    /// Says goodbye for one key, over the socket if it is joined there.
    fn say_goodbye(&mut self, key: Key, joined: &Joined<M, U>) {
        match self.phase {
            Phase::Live { dial, .. } if joined.is_sent => {
                self.output(Output::Send { dial, frame: ClientFrame::Leave { key } });
            }
            _ if self.lost.is_some() => self.send_beacon(vec![key]),
            _ => {}
        }
    }

    fn send_beacon(&mut self, keys: Vec<Key>) {
        if let Some(resume) = self.resume.clone()
            && !keys.is_empty()
        {
            let dial = self.dials;
            self.output(Output::Beacon { resume, dial, keys });
        }
    }

    /// Stops for good.
    fn end(&mut self, reason: StopReason) {
        self.close_socket(CloseCode::Done);
        self.park();
        self.phase = Phase::Stopped(reason);
        self.tell_state();
    }

    /// Nobody knows of this session any more.
    fn park(&mut self) {
        self.resume = None;
        self.lost = None;
        self.attempts = 0;
        for joined in self.keys.values_mut() {
            joined.pulses.end_mine(Time::default());
            joined.detach();
            joined.away = Away::Parked;
        }
    }

    /// Gets a token if there is no good one, then dials.
    fn begin(&mut self, now: Time) {
        self.attempts = self.attempts.saturating_add(1);
        // A token that no relay has honoured yet was either never used or just refused.
        let good_until = self.token.as_ref().and_then(|it| it.good_until);
        if good_until.is_some_and(|until| now < until) && !self.is_outdated {
            return self.dial(now);
        }
        self.token = None;
        let fetch = self.fetch_token();
        self.phase = Phase::Fetching { fetch, give_up: now + TOKEN_TIMEOUT };
    }

    fn fetch_token(&mut self) -> u32 {
        self.is_outdated = false;
        self.fetches = self.fetches.wrapping_add(1);
        self.output(Output::FetchToken { fetch: self.fetches });
        self.fetches
    }

    fn dial(&mut self, now: Time) {
        let dial = Dial(self.dials.0.saturating_add(1));
        self.dials = dial;
        self.phase = Phase::Dialing { dial, give_up: now + DIAL_TIMEOUT };
        self.output(Output::Dial { dial });
    }

    /// Gives a socket up by oneself.
    fn drop_socket(&mut self, now: Time, lost_at: Time) {
        self.close_socket(CloseCode::Redial);
        self.lose(now, lost_at.min(now));
    }

    fn close_socket(&mut self, code: CloseCode) {
        if let Some(dial) = self.current_dial() {
            self.output(Output::Close { dial, code });
        }
    }

    /// The socket is gone, but nobody has left.
    fn lose(&mut self, now: Time, lost_at: Time) {
        let was_live = matches!(self.phase, Phase::Live { .. });
        if was_live {
            self.lost = Some(lost_at);
        }
        for joined in self.keys.values_mut() {
            joined.detach();
            if joined.roster.is_ready() && joined.away == Away::No {
                joined.away = Away::Since(lost_at);
            }
        }
        if was_live && self.attempts <= 1 {
            let wait = self.jitter(millis(FIRST_WAIT));
            self.phase = Phase::Waiting { retry_at: now + wait };
        } else {
            self.wait(now);
        }
    }

    /// The socket is gone, and the relay has said how long to stay away.
    fn lose_for(&mut self, now: Time, wait: Millis, jitter: Duration) {
        self.lose(now, now);
        let jitter = self.jitter(millis(jitter));
        self.phase = Phase::Waiting { retry_at: now + wait + jitter };
    }

    /// Waits before the next attempt, longer each time, with jitter.
    fn wait(&mut self, now: Time) {
        let most = if self.is_held(now) { MAX_WAIT_IN_GRACE } else { MAX_WAIT };
        let half = backoff(BASE_WAIT, self.attempts, most).0 / 2;
        let wait = Millis(half) + self.jitter(half);
        self.phase = Phase::Waiting { retry_at: now + wait };
    }

    /// True while the relay still holds this session for us.
    fn is_held(&self, now: Time) -> bool {
        self.lost.is_some_and(|at| now.millis_since(at) < self.grace)
    }

    fn jitter(&mut self, most: u64) -> Millis {
        Millis(self.random.below(most.saturating_add(1)))
    }

    fn beat(&mut self, now: Time) {
        let heartbeat = self.heartbeat;
        if let Phase::Live { dial, next_beat, answer, .. } = &mut self.phase {
            let dial = *dial;
            *next_beat = now + heartbeat;
            if *answer == Answer::None {
                *answer = Answer::By(now + limits::ANSWER_TIMEOUT);
            }
            self.output(Output::Send { dial, frame: ClientFrame::Heartbeat });
        }
    }

    const fn expect(&mut self, expected: Answer) {
        if let Phase::Live { answer, .. } = &mut self.phase {
            *answer = expected;
        }
    }

    const fn current_live(&self) -> Option<Dial> {
        match self.phase {
            Phase::Live { dial, .. } => Some(dial),
            _ => None,
        }
    }

    const fn current_dial(&self) -> Option<Dial> {
        match self.phase {
            Phase::Dialing { dial, .. }
            | Phase::Greeting { dial, .. }
            | Phase::Live { dial, .. } => Some(dial),
            Phase::Idle | Phase::Fetching { .. } | Phase::Waiting { .. } | Phase::Stopped(_) => {
                None
            }
        }
    }

    /// Tells the page what became of a key's members.
    fn tell(
        &mut self,
        key: &Key,
        differences: Vec<Difference<M, U>>,
        telling: Telling,
        is_changed: bool,
    ) {
        if differences.is_empty() && !is_changed {
            return;
        }
        let is_quiet = telling == Telling::Quiet;
        for difference in differences {
            let key = key.clone();
            let event = match difference {
                Difference::Joined { member, .. } | Difference::Left { member, .. }
                    if member.is_me =>
                {
                    continue;
                }
                Difference::Joined { member, is_return } => {
                    Event::Joined { key, member, quiet: is_quiet || is_return }
                }
                Difference::Left { member, reason } => {
                    Event::Left { key, member, reason, quiet: is_quiet }
                }
                Difference::Updated { before, member } => Event::Updated { key, before, member },
            };
            if telling != Telling::Silent {
                self.output(Output::Event(event));
            }
        }
        self.output(Output::Event(Event::Changed { key: key.clone() }));
    }

    fn tell_state(&mut self) {
        let state = self.state();
        if self.shown != state {
            self.shown = state;
            self.output(Output::Event(Event::State(state)));
        }
    }

    fn output(&mut self, output: Output<M, U>) {
        put(&mut self.outputs, output);
    }
}

/// A wait that is doubled with every attempt, up to the longest.
fn backoff(first: Duration, n_attempts: u32, most: Duration) -> Millis {
    Millis(millis(first) << n_attempts.min(10)).min(Millis::of(most))
}

/// Apart from the session, so that its keys can be looked at meanwhile.
fn put<M, U>(outputs: &mut Queue<Output<M, U>>, output: Output<M, U>) {
    outputs.push(output);
}

impl<M: Clone + PartialEq, U: Person> Joined<M, U> {
    /// How far its pulses lie apart, in milliseconds; `None` if there is nobody to get them.
    fn pulses_apart(&self, n_keys: usize) -> Option<u64> {
        let n_sessions = self.roster.n_sessions();
        let is_heard = self.is_sent && self.roster.is_ready() && n_sessions > 1;
        let may_speak = self.mode == Mode::Join && !self.is_mute;
        (is_heard && may_speak).then(|| pulses::apart(n_keys, n_sessions))
    }

    /// Forgets what was under way on a socket that is gone.
    fn detach(&mut self) {
        self.pulses.detach();
        self.is_mute = false;
        self.is_sent = false;
        self.is_dirty = false;
        self.asked_at = None;
        self.retry_at = None;
        self.roster.await_snapshot();
    }

    /// How to take the snapshot that has come.
    fn reconcile(
        &self,
        now: Time,
        epoch: Option<CurrentEpoch>,
        grace: Millis,
    ) -> (Telling, Missing) {
        let is_same_epoch = self.epoch.map(|it| it.id) == epoch.map(|it| it.id);
        match self.away {
            _ if !self.roster.is_ready() => (Telling::Silent, Missing::Gone),
            Away::No => (Telling::Loud, Missing::Gone),
            Away::Parked => (Telling::Silent, Missing::GoneAndHeld),
            Away::Since(at) if now.millis_since(at) > grace => {
                (Telling::Silent, Missing::GoneAndHeld)
            }
            Away::Since(_) if is_same_epoch => (Telling::Quiet, Missing::Gone),
            // The others were lost at the latest when the relay began anew.
            Away::Since(at) => {
                let began = epoch.map_or(0, |it| u64::try_from(it.began).unwrap_or(0));
                let lost = at.max(Time::from_millis(began));
                (Telling::Quiet, Missing::HeldUntil(lost + grace))
            }
        }
    }

    /// For how long this presence has existed, if a relay that was restarted needs to be told.
    fn age(&self, now: Time, grace: Millis) -> Option<u64> {
        let Away::Since(at) = self.away else { return None };
        if now.millis_since(at) > grace {
            return None;
        }
        let began = self.epoch?.began.saturating_add(self.roster.my_presence()?.since);
        u64::try_from(now.as_millis().cast_signed().saturating_sub(began)).ok()
    }

    fn stale_at(&self, grace: Millis) -> Option<Time> {
        match self.away {
            Away::Since(at) => Some(at + grace),
            Away::No | Away::Parked => None,
        }
    }
}

#[cfg(test)]
mod tests;
