//! What an application's servers do to a relay and are told by it, and what must hold of that.

use presence_core::Time;
use presence_core::relay::{
    MemoryBackplane, News, Notice, NoticeEvent, PlaceError, Relay, Told, WatchError, WatcherId,
};
use presence_protocol::{Color, Key, Meta, Presence, SessionId, User, UserId};
use simulation::relay::SimHost;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type Running = Relay<SimHost, MemoryBackplane>;
type Roster = BTreeMap<UserId, BTreeMap<SessionId, Presence<Meta>>>;

/// Most watchers at a time, so that a run stays quick.
const MAX_WATCHERS: usize = 6;

/// What servers have done that still holds.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    bans: BTreeMap<(UserId, Option<Key>), Time>,
    placed: BTreeMap<(Key, UserId), SessionId>,
    watchers: Vec<Watcher>,
    /// What was told of users, written down once for all watchers: there by its number.
    tidings: Vec<Vec<News>>,
}

/// A server that believes what it is told of a key.
#[derive(Debug)]
struct Watcher {
    id: WatcherId,
    key: Key,
    user: UserId,
    roster: Option<Roster>,
    is_awake: bool,
    is_put_out: bool,
}

impl Servers {
    pub(crate) fn kick(
        &mut self,
        relay: &mut Running,
        now: Time,
        user: &UserId,
        key: &Key,
        lasting: Duration,
    ) {
        let n_there = relay.roster(key).iter().filter(|it| it.user.id() == user).count();
        let kicked = relay.kick(now, user, Some(key), lasting);
        assert_eq!(kicked, Ok(n_there), "{user:?} of {key:?}");
        let rest = relay.roster(key);
        assert!(rest.iter().all(|it| it.user.id() != user), "put out and still there: {rest:?}");
        self.put_out(now, user, Some(key), lasting);
    }

