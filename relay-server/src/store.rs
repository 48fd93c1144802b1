//! Where it is kept who viewed what: a few calls that any database can answer, and their thread.
//!
//! The core's requests are gathered by an [`Inbox`] and served by one thread, so that no socket ever waits
//! for a disk. What waits there is bounded, whatever the disk does, and a question that waits for too long
//! is told so. Times are the wall clock's here: what is kept outlives the process, whose own clock stands
//! still while it does.

pub(crate) mod files;
mod sqlite;
mod waiting;

pub use sqlite::SqliteStore;
pub(crate) use waiting::Inbox;

use crate::App;
use crate::clock::wall;
use crate::frames;
use presence_core::Time;
use presence_core::relay::{Asked, KeyPattern, View};
use presence_protocol::limits::{ANSWER_TIMEOUT, MAX_LAST_SEEN};
use presence_protocol::{Key, UserId, encode_server};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::warn;
use waiting::Waiting;

/// Of how many keys it is kept at most that one user viewed them: the latest ones. Otherwise a single
/// person could fill the store and push out what is kept of everybody else.
pub(crate) const MAX_VIEWS_PER_USER: usize = 1000;

/// How often is looked for questions that wait for too long.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the last view of each user and key.
pub trait Store: std::fmt::Debug + Send {
    /// Keeps views, unless later ones are kept already. What is kept of one user has a bound.
    ///
    /// # Errors
    ///
    /// What the database says; some of the views may be kept then.
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

    /// Forgets what a user viewed among these keys. Returns how many views that were.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn forget_user(&mut self, user: &UserId, keys: &[KeyPattern]) -> Result<usize, StoreError>;

    /// Forgets all views of any other key. Returns how many views that were.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn forget_others(&mut self, keys: &[KeyPattern]) -> Result<usize, StoreError>;
}

/// What a database says when it can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database itself.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    /// Its folder.
    #[error("nothing can be written to it")]
    Folder(#[source] std::io::Error),
}

/// The store doesn't answer, or too many wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unavailable;

/// The thread that serves an inbox.
#[derive(Debug)]
pub(crate) struct Keeper {
    inbox: Arc<Inbox>,
    ended: oneshot::Receiver<()>,
}

impl Keeper {
    /// Starts it. `tell` is given what was found for each question; `None` if the store failed.
    pub(crate) fn start(
        inbox: Arc<Inbox>,
        mut store: Box<dyn Store>,
        tell: impl Fn(Asked, Option<Vec<View>>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let served = Arc::clone(&inbox);
        let (tell_end, ended) = oneshot::channel();
        let run = move || {
            let mut is_well = true;
            loop {
                let work = served.take();
                let is_over = work.is_over;
                let problem = serve(&served, &mut *store, work, &tell);
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
            // A relay that is still waiting may go now.
            let _ = tell_end.send(());
        };
        thread::Builder::new().name("last-seen".to_owned()).spawn(run)?;
        Ok(Self { inbox, ended })
    }

    /// Has what is left written, for as long as a relay that stops can wait. A disk that hangs keeps no
    /// process from ending.
    pub(crate) async fn end(self, patience: Duration) {
        self.inbox.end();
        if timeout(patience, self.ended).await.is_err() {
            warn!("the database doesn't answer, so what people viewed last is not kept");
        }
    }
}

/// Tells the core what was found, written down outside of its lock.
pub(crate) fn tell(app: &App, asked: Asked, found: Option<Vec<View>>) {
    let write = |views| {
        let answer = asked.answer(wall(), views);
        frames::text(&mut Vec::new(), |out| encode_server(&answer, out))
    };
    let frame = found.map(write);
    app.shared.with(|core, now| core.last_seen(now, asked, frame));
}

/// Tells those who have asked and waited for too long, because the disk hangs, that there is no answer.
pub(crate) async fn watch(app: Arc<App>, inbox: Arc<Inbox>) {
    loop {
        sleep(LOOK).await;
        for asked in inbox.overdue(ANSWER_TIMEOUT) {
            tell(&app, asked, None);
        }
    }
}

/// Does what was asked for. Returns what went wrong last.
fn serve(
    inbox: &Inbox,
    store: &mut dyn Store,
    work: Waiting,
    tell: &impl Fn(Asked, Option<Vec<View>>),
) -> Option<StoreError> {
    let mut problem = None;
    if work.n_dropped > 0 {
        warn!(n = work.n_dropped, "the disk is too slow to keep what all people viewed");
    }
    for (user, keys) in work.forget_users {
        problem = store.forget_user(&user, &keys).err().or(problem);
    }
    let views: Vec<_> = work.views.into_values().flat_map(|it| it.into_values()).collect();
    if !views.is_empty() {
        problem = store.keep(&views).err().or(problem);
    }
    if let Some(before) = work.forget_before {
        problem = store.forget_before(before).err().or(problem);
    }
    while let Some(asked) = inbox.next_question(work.n_questions) {
        let found = store.views(&asked.key, asked.since, MAX_LAST_SEEN);
        let found = found.map_err(|error| problem = Some(error)).ok();
        tell(asked, found);
    }
    for job in work.jobs {
        job.run(store);
    }
    problem
}

#[cfg(test)]
mod tests;
