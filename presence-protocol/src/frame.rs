//! The frames, as both halves see them. How they are written down is the codec's business.

use crate::{
    Dial, Epoch, ErrorCode, Key, Pulse, PulseName, PulseValue, Rev, SessionId, User, UserId,
};
use std::sync::Arc;

/// What a browser sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame<M> {
    /// The first frame, within 5 s of the upgrade.
    Hello {
        /// A JWT that names the user and the keys.
        token: String,
        /// The resume token of the last `welcome`, to go on with that session.
        resume: Option<String>,
        /// Which of the page's dials this is.
        dial: Dial,
    },
    /// Enters a key. Answered by a `snapshot` or an `error`.
    Join {
        /// The key.
        key: Key,
        /// A further token of the same user, if the hello's doesn't allow the key.
        token: Option<String>,
        /// The whole meta.
        meta: M,
        /// For how many milliseconds this presence has existed, when it is joined again after a
        /// loss. Honoured up to the age of the resumed session.
        age: Option<u64>,
        /// Whether nobody is looking at the page; `None` if that is as the connection has said before.
        away: Option<bool>,
    },
    /// Looks at a key without being in it. Answered by a `snapshot` or an `error`.
    Observe {
        /// The key.
        key: Key,
        /// A further token of the same user, if the hello's doesn't allow this.
        token: Option<String>,
        /// True for a person who could be in the key and doesn't want to be seen.
        invisible: bool,
    },
    /// Says in all keys of the connection whether somebody is looking at the page.
    Attention {
        /// True if nobody is.
        away: bool,
    },
    /// Replaces the meta of the own presence in a key.
    Update {
        /// The key.
        key: Key,
        /// The whole meta.
        meta: M,
    },
    /// Says something that is true for a moment only.
    Pulse {
        /// The key.
        key: Key,
        /// What it is about.
        name: PulseName,
        /// What is said; `None` ends it.
        value: Option<PulseValue>,
    },
    /// Leaves a key at once.
    Leave {
        /// The key.
        key: Key,
    },
    /// Asks for a snapshot, because a delta is missing.
    Resync {
        /// The key.
        key: Key,
    },
    /// Asks who has viewed a key, and when. Answered by a `last_seen`.
    LastSeen {
        /// The key.
        key: Key,
    },
    /// Brings a new token for the connection. Answered by a `token` or an `error`.
    Token {
        /// A JWT in the place of the hello's.
        token: String,
    },
    /// Says that the page is alive; answered by a `heartbeat`.
    Heartbeat,
}

/// What a relay sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFrame<M, U = Arc<User>> {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// A key's whole roster.
    Snapshot(Snapshot<M, U>),
    /// What changed in a key since the last frame about it.
    Delta(Delta<M, U>),
    /// The answer to `heartbeat`: the rev last written to this socket, for each of its keys.
    Heartbeat {
        /// The revs.
        revs: Vec<(Key, Rev)>,
    },
    /// The answer to `last_seen`: who has viewed a key, and how long ago, the latest first.
    LastSeen {
        /// The key.
        key: Key,
        /// At most [`MAX_LAST_SEEN`](crate::limits::MAX_LAST_SEEN).
        seen: Vec<Seen>,
    },
    /// The answer to `token`: the connection has it now.
    Token {
        /// Claims this session again after a loss, in the place of the welcome's.
        resume: String,
        /// When the token expires, from now.
        expires_in_ms: u64,
        /// Whose it is; `None` from a relay that is older than this field.
        user_id: Option<UserId>,
    },
    /// Something that was asked for can't be done; the connection goes on.
    Error {
        /// What is wrong.
        code: ErrorCode,
        /// A sentence for the developer.
        message: String,
        /// The key it is about.
        key: Option<Key>,
    },
}

/// The answer to `hello`. Durations are milliseconds: page clocks lie, so no wall time is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The session, new or resumed.
    pub session: SessionId,
    /// Claims this session again after a loss, at any relay of the same secret.
    pub resume: String,
    /// True if the session is the one that the hello's resume token named.
    pub resumed: bool,
    /// How often the SDK must beat.
    pub heartbeat_ms: u64,
    /// How long a lost session stays.
    pub grace_ms: u64,
    /// When the token expires, from now.
    pub expires_in_ms: u64,
    /// Whose token it is; `None` from a relay that is older than this field.
    pub user_id: Option<UserId>,
    /// The relay's epoch.
    pub epoch: EpochInfo,
}

/// When somebody has viewed a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub user: Arc<User>,
    /// How many milliseconds ago they last did.
    pub ago_ms: u64,
}

/// An epoch and how old it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// The epoch.
    pub id: Epoch,
    /// Milliseconds since it began.
    pub age_ms: u64,
}

/// One session in one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence<M, U = Arc<User>> {
    /// The session.
    pub session: SessionId,
    /// Whose session it is.
    pub user: U,
    /// When the presence began, in milliseconds after the epoch began; negative if before it.
    pub since: i64,
    /// How it is.
    pub state: PresenceState,
    /// What its page put in.
    pub meta: M,
}

/// How a presence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PresenceState {
    /// Its socket answers, and somebody is looking.
    Active,
    /// Its socket answers, but its tab is hidden or nobody has touched it for long.
    Away,
    /// Its socket was lost some seconds ago; it is held for the grace.
    Reconnecting,
}

impl PresenceState {
    /// All of them, the best first.
    pub const ALL: &[Self] = &[Self::Active, Self::Away, Self::Reconnecting];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Away => "away",
            Self::Reconnecting => "reconnecting",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "active" => Some(Self::Active),
            "away" => Some(Self::Away),
            "reconnecting" => Some(Self::Reconnecting),
            _ => None,
        }
    }
}

/// A key's roster at a flush point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<M, U = Arc<User>> {
    /// The key.
    pub key: Key,
    /// The roster's version.
    pub rev: Rev,
    /// Everybody, in no particular order.
    pub presences: Vec<Presence<M, U>>,
}

/// The net change of a key between two flush points. Each presence is in it at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta<M, U = Arc<User>> {
    /// The key.
    pub key: Key,
    /// The version it starts from: the last one that was sent.
    pub from: Rev,
    /// The version it leads to.
    pub to: Rev,
    /// Presences that are new; one that is known is replaced.
    pub joined: Vec<Presence<M, U>>,
    /// Presences that are gone.
    pub left: Vec<Left>,
    /// Presences that changed.
    pub updated: Vec<Updated<M>>,
    /// Pulses that were sent, again or anew, or that have ended.
    pub pulses: Vec<Pulse>,
}

/// A presence that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The session.
    pub session: SessionId,
    /// Why.
    pub reason: LeaveReason,
}

/// Why a presence is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeaveReason {
    /// Its page left or was closed.
    Left,
    /// It was lost and did not come back within the grace.
    Timeout,
    /// The application has put it out.
    Kicked,
}

impl LeaveReason {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Left, Self::Timeout, Self::Kicked];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Timeout => "timeout",
            Self::Kicked => "kicked",
        }
    }

    /// The reason of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "left" => Some(Self::Left),
            "timeout" => Some(Self::Timeout),
            "kicked" => Some(Self::Kicked),
            _ => None,
        }
    }
}

/// What changed of a presence; a field that is `None` stayed as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated<M> {
    /// The session.
    pub session: SessionId,
    /// Its new state.
    pub state: Option<PresenceState>,
    /// Its new meta.
    pub meta: Option<M>,
}
