use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Method;
use http_body::{Frame, SizeHint};

use crate::codec::{Body, BodyError, Message};
use crate::exchange::ResponseFlag;
use crate::forward::timeout::Expired;
use crate::request::live::Live;
use crate::request::standing::{self, Cut};

/// An answer's body on its way to the client; what counts the request ends with it.
pub struct ResponseBody {
    body: Body,
    live: Box<Live>,
    /// What has to end before its time.
    cut: Option<Cut>,
    is_tunnel: bool,
}

impl ResponseBody {
    /// An upstream's.
    pub(super) fn new(body: Body, mut live: Box<Live>) -> Self {
        let cut = standing::tunnel(&mut live);
        Self { is_tunnel: cut.is_some(), body, live, cut }
    }

    /// A body made here.
    pub(super) fn local(body: Bytes, mut live: Box<Live>) -> Self {
        // Of a body that the client does not want, nothing is read.
        live.complete = body.is_empty() || live.head.method == Method::HEAD;
        live.asked = None;
        Self { body: Body::from(body), live, cut: None, is_tunnel: false }
    }

    /// As [`Self::poll_cut`], of what goes on: few answers do.
    fn poll_standing(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        if self.live.asked.is_some() {
            self.cut = standing::stream(&mut self.live);
        }
        self.poll_cut(cx)
    }

    /// Ready when it may not go on any more.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(cut) = &mut self.cut else { return Poll::Pending };
        cut.poll(cx).map(|why| {
            self.live.info.flags.set(ResponseFlag::LocalReset);
            self.live.info.details.clone_from(why);
            BodyError::Disconnected
        })
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        self.live.request_ended();
        self.live.deadlines.poll_expired(cx).map(|which| self.expired(which))
    }

    /// A deadline passed while the answer's body was on its way.
    fn expired(&mut self, which: Expired) -> BodyError {
        let stats = &self.live.connection.0.stats;
        match which {
            Expired::Idle => {
                stats.downstream_rq_idle_timeout.inc();
                self.live.info.flags.set(ResponseFlag::StreamIdleTimeout);
                BodyError::TimedOut("stream_idle_timeout")
            }
            Expired::MaxStream => {
                stats.downstream_rq_max_duration_reached.inc();
                self.live.info.flags.set(ResponseFlag::DurationTimeout);
                BodyError::TimedOut("max_stream_duration")
            }
            Expired::Request => {
                stats.downstream_rq_timeout.inc();
                BodyError::TimedOut("request_timeout")
            }
            Expired::Route | Expired::PerTry | Expired::PerTryIdle => {
                if let Some(cluster) = &self.live.cluster {
                    cluster.stats().upstream_rq_timeout.inc();
                }
                self.live.info.flags.set(ResponseFlag::UpstreamRequestTimeout);
                BodyError::TimedOut("the route's timeout")
            }
        }
    }

    /// The upstream's side of it has failed.
    fn failed(&mut self, error: &BodyError) {
        let live = &mut self.live;
        live.info.flags.set(match error {
            BodyError::Reset(_) => ResponseFlag::UpstreamRemoteReset,
            BodyError::Malformed(_) => ResponseFlag::UpstreamProtocolError,
            BodyError::Disconnected | BodyError::TimedOut(_) | BodyError::TooLarge => ResponseFlag::UpstreamConnectionTermination,
        });
        live.connection.0.stats.rq_reset_after_downstream_response_started.inc();
        if let Some(held) = live.held.take() {
            held.in_flight.connection_lost();
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(error) = this.poll_cut(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        let Poll::Ready(polled) = Pin::new(&mut this.body).poll_frame(cx) else {
            let ended = if this.cut.is_none() { this.poll_standing(cx) } else { Poll::Pending };
            let ended = if ended.is_pending() { this.poll_expired(cx) } else { ended };
            return ended.map(|error| Some(Err(error)));
        };
        match &polled {
            Some(Ok(frame)) => {
                let live = &mut this.live;
                live.deadlines.activity.touch();
                if let Some(data) = frame.data_ref() {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    live.info.bytes_sent = live.info.bytes_sent.saturating_add(length);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    live.response_trailers = Some(trailers.clone());
                }
                if this.body.is_end_stream() {
                    live.completed();
                }
            }
            Some(Err(error)) => this.failed(error),
            None => this.live.completed(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Message for ResponseBody {
    fn poll_meanwhile(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        let this = self.get_mut();
        if let Poll::Ready(error) = this.poll_standing(cx) {
            return Poll::Ready(error);
        }
        if let Poll::Ready(error) = Pin::new(&mut this.body).poll_meanwhile(cx) {
            this.failed(&error);
            return Poll::Ready(error);
        }
        // The codec gives up a client that takes nothing of an answer, but for what may be a tunnel: the other direction may move.
        if this.is_tunnel || this.live.head.method == Method::CONNECT { this.poll_expired(cx) } else { Poll::Pending }
    }
}
