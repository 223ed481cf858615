//! The server side: requests in order, one at a time, each answered before the next is begun.

mod clock;
mod exchange;
mod link;

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::clock::Clock;
use self::exchange::Informer;
use self::link::Link;
use super::head::Scan;
use super::request::{self, RequestHead};
use crate::codec::{Drain, Http1Options, RequestFault, Service};

/// How long a client may take to read the last answer while it still sends.
const LINGER: Duration = Duration::from_secs(1);
/// A client that was between two requests when draining began may have sent the next one: it is answered, and told to close.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// What is read and forgotten in that time behind an answer: a body that a fast client has on its way. Closing over unread bytes
/// resets the connection, which takes with it whatever of the answer has not left our side (RFC 9112, 9.6).
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// The same behind bytes that could not be understood: there is no end of them to wait for.
const LINGER_FAULT_BYTES: usize = 256 * 1024;

/// Why a connection ended otherwise than between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeError {
    /// Who ended it.
    pub side: Side,
    /// How.
    pub reason: &'static str,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The peer that sends requests.
    Client,
    /// The layer above, or what it forwards.
    Service,
}

impl ServeError {
    const fn client(reason: &'static str) -> Self {
        Self { side: Side::Client, reason }
    }

    const fn service(reason: &'static str) -> Self {
        Self { side: Side::Service, reason }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for ServeError {}

/// Serves a connection until either side ends it. `prefix` is what detection has read of it.
pub async fn serve<IO, S>(io: IO, prefix: Bytes, options: Rc<Http1Options>, drain: Drain, service: S) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service,
{
    let link = Rc::new(Link::new(io, &prefix, &options));
    drop(prefix);
    let mut waiting = drain.clone();
    let mut server = Server {
        link: &link,
        options: &options,
        drain: &drain,
        draining: pin!(waiting.draining()),
        drained: None,
        clock: Clock::default(),
    };
    let mut informer = Informer::default();
    let mut requests = 0_u32;
    loop {
        match server.next().await? {
            Next::Request(head) => {
                requests = requests.saturating_add(1);
                let last = options.max_requests.is_some_and(|most| requests >= most);
                let closing = || last || drain.is_draining();
                // Boxed: a connection between two requests does not hold the memory of one.
                match Box::pin(exchange::serve(&link, &service, head, closing, &mut informer, &mut server.clock)).await? {
                    After::Next => link.settle(),
                    After::Close => return close(&link, &mut server.clock, 0).await,
                    After::Linger => {
                        let most = if link.is_broken() { LINGER_FAULT_BYTES } else { LINGER_BYTES };
                        return close(&link, &mut server.clock, most).await;
                    }
                }
            }
            Next::Fault(fault) => {
                exchange::reject(&link, service.reject(fault), &mut server.clock).await?;
                close(&link, &mut server.clock, LINGER_FAULT_BYTES).await?;
                return Err(ServeError::client("the request could not be taken"));
            }
            Next::Closed => return close(&link, &mut server.clock, 0).await,
        }
    }
}

/// What follows an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Next,
    Close,
    /// The client may still be sending: closing at once could take the answer from it.
    Linger,
}

/// What the client does next.
#[expect(clippy::large_enum_variant, reason = "moved once, straight to where it is used")]
enum Next {
    Request(RequestHead),
    Fault(RequestFault),
    Closed,
}

struct Server<'a, IO, D> {
    link: &'a Rc<Link<IO>>,
    options: &'a Http1Options,
    drain: &'a Drain,
    draining: Pin<&'a mut D>,
    /// When draining was noticed.
    drained: Option<Instant>,
    clock: Clock,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static, D: Future<Output = ()>> Server<'_, IO, D> {
    /// Waits for a request's head.
    async fn next(&mut self) -> Result<Next, ServeError> {
        let mut scan = Scan::default();
        let mut idle_since = None;
        let mut begun = None;
        poll_fn(|cx| {
            loop {
                match self.parse(&mut scan) {
                    Ok(Some(head)) => return Poll::Ready(Ok(Next::Request(head))),
                    Err(fault) => return Poll::Ready(Ok(Next::Fault(fault))),
                    Ok(None) => {}
                }
                let mut state = self.link.0.borrow_mut();
                match state.wire.poll_fill(false, cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) if state.wire.read.is_empty() => return Poll::Ready(Ok(Next::Closed)),
                    Poll::Ready(Ok(false)) => return Poll::Ready(Err(ServeError::client("the client closed within a head"))),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(ServeError::client("reading from the client failed"))),
                    Poll::Pending => {
                        let empty = state.wire.read.is_empty();
                        drop(state);
                        return if empty { self.poll_idle(&mut idle_since, cx) } else { self.poll_begun(&mut begun, cx) }.map(Ok);
                    }
                }
            }
        })
        .await
    }

    fn parse(&self, scan: &mut Scan) -> Result<Option<RequestHead>, RequestFault> {
        let mut state = self.link.0.borrow_mut();
        let read = &mut state.wire.read;
        scan.skip_empty_lines(read).map_err(RequestFault::Malformed)?;
        let limit = self.options.max_head_bytes;
        match scan.scan(read).map_err(RequestFault::Malformed)? {
            Some(length) if length > limit => Err(RequestFault::HeadTooLarge("the head is too large")),
            None if read.len() > limit => Err(RequestFault::HeadTooLarge("the head is too large")),
            Some(length) => request::parse(read.split_to(length).freeze(), self.options).map(Some),
            None => {
                if scan.probe(read.len()) {
                    request::probe(read, self.options)?;
                }
                Ok(None)
            }
        }
    }

    fn poll_idle(&mut self, since: &mut Option<Instant>, cx: &mut Context<'_>) -> Poll<Next> {
        let since = *since.get_or_insert_with(Instant::now);
        let mut deadline = self.options.idle_timeout.and_then(|limit| since.checked_add(limit));
        if self.drain.is_draining() || self.draining.as_mut().poll(cx).is_ready() {
            let last = since.max(*self.drained.get_or_insert_with(Instant::now)).checked_add(LAST_REQUEST);
            deadline = deadline.map_or(last, |deadline| last.map(|last| last.min(deadline)));
        }
        self.clock.poll(deadline, cx).map(|()| Next::Closed)
    }

    fn poll_begun(&mut self, begun: &mut Option<Instant>, cx: &mut Context<'_>) -> Poll<Next> {
        let begun = *begun.get_or_insert_with(Instant::now);
        let deadline = self.options.head_timeout.and_then(|limit| begun.checked_add(limit));
        self.clock.poll(deadline, cx).map(|()| Next::Fault(RequestFault::HeadTimeout))
    }
}

/// Ends the connection: our direction first, then, where the client may still be sending, at most `left` bytes are read and
/// forgotten for a while.
async fn close<IO: AsyncRead + AsyncWrite + Unpin>(link: &Link<IO>, clock: &mut Clock, mut left: usize) -> Result<(), ServeError> {
    let deadline = Instant::now().checked_add(LINGER);
    let mut down = false;
    poll_fn(|cx| {
        let mut state = link.0.borrow_mut();
        if !down {
            match state.wire.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => down = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return clock.poll(deadline, cx),
            }
        }
        while left > 0 {
            match state.wire.poll_discard(cx) {
                Poll::Ready(Ok(Some(count))) => left = left.saturating_sub(count),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return clock.poll(deadline, cx),
            }
        }
        Poll::Ready(())
    })
    .await;
    Ok(())
}
