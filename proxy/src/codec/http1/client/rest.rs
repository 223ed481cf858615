//! A body put together again, from what was taken of it before the request failed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::codec::{Body, BodyError, Message};

/// `early`, then `rest`.
pub(super) fn rest(early: Vec<Bytes>, rest: Body) -> Body {
    let mut early = VecDeque::from(early);
    match (early.pop_front(), early.is_empty()) {
        (None, _) => rest,
        (Some(only), true) if rest.is_end_stream() => Body::from(only),
        (Some(first), _) => {
            early.push_front(first);
            Body::Boxed(Box::pin(Rest { early, rest }))
        }
    }
}

struct Rest {
    early: VecDeque<Bytes>,
    rest: Body,
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        match body.early.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut body.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.early.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let early = self.early.iter().map(|data| u64::try_from(data.len()).unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest.saturating_add(early)),
            None => SizeHint::default(),
        }
    }
}

impl Message for Rest {
    fn poll_meanwhile(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        Pin::new(&mut self.get_mut().rest).poll_meanwhile(cx)
    }
}
