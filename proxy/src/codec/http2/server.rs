use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::budget::Budget;
use super::liveness::{Counted, Idle, KeepAlive, Traffic, yield_turn};
use super::{CLOSE_LIMIT, MAX_WINDOW, SEND_BUFFER, stream};
use crate::codec::{Drain, Http2Options, Service};
use crate::task::spawn_bounded_by_connection;

/// The preface is 24 bytes, most of which detection has seen: it has no reason to take longer.
const PREFACE_LIMIT: Duration = Duration::from_secs(10);

/// A stream that is reset sooner than this was opened for nothing; Envoy's value.
const PREMATURE: Duration = Duration::from_secs(1);

/// Streams that are begun in one turn of the connection's task before others have theirs.
const TURN_STREAMS: u32 = 8;
/// A connection with so many streams already begins but one in a turn: what they cause costs others more than the turn itself.
const MANY_STREAMS: usize = 128;

/// Why a connection did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeError {
    /// Reading or writing failed.
    Io(io::ErrorKind),
    /// The peer broke a rule and was told so by GOAWAY.
    Protocol(Reason),
    /// The peer ended the connection with an error.
    GoAway(Reason),
    /// The preface did not arrive in time.
    PrefaceTimeout,
    /// A PING was not answered.
    KeepAliveTimeout,
    /// The peer took nothing of its answers.
    Stalled,
    /// The peer kept opening streams only to reset them.
    ResetFlood,
    /// The peer sent control frames without end.
    ControlFlood,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the connection failed: {kind}"),
            Self::Protocol(reason) => write!(f, "the peer broke a rule of HTTP/2: {reason}"),
            Self::GoAway(reason) => write!(f, "the peer ended the connection: {reason}"),
            Self::PrefaceTimeout => write!(f, "the preface took longer than {}s", PREFACE_LIMIT.as_secs()),
            Self::KeepAliveTimeout => f.write_str("a PING was not answered in time"),
            Self::Stalled => f.write_str("answers were not taken in time"),
            Self::ResetFlood => f.write_str("the peer reset too many streams"),
            Self::ControlFlood => f.write_str("the peer sent too many control frames"),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<h2::Error> for ServeError {
    fn from(error: h2::Error) -> Self {
        match (error.reason(), error.get_io()) {
            (Some(reason), _) if error.is_remote() => Self::GoAway(reason),
            (Some(reason), _) => Self::Protocol(reason),
            (None, Some(error)) => Self::Io(error.kind()),
            (None, None) => Self::Protocol(Reason::INTERNAL_ERROR),
        }
    }
}

/// Serves one connection until it ends. Streams end with it.
pub async fn serve<IO, S>(io: IO, options: Rc<Http2Options>, drain: Drain, service: S) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service + Clone + 'static,
{
    let traffic = Rc::new(Traffic::new(Budget::of_client()));
    let handshake = builder(&options).handshake(Counted::of_server(io, Rc::clone(&traffic)));
    let mut connection = timeout(PREFACE_LIMIT, handshake).await.map_err(|_| ServeError::PrefaceTimeout)??;
    let keep_alive = KeepAlive::new(&options, connection.ping_pong(), &traffic);
    let mut draining = drain.clone();
    let mut draining = pin!(draining.draining());
    let stalled = Idle::new(options.stall_timeout);
    let mut driver = Driver {
        connection,
        service,
        keep_alive,
        idle: Idle::new(options.idle_timeout),
        served: 0,
        shared: Rc::new(Shared { options, resets: Cell::new(0), running: Cell::new(0), reading: Cell::new(0) }),
        traffic,
        written: 0,
        stalled,
        drain,
        drain_waker: None,
        closing: false,
        flooded: None,
    };
    std::future::poll_fn(|cx| driver.poll(draining.as_mut(), cx)).await
}

fn builder(options: &Http2Options) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(options.initial_stream_window.min(MAX_WINDOW))
        .initial_connection_window_size(options.initial_connection_window.min(MAX_WINDOW))
        .max_header_list_size(options.max_header_list_bytes)
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_pending_accept_reset_streams(options.max_reset_streams)
        .max_local_error_reset_streams(Some(options.max_reset_streams))
        .max_concurrent_reset_streams(options.max_reset_streams)
        .max_send_buffer_size(SEND_BUFFER);
    if options.allow_connect {
        builder.enable_connect_protocol();
    }
    builder
}

/// What the streams of a connection share.
pub(super) struct Shared {
    pub(super) options: Rc<Http2Options>,
    /// Streams reset soon after they were opened, less those that were answered.
    resets: Cell<usize>,
    /// Streams whose service or answer is running.
    running: Cell<usize>,
    /// Requests' bodies that somebody may read.
    reading: Cell<usize>,
}

/// Counts a request's body while somebody may read it.
pub(super) struct Reading(Rc<Shared>);

