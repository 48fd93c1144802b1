//! The person behind a session, as its token names them.

use crate::UserId;
use crate::limits::MAX_USER_NAME_BYTES;
use core::fmt;
use std::sync::Arc;

/// A person. Comes from the token alone; nothing a page sends can change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    id: UserId,
    name: Arc<str>,
    color: Color,
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
        Ok(Self { id, name: name.into(), color })
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
