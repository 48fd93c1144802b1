//! Bounds that many share: beyond one, whoever has the most gives up what they have had the longest.
//!
//! So nobody can take so much that there is nothing for others, and nobody who has little notices.

use crate::limits::Place;
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Something of which there is only so much.
#[derive(Debug)]
pub(crate) struct Shares {
    size: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// What is shared: many may hold the same thing, which is there once.
    things: HashMap<Thing, (usize, Holders)>,
    owners: HashMap<Place, Owner>,
    /// The owners, with how much each has and since when: the last one has the most, and of those that have as
    /// much the oldest.
    by_greed: BTreeSet<(usize, Reverse<u64>, Place)>,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Thing {
    /// A frame, by where it ends in memory, which stays the same while its beginning is written.
    Frame(usize),
    /// What nobody else holds, by its share's number.
    Own(u64),
}

type Holders = usize;

#[derive(Debug, Default)]
struct Owner {
    /// How much the things have that it holds, each once.
    amount: usize,
    things: BTreeMap<Thing, Holders>,
    /// By when they began.
    shares: BTreeMap<u64, (Thing, Waker)>,
}

impl Shares {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, taken: Mutex::default() })
    }

    /// Somebody takes one.
    pub(crate) fn take(self: &Arc<Self>, owner: Place, waker: &Waker) -> Share {
        self.hold(owner, None, 1, waker)
    }

    /// Somebody will keep a frame alive for a while. All who keep the same one share it, and one that is larger
    /// than all there is may be alone.
    pub(crate) fn keep(self: &Arc<Self>, owner: Place, frame: &Bytes, waker: &Waker) -> Share {
        let end = frame.as_ptr_range().end.addr();
        self.hold(owner, Some(Thing::Frame(end)), frame.len(), waker)
    }

    fn hold(
        self: &Arc<Self>,
        owner: Place,
        thing: Option<Thing>,
        amount: usize,
        waker: &Waker,
    ) -> Share {
        let mut given_up = Vec::new();
        let mut taken = self.lock();
        taken.last += 1;
        let number = taken.last;
        let thing = thing.unwrap_or(Thing::Own(number));
        taken.add(owner, number, thing, amount, waker.clone());
        while taken.all > self.size && taken.things.len() > 1 {
            let Some((owner, oldest)) = taken.greediest() else { break };
            given_up.extend(taken.remove(owner, oldest));
        }
        drop(taken);
        for it in given_up {
            it.wake();
        }
        Share { of: Arc::clone(self), owner, number }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that can panic happens under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn add(&mut self, place: Place, number: u64, thing: Thing, amount: usize, waker: Waker) {
        let (amount, n_holders) = self.things.entry(thing).or_insert((amount, 0));
        *n_holders += 1;
        if *n_holders == 1 {
            self.all += *amount;
        }
        let owner = self.owners.entry(place).or_default();
        self.by_greed.remove(&owner.greed(place));
        let n_own = owner.things.entry(thing).or_default();
        *n_own += 1;
        if *n_own == 1 {
            owner.amount += *amount;
        }
        owner.shares.insert(number, (thing, waker));
        self.by_greed.insert(owner.greed(place));
    }

    /// Takes a share away, if it isn't yet. Returns whom to wake.
    fn remove(&mut self, place: Place, number: u64) -> Option<Waker> {
        let owner = self.owners.get_mut(&place)?;
        let greed = owner.greed(place);
        let (thing, waker) = owner.shares.remove(&number)?;
        self.by_greed.remove(&greed);
        let (amount, n_holders) = self.things.get_mut(&thing)?;
        if let Some(n_own) = owner.things.get_mut(&thing) {
            *n_own -= 1;
            if *n_own == 0 {
                owner.things.remove(&thing);
                owner.amount -= *amount;
            }
        }
        *n_holders -= 1;
        if *n_holders == 0 {
            self.all -= *amount;
            self.things.remove(&thing);
        }
        if owner.shares.is_empty() {
            self.owners.remove(&place);
        } else {
            self.by_greed.insert(owner.greed(place));
        }
        Some(waker)
    }

    fn greediest(&self) -> Option<(Place, u64)> {
        self.by_greed.last().map(|(_, Reverse(oldest), place)| (*place, *oldest))
    }
}

