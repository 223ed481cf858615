//! Finds connections that are idle or dead. Nothing here costs a timer unless it is configured.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::budget::Budget;
use crate::codec::Http2Options;

/// What went over a connection.
#[derive(Debug)]
pub(super) struct Traffic {
    read: Cell<u64>,
    written: Cell<u64>,
    budget: RefCell<Budget>,
}

impl Traffic {
    /// Nothing yet; `budget` is the peer's.
    pub(super) const fn new(budget: Budget) -> Self {
        Self { read: Cell::new(0), written: Cell::new(0), budget: RefCell::new(budget) }
    }

    /// A new turn of the connection's task, which may read its share.
    pub(super) fn begin_turn(&self) {
        self.budget.borrow_mut().begin_turn();
    }

    /// Whether the peer sent too many control frames. Nothing more is read then.
    pub(super) fn is_flooded(&self) -> bool {
        self.budget.borrow().is_spent()
    }

    /// Bytes written so far.
    pub(super) const fn written(&self) -> u64 {
        self.written.get()
    }
}

/// Wakes the task again behind all who are ready, and behind what the system has to tell.
pub(super) fn yield_turn(cx: &mut Context<'_>) {
    let later = pin!(tokio::task::yield_now()).poll(cx);
    debug_assert!(later.is_pending(), "yielding always waits once");
}

fn count(total: &Cell<u64>, more: usize) {
    total.set(total.get().saturating_add(u64::try_from(more).unwrap_or(u64::MAX)));
}

/// How long, and how much, is read and forgotten behind our last word: what a client still sends must not take it from it, as
/// closing over unread bytes would (RFC 9113, 5.4.1, and RFC 1122, 4.2.2.13).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 512 * 1024;
const LINGER_READ: usize = 16 * 1024;
/// Reads in one turn.
const LINGER_READS: usize = 8;

/// A stream of bytes that is counted.
#[derive(Debug)]
pub(super) struct Counted<IO> {
    io: IO,
    traffic: Rc<Traffic>,
    /// Of a server, whose last word has to arrive.
    lingers: bool,
    /// Our direction is shut; what is left of time and bytes.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<IO> Counted<IO> {
    pub(super) const fn of_client(io: IO, traffic: Rc<Traffic>) -> Self {
        Self { io, traffic, lingers: false, linger: None }
    }

    pub(super) const fn of_server(io: IO, traffic: Rc<Traffic>) -> Self {
        Self { io, traffic, lingers: true, linger: None }
    }
}

impl<IO: AsyncRead + Unpin> Counted<IO> {
    /// Reads and forgets until the client has ended its direction, or enough was waited for.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (sleep, left) = self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        for _ in 0..LINGER_READS {
            let mut storage = [const { MaybeUninit::<u8>::uninit() }; LINGER_READ];
            let mut scratch = ReadBuf::uninit(&mut storage);
            match Pin::new(&mut self.io).poll_read(cx, &mut scratch) {
                Poll::Pending => return sleep.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            *left = left.saturating_sub(scratch.filled().len());
            if scratch.filled().is_empty() || *left == 0 {
                return Poll::Ready(());
            }
        }
        yield_turn(cx);
        sleep.as_mut().poll(cx)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut budget = this.traffic.budget.borrow_mut();
        if budget.is_spent() {
            // Whoever drives the connection ends it; it needs no waking for that.
            return Poll::Pending;
        }
        if budget.is_turn_over() {
            yield_turn(cx);
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let largest = budget.largest_read();
        if largest < buf.remaining() {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(largest));
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
        } else {
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        count(&this.traffic.read, new.len());
        budget.note(new, this.traffic.written.get());
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        count(&this.traffic.written, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        count(&this.traffic.written, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        if this.lingers {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

/// Asks a silent peer for a sign of life. Silence is looked at once per interval, so that traffic costs nothing: it is
/// noticed after one to two intervals.
pub(super) struct KeepAlive {
    pings: PingPong,
    interval: Duration,
    timeout: Duration,
    traffic: Rc<Traffic>,
    seen: u64,
    sleep: Pin<Box<Sleep>>,
    asked: bool,
}

impl KeepAlive {
    /// `None` where it is not configured.
    pub(super) fn new(options: &Http2Options, pings: Option<PingPong>, traffic: &Rc<Traffic>) -> Option<Self> {
        let interval = options.keepalive_interval?;
        Some(Self {
            pings: pings?,
            interval,
            timeout: options.keepalive_timeout,
            seen: traffic.read.get(),
            traffic: Rc::clone(traffic),
            sleep: Box::pin(sleep(interval)),
            asked: false,
        })
    }

    /// Ready when the peer did not answer in time.
    pub(super) fn poll_dead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Any byte is a sign of life; the answer itself is taken so that the next PING can be sent.
            let answered = self.asked && self.pings.poll_pong(cx).is_ready();
            if self.asked && (answered || self.traffic.read.get() != self.seen) {
                self.asked = false;
                self.wait(self.interval);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if self.asked {
                return Poll::Ready(());
            }
            if self.traffic.read.get() == self.seen {
                // Fails while an earlier PING has no answer: then that one is waited for.
                let _ = self.pings.send_ping(Ping::opaque());
                self.asked = true;
                self.wait(self.timeout);
            } else {
                self.wait(self.interval);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.seen = self.traffic.read.get();
        self.sleep.as_mut().reset(Instant::now() + time);
    }
}

/// Finds a connection that has been without streams for some time. The timer is set again only when it fires.
#[derive(Default)]
pub(super) struct Idle {
    timeout: Option<Duration>,
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(super) const fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, since: None, sleep: None }
    }

    /// Whether `poll_expired` needs to be called.
    pub(super) const fn is_limited(&self) -> bool {
        self.timeout.is_some()
    }

    /// The time begins again.
    pub(super) const fn restart(&mut self) {
        self.since = None;
    }

    /// Ready after the timeout without streams.
    pub(super) fn poll_expired(&mut self, busy: bool, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timeout) = self.timeout else { return Poll::Pending };
        if busy {
            self.since = None;
            return Poll::Pending;
        }
        let end = *self.since.get_or_insert_with(Instant::now) + timeout;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(timeout)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}
