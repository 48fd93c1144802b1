//! What waits for the store, and never grows beyond a bound.

use super::{MAX_VIEWS_PER_USER, Store, StoreError, Unavailable};
use crate::clock::wall;
use presence_core::Time;
use presence_core::relay::{Asked, KeyPattern, Request, View};
use presence_protocol::limits::ANSWER_TIMEOUT;
use presence_protocol::{Key, UserId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

/// For how long views are gathered before they are written: what a relay that is killed loses at most.
const BATCH: Duration = Duration::from_millis(250);
/// Most views that wait to be written, in case the disk is slower than the people.
pub(super) const MAX_WAITING: usize = 100_000;
/// Most questions that wait.
pub(super) const MAX_QUESTIONS: usize = 10_000;
/// Most patterns of keys that wait to be forgotten of somebody.
pub(super) const MAX_FORGETTING: usize = 10_000;
/// Most other jobs that wait.
const MAX_JOBS: usize = 1000;

/// What waits for the store.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) views: BTreeMap<UserId, BTreeMap<Key, View>>,
    pub(super) n_views: usize,
    /// What is to be forgotten before the views are kept.
    pub(super) forget_users: BTreeMap<UserId, Vec<KeyPattern>>,
    pub(super) n_forgetting: usize,
    pub(super) forget_before: Option<Time>,
    /// Questions stay here until it is their turn.
    asked: VecDeque<Question>,
    /// How many questions there have been: the number of the next one.
    pub(super) n_questions: u64,
    pub(super) jobs: Vec<Job>,
    pub(super) n_dropped: usize,
    pub(super) is_over: bool,
}

/// Something that was asked.
#[derive(Debug)]
struct Question {
    number: u64,
    since: Instant,
    asked: Asked,
}

/// Anything else to be done with the store.
pub(super) struct Job(Box<Work>);

type Work = dyn FnOnce(&mut dyn Store) + Send;

