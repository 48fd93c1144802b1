//! The one timer: sleeps until something is due and lets the relay run it.

use crate::App;
use presence_core::StallClock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Being late by more than this means that the process was stopped, or starved.
const LATE: Duration = Duration::from_millis(500);
/// How long sockets get to read what came in the meantime, before anybody is counted as silent.
const CATCH_UP: Duration = Duration::from_millis(200);

/// Runs deadlines for ever.
pub(crate) async fn run(app: Arc<App>) {
    let shared = &app.shared;
    loop {
        let (now, next) = shared.run_deadlines();
        // The clock has to be looked at now and then, whether or not anything is due.
        let wait = next.map_or(StallClock::LOOK, |it| it.since(now)).min(StallClock::LOOK);
        let slept_at = Instant::now();
        // Woken early when a deadline came nearer.
        let _ = timeout(wait, shared.sooner()).await;
        let late = slept_at.elapsed().saturating_sub(wait);
        if late > LATE {
            warn!(?late, "the relay was stopped for a while; reading what its sockets hold first");
            shared.look_at_clock();
            sleep(CATCH_UP).await;
        }
    }
}
