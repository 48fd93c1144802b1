//! The JSON object that a page puts into its presence, opaque to the relay.

use crate::limits::{MAX_META_BYTES, MAX_META_DEPTH};
use std::sync::Arc;

/// A meta as the bytes that its page sent: the text of one JSON object.
///
/// At most 4 KiB and 16 levels deep. Two metas are equal if their bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Meta(Arc<str>);

/// Why a meta was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaError {
    /// It is valid JSON, but no object.
    NotAnObject,
    /// Its text is longer than 4096 bytes.
    TooLarge,
    /// Objects and arrays are nested more than 16 levels deep.
    TooDeep,
}

impl MetaError {
    /// What was wrong, as a sentence for the error frame.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotAnObject => "meta must be a JSON object",
            Self::TooLarge => "meta must not be larger than 4096 bytes",
            Self::TooDeep => "meta must not be nested deeper than 16 levels",
        }
    }
}

impl Meta {
    /// The empty object.
    #[must_use]
    pub fn empty() -> Self {
        Self("{}".into())
    }

    /// Takes the text of one valid JSON value and checks what the relay promises about a meta.
    ///
    /// # Errors
    ///
    /// A [`MetaError`] if the value is no object, too large or nested too deep.
    pub fn from_json_value(text: &str) -> Result<Self, MetaError> {
        let text = text.trim_ascii();
        if !text.starts_with('{') {
            return Err(MetaError::NotAnObject);
        }
        if text.len() > MAX_META_BYTES {
            return Err(MetaError::TooLarge);
        }
        if depth(text) > MAX_META_DEPTH {
            return Err(MetaError::TooDeep);
        }
        Ok(Self(text.into()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The deepest nesting in a valid JSON text; brackets inside strings do not count.
fn depth(json: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                level += 1;
                deepest = deepest.max(level);
            }
            (false, b'}' | b']') => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_are_not_levels() {
        assert_eq!(depth(r#"{"a":"[[[[\"{{"}"#), 1);
        assert_eq!(depth(r#"{"a":[{"b":[]}]}"#), 4);
    }

    #[test]
    fn only_an_object_within_its_limits_is_a_meta() {
        assert!(Meta::from_json_value(" {\"a\":1} ").is_ok());
        assert_eq!(Meta::from_json_value("[1]"), Err(MetaError::NotAnObject));
        let nested = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert!(Meta::from_json_value(&nested(16)).is_ok());
        assert_eq!(Meta::from_json_value(&nested(17)), Err(MetaError::TooDeep));
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(Meta::from_json_value(&sized(4096)).is_ok());
        assert_eq!(Meta::from_json_value(&sized(4097)), Err(MetaError::TooLarge));
    }
}
