//! The story of a request: normalize -> route -> balance -> connect -> forward. Calls the stages, holds no logic of theirs.

/// Sends a request to its cluster, again where that is allowed.
mod attempt;
/// Bodies of answers.
mod body;
/// What is counted of connections.
mod counted;
/// What filters say.
mod guarded;
/// Keys of providers.
pub mod keys;
/// What the route and the caller allow in time.
mod limits;
/// A request from its beginning to its log line.
mod live;
/// Answers made here.
mod local;
/// Copies of requests.
mod mirror;
/// Requests of the proxy's own.
mod own;
/// How long tunnels last.
mod standing;
/// What a request tells its collector.
mod traced;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::codec::{Abort, Body, Drain, Http1Options, Http2Options, Incoming, Outgoing, RequestFault, Service, http1, http2};
use crate::config::http::{HttpConnectionManager, RouteSource};
use crate::config::route::{RouteAction, RouteTable};
use crate::exchange::{ConnectionInfo, ResponseFlag, StreamInfo};
use crate::forward::timeout::Timer;
use crate::normalize::{self, NormalizeError};
use crate::reply::LocalReply;
use crate::route::{self, MatchContext, Selection};
use crate::runtime::policy::ChainPolicy;
use crate::stream::Rewind;
use crate::telemetry::metrics::{HttpStats, PeerStats};
use crate::worker::Worker;

use body::ResponseBody;
use counted::Counted;
use live::Live;

/// One client's HTTP connection. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Rc<Inner>);

struct Inner {
    worker: Rc<Worker>,
    manager: Arc<HttpConnectionManager>,
    stats: Arc<HttpStats>,
    policy: Arc<ChainPolicy>,
    info: Rc<ConnectionInfo>,
    drain: Drain,
    counted: Counted,
    /// Counts requests by who has sent them, where that is done.
    peer: Option<Arc<PeerStats>>,
    /// Of requests that are over, for those that come.
    timers: RefCell<Vec<Timer>>,
}

/// How a request ends other than by an upstream's answer.
enum Stop {
    /// It is answered here.
    Reply(Box<LocalReply>),
    /// The stream is reset.
    Reset(h2::Reason),
}

impl From<LocalReply> for Stop {
    fn from(reply: LocalReply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

impl Connection {
    /// A connection that a filter chain gave to HTTP.
    pub fn new(
        worker: Rc<Worker>,
        (manager, stats, policy): (Arc<HttpConnectionManager>, Arc<HttpStats>, Arc<ChainPolicy>),
        info: Rc<ConnectionInfo>,
        drain: Drain,
        peer: Option<Arc<PeerStats>>,
    ) -> Self {
        let counted = Counted::new(&stats, &info, drain.clone());
        Self(Rc::new(Inner { worker, manager, stats, policy, info, drain, counted, peer, timers: RefCell::default() }))
    }

    fn keep(&self, timer: Timer) {
        let mut timers = self.0.timers.borrow_mut();
        if timers.len() < KEPT_TIMERS {
            timers.push(timer);
        }
    }

    /// Waits no longer than a connection may be idle.
    pub async fn within_idle_limit<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match self.0.manager.timeouts.idle {
            Some(limit) => tokio::time::timeout(limit, future).await.ok(),
            None => Some(future.await),
        }
    }

    /// Serves HTTP/1.
    pub async fn serve_http1<IO: AsyncRead + AsyncWrite + Unpin + 'static>(self, io: IO, prefix: Bytes) {
        let inner = Rc::clone(&self.0);
        inner.counted.speaks(Version::HTTP_11);
        let served = pin!(http1::serve(io, prefix, Rc::new(http1_options(&inner.manager)), inner.drain.clone(), self));
        if let Err(error) = limited(&inner, served).await {
            tracing::debug!(client = %inner.info.client, %error, "HTTP/1 connection");
        }
    }

