//! What a connection costs that does nothing but stay.

use super::Bench;
use super::crowd::{Crowd, Pace, Says, Tally};
use super::system::own_cpu;
use super::table::{Table, bytes, count, milliseconds, percent};
use anyhow::{Context, Result, ensure};
use presence_protocol::Key;
use presence_protocol::limits::HEARTBEAT;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Memory for a connection that the relay should stay below.
const AIM_BYTES: f64 = 10_000.0;
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Before memory is read, so that what only the joining needed has been given back.
const SETTLE: Duration = Duration::from_secs(2);
/// For how many periods of heartbeats CPU time is measured.
const PERIODS: u32 = 2;
/// How many there are in each key.
const PER_KEY: usize = 10;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    connections: usize,
    per_key: usize,
    rss_before: u64,
    rss_joined: u64,
    rss_after: u64,
    rss_per_connection: f64,
    heartbeats: u64,
    pings: u64,
    deltas: u64,
    /// For one period of 10 s, in which each connection beats once.
    relay_cpu_seconds: f64,
    relay_kernel_share: f64,
    load_busy: f64,
}

pub(crate) fn run(bench: &Bench, connections: usize) -> Result<Idle> {
    let connections = connections.next_multiple_of(PER_KEY);
    let relay = bench.start_relay()?;
    let rss_before = relay.resident_bytes()?;
    let mut crowd = Crowd::new()?;
    for viewer in 0..connections {
        let key = format!("load:{}", viewer / PER_KEY);
        crowd.open(relay.address())?;
        crowd.join(viewer, &Key::parse(&key).context("a bad key")?)?;
        // What the others are told meanwhile.
        if viewer % 100 == 99 {
            crowd.listen(Instant::now(), None)?;
        }
    }
    let give_up_at = Instant::now() + JOIN_TIMEOUT;
    let is_complete = crowd.run(give_up_at, None, |it| it.all_see(PER_KEY as u64))?;
    ensure!(is_complete, "not everybody saw everybody within {JOIN_TIMEOUT:?}");
    let mut pace = Pace::new(Says::Heartbeat, connections, HEARTBEAT);
    crowd.listen(Instant::now() + SETTLE, Some(&mut pace))?;
    let rss_joined = relay.resident_bytes()?;
    crowd.listen(Instant::now() + HEARTBEAT, Some(&mut pace))?;

    crowd.take_tally();
    let started = Instant::now();
    let (before, load_before) = (relay.usage()?, own_cpu()?);
    crowd.listen(started + HEARTBEAT * PERIODS, Some(&mut pace))?;
    let used = relay.usage()?.since(before);
    let load_cpu = own_cpu()?.saturating_sub(load_before);
    let elapsed = started.elapsed().as_secs_f64();
    let rss_after = relay.resident_bytes()?;
    let Tally { n_heartbeats, n_pings, n_deltas, .. } = crowd.take_tally();
    drop(crowd);
    relay.stop()?;

    let periods = elapsed / HEARTBEAT.as_secs_f64();
    Ok(Idle {
        connections,
        per_key: PER_KEY,
        rss_before,
        rss_joined,
        rss_after,
        rss_per_connection: rss_after.saturating_sub(rss_before) as f64 / connections as f64,
        heartbeats: n_heartbeats,
        pings: n_pings,
        deltas: n_deltas,
        relay_cpu_seconds: used.cpu.as_secs_f64() / periods,
        relay_kernel_share: used.kernel_share(),
        load_busy: load_cpu.as_secs_f64() / elapsed,
    })
}

pub(crate) fn table(it: &Idle) -> String {
    let mut table = Table::new(vec![format!("{} connections", count(it.connections as f64))]);
    let mut row = |name: &str, value: String| table.row(name, vec![value]);
    row("relay's memory without connections", bytes(it.rss_before as f64));
    row("with all of them joined", bytes(it.rss_joined as f64));
    row("30 s of heartbeats later", bytes(it.rss_after as f64));
    row("MEMORY PER CONNECTION", bytes(it.rss_per_connection));
    row("heartbeats answered in 20 s", count(it.heartbeats as f64));
    row("pings in 20 s", count(it.pings as f64));
    row("RELAY'S CPU TIME FOR 10 s", milliseconds(it.relay_cpu_seconds));
    row("of it in the kernel", percent(it.relay_kernel_share));
    row("load's core busy with the load", percent(it.load_busy));
    table.to_string()
}

pub(crate) fn remarks(it: &Idle) -> Vec<String> {
    let mut remarks = Vec::new();
    if it.rss_per_connection > AIM_BYTES {
        remarks.push(format!("memory per connection is above the aim of {}", bytes(AIM_BYTES)));
    }
    if it.deltas > 0 {
        remarks.push(format!("{} deltas came although nothing happened", it.deltas));
    }
    remarks
}
