//! One task per connection: reads, takes turns with the relay, writes.
//!
//! The task is a hand-written poll function, because an idle connection is what a relay has most of:
//! it holds a socket, a few numbers, and no buffer. What all connections of a thread need in turns is
//! that thread's [`Scratch`].

use crate::App;
use crate::frames::{self, FrameReader, Message};
use crate::input::Input;
use crate::limits::Place;
use crate::lobby::Seat;
use crate::log::RequestId;
use crate::shared::{Core, Turn};
use crate::shares::Share;
use crate::stream::{Patience, Stream};
use crate::throttle::Throttle;
use bytes::{Buf, Bytes};
use presence_core::relay::{Closed, ConnId, Outgoing};
use presence_protocol::CloseCode;
use std::cell::RefCell;
use std::io::IoSlice;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tracing::debug;

/// How much is read at a time.
const READ_BYTES: usize = 16 * 1024;
/// About how much is taken from the relay at a time.
const COLLECT_BYTES: usize = 64 * 1024;
/// What is larger than this counts for all sockets together while it isn't taken.
const LARGE_BYTES: usize = COLLECT_BYTES;
/// How many frames one write hands to the kernel.
const WRITE_FRAMES: usize = 64;
/// After so many inputs their answers are collected, lest they pile up in the relay.
const INPUTS_PER_COLLECT: usize = 16;
/// A task that has been busy for so many rounds lets others run.
const ROUNDS: usize = 8;
/// The least a socket is left alone that spoke too fast, so that it isn't woken for every message.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// How long a closed socket may take to be closed by its peer.
const LINGER: Duration = Duration::from_secs(2);
/// How much a peer may still send to a socket that was closed.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Serves a socket that was just upgraded; `first` is what its peer has sent already.
pub(crate) fn serve(
    app: Arc<App>,
    stream: Stream,
    conn: ConnId,
    address: Place,
    request: RequestId,
    first: &[u8],
) -> impl Future<Output = ()> + use<> {
    let mut connection = Connection::new(app, stream, conn, address, request, first);
    async move {
        std::future::poll_fn(|cx| connection.poll(cx)).await;
        let Connection { app, stream, address, unsent, large, .. } = connection;
        // Nobody will take it any more.
        drop((unsent, large));
        if let Some(seat) = app.leaving.enter(Some(address)) {
            // Boxed, so that a connection doesn't occupy the memory of its end all its life.
            Box::pin(linger(stream, seat)).await;
        }
    }
}

/// Closes a socket that never became a connection.
pub(crate) async fn turn_away(mut stream: Stream, code: CloseCode, seat: Seat) {
    if let Ok(Ok(())) = timeout(LINGER, stream.write_all(&frames::close(code))).await {
        linger(stream, seat).await;
    }
}

/// Lets the peer read what was written last. A socket that is closed with bytes unread is reset, and
/// the peer would lose the close frame that says why.
async fn linger(mut stream: Stream, _seat: Seat) {
    let drain = async {
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut buffer = [0; 1024];
        while discarded < LINGER_BYTES {
            match stream.read(&mut buffer).await? {
                0 => break,
                n => discarded += n,
            }
        }
        std::io::Result::Ok(())
    };
    // However it ends, the socket is closed now.
    let _ = timeout(LINGER, drain).await;
}

/// One socket.
#[derive(Debug)]
struct Connection {
    app: Arc<App>,
    stream: Stream,
    request: RequestId,
    phase: Phase,
    /// Where its address is counted.
    address: Place,
    /// Where its user is counted, once that is known.
    user: Option<Place>,
    reader: FrameReader,
    throttle: Throttle,
    /// Set while the peer has spoken too fast and isn't read from.
    pause: Option<Pin<Box<Sleep>>>,
    /// Frames that the socket didn't take. While there are any, nothing more is collected, so there
    /// are never more than one turn's.
    unsent: Vec<Bytes>,
    /// For how long what a peer could withhold for ever is waited for.
    patience: Patience,
    /// Set until it has said hello.
    greeting: Option<Share>,
    /// Set while a large frame is unsent.
    large: Option<Share>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It has this number at the relay.
    Open(ConnId),
    /// Its socket can't be written to any more. What the peer said before is still read.
    Broken(ConnId),
    /// The relay has forgotten it; what is unsent, a close frame at last, is still written.
    Closing,
}

/// What a thread's connections use in turns.
struct Scratch {
    bytes: Box<[u8; READ_BYTES]>,
    inputs: Vec<Input>,
    outgoing: Vec<Outgoing<Bytes>>,
    /// Frames to be written.
    frames: Vec<Bytes>,
}

