//! Many viewers in one thread.

use super::count::{Content, SessionText, look};
use super::server::SECRET;
use super::wire;
use anyhow::{Context, Result, bail, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use presence_protocol::{ClientFrame, Dial, Key, Meta, ServerFrame, decode_server, encode_client};
use serde::Serialize;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 256 * 1024;
/// For how long the tokens are good, which is longer than any measurement takes.
const TOKEN_SECONDS: u64 = 3600;

/// Viewers, and what they have received.
#[derive(Debug)]
pub(crate) struct Crowd {
    poll: Poll,
    viewers: Vec<Viewer>,
    tally: Tally,
    buffer: Vec<u8>,
    /// The frame that is being sent.
    frame: Vec<u8>,
}

/// What was received by all viewers together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Frames of any kind.
    pub(crate) n_frames: u64,
    /// Their bytes, headers included.
    pub(crate) n_bytes: u64,
    pub(crate) n_deltas: u64,
    pub(crate) n_snapshots: u64,
    pub(crate) n_heartbeats: u64,
    pub(crate) n_pings: u64,
    /// Entries under `updated` in the deltas: another viewer's …
    pub(crate) n_updated_others: u64,
    /// … and the receiver's own.
    pub(crate) n_updated_own: u64,
    /// Frames that could not be sent because the socket was full.
    pub(crate) n_unsendable: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.n_frames += more.n_frames;
        self.n_bytes += more.n_bytes;
        self.n_deltas += more.n_deltas;
        self.n_snapshots += more.n_snapshots;
        self.n_heartbeats += more.n_heartbeats;
        self.n_pings += more.n_pings;
        self.n_updated_others += more.n_updated_others;
        self.n_updated_own += more.n_updated_own;
        self.n_unsendable += more.n_unsendable;
    }
}

#[derive(Debug)]
struct Viewer {
    stream: TcpStream,
    session: SessionText,
    /// The beginning of a frame whose end has not come.
    held: Vec<u8>,
    /// The rev of the last frame about its key.
    rev: u64,
    /// How many are in its key, as far as it has been told.
    n_present: u64,
}

/// What the viewers say, spread evenly over time and over them.
#[derive(Debug)]
pub(crate) struct Pace {
    says: Says,
    step: Duration,
    next_at: Instant,
    n_said: u64,
    /// The longest that anything was late.
    pub(crate) latest: Duration,
}

/// What a viewer says.
#[derive(Debug)]
pub(crate) enum Says {
    /// A meta that differs from the last.
    Update(Key),
    /// What the SDK says every 10 s.
    Heartbeat,
}

impl Pace {
    /// Each of so many viewers says something once in an interval.
    pub(crate) fn new(says: Says, n_viewers: usize, interval: Duration) -> Self {
        let step = interval.div_f64(n_viewers as f64);
        Self { says, step, next_at: Instant::now(), n_said: 0, latest: Duration::ZERO }
    }

    /// Goes on after a pause, as if it had not been.
    pub(crate) fn resume(&mut self) {
        self.next_at = Instant::now();
    }

    /// How much has been said.
    pub(crate) const fn n_said(&self) -> u64 {
        self.n_said
    }
}

