//! The page's time.

use core::cell::Cell;
use presence_core::Time;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
}

/// A clock that never goes back, and that counts the time a laptop was asleep.
///
/// `performance.now()` may stand still in sleep, and `Date.now()` jumps when somebody sets the
/// clock. Deadlines must count sleep: after it everybody has been gone from the relay's sight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    running: f64,
    wall: f64,
    slept: f64,
}

/// How much further than the running clock the wall clock must go to be taken for a sleep.
const SLEEP: f64 = 1000.0;

impl Clock {
    const fn new(running: f64, wall: f64) -> Self {
        Self { running, wall, slept: 0.0 }
    }

    fn look(&mut self, running: f64, wall: f64) -> Time {
        let unseen = (wall - self.wall) - (running - self.running);
        if unseen > SLEEP {
            self.slept += unseen;
        }
        self.running = running.max(self.running);
        self.wall = wall;
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and a fraction is cut off")]
        Time::from_millis((self.running + self.slept) as u64)
    }
}

thread_local! {
    /// Before the first look no sleep can be told.
    static CLOCK: Cell<Clock> = const { Cell::new(Clock::new(0.0, f64::NAN)) };
}

/// What the browser's running clock says, with fractions of a millisecond.
pub(crate) fn running() -> f64 {
    performance_now()
}

/// Now.
pub(crate) fn now() -> Time {
    let (running, wall) = (performance_now(), date_now());
    CLOCK.with(|cell| {
        let mut clock = cell.get();
        let now = clock.look(running, wall);
        cell.set(clock);
        now
    })
}

/// The wall time of a moment on this clock, in milliseconds after 1970; now if it isn't known.
#[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
pub(crate) fn wall_time(moment: Option<i64>) -> f64 {
    let now = now().as_millis().cast_signed();
    date_now() + (moment.unwrap_or(now) - now) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_asleep_counts_and_a_clock_set_back_does_not() {
        let mut clock = Clock::new(100.0, 50_000.0);
        let mut look = |running, wall| clock.look(running, wall).as_millis();
        assert_eq!(look(100.0, 50_000.0), 100);
        assert_eq!(look(1_100.9, 51_000.0), 1_100);
        // 40 s of sleep, in which the running clock stood still.
        assert_eq!(look(1_200.0, 91_100.0), 41_200);
        // Somebody sets the clock back by an hour, and it goes on.
        assert_eq!(look(1_300.0, 91_200.0 - 3_600_000.0), 41_300);
        assert_eq!(look(2_300.0, 92_200.0 - 3_600_000.0), 42_300);
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = Clock::new(10.0, 0.0);
        assert_eq!(clock.look(10.0, 0.0).as_millis(), 10);
        assert_eq!(clock.look(9.0, 0.0).as_millis(), 10);
    }
}
