//! The JSON codec of the relay and of native clients.
//!
//! Decoding takes two steps. The text is first parsed into borrowed structs that only know JSON
//! types; these are then turned into the frames' own types. So a text that isn't a frame, a key that
//! isn't one and a meta that isn't one each get their own [`ErrorCode`].
//!
//! A meta is never interpreted: its bytes are checked to be one JSON object within its limits, and
//! are written out as they came in.

mod decode;
mod encode;

use crate::{Dial, ErrorCode, Key};
use core::fmt;

pub use decode::{decode_client, decode_server};
pub use encode::{encode_client, encode_server};

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// What an `error` frame says about it: [`BadFrame`](ErrorCode::BadFrame),
    /// [`BadKey`](ErrorCode::BadKey), [`BadMeta`](ErrorCode::BadMeta) or
    /// [`BadPulse`](ErrorCode::BadPulse), and for a beacon also
    /// [`TooManyKeys`](ErrorCode::TooManyKeys).
    pub code: ErrorCode,
    /// A sentence for the developer: at most 200 characters, with no more than a short excerpt of the
    /// peer's input and no control characters.
    pub message: String,
    /// The key that the text was about, if it could be read.
    pub key: Option<Key>,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl core::error::Error for FrameError {}

/// The body of `POST /v1/leave`, sent by a page that is closed while it is disconnected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveBeacon {
    /// The resume token of the last `welcome`.
    pub resume: String,
    /// The page's last dial. A beacon that was overtaken by a newer dial means nothing.
    pub dial: Dial,
    /// The keys that are left, at most [`MAX_KEYS_PER_CONNECTION`](crate::limits::MAX_KEYS_PER_CONNECTION).
    pub keys: Vec<Key>,
}
