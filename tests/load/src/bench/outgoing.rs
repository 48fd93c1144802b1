//! What a delivery costs: everybody in one key sends, and everybody gets it.

use super::Bench;
use super::crowd::{Crowd, Pace, Says, Tally};
use super::reference::Reference;
use super::server::Server;
use super::system::{Usage, own_cpu};
use super::table::{Table, count, percent, seconds};
use anyhow::{Context, Result, ensure};
use presence_protocol::Key;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Deliveries per CPU second that the relay should reach.
const AIM: f64 = 800_000.0;
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(2);

/// What was measured at one rate.
#[derive(Debug, Serialize)]
pub(crate) struct Outgoing {
    viewers: usize,
    /// Updates a second that each viewer is to send.
    rate: u32,
    seconds: f64,
    /// Updates that were due, and that were sent.
    due: u64,
    sent: u64,
    delivered_others: u64,
    delivered_own: u64,
    frames: u64,
    snapshots: u64,
    bytes: u64,
    write_calls: u64,
    relay_cpu_seconds: f64,
    relay_kernel_share: f64,
    deliveries_per_cpu_second: f64,
    frames_per_cpu_second: f64,
    reference_frames: u64,
    reference_cpu_seconds: f64,
    /// The relay's CPU time for a frame, in those of the reference.
    relay_to_reference: f64,
    /// How busy the load's core was with the load.
    load_busy: f64,
    /// The longest that an update was sent too late.
    load_late_ms: f64,
}

/// One stretch of time.
struct Measured {
    elapsed: Duration,
    n_due: u64,
    received: Tally,
    server: Usage,
    load_cpu: Duration,
    latest: Duration,
}

pub(crate) fn run(bench: &Bench, viewers: usize, rate: u32) -> Result<Outgoing> {
    let key = Key::parse("load:outgoing").context("a bad key")?;
    let interval = Duration::from_secs(1) / rate;

    let relay = bench.start_relay()?;
    let mut crowd = Crowd::new()?;
    for viewer in 0..viewers {
        crowd.open(relay.address())?;
        crowd.join(viewer, &key)?;
    }
    let everybody = viewers as u64;
    let give_up_at = Instant::now() + JOIN_TIMEOUT;
    let is_complete = crowd.run(give_up_at, None, |it| it.all_see(everybody))?;
    ensure!(is_complete, "not everybody saw everybody within {JOIN_TIMEOUT:?}");
    let pace = Pace::new(Says::Update(key.clone()), viewers, interval);
    let with_rules = measure(&mut crowd, pace, &relay, bench.seconds)?;
    drop(crowd);
    relay.stop()?;

    let Tally { n_deltas, n_bytes, .. } = with_rules.received;
    ensure!(n_deltas > 0, "the relay delivered nothing");
    let frames_per_viewer = n_deltas as f64 / viewers as f64;
    let reference = Reference {
        sockets: viewers,
        period_us: with_rules.elapsed.div_f64(frames_per_viewer).as_micros().try_into()?,
        frame_bytes: usize::try_from(n_bytes / with_rules.received.n_frames)?,
    };
    let bare = Server::this_program(&reference.to_args(), bench.cores)?;
    let mut crowd = Crowd::new()?;
    for _ in 0..viewers {
        crowd.open_bare(bare.address())?;
    }
    let pace = Pace::new(Says::Update(key), viewers, interval);
    let without_rules = measure(&mut crowd, pace, &bare, bench.seconds)?;
    drop(crowd);
    bare.stop()?;

    let received = with_rules.received;
    let relay_cpu = with_rules.server.cpu.as_secs_f64();
    let reference_cpu = without_rules.server.cpu.as_secs_f64();
    let reference_frames = without_rules.received.n_frames;
    Ok(Outgoing {
        viewers,
        rate,
        seconds: with_rules.elapsed.as_secs_f64(),
        due: with_rules.n_due,
        sent: with_rules.n_due - received.n_unsendable,
        delivered_others: received.n_updated_others,
        delivered_own: received.n_updated_own,
        frames: received.n_frames,
        snapshots: received.n_snapshots,
        bytes: received.n_bytes,
        write_calls: with_rules.server.n_writes,
        relay_cpu_seconds: relay_cpu,
        relay_kernel_share: with_rules.server.kernel_share(),
        deliveries_per_cpu_second: received.n_updated_others as f64 / relay_cpu,
        frames_per_cpu_second: received.n_frames as f64 / relay_cpu,
        reference_frames,
        reference_cpu_seconds: reference_cpu,
        relay_to_reference: (relay_cpu / received.n_frames as f64)
            / (reference_cpu / reference_frames as f64),
        load_busy: with_rules.load_cpu.as_secs_f64() / with_rules.elapsed.as_secs_f64(),
        load_late_ms: with_rules.latest.as_secs_f64() * 1e3,
    })
}

