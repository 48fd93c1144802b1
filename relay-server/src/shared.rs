//! The one relay that all tasks share, behind one lock.
//!
//! An operation of the core takes about a microsecond, so a plain mutex serves thousands of sockets.
//! Decoding, checking tokens and writing to sockets happen outside of it, and nothing waits while it
//! is held.

use crate::clock::Clock;
use crate::host::WireHost;
use crate::store::Inbox;
use crate::webhooks::{Mailbox, Tally};
use presence_core::Time;
use presence_core::relay::{
    Asked, Closed, ConnId, Full, LastSeenRules, MemoryBackplane, NoticeRules, Relay, RelayConfig,
    WatchError, WatcherId,
};
use presence_protocol::{CloseCode, Epoch, Key, UserId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// The core with this program's surroundings.
pub(crate) type Core = Relay<WireHost, MemoryBackplane>;

/// The relay and the tasks that serve its connections.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Tells the timer that a deadline came nearer.
    sooner: Notify,
    /// Where the core's requests go.
    inbox: Arc<Inbox>,
    /// Where what servers are told goes.
    mailbox: Arc<Mailbox>,
}

#[derive(Debug)]
struct State {
    core: Core,
    clock: Clock,
    /// Who serves a connection, by its number.
    places: Vec<Place>,
    /// What the timer sleeps until.
    armed: Option<Time>,
    is_stopping: bool,
    /// Whom to wake when there is something for a watcher.
    watchers: BTreeMap<WatcherId, Arc<Notify>>,
}

/// A connection's task.
#[derive(Debug)]
enum Place {
    /// No connection has this number.
    Free,
    /// It is running, or has been told to.
    Awake,
    /// It sleeps and wants to be woken.
    Asleep(Waker),
}

/// How a connection's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is nothing more for it now.
    Idle,
    /// It has taken as much as it may at a time, and there is more.
    More,
    /// Its socket is closed, or about to be: its number is free again.
    Over(Closed),
}

impl Shared {
    pub(crate) fn new(config: RelayConfig, host: WireHost, epoch: Epoch, seed: u64) -> Self {
        let mut clock = Clock::start();
        let backplane = MemoryBackplane::new(epoch, clock.now());
        let core = Relay::new(config, host, backplane, seed);
        let state = State {
            core,
            clock,
            places: Vec::new(),
            armed: None,
            is_stopping: false,
            watchers: BTreeMap::new(),
        };
        Self {
            state: Mutex::new(state),
            sooner: Notify::new(),
            inbox: Arc::default(),
            mailbox: Arc::default(),
        }
    }

    /// From now on it is kept who viewed what, by whoever serves the inbox.
    pub(crate) fn keep_last_seen(&self, rules: LastSeenRules) -> Arc<Inbox> {
        self.with(|core, now| core.keep_last_seen(now, rules));
        Arc::clone(&self.inbox)
    }

    /// From now on a webhook is told who comes and goes, by whoever serves the mailbox.
    pub(crate) fn keep_notices(&self, rules: NoticeRules) -> Arc<Mailbox> {
        self.with(|core, now| core.keep_notices(now, rules));
        Arc::clone(&self.mailbox)
    }

    /// What has become of what a webhook was to be told.
    pub(crate) fn webhook_tally(&self) -> Tally {
        self.mailbox.tally()
    }

    /// Where the store's work waits.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Somebody watches a key from now on, and is notified whenever there is something to be told.
    pub(crate) fn watch(
        &self,
        key: &Key,
        user: &UserId,
    ) -> Result<(WatcherId, Arc<Notify>), WatchError> {
        self.operate(None, |state, now| {
            let id = state.core.watch(now, key, user)?;
            let news = Arc::default();
            state.watchers.insert(id, Arc::clone(&news));
            Ok((id, news))
        })
    }

    /// A watcher of a key is gone.
    pub(crate) fn unwatch(&self, key: &Key, id: WatcherId) {
        self.operate(None, |state, _| {
            state.core.unwatch(key, id);
            state.watchers.remove(&id);
        });
    }

