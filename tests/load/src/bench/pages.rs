//! Many pages in one thread: the SDK's own rules over real sockets.

use super::{crowd, wire};
use anyhow::{Context, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use presence_core::session::{Event, Output, State};
use presence_core::{Dedupe, Mode, Session, Time};
use presence_protocol::{Dial, Key, Meta, decode_server, encode_client};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(5);
const READ_BYTES: usize = 64 * 1024;
/// What a browser says of a connection that ended without a close frame.
const ABNORMAL: u16 = 1006;

/// Pages, and what they were told.
#[derive(Debug)]
pub(crate) struct Pages {
    poll: Poll,
    relay: SocketAddr,
    started: Instant,
    pages: Vec<Page>,
    pub(crate) told: Told,
    buffer: Vec<u8>,
}

/// What people saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) n_joins: u64,
    pub(crate) n_leaves: u64,
    /// Metas, states, or numbers of sessions that changed.
    pub(crate) n_updates: u64,
    pub(crate) n_dials: u64,
}

#[derive(Debug)]
struct Page {
    session: Session<Meta>,
    key: Key,
    token: String,
    socket: Option<Socket>,
}

#[derive(Debug)]
struct Socket {
    dial: Dial,
    stream: TcpStream,
    is_upgraded: bool,
    /// Bytes that make no whole frame yet.
    held: Vec<u8>,
    /// Bytes that the kernel hasn't taken yet.
    unsent: Vec<u8>,
}

impl Pages {
    pub(crate) fn new(relay: SocketAddr) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            relay,
            started: Instant::now(),
            pages: Vec::new(),
            told: Told::default(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Opens a page of a user of its own, which enters a key.
    pub(crate) fn open(&mut self, key: Key) -> Result<()> {
        let (index, now) = (self.pages.len(), self.now());
        let mut session = Session::new(index as u64);
        session.join(now, key.clone(), Meta::empty(), Dedupe::User, Mode::Join);
        let token = crowd::token(index)?;
        self.pages.push(Page { session, key, token, socket: None });
        self.drain(index)
    }

    /// Lets everything happen until it is time or all is done. True if it is.
    pub(crate) fn run(
        &mut self,
        until: Instant,
        mut is_done: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<bool> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => result?,
            }
            for event in &events {
                self.hear(event.token().0, event.is_writable())?;
            }
            let now = self.now();
            for index in 0..self.pages.len() {
                let page = self.pages.get_mut(index).context("no such page")?;
                if page.session.poll_timeout().is_some_and(|it| it <= now) {
                    page.session.handle_timeout(now);
                    self.drain(index)?;
                }
            }
            if is_done(self)? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }

    /// How many pages have been given a roster on the socket that they have now.
    pub(crate) fn n_live(&self) -> usize {
        self.pages.iter().filter(|it| it.is_live()).count()
    }

    /// How many pages show exactly so many people.
    pub(crate) fn n_showing(&self, n_members: usize) -> usize {
        let shows =
            |it: &&Page| it.session.roster(&it.key).is_some_and(|it| it.count() == n_members);
        self.pages.iter().filter(shows).count()
    }

    fn now(&self) -> Time {
        Time::from_millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads and writes what a page's socket allows.
    fn hear(&mut self, index: usize, is_writable: bool) -> Result<()> {
        let now = self.now();
        let page = self.pages.get_mut(index).context("no such page")?;
        let Some(socket) = &mut page.socket else { return Ok(()) };
        let dial = socket.dial;
        let mut is_open = !is_writable || socket.write();
        while is_open {
            match socket.stream.read(&mut self.buffer) {
                Ok(n_bytes) if n_bytes > 0 => {
                    socket.held.extend_from_slice(self.buffer.get(..n_bytes).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => is_open = false,
            }
        }
        let end = page.take(now, dial)?;
        if let Some(code) = end.or((!is_open).then_some(ABNORMAL)) {
            page.socket = None;
            page.session.socket_closed(now, dial, code);
        }
        self.drain(index)
    }

    /// Does what a page's rules want.
    fn drain(&mut self, index: usize) -> Result<()> {
        let now = self.now();
        let Self { poll, pages, told, relay, .. } = self;
        let page = pages.get_mut(index).context("no such page")?;
        while let Some(output) = page.session.poll_output() {
            match output {
                Output::FetchToken { fetch } => {
                    page.session.token(now, fetch, Ok(page.token.clone()));
                }
                Output::Dial { dial } => {
                    told.n_dials += 1;
                    let mut stream = TcpStream::connect(*relay)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(index), interest)?;
                    let unsent = wire::upgrade_request(*relay).into_bytes();
                    let held = Vec::new();
                    page.socket = Some(Socket { dial, stream, is_upgraded: false, held, unsent });
                }
                Output::Send { frame, .. } => {
                    page.say(wire::TEXT, encode_client(&frame).as_bytes())
                }
                Output::Close { code, .. } => {
                    page.say(wire::CLOSE, &code.code().to_be_bytes());
                    page.socket = None;
                }
                Output::Beacon { .. } => {}
                Output::Event(Event::Joined { .. }) => told.n_joins += 1,
                Output::Event(Event::Left { .. }) => told.n_leaves += 1,
                Output::Event(Event::Updated { .. }) => told.n_updates += 1,
                Output::Event(_) => {}
            }
        }
        Ok(())
    }
}

impl Page {
    fn is_live(&self) -> bool {
        let roster = self.session.roster(&self.key);
        self.session.state() == State::Live && roster.is_some_and(|it| it.rev().is_some())
    }

    /// Takes the whole frames that have come. `Some` is the code that the socket was closed with.
    fn take(&mut self, now: Time, dial: Dial) -> Result<Option<u16>> {
        loop {
            let Some(socket) = self.socket.as_mut().filter(|it| it.dial == dial) else {
                return Ok(None);
            };
            if !socket.is_upgraded {
                let Some(size) = wire::upgraded(&socket.held)? else { return Ok(None) };
                socket.held.drain(..size);
                socket.is_upgraded = true;
                self.session.socket_open(now, dial);
                // The `hello` goes out before anything else is heard.
                return Ok(None);
            }
            let Some(frame) = wire::first_frame(&socket.held)? else { return Ok(None) };
            let (opcode, payload) = (frame.opcode, frame.payload.to_vec());
            let size = frame.size;
            socket.held.drain(..size);
            match (opcode, payload.as_slice()) {
                (wire::TEXT, text) => match decode_server(str::from_utf8(text)?) {
                    Ok(frame) => self.session.socket_frame(now, dial, frame),
                    Err(_) => self.session.socket_garbage(now, dial),
                },
                (wire::PING, _) => self.say(wire::PONG, b""),
                (wire::CLOSE, [high, low, ..]) => {
                    return Ok(Some(u16::from_be_bytes([*high, *low])));
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, opcode: u8, payload: &[u8]) {
        if let Some(socket) = &mut self.socket {
            wire::push_frame(&mut socket.unsent, opcode, payload);
            // If it is broken, reading says so.
            socket.write();
        }
    }
}

impl Socket {
    /// Writes what waits; false if the socket is broken.
    fn write(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n_bytes) => drop(self.unsent.drain(..n_bytes)),
                Err(error) => {
                    // One that isn't connected yet says so, and is heard of again.
                    return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected);
                }
            }
        }
        true
    }
}
