//! What a relay tells those who look at it from outside: an application's own servers.

use super::{Backplane, Host, Relay};
use crate::Time;
use core::ops::Bound;
use core::time::Duration;
use presence_protocol::{Key, Meta, Presence};

/// When something was so, for the ages that presences had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(i64);

impl Moment {
    pub(super) fn new(now: Time, backplane: &impl Backplane) -> Self {
        let (_, began) = backplane.epoch();
        Self(now.relative_to(began))
    }

    /// How old a presence was, in milliseconds.
    #[must_use]
    pub fn age(self, presence: &Presence<Meta>) -> u64 {
        self.0.saturating_sub(presence.since).max(0).unsigned_abs()
    }
}

impl<H: Host, B: Backplane> Relay<H, B> {
    /// How many members and presences there are in a key at this moment.
    #[must_use]
    pub fn count(&self, key: &Key) -> (usize, usize) {
        self.slots.get(key).map_or((0, 0), |it| (it.room.members(), it.room.len()))
    }

    /// Everybody who is in a key at this moment, those in their grace included.
    #[must_use]
    pub fn roster(&self, key: &Key) -> Vec<Presence<Meta>> {
        self.slots.get(key).map_or_else(Vec::new, |it| it.room.presences())
    }

    /// The rosters of the keys behind a key, in order, of whole keys until there are so many presences. Empty
    /// if there are none behind it. The roster of a key that is only looked at is empty.
    #[must_use]
    pub fn rosters_after(
        &self,
        after: Option<&Key>,
        enough: usize,
    ) -> Vec<(Key, Vec<Presence<Meta>>)> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rosters = Vec::new();
        let mut n_presences = 0;
        for (key, slot) in self.slots.range::<Key, _>((first, Bound::Unbounded)) {
            if n_presences >= enough {
                break;
            }
            n_presences += slot.room.len().max(1);
            rosters.push((key.clone(), slot.room.presences()));
        }
        rosters
    }

    /// For how long it is kept who viewed what; `None` if nothing is kept.
    #[must_use]
    pub fn last_seen_retention(&self) -> Option<Duration> {
        self.last_seen.retention()
    }

    /// True if it is kept who viewed this key.
    #[must_use]
    pub fn keeps_last_seen_of(&self, key: &Key) -> bool {
        self.last_seen.covers(key)
    }

    /// When it is now, for ages.
    #[must_use]
    pub fn moment(&self, now: Time) -> Moment {
        Moment::new(now, &self.backplane)
    }
}
