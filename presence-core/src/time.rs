//! Time as the callers measure it.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A moment, in milliseconds after an origin that the caller chose.
///
/// A browser counts from its page's load. A relay counts from 1970 so that a resume token means the
/// same after a restart, but runs on its monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment so many milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds after the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same in one number.
    pub(crate) const fn millis_since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment, counted from `origin` in signed milliseconds.
    #[must_use]
    pub const fn relative_to(self, origin: Self) -> i64 {
        self.0.wrapping_sub(origin.0).cast_signed()
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    // Most are constants, of which nothing but the sum is left then.
    #[inline(always)]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

/// A span in whole milliseconds. A [`Duration`] is two numbers, and what calculates with both is half a
/// kilobyte that a browser would have to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    pub(crate) const fn of(duration: Duration) -> Self {
        Self(millis(duration))
    }
}

impl Add for Millis {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl Sub for Millis {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }
}

impl Add<Millis> for Time {
    type Output = Self;

    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// A duration's whole milliseconds. Not `as_millis`: that calculates in 128 bits, which a browser
/// would have to download.
pub(crate) const fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

/// A clock that stands still while its process does.
///
/// A relay that was stopped for 40 s has heard nobody for 40 s, though everybody spoke. Its deadlines
/// must not count that time, so a gap between two looks at the clock that is longer than any healthy
/// loop leaves is cut out. The caller must look at least every [`StallClock::LOOK`].
#[derive(Clone, Copy, Debug, Default)]
pub struct StallClock {
    last: Time,
    stalled: Duration,
}

impl StallClock {
    /// How often a caller must look.
    pub const LOOK: Duration = Duration::from_millis(250);
    /// A longer gap than this is a stall.
    pub const GAP: Duration = Duration::from_secs(2);

    /// A clock that was last looked at `raw`.
    #[must_use]
    pub const fn new(raw: Time) -> Self {
        Self { last: raw, stalled: Duration::ZERO }
    }

    /// The time on this clock when the caller's own reads `raw`.
    pub fn look(&mut self, raw: Time) -> Time {
        let gap = raw.since(self.last);
        if gap > Self::GAP {
            self.stalled += gap - Self::LOOK;
        }
        self.last = self.last.max(raw);
        raw - self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_cut_out_and_short_gaps_are_not() {
        let at = Time::from_millis;
        let mut clock = StallClock::new(at(0));
        assert_eq!(clock.look(at(250)), at(250));
        assert_eq!(clock.look(at(2_000)), at(2_000));
        assert_eq!(clock.look(at(42_000)), at(2_250));
        assert_eq!(clock.look(at(42_250)), at(2_500));
    }
}