impl Crowd {
    /// Viewers that have no socket yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            viewers: Vec::new(),
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            frame: Vec::new(),
        })
    }

    /// Connects a viewer and says `hello`. Waits for the `welcome`.
    pub(crate) fn open(&mut self, relay: SocketAddr) -> Result<()> {
        let mut stream = std::net::TcpStream::connect_timeout(&relay, OPEN_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(OPEN_TIMEOUT))?;
        let mut held = upgrade(&mut stream, relay)?;
        let token = token(self.viewers.len())?;
        let hello = ClientFrame::Hello { token, resume: None, dial: Dial(1) };
        self.frame.clear();
        wire::push_frame(&mut self.frame, wire::TEXT, encode_client(&hello).as_bytes());
        stream.write_all(&self.frame)?;
        let session = loop {
            if let Some(frame) = wire::first_frame(&held)? {
                let text = str::from_utf8(frame.payload)?;
                let Ok(ServerFrame::Welcome(welcome)) = decode_server(text) else {
                    bail!("the relay answered hello with {text}");
                };
                held.drain(..frame.size);
                break welcome.session;
            }
            read_some(&mut stream, &mut held)?;
        };
        let session = session.to_string().into_bytes();
        let session = session.try_into().map_err(|_| anyhow::anyhow!("a strange session id"))?;
        self.add(stream, session, held)
    }

    /// Connects a viewer to something that isn't a relay and knows no frames.
    pub(crate) fn open_bare(&mut self, server: SocketAddr) -> Result<()> {
        let stream = std::net::TcpStream::connect_timeout(&server, OPEN_TIMEOUT)?;
        stream.set_nodelay(true)?;
        self.add(stream, [b'-'; 16], Vec::new())
    }

    /// A viewer enters a key.
    pub(crate) fn join(&mut self, viewer: usize, key: &Key) -> Result<()> {
        let meta = Meta::from_json_value(&meta(0)).map_err(|it| anyhow::anyhow!(it.message()))?;
        let join = ClientFrame::Join { key: key.clone(), token: None, meta, age: None, away: None };
        self.say(viewer, wire::TEXT, encode_client(&join).as_bytes())
    }

    /// Reads what comes, and says what is due, until it is time or all is done. True if it is.
    pub(crate) fn run(
        &mut self,
        until: Instant,
        mut pace: Option<&mut Pace>,
        is_done: impl Fn(&Self) -> bool,
    ) -> Result<bool> {
        let mut events = Events::with_capacity(1024);
        loop {
            let mut wake_at = until;
            if let Some(pace) = pace.as_deref_mut() {
                self.keep_pace(pace)?;
                wake_at = wake_at.min(pace.next_at);
            }
            let wait = wake_at.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
            for event in &events {
                self.hear(event)?;
            }
            if is_done(self) {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// Reads what comes until a moment.
    pub(crate) fn listen(&mut self, until: Instant, pace: Option<&mut Pace>) -> Result<()> {
        self.run(until, pace, |_| false).map(|_| ())
    }

    /// What was received since the last call.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// True if every viewer knows of exactly so many in its key.
    pub(crate) fn all_see(&self, n_present: u64) -> bool {
        self.viewers.iter().all(|it| it.n_present == n_present)
    }

    fn add(
        &mut self,
        stream: std::net::TcpStream,
        session: SessionText,
        held: Vec<u8>,
    ) -> Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.viewers.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        self.viewers.push(Viewer { stream, session, held, rev: 0, n_present: 0 });
        Ok(())
    }

    /// Says everything that has become due.
    fn keep_pace(&mut self, pace: &mut Pace) -> Result<()> {
        let now = Instant::now();
        while let Some(late) = now.checked_duration_since(pace.next_at) {
            pace.latest = pace.latest.max(late);
            let n = pace.n_said;
            let viewer = usize::try_from(n)? % self.viewers.len();
            let text = match &pace.says {
                Says::Update(key) => {
                    format!(r#"{{"update":{{"key":"{key}","meta":{}}}}}"#, meta(n))
                }
                Says::Heartbeat => r#"{"heartbeat":{}}"#.to_owned(),
            };
            self.say(viewer, wire::TEXT, text.as_bytes())?;
            pace.n_said += 1;
            pace.next_at += pace.step;
        }
        Ok(())
    }

    fn say(&mut self, viewer: usize, opcode: u8, payload: &[u8]) -> Result<()> {
        self.frame.clear();
        wire::push_frame(&mut self.frame, opcode, payload);
        let viewer = self.viewers.get_mut(viewer).context("no such viewer")?;
        match viewer.stream.write(&self.frame) {
            Ok(n_bytes) => ensure!(n_bytes == self.frame.len(), "a frame was sent in part"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.tally.n_unsendable += 1,
            Err(error) => return Err(error).context("a viewer can't send"),
        }
        Ok(())
    }

    /// Reads what a viewer's socket holds.
    fn hear(&mut self, event: &Event) -> Result<()> {
        let index = event.token().0;
        let mut is_pinged = false;
        loop {
            let viewer = self.viewers.get_mut(index).context("no such viewer")?;
            let n_bytes = match viewer.stream.read(&mut self.buffer) {
                Ok(0) => bail!("a viewer's connection was closed"),
                Ok(n_bytes) => n_bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a viewer can't read"),
            };
            let bytes = self.buffer.get(..n_bytes).unwrap_or_default();
            // The first viewer's frames are decoded as well, to know that counting is right.
            is_pinged |= viewer.take(bytes, &mut self.tally, index == 0)?;
            if n_bytes < READ_BYTES {
                break;
            }
        }
        if is_pinged { self.say(index, wire::PONG, b"") } else { Ok(()) }
    }
}

impl Viewer {
    /// Takes the next bytes of its stream. True if there was a ping among them.
    fn take(&mut self, bytes: &[u8], tally: &mut Tally, is_checked: bool) -> Result<bool> {
        let mut held = std::mem::take(&mut self.held);
        if held.is_empty() {
            let (n_used, is_pinged) = self.take_frames(bytes, tally, is_checked)?;
            self.held = bytes.get(n_used..).unwrap_or_default().to_vec();
            return Ok(is_pinged);
        }
        held.extend_from_slice(bytes);
        let (n_used, is_pinged) = self.take_frames(&held, tally, is_checked)?;
        held.drain(..n_used);
        self.held = held;
        Ok(is_pinged)
    }

    fn take_frames(
        &mut self,
        bytes: &[u8],
        tally: &mut Tally,
        is_checked: bool,
    ) -> Result<(usize, bool)> {
        let (mut n_used, mut is_pinged) = (0, false);
        while let Some(frame) = wire::first_frame(bytes.get(n_used..).unwrap_or_default())? {
            n_used += frame.size;
            tally.n_frames += 1;
            tally.n_bytes += frame.size as u64;
            match frame.opcode {
                wire::TEXT => self.take_text(frame.payload, tally, is_checked)?,
                wire::PING => {
                    tally.n_pings += 1;
                    is_pinged = true;
                }
                wire::CLOSE => bail!("the relay closed a viewer: {:?}", frame.payload),
                opcode => bail!("the relay sent a frame of kind {opcode}"),
            }
        }
        Ok((n_used, is_pinged))
    }

    fn take_text(&mut self, text: &[u8], tally: &mut Tally, is_checked: bool) -> Result<()> {
        match look(text, &self.session) {
            Content::Snapshot { rev, n_presences } => {
                tally.n_snapshots += 1;
                self.rev = rev;
                self.n_present = n_presences;
            }
            Content::Delta(delta) => {
                let (from, rev) = (delta.from, self.rev);
                ensure!(from == rev, "a delta from rev {from} came to a viewer at rev {rev}");
                self.rev = delta.to;
                self.n_present = (self.n_present + delta.n_joined).saturating_sub(delta.n_left);
                tally.n_deltas += 1;
                tally.n_updated_others += delta.n_updated_others;
                tally.n_updated_own += delta.n_updated_own;
                if is_checked {
                    let counted = delta.n_updated_others + delta.n_updated_own;
                    let Ok(ServerFrame::Delta(decoded)) = decode_server(str::from_utf8(text)?)
                    else {
                        bail!("the relay sent a delta that can't be decoded");
                    };
                    let n_updated = decoded.updated.len() as u64;
                    ensure!(n_updated == counted, "{n_updated} updates were counted as {counted}");
                }
            }
            Content::Heartbeat => tally.n_heartbeats += 1,
            Content::Error => bail!("the relay answered {}", String::from_utf8_lossy(text)),
            Content::Other => {}
        }
        Ok(())
    }
}

/// A meta as a page that shows sections and typing would have it; the number makes it differ.
fn meta(n: u64) -> String {
    format!(r#"{{"section":"goals","is_typing":true,"n":{n}}}"#)
}

#[derive(Serialize)]
struct Claims {
    sub: String,
    name: String,
    keys: [&'static str; 1],
    exp: u64,
}

/// A token of a user for all keys of the load.
pub(crate) fn token(user: usize) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims {
        sub: format!("user-{user}"),
        name: format!("User {user}"),
        keys: ["load:*"],
        exp: now + TOKEN_SECONDS,
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

/// Asks for a WebSocket. Returns what came behind the answer.
fn upgrade(stream: &mut std::net::TcpStream, relay: SocketAddr) -> Result<Vec<u8>> {
    stream.write_all(wire::upgrade_request(relay).as_bytes())?;
    let mut answer = Vec::new();
    loop {
        if let Some(size) = wire::upgraded(&answer)? {
            return Ok(answer.split_off(size));
        }
        read_some(stream, &mut answer)?;
    }
}

fn read_some(stream: &mut std::net::TcpStream, to: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 4096];
    let n_bytes = stream.read(&mut buffer).context("no answer")?;
    ensure!(n_bytes > 0, "the connection was closed while it was opened");
    to.extend_from_slice(buffer.get(..n_bytes).unwrap_or_default());
    Ok(())
}
