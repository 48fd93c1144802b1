//! What people see of a restart of the relay.

use super::Bench;
use super::pages::{Pages, Told};
use super::server::Server;
use super::table::{Table, count, milliseconds, seconds};
use anyhow::{Context, Result, ensure};
use presence_protocol::Key;
use presence_protocol::limits::{GRACE, HEARTBEAT};
use serde::Serialize;
use std::time::{Duration, Instant};

/// How many there are in each key.
const PER_KEY: usize = 10;
/// How many pages are opened at a time, and how far that lies apart.
const BATCH: usize = 50;
const BATCH_EVERY: Duration = Duration::from_millis(25);
const TIMEOUT: Duration = Duration::from_secs(30);
/// When everybody should be back.
const AIM_SECONDS: f64 = 10.0;

/// What was measured; times count from the signal.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Restart {
    sessions: usize,
    ended_after_seconds: f64,
    listening_after_seconds: f64,
    half_back_after_seconds: f64,
    all_back_after_seconds: f64,
    dials: u64,
    next_relay_cpu_seconds: f64,
    joins_seen: u64,
    leaves_seen: u64,
    updates_seen: u64,
}

pub(crate) fn run(bench: &Bench, sessions: usize) -> Result<Restart> {
    let sessions = sessions.next_multiple_of(PER_KEY);
    let mut relay = bench.start_relay()?;
    let address = relay.address();
    let mut pages = Pages::new(address)?;
    for first in (0..sessions).step_by(BATCH) {
        for page in first..sessions.min(first + BATCH) {
            let key = Key::parse(&format!("load:{}", page / PER_KEY)).context("a bad key")?;
            pages.open(key)?;
        }
        pages.run(Instant::now() + BATCH_EVERY, |_| Ok(false))?;
    }
    let is_complete = pages.run(Instant::now() + TIMEOUT, |it| {
        Ok(it.n_live() == sessions && it.n_showing(PER_KEY) == sessions)
    })?;
    ensure!(is_complete, "not everybody saw everybody within {TIMEOUT:?}");
    // So that every connection has proved itself by a heartbeat, as those of a relay have that is updated.
    pages.run(Instant::now() + HEARTBEAT * 3 / 2, |_| Ok(false))?;

    pages.told = Told::default();
    let started = Instant::now();
    relay.terminate()?;
    let has_ended = pages.run(started + TIMEOUT, |_| relay.has_ended())?;
    ensure!(has_ended, "the relay did not end within {TIMEOUT:?} of SIGTERM");
    let ended_after = started.elapsed();
    drop(relay);
    let next = Server::relay_at(address, &bench.relay, bench.cores)?;
    let listening_after = started.elapsed();
    let mut half_back_after = None;
    let are_back = pages.run(started + TIMEOUT, |it| {
        let n_live = it.n_live();
        if n_live * 2 >= sessions {
            half_back_after.get_or_insert(started.elapsed());
        }
        Ok(n_live == sessions)
    })?;
    let all_back_after = started.elapsed();
    ensure!(are_back, "{} of {sessions} were back after {TIMEOUT:?}", pages.n_live());
    let (dials, cpu) = (pages.told.n_dials, next.usage()?.cpu);
    // Who is missing is told as gone when the grace has passed.
    pages.run(Instant::now() + GRACE + Duration::from_secs(5), |_| Ok(false))?;
    let n_showing = pages.n_showing(PER_KEY);
    ensure!(n_showing == sessions, "{n_showing} of {sessions} see everybody in the end");
    let Told { n_joins, n_leaves, n_updates, .. } = pages.told;
    drop(pages);
    next.stop()?;
    Ok(Restart {
        sessions,
        ended_after_seconds: ended_after.as_secs_f64(),
        listening_after_seconds: listening_after.as_secs_f64(),
        half_back_after_seconds: half_back_after.unwrap_or_default().as_secs_f64(),
        all_back_after_seconds: all_back_after.as_secs_f64(),
        dials,
        next_relay_cpu_seconds: cpu.as_secs_f64(),
        joins_seen: n_joins,
        leaves_seen: n_leaves,
        updates_seen: n_updates,
    })
}

pub(crate) fn table(it: &Restart) -> String {
    let mut table = Table::new(vec![format!("{} sessions", count(it.sessions as f64))]);
    let mut row = |name: &str, value: String| table.row(name, vec![value]);
    row("the relay has ended after", milliseconds(it.ended_after_seconds));
    row("the next one listens after", milliseconds(it.listening_after_seconds));
    row("half of all are back after", seconds(it.half_back_after_seconds));
    row("ALL ARE BACK AFTER", seconds(it.all_back_after_seconds));
    row("dials", count(it.dials as f64));
    row("next relay's CPU time until then", milliseconds(it.next_relay_cpu_seconds));
    row("JOINS SEEN", count(it.joins_seen as f64));
    row("LEAVES SEEN", count(it.leaves_seen as f64));
    row("other changes seen", count(it.updates_seen as f64));
    table.to_string()
}

/// True if the restart wasn't what it should be to those who look.
pub(crate) fn is_seen(it: &Restart) -> bool {
    !remarks(it).is_empty()
}

pub(crate) fn remarks(it: &Restart) -> Vec<String> {
    let mut remarks = Vec::new();
    if it.joins_seen + it.leaves_seen > 0 {
        remarks.push("the restart was seen".to_owned());
    }
    if it.all_back_after_seconds > AIM_SECONDS {
        remarks.push(format!("the last one was back later than {}", seconds(AIM_SECONDS)));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_that_somebody_sees_fails() {
        let well = Restart {
            sessions: 10,
            ended_after_seconds: 1.0,
            listening_after_seconds: 1.1,
            half_back_after_seconds: 2.0,
            all_back_after_seconds: AIM_SECONDS,
            dials: 10,
            next_relay_cpu_seconds: 0.1,
            joins_seen: 0,
            leaves_seen: 0,
            updates_seen: 10,
        };
        assert!(!is_seen(&well));
        assert!(is_seen(&Restart { joins_seen: 1, ..well }));
        assert!(is_seen(&Restart { leaves_seen: 1, ..well }));
        assert!(is_seen(&Restart { all_back_after_seconds: AIM_SECONDS + 0.1, ..well }));
    }
}
