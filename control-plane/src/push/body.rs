//! The answers of a stream, as an HTTP body: they are asked for when there is room for them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Frame;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;

use crate::proxies::status::{Held, TypeStatus};
use crate::proxies::{Holding, Observed, Proxies};
use crate::push::answer::Writer;
use crate::push::stream::Stream;
use crate::snapshot::kind::Kind;
use crate::task::OwnedTask;

/// What a stream's task and its body share.
pub struct Shared {
    state: Mutex<State>,
    /// The body has seen that something has to wait.
    pub waits: Notify,
}

struct State {
    stream: Option<Stream>,
    end: Option<Status>,
    body: Option<Waker>,
    /// Since when there is something to write that is not written; `None` when all is.
    writing_since: Option<Instant>,
}

impl Shared {
    /// Nothing was said yet.
    pub fn new() -> Arc<Self> {
        let state = State { stream: None, end: None, body: None, writing_since: None };
        Arc::new(Self { state: Mutex::new(state), waits: Notify::new() })
    }

    /// The client is known.
    pub fn begin(&self, stream: Stream) {
        self.lock().stream = Some(stream);
    }

    /// Has the stream hear of something, and the body look what there is to be written.
    pub fn tell<T>(&self, about: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        let mut state = self.lock();
        let told = state.stream.as_mut().map(about);
        state.wake();
        told
    }

    /// Has the body look what there is to be written.
    pub fn wake(&self) {
        self.lock().wake();
    }

    /// Ends the stream.
    pub fn end(&self, status: Status) {
        let mut state = self.lock();
        state.end.get_or_insert(status);
        state.wake();
    }

    /// Whether the client has taken what it was sent of a type.
    pub fn has_taken(&self, kind: Kind) -> bool {
        let types = self.lock().stream.as_ref().map(Stream::types);
        types.is_some_and(|types| types.iter().any(|status| status.kind == kind && status.acknowledged.is_some()))
    }

    /// When to wake the body although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().stream.as_ref().and_then(Stream::deadline)
    }

    /// Whether the client has not read for so long.
    pub fn is_stuck(&self, now: Instant, limit: Duration) -> bool {
        self.lock().writing_since.is_some_and(|since| now.duration_since(since) >= limit)
    }

    /// Whether the client has not replied for so long.
    pub fn is_silent(&self, now: Instant, limit: Duration) -> bool {
        let state = self.lock();
        // What it has not read it cannot reply to.
        let since = state.stream.as_ref().filter(|_| state.writing_since.is_none()).and_then(Stream::silent_since);
        since.is_some_and(|since| now.duration_since(since) >= limit)
    }

    /// Whether the client has something to read or to reply to.
    pub fn is_busy(&self) -> bool {
        let state = self.lock();
        state.writing_since.is_some() || state.stream.as_ref().is_some_and(|stream| stream.silent_since().is_some())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        self.writing_since.get_or_insert_with(Instant::now);
        if let Some(body) = self.body.take() {
            body.wake();
        }
    }
}

impl Observed for Shared {
    fn types(&self) -> Vec<TypeStatus> {
        self.lock().stream.as_ref().map(Stream::types).unwrap_or_default()
    }

    fn held(&self) -> Vec<Held> {
        self.lock().stream.as_ref().map(Stream::held).unwrap_or_default()
    }

    fn holding(&self, kind: Kind, name: &str) -> Option<Holding> {
        self.lock().stream.as_ref().and_then(|stream| stream.holding(kind, name))
    }
}

/// See the module.
pub struct Body {
    shared: Arc<Shared>,
    proxies: Arc<Proxies>,
    identifier: Arc<str>,
    writer: Option<Writer>,
    ended: bool,
    /// Goes when the client goes.
    _session: OwnedTask,
}

impl Body {
    /// Of a session.
    pub fn new(shared: Arc<Shared>, proxies: Arc<Proxies>, identifier: Arc<str>, session: OwnedTask) -> Self {
        Self { shared, proxies, identifier, writer: None, ended: false, _session: session }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(chunk) = self.writer.as_mut().and_then(Writer::chunk) {
                self.shared.lock().writing_since = Some(Instant::now());
                return Poll::Ready(Some(Frame::data(chunk)));
            }
            self.writer = None;
            let mut state = self.shared.lock();
            if let Some(status) = state.end.take() {
                self.ended = true;
                return Poll::Ready(Some(Frame::trailers(trailers(&status))));
            }
            let Some(answer) = state.stream.as_mut().and_then(|stream| stream.next(Instant::now())) else {
                state.writing_since = None;
                state.body = Some(cx.waker().clone());
                if state.stream.as_ref().is_some_and(|stream| stream.deadline().is_some()) {
                    self.shared.waits.notify_one();
                }
                return Poll::Pending;
            };
            drop(state);
            let (kind, resources, removed) = (answer.kind, answer.resources.len(), answer.removed.len());
            let writer = Writer::new(answer, &self.identifier);
            self.proxies.counters.answered(kind, resources, removed, writer.len);
            self.writer = Some(writer);
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.poll(cx).map(|frame| frame.map(Ok))
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // A status that cannot be written as headers is told without its message.
    if status.add_header(&mut trailers).is_err() {
        trailers.clear();
        let _ = Status::new(status.code(), "").add_header(&mut trailers);
    }
    trailers
}
