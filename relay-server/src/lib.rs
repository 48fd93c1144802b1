//! `whoshere-relay`: says who is looking at a page right now.
//!
//! This crate is the shell around [`presence_core::relay::Relay`]: it upgrades, checks tokens, reads
//! and writes sockets, and sleeps. It decides nothing about presence; whoever wants to know why a
//! viewer sees what they see reads the core.
//!
//! ```text
//!   browser ── http.rs ── upgrade.rs ── socket.rs ─┐
//!                  └───── beacon.rs ───────────────┼── shared.rs ── presence_core::relay::Relay
//!                           store.rs ── timer.rs ──┘
//! ```
//!
//! One lock guards the core. Nothing is awaited, decoded, verified or written while it is held.

mod api;
mod auth;
mod beacon;
mod clock;
pub mod command;
pub mod config;
mod dev;
mod frames;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod host;
mod http;
mod input;
mod limits;
mod lobby;
pub mod log;
mod metrics;
mod mint;
mod origin;
mod problem;
mod proxies;
mod resume;
mod shared;
mod shares;
mod socket;
mod store;
mod stream;
mod throttle;
mod timer;
mod tls;
mod upgrade;
mod webhooks;

pub use auth::{AddressError, FetchError, Keyring, KeysError, LoadError, TokenRules};
pub use config::{Config, ResumeSecret};
pub use dev::Dev;
pub use limits::Limits;
pub use origin::{Origin, Origins};
pub use proxies::Proxies;
pub use store::{SqliteStore, Store, StoreError};
pub use tls::{Tls, TlsError};
pub use webhooks::{Outbox, WebhookFlags, WebhookSecret, WebhookSecretError, Webhooks};

use api::events::Hold;
use auth::Authority;
use host::WireHost;
use limits::Spent;
use lobby::Lobby;
use log::Requests;
use metrics::Counters;
use mint::Mint;
use presence_protocol::Epoch;
use resume::ResumeKey;
use shared::Shared;
use shares::Shares;
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::Keeper;
use throttle::Rate;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use webhooks::Postman;

/// How long connections may take to end when the relay stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How many sockets may be on their way to an upgrade. Each holds a buffer once its peer says something.
const MAX_ARRIVING: usize = 8192;

/// How many sockets may be upgraded that have not said hello yet. They are apart from those that have, so
/// that nobody without a token keeps anybody out.
const MAX_GREETING: usize = 8192;

/// How much all frames may have that sockets haven't taken, each counted once, if they are large: a person
/// who takes them slowly would have the relay hold as many versions of a large key.
const MAX_LARGE_UNSENT: usize = 128 * 1024 * 1024;

/// How much the system keeps that hasn't left for the peer yet.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 * 1024;

/// How much it keeps that came in and isn't read yet; it keeps as much again beside it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNREAD_BYTES: usize = 64 * 1024;

/// What all tasks share.
#[derive(Debug)]
struct App {
    shared: Shared,
    authority: Authority,
    resume_key: ResumeKey,
    origins: Origins,
    rate: Rate,
    proxies: Proxies,
    spent: Spent,
    tasks: TaskTracker,
    /// Sockets that are closed, and whose peers may still read why.
    leaving: Arc<Lobby>,
    /// What servers that watch are told and haven't taken.
    hold: Hold,
    /// What is large and sockets haven't taken.
    unsent: Arc<Shares>,
    /// Sockets that have not said hello, of addresses.
    greeting: Arc<Shares>,
    counters: Counters,
    requests: Requests,
    /// How often those who are told nothing else are told that it goes on.
    heartbeat: Duration,
    is_stopping: AtomicBool,
    stopping: CancellationToken,
}

/// Whether pages should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// An address of keys has never answered.
    NoKeys,
    Stopping,
}

impl App {
    fn readiness(&self) -> Readiness {
        match self.is_stopping.load(Ordering::Relaxed) {
            true => Readiness::Stopping,
            false if self.authority.is_waiting() => Readiness::NoKeys,
            false => Readiness::Ready,
        }
    }
}

