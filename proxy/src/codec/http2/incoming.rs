use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use super::client::StreamGuard;
use super::server::Reading;
use crate::codec::{BodyError, Informational};

/// A body as it is read from a stream. The peer may send more once data has been taken, not before.
pub struct IncomingBody {
    stream: RecvStream,
    /// What is still to come, where the length is declared.
    remaining: Option<u64>,
    /// Fields that trailers may have.
    max_trailers: usize,
    state: State,
    side: Side,
    /// Of a request: counted until it has ended or is dropped.
    reading: Option<Reading>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Ended,
}

/// What else depends on this body.
enum Side {
    /// Nothing: a request.
    Request,
    /// A request whose client waits for 100 (Continue).
    Expecting(Informational),
    /// An answer: the stream counts as active until it has ended or is dropped.
    Response { guard: Option<StreamGuard>, upload: Option<Upload> },
}

/// The rest of the request, when the answer began before its end.
pub(super) struct Upload {
    /// Dropped: the upload stops. Sent to: it goes on by itself.
    pub(super) handle: oneshot::Sender<Option<StreamGuard>>,
    /// An answer that ends does not end a tunnel's other direction.
    pub(super) outlives_answer: bool,
}

impl IncomingBody {
    /// The body of a request; `expecting` when the client waits for 100 (Continue).
    pub(super) fn request(
        stream: RecvStream,
        length: Option<u64>,
        max_trailers: usize,
        expecting: Option<Informational>,
        reading: Reading,
    ) -> Self {
        let side = expecting.map_or(Side::Request, Side::Expecting);
        Self { stream, remaining: length, max_trailers, state: State::Data, side, reading: Some(reading) }
    }

    /// The body of an answer.
    pub(super) fn response(
        stream: RecvStream,
        length: Option<u64>,
        max_trailers: usize,
        guard: StreamGuard,
        upload: Option<Upload>,
    ) -> Self {
        let side = Side::Response { guard: Some(guard), upload };
        let mut body = Self { stream, remaining: length, max_trailers, state: State::Data, side, reading: None };
        if body.stream.is_end_stream() {
            // Nobody asks for a body that has ended with its head.
            body.end();
        }
        body
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = self.stream.poll_data(cx);
        if polled.is_pending()
            && let Side::Expecting(informational) = &self.side
        {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            informational.send(go_on);
            self.side = Side::Request;
        }
        match ready!(polled) {
            Some(Ok(data)) => {
                let length = data.len();
                if let Some(remaining) = &mut self.remaining {
                    *remaining = remaining.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
                }
                // Only fails for more than was received.
                let _ = self.stream.flow_control().release_capacity(length);
                // Whoever sees that this was the last does not ask again.
                if self.stream.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(data)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.fail(&error)))),
            None => Poll::Ready(None),
        }
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(None) => {
                self.end();
                Poll::Ready(None)
            }
            Ok(Some(trailers)) if trailers.len() > self.max_trailers => {
                self.state = State::Ended;
                Poll::Ready(Some(Err(BodyError::Malformed("too many trailers"))))
            }
            Ok(Some(trailers)) => {
                self.end();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Err(error) => Poll::Ready(Some(Err(self.fail(&error)))),
        }
    }

    /// The other side is done: the stream no longer counts.
    fn end(&mut self) {
        self.state = State::Ended;
        self.remaining = Some(0);
        self.reading = None;
        if let Side::Response { guard, upload } = &mut self.side {
            let guard = guard.take();
            if let Some(upload) = upload.take()
                && upload.outlives_answer
            {
                // The upload may have ended already.
                let _ = upload.handle.send(guard);
            }
        }
    }

    fn fail(&mut self, error: &h2::Error) -> BodyError {
        self.state = State::Ended;
        self.side = Side::Request;
        self.reading = None;
        body_error(error)
    }
}

/// What `h2` says about a stream, as the reader of a body understands it.
fn body_error(error: &h2::Error) -> BodyError {
    match error.reason() {
        Some(_) if error.is_go_away() => BodyError::Disconnected,
        Some(_) if error.is_library() => BodyError::Malformed("a rule of HTTP/2 is broken"),
        Some(reason) => BodyError::Reset(reason),
        None => BodyError::Disconnected,
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        loop {
            match this.state {
                State::Data => match ready!(this.poll_data(cx)) {
                    // An empty frame says nothing, unless it is the end, which the next turn finds.
                    Some(Ok(data)) if data.is_empty() => {}
                    Some(data) => return Poll::Ready(Some(data.map(Frame::data))),
                    None => this.state = State::Trailers,
                },
                State::Trailers => return this.poll_trailers(cx),
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for IncomingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}
