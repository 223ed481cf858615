//! Client status discovery (CSDS) over gRPC: a framed message in, one out, as often as the client asks.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;

use crate::admin::{Access, AdminState, guard};
use crate::xds::dump::ClientStatusError;

const METHODS: [&str; 2] = [
    "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
    "/envoy.service.status.v3.ClientStatusDiscoveryService/StreamClientStatus",
];
const GRPC: &str = "application/grpc";
/// A node and some matchers.
const LARGEST_REQUEST: usize = 64 * 1024;
/// A flag and a length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED`, `UNIMPLEMENTED`, `INTERNAL` of gRPC.
const INVALID_ARGUMENT: u16 = 3;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;

/// Whether a request is for this service, and may be.
pub(super) fn is_asked(access: Access, request: &Parts) -> bool {
    let content_type = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    access == Access::Full
        && request.method == Method::POST
        && METHODS.contains(&request.uri.path())
        && content_type.starts_with(GRPC)
        && guard::refusal(request).is_none()
}

/// The answer, which is made as the requests come.
pub(super) fn answer(state: &Rc<AdminState>, requests: Incoming) -> Response<Statuses> {
    state.registry.ninon.admin_requests.inc();
    let mut response = Response::new(Statuses { state: Rc::clone(state), requests, read: BytesMut::new(), has_ended: false });
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

/// One status for each request; then how it ended.
pub(super) struct Statuses {
    state: Rc<AdminState>,
    requests: Incoming,
    read: BytesMut,
    has_ended: bool,
}

impl Body for Statuses {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        loop {
            match message(&mut this.read) {
                Ok(Some(request)) => {
                    return Poll::Ready(Some(Ok(match (this.state.client_status)(&request) {
                        Ok(status) => Frame::data(framed(&status)),
                        Err(ClientStatusError::Invalid(why)) => this.end(INVALID_ARGUMENT, &why),
                        Err(ClientStatusError::Unwritable(why)) => this.end(INTERNAL, &why),
                    })));
                }
                Ok(None) => {}
                Err((code, why)) => return Poll::Ready(Some(Ok(this.end(code, why)))),
            }
            match ready!(Pin::new(&mut this.requests).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        this.read.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if this.read.is_empty() => return Poll::Ready(Some(Ok(this.end(0, "")))),
                None => return Poll::Ready(Some(Ok(this.end(INTERNAL, "the request is cut off")))),
            }
        }
    }
}

impl Statuses {
    fn end(&mut self, code: u16, why: &str) -> Frame<Bytes> {
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(code));
        // Percent-encoded where it has to be (gRPC over HTTP/2, "Status-Message").
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
        let why: String = why.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect();
        if let (false, Ok(why)) = (why.is_empty(), HeaderValue::try_from(why)) {
            trailers.insert("grpc-message", why);
        }
        Frame::trailers(trailers)
    }
}

/// The next whole message.
fn message(read: &mut BytesMut) -> Result<Option<Bytes>, (u16, &'static str)> {
    let Some((flag, mut rest)) = read.split_first() else { return Ok(None) };
    if *flag != 0 {
        return Err((UNIMPLEMENTED, "compressed messages are not supported"));
    }
    let Ok(length) = rest.try_get_u32() else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > LARGEST_REQUEST {
        return Err((RESOURCE_EXHAUSTED, "the request is too large"));
    }
    if rest.len() < length {
        return Ok(None);
    }
    read.advance(PREFIX);
    Ok(Some(read.split_to(length).freeze()))
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX.saturating_add(message.len()));
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_come() {
        let whole = [framed(b"one"), framed(b""), framed(b"three")].concat();
        for size in 1..whole.len() {
            let (mut read, mut found) = (BytesMut::new(), Vec::new());
            for piece in whole.chunks(size) {
                read.extend_from_slice(piece);
                while let Some(message) = message(&mut read).unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, [&b"one"[..], b"", b"three"]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let refused = |bytes: &[u8]| message(&mut BytesMut::from(bytes)).map_err(|(code, _)| code);
        assert_eq!(refused(&[1, 0, 0, 0, 0]), Err(UNIMPLEMENTED));
        assert_eq!(refused(&[0, 0xff, 0xff, 0xff, 0xff]), Err(RESOURCE_EXHAUSTED));
        assert_eq!(refused(&[0, 0, 0, 0]), Ok(None));
    }
}