    /// Serves HTTP/2.
    pub async fn serve_http2<IO: AsyncRead + AsyncWrite + Unpin + 'static>(self, io: Rewind<IO>) {
        let inner = Rc::clone(&self.0);
        inner.counted.speaks(Version::HTTP_2);
        let served = pin!(http2::serve(io, Rc::new(http2_options(&inner.manager)), inner.drain.clone(), self));
        if let Err(error) = limited(&inner, served).await {
            if matches!(error, http2::ServeError::Protocol(_) | http2::ServeError::ResetFlood) {
                inner.stats.downstream_cx_protocol_error.inc();
            }
            tracing::debug!(client = %inner.info.client, %error, "HTTP/2 connection");
        }
    }
}

/// Within the longest life of a connection.
async fn limited<E>(inner: &Inner, served: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let Some(limit) = inner.manager.timeouts.max_connection else { return served.await };
    tokio::time::timeout(limit, served).await.unwrap_or_else(|_| {
        inner.stats.downstream_cx_max_duration_reached.inc();
        Ok(())
    })
}

impl Service for Connection {
    type ResponseBody = ResponseBody;

    async fn call(&self, incoming: Incoming) -> Result<Outgoing<ResponseBody>, Abort> {
        let mut live = Live::begin(self, incoming.request.version());
        match answer(self, &mut live, incoming).await {
            Ok(outgoing) => Ok(live.answer(outgoing)),
            Err(Stop::Reply(reply)) => Ok(local::answer(live, &reply)),
            Err(Stop::Reset(reason)) => {
                if live.info.flags.is_empty() {
                    live.info.flags.set(ResponseFlag::LocalReset);
                }
                self.0.stats.downstream_rq_tx_reset.inc();
                Err(Abort { reason })
            }
        }
    }

    fn reject(&self, fault: RequestFault) -> Outgoing<ResponseBody> {
        let mut live = Live::begin(self, Version::HTTP_11);
        live.closing = true;
        count_fault(&self.0.stats, fault);
        local::answer(live, &local::fault_reply(fault))
    }
}

fn count_fault(stats: &HttpStats, fault: RequestFault) {
    match fault {
        RequestFault::Malformed(_) | RequestFault::Version(_) | RequestFault::Coding(_) => stats.downstream_cx_protocol_error.inc(),
        RequestFault::HeadTooLarge(_) => stats.downstream_rq_too_large.inc(),
        RequestFault::HeadTimeout => stats.downstream_rq_header_timeout.inc(),
    }
}

/// From a request as it was sent to the answer's head.
async fn answer(connection: &Connection, live: &mut Box<Live>, incoming: Incoming) -> Result<Outgoing<Body>, Stop> {
    let Incoming { request, spelling, informational } = incoming;
    let (parts, mut body) = request.into_parts();
    live.body_pending = !http_body::Body::is_end_stream(&body);
    let inner = &connection.0;
    if !inner.manager.proxy_100_continue && expects_continue(&parts.headers) {
        informational.send(go_on());
    }
    let normalized = normalize::normalize(&inner.manager, &inner.info, inner.worker.shared.local_ip, parts);
    let normalized = normalized.map_err(|error| refused(live, &error))?;
    live.accept(normalized);
    // As Envoy: `*`, and a whole URL that is not taken for one, match nothing, whatever filters and routes say.
    if live.head.path.as_ref().is_some_and(|path| !path.as_str().starts_with('/')) {
        inner.stats.no_route.inc();
        live.traced = traced::Traced::begin(&inner.manager, &inner.stats, &mut live.info, &mut live.head.headers);
        return Err(no_route().into());
    }
    let generation = inner.worker.shared.current.load_full();
    let table = match &inner.manager.routes {
        RouteSource::Inline(table) => Some(table),
        RouteSource::Named { name, .. } => generation.snapshot.route_tables.get(name),
        RouteSource::Scoped(scoped) => scoped.table(&live.head, &generation.snapshot),
    };
    let mut way = guarded::Way::choose(inner, live, table);
    live.traced = traced::Traced::begin(&inner.manager, &inner.stats, &mut live.info, &mut live.head.headers);
    live.asked = standing::asked(inner, live);
    if let Some(waiting) = guarded::pass(inner, live, &mut way)? {
        let informational = &informational;
        let mut asking =
            guarded::Asking { connection, generation: &generation, informational, body: &mut body, is_read: false, is_clean: false };
        Box::pin(guarded::wait(&mut asking, live, &mut way, waiting)).await?;
    }
    way.end()?;
    let Some(route) = live.info.route.clone() else { return Err(no_route().into()) };
    check_upgrade(inner, live, &route.action)?;
    match &route.action {
        RouteAction::Redirect(redirect) => Err(local::redirect(live, redirect).into()),
        RouteAction::Direct(direct) => Err(local::direct(live, direct).into()),
        RouteAction::NonForwarding => Err(no_route().into()),
        RouteAction::Forward(forward) => {
            let Some(table) = live.table.clone() else { return Err(no_route().into()) };
            let standing = live.asked.clone().map(|asked| (asked, live.info.remote.clone()));
            let job = attempt::Job { connection, generation: &generation, table: &table, forward };
            let answered = {
                let sent = std::pin::pin!(attempt::forward(job, live, body, spelling, informational));
                standing::answered(connection, standing, sent).await
            };
            answered.unwrap_or_else(|denied| Err(guarded::forbidden(live, denied).into()))
        }
    }
}

