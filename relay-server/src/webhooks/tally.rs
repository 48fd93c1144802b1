//! What becomes of what a webhook is to be told, in numbers.

/// What has happened since the start, and how many events wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// In the queue, those included that are being sent.
    pub(super) waiting: u64,
    /// Deliveries that were taken.
    pub(super) taken: u64,
    /// Deliveries that were answered with something else.
    pub(super) refused: u64,
    /// Deliveries that weren't answered.
    pub(super) unanswered: u64,
    /// Lost because too many waited.
    pub(super) queue_full: u64,
    /// Lost because the disk didn't keep up.
    pub(super) disk: u64,
    /// Lost because they weren't taken for hours.
    pub(super) given_up: u64,
}

impl Tally {
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Deliveries, by what came of them.
    pub(crate) const fn deliveries(&self) -> [(&'static str, u64); 3] {
        [("taken", self.taken), ("refused", self.refused), ("unanswered", self.unanswered)]
    }

    /// Events that are told to nobody, by why.
    pub(crate) const fn lost(&self) -> [(&'static str, u64); 3] {
        [("queue_full", self.queue_full), ("disk", self.disk), ("given_up", self.given_up)]
    }
}
