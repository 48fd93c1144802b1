//! Where it is kept who viewed what: a few calls that any database can answer, and their thread.
//!
//! The core's requests are gathered by an [`Inbox`] and served by one thread, so that no socket ever waits
//! for a disk. Views of the same user and key are one entry there, so it is bounded, and a batch is one
//! transaction.

mod sqlite;

pub use sqlite::SqliteStore;

use crate::App;
use presence_core::Time;
use presence_core::relay::{Asked, Request, View};
use presence_protocol::limits::MAX_LAST_SEEN;
use presence_protocol::{Key, UserId};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::warn;

/// For how long views are gathered before they are written: what a relay that is killed loses at most.
const BATCH: Duration = Duration::from_millis(250);
/// Most views that wait to be written, in case the disk is slower than the people.
const MAX_WAITING: usize = 100_000;
/// Most other jobs that wait.
const MAX_JOBS: usize = 1000;

/// Keeps the last view of each user and key.
pub trait Store: std::fmt::Debug + Send {
    /// Keeps views, unless later ones are kept already. All of them or none.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn keep(&mut self, views: &[View]) -> Result<(), StoreError>;

    /// The latest views of a key since a moment, the latest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn views(&mut self, key: &Key, since: Time, most: usize) -> Result<Vec<View>, StoreError>;

    /// Forgets all views before a moment.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn forget_before(&mut self, before: Time) -> Result<(), StoreError>;

    /// Forgets everything about a user. Returns how many views that were.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn forget_user(&mut self, user: &UserId) -> Result<usize, StoreError>;
}

/// What a database says when it can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreError(#[from] rusqlite::Error);

/// The store doesn't answer, or too many wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unavailable;

/// Anything else to be done with the store.
struct Job(Box<Work>);

type Work = dyn FnOnce(&mut dyn Store) + Send;

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// What waits for the store.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    views: BTreeMap<(Key, UserId), View>,
    asked: Vec<Asked>,
    forget_before: Option<Time>,
    jobs: Vec<Job>,
    n_dropped: usize,
    is_over: bool,
}

impl Waiting {
    /// True if it shouldn't wait for the end of a batch.
    const fn is_urgent(&self) -> bool {
        !self.asked.is_empty()
            || !self.jobs.is_empty()
            || self.forget_before.is_some()
            || self.is_over
    }

    fn add(&mut self, request: Request) {
        match request {
            Request::Keep(view) => {
                let place = (view.key.clone(), view.user.id().clone());
                // A loss is found out later than it was, and something may have been seen since.
                if self.views.get(&place).is_some_and(|it| it.at > view.at) {
                    return;
                }
                if self.views.len() < MAX_WAITING || self.views.contains_key(&place) {
                    self.views.insert(place, view);
                } else {
                    self.n_dropped += 1;
                }
            }
            Request::LookUp(asked) => self.asked.push(asked),
            Request::ForgetBefore(before) => self.forget_before = Some(before),
        }
    }
}

impl Inbox {
    /// Adds what the core asks for.
    pub(crate) fn add(&self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        for request in requests {
            waiting.add(request);
        }
        self.news.notify_one();
    }

    /// Does anything else with the store, after what was asked for before.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if waiting.jobs.len() >= MAX_JOBS {
                return Err(Unavailable);
            }
            // Who doesn't wait any more doesn't want to know.
            waiting.jobs.push(Job(Box::new(|store| drop(tell.send(job(store))))));
        }
        self.news.notify_one();
        match told.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                warn!(%error, "the database can't do what it was asked to");
                Err(Unavailable)
            }
            Err(_) => Err(Unavailable),
        }
    }

    /// Ends the thread once everything is written.
    fn end(&self) {
        self.lock().is_over = true;
        self.news.notify_one();
    }

    /// Waits for something to do, and for a batch of it.
    fn take(&self) -> Waiting {
        let waiting = self.lock();
        let idle = |it: &mut Waiting| it.views.is_empty() && !it.is_urgent();
        let waiting = self.news.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        let gather = |it: &mut Waiting| !it.is_urgent();
        let waiting = self.news.wait_timeout_while(waiting, BATCH, gather);
        std::mem::take(&mut *waiting.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that serves an inbox.
#[derive(Debug)]
pub(crate) struct Keeper {
    inbox: Arc<Inbox>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it.
    pub(crate) fn start(
        app: Arc<App>,
        inbox: Arc<Inbox>,
        mut store: Box<dyn Store>,
    ) -> std::io::Result<Self> {
        let served = Arc::clone(&inbox);
        let run = move || {
            let mut is_well = true;
            loop {
                let work = served.take();
                let is_over = work.is_over;
                let problem = serve(&app, &mut *store, work);
                if let Some(problem) = &problem
                    && is_well
                {
                    warn!(%problem, "what people viewed can't be kept for the moment");
                }
                is_well = problem.is_none();
                if is_over {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("last-seen".to_owned()).spawn(run)?;
        Ok(Self { inbox, thread })
    }

    /// Writes what is left and ends. Blocks.
    pub(crate) fn end(self) {
        self.inbox.end();
        // Should it have panicked, it has said so.
        let _ = self.thread.join();
    }
}

/// Does what was asked for. Returns what went wrong last.
fn serve(app: &App, store: &mut dyn Store, work: Waiting) -> Option<StoreError> {
    let mut problem = None;
    if work.n_dropped > 0 {
        warn!(n = work.n_dropped, "the disk is too slow to keep what all people viewed");
    }
    if !work.views.is_empty() {
        let views: Vec<_> = work.views.into_values().collect();
        problem = store.keep(&views).err();
    }
    if let Some(before) = work.forget_before {
        problem = store.forget_before(before).err().or(problem);
    }
    for asked in work.asked {
        let views = store.views(&asked.key, asked.since, MAX_LAST_SEEN).unwrap_or_else(|error| {
            problem = Some(error);
            Vec::new()
        });
        app.shared.with(|core, now| core.last_seen(now, asked, views));
    }
    for Job(job) in work.jobs {
        job(store);
    }
    problem
}

#[cfg(test)]
mod tests;
