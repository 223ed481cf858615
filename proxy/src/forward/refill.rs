use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::codec::{Body, BodyError, Message};
use crate::forward::timeout::Activity;

/// A body of which the beginning was read.
#[derive(Debug)]
pub struct Read {
    /// The body as it was.
    pub body: Body,
    /// What was read.
    pub bytes: Bytes,
    /// That was all.
    pub complete: bool,
}

/// Reads a body until it ends or has more bytes than `most`.
///
/// # Errors
/// As the body's.
pub async fn read(mut body: Body, most: usize, activity: &Activity) -> Result<Read, BodyError> {
    let hint = body.size_hint();
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    while bytes.len() <= most && !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let frame = frame?;
        activity.touch();
        match frame.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(last) => {
                trailers = Some(last);
                break;
            }
        }
    }
    let (bytes, complete) = (bytes.freeze(), body.is_end_stream() || trailers.is_some());
    // One frame, however many it came in: each would take more memory than its bytes.
    let data = (!bytes.is_empty()).then(|| Frame::data(bytes.clone()));
    let rest = Refilled { kept: data.into_iter().chain(trailers).collect(), rest: body, hint };
    Ok(Read { body: Body::Boxed(Box::pin(rest)), bytes, complete })
}

/// What was read, and then the rest.
struct Refilled {
    kept: VecDeque<Frame<Bytes>>,
    rest: Body,
    hint: SizeHint,
}

impl http_body::Body for Refilled {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.kept.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Message for Refilled {}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &'static str) -> Body {
        Body::from(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn what_was_read_is_read_again() {
        for most in [3, 4, 5] {
            let read = read(Body::Boxed(Box::pin(Pieces(vec!["four"; 1]))), most, &Activity::new()).await.unwrap();
            assert_eq!((read.bytes.as_ref(), read.complete), (&b"four"[..], true), "{most}");
            assert_eq!(read.body.collect().await.unwrap().to_bytes(), "four");
        }
        let read = read(body(""), 1, &Activity::new()).await.unwrap();
        assert!(read.complete && read.bytes.is_empty() && read.body.is_end_stream());
    }

    #[tokio::test]
    async fn no_more_is_read_than_one_piece_over_the_limit() {
        let read = read(Body::Boxed(Box::pin(Pieces(vec!["a", "b", "c", "d"]))), 1, &Activity::new()).await.unwrap();
        assert_eq!((read.bytes.as_ref(), read.complete), (&b"dc"[..], false));
        assert_eq!(read.body.collect().await.unwrap().to_bytes(), "dcba");
    }

    #[tokio::test]
    async fn pieces_of_a_byte_are_kept_as_one() {
        let read = read(Body::Boxed(Box::pin(Pieces(vec!["a"; 1000]))), 2000, &Activity::new()).await.unwrap();
        let Body::Boxed(mut body) = read.body else { panic!("what was read, and the rest") };
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((first.len(), read.complete, body.is_end_stream()), (1000, true, true));
    }

    /// From the last to the first.
    struct Pieces(Vec<&'static str>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.pop().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    impl Message for Pieces {}
}