impl Scratch {
    fn clear(&mut self) {
        self.inputs.clear();
        self.outgoing.clear();
        self.frames.clear();
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        bytes: Box::new([0; READ_BYTES]),
        inputs: Vec::new(),
        outgoing: Vec::new(),
        frames: Vec::new(),
    });
}

/// What reading came to.
enum Read {
    /// There is nothing to read now.
    Nothing,
    /// Something was read, and there may be more.
    Some,
    /// Nothing will be read any more.
    End(End),
}

/// Why nothing will be read any more.
#[derive(Clone, Copy)]
enum End {
    /// The peer sent a close frame.
    Goodbye(Option<u16>),
    /// The peer broke the rules, or there is no room for it.
    Violation(CloseCode),
    /// The socket was closed or reset.
    Gone,
    /// The peer has taken nothing for too long.
    Stuck,
}

/// What writing came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Everything is.
    All,
    /// The socket takes no more now; the rest is kept.
    Part,
    /// The socket has taken nothing for too long.
    Stuck,
    /// The socket is broken; the rest is dropped.
    Broken,
}

impl Connection {
    fn new(
        app: Arc<App>,
        stream: Stream,
        conn: ConnId,
        address: Place,
        request: RequestId,
        first: &[u8],
    ) -> Self {
        Self {
            app,
            stream,
            request,
            phase: Phase::Open(conn),
            address,
            user: None,
            reader: FrameReader::starting_with(first),
            throttle: Throttle::default(),
            pause: None,
            unsent: Vec::new(),
            patience: Patience::default(),
            greeting: None,
            large: None,
        }
    }

