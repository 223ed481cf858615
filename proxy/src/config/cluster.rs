//! Clusters: balancing policy, limits, protocol, names to resolve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::ClusterName;
use crate::config::address::{SocketOption, TcpKeepalive};
use crate::config::endpoint::{Assignment, Labels};
use crate::config::http::{Http1Settings, Http2Settings};
use crate::config::identity::ClientTls;

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its name in metrics.
    pub stat_name: String,
    /// How its endpoints are found.
    pub discovery: Discovery,
    /// How one is chosen.
    pub policy: BalancingPolicy,
    /// Percentage of healthy endpoints below which health is ignored (Envoy: 50); 0 is off.
    pub panic_threshold: u8,
    /// How long a TCP (and TLS) connection may take.
    pub connect_timeout: Duration,
    /// Which HTTP version it speaks.
    pub protocol: UpstreamProtocol,
    /// HTTP/1 settings.
    pub http1: Http1Settings,
    /// HTTP/2 settings.
    pub http2: Http2Settings,
    /// Header bytes of a response.
    pub max_response_headers_bytes: usize,
    /// Number of header fields of a response.
    pub max_headers_count: usize,
    /// A connection without requests is closed after this; `None` keeps it.
    pub idle_timeout: Option<Duration>,
    /// A connection is closed after this, requests in flight finish.
    pub max_connection_duration: Option<Duration>,
    /// The longest a stream may live.
    pub max_stream_duration: Option<Duration>,
    /// Requests on one connection; `None` is unlimited.
    pub max_requests_per_connection: Option<u32>,
    /// Limits for requests of default priority.
    pub limits: Limits,
    /// Limits for requests of high priority.
    pub high_priority_limits: Limits,
    /// Soft limit of bytes kept for one connection, each direction.
    pub buffer_limit: usize,
    /// Probes on its connections.
    pub keepalive: Option<TcpKeepalive>,
    /// Local addresses to connect from: the first of the endpoint's family.
    pub source_addresses: Vec<SocketAddr>,
    /// Options by number.
    pub socket_options: Vec<SocketOption>,
    /// TLS to its endpoints that `tls_matches` says nothing of.
    pub tls: Option<Arc<ClientTls>>,
    /// TLS to endpoints by what is said of them: the first that fits counts.
    pub tls_matches: Vec<TlsMatch>,
    /// How names are resolved.
    pub dns: Dns,
}

/// TLS, or plain text, to endpoints of which something is said (`envoy.config.cluster.v3.Cluster.TransportSocketMatch`).
#[derive(Clone, Debug)]
pub struct TlsMatch {
    /// What must be said of an endpoint; empty fits all.
    pub labels: Labels,
    /// `None` is plain text.
    pub tls: Option<Arc<ClientTls>>,
}

impl Cluster {
    /// TLS to an endpoint of which this is said; `None` is plain text.
    pub fn tls_to(&self, labels: Option<&Labels>) -> Option<&Arc<ClientTls>> {
        let fits = |wanted: &Labels| wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
        let found = self.tls_matches.iter().find(|entry| fits(&entry.labels));
        found.map_or(self.tls.as_ref(), |entry| entry.tls.as_ref())
    }

    /// All TLS settings towards its endpoints.
    pub fn all_tls(&self) -> impl Iterator<Item = &Arc<ClientTls>> {
        self.tls.iter().chain(self.tls_matches.iter().filter_map(|entry| entry.tls.as_ref()))
    }
}

/// How a cluster's endpoints are found.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// Listed.
    Static(Arc<Assignment>),
    /// Names, each address of the answer an endpoint.
    StrictDns(Arc<Assignment>),
    /// One name, the first address of the newest answer is the endpoint; connections to older ones stay.
    LogicalDns(Arc<Assignment>),
    /// Where the client meant to go.
    OriginalDst(OriginalDst),
    /// Served by EDS under this name.
    Eds {
        /// The name to ask for.
        service_name: String,
        /// How long the cluster waits for the first answer; `None` is for ever.
        fetch_timeout: Option<Duration>,
    },
}

/// An original-destination cluster.
#[derive(Clone, Debug, Default)]
pub struct OriginalDst {
    /// Take the address from this request header (else `x-envoy-original-dst-host`), where allowed.
    pub http_header: Option<http::HeaderName>,
    /// Port that replaces the destination's.
    pub port_override: Option<u16>,
    /// Unused endpoints are forgotten after this.
    pub cleanup_interval: Duration,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum BalancingPolicy {
    /// In turn, by weight.
    RoundRobin,
    /// The less busy of `choice_count` drawn.
    LeastRequest {
        /// At least 2.
        choice_count: u32,
        /// How strongly load counts against weight when weights differ (Envoy: 1.0).
        active_request_bias: f64,
    },
    /// Drawn.
    Random,
    /// The address is given by an original-destination cluster.
    ClusterProvided,
}

/// Which HTTP version a cluster speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, prior knowledge in plain text.
    Http2,
    /// As the client did.
    UseDownstream,
    /// By ALPN; HTTP/1.1 without TLS.
    Auto,
}

/// Circuit-breaker thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub pending_requests: u32,
    /// Requests in flight.
    pub requests: u32,
    /// Retries in flight.
    pub retries: u32,
    /// Instead of `retries`: a share of requests in flight.
    pub retry_budget: Option<RetryBudget>,
}

/// Retries in flight as a share of requests in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Percentage, 0 to 100.
    pub percent: f64,
    /// Always allowed.
    pub min_concurrency: u32,
}

impl Default for Limits {
    /// As Envoy.
    fn default() -> Self {
        Self { connections: 1024, pending_requests: 1024, requests: 1024, retries: 3, retry_budget: None }
    }
}

/// How names are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Dns {
    /// Between look-ups.
    pub refresh: Duration,
    /// After a failure: first and longest wait.
    pub failure_refresh: Option<(Duration, Duration)>,
    /// Use the answer's TTL instead of `refresh`.
    pub respect_ttl: bool,
    /// Random addition to each wait, at most.
    pub jitter: Duration,
    /// Which families.
    pub family: DnsFamily,
    /// Servers to ask instead of the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Ask over TCP.
    pub use_tcp: bool,
}

/// Which address families a look-up wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsFamily {
    /// IPv6, else IPv4.
    Auto,
    /// IPv4.
    V4Only,
    /// IPv6.
    V6Only,
    /// IPv4, else IPv6.
    V4Preferred,
    /// Both.
    All,
}