/// Serves until `told_to_stop` is ready, goes on for as long as the configuration says or until it is
/// ready once more, then tells all pages when to come back. What operators want to know is served at
/// `metrics`, if there is such a listener.
///
/// # Errors
///
/// [`RunError`] if the system doesn't give what a relay needs.
pub async fn run(
    listener: TcpListener,
    metrics: Option<TcpListener>,
    config: Config,
    mut told_to_stop: impl AsyncFnMut(),
) -> Result<(), RunError> {
    let resume_key = match &config.resume_secret {
        ResumeSecret::Own(secret) => ResumeKey::new(secret),
        ResumeSecret::DerivedFrom(secret) => ResumeKey::derive(secret),
    };
    let host = WireHost::new(resume_key.clone());
    let app = Arc::new(App {
        shared: Shared::new(config.relay, host, Epoch::new(random()?), random()?),
        authority: Authority::new(config.keyring, &config.token),
        resume_key,
        origins: config.origins,
        rate: Rate::per_second(config.max_frames_per_second),
        proxies: config.proxies,
        spent: Spent::new(config.limits),
        tasks: TaskTracker::new(),
        leaving: Lobby::new(
            config.relay.max_connections.saturating_add(MAX_GREETING).saturating_add(MAX_ARRIVING),
        ),
        hold: Hold::new(),
        unsent: Shares::new(MAX_LARGE_UNSENT),
        greeting: Shares::new(MAX_GREETING),
        counters: Counters::default(),
        requests: Requests::default(),
        heartbeat: config.relay.heartbeat,
        is_stopping: AtomicBool::new(false),
        stopping: CancellationToken::new(),
    });
    app.authority.watch_keys().map_err(RunError::NoThread)?;
    keep_little(&listener);
    let dev = config.dev.as_ref().map(|it| (it, Mint::new(&it.secret, config.token)));
    let routes = http::routes(&app, dev);

    let keeper = match config.last_seen {
        None => None,
        Some(config::LastSeen { rules, store }) => {
            let keys = rules.keys.clone();
            let inbox = app.shared.keep_last_seen(rules);
            // What was kept when it was asked for more.
            let forgotten = inbox.later(move |store| match store.forget_others(&keys) {
                Ok(0) => {}
                Ok(n) => {
                    let removed = config::Surplus::Views(Some(n));
                    warn!(%removed, "what is asked for no longer was removed");
                }
                Err(error) => warn!(%error, "what is kept of other keys can't be forgotten"),
            });
            debug_assert!(forgotten.is_ok(), "nothing else waits yet");
            let (told, watched) = (Arc::clone(&app), (Arc::clone(&app), Arc::clone(&inbox)));
            let tell = move |asked, found| store::tell(&told, asked, found);
            let keeper = Keeper::start(inbox, store, tell).map_err(RunError::NoThread)?;
            Some((keeper, tokio::spawn(store::watch(watched.0, watched.1))))
        }
    };

    let postman = config.webhooks.map(|Webhooks { keys, address, secret, outbox }| {
        let mailbox = app.shared.keep_notices(webhooks::rules(keys, &outbox));
        Postman::start(mailbox, address, secret, outbox).map_err(RunError::NoThread)
    });
    let postman = postman.transpose()?;

    // A task of its own: it is woken more often than anything else here.
    let timer = tokio::spawn(timer::run(Arc::clone(&app)));
    let tidying = tokio::spawn(limits::tidy(Arc::clone(&app)));
    let watch = metrics.map(|it| {
        let (app, routes) = (Arc::clone(&app), metrics::routes(&app));
        // However many pages there are, whoever watches over the relay gets in.
        tokio::spawn(async move {
            http::accept(&app, it, routes, &Lobby::new(MAX_ARRIVING), None).await
        })
    });
    let arriving = Lobby::new(MAX_ARRIVING);
    let tls = config.tls.map(Arc::new);
    let renewing = tls.clone().map(|it| tokio::spawn(it.watch()));
    tokio::select! {
        () = http::accept(&app, listener, routes, &arriving, tls) => {}
        () = async {
            told_to_stop().await;
            app.is_stopping.store(true, Ordering::Relaxed);
            // Ended by another signal as well, for those who can't wait.
            let _ = timeout(config.drain_delay, told_to_stop()).await;
        } => {}
    }
    app.stopping.cancel();
    app.shared.stop(config.drain);
    app.tasks.close();
    info!(tasks = app.tasks.len(), "stopping");
    if timeout(STOP_TIMEOUT, app.tasks.wait()).await.is_err() {
        warn!(tasks = app.tasks.len(), "some connections did not end in time");
    }
    for task in watch.into_iter().chain(renewing).chain([timer, tidying]) {
        task.abort();
    }
    if let Some((keeper, watching)) = keeper {
        keeper.end(STOP_TIMEOUT).await;
        watching.abort();
    }
    if let Some(postman) = postman {
        postman.end(STOP_TIMEOUT).await;
    }
    Ok(())
}

/// Makes the system refuse to keep more than a little for a peer that doesn't read; it would take
/// megabytes. What the relay still has it can replace by something newer: a peer that fell behind gets
/// one snapshot instead of all that it has missed. Sockets inherit this from their listener.
///
/// Nor does it keep much that came in: who is read slowly says too much.
fn keep_little(listener: &TcpListener) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(listener).set_recv_buffer_size(UNREAD_BYTES) {
        warn!(%error, "the system can't be told how much to keep of what peers send");
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES) {
        warn!(%error, "slow peers will be told old news, because the system can't be told not to keep it");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = listener;
}

/// The system doesn't give what a relay needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No random numbers.
    #[error("the system has no random numbers to give")]
    NoRandomness,
    /// No further thread.
    #[error("the system has no thread to give")]
    NoThread(#[source] std::io::Error),
}

fn random() -> Result<u64, RunError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RunError::NoRandomness)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[tokio::test]
    async fn what_is_accepted_keeps_little_that_is_not_read() {
        use super::*;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        keep_little(&listener);
        let address = listener.local_addr().unwrap();
        let (dialed, accepted) =
            tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        assert_eq!(SockRef::from(&stream).recv_buffer_size().unwrap(), 2 * UNREAD_BYTES);
        drop(dialed);
    }
}