    /// Does what can be done. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _entered = self.request.debug_span().entered();
        SCRATCH.with_borrow_mut(|scratch| {
            // Should another connection's poll have panicked, what it left behind is not ours.
            scratch.clear();
            for _ in 0..ROUNDS {
                let round = match self.phase {
                    Phase::Open(conn) => self.round(cx, scratch, conn),
                    Phase::Broken(conn) => self.last_words(cx, scratch, conn),
                    Phase::Closing => self.last_frames(cx),
                };
                if let ControlFlow::Break(poll) = round {
                    return poll;
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Reads once, takes one turn at the relay, writes. Continues if there may be more to do.
    fn round(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        conn: ConnId,
    ) -> ControlFlow<Poll<()>> {
        let read = self.read(cx, scratch);
        let flushed = self.flush(cx);
        let is_crowded_out = !self.may_wait(cx);
        let end = match read {
            _ if is_crowded_out => Some(End::Violation(CloseCode::Busy)),
            _ if flushed == Written::Stuck => Some(End::Stuck),
            Read::Nothing | Read::Some => None,
            Read::End(end) => Some(end),
        };
        let turn = self.turn(cx, scratch, conn, end, flushed == Written::All);
        match end {
            Some(End::Goodbye(code)) => scratch.frames.push(frames::close_echo(code)),
            Some(End::Gone | End::Stuck) => scratch.frames.clear(),
            Some(End::Violation(_)) | None => {}
        }
        let written = match flushed {
            Written::All => self.write(cx, &mut scratch.frames),
            Written::Part => {
                self.unsent.append(&mut scratch.frames);
                Written::Part
            }
            Written::Stuck | Written::Broken => {
                scratch.frames.clear();
                flushed
            }
        };
        match (turn, written) {
            (Turn::Over(how), _) => {
                debug!(?how, "connection is over");
                if written != Written::Part {
                    return ControlFlow::Break(Poll::Ready(()));
                }
                self.phase = Phase::Closing;
                self.patience.wait_for(LINGER);
            }
            (Turn::Idle | Turn::More, Written::Broken) => {
                self.phase = Phase::Broken(conn);
                self.patience.wait_for(LINGER);
            }
            (Turn::More, Written::All) => {}
            (Turn::Idle | Turn::More, _) if matches!(read, Read::Some) => {}
            (Turn::Idle | Turn::More, _) => return ControlFlow::Break(Poll::Pending),
        }
        ControlFlow::Continue(())
    }

    /// Reads what a peer said before its socket broke: perhaps a `leave`.
    fn last_words(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        conn: ConnId,
    ) -> ControlFlow<Poll<()>> {
        let end = match self.read(cx, scratch) {
            Read::Some => None,
            // The news that the socket is broken comes the same way as what the peer said before.
            Read::Nothing if self.patience.is_left(cx) => return ControlFlow::Break(Poll::Pending),
            // Nobody can be told what was wrong.
            Read::Nothing | Read::End(End::Violation(_)) => Some(End::Gone),
            Read::End(end) => Some(end),
        };
        let turn = self.turn(cx, scratch, conn, end, false);
        scratch.frames.clear();
        match turn {
            Turn::Over(how) => {
                debug!(?how, "connection is broken");
                ControlFlow::Break(Poll::Ready(()))
            }
            Turn::Idle | Turn::More => ControlFlow::Continue(()),
        }
    }

    /// Writes what is left to be written when the connection is over.
    fn last_frames(&mut self, cx: &mut Context<'_>) -> ControlFlow<Poll<()>> {
        ControlFlow::Break(match self.flush(cx) {
            Written::Part => Poll::Pending,
            Written::All | Written::Stuck | Written::Broken => Poll::Ready(()),
        })
    }

    /// Reads once and decodes what came into `inputs`; pongs go to `frames` at once.
    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Read {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Read::Nothing;
            }
            self.pause = None;
        }
        let mut buffer = ReadBuf::new(scratch.bytes.as_mut_slice());
        if !self.reader.is_interrupted() {
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Read::Nothing,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Ok(()) | Err(_)) => return Read::End(End::Gone),
            }
        }
        let (app, request) = (&*self.app, self.request);
        let (inputs, frames) = (&mut scratch.inputs, &mut scratch.frames);
        let now = app.rate.now();
        // To a peer that doesn't read a pong is of no use either.
        let can_answer = self.unsent.is_empty();
        let (mut goodbye, mut wait) = (None, None);
        let result = self.reader.read(buffer.filled_mut(), |message| {
            let mut input = match message {
                Message::Text(text) => Input::from_text(text, app, request),
                Message::Ping(payload) => {
                    if can_answer {
                        frames.push(frames::pong(payload));
                    }
                    Input::Heard
                }
                Message::Pong | Message::Fragment => Input::Heard,
                Message::Close(code) => {
                    goodbye = Some(End::Goodbye(code));
                    return ControlFlow::Break(());
                }
            };
            if let Some(user) = input.user() {
                let user = app.spent.of_user(user);
                let is_hello = self.user.replace(user).is_none();
                if is_hello && !app.spent.greet(user) {
                    input = Input::Abuse(Box::new(input));
                }
            }
            inputs.push(input.at(app.spent.message(self.address, self.user)));
            wait = self.throttle.spend(now, &app.rate);
            if wait.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(wait) = wait {
            self.app.counters.throttled();
            self.pause = Some(Box::pin(sleep(wait.max(MIN_PAUSE))));
        }
        match (result, goodbye) {
            (Err(violation), _) => {
                debug!(?violation, "a peer does not speak the protocol");
                Read::End(End::Violation(violation.close_code()))
            }
            (Ok(()), Some(end)) => Read::End(end),
            (Ok(()), None) => Read::Some,
        }
    }

    /// False if others need its place who are no connections yet either, and have taken fewer.
    fn may_wait(&mut self, cx: &Context<'_>) -> bool {
        if self.user.is_some() {
            self.greeting = None;
            return true;
        }
        let Self { greeting, app, address, .. } = self;
        !greeting.get_or_insert_with(|| app.greeting.take(*address, cx.waker())).is_given_up()
    }

    /// Tells the relay what was read, and takes what is to be written into `frames`.
    fn turn(
        &self,
        cx: &Context<'_>,
        scratch: &mut Scratch,
        conn: ConnId,
        end: Option<End>,
        may_collect: bool,
    ) -> Turn {
        let Scratch { inputs, outgoing, frames, .. } = scratch;
        let turn = self.app.shared.turn(conn, cx.waker(), |core, now| {
            let mut collect = |core: &mut Core| {
                if !may_collect {
                    return Turn::Idle;
                }
                // Together no more than about that, or each collection would add a snapshot.
                let left = COLLECT_BYTES.saturating_sub(size_of_frames(outgoing));
                let is_more = core.collect(now, conn, left, outgoing);
                match outgoing.last() {
                    Some(Outgoing::Close(_)) => Turn::Over(Closed::Lost),
                    _ if is_more => Turn::More,
                    _ => Turn::Idle,
                }
            };
            for (n_applied, input) in (1..).zip(inputs.drain(..)) {
                input.apply(core, now, conn);
                if n_applied % INPUTS_PER_COLLECT == 0
                    && let turn @ Turn::Over(_) = collect(core)
                {
                    return turn;
                }
            }
            match end {
                // What a browser sends when its tab is closed.
                Some(End::Goodbye(Some(code))) if code == CloseCode::GoingAway.code() => {
                    Turn::Over(Closed::Leave)
                }
                Some(End::Goodbye(_)) => Turn::Over(Closed::Goodbye),
                Some(End::Stuck) => Turn::Over(Closed::Stuck),
                Some(End::Gone) => Turn::Over(Closed::Lost),
                Some(End::Violation(code)) => {
                    core.refuse(now, conn, code);
                    core.collect(now, conn, COLLECT_BYTES, outgoing);
                    Turn::Over(Closed::Lost)
                }
                None => collect(core),
            }
        });
        frames.extend(outgoing.drain(..).map(|it| match it {
            Outgoing::Frame(frame) => frame,
            Outgoing::Ping => frames::PING,
            Outgoing::Close(close) => {
                debug!(code = close.name(), "closing a connection");
                frames::close(close)
            }
        }));
        turn
    }

    /// Writes what the socket didn't take before.
    fn flush(&mut self, cx: &mut Context<'_>) -> Written {
        if self.unsent.is_empty() && !self.stream.holds_something() {
            return Written::All;
        }
        let mut frames = std::mem::take(&mut self.unsent);
        self.write(cx, &mut frames)
    }

    /// Writes frames, as many as the kernel takes at a time, and keeps the rest.
    fn write(&mut self, cx: &mut Context<'_>, frames: &mut Vec<Bytes>) -> Written {
        let mut n_sent = 0;
        while n_sent < frames.len() {
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
            let waiting = frames.iter().skip(n_sent);
            let n_slices =
                slices.iter_mut().zip(waiting).map(|(to, it)| *to = IoSlice::new(it)).count();
            let slices = slices.get(..n_slices).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
                Poll::Ready(Ok(n_bytes)) if n_bytes > 0 => {
                    n_sent += advance(frames, n_sent, n_bytes);
                    self.patience.took(n_bytes);
                }
                Poll::Ready(_) => {
                    frames.clear();
                    return Written::Broken;
                }
                Poll::Pending => {
                    self.unsent.extend(frames.drain(n_sent..));
                    frames.clear();
                    return self.wait(cx);
                }
            }
        }
        frames.clear();
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.patience.rest();
                self.large = None;
                Written::All
            }
            Poll::Ready(Err(_)) => Written::Broken,
            Poll::Pending => self.wait(cx),
        }
    }

    /// Waits until the socket takes more, but not for ever, and not for a trickle.
    fn wait(&mut self, cx: &mut Context<'_>) -> Written {
        // A socket that is closed has its last seconds already.
        if !matches!(self.phase, Phase::Closing) {
            self.patience.wait();
        }
        if self.patience.is_left(cx) && self.may_keep(cx) { Written::Part } else { Written::Stuck }
    }

    /// True if there is room for what is unsent.
    fn may_keep(&mut self, cx: &Context<'_>) -> bool {
        // Of each turn no more than one is much larger.
        let largest = self.unsent.iter().max_by_key(|it| it.len());
        let Some(frame) = largest.filter(|it| it.len() > LARGE_BYTES) else {
            self.large = None;
            return true;
        };
        if let Some(share) = &self.large {
            if share.is_given_up() {
                return false;
            }
            if share.is_of(frame) {
                return true;
            }
        }
        let owner = self.user.unwrap_or(self.address);
        self.large = Some(self.app.unsent.keep(owner, frame, cx.waker()));
        true
    }
}

