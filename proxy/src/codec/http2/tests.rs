use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::DuplexStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::codec::{Abort, Body, BodyError, Drain, Http2Options, Incoming, Informational, Message, Outgoing, RequestFault, Service};
use crate::task::OwnedTask;

mod attacks;
mod client_side;
mod server_side;
mod through;

const LONG: Duration = Duration::from_secs(3600);

fn options() -> Http2Options {
    Http2Options {
        max_concurrent_streams: 100,
        initial_stream_window: 65_535,
        initial_connection_window: 1_048_576,
        max_header_list_bytes: 61_440,
        max_headers: 100,
        allow_connect: true,
        idle_timeout: None,
        stall_timeout: Some(Duration::from_secs(300)),
        keepalive_interval: None,
        keepalive_timeout: Duration::from_secs(10),
        max_reset_streams: 20,
        max_requests: None,
    }
}

/// Runs a test that spawns, and gives up after a long (paused) time.
async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(async { timeout(20 * LONG, test).await.expect("the test hangs") }).await
}

type Call = Pin<Box<dyn Future<Output = Result<Outgoing<Body>, Abort>>>>;

/// A service made of a function.
#[derive(Clone)]
struct Answer(Rc<dyn Fn(Incoming) -> Call>);

impl Service for Answer {
    type ResponseBody = Body;

    fn call(&self, incoming: Incoming) -> impl Future<Output = Result<Outgoing<Body>, Abort>> {
        (self.0)(incoming)
    }

    fn reject(&self, _fault: RequestFault) -> Outgoing<Body> {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        response.into()
    }
}

fn answer<F, R>(call: F) -> Answer
where
    F: Fn(Incoming) -> R + 'static,
    R: Future<Output = Result<Outgoing<Body>, Abort>> + 'static,
{
    Answer(Rc::new(move |incoming| Box::pin(call(incoming))))
}

/// Answers with the request's own body.
fn echo() -> Answer {
    answer(|incoming| async move { Ok(Response::new(incoming.request.into_body()).into()) })
}

fn ok(body: impl Into<Body>) -> Result<Outgoing<Body>, Abort> {
    Ok(Response::new(body.into()).into())
}

fn start(io: DuplexStream, options: Http2Options, service: Answer) -> OwnedTask<Result<(), ServeError>> {
    OwnedTask::spawn(serve(io, Rc::new(options), Drain::never(), service))
}

/// A real peer, to test the server side with.
async fn peer(io: DuplexStream) -> (h2::client::SendRequest<Bytes>, OwnedTask<Result<(), h2::Error>>) {
    peer_with(io, &h2::client::Builder::new()).await
}

async fn peer_with(io: DuplexStream, builder: &h2::client::Builder) -> (h2::client::SendRequest<Bytes>, OwnedTask<Result<(), h2::Error>>) {
    let (sender, connection) = builder.handshake(io).await.expect("handshake");
    (sender, OwnedTask::spawn(connection))
}

fn get() -> Request<()> {
    Request::get("http://shop.test/cart").version(http::Version::HTTP_2).body(()).expect("request")
}

fn post() -> Request<()> {
    Request::post("http://shop.test/cart").version(http::Version::HTTP_2).body(()).expect("request")
}

async fn read(mut body: h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// Sets a flag when dropped.
struct Dropped(Rc<Cell<bool>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// A body of `left` frames of 10,000 bytes that counts the frames taken from it.
struct Frames {
    left: usize,
    taken: Rc<Cell<usize>>,
    end: Option<Result<HeaderMap, BodyError>>,
    /// When it must not go on.
    cut: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Message for Frames {
    fn poll_meanwhile(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(cut) = &mut self.cut else { return Poll::Pending };
        cut.as_mut().poll(cx).map(|()| BodyError::Disconnected)
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(self.end.take().map(|end| end.map(Frame::trailers)));
        }
        self.left -= 1;
        self.taken.set(self.taken.get() + 1);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 10_000])))))
    }
}

fn frames(left: usize, end: Option<Result<HeaderMap, BodyError>>) -> (Body, Rc<Cell<usize>>) {
    let taken = Rc::new(Cell::new(0));
    (Body::Boxed(Box::pin(Frames { left, taken: Rc::clone(&taken), end, cut: None })), taken)
}

/// More than any window takes, which after a minute must not go on.
fn forbidden_after_a_minute() -> Body {
    Body::Boxed(Box::pin(Frames { left: usize::MAX, taken: Rc::default(), end: None, cut: Some(Box::pin(sleep(Duration::from_secs(60)))) }))
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}
