//! The connections of one worker to one endpoint, and the requests that wait for one.

mod dial;
mod sweep;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::codec::Http2Options;
use crate::codec::http1::ClientOptions;
use crate::config::address::SourceAddress;
use crate::config::cluster::Cluster;
use crate::config::route::Priority;
use crate::connect::TlsSource;
use crate::connect::bond::Bond;
use crate::connect::guard::Gone;
use crate::connect::pool::http1::{self, Held, Idle};
use crate::connect::pool::http2::{self, Multiplexed};
use crate::connect::pool::keeper::Keeper;
use crate::connect::pool::{ConnectionFacts, Failure, Key, Target, Wanted};
use crate::connect::tcp::DialError;
use crate::upstream::{ClusterState, EndpointState, LimitKind, Permit};

/// A connection to use for one request.
pub(super) enum Lease {
    Http1(http1::Lease),
    Http2(http2::Lease),
}

type Waiter = oneshot::Sender<Result<Lease, DialError>>;

pub(super) struct HostPool {
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
    wanted: Wanted,
    priority: Priority,
    server_name: Option<Rc<str>>,
    from: Option<SourceAddress>,
    tls: Option<TlsSource>,
    http1: Rc<ClientOptions>,
    http2: Rc<Http2Options>,
    counts: Rc<Counts>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Rc<Multiplexed>>>,
    waiters: RefCell<VecDeque<Waiter>>,
    dialing: Cell<usize>,
    retired: Cell<bool>,
    /// The task hears when the endpoint leaves its cluster.
    watched: Cell<bool>,
    /// TLS agreed on HTTP/2 last time.
    speaks_http2: Cell<bool>,
}

/// What connections change when they are dropped.
struct Counts {
    open: Cell<usize>,
    waiting: Cell<usize>,
    keeper: Rc<Keeper>,
}

impl Gone for Counts {
    fn gone(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.waiting.get() > 0 {
            self.keeper.wake();
        }
    }
}

impl HostPool {
    pub(super) fn new(target: &Target<'_>, key: &Key, keeper: &Rc<Keeper>, tls: Option<TlsSource>) -> Rc<Self> {
        let config = target.cluster.config();
        let counts = Counts { open: Cell::new(0), waiting: Cell::new(0), keeper: Rc::clone(keeper) };
        Rc::new(Self {
            cluster: Arc::clone(target.cluster),
            endpoint: Arc::clone(target.endpoint),
            wanted: key.wanted,
            priority: target.priority,
            server_name: key.server_name.clone(),
            from: key.from,
            tls,
            http1: Rc::new(http1_options(config)),
            http2: Rc::new(http2_options(config)),
            counts: Rc::new(counts),
            idle: RefCell::default(),
            shared: RefCell::default(),
            waiters: RefCell::default(),
            dialing: Cell::new(0),
            retired: Cell::new(false),
            watched: Cell::new(keeper.watch(target.endpoint)),
            speaks_http2: Cell::new(key.wanted == Wanted::Http2),
        })
    }

    pub(super) fn cluster(&self) -> &Arc<ClusterState> {
        &self.cluster
    }

    pub(super) fn open(&self) -> usize {
        self.counts.open.get()
    }

