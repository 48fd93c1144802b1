//! Names of things on the wire, each parsed once.

use crate::limits::{MAX_KEY_BYTES, MAX_USER_ID_BYTES};
use core::fmt;
use std::sync::Arc;

/// The name of a resource that people look at, for example `document:42`.
///
/// 1 to 128 bytes of ASCII letters, digits and `:_-./@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Parses a key; `None` if it is empty, too long or has another character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_-./@".contains(&byte);
        let fits = (1..=MAX_KEY_BYTES).contains(&text.len());
        (fits && text.bytes().all(allowed)).then(|| Self(text.into()))
    }

    /// A key that something else has parsed: in a browser, JavaScript does it in a tenth of the size.
    #[must_use]
    pub fn parsed(text: &str) -> Self {
        Self(text.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who the token says a person is: 1 to 128 bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Parses a user id; `None` if it is empty, too long or has a control character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_USER_ID_BYTES).contains(&text.len());
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.into()))
    }

    /// An id that something else has parsed: in a browser, JavaScript does it in a tenth of the size.
    #[must_use]
    pub fn parsed(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares an id of 64 random bits that travels as 16 hexadecimal digits.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Wraps 64 random bits.
            #[must_use]
            pub const fn new(bits: u64) -> Self {
                Self(bits)
            }

            /// The bits.
            #[must_use]
            pub const fn bits(self) -> u64 {
                self.0
            }

            /// Parses exactly 16 lower-case hexadecimal digits.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                if text.len() != 16 || !text.bytes().all(digit) {
                    return None;
                }
                u64::from_str_radix(text, 16).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
    };
}

hex_id! {
    /// One page load. Chosen by the relay, 64 random bits.
    SessionId
}

hex_id! {
    /// One life of a relay's state. A relay that restarts begins a new epoch.
    Epoch
}

/// A key's roster version inside an epoch. Grows with every change; fits a JavaScript number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev(pub u64);

/// Which of its page's dials a socket belongs to: 1 for the first, then counted up.
///
/// The page alone knows which of its sockets is the newest, so the newest dial of a session wins at
/// every relay and its predecessors are fenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dial(pub u32);