impl Job {
    pub(super) fn run(self, store: &mut dyn Store) {
        (self.0)(store);
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Waiting {
    /// True if it shouldn't wait for the end of a batch.
    pub(super) fn is_urgent(&self) -> bool {
        !self.asked.is_empty()
            || !self.jobs.is_empty()
            || !self.forget_users.is_empty()
            || self.forget_before.is_some()
            || self.is_over
    }

    /// Adds what the core asks for; a question is given back if too many wait.
    pub(super) fn add(&mut self, request: Request) -> Option<Asked> {
        match request {
            Request::Keep(view) => self.keep(view),
            Request::LookUp(asked) if self.asked.len() >= MAX_QUESTIONS => return Some(asked),
            Request::LookUp(asked) => {
                let (number, since) = (self.n_questions, Instant::now());
                self.asked.push_back(Question { number, since, asked });
                self.n_questions += 1;
            }
            Request::ForgetBefore(before) => self.forget_before = Some(before),
            Request::ForgetUser { user, keys } => self.forget_user(user, keys),
        }
        None
    }

    fn keep(&mut self, view: View) {
        let of_user = self.views.entry(view.user.id().clone()).or_default();
        if let Some(known) = of_user.get_mut(&view.key) {
            // A loss is found out later than it was, and something may have been seen since.
            if known.at <= view.at {
                *known = view;
            }
        } else if self.n_views < MAX_WAITING && of_user.len() < MAX_VIEWS_PER_USER {
            of_user.insert(view.key.clone(), view);
            self.n_views += 1;
        } else {
            let (is_empty, user) = (of_user.is_empty(), view.user.id());
            if is_empty {
                self.views.remove(user);
            }
            self.n_dropped += 1;
        }
    }

    fn forget_user(&mut self, user: UserId, keys: Vec<KeyPattern>) {
        if let Some(of_user) = self.views.get_mut(&user) {
            let n_before = of_user.len();
            of_user.retain(|key, _| !keys.iter().any(|it| it.matches(key)));
            self.n_views -= n_before - of_user.len();
        }
        let known = self.forget_users.entry(user).or_default();
        for pattern in keys {
            if known.contains(&pattern) {
                continue;
            }
            // The next connection with such a token asks for it again.
            if self.n_forgetting >= MAX_FORGETTING {
                self.n_dropped += 1;
                continue;
            }
            known.push(pattern);
            self.n_forgetting += 1;
        }
        self.forget_users.retain(|_, keys| !keys.is_empty());
    }
}

impl Inbox {
    /// Adds what the core asks for, at this time on its clock. Returns the questions for which there is no
    /// room.
    pub(crate) fn add(&self, now: Time, requests: Vec<Request>) -> Vec<Asked> {
        if requests.is_empty() {
            return Vec::new();
        }
        let wall = wall();
        let mut waiting = self.lock();
        let all = requests.into_iter().map(|it| on_the_wall(it, now, wall));
        let refused = all.filter_map(|it| waiting.add(it)).collect();
        self.news.notify_one();
        refused
    }

    /// Does anything else with the store, after what was asked for before.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (tell, told) = oneshot::channel();
        // Who doesn't wait any more doesn't want to know.
        self.later(move |store| drop(tell.send(job(store))))?;
        match timeout(ANSWER_TIMEOUT, told).await {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(error))) => {
                warn!(%error, "the database can't do what it was asked to");
                Err(Unavailable)
            }
            Ok(Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    /// The same for what nobody waits for.
    pub(crate) fn later(
        &self,
        job: impl FnOnce(&mut dyn Store) + Send + 'static,
    ) -> Result<(), Unavailable> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= MAX_JOBS {
            return Err(Unavailable);
        }
        waiting.jobs.push(Job(Box::new(job)));
        self.news.notify_one();
        Ok(())
    }

    /// Takes the questions that have waited for so long.
    pub(crate) fn overdue(&self, patience: Duration) -> Vec<Asked> {
        let mut waiting = self.lock();
        let n = waiting.asked.iter().take_while(|it| it.since.elapsed() >= patience).count();
        waiting.asked.drain(..n).map(|it| it.asked).collect()
    }

    /// Ends the thread once everything is written.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.news.notify_one();
    }

    /// Waits for something to do, and for a batch of it. Questions stay.
    pub(super) fn take(&self) -> Waiting {
        let waiting = self.lock();
        let idle = |it: &mut Waiting| it.views.is_empty() && !it.is_urgent();
        let waiting = self.news.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        let gather = |it: &mut Waiting| !it.is_urgent();
        let waiting = self.news.wait_timeout_while(waiting, BATCH, gather);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner).0;
        let (asked, n_questions) = (std::mem::take(&mut waiting.asked), waiting.n_questions);
        let left = Waiting { asked, n_questions, ..Waiting::default() };
        let taken = std::mem::replace(&mut *waiting, left);
        Waiting { n_questions, ..taken }
    }

    /// The question whose turn it is, if it was asked before the work was taken that knew of so many: what
    /// somebody viewed before they asked is written by then.
    pub(super) fn next_question(&self, n_questions: u64) -> Option<Asked> {
        let mut waiting = self.lock();
        let is_earlier = waiting.asked.front().is_some_and(|it| it.number < n_questions);
        if is_earlier { waiting.asked.pop_front().map(|it| it.asked) } else { None }
    }

    /// True if nothing waits to be taken.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let waiting = self.lock();
        waiting.views.is_empty() && !waiting.is_urgent()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request with its times on the wall's clock, given what time it is there and on the core's.
pub(super) fn on_the_wall(request: Request, now: Time, wall: Time) -> Request {
    let moved = |at: Time| wall + at.since(now) - now.since(at);
    match request {
        Request::Keep(view) => Request::Keep(View { at: moved(view.at), ..view }),
        Request::LookUp(mut asked) => {
            asked.since = moved(asked.since);
            Request::LookUp(asked)
        }
        Request::ForgetBefore(before) => Request::ForgetBefore(moved(before)),
        it @ Request::ForgetUser { .. } => it,
    }
}
