//! Sockets that are no connections of the relay yet, or not any more, and how many of them there may be.

use crate::limits::Place;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of seats that all addresses share.
///
/// An address may take another seat while it has fewer than there are free. So one address gets half of
/// them at most, the next one half of what is left, and whoever has none finds one if there is any.
#[derive(Debug)]
pub(crate) struct Lobby {
    size: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<Place, usize>,
}

impl Lobby {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, taken: Mutex::default() })
    }

    /// Takes a seat; `None` if there is none for this address. A proxy stands for many addresses, and is
    /// none itself.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<Place>) -> Option<Seat> {
        let mut taken = self.lock();
        let free = self.size.saturating_sub(taken.all);
        let own = address.and_then(|it| taken.by_address.get(&it)).copied().unwrap_or_default();
        if own >= free {
            return None;
        }
        taken.all += 1;
        if let Some(address) = address {
            taken.by_address.insert(address, own + 1);
        }
        Some(Seat { lobby: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that can panic happens under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A seat in a lobby, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    lobby: Arc<Lobby>,
    address: Option<Place>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.lobby.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(address) = self.address
            && let Some(own) = taken.by_address.get_mut(&address)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Spent};

    #[test]
    fn whoever_has_no_seat_finds_one_however_many_the_others_take() {
        let (lobby, addresses) = (Lobby::new(1000), addresses());
        let mut seats = Vec::new();
        for (n, address) in (0_usize..).zip(&addresses) {
            let taken = seats.len();
            while let Some(seat) = lobby.enter(Some(*address)) {
                seats.push(seat);
            }
            let own = seats.len() - taken;
            assert!(own > 0, "after {n} others that took all they could");
            assert!(n > 0 || own == 500, "one alone takes half: {own}");
        }
        assert!(seats.len() <= 1000);
    }

    #[test]
    fn a_proxy_may_take_them_all_and_a_seat_that_is_left_is_free() {
        let (lobby, addresses) = (Lobby::new(10), addresses());
        let mut seats: Vec<_> = std::iter::from_fn(|| lobby.enter(None)).collect();
        assert_eq!(seats.len(), 10);
        assert!(lobby.enter(Some(addresses[0])).is_none());
        seats.pop();
        seats.extend(lobby.enter(Some(addresses[0])));
        assert_eq!(seats.len(), 10);
        drop(seats);
        assert!(lobby.lock().by_address.is_empty(), "who has none is forgotten");
        assert_eq!(lobby.lock().all, 0);
    }

    fn addresses() -> Vec<Place> {
        let spent = Spent::new(Limits::NONE);
        (1..9).map(|n| spent.of_address([192, 0, 2, n].into())).collect()
    }
}
