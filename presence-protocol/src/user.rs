//! The person behind a session, as its token names them.

use crate::limits::{MAX_AVATAR_BYTES, MAX_INFO_BYTES, MAX_USER_NAME_BYTES};
use crate::{Meta, UserId};
use core::fmt;
use std::sync::Arc;

/// A person. Comes from the token alone; nothing a page sends can change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    id: UserId,
    name: Arc<str>,
    color: Color,
    avatar: Option<AvatarUrl>,
    info: Option<Info>,
}

/// Why a user was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserError {
    /// The name is empty, longer than 256 bytes, or has a control character.
    Name,
}

impl User {
    /// Makes a user.
    ///
    /// # Errors
    ///
    /// [`UserError::Name`] if the name is empty, longer than 256 bytes or has a control character.
    pub fn new(id: UserId, name: &str, color: Color) -> Result<Self, UserError> {
        let fits = (1..=MAX_USER_NAME_BYTES).contains(&name.len());
        if !fits || name.chars().any(char::is_control) {
            return Err(UserError::Name);
        }
        Ok(Self { id, name: name.into(), color, avatar: None, info: None })
    }

    /// The same user with a picture, or with none.
    #[must_use]
    pub fn with_avatar(self, avatar: Option<AvatarUrl>) -> Self {
        Self { avatar, ..self }
    }

    /// The same user with an info, or with none.
    #[must_use]
    pub fn with_info(self, info: Option<Info>) -> Self {
        Self { info, ..self }
    }

    /// The id that people are told apart by.
    #[must_use]
    pub const fn id(&self) -> &UserId {
        &self.id
    }

    /// The name that people read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The color that follows the person everywhere.
    #[must_use]
    pub const fn color(&self) -> Color {
        self.color
    }

    /// Where the person's picture is, if there is one.
    #[must_use]
    pub const fn avatar(&self) -> Option<&AvatarUrl> {
        self.avatar.as_ref()
    }

    /// What else the application says of the person, if anything.
    #[must_use]
    pub const fn info(&self) -> Option<&Info> {
        self.info.as_ref()
    }
}

/// What else the application says of a person, such as a role: the text of one JSON object, opaque to the
/// relay. Unlike a meta, which it looks like, no page can change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Info(Meta);

impl Info {
    /// Takes the text of one valid JSON value; `None` if it is no object, larger than 1 KiB, or nested as a
    /// meta must not be.
    #[must_use]
    pub fn from_json_value(text: &str) -> Option<Self> {
        let meta = Meta::from_json_value(text).ok()?;
        (meta.as_str().len() <= MAX_INFO_BYTES).then_some(Self(meta))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The address of a picture: at most 1024 bytes without spaces, control characters and backslashes.
///
/// `https:`, `http:` on this machine, or a path on the page's own site: nothing that runs as a script,
/// and nothing that browsers read as another site than it looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AvatarUrl(Arc<str>);

impl AvatarUrl {
    /// Parses an address; `None` if it is no such one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let refused = |it: char| it.is_control() || it.is_whitespace() || it == '\\';
        let leads_somewhere = if let Some(rest) = text.strip_prefix("https://") {
            !authority(rest).is_empty()
        } else if let Some(rest) = text.strip_prefix("http://") {
            is_loopback(authority(rest))
        } else {
            text.starts_with('/') && !text.starts_with("//")
        };
        let fits = leads_somewhere && text.len() <= MAX_AVATAR_BYTES && !text.contains(refused);
        fits.then(|| Self(text.into()))
    }

    /// An address that something else has parsed: in a browser, a regular expression is much smaller.
    #[must_use]
    pub fn parsed(text: &str) -> Self {
        Self(text.into())
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Host and port of what follows the two slashes.
fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn is_loopback(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        authority.strip_prefix(host).is_some_and(|port| {
            port.is_empty()
                || port.strip_prefix(':').is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()))
        })
    })
}

/// An sRGB color, written `#rrggbb`.
///
/// Being three bytes it can't smuggle anything into a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color(pub [u8; 3]);

impl Color {
    /// Parses `#` and six hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_small_object_is_an_info() {
        assert_eq!(Info::from_json_value(" {\"a\":1} ").unwrap().as_str(), "{\"a\":1}");
        for bad in ["[]", "1", "null", "\"a\"", ""] {
            assert_eq!(Info::from_json_value(bad), None, "{bad}");
        }
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(Info::from_json_value(&sized(1024)).is_some());
        assert_eq!(Info::from_json_value(&sized(1025)), None);
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(16), "]".repeat(16));
        assert_eq!(Info::from_json_value(&nested), None);
    }

    #[test]
    fn only_what_is_a_picture_s_address_everywhere_is_one() {
        for good in [
            "https://cdn.example/alice.png?size=2#x",
            "https://a",
            "http://localhost/a",
            "http://localhost:8080",
            "http://127.0.0.1:80/a.png",
            "http://[::1]:1?a",
            "/avatars/alice.svg",
            "/",
        ] {
            assert_eq!(AvatarUrl::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "alice.png",
            "//evil.example/a",
            "/\\evil.example/a",
            "/\t/evil.example",
            "/a b",
            "/a\u{a0}b",
            "/a\u{7f}",
            "https://",
            "https:///a",
            "https:alice.png",
            "http://evil.example/a",
            "http://localhost.evil.example/a",
            "http://localhost@evil.example/a",
            "http://localhost:80@evil.example/a",
            "http://127.0.0.1.evil.example",
            "javascript:alert(1)",
            "data:image/svg+xml,<svg/>",
            "blob:https://a/b",
        ] {
            assert_eq!(AvatarUrl::parse(bad), None, "{bad:?}");
        }
        let sized = |n_bytes: usize| format!("/{}", "a".repeat(n_bytes - 1));
        assert!(AvatarUrl::parse(&sized(1024)).is_some());
        assert_eq!(AvatarUrl::parse(&sized(1025)), None);
    }
}
