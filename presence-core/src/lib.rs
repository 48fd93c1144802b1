//! The rules of presence, sans-IO.
//!
//! - [`Session`] is the browser's half: dialing, resuming, the roster as people see it.
//! - [`relay::Relay`] is the relay's half: who is in which key, who is lost, who is told what.
//! - [`Attention`] decides when a page is away.
//! - [`Flashes`] decides which joins and leaves become a message on the page.
//!
//! Nothing here reads a clock, opens a socket, knows JSON or a DOM. `now` and a seed come in, outputs
//! are polled out: the caller feeds an input, then drains the `poll_*` function until it is empty,
//! then arms one timer from `poll_timeout`. That is why a whole system of both halves runs in one
//! thread in virtual time (`tests/simulation`).

pub mod attention;
pub mod flash;
mod map;
pub mod pulses;
mod queue;
mod random;
pub mod relay;
pub mod roster;
pub mod session;
mod time;

pub use attention::Attention;
pub use flash::Flashes;
pub use roster::{Dedupe, Member, MemberId, Roster};
pub use session::{Mode, Session};
pub use time::{StallClock, Time};
