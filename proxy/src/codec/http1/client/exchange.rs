//! A request on its way and its answer, over one connection.
//!
//! Whoever waits drives both directions: first the future that waits for the head, then the answer's body.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::rest;
use super::state::State;
use super::{ClientOptions, Connection, Reuse, SendError, SendFailed};
use crate::codec::http1::decode::Decoded;
use crate::codec::http1::encode::{self, Encoder, mentions};
use crate::codec::http1::incoming::{IncomingBody, Source};
use crate::codec::http1::recycle;
use crate::codec::http1::response::{Asked, ResponseHead};
use crate::codec::{Body, BodyError, Informational, Message as _, Outgoing, Spelling};
use crate::task::spawn_bounded_by_connection;

/// How long a body waits for 100 from a server that may never send it (RFC 9110, 10.1.1).
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// A connection with the request and the answer in progress.
pub(super) struct Exchange<IO>(RefCell<State<IO>>);

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Exchange<IO> {
    pub(super) fn new(io: IO, options: Rc<ClientOptions>) -> Self {
        Self(RefCell::new(State::new(io, options)))
    }

    /// Ready when something came without a request, the end of the connection included.
    pub(super) fn poll_unusable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if !state.wire.read.is_empty() || state.wire.eof {
            return Poll::Ready(());
        }
        state.wire.poll_fill(false, cx).map(drop)
    }

    /// Writes the head into the buffer. Gives the request back without its body, for the case that it must be sent again.
    pub(super) fn begin(&self, request: Request<Body>, spelling: Spelling, reuse: Rc<dyn Reuse<IO>>) -> Request<()> {
        let hint = request.body().size_hint();
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        let headers = request.headers();
        let connect = *request.method() == Method::CONNECT;
        let upgrade = headers.contains_key(http::header::UPGRADE) && {
            let mut connection = headers.get_all(http::header::CONNECTION).iter();
            connection.any(|value| mentions(value.as_bytes(), b"upgrade"))
        };
        state.asked = Asked { head: *request.method() == Method::HEAD, connect, upgrade };
        let expect = headers.get(http::header::EXPECT);
        state.expects = expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        state.sent_before = state.wire.out.total();
        state.closes = encode::asks_close(headers);
        state.early.clear();
        state.early_lost = false;
        state.encoder = encode::request(&mut state.wire.out, &request, &hint, &spelling, connect || upgrade);
        state.asked.upgrade &= state.encoder != Encoder::Chunked;
        state.hold = (state.expects && !state.encoder.is_ended()).then(|| Box::pin(sleep(CONTINUE_LIMIT)));
        state.spelling = spelling;
        state.reuse = Some(reuse);
        let (parts, body) = request.into_parts();
        state.body = body;
        Request::from_parts(parts, ())
    }

    /// Drives the request and waits for the final answer's head. `request` is dropped once a byte is on its way.
    pub(super) fn poll_answer(
        &self,
        request: &mut Option<Request<()>>,
        informational: &Informational,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, SendError>> {
        if let Err(error) = self.poll_request(cx) {
            return Poll::Ready(Err(error));
        }
        let sent = self.0.borrow().is_touched();
        if !sent && let Some(error) = self.0.borrow_mut().write_failed.take() {
            // No answer can come to a request that was not sent.
            return Poll::Ready(Err(error));
        }
        if sent && let Some(request) = request.take() {
            self.0.borrow_mut().early.clear();
            recycle::give(request.into_parts().0.headers);
        }
        loop {
            let parsed = self.0.borrow_mut().parse();
            match parsed {
                Ok(Some(head)) if is_interim(&head) => self.inform(head, informational, cx)?,
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(None) => {
                    let mut state = self.0.borrow_mut();
                    match state.wire.poll_fill(false, cx) {
                        Poll::Ready(Ok(true)) => state.seen = true,
                        Poll::Ready(Ok(false)) => return Poll::Ready(Err(state.ended())),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(state.write_failed.take().unwrap_or_else(|| error.into()))),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
        }
    }

    fn inform(&self, head: ResponseHead, informational: &Informational, cx: &mut Context<'_>) -> Result<(), SendError> {
        let (go_on, wanted) = {
            let mut state = self.0.borrow_mut();
            state.count_informational()?;
            let is_continue = head.response.status() == StatusCode::CONTINUE;
            (is_continue && state.hold.take().is_some(), !is_continue || state.expects)
        };
        if wanted {
            informational.send(head.response.map(drop));
        }
        if go_on { self.poll_request(cx) } else { Ok(()) }
    }

    /// Sends what there is of the request; fails when its body does. A connection that takes no more is noted, as its
    /// answer may have come already.
    fn poll_request(&self, cx: &mut Context<'_>) -> Result<(), SendError> {
        loop {
            let starved = self.fill(cx)?;
            let flushed = self.0.borrow_mut().wire.poll_flush(cx);
            match flushed {
                Poll::Pending => return self.poll_blocked(cx),
                Poll::Ready(Err(error)) => {
                    self.0.borrow_mut().give_up(error.into());
                    return Ok(());
                }
                Poll::Ready(Ok(())) => {}
            }
            let mut state = self.0.borrow_mut();
            if starved || state.encoder.is_ended() {
                let is_shut = state.poll_shut(cx).is_ready();
                drop(state);
                return if is_shut { Ok(()) } else { self.poll_blocked(cx) };
            }
        }
    }

    /// The server takes nothing at the moment, and may take no more where the body must not go on.
    fn poll_blocked(&self, cx: &mut Context<'_>) -> Result<(), SendError> {
        let mut body = std::mem::take(&mut self.0.borrow_mut().body);
        let cut = Pin::new(&mut body).poll_meanwhile(cx);
        self.0.borrow_mut().body = body;
        if let Poll::Ready(error) = cut { Err(SendError::RequestBody(error)) } else { Ok(()) }
    }

    /// Moves the body into the buffer while there is room; whether that is all for the moment.
    fn fill(&self, cx: &mut Context<'_>) -> Result<bool, SendError> {
        loop {
            let mut body = {
                let mut state = self.0.borrow_mut();
                if state.waits(cx) {
                    return Ok(true);
                }
                if state.wire.out.len() >= state.options.buffer_limit {
                    return Ok(false);
                }
                std::mem::take(&mut state.body)
            };
            // The body is polled without a borrow: it may be on a connection that looks at this one.
            let frame = if body.is_end_stream() { Poll::Ready(None) } else { Pin::new(&mut body).poll_frame(cx) };
            let mut state = self.0.borrow_mut();
            state.body = body;
            match frame {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Err(error))) => return Err(SendError::RequestBody(error)),
                Poll::Ready(Some(Ok(frame))) => state.encode(Some(frame))?,
                Poll::Ready(None) => state.encode(None)?,
            }
        }
    }

    /// What a failure leaves behind.
    pub(super) fn failed(&self, error: SendError, request: Option<Request<()>>) -> SendFailed {
        let mut state = self.0.borrow_mut();
        let body = std::mem::take(&mut state.body);
        let early = std::mem::take(&mut state.early);
        let whole = !matches!(error, SendError::RequestBody(_)) && !state.early_lost;
        let untouched = whole && !state.is_touched() && !state.seen;
        let unsent = request.filter(|_| untouched).map(|request| request.map(|()| rest::rest(early, body)));
        SendFailed { error, unsent, response_bytes_seen: state.seen }
    }
}

