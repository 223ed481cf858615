//! A client's connection, shared by the loop that serves it and by the body of the request in progress.
//!
//! Both poll the socket, perhaps from two tasks; whoever learns something wakes the other.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::codec::http1::decode::{Decoded, Decoder, Limits};
use crate::codec::http1::encode;
use crate::codec::http1::incoming::Source;
use crate::codec::http1::wire::Wire;
use crate::codec::{BodyError, Http1Options, Spelling};

/// A connection and the request in progress.
pub(super) struct Link<IO>(pub(super) RefCell<State<IO>>);

pub(super) struct State<IO> {
    pub(super) wire: Wire<IO>,
    pub(super) decoder: Decoder,
    /// Counts requests, so that a body kept for too long cannot read another's bytes.
    pub(super) exchange: u64,
    /// The request's body is still in somebody's hands.
    pub(super) held: bool,
    pub(super) expect: Expect,
    /// The final answer has begun: nothing informational any more.
    pub(super) answering: bool,
    pub(super) informational: bool,
    /// Behind the body, raw bytes may follow.
    pub(super) asks_tunnel: bool,
    /// The loop's waker.
    owner: Option<Waker>,
    /// The body's waker.
    reader: Option<Waker>,
    limits: Limits,
    buffer_limit: usize,
    stall_timeout: Option<Duration>,
}

/// Whether the client waits for 100 before it sends the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Nothing,
    Continue,
    Sent,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Link<IO> {
    pub(super) fn new(io: IO, prefix: &[u8], options: &Http1Options) -> Self {
        Self(RefCell::new(State {
            wire: Wire::new(io, prefix),
            decoder: Decoder::Ended,
            exchange: 0,
            held: false,
            expect: Expect::Nothing,
            answering: false,
            informational: false,
            asks_tunnel: false,
            owner: None,
            reader: None,
            limits: Limits {
                max_head_bytes: options.max_head_bytes,
                max_headers: options.max_headers,
                enable_trailers: options.enable_trailers,
            },
            buffer_limit: options.buffer_limit,
            stall_timeout: options.stall_timeout,
        }))
    }

    /// Remembers the loop's waker.
    pub(super) fn register(&self, cx: &Context<'_>) {
        remember(&mut self.0.borrow_mut().owner, cx);
    }

    /// Reads ahead while a request is in progress; ready when the client has gone.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        loop {
            if state.wire.eof {
                return Poll::Ready(());
            }
            if state.wire.read.len() >= state.buffer_limit {
                return Poll::Pending;
            }
            match state.wire.poll_fill(state.decoder.is_bulk(), cx) {
                Poll::Ready(Ok(true)) => wake(&mut state.reader),
                Poll::Ready(Ok(false) | Err(_)) => {
                    state.wire.eof = true;
                    wake(&mut state.reader);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().wire.poll_flush(cx)
    }

    /// Lets the body end, or turn raw, once the answer to a request for a tunnel is known.
    pub(super) fn decide(&self, tunnel: bool) {
        let mut state = self.0.borrow_mut();
        state.asks_tunnel = false;
        if tunnel {
            state.decoder = Decoder::UntilClose;
        } else if matches!(state.decoder, Decoder::Undecided) {
            state.decoder = Decoder::Ended;
        }
        wake(&mut state.reader);
    }

    /// Whether the request has arrived to its end; what nobody wants any more is read and forgotten, without waiting.
    pub(super) fn has_arrived(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        let mut budget = state.buffer_limit;
        while !state.held && !state.decoder.is_ended() && budget > 0 {
            budget = budget.saturating_sub(state.wire.read.len().max(1));
            if state.decoder.discard(&mut state.wire.read, &state.limits) {
                break;
            }
            if !matches!(state.wire.poll_fill(true, cx), Poll::Ready(Ok(true))) {
                break;
            }
        }
        state.decoder.is_ended()
    }

    /// Changes with all that is sent and with all that is given to be sent.
    pub(super) fn moved(&self) -> (usize, usize) {
        let out = &self.0.borrow().wire.out;
        (out.total(), out.len())
    }

    /// Whether the request was read to its end and nothing behind it.
    pub(super) fn is_clean(&self) -> bool {
        let state = self.0.borrow();
        state.decoder.is_ended() && state.wire.read.is_empty()
    }

    /// Whether the request's body could not be understood.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.0.borrow().decoder, Decoder::Broken(_))
    }

    /// Makes an idle connection small.
    pub(super) fn settle(&self) {
        self.0.borrow_mut().wire.settle();
    }

    /// How long the client may take nothing.
    pub(super) fn stall_timeout(&self) -> Option<Duration> {
        self.0.borrow().stall_timeout
    }

    pub(super) fn has_room(&self) -> bool {
        let state = self.0.borrow();
        state.wire.out.len() < state.buffer_limit
    }

    /// Writes a 1xx answer for the request in progress, and only for it.
    pub(super) fn inform(&self, exchange: u64, response: &Response<()>) {
        let mut state = self.0.borrow_mut();
        let status = response.status();
        let wanted = state.exchange == exchange && !state.answering && state.informational;
        let is_continue = status == StatusCode::CONTINUE;
        if !wanted || !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        if is_continue && state.expect == Expect::Sent {
            return;
        }
        if is_continue {
            state.expect = Expect::Sent;
        }
        // A client that does not read cannot make us keep more than the buffer's limit.
        if state.wire.out.len() < state.buffer_limit {
            encode::informational(&mut state.wire.out, response, &Spelling::Lower);
        }
        wake(&mut state.owner);
    }
}

impl<IO> State<IO> {
    pub(super) const fn keeps_trailers(&self) -> bool {
        self.limits.enable_trailers
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> State<IO> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.expect == Expect::Continue && !self.answering {
            self.expect = Expect::Sent;
            self.wire.out.push(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n"));
            // A failure shows when the answer is written.
            drop(self.wire.poll_flush(cx));
            wake(&mut self.owner);
        }
        loop {
            let decoded = self.decoder.decode(&mut self.wire.read, self.wire.eof, &self.limits);
            if self.asks_tunnel && self.decoder.is_ended() {
                self.decoder = Decoder::Undecided;
            }
            match decoded {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(Decoded::Undecided) => {
                    remember(&mut self.reader, cx);
                    return Poll::Pending;
                }
                Ok(Decoded::More) => match self.wire.poll_fill(self.decoder.is_bulk(), cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => wake(&mut self.owner),
                    Poll::Ready(Err(_)) => {
                        self.wire.eof = true;
                        self.decoder = Decoder::Broken(BodyError::Disconnected);
                        wake(&mut self.owner);
                    }
                    Poll::Pending => {
                        remember(&mut self.reader, cx);
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + 'static> Source for Link<IO> {
    fn poll_body(&self, exchange: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.0.borrow_mut();
        if state.exchange == exchange { state.poll_body(cx) } else { Poll::Ready(Some(Err(BodyError::Disconnected))) }
    }

    fn size_hint(&self, exchange: u64) -> SizeHint {
        let state = self.0.borrow();
        if state.exchange == exchange { state.decoder.size_hint() } else { SizeHint::default() }
    }

    fn is_ended(&self, exchange: u64) -> bool {
        let state = self.0.borrow();
        state.exchange == exchange && state.decoder.is_ended()
    }

    fn release(self: Rc<Self>, exchange: u64) {
        let mut state = self.0.borrow_mut();
        if state.exchange == exchange {
            state.held = false;
            state.reader = None;
            wake(&mut state.owner);
        }
    }
}

/// Keeps the waker of whoever waits.
fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if slot.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