    pub(crate) fn kick_everywhere(
        &mut self,
        relay: &mut Running,
        now: Time,
        user: &UserId,
        lasting: Duration,
        enough: usize,
    ) {
        let n_there = all(relay).iter().filter(|it| it.user.id() == user).count();
        let kicked = relay.kick(now, user, None, lasting);
        let mut n_kicked = kicked.unwrap_or_else(|it| panic!("{it:?}"));
        let mut after = None;
        loop {
            let (n, next) = relay.kick_lost(now, user, after.as_ref(), enough);
            n_kicked += n;
            assert!(next.is_none() || next > after, "the same keys again");
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(n_kicked, n_there, "{user:?}");
        let rest = all(relay);
        assert!(rest.iter().all(|it| it.user.id() != user), "put out and still there: {rest:?}");
        self.put_out(now, user, None, lasting);
    }

    fn put_out(&mut self, now: Time, user: &UserId, key: Option<&Key>, lasting: Duration) {
        let until = self.bans.entry((user.clone(), key.cloned())).or_insert(now);
        *until = (*until).max(now + lasting);
        for it in &mut self.watchers {
            it.is_put_out |= it.user == *user && key.is_none_or(|key| *key == it.key);
        }
    }

    pub(crate) fn lift(
        &mut self,
        relay: &mut Running,
        now: Time,
        user: &UserId,
        key: Option<&Key>,
    ) {
        let until = self.bans.remove(&(user.clone(), key.cloned()));
        let was_kept_out = until.is_some_and(|it| now < it);
        assert_eq!(relay.lift_kick(now, user, key), was_kept_out, "{user:?} of {key:?}");
    }

    pub(crate) fn place(
        &mut self,
        relay: &mut Running,
        now: Time,
        key: &Key,
        user: &UserId,
        meta: &str,
        lasting: Duration,
    ) {
        let Ok(meta) = Meta::from_json_value(meta) else { return };
        let Ok(whole) = User::new(user.clone(), user.as_str(), Color([4, 5, 6])) else { return };
        let known = self.placed(relay, key, user);
        let placed = relay.place(now, key, &Arc::new(whole), meta.clone(), lasting);
        let is_kept_out = self.keeps_out(now, user, key);
        assert_eq!(placed == Err(PlaceError::Kicked), is_kept_out, "{user:?} in {key:?}");
        let Ok(session) = placed else { return };
        assert!(known.is_none_or(|it| it == session), "placed once more in the same key");
        let there = relay.roster(key).into_iter().find(|it| it.session == session);
        let there = there.unwrap_or_else(|| panic!("placed, and not there"));
        assert_eq!((there.user.id(), &there.meta), (user, &meta));
        self.placed.insert((key.clone(), user.clone()), session);
    }

    pub(crate) fn withdraw(&mut self, relay: &mut Running, now: Time, key: &Key, user: &UserId) {
        let placed = self.placed(relay, key, user);
        assert_eq!(relay.withdraw(now, key, user), placed.is_some(), "{user:?} of {key:?}");
        assert_eq!(self.placed(relay, key, user), None, "withdrawn and still there");
    }

    /// The session of a member that a server has placed, unless it has ended.
    fn placed(&self, relay: &Running, key: &Key, user: &UserId) -> Option<SessionId> {
        let session = *self.placed.get(&(key.clone(), user.clone()))?;
        relay.roster(key).iter().any(|it| it.session == session).then_some(session)
    }

    pub(crate) fn watch(&mut self, relay: &mut Running, now: Time, key: &Key, user: &UserId) {
        if self.watchers.len() >= MAX_WATCHERS {
            return;
        }
        let watched = relay.watch(now, key, user);
        let is_kept_out = self.keeps_out(now, user, key);
        assert_eq!(watched == Err(WatchError::Kicked), is_kept_out, "{user:?} of {key:?}");
        let Ok(id) = watched else { return };
        let (key, user) = (key.clone(), user.clone());
        let (is_awake, is_put_out) = (true, false);
        self.watchers.push(Watcher { id, key, user, roster: None, is_awake, is_put_out });
    }

    pub(crate) fn unwatch(&mut self, relay: &mut Running, which: usize) {
        if let Some(n) = which.checked_rem(self.watchers.len()) {
            let it = self.watchers.swap_remove(n);
            relay.unwatch(&it.key, it.id);
        }
    }

    /// Those who have something to be told know it.
    pub(crate) fn wake(&mut self, relay: &mut Running) {
        while let Some(id) = relay.poll_watcher() {
            if let Some(it) = self.watchers.iter_mut().find(|it| it.id == id) {
                it.is_awake = true;
            }
        }
    }

    /// One watcher takes one thing, awake or not.
    pub(crate) fn hear_one(&mut self, relay: &mut Running, now: Time, which: usize) {
        self.wake(relay);
        if let Some(n) = which.checked_rem(self.watchers.len())
            && let Some(it) = self.watchers.get_mut(n)
        {
            let was_awake = it.is_awake;
            let has_heard = it.hear(relay, now, &mut self.tidings);
            assert!(was_awake || !has_heard, "nobody has woken it for what it was told");
            it.is_awake = was_awake && has_heard;
        }
    }

    /// Those who are awake take all there is.
    pub(crate) fn hear_all(&mut self, relay: &mut Running, now: Time) {
        self.wake(relay);
        for it in self.watchers.iter_mut().filter(|it| it.is_awake) {
            while it.hear(relay, now, &mut self.tidings) && !it.is_put_out {}
            it.is_awake = false;
        }
        self.watchers.retain(|it| !it.is_put_out);
    }

    fn keeps_out(&self, now: Time, user: &UserId, key: &Key) -> bool {
        let until = |key: Option<&Key>| self.bans.get(&(user.clone(), key.cloned()));
        [None, Some(key)].into_iter().filter_map(until).any(|it| now < *it)
    }

    /// What holds after each step.
    pub(crate) fn check(&mut self, relay: &Running, now: Time) {
        self.bans.retain(|_, until| now < *until);
        if self.bans.is_empty() {
            return;
        }
        for (key, roster) in relay.rosters_after(None, usize::MAX) {
            for it in roster {
                let is_kept_out = self.keeps_out(now, it.user.id(), &key);
                assert!(!is_kept_out, "kept out of {key:?} and there: {it:?}");
            }
        }
    }

    /// What is counted is what there is.
    pub(crate) fn check_sums(&self, relay: &Running) {
        let stats = relay.stats();
        let rosters = relay.rosters_after(None, usize::MAX);
        let n_presences = rosters.iter().map(|(_, it)| it.len()).sum::<usize>();
        let n_members = rosters.iter().map(|(_, it)| by_user(it).len()).sum::<usize>();
        assert_eq!((stats.presences, stats.members), (n_presences, n_members));
        let n_watchers = self.watchers.iter().filter(|it| !it.is_put_out).count();
        assert_eq!(stats.watchers, n_watchers, "watchers");
    }

    /// A watcher who knows another roster than there is.
    pub(crate) fn differ(&self, relay: &Running) -> Option<(&Key, Option<&Roster>, Roster)> {
        let all = self.watchers.iter().map(|it| {
            let roster = by_user(&relay.roster(&it.key));
            (&it.key, it.roster.as_ref(), roster)
        });
        all.into_iter().find(|(_, known, roster)| *known != Some(roster))
    }
}

impl Watcher {
    /// Takes one thing that it is told. False if there is none.
    fn hear(&mut self, relay: &mut Running, now: Time, written: &mut Vec<Vec<News>>) -> bool {
        let told = relay.told(now, &self.key, self.id);
        assert_eq!(told == Some(Told::Kicked), self.is_put_out, "{self:?}");
        match told {
            None | Some(Told::Kicked) => return false,
            Some(Told::Roster(_, presences)) => self.roster = Some(by_user(&presences)),
            Some(Told::News(tidings)) => {
                let number = tidings.text(|_, news| {
                    written.push(news.to_vec());
                    (written.len() - 1).to_be_bytes().to_vec()
                });
                let number = <[u8; 8]>::try_from(&*number).map_or(0, usize::from_be_bytes);
                for it in written.get(number).into_iter().flatten() {
                    self.follow(it);
                }
            }
        }
        true
    }

