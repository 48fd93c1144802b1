//! The seam between relays: changes go in, come back in one order.

use super::room::Change;
use crate::Time;
use presence_protocol::{Epoch, Key, Rev};

/// Puts the changes of a key in one order that all relays share.
///
/// A relay never changes a roster by itself: it publishes a change and applies what comes back. Alone,
/// [`MemoryBackplane`] answers at once; between several relays the ordered change arrives later through
/// [`Relay::deliver`](super::Relay::deliver).
pub trait Backplane {
    /// The current epoch and when it began, on the clock of the relay that asks.
    fn epoch(&self) -> (Epoch, Time);

    /// Publishes a change. `Some` if it is already in order and can be applied at once.
    fn publish(&mut self, key: &Key, change: &Change) -> Option<Rev>;
}

/// The backplane of a relay that stands alone.
#[derive(Debug)]
pub struct MemoryBackplane {
    epoch: Epoch,
    began: Time,
    /// One counter for all keys, so that a key that was empty for a while never repeats a rev.
    last: u64,
}

impl MemoryBackplane {
    /// A new life of this relay's state.
    #[must_use]
    pub const fn new(epoch: Epoch, began: Time) -> Self {
        Self { epoch, began, last: 0 }
    }
}

impl Backplane for MemoryBackplane {
    fn epoch(&self) -> (Epoch, Time) {
        (self.epoch, self.began)
    }

    fn publish(&mut self, _key: &Key, _change: &Change) -> Option<Rev> {
        self.last += 1;
        Some(Rev(self.last))
    }
}
