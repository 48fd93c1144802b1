//! The simulation's tests: many seeds of chance, and the situations that must never show anything wrong.

mod scenarios;
mod seeds;
