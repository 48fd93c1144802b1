//! How fast one socket may speak.

use std::time::{Duration, Instant};

/// The rate that every connection is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    started: Instant,
    /// What one message costs; zero if there is no limit.
    interval: Duration,
    /// How much may be spent at once.
    burst: Duration,
}

impl Rate {
    /// So many messages a second, twice as many at once; no limit if 0.
    pub(crate) fn per_second(messages: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(messages).unwrap_or_default();
        Self { started: Instant::now(), interval, burst: Duration::from_secs(2) }
    }

    /// The same, with this much of it at once.
    pub(crate) const fn with_burst(self, burst: Duration) -> Self {
        Self { burst, ..self }
    }

    /// The time as budgets count it.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What one connection has spent: a token bucket as one number (GCRA), the time at which it would be
/// full again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Throttle(Duration);

impl Throttle {
    /// Pays for one message. `Some` is how long to wait before the next one.
    pub(crate) fn spend(&mut self, now: Duration, rate: &Rate) -> Option<Duration> {
        self.0 = self.0.max(now) + rate.interval;
        self.wait(now, rate)
    }

    /// How long to wait before the next message, if that isn't free.
    pub(crate) fn wait(self, now: Duration, rate: &Rate) -> Option<Duration> {
        let ahead = self.0.saturating_sub(now) + rate.interval;
        ahead.checked_sub(rate.burst).filter(|it| !it.is_zero())
    }

    /// True if nothing is spent any more.
    pub(crate) fn is_full(self, now: Duration) -> bool {
        self.0 <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let rate = Rate::per_second(100);
        let mut throttle = Throttle::default();
        let mut now = Duration::from_secs(5);
        let burst = (0..).take_while(|_| throttle.spend(now, &rate).is_none()).count();
        assert_eq!(burst, 199, "the 200th message is taken, but the next one has to wait");
        let mut taken = 0;
        let end = now + Duration::from_secs(10);
        while now < end {
            now += throttle.spend(now, &rate).unwrap_or(Duration::from_millis(10));
            taken += 1;
        }
        assert!((999..=1002).contains(&taken), "{taken} in 10 s");
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let rate = Rate::per_second(0);
        let mut throttle = Throttle::default();
        assert!((0..100_000).all(|_| throttle.spend(Duration::ZERO, &rate).is_none()));
    }
}
