//! What a verified token allows.

use core::time::Duration;
use presence_protocol::limits::MAX_KEY_BYTES;
use presence_protocol::{Dial, Key, SessionId, User, UserId};
use std::sync::Arc;

use crate::Time;

/// Who a connection is and where it may go, as its verified token says.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The person.
    pub user: Arc<User>,
    /// The keys that may be joined.
    pub keys: Vec<KeyPattern>,
    /// How long the token is still good.
    pub expires_in: Duration,
    /// False if nothing may be kept of when this person viewed something.
    pub last_seen: bool,
}

impl Grant {
    /// True if one of the patterns covers the key.
    #[must_use]
    pub fn allows(&self, key: &Key) -> bool {
        self.keys.iter().any(|it| it.matches(key))
    }
}

/// Why a token was not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is malformed, signed by somebody else, or not meant for this relay.
    Denied,
    /// It was good once.
    Expired,
}

/// The keys that one entry of a token's list covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPattern {
    /// Just this key: `document:42`.
    Exact(Key),
    /// Every key that begins so: `project:7:*`, or `*` for all.
    Prefix(Box<str>),
}

impl KeyPattern {
    /// Parses an exact key, or a prefix that ends in `*`. A `*` anywhere else is no pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some("") => Some(Self::Prefix("".into())),
            Some(prefix) if prefix.len() <= MAX_KEY_BYTES => {
                Key::parse(prefix).map(|it| Self::Prefix(it.as_str().into()))
            }
            Some(_) => None,
            None => Key::parse(text).map(Self::Exact),
        }
    }

    /// True if the key is covered.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        match self {
            Self::Exact(exact) => exact == key,
            Self::Prefix(prefix) => key.as_str().starts_with(&**prefix),
        }
    }
}

/// What a resume token says. The shell signs it with the relay's own secret and checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeClaims {
    /// The session.
    pub session: SessionId,
    /// Whose it is; a resume for somebody else is a new session.
    pub user: UserId,
    /// The dial that this was given to.
    pub dial: Dial,
    /// When the session began.
    pub since: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_say_and_nothing_else() {
        let covers = |pattern: &str, key: &str| {
            KeyPattern::parse(pattern).unwrap().matches(&Key::parse(key).unwrap())
        };
        assert!(covers("document:42", "document:42"));
        assert!(!covers("document:42", "document:421"));
        assert!(!covers("document:42", "document:4"));
        assert!(covers("project:7:*", "project:7:a"));
        assert!(!covers("project:7:*", "project:70"));
        assert!(covers("*", "anything"));
        for bad in ["", "a*b", "**", "*a", "a b", "ü"] {
            assert_eq!(KeyPattern::parse(bad), None, "{bad}");
        }
    }
}
