//! One request and its answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::clock::Clock;
use super::link::{Expect, Link};
use super::{After, ServeError};
use crate::codec::http1::decode::{Decoded, Decoder};
use crate::codec::http1::encode::{self, Answering, Encoder};
use crate::codec::http1::incoming::{IncomingBody, Source};
use crate::codec::http1::recycle;
use crate::codec::http1::request::RequestHead;
use crate::codec::{Body, Incoming, Informational, Message, Outgoing, Service, Spelling};

/// Serves one request; `closing` tells whether to close the connection behind it.
pub(super) async fn serve<IO, S>(
    link: &Rc<Link<IO>>,
    service: &S,
    head: RequestHead,
    closing: impl Fn() -> bool,
    informer: &mut Informer,
    clock: &mut Clock,
) -> Result<After, ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Service,
{
    let facts = head.facts;
    let mut incoming = begin(link, head);
    if !facts.http_10 {
        incoming.informational = informer.handle(link);
    }
    let outgoing = {
        let mut call = pin!(service.call(incoming));
        poll_fn(|cx| {
            link.register(cx);
            if let Poll::Ready(answer) = call.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|_| ServeError::service("the exchange was ended without an answer")));
            }
            if matches!(link.poll_flush(cx), Poll::Ready(Err(_))) || link.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(ServeError::client("the client closed before the answer")));
            }
            Poll::Pending
        })
        .await?
    };
    let status = outgoing.response.status();
    let tunnel = facts.tunnel && if facts.connect { status.is_success() } else { status == StatusCode::SWITCHING_PROTOCOLS };
    if status.is_informational() && !tunnel {
        return Err(ServeError::service("an informational answer where a final one was due"));
    }
    link.decide(tunnel);
    let arrived = tunnel || poll_fn(|cx| Poll::Ready(link.has_arrived(cx))).await;
    let answering = Answering { http_10: facts.http_10, head: facts.head, tunnel, keep_alive: facts.keep_alive && arrived && !closing() };
    let keep_alive = answer(link, outgoing, answering, clock).await?;
    if tunnel {
        end_tunnel(link).await?;
        return Ok(After::Close);
    }
    Ok(if keep_alive {
        After::Next
    } else if facts.keep_alive || !link.is_clean() {
        // The client did not ask for the end: what it sends meanwhile must not take the answer from it.
        After::Linger
    } else {
        After::Close
    })
}

/// Answers what could not be served; the connection is closed behind it.
pub(super) async fn reject<IO, B>(link: &Link<IO>, outgoing: Outgoing<B>, clock: &mut Clock) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Message,
{
    let answering = Answering { http_10: false, head: false, tunnel: false, keep_alive: false };
    answer(link, outgoing, answering, clock).await.map(drop)
}

/// The way back for 1xx answers, made once per connection and not per request.
#[derive(Default)]
pub(super) struct Informer {
    handle: Informational,
    exchange: Rc<Cell<u64>>,
}

impl Informer {
    fn handle<IO>(&mut self, link: &Rc<Link<IO>>) -> Informational
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        // Somebody who kept the last request's handle must not speak for this one.
        if self.handle.0.as_ref().is_none_or(|handle| Rc::strong_count(handle) > 1) {
            let exchange = Rc::new(Cell::new(0));
            self.exchange = Rc::clone(&exchange);
            let link = Rc::clone(link);
            self.handle = Informational(Some(Rc::new(move |response| link.inform(exchange.get(), &response))));
        }
        self.exchange.set(link.0.borrow().exchange);
        self.handle.clone()
    }
}

/// Attaches the body to the request.
fn begin<IO>(link: &Rc<Link<IO>>, head: RequestHead) -> Incoming
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let RequestHead { mut request, spelling, decoder, facts } = head;
    let mut state = link.0.borrow_mut();
    let state = &mut *state;
    state.exchange = state.exchange.wrapping_add(1);
    state.answering = false;
    state.informational = !facts.http_10;
    state.asks_tunnel = facts.tunnel;
    state.expect = if facts.expects_continue { Expect::Continue } else { Expect::Nothing };
    state.decoder = if facts.tunnel && decoder.is_ended() { Decoder::Undecided } else { decoder };
    *request.body_mut() = if state.decoder.is_ended() {
        Body::Empty
    } else if !facts.tunnel && !facts.expects_continue && state.decoder.is_whole(state.wire.read.len()) {
        let limits = state.limits();
        let decoded = state.decoder.decode(&mut state.wire.read, false, &limits);
        if let Ok(Decoded::Data(data)) = decoded { Body::from(data) } else { Body::Empty }
    } else {
        state.held = true;
        let source: Rc<dyn Source> = Rc::<Link<IO>>::clone(link);
        Body::Http1(IncomingBody::new(source, state.exchange))
    };
    Incoming { request, spelling, informational: Informational::default() }
}

