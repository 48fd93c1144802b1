//! Close codes and error codes: one table each.

use core::time::Duration;

/// What a closed socket's code asks of the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Dial again, with backoff.
    Retry,
    /// Fetch a new token, then dial again.
    FetchToken,
    /// Dial again, but not soon.
    BackOff,
    /// Dial again when the time has passed that the code says.
    Wait,
    /// Don't come back: it would be refused again.
    Stop,
}

/// Declares the table of close codes.
macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $reaction:ident;)*) => {
        /// Why a socket is closed, by the relay unless the row says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseCode { $($(#[$doc])* $name,)* }

        impl CloseCode {
            /// Every row of the table, in order of the codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The name, which is also the close frame's reason.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it asks of the SDK.
            #[must_use]
            pub const fn reaction(self) -> Reaction {
                match self { $(Self::$name => Reaction::$reaction,)* }
            }

            /// The row of a number; `None` for a code that isn't in the table (treated as a loss).
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

close_codes! {
    /// The SDK is done: it has sent `leave` for its keys.
    Done = 1000, "done", Retry;
    /// The browser closed the page's tab; the relay takes it for a leave. From the relay: it is
    /// stopping.
    GoingAway = 1001, "going_away", Retry;
    /// The SDK drops this socket to dial again. A loss, never a leave.
    Redial = 4000, "redial", Retry;
    /// The first frame wasn't a well-formed `hello`, or a message wasn't text.
    BadFrame = 4400, "bad_frame", Stop;
    /// The token is malformed, signed by somebody else, or not meant for this relay.
    Denied = 4401, "denied", Stop;
    /// The page's origin isn't allowed here.
    OriginDenied = 4403, "origin_denied", Stop;
    /// No `hello` in time, or nothing heard for longer than the grace.
    Timeout = 4408, "timeout", Retry;
    /// A newer dial of the same session has taken over.
    Replaced = 4409, "replaced", Retry;
    /// The application has put this user out. The page stays away; the relay says the same to any other of
    /// theirs for as long as it was told to.
    Kicked = 4410, "kicked", Stop;
    /// A message was larger than a frame may be.
    TooLarge = 4413, "too_large", Stop;
    /// A token of the connection has expired.
    Expired = 4419, "expired", FetchToken;
    /// The relay has no room for another connection, or this one abused it.
    Busy = 4429, "busy", BackOff;
    /// The relay is restarted. A [`Wait`] is added to the code, lest all pages come back at once.
    Restarting = 4500, "restarting", Wait;
}

/// How long a page waits before it dials a relay that is restarted, in tenths of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait(u8);

impl Wait {
    /// The longest.
    pub const MAX: Self = Self(99);

    /// About so long, at most [`Wait::MAX`].
    #[must_use]
    pub fn about(duration: Duration) -> Self {
        u8::try_from(duration.as_millis() / 100).map_or(Self::MAX, |it| Self(it.min(Self::MAX.0)))
    }

    /// What a code says; `None` if it isn't one of a relay that is restarted.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        let tenths = code.checked_sub(CloseCode::Restarting.code())?;
        u8::try_from(tenths).ok().filter(|it| *it <= Self::MAX.0).map(Self)
    }

    /// How long it is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 100)
    }
}

/// How a relay closes a socket: a row of the table, and how long to wait if it is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    row: CloseCode,
    wait: Wait,
}

impl Close {
    /// The relay is restarted, and this page is to come back after a while.
    #[must_use]
    pub const fn restarting(wait: Wait) -> Self {
        Self { row: CloseCode::Restarting, wait }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.row.code() + self.wait.0 as u16
    }

    /// The close frame's reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row.name()
    }
}

impl From<CloseCode> for Close {
    fn from(row: CloseCode) -> Self {
        Self { row, wait: Wait::default() }
    }
}

/// Declares the table of error codes.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What an `error` frame complains about. The connection goes on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every row of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Which row it is, from 0.
            #[must_use]
            pub const fn row(self) -> u32 {
                self as u32
            }

            /// The row of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

error_codes! {
    /// The message isn't a frame of this protocol.
    BadFrame = "bad_frame";
    /// A key is empty, longer than 128 bytes, or has a character outside letters, digits and `:_-./@`.
    BadKey = "bad_key";
    /// A meta isn't an object, is larger than 4 KiB, or nested deeper than 16 levels.
    BadMeta = "bad_meta";
    /// A pulse's name isn't 1 to 16 lower-case letters, its value is larger than 512 bytes, or the presence
    /// has as many already as it may.
    BadPulse = "bad_pulse";
    /// No token of this connection allows to enter the key like this. The SDK stops that key.
    KeyDenied = "key_denied";
    /// The own token of a `join` or `observe` has expired. A client fetches another.
    KeyExpired = "key_expired";
    /// The key holds as many presences or observers as it may. The SDK tries again later.
    KeyFull = "key_full";
    /// The connection has joined or observes as many keys as it may.
    TooManyKeys = "too_many_keys";
    /// The frame is about a key that this connection neither has joined nor observes.
    NotJoined = "not_joined";
    /// The connection is in the key, but no token of it allows this there, or it only observes.
    NotAllowed = "not_allowed";
    /// The application has put this user out of the key. The SDK stops that key.
    Kicked = "kicked";
    /// What the relay keeps can't be looked up for the moment.
    Unavailable = "unavailable";
    /// The token that was to take the place of the connection's has expired. A client fetches another.
    TokenExpired = "token_expired";
    /// That token is malformed, signed by somebody else, or not meant for this relay.
    TokenDenied = "token_denied";
}