impl Owner {
    fn greed(&self, place: Place) -> (usize, Reverse<u64>, Place) {
        let oldest = self.shares.first_key_value().map_or(u64::MAX, |(number, _)| *number);
        (self.amount, Reverse(oldest), place)
    }
}

/// What somebody has of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    owner: Place,
    number: u64,
}

impl Share {
    /// True if others need it more. Its holder was woken.
    pub(crate) fn is_given_up(&self) -> bool {
        let taken = self.of.lock();
        !taken.owners.get(&self.owner).is_some_and(|it| it.shares.contains_key(&self.number))
    }

    /// True if it is for this frame.
    pub(crate) fn is_of(&self, frame: &Bytes) -> bool {
        let thing = Thing::Frame(frame.as_ptr_range().end.addr());
        let taken = self.of.lock();
        let share = taken.owners.get(&self.owner).and_then(|it| it.shares.get(&self.number));
        share.is_some_and(|(it, _)| *it == thing)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.lock().remove(self.owner, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Spent};
    use bytes::Buf;

    #[test]
    fn a_frame_counts_once_however_many_take_it_and_however_far_they_are() {
        let (shares, [alice, bob, ..]) = (Shares::new(100), places());
        let mut frame = frame(90);
        let first = shares.keep(alice, &frame, Waker::noop());
        frame.advance(40);
        assert!(first.is_of(&frame));
        let others: Vec<_> = (0..1000)
            .map(|n| shares.keep(if n % 2 == 0 { alice } else { bob }, &frame, Waker::noop()))
            .collect();
        assert_eq!(shares.lock().all, 90);
        assert!(!first.is_given_up());
        drop(first);
        assert_eq!(shares.lock().all, 90);
        drop(others);
        assert_nothing_is_left(&shares);
    }

    #[test]
    fn who_holds_many_frames_gives_up_their_oldest_and_nobody_else_notices() {
        let (shares, [mallory, alice, ..]) = (Shares::new(100), places());
        let frames: Vec<_> = (0..20).map(|_| frame(30)).collect();
        let theirs = shares.keep(alice, &frames[0], Waker::noop());
        let same = shares.keep(alice, &frames[0], Waker::noop());
        let many: Vec<_> =
            frames.iter().map(|it| shares.keep(mallory, it, Waker::noop())).collect();
        assert!(!theirs.is_given_up() && !same.is_given_up(), "who was there before");
        let given_up = many.iter().filter(|it| it.is_given_up()).count();
        assert_eq!(given_up, 18);
        assert!(many[18..].iter().all(|it| !it.is_given_up()), "the newest are theirs");
        assert_eq!(shares.lock().all, 90);
        drop((theirs, same, many));
        assert_nothing_is_left(&shares);
    }

    #[test]
    fn of_those_who_have_as_much_the_one_who_has_waited_the_longest_is_given_up() {
        let (shares, [alice, bob, carol, _]) = (Shares::new(2), places());
        let first = shares.take(alice, Waker::noop());
        let second = shares.take(bob, Waker::noop());
        let third = shares.take(carol, Waker::noop());
        assert!(first.is_given_up() && !second.is_given_up() && !third.is_given_up());
        drop((first, second, third));
        assert_nothing_is_left(&shares);
    }

    #[test]
    fn what_is_larger_than_all_there_is_may_be_alone_with_all_who_take_it() {
        let (shares, [alice, bob, carol, _]) = (Shares::new(100), places());
        let (large, next) = (frame(500), frame(60));
        let readers = [alice, bob].map(|it| shares.keep(it, &large, Waker::noop()));
        assert!(readers.iter().all(|it| !it.is_given_up()));
        let other = shares.keep(carol, &next, Waker::noop());
        assert!(readers.iter().all(Share::is_given_up) && !other.is_given_up());
        drop((readers, other));
        assert_nothing_is_left(&shares);
    }

    fn assert_nothing_is_left(shares: &Shares) {
        let taken = shares.lock();
        assert_eq!((taken.all, taken.things.len(), taken.owners.len()), (0, 0, 0));
        assert!(taken.by_greed.is_empty());
    }

    fn frame(n_bytes: usize) -> Bytes {
        Bytes::from(vec![0; n_bytes])
    }

    fn places() -> [Place; 4] {
        let spent = Spent::new(Limits::NONE);
        [1, 2, 3, 4].map(|n| spent.of_address([192, 0, 2, n].into()))
    }
}
