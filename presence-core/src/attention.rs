//! Whether somebody is looking at a page.

use crate::Time;
use crate::time::Millis;
use core::time::Duration;

/// How long nobody may touch a page until it counts as away, unless the page says otherwise.
pub const IDLE: Duration = Duration::from_secs(300);

/// Decides when a page is away: at once while its tab is hidden, and when nobody has touched it for long.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    idle: Millis,
    last_input: Time,
    is_hidden: bool,
}

impl Attention {
    /// The attention to a page that begins now.
    #[must_use]
    pub const fn new(now: Time, idle: Duration, is_hidden: bool) -> Self {
        Self { idle: Millis::of(idle), last_input: now, is_hidden }
    }

    /// The tab was looked at: it is hidden, or it isn't. Bringing it to the front is as good as an input.
    pub fn look(&mut self, now: Time, is_hidden: bool) {
        if core::mem::replace(&mut self.is_hidden, is_hidden) && !is_hidden {
            self.input(now);
        }
    }

    /// Somebody has touched the page.
    pub fn input(&mut self, now: Time) {
        self.last_input = self.last_input.max(now);
    }

    /// True if nobody is looking.
    #[must_use]
    pub fn is_away(&self, now: Time) -> bool {
        self.is_hidden || now >= self.last_input + self.idle
    }

    /// When it will be away if nothing happens; `None` if it is.
    #[must_use]
    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        (!self.is_away(now)).then(|| self.last_input + self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_tab_is_away_at_once_and_back_when_it_is_shown() {
        let mut attention = Attention::new(at(0), IDLE, false);
        assert!(!attention.is_away(at(0)));
        attention.look(at(1), true);
        assert!(attention.is_away(at(1)));
        assert_eq!(attention.poll_timeout(at(1)), None, "it waits for nothing");
        attention.look(at(9_000), false);
        assert!(!attention.is_away(at(9_000)), "however long it was hidden");
        assert_eq!(attention.poll_timeout(at(9_000)), Some(at(9_300)));
    }

    #[test]
    fn a_tab_that_is_opened_behind_others_is_away_from_the_start() {
        assert!(Attention::new(at(0), IDLE, true).is_away(at(0)));
    }

    #[test]
    fn five_minutes_without_an_input_are_away_and_an_input_brings_it_back() {
        let mut attention = Attention::new(at(0), IDLE, false);
        attention.input(at(100));
        assert!(!attention.is_away(at(399)));
        assert!(attention.is_away(at(400)));
        attention.input(at(1_000));
        assert!(!attention.is_away(at(1_299)));
        assert!(attention.is_away(at(1_300)));
    }

    #[test]
    fn a_tab_that_stays_shown_is_not_touched_by_being_looked_at() {
        let mut attention = Attention::new(at(0), IDLE, false);
        attention.look(at(299), false);
        assert!(attention.is_away(at(300)));
    }

    #[test]
    fn a_clock_that_jumps_back_undoes_no_input() {
        let mut attention = Attention::new(at(0), IDLE, false);
        attention.input(at(100));
        attention.input(at(50));
        assert_eq!(attention.poll_timeout(at(100)), Some(at(400)));
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }
}
