//! What a relay holds and has done, for whoever operates it.
//!
//! Plain numbers, counted where things happen anyway; no user and no key is among them.

use core::time::Duration;
use presence_protocol::{Close, ErrorCode};
use std::collections::BTreeMap;

/// Declares a kind of thing that is counted.
macro_rules! kinds {
    ($(#[$doc:meta])* $kinds:ident { $($(#[$kind_doc:meta])* $kind:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kinds { $($(#[$kind_doc])* $kind,)* }

        impl $kinds {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name that operators see.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }

        impl Counted for $kinds {
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

kinds! {
    /// What peers send.
    Received {
        /// The first frame.
        Hello = "hello",
        /// Enters a key.
        Join = "join",
        /// Looks at a key.
        Observe = "observe",
        /// Is looking, or isn't.
        Attention = "attention",
        /// Replaces a meta.
        Update = "update",
        /// True for a moment.
        Pulse = "pulse",
        /// Leaves a key.
        Leave = "leave",
        /// Asks for a snapshot.
        Resync = "resync",
        /// Brings a new token.
        Token = "token",
        /// Is alive.
        Heartbeat = "heartbeat",
        /// Asks who has viewed a key.
        LastSeen = "last_seen",
        /// No frame of the protocol.
        Bad = "bad",
        /// Goodbye without a socket.
        Beacon = "beacon",
    }
}

kinds! {
    /// What is written to peers.
    Sent {
        /// The answer to `hello`.
        Welcome = "welcome",
        /// A whole roster.
        Snapshot = "snapshot",
        /// What changed in a roster, once for each viewer.
        Delta = "delta",
        /// The answer to `heartbeat`.
        Heartbeat = "heartbeat",
        /// The answer to `token`.
        Token = "token",
        /// Something can't be done.
        Error = "error",
        /// Who has viewed a key.
        LastSeen = "last_seen",
        /// A WebSocket ping.
        Ping = "ping",
        /// A close frame.
        Close = "close",
    }
}

kinds! {
    /// How sockets end. Each ends in one way.
    Ended {
        /// The relay closed it.
        Closed = "closed",
        /// A tab was closed.
        Left = "left",
        /// Its peer closed it in another way.
        Goodbye = "goodbye",
        /// It broke, or its peer went without a word.
        Lost = "lost",
        /// Its peer took nothing for too long.
        Stuck = "stuck",
    }
}

kinds! {
    /// Why something was dropped.
    Dropped {
        /// A viewer fell so far behind that it lost deltas, and got a snapshot in their place.
        Behind = "behind",
        /// A pulse for which a delta had no room.
        Pulse = "pulse",
        /// A connection beyond the most that there may be.
        Full = "full",
        /// A snapshot that was asked for too often.
        Snapshot = "snapshot",
        /// What somebody said who says too much: a pulse, or a meta that another has replaced.
        Rate = "rate",
    }
}

/// Something with a place among its kind.
pub trait Counted: Copy {
    /// The place.
    fn index(self) -> usize;
}

/// How often each of a kind happened.
#[derive(Clone, Debug, Default)]
pub struct Counts([u64; 16]);

impl Counts {
    /// How often this one did.
    #[must_use]
    pub fn of(&self, kind: impl Counted) -> u64 {
        self.0.get(kind.index()).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, kind: impl Counted, n: u64) {
        if let Some(count) = self.0.get_mut(kind.index()) {
            *count += n;
        }
    }
}

/// How long something took: up to 1, 2, 4, … milliseconds, and longer.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    buckets: [u64; Self::BUCKETS],
    sum: Duration,
}

impl Latencies {
    const BUCKETS: usize = 13;

    /// The longest time in milliseconds and how often it took no longer, but longer than the one before;
    /// the last one's time has no end.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bound = |index| (index + 1 < Self::BUCKETS).then(|| 1_u64 << index);
        self.buckets.iter().enumerate().map(move |(index, n)| (bound(index), *n))
    }

    /// All of it together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    pub(super) fn add(&mut self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bits = u64::BITS - millis.saturating_sub(1).leading_zeros();
        let index = usize::try_from(bits).unwrap_or_default().min(Self::BUCKETS - 1);
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket += 1;
        }
        self.sum += took;
    }
}

/// What a relay holds and has done.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Sockets, greeted or not.
    pub connections: usize,
    /// Those of them that speak for a session.
    pub sessions: usize,
    /// Keys with somebody in them, or looking at them.
    pub keys: usize,
    /// Sessions in keys, those included that are lost and still held.
    pub presences: usize,
    /// The same with several sessions of one user in one key counted as one.
    pub members: usize,
    /// Sessions that look at keys without being in them.
    pub observers: usize,
    /// Those who watch keys as servers do.
    pub watchers: usize,
    /// What peers have sent.
    pub received: Counts,
    /// What was written to them.
    pub sent: Counts,
    /// What was dropped.
    pub dropped: Counts,
    /// Sockets that became connections.
    pub opened: u64,
    /// How those of them ended that are gone.
    pub ended: Counts,
    /// Sockets that the relay closed, connections or not, by the code's name.
    pub closed: BTreeMap<&'static str, u64>,
    /// What was refused with an error, by the code's name.
    pub errors: BTreeMap<&'static str, u64>,
    /// Things that happened to rosters.
    pub changes: u64,
    /// What of them was told; of several in one window only what is left of them.
    pub changes_told: u64,
    /// Deltas that were encoded, each once for all viewers.
    pub deltas: u64,
    /// From a delta's first change to its being taken for a viewer's socket.
    pub fan_out: Latencies,
}

impl Stats {
    pub(super) fn closed(&mut self, close: Close) {
        *self.closed.entry(close.name()).or_default() += 1;
    }

    pub(super) fn error(&mut self, code: ErrorCode) {
        *self.errors.entry(code.name()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_first_bucket_that_is_not_too_small() {
        for (millis, bound) in [
            (0, Some(1)),
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(4)),
            (4, Some(4)),
            (5, Some(8)),
            (2048, Some(2048)),
            (2049, None),
            (u64::MAX, None),
        ] {
            let mut latencies = Latencies::default();
            latencies.add(Duration::from_millis(millis));
            let full: Vec<_> = latencies.buckets().filter(|(_, n)| *n > 0).collect();
            assert_eq!(full, [(bound, 1)], "{millis} ms");
        }
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let all = [Received::ALL.len(), Sent::ALL.len(), Dropped::ALL.len(), Ended::ALL.len()];
        assert!(all.iter().all(|it| *it <= 16));
        let mut counts = Counts::default();
        for (n, kind) in (1..).zip(Received::ALL) {
            counts.add(*kind, n);
        }
        for (n, kind) in (1..).zip(Received::ALL) {
            assert_eq!(counts.of(*kind), n, "{}", kind.name());
        }
    }
}
