//! The simulation's tests: many seeds of chance, and the situations that must never show anything wrong.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy exempts tests, but not the helpers below them"
)]

mod scenarios;
mod seeds;
