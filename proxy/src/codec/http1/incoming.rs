//! A body that is still on its connection.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::codec::BodyError;

/// A connection that a body is read from, whatever carries its bytes.
pub(super) trait Source {
    fn poll_body(&self, exchange: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;
    /// What goes on of the exchange while nobody takes the body; ready when that fails.
    fn poll_meanwhile(&self, _exchange: u64, _cx: &mut Context<'_>) -> Poll<BodyError> {
        Poll::Pending
    }
    fn size_hint(&self, exchange: u64) -> SizeHint;
    /// Whether the body was given completely, so that its connection can go on.
    fn is_ended(&self, exchange: u64) -> bool;
    /// Nobody reads this body any more: it has ended, failed or been dropped.
    fn release(self: Rc<Self>, exchange: u64);
}

/// A body as it is read. Dropped before its end, it ends the connection.
pub struct IncomingBody {
    source: Option<Rc<dyn Source>>,
    exchange: u64,
}

impl IncomingBody {
    pub(super) fn new(source: Rc<dyn Source>, exchange: u64) -> Self {
        Self { source: Some(source), exchange }
    }

    /// As [`crate::codec::Message::poll_meanwhile`].
    pub fn poll_meanwhile(&self, cx: &mut Context<'_>) -> Poll<BodyError> {
        self.source.as_ref().map_or(Poll::Pending, |source| source.poll_meanwhile(self.exchange, cx))
    }

    fn release(&mut self) {
        if let Some(source) = self.source.take() {
            source.release(self.exchange);
        }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let Some(source) = &body.source else { return Poll::Ready(None) };
        let polled = source.poll_body(body.exchange, cx);
        let ended = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => source.is_ended(body.exchange),
            Poll::Ready(Some(Err(_)) | None) => true,
        };
        if ended {
            body.release();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(|source| source.is_ended(self.exchange))
    }

    fn size_hint(&self) -> SizeHint {
        self.source.as_ref().map_or_else(|| SizeHint::with_exact(0), |source| source.size_hint(self.exchange))
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for IncomingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingBody").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
