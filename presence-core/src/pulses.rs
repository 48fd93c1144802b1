//! A key's pulses at a page: its own, which are sent, and which of the others' it has heard.
//!
//! Browsers download this, so it counts in whole milliseconds and knows others' pulses by name only: what
//! they say goes right on to the page.

use crate::Time;
use core::time::Duration;
use presence_protocol::{PulseName, PulseValue, SessionId, limits};

/// How often a pulse is sent again as long as it holds, so that those who come get it and the relay
/// doesn't let it run out.
pub const RENEWAL: Duration = Duration::from_secs(3);
/// How long a pulse is shown that is neither sent again nor ended: its end may have been lost on the way.
pub const MEMORY: Duration = Duration::from_secs(7);
/// The shortest time between two pulses of a page, in milliseconds, for each key it is in.
const APART: u64 = 50;
/// The same for each session that is here: all of them together send 200 in a second.
const CROWD: u64 = 5;
/// In so many milliseconds each of a page's pulses has its turn, so that the relay lets none run out.
const ROUND: u64 = 4_000;

/// The pulses of a key.
#[derive(Debug, Default)]
pub(crate) struct Pulses {
    mine: Vec<Mine>,
    sent_at: Time,
    heard: Vec<(SessionId, PulseName, Time)>,
}

/// A pulse of this page.
#[derive(Debug)]
struct Mine {
    name: PulseName,
    /// `None` if it has ended, which is still to be said.
    value: Option<PulseValue>,
    /// When it is to be sent, or sent again.
    due: Time,
    sent_at: Time,
    is_sent: bool,
}

impl Pulses {
    /// Changes one of this page's own; false if it has as many as it may.
    pub(crate) fn set(&mut self, now: Time, name: PulseName, value: Option<PulseValue>) -> bool {
        if let Some(mine) = self.mine.iter_mut().find(|it| it.name == name) {
            if mine.value != value {
                mine.value = value;
                mine.due = mine.due.min(now);
            }
        } else if value.is_some() {
            let n_held = self.mine.iter().filter(|it| it.value.is_some()).count();
            if n_held >= limits::MAX_PULSES_PER_PRESENCE {
                return false;
            }
            let sent_at = Time::default();
            self.mine.push(Mine { name, value, due: now, sent_at, is_sent: false });
        }
        self.tidy();
        true
    }

    /// Ends all of this page's own.
    pub(crate) fn end_mine(&mut self, now: Time) {
        for mine in &mut self.mine {
            mine.value = None;
            mine.due = mine.due.min(now);
        }
        self.tidy();
    }

    /// The socket is gone, or nobody is here any more: nobody knows of this page's own.
    pub(crate) fn detach(&mut self) {
        for mine in &mut self.mine {
            mine.due = Time::default();
            mine.is_sent = false;
        }
        self.tidy();
    }

    /// Forgets those that have ended before anybody heard of them.
    fn tidy(&mut self) {
        self.mine.retain(|it| it.value.is_some() || it.is_sent);
    }

    /// The next one to be sent.
    pub(crate) fn poll_mine(
        &mut self,
        now: Time,
        apart: u64,
    ) -> Option<(PulseName, Option<PulseValue>)> {
        self.next_mine(apart).filter(|it| *it <= now)?;
        // Ends make room at the relay; after them it is the turn of whichever was sent the longest ago, or
        // one that changes all the time would leave no turn for one that holds.
        let due = self.mine.iter_mut().filter(|it| it.due <= now);
        let mine = due.min_by_key(|it| (it.value.is_some(), it.sent_at))?;
        let sent = (mine.name.clone(), mine.value.clone());
        self.sent_at = now;
        mine.sent_at = now;
        mine.due = now + RENEWAL;
        mine.is_sent = mine.value.is_some();
        self.tidy();
        Some(sent)
    }