fn measure(
    crowd: &mut Crowd,
    mut pace: Pace,
    server: &Server,
    duration: Duration,
) -> Result<Measured> {
    crowd.listen(Instant::now() + WARM_UP, Some(&mut pace))?;
    crowd.reset_tally();
    pace.latest = Duration::ZERO;
    let (n_due, started) = (pace.n_due(), Instant::now());
    let (server_before, load_before) = (server.usage()?, own_cpu()?);
    crowd.listen(started + duration, Some(&mut pace))?;
    let (server_after, load_after) = (server.usage()?, own_cpu()?);
    Ok(Measured {
        elapsed: started.elapsed(),
        n_due: pace.n_due() - n_due,
        received: crowd.tally(),
        server: server_after.since(server_before),
        load_cpu: load_after.saturating_sub(load_before),
        latest: pace.latest,
    })
}

/// One column for each rate.
pub(crate) fn table(results: &[Outgoing]) -> String {
    let mut table = Table::new(results.iter().map(|it| format!("{} a second", it.rate)).collect());
    let mut row = |name: &str, value: fn(&Outgoing) -> String| {
        table.row(name, results.iter().map(value).collect());
    };
    row("updates sent", |it| count(it.sent as f64));
    row("updates delivered to other viewers (A)", |it| count(it.delivered_others as f64));
    row("updates delivered to their own sender", |it| count(it.delivered_own as f64));
    row("of all that could be delivered", |it| {
        let deliveries = (it.delivered_others + it.delivered_own) as f64;
        percent(deliveries / (it.sent as f64 * it.viewers as f64))
    });
    row("frames written (B)", |it| count(it.frames as f64));
    row("write calls, wake-ups included", |it| count(it.write_calls as f64));
    row("bytes written", |it| count(it.bytes as f64));
    row("relay's CPU time (C)", |it| seconds(it.relay_cpu_seconds));
    row("of it in the kernel", |it| percent(it.relay_kernel_share));
    row("DELIVERIES PER CPU SECOND (A / C)", |it| count(it.deliveries_per_cpu_second));
    row("FRAMES PER CPU SECOND (B / C)", |it| count(it.frames_per_cpu_second));
    row("reference: frames written", |it| count(it.reference_frames as f64));
    row("reference: CPU time", |it| seconds(it.reference_cpu_seconds));
    row("RELAY / REFERENCE, CPU time per frame", |it| format!("{:.2}", it.relay_to_reference));
    row("load's core busy with the load", |it| percent(it.load_busy));
    row("longest delay of an update's sending", |it| format!("{:.0} ms", it.load_late_ms));
    table.to_string()
}

/// What makes a figure doubtful, or shows that it is not what it should be.
pub(crate) fn remarks(results: &[Outgoing]) -> Vec<String> {
    let mut remarks = Vec::new();
    for it in results {
        let rate = it.rate;
        let intended = f64::from(rate) * it.viewers as f64 * it.seconds;
        if (it.sent as f64) < 0.98 * intended || it.load_busy > 0.9 {
            let sent = percent(it.sent as f64 / intended);
            remarks.push(format!(
                "{rate} a second: THE LOAD IS SATURATED (it sent {sent} of what it should); the \
                 figures are those of the load"
            ));
        }
        if it.relay_cpu_seconds > 0.9 * it.seconds {
            remarks.push(format!("{rate} a second: the relay's core is full"));
        }
        if it.snapshots > 0 {
            let n = it.snapshots;
            remarks.push(format!("{rate} a second: {n} times a viewer fell behind"));
        }
        if it.deliveries_per_cpu_second < AIM {
            remarks.push(format!("{rate} a second: below the aim of {}", count(AIM)));
        }
    }
    remarks
}
