use std::rc::Rc;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};
use http_body::Body as _;
use tokio::time::Instant;

use crate::balance::Picked;
use crate::codec::{Body, Outgoing};
use crate::config::route::{RouteTable, WeightedCluster};
use crate::connect::pool::InFlight;
use crate::exchange::{RequestHead, ResponseFlag, StreamInfo};
use crate::ext_authz::ResponseChanges;
use crate::forward::replay::Progress;
use crate::forward::timeout::{Activity, Deadlines};
use crate::normalize::Normalized;
use crate::request::body::ResponseBody;
use crate::request::counted::Upgraded;
use crate::request::standing::{Asked, Tied};
use crate::request::traced::Traced;
use crate::request::{Connection, begin_info};
use crate::route;
use crate::telemetry::substitution::Exchange;
use crate::upstream::{ClusterState, Permit};

/// A request from its beginning to its log line, which is written when this is dropped.
pub(super) struct Live {
    pub(super) connection: Connection,
    pub(super) info: StreamInfo,
    pub(super) head: RequestHead,
    /// What was answered; kept only where a log line may want it.
    pub(super) response_headers: Option<HeaderMap>,
    pub(super) response_trailers: Option<HeaderMap>,
    pub(super) table: Option<Arc<RouteTable>>,
    /// The part of a split that was chosen: the route, whose action holds it, and its place there.
    pub(super) weighted: Option<Arc<WeightedCluster>>,
    pub(super) traced: Option<Box<Traced>>,
    /// What a service outside wants of the answer.
    pub(super) changes: Vec<ResponseChanges>,
    pub(super) deadlines: Deadlines,
    pub(super) progress: Option<Rc<Progress>>,
    pub(super) cluster: Option<Arc<ClusterState>>,
    /// What counts the request where it was sent.
    pub(super) held: Option<Held>,
    /// What was asked for, if that may go on for long.
    pub(super) asked: Option<Rc<Asked>>,
    /// The connection behind it.
    pub(super) tied: Option<Tied>,
    /// The connection changed to another protocol.
    pub(super) upgraded: Option<Upgraded>,
    /// The request had a body that was not read when the answer began.
    pub(super) body_pending: bool,
    /// Nothing is known of the request: its head could not be read.
    pub(super) unread: bool,
    /// The codec closes the connection after this answer.
    pub(super) closing: bool,
    /// The answer's last byte was handed over.
    pub(super) complete: bool,
}

/// What counts a request where it was sent; freed in this order.
#[expect(dead_code, reason = "kept for what is counted when they are dropped")]
pub(super) struct Held {
    pub(super) in_flight: InFlight,
    pub(super) picked: Picked,
    pub(super) retry: Option<Permit>,
}

impl Live {
    /// A request whose head has arrived.
    pub(super) fn begin(connection: &Connection, version: Version) -> Box<Self> {
        let stats = &connection.0.stats;
        stats.downstream_rq_total.inc();
        stats.downstream_rq_active.inc();
        if let Some(peer) = &connection.0.peer {
            peer.downstream_rq_total.inc();
        }
        if version == Version::HTTP_2 {
            stats.downstream_rq_http2_total.inc();
        } else {
            stats.downstream_rq_http1_total.inc();
        }
        let mut info = begin_info(connection);
        info.protocol = Some(version);
        let timeouts = &connection.0.manager.timeouts;
        let mut deadlines = Deadlines::new(Activity::at(info.started));
        deadlines.timer = connection.0.timers.borrow_mut().pop();
        deadlines.idle = timeouts.stream_idle;
        deadlines.max_stream = timeouts.max_stream.and_then(|limit| info.started.checked_add(limit));
        deadlines.request = timeouts.request.and_then(|limit| info.started.checked_add(limit));
        Box::new(Self {
            connection: connection.clone(),
            info,
            head: RequestHead::unknown(version),
            response_headers: None,
            response_trailers: None,
            table: None,
            weighted: None,
            traced: None,
            changes: Vec::new(),
            deadlines,
            progress: None,
            cluster: None,
            held: None,
            asked: None,
            tied: None,
            upgraded: None,
            body_pending: false,
            unread: true,
            closing: false,
            complete: false,
        })
    }

    /// Takes over what normalisation found.
    pub(super) fn accept(&mut self, normalized: Normalized) {
        self.head = normalized.head;
        self.unread = false;
        self.info.remote = normalized.remote;
        self.info.internal = normalized.internal;
        if !self.body_pending {
            self.info.request_ended = Some(self.info.started);
            self.deadlines.request = None;
        }
    }

    /// Whether the request's last byte has been read; notes when.
    pub(super) fn request_ended(&mut self) -> Option<Instant> {
        if self.info.request_ended.is_none() {
            self.info.request_ended = self.progress.as_ref().and_then(|progress| progress.ended());
            if self.info.request_ended.is_some() {
                self.deadlines.request = None;
            }
        }
        self.info.request_ended
    }

