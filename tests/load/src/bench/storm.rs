//! How long it takes until everybody sees everybody when all come at once.

use super::Bench;
use super::crowd::Crowd;
use super::table::{Table, bytes, count, milliseconds, percent};
use anyhow::{Context, Result, ensure};
use presence_protocol::Key;
use serde::Serialize;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);
/// So that greeting everybody is over before anything is measured.
const SETTLE: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Storm {
    viewers: usize,
    complete_after_seconds: f64,
    frames: u64,
    bytes: u64,
    relay_cpu_seconds: f64,
    relay_kernel_share: f64,
}

pub(crate) fn run(bench: &Bench, viewers: usize) -> Result<Storm> {
    let key = Key::parse("load:storm").context("a bad key")?;
    let relay = bench.start_relay()?;
    let mut crowd = Crowd::new()?;
    for _ in 0..viewers {
        crowd.open(relay.address())?;
    }
    crowd.listen(Instant::now() + SETTLE, None)?;
    crowd.take_tally();

    let before = relay.usage()?;
    let started = Instant::now();
    for viewer in 0..viewers {
        crowd.join(viewer, &key)?;
    }
    let everybody = viewers as u64;
    let is_complete = crowd.run(started + TIMEOUT, None, |it| it.all_see(everybody))?;
    let elapsed = started.elapsed();
    let used = relay.usage()?.since(before);
    ensure!(is_complete, "not everybody saw everybody within {TIMEOUT:?}");
    let received = crowd.take_tally();
    drop(crowd);
    relay.stop()?;
    Ok(Storm {
        viewers,
        complete_after_seconds: elapsed.as_secs_f64(),
        frames: received.n_frames,
        bytes: received.n_bytes,
        relay_cpu_seconds: used.cpu.as_secs_f64(),
        relay_kernel_share: used.kernel_share(),
    })
}

pub(crate) fn table(it: &Storm) -> String {
    let mut table = Table::new(vec![format!("{} viewers", it.viewers)]);
    let mut row = |name: &str, value: String| table.row(name, vec![value]);
    row("EVERYBODY SEES EVERYBODY AFTER", milliseconds(it.complete_after_seconds));
    row("frames written", count(it.frames as f64));
    row("bytes written", bytes(it.bytes as f64));
    row("relay's CPU time", milliseconds(it.relay_cpu_seconds));
    row("of it in the kernel", percent(it.relay_kernel_share));
    table.to_string()
}
