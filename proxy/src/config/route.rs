//! Virtual hosts, routes, actions, retry and timeout policy.

/// From a host to its virtual host.
pub mod domains;
mod matches;
mod retry;
mod rewrite;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use crate::config::ClusterName;
use crate::config::Fraction;
use crate::config::RouteTableName;
use crate::config::filter::FilterOverrides;
use crate::config::headers::HeaderMutations;
use crate::config::matcher::MatchedName;
use crate::config::route::domains::DomainIndex;

pub use self::matches::{CookieMatch, PathMatch, PathTemplate, QueryMatch, RouteMatch, TlsMatch};
pub use self::retry::{RateLimitedBackoff, RetryOn, RetryPolicy};
pub use self::rewrite::{HostRewrite, PathRewrite, Redirect, RedirectPath, RegexRewrite, TemplatePart};

/// `RouteConfiguration`.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Its name.
    pub name: RouteTableName,
    /// In the order written; domains are unique over all.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
    /// Which of them serves a host.
    pub domains: DomainIndex,
    /// Ports in the host are ignored when a virtual host is sought.
    pub ignore_port: bool,
    /// Mutations of requests, least specific.
    pub request_headers: HeaderMutations,
    /// Mutations of responses, least specific.
    pub response_headers: HeaderMutations,
    /// The most specific mutation wins, rather than the least specific.
    pub most_specific_mutations_win: bool,
    /// Bytes of a direct response's body, at most.
    pub max_direct_response_body: usize,
    /// Settings of filters, least specific.
    pub filters: FilterOverrides,
}

/// `VirtualHost`.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Its name, in logs and metrics.
    pub name: String,
    /// Hosts that it serves.
    pub domains: Vec<Domain>,
    /// First match wins.
    pub routes: Vec<Arc<Route>>,
    /// Plain requests are redirected to https.
    pub require_tls: RequireTls,
    /// Mutations of requests.
    pub request_headers: HeaderMutations,
    /// Mutations of responses.
    pub response_headers: HeaderMutations,
    /// Retries where the route has no policy.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Add `x-envoy-attempt-count` to requests.
    pub attempt_count_in_request: bool,
    /// Add `x-envoy-attempt-count` to responses.
    pub attempt_count_in_response: bool,
    /// Bytes of a body kept for retries or mirroring; `None`: the connection's buffer limit.
    pub replay_limit: Option<usize>,
    /// Mirrors where the route has none.
    pub mirrors: Vec<Mirror>,
    /// Settings of filters.
    pub filters: FilterOverrides,
}

/// A host that a virtual host serves, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// `www.example.com`, with or without port.
    Exact(String),
    /// `*.example.com` is `.example.com`.
    Suffix(String),
    /// `www.example.*` is `www.example.`.
    Prefix(String),
    /// `*`.
    Any,
}

/// Which plain requests are redirected to https.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequireTls {
    /// None.
    #[default]
    No,
    /// Those of external clients.
    ExternalOnly,
    /// All.
    All,
}

/// `Route`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, in logs.
    pub name: String,
    /// Which requests.
    pub matches: RouteMatch,
    /// What happens to them.
    pub action: RouteAction,
    /// Mutations of requests, most specific but for a weighted cluster's.
    pub request_headers: HeaderMutations,
    /// Mutations of responses.
    pub response_headers: HeaderMutations,
    /// Bytes of a body kept for retries or mirroring.
    pub replay_limit: Option<usize>,
    /// Overrides of sampling.
    pub tracing: Option<RouteTracing>,
    /// Name of the operation in spans.
    pub operation: Option<String>,
    /// Settings of filters, most specific.
    pub filters: FilterOverrides,
}

/// Overrides of a listener's sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTracing {
    /// Where the client forces it.
    pub client_sampling: Fraction,
    /// Where nothing is decided.
    pub random_sampling: Fraction,
    /// Upper bound.
    pub overall_sampling: Fraction,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum RouteAction {
    /// It is sent to a cluster.
    Forward(Box<Forward>),
    /// 3xx.
    Redirect(Box<Redirect>),
    /// A fixed answer.
    Direct(DirectResponse),
    /// Nothing: for clients that route by themselves (gRPC); 404 here.
    NonForwarding,
}

/// `RouteAction` of Envoy.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Where to.
    pub cluster: ClusterChoice,
    /// Answer when the cluster does not exist.
    pub cluster_not_found: StatusCode,
    /// What becomes of the path.
    pub path_rewrite: PathRewrite,
    /// What becomes of the host.
    pub host_rewrite: HostRewrite,
    /// The old host goes to `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// Limits in time.
    pub timeouts: RouteTimeouts,
    /// Retries; `None`: the virtual host's.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Limits to use.
    pub priority: Priority,
    /// Copies.
    pub mirrors: Option<Vec<Mirror>>,
    /// Upgrades that differ from the listener's: protocol in lower case, allowed, and what CONNECT does.
    pub upgrades: Vec<RouteUpgrade>,
    /// What the request is hashed by, for balancing with affinity.
    pub hash: Vec<HashPolicy>,
}

