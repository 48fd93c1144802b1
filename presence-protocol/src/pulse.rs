//! Pulses: small, short-lived values beside a presence's meta, for what changes many times a second.

use crate::SessionId;
use crate::limits::{MAX_PULSE_BYTES, MAX_PULSE_NAME_BYTES};
use core::fmt;
use std::sync::Arc;

/// What a pulse is about, for example `cursor`: 1 to 16 lower-case letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PulseName(Arc<str>);

impl PulseName {
    /// Parses a name; `None` if it is empty, too long or has another character.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_PULSE_NAME_BYTES).contains(&text.len());
        (fits && text.bytes().all(|it| it.is_ascii_lowercase())).then(|| Self(text.into()))
    }

    /// A name that something else has parsed: in a browser, JavaScript does it in a tenth of the size.
    #[must_use]
    pub fn parsed(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PulseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a pulse says: at most 512 bytes of text. Pages read it as JSON, a relay doesn't read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PulseValue(Arc<str>);

impl PulseValue {
    /// Takes a text; `None` if it is too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= MAX_PULSE_BYTES).then(|| Self(text.into()))
    }

    /// A value that something else has parsed: in a browser, JavaScript does it in a tenth of the size.
    #[must_use]
    pub fn parsed(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A pulse of one session, as the others get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The session.
    pub session: SessionId,
    /// What it is about.
    pub name: PulseName,
    /// What it says; `None` if it has ended.
    pub value: Option<PulseValue>,
}
