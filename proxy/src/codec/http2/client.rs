use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, Connection, SendRequest};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::budget::Budget;
use super::liveness::{Counted, Idle, KeepAlive, Traffic};
use super::{CLOSE_LIMIT, MAX_WINDOW, SEND_BUFFER};
use crate::codec::{Body, BodyError, Http2Options, Informational, Outgoing};
use crate::task::spawn_bounded_by_connection;

mod exchange;

/// Streams opened before the peer has said how many it takes (RFC 9113, 6.5.2, recommends no fewer than 100).
const STREAMS_BEFORE_SETTINGS: u32 = 100;

/// Why a connection could not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The preface could not be written.
    Io(io::ErrorKind),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the preface could not be written: {kind}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendFailed {
    /// Why.
    pub error: SendError,
    /// The request, where the server has not processed it and its body is whole: it may be sent elsewhere.
    pub unsent: Option<Request<Body>>,
    /// Whether the server has begun to answer (a 1xx answer was received).
    pub response_bytes_seen: bool,
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The server refused it unprocessed (REFUSED_STREAM, or GOAWAY), or there is no room for it on the connection.
    Refused,
    /// The server reset the stream.
    Reset(Reason),
    /// The connection had been closed, or was closed, before the request was written.
    Closed,
    /// The server broke a rule and the connection ends.
    GoAway,
    /// The body of the request failed.
    RequestBody(BodyError),
    /// The request cannot be sent by HTTP/2, or the answer breaks a rule of it; the text names the rule.
    Malformed(&'static str),
    /// The connection failed while the request was on its way.
    Io(io::ErrorKind),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the request was refused unprocessed"),
            Self::Reset(reason) => write!(f, "the stream was reset: {reason}"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::GoAway => f.write_str("the server broke a rule of HTTP/2"),
            Self::RequestBody(error) => write!(f, "the body of the request failed: {error}"),
            Self::Malformed(rule) => write!(f, "malformed message: {rule}"),
            Self::Io(kind) => write!(f, "the connection failed: {kind}"),
        }
    }
}

impl std::error::Error for SendError {}

/// Sends requests over one connection. Cheap to clone; the connection ends with the last clone and the last body.
#[derive(Clone)]
pub struct Client(Rc<Shared>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("active", &self.0.active.get()).finish_non_exhaustive()
    }
}

/// What the clones of a client and its answers share.
pub(super) struct Shared {
    /// Never sends: its clones do. Gone once the connection is to close.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    active: Cell<usize>,
    options: Rc<Http2Options>,
    traffic: Rc<Traffic>,
    state: Rc<State>,
}

/// Whether the connection takes requests.
#[derive(Default)]
struct State {
    closed: Cell<bool>,
    changed: Notify,
}

impl State {
    fn close(&self) {
        if !self.closed.replace(true) {
            self.changed.notify_waiters();
        }
    }
}

/// Counts a stream while it exists.
pub(super) struct StreamGuard(Rc<Shared>);

impl StreamGuard {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.active.set(shared.active.get().saturating_add(1));
        Self(Rc::clone(shared))
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}

/// Begins a connection. A task drives it until the last client and the last body are gone.
pub async fn connect<IO>(io: IO, options: Rc<Http2Options>) -> Result<Client, ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let traffic = Rc::new(Traffic::new(Budget::of_server()));
    let (sender, mut connection) = builder(&options)
        .handshake::<_, Bytes>(Counted::of_client(io, Rc::clone(&traffic)))
        .await
        .map_err(|error| ConnectError::Io(error.get_io().map_or(io::ErrorKind::Other, io::Error::kind)))?;
    let state = Rc::new(State::default());
    let keep_alive = KeepAlive::new(&options, connection.ping_pong(), &traffic);
    let shared = Rc::new(Shared { sender: RefCell::new(Some(sender)), active: Cell::new(0), options, traffic, state: Rc::clone(&state) });
    let traffic = Rc::clone(&shared.traffic);
    let driver = Driver { connection, shared: Rc::downgrade(&shared), state, traffic, keep_alive, unused: None };
    spawn_bounded_by_connection(driver.run());
    Ok(Client(shared))
}

