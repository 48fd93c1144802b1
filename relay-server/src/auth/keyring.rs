//! All keys that tokens are verified with, and the threads that keep them up to date.
//!
//! Nobody waits for a file or an address: a token is held against the keys that are known, and one that
//! names another has them looked for again.

use super::address::{Address, FetchError};
use super::keys::{self, KeysError, Origin, TokenKey};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{info, trace, warn};

/// How often a file is read.
const FILE_PAUSE: Duration = Duration::from_secs(2);
/// How often an address is asked if nothing else is a reason to.
const ADDRESS_PAUSE: Duration = Duration::from_secs(300);
/// The least time between two questions to an address, whoever wants to know.
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// How soon an address is asked again that has never answered; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Most names of keys that are remembered because nobody knows them.
const MAX_UNKNOWN: usize = 1024;
/// The longest name of a key that is logged.
const MAX_LOGGED_KID: usize = 64;

/// Where keys are found.
#[derive(Debug)]
pub(crate) enum Place {
    /// A file, read again when it has changed.
    File(PathBuf),
    /// The address of a JWK set.
    Address(Box<Address>),
}

/// Why keys can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file can't be read.
    #[error("the file can't be read")]
    File(#[from] std::io::Error),
    /// The address doesn't answer as it should.
    #[error("the address doesn't answer")]
    Fetch(#[from] FetchError),
    /// What it holds aren't keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The keys that a relay was started with, and where there may be others later.
#[derive(Debug)]
pub struct Keyring {
    fixed: Arc<[TokenKey]>,
    sources: Vec<Arc<Source>>,
    unknown: Mutex<Unknown>,
    failure: Option<(String, LoadError)>,
}

/// Names of keys that tokens have and nobody knows, and when each was first looked for. They are numbers
/// here, because whoever sends a token chooses them, and their length.
#[derive(Debug, Default)]
struct Unknown {
    hasher: RandomState,
    kids: VecDeque<(u64, Instant)>,
}

impl Unknown {
    /// Since when somebody has been looking for a key.
    fn since(&mut self, now: Instant, kid: &str) -> Instant {
        let kid = self.hasher.hash_one(kid);
        // After a while a key that wasn't there may be as well as any other.
        while self.kids.front().is_some_and(|(_, at)| now.duration_since(*at) > ADDRESS_PAUSE) {
            self.kids.pop_front();
        }
        if let Some((_, since)) = self.kids.iter().find(|it| it.0 == kid) {
            return *since;
        }
        if self.kids.len() >= MAX_UNKNOWN {
            self.kids.pop_front();
        }
        self.kids.push_back((kid, now));
        now
    }
}

/// A place and the keys that it held when it was last looked at.
#[derive(Debug)]
struct Source {
    place: Place,
    /// How often it is looked at.
    pause: Duration,
    /// How often at most.
    least_pause: Duration,
    held: RwLock<Held>,
    asked: Mutex<Asked>,
    wake: Condvar,
}

/// What a place held.
#[derive(Clone, Debug)]
struct Held {
    keys: Arc<[TokenKey]>,
    /// When it was asked for what it held; `None` if it has never answered.
    as_of: Option<Instant>,
}

/// What a source's thread is told.
#[derive(Debug, Default)]
struct Asked {
    /// The name of a key that isn't known.
    kid: Option<String>,
    is_over: bool,
}

impl Keyring {
    /// Keys that never change.
    pub(crate) fn new(fixed: impl IntoIterator<Item = TokenKey>) -> Self {
        let fixed = fixed.into_iter().collect();
        Self { fixed, sources: Vec::new(), unknown: Mutex::default(), failure: None }
    }

    /// Keys that may change, as they are now. An address that doesn't answer is asked again later.
    pub(crate) fn add_place(&mut self, place: Place) -> Result<(), LoadError> {
        let now = Instant::now();
        let held = match place.read() {
            Ok(text) => {
                let keys = TokenKey::parse_all(&text, place.origin())?;
                Held { keys: keys.into(), as_of: Some(now) }
            }
            Err(error @ LoadError::Fetch(_)) => {
                self.failure = Some((place.to_string(), error));
                Held { keys: Arc::default(), as_of: None }
            }
            Err(error) => return Err(error),
        };
        let (pause, least_pause) = match place {
            Place::File(_) => (FILE_PAUSE, FILE_PAUSE),
            Place::Address(_) => (ADDRESS_PAUSE, LEAST_PAUSE),
        };
        self.sources.push(Arc::new(Source {
            place,
            pause,
            least_pause,
            held: RwLock::new(held),
            asked: Mutex::default(),
            wake: Condvar::new(),
        }));
        Ok(())
    }

    /// True if there is no key, and never will be.
    pub(crate) fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.sources.is_empty()
    }

    /// The place that didn't answer when it was added, and what was wrong.
    pub(crate) fn take_failure(&mut self) -> Option<(String, LoadError)> {
        self.failure.take()
    }

    /// True if a place has never answered, so that nobody knows what is signed with its keys.
    pub(crate) fn is_waiting(&self) -> bool {
        self.sources.iter().any(|it| it.held().as_of.is_none())
    }

    /// From now on changes are noticed, for as long as this lives.
    pub(crate) fn watch(&self) -> std::io::Result<()> {
        if let Some((place, error)) = &self.failure {
            let error = crate::input::with_sources(error);
            warn!(place, error, "there are no keys of tokens yet; asking for them again");
        }
        for source in &self.sources {
            let source = Arc::clone(source);
            thread::Builder::new().name("token keys".to_owned()).spawn(move || source.watch())?;
        }
        Ok(())
    }

    /// The keys as they are now.
    pub(super) fn sets(&self) -> impl Iterator<Item = Arc<[TokenKey]>> {
        let changing = self.sources.iter().map(|it| it.held().keys);
        std::iter::once(Arc::clone(&self.fixed)).chain(changing)
    }

    /// A token names a key that isn't known. True if it may be known soon: every place is looked at again
    /// before it is certain that there is no such key.
    pub(super) fn ask(&self, kid: &str) -> bool {
        // Before anything else, lest who asks first is answered by a look that somebody else took meanwhile.
        let as_of = self.sources.iter().map(|it| it.held().as_of).min();
        let since = {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            unknown.since(Instant::now(), kid)
        };
        for source in &self.sources {
            let mut asked = source.asked();
            if asked.kid.is_none() {
                asked.kid = Some(kid.chars().take(MAX_LOGGED_KID).collect());
                source.wake.notify_one();
            }
        }
        as_of.is_some_and(|it| it.is_none_or(|as_of| as_of <= since))
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        for source in &self.sources {
            source.asked().is_over = true;
            source.wake.notify_one();
        }
    }
}

impl Place {
    fn read(&self) -> Result<String, LoadError> {
        match self {
            Self::File(path) => {
                let mut text = String::new();
                // One more than there may be, so that what is too long is seen to be.
                let most = keys::MAX_BYTES as u64 + 1;
                std::fs::File::open(path)?.take(most).read_to_string(&mut text)?;
                Ok(text)
            }
            Self::Address(address) => Ok(address.fetch()?),
        }
    }

    const fn origin(&self) -> Origin {
        match self {
            Self::File(_) => Origin::Here,
            Self::Address(_) => Origin::Address,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Source {
    /// Looks again and again, until it is told that it is over.
    fn watch(&self) {
        let (mut looked_at, mut complaint) = (Instant::now(), None);
        let mut retry = FIRST_PAUSE;
        let mut pause = if self.held().as_of.is_some() { self.pause } else { retry };
        while self.wait(looked_at, pause) {
            looked_at = Instant::now();
            // What can't be had now may be had soon.
            pause = match self.look(looked_at) {
                Ok(()) => {
                    complaint = None;
                    self.pause
                }
                Err(error) => {
                    let error = crate::input::with_sources(&error);
                    if complaint.as_ref() != Some(&error) {
                        warn!(place = %self.place, error, "the keys stay as they are");
                    }
                    complaint = Some(error);
                    retry = (retry * 2).min(self.least_pause);
                    if self.held().as_of.is_some() { self.least_pause } else { retry }
                }
            };
        }
    }

    /// Takes the keys that the place holds now.
    fn look(&self, now: Instant) -> Result<(), LoadError> {
        let (text, origin) = (self.place.read()?, self.place.origin());
        let had_some = self.held().as_of.is_some();
        let parse = if had_some { TokenKey::parse_again } else { TokenKey::parse_all };
        let keys = parse(&text, origin)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.as_of = Some(now);
        if *keys != *held.keys {
            if keys.is_empty() {
                warn!(place = %self.place, "all keys of tokens were taken away, so none that they signed is good any more");
            } else {
                info!(place = %self.place, keys = keys.len(), "the keys of tokens have changed");
            }
            held.keys = keys.into();
        }
        Ok(())
    }

    /// Waits until it is time to look. False if it is over.
    fn wait(&self, looked_at: Instant, pause: Duration) -> bool {
        let mut asked = self.asked();
        loop {
            if asked.is_over {
                return false;
            }
            let is_asked = asked.kid.is_some();
            let due = looked_at + if is_asked { pause.min(self.least_pause) } else { pause };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if let Some(kid) = asked.kid.take() {
                    info!(place = %self.place, "a token names a key that isn't known");
                    // Whoever sent the token chose it.
                    trace!(?kid, "it is called this");
                }
                return true;
            }
            asked = self.wake.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
