//! Whole systems of sessions and one relay in one thread, in virtual time, over a seeded network.
//!
//! The simulation runs the very code that ships: `presence_core::Session` in every page and
//! `presence_core::relay::Relay` behind them. Only sockets, timers and tokens are played. It is the
//! project's conscience: every row of what others may see is an invariant in [`truth`].

#![expect(
    clippy::indexing_slicing,
    reason = "pages and links are only ever added; a wrong index is the simulation's own fault"
)]

pub mod chaos;
pub mod network;
pub mod page;
pub mod relay;
pub mod truth;
pub mod world;

pub use world::World;