    /// Registers a socket that was just upgraded.
    pub(crate) fn connect(&self) -> Result<ConnId, Full> {
        self.operate(None, |state, now| {
            let conn = state.core.connect(now)?;
            let index = conn.0 as usize;
            if state.places.len() <= index {
                state.places.resize_with(index + 1, || Place::Free);
            }
            if let Some(place) = state.places.get_mut(index) {
                *place = Place::Awake;
            }
            if state.is_stopping {
                state.core.refuse(now, conn, CloseCode::GoingAway);
            }
            Ok(conn)
        })
    }

    /// A connection's turn: its task says what it heard and takes what is to be written.
    ///
    /// The task is woken from then on whenever there is something for it, other than what its own
    /// turn brought about.
    pub(crate) fn turn(
        &self,
        conn: ConnId,
        waker: &Waker,
        operation: impl FnOnce(&mut Core, Time) -> Turn,
    ) -> Turn {
        self.operate(Some(conn), |state, now| {
            let turn = operation(&mut state.core, now);
            let Some(place) = state.places.get_mut(conn.0 as usize) else { return turn };
            match (&turn, &place) {
                (Turn::Over(how), _) => {
                    state.core.closed(now, conn, *how);
                    *place = Place::Free;
                }
                (Turn::Idle | Turn::More, Place::Asleep(known)) if known.will_wake(waker) => {}
                (Turn::Idle | Turn::More, _) => *place = Place::Asleep(waker.clone()),
            }
            turn
        })
    }

    /// Does anything else with the core.
    pub(crate) fn with<R>(&self, operation: impl FnOnce(&mut Core, Time) -> R) -> R {
        self.operate(None, |state, now| operation(&mut state.core, now))
    }

    /// Closes every connection because the relay stops, and every later one as well. Pages are told to
    /// come back within `drain`.
    pub(crate) fn stop(&self, drain: Duration) {
        self.operate(None, |state, now| {
            state.is_stopping = true;
            state.core.drain(now, drain);
        });
    }

    /// Looks at the clock, which must happen often.
    pub(crate) fn look_at_clock(&self) -> Time {
        self.lock().clock.now()
    }

    /// Runs what is due. Returns the time, and when something is due again.
    pub(crate) fn run_deadlines(&self) -> (Time, Option<Time>) {
        let now = self.operate(None, |state, now| {
            state.core.handle_timeout(now);
            now
        });
        let mut state = self.lock();
        state.armed = state.core.poll_timeout();
        (now, state.armed)
    }

    /// Waits until a deadline came nearer than the timer knows.
    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    fn operate<R>(&self, own: Option<ConnId>, operation: impl FnOnce(&mut State, Time) -> R) -> R {
        // Tasks are woken after the lock was given back, or they would wait for it at once.
        let (mut woken, mut news) = (Vec::new(), Vec::new());
        let mut requests = Vec::new();
        let (result, is_sooner, now) = {
            let mut state = self.lock();
            let state = &mut *state;
            let now = state.clock.now();
            let result = operation(state, now);
            while let Some(conn) = state.core.poll_wake() {
                if Some(conn) != own
                    && let Some(place @ Place::Asleep(_)) = state.places.get_mut(conn.0 as usize)
                    && let Place::Asleep(waker) = std::mem::replace(place, Place::Awake)
                {
                    woken.push(waker);
                }
            }
            requests.extend(std::iter::from_fn(|| state.core.poll_request()));
            while let Some(id) = state.core.poll_watcher() {
                news.extend(state.watchers.get(&id).cloned());
            }
            // Here, because their order matters.
            while let Some(notice) = state.core.poll_notice() {
                self.mailbox.add(notice);
            }
            let next = state.core.poll_timeout();
            let is_sooner = next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed));
            if is_sooner {
                state.armed = next;
            }
            (result, is_sooner, now)
        };
        if is_sooner {
            self.sooner.notify_one();
        }
        let refused = self.inbox.add(now, requests);
        if !refused.is_empty() {
            self.refuse(refused);
        }
        for waker in woken {
            waker.wake();
        }
        for it in news {
            it.notify_one();
        }
        result
    }

    /// There is no room for these questions.
    fn refuse(&self, questions: Vec<Asked>) {
        self.with(|core, now| {
            for asked in questions {
                core.last_seen(now, asked, None);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug; the state behind it is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
