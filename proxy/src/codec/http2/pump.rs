use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use tokio::time::{Instant, Sleep, sleep};

use super::head::strip_connection_fields;
use crate::codec::{BodyError, Message};

/// What is taken from a body before its window is asked for room: small messages never ask.
const TAKEN_UNASKED: usize = 16 * 1024;

/// Sends a body on a stream, no faster than the peer takes it.
pub(super) struct Pump {
    stream: SendStream<Bytes>,
    /// Sent since there was room for certain.
    unasked: usize,
    /// Whether a frame of the body was taken.
    started: bool,
    /// How long the peer may keep its window shut.
    limit: Option<Duration>,
    stall: Option<Stall>,
}

/// How sending ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer will get all of it.
    Complete,
    /// The body failed.
    Body(BodyError),
    /// The peer wants no more of it, or is gone.
    Refused,
    /// The peer's window stayed shut too long.
    Stalled,
}

/// Runs while there is no room. The timer is set again only when it fires, so that progress costs nothing.
struct Stall {
    sleep: Pin<Box<Sleep>>,
    moved: bool,
}

impl Pump {
    pub(super) const fn new(stream: SendStream<Bytes>, limit: Option<Duration>) -> Self {
        Self { stream, unasked: 0, started: false, limit, stall: None }
    }

    /// Whether anything of the body was taken.
    pub(super) const fn has_started(&self) -> bool {
        self.started
    }

    /// From now on the peer may keep its window shut for so long; how long it might.
    pub(super) fn limit(&mut self, limit: Option<Duration>) -> Option<Duration> {
        self.stall = None;
        std::mem::replace(&mut self.limit, limit)
    }

    /// Ends the stream at once.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Sends what there is. After anything but [`End::Complete`] the stream is left for the caller to reset.
    pub(super) fn poll<B>(&mut self, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<End>
    where
        B: Message,
    {
        loop {
            if self.unasked >= TAKEN_UNASKED
                && let Some(waiting) = self.poll_room(cx)
            {
                return if waiting.is_pending() { body.poll_meanwhile(cx).map(End::Body) } else { waiting };
            }
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(End::Body(error)),
                Poll::Ready(None) => return Poll::Ready(self.send(Bytes::new(), true)),
                Poll::Pending => return self.poll_refused(cx),
            };
            self.started = true;
            let frame = match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => {
                    let last = body.is_end_stream();
                    self.unasked = self.unasked.saturating_add(data.len());
                    match self.send(data, last) {
                        End::Complete if !last => continue,
                        end @ (End::Complete | End::Body(_) | End::Refused | End::Stalled) => return Poll::Ready(end),
                    }
                }
                Err(frame) => frame,
            };
            if let Ok(trailers) = frame.into_trailers() {
                return Poll::Ready(self.finish(trailers));
            }
        }
    }

    fn send(&mut self, data: Bytes, last: bool) -> End {
        // Fails when the stream has been reset.
        self.stream.send_data(data, last).map_or(End::Refused, |()| End::Complete)
    }

    fn finish(&mut self, mut trailers: HeaderMap) -> End {
        strip_connection_fields(&mut trailers);
        if trailers.is_empty() {
            return self.send(Bytes::new(), true);
        }
        self.stream.send_trailers(trailers).map_or(End::Refused, |()| End::Complete)
    }

    /// `None` when there is room.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Option<Poll<End>> {
        self.stream.reserve_capacity(1);
        if self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Some(Poll::Ready(End::Refused)),
                Poll::Pending if self.poll_refused(cx).is_ready() => return Some(Poll::Ready(End::Refused)),
                Poll::Pending => return Some(self.poll_stalled(cx)),
            }
        }
        self.unasked = 0;
        if let Some(stall) = &mut self.stall {
            stall.moved = true;
        }
        None
    }

    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.stream.poll_reset(cx).map(|_| End::Refused)
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let stall = self.stall.get_or_insert_with(|| Stall { sleep: Box::pin(sleep(limit)), moved: false });
        while stall.sleep.as_mut().poll(cx).is_ready() {
            if !stall.moved {
                return Poll::Ready(End::Stalled);
            }
            stall.moved = false;
            stall.sleep.as_mut().reset(Instant::now() + limit);
        }
        Poll::Pending
    }
}
