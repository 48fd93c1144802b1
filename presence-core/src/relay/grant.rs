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
    /// The keys that this is about.
    pub keys: Vec<KeyPattern>,
    /// What may be done with them.
    pub can: Capabilities,
    /// How long the token is still good.
    pub expires_in: Duration,
    /// False if nothing may be kept of when this person viewed something.
    pub last_seen: bool,
}

impl Grant {
    /// True if one of the patterns covers the key.
    #[must_use]
    pub fn covers(&self, key: &Key) -> bool {
        self.keys.iter().any(|it| it.matches(key))
    }

    /// What may be done with a key.
    #[must_use]
    pub fn for_key(&self, key: &Key) -> Capabilities {
        if self.covers(key) { self.can } else { Capabilities::NONE }
    }
}

/// Something that a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// To be in a key, seen by the others.
    Join,
    /// To look at a key without being in it.
    Observe,
    /// To be in a key unseen.
    Invisible,
    /// To send pulses.
    Pulse,
    /// To ask the relay's HTTP API who is there.
    List,
    /// To have somebody put out.
    Kick,
    /// To be in a key without a socket, as a server says through the HTTP API.
    Agent,
}

impl Capability {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Join,
        Self::Observe,
        Self::Invisible,
        Self::Pulse,
        Self::List,
        Self::Kick,
        Self::Agent,
    ];

    /// The name in a token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Observe => "observe",
            Self::Invisible => "invisible",
            Self::Pulse => "pulse",
            Self::List => "list",
            Self::Kick => "kick",
            Self::Agent => "agent",
        }
    }

    /// The capability of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// What a token allows that doesn't say: what the page of somebody who reads along needs.
    pub const OF_A_PAGE: Self =
        Self(Capability::Join.bit() | Capability::Observe.bit() | Capability::Pulse.bit());

    /// What a token's list says. Names that aren't known allow nothing, so that a token may be meant for a
    /// newer relay as well.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().filter_map(Capability::from_name).collect()
    }

    /// True if this is among them.
    #[must_use]
    pub const fn has(self, it: Capability) -> bool {
        self.0 & it.bit() != 0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(list: I) -> Self {
        list.into_iter().fold(Self::NONE, |all, it| Self(all.0 | it.bit()))
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
    fn capabilities_have_what_they_were_made_of_and_nothing_else() {
        for one in Capability::ALL {
            assert_eq!(Capability::from_name(one.name()), Some(*one));
            let only: Capabilities = [*one].into_iter().collect();
            for other in Capability::ALL {
                assert_eq!(only.has(*other), one == other);
                assert!(only.and([*other].into_iter().collect()).has(*other));
            }
            assert!(!Capabilities::NONE.has(*one));
        }
        assert_eq!(Capability::from_name("Join"), None);
        let known = [Capability::Pulse, Capability::Kick].into_iter().collect();
        assert_eq!(Capabilities::parse(["kick", "fly", "pulse", ""]), known);
        let of_a_page = Capability::ALL.iter().filter(|it| Capabilities::OF_A_PAGE.has(**it));
        let names: Vec<_> = of_a_page.map(|it| it.name()).collect();
        assert_eq!(names, ["join", "observe", "pulse"]);
    }

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
