//! The relay's clock: the one place where this program's time becomes the core's.

use presence_core::{StallClock, Time};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Counts from 1970, so that a resume token means the same after a restart, but runs on the monotonic
/// clock, and stands still while the process does.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Time,
    stall: StallClock,
}

/// What time it is for everybody else: also after this process stood still, and in the next one.
pub(crate) fn wall() -> Time {
    Time::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Clock {
    pub(crate) fn start() -> Self {
        let started_at = wall();
        Self { started: Instant::now(), started_at, stall: StallClock::new(started_at) }
    }

    /// The time. Must be asked for at least every [`StallClock::LOOK`].
    pub(crate) fn now(&mut self) -> Time {
        self.stall.look(self.started_at + self.started.elapsed())
    }
}