    fn follow(&mut self, news: &News) {
        let roster = self.roster.as_mut().unwrap_or_else(|| panic!("news before the roster"));
        let News { user, was_here, sessions, left } = news;
        let known = roster.remove(user.id());
        assert_eq!(known.is_some(), *was_here, "{news:?}");
        assert_eq!(sessions.is_empty(), left.is_some(), "{news:?}");
        assert!(known != Some(of_user(sessions)), "no news: {news:?}");
        if left.is_none() {
            roster.insert(user.id().clone(), of_user(sessions));
        }
    }
}

/// Who was told to be where.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<Key, BTreeMap<UserId, Arc<User>>>);

impl Ledger {
    pub(crate) fn take(&mut self, notice: &Notice) {
        let Notice { key, event } = notice;
        let of_key = self.0.get_mut(key);
        match (event, of_key) {
            (NoticeEvent::Occupied, None) => {
                self.0.insert(key.clone(), BTreeMap::new());
            }
            (NoticeEvent::Joined(user), Some(of_key)) => {
                let former = of_key.insert(user.id().clone(), user.clone());
                assert!(former.is_none(), "told twice: {notice:?}");
            }
            (NoticeEvent::Left(user), Some(of_key)) => {
                assert!(of_key.remove(user.id()).is_some(), "was never told of: {notice:?}");
            }
            (NoticeEvent::Vacated, Some(of_key)) if of_key.is_empty() => {
                self.0.remove(key);
            }
            (_, of_key) => panic!("{notice:?} while {of_key:?} are there"),
        }
    }

    pub(crate) fn has(&self, key: &Key, user: &UserId) -> bool {
        self.0.get(key).is_some_and(|it| it.contains_key(user))
    }

    /// As a shell keeps it over a restart.
    pub(crate) fn all(&self) -> Vec<(Key, Arc<User>)> {
        let of_key = |(key, of_key): (&Key, &BTreeMap<_, Arc<User>>)| {
            of_key.values().map(|it| (key.clone(), it.clone())).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_key).collect()
    }
}

fn all(relay: &Running) -> Vec<Presence<Meta>> {
    relay.rosters_after(None, usize::MAX).into_iter().flat_map(|(_, it)| it).collect()
}

fn by_user(presences: &[Presence<Meta>]) -> Roster {
    let mut roster = Roster::new();
    for it in presences {
        let of_user = roster.entry(it.user.id().clone()).or_default();
        of_user.insert(it.session, it.clone());
    }
    roster
}

fn of_user(presences: &[Presence<Meta>]) -> BTreeMap<SessionId, Presence<Meta>> {
    presences.iter().map(|it| (it.session, it.clone())).collect()
}
