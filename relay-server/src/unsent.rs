//! What large frames cost while sockets haven't taken them: a bound for all sockets together.
//!
//! A frame's bytes are shared, so thousands who are sent the same one cost as much as one of them. But who
//! takes a frame slowly keeps it alive when it is news no longer, and a person who does so again and again
//! would have the relay hold as many versions of a large key.

use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What is smaller than this is no matter: it is bounded for each socket.
pub(crate) const LARGE_BYTES: usize = 64 * 1024;
/// How much all large frames may have, each counted once. Beyond it whoever has waited the longest is given up.
pub(crate) const MAX_BYTES: usize = 128 * 1024 * 1024;

/// The large frames that sockets are taking.
#[derive(Debug)]
pub(crate) struct Unsent {
    max_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// By where each ends in memory, which stays the same while its beginning is written.
    frames: HashMap<usize, Frame>,
    bytes: usize,
    /// By when they began.
    holders: BTreeMap<u64, (usize, Waker)>,
    last: u64,
}

#[derive(Debug)]
struct Frame {
    n_bytes: usize,
    n_holders: usize,
}

impl Unsent {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, held: Mutex::default() })
    }

    /// Somebody will take a while for a frame. Whoever is given up for it is woken; who holds something alone
    /// may hold it, however large it is.
    pub(crate) fn hold(self: &Arc<Self>, frame: &Bytes, waker: &Waker) -> Claim {
        let end = frame.as_ptr_range().end.addr();
        let mut given_up = Vec::new();
        let mut held = self.lock();
        let known = held.frames.entry(end).or_insert(Frame { n_bytes: 0, n_holders: 0 });
        known.n_holders += 1;
        if known.n_holders == 1 {
            known.n_bytes = frame.len();
            held.bytes += frame.len();
        }
        held.last += 1;
        let number = held.last;
        held.holders.insert(number, (end, waker.clone()));
        while held.bytes > self.max_bytes && held.holders.len() > 1 {
            let Some((_, (end, waker))) = held.holders.pop_first() else { break };
            held.release(end);
            given_up.push(waker);
        }
        drop(held);
        for it in given_up {
            it.wake();
        }
        Claim { unsent: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing that can panic happens under the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn release(&mut self, end: usize) {
        let Some(frame) = self.frames.get_mut(&end) else { return };
        frame.n_holders -= 1;
        if frame.n_holders == 0 {
            self.bytes -= frame.n_bytes;
            self.frames.remove(&end);
        }
    }
}

/// A frame that a socket is taking, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    unsent: Arc<Unsent>,
    number: u64,
}

impl Claim {
    /// True if there is no room for it any more: the socket is to be closed.
    pub(crate) fn is_given_up(&self) -> bool {
        !self.unsent.lock().holders.contains_key(&self.number)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.unsent.lock();
        if let Some((end, _)) = held.holders.remove(&self.number) {
            held.release(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn a_frame_counts_once_however_many_take_it_and_however_far_they_are() {
        let unsent = Unsent::new(100);
        let mut frame = Bytes::from(vec![0; 90]);
        let first = unsent.hold(&frame, Waker::noop());
        frame.advance(40);
        let others: Vec<_> = (0..1000).map(|_| unsent.hold(&frame, Waker::noop())).collect();
        assert_eq!(unsent.lock().bytes, 90);
        assert!(!first.is_given_up());
        drop(first);
        assert_eq!(unsent.lock().bytes, 90);
        drop(others);
        let held = unsent.lock();
        assert_eq!((held.bytes, held.frames.len(), held.holders.len()), (0, 0, 0));
    }

    #[test]
    fn whoever_has_waited_the_longest_is_given_up_and_one_alone_never() {
        let unsent = Unsent::new(100);
        let frames: Vec<_> = (0..4).map(|_| Bytes::from(vec![0; 60])).collect();
        let old = unsent.hold(&frames[0], Waker::noop());
        let same = unsent.hold(&frames[0], Waker::noop());
        let new = unsent.hold(&frames[1], Waker::noop());
        assert!(old.is_given_up() && same.is_given_up() && !new.is_given_up());
        assert_eq!(unsent.lock().bytes, 60);
        let large = Bytes::from(vec![0; 500]);
        let alone = unsent.hold(&large, Waker::noop());
        assert!(new.is_given_up() && !alone.is_given_up());
        let next = unsent.hold(&frames[2], Waker::noop());
        assert!(alone.is_given_up() && !next.is_given_up());
        drop((old, same, new, alone, next));
        assert_eq!(unsent.lock().bytes, 0);
    }
}
