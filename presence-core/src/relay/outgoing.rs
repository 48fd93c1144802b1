//! The outgoing seam: one log of encoded frames per key, one cursor per viewer.
//!
//! A change is encoded once and its bytes are shared by everybody. Nothing is copied or queued per
//! viewer: a viewer is a position in the log. One who falls off its end has lost deltas, not its place:
//! the next thing it gets is a snapshot.

use super::ConnId;
use crate::Time;
use presence_protocol::Rev;
use std::collections::{BTreeMap, VecDeque};

/// Most frames a key remembers for viewers that lag behind.
const LOG_FRAMES: usize = 64;
/// Most bytes a key remembers; a single larger frame is kept alone.
const LOG_BYTES: usize = 256 * 1024;

/// A key's recent deltas, encoded.
#[derive(Debug)]
pub(super) struct Log<F> {
    frames: VecDeque<Entry<F>>,
    /// The position of the first frame that is still here.
    base: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<F> {
    frame: F,
    size: usize,
    to: Rev,
    /// When the first of its changes happened.
    since: Time,
}

impl<F> Log<F> {
    pub(super) const fn new() -> Self {
        Self { frames: VecDeque::new(), base: 0, bytes: 0 }
    }

    /// How many frames it holds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// How many bytes they have.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position after the newest frame.
    pub(super) fn end(&self) -> u64 {
        self.base + self.frames.len() as u64
    }

    /// Appends a frame and forgets the oldest ones beyond the bounds.
    pub(super) fn push(&mut self, frame: F, size: usize, to: Rev, since: Time) {
        self.frames.push_back(Entry { frame, size, to, since });
        self.bytes += size;
        while self.frames.len() > LOG_FRAMES || (self.bytes > LOG_BYTES && self.frames.len() > 1) {
            self.pop();
        }
    }

    /// Forgets everything before a position; who has not read it needs a snapshot.
    pub(super) fn forget_before(&mut self, position: u64) {
        while self.base < position && !self.frames.is_empty() {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(entry) = self.frames.pop_front() {
            self.base += 1;
            self.bytes -= entry.size;
        }
    }

    /// The frame at a position: `Err` if it has been forgotten, `Ok(None)` at the end.
    fn get(&self, position: u64) -> Result<Option<&Entry<F>>, Forgotten> {
        let offset = position.checked_sub(self.base).ok_or(Forgotten)?;
        Ok(usize::try_from(offset).ok().and_then(|it| self.frames.get(it)))
    }
}

/// The frame is no longer in the log.
#[derive(Debug)]
pub(super) struct Forgotten;

/// Where a connection is in a key's stream of frames.
#[derive(Debug)]
pub(super) enum Viewer {
    /// It needs a snapshot before deltas mean anything to it.
    Behind,
    /// It has been given everything before this position, up to this rev.
    At {
        /// Its position in the log.
        position: u64,
        /// The rev of the last frame that was written for it.
        rev: Rev,
    },
}

/// What a viewer is to be given next.
pub(super) enum Next<'a, F> {
    /// Nothing: it is up to date.
    Nothing,
    /// A snapshot.
    Snapshot,
    /// This delta, whose first change happened then.
    Frame(&'a F, Time),
}

impl Viewer {
    /// Takes the next frame for this viewer and moves its cursor.
    pub(super) fn next<'a, F>(&mut self, log: &'a Log<F>) -> Next<'a, F> {
        let Self::At { position, rev } = self else { return Next::Snapshot };
        match log.get(*position) {
            Ok(Some(entry)) => {
                *position += 1;
                *rev = entry.to;
                Next::Frame(&entry.frame, entry.since)
            }
            Ok(None) => Next::Nothing,
            Err(Forgotten) => {
                *self = Self::Behind;
                Next::Snapshot
            }
        }
    }

    /// The next frame for this viewer, which stays where it is; `Err` if it needs a snapshot.
    pub(super) fn peek<'a, F>(&self, log: &'a Log<F>) -> Result<Option<&'a F>, Forgotten> {
        let Self::At { position, .. } = self else { return Err(Forgotten) };
        Ok(log.get(*position)?.map(|it| &it.frame))
    }

    /// Its position, unless it needs a snapshot.
    pub(super) const fn position(&self) -> Option<u64> {
        match self {
            Self::Behind => None,
            Self::At { position, .. } => Some(*position),
        }
    }

    /// True if there is something for it.
    pub(super) fn is_waiting<F>(&self, log: &Log<F>) -> bool {
        match self {
            Self::Behind => true,
            Self::At { position, .. } => *position < log.end(),
        }
    }
}

/// The viewers of a key.
pub(super) type Viewers = BTreeMap<ConnId, Viewer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_fell_off_the_log_needs_a_snapshot() {
        let mut log = Log::new();
        let mut viewer = Viewer::At { position: 0, rev: Rev(0) };
        for rev in 1..=LOG_FRAMES as u64 {
            log.push(rev, 10, Rev(rev), Time::default());
        }
        assert!(matches!(viewer.next(&log), Next::Frame(1, _)));
        log.push(65, 10, Rev(65), Time::default());
        assert!(matches!(viewer.next(&log), Next::Frame(2, _)));
        log.push(66, 10, Rev(66), Time::default());
        log.push(67, 10, Rev(67), Time::default());
        assert!(matches!(viewer.next(&log), Next::Snapshot));
        assert!(matches!(viewer, Viewer::Behind));
    }

    #[test]
    fn the_log_is_bounded_in_bytes_but_keeps_one_large_frame() {
        let mut log = Log::new();
        log.push("small", 10, Rev(1), Time::default());
        log.push("large", LOG_BYTES + 1, Rev(2), Time::default());
        let mut viewer = Viewer::At { position: 1, rev: Rev(1) };
        assert!(matches!(viewer.next(&log), Next::Frame(&"large", _)));
        assert!(matches!(viewer.next(&log), Next::Nothing));
        log.push("small", 10, Rev(3), Time::default());
        assert!(matches!(Viewer::At { position: 1, rev: Rev(1) }.next(&log), Next::Snapshot));
    }
}