/// Writes an answer; whether the connection stays open.
async fn answer<IO, B>(link: &Link<IO>, outgoing: Outgoing<B>, answering: Answering, clock: &mut Clock) -> Result<bool, ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    B: Message,
{
    let Outgoing { response, spelling } = outgoing;
    // The body may be the request's: ask it before the connection is borrowed.
    let hint = response.body().size_hint();
    let (encoder, keep_alive) = {
        let mut state = link.0.borrow_mut();
        state.answering = true;
        encode::response(&mut state.wire.out, &response, &hint, &spelling, answering)
    };
    let (parts, body) = response.into_parts();
    recycle::give(parts.headers);
    let mut sending = Sending { link, encoder, spelling: &spelling, tunnel: answering.tunnel, clock, stalled: None };
    let mut body = pin!(body);
    poll_fn(|cx| sending.poll(body.as_mut(), cx)).await?;
    Ok(keep_alive)
}

/// An answer's body on its way.
struct Sending<'a, IO> {
    link: &'a Link<IO>,
    encoder: Encoder,
    spelling: &'a Spelling,
    tunnel: bool,
    clock: &'a mut Clock,
    /// Bytes given to the connection when something last moved, and until when nothing may move.
    stalled: Option<((usize, usize), Option<Instant>)>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Sending<'_, IO> {
    fn poll<B>(&mut self, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>>
    where
        B: Message,
    {
        self.link.register(cx);
        loop {
            let starved = self.fill(body.as_mut(), cx)?;
            match self.link.poll_flush(cx) {
                Poll::Ready(Ok(())) if self.encoder.is_ended() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if starved => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(ServeError::client("the client closed within the answer"))),
                Poll::Pending => {
                    if body.as_mut().poll_meanwhile(cx).is_ready() {
                        return Poll::Ready(Err(ServeError::service("the answer's body may not go on")));
                    }
                    if !self.tunnel && self.poll_stalled(cx).is_ready() {
                        return Poll::Ready(Err(ServeError::client("the client takes no more of the answer")));
                    }
                    break;
                }
            }
        }
        // A tunnel's directions end one by one.
        if !self.tunnel && self.link.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ServeError::client("the client closed within the answer")));
        }
        Poll::Pending
    }

    /// Ready when the client has taken nothing for too long. The layer above cannot tell what is taken.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moved = self.link.moved();
        let until = match self.stalled {
            Some((before, until)) if before == moved => until,
            _ => self.link.stall_timeout().and_then(|limit| Instant::now().checked_add(limit)),
        };
        self.stalled = Some((moved, until));
        self.clock.poll(until, cx)
    }

    /// Moves the body into the buffer while there is room; whether the body has nothing at the moment.
    fn fill<B>(&mut self, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Result<bool, ServeError>
    where
        B: Message,
    {
        while !self.encoder.is_ended() && self.link.has_room() {
            let frame = if body.is_end_stream() {
                None
            } else {
                match body.as_mut().poll_frame(cx) {
                    Poll::Pending => return Ok(true),
                    Poll::Ready(None) => None,
                    Poll::Ready(Some(Ok(frame))) => Some(frame),
                    Poll::Ready(Some(Err(_))) => return Err(self.cut("the answer's body failed", cx)),
                }
            };
            let mut state = self.link.0.borrow_mut();
            let trailing = state.keeps_trailers();
            let out = &mut state.wire.out;
            let written = match frame.map(http_body::Frame::into_data) {
                Some(Ok(data)) => self.encoder.data(out, data),
                Some(Err(frame)) => match frame.into_trailers() {
                    Ok(trailers) => self.encoder.end(out, Some((&trailers, self.spelling)).filter(|_| trailing)),
                    Err(_) => Ok(()),
                },
                None => self.encoder.end(out, None),
            };
            drop(state);
            if written.is_err() {
                return Err(self.cut("the answer's body does not fit its Content-Length", cx));
            }
        }
        Ok(false)
    }

    /// What was already given goes out before the connection is cut, so that the client sees where.
    fn cut(&self, reason: &'static str, cx: &mut Context<'_>) -> ServeError {
        drop(self.link.poll_flush(cx));
        ServeError::service(reason)
    }
}

/// Ends our direction of a tunnel and waits for the end of the client's.
async fn end_tunnel<IO: AsyncRead + AsyncWrite + Unpin + 'static>(link: &Link<IO>) -> Result<(), ServeError> {
    poll_fn(|cx| {
        link.register(cx);
        let shut = link.0.borrow_mut().wire.poll_shutdown(cx);
        match shut {
            Poll::Ready(Err(_)) => Poll::Ready(Err(ServeError::client("the client closed within a tunnel"))),
            Poll::Ready(Ok(())) | Poll::Pending if link.0.borrow().held => Poll::Pending,
            // How long our end may take is limited behind this.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    })
    .await
}