impl Reading {
    pub(super) fn new(shared: &Rc<Shared>) -> Self {
        shared.reading.set(shared.reading.get().saturating_add(1));
        Self(Rc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.set(self.0.reading.get().saturating_sub(1));
    }
}

impl Shared {
    /// A stream was answered.
    pub(super) fn answered(&self) {
        self.running.set(self.running.get().saturating_sub(1));
        self.resets.set(self.resets.get().saturating_sub(1));
    }

    /// The client reset a stream before its answer was complete. `h2` wakes the driver once the stream is forgotten.
    pub(super) fn reset(&self, opened: Instant) {
        self.running.set(self.running.get().saturating_sub(1));
        if opened.elapsed() < PREMATURE {
            self.resets.set(self.resets.get().saturating_add(1));
        }
    }
}

/// Runs a connection.
struct Driver<IO, S> {
    connection: Connection<Counted<IO>, Bytes>,
    service: S,
    keep_alive: Option<KeepAlive>,
    idle: Idle,
    traffic: Rc<Traffic>,
    /// Bytes written when last looked.
    written: u64,
    stalled: Idle,
    served: u32,
    shared: Rc<Shared>,
    drain: Drain,
    /// Who is told of draining: waiting for it is not asked again on every turn.
    drain_waker: Option<Waker>,
    /// GOAWAY was said.
    closing: bool,
    /// Told to calm down, for this.
    flooded: Option<ServeError>,
}

impl<IO, S> Driver<IO, S>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service + Clone + 'static,
{
    fn poll(&mut self, mut draining: Pin<&mut impl Future>, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        self.traffic.begin_turn();
        loop {
            if let Some(ended) = self.accept(cx) {
                return Poll::Ready(ended);
            }
            if self.flooded.is_none()
                && let Some(flood) = self.find_flood()
            {
                self.flooded = Some(flood);
                self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                self.close();
                continue;
            }
            if !self.closing && (self.served_enough() || self.is_draining(draining.as_mut(), cx)) {
                self.connection.graceful_shutdown();
                self.close();
                continue;
            }
            if let Some(dead) = self.find_dead(cx) {
                return Poll::Ready(Err(dead));
            }
            if !self.idle.is_limited() {
                return Poll::Pending;
            }
            let busy = self.connection.has_streams() && self.flooded.is_none();
            if self.idle.poll_expired(busy, cx).is_pending() {
                return Poll::Pending;
            }
            if self.closing {
                return Poll::Ready(self.ended());
            }
            self.connection.graceful_shutdown();
            self.close();
        }
    }

    /// Takes the streams that have come; how the connection ended, if it has.
    fn accept(&mut self, cx: &mut Context<'_>) -> Option<Result<(), ServeError>> {
        let mut opened = None;
        let turn = if self.shared.running.get() < MANY_STREAMS { TURN_STREAMS } else { 1 };
        for _ in 0..turn {
            let (request, respond) = match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(stream))) => stream,
                Poll::Ready(Some(Err(error))) => return Some(Err(error.into())),
                Poll::Ready(None) => return Some(self.ended()),
                Poll::Pending => return None,
            };
            self.served = self.served.saturating_add(1);
            self.shared.running.set(self.shared.running.get().saturating_add(1));
            spawn_bounded_by_connection(stream::run(
                self.service.clone(),
                request,
                respond,
                Rc::clone(&self.shared),
                *opened.get_or_insert_with(Instant::now),
            ));
        }
        yield_turn(cx);
        None
    }

    fn find_flood(&self) -> Option<ServeError> {
        if self.shared.resets.get() > self.shared.options.max_reset_streams {
            return Some(ServeError::ResetFlood);
        }
        self.traffic.is_flooded().then_some(ServeError::ControlFlood)
    }

    fn find_dead(&mut self, cx: &mut Context<'_>) -> Option<ServeError> {
        if self.keep_alive.as_mut().is_some_and(|keep_alive| keep_alive.poll_dead(cx).is_ready()) {
            return Some(ServeError::KeepAliveTimeout);
        }
        // Streams that are open although all answers were given wait for the client to take them, but for tunnels whose other direction
        // goes on.
        let waiting = self.shared.running.get() == 0 && self.shared.reading.get() == 0 && self.connection.has_streams();
        let written = self.traffic.written();
        if self.written != written {
            self.written = written;
            self.stalled.restart();
        }
        self.stalled.poll_expired(!waiting, cx).is_ready().then_some(ServeError::Stalled)
    }

    const fn ended(&self) -> Result<(), ServeError> {
        match self.flooded {
            Some(flood) => Err(flood),
            None => Ok(()),
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.idle = Idle::new(Some(CLOSE_LIMIT));
    }

    fn served_enough(&self) -> bool {
        self.shared.options.max_requests.is_some_and(|most| self.served >= most)
    }

    fn is_draining(&mut self, draining: Pin<&mut impl Future>, cx: &mut Context<'_>) -> bool {
        if self.drain_waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return self.drain.is_draining();
        }
        self.drain_waker = Some(cx.waker().clone());
        draining.poll(cx).is_ready()
    }
}
