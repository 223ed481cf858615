use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::{SendError, SendFailed, Shared, StreamGuard};
use crate::codec::http2::head::{content_length, prepare_request};
use crate::codec::http2::incoming::{IncomingBody, Upload};
use crate::codec::http2::pump::{End, Pump};
use crate::codec::{Body, BodyError, Informational, Outgoing};
use crate::task::spawn_bounded_by_connection;

/// 1xx answers passed on for one request; a server that sends more is not heard.
const MAX_INFORMATIONAL: u32 = 16;

/// One request on its way.
struct Exchange<'a> {
    shared: &'a Rc<Shared>,
    guard: StreamGuard,
    method: Method,
    response: ResponseFuture,
    upload: Option<Uploading>,
    kept: Kept,
    informational: Informational,
    informed: u32,
    /// Bytes written to the connection before this request.
    written: u64,
}

/// A body that is being sent.
struct Uploading {
    pump: Pump,
    body: Body,
    /// The peer wants no more of it.
    refused: bool,
}

/// What gives the request back when the server refuses it.
struct Kept {
    head: Option<Request<()>>,
    /// The body, where it was handed over whole.
    body: Option<Bytes>,
}

/// Sends a request on a new stream.
pub(super) async fn exchange(
    shared: &Rc<Shared>,
    sender: SendRequest<Bytes>,
    request: Request<Body>,
    informational: Informational,
) -> Result<Outgoing<Body>, SendFailed> {
    let mut exchange = open(shared, sender, request, informational).map_err(|failed| *failed)?;
    let response = poll_fn(|cx| exchange.poll(cx)).await;
    match response {
        Ok(response) => exchange.answer(response).map_err(|error| SendFailed { error, unsent: None, response_bytes_seen: true }),
        Err(error) => Err(exchange.fail(error)),
    }
}

fn open(
    shared: &Rc<Shared>,
    mut sender: SendRequest<Bytes>,
    request: Request<Body>,
    informational: Informational,
) -> Result<Exchange<'_>, Box<SendFailed>> {
    let (parts, mut body) = request.into_parts();
    let original = Request::from_parts(parts, ());
    let mut head = copy_head(&original);
    if let Err(rule) = prepare_request(&mut head) {
        return Err(Box::new(SendFailed::unsent(SendError::Malformed(rule), original.map(|()| body))));
    }
    let method = original.method().clone();
    let written = shared.traffic.written();
    let (response, mut stream) = match sender.send_request(head, body.is_end_stream()) {
        Ok(opened) => opened,
        Err(error) => {
            let mut error = classify(&error);
            if !shared.takes_requests() {
                // The connection has ended, or has no stream ids left.
                error = SendError::Closed;
            }
            return Err(Box::new(SendFailed::unsent(error, original.map(|()| body))));
        }
    };
    let mut kept = Kept { head: Some(original), body: None };
    let upload = match &mut body {
        empty if empty.is_end_stream() => None,
        // `h2` sends it as the windows allow; it is in memory anyway.
        Body::Full(data) => {
            let data = data.take().unwrap_or_default();
            kept.body = Some(data.clone());
            // Fails when the stream is closed already, which the response will tell.
            let _ = stream.send_data(data, true);
            None
        }
        Body::Empty | Body::Http1(_) | Body::Http2(_) | Body::Boxed(_) => {
            Some(Uploading { pump: Pump::new(stream, shared.options.stall_timeout), body, refused: false })
        }
    };
    let guard = StreamGuard::new(shared);
    Ok(Exchange { shared, guard, method, response, upload, kept, informational, informed: 0, written })
}

/// The fields' values are shared, not copied.
fn copy_head(original: &Request<()>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = original.method().clone();
    *head.uri_mut() = original.uri().clone();
    *head.version_mut() = original.version();
    *head.headers_mut() = original.headers().clone();
    if let Some(protocol) = original.extensions().get::<h2::ext::Protocol>() {
        head.extensions_mut().insert(protocol.clone());
    }
    head
}

/// Why there is no answer.
enum NoAnswer {
    Body(BodyError),
    Stalled,
    Stream(h2::Error),
}

impl Exchange<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, NoAnswer>> {
        if let Some(error) = self.poll_upload(cx) {
            return Poll::Ready(Err(error));
        }
        self.poll_informational(cx);
        Pin::new(&mut self.response).poll(cx).map_err(NoAnswer::Stream)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Option<NoAnswer> {
        let uploading = self.upload.as_mut().filter(|uploading| !uploading.refused)?;
        let end = uploading.pump.poll(Pin::new(&mut uploading.body), cx);
        if uploading.pump.has_started() {
            self.kept.head = None;
        }
        match end {
            Poll::Pending => None,
            Poll::Ready(End::Complete) => {
                self.upload = None;
                None
            }
            // The response tells why; until then the body, which may be whole, is kept.
            Poll::Ready(End::Refused) => {
                uploading.refused = true;
                None
            }
            Poll::Ready(End::Body(error)) => Some(NoAnswer::Body(error)),
            Poll::Ready(End::Stalled) => Some(NoAnswer::Stalled),
        }
    }