fn builder(options: &Http2Options) -> Builder {
    let before_settings = options.max_concurrent_streams.min(STREAMS_BEFORE_SETTINGS);
    let mut builder = Builder::new();
    builder
        .initial_window_size(options.initial_stream_window.min(MAX_WINDOW))
        .initial_connection_window_size(options.initial_connection_window.min(MAX_WINDOW))
        .max_header_list_size(options.max_header_list_bytes)
        .initial_max_send_streams(usize::try_from(before_settings).unwrap_or(usize::MAX))
        .max_local_error_reset_streams(Some(options.max_reset_streams))
        .max_concurrent_reset_streams(options.max_reset_streams)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false);
    builder
}

impl Client {
    /// Whether requests can be sent: the connection is not closed or closing, has not seen GOAWAY and has stream ids left.
    pub fn is_usable(&self) -> bool {
        !self.0.state.closed.get() && self.0.takes_requests()
    }

    /// Whether one more request may be sent at once.
    pub fn has_capacity(&self) -> bool {
        let ours = usize::try_from(self.0.options.max_concurrent_streams).unwrap_or(usize::MAX);
        let theirs = self.0.sender.borrow().as_ref().map_or(0, SendRequest::current_max_send_streams);
        self.0.active.get() < ours.min(theirs)
    }

    /// Requests without a complete answer.
    pub fn active_streams(&self) -> usize {
        self.0.active.get()
    }

    /// Takes no more requests; the connection closes when those it has are done.
    pub fn close_when_idle(&self) {
        self.0.sender.take();
        self.0.state.close();
    }

    /// Resolves when the connection takes no more requests: it is gone, or GOAWAY was received.
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let state = Rc::clone(&self.0.state);
        async move {
            let changed = state.changed.notified();
            if !state.closed.get() {
                changed.await;
            }
        }
    }

    /// Sends a request and waits for the head of its answer. Dropped, it resets the stream with CANCEL, and so does
    /// dropping the answer's body before its end.
    pub async fn send(&self, request: Request<Body>, informational: Informational) -> Result<Outgoing<Body>, SendFailed> {
        if self.0.state.closed.get() {
            return Err(SendFailed::unsent(SendError::Closed, request));
        }
        if !self.has_capacity() {
            return Err(SendFailed::unsent(SendError::Refused, request));
        }
        let sender = self.0.sender.borrow().clone();
        match sender {
            Some(sender) => exchange::exchange(&self.0, sender, request, informational).await,
            None => Err(SendFailed::unsent(SendError::Closed, request)),
        }
    }
}

impl SendFailed {
    const fn unsent(error: SendError, request: Request<Body>) -> Self {
        Self { error, unsent: Some(request), response_bytes_seen: false }
    }
}

impl Shared {
    fn takes_requests(&self) -> bool {
        // Registers no waker: only a sender that has sent would.
        let mut cx = Context::from_waker(Waker::noop());
        self.sender.borrow_mut().as_mut().is_some_and(|sender| matches!(sender.poll_ready(&mut cx), Poll::Ready(Ok(()))))
    }
}

/// Drives a connection until it ends.
struct Driver<IO: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Counted<IO>, Bytes>,
    shared: Weak<Shared>,
    state: Rc<State>,
    traffic: Rc<Traffic>,
    keep_alive: Option<KeepAlive>,
    /// Runs once nobody can use the connection.
    unused: Option<Idle>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
        self.state.close();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.traffic.begin_turn();
        // The reason reaches every stream by itself.
        if pin!(&mut self.connection).poll(cx).is_ready() || self.traffic.is_flooded() {
            return Poll::Ready(());
        }
        match self.shared.upgrade() {
            Some(shared) => {
                if !self.state.closed.get() && !shared.takes_requests() {
                    self.state.close();
                }
            }
            // `h2` closes by itself now, unless the peer does not read.
            None => {
                let unused = self.unused.get_or_insert_with(|| Idle::new(Some(CLOSE_LIMIT)));
                if unused.poll_expired(false, cx).is_ready() {
                    return Poll::Ready(());
                }
            }
        }
        self.keep_alive.as_mut().map_or(Poll::Pending, |keep_alive| keep_alive.poll_dead(cx))
    }
}
