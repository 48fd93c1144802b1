//! The bare reference: the same bytes on the same sockets, and nothing else.
//!
//! It writes a frame of a fixed size to every socket at a fixed cadence, and reads and forgets what
//! comes. No JSON, no presence, no runtime: what it costs is what the kernel asks for moving bytes.

use super::server::LISTENING;
use anyhow::{Result, ensure};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write, stdout};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A text frame's header of the longer kind that lengths below 64 KiB have.
const HEADER_BYTES: usize = 4;
/// As much as the relay reads at a time.
const READ_BYTES: usize = 16 * 1024;
/// It ends by itself after so long, should whoever started it be gone.
const LIFETIME: Duration = Duration::from_secs(300);

/// What it does.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Reference {
    /// How many sockets to wait for.
    #[arg(long)]
    pub(crate) sockets: usize,
    /// How long to wait between two frames.
    #[arg(long)]
    pub(crate) period_us: u64,
    /// How large a frame is, header included.
    #[arg(long)]
    pub(crate) frame_bytes: usize,
}

impl Reference {
    /// The arguments that make this program run it.
    pub(crate) fn to_args(self) -> Vec<String> {
        vec![
            "reference".to_owned(),
            format!("--sockets={}", self.sockets),
            format!("--period-us={}", self.period_us),
            format!("--frame-bytes={}", self.frame_bytes),
        ]
    }

    /// Serves until it is ended, or until the load goes away.
    pub(crate) fn serve(self) -> Result<()> {
        match self.serve_bytes() {
            Err(error) if is_load_gone(&error) => Ok(()),
            result => result,
        }
    }

    fn serve_bytes(self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut out = stdout();
        writeln!(out, "{LISTENING}{}", listener.local_addr()?)?;
        out.flush()?;

        let mut poll = Poll::new()?;
        let mut streams = Vec::new();
        while streams.len() < self.sockets {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(streams.len()), Interest::READABLE)?;
            streams.push(stream);
        }
        let frame = frame(self.frame_bytes);
        let period = Duration::from_micros(self.period_us);
        let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; READ_BYTES]);
        let started = Instant::now();
        let mut write_at = started + period;
        while started.elapsed() < LIFETIME {
            let wait = write_at.saturating_duration_since(Instant::now());
            match poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
            for event in &events {
                read(event, &mut streams, &mut buffer)?;
            }
            if Instant::now() < write_at {
                continue;
            }
            write_at += period;
            for stream in &mut streams {
                let n_bytes = stream.write(&frame)?;
                ensure!(n_bytes == frame.len(), "the load doesn't read fast enough");
            }
        }
        Ok(())
    }
}

fn read(event: &Event, streams: &mut [TcpStream], buffer: &mut [u8]) -> Result<()> {
    let Some(stream) = streams.get_mut(event.token().0) else { return Ok(()) };
    loop {
        match stream.read(buffer) {
            Ok(n_bytes) if n_bytes == buffer.len() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_load_gone(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
}

/// A whole text frame of a size, or of the nearest that there is.
fn frame(size: usize) -> Vec<u8> {
    let length = size.saturating_sub(HEADER_BYTES);
    let mut frame = match u16::try_from(length) {
        Ok(length) => [[0x81, 126], length.to_be_bytes()].concat(),
        Err(_) => [&[0x81, 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    frame.resize(frame.len() + length, b'-');
    frame
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    #[test]
    fn frames_are_whole_and_of_the_size_that_was_asked_for() {
        for size in [4, 5, 2847, 65539] {
            let frame = frame(size);
            assert_eq!(wire::first_frame(&frame).unwrap().unwrap().size, size);
            assert_eq!(frame.len(), size);
        }
        let large = frame(100_000);
        assert_eq!(wire::first_frame(&large).unwrap().unwrap().size, large.len());
    }
}
