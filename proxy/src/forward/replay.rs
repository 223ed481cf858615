use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::codec::{Body, BodyError, Message};
use crate::forward::timeout::Activity;

/// How far a request's body has come.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: Cell<u64>,
    ended: Cell<Option<Instant>>,
    failed: Cell<Option<BodyError>>,
}

impl Progress {
    /// Body bytes read from the client.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// When the last of it was read.
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// Why the client's body ended early.
    pub fn failed(&self) -> Option<BodyError> {
        self.failed.get()
    }
}

/// A request's body that attempts can read again, up to a limit of bytes.
#[derive(Debug)]
pub struct Replay {
    source: Rc<RefCell<Source>>,
    progress: Rc<Progress>,
    size_hint: SizeHint,
}

#[derive(Debug)]
struct Source {
    body: Body,
    kept: Vec<Kept>,
    kept_bytes: usize,
    /// More than this is not kept, and the body cannot be read again.
    limit: usize,
    spent: bool,
    activity: Activity,
}

#[derive(Clone, Debug)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Replay {
    /// Keeps up to `limit` bytes; 0 keeps nothing.
    pub fn new(body: Body, limit: usize, activity: Activity) -> Self {
        let progress = Rc::new(Progress::default());
        if body.is_end_stream() {
            progress.ended.set(Some(Instant::now()));
        }
        let size_hint = body.size_hint();
        let source = Source { body, kept: Vec::new(), kept_bytes: 0, limit, spent: false, activity };
        Self { source: Rc::new(RefCell::new(source)), progress, size_hint }
    }

    /// How far it has come.
    pub fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// The body for one attempt; `None` when more was read than could be kept.
    pub fn attempt(&self) -> Option<Body> {
        let source = self.source.borrow();
        if source.spent {
            return None;
        }
        if source.kept.is_empty() && source.body.is_end_stream() {
            return Some(Body::Empty);
        }
        drop(source);
        let attempt = Attempt { source: Rc::clone(&self.source), progress: Rc::clone(&self.progress), next: 0, size_hint: self.size_hint };
        Some(Body::Boxed(Box::pin(attempt)))
    }
}

/// One attempt's reading of a body: first what was kept, then what is new.
struct Attempt {
    source: Rc<RefCell<Source>>,
    progress: Rc<Progress>,
    next: usize,
    size_hint: SizeHint,
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut source = this.source.borrow_mut();
        if let Some(kept) = source.kept.get(this.next).filter(|_| !source.spent) {
            this.next = this.next.saturating_add(1);
            return Poll::Ready(Some(Ok(match kept.clone() {
                Kept::Data(data) => Frame::data(data),
                Kept::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        let polled = std::task::ready!(Pin::new(&mut source.body).poll_frame(cx));
        source.activity.touch();
        match &polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    this.progress.bytes.set(this.progress.bytes.get().saturating_add(length));
                }
                source.keep(frame);
                this.next = this.next.saturating_add(1);
                if source.body.is_end_stream() {
                    this.progress.ended.set(Some(Instant::now()));
                }
            }
            Some(Err(error)) => this.progress.failed.set(Some(*error)),
            None => this.progress.ended.set(Some(Instant::now())),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        let kept_left = !source.spent && self.next < source.kept.len();
        !kept_left && source.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.size_hint
    }
}

impl Message for Attempt {}

impl Source {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.spent {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return,
        };
        if let Kept::Data(data) = &kept {
            self.kept_bytes = self.kept_bytes.saturating_add(data.len());
        }
        if self.kept_bytes > self.limit {
            self.spent = true;
            self.kept = Vec::new();
        } else {
            self.kept.push(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn replay(text: &'static str, limit: usize) -> Replay {
        Replay::new(Body::from(Bytes::from_static(text.as_bytes())), limit, Activity::new())
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_read_again() {
        let replay = replay("four", 4);
        for _ in 0..3 {
            let body = replay.attempt().unwrap().collect().await.unwrap().to_bytes();
            assert_eq!(body, "four");
        }
        assert_eq!(replay.progress().bytes(), 4);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_read_once() {
        let replay = replay("four", 3);
        let body = replay.attempt().unwrap().collect().await.unwrap().to_bytes();
        assert_eq!(body, "four");
        assert!(replay.attempt().is_none());
    }

    #[tokio::test]
    async fn an_empty_body_costs_nothing() {
        assert!(matches!(replay("", 0).attempt(), Some(Body::Empty)));
    }
}