/// As [`select`], where there may be no table.
fn select_in(inner: &Inner, live: &mut Live, table: Option<&Arc<RouteTable>>) -> Result<(), Stop> {
    match table {
        Some(table) => select(inner, live, table),
        None => Err(no_route().into()),
    }
}

/// Finds the route and notes it.
fn select(inner: &Inner, live: &mut Live, table: &Arc<RouteTable>) -> Result<(), Stop> {
    live.table = Some(Arc::clone(table));
    let context = MatchContext { tls: inner.info.tls.as_ref(), internal: live.info.internal, draw: fastrand::u64(..) };
    match route::select(table, &live.head, &context) {
        Selection::Route { virtual_host, route } => {
            live.info.virtual_host = Some(Arc::clone(virtual_host));
            live.info.route = Some(Arc::clone(route));
            Ok(())
        }
        Selection::RedirectToTls { .. } => Err(local::redirect_to_tls(live).into()),
        Selection::NoVirtualHost | Selection::NoRoute { .. } => {
            inner.stats.no_route.inc();
            Err(no_route().into())
        }
    }
}

fn no_route() -> LocalReply {
    LocalReply::new(StatusCode::NOT_FOUND, "", "route_not_found").because(
        Some(ResponseFlag::NoRouteFound),
        "destination_not_found",
        "no route matches the request",
    )
}

fn refused(live: &mut Live, error: &NormalizeError) -> Stop {
    let flag = ResponseFlag::DownstreamProtocolError;
    let bad_request = |body: &'static str, details: &'static str, rule: &str| {
        LocalReply::new(StatusCode::BAD_REQUEST, body, details).because(Some(flag), "http_request_error", rule).into()
    };
    let http2 = live.head.version == Version::HTTP_2;
    match error {
        NormalizeError::Malformed(_) if http2 => {
            live.info.flags.set(flag);
            Stop::Reset(h2::Reason::INTERNAL_ERROR)
        }
        NormalizeError::NoHost if http2 => {
            live.info.flags.set(flag);
            Stop::Reset(h2::Reason::PROTOCOL_ERROR)
        }
        NormalizeError::Malformed(rule) => {
            live.closing = true;
            bad_request("Bad Request", "http1.codec_error", rule)
        }
        NormalizeError::NoHost => bad_request("", "missing_host_header", "the request has no host"),
        NormalizeError::Refused(rule) => bad_request("", "path_normalization_failed", rule),
        NormalizeError::Redirect(path) => {
            live.connection.0.stats.downstream_rq_redirected_with_normalized_path.inc();
            let mut reply = LocalReply::new(StatusCode::TEMPORARY_REDIRECT, "", "path_normalization_failed");
            if let Ok(location) = http::HeaderValue::try_from(path.as_str()) {
                reply.headers.insert(http::header::LOCATION, location);
            }
            reply.into()
        }
    }
}

