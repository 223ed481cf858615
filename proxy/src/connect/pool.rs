//! HTTP connections of one worker, kept and shared.
//!
//! ```text
//! request -> ready connection? ---------------------------> send -> response head, InFlight
//!                 | no                                        ^
//!                 v                                           |
//!            waits (pending) <- freed connection, finished dial
//! ```
//! HTTP/1 connections come back when both messages have ended, HTTP/2 connections are shared up to their streams. One
//! task per worker closes what is idle too long; it sleeps while nothing is.

mod error;
mod exchange;
mod host;
mod http1;
mod http2;
mod keeper;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::header::UPGRADE;
use http::{HeaderMap, Version};
use tokio::time::Instant;

use crate::config::address::{Address, SourceAddress};
use crate::config::cluster::UpstreamProtocol;
use crate::config::route::Priority;
use crate::connect::TlsSource;
use crate::connect::bond::Bond;
use crate::exchange::TlsInfo;
use crate::task::OwnedTask;
use crate::upstream::{ClusterState, EndpointState};

pub use error::{ExchangeError, Failure};
pub use exchange::{Exchange, InFlight, Sending};

use host::HostPool;
use keeper::Keeper;

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Of which cluster.
    pub cluster: &'a Arc<ClusterState>,
    /// The endpoint chosen.
    pub endpoint: &'a Arc<EndpointState>,
    /// The client's HTTP version, for clusters that speak what the client does.
    pub version: Version,
    /// Which limits count.
    pub priority: Priority,
    /// The server name for TLS, for clusters that take it from requests.
    pub server_name: Option<&'a str>,
    /// The address to connect under, if not the proxy's own.
    pub from: Option<SourceAddress>,
}

/// What is known of a connection.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// Our end.
    pub local: Option<Address>,
    /// The endpoint's.
    pub remote: Address,
    /// HTTP version spoken.
    pub version: Version,
    /// How long dialling took, TLS included.
    pub connect_time: Duration,
    /// When it was dialled.
    pub began: Instant,
    /// Of mutual TLS.
    pub bond: Option<Bond>,
    /// What TLS said.
    pub tls: Option<Rc<TlsInfo>>,
}

/// The connection that carried a request.
#[derive(Clone, Debug)]
pub struct UpstreamFacts {
    /// The connection.
    pub connection: Rc<ConnectionFacts>,
    /// It had carried requests before.
    pub reused: bool,
}

/// One worker's HTTP connections. Cheap to clone.
#[derive(Clone)]
pub struct Pools(Rc<Shared>);

struct Shared {
    hosts: RefCell<HashMap<Key, Rc<HostPool>>>,
    /// Unused pools are forgotten when there are this many in all.
    crowded: Cell<usize>,
    keeper: Rc<Keeper>,
    task: RefCell<Option<OwnedTask>>,
    tls: Option<TlsSource>,
}

/// So few pools need no tidying.
const FEW: usize = 64;

/// Connections with the same key are interchangeable.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    /// The pool holds both, so that the addresses stay theirs.
    cluster: usize,
    endpoint: usize,
    wanted: Wanted,
    high_priority: bool,
    server_name: Option<Rc<str>>,
    from: Option<SourceAddress>,
}

/// What tells most pools apart; the rest is compared.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.endpoint);
        if let Some(name) = &self.server_name {
            name.hash(state);
        }
        if let Some(from) = &self.from {
            from.hash(state);
        }
    }
}

/// Which HTTP version a pool speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Http1,
    Http2,
    /// What TLS agrees on.
    Negotiated,
}

impl Wanted {
    /// Of a request to an endpoint. One that asks for another protocol (WebSocket) goes over HTTP/1.1 where the version is not fixed: it is
    /// a connection of its own anyway, and not every server of HTTP/2 takes such a request.
    fn of(target: &Target<'_>, headers: &HeaderMap) -> Self {
        let (cluster, endpoint) = (target.cluster.config(), target.endpoint);
        match cluster.protocol {
            UpstreamProtocol::Http1 => Self::Http1,
            UpstreamProtocol::Http2 => Self::Http2,
            UpstreamProtocol::UseDownstream if target.version == Version::HTTP_2 => Self::Http2,
            UpstreamProtocol::Auto if headers.contains_key(UPGRADE) => Self::Http1,
            UpstreamProtocol::Auto if cluster.tls_to(endpoint.labels()).is_some() => Self::Negotiated,
            UpstreamProtocol::UseDownstream | UpstreamProtocol::Auto => Self::Http1,
        }
    }
}

impl Pools {
    /// No connections yet.
    pub fn new(tls: Option<TlsSource>) -> Self {
        Self(Rc::new(Shared {
            hosts: RefCell::default(),
            crowded: Cell::new(FEW),
            keeper: Rc::new(Keeper::default()),
            task: RefCell::default(),
            tls,
        }))
    }

    /// Closes the connections of clusters that are not live and of endpoints that have left their cluster: idle ones at
    /// once, others when their requests have ended.
    pub fn retain(&self, is_live: impl Fn(&Arc<ClusterState>) -> bool) {
        for pool in self.0.hosts.borrow().values() {
            if !is_live(pool.cluster()) {
                pool.retire();
            }
        }
        self.0.keeper.wake();
    }

    /// Connections open, of all endpoints.
    pub fn open_connections(&self) -> usize {
        self.0.hosts.borrow().values().map(|pool| pool.open()).sum()
    }

    fn host(&self, target: &Target<'_>, headers: &HeaderMap) -> Rc<HostPool> {
        let key = Key {
            cluster: Arc::as_ptr(target.cluster).addr(),
            endpoint: target.endpoint.id(),
            wanted: Wanted::of(target, headers),
            high_priority: target.priority == Priority::High,
            server_name: target.server_name.map(Rc::from),
            from: target.from,
        };
        if let Some(pool) = self.0.hosts.borrow().get(&key) {
            return Rc::clone(pool);
        }
        if self.0.hosts.borrow().len() >= self.0.crowded.get() {
            self.0.forget_unused();
            self.0.crowded.set(self.0.hosts.borrow().len().saturating_mul(2).max(FEW));
        }
        let pool = HostPool::new(target, &key, &self.0.keeper, self.0.tls.clone());
        self.0.hosts.borrow_mut().insert(key, Rc::clone(&pool));
        self.0.task.borrow_mut().get_or_insert_with(|| OwnedTask::spawn(keeper::keep(Rc::downgrade(&self.0))));
        pool
    }
}

impl Shared {
    /// Closes what is over, serves who waits; returns when to look again.
    fn sweep(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        // A copy: sweeping drops connections, which may come back here.
        let pools: Vec<_> = self.hosts.borrow().values().map(Rc::clone).collect();
        let next = pools.iter().filter_map(|pool| pool.sweep(now, cx)).min();
        drop(pools);
        self.forget_unused();
        next
    }

    fn forget_unused(&self) {
        let unused: Vec<_> = self.hosts.borrow_mut().extract_if(|_, pool| pool.is_unused()).collect();
        // Dropped while nothing is borrowed.
        drop(unused);
    }
}

#[cfg(test)]
mod tests;
