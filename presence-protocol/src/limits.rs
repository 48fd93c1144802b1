//! Sizes and durations that the protocol fixes or that are its defaults.
//!
//! Sources: the sizes are whoshere's own choice (a member's profile is 1 to 2 KB elsewhere, a message
//! 64 KiB); the 30 s of grace come from the tutorial whose promises this project keeps.

use core::time::Duration;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 128;
/// Longest user id, in bytes.
pub const MAX_USER_ID_BYTES: usize = 128;
/// Longest user name, in bytes of UTF-8.
pub const MAX_USER_NAME_BYTES: usize = 256;
/// Longest address of a user's picture, in bytes.
pub const MAX_AVATAR_BYTES: usize = 1024;
/// Largest info of a user, in bytes of JSON text.
pub const MAX_INFO_BYTES: usize = 1024;
/// Largest meta, in bytes of JSON text.
pub const MAX_META_BYTES: usize = 4096;
/// Deepest meta: the object itself is level 1.
pub const MAX_META_DEPTH: usize = 16;
/// Longest name of a pulse, in bytes.
pub const MAX_PULSE_NAME_BYTES: usize = 16;
/// Largest value of a pulse, in bytes of text.
pub const MAX_PULSE_BYTES: usize = 512;
/// Most pulses of one presence at a time.
pub const MAX_PULSES_PER_PRESENCE: usize = 8;
/// Largest message a relay accepts, in bytes. Room for a token, a meta and the envelope.
pub const MAX_CLIENT_FRAME_BYTES: usize = 16 * 1024;
/// Longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Most keys one connection may be joined to at a time.
pub const MAX_KEYS_PER_CONNECTION: usize = 64;
/// Most presences in one key.
pub const MAX_PRESENCES_PER_KEY: usize = 5000;
/// Most presences of one user in one key.
pub const MAX_PRESENCES_PER_USER: usize = 100;
/// Most users in an answer about who viewed a key.
pub const MAX_LAST_SEEN: usize = 50;

/// Largest number on the wire: what JavaScript's numbers hold exactly, 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Time from the upgrade to the `hello` frame.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of the SDK's heartbeats; the relay announces it in `welcome`.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// Time a heartbeat's answer, a `welcome` or a pong may take before its sender counts as unreachable.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a lost session stays in its keys before the others see it leave.
pub const GRACE: Duration = Duration::from_secs(30);
/// How long a pulse lives unless it is sent again.
pub const PULSE_TTL: Duration = Duration::from_secs(5);
/// How long after a loss a presence is shown as `reconnecting`.
pub const DIM_AFTER: Duration = Duration::from_secs(10);
