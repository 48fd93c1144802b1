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
/// In how many turns the relay and the reference are measured.
const TURNS: u32 = 5;
/// How long each turn runs before and after it is measured.
const LEAD_IN: Duration = Duration::from_millis(200);

/// What was measured at one rate.
#[derive(Debug, Serialize)]
pub(crate) struct Outgoing {
    viewers: usize,
    /// Updates a second that each viewer is to send.
    rate: u32,
    seconds: f64,
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
    reference_bytes: u64,
    reference_cpu_seconds: f64,
    /// The relay's CPU time for a frame, in those of the reference.
    relay_to_reference: f64,
    /// How busy the load's core was with the load.
    load_busy: f64,
    /// The longest that an update was sent too late.
    load_late_ms: f64,
}

/// A crowd and what it talks to.
struct Side {
    crowd: Crowd,
    server: Server,
    pace: Pace,
}

/// What was measured of a side.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    elapsed: Duration,
    n_said: u64,
    received: Tally,
    used: Usage,
    load_cpu: Duration,
    /// The longest that anything was said too late.
    latest: Duration,
}

pub(crate) fn run(bench: &Bench, viewers: usize, rate: u32) -> Result<Outgoing> {
    let key = Key::parse("load:outgoing").context("a bad key")?;
    let pace = || Pace::new(Says::Update(key.clone()), viewers, Duration::from_secs(1) / rate);
    let duration = bench.seconds / TURNS;

    let mut relay = Side { crowd: Crowd::new()?, server: bench.start_relay()?, pace: pace() };
    for viewer in 0..viewers {
        relay.crowd.open(relay.server.address())?;
        relay.crowd.join(viewer, &key)?;
    }
    let give_up_at = Instant::now() + JOIN_TIMEOUT;
    let is_complete = relay.crowd.run(give_up_at, None, |it| it.all_see(viewers as u64))?;
    ensure!(is_complete, "not everybody saw everybody within {JOIN_TIMEOUT:?}");
    relay.run(WARM_UP)?;

    // In turns, so that what else happens on the machine happens to both. Each reference repeats what
    // the relay has just done.
    let (mut with_rules, mut bare) = (Measured::default(), Measured::default());
    for _ in 0..TURNS {
        let turn = relay.measure(duration)?;
        with_rules.add(&turn);
        let Tally { n_frames, n_bytes, .. } = turn.received;
        ensure!(n_frames >= viewers as u64, "the relay delivered nothing");
        let frames_per_viewer = n_frames as f64 / viewers as f64;
        let reference = Reference {
            sockets: viewers,
            period_us: turn.elapsed.div_f64(frames_per_viewer).as_micros().try_into()?,
            frame_bytes: usize::try_from(n_bytes / n_frames)?,
        };
        let server = Server::this_program(&reference.to_args(), bench.cores)?;
        let mut reference = Side { crowd: Crowd::new()?, server, pace: pace() };
        for _ in 0..viewers {
            reference.crowd.open_bare(reference.server.address())?;
        }
        bare.add(&reference.measure(duration)?);
        reference.end()?;
    }
    relay.end()?;
    Ok(compare(viewers, rate, &with_rules, &bare))
}

fn compare(viewers: usize, rate: u32, with_rules: &Measured, bare: &Measured) -> Outgoing {
    let received = with_rules.received;
    let relay_cpu = with_rules.used.cpu.as_secs_f64();
    let reference_cpu = bare.used.cpu.as_secs_f64();
    let reference_frames = bare.received.n_frames;
    let seconds = with_rules.elapsed.as_secs_f64();
    Outgoing {
        viewers,
        rate,
        seconds,
        sent: with_rules.n_said - received.n_unsendable,
        delivered_others: received.n_updated_others,
        delivered_own: received.n_updated_own,
        frames: received.n_frames,
        snapshots: received.n_snapshots,
        bytes: received.n_bytes,
        write_calls: with_rules.used.n_writes,
        relay_cpu_seconds: relay_cpu,
        relay_kernel_share: with_rules.used.kernel_share(),
        deliveries_per_cpu_second: received.n_updated_others as f64 / relay_cpu,
        frames_per_cpu_second: received.n_frames as f64 / relay_cpu,
        reference_frames,
        reference_bytes: bare.received.n_bytes,
        reference_cpu_seconds: reference_cpu,
        relay_to_reference: (relay_cpu / received.n_frames as f64)
            / (reference_cpu / reference_frames as f64),
        load_busy: with_rules.load_cpu.as_secs_f64() / seconds,
        load_late_ms: with_rules.latest.as_secs_f64() * 1e3,
    }
}

