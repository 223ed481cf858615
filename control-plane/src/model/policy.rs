//! Balancing and connections: `TrafficPolicy`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::name::Name;
use crate::model::settings::H2Upgrade;

/// A `TrafficPolicy`: how requests and connections to a service are balanced and limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// Its name.
    pub name: Name,
    /// The service, in the same namespace.
    pub service: Arc<str>,
    /// One port of it; `None`: all.
    pub port: Option<u16>,
    /// How an endpoint is chosen.
    pub balancing: Balancing,
    /// Limits of each proxy.
    pub limits: Limits,
    /// Which endpoints are left alone for a while.
    pub ejection: Option<Ejection>,
    /// How long a connection may take.
    pub connect_timeout: Option<Duration>,
    /// How long a connection without requests is kept.
    pub idle_timeout: Option<Duration>,
    /// How long a request may take that no route limits.
    pub request_timeout: Option<Duration>,
    /// What becomes of HTTP/1 between sidecars; `None`: what holds for the mesh.
    pub h2_upgrade: Option<H2Upgrade>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balancing {
    /// The less busy one of two.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Any.
    Random,
    /// The same for the same key, by a ring.
    RingHash(HashKey),
    /// The same for the same key, by Maglev's table.
    Maglev(HashKey),
}

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header.
    Header(Arc<str>),
    /// A cookie; made where there is none if there is a time for it.
    Cookie(Arc<str>, Option<Duration>),
    /// The client's address.
    SourceAddress,
}

/// Limits of each proxy; `None` is the proxy's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending_requests: Option<u32>,
    /// Requests at a time.
    pub requests: Option<u32>,
    /// Retries at a time.
    pub retries: Option<Retries>,
    /// Requests on one connection.
    pub requests_per_connection: Option<u32>,
}

/// How many retries there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    /// So many.
    Most(u32),
    /// A share of the requests under way.
    Budget {
        /// In percent.
        percent: u32,
        /// So many in any case.
        least: u32,
    },
}

/// Which endpoints are left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Server errors in a row.
    pub consecutive_5xx: u32,
    /// How often it is looked.
    pub interval: Duration,
    /// How long the first time lasts.
    pub base_time: Duration,
    /// At most so many percent of the endpoints.
    pub max_percent: u32,
}
