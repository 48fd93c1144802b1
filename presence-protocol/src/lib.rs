//! The wire between whoshere's browser SDK and its relay.
//!
//! Frames, ids, limits and close codes: everything that both halves must agree on, and nothing else.
//! This crate knows no time, no state and no transport. `PROTOCOL.md` at the top of the repository is
//! the contract in prose; `fixtures/` holds one golden text for each frame.
//!
//! Values that came from outside are parsed once into types that can't hold a wrong value ([`Key`],
//! [`UserId`], [`Meta`], …), so nothing behind them has to check again.
//!
//! Frames are generic over the meta `M`: the relay keeps the bytes it received ([`Meta`]), a browser
//! keeps its engine's own value.

mod close;
mod frame;
mod ids;
#[cfg(feature = "json")]
mod json;
pub mod limits;
mod meta;
mod pulse;
mod user;

pub use close::{Close, CloseCode, ErrorCode, Reaction, Wait};
pub use frame::{
    ClientFrame, Delta, EpochInfo, LeaveReason, Left, Presence, PresenceState, Seen, ServerFrame,
    Snapshot, Updated, Welcome,
};
pub use ids::{Dial, Epoch, Key, Rev, SessionId, UserId};
#[cfg(feature = "json")]
pub use json::{
    FrameError, LeaveBeacon, decode_client, decode_server, encode_client, encode_server,
};
pub use meta::{Meta, MetaError};
pub use pulse::{Pulse, PulseName, PulseValue};
pub use user::{AvatarUrl, Color, Info, User, UserError};

/// The WebSocket subprotocol both sides must name. Another version is refused at the upgrade.
pub const SUBPROTOCOL: &str = "whoshere.v1";

/// The path of the WebSocket endpoint.
pub const PATH: &str = "/v1/presence";