impl Side {
    fn run(&mut self, duration: Duration) -> Result<()> {
        self.crowd.listen(Instant::now() + duration, Some(&mut self.pace))
    }

    fn measure(&mut self, duration: Duration) -> Result<Measured> {
        self.pace.resume();
        self.run(LEAD_IN)?;
        self.pace.latest = Duration::ZERO;
        self.crowd.take_tally();
        let (n_said, started) = (self.pace.n_said(), Instant::now());
        let (used, load_cpu) = (self.server.usage()?, own_cpu()?);
        self.run(duration)?;
        let measured = Measured {
            used: self.server.usage()?.since(used),
            load_cpu: own_cpu()?.saturating_sub(load_cpu),
            elapsed: started.elapsed(),
            n_said: self.pace.n_said() - n_said,
            received: self.crowd.take_tally(),
            latest: self.pace.latest,
        };
        // Until all is read.
        self.crowd.listen(Instant::now() + LEAD_IN, None)?;
        Ok(measured)
    }

    fn end(self) -> Result<()> {
        drop(self.crowd);
        self.server.stop()
    }
}

impl Measured {
    fn add(&mut self, turn: &Self) {
        self.elapsed += turn.elapsed;
        self.n_said += turn.n_said;
        self.received += turn.received;
        self.used = self.used.and(turn.used);
        self.load_cpu += turn.load_cpu;
        self.latest = self.latest.max(turn.latest);
    }
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
    row("reference: bytes written", |it| count(it.reference_bytes as f64));
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
        let sent = percent(it.sent as f64 / intended);
        if it.load_busy > 0.9 {
            remarks.push(format!(
                "{rate} a second: THE LOAD'S CORE IS FULL (it sent {sent} of what it should), so the \
                 figures are the load's and not the relay's"
            ));
        } else if (it.sent as f64) < 0.98 * intended || it.load_late_ms > 100.0 {
            remarks.push(format!(
                "{rate} a second: other programs held this one up (it sent {sent} of what it should, \
                 and up to {:.0} ms late), so more was merged than should be",
                it.load_late_ms
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_compared_by_the_frame() {
        let result = compare(100, 20, &turn(50_000, 600), &turn(25_000, 200));
        assert!((result.relay_to_reference - 1.5).abs() < 1e-9);
        assert!((result.frames_per_cpu_second - 50_000.0 / 0.6).abs() < 1e-6);
        assert!((result.deliveries_per_cpu_second - 1_980_000.0 / 0.6).abs() < 1e-6);
        assert!(remarks(&[result]).is_empty());
    }

    #[test]
    fn a_load_that_is_too_slow_is_told_apart_from_one_that_was_held_up() {
        let remark = |change: fn(&mut Measured)| {
            let mut relay = turn(50_000, 600);
            change(&mut relay);
            remarks(&[compare(100, 20, &relay, &turn(50_000, 400))]).concat()
        };
        assert!(remark(|it| it.load_cpu = Duration::from_millis(9_500)).contains("CORE IS FULL"));
        assert!(remark(|it| it.n_said = 15_000).contains("it sent 75 % of what it should"));
        assert!(remark(|it| it.latest = Duration::from_millis(400)).contains("400 ms late"));
        assert!(remark(|it| it.received.n_snapshots = 3).contains("3 times a viewer fell behind"));
        assert!(remark(|it| it.used.cpu *= 10).contains("below the aim of 800,000"));
    }

    fn turn(n_frames: u64, cpu_ms: u64) -> Measured {
        Measured {
            elapsed: Duration::from_secs(10),
            n_said: 20_000,
            received: Tally { n_frames, n_updated_others: 1_980_000, ..Tally::default() },
            used: Usage { cpu: Duration::from_millis(cpu_ms), ..Usage::default() },
            load_cpu: Duration::from_millis(800),
            latest: Duration::from_millis(5),
        }
    }
}
