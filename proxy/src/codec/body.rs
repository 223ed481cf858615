use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::codec::{http1, http2};

/// A body on its way.
pub trait Message: http_body::Body<Data = Bytes, Error = BodyError> {
    /// What goes on although nobody takes what there is of it; ready when it cannot. Who waits for room asks this meanwhile.
    fn poll_meanwhile(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<BodyError> {
        Poll::Pending
    }
}

/// A message body.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it, in one piece; `None` once taken.
    Full(Option<Bytes>),
    /// Read from an HTTP/1 connection.
    Http1(http1::IncomingBody),
    /// Read from an HTTP/2 stream.
    Http2(http2::IncomingBody),
    /// Made here: recorded for replay, copied to a mirror, counted.
    Boxed(Pin<Box<dyn Message>>),
}

/// Why a body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The connection closed before the end.
    Disconnected,
    /// The peer reset the stream.
    Reset(h2::Reason),
    /// The framing is wrong; the text names the rule.
    Malformed(&'static str),
    /// Nothing moved for longer than allowed, or the whole took too long.
    TimedOut(&'static str),
    /// Larger than what may be kept.
    TooLarge,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the connection closed before the end of the body"),
            Self::Reset(reason) => write!(f, "the stream was reset: {reason}"),
            Self::Malformed(rule) => write!(f, "malformed body: {rule}"),
            Self::TimedOut(limit) => write!(f, "the body took longer than {limit}"),
            Self::TooLarge => f.write_str("the body is larger than may be kept"),
        }
    }
}

impl std::error::Error for BodyError {}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(data) => Poll::Ready(data.take().filter(|data| !data.is_empty()).map(|data| Ok(Frame::data(data)))),
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(data) => data.as_ref().is_none_or(Bytes::is_empty),
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(data) => {
                let length = data.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

impl Message for Body {
    fn poll_meanwhile(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        match self.get_mut() {
            Self::Http1(body) => body.poll_meanwhile(cx),
            Self::Boxed(body) => body.as_mut().poll_meanwhile(cx),
            Self::Empty | Self::Full(_) | Self::Http2(_) => Poll::Pending,
        }
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Self {
        if data.is_empty() { Self::Empty } else { Self::Full(Some(data)) }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Body::Empty",
            Self::Full(_) => "Body::Full",
            Self::Http1(_) => "Body::Http1",
            Self::Http2(_) => "Body::Http2",
            Self::Boxed(_) => "Body::Boxed",
        })
    }
}
