//! How many of something each user has.

use presence_protocol::UserId;
use std::collections::BTreeMap;

/// A number for each user who has any: asking is as cheap with thousands.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<UserId, usize>);

impl Counts {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// How many a user has.
    pub(super) fn of(&self, user: &UserId) -> usize {
        self.0.get(user).copied().unwrap_or_default()
    }

    /// How many users have any.
    pub(super) fn users(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, user: &UserId) {
        match self.0.get_mut(user) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(user.clone(), 1)),
        }
    }

    pub(super) fn remove(&mut self, user: &UserId) {
        if let Some(count) = self.0.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(user);
            }
        }
    }

    /// Follows what has become of somebody's place.
    pub(super) fn follow(&mut self, moved: &Moved) {
        if let Some(user) = &moved.came {
            self.add(user);
        }
        if let Some(user) = &moved.gone {
            self.remove(user);
        }
    }
}

/// Whose a place has become, and whose it is no longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Who has come.
    pub came: Option<UserId>,
    /// Who has gone.
    pub gone: Option<UserId>,
}
