//! Measures the relay: `npm run bench`, or `npm run bench -- --help`.
//!
//! One process is the load, and starts what it measures: the relay and, beside it, a bare reference
//! that moves the same bytes without any rules. Each has a core of its own, and what it costs is read
//! from the kernel's accounting of CPU time, so that other programs on the machine disturb little.

#[cfg(target_os = "linux")]
mod bench;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    bench::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("load: this reads Linux's accounting of processes, so it runs on Linux only");
    ExitCode::FAILURE
}
