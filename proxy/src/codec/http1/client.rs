//! The client side: one request over one connection, which is handed back when both messages have ended.

mod exchange;
mod rest;
mod state;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use self::exchange::Exchange;
use crate::codec::{Body, BodyError, Informational, Outgoing, Spelling};

/// A peer's limits on an HTTP/1 client connection.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Bytes of status line and fields together.
    pub max_head_bytes: usize,
    /// Number of fields in a head, or in trailers.
    pub max_headers: usize,
    /// Keep trailers, either way (else they are read and dropped, and not sent).
    pub enable_trailers: bool,
    /// Bytes read ahead of, or waiting for, a slow side.
    pub buffer_limit: usize,
}

/// Takes connections back.
pub trait Reuse<IO> {
    /// Both messages have ended and the peer keeps the connection open.
    fn reuse(&self, connection: Connection<IO>);
}

impl<IO, F: Fn(Connection<IO>)> Reuse<IO> for F {
    fn reuse(&self, connection: Connection<IO>) {
        self(connection);
    }
}

/// A connection to a server, without a request in progress.
pub struct Connection<IO> {
    exchange: Rc<Exchange<IO>>,
}

impl<IO> fmt::Debug for Connection<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendFailed {
    /// Why.
    pub error: SendError,
    /// The request, when not one byte of it was written: it may be sent again, whatever its method.
    pub unsent: Option<Request<Body>>,
    /// Whether the server had begun to answer.
    pub response_bytes_seen: bool,
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The server closed the connection before it answered.
    Closed,
    /// The server reset the connection, or closed it within a head.
    Reset,
    /// The answer breaks a rule of HTTP/1.
    Malformed(&'static str),
    /// The answer's head is larger than allowed.
    HeadTooLarge,
    /// The request's body ended early.
    RequestBody(BodyError),
    /// The connection failed.
    Io(io::ErrorKind),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the connection before it answered"),
            Self::Reset => f.write_str("the server reset the connection"),
            Self::Malformed(rule) => write!(f, "malformed answer: {rule}"),
            Self::HeadTooLarge => f.write_str("the answer's head is too large"),
            Self::RequestBody(error) => write!(f, "the request's body ended early: {error}"),
            Self::Io(kind) => write!(f, "the connection failed: {kind}"),
        }
    }
}

impl std::error::Error for SendError {}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> Self {
        let reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionAborted];
        if reset.contains(&error.kind()) { Self::Reset } else { Self::Io(error.kind()) }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Connection<IO> {
    /// Takes a connection that is ready for a request.
    pub fn new(io: IO, options: Rc<ClientOptions>) -> Self {
        Self { exchange: Rc::new(Exchange::new(io, options)) }
    }

    /// Ready when the connection must be dropped: the server has closed it, or has sent what nobody asked for. Costs no
    /// system call while nothing happens.
    pub fn poll_idle_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.exchange.poll_unusable(cx)
    }

    /// Sends a request and waits for the head of its answer. The request's body goes on being sent while the answer's
    /// body is read; `reuse` gets the connection when both have ended. Until then, dropping the future or the answer's
    /// body closes the connection.
    pub async fn send(
        self,
        request: Request<Body>,
        spelling: Spelling,
        informational: Informational,
        reuse: Rc<dyn Reuse<IO>>,
    ) -> Result<Outgoing<Body>, SendFailed> {
        let Self { exchange } = self;
        let usable = poll_fn(|cx| Poll::Ready(exchange.poll_unusable(cx).is_pending())).await;
        if !usable {
            return Err(SendFailed { error: SendError::Closed, unsent: Some(request), response_bytes_seen: false });
        }
        let request = exchange.begin(request, spelling, reuse);
        let mut request = Some(request);
        let answered = poll_fn(|cx| exchange.poll_answer(&mut request, &informational, cx)).await;
        match answered {
            Ok(head) => Ok(exchange::answer(exchange, head)),
            Err(error) => Err(exchange.failed(error, request)),
        }
    }
}