fn is_interim(head: &ResponseHead) -> bool {
    head.response.status().is_informational() && !head.tunnel
}

/// Attaches the body to the answer.
pub(super) fn answer<IO>(exchange: Rc<Exchange<IO>>, head: ResponseHead) -> Outgoing<Body>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let ResponseHead { response, spelling, decoder, keep_alive, tunnel } = head;
    let body = {
        let mut state = exchange.0.borrow_mut();
        let state = &mut *state;
        state.answered(decoder, keep_alive, tunnel);
        let whole = state.decoder.is_whole(state.wire.read.len());
        let limits = state.limits();
        match whole.then(|| state.decoder.decode(&mut state.wire.read, false, &limits)) {
            Some(Ok(Decoded::Data(data))) => Some(Body::from(data)),
            _ => state.decoder.is_ended().then_some(Body::Empty),
        }
    };
    let body = match body {
        Some(body) => {
            exchange.finish();
            body
        }
        None => Body::Http1(IncomingBody::new(exchange, 0)),
    };
    let response: Response<Body> = response.map(|_| body);
    Outgoing { response, spelling }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Exchange<IO> {
    /// Hands the connection back, if both messages have ended cleanly; else it is closed with its last owner.
    fn finish(self: Rc<Self>) {
        let reuse = {
            let mut state = self.0.borrow_mut();
            let reuse = state.reuse.take();
            reuse.filter(|_| state.is_reusable())
        };
        if let Some(reuse) = reuse {
            self.0.borrow_mut().reset();
            reuse.reuse(Connection { exchange: self });
        }
    }

    /// The server has ended its direction of a tunnel; the client's goes on for as long as it lasts.
    fn go_on_sending(self: Rc<Self>) {
        spawn_bounded_by_connection(async move {
            poll_fn(|cx| match self.poll_request(cx) {
                Ok(()) if self.0.borrow().still_sends() => Poll::Pending,
                Ok(()) | Err(_) => Poll::Ready(()),
            })
            .await;
        });
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Source for Exchange<IO> {
    fn poll_body(&self, _: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.poll_request(cx) {
            Ok(()) => self.0.borrow_mut().poll_body(cx),
            Err(SendError::RequestBody(error)) => Poll::Ready(Some(Err(error))),
            Err(_) => Poll::Ready(Some(Err(BodyError::Disconnected))),
        }
    }

    fn poll_meanwhile(&self, _: u64, cx: &mut Context<'_>) -> Poll<BodyError> {
        match self.poll_request(cx) {
            Ok(()) => Poll::Pending,
            Err(SendError::RequestBody(error)) => Poll::Ready(error),
            Err(_) => Poll::Ready(BodyError::Disconnected),
        }
    }

    fn size_hint(&self, _: u64) -> SizeHint {
        self.0.borrow().decoder.size_hint()
    }

    fn is_ended(&self, _: u64) -> bool {
        self.0.borrow().decoder.is_ended()
    }

    fn release(self: Rc<Self>, _: u64) {
        let half_closed = {
            let state = self.0.borrow();
            state.tunnel && state.decoder.is_ended() && state.still_sends()
        };
        if half_closed { self.go_on_sending() } else { self.finish() }
    }
}
