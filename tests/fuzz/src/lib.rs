//! What strangers send, thrown at the code that reads it.
//!
//! Each target takes any bytes and panics if something is wrong that must never be. `cargo-fuzz/` looks for
//! such bytes (`npm run fuzz`), and a test replays those that were worth keeping, in `corpus/`.

#![expect(clippy::panic, reason = "that is how a target says what it has found")]

mod frames;
mod keys;
mod room;
mod servers;

/// A target's name and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, each with a folder of its name in `corpus/`.
pub const TARGETS: [Target; 5] = [
    ("frames", frames::run),
    ("keys", keys::run),
    ("room", room::run),
    ("token", relay_server::fuzzing::token),
    ("token-keys", relay_server::fuzzing::token_keys),
];
