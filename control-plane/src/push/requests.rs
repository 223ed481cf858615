//! The requests of a stream, out of an HTTP body.
//!
//! A buffer lives as long as one request: some are long, and then a client is silent for hours.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::body::Body as _;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

/// Whether it is compressed, and its length.
const PREFIX: usize = 5;

/// See the module.
pub struct Requests<M> {
    body: Body,
    /// What was received and not yet read.
    received: BytesMut,
    most: usize,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Requests<M> {
    /// None is longer than `most`.
    pub fn new(body: Body, most: usize) -> Self {
        Self { body, received: BytesMut::new(), most, message: PhantomData }
    }

    /// The next one; `None` when the client has no more. What was received is kept if this is dropped.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Whether the client has said that it has no more, rather than been cut off.
    pub fn is_finished(&self) -> bool {
        self.body.is_end_stream()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<M>, Status>> {
        loop {
            if let Some(request) = self.take()? {
                return Poll::Ready(Ok(Some(request)));
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                let is_whole = self.received.is_empty();
                return Poll::Ready(if is_whole { Ok(None) } else { Err(Status::internal("the last request is incomplete")) });
            };
            if let Ok(data) = frame?.into_data() {
                self.receive(&data);
            }
        }
    }

    fn receive(&mut self, data: &Bytes) {
        self.received.extend_from_slice(data);
    }

    /// A request that was received whole.
    fn take(&mut self) -> Result<Option<M>, Status> {
        let Some(prefix) = self.received.first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, len @ ..] = *prefix;
        if compressed != 0 {
            return Err(Status::unimplemented("requests cannot be compressed"));
        }
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        if len > self.most {
            return Err(Status::resource_exhausted(format!("a request has {len} bytes, {} at most", self.most)));
        }
        if self.received.len() - PREFIX < len {
            return Ok(None);
        }
        self.received.advance(PREFIX);
        let request = M::decode(self.received.split_to(len)).map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Even what is left of a buffer would keep all of it.
        let rest = std::mem::take(&mut self.received);
        self.receive(&rest.freeze());
        Ok(Some(request))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tonic::Code;

    use super::*;

    fn of(bytes: &'static [u8]) -> Requests<String> {
        Requests::new(Body::new(Full::new(Bytes::from_static(bytes))), 10)
    }

    #[tokio::test]
    async fn requests_come_one_after_the_other() {
        // As a protobuf message a text is its first field.
        let mut requests = of(b"\0\0\0\0\x03\x0a\x01a\0\0\0\0\x03\x0a\x01b");
        assert_eq!(requests.message().await.unwrap().as_deref(), Some("a"));
        assert_eq!(requests.message().await.unwrap().as_deref(), Some("b"));
        assert_eq!(requests.message().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let code = async |bytes| of(bytes).message().await.unwrap_err().code();
        assert_eq!(code(b"\0\0\0\0\x0b").await, Code::ResourceExhausted);
        assert_eq!(code(b"\x01\0\0\0\0").await, Code::Unimplemented);
        assert_eq!(code(b"\0\0\0\0\x01\xff").await, Code::InvalidArgument);
        assert_eq!(code(b"\0\0\0\0\x03\x0a").await, Code::Internal);
        assert_eq!(code(b"\0\0").await, Code::Internal);
    }
}