    /// Keeps no connection from here on.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    fn is_retired(&self) -> bool {
        self.retired.get() || self.endpoint.is_removed()
    }

    /// Nothing would be lost without it.
    pub(super) fn is_unused(&self) -> bool {
        self.open() == 0 && self.dialing.get() == 0 && self.counts.waiting.get() == 0
    }

    /// A connection: one that is ready, or the first that becomes so.
    pub(super) async fn checkout(self: &Rc<Self>) -> Result<Lease, Failure> {
        if let Some(lease) = self.ready() {
            return Ok(lease);
        }
        let mut waiting = Waiting::begin(self)?;
        let (waiter, offer) = oneshot::channel();
        self.waiters.borrow_mut().push_back(waiter);
        self.dial_as_needed();
        let offer = offer.await;
        waiting.over = true;
        match offer {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => {
                self.cluster.stats().upstream_rq_pending_failure_eject.inc();
                Err(Failure::Connect(error))
            }
            // The pool is gone, with the worker.
            Err(_) => Err(Failure::Closed { answering: false }),
        }
    }

    fn ready(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut idle) = idle else { break };
            if !self.is_old(&idle.held.home.facts) && !idle.held.is_closed() {
                return Some(Lease::Http1(http1::Lease::new(Rc::clone(self), idle.held)));
            }
        }
        self.share()
    }

    /// A share in a connection that has room.
    fn share(self: &Rc<Self>) -> Option<Lease> {
        let limit = usize::try_from(self.http2.max_concurrent_streams).unwrap_or(usize::MAX);
        let connection = loop {
            let with_room = self.shared.borrow().iter().find(|connection| connection.has_room(limit)).map(Rc::clone);
            let connection = with_room?;
            // To a server that is not accepted any more nothing is sent.
            if connection.facts.bond.as_ref().is_none_or(Bond::is_accepted) {
                break connection;
            }
            self.let_go(&connection);
        };
        let lease = http2::Lease::new(Rc::clone(self), Rc::clone(&connection));
        if self.has_done_enough(connection.requests.get()) || self.is_old(&connection.facts) {
            self.let_go(&connection);
        }
        Some(Lease::Http2(lease))
    }

    fn has_done_enough(&self, requests: u32) -> bool {
        let enough = self.cluster.config().max_requests_per_connection.is_some_and(|most| requests >= most);
        if enough {
            self.cluster.stats().upstream_cx_max_requests.inc();
        }
        enough
    }

    fn is_old(&self, facts: &ConnectionFacts) -> bool {
        self.grows_old(facts).is_some_and(|due| due <= Instant::now()) || facts.bond.as_ref().is_some_and(|bond| !bond.holds())
    }

    /// Takes a connection that has no request: a new one, or one that comes back.
    pub(super) fn take_back(self: &Rc<Self>, held: Held) {
        let requests = held.home.requests.get();
        if (requests > 0 && self.has_done_enough(requests)) || self.is_old(&held.home.facts) {
            return;
        }
        let Some(held) = self.offer(held) else { return };
        if !self.is_retired() {
            self.keep(held);
        }
    }

    /// To the first that waits, if any.
    fn offer(self: &Rc<Self>, mut held: Held) -> Option<Held> {
        while let Some(waiter) = self.next_waiter() {
            let lease = http1::Lease::new(Rc::clone(self), held);
            match waiter.send(Ok(Lease::Http1(lease))) {
                Err(Ok(Lease::Http1(mut back))) => {
                    held = Held { connection: back.take()?, home: Rc::clone(&back.home) };
                }
                Ok(()) | Err(Ok(Lease::Http2(_)) | Err(_)) => return None,
            }
        }
        Some(held)
    }

    fn next_waiter(&self) -> Option<Waiter> {
        self.waiters.borrow_mut().pop_front()
    }

    fn keep(&self, mut held: Held) {
        // The task hears when the server closes it.
        if self.counts.keeper.poll(|cx| held.connection.poll_idle_closed(cx)).is_ready() {
            return;
        }
        let config = self.cluster.config();
        let until = config.idle_timeout.map(|longest| Instant::now() + longest);
        let old = self.grows_old(&held.home.facts);
        if let Some(due) = until.into_iter().chain(old).min() {
            self.counts.keeper.wake_by(due);
        }
        self.idle.borrow_mut().push(Idle { held, until });
    }

    /// A request of a shared connection is over.
    pub(super) fn stream_ended(&self, connection: &Multiplexed) {
        if self.counts.waiting.get() > 0 {
            self.counts.keeper.wake();
        }
        if connection.active.get() == 0 {
            connection.idle_since.set(Instant::now());
            self.look_after(connection);
        }
    }

    /// Gives no more shares of a connection; it ends with its requests.
    fn let_go(&self, connection: &Rc<Multiplexed>) {
        let mut shared = self.shared.borrow_mut();
        let position = shared.iter().position(|kept| Rc::ptr_eq(kept, connection));
        let gone = position.map(|position| shared.swap_remove(position));
        drop(shared);
        drop(gone);
    }
}

/// A request that waits; counts until dropped.
struct Waiting {
    pool: Rc<HostPool>,
    _permit: Permit,
    over: bool,
}

impl Waiting {
    fn begin(pool: &Rc<HostPool>) -> Result<Self, Failure> {
        let stats = pool.cluster.stats();
        let Some(permit) = Permit::acquire(&pool.cluster, LimitKind::PendingRequests, pool.priority) else {
            stats.upstream_rq_pending_overflow.inc();
            return Err(Failure::Overflow(LimitKind::PendingRequests));
        };
        stats.upstream_rq_pending_total.inc();
        stats.upstream_rq_pending_active.inc();
        let waiting = &pool.counts.waiting;
        waiting.set(waiting.get().saturating_add(1));
        Ok(Self { pool: Rc::clone(pool), _permit: permit, over: false })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let stats = self.pool.cluster.stats();
        stats.upstream_rq_pending_active.dec();
        if !self.over {
            stats.upstream_rq_cancelled.inc();
        }
        let waiting = &self.pool.counts.waiting;
        waiting.set(waiting.get().saturating_sub(1));
    }
}

fn http1_options(config: &Cluster) -> ClientOptions {
    ClientOptions {
        max_head_bytes: config.max_response_headers_bytes,
        max_headers: config.max_headers_count,
        enable_trailers: config.http1.enable_trailers,
        buffer_limit: config.buffer_limit,
    }
}

/// Streams of ours that we may have reset and the server not yet know of: as many as `h2` keeps by default.
const MAX_RESET_STREAMS: usize = 1024;

/// How long a server may take nothing of a request's body; Envoy's default for an idle stream.
const STALL_LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

fn http2_options(config: &Cluster) -> Http2Options {
    Http2Options {
        max_concurrent_streams: config.http2.max_concurrent_streams,
        initial_stream_window: config.http2.initial_stream_window,
        initial_connection_window: config.http2.initial_connection_window,
        max_header_list_bytes: u32::try_from(config.max_response_headers_bytes).unwrap_or(u32::MAX),
        max_headers: config.max_headers_count,
        allow_connect: config.http2.allow_connect,
        idle_timeout: None,
        stall_timeout: Some(STALL_LIMIT),
        keepalive_interval: config.http2.keepalive_interval,
        keepalive_timeout: config.http2.keepalive_timeout,
        max_reset_streams: MAX_RESET_STREAMS,
        max_requests: None,
    }
}
