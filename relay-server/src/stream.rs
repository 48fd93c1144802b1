//! What a connection's bytes come and go through.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// A peer that takes nothing for so long is gone, whatever it says.
pub(crate) const STUCK: Duration = Duration::from_secs(30);
/// The least that a peer takes of much in that time: 17 kbit/s, less than the slowest of phones do.
pub(crate) const LEAST_BYTES: usize = 64 * 1024;

/// A socket, and what stands between it and what is said.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed, so that a plain one stays small.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// True if it has taken something that the socket hasn't.
    pub(crate) fn holds_something(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(it) => it.get_ref().1.wants_write(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_read(cx, buffer),
            Self::Tls(it) => Pin::new(it).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Tls(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_write_vectored(cx, slices),
            Self::Tls(it) => Pin::new(it).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Tls(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Tls(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}

/// For how long a peer is waited for that doesn't take what it is sent.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// Set while something is waited for: when to give up.
    end: Option<Pin<Box<Sleep>>>,
    /// How much was taken since that was set.
    n_taken: usize,
}

impl Patience {
    /// The peer has taken so many bytes.
    pub(crate) const fn took(&mut self, n_bytes: usize) {
        self.n_taken = self.n_taken.saturating_add(n_bytes);
    }

    /// Nothing is waited for any more.
    pub(crate) fn rest(&mut self) {
        self.end = None;
    }

    /// Waits for so long, whatever is taken meanwhile.
    pub(crate) fn wait_for(&mut self, duration: Duration) {
        self.end = Some(Box::pin(sleep(duration)));
        self.n_taken = 0;
    }

    /// Waits for [`STUCK`], and for as long again whenever [`LEAST_BYTES`] were taken: not for a trickle.
    pub(crate) fn wait(&mut self) {
        if self.end.is_none() || self.n_taken >= LEAST_BYTES {
            self.wait_for(STUCK);
        }
    }

    /// True while there is time left. Wakes the task when there is none.
    pub(crate) fn is_left(&mut self, cx: &mut Context<'_>) -> bool {
        self.end.as_mut().is_some_and(|it| it.as_mut().poll(cx).is_pending())
    }
}

/// A stream that fails once its peer has taken nothing for too long, or a trickle of much.
#[derive(Debug)]
pub(crate) struct Impatient {
    stream: Stream,
    patience: Patience,
}

impl Impatient {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, patience: Patience::default() }
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }

    /// What became of writing some of what there is, or that it took too long.
    fn judge_part(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        if let Poll::Ready(Ok(n_bytes)) = written {
            self.patience.took(n_bytes);
            return written;
        }
        self.judge(cx, written)
    }

    /// What became of writing all that there is, or that it took too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<Result<T>>) -> Poll<Result<T>> {
        if written.is_ready() {
            self.patience.rest();
            return written;
        }
        self.patience.wait();
        if self.patience.is_left(cx) {
            return Poll::Pending;
        }
        Poll::Ready(Err(Error::from(ErrorKind::TimedOut)))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.judge_part(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.judge_part(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.judge(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_trickle_of_much_is_given_up_and_who_is_slow_is_not() {
        let mut cx = Context::from_waker(Waker::noop());
        for (each_second, is_patient) in [(0, false), (2000, false), (2500, true)] {
            let mut patience = Patience::default();
            let mut is_left = true;
            for _ in 0..90 {
                patience.wait();
                is_left &= patience.is_left(&mut cx);
                advance(Duration::from_secs(1)).await;
                patience.took(each_second);
            }
            assert_eq!(is_left, is_patient, "{each_second} bytes a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_wait_is_a_whole_one_once_all_was_taken() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut patience = Patience::default();
        for _ in 0..3 {
            patience.wait();
            advance(STUCK.saturating_sub(Duration::from_secs(1))).await;
            assert!(patience.is_left(&mut cx));
            patience.rest();
        }
    }
}