    /// When [`poll_mine`](Self::poll_mine) has something.
    pub(crate) fn next_mine(&self, apart: u64) -> Option<Time> {
        let due = self.mine.iter().map(|it| it.due).min()?;
        let apart = apart.min(ROUND / self.mine.len() as u64);
        Some(due.max(Time::from_millis(self.sent_at.as_millis() + apart)))
    }

    /// Remembers that somebody said something, or no longer says it; true if it is anything new or known.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        session: SessionId,
        name: &PulseName,
        is_over: bool,
    ) -> bool {
        let known = self.heard.iter().position(|it| it.0 == session && it.1 == *name);
        match known.and_then(|it| self.heard.get_mut(it).map(|heard| (it, heard))) {
            Some((place, _)) if is_over => _ = self.heard.swap_remove(place),
            Some((_, heard)) => heard.2 = now,
            None if is_over => return false,
            None => self.heard.push((session, name.clone(), now)),
        }
        true
    }

    /// One that is too old, or whose session is gone. Call until `None`.
    pub(crate) fn poll_ended(
        &mut self,
        now: Time,
        is_here: impl Fn(SessionId) -> bool,
    ) -> Option<(SessionId, PulseName)> {
        let is_over = |it: &(SessionId, PulseName, Time)| it.2 + MEMORY <= now || !is_here(it.0);
        let place = self.heard.iter().position(is_over)?;
        let (session, name, _) = self.heard.swap_remove(place);
        Some((session, name))
    }

    /// When the first of the others' is too old.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.heard.iter().map(|it| it.2).min().map(|at| at + MEMORY)
    }
}

/// The shortest time between two pulses of a page with so many keys, in a key with so many sessions.
pub(crate) fn apart(n_keys: usize, n_sessions: usize) -> u64 {
    let crowd = (CROWD * n_sessions as u64).min(3_000);
    crowd.max(APART * n_keys as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PulseName {
        PulseName::parse(text).expect("a name")
    }

    fn value(text: &str) -> Option<PulseValue> {
        PulseValue::parse(text)
    }

    #[test]
    fn what_holds_is_renewed_in_time_beside_what_changes_all_the_time() {
        for n_sessions in [2, 100, 400, 1_000, 5_000] {
            for held in [&["a"][..], &["a", "b", "c"]] {
                let mut pulses = Pulses::default();
                let start = Time::from_millis(10_000);
                let mut sent = held.iter().map(|it| (name(it), start)).collect::<Vec<_>>();
                for it in held {
                    assert!(pulses.set(start, name(it), value("1")));
                }
                for ms in 0..60_000 {
                    let now = Time::from_millis(10_000 + ms);
                    pulses.set(now, name("cursor"), value(&ms.to_string()));
                    if let Some((name, _)) = pulses.poll_mine(now, apart(1, n_sessions))
                        && let Some((_, at)) = sent.iter_mut().find(|it| it.0 == name)
                    {
                        *at = now;
                    }
                    for (name, at) in &sent {
                        let late = now >= *at + limits::PULSE_TTL;
                        assert!(!late, "{name} of {held:?} ran out among {n_sessions}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_that_has_ended_makes_room_at_once_and_is_told_first() {
        let mut pulses = Pulses::default();
        let at = |ms| Time::from_millis(10_000 + ms);
        for (i, it) in ["a", "b", "c", "d", "f", "g", "h", "i"].into_iter().enumerate() {
            assert!(pulses.set(at(0), name(it), value("1")));
            assert!(pulses.poll_mine(at(1_000 + 50 * i as u64), 50).is_some());
        }
        assert!(!pulses.set(at(1_351), name("e"), value("1")));
        assert!(pulses.set(at(1_351), name("d"), None));
        assert!(pulses.set(at(1_351), name("e"), value("1")));
        assert_eq!(pulses.poll_mine(at(1_500), 50), Some((name("d"), None)));
        assert_eq!(pulses.poll_mine(at(1_550), 50), Some((name("e"), value("1"))));
    }
}