    fn poll_informational(&mut self, cx: &mut Context<'_>) {
        if self.informational.0.is_none() {
            return;
        }
        while let Poll::Ready(Some(Ok(response))) = self.response.poll_informational(cx) {
            self.informed = self.informed.saturating_add(1);
            if self.informed <= MAX_INFORMATIONAL && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                self.informational.send(response);
            }
        }
    }

    fn answer(self, response: Response<RecvStream>) -> Result<Outgoing<Body>, SendError> {
        let (parts, stream) = response.into_parts();
        let max_headers = self.shared.options.max_headers;
        if parts.headers.len() > max_headers {
            // Dropping the stream resets it.
            return Err(SendError::Malformed("too many fields"));
        }
        let tunnel = self.method == Method::CONNECT && parts.status.is_success();
        let body = if stream.is_end_stream() && !(tunnel && self.upload.is_some()) {
            Body::Empty
        } else {
            let bodiless = self.method == Method::HEAD || parts.status == StatusCode::NOT_MODIFIED;
            let length = if bodiless { None } else { content_length(&parts.headers) };
            let upload = self.upload.map(|uploading| uploading.spawn(tunnel));
            Body::Http2(IncomingBody::response(stream, length, max_headers, self.guard, upload))
        };
        Ok(Outgoing::from(Response::from_parts(parts, body)))
    }

    fn fail(mut self, why: NoAnswer) -> SendFailed {
        let mut error = match why {
            NoAnswer::Body(error) => SendError::RequestBody(error),
            NoAnswer::Stalled => SendError::RequestBody(BodyError::TimedOut("the window")),
            NoAnswer::Stream(error) => classify(&error),
        };
        if matches!(error, SendError::Io(_)) && self.shared.traffic.written() == self.written {
            // Nothing was written since: the connection had ended before.
            error = SendError::Closed;
        }
        if self.shared.traffic.is_flooded() {
            error = SendError::GoAway;
        }
        let unsent = if matches!(error, SendError::Refused | SendError::Closed) { self.rebuild() } else { None };
        SendFailed { error, unsent, response_bytes_seen: self.informed > 0 }
    }

    fn rebuild(&mut self) -> Option<Request<Body>> {
        let head = self.kept.head.take()?;
        let body = match (self.kept.body.take(), self.upload.take()) {
            (Some(data), _) => Body::from(data),
            (None, Some(uploading)) => uploading.body,
            (None, None) => Body::Empty,
        };
        Some(head.map(|()| body))
    }
}

impl Uploading {
    /// Goes on with the upload beside the answer. It stops when the answer's body is dropped, or ends where it is no
    /// tunnel; the stream is reset then.
    fn spawn(mut self, outlives_answer: bool) -> Upload {
        let (handle, mut gone) = oneshot::channel();
        // While a tunnel's other direction may move, who reads it limits both.
        let limit = if outlives_answer { self.pump.limit(None) } else { None };
        spawn_bounded_by_connection(async move {
            let mut kept = None;
            poll_fn(|cx| {
                if kept.is_none() {
                    match Pin::new(&mut gone).poll(cx) {
                        Poll::Ready(Ok(guard)) => {
                            kept = Some(guard);
                            self.pump.limit(limit);
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => {}
                    }
                }
                self.pump.poll(Pin::new(&mut self.body), cx).map(|end| match end {
                    End::Complete | End::Refused => {}
                    End::Body(_) | End::Stalled => self.pump.reset(Reason::CANCEL),
                })
            })
            .await;
        });
        Upload { handle, outlives_answer }
    }
}

fn classify(error: &h2::Error) -> SendError {
    match (error.reason(), error.get_io()) {
        // Streams that the GOAWAY counts as processed go on.
        (Some(_), _) if error.is_go_away() && error.is_remote() => SendError::Refused,
        (Some(_), _) if error.is_go_away() => SendError::GoAway,
        (Some(_), _) if error.is_library() => SendError::Malformed("the answer breaks a rule of HTTP/2"),
        (Some(Reason::REFUSED_STREAM), _) => SendError::Refused,
        (Some(reason), _) => SendError::Reset(reason),
        (None, Some(error)) => SendError::Io(error.kind()),
        (None, None) => SendError::Malformed("HTTP/2 cannot send the request"),
    }
}