/// An upgrade on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUpgrade {
    /// `websocket`, `connect`, ...
    pub protocol: String,
    /// Allowed.
    pub enabled: bool,
    /// A CONNECT ends here and its payload goes upstream as raw TCP.
    pub connect_terminate: bool,
    /// ... also for POST.
    pub allow_post: bool,
}

/// Which cluster a request goes to.
#[derive(Clone, Debug)]
pub enum ClusterChoice {
    /// This one.
    Cluster(ClusterName),
    /// The one that a request header names.
    Header(HeaderName),
    /// Split by weight.
    Weighted(Box<WeightedClusters>),
}

/// `WeightedCluster`.
#[derive(Clone, Debug)]
pub struct WeightedClusters {
    /// The parts; shared, because an exchange keeps its own until the response.
    pub split: Split<Arc<WeightedCluster>>,
    /// A request header that gives the draw, for stable splits.
    pub draw_header: Option<HeaderName>,
}

/// One part of a split.
#[derive(Clone, Debug)]
pub struct WeightedCluster {
    /// Where to: a cluster or a header that names it.
    pub cluster: WeightedTarget,
    /// Mutations of requests.
    pub request_headers: HeaderMutations,
    /// Mutations of responses.
    pub response_headers: HeaderMutations,
    /// New host.
    pub host_rewrite: Option<HeaderValue>,
}

/// Where a part of a split goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightedTarget {
    /// A cluster.
    Cluster(ClusterName),
    /// The cluster that a request header names.
    Header(HeaderName),
}

/// Choices with weights. It has at least one with a weight above 0, and the total never overflows.
#[derive(Clone, Debug)]
pub struct Split<T> {
    entries: Vec<(T, u32)>,
    total: NonZeroU32,
}

impl<T> Split<T> {
    /// `None` when the weights add up to 0 or to more than 2^32 - 1.
    pub fn new(entries: Vec<(T, u32)>) -> Option<Self> {
        let total = entries.iter().try_fold(0u32, |sum, (_, weight)| sum.checked_add(*weight))?;
        Some(Self { entries, total: NonZeroU32::new(total)? })
    }

    /// The entry for a draw (any u64, evenly distributed).
    pub fn pick(&self, draw: u64) -> &T {
        let mut left = draw % u64::from(self.total.get());
        for (entry, weight) in &self.entries {
            match left.checked_sub(u64::from(*weight)) {
                None => return entry,
                Some(rest) => left = rest,
            }
        }
        #[expect(clippy::expect_used, reason = "the draw is below the sum of the weights, so the loop returns")]
        let (last, _) = self.entries.last().expect("a split has an entry");
        last
    }

    /// Entries and weights in the order written.
    pub fn entries(&self) -> &[(T, u32)] {
        &self.entries
    }

    /// Sum of weights.
    pub fn total(&self) -> u32 {
        self.total.get()
    }
}

/// Limits in time on a route; `None` is off, but for `idle`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// From the request's end to the response's end (Envoy: 15 s where not set).
    pub response: Option<Duration>,
    /// A stream on which nothing moves: `None` as the listener, `Some(None)` off.
    pub idle: Option<Option<Duration>>,
    /// A stream's life: `None` as the listener, `Some(None)` off.
    pub max_stream: Option<Option<Duration>>,
    /// Use `grpc-timeout`, at most this (0 is no bound).
    pub grpc_max: Option<Duration>,
    /// Subtracted from `grpc-timeout`.
    pub grpc_offset: Duration,
    /// `grpc-timeout` bounds the stream's life, not the time to answer.
    pub grpc_bounds_stream: bool,
}

/// Which limits a request counts against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Default.
    #[default]
    Default,
    /// High.
    High,
}

/// A copy of requests.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where to.
    pub cluster: WeightedTarget,
    /// Which share.
    pub fraction: Fraction,
    /// Do not append `-shadow` to the host.
    pub keep_host: bool,
}

/// What a request is hashed by.
#[derive(Clone, Debug)]
pub struct HashPolicy {
    /// The source.
    pub by: HashBy,
    /// Stop here if it gave a hash.
    pub terminal: bool,
}

/// Source of a hash.
#[derive(Clone, Debug)]
pub enum HashBy {
    /// A header or pseudo-header.
    Header(MatchedName),
    /// A cookie; made with this life and path where missing.
    Cookie {
        /// Its name.
        name: String,
        /// `Some` makes one where missing; zero is a session cookie.
        ttl: Option<Duration>,
        /// Its path.
        path: String,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(String),
}

/// `DirectResponseAction`.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    /// Its type, where the body has a format.
    pub content_type: Option<HeaderValue>,
}