    /// An answer with this status begins: what header formats may ask for.
    pub(super) fn answering(&mut self, status: StatusCode) {
        self.info.status = Some(status);
        if let Some(progress) = &self.progress {
            self.info.bytes_received = progress.bytes();
        }
    }

    /// The answer's last byte is there.
    pub(super) fn completed(&mut self) {
        self.complete = true;
        if self.held.is_some() && self.info.upstream.response_ended.is_none() {
            self.info.upstream.response_ended = Some(Instant::now());
        }
    }

    /// Turns an upstream's answer into the client's.
    pub(super) fn answer(mut self: Box<Self>, outgoing: Outgoing<Body>) -> Outgoing<ResponseBody> {
        let (parts, body) = outgoing.response.into_parts();
        self.info.status = Some(parts.status);
        let now = Instant::now();
        self.info.response_began = Some(now);
        self.deadlines.activity.touch_at(now);
        if body.is_end_stream() {
            self.completed();
        }
        if !self.connection.0.manager.access_log.is_empty() {
            self.response_headers = Some(parts.headers.clone());
        }
        let body = ResponseBody::new(body, self);
        Outgoing { response: http::Response::from_parts(parts, body), spelling: outgoing.spelling }
    }

    /// Applies what services outside want of the answer: as Envoy, filters see it in the opposite order.
    pub(super) fn change_response(&self, fields: &mut HeaderMap) {
        for changes in self.changes.iter().rev() {
            changes.apply(fields);
        }
    }

    /// Applies the route's mutations of responses.
    pub(super) fn mutate_response(&self, fields: &mut HeaderMap) {
        let levels = route::mutate::Levels {
            table: self.table.as_deref(),
            virtual_host: self.info.virtual_host.as_deref(),
            route: self.info.route.as_deref(),
            weighted: self.weighted.as_deref(),
        };
        let source = route::mutate::Source { info: &self.info, hostname: &self.connection.0.worker.shared.hostname };
        route::mutate::response(&levels, source, &self.head, fields);
    }

    fn count(&self, status: StatusCode) {
        self.connection.0.stats.count_answer(status);
        let Some(cluster) = &self.cluster else { return };
        let stats = cluster.stats();
        stats.count_answer(status);
        if let (Some(began), Some(ended)) = (self.info.request_ended, self.info.ended) {
            stats.upstream_rq_time.record(ended.saturating_duration_since(began));
        }
    }

    /// An attempt is over and another one follows.
    pub(super) fn attempt_ended(&mut self) {
        self.held = None;
        if let Some(traced) = &mut self.traced {
            traced.attempt_ended(&self.info, &self.head, &self.connection.0.worker.shared.spans);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let now = Instant::now();
        self.request_ended();
        self.info.ended = Some(now);
        if let Some(progress) = &self.progress {
            self.info.bytes_received = progress.bytes();
        }
        if let Some(timer) = self.deadlines.timer.take() {
            self.connection.keep(timer);
        }
        let stats = &self.connection.0.stats;
        stats.downstream_rq_active.dec();
        stats.downstream_rq_time.record(now.saturating_duration_since(self.info.started));
        if !self.complete && self.info.flags.is_empty() && self.deadlines.is_idle(now) {
            // The codec gave up a client that took nothing for so long.
            stats.downstream_rq_idle_timeout.inc();
            self.info.flags.set(ResponseFlag::StreamIdleTimeout);
            self.info.details = "stream_idle_timeout".into();
        } else if !self.complete && self.info.flags.is_empty() {
            self.info.flags.set(ResponseFlag::DownstreamConnectionTermination);
            if self.info.details.is_empty() || self.info.status.is_none() {
                self.info.details = "downstream_remote_disconnect".into();
            }
            stats.downstream_rq_rx_reset.inc();
        }
        if !self.complete
            && let Some(why) = self.info.connection.termination.get()
        {
            self.info.details = why.clone().into();
        }
        if let Some(status) = self.info.status {
            self.count(status);
        }
        if self.held.take().is_some()
            && !self.complete
            && let Some(cluster) = &self.cluster
        {
            cluster.stats().upstream_rq_tx_reset.inc();
        }
        if let Some(mut traced) = self.traced.take() {
            traced.ended(&self.info, &self.head, &self.connection.0.worker.shared.spans);
        }
        let logs = &self.connection.0.manager.access_log;
        if !logs.is_empty() {
            let worker = &self.connection.0.worker;
            let exchange = Exchange {
                info: &self.info,
                request: (!self.unread).then_some(&self.head),
                response: self.response_headers.as_ref(),
                trailers: self.response_trailers.as_ref(),
                ..Exchange::of_connection(&self.info, &worker.shared.hostname)
            };
            worker.log.log(logs, &exchange);
        }
    }
}

impl RequestHead {
    /// Before anything is known.
    fn unknown(version: Version) -> Self {
        let nothing = HeaderValue::from_static("");
        Self {
            method: Method::GET,
            scheme: nothing.clone(),
            authority: nothing,
            path: None,
            version,
            upgrade: None,
            headers: HeaderMap::new(),
        }
    }
}