fn size_of_frames(outgoing: &[Outgoing<Bytes>]) -> usize {
    let size = |it: &Outgoing<Bytes>| if let Outgoing::Frame(frame) = it { frame.len() } else { 0 };
    outgoing.iter().map(size).sum()
}

/// Takes written bytes off the frames from `first` on. Returns how many frames are written now.
fn advance(frames: &mut [Bytes], first: usize, mut n_bytes: usize) -> usize {
    let mut n_sent = 0;
    for frame in frames.iter_mut().skip(first) {
        if n_bytes < frame.len() {
            frame.advance(n_bytes);
            break;
        }
        n_bytes -= frame.len();
        n_sent += 1;
    }
    n_sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        fn size_of_future<A, B, C, D, E, F, G>(_: fn(A, B, C, D, E, F) -> G) -> usize {
            size_of::<G>()
        }
        let size = size_of_future(serve);
        assert!(size <= 272, "{size} bytes");
    }

    #[test]
    fn bytes_are_taken_off_the_frames_they_belong_to() {
        let mut frames = [Bytes::from_static(b"one"), Bytes::from_static(b"three")];
        assert_eq!(advance(&mut frames, 0, 2), 0);
        assert_eq!(frames[0], "e");
        assert_eq!(advance(&mut frames, 0, 3), 1);
        assert_eq!(frames[1], "ree");
        assert_eq!(advance(&mut frames, 1, 3), 1);
    }
}