fn expects_continue(headers: &http::HeaderMap) -> bool {
    headers.get(http::header::EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn go_on() -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::CONTINUE;
    response
}

/// An upgrade, CONNECT included, needs a word of the route, else of the listener.
fn check_upgrade(inner: &Inner, live: &Live, action: &RouteAction) -> Result<(), Stop> {
    let protocol = match (&live.head.upgrade, &live.head.path) {
        (Some(protocol), _) => protocol.as_str(),
        (None, None) => "connect",
        (None, Some(_)) => return Ok(()),
    };
    let of_route = match action {
        RouteAction::Forward(forward) => {
            forward.upgrades.iter().find(|upgrade| upgrade.protocol == protocol).map(|upgrade| upgrade.enabled)
        }
        RouteAction::Redirect(_) | RouteAction::Direct(_) | RouteAction::NonForwarding => None,
    };
    let of_listener = || inner.manager.upgrades.iter().find(|(name, _)| name == protocol).map(|(_, enabled)| *enabled);
    if of_route.or_else(of_listener).unwrap_or(false) {
        return Ok(());
    }
    inner.stats.downstream_rq_ws_on_non_ws_route.inc();
    let reply = LocalReply::new(StatusCode::FORBIDDEN, "", "upgrade_failed");
    Err(reply.because(None, "http_protocol_error", "neither the route nor the listener allows this upgrade").into())
}

fn http1_options(manager: &HttpConnectionManager) -> Http1Options {
    Http1Options {
        max_head_bytes: manager.max_request_headers_bytes,
        max_headers: manager.max_headers_count,
        head_timeout: manager.timeouts.request_headers,
        idle_timeout: manager.timeouts.idle,
        allow_custom_methods: manager.http1.allow_custom_methods,
        accept_http_10: manager.http1.accept_http_10,
        default_host_for_http_10: manager.http1.default_host_for_http_10.clone(),
        allow_absolute_url: manager.http1.allow_absolute_url,
        allow_chunked_length: manager.http1.allow_chunked_length,
        enable_trailers: manager.http1.enable_trailers,
        max_requests: manager.max_requests_per_connection,
        buffer_limit: STREAM_BUFFER,
        stall_timeout: manager.timeouts.stream_idle,
    }
}

fn http2_options(manager: &HttpConnectionManager) -> Http2Options {
    Http2Options {
        max_concurrent_streams: manager.http2.max_concurrent_streams,
        initial_stream_window: manager.http2.initial_stream_window,
        initial_connection_window: manager.http2.initial_connection_window,
        max_header_list_bytes: u32::try_from(manager.max_request_headers_bytes).unwrap_or(u32::MAX),
        max_headers: manager.max_headers_count,
        allow_connect: manager.http2.allow_connect,
        idle_timeout: manager.timeouts.idle,
        stall_timeout: manager.timeouts.stream_idle,
        keepalive_interval: manager.http2.keepalive_interval,
        keepalive_timeout: manager.http2.keepalive_timeout,
        max_reset_streams: MAX_RESET_STREAMS,
        max_requests: manager.max_requests_per_connection,
    }
}

/// Bytes read ahead of a slow upstream, for one HTTP/1 connection.
const STREAM_BUFFER: usize = 64 * 1024;

/// Timers kept for a connection's next requests: one for HTTP/1, some for the streams of HTTP/2.
const KEPT_TIMERS: usize = 8;

/// Streams that a client may open and reset at once: more than any client cancels by accident, far fewer than an attack needs.
const MAX_RESET_STREAMS: usize = 500;

/// The new name of `StreamInfo` at the beginning of a request.
fn begin_info(connection: &Connection) -> StreamInfo {
    StreamInfo::new(Rc::clone(&connection.0.info))
}
