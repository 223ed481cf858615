//! CONNECT that ends here (`connect_config`): the bytes behind it go to the upstream as raw TCP.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, Response};
use http_body::{Body as _, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::{Attempts, Next, race};
use crate::balance::Picked;
use crate::codec::{Body, BodyError, Message, Outgoing};
use crate::config::route::Forward;
use crate::connect::io::CountedIo;
use crate::connect::pool::{ExchangeError, Failure};
use crate::connect::tcp::{self, OpenError};
use crate::exchange::RequestHead;
use crate::request::live::Live;
use crate::request::standing::Tied;
use crate::task::OwnedTask;
use crate::upstream::LimitKind;

/// One read of the upstream's bytes.
const PIECE: usize = 16 * 1024;

/// Whether the route ends this request's tunnel here.
pub(in crate::request) fn ends_here(forward: &Forward, head: &RequestHead) -> bool {
    let Some(connect) = forward.upgrades.iter().find(|upgrade| upgrade.protocol == "connect" && upgrade.enabled) else { return false };
    let asks = head.method == Method::CONNECT && head.path.is_none() || connect.allow_post && head.method == Method::POST;
    connect.connect_terminate && asks
}

impl Attempts<'_> {
    /// Connects, and answers 200 once that is done.
    pub(super) async fn open_tunnel(&mut self, live: &mut Box<Live>, picked: Picked, upload: Body) -> Next {
        live.deadlines.per_try = None;
        let tls = &self.job.connection.0.worker.tls;
        let source = live.info.connection.source;
        let outcome = race(live, &self.allowed, tcp::open(picked.endpoint(), &self.cluster, Some(tls), source)).await;
        let opened = match outcome {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                let failure = match error {
                    OpenError::Overflow => Failure::Overflow(LimitKind::Connections),
                    OpenError::Dial(error) => Failure::Connect(error),
                };
                return self.failed(live, &ExchangeError { failure, unsent: None, upstream: None });
            }
            Err(expired) => return Next::Stop(self.expired(live, expired).into()),
        };
        live.info.upstream.local = opened.local;
        live.info.upstream.tls = opened.tls;
        live.tied = Some(Tied::Own(opened.bond));
        live.info.upstream.response_began = Some(Instant::now());
        live.info.details = "via_upstream".into();
        // A tunnel lasts as long as something moves.
        live.deadlines.route = None;
        self.allowed.route = None;
        let (read, write) = tokio::io::split(opened.io);
        let download = Download { read, buffer: BytesMut::new(), _upload: OwnedTask::spawn(send(upload, write)), _picked: picked };
        let mut outgoing = Outgoing::from(Response::new(Body::Boxed(Box::pin(download))));
        self.finish(live, &mut outgoing);
        Next::Answer(outgoing)
    }
}

/// The client's bytes; its end is passed on, its loss ends the connection with the answer's body.
async fn send(mut body: Body, mut upstream: WriteHalf<CountedIo>) {
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data()
            && upstream.write_all(&data).await.is_err()
        {
            return;
        }
    }
    // An upstream that is gone needs no word of the end.
    let _gone = upstream.shutdown().await.is_err();
}

/// The upstream's bytes; with their end, both directions end.
struct Download {
    read: ReadHalf<CountedIo>,
    buffer: BytesMut,
    _upload: OwnedTask,
    _picked: Picked,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.buffer.reserve(PIECE);
        let read = ready!(pin!(this.read.read_buf(&mut this.buffer)).poll(cx));
        Poll::Ready(match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(Frame::data(this.buffer.split().freeze()))),
            Err(_) => Some(Err(BodyError::Disconnected)),
        })
    }
}

impl Message for Download {}

/// An HTTP/1 upstream's tunnel for an HTTP/2 client. HTTP/1 cannot tell an orderly end from a lost connection: the stream is reset (as
/// Envoy).
pub(super) struct UntilLost(pub(super) Body);

impl http_body::Body for UntilLost {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = ready!(Pin::new(&mut self.get_mut().0).poll_frame(cx));
        Poll::Ready(Some(polled.unwrap_or(Err(BodyError::Disconnected))))
    }
}

impl Message for UntilLost {
    fn poll_meanwhile(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        Pin::new(&mut self.get_mut().0).poll_meanwhile(cx)
    }
}
