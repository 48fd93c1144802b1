//! Who looks at a key without being in it.

use super::ConnId;
use super::counts::{Counts, Moved};
use presence_protocol::{User, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The observers of a key, and how many of them each user is.
#[derive(Debug, Default)]
pub(super) struct Observers {
    users: BTreeMap<ConnId, Arc<User>>,
    counts: Counts,
}

impl Observers {
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn contains(&self, id: ConnId) -> bool {
        self.users.contains_key(&id)
    }

    /// How many of them are this user.
    pub(super) fn count_of(&self, user: &UserId) -> usize {
        self.counts.of(user)
    }

    /// A connection looks on as this user, whoever it was before.
    pub(super) fn insert(&mut self, id: ConnId, user: Arc<User>) -> Moved {
        let came = Some(user.id().clone());
        let gone = self.users.insert(id, user).map(|it| it.id().clone());
        self.follow(Moved { came, gone })
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Moved {
        let gone = self.users.remove(&id).map(|it| it.id().clone());
        self.follow(Moved { came: None, gone })
    }

    fn follow(&mut self, moved: Moved) -> Moved {
        self.counts.follow(&moved);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use presence_protocol::Color;

    #[test]
    fn each_is_counted_as_who_it_is_now_and_nobody_who_is_gone() {
        let user = |id: &str| {
            let id = UserId::parse(id).unwrap();
            Arc::new(User::new(id, "name", Color([1, 2, 3])).unwrap())
        };
        let (alice, bob) = (user("alice"), user("bob"));
        let mut observers = Observers::default();
        let counts = |it: &Observers| (it.count_of(alice.id()), it.count_of(bob.id()), it.len());
        observers.insert(ConnId(1), Arc::clone(&alice));
        observers.insert(ConnId(2), Arc::clone(&alice));
        assert_eq!(counts(&observers), (2, 0, 2));
        observers.insert(ConnId(2), Arc::clone(&alice));
        assert_eq!(counts(&observers), (2, 0, 2));
        observers.insert(ConnId(2), Arc::clone(&bob));
        assert_eq!(counts(&observers), (1, 1, 2));
        observers.remove(ConnId(1));
        observers.remove(ConnId(1));
        assert_eq!(counts(&observers), (0, 1, 1));
        observers.remove(ConnId(2));
        assert_eq!((observers.users.len(), observers.counts.users()), (0, 0));
    }
}
