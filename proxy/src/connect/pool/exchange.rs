//! One request over a pooled connection.

use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use http::Request;

use crate::codec::{Body, Informational, Outgoing, Spelling};
use crate::connect::pool::error::Unanswered;
use crate::connect::pool::host::{HostPool, Lease};
use crate::connect::pool::{ExchangeError, Failure, Pools, Target, UpstreamFacts, http1, http2};
use crate::telemetry::metrics::ClusterStats;
use crate::upstream::{LimitKind, Permit};

/// How often a request that was never sent is sent on another connection, before the caller hears of it.
const RESENDS: u32 = 3;

/// A request to send.
#[derive(Debug)]
pub struct Sending {
    /// Head and body.
    pub request: Request<Body>,
    /// How header names are written.
    pub spelling: Spelling,
    /// Takes 1xx answers.
    pub informational: Informational,
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Exchange {
    /// Head and body.
    pub outgoing: Outgoing<Body>,
    /// The connection.
    pub upstream: UpstreamFacts,
    /// Counts the request; to be dropped when the body has ended, or with it.
    pub in_flight: InFlight,
}

/// Counts a request, and holds its share of a connection, until dropped.
#[must_use = "the request counts as in flight until this is dropped"]
pub struct InFlight {
    stats: Arc<ClusterStats>,
    _permit: Permit,
    _lease: Option<http2::Lease>,
}

impl InFlight {
    fn begin(pool: &HostPool, target: &Target<'_>) -> Result<Self, Failure> {
        let stats = Arc::clone(pool.cluster().stats());
        let Some(permit) = Permit::acquire(target.cluster, LimitKind::Requests, target.priority) else {
            stats.upstream_rq_active_overflow.inc();
            return Err(Failure::Overflow(LimitKind::Requests));
        };
        stats.upstream_rq_total.inc();
        stats.upstream_rq_active.inc();
        Ok(Self { stats, _permit: permit, _lease: None })
    }

    /// Counts that the connection ended within the answer's body.
    pub fn connection_lost(&self) {
        self.stats.upstream_cx_destroy_with_active_rq.inc();
    }

    fn count(&self, failure: &Failure) {
        match failure {
            Failure::Closed { .. } => self.connection_lost(),
            Failure::Reset { .. } | Failure::Refused => self.stats.upstream_rq_rx_reset.inc(),
            Failure::Overflow(_) | Failure::Connect(_) | Failure::Protocol(_) | Failure::RequestBody(_) => {}
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.stats.upstream_rq_active.dec();
    }
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlight").finish_non_exhaustive()
    }
}

/// How sending on one connection went.
enum Sent {
    Answered(Exchange),
    Failed { why: Unanswered, upstream: UpstreamFacts, elsewhere: bool },
}

impl Pools {
    /// Sends a request to an endpoint, over a connection that is ready or will be, and waits for the head of its
    /// answer. Waits as long as the caller lets it; dialling takes `connect_timeout` at most.
    pub async fn exchange(&self, target: &Target<'_>, mut sending: Sending) -> Result<Exchange, ExchangeError> {
        let mut resends = 0u32;
        loop {
            // Looked up each time: an unused pool may be forgotten meanwhile.
            let pool = self.host(target, sending.request.headers());
            let (lease, in_flight) = match pool.begin(target).await {
                Ok(begun) => begun,
                Err(failure) => {
                    let unsent = Some(Box::new(sending.request));
                    return Err(ExchangeError { failure, unsent, upstream: None });
                }
            };
            let sent = match lease {
                Lease::Http1(lease) => send_http1(lease, &mut sending, in_flight).await,
                Lease::Http2(lease) => send_http2(lease, &mut sending, in_flight).await,
            };
            let (why, upstream, elsewhere) = match sent {
                Sent::Answered(exchange) => return Ok(exchange),
                Sent::Failed { why, upstream, elsewhere } => (why, upstream, elsewhere),
            };
            match why.unsent {
                Some(request) if elsewhere && resends < RESENDS => {
                    sending.request = request;
                    resends = resends.saturating_add(1);
                }
                unsent => {
                    let unsent = unsent.map(Box::new);
                    return Err(ExchangeError { failure: why.failure, unsent, upstream: Some(upstream) });
                }
            }
        }
    }
}

impl HostPool {
    async fn begin(self: &Rc<Self>, target: &Target<'_>) -> Result<(Lease, InFlight), Failure> {
        let lease = self.checkout().await?;
        InFlight::begin(self, target).map(|in_flight| (lease, in_flight))
    }
}

async fn send_http1(mut lease: http1::Lease, sending: &mut Sending, in_flight: InFlight) -> Sent {
    let home = Rc::clone(&lease.home);
    let requests = home.requests.get();
    home.requests.set(requests.saturating_add(1));
    let upstream = UpstreamFacts { connection: Rc::clone(&home.facts), reused: requests > 0 };
    let request = mem::take(&mut sending.request);
    let Some(connection) = lease.take() else {
        let why = Unanswered { failure: Failure::Closed { answering: false }, unsent: Some(request) };
        return Sent::Failed { why, upstream, elsewhere: true };
    };
    // Holds the pool, which outlives the request anyway.
    drop(lease);
    // Needed again only if the request must be sent again, which happens on reused connections.
    let spelling = if upstream.reused { sending.spelling.clone() } else { mem::take(&mut sending.spelling) };
    match connection.send(request, spelling, sending.informational.clone(), home).await {
        Ok(outgoing) => Sent::Answered(Exchange { outgoing, upstream, in_flight }),
        Err(failed) => {
            let why = Unanswered::from(failed);
            in_flight.count(&why.failure);
            let elsewhere = upstream.reused && matches!(why.failure, Failure::Closed { answering: false });
            Sent::Failed { why, upstream, elsewhere }
        }
    }
}

async fn send_http2(lease: http2::Lease, sending: &mut Sending, mut in_flight: InFlight) -> Sent {
    let upstream = UpstreamFacts { connection: Rc::clone(&lease.connection.facts), reused: lease.reused };
    let request = mem::take(&mut sending.request);
    let client = lease.connection.client.clone();
    match client.send(request, sending.informational.clone()).await {
        Ok(outgoing) => {
            in_flight._lease = Some(lease);
            Sent::Answered(Exchange { outgoing, upstream, in_flight })
        }
        Err(failed) => {
            let why = Unanswered::from(failed);
            in_flight.count(&why.failure);
            // Refused by a connection that takes requests is the server's word; one that is closing (GOAWAY), or has no
            // room left, just was the wrong one.
            let elsewhere = match why.failure {
                Failure::Closed { answering: false } => true,
                Failure::Refused => !client.is_usable() || !client.has_capacity(),
                Failure::Overflow(_)
                | Failure::Connect(_)
                | Failure::Closed { answering: true }
                | Failure::Reset { .. }
                | Failure::Protocol(_)
                | Failure::RequestBody(_) => false,
            };
            Sent::Failed { why, upstream, elsewhere }
        }
    }
}
